/*
 * book_split: a book's tick that fits no frame as several that do: what applies them has, after the
 * last, exactly what the one would have made. A snapshot becomes a snapshot of the best levels of
 * both sides, and deltas with the rest of them; a delta becomes deltas, what leaves the book first,
 * so that it is never crossed in between.
 *
 * Owner    The publisher. Threads: pure functions.
 * Memory   Parts borrow the levels of the whole.
 */
#ifndef RINGCAST_SRC_BOOK_SPLIT_H
#define RINGCAST_SRC_BOOK_SPLIT_H

#include "codec/md.h"

struct book_split {
    const struct md_depth *whole;
    size_t payload_bytes_max; /* of a frame, in every encoding */
    uint32_t bids_done, asks_done;
    bool is_begun;
};

static inline struct book_split book_split_begin(const struct md_depth *whole,
                                                 size_t payload_bytes_max)
{
    return (struct book_split){.whole = whole, .payload_bytes_max = payload_bytes_max};
}

/* The same of a delta, for book_split: each price once, removals first. *ordered_out is to be freed
 * after use. false: no memory; the delta is split as it is then. */
bool book_split_order(struct md_depth *delta, struct md_level **ordered_out);

/* The next part. false: there is none left, or *failed_out: no level fits. */
bool book_split_next(struct book_split *split, struct md_depth *part_out, bool *failed_out);

#endif
