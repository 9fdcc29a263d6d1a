#include "src/server_admin.h"

#include <fcntl.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/access/secrets.h"
#include "src/admin/admin.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/market/publisher.h"
#include "src/reload.h"
#include "src/server_roll.h"
#include "src/server_tls.h"

#define SERVER_ADMIN_ERROR_BYTES_MAX 512

int server_admin_load_tokens(struct server *server)
{
    const struct options *options = &server->options;
    char text[SERVER_ADMIN_ERROR_BYTES_MAX];
    int error = secrets_load_token(&server->admin_tokens, "admin-token", options->admin_token,
                                   options->admin_token_file, text, sizeof text);
    if (error == 0) {
        error = secrets_load_token(&server->admin_read_tokens, "admin-read-token", NULL,
                                   options->admin_read_token_file, text, sizeof text);
    }
    return error < 0 ? server_refuse(server, error, text) : 0;
}

static void server_admin_add(struct admin_options *options, int fd, enum admin_door door)
{
    assert_always(options->socket_count < ADMIN_SOCKETS_MAX);
    assert_always(fd >= 0);
    options->sockets[options->socket_count++] = (struct admin_socket){.fd = fd, .door = door};
}

static void server_admin_give(struct admin_options *options, const struct listener_tcp *listener,
                              enum admin_door door)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        server_admin_add(options, listener->fds[i][0], door);
    }
}

static void server_admin_give_sockets(struct server *server, struct admin_options *options)
{
    server_admin_give(options, &server->sockets.admin, ADMIN_DOOR_PORT);
    server_admin_give(options, &server->sockets.metrics, ADMIN_DOOR_METRICS);
    server->sockets.admin_is_given = true;
    int ctl = server->sockets.ctl.fd < 0 ? -1 : fcntl(server->sockets.ctl.fd, F_DUPFD_CLOEXEC, 0);
    if (ctl >= 0) {
        server_admin_add(options, ctl, ADMIN_DOOR_UNIX);
    }
}

static struct metrics_log_memory server_admin_log_memory(const struct server *server)
{
    uint32_t count;
    const struct core_encoding *table = encodings_table(server->encodings, &count);
    struct metrics_log_memory memory = {
        .count = count,
        .bytes_max = server->options.memory_bytes_max,
        .refused_count = &encodings_claims(server->encodings)->refused_count,
    };
    for (uint32_t i = 0; i < count; i++) {
        memory.logs[i].encoding = encoders_rows[i].name;
        memory.logs[i].log = table[i].log;
    }
    return memory;
}

int server_admin_start(struct server *server)
{
    char text[SERVER_ADMIN_ERROR_BYTES_MAX];
    struct watchdog_options watchdog = {
        .counters = server->counters,
        .limit_ns = server->options.watchdog_seconds * NS_PER_SECOND,
    };
    watchdog_init(&server->watchdog, &watchdog);
    struct metrics_options source = {
        .counters = server->counters,
        .log = encodings_json_log(server->encodings),
        .epoch = server->epoch,
        .watchdog = &server->watchdog,
        .guard = server->guard,
        .log_memory = server_admin_log_memory(server),
        .connections_max = server->options.connections_max,
        .client_port = server->sockets.clients.port,
        .cpus = server->options.cpus,
        .busy_poll = server->options.busy_poll,
        .is_inline = server->options.publisher == OPTIONS_PUBLISHER_INLINE,
        .feeds = server->options.feeds.texts,
        .feed_count = server->options.feeds.count,
        .feed_table = publisher_feed_table(server->publisher),
        .staleness = server->staleness,
        .ready_stale_percent = server->options.ready_stale_percent,
        .is_prometheus_off = !server->options.prometheus_enabled,
    };
    int error = metrics_create(&server->metrics, &source);
    if (error < 0) {
        return server_fail(error, "cannot create the metrics", "free some memory");
    }
    metrics_tick(server->metrics, clock_ns(CLOCK_MONOTONIC));
    server_tls_publish(server);
    struct admin_options options = {
        .sources = {.metrics = server->metrics,
                    .symbols = &server->symbols,
                    .commands = server->commands,
                    .options = &server->options,
                    .drain = &server->drain,
                    .drain_timeout_ns = &server->options.drain_timeout_ns,
                    .roll = {server_roll_run, server},
                    .guard = server->guard,
                    .dump = server->dump,
                    .reload = reload_run,
                    .reload_context = server},
        .counters = server->counters,
        .connections_max = server->descriptors.admin_count,
        .tokens = &server->admin_tokens,
        .read_tokens = &server->admin_read_tokens,
        .host = server->options.admin_host,
    };
    server_admin_give_sockets(server, &options);
    error = admin_start(&server->admin, &options, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "%s", text);
    }
    return error;
}
