/*
 * check: assertions.
 *
 * assert_always guards memory safety and stays in every build. assert_debug may cost time and
 * is compiled only without NDEBUG. Neither is ever applied to bytes that came from a peer.
 */
#ifndef RINGCAST_CODEC_BASE_CHECK_H
#define RINGCAST_CODEC_BASE_CHECK_H

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn static inline void check_failed(const char *condition, const char *file, int line)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&output, 1, 100) == 1) { /* Nobody may read it. */
        fprintf(stderr, "ringcast: assertion failed: %s (%s:%d)\n", condition, file, line);
    }
    abort();
}

#define assert_always(condition)                                                                   \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define assert_debug(condition) ((void)sizeof(!!(condition)))
#else
#define assert_debug(condition) assert_always(condition)
#endif

#endif
