/*
 * options: what an operator can set: the table of all options, and the values that were set.
 *
 * The table (options_table) drives the command line, the environment, the file, the help
 * (options_help.h) and the reference in docs/options.md, which tests/test_options.c compares with
 * it. options_parse.h fills the values.
 *
 * Owner    The caller deinits what was parsed.
 * Threads  Constant once parsed.
 * Memory   Texts are borrowed from argv and the environment; those of a file are kept.
 * Units    Inside: nanoseconds and bytes. As typed: seconds, milliseconds, bytes or k, m, g.
 */
#ifndef RINGCAST_SRC_OPTIONS_H
#define RINGCAST_SRC_OPTIONS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "codec/base/units.h"
#include "src/base/access_options.h"
#include "src/base/tls_options.h"

#define OPTIONS_ERROR_BYTES_MAX 1024
#define OPTIONS_TABLE_MAX 160
#define OPTIONS_WARNINGS_MAX 32
#define OPTIONS_CONNECTIONS_MAX 1000000
#define OPTIONS_METRICS_PORT_OFF UINT32_MAX
#define OPTIONS_TLS_PORT_OFF UINT32_MAX
#define OPTIONS_ZERO_COPY_MEASURED UINT32_MAX

/* Limits of the parts that the options are for; server.c asserts that they agree. */
#define OPTIONS_CORES_MAX 64
#define OPTIONS_LIST_MAX 16 /* feeds, or certificates */
#define OPTIONS_SUBSCRIPTIONS_MAX 65536
#define OPTIONS_FRAME_LOG_BYTES_MIN (1 * MIB)

enum options_publisher {
    OPTIONS_PUBLISHER_AUTO, /* Never after options_parse. */
    OPTIONS_PUBLISHER_INLINE,
    OPTIONS_PUBLISHER_THREAD,
};

/* Topics of the help, in its order (options_help.c). */
enum option_group {
    OPTION_GROUP_SERVING,
    OPTION_GROUP_FEEDS,
    OPTION_GROUP_ACCESS,
    OPTION_GROUP_TLS,
    OPTION_GROUP_LIMITS,
    OPTION_GROUP_MEMORY,
    OPTION_GROUP_PERFORMANCE,
    OPTION_GROUP_ADMIN,
    OPTION_GROUP_LOGGING,
    OPTION_GROUP_CONFIG,
    OPTION_GROUP_NONE, /* of what is ignored */
};

enum options_action {
    OPTIONS_ACTION_RUN,
    OPTIONS_ACTION_HELP,
    OPTIONS_ACTION_VERSION,
};

/* Each wins over those before it. */
enum options_layer {
    OPTIONS_LAYER_DEFAULT,
    OPTIONS_LAYER_PROFILE,
    OPTIONS_LAYER_CREDENTIAL,
    OPTIONS_LAYER_FILE,
    OPTIONS_LAYER_VARIABLE,
    OPTIONS_LAYER_ARGUMENT,
};

struct options_list {
    const char *texts[OPTIONS_LIST_MAX];
    const char *sources[OPTIONS_LIST_MAX]; /* "FILE:3: feeds"; NULL: the option */
    uint32_t count;
    enum options_layer layer; /* All are of one layer: a later one replaces them. */
};

/* A text that is neither argv's nor the environment's. */
struct options_text {
    struct options_text *next;
    char text[];
};

struct options {
    enum options_action action;
    const char *config_path; /* NULL: none */
    const char *environment; /* NULL: none; see options_profile.h */
    bool check_config;       /* Say whether they are good, and end. */
    bool print_config;       /* Print them as YAML, and end. */
    bool print_env;          /* Print them as variables, and end. */
    const char *host;
    uint32_t port;
    const char *admin_host;
    uint32_t admin_port;
    const char *ctl_path; /* "off": no socket; NULL: the default one */
    const char *metrics_host;
    uint32_t metrics_port;       /* OPTIONS_METRICS_PORT_OFF: none */
    const char *unix_path;       /* NULL: none */
    const char *pid_file_path;   /* NULL: none */
    bool reuse_port;             /* beside a server that has the same ports */
    int cpus[OPTIONS_CORES_MAX]; /* One per core; -1: not pinned. */
    uint32_t core_count;
    int publisher; /* enum options_publisher */
    int engine;    /* 0: uring */
    bool busy_poll;
    struct options_list feeds;
    uint64_t stale_after_ns;       /* 0: never by time */
    const char *market_hours_path; /* NULL: none */
    const char *record_path;       /* NULL: nothing is recorded */
    uint64_t record_file_bytes;
    uint64_t record_file_ns;
    uint32_t connections_max;
    uint32_t subscriptions_max;
    uint64_t frame_log_bytes;
    uint64_t memory_bytes_max;   /* of the logs of all encodings; 0: no limit */
    uint64_t memory_soft_bytes;  /* 0: none */
    uint64_t memory_hard_bytes;  /* 0: none */
    uint32_t memory_percent_max; /* 0: off */
    uint64_t gc_interval_ns;
    uint64_t cleanup_interval_ns;
    uint32_t alert_cpu_percent; /* each 0: off */
    uint32_t alert_memory_percent;
    uint32_t alert_disk_percent;
    uint32_t alert_connections;
    uint32_t send_buffer_bytes;
    uint32_t zero_copy_bytes; /* 0: never; OPTIONS_ZERO_COPY_MEASURED: not given */
    uint64_t heartbeat_interval_ns;
    uint64_t idle_timeout_ns;
    uint64_t drain_timeout_ns;
    uint32_t lag_ms_max; /* 0: none */
    int compression;     /* 0: off, 1: on */
    uint32_t compression_threshold_bytes;
    struct access_options access;
    const char *tls_host; /* NULL: that of host */
    uint32_t tls_port;    /* OPTIONS_TLS_PORT_OFF: no TLS */
    struct options_list tls_certificates;
    int tls_min_version;     /* 0: 1.2, 1: 1.3 */
    int tls_client_auth;     /* enum tls_client_auth */
    struct tls_options tls;  /* of these three as well; see options_tls.h */
    int rate_limit_enabled;  /* 0: no, 1: yes */
    const char *admin_token; /* NULL: none */
    const char *admin_token_file;
    int monitoring_enabled; /* 0: no, 1: yes; as is: */
    int prometheus_enabled;
    const char *admin_read_token_file; /* NULL: none */
    uint32_t watchdog_seconds;         /* 0: off */
    uint32_t ready_stale_percent;      /* 0: off */
    const char *dump_directory;
    int log_level;          /* enum log_level */
    int log_format;         /* 0: text, 1: json */
    const char *log_file;   /* NULL: standard error */
    const char *access_log; /* NULL: none */
    const char *access_log_format;
    const char *audit_log; /* NULL: the log */
    int log_connections;   /* enum log_crowd_when */

    /* What was set and is ignored, a sentence each: for the log. */
    const char *warnings[OPTIONS_WARNINGS_MAX];
    uint32_t warning_count;

    /* By the rows of the table (options_row), where the value is from. The source of a file or a
     * variable: "FILE:3: admin.host", "RINGCAST_PORT"; NULL: of another layer. */
    uint8_t layers[OPTIONS_TABLE_MAX]; /* enum options_layer */
    const char *sources[OPTIONS_TABLE_MAX];

    struct options_text *kept;
};

enum option_kind {
    OPTION_FLAG,      /* bool; an option needs no value, but may have yes or no */
    OPTION_ACTION,    /* min is the enum options_action; takes no value */
    OPTION_TEXT,      /* const char *, min to max bytes long */
    OPTION_NUMBER,    /* uint32_t */
    OPTION_SECONDS,   /* uint64_t nanoseconds; min and max in milliseconds */
    OPTION_BYTES,     /* uint32_t, or uint64_t when max needs it; k, m and g are understood */
    OPTION_LOG_BYTES, /* uint64_t, a power of two */
    OPTION_CHOICE,    /* int, the index in choices */
    OPTION_CORES,
    OPTION_LIST,    /* struct options_list, at most max texts, an option each */
    OPTION_IGNORED, /* a variable or a key that is accepted and warned of */
};

/* Joins a group: --help prints the option. */
#define OPTION_COMMON 0x100u

/* Joins a kind: no error, log line or answer shows the value. */
#define OPTION_SECRET 0x100u
#define OPTION_KIND_MASK 0xffu

/* Joins a kind: a reload applies the value to the running server. */
#define OPTION_LIVE 0x200u

struct option_spec {
    uint32_t group;           /* enum option_group, perhaps with OPTION_COMMON */
    const char *name;         /* "port"; NULL: no option */
    const char *value_name;   /* "PORT"; NULL: takes no value */
    const char *default_text; /* NULL: not set */
    const char *variable;     /* beside that of options_variables.h; NULL: none */
    const char *key;          /* "websocket.port", of a file; NULL: none */
    uint32_t kind;            /* enum option_kind, perhaps with OPTION_SECRET */
    uint32_t offset;          /* in struct options */
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated */
    const char *help;           /* sentences; docs/options.md and docs/ringcast.1 have the same */
};

static inline enum option_kind option_kind(const struct option_spec *spec)
{
    return (enum option_kind)(spec->kind & OPTION_KIND_MASK);
}

/* A choice of no and yes, or off and on. */
bool option_is_switch(const struct option_spec *spec);

const struct option_spec *options_table(size_t *count_out);

/* The index of a row of the table. */
size_t options_row(const struct option_spec *spec);
bool options_has_metrics_port(const struct options *options);
bool options_has_tls(const struct options *options);
/* Where the port for wss listens. */
const char *options_tls_host(const struct options *options);

/* The row of an option ("port"); NULL: there is none. */
const struct option_spec *options_find(const char *name, size_t name_bytes);

void options_deinit(struct options *options);
/* The texts of from live as long as options from now on. */
void options_keep(struct options *options, struct options *from);

/* Writes an error that begins with an option ("--host: ...") so that it begins with where the value
 * is from, which may be a line of a file or a variable. */
void options_locate(const struct options *options, const char *text, char *out, size_t out_bytes);

void options_print_version(FILE *out);

#endif
