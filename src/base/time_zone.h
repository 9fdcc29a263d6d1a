/*
 * time_zone: the offset of a named time zone from UTC, at any time up to the end of 2099.
 *
 * Owner    The caller deinits a zone that was loaded.
 * Threads  load: before other threads need the zone. offset: any.
 * Memory   64 KiB for each zone, of which it touches what its changes take.
 * Units    Seconds since the Unix epoch, UTC; seconds east of UTC; days since the Unix epoch.
 * Errors   A negative errno with a sentence.
 * Source   RFC 8536 (TZif) and the rules of POSIX TZ at the end of such a file. The files are those
 *          of the package tzdata, in $TZDIR or /usr/share/zoneinfo; "UTC" needs no file.
 */
#ifndef RINGCAST_SRC_TIME_ZONE_H
#define RINGCAST_SRC_TIME_ZONE_H

#include <stddef.h>
#include <stdint.h>

#define TIME_ZONE_NAME_BYTES_MAX 63
#define TIME_ZONE_ERROR_BYTES_MAX 256
#define TIME_ZONE_YEAR_LAST 2099 /* Later than this, the last offset stays. */

struct time_zone_change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

struct time_zone {
    struct time_zone_change *changes; /* in order; the first one is at INT64_MIN */
    uint32_t change_count;
};

int time_zone_load(struct time_zone *zone_out, const char *name,
                   char error_out[TIME_ZONE_ERROR_BYTES_MAX]);
/* file: the bytes of a TZif file. */
int time_zone_parse(struct time_zone *zone_out, const void *file, size_t file_bytes,
                    char error_out[TIME_ZONE_ERROR_BYTES_MAX]);
void time_zone_deinit(struct time_zone *zone);

int32_t time_zone_offset(const struct time_zone *zone, int64_t wall_s);

/* The day of a date of the Gregorian calendar. month: 1 to 12. */
int64_t time_zone_day(int64_t year, unsigned month, unsigned day);
/* 0: Sunday, to 6. */
unsigned time_zone_weekday(int64_t day);
unsigned time_zone_days_in_month(int64_t year, unsigned month);

#endif
