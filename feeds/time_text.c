#include "feeds/time_text.h"

#include "codec/base/units.h"

#define TIME_TEXT_YEAR_MIN 1970
#define TIME_TEXT_YEAR_MAX 2261
#define TIME_TEXT_SECONDS_MAX (INT64_MAX / (int64_t)NS_PER_SECOND - 1)

static bool time_text_is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/* Exactly digit_count digits (at most 9). */
static bool time_text_digits(const char *text, size_t digit_count, uint32_t *value_out)
{
    uint32_t value = 0;
    for (size_t i = 0; i < digit_count; i++) {
        if (!time_text_is_digit(text[i])) {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *value_out = value;
    return true;
}

/* A point and digits at text, or nothing. Returns the bytes used; SIZE_MAX: a point alone. */
static size_t time_text_fraction(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    uint64_t unit_ns = NS_PER_SECOND;
    size_t used = 1;
    *ns_out = 0;
    if (text_bytes == 0 || text[0] != '.') {
        return 0;
    }
    for (; used < text_bytes && time_text_is_digit(text[used]); used++) {
        unit_ns /= 10; /* 0 after nine digits: the rest is cut off. */
        *ns_out += unit_ns * (uint64_t)(text[used] - '0');
    }
    return used > 1 ? used : SIZE_MAX;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, by years that begin in March. */
static int64_t time_text_days(int64_t year, int64_t month, int64_t day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t month_from_march = month <= 2 ? month + 9 : month - 3;
    int64_t leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    return march_year * 365 + leap_days + (month_from_march * 153 + 2) / 5 + day - 1 - 719468;
}

static uint32_t time_text_days_of_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap);
}

/* Z, +HH:MM or +HHMM, to the very end. */
static bool time_text_zone(const char *text, size_t text_bytes, int64_t *offset_seconds_out)
{
    uint32_t hours;
    uint32_t minutes;
    if (text_bytes == 1 && (text[0] == 'Z' || text[0] == 'z')) {
        *offset_seconds_out = 0;
        return true;
    }
    size_t colon_bytes = text_bytes == 6 && text[3] == ':' ? 1 : 0;
    if (text_bytes != 5 + colon_bytes || (text[0] != '+' && text[0] != '-') ||
        !time_text_digits(text + 1, 2, &hours) ||
        !time_text_digits(text + 3 + colon_bytes, 2, &minutes) || hours > 14 || minutes > 59) {
        return false;
    }
    *offset_seconds_out = (int64_t)(hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
    return true;
}

static bool time_text_date(const char *text, int64_t *days_out)
{
    uint32_t year;
    uint32_t month;
    uint32_t day;
    if (!time_text_digits(text, 4, &year) || text[4] != '-' ||
        !time_text_digits(text + 5, 2, &month) || text[7] != '-' ||
        !time_text_digits(text + 8, 2, &day)) {
        return false;
    }
    if (year < TIME_TEXT_YEAR_MIN || year > TIME_TEXT_YEAR_MAX || month < 1 || month > 12 ||
        day < 1 || day > time_text_days_of_month(year, month)) {
        return false;
    }
    *days_out = time_text_days(year, month, day);
    return true;
}

/* Seconds of the day; the 61st of a leap second is the first of the next minute. */
static bool time_text_clock(const char *text, int64_t *seconds_out)
{
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
    if (!time_text_digits(text, 2, &hour) || text[2] != ':' ||
        !time_text_digits(text + 3, 2, &minute) || text[5] != ':' ||
        !time_text_digits(text + 6, 2, &second) || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    *seconds_out = (int64_t)hour * 3600 + minute * 60 + second;
    return true;
}

bool time_text_parse_iso(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    int64_t days;
    int64_t seconds;
    int64_t offset_seconds;
    uint64_t fraction_ns;
    if (text_bytes < 20 || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
        !time_text_date(text, &days) || !time_text_clock(text + 11, &seconds)) {
        return false;
    }
    size_t used = time_text_fraction(text + 19, text_bytes - 19, &fraction_ns);
    if (used == SIZE_MAX ||
        !time_text_zone(text + 19 + used, text_bytes - 19 - used, &offset_seconds)) {
        return false;
    }
    seconds += days * 86400 - offset_seconds;
    if (seconds < 0) {
        return false;
    }
    *ns_out = (uint64_t)seconds * NS_PER_SECOND + fraction_ns;
    return true;
}

static size_t time_text_digit_count(const char *text, size_t text_bytes)
{
    size_t count = 0;
    while (count < text_bytes && time_text_is_digit(text[count])) {
        count++;
    }
    return count;
}

bool time_text_parse_ns(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    uint64_t value = 0;
    size_t digit_count = time_text_digit_count(text, text_bytes);
    if (digit_count == 0 || digit_count != text_bytes || digit_count > 19) {
        return false;
    }
    for (size_t i = 0; i < digit_count; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0'); /* 19 digits fit in 64 bits. */
    }
    if (value > INT64_MAX) {
        return false;
    }
    *ns_out = value;
    return true;
}

bool time_text_parse_seconds(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    uint64_t seconds;
    uint64_t fraction_ns;
    size_t digit_count = time_text_digit_count(text, text_bytes);
    if (!time_text_parse_ns(text, digit_count, &seconds) || seconds > TIME_TEXT_SECONDS_MAX) {
        return false;
    }
    size_t used = time_text_fraction(text + digit_count, text_bytes - digit_count, &fraction_ns);
    if (used == SIZE_MAX || digit_count + used != text_bytes) {
        return false;
    }
    *ns_out = seconds * NS_PER_SECOND + fraction_ns;
    return true;
}

bool time_text_parse(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    uint64_t value;
    size_t digit_count = time_text_digit_count(text, text_bytes);
    if (digit_count == 10 && (text_bytes == 10 || text[10] == '.')) {
        return time_text_parse_seconds(text, text_bytes, ns_out);
    }
    if (!time_text_parse_ns(text, text_bytes, &value)) {
        return time_text_parse_iso(text, text_bytes, ns_out);
    }
    switch (digit_count) {
    case 13:
        *ns_out = value * NS_PER_MS;
        return true;
    case 16:
        *ns_out = value * NS_PER_US;
        return true;
    case 19:
        *ns_out = value;
        return true;
    default:
        return false;
    }
}
