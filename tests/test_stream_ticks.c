#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/sbe_tick.h"
#include "feeds/stream_ticks.h"
#include "tests/example_tick.h"
#include "tests/guard_page.h"
#include "tests/random_tick.h"

#define OUT_BYTES 16384
#define ROUNDS 3000

static struct stream_ticks *reader;
static struct stream_ticks_table table;
static struct guard_page guard;
static uint8_t out[OUT_BYTES];

static int set_up(void **state)
{
    (void)state;
    guard_page_init(&guard, OUT_BYTES);
    for (uint32_t type = 0; type < MD_TYPE_COUNT; type++) {
        const char *fault = stream_ticks_bind(&table, 100 + type, "A", 1, (enum md_type)type, type);
        assert_null(fault);
    }
    return stream_ticks_create(&reader);
}

static int tear_down(void **state)
{
    (void)state;
    stream_ticks_destroy(reader);
    stream_ticks_table_deinit(&table);
    guard_page_deinit(&guard);
    return 0;
}

/* What follows a length, right before an unreadable page. */
static enum stream_ticks_status parse(const uint8_t *message, size_t bytes,
                                      struct stream_tick *tick)
{
    uint8_t *tail = guard_page_tail(&guard, bytes);
    memcpy(tail, message, bytes);
    return stream_ticks_parse(reader, &table, tail, bytes, tick);
}

static void what_is_written_is_read_back(void **state)
{
    static uint8_t again[OUT_BYTES];
    uint32_t read_count = 0;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct md_update update = random_update((enum md_type)below(MD_TYPE_COUNT));
        uint32_t ch = 100 + update.type;
        size_t bytes = stream_ticks_put(out, sizeof out, ch, &update, 7);
        struct stream_tick tick;
        if (bytes == 0) {
            continue; /* SBE cannot hold it. */
        }
        assert_int_equal(bytes_load_le32(out), bytes - 4);
        if (parse(out + 4, bytes - 4, &tick) != STREAM_TICKS_TICK) {
            assert_non_null(tick.fault);
            continue; /* It lacks a field, or is negative. */
        }
        assert_int_equal(tick.q, 7);
        assert_int_equal(tick.channel->value, update.type);
        assert_int_equal(stream_ticks_put(again, sizeof again, ch, &tick.update, tick.q), bytes);
        assert_memory_equal(again, out, bytes);
        assert_int_equal(parse(out + 4, bytes - 5, &tick), STREAM_TICKS_MALFORMED);
        assert_int_equal(stream_ticks_put(again, bytes - 1, ch, &update, 7), 0);
        read_count++;
    }
    assert_true(read_count > ROUNDS / 10);
}

static void json_is_for_another_reader(void **state)
{
    struct stream_tick tick;
    static const char text[] = "{\"type\":\"HEARTBEAT\"}";
    (void)state;
    assert_int_equal(stream_ticks_put_json(out, sizeof text + 2, text, sizeof text - 1), 0);
    size_t bytes = stream_ticks_put_json(out, sizeof text + 3, text, sizeof text - 1);
    assert_int_equal(bytes, 4 + sizeof text - 1);
    assert_int_equal(parse(out + 4, bytes - 4, &tick), STREAM_TICKS_JSON);
    assert_memory_equal(out + 4, text, sizeof text - 1);
}

static void a_tick_of_no_or_another_channel_is_malformed(void **state)
{
    struct stream_tick tick;
    struct md_update update = {.type = MD_STATUS, .status = {"open", NULL}};
    size_t bytes = stream_ticks_put(out, sizeof out, 100 + MD_STATUS, &update, 1);
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{SBE_TICK_SCHEMA_AT, 1},
                   {SBE_TICK_TEMPLATE_AT, MD_TRADE + 1},
                   {SBE_TICK_CHANNEL_AT, 99},
                   {SBE_TICK_CHANNEL_AT + 3, 1},
                   {SBE_TICK_BLOCK_BYTES_AT, 200}};
    (void)state;
    assert_int_equal(parse(out + 4, bytes - 4, &tick), STREAM_TICKS_TICK);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint8_t before = out[4 + changes[i].at];
        out[4 + changes[i].at] = changes[i].value;
        assert_int_equal(parse(out + 4, bytes - 4, &tick), STREAM_TICKS_MALFORMED);
        assert_non_null(tick.fault);
        assert_int_equal(tick.q, 1);
        out[4 + changes[i].at] = before;
    }
    assert_int_equal(parse(out + 4, 0, &tick), STREAM_TICKS_MALFORMED);
}

/* A tick of which everything is given. */
static struct md_update whole(enum md_type type)
{
    static const struct md_level level[] = {{D(1, 0), D(2, 0)}};
    struct md_update update = example_update(type);
    if (type == MD_QUOTE) {
        update = example_quote();
    } else if (type == MD_TRADE) {
        update.trade = (struct md_trade){D(1, 0), D(2, 0), MD_SIDE_BUY, true, 3};
    } else if (type == MD_BAR) {
        update.bar = (struct md_bar){.interval = "1m",
                                     .start_ns = 1,
                                     .open = D(1, 0),
                                     .high = D(1, 0),
                                     .low = D(1, 0),
                                     .close = D(1, 0),
                                     .volume = D(1, -1),
                                     .turnover = md_none};
    } else if (type == MD_DEPTH) {
        update.depth = (struct md_depth){MD_DELTA, level, level, 1, 1, false, 0};
    } else {
        update.status = (struct md_status){"open", NULL};
    }
    return update;
}

static enum stream_ticks_status put_and_parse(const struct md_update *update, uint64_t q,
                                              struct stream_tick *tick)
{
    size_t bytes = stream_ticks_put(out, sizeof out, 100 + update->type, update, q);
    assert_true(bytes > 0);
    return parse(out + 4, bytes - 4, tick);
}

/* What SBE can hold and is no tick: the same as in JSON. */
static void what_lacks_a_field_or_is_negative_is_malformed(void **state)
{
    static const struct md_level negative[] = {{D(1, 0), D(-1, 0)}};
    struct md_update updates[16];
    struct stream_tick tick;
    size_t count = 0;
    (void)state;
#define BUT(type, field, ...)                                                                      \
    updates[count] = whole(type);                                                                  \
    updates[count++].field = (__typeof__(updates[0].field))__VA_ARGS__
    BUT(MD_TRADE, trade.price, md_none);
    BUT(MD_TRADE, trade.size, D(-1, 0));
    BUT(MD_TRADE, ts_event_ns, (uint64_t)INT64_MAX + 1);
    BUT(MD_QUOTE, quote.volume, D(-1, 0));
    BUT(MD_QUOTE, quote.bids, negative);
    updates[count - 1].quote.bid_count = 1;
    BUT(MD_BAR, bar.interval[0], 0);
    updates[count - 1].bar.interval[1] = 0;
    BUT(MD_BAR, bar.start_ns, 0);
    BUT(MD_BAR, bar.start_ns, (uint64_t)INT64_MAX + 1);
    BUT(MD_BAR, bar.open, md_none);
    BUT(MD_BAR, bar.high, md_none);
    BUT(MD_BAR, bar.low, md_none);
    BUT(MD_BAR, bar.close, md_none);
    BUT(MD_BAR, bar.volume, D(-1, 0));
    BUT(MD_DEPTH, depth.asks, negative);
    BUT(MD_STATUS, status.state, NULL);
    for (uint32_t type = 0; type < MD_TYPE_COUNT; type++) {
        struct md_update update = whole((enum md_type)type);
        assert_int_equal(put_and_parse(&update, 0, &tick), STREAM_TICKS_TICK);
    }
    for (size_t i = 0; i < count; i++) {
        if (put_and_parse(&updates[i], 1, &tick) != STREAM_TICKS_MALFORMED) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(tick.q, 1);
    }
}

static void q_is_at_most_what_json_has(void **state)
{
    struct md_update update = whole(MD_TRADE);
    struct stream_tick tick;
    (void)state;
    assert_int_equal(put_and_parse(&update, INT64_MAX, &tick), STREAM_TICKS_TICK);
    assert_int_equal(tick.q, INT64_MAX);
    assert_int_equal(put_and_parse(&update, (uint64_t)INT64_MAX + 1, &tick),
                     STREAM_TICKS_MALFORMED);
    assert_int_equal(tick.q, 0);
}

static uint32_t count_values(void *context, const char *symbol, size_t symbol_bytes,
                             enum md_type type)
{
    (void)symbol, (void)symbol_bytes, (void)type;
    return ++*(uint32_t *)context;
}

static const char *define(struct stream_ticks_table *own, const char *text, uint32_t *count)
{
    return stream_ticks_define(own, text, strlen(text), count_values, count);
}

static void a_definition_binds_each_ch_once(void **state)
{
    struct stream_ticks_table own = {0};
    uint32_t count = 0;
    static const char both[] =
        "{\"type\":\"DEFINITION\",\"ts\":1,\"data\":{\"channels\":["
        "{\"ch\":0,\"symbol\":\"A\",\"type\":\"trade\"},"
        "{\"type\":\"quote\",\"symbol\":\"\\u00e4\",\"ch\":65535,\"depth\":5}]}}";
    (void)state;
    assert_null(stream_ticks_find(&own, 0));
    assert_null(define(&own, both, &count));
    assert_null(define(&own, both, &count));
    assert_int_equal(count, 2);
    assert_int_equal(stream_ticks_find(&own, 0)->value, 1);
    assert_int_equal(stream_ticks_find(&own, 65535)->value, 2);
    assert_int_equal(stream_ticks_find(&own, 65535)->type, MD_QUOTE);
    assert_int_equal(stream_ticks_find(&own, 65535)->symbol_bytes, 2);
    assert_null(stream_ticks_find(&own, 1));
    assert_null(stream_ticks_find(&own, 65536));
    assert_null(stream_ticks_find(&own, UINT64_MAX));
    stream_ticks_table_deinit(&own);
}

static void a_bad_definition_has_a_fault(void **state)
{
#define CHANNEL(fields) "{\"data\":{\"channels\":[{" fields "}]}}"
    static const char *const texts[] = {
        "",
        "{}",
        "{\"data\":{\"channels\":{}}}",
        "{\"data\":{\"channels\":[1]}}",
        CHANNEL(""),
        CHANNEL("\"ch\":1,\"symbol\":\"A\",\"type\":\"trades\""),
        CHANNEL("\"ch\":1,\"symbol\":\"A\""),
        CHANNEL("\"ch\":1,\"symbol\":\"\",\"type\":\"trade\""),
        CHANNEL("\"ch\":1,\"symbol\":\"A\\u0000\",\"type\":\"trade\""),
        CHANNEL("\"ch\":1,\"symbol\":1,\"type\":\"trade\""),
        CHANNEL("\"ch\":1,\"symbol\":\"123456789012345678901234567890123\",\"type\":\"trade\""),
        CHANNEL("\"ch\":-1,\"symbol\":\"A\",\"type\":\"trade\""),
        CHANNEL("\"ch\":1.5,\"symbol\":\"A\",\"type\":\"trade\""),
        CHANNEL("\"ch\":65536,\"symbol\":\"A\",\"type\":\"trade\""),
        CHANNEL("\"symbol\":\"A\",\"type\":\"trade\""),
        CHANNEL("\"ch\":100,\"symbol\":\"B\",\"type\":\"quote\""),
        CHANNEL("\"ch\":100,\"symbol\":\"A\",\"type\":\"trade\""),
    };
    uint32_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (define(&table, texts[i], &count) == NULL) {
            fail_msg("no fault: %s", texts[i]);
        }
    }
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(json_is_for_another_reader),
        cmocka_unit_test(a_tick_of_no_or_another_channel_is_malformed),
        cmocka_unit_test(what_lacks_a_field_or_is_negative_is_malformed),
        cmocka_unit_test(q_is_at_most_what_json_has),
        cmocka_unit_test(a_definition_binds_each_ch_once),
        cmocka_unit_test(a_bad_definition_has_a_fault),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
