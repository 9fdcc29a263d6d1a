/*
 * bench_result: the figures of a run, added up from those of its threads, and the verdict.
 *
 * Owner    main: bench_run fills it, bench_result_deinit frees it.
 * Threads  Main's, after the other threads have ended.
 * Memory   The intervals, when a file of them is wanted; 36 KiB each.
 * Units    In the names.
 */
#ifndef RINGCAST_TOOLS_BENCH_RESULT_H
#define RINGCAST_TOOLS_BENCH_RESULT_H

#include "tools/bench/bench_grade.h"
#include "tools/bench/bench_publish.h"
#include "tools/bench/bench_watch.h"
#include "tools/load/bench_places.h"
#include "tools/load/bench_thread.h"

#define BENCH_VERDICT_BYTES_MAX 160

struct bench_result {
    const struct bench_options *options;
    struct bench_sample connect_begin, connect_end;
    struct bench_sample begin, end;
    struct bench_totals totals; /* of all threads */
    struct histogram latency;
    struct histogram connect_time;
    struct histogram phases[BENCH_PHASES];
    struct histogram turns;     /* of the load generator's threads */
    struct histogram send_late; /* --echo: from when a message was due until it was sent */
    struct histogram spread;    /* from the first to the last receipt of each tick */
    struct bench_places places;
    struct bench_slow_ticks slow_ticks;
    struct bench_interval *intervals;
    struct bench_sample *interval_ends;
    uint32_t interval_count;
    uint64_t interval_ns;
    uint64_t window_start_ns;
    uint64_t window_ns;        /* 0: there was none */
    uint32_t subscribed;       /* connections that subscribed: readers, stalled, slow */
    uint32_t unfinished;       /* readers that received nothing after the window */
    uint32_t window_ticks_min; /* of the reader that received the fewest in the window */
    uint32_t window_ticks_max;
    uint32_t channel_count;
    uint64_t published_frames; /* in the window, by the seqs that were seen */
    uint64_t due_frames;       /* published to each reader that subscribed to them */
    double load_busy;          /* these shares are those of bench_watch.h */
    double load_waited;
    double load_stolen;
    double load_throttled;
    uint64_t publish_late_ns;       /* --publish-to: of the latest tick */
    struct bench_requests requests; /* of all threads: figures only */
    bool has_published;             /* --publish-to: what was published is known exactly */
    bool publish_failed;
    bool interrupted;
    int exit_code;
    char verdict[BENCH_VERDICT_BYTES_MAX];
};

/* Adds up the counts of the threads. */
void bench_result_collect(struct bench_result *result, const struct bench_load *load,
                          struct bench_thread *const *threads);
/* --publish-to: what the publisher says it has published is what was due. */
void bench_result_take_published(struct bench_result *result, const struct bench_load *load,
                                 const struct bench_publish *publish);
/* The verdict; the last step. */
void bench_result_judge(struct bench_result *result);
void bench_result_deinit(struct bench_result *result);

/* The number of connections that must be subscribed before the window. The others come and go. */
uint32_t bench_result_awaited(const struct bench_options *options);

/* The plural's s. */
static inline const char *bench_result_s(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* The publisher's ticks have numbers. Without them, missing ticks cannot be known. */
static inline bool bench_result_has_seqs(const struct bench_result *result)
{
    return result->options->seq_pattern[0] != 0;
}

/* Without times, messages are counted by their receipt: there are no latencies, */
static inline bool bench_result_has_times(const struct bench_result *result)
{
    return result->options->time_pattern[0] != 0;
}

/* and the ticks that were due in the window are not known. */
static inline bool bench_result_has_due(const struct bench_result *result)
{
    return (bench_result_has_seqs(result) && bench_result_has_times(result)) ||
           result->options->echo;
}

/* NAN if the divisor is 0: nothing was measured. */
double bench_result_ratio(double part, double whole);

double bench_result_published_per_second(const struct bench_result *result);

/* On the wire, of the window's ticks. */
double bench_result_frame_bytes(const struct bench_result *result);

/* --requests: from the first one sent to the last answer. */
double bench_result_request_seconds(const struct bench_result *result);
double bench_result_requests_per_second(const struct bench_result *result);

/* false: it has none, because the run is not valid, or not one of --requests. */
bool bench_result_grade(const struct bench_result *result, struct bench_grade *grade_out);

/* Fewer ticks arrived than --publish announces. */
bool bench_result_is_behind(const struct bench_result *result);

/* The latencies are those of the load generator, not of the server: its busiest thread had no time
 * left; */
bool bench_result_is_saturated(const struct bench_result *result);
/* others had its cores; */
bool bench_result_is_starved(const struct bench_result *result);
/* its turns are long. */
bool bench_result_is_slow(const struct bench_result *result);

/* Between the samples at its ends. */
double bench_result_seconds(const struct bench_result *result);

/* The end of the phase of connecting. */
double bench_result_connect_seconds(const struct bench_result *result);

/* The percentiles in the report, and the names of the phases. */
struct bench_percentile {
    const char *name;
    double percent;
};
#define BENCH_PERCENTILES 7
extern const struct bench_percentile bench_percentiles[BENCH_PERCENTILES];
extern const char *const bench_phase_names[BENCH_PHASES];

#endif
