#include "src/server_tls.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/tls/tls_server.h"
#include "src/tls/tls_warnings.h"

#define SERVER_TLS_WARN_NS (86400 * NS_PER_SECOND)

static_assert(METRICS_CERTIFICATES_MAX == TLS_CERTIFICATES_MAX, "all are shown");

/* ---- What is said ---- */

void server_tls_announce(const struct server *server)
{
    struct tls_context_certificate certificates[TLS_CERTIFICATES_MAX];
    if (server->tls == NULL) {
        return;
    }
    uint32_t count =
        tls_context_certificates(tls_server_loaded(server->tls)->context, certificates);
    for (uint32_t i = 0; i < count; i++) {
        log_write(LOG_LEVEL_INFO, "TLS certificate of %s until %s: %s", certificates[i].name,
                  tls_warnings_date(certificates[i].not_after_s).text, certificates[i].file);
    }
}

static void server_tls_warn(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX];
    const struct tls_context *context = tls_server_loaded(server->tls)->context;
    for (uint32_t i = 0; tls_context_warning(context, i, (int64_t)time(NULL), text); i++) {
        log_write(LOG_LEVEL_WARNING, "%s", text);
    }
    server->tls_warned_ns = clock_ns(CLOCK_MONOTONIC);
}

void server_tls_publish(const struct server *server)
{
    struct tls_context_certificate certificates[TLS_CERTIFICATES_MAX];
    struct metrics_certificate shown[METRICS_CERTIFICATES_MAX];
    if (server->tls == NULL) {
        return;
    }
    uint32_t count =
        tls_context_certificates(tls_server_loaded(server->tls)->context, certificates);
    assert_always(count <= METRICS_CERTIFICATES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        shown[i].not_after_s = certificates[i].not_after_s;
        snprintf(shown[i].file, sizeof shown[i].file, "%s", certificates[i].file);
        snprintf(shown[i].name, sizeof shown[i].name, "%s", certificates[i].name);
    }
    metrics_set_certificates(server->metrics, shown, count);
}

/* ---- The start ---- */

int server_tls_load(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX] = "";
    const struct options *options = &server->options;
    if (!options_has_tls(options)) {
        return 0;
    }
    int error = tls_server_create(&server->tls, &options->tls, !options->check_config, text);
    if (error < 0) {
        return server_refuse(server, error, text);
    }
    server_tls_warn(server);
    return 0;
}

int server_tls_start(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX] = "";
    const struct options *options = &server->options;
    if (server->tls == NULL) {
        return 0;
    }
    int error = tls_server_start(server->tls, options->tls.thread_count, server->cores,
                                 options->core_count, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "threads for TLS handshakes: %s", text);
    }
    return error;
}

/* ---- While it runs ---- */

void server_take_tls(struct server *server, struct tls_loaded *loaded)
{
    if (loaded->context == NULL) {
        return;
    }
    const struct tls_digest *before = tls_server_loaded(server->tls)->digests;
    bool is_same = memcmp(before, loaded->digests, sizeof *before) == 0; /* the certificates */
    tls_server_take(server->tls, loaded);
    server_tls_publish(server);
    if (!is_same) {
        server_tls_announce(server);
    }
    server_tls_warn(server);
}

bool server_tls_tick(struct server *server, uint64_t now_ns)
{
    if (server->tls == NULL) {
        return false;
    }
    if (now_ns - server->tls_warned_ns >= SERVER_TLS_WARN_NS) {
        server_tls_warn(server);
    }
    uint64_t stamp = tls_server_loaded(server->tls)->stamp;
    bool is_due = tls_watch_look(&server->tls_watch, &server->options.tls, stamp, now_ns);
    if (is_due) {
        log_write(LOG_LEVEL_INFO, "files of TLS have changed: the configuration is reloaded");
    }
    return is_due;
}
