/*
 * log_follower: follows the file of a frame log from another process, by ring/board/layout.h alone.
 *
 * It is how the tests show that the layout says enough: it knows nothing of ring/board/frame_log.h.
 *
 * Owner    One reader in a process of its own. The writer knows nothing of it.
 * Threads  One.
 * Memory   The file is mapped read-only, its bytes twice. One next_seq for each channel.
 * Units    An index counts frames, a seq the frames of a channel from 1.
 * Errors   0 or a negative errno.
 *
 * A frame is handed out where it lies. What was read of it counts only after log_follower_done()
 * has returned true: until then the writer may have overwritten it.
 */
#ifndef RINGCAST_TESTS_LOG_FOLLOWER_H
#define RINGCAST_TESTS_LOG_FOLLOWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/board/layout.h"

enum log_follower_event_kind {
    LOG_FOLLOWER_NOTHING, /* All frames that there are were read, and every loss reported. */
    LOG_FOLLOWER_FRAME,   /* Ends with log_follower_done(). */
    LOG_FOLLOWER_GAP,     /* Frames of a channel that the log no longer has. */
    LOG_FOLLOWER_LAPPED,  /* The writer has passed the reader; GAPs tell what was lost. */
    LOG_FOLLOWER_OLD,     /* A frame that a GAP had told; it is passed over. */
    LOG_FOLLOWER_FAULT,   /* A frame that no writer writes: of no channel. */
};

struct log_follower_event {
    enum log_follower_event_kind kind;
    uint32_t channel;
    uint64_t seq;      /* GAP: the first lost one */
    uint64_t last_seq; /* GAP: the last lost one; FRAME: seq */
    uint64_t ts_pub_ns;
    uint64_t hash;
    uint8_t group;
    uint8_t flags;
    const uint8_t *frame; /* header and payload, in the log */
    uint32_t frame_bytes;
    uint32_t header_bytes;
};

struct log_follower_options {
    int fd;              /* O_RDONLY; the caller's, not needed after open */
    bool is_unchecked;   /* Leaves out the look at the tail (at the version) after a read. */
    bool is_to_keep_old; /* After a lap it goes on in the middle of the log, not at its head. */
};

struct log_follower {
    /* Set when it is opened, then constant. */
    const uint8_t *file;
    const struct layout_log *header; /* at the beginning of the file */
    const uint8_t *bytes;            /* twice */
    size_t file_bytes;
    bool is_unchecked;
    bool is_to_keep_old;

    uint64_t index;       /* of the frame that is read next */
    uint64_t *next_seq;   /* by channel */
    uint32_t unswept;     /* The channels below it may have lost frames that no frame will tell. */
    uint32_t channel_out; /* of the frame that was handed out */
    bool is_frame_out;    /* until log_follower_done() */

    /* Of the image that was asked for last. */
    const struct frame_record *image_record;
    uint64_t image_last_plus_1; /* the index of the channel's newest frame */
    uint32_t image_version;
    bool is_image_saved; /* else it is that newest frame */
};

/* -EPROTO: not such a file, or of another major version. */
int log_follower_open(struct log_follower *follower, const struct log_follower_options *options);
void log_follower_close(struct log_follower *follower);

/* From here on: the frames that are published now are the past. */
void log_follower_start(struct log_follower *follower);

void log_follower_next(struct log_follower *follower, struct log_follower_event *event_out);

/* Whether the frame that was handed out last was whole while it was read. If not, it was lost, and
 * a GAP will tell it. */
bool log_follower_done(struct log_follower *follower);

/* A channel's newest frame before the reader's index: its seq, or 0. False: the log was lapped. */
bool log_follower_newest_seq(const struct log_follower *follower, uint32_t channel,
                             uint64_t *seq_out);

/* A channel's newest full image, where it lies. -ENOENT: there is none. -EAGAIN: it is being
 * written. */
int log_follower_image(struct log_follower *follower, uint32_t channel,
                       struct log_follower_event *event_out);

/* Whether it was whole while it was read. */
bool log_follower_image_done(const struct log_follower *follower);

#endif
