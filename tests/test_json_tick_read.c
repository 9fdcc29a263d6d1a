/* What json_tick_encode writes is read back as it was; anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/json_tick_read.h"
#include "tests/guard_page.h"
#include "tests/random_tick.h"

#define OUT_BYTES 16384
#define ROUNDS 5000

static struct md_level read_levels[2][LEVELS];
static struct json_tick_room room;
static struct json_tick_head head;
static struct guard_page guard;

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
