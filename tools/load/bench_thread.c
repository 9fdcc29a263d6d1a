#include "tools/load/bench_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/load/bench_roles.h"

#define WAIT_NS (10 * NS_PER_MS) /* How long stop, resume and the window may go unnoticed. */
#define ACT_NS (10 * NS_PER_MS)  /* How often the connections that behave badly act. */
#define ASKED_PER_TURN 64        /* of --at-once, so that answers are read in between */
#define REST_ROUNDS_MAX 50       /* of 10 ms, for the silent conns at the end */
#define LEAVE_ROUNDS_MAX 100     /* of 10 ms, for the broker to close, */
#define LEAVE_READS_MAX 64       /* and of each connection in a round: a broker may never stop */

static uint64_t bench_thread_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* Returns whether a buffer was taken from the ring (and queued to be given back). */
static bool bench_thread_on_recv(struct bench_thread *thread, struct bench_conn *conn,
                                 const struct io_uring_cqe *cqe, int returned_count)
{
    bool took_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    thread->crew.totals.receives++;
    if (took_buffer) {
        uint16_t buffer_id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        if (cqe->res > 0) {
            thread->crew.now_ns = bench_thread_now_ns();
            bench_receive_on_bytes(&thread->receive, conn,
                                   bench_ring_buffer(&thread->ring, buffer_id), (size_t)cqe->res);
        }
        bench_ring_return_buffer(&thread->ring, buffer_id, returned_count);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) != 0) {
        return took_buffer;
    }
    conn->recv_armed = false;
    if (cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EINTR) {
        thread->crew.totals.no_buffer += cqe->res == -ENOBUFS;
        bool waits = conn->state == BENCH_CONN_STALLED ||
                     (conn->role == BENCH_SLOW && conn->state == BENCH_CONN_STREAMING);
        if (!waits && !conn->rearm_due) {
            assert_always(thread->rearm_count < thread->crew.conn_count);
            conn->rearm_due = true;
            thread->rearm[thread->rearm_count++] = bench_crew_index_of(&thread->crew, conn);
        }
    } else {
        bench_receive_on_end(&thread->receive, conn);
    }
    return took_buffer;
}

/* Handles the completions that are there. */
static void bench_thread_reap(struct bench_thread *thread)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    int returned_count = 0;
    io_uring_for_each_cqe(&thread->ring.ring, head, cqe)
    {
        uint64_t tag = io_uring_cqe_get_data64(cqe);
        assert_always((uint32_t)tag < thread->crew.conn_count);
        struct bench_conn *conn = &thread->crew.conns[(uint32_t)tag];
        count++;
        if (tag >> 32 == BENCH_OP_CONNECT) {
            thread->crew.now_ns = bench_thread_now_ns();
            bench_receive_on_connected(&thread->receive, conn, cqe->res);
        } else if (bench_thread_on_recv(thread, conn, cqe, returned_count)) {
            returned_count++;
        }
    }
    if (returned_count > 0) {
        io_uring_buf_ring_advance(thread->ring.buffer_ring, returned_count);
    }
    io_uring_cq_advance(&thread->ring.ring, count);
    for (uint32_t i = 0; i < thread->rearm_count; i++) {
        struct bench_conn *conn = &thread->crew.conns[thread->rearm[i]];
        conn->rearm_due = false;
        bench_crew_arm(&thread->crew, conn);
    }
    thread->rearm_count = 0;
}

static void bench_thread_resume_stalled(struct bench_thread *thread)
{
    for (uint32_t i = 0; i < thread->crew.conn_count; i++) {
        struct bench_conn *conn = &thread->crew.conns[i];
        if (conn->state == BENCH_CONN_STALLED && !conn->is_silent) {
            bench_conn_resume(&thread->crew, conn);
        }
    }
    thread->has_resumed = true;
}

/* Tells main how far things are. */
static void bench_thread_tell(struct bench_thread *thread)
{
    const struct bench_totals *totals = &thread->crew.totals;
    const struct bench_stream_totals *readers = &totals->streams[BENCH_READER];
    uint32_t failed = totals->connect_errors;
    for (uint32_t role = BENCH_READER; role <= BENCH_SLOW; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        for (uint32_t i = 0; i < stream->close_code_count; i++) {
            failed += stream->closes[i].count;
        }
    }
    atomic_store_explicit(&thread->failed_now, failed, memory_order_relaxed);
    atomic_store_explicit(&thread->upgraded_now, thread->crew.upgraded_count, memory_order_relaxed);
    atomic_store_explicit(&thread->unfinished_now,
                          thread->crew.streaming_count - thread->crew.finished_count,
                          memory_order_relaxed);
    atomic_store_explicit(&thread->unanswered_now, thread->requests.unanswered,
                          memory_order_relaxed);
    atomic_store_explicit(&thread->frames_now, readers->frames, memory_order_relaxed);
    atomic_store_explicit(&thread->bytes_now, readers->bytes, memory_order_relaxed);
    atomic_store_explicit(&thread->window_frames_now, totals->window_frames, memory_order_relaxed);
}

/* Answers main's question once. Without a terminal it asks none. */
static void bench_thread_show(struct bench_thread *thread)
{
    uint32_t round = atomic_load_explicit(&thread->crew.control->shown_round, memory_order_acquire);
    if (round != atomic_load_explicit(&thread->shown_round, memory_order_relaxed)) {
        thread->shown_latency = thread->data.latency;
        atomic_store_explicit(&thread->shown_round, round, memory_order_release);
    }
}

static void bench_thread_start_conns(struct bench_thread *thread)
{
    while (thread->crew.started_count < thread->crew.conn_count &&
           thread->crew.in_flight < thread->crew.in_flight_max) {
        uint64_t now_ns = bench_thread_now_ns();
        if (thread->crew.started_count == 0) {
            thread->crew.totals.first_started_ns = now_ns;
        }
        bench_conn_start(&thread->crew, &thread->crew.conns[thread->crew.started_count], now_ns);
        thread->crew.started_count++;
    }
}

/* How long this thread handled a batch of completions, while others may have waited. */
static void bench_thread_note_turn(struct bench_thread *thread, uint64_t begin_ns)
{
    const struct bench_data *data = &thread->data;
    uint64_t end_ns = bench_thread_now_ns();
    uint64_t turn_ns = end_ns > begin_ns ? end_ns - begin_ns : 0;
    if (begin_ns - data->window_start_ns >= data->window_ns) {
        return;
    }
    histogram_record(&thread->turns, turn_ns);
    uint64_t interval_ns = thread->crew.control->interval_ns;
    uint64_t place = data->intervals == NULL ? 0 : (begin_ns - data->window_start_ns) / interval_ns;
    if (data->intervals != NULL && place < thread->crew.control->interval_count) {
        uint64_t *turn_max_ns = &data->intervals[place].turn_max_ns;
        *turn_max_ns = turn_ns > *turn_max_ns ? turn_ns : *turn_max_ns;
    }
}

/* Some of those that waited for all to be upgraded. Returns whether there may be more. */
static bool bench_thread_ask(struct bench_thread *thread)
{
    thread->crew.may_ask |= atomic_load_explicit(&thread->crew.control->ask, memory_order_relaxed);
    uint32_t asked = 0;
    while (thread->crew.may_ask && thread->crew.ask_next < thread->crew.started_count &&
           asked < ASKED_PER_TURN) {
        struct bench_conn *conn = &thread->crew.conns[thread->crew.ask_next++];
        thread->crew.now_ns = bench_thread_now_ns();
        bench_conn_ask(&thread->crew, conn);
        asked++;
    }
    return asked == ASKED_PER_TURN;
}

/* Sends what --echo has to. Returns how long the thread may sleep. */
static uint64_t bench_thread_echo(struct bench_thread *thread)
{
    const struct bench_echo_window window = {thread->data.window_start_ns, thread->data.window_ns};
    if (thread->data.echo == NULL) {
        return WAIT_NS;
    }
    uint64_t next_ns = bench_echo_act(&thread->echo, &window);
    uint64_t now_ns = bench_thread_now_ns();
    return next_ns <= now_ns ? 0 : next_ns - now_ns < WAIT_NS ? next_ns - now_ns : WAIT_NS;
}

/* --requests begin with the window. */
static void bench_thread_request(struct bench_thread *thread)
{
    if (thread->data.requests == NULL || thread->data.window_ns == 0) {
        return;
    }
    uint64_t now_ns = bench_thread_now_ns();
    if (now_ns >= thread->data.window_start_ns) {
        thread->crew.now_ns = now_ns;
        bench_requests_begin(&thread->requests);
    }
}

static void bench_thread_turn(struct bench_thread *thread)
{
    struct bench_control *control = thread->crew.control;
    struct io_uring_cqe *cqe;
    bench_thread_start_conns(thread);
    struct __kernel_timespec wait = {.tv_nsec = (long)bench_thread_echo(thread)};
    bool asks = thread->crew.options->at_once && bench_thread_ask(thread);
    if (thread->crew.options->spin || asks) {
        io_uring_submit_and_get_events(&thread->ring.ring);
    } else {
        io_uring_submit_and_wait_timeout(&thread->ring.ring, &cqe, 1, &wait, NULL);
    }
    uint64_t window_ns = atomic_load_explicit(&control->window_ns, memory_order_acquire);
    thread->data.window_start_ns =
        atomic_load_explicit(&control->window_start_ns, memory_order_relaxed);
    thread->data.window_ns = window_ns;
    thread->data.window_end_ns =
        window_ns == 0 ? UINT64_MAX : thread->data.window_start_ns + window_ns;
    uint64_t begin_ns = bench_thread_now_ns();
    uint64_t receives = thread->crew.totals.receives;
    bench_thread_reap(thread);
    if (thread->crew.totals.receives > receives) {
        bench_thread_note_turn(thread, begin_ns);
    }
    if (!thread->has_resumed && atomic_load_explicit(&control->resume, memory_order_relaxed)) {
        bench_thread_resume_stalled(thread);
    }
    if (thread->crew.first_bad_conn < thread->crew.conn_count) {
        thread->crew.now_ns = bench_thread_now_ns();
        if (thread->crew.now_ns - thread->acted_ns >= ACT_NS) {
            thread->acted_ns = thread->crew.now_ns;
            bench_roles_act(&thread->crew, thread->crew.now_ns);
        }
    }
    bench_thread_request(thread);
    if (thread->crew.options->protocol == BENCH_MQTT) {
        thread->crew.now_ns = bench_thread_now_ns();
        bench_conn_keep_alive(&thread->crew);
    }
    bench_thread_tell(thread);
    bench_thread_show(thread);
}

static void *bench_thread_run(void *argument)
{
    struct bench_thread *thread = argument;
    bench_ring_enable(&thread->ring);
    atomic_store(&thread->tid, gettid());
    while (!atomic_load_explicit(&thread->crew.control->stop, memory_order_relaxed)) {
        bench_thread_turn(thread);
    }
    return NULL;
}

int bench_thread_create(struct bench_thread **thread_out, const struct bench_options *options,
                        struct bench_control *control, uint32_t thread_index)
{
    struct bench_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        return -ENOMEM;
    }
    struct bench_crew *crew = &thread->crew;
    int error = bench_crew_init(crew, options, control, &thread->ring, thread_index);
    if (error == 0) {
        error = bench_data_init(&thread->data, crew);
    }
    if (error == 0 && options->echo) {
        error = bench_echo_init(&thread->echo, crew);
        thread->data.echo = &thread->echo;
    }
    if (error == 0 && options->request_count > 0) {
        error = bench_requests_init(&thread->requests, crew);
        atomic_store(&thread->unanswered_now, thread->requests.unanswered);
        thread->data.requests = &thread->requests;
    }
    if (error == 0 && crew->wish.deflate) {
        error = bench_inflate_create(&thread->frames.inflate);
    }
    if (error == 0) {
        error = bench_ring_open(&thread->ring);
    }
    thread->frames.data = &thread->data;
    thread->receive.frames = &thread->frames;
    thread->rearm = calloc(crew->conn_count, sizeof *thread->rearm);
    if (error != 0 || thread->rearm == NULL) {
        return error != 0 ? error : -ENOMEM; /* main exits: nothing is worth undoing */
    }
    *thread_out = thread;
    return 0;
}

int bench_thread_start(struct bench_thread *thread)
{
    return -pthread_create(&thread->pthread, NULL, bench_thread_run, thread);
}

void bench_thread_join(struct bench_thread *thread)
{
    pthread_join(thread->pthread, NULL);
}

/* Returns whether the stream is still open. */
static bool bench_thread_read_silent(struct bench_thread *thread, struct bench_conn *conn)
{
    uint8_t *bytes = bench_ring_buffer(&thread->ring, 0);
    for (;;) {
        ssize_t got = recv(conn->fd, bytes, BENCH_RECV_BUFFER_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            return true;
        }
        if (got <= 0) {
            bench_receive_on_end(&thread->receive, conn);
            return false;
        }
        bench_receive_on_bytes(&thread->receive, conn, bytes, (size_t)got);
    }
}

void bench_thread_read_rest(struct bench_thread *thread)
{
    struct timespec pause = {.tv_nsec = 10 * (long)NS_PER_MS};
    bool any_open = thread->crew.options->silent_count > 0;
    for (uint32_t round = 0; any_open && round < REST_ROUNDS_MAX; round++) {
        any_open = false;
        for (uint32_t i = 0; i < thread->crew.conn_count; i++) {
            struct bench_conn *conn = &thread->crew.conns[i];
            if (conn->is_silent && conn->fd >= 0) {
                any_open |= bench_thread_read_silent(thread, conn);
            }
        }
        nanosleep(&pause, NULL);
    }
}

/* Returns whether the stream is still open. */
static bool bench_thread_discard(struct bench_thread *thread, const struct bench_conn *conn)
{
    uint8_t *bytes = bench_ring_buffer(&thread->ring, 0);
    ssize_t got = 1;
    for (uint32_t i = 0; i < LEAVE_READS_MAX && got > 0; i++) {
        got = recv(conn->fd, bytes, BENCH_RECV_BUFFER_BYTES, MSG_DONTWAIT);
    }
    return got > 0 || (got < 0 && errno == EAGAIN);
}

/* A broker that writes to a connection which has been reset does not read the DISCONNECT before it.
 * A close resets where bytes are unread: they are read until the broker closes. */
static void bench_thread_disconnect(struct bench_thread *thread)
{
    struct timespec pause = {.tv_nsec = 10 * (long)NS_PER_MS};
    struct bench_crew *crew = &thread->crew;
    bool any_open = crew->options->protocol == BENCH_MQTT;
    for (uint32_t i = 0; i < crew->conn_count; i++) {
        bench_conn_disconnect(crew, &crew->conns[i]);
    }
    for (uint32_t round = 0; any_open && round < LEAVE_ROUNDS_MAX; round++) {
        any_open = false;
        for (uint32_t i = 0; i < crew->conn_count; i++) {
            any_open |= crew->conns[i].fd >= 0 && bench_thread_discard(thread, &crew->conns[i]);
        }
        if (any_open) {
            nanosleep(&pause, NULL);
        }
    }
}

void bench_thread_destroy(struct bench_thread *thread)
{
    bench_thread_disconnect(thread);
    bench_ring_close(&thread->ring);
    bench_receive_deinit(&thread->receive);
    bench_inflate_destroy(thread->frames.inflate);
    bench_data_deinit(&thread->data);
    bench_echo_deinit(&thread->echo);
    bench_requests_deinit(&thread->requests);
    bench_crew_deinit(&thread->crew);
    free(thread->rearm);
    free(thread);
}
