#include "ring/board/frame_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/cpu.h"
#include "codec/base/memory.h"

#define FRAME_LOG_SPINS 64               /* between two looks at the clock */
#define FRAME_LOG_NAP_AFTER_NS NS_PER_MS /* A reader inside submit is out sooner. */
#define FRAME_LOG_NAP_NS (100 * NS_PER_US)

static_assert((FRAME_LOG_SEGMENTS & (FRAME_LOG_SEGMENTS - 1)) == 0, "segments divide the log");
static_assert(FRAME_LOG_BYTES_MIN / FRAME_LOG_BYTES_PER_DESC >= FRAME_LOG_SEGMENTS,
              "a segment has a descriptor at least");

static_assert(offsetof(struct frame_log, tail) - offsetof(struct frame_log, head) ==
                  CACHE_LINE_BYTES,
              "who waits for the head does not share its line with the tail");
static_assert(offsetof(struct frame_log, write_index) - offsetof(struct frame_log, tail) ==
                  CACHE_LINE_BYTES,
              "the writer's own is on no line that readers read");

static int frame_log_map_bytes(struct frame_log *log, int populate)
{
    int error;
    size_t bytes = log->capacity_bytes;
    int memfd = memfd_create("ringcast-frame-log", MFD_CLOEXEC);
    if (memfd < 0) {
        return -errno;
    }
    if (ftruncate(memfd, (off_t)bytes) < 0) {
        error = -errno;
        goto close_memfd;
    }
    /* Reserve twice the room first, so that the two views are sure to lie side by side. */
    uint8_t *base = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        error = -errno;
        goto close_memfd;
    }
    for (int view = 0; view < 2; view++) {
        void *at = mmap(base + (size_t)view * bytes, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED | populate, memfd, 0);
        if (at == MAP_FAILED) {
            error = -errno;
            goto unmap;
        }
        /* A hole in a huge page would be zeroed in place, under the eyes of who holds it. */
        madvise(at, bytes, MADV_NOHUGEPAGE);
    }
    log->bytes = base;
    log->memfd = memfd;
    return 0;

unmap:
    munmap(base, 2 * bytes);
close_memfd:
    close(memfd);
    return error;
}

static size_t frame_log_desc_bytes(const struct frame_log *log)
{
    return (log->desc_mask + 1) * sizeof(struct frame_desc);
}

static size_t frame_log_channel_bytes(const struct frame_log *log)
{
    return log->channel_count_max * sizeof(struct frame_log_channel);
}

static size_t frame_log_holds_bytes(const struct frame_log *log)
{
    return (log->reader_count + (size_t)1) * sizeof(struct frame_log_holds);
}

int frame_log_create(struct frame_log **log_out, const struct frame_log_options *options)
{
    size_t segment_bytes = options->capacity_bytes / FRAME_LOG_SEGMENTS;
    if (!bytes_is_power_of_two(options->capacity_bytes) ||
        options->capacity_bytes < FRAME_LOG_BYTES_MIN || options->frame_bytes_max == 0 ||
        options->frame_bytes_max > segment_bytes || options->channel_count_max == 0 ||
        options->reader_count > FRAME_LOG_READERS_MAX) {
        return -EINVAL;
    }
    struct frame_log *log = aligned_alloc(CACHE_LINE_BYTES, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    memset(log, 0, sizeof *log);
    log->capacity_bytes = options->capacity_bytes;
    log->bytes_mask = options->capacity_bytes - 1;
    log->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    assert_always(log->page_bytes <= FRAME_LOG_BYTES_MIN / FRAME_LOG_SEGMENTS);
    log->desc_mask = options->capacity_bytes / FRAME_LOG_BYTES_PER_DESC - 1;
    log->frame_bytes_max = options->frame_bytes_max;
    log->channel_count_max = options->channel_count_max;
    log->reader_count = options->reader_count;
    /* The first turn of the ring overwrites nothing. */
    log->reserved_position = log->capacity_bytes;
    log->reserved_index = log->desc_mask + 1;
    for (uint32_t reader = 0; reader < FRAME_LOG_READERS_MAX; reader++) {
        atomic_init(&log->pins[reader].index, FRAME_LOG_NOT_PINNED);
    }

    int populate = options->is_lazy ? 0 : MAP_POPULATE;
    int error = frame_log_map_bytes(log, populate);
    if (error < 0) {
        goto free_log;
    }
    error = -ENOMEM;
    log->holds = memory_map(frame_log_holds_bytes(log), 0);
    if (log->holds == NULL) {
        goto unmap_bytes;
    }
    for (uint32_t reader = 0; reader < log->reader_count; reader++) {
        frame_log_holds_init(&log->holds[reader]);
    }
    log->descs = memory_map(frame_log_desc_bytes(log), populate);
    if (log->descs == NULL) {
        goto unmap_holds;
    }
    log->channels = memory_map(frame_log_channel_bytes(log), 0);
    if (log->channels == NULL) {
        goto unmap_descs;
    }
    *log_out = log;
    return 0;

unmap_descs:
    memory_unmap(log->descs, frame_log_desc_bytes(log));
unmap_holds:
    memory_unmap(log->holds, frame_log_holds_bytes(log));
unmap_bytes:
    munmap(log->bytes, 2 * log->capacity_bytes);
    close(log->memfd);
free_log:
    free(log);
    return error;
}

void frame_log_destroy(struct frame_log *log)
{
    for (uint32_t channel = 0; channel < log->channel_count_max; channel++) {
        free(log->channels[channel].saved[0]);
        free(log->channels[channel].saved[1]);
    }
    memory_unmap(log->channels, frame_log_channel_bytes(log));
    memory_unmap(log->descs, frame_log_desc_bytes(log));
    memory_unmap(log->holds, frame_log_holds_bytes(log));
    munmap(log->bytes, 2 * log->capacity_bytes);
    close(log->memfd);
    free(log);
}

/* Copies a channel's newest frame out, into the buffer that no reader can still be reading: one
 * may have begun in the other buffer, and the writer waits for its pin before it comes here
 * again. Without memory the frame is not saved; a late subscriber then waits for the next one. */
static void frame_log_save(struct frame_log *log, struct frame_log_channel *channel,
                           const struct frame_desc *desc)
{
    uint32_t current = atomic_load_explicit(&channel->saved_current, memory_order_relaxed);
    uint32_t next = current == 1 ? 1 : 0;
    if (channel->saved_capacity[next] < desc->frame_bytes) {
        uint32_t capacity = (uint32_t)bytes_round_up(desc->frame_bytes, CACHE_LINE_BYTES);
        uint8_t *grown = realloc(channel->saved[next], capacity);
        if (grown == NULL) {
            atomic_store_explicit(&channel->saved_current, 0, memory_order_release);
            return;
        }
        channel->saved[next] = grown;
        channel->saved_capacity[next] = capacity;
    }
    memcpy(channel->saved[next], frame_log_at(log, desc->position), desc->frame_bytes);
    channel->saved_bytes[next] = desc->frame_bytes;
    channel->saved_seq[next] = desc->seq;
    channel->saved_ts_pub_ns[next] = desc->ts_pub_ns;
    atomic_store_explicit(&channel->saved_current, next + 1, memory_order_release);
    log->saved_count++;
}

static void frame_log_drop(struct frame_log *log, uint64_t index)
{
    const struct frame_desc *desc = frame_log_desc(log, index);
    assert_always(desc->channel < log->channel_count_max);
    struct frame_log_channel *channel = &log->channels[desc->channel];
    atomic_store_explicit(&channel->dropped_hash, desc->hash, memory_order_relaxed);
    /* Release: who reads it sees the channel's later frames, too, and seeks again. */
    atomic_store_explicit(&channel->dropped_seq, desc->seq, memory_order_release);
    uint64_t last = atomic_load_explicit(&channel->last_index_plus_1, memory_order_relaxed);
    if (last == index + 1 && (desc->flags & FRAME_FULL_IMAGE) != 0) {
        frame_log_save(log, channel, desc);
    }
}

/* Nothing bounds how long a reader's thread may be stopped, and to overwrite what it pins would
 * tear frames. So the wait has no end of its own, but it is counted, reported, and leaves the CPU
 * to others. */
struct frame_log_wait {
    uint32_t reader;
    uint64_t began_ns;
    uint64_t counted_ns; /* up to when it is counted */
    uint64_t report_ns;  /* after so long it is reported next */
};

static uint64_t frame_log_count_wait(const struct frame_log *log, struct frame_log_wait *wait)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (log->watch.waited_ns != NULL) {
        counter_add(log->watch.waited_ns, now_ns - wait->counted_ns);
    }
    wait->counted_ns = now_ns;
    return now_ns - wait->began_ns;
}

static void frame_log_wait_on(const struct frame_log *log, struct frame_log_wait *wait)
{
    const struct timespec nap = {.tv_nsec = FRAME_LOG_NAP_NS};
    uint64_t waited_ns = frame_log_count_wait(log, wait);
    if (waited_ns < FRAME_LOG_NAP_AFTER_NS) {
        sched_yield(); /* The reader's CPU may have been taken away inside submit. */
        return;
    }
    if (waited_ns >= wait->report_ns && log->watch.on_stuck != NULL) {
        log->watch.on_stuck(log->watch.context, wait->reader, waited_ns, false);
        wait->report_ns = waited_ns + FRAME_LOG_STUCK_AGAIN_NS;
    }
    nanosleep(&nap, NULL);
}

static inline bool frame_log_holds_back(const struct frame_log *log, uint32_t reader, uint64_t tail)
{
    return atomic_load_explicit(&log->pins[reader].index, memory_order_acquire) < tail;
}

static void frame_log_wait_for_pin(struct frame_log *log, uint32_t reader, uint64_t tail)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    struct frame_log_wait wait = {
        .reader = reader,
        .began_ns = now_ns,
        .counted_ns = now_ns,
        .report_ns = FRAME_LOG_STUCK_NS,
    };
    log->waited_count++;
    for (uint32_t spins = 1; frame_log_holds_back(log, reader, tail); spins++) {
        if (spins % FRAME_LOG_SPINS == 0) {
            frame_log_wait_on(log, &wait);
        } else {
            cpu_relax();
        }
    }
    uint64_t waited_ns = frame_log_count_wait(log, &wait);
    if (wait.report_ns > FRAME_LOG_STUCK_NS) {
        log->watch.on_stuck(log->watch.context, reader, waited_ns, true);
    }
}

static void frame_log_wait_for_pins(struct frame_log *log, uint64_t tail)
{
    /* Pairs with the fence in frame_log_pin: either the reader sees the new tail, or we see its
     * pin. */
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t reader = 0; reader < log->reader_count; reader++) {
        if (frame_log_holds_back(log, reader, tail)) {
            frame_log_wait_for_pin(log, reader, tail);
        }
    }
}

/* Puts fresh pages in the place of those from position start to end, which are nobody's any more
 * but the kernel's. Both are page boundaries. */
static void frame_log_replace(struct frame_log *log, uint64_t start, uint64_t end)
{
    assert_always(start % log->page_bytes == 0);
    assert_always(end % log->page_bytes == 0);
    while (start < end) {
        uint64_t offset = start & log->bytes_mask;
        uint64_t bytes = end - start;
        if (offset + bytes > log->capacity_bytes) {
            bytes = log->capacity_bytes - offset;
        }
        int result;
        do {
            result = fallocate(log->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)offset, (off_t)bytes);
        } while (result < 0 && errno == EINTR);
        assert_always(result == 0); /* Going on would overwrite what is still to be sent. */
        log->replaced_bytes += bytes;
        start += bytes;
    }
}

/* The bytes from position start to end are about to be overwritten. */
static void frame_log_replace_held(struct frame_log *log, uint64_t start, uint64_t end)
{
    for (uint32_t reader = 0; reader < log->reader_count; reader++) {
        uint64_t from, to;
        for (uint32_t next = 0;
             frame_log_holds_find(&log->holds[reader], start, end, &next, &from, &to);) {
            from &= ~(log->page_bytes - 1);
            to = bytes_round_up(to, log->page_bytes);
            frame_log_replace(log, from > start ? from : start, to < end ? to : end);
        }
    }
}

/* Moves the tail until frame_bytes_max bytes and one descriptor may be overwritten. */
static void frame_log_take_back(struct frame_log *log)
{
    uint64_t desc_count = log->desc_mask + 1;
    uint64_t old_position = log->reserved_position;
    while (log->write_position + log->frame_bytes_max > log->reserved_position) {
        log->reserved_position += log->capacity_bytes / FRAME_LOG_SEGMENTS;
    }
    while (log->write_index >= log->reserved_index) {
        log->reserved_index += desc_count / FRAME_LOG_SEGMENTS;
    }
    uint64_t tail = atomic_load_explicit(&log->tail, memory_order_relaxed);
    uint64_t old_tail = tail;
    while (tail < log->write_index &&
           (tail + desc_count < log->reserved_index ||
            frame_log_desc(log, tail)->position + log->capacity_bytes < log->reserved_position)) {
        frame_log_drop(log, tail);
        tail++;
    }
    assert_always(tail <= log->write_index);
    if (tail != old_tail) {
        /* What was committed is complete: the tail never passes the head that readers see. */
        frame_log_publish(log);
        atomic_store_explicit(&log->tail, tail, memory_order_release);
        frame_log_wait_for_pins(log, tail);
    }
    frame_log_replace_held(log, old_position - log->capacity_bytes,
                           log->reserved_position - log->capacity_bytes);
}

uint8_t *frame_log_reserve(struct frame_log *log)
{
    if (__builtin_expect(log->write_position + log->frame_bytes_max > log->reserved_position ||
                             log->write_index >= log->reserved_index,
                         0)) {
        frame_log_take_back(log);
    }
    return log->bytes + (log->write_position & log->bytes_mask);
}

void frame_log_clear(struct frame_log *log)
{
    uint64_t segment_bytes = log->capacity_bytes / FRAME_LOG_SEGMENTS;
    frame_log_publish(log);
    atomic_store_explicit(&log->tail, log->write_index, memory_order_release);
    frame_log_wait_for_pins(log, log->write_index);
    /* From the next whole segment on: it begins with a page. */
    log->write_position = bytes_round_up(log->write_position, segment_bytes);
    log->reserved_position = log->write_position + log->capacity_bytes;
    log->reserved_index = log->write_index + log->desc_mask + 1;
    frame_log_replace(log, log->write_position, log->reserved_position);
    madvise(log->descs, frame_log_desc_bytes(log), MADV_DONTNEED);
    for (uint32_t number = 0; number < log->channel_count_max; number++) {
        struct frame_log_channel *channel = &log->channels[number];
        if (channel->last_seq > 0) {
            atomic_store_explicit(&channel->last_index_plus_1, 0, memory_order_relaxed);
            atomic_store_explicit(&channel->saved_current, 0, memory_order_relaxed);
        }
    }
}

void frame_log_set_next_seq(struct frame_log *log, uint32_t number, uint8_t group,
                            uint64_t next_seq)
{
    struct frame_log_channel *channel = &log->channels[number];
    assert_always(number < log->channel_count_max);
    assert_debug(next_seq > 0);
    assert_debug(frame_log_last_plus_1(log, number) == 0);
    channel->last_seq = next_seq - 1;
    atomic_store_explicit(&channel->group, group, memory_order_relaxed);
    atomic_store_explicit(&channel->dropped_hash, channel->hash, memory_order_relaxed);
    atomic_store_explicit(&channel->dropped_seq, next_seq - 1, memory_order_release);
}

bool frame_log_newest(const struct frame_log *log, uint32_t number,
                      struct frame_log_image *image_out)
{
    const struct frame_log_channel *channel = &log->channels[number];
    uint64_t last = atomic_load_explicit(&channel->last_index_plus_1, memory_order_relaxed);
    uint32_t saved = atomic_load_explicit(&channel->saved_current, memory_order_relaxed);
    if (last > frame_log_tail(log)) {
        const struct frame_desc *desc = frame_log_desc(log, last - 1);
        *image_out = (struct frame_log_image){
            .frame = frame_log_at(log, desc->position),
            .frame_bytes = desc->frame_bytes,
            .flags = desc->flags,
            .seq = desc->seq,
            .ts_pub_ns = desc->ts_pub_ns,
        };
        return true;
    }
    if (saved == 0 || channel->saved_seq[saved - 1] != channel->last_seq) {
        return false;
    }
    *image_out = (struct frame_log_image){
        .frame = channel->saved[saved - 1],
        .frame_bytes = channel->saved_bytes[saved - 1],
        .flags = FRAME_FULL_IMAGE,
        .seq = channel->saved_seq[saved - 1],
        .ts_pub_ns = channel->saved_ts_pub_ns[saved - 1],
    };
    return true;
}

bool frame_log_newest_image(const struct frame_log *log, uint32_t number,
                            struct frame_log_image *image_out)
{
    return frame_log_newest(log, number, image_out) && (image_out->flags & FRAME_FULL_IMAGE) != 0;
}

void frame_log_commit(struct frame_log *log, uint32_t channel_number, uint8_t group, uint8_t flags,
                      uint32_t frame_bytes, uint64_t ts_pub_ns)
{
    assert_always(frame_bytes <= log->frame_bytes_max);
    assert_always(channel_number < log->channel_count_max);
    /* What frame_log_reserve() took back, and nothing else, is overwritten. */
    assert_debug(log->write_position + frame_bytes <= log->reserved_position);
    assert_always(log->write_index < log->reserved_index);

    struct frame_log_channel *channel = &log->channels[channel_number];
    uint64_t index = log->write_index;
    uint64_t last = atomic_load_explicit(&channel->last_index_plus_1, memory_order_relaxed);
    uint64_t distance = last == 0 ? 0 : index + 1 - last;
    log->descs[index & log->desc_mask] = (struct frame_desc){
        .position = log->write_position,
        .seq = channel->last_seq + 1,
        .ts_pub_ns = ts_pub_ns,
        .hash = channel->hash,
        .channel = channel_number,
        .frame_bytes = frame_bytes,
        .previous_distance = distance > log->desc_mask ? 0 : (uint32_t)distance,
        .group = group,
        .flags = flags,
    };
    channel->last_seq++;
    atomic_store_explicit(&channel->group, group, memory_order_relaxed);
    /* Readers may see it before the head; frame_log_seek steps back over what is too new. */
    atomic_store_explicit(&channel->last_index_plus_1, index + 1, memory_order_release);
    log->write_index = index + 1;
    log->write_position += frame_bytes;
}

uint64_t frame_log_position(const struct frame_log *log, uint64_t from, const uint8_t *at)
{
    uint64_t base = frame_log_desc(log, from)->position;
    uint64_t offset = (uint64_t)(at - log->bytes);
    assert_debug(offset < 2 * log->capacity_bytes);
    return base + ((offset - base) & log->bytes_mask);
}

bool frame_log_pin(struct frame_log *log, uint32_t reader, uint64_t index)
{
    assert_always(reader < log->reader_count);
    _Atomic uint64_t *pin = &log->pins[reader].index;
    uint64_t pinned = atomic_load_explicit(pin, memory_order_relaxed);
    if (pinned <= index) {
        return true;
    }
    atomic_store_explicit(pin, index, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (frame_log_tail(log) <= index) {
        return true;
    }
    atomic_store_explicit(pin, pinned, memory_order_release);
    return false;
}

uint32_t frame_log_hold(struct frame_log *log, uint32_t reader, uint64_t position, uint64_t bytes)
{
    assert_always(reader < log->reader_count);
    return frame_log_holds_add(&log->holds[reader], position, position + bytes);
}

void frame_log_release(struct frame_log *log, uint32_t reader, uint32_t hold)
{
    assert_always(reader < log->reader_count);
    frame_log_holds_remove(&log->holds[reader], hold);
}

uint64_t frame_log_pin_oldest(struct frame_log *log, uint32_t reader)
{
    uint64_t pinned = atomic_load_explicit(&log->pins[reader].index, memory_order_relaxed);
    uint64_t tail;
    do {
        /* The writer moves at most a segment between two rounds, so this ends. */
        tail = frame_log_tail(log);
        if (pinned <= tail) {
            return tail;
        }
    } while (!frame_log_pin(log, reader, tail));
    return tail;
}

uint64_t frame_log_dropped_seq(const struct frame_log *log, uint32_t channel)
{
    return atomic_load_explicit(&log->channels[channel].dropped_seq, memory_order_acquire);
}

/* The channel's frames before the index, if any, are all older than the pin. */
static void frame_log_seek_saved(const struct frame_log_channel *channel, uint64_t newer_seq,
                                 struct frame_log_found *found)
{
    uint64_t dropped_seq = atomic_load_explicit(&channel->dropped_seq, memory_order_acquire);
    found->next_seq = newer_seq != 0 ? newer_seq : dropped_seq + 1;
    found->hash = atomic_load_explicit(&channel->dropped_hash, memory_order_relaxed);
    uint32_t current = atomic_load_explicit(&channel->saved_current, memory_order_acquire);
    if (current != 0 && channel->saved_seq[current - 1] + 1 == found->next_seq) {
        found->saved = channel->saved[current - 1];
        found->saved_bytes = channel->saved_bytes[current - 1];
    }
}

void frame_log_seek(const struct frame_log *log, uint32_t reader, uint32_t channel_number,
                    uint64_t before_index, struct frame_log_found *found)
{
    /* Not the tail: it may be past before_index already, the writer waiting for us. */
    uint64_t pinned = atomic_load_explicit(&log->pins[reader].index, memory_order_relaxed);
    const struct frame_log_channel *channel = &log->channels[channel_number];
    assert_always(channel_number < log->channel_count_max);
    assert_always(pinned != FRAME_LOG_NOT_PINNED);
    uint64_t last = atomic_load_explicit(&channel->last_index_plus_1, memory_order_acquire);
    uint64_t last_again = last;
    /* Again, when a frame came while the dropped ones were looked at: it is then within reach of
     * our pin, so that the second round finds it in the log. */
    do {
        last = last_again;
        uint64_t newer_seq = 0; /* Of the oldest frame seen that is too new. */
        *found = (struct frame_log_found){
            .next_seq = 1,
            .group = atomic_load_explicit(&channel->group, memory_order_relaxed),
        };
        for (uint64_t next = last; next > pinned;) {
            const struct frame_desc *desc = frame_log_desc(log, next - 1);
            if (next - 1 < before_index) {
                found->in_log = true;
                found->index = next - 1;
                found->next_seq = desc->seq + 1;
                found->hash = desc->hash;
                return;
            }
            newer_seq = desc->seq;
            next = desc->previous_distance == 0 ? 0 : next - desc->previous_distance;
        }
        frame_log_seek_saved(channel, newer_seq, found);
        last_again = atomic_load_explicit(&channel->last_index_plus_1, memory_order_acquire);
    } while (last_again != last);
}

uint64_t frame_log_half_room(const struct frame_log *log, uint64_t index)
{
    uint64_t half_frames = (log->desc_mask + 1) / 2;
    uint64_t half_bytes = log->capacity_bytes / 2;
    if (index < frame_log_tail(log)) {
        return 0;
    }
    uint64_t lag_frames = log->write_index - index;
    /* Only the writer overwrites descriptors, so this one needs no pin. */
    uint64_t lag_bytes =
        lag_frames == 0 ? 0 : log->write_position - frame_log_desc(log, index)->position;
    if (lag_frames >= half_frames || lag_bytes >= half_bytes) {
        return 0;
    }
    uint64_t by_bytes = (half_bytes - lag_bytes) / log->frame_bytes_max;
    uint64_t by_frames = half_frames - lag_frames;
    return by_bytes < by_frames ? by_bytes : by_frames;
}
