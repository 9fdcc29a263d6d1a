#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json_load.h"
#include "src/base/json_plain.h"
#include "tests/guard_page.h"

#define BYTES_MAX 512
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const plain_texts[] = {
    "{}",
    " {\t\"a\" :\r\n[ ] } ",
    "{\"type\":\"MODIFY\",\"id\":1,\"data\":{\"symbols\":[\"AAPL.US\",\"0\"],\"depth\":5}}",
    "{\"a\":true,\"b\":[false,null,{}],\"\":\"\"}",
    "{\"a\":[0,7,-1,999999999999999999,-999999999999999999]}",
    "{\"a\":[[[[[[[]]]]]]]}",
    "{\"12345678901234567890123456789012\":1}",
};

/* What jansson takes as well, or else. */
static const char *const other_texts[] = {
    "",
    " ",
    "[]",
    "7",
    "\"a\"",
    "{\"a\":1.0}",
    "{\"a\":1e2}",
    "{\"a\":1E2}",
    "{\"a\":-0}",
    "{\"a\":1000000000000000000}",
    "{\"a\":\"\\n\"}",
    "{\"a\\u0062\":1}",
    "{\"a\":\"\xc3\xa9\"}",
    "{\"a\":\"\x7f\"}",
    "{\"a\":[[[[[[[[]]]]]]]]}",
    "{\"123456789012345678901234567890123\":1}",
    "{\"a\":1,\"a\":1}",
    "{\"a\":1,\"b\":1,\"a\":1}",
    "{\"a\":\"\t\"}",
    "{\"a\":01}",
    "{\"a\":- 1}",
    "{\"a\":-}",
    "{\"a\":+1}",
    "{\"a\":tru}",
    "{\"a\":nulls}",
    "{\"a\":}",
    "{\"a\"}",
    "{\"a\" 1}",
    "{,}",
    "{\"a\":1,}",
    "{\"a\":[1,]}",
    "{\"a\":[1 2]}",
    "{\"a\":[1}",
    "{\"a\":1",
    "{\"a",
    "{} {}",
    "{}x",
};

static struct guard_page guard;

static json_t *parse_plain(const char *text, size_t bytes)
{
    return json_plain_parse((const char *)guard_page_copy(&guard, text, bytes), bytes);
}

static void it_returns_what_jansson_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(plain_texts); i++) {
        json_error_t fault;
        json_t *expected = json_load(plain_texts[i], strlen(plain_texts[i]), &fault);
        json_t *value = parse_plain(plain_texts[i], strlen(plain_texts[i]));
        if (value == NULL || !json_equal(value, expected)) {
            fail_msg("%s", plain_texts[i]);
        }
        json_decref(value);
        json_decref(expected);
    }
}

static void it_leaves_the_rest(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(other_texts); i++) {
        if (parse_plain(other_texts[i], strlen(other_texts[i])) != NULL) {
            fail_msg("it took %s", other_texts[i]);
        }
    }
    assert_null(parse_plain("{}\0", 3));
    assert_null(parse_plain("{\"a\":\"\0\"}", 9));
}

/* Plain texts with bytes that are replaced, removed or doubled. */
static void it_takes_nothing_that_jansson_would_not(void **state)
{
    static const char bytes[] = "{}[]\",:\\ 0123456789-.eEtruefalsn\n\xc3\x80\x01";
    uint32_t taken = 0;
    (void)state;
    srand(46);
    for (int round = 0; round < 200000; round++) {
        char text[BYTES_MAX];
        json_error_t fault;
        const char *from = plain_texts[(size_t)rand() % COUNT(plain_texts)];
        size_t count = strlen(from);
        memcpy(text, from, count);
        for (int change = rand() % 3; change >= 0 && count > 0; change--) {
            size_t at = (size_t)rand() % count;
            switch (rand() % 3) {
            case 0:
                text[at] = bytes[(size_t)rand() % (sizeof bytes - 1)];
                break;
            case 1:
                count--;
                memmove(text + at, text + at + 1, count - at);
                break;
            default:
                memmove(text + at + 1, text + at, count - at);
                count++;
            }
        }
        json_t *value = parse_plain(text, count);
        if (value != NULL) {
            json_t *expected = json_load(text, count, &fault);
            if (!json_equal(value, expected)) {
                fail_msg("%.*s", (int)count, text);
            }
            json_decref(expected);
            json_decref(value);
            taken++;
        }
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_returns_what_jansson_does),
        cmocka_unit_test(it_leaves_the_rest),
        cmocka_unit_test(it_takes_nothing_that_jansson_would_not),
    };
    guard_page_init(&guard, BYTES_MAX);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guard_page_deinit(&guard);
    return failed;
}
