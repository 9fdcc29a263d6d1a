/*
 * tap_print: frames and certificates as lines of text.
 *
 * Threads  One. Memory: nothing is allocated; values are printed as they are in the JSON, so
 *          that a price keeps its digits.
 */
#ifndef RINGCAST_TOOLS_TAP_PRINT_H
#define RINGCAST_TOOLS_TAP_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/tap/tap_tick.h"

/* "09:30:00.123456 000001.SZ quote #58211 last=12.34 bids=[[12.33,500]]" (UTC) */
void tap_print_tick(FILE *out, const struct tap_tick *tick);

/* "-- GAP ch=5 from=1 to=9": any JSON frame that is no tick. */
void tap_print_control(FILE *out, const uint8_t *payload, size_t payload_bytes);

/* Prints the certificate of tap_certificate_make, with a line for each channel if wanted. */
void tap_print_certificate(FILE *out, const json_t *certificate, bool with_channels);

#endif
