/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "codec/json_tick.h"
#include "codec/running_hash.h"
#include "codec/ws_frame.h"
#include "ring/board/frame_log_size.h"
#include "src/base/log.h"
#include "src/market/encodings.h"

#define FRAME_BYTES_MAX 4096
#define SYMBOLS 600 /* more than are carried over in one poll */
#define WALL_NS UINT64_C(1700000000000000000)

static struct channels *channels;
static struct encodings *encodings;
static struct core_encoding *table;
static uint64_t now_ns;

static const struct frame_log_options log_options = {
    .capacity_bytes = MIB,
    .frame_bytes_max = FRAME_BYTES_MAX,
    .channel_count_max = CHANNELS_MAX,
    .reader_count = 1,
};

static int set_up_with(uint64_t memory_bytes_max)
{
    now_ns = NS_PER_SECOND;
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    struct encodings_options options = {
        .channels = channels,
        .log = log_options,
        .compresses = true,
        .compressed_bytes_min = 64,
        .memory_bytes_max = memory_bytes_max,
    };
    uint32_t count;
    assert_int_equal(encodings_create(&encodings, &options), 0);
    table = encodings_table(encodings, &count);
    assert_true(count > CORE_ENCODING_SBE);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(0);
}

static int set_up_for_two_logs(void **state)
{
    (void)state;
    return set_up_with(3 * frame_log_size_most(&log_options) - 1);
}

static int set_up_for_json_only(void **state)
{
    (void)state;
    return set_up_with(frame_log_size_most(&log_options));
}

static int open_log(void **state)
{
    (void)state;
    return log_open(LOG_LEVEL_CRITICAL, false, 1);
}

static int shut_log(void **state)
{
    (void)state;
    log_close();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    encodings_destroy(encodings);
    channels_destroy(channels);
    return 0;
}

static uint32_t open_channel(uint32_t number, enum md_type type)
{
    char symbol[16];
    int bytes = snprintf(symbol, sizeof symbol, "S%05u", number);
    return channels_open(channels, symbol, (size_t)bytes, type);
}

/* As the publisher does. */
static void publish(uint32_t channel, int64_t price)
{
    const struct channel *known = channels_get(channels, channel);
    struct md_update update = {.type = (enum md_type)known->type, .channel = channel};
    if (update.type == MD_QUOTE) {
        update.quote = md_quote_none;
        update.quote.last = (struct md_decimal){price, -2};
    } else {
        update.trade = (struct md_trade){.price = {price, -2}, .size = {1, 0}};
    }
    struct tick tick = {
        .update = &update,
        .channel = channel,
        .group = known->group,
        .flags = update.type == MD_QUOTE ? FRAME_FULL_IMAGE : 0,
    };
    sequencer_stamp(&tick, encodings_json_log(encodings));
    tick.ts_pub_ns = WALL_NS + now_ns;
    assert_int_not_equal(encodings_write(encodings, &tick), 0);
    encodings_publish(encodings);
}

static bool is_written(void)
{
    return core_encoding_is_written(atomic_load(&table[CORE_ENCODING_SBE].run));
}

static void poll_until_done(void)
{
    uint32_t polls = 0;
    while (encodings_poll(encodings, now_ns)) {
        assert_true(++polls <= SYMBOLS);
    }
}

static bool joins(uint32_t encoding)
{
    return core_claims_join(encodings_claims(encodings), encoding);
}

static void a_client_comes(void)
{
    assert_true(joins(CORE_ENCODING_SBE));
}

static void a_client_goes(void)
{
    core_claims_leave(encodings_claims(encodings), CORE_ENCODING_SBE);
}

/* The seq and ts_pub of each frame in a log, in order, from where it says that it began. */
static void expect_same_ticks(uint64_t count)
{
    struct frame_log *json = encodings_json_log(encodings);
    struct frame_log *log = table[CORE_ENCODING_SBE].log;
    uint64_t first = atomic_load(&table[CORE_ENCODING_SBE].first);
    uint64_t json_first = atomic_load(&table[CORE_ENCODING_SBE].json_first);
    assert_int_equal(frame_log_head(log) - first, count);
    assert_int_equal(frame_log_head(json) - json_first, count);
    for (uint64_t i = 0; i < count; i++) {
        const struct frame_desc *one = frame_log_desc(json, json_first + i);
        const struct frame_desc *two = frame_log_desc(log, first + i);
        assert_int_equal(one->channel, two->channel);
        assert_int_equal(one->seq, two->seq);
        assert_int_equal(one->ts_pub_ns, two->ts_pub_ns);
        assert_int_equal(one->flags, two->flags);
        assert_int_equal(one->group, two->group);
    }
}

static void what_nobody_asks_for_is_not_written(void **state)
{
    (void)state;
    publish(open_channel(1, MD_QUOTE), 100);
    assert_false(encodings_poll(encodings, now_ns));
    assert_false(is_written());
    assert_int_equal(frame_log_head(table[CORE_ENCODING_SBE].log), 0);
    assert_int_equal(frame_log_head(encodings_json_log(encodings)), 1);
}

static void it_begins_with_the_newest_frame_of_each_channel(void **state)
{
    (void)state;
    struct frame_log *log = table[CORE_ENCODING_SBE].log;
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        uint32_t quote = open_channel(i, MD_QUOTE);
        uint32_t trade = open_channel(i, MD_TRADE);
        for (uint32_t tick = 0; tick <= i % 3; tick++) {
            publish(quote, 100 + tick);
            publish(trade, 100 + tick);
        }
    }
    uint32_t empty = open_channel(SYMBOLS, MD_QUOTE);
    a_client_comes();
    assert_true(encodings_poll(encodings, now_ns)); /* There is more than one poll's worth. */
    assert_false(is_written());
    uint32_t last = SYMBOLS * 2 - 2;
    publish(last, 900); /* Its newest frame is not the one of before. */
    poll_until_done();
    assert_true(is_written());
    assert_int_equal(frame_log_head(log), 2 * SYMBOLS);
    for (uint64_t index = 0; index < 2 * SYMBOLS; index++) {
        const struct frame_desc *desc = frame_log_desc(log, index);
        assert_int_equal(desc->group, desc->channel % 2 == 0 ? MD_QUOTE : MD_TRADE);
        assert_int_equal(desc->flags, desc->channel % 2 == 0 ? FRAME_FULL_IMAGE : 0);
        assert_int_equal(desc->seq,
                         desc->channel == last ? (SYMBOLS - 1) % 3 + 2 : desc->channel / 2 % 3 + 1);
    }
    /* From here on all channels go on where JSON's are. */
    for (uint32_t i = 0; i <= empty; i++) {
        publish(i, 7);
    }
    publish(open_channel(SYMBOLS + 1, MD_TRADE), 8);
    expect_same_ticks(empty + 2);
}

static void what_only_json_can_say_is_marked(void **state)
{
    (void)state;
    struct frame_log *json = encodings_json_log(encodings);
    struct frame_log *log = table[CORE_ENCODING_SBE].log;
    uint32_t channel = open_channel(1, MD_TRADE);
    a_client_comes();
    poll_until_done();
    publish(channel, 1);
    struct tick gap = {.channel = channel, .group = MD_TRADE};
    sequencer_stamp(&gap, json);
    assert_int_not_equal(encodings_write(encodings, &gap), 0);
    encodings_publish(encodings);
    uint64_t last = frame_log_head(log) - 1;
    assert_int_equal(frame_log_desc(log, last - 1)->flags, 0);
    assert_int_equal(frame_log_desc(log, last)->flags, FRAME_IS_JSON);
    assert_int_equal(frame_log_desc(json, frame_log_head(json) - 1)->flags, 0);
}

/* S103: retention by age. */
static void it_ends_long_after_its_last_client(void **state)
{
    (void)state;
    uint32_t channel = open_channel(1, MD_QUOTE);
    publish(channel, 1);
    a_client_comes();
    poll_until_done();
    a_client_goes();
    encodings_poll(encodings, now_ns);
    now_ns += ENCODINGS_LINGER_NS - 1;
    encodings_poll(encodings, now_ns);
    assert_true(is_written());
    a_client_comes();
    encodings_poll(encodings, now_ns);
    now_ns += ENCODINGS_LINGER_NS;
    encodings_poll(encodings, now_ns);
    a_client_goes();
    encodings_poll(encodings, now_ns);
    now_ns += ENCODINGS_LINGER_NS - 1;
    encodings_poll(encodings, now_ns);
    assert_true(is_written()); /* Its time began anew. */
    now_ns += 1;
    encodings_poll(encodings, now_ns);
    assert_false(is_written());
    uint64_t head = frame_log_head(table[CORE_ENCODING_SBE].log);
    publish(channel, 2);
    assert_int_equal(frame_log_head(table[CORE_ENCODING_SBE].log), head);
    assert_int_equal(frame_log_tail(table[CORE_ENCODING_SBE].log), head);
}

static void it_may_begin_again(void **state)
{
    (void)state;
    struct frame_log *log = table[CORE_ENCODING_SBE].log;
    uint32_t channel = open_channel(1, MD_QUOTE);
    for (uint32_t round = 0; round < 5; round++) {
        publish(channel, round);
        a_client_comes();
        poll_until_done();
        uint64_t head = frame_log_head(log);
        assert_int_equal(frame_log_tail(log), head - 1);
        assert_int_equal(frame_log_desc(log, head - 1)->seq, 2 * round + 1);
        publish(channel, round);
        assert_int_equal(frame_log_desc(log, head)->seq, 2 * round + 2);
        assert_int_equal(atomic_load(&table[CORE_ENCODING_SBE].run), 2 * round + 1);
        a_client_goes();
        encodings_poll(encodings, now_ns);
        now_ns += ENCODINGS_LINGER_NS;
        encodings_poll(encodings, now_ns);
        assert_int_equal(atomic_load(&table[CORE_ENCODING_SBE].run), 2 * round + 2);
    }
}

static void each_encoding_has_running_hashes_and_deflate_those_of_json(void **state)
{
    (void)state;
    struct frame_log *sbe = table[CORE_ENCODING_SBE].log;
    struct frame_log *deflated = table[CORE_ENCODING_JSON_DEFLATE].log;
    uint32_t channel = open_channel(0, MD_QUOTE);
    publish(channel, 100);
    publish(channel, 101);
    a_client_comes();
    assert_true(joins(CORE_ENCODING_JSON_DEFLATE));
    poll_until_done();
    publish(channel, 102);
    uint64_t hash = RUNNING_HASH_START;
    assert_int_equal(frame_log_head(sbe), 2);
    assert_int_equal(frame_log_head(deflated), 2);
    for (uint64_t index = 0; index < 2; index++) { /* the image of seq 2, and seq 3 */
        const struct frame_desc *desc = frame_log_desc(sbe, index);
        const uint8_t *frame = frame_log_at(sbe, desc->position);
        size_t header_bytes = frame[1] == 126 ? 4 : 2;
        hash = running_hash_add(
            hash, running_hash_payload(frame + header_bytes, desc->frame_bytes - header_bytes));
        assert_true(desc->hash == hash);
        const struct frame_desc *plain = frame_log_desc(encodings_json_log(encodings), index + 1);
        desc = frame_log_desc(deflated, index);
        assert_true(desc->hash == plain->hash);
        assert_int_equal(desc->seq, index + 2);
    }
}

/* ---- Memory ---- */

static void leave(uint32_t encoding)
{
    core_claims_leave(encodings_claims(encodings), encoding);
}

static void let_it_end(void)
{
    encodings_poll(encodings, now_ns);
    now_ns += ENCODINGS_LINGER_NS;
    encodings_poll(encodings, now_ns); /* ends it, */
    encodings_poll(encodings, now_ns); /* and gives its room up */
}

static void one_that_does_not_fit_begins_when_another_has_ended(void **state)
{
    (void)state;
    struct core_encoding *deflated = &table[CORE_ENCODING_JSON_DEFLATE];
    publish(open_channel(1, MD_QUOTE), 100);
    a_client_comes();
    poll_until_done();
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    assert_int_equal(core_claims_refused(encodings_claims(encodings)), 1);
    poll_until_done();
    assert_int_equal(atomic_load(&deflated->run), 0);
    assert_int_equal(frame_log_head(deflated->log), 0);
    a_client_comes(); /* A second one of what is written fits. */
    leave(CORE_ENCODING_SBE);
    leave(CORE_ENCODING_SBE);
    encodings_poll(encodings, now_ns);
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE)); /* Its memory is not given back yet. */
    let_it_end();
    assert_false(is_written());
    assert_true(joins(CORE_ENCODING_JSON_DEFLATE));
    assert_false(joins(CORE_ENCODING_SBE));
    poll_until_done();
    assert_int_equal(atomic_load(&deflated->run), 1);
    assert_int_equal(frame_log_head(deflated->log), 1);
}

static void one_that_is_idle_ends_soon_when_another_is_refused(void **state)
{
    (void)state;
    publish(open_channel(1, MD_QUOTE), 100);
    a_client_comes();
    poll_until_done();
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    leave(CORE_ENCODING_SBE);
    encodings_poll(encodings, now_ns); /* idle from here on */
    now_ns += ENCODINGS_LINGER_NS - 1;
    encodings_poll(encodings, now_ns);
    assert_true(is_written()); /* What was refused before has seen it in use. */
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    encodings_poll(encodings, now_ns);
    assert_false(is_written());
    encodings_poll(encodings, now_ns);
    assert_true(joins(CORE_ENCODING_JSON_DEFLATE));
}

static void who_leaves_before_it_begins_gives_its_room_back(void **state)
{
    (void)state;
    a_client_comes();
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    leave(CORE_ENCODING_SBE);
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    poll_until_done();
    assert_true(joins(CORE_ENCODING_JSON_DEFLATE));
    poll_until_done();
    assert_false(is_written());
}

static void who_comes_when_it_has_just_ended_keeps_its_room(void **state)
{
    (void)state;
    publish(open_channel(1, MD_QUOTE), 100);
    a_client_comes();
    poll_until_done();
    leave(CORE_ENCODING_SBE);
    encodings_poll(encodings, now_ns);
    now_ns += ENCODINGS_LINGER_NS;
    encodings_poll(encodings, now_ns);
    assert_false(is_written());
    a_client_comes();
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    poll_until_done();
    assert_true(is_written());
    assert_int_equal(atomic_load(&table[CORE_ENCODING_SBE].run), 3);
}

static void json_alone_needs_no_claim(void **state)
{
    (void)state;
    assert_false(joins(CORE_ENCODING_SBE));
    assert_false(joins(CORE_ENCODING_JSON_DEFLATE));
    publish(open_channel(1, MD_QUOTE), 100);
    poll_until_done();
    assert_int_equal(frame_log_head(encodings_json_log(encodings)), 1);
    assert_int_equal(frame_log_head(table[CORE_ENCODING_SBE].log), 0);
    assert_int_equal(core_claims_refused(encodings_claims(encodings)), 2);
}

static void as_many_are_written_as_fit(void **state)
{
    (void)state;
    uint64_t one = frame_log_size_most(&log_options);
    assert_true(one >= 2 * log_options.capacity_bytes);
    assert_int_equal(encodings_fit(&log_options, 0, 3), 3);
    assert_int_equal(encodings_fit(&log_options, one - 1, 3), 0);
    assert_int_equal(encodings_fit(&log_options, one, 3), 1);
    assert_int_equal(encodings_fit(&log_options, 2 * one - 1, 3), 1);
    assert_int_equal(encodings_fit(&log_options, 2 * one, 3), 2);
    assert_int_equal(encodings_fit(&log_options, 3 * one, 3), 3);
    assert_int_equal(encodings_fit(&log_options, UINT64_MAX, 3), 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nobody_asks_for_is_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_begins_with_the_newest_frame_of_each_channel, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_only_json_can_say_is_marked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_ends_long_after_its_last_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_may_begin_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_encoding_has_running_hashes_and_deflate_those_of_json,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_does_not_fit_begins_when_another_has_ended,
                                        set_up_for_two_logs, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_idle_ends_soon_when_another_is_refused,
                                        set_up_for_two_logs, tear_down),
        cmocka_unit_test_setup_teardown(who_leaves_before_it_begins_gives_its_room_back,
                                        set_up_for_two_logs, tear_down),
        cmocka_unit_test_setup_teardown(who_comes_when_it_has_just_ended_keeps_its_room,
                                        set_up_for_two_logs, tear_down),
        cmocka_unit_test_setup_teardown(json_alone_needs_no_claim, set_up_for_json_only, tear_down),
        cmocka_unit_test(as_many_are_written_as_fit),
    };
    return cmocka_run_group_tests(tests, open_log, shut_log);
}
