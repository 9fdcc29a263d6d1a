/*
 * A log is followed by processes that know its file only, while the writer laps them.
 *
 * Run  test_board_follower [FRAMES]     (10 million by default in ./test full)
 *
 * Which channel a frame is of depends on its index alone, and each of its bytes on channel and seq.
 * So a reader proves every frame, and what it says about any channel at any index.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "ring/board/frame_log.h"
#include "tests/log_follower.h"

#define LOG_BYTES (1 * MIB)
#define FRAME_BYTES_MAX (16 * KIB)
#define FRAMES_PER_STOP 300 /* for each of so many wanted frames the writer is stopped once */
#define BATCH 16            /* frames between two times that the head is published */
#define FRAMES_QUICK UINT64_C(300000)
#define FRAMES_FULL UINT64_C(10000000)
#define READERS_MAX 5
#define SAVING_LAPS 12 /* in which each channel's image is saved twice */
#define SECONDS_MAX 60 /* for a reader to get on */
#define STOPS 20

/* ---- What is written ---- */

#define HOT 48   /* channels with most of the frames */
#define IMAGES 8 /* channels of full images, each silent for more than a lap */
#define ONCE 8   /* channels that are silent after their first frame */
#define CHANNELS (HOT + IMAGES + ONCE)
#define IMAGE_EVERY 2000 /* frames */
#define PERIOD (IMAGES * IMAGE_EVERY)

static uint64_t frames_wanted = FRAMES_QUICK;

static bool is_image(uint32_t channel)
{
    return channel >= HOT && channel < HOT + IMAGES;
}

static uint32_t channel_of(uint64_t index)
{
    uint64_t place = index % PERIOD;
    if (place % IMAGE_EVERY == 0) {
        return HOT + (uint32_t)(place / IMAGE_EVERY);
    }
    if (index < PERIOD && place % IMAGE_EVERY == 1) {
        return HOT + IMAGES + (uint32_t)(place / IMAGE_EVERY);
    }
    return (uint32_t)(place * place % 1021 % HOT); /* Some come often, some rarely. */
}

/* The seq of a channel's newest frame before an index. */
static uint64_t seq_before(uint32_t channel, uint64_t index)
{
    static uint16_t counts[2][PERIOD + 1][CHANNELS]; /* of the first period, and of the others */
    static bool is_counted;
    for (int period = 0; period < 2 && !is_counted; period++) {
        for (uint64_t place = 0; place < PERIOD; place++) {
            memcpy(counts[period][place + 1], counts[period][place], sizeof counts[0][0]);
            counts[period][place + 1][channel_of((uint64_t)period * PERIOD + place)]++;
        }
    }
    is_counted = true;
    uint64_t periods = index / PERIOD;
    return periods == 0 ? counts[0][index][channel]
                        : counts[0][PERIOD][channel] + (periods - 1) * counts[1][PERIOD][channel] +
                              counts[1][index % PERIOD][channel];
}

/* Which frame it is, as the first of the words that its bytes are. */
static uint64_t word_of(uint32_t channel, uint64_t seq)
{
    return (((uint64_t)channel << 48) + seq + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t frame_bytes_of(uint32_t channel, uint64_t seq)
{
    uint32_t most = is_image(channel) ? FRAME_BYTES_MAX : 500;
    return 20 + (uint32_t)((word_of(channel, seq) >> 32) % (most - 20));
}

static uint64_t hash_of(uint32_t channel, uint64_t seq)
{
    return word_of(channel, seq) ^ 1;
}

static void append(struct frame_log *log)
{
    uint32_t channel = channel_of(log->write_index);
    uint64_t seq = frame_log_next_seq(log, channel);
    uint32_t frame_bytes = frame_bytes_of(channel, seq);
    uint64_t word = word_of(channel, seq);
    uint8_t *frame = frame_log_reserve(log);
    for (uint32_t at = 0; at < frame_bytes; at += 8) {
        uint32_t piece = frame_bytes - at < 8 ? frame_bytes - at : 8;
        memcpy(frame + at, &word, piece);
        word += UINT64_C(0xd1342543de82ef95);
    }
    frame_log_set_hash(log, channel, hash_of(channel, seq));
    frame_log_commit(log, channel, (uint8_t)(channel % 5), is_image(channel) ? FRAME_FULL_IMAGE : 0,
                     frame_bytes, seq * 1000);
    if (log->write_index % BATCH == 0) {
        frame_log_publish(log);
    }
}

/* Whether a frame is that which its descriptor says. */
static bool is_proven(const struct log_follower_event *event)
{
    uint64_t word = word_of(event->channel, event->seq);
    if (event->frame_bytes != frame_bytes_of(event->channel, event->seq)) {
        return false;
    }
    for (uint32_t at = 0; at < event->frame_bytes; at += 8) {
        uint32_t piece = event->frame_bytes - at < 8 ? event->frame_bytes - at : 8;
        if (memcmp(event->frame + at, &word, piece) != 0) {
            return false;
        }
        word += UINT64_C(0xd1342543de82ef95);
    }
    return true;
}

/* ---- A reader: a process ---- */

struct plan {
    const char *name;
    bool is_unchecked;
    bool is_to_keep_old;
    bool asks_for_images;    /* instead of frames */
    uint32_t sleeps_every;   /* frames; 0: never */
    uint32_t restarts_every; /* likewise */
    uint32_t stops_every;    /* within the reading of a frame or image */
};

/* What a reader has to say, in memory that it shares with the writer. */
struct reader {
    const struct plan *plan;
    pid_t pid;
    _Atomic bool is_ready;
    uint64_t first[CHANNELS]; /* seq before the start */
    uint64_t taken[CHANNELS];
    uint64_t told[CHANNELS];      /* lost */
    uint64_t image_seq[CHANNELS]; /* of the newest image */
    uint64_t look_count;
    _Atomic uint64_t taken_count; /* frames or images */
    _Atomic uint64_t lap_count;
    _Atomic uint64_t caught_count; /* torn frames that it did not take */
    _Atomic uint64_t torn_count;   /* torn ones that it took */
    _Atomic uint64_t older_count;  /* images older than the one before */
    _Atomic uint64_t fault_count;  /* what cannot be */
};

struct world {
    _Atomic bool is_over; /* All frames are published. */
    struct reader readers[READERS_MAX];
    uint32_t reader_count;
    struct frame_log *log;
    int fd; /* read-only */
};

static void nap(void)
{
    const struct timespec while_it_sleeps = {.tv_nsec = 1000 * 1000};
    nanosleep(&while_it_sleeps, NULL);
}

static void reader_start(struct reader *reader, struct log_follower *follower)
{
    log_follower_start(follower);
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        reader->first[channel] = follower->next_seq[channel] - 1;
        reader->taken[channel] = 0;
        reader->told[channel] = 0;
        reader->fault_count += reader->first[channel] != seq_before(channel, follower->index);
    }
}

/* Whether what was handed out is what it should be, from its first look to its last. */
static bool reader_proves(struct reader *reader, const struct log_follower_event *event)
{
    bool is_whole = is_proven(event);
    uint32_t stops_every = reader->plan->stops_every;
    if (stops_every > 0 && ++reader->look_count % stops_every == 0) {
        raise(SIGSTOP);
        is_whole = is_whole && is_proven(event);
    }
    return is_whole;
}

static void reader_take(struct reader *reader, struct log_follower *follower,
                        const struct log_follower_event *event)
{
    uint64_t index = follower->index;
    bool is_whole = reader_proves(reader, event);
    if (!log_follower_done(follower)) {
        reader->caught_count++;
        return;
    }
    reader->taken[event->channel]++;
    reader->taken_count++;
    reader->torn_count += !is_whole;
    reader->fault_count += event->channel != channel_of(index) ||
                           event->seq != seq_before(event->channel, index) + 1 ||
                           event->hash != hash_of(event->channel, event->seq) ||
                           event->ts_pub_ns != event->seq * 1000 ||
                           event->group != event->channel % 5 ||
                           event->flags != (is_image(event->channel) ? FRAME_FULL_IMAGE : 0);
    const struct plan *plan = reader->plan;
    if (plan->sleeps_every > 0 && reader->taken_count % plan->sleeps_every == 0) {
        nap();
    }
    if (plan->restarts_every > 0 && reader->taken_count % plan->restarts_every == 0) {
        reader_start(reader, follower);
    }
}

/* All that there is. */
static void reader_read(struct reader *reader, struct log_follower *follower)
{
    struct log_follower_event event;
    do {
        log_follower_next(follower, &event);
        switch (event.kind) {
        case LOG_FOLLOWER_NOTHING:
            break;
        case LOG_FOLLOWER_FRAME:
            reader_take(reader, follower, &event);
            break;
        case LOG_FOLLOWER_GAP:
            reader->told[event.channel] += event.last_seq - event.seq + 1;
            reader->fault_count += event.last_seq < event.seq;
            break;
        case LOG_FOLLOWER_LAPPED:
            reader->lap_count++;
            break;
        case LOG_FOLLOWER_OLD:
        case LOG_FOLLOWER_FAULT:
            reader->fault_count++;
            break;
        }
    } while (event.kind != LOG_FOLLOWER_NOTHING);
}

/* What is said of each channel at the reader's index. Nothing is written meanwhile; the record of
 * the newest frame may be due. */
static void reader_check(struct reader *reader, const struct log_follower *follower)
{
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint64_t seq, index = follower->index;
        bool is_known = log_follower_newest_seq(follower, channel, &seq);
        reader->fault_count += !is_known || (seq != seq_before(channel, index) &&
                                             seq != seq_before(channel, index - 1));
    }
}

static void reader_follow(struct world *world, struct reader *reader, struct log_follower *follower)
{
    bool is_over;
    reader_start(reader, follower);
    reader->is_ready = true;
    do {
        is_over = world->is_over;
        reader_read(reader, follower);
        sched_yield();
    } while (!is_over);
}

/* Asks for the image of each channel that has images. */
static void reader_ask(struct reader *reader, struct log_follower *follower)
{
    struct log_follower_event event;
    for (uint32_t channel = HOT; channel < HOT + IMAGES; channel++) {
        if (log_follower_image(follower, channel, &event) < 0) {
            continue;
        }
        bool is_whole =
            follower->is_image_saved ? reader_proves(reader, &event) : is_proven(&event);
        if (!log_follower_image_done(follower)) {
            reader->caught_count++;
            continue;
        }
        reader->taken_count++;
        reader->torn_count += !is_whole;
        reader->older_count += event.seq < reader->image_seq[channel];
        reader->image_seq[channel] = event.seq;
    }
}

static _Noreturn void reader_run(struct world *world, struct reader *reader)
{
    struct log_follower follower;
    struct log_follower_options options = {
        .fd = world->fd,
        .is_unchecked = reader->plan->is_unchecked,
        .is_to_keep_old = reader->plan->is_to_keep_old,
    };
    if (log_follower_open(&follower, &options) < 0) {
        _exit(2);
    }
    if (reader->plan->asks_for_images) {
        reader->is_ready = true;
        while (!world->is_over) {
            reader_ask(reader, &follower);
        }
    } else {
        reader_follow(world, reader, &follower);
    }
    log_follower_close(&follower);
    _exit(0);
}

/* ---- The writer: this process ---- */

/* In the child it returns 0. A test that fails leaves the child behind, perhaps stopped. */
static pid_t make_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static void world_add(struct world *world, const struct plan *plan)
{
    struct reader *reader = &world->readers[world->reader_count++];
    reader->plan = plan;
    pid_t pid = make_child();
    if (pid == 0) {
        reader_run(world, reader);
    }
    reader->pid = pid;
}

/* Returns when all readers have started. */
static struct world *world_open(const struct plan *plans, uint32_t count)
{
    const struct frame_log_options options = {
        .capacity_bytes = LOG_BYTES,
        .frame_bytes_max = FRAME_BYTES_MAX,
        .channel_count_max = CHANNELS,
        .reader_count = 1,
        .is_sealed = true, /* as whatever is handed to other processes */
    };
    struct world *world =
        mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world != MAP_FAILED);
    assert_int_equal(frame_log_create(&world->log, &options), 0);
    world->fd = frame_log_read_only_fd(world->log);
    assert_true(world->fd >= 0);
    for (uint32_t i = 0; i < count; i++) {
        world_add(world, &plans[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        while (!world->readers[i].is_ready) {
            assert_int_equal(waitpid(world->readers[i].pid, NULL, WNOHANG), 0);
            nap();
        }
    }
    return world;
}

/* Stops a process wherever it is. */
static void stop(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void world_append(struct world *world, uint64_t deadline_ns)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        append(world->log);
    }
    assert_true(clock_ns(CLOCK_MONOTONIC) < deadline_ns);
}

/* Overwrites all of the log so often, then lets a reader go on that is stopped. */
static void world_lap(struct world *world, const struct reader *reader, uint32_t laps)
{
    for (uint32_t lap = 0; lap < laps; lap++) {
        uint64_t end = world->log->write_index;
        while (frame_log_tail(world->log) <= end) {
            append(world->log);
        }
    }
    assert_int_equal(kill(reader->pid, SIGCONT), 0);
}

/* Laps a reader at some place where it has got on to. */
static void world_lap_anywhere(struct world *world, const struct reader *reader)
{
    uint64_t goal = reader->taken_count + 100;
    uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + SECONDS_MAX * NS_PER_SECOND;
    while (reader->taken_count < goal) {
        world_append(world, deadline_ns);
    }
    stop(reader->pid);
    world_lap(world, reader, 1);
}

/* Laps a reader that has stopped itself, in the middle of something. */
static void world_lap_within(struct world *world, const struct reader *reader, uint32_t laps)
{
    uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + SECONDS_MAX * NS_PER_SECOND;
    int status = 0;
    while (waitpid(reader->pid, &status, WUNTRACED | WNOHANG) == 0) {
        world_append(world, deadline_ns);
    }
    assert_true(WIFSTOPPED(status));
    world_lap(world, reader, laps);
}

/* Waits for the end of a process. */
static void wait_for(pid_t pid)
{
    int status;
    do {
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        kill(pid, SIGCONT);
    } while (WIFSTOPPED(status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Ends what is written, and waits for all readers. */
static void world_end(struct world *world)
{
    frame_log_publish(world->log);
    world->is_over = true;
    for (uint32_t i = 0; i < world->reader_count; i++) {
        wait_for(world->readers[i].pid);
    }
}

static void world_close(struct world *world)
{
    close(world->fd);
    frame_log_destroy(world->log);
    munmap(world, sizeof *world);
}

static void assert_sums(const struct reader *reader, uint64_t end)
{
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        assert_int_equal(reader->first[channel] + reader->taken[channel] + reader->told[channel],
                         seq_before(channel, end));
    }
    assert_int_equal(reader->fault_count, 0);
}

static void print_reader(const struct reader *reader)
{
    uint64_t told = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        told += reader->told[channel];
    }
    printf("%-26s %9lu taken, %9lu told, %6lu laps, %4lu torn ones caught, %lu taken\n",
           reader->plan->name, reader->taken_count, told, reader->lap_count, reader->caught_count,
           reader->torn_count);
}

/* ---- Tests ---- */

static void with_the_check_no_frame_is_torn_and_each_loss_is_told(void **state)
{
    (void)state;
    static const struct plan plans[] = {
        {.name = "is stopped within a frame", .is_to_keep_old = true, .stops_every = 10},
        {.name = "is stopped, restarts", .restarts_every = 1000},
        {.name = "reads"},
        {.name = "keeps what is left", .is_to_keep_old = true},
        {.name = "sleeps", .sleeps_every = 100},
    };
    enum { COUNT = sizeof plans / sizeof plans[0] };
    struct world *world = world_open(plans, COUNT);
    uint32_t stop_count = 0;
    while (world->log->write_index < frames_wanted) {
        world_lap_within(world, &world->readers[0], 1);
        world_lap_anywhere(world, &world->readers[1]);
        stop_count++;
    }
    world_end(world);
    printf("%lu frames\n", world->log->write_index);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct reader *reader = &world->readers[i];
        print_reader(reader);
        assert_int_equal(reader->torn_count, 0);
        assert_true(reader->taken_count > 0);
        assert_sums(reader, world->log->write_index);
    }
    assert_true(world->readers[0].caught_count >= stop_count);
    world_close(world);
}

/* One reader that is stopped within what it reads, so often and for so many laps. */
static struct world *world_tear(const struct plan *plan, uint32_t stops, uint32_t laps)
{
    struct world *world = world_open(plan, 1);
    for (uint32_t i = 0; i < stops; i++) {
        world_lap_within(world, &world->readers[0], laps);
    }
    world_end(world);
    print_reader(&world->readers[0]);
    return world;
}

static void without_the_check_frames_are_torn_and_each_loss_is_told(void **state)
{
    (void)state;
    static const struct plan plan = {
        .name = "does not check",
        .is_unchecked = true,
        .stops_every = 20,
    };
    struct world *world = world_tear(&plan, STOPS, 2);
    const struct reader *reader = &world->readers[0];
    assert_true(reader->torn_count >= STOPS);
    assert_sums(reader, world->log->write_index);
    world_close(world);
}

static void an_image_is_whole_and_none_is_older_than_the_one_before(void **state)
{
    (void)state;
    static const struct plan plan = {
        .name = "asks for images",
        .asks_for_images = true,
        .stops_every = 99,
    };
    uint32_t stops = STOPS + (uint32_t)(frames_wanted / 100000);
    struct world *world = world_tear(&plan, stops, SAVING_LAPS);
    const struct reader *reader = &world->readers[0];
    assert_true(world->log->saved_count > stops);
    assert_true(reader->caught_count >= stops);
    assert_int_equal(reader->torn_count, 0);
    assert_int_equal(reader->older_count, 0);
    world_close(world);
}

static void without_the_version_images_are_torn(void **state)
{
    (void)state;
    static const struct plan plan = {
        .name = "does not look at versions",
        .asks_for_images = true,
        .is_unchecked = true,
        .stops_every = 99,
    };
    struct world *world = world_tear(&plan, STOPS, SAVING_LAPS);
    assert_true(world->readers[0].torn_count > STOPS / 2);
    world_close(world);
}

static void what_a_channel_had_at_an_index_is_known_until_that_is_lapped(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, 0);
    struct log_follower_options options = {.fd = world->fd};
    struct log_follower follower;
    assert_int_equal(log_follower_open(&follower, &options), 0);
    for (uint32_t i = 0; i < 200; i++) {
        frame_log_publish(world->log);
        log_follower_start(&follower);
        bool is_lapped = false;
        while (!is_lapped) {
            for (uint32_t j = 0; j < 1 + i * 7; j++) {
                append(world->log);
            }
            is_lapped = frame_log_tail(world->log) > follower.index;
            for (uint32_t channel = 0; channel < CHANNELS; channel++) {
                uint64_t seq;
                bool is_known = log_follower_newest_seq(&follower, channel, &seq);
                assert_true(is_known || is_lapped);
                assert_true(!is_known || seq == seq_before(channel, follower.index));
            }
        }
    }
    log_follower_close(&follower);
    world_close(world);
}

static void wherever_the_writer_stands_what_can_be_read_is_whole(void **state)
{
    (void)state;
    static const struct plan plan = {.name = "reads while nothing moves"};
    struct world *world = world_open(NULL, 0);
    struct log_follower_options options = {.fd = world->fd};
    struct log_follower follower;
    struct reader frames = {.plan = &plan}, images = {.plan = &plan};
    pid_t writer = make_child();
    if (writer == 0) {
        while (!world->is_over) {
            append(world->log);
        }
        frame_log_publish(world->log);
        _exit(0);
    }
    assert_int_equal(log_follower_open(&follower, &options), 0);
    reader_start(&frames, &follower);
    for (uint32_t i = 0; i < frames_wanted / FRAMES_PER_STOP || images.taken_count == 0; i++) {
        const struct timespec while_it_writes = {.tv_nsec = i % 64 * 1000};
        nanosleep(&while_it_writes, NULL);
        stop(writer);
        reader_read(&frames, &follower);
        reader_ask(&images, &follower);
        reader_check(&frames, &follower);
        assert_int_equal(kill(writer, SIGCONT), 0);
    }
    world->is_over = true;
    wait_for(writer);
    reader_read(&frames, &follower);
    print_reader(&frames);
    assert_true(frames.taken_count > 0);
    assert_int_equal(frames.torn_count + frames.caught_count, 0);
    assert_int_equal(images.torn_count + images.caught_count + images.older_count, 0);
    assert_sums(&frames, follower.index);
    log_follower_close(&follower);
    world_close(world);
}

static void what_is_no_log_is_refused(void **state)
{
    (void)state;
    struct log_follower follower;
    struct layout_log header = {0};
    struct log_follower_options options = {.fd = memfd_create("no log", MFD_CLOEXEC)};
    assert_true(options.fd >= 0);
    assert_int_equal(log_follower_open(&follower, &options), -EPROTO);
    assert_int_equal(write(options.fd, &header, sizeof header), sizeof header);
    assert_int_equal(log_follower_open(&follower, &options), -EPROTO);
    close(options.fd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_log_is_refused),
        cmocka_unit_test(what_a_channel_had_at_an_index_is_known_until_that_is_lapped),
        cmocka_unit_test(wherever_the_writer_stands_what_can_be_read_is_whole),
        cmocka_unit_test(with_the_check_no_frame_is_torn_and_each_loss_is_told),
        cmocka_unit_test(without_the_check_frames_are_torn_and_each_loss_is_told),
        cmocka_unit_test(an_image_is_whole_and_none_is_older_than_the_one_before),
        cmocka_unit_test(without_the_version_images_are_torn),
    };
    const char *size = getenv("RINGCAST_TEST_SIZE");
    if (size != NULL && strcmp(size, "quick") != 0) {
        frames_wanted = FRAMES_FULL;
    }
    if (argc > 1) {
        frames_wanted = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
