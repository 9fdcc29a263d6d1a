/*
 * Question  What does it cost the feed thread to write one tick as SBE, and how long is it?
 * Method    bench_tick_kinds.h; p50, p99, p99.9, max; and the length, as SBE and as JSON.
 * Run       zig build bench -- sbe_tick         (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_tick_kinds.h"
#include "codec/sbe_tick.h"

static size_t encode(const struct json_tick_head *head, const struct md_update *update,
                     uint64_t seq)
{
    (void)head;
    return sbe_tick_encode(bench_out, sizeof bench_out, BENCH_CHANNEL, update, seq,
                           update->ts_recv_ns);
}

static void print_lengths(const struct bench_tick *tick)
{
    struct json_tick_head head;
    if (bench_is_json()) {
        return;
    }
    json_tick_head_init(&head, tick->update.type, "000001.SZ", 9, BENCH_CHANNEL);
    size_t json = json_tick_encode(bench_out, sizeof bench_out, &head, &tick->update, BENCH_SEQ,
                                   tick->update.ts_recv_ns);
    size_t sbe = encode(&head, &tick->update, BENCH_SEQ);
    printf("    %zu bytes, %.1f %% of the %zu of JSON\n", sbe, 100 * (double)sbe / (double)json,
           json);
}

int main(int argument_count, char **arguments)
{
    return bench_ticks_run(argument_count, arguments, encode, print_lengths);
}
