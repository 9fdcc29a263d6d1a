#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/access/jwt.h"
#include "src/access/key_text.h"
#include "tests/base64url.h"
#include "tests/guard_page.h"

#define AT_ONCE                                                                                    \
    &(struct jwt_check)                                                                            \
    {                                                                                              \
        .budget = &unlimited                                                                       \
    }

static struct jwt_budget unlimited = {.units_left = INT64_MAX};

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1800000000
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define EDDSA "{\"alg\":\"EdDSA\"}"
#define GOOD "{\"exp\":1800000600,\"sub\":\"desk\"}"

static struct jwt_keys keys;
static EVP_PKEY *signer; /* of RFC 8037, appendix A.1 */

static const uint8_t signer_seed[32] = {
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
#define SIGNER_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define SIGNER_SET "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" SIGNER_X "\"}]}"

static int set_up(void **state)
{
    (void)state;
    memset(&keys, 0, sizeof keys);
    keys.audience = "ringcast";
    signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, signer_seed, 32);
    return signer == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    jwt_keys_deinit(&keys);
    EVP_PKEY_free(signer);
    return 0;
}

static void load(const char *text)
{
    char error[256] = "";
    int (*read)(struct jwt_keys *, const char *, size_t, char *, size_t) =
        strcmp(text, SECRET) == 0 ? jwt_keys_load_secret : jwt_keys_load;
    if (read(&keys, text, strlen(text), error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
}

/* ---- Making tokens ---- */

static void sign(char *token, const char *header, const char *claims, bool by_hmac,
                 const char *secret)
{
    uint8_t signature[64];
    size_t signature_bytes = sizeof signature;
    size_t at = base64url_encode(token, header, strlen(header));
    token[at++] = '.';
    at += base64url_encode(token + at, claims, strlen(claims));
    if (by_hmac) {
        unsigned int bytes = 0;
        HMAC(EVP_sha256(), secret, (int)strlen(secret), (uint8_t *)token, at, signature, &bytes);
        signature_bytes = bytes;
    } else {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_DigestSignInit(context, NULL, NULL, NULL, signer);
        EVP_DigestSign(context, signature, &signature_bytes, (uint8_t *)token, at);
        EVP_MD_CTX_free(context);
    }
    token[at++] = '.';
    base64url_encode(token + at, signature, signature_bytes);
}

static enum jwt_status verify_at(const char *token, uint64_t wall_s)
{
    struct jwt_verdict verdict = {0};
    enum jwt_status status = jwt_verify(&keys, token, strlen(token), wall_s, AT_ONCE, &verdict);
    assert_int_equal(status == JWT_OK, verdict.claims != NULL);
    json_decref(verdict.claims);
    return status;
}

static enum jwt_status verify_hmac(const char *header, const char *claims)
{
    static char token[20000];
    sign(token, header, claims, true, SECRET);
    return verify_at(token, NOW);
}

/* ---- Tests ---- */

/* RFC 7515, appendix A.1. */
static void the_example_of_rfc_7515_is_verified(void **state)
{
    (void)state;
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogI"
        "mh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    load("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
         "1qS0gZH75aK"
         "tMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}");
    struct jwt_verdict verdict;
    assert_int_equal(jwt_verify(&keys, token, strlen(token), 1300819379, AT_ONCE, &verdict),
                     JWT_OK);
    assert_int_equal(verdict.expires_s, 1300819380);
    assert_string_equal(json_string_value(json_object_get(verdict.claims, "iss")), "joe");
    json_decref(verdict.claims);
    assert_int_equal(verify_at(token, 1300819380 + JWT_LEEWAY_SECONDS), JWT_EXPIRED);
}

/* RFC 8037, appendix A.4: signed well, and then no claims. */
static void the_example_of_rfc_8037_is_verified(void **state)
{
    (void)state;
    static const char token[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_"
                                "MGCjP0JzlnLWG1PPOt7-09PGcv"
                                "Mg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    load(SIGNER_SET);
    assert_int_equal(verify_at(token, NOW), JWT_MALFORMED);
    char other[sizeof token];
    memcpy(other, token, sizeof token);
    other[30] ^= 1;
    assert_int_equal(verify_at(other, NOW), JWT_BAD_SIGNATURE);
}

static void every_changed_character_is_noticed(void **state)
{
    (void)state;
    for (int by_hmac = 0; by_hmac < 2; by_hmac++) {
        char token[1000];
        jwt_keys_deinit(&keys);
        load(by_hmac ? SECRET : SIGNER_SET);
        sign(token, by_hmac ? HS256 : EDDSA, GOOD, by_hmac, SECRET);
        assert_int_equal(verify_at(token, NOW), JWT_OK);
        for (size_t i = 0; token[i] != '\0'; i++) {
            char was = token[i];
            token[i] = was == 'A' ? 'B' : 'A';
            assert_int_not_equal(verify_at(token, NOW), JWT_OK);
            token[i] = was;
        }
        assert_int_equal(verify_at(token, NOW), JWT_OK);
    }
}

static void an_algorithm_belongs_to_its_key(void **state)
{
    (void)state;
    char token[1000];
    char pem[200];
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *public_key = signer;
    PEM_write_bio_PUBKEY(bio, public_key);
    int pem_bytes = BIO_read(bio, pem, sizeof pem - 1);
    pem[pem_bytes] = '\0';
    BIO_free(bio);

    load(pem);
    sign(token, EDDSA, GOOD, false, NULL);
    assert_int_equal(verify_at(token, NOW), JWT_OK);
    /* The public key as a secret, and what it knows as a signature. */
    sign(token, HS256, GOOD, true, pem);
    assert_int_equal(verify_at(token, NOW), JWT_BAD_ALGORITHM);
    sign(token, EDDSA, GOOD, true, pem);
    assert_int_equal(verify_at(token, NOW), JWT_BAD_SIGNATURE);

    jwt_keys_deinit(&keys);
    load(SECRET);
    sign(token, EDDSA, GOOD, false, NULL);
    assert_int_equal(verify_at(token, NOW), JWT_BAD_ALGORITHM);
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",  "{\"alg\":\"None\"}",  "{\"alg\":\"\"}",       "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS512\"}", "{\"alg\":\"RS256\"}", "{\"alg\":\"HS2560\"}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_int_equal(verify_hmac(headers[i], GOOD), JWT_BAD_ALGORITHM);
        sign(token, headers[i], GOOD, true, SECRET);
        strrchr(token, '.')[1] = '\0'; /* without any signature */
        assert_int_equal(verify_at(token, NOW), JWT_BAD_ALGORITHM);
    }
    sign(token, HS256, GOOD, true, SECRET);
    strrchr(token, '.')[1] = '\0';
    assert_int_equal(verify_at(token, NOW), JWT_BAD_SIGNATURE);
}

static void a_kid_names_a_key(void **state)
{
    (void)state;
    char token[1000];
    load("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"old\","
         "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
         "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"new\",\"x\":\"" SIGNER_X "\"}]}");
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"kid\":\"old\"}", GOOD), JWT_OK);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\"}", GOOD), JWT_OK);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"kid\":\"new\"}", GOOD), JWT_BAD_ALGORITHM);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"kid\":\"olds\"}", GOOD), JWT_UNKNOWN_KEY);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"kid\":7}", GOOD), JWT_MALFORMED);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD), JWT_MALFORMED);
    sign(token, "{\"alg\":\"EdDSA\",\"kid\":\"new\"}", GOOD, false, NULL);
    assert_int_equal(verify_at(token, NOW), JWT_OK);
}

struct jwt_claims_case {
    const char *claims;
    enum jwt_status status;
};

static void claims_are_judged_with_the_stated_leeway(void **state)
{
    (void)state;
    static const struct jwt_claims_case cases[] = {
        {"{\"exp\":1800000001}", JWT_OK},
        {"{\"exp\":1799999996}", JWT_OK}, /* 4 s ago */
        {"{\"exp\":1799999995}", JWT_EXPIRED},
        {"{\"exp\":1799999995.9}", JWT_EXPIRED},
        {"{\"exp\":0}", JWT_EXPIRED},
        {"{\"exp\":1800000001,\"nbf\":1800000005}", JWT_OK},
        {"{\"exp\":1800000001,\"nbf\":1800000006}", JWT_TOO_EARLY},
        {"{\"exp\":1800000001,\"nbf\":1800000005.1}", JWT_TOO_EARLY},
        {"{}", JWT_BAD_CLAIMS},
        {"{\"exp\":null}", JWT_BAD_CLAIMS},
        {"{\"exp\":\"1800000001\"}", JWT_BAD_CLAIMS},
        {"{\"exp\":-1}", JWT_BAD_CLAIMS},
        {"{\"exp\":1e300}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000001,\"nbf\":\"0\"}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000001,\"aud\":\"ringcast\"}", JWT_OK},
        {"{\"exp\":1800000001,\"aud\":[\"other\",\"ringcast\"]}", JWT_OK},
        {"{\"exp\":1800000001,\"aud\":\"other\"}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000001,\"aud\":[]}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000001,\"aud\":7}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000001,\"exp\":1}", JWT_MALFORMED},
        {"[1800000001]", JWT_MALFORMED},
        {"", JWT_MALFORMED},
        {"{\"exp\":1800000001", JWT_MALFORMED},
        {"{\"exp\":18000000010000000000000000}", JWT_BAD_CLAIMS},
    };
    load(SECRET);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum jwt_status status = verify_hmac(HS256, cases[i].claims);
        if (status != cases[i].status) {
            fail_msg("%s: %s", cases[i].claims, jwt_status_text(status));
        }
    }
    keys.issuer = "joe";
    assert_int_equal(verify_hmac(HS256, "{\"exp\":1800000001,\"iss\":\"joe\"}"), JWT_OK);
    assert_int_equal(verify_hmac(HS256, "{\"exp\":1800000001,\"iss\":\"joey\"}"), JWT_BAD_CLAIMS);
    assert_int_equal(verify_hmac(HS256, "{\"exp\":1800000001}"), JWT_BAD_CLAIMS);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "e30.e30.",
        "e30.e30.e30",
        "eyJhbGciOiJIUzI1NiJ9=.e30.",
        "eyJhbGciOiJIUzI1NiJ.e30.",
        " eyJhbGciOiJIUzI1NiJ9.e30.",
        "eyJhbGciOiJIUzI1NiJ9.e30",
    };
    load(SECRET);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(verify_at(texts[i], NOW), JWT_MALFORMED);
    }
    static char nested[3000];
    memset(nested, '[', 2000);
    assert_int_equal(verify_hmac(nested, GOOD), JWT_MALFORMED);
    assert_int_equal(verify_hmac(HS256, nested), JWT_MALFORMED);

    static char claims[JWT_BYTES_MAX];
    static char token[2 * JWT_BYTES_MAX];
    for (size_t bytes = 2900; bytes < 3100; bytes++) {
        snprintf(claims, sizeof claims, "{\"exp\":1800000600,\"x\":\"%*s\"}", (int)bytes, "");
        sign(token, HS256, claims, true, SECRET);
        assert_int_equal(verify_at(token, NOW),
                         strlen(token) <= JWT_BYTES_MAX ? JWT_OK : JWT_MALFORMED);
    }
}

static void nothing_is_read_behind_the_token(void **state)
{
    (void)state;
    char token[1000];
    struct guard_page guard;
    load(SECRET);
    sign(token, HS256, GOOD, true, SECRET);
    guard_page_init(&guard, sizeof token);
    for (size_t count = 0; count <= strlen(token); count++) {
        struct jwt_verdict verdict = {0};
        enum jwt_status status =
            jwt_verify(&keys, (const char *)guard_page_copy(&guard, token, count), count, NOW,
                       AT_ONCE, &verdict);
        assert_int_equal(status == JWT_OK, count == strlen(token));
        json_decref(verdict.claims);
    }
    guard_page_deinit(&guard);
}

/* RFC 7519 section 4: a claim that is not understood is ignored. */
static void a_number_beyond_int64_or_double_matters_only_where_it_is_used(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        enum jwt_status status;
    } cases[] = {
        {"{\"exp\":1800000600,\"x\":18446744073709551616}", JWT_OK},
        {"{\"x\":[-1e999,{\"y\":99999999999999999999}],\"exp\":1800000600}", JWT_OK},
        {"{\"exp\":1800000600,\"x\":1e-999,\"jti\":1E400}", JWT_OK},
        {"{\"exp\":18446744073709551616}", JWT_BAD_CLAIMS},
        {"{\"exp\":1e999}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000600,\"nbf\":-1e999}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000600,\"nbf\":1e999}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000600,\"aud\":1e999}", JWT_BAD_CLAIMS},
        {"{\"exp\":1800000600,\"x\":1e999,}", JWT_MALFORMED},
        {"{\"exp\":1800000600,\"x\":1e999,\"x\":1}", JWT_MALFORMED},
        {"{\"exp\":1800000600,1e999:1}", JWT_MALFORMED},
    };
    load(SECRET);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (verify_hmac(HS256, cases[i].claims) != cases[i].status) {
            fail_msg("%s", cases[i].claims);
        }
    }
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"x\":1e999}", GOOD), JWT_OK);
    assert_int_equal(verify_hmac("{\"alg\":\"HS256\",\"kid\":1e999}", GOOD), JWT_MALFORMED);
}

/* The key of RFC 8037 and another one, each with or without kid, in both orders. */
static void a_token_without_kid_may_be_of_any_key_and_a_key_without_kid_of_any_token(void **state)
{
    (void)state;
    static const char *const kids[] = {"", ",\"kid\":\"a\"", ",\"kid\":\"b\""};
    static const struct {
        const char *header;
        enum jwt_status statuses[3]; /* by the kid of the right key; the other's is "other" */
    } cases[] = {
        {"{\"alg\":\"EdDSA\"}", {JWT_OK, JWT_OK, JWT_OK}},
        {"{\"alg\":\"Ed25519\"}", {JWT_OK, JWT_OK, JWT_OK}},
        {"{\"alg\":\"EdDSA\",\"kid\":\"a\"}", {JWT_OK, JWT_OK, JWT_UNKNOWN_KEY}},
        {"{\"alg\":\"Ed25519\",\"kid\":\"b\"}", {JWT_OK, JWT_UNKNOWN_KEY, JWT_OK}},
        {"{\"alg\":\"EdDSA\",\"kid\":\"other\"}", {JWT_OK, JWT_BAD_SIGNATURE, JWT_BAD_SIGNATURE}},
        {"{\"alg\":\"HS256\"}", {JWT_BAD_ALGORITHM, JWT_BAD_ALGORITHM, JWT_BAD_ALGORITHM}},
        {"{\"alg\":\"Ed448\"}", {JWT_BAD_ALGORITHM, JWT_BAD_ALGORITHM, JWT_BAD_ALGORITHM}},
    };
    for (int order = 0; order < 2; order++) {
        for (size_t kid = 0; kid < 3; kid++) {
            char right[200];
            char set[1000];
            char token[1000];
            snprintf(right, sizeof right,
                     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" SIGNER_X "\"%s}", kids[kid]);
            snprintf(set, sizeof set,
                     "{\"keys\":[%s%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"other\",\"x\":"
                     "\"WBJfXxfpXzRwahjDR2AdPnuVP8Ks3RYtjqly4cIpnTY\"}%s%s]}",
                     order == 0 ? right : "", order == 0 ? "," : "", order == 0 ? "" : ",",
                     order == 0 ? "" : right);
            jwt_keys_deinit(&keys);
            load(set);
            for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                sign(token, cases[i].header, GOOD, false, NULL);
                assert_int_equal(verify_at(token, NOW), cases[i].statuses[kid]);
            }
        }
    }
}

/* A Keycloak token names each client: many brackets, few within each other. */
static void brackets_are_counted_by_depth(void **state)
{
    (void)state;
    static char claims[3000];
    load(SECRET);
    size_t at =
        (size_t)snprintf(claims, sizeof claims, "{\"exp\":1800000600,\"resource_access\":{");
    for (int i = 0; i < 60; i++) {
        at += (size_t)snprintf(claims + at, sizeof claims - at,
                               "%s\"client-%d\":{\"roles\":[\"{[{[view\"]}", i == 0 ? "" : ",", i);
    }
    snprintf(claims + at, sizeof claims - at, "}}");
    assert_int_equal(verify_hmac(HS256, claims), JWT_OK);
    for (int depth = KEY_TEXT_DEPTH_MAX - 3; depth < KEY_TEXT_DEPTH_MAX + 3; depth++) {
        char open[64] = "";
        char close[64] = "";
        memset(open, '[', (size_t)depth);
        memset(close, ']', (size_t)depth);
        snprintf(claims, sizeof claims, "{\"exp\":1800000600,\"x\":\"\\\"[[[\",\"y\":%s%s}", open,
                 close);
        assert_int_equal(verify_hmac(HS256, claims),
                         depth + 1 <= KEY_TEXT_DEPTH_MAX ? JWT_OK : JWT_MALFORMED);
    }
}

/* Sixteen keys without kid are tried one after the other, over as many turns as the budget says. */
static void a_signature_waits_for_units_and_goes_on_with_the_next_key(void **state)
{
    (void)state;
    static char token[2000];
    char secret[64];
    char error[256];
    struct jwt_budget budget = {.units_left = 0};
    struct jwt_check check = {.budget = &budget};
    struct jwt_verdict verdict;
    for (int i = 0; i < JWT_KEYS_MAX; i++) {
        snprintf(secret, sizeof secret, "0123456789abcdef0123456789abc%03d", i);
        assert_int_equal(jwt_keys_load_secret(&keys, secret, strlen(secret), error, sizeof error),
                         0);
    }
    sign(token, HS256, GOOD, true, secret); /* by the last one */
    for (uint32_t i = 0; i + 1 < JWT_KEYS_MAX; i++) {
        assert_int_equal(jwt_verify(&keys, token, strlen(token), NOW, &check, &verdict), JWT_LATER);
        assert_int_equal(check.key_next, i);
        budget.units_left = 1;
    }
    budget.units_left = 2 * JWT_HS256_UNITS;
    assert_int_equal(jwt_verify(&keys, token, strlen(token), NOW, &check, &verdict), JWT_OK);
    assert_int_equal(budget.checked_count, JWT_KEYS_MAX);
    assert_true(check.is_right);
    json_decref(verdict.claims);
}

int main(void)
{
#define JWT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        JWT_TEST(the_example_of_rfc_7515_is_verified),
        JWT_TEST(the_example_of_rfc_8037_is_verified),
        JWT_TEST(every_changed_character_is_noticed),
        JWT_TEST(an_algorithm_belongs_to_its_key),
        JWT_TEST(a_kid_names_a_key),
        JWT_TEST(a_number_beyond_int64_or_double_matters_only_where_it_is_used),
        JWT_TEST(claims_are_judged_with_the_stated_leeway),
        JWT_TEST(what_is_no_token_is_refused),
        JWT_TEST(nothing_is_read_behind_the_token),
        JWT_TEST(a_token_without_kid_may_be_of_any_key_and_a_key_without_kid_of_any_token),
        JWT_TEST(brackets_are_counted_by_depth),
        JWT_TEST(a_signature_waits_for_units_and_goes_on_with_the_next_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
