/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdbool.h>
#include <string.h>

#include "ring/fan/subs.h"

#define CHANNELS 40
#define CHANNELS_ALL 65536
#define CONNS 60

static const struct keyed_hash key = {{UINT64_C(0x0123456789abcdef), 42}};
static struct subs subs;
static uint32_t conn_first[CONNS];
static bool reference[CONNS][CHANNELS];

static int set_up(void **state)
{
    (void)state;
    memset(conn_first, 0, sizeof conn_first);
    memset(reference, 0, sizeof reference);
    return subs_init(&subs, CHANNELS_ALL, &key);
}

static int tear_down(void **state)
{
    (void)state;
    subs_deinit(&subs);
    return 0;
}

static uint32_t add(uint32_t conn, uint32_t channel)
{
    uint32_t sub = SUB_NONE;
    assert_int_equal(subs_add(&subs, conn, channel, &conn_first[conn], &sub), 0);
    assert_int_not_equal(sub, SUB_NONE);
    return sub;
}

/* Every way to find a subscription says what the reference says. */
static void assert_matches_reference(void)
{
    uint32_t total = 0;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        uint32_t wanted = 0;
        for (uint32_t channel = 0; channel < CHANNELS; channel++) {
            uint32_t sub = subs_find(&subs, conn, channel);
            wanted += reference[conn][channel];
            assert_int_equal(sub != SUB_NONE, reference[conn][channel]);
            if (sub != SUB_NONE) {
                const struct sub *record = &subs.records[sub];
                assert_true(record->place < subs.channels[channel].count);
                assert_int_equal(subs.channels[channel].conns[record->place], conn);
            }
        }
        uint32_t listed = 0;
        uint32_t previous = SUB_NONE;
        for (uint32_t sub = conn_first[conn]; sub != SUB_NONE; sub = subs.records[sub].conn_next) {
            assert_int_equal(subs.records[sub].conn, conn);
            assert_true(reference[conn][subs.records[sub].channel]);
            assert_int_equal(subs.records[sub].conn_prev, previous);
            previous = sub;
            listed++;
        }
        assert_int_equal(listed, wanted);
        total += wanted;
    }
    uint32_t in_channels = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        in_channels += subs.channels[channel].count;
    }
    assert_int_equal(in_channels, total);
    assert_int_equal(subs.count, total);
}

static void nothing_is_found_in_an_empty_table(void **state)
{
    (void)state;
    assert_matches_reference();
    assert_int_equal(subs_find(&subs, UINT32_MAX, UINT32_MAX), SUB_NONE);
}

static void a_new_record_is_blank_but_for_its_pair(void **state)
{
    (void)state;
    uint32_t sub = add(7, 3);
    subs.records[sub].next_seq = 99;
    subs.records[sub].tag = 5;
    subs_remove(&subs, sub, &conn_first[7]);
    assert_int_equal(conn_first[7], SUB_NONE);
    assert_int_equal(add(8, 4), sub); /* The record is used again. */
    assert_int_equal(subs.records[sub].next_seq, 0);
    assert_int_equal(subs.records[sub].tag, 0);
    assert_int_equal(subs.records[sub].conn, 8);
    assert_int_equal(subs.records[sub].channel, 4);
    assert_int_equal(subs_find(&subs, 7, 3), SUB_NONE);
    assert_int_equal(subs_find(&subs, 8, 4), sub);
}

static void the_entry_that_moves_into_a_freed_place_knows_its_place(void **state)
{
    (void)state;
    uint32_t numbers[3];
    for (uint32_t conn = 0; conn < 3; conn++) {
        numbers[conn] = add(conn, 5);
        assert_int_equal(subs.records[numbers[conn]].place, conn);
    }
    subs_remove(&subs, numbers[0], &conn_first[0]);
    assert_int_equal(subs.records[numbers[2]].place, 0);
    assert_int_equal(subs.channels[5].conns[0], 2);
    assert_int_equal(subs.records[numbers[1]].place, 1);
    subs_remove(&subs, numbers[1], &conn_first[1]); /* The last: nothing moves. */
    assert_int_equal(subs.channels[5].count, 1);
    assert_int_equal(subs.records[numbers[2]].place, 0);
}

static void random_adds_and_removes_match_a_plain_matrix(void **state)
{
    (void)state;
    uint64_t seed = 4242;
    for (uint32_t round = 0; round < 60000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint32_t conn = (uint32_t)(seed >> 33) % CONNS;
        uint32_t channel = (uint32_t)(seed >> 45) % CHANNELS;
        uint32_t sub = subs_find(&subs, conn, channel);
        assert_int_equal(sub != SUB_NONE, reference[conn][channel]);
        if (sub == SUB_NONE) {
            add(conn, channel);
        } else {
            subs_remove(&subs, sub, &conn_first[conn]);
        }
        reference[conn][channel] = !reference[conn][channel];
        if (round % 500 == 0) {
            assert_matches_reference();
        }
    }
    assert_matches_reference();
}

static void a_conn_that_leaves_takes_all_of_its_subscriptions_along(void **state)
{
    (void)state;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        for (uint32_t channel = conn % 3; channel < CHANNELS; channel += 3) {
            add(conn, channel);
            reference[conn][channel] = true;
        }
    }
    for (uint32_t conn = 0; conn < CONNS; conn += 2) {
        while (conn_first[conn] != SUB_NONE) {
            subs_remove(&subs, conn_first[conn], &conn_first[conn]);
        }
        memset(reference[conn], 0, sizeof reference[conn]);
        assert_matches_reference();
    }
}

static void the_hash_grows_and_still_finds_every_pair(void **state)
{
    (void)state;
    const uint32_t conns = 20000;
    uint32_t start_mask = subs.hash_mask;
    for (uint32_t conn = 0; conn < conns; conn++) {
        uint32_t first = SUB_NONE;
        uint32_t sub;
        for (uint32_t channel = 0; channel < 10; channel++) {
            assert_int_equal(subs_add(&subs, conn, channel, &first, &sub), 0);
        }
    }
    assert_true(subs.hash_mask > start_mask);
    assert_true((uint64_t)subs.count * 2 <= (uint64_t)subs.hash_mask + 1);
    for (uint32_t conn = 0; conn < conns; conn++) {
        for (uint32_t channel = 0; channel < 10; channel++) {
            uint32_t sub = subs_find(&subs, conn, channel);
            assert_int_not_equal(sub, SUB_NONE);
            assert_int_equal(subs.records[sub].conn, conn);
            assert_int_equal(subs.records[sub].channel, channel);
        }
        assert_int_equal(subs_find(&subs, conn, 10), SUB_NONE);
    }
}

/* How many slots are full in a row, at most: what a search has to walk. */
static uint32_t longest_run(void)
{
    uint32_t longest = 0;
    uint32_t run = 0;
    for (uint32_t at = 0; at < 2 * (subs.hash_mask + 1); at++) { /* A run may go round the end. */
        run = subs.hash[at & subs.hash_mask] == SUB_NONE ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* They all began in the first 64 of 32 768 slots while the hash had no key. */
static void pairs_that_were_chosen_to_collide_lie_apart(void **state)
{
    (void)state;
    uint32_t found = 0;
    for (uint32_t conn = 0; found < 10000; conn++) {
        uint32_t first = SUB_NONE;
        for (uint32_t channel = 0; channel < CHANNELS_ALL && found < 10000; channel++) {
            uint64_t product = ((uint64_t)conn << 32 | channel) * UINT64_C(0x9e3779b97f4a7c15);
            if ((product >> 32 & 32767) < 64) {
                uint32_t sub;
                assert_int_equal(subs_add(&subs, conn, channel, &first, &sub), 0);
                found++;
            }
        }
    }
    assert_int_equal(subs.hash_mask, 32767);
    assert_true(longest_run() < 64);
}

static void another_key_puts_the_pairs_elsewhere(void **state)
{
    (void)state;
    struct subs other;
    const struct keyed_hash other_key = {{key.key[0], key.key[1] + 1}};
    uint32_t same = 0;
    assert_int_equal(subs_init(&other, CHANNELS, &other_key), 0);
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint32_t first = SUB_NONE;
        uint32_t sub;
        assert_int_equal(add(channel, channel), 1 + channel);
        assert_int_equal(subs_add(&other, channel, channel, &first, &sub), 0);
    }
    for (uint32_t at = 0; at <= subs.hash_mask; at++) {
        same += subs.hash[at] != SUB_NONE && subs.hash[at] == other.hash[at];
    }
    assert_true(same < CHANNELS / 4);
    subs_deinit(&other);
}

static void a_list_tells_which_entry_moved(void **state)
{
    (void)state;
    struct sub_list *list = &subs.channels[0]; /* Freed by deinit. */
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t place;
        assert_int_equal(sub_list_add(list, 100 + i, &place), 0);
        assert_int_equal(place, i);
    }
    assert_int_equal(sub_list_remove(list, 2), 108);
    assert_int_equal(list->conns[2], 108);
    assert_int_equal(sub_list_remove(list, 7), UINT32_MAX);
    assert_int_equal(list->count, 7);
    while (list->count > 0) {
        sub_list_remove(list, 0);
        assert_true(list->capacity <= 4 || list->capacity < 4 * list->count + 4);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_found_in_an_empty_table),
        TEST(a_new_record_is_blank_but_for_its_pair),
        TEST(the_entry_that_moves_into_a_freed_place_knows_its_place),
        TEST(random_adds_and_removes_match_a_plain_matrix),
        TEST(a_conn_that_leaves_takes_all_of_its_subscriptions_along),
        TEST(the_hash_grows_and_still_finds_every_pair),
        TEST(pairs_that_were_chosen_to_collide_lie_apart),
        TEST(another_key_puts_the_pairs_elsewhere),
        TEST(a_list_tells_which_entry_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
