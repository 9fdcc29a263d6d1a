/*
 * scope: what a token permits: which symbols and types a client may read, how many subscriptions
 * and messages it may have, and what a producer may publish.
 *
 * Owner    Its maker: a table of tokens, or the session whose JWT it came with.
 * Threads  Constant once made: any may look.
 * Memory   24 bytes and 37 for each pattern; the same again for what may be published.
 * Errors   NULL, with error_out saying which key is wrong and what is valid.
 * Source   docs/access.md, "Scopes" and "Publish".
 */
#ifndef RINGCAST_SRC_SCOPE_H
#define RINGCAST_SRC_SCOPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/md.h"
#include "src/base/pattern.h"

#define SCOPE_PATTERNS_MAX 1000
#define SCOPE_SUBSCRIPTIONS_MAX 1000000
#define SCOPE_RATE_MAX 10000

struct scope_pattern {
    uint8_t bytes;
    char text[PATTERN_BYTES_MAX];
};

struct scope {
    uint32_t types;               /* bit mask of enum md_type */
    uint32_t subscriptions_max;   /* 0: as everybody */
    uint32_t messages_per_second; /* 0: as everybody */
    uint32_t pattern_count;
    struct scope *publish; /* what a producer may publish; NULL: nothing */
    struct scope_pattern patterns[];
};

/* Permits clients everything, with the limits of all clients, and producers nothing. */
extern const struct scope scope_of_all;
/* Permits nothing. */
extern const struct scope scope_of_none;

/* From an object with any of symbols, types, max_subscriptions, messages_per_second, publish. What
 * is left out is not restricted, except publish: without it nothing may be published. publish is an
 * object with any of symbols, types. Any other key is a fault: a misspelt one must not permit
 * everything. known: further keys that may be there, NULL-terminated; NULL: none. */
struct scope *scope_create(json_t *object, const char *const *known, char *error_out,
                           size_t error_bytes);
void scope_destroy(struct scope *scope);
/* Whether both open the same; their limits may differ. */
bool scope_is_same(const struct scope *left, const struct scope *right);

/* Whether all that a symbol or pattern stands for, now and later, is open. */
bool scope_covers(const struct scope *scope, const char *text, size_t text_bytes,
                  enum md_type type);

#endif
