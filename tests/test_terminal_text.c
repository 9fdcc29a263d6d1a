#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/terminal_text.h"

static const struct {
    const char *text, *shown;
} cases[] = {
    {"", ""},
    {"plain, \"quoted\" \\n", "plain, \"quoted\" \\n"},
    {"\xe5\xb8\x81\xe5\xae\x89 \xc3\xa9 \xf0\x9f\x99\x82",
     "\xe5\xb8\x81\xe5\xae\x89 \xc3\xa9 \xf0\x9f\x99\x82"},
    {"\x1b[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f"},
    {"\xc2\x9b"
     "31m\xc2\x85",
     "\\u009b31m\\u0085"},
    {"\xff\xc3 \xc3(\x9b", "\\xff\\xc3 \\xc3(\\x9b"},
    {"\xed\xa0\x80\xc0\x80", "\\xed\\xa0\\x80\\xc0\\x80"},
    {"a\xe2\x80\xae"
     "b\xe2\x81\xa6\xe2\x80\xa8\xd8\x9c",
     "a\\u202eb\\u2066\\u2028\\u061c"},
    {"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf\\xf4\\x90\\x80\\x80"},
};

static void what_steers_a_terminal_is_escaped_and_the_rest_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *printed;
        char copied[128];
        size_t printed_bytes;
        FILE *out = open_memstream(&printed, &printed_bytes);
        assert_non_null(out);
        terminal_text_print(out, cases[i].text, strlen(cases[i].text));
        fclose(out);
        assert_string_equal(printed, cases[i].shown);
        free(printed);
        terminal_text_copy(copied, sizeof copied, cases[i].text, strlen(cases[i].text));
        assert_string_equal(copied, cases[i].shown);
    }
}

static void a_zero_is_escaped_too(void **state)
{
    (void)state;
    char copied[16];
    terminal_text_copy(copied, sizeof copied, "a\0b", 3);
    assert_string_equal(copied, "a\\x00b");
}

static void a_copy_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    char copied[6];
    terminal_text_copy(copied, sizeof copied, "abc\x1b", 4);
    assert_string_equal(copied, "abc");
    terminal_text_copy(copied, sizeof copied, "abcd\xc3\xa9", 6);
    assert_string_equal(copied, "abcd");
    terminal_text_copy(copied, 1, "abc", 3);
    assert_string_equal(copied, "");
}

static void any_bytes_become_printable_text(void **state)
{
    (void)state;
    srand(1);
    for (uint32_t round = 0; round < 10000; round++) {
        uint8_t bytes[16];
        char once[128];
        char twice[128];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)rand();
        }
        terminal_text_copy(once, sizeof once, bytes, sizeof bytes);
        terminal_text_copy(twice, sizeof twice, once, strlen(once));
        assert_string_equal(once, twice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_steers_a_terminal_is_escaped_and_the_rest_is_not),
        cmocka_unit_test(a_zero_is_escaped_too),
        cmocka_unit_test(a_copy_is_cut_at_a_whole_character),
        cmocka_unit_test(any_bytes_become_printable_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
