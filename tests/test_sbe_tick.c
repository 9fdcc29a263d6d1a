#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/sbe_schema.h"
#include "codec/sbe_tick.h"
#include "tests/example_tick.h"
#include "tests/guard_page.h"

#define TEST_OUT_BYTES 4096
#define TEST_DEEP_BYTES (2 * 1024 * 1024)
#define TEST_CHANNEL 1042
#define TEST_SEQ 58211
#define TEST_PUB_NS 1732078800123461200

#define NONE ((struct md_decimal){MD_NONE, 0})

/* What every message begins with: block length, template and the envelope of example_update(). */
#define HEADER(block, template) block " " template " 00 85 03 00 00 "
#define SEQ "63 e3 00 00 00 00 00 00 "
#define TS_EVENT "15 ed 57 e4 7d 94 09 18 "
#define TS_RECV "a0 f9 57 e4 7d 94 09 18 "
#define TS_PUB "50 fe 57 e4 7d 94 09 18 "
#define CH "12 04 00 00 "
#define ENVELOPE SEQ TS_EVENT TS_RECV TS_PUB CH
#define NULL_I64 "00 00 00 00 00 00 00 80 "
#define NULL_U64 "ff ff ff ff ff ff ff ff "

static struct md_update empty_quote(void)
{
    struct md_update update = example_update(MD_QUOTE);
    update.quote = md_quote_none;
    return update;
}

static struct md_update example_trade(void)
{
    struct md_update update = example_update(MD_TRADE);
    update.trade = (struct md_trade){D(6543212, -2), D(35130000, -8), MD_SIDE_BUY, true, 42};
    return update;
}

static struct md_update example_bar(void)
{
    struct md_update update = example_update(MD_BAR);
    update.bar = (struct md_bar){.interval = "1m",
                                 .start_ns = 1732078800123456789,
                                 .open = D(1, 0),
                                 .high = D(4, 0),
                                 .low = D(-2, 0),
                                 .close = D(35, -1),
                                 .volume = D(100, 0),
                                 .turnover = D(2505, -1),
                                 .has_count = true,
                                 .count = 17,
                                 .closed = true};
    return update;
}

/* Bytes in hex with blanks between them; returns how many. */
static size_t bytes_of(uint8_t *out, const char *hex)
{
    size_t count = 0;
    char *end;
    for (; *hex != '\0'; hex = end + strspn(end, " ")) {
        assert_true(count < TEST_OUT_BYTES);
        out[count++] = (uint8_t)strtoul(hex, &end, 16);
    }
    return count;
}

/* The message is these bytes, in every room that holds them, none behind them is touched, and
 * there is none in less room. */
static void assert_encodes(const struct md_update *update, const char *hex)
{
    uint8_t expected[TEST_OUT_BYTES];
    size_t expected_bytes = bytes_of(expected, hex);
    struct guard_page guard;
    guard_page_init(&guard, TEST_OUT_BYTES);
    for (size_t room = 0; room < expected_bytes + 64; room++) {
        uint8_t *out = guard_page_tail(&guard, room);
        memset(out, 0xa5, room);
        size_t bytes = sbe_tick_encode(out, room, TEST_CHANNEL, update, TEST_SEQ, TEST_PUB_NS);
        if (room < expected_bytes) {
            assert_int_equal(bytes, 0);
            continue;
        }
        assert_int_equal(bytes, expected_bytes);
        assert_memory_equal(out, expected, expected_bytes);
        for (size_t i = bytes; i < room; i++) {
            assert_int_equal(out[i], 0xa5);
        }
    }
    guard_page_deinit(&guard);
}

static size_t encode(const struct md_update *update)
{
    static uint8_t out[TEST_OUT_BYTES];
    return sbe_tick_encode(out, sizeof out, TEST_CHANNEL, update, TEST_SEQ, TEST_PUB_NS);
}

static void the_quote_of_the_protocol_is_these_bytes(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    assert_encodes(&update,
                   HEADER("60 00", "01") ENVELOPE "fe 00 fe 00 "
                                                  "d2 04 00 00 00 00 00 00 ce 04 00 00 00 00 00 00 "
                                                  "d8 04 00 00 00 00 00 00 c9 04 00 00 00 00 00 00 "
                                                  "cf 04 00 00 00 00 00 00 40 e2 01 00 00 00 00 00 "
                                                  "4e 9c 14 09 00 00 00 00 "
                                                  "10 00 02 00 "
                                                  "d1 04 00 00 00 00 00 00 f4 01 00 00 00 00 00 00 "
                                                  "d0 04 00 00 00 00 00 00 84 03 00 00 00 00 00 00 "
                                                  "10 00 02 00 "
                                                  "d2 04 00 00 00 00 00 00 2c 01 00 00 00 00 00 00 "
                                                  "d3 04 00 00 00 00 00 00 64 00 00 00 00 00 00 00 "
                                                  "00 00");
}

static void what_is_not_given_is_null(void **state)
{
    (void)state;
    struct md_update update = empty_quote();
    update.ts_event_ns = 0;
    update.ts_recv_ns = 0;
    assert_encodes(&update, HEADER("60 00", "01") SEQ NULL_U64 NULL_U64 TS_PUB CH
                   "00 00 00 00 " NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64
                   "10 00 00 00 10 00 00 00 00 00");
    update = example_update(MD_TRADE);
    update.trade = (struct md_trade){.price = NONE, .size = NONE, .id = 7};
    assert_encodes(&update,
                   HEADER("40 00", "02") ENVELOPE "00 00 ff 00 " NULL_I64 NULL_I64 NULL_U64);
    update = example_update(MD_BAR);
    update.bar = (struct md_bar){.open = NONE,
                                 .high = NONE,
                                 .low = NONE,
                                 .close = NONE,
                                 .volume = NONE,
                                 .turnover = NONE,
                                 .count = 7};
    assert_encodes(&update, HEADER("70 00", "03") ENVELOPE
                   "00 00 00 00 00 00 00 00 00 00 00 00 " NULL_U64 NULL_I64 NULL_I64 NULL_I64
                       NULL_I64 NULL_I64 NULL_I64 NULL_U64);
    update = example_update(MD_STATUS);
    assert_encodes(&update, HEADER("24 00", "05") ENVELOPE "00 00 00 00");
}

/* Each null stands at its field: one after the other is given. */
static void a_field_alone_is_at_its_offset(void **state)
{
    (void)state;
    static const size_t offsets[] = {
        offsetof(struct md_quote, last),       offsetof(struct md_quote, open),
        offsetof(struct md_quote, high),       offsetof(struct md_quote, low),
        offsetof(struct md_quote, prev_close), offsetof(struct md_quote, volume),
        offsetof(struct md_quote, turnover),
    };
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct md_update update = empty_quote();
        struct md_decimal given = D(-5, -3);
        memcpy((uint8_t *)&update.quote + offsets[i], &given, sizeof given);
        uint8_t out[TEST_OUT_BYTES];
        assert_true(sbe_tick_encode(out, sizeof out, TEST_CHANNEL, &update, 1, 2) > 0);
        for (size_t place = 0; place < sizeof offsets / sizeof offsets[0]; place++) {
            int64_t mantissa;
            memcpy(&mantissa, out + 8 + 40 + 8 * place, sizeof mantissa);
            assert_true(mantissa == (place == i ? -5 : INT64_MIN));
        }
        for (size_t kind = 0; kind < 3; kind++) {
            size_t own = i < 5 ? 0 : i - 4;
            assert_int_equal((int8_t)out[8 + 36 + kind], kind == own ? -3 : 0);
        }
    }
}

static void trades_carry_the_side_of_the_aggressor(void **state)
{
    (void)state;
    struct md_update update = example_trade();
    assert_encodes(&update,
                   HEADER("40 00", "02") ENVELOPE "fe f8 01 00 "
                                                  "6c d7 63 00 00 00 00 00 90 0a 18 02 00 00 00 00 "
                                                  "2a 00 00 00 00 00 00 00");
    update.trade.side = MD_SIDE_SELL;
    update.trade.id = 0;
    assert_encodes(&update,
                   HEADER("40 00", "02") ENVELOPE "fe f8 02 00 "
                                                  "6c d7 63 00 00 00 00 00 90 0a 18 02 00 00 00 00 "
                                                  "00 00 00 00 00 00 00 00");
}

static void prices_of_a_bar_share_the_least_exponent(void **state)
{
    (void)state;
    struct md_update update = example_bar();
    static const char expected[] =
        HEADER("70 00", "03") ENVELOPE "ff 00 ff 01 31 6d 00 00 00 00 00 00 " TS_EVENT
                                       "0a 00 00 00 00 00 00 00 28 00 00 00 00 00 00 00 "
                                       "ec ff ff ff ff ff ff ff 23 00 00 00 00 00 00 00 "
                                       "64 00 00 00 00 00 00 00 c9 09 00 00 00 00 00 00 "
                                       "11 00 00 00 00 00 00 00";
    assert_encodes(&update, expected);
    memcpy(update.bar.interval, "1m\0junk", 8); /* What is behind the text does not show. */
    assert_encodes(&update, expected);
}

static void levels_share_the_exponents_of_their_message(void **state)
{
    (void)state;
    static const struct md_level bids[] = {{{5, 0}, {1, -3}}, {{41, -1}, {MD_NONE, -18}}};
    static const struct md_level asks[] = {{{625, -2}, {0, 0}}};
    struct md_update update = example_update(MD_DEPTH);
    update.depth = (struct md_depth){MD_DELTA, bids, asks, 2, 1, true, 0xcafe};
    assert_encodes(&update, HEADER("2c 00", "04") ENVELOPE
                   "fe fd 01 00 fe ca 00 00 "
                   "10 00 02 00 "
                   "f4 01 00 00 00 00 00 00 01 00 00 00 00 00 00 00 "
                   "9a 01 00 00 00 00 00 00 " NULL_I64 "10 00 01 00 "
                   "71 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    update.depth = (struct md_depth){.action = MD_SNAPSHOT, .checksum = 7};
    assert_encodes(&update, HEADER("2c 00", "04") ENVELOPE
                   "00 00 00 00 ff ff ff ff 10 00 00 00 10 00 00 00");
}

static void texts_stand_behind_the_block(void **state)
{
    (void)state;
    struct md_update update = example_update(MD_STATUS);
    update.status = (struct md_status){.state = "halted", .reason = "\xe5\x81\x9c"};
    assert_encodes(&update,
                   HEADER("24 00", "05") ENVELOPE "06 00 68 61 6c 74 65 64 03 00 e5 81 9c");
    update = empty_quote();
    update.quote.status = "open";
    assert_encodes(&update, HEADER("60 00", "01") ENVELOPE
                   "00 00 00 00 " NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64 NULL_I64
                   "10 00 00 00 10 00 00 00 04 00 6f 70 65 6e");
}

static void a_quote_is_not_padded(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    size_t bytes = encode(&update);
    update.pad_bytes = 512;
    assert_int_equal(encode(&update), bytes);
}

static void every_exponent_beside_every_other_is_exact(void **state)
{
    (void)state;
    int64_t power[19] = {1};
    for (int places = 1; places <= 18; places++) {
        power[places] = 10 * power[places - 1];
    }
    for (int one = 0; one <= 18; one++) {
        for (int other = 0; other <= 18; other++) {
            struct md_update update = example_bar();
            update.bar.open = D(-7, (int8_t)-one);
            update.bar.high = update.bar.low = update.bar.close = NONE;
            update.bar.close = D(9, (int8_t)-other);
            uint8_t out[TEST_OUT_BYTES];
            int least = one > other ? one : other;
            assert_int_equal(sbe_tick_encode(out, sizeof out, TEST_CHANNEL, &update, 1, 2), 120);
            int64_t open;
            int64_t close;
            memcpy(&open, out + 8 + 56, sizeof open);
            memcpy(&close, out + 8 + 80, sizeof close);
            assert_int_equal((int8_t)out[8 + 36], -least);
            assert_true(open == -7 * power[least - one]);
            assert_true(close == 9 * power[least - other]);
        }
    }
}

static void an_exponent_that_overflows_gives_no_message(void **state)
{
    (void)state;
    struct md_update update = example_trade();
    update.trade.price = D(INT64_MAX, 0);
    update.trade.size = D(-INT64_MAX, -18);
    assert_true(encode(&update) > 0);

    static const struct {
        int64_t mantissa;
        bool fits;
    } cases[] = {
        {922337203685477580, true},   {922337203685477581, false}, {-922337203685477580, true},
        {-922337203685477581, false}, {INT64_MAX, false},          {-INT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        update = example_bar();
        update.bar.high = D(cases[i].mantissa, -1);
        update.bar.low = D(1, -2);
        assert_int_equal(encode(&update) > 0, cases[i].fits);
        update = example_quote();
        update.quote.volume = D(cases[i].mantissa, 0);
        static const struct md_level levels[] = {{{1, 0}, {1, -1}}};
        update.quote.asks = levels;
        update.quote.ask_count = 1;
        assert_int_equal(encode(&update) > 0, cases[i].fits);
        update = example_quote();
        update.quote.turnover = D(cases[i].mantissa, -18); /* It is scaled by itself. */
        assert_true(encode(&update) > 0);
    }
}

static void a_value_that_would_mean_null_gives_no_message(void **state)
{
    (void)state;
    struct md_update update = example_trade();
    update.trade.id = UINT64_MAX;
    assert_int_equal(encode(&update), 0);
    update.trade.id--;
    assert_true(encode(&update) > 0);
    update.ts_event_ns = UINT64_MAX;
    assert_int_equal(encode(&update), 0);
    update = example_trade();
    update.ts_recv_ns = UINT64_MAX;
    assert_int_equal(encode(&update), 0);
    update = example_bar();
    update.bar.count = UINT64_MAX;
    assert_int_equal(encode(&update), 0);
    update.bar.has_count = false;
    assert_true(encode(&update) > 0);
    update.bar.start_ns = UINT64_MAX;
    assert_int_equal(encode(&update), 0);
    update = example_update(MD_DEPTH);
    update.depth = (struct md_depth){.has_checksum = true, .checksum = UINT32_MAX};
    assert_int_equal(encode(&update), 0);
    update.depth.checksum--;
    assert_true(encode(&update) > 0);
    static const struct md_level no_price[] = {{{MD_NONE, 0}, {1, 0}}};
    update.depth = (struct md_depth){.asks = no_price, .ask_count = 1};
    assert_int_equal(encode(&update), 0);
}

static void as_many_levels_as_a_group_counts_are_written(void **state)
{
    (void)state;
    struct md_level *levels = malloc((SBE_TICK_LEVELS_MAX + 1) * sizeof *levels);
    uint8_t *out = malloc(2 * TEST_DEEP_BYTES);
    for (int i = 0; i <= SBE_TICK_LEVELS_MAX; i++) {
        levels[i] = (struct md_level){D(6000000 + i, -2), D(100000000 + i, -8)};
    }
    struct md_update update = example_update(MD_DEPTH);
    for (uint32_t count = 0; count < 200; count++) {
        update.depth = (struct md_depth){MD_SNAPSHOT, levels, levels, count, 199 - count, false, 0};
        size_t bytes = sbe_tick_encode(out, TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2);
        assert_int_equal(bytes, 8 + 44 + 4 + 4 + 199 * 16);
        assert_int_equal(out[8 + 44 + 2], count);
        assert_int_equal(out[8 + 44 + 4 + 16 * count + 2], 199 - count);
    }
    update.depth = (struct md_depth){MD_SNAPSHOT,         levels, levels, SBE_TICK_LEVELS_MAX,
                                     SBE_TICK_LEVELS_MAX, false,  0};
    size_t bytes = sbe_tick_encode(out, 2 * TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2);
    assert_int_equal(bytes, 8 + 44 + 2 * (4 + 16 * SBE_TICK_LEVELS_MAX));
    int64_t last;
    memcpy(&last, out + bytes - sizeof last, sizeof last);
    assert_int_equal(last, 100000000 + SBE_TICK_LEVELS_MAX - 1);
    assert_int_equal(sbe_tick_encode(out, bytes - 1, TEST_CHANNEL, &update, 1, 2), 0);

    update.depth.ask_count++;
    assert_int_equal(sbe_tick_encode(out, 2 * TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2), 0);
    update.depth.ask_count = 0;
    update.depth.bid_count = UINT32_MAX;
    assert_int_equal(sbe_tick_encode(out, 2 * TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2), 0);
    free(out);
    free(levels);
}

static void a_text_of_any_length_is_written_up_to_its_limit(void **state)
{
    (void)state;
    char *text = malloc(SBE_TICK_TEXT_BYTES_MAX + 2);
    uint8_t *out = malloc(TEST_DEEP_BYTES);
    memset(text, 'x', SBE_TICK_TEXT_BYTES_MAX + 2);
    text[SBE_TICK_TEXT_BYTES_MAX + 1] = '\0';
    struct md_update update = example_update(MD_STATUS);
    update.status = (struct md_status){.state = "open", .reason = text};
    assert_int_equal(sbe_tick_encode(out, TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2), 0);
    text[SBE_TICK_TEXT_BYTES_MAX] = '\0';
    size_t bytes = 8 + 36 + 2 + 4 + 2 + SBE_TICK_TEXT_BYTES_MAX;
    assert_int_equal(sbe_tick_encode(out, TEST_DEEP_BYTES, TEST_CHANNEL, &update, 1, 2), bytes);
    assert_int_equal(out[bytes - 1], 'x');
    free(out);
    free(text);
}

static void the_schema_is_in_the_program(void **state)
{
    (void)state;
    size_t bytes;
    const char *text = sbe_schema_text(&bytes);
    static const char begin[] = "<?xml ";
    static const char end[] = "</sbe:messageSchema>\n";
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_memory_equal(text + bytes - (sizeof end - 1), end, sizeof end - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quote_of_the_protocol_is_these_bytes),
        cmocka_unit_test(what_is_not_given_is_null),
        cmocka_unit_test(a_field_alone_is_at_its_offset),
        cmocka_unit_test(trades_carry_the_side_of_the_aggressor),
        cmocka_unit_test(prices_of_a_bar_share_the_least_exponent),
        cmocka_unit_test(levels_share_the_exponents_of_their_message),
        cmocka_unit_test(texts_stand_behind_the_block),
        cmocka_unit_test(a_quote_is_not_padded),
        cmocka_unit_test(every_exponent_beside_every_other_is_exact),
        cmocka_unit_test(an_exponent_that_overflows_gives_no_message),
        cmocka_unit_test(a_value_that_would_mean_null_gives_no_message),
        cmocka_unit_test(as_many_levels_as_a_group_counts_are_written),
        cmocka_unit_test(a_text_of_any_length_is_written_up_to_its_limit),
        cmocka_unit_test(the_schema_is_in_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
