#include "src/server_notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/base/log.h"

#define SERVER_NOTIFY_STATUS_NS (10 * NS_PER_SECOND) /* between two lines of status */
#define SERVER_NOTIFY_COMPLAINT_NS (60 * NS_PER_SECOND)
/* After the drain: threads that end (2 s), and the rest of a recording that is written. */
#define SERVER_NOTIFY_END_NS (20 * NS_PER_SECOND)

static void server_notify_complain(struct server *server, int error, uint64_t now_ns)
{
    struct server_notices *notices = &server->notices;
    assert_always(error <= 0);
    if (error == 0 || now_ns < notices->complaint_ns) {
        return;
    }
    notices->complaint_ns = now_ns + SERVER_NOTIFY_COMPLAINT_NS;
    log_write(
        LOG_LEVEL_WARNING,
        "the service manager cannot be notified: %s; it may end this service, because it does "
        "not learn that the server runs",
        strerror(-error));
}

static void server_notify_send(struct server *server, const char *lines, bool waits)
{
    server_notify_complain(server, notify_send(&server->notices.notify, lines, waits),
                           clock_ns(CLOCK_MONOTONIC));
}

/* "READY=1" and a line of status. */
static void server_notify_state(struct server *server, const char *end)
{
    char lines[NOTIFY_MESSAGE_BYTES_MAX];
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    assert_always(server->counters != NULL);
    uint64_t ticks = counter_get(&server->counters->publisher.ticks);
    snprintf(lines, sizeof lines, "READY=1\nSTATUS=%u clients, %" PRIu64 " ticks published%s",
             atomic_load(&server->conn_count), ticks, end);
    server->notices.status_ns = now_ns;
    server->notices.ticks = ticks;
    server_notify_send(server, lines, true);
}

void server_notify_ready(struct server *server)
{
    server_notify_complain(server, server->notices.open_error, clock_ns(CLOCK_MONOTONIC));
    server_notify_state(server, "");
}

void server_notify_reload(struct server *server)
{
    char lines[NOTIFY_MESSAGE_BYTES_MAX];
    if (server->notices.is_stopping) {
        return; /* A server that stops is not ready again. */
    }
    snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
             clock_ns(CLOCK_MONOTONIC) / 1000);
    server_notify_send(server, lines, true);
}

void server_notify_reloaded(struct server *server, int error)
{
    if (!server->notices.is_stopping) {
        server_notify_state(server, error == 0 ? "; reloaded"
                                               : "; the last reload was refused, the log says why");
    }
}

void server_notify_stopping(struct server *server, uint64_t drain_ns, uint32_t conn_count)
{
    char lines[NOTIFY_MESSAGE_BYTES_MAX];
    assert_always(!server->notices.is_stopping);
    server->notices.is_stopping = true;
    uint64_t most_us = (drain_ns + SERVER_NOTIFY_END_NS) / 1000;
    snprintf(lines, sizeof lines,
             "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=stopping: %u clients are closed",
             most_us, conn_count);
    server_notify_send(server, lines, true);
}

static void server_notify_status(struct server *server, uint64_t now_ns)
{
    char lines[NOTIFY_MESSAGE_BYTES_MAX];
    struct server_notices *notices = &server->notices;
    assert_always(now_ns > notices->status_ns);
    uint64_t ticks = counter_get(&server->counters->publisher.ticks);
    double seconds = (double)(now_ns - notices->status_ns) / (double)NS_PER_SECOND;
    snprintf(lines, sizeof lines, "STATUS=%u clients, %.0f ticks/s",
             atomic_load(&server->conn_count), (double)(ticks - notices->ticks) / seconds);
    notices->status_ns = now_ns;
    notices->ticks = ticks;
    server_notify_send(server, lines, false);
}

void server_notify_tick(struct server *server, uint64_t now_ns)
{
    struct server_notices *notices = &server->notices;
    if (notices->notify.fd < 0) {
        return;
    }
    if (notify_is_due(&notices->notify, now_ns) &&
        !watchdog_is_stalled(&server->watchdog, now_ns)) {
        server_notify_complain(server, notify_sign_of_life(&notices->notify, now_ns), now_ns);
    }
    if (!notices->is_stopping && now_ns - notices->status_ns >= SERVER_NOTIFY_STATUS_NS) {
        server_notify_status(server, now_ns);
    }
}
