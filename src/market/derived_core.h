/*
 * derived_core: what is kept of derived channels and of what they are computed from.
 *
 * Owner    derived.c makes it. Threads: the publisher's.
 * Memory   See derived.h.
 */
#ifndef RINGCAST_SRC_DERIVED_CORE_H
#define RINGCAST_SRC_DERIVED_CORE_H

#include "codec/json_tick_read.h"
#include "ring/board/frame_log.h"
#include "ring/io/timer_wheel.h"
#include "ring/trace.h"
#include "src/market/bar_builder.h"
#include "src/market/book.h"
#include "src/market/channels.h"
#include "src/market/recoder.h"

#define DERIVED_BAR_NS (250 * NS_PER_MS)       /* an open bar's images are this far apart */
#define DERIVED_BAR_GRACE_NS (200 * NS_PER_MS) /* for late trades, where no later one closes it */
#define DERIVED_SNAPSHOT_NS (100 * NS_PER_MS)  /* snapshots of a book that are asked for, too */
#define DERIVED_CHECKSUM_FRAMES 16      /* a checksum in each snapshot and this many deltas */
#define DERIVED_QUOTE_LEVELS_MAX 50     /* of a conflated quote, a side */
#define DERIVED_NOTED_MAX (256 * 1024u) /* frames of one channel that are read back */

struct derived_options {
    struct channels *channels;
    const struct frame_log *log; /* JSON's */
    /* A tick of a derived channel for the log. */
    void (*publish)(void *context, uint32_t channel, uint8_t flags, const struct md_update *update);
    /* A GAP in place of a tick of a derived channel. */
    void (*lose)(void *context, uint32_t channel);
    /* The channel has lost its name (channels_unname): its last frame is to be a GAP, which no core
     * takes for an image, and what encoders keep of it is to be forgotten. */
    void (*end)(void *context, uint32_t channel);
    /* The index in the log up to which every core has come. */
    uint64_t (*passed)(void *context);
    void (*complain)(void *context, const char *text); /* NULL: nobody hears */
    void *context;
};

/* One derived channel. */
struct derived_variant {
    struct derived_source *source; /* NULL: it is not being computed */
    struct derived_variant *next;  /* of the same source */
    struct timer timer;
    uint32_t channel;
    uint64_t due_ns; /* when the timer is armed */
    struct variant what;
    uint64_t unwanted_ns;  /* since when nobody subscribes; 0: somebody does */
    uint64_t ended_plus_1; /* index of its last frame under the name it has lost; 0: it has one */
    uint64_t ready_ns;     /* when the next image may be published */
    bool is_pending;       /* There is something newer than what was published. */
    bool owes_snapshot;    /* of a book */
    uint32_t frame_count;  /* deltas since the last checksum */
    struct book_cut *cut;  /* of a book */
};

/* A feed's book, kept from its first snapshot on, whether somebody wants it or not: its frames may
 * have left the log when somebody does. */
struct derived_book {
    struct book book;
    uint64_t ts_event_ns, ts_recv_ns; /* of its newest tick */
};

/* A feed's channel that something is computed from. Its state serves all of its variants. */
struct derived_source {
    struct derived_variant *variants;
    struct derived_source *next_waiting;
    uint32_t channel;
    enum md_type type;
    bool is_live;          /* What the log held when it began has been read. */
    uint64_t taken_plus_1; /* index of the newest frame that was read from the log */
    struct md_update last; /* the newest quote */
    bool has_last;
    union {
        struct {
            struct md_level bids[DERIVED_QUOTE_LEVELS_MAX];
            struct md_level asks[DERIVED_QUOTE_LEVELS_MAX];
            char status[JSON_TICK_READ_TEXT_BYTES_MAX];
        } quote;
        struct {
            struct bar_builder builders[VARIANT_BARS_COUNT];
            uint64_t close_ns[VARIANT_BARS_COUNT]; /* when the open one is to be closed */
        } bars;
    };
};

struct derived_core {
    struct derived_options options;
    struct derived_source **sources;
    struct derived_book **books;      /* by the feed's channel; NULL: no snapshot so far */
    struct derived_variant *variants; /* by variant_index */
    struct timer_wheel wheel;
    uint64_t now_ns, wall_ns;
    uint64_t wish_count; /* as seen */
    uint64_t scan_ns;
    uint32_t active_count;
    uint32_t used_count; /* variants that have a name, or just had one, when it was last seen */

    /* Reading back: the first waiting source. */
    struct derived_source *waiting;
    uint64_t note_next; /* 1 + the index to note next; 0: all are */
    uint32_t noted_count;
    uint64_t *noted;         /* newest first */
    struct recoder *recoder; /* reads back */
    bool has_complained;     /* of no memory for a book */
    struct book_changes changes;
};

static inline void derived_core_arm(struct derived_core *core, struct derived_variant *variant,
                                    uint64_t due_ns)
{
    if (!timer_is_armed(&variant->timer) || due_ns < variant->due_ns) {
        variant->due_ns = due_ns;
        timer_arm(&core->wheel, (uint32_t)(variant - core->variants), due_ns);
    }
}

static inline void derived_core_publish(struct derived_core *core, struct derived_variant *variant,
                                        uint8_t flags, const struct md_update *update)
{
    trace_derive(variant->source->channel, variant->channel,
                 frame_log_next_seq(core->options.log, variant->channel));
    core->options.publish(core->options.context, variant->channel, flags, update);
}

static inline void derived_core_complain(struct derived_core *core, const char *text)
{
    if (core->options.complain != NULL) {
        core->options.complain(core->options.context, text);
    }
}

#endif
