#include "src/guard/alerts.h"

#include "codec/base/check.h"
#include "src/base/log.h"

static const struct {
    const char *name;
    const char *area; /* how its lines in the log begin */
    double critical;  /* 0: there is no such level */
    uint32_t ticks;   /* that raise it */
} alerts_rows[ALERT_RULES] = {
    [ALERT_CPU] = {"cpu", "performance", ALERTS_CPU_CRITICAL, ALERTS_TICKS},
    [ALERT_MEMORY] = {"memory", "memory", ALERTS_MEMORY_CRITICAL, ALERTS_TICKS},
    [ALERT_DISK] = {"disk", "disk", ALERTS_DISK_CRITICAL, ALERTS_TICKS},
    [ALERT_CONNECTIONS] = {"connections", "performance", 0, ALERTS_TICKS},
    [ALERT_LATENCY] = {"latency", "latency", 0, ALERTS_TICKS},
    /* One is a loss, and it is in the sum of a minute. */
    [ALERT_LAPS] = {"laps", "performance", 0, 1},
};

const char *alert_rule_name(enum alert_rule rule)
{
    assert_always(rule < ALERT_RULES);
    return alerts_rows[rule].name;
}

const char *alert_level_name(enum alert_level level)
{
    assert_always(level == ALERT_WARNING || level == ALERT_CRITICAL);
    return level == ALERT_CRITICAL ? "critical" : "warning";
}

/* The limit of the critical level is never below that of the warning. */
static double alerts_limit(enum alert_rule rule, enum alert_level level,
                           const struct alert_reading *reading)
{
    double critical = alerts_rows[rule].critical;
    return level == ALERT_CRITICAL && critical > reading->limit ? critical : reading->limit;
}

/* Whether a level is due: from its limit on, or, once it is reached, from somewhat less. */
static bool alerts_is_due(enum alert_rule rule, enum alert_level level, enum alert_level now,
                          const struct alert_reading *reading)
{
    double limit = alerts_limit(rule, level, reading);
    if (level == ALERT_CRITICAL && alerts_rows[rule].critical == 0) {
        return false;
    }
    return reading->limit > 0 &&
           reading->value > (now >= level ? limit * ALERTS_FALL_PERCENT / 100 : limit);
}

static enum alert_level alerts_asked(enum alert_rule rule, enum alert_level now,
                                     const struct alert_reading *reading)
{
    return alerts_is_due(rule, ALERT_CRITICAL, now, reading)  ? ALERT_CRITICAL
           : alerts_is_due(rule, ALERT_WARNING, now, reading) ? ALERT_WARNING
                                                              : ALERT_NONE;
}

static void alerts_log(enum alert_rule rule, const struct alert_event *event, const char *what)
{
    if (event->is_cleared) {
        log_write(LOG_LEVEL_INFO, "%s: alert %s has ended: %.0f %s", alerts_rows[rule].area,
                  alerts_rows[rule].name, event->value, what);
    } else {
        log_write(event->level == ALERT_CRITICAL ? LOG_LEVEL_CRITICAL : LOG_LEVEL_WARNING,
                  "%s: %.0f %s", alerts_rows[rule].area, event->value, what);
    }
}

static void alerts_enter(struct alerts *alerts, enum alert_rule rule, enum alert_level level,
                         const struct alert_reading *reading, int64_t wall_s)
{
    struct alert_state *state = &alerts->states[rule];
    assert_always(state->level != level);
    bool is_cleared = level == ALERT_NONE;
    if (!is_cleared) {
        state->limit = alerts_limit(rule, level, reading);
    }
    struct alert_event event = {.rule = rule,
                                .level = is_cleared ? state->level : level,
                                .is_cleared = is_cleared,
                                .value = reading->value,
                                .limit = state->limit,
                                .wall_s = wall_s};
    state->level = level;
    state->since_wall_s = wall_s;
    alerts->events[alerts->event_count % ALERTS_HISTORY_COUNT_MAX] = event;
    alerts->event_count++;
    alerts_log(rule, &event, reading->what);
}

/* Of all ticks in a row that ask for a higher level (or a lower one) the nearest counts: a number
 * between two levels raises the lower one. */
static void alerts_judge(struct alerts *alerts, enum alert_rule rule,
                         const struct alert_reading *reading, int64_t wall_s)
{
    struct alert_state *state = &alerts->states[rule];
    enum alert_level asked = alerts_asked(rule, state->level, reading);
    bool rises = asked > state->level;
    bool goes_on = state->ticks > 0 && (state->nearest > state->level) == rises;
    state->value = reading->value;
    if (asked == state->level) {
        state->ticks = 0;
        return;
    }
    state->nearest = !goes_on || (rises ? asked < state->nearest : asked > state->nearest)
                         ? asked
                         : state->nearest;
    state->ticks = goes_on ? state->ticks + 1 : 1;
    if (state->ticks >= alerts_rows[rule].ticks || reading->limit == 0) {
        state->ticks = 0;
        alerts_enter(alerts, rule, reading->limit == 0 ? ALERT_NONE : state->nearest, reading,
                     wall_s);
    }
}

void alerts_tick(struct alerts *alerts, const struct alert_reading readings[ALERT_RULES],
                 int64_t wall_s)
{
    for (enum alert_rule rule = 0; rule < ALERT_RULES; rule++) {
        alerts_judge(alerts, rule, &readings[rule], wall_s);
    }
}
