/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ring/link/out_pool.h"

#define IOV_MAX_USED 64
#define REFERENCE_BYTES 4096

static struct out_pool pool;
static uint8_t reference[REFERENCE_BYTES]; /* Byte i of a chain's stream. */

static int set_up(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < REFERENCE_BYTES; i++) {
        reference[i] = (uint8_t)(i * 31 + i / 256);
    }
    return out_pool_init(&pool, OUT_POOL_BYTES_TOUCHED);
}

static int tear_down(void **state)
{
    (void)state;
    out_pool_deinit(&pool);
    return 0;
}

static uint32_t blocks_for(size_t bytes)
{
    return (uint32_t)((bytes + OUT_BLOCK_PAYLOAD - 1) / OUT_BLOCK_PAYLOAD);
}

/* The chain holds exactly the bytes [from, to) of the reference. */
static void assert_holds(const struct out_chain *chain, size_t from, size_t to)
{
    struct iovec iov[IOV_MAX_USED];
    size_t covered;
    size_t at = from;
    assert_int_equal(chain->bytes, to - from);
    uint32_t count = out_chain_gather(&pool, chain, iov, IOV_MAX_USED, &covered);
    assert_int_equal(covered, to - from);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(iov[i].iov_len > 0);
        assert_true(at + iov[i].iov_len <= to);
        assert_memory_equal(iov[i].iov_base, reference + at, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, to);
}

static void an_empty_chain_holds_no_block_and_gathers_nothing(void **state)
{
    (void)state;
    struct out_chain chain;
    out_chain_init(&chain);
    assert_holds(&chain, 0, 0);
    assert_int_equal(out_chain_append(&pool, &chain, "", 0), 0);
    out_chain_consume(&pool, &chain, 0);
    out_chain_clear(&pool, &chain);
    assert_int_equal(pool.free_count, pool.block_count);
}

static void bytes_come_out_as_they_went_in_at_every_split_of_append_and_consume(void **state)
{
    (void)state;
    const size_t total = 3 * OUT_BLOCK_PAYLOAD + 5;
    struct out_chain chain;
    out_chain_init(&chain);
    for (size_t append_split = 0; append_split <= total; append_split++) {
        for (size_t consume_split = 0; consume_split <= total; consume_split += 7) {
            assert_int_equal(out_chain_append(&pool, &chain, reference, append_split), 0);
            assert_int_equal(
                out_chain_append(&pool, &chain, reference + append_split, total - append_split), 0);
            assert_int_equal(pool.block_count - pool.free_count, blocks_for(total));
            assert_holds(&chain, 0, total);
            out_chain_consume(&pool, &chain, consume_split);
            assert_holds(&chain, consume_split, total);
            out_chain_consume(&pool, &chain, total - consume_split);
            assert_int_equal(pool.free_count, pool.block_count);
        }
    }
}

static void any_count_may_be_appended_between_partial_sends(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 2 * OUT_BLOCK_PAYLOAD + 1; piece++) {
        struct out_chain chain;
        size_t from = 0;
        size_t to = 0;
        out_chain_init(&chain);
        while (to + piece <= REFERENCE_BYTES) {
            assert_int_equal(out_chain_append(&pool, &chain, reference + to, piece), 0);
            to += piece;
            size_t sent = (to - from) * 2 / 3;
            out_chain_consume(&pool, &chain, sent);
            from += sent;
            assert_holds(&chain, from, to);
        }
        out_chain_clear(&pool, &chain);
        assert_int_equal(pool.free_count, pool.block_count);
    }
}

static void gather_stops_at_the_iovecs_it_is_given(void **state)
{
    (void)state;
    struct iovec iov[3];
    size_t covered;
    struct out_chain chain;
    out_chain_init(&chain);
    assert_int_equal(out_chain_append(&pool, &chain, reference, REFERENCE_BYTES), 0);
    out_chain_consume(&pool, &chain, 10);
    assert_int_equal(out_chain_gather(&pool, &chain, iov, 3, &covered), 3);
    assert_int_equal(covered, 3 * OUT_BLOCK_PAYLOAD - 10);
    assert_memory_equal(iov[0].iov_base, reference + 10, iov[0].iov_len);
    assert_memory_equal(iov[2].iov_base, reference + 2 * OUT_BLOCK_PAYLOAD, OUT_BLOCK_PAYLOAD);
    assert_int_equal(out_chain_gather(&pool, &chain, iov, 0, &covered), 0);
    assert_int_equal(covered, 0);
    out_chain_clear(&pool, &chain);
}

static void an_empty_pool_is_enobufs_and_the_chain_is_as_it_was(void **state)
{
    (void)state;
    struct out_chain small;
    struct out_chain large;
    out_chain_init(&small);
    out_chain_init(&large);
    assert_int_equal(out_chain_append(&pool, &small, reference, 100), 0);
    while (pool.free_count > 2) {
        assert_int_equal(out_chain_append(&pool, &large, reference, OUT_BLOCK_PAYLOAD), 0);
    }
    /* One byte more than the room in the last block and in the two that are free. */
    size_t room = 3 * OUT_BLOCK_PAYLOAD - 100;
    struct out_chain before = small;
    assert_int_equal(out_chain_append(&pool, &small, reference + 100, room + 1), -ENOBUFS);
    assert_memory_equal(&small, &before, sizeof small);
    assert_int_equal(pool.free_count, 2);
    assert_holds(&small, 0, 100);
    assert_int_equal(out_chain_append(&pool, &small, reference + 100, room), 0);
    assert_holds(&small, 0, 100 + room);
    assert_int_equal(pool.free_count, 0);
    assert_int_equal(out_chain_append(&pool, &small, reference, 1), -ENOBUFS);

    out_chain_clear(&pool, &large);
    assert_int_equal(out_chain_append(&pool, &small, reference + 100 + room, 1), 0);
    assert_holds(&small, 0, 101 + room);
    out_chain_clear(&pool, &small);
    assert_int_equal(pool.free_count, pool.block_count);
}

/* S97: resources are used again. */
static void blocks_that_came_back_are_used_before_fresh_ones(void **state)
{
    (void)state;
    struct out_chain chain;
    out_chain_init(&chain);
    for (uint32_t round = 0; round < 3 * pool.block_count; round++) {
        assert_int_equal(out_chain_append(&pool, &chain, reference, OUT_BLOCK_PAYLOAD + 1), 0);
        out_chain_clear(&pool, &chain);
    }
    assert_int_equal(pool.fresh, 2);
    assert_int_equal(pool.free_count, pool.block_count);
}

static void the_chains_of_many_conns_do_not_mix(void **state)
{
    (void)state;
    struct out_chain chains[50];
    size_t from[50] = {0};
    size_t to[50] = {0};
    uint64_t seed = 7;
    for (uint32_t i = 0; i < 50; i++) {
        out_chain_init(&chains[i]);
    }
    for (uint32_t round = 0; round < 20000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint32_t i = (uint32_t)(seed >> 40) % 50;
        size_t count = (size_t)(seed >> 50) % 700;
        if (to[i] + count <= REFERENCE_BYTES) {
            assert_int_equal(out_chain_append(&pool, &chains[i], reference + to[i], count), 0);
            to[i] += count;
        }
        size_t sent = (size_t)(seed >> 33) % (to[i] - from[i] + 1);
        out_chain_consume(&pool, &chains[i], sent);
        from[i] += sent;
        assert_holds(&chains[i], from[i], to[i]);
        if (from[i] == to[i]) {
            from[i] = 0;
            to[i] = 0;
        }
    }
    for (uint32_t i = 0; i < 50; i++) {
        out_chain_clear(&pool, &chains[i]);
    }
    assert_int_equal(pool.free_count, pool.block_count);
}

/* Each takes all that it may, as often as it can: what is left serves the small frames of others.
 */
static void chains_that_keep_to_their_share_never_empty_the_pool(void **state)
{
    static struct out_chain chains[1000];
    static const uint8_t bytes[600000];
    static const uint32_t counts[] = {1, 50, 1000};
    (void)state;
    out_pool_deinit(&pool);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_int_equal(out_pool_init(&pool, 64u << 20), 0);
        for (uint32_t turn = 0; turn < 20 * counts[i]; turn++) {
            struct out_chain *chain = &chains[turn % counts[i]];
            if (turn < counts[i]) {
                out_chain_init(chain);
            }
            for (size_t piece = sizeof bytes; piece >= 100; piece /= 8) {
                if (chain->bytes + piece <= out_pool_share(&pool)) {
                    assert_int_equal(out_chain_append(&pool, chain, bytes, piece), 0);
                }
            }
        }
        assert_true(pool.free_count > pool.block_count / 8);
        assert_true(counts[i] > 1 || out_pool_share(&pool) > 4u << 20);
        out_pool_deinit(&pool);
    }
    assert_int_equal(out_pool_init(&pool, OUT_POOL_BYTES_TOUCHED), 0);
}

static void what_is_copied_stays_in_the_chain(void **state)
{
    struct out_chain chain;
    uint8_t copy[REFERENCE_BYTES];
    (void)state;
    out_chain_init(&chain);
    assert_int_equal(out_chain_copy(&pool, &chain, copy, sizeof copy), 0);
    assert_int_equal(out_chain_append(&pool, &chain, reference, 1000), 0);
    for (size_t from = 0; from < 1000; from += 77) {
        for (size_t max = 0; max <= 1100; max += 25) {
            size_t count = 1000 - from < max ? 1000 - from : max;
            assert_int_equal(out_chain_copy(&pool, &chain, copy, max), count);
            assert_memory_equal(copy, reference + from, count);
        }
        assert_holds(&chain, from, 1000);
        out_chain_consume(&pool, &chain, 1000 - from < 77 ? 1000 - from : 77);
    }
    out_chain_clear(&pool, &chain);
}

/* How many pages of the pool have memory. */
static size_t resident_pages(void)
{
    static unsigned char pages[2048];
    size_t bytes = (size_t)pool.block_count * OUT_BLOCK_BYTES;
    size_t count = 0;
    assert_true(bytes / 4096 <= sizeof pages);
    assert_int_equal(mincore(pool.blocks, bytes, pages), 0);
    for (size_t i = 0; i < bytes / 4096; i++) {
        count += pages[i] & 1;
    }
    return count;
}

/* Fills a pool of 8 MiB, or as much of it. */
static void fill(struct out_chain *chain, size_t bytes)
{
    for (size_t filled = 0; filled < bytes; filled += REFERENCE_BYTES) {
        assert_int_equal(out_chain_append(&pool, chain, reference, REFERENCE_BYTES), 0);
    }
}

/* S62: a burst leaves no memory behind. */
static void a_pool_that_is_free_gives_its_memory_back_in_slices(void **state)
{
    struct out_chain chain;
    (void)state;
    out_pool_deinit(&pool);
    assert_int_equal(out_pool_init(&pool, 8u << 20), 0);
    size_t idle_pages = resident_pages();
    assert_false(out_pool_trim(&pool));
    for (uint32_t round = 0; round < 3; round++) {
        out_chain_init(&chain);
        fill(&chain, 7u << 20);
        assert_true(resident_pages() > 1600);
        assert_false(out_pool_trim(&pool)); /* All of it is used. */
        assert_true(resident_pages() > 1600);
        out_chain_clear(&pool, &chain);
        size_t before = resident_pages();
        bool has_more = true;
        for (uint32_t slices = 0; has_more; slices++) {
            has_more = out_pool_trim(&pool);
            size_t after = resident_pages();
            assert_true(before - after <= OUT_POOL_TRIM_BYTES / 4096);
            assert_true(slices < 16);
            before = after;
        }
        assert_int_equal(resident_pages(), idle_pages);
        assert_int_equal(pool.free_count, pool.block_count);
    }
}

/* What is used again between two slices keeps its bytes. */
static void a_pool_that_is_used_again_while_it_is_trimmed_keeps_its_bytes(void **state)
{
    struct out_chain chain;
    struct out_chain other;
    (void)state;
    out_pool_deinit(&pool);
    assert_int_equal(out_pool_init(&pool, 8u << 20), 0);
    for (size_t used = 0; used < 7u << 20; used += 1u << 20) {
        out_chain_init(&chain);
        out_chain_init(&other);
        fill(&chain, 7u << 20);
        out_chain_clear(&pool, &chain);
        assert_true(out_pool_trim(&pool));
        fill(&other, used);
        while (out_pool_trim(&pool)) {
        }
        assert_int_equal(out_chain_append(&pool, &chain, reference, 1000), 0);
        assert_holds(&chain, 0, 1000);
        for (size_t at = 0; at < used; at += REFERENCE_BYTES) {
            uint8_t copy[REFERENCE_BYTES];
            assert_int_equal(out_chain_copy(&pool, &other, copy, sizeof copy), sizeof copy);
            assert_memory_equal(copy, reference, sizeof copy);
            out_chain_consume(&pool, &other, sizeof copy);
        }
        out_chain_clear(&pool, &chain);
        assert_int_equal(pool.free_count, pool.block_count);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_chain_holds_no_block_and_gathers_nothing),
        TEST(bytes_come_out_as_they_went_in_at_every_split_of_append_and_consume),
        TEST(any_count_may_be_appended_between_partial_sends),
        TEST(gather_stops_at_the_iovecs_it_is_given),
        TEST(an_empty_pool_is_enobufs_and_the_chain_is_as_it_was),
        TEST(blocks_that_came_back_are_used_before_fresh_ones),
        TEST(the_chains_of_many_conns_do_not_mix),
        TEST(chains_that_keep_to_their_share_never_empty_the_pool),
        TEST(what_is_copied_stays_in_the_chain),
        TEST(a_pool_that_is_free_gives_its_memory_back_in_slices),
        TEST(a_pool_that_is_used_again_while_it_is_trimmed_keeps_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
