/*
 * guard_page: memory that ends exactly where an unreadable page begins, so that a parser that
 * looks one byte too far dies in the test that made it.
 *
 * Owner    The test: init before, deinit after. Aborts when memory cannot be mapped.
 */
#ifndef RINGCAST_TESTS_GUARD_PAGE_H
#define RINGCAST_TESTS_GUARD_PAGE_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

struct guard_page {
    uint8_t *map;
    size_t map_bytes;
    uint8_t *end; /* The first byte that cannot be touched. */
};

static inline void guard_page_init(struct guard_page *guard, size_t bytes_max)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t usable_bytes = bytes_round_up(bytes_max, page_bytes);
    guard->map_bytes = usable_bytes + page_bytes;
    guard->map =
        mmap(NULL, guard->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_always(guard->map != MAP_FAILED);
    guard->end = guard->map + usable_bytes;
    assert_always(mprotect(guard->end, page_bytes, PROT_NONE) == 0);
}

static inline void guard_page_deinit(struct guard_page *guard)
{
    munmap(guard->map, guard->map_bytes);
}

/* The last bytes_count bytes before the unreadable page. */
static inline uint8_t *guard_page_tail(const struct guard_page *guard, size_t bytes_count)
{
    assert_always(bytes_count <= (size_t)(guard->end - guard->map));
    return guard->end - bytes_count;
}

/* A copy that ends at the unreadable page; valid until the next one. */
static inline uint8_t *guard_page_copy(const struct guard_page *guard, const void *bytes,
                                       size_t bytes_count)
{
    uint8_t *copy = guard_page_tail(guard, bytes_count);
    return bytes_count > 0 ? memcpy(copy, bytes, bytes_count) : copy;
}

#endif
