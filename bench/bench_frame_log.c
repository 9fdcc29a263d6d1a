/*
 * Question  What does one frame in the log cost the publisher, how long does it stand still at
 *           most, and what does a look for a channel's newest frame cost a core?
 * Method    Reserve, copy FRAME_BYTES in, commit, publish: BATCH_OPS frames a sample; one channel,
 *           then 1 000 in turn, then 1 000 while a reader pins and unpins. Then single appends, by
 *           the CPU time of the thread: of nothing, which is what the clock and the machine's
 *           interrupts take; of 1 000 channels; of 60 000; of one channel while the newest frames
 *           of those 60 000 leave the log, and are saved. Then seek, BATCH_OPS channels a sample:
 *           where the newest frame is in the log, and where it was saved. The log is lapped many
 *           times. Sort the samples; report p50, p99, p99.9, max, and p99.99 of single appends.
 * Run       zig build bench -- frame_log        (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "ring/board/frame_log.h"

#define BATCH_OPS 64
#define FRAME_BYTES 256
#define CHANNELS 1000
#define CHANNELS_MANY 60000
#define CHANNEL_BUSY CHANNELS_MANY /* It pushes the others' frames out of the log. */
#define READER 0

static const struct bench_size {
    const char *name;
    size_t batch_count;
    size_t single_count;
    size_t capacity_bytes;
} sizes[] = {
    {.name = "small", .batch_count = 200, .single_count = 20000, .capacity_bytes = 1 * MIB},
    {.name = "full", .batch_count = 50000, .single_count = 2000000, .capacity_bytes = 64 * MIB},
};

static const struct bench_append {
    const char *name;
    uint32_t channel_count;
    bool has_reader;
    bool is_lent;
} bench_appends[] = {
    {"append, 1 channel", 1, false, false},
    {"append, 1000 channels", CHANNELS, false, false},
    {"append, 1000 channels, every page is lent", CHANNELS, false, true},
    {"append, 1000 channels, pinned", CHANNELS, true, false},
};

static uint8_t bench_frame[FRAME_BYTES];

static void bench_append_one(struct frame_log *log, uint32_t channel)
{
    uint8_t *room = frame_log_reserve(log);
    memcpy(room, bench_frame, FRAME_BYTES);
    frame_log_commit(log, channel, 0, FRAME_FULL_IMAGE, FRAME_BYTES, 1);
    frame_log_publish(log);
}

/* The work of a core: it pins the first frame of the turn, and unpins it. */
static void bench_read_one(struct frame_log *log)
{
    assert_always(frame_log_pin(log, READER, frame_log_head(log) - 1));
    frame_log_unpin(log, READER);
}

/* The work of a core that sends a batch by reference; its time counts as the core's. */
static void bench_lend_batch(struct frame_log *log)
{
    uint64_t offset, first = frame_log_head(log) - BATCH_OPS;
    assert_always(frame_log_pin(log, READER, first));
    frame_log_lend(log, READER, frame_log_at(log, frame_log_desc(log, first)->position),
                   BATCH_OPS * FRAME_BYTES, &offset);
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
        if (append->is_lent) {
            bench_lend_batch(log);
        }
    }
    bench_samples_print(samples, append->name);
}

/* The last of them, with p99.99: of a step of the tail there is one in some hundred appends. */
static void bench_print_stops(struct bench_samples *samples, const char *name)
{
    size_t last = samples->count - 1;
    qsort(samples->values, samples->count, sizeof(double), bench_samples_compare);
    double p9999_ns = samples->values[last - last / 10000];
    bench_samples_print(samples, name);
    if (!bench_is_json()) {
        printf("%-48s p99.99 %6.1f us\n", "", p9999_ns / 1000);
    }
}

static void bench_stops(struct frame_log *log, const char *name, uint32_t first_channel,
                        uint32_t channel_count, size_t count, struct bench_samples *samples)
{
    uint32_t channel = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        if (channel_count > 0) {
            bench_append_one(log, first_channel + channel);
        }
        bench_samples_add(samples, (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns));
        channel = channel + 1 >= channel_count ? 0 : channel + 1;
    }
    bench_print_stops(samples, name);
}

static void bench_all_stops(struct frame_log *log, const struct bench_size *size,
                            struct bench_samples *samples)
{
    size_t frames_per_log = size->capacity_bytes / FRAME_BYTES;
    uint32_t quarter = (uint32_t)frames_per_log / 4; /* the images area has room for them */
    uint32_t many = CHANNELS_MANY < quarter ? CHANNELS_MANY : quarter;
    bench_stops(log, "stops, nothing is appended", 0, 0, size->single_count, samples);
    bench_stops(log, "stops, 1000 channels", 0, CHANNELS, size->single_count, samples);
    bench_stops(log, "stops, 60000 channels", 0, many, size->single_count, samples);
    bench_stops(log, "stops, 60000 images are saved", CHANNEL_BUSY, 1, frames_per_log, samples);
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
        .channel_count_max = CHANNEL_BUSY + 1,
        .reader_count = 1,
    };
    struct frame_log *log;
    struct bench_samples samples;
    assert_always(frame_log_create(&log, &options) == 0);
    bench_samples_init(&samples, size->single_count);
    memset(bench_frame, 'x', sizeof bench_frame);
    for (size_t i = 0; i < sizeof bench_appends / sizeof bench_appends[0]; i++) {
        bench_append_batches(log, &bench_appends[i], size->batch_count, &samples);
    }
    bench_all_stops(log, size, &samples);
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        bench_append_one(log, channel);
    }
    uint64_t checksum = bench_seek_batches(log, size->batch_count, false, &samples);
    bench_lap(log);
    checksum += bench_seek_batches(log, size->batch_count, true, &samples);
    bench_print_checksum(checksum + frame_log_head(log));
    bench_samples_deinit(&samples);
    frame_log_destroy(log);
    return 0;
}
