/*
 * prometheus: the page of /metrics, in Prometheus' text format 0.0.4.
 *
 * Threads  Any that may block.
 * Memory   The page, for the caller to free.
 * Source   docs/metrics.md explains every name.
 */
#ifndef RINGCAST_SRC_PROMETHEUS_H
#define RINGCAST_SRC_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>

#include "src/admin/metrics.h"

/* NULL: no memory. with_aliases: also the four names that alert rules of the server before this
 * one use; promtool dislikes one of them (memory_usage_mb: an abbreviated unit). */
char *prometheus_write(struct metrics *metrics, bool with_aliases, size_t *bytes_out);

#endif
