#include "tests/sim_threads.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/io/engine_uring.h"

#define SIM_STACK_BYTES (1024 * KIB)
#define SIM_CLOCK_NS 500

struct sim_thread {
    ucontext_t context;
    void *stack;
    void (*run)(void *context);
    void *argument;
    bool has_ended;
    struct engine *engine; /* that it waits inside; NULL: it naps */
    uint64_t wake_ns;
    uint64_t naps; /* in a row */
};

static struct sim_thread threads[SIM_THREADS_MAX];
static uint32_t thread_count;
static struct sim_thread *current; /* NULL: none runs */
static ucontext_t outside;

static void sim_thread_main(void)
{
    current->run(current->argument);
    current->has_ended = true;
    swapcontext(&current->context, &outside);
}

void sim_threads_open(void)
{
    thread_count = 0;
}

void sim_threads_close(void)
{
    for (uint32_t i = 0; i < thread_count; i++) {
        assert_always(threads[i].has_ended);
        free(threads[i].stack);
    }
    thread_count = 0;
}

uint32_t sim_thread_start(void (*run)(void *context), void *context)
{
    assert_always(thread_count < SIM_THREADS_MAX);
    struct sim_thread *thread = &threads[thread_count];
    *thread = (struct sim_thread){.run = run, .argument = context};
    thread->stack = malloc(SIM_STACK_BYTES);
    assert_always(thread->stack != NULL && getcontext(&thread->context) == 0);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = SIM_STACK_BYTES;
    makecontext(&thread->context, sim_thread_main, 0);
    return thread_count++;
}

static bool sim_thread_waits(const struct sim_thread *thread)
{
    return sim.now_ns < thread->wake_ns &&
           (thread->engine == NULL || !sim_is_ready(thread->engine));
}

bool sim_thread_go_on(uint32_t number)
{
    struct sim_thread *thread = &threads[number];
    if (thread->has_ended || sim_thread_waits(thread)) {
        return false;
    }
    current = thread;
    swapcontext(&outside, &thread->context);
    current = NULL;
    return true;
}

bool sim_thread_has_ended(uint32_t thread)
{
    return threads[thread].has_ended;
}

bool sim_threads_are_running(void)
{
    return current != NULL;
}

uint64_t sim_threads_wake_ns(void)
{
    uint64_t wake_ns = UINT64_MAX;
    for (uint32_t i = 0; i < thread_count; i++) {
        if (threads[i].has_ended) {
            continue;
        }
        if (!sim_thread_waits(&threads[i])) {
            return 0;
        }
        wake_ns = threads[i].wake_ns < wake_ns ? threads[i].wake_ns : wake_ns;
    }
    return wake_ns;
}

uint64_t sim_threads_naps(void)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < thread_count; i++) {
        most = threads[i].naps > most ? threads[i].naps : most;
    }
    return most;
}

static void sim_thread_wait(struct engine *engine, uint64_t timeout_ns)
{
    current->engine = engine;
    current->wake_ns = timeout_ns > UINT64_MAX - sim.now_ns ? UINT64_MAX : sim.now_ns + timeout_ns;
    swapcontext(&current->context, &outside);
}

void sim_threads_step(void *context, struct engine *engine, uint64_t timeout_ns)
{
    (void)context;
    if (current != NULL) { /* Else the server is being taken down. */
        current->naps = 0;
        sim_thread_wait(engine, timeout_ns);
    }
}

/* ---- In place of the C library's ---- */

int nanosleep(const struct timespec *wanted, struct timespec *left_out)
{
    if (current == NULL) {
        return (int)syscall(SYS_nanosleep, wanted, left_out);
    }
    current->naps++;
    sim_thread_wait(NULL, (uint64_t)wanted->tv_sec * NS_PER_SECOND + (uint64_t)wanted->tv_nsec);
    return 0;
}

int sched_yield(void)
{
    if (current == NULL) {
        return (int)syscall(SYS_sched_yield);
    }
    current->naps++;
    sim_thread_wait(NULL, 0);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time_out)
{
    if (sim.now_ns == 0 || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)) {
        return (int)syscall(SYS_clock_gettime, clock, time_out);
    }
    sim.now_ns +=
        current != NULL ? SIM_CLOCK_NS : 0; /* Who looks at it until it is late gets on. */
    uint64_t ns = clock == CLOCK_REALTIME ? sim_wall_ns() : sim.now_ns;
    time_out->tv_sec = (time_t)(ns / NS_PER_SECOND);
    time_out->tv_nsec = (long)(ns % NS_PER_SECOND);
    return 0;
}

/* ---- In place of io_uring ---- */

int engine_uring_open(struct engine *engine, const struct engine_options *options,
                      char error_out[ENGINE_ERROR_BYTES_MAX])
{
    struct sim_thread *thread = current;
    current = NULL; /* This is the kernel's own work. */
    int error = sim_engine_open(engine, options, error_out);
    current = thread;
    return error;
}
