#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
#include "tests/example_tick.h"
#include "tests/guard_page.h"

#define TEST_OUT_BYTES 4096
#define TEST_LEVELS_MAX 2000
#define TEST_DEEP_BYTES (256 * 1024)

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char example_text[] =
    "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":58211,"
    "\"ts_event\":1732078800123456789,\"ts_recv\":1732078800123460000,"
    "\"ts_pub\":1732078800123461200,"
    "\"data\":{\"last\":12.34,\"open\":12.30,\"high\":12.40,\"low\":12.25,\"prev_close\":12.31,"
    "\"volume\":123456,\"turnover\":1523456.78,\"bids\":[[12.33,500],[12.32,900]],"
    "\"asks\":[[12.34,300],[12.35,100]]}}";

static struct md_update empty_quote(void)
{
    return (struct md_update){.type = MD_QUOTE, .quote = md_quote_none};
}

static void head_for(struct json_tick_head *head, enum md_type type)
{
    json_tick_head_init(head, type, "000001.SZ", 9, 1042);
}

/* The payload is the expected text, in exactly as much room as it needs and not in less. */
static void assert_encodes(const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns,
                           const char *expected)
{
    size_t expected_bytes = strlen(expected);
    struct json_tick_head head;
    head_for(&head, update->type);
    struct guard_page guard;
    guard_page_init(&guard, TEST_OUT_BYTES);

    uint8_t *out = guard_page_tail(&guard, TEST_OUT_BYTES);
    size_t bytes = json_tick_encode(out, TEST_OUT_BYTES, &head, update, seq, ts_pub_ns);
    out[bytes] = '\0';
    assert_string_equal((const char *)out, expected);
    assert_int_equal(bytes, expected_bytes);

    for (size_t room = expected_bytes; room < expected_bytes + 600; room++) {
        out = guard_page_tail(&guard, room);
        bytes = json_tick_encode(out, room, &head, update, seq, ts_pub_ns);
        assert_int_equal(bytes, expected_bytes);
        assert_memory_equal(out, expected, expected_bytes);
    }
    for (size_t room = 0; room < expected_bytes; room++) {
        out = guard_page_tail(&guard, room);
        assert_int_equal(json_tick_encode(out, room, &head, update, seq, ts_pub_ns), 0);
    }
    guard_page_deinit(&guard);
}

static void the_example_of_the_protocol_is_written_to_the_letter(void **state)
{
    (void)state;
    struct md_update update = example_quote();
    assert_encodes(&update, 58211, 1732078800123461200, example_text);
}

static void fields_that_are_not_given_are_left_out(void **state)
{
    (void)state;
    struct md_update update = empty_quote();
    assert_encodes(&update, 1, 5,
                   "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,"
                   "\"ts_pub\":5,\"data\":{}}");
    update.quote.low = D(-5, -1);
    assert_encodes(&update, 1, 5,
                   "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,"
                   "\"ts_pub\":5,\"data\":{\"low\":-0.5}}");
}

static void a_size_that_is_not_given_is_null(void **state)
{
    (void)state;
    static const struct md_level levels[] = {{{1305, -8}, {MD_NONE, 0}}, {{1304, -8}, {0, 0}}};
    struct md_update update = empty_quote();
    update.quote.asks = levels;
    update.quote.ask_count = 2;
    update.quote.status = "open";
    assert_encodes(&update, UINT64_MAX, UINT64_MAX,
                   "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,"
                   "\"seq\":18446744073709551615,\"ts_pub\":18446744073709551615,"
                   "\"data\":{\"asks\":[[0.00001305,null],[0.00001304,0]],\"status\":\"open\"}}");
}

static void trades_carry_the_side_of_the_aggressor(void **state)
{
    (void)state;
    struct md_update update = {
        .type = MD_TRADE,
        .ts_event_ns = 7,
        .trade = {.price = D(6543212, -2),
                  .size = D(35130000, -8),
                  .side = MD_SIDE_BUY,
                  .has_id = true,
                  .id = 0},
    };
    assert_encodes(&update, 2, 9,
                   "{\"type\":\"trade\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":2,"
                   "\"ts_event\":7,\"ts_pub\":9,\"data\":{\"price\":65432.12,\"size\":0.35130000,"
                   "\"side\":\"buy\",\"id\":0}}");
    update.trade.side = MD_SIDE_SELL;
    update.trade.has_id = false;
    update.ts_event_ns = 0;
    update.ts_recv_ns = 8;
    assert_encodes(&update, 2, 9,
                   "{\"type\":\"trade\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":2,"
                   "\"ts_recv\":8,\"ts_pub\":9,\"data\":{\"price\":65432.12,\"size\":0.35130000,"
                   "\"side\":\"sell\"}}");
    update.trade.side = MD_SIDE_NONE;
    update.trade.size = md_none;
    assert_encodes(&update, 2, 9,
                   "{\"type\":\"trade\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":2,"
                   "\"ts_recv\":8,\"ts_pub\":9,\"data\":{\"price\":65432.12}}");
}

static void bars_say_whether_they_are_closed(void **state)
{
    (void)state;
    struct md_update update = {
        .type = MD_BAR,
        .bar = {.interval = "1m",
                .start_ns = 1732078800000000000,
                .open = D(1, 0),
                .high = D(4, 0),
                .low = D(-2, 0),
                .close = D(3, 0),
                .volume = D(100, 0),
                .turnover = D(2505, -1),
                .has_count = true,
                .count = 17,
                .closed = true},
    };
    assert_encodes(&update, 3, 9,
                   "{\"type\":\"bar\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":3,\"ts_pub\":9,"
                   "\"data\":{\"interval\":\"1m\",\"start\":1732078800000000000,\"open\":1,"
                   "\"high\":4,\"low\":-2,\"close\":3,\"volume\":100,\"turnover\":250.5,"
                   "\"count\":17,\"closed\":true}}");
    update.bar.turnover = md_none;
    update.bar.has_count = false;
    update.bar.closed = false;
    assert_encodes(&update, 3, 9,
                   "{\"type\":\"bar\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":3,\"ts_pub\":9,"
                   "\"data\":{\"interval\":\"1m\",\"start\":1732078800000000000,\"open\":1,"
                   "\"high\":4,\"low\":-2,\"close\":3,\"volume\":100,\"closed\":false}}");
}

static void both_sides_of_a_depth_are_written_also_when_empty(void **state)
{
    (void)state;
    struct md_update update = {.type = MD_DEPTH, .depth = {.action = MD_SNAPSHOT}};
    assert_encodes(&update, 4, 9,
                   "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":4,"
                   "\"ts_pub\":9,\"data\":{\"action\":\"snapshot\",\"bids\":[],\"asks\":[]}}");
    update.depth = (struct md_depth){MD_DELTA, example_bids, NULL, 1, 0, false, 0};
    assert_encodes(&update, 4, 9,
                   "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":4,"
                   "\"ts_pub\":9,\"data\":{\"action\":\"delta\",\"bids\":[[12.33,500]],"
                   "\"asks\":[]}}");
    update.depth.has_checksum = true;
    update.depth.checksum = UINT32_MAX;
    assert_encodes(&update, 4, 9,
                   "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":4,"
                   "\"ts_pub\":9,\"data\":{\"action\":\"delta\",\"bids\":[[12.33,500]],"
                   "\"asks\":[],\"checksum\":4294967295}}");
}

static void a_status_is_escaped_at_any_length(void **state)
{
    (void)state;
    struct md_update update = {.type = MD_STATUS, .status = {.state = "halted", .reason = NULL}};
    assert_encodes(&update, 5, 9,
                   "{\"type\":\"status\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":5,"
                   "\"ts_pub\":9,\"data\":{\"state\":\"halted\"}}");
    update.status.reason = "a \"quoted\"\n\\ reason, longer than sixty-four characters so that it "
                           "comes in two chunks; \xe5\x81\x9c\xe7\x89\x8c\x01";
    assert_encodes(
        &update, 5, 9,
        "{\"type\":\"status\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":5,"
        "\"ts_pub\":9,\"data\":{\"state\":\"halted\",\"reason\":\"a \\\"quoted\\\"\\u000a"
        "\\\\ reason, longer than sixty-four characters so that it comes in two chunks; "
        "\xe5\x81\x9c\xe7\x89\x8c\\u0001\"}}");
}

static void a_symbol_that_is_all_escapes_fits_its_head(void **state)
{
    (void)state;
    char symbol[MD_SYMBOL_BYTES_MAX];
    memset(symbol, 0x1f, sizeof symbol);
    struct json_tick_head head;
    json_tick_head_init(&head, MD_STATUS, symbol, sizeof symbol, UINT32_MAX);
    assert_true(head.text_bytes <= JSON_TICK_HEAD_BYTES_MAX);

    json_tick_head_init(&head, MD_QUOTE, "A\"B\\C\t", 6, 3);
    static const char expected[] =
        "{\"type\":\"quote\",\"symbol\":\"A\\\"B\\\\C\\u0009\",\"ch\":3,\"seq\":";
    assert_int_equal(head.text_bytes, sizeof expected - 1);
    assert_memory_equal(head.text, expected, sizeof expected - 1);
}

static void a_padded_quote_has_exactly_the_length_asked_for(void **state)
{
    (void)state;
    static const char least[] =
        "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,"
        "\"ts_pub\":9,\"data\":{\"last\":12.34,\"pad\":\"\"}}";
    struct md_update update = example_quote();
    update.ts_event_ns = 0;
    update.ts_recv_ns = 0;
    struct json_tick_head head;
    head_for(&head, MD_QUOTE);
    struct guard_page guard;
    guard_page_init(&guard, TEST_OUT_BYTES);
    for (uint32_t pad_bytes = 1; pad_bytes <= TEST_OUT_BYTES; pad_bytes++) {
        update.pad_bytes = pad_bytes;
        uint8_t *out = guard_page_tail(&guard, pad_bytes);
        size_t bytes = json_tick_encode(out, pad_bytes, &head, &update, 1, 9);
        if (pad_bytes < sizeof least - 1) {
            assert_int_equal(bytes, 0);
            continue;
        }
        assert_int_equal(bytes, pad_bytes);
        assert_memory_equal(out, least, sizeof least - 4);
        size_t filler_bytes = pad_bytes - (sizeof least - 1);
        for (size_t i = 0; i < filler_bytes; i++) {
            assert_int_equal(out[sizeof least - 4 + i], 'x');
        }
        assert_memory_equal(out + pad_bytes - 3, "\"}}", 3);
        assert_int_equal(json_tick_encode(out, pad_bytes - 1, &head, &update, 1, 9), 0);
    }
    guard_page_deinit(&guard);
}

static void padding_needs_no_last_price_and_concerns_quotes_only(void **state)
{
    (void)state;
    struct md_update update = empty_quote();
    update.pad_bytes = 88;
    assert_encodes(
        &update, 1, 9,
        "{\"type\":\"quote\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,\"ts_pub\":9,"
        "\"data\":{\"pad\":\"xxxx\"}}");
    update = (struct md_update){.type = MD_DEPTH, .pad_bytes = 20};
    assert_encodes(
        &update, 1, 9,
        "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,\"ts_pub\":9,"
        "\"data\":{\"action\":\"snapshot\",\"bids\":[],\"asks\":[]}}");
}

static void two_thousand_levels_a_side_are_written(void **state)
{
    (void)state;
    static struct md_level levels[TEST_LEVELS_MAX];
    for (int i = 0; i < TEST_LEVELS_MAX; i++) {
        levels[i] = (struct md_level){D(6000000 + i, -2), D(100000000 + i, -8)};
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .depth = {MD_SNAPSHOT, levels, levels, TEST_LEVELS_MAX, TEST_LEVELS_MAX, false, 0},
    };
    struct json_tick_head head;
    head_for(&head, MD_DEPTH);
    uint8_t *out = malloc(TEST_DEEP_BYTES);
    size_t bytes = json_tick_encode(out, TEST_DEEP_BYTES, &head, &update, 1, 9);
    static const char level[] = "[60000.00,1.00000000],";
    static const char envelope[] =
        "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":1,"
        "\"ts_pub\":9,\"data\":{\"action\":\"snapshot\",\"bids\":["
        "],\"asks\":[]}}";
    /* All but the last level of a side end in a comma. */
    size_t expected_bytes = sizeof envelope - 1 + 2 * (TEST_LEVELS_MAX * (sizeof level - 1) - 1);
    assert_int_equal(bytes, expected_bytes);
    static const char last[] = "[60019.99,1.00001999]]}}";
    assert_memory_equal(out + bytes - (sizeof last - 1), last, sizeof last - 1);
    assert_int_equal(json_tick_encode(out, bytes, &head, &update, 1, 9), bytes);
    assert_int_equal(json_tick_encode(out, bytes - 1, &head, &update, 1, 9), 0);
    assert_int_equal(json_tick_encode(out, bytes / 3, &head, &update, 1, 9), 0);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_protocol_is_written_to_the_letter),
        cmocka_unit_test(fields_that_are_not_given_are_left_out),
        cmocka_unit_test(a_size_that_is_not_given_is_null),
        cmocka_unit_test(trades_carry_the_side_of_the_aggressor),
        cmocka_unit_test(bars_say_whether_they_are_closed),
        cmocka_unit_test(both_sides_of_a_depth_are_written_also_when_empty),
        cmocka_unit_test(a_status_is_escaped_at_any_length),
        cmocka_unit_test(a_symbol_that_is_all_escapes_fits_its_head),
        cmocka_unit_test(a_padded_quote_has_exactly_the_length_asked_for),
        cmocka_unit_test(padding_needs_no_last_price_and_concerns_quotes_only),
        cmocka_unit_test(two_thousand_levels_a_side_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
