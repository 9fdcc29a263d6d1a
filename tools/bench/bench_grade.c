#include "tools/bench/bench_grade.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "codec/base/units.h"
#include "tools/bench/bench_figure.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS ((double)NS_PER_MS)

/* The best one first. docs/bench.md says where the limits come from. */
static const struct bench_grade_row {
    const char *name;
    struct bench_grade_figures limits;
} bench_grade_rows[] = {
    {"S", {20000, 5 * MS, 5 * MS}},
    {"A+", {2000, 50 * MS, 50 * MS}},
    {"A", {2000, 500 * MS, 100 * MS}},
    {"B", {750, 1200 * MS, 1000 * MS}},
};

/* Whether the figures are within the limits of a row. If not, the reason is written. What was not
 * measured (NAN) misses every limit. */
static bool bench_grade_holds(const struct bench_grade_row *row,
                              const struct bench_grade_figures *figures,
                              char reason[BENCH_GRADE_BYTES_MAX])
{
    const struct bench_grade_figures *limits = &row->limits;
    if (!(figures->requests_per_second >= limits->requests_per_second)) {
        snprintf(reason, BENCH_GRADE_BYTES_MAX, "%s requests/s, %s needs %s",
                 bench_figure_count(figures->requests_per_second).text, row->name,
                 bench_figure_count(limits->requests_per_second).text);
        return false;
    }
    if (!(figures->response_mean_ns <= limits->response_mean_ns)) {
        snprintf(reason, BENCH_GRADE_BYTES_MAX, "mean response %s, %s needs %s",
                 bench_figure_time(figures->response_mean_ns).text, row->name,
                 bench_figure_time(limits->response_mean_ns).text);
        return false;
    }
    if (!(figures->latency_p99_ns <= limits->latency_p99_ns)) {
        snprintf(reason, BENCH_GRADE_BYTES_MAX, "p99 of latency %s, %s needs %s",
                 bench_figure_time(figures->latency_p99_ns).text, row->name,
                 bench_figure_time(limits->latency_p99_ns).text);
        return false;
    }
    return true;
}

struct bench_grade bench_grade_find(const struct bench_grade_figures *figures)
{
    struct bench_grade grade = {.reason = "no grade is better"};
    for (size_t i = 0; i < COUNT(bench_grade_rows); i++) {
        if (bench_grade_holds(&bench_grade_rows[i], figures, grade.reason)) {
            grade.name = bench_grade_rows[i].name;
            return grade;
        }
    }
    grade.name = "C";
    return grade;
}
