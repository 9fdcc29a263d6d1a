/*
 * Question  What does --record cost the publisher for one tick, and how long is a tick in the file?
 * Method    bench_tick_kinds.h, beside bench_sbe_tick, which is the greater part of it. The ring is
 *           emptied between ticks. Then 200 000 random trades (small: 2 000) go through the ring
 *           into a file: bytes for each, and ticks a second of the recorder's side. Last, batches
 * of trades are encoded as JSON, which a publisher does at least, by turns with and without a
 * recording of them. Run       zig build bench -- record           (full) zig build test (small:
 * proves it still works)
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench_tick_kinds.h"
#include "src/record/record_file.h"
#include "src/record/record_input.h"

#define RING_BYTES (1 * MIB)

static struct process_counters counters;
static struct record_queue queue;
static struct record_input input;

/* As the recorder's side does. */
static size_t take(struct record_file *file)
{
    size_t bytes;
    size_t sum = 0;
    const uint8_t *message;
    while ((message = record_ring_next(&queue.ring, &bytes)) != NULL) {
        if (file != NULL) {
            int error = record_file_append(file, message, bytes);
            assert_always(error == 0);
        }
        sum += bytes;
        record_ring_pop(&queue.ring, bytes);
    }
    return sum;
}

static size_t record(const struct json_tick_head *head, const struct md_update *update,
                     uint64_t seq)
{
    (void)head;
    (void)seq;
    record_input_tick(&input, update);
    return take(NULL);
}

static struct md_update trade(uint64_t number)
{
    static uint64_t price = 650000;
    uint64_t chance = number * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    price += chance % 7 - 3;
    return (struct md_update){.type = MD_TRADE,
                              .channel = BENCH_CHANNEL,
                              .ts_event_ns = UINT64_C(1732078800123456789) + number * 2000,
                              .ts_recv_ns = UINT64_C(1732078800123500000) + number * 2003,
                              .trade = {D((int64_t)price, -2), D((int64_t)(chance % 900), -3),
                                        chance % 2 == 0 ? MD_SIDE_BUY : MD_SIDE_SELL, true,
                                        4242424242 + number}};
}

static void measure_file(uint64_t tick_count)
{
    char path[] = "/tmp/bench_record.XXXXXX";
    struct record_file file;
    int error = mkdtemp(path) == NULL ? -errno : 0;
    assert_always(error == 0);
    int directory_fd = open(path, O_RDONLY | O_DIRECTORY);
    error = record_file_create(&file, directory_fd);
    assert_always(error == 0);
    error = record_file_begin(&file, "file");
    assert_always(error == 0);
    uint64_t spent_ns = 0;
    for (uint64_t i = 1; i <= tick_count; i++) {
        struct md_update update = trade(i);
        record_input_tick(&input, &update);
        if (i % 1000 == 0) {
            uint64_t start_ns = bench_now_ns();
            take(&file);
            spent_ns += bench_now_ns() - start_ns;
        }
    }
    error = record_file_flush(&file);
    assert_always(error == 0);
    if (!bench_is_json()) {
        printf("file of trades: %.1f bytes a tick, %.2f million ticks a second\n",
               (double)file.bytes / (double)tick_count,
               (double)tick_count * 1000 / (double)spent_ns);
    }
    record_file_abandon(&file);
    record_file_destroy(&file);
    unlinkat(directory_fd, "file", 0);
    close(directory_fd);
    rmdir(path);
}

/* Nanoseconds for a trade, of a batch. */
static double ratio_batch(const struct json_tick_head *head, uint64_t number, bool is_recorded)
{
    uint64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; i < BENCH_BATCH_OPS; i++) {
        struct md_update update = trade(number + i);
        size_t bytes =
            json_tick_encode(bench_out, sizeof bench_out, head, &update, number + i, number);
        assert_always(bytes > 0);
        if (is_recorded) {
            record_input_tick(&input, &update);
        }
    }
    uint64_t elapsed_ns = bench_now_ns() - start_ns;
    take(NULL);
    return (double)elapsed_ns / BENCH_BATCH_OPS;
}

static void measure_ratio(size_t batch_count)
{
    struct json_tick_head head;
    struct bench_samples samples[2];
    json_tick_head_init(&head, MD_TRADE, "BTCUSDT", 7, BENCH_CHANNEL);
    bench_samples_init(&samples[0], batch_count);
    bench_samples_init(&samples[1], batch_count);
    for (uint64_t batch = 0; batch < 2 * batch_count; batch++) {
        bench_samples_add(&samples[batch % 2],
                          ratio_batch(&head, 1 + batch * BENCH_BATCH_OPS, batch % 2 == 1));
    }
    bench_samples_print(&samples[0], "trade as JSON, not recorded");
    bench_samples_print(&samples[1], "trade as JSON, recorded");
    bench_samples_deinit(&samples[0]);
    bench_samples_deinit(&samples[1]);
}

int main(int argument_count, char **arguments)
{
    queue.counters = &counters;
    queue.wake_fd = -1;
    queue.channels = calloc(RECORD_QUEUE_CHANNELS_MAX, sizeof *queue.channels);
    assert_always(queue.channels != NULL);
    int error = record_ring_create(&queue.ring, RING_BYTES);
    assert_always(error == 0);
    error = record_input_create(&input, &queue);
    assert_always(error == 0);
    /* The ticks of bench_tick_kinds.h have the channel 0. */
    record_input_define(&input, 0, "000001.SZ", 9, MD_QUOTE);
    record_input_define(&input, BENCH_CHANNEL, "BTCUSDT", 7, MD_TRADE);
    int status = bench_ticks_run(argument_count, arguments, record, NULL);
    measure_file(bench_is_full(argument_count, arguments) ? 200000 : 2000);
    measure_ratio(bench_is_full(argument_count, arguments) ? 20000 : 20);
    record_input_destroy(&input);
    record_ring_destroy(&queue.ring);
    free(queue.channels);
    return status;
}
