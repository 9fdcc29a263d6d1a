#include "src/server_tls_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/reload.h"
#include "src/tls/tls_files.h"

#define SERVER_TLS_DATE_BYTES_MAX 32

/* ---- What is shown ---- */

static void server_tls_date(int64_t time_s, char out[SERVER_TLS_DATE_BYTES_MAX])
{
    struct tm date;
    time_t time = (time_t)time_s;
    gmtime_r(&time, &date);
    strftime(out, SERVER_TLS_DATE_BYTES_MAX, "%Y-%m-%d %H:%M:%S UTC", &date);
}

void server_tls_announce(const struct server *server)
{
    struct tls_context_certificate certificates[TLS_CERTIFICATES_MAX];
    uint32_t count = tls_context_certificates(server->tls->loaded.context, certificates);
    for (uint32_t i = 0; i < count; i++) {
        char end[SERVER_TLS_DATE_BYTES_MAX];
        server_tls_date(certificates[i].not_after_s, end);
        log_write(LOG_LEVEL_INFO, "TLS certificate of %s, valid until %s: %s", certificates[i].name,
                  end, certificates[i].file);
    }
}

void server_tls_publish(const struct server *server)
{
    struct tls_context_certificate certificates[TLS_CERTIFICATES_MAX];
    struct metrics_certificate shown[METRICS_CERTIFICATES_MAX];
    uint32_t count = tls_context_certificates(server->tls->loaded.context, certificates);
    assert_always(count <= METRICS_CERTIFICATES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        shown[i].not_after_s = certificates[i].not_after_s;
        snprintf(shown[i].file, sizeof shown[i].file, "%s", certificates[i].file);
        snprintf(shown[i].name, sizeof shown[i].name, "%s", certificates[i].name);
    }
    metrics_set_certificates(server->metrics, shown, count);
}

void server_tls_warn(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX];
    const struct tls_context *context = server->tls->loaded.context;
    for (uint32_t i = 0; tls_context_warning(context, i, (int64_t)time(NULL), text); i++) {
        log_write(LOG_LEVEL_WARNING, "%s", text);
    }
    server->tls->warned_ns = clock_ns(CLOCK_MONOTONIC);
}

/* ---- The watch ---- */

/* Files that are being replaced one by one do not load, for a while. */
static bool server_tls_is_patient(struct server *server, uint64_t now_ns)
{
    struct server_tls *tls = server->tls;
    char text[TLS_CONTEXT_ERROR_BYTES_MAX];
    struct tls_context *context;
    if (tls_context_load(&context, &server->options.tls, NULL, text) == 0) {
        tls_context_release(context);
        return false;
    }
    if (tls->failing_ns == 0) {
        tls->failing_ns = now_ns;
    }
    return now_ns - tls->failing_ns < SERVER_TLS_PATIENCE_NS;
}

static void server_tls_look(struct server *server, uint64_t now_ns)
{
    struct server_tls *tls = server->tls;
    uint64_t stamp = tls_files_stamp(&server->options.tls);
    if (stamp == tls->loaded.stamp) {
        tls->failing_ns = 0;
        return;
    }
    bool is_asked = tls->asked_stamp == stamp && tls->asked_ns != 0 &&
                    now_ns - tls->asked_ns < SERVER_TLS_AGAIN_NS;
    if (is_asked || server_tls_is_patient(server, now_ns)) {
        return;
    }
    tls->failing_ns = 0;
    tls->asked_ns = now_ns;
    tls->asked_stamp = stamp;
    log_write(LOG_LEVEL_INFO, "files of TLS have changed: the configuration is reloaded");
    reload_on_signal(server);
}

void server_tls_tick(struct server *server, uint64_t now_ns)
{
    struct server_tls *tls = server->tls;
    if (tls == NULL) {
        return;
    }
    if (now_ns - tls->looked_ns >= SERVER_TLS_LOOK_NS) {
        tls->looked_ns = now_ns;
        server_tls_look(server, now_ns);
    }
    if (now_ns - tls->warned_ns >= SERVER_TLS_WARN_NS) {
        server_tls_warn(server);
    }
}
