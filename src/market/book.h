/*
 * book: an order book by price levels, built from snapshots and deltas, and its top levels for
 * clients that want no more.
 *
 * Owner    The publisher's derived channels. Threads: the publisher's.
 * Memory   32 bytes a level; a side's room doubles when it is full, up to BOOK_LEVELS_MAX levels.
 * Units    Prices and sizes keep the text of their source: 12.30 stays 12.30.
 */
#ifndef RINGCAST_SRC_BOOK_H
#define RINGCAST_SRC_BOOK_H

#include "codec/md.h"

#define BOOK_LEVELS_MAX 262144  /* a side; of more, the worst is forgotten */
#define BOOK_CUT_LEVELS_MAX 50  /* a side */
#define BOOK_CHECKSUM_LEVELS 10 /* a side, or as many as there are */

/* Worst first, so that what changes most lies at the end. */
struct book_side {
    struct md_level *levels;
    uint32_t count;
    uint32_t capacity;
    int better; /* 1: a higher price is better; -1: a lower one */
};

struct book {
    struct book_side bids, asks;
    bool is_whole; /* It has had a snapshot, and everything since. */
};

void book_init(struct book *book);
void book_deinit(struct book *book);

/* Deltas are ignored until a snapshot has come. false: there is no memory for it, and the book is
 * not whole any more. */
bool book_apply(struct book *book, const struct md_depth *depth);

/* A side's changes worst first, each price once, with its last value; to be freed.
 * NULL: no memory. better: as of the side. */
struct md_level *book_order_changes(const struct md_level *changes, uint32_t *count, int better);

/* The top levels, best first, as a client that follows them has them. */
struct book_cut {
    uint32_t level_count_max;
    uint32_t bid_count, ask_count;
    struct md_level bids[BOOK_CUT_LEVELS_MAX];
    struct md_level asks[BOOK_CUT_LEVELS_MAX];
};

/* Room for the levels of a delta: each that leaves, and each that comes. */
struct book_changes {
    struct md_level bids[2 * BOOK_CUT_LEVELS_MAX];
    struct md_level asks[2 * BOOK_CUT_LEVELS_MAX];
};

/* Updates the cut from the book. false: nothing has changed. Otherwise *delta_out has the changes;
 * its levels lie in changes. */
bool book_cut_update(struct book_cut *cut, const struct book *book, struct book_changes *changes,
                     struct md_depth *delta_out);

/* The cut as a snapshot; its levels lie in the cut. */
void book_cut_image(const struct book_cut *cut, struct md_depth *image_out);

/* CRC-32C of the text of the top levels (docs/protocol.md, "Checksum"). */
uint32_t book_checksum(const struct book_cut *cut);

#endif
