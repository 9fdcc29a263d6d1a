/* A JSON frame put into SBE is the frame that a live client got. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/json_tick.h"
#include "codec/sbe_tick.h"
#include "codec/ws_frame.h"
#include "src/market/recoder.h"

#define LEVELS 4000
#define FRAME_BYTES_MAX 65536
#define SEQ 58211
#define PUB_NS 1732078800123461200

static struct channels *channels;
static struct recoder *recoder;
static struct md_level levels[LEVELS];
static uint8_t frame[FRAME_BYTES_MAX];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    assert_int_equal(recoder_create(&recoder, channels), 0);
    for (uint32_t i = 0; i < LEVELS; i++) {
        levels[i] = (struct md_level){{6543200 + i, -2}, {1 + i, -3}};
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    recoder_destroy(recoder);
    channels_destroy(channels);
    return 0;
}

static struct md_update example(enum md_type type)
{
    struct md_update update = {.type = type, .ts_event_ns = PUB_NS - 5, .ts_recv_ns = PUB_NS - 2};
    switch (type) {
    case MD_QUOTE:
        update.quote = md_quote_none;
        update.quote.last = (struct md_decimal){6543210, -2};
        update.quote.bids = update.quote.asks = levels;
        update.quote.bid_count = 5;
        update.quote.ask_count = 3;
        update.quote.status = "auction";
        break;
    case MD_TRADE:
        update.trade = (struct md_trade){{6543212, -2}, {35130000, -8}, MD_SIDE_BUY, true, 42};
        break;
    case MD_BAR:
        update.bar = (struct md_bar){.interval = "1m", .start_ns = PUB_NS, .closed = true};
        update.bar.open = update.bar.close = (struct md_decimal){35, -1};
        break;
    case MD_DEPTH:
        update.depth = (struct md_depth){MD_SNAPSHOT, levels, levels, LEVELS / 2, 7, true, 9};
        break;
    default:
        update.status = (struct md_status){"halted", "news pending"};
    }
    return update;
}

/* The JSON frame of a tick, in frame; with the descriptor that the log has of it. */
static struct frame_desc write_json(const struct md_update *update)
{
    uint32_t channel = channels_open(channels, "BTC-USD", 7, update->type);
    struct json_tick_head head;
    json_tick_head_init(&head, update->type, "BTC-USD", 7, channel);
    size_t bytes = json_tick_encode(frame + WS_FRAME_FINISH_GAP, sizeof frame - WS_FRAME_FINISH_GAP,
                                    &head, update, SEQ, PUB_NS);
    assert_true(bytes > 0);
    return (struct frame_desc){
        .seq = SEQ,
        .ts_pub_ns = PUB_NS,
        .channel = channel,
        .frame_bytes = (uint32_t)ws_frame_finish(frame, WS_TEXT, bytes),
    };
}

static void each_type_is_what_was_sent_live(void **state)
{
    static uint8_t live[FRAME_BYTES_MAX];
    (void)state;
    for (int type = 0; type < MD_TYPE_COUNT; type++) {
        struct md_update update = example((enum md_type)type);
        struct frame_desc desc = write_json(&update);
        size_t bytes = sbe_tick_encode(live + WS_FRAME_FINISH_GAP, WS_FRAME_FINISH_BYTES_MAX,
                                       desc.channel, &update, SEQ, PUB_NS);
        bytes = ws_frame_finish(live, WS_BINARY, bytes);
        uint32_t recoded_bytes;
        const uint8_t *recoded = recoder_to_sbe(recoder, &desc, frame, &recoded_bytes);
        assert_int_equal(recoded_bytes, bytes);
        assert_memory_equal(recoded, live, bytes);
    }
}

static void what_sbe_cannot_bear_stays_json(void **state)
{
    (void)state;
    struct md_update update = example(MD_TRADE);
    update.trade.price = (struct md_decimal){1000000000000, 0};
    update.trade.size = (struct md_decimal){1, -8};
    uint32_t bytes;
    struct frame_desc desc = write_json(&update);
    assert_ptr_not_equal(recoder_to_sbe(recoder, &desc, frame, &bytes), frame);
    update = example(MD_DEPTH);
    levels[1].price = (struct md_decimal){INT64_MAX / 10, 0}; /* beside others with two places */
    desc = write_json(&update);
    assert_ptr_equal(recoder_to_sbe(recoder, &desc, frame, &bytes), frame);
    assert_int_equal(bytes, desc.frame_bytes);
}

static void a_text_that_cannot_be_read_back_stays_json(void **state)
{
    (void)state;
    struct md_update update = example(MD_STATUS);
    update.status.reason = "the \"news\"";
    uint32_t bytes;
    struct frame_desc desc = write_json(&update);
    assert_null(recoder_read(recoder, desc.channel, frame, desc.frame_bytes));
    assert_ptr_equal(recoder_to_sbe(recoder, &desc, frame, &bytes), frame);
    assert_int_equal(bytes, desc.frame_bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_type_is_what_was_sent_live),
        TEST(what_sbe_cannot_bear_stays_json),
        TEST(a_text_that_cannot_be_read_back_stays_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
