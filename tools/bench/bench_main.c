/* ringcast-bench: a load of subscribers and what they see. See docs/bench.md. */
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#include "codec/base/command_line.h"
#include "codec/base/standard_fds.h"
#include "codec/base/units.h"
#include "tools/bench/bench_command.h"
#include "tools/bench/bench_compare.h"
#include "tools/bench/bench_files.h"
#include "tools/bench/bench_json.h"
#include "tools/bench/bench_run.h"
#include "tools/bench/bench_text.h"

#define STEP_GROWTH 2    /* from one step to the next, until one fails */
#define STEP_FINENESS 20 /* then bisection, until the bounds differ by less than 1/20 */

static void bench_main_raise_descriptors(uint32_t connection_count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < connection_count + 64) {
            fprintf(stderr,
                    "ringcast-bench: %u connections do not fit in the limit of %llu open "
                    "files (ulimit -n)\n",
                    connection_count, (unsigned long long)limit.rlim_cur);
        }
    }
}

static void bench_main_note_unwritten(struct bench_result *result)
{
    char verdict[BENCH_VERDICT_BYTES_MAX];
    snprintf(verdict, sizeof verdict, "INVALID: a file could not be written (the run: %.100s)",
             result->verdict);
    snprintf(result->verdict, sizeof result->verdict, "%s", verdict);
    result->exit_code = 1;
}

/* Runs once and prints the report; returns the exit code. */
static int bench_main_once(const struct bench_options *options)
{
    static struct bench_result result;
    struct bench_files files;
    bench_main_raise_descriptors(options->connection_count);
    if (bench_files_open(&files, options) != 0) {
        return 1;
    }
    int error = bench_run(&result, options);
    if (error != 0) {
        return error;
    }
    if (bench_files_write(&files, &result) != 0) {
        bench_main_note_unwritten(&result);
    }
    (options->json ? bench_json_run : bench_text_run)(&result);
    bench_result_deinit(&result);
    return result.exit_code;
}

/* Whether this many connections are served within the limit. -1: the load generator cannot start. A
 * step that is interrupted decides nothing. */
static int bench_main_step(struct bench_options *options, uint32_t connection_count)
{
    static struct bench_result result;
    options->connection_count = connection_count;
    options->role_counts[BENCH_READER] = connection_count;
    bench_main_raise_descriptors(connection_count);
    if (bench_run(&result, options) != 0) {
        return -1;
    }
    double value_ns = result.latency.count > 0
                          ? (double)histogram_percentile(&result.latency, options->until_percent)
                          : NAN;
    bool holds = result.exit_code == 0 && value_ns <= (double)options->until_ns;
    if (!bench_run_is_interrupted()) {
        (options->json ? bench_json_step : bench_text_step)(&result, value_ns, holds);
    }
    bench_result_deinit(&result);
    return holds;
}

static int bench_main_steps(struct bench_options *options)
{
    uint32_t threads = options->thread_count;
    uint32_t good = 0;
    uint32_t bad = 0; /* 0: none yet */
    uint32_t next = options->connection_count < options->until_max ? options->connection_count
                                                                   : options->until_max;
    if (!options->quiet && !options->json) {
        fprintf(stderr, "Finding how many connections are served with %s @ %s, %.10g s each\n",
                options->until_text, options->url_text, (double)options->duration_ns / 1e9);
    }
    while (!bench_run_is_interrupted()) {
        options->thread_count = threads < next ? threads : next;
        int holds = bench_main_step(options, next);
        if (holds < 0 || ferror(stdout)) {
            return 1;
        }
        if (bench_run_is_interrupted()) {
            break;
        }
        good = holds ? next : good;
        bad = holds ? bad : next;
        if (bad == 0 && good == options->until_max) {
            break;
        }
        if (bad == 0) {
            next =
                good > options->until_max / STEP_GROWTH ? options->until_max : STEP_GROWTH * good;
        } else if (bad - good <= 1 || bad - good < bad / STEP_FINENESS) {
            break;
        } else {
            next = good + (bad - good) / 2;
        }
    }
    (options->json ? bench_json_answer : bench_text_answer)(options, good, bad);
    return good > 0 ? 0 : 3;
}

int main(int argc, char **argv)
{
    static struct bench_options options;
    standard_fds_open("ringcast-bench");
    command_line_name(argc, argv, "ringcast-bench");
    int exit_code = bench_command_parse(&options, argc, argv);
    if (exit_code < 0) {
        exit_code = options.compare_path != NULL  ? bench_compare(&options)
                    : options.until_percent > 0.0 ? bench_main_steps(&options)
                                                  : bench_main_once(&options);
    }
    bench_options_deinit(&options);
    return standard_fds_flush("ringcast-bench") ? exit_code : 1;
}
