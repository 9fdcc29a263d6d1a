/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <pthread.h>

#include "ring/core/core_claims.h"

#define CORES 3
#define ROUNDS 400000

static struct core_claims claims;
static _Atomic uint32_t cores_left;
static _Atomic uint32_t joined_count;

static uint32_t open_count(void)
{
    uint32_t count = 0;
    uint64_t word = atomic_load(&claims.word);
    for (uint32_t encoding = 1; encoding <= CORE_CLAIMS_ENCODINGS_MAX; encoding++) {
        count += (word & core_claims_bit(encoding)) != 0;
    }
    return count;
}

static void connections_are_counted_by_encoding(void **state)
{
    (void)state;
    claims = (struct core_claims){.open_max = 3};
    for (uint32_t encoding = 1; encoding <= CORE_CLAIMS_ENCODINGS_MAX; encoding++) {
        for (uint32_t i = 0; i < encoding * 1000; i++) {
            assert_true(core_claims_join(&claims, encoding));
        }
    }
    for (uint32_t encoding = 1; encoding <= CORE_CLAIMS_ENCODINGS_MAX; encoding++) {
        assert_int_equal(core_claims_count(&claims, encoding), encoding * 1000);
        core_claims_close(&claims, encoding); /* Not while somebody has it. */
        assert_true(core_claims_is_open(&claims, encoding));
        for (uint32_t i = 0; i < encoding * 1000; i++) {
            core_claims_leave(&claims, encoding);
        }
        assert_true(core_claims_is_open(&claims, encoding));
        core_claims_close(&claims, encoding);
        assert_false(core_claims_is_open(&claims, encoding));
    }
    assert_int_equal(atomic_load(&claims.word), 0);
}

static void what_is_not_open_finds_no_room(void **state)
{
    (void)state;
    claims = (struct core_claims){.open_max = 1};
    assert_true(core_claims_join(&claims, 2));
    assert_false(core_claims_join(&claims, 1));
    assert_false(core_claims_join(&claims, 3));
    assert_true(core_claims_join(&claims, 2));
    assert_int_equal(core_claims_refused(&claims), 2);
    assert_int_equal(core_claims_count(&claims, 1), 0);
    core_claims_leave(&claims, 2);
    core_claims_leave(&claims, 2);
    assert_false(core_claims_join(&claims, 1)); /* The writer has not closed it. */
    core_claims_close(&claims, 2);
    assert_true(core_claims_join(&claims, 1));
}

/* ---- At once ---- */

static void *run_core(void *context)
{
    uint64_t seed = (uintptr_t)context + 1;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint32_t encoding = 1 + (uint32_t)(seed >> 33) % CORE_CLAIMS_ENCODINGS_MAX;
        if (core_claims_join(&claims, encoding)) {
            assert_always(core_claims_is_open(&claims, encoding));
            assert_always(core_claims_count(&claims, encoding) > 0);
            assert_always(open_count() <= claims.open_max);
            core_claims_leave(&claims, encoding);
            atomic_fetch_add(&joined_count, 1);
        }
    }
    atomic_fetch_sub(&cores_left, 1);
    return NULL;
}

static void cores_and_writer_always_agree(void **state)
{
    (void)state;
    for (uint32_t open_max = 1; open_max <= 2; open_max++) {
        pthread_t threads[CORES];
        claims = (struct core_claims){.open_max = open_max};
        atomic_store(&cores_left, CORES);
        atomic_store(&joined_count, 0);
        for (uintptr_t i = 0; i < CORES; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, run_core, (void *)i), 0);
        }
        while (atomic_load(&cores_left) > 0) {
            for (uint32_t encoding = 1; encoding <= CORE_CLAIMS_ENCODINGS_MAX; encoding++) {
                core_claims_close(&claims, encoding);
            }
        }
        for (uint32_t i = 0; i < CORES; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(atomic_load(&joined_count) + core_claims_refused(&claims), CORES * ROUNDS);
        assert_true(atomic_load(&joined_count) > 0);
        for (uint32_t encoding = 1; encoding <= CORE_CLAIMS_ENCODINGS_MAX; encoding++) {
            core_claims_close(&claims, encoding);
        }
        assert_int_equal(atomic_load(&claims.word), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_counted_by_encoding),
        cmocka_unit_test(what_is_not_open_finds_no_room),
        cmocka_unit_test(cores_and_writer_always_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
