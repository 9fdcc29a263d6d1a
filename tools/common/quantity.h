/*
 * quantity: times and counts as users type them: 5s, 500ms, 1m; 1k, 2.5k, 1m; 64k of bytes.
 *
 * Threads  Pure functions.
 * Memory   The caller's.
 * Errors   false: the text is not of this form, or its value is out of range.
 */
#ifndef RINGCAST_TOOLS_QUANTITY_H
#define RINGCAST_TOOLS_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_SECONDS_MAX 1000000

/* A time of at most QUANTITY_SECONDS_MAX with ns, us, ms, s, m or h behind it. plain_ns: what a
 * number without a unit counts; 0: it needs one. */
bool quantity_time(const char *text, uint64_t plain_ns, uint64_t *value_ns_out);

/* A whole number of at most max. k, m and g behind it (of either case) multiply by 1000, 1000^2,
 * 1000^3. */
bool quantity_count(const char *text, uint64_t max, uint64_t *value_out);

/* The same of bytes: k, m and g multiply by 1024, 1024^2, 1024^3. */
bool quantity_bytes(const char *text, uint64_t max, uint64_t *value_out);

#endif
