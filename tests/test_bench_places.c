#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/bench_places.h"

#define CONNECTIONS 100
#define GOLDEN 0.6180339887498949

static struct bench_receipts threads[4];
static bool is_counted[CONNECTIONS];

static void begin(size_t count_max)
{
    for (size_t i = 0; i < 4; i++) {
        threads[i] = (struct bench_receipts){.count_max = count_max};
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        is_counted[i] = true;
    }
}

static struct bench_places end(uint32_t thread_count)
{
    const struct bench_receipts *const all[] = {threads, threads + 1, threads + 2, threads + 3};
    struct bench_places places;
    assert_int_equal(bench_places_find(&places, all, thread_count, is_counted, CONNECTIONS), 0);
    for (size_t i = 0; i < 4; i++) {
        bench_places_forget(&threads[i]);
    }
    return places;
}

static void expect(double found, double wanted, double error)
{
    if (!(fabs(found - wanted) <= error)) {
        fail_msg("%f is not %f", found, wanted);
    }
}

/* As ringcast sends: in the order of connections, from another one each time. */
static void walk(uint32_t thread_count, uint64_t seq, uint64_t at_ns, uint32_t connections)
{
    double part = (double)seq * GOLDEN;
    uint32_t first = (uint32_t)((part - floor(part)) * connections);
    for (uint32_t i = 0; i < connections; i++) {
        uint32_t conn = (first + i) % connections;
        bench_places_note(&threads[conn * thread_count / CONNECTIONS], 7, seq, at_ns + i, conn);
    }
}

static void a_fair_server_is_fair_with_any_number_of_threads(void **state)
{
    (void)state;
    for (uint32_t thread_count = 1; thread_count <= 4; thread_count++) {
        begin(1 << 20);
        for (uint64_t seq = 1; seq <= 1000; seq++) {
            walk(thread_count, seq, seq * 1000000, CONNECTIONS);
        }
        struct bench_places places = end(thread_count);
        expect(places.min, 0.5, 0.02);
        expect(places.max, 0.5, 0.02);
        expect(places.deviation, 0.0, 0.01);
        assert_int_equal(places.connections, CONNECTIONS);
        assert_int_equal(places.ticks, 1000);
    }
}

static void an_order_that_stays_is_told_with_any_number_of_threads(void **state)
{
    (void)state;
    for (uint32_t thread_count = 1; thread_count <= 4; thread_count++) {
        begin(1 << 20);
        for (uint64_t seq = 1; seq <= 10; seq++) {
            for (uint32_t i = 0; i < 5; i++) {
                /* connection i receives as number 3 * i of 5 */
                bench_places_note(&threads[i % thread_count], 7, seq, seq * 1000 + 3 * i % 5, i);
            }
        }
        struct bench_places places = end(thread_count);
        expect(places.min, 0.0, 1e-9);
        expect(places.max, 1.0, 1e-9);
        expect(places.deviation, sqrt(0.125), 1e-9);
        expect(places.chance, sqrt(0.125 / 10), 1e-9);
        assert_int_equal(places.connections, 5);
    }
}

static void who_does_not_receive_takes_no_place(void **state)
{
    (void)state;
    begin(1 << 20);
    for (uint64_t seq = 1; seq <= 1000; seq++) { /* half of the connections were refused */
        walk(2, seq, seq * 1000000, CONNECTIONS / 2);
    }
    struct bench_places places = end(2);
    assert_int_equal(places.connections, CONNECTIONS / 2);
    expect(places.min, 0.5, 0.03);
    expect(places.max, 0.5, 0.03);
}

static void who_ended_has_no_mean_but_took_its_place(void **state)
{
    (void)state;
    begin(1 << 20);
    is_counted[0] = false;
    for (uint64_t seq = 1; seq <= 10; seq++) {
        for (uint32_t i = 0; i < 3; i++) {
            bench_places_note(&threads[i % 2], 7, seq, seq * 1000 + i, i);
        }
    }
    struct bench_places places = end(2);
    assert_int_equal(places.connections, 2);
    expect(places.min, 0.5, 1e-9);
    expect(places.max, 1.0, 1e-9);
}

static void a_tick_of_one_reader_has_no_places(void **state)
{
    (void)state;
    begin(1 << 20);
    assert_int_equal(end(2).connections, 0);
    begin(1 << 20);
    bench_places_note(&threads[0], 7, 1, 1000, 3);
    bench_places_note(&threads[1], 8, 1, 1000, 4);
    struct bench_places places = end(2);
    assert_int_equal(places.connections, 0);
    assert_int_equal(places.ticks, 0);
}

static void where_there_is_no_room_all_threads_keep_the_same_ticks(void **state)
{
    (void)state;
    begin(5000);
    for (uint64_t seq = 1; seq <= 2000; seq++) {
        /* The second thread has more to note, and so forgets more. */
        for (uint32_t i = 0; i < 40; i++) {
            bench_places_note(&threads[i < 10 ? 0 : 1], 7, seq, seq * 1000 + i, i);
        }
    }
    assert_true(threads[0].count <= 5000 && threads[1].count <= 5000);
    assert_true(threads[0].forget_mask < threads[1].forget_mask);
    struct bench_places places = end(2);
    assert_in_range(places.ticks, 30, 5000 / 30);
    expect(places.min, 0.0, 1e-9); /* Every tick that counts is whole. */
    expect(places.max, 1.0, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fair_server_is_fair_with_any_number_of_threads),
        cmocka_unit_test(an_order_that_stays_is_told_with_any_number_of_threads),
        cmocka_unit_test(who_does_not_receive_takes_no_place),
        cmocka_unit_test(who_ended_has_no_mean_but_took_its_place),
        cmocka_unit_test(a_tick_of_one_reader_has_no_places),
        cmocka_unit_test(where_there_is_no_room_all_threads_keep_the_same_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
