#include "src/session/session_stale.h"

#include <inttypes.h>
#include <stdlib.h>

#include "src/market/staleness.h"
#include "src/session/session_state.h"

#define SESSION_STALE_UNITS 4 /* for a symbol that is looked up */

struct session_stale {
    uint32_t count;
    uint32_t symbols[SESSION_STALE_NAMES_MAX]; /* the first ones */
    uint64_t seen[CHANNELS_MAX / 64];          /* a bit for each of them */
};

static bool session_stale_is_subscribed(struct session_call *call, uint32_t i,
                                        const struct channel *channel)
{
    bool is_star = channel->group != CHANNELS_VARIANTS_GROUP &&
                   (call->session->star_types & (1u << channel->group)) != 0;
    return is_star || core_subscription_tag(call->core, call->conn, i) >= 0;
}

static bool session_stale_visit(struct session_call *call, uint32_t i,
                                const struct channel *channel)
{
    const struct staleness *staleness = call->sessions->options.symbols->staleness;
    struct session_stale *stale = call->stale;
    if (!session_stale_is_subscribed(call, i, channel)) {
        return true;
    }
    session_call_spend(call, SESSION_STALE_UNITS);
    uint32_t symbol = staleness_symbol(staleness, i);
    if (symbol == CHANNEL_NONE || !staleness_is_stale(staleness, symbol, call->now_ns) ||
        (stale->seen[symbol / 64] >> symbol % 64 & 1) != 0) {
        return true;
    }
    stale->seen[symbol / 64] |= UINT64_C(1) << symbol % 64;
    if (stale->count < SESSION_STALE_NAMES_MAX) {
        stale->symbols[stale->count] = symbol;
    }
    stale->count++;
    return true;
}

bool session_stale_find(struct session_call *call)
{
    const struct staleness *staleness = call->sessions->options.symbols->staleness;
    if (staleness == NULL || !staleness_is_possible(staleness)) {
        return true;
    }
    if (call->stale == NULL) {
        call->stale = calloc(1, sizeof *call->stale);
    }
    return call->stale == NULL || session_call_each_channel(call, session_stale_visit);
}

void session_stale_put(const struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    const struct session_stale *stale = call->stale;
    uint32_t count = stale == NULL ? 0 : stale->count;
    reply_print(reply, ",\"stale\":{\"count\":%" PRIu32 ",\"symbols\":[", count);
    for (uint32_t i = 0; i < count && i < SESSION_STALE_NAMES_MAX; i++) {
        const struct channel *symbol =
            channels_get(call->sessions->options.channels, stale->symbols[i]);
        reply_text(reply, i == 0 ? "" : ",");
        reply_string(reply, symbol->symbol, symbol->symbol_bytes);
    }
    reply_text(reply, "]}");
}
