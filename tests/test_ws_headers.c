#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/ws_client.h"
#include "tools/common/ws_headers.h"

static char error[WS_HEADERS_ERROR_BYTES_MAX];

static void headers_stand_in_the_request_as_given(void **state)
{
    (void)state;
    struct ws_headers headers = {0};
    struct ws_client_url url;
    char words[WS_CLIENT_ERROR_BYTES_MAX];
    char text[WS_CLIENT_REQUEST_BYTES_MAX + 1];
    assert_int_equal(ws_headers_add(&headers, "X-Name: some value", error), 0);
    assert_int_equal(ws_headers_add(&headers, "X-Empty:", error), 0);
    assert_int_equal(ws_headers_add_token(&headers, "abc.def-_~+/=", error), 0);
    assert_int_equal(ws_client_parse_url(&url, "ws://host/", words), 0);
    struct handshake_wish wish = {.protocol = WS_CLIENT_JSON, .headers = headers.text};
    size_t bytes = ws_client_request(&url, "dGhlIHNhbXBsZSBub25jZQ==", &wish, text);
    assert_true(bytes > 0);
    assert_non_null(strstr(text, "\r\nX-Name: some value\r\nX-Empty: \r\n"
                                 "Authorization: Bearer abc.def-_~+/=\r\n\r\n"));
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",           "Name",          ":",
        ": value",    "A B: c",        "Name : value",
        "N\xc3: v",   "X: a\r\nY: b",  "X: a\nY: b",
        "X: \x7f",    "Host: a",       "host: a",
        "UPGRADE: x", "Connection: x", "Sec-WebSocket-Protocol: x",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct ws_headers headers = {0};
        error[0] = 0;
        assert_int_equal(ws_headers_add(&headers, lines[i], error), -EINVAL);
        assert_true(error[0] != 0);
        assert_int_equal(headers.text_bytes, 0);
    }
}

static void there_is_one_authorization(void **state)
{
    (void)state;
    struct ws_headers headers = {0};
    assert_int_equal(ws_headers_add(&headers, "authorization: Basic x", error), 0);
    assert_int_equal(ws_headers_add_token(&headers, "secret", error), -EINVAL);
    assert_null(strstr(error, "secret"));
    assert_null(strstr(headers.text, "secret"));
}

static void no_error_has_the_token(void **state)
{
    (void)state;
    static char longest[WS_HEADERS_BYTES_MAX + 100];
    memset(longest, 's', sizeof longest - 1);
    const char *const tokens[] = {"sss sss", "sss\n", "", "sss\xff", longest};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct ws_headers headers = {0};
        assert_int_equal(ws_headers_add_token(&headers, tokens[i], error), -EINVAL);
        assert_null(strstr(error, "sss"));
        assert_int_equal(headers.text_bytes, 0);
    }
}

static void headers_have_a_limit(void **state)
{
    (void)state;
    struct ws_headers headers = {0};
    char line[1100] = "X: ";
    memset(line + 3, 'v', sizeof line - 4);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ws_headers_add(&headers, line, error), 0);
    }
    size_t bytes = headers.text_bytes;
    assert_int_equal(ws_headers_add(&headers, line, error), -EINVAL);
    assert_int_equal(headers.text_bytes, bytes);
    assert_int_equal(strlen(headers.text), bytes);
}

static int add_file(struct ws_headers *headers, const char *text, size_t bytes)
{
    char path[] = "/tmp/ws_headersXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), bytes);
    close(fd);
    int status = ws_headers_add_token_file(headers, path, error);
    unlink(path);
    return status;
}

static void a_file_has_a_token_and_a_line_end(void **state)
{
    (void)state;
    static const char *const texts[] = {"abc", "abc\n", "abc\r\n", " abc \n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ws_headers headers = {0};
        assert_int_equal(add_file(&headers, texts[i], strlen(texts[i])), 0);
        assert_string_equal(headers.text, "Authorization: Bearer abc\r\n");
    }
    struct ws_headers headers = {0};
    assert_int_equal(add_file(&headers, "\n", 1), -EINVAL);
    assert_int_equal(add_file(&headers, "a\0b", 3), -EINVAL);
    assert_int_equal(add_file(&headers, "a\nb", 3), -EINVAL);
    assert_int_equal(ws_headers_add_token_file(&headers, "/nonexistent/x", error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/x: No such file or directory"));
    assert_int_equal(ws_headers_add_token_file(&headers, "/tmp", error), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_stand_in_the_request_as_given),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(there_is_one_authorization),
        cmocka_unit_test(no_error_has_the_token),
        cmocka_unit_test(headers_have_a_limit),
        cmocka_unit_test(a_file_has_a_token_and_a_line_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
