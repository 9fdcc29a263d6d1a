/*
 * frame_log: encoded frames, written once by one writer and read by every core.
 *
 *   bytes        ... | frame | frame | frame | <- head            one memfd mapped twice, so that
 *   descriptors  ... |   i   |  i+1  |  i+2  | <- head            no extent ever wraps
 *                ^ tail: the oldest frame that may still be read
 *
 * Owner    src creates it before the first core starts, destroys it after the last has joined.
 * Threads  reserve, commit, publish: the writer's only. The others: any reader, by its number.
 * Memory   All mapped and touched at creation (unless it is lazy), except for the saved frames: two
 *          buffers a channel, allocated when the last full image of a quiet channel is first about
 *          to be lapped.
 * Units    An index counts frames since creation, a position bytes; both only grow.
 * Errors   0 or a negative errno. No function logs.
 *
 * Pins. The writer takes back room one segment (an eighth of the log) at a time: it moves the tail
 * past the frames in it, then waits for readers that still pin one of those. A reader pins the
 * oldest index it is about to touch, and that of the sends it submits, until submit has returned;
 * a pin that comes too late fails, and the frame counts as lapped. Without pins frames are torn
 * (tests/test_frame_log.c shows it). A reader whose thread is stopped keeps the writer waiting: it
 * spins first, then naps, and reports the reader (struct frame_log_watch).
 *
 * Holds. What is sent without a copy, the kernel reads again until the peer has acknowledged it,
 * which a peer may put off for ever. A reader notes such bytes as held. When the writer takes back
 * a segment with held bytes it gives their pages away: a hole in the memfd puts fresh ones in their
 * place, and the kernel keeps the old ones, unchanged, for as long as it refers to them. So no peer
 * makes the writer wait, and nothing held is ever overwritten.
 */
#ifndef RINGCAST_RING_FRAME_LOG_H
#define RINGCAST_RING_FRAME_LOG_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"
#include "ring/board/counters.h"
#include "ring/board/frame_log_holds.h"

#define FRAME_LOG_READERS_MAX 64
#define FRAME_LOG_SEGMENTS 8
#define FRAME_LOG_BYTES_MIN (1 * MIB)
#define FRAME_LOG_NOT_PINNED UINT64_MAX
#define FRAME_LOG_STUCK_NS NS_PER_SECOND              /* The writer then reports the reader, */
#define FRAME_LOG_STUCK_AGAIN_NS (10 * NS_PER_SECOND) /* and again each time this has passed. */
/* The descriptor ring has one descriptor for so many bytes of the log. */
#define FRAME_LOG_BYTES_PER_DESC 128

enum frame_flags {
    FRAME_FULL_IMAGE = 1, /* A newer frame of the channel replaces it (quotes, bars). */
};

struct frame_desc {
    uint64_t position;
    uint64_t seq;
    uint64_t ts_pub_ns;
    uint64_t hash; /* The channel's running hash, this frame included. */
    uint32_t channel;
    uint32_t frame_bytes;
    uint32_t previous_distance; /* Frames back to the channel's previous one; 0: none in reach. */
    uint8_t group;              /* What src sorts channels by: the data type. */
    uint8_t flags;
};
static_assert(sizeof(struct frame_desc) == 48, "the walk of a flush reads these one by one");

/* Written by the writer only. */
struct frame_log_channel {
    _Atomic uint64_t last_index_plus_1; /* 0: no frame yet */
    uint64_t last_seq;                  /* The writer's own; readers learn it from descriptors. */
    uint64_t hash;                      /* The writer's own, likewise. */
    _Atomic uint8_t group;              /* Of all its frames; set with the first. */
    _Atomic uint64_t dropped_seq;       /* Of the newest frame behind the tail; 0: none */
    _Atomic uint64_t dropped_hash;      /* What it bore. */
    uint8_t *saved[2];                  /* The newest full image behind the tail, see save_frame. */
    uint64_t saved_seq[2];
    uint64_t saved_ts_pub_ns[2];
    uint32_t saved_bytes[2];
    uint32_t saved_capacity[2];
    _Atomic uint32_t saved_current; /* 0: none saved, else 1 + which of the two */
};

struct frame_log_pin {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t index; /* Written by one reader. */
};

/* Where the writer reports its waits, on its own thread. All may be NULL. */
struct frame_log_watch {
    counter *waited_ns; /* grows while the writer waits */
    /* A reader keeps the writer waiting; is_over: it has let it go on. */
    void (*on_stuck)(void *context, uint32_t reader, uint64_t waited_ns, bool is_over);
    void *context;
};

struct frame_log_options {
    size_t capacity_bytes;    /* A power of two, at least FRAME_LOG_BYTES_MIN. */
    uint32_t frame_bytes_max; /* At most a segment. */
    uint32_t channel_count_max;
    uint32_t reader_count; /* At most FRAME_LOG_READERS_MAX. */
    bool is_lazy;          /* Touched as it is written, not at creation. */
};

struct frame_log {
    /* Set at creation, then constant. */
    uint8_t *bytes; /* capacity_bytes, mapped twice */
    struct frame_desc *descs;
    struct frame_log_channel *channels;
    struct frame_log_holds *holds; /* by reader */
    uint64_t capacity_bytes;
    uint64_t bytes_mask;
    uint64_t page_bytes;
    uint64_t desc_mask;
    uint32_t frame_bytes_max;
    uint32_t channel_count_max;
    uint32_t reader_count;
    int memfd;

    /* Written by the writer, read by every core. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; /* index of the next frame */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; /* index of the oldest readable frame */

    /* The writer's own. */
    _Alignas(CACHE_LINE_BYTES) uint64_t write_index;
    uint64_t write_position;
    uint64_t reserved_position; /* Bytes below it may be written. */
    uint64_t reserved_index;
    uint64_t saved_count;         /* frames copied out at the tail */
    uint64_t waited_count;        /* times the writer waited for a pin */
    uint64_t replaced_bytes;      /* of pages given away, since they were held */
    struct frame_log_watch watch; /* set before the first reserve, if wanted */

    /* Written by one reader each. */
    struct frame_log_pin pins[FRAME_LOG_READERS_MAX];
};

/* -EINVAL: an option is out of range. -ENOMEM and others: no mapping. *log_out is then
 * untouched. */
int frame_log_create(struct frame_log **log_out, const struct frame_log_options *options);
void frame_log_destroy(struct frame_log *log);

/* Room for one frame of up to frame_bytes_max bytes; may wait for a pin (see above). */
uint8_t *frame_log_reserve(struct frame_log *log);

/* The next seq of a channel, from 1: what the frame that is about to be encoded bears. */
static inline uint64_t frame_log_next_seq(const struct frame_log *log, uint32_t channel)
{
    return log->channels[channel].last_seq + 1;
}

/* The running hash (codec/running_hash.h) of a channel's frames so far. Who writes the log sets it
 * before it commits the frame that it takes in; the descriptor bears it. */
static inline uint64_t frame_log_hash(const struct frame_log *log, uint32_t channel)
{
    return log->channels[channel].hash;
}

static inline void frame_log_set_hash(struct frame_log *log, uint32_t channel, uint64_t hash)
{
    log->channels[channel].hash = hash;
}

/* Takes the frame that was written at frame_log_reserve() in; readers see it after publish. */
void frame_log_commit(struct frame_log *log, uint32_t channel, uint8_t group, uint8_t flags,
                      uint32_t frame_bytes, uint64_t ts_pub_ns);

/* Forgets all frames, and gives their memory back. Readers find it lapped. */
void frame_log_clear(struct frame_log *log);

/* The writer's own: a channel's newest frame, from the log or from where it was saved, as it is; or
 * only if it is a full image. The bytes stay until the next reserve. */
struct frame_log_image {
    const uint8_t *frame;
    uint32_t frame_bytes;
    uint8_t flags;
    uint64_t seq;
    uint64_t ts_pub_ns;
};
bool frame_log_newest(const struct frame_log *log, uint32_t channel,
                      struct frame_log_image *image_out);
bool frame_log_newest_image(const struct frame_log *log, uint32_t channel,
                            struct frame_log_image *image_out);

/* The writer's own: the index of the next frame, published or not. */
static inline uint64_t frame_log_end(const struct frame_log *log)
{
    return log->write_index;
}

/* The writer's own: how many of the longest frames a reader at index leaves room for, if it is to
 * stay within half a log. */
uint64_t frame_log_half_room(const struct frame_log *log, uint64_t index);

/* The writer's own: 1 + the index of a channel's newest frame; 0: none since the last clear. */
static inline uint64_t frame_log_last_plus_1(const struct frame_log *log, uint32_t channel)
{
    return atomic_load_explicit(&log->channels[channel].last_index_plus_1, memory_order_relaxed);
}

/* Of a channel without a frame since the last clear: as if its frames had begun before, and their
 * hash were what is set. */
void frame_log_set_next_seq(struct frame_log *log, uint32_t channel, uint8_t group,
                            uint64_t next_seq);

/* Shows all committed frames to the readers. */
static inline void frame_log_publish(struct frame_log *log)
{
    atomic_store_explicit(&log->head, log->write_index, memory_order_release);
}

/* How many frames it holds at most. */
static inline uint64_t frame_log_frames_max(const struct frame_log *log)
{
    return log->desc_mask + 1;
}

static inline uint64_t frame_log_head(const struct frame_log *log)
{
    return atomic_load_explicit(&log->head, memory_order_acquire);
}

static inline uint64_t frame_log_tail(const struct frame_log *log)
{
    return atomic_load_explicit(&log->tail, memory_order_acquire);
}

/* The frame must be pinned, or newer than one that is. */
static inline const struct frame_desc *frame_log_desc(const struct frame_log *log, uint64_t index)
{
    return &log->descs[index & log->desc_mask];
}

static inline const uint8_t *frame_log_at(const struct frame_log *log, uint64_t position)
{
    return log->bytes + (position & log->bytes_mask);
}

/* The position of bytes that frame_log_at() has given, of the frame at index from or a newer one.
 */
uint64_t frame_log_position(const struct frame_log *log, uint64_t from, const uint8_t *at);

/* Makes sure that frames from index on stay, until unpin. An older pin is left as it is. false:
 * the frame is behind the tail; the pin is as it was. */
bool frame_log_pin(struct frame_log *log, uint32_t reader, uint64_t index);

/* Pins the oldest frame there is and returns its index. */
uint64_t frame_log_pin_oldest(struct frame_log *log, uint32_t reader);

static inline void frame_log_unpin(struct frame_log *log, uint32_t reader)
{
    atomic_store_explicit(&log->pins[reader].index, FRAME_LOG_NOT_PINNED, memory_order_release);
}

/* For who pins for a moment only: what is pinned now (or FRAME_LOG_NOT_PINNED), and back to it. */
static inline uint64_t frame_log_pinned(const struct frame_log *log, uint32_t reader)
{
    return atomic_load_explicit(&log->pins[reader].index, memory_order_relaxed);
}

static inline void frame_log_pin_again(struct frame_log *log, uint32_t reader, uint64_t pinned)
{
    atomic_store_explicit(&log->pins[reader].index, pinned, memory_order_release);
}

static inline bool frame_log_is_pinned(const struct frame_log *log, uint32_t reader)
{
    return frame_log_pinned(log, reader) != FRAME_LOG_NOT_PINNED;
}

/* Notes bytes as held, before they are given to the kernel; the caller pins them meanwhile. Returns
 * the hold's number, or FRAME_LOG_NO_HOLD: there are too many. */
uint32_t frame_log_hold(struct frame_log *log, uint32_t reader, uint64_t position, uint64_t bytes);
void frame_log_release(struct frame_log *log, uint32_t reader, uint32_t hold);

/* A channel's frames after this seq are in the log, for a reader that pinned the oldest before. */
uint64_t frame_log_dropped_seq(const struct frame_log *log, uint32_t channel);

/* The newest frame of a channel before an index. */
struct frame_log_found {
    uint64_t next_seq; /* 1 + its seq; 1 when the channel had no frame before the index. */
    uint64_t hash;     /* What it bore; for an index within a segment of the pin it may be newer. */
    uint64_t index;    /* Where its descriptor is, when in_log. */
    uint8_t group;     /* of the channel, when next_seq is over 1 */
    bool in_log;
    const uint8_t *saved; /* Else, where it was saved (full images only), or NULL. Valid while
                             the reader's pin is held. */
    uint32_t saved_bytes;
};

/* The reader holds frame_log_pin_oldest(). Exact when that is not newer than before_index. */
void frame_log_seek(const struct frame_log *log, uint32_t reader, uint32_t channel,
                    uint64_t before_index, struct frame_log_found *found_out);

#endif
