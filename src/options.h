/*
 * options: what the command line and the environment ask for, checked.
 *
 * One table (options_table) drives parsing, the environment, --help and the reference in
 * docs/options.md, which tests/test_options.c compares with it.
 *
 * Owner    The caller. Texts are borrowed from argv and the environment.
 * Threads  main, before any other.
 * Units    Inside: nanoseconds and bytes. As typed: seconds, milliseconds, bytes or k, m, g.
 * Errors   -EINVAL with one line that names the option, its value and what is valid.
 */
#ifndef RINGCAST_SRC_OPTIONS_H
#define RINGCAST_SRC_OPTIONS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ring/counters.h"
#include "src/access.h"
#include "src/log.h"
#include "src/publisher.h"

#ifndef RINGCAST_VERSION
#define RINGCAST_VERSION "0.1.0"
#endif

#define OPTIONS_ERROR_BYTES_MAX 1024
#define OPTIONS_IGNORED_MAX 4
#define OPTIONS_CONNECTIONS_MAX 1000000

enum options_publisher {
    OPTIONS_PUBLISHER_AUTO, /* Never after options_parse. */
    OPTIONS_PUBLISHER_INLINE,
    OPTIONS_PUBLISHER_THREAD,
};

enum options_action {
    OPTIONS_ACTION_RUN,
    OPTIONS_ACTION_HELP,
    OPTIONS_ACTION_VERSION,
};

struct options {
    enum options_action action;
    const char *host;
    uint32_t port;
    const char *admin_host;
    uint32_t admin_port;
    const char *unix_path;        /* NULL: none */
    int cpus[COUNTERS_CORES_MAX]; /* One per core; -1: not pinned. */
    uint32_t core_count;
    int publisher; /* enum options_publisher */
    int engine;    /* 0: uring */
    bool busy_poll;
    const char *feed_specs[PUBLISHER_FEEDS_MAX];
    uint32_t feed_count;
    uint32_t connections_max;
    uint32_t subscriptions_max;
    uint64_t frame_log_bytes;
    uint32_t send_buffer_bytes;
    uint32_t zero_copy_bytes;
    uint64_t heartbeat_interval_ns;
    uint64_t idle_timeout_ns;
    uint32_t lag_ms_max; /* 0: none */
    struct access_options access;
    int rate_limit_enabled;  /* 0: no, 1: yes */
    const char *admin_token; /* NULL: none */
    const char *admin_token_file;
    int log_level;  /* enum log_level */
    int log_format; /* 0: text, 1: json */

    /* Variables that are accepted and have no use yet: main warns of each. */
    const char *ignored_variables[OPTIONS_IGNORED_MAX];
    uint32_t ignored_count;
};

enum option_kind {
    OPTION_FLAG,      /* bool; takes no value */
    OPTION_ACTION,    /* min is the enum options_action; takes no value */
    OPTION_TEXT,      /* const char *, min to max bytes long */
    OPTION_NUMBER,    /* uint32_t */
    OPTION_SECONDS,   /* uint64_t nanoseconds; min and max in milliseconds */
    OPTION_BYTES,     /* uint32_t or uint64_t by max; k, m and g are understood */
    OPTION_LOG_BYTES, /* uint64_t, a power of two */
    OPTION_CHOICE,    /* int, the index in choices */
    OPTION_CORES,
    OPTION_FEED,    /* may be given several times */
    OPTION_IGNORED, /* a variable that is accepted and warned of */
};

struct option_spec {
    const char *name;         /* "port"; NULL: a variable only */
    const char *value_name;   /* "PORT"; NULL: takes no value */
    const char *default_text; /* NULL: not set */
    const char *variable;     /* NULL: none */
    enum option_kind kind;
    uint32_t offset; /* in struct options */
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated */
    const char *help;           /* one sentence */
};

const struct option_spec *options_table(size_t *count_out);

struct options_input {
    int argc;
    char *const *argv;                   /* argv[0] is the program */
    char *(*variable)(const char *name); /* getenv */
    const cpu_set_t *cpus;               /* the process's affinity mask */
};

/* Default < environment < option. Nothing but defaults is checked after --help or --version. */
int options_parse(struct options *options_out, const struct options_input *input,
                  char error_out[OPTIONS_ERROR_BYTES_MAX]);

void options_print_help(FILE *out);
void options_print_version(FILE *out);

#endif
