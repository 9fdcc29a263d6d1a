#include "src/access/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/handshake.h"
#include "src/access/jwt.h"
#include "src/access/origins.h"
#include "src/access/secrets.h"

#define ACCESS_LIFE_SECONDS_MAX 1000000000 /* some 30 years: as good as for ever */
#define ACCESS_QUERY_KEY "token="

struct access {
    bool needs_token;
    bool allows_query_token;
    bool expects_proxy; /* from peers that are believed */
    bool has_key_files;
    bool has_same_keys; /* as the policy before */
    struct secrets_digest file_digests[SECRETS_FILES];
    struct token_table tokens;
    struct jwt_keys keys;
    struct peers peers;
    struct origins origins;
};

static int access_init(struct access *access, const struct access *before,
                       const struct access_options *options, const struct keyed_hash *hash,
                       char *error_out, size_t error_bytes)
{
    char words[256];
    access->needs_token = options->enable_auth;
    access->allows_query_token = options->allow_query_token;
    access->expects_proxy = options->proxy_protocol;
    access->has_key_files = options->jwt_key_file != NULL || options->jwt_secret_file != NULL;
    access->keys.issuer = options->jwt_issuer;
    access->keys.audience = options->jwt_audience;
    access->tokens.hash = *hash;
    int error = secrets_load(&access->tokens, &access->keys, options, access->file_digests,
                             error_out, error_bytes);
    if (error == 0) {
        error = peers_init(&access->peers, options, hash, before == NULL ? NULL : &before->peers,
                           error_out, error_bytes);
    }
    if (error < 0) {
        return error;
    }
    error = origins_init(&access->origins, options->allowed_origins, words, sizeof words);
    return error == 0
               ? 0
               : access_options_refuse(error_out, error_bytes, error, "allowed-origins", words);
}

int access_create(struct access **access_out, const struct access_options *options,
                  const struct keyed_hash *hash, char *error_out, size_t error_bytes)
{
    return access_renew(access_out, NULL, options, hash, error_out, error_bytes);
}

int access_renew(struct access **access_out, const struct access *before,
                 const struct access_options *options, const struct keyed_hash *hash,
                 char *error_out, size_t error_bytes)
{
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL) {
        snprintf(error_out, error_bytes, "access: no memory");
        return -ENOMEM;
    }
    int error = access_init(access, before, options, hash, error_out, error_bytes);
    if (error < 0) {
        access_destroy(access);
        return error;
    }
    /* Where tokens are asked for, one could be right; where not, none is kept. */
    assert_always(access->needs_token == (access->tokens.count + access->keys.count > 0));
    jwt_keys_take_fingerprints(&access->keys);
    if (before != NULL) {
        token_table_follow(&access->tokens, &before->tokens);
        access->has_same_keys = jwt_keys_are_same(&access->keys, &before->keys);
    }
    *access_out = access;
    return 0;
}

void access_destroy(struct access *access)
{
    token_table_deinit(&access->tokens);
    jwt_keys_deinit(&access->keys);
    peers_deinit(&access->peers);
    origins_deinit(&access->origins);
    free(access);
}

bool access_describe_keys(const struct access *access, char *out, size_t out_bytes)
{
    jwt_keys_describe(&access->keys, out, out_bytes);
    return access->has_key_files;
}

const struct secrets_digest *access_file_digests(const struct access *access)
{
    return access->file_digests;
}

bool access_needs_token(const struct access *access)
{
    return access->needs_token;
}

/* ---- Addresses ---- */

static struct access_answer access_count(struct access *access, const struct peer *peer,
                                         uint64_t now_ns, uint32_t *entry_out)
{
    struct access_answer answer = {.text = "ok"};
    enum rate_verdict verdict =
        peers_take(&access->peers, peer, now_ns, entry_out, &answer.wait_ns);
    if (verdict == RATE_TOO_FAST) {
        answer.verdict = ACCESS_TOO_FAST;
        answer.text = "too many handshakes from this address";
    } else if (verdict == RATE_TOO_MANY) {
        answer.verdict = ACCESS_TOO_MANY;
        answer.text = "too many connections from this address";
    }
    return answer;
}

struct access_answer access_accept(struct access *access, const struct peer *peer, uint64_t now_ns,
                                   uint32_t *entry_out)
{
    *entry_out = RATE_NONE;
    if (peers_trust(&access->peers, peer)) {
        return (struct access_answer){.text = "ok"};
    }
    return access_count(access, peer, now_ns, entry_out);
}

void access_leave(struct access *access, uint32_t entry)
{
    peers_release(&access->peers, entry);
}

void access_punish(struct access *access, const struct peer *client, uint32_t entry,
                   uint64_t now_ns)
{
    peers_charge(&access->peers, client, entry, ACCESS_WRONG_TOKEN_HANDSHAKES, now_ns);
}

bool access_expects_proxy(const struct access *access, const struct peer *peer)
{
    return access->expects_proxy && peers_trust(&access->peers, peer);
}

struct peer access_client(const struct access *access, const struct peer *peer,
                          const struct access_request *request)
{
    return peers_client(&access->peers, peer, request->head, request->head_bytes);
}

struct access_answer access_ask(struct access *access, const struct peer *client, bool is_forwarded,
                                const struct access_request *request, uint64_t now_ns,
                                uint32_t *entry_out)
{
    *entry_out = RATE_NONE;
    struct access_answer answer = access_may_ask(access, client, request);
    return answer.verdict == ACCESS_OK && is_forwarded
               ? access_count(access, client, now_ns, entry_out)
               : answer;
}

struct access_answer access_may_ask(const struct access *access, const struct peer *client,
                                    const struct access_request *request)
{
    if (!peers_allow(&access->peers, client)) {
        return (struct access_answer){ACCESS_FORBIDDEN, "this address is not allowed", 0};
    }
    if (!origins_allow(&access->origins, request->head, request->head_bytes)) {
        return (struct access_answer){ACCESS_FORBIDDEN, "this origin is not allowed", 0};
    }
    return (struct access_answer){.text = "ok"};
}

bool access_asks_address(const struct access *access)
{
    const struct peers *peers = &access->peers;
    return access->needs_token || peers->has_limits || peers->allow.count + peers->deny.count > 0;
}

bool access_may_stay(const struct access *access, const struct peer *client)
{
    return peers_allow(&access->peers, client);
}

uint32_t access_hold(struct access *access, const struct peer *client, uint64_t now_ns)
{
    return peers_trust(&access->peers, client) ? RATE_NONE
                                               : peers_hold(&access->peers, client, now_ns);
}

struct rate access_message_rate(const struct access *access, const struct peer *client)
{
    return peers_message_rate(&access->peers, client);
}

/* ---- Tokens ---- */

static struct access_answer access_grant_static(struct token *token, struct access_grant *grant)
{
    assert_always(token->scope != NULL);
    if (!token_take(token)) {
        return (struct access_answer){ACCESS_TOO_MANY, "too many connections with this token", 0};
    }
    *grant = (struct access_grant){.scope = token->scope, .token = token, .life_ns = UINT64_MAX};
    memcpy(grant->name, token->name, sizeof grant->name);
    return (struct access_answer){.text = "ok"};
}

/* How long something holds that ends at expires_s, with the leeway; 0: it has ended. */
static uint64_t access_life_ns(uint64_t expires_s, uint64_t wall_ns)
{
    uint64_t wall_s = wall_ns / NS_PER_SECOND;
    uint64_t ended_s = wall_s > JWT_LEEWAY_SECONDS ? wall_s - JWT_LEEWAY_SECONDS : 0;
    uint64_t life_s = expires_s > ended_s ? expires_s - ended_s : 0;
    life_s = life_s < ACCESS_LIFE_SECONDS_MAX ? life_s : ACCESS_LIFE_SECONDS_MAX;
    return life_s == 0 ? 0 : life_s * NS_PER_SECOND - wall_ns % NS_PER_SECOND;
}

/* The claim "ringcast" is the scope: a token without one was made for something else. */
static struct access_answer access_grant_claims(const struct jwt_verdict *verdict, uint64_t wall_ns,
                                                struct access_grant *grant)
{
    char words[256];
    json_t *object = json_object_get(verdict->claims, "ringcast");
    struct scope *scope = object == NULL ? NULL : scope_create(object, NULL, words, sizeof words);
    if (scope == NULL) {
        return (struct access_answer){ACCESS_FORBIDDEN,
                                      object == NULL
                                          ? "the token has no claim \"ringcast\""
                                          : "the token's claim \"ringcast\" is not a scope",
                                      0};
    }
    uint64_t life_ns = access_life_ns(verdict->expires_s, wall_ns);
    assert_always(life_ns > 0); /* It is JWT_OK. */
    *grant = (struct access_grant){
        .scope = scope,
        .owned = scope,
        .life_ns = life_ns,
        .expires_s = verdict->expires_s,
    };
    const json_t *subject = json_object_get(verdict->claims, "sub");
    if (json_is_string(subject)) {
        token_clean_name(grant->name, json_string_value(subject), json_string_length(subject));
    } else {
        strcpy(grant->name, "jwt");
    }
    return (struct access_answer){.text = "ok"};
}

static struct access_answer access_refuse_jwt(enum jwt_status status)
{
    enum access_verdict verdict = ACCESS_BAD_TOKEN;
    if (status == JWT_LATER) {
        verdict = ACCESS_LATER;
    } else if (status == JWT_EXPIRED) {
        verdict = ACCESS_EXPIRED;
    } else if (status == JWT_BAD_CLAIMS) {
        verdict = ACCESS_FORBIDDEN;
    }
    return (struct access_answer){verdict, jwt_status_text(status), 0};
}

void access_desk_close(struct access_desk *desk)
{
    assert_always(desk->kept_count == 0);
    jwt_cache_destroy(desk->cache);
}

uint64_t access_desk_begin_turn(struct access_desk *desk)
{
    int64_t left = desk->handshakes.units_left + desk->auths.units_left;
    assert_always(left <= 2 * ACCESS_SIGNATURE_UNITS);
    desk->handshakes.units_left = ACCESS_SIGNATURE_UNITS;
    desk->auths.units_left = ACCESS_SIGNATURE_UNITS;
    return (uint64_t)(2 * ACCESS_SIGNATURE_UNITS - left);
}

int access_desk_open(struct access_desk *desk)
{
    *desk = (struct access_desk){.cache = jwt_cache_create()};
    (void)access_desk_begin_turn(desk);
    return desk->cache == NULL ? -ENOMEM : 0;
}

static struct access_answer access_check_jwt(struct access *access, struct access_desk *desk,
                                             struct jwt_check *check,
                                             const struct access_token *token,
                                             const uint8_t *digest, uint64_t wall_ns,
                                             struct access_grant *grant_out)
{
    struct jwt_verdict verdict;
    uint32_t key = 0;
    bool is_cached = jwt_cache_has(desk->cache, digest, &key);
    check->is_right = is_cached;
    if (!is_cached && check->budget->units_left <= 0) {
        return access_refuse_jwt(JWT_LATER);
    }
    enum jwt_status status = jwt_verify(&access->keys, token->text, token->bytes,
                                        wall_ns / NS_PER_SECOND, check, &verdict);
    if (check->is_right && !is_cached) {
        key = check->key_next; /* the one that was right */
        jwt_cache_add(desk->cache, digest, key);
    }
    if (status != JWT_OK) {
        return access_refuse_jwt(status);
    }
    struct access_answer answer = access_grant_claims(&verdict, wall_ns, grant_out);
    json_decref(verdict.claims);
    if (answer.verdict == ACCESS_OK) {
        assert_always(key < access->keys.count);
        memcpy(grant_out->fingerprint, access->keys.keys[key].fingerprint,
               sizeof grant_out->fingerprint);
    }
    return answer;
}

static struct access_answer access_check(struct access *access, struct access_desk *desk,
                                         struct jwt_budget *budget, struct access_token *token,
                                         uint64_t wall_ns, struct access_grant *grant_out)
{
    static const struct access_answer unknown = {ACCESS_BAD_TOKEN, "unknown token", 0};
    struct jwt_check check = {.budget = budget, .key_next = token->key_next};
    uint8_t digest[TOKEN_DIGEST_BYTES];
    if (token->bytes > TOKEN_BYTES_MAX) {
        return unknown;
    }
    token_digest(digest, token->text, token->bytes);
    struct token *known = token_find_digest(&access->tokens, digest);
    if (known != NULL) {
        return access_grant_static(known, grant_out);
    }
    if (access->keys.count == 0 || memchr(token->text, '.', token->bytes) == NULL) {
        return unknown;
    }
    struct access_answer answer =
        access_check_jwt(access, desk, &check, token, digest, wall_ns, grant_out);
    token->key_next = check.key_next;
    return answer;
}

struct access_answer access_authenticate(struct access *access, struct access_desk *desk,
                                         struct access_token *token, uint64_t wall_ns,
                                         struct access_grant *grant_out)
{
    return access_check(access, desk, &desk->auths, token, wall_ns, grant_out);
}

/* The value of token= in the query, percent-decoded into out. Returns its length, 0: none. */
static size_t access_query_token(const struct access_request *request, char *out, size_t out_bytes)
{
    size_t bytes;
    const char *target = handshake_target(request->head, request->head_bytes, &bytes);
    const char *at = target == NULL ? NULL : memchr(target, '?', bytes);
    if (at == NULL) {
        return 0;
    }
    const char *end = target + bytes;
    while (at != NULL && (size_t)(end - at - 1) >= sizeof ACCESS_QUERY_KEY - 1 &&
           memcmp(at + 1, ACCESS_QUERY_KEY, sizeof ACCESS_QUERY_KEY - 1) != 0) {
        at = memchr(at + 1, '&', (size_t)(end - at - 1));
    }
    if (at == NULL || (size_t)(end - at) < sizeof ACCESS_QUERY_KEY) {
        return 0;
    }
    size_t count = 0;
    for (at += sizeof ACCESS_QUERY_KEY; at < end && *at != '&' && count < out_bytes; at++) {
        unsigned byte;
        char digits[3] = "";
        if (*at == '%' && end - at > 2) {
            memcpy(digits, at + 1, 2);
        }
        bool is_escaped = digits[0] != '\0' && strspn(digits, "0123456789abcdefABCDEF") == 2 &&
                          sscanf(digits, "%x", &byte) == 1;
        out[count++] = is_escaped ? (char)byte : *at;
        at += is_escaped ? 2 : 0;
    }
    assert_always(count <= out_bytes);
    return count;
}

bool access_bearer_token(const char *value, size_t value_bytes, const char **token_out,
                         size_t *token_bytes_out)
{
    static const char scheme[] = "Bearer";
    const size_t scheme_bytes = sizeof scheme - 1;
    const char *end = value + value_bytes;
    if (value_bytes < scheme_bytes || strncasecmp(value, scheme, scheme_bytes) != 0) {
        return false;
    }
    const char *token = value + scheme_bytes;
    while (token < end && (*token == ' ' || *token == '\t')) {
        token++;
    }
    while (end > token && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *token_out = token;
    *token_bytes_out = (size_t)(end - token);
    /* Of "Bearerx" the scheme is another one. */
    return token > value + scheme_bytes || value_bytes == scheme_bytes;
}

/* The token of a request; query: memory for one that is there. Otherwise the answer says why there
 * is none. */
static struct access_answer access_find_token(const struct access *access,
                                              const struct access_request *request,
                                              char query[TOKEN_BYTES_MAX + 1],
                                              struct access_token *token_out)
{
    struct handshake_slice value;
    const char *bearer;
    size_t bytes;
    uint32_t count =
        handshake_values(request->head, request->head_bytes, "Authorization", &value, 1);
    if (count == 1 && access_bearer_token(value.text, value.bytes, &bearer, &bytes)) {
        *token_out = (struct access_token){.text = bearer, .bytes = bytes};
        return (struct access_answer){.text = "ok"};
    }
    /* Another scheme is somebody else's: a proxy that asks for a password has let it in. */
    bool has_other_scheme = count == 1 && (memchr(value.text, ' ', value.bytes) != NULL ||
                                           memchr(value.text, '\t', value.bytes) != NULL);
    if (count > 0 && !has_other_scheme) {
        return (struct access_answer){ACCESS_BAD_TOKEN, "send one Authorization: Bearer TOKEN", 0};
    }
    bytes =
        access->allows_query_token ? access_query_token(request, query, TOKEN_BYTES_MAX + 1) : 0;
    *token_out = (struct access_token){.text = query, .bytes = bytes};
    return (struct access_answer){.verdict = bytes == 0 ? ACCESS_NO_TOKEN : ACCESS_OK,
                                  .text = "no token"};
}

/* The first entry of the tokens file that has one of its names; NULL: there is none. */
static struct token *access_find_certificate(const struct access *access,
                                             const struct access_certificate *certificate)
{
    struct token *first = NULL;
    const char *name = certificate->names;
    uint32_t count = certificate->name_count < ACCESS_CERTIFICATE_NAMES_MAX
                         ? certificate->name_count
                         : ACCESS_CERTIFICATE_NAMES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strlen(name);
        struct token *known = token_find_certificate(&access->tokens, name, bytes);
        first = known != NULL && (first == NULL || known < first) ? known : first;
        name += bytes + 1;
    }
    return first;
}

/* TLS has verified it; but a resumed session may be older than its end. */
static struct access_answer access_check_certificate(const struct access *access,
                                                     const struct access_certificate *certificate,
                                                     uint64_t wall_ns,
                                                     struct access_grant *grant_out)
{
    struct token *known = access_find_certificate(access, certificate);
    if (known == NULL) {
        return (struct access_answer){ACCESS_NO_TOKEN, "no token", 0};
    }
    uint64_t life_ns = access_life_ns(certificate->not_after_s, wall_ns);
    if (life_ns == 0) {
        return (struct access_answer){ACCESS_EXPIRED, "the client certificate has expired", 0};
    }
    struct access_answer answer = access_grant_static(known, grant_out);
    if (answer.verdict == ACCESS_OK) {
        grant_out->life_ns = life_ns;
        grant_out->expires_s = certificate->not_after_s;
    }
    return answer;
}

/* Its token waits. */
static struct access_answer access_keep(struct access_desk *desk,
                                        const struct access_request *request, uint32_t key_next,
                                        struct access_kept **kept)
{
    static const struct access_answer too_many = {ACCESS_TOO_FAST,
                                                  "too many tokens are waiting to be checked", 0};
    assert_always(desk->kept_count <= ACCESS_KEPT_MAX);
    if (*kept == NULL) {
        struct access_kept *fresh = desk->kept_count == ACCESS_KEPT_MAX
                                        ? NULL
                                        : malloc(sizeof *fresh + request->head_bytes);
        if (fresh == NULL) {
            return too_many;
        }
        fresh->head_bytes = request->head_bytes;
        memcpy(fresh->head, request->head, request->head_bytes);
        *kept = fresh;
        desk->kept_count++;
    }
    (*kept)->key_next = key_next;
    return access_refuse_jwt(JWT_LATER);
}

void access_forget_kept(struct access_desk *desk, struct access_kept **kept)
{
    if (*kept != NULL) {
        assert_always(desk->kept_count > 0);
        desk->kept_count--;
        free(*kept);
        *kept = NULL;
    }
}

struct access_answer access_authenticate_request(struct access *access, struct access_desk *desk,
                                                 const struct access_request *request,
                                                 uint64_t wall_ns, struct access_kept **kept,
                                                 struct access_grant *grant_out)
{
    char query[TOKEN_BYTES_MAX + 1];
    struct access_token token;
    struct access_answer answer = access_find_token(access, request, query, &token);
    if (answer.verdict == ACCESS_NO_TOKEN && request->certificate != NULL) {
        return access_check_certificate(access, request->certificate, wall_ns, grant_out);
    }
    if (answer.verdict != ACCESS_OK) {
        return answer;
    }
    token.key_next = *kept == NULL ? 0 : (*kept)->key_next;
    answer = access_check(access, desk, &desk->handshakes, &token, wall_ns, grant_out);
    return answer.verdict == ACCESS_LATER ? access_keep(desk, request, token.key_next, kept)
                                          : answer;
}

void access_drop_grant(struct access_grant *grant)
{
    assert_debug(grant->owned == NULL || (grant->owned == grant->scope && grant->token == NULL));
    if (grant->token != NULL) {
        token_release(grant->token);
    }
    scope_destroy(grant->owned);
    *grant = (struct access_grant){0};
}

/* ---- A policy that replaces another ---- */

void access_desk_follow(struct access_desk *desk, const struct access *access)
{
    if (!access->has_same_keys) {
        jwt_cache_clear(desk->cache);
    }
}

static enum access_change access_judge_static(const struct access *access,
                                              struct access_grant *grant)
{
    struct token *known = token_find_same(&access->tokens, grant->token);
    if (known == NULL) {
        access_drop_grant(grant);
        return ACCESS_REVOKED;
    }
    if (known == grant->token) {
        return ACCESS_KEPT;
    }
    assert_always(known->uses == grant->token->uses); /* The connection stays counted. */
    bool is_same = known->scope_before == grant->scope;
    grant->token = known;
    grant->scope = known->scope;
    memcpy(grant->name, known->name, sizeof grant->name);
    return is_same ? ACCESS_KEPT : ACCESS_OTHER;
}

enum access_change access_judge(const struct access *access, struct access_grant *grant)
{
    if (!access->needs_token) {
        access_drop_grant(grant);
        return ACCESS_KEPT;
    }
    if (grant->scope == NULL) {
        return ACCESS_MISSING;
    }
    if (grant->token != NULL) {
        return access_judge_static(access, grant);
    }
    if (jwt_keys_have(&access->keys, grant->fingerprint)) {
        return ACCESS_KEPT;
    }
    access_drop_grant(grant);
    return ACCESS_REVOKED;
}
