/*
 * frame_log: encoded frames, written once by one writer and read by every core.
 *
 *   bytes        ... | frame | frame | frame | <- head            mapped twice, so that no extent
 *   descriptors  ... |   i   |  i+1  |  i+2  | <- head            ever wraps
 *                ^ tail: the oldest frame that may still be read
 *
 * Owner    src creates it before the first core starts, destroys it after the last has joined.
 * Threads  reserve, commit, publish: the writer's only. The others: any reader, by its number.
 * Memory   One file of shared memory, as layout.h has it: header, channel records, descriptors,
 *          images, bytes. A second process can map it. What only the writer and the cores need is
 *          in memory of this process. Descriptors and bytes are touched at creation, unless the
 *          log is lazy; the rest as it is used.
 * Units    An index counts frames since creation, a position bytes; both only grow.
 * Errors   0 or a negative errno. No function logs.
 *
 * Pins. The writer takes room back in small steps (a thousand frames at most): it moves the tail
 * past some frames, then waits for readers that still pin one of those. A reader pins the oldest
 * index it is about to touch, and that of the sends it submits, until submit has returned; a pin
 * that comes too late fails, and the frame counts as lapped. Without pins frames are torn
 * (tests/test_frame_log.c shows it). A reader whose thread is stopped keeps the writer waiting: it
 * spins first, then naps, and reports the reader (struct frame_log_watch).
 *
 * Lent pages. The kernel reads what is sent by reference until the peer has received it. A peer may
 * delay that for ever, and the kernel does not report the end. A reader marks such pages as lent.
 * When the writer takes back room, it replaces the pages that were lent in this lap: a hole in the
 * file puts fresh ones in their place, and the kernel keeps the old ones, unchanged, as long as it
 * refers to them. So no peer makes the writer wait, and nothing that is lent is ever overwritten.
 *
 * Sealed. Other processes can read a sealed log and do nothing else (shared_memory.h). The seal
 * forbids holes, so nothing of the log is lent, and it is never cleared. Everything except the
 * images is touched at creation. Otherwise the reader that touched a page first would pay for it.
 */
#ifndef RINGCAST_RING_FRAME_LOG_H
#define RINGCAST_RING_FRAME_LOG_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"
#include "ring/board/frame_log_images.h"
#include "ring/board/frame_log_pins.h"
#include "ring/board/layout.h"
#include "ring/board/shared_memory.h"

#define FRAME_LOG_READERS_MAX 64
#define FRAME_LOG_BYTES_MIN (1 * MIB)
#define FRAME_LOG_FRAMES_MIN 8 /* The log has room for this many of the longest. */
/* The descriptor ring has one descriptor for this many bytes of the log. */
#define FRAME_LOG_BYTES_PER_DESC 128

/* The writer's own of a channel. Readers learn both from descriptors. */
struct frame_log_channel {
    uint64_t last_seq;
    uint64_t hash;
};

/* What a channel takes in memory of this process: that, what is saved of it, and its group. */
#define FRAME_LOG_CHANNEL_BYTES                                                                    \
    (sizeof(struct frame_log_channel) + sizeof(struct frame_log_saved) + sizeof(_Atomic uint8_t))

struct frame_log_options {
    size_t capacity_bytes;    /* A power of two, at least FRAME_LOG_BYTES_MIN. */
    uint32_t frame_bytes_max; /* At most capacity_bytes / FRAME_LOG_FRAMES_MIN. */
    uint32_t channel_count_max;
    uint32_t reader_count; /* 1 to FRAME_LOG_READERS_MAX. */
    bool is_lazy;          /* Touched as it is written, not at creation. */
    bool is_sealed;        /* See above; not if it is lazy. */
    uint32_t encoding;     /* What the header says of it. */
    uint64_t epoch;
};

struct frame_log {
    /* Set at creation, then constant. */
    struct layout_log *header; /* It has head and tail, which the writer writes and all read. */
    struct frame_record *records;
    struct frame_desc *descs;
    uint8_t *bytes; /* capacity_bytes, mapped twice */
    uint8_t *images_area;
    struct frame_log_channel *channels;
    _Atomic uint8_t *groups;       /* by channel: of all its frames; set with the first */
    struct frame_log_saved *saved; /* by channel */
    _Atomic uint64_t *lent;        /* a bit for each page of bytes */
    uint64_t capacity_bytes;
    uint64_t bytes_mask;
    uint64_t page_bytes;
    uint64_t desc_mask;
    uint32_t frame_bytes_max;
    uint32_t channel_count_max;
    uint32_t reader_count;
    bool is_sealed;
    bool can_lend;      /* The kernel makes holes in its file. */
    int collapse_error; /* Why not all pages are huge that might be, or 0. */
    struct shared_memory memory;

    /* The writer's own. */
    _Alignas(CACHE_LINE_BYTES) uint64_t write_index;
    uint64_t write_position;
    uint64_t reserved_position;    /* Bytes below it may be written. */
    uint64_t reserved_index;       /* Descriptors likewise. */
    uint64_t saved_count;          /* frames copied out at the tail */
    uint64_t images_unsaved_count; /* for which there was no room */
    uint64_t waited_count;         /* times the writer waited for a pin */
    uint64_t replaced_bytes;       /* of pages that were replaced because they were lent */
    struct frame_log_watch watch;  /* set before the first reserve, if wanted */
    struct frame_log_images images;

    /* Written by one reader each. */
    struct frame_log_pin pins[FRAME_LOG_READERS_MAX];
};

/* -EINVAL: an option is out of range. -ENOMEM and others: no mapping. *log_out is then
 * untouched. */
int frame_log_create(struct frame_log **log_out, const struct frame_log_options *options);
void frame_log_destroy(struct frame_log *log);

/* A new descriptor of its file, which can be read only, for a second process. */
int frame_log_read_only_fd(const struct frame_log *log);

/* Room for one frame of up to frame_bytes_max bytes; may wait for a pin (see above). */
uint8_t *frame_log_reserve(struct frame_log *log);

/* The next seq of a channel, from 1: the seq of the frame that is about to be encoded. */
static inline uint64_t frame_log_next_seq(const struct frame_log *log, uint32_t channel)
{
    return log->channels[channel].last_seq + 1;
}

/* The running hash (codec/running_hash.h) of a channel's frames so far. The writer of the log adds
 * a frame to it before it commits the frame, whose descriptor then has the hash. */
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

/* Forgets all frames and channels, and gives their memory back: channels begin again at seq 1, or
 * where frame_log_set_next_seq() says. Readers find it lapped. Never of a sealed log. */
void frame_log_clear(struct frame_log *log);

/* The writer's own: a channel's newest frame, from the log or, if it is a full image, from where it
 * was saved. The bytes stay until the next reserve. */
struct frame_log_image {
    const uint8_t *frame;
    uint32_t frame_bytes;
    uint8_t flags;
    uint64_t seq;
    uint64_t ts_pub_ns;
};
bool frame_log_newest(const struct frame_log *log, uint32_t channel,
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
    return atomic_load_explicit(&log->records[channel].last_index_plus_1, memory_order_relaxed);
}

/* Of a channel without a frame since the last clear: as if its frames had begun before, and their
 * hash were what is set. */
void frame_log_set_next_seq(struct frame_log *log, uint32_t channel, uint8_t group,
                            uint64_t next_seq);

/* Shows all committed frames to the readers. */
static inline void frame_log_publish(struct frame_log *log)
{
    atomic_store_explicit(&log->header->head, log->write_index, memory_order_release);
}

/* How many frames it holds at most. */
static inline uint64_t frame_log_frames_max(const struct frame_log *log)
{
    return log->desc_mask + 1;
}

static inline uint64_t frame_log_head(const struct frame_log *log)
{
    return atomic_load_explicit(&log->header->head, memory_order_acquire);
}

static inline uint64_t frame_log_tail(const struct frame_log *log)
{
    return atomic_load_explicit(&log->header->tail, memory_order_acquire);
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

/* For a reader that pins for a moment only: what is pinned now (or FRAME_LOG_NOT_PINNED), so that
 * it can go back to that. */
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

/* Marks bytes of frames that the reader pins as lent, before the kernel gets references to their
 * pages. *offset_out: where they lie in the file. false: they are to be copied, since the log lends
 * nothing, or they lie across the ring's end. */
bool frame_log_lend(struct frame_log *log, uint32_t reader, const uint8_t *at, uint64_t bytes,
                    uint64_t *offset_out);

/* A channel's frames after this seq are in the log, for a reader that pinned the oldest before. */
uint64_t frame_log_dropped_seq(const struct frame_log *log, uint32_t channel);

/* The newest frame of a channel before an index. */
struct frame_log_found {
    uint64_t next_seq; /* 1 + its seq; 1 when the channel had no frame before the index. */
    uint64_t hash;     /* What it bore; for an index within a step of the pin it may be newer. */
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
