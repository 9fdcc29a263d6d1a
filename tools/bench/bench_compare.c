#include "tools/bench/bench_compare.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/units.h"
#include "tools/bench/bench_figure.h"
#include "tools/bench/bench_ratio.h"
#include "tools/bench/bench_result.h"

#define RATES_APART_MAX 0.05 /* Servers with other rates have other work. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum bench_compare_unit {
    BENCH_COMPARE_TIME,
    BENCH_COMPARE_COUNT,
    BENCH_COMPARE_BYTES,
    BENCH_COMPARE_SHARE,
};

enum bench_compare_side {
    SIDE_A,
    SIDE_B,
    SIDES,
};

struct bench_compare_metric {
    const char *name;
    const char *object; /* that has the key; NULL: the run */
    const char *key;
    enum bench_compare_unit unit;
    bool per_frame; /* divided by the frames of the window */
    int better;     /* -1: lower values are, 1: higher values are, 0: neither */
};

static const struct bench_compare_metric bench_compare_metrics[] = {
    {"latency p50", "latency_ns", "p50", BENCH_COMPARE_TIME, false, -1},
    {"latency p90", "latency_ns", "p90", BENCH_COMPARE_TIME, false, -1},
    {"latency p99", "latency_ns", "p99", BENCH_COMPARE_TIME, false, -1},
    {"latency p99.9", "latency_ns", "p99.9", BENCH_COMPARE_TIME, false, -1},
    {"latency p99.99", "latency_ns", "p99.99", BENCH_COMPARE_TIME, false, -1},
    {"latency max", "latency_ns", "max", BENCH_COMPARE_TIME, false, -1},
    {"latency mean", "latency_ns", "mean", BENCH_COMPARE_TIME, false, -1},
    {"spread p50", "spread_ns", "p50", BENCH_COMPARE_TIME, false, -1},
    {"spread p99", "spread_ns", "p99", BENCH_COMPARE_TIME, false, -1},
    {"connect p99", "connect_ns", "p99", BENCH_COMPARE_TIME, false, -1},
    {"frames/s", NULL, "frames_per_second", BENCH_COMPARE_COUNT, false, 1},
    {"bytes/s", NULL, "bytes_per_second", BENCH_COMPARE_BYTES, false, 0},
    {"ticks/s", NULL, "ticks_per_second", BENCH_COMPARE_COUNT, false, 1},
    {"core per frame", "server", "core_ns_per_frame", BENCH_COMPARE_TIME, false, -1},
    {"user per frame", "server", "user_ns", BENCH_COMPARE_TIME, true, -1},
    {"system per frame", "server", "system_ns", BENCH_COMPARE_TIME, true, -1},
    {"server memory", "server", "rss_bytes_end", BENCH_COMPARE_BYTES, false, -1},
    {"generator used", NULL, "load_busy", BENCH_COMPARE_SHARE, false, 0},
};

/* The runs of a file. */
struct bench_compare_file {
    const char *path;
    json_t *runs;  /* all, in their order */
    json_t *valid; /* those that are valid */
};

/* ---- The files ---- */

static bool bench_compare_fail(const char *path, const char *what)
{
    fprintf(stderr, "ringcast-bench: %s: %s\n", path, what);
    return false;
}

static bool bench_compare_add(struct bench_compare_file *file, json_t *run)
{
    char what[64];
    bool is_run =
        json_is_object(json_object_get(run, "latency_ns")) && json_object_get(run, "valid") != NULL;
    json_array_append_new(file->runs, run);
    size_t number = json_array_size(file->runs);
    if (!is_run) {
        snprintf(what, sizeof what, "object %zu is no report of ringcast-bench --json", number);
        return bench_compare_fail(file->path, what);
    }
    if (number > BENCH_RATIO_RUNS_MAX) {
        snprintf(what, sizeof what, "over %d runs", BENCH_RATIO_RUNS_MAX);
        return bench_compare_fail(file->path, what);
    }
    if (json_is_true(json_object_get(run, "valid"))) {
        json_array_append(file->valid, run);
    }
    return true;
}

static bool bench_compare_read(struct bench_compare_file *file)
{
    char what[JSON_ERROR_TEXT_LENGTH + 32];
    FILE *in = fopen(file->path, "re");
    if (in == NULL) {
        return bench_compare_fail(file->path, strerror(errno));
    }
    bool is_good = true;
    while (is_good) {
        json_error_t error;
        int next = fgetc(in);
        while (next == '\n' || next == '\r' || next == ' ' || next == '\t') {
            next = fgetc(in);
        }
        if (next == EOF) {
            break;
        }
        ungetc(next, in);
        json_t *run = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error);
        if (run == NULL) {
            snprintf(what, sizeof what, "object %zu: %s", json_array_size(file->runs) + 1,
                     error.text);
        }
        is_good = run != NULL ? bench_compare_add(file, run) : bench_compare_fail(file->path, what);
    }
    if (is_good && ferror(in)) {
        is_good = bench_compare_fail(file->path, "it cannot be read");
    }
    if (is_good && json_array_size(file->runs) == 0) {
        is_good = bench_compare_fail(file->path, "it has no runs");
    }
    fclose(in);
    return is_good;
}

/* ---- What can be compared ---- */

/* "10", "json", or "-". */
static void bench_compare_show(char text[64], const json_t *value)
{
    if (json_is_string(value)) {
        snprintf(text, 64, "%s", json_string_value(value));
    } else if (json_is_number(value)) {
        snprintf(text, 64, "%.6g", json_number_value(value));
    } else {
        snprintf(text, 64, "-");
    }
}

/* Whether a run has what the first of all has. */
static bool bench_compare_has(const json_t *first, const json_t *run, const char *key)
{
    const json_t *expected = json_object_get(first, key);
    const json_t *value = json_object_get(run, key);
    if (strcmp(key, "ticks_per_second") != 0) {
        return expected == value || json_equal(expected, value);
    }
    if (!json_is_number(expected) || !json_is_number(value)) {
        return json_is_number(expected) == json_is_number(value);
    }
    double rate = json_number_value(expected);
    return fabs(json_number_value(value) - rate) <= RATES_APART_MAX * rate;
}

static bool bench_compare_fits(const struct bench_compare_file files[SIDES])
{
    static const char *const keys[] = {"connections",     "encoding",     "publish",
                                       "echo_rate",       "publish_rate", "payload_bytes",
                                       "ticks_per_second"};
    const json_t *first = json_array_get(files[SIDE_A].valid, 0);
    for (int side = SIDE_A; side < SIDES; side++) {
        size_t i;
        const json_t *run;
        json_array_foreach(files[side].valid, i, run)
        {
            for (size_t k = 0; k < COUNT(keys); k++) {
                char had[64], has[64];
                if (bench_compare_has(first, run, keys[k])) {
                    continue;
                }
                bench_compare_show(had, json_object_get(first, keys[k]));
                bench_compare_show(has, json_object_get(run, keys[k]));
                fprintf(stderr,
                        "ringcast-bench: %s of the runs differ: %s in %s, %s in %s; --compare-any "
                        "compares them nevertheless\n",
                        keys[k], had, files[SIDE_A].path, has, files[side].path);
                return false;
            }
        }
    }
    return true;
}

/* ---- The table ---- */

/* NAN: it was not measured. */
static double bench_compare_value(const json_t *run, const struct bench_compare_metric *metric)
{
    const json_t *object = metric->object == NULL ? run : json_object_get(run, metric->object);
    const json_t *value = json_object_get(object, metric->key);
    double frames = json_number_value(json_object_get(run, "frames_per_second")) *
                    json_number_value(json_object_get(run, "seconds"));
    if (!json_is_number(value)) {
        return NAN;
    }
    return metric->per_frame ? bench_result_ratio(json_number_value(value), frames)
                             : json_number_value(value);
}

static uint32_t bench_compare_values(const struct bench_compare_file *file,
                                     const struct bench_compare_metric *metric,
                                     double out[BENCH_RATIO_RUNS_MAX])
{
    size_t i;
    const json_t *run;
    uint32_t count = 0;
    json_array_foreach(file->valid, i, run)
    {
        double value = bench_compare_value(run, metric);
        if (isfinite(value)) {
            out[count++] = value;
        }
    }
    return count;
}

static struct bench_figure bench_compare_figure(enum bench_compare_unit unit, double value)
{
    switch (unit) {
    case BENCH_COMPARE_TIME:
        return bench_figure_time(value);
    case BENCH_COMPARE_COUNT:
        return bench_figure_count(value);
    case BENCH_COMPARE_BYTES:
        return bench_figure_bytes(value);
    case BENCH_COMPARE_SHARE:
        break;
    }
    return bench_figure_real(3, value);
}

/* -1: B is lower, 1: higher, beyond noise; 0: neither is shown. */
static int bench_compare_sign(const struct bench_ratio *ratio)
{
    return ratio->low > 1.0 ? 1 : ratio->high < 1.0 ? -1 : 0;
}

static void bench_compare_row(const struct bench_compare_metric *metric,
                              const struct bench_ratio *ratio)
{
    int sign = bench_compare_sign(ratio);
    char interval[80];
    snprintf(interval, sizeof interval, "%s to %s", bench_figure_real(3, ratio->low).text,
             bench_figure_real(3, ratio->high).text);
    printf("  %-16s %11s %11s %8s  %-16s  %s%s\n", metric->name,
           bench_compare_figure(metric->unit, ratio->median_a).text,
           bench_compare_figure(metric->unit, ratio->median_b).text,
           bench_figure_real(3, ratio->ratio).text, isnan(ratio->low) ? "-" : interval,
           isnan(ratio->low) ? "-"
           : sign == 0       ? "no difference beyond noise"
           : sign > 0        ? "higher in B"
                             : "lower in B",
           sign == 0 || metric->better == 0 ? ""
           : sign == metric->better         ? ": better"
                                            : ": worse");
}

/* Returns how many metrics differ beyond noise. */
static uint32_t bench_compare_rows(const struct bench_compare_file files[SIDES],
                                   double *confidence_out)
{
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT(bench_compare_metrics); i++) {
        const struct bench_compare_metric *metric = &bench_compare_metrics[i];
        double a[BENCH_RATIO_RUNS_MAX], b[BENCH_RATIO_RUNS_MAX];
        struct bench_ratio ratio;
        uint32_t a_count = bench_compare_values(&files[SIDE_A], metric, a);
        uint32_t b_count = bench_compare_values(&files[SIDE_B], metric, b);
        if (a_count + b_count == 0) {
            continue;
        }
        if (bench_ratio_find(&ratio, a, a_count, b, b_count) != 0) {
            fprintf(stderr, "ringcast-bench: out of memory: %s is not compared\n", metric->name);
            continue;
        }
        bench_compare_row(metric, &ratio);
        count += bench_compare_sign(&ratio) != 0;
        if (!isnan(ratio.low) && !(ratio.confidence > *confidence_out)) {
            *confidence_out = ratio.confidence;
        }
    }
    return count;
}

static void bench_compare_head(const struct bench_compare_file files[SIDES])
{
    static const char *const names[SIDES] = {"A", "B"};
    for (int side = SIDE_A; side < SIDES; side++) {
        size_t count = json_array_size(files[side].valid);
        size_t i;
        const json_t *run;
        printf("%s: %s, %zu valid run%s\n", names[side], files[side].path, count,
               bench_result_s(count));
        json_array_foreach(files[side].runs, i, run)
        {
            const char *verdict = json_string_value(json_object_get(run, "verdict"));
            if (!json_is_true(json_object_get(run, "valid"))) {
                printf("  run %zu is left out: %s\n", i + 1, verdict != NULL ? verdict : "INVALID");
            }
        }
    }
}

static void bench_compare_print(const struct bench_compare_file files[SIDES])
{
    double confidence = NAN;
    printf("  %-16s %11s %11s %8s  %-16s  %s\n", "median", "A", "B", "B/A", "interval",
           "difference");
    uint32_t count = bench_compare_rows(files, &confidence);
    if (isnan(confidence)) {
        printf("  With so few runs no difference can be distinguished from noise: repeat "
               "each at least 3 times.\n");
    } else {
        printf("  %u figure%s beyond noise; each interval has the true ratio with %.1f %% "
               "confidence.\n",
               count, count == 1 ? " differs" : "s differ", 100.0 * confidence);
    }
}

int bench_compare(const struct bench_options *options)
{
    struct bench_compare_file files[SIDES] = {{.path = options->compare_path},
                                              {.path = options->url_text}};
    int exit_code = 0;
    for (int side = SIDE_A; side < SIDES && exit_code == 0; side++) {
        files[side].runs = json_array();
        files[side].valid = json_array();
        exit_code = bench_compare_read(&files[side]) ? 0 : 1;
    }
    bool has_runs =
        json_array_size(files[SIDE_A].valid) > 0 && json_array_size(files[SIDE_B].valid) > 0;
    if (exit_code == 0 && has_runs && !options->compare_any && !bench_compare_fits(files)) {
        exit_code = 2;
    }
    if (exit_code == 0) {
        bench_compare_head(files);
        exit_code = 3;
        if (has_runs) {
            bench_compare_print(files);
            exit_code = 0;
        } else {
            fprintf(stderr, "ringcast-bench: nothing to compare: each file needs a valid run\n");
        }
    }
    for (int side = SIDE_A; side < SIDES; side++) {
        json_decref(files[side].runs);
        json_decref(files[side].valid);
    }
    return exit_code;
}
