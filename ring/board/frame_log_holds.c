#include "ring/board/frame_log_holds.h"

#include "codec/base/check.h"

void frame_log_holds_init(struct frame_log_holds *holds)
{
    atomic_init(&holds->count, 0);
    atomic_init(&holds->slot_count, 0);
    for (uint32_t hold = 0; hold < FRAME_LOG_HOLDS_MAX; hold++) {
        holds->free[hold] = FRAME_LOG_HOLDS_MAX - 1 - hold;
        atomic_init(&holds->slots[hold].start, UINT64_MAX);
    }
}

uint32_t frame_log_holds_add(struct frame_log_holds *holds, uint64_t start, uint64_t end)
{
    uint32_t count = atomic_load_explicit(&holds->count, memory_order_relaxed);
    assert_debug(start < end);
    assert_always(count <= FRAME_LOG_HOLDS_MAX);
    if (count == FRAME_LOG_HOLDS_MAX) {
        return FRAME_LOG_NO_HOLD;
    }
    uint32_t hold = holds->free[FRAME_LOG_HOLDS_MAX - 1 - count];
    /* The writer reads them after it has seen our pin go. */
    if (hold >= atomic_load_explicit(&holds->slot_count, memory_order_relaxed)) {
        atomic_store_explicit(&holds->slot_count, hold + 1, memory_order_relaxed);
    }
    atomic_store_explicit(&holds->slots[hold].end, end, memory_order_relaxed);
    atomic_store_explicit(&holds->slots[hold].start, start, memory_order_release);
    atomic_store_explicit(&holds->count, count + 1, memory_order_release);
    return hold;
}

void frame_log_holds_remove(struct frame_log_holds *holds, uint32_t hold)
{
    uint32_t count = atomic_load_explicit(&holds->count, memory_order_relaxed);
    assert_always(count > 0);
    assert_always(hold < FRAME_LOG_HOLDS_MAX);
    assert_always(atomic_load_explicit(&holds->slots[hold].start, memory_order_relaxed) !=
                  UINT64_MAX);
    atomic_store_explicit(&holds->slots[hold].start, UINT64_MAX, memory_order_relaxed);
    holds->free[FRAME_LOG_HOLDS_MAX - count] = hold;
    atomic_store_explicit(&holds->count, count - 1, memory_order_relaxed);
}

bool frame_log_holds_find(const struct frame_log_holds *holds, uint64_t start, uint64_t end,
                          uint32_t *next, uint64_t *start_out, uint64_t *end_out)
{
    if (frame_log_holds_count(holds) == 0) {
        return false;
    }
    uint32_t slot_count = atomic_load_explicit(&holds->slot_count, memory_order_relaxed);
    while (*next < slot_count) {
        const struct frame_log_hold *slot = &holds->slots[(*next)++];
        *start_out = atomic_load_explicit(&slot->start, memory_order_acquire);
        *end_out = atomic_load_explicit(&slot->end, memory_order_relaxed);
        if (start < *end_out && end > *start_out) {
            return true;
        }
    }
    return false;
}
