#include "src/base/time_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/file.h"

#define TIME_ZONE_DIRECTORY "/usr/share/zoneinfo"
#define TIME_ZONE_FILE_BYTES_MAX (64 * KIB)
#define TIME_ZONE_CHANGES_MAX 4096
#define TIME_ZONE_TYPES_MAX 256
#define TIME_ZONE_HEAD_BYTES 44
#define TIME_ZONE_YEAR_FIRST 1970 /* of rules, in a file without changes */
#define TIME_ZONE_DAY_S 86400

/* ---- The calendar ---- */

/* Years begin in March, so that the leap day is the last; eras have 400 years. */
int64_t time_zone_day(int64_t year, unsigned month, unsigned day)
{
    assert_always(month >= 1 && month <= 12);
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

unsigned time_zone_weekday(int64_t day)
{
    return (unsigned)(((day + 4) % 7 + 7) % 7); /* Day 0 was a Thursday. */
}

unsigned time_zone_days_in_month(int64_t year, unsigned month)
{
    int64_t next = month == 12 ? time_zone_day(year + 1, 1, 1) : time_zone_day(year, month + 1, 1);
    return (unsigned)(next - time_zone_day(year, month, 1));
}

/* ---- Rules: the last line of a file, as in "EST5EDT,M3.2.0,M11.1.0" ---- */

/* A change of every year: at a second after local midnight of the weekday of that week (5: the last
 * one) of the month. */
struct time_zone_rule {
    unsigned month, week, weekday;
    int32_t second;
};

struct time_zone_rules {
    int32_t standard_s, summer_s;
    bool has_summer;
    struct time_zone_rule begin, end; /* of summer time */
};

static bool time_zone_skip_name(const char **text)
{
    const char *from = *text;
    if (*from == '<') {
        const char *end = strchr(from, '>');
        *text = end == NULL ? from : end + 1;
    } else {
        *text += strspn(from, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    }
    return *text != from;
}

static bool time_zone_number(const char **text, unsigned max, unsigned *number_out)
{
    const char *from = *text;
    unsigned number = 0;
    while (**text >= '0' && **text <= '9' && number <= max) {
        number = 10 * number + (unsigned)(**text - '0');
        (*text)++;
    }
    *number_out = number;
    return *text != from && number <= max;
}

/* [+-]h[:m[:s]] */
static bool time_zone_seconds(const char **text, int32_t *seconds_out)
{
    unsigned parts[3] = {0}; /* hours, minutes, seconds */
    bool is_negative = **text == '-';
    *text += is_negative || **text == '+';
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0 && **text != ':') {
            break;
        }
        *text += i > 0;
        if (!time_zone_number(text, i == 0 ? 167 : 59, &parts[i])) {
            return false;
        }
    }
    int32_t seconds = (int32_t)(parts[0] * 3600 + parts[1] * 60 + parts[2]);
    *seconds_out = is_negative ? -seconds : seconds;
    return true;
}

/* ",M3.2.0/2" */
static bool time_zone_parse_rule(const char **text, struct time_zone_rule *rule)
{
    if (strncmp(*text, ",M", 2) != 0) {
        return false;
    }
    *text += 2;
    bool is_good = time_zone_number(text, 12, &rule->month) && rule->month >= 1;
    is_good = is_good && *(*text)++ == '.' && time_zone_number(text, 5, &rule->week);
    is_good = is_good && rule->week >= 1 && *(*text)++ == '.';
    is_good = is_good && time_zone_number(text, 6, &rule->weekday);
    rule->second = 2 * 3600;
    if (is_good && **text == '/') {
        (*text)++;
        is_good = time_zone_seconds(text, &rule->second);
    }
    return is_good;
}

static bool time_zone_parse_rules(const char *text, struct time_zone_rules *rules)
{
    int32_t west_s;
    *rules = (struct time_zone_rules){0};
    if (!time_zone_skip_name(&text) || !time_zone_seconds(&text, &west_s)) {
        return false;
    }
    rules->standard_s = -west_s;
    rules->summer_s = rules->standard_s + 3600;
    if (*text == '\0') {
        return true;
    }
    rules->has_summer = true;
    if (!time_zone_skip_name(&text)) {
        return false;
    }
    if (*text != ',') {
        if (!time_zone_seconds(&text, &west_s)) {
            return false;
        }
        rules->summer_s = -west_s;
    }
    return time_zone_parse_rule(&text, &rules->begin) && time_zone_parse_rule(&text, &rules->end) &&
           *text == '\0';
}

/* When the rule applies in a year. offset_s: until then. */
static int64_t time_zone_rule_at(const struct time_zone_rule *rule, int64_t year, int32_t offset_s)
{
    assert_always(rule->week >= 1 && rule->week <= 5);
    assert_always(rule->weekday <= 6);
    int64_t first = time_zone_day(year, rule->month, 1);
    unsigned day = (rule->weekday + 7 - time_zone_weekday(first)) % 7 + 7 * (rule->week - 1);
    while (day >= time_zone_days_in_month(year, rule->month)) {
        day -= 7;
    }
    return (first + day) * TIME_ZONE_DAY_S + rule->second - offset_s;
}

/* ---- The changes ---- */

static int time_zone_begin(struct time_zone *zone_out, char error_out[TIME_ZONE_ERROR_BYTES_MAX])
{
    zone_out->change_count = 0;
    zone_out->changes = calloc(TIME_ZONE_CHANGES_MAX, sizeof *zone_out->changes);
    if (zone_out->changes == NULL) {
        snprintf(error_out, TIME_ZONE_ERROR_BYTES_MAX, "no memory for it");
        return -ENOMEM;
    }
    return 0;
}

/* A change that is not later than the last one is dropped: the file's changes precede its rules. */
static void time_zone_append(struct time_zone *zone, int64_t at_s, int32_t offset_s)
{
    assert_always(zone->change_count < TIME_ZONE_CHANGES_MAX);
    if (zone->change_count == 0 || at_s > zone->changes[zone->change_count - 1].at_s) {
        zone->changes[zone->change_count++] = (struct time_zone_change){at_s, offset_s};
    }
}

static int64_t time_zone_year(int64_t wall_s)
{
    int64_t year = wall_s / (146097 * (int64_t)TIME_ZONE_DAY_S / 400) + 1970;
    return year < TIME_ZONE_YEAR_FIRST ? TIME_ZONE_YEAR_FIRST : year;
}

static void time_zone_append_rules(struct time_zone *zone, const struct time_zone_rules *rules)
{
    const struct time_zone_change *last = &zone->changes[zone->change_count - 1];
    int64_t first = zone->change_count == 1 ? TIME_ZONE_YEAR_FIRST : time_zone_year(last->at_s) - 1;
    if (!rules->has_summer) {
        return; /* The offset of the last change. */
    }
    for (int64_t year = first; year <= TIME_ZONE_YEAR_LAST; year++) {
        int64_t begin_s = time_zone_rule_at(&rules->begin, year, rules->standard_s);
        int64_t end_s = time_zone_rule_at(&rules->end, year, rules->summer_s);
        if (begin_s < end_s) {
            time_zone_append(zone, begin_s, rules->summer_s);
            time_zone_append(zone, end_s, rules->standard_s);
        } else {
            time_zone_append(zone, end_s, rules->standard_s);
            time_zone_append(zone, begin_s, rules->summer_s);
        }
    }
}

/* ---- The file ---- */

/* The parts of a block, in the order of the file. */
struct time_zone_block {
    uint64_t time_count, type_count;
    uint64_t bytes; /* of the data after the head */
};

static uint64_t time_zone_read(const uint8_t *bytes, unsigned count)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* time_bytes: 4 in the first block, 8 in the second. */
static bool time_zone_read_head(const uint8_t *file, size_t bytes, unsigned time_bytes,
                                struct time_zone_block *block)
{
    if (bytes < TIME_ZONE_HEAD_BYTES || memcmp(file, "TZif", 4) != 0 || file[4] < '2') {
        return false;
    }
    uint64_t counts[6]; /* is UTC, is standard, leap seconds, times, types, characters */
    for (unsigned i = 0; i < 6; i++) {
        counts[i] = time_zone_read(file + 20 + 4 * (size_t)i, 4);
    }
    block->time_count = counts[3];
    block->type_count = counts[4];
    block->bytes = counts[0] + counts[1] + counts[2] * (time_bytes + 4) +
                   counts[3] * (time_bytes + 1) + counts[4] * 6 + counts[5];
    return block->bytes <= bytes - TIME_ZONE_HEAD_BYTES;
}

/* 2 changes of each year that follows have room, too. */
static bool time_zone_fits(const struct time_zone_block *block)
{
    return block->type_count >= 1 && block->type_count <= TIME_ZONE_TYPES_MAX &&
           block->time_count <
               TIME_ZONE_CHANGES_MAX - 2 * (TIME_ZONE_YEAR_LAST - TIME_ZONE_YEAR_FIRST + 2);
}

static bool time_zone_read_changes(struct time_zone *zone, const uint8_t *data,
                                   const struct time_zone_block *block)
{
    const uint8_t *indices = data + 8 * block->time_count;
    const uint8_t *types = indices + block->time_count;
    time_zone_append(zone, INT64_MIN, (int32_t)time_zone_read(types, 4));
    for (uint64_t i = 0; i < block->time_count; i++) {
        if (indices[i] >= block->type_count) {
            return false;
        }
        time_zone_append(zone, (int64_t)time_zone_read(data + 8 * i, 8),
                         (int32_t)time_zone_read(types + 6 * (size_t)indices[i], 4));
    }
    return true;
}

/* footer: "\nRULES\n", with a zero after it. */
static bool time_zone_read_footer(struct time_zone *zone, const char *footer, size_t bytes)
{
    char text[128];
    struct time_zone_rules rules;
    const char *end = bytes == 0 ? NULL : memchr(footer + 1, '\n', bytes - 1);
    if (end == NULL || footer[0] != '\n' || (size_t)(end - footer) > sizeof text) {
        return false;
    }
    size_t text_bytes = (size_t)(end - footer) - 1;
    memcpy(text, footer + 1, text_bytes);
    text[text_bytes] = '\0';
    if (text_bytes == 0) {
        return true; /* No rules: the last offset stays. */
    }
    if (!time_zone_parse_rules(text, &rules)) {
        return false;
    }
    time_zone_append_rules(zone, &rules);
    return true;
}

int time_zone_parse(struct time_zone *zone_out, const void *file, size_t file_bytes,
                    char error_out[TIME_ZONE_ERROR_BYTES_MAX])
{
    const uint8_t *at = file;
    struct time_zone_block block;
    struct time_zone zone = {0};
    snprintf(error_out, TIME_ZONE_ERROR_BYTES_MAX,
             "its file is not a TZif file of version 2 or later; install the package tzdata again");
    if (!time_zone_read_head(at, file_bytes, 4, &block)) {
        return -EINVAL;
    }
    size_t first_bytes = TIME_ZONE_HEAD_BYTES + (size_t)block.bytes;
    at += first_bytes;
    file_bytes -= first_bytes;
    if (!time_zone_read_head(at, file_bytes, 8, &block) || !time_zone_fits(&block)) {
        return -EINVAL;
    }
    int error = time_zone_begin(&zone, error_out);
    if (error < 0) {
        return error;
    }
    size_t second_bytes = TIME_ZONE_HEAD_BYTES + (size_t)block.bytes;
    if (!time_zone_read_changes(&zone, at + TIME_ZONE_HEAD_BYTES, &block) ||
        !time_zone_read_footer(&zone, (const char *)at + second_bytes, file_bytes - second_bytes)) {
        time_zone_deinit(&zone);
        return -EINVAL;
    }
    assert_always(zone.change_count >= 1);
    assert_always(zone.change_count <= TIME_ZONE_CHANGES_MAX);
    error_out[0] = '\0';
    *zone_out = zone;
    return 0;
}

static bool time_zone_is_name(const char *name)
{
    size_t bytes = strlen(name);
    size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "+-_/");
    return bytes > 0 && bytes <= TIME_ZONE_NAME_BYTES_MAX && good == bytes && name[0] != '/';
}

/* Why there is no file of a zone: perhaps there are no files at all. */
static int time_zone_refuse(int error, const char *directory, const char *name,
                            char error_out[TIME_ZONE_ERROR_BYTES_MAX])
{
    if (error == -ENOENT && access(directory, F_OK) < 0) {
        snprintf(error_out, TIME_ZONE_ERROR_BYTES_MAX,
                 "there are no time zones in %.100s; install the package tzdata, which slim "
                 "container images lack",
                 directory);
    } else if (error == -ENOENT) {
        snprintf(error_out, TIME_ZONE_ERROR_BYTES_MAX,
                 "there is no such time zone in %.100s; give a name such as Asia/Shanghai, "
                 "America/New_York or UTC",
                 directory);
    } else {
        snprintf(error_out, TIME_ZONE_ERROR_BYTES_MAX, "%.100s/%s: %s", directory, name,
                 strerror(-error));
    }
    return error == -ENOMEM ? error : -EINVAL;
}

static int time_zone_make_utc(struct time_zone *zone_out, char error_out[TIME_ZONE_ERROR_BYTES_MAX])
{
    int error = time_zone_begin(zone_out, error_out);
    if (error == 0) {
        time_zone_append(zone_out, INT64_MIN, 0);
    }
    return error;
}

int time_zone_load(struct time_zone *zone_out, const char *name,
                   char error_out[TIME_ZONE_ERROR_BYTES_MAX])
{
    char path[PATH_MAX];
    const char *directory = getenv("TZDIR");
    directory = directory == NULL || directory[0] == '\0' ? TIME_ZONE_DIRECTORY : directory;
    if (strcmp(name, "UTC") == 0) {
        return time_zone_make_utc(zone_out, error_out);
    }
    if (!time_zone_is_name(name) ||
        snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        return time_zone_refuse(-ENOENT, directory, name, error_out);
    }
    char *file;
    size_t bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? -errno : file_read(fd, TIME_ZONE_FILE_BYTES_MAX, &file, &bytes);
    if (fd >= 0) {
        close(fd);
    }
    if (error < 0) {
        return time_zone_refuse(error, directory, name, error_out);
    }
    error = time_zone_parse(zone_out, file, bytes, error_out);
    free(file);
    return error;
}

void time_zone_deinit(struct time_zone *zone)
{
    free(zone->changes);
    *zone = (struct time_zone){0};
}

int32_t time_zone_offset(const struct time_zone *zone, int64_t wall_s)
{
    assert_always(zone->change_count >= 1);
    assert_debug(zone->changes[0].at_s == INT64_MIN);
    uint32_t first = 0; /* at wall_s or before it */
    uint32_t end = zone->change_count;
    while (end - first > 1) {
        uint32_t middle = first + (end - first) / 2;
        if (zone->changes[middle].at_s <= wall_s) {
            first = middle;
        } else {
            end = middle;
        }
    }
    return zone->changes[first].offset_s;
}
