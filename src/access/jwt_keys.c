#include "src/access/jwt_keys.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/key_text.h"
#include "src/access/token.h"
#include "src/base/json_depth.h"
#include "src/base/json_load.h"

static int jwt_keys_fail(char *error_out, size_t error_bytes, const char *text)
{
    snprintf(error_out, error_bytes, "%s", text);
    return -EINVAL;
}

/* ---- Adding ---- */

static void jwt_keys_cut(struct jwt_keys *keys, uint32_t count)
{
    assert_always(keys->count <= JWT_KEYS_MAX);
    while (keys->count > count) {
        struct jwt_key *key = &keys->keys[--keys->count];
        EVP_PKEY_free(key->public_key);
        OPENSSL_cleanse(key, sizeof *key);
    }
}

static struct jwt_key *jwt_keys_append(struct jwt_keys *keys, enum jwt_algorithm algorithm,
                                       const char *kid)
{
    assert_always(keys->count < JWT_KEYS_MAX);
    assert_always(strlen(kid) <= JWT_KID_BYTES_MAX);
    struct jwt_key *key = &keys->keys[keys->count++];
    *key = (struct jwt_key){.algorithm = algorithm};
    strcpy(key->kid, kid);
    return key;
}

static void jwt_keys_append_public(struct jwt_keys *keys, const char *kid, EVP_PKEY *public_key,
                                   const uint8_t bytes[JWT_KEYS_ED25519_BYTES])
{
    struct jwt_key *key = jwt_keys_append(keys, JWT_EDDSA, kid);
    key->public_key = public_key;
    memcpy(key->public_bytes, bytes, JWT_KEYS_ED25519_BYTES);
}

static void jwt_keys_append_secret(struct jwt_keys *keys, const char *kid, const void *secret,
                                   size_t secret_bytes)
{
    assert_always(secret_bytes >= JWT_SECRET_BYTES_MIN);
    assert_always(secret_bytes <= JWT_SECRET_BYTES_MAX);
    struct jwt_key *key = jwt_keys_append(keys, JWT_HS256, kid);
    memcpy(key->secret, secret, secret_bytes);
    key->secret_bytes = secret_bytes;
}

/* Whether a secret is one of the public keys, in any encoding: everybody could sign with it. */
static bool jwt_keys_secret_is_public(const struct jwt_keys *keys)
{
    for (uint32_t i = 0; i < keys->count * keys->count; i++) {
        const struct jwt_key *secret = &keys->keys[i / keys->count];
        const struct jwt_key *public = &keys->keys[i % keys->count];
        struct key_text text = {(const char *)secret->secret, secret->secret_bytes};
        if (secret->algorithm == JWT_HS256 && public->algorithm == JWT_EDDSA &&
            key_text_holds(text, public->public_bytes, JWT_KEYS_ED25519_BYTES)) {
            return true;
        }
    }
    return false;
}

int jwt_keys_load_secret(struct jwt_keys *keys, const char *text, size_t text_bytes,
                         char *error_out, size_t error_bytes)
{
    struct key_text secret = key_text_trim_end((struct key_text){text, text_bytes});
    char words[JWT_KEYS_WORDS_BYTES_MAX];
    if (keys->count == JWT_KEYS_MAX) {
        snprintf(error_out, error_bytes, "there are more than %d keys", JWT_KEYS_MAX);
        return -EINVAL;
    }
    if (key_text_begins(secret, KEY_TEXT_BOM)) {
        return jwt_keys_fail(error_out, error_bytes,
                             "it begins with a byte order mark; save it without one");
    }
    if (key_text_recognise((struct key_text){text, text_bytes}, false, words, sizeof words)) {
        snprintf(error_out, error_bytes,
                 "%s, not a secret; give keys with --jwt-key-file, and make a secret with `openssl "
                 "rand -hex 32`",
                 words);
        return -EINVAL;
    }
    if (secret.bytes < JWT_SECRET_BYTES_MIN || secret.bytes > JWT_SECRET_BYTES_MAX) {
        snprintf(error_out, error_bytes,
                 "a secret for HS256 must have %d to %d bytes, and this one has %zu; make one with "
                 "`openssl rand -hex 32`",
                 JWT_SECRET_BYTES_MIN, JWT_SECRET_BYTES_MAX, secret.bytes);
        return -EINVAL;
    }
    jwt_keys_append_secret(keys, "", secret.at, secret.bytes);
    if (jwt_keys_secret_is_public(keys)) {
        jwt_keys_cut(keys, keys->count - 1);
        return jwt_keys_fail(error_out, error_bytes,
                             "it is a public key of --jwt-key-file, not a secret; make one with "
                             "`openssl rand -hex 32`");
    }
    return 0;
}

/* ---- PEM ---- */

/* A copy that OpenSSL reads: lines without blanks around them, which end with a newline. NULL: no
 * memory. */
static char *jwt_keys_straighten(struct key_text text, size_t *bytes_out)
{
    char *out = malloc(text.bytes + 2);
    size_t count = 0;
    bool at_start = true;
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.at[i];
        bool is_end = c == '\n' || c == '\r';
        while (is_end && count > 0 && (out[count - 1] == ' ' || out[count - 1] == '\t')) {
            count--;
        }
        if (!at_start || !key_text_is_blank(c)) {
            out[count++] = (char)(is_end ? '\n' : c);
            at_start = is_end;
        }
    }
    assert_always(count <= text.bytes); /* Two more bytes have room. */
    out[count++] = '\n';
    out[count] = '\0';
    *bytes_out = count;
    return out;
}

/* The next line that begins so; NULL: there is none. */
static const char *jwt_keys_find_line(const char *text, const char *word)
{
    const char *at = text;
    while ((at = strstr(at, word)) != NULL && at != text && at[-1] != '\n') {
        at++;
    }
    return at;
}

/* A block that is no public key, by its label. */
static int jwt_keys_refuse_label(const char *label, char *error_out, size_t error_bytes)
{
    const char *what = "not a public key for EdDSA (Ed25519), whose label is PUBLIC KEY";
    if (strstr(label, "PRIVATE KEY") != NULL) {
        what = "a private key; leave it with the issuer, and write its public key with `openssl "
               "pkey -in FILE -pubout`";
    } else if (strstr(label, "CERTIFICATE") != NULL && strstr(label, "REQUEST") == NULL) {
        what = "a certificate; write its public key with `openssl x509 -in FILE -noout -pubkey`";
    }
    snprintf(error_out, error_bytes, "a PEM with the label %.60s is %s", label, what);
    return -EINVAL;
}

static int jwt_keys_take_public(struct jwt_keys *keys, const uint8_t *der, long der_bytes,
                                char *error_out, size_t error_bytes)
{
    const uint8_t *at = der;
    uint8_t bytes[JWT_KEYS_ED25519_BYTES];
    size_t count = sizeof bytes;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, der_bytes);
    int error = 0;
    if (key == NULL || at != der + der_bytes) {
        error = jwt_keys_fail(error_out, error_bytes,
                              "a PEM with the label PUBLIC KEY contains no public key");
    } else if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        const char *name = EVP_PKEY_get0_type_name(key);
        snprintf(error_out, error_bytes,
                 "it is a public key of type %s, and JWTs need an Ed25519 key; make one with "
                 "`openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`",
                 name == NULL ? "unknown" : name);
        error = -EINVAL;
    } else if (keys->count == JWT_KEYS_MAX) {
        snprintf(error_out, error_bytes, "there are more than %d keys", JWT_KEYS_MAX);
        error = -EINVAL;
    } else if (EVP_PKEY_get_raw_public_key(key, bytes, &count) != 1) {
        snprintf(error_out, error_bytes, "no memory");
        error = -ENOMEM;
    }
    ERR_clear_error();
    if (error < 0) {
        EVP_PKEY_free(key);
        return error;
    }
    assert_always(count == sizeof bytes);
    jwt_keys_append_public(keys, "", key, bytes);
    return 0;
}

/* The block at *at_io, which moves behind it. */
static int jwt_keys_load_block(struct jwt_keys *keys, const char **at_io, char *error_out,
                               size_t error_bytes)
{
    const char *begin = *at_io;
    assert_always(strncmp(begin, KEY_TEXT_BEGIN, sizeof KEY_TEXT_BEGIN - 1) == 0);
    const char *label_at = begin + sizeof KEY_TEXT_BEGIN - 1;
    const char *label_end = strstr(label_at, "-----");
    if (label_end == NULL || label_end[5] != '\n' || label_end - label_at > 60) {
        return jwt_keys_fail(error_out, error_bytes,
                             "it is a PEM whose BEGIN line is not on a line of its own");
    }
    char label[64];
    char last[80];
    snprintf(label, sizeof label, "%.*s", (int)(label_end - label_at), label_at);
    snprintf(last, sizeof last, "-----END %s-----\n", label);
    if (strcmp(label, PEM_STRING_PUBLIC) != 0) {
        return jwt_keys_refuse_label(label, error_out, error_bytes);
    }
    const char *end = jwt_keys_find_line(label_end, last);
    char *name = NULL;
    char *header = NULL;
    uint8_t *der = NULL;
    long der_bytes = 0;
    BIO *bio = end == NULL ? NULL : BIO_new_mem_buf(begin, (int)(end + strlen(last) - begin));
    bool good = bio != NULL && PEM_read_bio(bio, &name, &header, &der, &der_bytes) == 1;
    int error =
        good ? jwt_keys_take_public(keys, der, der_bytes, error_out, error_bytes)
             : jwt_keys_fail(
                   error_out, error_bytes,
                   "it is a PEM that cannot be decoded; copy it again, with all of its lines");
    ERR_clear_error();
    BIO_free(bio);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    *at_io = good ? end + strlen(last) : begin;
    return error;
}

/* pem: straightened, from its first BEGIN on. */
static int jwt_keys_load_pem(struct jwt_keys *keys, const char *pem, char *error_out,
                             size_t error_bytes)
{
    int error = 0;
    const char *at = pem;
    const char *next = pem;
    while (error == 0 && next != NULL) {
        at = next;
        error = jwt_keys_load_block(keys, &at, error_out, error_bytes);
        next = jwt_keys_find_line(at, KEY_TEXT_BEGIN);
    }
    if (error == 0 && at[strspn(at, KEY_TEXT_BLANKS)] != '\0') {
        error = jwt_keys_fail(error_out, error_bytes,
                              "it has text after the last END line of a PEM, which is never read; "
                              "remove the text, or put it before BEGIN");
    }
    return error;
}

/* ---- JWK sets ---- */

/* What a key of a set is for, as far as it says so. Returns why it is not for us; NULL: it is. */
static const char *jwt_keys_judge_use(const json_t *jwk, enum jwt_algorithm algorithm)
{
    const json_t *use = json_object_get(jwk, "use");
    const json_t *name = json_object_get(jwk, "alg");
    const json_t *ops = json_object_get(jwk, "key_ops");
    const char *alg = json_string_value(name);
    if (use != NULL && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0)) {
        return "use is not sig";
    }
    if (name != NULL &&
        (alg == NULL ||
         (algorithm == JWT_HS256 ? strcmp(alg, "HS256") != 0
                                 : strcmp(alg, "EdDSA") != 0 && strcmp(alg, "Ed25519") != 0))) {
        return algorithm == JWT_HS256 ? "alg is not HS256" : "alg is neither EdDSA nor Ed25519";
    }
    bool verifies = ops == NULL;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        verifies |= op != NULL && strcmp(op, "verify") == 0;
    }
    return verifies ? NULL : "key_ops has no verify";
}

/* The bytes of a member; -1: it is missing, no base64url, or too long. */
static int jwt_keys_member(uint8_t out[JWT_SECRET_BYTES_MAX], const json_t *jwk, const char *name)
{
    const json_t *value = json_object_get(jwk, name);
    return json_is_string(value)
               ? key_text_base64url(out, JWT_SECRET_BYTES_MAX, json_string_value(value),
                                    json_string_length(value))
               : -1;
}

static const char *jwt_keys_take_oct(struct jwt_keys *keys, const json_t *jwk, const char *kid)
{
    uint8_t secret[JWT_SECRET_BYTES_MAX];
    char words[JWT_KEYS_WORDS_BYTES_MAX];
    int bytes = jwt_keys_member(secret, jwk, "k");
    const char *why = NULL;
    if (bytes < 0) {
        why = "k is missing, not base64url, or longer than 1024 bytes";
    } else if (bytes < JWT_SECRET_BYTES_MIN) {
        why = "k is shorter than 32 bytes";
    } else if (key_text_recognise((struct key_text){(char *)secret, (size_t)bytes}, false, words,
                                  sizeof words)) {
        why = "k is not a secret, but a key of another kind";
    } else {
        jwt_keys_append_secret(keys, kid, secret, (size_t)bytes);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    return why;
}

static const char *jwt_keys_take_okp(struct jwt_keys *keys, const json_t *jwk, const char *kid)
{
    uint8_t bytes[JWT_SECRET_BYTES_MAX];
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    if (curve == NULL || strcmp(curve, "Ed25519") != 0) {
        return "crv is not Ed25519";
    }
    if (json_object_get(jwk, "d") != NULL) {
        return "it is a private key: remove d";
    }
    EVP_PKEY *key =
        jwt_keys_member(bytes, jwk, "x") == JWT_KEYS_ED25519_BYTES
            ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, JWT_KEYS_ED25519_BYTES)
            : NULL;
    ERR_clear_error();
    if (key == NULL) {
        return "x is not an Ed25519 key of 32 bytes in base64url";
    }
    jwt_keys_append_public(keys, kid, key, bytes);
    return NULL;
}

/* Adds a key of a set. Returns why it is ignored; NULL: it is not. */
static const char *jwt_keys_take_jwk(struct jwt_keys *keys, const json_t *jwk)
{
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    const json_t *kid = json_object_get(jwk, "kid");
    bool is_secret = type != NULL && strcmp(type, "oct") == 0;
    if (type == NULL || (!is_secret && strcmp(type, "OKP") != 0)) {
        return "kty is neither OKP nor oct";
    }
    const char *why = jwt_keys_judge_use(jwk, is_secret ? JWT_HS256 : JWT_EDDSA);
    if (why != NULL) {
        return why;
    }
    if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) > JWT_KID_BYTES_MAX)) {
        return "kid is not a string of at most 64 bytes";
    }
    if (keys->count == JWT_KEYS_MAX) {
        return "there are 16 keys already";
    }
    const char *name = kid == NULL ? "" : json_string_value(kid);
    return is_secret ? jwt_keys_take_oct(keys, jwk, name) : jwt_keys_take_okp(keys, jwk, name);
}

static void jwt_keys_note_ignored(struct jwt_keys *keys, size_t index, const json_t *jwk,
                                  const char *why)
{
    const json_t *kid = json_object_get(jwk, "kid");
    char name[TOKEN_NAME_BYTES_MAX + 1] = "";
    char text[200];
    if (json_is_string(kid)) {
        token_clean_name(name, json_string_value(kid), json_string_length(kid));
    }
    snprintf(text, sizeof text, "%skeys[%zu]%s%s%s (%s)", keys->ignored[0] == '\0' ? "" : ", ",
             index, name[0] == '\0' ? "" : " \"", name, name[0] == '\0' ? "" : "\"", why);
    keys->ignored_count++;
    /* As many whole ones as there is room for, and none after one that had none. */
    size_t used = strlen(keys->ignored);
    if (used + strlen(text) + sizeof ", ..." <= sizeof keys->ignored) {
        strcpy(keys->ignored + used, text);
    } else if (strstr(keys->ignored, ", ...") == NULL) {
        strcpy(keys->ignored + used, ", ...");
    }
    assert_always(strlen(keys->ignored) < sizeof keys->ignored);
}

/* What is an object and no set. */
static const char *jwt_keys_judge_set(const json_t *root)
{
    const json_t *list = json_object_get(root, "keys");
    if (list != NULL && !json_is_array(list)) {
        return "it is not a JWK set: keys is not an array; a set is {\"keys\":[...]}";
    }
    if (list != NULL) {
        return json_array_size(list) > 0 ? NULL : "it is a JWK set that contains no key";
    }
    if (json_object_get(root, "jwks_uri") != NULL) {
        return "it is the description of an OpenID provider; give the JWK set at its jwks_uri";
    }
    return json_object_get(root, "kty") != NULL
               ? "it is a single key; put it into a JWK set: {\"keys\":[...]}"
               : "it is not a JWK set, which is {\"keys\":[...]}";
}

static int jwt_keys_load_set(struct jwt_keys *keys, struct key_text text, char *error_out,
                             size_t error_bytes)
{
    json_error_t fault;
    if (!json_depth_is_within(text.at, text.bytes, KEY_TEXT_DEPTH_MAX)) {
        return jwt_keys_fail(error_out, error_bytes,
                             "it is not a JWK set: it is nested too deeply");
    }
    json_t *root = json_load(text.at, text.bytes, &fault);
    const char *why = root == NULL ? NULL : jwt_keys_judge_set(root);
    if (root == NULL) { /* The parser's own words may quote a key. */
        snprintf(error_out, error_bytes, "it is not a JWK set: %s at line %d, column %d",
                 json_error_code(&fault) == json_error_duplicate_key ? "a member given twice"
                                                                     : "not JSON",
                 fault.line, fault.column);
    } else if (why != NULL) {
        jwt_keys_fail(error_out, error_bytes, why);
    }
    const json_t *list = why == NULL ? json_object_get(root, "keys") : NULL;
    uint32_t count = keys->count;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *jwk = json_array_get(list, i);
        const char *fault_words = jwt_keys_take_jwk(keys, jwk);
        if (fault_words != NULL) {
            jwt_keys_note_ignored(keys, i, jwk, fault_words);
        }
    }
    assert_always(keys->count >= count);
    if (list != NULL && keys->count == count) {
        snprintf(error_out, error_bytes,
                 "no key of this JWK set is for EdDSA (Ed25519) or HS256: %s", keys->ignored);
    } else if (jwt_keys_secret_is_public(keys)) {
        jwt_keys_cut(keys, count);
        jwt_keys_fail(
            error_out, error_bytes,
            "k of an oct key is the x of an OKP key, which is public; remove the oct key");
    }
    json_decref(root);
    return keys->count == count ? -EINVAL : 0;
}

/* ---- Files of keys ---- */

static int jwt_keys_refuse(struct key_text text, char *error_out, size_t error_bytes)
{
    if (key_text_trim(text).bytes == 0) {
        return jwt_keys_fail(error_out, error_bytes,
                             "it is empty; give a PEM public key (Ed25519) or a JWK set");
    }
    if (memchr(text.at, '\0', text.bytes) != NULL && !key_text_is_utf16(text) &&
        !key_text_is_der(text)) {
        return jwt_keys_fail(error_out, error_bytes,
                             "it is not a key in text form: it contains a zero byte");
    }
    if (key_text_recognise(text, true, error_out, error_bytes)) {
        return -EINVAL;
    }
    return jwt_keys_fail(error_out, error_bytes,
                         "it contains no key; give a PEM public key (Ed25519) or a JWK set, and a "
                         "secret for HS256 with --jwt-secret-file");
}

int jwt_keys_load(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                  size_t error_bytes)
{
    struct key_text whole = {text, text_bytes};
    struct key_text inner = key_text_trim(whole);
    uint32_t count = keys->count;
    if (inner.bytes > 0 && inner.at[0] == '{') {
        return jwt_keys_load_set(keys, inner, error_out, error_bytes);
    }
    size_t pem_bytes;
    char *straight = jwt_keys_straighten(inner, &pem_bytes);
    if (straight == NULL) {
        jwt_keys_fail(error_out, error_bytes, "not enough memory");
        return -ENOMEM;
    }
    const char *pem = jwt_keys_find_line(straight, KEY_TEXT_BEGIN);
    int error = pem == NULL || strlen(straight) != pem_bytes
                    ? jwt_keys_refuse(whole, error_out, error_bytes)
                    : jwt_keys_load_pem(keys, pem, error_out, error_bytes);
    free(straight);
    if (error < 0) {
        jwt_keys_cut(keys, count);
    }
    assert_debug((error < 0) == (keys->count == count));
    return error;
}

void jwt_keys_deinit(struct jwt_keys *keys)
{
    jwt_keys_cut(keys, 0);
    keys->ignored_count = 0;
    keys->ignored[0] = '\0';
}

/* ---- Which key it is ---- */

/* A text with its length, so that two texts never look like two others. */
static size_t jwt_keys_put(uint8_t *out, const void *bytes, size_t count)
{
    assert_always(count <= UINT16_MAX);
    out[0] = (uint8_t)(count >> 8);
    out[1] = (uint8_t)count;
    memcpy(out + 2, bytes, count);
    return count + 2;
}

static void jwt_keys_take_fingerprint(const struct jwt_keys *keys, struct jwt_key *key)
{
    const char *issuer = keys->issuer == NULL ? "" : keys->issuer; /* None has at least a byte. */
    const char *audience = keys->audience == NULL ? "" : keys->audience;
    uint8_t digest[TOKEN_DIGEST_BYTES];
    uint8_t text[JWT_SECRET_BYTES_MAX + 2048];
    size_t used = 0;
    assert_always(strlen(issuer) + strlen(audience) + JWT_KID_BYTES_MAX < 1024);
    text[used++] = (uint8_t)key->algorithm;
    used += jwt_keys_put(text + used, key->kid, strlen(key->kid));
    used += jwt_keys_put(text + used, key->secret, key->secret_bytes);
    used += jwt_keys_put(text + used, key->public_bytes, sizeof key->public_bytes);
    used += jwt_keys_put(text + used, issuer, strlen(issuer));
    used += jwt_keys_put(text + used, audience, strlen(audience));
    token_digest(digest, (const char *)text, used);
    memcpy(key->fingerprint, digest, sizeof key->fingerprint);
    OPENSSL_cleanse(text, sizeof text);
}

void jwt_keys_take_fingerprints(struct jwt_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        jwt_keys_take_fingerprint(keys, &keys->keys[i]);
    }
}

static bool jwt_keys_is(const struct jwt_key *key, const uint8_t *fingerprint)
{
    return memcmp(key->fingerprint, fingerprint, JWT_FINGERPRINT_BYTES) == 0;
}

bool jwt_keys_have(const struct jwt_keys *keys, const uint8_t fingerprint[JWT_FINGERPRINT_BYTES])
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (jwt_keys_is(&keys->keys[i], fingerprint)) {
            return true;
        }
    }
    return false;
}

bool jwt_keys_are_same(const struct jwt_keys *left, const struct jwt_keys *right)
{
    for (uint32_t i = 0; i < left->count && i < right->count; i++) {
        if (!jwt_keys_is(&left->keys[i], right->keys[i].fingerprint)) {
            return false;
        }
    }
    return left->count == right->count;
}

void jwt_keys_describe(const struct jwt_keys *keys, char *out, size_t out_bytes)
{
    uint32_t secret_count = 0;
    assert_debug((keys->ignored_count == 0) == (keys->ignored[0] == '\0'));
    for (uint32_t i = 0; i < keys->count; i++) {
        secret_count += keys->keys[i].algorithm == JWT_HS256;
    }
    snprintf(out, out_bytes, "%u public for EdDSA (Ed25519), %u secret for HS256, %u ignored%s%s",
             keys->count - secret_count, secret_count, keys->ignored_count,
             keys->ignored_count == 0 ? "" : ": ", keys->ignored);
}
