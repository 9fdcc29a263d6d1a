#include "feeds/feed_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/units.h"

#define FEED_QUEUE_UNIT                                                                            \
    64 /* Records are multiples of it: a loss always fits before the buffer's end. */
#define FEED_QUEUE_WAIT_NS NS_PER_SECOND /* The descriptor wakes it earlier. */

enum feed_queue_kind {
    FEED_QUEUE_TICK,
    FEED_QUEUE_LOSS,     /* of its channel */
    FEED_QUEUE_LOSS_ANY, /* of any channel */
    FEED_QUEUE_SKIP,     /* The next record is at the beginning of the buffer. */
};

struct feed_queue_record {
    uint32_t bytes;
    uint8_t kind;
    uint8_t type; /* enum md_type */
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
    struct md_update update[]; /* one, of a tick; then what it points to */
};

static_assert(sizeof(struct feed_queue_record) <= FEED_QUEUE_UNIT, "a loss is one unit");

/* Kept free for the losses at one place: of single channels, and of all. */
#define FEED_QUEUE_RESERVE ((FEED_QUEUE_LOSSES_MAX + 1) * FEED_QUEUE_UNIT)

static_assert(FEED_QUEUE_RESERVE < FEED_QUEUE_BYTES_MIN / 2, "there is room for ticks, too");

struct feed_queue_loss {
    uint8_t type;
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
};

struct feed_queue {
    /* Set at creation, then constant. */
    uint8_t *buffer;
    size_t capacity;
    int fd; /* an eventfd, written when the publisher sleeps */

    /* Written by the feed's thread. A position is bytes since creation. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t write_position;
    _Atomic uint64_t lost_count;
    _Atomic bool has_ended;
    uint64_t seen_read_position;
    struct feed_queue_loss losses[FEED_QUEUE_LOSSES_MAX]; /* since a tick was last taken in */
    uint32_t loss_count;
    bool has_lost_any; /* A loss of any channel is at this place already. */

    /* Written by the publisher. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t read_position;
    uint64_t *channels; /* a bit for each that a tick or a loss was of */
    size_t channel_words;
    bool has_armed; /* since fd was last read */

    /* 1: the publisher sleeps, or is about to. Whoever makes it 0 wakes it, or it is awake. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t armed;
};

int feed_queue_create(struct feed_queue **queue_out, size_t capacity_bytes)
{
    assert_always(bytes_is_power_of_two(capacity_bytes));
    assert_always(capacity_bytes >= FEED_QUEUE_BYTES_MIN && capacity_bytes <= FEED_QUEUE_BYTES_MAX);
    struct feed_queue *queue = aligned_alloc(CACHE_LINE_BYTES, sizeof *queue);
    if (queue == NULL) {
        return -ENOMEM;
    }
    memset(queue, 0, sizeof *queue);
    queue->capacity = capacity_bytes;
    queue->buffer = aligned_alloc(FEED_QUEUE_UNIT, capacity_bytes);
    queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->buffer == NULL || queue->fd < 0) {
        int error = queue->fd < 0 ? -errno : -ENOMEM;
        feed_queue_destroy(queue);
        return error;
    }
    *queue_out = queue;
    return 0;
}

void feed_queue_destroy(struct feed_queue *queue)
{
    if (queue->fd >= 0) {
        close(queue->fd);
    }
    free(queue->channels);
    free(queue->buffer);
    free(queue);
}

/* ---- The feed's thread ---- */

static struct feed_queue_record *feed_queue_at(const struct feed_queue *queue, uint64_t position)
{
    assert_debug(position % FEED_QUEUE_UNIT == 0);
    return (struct feed_queue_record *)(void *)(queue->buffer + (position & (queue->capacity - 1)));
}

static uint64_t feed_queue_written(const struct feed_queue *queue)
{
    return atomic_load_explicit(&queue->write_position, memory_order_relaxed);
}

/* The publisher stores armed, then reads the position; we store the position, then read armed. At
 * least one of the two sees the other's store. */
static void feed_queue_wake(struct feed_queue *queue)
{
    const uint64_t one = 1;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&queue->armed, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&queue->armed, 0, memory_order_relaxed) == 0) {
        return;
    }
    /* It fails only where the counter is full, which wakes as well. */
    ssize_t written = write(queue->fd, &one, sizeof one);
    (void)written;
}

/* Hands over all up to position. */
static void feed_queue_publish(struct feed_queue *queue, uint64_t position)
{
    assert_always(position - queue->seen_read_position <= queue->capacity);
    atomic_store_explicit(&queue->write_position, position, memory_order_release);
    feed_queue_wake(queue);
}

static uint64_t feed_queue_free_bytes(struct feed_queue *queue, uint64_t wanted_bytes)
{
    uint64_t written = feed_queue_written(queue);
    if (queue->capacity - (written - queue->seen_read_position) < wanted_bytes) {
        queue->seen_read_position =
            atomic_load_explicit(&queue->read_position, memory_order_acquire);
    }
    assert_always(written - queue->seen_read_position <= queue->capacity);
    return queue->capacity - (written - queue->seen_read_position);
}

static void feed_queue_set_head(struct feed_queue_record *record, enum feed_queue_kind kind,
                                size_t bytes, const char *symbol, size_t symbol_bytes,
                                enum md_type type)
{
    assert_always(symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    record->bytes = (uint32_t)bytes;
    record->kind = (uint8_t)kind;
    record->type = (uint8_t)type;
    record->symbol_bytes = (uint8_t)symbol_bytes;
    memcpy(record->symbol, symbol, symbol_bytes);
}

/* Whether a loss of this channel at this place is reported already; if not, it is now noted. */
static bool feed_queue_note_loss(struct feed_queue *queue, const char *symbol, size_t symbol_bytes,
                                 enum md_type type)
{
    for (uint32_t i = 0; i < queue->loss_count; i++) {
        const struct feed_queue_loss *loss = &queue->losses[i];
        if (loss->type == type && loss->symbol_bytes == symbol_bytes &&
            memcmp(loss->symbol, symbol, symbol_bytes) == 0) {
            return true;
        }
    }
    if (queue->loss_count < FEED_QUEUE_LOSSES_MAX) {
        struct feed_queue_loss *loss = &queue->losses[queue->loss_count++];
        loss->type = (uint8_t)type;
        loss->symbol_bytes = (uint8_t)symbol_bytes;
        memcpy(loss->symbol, symbol, symbol_bytes);
        return false;
    }
    bool was_reported = queue->has_lost_any;
    queue->has_lost_any = true;
    return was_reported;
}

void feed_queue_lose(struct feed_queue *queue, const char *symbol, size_t symbol_bytes,
                     enum md_type type)
{
    assert_always(symbol_bytes > 0 && symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    if (feed_queue_note_loss(queue, symbol, symbol_bytes, type)) {
        return;
    }
    assert_always(feed_queue_free_bytes(queue, FEED_QUEUE_UNIT) >= FEED_QUEUE_UNIT);
    uint64_t position = feed_queue_written(queue);
    feed_queue_set_head(feed_queue_at(queue, position),
                        queue->has_lost_any ? FEED_QUEUE_LOSS_ANY : FEED_QUEUE_LOSS,
                        FEED_QUEUE_UNIT, symbol, symbol_bytes, type);
    feed_queue_publish(queue, position + FEED_QUEUE_UNIT);
}

/* The data that a tick points to. */
struct feed_queue_parts {
    const struct md_level **bids, **asks; /* NULL: it has none */
    size_t bids_bytes, asks_bytes;
    const char **texts[2]; /* each NULL, or pointing to NULL: it has none */
};

static struct feed_queue_parts feed_queue_parts(struct md_update *update)
{
    struct feed_queue_parts parts = {0};
    if (update->type == MD_QUOTE) {
        parts.bids = &update->quote.bids;
        parts.asks = &update->quote.asks;
        parts.bids_bytes = update->quote.bid_count * sizeof(struct md_level);
        parts.asks_bytes = update->quote.ask_count * sizeof(struct md_level);
        parts.texts[0] = &update->quote.status;
    } else if (update->type == MD_DEPTH) {
        parts.bids = &update->depth.bids;
        parts.asks = &update->depth.asks;
        parts.bids_bytes = update->depth.bid_count * sizeof(struct md_level);
        parts.asks_bytes = update->depth.ask_count * sizeof(struct md_level);
    } else if (update->type == MD_STATUS) {
        parts.texts[0] = &update->status.state;
        parts.texts[1] = &update->status.reason;
    }
    return parts;
}

static size_t feed_queue_text_bytes(const char **text)
{
    return text == NULL || *text == NULL ? 0 : strlen(*text) + 1;
}

static size_t feed_queue_tick_bytes(const struct feed_queue_parts *parts)
{
    size_t bytes = sizeof(struct feed_queue_record) + sizeof(struct md_update) + parts->bids_bytes +
                   parts->asks_bytes + feed_queue_text_bytes(parts->texts[0]) +
                   feed_queue_text_bytes(parts->texts[1]);
    return bytes_round_up(bytes, FEED_QUEUE_UNIT);
}

static const void *feed_queue_copy(uint8_t **to, const void *from, size_t bytes)
{
    void *copy = *to;
    if (from == NULL) {
        return NULL;
    }
    memcpy(copy, from, bytes);
    *to += bytes;
    return copy;
}

/* The update in the record, with all that it points to behind it: levels first, as they are
 * aligned. */
static void feed_queue_copy_update(struct feed_queue_record *record, const struct md_update *update)
{
    struct md_update *copy = record->update;
    uint8_t *to = (uint8_t *)(copy + 1);
    *copy = *update;
    struct feed_queue_parts parts = feed_queue_parts(copy);
    if (parts.bids != NULL) {
        *parts.bids = feed_queue_copy(&to, *parts.bids, parts.bids_bytes);
        *parts.asks = feed_queue_copy(&to, *parts.asks, parts.asks_bytes);
    }
    for (size_t i = 0; i < 2; i++) {
        if (parts.texts[i] != NULL) {
            *parts.texts[i] =
                feed_queue_copy(&to, *parts.texts[i], feed_queue_text_bytes(parts.texts[i]));
        }
    }
    assert_always(to <= (uint8_t *)record + record->bytes);
}

bool feed_queue_push(struct feed_queue *queue, const char *symbol, size_t symbol_bytes,
                     const struct md_update *update)
{
    struct md_update counted = *update;
    struct feed_queue_parts parts = feed_queue_parts(&counted);
    size_t bytes = feed_queue_tick_bytes(&parts);
    uint64_t position = feed_queue_written(queue);
    uint64_t to_end = queue->capacity - (position & (queue->capacity - 1));
    uint64_t skipped = bytes > to_end ? to_end : 0;
    uint64_t wanted = skipped + bytes + FEED_QUEUE_RESERVE;
    if (bytes > queue->capacity / 2 - FEED_QUEUE_RESERVE ||
        feed_queue_free_bytes(queue, wanted) < wanted) {
        atomic_fetch_add_explicit(&queue->lost_count, 1, memory_order_relaxed);
        feed_queue_lose(queue, symbol, symbol_bytes, update->type);
        return false;
    }
    if (skipped > 0) {
        feed_queue_set_head(feed_queue_at(queue, position), FEED_QUEUE_SKIP, skipped, "", 0, 0);
    }
    struct feed_queue_record *record = feed_queue_at(queue, position + skipped);
    feed_queue_set_head(record, FEED_QUEUE_TICK, bytes, symbol, symbol_bytes, update->type);
    feed_queue_copy_update(record, update);
    queue->loss_count = 0;
    queue->has_lost_any = false;
    feed_queue_publish(queue, position + skipped + bytes);
    return true;
}

void feed_queue_end(struct feed_queue *queue)
{
    atomic_store_explicit(&queue->has_ended, true, memory_order_release);
    feed_queue_wake(queue);
}

/* ---- The publisher ---- */

/* The channel of a record, noted for losses of any. UINT32_MAX: there is none. */
static uint32_t feed_queue_open_channel(struct feed_queue *queue, const struct feed_sink *sink,
                                        const struct feed_queue_record *record)
{
    uint32_t channel = sink->open_channel(sink->context, record->symbol, record->symbol_bytes,
                                          (enum md_type)record->type);
    size_t word = channel / 64;
    if (channel == UINT32_MAX) {
        return channel;
    }
    if (word >= queue->channel_words) {
        size_t words = 2 * (word + 1);
        uint64_t *grown = realloc(queue->channels, words * sizeof *grown);
        if (grown == NULL) {
            sink->lost(sink->context, channel);
            return UINT32_MAX;
        }
        memset(grown + queue->channel_words, 0, (words - queue->channel_words) * sizeof *grown);
        queue->channels = grown;
        queue->channel_words = words;
    }
    queue->channels[word] |= UINT64_C(1) << (channel % 64);
    return channel;
}

static void feed_queue_lose_all(struct feed_queue *queue, const struct feed_sink *sink)
{
    for (size_t word = 0; word < queue->channel_words; word++) {
        for (uint64_t bits = queue->channels[word]; bits != 0; bits &= bits - 1) {
            sink->lost(sink->context, (uint32_t)(word * 64 + (size_t)__builtin_ctzll(bits)));
        }
    }
}

static void feed_queue_hand_over(struct feed_queue *queue, struct feed *feed,
                                 struct feed_queue_record *record)
{
    const struct feed_sink *sink = feed->sink;
    if (record->kind == FEED_QUEUE_SKIP) {
        return;
    }
    uint32_t channel = feed_queue_open_channel(queue, sink, record);
    if (record->kind == FEED_QUEUE_LOSS_ANY) {
        feed_queue_lose_all(queue, sink);
    } else if (channel == UINT32_MAX) {
        feed->counters.malformed++;
    } else if (record->kind == FEED_QUEUE_LOSS) {
        sink->lost(sink->context, channel);
    } else {
        record->update->channel = channel;
        sink->publish(sink->context, record->update);
        feed->counters.ticks++;
    }
}

/* false: the room was used up first. */
static bool feed_queue_drain(struct feed_queue *queue, struct feed *feed)
{
    uint32_t room = 0;
    uint64_t position = atomic_load_explicit(&queue->read_position, memory_order_relaxed);
    uint64_t written = atomic_load_explicit(&queue->write_position, memory_order_acquire);
    while (position != written) {
        struct feed_queue_record *record = feed_queue_at(queue, position);
        assert_always(record->bytes > 0 && record->bytes <= written - position);
        if (!feed_has_room(feed, &room)) {
            return false;
        }
        feed_queue_hand_over(queue, feed, record);
        room -= record->kind != FEED_QUEUE_SKIP;
        position += record->bytes;
        atomic_store_explicit(&queue->read_position, position, memory_order_release);
    }
    return true;
}

static bool feed_queue_is_empty(struct feed_queue *queue)
{
    return atomic_load_explicit(&queue->write_position, memory_order_acquire) ==
           atomic_load_explicit(&queue->read_position, memory_order_relaxed);
}

/* Awake from here on: takes back what may have been written to wake us. */
static void feed_queue_disarm(struct feed_queue *queue)
{
    uint64_t count;
    if (!queue->has_armed) {
        return;
    }
    queue->has_armed = false;
    atomic_store_explicit(&queue->armed, 0, memory_order_relaxed);
    /* Nothing, if it was not written, or is yet to be: that wakes us once more, for nothing. */
    ssize_t bytes = read(queue->fd, &count, sizeof count);
    (void)bytes;
}

uint64_t feed_queue_poll(struct feed_queue *queue, struct feed *feed, uint64_t now_ns)
{
    const struct feed_sink *sink = feed->sink;
    feed_queue_disarm(queue);
    bool has_ended = atomic_load_explicit(&queue->has_ended, memory_order_acquire);
    feed->counters.lost = atomic_load_explicit(&queue->lost_count, memory_order_relaxed);
    if (!feed_queue_drain(queue, feed)) {
        return now_ns;
    }
    if (has_ended) {
        sink->watch(sink->context, -1);
        return FEED_NEVER;
    }
    queue->has_armed = true;
    atomic_store_explicit(&queue->armed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!feed_queue_is_empty(queue) || atomic_load(&queue->has_ended)) {
        return now_ns;
    }
    sink->watch(sink->context, queue->fd);
    return now_ns + FEED_QUEUE_WAIT_NS;
}
