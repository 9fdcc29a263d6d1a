#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>

#include "codec/base/bytes.h"
#include "codec/base/units.h"
#include "codec/json_tick.h"
#include "codec/sbe_tick_read.h"
#include "feed_recorder.h"
#include "random_tick.h"
#include "src/record/record.h"
#include "src/record/record_input.h"
#include "src/record/record_output.h"

#define NOW_NS UINT64_C(1732078800000000000)
#define FILES_MAX 64

/* A recorder without its thread: the test has the time. */
struct fixture {
    struct process_counters counters;
    struct record_queue queue;
    struct record_input input;
    struct record_output output;
    char path[64];
    char error[512];
    uint64_t now_ns;
};

static void make_directory(char path[64])
{
    strcpy(path, "/tmp/test_record.XXXXXX");
    assert_non_null(mkdtemp(path));
}

static struct fixture *begin(uint64_t ring_bytes, uint64_t file_bytes_max)
{
    struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, sizeof *fixture);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    make_directory(fixture->path);
    struct record_queue *queue = &fixture->queue;
    queue->counters = &fixture->counters;
    queue->wake_fd = -1;
    queue->channels = calloc(RECORD_QUEUE_CHANNELS_MAX, sizeof *queue->channels);
    assert_int_equal(record_ring_create(&queue->ring, ring_bytes), 0);
    assert_int_equal(record_input_create(&fixture->input, queue), 0);
    struct record_output *output = &fixture->output;
    *output = (struct record_output){.queue = queue,
                                     .path = fixture->path,
                                     .epoch = 77,
                                     .file_bytes_max = file_bytes_max,
                                     .file_ns_max = 3600 * NS_PER_SECOND,
                                     .file = {.fd = -1}};
    assert_int_equal(record_directory_open(&output->directory, fixture->path, fixture->error,
                                           sizeof fixture->error),
                     0);
    assert_int_equal(record_directory_lock(&output->directory, fixture->path, fixture->error,
                                           sizeof fixture->error),
                     0);
    assert_int_equal(record_file_create(&output->file, output->directory.fd), 0);
    fixture->now_ns = NS_PER_SECOND;
    record_input_define(&fixture->input, 3, "MINE", 4, MD_TRADE);
    record_input_define(&fixture->input, 65535, "B\"\xc3\xa4", 4, MD_TRADE);
    return fixture;
}

/* The files of a recording, in the order of their names. */
static uint32_t list(const char *path, char names[FILES_MAX][64])
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    uint32_t kept = 0;
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            assert_true(kept < FILES_MAX);
            snprintf(names[kept++], 64, "%s", entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    return kept;
}

static void remove_all(const char *path)
{
    char names[FILES_MAX][64];
    char name[160];
    uint32_t count = list(path, names);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        unlink(name);
    }
    rmdir(path);
}

static void finish(struct fixture *fixture)
{
    record_output_end(&fixture->output);
    record_file_destroy(&fixture->output.file);
    record_directory_close(&fixture->output.directory);
    record_input_destroy(&fixture->input);
    record_ring_destroy(&fixture->queue.ring);
    free(fixture->queue.channels);
    remove_all(fixture->path);
    free(fixture);
}

static struct md_update trade(uint32_t channel, uint64_t number)
{
    return (struct md_update){.type = MD_TRADE,
                              .channel = channel,
                              .ts_event_ns = NOW_NS + number,
                              .ts_recv_ns = NOW_NS + number * NS_PER_MS,
                              .trade = {.price = {(int64_t)number, -2},
                                        .size = {100, 0},
                                        .has_id = true,
                                        .id = number * UINT64_C(0x9e3779b97f4a7c15)}};
}

static void put(struct fixture *fixture, uint32_t channel, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct md_update update = trade(channel, first + i);
        record_input_tick(&fixture->input, &update);
    }
}

static void turn(struct fixture *fixture)
{
    fixture->now_ns += NS_PER_SECOND;
    while (record_output_turn(&fixture->output, fixture->now_ns)) {
    }
    record_output_turn(&fixture->output, fixture->now_ns);
}

/* Plays a file or directory back at full speed. */
static struct feed *play(struct recorder *recorder, const char *path)
{
    char spec[160];
    struct feed *feed = NULL;
    snprintf(spec, sizeof spec, "replay:path=%s,speed=0", path);
    if (feed_open(&feed, spec, &recorder->sink, NOW_NS, recorder->error) < 0) {
        fail_msg("%s", recorder->error);
    }
    recorder_run(feed, NOW_NS, NOW_NS);
    return feed;
}

static void end_play(struct recorder *recorder, struct feed *feed)
{
    feed->ops->close(feed);
    recorder_destroy(recorder);
}

/* ---- The ring ---- */

static void messages_keep_their_order_through_the_ring(void **state)
{
    (void)state;
    struct record_ring ring;
    uint64_t written = 0;
    uint64_t read = 0;
    uint64_t refused = 0;
    assert_int_equal(record_ring_create(&ring, 4096), 0);
    for (int i = 0; i < 100000; i++) {
        uint8_t message[1500];
        uint32_t bytes = 8 + (uint32_t)below(sizeof message - 12);
        bytes_store_le32(message, bytes);
        memset(message + 4, 0, bytes);
        memcpy(message + 4, &written, sizeof written);
        if (record_ring_put(&ring, message, 4 + bytes)) {
            written++;
        } else {
            refused++;
        }
        for (uint64_t reads = below(3); reads > 0; reads--) {
            size_t taken;
            const uint8_t *at = record_ring_next(&ring, &taken);
            if (at == NULL) {
                break;
            }
            assert_memory_equal(at + 4, &read, sizeof read);
            record_ring_pop(&ring, taken);
            read++;
        }
        assert_true(record_ring_used(&ring) <= 4096);
    }
    assert_true(read > 50000);
    assert_true(refused > 0);
    record_ring_destroy(&ring);
}

/* ---- To the digit ---- */

static size_t json_of(uint8_t *out, size_t out_bytes, const struct md_update *update)
{
    struct json_tick_head head;
    struct md_update plain = *update;
    plain.pad_bytes = 0;
    plain.ts_recv_ns = 0;
    json_tick_head_init(&head, update->type, "S", 1, 1);
    return json_tick_encode(out, out_bytes, &head, &plain, 1, 1);
}

static void what_is_exact_has_the_same_json_again(void **state)
{
    (void)state;
    static uint8_t payload[65536], before[65536], after[65536];
    static struct md_level read_levels[2 * LEVELS];
    static char texts[1024];
    struct sbe_tick_room room = {read_levels, 2 * LEVELS, texts, sizeof texts};
    uint32_t exact_count = 0;
    for (int i = 0; i < 50000; i++) {
        struct md_update update = random_update((enum md_type)below(MD_TYPE_COUNT));
        if (update.type == MD_STATUS && update.status.state == NULL) {
            continue; /* No feed delivers that. */
        }
        struct sbe_tick tick;
        size_t bytes = sbe_tick_encode(payload, sizeof payload, 1, &update, 1, 1);
        if (bytes == 0 || !sbe_tick_is_exact(&update)) {
            continue;
        }
        exact_count++;
        assert_true(sbe_tick_read(&tick, &room, payload, bytes));
        size_t before_bytes = json_of(before, sizeof before, &update);
        assert_int_equal(json_of(after, sizeof after, &tick.update), before_bytes);
        assert_memory_equal(after, before, before_bytes);
    }
    assert_true(exact_count > 5000);
}

static void digits_that_sbe_would_change_are_recorded_as_json(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    struct md_level bids[] = {{{1230, -2}, {5, 0}}, {{12345, -3}, {10, -1}}};
    struct md_update update = {.type = MD_DEPTH,
                               .channel = 9,
                               .ts_recv_ns = NOW_NS,
                               .depth = {.action = MD_SNAPSHOT, .bids = bids, .bid_count = 2}};
    uint8_t text[512], again[512];
    assert_false(sbe_tick_is_exact(&update));
    record_input_define(&fixture->input, 9, "DEEP", 4, MD_DEPTH);
    record_input_tick(&fixture->input, &update);
    record_output_end(&fixture->output);
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->tick_count, 1);
    assert_string_equal(recorder_symbol(recorder, 0), "DEEP");
    struct md_update read = recorder_tick(recorder, 0)->update;
    read.depth.bids = recorder_tick(recorder, 0)->bids;
    read.depth.asks = recorder_tick(recorder, 0)->asks;
    size_t bytes = json_of(text, sizeof text, &update);
    assert_int_equal(json_of(again, sizeof again, &read), bytes);
    assert_memory_equal(again, text, bytes);
    assert_int_equal(counter_get(&fixture->counters.record_ticks), 1);
    end_play(recorder, feed);
    finish(fixture);
}

/* ---- What is missing ---- */

static void a_full_ring_leaves_ticks_out_with_a_gap_in_their_place(void **state)
{
    (void)state;
    struct fixture *fixture = begin(16 * KIB, MIB);
    struct recorder *recorder = recorder_create();
    put(fixture, 3, 1, 1000);
    uint64_t missing = counter_get(&fixture->counters.record_full);
    assert_true(missing > 700 && missing < 900);
    put(fixture, 65535, 1001, 1);
    assert_int_equal(counter_get(&fixture->counters.record_full), missing + 1);
    turn(fixture);
    put(fixture, 3, 2000, 2);
    record_output_end(&fixture->output);
    assert_int_equal(counter_get(&fixture->counters.record_ticks), 1000 - missing + 2);

    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->tick_count, 1000 - missing + 2);
    assert_int_equal(recorder->lost_count, 2);
    assert_string_equal(recorder->channels[recorder->lost_channel].symbol, "B\"\xc3\xa4");
    assert_int_equal(feed->counters.holes, 1);
    assert_true(recorder_has_log(recorder, "ticks are missing: the recorder could not write them"));
    assert_int_equal(recorder_tick(recorder, 1000 - missing)->update.trade.price.mantissa, 2000);
    end_play(recorder, feed);
    finish(fixture);
}

/* As many GAPs as there are channels would delay the publisher. */
static void gaps_of_many_channels_are_written_by_several_calls(void **state)
{
    (void)state;
    struct fixture *fixture = begin(32 * MIB, 64 * MIB);
    struct recorder *recorder = recorder_create();
    for (uint32_t channel = 10; channel < 20010; channel++) {
        char symbol[MD_SYMBOL_BYTES_MAX];
        int bytes = snprintf(symbol, sizeof symbol, "S%u", channel);
        record_input_define(&fixture->input, channel, symbol, (size_t)bytes, MD_TRADE);
    }
    fixture->queue.is_stopped = true;
    for (uint32_t channel = 10; channel < 20010; channel++) {
        put(fixture, channel, 1, 1);
    }
    fixture->queue.is_stopped = false;
    uint64_t used = 0;
    uint32_t calls = 0;
    while (fixture->input.is_leaving_out) {
        put(fixture, 3, ++calls, 1);
        uint64_t before = used;
        used = record_ring_used(&fixture->queue.ring);
        assert_true(used - before < 32 * KIB);
    }
    assert_true(calls > 20 && calls < 200);
    record_output_end(&fixture->output);
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->lost_count, 20000 + calls - 1);
    assert_int_equal(recorder->tick_count, 1);
    end_play(recorder, feed);
    finish(fixture);
}

static void a_loss_of_the_feed_is_in_its_place(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    put(fixture, 3, 1, 2);
    record_input_lose(&fixture->input, 3);
    put(fixture, 3, 3, 1);
    record_output_end(&fixture->output);
    recorder->room = 2; /* for each poll: the loss comes with the third tick */
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->tick_count, 3);
    assert_int_equal(recorder->lost_count, 1);
    assert_int_equal(feed->counters.holes, 0);
    end_play(recorder, feed);
    finish(fixture);
}

/* ---- Files ---- */

static void files_rotate_by_size_and_each_stands_alone(void **state)
{
    (void)state;
    struct fixture *fixture = begin(4 * MIB, RECORD_FILE_BYTES_MIN);
    struct recorder *recorder = recorder_create();
    char names[FILES_MAX][64];
    char path[160];
    for (uint64_t i = 0; i < 20; i++) {
        put(fixture, i % 2 == 0 ? 3 : 65535, 1 + 1000 * i, 1000);
        turn(fixture);
    }
    record_output_end(&fixture->output);
    uint32_t count = list(fixture->path, names);
    assert_true(count >= 3);
    assert_int_equal(counter_get(&fixture->counters.record_files), count);
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(feed->counters.ticks, 20000);
    assert_int_equal(feed->counters.holes, 0);
    assert_int_equal(recorder->lost_count, 0);
    for (uint64_t i = 0; i < RECORDER_TICKS_MAX; i++) {
        assert_int_equal(recorder_tick(recorder, i)->update.trade.price.mantissa, 1 + i);
    }
    end_play(recorder, feed);

    recorder = recorder_create();
    snprintf(path, sizeof path, "%s/%s", fixture->path, names[1]);
    feed = play(recorder, path);
    assert_true(feed->counters.ticks > 100);
    assert_int_equal(feed->counters.malformed + feed->counters.holes, 0);
    end_play(recorder, feed);

    recorder = recorder_create();
    unlink(path);
    feed = play(recorder, fixture->path);
    assert_int_equal(feed->counters.holes, 1);
    assert_true(recorder_has_log(recorder, "does not continue the file before it"));
    assert_true(recorder->lost_count > 0);
    end_play(recorder, feed);
    finish(fixture);
}

static void a_file_ends_after_its_time(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    char names[FILES_MAX][64];
    put(fixture, 3, 1, 1);
    turn(fixture);
    assert_true(fixture->output.file.fd >= 0);
    fixture->now_ns += 3600 * NS_PER_SECOND;
    turn(fixture);
    assert_true(fixture->output.file.fd < 0);
    put(fixture, 3, 2, 1);
    turn(fixture);
    assert_int_equal(list(fixture->path, names), 2);
    finish(fixture);
}

static void names_grow_when_the_clock_is_set_back(void **state)
{
    (void)state;
    struct record_directory directory = {.fd = -1};
    char one[RECORD_DIRECTORY_NAME_BYTES_MAX];
    char other[RECORD_DIRECTORY_NAME_BYTES_MAX];
    record_directory_name(&directory, NOW_NS, one);
    assert_string_equal(one, "ringcast-20241120T050000.000Z.sbe.zst");
    record_directory_name(&directory, NOW_NS - 3600 * NS_PER_SECOND, other);
    assert_string_equal(other, "ringcast-20241120T050000.001Z.sbe.zst");
}

static void names_grow_beyond_those_that_are_there(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct record_directory directory = {.fd = -1};
    char name[RECORD_DIRECTORY_NAME_BYTES_MAX];
    char path[160];
    put(fixture, 3, 1, 1);
    snprintf(path, sizeof path, "%s/ringcast-20991231T235959.999Z.sbe.zst", fixture->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(
        record_directory_open(&directory, fixture->path, fixture->error, sizeof fixture->error), 0);
    assert_int_equal(
        record_directory_lock(&directory, fixture->path, fixture->error, sizeof fixture->error),
        -EBUSY);
    assert_non_null(strstr(fixture->error, "another server records there"));
    record_directory_close(&fixture->output.directory);
    assert_int_equal(
        record_directory_lock(&directory, fixture->path, fixture->error, sizeof fixture->error), 0);
    record_directory_name(&directory, NOW_NS, name);
    assert_string_equal(name, "ringcast-21000101T000000.000Z.sbe.zst");
    fixture->output.directory = directory;
    fixture->output.file.directory_fd = directory.fd;
    finish(fixture);
}

/* The bytes of the only file. */
static size_t slurp(const struct fixture *fixture, char path[160], uint8_t *out, size_t out_bytes)
{
    char names[FILES_MAX][64];
    assert_int_equal(list(fixture->path, names), 1);
    snprintf(path, 160, "%s/%s", fixture->path, names[0]);
    int fd = open(path, O_RDWR);
    ssize_t bytes = read(fd, out, out_bytes);
    close(fd);
    assert_true(bytes > 0);
    return (size_t)bytes;
}

static void what_was_flushed_of_a_file_without_end_is_replayed(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    static uint8_t bytes[65536];
    char path[160];
    put(fixture, 3, 1, 500);
    turn(fixture);
    turn(fixture); /* A second later it is flushed. */
    size_t flushed = slurp(fixture, path, bytes, sizeof bytes);
    put(fixture, 3, 501, 500);
    turn(fixture);
    assert_int_equal(truncate(path, (off_t)flushed + 10), 0); /* as kill -9 leaves it */
    struct feed *feed = play(recorder, path);
    assert_int_equal(recorder->tick_count, 500);
    assert_int_equal(feed->counters.malformed, 0);
    assert_true(recorder_has_log(recorder, "ends in the middle of a block"));
    end_play(recorder, feed);
    finish(fixture);
}

static void a_corrupt_file_ends_the_replay_with_its_name_and_place(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    static uint8_t bytes[65536];
    char path[160];
    put(fixture, 3, 1, 500);
    turn(fixture);
    turn(fixture);
    put(fixture, 3, 501, 500);
    record_output_end(&fixture->output);
    size_t count = slurp(fixture, path, bytes, sizeof bytes);
    memset(bytes + count - 12, 0xa5, 12);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, bytes, count), count);
    close(fd);
    struct feed *feed = play(recorder, path);
    assert_true(recorder->tick_count >= 500);
    assert_true(recorder_has_log(recorder, "is corrupt: at byte "));
    assert_true(recorder_has_log(recorder, path));
    end_play(recorder, feed);
    finish(fixture);
}

static void a_fifo_among_the_files_of_a_directory_ends_the_replay(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    char path[160];
    put(fixture, 3, 1, 10);
    record_output_end(&fixture->output);
    snprintf(path, sizeof path, "%s/ringcast-z.sbe.zst", fixture->path);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->tick_count, 10);
    assert_true(recorder_has_log(recorder, "ringcast-z.sbe.zst: it is not a regular file"));
    end_play(recorder, feed);
    finish(fixture);
}

static void recordings_that_cannot_be_read_are_refused_at_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        const char *fault;
    } cases[] = {
        {"{\"type\":\"RECORDING\",\"data\":{\"version\":2,\"epoch\":\"0123456789abcdef\","
         "\"after\":0}}",
         "a later version of ringcast wrote it"},
        {"{\"type\":\"HELLO\",\"data\":{}}", "it does not begin with a RECORDING"},
        {"{\"type\":\"RECORDING\",\"data\":{\"version\":1,\"epoch\":\"0123\",\"after\":0}}",
         "no epoch of 16 digits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[] = "/tmp/test_record.XXXXXX";
        char spec[96];
        struct recorder *recorder = recorder_create();
        struct feed *feed;
        uint32_t bytes = (uint32_t)strlen(cases[i].message);
        int fd = mkstemp(path);
        assert_int_equal(write(fd, &bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(write(fd, cases[i].message, bytes), bytes);
        close(fd);
        snprintf(spec, sizeof spec, "replay:path=%s", path);
        assert_int_equal(feed_open(&feed, spec, &recorder->sink, NOW_NS, recorder->error), -EINVAL);
        if (strstr(recorder->error, cases[i].fault) == NULL) {
            fail_msg("%s", recorder->error);
        }
        unlink(path);
        recorder_destroy(recorder);
    }
}

/* ---- Pace and loops ---- */

static void the_pace_is_that_of_receiving(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    struct feed *feed;
    char spec[160];
    put(fixture, 3, 1, 1001); /* a millisecond apart */
    record_output_end(&fixture->output);
    snprintf(spec, sizeof spec, "replay:path=%s,loop=yes", fixture->path);
    assert_int_equal(feed_open(&feed, spec, &recorder->sink, NOW_NS, recorder->error), 0);
    recorder_run(feed, NOW_NS, NOW_NS + NS_PER_SECOND / 2);
    assert_int_equal(recorder->tick_count, 501);
    recorder_run(feed, NOW_NS + NS_PER_SECOND / 2, NOW_NS + 3 * NS_PER_SECOND / 2);
    assert_true(recorder->tick_count > 1490 && recorder->tick_count < 1510);
    assert_int_equal(feed->counters.passes, 1);
    assert_int_equal(feed->counters.holes, 0);
    end_play(recorder, feed);
    finish(fixture);
}

/* ---- Errors ---- */

static void a_directory_that_is_gone_stops_recording_until_there_is_another(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    struct recorder *recorder = recorder_create();
    remove_all(fixture->path);
    put(fixture, 3, 1, 10);
    turn(fixture);
    assert_true(fixture->queue.is_stopped);
    assert_int_equal(counter_get(&fixture->counters.record_active), 0);
    assert_int_equal(counter_get(&fixture->counters.record_cut), 10);
    put(fixture, 3, 11, 10);
    turn(fixture);
    assert_int_equal(counter_get(&fixture->counters.record_stopped), 10);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    fixture->now_ns += 5 * NS_PER_SECOND;
    turn(fixture);
    assert_false(fixture->queue.is_stopped);
    assert_int_equal(counter_get(&fixture->counters.record_active), 1);
    put(fixture, 3, 21, 10);
    turn(fixture);
    record_output_end(&fixture->output);
    struct feed *feed = play(recorder, fixture->path);
    assert_int_equal(recorder->tick_count, 10);
    assert_int_equal(recorder->lost_count, 1);
    assert_int_equal(recorder_tick(recorder, 0)->update.trade.price.mantissa, 21);
    end_play(recorder, feed);
    finish(fixture);
}

static void a_file_that_is_deleted_while_it_is_written_is_noticed(void **state)
{
    (void)state;
    struct fixture *fixture = begin(MIB, MIB);
    char names[FILES_MAX][64];
    put(fixture, 3, 1, 10);
    turn(fixture);
    turn(fixture);
    assert_int_equal(list(fixture->path, names), 1);
    remove_all(fixture->path);
    put(fixture, 3, 11, 10);
    turn(fixture);
    assert_true(fixture->queue.is_stopped);
    assert_int_equal(counter_get(&fixture->counters.record_ticks), 10);
    assert_int_equal(counter_get(&fixture->counters.record_cut), 10);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    finish(fixture);
}

static void directories_that_cannot_be_used_are_refused(void **state)
{
    (void)state;
    struct record *record = NULL;
    struct process_counters counters = {0};
    char error[512];
    struct record_options options = {.path = "/nowhere/at/all",
                                     .file_bytes_max = MIB,
                                     .file_ns_max = NS_PER_SECOND,
                                     .ring_bytes = 64 * KIB,
                                     .counters = &counters};
    assert_int_equal(record_create(&record, &options, error, sizeof error), -ENOENT);
    assert_string_equal(error, "--record: /nowhere/at/all: No such file or directory; create the "
                               "directory (mkdir -p)");
    options.path = "/dev/null";
    assert_int_equal(record_create(&record, &options, error, sizeof error), -ENOTDIR);
    assert_non_null(strstr(error, "give a directory"));
    assert_null(record);
}

/* ---- With its thread ---- */

static void the_thread_records_all_that_is_put(void **state)
{
    (void)state;
    struct record *record;
    struct process_counters counters = {0};
    char path[64];
    char error[512];
    make_directory(path);
    struct record_options options = {.path = path,
                                     .file_bytes_max = MIB,
                                     .file_ns_max = 3600 * NS_PER_SECOND,
                                     .ring_bytes = MIB,
                                     .counters = &counters};
    assert_int_equal(record_create(&record, &options, error, sizeof error), 0);
    assert_int_equal(record_start(record, NULL, error, sizeof error), 0);
    record_define(record, 5, "MINE", 4, MD_TRADE);
    for (uint64_t i = 1; i <= 50000; i++) {
        struct md_update update = trade(5, i);
        record_tick(record, &update);
    }
    assert_true(record_stop(record));
    uint64_t recorded = counter_get(&counters.record_ticks);
    assert_int_equal(recorded + counter_get(&counters.record_full), 50000);
    assert_true(recorded > 10000);
    assert_int_equal(counter_get(&counters.record_cut), 0);
    record_destroy(record);
    struct recorder *recorder = recorder_create();
    struct feed *feed = play(recorder, path);
    assert_int_equal(feed->counters.ticks, recorded);
    end_play(recorder, feed);
    remove_all(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_keep_their_order_through_the_ring),
        cmocka_unit_test(what_is_exact_has_the_same_json_again),
        cmocka_unit_test(digits_that_sbe_would_change_are_recorded_as_json),
        cmocka_unit_test(a_full_ring_leaves_ticks_out_with_a_gap_in_their_place),
        cmocka_unit_test(gaps_of_many_channels_are_written_by_several_calls),
        cmocka_unit_test(a_loss_of_the_feed_is_in_its_place),
        cmocka_unit_test(files_rotate_by_size_and_each_stands_alone),
        cmocka_unit_test(a_file_ends_after_its_time),
        cmocka_unit_test(names_grow_when_the_clock_is_set_back),
        cmocka_unit_test(names_grow_beyond_those_that_are_there),
        cmocka_unit_test(what_was_flushed_of_a_file_without_end_is_replayed),
        cmocka_unit_test(a_corrupt_file_ends_the_replay_with_its_name_and_place),
        cmocka_unit_test(a_fifo_among_the_files_of_a_directory_ends_the_replay),
        cmocka_unit_test(recordings_that_cannot_be_read_are_refused_at_the_start),
        cmocka_unit_test(the_pace_is_that_of_receiving),
        cmocka_unit_test(a_directory_that_is_gone_stops_recording_until_there_is_another),
        cmocka_unit_test(a_file_that_is_deleted_while_it_is_written_is_noticed),
        cmocka_unit_test(directories_that_cannot_be_used_are_refused),
        cmocka_unit_test(the_thread_records_all_that_is_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
