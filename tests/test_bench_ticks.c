#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/bench_ticks.h"

#define BYTES_MAX 400

static void note(struct bench_ticks *ticks, uint64_t seq, uint64_t at_ns, uint64_t hash)
{
    struct bench_tick *tick = bench_ticks_at(ticks, seq);
    assert_non_null(tick);
    if (tick->count++ == 0) {
        tick->first_ns = at_ns;
        tick->hash = hash;
    }
    tick->last_ns = at_ns;
}

static void expect(struct bench_ticks *ticks, uint64_t seq, uint32_t count, uint64_t first_ns,
                   uint64_t last_ns)
{
    const struct bench_tick *tick = bench_ticks_at(ticks, seq);
    assert_non_null(tick);
    assert_int_equal(tick->count, count);
    assert_int_equal(tick->first_ns, first_ns);
    assert_int_equal(tick->last_ns, last_ns);
}

static void fill(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
}

static void the_hash_differs_when_any_bit_does(void **state)
{
    (void)state;
    for (size_t count = 1; count <= BYTES_MAX; count += count < 70 ? 1 : 33) {
        uint8_t *bytes = malloc(count); /* of just its size, for sanitizers */
        fill(bytes, count);
        uint64_t hash = bench_ticks_hash(bytes, count);
        for (size_t bit = 0; bit < 8 * count; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(bench_ticks_hash(bytes, count) != hash);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(bench_ticks_hash(bytes, count) == hash);
        free(bytes);
    }
}

static void the_hash_differs_with_the_length(void **state)
{
    (void)state;
    uint8_t bytes[BYTES_MAX] = {0}; /* zeros are what a shorter one is filled up with */
    uint64_t hashes[BYTES_MAX];
    for (size_t count = 0; count < BYTES_MAX; count++) {
        hashes[count] = bench_ticks_hash(bytes, count);
        for (size_t other = 0; other < count; other++) {
            assert_true(hashes[other] != hashes[count]);
        }
    }
}

static void the_hash_differs_when_parts_change_places(void **state)
{
    (void)state;
    uint8_t bytes[128], swapped[128];
    fill(bytes, sizeof bytes);
    uint64_t hash = bench_ticks_hash(bytes, sizeof bytes);
    for (size_t a = 0; a < sizeof bytes; a += 8) {
        for (size_t b = a + 8; b < sizeof bytes; b += 8) {
            memcpy(swapped, bytes, sizeof bytes);
            memcpy(swapped + a, bytes + b, 8);
            memcpy(swapped + b, bytes + a, 8);
            assert_true(bench_ticks_hash(swapped, sizeof swapped) != hash);
        }
    }
}

static void ticks_keep_their_place_as_more_come(void **state)
{
    (void)state;
    struct bench_ticks ticks = {0};
    for (uint64_t seq = 1000; seq < 21000; seq++) {
        note(&ticks, seq, seq * 10, seq);
    }
    for (uint64_t seq = 1000; seq < 21000; seq++) {
        note(&ticks, seq, seq * 10 + 5, seq);
        expect(&ticks, seq, 2, seq * 10, seq * 10 + 5);
    }
    bench_ticks_deinit(&ticks);
    assert_null(ticks.ticks);
}

static void some_ticks_before_the_first_one_are_noted(void **state)
{
    (void)state;
    struct bench_ticks ticks = {0};
    note(&ticks, 1000, 1, 1);
    note(&ticks, 1000 - BENCH_TICKS_BEFORE, 2, 2);
    assert_null(bench_ticks_at(&ticks, 1000 - BENCH_TICKS_BEFORE - 1));
    assert_null(bench_ticks_at(&ticks, 0));
    expect(&ticks, 1000, 1, 1, 1);
    expect(&ticks, 1000 - BENCH_TICKS_BEFORE, 1, 2, 2);
    bench_ticks_deinit(&ticks);
    note(&ticks, 3, 1, 1); /* less than that is before it */
    note(&ticks, 0, 2, 2);
    bench_ticks_deinit(&ticks);
}

static void ticks_beyond_the_cap_are_not_noted(void **state)
{
    (void)state;
    struct bench_ticks ticks = {0};
    note(&ticks, 1000, 1, 1);
    uint64_t base = 1000 - BENCH_TICKS_BEFORE;
    assert_null(bench_ticks_at(&ticks, base + BENCH_TICKS_MAX));
    assert_null(bench_ticks_at(&ticks, UINT64_MAX));
    assert_int_equal(ticks.count, 256);
    note(&ticks, base + BENCH_TICKS_MAX - 1, 7, 7);
    assert_int_equal(ticks.count, BENCH_TICKS_MAX);
    expect(&ticks, 1000, 1, 1, 1);
    bench_ticks_deinit(&ticks);
}

static void merging_adds_up_what_two_threads_saw(void **state)
{
    (void)state;
    struct bench_ticks into = {0}, from = {0}, empty = {0};
    note(&into, 100, 50, 1);
    note(&into, 101, 60, 2);
    note(&from, 101, 55, 2);
    note(&from, 101, 58, 2);
    note(&from, 102, 70, 3);
    note(&from, 2000, 80, 4);
    assert_int_equal(bench_ticks_merge(&into, &from), 0);
    assert_int_equal(bench_ticks_merge(&into, &empty), 0);
    expect(&into, 100, 1, 50, 50);
    expect(&into, 101, 3, 55, 60);
    expect(&into, 102, 1, 70, 70);
    expect(&into, 2000, 1, 80, 80);
    expect(&into, 103, 0, 0, 0);
    assert_int_equal(bench_ticks_merge(&empty, &from), 0);
    expect(&empty, 102, 1, 70, 70);
    bench_ticks_deinit(&into);
    bench_ticks_deinit(&from);
    bench_ticks_deinit(&empty);
}

static void merging_counts_what_differs(void **state)
{
    (void)state;
    struct bench_ticks into = {0}, from = {0};
    for (uint64_t seq = 100; seq < 110; seq++) {
        note(&into, seq, 1, seq);
        note(&from, seq, 1, seq == 103 || seq == 107 ? 0 : seq);
    }
    assert_int_equal(bench_ticks_merge(&into, &from), 2);
    bench_ticks_deinit(&into);
    bench_ticks_deinit(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_differs_when_any_bit_does),
        cmocka_unit_test(the_hash_differs_with_the_length),
        cmocka_unit_test(the_hash_differs_when_parts_change_places),
        cmocka_unit_test(ticks_keep_their_place_as_more_come),
        cmocka_unit_test(some_ticks_before_the_first_one_are_noted),
        cmocka_unit_test(ticks_beyond_the_cap_are_not_noted),
        cmocka_unit_test(merging_adds_up_what_two_threads_saw),
        cmocka_unit_test(merging_counts_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
