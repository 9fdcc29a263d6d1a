/*
 * record_directory: the directory of a recording, and the names of its files, whose order is the
 * order of the ticks: ringcast-20261129T223647.123Z.sbe.zst.
 *
 * Owner    record. Threads: one at a time.
 * Memory   The caller's.
 * Units    Names are of the wall clock, in milliseconds and UTC. A clock that was set back does not
 *          disturb the order: a name is later than all that were there.
 * Errors   A negative errno, with a message that says what to do.
 */
#ifndef RINGCAST_SRC_RECORD_DIRECTORY_H
#define RINGCAST_SRC_RECORD_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_DIRECTORY_NAME_BYTES_MAX 48

/* Zero before open. */
struct record_directory {
    int fd;
    uint64_t newest_ms; /* of the names that are there; 0: none */
};

/* Checks that the directory is there and that files can be made in it. */
int record_directory_open(struct record_directory *directory, const char *path, char *error_out,
                          size_t error_bytes);
void record_directory_close(struct record_directory *directory);

/* From now on no other server records there. Finds the newest name. */
int record_directory_lock(struct record_directory *directory, const char *path, char *error_out,
                          size_t error_bytes);

/* The name of the next file. */
void record_directory_name(struct record_directory *directory, uint64_t wall_ns,
                           char name_out[RECORD_DIRECTORY_NAME_BYTES_MAX]);

#endif
