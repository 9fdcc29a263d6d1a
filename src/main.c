/*
 * main: sets the broadcaster up, waits for signals, and takes it down again.
 *
 * Set-up is a table of steps; each builds on those before it and says in one line what went wrong.
 * server_close() takes down whatever has been set up, in the opposite order.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/sbe_schema.h"
#include "ring/core/core.h"
#include "ring/io/listener.h"
#include "ring/io/standard_fds.h"
#include "src/access/access.h"
#include "src/access/secrets.h"
#include "src/admin/admin.h"
#include "src/admin/metrics.h"
#include "src/admin/watchdog.h"
#include "src/base/arenas.h"
#include "src/base/log.h"
#include "src/base/memory_limit.h"
#include "src/config/options.h"
#include "src/market/channels.h"
#include "src/market/publisher.h"
#include "src/session/session.h"

#define MAIN_FRAME_BYTES_MAX (64 * KIB)
#define MAIN_DRAIN_INTERVAL_MS 100 /* how often the log is written */
#define MAIN_START_INTERVAL_MS 1
#define MAIN_STOP_INTERVAL_MS 10
#define MAIN_STOP_NS (2 * NS_PER_SECOND)
/* timeout(1) and a Ctrl-C under a script signal twice: so soon it is the same wish. */
#define MAIN_SAME_SIGNAL_NS (200 * NS_PER_MS)
/* Beside clients: those without a place, the admin server's, rings, listeners, files of feeds. */
#define MAIN_SPARE_FDS (CORE_SPARE_CONNS + ADMIN_CONNECTIONS_MAX + 64)
/* Of them, opened after the clients' listeners: signals, the publisher's ring, three of
 * libmicrohttpd, and files of /proc that main and the admin server read. */
#define MAIN_OWN_FDS 11
#define MAIN_USER_TIMEOUT_MS_MIN 10000
#define MAIN_COUNTERS_DIRECTORY "/dev/shm"
#define MAIN_COUNTERS_PREFIX "ringcast-"
#define MAIN_ERROR_BYTES_MAX 512
#define MAIN_OTHER_THREADS 3 /* beside main and the cores: publisher, admin, log */
#define MAIN_EXIT_FAILED 1
#define MAIN_EXIT_USAGE 2

struct server;

/* A core's thread, or the publisher's. */
struct server_thread {
    struct server *server;
    struct core *core; /* NULL: the publisher */
    char name[16];
    pthread_t thread;
};

struct server {
    struct options options;
    char epoch[17];
    int signal_fd;    /* -1: none */
    uint64_t fds_max; /* the limit of open files, when it is too low; 0: it suffices */
    uint32_t admin_connections_max;
    uint32_t open_count_max; /* see core_options; */
    uint64_t tick_ns;        /* when the metrics took their last sample */
    uint64_t stop_ns;        /* when the end began, by the first signal mostly */
    int exit_status;

    struct channels *channels;
    struct book_images *book_images;
    struct encodings *encodings;
    struct counters *counters;
    char counters_path[64]; /* empty: in memory only */
    struct publisher *publisher;
    struct access *access;
    struct metrics *metrics;
    struct token_table admin_tokens; /* one, or none */
    struct watchdog watchdog;
    struct admin *admin;

    uint16_t port;
    int tcp_fds[COUNTERS_CORES_MAX];
    uint32_t tcp_fd_count;
    int unix_fd; /* -1: none */

    _Atomic uint32_t conn_count; /* shared by the cores, like: */
    _Atomic uint32_t place_count;
    struct sessions *sessions[COUNTERS_CORES_MAX];
    struct core *cores[COUNTERS_CORES_MAX];
    uint32_t core_count; /* created so far */

    struct server_thread threads[COUNTERS_CORES_MAX + 1];
    uint32_t thread_count;
    _Atomic uint32_t ended_count; /* threads that have returned */
    _Atomic bool failed;          /* one of them with an error */
};

/* ---- Set-up ---- */

/* Says why a step failed and what to do about it. */
static int server_fail(int error, const char *what, const char *remedy)
{
    log_write(LOG_LEVEL_ERROR, "%s: %s; %s", what, strerror(-error), remedy);
    return error;
}

/* Says why a value of the configuration is refused: text begins with its option, or with where it
 * is given. */
static int server_refuse(struct server *server, int error, const char *text)
{
    char located[MAIN_ERROR_BYTES_MAX];
    options_locate(&server->options, text, located, sizeof located);
    log_write(LOG_LEVEL_CRITICAL, "%s", located);
    server->exit_status = error == -ENOMEM ? MAIN_EXIT_FAILED : MAIN_EXIT_USAGE;
    return error;
}

/* What server_on_early_signal takes back; NULL: nothing yet. */
static const struct server *server_starting;

/* During the start, whatever it waits for: ends the program as the signal does by default. */
static void server_on_early_signal(int number)
{
    if (server_starting != NULL && server_starting->counters_path[0] != '\0') {
        unlink(server_starting->counters_path);
    }
    if (server_starting != NULL && server_starting->unix_fd >= 0) {
        unlink(server_starting->options.unix_path);
    }
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number); /* The kernel spares process 1. */
}

static void server_catch_early_signals(const struct server *server)
{
    struct sigaction action = {.sa_handler = server_on_early_signal, .sa_flags = SA_NODEFER};
    server_starting = server;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int server_ignore_signals(struct server *server)
{
    (void)server;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* They wait until server_wait speaks of them. */
    return 0;
}

/* From here on main reads SIGINT and SIGTERM. Before the threads, which inherit the mask; after all
 * that may wait: a file, a name. */
static int server_open_signals(struct server *server)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return server->signal_fd < 0
               ? server_fail(-errno, "signals", "raise the limit of open files (ulimit -n)")
               : 0;
}

static int server_raise_limits(struct server *server)
{
    struct rlimit limit;
    uint64_t needed = (uint64_t)server->options.connections_max + MAIN_SPARE_FDS +
                      8 * (uint64_t)server->options.core_count;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 0;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed) {
        server->fds_max = limit.rlim_max;
    }
    return 0;
}

static int server_choose_epoch(struct server *server)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        return server_fail(-errno, "random number for the epoch", "getrandom(2) is needed");
    }
    snprintf(server->epoch, sizeof server->epoch, "%016" PRIx64, random);
    return 0;
}

static int server_create_channels(struct server *server)
{
    int error = channels_create(&server->channels);
    if (error == 0) {
        error = book_images_create(&server->book_images);
    }
    return error == 0 ? 0 : server_fail(error, "channel table", "free some memory");
}

/* The frame log and the connections are touched at once: what does not fit would wake the kernel's
 * OOM killer. The logs of other encodings are touched when clients ask for them. */
static int server_check_memory(struct server *server)
{
    const struct options *options = &server->options;
    char text[MAIN_ERROR_BYTES_MAX];
    struct metrics_system system;
    struct memory_limit limit;
    uint64_t log_bytes = options->frame_log_bytes + options->frame_log_bytes /
                                                        FRAME_LOG_BYTES_PER_DESC *
                                                        sizeof(struct frame_desc);
    uint64_t bytes = log_bytes + options->core_count * core_memory_bytes(options->connections_max);
    uint64_t all_bytes = bytes + log_bytes * (options->compression != 0 ? 2 : 1);
    metrics_read_system(&system);
    memory_limit_read(&limit, "");
    /* No numbers that change: --check-config says the same. */
    if (bytes >= limit.available_bytes) {
        snprintf(text, sizeof text,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into what is left of this cgroup's memory limit, %" PRIu64
                 " MiB; give a smaller --frame-log-bytes or --max-connections, or raise the limit "
                 "(docker --memory, Kubernetes resources.limits.memory, systemd MemoryMax=): %s",
                 options->frame_log_bytes, options->connections_max, bytes / MIB,
                 limit.limit_bytes / MIB, limit.path);
        return server_refuse(server, -ENOMEM, text);
    }
    if (system.memory_available_bytes != 0 && bytes >= system.memory_available_bytes) {
        snprintf(text, sizeof text,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into the memory that is available; free some, or give a smaller "
                 "--frame-log-bytes or --max-connections",
                 options->frame_log_bytes, options->connections_max, bytes / MIB);
        return server_refuse(server, -ENOMEM, text);
    }
    if (all_bytes >= limit.available_bytes) {
        log_write(LOG_LEVEL_WARNING,
                  "frame log of %" PRIu64 " bytes: with clients of all encodings %" PRIu64
                  " MiB are needed, but of this cgroup's memory limit %" PRIu64
                  " MiB are left; give a smaller --frame-log-bytes or raise the limit",
                  options->frame_log_bytes, all_bytes / MIB, limit.available_bytes / MIB);
    }
    return 0;
}

static int server_create_encodings(struct server *server)
{
    struct encodings_options options = {
        .channels = server->channels,
        .log = {.capacity_bytes = server->options.frame_log_bytes,
                .frame_bytes_max = MAIN_FRAME_BYTES_MAX,
                .channel_count_max = CHANNELS_MAX,
                .reader_count = server->options.core_count},
        .compresses = server->options.compression != 0,
        .compressed_bytes_min = server->options.compression_threshold_bytes,
    };
    if (server->options.check_config) {
        options.log.capacity_bytes = FRAME_LOG_BYTES_MIN;
    }
    int error = server_check_memory(server);
    if (error < 0) {
        return error;
    }
    error = encodings_create(&server->encodings, &options);
    if (error < 0) {
        char text[192];
        snprintf(text, sizeof text, "--frame-log-bytes: %" PRIu64 " bytes: %s; %s",
                 server->options.frame_log_bytes, strerror(-error),
                 error == -EFBIG    ? "raise the limit of file sizes (ulimit -f) or give a smaller "
                                      "--frame-log-bytes"
                 : error == -EMFILE ? "raise the limit of open files (ulimit -n)"
                                    : "free some memory or give a smaller --frame-log-bytes");
        return server_refuse(server, error, text);
    }
    return 0;
}

/* Removes counters of our own dead processes. Where several PID namespaces share one /dev/shm a
 * living process of another one may lose its file; it keeps counting in its mapping. */
static void server_remove_stale_counters(void)
{
    DIR *directory = opendir(MAIN_COUNTERS_DIRECTORY);
    if (directory == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        size_t prefix_bytes = sizeof MAIN_COUNTERS_PREFIX - 1;
        if (strncmp(entry->d_name, MAIN_COUNTERS_PREFIX, prefix_bytes) != 0) {
            continue;
        }
        char *end;
        long pid = strtol(entry->d_name + prefix_bytes, &end, 10);
        struct stat status;
        if (pid > 0 && *end == '\0' && kill((pid_t)pid, 0) < 0 && errno == ESRCH &&
            fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_uid == geteuid()) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
    closedir(directory);
}

static int server_open_counters(struct server *server)
{
    char path[sizeof server->counters_path];
    if (server->options.check_config) { /* Other programs are not to see it. */
        return counters_open(&server->counters, NULL, server->options.core_count);
    }
    server_remove_stale_counters();
    snprintf(path, sizeof path, "%s/%s%ld", MAIN_COUNTERS_DIRECTORY, MAIN_COUNTERS_PREFIX,
             (long)getpid());
    memcpy(server->counters_path, path, sizeof path);
    server_catch_early_signals(server);
    int error = counters_open(&server->counters, path, server->options.core_count);
    if (error < 0) {
        server->counters_path[0] = '\0';
        log_write(LOG_LEVEL_WARNING,
                  "%s: %s; counters are kept in memory, other programs do not "
                  "see them",
                  path, strerror(-error));
        error = counters_open(&server->counters, NULL, server->options.core_count);
    }
    if (error < 0) {
        return server_fail(error, "counters", "free some memory");
    }
    server->counters->started_ns = clock_ns(CLOCK_REALTIME);
    return 0;
}

static int server_create_publisher(struct server *server)
{
    char text[FEED_ERROR_BYTES_MAX] = "no memory";
    struct publisher_options options = {
        .channels = server->channels,
        .encodings = server->encodings,
        .book_images = server->book_images,
        .counters = &server->counters->publisher,
        .feed_specs = server->options.feeds.texts,
        .feed_sources = server->options.feeds.sources,
        .feed_count = server->options.feeds.count,
    };
    int error = publisher_create(&server->publisher, &options, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

/* Before the listeners: nobody comes in unasked. */
static int server_create_access(struct server *server)
{
    char text[MAIN_ERROR_BYTES_MAX] = "";
    int error = access_create(&server->access, &server->options.access, text, sizeof text);
    if (error < 0) {
        return server_refuse(server, error, text);
    }
    if (access_describe_keys(server->access, text, sizeof text)) {
        log_write(LOG_LEVEL_INFO, "keys for JWTs: %s", text);
    }
    return 0;
}

/* What opening them would refuse at any time. */
static int server_check_listeners(struct server *server)
{
    const struct options *options = &server->options;
    char words[MAIN_ERROR_BYTES_MAX - 32] = "";
    char text[MAIN_ERROR_BYTES_MAX];
    const char *option = "host";
    struct listener_options clients = {.host = options->host, .port = (uint16_t)options->port};
    struct listener_options admin = {.host = options->admin_host,
                                     .port = (uint16_t)options->admin_port};
    int error = listener_check_tcp(&clients, words, sizeof words);
    if (error == 0 && options->unix_path != NULL) {
        option = "unix";
        error = listener_check_unix(options->unix_path, words, sizeof words);
    }
    if (error == 0) {
        option = "admin-host";
        error = listener_check_tcp(&admin, words, sizeof words);
    }
    if (error == 0 && listener_conflicts(&clients, &admin)) {
        option = "admin-port";
        error = -EINVAL;
        snprintf(words, sizeof words, "%u is the port for clients, too; give another one",
                 options->admin_port);
    }
    snprintf(text, sizeof text, "--%s: %s", option, words);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

static int server_load_admin_token(struct server *server)
{
    char text[MAIN_ERROR_BYTES_MAX];
    int error =
        secrets_load_token(&server->admin_tokens, "admin-token", server->options.admin_token,
                           server->options.admin_token_file, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

/* It waits for nothing. A signal comes before the socket is there, or after it is known. */
static int server_open_unix_listener(struct server *server, char *error_out, size_t error_bytes)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error =
        listener_open_unix(server->options.unix_path, &server->unix_fd, error_out, error_bytes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int server_open_listeners(struct server *server)
{
    char text[MAIN_ERROR_BYTES_MAX] = "";
    uint64_t timeout_ms = 3 * server->options.heartbeat_interval_ns / NS_PER_MS;
    struct listener_options options = {
        .host = server->options.host,
        .port = (uint16_t)server->options.port,
        .send_buffer_bytes = server->options.send_buffer_bytes,
        .user_timeout_ms =
            (uint32_t)(timeout_ms < MAIN_USER_TIMEOUT_MS_MIN ? MAIN_USER_TIMEOUT_MS_MIN
                                                             : timeout_ms),
    };
    int error = listener_open_tcp(&options, server->tcp_fds, server->options.core_count,
                                  &server->port, text, sizeof text);
    if (error == 0) {
        server->tcp_fd_count = server->options.core_count;
    }
    if (error == 0 && server->options.unix_path != NULL) {
        error = server_open_unix_listener(server, text, sizeof text);
    }
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "%s", text);
    }
    return error;
}

/* Where descriptors are too few for all clients, the server's own are kept aside: its rings, the
 * admin server's, and those that a moment needs. Clients share the others. */
static int server_share_descriptors(struct server *server)
{
    server->admin_connections_max = ADMIN_CONNECTIONS_MAX;
    if (server->fds_max == 0) {
        return 0;
    }
    uint64_t free_count = 0;
    for (uint64_t fd = 0; fd < server->fds_max; fd++) {
        free_count += fcntl((int)fd, F_GETFD) < 0;
    }
    /* Each core has a ring, and may accept one client too many of each of its listeners. */
    uint64_t own_count = MAIN_OWN_FDS + 3 * (uint64_t)server->options.core_count;
    uint64_t rest = free_count < own_count ? 0 : free_count - own_count;
    uint64_t admin_count = rest / 4 < ADMIN_CONNECTIONS_MAX ? rest / 4 : ADMIN_CONNECTIONS_MAX;
    if (admin_count == 0) {
        log_write(LOG_LEVEL_ERROR,
                  "the limit of open files is %" PRIu64 ", which leaves none for clients; raise it "
                  "with ulimit -n, or LimitNOFILE= of systemd",
                  server->fds_max);
        return -EMFILE;
    }
    server->admin_connections_max = (uint32_t)admin_count;
    server->open_count_max = (uint32_t)(rest - admin_count);
    log_write(
        LOG_LEVEL_WARNING,
        "the limit of open files is %" PRIu64 ": %u clients are served at one time instead of "
        "--max-connections %u, further ones wait; raise it with ulimit -n, or LimitNOFILE= of "
        "systemd",
        server->fds_max, server->open_count_max, server->options.connections_max);
    return 0;
}

static int server_create_session_table(struct server *server, uint32_t index)
{
    bool is_inline = server->options.publisher == OPTIONS_PUBLISHER_INLINE;
    struct session_options options = {
        .conn_count_max = server->options.connections_max,
        .subscription_count_max = server->options.subscriptions_max,
        .heartbeat_interval_ns = server->options.heartbeat_interval_ns,
        .idle_timeout_ns = server->options.idle_timeout_ns,
        .compression = server->options.compression != 0,
        .channels = server->channels,
        .book_images = server->book_images,
        .access = server->access,
        .counters = &server->counters->cores[index],
        .inline_publisher = is_inline && index == 0 ? server->publisher : NULL,
    };
    memcpy(options.epoch, server->epoch, sizeof options.epoch);
    int error = sessions_create(&server->sessions[index], &options);
    return error == 0 ? 0 : server_fail(error, "sessions", "give a smaller --max-connections");
}

static int server_create_core(struct server *server, uint32_t index)
{
    static const char *const paths[] = {"/", "/ws", "/v1"};
    char text[MAIN_ERROR_BYTES_MAX] = "no memory; give a smaller --max-connections";
    uint32_t encoding_count;
    struct core_encoding *encodings = encodings_table(server->encodings, &encoding_count);
    struct core_options options = {
        .index = index,
        .cpu = server->options.cpus[index],
        .conn_count_max = server->options.connections_max,
        .conn_count = &server->conn_count,
        .place_count = &server->place_count,
        .open_count_max = server->open_count_max,
        .heartbeat_interval_ns = server->options.heartbeat_interval_ns,
        .idle_timeout_ns = server->options.idle_timeout_ns,
        .max_lag_ns = server->options.lag_ms_max * NS_PER_MS,
        .send_buffer_bytes = server->options.send_buffer_bytes,
        .zero_copy_bytes = server->options.zero_copy_bytes,
        .busy_poll = server->options.busy_poll,
        .listeners = {{.fd = server->tcp_fds[index]}, {.fd = server->unix_fd, .is_unix = true}},
        .listener_count = server->unix_fd < 0 ? 1 : 2,
        .document = {.path = SBE_SCHEMA_PATH, .content_type = SBE_SCHEMA_CONTENT_TYPE},
        .site = {paths, 3, encodings_protocols, ENCODINGS_PROTOCOL_COUNT},
        .encodings = encodings,
        .encoding_count = encoding_count,
        .counters = &server->counters->cores[index],
        .ops = &session_ops,
        .context = server->sessions[index],
    };
    options.document.bytes = sbe_schema_text(&options.document.bytes_count);
    int error = core_create(&server->cores[index], &options, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "core %u: %s", index, text);
        return error;
    }
    server->core_count = index + 1;
    return 0;
}

static int server_create_cores(struct server *server)
{
    struct core_counters *counters[COUNTERS_CORES_MAX];
    int error = server_share_descriptors(server);
    for (uint32_t i = 0; i < server->options.core_count; i++) {
        if (error == 0) {
            error = server_create_session_table(server, i);
        }
        if (error == 0) {
            error = server_create_core(server, i);
        }
        if (error < 0) {
            return error;
        }
        counters[i] = &server->counters->cores[i];
    }
    publisher_set_cores(server->publisher, server->cores, counters, server->core_count);
    return 0;
}

/* Before the threads: an admin port that is taken must not cost anybody a connection. */
static int server_start_admin(struct server *server)
{
    char text[MAIN_ERROR_BYTES_MAX];
    struct watchdog_options watchdog = {
        .counters = server->counters,
        .limit_ns = server->options.watchdog_seconds * NS_PER_SECOND,
        .has_publisher = server->options.publisher == OPTIONS_PUBLISHER_THREAD,
    };
    watchdog_init(&server->watchdog, &watchdog);
    struct metrics_options source = {
        .counters = server->counters,
        .log = encodings_json_log(server->encodings),
        .options = &server->options,
        .epoch = server->epoch,
        .watchdog = &server->watchdog,
    };
    int error = metrics_create(&server->metrics, &source);
    if (error < 0) {
        return server_fail(error, "metrics", "free some memory");
    }
    metrics_tick(server->metrics, clock_ns(CLOCK_MONOTONIC));
    struct admin_options options = {
        .host = server->options.admin_host,
        .port = (uint16_t)server->options.admin_port,
        .metrics = server->metrics,
        .connections_max = server->admin_connections_max,
        .tokens = &server->admin_tokens,
    };
    error = admin_start(&server->admin, &options, text, sizeof text);
    if (error < 0) {
        server->exit_status = error == -EINVAL ? MAIN_EXIT_USAGE : MAIN_EXIT_FAILED;
        log_write(LOG_LEVEL_ERROR, "%s", text);
    }
    return error;
}

static void *server_run_thread(void *argument)
{
    struct server_thread *self = argument;
    struct server *server = self->server;
    (void)pthread_setname_np(pthread_self(), self->name);
    int error = self->core == NULL ? publisher_run(server->publisher) : core_run(self->core);
    if (error < 0) {
        uint32_t producer = self->core == NULL ? 0 : 1 + core_index(self->core);
        char text[LOG_LINE_BYTES_MAX / 2];
        snprintf(text, sizeof text, "thread %s ended: %s", self->name, strerror(-error));
        log_post(producer, LOG_LEVEL_CRITICAL, text);
        atomic_store(&server->failed, true);
    }
    atomic_fetch_add(&server->ended_count, 1);
    return NULL;
}

static int server_start_thread(struct server *server, struct core *core)
{
    struct server_thread *thread = &server->threads[server->thread_count];
    thread->server = server;
    thread->core = core;
    if (core == NULL) {
        snprintf(thread->name, sizeof thread->name, "publisher");
    } else {
        snprintf(thread->name, sizeof thread->name, "core-%u", core_index(core));
    }
    int error = -pthread_create(&thread->thread, NULL, server_run_thread, thread);
    if (error < 0) {
        return server_fail(error, thread->name, "raise the limit of threads (ulimit -u)");
    }
    server->thread_count++;
    return 0;
}

static int server_start_threads(struct server *server)
{
    int error = 0;
    for (uint32_t i = 0; i < server->core_count && error == 0; i++) {
        error = server_start_thread(server, server->cores[i]);
    }
    if (error == 0 && server->options.publisher == OPTIONS_PUBLISHER_THREAD) {
        error = server_start_thread(server, NULL);
    }
    return error;
}

typedef int server_step(struct server *server);

/* What --check-config runs as well: whatever the configuration alone decides, and no socket. */
static server_step *const server_prepare_steps[] = {
    server_ignore_signals,
    server_raise_limits,
    server_choose_epoch,
    server_create_channels,
    server_create_encodings,
    server_open_counters,
    server_create_publisher,
    server_create_access,
    server_load_admin_token,
    server_check_listeners,
    NULL,
};
static server_step *const server_open_steps[] = {
    server_open_listeners, server_create_cores,  server_start_admin,
    server_open_signals,   server_start_threads, NULL,
};

static int server_run_steps(struct server *server, server_step *const *steps)
{
    int error = 0;
    for (size_t i = 0; error == 0 && steps[i] != NULL; i++) {
        error = steps[i](server);
    }
    return error;
}

/* ---- Running ---- */

static void server_announce(const struct server *server)
{
    const struct options *options = &server->options;
    char feeds[LOG_LINE_BYTES_MAX / 2] = "";
    for (uint32_t i = 0; i < options->feeds.count; i++) {
        size_t used = strlen(feeds);
        snprintf(feeds + used, sizeof feeds - used, "%s%s", i == 0 ? "" : " ",
                 options->feeds.texts[i]);
    }
    bool is_ipv6 = strchr(options->host, ':') != NULL;
    bool is_admin_ipv6 = strchr(options->admin_host, ':') != NULL;
    log_write(LOG_LEVEL_INFO, "ringcast %s listening on %s%s%s:%u, admin on %s%s%s:%u",
              RINGCAST_VERSION, is_ipv6 ? "[" : "", options->host, is_ipv6 ? "]" : "", server->port,
              is_admin_ipv6 ? "[" : "", options->admin_host, is_admin_ipv6 ? "]" : "",
              admin_port(server->admin));
    if (options->unix_path != NULL) {
        log_write(LOG_LEVEL_INFO, "listening on unix:%s", options->unix_path);
    }
    log_write(LOG_LEVEL_INFO,
              "engine io_uring, %u core(s), publisher %s, frame log %" PRIu64
              " MiB, at most %u clients, epoch %s, feeds: %s",
              server->core_count,
              options->publisher == OPTIONS_PUBLISHER_INLINE ? "inline" : "thread",
              options->frame_log_bytes / MIB, options->connections_max, server->epoch, feeds);
}

/* For who starts it by hand: what to do next. */
static void server_greet(const struct server *server)
{
    const char *newcomer = getenv("RINGCAST_NEWCOMER");
    if (!isatty(STDOUT_FILENO) && (newcomer == NULL || strcmp(newcomer, "1") != 0)) {
        return;
    }
    log_say(STDOUT_FILENO,
            "Watch ticks:  zig-out/bin/ringcast-tap ws://127.0.0.1:%u --symbols 000001.SZ --types "
            "quote\n"
            "Look inside:  curl http://%s:%u/health (also /stats, /metrics)\n"
            "Stop:         Ctrl-C\n",
            server->port, server->options.admin_host, admin_port(server->admin));
}

/* Waits for a signal at most timeout_ms; the log is written meanwhile. Returns whether one came
 * that ends the program. */
static bool server_wait(struct server *server, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = server->signal_fd, .events = POLLIN};
    (void)poll(&poll_fd, 1, timeout_ms);
    log_drain();
    struct signalfd_siginfo info;
    if (read(server->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return false;
    }
    bool ends = info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM;
    log_write(ends ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "SIG%s received%s",
              sigabbrev_np((int)info.ssi_signo),
              ends ? "" : ": it is ignored; SIGTERM ends the server");
    return ends;
}

/* Each time main has waited; the metrics take a sample once a second. */
static void server_tick(struct server *server)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    watchdog_look(&server->watchdog, now_ns);
    if (now_ns - server->tick_ns >= NS_PER_SECOND) {
        server->tick_ns = now_ns;
        metrics_tick(server->metrics, now_ns);
    }
}

/* The threads open rings of their own, which may fail. true: all of them run. */
static bool server_await_threads(struct server *server)
{
    bool stop = false;
    watchdog_look(&server->watchdog, clock_ns(CLOCK_MONOTONIC));
    while (!stop && !watchdog_has_begun(&server->watchdog) &&
           atomic_load(&server->ended_count) == 0) {
        stop = server_wait(server, MAIN_START_INTERVAL_MS);
        watchdog_look(&server->watchdog, clock_ns(CLOCK_MONOTONIC));
    }
    return !stop && atomic_load(&server->ended_count) == 0;
}

/* Returns when a signal has come or a thread has ended by itself. */
static void server_run(struct server *server)
{
    bool stop = false;
    metrics_set_state(server->metrics, METRICS_READY);
    server_announce(server);
    server_greet(server);
    server->tick_ns = clock_ns(CLOCK_MONOTONIC);
    while (!stop && atomic_load(&server->ended_count) == 0) {
        stop = server_wait(server, MAIN_DRAIN_INTERVAL_MS);
        server_tick(server);
    }
}

/* ---- The end ---- */

/* Nothing more can be waited for: the kernel gives everything back. */
_Noreturn static void server_exit_now(struct server *server, enum log_level level, const char *why)
{
    log_write(level, "%s", why);
    if (server->counters_path[0] != '\0') {
        unlink(server->counters_path);
    }
    if (server->unix_fd >= 0) {
        unlink(server->options.unix_path);
    }
    log_flush();
    _exit(MAIN_EXIT_FAILED);
}

/* Waits a little; a second signal ends the program. */
static void server_wait_stopping(struct server *server)
{
    bool is_signalled = server_wait(server, MAIN_STOP_INTERVAL_MS);
    if (is_signalled && clock_ns(CLOCK_MONOTONIC) - server->stop_ns > MAIN_SAME_SIGNAL_NS) {
        server_exit_now(server, LOG_LEVEL_WARNING, "second signal: ending at once");
    }
}

/* Clients go one after the other while frames go on. Returns when there are none, or the time is
 * over. */
static void server_drain(struct server *server)
{
    uint64_t end_ns = server->stop_ns + server->options.drain_timeout_ns;
    uint32_t conn_count = atomic_load(&server->conn_count);
    metrics_set_state(server->metrics, METRICS_DRAINING);
    if (server->options.drain_timeout_ns == 0 || conn_count == 0) {
        return;
    }
    log_write(LOG_LEVEL_INFO, "draining: %u clients are told, and let go within %.1f s", conn_count,
              (double)server->options.drain_timeout_ns / (double)NS_PER_SECOND);
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_drain(server->cores[i], end_ns);
    }
    while (atomic_load(&server->conn_count) > 0 && clock_ns(CLOCK_MONOTONIC) < end_ns &&
           atomic_load(&server->ended_count) == 0) {
        server_wait_stopping(server);
        server_tick(server);
    }
}

/* Tells every thread to end, and joins them within MAIN_STOP_NS. */
static void server_stop_threads(struct server *server)
{
    uint64_t stop_ns = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_stop(server->cores[i]);
    }
    if (server->publisher != NULL) {
        publisher_stop(server->publisher);
    }
    while (atomic_load(&server->ended_count) < server->thread_count) {
        server_wait_stopping(server);
        if (clock_ns(CLOCK_MONOTONIC) - stop_ns > MAIN_STOP_NS) {
            server_exit_now(server, LOG_LEVEL_CRITICAL,
                            "threads did not end within 2 s: ending without them");
        }
    }
    for (uint32_t i = 0; i < server->thread_count; i++) {
        pthread_join(server->threads[i].thread, NULL);
    }
    server->thread_count = 0;
}

static void server_close_listeners(struct server *server)
{
    for (uint32_t i = 0; i < server->tcp_fd_count; i++) {
        close(server->tcp_fds[i]);
    }
    if (server->unix_fd >= 0) {
        close(server->unix_fd);
        unlink(server->options.unix_path);
    }
}

/* Releases what the steps got to. */
static void server_close(struct server *server)
{
    if (server->metrics != NULL) {
        metrics_set_state(server->metrics, METRICS_DRAINING);
    }
    server_stop_threads(server);
    if (server->admin != NULL) {
        admin_stop(server->admin);
    }
    if (server->metrics != NULL) {
        metrics_destroy(server->metrics);
    }
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_destroy(server->cores[i]);
    }
    for (uint32_t i = 0; i < COUNTERS_CORES_MAX && server->sessions[i] != NULL; i++) {
        sessions_destroy(server->sessions[i]);
    }
    if (server->access != NULL) {
        access_destroy(server->access);
    }
    token_table_deinit(&server->admin_tokens);
    server_close_listeners(server);
    if (server->publisher != NULL) {
        publisher_destroy(server->publisher);
    }
    if (server->counters != NULL) {
        counters_close(server->counters,
                       server->counters_path[0] == '\0' ? NULL : server->counters_path);
    }
    if (server->encodings != NULL) {
        encodings_destroy(server->encodings);
    }
    if (server->channels != NULL) {
        channels_destroy(server->channels);
        book_images_destroy(server->book_images);
    }
    if (server->signal_fd >= 0) {
        close(server->signal_fd);
    }
}

static int server_main(struct server *server)
{
    server->signal_fd = -1;
    server->unix_fd = -1;
    server->exit_status = MAIN_EXIT_FAILED;
    int error = server_run_steps(server, server_prepare_steps);
    if (error == 0 && server->options.check_config) {
        printf("configuration is good\n");
        server_close(server);
        return standard_fds_flush("ringcast") ? 0 : MAIN_EXIT_FAILED;
    }
    if (error == 0) {
        error = server_run_steps(server, server_open_steps);
    }
    if (error < 0) {
        server_close(server);
        return server->exit_status;
    }
    if (server_await_threads(server)) {
        server_run(server);
    }
    server->stop_ns = clock_ns(CLOCK_MONOTONIC);
    server_drain(server);
    log_write(LOG_LEVEL_INFO, "stopping: clients are told, which takes at most 2 s");
    server_close(server);
    log_drain();
    log_write(LOG_LEVEL_INFO, "stopped");
    return atomic_load(&server->failed) ? MAIN_EXIT_FAILED : 0;
}

static void main_warn(const struct options *options)
{
    for (uint32_t i = 0; i < options->ignored_count; i++) {
        log_write(LOG_LEVEL_WARNING, "%s is set, but has no use in ringcast yet: it is ignored",
                  options->ignored_names[i]);
    }
}

/* Whoever started us may have blocked them, and the start is to end by them. */
static void main_unblock_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

int main(int argc, char **argv)
{
    static struct server server;
    char text[OPTIONS_ERROR_BYTES_MAX];
    cpu_set_t cpus;
    standard_fds_open("ringcast");
    main_unblock_signals();
    if (getpid() == 1) { /* of a container: without a handler the kernel drops the signals */
        server_catch_early_signals(NULL);
    }
    signal(SIGXFSZ, SIG_IGN); /* A file that has reached its limit (ulimit -f) is an error. */
    if (sched_getaffinity(0, sizeof cpus, &cpus) < 0) {
        CPU_ZERO(&cpus);
        CPU_SET(0, &cpus);
    }
    struct options_input input = {.argc = argc, .argv = argv, .variable = getenv, .cpus = &cpus};
    if (options_parse(&server.options, &input, text) < 0) {
        log_say(STDERR_FILENO, "ringcast: %s\n", text);
        return MAIN_EXIT_USAGE;
    }
    if (server.options.action == OPTIONS_ACTION_HELP) {
        options_print_help(stdout);
        return standard_fds_flush("ringcast") ? 0 : MAIN_EXIT_FAILED;
    }
    if (server.options.action == OPTIONS_ACTION_VERSION) {
        options_print_version(stdout);
        return standard_fds_flush("ringcast") ? 0 : MAIN_EXIT_FAILED;
    }
    int error = arenas_create(server.options.core_count + MAIN_OTHER_THREADS);
    if (error == 0) {
        error = log_open((enum log_level)server.options.log_level, server.options.log_format == 1,
                         1 + server.options.core_count);
    }
    if (error < 0) {
        log_say(STDERR_FILENO, "ringcast: log: %s\n", strerror(-error));
        return MAIN_EXIT_FAILED;
    }
    main_warn(&server.options);
    int status = server_main(&server);
    log_close();
    options_deinit(&server.options);
    return status;
}
