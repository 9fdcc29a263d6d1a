/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/admin/host.h"

#define BYTES (16 * MIB) /* far more than the kernel's figures may be off */

static _Atomic bool ends;

static void *keep_busy(void *tid)
{
    atomic_store((_Atomic uint32_t *)tid, (uint32_t)gettid());
    while (!atomic_load_explicit(&ends, memory_order_relaxed)) {
    }
    return NULL;
}

static int first_cpu(void)
{
    cpu_set_t cpus;
    int cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    while (!CPU_ISSET((size_t)cpu, &cpus)) {
        cpu++;
    }
    return cpu;
}

static void threads_that_share_a_cpu_wait_for_it(void **state)
{
    (void)state;
    _Atomic uint32_t tids[2] = {0, 0};
    pthread_t threads[2];
    pthread_attr_t attributes;
    cpu_set_t cpu;
    if (access("/proc/self/schedstat", R_OK) < 0) {
        print_message("SKIPPED: this kernel counts no run delay\n");
        skip();
    }
    CPU_ZERO(&cpu);
    CPU_SET((size_t)first_cpu(), &cpu);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof cpu, &cpu);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], &attributes, keep_busy, &tids[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        while (atomic_load(&tids[i]) == 0) {
            sched_yield();
        }
    }
    /* Of both: none runs while the other does. */
    uint64_t begin_ns[2] = {host_run_delay_ns(tids[0]), host_run_delay_ns(tids[1])};
    while (host_run_delay_ns(tids[0]) == begin_ns[0] || host_run_delay_ns(tids[1]) == begin_ns[1]) {
        sched_yield();
    }
    assert_true(host_run_delay_ns(tids[0]) > begin_ns[0]);
    atomic_store(&ends, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
}

static void no_thread_waits_for_no_time(void **state)
{
    (void)state;
    assert_int_equal(host_run_delay_ns(0), 0);
    assert_int_equal(host_run_delay_ns(UINT32_MAX), 0);
}

/* S41, S99: what the watermarks judge. */
static void memory_that_is_allocated_is_private_and_a_file_is_not(void **state)
{
    (void)state;
    uint64_t before = host_private_bytes();
    char *own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(own, MAP_FAILED);
    memset(own, 1, BYTES);
    uint64_t with_own = host_private_bytes();
    assert_true(with_own >= before + BYTES / 2);
    char *shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    memset(shared, 1, BYTES);
    assert_true(host_private_bytes() < with_own + BYTES / 2);
    munmap(own, BYTES);
    munmap(shared, BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_share_a_cpu_wait_for_it),
        cmocka_unit_test(no_thread_waits_for_no_time),
        cmocka_unit_test(memory_that_is_allocated_is_private_and_a_file_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
