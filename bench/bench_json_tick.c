/*
 * Question  What does it cost the feed thread to write one tick as JSON?
 * Method    For each kind of tick, encode batch_count batches of BATCH_OPS ticks whose seq, times
 *           and price change; time each batch; sort the means; report p50, p99, p99.9, max.
 * Run       zig build bench -- json_tick        (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/json_tick.h"

#define BATCH_OPS 64
#define OUT_BYTES (256 * 1024)
#define LEVELS_MAX 2000

static const struct bench_size {
    const char *name;
    size_t batch_count;
} sizes[] = {
    {.name = "small", .batch_count = 20},
    {.name = "full", .batch_count = 20000},
};

static struct md_level bench_levels[LEVELS_MAX];
static uint8_t bench_out[OUT_BYTES];

#define D(mantissa, exponent) ((struct md_decimal){mantissa, exponent})
#define QUOTE_BASE                                                                                 \
    .ts_event_ns = UINT64_C(1732078800123456789), .ts_recv_ns = UINT64_C(1732078800123460000)

static const struct bench_tick {
    const char *name;
    struct md_update update;
    size_t divisor; /* So many times fewer batches. */
} bench_ticks[] = {
    {"quote, last only",
     {.type = MD_QUOTE,
      QUOTE_BASE,
      .quote = {D(1234, -2),
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                NULL,
                NULL,
                0,
                0,
                NULL}},
     1},
    {"quote, best bid and ask",
     {.type = MD_QUOTE,
      QUOTE_BASE,
      .quote = {D(1234, -2),
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                {MD_NONE, 0},
                D(123456, 0),
                {MD_NONE, 0},
                bench_levels,
                bench_levels,
                1,
                1,
                NULL}},
     1},
    {"quote of the protocol",
     {.type = MD_QUOTE,
      QUOTE_BASE,
      .quote = {D(1234, -2), D(1230, -2), D(1240, -2), D(1225, -2), D(1231, -2), D(123456, 0),
                D(152345678, -2), bench_levels, bench_levels, 2, 2, NULL}},
     1},
    {"quote, 5 levels a side",
     {.type = MD_QUOTE,
      QUOTE_BASE,
      .quote = {D(1234, -2), D(1230, -2), D(1240, -2), D(1225, -2), D(1231, -2), D(123456, 0),
                D(152345678, -2), bench_levels, bench_levels, 5, 5, NULL}},
     1},
    {"quote padded to 512 bytes",
     {.type = MD_QUOTE, QUOTE_BASE, .pad_bytes = 512, .quote = {.last = D(1234, -2)}},
     1},
    {"trade of Binance",
     {.type = MD_TRADE,
      QUOTE_BASE,
      .trade = {D(6543212000000, -8), D(123000, -8), MD_SIDE_SELL, true, 4242424242}},
     1},
    {"depth, 20 levels a side",
     {.type = MD_DEPTH,
      QUOTE_BASE,
      .depth = {MD_SNAPSHOT, bench_levels, bench_levels, 20, 20, false, 0}},
     4},
    {"depth, 2000 levels a side",
     {.type = MD_DEPTH,
      QUOTE_BASE,
      .depth = {MD_SNAPSHOT, bench_levels, bench_levels, 2000, 2000, false, 0}},
     100},
};

static uint64_t bench_batch(const struct json_tick_head *head, struct md_update *update,
                            uint64_t *seq)
{
    uint64_t checksum = 0;
    for (int op = 0; op < BATCH_OPS; op++) {
        *seq += 1;
        update->ts_event_ns += 1000003;
        update->ts_recv_ns += 1000003;
        if (update->type == MD_QUOTE) {
            update->quote.last.mantissa = 1000 + (int64_t)(*seq % 1000);
        }
        size_t bytes =
            json_tick_encode(bench_out, sizeof bench_out, head, update, *seq, update->ts_recv_ns);
        assert_always(bytes > 0);
        checksum += bytes + bench_out[bytes / 2];
    }
    return checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    for (int i = 0; i < LEVELS_MAX; i++) {
        bench_levels[i] = (struct md_level){D(1233 + i, -2), D(100 * (i % 50 + 1), 0)};
    }
    struct bench_samples samples;
    bench_samples_init(&samples, size->batch_count);
    uint64_t checksum = 0;
    for (size_t i = 0; i < sizeof bench_ticks / sizeof bench_ticks[0]; i++) {
        struct md_update update = bench_ticks[i].update;
        struct json_tick_head head;
        json_tick_head_init(&head, update.type, "000001.SZ", 9, 1042);
        uint64_t seq = 58211;
        for (size_t batch = 0; batch <= size->batch_count / bench_ticks[i].divisor; batch++) {
            uint64_t start_ns = bench_now_ns();
            checksum += bench_batch(&head, &update, &seq);
            uint64_t elapsed_ns = bench_now_ns() - start_ns;
            if (batch > 0) { /* The first warms up. */
                bench_samples_add(&samples, (double)elapsed_ns / BATCH_OPS);
            }
        }
        if (samples.count > 0) {
            bench_samples_print(&samples, bench_ticks[i].name);
        }
    }
    bench_print_checksum(checksum);
    bench_samples_deinit(&samples);
    return 0;
}
