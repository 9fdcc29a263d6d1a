#include "codec/time_text.h"

#include <string.h>

#include "codec/base/units.h"

#define TIME_TEXT_YEAR_MAX 2261
#define TIME_TEXT_NONE_SECONDS INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */

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

/* Z, UTC, +HH:MM, +HHMM or +HH, after a blank or not, to the very end. */
static bool time_text_zone(const char *text, size_t text_bytes, int64_t *offset_seconds_out)
{
    uint32_t hours;
    uint32_t minutes = 0;
    size_t blank_bytes = text_bytes > 0 && text[0] == ' ';
    text += blank_bytes;
    text_bytes -= blank_bytes;
    if ((text_bytes == 1 && (text[0] == 'Z' || text[0] == 'z')) ||
        (text_bytes == 3 && memcmp(text, "UTC", 3) == 0)) {
        *offset_seconds_out = 0;
        return true;
    }
    size_t colon_bytes = text_bytes == 6 && text[3] == ':' ? 1 : 0;
    if ((text_bytes != 3 && text_bytes != 5 + colon_bytes) || (text[0] != '+' && text[0] != '-') ||
        !time_text_digits(text + 1, 2, &hours) ||
        (text_bytes > 3 && !time_text_digits(text + 3 + colon_bytes, 2, &minutes)) || hours > 14 ||
        minutes > 59) {
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
    if (year > TIME_TEXT_YEAR_MAX || month < 1 || month > 12 || day < 1 ||
        day > time_text_days_of_month(year, month)) {
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
    if (seconds == TIME_TEXT_NONE_SECONDS && fraction_ns == 0) {
        *ns_out = 0;
        return true;
    }
    if (seconds < 0) {
        return false;
    }
    *ns_out = (uint64_t)seconds * NS_PER_SECOND + fraction_ns;
    return true;
}

/* A number without a sign: digits, with a point among them or not, and an exponent. */
struct time_text_number {
    const char *digits; /* from the first that is not 0 */
    size_t digits_bytes;
    int64_t whole_count; /* so many of them are before the point, once the exponent has moved it */
};

/* Passes digits; returns how many. */
static size_t time_text_digit_count(const char *text, size_t text_bytes)
{
    size_t count = 0;
    while (count < text_bytes && time_text_is_digit(text[count])) {
        count++;
    }
    return count;
}

/* e, a sign or none, one to four digits; or nothing. */
static bool time_text_exponent(const char *text, size_t text_bytes, int64_t *exponent_out)
{
    uint32_t value;
    size_t at = text_bytes > 1 && (text[1] == '-' || text[1] == '+') ? 2 : 1;
    *exponent_out = 0;
    if (text_bytes == 0) {
        return true;
    }
    if ((text[0] != 'e' && text[0] != 'E') || text_bytes <= at || text_bytes > at + 4 ||
        !time_text_digits(text + at, text_bytes - at, &value)) {
        return false;
    }
    *exponent_out = text[1] == '-' ? -(int64_t)value : value;
    return true;
}

static bool time_text_number(struct time_text_number *number, const char *text, size_t text_bytes)
{
    int64_t exponent;
    size_t whole = time_text_digit_count(text, text_bytes);
    size_t used = whole;
    if (used > 0 && used < text_bytes && text[used] == '.') {
        size_t more = time_text_digit_count(text + used + 1, text_bytes - used - 1);
        used = more > 0 ? used + 1 + more : text_bytes + 1;
    }
    if (whole == 0 || used > text_bytes ||
        !time_text_exponent(text + used, text_bytes - used, &exponent)) {
        return false;
    }
    *number = (struct time_text_number){text, used, (int64_t)whole + exponent};
    while (number->digits_bytes > 0 && (*number->digits == '0' || *number->digits == '.')) {
        number->whole_count -= *number->digits == '0';
        number->digits++;
        number->digits_bytes--;
    }
    return true;
}

/* In units of 10^-places; what is left over is cut off. false: over INT64_MAX. */
static bool time_text_scaled(const struct time_text_number *number, int places, uint64_t *value_out)
{
    uint64_t value = 0;
    int64_t wanted = number->whole_count + places;
    for (size_t i = 0; i < number->digits_bytes && wanted > 0; i++) {
        if (number->digits[i] == '.') {
            continue;
        }
        uint64_t digit = (uint64_t)(number->digits[i] - '0');
        if (value > (INT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        wanted--;
    }
    for (; wanted > 0 && value > 0; wanted--) {
        if (value > INT64_MAX / 10) {
            return false;
        }
        value *= 10;
    }
    *value_out = value;
    return true;
}

bool time_text_parse_seconds(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    struct time_text_number number;
    return time_text_number(&number, text, text_bytes) && time_text_scaled(&number, 9, ns_out);
}

bool time_text_parse(const char *text, size_t text_bytes, uint64_t *ns_out)
{
    struct time_text_number number;
    if (!time_text_number(&number, text, text_bytes)) {
        return time_text_parse_iso(text, text_bytes, ns_out);
    }
    if (number.digits_bytes == 0) {
        *ns_out = 0; /* in every unit */
        return true;
    }
    switch (number.whole_count) {
    case 10:
        return time_text_scaled(&number, 9, ns_out);
    case 13:
        return time_text_scaled(&number, 6, ns_out);
    case 16:
        return time_text_scaled(&number, 3, ns_out);
    case 19:
        return time_text_scaled(&number, 0, ns_out);
    default:
        return false;
    }
}
