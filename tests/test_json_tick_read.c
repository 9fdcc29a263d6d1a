/* What json_tick_encode writes is read back as it was; anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/json_tick_read.h"
#include "tests/guard_page.h"

#define OUT_BYTES 16384
#define LEVELS 60
#define ROUNDS 5000

static uint64_t seed = 88172645463325252;
static struct md_level levels[2][LEVELS], read_levels[2][LEVELS];
static struct json_tick_room room;
static struct json_tick_head head;
static struct guard_page guard;

static uint64_t below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

static struct md_decimal number(void)
{
    int64_t mantissa = (int64_t)(seed >> 1) >> below(63);
    below(2);
    return (struct md_decimal){below(2) == 0 ? mantissa : -mantissa, (int8_t)-below(19)};
}

static struct md_decimal maybe(void)
{
    return below(3) == 0 ? md_none : number();
}

static uint32_t fill(uint32_t side)
{
    uint32_t count = (uint32_t)below(LEVELS + 1);
    for (uint32_t i = 0; i < count; i++) {
        levels[side][i] = (struct md_level){number(), maybe()};
    }
    return count;
}

static struct md_update random_update(enum md_type type)
{
    static const char *const words[] = {NULL, "open", "h\xc3\xa4lt", ""};
    struct md_update update = {.type = type};
    update.ts_event_ns = below(2) == 0 ? 0 : seed;
    update.ts_recv_ns = below(2) == 0 ? 0 : seed;
    switch (type) {
    case MD_QUOTE:
        update.quote =
            (struct md_quote){maybe(), maybe(),   maybe(),   maybe(), maybe(), maybe(),
                              maybe(), levels[0], levels[1], fill(0), fill(1), words[below(4)]};
        update.pad_bytes = below(5) == 0 ? 3000 : 0;
        break;
    case MD_TRADE:
        update.trade =
            (struct md_trade){maybe(), maybe(), (enum md_side)below(3), below(2) == 0, seed};
        break;
    case MD_BAR:
        update.bar =
            (struct md_bar){"5m",    below(2) * seed, maybe(),       maybe(), maybe(),      maybe(),
                            maybe(), maybe(),         below(2) == 0, seed,    below(2) == 0};
        break;
    case MD_STATUS:
        update.status = (struct md_status){words[below(4)], words[below(4)]};
        break;
    default:
        update.depth = (struct md_depth){(enum md_action)below(2),
                                         levels[0],
                                         levels[1],
                                         fill(0),
                                         fill(1),
                                         below(2) == 0,
                                         (uint32_t)seed};
    }
    return update;
}

static int set_up(void **state)
{
    (void)state;
    room = (struct json_tick_room){
        .bids = read_levels[0], .asks = read_levels[1], .level_count_max = LEVELS};
    guard_page_init(&guard, OUT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_page_deinit(&guard);
    return 0;
}

static void what_is_written_is_read_back_to_the_byte(void **state)
{
    static uint8_t out[OUT_BYTES];
    static uint8_t again[OUT_BYTES];
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        enum md_type type = (enum md_type)below(MD_TYPE_COUNT);
        struct md_update update = random_update(type);
        struct md_update read;
        json_tick_head_init(&head, type, "a\\\"[{,b", 8, (uint32_t)seed);
        size_t bytes = json_tick_encode(out, sizeof out, &head, &update, seed, seed);
        assert_true(bytes > 0);
        uint8_t *tail = guard_page_tail(&guard, bytes);
        memcpy(tail, out, bytes);
        assert_true(json_tick_read(&read, &room, type, &head, tail, bytes));
        read.pad_bytes = update.pad_bytes;
        assert_int_equal(json_tick_encode(again, sizeof again, &head, &read, seed, seed), bytes);
        assert_memory_equal(out, again, bytes);
    }
}

static void a_payload_that_is_cut_or_changed_is_refused_or_harmless(void **state)
{
    static uint8_t out[OUT_BYTES];
    (void)state;
    for (int i = 0; i < 40; i++) {
        enum md_type type = (enum md_type)below(MD_TYPE_COUNT);
        struct md_update update = random_update(type);
        struct md_update read;
        update.pad_bytes = 0;
        json_tick_head_init(&head, type, "A", 1, 7);
        size_t bytes = json_tick_encode(out, sizeof out, &head, &update, 5, 6);
        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *tail = guard_page_tail(&guard, cut);
            memcpy(tail, out, cut);
            assert_false(json_tick_read(&read, &room, type, &head, tail, cut));
        }
        uint8_t *tail = guard_page_tail(&guard, bytes);
        for (int j = 0; j < 200; j++) {
            memcpy(tail, out, bytes);
            tail[below(bytes)] = (uint8_t)seed;
            (void)json_tick_read(&read, &room, type, &head, tail, bytes);
        }
    }
}

static void more_levels_than_there_is_room_for_are_refused(void **state)
{
    static uint8_t out[OUT_BYTES];
    struct md_update update = {.type = MD_DEPTH};
    struct md_update read;
    (void)state;
    for (uint32_t i = 0; i < LEVELS; i++) {
        levels[0][i] = (struct md_level){{1, 0}, {1, 0}};
    }
    update.depth = (struct md_depth){MD_DELTA, levels[0], levels[1], LEVELS, 0, false, 0};
    json_tick_head_init(&head, MD_DEPTH, "A", 1, 7);
    size_t bytes = json_tick_encode(out, sizeof out, &head, &update, 5, 6);
    assert_true(json_tick_read(&read, &room, MD_DEPTH, &head, out, bytes));
    room.level_count_max = LEVELS - 1;
    assert_false(json_tick_read(&read, &room, MD_DEPTH, &head, out, bytes));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back_to_the_byte),
        TEST(a_payload_that_is_cut_or_changed_is_refused_or_harmless),
        TEST(more_levels_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
