/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "ring/board/frame_log.h"
#include "tests/frame_log_fixture.h"

/* A race on purpose is no test under ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

#define READS 2000
#define TEAR_NS_MAX (10 * NS_PER_SECOND)

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct frame_log *log = NULL;
    const struct frame_log_options good = {
        .capacity_bytes = LOG_BYTES,
        .frame_bytes_max = 4096,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    struct frame_log_options bad = good;
    bad.capacity_bytes = LOG_BYTES + 1;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.capacity_bytes = LOG_BYTES / 2;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.frame_bytes_max = LOG_BYTES / FRAME_LOG_FRAMES_MIN + 1;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.reader_count = FRAME_LOG_READERS_MAX + 1;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad.reader_count = 0;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.frame_bytes_max = 0;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.is_lazy = true;
    bad.is_sealed = true;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    bad = good;
    bad.channel_count_max = 0;
    assert_int_equal(frame_log_create(&log, &bad), -EINVAL);
    assert_null(log);
}

static void a_frame_is_seen_when_it_is_published_and_not_before(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    append(log, 3, 0, 100);
    assert_int_equal(frame_log_head(log), 0);
    frame_log_publish(log);
    assert_int_equal(frame_log_head(log), 1);
    const struct frame_desc *desc = frame_log_desc(log, 0);
    assert_int_equal(desc->channel, 3);
    assert_int_equal(desc->seq, 1);
    assert_int_equal(desc->frame_bytes, 100);
    assert_int_equal(desc->previous_distance, 0);
    frame_log_destroy(log);
}

static void each_channel_counts_for_itself_and_is_linked_to_its_previous_frame(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    for (uint32_t i = 0; i < 30; i++) {
        append(log, i % 3, 0, 50);
    }
    for (uint64_t index = 3; index < 30; index++) {
        assert_int_equal(frame_log_desc(log, index)->previous_distance, 3);
        assert_int_equal(frame_log_desc(log, index)->seq, index / 3 + 1);
    }
    frame_log_destroy(log);
}

static void frames_lie_side_by_side_also_where_the_ring_wraps(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    for (uint32_t i = 0; i < 5000; i++) {
        append(log, 0, 0, 777);
        const struct frame_desc *desc = frame_log_desc(log, log->write_index - 1);
        const uint8_t *bytes = frame_log_at(log, desc->position);
        for (uint32_t at = 0; at < 777; at += 97) {
            assert_int_equal(bytes[at], fill_of(i));
        }
        assert_int_equal(bytes[776], fill_of(i));
        if (i > 0) {
            assert_int_equal(frame_log_desc(log, i - 1)->position + 777, desc->position);
        }
    }
    frame_log_destroy(log);
}

static void a_frame_at_the_wrap_goes_on_in_the_second_view(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    const struct frame_desc *desc;
    uint64_t start;
    do {
        append(log, 0, 0, 777);
        desc = frame_log_desc(log, log->write_index - 1);
        start = desc->position & log->bytes_mask;
    } while (start + desc->frame_bytes <= LOG_BYTES);
    size_t behind = start + desc->frame_bytes - LOG_BYTES;
    assert_true(behind > 0 && behind < 777);
    assert_memory_equal(log->bytes, log->bytes + LOG_BYTES, behind);
    assert_int_equal(log->bytes[behind - 1], fill_of(log->write_index - 1));
    frame_log_destroy(log);
}

/* S103: retention by bytes. */
static void the_tail_keeps_all_but_one_in_128_bytes_less_a_frame(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    for (uint32_t i = 0; i < 20000; i++) {
        append(log, i % CHANNELS, 0, 100 + i % 900);
        uint64_t tail = frame_log_tail(log);
        uint64_t kept = log->write_position - frame_log_desc(log, tail)->position;
        assert_true(kept <= LOG_BYTES);
        assert_true(tail == 0 ||
                    kept + LOG_BYTES / 128 + 64 * KIB + page_bytes() + 1000 >= LOG_BYTES);
    }
    frame_log_destroy(log);
}

/* How many frames the tail passes at once, at most, while bytes of the log are lapped. */
static uint64_t longest_step(struct frame_log *log, uint32_t frame_bytes)
{
    uint64_t longest = 0;
    uint64_t old_tail = frame_log_tail(log);
    for (uint64_t end = log->write_position + log->capacity_bytes; log->write_position < end;) {
        append(log, 0, 0, frame_bytes);
        uint64_t tail = frame_log_tail(log);
        longest = tail - old_tail > longest ? tail - old_tail : longest;
        old_tail = tail;
    }
    return longest;
}

static void the_tail_moves_in_small_steps_and_smaller_ones_where_images_are_saved(void **state)
{
    (void)state;
    struct frame_log *log;
    struct frame_log_options options = {
        .capacity_bytes = 32 * MIB,
        .frame_bytes_max = 4096,
        .channel_count_max = 100000,
        .reader_count = 1,
    };
    assert_int_equal(frame_log_create(&log, &options), 0);
    longest_step(log, 128);
    assert_in_range(longest_step(log, 128), 500, 1024);
    for (uint32_t channel = 1; channel < 100000; channel++) {
        append(log, channel, FRAME_FULL_IMAGE, 128);
    }
    assert_int_equal(log->saved_count, 0);
    const uint64_t step_max = 2 * page_bytes() / 128;
    uint64_t steps_of_images = 0;
    while (log->saved_count < 99999) {
        uint64_t saved_count = log->saved_count;
        append(log, 0, 0, 128);
        uint64_t step = log->saved_count - saved_count;
        assert_in_range(step, 0, step_max); /* The frames of a page go together. */
        steps_of_images += step > 0;
    }
    assert_true(steps_of_images > 99999 / step_max);
    assert_int_equal(log->images_unsaved_count, 0);
    frame_log_destroy(log);
}

static void small_frames_lap_by_descriptors(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    uint64_t descs = log->desc_mask + 1;
    for (uint64_t i = 0; i < 3 * descs; i++) {
        append(log, 0, 0, 20);
        assert_true(log->write_index - frame_log_tail(log) <= descs);
    }
    frame_log_destroy(log);
}

static void the_tail_never_passes_what_readers_see(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    for (uint32_t i = 0; i < 5000; i++) {
        append(log, 0, 0, FRAME_BYTES);
        assert_true(frame_log_tail(log) <= frame_log_head(log));
    }
    assert_true(frame_log_tail(log) > 0);
    frame_log_destroy(log);
}

static void a_channels_frames_are_linked_as_far_as_the_log_reaches(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    uint64_t frames_max = frame_log_frames_max(log);
    for (uint64_t distance = 1; distance <= frames_max + 1; distance = distance * 3 / 2 + 1) {
        append(log, 1, 0, 50);
        while (log->write_index < frame_log_last_plus_1(log, 1) - 1 + distance) {
            append(log, 0, 0, 50);
        }
        append(log, 1, 0, 50);
        assert_int_equal(frame_log_desc(log, log->write_index - 1)->previous_distance, distance);
    }
    frame_log_destroy(log);
}

static void a_pin_behind_the_tail_fails_and_leaves_the_older_one(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    append_until_tail(log, 0, 10);
    uint64_t tail = frame_log_tail(log);
    assert_false(frame_log_pin(log, 0, tail - 1));
    assert_int_equal(atomic_load(&log->pins[0].index), FRAME_LOG_NOT_PINNED);
    assert_true(frame_log_pin(log, 0, tail + 5));
    assert_false(frame_log_pin(log, 0, tail - 1));
    assert_int_equal(atomic_load(&log->pins[0].index), tail + 5);
    assert_true(frame_log_pin(log, 0, tail));
    assert_true(frame_log_pin(log, 0, tail + 9)); /* The older pin covers it. */
    assert_int_equal(atomic_load(&log->pins[0].index), tail);
    frame_log_unpin(log, 0);
    assert_int_equal(frame_log_pin_oldest(log, 1), tail);
    frame_log_unpin(log, 1);
    frame_log_destroy(log);
}

static void seek_finds_the_newest_frame_before_an_index(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct frame_log_found found;
    assert_int_equal(frame_log_pin_oldest(log, 0), 0);
    frame_log_seek(log, 0, 2, 0, &found);
    assert_false(found.in_log);
    assert_int_equal(found.next_seq, 1);
    for (uint32_t i = 0; i < 40; i++) {
        append(log, i % 4, 0, 60); /* Channel 2 at 2, 6, 10, ... */
    }
    frame_log_seek(log, 0, 2, 40, &found);
    assert_true(found.in_log);
    assert_int_equal(found.index, 38);
    assert_int_equal(found.next_seq, 11);
    frame_log_seek(log, 0, 2, 11, &found);
    assert_int_equal(found.index, 10);
    assert_int_equal(found.next_seq, 4);
    frame_log_seek(log, 0, 2, 2, &found);
    assert_false(found.in_log);
    assert_null(found.saved);
    assert_int_equal(found.next_seq, 1);
    frame_log_destroy(log);
}

static void a_quiet_channels_last_full_image_is_saved_when_it_is_lapped(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct frame_log_found found;
    append(log, 1, FRAME_FULL_IMAGE, 300);
    append(log, 1, FRAME_FULL_IMAGE, 200);
    append(log, 2, 0, 250); /* Not a full image: only its seq is remembered. */
    append_until_tail(log, 0, 3);
    frame_log_pin_oldest(log, 0);
    frame_log_seek(log, 0, 1, frame_log_head(log), &found);
    assert_false(found.in_log);
    assert_int_equal(found.next_seq, 3);
    assert_int_equal(found.saved_bytes, 200);
    assert_int_equal(found.saved[0], fill_of(1));
    assert_int_equal(found.saved[199], fill_of(1));
    frame_log_seek(log, 0, 2, frame_log_head(log), &found);
    assert_null(found.saved);
    assert_int_equal(found.next_seq, 2);
    frame_log_unpin(log, 0);
    assert_int_equal(log->saved_count, 1);

    append(log, 1, FRAME_FULL_IMAGE, 400);
    uint64_t index = log->write_index - 1;
    append_until_tail(log, 0, index);
    frame_log_pin_oldest(log, 0);
    frame_log_seek(log, 0, 1, frame_log_head(log), &found);
    assert_int_equal(found.saved_bytes, 400);
    assert_int_equal(found.saved[399], fill_of(index));
    assert_int_equal(found.next_seq, 4);
    frame_log_unpin(log, 0);
    frame_log_destroy(log);
}

static void next_seq_is_exact_when_all_frames_before_the_index_are_lapped(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct frame_log_found found;
    for (uint32_t i = 0; i < 8000; i++) {
        append(log, i % 5, 0, 900);
    }
    frame_log_publish(log);
    uint64_t tail = frame_log_pin_oldest(log, 0);
    for (uint32_t channel = 0; channel < 5; channel++) {
        frame_log_seek(log, 0, channel, tail, &found);
        assert_false(found.in_log);
        /* Frames of the channel at indices channel, channel + 5, ... below the tail. */
        assert_int_equal(found.next_seq, (tail + 4 - channel) / 5 + 1);
        assert_int_equal(found.hash, hash_of(channel, found.next_seq - 1));
    }
    frame_log_unpin(log, 0);
    frame_log_destroy(log);
}

/* ---- Seek against a plain list of all frames ---- */

#define HISTORY 40000

struct history {
    uint8_t channel[HISTORY];
    uint8_t flags[HISTORY];
    uint16_t bytes[HISTORY];
    uint64_t seq[HISTORY];
    uint64_t newest[CHANNELS]; /* index + 1 */
};

static void assert_seek_matches(struct frame_log *log, const struct history *history,
                                uint32_t channel, uint64_t before)
{
    struct frame_log_found found;
    uint64_t at = before;
    while (at > 0 && history->channel[at - 1] != channel) {
        at--;
    }
    frame_log_pin_oldest(log, 0);
    frame_log_seek(log, 0, channel, before, &found);
    if (at == 0) {
        assert_int_equal(found.next_seq, 1);
        assert_false(found.in_log);
        assert_null(found.saved);
    } else {
        uint64_t index = at - 1;
        bool is_full = history->flags[index] == FRAME_FULL_IMAGE;
        assert_int_equal(found.next_seq, history->seq[index] + 1);
        assert_true(found.hash == hash_of(channel, found.next_seq - 1) ||
                    (!found.in_log && before != frame_log_head(log)));
        assert_int_equal(found.in_log, index >= frame_log_tail(log));
        if (found.in_log) {
            assert_int_equal(found.index, index);
        } else if (found.saved != NULL) {
            assert_true(is_full);
            assert_int_equal(found.saved_bytes, history->bytes[index]);
            assert_int_equal(found.saved[0], fill_of(index));
            assert_int_equal(found.saved[found.saved_bytes - 1], fill_of(index));
        } else {
            /* Without a newer frame it had to be saved. */
            assert_true(!is_full || history->newest[channel] != index + 1);
        }
    }
    frame_log_unpin(log, 0);
}

static void seek_agrees_with_a_plain_list_at_every_index_in_the_log(void **state)
{
    (void)state;
    static struct history history;
    struct frame_log *log = make_log();
    uint64_t seqs[CHANNELS] = {0};
    uint64_t seed = 99;
    for (uint64_t index = 0; index < HISTORY; index++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        /* Channel n comes half as often as channel n - 1; the last ones are quiet for laps. */
        uint32_t channel = (uint32_t)__builtin_ctz((uint32_t)(seed >> 40) | 1u << (CHANNELS - 2));
        history.channel[index] = (uint8_t)channel;
        history.flags[index] = channel % 3 == 0 ? 0 : FRAME_FULL_IMAGE;
        history.bytes[index] = (uint16_t)(1 + (seed >> 33) % 1500);
        history.seq[index] = ++seqs[channel];
        history.newest[channel] = index + 1;
        assert_int_equal(frame_log_next_seq(log, channel), seqs[channel]);
        append(log, channel, history.flags[index], history.bytes[index]);
        if (index % 37 == 0) {
            uint64_t tail = frame_log_tail(log);
            uint64_t before = tail + (seed >> 20) % (index + 2 - tail);
            for (uint32_t wanted = 0; wanted < CHANNELS; wanted++) {
                assert_seek_matches(log, &history, wanted, before);
                assert_seek_matches(log, &history, wanted, tail);
                assert_seek_matches(log, &history, wanted, index + 1);
            }
        }
    }
    assert_true(log->saved_count > 0);
    frame_log_destroy(log);
}

/* ---- A writer that waits for a pin ---- */

struct waiting {
    struct frame_log *log;
    uint32_t frames;
    counter waited_ns;
    _Atomic bool done;
};

static void *write_some(void *argument)
{
    struct waiting *waiting = argument;
    for (uint32_t i = 0; i < waiting->frames; i++) {
        append(waiting->log, 0, 0, FRAME_BYTES);
        frame_log_publish(waiting->log);
    }
    atomic_store(&waiting->done, true);
    return NULL;
}

/* Starts a writer and returns when it has moved the tail past our pin and waits. */
static void start_waiting_writer(struct waiting *waiting, pthread_t *thread)
{
    waiting->log->watch.waited_ns = &waiting->waited_ns;
    assert_int_equal(pthread_create(thread, NULL, write_some, waiting), 0);
    while (counter_get(&waiting->waited_ns) == 0) {
        sched_yield();
    }
}

static void the_writer_waits_for_a_pin_and_the_pinned_frames_stay(void **state)
{
    (void)state;
    struct waiting waiting = {.log = make_log(), .frames = 3 * LOG_BYTES / FRAME_BYTES};
    struct frame_log *log = waiting.log;
    pthread_t thread;
    append(log, 1, 0, FRAME_BYTES);
    append(log, 1, 0, FRAME_BYTES);
    frame_log_publish(log);
    assert_true(frame_log_pin(log, 1, 1));
    start_waiting_writer(&waiting, &thread);
    const struct timespec while_it_waits = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&while_it_waits, NULL);
    assert_false(atomic_load(&waiting.done));
    for (uint64_t index = 1; index < frame_log_head(log); index++) {
        const struct frame_desc *desc = frame_log_desc(log, index);
        assert_int_equal(*frame_log_at(log, desc->position), fill_of(index));
        assert_int_equal(frame_log_at(log, desc->position)[FRAME_BYTES - 1], fill_of(index));
    }
    frame_log_unpin(log, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(log->waited_count, 1);
    assert_true(frame_log_tail(log) > 1);
    frame_log_destroy(log);
}

struct stuck {
    uint32_t reader;
    uint64_t waited_ns; /* as it was last reported */
    uint64_t cpu_ns;    /* of the writer's thread by then */
    _Atomic uint32_t report_count;
    _Atomic bool is_over;
};

static void note_stuck(void *context, uint32_t reader, uint64_t waited_ns, bool is_over)
{
    struct stuck *stuck = context;
    stuck->reader = reader;
    stuck->waited_ns = waited_ns;
    stuck->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    atomic_store(&stuck->is_over, is_over);
    atomic_fetch_add(&stuck->report_count, 1);
}

static void a_reader_that_does_not_unpin_is_reported_and_nothing_pinned_is_overwritten(void **state)
{
    (void)state;
    struct waiting waiting = {.log = make_log(), .frames = 3 * LOG_BYTES / FRAME_BYTES};
    struct frame_log *log = waiting.log;
    struct stuck stuck = {0};
    pthread_t thread;
    log->watch = (struct frame_log_watch){
        .on_stuck = note_stuck,
        .context = &stuck,
    };
    append(log, 1, 0, FRAME_BYTES);
    frame_log_publish(log);
    assert_true(frame_log_pin(log, 1, 0));
    start_waiting_writer(&waiting, &thread);
    while (atomic_load(&stuck.report_count) == 0) {
        sched_yield();
    }
    assert_int_equal(stuck.reader, 1);
    assert_false(stuck.is_over);
    assert_true(stuck.waited_ns >= FRAME_LOG_STUCK_NS);
    assert_true(stuck.cpu_ns < FRAME_LOG_STUCK_NS / 2); /* It leaves the CPU to others. */
    assert_true(counter_get(&waiting.waited_ns) >= FRAME_LOG_STUCK_NS);
    assert_false(atomic_load(&waiting.done));
    for (uint64_t index = 0; index < frame_log_head(log); index++) {
        const uint8_t *frame = frame_log_at(log, frame_log_desc(log, index)->position);
        assert_int_equal(frame[0], fill_of(index));
        assert_int_equal(frame[FRAME_BYTES - 1], fill_of(index));
    }
    frame_log_unpin(log, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(stuck.report_count,
                     2); /* It was not repeated at once, and its end was told. */
    assert_true(stuck.is_over);
    assert_int_equal(counter_get(&waiting.waited_ns), stuck.waited_ns);
    frame_log_destroy(log);
}

static void seek_counts_no_frame_from_the_index_on_while_the_writer_waits(void **state)
{
    (void)state;
    struct waiting waiting = {.log = make_log(), .frames = 3 * LOG_BYTES / FRAME_BYTES};
    struct frame_log *log = waiting.log;
    struct frame_log_found found;
    pthread_t thread;
    append(log, 2, FRAME_FULL_IMAGE, 100);
    append(log, 1, FRAME_FULL_IMAGE, 100);
    append(log, 2, FRAME_FULL_IMAGE, 100);
    frame_log_publish(log);
    /* We are at index 1: of channel 1 nothing has been, of channel 2 one frame. */
    assert_true(frame_log_pin(log, 0, 0));
    start_waiting_writer(&waiting, &thread);
    frame_log_seek(log, 0, 1, 1, &found);
    assert_int_equal(found.next_seq, 1);
    assert_null(found.saved);
    frame_log_seek(log, 0, 2, 1, &found);
    assert_int_equal(found.next_seq, 2);
    frame_log_unpin(log, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    frame_log_destroy(log);
}

/* ---- Tearing ---- */

struct tear {
    struct frame_log *log;
    _Atomic bool stop;
};

static void *write_flat_out(void *argument)
{
    struct tear *tear = argument;
    while (!atomic_load_explicit(&tear->stop, memory_order_relaxed)) {
        for (uint32_t i = 0; i < 16; i++) {
            append(tear->log, 0, 0, FRAME_BYTES);
        }
        frame_log_publish(tear->log);
    }
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Copies a frame as a kernel would that is taken off its CPU half-way: the writer gets up to 1 ms
 * to come round meanwhile. Returns whether the copy is of one frame. */
static bool copy_is_whole(struct frame_log *log, uint64_t index)
{
    uint8_t copy[FRAME_BYTES];
    const uint8_t *frame = frame_log_at(log, frame_log_desc(log, index)->position);
    memcpy(copy, frame, FRAME_BYTES / 2);
    uint64_t deadline = now_ns() + NS_PER_MS;
    while (frame_log_head(log) < index + 2 * LOG_BYTES / FRAME_BYTES && now_ns() < deadline) {
        sched_yield();
    }
    memcpy(copy + FRAME_BYTES / 2, frame + FRAME_BYTES / 2, FRAME_BYTES / 2);
    for (size_t at = 0; at < FRAME_BYTES; at++) {
        if (copy[at] != fill_of(index)) {
            return false;
        }
    }
    return true;
}

static uint64_t start_writer(struct tear *tear, pthread_t *thread)
{
    tear->log = make_log();
    atomic_init(&tear->stop, false);
    assert_int_equal(pthread_create(thread, NULL, write_flat_out, tear), 0);
    while (frame_log_tail(tear->log) == 0) {
        sched_yield();
    }
    return now_ns();
}

static void stop_writer(struct tear *tear, pthread_t thread)
{
    atomic_store(&tear->stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    frame_log_destroy(tear->log);
}

static void a_pinned_frame_is_never_torn_however_fast_the_writer(void **state)
{
    (void)state;
    struct tear tear;
    pthread_t thread;
    uint64_t began_ns = start_writer(&tear, &thread);
    uint32_t reads = 0;
    while (reads < READS && now_ns() < began_ns + TEAR_NS_MAX) {
        uint64_t index = frame_log_pin_oldest(tear.log, 0);
        assert_true(copy_is_whole(tear.log, index));
        frame_log_unpin(tear.log, 0);
        reads++;
    }
    assert_true(reads > 0);
    stop_writer(&tear, thread);
}

#define QUIET_CHANNEL 7
#define QUIET_EVERY 4096 /* frames: four laps */

static void *write_with_a_quiet_channel(void *argument)
{
    struct tear *tear = argument;
    while (!atomic_load_explicit(&tear->stop, memory_order_relaxed)) {
        bool quiet = tear->log->write_index % QUIET_EVERY == QUIET_EVERY - 1;
        append(tear->log, quiet ? QUIET_CHANNEL : 0, FRAME_FULL_IMAGE, FRAME_BYTES);
        frame_log_publish(tear->log);
    }
    return NULL;
}

/* Returns whether the frame itself was to be had. */
static bool seek_is_exact(const struct frame_log *log, uint64_t before)
{
    struct frame_log_found found;
    uint64_t count = before / QUIET_EVERY;
    frame_log_seek(log, 0, QUIET_CHANNEL, before, &found);
    assert_int_equal(found.next_seq, count + 1);
    if (!found.in_log && found.saved == NULL) {
        return false;
    }
    const uint8_t *frame =
        found.in_log ? frame_log_at(log, frame_log_desc(log, found.index)->position) : found.saved;
    assert_int_equal(frame[0], fill_of(count * QUIET_EVERY - 1));
    assert_int_equal(frame[FRAME_BYTES - 1], fill_of(count * QUIET_EVERY - 1));
    return true;
}

static void a_quiet_channel_is_exact_at_any_pinned_index_however_fast_the_writer(void **state)
{
    (void)state;
    struct tear tear = {.log = make_log()};
    pthread_t thread;
    uint64_t seed = 5;
    uint32_t had = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_with_a_quiet_channel, &tear), 0);
    uint64_t began_ns = now_ns();
    while (now_ns() < began_ns + (had > 0 ? NS_PER_SECOND : TEAR_NS_MAX)) {
        uint64_t pinned = frame_log_pin_oldest(tear.log, 0);
        uint64_t head = frame_log_head(tear.log);
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        if (head >= pinned) {
            had += seek_is_exact(tear.log, pinned + (seed >> 33) % (head - pinned + 1));
            had += seek_is_exact(tear.log, pinned);
            had += seek_is_exact(tear.log, head);
        }
        frame_log_unpin(tear.log, 0);
    }
    assert_true(had > 0);
    stop_writer(&tear, thread);
}

/* ---- Lent pages ---- */

#define LENT_FRAMES 50
#define LENT_BYTES ((size_t)LENT_FRAMES * FRAME_BYTES)

/* Lends the log's newest LENT_FRAMES frames, by pages that a pipe refers to, as a socket would.
 * false: the log does not lend them. */
static bool lend_newest(struct frame_log *log, uint32_t reader, int *pipe_out, uint8_t *bytes_out)
{
    const uint8_t *at = frame_log_at(log, log->write_position - LENT_BYTES);
    uint64_t offset;
    assert_true(frame_log_pin(log, reader, log->write_index - LENT_FRAMES));
    bool is_lent = frame_log_lend(log, reader, at, LENT_BYTES, &offset);
    frame_log_unpin(log, reader);
    if (!is_lent) {
        return false;
    }
    memcpy(bytes_out, at, LENT_BYTES);
    assert_int_equal(pipe(pipe_out), 0);
    assert_true(fcntl(pipe_out[1], F_SETPIPE_SZ, 1 << 20) > 0);
    off_t file_offset = (off_t)offset;
    for (size_t done = 0; done < LENT_BYTES;) {
        ssize_t count =
            splice(log->memory.fd, &file_offset, pipe_out[1], NULL, LENT_BYTES - done, 0);
        assert_true(count > 0);
        done += (size_t)count;
    }
    return true;
}

/* Whether what the pipe refers to is still what it was. */
static bool is_unchanged(int *pipe_fds, const uint8_t *bytes)
{
    uint8_t *now = malloc(LENT_BYTES);
    for (size_t done = 0; done < LENT_BYTES;) {
        ssize_t got = read(pipe_fds[0], now + done, LENT_BYTES - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    bool same = memcmp(now, bytes, LENT_BYTES) == 0;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    free(now);
    return same;
}

static void lent_bytes_outlive_the_lap_wherever_they_lie(void **state)
{
    (void)state;
    static uint8_t bytes[LENT_BYTES];
    struct frame_log *log = make_log();
    uint64_t lent_bytes = 0, lent_count = 0;
    for (uint32_t round = 0; round < 60; round++) { /* Also across segments and the ring's end. */
        int pipe_fds[2];
        for (uint32_t i = 0; i < LENT_FRAMES + round % 7; i++) {
            append(log, 0, 0, FRAME_BYTES);
        }
        uint64_t offset = (log->write_position - LENT_BYTES) & log->bytes_mask;
        bool is_lent = lend_newest(log, round % 2, pipe_fds, bytes);
        assert_int_equal(is_lent, offset + LENT_BYTES <= log->capacity_bytes);
        if (!is_lent) {
            continue;
        }
        lap(log);
        assert_true(is_unchanged(pipe_fds, bytes));
        lent_bytes += LENT_BYTES;
        lent_count++;
        assert_in_range(log->replaced_bytes, lent_bytes,
                        lent_bytes + 2 * lent_count * page_bytes());
    }
    assert_true(lent_count > 50);
    frame_log_destroy(log);
}

static void a_page_is_given_away_once_for_each_lap_in_which_it_was_lent(void **state)
{
    (void)state;
    static uint8_t bytes[LENT_BYTES];
    struct frame_log *log = make_log();
    int pipe_fds[3][2];
    for (uint32_t i = 0; i < LENT_FRAMES; i++) {
        append(log, 0, 0, FRAME_BYTES);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(lend_newest(log, i % 2, pipe_fds[i], bytes));
    }
    lap(log);
    uint64_t once = log->replaced_bytes;
    assert_in_range(once, LENT_BYTES, LENT_BYTES + 2 * page_bytes());
    lap(log); /* Now nothing of it was lent. */
    assert_int_equal(log->replaced_bytes, once);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(is_unchanged(pipe_fds[i], bytes));
    }
    frame_log_destroy(log);
}

/* So the tests above can fail. */
static void what_was_not_marked_is_overwritten(void **state)
{
    (void)state;
    static uint8_t bytes[LENT_BYTES];
    struct frame_log *log = make_log();
    int pipe_fds[2];
    for (uint32_t i = 0; i < LENT_FRAMES; i++) {
        append(log, 0, 0, FRAME_BYTES);
    }
    assert_true(lend_newest(log, 0, pipe_fds, bytes));
    atomic_store(&log->lent[0], 0);
    lap(log);
    assert_int_equal(log->replaced_bytes, 0);
    assert_false(is_unchanged(pipe_fds, bytes));
    frame_log_destroy(log);
}

/* ---- Beginning anew ---- */

static uint32_t resident_pages(const struct frame_log *log)
{
    static unsigned char pages[LOG_BYTES / 4096];
    uint32_t count = 0;
    assert_int_equal(mincore(log->bytes, LOG_BYTES, pages), 0);
    for (size_t i = 0; i < LOG_BYTES / page_bytes(); i++) {
        count += pages[i] & 1;
    }
    return count;
}

static uint64_t pages_of(uint64_t bytes)
{
    return bytes_round_up(bytes, page_bytes()) / page_bytes();
}

static void a_lazy_log_takes_memory_as_it_is_written_and_clear_gives_it_back(void **state)
{
    (void)state;
    struct frame_log_options options = small_log;
    options.is_lazy = true;
    struct frame_log *log = make_log_as(&options);
    assert_int_equal(resident_pages(log), 0);
    assert_int_equal(file_pages(log), 1); /* the header's */
    for (uint32_t i = 0; i < 100; i++) {
        append(log, i % 2, FRAME_FULL_IMAGE, FRAME_BYTES);
    }
    uint64_t written_pages = 100 * FRAME_BYTES / page_bytes();
    assert_in_range(resident_pages(log), written_pages - 4, written_pages + 6);
    /* 100 descriptors, and a record or more. */
    assert_int_equal(file_pages(log), 1 + resident_pages(log) + pages_of(100 * 64) + 1);
    append_until_tail(log, 2, 100);
    assert_int_equal(log->saved_count, 2);
    assert_int_equal(file_pages(log),
                     1 + pages_of(LOG_BYTES) + pages_of(log->write_index * 64) + 1 + 1);
    frame_log_clear(log);
    assert_int_equal(resident_pages(log), 0);
    assert_int_equal(file_pages(log), 1);
    frame_log_destroy(log);
}

/* However often, wherever it stands, and whoever was lent what was there. */
static void after_clear_the_log_goes_on_with_the_seqs_it_is_given(void **state)
{
    (void)state;
    static uint8_t bytes[LENT_BYTES];
    struct frame_log *log = make_log();
    for (uint64_t round = 1; round < 40; round++) {
        struct frame_log_found found;
        int pipe_fds[2];
        for (uint32_t i = 0; i < LENT_FRAMES + 97 * round; i++) {
            append(log, i % 3, i % 3 == 0 ? FRAME_FULL_IMAGE : 0, FRAME_BYTES);
        }
        frame_log_publish(log);
        bool is_lent = lend_newest(log, 0, pipe_fds, bytes);
        frame_log_clear(log);
        assert_int_equal(frame_log_tail(log), frame_log_head(log));
        assert_false(frame_log_pin(log, 0, frame_log_head(log) - 1));
        assert_int_equal(frame_log_last_plus_1(log, 0), 0);
        frame_log_set_next_seq(log, 0, 2, 1000 * round);
        frame_log_pin_oldest(log, 0);
        frame_log_seek(log, 0, 0, frame_log_head(log), &found);
        assert_true(!found.in_log && found.saved == NULL);
        assert_int_equal(found.next_seq, 1000 * round);
        assert_int_equal(found.group, 2);
        frame_log_unpin(log, 0);

        append(log, 0, FRAME_FULL_IMAGE, FRAME_BYTES);
        frame_log_publish(log);
        assert_int_not_equal(frame_log_last_plus_1(log, 0), 0);
        frame_log_pin_oldest(log, 0);
        frame_log_seek(log, 0, 0, frame_log_head(log), &found);
        assert_true(found.in_log);
        assert_int_equal(frame_log_desc(log, found.index)->seq, 1000 * round);
        assert_int_equal(frame_log_desc(log, found.index)->previous_distance, 0);
        frame_log_unpin(log, 0);
        lap(log);
        assert_true(!is_lent || is_unchanged(pipe_fds, bytes));
    }
    frame_log_destroy(log);
}

static void the_writer_finds_the_newest_frame_in_the_log_and_an_image_behind_it(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct frame_log_image image;
    assert_false(frame_log_newest(log, 0, &image));
    append(log, 0, FRAME_FULL_IMAGE, 100);
    append(log, 2, 0, 100);
    uint64_t index = log->write_index;
    append(log, 0, FRAME_FULL_IMAGE, 200);
    for (int round = 0; round < 2; round++) {
        assert_true(frame_log_newest(log, 0, &image));
        assert_int_equal(image.flags, FRAME_FULL_IMAGE);
        assert_int_equal(image.seq, 2);
        assert_int_equal(image.frame_bytes, 200);
        assert_int_equal(image.ts_pub_ns, index);
        assert_int_equal(image.frame[0], fill_of(index));
        /* What is no image is in the log or nowhere. */
        assert_int_equal(frame_log_newest(log, 2, &image), round == 0);
        append_until_tail(log, 1, index); /* Now the image is saved. */
    }
    frame_log_destroy(log);
}

#ifndef HAS_TSAN
static void without_a_pin_frames_are_torn(void **state)
{
    (void)state;
    struct tear tear;
    pthread_t thread;
    uint64_t began_ns = start_writer(&tear, &thread);
    bool torn = false;
    while (!torn && now_ns() < began_ns + TEAR_NS_MAX) {
        torn = !copy_is_whole(tear.log, frame_log_tail(tear.log));
    }
    assert_true(torn);
    stop_writer(&tear, thread);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_frame_is_seen_when_it_is_published_and_not_before),
        cmocka_unit_test(each_channel_counts_for_itself_and_is_linked_to_its_previous_frame),
        cmocka_unit_test(frames_lie_side_by_side_also_where_the_ring_wraps),
        cmocka_unit_test(the_tail_keeps_all_but_one_in_128_bytes_less_a_frame),
        cmocka_unit_test(the_tail_moves_in_small_steps_and_smaller_ones_where_images_are_saved),
        cmocka_unit_test(small_frames_lap_by_descriptors),
        cmocka_unit_test(the_tail_never_passes_what_readers_see),
        cmocka_unit_test(a_channels_frames_are_linked_as_far_as_the_log_reaches),
        cmocka_unit_test(a_pin_behind_the_tail_fails_and_leaves_the_older_one),
        cmocka_unit_test(seek_finds_the_newest_frame_before_an_index),
        cmocka_unit_test(a_quiet_channels_last_full_image_is_saved_when_it_is_lapped),
        cmocka_unit_test(next_seq_is_exact_when_all_frames_before_the_index_are_lapped),
        cmocka_unit_test(a_frame_at_the_wrap_goes_on_in_the_second_view),
        cmocka_unit_test(seek_agrees_with_a_plain_list_at_every_index_in_the_log),
        cmocka_unit_test(the_writer_waits_for_a_pin_and_the_pinned_frames_stay),
        cmocka_unit_test(
            a_reader_that_does_not_unpin_is_reported_and_nothing_pinned_is_overwritten),
        cmocka_unit_test(seek_counts_no_frame_from_the_index_on_while_the_writer_waits),
        cmocka_unit_test(a_pinned_frame_is_never_torn_however_fast_the_writer),
        cmocka_unit_test(a_quiet_channel_is_exact_at_any_pinned_index_however_fast_the_writer),
        cmocka_unit_test(lent_bytes_outlive_the_lap_wherever_they_lie),
        cmocka_unit_test(a_page_is_given_away_once_for_each_lap_in_which_it_was_lent),
        cmocka_unit_test(what_was_not_marked_is_overwritten),
        cmocka_unit_test(a_lazy_log_takes_memory_as_it_is_written_and_clear_gives_it_back),
        cmocka_unit_test(after_clear_the_log_goes_on_with_the_seqs_it_is_given),
        cmocka_unit_test(the_writer_finds_the_newest_frame_in_the_log_and_an_image_behind_it),
#ifndef HAS_TSAN
        cmocka_unit_test(without_a_pin_frames_are_torn),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
