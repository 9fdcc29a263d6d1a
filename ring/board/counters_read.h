/*
 * counters_read: the numbers of a counters file of any version that describes itself.
 *
 * The file may hold anything: a place is checked against the file's size before it is read, and
 * what was checked is a copy, which the file's writer cannot change. Only one thing ends the
 * reader, with SIGBUS: a file that somebody cuts while it is mapped. A server never does.
 *
 * Owner    The caller.
 * Threads  One.
 * Memory   A read-only mapping, or the caller's.
 * Units    The entry's.
 * Errors   0 or a negative errno. No function logs.
 * Source   ring/board/counters_format.h
 */
#ifndef RINGCAST_RING_COUNTERS_READ_H
#define RINGCAST_RING_COUNTERS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/board/counters_format.h"

#define COUNTERS_READ_TABLE_MAX 4096 /* entries, threads, cores: a file with more is damaged */
#define COUNTERS_READ_SCOPES_MAX 16  /* further ones are ignored */
#define COUNTERS_READ_BUCKETS_MAX 2048
#define COUNTERS_READ_ALL UINT32_MAX /* an instance: the whole scope */

struct counters_read {
    struct counters_header header; /* a checked copy; its text ends with a zero, as in all copies */
    struct counters_scope_entry scopes[COUNTERS_READ_SCOPES_MAX]; /* likewise; count 0: none */
    const unsigned char *bytes;
    size_t bytes_count;
    int fd; /* -1: the caller's memory */
};

/* -EBADMSG: not a counters file. -EPROTONOSUPPORT: version 5 or older; the first four members of
 * header_out->header are set. -ERANGE: the file is damaged or truncated. */
int counters_read_open(struct counters_read *read_out, const char *path);
void counters_read_close(struct counters_read *read);

/* The same of memory, at a multiple of 8, which outlives *read_out. */
int counters_read_memory(struct counters_read *read_out, const void *bytes, size_t bytes_count);

/* Whether the server is alive; always false for memory. */
bool counters_read_is_live(const struct counters_read *read);

/* false: the file was truncated since it was opened. Reading the missing part ends the process. */
bool counters_read_is_whole(const struct counters_read *read);

/* An entry whose numbers are all within the file. Its index is below header.entry_count; false: it
 * is damaged, or of a kind that this version does not know. */
bool counters_read_entry(const struct counters_read *read, uint32_t index,
                         struct counters_entry *entry_out);
bool counters_read_find(const struct counters_read *read, enum counters_scope scope,
                        const char *name, struct counters_entry *entry_out);

/* false: it is damaged. Its index is below header.thread_count. */
bool counters_read_thread(const struct counters_read *read, uint32_t index,
                          struct counters_thread *thread_out);

/* What the thread shows of its progress. */
uint64_t counters_read_progress(const struct counters_read *read,
                                const struct counters_thread *thread);

/* What follows takes an entry of counters_read_entry. How many numbers it has: 1, or one for each
 * core. */
uint32_t counters_read_instances(const struct counters_read *read,
                                 const struct counters_entry *entry);

/* Of no histogram. The instance is below that count, or COUNTERS_READ_ALL: the sum, of COUNTERS_MAX
 * the largest. */
uint64_t counters_read_value(const struct counters_read *read, const struct counters_entry *entry,
                             uint32_t instance);

struct counters_read_histogram {
    uint64_t sum; /* of the values */
    uint64_t count;
    uint32_t bucket_count;
    uint32_t first_bits;
    uint32_t steps;
    uint64_t buckets[COUNTERS_READ_BUCKETS_MAX];
};

void counters_read_histogram(const struct counters_read *read, const struct counters_entry *entry,
                             uint32_t instance, struct counters_read_histogram *histogram_out);

/* All values of the bucket are below it; UINT64_MAX: the last bucket. */
uint64_t counters_read_limit(const struct counters_read_histogram *histogram, uint32_t bucket);

/* The least limit that at least this share (0 to 1) of the values is below: 1 bounds the largest. 0
 * without values; of the last bucket where it begins. */
uint64_t counters_read_percentile(const struct counters_read_histogram *histogram, double share);

/* How many values are in buckets that end at the limit or before. */
uint64_t counters_read_below(const struct counters_read_histogram *histogram, uint64_t limit);

#endif
