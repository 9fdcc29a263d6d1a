/*
 * Question  What does it cost the feed thread to write one tick as JSON?
 * Method    bench_tick_kinds.h; p50, p99, p99.9, max.
 * Run       zig build bench -- json_tick        (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_tick_kinds.h"

static size_t encode(const struct json_tick_head *head, const struct md_update *update,
                     uint64_t seq)
{
    return json_tick_encode(bench_out, sizeof bench_out, head, update, seq, update->ts_recv_ns);
}

int main(int argument_count, char **arguments)
{
    return bench_ticks_run(argument_count, arguments, encode, NULL);
}
