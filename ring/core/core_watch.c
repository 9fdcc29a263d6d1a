#include "ring/core/core_watch.h"

#include "codec/base/check.h"
#include "ring/link/links.h"

static_assert(CORE_WATCH_COUNT_MAX <= LINKS_SQ_ENTRIES, "all can be armed in one turn");

static uint64_t core_watch_tag(const struct core_watch *watch, uint32_t number)
{
    return links_tag(OP_WATCH, watch->rows[number].generation, number);
}

void core_watch_init(struct core_watch *watch, struct engine *engine)
{
    *watch = (struct core_watch){.engine = engine};
}

void core_watch_arm(struct core_watch *watch, uint32_t number, int fd)
{
    assert_always(number < CORE_WATCH_COUNT_MAX);
    assert_always(fd >= 0);
    struct core_watch_row *row = &watch->rows[number];
    if (row->is_armed) {
        return;
    }
    struct io_uring_sqe *sqe = engine_sqe(watch->engine);
    if (sqe == NULL) {
        return; /* The kernel takes nothing now; the caller asks again. */
    }
    watch->armed_count++;
    row->generation++;
    row->is_armed = true;
    row->is_readable = false;
    engine_prepare_readable(sqe, fd);
    sqe->user_data = core_watch_tag(watch, number);
}

void core_watch_disarm(struct core_watch *watch, uint32_t number)
{
    assert_always(number < CORE_WATCH_COUNT_MAX);
    struct core_watch_row *row = &watch->rows[number];
    struct io_uring_sqe *sqe = row->is_armed ? engine_sqe(watch->engine) : NULL;
    if (sqe != NULL) {
        engine_prepare_cancel(sqe, core_watch_tag(watch, number));
        sqe->user_data = links_tag(OP_CANCEL, 0, 0);
    }
    assert_always(watch->armed_count >= row->is_armed);
    watch->armed_count -= row->is_armed;
    row->generation++; /* What still comes of the old poll is not of this one. */
    row->is_armed = false;
    row->is_readable = false;
}

bool core_watch_is_readable(const struct core_watch *watch, uint32_t number)
{
    assert_always(number < CORE_WATCH_COUNT_MAX);
    return watch->rows[number].is_readable;
}

void core_watch_on_completion(struct core_watch *watch, uint64_t user_data, int32_t result)
{
    uint32_t number = (uint32_t)user_data;
    if (user_data >> 56 != OP_WATCH) {
        return;
    }
    assert_always(number < CORE_WATCH_COUNT_MAX);
    struct core_watch_row *row = &watch->rows[number];
    /* One that cannot be polled stays armed: to poll it again would turn in a circle. */
    if (user_data != core_watch_tag(watch, number) || result < 0) {
        return;
    }
    assert_always(row->is_armed);
    assert_always(watch->armed_count > 0);
    watch->armed_count--;
    row->is_armed = false;
    row->is_readable = true;
}
