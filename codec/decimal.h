/*
 * decimal: exact decimals between text and md_decimal.
 *
 * Threads  Pure functions.
 * Units    The exponent is minus the number of digits after the point in the text, so that
 *          what was "0.35130000" is written "0.35130000" again. Where a text has an exponent or
 *          more digits than fit, zeros at its end are left out until they do.
 */
#ifndef RINGCAST_CODEC_DECIMAL_H
#define RINGCAST_CODEC_DECIMAL_H

#include "codec/md.h"

#define DECIMAL_PLACES_MAX 18 /* digits after the point */

/* A text has at most 21 bytes (sign, 19 digits, point); digits are stored eight at a time. */
#define DECIMAL_TEXT_BYTES_MAX 32
#define DECIMAL_U64_BYTES_MAX 20

/* An exact sum; all 0 to begin with. */
struct decimal_sum {
    __int128 mantissa;
    int32_t exponent; /* that of the finest summand so far: -36 to 0 */
    bool overflowed;  /* It has no value any more. */
};

/* Sign (- or +, optional), digits, optional point and digits, optional exponent (e or E, sign,
 * digits); no blanks; at least one digit, on either side of the point. 1.50e1 is 15.0, and 1.2e-5
 * is 0.000012. Exact, or false: not of that form, over 18 digits after the point that are not 0 at
 * their end, or the mantissa overflows (INT64_MIN itself is refused); *decimal_out is untouched. */
bool decimal_parse(const char *text, size_t text_bytes, struct md_decimal *decimal_out);

/* The same for an integer of 0 to 2^64 - 1: 77, 77.0, 7.7e1. false: another value. */
bool decimal_parse_u64(const char *text, size_t text_bytes, uint64_t *value_out);

/* Returns the length of the text, no terminator; may scribble behind it, within
 * DECIMAL_TEXT_BYTES_MAX. The decimal must be given (not MD_NONE) and its exponent within -18
 * to 0. */
size_t decimal_format(char *text, struct md_decimal decimal);

/* Decimal digits of an unsigned integer; returns how many; may scribble behind them, within
 * DECIMAL_U64_BYTES_MAX. */
size_t decimal_format_u64(char *text, uint64_t value);

/* Below, equal to or above 0 as a is to b. Both must be given. */
int decimal_compare(struct md_decimal a, struct md_decimal b);

/* The summands must be given. */
void decimal_sum_add(struct decimal_sum *sum, struct md_decimal summand);
void decimal_sum_add_product(struct decimal_sum *sum, struct md_decimal a, struct md_decimal b);

/* With all its places, or as many as a mantissa of 63 bits and DECIMAL_PLACES_MAX have room for:
 * the last ones are cut off, so that 18 digits at least are right. MD_NONE: no room at all. */
struct md_decimal decimal_sum_value(const struct decimal_sum *sum);

#endif
