#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/load/bench_slow_ticks.h"

static struct bench_slow_ticks slow;

static void add(uint64_t seq, uint64_t latency_ns, uint32_t conn_index)
{
    struct bench_slow_tick tick = {
        .latency_ns = latency_ns, .time_ns = seq, .seq = seq, .conn_index = conn_index};
    bench_slow_ticks_add(&slow, &tick);
}

static void the_slowest_are_kept_in_their_order(void **state)
{
    (void)state;
    bench_slow_ticks_begin(&slow, 3);
    static const uint64_t latencies[] = {50, 10, 40, 30, 20, 60, 5};
    for (uint32_t i = 0; i < sizeof latencies / sizeof latencies[0]; i++) {
        add(i, latencies[i], i);
    }
    bench_slow_ticks_sort(&slow);
    assert_int_equal(slow.count, 3);
    assert_int_equal(slow.list[0].latency_ns, 60);
    assert_int_equal(slow.list[1].latency_ns, 50);
    assert_int_equal(slow.list[2].latency_ns, 40);
    assert_int_equal(slow.list[2].conn_index, 2);
    assert_int_equal(slow.above_ns, 40);
}

static void a_tick_has_one_place_with_its_latest_receipt(void **state)
{
    (void)state;
    bench_slow_ticks_begin(&slow, 2);
    add(1, 10, 0);
    add(1, 30, 7);
    add(1, 20, 8);
    add(2, 15, 3);
    add(2, 25, 4);
    bench_slow_ticks_sort(&slow);
    assert_int_equal(slow.count, 2);
    assert_int_equal(slow.list[0].latency_ns, 30);
    assert_int_equal(slow.list[0].conn_index, 7);
    assert_int_equal(slow.list[1].latency_ns, 25);
    assert_int_equal(slow.above_ns, 25);
}

static void nothing_is_kept_that_is_not_wanted(void **state)
{
    (void)state;
    bench_slow_ticks_begin(&slow, 0);
    assert_int_equal(slow.above_ns, UINT64_MAX);
    add(1, 10, 0);
    assert_int_equal(slow.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slowest_are_kept_in_their_order),
        cmocka_unit_test(a_tick_has_one_place_with_its_latest_receipt),
        cmocka_unit_test(nothing_is_kept_that_is_not_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
