#include "ring/core/core.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/memory.h"
#include "ring/core/core_state.h"
#include "ring/fan/puller.h"
#include "ring/fan/roster.h"
#include "ring/io/engine_uring.h"
#include "ring/link/deadlines.h"
#include "ring/link/input.h"
#include "ring/link/opening.h"
#include "ring/link/receiver.h"
#include "ring/link/securing.h"
#include "ring/trace.h"

#define CORE_SLOW_TURN_NS NS_PER_MS     /* Longer turns are counted. */
#define CORE_STOOD_NS (500 * NS_PER_MS) /* A longer turn: the core stood still. */
#define CORE_GRACE_NS NS_PER_SECOND     /* for its clients then */
#define CORE_GRACES_MAX 3               /* one behind the other */
#define CORE_LOG_BYTES_MAX 256

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

void core_read_clock(struct core *core)
{
    core->options.clock(core->options.context, &core->time);
    core->fan.now_ns = core->time.now_ns;
    core->fan.wall_ns = core->time.wall_ns;
    core->links.now_ns = core->time.now_ns;
}

/* ---- Completions ---- */

static void core_on_completion(struct core *core, const struct io_uring_cqe *cqe)
{
    struct links *links = &core->links;
    uint32_t index = (uint32_t)cqe->user_data;
    enum link_op op = (enum link_op)(cqe->user_data >> 56);
    if (op == OP_ACCEPT) {
        core_accept_on_completion(core, cqe);
    } else if (op == OP_WATCH) {
        core_watch_on_completion(&core->watch, cqe->user_data, cqe->res);
    } else if (op == OP_RECV) {
        receiver_on_recv(links, links_target(links, cqe), cqe);
        link_on_operation_ended(links, links_at(links, index));
    } else if (op == OP_WRITABLE) {
        link_on_writable(links, links_target(links, cqe));
        link_on_operation_ended(links, links_at(links, index));
    } else if (op == OP_SHUTDOWN) {
        links_target(links, cqe)->shutdown_armed = false;
        link_on_operation_ended(links, links_at(links, index));
    } /* Sends were seen to at once; the rest only wakes, or failed without harm. */
}

bool core_reap(struct core *core)
{
    struct io_uring_cqe cqe;
    bool has_reaped = false;
    while (engine_reap(&core->links.engine, &cqe)) {
        core_on_completion(core, &cqe);
        has_reaped = true;
    }
    return has_reaped;
}

struct core_watch *core_watch_of(struct core *core)
{
    return &core->watch;
}

/* ---- What the links ask ---- */

/* The writer sees by the claims that its frames are to be written. */
static bool core_choose_encoding(struct core *core, uint32_t conn, uint32_t encoding)
{
    assert_always(encoding < core->options.encoding_count);
    if (encoding != CORE_ENCODING_JSON && !core_claims_join(core->options.claims, encoding)) {
        return false;
    }
    core_subscriber(core, conn)->encoding = (uint8_t)encoding;
    /* The writer stores run, then reads the claims (encodings_end). One sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    return true;
}

static void core_on_open(struct core *core, uint32_t conn)
{
    core_conn_trace_upgrade(core, conn);
    roster_join(&core->fan, conn, core_subscriber(core, conn)->encoding);
    core->options.ops->on_open(core->options.context, core, conn, core->time.now_ns);
    core_drain_open(core, conn);
}

static void core_on_clear(struct core *core, uint32_t conn)
{
    roster_go_on(&core->fan, core_subscriber(core, conn));
}

static void core_on_answered(struct core *core, uint32_t conn)
{
    roster_end_hold(&core->fan, core_subscriber(core, conn));
}

static bool core_is_idle(struct core *core, uint32_t conn)
{
    const struct subscriber *subscriber = core_subscriber(core, conn);
    return subscriber->sub_count == 0 && subscriber->group_mask == 0 && !subscriber->is_replayed;
}

static bool core_is_quiet(struct core *core, uint32_t conn)
{
    struct subscriber *subscriber = core_subscriber(core, conn);
    uint32_t frames = (uint32_t)subscriber->frames_sent;
    bool is_quiet = subscriber->mode == SUBSCRIBER_PUSHED && subscriber->frames_at_tick == frames;
    subscriber->frames_at_tick = frames;
    return is_quiet;
}

static bool core_lend(struct core *core, const struct send_plan *plan,
                      struct engine_stretch *stretch_out)
{
    struct frame_log *log = core->fan.streams[plan->log].log;
    const struct iovec *iov = &core->fan.batch->iovs[plan->iov_first];
    assert_always(plan->iov_count == 1);
    if (!core_may_lend(core)) {
        return false;
    }
    *stretch_out = (struct engine_stretch){.fd = log->memory.fd, .bytes = iov->iov_len};
    return frame_log_lend(log, core->options.index, iov->iov_base, iov->iov_len,
                          &stretch_out->offset);
}

static const struct links_asks core_asks = {
    .choose_encoding = core_choose_encoding,
    .is_encoded = core_follow_run,
    .on_open = core_on_open,
    .on_clear = core_on_clear,
    .on_answered = core_on_answered,
    .is_idle = core_is_idle,
    .is_quiet = core_is_quiet,
    .on_drain = core_drain_close,
    .lend = core_lend,
};

/* ---- Encodings ---- */

void core_see_channels(struct core *core)
{
    uint32_t count = core->options.ops->channel_count(core->options.context);
    while (core->fan.channel_count < count) {
        uint32_t channel = core->fan.channel_count++;
        core->options.ops->on_channel(core->options.context, core, channel);
    }
}

void core_resync(struct core *core, struct fan_stream *stream)
{
    uint32_t reader = core->options.index;
    uint64_t pinned = frame_log_pinned(stream->log, reader);
    frame_log_pin_oldest(stream->log, reader);
    uint64_t head = frame_log_head(stream->log);
    core_see_channels(core); /* After the head: a channel exists before its first frame. */
    puller_resync(&core->fan, stream, head);
    frame_log_pin_again(stream->log, reader, pinned);
}

bool core_follow_run(struct core *core, uint32_t encoding)
{
    assert_always(encoding < core->options.encoding_count);
    struct core_encoding *written = &core->options.encodings[encoding];
    struct fan_stream *stream = &core->fan.streams[encoding];
    uint32_t run = atomic_load_explicit(&written->run, memory_order_acquire);
    if (__builtin_expect(run != core->runs[encoding] && core_encoding_is_written(run), 0)) {
        core->runs[encoding] = run;
        stream->first = atomic_load_explicit(&written->first, memory_order_relaxed);
        stream->json_first = atomic_load_explicit(&written->json_first, memory_order_relaxed);
        core_resync(core, stream);
    }
    return core_encoding_is_written(run);
}

/* ---- Creation ---- */

uint64_t core_memory_bytes(uint32_t conn_count_max)
{
    uint64_t conns = (uint64_t)conn_count_max + CORE_SPARE_CONNS;
    return conns * (sizeof(struct link) + sizeof(struct subscriber) + FAN_DUE_BYTES);
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
    if (core->options.place_count_max == 0) {
        core->options.place_count_max = options->conn_count_max;
    }
    core->accepts_one = core->options.open_count_max < open_count_max;
    if (core->options.out_pool_bytes == 0) {
        core->options.out_pool_bytes = CORE_OUT_POOL_BYTES;
    }
    core->counters = options->counters;
    core->slab_count = options->conn_count_max + CORE_SPARE_CONNS;
}

static int core_open_fan(struct core *core)
{
    struct fan_options options = {
        .reader = core->options.index,
        .subscriber_count = core->slab_count,
        .encoding_count = core->options.encoding_count,
        .max_lag_ns = core->options.max_lag_ns,
        .key = core->options.key,
        .counters = core->counters,
    };
    assert_always(core->options.encoding_count <= CORE_ENCODINGS_MAX);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        options.logs[i] = core->options.encodings[i].log;
        options.takes_json[i] = core->options.encodings[i].takes_json;
        core->runs[i] = atomic_load(&core->options.encodings[i].run);
    }
    return fan_open(&core->fan, &options);
}

static uint32_t core_lend_bytes(uint32_t bytes)
{
    return bytes == 0 ? UINT32_MAX : bytes;
}

static int core_open_links(struct core *core, char error_out[ENGINE_ERROR_BYTES_MAX])
{
    const struct links_options options = {
        .core_number = core->options.index,
        .link_count = core->slab_count,
        .encoding_count = core->options.encoding_count,
        .place_count_max = core->options.place_count_max,
        .heartbeat_interval_ns = core->options.heartbeat_interval_ns,
        .idle_timeout_ns = core->options.idle_timeout_ns,
        .half_message_ns = core->options.half_message_ns,
        .send_buffer_bytes = core->options.send_buffer_bytes,
        .lend_bytes = core_lend_bytes(core->options.zero_copy.tcp_bytes),
        .lend_unix_bytes = core_lend_bytes(core->options.zero_copy.unix_bytes),
        .message_bytes_max = core->options.message_bytes_max,
        .out_pool_bytes = core->options.out_pool_bytes,
        .site = &core->options.site,
        .document = &core->options.document,
        .conn_count = core->options.conn_count,
        .place_count = core->options.place_count,
        .pressure = core->options.pressure,
        .tls = core->options.tls,
        .counters = core->counters,
        .core = core,
        .asks = &core_asks,
        .ops = core->options.ops,
        .context = core->options.context,
        .clock = core->options.clock,
        .open_engine = core->options.open_engine,
    };
    return links_open(&core->links, &options, error_out);
}

int core_create(struct core **core_out, const struct core_options *options, char *error_out,
                size_t error_bytes)
{
    char words[ENGINE_ERROR_BYTES_MAX] = "";
    struct core *core = aligned_alloc(CACHE_LINE_BYTES, sizeof *core);
    snprintf(error_out, error_bytes,
             "not enough memory; give a smaller --max-connections, or raise `ulimit -v`");
    if (core == NULL) {
        return -ENOMEM;
    }
    memset(core, 0, sizeof *core);
    core_take_options(core, options);
    core->accept_retry_ns = UINT64_MAX;
    opening_warm_up();
    int error = core_open_fan(core);
    if (error < 0) {
        goto free_core;
    }
    error = core_open_links(core, words);
    if (error < 0) {
        goto close_fan;
    }
    core_watch_init(&core->watch, &core->links.engine);
    core_read_clock(core);
    *core_out = core;
    return 0;

close_fan:
    fan_close(&core->fan);
free_core:
    free(core);
    if (words[0] != '\0') {
        snprintf(error_out, error_bytes, "%s", words);
    }
    return error;
}

void core_destroy(struct core *core)
{
    links_close(&core->links);
    fan_close(&core->fan);
    free(core);
}

/* ---- Stopping ---- */

static void core_begin_stop(struct core *core)
{
    core->stopping_began = true;
    core->stop_deadline_ns = core->time.now_ns + CORE_STOP_NS;
    core->accept_retry_ns = UINT64_MAX;
    core_accept_cancel(core);
    for (uint32_t index = 0; index < core->slab_count; index++) {
        struct link *link = core_link(core, index);
        if (link->stage == LINK_STREAMING && core->drain_end_ns != 0) {
            counter_add(&core->counters->closed_drain, 1);
            link_close(&core->links, link, CORE_DRAIN_CLOSE_CODE, "drain", "drain");
        } else if (link->stage == LINK_STREAMING) {
            link_close(&core->links, link, 1001, "server stopping", "server stopping");
        } else if (link->stage == LINK_SECURING || link->stage == LINK_HANDSHAKING) {
            link_doom(&core->links, link, 0, "server stopping");
        }
    }
}

/* true: all connections have ended, or their time is up. */
static bool core_has_stopped(struct core *core)
{
    if (!core->stopping_began) {
        if (atomic_load_explicit(&core->stopping, memory_order_acquire) == 0) {
            return false;
        }
        core_begin_stop(core);
    }
    if (core->links.free_count == core->slab_count && securing_is_idle(&core->links)) {
        return true;
    }
    if (core->time.now_ns < core->stop_deadline_ns) {
        return false;
    }
    for (uint32_t index = 0; index < core->slab_count; index++) {
        link_doom(&core->links, core_link(core, index), 0, "server stopping");
    }
    return core->time.now_ns >= core->stop_deadline_ns + CORE_STOP_NS;
}

/* ---- The loop ---- */

/* After a core stood still (SIGSTOP, a machine that was paused), no client is judged by the clock
 * for a second: what came meanwhile is read first, and what waited to be sent gets its answer. If
 * it stands still again, the second begins anew, CORE_GRACES_MAX times at most. */
static void core_run_timers(struct core *core)
{
    uint64_t now_ns = core->time.now_ns;
    assert_debug(now_ns >= core->timed_ns);
    if (now_ns - core->timed_ns > CORE_STOOD_NS && core->grace_count < CORE_GRACES_MAX) {
        core->grace_count++;
        core->grace_ns = now_ns + CORE_GRACE_NS;
    }
    core->timed_ns = now_ns;
    if (now_ns >= core->grace_ns) {
        core->grace_ns = 0;
        core->grace_count = 0;
        if (now_ns >= core->accept_retry_ns) {
            core_accept_on_timer(core);
        }
        timer_wheel_advance(&core->links.wheel, now_ns, deadlines_on_timer, &core->links);
    }
}

/* What is not asleep is busy: up to the clock reading at hand nothing is missing. */
static void core_count_turn(struct core *core)
{
    struct core_counters *counters = core->counters;
    assert_debug(core->counted_ns <= core->time.now_ns);
    uint64_t busy_ns = core->time.now_ns - core->counted_ns;
    core->counted_ns = core->time.now_ns;
    counter_add(&counters->turns, 1);
    counter_add(&counters->busy_ns, busy_ns);
    if (__builtin_expect(busy_ns > counter_get(&counters->turn_max_ns), 0)) {
        counter_set(&counters->turn_max_ns, busy_ns);
    }
    if (__builtin_expect(busy_ns > CORE_SLOW_TURN_NS, 0)) {
        counter_add(&counters->turns_slow, 1);
        trace_slow(core->options.index, busy_ns);
    }
    counter_set(&counters->blocked_ns, links_blocked_ns(&core->links));
}

/* What other threads ask of this core. true: there is more. */
static bool core_read_mail(struct core *core)
{
    if (core->stopping_began) {
        return false;
    }
    bool has_mail = __builtin_expect(core_has_mail(core), 0) && core_mail_go_on(core);
    return core_drain_go_on(core) || has_mail;
}

/* An inline publisher. Returns when it is to be called next. */
static uint64_t core_publish(struct core *core)
{
    uint64_t next_ns = UINT64_MAX;
    if (core->options.publish != NULL && !core->stopping_began) {
        next_ns = core->options.publish(core->options.publish_context, core->time.now_ns);
        core_read_clock(core);
    }
    return next_ns;
}

/* A pin that outlived its turn would stop the writer, which may be about to run on this thread. */
static void core_turn(struct core *core)
{
    assert_always(!fan_is_pinned(&core->fan));
    uint64_t mail_ns = core_mail_begin_turn(core);
    bool has_mail = core_read_mail(core);
    core_bury(core);
    core_mail_count(&core->counters->mail_cpu_max_ns, mail_ns);
    uint64_t next_publish_ns = core_publish(core);
    core->has_pushed = false;
    while (core_plan(core)) {
        core_send(core);
    }
    core->worked_ns = core->has_pushed ? core->time.now_ns : core->worked_ns;
    core_run_timers(core);
    input_run_waiting(&core->links);
    securing_go_on(&core->links);
    opening_go_on(&core->links);
    core_sleep(core, core->has_pushed || has_mail ? 0 : core_wait_ns(core, next_publish_ns),
               next_publish_ns == UINT64_MAX);
    core_count_turn(core);
    if (core_reap(core)) {
        core_read_clock(core); /* Messages were dealt with: the next turn begins later. */
    }
    core_mail_count(&core->counters->mail_turn_cpu_max_ns, mail_ns);
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
    error = engine_enable(&core->links.engine);
    if (error < 0) {
        core_log(core, 3, "core %u: io_uring cannot be enabled: %s", core->options.index,
                 strerror(-error));
        return error;
    }
    core_read_clock(core);
    core->counted_ns = core->time.now_ns;
    core->timed_ns = core->time.now_ns;
    core_accept_arm(core);
    while (!core_has_stopped(core)) {
        core_turn(core);
    }
    links_flush(&core->links); /* The last conns' descriptors are yet to be closed. */
    return 0;
}
