/*
 * bench_grade: the grade of a valid run of --requests.
 *
 * A grade is the best one of which no figure misses its limit.
 *
 * Threads  No state.
 * Units    Nanoseconds, and requests a second.
 */
#ifndef RINGCAST_TOOLS_BENCH_GRADE_H
#define RINGCAST_TOOLS_BENCH_GRADE_H

#define BENCH_GRADE_BYTES_MAX 96

struct bench_grade_figures {
    double requests_per_second;
    double response_mean_ns;
    double latency_p99_ns; /* of ticks */
};

struct bench_grade {
    const char *name;                   /* S, A+, A, B or C */
    char reason[BENCH_GRADE_BYTES_MAX]; /* the figure that misses the next better grade */
};

struct bench_grade bench_grade_find(const struct bench_grade_figures *figures);

#endif
