/*
 * replay_symbol: the symbol of a recorded tick, with the venue that venue=NAME names.
 *
 * Threads  A pure function.
 * Memory   The caller's.
 */
#ifndef RINGCAST_FEEDS_REPLAY_SYMBOL_H
#define RINGCAST_FEEDS_REPLAY_SYMBOL_H

#include <string.h>

#include "codec/md.h"

#define REPLAY_SYMBOL_FAULT "its symbol gets no channel: a bad name, or too many channels"

/* Copies the symbol, with suffix in place of what follows its last dot; suffix NULL: as it is.
 * Returns its length; 0: it is too long. */
static inline size_t replay_symbol_rename(char out[MD_SYMBOL_BYTES_MAX], const char *symbol,
                                          size_t symbol_bytes, const char *suffix)
{
    if (suffix == NULL) {
        memcpy(out, symbol, symbol_bytes);
        return symbol_bytes;
    }
    const char *dot = memrchr(symbol, '.', symbol_bytes);
    size_t code_bytes = dot == NULL ? symbol_bytes : (size_t)(dot - symbol);
    size_t suffix_bytes = strlen(suffix);
    if (code_bytes + 1 + suffix_bytes > MD_SYMBOL_BYTES_MAX) {
        return 0;
    }
    memcpy(out, symbol, code_bytes);
    out[code_bytes] = '.';
    memcpy(out + code_bytes + 1, suffix, suffix_bytes);
    return code_bytes + 1 + suffix_bytes;
}

#endif
