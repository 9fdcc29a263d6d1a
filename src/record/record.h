/*
 * record: writes what the feeds delivered to files, from which the feed replay plays it back
 * (--record; docs/recordings.md).
 *
 * The publisher puts each tick into a ring in memory; a thread compresses it and writes it. Nothing
 * that happens to the files delays a tick.
 *
 * Owner    server creates, starts, stops and destroys it. The publisher's thread calls the others.
 * Threads  Its own writes files. record_stop comes after the publisher's last call.
 * Memory   The ring, 2.4 MB for names and 4 MiB for long ticks, touched as they are used.
 * Errors   create and start: a negative errno and a message that begins with the option and says
 *          what to do. Later ones are logged; recording stops, and is tried again.
 * Source   docs/recordings.md, "The format".
 */
#ifndef RINGCAST_SRC_RECORD_H
#define RINGCAST_SRC_RECORD_H

#include "codec/md.h"
#include "ring/board/counters.h"

#define RECORD_RING_BYTES (64 * MIB)
#define RECORD_MEMORY_BYTES (RECORD_RING_BYTES + 10 * MIB) /* of all that a recorder needs */
#define RECORD_FILE_BYTES_MIN (64 * KIB)

struct record_options {
    const char *path; /* of a directory; borrowed */
    uint64_t file_bytes_max;
    uint64_t file_ns_max;
    uint64_t ring_bytes; /* a power of two */
    uint64_t epoch;      /* of this run of the server */
    struct process_counters *counters;
};

struct record;

/* Checks the directory, and makes nothing in it. */
int record_create(struct record **record_out, const struct record_options *options, char *error_out,
                  size_t error_bytes);
/* Locks the directory and starts the thread. thread: its record, or NULL. */
int record_start(struct record *record, struct counters_thread *thread, char *error_out,
                 size_t error_bytes);
/* For the files to come, and the one that is being written. */
void record_set_limits(struct record *record, uint64_t file_bytes_max, uint64_t file_ns_max);
/* Ends the file when all is in it; waits for the disk at most 10 s. false: the thread still waits
 * for it, and uses the counters until the process ends. NULL: true. */
bool record_stop(struct record *record);
void record_destroy(struct record *record); /* NULL, or one with a thread: nothing. */

/* ---- The publisher ---- */

/* Whether the channel has its name. */
bool record_knows(const struct record *record, uint32_t channel);
void record_define(struct record *record, uint32_t channel, const char *symbol, size_t symbol_bytes,
                   enum md_type type);
/* A tick that a feed delivered. */
void record_tick(struct record *record, const struct md_update *update);
/* The feed has lost something of this channel. */
void record_lose(struct record *record, uint32_t channel);

#endif
