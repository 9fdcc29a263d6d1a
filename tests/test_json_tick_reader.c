/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
#include "codec/json_tick_reader.h"
#include "tests/guard_page.h"

#define TEXT_BYTES_MAX 16384
#define ROUNDS 20000

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

static struct guard_page guard;

static struct md_decimal random_decimal(void)
{
    struct md_decimal decimal = {
        .mantissa = (int64_t)(random_state >> random_below(64)),
        .exponent = (int8_t) - (int)random_below(19),
    };
    decimal.mantissa = random_below(2) == 0 ? decimal.mantissa : -decimal.mantissa;
    return random_below(4) == 0 || decimal.mantissa == MD_NONE ? md_none : decimal;
}

static uint32_t random_levels(struct md_level *levels, uint32_t max)
{
    uint32_t count = (uint32_t)random_below(max + 1);
    for (uint32_t i = 0; i < count; i++) {
        do {
            levels[i].price = random_decimal();
        } while (!md_is_given(levels[i].price));
        levels[i].size = random_decimal();
    }
    return count;
}

/* What an update points to. */
static struct md_level bids[JSON_TICK_READER_LEVELS_MAX + 1];
static struct md_level asks[JSON_TICK_READER_LEVELS_MAX + 1];

static struct md_update random_update(void)
{
    struct md_update update = {
        .type = random_below(2) == 0 ? MD_QUOTE : MD_BAR,
        .ts_event_ns = random_below(3) * 1732078800123456789u,
        .ts_recv_ns = random_below(2) * 1732078800123460000u,
    };
    if (update.type == MD_QUOTE) {
        uint32_t levels_max = random_below(5) == 0 ? JSON_TICK_READER_LEVELS_MAX : 5;
        struct md_quote *quote = &update.quote;
        struct md_decimal *decimals[] = {&quote->last,      &quote->open,   &quote->high,
                                         &quote->low,       &quote->volume, &quote->turnover,
                                         &quote->prev_close};
        for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
            *decimals[i] = random_decimal();
        }
        quote->bids = bids;
        quote->asks = asks;
        quote->bid_count = random_levels(bids, levels_max);
        quote->ask_count = random_levels(asks, levels_max);
        quote->status = random_below(2) == 0 ? NULL : "halted: {\xe2\x82\xac}, [1]";
        update.pad_bytes = random_below(5) == 0 && md_is_given(quote->last) ? 400 : 0;
        return update;
    }
    struct md_bar *bar = &update.bar;
    struct md_decimal *decimals[] = {&bar->open,  &bar->high,   &bar->low,
                                     &bar->close, &bar->volume, &bar->turnover};
    for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
        *decimals[i] = random_decimal();
    }
    strcpy(bar->interval, random_below(2) == 0 ? "" : "15m");
    bar->start_ns = random_below(2) * 1732078800000000000u;
    bar->has_count = random_below(2) == 0;
    bar->count = bar->has_count ? random_state : 0;
    bar->closed = random_below(2) == 0;
    return update;
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    static uint8_t text[TEXT_BYTES_MAX], again[TEXT_BYTES_MAX];
    static struct json_tick_reader reader;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct json_tick_head head;
        struct md_update update = random_update();
        json_tick_head_init(&head, update.type, "A\"\\B\x01", 5, round);
        size_t bytes =
            json_tick_encode(text, sizeof text, &head, &update, round * 7u, random_state);
        assert_true(bytes > 0);
        assert_true(json_tick_read(&reader, guard_page_copy(&guard, text, bytes), bytes));
        assert_int_equal(reader.update.type, update.type);
        assert_int_equal(reader.update.channel, round);
        assert_int_equal(reader.seq, round * 7u);
        reader.update.pad_bytes = update.pad_bytes;
        assert_int_equal(json_tick_encode(again, sizeof again, &head, &reader.update, reader.seq,
                                          reader.ts_pub_ns),
                         bytes);
        assert_memory_equal(again, text, bytes);
    }
}

static void half_a_payload_is_refused(void **state)
{
    (void)state;
    static uint8_t text[TEXT_BYTES_MAX];
    static struct json_tick_reader reader;
    for (uint32_t round = 0; round < 50; round++) {
        struct json_tick_head head;
        struct md_update update = random_update();
        json_tick_head_init(&head, update.type, "AAPL.US", 7, round);
        size_t bytes = json_tick_encode(text, sizeof text, &head, &update, 1, 2);
        for (size_t cut = 0; cut < bytes; cut++) {
            assert_false(json_tick_read(&reader, guard_page_copy(&guard, text, cut), cut));
        }
        text[bytes] = ' ';
        assert_false(json_tick_read(&reader, text, bytes + 1));
    }
}

/* Whatever it says of them, it must not read or write beyond what it was given. */
static void broken_payloads_do_no_harm(void **state)
{
    (void)state;
    static uint8_t text[TEXT_BYTES_MAX];
    static struct json_tick_reader reader;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct json_tick_head head;
        struct md_update update = random_update();
        json_tick_head_init(&head, update.type, "AAPL.US", 7, round);
        size_t bytes = json_tick_encode(text, sizeof text, &head, &update, 1, 2);
        for (uint64_t i = random_below(4); i > 0; i--) {
            text[random_below(bytes)] = "{}[],:\"\\09x-."[random_below(13)];
        }
        (void)json_tick_read(&reader, guard_page_copy(&guard, text, bytes), bytes);
    }
}

static void other_types_and_too_much_are_refused(void **state)
{
    (void)state;
    static uint8_t text[TEXT_BYTES_MAX];
    static struct json_tick_reader reader;
    static const char *const refused[] = {
        "",
        "{",
        "{}",
        "[]",
        "{\"seq\":1}",
        "{\"type\":\"trade\",\"seq\":1}",
        "{\"type\":\"quote\",\"type\":\"bar\"}",
        "{\"type\":\"quote\",\"data\":{\"price\":1}}",
        "{\"type\":\"quote\",\"seq\":18446744073709551616}",
        "{\"type\":\"quote\",\"seq\":}",
        "{\"type\":\"quote\",\"seq\":-1}",
        "{\"type\":\"quote\",\"ch\":4294967296}",
        "{\"type\":\"quote\",\"data\":{\"last\":1e5}}",
        "{\"type\":\"bar\",\"data\":{\"closed\":1}}",
        "{\"type\":\"bar\",\"data\":{\"interval\":\"12345678\"}}",
        "{\"type\":\"quote\",\"data\":{\"bids\":[[1,2,3]]}}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(json_tick_read(&reader, (const uint8_t *)refused[i], strlen(refused[i])));
    }
    for (uint32_t i = 0; i <= JSON_TICK_READER_LEVELS_MAX; i++) {
        bids[i] = (struct md_level){.price = {1, 0}, .size = md_none};
    }
    for (uint32_t count = JSON_TICK_READER_LEVELS_MAX; count <= JSON_TICK_READER_LEVELS_MAX + 1;
         count++) {
        struct json_tick_head head;
        struct md_update update = random_update();
        update = (struct md_update){.type = MD_QUOTE, .quote = {.bids = bids, .bid_count = count}};
        json_tick_head_init(&head, MD_QUOTE, "A", 1, 1);
        size_t bytes = json_tick_encode(text, sizeof text, &head, &update, 1, 2);
        assert_int_equal(json_tick_read(&reader, text, bytes),
                         count == JSON_TICK_READER_LEVELS_MAX);
    }
}

int main(void)
{
    guard_page_init(&guard, TEXT_BYTES_MAX);
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(half_a_payload_is_refused),
        cmocka_unit_test(broken_payloads_do_no_harm),
        cmocka_unit_test(other_types_and_too_much_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
