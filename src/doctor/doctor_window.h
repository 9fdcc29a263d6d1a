/*
 * doctor_window: what counts only as growth, read twice, DOCTOR_WINDOW_NS apart.
 *
 * Owner    The first check that asks waits for it; the others find it taken. doctor->window is
 *          NULL until then.
 * Threads  One. Memory: static; one window at a time.
 * Errors   What cannot be read is empty.
 */
#ifndef RINGCAST_SRC_DOCTOR_WINDOW_H
#define RINGCAST_SRC_DOCTOR_WINDOW_H

#include "src/doctor/doctor.h"

#define DOCTOR_WINDOW_NS (250 * NS_PER_MS)
#define DOCTOR_WINDOW_THREADS_MAX (OPTIONS_CORES_MAX + 1) /* the publisher too */
#define DOCTOR_WINDOW_INTERRUPTS_BYTES_MAX (2 * MIB)
#define DOCTOR_WINDOW_SOFTNET_BYTES_MAX (256 * KIB)

/* A core or the publisher, since it began. */
struct doctor_thread {
    char name[16];
    int tid;
    uint64_t age_ns; /* 0: not known */
    uint64_t run_ns;
    uint64_t wait_ns;   /* ready to run, without a CPU */
    uint64_t runs;      /* how often it got one */
    uint64_t preempted; /* how often it lost its CPU while it had work */
};

/* The tightest limit of CPU time, of its cgroup since that was made. */
struct doctor_quota {
    char path[DOCTOR_PATH_BYTES_MAX]; /* of the file; empty: no limit */
    uint64_t quota_us, period_us;
    uint64_t periods, throttled; /* periods with work, and those of them that ended early */
};

struct doctor_moment {
    struct doctor_quota quota;
    uint32_t thread_count;
    struct doctor_thread threads[DOCTOR_WINDOW_THREADS_MAX];
    uint64_t cpu_ticks, stolen_ticks; /* of all CPUs */
    char interrupts[DOCTOR_WINDOW_INTERRUPTS_BYTES_MAX];
    char softnet[DOCTOR_WINDOW_SOFTNET_BYTES_MAX];
};

struct doctor_window {
    uint64_t ns; /* between the two */
    struct doctor_moment from, to;
};

const struct doctor_window *doctor_window(struct doctor *doctor);

/* What a number grew by; 0 if it began anew. */
static inline uint64_t doctor_growth(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* The thread at the beginning of the window; NULL: it was not there. */
const struct doctor_thread *doctor_window_from(const struct doctor_window *window,
                                               const struct doctor_thread *to);

#endif
