/*
 * token: the static tokens: which there are, and what each opens. A client certificate that has an
 * entry in the tokens file is one of them: its name stands for the token.
 *
 * Owner    main, through access: init before the cores, deinit after them.
 * Threads  Constant once made, except the count of connections, which is atomic.
 * Memory   An array of TOKENS_MAX at most, a hash of it, a scope and a count each. No token is
 *          kept: only its digest. A certificate's name is no secret, and is kept.
 * Errors   A negative errno with error_out saying what is wrong; it never has a token in it.
 *
 * What is presented is digested first (SHA-256). Its digest is looked up by a keyed hash, which
 * takes as long for 10 000 tokens as for one, and is compared in full: how much of a token is right
 * does not show in the time, since nobody can choose a digest.
 */
#ifndef RINGCAST_SRC_TOKEN_H
#define RINGCAST_SRC_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/keyed_hash.h"
#include "src/access/scope.h"

#define TOKENS_MAX 10000
#define TOKEN_BYTES_MIN 16 /* of one that is configured: shorter ones can be guessed */
#define TOKEN_BYTES_MAX 4096
#define TOKEN_DIGEST_BYTES 32
#define TOKEN_NAME_BYTES_MAX 64

/* The connections with a token. Tables of which one replaces the other share them. */
struct token_uses {
    _Atomic uint32_t count;
    uint32_t owner_count; /* tables; main's */
};

struct token {
    uint8_t digest[TOKEN_DIGEST_BYTES];
    char name[TOKEN_NAME_BYTES_MAX + 1]; /* for the log: printable ASCII */
    uint32_t connections_max;            /* 0: no limit of its own */
    struct token_uses *uses;
    struct scope *scope;
    const struct scope *scope_before; /* The table before permits the same; NULL: it does not. */
    char *certificate;                /* its folded name, of which digest is; NULL: it is a token */
};

struct token_table {
    struct keyed_hash hash; /* set by the owner, before the first token */
    struct token *tokens;
    uint32_t count;
    uint32_t certificate_count; /* of the tokens, those that are certificates */
    uint16_t *slots; /* 1 + index, by hash of the digest; 0: free. NULL: there is no token */
};

/* A token alone, which opens everything. */
int token_table_add(struct token_table *table, const char *name, const char *text,
                    size_t text_bytes, char *error_out, size_t error_bytes);

/* {"tokens":[{"name":"desk-1","token":"..." or "sha256":"64 hex digits" or "certificate":"..."
 * (certificate_name.h), and the keys of a scope, "max_connections":N}]} */
int token_table_load(struct token_table *table, const char *json, size_t json_bytes,
                     char *error_out, size_t error_bytes);
void token_table_deinit(struct token_table *table);
/* Takes over the counts of the table that this one replaces. */
void token_table_follow(struct token_table *table, const struct token_table *before);

void token_digest(uint8_t digest_out[TOKEN_DIGEST_BYTES], const char *text, size_t text_bytes);

/* NULL: there is none such. What is presented as a token is never taken for a certificate. */
struct token *token_find(const struct token_table *table, const char *text, size_t text_bytes);
struct token *token_find_digest(const struct token_table *table,
                                const uint8_t digest[TOKEN_DIGEST_BYTES]);
/* The entry of a certificate with this name. */
struct token *token_find_certificate(const struct token_table *table, const char *name,
                                     size_t name_bytes);
/* The same token or certificate as one of another table. */
struct token *token_find_same(const struct token_table *table, const struct token *other);

/* Counts a connection. false: it has as many as it may. */
bool token_take(struct token *token);
/* Counts one all the same. */
void token_hold(struct token *token);
void token_release(struct token *token);

/* Replaces what is not printable ASCII, and a quote, by '?': a name goes to the log. */
void token_clean_name(char name_out[TOKEN_NAME_BYTES_MAX + 1], const char *text, size_t text_bytes);

#endif
