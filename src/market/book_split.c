#include "src/market/book_split.h"

#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/json_tick.h"
#include "src/market/book.h"

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

static bool book_split_is_removal(const struct md_level *levels, uint32_t count, uint32_t at)
{
    return at < count && levels[at].size.mantissa == 0;
}

bool book_split_next(struct book_split *split, struct md_depth *part_out, bool *failed_out)
{
    const struct md_depth *whole = split->whole;
    uint32_t bids = split->bids_done;
    uint32_t asks = split->asks_done;
    size_t room = split->payload_bytes_max > BOOK_SPLIT_ENVELOPE_BYTES_MAX
                      ? split->payload_bytes_max - BOOK_SPLIT_ENVELOPE_BYTES_MAX
                      : 0;
    assert_always(bids <= whole->bid_count);
    assert_always(asks <= whole->ask_count);
    *failed_out = false;
    if (split->is_begun && bids == whole->bid_count && asks == whole->ask_count) {
        return false;
    }
    for (bool goes_on = true; goes_on;) {
        bool is_removed[] = {
            book_split_is_removal(whole->bids, whole->bid_count, split->bids_done),
            book_split_is_removal(whole->asks, whole->ask_count, split->asks_done),
        };
        goes_on = (is_removed[0] || !is_removed[1]) &&
                  book_split_take(whole->bids, whole->bid_count, &split->bids_done, &room);
        goes_on |= (is_removed[1] || !is_removed[0]) &&
                   book_split_take(whole->asks, whole->ask_count, &split->asks_done, &room);
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

/* Removals first, and best first. */
static void book_split_put(struct md_level *out, const struct md_level *ordered, uint32_t count)
{
    uint32_t at = 0;
    for (int is_removal = 1; is_removal >= 0; is_removal--) {
        for (uint32_t i = count; i > 0; i--) {
            if ((ordered[i - 1].size.mantissa == 0) == is_removal) {
                out[at++] = ordered[i - 1];
            }
        }
    }
    assert_always(at == count);
}

bool book_split_order(struct md_depth *delta, struct md_level **ordered_out)
{
    uint32_t bid_count = delta->bid_count;
    uint32_t ask_count = delta->ask_count;
    struct md_level *bids = book_order_changes(delta->bids, &bid_count, 1);
    struct md_level *asks = book_order_changes(delta->asks, &ask_count, -1);
    struct md_level *ordered = malloc((bid_count + ask_count + 1) * sizeof *ordered);
    bool is_ordered = bids != NULL && asks != NULL && ordered != NULL;
    if (is_ordered) {
        book_split_put(ordered, bids, bid_count);
        book_split_put(ordered + bid_count, asks, ask_count);
        delta->bids = ordered;
        delta->asks = ordered + bid_count;
        delta->bid_count = bid_count;
        delta->ask_count = ask_count;
    } else {
        free(ordered);
        ordered = NULL;
    }
    free(bids);
    free(asks);
    *ordered_out = ordered;
    return is_ordered;
}
