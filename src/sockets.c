#include "src/sockets.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "ring/board/counters_file.h"
#include "ring/io/listener_group.h"
#include "src/base/log.h"

#define SOCKETS_USER_TIMEOUT_MS_MIN 10000
#define SOCKETS_ERROR_BYTES_MAX 512

static_assert(OPTIONS_CORES_MAX <= LISTENER_SHARES_MAX, "each core has a share");
static_assert(2 * LISTENER_ADDRESSES_MAX + 1 <= CORE_LISTENERS_MAX,
              "of a host, plain and TLS, and a Unix socket");

void sockets_init(struct sockets *sockets)
{
    *sockets = (struct sockets){.unix_listener = {.fd = -1}, .ctl = {.fd = -1}};
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

/* A host and a port, and what the options call them. */
struct sockets_door {
    enum activation_purpose purpose;
    const char *host_option;
    const char *port_option;
    struct listener_options where;
    uint32_t share_count;
};

/* What the configuration says, rather than the program or one of its profiles. */
static bool sockets_is_given(const struct options *options, const char *option)
{
    size_t row = options_row(options_find(option, strlen(option)));
    return options->layers[row] > OPTIONS_LAYER_PROFILE;
}

static int sockets_refuse_passed(enum activation_purpose purpose, const char *text)
{
    log_write(LOG_LEVEL_ERROR, "sockets \"%s\" of the service manager: %s",
              activation_name(purpose), text);
    return -EINVAL;
}

/* Sockets that were passed, instead of new ones. What the configuration gives must agree. */
static int sockets_take_tcp(struct listener_tcp *listener_out, const struct options *options,
                            const struct sockets_door *door,
                            const struct activation_sockets *passed)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 64];
    struct listener_options where = door->where;
    where.passed_fds = passed->fds;
    where.passed_count = passed->count;
    if (!sockets_is_given(options, door->host_option)) {
        where.host = NULL;
    }
    if (listener_open_tcp(listener_out, &where, door->share_count, text, sizeof text) < 0) {
        return sockets_refuse_passed(door->purpose, text);
    }
    uint32_t port = listener_out->port;
    if (door->where.port != 0 && door->where.port != port &&
        sockets_is_given(options, door->port_option)) {
        snprintf(text, sizeof text,
                 "%u is not the port of the socket that the service manager passes, %s; give the "
                 "same port in both places, or leave --%s out",
                 door->where.port, listener_out->names[0], door->port_option);
        sockets_log(options, LOG_LEVEL_ERROR, door->port_option, text);
        return -EINVAL;
    }
    return 0;
}

static int sockets_open_tcp(struct listener_tcp *listener_out, const struct options *options,
                            const struct sockets_door *door, const struct activation *activation)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 64];
    const struct activation_sockets *passed = &activation->tcp[door->purpose];
    if (passed->count > 0) {
        return sockets_take_tcp(listener_out, options, door, passed);
    }
    int error = listener_open_tcp(listener_out, &door->where, door->share_count, text, sizeof text);
    if (error < 0) {
        bool is_taken = error == -EADDRINUSE;
        bool is_port = is_taken || error == -EACCES;
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s",
                 !is_taken ? ""
                 : options->reuse_port
                     ? "; --reuse-port shares ports with a ringcast of the same "
                       "user only"
                     : "; a second ringcast needs its own --port and --admin-port, "
                       "or --reuse-port to replace the first one");
        sockets_log(options, LOG_LEVEL_ERROR, is_port ? door->port_option : door->host_option,
                    text);
    } else if (listener_out->skipped[0] != '\0') {
        snprintf(text, sizeof text, "this machine lacks some of the addresses of %.60s: %s",
                 door->where.host, listener_out->skipped);
        sockets_log(options, LOG_LEVEL_WARNING, door->host_option, text);
    }
    return error;
}

/* Signals wait until the socket is known: their handler removes its file. */
static int sockets_open_unix(struct listener_unix *listener, const char *path, bool take_over,
                             char *error_out, size_t error_bytes)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = take_over ? listener_unix_take_over(listener, path, error_out, error_bytes)
                          : listener_unix_open(listener, path, error_out, error_bytes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* The default one is beside the counters file, whose name no other server has. */
static void sockets_name_ctl(struct sockets *sockets, const char *counters_path)
{
    listener_unix_remove_dead(COUNTERS_FILE_DIRECTORY, COUNTERS_FILE_PREFIX, SOCKETS_CTL_SUFFIX);
    if (counters_path[0] != '\0') {
        snprintf(sockets->ctl_path, sizeof sockets->ctl_path, "%s" SOCKETS_CTL_SUFFIX,
                 counters_path);
    } else {
        snprintf(sockets->ctl_path, sizeof sockets->ctl_path,
                 COUNTERS_FILE_DIRECTORY "/" COUNTERS_FILE_PREFIX "%ld" SOCKETS_CTL_SUFFIX,
                 (long)getpid());
    }
}

/* One that was asked for is required; without the default one the server runs all the same. */
static int sockets_open_ctl(struct sockets *sockets, const struct options *options,
                            const char *counters_path)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 128];
    const char *path = options->ctl_path;
    if (path == NULL) {
        sockets_name_ctl(sockets, counters_path);
        path = sockets->ctl_path;
    } else if (strcmp(path, "off") == 0) {
        return 0;
    }
    mode_t mask = umask(0177); /* mode 0600 */
    int error = sockets_open_unix(&sockets->ctl, path, options->reuse_port, text, sizeof text);
    umask(mask);
    if (error < 0 && options->ctl_path != NULL) {
        sockets_log(options, LOG_LEVEL_ERROR, "ctl-socket", text);
        return error;
    }
    if (error < 0) {
        log_write(
            LOG_LEVEL_WARNING,
            "%s; the server runs without the socket for ctl: --ctl-socket gives another path, "
            "or off",
            text);
    }
    return 0;
}

/* The ports of the admin server. */
static int sockets_open_admin(struct sockets *sockets, const struct options *options,
                              const struct activation *activation)
{
    struct sockets_door admin = {
        .purpose = ACTIVATION_ADMIN,
        .host_option = "admin-host",
        .port_option = "admin-port",
        .where = {.host = options->admin_host,
                  .port = (uint16_t)options->admin_port,
                  .reuse_port = options->reuse_port},
        .share_count = 1,
    };
    struct sockets_door metrics = {
        .purpose = ACTIVATION_METRICS,
        .host_option = "metrics-host",
        .port_option = "metrics-port",
        .where = {.host = options->metrics_host,
                  .port = (uint16_t)options->metrics_port,
                  .reuse_port = options->reuse_port},
        .share_count = 1,
    };
    int error = sockets_open_tcp(&sockets->admin, options, &admin, activation);
    if (error == 0 && options_has_metrics_port(options)) {
        error = sockets_open_tcp(&sockets->metrics, options, &metrics, activation);
    } else if (error == 0 && activation->tcp[ACTIVATION_METRICS].count > 0) {
        error = sockets_refuse_passed(ACTIVATION_METRICS,
                                      "no port is for metrics; give --metrics-port as well");
    }
    return error;
}

/* The ports for clients. */
static int sockets_open_clients(struct sockets *sockets, const struct options *options,
                                const struct activation *activation)
{
    uint64_t timeout_ms = 3 * options->heartbeat_interval_ns / NS_PER_MS;
    struct sockets_door door = {
        .purpose = ACTIVATION_CLIENTS,
        .host_option = "host",
        .port_option = "port",
        .where = {.host = options->host,
                  .port = (uint16_t)options->port,
                  .send_buffer_bytes = options->send_buffer_bytes,
                  .user_timeout_ms = (uint32_t)(timeout_ms < SOCKETS_USER_TIMEOUT_MS_MIN
                                                    ? SOCKETS_USER_TIMEOUT_MS_MIN
                                                    : timeout_ms),
                  .reuse_port = options->reuse_port},
        .share_count = options->core_count,
    };
    int error = sockets_open_tcp(&sockets->clients, options, &door, activation);
    if (error == 0 && options_has_tls(options)) {
        door.purpose = ACTIVATION_TLS;
        door.host_option = options->tls_host == NULL ? "host" : "tls-host";
        door.port_option = "tls-port";
        door.where.host = options_tls_host(options);
        door.where.port = (uint16_t)options->tls_port;
        error = sockets_open_tcp(&sockets->tls, options, &door, activation);
    } else if (error == 0 && activation->tcp[ACTIVATION_TLS].count > 0) {
        error = sockets_refuse_passed(
            ACTIVATION_TLS, "no port speaks TLS; give --tls-port and --tls-certificate as well");
    }
    return error;
}

/* The Unix socket for clients: the one that was passed, or that of --unix. */
static int sockets_open_local(struct sockets *sockets, const struct options *options,
                              const struct activation *activation)
{
    char text[SOCKETS_ERROR_BYTES_MAX - 64];
    const char *path = options->unix_path;
    if (activation->unix_fd < 0) {
        int error = path == NULL ? 0
                                 : sockets_open_unix(&sockets->unix_listener, path,
                                                     options->reuse_port, text, sizeof text);
        if (error < 0) {
            sockets_log(options, LOG_LEVEL_ERROR, "unix", text);
        }
        return error;
    }
    int error =
        listener_unix_take(&sockets->unix_listener, activation->unix_fd, sockets->unix_name);
    if (error < 0) {
        return sockets_refuse_passed(ACTIVATION_CLIENTS, strerror(-error));
    }
    if (path != NULL && strcmp(path, sockets->unix_name) != 0) {
        snprintf(text, sizeof text,
                 "'%s' is not the socket that the service manager passes, %s; give the same path "
                 "in both places, or leave --unix out",
                 path, sockets->unix_name);
        sockets_log(options, LOG_LEVEL_ERROR, "unix", text);
        return -EINVAL;
    }
    return 0;
}

int sockets_open(struct sockets *sockets, const struct options *options,
                 const struct activation *activation, const char *counters_path)
{
    int error = sockets_open_clients(sockets, options, activation);
    if (error == 0) {
        error = sockets_open_local(sockets, options, activation);
    }
    if (error == 0) {
        error = sockets_open_admin(sockets, options, activation);
    }
    return error == 0 ? sockets_open_ctl(sockets, options, counters_path) : error;
}

bool sockets_leave(const struct sockets *sockets)
{
    assert_always(sockets->clients.address_count > 0);
    bool has_left = listener_group_leave(&sockets->clients);
    has_left &= listener_group_leave(&sockets->tls);
    (void)listener_group_leave(&sockets->admin);
    (void)listener_group_leave(&sockets->metrics);
    return has_left;
}

bool sockets_are_passed(const struct sockets *sockets)
{
    return sockets->clients.is_passed &&
           (sockets->tls.address_count == 0 || sockets->tls.is_passed);
}

void sockets_silence(const struct sockets *sockets)
{
    listener_group_silence(&sockets->clients);
    listener_group_silence(&sockets->tls);
    listener_group_silence(&sockets->admin);
    listener_group_silence(&sockets->metrics);
}

void sockets_close(struct sockets *sockets)
{
    listener_close_tcp(&sockets->clients);
    listener_close_tcp(&sockets->tls);
    if (!sockets->admin_is_given) {
        listener_close_tcp(&sockets->admin);
        listener_close_tcp(&sockets->metrics);
    }
    if (sockets->unix_listener.fd >= 0) {
        listener_unix_close(&sockets->unix_listener);
    }
    if (sockets->ctl.fd >= 0) {
        listener_unix_close(&sockets->ctl);
    }
}

void sockets_unlink(const struct sockets *sockets)
{
    if (sockets->unix_listener.fd >= 0) {
        listener_unix_unlink(&sockets->unix_listener);
    }
    if (sockets->ctl.fd >= 0) {
        listener_unix_unlink(&sockets->ctl);
    }
}

/* Adds the share of a core. */
static void sockets_share_tcp(const struct listener_tcp *listener, uint32_t core, bool is_tls,
                              struct core_listener *listeners, uint32_t *count)
{
    assert_always(listener->address_count == 0 || core < listener->share_count);
    for (uint32_t i = 0; i < listener->address_count; i++) {
        assert_always(listener->fds[i][core] >= 0);
        assert_always(*count < CORE_LISTENERS_MAX);
        listeners[(*count)++] = (struct core_listener){
            .fd = listener->fds[i][core], .is_tls = is_tls, .is_kept = listener->is_passed};
    }
}

uint32_t sockets_share(const struct sockets *sockets, uint32_t core,
                       struct core_listener listeners_out[CORE_LISTENERS_MAX])
{
    uint32_t count = 0;
    assert_always(sockets->clients.address_count > 0);
    sockets_share_tcp(&sockets->clients, core, false, listeners_out, &count);
    sockets_share_tcp(&sockets->tls, core, true, listeners_out, &count);
    if (sockets->unix_listener.fd >= 0) {
        listeners_out[count++] =
            (struct core_listener){.fd = sockets->unix_listener.fd,
                                   .is_unix = true,
                                   .is_kept = sockets->unix_listener.inode == 0};
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
    for (uint32_t i = 0; i < sockets->tls.address_count; i++) {
        log_write(LOG_LEVEL_INFO, "listening on wss://%s", sockets->tls.names[i]);
    }
    for (uint32_t i = 1; i < sockets->admin.address_count; i++) {
        log_write(LOG_LEVEL_INFO, "admin on %s", sockets->admin.names[i]);
    }
    for (uint32_t i = 0; i < sockets->metrics.address_count; i++) {
        log_write(LOG_LEVEL_INFO, "metrics on %s", sockets->metrics.names[i]);
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

uint32_t sockets_admin_count(const struct sockets *sockets)
{
    return sockets->admin.address_count + sockets->metrics.address_count + (sockets->ctl.fd >= 0);
}
