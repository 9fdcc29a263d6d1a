#include "src/market/book.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/crc32c.h"
#include "codec/decimal.h"

#define BOOK_LEVELS_FIRST 32 /* a side's first room */
#define BOOK_CHANGES_FEW 64  /* of a side, applied one by one */

void book_init(struct book *book)
{
    *book = (struct book){.bids.better = 1, .asks.better = -1};
}

void book_deinit(struct book *book)
{
    free(book->bids.levels);
    free(book->asks.levels);
}

/* ---- Levels ---- */

/* Where a price is, or belongs: all before it are worse. */
static uint32_t book_side_place(const struct book_side *side, struct md_decimal price,
                                bool *is_there_out)
{
    uint32_t from = 0;
    uint32_t to = side->count;
    *is_there_out = false;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = side->better * decimal_compare(side->levels[middle].price, price);
        if (order == 0) {
            *is_there_out = true;
            return middle;
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static void book_side_remove(struct book_side *side, uint32_t place)
{
    assert_always(place < side->count);
    side->count--;
    memmove(&side->levels[place], &side->levels[place + 1],
            (side->count - place) * sizeof *side->levels);
}

static bool book_side_reserve(struct book_side *side, uint32_t count)
{
    uint32_t capacity = side->capacity > 0 ? side->capacity : BOOK_LEVELS_FIRST;
    while (capacity < count) {
        capacity *= 2;
    }
    if (capacity == side->capacity) {
        return true;
    }
    struct md_level *grown = realloc(side->levels, capacity * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    side->levels = grown;
    side->capacity = capacity;
    return true;
}

/* place: of the price, which is not there. */
static bool book_side_insert(struct book_side *side, uint32_t place, const struct md_level *level)
{
    if (side->count == BOOK_LEVELS_MAX) {
        if (place == 0) {
            return true;
        }
        book_side_remove(side, 0);
        place--;
    }
    if (!book_side_reserve(side, side->count + 1)) {
        return false;
    }
    assert_always(place <= side->count);
    assert_always(side->count < side->capacity);
    memmove(&side->levels[place + 1], &side->levels[place],
            (side->count - place) * sizeof *side->levels);
    side->levels[place] = *level;
    side->count++;
    return true;
}

/* false: there is no memory for it. */
static bool book_side_set(struct book_side *side, const struct md_level *level)
{
    bool is_there;
    bool is_removal = level->size.mantissa == 0;
    uint32_t place = book_side_place(side, level->price, &is_there);
    if (is_there && is_removal) {
        book_side_remove(side, place);
    } else if (is_there) {
        side->levels[place] = *level;
    } else if (!is_removal) {
        return book_side_insert(side, place, level);
    }
    return true;
}

/* ---- Many changes at once ---- */

struct book_order {
    const struct md_level *changes;
    int better;
};

/* Worst first; of the same price, in the order they came. */
static int book_order_compare(const void *left, const void *right, void *context)
{
    const struct book_order *order = context;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    int compared =
        order->better * decimal_compare(order->changes[a].price, order->changes[b].price);
    return compared != 0 ? compared : a < b ? -1 : 1;
}

/* Best first, as a rule: nothing is to be sorted but the other way round. */
static void book_order_places(struct book_order *order, uint32_t *places, uint32_t count)
{
    uint32_t ordered = 1;
    for (uint32_t i = 0; i < count; i++) {
        places[i] = count - 1 - i;
    }
    while (ordered < count &&
           book_order_compare(&places[ordered - 1], &places[ordered], order) < 0) {
        ordered++;
    }
    if (ordered < count) {
        qsort_r(places, count, sizeof *places, book_order_compare, order);
    }
}

struct md_level *book_order_changes(const struct md_level *changes, uint32_t *count, int better)
{
    struct book_order order = {changes, better};
    struct md_level *ordered = malloc((*count + 1) * sizeof *ordered);
    uint32_t *places = malloc((*count + 1) * sizeof *places);
    if (ordered == NULL || places == NULL) {
        free(ordered);
        free(places);
        return NULL;
    }
    book_order_places(&order, places, *count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        const struct md_level *change = &changes[places[i]];
        bool is_again = kept > 0 && decimal_compare(ordered[kept - 1].price, change->price) == 0;
        ordered[is_again ? kept - 1 : kept] = *change;
        kept += !is_again;
    }
    free(places);
    *count = kept;
    return ordered;
}

/* Of two lists, worst first, what is left of both; the second one's levels replace the first's.
 * The worst are left out when they are more than BOOK_LEVELS_MAX. */
static void book_merge(const struct book_side *side, const struct md_level *changes, uint32_t count,
                       struct book_side *merged)
{
    uint32_t at = 0;
    merged->count = 0;
    assert_always(merged->capacity >= side->count + count);
    for (uint32_t i = 0; i <= count; i++) {
        while (at < side->count &&
               (i == count ||
                side->better * decimal_compare(side->levels[at].price, changes[i].price) < 0)) {
            merged->levels[merged->count++] = side->levels[at++];
        }
        at += i < count && at < side->count &&
              decimal_compare(side->levels[at].price, changes[i].price) == 0;
        if (i < count && changes[i].size.mantissa != 0) {
            merged->levels[merged->count++] = changes[i];
        }
    }
    if (merged->count > BOOK_LEVELS_MAX) {
        memmove(merged->levels, merged->levels + merged->count - BOOK_LEVELS_MAX,
                BOOK_LEVELS_MAX * sizeof *merged->levels);
        merged->count = BOOK_LEVELS_MAX;
    }
}

/* One by one, each would move half of the book. */
static bool book_side_set_many(struct book_side *side, const struct md_level *changes,
                               uint32_t count)
{
    struct md_level *ordered = book_order_changes(changes, &count, side->better);
    struct book_side merged = {.better = side->better};
    bool is_kept = ordered != NULL && book_side_reserve(&merged, side->count + count);
    if (is_kept) {
        book_merge(side, ordered, count, &merged);
        free(side->levels);
        *side = merged;
    }
    free(ordered);
    return is_kept;
}

static bool book_side_apply(struct book_side *side, const struct md_level *levels, uint32_t count)
{
    if (count > BOOK_CHANGES_FEW) {
        return book_side_set_many(side, levels, count);
    }
    bool is_kept = true;
    for (uint32_t i = 0; i < count && is_kept; i++) {
        is_kept = book_side_set(side, &levels[i]);
    }
    return is_kept;
}

static bool book_side_fill(struct book_side *side, const struct md_level *levels, uint32_t count)
{
    side->count = 0;
    return book_side_apply(side, levels, count);
}

bool book_apply(struct book *book, const struct md_depth *depth)
{
    if (depth->action == MD_SNAPSHOT) {
        book->is_whole = book_side_fill(&book->bids, depth->bids, depth->bid_count) &&
                         book_side_fill(&book->asks, depth->asks, depth->ask_count);
        return book->is_whole;
    }
    if (!book->is_whole) {
        return true;
    }
    book->is_whole = book_side_apply(&book->bids, depth->bids, depth->bid_count) &&
                     book_side_apply(&book->asks, depth->asks, depth->ask_count);
    return book->is_whole;
}

/* ---- The top levels ---- */

static bool book_is_same_size(struct md_decimal a, struct md_decimal b)
{
    if (!md_is_given(a) || !md_is_given(b)) {
        return md_is_given(a) == md_is_given(b);
    }
    return decimal_compare(a, b) == 0;
}

/* Both sides of one list are best first: what only the old one has leaves, what only the new one
 * has comes. Returns how many changes there are. */
static uint32_t book_cut_side(struct md_level *cut, uint32_t *cut_count, uint32_t level_count_max,
                              const struct book_side *side, struct md_level *changes)
{
    struct md_level old[BOOK_CUT_LEVELS_MAX];
    uint32_t old_count = *cut_count;
    uint32_t new_count = side->count < level_count_max ? side->count : level_count_max;
    uint32_t change_count = 0;
    uint32_t at = 0;
    assert_always(old_count <= level_count_max);
    memcpy(old, cut, old_count * sizeof *old);
    for (uint32_t i = 0; i < new_count; i++) {
        const struct md_level *level = &side->levels[side->count - 1 - i];
        int order = -1;
        while (at < old_count &&
               (order = side->better * decimal_compare(level->price, old[at].price)) < 0) {
            changes[change_count++] = (struct md_level){.price = old[at++].price};
        }
        bool is_same = at < old_count && order == 0;
        if (!is_same || !book_is_same_size(level->size, old[at].size)) {
            changes[change_count++] = *level;
        }
        at += is_same;
        cut[i] = *level;
    }
    for (; at < old_count; at++) {
        changes[change_count++] = (struct md_level){.price = old[at].price};
    }
    *cut_count = new_count;
    return change_count;
}

bool book_cut_update(struct book_cut *cut, const struct book *book, struct book_changes *changes,
                     struct md_depth *delta_out)
{
    assert_always(cut->level_count_max <= BOOK_CUT_LEVELS_MAX);
    *delta_out = (struct md_depth){
        .action = MD_DELTA,
        .bids = changes->bids,
        .asks = changes->asks,
        .bid_count = book_cut_side(cut->bids, &cut->bid_count, cut->level_count_max, &book->bids,
                                   changes->bids),
        .ask_count = book_cut_side(cut->asks, &cut->ask_count, cut->level_count_max, &book->asks,
                                   changes->asks),
    };
    return delta_out->bid_count + delta_out->ask_count > 0;
}

void book_cut_image(const struct book_cut *cut, struct md_depth *image_out)
{
    *image_out = (struct md_depth){
        .action = MD_SNAPSHOT,
        .bids = cut->bids,
        .asks = cut->asks,
        .bid_count = cut->bid_count,
        .ask_count = cut->ask_count,
    };
}

/* ---- Checksum ---- */

/* Without zeros at the end of what is after the point, since a reader may have lost them. */
static char *book_put_plain(char *at, struct md_decimal decimal)
{
    if (!md_is_given(decimal)) {
        memcpy(at, "null", 4);
        return at + 4;
    }
    while (decimal.exponent < 0 && decimal.mantissa % 10 == 0) {
        decimal.mantissa /= 10;
        decimal.exponent++;
    }
    return at + decimal_format(at, decimal);
}

static char *book_put_levels(char *at, const struct md_level *levels, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < BOOK_CHECKSUM_LEVELS; i++) {
        at = book_put_plain(at, levels[i].price);
        *at++ = ':';
        at = book_put_plain(at, levels[i].size);
        *at++ = ',';
    }
    return at;
}

uint32_t book_checksum(const struct book_cut *cut)
{
    char text[2 * BOOK_CHECKSUM_LEVELS * (2 * DECIMAL_TEXT_BYTES_MAX + 2) + 1];
    char *at = book_put_levels(text, cut->bids, cut->bid_count);
    *at++ = '|';
    at = book_put_levels(at, cut->asks, cut->ask_count);
    assert_always((size_t)(at - text) <= sizeof text);
    return crc32c(text, (size_t)(at - text));
}
