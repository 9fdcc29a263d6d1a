#include "codec/decimal.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define DECIMAL_1E8 UINT64_C(100000000)
#define DECIMAL_ASCII_ZEROS UINT64_C(0x3030303030303030)
#define DECIMAL_EXPONENT_FAR INT64_C(1000000000000) /* No text has so many digits. */

static const uint64_t decimal_powers[DECIMAL_PLACES_MAX + 2] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000), /* the last one of 64 bits */
};

/* ---- Reading ---- */

/* mantissa x 10^power; the text ends with so many more zeros, and its last digit is that of
 * 10^(power - zeros). */
struct decimal_scan {
    bool is_negative;
    uint64_t mantissa;
    int64_t zeros;
    int64_t power;
};

/* The digits of an exponent, to the very end; false: they are none. */
static bool decimal_scan_exponent(const char *text, size_t text_bytes, int64_t *exponent_out)
{
    size_t at = text_bytes > 0 && (text[0] == '-' || text[0] == '+');
    int64_t exponent = 0;
    if (at == text_bytes) {
        return false;
    }
    for (; at < text_bytes; at++) {
        int digit = text[at] - '0';
        if (digit < 0 || digit > 9) {
            return false;
        }
        if (exponent < DECIMAL_EXPONENT_FAR) {
            exponent = exponent * 10 + digit;
        }
    }
    *exponent_out = text[0] == '-' ? -exponent : exponent;
    return true;
}

/* zeros: since the last digit that was not 0. */
static bool decimal_scan_digit(struct decimal_scan *scan, int digit)
{
    if (digit == 0) {
        scan->zeros++;
        return true;
    }
    if (scan->mantissa == 0) {
        scan->zeros = 0; /* before the first digit that counts */
    }
    if (scan->zeros > DECIMAL_PLACES_MAX ||
        __builtin_mul_overflow(scan->mantissa, decimal_powers[scan->zeros + 1], &scan->mantissa) ||
        __builtin_add_overflow(scan->mantissa, (uint64_t)digit, &scan->mantissa)) {
        return false;
    }
    scan->zeros = 0;
    return true;
}

/* Any digits and an exponent, as far as 64 bits hold the value. */
static bool decimal_scan_text(struct decimal_scan *scan, const char *text, size_t text_bytes)
{
    int64_t exponent = 0;
    int64_t places = 0;
    bool any_digit = false;
    bool after_point = false;
    *scan = (struct decimal_scan){.is_negative = text_bytes > 0 && text[0] == '-'};
    for (size_t at = text_bytes > 0 && (text[0] == '-' || text[0] == '+'); at < text_bytes; at++) {
        int digit = text[at] - '0';
        if (text[at] == '.' && !after_point) {
            after_point = true;
        } else if ((text[at] == 'e' || text[at] == 'E') && any_digit) {
            if (!decimal_scan_exponent(text + at + 1, text_bytes - at - 1, &exponent)) {
                return false;
            }
            break;
        } else if (digit < 0 || digit > 9 || !decimal_scan_digit(scan, digit)) {
            return false;
        } else {
            any_digit = true;
            places += after_point;
        }
    }
    scan->power = exponent - places + scan->zeros;
    return any_digit;
}

/* As many of the places that are written as fit; false: those that count do not. */
static __attribute__((noinline)) bool decimal_parse_wide(const char *text, size_t text_bytes,
                                                         struct md_decimal *decimal_out)
{
    struct decimal_scan scan;
    if (!decimal_scan_text(&scan, text, text_bytes)) {
        return false;
    }
    int64_t exponent = scan.power - scan.zeros;
    exponent = exponent > 0 ? 0 : exponent < -DECIMAL_PLACES_MAX ? -DECIMAL_PLACES_MAX : exponent;
    int64_t exponent_max = scan.mantissa == 0 || scan.power > 0 ? 0 : scan.power;
    for (; exponent <= exponent_max; exponent++) {
        int64_t more = scan.mantissa == 0 ? 0 : scan.power - exponent;
        uint64_t mantissa;
        if (more <= DECIMAL_PLACES_MAX &&
            !__builtin_mul_overflow(scan.mantissa, decimal_powers[more], &mantissa) &&
            mantissa <= INT64_MAX) {
            *decimal_out = (struct md_decimal){
                .mantissa = scan.is_negative ? -(int64_t)mantissa : (int64_t)mantissa,
                .exponent = (int8_t)exponent,
            };
            return true;
        }
    }
    return false;
}

bool decimal_parse(const char *text, size_t text_bytes, struct md_decimal *decimal_out)
{
    size_t at = 0;
    bool negative = text_bytes > 0 && text[0] == '-';
    if (negative || (text_bytes > 0 && text[0] == '+')) {
        at++;
    }
    int64_t mantissa = 0;
    int places = 0;
    bool any_digit = false;
    bool after_point = false;
    for (; at < text_bytes; at++) {
        if (text[at] == '.' && !after_point) {
            after_point = true;
            continue;
        }
        int digit = text[at] - '0';
        if (digit < 0 || digit > 9 || mantissa > (INT64_MAX - digit) / 10) {
            return decimal_parse_wide(text, text_bytes, decimal_out);
        }
        mantissa = mantissa * 10 + digit;
        any_digit = true;
        places += after_point;
        if (places > DECIMAL_PLACES_MAX) {
            return decimal_parse_wide(text, text_bytes, decimal_out);
        }
    }
    if (!any_digit) {
        return false;
    }
    *decimal_out = (struct md_decimal){
        .mantissa = negative ? -mantissa : mantissa,
        .exponent = (int8_t)-places,
    };
    return true;
}

bool decimal_parse_u64(const char *text, size_t text_bytes, uint64_t *value_out)
{
    struct decimal_scan scan;
    if (!decimal_scan_text(&scan, text, text_bytes) || (scan.is_negative && scan.mantissa != 0)) {
        return false;
    }
    uint64_t value = 0;
    if (scan.mantissa != 0 &&
        (scan.power < 0 || scan.power > DECIMAL_PLACES_MAX + 1 ||
         __builtin_mul_overflow(scan.mantissa, decimal_powers[scan.power], &value))) {
        return false;
    }
    *value_out = value;
    return true;
}

/* ---- Writing ---- */

/*
 * The eight digits of a value below 10^8, one in each byte, the most significant in the lowest:
 * the value is halved into four, two and one digits, all lanes of a step in one multiplication.
 * 10486 / 2^20 is 1/100 exactly enough below 10^4, and 103 / 2^10 is 1/10 below 100.
 */
static inline uint64_t decimal_eight_digits(uint64_t value)
{
    assert_debug(value < DECIMAL_1E8);
    uint64_t fours = value / 10000 | (value % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t pairs = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = (pairs * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (pairs - tens * 10) << 8;
}

static inline void decimal_store(char *text, uint64_t eight_characters)
{
    memcpy(text, &eight_characters, sizeof eight_characters);
}

/* Leading zeros of eight digits that need not be written if digit_count_min (1 to 8) must be. */
static inline unsigned decimal_leading_zeros(uint64_t eight_digits, unsigned digit_count_min)
{
    assert_debug(digit_count_min >= 1 && digit_count_min <= 8);
    uint64_t stop = UINT64_C(1) << 8 * (8 - digit_count_min);
    return (unsigned)__builtin_ctzll(eight_digits | stop) / 8;
}

/* value < 10^8. Stores eight bytes, of which as many count as are returned. */
static inline size_t decimal_put_short(char *text, uint64_t value)
{
    uint64_t digits = decimal_eight_digits(value);
    unsigned leading = decimal_leading_zeros(digits, 1);
    decimal_store(text, (digits | DECIMAL_ASCII_ZEROS) >> 8 * leading);
    return 8 - leading;
}

size_t decimal_format_u64(char *text, uint64_t value)
{
    if (value < DECIMAL_1E8) {
        return decimal_put_short(text, value);
    }
    size_t count = 0;
    if (value >= DECIMAL_1E8 * DECIMAL_1E8) {
        count = decimal_put_short(text, value / (DECIMAL_1E8 * DECIMAL_1E8));
        value %= DECIMAL_1E8 * DECIMAL_1E8;
        decimal_store(text + count,
                      decimal_eight_digits(value / DECIMAL_1E8) | DECIMAL_ASCII_ZEROS);
        count += 8;
    } else {
        count = decimal_put_short(text, value / DECIMAL_1E8);
    }
    decimal_store(text + count, decimal_eight_digits(value % DECIMAL_1E8) | DECIMAL_ASCII_ZEROS);
    return count + 8;
}

/* value < 10^8, places 0 to 7: one register holds all digits. */
static inline size_t decimal_put_word(char *text, uint64_t value, unsigned places)
{
    uint64_t digits = decimal_eight_digits(value);
    unsigned leading = decimal_leading_zeros(digits, places + 1);
    uint64_t characters = (digits | DECIMAL_ASCII_ZEROS) >> 8 * leading;
    decimal_store(text, characters);
    if (places == 0) {
        return 8 - leading;
    }
    unsigned whole = 8 - leading - places;
    text[whole] = '.';
    decimal_store(text + whole + 1, characters >> 8 * whole);
    return 9 - leading;
}

/* places 1 to 8: what comes after the point lies in the last eight digits, thus in a register. */
static inline size_t decimal_put_two_words(char *text, uint64_t value, unsigned places)
{
    uint64_t last = decimal_eight_digits(value % DECIMAL_1E8) | DECIMAL_ASCII_ZEROS;
    size_t count = decimal_format_u64(text, value / DECIMAL_1E8);
    decimal_store(text + count, last);
    count += 8;

    size_t whole = count - places;
    text[whole] = '.';
    decimal_store(text + whole + 1, last >> 8 * (8 - places));
    return count + 1;
}

/* places 9 to 18, rare. */
static size_t decimal_put_long(char *text, uint64_t value, unsigned places)
{
    assert_always(places > 8 && places <= DECIMAL_PLACES_MAX);
    size_t whole = decimal_format_u64(text, value / decimal_powers[places]);
    uint64_t rest = value % decimal_powers[places];
    text[whole] = '.';
    for (size_t at = whole + places; at > whole; at--) {
        text[at] = (char)('0' + rest % 10);
        rest /= 10;
    }
    return whole + 1 + places;
}

size_t decimal_format(char *text, struct md_decimal decimal)
{
    unsigned places = (unsigned)-decimal.exponent;
    assert_always(places <= DECIMAL_PLACES_MAX);

    size_t sign = decimal.mantissa < 0;
    uint64_t value = sign ? -(uint64_t)decimal.mantissa : (uint64_t)decimal.mantissa;
    *text = '-';
    text += sign;
    if (value < DECIMAL_1E8 && places < 8) {
        return sign + decimal_put_word(text, value, places);
    }
    if (places == 0) {
        return sign + decimal_format_u64(text, value);
    }
    if (places <= 8) {
        return sign + decimal_put_two_words(text, value, places);
    }
    return sign + decimal_put_long(text, value, places);
}

/* ---- Arithmetic ---- */

/* By at most 18 places, a mantissa of 63 bits stays within 127. */
static inline __int128 decimal_scaled(struct md_decimal decimal, int exponent)
{
    int places = decimal.exponent - exponent;
    assert_always(places >= 0 && places <= DECIMAL_PLACES_MAX);
    return (__int128)decimal.mantissa * (__int128)decimal_powers[places];
}

int decimal_compare(struct md_decimal a, struct md_decimal b)
{
    if (a.exponent == b.exponent) {
        return (a.mantissa > b.mantissa) - (a.mantissa < b.mantissa);
    }
    int exponent = a.exponent < b.exponent ? a.exponent : b.exponent;
    __int128 scaled_a = decimal_scaled(a, exponent);
    __int128 scaled_b = decimal_scaled(b, exponent);
    return (scaled_a > scaled_b) - (scaled_a < scaled_b);
}

/* false: it overflows. */
static bool decimal_shift(__int128 *mantissa, int32_t places)
{
    for (; places > 0; places -= DECIMAL_PLACES_MAX) {
        int32_t step = places < DECIMAL_PLACES_MAX ? places : DECIMAL_PLACES_MAX;
        if (__builtin_mul_overflow(*mantissa, (__int128)decimal_powers[step], mantissa)) {
            return false;
        }
    }
    return true;
}

static void decimal_sum_add_wide(struct decimal_sum *sum, __int128 mantissa, int32_t exponent)
{
    if (exponent < sum->exponent) {
        sum->overflowed |= !decimal_shift(&sum->mantissa, sum->exponent - exponent);
        sum->exponent = exponent;
    }
    sum->overflowed |= !decimal_shift(&mantissa, exponent - sum->exponent) ||
                       __builtin_add_overflow(sum->mantissa, mantissa, &sum->mantissa);
}

void decimal_sum_add(struct decimal_sum *sum, struct md_decimal summand)
{
    decimal_sum_add_wide(sum, summand.mantissa, summand.exponent);
}

void decimal_sum_add_product(struct decimal_sum *sum, struct md_decimal a, struct md_decimal b)
{
    decimal_sum_add_wide(sum, (__int128)a.mantissa * b.mantissa, a.exponent + b.exponent);
}

/* The compiler would call __divti3 for value / 10, and with it comes a library of Zig's own memcpy
 * and strlen, which are slower than libc's. */
static __int128 decimal_tenth(__int128 value)
{
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    unsigned __int128 tenth = 0;
    uint64_t carry = 0;
    for (int shift = 96; shift >= 0; shift -= 32) {
        uint64_t part = carry << 32 | (uint32_t)(rest >> shift);
        tenth |= (unsigned __int128)(part / 10) << shift;
        carry = part % 10;
    }
    return value < 0 ? -(__int128)tenth : (__int128)tenth;
}

struct md_decimal decimal_sum_value(const struct decimal_sum *sum)
{
    __int128 mantissa = sum->mantissa;
    int32_t exponent = sum->exponent;
    while (exponent < 0 &&
           (exponent < -DECIMAL_PLACES_MAX || mantissa > INT64_MAX || mantissa < -INT64_MAX)) {
        mantissa = decimal_tenth(mantissa);
        exponent++;
    }
    if (sum->overflowed || mantissa > INT64_MAX || mantissa < -INT64_MAX) {
        return md_none;
    }
    return (struct md_decimal){.mantissa = (int64_t)mantissa, .exponent = (int8_t)exponent};
}
