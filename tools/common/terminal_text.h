/*
 * terminal_text: makes foreign text safe for a terminal: it cannot control it.
 *
 * Anything that is not printable by utf8.h becomes \xNN (a byte) or \uNNNN (a character).
 *
 * Threads  Any. Memory: the caller's.
 */
#ifndef RINGCAST_TOOLS_TERMINAL_TEXT_H
#define RINGCAST_TOOLS_TERMINAL_TEXT_H

#include <stddef.h>
#include <stdio.h>

void terminal_text_print(FILE *out, const void *text, size_t text_bytes);

/* Terminated, and cut where it does not fit. */
void terminal_text_copy(char *out, size_t out_bytes, const void *text, size_t text_bytes);

#endif
