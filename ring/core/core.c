#include "ring/core/core.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/memory.h"
#include "ring/core/core_state.h"
#include "ring/fan/replayer.h"
#include "ring/io/engine_uring.h"
#include "ring/link/conn_handshake.h"

#define CORE_SLEEP_NS_MAX (100 * NS_PER_MS) /* so that core_stop needs no wake-up of its own */
#define CORE_LOG_BYTES_MAX 256
#define CORE_COMPLAINT_NS (10 * NS_PER_SECOND) /* between two lines about the same */

void core_log(struct core *core, int level, const char *format, ...)
{
    char text[CORE_LOG_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    core->options.ops->log(core->options.context, core, level, text);
}

uint32_t core_index(const struct core *core)
{
    return core->options.index;
}

static void core_real_clock(void *context, struct core_time *time_out)
{
    struct timespec mono;
    struct timespec wall;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    time_out->now_ns = (uint64_t)mono.tv_sec * NS_PER_SECOND + (uint64_t)mono.tv_nsec;
    time_out->wall_ns = (uint64_t)wall.tv_sec * NS_PER_SECOND + (uint64_t)wall.tv_nsec;
}

/* Room for an SQE of its own; sends have theirs submitted in the batch they belong to. */
struct io_uring_sqe *core_sqe(struct core *core)
{
    struct io_uring_sqe *sqe = engine_try_sqe(&core->engine);
    if (sqe == NULL) {
        core_flush(core);
        sqe = engine_try_sqe(&core->engine);
        assert_always(sqe != NULL);
    }
    return sqe;
}

/* ---- Accepting ---- */

static void core_arm_accept(struct core *core)
{
    if (core->stopping_began) {
        return;
    }
    for (uint32_t i = 0; i < core->options.listener_count; i++) {
        if (core->accept_armed[i]) {
            continue;
        }
        struct io_uring_sqe *sqe = core_sqe(core);
        engine_prepare_accept(sqe, core->options.listeners[i].fd, !core->accepts_one);
        sqe->user_data = core_tag(OP_ACCEPT, 0, i);
        core->accept_armed[i] = true;
    }
}

static void core_cancel_accept(struct core *core)
{
    for (uint32_t i = 0; i < core->options.listener_count; i++) {
        if (core->accept_armed[i]) {
            struct io_uring_sqe *sqe = core_sqe(core);
            engine_prepare_cancel(sqe, core_tag(OP_ACCEPT, 0, i));
            sqe->user_data = core_tag(OP_CANCEL, 0, 0);
        }
    }
}

static void core_complain_of_accept(struct core *core, int error)
{
    bool lacks_fds = error == -EMFILE || error == -ENFILE;
    if (core->time.now_ns < core->accept_complaint_ns) {
        return;
    }
    core->accept_complaint_ns = core->time.now_ns + CORE_COMPLAINT_NS;
    core_log(core, 3, "cannot accept: %s; new clients wait%s", strerror(-error),
             lacks_fds ? " until one leaves (raise `ulimit -n` or LimitNOFILE=)"
                       : ", and ringcast tries again ten times a second");
}

/* At a limit, or after an error: new connections wait in the backlog. */
void core_pause_accept(struct core *core, int error)
{
    if (core->accept_paused) {
        return;
    }
    if (error < 0) {
        core_complain_of_accept(core, error);
    }
    core->accept_paused = true;
    counter_add(&core->counters->accept_paused, 1);
    core_cancel_accept(core);
    timer_arm(&core->wheel, &core->accept_timer, core->time.now_ns + CORE_ACCEPT_RETRY_NS);
}

static void core_on_accept_timer(struct core *core)
{
    if (atomic_load(core->options.conn_count) >= core->options.open_count_max) {
        timer_arm(&core->wheel, &core->accept_timer, core->time.now_ns + CORE_ACCEPT_RETRY_NS);
        return;
    }
    core->accept_paused = false;
    core_arm_accept(core);
}

/* The next one may well be accepted. All other errors last, and asking again at once would spin. */
static bool core_is_one_clients_fault(int error)
{
    return error == -ECONNABORTED || error == -EINTR || error == -EAGAIN || error == -ECANCELED;
}

static void core_on_accept(struct core *core, const struct io_uring_cqe *cqe)
{
    uint32_t listener = (uint32_t)cqe->user_data;
    assert_always(listener < core->options.listener_count);
    core->accept_armed[listener] = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res >= 0) {
        conn_open(core, cqe->res, core->options.listeners[listener].is_unix);
    } else if (!core_is_one_clients_fault(cqe->res)) {
        core_pause_accept(core, cqe->res);
    }
    if (!core->accept_paused) {
        core_arm_accept(core);
    }
}

/* ---- Completions ---- */

static void core_on_completion(struct core *core, const struct io_uring_cqe *cqe)
{
    enum core_op op = (enum core_op)(cqe->user_data >> 56);
    uint32_t generation = (uint32_t)(cqe->user_data >> 32) & 0xffffff;
    if (op == OP_ACCEPT) {
        core_on_accept(core, cqe);
        return;
    }
    if (op == OP_LEND) {
        sender_on_loan(core, cqe);
        return;
    }
    if (op == OP_WATCH) {
        core_watch_on_completion(&core->watch, cqe->user_data, cqe->res);
        return;
    }
    if (op != OP_RECV && op != OP_WRITABLE && op != OP_SHUTDOWN) {
        return; /* Sends were seen to at once; the rest only wakes, or failed without harm. */
    }
    struct conn *conn = core_conn(core, (uint32_t)cqe->user_data);
    assert_always((conn->generation & 0xffffff) == generation);
    if (op == OP_RECV) {
        conn_on_recv(core, conn, cqe);
    } else if (op == OP_SHUTDOWN) {
        conn->shutdown_armed = false;
        conn_on_operation_ended(core, conn);
    } else {
        sender_on_writable(core, conn);
    }
}

void core_reap(struct core *core)
{
    struct io_uring_cqe cqe;
    while (engine_reap(&core->engine, &cqe)) {
        core_on_completion(core, &cqe);
    }
}

/* ---- Creation ---- */

static void core_unmap_all(struct core *core)
{
    size_t conns = core->slab_count;
    memory_unmap(core->conns, conns * sizeof *core->conns);
    memory_unmap(core->replays, CORE_REPLAYS_MAX * sizeof *core->replays);
    memory_unmap(core->histories, conns * sizeof *core->histories);
    memory_unmap(core->free_conns, conns * sizeof *core->free_conns);
    memory_unmap(core->ready.conns, conns * sizeof *core->ready.conns);
    memory_unmap(core->pulls.conns, conns * sizeof *core->pulls.conns);
    memory_unmap(core->waiting.conns, conns * sizeof *core->waiting.conns);
    memory_unmap(core->ending.conns, conns * sizeof *core->ending.conns);
    memory_unmap(core->extents, SENDER_EXTENTS_MAX * sizeof *core->extents);
    memory_unmap(core->batch, sizeof *core->batch);
    memory_unmap(core->inputs, core->input_count * core->input_bytes);
    memory_unmap(core->free_inputs, core->input_count * sizeof *core->free_inputs);
    memory_unmap(core->inflated, core->options.message_bytes_max);
}

uint64_t core_memory_bytes(uint32_t conn_count_max)
{
    uint64_t conns = (uint64_t)conn_count_max + CORE_SPARE_CONNS;
    return conns * (sizeof(struct conn) + 3 * sizeof(uint32_t)); /* and its place in three lists */
}

/* The slab of conns is touched now; what grows with use is not. */
static int core_map_all(struct core *core)
{
    size_t conns = core->slab_count;
    core->conns = memory_map(conns * sizeof *core->conns, MAP_POPULATE);
    core->replays = memory_map(CORE_REPLAYS_MAX * sizeof *core->replays, 0);
    core->histories = memory_map(conns * sizeof *core->histories, MAP_NORESERVE);
    core->free_conns = memory_map(conns * sizeof *core->free_conns, MAP_POPULATE);
    core->ready.conns = memory_map(conns * sizeof *core->ready.conns, MAP_POPULATE);
    core->pulls.conns = memory_map(conns * sizeof *core->pulls.conns, MAP_POPULATE);
    core->waiting.conns = memory_map(conns * sizeof *core->waiting.conns, 0);
    core->ending.conns = memory_map(conns * sizeof *core->ending.conns, 0);
    core->extents = memory_map(SENDER_EXTENTS_MAX * sizeof *core->extents, MAP_POPULATE);
    core->batch = memory_map(sizeof *core->batch, MAP_POPULATE);
    core->inputs = memory_map(core->input_count * core->input_bytes, MAP_NORESERVE);
    core->free_inputs = memory_map(core->input_count * sizeof *core->free_inputs, 0);
    core->inflated = memory_map(core->options.message_bytes_max, MAP_NORESERVE);
    if (core->conns == NULL || core->histories == NULL || core->replays == NULL ||
        core->free_conns == NULL || core->ready.conns == NULL || core->pulls.conns == NULL ||
        core->waiting.conns == NULL || core->ending.conns == NULL || core->extents == NULL ||
        core->batch == NULL || core->inputs == NULL || core->free_inputs == NULL ||
        core->inflated == NULL) {
        core_unmap_all(core);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < CORE_REPLAYS_MAX; i++) {
        core->replays[i].conn = CONN_NONE;
    }
    core->replay_due_ns = UINT64_MAX;
    core->ready.capacity = core->slab_count;
    core->pulls.capacity = core->slab_count;
    core->waiting.capacity = core->slab_count;
    core->ending.capacity = core->slab_count;
    for (uint32_t i = 0; i < core->slab_count; i++) {
        core->free_conns[i] = core->slab_count - 1 - i;
    }
    core->free_conn_count = core->slab_count;
    for (uint32_t i = 0; i < core->input_count; i++) {
        core->free_inputs[i] = core->input_count - 1 - i;
    }
    core->free_input_count = core->input_count;
    list_init(&core->inputs_in_use);
    return 0;
}

static void core_unmap_stream(struct core_stream *stream)
{
    memory_unmap(stream->channels, stream->log->channel_count_max * sizeof *stream->channels);
    memory_unmap(stream->loans, FRAME_LOG_HOLDS_MAX * sizeof *stream->loans);
}

/* The first count of them, which are open. */
static void core_close_streams(struct core *core, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct core_stream *stream = &core->streams[i];
        for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
            free(stream->groups[group].entries);
        }
        subs_deinit(&stream->subs);
        core_unmap_stream(stream);
    }
}

/* What an encoding takes is touched when it is used. */
static int core_open_stream(struct core_stream *stream, struct core_encoding *encoding)
{
    struct frame_log *log = encoding->log;
    stream->encoding = encoding;
    stream->log = log;
    stream->run = atomic_load(&encoding->run);
    list_init(&stream->waiters);
    stream->channels = memory_map(log->channel_count_max * sizeof *stream->channels, 0);
    stream->loans = memory_map(FRAME_LOG_HOLDS_MAX * sizeof *stream->loans, 0);
    int error = stream->channels == NULL || stream->loans == NULL
                    ? -ENOMEM
                    : subs_init(&stream->subs, log->channel_count_max);
    if (error < 0) {
        core_unmap_stream(stream);
    }
    return error;
}

static int core_open_streams(struct core *core)
{
    assert_always(core->options.encoding_count <= CORE_ENCODINGS_MAX);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        int error = core_open_stream(&core->streams[i], &core->options.encodings[i]);
        if (error < 0) {
            core_close_streams(core, i);
            return error;
        }
    }
    return 0;
}

bool core_follow_run(struct core *core, struct core_stream *stream)
{
    uint32_t run = atomic_load_explicit(&stream->encoding->run, memory_order_acquire);
    if (__builtin_expect(run != stream->run && core_encoding_is_written(run), 0)) {
        stream->run = run;
        stream->first = atomic_load_explicit(&stream->encoding->first, memory_order_relaxed);
        stream->json_first =
            atomic_load_explicit(&stream->encoding->json_first, memory_order_relaxed);
        puller_resync(core, stream);
    }
    return core_encoding_is_written(run);
}

/* The first handshake loads libcrypto's tables, which takes milliseconds and megabytes: not from
 * the first client's time. */
static void core_warm_up(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: warm-up\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    static const struct handshake_site site = {.path_count = 0};
    struct handshake_request parsed;
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    enum handshake_status status =
        handshake_parse((const uint8_t *)request, sizeof request - 1, &site, &parsed);
    assert_always(status == HANDSHAKE_OK);
    (void)handshake_accept(answer, &parsed);
}

static int core_open_engine(struct core *core, char *error_out, size_t error_bytes)
{
    char words[ENGINE_ERROR_BYTES_MAX] = "";
    struct engine_options options = {
        .sq_entries = CORE_SQ_ENTRIES,
        .cq_entries = CORE_CQ_ENTRIES,
        .recv_buffer_count = CORE_RECV_BUFFERS,
        .recv_buffer_bytes = CORE_RECV_BUFFER_BYTES,
    };
    int error = core->options.open_engine(&core->engine, &options, words);
    if (error < 0) {
        snprintf(error_out, error_bytes, "%s", words);
    }
    return error;
}

static void core_take_options(struct core *core, const struct core_options *options)
{
    core->options = *options;
    if (core->options.open_engine == NULL) {
        core->options.open_engine = engine_uring_open;
    }
    if (core->options.clock == NULL) {
        core->options.clock = core_real_clock;
    }
    if (core->options.message_bytes_max == 0) {
        core->options.message_bytes_max = CORE_MESSAGE_BYTES_MAX;
    }
    if (core->options.half_message_ns == 0) {
        core->options.half_message_ns = CORE_HALF_MESSAGE_NS;
    }
    uint32_t open_count_max = options->conn_count_max + CORE_SPARE_CONNS;
    core->options.open_count_max =
        options->open_count_max == 0 ? open_count_max : options->open_count_max;
    core->accepts_one = core->options.open_count_max < open_count_max;
    if (core->options.out_pool_bytes == 0) {
        core->options.out_pool_bytes = CORE_OUT_POOL_BYTES;
    }
    assert_always(core->options.message_bytes_max >= CONN_HEAD_BYTES_MAX);
    core->counters = options->counters;
    core->slab_count = options->conn_count_max + CORE_SPARE_CONNS;
    core->input_count = core->slab_count < CORE_INPUTS_MAX ? core->slab_count : CORE_INPUTS_MAX;
    core->input_bytes = bytes_round_up(
        sizeof(struct conn_input) + WS_DEFLATE_BYTES_MAX((size_t)core->options.message_bytes_max),
        CACHE_LINE_BYTES);
}

int core_create(struct core **core_out, const struct core_options *options, char *error_out,
                size_t error_bytes)
{
    snprintf(error_out, error_bytes,
             "not enough memory; give a smaller --max-connections, or see `ulimit -v`");
    struct core *core = aligned_alloc(CACHE_LINE_BYTES, sizeof *core);
    if (core == NULL) {
        return -ENOMEM;
    }
    memset(core, 0, sizeof *core);
    core_take_options(core, options);
    core->options.clock(core->options.context, &core->time);
    timer_wheel_init(&core->wheel, core->time.now_ns);
    timer_init(&core->accept_timer);
    core_warm_up();

    int error = core_map_all(core);
    if (error < 0) {
        goto free_core;
    }
    error = core_open_streams(core);
    if (error < 0) {
        goto unmap;
    }
    error = out_pool_init(&core->out_pool, core->options.out_pool_bytes);
    if (error < 0) {
        goto close_streams;
    }
    error = core_open_engine(core, error_out, error_bytes);
    if (error < 0) {
        goto deinit_out_pool;
    }
    core_watch_init(&core->watch, &core->engine);
    *core_out = core;
    return 0;

deinit_out_pool:
    out_pool_deinit(&core->out_pool);
close_streams:
    core_close_streams(core, core->options.encoding_count);
unmap:
    core_unmap_all(core);
free_core:
    free(core);
    return error;
}

void core_destroy(struct core *core)
{
    engine_close(&core->engine);
    for (uint32_t index = 0; index < core->slab_count; index++) {
        if (core->conns[index].state != CONN_FREE) {
            replayer_forget(core, &core->conns[index]);
            close(core->conns[index].fd);
            free(core->conns[index].group_seqs);
        }
    }
    out_pool_deinit(&core->out_pool);
    core_close_streams(core, core->options.encoding_count);
    core_unmap_all(core);
    free(core);
}

/* ---- The loop ---- */

void core_see_channels(struct core *core)
{
    uint32_t count = core->options.ops->channel_count(core->options.context);
    while (core->channel_count < count) {
        uint32_t channel = core->channel_count++;
        core->options.ops->on_channel(core->options.context, core, channel);
    }
}

static void core_on_timer(void *context, struct timer *timer)
{
    struct core *core = context;
    if (timer == &core->accept_timer) {
        core_on_accept_timer(core);
    } else {
        conn_on_timer(core, timer);
    }
}

static uint64_t core_wait_ns(const struct core *core, uint64_t next_publish_ns)
{
    uint64_t due_ns = timer_wheel_next_ns(&core->wheel);
    due_ns = next_publish_ns < due_ns ? next_publish_ns : due_ns;
    due_ns = core->replay_due_ns < due_ns ? core->replay_due_ns : due_ns;
    if (core->ready.count > 0 || core->pulls.count > 0 || core->waiting.count > 0 ||
        core->ending.count > 0 || due_ns <= core->time.now_ns) {
        return 0;
    }
    uint64_t wait_ns = due_ns - core->time.now_ns;
    return wait_ns < CORE_SLEEP_NS_MAX ? wait_ns : CORE_SLEEP_NS_MAX;
}

/* Nothing bounds how long the kernel may be short of memory, so the wait is reported. */
static void core_wait_for_kernel(struct core *core, uint64_t *since_ns)
{
    struct core_time time;
    core->options.clock(core->options.context, &time);
    if (*since_ns == 0) {
        *since_ns = time.now_ns;
    } else if (time.now_ns >= *since_ns + NS_PER_SECOND &&
               time.now_ns >= core->kernel_complaint_ns) {
        core->kernel_complaint_ns = time.now_ns + CORE_COMPLAINT_NS;
        core_log(core, 3,
                 "core %u: the kernel takes no operations, nothing is sent until it does; it is "
                 "probably out of memory",
                 core->options.index);
    }
    sched_yield();
}

void core_flush(struct core *core)
{
    uint64_t since_ns = 0;
    core_enter(core, 0);
    while (__builtin_expect(engine_queued_count(&core->engine) > 0, 0)) {
        core_wait_for_kernel(core, &since_ns);
        core_enter(core, 0);
    }
}

void core_enter(struct core *core, uint64_t wait_ns)
{
    counter_add(&core->counters->enters, 1);
    int error = engine_enter(&core->engine, wait_ns);
    assert_always(error == 0);
    if (engine_has_overflown(&core->engine)) {
        counter_add(&core->counters->cq_overflow, 1);
    }
}

/* Whether there are frames to fan out, or an encoding has begun that conns wait for. In any log: a
 * writer that takes room back shows one log's frames before the others'. */
static bool core_has_news(const struct core *core)
{
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        const struct core_stream *stream = &core->streams[i];
        uint32_t run = atomic_load_explicit(&stream->encoding->run, memory_order_acquire);
        if (core_encoding_is_written(run) &&
            (frame_log_head(stream->log) != stream->position || !list_empty(&stream->waiters))) {
            return true;
        }
    }
    return false;
}

/* Sleeps, unless a head has moved: the publisher stores the heads, then reads armed; we store
 * armed, then read the heads again. One of the two sees the other. */
static void core_sleep(struct core *core, uint64_t wait_ns, bool publisher_elsewhere)
{
    /* A sleeping core costs its waker and itself tens of us, so it lingers after work. */
    bool linger = publisher_elsewhere && core->time.now_ns < core->worked_ns + CORE_SPIN_NS;
    if (wait_ns == 0 || linger || core->options.busy_poll) {
        core_enter(core, 0);
        return;
    }
    atomic_store_explicit(&core->armed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    core_enter(core, core_has_news(core) ? 0 : wait_ns);
    atomic_store_explicit(&core->armed, 0, memory_order_relaxed);
}

bool core_wake(struct core *core, struct engine *waker)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&core->armed, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&core->armed, 0, memory_order_relaxed) == 0) {
        return false;
    }
    /* A core that is not woken wakes by itself, CORE_SLEEP_NS_MAX later at most. */
    return engine_wake(&core->engine, waker, core_tag(OP_WAKE, 0, 0));
}

static void core_begin_stop(struct core *core)
{
    core->stopping_began = true;
    core->stop_deadline_ns = core->time.now_ns + CORE_STOP_NS;
    timer_disarm(&core->wheel, &core->accept_timer);
    core_cancel_accept(core);
    for (uint32_t index = 0; index < core->slab_count; index++) {
        struct conn *conn = core_conn(core, index);
        if (conn->state == CONN_STREAMING && core->drain_end_ns != 0) {
            counter_add(&core->counters->closed_drain, 1);
            conn_close(core, conn, CORE_DRAIN_CLOSE_CODE, "drain", "drain");
        } else if (conn->state == CONN_STREAMING) {
            conn_close(core, conn, 1001, "server stopping", "server stopping");
        } else if (conn->state == CONN_HANDSHAKING) {
            conn_doom(core, conn, 0, "server stopping");
        }
    }
}

/* true: all conns are gone, or their time is up. */
static bool core_has_stopped(struct core *core)
{
    if (!core->stopping_began) {
        if (atomic_load_explicit(&core->stopping, memory_order_acquire) == 0) {
            return false;
        }
        core_begin_stop(core);
    }
    if (core->free_conn_count == core->slab_count) {
        return true;
    }
    if (core->time.now_ns < core->stop_deadline_ns) {
        return false;
    }
    for (uint32_t index = 0; index < core->slab_count; index++) {
        conn_doom(core, core_conn(core, index), 0, "server stopping");
    }
    return core->time.now_ns >= core->stop_deadline_ns + CORE_STOP_NS;
}

/* A pin that outlived its turn would stop the writer, which may be about to run on this thread. */
static void core_check_pins(const struct core *core)
{
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        assert_always(!frame_log_is_pinned(core->streams[i].log, core->options.index));
    }
}

static void core_turn(struct core *core)
{
    uint64_t next_publish_ns = UINT64_MAX;
    core_check_pins(core);
    counter_add(&core->counters->turns, 1);
    core->options.clock(core->options.context, &core->time);
    core_bury(core);
    bool is_telling = !core->stopping_began && core_drain_go_on(core);
    if (core->options.ops->publish != NULL && core->options.index == 0 && !core->stopping_began) {
        next_publish_ns = core->options.ops->publish(core->options.context, core->time.now_ns);
        core->options.clock(core->options.context, &core->time);
    }
    bool worked = sender_fan_out(core);
    if (worked) {
        core->worked_ns = core->time.now_ns;
    }
    puller_run(core);
    if (core->options.ops->on_turn != NULL) {
        core->options.ops->on_turn(core->options.context, core, core->time.now_ns);
    }
    sender_flush_ready(core);
    replayer_run(core);
    timer_wheel_advance(&core->wheel, core->time.now_ns, core_on_timer, core);
    conn_run_waiting(core);
    conn_handshake_go_on(core);
    core_sleep(core, worked || is_telling ? 0 : core_wait_ns(core, next_publish_ns),
               next_publish_ns == UINT64_MAX);
    core->options.clock(core->options.context, &core->time);
    core_reap(core);
}

static int core_pin_thread(const struct core *core)
{
    cpu_set_t cpus;
    if (core->options.cpu < 0) {
        return 0;
    }
    CPU_ZERO(&cpus);
    CPU_SET((size_t)core->options.cpu, &cpus);
    return -pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

int core_run(struct core *core)
{
    int error = core_pin_thread(core);
    if (error < 0) {
        core_log(core, 2, "core %u cannot be pinned to CPU %d: %s", core->options.index,
                 core->options.cpu, strerror(-error));
    }
    error = engine_enable(&core->engine);
    if (error < 0) {
        core_log(core, 3, "core %u: io_uring cannot be enabled: %s", core->options.index,
                 strerror(-error));
        return error;
    }
    core->options.clock(core->options.context, &core->time);
    core_arm_accept(core);
    while (!core_has_stopped(core)) {
        core_turn(core);
    }
    core_flush(core); /* The last conns' descriptors are yet to be closed. */
    return 0;
}

void core_stop(struct core *core)
{
    atomic_store_explicit(&core->stopping, 1, memory_order_release);
}
