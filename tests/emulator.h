/*
 * emulator: qemu-user, in which `zig build aarch64` runs the tests, does less than a kernel. A test
 * that needs more is skipped there, by name, and nowhere else.
 */
#ifndef RINGCAST_TESTS_EMULATOR_H
#define RINGCAST_TESTS_EMULATOR_H

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* scripts/run_tests.py gives its name. */
static inline const char *emulator_name(void)
{
    return getenv("RINGCAST_EMULATOR");
}

static inline bool emulator_lacks_rings(void)
{
    return emulator_name() != NULL && syscall(SYS_io_uring_setup, 0, NULL) < 0 && errno == ENOSYS;
}

static inline void emulator_skip_if(bool lacks, const char *test, const char *what)
{
    if (lacks) {
        print_message("SKIPPED: %s: %s has no %s\n", test, emulator_name(), what);
        skip();
    }
}

/* For the top of a test. */
#define EMULATOR_LACKS(what) emulator_skip_if(emulator_name() != NULL, __func__, what)
#define EMULATOR_LACKS_RINGS() emulator_skip_if(emulator_lacks_rings(), __func__, "io_uring")

/* For main(), where the set-up of the tests opens a ring. */
static inline int emulator_skip_all(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("SKIPPED: %s: %s has no io_uring\n", tests[i].name, emulator_name());
    }
    printf("0 passed, 0 failed, %zu skipped\n", count);
    return 0;
}

#endif
