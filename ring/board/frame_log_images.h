/*
 * frame_log_images: the newest full images of channels whose frames have all left the log.
 *
 * Owner    A frame log.
 * Threads  The writer's. A reader that holds a pin may read what is saved of a channel. A second
 *          process uses the channel's record (layout.h).
 * Memory   Rooms in the log's images area. They have few sizes, so that another channel can use a
 *          room that was given up. A room is at most a cache line or a quarter larger than its
 *          image. The area takes memory as it is used.
 * Units    A place counts cache lines of the area.
 * Errors   An image for which there is no room is not saved.
 */
#ifndef RINGCAST_RING_FRAME_LOG_IMAGES_H
#define RINGCAST_RING_FRAME_LOG_IMAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/board/layout.h"

#define FRAME_LOG_IMAGES_SIZES 100 /* of rooms: enough for any uint32_t of bytes */

/* One channel's two rooms, in memory of this process. */
struct frame_log_saved {
    uint64_t seq[2];
    uint32_t bytes[2];
    uint32_t place[2];
    uint8_t size_plus_1[2];  /* 0: no room yet */
    _Atomic uint8_t current; /* 0: none saved, else 1 + which of the two */
};

struct frame_log_images {
    uint8_t *area; /* constant */
    uint32_t place_count;
    uint32_t place_next; /* From here on the area is untouched. */
    /* 1 + the place of the first free room of each size, which has the next one's in its first
     * bytes; 0: none */
    uint32_t free_plus_1[FRAME_LOG_IMAGES_SIZES];
};

/* Also begins again; the area must be zeros then. */
void frame_log_images_init(struct frame_log_images *images, uint8_t *area, uint64_t area_bytes);

/* Copies a channel's newest frame into the one of its two rooms that no reader reads. A reader may
 * still read the other one; the writer waits for its pin before it uses that one again. false:
 * there is no room, and nothing is saved of the channel. */
bool frame_log_images_save(struct frame_log_images *images, struct frame_log_saved *saved,
                           struct frame_record *record, const struct frame_desc *desc,
                           const uint8_t *frame);

#endif
