/*
 * bench_options: the options of ringcast-bench, and which of them go together.
 *
 * Owner    main fills it once. Then it is constant, except for connection_count between the
 *          steps of --until, and read by all threads.
 * Memory   Texts of scenario files, until bench_options_deinit.
 * Errors   Errors are printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_OPTIONS_H
#define RINGCAST_TOOLS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/common/pattern_scan.h"
#include "tools/common/ws_client.h"
#include "tools/common/ws_headers.h"

#define BENCH_CONNECTIONS_MAX 1000000
#define BENCH_THREADS_MAX 64
#define BENCH_SOURCES_MAX 256
#define BENCH_TEXTS_MAX 16
#define BENCH_KEPT_TEXTS_MAX 256         /* lines of scenario files */
#define BENCH_RECV_BUFFER_BYTES 65536    /* A burst of 128 ticks of 256 bytes fits. */
#define BENCH_FRAME_BYTES_MAX (1u << 20) /* A longer one is malformed. */
#define BENCH_SLOW_PIECES 10             /* reads per second of a slow connection */
#define BENCH_SLOW_RATE_MAX (BENCH_SLOW_PIECES * BENCH_RECV_BUFFER_BYTES)

enum bench_protocol {
    BENCH_RINGCAST, /* SUBSCRIBE, SUBSCRIBED; ticks are JSON with lower-case types */
    BENCH_PLAIN,    /* every message is a tick; subscribed by the upgrade, or by --send */
    BENCH_NATS,     /* the NATS protocol in WebSocket messages */
    BENCH_MQTT,     /* MQTT 3.1.1 in WebSocket messages */
};

enum bench_encoding {
    BENCH_JSON,
    BENCH_SBE,     /* ringcast's md.sbe.v1 */
    BENCH_DEFLATE, /* permessage-deflate, each message standing alone */
};

/* The role of a connection. Connections are numbered in this order of roles. */
enum bench_role {
    BENCH_READER,       /* Reads; the result is measured with these connections. */
    BENCH_STALLED,      /* Subscribes and stops reading. */
    BENCH_LIGHT_READER, /* Reads, and only counts ticks. */
    BENCH_SLOW,         /* Reads slow_bytes_per_second. */
    BENCH_HALF_OPEN,    /* Sends half of a request or of a frame, and waits. */
    BENCH_CHURN,     /* Subscribes, reads, leaves, and connects again, each at times of its own. */
    BENCH_STORM,     /* The same, but all at once. */
    BENCH_MALFORMED, /* Sends messages that break the protocol. */
    BENCH_RESUBSCRIBER, /* Subscribes and unsubscribes as fast as it is answered. */
    BENCH_ROLES,
};
extern const char *const bench_role_names[BENCH_ROLES];

struct bench_time_unit {
    const char *name;
    uint64_t ns;
};
#define BENCH_TIME_UNITS 4
extern const struct bench_time_unit bench_time_units[BENCH_TIME_UNITS];

/* Texts of an option that may be given several times. */
struct bench_texts {
    const char *list[BENCH_TEXTS_MAX];
    const char *origin;
    uint32_t count;
};

struct bench_options {
    const char *url_text;
    struct ws_client_url url;
    struct tls_client_options tls; /* of wss:// URLs */
    struct ws_client_address address;
    struct ws_client_address sources[BENCH_SOURCES_MAX];
    uint32_t source_count;
    bool json;
    bool help;
    bool version;
    bool quiet;
    bool latency; /* its percentiles in detail */

    /* The load generator. */
    uint32_t connection_count;
    uint32_t thread_count;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint32_t in_flight_max;        /* Connections that are being made at one time, all threads. */
    uint64_t timeout_ns;           /* for all to be subscribed */
    uint32_t receive_buffer_bytes; /* SO_RCVBUF of the readers; 0: the kernel's choice. */
    const char *source_list;
    const char *source_list_origin;
    bool spin;

    /* What is subscribed. */
    const char *symbols;
    const char *symbols_origin;
    const char *types; /* NULL until the options are complete: not given */
    const char *types_origin;
    uint32_t subscription_count; /* Symbols of each connection; 0: all. */
    double zipf;
    uint32_t seed;
    bool snapshot;
    uint32_t depth; /* of books, a side; 0: the feed's own */
    bool at_once;   /* No connection subscribes until all are upgraded. */
    bool by_url;    /* Subscribed by the URL of the upgrade, without a message. */

    /* The server's language. */
    const char *protocol_name;
    enum bench_protocol protocol;
    const char *encoding_name;
    enum bench_encoding encoding;
    uint32_t sbe_time_at; /* where in a message of SBE the time is */
    const char *topic;    /* of a symbol: {symbol} in it is replaced */
    const char *send_text;
    const char *subprotocol;
    struct bench_texts header_lines; /* of the upgrade: "Name: value" */
    const char *token;
    const char *token_file;
    struct ws_headers headers;  /* from these three */
    struct bench_texts ignored; /* A message that contains one of them is not a tick. */
    const char *time_pattern;
    const char *time_unit;
    uint64_t time_unit_ns;       /* 0: ISO 8601 */
    const char *seq_pattern;     /* NULL until the options are complete: not given; */
    const char *channel_pattern; /* likewise */
    const char *symbol_pattern;
    bool channel_is_symbol; /* A channel is known by its symbol, not by a number. */

    /* Round trips. */
    bool echo;
    uint32_t echo_rate;     /* messages a second, of all connections; 0: not said */
    uint32_t payload_bytes; /* of a message; 0: not said */

    uint32_t request_count; /* --requests: of all connections; 0: none */

    /* Connections that behave badly; parts of connection_count. */
    uint32_t role_counts[BENCH_ROLES]; /* of readers: the rest of the connections */
    uint32_t silent_count;             /* Of the stalled: never read again. */
    uint32_t stalled_buffer_bytes;     /* SO_RCVBUF of the stalled and the slow. */
    uint64_t stalled_resume_ns;        /* After the window began; 0: never. */
    uint32_t slow_bytes_per_second;
    uint64_t churn_life_ns;  /* On average. */
    uint64_t storm_every_ns; /* All --storm connections reconnect at this interval. */
    uint64_t patience_ns;    /* After breaking the protocol, how long to wait for a Close. */

    /* The measurement and the report. */
    const char *until_text;
    double until_percent;   /* 0: no steps */
    uint64_t until_ns;      /* the limit */
    uint32_t until_max;     /* connections */
    const char *publish;    /* The ticks that the publisher was asked for. */
    const char *publish_to; /* the publisher's URL; NULL: the server makes its ticks itself */
    const char *publish_template;
    uint32_t publish_to_rate; /* ticks a second; 0: not said */
    struct ws_client_url publish_url;
    bool publish_by_http;
    double publish_rate;  /* ticks per second, from --publish; 0: not given */
    double publish_burst; /* ticks of one instant */
    int pid;              /* The server's; 0: not measured. */
    int cpu;              /* The server's core; -1: not measured. */
    bool allow_gaps;
    const char *csv_path;
    const char *hdr_path;
    const char *plot_path;
    const char *hgrm_path;
    const char *report_dir;   /* of the stress report; NULL: not wanted */
    uint32_t slow_tick_count; /* of the slowest ticks that are shown */

    const char *compare_path; /* no run: the first of two files; url_text is the second */
    bool compare_any;         /* also runs that differ in more than their figures */
    uint32_t option_count;    /* that were given */

    const char *preset;                     /* its name; NULL: none */
    const char *origin;                     /* The preset, scenario file, or command line. */
    char *kept_texts[BENCH_KEPT_TEXTS_MAX]; /* of presets and scenario files; joined lists */
    uint32_t kept_text_count;
};

/* The defaults. */
void bench_options_defaults(struct bench_options *options);

/* Derives further values from the options. Returns the exit code, or -1 to go on. */
int bench_options_finish(struct bench_options *options);

/* Prints a text; %s in it is replaced by the other one. Returns 1, the exit code. */
int bench_options_fail(const char *format, const char *text);
void bench_options_deinit(struct bench_options *options);

#endif
