/*
 * Question  What does one frame in the log cost the publisher, and what a look for a channel's
 *           newest frame costs a core?
 * Method    Reserve, copy FRAME_BYTES in, commit, publish: BATCH_OPS frames a sample; one channel,
 *           then 1 000 in turn, then 1 000 while a reader pins and unpins. The log is lapped many
 *           times, so that p99.9 and max show what taking back a segment costs. Then seek,
 *           BATCH_OPS channels a sample: where the newest frame is in the log, and where it was
 *           saved. Sort the means; report p50, p99, p99.9, max.
 * Run       zig build bench -- frame_log        (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "ring/board/frame_log.h"

#define BATCH_OPS 64
#define FRAME_BYTES 256
#define CHANNELS 1000
#define CHANNEL_BUSY CHANNELS /* Beside the 1 000: it pushes their frames out of the log. */
#define READER 0

static const struct bench_size {
    const char *name;
    size_t batch_count;
    size_t capacity_bytes;
} sizes[] = {
    {.name = "small", .batch_count = 200, .capacity_bytes = 1 * MIB},
    {.name = "full", .batch_count = 50000, .capacity_bytes = 64 * MIB},
};

static const struct bench_append {
    const char *name;
    uint32_t channel_count;
    bool has_reader;
} bench_appends[] = {
    {"append, 1 channel", 1, false},
    {"append, 1000 channels", CHANNELS, false},
    {"append, 1000 channels, pinned", CHANNELS, true},
};

static uint8_t bench_frame[FRAME_BYTES];

static void bench_append_one(struct frame_log *log, uint32_t channel)
{
    uint8_t *room = frame_log_reserve(log);
    memcpy(room, bench_frame, FRAME_BYTES);
    frame_log_commit(log, channel, 0, FRAME_FULL_IMAGE, FRAME_BYTES, 1);
    frame_log_publish(log);
}

/* What a core does about it: the turn's first frame is pinned, and given back. */
static void bench_read_one(struct frame_log *log)
{
    assert_always(frame_log_pin(log, READER, frame_log_head(log) - 1));
    frame_log_unpin(log, READER);
}

static void bench_append_batches(struct frame_log *log, const struct bench_append *append,
                                 size_t batch_count, struct bench_samples *samples)
{
    uint32_t channel = 0;
    for (size_t batch = 0; batch < batch_count; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            bench_append_one(log, channel);
            if (append->has_reader) {
                bench_read_one(log);
            }
            channel = channel + 1 == append->channel_count ? 0 : channel + 1;
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    bench_samples_print(samples, append->name);
}

static uint64_t bench_seek_batches(struct frame_log *log, size_t batch_count, bool is_saved,
                                   struct bench_samples *samples)
{
    uint64_t checksum = 0;
    uint32_t channel = 0;
    uint64_t head = frame_log_head(log);
    frame_log_pin_oldest(log, READER);
    for (size_t batch = 0; batch < batch_count; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            struct frame_log_found found;
            frame_log_seek(log, READER, channel, head, &found);
            assert_always(found.in_log != is_saved && (found.saved != NULL) == is_saved);
            checksum += found.next_seq;
            channel = channel + 1 == CHANNELS ? 0 : channel + 1;
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    frame_log_unpin(log, READER);
    bench_samples_print(samples, is_saved ? "seek, saved" : "seek, in the log");
    return checksum;
}

/* The other channels' newest frames leave the log, and are saved. */
static void bench_lap(struct frame_log *log)
{
    for (uint64_t bytes = 0; bytes < 2 * log->capacity_bytes; bytes += FRAME_BYTES) {
        bench_append_one(log, CHANNEL_BUSY);
    }
    assert_always(log->saved_count >= CHANNELS);
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct frame_log_options options = {
        .capacity_bytes = size->capacity_bytes,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = CHANNELS + 1,
        .reader_count = 1,
    };
    struct frame_log *log;
    struct bench_samples samples;
    assert_always(frame_log_create(&log, &options) == 0);
    bench_samples_init(&samples, size->batch_count);
    memset(bench_frame, 'x', sizeof bench_frame);
    for (size_t i = 0; i < sizeof bench_appends / sizeof bench_appends[0]; i++) {
        bench_append_batches(log, &bench_appends[i], size->batch_count, &samples);
    }
    uint64_t checksum = bench_seek_batches(log, size->batch_count, false, &samples);
    bench_lap(log);
    checksum += bench_seek_batches(log, size->batch_count, true, &samples);
    bench_print_checksum(checksum + frame_log_head(log));
    bench_samples_deinit(&samples);
    frame_log_destroy(log);
    return 0;
}
