/*
 * standard_fds: standard input, output and error, which a parent may have closed or filled.
 *
 * Threads  One: first thing in main, and last thing there.
 * Errors   A program that cannot have its descriptors ends at once. Texts begin with the program's
 *          name.
 */
#ifndef RINGCAST_CODEC_BASE_STANDARD_FDS_H
#define RINGCAST_CODEC_BASE_STANDARD_FDS_H

#include <stdbool.h>

/* Opens /dev/null for each of 0 to 2 that is closed: a log or a socket that got such a number would
 * receive what the program prints. Ends the program with status 1 when that fails. */
void standard_fds_open(const char *program);

/* Whether nobody will ever read standard output: a pipe without a reader, a terminal that hung up.
 */
bool standard_fds_output_is_gone(void);

/* Writes the buffer of standard output. false: not all of it could be written, now or earlier; the
 * reason is then on standard error, unless the reader has just left. */
bool standard_fds_flush(const char *program);

#endif
