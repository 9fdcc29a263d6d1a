#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/bench_template.h"

static void expect(const char *text, const char *symbols, const char *wanted)
{
    char *filled = bench_template_fill(text, symbols);
    assert_non_null(filled);
    assert_string_equal(filled, wanted);
    free(filled);
}

static void a_string_that_is_an_array_is_repeated(void **state)
{
    (void)state;
    expect("{\"params\":[\"{symbols}\"],\"id\":1}", "a@trade,b@trade",
           "{\"params\":[\"a@trade\",\"b@trade\"],\"id\":1}");
    expect("[\"x/{symbols}@trade\"]", "A,BC,D", "[\"x/A@trade\",\"x/BC@trade\",\"x/D@trade\"]");
    expect("[\"{symbols}\"]", "A", "[\"A\"]");
    expect("[ \"{symbols}\"\n]", "A,B", "[ \"A\",\"B\"\n]");
    expect("[\"{symbols}\"]{symbols}", "A,B", "[\"A\",\"B\"]{symbols}");
}

static void elsewhere_it_is_the_list(void **state)
{
    (void)state;
    expect("{symbols}", "A,B", "A,B");
    expect("SUB {symbols}\n", "A,B,C", "SUB A,B,C\n");
    expect("{\"symbols\":\"{symbols}\"}", "A,B", "{\"symbols\":\"A,B\"}");
    expect("[\"x\",\"{symbols}\"]", "A,B", "[\"x\",\"A,B\"]");
    expect("[\"{symbols}\",\"x\"]", "A,B", "[\"A,B\",\"x\"]");
    expect("[\"{symbols}", "A,B", "[\"A,B");
    expect("\"{symbols}\"]", "A,B", "\"A,B\"]");
    expect("{\"id\":1}", "A,B", "{\"id\":1}");
    expect("", "A", "");
}

static void many_symbols_fit(void **state)
{
    (void)state;
    enum { SYMBOLS = 1000 };
    static char symbols[2 * SYMBOLS];
    memset(symbols, 'a', 2 * SYMBOLS - 1);
    for (size_t i = 1; i < SYMBOLS; i++) {
        symbols[2 * i - 1] = ',';
    }
    char *filled = bench_template_fill("[\"{symbols}-USD\"]", symbols);
    assert_non_null(filled);
    assert_int_equal(strlen(filled), 2 + SYMBOLS * strlen("\"a-USD\"") + SYMBOLS - 1);
    assert_string_equal(filled + strlen(filled) - 9, ",\"a-USD\"]");
    free(filled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_that_is_an_array_is_repeated),
        cmocka_unit_test(elsewhere_it_is_the_list),
        cmocka_unit_test(many_symbols_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
