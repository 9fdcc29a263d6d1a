#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/access/publish_access.h"
#include "tests/base64url.h"

#define NOW_S UINT64_C(1800000000)
#define NOW_NS (NOW_S * NS_PER_SECOND + 500 * NS_PER_MS)
#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER_SECRET "fedcba9876543210fedcba9876543210"
#define CHECKS_OF_A_POLL (ACCESS_SIGNATURE_UNITS / JWT_HS256_UNITS)

#define READER "reader-0123456789abcdef"
#define DESK "desk-0123456789abcdef00"
#define WRITER "writer-0123456789abcdef"

static const char tokens[] =
    "{\"tokens\":["
    "{\"name\":\"reader\",\"token\":\"" READER "\",\"max_connections\":1},"
    "{\"name\":\"desk 1\\n\",\"token\":\"" DESK "\",\"symbols\":[\"*.US\"],\"max_connections\":2,"
    "\"publish\":{\"symbols\":[\"MY.*\",\"X\"],\"types\":[\"quote\",\"trade\"]}},"
    "{\"name\":\"writer\",\"token\":\"" WRITER "\",\"symbols\":[],\"publish\":{}}]}";

static struct access *access_made;
static struct publish_access *publish;
static const struct feed_admission *admission;

/* A file with this text; close() removes it. */
static int file_of(const char *text, char path[64])
{
    int fd = memfd_create("secret", 0);
    assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static void make_with(const struct access_options *options)
{
    char error[512] = "";
    struct keyed_hash hash = {{1, 2}};
    if (access_create(&access_made, options, &hash, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    publish = publish_access_create(access_made);
    assert_non_null(publish);
    admission = publish_access_admission(publish);
}

/* The tokens above, and two keys for JWTs. */
static void make(void)
{
    char tokens_path[64];
    char keys_path[64];
    char keys[256];
    char other[64];
    char secret[64];
    EVP_EncodeBlock((uint8_t *)other, (const uint8_t *)OTHER_SECRET, 30);
    EVP_EncodeBlock((uint8_t *)secret, (const uint8_t *)SECRET, 30);
    (void)snprintf(
        keys, sizeof keys,
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%sAAAA\"},{\"kty\":\"oct\",\"k\":\"%sAAAA\"}"
        "]}",
        other, secret);
    int tokens_fd = file_of(tokens, tokens_path);
    int keys_fd = file_of(keys, keys_path);
    struct access_options options = {.enable_auth = true,
                                     .tokens_file = tokens_path,
                                     .jwt_key_file = keys_path,
                                     .jwt_audience = "ringcast"};
    make_with(&options);
    close(tokens_fd);
    close(keys_fd);
}

static int tear_down(void **state)
{
    (void)state;
    publish_access_destroy(publish);
    publish = NULL;
    if (access_made != NULL) {
        access_destroy(access_made);
        access_made = NULL;
    }
    return 0;
}

static int admit_at(const char *token, uint64_t now_ns, struct feed_grant *grant)
{
    const char *fault = NULL;
    int error = admission->admit(admission->context, token, strlen(token), now_ns, grant, &fault);
    assert_non_null(fault);
    assert_null(strstr(fault, token));
    return error;
}

/* The answer for a token, which is dropped. */
static int judge(const char *token)
{
    struct feed_grant grant = {0};
    int error = admit_at(token, NOW_NS, &grant);
    if (error == 0) {
        admission->drop_grant(admission->context, &grant);
    }
    assert_null(grant.handle);
    return error;
}

static bool may(const struct feed_grant *grant, const char *symbol, enum md_type type)
{
    return admission->may_publish(admission->context, grant, symbol, strlen(symbol), type);
}

/* ---- JWTs ---- */

/* Signed by the second key; ends: how many seconds from now. */
static const char *jwt_of(int ends, const char *claims)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    static char token[2048];
    char text[1024];
    uint8_t key[33] = "";
    uint8_t signature[32];
    unsigned int signature_bytes = 0;
    memcpy(key, SECRET, 30); /* and three zeroes, "AAAA" */
    size_t at = base64url_encode(token, header, sizeof header - 1);
    token[at++] = '.';
    int bytes = snprintf(text, sizeof text, "{\"exp\":%lld%s}", (long long)NOW_S + ends, claims);
    at += base64url_encode(token + at, text, (size_t)bytes);
    HMAC(EVP_sha256(), key, sizeof key, (uint8_t *)token, at, signature, &signature_bytes);
    token[at++] = '.';
    base64url_encode(token + at, signature, signature_bytes);
    return token;
}

/* ---- Tests ---- */

static void a_token_without_publish_may_not_publish(void **state)
{
    (void)state;
    make();
    for (int i = 0; i < 3; i++) { /* No connection stays counted. */
        assert_int_equal(judge(READER), -EPERM);
    }
    assert_int_equal(judge(jwt_of(60, ",\"ringcast\":{}")), -EPERM);
}

static void the_one_token_of_a_server_may_not_publish(void **state)
{
    (void)state;
    struct access_options options = {.enable_auth = true, .auth_token = READER};
    make_with(&options);
    assert_true(admission->needs_token);
    assert_int_equal(judge(READER), -EPERM);
}

static void a_producer_publishes_what_its_token_lists(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make();
    assert_int_equal(admit_at(DESK, NOW_NS, &grant), 0);
    assert_true(grant.expires_ns == UINT64_MAX);
    assert_string_equal(grant.name, "desk?1?");
    assert_true(may(&grant, "MY.A", MD_QUOTE));
    assert_true(may(&grant, "MY.", MD_TRADE));
    assert_true(may(&grant, "X", MD_TRADE));
    assert_false(may(&grant, "X", MD_BAR));
    assert_false(may(&grant, "XY", MD_QUOTE));
    assert_false(may(&grant, "", MD_QUOTE));
    assert_false(may(&grant, "AAPL.US", MD_QUOTE)); /* It may be read. */
    assert_false(may(&grant, "*", MD_QUOTE));
    admission->drop_grant(admission->context, &grant);
}

static void what_publish_leaves_out_is_not_restricted(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make();
    assert_int_equal(admit_at(WRITER, NOW_NS, &grant), 0);
    for (int type = 0; type < MD_TYPE_COUNT; type++) {
        assert_true(may(&grant, "ANY", (enum md_type)type));
    }
    admission->drop_grant(admission->context, &grant);
}

static void connections_of_producers_and_clients_count_together(void **state)
{
    (void)state;
    struct feed_grant grants[2] = {{0}};
    struct access_desk desk;
    struct access_token token = {.text = DESK, .bytes = strlen(DESK)};
    struct access_grant client;
    make();
    assert_int_equal(access_desk_open(&desk), 0);
    assert_int_equal(access_authenticate(access_made, &desk, &token, NOW_NS, &client).verdict,
                     ACCESS_OK);
    assert_int_equal(admit_at(DESK, NOW_NS, &grants[0]), 0);
    assert_int_equal(admit_at(DESK, NOW_NS, &grants[1]), -EUSERS);
    access_drop_grant(&client);
    assert_int_equal(admit_at(DESK, NOW_NS, &grants[1]), 0);
    admission->drop_grant(admission->context, &grants[0]);
    admission->drop_grant(admission->context, &grants[1]);
    access_desk_close(&desk);
}

static void a_jwt_has_its_own_end_and_name(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make();
    assert_int_equal(admit_at(jwt_of(60, ",\"sub\":\"desk\\u00e9 7\",\"ringcast\":{\"symbols\":[],"
                                         "\"publish\":{\"symbols\":[\"MY.*\"]}}"),
                              NOW_NS, &grant),
                     0);
    assert_true(grant.expires_ns == (NOW_S + 60 + JWT_LEEWAY_SECONDS) * NS_PER_SECOND);
    assert_string_equal(grant.name, "desk???7");
    assert_true(may(&grant, "MY.A", MD_STATUS));
    assert_false(may(&grant, "YOURS", MD_STATUS));
    admission->drop_grant(admission->context, &grant);
}

static void a_wrong_token_is_refused_by_its_kind(void **state)
{
    (void)state;
    static char huge[TOKEN_BYTES_MAX + 2];
    char forged[2048];
    make();
    memset(huge, 'a', sizeof huge - 1);
    snprintf(forged, sizeof forged, "%s", jwt_of(60, ",\"ringcast\":{\"publish\":{}}"));
    assert_int_equal(judge(forged), 0);
    forged[strlen(forged) - 3] ^= 1;
    assert_int_equal(judge(forged), -EACCES);
    assert_int_equal(judge("#"), -EACCES);
    assert_int_equal(judge("reader-0123456789abcdeg"), -EACCES);
    assert_int_equal(judge(huge), -EACCES);
    assert_int_equal(judge("a.b.c"), -EACCES);
    assert_int_equal(judge(jwt_of(-60, ",\"ringcast\":{\"publish\":{}}")), -EKEYEXPIRED);
    assert_int_equal(judge(jwt_of(60, "")), -EPERM);
    assert_int_equal(judge(jwt_of(60, ",\"ringcast\":{\"publish\":{\"symbol\":[\"A\"]}}")), -EPERM);
    assert_int_equal(judge(jwt_of(60, ",\"ringcast\":{\"publish\":true}")), -EPERM);
}

/* Two keys are tried for a token without kid. */
static void a_poll_checks_so_many_signatures_and_the_next_goes_on(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    uint64_t now_ns = NOW_NS;
    char token[2048];
    make();
    for (int i = 0; i < CHECKS_OF_A_POLL - 1; i += 2) {
        snprintf(token, sizeof token, "%s", jwt_of(60 + i, ""));
        token[strlen(token) - 3] ^= 1;
        assert_int_equal(admit_at(token, now_ns, &grant), -EACCES);
        grant = (struct feed_grant){0};
    }
    snprintf(token, sizeof token, "%s", jwt_of(60, ",\"ringcast\":{\"publish\":{}}"));
    assert_int_equal(admit_at(token, now_ns, &grant), -EAGAIN);
    assert_int_equal(admit_at(token, now_ns, &grant), -EAGAIN);
    assert_null(grant.handle);
    assert_int_equal(admit_at(token, ++now_ns, &grant), 0);
    admission->drop_grant(admission->context, &grant);
}

static void a_signature_goes_on_with_the_next_key(void **state)
{
    (void)state;
    struct feed_grant grant = {.key_next = 1};
    char token[2048];
    make();
    snprintf(token, sizeof token, "%s", jwt_of(1000, ",\"ringcast\":{\"publish\":{}}"));
    assert_int_equal(admit_at(token, NOW_NS, &grant), 0); /* one check */
    admission->drop_grant(admission->context, &grant);
    for (int i = 1; i < CHECKS_OF_A_POLL - 1; i += 2) {
        snprintf(token, sizeof token, "%s", jwt_of(60 + i, ""));
        token[strlen(token) - 3] ^= 1;
        assert_int_equal(judge(token), -EACCES); /* two checks */
    }
    snprintf(token, sizeof token, "%s", jwt_of(60, ",\"ringcast\":{\"publish\":{}}"));
    assert_int_equal(admit_at(token, NOW_NS, &grant), -EAGAIN);
    assert_int_equal(grant.key_next, 1);
    assert_int_equal(admit_at(token, NOW_NS + 1, &grant), 0);
    admission->drop_grant(admission->context, &grant);
}

static void a_server_without_tokens_needs_none(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make_with(&(struct access_options){0});
    assert_false(admission->needs_token);
    assert_true(may(&grant, "X", MD_QUOTE));
    admission->drop_grant(admission->context, &grant);
}

/* ---- A policy that replaces another ---- */

/* Takes over these tokens, NULL: none is needed; what was there before is freed. */
static void replace(const char *list)
{
    char path[64] = "";
    char error[512] = "";
    struct keyed_hash hash = {{1, 2}};
    struct access *next = NULL;
    int fd = list == NULL ? -1 : file_of(list, path);
    uint64_t revision = admission->revision;
    struct access_options options = {.enable_auth = list != NULL,
                                     .tokens_file = list == NULL ? NULL : path};
    if (access_renew(&next, access_made, &options, &hash, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    publish_access_poll(publish); /* Nothing is offered yet. */
    assert_int_equal(admission->revision, revision);
    publish_access_offer(publish, next);
    assert_false(publish_access_has_taken(publish, next));
    publish_access_poll(publish);
    assert_true(publish_access_has_taken(publish, next));
    assert_int_equal(admission->revision, revision + 1);
    assert_int_equal(admission->needs_token, list != NULL);
    access_destroy(access_made);
    access_made = next;
    if (fd >= 0) {
        close(fd);
    }
}

static int judge_again(const struct feed_grant *grant)
{
    const char *fault = NULL;
    return admission->judge(admission->context, grant, &fault);
}

#define WRITER_ONLY(scope) "{\"tokens\":[{\"name\":\"writer\",\"token\":\"" WRITER "\"" scope "}]}"

/* S46: a reload; AddressSanitizer sees what still refers to a policy that is gone. */
static void a_producer_has_the_scope_of_the_policy_that_was_taken(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make();
    assert_int_equal(admit_at(WRITER, NOW_NS, &grant), 0);
    replace(tokens);
    assert_int_equal(judge_again(&grant), 0);
    assert_true(may(&grant, "ANY", MD_TRADE));
    replace(WRITER_ONLY(",\"publish\":{\"symbols\":[\"A\"]}"));
    assert_int_equal(judge_again(&grant), 1);
    assert_int_equal(judge_again(&grant), 0);
    assert_true(may(&grant, "A", MD_TRADE));
    assert_false(may(&grant, "ANY", MD_TRADE));
    admission->drop_grant(admission->context, &grant);
}

/* S46: whether its token is gone, or may only read now */
static void a_producer_that_is_revoked_refers_to_no_policy(void **state)
{
    (void)state;
    const char *const lists[] = {WRITER_ONLY(""),
                                 "{\"tokens\":[{\"name\":\"a\",\"token\":\"" DESK "\"}]}"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct feed_grant grant = {0};
        make();
        assert_int_equal(admit_at(WRITER, NOW_NS, &grant), 0);
        replace(lists[i]);
        for (int again = 0; again < 3; again++) {
            assert_int_equal(judge_again(&grant), -EACCES);
            assert_false(may(&grant, "ANY", MD_TRADE));
            replace(tokens); /* It came back too late. */
        }
        admission->drop_grant(admission->context, &grant);
        tear_down(NULL);
    }
}

/* S46: enable_auth off, and on again */
static void a_grant_does_not_outlive_the_need_for_tokens(void **state)
{
    (void)state;
    struct feed_grant grant = {0};
    make();
    assert_int_equal(
        admit_at(
            jwt_of(60, ",\"aud\":\"ringcast\",\"ringcast\":{\"publish\":{\"symbols\":[\"A\"]}}"),
            NOW_NS, &grant),
        0);
    assert_false(may(&grant, "ANY", MD_TRADE));
    replace(NULL);
    assert_int_equal(judge_again(&grant), 1);
    assert_true(may(&grant, "ANY", MD_TRADE));
    replace(tokens);
    assert_int_equal(judge_again(&grant), -EACCES);
    assert_false(may(&grant, "A", MD_TRADE));
    admission->drop_grant(admission->context, &grant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_token_without_publish_may_not_publish, tear_down),
        cmocka_unit_test_teardown(the_one_token_of_a_server_may_not_publish, tear_down),
        cmocka_unit_test_teardown(a_producer_publishes_what_its_token_lists, tear_down),
        cmocka_unit_test_teardown(what_publish_leaves_out_is_not_restricted, tear_down),
        cmocka_unit_test_teardown(connections_of_producers_and_clients_count_together, tear_down),
        cmocka_unit_test_teardown(a_jwt_has_its_own_end_and_name, tear_down),
        cmocka_unit_test_teardown(a_wrong_token_is_refused_by_its_kind, tear_down),
        cmocka_unit_test_teardown(a_poll_checks_so_many_signatures_and_the_next_goes_on, tear_down),
        cmocka_unit_test_teardown(a_signature_goes_on_with_the_next_key, tear_down),
        cmocka_unit_test_teardown(a_server_without_tokens_needs_none, tear_down),
        cmocka_unit_test_teardown(a_producer_has_the_scope_of_the_policy_that_was_taken, tear_down),
        cmocka_unit_test_teardown(a_producer_that_is_revoked_refers_to_no_policy, tear_down),
        cmocka_unit_test_teardown(a_grant_does_not_outlive_the_need_for_tokens, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
