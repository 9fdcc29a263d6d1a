/*
 * access: who may come in, as whom, how often, and what for.
 *
 * Owner    main creates it before the cores and destroys it after them.
 * Threads  Constant once made, but for the table of addresses and the tokens' counts, which are
 *          atomic: any core asks without a lock.
 * Memory   Tokens, keys and lists as configured; 1.5 MiB for addresses when there are limits.
 * Units    Nanoseconds; wall_s is seconds of CLOCK_REALTIME.
 * Errors   A negative errno with error_out, which begins with the option ("--ip-deny: ..."), names
 *          its file, and never has a secret in it.
 * Source   docs/access.md.
 */
#ifndef RINGCAST_SRC_ACCESS_H
#define RINGCAST_SRC_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/core/core.h"
#include "src/access/rate_limit.h"
#include "src/access/token.h"

#define ACCESS_IP_CONNECTIONS_DEFAULT 20
#define ACCESS_IP_HANDSHAKES_DEFAULT 10 /* a second; twice as many at once */
#define ACCESS_MESSAGES_DEFAULT 5       /* a second; twice as many at once */
#define ACCESS_FORWARDED_MAX 32         /* hops of X-Forwarded-For that are looked at */
#define ACCESS_ORIGINS_MAX 256
#define ACCESS_FILE_BYTES_MAX (4 * 1024 * 1024)

struct access_options {
    bool enable_auth;
    const char *auth_token; /* NULL: none, as in all that follow */
    const char *auth_token_file;
    const char *tokens_file;
    const char *jwt_key_file;
    const char *jwt_secret_file;
    const char *jwt_issuer;
    const char *jwt_audience;
    bool allow_query_token;
    const char *allowed_origins;
    const char *ip_allow;
    const char *ip_deny;
    const char *trusted_proxies;
    bool proxy_protocol;
    bool rate_limit_enabled;
    uint32_t ip_connections_max;  /* 0: the default, which spares loopback and Unix sockets; */
    uint32_t ip_handshakes_per_s; /* a number that is given holds for all */
    uint32_t messages_per_s;
};

struct access;

int access_create(struct access **access_out, const struct access_options *options, char *error_out,
                  size_t error_bytes);
void access_destroy(struct access *access);

/* For the log: the keys of JWTs, and which of a set were ignored. false: no file of them is given.
 */
bool access_describe_keys(const struct access *access, char *out, size_t out_bytes);

/* Into a table: a token and one from a file, each if it is not NULL. option: "auth-token". */
int access_load_one_token(struct token_table *tokens, const char *option, const char *text,
                          const char *path, char *error_out, size_t error_bytes);

bool access_needs_token(const struct access *access);

enum access_verdict {
    ACCESS_OK,
    ACCESS_NO_TOKEN,  /* It may still come in an AUTH message. */
    ACCESS_BAD_TOKEN, /* 401, or 4001 */
    ACCESS_EXPIRED,   /* 401, or 4101 */
    ACCESS_FORBIDDEN, /* 403, or 4003 */
    ACCESS_TOO_FAST,  /* 429 */
    ACCESS_TOO_MANY,  /* 429, or 4113 */
};

/* What was decided, and the words for the log and the peer: a constant string. */
struct access_answer {
    enum access_verdict verdict;
    const char *text;
    uint64_t wait_ns; /* ACCESS_TOO_FAST */
};

/* ---- Addresses ---- */

/* An accepted socket. Proxies that are believed are spared: their clients are counted one by one
 * when they ask. *entry_out: for access_leave. */
struct access_answer access_accept(struct access *access, const struct core_source *source,
                                   uint64_t now_ns, uint32_t *entry_out);
void access_leave(struct access *access, uint32_t entry);

/* Whether its first bytes are to be a PROXY header. */
bool access_expects_proxy(const struct access *access, const struct core_source *source);

/* Who asks: the peer, or whom it speaks for, if it is believed. */
struct core_source access_client(const struct access *access, const struct core_source *peer,
                                 const struct core_request *request);

/* Whether a client may ask at all, by address and origin. is_forwarded: it is not the peer, and is
 * counted here. */
struct access_answer access_ask(struct access *access, const struct core_source *client,
                                bool is_forwarded, const struct core_request *request,
                                uint64_t now_ns, uint32_t *entry_out);

/* The limit of messages that holds for a client. */
struct rate access_message_rate(const struct access *access, const struct core_source *client);

/* ---- Tokens ---- */

/* What a token opens, until access_drop_grant. */
struct access_grant {
    const struct scope *scope; /* of the token, or owned */
    struct scope *owned;       /* a JWT's own; NULL: none */
    struct token *token;       /* a static one, which counts its connections; NULL: none */
    uint64_t life_ns;          /* how long it still holds; UINT64_MAX: for ever */
    uint64_t expires_s;        /* since the epoch; 0: never */
    char name[TOKEN_NAME_BYTES_MAX + 1];
};

struct access_answer access_authenticate(struct access *access, const char *token,
                                         size_t token_bytes, uint64_t wall_ns,
                                         struct access_grant *grant_out);
/* The same with what the request brings. */
struct access_answer access_authenticate_request(struct access *access,
                                                 const struct core_request *request,
                                                 uint64_t wall_ns, struct access_grant *grant_out);
void access_drop_grant(struct access_grant *grant);

#endif
