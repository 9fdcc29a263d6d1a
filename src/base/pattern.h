/*
 * pattern: symbols with '*', which stands for any run of bytes.
 *
 * Threads  Any: pure functions.
 * Source   docs/protocol.md, "Patterns".
 */
#ifndef RINGCAST_SRC_PATTERN_H
#define RINGCAST_SRC_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/md.h"

#define PATTERN_STARS_MAX 4
/* A longer one could only match symbols that are too long. */
#define PATTERN_BYTES_MAX (MD_SYMBOL_BYTES_MAX + PATTERN_STARS_MAX)

/* Whether the text is a pattern, and not a symbol. */
bool pattern_is(const char *text, size_t text_bytes);

/* Whether a pattern is within both limits. */
bool pattern_is_good(const char *pattern, size_t pattern_bytes);

/* symbol: or another pattern, which lies within this one exactly if it matches as a text: its '*',
 * which stands for anything, must meet a '*'. */
bool pattern_matches(const char *pattern, size_t pattern_bytes, const char *symbol,
                     size_t symbol_bytes);

#endif
