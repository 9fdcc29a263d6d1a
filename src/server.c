#include "src/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/sbe_schema.h"
#include "ring/board/counters_threads.h"
#include "src/access/access.h"
#include "src/access/publish_access.h"
#include "src/admin/admin.h"
#include "src/admin/dump.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/base/log_writer.h"
#include "src/check_config.h"
#include "src/command/command.h"
#include "src/descriptors.h"
#include "src/guard/guard.h"
#include "src/market/channel_rates.h"
#include "src/market/channels.h"
#include "src/market/publisher.h"
#include "src/market/staleness.h"
#include "src/record/record.h"
#include "src/reload.h"
#include "src/session/session.h"
#include "src/tls/tls_server.h"
#include "src/zero_copy.h"

#define SERVER_FRAME_BYTES_MAX (64 * KIB)
/* Beside clients: those without a place, the admin server's, rings, listeners, files of feeds. */
#define SERVER_SPARE_FDS (CORE_SPARE_CONNS + ADMIN_CONNECTIONS_MAX + 64)
/* Of them, opened after the listeners: signals, commands and their ring, the publisher's ring,
 * those of libmicrohttpd, and files of /proc that main and the admin server read. */
#define SERVER_OWN_FDS 13
/* The most of a core: its ring, a spare one, and for each listener the socket and a client. */
#define SERVER_CORE_FDS (2 + 2 * CORE_LISTENERS_MAX)
#define SERVER_ADMIN_FDS 3  /* of libmicrohttpd, for each further socket of the admin server */
#define SERVER_RECORD_FDS 2 /* a file of the recording, and the directory while it is listed */
#define SERVER_ERROR_BYTES_MAX 512
#define SERVER_PATH_ERROR_BYTES_MAX 4608 /* a path may have 4095 */

static_assert(OPTIONS_CORES_MAX == COUNTERS_CORES_MAX, "each core has counters");
static_assert(OPTIONS_CONNECTIONS_MAX <= CORE_CLAIMS_COUNT_MAX, "all may have one encoding");
static_assert(OPTIONS_LIST_MAX == PUBLISHER_FEEDS_MAX, "the publisher takes as many");
static_assert(OPTIONS_SUBSCRIPTIONS_MAX == CHANNELS_MAX, "one for each channel is the most");
static_assert(OPTIONS_FRAME_LOG_BYTES_MIN == FRAME_LOG_BYTES_MIN, "what config allows can be made");
static_assert(METRICS_LOGS_MAX == CORE_ENCODINGS_MAX, "a log of each encoding");
static_assert(LISTENER_ADDRESSES_MAX == ADMIN_ADDRESSES_MAX, "the admin server takes as many");
static_assert(LOG_PRODUCERS_MAX == COUNTERS_CORES_MAX + 1, "each core and the publisher can log");

int server_fail(int error, const char *what, const char *remedy)
{
    assert_always(error < 0);
    log_write(LOG_LEVEL_ERROR, "%s: %s; %s", what, strerror(-error), remedy);
    return error;
}

int server_refuse(struct server *server, int error, const char *text)
{
    assert_always(error < 0);
    char located[SERVER_ERROR_BYTES_MAX];
    options_locate(&server->options, text, located, sizeof located);
    log_write(LOG_LEVEL_CRITICAL, "%s", located);
    server->exit_status = error == -ENOMEM ? SERVER_EXIT_FAILED : SERVER_EXIT_USAGE;
    return error;
}

/* For the connections of all feeds, where the process may have so many descriptors. */
static uint64_t server_feed_fds(const struct server *server, uint64_t fds_max)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < server->options.feeds.count; i++) {
        count += feed_connections_max(server->options.feeds.texts[i], fds_max);
    }
    return count;
}

static uint64_t server_tls_fds(const struct server *server)
{
    return options_has_tls(&server->options) ? server->options.tls.thread_count : 0;
}

/* How many addresses a host has shows later: server_share_descriptors() counts those. */
int server_raise_limits(struct server *server)
{
    const struct options *options = &server->options;
    server->fds_max =
        descriptors_raise((uint64_t)options->connections_max + SERVER_SPARE_FDS +
                          SERVER_CORE_FDS * (uint64_t)options->core_count + server_tls_fds(server) +
                          server_feed_fds(server, UINT64_MAX));
    return 0;
}

int server_choose_epoch(struct server *server)
{
    uint64_t *number = &server->epoch_number;
    if (getrandom(number, sizeof *number, 0) != (ssize_t)sizeof *number) {
        return server_fail(-errno, "cannot get a random number for the epoch",
                           "allow getrandom(2), which a seccomp profile may forbid");
    }
    snprintf(server->epoch, sizeof server->epoch, "%016" PRIx64, *number);
    return 0;
}

/* What to do when memory cannot be had; some of it is a file. */
static const char *server_memory_remedy(int error)
{
    switch (error) {
    case -EFBIG:
        return "raise the limit of file sizes (ulimit -f)";
    case -EMFILE:
        return "raise the limit of open files (ulimit -n)";
    case -EPERM:
    case -EACCES:
    case -ENOSYS:
        return "allow memfd_create(2) and fcntl(2), which a container's seccomp profile may forbid";
    default:
        return "free some memory";
    }
}

int server_create_channels(struct server *server)
{
    int error = control_create(&server->control, server->epoch_number, CHANNELS_MAX);
    if (error == 0) {
        error = channels_create(&server->channels, server->control, &server->key);
    }
    if (error == 0) {
        error = book_images_create(&server->book_images);
    }
    return error == 0
               ? 0
               : server_fail(error, "cannot create the channel table", server_memory_remedy(error));
}

int server_create_staleness(struct server *server)
{
    char text[SERVER_ERROR_BYTES_MAX] = "";
    struct staleness_options options = {
        .channels = server->channels,
        .market_hours_path = server->options.market_hours_path,
        .after_ns = server->options.stale_after_ns,
    };
    int error = staleness_create(&server->staleness, &options, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

static int server_check_memory(struct server *server, const struct frame_log_options *log)
{
    char text[SERVER_ERROR_BYTES_MAX];
    int error = check_config_memory(&server->options, log, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

int server_check_listeners(struct server *server)
{
    char text[SERVER_ERROR_BYTES_MAX];
    int error = check_config_listeners(&server->options, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

int server_create_encodings(struct server *server)
{
    struct encodings_options options = {
        .channels = server->channels,
        .log = {.capacity_bytes = server->options.frame_log_bytes,
                .frame_bytes_max = SERVER_FRAME_BYTES_MAX,
                .channel_count_max = CHANNELS_MAX,
                .reader_count = server->options.core_count,
                .epoch = server->epoch_number},
        .compresses = server->options.compression != 0,
        .compressed_bytes_min = server->options.compression_threshold_bytes,
        .memory_bytes_max = server->options.memory_bytes_max,
    };
    int error = server_check_memory(server, &options.log);
    if (error < 0) {
        return error;
    }
    if (server->options.check_config) {
        options.log.capacity_bytes = FRAME_LOG_BYTES_MIN;
    }
    error = encodings_create(&server->encodings, &options);
    if (error < 0) {
        char text[192];
        snprintf(text, sizeof text, "--frame-log-bytes: %" PRIu64 " bytes: %s; %s%s",
                 server->options.frame_log_bytes, strerror(-error), server_memory_remedy(error),
                 error == -EMFILE ? "" : " or give a smaller --frame-log-bytes");
        return server_refuse(server, error, text);
    }
    error = channel_rates_create(&server->rates);
    if (error < 0) {
        return server_fail(error, "cannot create the table of rates", server_memory_remedy(error));
    }
    server->symbols = (struct symbols){.channels = server->channels,
                                       .log = encodings_json_log(server->encodings),
                                       .rates = server->rates,
                                       .staleness = server->staleness,
                                       .epoch = server->epoch};
    return 0;
}

/* The file has its name once it is complete. */
static int server_open_counters_file(struct server *server)
{
    uint32_t core_count = server->options.core_count;
    struct counters_file *file = &server->counters_file;
    counters_file_remove_dead(COUNTERS_FILE_DIRECTORY);
    int error = counters_file_open(file, COUNTERS_FILE_DIRECTORY, counters_bytes(core_count));
    if (error == 0) {
        error = counters_open(&server->counters, file->fd, core_count);
    }
    if (error == 0) {
        error = counters_file_publish(file, COUNTERS_FILE_DIRECTORY);
    }
    return error;
}

int server_open_counters(struct server *server)
{
    int error = 0;
    if (!server->options.check_config) { /* No other program is to see counters of a check. */
        error = server_open_counters_file(server);
    }
    if (error < 0) {
        log_write(
            LOG_LEVEL_WARNING,
            COUNTERS_FILE_DIRECTORY
            "/" COUNTERS_FILE_PREFIX
            "%ld: %s; counters are kept in private memory, where ringcast stat cannot read them",
            (long)getpid(), strerror(-error));
    }
    if (server->counters == NULL) {
        error = counters_open(&server->counters, -1, server->options.core_count);
        if (error < 0) {
            return server_fail(error, "cannot create the counters", "free some memory");
        }
    }
    struct process_counters *process = &server->counters->process;
    counters_threads_begin(counters_threads_add(server->counters, "main", &process->main_turns, 0));
    struct counters_thread *log =
        counters_threads_add(server->counters, "log", &process->log_turns, COUNTERS_THREAD_RESTS);
    log_writer_show(&log->tid, &process->log_turns);
    return 0;
}

int server_create_access(struct server *server)
{
    char text[SERVER_ERROR_BYTES_MAX] = "";
    int error =
        access_create(&server->access, &server->options.access, &server->key, text, sizeof text);
    if (error < 0) {
        return server_refuse(server, error, text);
    }
    if (access_describe_keys(server->access, text, sizeof text)) {
        log_write(LOG_LEVEL_INFO, "keys for JWTs: %s", text);
    }
    server->publish_access = publish_access_create(server->access);
    return server->publish_access == NULL
               ? server_fail(-ENOMEM, "cannot check tokens of producers", "free some memory")
               : 0;
}

int server_create_publisher(struct server *server)
{
    char text[FEED_ERROR_BYTES_MAX] = "no memory";
    assert_always(server->encodings != NULL);
    assert_always(server->counters != NULL);
    assert_always(server->publish_access != NULL);
    struct publisher_options options = {
        .channels = server->channels,
        .encodings = server->encodings,
        .book_images = server->book_images,
        .staleness = server->staleness,
        .record = server->record,
        .counters = &server->counters->publisher,
        .control = server->control,
        .feed_specs = server->options.feeds.texts,
        .feed_sources = server->options.feeds.sources,
        .feed_count = server->options.feeds.count,
        .epoch = server->epoch_number,
        .admission = publish_access_admission(server->publish_access),
        .on_poll = publish_access_poll,
        .reuse_port = server->options.reuse_port,
    };
    int error = publisher_create(&server->publisher, &options, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

int server_measure_sends(struct server *server)
{
    server->zero_copy = zero_copy_choose(&server->options);
    return 0;
}

int server_open_sockets(struct server *server)
{
    return sockets_open(&server->sockets, &server->options, &server->activation,
                        server->counters_file.path);
}

/* Each core has a ring, and may accept one client too many of each of its listeners. */
static int server_share_descriptors(struct server *server)
{
    const struct sockets *sockets = &server->sockets;
    uint64_t own_count = SERVER_OWN_FDS + (server->record != NULL ? SERVER_RECORD_FDS : 0) +
                         SERVER_ADMIN_FDS * (sockets_admin_count(&server->sockets) - 1) +
                         (2 + sockets->clients.address_count + sockets->tls.address_count) *
                             (uint64_t)server->options.core_count +
                         server_tls_fds(server) + server_feed_fds(server, server->fds_max);
    return descriptors_share(server->fds_max, own_count, server->options.connections_max,
                             &server->descriptors);
}

static int server_create_session_table(struct server *server, uint32_t index)
{
    assert_always(server->sessions[index] == NULL);
    struct session_options options = {
        .conn_count_max = server->options.connections_max,
        .subscription_count_max = server->options.subscriptions_max,
        .heartbeat_interval_ns = server->options.heartbeat_interval_ns,
        .idle_timeout_ns = server->options.idle_timeout_ns,
        .compression = server->options.compression != 0,
        .channels = server->channels,
        .symbols = &server->symbols,
        .feeds = publisher_feed_table(server->publisher),
        .book_images = server->book_images,
        .access = server->access,
        .counters = &server->counters->cores[index],
    };
    memcpy(options.epoch, server->epoch, sizeof options.epoch);
    int error = sessions_create(&server->sessions[index], &options);
    return error == 0 ? 0
                      : server_fail(error, "cannot create the sessions",
                                    "give a smaller --max-connections");
}

static int server_create_core(struct server *server, uint32_t index)
{
    static const char *const paths[] = {"/", "/ws", "/v1"};
    char text[SERVER_ERROR_BYTES_MAX] = "no memory; give a smaller --max-connections";
    assert_always(index == server->core_count);
    assert_always(index < server->sockets.clients.share_count);
    bool is_inline = server->options.publisher == OPTIONS_PUBLISHER_INLINE;
    uint32_t encoding_count;
    struct core_encoding *encodings = encodings_table(server->encodings, &encoding_count);
    struct core_options options = {
        .index = index,
        .cpu = server->options.cpus[index],
        .conn_count_max = server->options.connections_max,
        .conn_count = &server->conn_count,
        .place_count = &server->place_count,
        .place_count_max = server->descriptors.place_count,
        .pressure = guard_pressure(server->guard),
        .open_count_max = server->descriptors.client_count,
        .heartbeat_interval_ns = server->options.heartbeat_interval_ns,
        .idle_timeout_ns = server->options.idle_timeout_ns,
        .max_lag_ns = server->options.lag_ms_max * NS_PER_MS,
        .send_buffer_bytes = server->options.send_buffer_bytes,
        .zero_copy = server->zero_copy,
        .busy_poll = server->options.busy_poll,
        .key = server->key,
        .document = {.path = SBE_SCHEMA_PATH, .content_type = SBE_SCHEMA_CONTENT_TYPE},
        .site = {paths, 3, encodings_protocols, ENCODINGS_PROTOCOL_COUNT, true},
        .encodings = encodings,
        .encoding_count = encoding_count,
        .claims = encodings_claims(server->encodings),
        .tls = tls_server_service(server->tls),
        .counters = &server->counters->cores[index],
        .ops = &session_ops,
        .context = server->sessions[index],
        .publish = is_inline && index == 0 ? publisher_poll_inline : NULL,
        .publish_context = server->publisher,
    };
    options.document.bytes = sbe_schema_text(&options.document.bytes_count);
    options.listener_count = sockets_share(&server->sockets, index, options.listeners);
    int error = core_create(&server->cores[index], &options, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "core %u: %s", index, text);
        return error;
    }
    server->core_count = index + 1;
    return 0;
}

int server_create_cores(struct server *server)
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

int server_create_commands(struct server *server)
{
    char text[SERVER_ERROR_BYTES_MAX] = "";
    int error = commands_create(&server->commands, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "commands: %s", text);
        return error;
    }
    commands_set_cores(server->commands, server->cores, server->core_count);
    return 0;
}

int server_write_pid_file(struct server *server)
{
    char text[SERVER_PATH_ERROR_BYTES_MAX];
    if (server->options.pid_file_path == NULL) {
        return 0;
    }
    int error = pid_file_open(&server->pid_file, server->options.pid_file_path,
                              server->options.reuse_port, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

static void *server_run_thread(void *argument)
{
    struct server_thread *self = argument;
    struct server *server = self->server;
    (void)pthread_setname_np(pthread_self(), self->record->name);
    counters_threads_begin(self->record);
    int error = self->core == NULL ? publisher_run(server->publisher) : core_run(self->core);
    if (error < 0) {
        uint32_t producer = self->core == NULL ? 0 : 1 + core_index(self->core);
        char text[LOG_LINE_BYTES_MAX / 2];
        snprintf(text, sizeof text, "thread %s ended: %s", self->record->name, strerror(-error));
        log_post(producer, LOG_LEVEL_CRITICAL, text);
        atomic_store(&server->failed, true);
    }
    atomic_fetch_add(&server->ended_count, 1);
    return NULL;
}

static int server_start_thread(struct server *server, struct core *core)
{
    assert_always(server->thread_count < sizeof server->threads / sizeof server->threads[0]);
    struct server_thread *thread = &server->threads[server->thread_count];
    struct counters *counters = server->counters;
    char name[16] = "publisher";
    counter *turns = &counters->publisher.turns;
    *thread = (struct server_thread){
        .server = server, .core = core, .run_delay_ns = &counters->publisher.run_delay_ns};
    if (core != NULL) {
        snprintf(name, sizeof name, "core-%u", core_index(core));
        turns = &counters->cores[core_index(core)].turns;
        thread->run_delay_ns = &counters->cores[core_index(core)].run_delay_ns;
    }
    thread->record = counters_threads_add(counters, name, turns, 0);
    int error = -pthread_create(&thread->thread, NULL, server_run_thread, thread);
    if (error < 0) {
        char what[40];
        snprintf(what, sizeof what, "cannot start thread %s", name);
        return server_fail(error, what, "raise the limit of threads (ulimit -u)");
    }
    server->thread_count++;
    return 0;
}

int server_start_threads(struct server *server)
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

void server_destroy(struct server *server)
{
    assert_always(server->thread_count == 0);
    sockets_silence(&server->sockets);
    if (server->admin != NULL) {
        admin_stop(server->admin);
    }
    dump_destroy(server->dump);
    if (server->commands != NULL) {
        commands_destroy(server->commands);
    }
    if (server->metrics != NULL) {
        metrics_destroy(server->metrics);
    }
    tls_server_destroy(server->tls);
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_destroy(server->cores[i]);
    }
    guard_destroy(server->guard);
    for (uint32_t i = 0; i < COUNTERS_CORES_MAX && server->sessions[i] != NULL; i++) {
        sessions_destroy(server->sessions[i]);
    }
    token_table_deinit(&server->admin_tokens);
    token_table_deinit(&server->admin_read_tokens);
    sockets_close(&server->sockets);
    bool is_recorded = record_stop(server->record);
    if (server->publisher != NULL) {
        publisher_destroy(server->publisher);
    }
    record_destroy(server->record);
    publish_access_destroy(server->publish_access);
    reload_destroy(server->reload);
    if (server->access != NULL) {
        access_destroy(server->access);
    }
    if (server->counters != NULL) {
        log_writer_show(NULL, NULL);
    }
    if (server->counters != NULL && is_recorded) {
        counters_close(server->counters);
    }
    counters_file_close(&server->counters_file);
    if (server->rates != NULL) {
        channel_rates_destroy(server->rates);
    }
    if (server->encodings != NULL) {
        encodings_destroy(server->encodings);
    }
    if (server->staleness != NULL) {
        staleness_destroy(server->staleness);
    }
    if (server->channels != NULL) {
        channels_destroy(server->channels);
        book_images_destroy(server->book_images);
    }
    if (server->control != NULL) {
        control_destroy(server->control);
    }
}
