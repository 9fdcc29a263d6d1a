#include "src/access/token.h"

/* SHA256() looks the algorithm up for each call: that allocates, and may fail. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/certificate_name.h"
#include "src/base/json_load.h"

#define TOKEN_SLOTS 32768 /* a power of two */

static_assert(TOKEN_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "a digest is whole");
static_assert(TOKEN_SLOTS >= 2 * TOKENS_MAX, "a search ends soon");
static_assert(TOKENS_MAX < UINT16_MAX, "1 + an index is in a slot");

void token_clean_name(char name_out[TOKEN_NAME_BYTES_MAX + 1], const char *text, size_t text_bytes)
{
    size_t bytes = text_bytes < TOKEN_NAME_BYTES_MAX ? text_bytes : TOKEN_NAME_BYTES_MAX;
    for (size_t i = 0; i < bytes; i++) {
        name_out[i] = text[i] > ' ' && text[i] <= '~' && text[i] != '"' ? text[i] : '?';
    }
    name_out[bytes] = '\0';
}

void token_digest(uint8_t digest_out[TOKEN_DIGEST_BYTES], const char *text, size_t text_bytes)
{
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, text, text_bytes);
    SHA256_Final(digest_out, &context);
    OPENSSL_cleanse(&context, sizeof context);
}

/* The next token of the table, empty; NULL: no memory. */
static struct token *token_append(struct token_table *table)
{
    assert_always(table->count < TOKENS_MAX);
    if (table->slots == NULL) {
        table->slots = calloc(TOKEN_SLOTS, sizeof *table->slots);
    }
    if (table->slots == NULL) {
        return NULL;
    }
    struct token *grown = realloc(table->tokens, (table->count + 1) * sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    table->tokens = grown;
    struct token_uses *uses = calloc(1, sizeof *uses);
    if (uses == NULL) {
        return NULL;
    }
    uses->owner_count = 1;
    struct token *token = &grown[table->count++];
    *token = (struct token){.uses = uses};
    return token;
}

/* The slot of a digest, or the free one where it belongs. */
static uint16_t *token_slot(const struct token_table *table, const uint8_t *digest)
{
    uint64_t at = keyed_hash_bytes(&table->hash, digest, TOKEN_DIGEST_BYTES);
    for (;; at++) {
        uint16_t *slot = &table->slots[at % TOKEN_SLOTS];
        assert_always(*slot <= table->count);
        if (*slot == 0 ||
            CRYPTO_memcmp(table->tokens[*slot - 1].digest, digest, TOKEN_DIGEST_BYTES) == 0) {
            return slot;
        }
    }
}

static bool token_is_known(const struct token_table *table, const uint8_t *digest)
{
    return table->slots != NULL && *token_slot(table, digest) != 0;
}

static bool token_is_good_length(size_t text_bytes, char *error_out, size_t error_bytes)
{
    bool good = text_bytes >= TOKEN_BYTES_MIN && text_bytes <= TOKEN_BYTES_MAX;
    if (!good) {
        snprintf(error_out, error_bytes,
                 "a token must have %d to %d bytes, and this one has %zu; make one with `openssl "
                 "rand -hex 32`",
                 TOKEN_BYTES_MIN, TOKEN_BYTES_MAX, text_bytes);
    }
    return good;
}

/* What a client presents. */
struct token_key {
    uint8_t digest[TOKEN_DIGEST_BYTES];
    bool is_certificate;
    char certificate[CERTIFICATE_NAME_BYTES_MAX + 1];
};

static int token_add(struct token_table *table, const uint8_t *digest, const char *name,
                     size_t name_bytes, struct scope *scope, char *error_out, size_t error_bytes)
{
    if (token_is_known(table, digest)) {
        snprintf(error_out, error_bytes, "the same token or certificate is there already");
        scope_destroy(scope);
        return -EINVAL;
    }
    if (table->count == TOKENS_MAX) {
        snprintf(error_out, error_bytes, "there may be at most %d tokens", TOKENS_MAX);
        scope_destroy(scope);
        return -EINVAL;
    }
    struct token *token = token_append(table);
    if (token == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        scope_destroy(scope);
        return -ENOMEM;
    }
    *token_slot(table, digest) = (uint16_t)table->count;
    memcpy(token->digest, digest, TOKEN_DIGEST_BYTES);
    token_clean_name(token->name, name, name_bytes);
    token->scope = scope;
    return 0;
}

int token_table_add(struct token_table *table, const char *name, const char *text,
                    size_t text_bytes, char *error_out, size_t error_bytes)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    if (!token_is_good_length(text_bytes, error_out, error_bytes)) {
        return -EINVAL;
    }
    json_t *all = json_object();
    if (all == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        return -ENOMEM;
    }
    struct scope *scope = scope_create(all, NULL, error_out, error_bytes);
    json_decref(all);
    if (scope == NULL) {
        return -ENOMEM;
    }
    token_digest(digest, text, text_bytes);
    return token_add(table, digest, name, strlen(name), scope, error_out, error_bytes);
}

/* ---- The file ---- */

static int token_hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool token_read_hex(const json_t *text, uint8_t *digest)
{
    const char *hex = json_string_value(text);
    if (hex == NULL || json_string_length(text) != 2 * TOKEN_DIGEST_BYTES) {
        return false;
    }
    for (size_t i = 0; i < TOKEN_DIGEST_BYTES; i++) {
        int high = token_hex_value(hex[2 * i]);
        int low = token_hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool token_read_key(const json_t *entry, struct token_key *key, char *error_out,
                           size_t error_bytes)
{
    const json_t *text = json_object_get(entry, "token");
    const json_t *hex = json_object_get(entry, "sha256");
    const json_t *name = json_object_get(entry, "certificate");
    const json_t *presented = text != NULL ? text : name;
    bool is_one = (text != NULL) + (hex != NULL) + (name != NULL) == 1;
    if (!is_one || (presented != NULL && !json_is_string(presented))) {
        snprintf(error_out, error_bytes, "give a token, its sha256, or the name of a certificate");
        return false;
    }
    if (hex != NULL) {
        bool good = token_read_hex(hex, key->digest);
        if (!good) {
            snprintf(error_out, error_bytes, "sha256 must be 64 hexadecimal digits");
        }
        return good;
    }
    const char *bytes = json_string_value(presented);
    size_t count = json_string_length(presented);
    key->is_certificate = name != NULL;
    if (key->is_certificate) {
        if (certificate_name_read(key->certificate, bytes, count, error_out, error_bytes) < 0) {
            return false;
        }
        bytes = key->certificate;
    } else if (!token_is_good_length(count, error_out, error_bytes)) {
        return false;
    }
    token_digest(key->digest, bytes, count);
    return true;
}

/* The scope of an entry; NULL: error_out says what is wrong with it. */
static struct scope *token_read_scope(json_t *entry, const struct token_key *key, char *error_out,
                                      size_t error_bytes)
{
    static const char *const known[] = {"name",        "token",           "sha256",
                                        "certificate", "max_connections", NULL};
    struct scope *scope = scope_create(entry, known, error_out, error_bytes);
    if (scope != NULL && key->is_certificate && scope->publish != NULL) {
        snprintf(error_out, error_bytes,
                 "publish needs a token: producers present no certificate; give them an entry of "
                 "their own");
        scope_destroy(scope);
        return NULL;
    }
    return scope;
}

/* The newest token is a certificate. */
static int token_keep_certificate(struct token_table *table, const struct token_key *key,
                                  char *error_out, size_t error_bytes)
{
    struct token *token = &table->tokens[table->count - 1];
    token->certificate = strdup(key->certificate);
    if (token->certificate == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        return -ENOMEM;
    }
    table->certificate_count++;
    return 0;
}

static int token_load_one(struct token_table *table, json_t *entry, char *error_out,
                          size_t error_bytes)
{
    struct token_key key = {.is_certificate = false};
    const json_t *name = json_object_get(entry, "name");
    const json_t *connections = json_object_get(entry, "max_connections");
    json_int_t connections_max = json_integer_value(connections);
    if (!json_is_object(entry) || !json_is_string(name) || json_string_length(name) == 0) {
        snprintf(error_out, error_bytes, "it must be an object with a name");
        return -EINVAL;
    }
    if (connections != NULL && (!json_is_integer(connections) || connections_max < 1 ||
                                connections_max > (json_int_t)INT32_MAX)) {
        snprintf(error_out, error_bytes, "max_connections must be a whole number from 1");
        return -EINVAL;
    }
    if (!token_read_key(entry, &key, error_out, error_bytes)) {
        return -EINVAL;
    }
    struct scope *scope = token_read_scope(entry, &key, error_out, error_bytes);
    if (scope == NULL) {
        return -EINVAL;
    }
    int error = token_add(table, key.digest, json_string_value(name), json_string_length(name),
                          scope, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    assert_always(table->count > 0);
    table->tokens[table->count - 1].connections_max = (uint32_t)connections_max;
    return key.is_certificate ? token_keep_certificate(table, &key, error_out, error_bytes) : 0;
}

int token_table_load(struct token_table *table, const char *json, size_t json_bytes,
                     char *error_out, size_t error_bytes)
{
    json_error_t fault;
    json_t *root = json_load(json, json_bytes, &fault);
    json_t *list = json_object_get(root, "tokens");
    int error = 0;
    if (root == NULL) { /* The parser's own words may quote a token. */
        snprintf(error_out, error_bytes, "not JSON at line %d, column %d", fault.line,
                 fault.column);
        error = -EINVAL;
    } else if (!json_is_array(list) || json_object_size(root) != 1) {
        snprintf(error_out, error_bytes, "give {\"tokens\":[{\"name\":...,\"token\":...},...]}");
        error = -EINVAL;
    }
    for (size_t i = 0; error == 0 && i < json_array_size(list); i++) {
        char text[200] = "";
        error = token_load_one(table, json_array_get(list, i), text, sizeof text);
        if (error < 0) {
            snprintf(error_out, error_bytes, "tokens[%zu]: %s", i, text);
        }
    }
    json_decref(root);
    return error;
}

static void token_drop_uses(struct token_uses *uses)
{
    assert_always(uses->owner_count > 0);
    if (--uses->owner_count == 0) {
        free(uses);
    }
}

void token_table_follow(struct token_table *table, const struct token_table *before)
{
    for (uint32_t i = 0; i < table->count; i++) {
        struct token *token = &table->tokens[i];
        const struct token *known = token_find_same(before, token);
        if (known != NULL) {
            token_drop_uses(token->uses);
            token->uses = known->uses;
            token->uses->owner_count++;
            token->scope_before = scope_is_same(known->scope, token->scope) ? known->scope : NULL;
        }
    }
}

void token_table_deinit(struct token_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        scope_destroy(table->tokens[i].scope);
        free(table->tokens[i].certificate);
        token_drop_uses(table->tokens[i].uses);
    }
    free(table->tokens);
    free(table->slots);
    *table = (struct token_table){.hash = table->hash};
}

/* ---- Use ---- */

struct token *token_find(const struct token_table *table, const char *text, size_t text_bytes)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    if (text_bytes > TOKEN_BYTES_MAX) {
        return NULL;
    }
    token_digest(digest, text, text_bytes);
    return token_find_digest(table, digest);
}

/* Of a digest there is one entry; the other kind is none. */
static struct token *token_find_kind(const struct token_table *table, const uint8_t *digest,
                                     bool is_certificate)
{
    assert_debug((table->slots == NULL) == (table->count == 0));
    uint16_t slot = table->slots == NULL ? 0 : *token_slot(table, digest);
    struct token *token = slot == 0 ? NULL : &table->tokens[slot - 1];
    return token != NULL && (token->certificate != NULL) == is_certificate ? token : NULL;
}

struct token *token_find_digest(const struct token_table *table,
                                const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    return token_find_kind(table, digest, false);
}

struct token *token_find_certificate(const struct token_table *table, const char *name,
                                     size_t name_bytes)
{
    char folded[CERTIFICATE_NAME_BYTES_MAX + 1];
    uint8_t digest[TOKEN_DIGEST_BYTES];
    size_t bytes =
        table->certificate_count == 0 ? 0 : certificate_name_fold(folded, name, name_bytes);
    if (bytes == 0) {
        return NULL;
    }
    token_digest(digest, folded, bytes);
    return token_find_kind(table, digest, true);
}

struct token *token_find_same(const struct token_table *table, const struct token *other)
{
    return token_find_kind(table, other->digest, other->certificate != NULL);
}

bool token_take(struct token *token)
{
    uint32_t others = atomic_fetch_add(&token->uses->count, 1);
    assert_always(others < UINT32_MAX);
    if (token->connections_max != 0 && others >= token->connections_max) {
        token_release(token);
        return false;
    }
    return true;
}

void token_hold(struct token *token)
{
    uint32_t others = atomic_fetch_add(&token->uses->count, 1);
    assert_always(others < UINT32_MAX);
}

void token_release(struct token *token)
{
    uint32_t before = atomic_fetch_sub(&token->uses->count, 1);
    assert_always(before > 0);
}
