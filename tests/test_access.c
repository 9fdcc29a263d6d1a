#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/access/access.h"
#include "tests/guard_page.h"

#define NOW_NS (1000 * NS_PER_SECOND)
#define WALL_NS (UINT64_C(1800000000) * NS_PER_SECOND)
#define TOKEN "full-token-0123456789"

static struct access *access_made;
static struct access_desk desk;
static struct access_kept *kept;

static struct access *make(const struct access_options *options)
{
    char error[512] = "";
    if (access_create(&access_made, options, &(struct keyed_hash){{1, 2}}, error, sizeof error) !=
        0) {
        fail_msg("%s", error);
    }
    return access_made;
}

static int tear_down(void **state)
{
    (void)state;
    if (access_made != NULL) {
        access_destroy(access_made);
        access_made = NULL;
    }
    return 0;
}

static struct peer source_of(const char *text)
{
    struct peer source = {0};
    assert_true(ip_address_parse(&source.address, text, strlen(text)));
    return source;
}

static const struct peer unix_source = {.is_unix = true};

/* A request with these header lines, in the memory of the test. */
static struct access_request ask(const char *target, const char *headers)
{
    static char head[4096];
    int bytes =
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, headers);
    return (struct access_request){.head = (const uint8_t *)head, .head_bytes = (size_t)bytes};
}

/* ---- Addresses ---- */

static void the_client_is_whom_believed_hops_name(void **state)
{
    (void)state;
    struct access_options options = {.trusted_proxies = "10.0.0.0/8,2001:db8::/32"};
    struct access *access = make(&options);
    static const struct {
        const char *peer, *headers, *client;
    } cases[] = {
        {"192.0.2.1", "X-Forwarded-For: 198.51.100.1\r\n", "192.0.2.1"},
        {"192.0.2.1", "X-Real-IP: 198.51.100.1\r\n", "192.0.2.1"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "X-Real-IP: 198.51.100.1\r\n", "198.51.100.1"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1"},
        {"10.0.0.1", "x-forwarded-for:198.51.100.1 ,10.1.1.1,\t2001:db8::1\r\n", "198.51.100.1"},
        {"10.0.0.1", "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n", "198.51.100.1"},
        {"10.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.1, 10.2.2.2\r\n",
         "198.51.100.1"},
        {"10.0.0.1", "X-Forwarded-For: 10.6.6.6, 198.51.100.1\r\n", "198.51.100.1"},
        {"10.0.0.1", "X-Forwarded-For: 10.6.6.6\r\n", "10.6.6.6"},
        {"10.0.0.1", "X-Forwarded-For: \r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1,\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1, unknown\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: unknown\r\nX-Real-IP: 198.51.100.1\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db9::1]:4000\r\n", "2001:db9::1"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1:4000\r\n", "198.51.100.1"},
        {"::ffff:10.0.0.1", "X-Forwarded-For: ::ffff:198.51.100.1\r\n", "198.51.100.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer = source_of(cases[i].peer);
        struct access_request request = ask("/", cases[i].headers);
        struct peer client = access_client(access, &peer, &request);
        char text[IP_ADDRESS_TEXT_BYTES_MAX];
        ip_address_format(&client.address, text);
        if (strcmp(text, cases[i].client) != 0) {
            fail_msg("%s with %s: %s", cases[i].peer, cases[i].headers, text);
        }
    }
    struct access_request request = ask("/", "X-Forwarded-For: 198.51.100.1\r\n");
    assert_true(access_client(access, &unix_source, &request).is_unix);
}

static void hops_are_not_followed_for_ever(void **state)
{
    (void)state;
    struct access_options options = {.trusted_proxies = "10.0.0.0/8"};
    struct access *access = make(&options);
    char headers[2000] = "X-Forwarded-For: 6.6.6.6";
    for (int i = 0; i < PEERS_HOPS_MAX; i++) {
        strcat(headers, ",10.0.0.9");
    }
    strcat(headers, "\r\n");
    struct peer peer = source_of("10.0.0.1");
    struct access_request request = ask("/", headers);
    struct peer client = access_client(access, &peer, &request);
    struct peer last = source_of("10.0.0.9");
    assert_true(ip_address_equal(&client.address, &last.address));
}

static void limits_spare_this_host_and_trusted_proxies_unless_given(void **state)
{
    (void)state;
    struct access_options options = {.rate_limit_enabled = true, .trusted_proxies = "10.0.0.1"};
    struct access *access = make(&options);
    uint32_t entry;
    struct peer sources[] = {source_of("127.0.0.1"), source_of("::1"), unix_source,
                             source_of("10.0.0.1")};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        for (int n = 0; n < 100; n++) {
            assert_int_equal(access_accept(access, &sources[i], NOW_NS, &entry).verdict, ACCESS_OK);
            assert_int_equal(entry, RATE_NONE);
        }
        bool is_proxy = i == 3;
        assert_int_equal(access_message_rate(access, &sources[i]).interval_ns != 0, is_proxy);
    }
    struct peer other = source_of("192.0.2.1");
    for (int n = 0; n < 20; n++) {
        assert_int_equal(access_accept(access, &other, NOW_NS, &entry).verdict, ACCESS_OK);
        access_leave(access, entry);
    }
    struct access_answer answer = access_accept(access, &other, NOW_NS, &entry);
    assert_int_equal(answer.verdict, ACCESS_TOO_FAST);
    assert_int_equal(answer.wait_ns, NS_PER_SECOND / 10);

    access_destroy(access);
    options.ip_connections_max = 3;
    options.messages_per_s = 7;
    access = make(&options);
    for (int n = 0; n < 3; n++) {
        assert_int_equal(access_accept(access, &sources[0], NOW_NS, &entry).verdict, ACCESS_OK);
    }
    assert_int_equal(access_accept(access, &sources[0], NOW_NS, &entry).verdict, ACCESS_TOO_MANY);
    assert_int_equal(access_message_rate(access, &sources[0]).burst, 14);
    assert_int_equal(access_message_rate(access, &unix_source).burst, 14);

    access_destroy(access);
    options.rate_limit_enabled = false;
    access = make(&options);
    for (int n = 0; n < 100; n++) {
        assert_int_equal(access_accept(access, &other, NOW_NS, &entry).verdict, ACCESS_OK);
    }
    assert_int_equal(access_message_rate(access, &other).interval_ns, 0);
}

/* ---- Tokens ---- */

static enum access_verdict authenticate(struct access *access, const char *target,
                                        const char *headers)
{
    struct access_grant grant = {0};
    struct access_request request = ask(target, headers);
    struct access_answer answer =
        access_authenticate_request(access, &desk, &request, WALL_NS, &kept, &grant);
    if (answer.verdict == ACCESS_OK) {
        assert_string_equal(grant.name, "auth-token");
        access_drop_grant(&grant);
    }
    return answer.verdict;
}

static void a_token_comes_in_one_header_or_an_allowed_query(void **state)
{
    (void)state;
    struct access_options options = {
        .enable_auth = true, .auth_token = TOKEN, .allow_query_token = true};
    struct access *access = make(&options);
    static const struct {
        const char *target, *headers;
        enum access_verdict verdict;
    } cases[] = {
        {"/", "", ACCESS_NO_TOKEN},
        {"/", "Authorization: Bearer " TOKEN "\r\n", ACCESS_OK},
        {"/", "authorization:bearer " TOKEN " \r\n", ACCESS_OK},
        {"/", "Authorization: Bearer\r\n", ACCESS_BAD_TOKEN},
        {"/", "Authorization: Bearer  " TOKEN "\r\n", ACCESS_OK},
        {"/", "Authorization:\tBEARER \t " TOKEN "\t\r\n", ACCESS_OK},
        {"/", "Authorization: Bearer " TOKEN " x\r\n", ACCESS_BAD_TOKEN},
        {"/", "Authorization: Bearer" TOKEN "\r\n", ACCESS_BAD_TOKEN},
        {"/", "Authorization:\r\n", ACCESS_BAD_TOKEN},
        {"/", "Authorization: Basic YTpi\r\n", ACCESS_NO_TOKEN},
        {"/", "Authorization: Basic\tYTpi\r\n", ACCESS_NO_TOKEN},
        {"/", "Authorization: Bearerx " TOKEN "\r\n", ACCESS_NO_TOKEN},
        {"/", "Authorization: Basic YTpi\r\nAuthorization: Bearer " TOKEN "\r\n", ACCESS_BAD_TOKEN},
        {"/?token=" TOKEN, "Authorization: Basic YTpi\r\n", ACCESS_OK},
        {"http://a/?token=" TOKEN, "", ACCESS_OK},
        {"/", "Authorization: " TOKEN "\r\n", ACCESS_BAD_TOKEN},
        {"/", "Authorization: Bearer " TOKEN "\r\nAuthorization: Bearer " TOKEN "\r\n",
         ACCESS_BAD_TOKEN},
        {"/?token=" TOKEN, "Authorization: Bearer x\r\n", ACCESS_BAD_TOKEN},
        {"/?token=" TOKEN, "", ACCESS_OK},
        {"/?a=b&token=" TOKEN "&c", "", ACCESS_OK},
        {"/?token=full%2dtoken-0123456789", "", ACCESS_OK},
        {"/?token=full%2-token-0123456789", "", ACCESS_BAD_TOKEN},
        {"/?token=" TOKEN "%", "", ACCESS_BAD_TOKEN},
        {"/?token=" TOKEN "%0", "", ACCESS_BAD_TOKEN},
        {"/?token=", "", ACCESS_NO_TOKEN},
        {"/?token", "", ACCESS_NO_TOKEN},
        {"/?", "", ACCESS_NO_TOKEN},
        {"/?atoken=" TOKEN, "", ACCESS_NO_TOKEN},
        {"/token=" TOKEN, "", ACCESS_NO_TOKEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum access_verdict verdict = authenticate(access, cases[i].target, cases[i].headers);
        if (verdict != cases[i].verdict) {
            fail_msg("%s %s: %d", cases[i].target, cases[i].headers, verdict);
        }
    }
    access_destroy(access);
    options.allow_query_token = false;
    access = make(&options);
    assert_int_equal(authenticate(access, "/?token=" TOKEN, ""), ACCESS_NO_TOKEN);
}

static void a_head_without_a_target_has_no_token(void **state)
{
    (void)state;
    struct access_options options = {
        .enable_auth = true, .auth_token = TOKEN, .allow_query_token = true};
    struct access *access = make(&options);
    static const char *const heads[] = {"", "G", "GET", "\r\n", "GET\r\n\r\n"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct access_grant grant;
        struct access_request request = {.head = (const uint8_t *)heads[i],
                                         .head_bytes = strlen(heads[i])};
        assert_int_equal(
            access_authenticate_request(access, &desk, &request, WALL_NS, &kept, &grant).verdict,
            ACCESS_NO_TOKEN);
    }
}

static void nothing_is_read_behind_the_head(void **state)
{
    (void)state;
    struct access_options options = {.enable_auth = true,
                                     .auth_token = TOKEN,
                                     .allow_query_token = true,
                                     .allowed_origins = "https://example.com",
                                     .trusted_proxies = "::/0"};
    struct access *access = make(&options);
    struct guard_page guard;
    struct peer peer = source_of("10.0.0.1");
    guard_page_init(&guard, 4096);
    static const char *const targets[] = {"/?token=%", "/?token=%2", "/?toke", "/"};
    static const char *const headers[] = {"Origin:\r\n", "X-Forwarded-For: [::1\r\n",
                                          "X-Real-IP: [\r\n", "X-Forwarded-For: 1:\r\n",
                                          "Authorization: Bearer \r\n"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 5; j++) {
            struct access_grant grant;
            uint32_t entry;
            struct access_request request = ask(targets[i], headers[j]);
            request.head = guard_page_copy(&guard, request.head, request.head_bytes);
            (void)access_client(access, &peer, &request);
            (void)access_ask(access, &peer, false, &request, NOW_NS, &entry);
            assert_int_not_equal(
                access_authenticate_request(access, &desk, &request, WALL_NS, &kept, &grant)
                    .verdict,
                ACCESS_OK);
        }
    }
    guard_page_deinit(&guard);
}

static void an_origin_must_be_one_of_those_listed(void **state)
{
    (void)state;
    struct access_options options = {.allowed_origins = "https://a.example, http://b.example:81"};
    struct access *access = make(&options);
    static const struct {
        const char *headers;
        bool may;
    } cases[] = {
        {"", true},
        {"Origin: https://a.example\r\n", true},
        {"Origin: http://b.example:81\r\n", true},
        {"Origin: http://b.example\r\n", false},
        {"Origin: null\r\n", false},
        {"Origin:\r\n", false},
        {"Origin: https://a.example\r\nOrigin: https://a.example\r\n", false},
    };
    struct peer client = source_of("192.0.2.1");
    uint32_t entry;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct access_request request = ask("/", cases[i].headers);
        enum access_verdict verdict =
            access_ask(access, &client, false, &request, NOW_NS, &entry).verdict;
        assert_int_equal(verdict == ACCESS_OK, cases[i].may);
    }
    access_destroy(access);
    options.allowed_origins = "*";
    access = make(&options);
    struct access_request request = ask("/", "Origin: null\r\n");
    assert_int_equal(access_ask(access, &client, false, &request, NOW_NS, &entry).verdict,
                     ACCESS_OK);
}

/* ---- Signatures ---- */

/* RFC 7515, appendix A.1; it has no claim "ringcast". */
#define RFC_WALL_NS (UINT64_C(1300819379) * NS_PER_SECOND)
#define RFC_KEY                                                                                    \
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"                      \
    "EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}"
#define RFC_TOKEN                                                                                  \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogI"   \
    "mh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

static struct access *make_with_rfc_key(void)
{
    char path[64];
    int fd = memfd_create("keys", 0);
    assert_true(write(fd, RFC_KEY, sizeof RFC_KEY - 1) == sizeof RFC_KEY - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct access_options options = {.enable_auth = true, .jwt_key_file = path};
    struct access *access = make(&options);
    close(fd);
    assert_int_equal(access_desk_open(&desk), 0);
    return access;
}

static enum access_verdict ask_with(struct access *access, const char *token, uint64_t wall_ns)
{
    char headers[4000];
    struct access_grant grant = {0};
    snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token);
    struct access_request request = ask("/", headers);
    return access_authenticate_request(access, &desk, &request, wall_ns, &kept, &grant).verdict;
}

static void a_right_signature_is_checked_once(void **state)
{
    (void)state;
    struct access *access = make_with_rfc_key();
    desk.handshakes.units_left = 0;
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_LATER);
    access_forget_kept(&desk, &kept);
    (void)access_desk_begin_turn(&desk);
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_FORBIDDEN);
    assert_int_equal(access_desk_begin_turn(&desk), JWT_HS256_UNITS);
    desk.handshakes.units_left = 0;
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_FORBIDDEN);
    /* All else is looked at each time. */
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS + 60 * NS_PER_SECOND), ACCESS_EXPIRED);
    assert_int_equal(desk.handshakes.checked_count, 1);
    access_desk_close(&desk);
}

static void a_wrong_signature_is_checked_each_time(void **state)
{
    (void)state;
    char wrong[] = RFC_TOKEN;
    struct access *access = make_with_rfc_key();
    wrong[sizeof wrong - 3] ^= 1;
    for (uint32_t i = 1; i <= 3; i++) {
        (void)access_desk_begin_turn(&desk);
        assert_int_equal(ask_with(access, wrong, RFC_WALL_NS), ACCESS_BAD_TOKEN);
        assert_int_equal(desk.handshakes.checked_count, i);
    }
    access_desk_close(&desk);
}

static void handshakes_and_auths_have_a_share_each(void **state)
{
    (void)state;
    struct access *access = make_with_rfc_key();
    struct access_grant grant;
    struct access_token token = {.text = RFC_TOKEN, .bytes = sizeof RFC_TOKEN - 1};
    (void)access_desk_begin_turn(&desk);
    desk.auths.units_left = 0;
    assert_int_equal(access_authenticate(access, &desk, &token, RFC_WALL_NS, &grant).verdict,
                     ACCESS_LATER);
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_FORBIDDEN);
    access_desk_close(&desk);
}

static void only_so_many_requests_wait(void **state)
{
    (void)state;
    static struct access_kept *all[ACCESS_KEPT_MAX];
    struct access *access = make_with_rfc_key();
    desk.handshakes.units_left = 0;
    for (uint32_t i = 0; i < ACCESS_KEPT_MAX; i++) {
        assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_LATER);
        all[i] = kept;
        kept = NULL;
    }
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_TOO_FAST);
    assert_null(kept);
    kept = all[0]; /* Who waits goes on to do so. */
    assert_int_equal(ask_with(access, RFC_TOKEN, RFC_WALL_NS), ACCESS_LATER);
    for (uint32_t i = 0; i < ACCESS_KEPT_MAX; i++) {
        access_forget_kept(&desk, &all[i]);
    }
    kept = NULL;
    access_desk_close(&desk);
}

static void a_wrong_token_counts_as_several_handshakes(void **state)
{
    (void)state;
    struct access_options options = {.rate_limit_enabled = true, .ip_handshakes_per_s = 10};
    struct access *access = make(&options);
    struct peer client = source_of("192.0.2.1");
    uint32_t entry;
    uint32_t more;
    assert_int_equal(access_accept(access, &client, NOW_NS, &entry).verdict, ACCESS_OK);
    for (uint32_t i = 0; i < 4; i++) { /* of 20 at once, 1 + 4 * 4 are used up */
        access_punish(access, &client, entry, NOW_NS);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(access_accept(access, &client, NOW_NS, &more).verdict, ACCESS_OK);
    }
    assert_int_equal(access_accept(access, &client, NOW_NS, &more).verdict, ACCESS_TOO_FAST);
    access_punish(access, &unix_source, RATE_NONE, NOW_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_client_is_whom_believed_hops_name, tear_down),
        cmocka_unit_test_teardown(hops_are_not_followed_for_ever, tear_down),
        cmocka_unit_test_teardown(limits_spare_this_host_and_trusted_proxies_unless_given,
                                  tear_down),
        cmocka_unit_test_teardown(a_token_comes_in_one_header_or_an_allowed_query, tear_down),
        cmocka_unit_test_teardown(a_head_without_a_target_has_no_token, tear_down),
        cmocka_unit_test_teardown(nothing_is_read_behind_the_head, tear_down),
        cmocka_unit_test_teardown(an_origin_must_be_one_of_those_listed, tear_down),
        cmocka_unit_test_teardown(a_right_signature_is_checked_once, tear_down),
        cmocka_unit_test_teardown(a_wrong_signature_is_checked_each_time, tear_down),
        cmocka_unit_test_teardown(handshakes_and_auths_have_a_share_each, tear_down),
        cmocka_unit_test_teardown(only_so_many_requests_wait, tear_down),
        cmocka_unit_test_teardown(a_wrong_token_counts_as_several_handshakes, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
