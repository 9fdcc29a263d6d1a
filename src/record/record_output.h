/*
 * record_output: the recorder's side of a recording: what is in the ring goes into files.
 *
 * A file stands alone. It begins with a RECORDING, and a DEFINITION is before the first SBE message
 * of each channel. At an error nothing more is written until a later attempt succeeds.
 *
 * Owner    record embeds one. Threads: the recorder's, which may wait for the disk.
 * Memory   A file's, and a bit for each channel.
 * Errors   Logged once, when the recording stops, and once more when it continues.
 */
#ifndef RINGCAST_SRC_RECORD_OUTPUT_H
#define RINGCAST_SRC_RECORD_OUTPUT_H

#include "src/record/record_directory.h"
#include "src/record/record_file.h"
#include "src/record/record_queue.h"
#include <stdatomic.h>

struct record_output {
    /* Set before the thread begins, then constant. */
    struct record_queue *queue;
    const char *path; /* of the directory */
    uint64_t epoch;

    _Atomic uint64_t file_bytes_max; /* of record_set_limits, like: */
    _Atomic uint64_t file_ns_max;

    struct record_directory directory;
    struct record_file file;
    uint64_t defined[RECORD_QUEUE_CHANNELS_MAX / 64]; /* a bit each: in this file */
    uint64_t last_q;    /* of the newest tick that was appended; 0 also after an error */
    uint64_t unwritten; /* ticks that were appended since the last flush */
    bool is_dirty;      /* Something was appended since then. */
    uint64_t begun_ns;  /* when the file was, by the monotonic clock */
    uint64_t flushed_ns;
    uint64_t retry_ns;       /* while it is stopped */
    uint64_t missing_before; /* ticks that were not recorded when the recording stopped */
    uint64_t full_logged;    /* counters.record_full at the last warning */
    uint64_t warned_ns;
};

/* Writes what waits, flushes and rotates. Returns whether there was something. */
bool record_output_turn(struct record_output *output, uint64_t now_ns);
/* All that waits is written, and the file is complete. */
void record_output_end(struct record_output *output);

#endif
