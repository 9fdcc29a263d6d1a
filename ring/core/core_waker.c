#include "ring/core/core_waker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "ring/board/counters.h"
#include "ring/core/core.h"
#include "ring/core/core_watch.h"
#include "ring/io/engine_uring.h"

#define CORE_WAKER_SQ_ENTRIES 128 /* a wake-up for each core, and all watches */
#define CORE_WAKER_CQ_ENTRIES (2 * CORE_WAKER_SQ_ENTRIES)

static_assert(COUNTERS_CORES_MAX + 2 * CORE_WATCH_COUNT_MAX <= CORE_WAKER_SQ_ENTRIES,
              "one enter submits what a turn queues");

struct core_waker {
    struct engine engine;
    struct core_watch watch;
};

int core_waker_open(struct core_waker **waker_out, char *error_out, size_t error_bytes)
{
    char text[ENGINE_ERROR_BYTES_MAX] = "not enough memory";
    struct engine_options options = {
        .sq_entries = CORE_WAKER_SQ_ENTRIES,
        .cq_entries = CORE_WAKER_CQ_ENTRIES,
    };
    struct core_waker *waker = calloc(1, sizeof *waker);
    int error = waker == NULL ? -ENOMEM : engine_uring_open(&waker->engine, &options, text);
    if (error == 0) {
        error = engine_enable(&waker->engine);
        if (error < 0) {
            engine_close(&waker->engine);
            snprintf(text, sizeof text, "io_uring cannot be enabled: %s", strerror(-error));
        }
    }
    if (error < 0) {
        free(waker);
        snprintf(error_out, error_bytes, "%s", text);
        return error;
    }
    core_watch_init(&waker->watch, &waker->engine);
    *waker_out = waker;
    return 0;
}

void core_waker_close(struct core_waker *waker)
{
    engine_close(&waker->engine);
    free(waker);
}

bool core_waker_wake(struct core_waker *waker, struct core *core)
{
    return core_wake(core, &waker->engine);
}

void core_waker_enter(struct core_waker *waker, uint64_t timeout_ns)
{
    struct io_uring_cqe cqe;
    engine_enter(&waker->engine, timeout_ns);
    while (engine_reap(&waker->engine, &cqe)) {
        /* A wake-up that failed is no harm: a core sleeps 100 ms at most. */
        core_watch_on_completion(&waker->watch, cqe.user_data, cqe.res);
    }
}

struct core_watch *core_waker_watch(struct core_waker *waker)
{
    return &waker->watch;
}
