/*
 * request_symbols: what SYMBOLS and GET /symbols ask for.
 *
 * Memory   Borrowed from the message or the URL.
 * Source   docs/protocol.md, "SYMBOLS".
 */
#ifndef RINGCAST_SRC_REQUEST_SYMBOLS_H
#define RINGCAST_SRC_REQUEST_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_SYMBOLS_LIMIT_MAX 1000
#define REQUEST_SYMBOLS_LIMIT 100 /* unless another one is given */

struct request_symbols {
    const char *pattern; /* terminated, like: */
    const char *after;
    int64_t limit;   /* 1 to REQUEST_SYMBOLS_LIMIT_MAX, once it is checked */
    bool only_stale; /* of GET /symbols only */
};

#define REQUEST_SYMBOLS_ALL                                                                        \
    ((struct request_symbols){.pattern = "*", .after = "", .limit = REQUEST_SYMBOLS_LIMIT})

/* NULL, or what is wrong with the field that *field_out names. */
const char *request_symbols_fault(const struct request_symbols *symbols, const char **field_out);

#endif
