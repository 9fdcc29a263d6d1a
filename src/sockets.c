#include "src/sockets.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "src/base/log.h"

#define SOCKETS_USER_TIMEOUT_MS_MIN 10000
#define SOCKETS_ERROR_BYTES_MAX 512

static_assert(OPTIONS_CORES_MAX <= LISTENER_SHARES_MAX, "each core has a share");
static_assert(LISTENER_ADDRESSES_MAX + 1 <= CORE_LISTENERS_MAX, "of a host, and a Unix socket");

void sockets_init(struct sockets *sockets)
{
    *sockets = (struct sockets){.unix_listener = {.fd = -1}};
}

/* Logs text with where the option is given. */
static void sockets_log(const struct options *options, enum log_level level, const char *option,
                        const char *text)
{
    char named[SOCKETS_ERROR_BYTES_MAX];
    char located[SOCKETS_ERROR_BYTES_MAX];
    snprintf(named, sizeof named, "--%s: %s", option, text);
    options_locate(options, named, located, sizeof located);
    log_write(level, "%s", located);
}

/* host, port: the options' names. */
static int sockets_open_tcp(struct listener_tcp *listener_out, const struct options *options,
                            const char *host, const char *port,
                            const struct listener_options *where, uint32_t share_count)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 64];
    int error = listener_open_tcp(listener_out, where, share_count, text, sizeof text);
    if (error < 0) {
        bool is_taken = error == -EADDRINUSE;
        bool is_port = is_taken || error == -EACCES;
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s",
                 is_taken ? "; a second ringcast needs its own --port and --admin-port" : "");
        sockets_log(options, LOG_LEVEL_ERROR, is_port ? port : host, text);
    } else if (listener_out->skipped[0] != '\0') {
        snprintf(text, sizeof text, "this machine lacks some of the addresses of %.60s: %s",
                 where->host, listener_out->skipped);
        sockets_log(options, LOG_LEVEL_WARNING, host, text);
    }
    return error;
}

/* Signals wait until the socket is known: their handler removes its file. */
static int sockets_open_unix(struct sockets *sockets, const struct options *options)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 64];
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = listener_unix_open(&sockets->unix_listener, options->unix_path, text, sizeof text);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error < 0) {
        sockets_log(options, LOG_LEVEL_ERROR, "unix", text);
    }
    return error;
}

int sockets_open(struct sockets *sockets, const struct options *options)
{
    uint64_t timeout_ms = 3 * options->heartbeat_interval_ns / NS_PER_MS;
    struct listener_options clients = {
        .host = options->host,
        .port = (uint16_t)options->port,
        .send_buffer_bytes = options->send_buffer_bytes,
        .user_timeout_ms =
            (uint32_t)(timeout_ms < SOCKETS_USER_TIMEOUT_MS_MIN ? SOCKETS_USER_TIMEOUT_MS_MIN
                                                                : timeout_ms),
    };
    struct listener_options admin = {
        .host = options->admin_host,
        .port = (uint16_t)options->admin_port,
    };
    int error =
        sockets_open_tcp(&sockets->clients, options, "host", "port", &clients, options->core_count);
    if (error == 0 && options->unix_path != NULL) {
        error = sockets_open_unix(sockets, options);
    }
    return error == 0
               ? sockets_open_tcp(&sockets->admin, options, "admin-host", "admin-port", &admin, 1)
               : error;
}

void sockets_close(struct sockets *sockets)
{
    listener_close_tcp(&sockets->clients);
    listener_close_tcp(&sockets->admin);
    if (sockets->unix_listener.fd >= 0) {
        listener_unix_close(&sockets->unix_listener);
    }
}

uint32_t sockets_share(const struct sockets *sockets, uint32_t core,
                       struct core_listener listeners_out[CORE_LISTENERS_MAX])
{
    uint32_t count = 0;
    assert_always(core < sockets->clients.share_count);
    while (count < sockets->clients.address_count) {
        listeners_out[count] = (struct core_listener){.fd = sockets->clients.fds[count][core]};
        assert_always(listeners_out[count].fd >= 0);
        count++;
    }
    if (sockets->unix_listener.fd >= 0) {
        listeners_out[count++] =
            (struct core_listener){.fd = sockets->unix_listener.fd, .is_unix = true};
    }
    return count;
}

void sockets_announce(const struct sockets *sockets)
{
    log_write(LOG_LEVEL_INFO, "ringcast %s listening on %s, admin on %s", RINGCAST_VERSION,
              sockets->clients.names[0], sockets->admin.names[0]);
    for (uint32_t i = 1; i < sockets->clients.address_count; i++) {
        log_write(LOG_LEVEL_INFO, "listening on %s", sockets->clients.names[i]);
    }
    for (uint32_t i = 1; i < sockets->admin.address_count; i++) {
        log_write(LOG_LEVEL_INFO, "admin on %s", sockets->admin.names[i]);
    }
    if (sockets->unix_listener.fd >= 0) {
        log_write(LOG_LEVEL_INFO, "listening on unix:%s", sockets->unix_listener.path);
    }
}

void sockets_reach(const struct listener_tcp *listener, char out[LISTENER_NAME_BYTES_MAX])
{
    const char *name = listener->names[0];
    if (strncmp(name, "0.0.0.0:", 8) == 0 || strncmp(name, "[::]:", 5) == 0) {
        snprintf(out, LISTENER_NAME_BYTES_MAX, "127.0.0.1:%u", listener->port);
    } else {
        snprintf(out, LISTENER_NAME_BYTES_MAX, "%s", name);
    }
}
