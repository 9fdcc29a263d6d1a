#include "src/doctor/doctor_host.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "src/doctor/doctor_window.h"

#define DOCTOR_HOST_CLOCK_READS 2000
#define DOCTOR_HOST_CLOCK_ROUNDS 8

static void doctor_host_read_release(struct doctor_host *host)
{
    struct utsname name;
    if (uname(&name) == 0) {
        snprintf(host->release, sizeof host->release, "%s", name.release);
    }
}

/* The least of several rounds: others may have had the CPU in one of them. */
static uint64_t doctor_host_clock_ns(void)
{
    uint64_t least_ns = UINT64_MAX;
    for (uint32_t round = 0; round < DOCTOR_HOST_CLOCK_ROUNDS; round++) {
        uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
        uint64_t end_ns = begin_ns;
        for (uint32_t i = 0; i < DOCTOR_HOST_CLOCK_READS; i++) {
            end_ns = clock_ns(CLOCK_MONOTONIC);
        }
        uint64_t cost_ns = (end_ns - begin_ns) / DOCTOR_HOST_CLOCK_READS;
        least_ns = cost_ns < least_ns ? cost_ns : least_ns;
    }
    assert_debug(least_ns < UINT64_MAX);
    return least_ns;
}

static int doctor_host_clock_state(void)
{
    struct timex timex = {0}; /* changes nothing */
    int state = adjtimex(&timex);
    return state < 0 ? -errno : state;
}

static uint64_t doctor_host_shm_free_bytes(void)
{
    struct statvfs shm;
    if (statvfs("/dev/shm", &shm) < 0) {
        return UINT64_MAX;
    }
    return (shm.f_flag & ST_RDONLY) != 0 ? 0 : (uint64_t)shm.f_bavail * shm.f_frsize;
}

static uint64_t doctor_host_pass(void *context)
{
    (void)context;
    struct timespec left = {.tv_nsec = DOCTOR_WINDOW_NS};
    uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    (void)nanosleep(&left, NULL);
    return clock_ns(CLOCK_MONOTONIC) - begin_ns;
}

void doctor_host_read(struct doctor_host *host_out)
{
    *host_out = (struct doctor_host){
        .clock_ns = doctor_host_clock_ns(),
        .clock_state = doctor_host_clock_state(),
        .shm_free_bytes = doctor_host_shm_free_bytes(),
        .pass = doctor_host_pass,
    };
    doctor_host_read_release(host_out);
    doctor_host_try_uring(host_out);
}
