/* Cores of the test, each a thread with a ring, have handshakes done by threads, with clients of
 * OpenSSL in memory. */
#include "tests/tls_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "codec/base/units.h"
#include "ring/core/core_state.h"
#include "ring/io/engine_uring.h"
#include "src/tls/tls_threads.h"
#include "src/tls/tls_tickets.h"
#include "tests/emulator.h"

#define TEST_CORES 2
#define TEST_THREADS 3
#define TEST_SLEEP_NS                                                                              \
    (60 * NS_PER_SECOND) /* A wake-up that gets lost makes the test that slow.                     \
                          */

static struct tls_tickets *tickets;
static struct tls_context *contexts[2]; /* with another certificate each */
static struct tls_maker_certificate certificates[2];
static SSL_CTX *clients;
static struct core *cores[TEST_CORES];
static struct tls_threads *threads;
static struct tls_service *service;

/* What a core has: its jobs, and the client at the other end of each. */
struct test_core {
    uint32_t number;
    uint32_t job_count;
    uint32_t rounds;  /* handshakes of each job */
    uint32_t running; /* jobs that are not through */
    pthread_t handle;
    struct tls_ciphers *ciphers;
    struct tls_job jobs[TLS_HANDSHAKES_MAX];
    SSL *ends[TLS_HANDSHAKES_MAX];
    uint32_t finished[TLS_HANDSHAKES_MAX];
};
static struct test_core test_cores[TEST_CORES];

/* ---- Set up ---- */

static struct tls_context *load(const char *file, struct tls_maker_certificate *made)
{
    char error[TLS_CONTEXT_ERROR_BYTES_MAX];
    struct tls_context *context = NULL;
    *made = tls_fixture_issue("md.example.com", "DNS:md.example.com");
    struct tls_options options = {.certificate_count = 1};
    options.certificates[0].chain = tls_maker_write(file, made->x509, NULL, made->key);
    if (tls_context_load(&context, &options, tickets, error) < 0) {
        fail_msg("%s", error);
    }
    return context;
}

static int set_up_all(void **state)
{
    tls_fixture_open(state);
    tls_maker_open();
    assert_int_equal(tls_tickets_open(&tickets), 0);
    contexts[0] = load("first.pem", &certificates[0]);
    contexts[1] = load("second.pem", &certificates[1]);
    clients = tls_fixture_client(NULL);
    return 0;
}

static int tear_down_all(void **state)
{
    SSL_CTX_free(clients);
    for (uint32_t i = 0; i < 2; i++) {
        tls_context_release(contexts[i]);
        tls_maker_free(&certificates[i]);
    }
    tls_tickets_close(tickets);
    tls_maker_close();
    return tls_fixture_close(state);
}

static int set_up(void **state)
{
    (void)state;
    char error[ENGINE_ERROR_BYTES_MAX];
    const struct engine_options options = {.sq_entries = 64, .cq_entries = 128};
    for (uint32_t i = 0; i < TEST_CORES; i++) {
        cores[i] = aligned_alloc(CACHE_LINE_BYTES, sizeof *cores[i]);
        memset(cores[i], 0, sizeof *cores[i]);
        assert_int_equal(engine_uring_open(&cores[i]->links.engine, &options, error), 0);
        memset(&test_cores[i], 0, sizeof test_cores[i]);
        test_cores[i].number = i;
        assert_int_equal(tls_ciphers_open(&test_cores[i].ciphers), 0);
        for (uint32_t k = 0; k < TLS_HANDSHAKES_MAX; k++) {
            test_cores[i].jobs[k].core = i;
            test_cores[i].jobs[k].number = k;
        }
    }
    assert_int_equal(tls_threads_open(&threads, contexts[0], TEST_THREADS, cores, TEST_CORES, error,
                                      sizeof error),
                     0);
    service = tls_threads_service(threads);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_threads_close(threads);
    for (uint32_t i = 0; i < TEST_CORES; i++) {
        for (uint32_t k = 0; k < TLS_HANDSHAKES_MAX; k++) {
            SSL_free(test_cores[i].ends[k]);
            free(test_cores[i].jobs[k].peer);
        }
        tls_ciphers_close(test_cores[i].ciphers);
        engine_close(&cores[i]->links.engine);
        free(cores[i]);
    }
    return 0;
}

/* ---- A core ---- */

static void submit(struct test_core *test, uint32_t number)
{
    service->submit(service, &cores[test->number]->links.engine, &test->jobs[number]);
}

/* Moves what the client has to say. */
static void go_on(struct test_core *test, uint32_t number)
{
    (void)SSL_do_handshake(test->ends[number]);
    assert_always(tls_fixture_send(test->ends[number], &test->jobs[number], SIZE_MAX));
    submit(test, number);
}

static void begin_client(struct test_core *test, uint32_t number)
{
    assert_always(test->ends[number] == NULL);
    test->ends[number] = tls_fixture_connect(clients);
    go_on(test, number);
}

/* As a core sleeps (core.c): the thread that has a result wakes it. */
static void sleep_until_result(const struct test_core *test)
{
    struct core *core = cores[test->number];
    struct io_uring_cqe cqe;
    atomic_store_explicit(&core->armed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t wait_ns = service->has_result(service, test->number) ? 0 : TEST_SLEEP_NS;
    engine_enter(&core->links.engine, wait_ns);
    atomic_store_explicit(&core->armed, 0, memory_order_relaxed);
    while (engine_reap(&core->links.engine, &cqe)) {
    }
}

static struct tls_job *wait_for_result(const struct test_core *test)
{
    struct tls_job *job;
    while ((job = service->next_result(service, test->number)) == NULL) {
        sleep_until_result(test);
    }
    assert_always(job->core == test->number);
    return job;
}

/* The keys are right: the client reads what they seal. */
static void finish(struct test_core *test, struct tls_job *job)
{
    uint8_t record[128];
    char read[16];
    SSL *end = test->ends[job->number];
    size_t front = tls_record_front(&job->tx);
    assert_always(SSL_do_handshake(end) == 1);
    memcpy(record + front, "welcome", 7);
    size_t count = tls_record_seal(test->ciphers, &job->tx, TLS_APPLICATION_DATA, record, 7);
    tls_fixture_receive(end, record, count);
    assert_always(SSL_read(end, read, sizeof read) == 7 && memcmp(read, "welcome", 7) == 0);
    assert_always(job->handshake == NULL);
    free(job->peer);
    job->peer = NULL;
    SSL_free(end);
    test->ends[job->number] = NULL;
    test->finished[job->number]++;
}

static void on_result(struct test_core *test, struct tls_job *job)
{
    assert_always(job->outcome != TLS_FAILED);
    tls_fixture_receive(test->ends[job->number], job->out, job->out_bytes);
    if (job->outcome == TLS_WANTS_MORE) {
        go_on(test, job->number);
        return;
    }
    finish(test, job);
    if (test->finished[job->number] < test->rounds) {
        begin_client(test, job->number);
    } else {
        test->running--;
    }
}

static void *run_core(void *argument)
{
    struct test_core *test = argument;
    assert_always(engine_enable(&cores[test->number]->links.engine) == 0);
    for (uint32_t i = 0; i < test->job_count; i++) {
        begin_client(test, i);
    }
    for (test->running = test->job_count; test->running > 0;) {
        on_result(test, wait_for_result(test));
    }
    return NULL;
}

static void start_cores(uint32_t job_count, uint32_t rounds)
{
    for (uint32_t i = 0; i < TEST_CORES; i++) {
        test_cores[i].job_count = job_count;
        test_cores[i].rounds = rounds;
        assert_int_equal(pthread_create(&test_cores[i].handle, NULL, run_core, &test_cores[i]), 0);
    }
}

static void join_cores(void)
{
    for (uint32_t i = 0; i < TEST_CORES; i++) {
        assert_int_equal(pthread_join(test_cores[i].handle, NULL), 0);
        for (uint32_t k = 0; k < test_cores[i].job_count; k++) {
            assert_int_equal(test_cores[i].finished[k], test_cores[i].rounds);
        }
    }
}

/* ---- Tests ---- */

static void every_core_gets_the_results_of_its_own_jobs(void **state)
{
    (void)state;
    start_cores(20, 5);
    join_cores();
}

static void a_core_may_submit_all_the_jobs_that_it_has(void **state)
{
    (void)state;
    start_cores(TLS_HANDSHAKES_MAX, 1);
    join_cores();
}

static void contexts_are_swapped_while_handshakes_run(void **state)
{
    (void)state;
    start_cores(8, 10);
    for (uint32_t i = 0; i < 2000; i++) {
        tls_threads_swap(threads, contexts[i % 2]);
    }
    join_cores();
}

/* A test that is a core itself. */
static struct test_core *be_core(void)
{
    assert_int_equal(engine_enable(&cores[0]->links.engine), 0);
    return &test_cores[0];
}

static void got_certificate(const struct test_core *test, uint32_t number, uint32_t which)
{
    const X509 *got = SSL_get0_peer_certificate(test->ends[number]);
    assert_int_equal(X509_cmp(got, certificates[which].x509), 0);
}

static void a_handshake_ends_with_the_context_that_it_began_with(void **state)
{
    (void)state;
    struct tls_maker_certificate made;
    struct test_core *test = be_core();
    struct tls_context *brief = load("brief.pem", &made);
    tls_threads_swap(threads, brief);
    tls_context_release(brief); /* The threads alone hold it now, and then the handshake alone. */
    begin_client(test, 0);
    struct tls_job *job = wait_for_result(test);
    assert_int_equal(job->outcome, TLS_WANTS_MORE);
    tls_threads_swap(threads, contexts[1]);
    on_result(test, job);
    job = wait_for_result(test);
    assert_int_equal(job->outcome, TLS_FINISHED);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(test->ends[0]), made.x509), 0);
    test->rounds = 2; /* The next one has the new context. */
    on_result(test, job);
    job = wait_for_result(test);
    tls_fixture_receive(test->ends[0], job->out, job->out_bytes);
    job->out_bytes = 0;
    (void)SSL_do_handshake(test->ends[0]);
    got_certificate(test, 0, 1);
    tls_maker_free(&made);
}

static void a_job_that_is_over_comes_back_and_can_be_used_again(void **state)
{
    (void)state;
    struct test_core *test = be_core();
    struct tls_job *job = &test->jobs[0];
    job->is_over = true; /* before it has begun */
    submit(test, 0);
    assert_ptr_equal(wait_for_result(test), job);
    assert_null(job->handshake);

    job->is_over = false;
    begin_client(test, 0);
    assert_ptr_equal(wait_for_result(test), job);
    assert_non_null(job->handshake);
    job->is_over = true; /* in the middle */
    submit(test, 0);
    assert_ptr_equal(wait_for_result(test), job);
    assert_null(job->handshake);

    job->is_over = false;
    SSL_free(test->ends[0]);
    test->ends[0] = NULL;
    test->rounds = 1;
    test->running = 1;
    begin_client(test, 0);
    while (test->running > 0) {
        on_result(test, wait_for_result(test));
    }
}

static void a_thread_that_sleeps_is_woken_by_the_core_s_ring(void **state)
{
    (void)state;
    struct test_core *test = be_core();
    struct engine *engine = &cores[0]->links.engine;
    bool has_woken = false;
    for (test->jobs[0].is_over = true; !has_woken;) { /* It may not sleep yet. */
        uint32_t before = engine_queued_count(engine);
        submit(test, 0);
        has_woken = engine_queued_count(engine) > before;
        wait_for_result(test);
        usleep(1000);
    }
}

/* What a core leaves behind when it ends at once. */
static void handshakes_in_the_middle_are_freed_at_the_end(void **state)
{
    (void)state;
    struct test_core *test = be_core();
    for (uint32_t i = 0; i < 30; i++) {
        begin_client(test, i);
    }
    for (uint32_t i = 0; i < 10; i++) {
        struct tls_job *job = wait_for_result(test);
        tls_fixture_receive(test->ends[job->number], job->out, job->out_bytes);
        go_on(test, job->number); /* of which some finish, and nobody takes the result */
    }
    for (uint32_t i = 0; i < 10; i++) {
        (void)wait_for_result(test); /* and some jobs are with the core. */
    }
}

static void threads_that_were_never_used_end(void **state)
{
    (void)state;
}

/* What the calling thread and those that it starts may not do from now on. */
static void forbid_io_uring_register(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    assert_always(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    assert_always(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *open_without_register(void *error_out)
{
    struct tls_threads *none = NULL;
    forbid_io_uring_register();
    int error = tls_threads_open(&none, contexts[0], TEST_THREADS, cores, TEST_CORES, error_out,
                                 ENGINE_ERROR_BYTES_MAX);
    assert_always(none == NULL);
    return (void *)(intptr_t)error;
}

static void a_thread_that_cannot_begin_is_an_error_at_once(void **state)
{
    (void)state;
    char error[ENGINE_ERROR_BYTES_MAX] = "";
    pthread_t opener;
    void *result;
    assert_int_equal(pthread_create(&opener, NULL, open_without_register, error), 0);
    assert_int_equal(pthread_join(opener, &result), 0);
    assert_int_equal((intptr_t)result, -EPERM);
    assert_string_equal(error, "io_uring cannot be enabled: Operation not permitted");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_core_gets_the_results_of_its_own_jobs),
        TEST(a_core_may_submit_all_the_jobs_that_it_has),
        TEST(contexts_are_swapped_while_handshakes_run),
        TEST(a_handshake_ends_with_the_context_that_it_began_with),
        TEST(a_job_that_is_over_comes_back_and_can_be_used_again),
        TEST(a_thread_that_sleeps_is_woken_by_the_core_s_ring),
        TEST(handshakes_in_the_middle_are_freed_at_the_end),
        TEST(threads_that_were_never_used_end),
        cmocka_unit_test(a_thread_that_cannot_begin_is_an_error_at_once),
    };
    if (emulator_lacks_rings()) {
        return emulator_skip_all(tests, sizeof tests / sizeof tests[0]);
    }
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
