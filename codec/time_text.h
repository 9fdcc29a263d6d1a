/*
 * time_text: times as files and venues write them, to nanoseconds since the Unix epoch.
 *
 * Threads  Pure functions.
 * Units    Digits beyond the nanosecond are cut off. Years 1970 to 2261 (63 bits).
 * Errors   false: not of that form; *ns_out is untouched.
 */
#ifndef RINGCAST_CODEC_TIME_TEXT_H
#define RINGCAST_CODEC_TIME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2021-04-17T16:43:37.075687Z: a 'T' or a blank between, any digits after the point, then Z, UTC or
 * an offset (+08:00, +0800, +08), after a blank or not. A local time without either is refused: it
 * could be any. 0001-01-01T00:00:00Z, which Go and .NET write for no time, is 0. */
bool time_text_parse_iso(const char *text, size_t text_bytes, uint64_t *ns_out);

/* 1618677817.061845: seconds, also with a fraction or an exponent (1.618677817e9). */
bool time_text_parse_seconds(const char *text, size_t text_bytes, uint64_t *ns_out);

/* An ISO time, or a number whose digits before the point tell its unit: 10 seconds, 13
 * milliseconds, 16 microseconds, 19 nanoseconds: right from 2001 on. 1.7e9 has 10, and 0 is 0. */
bool time_text_parse(const char *text, size_t text_bytes, uint64_t *ns_out);

#endif
