#include "ring/io/engine.h"

#include <stdlib.h>

void engine_close(struct engine *engine)
{
    assert_always(engine->ops != NULL);
    free(engine->late.cqes);
    engine->ops->close(engine);
}

struct io_uring_sqe *engine_sqe(struct engine *engine)
{
    struct io_uring_sqe *sqe = engine_try_sqe(engine);
    if (sqe == NULL) {
        engine_enter(engine, 0);
        sqe = engine_try_sqe(engine);
    }
    return sqe;
}

bool engine_wake_by_message(struct engine *engine, struct engine *waker, uint64_t tag)
{
    assert_always(engine != waker);
    struct io_uring_sqe *sqe = engine_sqe(waker);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_msg_ring(sqe, engine->ring.ring_fd, 0, tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = 0;
    return true;
}

void engine_put_off(struct engine *engine)
{
    struct engine_late *late = &engine->late;
    uint32_t more = engine_completion_count(engine);
    if (late->count + more > late->capacity) {
        uint32_t capacity = 2 * (late->count + more);
        late->cqes = realloc(late->cqes, capacity * sizeof *late->cqes);
        assert_always(late->cqes != NULL); /* A lost completion would tear a stream. */
        late->capacity = capacity;
    }
    assert_always(late->count + more <= late->capacity);
    for (uint32_t number = 0; number < more; number++) {
        late->cqes[late->count++] = *engine_completion(engine, number);
    }
    io_uring_cq_advance(&engine->ring, more);
}

bool engine_reap_late(struct engine *engine, struct io_uring_cqe *cqe_out)
{
    struct engine_late *late = &engine->late;
    assert_always(late->first < late->count);
    *cqe_out = late->cqes[late->first++];
    if (late->first == late->count) {
        late->first = 0;
        late->count = 0;
    }
    return true;
}
