/* Bars against a model that keeps every trade and adds them up anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "src/market/bar_builder.h"

#define SECOND NS_PER_SECOND
#define MINUTE (60 * NS_PER_SECOND)
#define BASE (UINT64_C(1700000000) / 60 * 60 * NS_PER_SECOND) /* a minute begins */

static struct bar_builder builder;
static struct md_update closed;

static int set_up(void **state)
{
    (void)state;
    bar_builder_init(&builder, "1m", MINUTE);
    return 0;
}

static struct md_update trade(uint64_t ts_ns, int64_t price, int price_exponent, int64_t size,
                              int size_exponent)
{
    return (struct md_update){
        .type = MD_TRADE,
        .ts_event_ns = ts_ns,
        .ts_recv_ns = ts_ns + 5,
        .trade = {.price = {price, (int8_t)price_exponent}, .size = {size, (int8_t)size_exponent}},
    };
}

static unsigned add(uint64_t ts_ns, int64_t price)
{
    struct md_update update = trade(ts_ns, price, -2, 100, 0);
    return bar_builder_add(&builder, &update, &closed);
}

static struct md_bar open_bar(void)
{
    struct md_update image;
    bar_builder_image(&builder, &image);
    assert_false(image.bar.closed);
    return image.bar;
}

static void assert_decimal(struct md_decimal decimal, int64_t mantissa, int exponent)
{
    assert_true(decimal.mantissa == mantissa);
    assert_int_equal(decimal.exponent, exponent);
}

static void a_bar_counts_the_trades_of_its_interval(void **state)
{
    (void)state;
    assert_int_equal(add(BASE + 1, 1230), BAR_CHANGED);
    assert_int_equal(add(BASE + 2 * SECOND, 1250), BAR_CHANGED);
    assert_int_equal(add(BASE + 59 * SECOND, 1210), BAR_CHANGED);
    assert_int_equal(add(BASE + 30 * SECOND, 1240), 0 | BAR_CHANGED); /* out of order, in time */
    struct md_bar bar = open_bar();
    assert_string_equal(bar.interval, "1m");
    assert_true(bar.start_ns == BASE);
    assert_decimal(bar.open, 1230, -2);
    assert_decimal(bar.high, 1250, -2);
    assert_decimal(bar.low, 1210, -2);
    assert_decimal(bar.close, 1240, -2);
    assert_decimal(bar.volume, 400, 0);
    assert_decimal(bar.turnover, 493000, -2);
    assert_int_equal(bar.count, 4);

    assert_int_equal(add(BASE + MINUTE, 1300), BAR_CHANGED | BAR_CLOSED);
    assert_true(closed.bar.closed);
    assert_true(closed.bar.start_ns == BASE);
    assert_true(closed.ts_event_ns == BASE + 30 * SECOND);
    assert_int_equal(closed.bar.count, 4);
    assert_int_equal(open_bar().count, 1);
    assert_decimal(open_bar().low, 1300, -2);
}

static void an_interval_without_trades_has_no_bar(void **state)
{
    (void)state;
    add(BASE, 1230);
    assert_int_equal(add(BASE + 10 * MINUTE, 1231), BAR_CHANGED | BAR_CLOSED);
    assert_true(closed.bar.start_ns == BASE);
    assert_true(open_bar().start_ns == BASE + 10 * MINUTE);
}

static void a_closed_bar_is_final(void **state)
{
    (void)state;
    add(BASE + 59 * SECOND, 1230);
    assert_true(bar_builder_close(&builder, &closed));
    assert_true(closed.bar.closed);
    assert_false(bar_builder_close(&builder, &closed)); /* once */
    assert_int_equal(add(BASE + 58 * SECOND, 1231), 0);
    assert_int_equal(builder.late_count, 1);
    assert_int_equal(add(BASE + MINUTE, 1232), BAR_CHANGED);
    assert_int_equal(add(BASE + 59 * SECOND, 1231), 0);
    assert_int_equal(builder.late_count, 2);
    assert_int_equal(open_bar().count, 1);
}

static void a_source_whose_clock_was_set_begins_anew(void **state)
{
    (void)state;
    add(BASE + 5 * MINUTE, 1230);
    assert_int_equal(add(BASE + 5 * MINUTE - BAR_LATE_NS_MAX, 1231), 0); /* just late */
    assert_int_equal(add(BASE, 1232), BAR_CHANGED | BAR_CLOSED);
    assert_true(closed.bar.start_ns == BASE + 5 * MINUTE);
    assert_true(open_bar().start_ns == BASE);
    assert_int_equal(add(BASE + MINUTE, 1233), BAR_CHANGED | BAR_CLOSED);
    /* A tick from the far future spoils one bar. */
    assert_int_equal(add(BASE + 1000 * MINUTE, 1), BAR_CHANGED | BAR_CLOSED);
    assert_int_equal(add(BASE + MINUTE + 1, 1233), BAR_CHANGED | BAR_CLOSED);
    assert_int_equal(open_bar().count, 1);
}

static void without_ts_event_the_time_of_receipt_counts(void **state)
{
    struct md_update update = trade(0, 1, 0, 1, 0);
    (void)state;
    update.ts_recv_ns = BASE + 3 * MINUTE + 1;
    assert_int_equal(bar_builder_add(&builder, &update, &closed), BAR_CHANGED);
    assert_true(open_bar().start_ns == BASE + 3 * MINUTE);
}

/* A recording of long ago in which some trades have no time: each is received today. */
static void a_trade_without_a_time_is_in_the_bar_of_the_one_before(void **state)
{
    struct md_update update = trade(BASE + 30 * SECOND, 1, 0, 1, 0);
    (void)state;
    update.ts_recv_ns = BASE + 1000000 * MINUTE;
    assert_int_equal(bar_builder_add(&builder, &update, &closed), BAR_CHANGED);
    update.ts_event_ns = 0;
    update.ts_recv_ns += 29 * SECOND;
    assert_int_equal(bar_builder_add(&builder, &update, &closed), BAR_CHANGED);
    assert_true(bar_builder_left_ns(&builder) == SECOND);
    update.ts_recv_ns -= 40 * SECOND; /* The clock was set. */
    assert_int_equal(bar_builder_add(&builder, &update, &closed), BAR_CHANGED);
    assert_int_equal(add(BASE + 31 * SECOND, 1), BAR_CHANGED);
    assert_true(open_bar().start_ns == BASE);
    assert_int_equal(open_bar().count, 4);
    update.ts_recv_ns = BASE + 31 * SECOND + 5 + MINUTE; /* A minute went by. */
    assert_int_equal(bar_builder_add(&builder, &update, &closed), BAR_CHANGED | BAR_CLOSED);
    assert_true(open_bar().start_ns == BASE + MINUTE);
}

static void a_trade_without_price_counts_for_nothing(void **state)
{
    struct md_update update = trade(BASE, 1, 0, 1, 0);
    (void)state;
    update.trade.price = md_none;
    assert_int_equal(bar_builder_add(&builder, &update, &closed), 0);
    assert_false(builder.is_open);
}

/* sizes: of the trades of one minute each; -1: none. */
static void a_trade_without_size_leaves_its_bar_without_volume(void **state)
{
    static const int64_t sizes[][3] = {
        {-1, -1, -1}, {-1, 2, 3}, {2, 3, -1}, {1, -1, 0}, {1, 2, 3}, {0, 0, 0}, {0, 0, 5},
    };
    (void)state;
    for (uint64_t minute = 0; minute < sizeof sizes / sizeof sizes[0]; minute++) {
        bool is_sized = true;
        int64_t volume = 0;
        for (uint64_t i = 0; i < 3; i++) {
            struct md_update update =
                trade(BASE + minute * MINUTE + i, 10 + (int64_t)i, 0, sizes[minute][i], 0);
            is_sized &= sizes[minute][i] >= 0;
            volume += sizes[minute][i];
            if (sizes[minute][i] < 0) {
                update.trade.size = md_none;
            }
            assert_true(bar_builder_add(&builder, &update, &closed) & BAR_CHANGED);
            assert_int_equal(md_is_given(open_bar().volume), is_sized);
        }
        struct md_bar bar = open_bar();
        assert_int_equal(md_is_given(bar.volume), is_sized);
        assert_int_equal(md_is_given(bar.turnover), is_sized);
        if (is_sized) {
            assert_decimal(bar.volume, volume, 0);
        }
        assert_decimal(bar.open, 10, 0);
        assert_decimal(bar.close, 12, 0);
        assert_int_equal(bar.count, 3);
    }
}

static void sums_are_exact_and_cut_only_where_63_bits_end(void **state)
{
    struct md_update update = trade(BASE, 4512345678, -8, 12345678, -8);
    (void)state;
    bar_builder_add(&builder, &update, &closed);
    assert_decimal(open_bar().turnover, INT64_C(55707966765279684), -16);
    update = trade(BASE, 5000000000001, -8, 9999999999, -8);
    bar_builder_add(&builder, &update, &closed);
    /* 5.57... + 4999999.9995010000...: 23 digits, of which 19 fit. */
    assert_decimal(open_bar().volume, 10012345677, -8);
    struct md_decimal turnover = open_bar().turnover;
    __int128 exact = (__int128)4512345678 * 12345678 + (__int128)5000000000001 * 9999999999;
    for (int exponent = -16; exponent < turnover.exponent; exponent++) {
        exact /= 10;
    }
    assert_true(turnover.mantissa == (int64_t)exact);
    assert_true(turnover.mantissa > INT64_MAX / 10 - 1);
}

/* ---- The model ---- */

static uint64_t seed;

static uint64_t below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

struct kept {
    uint64_t ts_ns;
    int64_t price, size; /* at -4 and -3 */
};

static void check_model(const struct md_bar *bar, const struct kept *kept, size_t first, size_t end)
{
    int64_t high = 0;
    int64_t low = INT64_MAX;
    int64_t volume = 0;
    int64_t turnover = 0;
    for (size_t i = first; i < end; i++) {
        high = kept[i].price > high ? kept[i].price : high;
        low = kept[i].price < low ? kept[i].price : low;
        volume += kept[i].size;
        turnover += kept[i].price * kept[i].size;
    }
    assert_true(end > first);
    assert_int_equal(bar->count, end - first);
    assert_int_equal(decimal_compare(bar->open, (struct md_decimal){kept[first].price, -4}), 0);
    assert_int_equal(decimal_compare(bar->close, (struct md_decimal){kept[end - 1].price, -4}), 0);
    assert_int_equal(decimal_compare(bar->high, (struct md_decimal){high, -4}), 0);
    assert_int_equal(decimal_compare(bar->low, (struct md_decimal){low, -4}), 0);
    assert_int_equal(decimal_compare(bar->volume, (struct md_decimal){volume, -3}), 0);
    assert_int_equal(decimal_compare(bar->turnover, (struct md_decimal){turnover, -7}), 0);
}

/* Prices come with 2 to 4 digits after the point, as a feed may write them. */
static struct md_update kept_trade(const struct kept *kept)
{
    int64_t price = kept->price;
    int exponent = -4;
    while (price % 10 == 0 && exponent < -2) {
        price /= 10;
        exponent++;
    }
    return trade(kept->ts_ns, price, exponent, kept->size, -3);
}

static void random_trades_add_up_as_in_the_model(void **state)
{
    static struct kept kept[20000];
    uint64_t now_ns = BASE;
    size_t first = 0;
    (void)state;
    seed = 88172645463325252;
    for (size_t i = 0; i < 20000; i++) {
        now_ns += below(3 * SECOND);
        kept[i] = (struct kept){now_ns, (int64_t)(10000 + below(5000)), (int64_t)(1 + below(9999))};
        struct md_update update = kept_trade(&kept[i]);
        unsigned events = bar_builder_add(&builder, &update, &closed);
        bool is_new = i > first && kept[first].ts_ns / MINUTE != now_ns / MINUTE;
        assert_int_equal(events, BAR_CHANGED | (is_new ? BAR_CLOSED : 0));
        if (is_new) {
            assert_true(closed.bar.start_ns == kept[first].ts_ns / MINUTE * MINUTE);
            check_model(&closed.bar, kept, first, i);
            first = i;
        }
        if (i % 7 == 0) {
            struct md_bar bar = open_bar();
            check_model(&bar, kept, first, i + 1);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(a_bar_counts_the_trades_of_its_interval),
        TEST(an_interval_without_trades_has_no_bar),
        TEST(a_closed_bar_is_final),
        TEST(a_source_whose_clock_was_set_begins_anew),
        TEST(without_ts_event_the_time_of_receipt_counts),
        TEST(a_trade_without_a_time_is_in_the_bar_of_the_one_before),
        TEST(a_trade_without_price_counts_for_nothing),
        TEST(a_trade_without_size_leaves_its_bar_without_volume),
        TEST(sums_are_exact_and_cut_only_where_63_bits_end),
        TEST(random_trades_add_up_as_in_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
