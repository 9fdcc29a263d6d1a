#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/utf8.h"
#include "tests/guard_page.h"

/* From Markus Kuhn's stress test and the table of RFC 3629 section 4. */
static const char *const utf8_valid[] = {
    "",
    "plain ASCII that is longer than two words",
    "\x7f",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xef\xbf\xbd",
    "\xef\xbf\xbf", /* a noncharacter, yet valid */
    "\xf0\x90\x80\x80",
    "\xf4\x8f\xbf\xbf",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    "ascii then \xe5\xb9\xb3\xe5\xae\x89\xe9\x93\xb6\xe8\xa1\x8c and ascii again",
    "\xf0\x9f\x93\x88",
};

struct utf8_fault {
    const char *bytes;
    size_t fault_index; /* of the first byte after which no continuation can be valid */
};

static const struct utf8_fault utf8_invalid[] = {
    {"\x80", 0}, /* continuation without a lead */
    {"\xbf", 0},
    {"a\x80z", 1},
    {"\xc0\xaf", 0}, /* overlong "/" */
    {"\xc1\xbf", 0},
    {"\xe0\x80\xaf", 1},
    {"\xe0\x9f\xbf", 1},
    {"\xf0\x80\x80\xaf", 1},
    {"\xf0\x8f\xbf\xbf", 1},
    {"\xf8\x88\x80\x80\x80", 0}, /* five and six bytes */
    {"\xfc\x84\x80\x80\x80\x80", 0},
    {"\xed\xa0\x80", 1}, /* surrogates */
    {"\xed\xad\xbf\xed\xb0\x80", 1},
    {"\xed\xbf\xbf", 1},
    {"\xf4\x90\x80\x80", 1}, /* above U+10FFFF */
    {"\xf5\x80\x80\x80", 0},
    {"\xfe", 0},
    {"\xff", 0},
    {"\xc2 ", 1}, /* cut short */
    {"\xe1\x80 ", 2},
    {"\xf1\x80\x80 ", 3},
    {"0123456789abcdef\xc3(", 17},
    {"01234567\xff", 8},
    {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
     "edited",
     12},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static uint32_t check_text(const char *text)
{
    return utf8_check(UTF8_ACCEPT, (const uint8_t *)text, strlen(text));
}

static void valid_texts_are_accepted_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(utf8_valid); i++) {
        const uint8_t *bytes = (const uint8_t *)utf8_valid[i];
        size_t count = strlen(utf8_valid[i]);
        for (size_t split = 0; split <= count; split++) {
            uint32_t after = utf8_check(UTF8_ACCEPT, bytes, split);
            assert_int_not_equal(after, UTF8_REJECT);
            assert_int_equal(utf8_check(after, bytes + split, count - split), UTF8_ACCEPT);
        }
    }
}

static void faults_are_seen_at_the_first_hopeless_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(utf8_invalid); i++) {
        const uint8_t *bytes = (const uint8_t *)utf8_invalid[i].bytes;
        size_t index = utf8_invalid[i].fault_index;
        assert_int_not_equal(utf8_check(UTF8_ACCEPT, bytes, index), UTF8_REJECT);
        assert_int_equal(utf8_check(UTF8_ACCEPT, bytes, index + 1), UTF8_REJECT);
        assert_int_equal(check_text(utf8_invalid[i].bytes), UTF8_REJECT);
    }
}

static void a_reject_lasts_for_ever(void **state)
{
    (void)state;
    assert_int_equal(utf8_check(UTF8_REJECT, (const uint8_t *)"fine", 4), UTF8_REJECT);
    assert_int_equal(utf8_check(UTF8_REJECT, (const uint8_t *)"", 0), UTF8_REJECT);
}

static void a_text_that_ends_inside_a_character_is_not_valid(void **state)
{
    (void)state;
    static const char *const cut[] = {"\xc2", "\xe2\x82", "ok \xf0\x9f\x93"};
    for (size_t i = 0; i < COUNT(cut); i++) {
        uint32_t after = check_text(cut[i]);
        assert_int_not_equal(after, UTF8_ACCEPT);
        assert_int_not_equal(after, UTF8_REJECT);
        assert_false(utf8_is_valid((const uint8_t *)cut[i], strlen(cut[i])));
    }
}

/* By the definition: decode, then ask whether this is the shortest form of a scalar value. */
static bool reference_is_one_character(const uint8_t *bytes, size_t count)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const uint8_t lead_bits[] = {0, 0, 0xc0, 0xe0, 0xf0};
    static const uint8_t lead_mask[] = {0, 0x80, 0xe0, 0xf0, 0xf8};
    if ((bytes[0] & lead_mask[count]) != lead_bits[count]) {
        return false;
    }
    uint32_t value = bytes[0] & (uint8_t)~lead_mask[count];
    for (size_t i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return false;
        }
        value = value << 6 | (bytes[i] & 0x3f);
    }
    return value >= least[count] && value <= 0x10ffff && !(value >= 0xd800 && value <= 0xdfff);
}

static void every_lead_and_second_byte_agrees_with_the_definition(void **state)
{
    (void)state;
    for (uint32_t pair = 0; pair < 0x10000; pair++) {
        uint8_t bytes[4] = {(uint8_t)(pair >> 8), (uint8_t)pair, 0x80, 0xbf};
        for (size_t count = 1; count <= sizeof bytes; count++) {
            bool expected = reference_is_one_character(bytes, count);
            bool all_ascii = bytes[0] < 0x80;
            if (!all_ascii) {
                assert_int_equal(utf8_is_valid(bytes, count), expected);
            }
        }
    }
}

static void every_code_point_is_accepted_but_surrogates(void **state)
{
    (void)state;
    for (uint32_t point = 0x800; point <= 0x10ffff; point++) {
        uint8_t bytes[4];
        size_t count = 3;
        if (point < 0x10000) {
            bytes[0] = (uint8_t)(0xe0 | point >> 12);
            bytes[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
            bytes[2] = (uint8_t)(0x80 | (point & 0x3f));
        } else {
            count = 4;
            bytes[0] = (uint8_t)(0xf0 | point >> 18);
            bytes[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
            bytes[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
            bytes[3] = (uint8_t)(0x80 | (point & 0x3f));
        }
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        if (utf8_is_valid(bytes, count) == is_surrogate) {
            fail_msg("U+%04X", point);
        }
    }
}

static void nothing_is_read_behind_the_bytes(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, 128);
    for (size_t i = 0; i < COUNT(utf8_valid); i++) {
        for (size_t count = 0; count <= strlen(utf8_valid[i]); count++) {
            const uint8_t *copy = guard_page_copy(&guard, utf8_valid[i], count);
            assert_int_not_equal(utf8_check(UTF8_ACCEPT, copy, count), UTF8_REJECT);
        }
    }
    guard_page_deinit(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_accepted_at_every_split),
        cmocka_unit_test(faults_are_seen_at_the_first_hopeless_byte),
        cmocka_unit_test(a_reject_lasts_for_ever),
        cmocka_unit_test(a_text_that_ends_inside_a_character_is_not_valid),
        cmocka_unit_test(every_lead_and_second_byte_agrees_with_the_definition),
        cmocka_unit_test(every_code_point_is_accepted_but_surrogates),
        cmocka_unit_test(nothing_is_read_behind_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
