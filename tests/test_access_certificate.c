/*
 * What a client certificate opens. Its names are compared as test_certificate_name.c says; that
 * TLS finds the names is tested in test_tls_handshake.c.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/access/access.h"

#define WALL_S UINT64_C(1800000000)
#define WALL_NS (WALL_S * NS_PER_SECOND)
#define HOUR_S 3600
#define DESK "\"name\":\"desk\",\"certificate\":\"uri:spiffe://example/desk-1\""
#define HOST "\"name\":\"host\",\"certificate\":\"dns:desk-1.example.com\""
#define TOKEN "\"name\":\"token\",\"token\":\"full-token-0123456789\""
#define BEARER(token) "Authorization: Bearer " token "\r\n"
#define BEARER_TOKEN BEARER("full-token-0123456789")

static struct access *access_made;
static struct access_desk desk;
static struct access_grant grant;

/* One that replaces what there is, which stays: it is the caller's. */
static struct access *policy_after(struct access *before, const char *tokens)
{
    char path[64];
    char error[512] = "";
    struct access *made = NULL;
    int fd = memfd_create("tokens", 0);
    assert_int_equal(write(fd, tokens, strlen(tokens)), strlen(tokens));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct access_options options = {
        .enable_auth = true, .asks_certificates = true, .tokens_file = path};
    if (access_renew(&made, before, &options, &(struct keyed_hash){{1, 2}}, error, sizeof error) !=
        0) {
        fail_msg("%s", error);
    }
    close(fd);
    return made;
}

static void use(const char *tokens)
{
    access_made = policy_after(NULL, tokens);
    assert_int_equal(access_desk_open(&desk), 0);
}

static int tear_down(void **state)
{
    (void)state;
    access_drop_grant(&grant);
    access_desk_close(&desk);
    access_destroy(access_made);
    return 0;
}

static uint64_t wall_ns = WALL_NS;

/* names: one behind the other. */
static struct access_answer ask_until(const char *headers, const char *names, uint32_t name_count,
                                      uint64_t not_after_s)
{
    char head[1000];
    struct access_kept *kept = NULL;
    struct access_certificate certificate = {
        .not_after_s = not_after_s, .names = names, .name_count = name_count};
    int bytes = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    struct access_request request = {.head = (const uint8_t *)head,
                                     .head_bytes = (size_t)bytes,
                                     .certificate = name_count == 0 ? NULL : &certificate};
    access_drop_grant(&grant);
    struct access_answer answer =
        access_authenticate_request(access_made, &desk, &request, wall_ns, &kept, &grant);
    assert_null(kept);
    return answer;
}

static enum access_verdict ask(const char *headers, const char *names, uint32_t name_count)
{
    return ask_until(headers, names, name_count, WALL_S + HOUR_S).verdict;
}

/* S22 */
static void a_certificate_opens_what_its_entry_says(void **state)
{
    (void)state;
    use("{\"tokens\":[{" DESK ",\"symbols\":[\"*.SZ\"]}]}");
    assert_int_equal(ask("", "cn:x\0uri:spiffe://example/desk-1", 2), ACCESS_OK);
    assert_string_equal(grant.name, "desk");
    assert_string_equal(access_grant_certificate(&grant), "uri:spiffe://example/desk-1");
    assert_true(scope_covers(grant.scope, "1.SZ", 4, MD_QUOTE));
    assert_false(scope_covers(grant.scope, "1.SH", 4, MD_QUOTE));
}

static void a_certificate_without_an_entry_is_as_none(void **state)
{
    (void)state;
    static const char *const strangers[] = {
        "uri:spiffe://example/desk-10",
        "uri:spiffe://example/desk-",
        "uri:spiffe://Example/desk-1",
        "cn:uri:spiffe://example/desk-1",
        "dns:*.example.com",
        "dns:example.com",
        "",
        "uri:",
    };
    use("{\"tokens\":[{" DESK "},{" HOST "},{" TOKEN "}]}");
    assert_int_equal(ask("", NULL, 0), ACCESS_NO_TOKEN);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        if (ask("", strangers[i], 1) != ACCESS_NO_TOKEN) {
            fail_msg("%s", strangers[i]);
        }
    }
}

static void domains_match_in_any_case(void **state)
{
    (void)state;
    use("{\"tokens\":[{\"name\":\"a\",\"certificate\":\"dns:DESK-1.example.com\"},"
        "{\"name\":\"b\",\"certificate\":\"email:One@Example.com\"}]}");
    assert_int_equal(ask("", "dns:desk-1.EXAMPLE.com", 1), ACCESS_OK);
    assert_int_equal(ask("", "email:One@EXAMPLE.COM", 1), ACCESS_OK);
    assert_int_equal(ask("", "email:one@example.com", 1), ACCESS_NO_TOKEN);
}

/* Whatever the order of the names in the certificate. */
static void of_two_entries_the_first_in_the_file_counts(void **state)
{
    (void)state;
    use("{\"tokens\":[{" HOST "},{" DESK "}]}");
    assert_int_equal(ask("", "uri:spiffe://example/desk-1\0dns:desk-1.example.com", 2), ACCESS_OK);
    assert_string_equal(grant.name, "host");
    assert_int_equal(ask("", "dns:desk-1.example.com\0uri:spiffe://example/desk-1", 2), ACCESS_OK);
    assert_string_equal(grant.name, "host");
}

static void of_many_names_so_many_are_compared(void **state)
{
    (void)state;
    static char names[16 * (ACCESS_CERTIFICATE_NAMES_MAX + 2)];
    char *at = names;
    use("{\"tokens\":[{\"name\":\"a\",\"certificate\":\"dns:n255\"},"
        "{\"name\":\"b\",\"certificate\":\"dns:n256\"}]}");
    for (int i = 0; i < ACCESS_CERTIFICATE_NAMES_MAX; i++) {
        at += sprintf(at, "dns:n%d", i == ACCESS_CERTIFICATE_NAMES_MAX - 1 ? 255 : 1000 + i) + 1;
    }
    strcpy(at, "dns:n256");
    assert_int_equal(ask("", names, ACCESS_CERTIFICATE_NAMES_MAX), ACCESS_OK);
    assert_int_equal(ask("", names, ACCESS_CERTIFICATE_NAMES_MAX + 1), ACCESS_OK);
    assert_string_equal(grant.name, "a");
    strcpy(at - strlen("dns:n255") - 1, "dns:n254");
    assert_int_equal(ask("", names, ACCESS_CERTIFICATE_NAMES_MAX + 1), ACCESS_NO_TOKEN);
}

static void a_token_wins_even_a_wrong_one(void **state)
{
    (void)state;
    static const char names[] = "uri:spiffe://example/desk-1";
    use("{\"tokens\":[{" DESK "},{" TOKEN "}]}");
    assert_int_equal(ask(BEARER_TOKEN, names, 1), ACCESS_OK);
    assert_string_equal(grant.name, "token");
    assert_null(access_grant_certificate(&grant));
    assert_int_equal(grant.life_ns, UINT64_MAX);
    assert_int_equal(ask(BEARER("wrong-token-0123456789"), names, 1), ACCESS_BAD_TOKEN);
    assert_int_equal(ask(BEARER_TOKEN BEARER_TOKEN, names, 1), ACCESS_BAD_TOKEN);
    assert_int_equal(ask("Authorization: Basic YTpi\r\n", names, 1), ACCESS_OK);
    assert_string_equal(grant.name, "desk");
}

/* A client that says the name instead of proving it. */
static void the_name_of_a_certificate_is_no_token(void **state)
{
    (void)state;
    static const char text[] = "uri:spiffe://example/desk-1";
    struct access_token token = {.text = text, .bytes = strlen(text)};
    use("{\"tokens\":[{" DESK "},{" TOKEN "}]}");
    assert_int_equal(ask(BEARER("uri:spiffe://example/desk-1"), NULL, 0), ACCESS_BAD_TOKEN);
    assert_int_equal(access_authenticate(access_made, &desk, &token, WALL_NS, &grant).verdict,
                     ACCESS_BAD_TOKEN);
    assert_int_equal(ask("", "full-token-0123456789", 1), ACCESS_NO_TOKEN);
}

static void the_grant_ends_when_the_certificate_does(void **state)
{
    (void)state;
    static const char names[] = "dns:desk-1.example.com";
    const uint64_t leeway_ns = JWT_LEEWAY_SECONDS * NS_PER_SECOND;
    use("{\"tokens\":[{" HOST "}]}");
    assert_int_equal(ask_until("", names, 1, WALL_S + HOUR_S).verdict, ACCESS_OK);
    assert_int_equal(grant.expires_s, WALL_S + HOUR_S);
    assert_int_equal(grant.life_ns, HOUR_S * NS_PER_SECOND + leeway_ns);
    assert_int_equal(ask_until("", names, 1, WALL_S - JWT_LEEWAY_SECONDS + 1).verdict, ACCESS_OK);
    assert_int_equal(grant.life_ns, NS_PER_SECOND);
    struct access_answer answer = ask_until("", names, 1, WALL_S - JWT_LEEWAY_SECONDS);
    assert_int_equal(answer.verdict, ACCESS_EXPIRED);
    assert_string_equal(answer.text, "the client certificate has expired");
    assert_int_equal(ask_until("", names, 1, 0).verdict, ACCESS_EXPIRED);
    assert_int_equal(ask_until("", names, 1, UINT64_MAX).verdict, ACCESS_OK);
    assert_true(grant.life_ns < UINT64_MAX / 2);
    assert_int_equal(ask_until("", "dns:other", 1, 0).verdict, ACCESS_NO_TOKEN);
}

/* As on a board without a battery, until it has asked for the time. */
static void a_clock_that_begins_in_1970_ends_nothing_early(void **state)
{
    (void)state;
    use("{\"tokens\":[{" HOST "}]}");
    wall_ns = NS_PER_SECOND;
    enum access_verdict verdict = ask_until("", "dns:desk-1.example.com", 1, WALL_S).verdict;
    wall_ns = WALL_NS;
    assert_int_equal(verdict, ACCESS_OK);
}

static void connections_of_an_entry_are_limited(void **state)
{
    (void)state;
    use("{\"tokens\":[{" HOST ",\"max_connections\":1}]}");
    assert_int_equal(ask("", "dns:desk-1.example.com", 1), ACCESS_OK);
    struct access_grant first = grant;
    grant = (struct access_grant){0};
    assert_int_equal(ask("", "dns:desk-1.example.com", 1), ACCESS_TOO_MANY);
    access_drop_grant(&first);
    assert_int_equal(ask("", "dns:desk-1.example.com", 1), ACCESS_OK);
}

static enum access_change judge(const char *tokens)
{
    struct access *after = policy_after(access_made, tokens);
    enum access_change change = access_judge(after, &grant);
    access_destroy(access_made);
    access_made = after;
    return change;
}

/* S22 */
static void a_reload_judges_certificates_as_it_does_tokens(void **state)
{
    (void)state;
    use("{\"tokens\":[{" HOST ",\"max_connections\":1}]}");
    assert_int_equal(ask("", "dns:desk-1.example.com\0uri:spiffe://example/desk-1", 2), ACCESS_OK);
    assert_int_equal(judge("{\"tokens\":[{" DESK "},{" HOST ",\"max_connections\":1}]}"),
                     ACCESS_KEPT);
    assert_string_equal(grant.name, "host");
    assert_int_equal(grant.expires_s, WALL_S + HOUR_S);
    struct access_grant first = grant;
    grant = (struct access_grant){0};
    assert_int_equal(ask("", "dns:desk-1.example.com", 1), ACCESS_TOO_MANY); /* still counted */
    grant = first;
    assert_int_equal(judge("{\"tokens\":[{" HOST ",\"symbols\":[\"A\"]}]}"), ACCESS_OTHER);
    assert_false(scope_covers(grant.scope, "B", 1, MD_QUOTE));
    assert_int_equal(judge("{\"tokens\":[{\"name\":\"host\",\"token\":"
                           "\"dns:desk-1.example.com\"}]}"),
                     ACCESS_REVOKED);
    assert_null(grant.scope);
}

static void an_entry_with_a_certificate_needs_a_port_that_asks_for_one(void **state)
{
    (void)state;
    static const char text[] = "{\"tokens\":[{" HOST "}]}";
    char path[64];
    char error[512] = "";
    struct access *made;
    int fd = memfd_create("tokens", 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct access_options options = {.enable_auth = true, .tokens_file = path};
    assert_int_equal(access_create(&made, &options, &(struct keyed_hash){{1, 2}}, error, 512),
                     -EINVAL);
    assert_non_null(strstr(error, "--tokens-file: an entry has a certificate"));
    assert_non_null(strstr(error, "add --tls-client-auth and --tls-client-ca"));
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_opens_what_its_entry_says),
        TEST(a_certificate_without_an_entry_is_as_none),
        TEST(domains_match_in_any_case),
        TEST(of_two_entries_the_first_in_the_file_counts),
        TEST(of_many_names_so_many_are_compared),
        TEST(a_token_wins_even_a_wrong_one),
        TEST(the_name_of_a_certificate_is_no_token),
        TEST(the_grant_ends_when_the_certificate_does),
        TEST(a_clock_that_begins_in_1970_ends_nothing_early),
        TEST(connections_of_an_entry_are_limited),
        TEST(a_reload_judges_certificates_as_it_does_tokens),
        cmocka_unit_test(an_entry_with_a_certificate_needs_a_port_that_asks_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
