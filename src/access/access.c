#include "src/access/access.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "codec/handshake.h"
#include "src/access/cidr.h"
#include "src/access/jwt.h"
#include "src/access/key_text.h"
#include "src/base/file.h"

#define ACCESS_WORDS_BYTES_MAX 512
#define ACCESS_PATH_SHOWN_MAX 200
#define ACCESS_LIFE_SECONDS_MAX 1000000000 /* some 30 years: as good as for ever */
#define ACCESS_QUERY_KEY "token="

struct access {
    struct access_options options; /* Texts are borrowed; secrets are not kept. */
    struct token_table tokens;
    struct jwt_keys jwt;
    struct cidr_list allow, deny, trusted;
    char *origins; /* each with its terminator, after one another */
    uint32_t origin_count;
    bool any_origin;
    struct rate_table *addresses; /* NULL: no limits */
};

/* ---- Making it ---- */

static int access_fail(char *error_out, size_t error_bytes, int error, const char *option,
                       const char *text)
{
    snprintf(error_out, error_bytes, "--%s: %s", option, text);
    return error;
}

/* A whole file or pipe, terminated; *text_out is the caller's. */
static int access_read_file(const char *path, char **text_out, size_t *bytes_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = file_read(fd, ACCESS_FILE_BYTES_MAX, text_out, bytes_out);
    close(fd);
    return error;
}

/* What a file of secrets says, through load(). option: for errors. */
static int access_load_file(void *target, const char *option, const char *path,
                            int (*load)(void *target, const char *option, const char *text,
                                        size_t bytes, char *error_out, size_t error_bytes),
                            char *error_out, size_t error_bytes)
{
    char words[ACCESS_WORDS_BYTES_MAX] = "";
    char *text = NULL;
    size_t bytes = 0;
    int error = access_read_file(path, &text, &bytes);
    if (error < 0) {
        snprintf(words, sizeof words, "%s",
                 error == -EFBIG ? "it must be a file of at most 4 MiB" : strerror(-error));
        error = error == -ENOMEM ? error : -EINVAL;
    } else {
        error = load(target, option, text, bytes, words, sizeof words);
        OPENSSL_cleanse(text, bytes);
        free(text);
    }
    if (error < 0) {
        snprintf(error_out, error_bytes, "--%s: %.*s: %s", option, ACCESS_PATH_SHOWN_MAX, path,
                 words);
    }
    return error;
}

/* Blanks and newlines at the end are not part of it. A JWT may serve as a static token, too. */
static int access_load_token(void *tokens, const char *option, const char *text, size_t bytes,
                             char *error_out, size_t error_bytes)
{
    char name[TOKEN_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)(strstr(option, "-token") + 6 - option), option);
    while (bytes > 0 && memchr(" \t\r\n", text[bytes - 1], 4) != NULL) {
        bytes--;
    }
    char words[ACCESS_WORDS_BYTES_MAX];
    if (key_text_recognise((struct key_text){text, bytes}, false, words, sizeof words) &&
        strcmp(words, "it is a token") != 0) {
        snprintf(error_out, error_bytes,
                 "%s, and no secret token; `openssl rand -hex 32` makes a good one", words);
        return -EINVAL;
    }
    return token_table_add(tokens, name, text, bytes, error_out, error_bytes);
}

static int access_load_tokens(void *tokens, const char *option, const char *text, size_t bytes,
                              char *error_out, size_t error_bytes)
{
    (void)option;
    return token_table_load(tokens, text, bytes, error_out, error_bytes);
}

static int access_load_jwt(void *keys, const char *option, const char *text, size_t bytes,
                           char *error_out, size_t error_bytes)
{
    return strcmp(option, "jwt-secret-file") == 0
               ? jwt_keys_load_secret(keys, text, bytes, error_out, error_bytes)
               : jwt_keys_load(keys, text, bytes, error_out, error_bytes);
}

int access_load_one_token(struct token_table *tokens, const char *option, const char *text,
                          const char *path, char *error_out, size_t error_bytes)
{
    char words[ACCESS_WORDS_BYTES_MAX] = "";
    char file_option[64];
    int error =
        text == NULL ? 0 : token_table_add(tokens, option, text, strlen(text), words, sizeof words);
    if (error < 0) {
        return access_fail(error_out, error_bytes, error, option, words);
    }
    snprintf(file_option, sizeof file_option, "%s-file", option);
    return path == NULL ? 0
                        : access_load_file(tokens, file_option, path, access_load_token, error_out,
                                           error_bytes);
}

/* Tokens and keys come together with --enable-auth, or neither does. */
static int access_match_secrets(const struct access *access, char *error_out, size_t error_bytes)
{
    const struct access_options *options = &access->options;
    const char *const given[][2] = {{"auth-token", options->auth_token},
                                    {"auth-token-file", options->auth_token_file},
                                    {"tokens-file", options->tokens_file},
                                    {"jwt-key-file", options->jwt_key_file},
                                    {"jwt-secret-file", options->jwt_secret_file}};
    bool has_any = access->tokens.count > 0 || access->jwt.count > 0;
    if (options->enable_auth) {
        return has_any ? 0
                       : access_fail(error_out, error_bytes, -EINVAL, "enable-auth",
                                     "no token could be right; give --auth-token-file, "
                                     "--tokens-file, --jwt-key-file or --jwt-secret-file");
    }
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (given[i][1] != NULL) {
            return access_fail(error_out, error_bytes, -EINVAL, given[i][0],
                               "it is given, but clients are not asked for tokens; add "
                               "--enable-auth");
        }
    }
    return 0;
}

static int access_load_secrets(struct access *access, char *error_out, size_t error_bytes)
{
    const struct access_options *options = &access->options;
    int error = access_load_one_token(&access->tokens, "auth-token", options->auth_token,
                                      options->auth_token_file, error_out, error_bytes);
    if (error == 0 && options->tokens_file != NULL) {
        error = access_load_file(&access->tokens, "tokens-file", options->tokens_file,
                                 access_load_tokens, error_out, error_bytes);
    }
    if (error == 0 && options->jwt_key_file != NULL) {
        error = access_load_file(&access->jwt, "jwt-key-file", options->jwt_key_file,
                                 access_load_jwt, error_out, error_bytes);
    }
    if (error == 0 && options->jwt_secret_file != NULL) {
        error = access_load_file(&access->jwt, "jwt-secret-file", options->jwt_secret_file,
                                 access_load_jwt, error_out, error_bytes);
    }
    return error == 0 ? access_match_secrets(access, error_out, error_bytes) : error;
}

static int access_load_lists(struct access *access, char *error_out, size_t error_bytes)
{
    const struct access_options *options = &access->options;
    const struct {
        const char *option;
        const char *text;
        struct cidr_list *list;
    } lists[] = {{"ip-allow", options->ip_allow, &access->allow},
                 {"ip-deny", options->ip_deny, &access->deny},
                 {"trusted-proxies", options->trusted_proxies, &access->trusted}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char words[256];
        int error = cidr_list_init(lists[i].list, lists[i].text, words, sizeof words);
        if (error < 0) {
            return access_fail(error_out, error_bytes, error, lists[i].option, words);
        }
    }
    if (options->proxy_protocol && access->trusted.count == 0) {
        return access_fail(error_out, error_bytes, -EINVAL, "proxy-protocol",
                           "nobody is believed; give --trusted-proxies");
    }
    return 0;
}

/* An origin is a scheme, a host and perhaps a port, as browsers write it: no path, no capitals. */
static bool access_is_origin(const char *text, size_t bytes)
{
    const char *scheme = memmem(text, bytes, "://", 3);
    if (bytes == 1 && text[0] == '*') {
        return true;
    }
    if (scheme == NULL || scheme == text || scheme + 3 == text + bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool is_path = text[i] == '/' && text + i > scheme + 2;
        if (text[i] <= ' ' || text[i] > '~' || (text[i] >= 'A' && text[i] <= 'Z') || is_path) {
            return false;
        }
    }
    return true;
}

static int access_load_origins(struct access *access, char *error_out, size_t error_bytes)
{
    const char *text = access->options.allowed_origins;
    if (text == NULL || *text == '\0') {
        access->any_origin = true;
        return 0;
    }
    char *out = access->origins = malloc(strlen(text) + 2);
    if (out == NULL) {
        return access_fail(error_out, error_bytes, -ENOMEM, "allowed-origins", "no memory");
    }
    for (;; text++) {
        text += strspn(text, " ");
        size_t bytes = strcspn(text, ", ");
        if (!access_is_origin(text, bytes) || access->origin_count == ACCESS_ORIGINS_MAX) {
            return access_fail(error_out, error_bytes, -EINVAL, "allowed-origins",
                               "give at most 256 origins as browsers send them, in lower case and "
                               "without a path: https://example.com,https://example.com:8443");
        }
        access->any_origin |= bytes == 1 && *text == '*';
        memcpy(out, text, bytes);
        out[bytes] = '\0';
        out += bytes + 1;
        access->origin_count++;
        text += bytes;
        text += strspn(text, " ");
        if (*text != ',') {
            break;
        }
    }
    return *text == '\0' ? 0
                         : access_fail(error_out, error_bytes, -EINVAL, "allowed-origins",
                                       "separate origins by commas");
}

static int access_make_addresses(struct access *access, char *error_out, size_t error_bytes)
{
    uint64_t secret;
    if (!access->options.rate_limit_enabled) {
        return 0;
    }
    int error = getrandom(&secret, sizeof secret, 0) == (ssize_t)sizeof secret ? 0 : -errno;
    if (error == 0) {
        error = rate_table_create(&access->addresses, secret);
    }
    return error == 0
               ? 0
               : access_fail(error_out, error_bytes, error, "rate-limit-enabled", strerror(-error));
}

/* libcrypto 3 crashes where it is used after its own set-up found no memory. */
static int access_load_crypto(const struct access_options *options, char *error_out,
                              size_t error_bytes)
{
    const char *option = options->jwt_key_file != NULL ? "jwt-key-file" : "jwt-secret-file";
    bool has_keys = options->jwt_key_file != NULL || options->jwt_secret_file != NULL;
    return !has_keys || OSSL_LIB_CTX_get0_global_default() != NULL
               ? 0
               : access_fail(error_out, error_bytes, -ENOMEM, option, "no memory for libcrypto");
}

int access_create(struct access **access_out, const struct access_options *options, char *error_out,
                  size_t error_bytes)
{
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL) {
        snprintf(error_out, error_bytes, "access: no memory");
        return -ENOMEM;
    }
    access->options = *options;
    access->jwt.issuer = options->jwt_issuer;
    access->jwt.audience = options->jwt_audience;
    int error = access_load_crypto(options, error_out, error_bytes);
    if (error == 0) {
        error = access_load_secrets(access, error_out, error_bytes);
    }
    access->options.auth_token = NULL;
    if (error == 0) {
        error = access_load_lists(access, error_out, error_bytes);
    }
    if (error == 0) {
        error = access_load_origins(access, error_out, error_bytes);
    }
    if (error == 0) {
        error = access_make_addresses(access, error_out, error_bytes);
    }
    if (error < 0) {
        access_destroy(access);
        return error;
    }
    *access_out = access;
    return 0;
}

void access_destroy(struct access *access)
{
    token_table_deinit(&access->tokens);
    jwt_keys_deinit(&access->jwt);
    cidr_list_deinit(&access->allow);
    cidr_list_deinit(&access->deny);
    cidr_list_deinit(&access->trusted);
    free(access->origins);
    rate_table_destroy(access->addresses);
    free(access);
}

bool access_describe_keys(const struct access *access, char *out, size_t out_bytes)
{
    jwt_keys_describe(&access->jwt, out, out_bytes);
    return access->options.jwt_key_file != NULL || access->options.jwt_secret_file != NULL;
}

bool access_needs_token(const struct access *access)
{
    return access->options.enable_auth;
}

/* ---- Addresses ---- */

static bool access_trusts(const struct access *access, const struct core_source *source)
{
    return !source->is_unix && cidr_list_has(&access->trusted, &source->address);
}

static bool access_is_local(const struct core_source *source)
{
    return source->is_unix || ip_address_is_loopback(&source->address);
}

/* A limit that is given holds for all, the default spares who is on this host. 0: none. */
static uint32_t access_limit(uint32_t given, uint32_t otherwise, const struct core_source *source)
{
    return given != 0 ? given : access_is_local(source) ? 0 : otherwise;
}

static struct access_answer access_count_address(struct access *access,
                                                 const struct core_source *source, uint64_t now_ns,
                                                 uint32_t *entry_out)
{
    struct access_answer answer = {.text = "ok"};
    *entry_out = RATE_NONE;
    if (access->addresses == NULL || source->is_unix) {
        return answer;
    }
    uint32_t held_max =
        access_limit(access->options.ip_connections_max, ACCESS_IP_CONNECTIONS_DEFAULT, source);
    uint32_t per_s =
        access_limit(access->options.ip_handshakes_per_s, ACCESS_IP_HANDSHAKES_DEFAULT, source);
    if (held_max == 0 && per_s == 0) {
        return answer;
    }
    struct rate_limits limits = {.held_max = held_max == 0 ? UINT32_MAX : held_max};
    if (per_s != 0) {
        limits.rate = rate_per_second(per_s);
    }
    enum rate_verdict verdict = rate_table_take(access->addresses, &source->address, &limits,
                                                now_ns, entry_out, &answer.wait_ns);
    if (verdict == RATE_TOO_FAST) {
        answer.verdict = ACCESS_TOO_FAST;
        answer.text = "too many handshakes from this address";
    } else if (verdict == RATE_TOO_MANY) {
        answer.verdict = ACCESS_TOO_MANY;
        answer.text = "too many connections from this address";
    }
    return answer;
}

struct access_answer access_accept(struct access *access, const struct core_source *source,
                                   uint64_t now_ns, uint32_t *entry_out)
{
    *entry_out = RATE_NONE;
    if (access_trusts(access, source)) {
        return (struct access_answer){.text = "ok"};
    }
    return access_count_address(access, source, now_ns, entry_out);
}

void access_leave(struct access *access, uint32_t entry)
{
    if (access->addresses != NULL) {
        rate_table_release(access->addresses, entry);
    }
}

bool access_expects_proxy(const struct access *access, const struct core_source *source)
{
    return access->options.proxy_protocol && access_trusts(access, source);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool access_parse_hop(struct ip_address *address_out, const char *text, size_t bytes)
{
    if (bytes > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', bytes);
        return end != NULL && ip_address_parse(address_out, text + 1, (size_t)(end - text - 1));
    }
    const char *colon = memchr(text, ':', bytes);
    if (colon != NULL && memchr(colon + 1, ':', (size_t)(text + bytes - colon - 1)) == NULL) {
        bytes = (size_t)(colon - text);
    }
    return ip_address_parse(address_out, text, bytes);
}

/* The last element of a list, which is made shorter by it. */
static bool access_last_element(const char *list, size_t *list_bytes, const char **text_out,
                                size_t *bytes_out)
{
    if (*list_bytes == 0) {
        return false;
    }
    size_t at = *list_bytes;
    while (at > 0 && list[at - 1] != ',') {
        at--;
    }
    const char *text = list + at;
    size_t bytes = *list_bytes - at;
    while (bytes > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        bytes--;
    }
    while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) {
        bytes--;
    }
    *list_bytes = at > 0 ? at - 1 : 0;
    *text_out = text;
    *bytes_out = bytes;
    return true;
}

/* Each hop says who came to it: from the last one on, as long as who says it is believed. What a
 * client wrote itself stands further left and is not reached. */
static void access_follow_hops(const struct access *access, const struct core_request *request,
                               struct core_source *client)
{
    uint32_t field = 0;
    size_t bytes;
    while (handshake_header(request->head, request->head_bytes, "X-Forwarded-For", field, &bytes) !=
           NULL) {
        field++;
    }
    uint32_t hops = 0;
    while (field > 0) {
        const char *list = handshake_header(request->head, request->head_bytes, "X-Forwarded-For",
                                            --field, &bytes);
        const char *text;
        size_t text_bytes;
        while (access_last_element(list, &bytes, &text, &text_bytes)) {
            struct ip_address hop;
            if (!access_trusts(access, client) || hops++ == ACCESS_FORWARDED_MAX ||
                !access_parse_hop(&hop, text, text_bytes)) {
                return;
            }
            *client = (struct core_source){.address = hop};
        }
    }
}

struct core_source access_client(const struct access *access, const struct core_source *peer,
                                 const struct core_request *request)
{
    struct core_source client = request->proxied != NULL ? *request->proxied : *peer;
    size_t bytes;
    if (!access_trusts(access, &client)) {
        return client;
    }
    if (handshake_header(request->head, request->head_bytes, "X-Forwarded-For", 0, &bytes) !=
        NULL) {
        access_follow_hops(access, request, &client);
        return client;
    }
    struct ip_address real;
    const char *text = handshake_header(request->head, request->head_bytes, "X-Real-IP", 0, &bytes);
    if (text != NULL && access_parse_hop(&real, text, bytes)) {
        client = (struct core_source){.address = real};
    }
    return client;
}

/* A request without Origin is no browser's page, and can say what it likes. */
static bool access_origin_is_allowed(const struct access *access,
                                     const struct core_request *request)
{
    size_t bytes;
    size_t more_bytes;
    const char *origin = handshake_header(request->head, request->head_bytes, "Origin", 0, &bytes);
    if (access->any_origin || origin == NULL) {
        return true;
    }
    if (handshake_header(request->head, request->head_bytes, "Origin", 1, &more_bytes) != NULL) {
        return false;
    }
    const char *allowed = access->origins;
    for (uint32_t i = 0; i < access->origin_count; i++, allowed += strlen(allowed) + 1) {
        if (strlen(allowed) == bytes && memcmp(allowed, origin, bytes) == 0) {
            return true;
        }
    }
    return false;
}

struct access_answer access_ask(struct access *access, const struct core_source *client,
                                bool is_forwarded, const struct core_request *request,
                                uint64_t now_ns, uint32_t *entry_out)
{
    bool is_denied =
        !client->is_unix &&
        (cidr_list_has(&access->deny, &client->address) ||
         (access->allow.count > 0 && !cidr_list_has(&access->allow, &client->address)));
    *entry_out = RATE_NONE;
    if (is_denied) {
        return (struct access_answer){ACCESS_FORBIDDEN, "this address is not allowed", 0};
    }
    if (!access_origin_is_allowed(access, request)) {
        return (struct access_answer){ACCESS_FORBIDDEN, "this origin is not allowed", 0};
    }
    if (is_forwarded) {
        return access_count_address(access, client, now_ns, entry_out);
    }
    return (struct access_answer){.text = "ok"};
}

struct rate access_message_rate(const struct access *access, const struct core_source *client)
{
    uint32_t per_s = access_limit(access->options.messages_per_s, ACCESS_MESSAGES_DEFAULT, client);
    return access->options.rate_limit_enabled && per_s != 0 ? rate_per_second(per_s)
                                                            : (struct rate){0};
}

/* ---- Tokens ---- */

static struct access_answer access_grant_static(struct token *token, struct access_grant *grant)
{
    if (!token_take(token)) {
        return (struct access_answer){ACCESS_TOO_MANY, "too many connections with this token", 0};
    }
    *grant = (struct access_grant){.scope = token->scope, .token = token, .life_ns = UINT64_MAX};
    memcpy(grant->name, token->name, sizeof grant->name);
    return (struct access_answer){.text = "ok"};
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
                                      object == NULL ? "the token has no claim \"ringcast\""
                                                     : "the token's claim \"ringcast\" is no scope",
                                      0};
    }
    uint64_t wall_s = wall_ns / NS_PER_SECOND;
    uint64_t life_s = verdict->expires_s + JWT_LEEWAY_SECONDS - wall_s;
    life_s = life_s < ACCESS_LIFE_SECONDS_MAX ? life_s : ACCESS_LIFE_SECONDS_MAX;
    *grant = (struct access_grant){
        .scope = scope,
        .owned = scope,
        .life_ns = life_s * NS_PER_SECOND - wall_ns % NS_PER_SECOND,
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
    if (status == JWT_EXPIRED) {
        verdict = ACCESS_EXPIRED;
    } else if (status == JWT_BAD_CLAIMS) {
        verdict = ACCESS_FORBIDDEN;
    }
    return (struct access_answer){verdict, jwt_status_text(status), 0};
}

struct access_answer access_authenticate(struct access *access, const char *token,
                                         size_t token_bytes, uint64_t wall_ns,
                                         struct access_grant *grant_out)
{
    struct token *known = token_find(&access->tokens, token, token_bytes);
    if (known != NULL) {
        return access_grant_static(known, grant_out);
    }
    if (access->jwt.count == 0 || memchr(token, '.', token_bytes) == NULL) {
        return (struct access_answer){ACCESS_BAD_TOKEN, "unknown token", 0};
    }
    struct jwt_verdict verdict;
    enum jwt_status status =
        jwt_verify(&access->jwt, token, token_bytes, wall_ns / NS_PER_SECOND, &verdict);
    if (status != JWT_OK) {
        return access_refuse_jwt(status);
    }
    struct access_answer answer = access_grant_claims(&verdict, wall_ns, grant_out);
    json_decref(verdict.claims);
    return answer;
}

/* The value of token= in the query, percent-decoded into out. Returns its length, 0: none. */
static size_t access_query_token(const struct core_request *request, char *out, size_t out_bytes)
{
    size_t bytes;
    const char *target = handshake_target(request->head, request->head_bytes, &bytes);
    const char *at = target == NULL ? NULL : memchr(target, '?', bytes);
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
    return count;
}

struct access_answer access_authenticate_request(struct access *access,
                                                 const struct core_request *request,
                                                 uint64_t wall_ns, struct access_grant *grant_out)
{
    static const char scheme[] = "Bearer ";
    size_t bytes;
    size_t more_bytes;
    const char *value =
        handshake_header(request->head, request->head_bytes, "Authorization", 0, &bytes);
    if (value != NULL) {
        bool is_good =
            bytes >= sizeof scheme - 1 && strncasecmp(value, scheme, sizeof scheme - 1) == 0 &&
            handshake_header(request->head, request->head_bytes, "Authorization", 1, &more_bytes) ==
                NULL;
        if (!is_good) {
            return (struct access_answer){ACCESS_BAD_TOKEN, "send one Authorization: Bearer TOKEN",
                                          0};
        }
        return access_authenticate(access, value + sizeof scheme - 1, bytes - (sizeof scheme - 1),
                                   wall_ns, grant_out);
    }
    char token[TOKEN_BYTES_MAX + 1];
    bytes =
        access->options.allow_query_token ? access_query_token(request, token, sizeof token) : 0;
    if (bytes == 0) {
        return (struct access_answer){ACCESS_NO_TOKEN, "no token", 0};
    }
    return access_authenticate(access, token, bytes, wall_ns, grant_out);
}

void access_drop_grant(struct access_grant *grant)
{
    if (grant->token != NULL) {
        token_release(grant->token);
    }
    scope_destroy(grant->owned);
    *grant = (struct access_grant){0};
}
