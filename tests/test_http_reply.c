/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/http_reply.h"

#define SIZED "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED                                                                                    \
    "HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: Chunked\r\n\r\n"                       \
    "2;name=value\r\nhe\r\n003\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
#define OPEN "HTTP/1.0 404 Not Found\r\n\r\nhello"
#define INTERIM "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\nLink: x\n\n" SIZED

static struct http_reply reply;

/* In two pieces, then the end. */
static int read_split(const char *text, size_t bytes, size_t split)
{
    http_reply_init(&reply);
    int result = http_reply_take(&reply, text, split);
    if (result == 0) {
        result = http_reply_take(&reply, text + split, bytes - split);
    }
    return result == 0 ? http_reply_end(&reply) : result == 1 ? 0 : result;
}

static void each_form_of_body_is_read_at_every_split(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {{SIZED, 200}, {CHUNKED, 503}, {OPEN, 404}, {INTERIM, 200}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t bytes = strlen(cases[i].text);
        for (size_t split = 0; split <= bytes; split++) {
            assert_int_equal(read_split(cases[i].text, bytes, split), 0);
            assert_int_equal(reply.status, cases[i].status);
            assert_string_equal(reply.body, "hello");
            assert_int_equal(reply.body_bytes, 5);
            http_reply_deinit(&reply);
        }
    }
}

static void an_answer_that_is_cut_anywhere_is_refused(void **state)
{
    static const char *const texts[] = {SIZED, CHUNKED, INTERIM};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t bytes = 0; bytes < strlen(texts[i]); bytes++) {
            assert_int_equal(read_split(texts[i], bytes, bytes / 2), -EPROTO);
            assert_non_null(reply.error);
            http_reply_deinit(&reply);
        }
    }
}

static void what_follows_the_answer_is_not_looked_at(void **state)
{
    (void)state;
    assert_int_equal(read_split(SIZED "rest", sizeof SIZED "rest" - 1, 3), 0);
    assert_string_equal(reply.body, "hello");
    http_reply_deinit(&reply);
}

static void hostile_answers_are_refused(void **state)
{
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"HTTP/2 200\r\n\r\n", -EPROTO},
        {"SSH-2.0-OpenSSH_9.2\r\n", -EPROTO},
        {"HTTP/1.1 99 No\r\n\r\n", -EPROTO},
        {"HTTP/1.1 2000 OK\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200x OK\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nno header\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\n: empty\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", -EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", -EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t bytes = strlen(cases[i].text);
        for (size_t split = 0; split <= bytes; split++) {
            assert_int_equal(read_split(cases[i].text, bytes, split), cases[i].error);
            assert_non_null(reply.error);
            http_reply_deinit(&reply);
        }
    }
    assert_int_equal(read_split("HTTP/1.1 200 OK\0\r\n\r\n", 20, 4), -EPROTO);
}

/* A line, lines and a body without end. */
static void endless_answers_end_at_a_limit(void **state)
{
    static char block[1 << 20];
    int result = 0;
    (void)state;
    memset(block, 'a', sizeof block);
    http_reply_init(&reply);
    assert_int_equal(http_reply_take(&reply, block, sizeof block), -EMSGSIZE);
    http_reply_init(&reply);
    assert_int_equal(http_reply_take(&reply, "HTTP/1.1 200 OK\r\n", 17), 0);
    for (int i = 0; i < HTTP_REPLY_LINES_MAX && result == 0; i++) {
        result = http_reply_take(&reply, "a: b\r\n", 6);
    }
    assert_int_equal(result, -EMSGSIZE);
    http_reply_init(&reply);
    result = http_reply_take(&reply, "HTTP/1.1 200 OK\r\n\r\n", 19);
    for (size_t bytes = 0; bytes <= HTTP_REPLY_BODY_BYTES_MAX && result == 0;
         bytes += sizeof block) {
        result = http_reply_take(&reply, block, sizeof block);
    }
    assert_int_equal(result, -EMSGSIZE);
    http_reply_deinit(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_of_body_is_read_at_every_split),
        cmocka_unit_test(an_answer_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(what_follows_the_answer_is_not_looked_at),
        cmocka_unit_test(hostile_answers_are_refused),
        cmocka_unit_test(endless_answers_end_at_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
