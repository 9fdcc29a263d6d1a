/*
 * stat_sample: a server's counters at one moment, and their growth since an earlier one.
 *
 * Owner    The caller inits and deinits a sample; it may be taken again and again.
 * Threads  One.
 * Memory   A copy of the file.
 * Units    Those of the entries.
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

/* -EFBIG: by its header the file is longer than any that a server makes. */
int stat_sample_init(struct stat_sample *sample, const struct counters_read *file);
void stat_sample_deinit(struct stat_sample *sample);

/* Reads the file again. -ERANGE: it has been damaged since. */
int stat_sample_take(struct stat_sample *sample, const struct counters_read *file);

/* The value of an entry of `now`. For a counter that only grows it is the growth since `before`, or
 * since 0 if `before` is NULL, does not have the entry, or has a higher value: then the server has
 * restarted. The instance may be COUNTERS_READ_ALL. */
uint64_t stat_sample_value(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance);
void stat_sample_histogram(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance,
                           struct counters_read_histogram *histogram_out);

/* The frames of the log that a core has still to send; for all cores, the highest number. false:
 * the file does not have it. */
bool stat_sample_lag(const struct stat_sample *now, uint32_t instance, uint64_t *frames_out);

#endif
