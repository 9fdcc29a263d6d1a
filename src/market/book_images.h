/*
 * book_images: whole books that sessions ask the publisher for (SNAPSHOT of depth).
 *
 * Owner    main creates it first and destroys it last.
 * Threads  A slot passes between the core that asks and the publisher. Only the side that its state
 *          names may touch the rest of it. No lock.
 * Memory   A table; an image is allocated by the publisher and freed by the core.
 */
#ifndef RINGCAST_SRC_BOOK_IMAGES_H
#define RINGCAST_SRC_BOOK_IMAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/market/book.h"
#include "src/market/book_split.h"
#include "src/market/channels.h"

#define BOOK_IMAGES_MAX 1024              /* asked for at a time, from all cores */
#define BOOK_IMAGES_BYTES_MAX (64u << 20) /* made and not yet sent: with more, none is begun */
#define BOOK_IMAGES_SHARE 9 /* a pause lasts this many times as long as the piece before */
#define BOOK_IMAGES_STEPS 4 /* parts in a piece: under 1 ms */
#define BOOK_IMAGES_NONE UINT32_MAX

enum book_images_state {
    BOOK_IMAGES_FREE,
    BOOK_IMAGES_ASKED, /* the publisher's */
    BOOK_IMAGES_READY, /* the core's again */
};

/* A book in parts: each is a JSON text frame, a snapshot and then deltas. */
struct book_image {
    int error; /* -ENODATA: there is no whole book; -ENOMEM */
    uint64_t as_of;
    uint32_t part_count;
    uint32_t *ends; /* of the parts, in bytes */
    uint8_t *bytes;
    size_t capacity;
};

struct book_images_slot {
    _Atomic uint32_t state;
    uint32_t channel;
    struct book_image image;
};

struct book_images_source {
    const struct channel *channel;
    uint32_t number;         /* the channel's */
    const struct book *book; /* NULL, or not whole: there is none */
    uint64_t as_of;
    uint64_t ts_event_ns, ts_recv_ns, ts_pub_ns;
    size_t payload_bytes_max;
};

struct book_images {
    _Atomic uint32_t asked_count;
    _Atomic uint64_t bytes;

    /* The publisher's own. */
    uint32_t next;   /* which is read first */
    uint64_t due_ns; /* nothing is done before */
    struct {
        uint32_t number; /* BOOK_IMAGES_NONE: nothing is being made */
        struct book_images_source source;
        struct md_level *levels; /* the book's, as it was at the beginning */
        struct md_depth whole;
        struct book_split split;
        uint32_t done;   /* parts */
        bool is_counted; /* how many there are, before the first is made */
    } making;

    struct book_images_slot slots[BOOK_IMAGES_MAX];
};

/* -ENOMEM. Destroyed when no thread uses it any more. */
int book_images_create(struct book_images **images_out);
void book_images_destroy(struct book_images *images);

/* A core asks: the slot's number, or BOOK_IMAGES_NONE: there are too many. */
uint32_t book_images_ask(struct book_images *images, uint32_t channel);
/* NULL: not yet. */
const struct book_image *book_images_get(struct book_images *images, uint32_t number);
/* Of one that was got. */
void book_images_release(struct book_images *images, uint32_t number);

/* None is begun until others have been released. */
static inline bool book_images_are_full(struct book_images *images)
{
    return atomic_load_explicit(&images->bytes, memory_order_relaxed) > BOOK_IMAGES_BYTES_MAX;
}

/* The one question that every poll of the publisher costs. */
static inline bool book_images_are_asked(struct book_images *images)
{
    return atomic_load_explicit(&images->asked_count, memory_order_acquire) > 0;
}

/* The publisher: a slot whose image is to be begun now, or BOOK_IMAGES_NONE. */
uint32_t book_images_next(struct book_images *images, uint64_t now_ns);
/* Takes what the book is now, and makes the image, some parts with each call. true: it is done. */
void book_images_begin(struct book_images *images, uint32_t number,
                       const struct book_images_source *source);
bool book_images_go_on(struct book_images *images);

#endif
