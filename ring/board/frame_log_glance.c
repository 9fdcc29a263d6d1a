#include "ring/board/frame_log_glance.h"

#include "codec/base/check.h"

/* Plain loads of what the writer may be storing: what they return counts only after the tail has
 * shown that the writer was not. ThreadSanitizer knows nothing of that rule. */
__attribute__((noinline, no_sanitize("thread"))) static struct frame_log_glance
frame_log_glance_desc(const struct frame_desc *desc)
{
    return (struct frame_log_glance){
        .seq = *(const volatile uint64_t *)&desc->seq,
        .ts_pub_ns = *(const volatile uint64_t *)&desc->ts_pub_ns,
    };
}

/* The frame at index. false: it has left the log. */
static bool frame_log_glance_at(const struct frame_log *log, uint64_t index,
                                struct frame_log_glance *out)
{
    const struct frame_desc *desc = frame_log_desc(log, index);
    if (atomic_load_explicit(&desc->tag, memory_order_acquire) != index + 1) {
        return false;
    }
    *out = frame_log_glance_desc(desc);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&log->header->tail, memory_order_relaxed) <= index;
}

/* When the frame of that seq was published, if it was saved as an image; 0: it was not. */
static uint64_t frame_log_glance_image(const struct frame_record *record, uint64_t seq)
{
    uint32_t version = atomic_load_explicit(&record->image_version, memory_order_acquire);
    uint64_t image_seq = atomic_load_explicit(&record->image_seq, memory_order_relaxed);
    uint64_t ts_pub_ns = atomic_load_explicit(&record->image_ts_pub_ns, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    bool is_whole = version % 2 == 0 &&
                    version == atomic_load_explicit(&record->image_version, memory_order_relaxed);
    return is_whole && image_seq == seq ? ts_pub_ns : 0;
}

struct frame_log_glance frame_log_glance(const struct frame_log *log, uint32_t channel)
{
    assert_always(channel < log->channel_count_max);
    const struct frame_record *record = &log->records[channel];
    for (;;) {
        struct frame_log_glance glance;
        uint64_t last = atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
        if (last > 0 && frame_log_glance_at(log, last - 1, &glance)) {
            assert_debug(glance.seq > 0);
            return glance;
        }
        glance.seq = atomic_load_explicit(&record->dropped_seq, memory_order_acquire);
        glance.ts_pub_ns = frame_log_glance_image(record, glance.seq);
        if (atomic_load_explicit(&record->last_index_plus_1, memory_order_relaxed) == last) {
            return glance;
        }
    }
}
