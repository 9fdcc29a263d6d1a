#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/bench_load.h"

static struct bench_options options;
static char error[WS_CLIENT_ERROR_BYTES_MAX];

static struct bench_load *create(const char *symbols, uint32_t readers, uint32_t subscriptions,
                                 double zipf)
{
    struct bench_load *load = NULL;
    options = (struct bench_options){
        .symbols = symbols,
        .connection_count = readers,
        .subscription_count = subscriptions,
        .zipf = zipf,
        .seed = 1,
    };
    options.role_counts[BENCH_READER] = readers;
    error[0] = 0;
    return bench_load_create(&load, &options, error) == 0 ? load : NULL;
}

static void expect_list(const char *symbols, const char *expected)
{
    struct bench_load *load = create(symbols, 1, 0, 0.0);
    assert_non_null(load);
    char *text = bench_load_text(load, 0);
    assert_string_equal(text, expected);
    free(text);
    bench_load_destroy(load);
}

static void ranges_stand_for_their_names(void **state)
{
    (void)state;
    expect_list("A", "A");
    expect_list("A,B,", "A,B");
    expect_list("*", "*");
    expect_list("{8..12}", "8,9,10,11,12");
    expect_list("S{008..012}.SH,X", "S008.SH,S009.SH,S010.SH,S011.SH,S012.SH,X");
    expect_list("S{7..7}", "S7");
    expect_list("S{98..101}", "S98,S99,S100,S101");
}

static void a_range_of_200_has_200(void **state)
{
    (void)state;
    struct bench_load *load = create("S{000..199}", 1, 0, 0.0);
    assert_non_null(load);
    char name[16];
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "S%03u", i);
        assert_int_equal(bench_load_find(load, name, 4), i);
    }
    assert_int_equal(bench_load_find(load, "S200", 4), BENCH_SYMBOL_NONE);
    assert_int_equal(bench_load_find(load, "S19", 3), BENCH_SYMBOL_NONE);
    assert_int_equal(bench_load_find(load, "S0190", 5), BENCH_SYMBOL_NONE);
    assert_int_equal(bench_load_find(load, "", 0), BENCH_SYMBOL_NONE);
    assert_true(bench_load_is_common(load));
    bench_load_destroy(load);
}

static void bad_lists_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ",",
        "S{",
        "S{1}",
        "S{1..",
        "S{1..2",
        "S{1-2}",
        "S{1,2}",
        "S{..2}",
        "S{1..}",
        "S{a..b}",
        "S{2..1}",
        "S{-2..3}",
        "S{-3..-1}",
        "S{+1..3}",
        "S{ 1..3}",
        "S{1.. 3}",
        "S{0..100000}",
        "S{0..4294967295}",
        "S{1..99999999999999999999}",
        "S{1..2}{1..2}",
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        "A{1..2}0123456789012345678901234567890123456789012345678901234567890123456789",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bench_load *load = create(bad[i], 1, 0, 0.0);
        if (load != NULL) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_string_not_equal(error, "");
    }
}

static void the_longest_list_and_names_are_taken(void **state)
{
    (void)state;
    struct bench_load *load = create("S{00000..99999}", 1, 0, 0.0);
    assert_non_null(load);
    assert_int_equal(bench_load_find(load, "S99999", 6), 99999);
    bench_load_destroy(load);
    expect_list("0123456789012345678901234567890123456789012345678901234567890123",
                "0123456789012345678901234567890123456789012345678901234567890123");
}

static void more_subscriptions_than_symbols_are_refused(void **state)
{
    (void)state;
    assert_null(create("A,B,C", 2, 4, 0.0));
    assert_non_null(strstr(error, "--subscriptions"));
    assert_null(create("*", 2, 1, 0.0));
    assert_null(create("A.*,B.*", 2, 1, 0.0));
    struct bench_load *load = create("A,B,C", 2, 3, 0.0);
    assert_non_null(load);
    assert_false(bench_load_is_common(load));
    bench_load_destroy(load);
}

/* How often each of the S{000..199} stands in the text; each at most once. */
static void count_symbols(const struct bench_load *load, uint32_t conn_index,
                          uint32_t subscriptions, uint32_t *counts)
{
    bool seen[200] = {false};
    uint32_t found = 0;
    char *text = bench_load_text(load, conn_index);
    for (char *rest = text, *name; (name = strsep(&rest, ",")) != NULL; found++) {
        uint32_t symbol = bench_load_find(load, name, strlen(name));
        assert_true(symbol < 200);
        assert_false(seen[symbol]);
        seen[symbol] = true;
        counts[symbol]++;
    }
    assert_int_equal(found, subscriptions);
    free(text);
}

static void readers_are_as_many_as_the_texts_say_and_draws_are_distinct(void **state)
{
    (void)state;
    static const double zipfs[] = {0.0, 1.0, 3.0, 10.0};
    for (size_t i = 0; i < sizeof zipfs / sizeof zipfs[0]; i++) {
        uint32_t counts[200] = {0};
        struct bench_load *load = create("S{000..199}", 300, 20, zipfs[i]);
        assert_non_null(load);
        for (uint32_t conn = 0; conn < 300; conn++) {
            count_symbols(load, conn, 20, counts);
        }
        for (uint32_t symbol = 0; symbol < 200; symbol++) {
            assert_int_equal(bench_load_readers(load, symbol), counts[symbol]);
        }
        assert_int_equal(bench_load_readers(load, BENCH_SYMBOL_NONE), 0);
        bench_load_destroy(load);
    }
}

static void all_of_the_symbols_can_be_drawn(void **state)
{
    (void)state;
    uint32_t counts[200] = {0};
    struct bench_load *load = create("S{000..199}", 1, 200, 10.0);
    assert_non_null(load);
    count_symbols(load, 0, 200, counts);
    bench_load_destroy(load);
}

static char *texts_of(uint32_t seed, uint32_t readers)
{
    struct bench_load *load = create("S{000..199}", readers, 5, 1.0);
    assert_non_null(load);
    bench_load_destroy(load);
    options.seed = seed;
    assert_int_equal(bench_load_create(&load, &options, error), 0);
    char *all = calloc(readers, 32);
    for (uint32_t i = 0; i < readers; i++) {
        char *text = bench_load_text(load, i);
        strcat(strcat(all, text), ";");
        free(text);
    }
    bench_load_destroy(load);
    return all;
}

static void the_same_seed_draws_the_same_for_a_connection(void **state)
{
    (void)state;
    char *first = texts_of(7, 50), *again = texts_of(7, 50), *fewer = texts_of(7, 20);
    char *other = texts_of(8, 50);
    assert_string_equal(first, again);
    assert_memory_equal(first, fewer, strlen(fewer));
    assert_string_not_equal(first, other);
    free(first);
    free(again);
    free(fewer);
    free(other);
}

/* With one draw each, symbol r of 200 gets 1/r^s of the sum over all of the connections. */
static void popularity_falls_as_zipf_says(void **state)
{
    (void)state;
    static const double zipfs[] = {0.0, 0.5, 1.0, 1.5};
    const uint32_t readers = 200000;
    for (size_t i = 0; i < sizeof zipfs / sizeof zipfs[0]; i++) {
        double sum = 0.0;
        struct bench_load *load = create("S{000..199}", readers, 1, zipfs[i]);
        assert_non_null(load);
        for (uint32_t symbol = 0; symbol < 200; symbol++) {
            sum += pow(symbol + 1.0, -zipfs[i]);
        }
        for (uint32_t symbol = 0; symbol < 200; symbol++) {
            double expected = readers * pow(symbol + 1.0, -zipfs[i]) / sum;
            double got = bench_load_readers(load, symbol);
            assert_true(fabs(got - expected) < 6.0 * sqrt(expected) + 1.0);
        }
        bench_load_destroy(load);
    }
}

static void a_popular_symbol_has_more_readers_when_many_are_drawn(void **state)
{
    (void)state;
    struct bench_load *load = create("S{000..199}", 5000, 20, 1.0);
    assert_non_null(load);
    uint32_t before = UINT32_MAX;
    for (uint32_t rank = 1; rank < 200; rank *= 2) {
        uint32_t readers = bench_load_readers(load, rank - 1);
        assert_true(readers < before);
        before = readers;
    }
    bench_load_destroy(load);
}

static void roles_come_in_their_order(void **state)
{
    (void)state;
    struct bench_load *load = NULL;
    options = (struct bench_options){.symbols = "*", .connection_count = 10};
    options.role_counts[BENCH_READER] = 4;
    options.role_counts[BENCH_SLOW] = 1;
    options.role_counts[BENCH_CHURN] = 2;
    options.role_counts[BENCH_RESUBSCRIBER] = 3;
    assert_int_equal(bench_load_create(&load, &options, error), 0);
    static const enum bench_role roles[] = {
        BENCH_READER, BENCH_READER, BENCH_READER,       BENCH_READER,       BENCH_SLOW,
        BENCH_CHURN,  BENCH_CHURN,  BENCH_RESUBSCRIBER, BENCH_RESUBSCRIBER, BENCH_RESUBSCRIBER,
    };
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(bench_load_role(load, i), roles[i]);
    }
    /* Only readers count. */
    assert_int_equal(bench_load_readers(load, BENCH_SYMBOL_NONE), 4);
    assert_int_equal(bench_load_readers(load, 0), 4);
    bench_load_destroy(load);
}

static int check(const char *path, const char *symbols, enum bench_protocol protocol,
                 uint32_t subscriptions)
{
    struct bench_load *load = create(symbols, 3, subscriptions, 0.0);
    assert_non_null(load);
    options.protocol = protocol;
    options.types = "quote";
    options.topic = "md/{symbol}";
    strcpy(options.url.path, path);
    int result = bench_load_check(load, error);
    for (uint32_t i = 0; result == 0 && i < 3; i++) {
        char made[WS_CLIENT_PATH_BYTES_MAX];
        assert_true(bench_load_path(load, i, made));
    }
    bench_load_destroy(load);
    return result;
}

static void a_path_that_its_symbols_make_too_long_is_refused(void **state)
{
    (void)state;
    /* "/x", 204 names of 4 bytes, 203 commas: 1 021 bytes */
    assert_int_equal(check("/x{symbols}", "S{000..203}", BENCH_PLAIN, 0), 0);
    assert_int_equal(check("/{symbols}?xx", "S{000..203}", BENCH_PLAIN, 0), 0); /* 1 023 */
    assert_int_equal(check("/{symbols}?xxx", "S{000..203}", BENCH_PLAIN, 0), -EMSGSIZE);
    assert_non_null(strstr(error, "--symbols"));
    assert_non_null(strstr(error, "1024 bytes, and at most 1023"));
    assert_int_equal(check("/", "S{000..999}", BENCH_PLAIN, 0), 0);
    assert_int_equal(check("/{symbols}", "S{000..999}", BENCH_PLAIN, 204), 0);
    assert_int_equal(check("/{symbols}", "S{000..999}", BENCH_PLAIN, 205), -EMSGSIZE);
}

static void whose_path_is_the_longest_depends_on_the_draw(void **state)
{
    (void)state;
    uint32_t fitting = 0;
    for (uint32_t seed = 0; seed < 60; seed++) {
        struct bench_load *load = create("S{0..9},S{10..99},S{100..999}", 3, 209, 0.0);
        assert_non_null(load);
        bench_load_destroy(load);
        options.seed = seed;
        options.protocol = BENCH_PLAIN;
        strcpy(options.url.path, "/{symbols}");
        assert_int_equal(bench_load_create(&load, &options, error), 0);
        bool all_fit = true;
        for (uint32_t i = 0; i < 3; i++) {
            char path[WS_CLIENT_PATH_BYTES_MAX];
            all_fit &= bench_load_path(load, i, path);
        }
        assert_int_equal(bench_load_check(load, error), all_fit ? 0 : -EMSGSIZE);
        fitting += all_fit;
        bench_load_destroy(load);
    }
    assert_in_range(fitting, 5, 55);
}

static void a_subscription_that_is_too_long_is_refused(void **state)
{
    (void)state;
    assert_int_equal(check("/", "S{0000..1999}", BENCH_RINGCAST, 0), 0);
    assert_int_equal(check("/", "S{0000..2999}", BENCH_RINGCAST, 0), -EMSGSIZE);
    assert_non_null(strstr(error, "--symbols"));
    assert_non_null(strstr(error, "at most 16384"));
    assert_int_equal(check("/", "S{0000..2999}", BENCH_RINGCAST, 1000), 0);
    assert_int_equal(check("/", "S{0000..0799}", BENCH_NATS, 0), 0);
    assert_int_equal(check("/", "S{0000..1999}", BENCH_NATS, 0), -EMSGSIZE);
    assert_int_equal(check("/", "S{0000..1486}", BENCH_MQTT, 0), 0);
    assert_int_equal(check("/", "S{0000..1487}", BENCH_MQTT, 0), -EMSGSIZE);
    assert_int_equal(check("/", "S{00000..99999}", BENCH_PLAIN, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_stand_for_their_names),
        cmocka_unit_test(a_range_of_200_has_200),
        cmocka_unit_test(bad_lists_are_refused_with_a_reason),
        cmocka_unit_test(the_longest_list_and_names_are_taken),
        cmocka_unit_test(more_subscriptions_than_symbols_are_refused),
        cmocka_unit_test(readers_are_as_many_as_the_texts_say_and_draws_are_distinct),
        cmocka_unit_test(all_of_the_symbols_can_be_drawn),
        cmocka_unit_test(the_same_seed_draws_the_same_for_a_connection),
        cmocka_unit_test(popularity_falls_as_zipf_says),
        cmocka_unit_test(a_popular_symbol_has_more_readers_when_many_are_drawn),
        cmocka_unit_test(roles_come_in_their_order),
        cmocka_unit_test(a_path_that_its_symbols_make_too_long_is_refused),
        cmocka_unit_test(whose_path_is_the_longest_depends_on_the_draw),
        cmocka_unit_test(a_subscription_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
