#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/handshake.h"
#include "codec/handshake_client.h"
#include "tests/guard_page.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEST_BYTES_MAX (2 * HANDSHAKE_BYTES_MAX)

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* The parts of a valid request, so that a case can replace one of them. */
#define LINE "GET / HTTP/1.1\r\n"
#define HOST "Host: localhost:8765\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define WS_KEY "Sec-WebSocket-Key: " KEY "\r\n"
#define WS_VERSION "Sec-WebSocket-Version: 13\r\n"
#define END "\r\n"
#define ALL_BUT_HOST UPGRADE CONNECTION WS_KEY WS_VERSION
#define FIELDS HOST ALL_BUT_HOST

#define JSON "md.json.v1"
#define SBE "md.sbe.v1"

static const char *const paths[] = {"/", "/ws", "/v1"};
static const struct handshake_protocol protocols[] = {{.name = JSON}, {.name = SBE}};
static const struct handshake_site site = {
    .paths = paths,
    .path_count = COUNT(paths),
    .protocols = protocols,
    .protocol_count = COUNT(protocols),
};

static const char rfc_request[] = "GET /ws HTTP/1.1\r\n"
                                  "Host: server.example.com\r\n"
                                  "Upgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: " KEY "\r\n"
                                  "Origin: http://example.com\r\n"
                                  "User-Agent:  curl/8 (test) \t\r\n"
                                  "Sec-WebSocket-Protocol: chat, md.json.v1\r\n"
                                  "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                  "Sec-WebSocket-Version: 13\r\n\r\n";

static enum handshake_status parse_into(struct handshake_request *request, const char *text,
                                        size_t bytes)
{
    struct handshake_progress progress = {.has_line = false};
    return handshake_parse(&progress, (const uint8_t *)text, bytes, &site, request);
}

static enum handshake_status parse(const char *text, size_t bytes)
{
    struct handshake_request request;
    return parse_into(&request, text, bytes);
}

static void the_example_of_the_rfc_is_accepted(void **state)
{
    (void)state;
    struct handshake_request request;
    assert_int_equal(parse_into(&request, rfc_request, sizeof rfc_request - 1), HANDSHAKE_OK);
    assert_int_equal(request.head_bytes, sizeof rfc_request - 1);
    assert_memory_equal(request.key, KEY, 24);
    assert_ptr_equal(request.protocol, &protocols[0]);
    assert_int_equal(request.protocol_mask, 1);

    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t bytes = handshake_accept(answer, &request);
    static const char expected[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                   "Sec-WebSocket-Protocol: md.json.v1\r\n\r\n";
    assert_int_equal(bytes, sizeof expected - 1);
    assert_memory_equal(answer, expected, bytes);
}

static void a_site_without_names_grants_every_path_and_passes_over_subprotocols(void **state)
{
    (void)state;
    static const char text[] = "GET /any HTTP/1.1\r\n" FIELDS "Sec-WebSocket-Protocol: x\r\n" END;
    static const struct handshake_site any = {.path_count = 0};
    struct handshake_progress progress = {.has_line = false};
    struct handshake_request request;
    assert_int_equal(
        handshake_parse(&progress, (const uint8_t *)text, sizeof text - 1, &any, &request),
        HANDSHAKE_OK);
    assert_null(request.protocol);
}

static void the_first_frame_may_follow_the_head_at_once(void **state)
{
    (void)state;
    static const char text[] = LINE FIELDS END "\x81\x80mask";
    struct handshake_request request;
    assert_int_equal(parse_into(&request, text, sizeof text - 1), HANDSHAKE_OK);
    assert_int_equal(request.head_bytes, sizeof text - 1 - 6);
    assert_null(request.protocol);

    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    answer[handshake_accept(answer, &request)] = '\0';
    assert_null(strstr(answer, "WebSocket-Protocol"));
}

static void what_was_agreed_on_is_in_the_answer(void **state)
{
    (void)state;
    static const struct ws_deflate_policy policy = {.server_window_bits_min = 8};
    static const char text[] = LINE FIELDS "Sec-WebSocket-Extensions: x\r\n"
                                           "Sec-WebSocket-Extensions: permessage-deflate; "
                                           "server_max_window_bits=9\r\n" END;
    static const char expected[] =
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n\r\n";
    struct handshake_request request;
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    assert_int_equal(parse_into(&request, text, sizeof text - 1), HANDSHAKE_OK);
    assert_int_equal(request.offers.count, 1);
    assert_false(request.deflate.is_on);
    answer[handshake_accept(answer, &request)] = '\0';
    assert_null(strstr(answer, "Extensions"));
    request.deflate = ws_extensions_negotiate(&request.offers, &policy);
    answer[handshake_accept(answer, &request)] = '\0';
    assert_string_equal(strstr(answer, "\r\nSec-WebSocket-Extensions"), expected);
}

struct handshake_case {
    const char *text;
    enum handshake_status status;
};

static const struct handshake_case handshake_cases[] = {
    {LINE FIELDS END, HANDSHAKE_OK},
    {"GET /v1?token=a&b=/%20 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET /? HTTP/1.9\r\n" FIELDS END, HANDSHAKE_OK},
    {LINE HOST "uPGRADE:h2c ,\tWebSocket\r\nCONNECTION: keep-alive , upgrade\r\n" WS_KEY
               "sec-websocket-version:13\r\n" END,
     HANDSHAKE_OK},
    {LINE HOST "Upgrade: h2c\r\n" UPGRADE "Connection:\r\n" CONNECTION WS_KEY WS_VERSION END,
     HANDSHAKE_OK},
    {LINE FIELDS "X-Blank:\r\nX-Text: \xe5\xb9\xb3 \t,;\r\nContent-Length: 0\r\n" END,
     HANDSHAKE_OK},
    {LINE FIELDS "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b,md.json.v1\r\n" END,
     HANDSHAKE_OK},
    {LINE FIELDS "Sec-WebSocket-Protocol:\r\n" END, HANDSHAKE_OK},
    {LINE FIELDS "Sec-WebSocket-Extensions: a; b=\"c\", permessage-deflate; d\r\n" END,
     HANDSHAKE_OK},

    /* Targets of absolute form. The authority counts, whatever Host says. */
    {"GET http://localhost/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET ws://localhost:8765/ws?token=a?/b HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET WSS://Example.COM/v1 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET Https://[2001:db8::1]:443/ HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET ws://a_b.example: HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET ws://localhost?x=/other HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET ws://one/ HTTP/1.1\r\nHost: two\r\n" ALL_BUT_HOST END, HANDSHAKE_OK},
    {"GET ws://one/ HTTP/1.1\r\nHost:\r\n" ALL_BUT_HOST END, HANDSHAKE_OK},
    {"GET ws://one/ HTTP/1.1\r\nHost: a b\r\n" ALL_BUT_HOST END, HANDSHAKE_OK},
    {"GET ws://one/ HTTP/1.1\r\n" ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://one/ HTTP/1.1\r\n" FIELDS HOST END, HANDSHAKE_BAD_REQUEST},
    {"GET ws:///ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws:// HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://:80/ HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://user@localhost/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://user:word@localhost/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://localhost:80a/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://[::1/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://[]/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://[::1]x/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://::1/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://localhost#/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"GET ws://localhost/other HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET ws://localhost//ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET ftp://localhost/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET ws:/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET //ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET localhost:8765 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET * HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},

    /* What is encoded without need. */
    {"GET /%77%73 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET /v%31?%x HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET ws://localhost/%76%31 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_OK},
    {"GET %2Fws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /w%7 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /w%7 3 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_HTTP},
    {"GET /w%g3 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /ws%00 HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /%2577s HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},

    /* Empty lines before the request. */
    {"\r\n" LINE FIELDS END, HANDSHAKE_OK},
    {"\r\n\r\n\r\n\r\n" LINE FIELDS END, HANDSHAKE_OK},
    {"\r\n\r\n\r\n\r\n\r\n" LINE FIELDS END, HANDSHAKE_NOT_HTTP},
    {"\n" LINE FIELDS END, HANDSHAKE_NOT_HTTP},
    {"\r" LINE FIELDS END, HANDSHAKE_NOT_HTTP},
    {"\r\n " LINE FIELDS END, HANDSHAKE_NOT_HTTP},

    /* HEAD is answered as GET is, and upgrades nothing. */
    {"HEAD / HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"HEAD / HTTP/1.1\r\n" HOST END, HANDSHAKE_BAD_REQUEST},
    {"HEAD / HTTP/1.0\r\n\r\n", HANDSHAKE_BAD_REQUEST},
    {"HEAD / HTTP/1.1\r\n" HOST UPGRADE CONNECTION WS_KEY END, HANDSHAKE_BAD_VERSION},
    {"HEAD /other HTTP/1.1\r\n" HOST END, HANDSHAKE_NOT_FOUND},
    {"head / HTTP/1.1\r\n" HOST END, HANDSHAKE_BAD_METHOD},

    /* HTTP/1.0 has no Host. */
    {"GET /other HTTP/1.0\r\n" END, HANDSHAKE_NOT_FOUND},
    {"HEAD /other HTTP/1.0\r\n" HOST END, HANDSHAKE_NOT_FOUND},
    {"GET /other HTTP/1.0\r\n" HOST HOST END, HANDSHAKE_BAD_REQUEST},
    {"GET /other HTTP/1.1\r\n" END, HANDSHAKE_BAD_REQUEST},
    {"OPTIONS / HTTP/1.0\r\n" END, HANDSHAKE_BAD_METHOD},

    {"\x16\x03\x01\x02", HANDSHAKE_NOT_HTTP}, /* TLS */
    {" GET / HTTP/1.1\r\n", HANDSHAKE_NOT_HTTP},
    {"GET  / HTTP/1.1\r\n", HANDSHAKE_NOT_HTTP},
    {"GET /  HTTP/1.1\r\n", HANDSHAKE_NOT_HTTP},
    {"GET /\r\n", HANDSHAKE_NOT_HTTP},
    {"GET / HTTP/1.1\n", HANDSHAKE_NOT_HTTP},
    {"GET / HTTP/1.1 \r\n", HANDSHAKE_NOT_HTTP},
    {"GET / http/1.1\r\n", HANDSHAKE_NOT_HTTP},
    {"GET / HTTP/11\r\n", HANDSHAKE_NOT_HTTP},
    {"GET /\x80 HTTP/1.1\r\n", HANDSHAKE_NOT_HTTP},
    {"SSH-2.0-OpenSSH_9.2\r\n", HANDSHAKE_NOT_HTTP},
    {"{\"type\":\"SUBSCRIBE\"}", HANDSHAKE_NOT_HTTP},
    {"METHODMETHODMETHODMETHODMETHODMETH", HANDSHAKE_NOT_HTTP},

    {"GET / HTTP/1.0\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {"PRI * HTTP/2.0\r\n\r\n", HANDSHAKE_BAD_REQUEST},
    {"GET / HTTP/1.1\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE "Host:\r\n" ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE "Host: a b\r\n" ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE "Host: user@a\r\n" ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE "Host: ws://a\r\n" ALL_BUT_HOST END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST CONNECTION WS_KEY WS_VERSION END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST UPGRADE WS_KEY WS_VERSION END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST "Upgrade: websockets\r\n" CONNECTION WS_KEY WS_VERSION END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST "Upgrade: web socket\r\n" CONNECTION WS_KEY WS_VERSION END, HANDSHAKE_BAD_REQUEST},
    {LINE HOST UPGRADE "Connection: keep-alive\r\n" WS_KEY WS_VERSION END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name : value\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS ": value\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Na(me: value\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name: value\r\n folded\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE " Name: value\r\n" FIELDS END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name: value\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name: val\rue\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name: val\x01ue\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Name: val\x7fue\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "\n", HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "\rx", HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Content-Length: 5\r\n" END "hello", HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS "Transfer-Encoding: chunked\r\n" END, HANDSHAKE_BAD_REQUEST},
    {LINE FIELDS WS_VERSION END, HANDSHAKE_BAD_REQUEST},

    {LINE HOST UPGRADE CONNECTION WS_VERSION END, HANDSHAKE_BAD_KEY},
    {LINE FIELDS WS_KEY END, HANDSHAKE_BAD_KEY},
    {LINE HOST UPGRADE CONNECTION WS_VERSION "Sec-WebSocket-Key:\r\n" END, HANDSHAKE_BAD_KEY},
    {LINE HOST UPGRADE CONNECTION WS_VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=\r\n" END,
     HANDSHAKE_BAD_KEY},
    {LINE HOST UPGRADE CONNECTION WS_VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n" END,
     HANDSHAKE_BAD_KEY},
    {LINE HOST UPGRADE CONNECTION WS_VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n" END,
     HANDSHAKE_BAD_KEY},
    {LINE HOST UPGRADE CONNECTION WS_VERSION "Sec-WebSocket-Key: AAAAAAAAAA-AAAAAAAAAAA==\r\n" END,
     HANDSHAKE_BAD_KEY},

    {"GET /other HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /ws/ HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET /wsx?/ws HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"GET ?x HTTP/1.1\r\n" FIELDS END, HANDSHAKE_NOT_FOUND},
    {"POST / HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_METHOD},
    {"get / HTTP/1.1\r\n" FIELDS END, HANDSHAKE_BAD_METHOD},
    {"OPTIONS * HTTP/1.1\r\n" HOST END, HANDSHAKE_BAD_METHOD},
    {LINE HOST UPGRADE CONNECTION WS_KEY END, HANDSHAKE_BAD_VERSION},
    {LINE HOST UPGRADE CONNECTION WS_KEY "Sec-WebSocket-Version: 8\r\n" END, HANDSHAKE_BAD_VERSION},
    {LINE HOST UPGRADE CONNECTION WS_KEY "Sec-WebSocket-Version: 013\r\n" END,
     HANDSHAKE_BAD_VERSION},
    {LINE FIELDS "Sec-WebSocket-Protocol: chat\r\n" END, HANDSHAKE_BAD_PROTOCOL},
    {LINE FIELDS "Sec-WebSocket-Protocol: MD.JSON.V1\r\n" END, HANDSHAKE_BAD_PROTOCOL},
    {LINE FIELDS "Sec-WebSocket-Extensions: permessage-deflate;\r\n" END, HANDSHAKE_BAD_EXTENSIONS},
    {LINE "Sec-WebSocket-Extensions: =\r\nSec-WebSocket-Extensions: x\r\n" FIELDS END,
     HANDSHAKE_BAD_EXTENSIONS},
};

static void each_request_gets_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(handshake_cases); i++) {
        enum handshake_status status =
            parse(handshake_cases[i].text, strlen(handshake_cases[i].text));
        if (status != handshake_cases[i].status) {
            fail_msg("%s: %d, not %d", handshake_cases[i].text, status, handshake_cases[i].status);
        }
    }
}

/* Every beginning is undecided or already has the verdict on the whole, and stays so. */
static void check_prefixes(const struct guard_page *guard, const char *text, size_t text_bytes,
                           enum handshake_status verdict)
{
    bool decided = false;
    for (size_t count = 0; count <= text_bytes; count++) {
        const uint8_t *copy = guard_page_copy(guard, text, count);
        enum handshake_status status = parse((const char *)copy, count);
        assert_true(status == verdict || (status == HANDSHAKE_NEED_MORE && !decided));
        decided = status == verdict;
    }
    assert_true(decided);
}

static void a_verdict_never_changes_with_more_bytes(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, TEST_BYTES_MAX);
    check_prefixes(&guard, rfc_request, sizeof rfc_request - 1, HANDSHAKE_OK);
    for (size_t i = 0; i < COUNT(handshake_cases); i++) {
        check_prefixes(&guard, handshake_cases[i].text, strlen(handshake_cases[i].text),
                       handshake_cases[i].status);
    }
    guard_page_deinit(&guard);
}

static void a_zero_byte_is_refused_anywhere(void **state)
{
    (void)state;
    static const char text[] = LINE FIELDS END;
    char changed[sizeof text];
    for (size_t i = 0; i < sizeof text - 1; i++) {
        memcpy(changed, text, sizeof text);
        changed[i] = '\0';
        enum handshake_status status = parse(changed, sizeof text - 1);
        assert_true(status == HANDSHAKE_NOT_HTTP || status == HANDSHAKE_BAD_REQUEST);
    }
}

static void what_is_not_http_is_known_by_its_first_byte(void **state)
{
    (void)state;
    assert_int_equal(parse("\x16", 1), HANDSHAKE_NOT_HTTP);
    assert_int_equal(parse("\0", 1), HANDSHAKE_NOT_HTTP);
    assert_int_equal(parse("\x81", 1), HANDSHAKE_NOT_HTTP);
    assert_int_equal(parse("", 0), HANDSHAKE_NEED_MORE);
}

/* A valid request with a target and one filler field of these lengths. */
static size_t write_request(char *out, size_t target_bytes, size_t filler_bytes)
{
    size_t at = (size_t)sprintf(out, "GET /?");
    memset(out + at, 'q', target_bytes - 2);
    at += target_bytes - 2;
    at += (size_t)sprintf(out + at, " HTTP/1.1\r\n" FIELDS "X: ");
    memset(out + at, 'f', filler_bytes);
    at += filler_bytes;
    return at + (size_t)sprintf(out + at, "\r\n\r\n");
}

static void a_target_is_limited(void **state)
{
    (void)state;
    char *text = malloc(TEST_BYTES_MAX);
    size_t bytes = write_request(text, HANDSHAKE_TARGET_BYTES_MAX, 1);
    assert_int_equal(parse(text, bytes), HANDSHAKE_OK);
    bytes = write_request(text, HANDSHAKE_TARGET_BYTES_MAX + 1, 1);
    assert_int_equal(parse(text, bytes), HANDSHAKE_URI_TOO_LONG);
    size_t told = strlen("GET ") + HANDSHAKE_TARGET_BYTES_MAX + 1;
    assert_int_equal(parse(text, told), HANDSHAKE_URI_TOO_LONG);
    assert_int_equal(parse(text, told - 1), HANDSHAKE_NEED_MORE);
    free(text);
}

static void a_head_is_limited(void **state)
{
    (void)state;
    char *text = malloc(TEST_BYTES_MAX);
    size_t rest_bytes = write_request(text, 2, 0);
    size_t bytes = write_request(text, 2, HANDSHAKE_BYTES_MAX - rest_bytes);
    assert_int_equal(bytes, HANDSHAKE_BYTES_MAX);
    assert_int_equal(parse(text, bytes), HANDSHAKE_OK);
    assert_int_equal(parse(text, bytes - 1), HANDSHAKE_NEED_MORE);
    text[bytes] = '\x81';
    assert_int_equal(parse(text, bytes + 1), HANDSHAKE_OK);

    bytes = write_request(text, 2, HANDSHAKE_BYTES_MAX - rest_bytes + 1);
    assert_int_equal(parse(text, bytes), HANDSHAKE_TOO_LONG);
    assert_int_equal(parse(text, HANDSHAKE_BYTES_MAX), HANDSHAKE_TOO_LONG);
    assert_int_equal(parse(text, HANDSHAKE_BYTES_MAX - 1), HANDSHAKE_NEED_MORE);
    free(text);
}

static void header_fields_are_limited(void **state)
{
    (void)state;
    char *text = malloc(TEST_BYTES_MAX);
    for (int extra = 0; extra < 2; extra++) {
        size_t at = (size_t)sprintf(text, LINE FIELDS);
        for (int i = 5; i < HANDSHAKE_HEADERS_MAX + extra; i++) {
            at += (size_t)sprintf(text + at, "X%d:%d\r\n", i, i);
        }
        at += (size_t)sprintf(text + at, END);
        assert_int_equal(parse(text, at), extra ? HANDSHAKE_TOO_LONG : HANDSHAKE_OK);
    }
    free(text);
}

static void every_refusal_says_what_to_do(void **state)
{
    (void)state;
    static const struct {
        enum handshake_status status;
        const char *line;
        const char *extra;
    } answers[] = {
        {HANDSHAKE_NOT_HTTP, "HTTP/1.1 400 ", ""},
        {HANDSHAKE_BAD_REQUEST, "HTTP/1.1 400 ", "this is a WebSocket endpoint"},
        {HANDSHAKE_BAD_KEY, "HTTP/1.1 400 ", ""},
        {HANDSHAKE_NOT_FOUND, "HTTP/1.1 404 ", "no such path: use /, /ws or /v1\n"},
        {HANDSHAKE_BAD_METHOD, "HTTP/1.1 405 ", "\r\nAllow: GET, HEAD\r\n"},
        {HANDSHAKE_BAD_VERSION, "HTTP/1.1 426 ", "\r\nSec-WebSocket-Version: 13\r\n"},
        {HANDSHAKE_BAD_PROTOCOL, "HTTP/1.1 400 ", ": use " JSON " or " SBE "\n"},
        {HANDSHAKE_BAD_EXTENSIONS, "HTTP/1.1 400 ", "Sec-WebSocket-Extensions"},
        {HANDSHAKE_URI_TOO_LONG, "HTTP/1.1 414 ", ""},
        {HANDSHAKE_TOO_LONG, "HTTP/1.1 431 ", ""},
        {HANDSHAKE_BUSY, "HTTP/1.1 503 ", "\r\nRetry-After: 5\r\n"},
        {HANDSHAKE_STOPPING, "HTTP/1.1 503 ", "\r\nRetry-After: 5\r\n"},
        {HANDSHAKE_NO_ROOM, "HTTP/1.1 503 ", ": use " JSON "\n"},
    };
    assert_int_equal(COUNT(answers), HANDSHAKE_STATUS_COUNT - HANDSHAKE_NOT_HTTP);
    for (size_t i = 0; i < COUNT(answers); i++) {
        char out[HANDSHAKE_RESPONSE_BYTES_MAX + 1];
        size_t bytes = handshake_refuse(out, answers[i].status, &site);
        assert_true(bytes < HANDSHAKE_RESPONSE_BYTES_MAX);
        out[bytes] = '\0';
        assert_memory_equal(out, answers[i].line, strlen(answers[i].line));
        assert_non_null(strstr(out, answers[i].extra));
        assert_non_null(strstr(out, "\r\nConnection: close\r\n"));

        const char *body = strstr(out, "\r\n\r\n") + 4;
        size_t body_bytes = strlen(body);
        assert_int_equal(handshake_answer_head(out, bytes), bytes - body_bytes);
        char length[64];
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", body_bytes);
        assert_non_null(strstr(out, length));
        assert_ptr_equal(strchr(body, '\n'), body + body_bytes - 1);
        const char *text = handshake_status_text(answers[i].status);
        assert_memory_equal(body, text, strlen(text));
    }
}

static void a_client_request_is_accepted_by_the_server(void **state)
{
    (void)state;
    static const struct handshake_wish wishes[] = {
        {.protocol = NULL},
        {.protocol = JSON},
        {.protocol = SBE},
        {.protocol = JSON, .deflate = true},
    };
    static const char sbe_first[] = LINE FIELDS
        "Sec-WebSocket-Protocol: other, md.sbe.v1\r\nSec-WebSocket-Protocol: md.json.v1\r\n" END;
    struct handshake_request both;
    assert_int_equal(parse_into(&both, sbe_first, sizeof sbe_first - 1), HANDSHAKE_OK);
    assert_ptr_equal(both.protocol, &protocols[1]); /* The client's first that is known. */
    assert_int_equal(both.protocol_mask, 3);
    for (size_t i = 0; i < COUNT(wishes); i++) {
        char text[512];
        size_t bytes =
            handshake_client_request(text, sizeof text, "localhost:8765", "/ws", KEY, &wishes[i]);
        assert_int_equal(bytes, strlen(text));
        struct handshake_request request;
        assert_int_equal(parse_into(&request, text, bytes), HANDSHAKE_OK);
        assert_int_equal(request.head_bytes, bytes);
        assert_int_equal(request.protocol != NULL, wishes[i].protocol != NULL);
        assert_true(request.protocol == NULL ||
                    strcmp(request.protocol->name, wishes[i].protocol) == 0);
        assert_int_equal(request.offers.count, wishes[i].deflate);
        request.deflate = ws_extensions_negotiate(
            &request.offers,
            &(struct ws_deflate_policy){.no_takeover = true,
                                        .server_window_bits_min = WS_DEFLATE_WINDOW_BITS_MIN});
        assert_int_equal(request.deflate.is_on, wishes[i].deflate);
        assert_int_equal(
            handshake_client_request(text, bytes, "localhost:8765", "/ws", KEY, &wishes[i]), 0);

        char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
        size_t answer_bytes = handshake_accept(answer, &request);
        size_t head_bytes = 0;
        assert_int_equal(
            handshake_client_check((uint8_t *)answer, answer_bytes, KEY, &wishes[i], &head_bytes),
            HANDSHAKE_OK);
        assert_int_equal(head_bytes, answer_bytes);
    }
}

#define ANSWER_LINE "HTTP/1.1 101 Switching Protocols\r\n"
#define WS_ACCEPT "Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define GOOD_ANSWER ANSWER_LINE UPGRADE CONNECTION WS_ACCEPT END
#define INTERIM(status, fields) "HTTP/1.1 " status "\r\n" fields END
#define FOUR_INTERIM INTERIM("100", "") INTERIM("102", "") INTERIM("103", "") INTERIM("100", "")

static const struct handshake_case response_cases[] = {
    {ANSWER_LINE UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_OK},
    {"HTTP/1.1 101\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_OK},
    {"HTTP/1.1 101 \r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_OK},
    {"HTTP/1.1 200 OK\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_BAD_REQUEST},
    {"HTTP/1.1 1010\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_NOT_HTTP},
    {"HTTP/1.1 10\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_NOT_HTTP},
    {"HTTP/1.1 \r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_NOT_HTTP},
    {"HTTP/1.1  101\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_NOT_HTTP},
    {"HTTP/1.1 101x\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_NOT_HTTP},
    {"SSH-2.0-x\r\n", HANDSHAKE_NOT_HTTP},
    {"HTTP/2.0 101\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_BAD_REQUEST},

    /* Interim answers. */
    {INTERIM("100 Continue", "") GOOD_ANSWER, HANDSHAKE_OK},
    {INTERIM("103 Early Hints", "Link: </x>\r\n") INTERIM("102", "") INTERIM("199 x", "")
         GOOD_ANSWER,
     HANDSHAKE_OK},
    {INTERIM("103 x", "Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: x\r\n") GOOD_ANSWER,
     HANDSHAKE_OK},
    {INTERIM("100 Continue", UPGRADE CONNECTION WS_ACCEPT) ANSWER_LINE END, HANDSHAKE_BAD_KEY},
    {FOUR_INTERIM FOUR_INTERIM GOOD_ANSWER, HANDSHAKE_OK},
    {FOUR_INTERIM FOUR_INTERIM INTERIM("100", "") GOOD_ANSWER, HANDSHAKE_TOO_LONG},
    {INTERIM("100 Continue", "") "HTTP/1.1 404 Not Found\r\n\r\n", HANDSHAKE_BAD_REQUEST},
    {INTERIM("100 Continue", "No colon\r\n") GOOD_ANSWER, HANDSHAKE_BAD_REQUEST},
    {"HTTP/1.0 100 Continue\r\n\r\n" GOOD_ANSWER, HANDSHAKE_BAD_REQUEST},
    {"HTTP/1.0 101 x\r\n" UPGRADE CONNECTION WS_ACCEPT END, HANDSHAKE_BAD_REQUEST},
    {ANSWER_LINE CONNECTION WS_ACCEPT END, HANDSHAKE_BAD_KEY},
    {ANSWER_LINE UPGRADE WS_ACCEPT END, HANDSHAKE_BAD_KEY},
    {ANSWER_LINE UPGRADE CONNECTION END, HANDSHAKE_BAD_KEY},
    {ANSWER_LINE UPGRADE CONNECTION WS_ACCEPT WS_ACCEPT END, HANDSHAKE_BAD_KEY},
    {ANSWER_LINE UPGRADE CONNECTION "Sec-WebSocket-Accept: " KEY "\r\n" END, HANDSHAKE_BAD_KEY},
    {ANSWER_LINE UPGRADE CONNECTION WS_ACCEPT "Sec-WebSocket-Extensions: x\r\n" END,
     HANDSHAKE_BAD_EXTENSIONS},
};

static const struct handshake_wish wish_of_json = {.protocol = JSON, .is_implied = true};

#define GRANTED(fields) ANSWER_LINE UPGRADE CONNECTION WS_ACCEPT fields END
#define GRANT_JSON "Sec-WebSocket-Protocol: " JSON "\r\n"
#define GRANT_SBE "Sec-WebSocket-Protocol: " SBE "\r\n"
#define GRANT_DEFLATE "Sec-WebSocket-Extensions: permessage-deflate"
#define GRANT_SHARED GRANT_DEFLATE "; server_no_context_takeover; client_no_context_takeover"

static const struct {
    struct handshake_wish wish;
    const char *text;
    enum handshake_status status;
} wish_cases[] = {
    {{SBE, false, false, NULL}, GRANTED(GRANT_SBE), HANDSHAKE_OK},
    {{SBE, false, false, NULL}, GRANTED(""), HANDSHAKE_BAD_PROTOCOL},
    {{SBE, false, false, NULL}, GRANTED(GRANT_JSON), HANDSHAKE_BAD_PROTOCOL},
    {{JSON, true, false, NULL}, GRANTED(""), HANDSHAKE_OK},
    {{JSON, true, false, NULL}, GRANTED(GRANT_SBE), HANDSHAKE_BAD_PROTOCOL},
    {{NULL, false, false, NULL}, GRANTED(""), HANDSHAKE_OK},
    {{NULL, false, false, NULL}, GRANTED(GRANT_JSON), HANDSHAKE_BAD_PROTOCOL},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_DEFLATE "; server_no_context_takeover\r\n"),
     HANDSHAKE_OK},
    {{JSON, true, true, NULL}, GRANTED(""), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL}, GRANTED(GRANT_DEFLATE "\r\n"), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED("Sec-WebSocket-Extensions: ;\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},

    /* Subprotocols that were not offered, or several. */
    {{SBE, false, false, NULL}, GRANTED(GRANT_SBE GRANT_SBE), HANDSHAKE_BAD_PROTOCOL},
    {{SBE, false, false, NULL},
     GRANTED("Sec-WebSocket-Protocol: " SBE ", " JSON "\r\n"),
     HANDSHAKE_BAD_PROTOCOL},
    {{NULL, false, false, NULL}, GRANTED("Sec-WebSocket-Protocol:\r\n"), HANDSHAKE_OK},

    /* Extensions and parameters that were not offered, or are given twice. */
    {{JSON, true, false, NULL}, GRANTED(GRANT_DEFLATE "\r\n"), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, false, NULL},
     GRANTED("Sec-WebSocket-Extensions: x\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, false, NULL},
     GRANTED("Sec-WebSocket-Extensions: ;\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, false, NULL}, GRANTED("Sec-WebSocket-Extensions: ,\r\n"), HANDSHAKE_OK},
    {{JSON, true, true, NULL}, GRANTED(GRANT_SHARED "\r\n"), HANDSHAKE_OK},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; server_max_window_bits=9\r\n"),
     HANDSHAKE_OK},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; server_max_window_bits\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; server_max_window_bits=16\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; client_max_window_bits=15\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; client_max_window_bits\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; client_no_context_takeover\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "; server_max_window_bits=9; server_max_window_bits=9\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL}, GRANTED(GRANT_SHARED "; x\r\n"), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL}, GRANTED(GRANT_SHARED "; x=1\r\n"), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL}, GRANTED(GRANT_SHARED ", x\r\n"), HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED("Sec-WebSocket-Extensions: x\r\n" GRANT_SHARED "\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED(GRANT_SHARED "\r\n" GRANT_SHARED "\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
    {{JSON, true, true, NULL},
     GRANTED("Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n"),
     HANDSHAKE_BAD_EXTENSIONS},
};

static void a_client_gets_what_it_wished_or_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wish_cases); i++) {
        size_t head_bytes = 0;
        assert_int_equal(handshake_client_check((const uint8_t *)wish_cases[i].text,
                                                strlen(wish_cases[i].text), KEY,
                                                &wish_cases[i].wish, &head_bytes),
                         wish_cases[i].status);
    }
}

static void a_client_checks_the_answer(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, TEST_BYTES_MAX);
    for (size_t i = 0; i < COUNT(response_cases); i++) {
        size_t text_bytes = strlen(response_cases[i].text);
        for (size_t count = 0; count <= text_bytes; count++) {
            const uint8_t *copy = guard_page_copy(&guard, response_cases[i].text, count);
            size_t head_bytes = 0;
            enum handshake_status status =
                handshake_client_check(copy, count, KEY, &wish_of_json, &head_bytes);
            assert_true(status == response_cases[i].status ||
                        (status == HANDSHAKE_NEED_MORE && count < text_bytes));
        }
    }
    guard_page_deinit(&guard);
}

static void who_asks_for_another_path_is_told_by_it(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *path;
    } cases[] = {
        {"GET /schema/md.xml HTTP/1.1\r\n", "/schema/md.xml"},
        {"GET /schema/md.xml?x=/y?z HTTP/1.1\r\n", "/schema/md.xml"},
        {"GET ?x HTTP/1.1\r\n", ""},
        {"GET http://example.com/schema/md.xml?x HTTP/1.1\r\n", "/schema/md.xml"},
        {"HEAD /schema/md.xml HTTP/1.0\r\n", "/schema/md.xml"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        size_t bytes = (size_t)snprintf(text, sizeof text, "%s%s", cases[i].line, HOST END);
        struct handshake_request request;
        assert_int_equal(parse_into(&request, text, bytes), HANDSHAKE_NOT_FOUND);
        assert_int_equal(request.path.bytes, strlen(cases[i].path));
        assert_memory_equal(request.path.text, cases[i].path, request.path.bytes);
        assert_true(handshake_head_path_is(request.path, cases[i].path));
        assert_int_equal(request.is_head, cases[i].line[0] == 'H');
        assert_int_equal(parse(text, bytes - 1), HANDSHAKE_NEED_MORE);
    }
}

static void paths_that_may_go_on_tell_what_follows(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *rest; /* NULL: not found */
    } cases[] = {
        {"/", ""},
        {"/ws", ""},
        {"/ws/", "/"},
        {"/ws/a@b/c?d=e?f", "/a@b/c?d=e?f"},
        {"/%77%73/a", "/a"},
        {"/v1?x", "?x"},
        {"/?x=/ws", "?x=/ws"},
        {"http://h:1/ws/a", "/a"},
        {"ws://h?x", "?x"},
        {"ws://h", ""},
        {"/wsx", NULL},
        {"/w", NULL},
        {"/a", NULL},
        {"/ws%2Fa", NULL},
        {"//ws/a", NULL},
    };
    struct handshake_site wide = site;
    wide.paths_go_on = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];
        struct handshake_request request;
        struct handshake_progress progress = {.has_line = false};
        size_t bytes = (size_t)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n%s", cases[i].target,
                                        FIELDS END);
        enum handshake_status status =
            handshake_parse(&progress, (const uint8_t *)text, bytes, &wide, &request);
        assert_int_equal(status, cases[i].rest != NULL ? HANDSHAKE_OK : HANDSHAKE_NOT_FOUND);
        assert_true(cases[i].rest == NULL || handshake_head_equal(request.rest, cases[i].rest));
    }
    assert_int_equal(
        parse("GET /ws/a HTTP/1.1\r\n" FIELDS END, sizeof "GET /ws/a HTTP/1.1\r\n" FIELDS END - 1),
        HANDSHAKE_NOT_FOUND);
}

static void parts_of_a_target_are_split_and_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plus_is_blank;
        const char *decoded; /* NULL: a fault */
    } cases[] = {
        {"", false, ""},
        {"a%2Fb%2f", false, "a/b/"},
        {"a+b", false, "a+b"},
        {"a+%2B", true, "a +"},
        {"%e8%b4%b5", false, "\xe8\xb4\xb5"},
        {"%", false, NULL},
        {"%4", false, NULL},
        {"%4g", false, NULL},
        {"%%41", false, NULL},
        {"a%00", false, NULL},
        {"%e8%b4", false, NULL},
        {"%C0%80", false, NULL},
    };
    struct guard_page guard;
    guard_page_init(&guard, 64);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        size_t bytes = strlen(cases[i].text), out_bytes = 0;
        struct handshake_slice text = {(const char *)guard_page_copy(&guard, cases[i].text, bytes),
                                       bytes};
        bool is_good = handshake_head_decode(text, cases[i].plus_is_blank, out, &out_bytes);
        assert_int_equal(is_good, cases[i].decoded != NULL);
        if (is_good) {
            assert_int_equal(out_bytes, strlen(cases[i].decoded));
            assert_memory_equal(out, cases[i].decoded, out_bytes);
        }
    }
    static const char *const parts[] = {"a", "", "b"};
    struct handshake_slice list = {(const char *)guard_page_copy(&guard, "a,,b,", 5), 5};
    struct handshake_slice part;
    for (size_t i = 0; i < COUNT(parts); i++) {
        assert_true(handshake_head_next_part(&list, ',', &part));
        assert_true(handshake_head_equal(part, parts[i]));
    }
    assert_false(handshake_head_next_part(&list, ',', &part));
    guard_page_deinit(&guard);
}

static void a_document_has_its_length_and_may_be_kept(void **state)
{
    (void)state;
    char head[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t bytes = handshake_document(head, "application/xml", 7785);
    static const char expected[] = "HTTP/1.1 200 OK\r\n"
                                   "Content-Type: application/xml\r\n"
                                   "Content-Length: 7785\r\n"
                                   "Cache-Control: max-age=3600\r\n"
                                   "Connection: close\r\n\r\n";
    assert_int_equal(bytes, sizeof expected - 1);
    assert_memory_equal(head, expected, bytes);
}

static void header_fields_of_a_good_head_are_found_in_order(void **state)
{
    (void)state;
    static const char text[] = "\r\nGET /ws?token=a HTTP/1.1\r\nhost: x\r\nX-For: a, b \r\n"
                               "Authorization:\tBearer t\r\nx-for:c\r\nEmpty:\r\n\r\nX-For: d\r\n";
    static const struct {
        const char *name;
        uint32_t count;
        const char *values[2];
    } cases[] = {
        {"Host", 1, {"x"}},  {"X-FOR", 2, {"a, b", "c"}},        {"empty", 1, {""}},
        {"X-Fo", 0, {NULL}}, {"authorization", 1, {"Bearer t"}}, {"", 0, {NULL}},
    };
    struct guard_page guard;
    size_t head_bytes = (size_t)(strstr(text + 2, "\r\n\r\n") + 4 - text);
    guard_page_init(&guard, sizeof text);
    const uint8_t *head = guard_page_copy(&guard, text, head_bytes);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct handshake_slice values[2] = {{NULL, 0}, {NULL, 0}};
        assert_int_equal(handshake_values(head, head_bytes, cases[i].name, values, 2),
                         cases[i].count);
        for (uint32_t nth = 0; nth < cases[i].count; nth++) {
            assert_true(handshake_head_equal(values[nth], cases[i].values[nth]));
        }
        struct handshake_slice first = {NULL, 0};
        assert_int_equal(handshake_values(head, head_bytes, cases[i].name, &first, 1),
                         cases[i].count);
        assert_ptr_equal(first.text, values[0].text);
    }
    size_t target_bytes = 0;
    const char *target = handshake_target(head, head_bytes, &target_bytes);
    assert_int_equal(target_bytes, 11);
    assert_memory_equal(target, "/ws?token=a", 11);
    guard_page_deinit(&guard);
}

/* Feeds a head byte by byte. Returns how many bytes of lines were read, again and again. */
static size_t read_byte_by_byte(const char *text, size_t bytes, enum handshake_status expected)
{
    struct handshake_progress progress = {.has_line = false};
    struct handshake_request request;
    enum handshake_status status = HANDSHAKE_NEED_MORE;
    size_t read = 0;
    for (size_t count = 1; count <= bytes && status == HANDSHAKE_NEED_MORE; count++) {
        size_t tried = progress.reader.tried;
        const char *at = count == 1 ? text : progress.reader.at;
        status = handshake_parse(&progress, (const uint8_t *)text, count, &site, &request);
        read += (size_t)(progress.reader.at - at);
        read += progress.reader.tried != tried ? progress.reader.tried : 0;
    }
    assert_int_equal(status, expected);
    return read;
}

static void each_byte_is_read_a_few_times_however_small_the_pieces_are(void **state)
{
    (void)state;
    char *text = malloc(TEST_BYTES_MAX);
    size_t rest_bytes = write_request(text, 2, 0);
    size_t bytes = write_request(text, 2, HANDSHAKE_BYTES_MAX - rest_bytes);
    assert_int_equal(bytes, HANDSHAKE_BYTES_MAX);
    assert_true(read_byte_by_byte(text, bytes, HANDSHAKE_OK) < 4 * bytes);
    bytes = write_request(text, 2, HANDSHAKE_BYTES_MAX - rest_bytes + 1);
    assert_true(read_byte_by_byte(text, bytes, HANDSHAKE_TOO_LONG) < 4 * bytes);
    text[HANDSHAKE_BYTES_MAX - 2] = '\x01'; /* in a line that is not tried at twice its length */
    assert_true(read_byte_by_byte(text, bytes, HANDSHAKE_BAD_REQUEST) < 4 * bytes);
    bytes = write_request(text, HANDSHAKE_TARGET_BYTES_MAX, 1);
    assert_true(read_byte_by_byte(text, bytes, HANDSHAKE_OK) < 4 * bytes);
    for (size_t i = 0; i < COUNT(handshake_cases); i++) {
        /* A line without its end is read again when it is twice as long. */
        bytes = strlen(handshake_cases[i].text);
        memcpy(text, handshake_cases[i].text, bytes);
        memset(text + bytes, 'x', bytes);
        read_byte_by_byte(text, 2 * bytes, handshake_cases[i].status);
    }
    free(text);
}

/* Lines that were read are out of reach while the others come. */
static void lines_that_were_read_are_not_looked_at_again(void **state)
{
    (void)state;
    struct handshake_progress progress = {.has_line = false};
    struct handshake_request request;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    char *text =
        mmap(NULL, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(text, MAP_FAILED);
    size_t at = (size_t)sprintf(text, LINE FIELDS "X: ");
    memset(text + at, 'x', page_bytes - at - 2);
    memcpy(text + page_bytes - 2, "\r\n", 2);
    size_t bytes = page_bytes + (size_t)sprintf(text + page_bytes, "X: a\r\nX: b\r\nX: c" END END);
    assert_int_equal(handshake_parse(&progress, (const uint8_t *)text, page_bytes, &site, &request),
                     HANDSHAKE_NEED_MORE);
    assert_int_equal(mprotect(text, page_bytes, PROT_NONE), 0);
    for (size_t count = page_bytes; count < bytes; count++) {
        assert_int_equal(handshake_parse(&progress, (const uint8_t *)text, count, &site, &request),
                         HANDSHAKE_NEED_MORE);
    }
    assert_int_equal(mprotect(text, page_bytes, PROT_READ), 0);
    assert_int_equal(handshake_parse(&progress, (const uint8_t *)text, bytes, &site, &request),
                     HANDSHAKE_OK);
    assert_int_equal(request.head_bytes, bytes);
    munmap(text, 2 * page_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_is_accepted),
        cmocka_unit_test(a_site_without_names_grants_every_path_and_passes_over_subprotocols),
        cmocka_unit_test(the_first_frame_may_follow_the_head_at_once),
        cmocka_unit_test(what_was_agreed_on_is_in_the_answer),
        cmocka_unit_test(each_request_gets_its_verdict),
        cmocka_unit_test(a_verdict_never_changes_with_more_bytes),
        cmocka_unit_test(a_zero_byte_is_refused_anywhere),
        cmocka_unit_test(what_is_not_http_is_known_by_its_first_byte),
        cmocka_unit_test(a_target_is_limited),
        cmocka_unit_test(a_head_is_limited),
        cmocka_unit_test(header_fields_are_limited),
        cmocka_unit_test(every_refusal_says_what_to_do),
        cmocka_unit_test(a_client_request_is_accepted_by_the_server),
        cmocka_unit_test(a_client_checks_the_answer),
        cmocka_unit_test(a_client_gets_what_it_wished_or_nothing),
        cmocka_unit_test(who_asks_for_another_path_is_told_by_it),
        cmocka_unit_test(paths_that_may_go_on_tell_what_follows),
        cmocka_unit_test(parts_of_a_target_are_split_and_decoded),
        cmocka_unit_test(a_document_has_its_length_and_may_be_kept),
        cmocka_unit_test(header_fields_of_a_good_head_are_found_in_order),
        cmocka_unit_test(each_byte_is_read_a_few_times_however_small_the_pieces_are),
        cmocka_unit_test(lines_that_were_read_are_not_looked_at_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
