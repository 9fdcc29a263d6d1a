/*
 * stat_entries: every counter of a file, as text and as JSON.
 *
 * Threads  One.
 * Memory   The caller's.
 */
#ifndef RINGCAST_TOOLS_STAT_ENTRIES_H
#define RINGCAST_TOOLS_STAT_ENTRIES_H

#include <stdint.h>
#include <stdio.h>

#include "tools/insight/stat_sample.h"

/* "core-0.sends: 12 - Meaning." on a line for each; core: only of this one, or COUNTERS_READ_ALL.
 */
void stat_entries_print(FILE *out, const struct stat_sample *sample, uint32_t core);

/* {"pid":1,...,"publisher":{"ticks":12,...},"cores":[{"core":0,...},...]} on a line. before: as
 * in stat_sample_value(); NULL: there is no interval. */
void stat_entries_print_json(FILE *out, const struct stat_sample *now,
                             const struct stat_sample *before, uint32_t core, bool is_live);

#endif
