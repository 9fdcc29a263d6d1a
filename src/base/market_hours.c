#include "src/base/market_hours.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/base/file.h"
#include "src/base/pattern.h"
#include "src/base/time_zone.h"

#define MARKET_HOURS_DAY_MINUTES 1440
#define MARKET_HOURS_DAY_S 86400
#define MARKET_HOURS_COLUMNS 4
#define MARKET_HOURS_BYTE_ORDER_MARK "\xef\xbb\xbf" /* Editors of Windows write one. */

/* Minutes after the midnight at which the day begins; end may lie in the next day. */
struct market_interval {
    uint16_t begin, end;
};

/* The hours of a day. */
struct market_day {
    uint32_t line; /* that gives them; 0: no line does, and the market is closed */
    uint32_t count;
    struct market_interval intervals[MARKET_HOURS_INTERVALS_MAX];
};

struct market_dates {
    int64_t first, last; /* days since the Unix epoch */
    struct market_day day;
};

struct market {
    char *symbols;   /* the first column */
    char *zone_name; /* the second */
    uint32_t line;   /* its first */
    struct time_zone zone;
    struct market_day week[7]; /* from Sunday */
    struct market_dates *dates;
    uint32_t date_count;
};

struct market_hours {
    uint32_t count;
    struct market markets[MARKET_HOURS_MAX];
};

/* Where an error is. */
struct market_place {
    const char *file;
    uint32_t line;
    char *error_out;
};

static int market_hours_refuse(const struct market_place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int market_hours_refuse(const struct market_place *place, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(place->error_out, MARKET_HOURS_ERROR_BYTES_MAX, "%.150s:%u: ", place->file,
                        place->line);
    assert_always(used > 0 && used < MARKET_HOURS_ERROR_BYTES_MAX);
    va_start(arguments, format);
    vsnprintf(place->error_out + used, MARKET_HOURS_ERROR_BYTES_MAX - (size_t)used, format,
              arguments);
    va_end(arguments);
    return -EINVAL;
}

/* The digits at *text, exactly count of them. */
static bool market_hours_digits(const char **text, unsigned count, unsigned *number_out)
{
    *number_out = 0;
    for (unsigned i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        *number_out = 10 * *number_out + (unsigned)(**text - '0');
    }
    return true;
}

/* ---- Hours ---- */

/* "09:30", to 24:00 */
static bool market_hours_minute(const char **text, unsigned *minute_out)
{
    unsigned hour;
    unsigned minute;
    bool is_good = market_hours_digits(text, 2, &hour) && *(*text)++ == ':' &&
                   market_hours_digits(text, 2, &minute) && minute < 60;
    *minute_out = is_good ? 60 * hour + minute : 0;
    return is_good && *minute_out <= MARKET_HOURS_DAY_MINUTES;
}

static bool market_hours_interval(const char *text, struct market_interval *interval_out)
{
    unsigned begin;
    unsigned end;
    if (!market_hours_minute(&text, &begin) || *text++ != '-' ||
        !market_hours_minute(&text, &end) || *text != '\0' || begin == end ||
        begin == MARKET_HOURS_DAY_MINUTES) {
        return false;
    }
    end += end < begin ? MARKET_HOURS_DAY_MINUTES : 0;
    assert_debug(begin < end);
    assert_debug(end < 2 * MARKET_HOURS_DAY_MINUTES);
    *interval_out = (struct market_interval){(uint16_t)begin, (uint16_t)end};
    return true;
}

/* Ascending and apart, also from those of the same line on the next day. */
static bool market_hours_are_apart(const struct market_day *day)
{
    for (uint32_t i = 1; i < day->count; i++) {
        if (day->intervals[i].begin < day->intervals[i - 1].end) {
            return false;
        }
    }
    return day->intervals[day->count - 1].end <= day->intervals[0].begin + MARKET_HOURS_DAY_MINUTES;
}

static int market_hours_parse_day(const struct market_place *place, char *text,
                                  struct market_day *day_out)
{
    char *rest = text;
    *day_out = (struct market_day){.line = place->line};
    if (strcasecmp(text, "closed") == 0) {
        return 0;
    }
    for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
        if (day_out->count == MARKET_HOURS_INTERVALS_MAX) {
            return market_hours_refuse(place, "a day has at most %d intervals",
                                       MARKET_HOURS_INTERVALS_MAX);
        }
        if (!market_hours_interval(item, &day_out->intervals[day_out->count++])) {
            return market_hours_refuse(place,
                                       "\"%.40s\" is no interval of hours; give closed, or "
                                       "intervals such as 09:30-11:30,13:00-15:00 or 21:00-02:30",
                                       item);
        }
    }
    if (!market_hours_are_apart(day_out)) {
        return market_hours_refuse(
            place, "the intervals of hours overlap or are out of order; give the earliest first");
    }
    return 0;
}

/* ---- Days ---- */

static bool market_hours_weekday(const char *text, size_t bytes, unsigned *weekday_out)
{
    static const char names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    for (unsigned i = 0; i < 7; i++) {
        if (bytes == 3 && strncasecmp(text, names[i], 3) == 0) {
            *weekday_out = i;
            return true;
        }
    }
    return false;
}

/* "Mon" or "Mon-Fri" */
static int market_hours_add_weekdays(const struct market_place *place, struct market *market,
                                     const char *item, const struct market_day *day)
{
    unsigned first;
    unsigned last;
    size_t bytes = strcspn(item, "-");
    const char *end = item[bytes] == '-' ? item + bytes + 1 : item;
    if (!market_hours_weekday(item, bytes, &first) ||
        !market_hours_weekday(end, strlen(end), &last)) {
        return market_hours_refuse(place,
                                   "\"%.40s\" is no day; give weekdays such as Mon-Fri or "
                                   "Mon,Wed, or dates such as 2026-10-01..2026-10-07",
                                   item);
    }
    for (unsigned weekday = first;; weekday = (weekday + 1) % 7) {
        if (market->week[weekday].line != 0) {
            return market_hours_refuse(place, "\"%.40s\": line %u has hours for this weekday", item,
                                       market->week[weekday].line);
        }
        market->week[weekday] = *day;
        if (weekday == last) {
            return 0;
        }
    }
}

static bool market_hours_date(const char **text, int64_t *day_out)
{
    unsigned year;
    unsigned month;
    unsigned day;
    if (!market_hours_digits(text, 4, &year) || *(*text)++ != '-' ||
        !market_hours_digits(text, 2, &month) || *(*text)++ != '-' ||
        !market_hours_digits(text, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > time_zone_days_in_month(year, month)) {
        return false;
    }
    *day_out = time_zone_day(year, month, day);
    return true;
}

static int market_hours_append_dates(const struct market_place *place, struct market *market,
                                     const struct market_dates *dates, const char *item)
{
    for (uint32_t i = 0; i < market->date_count; i++) {
        const struct market_dates *other = &market->dates[i];
        if (dates->first <= other->last && other->first <= dates->last) {
            return market_hours_refuse(place, "\"%.40s\": line %u has hours for the same date",
                                       item, other->day.line);
        }
    }
    if (market->date_count == MARKET_HOURS_DATES_MAX) {
        return market_hours_refuse(place, "a market has at most %d dates or ranges of dates",
                                   MARKET_HOURS_DATES_MAX);
    }
    if (market->dates == NULL) {
        market->dates = calloc(MARKET_HOURS_DATES_MAX, sizeof *market->dates);
    }
    if (market->dates == NULL) {
        market_hours_refuse(place, "no memory");
        return -ENOMEM;
    }
    assert_debug(dates->first <= dates->last);
    market->dates[market->date_count++] = *dates;
    return 0;
}

/* "2026-10-01" or "2026-10-01..2026-10-07" */
static int market_hours_add_dates(const struct market_place *place, struct market *market,
                                  const char *item, const struct market_day *day)
{
    struct market_dates dates = {.day = *day};
    const char *text = item;
    bool is_good = market_hours_date(&text, &dates.first);
    dates.last = dates.first;
    if (is_good && strncmp(text, "..", 2) == 0) {
        text += 2;
        is_good = market_hours_date(&text, &dates.last);
    }
    if (!is_good || *text != '\0' || dates.last < dates.first) {
        return market_hours_refuse(place,
                                   "\"%.40s\" is no date; give a date that exists, such as "
                                   "2026-10-01, or a range such as 2026-10-01..2026-10-07",
                                   item);
    }
    return market_hours_append_dates(place, market, &dates, item);
}

static int market_hours_add_days(const struct market_place *place, struct market *market,
                                 char *text, const struct market_day *day)
{
    char *rest = text;
    int error = 0;
    for (char *item = strsep(&rest, ","); item != NULL && error == 0; item = strsep(&rest, ",")) {
        error = item[0] >= '0' && item[0] <= '9'
                    ? market_hours_add_dates(place, market, item, day)
                    : market_hours_add_weekdays(place, market, item, day);
    }
    return error;
}

/* ---- Markets ---- */

/* Where the next text of a list begins, after a comma; NULL: this is the last one. */
static const char *market_hours_next_item(const char *list, size_t *bytes_out)
{
    *bytes_out = strcspn(list, ",");
    return list[*bytes_out] == ',' ? list + *bytes_out + 1 : NULL;
}

/* Whether a pattern of the list has the symbol, or all symbols of another pattern. */
static bool market_hours_covers(const char *list, const char *symbol, size_t symbol_bytes)
{
    size_t bytes;
    for (const char *item = list; item != NULL;) {
        const char *next = market_hours_next_item(item, &bytes);
        if (pattern_matches(item, bytes, symbol, symbol_bytes)) {
            return true;
        }
        item = next;
    }
    return false;
}

static int market_hours_check_symbols(const struct market_place *place,
                                      const struct market_hours *hours, const char *list)
{
    size_t bytes;
    for (const char *item = list; item != NULL;) {
        const char *next = market_hours_next_item(item, &bytes);
        if (bytes == 0 || !pattern_is_good(item, bytes)) {
            return market_hours_refuse(place,
                                       "\"%.*s\" is no pattern; give symbols or patterns of at "
                                       "most %d bytes with at most %d *, such as *.SH,*.SZ",
                                       (int)bytes, item, PATTERN_BYTES_MAX, PATTERN_STARS_MAX);
        }
        for (uint32_t i = 0; i < hours->count; i++) {
            if (market_hours_covers(hours->markets[i].symbols, item, bytes)) {
                return market_hours_refuse(
                    place,
                    "%.*s would never be used, because line %u (%.60s) comes first and has the "
                    "same symbols; give both lines the same symbols, or put this line first",
                    (int)bytes, item, hours->markets[i].line, hours->markets[i].symbols);
            }
        }
        item = next;
    }
    return 0;
}

/* The market of a line: that of earlier lines with the same symbols, or a new one. */
static int market_hours_take_market(const struct market_place *place, struct market_hours *hours,
                                    const char *symbols, const char *zone,
                                    struct market **market_out)
{
    char words[TIME_ZONE_ERROR_BYTES_MAX];
    for (uint32_t i = 0; i < hours->count; i++) {
        *market_out = &hours->markets[i];
        if (strcmp((*market_out)->symbols, symbols) == 0) {
            return strcmp((*market_out)->zone_name, zone) == 0
                       ? 0
                       : market_hours_refuse(place,
                                             "time zone %.64s: line %u has %s for the same symbols",
                                             zone, (*market_out)->line, (*market_out)->zone_name);
        }
    }
    int error = market_hours_check_symbols(place, hours, symbols);
    if (error < 0) {
        return error;
    }
    if (hours->count == MARKET_HOURS_MAX) {
        return market_hours_refuse(place, "a file has at most %d markets", MARKET_HOURS_MAX);
    }
    struct market *market = &hours->markets[hours->count];
    error = time_zone_load(&market->zone, zone, words);
    if (error < 0) {
        market_hours_refuse(place, "time zone \"%.64s\": %s", zone, words);
        return error;
    }
    hours->count++;
    market->line = place->line;
    market->symbols = strdup(symbols);
    market->zone_name = strdup(zone);
    *market_out = market;
    return market->symbols == NULL || market->zone_name == NULL ? -ENOMEM : 0;
}

static int market_hours_parse_line(const struct market_place *place, struct market_hours *hours,
                                   char *line)
{
    char *columns[MARKET_HOURS_COLUMNS] = {0};
    unsigned count = 0;
    char *rest = line;
    struct market_day day;
    struct market *market;
    line[strcspn(line, "#")] = '\0';
    for (char *word = strsep(&rest, " \t\r"); word != NULL; word = strsep(&rest, " \t\r")) {
        if (word[0] != '\0' && count < MARKET_HOURS_COLUMNS) {
            columns[count] = word;
        }
        count += word[0] != '\0';
    }
    if (count == 0) {
        return 0;
    }
    if (count != MARKET_HOURS_COLUMNS) {
        return market_hours_refuse(
            place,
            "a line has 4 columns, and this one has %u; give symbols, time zone, days and hours, "
            "without blanks after commas: *.US America/New_York Mon-Fri 09:30-16:00",
            count);
    }
    int error = market_hours_take_market(place, hours, columns[0], columns[1], &market);
    if (error == 0) {
        error = market_hours_parse_day(place, columns[3], &day);
    }
    return error == 0 ? market_hours_add_days(place, market, columns[2], &day) : error;
}

int market_hours_parse(struct market_hours **hours_out, const char *file, char *text,
                       char error_out[MARKET_HOURS_ERROR_BYTES_MAX])
{
    struct market_place place = {.file = file, .error_out = error_out};
    struct market_hours *hours = calloc(1, sizeof *hours);
    int error = hours == NULL ? -ENOMEM : 0;
    snprintf(error_out, MARKET_HOURS_ERROR_BYTES_MAX, "%.150s: no memory", file);
    if (strncmp(text, MARKET_HOURS_BYTE_ORDER_MARK, strlen(MARKET_HOURS_BYTE_ORDER_MARK)) == 0) {
        text += strlen(MARKET_HOURS_BYTE_ORDER_MARK);
    }
    for (char *line = strsep(&text, "\n"); line != NULL && error == 0; line = strsep(&text, "\n")) {
        place.line++;
        error = market_hours_parse_line(&place, hours, line);
    }
    if (error < 0) {
        market_hours_destroy(hours);
        return error;
    }
    *hours_out = hours;
    return 0;
}

int market_hours_load(struct market_hours **hours_out, const char *path,
                      char error_out[MARKET_HOURS_ERROR_BYTES_MAX])
{
    char *text = NULL;
    size_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? -errno : file_read(fd, MARKET_HOURS_FILE_BYTES_MAX, &text, &bytes);
    if (fd >= 0) {
        close(fd);
    }
    if (error < 0) {
        snprintf(error_out, MARKET_HOURS_ERROR_BYTES_MAX, "%.150s: %s", path,
                 error == -EFBIG ? "the file must have at most 256 KiB" : strerror(-error));
        return error == -ENOMEM ? error : -EINVAL;
    }
    if (memchr(text, '\0', bytes) != NULL) {
        snprintf(error_out, MARKET_HOURS_ERROR_BYTES_MAX, "%.150s: it is not a text file", path);
        error = -EINVAL;
    } else {
        error = market_hours_parse(hours_out, path, text, error_out);
    }
    free(text);
    return error;
}

void market_hours_destroy(struct market_hours *hours)
{
    for (uint32_t i = 0; hours != NULL && i < hours->count; i++) {
        struct market *market = &hours->markets[i];
        free(market->symbols);
        free(market->zone_name);
        free(market->dates);
        time_zone_deinit(&market->zone);
    }
    free(hours);
}

uint32_t market_hours_count(const struct market_hours *hours)
{
    return hours->count;
}

uint32_t market_hours_find(const struct market_hours *hours, const char *symbol,
                           size_t symbol_bytes)
{
    for (uint32_t i = 0; i < hours->count; i++) {
        if (market_hours_covers(hours->markets[i].symbols, symbol, symbol_bytes)) {
            return i;
        }
    }
    return MARKET_HOURS_NONE;
}

/* ---- The time ---- */

/* A date wins over the weekday. */
static const struct market_day *market_hours_day(const struct market *market, int64_t day)
{
    for (uint32_t i = 0; i < market->date_count; i++) {
        if (market->dates[i].first <= day && day <= market->dates[i].last) {
            return &market->dates[i].day;
        }
    }
    return &market->week[time_zone_weekday(day)];
}

static bool market_hours_has(const struct market_day *day, int64_t minute)
{
    assert_debug(day->count <= MARKET_HOURS_INTERVALS_MAX);
    for (uint32_t i = 0; i < day->count; i++) {
        if (day->intervals[i].begin <= minute && minute < day->intervals[i].end) {
            return true;
        }
    }
    return false;
}

bool market_hours_is_open(const struct market_hours *hours, uint32_t market, int64_t wall_s)
{
    assert_always(market < hours->count);
    const struct market *entry = &hours->markets[market];
    int64_t local_s = wall_s + time_zone_offset(&entry->zone, wall_s);
    int64_t second = (local_s % MARKET_HOURS_DAY_S + MARKET_HOURS_DAY_S) % MARKET_HOURS_DAY_S;
    int64_t day = (local_s - second) / MARKET_HOURS_DAY_S;
    int64_t minute = second / 60;
    return market_hours_has(market_hours_day(entry, day), minute) ||
           market_hours_has(market_hours_day(entry, day - 1), minute + MARKET_HOURS_DAY_MINUTES);
}
