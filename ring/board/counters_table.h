/*
 * counters_table: what each counter is, for the file, /metrics and /stats.
 *
 * Threads  Any.
 * Memory   Constant.
 */
#ifndef RINGCAST_RING_COUNTERS_TABLE_H
#define RINGCAST_RING_COUNTERS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "ring/board/counters.h"

/* A row for each entry of the file, in its order. Rows of one metric are neighbours and share its
 * kind and unit. */
struct counters_row {
    const char *name;   /* of the member */
    const char *metric; /* NULL: not in /metrics by itself */
    const char *labels; /* NULL: none */
    const char *family; /* of the first row with labels: what the metric is. Otherwise NULL */
    const char *meaning;
    uint32_t offset;
    enum counters_scope scope;
    enum counters_kind kind;
    enum counters_unit unit;
};

const struct counters_row *counters_rows(size_t *count_out);

#endif
