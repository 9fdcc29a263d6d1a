#include "tests/log_follower.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "codec/base/check.h"

#define RELAXED(field) atomic_load_explicit(&(field), memory_order_relaxed)

static const struct frame_desc *log_follower_desc(const struct log_follower *follower,
                                                  uint64_t index)
{
    size_t slot = index & (follower->header->desc_count - 1);
    return (const void *)(follower->file + follower->header->descs_at +
                          slot * follower->header->desc_bytes);
}

static const struct frame_record *log_follower_record(const struct log_follower *follower,
                                                      uint32_t number)
{
    return (const void *)(follower->file + follower->header->records_at +
                          (size_t)number * follower->header->record_bytes);
}

/* ---- The mapping ---- */

static bool log_follower_has(const struct layout_log *header, uint64_t at, uint64_t count,
                             uint64_t each_bytes)
{
    return at <= header->file.bytes && count <= (header->file.bytes - at) / each_bytes;
}

/* No number of the header leads out of the file. */
static int log_follower_check(const struct layout_log *header, uint64_t file_bytes)
{
    bool is_known = header->file.magic == LAYOUT_LOG_MAGIC && header->file.major == LAYOUT_MAJOR &&
                    header->file.bytes <= file_bytes &&
                    header->desc_bytes >= sizeof(struct frame_desc) &&
                    header->record_bytes >= sizeof(struct frame_record) &&
                    __builtin_popcountll(header->capacity_bytes) == 1 &&
                    __builtin_popcountll(header->desc_count) == 1 &&
                    header->frame_bytes_max <= header->capacity_bytes;
    bool is_inside =
        is_known && log_follower_has(header, header->bytes_at, header->capacity_bytes, 1) &&
        log_follower_has(header, header->images_at, header->images_bytes, 1) &&
        log_follower_has(header, header->descs_at, header->desc_count, header->desc_bytes) &&
        log_follower_has(header, header->records_at, header->record_count, header->record_bytes);
    return is_inside ? 0 : -EPROTO;
}

/* Frames that go on behind the last byte lie in one piece. */
static int log_follower_map_bytes(struct log_follower *follower, int fd)
{
    size_t bytes = follower->header->capacity_bytes;
    uint8_t *room = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return -errno;
    }
    for (size_t at = 0; at < 2 * bytes; at += bytes) {
        if (mmap(room + at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                 (off_t)follower->header->bytes_at) == MAP_FAILED) {
            int error = -errno;
            munmap(room, 2 * bytes);
            return error;
        }
    }
    follower->bytes = room;
    return 0;
}

int log_follower_open(struct log_follower *follower, const struct log_follower_options *options)
{
    struct stat status;
    int error;
    if (fstat(options->fd, &status) < 0) {
        return -errno;
    }
    *follower = (struct log_follower){
        .file_bytes = (size_t)status.st_size,
        .is_unchecked = options->is_unchecked,
        .is_to_keep_old = options->is_to_keep_old,
    };
    if (follower->file_bytes < sizeof(struct layout_log)) {
        return -EPROTO;
    }
    void *file = mmap(NULL, follower->file_bytes, PROT_READ, MAP_SHARED, options->fd, 0);
    if (file == MAP_FAILED) {
        return -errno;
    }
    follower->file = file;
    follower->header = file;
    error = log_follower_check(follower->header, follower->file_bytes);
    if (error < 0) {
        goto unmap_file;
    }
    follower->next_seq = calloc(follower->header->record_count, sizeof *follower->next_seq);
    if (follower->next_seq == NULL) {
        error = -ENOMEM;
        goto unmap_file;
    }
    error = log_follower_map_bytes(follower, options->fd);
    if (error < 0) {
        goto free_seqs;
    }
    return 0;

free_seqs:
    free(follower->next_seq);
unmap_file:
    munmap(file, follower->file_bytes);
    return error;
}

void log_follower_close(struct log_follower *follower)
{
    munmap((void *)(uintptr_t)follower->bytes, 2 * follower->header->capacity_bytes);
    munmap((void *)(uintptr_t)follower->file, follower->file_bytes);
    free(follower->next_seq);
}

/* ---- One descriptor ---- */

enum log_follower_found { LOG_FOLLOWER_WHOLE, LOG_FOLLOWER_NOT_YET, LOG_FOLLOWER_PASSED };

/* Whether the writer has passed an index. What was read before the call was whole if it has not. */
static bool log_follower_is_passed(const struct log_follower *follower, uint64_t index)
{
    /* The writer moves the tail, fence, and only then overwrites: who has read one byte of that
     * sees the tail. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&follower->header->tail, memory_order_acquire) > index;
}

static enum log_follower_found log_follower_read(const struct log_follower *follower,
                                                 uint64_t index, struct frame_desc *copy_out)
{
    const struct frame_desc *desc = log_follower_desc(follower, index);
    if (atomic_load_explicit(&desc->tag, memory_order_acquire) != index + 1) {
        /* Also after laps: the slot may bear the tag of a much newer frame. */
        return log_follower_is_passed(follower, index) ? LOG_FOLLOWER_PASSED : LOG_FOLLOWER_NOT_YET;
    }
    memcpy(copy_out, desc, sizeof *copy_out);
    return log_follower_is_passed(follower, index) ? LOG_FOLLOWER_PASSED : LOG_FOLLOWER_WHOLE;
}

/* A frame that a record or a newer frame leads to: it can be read, or was passed. */
static bool log_follower_read_linked(const struct log_follower *follower, uint64_t index,
                                     struct frame_desc *copy_out)
{
    enum log_follower_found found = log_follower_read(follower, index, copy_out);
    assert_always(found != LOG_FOLLOWER_NOT_YET);
    return found == LOG_FOLLOWER_WHOLE;
}

static void log_follower_hand_out(const struct log_follower *follower,
                                  const struct frame_desc *desc, struct log_follower_event *event)
{
    /* Whatever is in the file, it makes nobody leave the mapping. */
    uint32_t frame_bytes = desc->frame_bytes <= follower->header->frame_bytes_max
                               ? desc->frame_bytes
                               : follower->header->frame_bytes_max;
    *event = (struct log_follower_event){
        .kind = LOG_FOLLOWER_FRAME,
        .channel = desc->channel,
        .seq = desc->seq,
        .last_seq = desc->seq,
        .ts_pub_ns = desc->ts_pub_ns,
        .hash = desc->hash,
        .group = desc->group,
        .flags = desc->flags,
        .frame = follower->bytes + (desc->position & (follower->header->capacity_bytes - 1)),
        .frame_bytes = frame_bytes,
        .header_bytes = frame_bytes <= 127 ? 2 : 4,
    };
}

/* ---- What a channel has lost ---- */

/* Of the channel's newest frame before an index that is at most a head that was seen. The seqs of a
 * channel have no holes: one newer frame tells it, too. */
static bool log_follower_newest_before(const struct log_follower *follower, uint32_t number,
                                       uint64_t before, uint64_t *seq_out)
{
    const struct frame_record *record = log_follower_record(follower, number);
    struct frame_desc desc;
    uint64_t newest,
        newest_again = atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
    do {
        newest = newest_again;
        uint64_t next = newest;
        while (next > before) {
            if (!log_follower_read_linked(follower, next - 1, &desc)) {
                return false;
            }
            *seq_out = desc.seq - 1;
            if (desc.previous_distance == 0 || next - desc.previous_distance <= before) {
                return true;
            }
            next -= desc.previous_distance;
        }
        if (next > 0 && log_follower_read_linked(follower, next - 1, &desc)) {
            *seq_out = desc.seq;
            return true;
        }
        /* It has passed the tail, if it was in the log at all. */
        *seq_out = atomic_load_explicit(&record->dropped_seq, memory_order_acquire);
        newest_again = atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
    } while (newest_again != newest);
    return true;
}

bool log_follower_newest_seq(const struct log_follower *follower, uint32_t channel,
                             uint64_t *seq_out)
{
    assert_always(channel < follower->header->record_count);
    return log_follower_newest_before(follower, channel, follower->index, seq_out);
}

void log_follower_start(struct log_follower *follower)
{
    uint32_t number = 0;
    while (number < follower->header->record_count) {
        uint64_t seq;
        if (number == 0) {
            follower->index = atomic_load_explicit(&follower->header->head, memory_order_acquire);
        }
        bool is_known = log_follower_newest_before(follower, number, follower->index, &seq);
        follower->next_seq[number] = seq + 1;
        number = is_known ? number + 1 : 0;
    }
}

/* ---- The stream ---- */

/* Frames up to an index that the writer may overwrite were passed: it goes on behind them at once.
 */
static void log_follower_lap(struct log_follower *follower, struct log_follower_event *event)
{
    uint64_t head = atomic_load_explicit(&follower->header->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&follower->header->tail, memory_order_acquire);
    /* Never at the tail: it would be passed again at once. */
    follower->index = follower->is_to_keep_old && tail < head ? tail + (head - tail) / 2 : head;
    follower->unswept = follower->header->record_count;
    event->kind = LOG_FOLLOWER_LAPPED;
}

/* The next loss that no frame tells, since the channel is silent after a lap. */
static void log_follower_sweep(struct log_follower *follower, struct log_follower_event *event)
{
    for (; follower->unswept > 0; follower->unswept--) {
        uint32_t number = follower->unswept - 1;
        uint64_t seq, next_seq = follower->next_seq[number];
        if (!log_follower_newest_before(follower, number, follower->index, &seq)) {
            log_follower_lap(follower, event);
            return;
        }
        if (seq >= next_seq) {
            *event = (struct log_follower_event){
                .kind = LOG_FOLLOWER_GAP,
                .channel = number,
                .seq = next_seq,
                .last_seq = seq,
            };
            follower->next_seq[number] = seq + 1;
            return;
        }
    }
}

void log_follower_next(struct log_follower *follower, struct log_follower_event *event)
{
    struct frame_desc desc;
    assert_always(!follower->is_frame_out);
    *event = (struct log_follower_event){.kind = LOG_FOLLOWER_NOTHING};
    switch (log_follower_read(follower, follower->index, &desc)) {
    case LOG_FOLLOWER_PASSED:
        log_follower_lap(follower, event);
        return;
    case LOG_FOLLOWER_NOT_YET:
        log_follower_sweep(follower, event);
        return;
    case LOG_FOLLOWER_WHOLE:
        break;
    }
    log_follower_hand_out(follower, &desc, event);
    if (desc.channel >= follower->header->record_count) {
        event->kind = LOG_FOLLOWER_FAULT;
        follower->index++;
        return;
    }
    uint64_t *next_seq = &follower->next_seq[desc.channel];
    if (desc.seq < *next_seq) {
        event->kind = LOG_FOLLOWER_OLD;
        follower->index++;
        return;
    }
    if (desc.seq > *next_seq) {
        event->kind = LOG_FOLLOWER_GAP; /* The next call hands the frame itself out. */
        event->seq = *next_seq;
        event->last_seq = desc.seq - 1;
        *next_seq = desc.seq;
        return;
    }
    follower->is_frame_out = true;
    follower->channel_out = desc.channel;
}

bool log_follower_done(struct log_follower *follower)
{
    assert_always(follower->is_frame_out);
    follower->is_frame_out = false;
    if (!follower->is_unchecked && log_follower_is_passed(follower, follower->index)) {
        return false; /* The next call finds the lap. */
    }
    follower->next_seq[follower->channel_out]++;
    follower->index++;
    return true;
}

/* ---- The newest image ---- */

static bool log_follower_image_in_log(struct log_follower *follower,
                                      struct log_follower_event *event)
{
    struct frame_desc desc;
    uint64_t last = follower->image_last_plus_1;
    if (last == 0 || !log_follower_read_linked(follower, last - 1, &desc) ||
        (desc.flags & FRAME_FULL_IMAGE) == 0) {
        return false;
    }
    log_follower_hand_out(follower, &desc, event);
    return true;
}

/* What was saved when it passed the tail. */
static bool log_follower_image_saved(struct log_follower *follower,
                                     struct log_follower_event *event)
{
    const struct frame_record *record = follower->image_record;
    const struct layout_log *header = follower->header;
    follower->image_version = atomic_load_explicit(&record->image_version, memory_order_acquire);
    uint32_t bytes = RELAXED(record->image_bytes);
    uint64_t at = RELAXED(record->image_at);
    *event = (struct log_follower_event){
        .kind = LOG_FOLLOWER_FRAME,
        .seq = RELAXED(record->image_seq),
        .ts_pub_ns = RELAXED(record->image_ts_pub_ns),
        .hash = RELAXED(record->image_hash),
        .flags = FRAME_FULL_IMAGE,
        .frame = follower->file + header->images_at + at,
        .frame_bytes = bytes,
        .header_bytes = bytes <= 127 ? 2 : 4,
    };
    /* If a newer frame came, that at last may have passed the tail without being saved: what was
     * saved is then older than it. */
    atomic_thread_fence(memory_order_acquire);
    return RELAXED(record->last_index_plus_1) == follower->image_last_plus_1 &&
           follower->image_version % 2 == 0 && bytes <= header->frame_bytes_max &&
           bytes <= header->images_bytes && at <= header->images_bytes - bytes;
}

int log_follower_image(struct log_follower *follower, uint32_t channel,
                       struct log_follower_event *event)
{
    const struct frame_record *record = log_follower_record(follower, channel);
    assert_always(channel < follower->header->record_count);
    follower->image_record = record;
    follower->image_last_plus_1 =
        atomic_load_explicit(&record->last_index_plus_1, memory_order_acquire);
    follower->is_image_saved = !log_follower_image_in_log(follower, event);
    if (follower->is_image_saved && !log_follower_image_saved(follower, event)) {
        return -EAGAIN;
    }
    event->channel = channel;
    return event->seq == 0 ? -ENOENT : 0;
}

bool log_follower_image_done(const struct log_follower *follower)
{
    if (follower->is_unchecked) {
        return true;
    }
    if (!follower->is_image_saved) {
        return !log_follower_is_passed(follower, follower->image_last_plus_1 - 1);
    }
    atomic_thread_fence(memory_order_acquire);
    return RELAXED(follower->image_record->image_version) == follower->image_version;
}
