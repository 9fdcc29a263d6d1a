/*
 * record_file: one file of a recording, compressed by zstd as it is written. What was written up
 * to the last flush can be read from an unfinished file, too.
 *
 * Owner    record. Threads: its own only; a call may wait for the disk.
 * Memory   The compressor's, and a block for its output, made by create.
 * Errors   A negative errno; then abandon is the only call that may follow.
 */
#ifndef RINGCAST_SRC_RECORD_FILE_H
#define RINGCAST_SRC_RECORD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_file {
    int directory_fd;
    int fd; /* -1: none is open */
    char name[64];
    uint64_t bytes;     /* that were written to it */
    uint64_t all_bytes; /* to all files */
    void *zstd;
    uint8_t *out;
    size_t out_capacity;
    size_t out_bytes; /* that wait to be written */
};

/* directory_fd is borrowed. -ENOMEM. */
int record_file_create(struct record_file *file, int directory_fd);
void record_file_destroy(struct record_file *file);

/* A new file; -EEXIST: the name is taken. */
int record_file_begin(struct record_file *file, const char *name);
int record_file_append(struct record_file *file, const void *bytes, size_t count);
/* All that was appended can be read from the file now. -ENOENT: somebody has deleted it. */
int record_file_flush(struct record_file *file);
/* The file is complete, and on the disk. */
int record_file_end(struct record_file *file);
/* Closes it as it is; removes it if nothing was written. */
void record_file_abandon(struct record_file *file);

#endif
