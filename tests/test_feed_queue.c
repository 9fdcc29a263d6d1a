/* The queue between a feed's thread and the publisher: what goes in comes out, or its loss is told
 * where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "feeds/feed_queue.h"

#define NOW_NS UINT64_C(1732078800000000000)
#define CAPACITY FEED_QUEUE_BYTES_MIN
#define EVENTS_MAX 4096
#define CHANNELS 256
#define LEVELS_MAX 256
#define LOSS UINT64_MAX /* as the event of a channel; else the ts_event_ns of a tick */

/* A sink that notes ticks and losses in their order. */
struct sink {
    struct feed_sink sink;
    struct feed feed;
    uint32_t room;
    uint32_t left; /* of the room of this poll */
    int fd;
    uint32_t channel_count;
    char names[CHANNELS][MD_SYMBOL_BYTES_MAX + 1];
    uint32_t event_count;
    struct {
        uint32_t channel;
        uint64_t what;
    } events[EVENTS_MAX];
    void (*on_tick)(const struct md_update *update);
};

static struct sink sink;
static struct feed_queue *queue;

static uint32_t open_channel(void *context, const char *symbol, size_t bytes, enum md_type type)
{
    (void)context;
    (void)type;
    assert_true(bytes > 0 && bytes <= MD_SYMBOL_BYTES_MAX);
    for (uint32_t i = 0; i < sink.channel_count; i++) {
        if (strlen(sink.names[i]) == bytes && memcmp(sink.names[i], symbol, bytes) == 0) {
            return i;
        }
    }
    if (sink.channel_count == CHANNELS) {
        return UINT32_MAX;
    }
    memcpy(sink.names[sink.channel_count], symbol, bytes);
    return sink.channel_count++;
}

static void note(uint32_t channel, uint64_t what)
{
    assert_true(channel < sink.channel_count);
    assert_true(sink.event_count < EVENTS_MAX);
    sink.events[sink.event_count].channel = channel;
    sink.events[sink.event_count++].what = what;
}

static void publish(void *context, const struct md_update *update)
{
    (void)context;
    assert_true(sink.left-- > 0);
    if (sink.on_tick != NULL) {
        sink.on_tick(update);
    }
    note(update->channel, update->ts_event_ns);
}

static void lost(void *context, uint32_t channel)
{
    (void)context;
    note(channel, LOSS);
}

static uint32_t room(void *context)
{
    (void)context;
    return sink.left;
}

static void watch(void *context, int fd)
{
    (void)context;
    sink.fd = fd;
}

static int set_up(void **state)
{
    (void)state;
    memset(&sink, 0, sizeof sink);
    sink.sink = (struct feed_sink){
        .open_channel = open_channel,
        .publish = publish,
        .lost = lost,
        .room = room,
        .watch = watch,
    };
    sink.feed.sink = &sink.sink;
    sink.room = UINT32_MAX;
    sink.fd = -1;
    return feed_queue_create(&queue, CAPACITY);
}

static int tear_down(void **state)
{
    (void)state;
    feed_queue_destroy(queue);
    return 0;
}

static uint64_t poll_queue(void)
{
    sink.left = sink.room;
    return feed_queue_poll(queue, &sink.feed, NOW_NS);
}

static bool is_readable(void)
{
    struct pollfd fd = {.fd = sink.fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static bool push_levels(const char *symbol, uint64_t what, uint32_t level_count)
{
    static const struct md_level levels[LEVELS_MAX];
    struct md_update update = {.type = MD_DEPTH, .ts_event_ns = what};
    update.depth.bids = levels;
    update.depth.bid_count = level_count;
    return feed_queue_push(queue, symbol, strlen(symbol), &update);
}

static bool push(const char *symbol, uint64_t what)
{
    return push_levels(symbol, what, 0);
}

static void assert_event(uint32_t index, const char *symbol, uint64_t what)
{
    assert_true(index < sink.event_count);
    assert_string_equal(sink.names[sink.events[index].channel], symbol);
    assert_int_equal(sink.events[index].what, what);
}

/* ---- What a tick is made of ---- */

static struct md_update given;

static void assert_levels(const struct md_level *ours, const struct md_level *theirs,
                          uint32_t count)
{
    assert_ptr_not_equal(ours, theirs);
    assert_memory_equal(ours, theirs, count * sizeof *ours);
}

static void check_quote(const struct md_update *update)
{
    assert_int_equal(update->type, MD_QUOTE);
    assert_int_equal(update->ts_recv_ns, given.ts_recv_ns);
    assert_int_equal(update->source_seq, 9);
    assert_int_equal(update->source_epoch, 10);
    assert_int_equal(update->pad_bytes, 500);
    assert_int_equal(update->quote.last.mantissa, 1234);
    assert_int_equal(update->quote.bid_count, 2);
    assert_int_equal(update->quote.ask_count, 1);
    assert_levels(update->quote.bids, given.quote.bids, 2);
    assert_levels(update->quote.asks, given.quote.asks, 1);
    assert_string_equal(update->quote.status, "halted");
    assert_ptr_not_equal(update->quote.status, given.quote.status);
}

static void a_quote_is_copied_with_levels_and_text(void **state)
{
    (void)state;
    struct md_level levels[3] = {{{1, -1}, {2, 0}}, {{3, -2}, {4, 0}}, {{5, -3}, md_none}};
    char status[] = "halted";
    given = (struct md_update){.type = MD_QUOTE,
                               .ts_event_ns = 7,
                               .ts_recv_ns = 8,
                               .source_seq = 9,
                               .source_epoch = 10,
                               .pad_bytes = 500};
    given.quote = md_quote_none;
    given.quote.last = (struct md_decimal){1234, -2};
    given.quote.bids = levels;
    given.quote.bid_count = 2;
    given.quote.asks = &levels[2];
    given.quote.ask_count = 1;
    given.quote.status = status;
    sink.on_tick = check_quote;
    assert_true(feed_queue_push(queue, "A.B", 3, &given));
    assert_true(poll_queue() > NOW_NS);
    assert_int_equal(sink.event_count, 1);
    assert_event(0, "A.B", 7);
    assert_int_equal(sink.feed.counters.ticks, 1);
}

static void check_rest(const struct md_update *update)
{
    switch (update->type) {
    case MD_TRADE:
        assert_int_equal(update->trade.id, 99);
        break;
    case MD_BAR:
        assert_string_equal(update->bar.interval, "1m");
        break;
    case MD_DEPTH:
        assert_int_equal(update->depth.bid_count, 0);
        assert_int_equal(update->depth.ask_count, LEVELS_MAX / 4);
        assert_levels(update->depth.asks, given.depth.asks, LEVELS_MAX / 4);
        assert_int_equal(update->depth.checksum, 77);
        break;
    case MD_STATUS:
        assert_string_equal(update->status.state, "open");
        assert_null(update->status.reason);
        break;
    default:
        fail();
    }
}

static void every_other_type_is_copied(void **state)
{
    (void)state;
    struct md_level levels[LEVELS_MAX / 4];
    memset(levels, 3, sizeof levels);
    sink.on_tick = check_rest;
    given = (struct md_update){.type = MD_TRADE, .trade = {.has_id = true, .id = 99}};
    assert_true(feed_queue_push(queue, "A", 1, &given));
    given = (struct md_update){.type = MD_BAR, .bar = {.interval = "1m"}};
    assert_true(feed_queue_push(queue, "A", 1, &given));
    given = (struct md_update){.type = MD_STATUS, .status = {.state = "open"}};
    assert_true(feed_queue_push(queue, "A", 1, &given));
    given = (struct md_update){
        .type = MD_DEPTH,
        .depth = {
            .asks = levels, .ask_count = LEVELS_MAX / 4, .has_checksum = true, .checksum = 77}};
    assert_true(feed_queue_push(queue, "A", 1, &given));
    poll_queue();
    assert_int_equal(sink.event_count, 4);
}

/* ---- Full ---- */

/* From a place of the buffer on, fills the queue with ticks of a size, and one more; then the loss
 * is told behind all of them and before what follows. */
static void fill_from(uint32_t offset, uint32_t level_count)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < offset; i++) { /* Losses are the smallest records. */
        feed_queue_lose(queue, "offset", 6, MD_DEPTH);
        assert_true(push("offset", 0));
        poll_queue();
    }
    sink.event_count = 0;
    while (push_levels("A", count + 1, level_count)) {
        count++;
    }
    assert_true(count >= (CAPACITY / 2 - (FEED_QUEUE_LOSSES_MAX + 1) * 64) /
                             (level_count * sizeof(struct md_level) + 384));
    assert_false(push_levels("A", 0, level_count));
    assert_true(poll_queue() > NOW_NS);
    assert_int_equal(sink.event_count, count + 1);
    for (uint64_t i = 0; i < count; i++) {
        assert_event((uint32_t)i, "A", i + 1);
    }
    assert_event((uint32_t)count, "A", LOSS);
    assert_true(push_levels("A", 77, level_count));
    poll_queue();
    assert_event((uint32_t)count + 1, "A", 77);
}

static void at_every_place_and_fill_level_a_loss_is_told_where_it_was(void **state)
{
    tear_down(state);
    for (uint32_t offset = 0; offset < 80; offset++) {
        for (uint32_t level_count = 0; level_count < 100; level_count += 7) {
            set_up(state);
            fill_from(offset, level_count);
            assert_int_equal(sink.feed.counters.lost, 2);
            tear_down(state);
        }
    }
    set_up(state);
}

static void losses_of_many_channels_are_told_once_each(void **state)
{
    (void)state;
    char name[16];
    while (push("A", 1)) {
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < FEED_QUEUE_LOSSES_MAX; i++) { /* "A" is one of them. */
            snprintf(name, sizeof name, "B%d", i);
            assert_false(push(name, 1));
        }
    }
    uint32_t losses = 0;
    poll_queue();
    for (uint32_t i = 0; i < sink.event_count; i++) {
        losses += sink.events[i].what == LOSS;
    }
    assert_int_equal(losses, FEED_QUEUE_LOSSES_MAX);
    assert_int_equal(sink.feed.counters.lost, 1 + 3 * (FEED_QUEUE_LOSSES_MAX - 1));
}

/* Of the channels beyond those that can be noted nothing is known but that some have lost. */
static void losses_of_more_channels_are_told_to_all(void **state)
{
    (void)state;
    char name[16];
    assert_true(push("earlier", 1));
    poll_queue();
    sink.event_count = 0;
    while (push("A", 1)) {
    }
    for (int i = 0; i < 3 * FEED_QUEUE_LOSSES_MAX; i++) {
        snprintf(name, sizeof name, "B%d", i);
        assert_false(push(name, 1));
    }
    poll_queue();
    bool told[CHANNELS] = {false};
    for (uint32_t i = 0; i < sink.event_count; i++) {
        told[sink.events[i].channel] |= sink.events[i].what == LOSS;
    }
    /* "earlier", "A", the noted ones, and the first that could not be noted. */
    assert_int_equal(sink.channel_count, 2 + FEED_QUEUE_LOSSES_MAX);
    for (uint32_t i = 0; i < sink.channel_count; i++) {
        assert_true(told[i]);
    }
    assert_true(push("A", 2)); /* It goes on, and the next loss is a new one. */
    while (push("A", 3)) {
    }
    sink.event_count = 0;
    poll_queue();
    assert_event(sink.event_count - 1, "A", LOSS);
}

static void what_the_source_has_lost_is_told_where_it_was(void **state)
{
    (void)state;
    assert_true(push("A", 1));
    feed_queue_lose(queue, "B", 1, MD_DEPTH);
    assert_true(push("A", 2));
    feed_queue_lose(queue, "A", 1, MD_DEPTH);
    poll_queue();
    assert_event(0, "A", 1);
    assert_event(1, "B", LOSS);
    assert_event(2, "A", 2);
    assert_event(3, "A", LOSS);
    assert_int_equal(sink.feed.counters.lost, 0);
}

static void a_tick_that_no_queue_holds_is_lost_and_others_are_not(void **state)
{
    (void)state;
    assert_true(push("A", 1));
    assert_false(push_levels("A", 2, LEVELS_MAX));
    assert_true(push("A", 3));
    poll_queue();
    assert_event(0, "A", 1);
    assert_event(1, "A", LOSS);
    assert_event(2, "A", 3);
}

static void a_symbol_without_a_channel_is_counted(void **state)
{
    (void)state;
    sink.channel_count = CHANNELS;
    assert_true(push("A", 1));
    feed_queue_lose(queue, "A", 1, MD_DEPTH);
    poll_queue();
    assert_int_equal(sink.event_count, 0);
    assert_int_equal(sink.feed.counters.malformed, 2);
}

/* ---- Waiting ---- */

static void a_poll_stays_within_the_room(void **state)
{
    (void)state;
    sink.room = 3;
    for (uint64_t i = 1; i <= 10; i++) {
        assert_true(push("A", i));
    }
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(poll_queue(), NOW_NS);
        assert_int_equal(sink.event_count, 3 * i);
    }
    assert_true(poll_queue() > NOW_NS);
    assert_int_equal(sink.event_count, 10);
}

static void the_descriptor_is_written_once_for_each_sleep(void **state)
{
    (void)state;
    assert_true(push("A", 1));
    assert_int_equal(sink.fd, -1);
    for (int i = 0; i < 3; i++) {
        assert_true(poll_queue() > NOW_NS);
        assert_true(sink.fd >= 0);
        assert_false(is_readable());
        assert_true(push("A", 2));
        assert_true(push("A", 3));
        uint64_t count;
        assert_true(is_readable());
        assert_int_equal(read(sink.fd, &count, sizeof count), sizeof count);
        assert_int_equal(count, 1);
        sink.room = 1;
        assert_int_equal(poll_queue(), NOW_NS); /* It is awake now. */
        assert_true(push("A", 4));
        assert_false(is_readable());
        sink.room = UINT32_MAX;
    }
}

static void a_wake_up_for_nothing_does_not_come_again(void **state)
{
    (void)state;
    uint64_t one = 1;
    assert_true(poll_queue() > NOW_NS);
    assert_int_equal(write(sink.fd, &one, sizeof one), sizeof one);
    assert_true(is_readable());
    assert_true(poll_queue() > NOW_NS);
    assert_false(is_readable());
}

static void it_ends_when_everything_was_handed_over(void **state)
{
    (void)state;
    assert_true(poll_queue() > NOW_NS);
    assert_true(push("A", 1));
    assert_true(push("A", 2));
    feed_queue_end(queue);
    assert_true(is_readable());
    sink.room = 1;
    assert_int_equal(poll_queue(), NOW_NS);
    sink.room = 2;
    assert_int_equal(poll_queue(), FEED_NEVER);
    assert_int_equal(sink.event_count, 2);
    assert_int_equal(sink.fd, -1);
}

static void an_end_wakes_who_sleeps(void **state)
{
    (void)state;
    assert_true(poll_queue() > NOW_NS);
    feed_queue_end(queue);
    assert_true(is_readable());
    assert_int_equal(poll_queue(), FEED_NEVER);
}

/* ---- Two threads ---- */

#define PUSHES 100000

static uint64_t pushed_count;
static uint64_t newest[CHANNELS]; /* number of each channel's ticks, as handed over */
static bool has_gap[CHANNELS];    /* since then */
static uint64_t handed_over;

static void *produce(void *context)
{
    (void)context;
    uint64_t random = 1;
    uint64_t numbers[100] = {0};
    for (uint64_t i = 1; i <= PUSHES; i++) {
        char name[8];
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned symbol = (unsigned)(random >> 33) % 100;
        snprintf(name, sizeof name, "S%u", symbol);
        pushed_count += push_levels(name, ++numbers[symbol], (random >> 50) % 32);
        if ((random >> 40) % 256 == 0) {
            sched_yield();
        }
    }
    feed_queue_end(queue);
    return NULL;
}

/* Each tick of a channel is the next one, or a loss was told since the one before; of those
 * before the first, nothing can be told. */
static void take_events(void)
{
    for (uint32_t i = 0; i < sink.event_count; i++) {
        uint32_t channel = sink.events[i].channel;
        if (sink.events[i].what == LOSS) {
            has_gap[channel] = true;
            continue;
        }
        assert_true(newest[channel] == 0 || sink.events[i].what == newest[channel] + 1 ||
                    has_gap[channel]);
        assert_true(sink.events[i].what > newest[channel]);
        has_gap[channel] = false;
        newest[channel] = sink.events[i].what;
        handed_over++;
    }
    sink.event_count = 0;
}

static void two_threads_lose_nothing_untold_and_no_wake_up(void **state)
{
    pthread_t thread;
    (void)state;
    sink.room = 256;
    assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
    for (;;) {
        uint64_t next_ns = poll_queue();
        take_events();
        if (next_ns == FEED_NEVER) {
            break;
        }
        if (next_ns > NOW_NS) {
            struct pollfd fd = {.fd = sink.fd, .events = POLLIN};
            assert_int_equal(poll(&fd, 1, 60000), 1);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(handed_over, pushed_count);
    assert_int_equal(sink.feed.counters.ticks, pushed_count);
    assert_int_equal(sink.feed.counters.lost, PUSHES - pushed_count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quote_is_copied_with_levels_and_text),
        TEST(every_other_type_is_copied),
        TEST(at_every_place_and_fill_level_a_loss_is_told_where_it_was),
        TEST(losses_of_many_channels_are_told_once_each),
        TEST(losses_of_more_channels_are_told_to_all),
        TEST(what_the_source_has_lost_is_told_where_it_was),
        TEST(a_tick_that_no_queue_holds_is_lost_and_others_are_not),
        TEST(a_symbol_without_a_channel_is_counted),
        TEST(a_poll_stays_within_the_room),
        TEST(the_descriptor_is_written_once_for_each_sleep),
        TEST(a_wake_up_for_nothing_does_not_come_again),
        TEST(it_ends_when_everything_was_handed_over),
        TEST(an_end_wakes_who_sleeps),
        TEST(two_threads_lose_nothing_untold_and_no_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
