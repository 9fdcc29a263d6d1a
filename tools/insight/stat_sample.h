/*
 * stat_sample: a server's counters at one moment, and what they have grown since another.
 *
 * Owner    The caller inits and deinits a sample; it may be taken again and again.
 * Threads  One.
 * Memory   A copy of the file.
 * Units    As the entries say.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_STAT_SAMPLE_H
#define RINGCAST_TOOLS_STAT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/board/counters_read.h"

struct stat_sample {
    struct counters_read read; /* of the copy */
    uint64_t monotonic_ns;
    uint64_t realtime_ns;
    uint64_t *words;
};

/* -EFBIG: the file says that it is longer than any that a server makes. */
int stat_sample_init(struct stat_sample *sample, const struct counters_read *file);
void stat_sample_deinit(struct stat_sample *sample);

/* The file is that of the init. -ERANGE: it is damaged by now. */
int stat_sample_take(struct stat_sample *sample, const struct counters_read *file);

/* The rest is of an entry of `now`. What only grows counts from `before` on, or from 0 where that
 * is NULL, does not have the entry or is above: then the server began anew. The instance may be
 * COUNTERS_READ_ALL. */
uint64_t stat_sample_value(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance);
void stat_sample_histogram(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance,
                           struct counters_read_histogram *histogram_out);

/* Frames of the log that a core has still to send, or of all cores the one that has most. false:
 * the file does not say it. */
bool stat_sample_lag(const struct stat_sample *now, uint32_t instance, uint64_t *frames_out);

#endif
