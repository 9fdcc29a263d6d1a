/*
 * feed_sim: invented ticks at an exact rate, the same for the same seed.
 *
 * Tick k is of symbol k mod symbols; in round k / symbols that symbol has type
 * (symbol + round) mod types, so that each pair occurs once in every `types` rounds. Instant i is
 * at start + i * burst / rate seconds, and has `burst` ticks. Late ticks are made up for.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/list.h"
#include "codec/base/units.h"
#include "codec/json_tick.h"
#include "feeds/feed.h"
#include "feeds/feed_clock.h"
#include "feeds/sim/sim_market.h"

#define FEED_SIM_SYMBOLS_MAX 65536
#define FEED_SIM_RATE_MAX 1000000000 /* ticks a second: one each nanosecond */
#define FEED_SIM_BURST_MAX 1000000
#define FEED_SIM_PAD_MAX 65000
#define FEED_SIM_TYPES_MAX 4
#define FEED_SIM_CHANNEL_MAX UINT32_MAX

struct feed_sim {
    struct feed feed;

    /* Set by open, then constant. */
    uint64_t symbol_count, rate, burst, seed, pad_bytes;
    enum md_type types[FEED_SIM_TYPES_MAX];
    uint32_t type_count;
    struct sim_market *market;
    uint32_t *channels; /* of symbol x type: symbol_index * type_count + type_index */

    /* The schedule: due_ns + rest / rate is when the next instant is, exactly. */
    struct feed_clock clock;
    uint64_t due_ns;
    uint64_t rest;         /* below rate */
    uint64_t step_ns;      /* burst / rate seconds are step_ns + step_rest / rate. */
    uint64_t step_rest;    /* below rate */
    uint64_t instant_left; /* ticks that this instant still has to bring */

    /* Whose turn it is. */
    uint32_t symbol_index;
    uint32_t type_index;  /* of the next tick */
    uint32_t round_index; /* modulo type_count */
};

static_assert(FEED_SIM_BURST_MAX * NS_PER_SECOND < UINT64_MAX / 2, "burst / rate in 64 bits");

/* Returns the length. Real names first, so that the examples of the manual work. */
static size_t feed_sim_symbol(char symbol[MD_SYMBOL_BYTES_MAX], uint32_t symbol_index)
{
    static const char *const known[] = {"000001.SZ", "600519.SH", "300750.SZ",
                                        "AAPL.US",   "MSFT.US",   "NVDA.US"};
    if (symbol_index < sizeof known / sizeof known[0]) {
        size_t bytes = strlen(known[symbol_index]);
        memcpy(symbol, known[symbol_index], bytes);
        return bytes;
    }
    return (size_t)snprintf(symbol, MD_SYMBOL_BYTES_MAX, "SIM%05" PRIu32 ".SIM", symbol_index);
}

static int feed_sim_parse_types(struct feed_sim *sim, const char *text,
                                char error_out[FEED_ERROR_BYTES_MAX])
{
    uint32_t seen = 0;
    for (;;) {
        size_t bytes = strcspn(text, "+");
        enum md_type type = md_type_by_name(text, bytes);
        if (type != MD_QUOTE && type != MD_TRADE && type != MD_BAR && type != MD_DEPTH) {
            return feed_fail(
                error_out, -EINVAL,
                "sim: \"%.*s\" in types is not quote, trade, bar or depth; join several with +",
                (int)(bytes < 64 ? bytes : 64), text);
        }
        if (seen & UINT32_C(1) << type) {
            return feed_fail(error_out, -EINVAL, "sim: types names %s twice", md_type_name(type));
        }
        seen |= UINT32_C(1) << type;
        sim->types[sim->type_count++] = type;
        if (text[bytes] == '\0') {
            return 0;
        }
        text += bytes + 1;
    }
}

static int feed_sim_parse(struct feed_sim *sim, const char *spec,
                          char error_out[FEED_ERROR_BYTES_MAX])
{
    char types[FEED_TEXT_BYTES_MAX] = "quote";
    const struct feed_key keys[] = {
        {"symbols", FEED_KEY_U64, &sim->symbol_count, 1, FEED_SIM_SYMBOLS_MAX},
        {"rate", FEED_KEY_U64, &sim->rate, 1, FEED_SIM_RATE_MAX},
        {"burst", FEED_KEY_U64, &sim->burst, 1, FEED_SIM_BURST_MAX},
        {"types", FEED_KEY_TEXT, types, 0, 0},
        {"seed", FEED_KEY_U64, &sim->seed, 0, UINT64_MAX},
        {"pad", FEED_KEY_U64, &sim->pad_bytes, 0, FEED_SIM_PAD_MAX},
    };
    sim->symbol_count = 100;
    sim->rate = 1000;
    sim->burst = 1;
    sim->seed = 1;

    int error = feed_parse_keys("sim", spec, keys, sizeof keys / sizeof keys[0], error_out);
    if (error < 0) {
        return error;
    }
    error = feed_sim_parse_types(sim, types, error_out);
    if (error < 0) {
        return error;
    }
    if (sim->pad_bytes != 0 && (sim->type_count != 1 || sim->types[0] != MD_QUOTE)) {
        return feed_fail(error_out, -EINVAL, "sim: pad=%" PRIu64 " needs types=quote",
                         sim->pad_bytes);
    }
    return 0;
}

/* The longest payload that this feed's quotes can need, with the longest channel and seq. */
static size_t feed_sim_pad_bytes_min(struct feed_sim *sim)
{
    struct json_tick_head head;
    struct md_update update;
    uint8_t payload[1024];
    char symbol[MD_SYMBOL_BYTES_MAX];
    size_t longest = 0;

    sim_market_longest_quote(sim->market, &update);
    update.ts_recv_ns = UINT64_MAX;
    /* The six known names, then the last: of the others none is longer. */
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t index = i < 6 ? i : (uint32_t)sim->symbol_count - 1;
        if (index >= sim->symbol_count) {
            continue;
        }
        size_t symbol_bytes = feed_sim_symbol(symbol, index);
        json_tick_head_init(&head, MD_QUOTE, symbol, symbol_bytes, FEED_SIM_CHANNEL_MAX);
        size_t bytes =
            json_tick_encode(payload, sizeof payload, &head, &update, UINT64_MAX, UINT64_MAX);
        assert_always(bytes > 0);
        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

static int feed_sim_open_channels(struct feed_sim *sim, char error_out[FEED_ERROR_BYTES_MAX])
{
    const struct feed_sink *sink = sim->feed.sink;
    char symbol[MD_SYMBOL_BYTES_MAX];
    for (uint32_t i = 0; i < sim->symbol_count; i++) {
        size_t symbol_bytes = feed_sim_symbol(symbol, i);
        for (uint32_t j = 0; j < sim->type_count; j++) {
            uint32_t channel =
                sink->open_channel(sink->context, symbol, symbol_bytes, sim->types[j]);
            if (channel == UINT32_MAX) {
                return feed_fail(error_out, -ENOSPC,
                                 "sim: no room for the channels of %" PRIu64 " symbols x %" PRIu32
                                 " types; reduce symbols",
                                 sim->symbol_count, sim->type_count);
            }
            sim->channels[i * sim->type_count + j] = channel;
        }
    }
    return 0;
}

static int feed_sim_create_market(struct feed_sim *sim, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct sim_market_options options = {
        .symbol_count = (uint32_t)sim->symbol_count,
        .seed = sim->seed,
        .short_quotes = sim->pad_bytes != 0,
    };
    for (uint32_t i = 0; i < sim->type_count; i++) {
        options.types |= UINT32_C(1) << sim->types[i];
    }
    sim->channels = calloc(sim->symbol_count * sim->type_count, sizeof *sim->channels);
    if (sim->channels == NULL || sim_market_create(&sim->market, &options) < 0) {
        return feed_fail(error_out, -ENOMEM, "sim: no memory for %" PRIu64 " symbols",
                         sim->symbol_count);
    }
    if (sim->pad_bytes != 0 && sim->pad_bytes < feed_sim_pad_bytes_min(sim)) {
        return feed_fail(error_out, -EINVAL,
                         "sim: pad=%" PRIu64 " is too small; the smallest is pad=%zu",
                         sim->pad_bytes, feed_sim_pad_bytes_min(sim));
    }
    return 0;
}

static void feed_sim_close(struct feed *feed)
{
    struct feed_sim *sim = container_of(feed, struct feed_sim, feed);
    sim_market_destroy(sim->market);
    free(sim->channels);
    free(sim);
}

static int feed_sim_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                         uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct feed_sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL) {
        return feed_fail(error_out, -ENOMEM, "sim: no memory");
    }
    sim->feed.sink = sink;
    sim->feed.is_scheduled = true;

    int error = feed_sim_parse(sim, spec, error_out);
    if (error == 0) {
        error = feed_sim_create_market(sim, error_out);
    }
    if (error == 0) {
        error = feed_sim_open_channels(sim, error_out);
    }
    if (error < 0) {
        feed_sim_close(&sim->feed);
        return error;
    }
    feed_clock_init(&sim->clock, now_ns);
    sim->due_ns = now_ns;
    sim->step_ns = sim->burst * NS_PER_SECOND / sim->rate;
    sim->step_rest = sim->burst * NS_PER_SECOND % sim->rate;
    sim->instant_left = sim->burst;
    *feed_out = &sim->feed;
    return 0;
}

static void feed_sim_advance_turn(struct feed_sim *sim)
{
    sim->type_index = sim->type_index + 1 == sim->type_count ? 0 : sim->type_index + 1;
    if (++sim->symbol_index < sim->symbol_count) {
        return;
    }
    sim->symbol_index = 0;
    sim->round_index = (sim->round_index + 1) % sim->type_count;
    sim->type_index = sim->round_index;
}

static void feed_sim_advance_schedule(struct feed_sim *sim)
{
    if (--sim->instant_left > 0) {
        return;
    }
    sim->instant_left = sim->burst;
    sim->due_ns += sim->step_ns;
    sim->rest += sim->step_rest;
    if (sim->rest >= sim->rate) {
        sim->rest -= sim->rate;
        sim->due_ns++;
    }
}

static void feed_sim_publish(struct feed_sim *sim, uint64_t now_ns)
{
    const struct feed_sink *sink = sim->feed.sink;
    struct md_update update;
    uint32_t channel_index = sim->symbol_index * sim->type_count + sim->type_index;

    sim_market_tick(sim->market, sim->symbol_index, sim->types[sim->type_index], sim->due_ns,
                    &update);
    update.channel = sim->channels[channel_index];
    update.ts_recv_ns = now_ns;
    update.pad_bytes = (uint32_t)sim->pad_bytes;
    sink->publish(sink->context, &update);
    sim->feed.counters.ticks++;
}

static uint64_t feed_sim_poll(struct feed *feed, uint64_t now_ns)
{
    struct feed_sim *sim = container_of(feed, struct feed_sim, feed);
    if (feed->state != FEED_LIVE) {
        feed_set_state(feed, FEED_LIVE, now_ns, "%s", "");
    }
    int64_t step_ns = feed_clock_step(&sim->clock, now_ns);
    if (step_ns != 0) {
        sim->due_ns += (uint64_t)step_ns;
        feed_log(feed, FEED_WARNING,
                 "sim: the clock jumped between two polls, by %+" PRId64
                 " s; the schedule continues from there",
                 step_ns / (int64_t)NS_PER_SECOND);
    }
    uint32_t room = 0;
    for (; sim->due_ns <= now_ns && feed_has_room(feed, &room); room--) {
        feed_sim_publish(sim, now_ns);
        feed_sim_advance_schedule(sim);
        feed_sim_advance_turn(sim);
    }
    return feed_clock_sleep(&sim->clock, sim->due_ns);
}

const struct feed_ops feed_sim = {
    .name = "sim",
    .help = "symbols=100  number of symbols\n"
            "rate=1000    ticks per second, over all symbols\n"
            "burst=1      number of ticks published at the same instant\n"
            "types=quote  quote, trade, bar, depth, or several joined by +\n"
            "seed=1       equal seeds produce equal ticks\n"
            "pad=0        pad each payload to this many bytes (types=quote only)\n",
    .open = feed_sim_open,
    .poll = feed_sim_poll,
    .close = feed_sim_close,
};
