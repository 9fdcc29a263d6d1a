/*
 * bench_table: every option of ringcast-bench: its names, the place of its value, and its help.
 *
 * A new option is a row of the table, a field of struct bench_options, and its text in
 * docs/bench.md and docs/ringcast-bench.1.
 *
 * Threads  Constant.
 * Memory   Static.
 */
#ifndef RINGCAST_TOOLS_BENCH_TABLE_H
#define RINGCAST_TOOLS_BENCH_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/load/bench_echo.h"
#include "tools/load/bench_options.h"
#include "tools/load/bench_slow_ticks.h"

enum bench_table_kind {
    BENCH_TABLE_FLAG,
    BENCH_TABLE_COUNT, /* 1k: 1000 */
    BENCH_TABLE_BYTES, /* 1k: 1024 */
    BENCH_TABLE_INT,
    BENCH_TABLE_TIME, /* 5s */
    BENCH_TABLE_REAL, /* 0 to 10 */
    BENCH_TABLE_TEXT,
    BENCH_TABLE_LIST,     /* A,B: given again, it adds */
    BENCH_TABLE_TEXTS,    /* one text each time */
    BENCH_TABLE_SCENARIO, /* a file of options */
    BENCH_TABLE_PRESET,   /* the name of options, before all others */
};

struct bench_table_row {
    const char *name; /* NULL: a heading, which is its help */
    char letter;      /* 0: none */
    enum bench_table_kind kind;
    size_t offset;        /* in struct bench_options */
    uint64_t min, max;    /* of a list: the offset of its origin, and 0 */
    const char *argument; /* NULL: none */
    const char *help;     /* with the default in parentheses at its end */
};

#define BENCH_TABLE_ROWS_MAX 96
const struct bench_table_row *bench_table_rows(size_t *count_out);

/* NULL: there is none. */
const struct bench_table_row *bench_table_find(const char *name);

/* "; did you mean NAME?", or where to find help. dashes: the dashes that were typed before the
 * name.
 */
void bench_table_print_nearest(const char *dashes, const char *name);

/* The whole help, on standard output. */
void bench_table_print_help(void);

#endif
