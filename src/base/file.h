/*
 * file: a small file, read whole; bytes, written whole.
 *
 * Owner    The caller frees the text.
 * Threads  Any; blocks while it reads: for the start only.
 * Memory   bytes_max + 1 at most.
 * Errors   Negative errno; then there is no text.
 */
#ifndef RINGCAST_SRC_FILE_H
#define RINGCAST_SRC_FILE_H

#include <stddef.h>

/* May wait. 0 or a negative errno: then part of them may be written. */
int file_write(int fd, const void *bytes, size_t count);

/* From where fd is to the end, terminated by a zero. -EFBIG: more than bytes_max. */
int file_read(int fd, size_t bytes_max, char **text_out, size_t *bytes_out);

#endif
