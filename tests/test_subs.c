/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "ring/subs.h"

#define CONNS 60
#define CHANNELS 80
#define STEPS 60000

static struct subs subs;
static uint32_t firsts[CONNS];

static int set_up(void **state)
{
    (void)state;
    memset(firsts, 0, sizeof firsts);
    return subs_init(&subs, CHANNELS);
}

static int tear_down(void **state)
{
    (void)state;
    subs_deinit(&subs);
    return 0;
}

static void a_subscription_is_found_by_channel_by_conn_and_by_both(void **state)
{
    (void)state;
    uint32_t sub;
    assert_int_equal(subs_find(&subs, 7, 9), SUB_NONE);
    assert_int_equal(subs_add(&subs, 7, 9, &firsts[7], &sub), 0);
    assert_int_equal(subs_find(&subs, 7, 9), sub);
    assert_int_equal(subs_find(&subs, 9, 7), SUB_NONE);
    assert_int_equal(firsts[7], sub);
    assert_int_equal(subs.channels[9].count, 1);
    assert_int_equal(subs.channels[9].entries[0].conn, 7);
    subs_remove(&subs, sub, &firsts[7]);
    assert_int_equal(subs_find(&subs, 7, 9), SUB_NONE);
    assert_int_equal(firsts[7], SUB_NONE);
    assert_int_equal(subs.channels[9].count, 0);
}

static void check_against(bool (*reference)[CHANNELS])
{
    uint32_t total = 0;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        uint32_t listed = 0;
        uint32_t expected = 0;
        for (uint32_t channel = 0; channel < CHANNELS; channel++) {
            uint32_t sub = subs_find(&subs, conn, channel);
            assert_int_equal(sub != SUB_NONE, reference[conn][channel]);
            expected += reference[conn][channel];
        }
        for (uint32_t sub = firsts[conn]; sub != SUB_NONE; sub = subs.records[sub].conn_next) {
            const struct sub *record = &subs.records[sub];
            assert_int_equal(record->conn, conn);
            const struct sub_entry *entry = &subs.channels[record->channel].entries[record->place];
            assert_int_equal(entry->conn, conn);
            assert_int_equal(entry->sub, sub);
            listed++;
        }
        assert_int_equal(listed, expected);
        total += expected;
    }
    assert_int_equal(subs.count, total);
}

static void a_random_history_agrees_with_a_plain_table(void **state)
{
    (void)state;
    static bool reference[CONNS][CHANNELS];
    srand(1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t conn = (uint32_t)rand() % CONNS;
        uint32_t channel = (uint32_t)rand() % CHANNELS;
        uint32_t sub = subs_find(&subs, conn, channel);
        /* Fills up in the first half, so that the hash grows, and empties in the second. */
        bool add = rand() % 10 < (step < STEPS / 2 ? 8 : 2);
        if (add && sub == SUB_NONE) {
            assert_int_equal(subs_add(&subs, conn, channel, &firsts[conn], &sub), 0);
            reference[conn][channel] = true;
        } else if (!add && sub != SUB_NONE) {
            subs_remove(&subs, sub, &firsts[conn]);
            reference[conn][channel] = false;
        }
        if (step % 5000 == 0) {
            check_against(reference);
        }
    }
    check_against(reference);
    assert_true(subs.hash_mask + 1 > 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_subscription_is_found_by_channel_by_conn_and_by_both,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_random_history_agrees_with_a_plain_table, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
