#include "src/guard/protection.h"

#include "codec/base/check.h"
#include "src/base/log.h"

#define PROTECTION_REFUSES "new connections receive 503"

static const struct protection_row {
    const char *name;
    const char *area;    /* how its lines in the log begin */
    const char *unit;    /* of its value and limit */
    const char *effect;  /* for its line in the log */
    const char *refusal; /* what new connections are answered; NULL: they are admitted */
    double end_share;    /* of its limit; below, it ends */
    uint32_t ticks;      /* at its limit, before it begins */
    bool reaps;
    bool purges;
} protection_rows[PROTECTION_RULES] = {
    [PROTECTION_MEMORY_SOFT] = {.name = "memory_soft",
                                .area = "memory",
                                .unit = "MiB in use",
                                .effect = "the allocator gives back what it does not use",
                                .end_share = 0.95,
                                .ticks = 1,
                                .purges = true},
    [PROTECTION_MEMORY_HARD] = {.name = "memory_hard",
                                .area = "memory",
                                .unit = "MiB in use",
                                .effect = PROTECTION_REFUSES,
                                .refusal = "the server is short of memory: try again in 5 seconds",
                                .end_share = 0.95,
                                .ticks = 1,
                                .purges = true},
    [PROTECTION_DESCRIPTORS] =
        {.name = "descriptors",
         .area = "performance",
         .unit = "connections under the limit of open files",
         .effect = PROTECTION_REFUSES "; raise `ulimit -n` or LimitNOFILE=",
         .refusal = "the server has no file descriptors left for clients: try again in 5 seconds",
         .end_share = 0.95,
         .ticks = 1},
    [PROTECTION_LAG] = {.name = "lag",
                        .area = "latency",
                        .unit = "% of the frame log behind",
                        .effect = PROTECTION_REFUSES,
                        .refusal = "the server is behind with its clients: try again in 5 seconds",
                        .end_share = (double)PROTECTION_LAG_END_PERCENT / PROTECTION_LAG_PERCENT,
                        .ticks = PROTECTION_LAG_TICKS},
    [PROTECTION_CONNECTIONS] =
        {.name = "connections",
         .area = "performance",
         .unit = "clients",
         .effect = "clients without subscriptions are closed after --cleanup-interval",
         .end_share = (double)PROTECTION_CONNECTIONS_END_PERCENT / PROTECTION_CONNECTIONS_PERCENT,
         .ticks = 1,
         .reaps = true},
};

const char *protection_rule_name(enum protection_rule rule)
{
    assert_always(rule < PROTECTION_RULES);
    return protection_rows[rule].name;
}

static void protection_begin(struct protection_state *state, const struct protection_row *row)
{
    state->is_active = true;
    state->acted_ns = 0;
    state->action_count += row->purges && row->refusal == NULL ? 0 : 1;
    log_write(LOG_LEVEL_WARNING, "%s: protection %s begins: %.0f %s, limit %.0f: %s", row->area,
              row->name, state->value, row->unit, state->limit, row->effect);
}

static void protection_end(struct protection_state *state, const struct protection_row *row)
{
    state->is_active = false;
    log_write(LOG_LEVEL_INFO, "%s: protection %s ends: %.0f %s, limit %.0f", row->area, row->name,
              state->value, row->unit, state->limit);
}

static void protection_judge(struct protection_state *state, const struct protection_row *row,
                             const struct protection_reading *reading)
{
    assert_debug(row->end_share > 0 && row->end_share <= 1);
    bool is_over = reading->limit > 0 && reading->value >= reading->limit;
    bool is_below = reading->limit == 0 || reading->value < reading->limit * row->end_share;
    state->value = reading->value;
    state->limit = reading->limit;
    state->ticks = is_over ? state->ticks + 1 : 0;
    if (!state->is_active && state->ticks >= row->ticks) {
        protection_begin(state, row);
    } else if (state->is_active && is_below) {
        protection_end(state, row);
    }
}

/* Whether the rule's purge is due. */
static bool protection_purges(struct protection_state *state, const struct protection_row *row,
                              uint64_t purge_ns, uint64_t now_ns)
{
    assert_always(now_ns >= state->acted_ns);
    if (!state->is_active || !row->purges ||
        (state->acted_ns != 0 && now_ns - state->acted_ns < purge_ns)) {
        return false;
    }
    state->acted_ns = now_ns;
    state->action_count += row->refusal == NULL;
    return true;
}

struct protection_orders protection_tick(struct protection *protection,
                                         const struct protection_reading readings[PROTECTION_RULES],
                                         uint64_t purge_ns, uint64_t now_ns)
{
    struct protection_orders orders = {0};
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        struct protection_state *state = &protection->states[rule];
        const struct protection_row *row = &protection_rows[rule];
        protection_judge(state, row, &readings[rule]);
        orders.purges |= protection_purges(state, row, purge_ns, now_ns);
        if (state->is_active) {
            orders.refusal = orders.refusal == NULL ? row->refusal : orders.refusal;
            orders.reaps |= row->reaps;
        }
    }
    return orders;
}
