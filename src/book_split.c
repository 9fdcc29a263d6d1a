#include "src/book_split.h"

#include "codec/decimal.h"
#include "codec/json_tick.h"

/* All of a depth frame but its levels. */
#define BOOK_SPLIT_ENVELOPE_BYTES_MAX (JSON_TICK_HEAD_BYTES_MAX + 256) /* also of a book_image */
#define BOOK_SPLIT_SBE_LEVEL_BYTES 16

/* What a level takes in the encoding where it takes most. */
static size_t book_split_level_bytes(const struct md_level *level)
{
    char text[DECIMAL_TEXT_BYTES_MAX];
    size_t bytes = decimal_format(text, level->price) + sizeof "[,],";
    bytes += md_is_given(level->size) ? decimal_format(text, level->size) : sizeof "null";
    return bytes > BOOK_SPLIT_SBE_LEVEL_BYTES ? bytes : BOOK_SPLIT_SBE_LEVEL_BYTES;
}

/* Takes one level off a side; false: there is none, or no room for it. */
static bool book_split_take(const struct md_level *levels, uint32_t count, uint32_t *done,
                            size_t *room)
{
    if (*done == count) {
        return false;
    }
    size_t bytes = book_split_level_bytes(&levels[*done]);
    if (bytes > *room) {
        *room = 0; /* None of the other side either: what is best comes first on both. */
        return false;
    }
    *room -= bytes;
    ++*done;
    return true;
}

bool book_split_next(struct book_split *split, struct md_depth *part_out, bool *failed_out)
{
    const struct md_depth *whole = split->whole;
    uint32_t bids = split->bids_done;
    uint32_t asks = split->asks_done;
    size_t room = split->payload_bytes_max > BOOK_SPLIT_ENVELOPE_BYTES_MAX
                      ? split->payload_bytes_max - BOOK_SPLIT_ENVELOPE_BYTES_MAX
                      : 0;
    *failed_out = false;
    if (split->is_begun && bids == whole->bid_count && asks == whole->ask_count) {
        return false;
    }
    bool goes_on = true;
    while (goes_on) {
        goes_on = book_split_take(whole->bids, whole->bid_count, &split->bids_done, &room);
        goes_on |= book_split_take(whole->asks, whole->ask_count, &split->asks_done, &room);
    }
    bool is_last = split->bids_done == whole->bid_count && split->asks_done == whole->ask_count;
    *part_out = (struct md_depth){
        .action = split->is_begun ? MD_DELTA : whole->action,
        .bids = bids == 0 ? whole->bids : whole->bids + bids, /* may be NULL */
        .asks = asks == 0 ? whole->asks : whole->asks + asks,
        .bid_count = split->bids_done - bids,
        .ask_count = split->asks_done - asks,
        .has_checksum = is_last && whole->has_checksum,
        .checksum = whole->checksum,
    };
    split->is_begun = true;
    *failed_out = !is_last && part_out->bid_count + part_out->ask_count == 0;
    return !*failed_out;
}
