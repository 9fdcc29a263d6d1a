/*
 * admin_stale: stale symbols in /readyz, /stats and /metrics.
 *
 * Threads  Any: what it reads is shared without a lock (src/market/staleness.h).
 * Source   docs/feeds/stale.md
 */
#ifndef RINGCAST_SRC_ADMIN_STALE_H
#define RINGCAST_SRC_ADMIN_STALE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "src/admin/metrics.h"

/* Whether so many symbols are stale that the server is not ready (--ready-stale-percent). */
bool admin_stale_is_too_much(const struct metrics_options *source);

/* {"symbols":25,"open":25,"stale":1,"names":["000001.SZ"]}; the caller's. NULL: no memory. */
json_t *admin_stale_json(const struct metrics_options *source);

void admin_stale_write_prometheus(const struct metrics_options *source, FILE *out);

#endif
