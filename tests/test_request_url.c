#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/handshake_head.h"
#include "src/request/request_keys.h"
#include "src/request/request_url.h"
#include "tests/guard_page.h"

static struct request request;
static struct request_error error;
static char told[4000];

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    size_t bytes = strlen(told);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(told + bytes, sizeof told - bytes, format, arguments);
    va_end(arguments);
}

/* Each name: its symbol, and each of its types with its variant. */
static void tell_names(void)
{
    for (uint32_t i = 0; i < request.symbol_count; i++) {
        size_t bytes;
        const char *symbol = request_symbol(&request, i, &bytes);
        assert_int_equal(strlen(symbol), bytes);
        tell("%s%s:", i == 0 ? "" : " ", symbol);
        for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
            struct variant variant = request_variant_of(&request, i, (enum md_type)type);
            if ((request_types_of(&request, i) & (1u << type)) == 0) {
                continue;
            }
            tell("%s,", md_type_name((enum md_type)type));
            if (variant.depth != 0) {
                tell("%u,", variant.depth);
            }
            if (variant.bar != 0) {
                tell("%s,", variant_bar_name(variant.bar));
            }
            if (variant.interval_ms != 0) {
                tell("%ums,", variant.interval_ms);
            }
        }
        tell("%s", request_is_repeated(&request, i) ? "again" : "");
    }
}

/* What a URL is read as: names and settings, or "CODE FIELD: MESSAGE"; then keys not used. */
static const char *read_url(const char *url)
{
    struct guard_page guard;
    size_t bytes = strlen(url);
    guard_page_init(&guard, HANDSHAKE_TARGET_BYTES_MAX);
    const char *copy = (const char *)guard_page_copy(&guard, url, bytes);
    told[0] = '\0';
    bool is_good = request_url_parse(&request, copy, bytes, &error);
    guard_page_deinit(&guard);
    assert_int_equal(is_good, error.code == PROTOCOL_OK);
    if (!is_good) {
        tell("%d %s: %s", (int)error.code, error.field, error.message);
    } else if (request.type == REQUEST_NONE) {
        tell("nothing");
    } else {
        tell_names();
        tell("%s", request.snapshot ? "" : " no snapshot");
        tell(request.has_on_lag ? " %s" : "%s",
             request.has_on_lag ? request_on_lag_name(request.on_lag) : "");
    }
    if (is_good && request.has_max_lag) {
        tell(" max %u", request.max_lag_ms);
    }
    if (request_keys_count(&request) > 0) {
        tell(" (%u not used)", request_keys_count(&request));
    }
    request_deinit(&request);
    return told;
}

struct url_case {
    const char *url, *expected;
};

static void check(const struct url_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(read_url(cases[i].url), cases[i].expected);
    }
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof((cases)[0]))

static void names_of_the_path_have_their_own_types_and_variants(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"/000001.SZ@quote", "000001.SZ:quote,"},
        {"/000001.SZ@quote/AAPL.US@TRADE/", "000001.SZ:quote, AAPL.US:trade,"},
        {"/A@depth5/A@depth20@100ms/A@bar1m/A@quote@500MS",
         "A:depth,5, A:depth,20,100ms, A:bar,1m, A:quote,500ms,"},
        {"/A@quote/B@quote/A@quote/A@trade", "A:quote, B:quote, A:quote,again A:trade,"},
        {"/*@quote/6*.SH@trade", "*:quote, 6*.SH:trade,"},
        {"/@quote", ":quote,"},
        {"/A@trade@500ms", "A:trade,500ms,"}, /* refused as a name, not as a URL */
    };
    CHECK(cases);
}

static void names_are_percent_decoded_and_read_from_their_end(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"/000001.SZ%40quote", "000001.SZ:quote,"},
        {"/A%2FB@quote", "A/B:quote,"},
        {"/A%25b%2c+c@quote", "A%b,+c:quote,"},
        {"/A@B@quote", "A@B:quote,"},
        {"/A%40quote@trade", "A@quote:trade,"},
        {"/%E8%B4%B5%E5%B7%9E@quote", "\xe8\xb4\xb5\xe5\xb7\x9e:quote,"},
        {"?symbols=A%2CB,C&types=quote%2Ctrade", "A:quote,trade, B:quote,trade, C:quote,trade,"},
        {"?symbols=A+B,C%2BD&types=quote", "A B:quote, C+D:quote,"},
        {"?%73ymbols=A&types=%71uote", "A:quote,"},
    };
    CHECK(cases);
}

static void a_query_has_the_settings_of_subscribe(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"?symbols=A,B&types=quote", "A:quote, B:quote,"},
        {"?types=quote&symbols=A&types=trade&symbols=B", "A:quote,trade, B:quote,trade,"},
        {"/?symbols=A&types=depth&depth=5", "A:depth,5,"},
        {"?symbols=A&types=depth,quote,bar&depth=5&bar=1m&interval_ms=500",
         "A:quote,500ms,bar,1m,500ms,depth,5,500ms,"},
        {"?symbols=A&types=quote&mode=conflated&interval_ms=100", "A:quote,100ms,"},
        {"?symbols=A&types=quote&mode=all&on_lag=disconnect&max_lag_ms=250&snapshot=false",
         "A:quote, no snapshot disconnect max 250"},
        {"/A@depth/B@depth20?depth=5&on_lag=SKIP&snapshot=true", "A:depth,5, B:depth,20, skip"},
        {"/A@quote?symbols=B&types=trade", "A:quote, B:trade,"},
        {"?symbols=A&types=quote&depth=&bar=&interval_ms=&mode=&snapshot", "A:quote,"},
    };
    CHECK(cases);
}

static void what_subscribe_refuses_is_refused_with_the_key_at_fault(void **state)
{
    (void)state;
#define TYPES "unknown data type; valid: quote, trade, bar, depth, status"
    static const struct url_case cases[] = {
        {"/A", "107 path[0]: write SYMBOL@TYPE, such as AAPL.US@quote"},
        {"/A@quote//B@quote", "107 path[1]: write SYMBOL@TYPE, such as AAPL.US@quote"},
        {"/A@500ms", "107 path[0]: write SYMBOL@TYPE, such as AAPL.US@quote"},
        {"/A@", "121 path[0]: " TYPES},
        {"/A@quote/B@quotes", "121 path[1]: " TYPES},
        {"/A@quote5", "121 path[0]: " TYPES},
        {"/A@depth7", "123 path[0]: depth must be 5, 10, 20 or 50: depth5"},
        {"/A@depth5x", "123 path[0]: depth must be 5, 10, 20 or 50: depth5"},
        {"/A@depth4294967301", "123 path[0]: depth must be 5, 10, 20 or 50: depth5"},
        {"/A@bar2m", "123 path[0]: bar must be 1s, 1m or 5m: bar1m"},
        {"/A@quote@300ms",
         "123 path[0]: the interval must be 100, 200, 250, 500, 1000, 2000 or 5000 ms"},
        {"/A@quote@4294967396ms",
         "123 path[0]: the interval must be 100, 200, 250, 500, 1000, 2000 or 5000 ms"},
        {"/A%@quote", "107 path[0]: not percent-encoded UTF-8"},
        {"/A%4@quote", "107 path[0]: not percent-encoded UTF-8"},
        {"/A%00@quote", "107 path[0]: not percent-encoded UTF-8"},
        {"/%ff@quote", "107 path[0]: not percent-encoded UTF-8"},
        {"?symbols=%e8%b4&types=quote", "107 symbols: not percent-encoded UTF-8"},
        {"?symbols=A&types=%", "107 types: not percent-encoded UTF-8"},
        {"?symbols=A", "107 types: types is missing; valid: quote, trade, bar, depth, status"},
        {"?symbols=&types=quote", "107 symbols: write names: /SYMBOL@TYPE, or symbols=A,B"},
        {"?depth=5", "107 symbols: write names: /SYMBOL@TYPE, or symbols=A,B"},
        {"/A@quote?types=trade", "107 symbols: write names: /SYMBOL@TYPE, or symbols=A,B"},
        {"?symbols=A&types=quote,,trade", "121 types: " TYPES},
        {"?symbols=A&types=depth&depth=7", "123 depth: depth must be 5, 10, 20 or 50"},
        {"?symbols=A&types=depth&depth=x", "107 depth: depth must be an integer"},
        {"?symbols=A&types=depth&depth=-5", "107 depth: depth must be an integer"},
        {"?symbols=A&types=depth&depth=00000000000000000005",
         "107 depth: depth must be an integer"},
        {"?symbols=A&types=depth&depth=5&depth=5", "107 depth: depth is given twice"},
        {"?symbols=A&types=quote&depth=5", "107 depth: depth needs the data type depth"},
        {"?symbols=A&types=bar&bar=2m", "123 bar: bar must be 1s, 1m or 5m"},
        {"?symbols=A&types=quote&mode=all&interval_ms=500",
         "107 interval_ms: interval_ms needs mode conflated"},
        {"?symbols=A&types=quote&mode=conflated",
         "107 interval_ms: mode conflated needs interval_ms: 100, 200, 250, 500, 1000, 2000 or "
         "5000"},
        {"?symbols=A&types=quote&on_lag=wait",
         "107 on_lag: on_lag must be skip, conflate or disconnect"},
        {"?symbols=A&types=quote&max_lag_ms=60001",
         "107 max_lag_ms: max_lag_ms must be 0 (no limit) to 60000"},
        {"?symbols=A&types=quote&snapshot=1", "107 snapshot: snapshot must be true or false"},
    };
    CHECK(cases);
}

static void a_query_of_other_keys_asks_for_nothing(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"", "nothing"},
        {"/", "nothing"},
        {"?", "nothing"},
        {"?&&=&=x", "nothing"},
        {"?x=1&ts=17320788001", "nothing (2 not used)"},
        {"?token=%zz", "nothing"},
        {"/?%zz=%zz&x", "nothing (2 not used)"},
        {"/A@quote?token=secret&x=1&label", "A:quote, (2 not used)"},
        {"?symbol=A&type=quote",
         "107 symbols: write names: /SYMBOL@TYPE, or symbols=A,B (2 not used)"},
    };
    CHECK(cases);
}

static void a_misspelt_key_is_warned_of_by_its_name(void **state)
{
    (void)state;
    static const char url[] = "/A@depth?dept=5&token=x&%22=1";
    struct reply reply = {0};
    assert_true(request_url_parse(&request, url, sizeof url - 1, &error));
    request_keys_warn(&request, &reply);
    static const char expected[] =
        ",\"warnings\":[{\"field\":\"dept\",\"message\":\"the URL does not use it; did you mean "
        "depth?\"},{\"field\":\"\\\"\",\"message\":\"the URL does not use it\"}]";
    assert_int_equal(reply.bytes, sizeof expected - 1);
    assert_memory_equal(reply.text, expected, reply.bytes);
    reply_deinit(&reply);
    request_deinit(&request);
}

/* As many names as fit, and one more than a SUBSCRIBE may have. */
static void a_url_has_at_most_a_thousand_names(void **state)
{
    (void)state;
    char url[HANDSHAKE_TARGET_BYTES_MAX + 1] = "?types=status&symbols=";
    size_t begin = strlen(url);
    memset(url + begin, 'A', sizeof url - 1 - begin);
    for (size_t i = begin + 1; i < sizeof url - 1; i += 2) {
        url[i] = ',';
    }
    url[begin + 1999] = '\0';
    assert_true(request_url_parse(&request, url, strlen(url), &error));
    assert_int_equal(request.symbol_count, 1000);
    assert_true(request_is_repeated(&request, 999));
    request_deinit(&request);
    url[begin + 1999] = ',';
    url[begin + 2001] = '\0';
    assert_string_equal(read_url(url), "106 symbols: at most 1000 names per URL");
}

/* Random beginnings of parts, put together: nothing is read or written out of bounds. */
static void whatever_is_put_together_has_a_verdict(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "/",   "A",       "@",   "quote", "depth5", "%2C",    ",",           "%2",
        "?",   "symbols", "=",   "types", "&",      "on_lag", "interval_ms", "500",
        "%E8", "+",       "bar", "1m",    "token",  "*",      "x",           "%00"};
    srandom(1);
    for (int round = 0; round < 5000; round++) {
        char url[512] = "";
        for (long left = random() % 30; left > 0; left--) {
            strcat(url, parts[(size_t)random() % (sizeof parts / sizeof parts[0])]);
        }
        const char *begin = url + strcspn(url, "/?");
        read_url(begin);
        assert_true(told[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_the_path_have_their_own_types_and_variants),
        cmocka_unit_test(names_are_percent_decoded_and_read_from_their_end),
        cmocka_unit_test(a_query_has_the_settings_of_subscribe),
        cmocka_unit_test(what_subscribe_refuses_is_refused_with_the_key_at_fault),
        cmocka_unit_test(a_query_of_other_keys_asks_for_nothing),
        cmocka_unit_test(a_misspelt_key_is_warned_of_by_its_name),
        cmocka_unit_test(a_url_has_at_most_a_thousand_names),
        cmocka_unit_test(whatever_is_put_together_has_a_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
