#include "ring/board/frame_log_images.h"

#include <string.h>

#include "codec/base/check.h"

void frame_log_images_init(struct frame_log_images *images, uint8_t *area, uint64_t area_bytes)
{
    assert_always(area_bytes / CACHE_LINE_BYTES < UINT32_MAX);
    *images = (struct frame_log_images){
        .area = area,
        .place_count = (uint32_t)(area_bytes / CACHE_LINE_BYTES),
    };
}

/* Sizes are 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 ... lines. */
static uint32_t frame_log_images_size(uint32_t bytes, uint32_t *lines_out)
{
    assert_always(bytes > 0);
    uint32_t last_line = (bytes - 1) / CACHE_LINE_BYTES;
    uint32_t doublings = 29 - (uint32_t)__builtin_clz(last_line | 4);
    uint32_t quarters = (last_line >> doublings) + 1;
    *lines_out = quarters << doublings;
    return doublings * 4 + quarters - 1;
}

static uint32_t *frame_log_images_link(struct frame_log_images *images, uint32_t place)
{
    return (uint32_t *)(void *)(images->area + (uint64_t)place * CACHE_LINE_BYTES);
}

static bool frame_log_images_take(struct frame_log_images *images, uint32_t size, uint32_t lines,
                                  uint32_t *place_out)
{
    uint32_t free_plus_1 = images->free_plus_1[size];
    if (free_plus_1 != 0) {
        *place_out = free_plus_1 - 1;
        images->free_plus_1[size] = *frame_log_images_link(images, *place_out);
        return true;
    }
    if (lines > images->place_count - images->place_next) {
        return false;
    }
    *place_out = images->place_next;
    images->place_next += lines;
    return true;
}

static void frame_log_images_give(struct frame_log_images *images, uint32_t size, uint32_t place)
{
    *frame_log_images_link(images, place) = images->free_plus_1[size];
    images->free_plus_1[size] = place + 1;
}

/* A room of a channel that has bytes, at least. It never shrinks. */
static bool frame_log_images_make_room(struct frame_log_images *images,
                                       struct frame_log_saved *saved, uint32_t which,
                                       uint32_t bytes)
{
    uint32_t lines, place;
    uint32_t size = frame_log_images_size(bytes, &lines);
    assert_always(size < FRAME_LOG_IMAGES_SIZES);
    if (saved->size_plus_1[which] > size) {
        return true;
    }
    if (!frame_log_images_take(images, size, lines, &place)) {
        return false;
    }
    assert_debug(place + lines <= images->place_next);
    if (saved->size_plus_1[which] != 0) {
        frame_log_images_give(images, saved->size_plus_1[which] - 1u, saved->place[which]);
    }
    saved->size_plus_1[which] = (uint8_t)(size + 1);
    saved->place[which] = place;
    return true;
}

/* What a second process goes by: while the version is odd, the image is being written. */
static uint32_t frame_log_images_open(struct frame_record *record)
{
    uint32_t version = atomic_load_explicit(&record->image_version, memory_order_relaxed) + 1;
    assert_debug(version % 2 == 1);
    atomic_store_explicit(&record->image_version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return version;
}

static void frame_log_images_describe(struct frame_record *record, const struct frame_desc *desc,
                                      uint32_t place)
{
    atomic_store_explicit(&record->image_bytes, desc->frame_bytes, memory_order_relaxed);
    atomic_store_explicit(&record->image_seq, desc->seq, memory_order_relaxed);
    atomic_store_explicit(&record->image_ts_pub_ns, desc->ts_pub_ns, memory_order_relaxed);
    atomic_store_explicit(&record->image_at, (uint64_t)place * CACHE_LINE_BYTES,
                          memory_order_relaxed);
    atomic_store_explicit(&record->image_hash, desc->hash, memory_order_relaxed);
}

bool frame_log_images_save(struct frame_log_images *images, struct frame_log_saved *saved,
                           struct frame_record *record, const struct frame_desc *desc,
                           const uint8_t *frame)
{
    uint32_t current = atomic_load_explicit(&saved->current, memory_order_relaxed);
    uint32_t next = current == 1 ? 1 : 0;
    bool has_room = frame_log_images_make_room(images, saved, next, desc->frame_bytes);
    uint32_t version = frame_log_images_open(record);
    if (has_room) {
        memcpy(images->area + (uint64_t)saved->place[next] * CACHE_LINE_BYTES, frame,
               desc->frame_bytes);
        saved->bytes[next] = desc->frame_bytes;
        saved->seq[next] = desc->seq;
        frame_log_images_describe(record, desc, saved->place[next]);
    } else {
        atomic_store_explicit(&record->image_seq, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&record->image_version, version + 1, memory_order_release);
    atomic_store_explicit(&saved->current, has_room ? (uint8_t)(next + 1) : 0,
                          memory_order_release);
    return has_room;
}
