/*
 * tls_files: reads the files of TLS, and notices that one of them has changed.
 *
 * Owner    The caller. Threads: any; blocks while it reads.
 * Memory   A file is read whole; tls_files_free() wipes it, because it may be a key.
 * Errors   A negative errno, and one line.
 */
#ifndef RINGCAST_SRC_TLS_FILES_H
#define RINGCAST_SRC_TLS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/tls_options.h"
#include "src/tls/tls_error.h"

#define TLS_FILES_BYTES_MAX (4u * 1024 * 1024) /* of one file */

struct tls_file {
    char *text; /* terminated by a zero */
    size_t bytes;
    bool is_open_to_others; /* Users who are neither its owner nor in its group may read it. */
};

/* Only regular files: a reload reads them again. option: for the error. */
int tls_files_read(struct tls_file *file_out, const char *option, const char *path,
                   char error_out[TLS_ERROR_BYTES_MAX]);
void tls_files_free(struct tls_file *file);

/* A number that is another one when any file of the options was replaced, written, made readable
 * or removed. It is taken before the files are read: what changes meanwhile is noticed later. */
uint64_t tls_files_stamp(const struct tls_options *options);

#endif
