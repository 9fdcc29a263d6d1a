/*
 * server: all parts of the broadcaster, made one after the other and destroyed in the opposite
 * order. main decides when.
 *
 * Owner    main.
 * Threads  main's; each core and perhaps the publisher run on a thread of their own, between
 *          server_start_threads and the moment they are joined.
 * Memory   The parts'.
 * Errors   A step returns a negative errno, and has logged what went wrong and what to do.
 */
#ifndef RINGCAST_SRC_SERVER_H
#define RINGCAST_SRC_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/board/counters.h"
#include "ring/board/counters_file.h"
#include "ring/core/core.h"
#include "src/access/token.h"
#include "src/admin/watchdog.h"
#include "src/command/drain_request.h"
#include "src/config/options_parse.h"
#include "src/descriptors.h"
#include "src/pid_file.h"
#include "src/roll/roll_command.h"
#include "src/sockets.h"
#include "src/symbols/symbols.h"
#include "src/systemd/notify.h"
#include "src/tls/tls_watch.h"

#define SERVER_EXIT_FAILED 1
#define SERVER_EXIT_USAGE 2

/* A core's thread, or the publisher's. */
struct server_thread {
    struct server *server;
    struct core *core; /* NULL: the publisher */
    struct counters_thread *record;
    counter *run_delay_ns;
    pthread_t thread;
};

/* What the service manager has been notified of. */
struct server_notices {
    struct notify notify;
    int open_error;     /* why there is none, although there should be */
    uint64_t status_ns; /* when it got the last line of status, and at how many ticks: */
    uint64_t ticks;
    uint64_t complaint_ns; /* no further one before */
    bool is_stopping;      /* the end has been announced: nothing else is */
};

struct server {
    /* Those that hold now. A reload writes the live ones, which main alone reads. */
    struct options options;
    const struct options_input *input; /* what they were read from, for a reload */
    uint64_t epoch_number;
    char epoch[17];   /* the same as text */
    uint64_t fds_max; /* the limit of open files, when it is too low; 0: it suffices */
    struct descriptors_share descriptors;
    struct core_zero_copy zero_copy;
    int exit_status; /* of the program, when a step fails */

    struct control *control;
    struct channels *channels;
    struct book_images *book_images;
    struct staleness *staleness;
    struct encodings *encodings;
    struct channel_rates *rates;
    struct symbols symbols; /* of the last three */
    struct counters *counters;
    struct counters_file counters_file;
    struct record *record; /* NULL: nothing is recorded */
    struct publisher *publisher;
    struct access *access;
    struct publish_access *publish_access;
    struct guard *guard;
    struct tls_server *tls; /* NULL: no TLS */
    struct metrics *metrics;
    struct keyed_hash key;                /* of the hash tables */
    struct token_table admin_tokens;      /* one, or none */
    struct token_table admin_read_tokens; /* the same */
    struct watchdog watchdog;
    struct commands *commands;
    struct roll_sampler roll;
    struct dump *dump;
    struct reload *reload;
    struct admin *admin;

    struct activation activation; /* what was passed */
    struct sockets sockets;
    struct pid_file pid_file;

    _Atomic uint32_t conn_count; /* shared by the cores, like: */
    _Atomic uint32_t place_count;
    struct sessions *sessions[COUNTERS_CORES_MAX];
    struct core *cores[COUNTERS_CORES_MAX];
    uint32_t core_count; /* created so far */

    struct server_thread threads[COUNTERS_CORES_MAX + 1];
    uint32_t thread_count;
    _Atomic uint32_t ended_count; /* threads that have returned */
    _Atomic bool failed;          /* one of them with an error */

    /* main's own. */
    struct server_notices notices;
    int signal_fd;      /* -1: none */
    uint64_t tick_ns;   /* when the metrics took their last sample */
    uint64_t signal_ns; /* when the first signal came that ends it; 0: none has */
    struct drain_request drain;
    struct tls_watch tls_watch;
    uint64_t tls_warned_ns;
    bool has_commands; /* that wait for main */
    bool has_crowd;    /* of lines for the log */
};

struct tls_loaded;

typedef int server_step(struct server *server);

/* Decided by the configuration alone: --check-config runs these as well. Each builds on those
 * before it. */
server_step server_raise_limits;
server_step server_choose_epoch;
server_step server_create_channels;
server_step server_create_staleness;
server_step server_create_encodings;
server_step server_open_counters;
server_step server_create_access; /* Before the feeds: no producer connects unchecked. */
server_step server_create_publisher;
server_step server_check_listeners;

/* These open sockets and start threads. */
server_step server_measure_sends; /* Before the listeners: nobody waits for it. */
server_step server_open_sockets;
server_step server_create_cores;
server_step server_create_commands;
/* After the listeners, and after main has blocked the signals that end it: none of them then leaves
 * the file behind. */
server_step server_write_pid_file;
server_step server_start_threads;

/* Destroys what the steps have made. The threads have been joined. */
void server_destroy(struct server *server);

/* The parts that main owns take over what a reload has changed in server->options; the cores have
 * it already. old: those before. In reload.c. */
void server_apply(struct server *server, const struct options *old);

/* New handshakes use what a reload has loaded, if there is TLS. In server_tls.c. */
void server_take_tls(struct server *server, struct tls_loaded *loaded);

/* The service manager learns that a reload has begun, and that it has ended with 0 or an error. In
 * server_notify.c. */
void server_notify_reload(struct server *server);
void server_notify_reloaded(struct server *server, int error);

/* Logs why a step failed and what to do about it; returns error. */
int server_fail(int error, const char *what, const char *remedy);
/* The same of a value of the configuration: text begins with its option, or with where it is given.
 */
int server_refuse(struct server *server, int error, const char *text);

#endif
