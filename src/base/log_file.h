/*
 * log_file: the file of a log, opened to append to it.
 *
 * Threads  Main; a disk that does not answer keeps it waiting.
 * Errors   Negative errno.
 */
#ifndef RINGCAST_SRC_LOG_FILE_H
#define RINGCAST_SRC_LOG_FILE_H

#include <stdbool.h>

/* A descriptor. The file, and the directory that it is in, are made if they are not there. */
int log_file_open(const char *path);
/* What log_file_open would probably return, while nothing is made: 0 or an error. */
int log_file_check(const char *path);

/* Whether lines on a descriptor go to systemd's journal: value is that of JOURNAL_STREAM, or NULL.
 */
bool log_file_is_journal(int fd, const char *value);

#endif
