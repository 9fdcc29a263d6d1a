/*
 * feed_queue: ticks from a thread of a feed to the publisher.
 *
 * A feed whose source can only be read by a blocking call has a thread, which pushes what it reads.
 * The feed's poll is feed_queue_poll. The queue is bounded, and the source does not wait for it: a
 * tick is lost if the queue is full. The channel's subscribers receive a GAP in its place, since
 * room for such reports is reserved. After losses in more than FEED_QUEUE_LOSSES_MAX channels at
 * one place, every channel that came through the queue before receives one.
 *
 * Owner    The feed, from before its thread starts to after it has been joined.
 * Threads  Two: the feed's (push, lose, end) and the publisher's (poll).
 * Memory   All at creation, and a bit for each channel. A tick is copied once, with its symbol,
 *          levels and texts.
 * Errors   create: a negative errno. Lost ticks are counted in feed->counters.lost.
 */
#ifndef RINGCAST_FEEDS_FEED_QUEUE_H
#define RINGCAST_FEEDS_FEED_QUEUE_H

#include "feeds/feed.h"

#define FEED_QUEUE_BYTES_MIN 16384
#define FEED_QUEUE_BYTES_MAX (UINT32_C(1) << 30)
#define FEED_QUEUE_LOSSES_MAX 64

struct feed_queue;

/* capacity_bytes: a power of two. A tick without levels takes about 300; one that takes nearly half
 * of the capacity is always lost. */
int feed_queue_create(struct feed_queue **queue_out, size_t capacity_bytes);
void feed_queue_destroy(struct feed_queue *queue);

/* ---- The feed's thread ---- */

/* The tick of a symbol of 1 to MD_SYMBOL_BYTES_MAX bytes; its channel is not looked at. false: it
 * is lost. */
bool feed_queue_push(struct feed_queue *queue, const char *symbol, size_t symbol_bytes,
                     const struct md_update *update);

/* The source had something that was lost: like feed_sink.lost. */
void feed_queue_lose(struct feed_queue *queue, const char *symbol, size_t symbol_bytes,
                     enum md_type type);

/* There will be no more ticks. */
void feed_queue_end(struct feed_queue *queue);

/* ---- The publisher ---- */

/* Like feed_ops.poll: hands over the ticks in the queue, and watches for more. FEED_NEVER: the feed
 * has ended, and everything was handed over. */
uint64_t feed_queue_poll(struct feed_queue *queue, struct feed *feed, uint64_t now_ns);

#endif
