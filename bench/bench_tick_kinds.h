/*
 * bench_tick_kinds: the ticks that the encoders are measured with, and how.
 *
 * For each kind of tick, 20 000 batches (small: 20) of BENCH_BATCH_OPS ticks whose seq, times and
 * price change are encoded; each batch is timed; the means are sorted.
 */
#ifndef RINGCAST_BENCH_BENCH_TICK_KINDS_H
#define RINGCAST_BENCH_BENCH_TICK_KINDS_H

#include "bench/bench_samples.h"
#include "codec/json_tick.h"

#define BENCH_BATCH_OPS 64
#define BENCH_OUT_BYTES (256 * 1024)
#define BENCH_LEVELS_MAX 2000
#define BENCH_CHANNEL 1042
#define BENCH_SEQ 58211

static struct md_level bench_levels[BENCH_LEVELS_MAX];
static uint8_t bench_out[BENCH_OUT_BYTES];

#define D(mantissa, exponent) ((struct md_decimal){mantissa, exponent})
#define NONE ((struct md_decimal){.mantissa = MD_NONE})
#define TIMES                                                                                      \
    .ts_event_ns = UINT64_C(1732078800123456789), .ts_recv_ns = UINT64_C(1732078800123460000)
#define QUOTE_PRICES                                                                               \
    D(1234, -2), D(1230, -2), D(1240, -2), D(1225, -2), D(1231, -2), D(123456, 0), D(152345678, -2)

static const struct bench_tick {
    const char *name;
    struct md_update update;
    size_t divisor; /* So many times fewer batches. */
} bench_ticks[] = {
    {"quote, last only",
     {.type = MD_QUOTE,
      TIMES,
      .quote = {D(1234, -2), NONE, NONE, NONE, NONE, NONE, NONE, NULL, NULL, 0, 0, NULL}},
     1},
    {"quote, best bid and ask",
     {.type = MD_QUOTE,
      TIMES,
      .quote = {D(1234, -2), NONE, NONE, NONE, NONE, D(123456, 0), NONE, bench_levels, bench_levels,
                1, 1, NULL}},
     1},
    {"quote of the protocol",
     {.type = MD_QUOTE, TIMES, .quote = {QUOTE_PRICES, bench_levels, bench_levels, 2, 2, NULL}},
     1},
    {"quote, 5 levels a side",
     {.type = MD_QUOTE, TIMES, .quote = {QUOTE_PRICES, bench_levels, bench_levels, 5, 5, NULL}},
     1},
    {"quote, JSON padded to 512 bytes",
     {.type = MD_QUOTE, TIMES, .pad_bytes = 512, .quote = {.last = D(1234, -2)}},
     1},
    {"trade of Binance",
     {.type = MD_TRADE,
      TIMES,
      .trade = {D(6543212000000, -8), D(123000, -8), MD_SIDE_SELL, true, 4242424242}},
     1},
    {"bar of a minute",
     {.type = MD_BAR,
      TIMES,
      .bar = {"1m", UINT64_C(1732078800000000000), D(1230, -2), D(1240, -2), D(1225, -2),
              D(1234, -2), D(123456, 0), D(152345678, -2), true, 421, true}},
     1},
    {"bar, exponents differ",
     {.type = MD_BAR,
      TIMES,
      .bar = {"1m", UINT64_C(1732078800000000000), D(123, -1), D(12405, -3), D(1225, -2), D(12, 0),
              D(123456, 0), D(152345678, -2), true, 421, true}},
     1},
    {"depth, 20 levels a side",
     {.type = MD_DEPTH,
      TIMES,
      .depth = {MD_SNAPSHOT, bench_levels, bench_levels, 20, 20, false, 0}},
     4},
    {"depth, 2000 levels a side",
     {.type = MD_DEPTH,
      TIMES,
      .depth = {MD_SNAPSHOT, bench_levels, bench_levels, 2000, 2000, false, 0}},
     100},
};

/* Encodes into bench_out; returns the bytes. */
typedef size_t bench_encode(const struct json_tick_head *head, const struct md_update *update,
                            uint64_t seq);

static inline uint64_t bench_batch(bench_encode *encode, const struct json_tick_head *head,
                                   struct md_update *update, uint64_t *seq)
{
    uint64_t checksum = 0;
    for (int op = 0; op < BENCH_BATCH_OPS; op++) {
        *seq += 1;
        update->ts_event_ns += 1000003;
        update->ts_recv_ns += 1000003;
        if (update->type == MD_QUOTE) {
            update->quote.last.mantissa = 1000 + (int64_t)(*seq % 1000);
        }
        size_t bytes = encode(head, update, *seq);
        assert_always(bytes > 0);
        checksum += bytes + bench_out[bytes / 2];
    }
    return checksum;
}

static inline uint64_t bench_one_tick(const struct bench_tick *tick, size_t batch_count,
                                      bench_encode *encode, struct bench_samples *samples)
{
    uint64_t checksum = 0;
    uint64_t seq = BENCH_SEQ;
    struct md_update update = tick->update;
    struct json_tick_head head;
    json_tick_head_init(&head, update.type, "000001.SZ", 9, BENCH_CHANNEL);
    for (size_t batch = 0; batch <= batch_count / tick->divisor; batch++) {
        uint64_t start_ns = bench_now_ns();
        checksum += bench_batch(encode, &head, &update, &seq);
        uint64_t elapsed_ns = bench_now_ns() - start_ns;
        if (batch > 0) { /* The first warms up. */
            bench_samples_add(samples, (double)elapsed_ns / BENCH_BATCH_OPS);
        }
    }
    return checksum;
}

/* after: what there is to say of a tick once its times are printed; may be NULL. */
static inline int bench_ticks_run(int argument_count, char **arguments, bench_encode *encode,
                                  void (*after)(const struct bench_tick *))
{
    size_t batch_count = bench_is_full(argument_count, arguments) ? 20000 : 20;
    for (int i = 0; i < BENCH_LEVELS_MAX; i++) {
        bench_levels[i] = (struct md_level){D(1233 + i, -2), D(100 * (i % 50 + 1), 0)};
    }
    struct bench_samples samples;
    bench_samples_init(&samples, batch_count);
    uint64_t checksum = 0;
    for (size_t i = 0; i < sizeof bench_ticks / sizeof bench_ticks[0]; i++) {
        const struct bench_tick *tick = &bench_ticks[i];
        checksum += bench_one_tick(tick, batch_count, encode, &samples);
        if (samples.count > 0) {
            bench_samples_print(&samples, tick->name);
            if (after != NULL) {
                after(tick);
            }
        }
    }
    bench_print_checksum(checksum);
    bench_samples_deinit(&samples);
    return 0;
}

#endif
