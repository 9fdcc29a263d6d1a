#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/units.h"
#include "src/access/rate_limit.h"

static const struct keyed_hash hash = {{UINT64_C(0x1234567890abcdef), 1}};
#define START_NS (1000 * NS_PER_SECOND)

static struct rate_table *table;

static int set_up(void **state)
{
    (void)state;
    return rate_table_create(&table, &hash);
}

static int tear_down(void **state)
{
    (void)state;
    rate_table_destroy(table);
    return 0;
}

static struct ip_address v4(uint32_t number)
{
    uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                        (uint8_t)number};
    return ip_address_from_v4(bytes);
}

static struct ip_address v6(const char *text)
{
    struct ip_address address;
    assert_true(ip_address_parse(&address, text, strlen(text)));
    return address;
}

static const struct rate_limits limits = {.rate = {.interval_ns = NS_PER_SECOND / 10, .burst = 20},
                                          .held_max = 5};

static enum rate_verdict take(struct ip_address address, uint64_t now_ns, uint32_t *entry_out)
{
    uint64_t wait_ns;
    return rate_table_take(table, &address, &limits, now_ns, entry_out, &wait_ns);
}

static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct rate rate = rate_per_second(5);
    uint64_t full_ns = 0;
    uint64_t now_ns = START_NS;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rate_take(&rate, &full_ns, now_ns), 0);
    }
    assert_int_equal(rate_take(&rate, &full_ns, now_ns), NS_PER_SECOND / 5);
    assert_int_equal(rate_take(&rate, &full_ns, now_ns + NS_PER_SECOND / 5 - 1), 1);
    int taken = 0;
    for (int ms = 200; ms <= 10000; ms++) {
        taken += rate_take(&rate, &full_ns, now_ns + (uint64_t)ms * NS_PER_MS) == 0;
    }
    assert_int_equal(taken, 50); /* at 0.2 s, 0.4 s ... 10 s */
    assert_int_equal(rate_take(&rate, &full_ns, now_ns + 3600 * NS_PER_SECOND), 0);
}

static void no_rate_is_no_limit(void **state)
{
    (void)state;
    struct rate rate = {0};
    uint64_t full_ns = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rate_take(&rate, &full_ns, START_NS), 0);
    }
}

static void an_address_holds_no_more_than_it_may(void **state)
{
    (void)state;
    uint32_t entries[6];
    for (int i = 0; i < 5; i++) {
        assert_int_equal(take(v4(7), START_NS, &entries[i]), RATE_OK);
    }
    assert_int_equal(take(v4(7), START_NS, &entries[5]), RATE_TOO_MANY);
    assert_int_equal(entries[5], RATE_NONE);
    assert_int_equal(take(v4(8), START_NS, &entries[5]), RATE_OK);
    rate_table_release(table, entries[0]);
    assert_int_equal(take(v4(7), START_NS, &entries[0]), RATE_OK);
    rate_table_release(table, RATE_NONE);
}

static void an_address_comes_no_faster_than_it_may(void **state)
{
    (void)state;
    uint32_t entry;
    uint64_t wait_ns;
    struct ip_address address = v4(7);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(take(address, START_NS, &entry), RATE_OK);
        rate_table_release(table, entry);
    }
    assert_int_equal(rate_table_take(table, &address, &limits, START_NS, &entry, &wait_ns),
                     RATE_TOO_FAST);
    assert_int_equal(wait_ns, NS_PER_SECOND / 10);
    assert_int_equal(take(v4(8), START_NS, &entry), RATE_OK);
}

static void a_64_of_ipv6_is_one_customer(void **state)
{
    (void)state;
    uint32_t entry;
    for (int i = 0; i < 5; i++) {
        struct ip_address address = v6("2001:db8:0:1::");
        address.bytes[15] = (uint8_t)i;
        address.bytes[8] = (uint8_t)(i * 7);
        assert_int_equal(take(address, START_NS, &entry), RATE_OK);
    }
    assert_int_equal(take(v6("2001:db8:0:1:ffff::9"), START_NS, &entry), RATE_TOO_MANY);
    assert_int_equal(take(v6("2001:db8:0:2::"), START_NS, &entry), RATE_OK);
}

/* An attacker with a million addresses neither gets more than his share nor makes the table forget
 * what somebody holds or has spent. */
static void a_flood_of_addresses_frees_nobody(void **state)
{
    (void)state;
    uint32_t entry;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(take(v4(7), START_NS, &entry), RATE_OK);
    }
    for (int i = 0; i < 20; i++) {
        uint32_t spent;
        assert_int_equal(take(v4(9), START_NS, &spent), RATE_OK);
        rate_table_release(table, spent);
    }
    uint32_t passed = 0;
    for (uint32_t i = 0; i < 1000000; i++) {
        uint32_t flood;
        if (take(v4(UINT32_C(0x0a000000) + i), START_NS + i, &flood) == RATE_OK) {
            passed++;
            rate_table_release(table, flood);
        }
    }
    /* Each entry of the table gives one, and those shared 20. */
    assert_in_range(passed, 60000, 65536 / 16 * 15 + 65536 / 16 * 20);
    assert_int_equal(take(v4(7), START_NS + NS_PER_MS, &entry), RATE_TOO_MANY);
    assert_int_equal(take(v4(9), START_NS + NS_PER_MS, &entry), RATE_TOO_FAST);
    /* When it is over, and buckets are full again, there is room. */
    assert_int_equal(take(v4(11), START_NS + 10 * NS_PER_SECOND, &entry), RATE_OK);
}

/* While there is room, whose bucket is empty keeps it, and nobody else pays for it. */
static void nobody_pays_for_another(void **state)
{
    (void)state;
    uint32_t entry;
    for (uint32_t who = 0; who < 4000; who++) {
        for (int i = 0; i < 20; i++) {
            assert_int_equal(take(v4(who), START_NS, &entry), RATE_OK);
            rate_table_release(table, entry);
        }
        assert_int_equal(take(v4(who), START_NS, &entry), RATE_TOO_FAST);
    }
    for (uint32_t who = 0; who < 4000; who++) {
        assert_int_equal(take(v4(who), START_NS, &entry), RATE_TOO_FAST);
    }
}

struct taker {
    pthread_t thread;
    uint32_t seed;
    uint32_t taken;
};

/* Holds some of few addresses at random; nobody ever holds more than he may. */
static void *run_taker(void *argument)
{
    struct taker *taker = argument;
    struct rate_limits without_rate = {.held_max = 5};
    uint32_t random = taker->seed;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t who = random >> 28;
        struct ip_address address = v4(1000 + who);
        uint32_t entry;
        uint64_t wait_ns;
        if (rate_table_take(table, &address, &without_rate, START_NS + (uint64_t)i, &entry,
                            &wait_ns) == RATE_OK) {
            taker->taken++;
            rate_table_release(table, entry);
        }
    }
    return NULL;
}

static void threads_lose_and_leave_nothing(void **state)
{
    (void)state;
    struct taker takers[4] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        takers[i].seed = i + 1;
        pthread_create(&takers[i].thread, NULL, run_taker, &takers[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        pthread_join(takers[i].thread, NULL);
        assert_true(takers[i].taken > 100000);
    }
    /* What was held is given back, all of it: each may hold five again, and no more. */
    for (uint32_t who = 0; who < 16; who++) {
        uint32_t entry;
        for (int i = 0; i < 5; i++) {
            assert_int_equal(take(v4(1000 + who), START_NS, &entry), RATE_OK);
        }
        assert_int_equal(take(v4(1000 + who), START_NS, &entry), RATE_TOO_MANY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
        cmocka_unit_test(no_rate_is_no_limit),
        cmocka_unit_test_setup_teardown(an_address_holds_no_more_than_it_may, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_comes_no_faster_than_it_may, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_64_of_ipv6_is_one_customer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_addresses_frees_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_pays_for_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_lose_and_leave_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
