/* Which symbols are stale: by time, by silence, with market hours, by feed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/base/time_zone.h"
#include "src/market/channels.h"
#include "src/market/staleness.h"
#include "src/market/staleness_watch.h"

#define START_NS (1000 * NS_PER_SECOND)
#define AFTER_NS (30 * NS_PER_SECOND)

static struct channels *channels;
static struct staleness *staleness;
static char error[512];

static int make_channels(void **state)
{
    (void)state;
    return channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}});
}

static int destroy_channels(void **state)
{
    (void)state;
    staleness_destroy(staleness);
    channels_destroy(channels);
    return 0;
}

static void begin(uint64_t after_ns, const char *hours)
{
    char path[] = "/tmp/test_staleness_XXXXXX";
    struct staleness_options options = {.channels = channels, .after_ns = after_ns};
    if (hours != NULL) {
        int fd = mkstemp(path);
        assert_int_equal(write(fd, hours, strlen(hours)), strlen(hours));
        close(fd);
        options.market_hours_path = path;
    }
    assert_int_equal(staleness_create(&staleness, &options, error, sizeof error), 0);
    unlink(path);
}

static uint32_t name(const char *symbol, enum md_type type, uint32_t feed, uint64_t now_ns)
{
    uint32_t channel = channels_open(channels, symbol, strlen(symbol), type);
    staleness_on_channel(staleness, channel, feed, now_ns);
    return channel;
}

static bool is_stale(const char *symbol, uint64_t now_ns)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        uint32_t channel = channels_find(channels, symbol, strlen(symbol), (enum md_type)type);
        uint32_t number =
            channel == CHANNEL_NONE ? CHANNEL_NONE : staleness_symbol(staleness, channel);
        if (number != CHANNEL_NONE) {
            return staleness_is_stale(staleness, number, now_ns);
        }
    }
    return false;
}

static struct staleness_counts count(uint64_t now_ns)
{
    struct staleness_counts counts;
    staleness_count(staleness, now_ns, &counts, NULL, 0);
    return counts;
}

static void a_symbol_without_ticks_is_stale_until_the_next_one(void **state)
{
    (void)state;
    begin(AFTER_NS, NULL);
    uint32_t channel = name("A", MD_TRADE, 0, START_NS);
    staleness_on_tick(staleness, channel, 0, START_NS + NS_PER_SECOND);
    assert_false(is_stale("A", START_NS + AFTER_NS));
    assert_true(is_stale("A", START_NS + NS_PER_SECOND + AFTER_NS));
    assert_int_equal(count(START_NS + 2 * AFTER_NS).stale, 1);
    staleness_on_tick(staleness, channel, 0, START_NS + 2 * AFTER_NS);
    assert_false(is_stale("A", START_NS + 2 * AFTER_NS));
    assert_int_equal(count(START_NS + 2 * AFTER_NS).stale, 0);
    assert_true(is_stale("A", START_NS + 3 * AFTER_NS));
    assert_true(is_stale("A", START_NS + UINT64_C(400) * 86400 * NS_PER_SECOND));
    /* A reader whose clock was read before the tick came. */
    assert_false(is_stale("A", START_NS));
}

static void all_channels_of_a_symbol_count_but_its_status(void **state)
{
    (void)state;
    begin(AFTER_NS, NULL);
    uint32_t status = name("A", MD_STATUS, 0, START_NS);
    uint32_t quote = name("A", MD_QUOTE, 0, START_NS);
    uint32_t trade = name("A", MD_TRADE, 0, START_NS);
    uint32_t bar = name("A", MD_BAR, 0, START_NS);
    uint32_t only_status = name("B", MD_STATUS, 0, START_NS);
    assert_int_equal(count(START_NS).symbols, 1);
    assert_int_equal(staleness_symbol(staleness, quote), quote);
    assert_int_equal(staleness_symbol(staleness, trade), quote);
    assert_int_equal(staleness_symbol(staleness, status), quote);
    assert_int_equal(staleness_symbol(staleness, only_status), CHANNEL_NONE);
    staleness_on_tick(staleness, bar, 0, START_NS + 20 * NS_PER_SECOND);
    assert_false(is_stale("A", START_NS + AFTER_NS));
    staleness_on_tick(staleness, status, 0, START_NS + 40 * NS_PER_SECOND);
    staleness_on_tick(staleness, only_status, 0, START_NS);
    assert_true(is_stale("A", START_NS + 20 * NS_PER_SECOND + AFTER_NS));
    assert_false(is_stale("B", START_NS + 10 * AFTER_NS));
    staleness_on_silence(staleness, only_status);
    assert_false(is_stale("B", START_NS + 10 * AFTER_NS));
}

static void a_derived_channel_has_the_symbol_that_it_is_derived_from(void **state)
{
    (void)state;
    begin(AFTER_NS, NULL);
    uint32_t quote = name("A", MD_QUOTE, 0, START_NS);
    uint32_t variant =
        channels_hold_variant(channels, "A", 1, MD_QUOTE, (struct variant){.interval_ms = 100});
    assert_int_not_equal(variant, quote);
    assert_int_equal(staleness_symbol(staleness, variant), quote);
}

static void a_symbol_that_was_named_and_never_filled_becomes_stale(void **state)
{
    (void)state;
    begin(AFTER_NS, NULL);
    name("A", MD_QUOTE, 3, START_NS);
    assert_false(is_stale("A", START_NS + AFTER_NS - NS_PER_SECOND));
    name("A", MD_QUOTE, 3, START_NS + AFTER_NS - NS_PER_SECOND); /* Again: nothing is new. */
    name("A", MD_TRADE, 3, START_NS + AFTER_NS - NS_PER_SECOND);
    assert_true(is_stale("A", START_NS + AFTER_NS));
    assert_int_equal(count(START_NS + AFTER_NS).stale_by_feed[3], 1);
}

static void a_silent_source_makes_symbols_stale_at_once(void **state)
{
    (void)state;
    begin(0, NULL);
    uint32_t a = name("A", MD_TRADE, 0, START_NS);
    uint32_t b = name("B", MD_TRADE, 0, START_NS);
    assert_false(staleness_is_possible(staleness));
    staleness_on_tick(staleness, a, 0, START_NS);
    assert_false(is_stale("A", START_NS + UINT64_C(400) * 86400 * NS_PER_SECOND));
    staleness_on_silence(staleness, a);
    assert_true(staleness_is_possible(staleness));
    assert_true(is_stale("A", START_NS));
    assert_false(is_stale("B", START_NS));
    assert_int_equal(count(START_NS).stale, 1);
    staleness_on_tick(staleness, b, 0, START_NS);
    assert_true(is_stale("A", START_NS));
    staleness_on_tick(staleness, a, 0, START_NS);
    assert_false(is_stale("A", START_NS));
}

static void stale_symbols_are_counted_by_the_feed_of_their_last_tick(void **state)
{
    (void)state;
    begin(AFTER_NS, NULL);
    uint32_t a = name("A", MD_TRADE, 0, START_NS);
    uint32_t b = name("B", MD_TRADE, 0, START_NS);
    uint32_t c = name("C", MD_TRADE, 1, START_NS);
    staleness_on_tick(staleness, a, 0, START_NS);
    staleness_on_tick(staleness, b, STALENESS_FEEDS_MAX - 1, START_NS);
    staleness_on_tick(staleness, c, 1, START_NS + NS_PER_SECOND);
    struct staleness_counts counts;
    uint32_t first[2];
    staleness_count(staleness, START_NS + AFTER_NS, &counts, first, 2);
    assert_int_equal(counts.symbols, 3);
    assert_int_equal(counts.open, 3);
    assert_int_equal(counts.stale, 2);
    assert_int_equal(counts.stale_by_feed[0], 1);
    assert_int_equal(counts.stale_by_feed[1], 0);
    assert_int_equal(counts.stale_by_feed[STALENESS_FEEDS_MAX - 1], 1);
    assert_int_equal(first[0], a);
    assert_int_equal(first[1], b);
    staleness_count(staleness, START_NS + 2 * AFTER_NS, &counts, first, 2);
    assert_int_equal(counts.stale, 3); /* of which two are named */
}

static void a_symbol_of_a_closed_market_is_not_stale(void **state)
{
    int64_t monday = time_zone_day(2026, 11, 30) * 86400;
    (void)state;
    begin(AFTER_NS, "*.SH UTC Mon-Fri 09:30-11:30,13:00-15:00\n");
    uint32_t in = name("1.SH", MD_QUOTE, 0, START_NS);
    uint32_t other = name("1.US", MD_QUOTE, 0, START_NS);
    staleness_watch(staleness, START_NS, monday + 9 * 3600);
    assert_true(is_stale("1.US", START_NS + AFTER_NS)); /* No market: it is always open. */
    assert_false(is_stale("1.SH", START_NS + AFTER_NS));
    assert_int_equal(count(START_NS).open, 1);

    /* It opens: the time counts from then. */
    uint64_t opened_ns = START_NS + 1800 * NS_PER_SECOND;
    staleness_watch(staleness, opened_ns, monday + 9 * 3600 + 1800);
    assert_int_equal(count(opened_ns).open, 2);
    assert_false(is_stale("1.SH", opened_ns + AFTER_NS - NS_PER_SECOND));
    staleness_watch(staleness, opened_ns + NS_PER_SECOND, monday + 9 * 3600 + 1801);
    assert_true(is_stale("1.SH", opened_ns + AFTER_NS));

    /* It closes for lunch. A source that is gone matters once it is open again. */
    uint64_t lunch_ns = START_NS + 9000 * NS_PER_SECOND;
    staleness_watch(staleness, lunch_ns, monday + 11 * 3600 + 1800);
    assert_false(is_stale("1.SH", lunch_ns + 10 * AFTER_NS));
    staleness_on_silence(staleness, in);
    assert_false(is_stale("1.SH", lunch_ns + 10 * AFTER_NS));
    staleness_on_tick(staleness, other, 0, lunch_ns);
    assert_int_equal(count(lunch_ns).stale, 0);
    staleness_watch(staleness, lunch_ns + NS_PER_SECOND, monday + 13 * 3600);
    assert_true(is_stale("1.SH", lunch_ns + NS_PER_SECOND));
}

static void a_file_that_is_wrong_is_refused(void **state)
{
    (void)state;
    struct staleness_options options = {.channels = channels,
                                        .market_hours_path = "/nonexistent/hours"};
    assert_int_equal(staleness_create(&staleness, &options, error, sizeof error), -EINVAL);
    assert_string_equal(error, "--market-hours: /nonexistent/hours: No such file or directory");
    begin(0, NULL);
}

static void every_channel_may_be_a_symbol_of_its_own(void **state)
{
    char symbol[16];
    (void)state;
    begin(AFTER_NS, NULL);
    for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        staleness_on_tick(staleness, name(symbol, MD_TRADE, 0, START_NS), 0, START_NS);
    }
    assert_int_equal(count(START_NS).symbols, CHANNELS_MAX);
    assert_int_equal(count(START_NS).stale, 0);
    assert_int_equal(count(START_NS + AFTER_NS).stale, CHANNELS_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_channels, destroy_channels)
    const struct CMUnitTest tests[] = {
        TEST(a_symbol_without_ticks_is_stale_until_the_next_one),
        TEST(all_channels_of_a_symbol_count_but_its_status),
        TEST(a_derived_channel_has_the_symbol_that_it_is_derived_from),
        TEST(a_symbol_that_was_named_and_never_filled_becomes_stale),
        TEST(a_silent_source_makes_symbols_stale_at_once),
        TEST(stale_symbols_are_counted_by_the_feed_of_their_last_tick),
        TEST(a_symbol_of_a_closed_market_is_not_stale),
        TEST(a_file_that_is_wrong_is_refused),
        TEST(every_channel_may_be_a_symbol_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
