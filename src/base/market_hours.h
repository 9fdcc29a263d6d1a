/*
 * market_hours: when the market of each symbol is open, according to a file.
 *
 *   # symbols          time zone      days                    hours
 *   *.SH,*.SZ          Asia/Shanghai  Mon-Fri                 09:30-11:30,13:00-15:00
 *   *.SH,*.SZ          Asia/Shanghai  2026-10-01..2026-10-07  closed
 *
 * Owner    src loads it before there are other threads, and destroys it after them.
 * Threads  load: main. The others: any.
 * Memory   What the file needs, MARKET_HOURS_FILE_BYTES_MAX of text at most.
 * Units    wall_s: seconds since the Unix epoch, UTC.
 * Errors   -EINVAL, -ENOMEM with a line that names file and line, and what is valid.
 * Source   docs/feeds/stale.md
 */
#ifndef RINGCAST_SRC_MARKET_HOURS_H
#define RINGCAST_SRC_MARKET_HOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARKET_HOURS_FILE_BYTES_MAX ((size_t)256 * 1024)
#define MARKET_HOURS_MAX 64         /* markets */
#define MARKET_HOURS_DATES_MAX 1024 /* dates, or ranges of dates, of a market */
#define MARKET_HOURS_INTERVALS_MAX 8
#define MARKET_HOURS_NONE UINT32_MAX
#define MARKET_HOURS_ERROR_BYTES_MAX 512

struct market_hours;

int market_hours_load(struct market_hours **hours_out, const char *path,
                      char error_out[MARKET_HOURS_ERROR_BYTES_MAX]);
/* file: its name, for errors. text: terminated, and changed. */
int market_hours_parse(struct market_hours **hours_out, const char *file, char *text,
                       char error_out[MARKET_HOURS_ERROR_BYTES_MAX]);
void market_hours_destroy(struct market_hours *hours);

uint32_t market_hours_count(const struct market_hours *hours);
/* The first market of the file that has the symbol; MARKET_HOURS_NONE: it is always open. */
uint32_t market_hours_find(const struct market_hours *hours, const char *symbol,
                           size_t symbol_bytes);
bool market_hours_is_open(const struct market_hours *hours, uint32_t market, int64_t wall_s);

#endif
