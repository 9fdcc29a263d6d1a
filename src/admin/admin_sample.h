/*
 * admin_sample: takes the sample (src/guard/sample.h) of this moment, and shows one as JSON.
 *
 * Threads  Any that may block.
 * Memory   The objects, for the caller to release.
 * Source   docs/metrics.md explains every name.
 */
#ifndef RINGCAST_SRC_ADMIN_SAMPLE_H
#define RINGCAST_SRC_ADMIN_SAMPLE_H

#include <jansson.h>

#include "src/admin/host.h"
#include "src/admin/metrics.h"
#include "src/guard/sample.h"

void admin_sample_take(struct metrics *metrics, const struct host_system *system,
                       const struct metrics_rates *rates, uint64_t now_ns,
                       struct sample *sample_out);

/* "2026-01-01T12:00:00Z" */
json_t *admin_sample_timestamp(int64_t wall_s);
json_t *admin_sample_number(double value, bool is_integer);
/* NULL: no memory. */
json_t *admin_sample_system(const struct sample *sample);
json_t *admin_sample_application(const struct sample *sample);

#endif
