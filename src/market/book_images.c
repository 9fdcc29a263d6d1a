#include "src/market/book_images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_tick.h"
#include "codec/ws_frame.h"

static void book_images_free(struct book_image *image)
{
    free(image->ends);
    free(image->bytes);
    *image = (struct book_image){0};
}

int book_images_create(struct book_images **images_out)
{
    struct book_images *images = calloc(1, sizeof *images);
    if (images == NULL) {
        return -ENOMEM;
    }
    images->making.number = BOOK_IMAGES_NONE;
    *images_out = images;
    return 0;
}

void book_images_destroy(struct book_images *images)
{
    for (uint32_t i = 0; images != NULL && i < BOOK_IMAGES_MAX; i++) {
        book_images_free(&images->slots[i].image);
    }
    if (images != NULL) {
        free(images->making.levels);
    }
    free(images);
}

/* ---- Slots ---- */

uint32_t book_images_ask(struct book_images *images, uint32_t channel)
{
    for (uint32_t i = 0; i < BOOK_IMAGES_MAX; i++) {
        struct book_images_slot *slot = &images->slots[i];
        uint32_t expected = BOOK_IMAGES_FREE;
        /* Another core may look for one as well: READY is nobody's business but ours meanwhile. */
        if (atomic_compare_exchange_strong_explicit(&slot->state, &expected, BOOK_IMAGES_READY,
                                                    memory_order_acquire, memory_order_relaxed)) {
            slot->channel = channel;
            atomic_store_explicit(&slot->state, BOOK_IMAGES_ASKED, memory_order_release);
            atomic_fetch_add_explicit(&images->asked_count, 1, memory_order_release);
            return i;
        }
    }
    return BOOK_IMAGES_NONE;
}

const struct book_image *book_images_get(struct book_images *images, uint32_t number)
{
    assert_always(number < BOOK_IMAGES_MAX);
    struct book_images_slot *slot = &images->slots[number];
    bool is_ready = atomic_load_explicit(&slot->state, memory_order_acquire) == BOOK_IMAGES_READY;
    return is_ready ? &slot->image : NULL;
}

void book_images_release(struct book_images *images, uint32_t number)
{
    assert_always(number < BOOK_IMAGES_MAX);
    struct book_images_slot *slot = &images->slots[number];
    assert_always(atomic_load_explicit(&slot->state, memory_order_relaxed) == BOOK_IMAGES_READY);
    atomic_fetch_sub_explicit(&images->bytes, slot->image.capacity, memory_order_relaxed);
    book_images_free(&slot->image);
    atomic_store_explicit(&slot->state, BOOK_IMAGES_FREE, memory_order_release);
}

uint32_t book_images_next(struct book_images *images, uint64_t now_ns)
{
    if (now_ns < images->due_ns || book_images_are_full(images)) {
        return BOOK_IMAGES_NONE;
    }
    for (uint32_t i = 0; i < BOOK_IMAGES_MAX; i++) {
        uint32_t number = images->next++ % BOOK_IMAGES_MAX;
        if (atomic_load_explicit(&images->slots[number].state, memory_order_acquire) ==
            BOOK_IMAGES_ASKED) {
            return number;
        }
    }
    return BOOK_IMAGES_NONE;
}

/* ---- Making ---- */

/* Best first; NULL: no memory. */
static struct md_level *book_images_levels(const struct book *book)
{
    uint32_t count = book->bids.count + book->asks.count;
    struct md_level *levels = malloc((count + 1) * sizeof *levels);
    for (uint32_t i = 0; levels != NULL && i < book->bids.count; i++) {
        levels[i] = book->bids.levels[book->bids.count - 1 - i];
    }
    for (uint32_t i = 0; levels != NULL && i < book->asks.count; i++) {
        levels[book->bids.count + i] = book->asks.levels[book->asks.count - 1 - i];
    }
    return levels;
}

/* A part's head says what it is part of: {"type":..,"symbol":..,"ch":7,"as_of":..,"part":1, */
static struct json_tick_head book_images_head(const struct book_images_source *source,
                                              uint32_t part, uint32_t part_count)
{
    static const char seq[] = "\"seq\":";
    const struct channel *channel = source->channel;
    struct json_tick_head head;
    json_tick_head_init(&head, (enum md_type)channel->type, channel->symbol, channel->symbol_bytes,
                        source->number);
    size_t at = head.text_bytes - (sizeof seq - 1);
    assert_always(memcmp(head.text + at, seq, sizeof seq - 1) == 0);
    int bytes = snprintf(head.text + at, sizeof head.text - at,
                         "\"as_of\":%llu,\"part\":%u,\"parts\":%u,%s",
                         (unsigned long long)source->as_of, part, part_count, seq);
    assert_always(bytes > 0 && at + (size_t)bytes < sizeof head.text);
    head.text_bytes = (uint16_t)(at + (size_t)bytes);
    return head;
}

/* Appends the frame of a part. false: no memory. */
static bool book_images_put(struct book_image *image, const struct book_images_source *source,
                            const struct md_depth *part, uint32_t number)
{
    size_t begin = number == 0 ? 0 : image->ends[number - 1];
    size_t room = WS_FRAME_FINISH_GAP + source->payload_bytes_max;
    if (begin + room > image->capacity) {
        size_t capacity = 2 * image->capacity + room;
        uint8_t *grown = realloc(image->bytes, capacity);
        if (grown == NULL) {
            return false;
        }
        image->bytes = grown;
        image->capacity = capacity;
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .ts_event_ns = source->ts_event_ns,
        .ts_recv_ns = source->ts_recv_ns,
        .depth = *part,
    };
    struct json_tick_head head = book_images_head(source, number + 1, image->part_count);
    uint8_t *frame = image->bytes + begin;
    size_t bytes = json_tick_encode(frame + WS_FRAME_FINISH_GAP, source->payload_bytes_max, &head,
                                    &update, source->as_of, source->ts_pub_ns);
    assert_always(bytes > 0);
    image->ends[number] = (uint32_t)(begin + ws_frame_finish(frame, WS_TEXT, bytes));
    return true;
}

static bool book_images_end(struct book_images *images, int error)
{
    struct book_images_slot *slot = &images->slots[images->making.number];
    free(images->making.levels);
    images->making.levels = NULL;
    images->making.number = BOOK_IMAGES_NONE;
    if (error != 0) {
        book_images_free(&slot->image);
        slot->image.error = error;
    }
    atomic_fetch_add_explicit(&images->bytes, slot->image.capacity, memory_order_relaxed);
    atomic_fetch_sub_explicit(&images->asked_count, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->state, BOOK_IMAGES_READY, memory_order_release);
    return true;
}

void book_images_begin(struct book_images *images, uint32_t number,
                       const struct book_images_source *source)
{
    const struct book *book = source->book;
    assert_always(images->making.number == BOOK_IMAGES_NONE);
    images->slots[number].image = (struct book_image){.as_of = source->as_of, .error = -ENODATA};
    images->making.number = number;
    images->making.source = *source;
    images->making.done = 0;
    images->making.is_counted = false;
    if (book == NULL || !book->is_whole) {
        return;
    }
    images->slots[number].image.error = -ENOMEM;
    images->making.levels = book_images_levels(book);
    if (images->making.levels != NULL) {
        images->slots[number].image.error = 0;
        images->making.whole = (struct md_depth){
            .action = MD_SNAPSHOT,
            .bids = images->making.levels,
            .asks = images->making.levels + book->bids.count,
            .bid_count = book->bids.count,
            .ask_count = book->asks.count,
        };
        images->making.split = book_split_begin(&images->making.whole, source->payload_bytes_max);
    }
}

/* One part counted, or made. 1: there are more; 0: that was all; else an error. */
static int book_images_step(struct book_images *images, struct book_image *image)
{
    struct md_depth part;
    bool has_failed;
    if (book_split_next(&images->making.split, &part, &has_failed)) {
        if (!images->making.is_counted) {
            image->part_count++;
            return 1;
        }
        return book_images_put(image, &images->making.source, &part, images->making.done++)
                   ? 1
                   : -ENOMEM;
    }
    if (has_failed || images->making.is_counted) {
        return has_failed ? -EMSGSIZE : 0;
    }
    images->making.is_counted = true;
    images->making.split =
        book_split_begin(&images->making.whole, images->making.source.payload_bytes_max);
    image->ends = calloc(image->part_count, sizeof *image->ends);
    return image->ends == NULL ? -ENOMEM : 1;
}

bool book_images_go_on(struct book_images *images)
{
    assert_always(images->making.number != BOOK_IMAGES_NONE);
    struct book_image *image = &images->slots[images->making.number].image;
    if (image->error != 0) {
        return book_images_end(images, image->error);
    }
    for (uint32_t i = 0; i < BOOK_IMAGES_STEPS; i++) {
        int result = book_images_step(images, image);
        if (result <= 0) {
            return book_images_end(images, result);
        }
    }
    return false;
}
