/* What a reader pins, what is saved, and what the kernel still refers to stay as they are, while
 * the writer takes back frames of all sizes. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/board/frame_log.h"

#define LOG_BYTES (1 * MIB)
#define FRAME_BYTES_MAX (64 * KIB)
#define IMAGES 96 /* channels of full images; a pair of rooms for each does not fit */
#define STREAM IMAGES
#define CHANNELS (IMAGES + 1)
#define READERS 2
#define SAVED_MIN 2000
#define SEEN_MIN 3000  /* by each reader */
#define YIELDS_MAX 100 /* of a reader under one pin */

static uint32_t draw(uint64_t *seed, uint32_t limit)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*seed >> 33) % limit;
}

static struct frame_log *make_log(void)
{
    struct frame_log *log;
    const struct frame_log_options options = {
        .capacity_bytes = LOG_BYTES,
        .frame_bytes_max = FRAME_BYTES_MAX,
        .channel_count_max = CHANNELS,
        .reader_count = READERS,
    };
    assert_int_equal(frame_log_create(&log, &options), 0);
    return log;
}

/* ---- Frames that prove themselves ---- */

/* The images of a channel grow, from some bytes to all that fit, and begin anew. */
static uint32_t frame_bytes_of(uint32_t channel, uint64_t seq)
{
    if (channel != STREAM) {
        return 8 + (uint32_t)(seq * (97 + channel) % (channel % 7 == 0 ? 60000 : 6000));
    }
    uint64_t seed = seq / 20000; /* for a while all are small, then they are of all sizes */
    uint64_t own = seq;
    return seed % 2 == 0 ? 20 + draw(&own, 40)
                         : 20 + draw(&own, seq % 11 == 0 ? FRAME_BYTES_MAX - 20 : 3000);
}

static uint8_t fill_of(uint32_t channel, uint64_t seq)
{
    return (uint8_t)(channel * 31 + seq * 7 + seq / 251);
}

static void append(struct frame_log *log, uint32_t channel)
{
    uint64_t seq = frame_log_next_seq(log, channel);
    uint32_t bytes = frame_bytes_of(channel, seq);
    memset(frame_log_reserve(log), fill_of(channel, seq), bytes);
    frame_log_set_hash(log, channel, seq);
    frame_log_commit(log, channel, 0, channel == STREAM ? 0 : FRAME_FULL_IMAGE, bytes, 0);
}

static bool is_whole(const uint8_t *frame, uint32_t frame_bytes, uint32_t channel, uint64_t seq)
{
    return frame_bytes == frame_bytes_of(channel, seq) && frame[0] == fill_of(channel, seq) &&
           memcmp(frame, frame + 1, frame_bytes - 1) == 0;
}

/* ---- Readers, while the writer runs ---- */

struct race {
    struct frame_log *log;
    _Atomic bool is_over;
    _Atomic uint64_t torn_count;
    _Atomic uint64_t seen_count[READERS]; /* saved images */
};

struct racer {
    struct race *race;
    uint32_t number;
};

/* Under one pin: what seek finds of each channel stays, also while the writer waits. */
static void look(struct race *race, uint32_t reader, uint64_t *seed)
{
    struct frame_log *log = race->log;
    struct frame_log_found found[CHANNELS];
    uint64_t saved_count = 0;
    uint64_t torn_count = 0;
    frame_log_pin_oldest(log, reader);
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        frame_log_seek(log, reader, channel, UINT64_MAX, &found[channel]);
    }
    for (uint32_t i = draw(seed, 4) == 0 ? draw(seed, YIELDS_MAX) : 0; i > 0; i--) {
        sched_yield();
    }
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint64_t seq = found[channel].next_seq - 1;
        if (found[channel].in_log) {
            const struct frame_desc *desc = frame_log_desc(log, found[channel].index);
            torn_count +=
                desc->seq != seq || desc->channel != channel ||
                !is_whole(frame_log_at(log, desc->position), desc->frame_bytes, channel, seq);
        } else if (found[channel].saved != NULL) {
            saved_count++;
            torn_count += channel == STREAM ||
                          !is_whole(found[channel].saved, found[channel].saved_bytes, channel, seq);
        }
    }
    frame_log_unpin(log, reader);
    atomic_fetch_add(&race->torn_count, torn_count);
    atomic_fetch_add(&race->seen_count[reader], saved_count);
}

static void *look_on(void *context)
{
    const struct racer *racer = context;
    uint64_t seed = racer->number;
    while (!racer->race->is_over) {
        look(racer->race, racer->number, &seed);
        sched_yield();
    }
    return NULL;
}

static void what_is_pinned_and_what_is_saved_is_whole_while_rooms_change_hands(void **state)
{
    (void)state;
    struct race race = {.log = make_log()};
    struct racer racers[READERS];
    pthread_t threads[READERS];
    uint64_t seed = 1;
    for (uint32_t i = 0; i < READERS; i++) {
        racers[i] = (struct racer){&race, i};
        assert_int_equal(pthread_create(&threads[i], NULL, look_on, &racers[i]), 0);
    }
    for (uint64_t i = 0; race.log->saved_count < SAVED_MIN || race.seen_count[0] < SEEN_MIN ||
                         race.seen_count[1] < SEEN_MIN;
         i++) {
        append(race.log, i % 100 == 0 ? draw(&seed, IMAGES) : STREAM);
        if (i % 16 == 0) {
            frame_log_publish(race.log);
        }
    }
    race.is_over = true;
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(race.torn_count, 0);
    frame_log_destroy(race.log);
}

static void the_area_can_be_full_and_no_image_is_anothers(void **state)
{
    (void)state;
    struct race race = {.log = make_log()};
    uint64_t seed = 2;
    while (race.log->images_unsaved_count < 100 || race.seen_count[0] < SEEN_MIN) {
        for (uint32_t i = 0; i < 3000; i++) {
            append(race.log, i % 20 == 0 ? draw(&seed, IMAGES) : STREAM);
        }
        frame_log_publish(race.log);
        look(&race, 0, &seed);
        assert_int_equal(race.torn_count, 0);
    }
    frame_log_destroy(race.log);
}

/* ---- While an image is being copied ---- */

static struct frame_record copied_record;
static struct frame_log_saved copied_saved;
static _Atomic uint32_t copied_version; /* and what the record had while the bytes were read */
static void *copied_page;

static void on_first_byte(int number)
{
    (void)number;
    copied_version = copied_record.image_version;
    if (mprotect(copied_page, 4096, PROT_READ) < 0) {
        _exit(2);
    }
}

static void while_an_image_is_copied_its_version_is_odd(void **state)
{
    (void)state;
    static _Alignas(CACHE_LINE_BYTES) uint8_t area[64 * KIB];
    struct frame_log_images images;
    struct sigaction old, action = {.sa_handler = on_first_byte};
    frame_log_images_init(&images, area, sizeof area);
    copied_page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(copied_page != MAP_FAILED);
    assert_int_equal(sigaction(SIGSEGV, &action, &old), 0);
    for (uint32_t seq = 1; seq <= 6; seq++) {
        const struct frame_desc desc = {.seq = seq, .frame_bytes = 500 * seq};
        uint32_t before = copied_record.image_version;
        copied_version = 0;
        assert_int_equal(mprotect(copied_page, 4096, PROT_NONE), 0);
        assert_true(
            frame_log_images_save(&images, &copied_saved, &copied_record, &desc, copied_page));
        assert_int_equal(copied_version, before + 1);
        assert_int_equal(copied_record.image_version, before + 2);
        assert_int_equal(copied_version % 2, 1);
    }
    assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
    munmap(copied_page, 4096);
}

/* ---- What the kernel refers to ---- */

#define LENT_MAX 24
#define LENT_BYTES_MAX (100 * KIB)
#define LENT_ROUNDS 1500

struct lent {
    int pipe[2];
    size_t bytes; /* 0: none */
    uint8_t copy[LENT_BYTES_MAX];
};

/* Some of the newest bytes, as if they were sent by reference. */
static void lent_begin(struct lent *lent, struct frame_log *log, uint64_t *seed)
{
    uint64_t oldest = frame_log_desc(log, frame_log_tail(log))->position;
    uint64_t end = log->write_position - draw(seed, 3000);
    uint64_t offset, bytes = 1 + draw(seed, LENT_BYTES_MAX);
    if (end < bytes || end - bytes < oldest) {
        return;
    }
    const uint8_t *at = frame_log_at(log, end - bytes);
    frame_log_pin_oldest(log, 0);
    bool is_lent = frame_log_lend(log, 0, at, bytes, &offset);
    frame_log_unpin(log, 0);
    if (!is_lent) {
        return;
    }
    lent->bytes = bytes;
    memcpy(lent->copy, at, bytes);
    assert_int_equal(pipe(lent->pipe), 0);
    assert_true(fcntl(lent->pipe[1], F_SETPIPE_SZ, 1 << 18) > 0);
    off_t file_offset = (off_t)offset;
    for (size_t done = 0; done < bytes;) {
        ssize_t count = splice(log->memory.fd, &file_offset, lent->pipe[1], NULL, bytes - done, 0);
        assert_true(count > 0);
        done += (size_t)count;
    }
}

static void lent_end(struct lent *lent)
{
    static uint8_t now[LENT_BYTES_MAX];
    for (size_t done = 0; done < lent->bytes;) {
        ssize_t got = read(lent->pipe[0], now + done, lent->bytes - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    assert_memory_equal(now, lent->copy, lent->bytes);
    lent->bytes = 0;
    close(lent->pipe[0]);
    close(lent->pipe[1]);
}

static void assert_all_whole(const struct frame_log *log)
{
    for (uint64_t index = frame_log_tail(log); index < frame_log_end(log); index++) {
        const struct frame_desc *desc = frame_log_desc(log, index);
        assert_int_equal(desc->tag, index + 1);
        assert_true(is_whole(frame_log_at(log, desc->position), desc->frame_bytes, desc->channel,
                             desc->seq));
    }
}

static void what_the_kernel_refers_to_stays_whatever_the_sizes_of_frames(void **state)
{
    (void)state;
    static struct lent lents[LENT_MAX];
    struct frame_log *log = make_log();
    uint64_t seed = 3;
    append(log, STREAM);
    for (uint32_t round = 0; round < LENT_ROUNDS; round++) {
        struct lent *lent = &lents[draw(&seed, LENT_MAX)];
        for (uint32_t i = draw(&seed, 200); i > 0; i--) {
            append(log, draw(&seed, 50) == 0 ? draw(&seed, IMAGES) : STREAM);
        }
        if (lent->bytes == 0) {
            lent_begin(lent, log, &seed);
        } else {
            lent_end(lent);
        }
        if (round % 50 == 0) {
            assert_all_whole(log);
        }
    }
    for (uint32_t i = 0; i < LENT_MAX; i++) {
        if (lents[i].bytes != 0) {
            lent_end(&lents[i]);
        }
    }
    assert_all_whole(log);
    assert_true(log->replaced_bytes > LOG_BYTES);
    frame_log_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pinned_and_what_is_saved_is_whole_while_rooms_change_hands),
        cmocka_unit_test(the_area_can_be_full_and_no_image_is_anothers),
        cmocka_unit_test(while_an_image_is_copied_its_version_is_odd),
        cmocka_unit_test(what_the_kernel_refers_to_stays_whatever_the_sizes_of_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
