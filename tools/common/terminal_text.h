/*
 * terminal_text: foreign text on its way to a terminal, which it must not steer.
 *
 * What utf8.h does not call printable becomes \xNN (a byte) or \uNNNN (a character).
 *
 * Threads  Any. Memory: the caller's.
 */
#ifndef RINGCAST_TOOLS_TERMINAL_TEXT_H
#define RINGCAST_TOOLS_TERMINAL_TEXT_H

#include <stddef.h>
#include <stdio.h>

void terminal_text_print(FILE *out, const void *text, size_t text_bytes);

/* Terminated; what has no room is left out. */
void terminal_text_copy(char *out, size_t out_bytes, const void *text, size_t text_bytes);

#endif
