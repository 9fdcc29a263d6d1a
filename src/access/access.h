/*
 * access: the policy: which clients may connect, how often, under which name, and what they may
 * see.
 *
 * Owner    main creates it before the cores and destroys it after them, or when every core has a
 *          new one (docs/decisions/0071).
 * Threads  Any core asks without a lock: all is constant once made, except the table of addresses
 *          and the tokens' counts, which are atomic, and shared with the policy before.
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

#include "src/access/jwt.h"
#include "src/access/jwt_cache.h"
#include "src/access/peers.h"
#include "src/access/secrets.h"
#include "src/access/token.h"
#include "src/base/access_options.h"

#define ACCESS_WRONG_TOKEN_HANDSHAKES 4
#define ACCESS_SIGNATURE_UNITS JWT_EDDSA_UNITS /* of a turn, for handshakes, and for AUTHs */
#define ACCESS_KEPT_MAX 1024
#define ACCESS_CERTIFICATE_NAMES_MAX 256 /* of one certificate; others are not compared */

struct access;

/* hash: of the tables of tokens and addresses. */
int access_create(struct access **access_out, const struct access_options *options,
                  const struct keyed_hash *hash, char *error_out, size_t error_bytes);
/* One that is to replace another, and takes over its counts. before stays as it is. */
int access_renew(struct access **access_out, const struct access *before,
                 const struct access_options *options, const struct keyed_hash *hash,
                 char *error_out, size_t error_bytes);
void access_destroy(struct access *access);

/* Of the files, in the order of secrets_files. */
const struct secrets_digest *access_file_digests(const struct access *access);

/* For the log: the keys of JWTs, and which of a set were ignored. false: no file of them is given.
 */
bool access_describe_keys(const struct access *access, char *out, size_t out_bytes);

bool access_needs_token(const struct access *access);

enum access_verdict {
    ACCESS_OK,
    ACCESS_NO_TOKEN,  /* It may still come in an AUTH message. */
    ACCESS_BAD_TOKEN, /* 401, or 4001 */
    ACCESS_EXPIRED,   /* 401, or 4101 */
    ACCESS_FORBIDDEN, /* 403, or 4003 */
    ACCESS_TOO_FAST,  /* 429 */
    ACCESS_TOO_MANY,  /* 429, or 4113 */
    ACCESS_LATER,     /* Its signature waits for another turn. */
};

/* What was decided. text: for the log and the peer, a constant string. */
struct access_answer {
    enum access_verdict verdict;
    const char *text;
    uint64_t wait_ns; /* ACCESS_TOO_FAST */
};

/* ---- Addresses ---- */

/* The certificate of a client, which TLS has verified. */
struct access_certificate {
    uint64_t not_after_s; /* of the Unix clock */
    const char *names;    /* name_count strings, one behind the other: see certificate_name.h */
    uint32_t name_count;
};

/* A well-formed request to upgrade. */
struct access_request {
    const uint8_t *head; /* for handshake_values() */
    size_t head_bytes;
    const struct access_certificate *certificate; /* NULL: none */
};

/* Counts an accepted socket. Trusted proxies are not counted: their clients are, one by one, when
 * they ask. *entry_out: for access_leave. */
struct access_answer access_accept(struct access *access, const struct peer *peer, uint64_t now_ns,
                                   uint32_t *entry_out);
void access_leave(struct access *access, uint32_t entry);
/* A wrong token costs its address as much as ACCESS_WRONG_TOKEN_HANDSHAKES more handshakes. */
void access_punish(struct access *access, const struct peer *client, uint32_t entry,
                   uint64_t now_ns);

/* Whether its first bytes are to be a PROXY header. */
bool access_expects_proxy(const struct access *access, const struct peer *peer);

/* The client of a request. peer: the socket's, or the client that its PROXY header names. A trusted
 * proxy names its client in the request. */
struct peer access_client(const struct access *access, const struct peer *peer,
                          const struct access_request *request);

/* Whether a client may ask at all, by address and origin. is_forwarded: it is not the peer, and is
 * counted here. */
struct access_answer access_ask(struct access *access, const struct peer *client, bool is_forwarded,
                                const struct access_request *request, uint64_t now_ns,
                                uint32_t *entry_out);

/* Whether it may by address and origin; counts nothing. */
struct access_answer access_may_ask(const struct access *access, const struct peer *client,
                                    const struct access_request *request);
/* Whether anything depends on a client's address. */
bool access_asks_address(const struct access *access);
/* Whether a client that is connected may stay, by its address. */
bool access_may_stay(const struct access *access, const struct peer *client);
/* Counts a connection that was not counted when it came, where it would be now. Returns what to
 * leave; RATE_NONE: it is not counted. */
uint32_t access_hold(struct access *access, const struct peer *client, uint64_t now_ns);

/* The limit of messages that holds for a client. */
struct rate access_message_rate(const struct access *access, const struct peer *client);

/* ---- Tokens ---- */

/* What a token opens, until access_drop_grant. */
struct access_grant {
    const struct scope *scope; /* of the token, or owned */
    struct scope *owned;       /* a JWT's own; NULL: none */
    struct token *token;       /* a static one or a certificate's, which counts its connections */
    uint8_t fingerprint[JWT_FINGERPRINT_BYTES]; /* of the key of a JWT */
    uint64_t life_ns;                           /* how long it still holds; UINT64_MAX: for ever */
    uint64_t expires_s;                         /* since the epoch; 0: never */
    char name[TOKEN_NAME_BYTES_MAX + 1];
};

/* The name by which a client certificate was granted it; NULL: it was a token. */
static inline const char *access_grant_certificate(const struct access_grant *grant)
{
    return grant->token == NULL ? NULL : grant->token->certificate;
}

/* What a core has for tokens. A signature takes about 0.1 ms, so that only a few are checked in a
 * turn. Handshakes and AUTHs have a share each: neither keeps the other waiting. */
struct access_desk {
    struct jwt_cache *cache;
    struct jwt_budget handshakes, auths;
    uint32_t kept_count; /* requests that wait, up to ACCESS_KEPT_MAX */
};

int access_desk_open(struct access_desk *desk);
void access_desk_close(struct access_desk *desk);
/* Returns what signatures cost in the last one. */
uint64_t access_desk_begin_turn(struct access_desk *desk);

/* What is presented in an AUTH. */
struct access_token {
    const char *text;
    size_t bytes;
    uint32_t key_next; /* of struct jwt_check; 0 at first, and after ACCESS_LATER it stays */
};

struct access_answer access_authenticate(struct access *access, struct access_desk *desk,
                                         struct access_token *token, uint64_t wall_ns,
                                         struct access_grant *grant_out);

/* A request whose token waits for another turn. */
struct access_kept {
    uint32_t key_next;
    size_t head_bytes;
    uint8_t head[];
};

/* The same with what the request brings: a token, or without one, the certificate of its client if
 * that has an entry. *kept: NULL at first; while the verdict is ACCESS_LATER it
 * has a copy of the request, which is to be asked with then. */
struct access_answer access_authenticate_request(struct access *access, struct access_desk *desk,
                                                 const struct access_request *request,
                                                 uint64_t wall_ns, struct access_kept **kept,
                                                 struct access_grant *grant_out);
/* It waits no more; NULL: it did not. */
void access_forget_kept(struct access_desk *desk, struct access_kept **kept);
/* The token of an Authorization of the scheme Bearer, in any case, with blanks between and behind.
 */
bool access_bearer_token(const char *value, size_t value_bytes, const char **token_out,
                         size_t *token_bytes_out);
void access_drop_grant(struct access_grant *grant);

/* ---- A policy that replaces another ---- */

/* The desk is of the new policy now: it knows no signature by a key that has gone. */
void access_desk_follow(struct access_desk *desk, const struct access *access);

enum access_change {
    ACCESS_KEPT,    /* It opens the same as before. No token is needed: it is dropped. */
    ACCESS_OTHER,   /* It opens something else. */
    ACCESS_REVOKED, /* It opens nothing any more, and is dropped. */
    ACCESS_MISSING, /* There is none, and one is needed. */
};

/* Makes what the policy before granted, which must still be there, a grant of this one. A grant of
 * this one stays as it is. */
enum access_change access_judge(const struct access *access, struct access_grant *grant);

#endif
