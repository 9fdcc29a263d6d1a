/* What sbe_tick_encode writes is read back as it was; anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
#include "codec/sbe_tick_read.h"
#include "tests/example_tick.h"
#include "tests/guard_page.h"
#include "tests/random_tick.h"

#define OUT_BYTES 16384
#define ROUNDS 5000
#define BLOCK_AT 8
#define VERSION_AT 6

static struct md_level read_levels[2 * LEVELS];
static char texts[256];
static const struct sbe_tick_room room = {read_levels, 2 * LEVELS, texts, sizeof texts};
static struct guard_page guard;
static uint8_t out[OUT_BYTES];

static int set_up(void **state)
{
    (void)state;
    guard_page_init(&guard, OUT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_page_deinit(&guard);
    return 0;
}

/* The payload right before an unreadable page. */
static bool read_guarded(struct sbe_tick *tick, const uint8_t *payload, size_t bytes)
{
    uint8_t *tail = guard_page_tail(&guard, bytes);
    memcpy(tail, payload, bytes);
    return sbe_tick_read(tick, &room, tail, bytes);
}

static void what_is_written_is_read_back_to_the_byte(void **state)
{
    static uint8_t again[OUT_BYTES];
    uint32_t read_count = 0;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct md_update update = random_update((enum md_type)below(MD_TYPE_COUNT));
        uint64_t seq = seed;
        size_t bytes = sbe_tick_encode(out, sizeof out, (uint32_t)seq, &update, seq, seq / 2);
        if (bytes == 0) {
            continue; /* Its numbers have no common exponent. */
        }
        struct sbe_tick tick;
        assert_true(read_guarded(&tick, out, bytes));
        assert_int_equal(tick.seq, seq);
        assert_int_equal(tick.ts_pub_ns, seq / 2);
        assert_int_equal(tick.update.channel, (uint32_t)seq);
        assert_int_equal(sbe_tick_encode(again, sizeof again, tick.update.channel, &tick.update,
                                         tick.seq, tick.ts_pub_ns),
                         bytes);
        assert_memory_equal(again, out, bytes);
        read_count++;
        size_t less = below(bytes);
        assert_false(read_guarded(&tick, out, less));
    }
    assert_true(read_count > ROUNDS / 10);
}

static void any_bytes_are_read_or_refused(void **state)
{
    (void)state;
    struct sbe_tick tick;
    uint32_t refused_count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct md_update update = random_update((enum md_type)below(MD_TYPE_COUNT));
        size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 1, 2);
        if (bytes > 0) {
            out[below(bytes < 200 ? bytes : 200)] = (uint8_t)seed;
            refused_count += !read_guarded(&tick, out, bytes);
        }
    }
    assert_true(refused_count > 0);
}

static void the_protocols_example_says_the_same_in_json(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    struct json_tick_head head;
    struct sbe_tick tick;
    static uint8_t json[2][OUT_BYTES];
    json_tick_head_init(&head, MD_QUOTE, "000001.SZ", 9, 1042);
    size_t bytes = sbe_tick_encode(out, sizeof out, 1042, &update, 58211, 1732078800123461200);
    assert_true(sbe_tick_read(&tick, &room, out, bytes));
    size_t json_bytes =
        json_tick_encode(json[0], OUT_BYTES, &head, &update, 58211, 1732078800123461200);
    assert_int_equal(
        json_tick_encode(json[1], OUT_BYTES, &head, &tick.update, tick.seq, tick.ts_pub_ns),
        json_bytes);
    assert_memory_equal(json[0], json[1], json_bytes);
}

/* A later version may append to the block, to the entries of a group and to the message. */
static void what_is_appended_is_left_out(void **state)
{
    (void)state;
    static uint8_t longer[OUT_BYTES];
    struct md_update update = example_update(MD_DEPTH);
    struct sbe_tick tick;
    update.depth = (struct md_depth){MD_DELTA, example_bids, example_asks, 2, 2, true, 7};
    size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 3, 4);
    size_t level = 16, block = 44, at = 0;
    memcpy(longer, out, BLOCK_AT + block);
    at = BLOCK_AT + block + 5;
    longer[0] = (uint8_t)(block + 5);
    longer[VERSION_AT] = 1;
    for (size_t side = 0; side < 2; side++) {
        const uint8_t *group = out + BLOCK_AT + block + side * (4 + 2 * level);
        memcpy(longer + at, group, 4);
        longer[at] = (uint8_t)(level + 3);
        memcpy(longer + at + 4, group + 4, level);
        memcpy(longer + at + 4 + level + 3, group + 4 + level, level);
        at += 4 + 2 * (level + 3);
    }
    assert_int_equal(at + 4, bytes + 5 + 4 * 3 + 4);
    assert_true(read_guarded(&tick, longer, at + 4));
    assert_int_equal(tick.update.depth.bid_count, 2);
    assert_int_equal(tick.update.depth.asks[1].price.mantissa, 1235);
    assert_int_equal(tick.update.depth.asks[1].size.mantissa, 100);
    longer[VERSION_AT] = 0;
    assert_false(read_guarded(&tick, longer, at + 4));
}

/* In version 0 each length has one value, and nothing follows the message. */
static void what_version_0_does_not_have_is_refused(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    struct sbe_tick tick;
    size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 3, 4);
    out[bytes] = 0;
    assert_true(read_guarded(&tick, out, bytes));
    assert_false(read_guarded(&tick, out, bytes + 1));
    out[VERSION_AT] = 1;
    assert_true(read_guarded(&tick, out, bytes + 1));
}

/* What no encoder writes, and what could not be written again. */
static void values_beyond_the_schema_are_refused(void **state)
{
    (void)state;
    struct md_update quote = example_quote();
    struct md_update trade = example_update(MD_TRADE);
    struct md_update bar = example_update(MD_BAR);
    struct md_update depth = example_update(MD_DEPTH);
    struct md_update status = example_update(MD_STATUS);
    trade.trade = (struct md_trade){D(1, 0), D(1, 0), MD_SIDE_BUY, false, 0};
    bar.bar = (struct md_bar){.interval = "1m", .start_ns = 1};
    depth.depth = (struct md_depth){MD_DELTA, example_bids, example_asks, 2, 2, false, 0};
    status.status = (struct md_status){"open\xc3\xa4", NULL};
    const struct {
        const struct md_update *update;
        size_t at;
        uint8_t value;
    } changes[] = {
        {&quote, BLOCK_AT + 36, 1},            /* price_exponent */
        {&quote, BLOCK_AT + 36, (uint8_t)-19}, /* price_exponent */
        {&quote, BLOCK_AT + 38, 1},            /* turnover_exponent */
        {&quote, BLOCK_AT + 96, 15},           /* blockLength of bids */
        {&quote, BLOCK_AT + 96, 17},
        {&quote, BLOCK_AT + 98, 3}, /* numInGroup of bids */
        {&quote, BLOCK_AT + 98, 1},
        {&quote, BLOCK_AT + 99, 255},
        {&trade, BLOCK_AT + 38, 0}, /* side */
        {&trade, BLOCK_AT + 38, 3},
        {&bar, BLOCK_AT + 39, 2},    /* closed */
        {&bar, BLOCK_AT + 40, 0},    /* interval: "", then "m" */
        {&bar, BLOCK_AT + 40, 0xff}, /* no UTF-8 */
        {&bar, BLOCK_AT + 43, 'x'},  /* behind its end */
        {&bar, BLOCK_AT + 47, 'x'},
        {&depth, BLOCK_AT + 38, 2},         /* action */
        {&status, BLOCK_AT + 36, 7},        /* length of state */
        {&status, BLOCK_AT + 36, 5},        /* which leaves half a character in it */
        {&status, BLOCK_AT + 38, 0},        /* NUL in it */
        {&status, BLOCK_AT + 38 + 5, 0x28}, /* no UTF-8 */
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct sbe_tick tick;
        size_t bytes = sbe_tick_encode(out, sizeof out, 1, changes[i].update, 3, 4);
        assert_true(read_guarded(&tick, out, bytes));
        out[changes[i].at] = changes[i].value;
        if (read_guarded(&tick, out, bytes)) {
            fail_msg("change %zu", i);
        }
    }
}

/* A level without a price. */
static void a_null_price_of_a_level_is_refused(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    struct sbe_tick tick;
    static const int64_t null = INT64_MIN;
    size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 3, 4);
    memcpy(out + BLOCK_AT + 96 + 4 + 8, &null, sizeof null);
    assert_true(read_guarded(&tick, out, bytes)); /* of its size */
    memcpy(out + BLOCK_AT + 96 + 4, &null, sizeof null);
    assert_false(read_guarded(&tick, out, bytes));
}

/* One more than the encoder writes is not read, however much room there is. */
static void levels_and_texts_have_the_limits_of_the_encoder(void **state)
{
    (void)state;
    size_t bytes_max = 2 * BLOCK_AT + 36 + 65536 * 16;
    uint8_t *message = calloc(1, bytes_max);
    struct md_level *levels_room = calloc(65536, sizeof *levels_room);
    char *text_room = malloc(2 * 65536);
    const struct sbe_tick_room large = {levels_room, 65536, text_room, 2 * 65536};
    struct md_update depth = example_update(MD_DEPTH);
    struct md_update status = example_update(MD_STATUS);
    struct sbe_tick tick;
    for (uint16_t count = 65534; count > 0; count++) {
        size_t bytes = sbe_tick_encode(message, bytes_max, 1, &depth, 3, 4);
        memset(message + bytes, 0, bytes_max - bytes);
        memcpy(message + BLOCK_AT + 44 + 2, &count, 2);
        message[BLOCK_AT + 44 + 4 + count * 16] = 16; /* of asks */
        assert_int_equal(sbe_tick_read(&tick, &large, message, bytes + count * 16), count == 65534);

        bytes = sbe_tick_encode(message, bytes_max, 1, &status, 3, 4);
        memset(message + BLOCK_AT + 36 + 2, 'x', 65536);
        memcpy(message + BLOCK_AT + 36, &count, 2);
        memset(message + BLOCK_AT + 36 + 2 + count, 0, 2);
        assert_int_equal(sbe_tick_read(&tick, &large, message, bytes + count), count == 65534);
    }
    free(message);
    free(levels_room);
    free(text_room);
}

static void a_room_that_is_too_small_is_not_overrun(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    struct sbe_tick tick;
    update.quote.status = "open";
    size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 3, 4);
    for (uint32_t levels_max = 0; levels_max < 5; levels_max++) {
        for (size_t texts_bytes = 0; texts_bytes < 6; texts_bytes++) {
            struct md_level *few = malloc((levels_max + 1) * sizeof *few);
            char *text = malloc(texts_bytes + 1);
            const struct sbe_tick_room small = {few, levels_max, text, texts_bytes};
            assert_int_equal(sbe_tick_read(&tick, &small, out, bytes),
                             levels_max == 4 && texts_bytes == 5);
            free(few);
            free(text);
        }
    }
}

static void another_schema_is_refused(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    struct sbe_tick tick;
    size_t bytes = sbe_tick_encode(out, sizeof out, 1, &update, 3, 4);
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{SBE_TICK_SCHEMA_AT, 1},   {SBE_TICK_TEMPLATE_AT, 0},
                   {SBE_TICK_TEMPLATE_AT, 6}, {SBE_TICK_BLOCK_BYTES_AT, 95},
                   {BLOCK_AT + 36, 1},        {BLOCK_AT + 37, 0x80}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint8_t before = out[changes[i].at];
        out[changes[i].at] = changes[i].value;
        assert_false(sbe_tick_read(&tick, &room, out, bytes));
        out[changes[i].at] = before;
    }
    assert_true(sbe_tick_read(&tick, &room, out, bytes));
}

/* They go into JSON frames as they are. */
static void texts_that_are_not_utf_8_are_refused(void **state)
{
    (void)state;
    struct md_decimal one = {.mantissa = 1};
    struct md_update updates[] = {
        {.type = MD_STATUS, .status = {"op\xff", NULL}},
        {.type = MD_STATUS, .status = {"open", "\xe6\xa0"}},
        {.type = MD_QUOTE, .quote = {.status = "\xc0\x80"}},
        {.type = MD_BAR, .bar = {"1\xffm", 1, one, one, one, one, one, one, false, 0, true}},
    };
    for (size_t i = 0; i < sizeof updates / sizeof updates[0]; i++) {
        struct sbe_tick tick;
        size_t bytes = sbe_tick_encode(out, sizeof out, 1, &updates[i], 3, 4);
        assert_true(bytes > 0);
        assert_false(sbe_tick_read(&tick, &room, out, bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_to_the_byte),
        cmocka_unit_test(any_bytes_are_read_or_refused),
        cmocka_unit_test(the_protocols_example_says_the_same_in_json),
        cmocka_unit_test(what_is_appended_is_left_out),
        cmocka_unit_test(what_version_0_does_not_have_is_refused),
        cmocka_unit_test(values_beyond_the_schema_are_refused),
        cmocka_unit_test(a_null_price_of_a_level_is_refused),
        cmocka_unit_test(levels_and_texts_have_the_limits_of_the_encoder),
        cmocka_unit_test(a_room_that_is_too_small_is_not_overrun),
        cmocka_unit_test(another_schema_is_refused),
        cmocka_unit_test(texts_that_are_not_utf_8_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
