#include "src/base/memory_purge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base/units.h"

#define BLOCKS 4096
#define BLOCK_BYTES (16 * KIB) /* Below what the C library maps one by one. */

/* S62, S100: what is freed below a block that is still used stays with the allocator, until it is
 * purged. */
static void freed_memory_goes_back_to_the_kernel(void **state)
{
    static char *blocks[BLOCKS];
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* Its allocator keeps what is freed, to find who still uses it. */
#endif
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    uint64_t full_bytes = memory_resident_bytes();
    assert_true(full_bytes > BLOCKS * BLOCK_BYTES);
    for (size_t i = 0; i + 1 < BLOCKS; i++) {
        free(blocks[i]);
    }
    uint64_t freed_bytes = memory_purge();
    assert_true(freed_bytes <= full_bytes);
    assert_true(memory_resident_bytes() < full_bytes - BLOCKS * BLOCK_BYTES / 2);
    assert_true(memory_purge() < BLOCKS * BLOCK_BYTES / 2); /* It is gone already. */
    free(blocks[BLOCKS - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_goes_back_to_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
