/*
 * stat_screen: the terminal of `ringcast stat --watch`: one picture, drawn over the last.
 *
 * Owner    The caller opens it, and closes it at the end.
 * Threads  One. While it is open, signals are read here instead of ending the program.
 */
#ifndef RINGCAST_TOOLS_STAT_SCREEN_H
#define RINGCAST_TOOLS_STAT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of lines of the terminal at standard output; 0: it is not a terminal. */
uint32_t stat_screen_rows(void);

/* The descriptor that is readable when a signal has arrived; -1: there is none. */
int stat_screen_open(void);
void stat_screen_close(int signal_fd);

/* Draws as many lines of the text as there is room for. */
void stat_screen_draw(const char *text, size_t text_bytes);

/* Takes the signal that has arrived. false: it ends the program. */
bool stat_screen_on_signal(int signal_fd);

#endif
