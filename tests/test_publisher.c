/* The publisher over a feed that the test moves by hand, a real frame log, and cores that only note
 * that they were woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/running_hash.h"
#include "codec/ws_frame.h"
#include "src/base/log.h"
#include "src/market/publisher.h"
#include "tests/emulator.h"

#define FRAME_BYTES_MAX 1024
#define LEVELS 40

/* ---- Doubles ---- */

struct fake_feed {
    struct feed feed;
    const struct feed_sink *sink;
    uint32_t channel;
    uint32_t wanted; /* ticks it would hand over */
    uint32_t handed; /* since the test looked */
    uint32_t polls;
    uint32_t level_count;  /* of each side of its quotes */
    uint64_t next_wall_ns; /* what poll returns; 0: at once while it wants to hand over */
    uint32_t pad_bytes;    /* of its quotes */
    uint64_t tick_ns;      /* how long it takes for each */
    uint32_t next_in_ns;   /* added to the time of the poll, it replaces next_wall_ns; 0: not */
    uint32_t order;        /* of its last poll, among those of all */
    int fd;                /* an eventfd that says how much is wanted; 0: none */
    bool is_closed;
    bool hides_receipt;
};

static struct fake_feed fakes[3];
static uint32_t fake_count;
static uint32_t poll_count;
static uint64_t woken[2];
static uint32_t line_count;
static char last_line[LOG_LINE_BYTES_MAX];

static void fake_publish(struct fake_feed *fake, enum md_type type)
{
    static struct md_level levels[LEVELS];
    struct md_update update = {
        .type = type,
        .channel = fake->channel,
        .ts_event_ns = 5,
        .pad_bytes = fake->pad_bytes,
        .ts_recv_ns = fake->hides_receipt ? 0 : clock_ns(CLOCK_REALTIME) - NS_PER_MS,
    };
    for (uint32_t i = 0; i < LEVELS; i++) {
        levels[i] = (struct md_level){{.mantissa = 123456789012345678}, {.mantissa = 1}};
    }
    if (type == MD_QUOTE) {
        update.quote = (struct md_quote){
            {.mantissa = 1234, .exponent = -2},
            md_none,
            md_none,
            md_none,
            md_none,
            md_none,
            md_none,
            levels,
            levels,
            fake->level_count,
            fake->level_count,
            NULL,
        };
    } else {
        update.trade = (struct md_trade){.price = {.mantissa = 5}, .size = {.mantissa = 7}};
    }
    fake->sink->publish(fake->sink->context, &update);
}

static uint64_t fake_poll(struct feed *feed, uint64_t now_ns)
{
    struct fake_feed *fake = (struct fake_feed *)(void *)feed;
    uint32_t room = 0;
    fake->polls++;
    fake->order = ++poll_count;
    if (fake->fd > 0) {
        uint64_t wanted;
        fake->wanted += read(fake->fd, &wanted, sizeof wanted) > 0 ? (uint32_t)wanted : 0;
        fake->sink->watch(fake->sink->context, fake->fd);
    }
    for (; fake->wanted > 0 && feed_has_room(feed, &room); room--) {
        fake_publish(fake, MD_QUOTE);
        for (uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
             clock_ns(CLOCK_MONOTONIC) - began_ns < fake->tick_ns;) {
        }
        fake->wanted--;
        fake->handed++;
    }
    if (fake->next_in_ns != 0) {
        return clock_ns(CLOCK_REALTIME) + fake->next_in_ns;
    }
    return fake->next_wall_ns == 0 || fake->wanted > 0 ? now_ns : fake->next_wall_ns;
}

static void fake_close(struct feed *feed)
{
    ((struct fake_feed *)(void *)feed)->is_closed = true;
}

static const struct feed_ops fake_ops = {.name = "fake", .poll = fake_poll, .close = fake_close};

int feed_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
              uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    (void)now_ns;
    if (strcmp(spec, "bad") == 0) {
        snprintf(error_out, FEED_ERROR_BYTES_MAX, "unknown feed \"bad\"");
        return -EINVAL;
    }
    struct fake_feed *fake = &fakes[fake_count++];
    *fake = (struct fake_feed){
        .feed = {.ops = &fake_ops, .sink = sink}, .sink = sink, .next_wall_ns = FEED_NEVER};
    fake->feed.elastic = strcmp(spec, "elastic") == 0;
    fake->channel = sink->open_channel(sink->context, spec, strcspn(spec, ":"), MD_QUOTE);
    *feed_out = &fake->feed;
    return 0;
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    (void)level;
    assert_int_equal(producer, 0);
    line_count++;
    snprintf(last_line, sizeof last_line, "%s", text);
}

/* The recorder's, which no test here starts. */
void log_write(enum log_level level, const char *format, ...)
{
    (void)level;
    fail_msg("%s", format);
}

struct core {
    uint32_t number;
};
static struct core cores[2] = {{0}, {1}};

bool core_wake(struct core *core, struct engine *waker)
{
    assert_non_null(waker);
    woken[core->number]++;
    return false;
}

/* Only an inline publisher asks. */
struct core_watch *core_watch_of(struct core *core)
{
    fail_msg("core %u is asked for its watch", core->number);
    return NULL;
}

/* ---- Helpers ---- */

static struct channels *channels;
static struct encodings *encodings;
static struct frame_log *frames; /* JSON's */
static struct counters *counters;
static struct control *control; /* NULL: none */
static struct publisher *publisher;
static uint64_t mono_ns;

static int create(const char *const *specs, uint32_t count)
{
    char error[FEED_ERROR_BYTES_MAX] = "";
    const char *sources[PUBLISHER_FEEDS_MAX];
    for (uint32_t i = 0; i < PUBLISHER_FEEDS_MAX; i++) {
        sources[i] = "--feed";
    }
    struct publisher_options options = {
        .channels = channels,
        .encodings = encodings,
        .counters = &counters->publisher,
        .control = control,
        .feed_specs = specs,
        .feed_sources = sources,
        .feed_count = count,
    };
    return publisher_create(&publisher, &options, error, sizeof error);
}

static int set_up(void **state)
{
    (void)state;
    fake_count = 0;
    line_count = 0;
    mono_ns = 100 * NS_PER_SECOND;
    memset(woken, 0, sizeof woken);
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    struct encodings_options options = {
        .channels = channels,
        .log = {.capacity_bytes = MIB,
                .frame_bytes_max = FRAME_BYTES_MAX,
                .channel_count_max = CHANNELS_MAX,
                .reader_count = 1},
    };
    assert_int_equal(encodings_create(&encodings, &options), 0);
    frames = encodings_json_log(encodings);
    assert_int_equal(counters_open(&counters, -1, 2), 0);
    publisher = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (publisher != NULL) {
        publisher_destroy(publisher);
    }
    counters_close(counters);
    encodings_destroy(encodings);
    channels_destroy(channels);
    return 0;
}

static void create_with(const char *spec)
{
    const char *specs[] = {spec};
    assert_int_equal(create(specs, 1), 0);
}

static void set_cores(uint32_t count)
{
    struct core *pointers[] = {&cores[0], &cores[1]};
    struct core_counters *core_counters[] = {&counters->cores[0], &counters->cores[1]};
    publisher_set_cores(publisher, pointers, core_counters, count);
}

static uint64_t poll_once(void)
{
    return publisher_poll(publisher, mono_ns);
}

static uint64_t ticks(void)
{
    return counter_get(&counters->publisher.ticks);
}

/* The payload of a frame that is shorter than 64 KiB. */
static json_t *payload_of(uint64_t index)
{
    const struct frame_desc *desc = frame_log_desc(frames, index);
    const uint8_t *frame = frame_log_at(frames, desc->position);
    assert_int_equal(frame[0], 0x81);
    size_t header_bytes = frame[1] == 126 ? 4 : 2;
    size_t payload_bytes = frame[1] == 126 ? (size_t)(frame[2] << 8 | frame[3]) : frame[1];
    assert_int_equal(desc->frame_bytes, header_bytes + payload_bytes);
    json_t *payload = json_loadb((const char *)frame + header_bytes, payload_bytes, 0, NULL);
    assert_non_null(payload);
    return payload;
}

static long long number_of(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

/* ---- Tests ---- */

static void a_tick_becomes_a_frame_with_seq_and_times(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].wanted = 3;
    uint64_t before_ns = clock_ns(CLOCK_REALTIME);
    poll_once();
    uint64_t took_ns = clock_ns(CLOCK_REALTIME) - before_ns;
    assert_int_equal(frame_log_head(frames), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct frame_desc *desc = frame_log_desc(frames, i);
        json_t *payload = payload_of(i);
        assert_string_equal(json_string_value(json_object_get(payload, "type")), "quote");
        assert_string_equal(json_string_value(json_object_get(payload, "symbol")), "A");
        assert_int_equal(number_of(payload, "ch"), 0);
        assert_int_equal(number_of(payload, "seq"), i + 1);
        assert_int_equal(desc->seq, i + 1);
        assert_int_equal(desc->group, MD_QUOTE);
        assert_true(number_of(payload, "ts_pub") == (long long)desc->ts_pub_ns);
        assert_true(desc->ts_pub_ns >= before_ns);
        json_decref(payload);
    }
    assert_int_equal(ticks(), 3);
    assert_int_equal(counter_get(&counters->publisher.tick_bytes), frames->write_position);
    assert_in_range(counter_get(&counters->publisher.late_ns), NS_PER_MS, NS_PER_MS + took_ns);
}

static uint64_t count_of(const struct counters_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < COUNTERS_HISTOGRAM_BUCKETS; i++) {
        count += counter_get(&histogram->buckets[i]);
    }
    return count;
}

/* Of what was shown at once, all count as long as the oldest. */
static void each_tick_counts_how_long_it_took_to_be_published_and_shown(void **state)
{
    (void)state;
    const struct publisher_counters *sums = &counters->publisher;
    create_with("A");
    fakes[0].wanted = 3;
    uint64_t before_ns = clock_ns(CLOCK_REALTIME);
    poll_once();
    uint64_t took_ns = clock_ns(CLOCK_REALTIME) - before_ns;
    uint64_t oldest_ns = clock_ns(CLOCK_REALTIME) - frame_log_desc(frames, 0)->ts_pub_ns;
    assert_int_equal(count_of(&sums->feed), 3);
    assert_in_range(counter_get(&sums->feed.sum_ns), 3 * NS_PER_MS, 3 * (NS_PER_MS + took_ns));
    assert_int_equal(count_of(&sums->publish), 3);
    assert_in_range(counter_get(&sums->publish.sum_ns), 3, 3 * oldest_ns);
    assert_int_equal(counter_get(&sums->publish.sum_ns) % 3, 0);
    assert_int_equal(counter_get(&sums->log_head), 3);
}

static void a_tick_whose_receipt_nobody_knows_has_no_delay(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].wanted = 1;
    fakes[0].hides_receipt = true;
    poll_once();
    assert_int_equal(ticks(), 1);
    assert_int_equal(counter_get(&counters->publisher.late_ns), 0);
    assert_int_equal(count_of(&counters->publisher.feed), 0);
    assert_int_equal(count_of(&counters->publisher.publish), 1);
}

static void each_frame_bears_its_channels_running_hash(void **state)
{
    (void)state;
    uint64_t hashes[2] = {RUNNING_HASH_START, RUNNING_HASH_START};
    create_with("A");
    fakes[0].wanted = 300;
    poll_once();
    uint64_t head = frame_log_head(frames);
    assert_true(head > 2);
    for (uint64_t i = 0; i < head; i++) {
        const struct frame_desc *desc = frame_log_desc(frames, i);
        const uint8_t *frame = frame_log_at(frames, desc->position);
        size_t header_bytes = frame[1] == 126 ? 4 : 2;
        uint64_t *hash = &hashes[desc->channel];
        *hash = running_hash_add(
            *hash, running_hash_payload(frame + header_bytes, desc->frame_bytes - header_bytes));
        assert_true(desc->hash == *hash);
    }
}

static void quotes_are_full_images_and_trades_are_not(void **state)
{
    (void)state;
    create_with("A");
    fake_publish(&fakes[0], MD_QUOTE);
    fakes[0].channel = fakes[0].sink->open_channel(fakes[0].sink->context, "A", 1, MD_TRADE);
    fake_publish(&fakes[0], MD_TRADE);
    assert_int_equal(frame_log_desc(frames, 0)->flags, FRAME_FULL_IMAGE);
    assert_int_equal(frame_log_desc(frames, 1)->flags, 0);
    assert_int_equal(frame_log_desc(frames, 1)->group, MD_TRADE);
    assert_int_equal(counter_get(&counters->publisher.channels), 2);
}

static json_t *frame_json(uint64_t index)
{
    const struct frame_desc *desc = frame_log_desc(frames, index);
    const uint8_t *frame = frame_log_at(frames, desc->position);
    size_t header_bytes = ws_frame_finished_header_bytes(frame);
    json_t *message =
        json_loadb((const char *)frame + header_bytes, desc->frame_bytes - header_bytes, 0, NULL);
    assert_non_null(message);
    return message;
}

static json_int_t int_of(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void assert_gap(uint64_t index, uint64_t seq)
{
    json_t *message = frame_json(index);
    json_t *data = json_object_get(message, "data");
    assert_string_equal(json_string_value(json_object_get(message, "type")), "GAP");
    assert_string_equal(json_string_value(json_object_get(data, "reason")), "source");
    assert_true(int_of(message, "ts") > 0);
    assert_int_equal(int_of(data, "ch"), fakes[0].channel);
    assert_int_equal(int_of(data, "from"), seq);
    assert_int_equal(int_of(data, "to"), seq);
    assert_int_equal(frame_log_desc(frames, index)->seq, seq);
    assert_int_equal(frame_log_desc(frames, index)->flags, 0);
    json_decref(message);
}

static void a_tick_that_does_not_fit_is_a_gap_counted_and_told_once(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].level_count = LEVELS;
    fakes[0].wanted = 5;
    poll_once();
    assert_int_equal(counter_get(&counters->publisher.ticks_refused), 5);
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(last_line, "quote of A"));
    assert_int_equal(frame_log_head(frames), 5);
    for (uint64_t i = 0; i < 5; i++) {
        assert_gap(i, i + 1);
    }
    fakes[0].level_count = 1;
    fakes[0].wanted = 1;
    mono_ns += 2 * NS_PER_SECOND;
    fakes[0].next_wall_ns = 0;
    fakes[0].polls = 0;
    fake_publish(&fakes[0], MD_QUOTE);
    assert_int_equal(ticks(), 1);
    assert_int_equal(frame_log_desc(frames, 5)->seq, 6);
}

static void what_a_feed_says_is_lost_is_a_gap(void **state)
{
    (void)state;
    create_with("A");
    fake_publish(&fakes[0], MD_QUOTE);
    fakes[0].sink->lost(fakes[0].sink->context, fakes[0].channel);
    fakes[0].sink->lost(fakes[0].sink->context, CHANNEL_NONE);
    fake_publish(&fakes[0], MD_QUOTE);
    poll_once();
    assert_int_equal(ticks(), 2);
    assert_gap(1, 2);
    assert_int_equal(frame_log_desc(frames, 2)->seq, 3);
}

/* Some levels of the two sides in each frame; the levels of all of them are those of the book. */
static void a_book_that_does_not_fit_goes_out_in_parts(void **state)
{
    (void)state;
    static struct md_level bids[500], asks[300];
    create_with("A");
    uint32_t channel = fakes[0].sink->open_channel(fakes[0].sink->context, "A", 1, MD_DEPTH);
    for (uint32_t i = 0; i < 500; i++) {
        bids[i] = (struct md_level){{1000 - i, 0}, {i + 1, 0}};
        asks[i % 300] = (struct md_level){{2000 + i % 300, 0}, {i % 300 + 1, 0}};
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .channel = channel,
        .ts_event_ns = 5,
        .depth = {MD_SNAPSHOT, bids, asks, 500, 300, false, 0},
    };
    fakes[0].sink->publish(fakes[0].sink->context, &update);
    poll_once();
    uint64_t count = frame_log_head(frames);
    size_t bid_count = 0;
    size_t ask_count = 0;
    assert_in_range(count, 10, 100);
    assert_int_equal(ticks(), count);
    for (uint64_t i = 0; i < count; i++) {
        json_t *message = frame_json(i);
        json_t *data = json_object_get(message, "data");
        json_t *side = json_object_get(data, "bids");
        assert_string_equal(json_string_value(json_object_get(data, "action")),
                            i == 0 ? "snapshot" : "delta");
        assert_int_equal(int_of(message, "seq"), i + 1);
        assert_int_equal(int_of(message, "ts_event"), 5);
        assert_int_equal(frame_log_desc(frames, i)->flags, i == 0 ? FRAME_FULL_IMAGE : 0);
        for (size_t k = 0; k < json_array_size(side); k++, bid_count++) {
            assert_int_equal(json_integer_value(json_array_get(json_array_get(side, k), 0)),
                             1000 - bid_count);
        }
        side = json_object_get(data, "asks");
        for (size_t k = 0; k < json_array_size(side); k++, ask_count++) {
            assert_int_equal(json_integer_value(json_array_get(json_array_get(side, k), 0)),
                             2000 + ask_count);
        }
        json_decref(message);
    }
    assert_int_equal(bid_count, 500);
    assert_int_equal(ask_count, 300);
}

static void a_tick_without_channel_is_counted(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].channel = CHANNEL_NONE;
    fakes[0].wanted = 2;
    poll_once();
    assert_int_equal(counter_get(&counters->publisher.ticks_refused), 2);
    assert_int_equal(ticks(), 0);
}

static void a_feed_that_cannot_be_opened_ends_the_creation(void **state)
{
    static const char *const specs[] = {"A", "bad"};
    (void)state;
    assert_int_equal(create(specs, 2), -EINVAL);
    assert_true(fakes[0].is_closed);
}

static void the_next_poll_is_when_the_first_feed_wants_it(void **state)
{
    static const char *const specs[] = {"A", "B"};
    uint64_t took_ns = UINT64_MAX, wait_ns = 0;
    (void)state;
    assert_int_equal(create(specs, 2), 0);
    assert_true(poll_once() == UINT64_MAX); /* Both have ended. */
    /* A busy machine may stop us in between, but not always. */
    for (uint32_t i = 0; i < 50 && took_ns > 100 * NS_PER_MS; i++) {
        publisher_destroy(publisher);
        fake_count = 0;
        assert_int_equal(create(specs, 2), 0);
        uint64_t began_ns = clock_ns(CLOCK_REALTIME);
        fakes[0].next_wall_ns = began_ns + 500 * NS_PER_MS;
        fakes[1].next_wall_ns = began_ns + 200 * NS_PER_MS;
        wait_ns = poll_once() - mono_ns;
        poll_once();
        took_ns = clock_ns(CLOCK_REALTIME) - began_ns;
    }
    assert_in_range(wait_ns, 100 * NS_PER_MS, 200 * NS_PER_MS);
    assert_int_equal(fakes[1].polls, 1); /* It is not polled before it is due. */
}

static void no_sleep_is_longer_than_a_second_lest_the_clock_be_set(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].next_wall_ns = clock_ns(CLOCK_REALTIME) + 3600 * NS_PER_SECOND;
    assert_int_equal(poll_once(), mono_ns + NS_PER_SECOND);
    mono_ns += NS_PER_SECOND;
    poll_once();
    assert_int_equal(fakes[0].polls, 2);
}

static void a_feed_that_has_ended_is_left_alone(void **state)
{
    (void)state;
    create_with("A");
    poll_once();
    mono_ns += 5 * NS_PER_SECOND;
    poll_once();
    assert_int_equal(fakes[0].polls, 1);
}

static void an_inline_poll_ends_with_what_its_core_fans_out_in_a_turn(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].wanted = 1;
    fakes[0].next_wall_ns = 0;
    fakes[0].pad_bytes = 1000;
    poll_once();
    fakes[0].wanted = UINT32_MAX;
    uint32_t frame_bytes = frame_log_desc(frames, 0)->frame_bytes;
    uint64_t most = 0;
    /* A busy machine may use up the time of a poll, but not always. */
    for (uint32_t i = 0; i < 100000 && most < 64 * KIB / frame_bytes; i++) {
        uint64_t before = ticks();
        assert_int_equal(poll_once(), mono_ns);
        most = ticks() - before > most ? ticks() - before : most;
        assert_in_range(most, PUBLISHER_PORTION_BYTES / frame_bytes, 64 * KIB / frame_bytes);
    }
    assert_int_equal(most, 64 * KIB / frame_bytes);
}

static void feeds_share_a_poll_and_take_turns(void **state)
{
    static const char *const specs[] = {"A", "B", "C"};
    (void)state;
    assert_int_equal(create(specs, 3), 0);
    for (uint32_t i = 0; i < 3; i++) {
        fakes[i].wanted = 100000;
    }
    for (uint32_t round = 0; round < 3; round++) {
        uint64_t first = frame_log_head(frames);
        poll_once();
        assert_int_equal(frame_log_desc(frames, first)->channel, round);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_in_range(fakes[i].handed, 3 * PUBLISHER_PORTION_TICKS_MAX, PUBLISHER_POLL_TICKS_MAX);
    }
}

/* Ticks of 10 us: a poll of 200 us ends after the portion that they pass it with. */
static void a_poll_ends_when_its_time_is_used(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].wanted = 100000;
    fakes[0].tick_ns = FEED_POLL_NS_MAX / 20;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(poll_once(), mono_ns); /* It goes on at once. */
        assert_in_range(fakes[0].handed, PUBLISHER_PORTION_TICKS_MAX * i,
                        (20 + PUBLISHER_PORTION_TICKS_MAX) * i);
    }
}

static void a_slow_feed_gets_a_portion_in_each_poll(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].wanted = 3 * PUBLISHER_PORTION_TICKS_MAX;
    fakes[0].tick_ns = FEED_POLL_NS_MAX;
    for (uint32_t i = 1; i <= 3; i++) {
        poll_once();
        assert_int_equal(fakes[0].handed, PUBLISHER_PORTION_TICKS_MAX * i);
    }
}

/* A always has ticks, of which each takes so long; B comes due 1 us after its poll. */
static void create_busy_beside_timed(uint64_t tick_ns)
{
    static const char *const specs[] = {"A", "B"};
    assert_int_equal(create(specs, 2), 0);
    fakes[0].wanted = 100000;
    fakes[0].tick_ns = tick_ns;
    fakes[1].next_in_ns = NS_PER_US;
    poll_once(); /* B comes last in it, and may not be due yet when the next one begins. */
    poll_once();
}

static void a_poll_ends_when_another_feed_becomes_due(void **state)
{
    (void)state;
    create_busy_beside_timed(2 * NS_PER_US);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t handed = fakes[0].handed;
        uint32_t polls = fakes[1].polls;
        poll_once();
        assert_int_equal(fakes[0].handed, handed + PUBLISHER_PORTION_TICKS_MAX);
        poll_once();
        assert_int_equal(fakes[0].handed, handed + 2 * PUBLISHER_PORTION_TICKS_MAX);
        assert_int_equal(fakes[1].polls, polls + 2);
    }
}

/* Whose turn it is to be first does not matter to a feed that asked for a time. */
static void a_feed_that_is_due_comes_before_one_that_always_is(void **state)
{
    (void)state;
    create_busy_beside_timed(20 * NS_PER_US);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t polls = fakes[0].polls;
        poll_once();
        assert_int_equal(fakes[0].polls, polls + 1);
        assert_int_equal(fakes[1].order + 1, fakes[0].order);
    }
}

static void long_ticks_come_in_short_portions(void **state)
{
    (void)state;
    create_with("A");
    fakes[0].level_count = 10;
    fakes[0].wanted = 1;
    fakes[0].next_wall_ns = 0;
    poll_once();
    uint32_t bytes = frame_log_desc(frames, 0)->frame_bytes;
    assert_true(bytes > PUBLISHER_PORTION_BYTES / PUBLISHER_PORTION_TICKS_MAX);
    fakes[0].wanted = 1000;
    fakes[0].tick_ns = FEED_POLL_NS_MAX;
    poll_once();
    assert_int_equal(fakes[0].handed, 1 + PUBLISHER_PORTION_BYTES / bytes);
}

static void an_elastic_feed_stays_within_half_a_log_of_the_slowest_core(void **state)
{
    (void)state;
    create_with("elastic");
    set_cores(2);
    fakes[0].wanted = 1000000;
    fakes[0].level_count = 5;
    for (int i = 0; i < 1000; i++) {
        poll_once();
    }
    uint64_t stuck_at = ticks();
    assert_in_range(frames->write_position, MIB / 4, MIB / 2);
    assert_true(poll_once() > mono_ns); /* It waits a little, and does not spin. */
    assert_int_equal(ticks(), stuck_at);

    counter_set(&counters->cores[0].position, stuck_at);
    poll_once();
    assert_int_equal(ticks(), stuck_at); /* The other core has not moved. */
    counter_set(&counters->cores[1].position, stuck_at / 2);
    poll_once();
    assert_true(ticks() > stuck_at);
}

static void an_elastic_feed_of_small_frames_is_held_by_descriptors(void **state)
{
    (void)state;
    create_with("elastic");
    set_cores(1);
    fakes[0].wanted = 1000000;
    for (int i = 0; i < 1000; i++) {
        poll_once();
    }
    assert_in_range(ticks(), 1, (frames->desc_mask + 1) / 2);
}

static void other_feeds_are_polled_however_slow_a_core_is(void **state)
{
    (void)state;
    create_with("A");
    set_cores(2);
    fakes[0].wanted = 20000;
    fakes[0].next_wall_ns = 0;
    for (int i = 0; i < 1000; i++) {
        poll_once();
    }
    assert_int_equal(ticks(), 20000);
    assert_true(frame_log_tail(frames) > 0);
}

static void an_inline_publisher_wakes_the_other_cores_only(void **state)
{
    (void)state;
    EMULATOR_LACKS_RINGS();
    create_with("A");
    set_cores(2);
    fakes[0].wanted = 1;
    poll_once();
    assert_int_equal(woken[0], 0);
    assert_int_equal(woken[1], 1);
}

static void no_more_than_64_ticks_wait_for_the_head(void **state)
{
    (void)state;
    create_with("A");
    for (uint32_t i = 0; i < 200; i++) {
        fake_publish(&fakes[0], MD_QUOTE);
        assert_true(frames->write_index - frame_log_head(frames) < 64);
    }
}

static void *run(void *context)
{
    return (void *)(intptr_t)publisher_run(context);
}

static void the_thread_publishes_wakes_every_core_and_stops(void **state)
{
    pthread_t thread;
    void *result;
    (void)state;
    EMULATOR_LACKS_RINGS();
    create_with("A");
    set_cores(2);
    fakes[0].wanted = 10000;
    fakes[0].next_wall_ns = 0;
    assert_int_equal(pthread_create(&thread, NULL, run, publisher), 0);
    uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + 10 * NS_PER_SECOND;
    while (frame_log_head(frames) < 10000 && clock_ns(CLOCK_MONOTONIC) < deadline_ns) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    publisher_stop(publisher);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_int_equal(frame_log_head(frames), 10000);
    assert_true(woken[0] >= 10000 / 64);
    assert_int_equal(woken[0], woken[1]);
}

/* Each tick must be there before the next is asked for: by its descriptor, since a poll comes once
 * a second only. The other feed does not let the thread sleep. */
static void a_feed_is_polled_when_its_descriptor_is_readable(uint64_t other_next_wall_ns)
{
    pthread_t thread;
    const char *const specs[] = {"A", "B"};
    assert_int_equal(create(specs, 2), 0);
    set_cores(2);
    fakes[0].next_wall_ns = other_next_wall_ns;
    fakes[1].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fakes[1].next_wall_ns = FEED_NEVER - 1;
    assert_true(fakes[1].fd > 0);
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    assert_int_equal(pthread_create(&thread, NULL, run, publisher), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        uint64_t one = 1;
        assert_int_equal(write(fakes[1].fd, &one, sizeof one), sizeof one);
        uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_SECOND;
        while (ticks() < i && clock_ns(CLOCK_MONOTONIC) < deadline_ns) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
        assert_int_equal(ticks(), i);
    }
    publisher_stop(publisher);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* A thread that is stopped for a second polls before it sees the descriptor. */
    uint64_t seconds = (clock_ns(CLOCK_MONOTONIC) - began_ns) / NS_PER_SECOND;
    assert_in_range(counter_get(&counters->publisher.feed_wakes), seconds < 15 ? 15 - seconds : 1,
                    20);
    close(fakes[1].fd);
}

static void a_descriptor_ends_the_sleep_of_the_thread(void **state)
{
    (void)state;
    EMULATOR_LACKS_RINGS();
    a_feed_is_polled_when_its_descriptor_is_readable(FEED_NEVER);
}

static void a_descriptor_is_seen_by_a_thread_that_never_sleeps(void **state)
{
    (void)state;
    EMULATOR_LACKS_RINGS();
    a_feed_is_polled_when_its_descriptor_is_readable(0);
}

static void a_sleeping_thread_stops_within_a_fifth_of_a_second(void **state)
{
    uint64_t took_ns = UINT64_MAX;
    (void)state;
    EMULATOR_LACKS_RINGS();
    /* A busy machine may be late with it, but not always. */
    for (uint32_t i = 0; i < 50 && took_ns > NS_PER_SECOND / 5; i++) {
        pthread_t thread;
        create_with("A");
        assert_int_equal(pthread_create(&thread, NULL, run, publisher), 0);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
        publisher_stop(publisher);
        assert_int_equal(pthread_join(thread, NULL), 0);
        took_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
        tear_down(NULL);
        set_up(NULL);
    }
    assert_in_range(took_ns, 0, NS_PER_SECOND / 5);
}

static void the_counters_of_all_feeds_are_added_up(void **state)
{
    static const char *const specs[] = {"A", "B"};
    (void)state;
    assert_int_equal(create(specs, 2), 0);
    fakes[0].feed.counters = (struct feed_counters){.skipped = 1, .malformed = 2, .holes = 3};
    fakes[1].feed.counters = (struct feed_counters){.skipped = 10, .passes = 4};
    poll_once();
    assert_int_equal(counter_get(&counters->publisher.feed_skipped), 11);
    assert_int_equal(counter_get(&counters->publisher.feed_malformed), 2);
    assert_int_equal(counter_get(&counters->publisher.feed_holes), 3);
    assert_int_equal(counter_get(&counters->publisher.feed_passes), 4);
}

/* The row of a feed, as another thread sees it. */
static struct feed_table_view view_of(uint32_t index)
{
    struct feed_table_view view;
    feed_table_read(publisher_feed_table(publisher), index, &view);
    return view;
}

static void a_feed_shows_its_state_and_what_it_counted(void **state)
{
    static const char *const specs[] = {"A", "A:x=1", "B"};
    (void)state;
    uint64_t began_ns = clock_ns(CLOCK_REALTIME);
    assert_int_equal(create(specs, 3), 0);
    assert_string_equal(view_of(0).name, "A");
    assert_string_equal(view_of(1).name, "A#2");
    assert_string_equal(view_of(2).name, "B");
    assert_string_equal(fakes[1].sink->name, "A#2");
    assert_string_equal(view_of(1).state, "connecting");
    assert_true(view_of(1).since_ns >= began_ns);
    assert_string_equal(view_of(1).cause, "");

    fakes[1].feed.state = FEED_STALE;
    fakes[1].feed.state_since_ns = 77;
    fakes[1].feed.state_revision++;
    snprintf(fakes[1].feed.cause, FEED_CAUSE_BYTES_MAX, "no \x01 \xff tick");
    fakes[1].feed.counters = (struct feed_counters){.ticks = 3, .producers = 5};
    poll_once();
    struct feed_table_view view = view_of(1);
    assert_string_equal(view.state, "stale");
    assert_string_equal(view.cause, "no ? ? tick");
    assert_true(view.since_ns == 77);
    assert_true(view.tick_ns >= began_ns);
    assert_int_equal(view.counts[0], 3);
    assert_int_equal(view.counts[FEED_TABLE_COLUMNS - 1], 5);
    assert_true(view_of(0).tick_ns == 0);
}

/* A state goes with its cause and its time, whenever it is read. Returns how often it does not. A
 * reader that met a writer without a CPU has no cause. */
static void *read_states(void *context)
{
    const struct feed_table *table = context;
    struct feed_table_view view;
    intptr_t faults = 0;
    do {
        feed_table_read(table, 0, &view);
        bool is_stale = strcmp(view.state, "stale") == 0;
        bool is_odd = view.since_ns % 2 == 1;
        faults +=
            view.cause[0] != '\0' && (is_odd != is_stale || (view.cause[100] == 's') != is_stale);
    } while (strcmp(view.state, "down") != 0);
    return (void *)faults;
}

static void a_state_is_read_with_its_own_cause(void **state)
{
    static struct feed_table table;
    pthread_t thread;
    void *faults;
    struct feed feed = {0};
    (void)state;
    struct feed_table_row *row = feed_table_add(&table, "A", 1, 2);
    assert_int_equal(pthread_create(&thread, NULL, read_states, &table), 0);
    for (uint64_t i = 1; i <= 100001; i++) {
        feed.state = i == 100001 ? FEED_DOWN : i % 2 == 0 ? FEED_LIVE : FEED_STALE;
        feed.state_since_ns = i == 100001 ? 2 : i + 2;
        feed.state_revision++;
        memset(feed.cause, feed.state == FEED_STALE ? 's' : 'l', sizeof feed.cause - 1);
        feed_table_write(row, &feed, 1);
    }
    assert_int_equal(pthread_join(thread, &faults), 0);
    assert_null(faults);
}

static void the_heart_beats_while_it_is_polled(void **state)
{
    (void)state;
    assert_int_equal(control_create(&control, 1, CHANNELS_MAX), 0);
    create_with("A");
    int fd = control_read_only_fd(control);
    const struct layout_control *seen = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(seen != MAP_FAILED);
    poll_once();
    uint64_t first = seen->heartbeat;
    for (int poll = 0; poll < 10; poll++) { /* a feed with nothing to say */
        mono_ns += 100 * NS_PER_MS;
        poll_once();
        poll_once();
    }
    assert_int_equal(seen->heartbeat, first + 10);
    munmap((void *)seen, 4096);
    close(fd);
    control_destroy(control);
    control = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_tick_becomes_a_frame_with_seq_and_times),
        TEST(each_tick_counts_how_long_it_took_to_be_published_and_shown),
        TEST(a_tick_whose_receipt_nobody_knows_has_no_delay),
        TEST(each_frame_bears_its_channels_running_hash),
        TEST(quotes_are_full_images_and_trades_are_not),
        TEST(a_tick_that_does_not_fit_is_a_gap_counted_and_told_once),
        TEST(what_a_feed_says_is_lost_is_a_gap),
        TEST(a_book_that_does_not_fit_goes_out_in_parts),
        TEST(a_tick_without_channel_is_counted),
        TEST(a_feed_that_cannot_be_opened_ends_the_creation),
        TEST(the_next_poll_is_when_the_first_feed_wants_it),
        TEST(no_sleep_is_longer_than_a_second_lest_the_clock_be_set),
        TEST(a_feed_that_has_ended_is_left_alone),
        TEST(an_inline_poll_ends_with_what_its_core_fans_out_in_a_turn),
        TEST(feeds_share_a_poll_and_take_turns),
        TEST(a_poll_ends_when_its_time_is_used),
        TEST(a_slow_feed_gets_a_portion_in_each_poll),
        TEST(a_poll_ends_when_another_feed_becomes_due),
        TEST(a_feed_that_is_due_comes_before_one_that_always_is),
        TEST(long_ticks_come_in_short_portions),
        TEST(an_elastic_feed_stays_within_half_a_log_of_the_slowest_core),
        TEST(an_elastic_feed_of_small_frames_is_held_by_descriptors),
        TEST(other_feeds_are_polled_however_slow_a_core_is),
        TEST(an_inline_publisher_wakes_the_other_cores_only),
        TEST(no_more_than_64_ticks_wait_for_the_head),
        TEST(the_thread_publishes_wakes_every_core_and_stops),
        TEST(a_descriptor_ends_the_sleep_of_the_thread),
        TEST(a_descriptor_is_seen_by_a_thread_that_never_sleeps),
        TEST(a_sleeping_thread_stops_within_a_fifth_of_a_second),
        TEST(the_counters_of_all_feeds_are_added_up),
        TEST(a_feed_shows_its_state_and_what_it_counted),
        TEST(a_state_is_read_with_its_own_cause),
        TEST(the_heart_beats_while_it_is_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
