/*
 * record_queue: what the publisher's side (record_input) and the recorder's thread (record_output)
 * share.
 *
 * Owner    record. Threads: the publisher's and the recorder's.
 */
#ifndef RINGCAST_SRC_RECORD_QUEUE_H
#define RINGCAST_SRC_RECORD_QUEUE_H

#include "codec/md.h"
#include "ring/board/counters.h"
#include "src/record/record_ring.h"

#define RECORD_QUEUE_CHANNELS_MAX 65536

/* A channel's name; set before its first message, then constant. */
struct record_channel {
    uint8_t type; /* enum md_type */
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
};

struct record_queue {
    /* Set at the creation, then constant. */
    struct record_channel *channels;
    struct process_counters *counters;
    int wake_fd; /* an eventfd */

    struct record_ring ring;

    _Alignas(CACHE_LINE_BYTES) _Atomic bool is_stopped; /* Nothing can be written now. */
    _Alignas(CACHE_LINE_BYTES) _Atomic bool is_sleeping;
    _Atomic bool is_ending;
};

#endif
