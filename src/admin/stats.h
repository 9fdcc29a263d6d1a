/*
 * stats: the numbers of /stats, as JSON.
 *
 * Threads  Any that may block.
 * Memory   The object, for the caller to release.
 * Source   docs/metrics.md explains every name.
 */
#ifndef RINGCAST_SRC_STATS_H
#define RINGCAST_SRC_STATS_H

#include <jansson.h>

#include "src/admin/metrics.h"

/* NULL: no memory. */
json_t *stats_json(struct metrics *metrics);

#endif
