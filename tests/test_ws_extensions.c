#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "codec/ws_extensions.h"
#include "tests/guard_page.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEST_BYTES_MAX 4096

#define D "permessage-deflate"
#define SN "server_no_context_takeover"
#define CN "client_no_context_takeover"
#define SB "server_max_window_bits"
#define CB "client_max_window_bits"
#define SHARED D "; " SN "; " CN

/* What a broadcaster wants, and what an echo. */
static const struct ws_deflate_policy shared = {.no_takeover = true, .server_window_bits_min = 15};
static const struct ws_deflate_policy any = {.server_window_bits_min = 8};

/* NULL: declined. */
struct offer_case {
    const char *header;
    const char *shared_answer;
    const char *any_answer;
};

static const struct offer_case offer_cases[] = {
    {"", NULL, NULL},
    {" ,\t, ", NULL, NULL},
    {D, SHARED, D},
    {D "; " CB, SHARED, D}, /* browsers */
    {D ";" SN ";" CN, SHARED, SHARED},
    {D "; " CN, SHARED, D "; " CN},
    {D "; " SN, SHARED, D "; " SN},
    {D "; " SB "=15", SHARED "; " SB "=15", D "; " SB "=15"},
    {D "; " SB "=14", NULL, D "; " SB "=14"},
    {D "; " SB "=8", NULL, D "; " SB "=8"},
    {D "; " SB "=9; " CB "=8; " CN "; " SN, NULL, SHARED "; " SB "=9; " CB "=8"},
    {D "; " CB "=10", SHARED "; " CB "=10", D "; " CB "=10"},
    {D "; " CB "=15", SHARED "; " CB "=15", D "; " CB "=15"},

    /* Quotes, escapes and blanks change nothing. */
    {D "; " SB "=\"15\"", SHARED "; " SB "=15", D "; " SB "=15"},
    {D "; " SB "=\"\\1\\0\"", NULL, D "; " SB "=10"},
    {" \t" D "\t ;\t" SB " = \t 12\t;" CN " ", NULL, D "; " CN "; " SB "=12"},

    /* The first that can be met counts; the others are passed over. */
    {D "; " SB "=9, " D, SHARED, D "; " SB "=9"},
    {D "; " SB "=9," D "; " SB "=10", NULL, D "; " SB "=9"},
    {D "; x, " D "; " CN, SHARED, D "; " CN},
    {"x-webkit-deflate-frame, " D, SHARED, D},
    {"a; b=c; d=\"e\", ,f ,, " D ",", SHARED, D},
    {"bbf-usp-protocol, x", NULL, NULL},

    /* RFC 7692: to be declined. */
    {D "; unknown", NULL, NULL},
    {D "; unknown=1", NULL, NULL},
    {D "; unknown; " CN, NULL, NULL},
    {"x; " CN "; " SB "=9", NULL, NULL},
    {D "; " SN "; " SN, NULL, NULL},
    {D "; " CN "; " CN, NULL, NULL},
    {D "; " SB "=15; " SB "=15", NULL, NULL},
    {D "; " CB "; " CB "=15", NULL, NULL},
    {D "; " SN "=1", NULL, NULL},
    {D "; " CN "=true", NULL, NULL},
    {D "; " SB, NULL, NULL},
    {D "; " SB "=7", NULL, NULL},
    {D "; " SB "=16", NULL, NULL},
    {D "; " SB "=08", NULL, NULL},
    {D "; " SB "=010", NULL, NULL},
    {D "; " SB "=150", NULL, NULL},
    {D "; " SB "=1", NULL, NULL},
    {D "; " SB "=+9", NULL, NULL},
    {D "; " SB "=1x", NULL, NULL},
    {D "; " SB "=2147483656", NULL, NULL},
    {D "; " CB "=0", NULL, NULL},
    {D "; " CB "=16", NULL, NULL},
    {D "; " CB "=\"7\"", NULL, NULL},

    /* Names are compared to the letter. */
    {"Permessage-Deflate", NULL, NULL},
    {"permessage-deflat", NULL, NULL},
    {"permessage-deflate2", NULL, NULL},
    {D "; Server_No_Context_Takeover", NULL, NULL},
};

static const char *const malformed_cases[] = {
    ";",
    ";" D,
    D ";",
    D "; ;" SN,
    D "; =1",
    D "; " SB "=",
    D "; " SB "=;" SN,
    D "; " SB "=,",
    D "; " SB "==1",
    D "; " SB "=1=1",
    D "; " SB "=\"",
    D "; " SB "=\"15",
    D "; " SB "=\"15\\",
    D "; " SB "=\"15\\\"",
    D "; " SB "=\"\"",
    D "; " SB "=\"1 5\"",
    D "; " SB "=\"15\"5",
    D "; " SB "=5\"15\"",
    D "; " SB " 15",
    D " " D,
    D "/1",
    D "=1",
    "(comment)",
    "\"" D "\"",
    D ", " D "\x01",
    D "\xc3\xa9",
    D "; " SN "\r",
    "x, y z",
};

static void check_answer(const char *header, const struct ws_deflate_policy *policy,
                         const struct ws_deflate_offers *offers, const char *expected)
{
    char answer[WS_DEFLATE_ANSWER_BYTES_MAX];
    struct ws_deflate_terms terms = ws_extensions_negotiate(offers, policy);
    if (!terms.is_on) {
        assert_false(terms.server_no_takeover || terms.client_no_takeover);
        if (expected != NULL) {
            fail_msg("%s: declined", header);
        }
        return;
    }
    ws_extensions_answer(answer, &terms);
    if (expected == NULL || strcmp(answer, expected) != 0) {
        fail_msg("%s: %s, not %s", header, answer, expected == NULL ? "declined" : expected);
    }
}

static bool parse(const struct guard_page *guard, const char *text, size_t bytes,
                  struct ws_deflate_offers *offers)
{
    return ws_extensions_parse(offers, (const char *)guard_page_copy(guard, text, bytes), bytes);
}

static void each_offer_gets_its_answer(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, TEST_BYTES_MAX);
    for (size_t i = 0; i < COUNT(offer_cases); i++) {
        const struct offer_case *the_case = &offer_cases[i];
        struct ws_deflate_offers offers = {0};
        if (!parse(&guard, the_case->header, strlen(the_case->header), &offers)) {
            fail_msg("%s: malformed", the_case->header);
        }
        check_answer(the_case->header, &shared, &offers, the_case->shared_answer);
        check_answer(the_case->header, &any, &offers, the_case->any_answer);
    }
    guard_page_deinit(&guard);
}

static void what_is_not_well_formed_is_told(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, TEST_BYTES_MAX);
    for (size_t i = 0; i < COUNT(malformed_cases); i++) {
        struct ws_deflate_offers offers = {0};
        if (parse(&guard, malformed_cases[i], strlen(malformed_cases[i]), &offers)) {
            fail_msg("%s: well-formed", malformed_cases[i]);
        }
    }
    struct ws_deflate_offers offers = {0};
    assert_false(parse(&guard, D "\0", sizeof D, &offers));
    guard_page_deinit(&guard);
}

static void a_client_s_own_answer_is_understood_and_answered_alike(void **state)
{
    (void)state;
    for (int bits = 0; bits < 64; bits++) {
        char text[WS_DEFLATE_ANSWER_BYTES_MAX];
        char again[WS_DEFLATE_ANSWER_BYTES_MAX];
        struct ws_deflate_terms terms = {
            .is_on = true,
            .server_no_takeover = bits & 1,
            .client_no_takeover = bits & 2,
            .server_window_bits = bits & 4 ? 8 + bits / 8 : 0,
            .client_window_bits = bits & 4 ? 0 : 15 - bits / 8,
        };
        struct ws_deflate_offers offers = {0};
        ws_extensions_answer(text, &terms);
        assert_true(ws_extensions_parse(&offers, text, strlen(text)));
        struct ws_deflate_terms agreed = ws_extensions_negotiate(&offers, &any);
        ws_extensions_answer(again, &agreed);
        assert_string_equal(text, again);
    }
}

static void header_lines_are_one_list(void **state)
{
    (void)state;
    struct ws_deflate_offers offers = {0};
    assert_true(ws_extensions_parse(&offers, "x", 1));
    assert_true(ws_extensions_parse(&offers, D "; " SB "=9", strlen(D "; " SB "=9")));
    assert_true(ws_extensions_parse(&offers, D, strlen(D)));
    check_answer("three lines", &shared, &offers, SHARED);
    check_answer("three lines", &any, &offers, D "; " SB "=9");
}

static void offers_beyond_the_limit_are_passed_over(void **state)
{
    (void)state;
    char text[TEST_BYTES_MAX] = "";
    struct ws_deflate_offers offers = {0};
    for (int i = 0; i < 2 * WS_DEFLATE_OFFERS_MAX; i++) {
        strcat(text, i == 0 ? D "; " SB "=9" : ", " D "; " SB "=9");
    }
    strcat(text, ", " D);
    assert_true(ws_extensions_parse(&offers, text, strlen(text)));
    assert_int_equal(offers.count, WS_DEFLATE_OFFERS_MAX);
    check_answer(text, &shared, &offers, NULL);
    check_answer(text, &any, &offers, D "; " SB "=9");
}

static void the_longest_answer_has_room(void **state)
{
    (void)state;
    char answer[WS_DEFLATE_ANSWER_BYTES_MAX];
    struct ws_deflate_terms terms = {true, true, true, 15, 15};
    ws_extensions_answer(answer, &terms);
    assert_string_equal(answer, SHARED "; " SB "=15; " CB "=15");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_offer_gets_its_answer),
        cmocka_unit_test(what_is_not_well_formed_is_told),
        cmocka_unit_test(a_client_s_own_answer_is_understood_and_answered_alike),
        cmocka_unit_test(header_lines_are_one_list),
        cmocka_unit_test(offers_beyond_the_limit_are_passed_over),
        cmocka_unit_test(the_longest_answer_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
