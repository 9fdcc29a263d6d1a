/*
 * sample_history: a sample a minute, for a day.
 *
 * The schedule and the age of a sample go by CLOCK_MONOTONIC, so that setting the clock neither
 * adds nor removes samples. A server that stood still has a hole in its history: what was missed
 * is not made up for.
 *
 * Owner    struct guard. Threads: its users hold its lock.
 * Memory   240 KiB, in the struct.
 */
#ifndef RINGCAST_SRC_SAMPLE_HISTORY_H
#define RINGCAST_SRC_SAMPLE_HISTORY_H

#include <stddef.h>

#include "codec/base/units.h"
#include "src/guard/sample.h"

#define SAMPLE_HISTORY_COUNT_MAX 1440
#define SAMPLE_HISTORY_INTERVAL_NS (60 * NS_PER_SECOND)

struct sample_history {
    uint64_t due_ns; /* when the next one is due; 0: at once */
    uint64_t count;  /* ever taken */
    struct sample samples[SAMPLE_HISTORY_COUNT_MAX];
};

/* Takes the sample in if one is due. Returns whether it was. */
bool sample_history_offer(struct sample_history *history, const struct sample *sample);

/* Copies the samples that were taken since_ns or later, oldest first. samples_out has room for
 * SAMPLE_HISTORY_COUNT_MAX. Returns how many there are. */
uint32_t sample_history_copy(const struct sample_history *history, uint64_t since_ns,
                             struct sample *samples_out);

#endif
