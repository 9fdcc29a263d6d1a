/*
 * nearest: the name that a misspelt one was probably meant to be.
 *
 * Threads  Any: a pure function.
 */
#ifndef RINGCAST_CODEC_NEAREST_H
#define RINGCAST_CODEC_NEAREST_H

#include <stddef.h>

#define NEAREST_NAME_BYTES_MAX 63

/* The entry of names nearest to text (an edit distance of at most 3, and of half its length,
 * rounded up; of two, the longer one), or NULL. Every name has at most NEAREST_NAME_BYTES_MAX
 * bytes; text may be longer and is then near to none. */
const char *nearest_name(const char *text, const char *const *names, size_t name_count);

#endif
