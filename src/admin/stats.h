/*
 * stats: the numbers of /stats and /admin/stats, as JSON.
 *
 * Threads  Any that may block.
 * Memory   The object, for the caller to release.
 * Source   docs/metrics.md and docs/admin.md explain every name.
 */
#ifndef RINGCAST_SRC_STATS_H
#define RINGCAST_SRC_STATS_H

#include <jansson.h>

#include "src/admin/metrics.h"

/* NULL: no memory. */
json_t *stats_json(struct metrics *metrics);

/* Each thread that the watchdog knows; an array. */
json_t *stats_threads(struct metrics *metrics);

/* Each feed, in the order of the options; an array. */
json_t *stats_feeds(const struct metrics_options *source);

#endif
