/* frame_log_fixture: a small frame log, and frames whose bytes say which one they are. */
#ifndef RINGCAST_TESTS_FRAME_LOG_FIXTURE_H
#define RINGCAST_TESTS_FRAME_LOG_FIXTURE_H

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/board/frame_log.h"

#define LOG_BYTES (1 * MIB)
#define FRAME_BYTES 1000
#define CHANNELS 16

static const struct frame_log_options small_log = {
    .capacity_bytes = LOG_BYTES,
    .frame_bytes_max = 64 * KIB,
    .channel_count_max = CHANNELS,
    .reader_count = 2,
};

static inline struct frame_log *make_log_as(const struct frame_log_options *options)
{
    struct frame_log *log;
    assert_int_equal(frame_log_create(&log, options), 0);
    return log;
}

static inline struct frame_log *make_log(void)
{
    return make_log_as(&small_log);
}

/* Every byte of a frame is the same function of its index. */
static inline uint8_t fill_of(uint64_t index)
{
    return (uint8_t)(index * 37 + index / 251);
}

/* Stands for a running hash. */
static inline uint64_t hash_of(uint32_t channel, uint64_t seq)
{
    return seq == 0 ? 0 : (uint64_t)channel << 32 | seq;
}

static inline void append(struct frame_log *log, uint32_t channel, uint8_t flags, uint32_t bytes)
{
    memset(frame_log_reserve(log), fill_of(log->write_index), bytes);
    frame_log_set_hash(log, channel, hash_of(channel, frame_log_next_seq(log, channel)));
    frame_log_commit(log, channel, 0, flags, bytes, log->write_index);
}

/* Appends until every frame before an index is behind the tail. */
static inline void append_until_tail(struct frame_log *log, uint32_t channel, uint64_t index)
{
    while (frame_log_tail(log) <= index) {
        append(log, channel, 0, FRAME_BYTES);
    }
    frame_log_publish(log);
}

/* Overwrites all of the log; the frames it has then are whole. */
static inline void lap(struct frame_log *log)
{
    uint64_t end = log->write_position + LOG_BYTES;
    while (log->write_position < end) {
        append(log, 1, 0, FRAME_BYTES);
    }
    frame_log_publish(log);
    for (uint64_t index = frame_log_tail(log); index < frame_log_head(log); index++) {
        const struct frame_desc *desc = frame_log_desc(log, index);
        const uint8_t *frame = frame_log_at(log, desc->position);
        assert_int_equal(frame[0], fill_of(index));
        assert_memory_equal(frame, frame + 1, desc->frame_bytes - 1);
    }
}

static inline uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of the whole file: header, records, descriptors, images, bytes. */
static inline uint64_t file_pages(const struct frame_log *log)
{
    struct stat known;
    assert_int_equal(fstat(log->memory.fd, &known), 0);
    return (uint64_t)known.st_blocks * 512 / page_bytes();
}

#endif
