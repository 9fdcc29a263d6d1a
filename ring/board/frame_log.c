#include "ring/board/frame_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/canary.h"
#include "codec/base/check.h"
#include "codec/base/memory.h"
#include "codec/base/probes.h"

/* The writer stands still for a step, so it has so many frames at most. A frame that is saved takes
 * as long as so many that are not, and as one more for each so many of its bytes. */
#define FRAME_LOG_STEP_FRAMES 1024
#define FRAME_LOG_SAVE_FRAMES 40
#define FRAME_LOG_SAVE_BYTES_PER_FRAME 64
#define FRAME_LOG_STEP_PART 128 /* And a step is at most this part of the log's bytes. */

static_assert(offsetof(struct frame_log, write_index) % CACHE_LINE_BYTES == 0,
              "the writer's own is on no line that readers read");
static_assert(FRAME_LOG_BYTES_MIN / FRAME_LOG_BYTES_PER_DESC >= FRAME_LOG_FRAMES_MIN,
              "each of the longest frames has a descriptor");

/* Where the areas of the file are, which begins with the header. */
static struct layout_log frame_log_lay_out(const struct frame_log_options *options)
{
    struct layout_log header = {
        .file = {.magic = LAYOUT_LOG_MAGIC,
                 .major = LAYOUT_MAJOR,
                 .minor = LAYOUT_MINOR,
                 .header_bytes = LAYOUT_HEADER_BYTES,
                 .epoch = options->epoch},
        .encoding = options->encoding,
        .frame_bytes_max = options->frame_bytes_max,
        .record_bytes = sizeof(struct frame_record),
        .record_count = options->channel_count_max,
        .desc_bytes = sizeof(struct frame_desc),
        .desc_count = options->capacity_bytes / FRAME_LOG_BYTES_PER_DESC,
        .images_bytes = options->capacity_bytes,
        .capacity_bytes = options->capacity_bytes,
    };
    uint64_t records_bytes = (uint64_t)header.record_count * header.record_bytes;
    uint64_t descs_bytes = header.desc_count * header.desc_bytes;
    header.records_at = LAYOUT_AREA_BYTES;
    header.descs_at = bytes_round_up(header.records_at + records_bytes, LAYOUT_AREA_BYTES);
    header.images_at = bytes_round_up(header.descs_at + descs_bytes, LAYOUT_AREA_BYTES);
    header.bytes_at = bytes_round_up(header.images_at + header.images_bytes, LAYOUT_AREA_BYTES);
    header.file.bytes = header.bytes_at + header.capacity_bytes;
    return header;
}

/* Touches the areas from `from` on, except the images, which are never touched before they are
 * used. Only areas that are never lent have huge pages: the kernel zeroes a hole in one in place.
 */
static int frame_log_touch(struct frame_log *log, const struct layout_log *header, uint64_t from)
{
    struct shared_memory *memory = &log->memory;
    uint64_t bytes = header->images_at - from;
    log->collapse_error = shared_memory_collapse(memory, from, bytes);
    if (log->is_sealed) {
        int error = shared_memory_collapse(memory, header->bytes_at, 2 * log->capacity_bytes);
        log->collapse_error = log->collapse_error == 0 ? error : log->collapse_error;
    }
    int error = shared_memory_touch(memory, from, bytes);
    return error < 0 ? error
                     : shared_memory_touch(memory, header->bytes_at, 2 * log->capacity_bytes);
}

static int frame_log_map(struct frame_log *log, const struct frame_log_options *options)
{
    struct shared_memory *memory = &log->memory;
    const struct layout_log header = frame_log_lay_out(options);
    int error =
        shared_memory_create(memory, "ringcast-frame-log", header.file.bytes, header.bytes_at);
    if (error < 0) {
        return error;
    }
    if (!log->is_sealed) {
        /* The kernel zeroes a hole in a huge page in place, where a send may still read it. */
        madvise(memory->view, header.descs_at, MADV_NOHUGEPAGE);
        madvise(memory->view + header.images_at,
                header.file.bytes + log->capacity_bytes - header.images_at, MADV_NOHUGEPAGE);
    }
    *(struct layout_log *)(void *)memory->view = header;
    log->can_lend =
        !log->is_sealed && shared_memory_punch(memory, header.bytes_at, log->page_bytes) == 0;
    if (!options->is_lazy) {
        /* Otherwise the process that touches a page first pays for it, also a reader. */
        error = frame_log_touch(log, &header, log->is_sealed ? header.records_at : header.descs_at);
    }
    if (error == 0 && log->is_sealed) {
        error = shared_memory_seal(memory);
    }
    if (error < 0) {
        shared_memory_close(memory);
        return error;
    }
    log->header = (struct layout_log *)(void *)memory->view;
    log->records = (struct frame_record *)(void *)(memory->view + header.records_at);
    log->descs = (struct frame_desc *)(void *)(memory->view + header.descs_at);
    log->images_area = memory->view + header.images_at;
    log->bytes = memory->view + header.bytes_at;
    frame_log_images_init(&log->images, log->images_area, header.images_bytes);
    return 0;
}

/* The writer's own of all channels is one mapping, which begins with the channels. */
static size_t frame_log_channel_bytes(const struct frame_log *log)
{
    return log->channel_count_max * FRAME_LOG_CHANNEL_BYTES;
}

static size_t frame_log_lent_bytes(const struct frame_log *log)
{
    return bytes_round_up(log->capacity_bytes / log->page_bytes, 64) / 8;
}

static bool frame_log_can_be(const struct frame_log_options *options)
{
    return bytes_is_power_of_two(options->capacity_bytes) &&
           options->capacity_bytes >= FRAME_LOG_BYTES_MIN && options->frame_bytes_max > 0 &&
           options->frame_bytes_max <= options->capacity_bytes / FRAME_LOG_FRAMES_MIN &&
           options->channel_count_max > 0 && options->reader_count > 0 &&
           options->reader_count <= FRAME_LOG_READERS_MAX &&
           !(options->is_lazy && options->is_sealed);
}

int frame_log_create(struct frame_log **log_out, const struct frame_log_options *options)
{
    if (!frame_log_can_be(options)) {
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
    assert_always(log->page_bytes <= FRAME_LOG_BYTES_MIN / FRAME_LOG_FRAMES_MIN);
    log->desc_mask = options->capacity_bytes / FRAME_LOG_BYTES_PER_DESC - 1;
    log->frame_bytes_max = options->frame_bytes_max;
    log->channel_count_max = options->channel_count_max;
    log->reader_count = options->reader_count;
    log->is_sealed = options->is_sealed;
    /* The first turn of the ring overwrites nothing. */
    log->reserved_position = log->capacity_bytes;
    log->reserved_index = log->desc_mask + 1;
    for (uint32_t reader = 0; reader < FRAME_LOG_READERS_MAX; reader++) {
        atomic_init(&log->pins[reader].index, FRAME_LOG_NOT_PINNED);
    }

    int error = frame_log_map(log, options);
    if (error < 0) {
        goto free_log;
    }
    error = -ENOMEM;
    log->lent = memory_map(frame_log_lent_bytes(log), 0);
    if (log->lent == NULL) {
        goto unmap_log;
    }
    log->channels = memory_map(frame_log_channel_bytes(log), 0);
    if (log->channels == NULL) {
        goto unmap_lent;
    }
    log->saved = (struct frame_log_saved *)(void *)(log->channels + log->channel_count_max);
    log->groups = (_Atomic uint8_t *)(log->saved + log->channel_count_max);
    *log_out = log;
    return 0;

unmap_lent:
    memory_unmap(log->lent, frame_log_lent_bytes(log));
unmap_log:
    shared_memory_close(&log->memory);
free_log:
    free(log);
    return error;
}

void frame_log_destroy(struct frame_log *log)
{
    memory_unmap(log->channels, frame_log_channel_bytes(log));
    memory_unmap(log->lent, frame_log_lent_bytes(log));
    shared_memory_close(&log->memory);
    free(log);
}

int frame_log_read_only_fd(const struct frame_log *log)
{
    return shared_memory_read_only_fd(&log->memory);
}

/* Returns what it cost, in frames that are dropped and not saved. */
static inline uint32_t frame_log_drop(struct frame_log *log, uint64_t index,
                                      const struct frame_desc *desc)
{
    assert_always(desc->channel < log->channel_count_max);
    struct frame_record *record = &log->records[desc->channel];
    atomic_store_explicit(&record->dropped_hash, desc->hash, memory_order_relaxed);
    /* Release: a thread that reads it sees the channel's later frames, too, and seeks again. */
    atomic_store_explicit(&record->dropped_seq, desc->seq, memory_order_release);
    uint64_t last = atomic_load_explicit(&record->last_index_plus_1, memory_order_relaxed);
    if (last != index + 1 || (desc->flags & FRAME_FULL_IMAGE) == 0) {
        return 1;
    }
    bool is_saved = frame_log_images_save(&log->images, &log->saved[desc->channel], record, desc,
                                          frame_log_at(log, desc->position));
    log->saved_count += is_saved ? 1 : 0;
    log->images_unsaved_count += is_saved ? 0 : 1;
    return FRAME_LOG_SAVE_FRAMES + desc->frame_bytes / FRAME_LOG_SAVE_BYTES_PER_FRAME;
}

static inline void frame_log_wait_for_pins(struct frame_log *log, uint64_t tail)
{
    log->waited_count += frame_log_pins_wait(log->pins, log->reader_count, &log->watch, tail);
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
        /* Going on without would overwrite what is still to be sent. */
        assert_always(shared_memory_punch(&log->memory, log->header->bytes_at + offset, bytes) ==
                      0);
        log->replaced_bytes += bytes;
        start += bytes;
    }
}

/* Whether the page at a position was lent; from now on it is not. */
static bool frame_log_take_lent(struct frame_log *log, uint64_t position)
{
    uint64_t page = (position & log->bytes_mask) / log->page_bytes;
    _Atomic uint64_t *word = &log->lent[page / 64];
    uint64_t bit = UINT64_C(1) << page % 64;
    /* The pins have the acquire: the core that marked the page has unpinned it. */
    return (atomic_load_explicit(word, memory_order_relaxed) & bit) != 0 &&
           (atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed) & bit) != 0;
}

/* The bytes from position start to end are about to be overwritten. */
static void frame_log_replace_lent(struct frame_log *log, uint64_t start, uint64_t end)
{
    assert_always(start % log->page_bytes == 0);
    assert_always(end % log->page_bytes == 0);
    for (uint64_t at = start; at < end; at += log->page_bytes) {
        uint64_t first = at;
        while (at < end && frame_log_take_lent(log, at)) {
            at += log->page_bytes;
        }
        frame_log_replace(log, first, CANARY(LENT_KEPT) ? first : at);
    }
}

/* Room for one frame more. */
static inline bool frame_log_has_room(const struct frame_log *log)
{
    return log->write_position + log->frame_bytes_max <= log->reserved_position &&
           log->write_index < log->reserved_index;
}

/* With the tail there, what may be written ends: whole pages, since holes are of pages. */
static void frame_log_set_reserved(struct frame_log *log, uint64_t tail)
{
    uint64_t position =
        tail == log->write_index ? log->write_position : frame_log_desc(log, tail)->position;
    log->reserved_position = (position + log->capacity_bytes) & ~(log->page_bytes - 1);
    log->reserved_index = tail + log->desc_mask + 1;
}

/* Drops the frames of one step from the tail on, and returns where the tail is to be. */
static uint64_t frame_log_drop_step(struct frame_log *log, uint64_t tail)
{
    uint64_t end = log->write_index;
    uint64_t room_position =
        bytes_round_up(log->write_position + log->frame_bytes_max, log->page_bytes);
    uint64_t step_position = log->reserved_position + log->capacity_bytes / FRAME_LOG_STEP_PART;
    for (uint32_t effort = 0; tail < end; tail++) {
        const struct frame_desc *desc = frame_log_desc(log, tail);
        uint64_t position = desc->position + log->capacity_bytes; /* Room would end there. */
        bool is_long = effort >= FRAME_LOG_STEP_FRAMES || position >= step_position;
        if (is_long && position >= room_position && tail + log->desc_mask >= end) {
            break;
        }
        /* The lines that the loop needs soon, and at the end those that the next step needs first.
         */
        __builtin_prefetch(frame_log_desc(log, tail + 32));
        __builtin_prefetch(&log->records[frame_log_desc(log, tail + 8)->channel], 1);
        effort += frame_log_drop(log, tail, desc);
    }
    return tail;
}

/* Moves the tail one step. Never inlined: each frame calls frame_log_reserve. */
__attribute__((noinline)) static void frame_log_take_back(struct frame_log *log)
{
    uint64_t old_position = log->reserved_position;
    uint64_t old_tail = atomic_load_explicit(&log->header->tail, memory_order_relaxed);
    uint64_t old_saved_count = log->saved_count;
    uint64_t old_replaced_bytes = log->replaced_bytes;
    uint64_t tail = frame_log_drop_step(log, old_tail);
    /* What was committed is complete: the tail never passes the head that readers see. */
    frame_log_publish(log);
    atomic_store_explicit(&log->header->tail, tail, memory_order_release);
    frame_log_wait_for_pins(log, tail);
    frame_log_set_reserved(log, tail);
    assert_always(frame_log_has_room(log));
    frame_log_replace_lent(log, old_position - log->capacity_bytes,
                           log->reserved_position - log->capacity_bytes);
    PROBE5(log_tail, log->header->encoding, old_tail, tail, log->saved_count - old_saved_count,
           log->replaced_bytes - old_replaced_bytes);
}

uint8_t *frame_log_reserve(struct frame_log *log)
{
    if (__builtin_expect(!frame_log_has_room(log), 0)) {
        frame_log_take_back(log);
    }
    return log->bytes + (log->write_position & log->bytes_mask);
}

void frame_log_clear(struct frame_log *log)
{
    uint64_t records_at = log->header->records_at;
    assert_always(!log->is_sealed);
    frame_log_publish(log);
    atomic_store_explicit(&log->header->tail, log->write_index, memory_order_release);
    frame_log_wait_for_pins(log, log->write_index);
    log->write_position = bytes_round_up(log->write_position, log->page_bytes);
    frame_log_set_reserved(log, log->write_index);
    memset((void *)log->lent, 0, frame_log_lent_bytes(log));
    /* All pages except the header's are freed, even if something refers to them. */
    assert_always(shared_memory_punch(&log->memory, records_at, log->memory.bytes - records_at) ==
                  0);
    assert_always(madvise(log->channels, frame_log_channel_bytes(log), MADV_DONTNEED) == 0);
    frame_log_images_init(&log->images, log->images_area, log->header->images_bytes);
}

void frame_log_set_next_seq(struct frame_log *log, uint32_t number, uint8_t group,
                            uint64_t next_seq)
{
    struct frame_log_channel *channel = &log->channels[number];
    struct frame_record *record = &log->records[number];
    assert_always(number < log->channel_count_max);
    assert_debug(next_seq > 0);
    assert_debug(frame_log_last_plus_1(log, number) == 0);
    channel->last_seq = next_seq - 1;
    atomic_store_explicit(&log->groups[number], group, memory_order_relaxed);
    atomic_store_explicit(&record->dropped_hash, channel->hash, memory_order_relaxed);
    atomic_store_explicit(&record->dropped_seq, next_seq - 1, memory_order_release);
}

static const uint8_t *frame_log_saved_at(const struct frame_log *log,
                                         const struct frame_log_saved *saved, uint32_t which)
{
    return log->images_area + (uint64_t)saved->place[which] * CACHE_LINE_BYTES;
}

bool frame_log_newest(const struct frame_log *log, uint32_t number,
                      struct frame_log_image *image_out)
{
    const struct frame_log_saved *saved = &log->saved[number];
    const struct frame_record *record = &log->records[number];
    uint64_t last = atomic_load_explicit(&record->last_index_plus_1, memory_order_relaxed);
    uint32_t current = atomic_load_explicit(&saved->current, memory_order_relaxed);
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
    if (current == 0 || saved->seq[current - 1] != log->channels[number].last_seq) {
        return false;
    }
    *image_out = (struct frame_log_image){
        .frame = frame_log_saved_at(log, saved, current - 1),
        .frame_bytes = saved->bytes[current - 1],
        .flags = FRAME_FULL_IMAGE,
        .seq = saved->seq[current - 1],
        .ts_pub_ns = atomic_load_explicit(&record->image_ts_pub_ns, memory_order_relaxed),
    };
    return true;
}

void frame_log_commit(struct frame_log *log, uint32_t number, uint8_t group, uint8_t flags,
                      uint32_t frame_bytes, uint64_t ts_pub_ns)
{
    assert_always(frame_bytes > 0 && frame_bytes <= log->frame_bytes_max);
    assert_always(number < log->channel_count_max);
    /* What frame_log_reserve() took back, and nothing else, is overwritten. */
    assert_debug(log->write_position + frame_bytes <= log->reserved_position);
    assert_always(log->write_index < log->reserved_index);

    struct frame_log_channel *channel = &log->channels[number];
    struct frame_record *record = &log->records[number];
    uint64_t index = log->write_index;
    uint64_t last = atomic_load_explicit(&record->last_index_plus_1, memory_order_relaxed);
    uint64_t distance = last == 0 ? 0 : index + 1 - last;
    struct frame_desc *desc = &log->descs[index & log->desc_mask];
    desc->position = log->write_position;
    desc->seq = channel->last_seq + 1;
    desc->ts_pub_ns = ts_pub_ns;
    desc->hash = channel->hash;
    desc->channel = number;
    desc->frame_bytes = frame_bytes;
    desc->previous_distance = distance > log->desc_mask ? 0 : (uint32_t)distance;
    desc->group = group;
    desc->flags = flags;
    atomic_store_explicit(&desc->tag, index + 1, memory_order_release);
    channel->last_seq++;
    if (channel->last_seq == 1) { /* or frame_log_set_next_seq() did it */
        atomic_store_explicit(&log->groups[number], group, memory_order_relaxed);
    }
    /* Readers may see it before the head; frame_log_seek steps back over what is too new. */
    atomic_store_explicit(&record->last_index_plus_1, index + 1, memory_order_release);
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

bool frame_log_lend(struct frame_log *log, uint32_t reader, const uint8_t *at, uint64_t bytes,
                    uint64_t *offset_out)
{
    uint64_t offset = (uint64_t)(at - log->bytes);
    assert_always(frame_log_is_pinned(log, reader));
    assert_always(offset < log->capacity_bytes);
    assert_debug(bytes > 0);
    if (!log->can_lend || offset + bytes > log->capacity_bytes) {
        return false;
    }
    uint64_t last = (offset + bytes - 1) / log->page_bytes;
    for (uint64_t page = offset / log->page_bytes; page <= last; page++) {
        _Atomic uint64_t *word = &log->lent[page / 64];
        uint64_t bit = UINT64_C(1) << page % 64;
        if ((atomic_load_explicit(word, memory_order_relaxed) & bit) == 0) {
            /* The writer looks after it has seen our pin go. */
            atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
        }
    }
    *offset_out = log->header->bytes_at + offset;
    return true;
}

uint64_t frame_log_pin_oldest(struct frame_log *log, uint32_t reader)
{
    uint64_t pinned = atomic_load_explicit(&log->pins[reader].index, memory_order_relaxed);
    uint64_t tail;
    do {
        /* The writer takes longer for a step than we for a round, so this ends. */
        tail = frame_log_tail(log);
        if (pinned <= tail) {
            return tail;
        }
    } while (!frame_log_pin(log, reader, tail));
    return tail;
}

uint64_t frame_log_dropped_seq(const struct frame_log *log, uint32_t channel)
{
    return atomic_load_explicit(&log->records[channel].dropped_seq, memory_order_acquire);
}

/* The channel's frames before the index, if any, are all older than the pin. */
static void frame_log_seek_saved(const struct frame_log *log, uint32_t number, uint64_t newer_seq,
                                 struct frame_log_found *found)
{
    const struct frame_record *record = &log->records[number];
    const struct frame_log_saved *saved = &log->saved[number];
    uint64_t dropped_seq = atomic_load_explicit(&record->dropped_seq, memory_order_acquire);
    found->next_seq = newer_seq != 0 ? newer_seq : dropped_seq + 1;
    found->hash = atomic_load_explicit(&record->dropped_hash, memory_order_relaxed);
    uint32_t current = atomic_load_explicit(&saved->current, memory_order_acquire);
    if (current != 0 && saved->seq[current - 1] + 1 == found->next_seq) {
        found->saved = frame_log_saved_at(log, saved, current - 1);
        found->saved_bytes = saved->bytes[current - 1];
    }
}

void frame_log_seek(const struct frame_log *log, uint32_t reader, uint32_t number,
                    uint64_t before_index, struct frame_log_found *found)
{
    /* Not the tail: it may be past before_index already, the writer waiting for us. */
    uint64_t pinned = atomic_load_explicit(&log->pins[reader].index, memory_order_relaxed);
    const struct frame_record *record = &log->records[number];
    assert_always(number < log->channel_count_max);
    assert_always(pinned != FRAME_LOG_NOT_PINNED);
    uint64_t last = atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
    uint64_t last_again = last;
    /* Again, when a frame came while the dropped ones were looked at: it is then within reach of
     * our pin, so that the second round finds it in the log. */
    do {
        last = last_again;
        uint64_t newer_seq = 0; /* Of the oldest frame seen that is too new. */
        *found = (struct frame_log_found){
            .next_seq = 1,
            .group = atomic_load_explicit(&log->groups[number], memory_order_relaxed),
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
        frame_log_seek_saved(log, number, newer_seq, found);
        last_again = atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
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
