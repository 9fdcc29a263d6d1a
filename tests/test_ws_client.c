#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/handshake.h"
#include "codec/ws_decoder.h"
#include "tools/common/ws_client.h"

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port, *path;
    } cases[] = {
        {"ws://localhost", "localhost", "8765", "/"},
        {"ws://localhost/", "localhost", "8765", "/"},
        {"ws://10.0.0.1:80/ws", "10.0.0.1", "80", "/ws"},
        {"ws://[::1]:9000/v1?token=a", "::1", "9000", "/v1?token=a"},
        {"ws://[fe80::1]", "fe80::1", "8765", "/"},
        {"ws://[fe80::1%lo]:1/", "fe80::1%lo", "1", "/"},
        {"ws://[fe80::1%25lo]:1/", "fe80::1%lo", "1", "/"},
        {"ws://[fe80::1%25]:1/", "fe80::1%25", "1", "/"},
        {"ws://host?x=1#part", "host", "8765", "/?x=1"},
        {"WS://Host/Path", "Host", "8765", "/Path"},
        {"Ws://[::1]", "::1", "8765", "/"},
        {"wss://localhost", "localhost", "443", "/"},
        {"WSS://[::1]/a", "::1", "443", "/a"},
        {"wss://localhost:8766/", "localhost", "8766", "/"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_client_url url;
        char error[WS_CLIENT_ERROR_BYTES_MAX];
        assert_int_equal(ws_client_parse_url(&url, cases[i].text, error), 0);
        assert_false(url.is_unix);
        assert_int_equal(url.is_tls, strncasecmp(cases[i].text, "wss", 3) == 0);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
    }
}

static void a_unix_url_names_a_socket(void **state)
{
    (void)state;
    struct ws_client_url url;
    struct ws_client_addresses addresses;
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    assert_int_equal(ws_client_parse_url(&url, "unix:///run/ringcast.sock", error), 0);
    assert_true(url.is_unix);
    assert_string_equal(url.socket_path, "/run/ringcast.sock");
    assert_int_equal(ws_client_resolve(&url, &addresses, error), 0);
    assert_int_equal(addresses.count, 1);
    assert_int_equal(addresses.list[0].address.ss_family, AF_UNIX);
    assert_int_equal(ws_client_parse_url(&url, "UNIX:///Run/x", error), 0);
    assert_string_equal(url.socket_path, "/Run/x");
}

static void bad_urls_are_refused_with_words(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",          "localhost:8765", "http://a/",       "ws://",          "ws://:80/",
        "ws://a:0/", "ws://a:65536/",  "ws://a:1x/",      "ws://a:/",       "ws://[::1",
        "ws://[]/",  "ws://[::1]x/",   "unix://here",     "ws://a:123456/", "wss://",
        "WSS:/a/",   "ws://a/b c",     "ws://a/\r\nX: y", "ws://a/\x7f",    "wss://a:0/",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ws_client_url url;
        char error[WS_CLIENT_ERROR_BYTES_MAX] = "";
        assert_true(ws_client_parse_url(&url, texts[i], error) < 0);
        assert_true(error[0] != 0);
    }
}

static void a_key_is_16_bytes_in_base64(void **state)
{
    (void)state;
    char key[WS_CLIENT_KEY_BYTES + 1];
    /* RFC 6455 section 1.3: "the sample nonce" */
    ws_client_key(key, (const uint8_t *)"the sample nonce");
    assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
}

static void the_server_side_accepts_the_request(void **state)
{
    (void)state;
    static const struct handshake_protocol protocol = {.name = WS_CLIENT_JSON};
    static const struct handshake_site site = {.protocols = &protocol, .protocol_count = 1};
    struct ws_client_url url;
    struct handshake_request request;
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    char text[WS_CLIENT_REQUEST_BYTES_MAX];
    assert_int_equal(ws_client_parse_url(&url, "ws://[::1]:9000/v1", error), 0);
    for (int offers = 0; offers < 2; offers++) {
        struct handshake_wish wish = {.protocol = offers ? WS_CLIENT_JSON : NULL};
        size_t bytes = ws_client_request(&url, "dGhlIHNhbXBsZSBub25jZQ==", &wish, text);
        struct handshake_progress progress = {.has_line = false};
        assert_int_equal(handshake_parse(&progress, (const uint8_t *)text, bytes, &site, &request),
                         HANDSHAKE_OK);
        assert_int_equal(request.head_bytes, bytes);
        assert_ptr_equal(request.protocol, offers ? &protocol : NULL);
    }
}

static void a_server_decodes_our_frames(void **state)
{
    (void)state;
    static uint8_t payload[WS_CLIENT_MESSAGE_BYTES_MAX];
    static uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    static const size_t lengths[] = {0, 1, 125, 126, 4096, sizeof payload};
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct ws_decoder decoder;
        struct ws_message message;
        size_t consumed;
        uint8_t mask[4] = {1, 2, 3, 250};
        size_t bytes = ws_client_frame(frame, WS_TEXT, payload, lengths[i], mask);
        ws_decoder_init(&decoder, sizeof payload, true, NULL);
        assert_int_equal(ws_decode(&decoder, frame, bytes, &consumed, &message), WS_OK);
        assert_int_equal(consumed, bytes);
        assert_int_equal(message.payload_bytes, lengths[i]);
        assert_memory_equal(message.payload, payload, lengths[i]);
    }
}

static void subscribe_names_symbols_types_and_settings(void **state)
{
    (void)state;
    struct ws_client_subscription subscription = {
        .symbols = "A,,B", .types = "quote,trade", .snapshot = false, .on_lag = "skip"};
    char *text = ws_client_subscribe_text(&subscription);
    assert_string_equal(text,
                        "{\"type\":\"SUBSCRIBE\",\"id\":1,\"data\":{\"symbols\":[\"A\",\"B\"],"
                        "\"data_types\":[\"quote\",\"trade\"],"
                        "\"delivery\":{\"on_lag\":\"skip\"},\"snapshot\":false}}");
    free(text);
    subscription = (struct ws_client_subscription){
        .symbols = "A", .types = "depth", .depth = 5, .snapshot = true};
    text = ws_client_subscribe_text(&subscription);
    assert_string_equal(text, "{\"type\":\"SUBSCRIBE\",\"id\":1,\"data\":{\"symbols\":[\"A\"],"
                              "\"data_types\":[\"depth\"],\"depth\":5,\"snapshot\":true}}");
    free(text);
    subscription = (struct ws_client_subscription){
        .symbols = "A", .types = "quote", .interval_ms = 500, .on_lag = "skip", .snapshot = true};
    text = ws_client_subscribe_text(&subscription);
    assert_string_equal(text, "{\"type\":\"SUBSCRIBE\",\"id\":1,\"data\":{\"symbols\":[\"A\"],"
                              "\"data_types\":[\"quote\"],\"delivery\":{\"mode\":\"conflated\","
                              "\"interval_ms\":500,\"on_lag\":\"skip\"},\"snapshot\":true}}");
    free(text);
    subscription = (struct ws_client_subscription){
        .symbols = "A", .types = "bar", .bar = "1m", .replay_from = 7, .snapshot = true};
    text = ws_client_subscribe_text(&subscription);
    assert_string_equal(text, "{\"type\":\"REPLAY\",\"id\":1,\"data\":{\"symbols\":[\"A\"],"
                              "\"data_types\":[\"bar\"],\"bar\":\"1m\",\"from\":7}}");
    free(text);
}

static void subscribing_to_nothing_is_refused(void **state)
{
    (void)state;
    struct ws_client_subscription subscription = {.symbols = ",", .types = "quote"};
    assert_null(ws_client_subscribe_text(&subscription));
}

/* Not all but that one, as if it had not been asked for. */
static void a_symbol_that_json_cannot_hold_is_refused(void **state)
{
    (void)state;
    struct ws_client_subscription subscription = {.symbols = "A,\xff", .types = "quote"};
    assert_null(ws_client_subscribe_text(&subscription));
    subscription = (struct ws_client_subscription){.symbols = "A", .types = "\xc3,quote"};
    assert_null(ws_client_subscribe_text(&subscription));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(a_unix_url_names_a_socket),
        cmocka_unit_test(bad_urls_are_refused_with_words),
        cmocka_unit_test(a_key_is_16_bytes_in_base64),
        cmocka_unit_test(the_server_side_accepts_the_request),
        cmocka_unit_test(a_server_decodes_our_frames),
        cmocka_unit_test(subscribe_names_symbols_types_and_settings),
        cmocka_unit_test(subscribing_to_nothing_is_refused),
        cmocka_unit_test(a_symbol_that_json_cannot_hold_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
