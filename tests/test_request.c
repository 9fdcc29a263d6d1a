#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring/core/core.h"
#include "src/request/request.h"
#include "tests/guard_page.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct request request;
static struct request_error error;

static bool parse(const char *text)
{
    return request_parse(&request, (const uint8_t *)text, strlen(text), &error);
}

static int tear_down(void **state)
{
    (void)state;
    request_deinit(&request);
    return 0;
}

/* What is refused, with the code and field of the verdict. */
struct fault {
    const char *text;
    int code;
    const char *field;
};

static void check_faults(const struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parse(faults[i].text)) {
            fail_msg("was accepted: %s", faults[i].text);
        }
        if ((int)error.code != faults[i].code || strcmp(error.field, faults[i].field) != 0) {
            fail_msg("%s: %d \"%s\", not %d \"%s\"", faults[i].text, (int)error.code, error.field,
                     faults[i].code, faults[i].field);
        }
        assert_true(error.message[0] != '\0');
        request_deinit(&request);
    }
}

static void the_short_form_is_understood(void **state)
{
    size_t bytes;
    (void)state;
    assert_true(parse("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\"],"
                      "\"data_types\":[\"quote\"]}}"));
    assert_int_equal(request.type, REQUEST_SUBSCRIBE);
    assert_string_equal(request.id, "");
    assert_int_equal(request.types, 1u << MD_QUOTE);
    assert_int_equal(request.symbol_count, 1);
    assert_string_equal(request_symbol(&request, 0, &bytes), "000001.SZ");
    assert_int_equal(bytes, 9);
    assert_true(request.snapshot);
    assert_false(request.has_on_lag);
}

static void every_field_is_understood(void **state)
{
    size_t bytes;
    (void)state;
    assert_true(
        parse("{\"type\":\"subscribe\",\"id\":-7,\"extra\":[{}],\"data\":{\"symbols\":"
              "[\"A\",\"*.SZ\"],\"data_types\":[\"Quote\",\"BAR\",\"quote\"],\"snapshot\":"
              "false,\"more\":1,\"delivery\":{\"mode\":\"all\",\"on_lag\":\"conflate\"}}}"));
    assert_string_equal(request.id, "-7");
    assert_int_equal(request.types, 1u << MD_QUOTE | 1u << MD_BAR);
    assert_string_equal(request_symbol(&request, 1, &bytes), "*.SZ");
    assert_false(request.snapshot);
    assert_true(request.has_on_lag);
    assert_int_equal(request.on_lag, REQUEST_CONFLATE);
}

static void a_symbol_that_is_named_again_is_marked(void **state)
{
    static const char *const symbols[] = {"B", "*", "B", "A", "*", "A", "", "b", ""};
    static const bool repeated[] = {false, false, true, false, true, true, false, false, true};
    char text[CORE_MESSAGE_BYTES_MAX];
    size_t bytes;
    (void)state;
    assert_true(parse("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"B\",\"*\",\"B\",\"A\","
                      "\"*\",\"\\u0041\",\"\",\"b\",\"\"],\"data_types\":[\"quote\"]}}"));
    assert_int_equal(request.symbol_count, COUNT(symbols));
    for (uint32_t i = 0; i < COUNT(symbols); i++) {
        assert_string_equal(request_symbol(&request, i, &bytes), symbols[i]);
        assert_int_equal(bytes, strlen(symbols[i]));
        assert_int_equal(request_is_repeated(&request, i), repeated[i]);
    }
    request_deinit(&request);
    char *at = text + sprintf(text, "{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[\"S0\"");
    for (int i = 1; i < REQUEST_SYMBOLS_MAX; i++) {
        at += sprintf(at, ",\"S%d\"", i % 500);
    }
    strcpy(at, "],\"data_types\":[\"quote\"]}}");
    assert_true(parse(text));
    for (uint32_t i = 0; i < REQUEST_SYMBOLS_MAX; i++) {
        assert_int_equal(request_is_repeated(&request, i), i >= 500);
    }
}

static void one_string_stands_for_a_list_of_one(void **state)
{
    size_t bytes;
    (void)state;
    assert_true(parse("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":\"A\","
                      "\"data_types\":\"depth\"}}"));
    assert_int_equal(request.type, REQUEST_UNSUBSCRIBE);
    assert_int_equal(request.symbol_count, 1);
    assert_string_equal(request_symbol(&request, 0, &bytes), "A");
    assert_int_equal(request.types, 1u << MD_DEPTH);
}

static void unsubscribe_and_list_need_no_data(void **state)
{
    (void)state;
    assert_true(parse("{\"type\":\"UNSUBSCRIBE\"}"));
    assert_int_equal(request.symbol_count, 0);
    assert_int_equal(request.types, 0);
    request_deinit(&request);
    assert_true(parse("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"data_types\":[\"trade\"]}}"));
    assert_int_equal(request.types, 1u << MD_TRADE);
    request_deinit(&request);
    assert_true(parse("{\"type\":\"List\",\"data\":null}"));
    assert_int_equal(request.type, REQUEST_LIST);
}

static void an_id_is_echoed_as_it_came(void **state)
{
    static const char *const ids[][2] = {
        {"7", "7"},
        {"9223372036854775807", "9223372036854775807"},
        {"\"abc\"", "\"abc\""},
        {"\"\"", "\"\""},
        {"\"a\\\"b\\\\c\\u0001\"", "\"a\\\"b\\\\c\\u0001\""},
        {"\"\\u0041\\/\\ud83d\\ude00\"", "\"\\u0041\\/\\ud83d\\ude00\""},
        {"18446744073709551615", "18446744073709551615"},
        {"-0", "-0"},
        {"1.50", "1.50"},
        {"1E5", "1E5"},
        {"-1e999", "-1e999"},
        {"1e-999", "1e-999"},
        {"\"\xe5\xb9\xb3\"", "\"\xe5\xb9\xb3\""},
        {"null", ""},
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < COUNT(ids); i++) {
        snprintf(text, sizeof text, "{\"id\":%s,\"type\":\"LIST\"}", ids[i][0]);
        assert_true(parse(text));
        assert_string_equal(request.id, ids[i][1]);
        request_deinit(&request);
    }
}

static void the_longest_id_fits_however_it_is_escaped(void **state)
{
    char text[1024] = "{\"type\":\"LIST\",\"id\":\"";
    (void)state;
    for (int i = 0; i < REQUEST_ECHO_BYTES_MAX; i++) {
        strcat(text, "\\u0001");
    }
    char *end = text + strlen(text);
    strcpy(end, "\"}");
    assert_true(parse(text));
    assert_int_equal(strlen(request.id), 6 * REQUEST_ECHO_BYTES_MAX + 2);
    request_deinit(&request);
    strcpy(end, "x\"}");
    assert_false(parse(text));
    assert_string_equal(error.field, "id");
    assert_string_equal(request.id, "");
}

static void a_fault_after_the_id_keeps_the_id(void **state)
{
    (void)state;
    assert_false(parse("{\"type\":\"NONSENSE\",\"id\":\"x\"}"));
    assert_string_equal(request.id, "\"x\"");
}

static void a_zero_in_a_string_is_refused_in_plain_words(void **state)
{
    (void)state;
    assert_false(parse("{\"type\":\"LIST\",\"id\":7,\"x\":\"a\\u0000b\"}"));
    assert_int_equal(error.code, PROTOCOL_BAD_REQUEST);
    assert_string_equal(error.message, "a string has \\u0000, which is not supported (at byte 36)");
    assert_string_equal(request.id, "7");
    request_deinit(&request);
    assert_false(parse("{\"type\":\"LIST\",\"x\\u0000\":1}"));
    assert_non_null(strstr(error.message, "not supported"));
}

static void what_is_no_json_keeps_an_id_that_can_be_read(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"{\"id\":7,\"type\":\"LIST\"", "7"},
        {"{\"id\":7,\"type\":\"LIST\",\"type\":\"LIST\"}", "7"},
        {"{\"x\":[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]],\"id\":\"a\"}", "\"a\""},
        {"{\"x\":\"\\u0000\",\"\\u0069d\":1.50}", "1.50"},
        {"{\"id\":7", "7"},
        {"{\"id\":0x7}", ""},
        {"{\"id\":01}", ""},
        {"{\"id\":\"a", ""},
        {"{\"id\":\"\\x\"}", ""},
        {"{\"id\":", ""},
        {"{\"x\":{\"id\":7}", ""},
        {"{id:7}", ""},
        {"[\"id\",7]", ""},
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_false(parse(texts[i][0]));
        assert_int_equal(error.code, PROTOCOL_BAD_REQUEST);
        assert_string_equal(error.field, "");
        assert_string_equal(request.id, texts[i][1]);
        request_deinit(&request);
    }
}

static void ping_keeps_t0_as_it_came(void **state)
{
    static const char *const t0s[] = {
        "0.1", "1E5", "1.50", "-0", "1e400", "18446744073709551615", "\"\\u0041 \\/\"", "\"\"",
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < COUNT(t0s); i++) {
        snprintf(text, sizeof text, "{\"data\" : {\"t0\" :\t%s } , \"type\":\"PING\"}", t0s[i]);
        assert_true(parse(text));
        assert_string_equal(request.t0, t0s[i]);
        request_deinit(&request);
        snprintf(text, sizeof text, "{\"data\":{\"t0\":null},\"type\":\"PING\",\"t0\":%s}", t0s[i]);
        assert_true(parse(text));
        assert_string_equal(request.t0, t0s[i]);
        request_deinit(&request);
    }
    assert_true(parse("{\"type\":\"PING\",\"data\":{\"t0\":1732078800123456789}}"));
    assert_string_equal(request.t0, "1732078800123456789");
    request_deinit(&request);
    assert_true(parse("{\"type\":\"PING\",\"t0\":\"abc\"}"));
    assert_string_equal(request.t0, "\"abc\"");
    request_deinit(&request);
    assert_true(parse("{\"type\":\"PING\"}"));
    assert_string_equal(request.t0, "");
}

static void a_number_that_no_parser_holds_matters_only_where_it_is_used(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"{\"type\":\"RESUME\",\"data\":{\"epoch\":\"e\",\"cursors\":{\"0\":9223372036854775808}}}",
         107, "data.cursors"},
        {"{\"type\":\"REPLAY\",\"data\":{\"symbols\":\"a\",\"data_types\":\"quote\",\"from\":1e999}"
         "}",
         107, "data.from"},
        {"{\"type\":\"REPLAY\",\"data\":{\"symbols\":\"a\",\"data_types\":\"quote\",\"from\":1,"
         "\"speed\":1e999}}",
         107, "data.speed"},
        {"{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"a\",99999999999999999999]}}", 107,
         "data.symbols[1]"},
        {"{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"a\",\"data_types\":1e999}}", 107,
         "data.data_types"},
        {"{\"type\":-1e999}", 107, "type"},
        {"{\"type\":\"LIST\",\"data\":-99999999999999999999}", 107, "data"},
        {"{\"type\":\"LIST\",\"data\":{\"x\":1e999,}}", 107, ""},
        {"{\"type\":\"LIST\",1e999:1}", 107, ""},
        {"{\"type\":\"LIST\",\"x\":1e999,\"x\":1}", 107, ""},
        {"[1e999]", 107, ""},
        {"1e999", 107, ""},
    };
    check_faults(faults, COUNT(faults));
    assert_true(parse("{\"x\":[18446744073709551615,-1e999,1e-999],\"type\":\"LIST\",\"id\":7,"
                      "\"data\":{\"deep\":[[[[[-99999999999999999999]]]]]}}"));
    assert_string_equal(request.id, "7");
}

static void what_is_no_message_is_a_bad_request(void **state)
{
    static const struct fault faults[] = {
        {"", 107, ""},
        {"hello", 107, ""},
        {"[]", 107, ""},
        {"7", 107, ""},
        {"{\"type\":\"LIST\"", 107, ""},
        {"{\"type\":\"LIST\"} x", 107, ""},
        {"{\"type\":\"LIST\",\"type\":\"LIST\"}", 107, ""},
        {"{\"type\":\"LIST\",\"x\":\"a\\u0000b\"}", 107, ""},
        {"{\"type\":\"LIST\",\"x\":\"\xff\"}", 107, ""},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", 107, ""},
        {"{}", 107, "type"},
        {"{\"type\":7}", 107, "type"},
        {"{\"type\":\"LIST\",\"id\":true}", 107, "id"},
        {"{\"type\":\"LIST\",\"id\":{}}", 107, "id"},
        {"{\"type\":\"LIST\",\"id\":"
         "11111111111111111111111111111111111111111111111111111111111111111}",
         107, "id"},
        {"{\"type\":\"LIST\",\"id\":[1]}", 107, "id"},
        {"{\"type\":\"LIST\",\"data\":[]}", 107, "data"},
        {"{\"type\":\"PING\",\"data\":{\"t0\":{}}}", 107, "data.t0"},
        {"{\"type\":\"PING\",\"t0\":[]}", 107, "t0"},
        {"{\"type\":\"PING\",\"t0\":"
         "11111111111111111111111111111111111111111111111111111111111111111}",
         107, "t0"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
}

static void brackets_in_a_string_are_no_depth(void **state)
{
    (void)state;
    assert_true(parse("{\"type\":\"LIST\",\"x\":\"\\\"[[[[[[[[[[[[[[[[[[[[[\"}"));
}

static void auth_bears_a_token_and_no_fault_repeats_it(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"auth\",\"id\":1,\"data\":{\"token\":\"SECRET\"}}";
    static const char *const faults[] = {
        "{\"type\":\"AUTH\"}",
        "{\"type\":\"AUTH\",\"token\":\"SECRET\"}",
        "{\"type\":\"AUTH\",\"data\":{\"token\":[\"SECRET\"]}}",
        "{\"type\":\"AUTH\",\"data\":{\"token\":null}}",
    };
    struct request message;
    struct request_error fault;
    assert_true(request_parse(&message, (const uint8_t *)text, sizeof text - 1, &fault));
    assert_int_equal(message.type, REQUEST_AUTH);
    assert_int_equal(message.token_bytes, 6);
    assert_memory_equal(message.token, "SECRET", 6);
    request_deinit(&message);
    for (size_t i = 0; i < COUNT(faults); i++) {
        assert_false(
            request_parse(&message, (const uint8_t *)faults[i], strlen(faults[i]), &fault));
        assert_int_equal(fault.code, PROTOCOL_BAD_REQUEST);
        assert_string_equal(fault.field, "data.token");
        assert_null(strstr(fault.message, "SECRET"));
        request_deinit(&message);
    }
}

static void what_is_listed_of_the_symbols_is_checked(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"SYMBOLS\",\"data\":[]}", 107, "data"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":7}}", 107, "data.pattern"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"\"}}", 107, "data.pattern"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"*a*b*c*d*\"}}", 107, "data.pattern"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"0123456789012345678901234567890123\"}}",
         107, "data.pattern"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"after\":[]}}", 107, "data.after"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"after\":\"0123456789012345678901234567890123\"}}", 107,
         "data.after"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"limit\":0}}", 107, "data.limit"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"limit\":1001}}", 107, "data.limit"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"limit\":1.5}}", 107, "data.limit"},
        {"{\"type\":\"SYMBOLS\",\"data\":{\"limit\":\"9\"}}", 107, "data.limit"},
    };
    static const char all[] = "{\"type\":\"symbols\",\"data\":{\"pattern\":null}}";
    static const char page[] = "{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"6*\",\"after\":\"6\","
                               "\"limit\":1000}}";
    struct request message;
    struct request_error fault;
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(request_parse(&message, (const uint8_t *)all, sizeof all - 1, &fault));
    assert_string_equal(message.listing.pattern, "*");
    assert_string_equal(message.listing.after, "");
    assert_int_equal(message.listing.limit, 100);
    request_deinit(&message);
    assert_true(request_parse(&message, (const uint8_t *)page, sizeof page - 1, &fault));
    assert_string_equal(message.listing.pattern, "6*");
    assert_string_equal(message.listing.after, "6");
    assert_int_equal(message.listing.limit, 1000);
    request_deinit(&message);
}

static void types_that_are_not_offered_yet_are_told_from_unknown_ones(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"AUTH\"}", 107, "data.token"}, {"{\"type\":\"LAG\"}", 104, "type"},
        {"{\"type\":\"WELCOME\"}", 104, "type"},    {"{\"type\":\"\"}", 104, "type"},
        {"{\"type\":\"SUBSCRIBES\"}", 104, "type"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
}

#define SUBSCRIBE(rest) "{\"type\":\"SUBSCRIBE\",\"data\":{" rest "}}"
#define NAMES "\"symbols\":[\"A\"],\"data_types\":[\"quote\"]"

static void a_fault_in_subscribe_names_its_field(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"SUBSCRIBE\"}", 107, "data"},
        {SUBSCRIBE(""), 107, "data.symbols"},
        {SUBSCRIBE("\"data_types\":[\"quote\"]"), 107, "data.symbols"},
        {SUBSCRIBE("\"symbols\":[],\"data_types\":[\"quote\"]"), 107, "data.symbols"},
        {SUBSCRIBE("\"symbols\":{},\"data_types\":[\"quote\"]"), 107, "data.symbols"},
        {SUBSCRIBE("\"symbols\":[\"A\",7],\"data_types\":[\"quote\"]"), 107, "data.symbols[1]"},
        {SUBSCRIBE("\"symbols\":[\"A\"]"), 107, "data.data_types"},
        {SUBSCRIBE("\"symbols\":[\"A\"],\"data_types\":[]"), 107, "data.data_types"},
        {SUBSCRIBE("\"symbols\":[\"A\"],\"data_types\":7"), 107, "data.data_types"},
        {SUBSCRIBE("\"symbols\":[\"A\"],\"data_types\":\"tick\""), 121, "data.data_types"},
        {SUBSCRIBE("\"symbols\":[\"A\"],\"data_types\":[\"bar\",\"tick\"]"), 121,
         "data.data_types[1]"},
        {SUBSCRIBE("\"symbols\":[\"A\"],\"data_types\":[null]"), 107, "data.data_types[0]"},
        {SUBSCRIBE(NAMES ",\"snapshot\":1"), 107, "data.snapshot"},
        {SUBSCRIBE(NAMES ",\"delivery\":\"skip\""), 107, "data.delivery"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"on_lag\":\"drop\"}"), 107, "data.delivery.on_lag"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"on_lag\":7}"), 107, "data.delivery.on_lag"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"mode\":\"some\"}"), 107, "data.delivery.mode"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"mode\":1}"), 107, "data.delivery.mode"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
}

#define ALL_NAMES "\"symbols\":[\"A\"],\"data_types\":[\"quote\",\"bar\",\"depth\"]"
#define CONFLATED(interval) ",\"delivery\":{\"mode\":\"conflated\",\"interval_ms\":" interval "}"

static bool parse_anew(const char *text)
{
    request_deinit(&request);
    return parse(text);
}

static void depths_bars_and_intervals_are_those_that_are_offered(void **state)
{
    static const int depths[] = {5, 10, 20, 50};
    static const int intervals[] = {100, 200, 250, 500, 1000, 2000, 5000};
    static const char *const bars[] = {"1s", "1m", "5m"};
    char text[256];
    (void)state;
    for (size_t i = 0; i < COUNT(depths); i++) {
        snprintf(text, sizeof text, SUBSCRIBE(ALL_NAMES ",\"depth\":%d"), depths[i]);
        assert_true(parse_anew(text));
        assert_int_equal(request.variant.depth, depths[i]);
    }
    for (size_t i = 0; i < COUNT(intervals); i++) {
        snprintf(text, sizeof text, SUBSCRIBE(ALL_NAMES CONFLATED("%d")), intervals[i]);
        assert_true(parse_anew(text));
        assert_int_equal(request.variant.interval_ms, intervals[i]);
    }
    for (size_t i = 0; i < COUNT(bars); i++) {
        snprintf(text, sizeof text, SUBSCRIBE(ALL_NAMES ",\"bar\":\"%s\""), bars[i]);
        assert_true(parse_anew(text));
        assert_int_equal(request.variant.bar, i + 1);
    }
    assert_true(parse_anew(SUBSCRIBE(ALL_NAMES ",\"delivery\":{\"mode\":\"all\"}")));
    assert_true(variant_is_none(request.variant));
    assert_true(parse_anew("{\"type\":\"UNSUBSCRIBE\",\"data\":{" ALL_NAMES ",\"depth\":20}}"));
    assert_int_equal(request.variant.depth, 20);
}

static void other_depths_bars_and_intervals_are_refused(void **state)
{
    static const struct fault faults[] = {
        {SUBSCRIBE(ALL_NAMES ",\"depth\":1"), 123, "data.depth"},
        {SUBSCRIBE(ALL_NAMES ",\"depth\":-251"), 123, "data.depth"},
        {SUBSCRIBE(ALL_NAMES ",\"depth\":261"), 123, "data.depth"},
        {SUBSCRIBE(ALL_NAMES ",\"depth\":5.0"), 107, "data.depth"},
        {SUBSCRIBE(ALL_NAMES ",\"depth\":\"5\""), 107, "data.depth"},
        {SUBSCRIBE(NAMES ",\"depth\":5"), 107, "data.depth"},
        {SUBSCRIBE(ALL_NAMES ",\"bar\":\"2m\""), 123, "data.bar"},
        {SUBSCRIBE(ALL_NAMES ",\"bar\":\"\""), 123, "data.bar"},
        {SUBSCRIBE(ALL_NAMES ",\"bar\":60"), 107, "data.bar"},
        {SUBSCRIBE(NAMES ",\"bar\":\"1m\""), 107, "data.bar"},
        {SUBSCRIBE(ALL_NAMES CONFLATED("150")), 123, "data.delivery.interval_ms"},
        {SUBSCRIBE(ALL_NAMES CONFLATED("0")), 123, "data.delivery.interval_ms"},
        {SUBSCRIBE(ALL_NAMES CONFLATED("65636")), 123, "data.delivery.interval_ms"},
        {SUBSCRIBE(ALL_NAMES CONFLATED("\"100\"")), 107, "data.delivery.interval_ms"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"mode\":\"conflated\"}"), 107,
         "data.delivery.interval_ms"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"interval_ms\":100}"), 107, "data.delivery.interval_ms"},
        {SUBSCRIBE(NAMES ",\"delivery\":{\"mode\":\"all\",\"interval_ms\":100}"), 107,
         "data.delivery.interval_ms"},
        {"{\"type\":\"UNSUBSCRIBE\",\"data\":{\"data_types\":[\"depth\"],\"depth\":5}}", 107,
         "data.symbols"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
}

#define LIMIT(text) SUBSCRIBE(NAMES ",\"delivery\":{\"max_lag_ms\":" text "}")

static void a_limit_of_lag_is_a_number_of_milliseconds(void **state)
{
    static const struct fault faults[] = {
        {LIMIT("-1"), 107, "data.delivery.max_lag_ms"},
        {LIMIT("60001"), 107, "data.delivery.max_lag_ms"},
        {LIMIT("250.5"), 107, "data.delivery.max_lag_ms"},
        {LIMIT("\"250\""), 107, "data.delivery.max_lag_ms"},
        {LIMIT("9223372036854775807"), 107, "data.delivery.max_lag_ms"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(parse(LIMIT("60000")));
    assert_true(request.has_max_lag);
    assert_int_equal(request.max_lag_ms, 60000);
    request_deinit(&request);
    assert_true(parse(LIMIT("0")));
    assert_true(request.has_max_lag);
    assert_int_equal(request.max_lag_ms, 0);
    request_deinit(&request);
    assert_true(parse(LIMIT("null")));
    assert_false(request.has_max_lag);
}

#define SINCE(names, since) SUBSCRIBE(names ",\"since\":" since)
#define ONE "\"symbols\":[\"A\"],\"data_types\":[\"quote\"]"

static void since_is_of_one_channel(void **state)
{
    static const struct fault faults[] = {
        {SINCE(ONE, "7"), 107, "data.since"},
        {SINCE(ONE, "{\"seq\":1}"), 107, "data.since.epoch"},
        {SINCE(ONE, "{\"epoch\":1,\"seq\":1}"), 107, "data.since.epoch"},
        {SINCE(ONE, "{\"epoch\":\"x\"}"), 107, "data.since.seq"},
        {SINCE(ONE, "{\"epoch\":\"x\",\"seq\":-1}"), 107, "data.since.seq"},
        {SINCE(ONE, "{\"epoch\":\"x\",\"seq\":\"1\"}"), 107, "data.since.seq"},
        {SINCE("\"symbols\":[\"A\",\"B\"],\"data_types\":[\"quote\"]",
               "{\"epoch\":\"x\",\"seq\":1}"),
         107, "data.since"},
        {SINCE("\"symbols\":[\"A\"],\"data_types\":[\"quote\",\"bar\"]",
               "{\"epoch\":\"x\",\"seq\":1}"),
         107, "data.since"},
        {SINCE("\"symbols\":[\"A*\"],\"data_types\":[\"quote\"]", "{\"epoch\":\"x\",\"seq\":1}"),
         107, "data.since"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(parse(SINCE(ONE, "{\"epoch\":\"0123\",\"seq\":9223372036854775807}")));
    assert_string_equal(request.epoch, "0123");
    assert_true(request.since_seq == INT64_MAX);
    request_deinit(&request);
    assert_true(parse(SUBSCRIBE(NAMES)));
    assert_null(request.epoch);
}

#define RESUME(data) "{\"type\":\"RESUME\",\"data\":{" data "}}"
#define CURSORS(text) RESUME("\"epoch\":\"x\",\"cursors\":" text)

static void resume_has_cursors_of_channels(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"RESUME\"}", 107, "data.cursors"},
        {RESUME("\"epoch\":\"x\""), 107, "data.cursors"},
        {RESUME("\"cursors\":{\"1\":2}"), 107, "data.epoch"},
        {CURSORS("{}"), 107, "data.cursors"},
        {CURSORS("[1]"), 107, "data.cursors"},
        {CURSORS("{\"\":1}"), 107, "data.cursors"},
        {CURSORS("{\"A\":1}"), 107, "data.cursors"},
        {CURSORS("{\"1 \":1}"), 107, "data.cursors"},
        {CURSORS("{\"-1\":1}"), 107, "data.cursors"},
        {CURSORS("{\"1234567890\":1}"), 107, "data.cursors"},
        {CURSORS("{\"0\":2,\"00\":1}"), 107, "data.cursors"},
        {CURSORS("{\"07\":1}"), 107, "data.cursors"},
        {CURSORS("{\"+1\":1}"), 107, "data.cursors"},
        {CURSORS("{\" 1\":1}"), 107, "data.cursors"},
        {CURSORS("{\"1.0\":1}"), 107, "data.cursors"},
        {CURSORS("{\"1e0\":1}"), 107, "data.cursors"},
        {CURSORS("{\"1\":1,\"\\u0031\":2}"), 107, ""},
        {CURSORS("{\"1\":-1}"), 107, "data.cursors"},
        {CURSORS("{\"1\":1.0}"), 107, "data.cursors"},
        {CURSORS("{\"1\":null}"), 107, "data.cursors"},
        {CURSORS("{\"1\":5,\"2\":\"5\"}"), 107, "data.cursors"},
        {RESUME("\"epoch\":\"x\",\"cursors\":{\"1\":2},\"delivery\":{\"on_lag\":\"x\"}"), 107,
         "data.delivery.on_lag"},
        {RESUME("\"epoch\":\"x\",\"cursors\":{\"1\":2},"
                "\"delivery\":{\"mode\":\"conflated\",\"interval_ms\":100}"),
         107, "data.delivery.mode"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(parse(RESUME("\"epoch\":\"x\",\"cursors\":{\"7\":0,\"65535\":12},"
                             "\"delivery\":{\"on_lag\":\"skip\",\"max_lag_ms\":9}")));
    assert_int_equal(request.type, REQUEST_RESUME);
    assert_string_equal(request.epoch, "x");
    assert_int_equal(request.on_lag, REQUEST_SKIP);
    assert_int_equal(request.max_lag_ms, 9);
    assert_int_equal(request.cursor_count, 2);
    assert_int_equal(request_cursor(&request, 0).channel, 7);
    assert_int_equal(request_cursor(&request, 0).seq, 0);
    assert_int_equal(request_cursor(&request, 1).channel, 65535);
    assert_int_equal(request_cursor(&request, 1).seq, 12);
}

static void a_message_has_at_most_1000_cursors(void **state)
{
    char *text = malloc(CORE_MESSAGE_BYTES_MAX);
    (void)state;
    for (int count = 1000; count <= 1001; count++) {
        char *at = text + sprintf(text, "{\"type\":\"RESUME\",\"data\":{\"epoch\":\"x\","
                                        "\"cursors\":{\"0\":1");
        for (int i = 1; i < count; i++) {
            at += sprintf(at, ",\"%d\":12345", i);
        }
        strcpy(at, "}}}");
        assert_true(strlen(text) <= CORE_MESSAGE_BYTES_MAX);
        assert_int_equal(parse(text), count == 1000);
        request_deinit(&request);
    }
    assert_int_equal(error.code, 106);
    assert_string_equal(error.field, "data.cursors");
    free(text);
}

static void modify_and_snapshot_name_what_they_are_about(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"MODIFY\"}", 107, "data"},
        {"{\"type\":\"SNAPSHOT\"}", 107, "data"},
        {"{\"type\":\"MODIFY\",\"data\":{" ONE "}}", 107, "data.delivery"},
        {"{\"type\":\"MODIFY\",\"data\":{" ONE ",\"delivery\":{\"mode\":\"all\"}}}", 107,
         "data.delivery"},
        {"{\"type\":\"MODIFY\",\"data\":{\"symbols\":[\"A\"],\"delivery\":{}}}", 107,
         "data.data_types"},
        {"{\"type\":\"SNAPSHOT\",\"data\":{\"data_types\":[\"quote\"]}}", 107, "data.symbols"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(
        parse("{\"type\":\"Modify\",\"data\":{" ONE ",\"delivery\":{\"on_lag\":\"skip\"}}}"));
    assert_int_equal(request.type, REQUEST_MODIFY);
    assert_false(request.snapshot);
    request_deinit(&request);
    assert_true(parse("{\"type\":\"SNAPSHOT\",\"data\":{" ONE "}}"));
    assert_int_equal(request.type, REQUEST_SNAPSHOT);
}

#define REPLAY(data) "{\"type\":\"REPLAY\",\"data\":{" data "}}"
#define TWO "\"symbols\":[\"A\"],\"data_types\":[\"quote\",\"trade\"]"

static void a_replay_has_a_range_of_seqs_or_of_times(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"REPLAY\"}", 107, "data"},
        {REPLAY(ONE), 107, "data.from"},
        {REPLAY(ONE ",\"from\":-1"), 107, "data.from"},
        {REPLAY(ONE ",\"from\":\"1\""), 107, "data.from"},
        {REPLAY(TWO ",\"from\":1"), 107, "data.from"},
        {REPLAY("\"symbols\":[\"A\",\"B\"],\"data_types\":[\"quote\"],\"from\":1"), 107,
         "data.from"},
        {REPLAY(ONE ",\"from\":5,\"to\":4"), 107, "data.to"},
        {REPLAY(ONE ",\"from\":0,\"to\":0"), 107, "data.to"},
        {REPLAY(ONE ",\"from\":5,\"to\":\"6\""), 107, "data.to"},
        {REPLAY(ONE ",\"from\":5,\"to\":1732078800123456789"), 107, "data.to"},
        {REPLAY(TWO ",\"from\":1732078800123456789,\"to\":1732078800123456788"), 107, "data.to"},
        {REPLAY(ONE ",\"from\":5,\"speed\":-1"), 107, "data.speed"},
        {REPLAY(ONE ",\"from\":5,\"speed\":1001"), 107, "data.speed"},
        {REPLAY(ONE ",\"from\":5,\"speed\":\"1\""), 107, "data.speed"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
    assert_true(parse(REPLAY(ONE ",\"from\":5")));
    assert_int_equal(request.type, REQUEST_REPLAY);
    assert_true(request.range.is_by_seq);
    assert_int_equal(request.range.from, 5);
    assert_int_equal(request.range.to, 0);
    assert_true(request.range.speed == 0);
    request_deinit(&request);
    assert_true(parse(REPLAY(TWO ",\"from\":1732078800123456789,\"to\":1732078800123456789,"
                                 "\"speed\":0.5")));
    assert_false(request.range.is_by_seq);
    assert_true(request.range.from == UINT64_C(1732078800123456789));
    assert_true(request.range.to == UINT64_C(1732078800123456789));
    assert_true(request.range.speed == 0.5);
}

static void unsubscribe_of_symbols_needs_their_types(void **state)
{
    static const struct fault faults[] = {
        {"{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[\"A\"]}}", 107, "data.data_types"},
        {"{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[],\"data_types\":[\"bar\"]}}", 107,
         "data.symbols"},
    };
    (void)state;
    check_faults(faults, COUNT(faults));
}

static void a_message_has_at_most_1000_symbols(void **state)
{
    char *text = malloc(CORE_MESSAGE_BYTES_MAX);
    (void)state;
    for (int count = 1000; count <= 1001; count++) {
        char *at = text + sprintf(text, "{\"type\":\"SUBSCRIBE\",\"data\":{\"data_types\":"
                                        "[\"quote\"],\"symbols\":[\"A\"");
        for (int i = 1; i < count; i++) {
            at += sprintf(at, ",\"%06d.SZ\"", i);
        }
        strcpy(at, "]}}");
        assert_true(strlen(text) <= CORE_MESSAGE_BYTES_MAX);
        assert_int_equal(parse(text), count == 1000);
        request_deinit(&request);
    }
    assert_int_equal(error.code, 106);
    assert_string_equal(error.field, "data.symbols");
    free(text);
}

static void nothing_is_read_behind_the_message(void **state)
{
    static const char *const texts[] = {
        SUBSCRIBE(NAMES ",\"snapshot\":true"),
        CURSORS("{\"7\":12}"),
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t length = strlen(texts[i]);
        struct guard_page guard;
        guard_page_init(&guard, length);
        for (size_t bytes = 0; bytes <= length; bytes++) {
            uint8_t *copy = guard_page_copy(&guard, texts[i], bytes);
            assert_int_equal(request_parse(&request, copy, bytes, &error), bytes == length);
            request_deinit(&request);
        }
        guard_page_deinit(&guard);
    }
}

static void what_a_fault_quotes_is_ascii(void **state)
{
    char text[300] = "{\"type\": \"\xe5\xb9\xb3\" ";
    (void)state;
    for (int i = 0; i < 60; i++) {
        strcat(text, "\xe5\xb9\xb3");
    }
    assert_false(parse(text));
    for (const char *at = error.message; *at != '\0'; at++) {
        assert_in_range((unsigned char)*at, ' ', '~');
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_short_form_is_understood),
        TEST(every_field_is_understood),
        TEST(a_symbol_that_is_named_again_is_marked),
        TEST(one_string_stands_for_a_list_of_one),
        TEST(unsubscribe_and_list_need_no_data),
        TEST(an_id_is_echoed_as_it_came),
        TEST(the_longest_id_fits_however_it_is_escaped),
        TEST(a_fault_after_the_id_keeps_the_id),
        TEST(a_zero_in_a_string_is_refused_in_plain_words),
        TEST(what_is_no_json_keeps_an_id_that_can_be_read),
        TEST(ping_keeps_t0_as_it_came),
        TEST(a_number_that_no_parser_holds_matters_only_where_it_is_used),
        TEST(what_is_no_message_is_a_bad_request),
        TEST(brackets_in_a_string_are_no_depth),
        TEST(auth_bears_a_token_and_no_fault_repeats_it),
        TEST(what_is_listed_of_the_symbols_is_checked),
        TEST(types_that_are_not_offered_yet_are_told_from_unknown_ones),
        TEST(a_fault_in_subscribe_names_its_field),
        TEST(depths_bars_and_intervals_are_those_that_are_offered),
        TEST(other_depths_bars_and_intervals_are_refused),
        TEST(a_limit_of_lag_is_a_number_of_milliseconds),
        TEST(since_is_of_one_channel),
        TEST(resume_has_cursors_of_channels),
        TEST(a_message_has_at_most_1000_cursors),
        TEST(modify_and_snapshot_name_what_they_are_about),
        TEST(a_replay_has_a_range_of_seqs_or_of_times),
        TEST(unsubscribe_of_symbols_needs_their_types),
        TEST(a_message_has_at_most_1000_symbols),
        TEST(nothing_is_read_behind_the_message),
        TEST(what_a_fault_quotes_is_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
