#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guard_page.h"
#include "tools/common/pattern_scan.h"

struct values {
    uint64_t channel;
    uint64_t seq;
    uint64_t time_ns;
};

/* Both halves. */
static bool scan_whole(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                       struct values *out)
{
    struct pattern_place place;
    if (!pattern_scan_place(scan, payload, payload_bytes, &place) ||
        !pattern_scan_time(scan, payload, payload_bytes, &place, &out->time_ns)) {
        return false;
    }
    out->channel = place.channel;
    out->seq = place.seq;
    return true;
}

static struct pattern_scan scan_of(const char *channel, const char *seq, const char *time,
                                   uint64_t time_unit_ns)
{
    struct pattern_scan scan = {.time_unit_ns = time_unit_ns};
    assert_true(pattern_scan_set(&scan, PATTERN_CHANNEL, channel));
    assert_true(pattern_scan_set(&scan, PATTERN_SEQ, seq));
    assert_true(pattern_scan_set(&scan, PATTERN_TIME, time));
    return scan;
}

static struct pattern_scan scan_of_ticks(void)
{
    return scan_of("\"ch\":", "\"seq\":", "\"ts_pub\":", 1);
}

/* The payload in a block of just its size, so that a sanitizer sees a read beyond it. */
static bool scan_exact(struct pattern_scan *scan, const char *text, struct values *out)
{
    size_t bytes = strlen(text);
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    bool found = scan_whole(scan, copy, bytes, out);
    free(copy);
    return found;
}

static void expect(struct pattern_scan *scan, const char *text, uint64_t channel, uint64_t seq,
                   uint64_t time_ns)
{
    struct values values = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_true(scan_exact(scan, text, &values));
    assert_true(values.channel == channel);
    assert_true(values.seq == seq);
    assert_true(values.time_ns == time_ns);
}

static void fields_come_in_any_order(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "{\"ch\":7,\"seq\":12,\"ts_pub\":1500,\"data\":{}}",
        "{\"ch\":7,\"ts_pub\":1500,\"seq\":12,\"data\":{}}",
        "{\"seq\":12,\"ch\":7,\"ts_pub\":1500,\"data\":{}}",
        "{\"seq\":12,\"ts_pub\":1500,\"ch\":7,\"data\":{}}",
        "{\"ts_pub\":1500,\"ch\":7,\"data\":{},\"seq\":12}",
        "{\"data\":{},\"ts_pub\":1500,\"seq\":12,\"ch\":7}",
    };
    struct pattern_scan kept = scan_of_ticks();
    for (size_t i = 0; i < 72; i++) {
        struct pattern_scan fresh = scan_of_ticks();
        expect(&fresh, orders[i % 6], 7, 12, 1500);
        expect(&kept, orders[i * 5 / 3 % 6], 7, 12, 1500);
    }
}

static void numbers_may_grow_and_shrink(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {
        0, 9, 10, 99999, UINT64_C(9999999999999999999), 100, UINT64_C(1732078800123461200), 1};
    struct pattern_scan scan = scan_of_ticks();
    char text[256];
    for (size_t i = 0; i < 512; i++) {
        uint64_t channel = numbers[i % 8], seq = numbers[i / 8 % 8], time = numbers[i / 64];
        snprintf(text, sizeof text, "{\"ch\":%llu,\"x\":\"%0*d\",\"seq\":%llu,\"ts_pub\":%llu}",
                 (unsigned long long)channel, (int)(i % 7), 0, (unsigned long long)seq,
                 (unsigned long long)time);
        expect(&scan, text, channel, seq, time);
    }
}

static void what_is_missing_or_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "{\"ch\":7,\"seq\":12,\"data\":{}}",
        "{\"ch\":7,\"ts_pub\":1500}",
        "{\"seq\":7,\"ts_pub\":1500}",
        "{\"ch\":7,\"seq\":12,\"ts_pub\":",
        "{\"ch\":7,\"seq\":12,\"ts_pub\":}",
        "{\"ch\":7,\"seq\":-12,\"ts_pub\":1500}",
        "{\"ch\":\"7\",\"seq\":12,\"ts_pub\":1500}",
        "{\"ch\":7,\"seq\":12,\"ts_pub\":null,\"data\":\"long enough for the fast way\"}",
        "{\"ch\":7,\"seq\":12,\"ts_pub\":12345678901234567890}",
        "{\"ch\":7,\"seq\":12345678901234567890,\"ts_pub\":1,\"data\":\"long enough, too\"}",
        "{\"ch\":7,\"seq\":123456789012345678901234567890,\"ts_pub\":1}",
    };
    struct pattern_scan kept = scan_of_ticks();
    struct values values;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pattern_scan fresh = scan_of_ticks();
        assert_false(scan_exact(&fresh, bad[i], &values));
        expect(&kept, "{\"ch\":7,\"seq\":12,\"ts_pub\":1500}", 7, 12, 1500);
        assert_false(scan_exact(&kept, bad[i], &values));
    }
}

static void fields_that_frames_do_not_have_are_zero(void **state)
{
    (void)state;
    struct pattern_scan only_time = scan_of("", "", "t=", 1);
    struct pattern_scan no_channel = scan_of("", "n=", "t=", 1);
    expect(&only_time, "t=15", 0, 0, 15);
    expect(&only_time, "n=3 t=16", 0, 0, 16);
    expect(&no_channel, "n=3 t=16", 0, 3, 16);
    expect(&no_channel, "t=17 n=4", 0, 4, 17);
}

static void which_tick_it_is_needs_no_time(void **state)
{
    (void)state;
    struct pattern_scan scan = scan_of_ticks();
    struct pattern_place place;
    uint64_t time_ns;
    static const char *const texts[] = {"{\"ch\":7,\"seq\":12}",
                                        "{\"ch\":7,\"ts_pub\":,\"seq\":12}"};
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *text = (const uint8_t *)texts[i];
        assert_true(pattern_scan_place(&scan, text, strlen(texts[i]), &place));
        assert_true(place.channel == 7 && place.seq == 12);
        assert_false(pattern_scan_time(&scan, text, strlen(texts[i]), &place, &time_ns));
    }
}

static void patterns_of_every_length_are_found_and_told_apart(void **state)
{
    (void)state;
    char pattern[PATTERN_SCAN_BYTES_MAX + 1] = "", payload[256], other[256];
    for (size_t bytes = 1; bytes <= PATTERN_SCAN_BYTES_MAX; bytes++) {
        pattern[bytes - 1] = (char)('A' + bytes % 26);
        struct pattern_scan scan = scan_of("", "", pattern, 1);
        snprintf(payload, sizeof payload, "{%s42}", pattern);
        expect(&scan, payload, 0, 0, 42);
        expect(&scan, payload, 0, 0, 42);
        for (size_t at = 0; at < bytes; at++) {
            struct values values;
            strcpy(other, payload);
            other[1 + at] = '_';
            assert_false(scan_exact(&scan, other, &values));
        }
        expect(&scan, payload, 0, 0, 42);
    }
}

static void blanks_do_not_count(void **state)
{
    (void)state;
    static const char *const patterns[] = {"\"t s\":", "\"t s\": ", "\"t s\" :", " \"t s\"\t: "};
    static const char *const good[] = {
        "{\"t s\":42}",
        "{\"t s\": 42}",
        "{\"t s\" :42}",
        "{\"t s\"\n:\t 42}",
        "{ \"t s\" : 42 , \"x\":1}",
        "{\"ts\":1,\"t s\":42}",
        "{\"t s\":                                                                      42}",
    };
    static const char *const bad[] = {"{\"ts\":42}",     "{\"t  s\":42}", "{\"t s\"}",
                                      "{\"t s\":",       "{\"t s\": ",    "{\"t s\": x}",
                                      "{\"t s\":\"42\"}"};
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        struct pattern_scan scan = scan_of("", "", patterns[p], 1);
        for (size_t i = 0; i < 49; i++) {
            expect(&scan, good[i % 7], 0, 0, 42);
            expect(&scan, good[i / 7], 0, 0, 42);
        }
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            struct values values;
            if (scan_exact(&scan, bad[i], &values)) {
                fail_msg("found in %s", bad[i]);
            }
            expect(&scan, good[i], 0, 0, 42);
        }
    }
    struct pattern_scan quoted = scan_of("", "", "\"E\":\"", 1);
    expect(&quoted, "{\"E\" : \"42\"}", 0, 0, 42);
}

static void patterns_have_a_longest(void **state)
{
    (void)state;
    struct pattern_scan scan = {.time_unit_ns = 1};
    char text[PATTERN_SCAN_BYTES_MAX + 2] = "";
    memset(text, 'a', PATTERN_SCAN_BYTES_MAX);
    assert_true(pattern_scan_set(&scan, PATTERN_TIME, text));
    char payload[64];
    snprintf(payload, sizeof payload, "%s42", text);
    expect(&scan, payload, 0, 0, 42);
    text[PATTERN_SCAN_BYTES_MAX] = 'a';
    assert_false(pattern_scan_set(&scan, PATTERN_TIME, text));
}

static void times_are_nanoseconds_whatever_their_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t unit_ns;
        uint64_t time_ns;
    } times[] = {
        {"t=1732078800123461200", 1, UINT64_C(1732078800123461200)},
        {"t=1732078800123461,", 1000, UINT64_C(1732078800123461000)},
        {"t=1732078800123461.25", 1000, UINT64_C(1732078800123461250)},
        {"t=1732078800123,", 1000000, UINT64_C(1732078800123000000)},
        {"t=1732078800123.4612", 1000000, UINT64_C(1732078800123461200)},
        {"t=1732078800}", 1000000000, UINT64_C(1732078800000000000)},
        {"t=1732078800.123456", 1000000000, UINT64_C(1732078800123456000)},
        {"t=1732078800.123456}, and more behind it", 1000000000, UINT64_C(1732078800123456000)},
        {"t=1732078800.12345678987654321", 1000000000, UINT64_C(1732078800123456789)},
        {"t=1732078800.", 1000000000, UINT64_C(1732078800000000000)},
        {"t=1732078800.000000001", 1000000000, UINT64_C(1732078800000000001)},
        {"t=0.5", 1000000000, UINT64_C(500000000)},
        {"t=1.7320788001234612e9,", 1000000000, UINT64_C(1732078800123461200)},
        {"t=1.7320788001234612E+9", 1000000000, UINT64_C(1732078800123461200)},
        {"t=1.732e9}", 1000000000, UINT64_C(1732000000000000000)},
        {"t=1.7e18 ", 1, UINT64_C(1700000000000000000)},
        {"t=17320788001234e-1", 1000000, UINT64_C(1732078800123400000)},
        {"t=1732078800123461200e-9", 1000000000, UINT64_C(1732078800123461200)},
        {"t=5e-400", 1000000000, 0},
        {"t=0e999999999999", 1000000000, 0},
        {"t=1e12", 1000000000, UINT64_MAX}, /* higher than any */
        {"t=9e99999999999", 1, UINT64_MAX},
        {"t=1732078800123461200", 1000, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct pattern_scan scan = scan_of("", "", "t=", times[i].unit_ns);
        expect(&scan, times[i].text, 0, 0, times[i].time_ns);
        expect(&scan, times[i].text, 0, 0, times[i].time_ns);
    }
}

static void a_time_that_is_no_number_is_told(void **state)
{
    (void)state;
    static const char *const texts[] = {"t=", "t=-1", "t=.5", "t=1e", "t=1e+", "t=1.5e-,", "t=x"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pattern_scan scan = scan_of("", "", "t=", 1000000000);
        struct values values;
        assert_false(scan_exact(&scan, texts[i], &values));
    }
}

static void the_number_itself_is_kept_for_another_unit(void **state)
{
    (void)state;
    struct pattern_scan scan = scan_of("", "", "t=", 1000000000);
    expect(&scan, "t=1732078800123", 0, 0, UINT64_MAX);
    assert_true(scan.number == 1732078800123.0);
    expect(&scan, "t=1.5e3", 0, 0, UINT64_C(1500000000000));
    assert_true(scan.number == 1500.0);
}

static void nothing_beyond_the_payload_is_read(void **state)
{
    (void)state;
    struct guard_page guard;
    const char *text = "{\"ts_pub\":1732078800.123456,\"ch\":12345,\"seq\":1234567890123456789}";
    size_t bytes = strlen(text);
    guard_page_init(&guard, bytes);
    struct pattern_scan scan = scan_of("\"ch\":", "\"seq\":", "\"ts_pub\":", 1000000000);
    struct values values;
    for (size_t count = bytes; count > 0; count--) {
        uint8_t *end_of_page = guard_page_copy(&guard, text, count);
        bool found = scan_whole(&scan, end_of_page, count, &values);
        /* The last number may be cut, the others not. */
        assert_int_equal(found, count > bytes - 20);
    }
    guard_page_deinit(&guard);
}

/* The obvious way: the first occurrence of each pattern, digit by digit. */
static bool reference_number(const char *text, const char *pattern, uint64_t *value_out)
{
    const char *at = strstr(text, pattern);
    size_t digits = at == NULL ? 0 : strspn(at + strlen(pattern), "0123456789");
    *value_out = digits > 0 && digits <= 19 ? strtoull(at + strlen(pattern), NULL, 10) : 0;
    return digits > 0 && digits <= 19;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* One to four of the three fields and others, in any order, with numbers of 0 to 21 digits. */
static void random_frame(uint64_t *random, char *out)
{
    static const char *const names[] = {"ch", "seq", "ts_pub", "other", "t"};
    unsigned used = 0;
    *out++ = '{';
    for (uint64_t count = 2 + next_random(random) % 12; count > 0; count--) {
        uint32_t name = (uint32_t)(next_random(random) % 5);
        if (name < 3 && (used & 1u << name) != 0) {
            continue;
        }
        used |= 1u << name;
        out += sprintf(out, "\"%s\":", names[name]);
        uint64_t digits = next_random(random) % 40;
        for (digits = digits < 22 ? digits : 1 + digits % 8; digits > 0; digits--) {
            *out++ = (char)('0' + next_random(random) % 10);
        }
        *out++ = count == 1 && next_random(random) % 2 == 0 ? 0 : ',';
    }
    *out = 0;
}

static void random_frames_are_read_as_the_obvious_way_reads_them(void **state)
{
    (void)state;
    uint64_t random = 20241120;
    uint32_t found_count = 0;
    char text[1024];
    struct pattern_scan scan = scan_of_ticks();
    for (uint32_t i = 0; i < 200000; i++) {
        struct values values = {0}, wanted = {0};
        random_frame(&random, text);
        bool is_whole = reference_number(text, "\"ch\":", &wanted.channel);
        is_whole &= reference_number(text, "\"seq\":", &wanted.seq);
        is_whole &= reference_number(text, "\"ts_pub\":", &wanted.time_ns);
        bool found = scan_exact(&scan, text, &values);
        if (found != is_whole || (found && memcmp(&values, &wanted, sizeof values) != 0)) {
            fail_msg("frame %u: %s", i, text);
        }
        found_count += found;
    }
    assert_in_range(found_count, 10000, 190000);
}

static void a_time_may_be_iso_8601(void **state)
{
    (void)state;
    struct pattern_scan scan = scan_of("", "\"n\":", "\"time\":\"", 0);
    struct values values;
    expect(&scan, "{\"n\":7,\"time\":\"2021-04-17T16:43:37.089723Z\"}", 0, 7,
           UINT64_C(1618677817089723000));
    expect(&scan, "{\"n\":8,\"time\":\"2021-04-18T00:43:37+08:00\",\"x\":1}", 0, 8,
           UINT64_C(1618677817000000000));
    expect(&scan, "{\"time\" : \"1970-01-01 00:00:01.5Z\",\"n\":9}", 0, 9, 1500000000);
    static const char *const bad[] = {
        "{\"n\":7,\"time\":\"2021-04-17T16:43:37.089723Z",
        "{\"n\":7,\"time\":\"2021-04-17T16:43:37.089723\"}", /* which zone? */
        "{\"n\":7,\"time\":\"\"}",
        "{\"n\":7,\"time\":\"",
        "{\"n\":7,\"time\":1618677817}",
        "{\"n\":7}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(scan_exact(&scan, bad[i], &values));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_in_any_order),
        cmocka_unit_test(numbers_may_grow_and_shrink),
        cmocka_unit_test(what_is_missing_or_no_number_is_refused),
        cmocka_unit_test(fields_that_frames_do_not_have_are_zero),
        cmocka_unit_test(which_tick_it_is_needs_no_time),
        cmocka_unit_test(patterns_of_every_length_are_found_and_told_apart),
        cmocka_unit_test(blanks_do_not_count),
        cmocka_unit_test(patterns_have_a_longest),
        cmocka_unit_test(times_are_nanoseconds_whatever_their_unit),
        cmocka_unit_test(a_time_that_is_no_number_is_told),
        cmocka_unit_test(a_time_may_be_iso_8601),
        cmocka_unit_test(the_number_itself_is_kept_for_another_unit),
        cmocka_unit_test(nothing_beyond_the_payload_is_read),
        cmocka_unit_test(random_frames_are_read_as_the_obvious_way_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
