#include "tools/bench/bench_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/bench/bench_frames.h"
#include "tools/bench/bench_nats.h"
#include "tools/bench/bench_roles.h"

#define SQ_ENTRIES 4096
#define CQ_ENTRIES 32768
#define RING_DIVISOR_MAX 16
#define WAIT_NS (10 * NS_PER_MS) /* How long stop, resume and the window may go unnoticed. */
#define ACT_NS (10 * NS_PER_MS)  /* How often those that behave badly get their turn. */
#define BUFFER_GROUP 0
#define ASKED_PER_TURN 64  /* of --at-once, so that answers are read in between */
#define REST_ROUNDS_MAX 50 /* of 10 ms, for the silent conns at the end */

static uint64_t bench_thread_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

struct io_uring_sqe *bench_thread_sqe(struct bench_thread *thread)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&thread->ring);
    if (sqe == NULL) {
        io_uring_submit(&thread->ring);
        sqe = io_uring_get_sqe(&thread->ring);
    }
    assert_always(sqe != NULL);
    return sqe;
}

static uint64_t bench_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_thread_random(struct bench_thread *thread)
{
    thread->random ^= thread->random << 13;
    thread->random ^= thread->random >> 7;
    thread->random ^= thread->random << 17;
    return thread->random;
}

/* Stalled conns read piecewise until they are subscribed, so that they can stop at will; slow ones
 * always. */
void bench_thread_arm(struct bench_thread *thread, struct bench_conn *conn)
{
    struct io_uring_sqe *sqe = bench_thread_sqe(thread);
    if (conn->role == BENCH_SLOW && conn->state == BENCH_CONN_STREAMING) {
        io_uring_prep_recv(sqe, conn->fd, NULL,
                           thread->options->slow_bytes_per_second / BENCH_SLOW_PIECES, 0);
    } else if (conn->role == BENCH_SLOW ||
               (conn->role == BENCH_STALLED && conn->state != BENCH_CONN_STREAMING)) {
        io_uring_prep_recv(sqe, conn->fd, NULL, BENCH_RECV_BUFFER_BYTES, 0);
    } else {
        io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    }
    conn->recv_armed = true;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe,
                            (uint64_t)BENCH_OP_RECV << 32 | bench_thread_index_of(thread, conn));
}

static void bench_thread_return_buffer(struct bench_thread *thread, uint16_t buffer_id, int offset)
{
    io_uring_buf_ring_add(
        thread->buffer_ring, thread->buffers + (size_t)buffer_id * BENCH_RECV_BUFFER_BYTES,
        BENCH_RECV_BUFFER_BYTES, buffer_id, io_uring_buf_ring_mask(BENCH_RECV_BUFFERS), offset);
}

/* Returns whether a buffer was taken from the ring (and queued to be given back). */
static bool bench_thread_on_recv(struct bench_thread *thread, struct bench_conn *conn,
                                 const struct io_uring_cqe *cqe, int returned_count)
{
    bool took_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    thread->totals.receives++;
    if (took_buffer) {
        uint16_t buffer_id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        if (cqe->res > 0) {
            thread->now_ns = bench_thread_now_ns();
            bench_conn_on_bytes(thread, conn,
                                thread->buffers + (size_t)buffer_id * BENCH_RECV_BUFFER_BYTES,
                                (size_t)cqe->res);
        }
        bench_thread_return_buffer(thread, buffer_id, returned_count);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) != 0) {
        return took_buffer;
    }
    conn->recv_armed = false;
    if (cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EINTR) {
        thread->totals.no_buffer += cqe->res == -ENOBUFS;
        bool waits = conn->state == BENCH_CONN_STALLED ||
                     (conn->role == BENCH_SLOW && conn->state == BENCH_CONN_STREAMING);
        if (!waits && !conn->rearm_due) {
            conn->rearm_due = true;
            thread->rearm[thread->rearm_count++] = bench_thread_index_of(thread, conn);
        }
    } else {
        bench_conn_on_end(thread, conn);
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
    io_uring_for_each_cqe(&thread->ring, head, cqe)
    {
        uint64_t tag = io_uring_cqe_get_data64(cqe);
        struct bench_conn *conn = &thread->conns[(uint32_t)tag];
        count++;
        if (tag >> 32 == BENCH_OP_CONNECT) {
            thread->now_ns = bench_thread_now_ns();
            bench_conn_on_connected(thread, conn, cqe->res);
        } else if (bench_thread_on_recv(thread, conn, cqe, returned_count)) {
            returned_count++;
        }
    }
    if (returned_count > 0) {
        io_uring_buf_ring_advance(thread->buffer_ring, returned_count);
    }
    io_uring_cq_advance(&thread->ring, count);
    for (uint32_t i = 0; i < thread->rearm_count; i++) {
        struct bench_conn *conn = &thread->conns[thread->rearm[i]];
        conn->rearm_due = false;
        bench_thread_arm(thread, conn);
    }
    thread->rearm_count = 0;
}

static void bench_thread_resume_stalled(struct bench_thread *thread)
{
    for (uint32_t i = 0; i < thread->conn_count; i++) {
        struct bench_conn *conn = &thread->conns[i];
        if (conn->state == BENCH_CONN_STALLED && !conn->is_silent) {
            bench_conn_resume(thread, conn);
        }
    }
    thread->has_resumed = true;
}

/* Tells main how far things are. */
static void bench_thread_tell(struct bench_thread *thread)
{
    const struct bench_totals *totals = &thread->totals;
    const struct bench_stream_totals *readers = &totals->streams[BENCH_READER];
    uint32_t failed = totals->connect_errors;
    for (uint32_t role = BENCH_READER; role <= BENCH_SLOW; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        for (uint32_t i = 0; i < stream->close_code_count; i++) {
            failed += stream->closes[i].count;
        }
    }
    atomic_store_explicit(&thread->failed_now, failed, memory_order_relaxed);
    atomic_store_explicit(&thread->upgraded_now, thread->upgraded_count, memory_order_relaxed);
    atomic_store_explicit(&thread->unfinished_now, thread->streaming_count - thread->finished_count,
                          memory_order_relaxed);
    atomic_store_explicit(&thread->frames_now, readers->frames, memory_order_relaxed);
    atomic_store_explicit(&thread->bytes_now, readers->bytes, memory_order_relaxed);
    atomic_store_explicit(&thread->window_frames_now, totals->window_frames, memory_order_relaxed);
}

static void bench_thread_start_conns(struct bench_thread *thread)
{
    while (thread->started_count < thread->conn_count &&
           thread->in_flight < thread->in_flight_max) {
        uint64_t now_ns = bench_thread_now_ns();
        if (thread->started_count == 0) {
            thread->totals.first_started_ns = now_ns;
        }
        bench_conn_start(thread, &thread->conns[thread->started_count], now_ns);
        thread->started_count++;
    }
}

/* Once at each end of the window: what of this thread's CPU time was spent inside it. */
static void bench_thread_watch_window(struct bench_thread *thread)
{
    uint64_t now_ns = bench_thread_now_ns();
    if (thread->window_ns == 0 || thread->cpu_ns != 0 || now_ns < thread->window_start_ns) {
        return;
    }
    if (thread->cpu_begin_ns == 0) {
        thread->cpu_begin_ns = bench_thread_cpu_ns();
    } else if (now_ns >= thread->window_start_ns + thread->window_ns) {
        thread->cpu_ns = bench_thread_cpu_ns() - thread->cpu_begin_ns;
    }
}

/* Some of those that waited for all to be upgraded. Returns whether there may be more. */
static bool bench_thread_ask(struct bench_thread *thread)
{
    thread->may_ask |= atomic_load_explicit(&thread->control->ask, memory_order_relaxed);
    uint32_t asked = 0;
    while (thread->may_ask && thread->ask_next < thread->started_count && asked < ASKED_PER_TURN) {
        struct bench_conn *conn = &thread->conns[thread->ask_next++];
        thread->now_ns = bench_thread_now_ns();
        bench_conn_ask(thread, conn);
        asked++;
    }
    return asked == ASKED_PER_TURN;
}

static void bench_thread_turn(struct bench_thread *thread)
{
    struct bench_control *control = thread->control;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec wait = {.tv_nsec = WAIT_NS};
    bench_thread_start_conns(thread);
    bool asks = thread->options->at_once && bench_thread_ask(thread);
    if (thread->options->spin || asks) {
        io_uring_submit_and_get_events(&thread->ring);
    } else {
        io_uring_submit_and_wait_timeout(&thread->ring, &cqe, 1, &wait, NULL);
    }
    uint64_t window_ns = atomic_load_explicit(&control->window_ns, memory_order_acquire);
    thread->window_start_ns = atomic_load_explicit(&control->window_start_ns, memory_order_relaxed);
    thread->window_ns = window_ns;
    thread->window_end_ns = window_ns == 0 ? UINT64_MAX : thread->window_start_ns + window_ns;
    bench_thread_reap(thread);
    if (!thread->has_resumed && atomic_load_explicit(&control->resume, memory_order_relaxed)) {
        bench_thread_resume_stalled(thread);
    }
    bench_thread_watch_window(thread);
    if (thread->first_bad_conn < thread->conn_count) {
        thread->now_ns = bench_thread_now_ns();
        if (thread->now_ns - thread->acted_ns >= ACT_NS) {
            thread->acted_ns = thread->now_ns;
            bench_roles_act(thread, thread->now_ns);
        }
    }
    bench_thread_tell(thread);
}

static void *bench_thread_run(void *argument)
{
    struct bench_thread *thread = argument;
    /* liburing 2.3 forgets to export io_uring_enable_rings(). */
    io_uring_register((unsigned)thread->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    while (!atomic_load_explicit(&thread->control->stop, memory_order_relaxed)) {
        bench_thread_turn(thread);
    }
    return NULL;
}

/* All rings of an ordinary user count towards one limit: a smaller one, if need be. What does not
 * fit into its queues waits. */
static int bench_thread_set_up_ring(struct bench_thread *thread)
{
    int error = -ENOMEM;
    for (uint32_t divisor = 1; error == -ENOMEM && divisor <= RING_DIVISOR_MAX; divisor *= 2) {
        struct io_uring_params params = {
            .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
            .cq_entries = CQ_ENTRIES / divisor,
        };
        error = io_uring_queue_init_params(SQ_ENTRIES / divisor, &thread->ring, &params);
    }
    return error;
}

static int bench_thread_open_ring(struct bench_thread *thread)
{
    size_t ring_bytes = BENCH_RECV_BUFFERS * sizeof(struct io_uring_buf);
    int error = bench_thread_set_up_ring(thread);
    if (error != 0) {
        return error;
    }
    thread->buffer_ring =
        mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    thread->buffers = mmap(NULL, (size_t)BENCH_RECV_BUFFERS * BENCH_RECV_BUFFER_BYTES,
                           PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (thread->buffer_ring == MAP_FAILED || thread->buffers == MAP_FAILED) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)thread->buffer_ring,
        .ring_entries = BENCH_RECV_BUFFERS,
        .bgid = BUFFER_GROUP,
    };
    error = io_uring_register_buf_ring(&thread->ring, &registration, 0);
    if (error != 0) {
        return error;
    }
    io_uring_buf_ring_init(thread->buffer_ring);
    for (int i = 0; i < BENCH_RECV_BUFFERS; i++) {
        bench_thread_return_buffer(thread, (uint16_t)i, i);
    }
    io_uring_buf_ring_advance(thread->buffer_ring, BENCH_RECV_BUFFERS);
    return 0;
}

static void bench_thread_assign_roles(struct bench_thread *thread)
{
    const struct bench_options *options = thread->options;
    thread->first_bad_conn = thread->conn_count;
    for (uint32_t i = thread->conn_count; i-- > 0;) {
        uint32_t conn_index = thread->first_conn_index + i;
        struct bench_conn *conn = &thread->conns[i];
        conn->fd = -1;
        conn->role = (uint8_t)bench_load_role(thread->control->load, conn_index);
        conn->misdeeds = (uint8_t)conn_index;
        if (conn->role != BENCH_READER) {
            thread->first_bad_conn = i;
        }
        /* The last of the stalled ones. */
        uint32_t stalled_end =
            options->role_counts[BENCH_READER] + options->role_counts[BENCH_STALLED];
        conn->is_silent =
            conn->role == BENCH_STALLED && stalled_end - conn_index <= options->silent_count;
    }
}

size_t bench_thread_request(const struct bench_thread *thread, const struct bench_conn *conn,
                            char out[WS_CLIENT_REQUEST_BYTES_MAX])
{
    uint32_t conn_index = thread->first_conn_index + bench_thread_index_of(thread, conn);
    struct ws_client_url url = thread->options->url;
    bool fits = bench_load_path(thread->control->load, conn_index, url.path);
    return fits ? ws_client_request(&url, thread->key, &thread->wish, out) : 0;
}

char *bench_thread_subscribe_text(const struct bench_thread *thread, const struct bench_conn *conn,
                                  bool unsubscribe, size_t *bytes_out)
{
    static const char everything[] = "{\"type\":\"UNSUBSCRIBE\",\"id\":2}";
    if (unsubscribe) {
        *bytes_out = sizeof everything - 1;
        return strdup(everything);
    }
    if (thread->subscribe_text != NULL) {
        *bytes_out = thread->subscribe_bytes;
        return thread->subscribe_text;
    }
    return bench_load_subscribe_text(thread->control->load,
                                     thread->first_conn_index + bench_thread_index_of(thread, conn),
                                     bytes_out);
}

static int bench_thread_set_patterns(struct bench_thread *thread)
{
    const struct bench_options *options = thread->options;
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_SECOND}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(options->time_unit, units[i].name) == 0) {
            thread->scan.time_unit_ns = units[i].ns;
        }
    }
    thread->has_seqs = options->seq_pattern[0] != 0;
    bool fits = pattern_scan_set(&thread->scan, PATTERN_TIME, options->time_pattern) &&
                pattern_scan_set(&thread->scan, PATTERN_SEQ, options->seq_pattern) &&
                pattern_scan_set(&thread->scan, PATTERN_CHANNEL, options->channel_pattern);
    return fits ? 0 : -EMSGSIZE;
}

static int bench_thread_prepare(struct bench_thread *thread)
{
    const struct bench_control *control = thread->control;
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        return -EIO;
    }
    memcpy(&thread->random, random, sizeof thread->random);
    thread->random |= 1; /* xorshift must not begin with 0 */
    ws_client_key(thread->key, random);
    thread->conns = calloc(thread->conn_count, sizeof *thread->conns);
    thread->rearm = calloc(thread->conn_count, sizeof *thread->rearm);
    thread->channels = calloc(BENCH_CHANNELS_MAX, sizeof *thread->channels);
    thread->channel_indexes = calloc(BENCH_CHANNEL_NUMBER_MAX, sizeof *thread->channel_indexes);
    if (thread->conns == NULL || thread->rearm == NULL || thread->channels == NULL ||
        thread->channel_indexes == NULL) {
        return -ENOMEM;
    }
    if (control->interval_count > 0) {
        thread->intervals = calloc(control->interval_count, sizeof *thread->intervals);
        if (thread->intervals == NULL) {
            return -ENOMEM;
        }
    }
    bench_thread_assign_roles(thread);
    enum bench_encoding encoding = thread->options->encoding;
    thread->may_ask = !thread->options->at_once;
    if (thread->options->protocol == BENCH_RINGCAST) {
        thread->wish.protocol = encoding == BENCH_SBE ? WS_CLIENT_SBE : WS_CLIENT_JSON;
        thread->wish.is_implied = encoding != BENCH_SBE;
    }
    thread->wish.deflate = encoding == BENCH_DEFLATE;
    if (thread->wish.deflate && bench_inflate_create(&thread->inflate) != 0) {
        return -ENOMEM;
    }
    if (bench_load_is_common(control->load) && thread->options->protocol != BENCH_PLAIN) {
        size_t bytes = 0;
        thread->subscribe_text = bench_thread_subscribe_text(thread, thread->conns, false, &bytes);
        thread->subscribe_bytes = bytes;
        if (thread->subscribe_text == NULL) {
            return -ENOMEM;
        }
    }
    return bench_thread_set_patterns(thread);
}

int bench_thread_create(struct bench_thread **thread_out, const struct bench_options *options,
                        struct bench_control *control, uint32_t thread_index)
{
    struct bench_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        return -ENOMEM;
    }
    uint64_t count = options->connection_count;
    uint64_t first = count * thread_index / options->thread_count;
    uint64_t end = count * (thread_index + 1) / options->thread_count;
    thread->options = options;
    thread->control = control;
    thread->thread_index = thread_index;
    thread->first_conn_index = (uint32_t)first;
    thread->conn_count = (uint32_t)(end - first);
    /* Each has its part, and at least one. */
    thread->in_flight_max = options->in_flight_max / options->thread_count +
                            (thread_index < options->in_flight_max % options->thread_count);
    thread->in_flight_max += thread->in_flight_max == 0;
    int error = bench_thread_prepare(thread);
    if (error == 0) {
        error = bench_thread_open_ring(thread);
    }
    if (error != 0) {
        return error; /* main exits: nothing is worth undoing */
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
    uint8_t *bytes = thread->buffers;
    for (;;) {
        ssize_t got = recv(conn->fd, bytes, BENCH_RECV_BUFFER_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            return true;
        }
        if (got <= 0) {
            bench_conn_on_end(thread, conn);
            return false;
        }
        bench_conn_on_bytes(thread, conn, bytes, (size_t)got);
    }
}

void bench_thread_read_rest(struct bench_thread *thread)
{
    struct timespec pause = {.tv_nsec = 10 * (long)NS_PER_MS};
    bool any_open = thread->options->silent_count > 0;
    for (uint32_t round = 0; any_open && round < REST_ROUNDS_MAX; round++) {
        any_open = false;
        for (uint32_t i = 0; i < thread->conn_count; i++) {
            struct bench_conn *conn = &thread->conns[i];
            if (conn->is_silent && conn->fd >= 0) {
                any_open |= bench_thread_read_silent(thread, conn);
            }
        }
        nanosleep(&pause, NULL);
    }
}

void bench_thread_destroy(struct bench_thread *thread)
{
    io_uring_queue_exit(&thread->ring);
    for (uint32_t i = 0; i < thread->conn_count; i++) {
        struct bench_conn *conn = &thread->conns[i];
        if (conn->fd >= 0) {
            close(conn->fd);
        }
        free(conn->next_seqs);
        free(conn->carry);
        bench_nats_destroy(conn->nats);
    }
    while (thread->carry_free != NULL) {
        void *block = thread->carry_free;
        memcpy(&thread->carry_free, block, sizeof thread->carry_free);
        free(block);
    }
    munmap(thread->buffers, (size_t)BENCH_RECV_BUFFERS * BENCH_RECV_BUFFER_BYTES);
    bench_inflate_destroy(thread->inflate);
    free(thread->subscribe_text);
    free(thread->conns);
    free(thread->rearm);
    for (uint32_t i = 0; i < thread->channel_count; i++) {
        bench_ticks_deinit(&thread->channels[i].ticks);
    }
    free(thread->intervals);
    free(thread->channels);
    free(thread->channel_indexes);
    free(thread);
}
