/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring/out_pool.h"

#define POOL_BYTES OUT_POOL_BYTES_TOUCHED
#define CHAINS 40
#define REFERENCE_BYTES_MAX 60000
#define STEPS 20000

static struct out_pool pool;

static int set_up(void **state)
{
    (void)state;
    return out_pool_init(&pool, POOL_BYTES);
}

static int tear_down(void **state)
{
    (void)state;
    out_pool_deinit(&pool);
    return 0;
}

/* Copies what a chain holds; returns how much. */
static size_t read_chain(const struct out_chain *chain, uint8_t *out)
{
    static struct iovec iovs[1024];
    size_t bytes;
    size_t at = 0;
    uint32_t count = out_chain_gather(&pool, chain, iovs, 1024, &bytes);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(out + at, iovs[i].iov_base, iovs[i].iov_len);
        at += iovs[i].iov_len;
    }
    assert_int_equal(at, bytes);
    return bytes;
}

static void what_was_appended_comes_out_in_order_whatever_is_consumed(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    uint8_t out[1000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t consumed = 0; consumed <= sizeof bytes; consumed++) {
        struct out_chain chain;
        out_chain_init(&chain);
        assert_int_equal(out_chain_append(&pool, &chain, bytes, 300), 0);
        assert_int_equal(out_chain_append(&pool, &chain, bytes + 300, 700), 0);
        out_chain_consume(&pool, &chain, consumed);
        assert_int_equal(chain.bytes, sizeof bytes - consumed);
        assert_int_equal(read_chain(&chain, out), sizeof bytes - consumed);
        assert_memory_equal(out, bytes + consumed, sizeof bytes - consumed);
        out_chain_clear(&pool, &chain);
    }
    assert_int_equal(pool.free_count, pool.block_count);
}

static void an_empty_pool_refuses_and_leaves_the_chain_as_it_was(void **state)
{
    (void)state;
    static uint8_t much[POOL_BYTES];
    struct out_chain first;
    struct out_chain second;
    out_chain_init(&first);
    out_chain_init(&second);
    size_t all = (size_t)pool.block_count * OUT_BLOCK_PAYLOAD;
    assert_int_equal(out_chain_append(&pool, &first, "abc", 3), 0);
    assert_int_equal(out_chain_append(&pool, &first, much, all), -ENOBUFS);
    assert_int_equal(first.bytes, 3);
    assert_int_equal(out_chain_append(&pool, &first, much, all - 3), 0);
    assert_int_equal(pool.free_count, 0);
    assert_int_equal(out_chain_append(&pool, &second, "x", 1), -ENOBUFS);
    out_chain_consume(&pool, &first, OUT_BLOCK_PAYLOAD);
    assert_int_equal(out_chain_append(&pool, &second, "x", 1), 0);
    out_chain_clear(&pool, &first);
    out_chain_clear(&pool, &second);
    assert_int_equal(pool.free_count, pool.block_count);
}

static void a_vector_that_is_too_short_covers_what_it_can(void **state)
{
    (void)state;
    uint8_t bytes[OUT_BLOCK_PAYLOAD * 3] = {0};
    struct iovec iovs[2];
    struct out_chain chain;
    size_t covered;
    out_chain_init(&chain);
    assert_int_equal(out_chain_append(&pool, &chain, bytes, sizeof bytes), 0);
    out_chain_consume(&pool, &chain, 10);
    assert_int_equal(out_chain_gather(&pool, &chain, iovs, 2, &covered), 2);
    assert_int_equal(covered, 2 * OUT_BLOCK_PAYLOAD - 10);
    out_chain_clear(&pool, &chain);
}

static void a_random_history_agrees_with_plain_bytes(void **state)
{
    (void)state;
    static struct out_chain chains[CHAINS];
    static uint8_t references[CHAINS][REFERENCE_BYTES_MAX];
    static size_t counts[CHAINS];
    static uint8_t out[REFERENCE_BYTES_MAX];
    for (uint32_t i = 0; i < CHAINS; i++) {
        out_chain_init(&chains[i]);
    }
    srand(1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)rand() % CHAINS;
        size_t piece = (size_t)rand() % 2000;
        if (rand() % 2 == 0 && counts[i] + piece <= REFERENCE_BYTES_MAX) {
            uint8_t *end = references[i] + counts[i];
            memset(end, rand() % 256, piece);
            assert_int_equal(out_chain_append(&pool, &chains[i], end, piece), 0);
            counts[i] += piece;
        } else {
            piece = counts[i] == 0 ? 0 : (size_t)rand() % (counts[i] + 1);
            out_chain_consume(&pool, &chains[i], piece);
            memmove(references[i], references[i] + piece, counts[i] - piece);
            counts[i] -= piece;
        }
        assert_int_equal(read_chain(&chains[i], out), counts[i]);
        assert_memory_equal(out, references[i], counts[i]);
        if (counts[i] > REFERENCE_BYTES_MAX / 3) {
            out_chain_clear(&pool, &chains[i]);
            counts[i] = 0;
        }
    }
    for (uint32_t i = 0; i < CHAINS; i++) {
        out_chain_clear(&pool, &chains[i]);
    }
    assert_int_equal(pool.free_count, pool.block_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_comes_out_in_order_whatever_is_consumed),
        cmocka_unit_test(an_empty_pool_refuses_and_leaves_the_chain_as_it_was),
        cmocka_unit_test(a_vector_that_is_too_short_covers_what_it_can),
        cmocka_unit_test(a_random_history_agrees_with_plain_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
