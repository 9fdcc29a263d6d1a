#include "ring/link/links.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/memory.h"

#define LINKS_LOG_BYTES_MAX 256
#define LINKS_COMPLAINT_NS (10 * NS_PER_SECOND) /* between two lines about the same */

void links_log(struct links *links, int level, const char *format, ...)
{
    char text[LINKS_LOG_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    links->options.ops->log(links->options.context, links->options.core, level, text);
}

/* ---- Creation ---- */

static void links_unmap_all(struct links *links)
{
    size_t count = links->options.link_count;
    memory_unmap(links->links, count * sizeof *links->links);
    memory_unmap(links->backlogs, count * sizeof *links->backlogs);
    memory_unmap(links->ready.conns, count * sizeof *links->ready.conns);
    memory_unmap(links->waiting.conns, count * sizeof *links->waiting.conns);
    memory_unmap(links->ending.conns, count * sizeof *links->ending.conns);
    memory_unmap(links->batch, sizeof *links->batch);
    memory_unmap(links->inputs, links->input_count * links->input_bytes);
    memory_unmap(links->free_inputs, links->input_count * sizeof *links->free_inputs);
    memory_unmap(links->inflated, links->options.message_bytes_max);
}

/* What has keys is not in core dumps. NULL: no memory. */
static void *links_map_secret(size_t bytes)
{
    void *memory = memory_map(bytes, MAP_NORESERVE);
    if (memory != NULL && madvise(memory, bytes, MADV_DONTDUMP) < 0) {
        memory_unmap(memory, bytes);
        return NULL;
    }
    return memory;
}

static void links_close_tls(struct links *links)
{
    tls_ciphers_close(links->ciphers);
    memory_unmap(links->tls, links->options.link_count * sizeof *links->tls);
    memory_unmap(links->arena, LINKS_ARENA_BYTES);
    memory_unmap(links->tls_jobs, sizeof *links->tls_jobs);
    memory_unmap(links->tls_parts, sizeof *links->tls_parts);
}

static void links_init_jobs(struct link_tls_jobs *jobs)
{
    list_init(&jobs->taken);
    list_init(&jobs->waiting);
    for (uint32_t i = 0; i < TLS_HANDSHAKES_MAX; i++) {
        jobs->free[i] = (uint16_t)(TLS_HANDSHAKES_MAX - 1 - i);
        jobs->places[i].conn = LINK_NONE;
    }
    jobs->free_count = TLS_HANDSHAKES_MAX;
}

static void links_init_parts(struct link_tls_parts *parts)
{
    list_init(&parts->used);
    for (uint32_t i = 0; i < LINK_TLS_PARTS_MAX; i++) {
        parts->free[i] = (uint16_t)(LINK_TLS_PARTS_MAX - 1 - i);
    }
    parts->free_count = LINK_TLS_PARTS_MAX;
}

static int links_open_tls(struct links *links, char error_out[ENGINE_ERROR_BYTES_MAX])
{
    int error = tls_ciphers_open(&links->ciphers);
    if (error == -ENOTSUP) {
        snprintf(error_out, ENGINE_ERROR_BYTES_MAX,
                 "libcrypto lacks a cipher of TLS (AES-GCM or ChaCha20-Poly1305); enable it in "
                 "openssl.cnf, or do without TLS");
    }
    if (error < 0) {
        return error;
    }
    links->tls = links_map_secret(links->options.link_count * sizeof *links->tls);
    links->arena = links_map_secret(LINKS_ARENA_BYTES);
    links->tls_jobs = links_map_secret(sizeof *links->tls_jobs);
    links->tls_parts = links_map_secret(sizeof *links->tls_parts);
    if (links->tls == NULL || links->arena == NULL || links->tls_jobs == NULL ||
        links->tls_parts == NULL) {
        links_close_tls(links);
        return -ENOMEM;
    }
    links_init_jobs(links->tls_jobs);
    links_init_parts(links->tls_parts);
    return 0;
}

/* What every link needs is touched now; what grows with use is not. */
static int links_map_all(struct links *links)
{
    size_t count = links->options.link_count;
    links->links = memory_map(count * sizeof *links->links, MAP_POPULATE);
    links->backlogs = memory_map(count * sizeof *links->backlogs, MAP_NORESERVE);
    links->ready.conns = memory_map(count * sizeof *links->ready.conns, 0);
    links->waiting.conns = memory_map(count * sizeof *links->waiting.conns, 0);
    links->ending.conns = memory_map(count * sizeof *links->ending.conns, 0);
    links->batch = memory_map(sizeof *links->batch, MAP_POPULATE);
    links->inputs = memory_map(links->input_count * links->input_bytes, MAP_NORESERVE);
    links->free_inputs = memory_map(links->input_count * sizeof *links->free_inputs, 0);
    links->inflated = memory_map(links->options.message_bytes_max, MAP_NORESERVE);
    if (links->links == NULL || links->backlogs == NULL || links->ready.conns == NULL ||
        links->waiting.conns == NULL || links->ending.conns == NULL || links->batch == NULL ||
        links->inputs == NULL || links->free_inputs == NULL || links->inflated == NULL) {
        links_unmap_all(links);
        return -ENOMEM;
    }
    return 0;
}

static void links_init(struct links *links)
{
    uint32_t count = links->options.link_count;
    links->ready.capacity = count;
    links->waiting.capacity = count;
    links->ending.capacity = count;
    links->free_first = LINK_NONE;
    for (uint32_t i = count; i > 0; i--) {
        links_give(links, links_at(links, i - 1));
    }
    for (uint32_t i = 0; i < links->input_count; i++) {
        links->free_inputs[i] = links->input_count - 1 - i;
    }
    links->free_input_count = links->input_count;
    list_init(&links->inputs_in_use);
    list_init(&links->undecided);
    for (uint32_t i = 0; i < LINKS_ENCODINGS_MAX; i++) {
        list_init(&links->waiters[i]);
    }
    timer_wheel_init(&links->wheel, links->now_ns, &links->links->timer, sizeof *links->links);
}

int links_open(struct links *links, const struct links_options *options,
               char error_out[ENGINE_ERROR_BYTES_MAX])
{
    struct engine_options engine_options = {
        .sq_entries = LINKS_SQ_ENTRIES,
        .cq_entries = LINKS_CQ_ENTRIES,
        .recv_buffer_count = LINKS_RECV_BUFFERS,
        .recv_buffer_bytes = LINKS_RECV_BUFFER_BYTES,
    };
    uint32_t count = options->link_count;
    size_t message_bytes_max = options->message_bytes_max;
    struct core_time time;
    assert_always(message_bytes_max >= LINK_HEAD_BYTES_MAX);
    assert_always(count > 0);
    assert_always(options->encoding_count <= LINKS_ENCODINGS_MAX);
    options->clock(options->context, &time);
    *links = (struct links){
        .options = *options,
        .counters = options->counters,
        .now_ns = time.now_ns,
        .input_count = count < LINKS_INPUTS_MAX ? count : LINKS_INPUTS_MAX,
        .input_bytes = bytes_round_up(
            sizeof(struct link_input) + WS_DEFLATE_BYTES_MAX(message_bytes_max), CACHE_LINE_BYTES),
    };
    error_out[0] = '\0';
    int error = links_map_all(links);
    if (error < 0) {
        return error;
    }
    links_init(links);
    error = out_pool_init(&links->out_pool, options->out_pool_bytes);
    if (error < 0) {
        goto unmap;
    }
    if (options->tls != NULL) {
        error = links_open_tls(links, error_out);
        if (error < 0) {
            goto deinit_out_pool;
        }
    }
    error = options->open_engine(&links->engine, &engine_options, error_out);
    if (error < 0) {
        goto close_tls;
    }
    if (!links->engine.sends_files_to_unix) {
        links->options.lend_unix_bytes = UINT32_MAX;
    }
    links->lend_bytes_min = links->options.lend_bytes < links->options.lend_unix_bytes
                                ? links->options.lend_bytes
                                : links->options.lend_unix_bytes;
    return 0;

close_tls:
    links_close_tls(links);
deinit_out_pool:
    out_pool_deinit(&links->out_pool);
unmap:
    links_unmap_all(links);
    return error;
}

void links_close(struct links *links)
{
    engine_close(&links->engine);
    for (uint32_t i = 0; i < links->options.link_count; i++) {
        struct link *link = links_at(links, i);
        if (link->stage == LINK_FREE) {
            continue;
        }
        if (link->is_tls) {
            free(links_tls(links, link)->peer);
        }
        close(link->fd);
    }
    links_close_tls(links);
    out_pool_deinit(&links->out_pool);
    links_unmap_all(links);
}

/* ---- The kernel ---- */

struct io_uring_sqe *links_sqe(struct links *links)
{
    struct io_uring_sqe *sqe = engine_try_sqe(&links->engine);
    if (__builtin_expect(sqe == NULL, 0)) {
        links_flush(links);
        sqe = engine_try_sqe(&links->engine);
        assert_always(sqe != NULL);
    }
    return sqe;
}

void links_enter(struct links *links, uint64_t wait_ns)
{
    counter_add(&links->counters->enters, 1);
    int error = engine_enter(&links->engine, wait_ns);
    assert_always(error == 0);
    if (engine_has_overflown(&links->engine)) {
        counter_add(&links->counters->cq_overflow, 1);
    }
}

/* Nothing bounds how long the kernel may be short of memory, so the wait is reported. */
static void links_wait_for_kernel(struct links *links, uint64_t *since_ns)
{
    struct core_time time;
    links->options.clock(links->options.context, &time);
    if (*since_ns == 0) {
        *since_ns = time.now_ns;
    } else if (time.now_ns >= *since_ns + NS_PER_SECOND && time.now_ns >= links->complaint_ns) {
        links->complaint_ns = time.now_ns + LINKS_COMPLAINT_NS;
        links_log(links, 3,
                  "the kernel accepts no io_uring operations, probably because it is out of "
                  "memory; nothing is sent until it does");
    }
    sched_yield();
}

void links_flush(struct links *links)
{
    uint64_t since_ns = 0;
    links_enter(links, 0);
    while (__builtin_expect(engine_queued_count(&links->engine) > 0, 0)) {
        links_wait_for_kernel(links, &since_ns);
        links_enter(links, 0);
    }
}
