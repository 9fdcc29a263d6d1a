/*
 * input: what clients say. Bytes are received, put together to messages, and those are answered;
 * messages that cost much are answered in slices, and wait for their turn.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   Halves of messages in the inputs of struct links, what waits in its out_pool.
 */
#ifndef RINGCAST_RING_INPUT_H
#define RINGCAST_RING_INPUT_H

#include "ring/link/links.h"

#define INPUT_FIRST_SLICE_UNITS 1000 /* of a link that did not wait before */
#define INPUT_SLICE_UNITS 4000       /* of one that did */
#define INPUT_TURN_UNITS 8000        /* of all links that wait, in one turn; */
#define INPUT_READ_UNITS 16000       /* with this many, what is received waits, too */
#define INPUT_MESSAGE_UNITS 8        /* what any message costs at least: see core_spend */
#define INPUT_INFLATE_UNITS 20
#define INPUT_UNIT_BYTES 64 /* inflated for a unit */

/* Receives (on), unless its client is not to be read from just now. */
void input_receive(struct links *links, struct link *link);
/* What has come, without TLS: of its request, or messages. */
void input_on_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count);
/* Messages, or parts of them: now, or when their turn comes. */
void input_take_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count);
/* A slice for each link whose messages wait, until INPUT_TURN_UNITS are spent. */
void input_run_waiting(struct links *links);
/* Work is counted in units of about 25 ns. */
void input_begin_slice(struct links *links, uint64_t units);
void input_end_slice(struct links *links);
void input_spend(struct links *links, uint32_t units);
bool input_slice_is_over(const struct links *links);
/* Half a request or message is done with. */
void input_release(struct links *links, struct link *link);
/* The link is not held any more, and what it has said is forgotten. */
void input_forget(struct links *links, struct link *link);

#endif
