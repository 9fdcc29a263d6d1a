/*
 * kind_counts: counts messages by kind, in order of appearance, for a summary line.
 *
 * Owner    The struct that embeds it. Threads: one at a time.
 * Memory   A fixed table: kinds beyond it are counted together as "other".
 */
#ifndef RINGCAST_FEEDS_KIND_COUNTS_H
#define RINGCAST_FEEDS_KIND_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#define KIND_COUNTS_MAX 16
#define KIND_COUNTS_NAME_BYTES_MAX 31

struct kind_counts {
    uint64_t total;
    uint64_t other;
    uint32_t count;
    struct kind_count {
        uint64_t count;
        uint8_t name_bytes;
        char name[KIND_COUNTS_NAME_BYTES_MAX + 1];
    } kinds[KIND_COUNTS_MAX];
};

/* The name may come from a peer: it is cut, and other than plain characters become '?'. */
void kind_counts_add(struct kind_counts *counts, const char *name, size_t name_bytes);

/* 0: there is none with that name. */
uint64_t kind_counts_get(const struct kind_counts *counts, const char *name);

/* Writes "9719 l2update, 97 match", or "" when there is none; cut to text_bytes, terminated. */
void kind_counts_format(const struct kind_counts *counts, char *text, size_t text_bytes);

#endif
