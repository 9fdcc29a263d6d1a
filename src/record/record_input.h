/*
 * record_input: the publisher's side of a recording. Ticks go into the ring as SBE, or as JSON
 * where SBE would change their digits. Where the ring is full, or nothing can be written, they are
 * left out and counted; when there is room again, a GAP names each channel that lost some.
 *
 * Owner    record embeds one. Threads: the publisher's. No call waits, locks or allocates.
 * Memory   4 MiB for a tick that is not written in place, made by create, touched as needed.
 */
#ifndef RINGCAST_SRC_RECORD_INPUT_H
#define RINGCAST_SRC_RECORD_INPUT_H

#include "src/record/record_queue.h"

struct record_input {
    struct record_queue *queue;
    uint8_t *scratch;
    uint64_t q;          /* of the newest tick; the first one has 1 */
    uint64_t checked;    /* position in the ring of the last check of the reader */
    bool is_leaving_out; /* until half of the ring is free and all GAPs are written */
    uint64_t known[RECORD_QUEUE_CHANNELS_MAX / 64]; /* a bit each: its name is set */
    uint64_t lost[RECORD_QUEUE_CHANNELS_MAX / 64];  /* a bit each: a GAP is to be written */
};

/* -ENOMEM. */
int record_input_create(struct record_input *input, struct record_queue *queue);
void record_input_destroy(struct record_input *input);

bool record_input_knows(const struct record_input *input, uint32_t channel);
void record_input_define(struct record_input *input, uint32_t channel, const char *symbol,
                         size_t symbol_bytes, enum md_type type);
void record_input_tick(struct record_input *input, const struct md_update *update);
/* The feed has lost something of this channel. */
void record_input_lose(struct record_input *input, uint32_t channel);

#endif
