#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/guard_page.h"
#include "tools/common/tick_scan.h"

static size_t write_tick(char *out, const char *symbol, unsigned long long channel,
                         unsigned long long seq, const char *data)
{
    return (size_t)sprintf(out,
                           "{\"type\":\"quote\",\"symbol\":\"%s\",\"ch\":%llu,\"seq\":%llu,"
                           "\"ts_event\":1732078800123456789,\"ts_recv\":1732078800123460000,"
                           "\"ts_pub\":1732078800123461200,\"data\":{%s}}",
                           symbol, channel, seq, data);
}

static void expect_tick(struct tick_scan *scan, const char *text, size_t bytes,
                        unsigned long long channel, unsigned long long seq)
{
    struct tick_fields fields;
    assert_true(tick_scan(scan, (const uint8_t *)text, bytes, &fields));
    assert_true(fields.channel == channel);
    assert_true(fields.seq == seq);
    assert_true(fields.ts_pub_ns == UINT64_C(1732078800123461200));
}

static void numbers_of_every_length_are_read(void **state)
{
    (void)state;
    struct tick_scan scan = {0};
    char text[512];
    unsigned long long number = 1;
    for (int digits = 1; digits <= 19; digits++) {
        size_t bytes = write_tick(text, "000001.SZ", number % 100000, number, "\"last\":12.34");
        expect_tick(&scan, text, bytes, number % 100000, number);
        number = number * 10 + (unsigned)(digits + 1) % 10;
    }
}

static void symbols_of_changing_length_are_found(void **state)
{
    (void)state;
    struct tick_scan scan = {0};
    char text[512];
    const char *symbols[] = {"A", "600519.SH", "\\\"ch\\\":7", "0123456789012345678901234567890"};
    for (size_t i = 0; i < 100; i++) {
        size_t bytes = write_tick(text, symbols[i % 4], i, i + 1, "");
        expect_tick(&scan, text, bytes, i, i + 1);
    }
}

static void the_fast_way_agrees_with_the_slow_one_for_any_end(void **state)
{
    (void)state;
    char text[512];
    struct tick_scan warm = {0};
    struct guard_page page;
    size_t whole =
        write_tick(text, "000001.SZ", 1042, 58211, "\"last\":12.34,\"pad\":\"xxxxxxxx\"");
    expect_tick(&warm, text, whole, 1042, 58211);
    guard_page_init(&page, sizeof text);
    for (size_t bytes = 0; bytes <= whole; bytes++) {
        /* Reading one byte beyond the end faults. */
        uint8_t *payload = guard_page_copy(&page, text, bytes);
        struct tick_scan fast = warm;
        struct tick_scan slow = warm;
        struct tick_fields fast_fields = {0};
        struct tick_fields slow_fields = {0};
        bool fast_found = tick_scan(&fast, payload, bytes, &fast_fields);
        bool slow_found = tick_scan_slow(&slow, payload, bytes, &slow_fields);
        assert_int_equal(fast_found, slow_found);
        if (fast_found) {
            assert_memory_equal(&fast_fields, &slow_fields, sizeof fast_fields);
        }
    }
    guard_page_deinit(&page);
}

static void control_frames_are_no_ticks(void **state)
{
    (void)state;
    struct tick_scan scan = {0};
    struct tick_fields fields;
    const char *gap = "{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":5,\"from\":1,\"to\":9}}";
    assert_false(tick_scan_is_data((const uint8_t *)gap, strlen(gap)));
    assert_false(tick_scan(&scan, (const uint8_t *)gap, strlen(gap), &fields));
}

static void a_number_of_20_digits_is_refused(void **state)
{
    (void)state;
    struct tick_scan scan = {0};
    struct tick_fields fields;
    const char *text = "{\"type\":\"quote\",\"symbol\":\"A\",\"ch\":12345678901234567890,\"seq\":1,"
                       "\"ts_pub\":1,\"data\":{\"pad\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}";
    assert_false(tick_scan(&scan, (const uint8_t *)text, strlen(text), &fields));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_length_are_read),
        cmocka_unit_test(symbols_of_changing_length_are_found),
        cmocka_unit_test(the_fast_way_agrees_with_the_slow_one_for_any_end),
        cmocka_unit_test(control_frames_are_no_ticks),
        cmocka_unit_test(a_number_of_20_digits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
