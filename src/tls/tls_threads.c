#include "src/tls/tls_threads.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "codec/base/list.h"
#include "ring/core/core.h"
#include "ring/io/engine_uring.h"
#include "src/base/log.h"
#include "src/base/thread.h"
#include "src/tls/tls_extract.h"
#include "src/tls/tls_handshake.h"
#include "src/tls/tls_queue.h"

#define TLS_THREADS_SLEEP_NS_MAX (100 * NS_PER_MS) /* so that the end needs no wake-up */
#define TLS_THREADS_NAME_BYTES_MAX 16              /* the kernel's */
#define TLS_THREADS_SQ_ENTRIES 8                   /* one wake-up at a time */
#define TLS_THREADS_CQ_ENTRIES 16

/* Between a thread and a core. */
struct tls_threads_lane {
    struct tls_queue jobs;
    struct tls_queue results;
};

/* A handshake that has begun: of the thread that its job always goes to. */
struct tls_threads_place {
    void *handshake;             /* NULL: there is none */
    struct tls_context *context; /* that it began with */
};

struct tls_thread {
    struct tls_threads *threads;
    uint32_t number;
    pthread_t handle;
    bool has_started;
    bool has_engine;
    int error;            /* of its start, until threads->settled is posted */
    struct engine engine; /* in which it sleeps, and from which it wakes cores */
    struct tls_ciphers *ciphers;
    struct tls_threads_lane *lanes;                    /* of each core one */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t armed; /* It sleeps, or is about to. */
};

struct tls_threads {
    struct tls_service service;
    pthread_mutex_t lock; /* of context: main swaps it while threads take hold of it */
    struct tls_context *context;
    struct core *const *cores;
    uint32_t core_count;
    uint32_t thread_count;
    _Atomic bool is_closing;
    sem_t settled;                    /* by a thread that starts; main waits for each */
    struct tls_threads_place *places; /* by core and number of the job */
    struct tls_thread threads[TLS_THREADS_MAX];
};

static struct tls_threads *tls_threads_of(struct tls_service *service)
{
    return container_of(service, struct tls_threads, service);
}

/* ---- The cores' side ---- */

/* By number, so that a handshake stays on its thread; numbers in use are the lowest. */
static struct tls_thread *tls_threads_of_job(struct tls_threads *threads, const struct tls_job *job)
{
    return &threads->threads[(job->core + job->number) % threads->thread_count];
}

static void tls_threads_submit(struct tls_service *service, struct engine *engine,
                               struct tls_job *job)
{
    struct tls_threads *threads = tls_threads_of(service);
    struct tls_thread *thread = tls_threads_of_job(threads, job);
    assert_always(job->core < threads->core_count);
    assert_always(job->number < TLS_HANDSHAKES_MAX);
    tls_queue_push(&thread->lanes[job->core].jobs, job);
    /* The thread arms itself, then looks at its queues. One sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&thread->armed, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&thread->armed, 0, memory_order_relaxed) != 0) {
        /* Without room in the core's queue it wakes by itself, 100 ms later at most. */
        engine_wake(&thread->engine, engine, 0);
    }
}

static struct tls_job *tls_threads_next_result(struct tls_service *service, uint32_t core)
{
    struct tls_threads *threads = tls_threads_of(service);
    struct tls_job *job = NULL;
    assert_always(core < threads->core_count);
    for (uint32_t i = 0; i < threads->thread_count && job == NULL; i++) {
        job = tls_queue_pop(&threads->threads[i].lanes[core].results);
    }
    return job;
}

static bool tls_threads_has_result(struct tls_service *service, uint32_t core)
{
    struct tls_threads *threads = tls_threads_of(service);
    assert_always(core < threads->core_count);
    for (uint32_t i = 0; i < threads->thread_count; i++) {
        if (tls_queue_has(&threads->threads[i].lanes[core].results)) {
            return true;
        }
    }
    return false;
}

/* ---- A thread ---- */

static struct tls_context *tls_threads_hold_context(struct tls_threads *threads)
{
    pthread_mutex_lock(&threads->lock);
    struct tls_context *context = tls_context_hold(threads->context);
    pthread_mutex_unlock(&threads->lock);
    return context;
}

static struct tls_threads_place *tls_threads_place_of(struct tls_threads *threads,
                                                      const struct tls_job *job)
{
    return &threads->places[job->core * TLS_HANDSHAKES_MAX + job->number];
}

static void tls_threads_do(struct tls_thread *thread, struct tls_job *job)
{
    struct tls_threads_place *place = tls_threads_place_of(thread->threads, job);
    assert_always(place->handshake == job->handshake);
    if (job->is_over) {
        tls_handshake_end(job);
    } else {
        if (place->context == NULL) {
            place->context = tls_threads_hold_context(thread->threads);
        }
        tls_handshake_step(job, tls_context_ssl(place->context), thread->ciphers);
    }
    place->handshake = job->handshake;
    if (place->handshake == NULL && place->context != NULL) {
        tls_context_release(place->context);
        place->context = NULL;
    }
}

static void tls_threads_enter(struct tls_thread *thread, uint64_t timeout_ns)
{
    struct io_uring_cqe cqe;
    engine_enter(&thread->engine, timeout_ns);
    while (engine_reap(&thread->engine, &cqe)) {
        /* It was woken; or a wake-up failed, and the core sleeps 100 ms at most. */
    }
}

/* One job of each core. Returns whether there was any. */
static bool tls_threads_turn(struct tls_thread *thread)
{
    struct tls_threads *threads = thread->threads;
    bool has_worked = false;
    for (uint32_t core = 0; core < threads->core_count; core++) {
        struct tls_threads_lane *lane = &thread->lanes[core];
        struct tls_job *job = tls_queue_pop(&lane->jobs);
        if (job == NULL) {
            continue;
        }
        assert_always(job->core == core);
        tls_threads_do(thread, job);
        tls_queue_push(&lane->results, job); /* From here on it is the core's. */
        if (core_wake(threads->cores[core], &thread->engine)) {
            tls_threads_enter(thread, 0);
        }
        has_worked = true;
    }
    return has_worked;
}

static bool tls_threads_has_job(const struct tls_thread *thread)
{
    for (uint32_t core = 0; core < thread->threads->core_count; core++) {
        if (tls_queue_has(&thread->lanes[core].jobs)) {
            return true;
        }
    }
    return false;
}

static void tls_threads_sleep(struct tls_thread *thread)
{
    atomic_store_explicit(&thread->armed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!tls_threads_has_job(thread)) {
        tls_threads_enter(thread, TLS_THREADS_SLEEP_NS_MAX);
    }
    atomic_store_explicit(&thread->armed, 0, memory_order_relaxed);
}

/* Below the cores, and the owner of its engine. */
static void tls_threads_settle(struct tls_thread *thread)
{
    char name[TLS_THREADS_NAME_BYTES_MAX];
    snprintf(name, sizeof name, "tls-%u", thread->number);
    (void)pthread_setname_np(pthread_self(), name);
    if (setpriority(PRIO_PROCESS, (id_t)gettid(), TLS_THREADS_NICE) < 0) {
        log_write(LOG_LEVEL_WARNING, "TLS: handshakes run at the priority of the cores: %s",
                  strerror(errno));
    }
    thread->error = engine_enable(&thread->engine);
}

static void *tls_threads_run(void *argument)
{
    struct tls_thread *thread = argument;
    tls_threads_settle(thread);
    sem_post(&thread->threads->settled);
    while (thread->error == 0 &&
           !atomic_load_explicit(&thread->threads->is_closing, memory_order_acquire)) {
        if (!tls_threads_turn(thread)) {
            tls_threads_sleep(thread);
        }
    }
    OPENSSL_thread_stop();
    return NULL;
}

/* ---- Life ---- */

static int tls_threads_open_one(struct tls_threads *threads, struct tls_thread *thread,
                                char error_out[ENGINE_ERROR_BYTES_MAX])
{
    static const struct engine_options options = {
        .sq_entries = TLS_THREADS_SQ_ENTRIES,
        .cq_entries = TLS_THREADS_CQ_ENTRIES,
    };
    size_t lanes_bytes = threads->core_count * sizeof *thread->lanes;
    thread->threads = threads;
    thread->number = (uint32_t)(thread - threads->threads);
    thread->lanes = aligned_alloc(CACHE_LINE_BYTES, lanes_bytes);
    int error = thread->lanes == NULL ? -ENOMEM : tls_ciphers_open(&thread->ciphers);
    if (error < 0) {
        snprintf(error_out, ENGINE_ERROR_BYTES_MAX, "%s",
                 error == -ENOMEM ? "not enough memory"
                                  : "OpenSSL lacks AES-GCM or ChaCha20-Poly1305, which TLS needs: "
                                    "see `openssl list -cipher-algorithms`");
        return error;
    }
    memset(thread->lanes, 0, lanes_bytes);
    error = engine_uring_open(&thread->engine, &options, error_out);
    thread->has_engine = error == 0;
    return error;
}

static int tls_threads_start_one(struct tls_thread *thread, char error_out[ENGINE_ERROR_BYTES_MAX])
{
    int error = thread_start(&thread->handle, tls_threads_run, thread);
    thread->has_started = error == 0;
    if (error < 0) {
        snprintf(error_out, ENGINE_ERROR_BYTES_MAX,
                 "one cannot start: %s; raise the limit of threads (ulimit -u, or TasksMax= of "
                 "systemd), or give fewer --tls-threads",
                 strerror(-error));
        return error;
    }
    while (sem_wait(&thread->threads->settled) < 0) { /* EINTR */
    }
    if (thread->error < 0) {
        snprintf(error_out, ENGINE_ERROR_BYTES_MAX, "io_uring cannot be enabled: %s",
                 strerror(-thread->error));
    }
    return thread->error;
}

static int tls_threads_start(struct tls_threads *threads, char *error_out, size_t error_bytes)
{
    char text[ENGINE_ERROR_BYTES_MAX];
    int error = 0;
    for (uint32_t i = 0; i < threads->thread_count && error == 0; i++) {
        error = tls_threads_open_one(threads, &threads->threads[i], text);
    }
    for (uint32_t i = 0; i < threads->thread_count && error == 0; i++) {
        error = tls_threads_start_one(&threads->threads[i], text);
    }
    if (error < 0) {
        snprintf(error_out, error_bytes, "%s", text);
    }
    return error;
}

int tls_threads_open(struct tls_threads **threads_out, struct tls_context *context,
                     uint32_t thread_count, struct core *const *cores, uint32_t core_count,
                     char *error_out, size_t error_bytes)
{
    assert_always(thread_count > 0 && thread_count <= TLS_THREADS_MAX);
    assert_always(core_count > 0);
    struct tls_threads *threads = aligned_alloc(CACHE_LINE_BYTES, sizeof *threads);
    struct tls_threads_place *places =
        calloc((size_t)core_count * TLS_HANDSHAKES_MAX, sizeof *places);
    if (threads == NULL || places == NULL) {
        free(places);
        free(threads);
        snprintf(error_out, error_bytes, "not enough memory");
        return -ENOMEM;
    }
    memset(threads, 0, sizeof *threads);
    threads->service = (struct tls_service){
        .submit = tls_threads_submit,
        .next_result = tls_threads_next_result,
        .has_result = tls_threads_has_result,
    };
    pthread_mutex_init(&threads->lock, NULL);
    sem_init(&threads->settled, 0, 0);
    threads->context = tls_context_hold(context);
    threads->cores = cores;
    threads->core_count = core_count;
    threads->thread_count = thread_count;
    threads->places = places;
    int error = tls_threads_start(threads, error_out, error_bytes);
    if (error < 0) {
        tls_threads_close(threads);
        return error;
    }
    *threads_out = threads;
    return 0;
}

/* What no core has taken. */
static void tls_threads_drop_results(struct tls_threads_lane *lane)
{
    struct tls_job *job;
    while ((job = tls_queue_pop(&lane->results)) != NULL) {
        tls_job_wipe(job);
        free(job->peer);
        job->peer = NULL;
    }
}

static void tls_threads_close_one(struct tls_threads *threads, struct tls_thread *thread)
{
    if (thread->has_engine) {
        engine_close(&thread->engine);
    }
    tls_ciphers_close(thread->ciphers);
    for (uint32_t core = 0; core < threads->core_count && thread->lanes != NULL; core++) {
        tls_threads_drop_results(&thread->lanes[core]);
    }
    free(thread->lanes);
}

/* A handshake of which the core has the job, or which waits for its next step. */
static void tls_threads_close_place(struct tls_threads_place *place)
{
    struct tls_job job = {.handshake = place->handshake};
    tls_handshake_end(&job);
    if (place->context != NULL) {
        tls_context_release(place->context);
    }
}

void tls_threads_close(struct tls_threads *threads)
{
    atomic_store_explicit(&threads->is_closing, true, memory_order_release);
    for (uint32_t i = 0; i < threads->thread_count; i++) {
        if (threads->threads[i].has_started) {
            pthread_join(threads->threads[i].handle, NULL);
        }
    }
    for (uint32_t i = 0; i < threads->thread_count; i++) {
        tls_threads_close_one(threads, &threads->threads[i]);
    }
    for (uint32_t i = 0; i < threads->core_count * TLS_HANDSHAKES_MAX; i++) {
        tls_threads_close_place(&threads->places[i]);
    }
    tls_context_release(threads->context);
    sem_destroy(&threads->settled);
    pthread_mutex_destroy(&threads->lock);
    free(threads->places);
    free(threads);
}

struct tls_service *tls_threads_service(struct tls_threads *threads)
{
    return &threads->service;
}

void tls_threads_swap(struct tls_threads *threads, struct tls_context *context)
{
    struct tls_context *before;
    tls_context_hold(context);
    pthread_mutex_lock(&threads->lock);
    before = threads->context;
    threads->context = context;
    pthread_mutex_unlock(&threads->lock);
    tls_context_release(before);
}
