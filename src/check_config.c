#include "src/check_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/board/frame_log_size.h"
#include "ring/core/core.h"
#include "ring/io/listener.h"
#include "ring/io/listener_unix.h"
#include "src/admin/host.h"
#include "src/base/log.h"
#include "src/base/memory_limit.h"
#include "src/market/encodings.h"
#include "src/record/record.h"

#define CHECK_CONFIG_WORDS_BYTES_MAX 480
#define CHECK_CONFIG_REST_BYTES (32 * MIB) /* what a small server needs beside logs: memory.md */

/* What of this process's memory is left: of the tightest cgroup, or of the machine. */
struct check_config_room {
    struct memory_limit limit;
    uint64_t machine_bytes; /* UINT64_MAX: not known */
    uint64_t bytes;         /* the smaller of the two */
    bool is_limited;        /* by a cgroup */
};

static void check_config_look(struct check_config_room *room_out)
{
    struct host_system system;
    host_read_system(&system);
    memory_limit_read(&room_out->limit, "");
    uint64_t available = system.memory_available_bytes;
    room_out->machine_bytes = available == 0 ? UINT64_MAX : available;
    room_out->is_limited = room_out->limit.available_bytes <= room_out->machine_bytes;
    room_out->bytes =
        room_out->is_limited ? room_out->limit.available_bytes : room_out->machine_bytes;
}

/* The connections and the JSON log are touched at once: what does not fit would wake the kernel's
 * OOM killer. */
static int check_config_at_once(const struct options *options, const struct check_config_room *room,
                                uint64_t bytes, char *error_out, size_t error_bytes)
{
    /* No numbers that change: --check-config says the same. */
    if (bytes >= room->limit.available_bytes) {
        snprintf(error_out, error_bytes,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into what is left of this cgroup's memory limit, %" PRIu64
                 " MiB; give a smaller --frame-log-bytes or --max-connections, or raise the limit "
                 "(docker --memory, Kubernetes resources.limits.memory, systemd MemoryMax=): %s",
                 options->frame_log_bytes, options->connections_max, bytes / MIB,
                 room->limit.limit_bytes / MIB, room->limit.path);
        return -ENOMEM;
    }
    if (bytes >= room->machine_bytes) {
        snprintf(error_out, error_bytes,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into the memory that is available; free some, or give a smaller "
                 "--frame-log-bytes or --max-connections",
                 options->frame_log_bytes, options->connections_max, bytes / MIB);
        return -ENOMEM;
    }
    return 0;
}

/* Other logs grow when clients ask for their encodings, and saved images with the channels. That
 * may never happen, so this only warns. rest_bytes: of all that is no log. */
static void check_config_warn(const struct frame_log_options *log,
                              const struct check_config_room *room, uint32_t log_count,
                              uint64_t rest_bytes)
{
    char memory_max[96] = "";
    struct frame_log_options smaller = *log;
    uint64_t most = frame_log_size_most(log);
    uint64_t left = room->bytes > rest_bytes ? room->bytes - rest_bytes : 0;
    if (log_count * most <= left) {
        return;
    }
    while (smaller.capacity_bytes > FRAME_LOG_BYTES_MIN &&
           log_count * frame_log_size_most(&smaller) > left) {
        smaller.capacity_bytes /= 2;
    }
    if (most <= left) {
        snprintf(memory_max, sizeof memory_max,
                 " or --memory-max %" PRIu64 "m, which refuses further encodings to clients,",
                 left / MIB);
    }
    log_write(
        LOG_LEVEL_WARNING,
        "--frame-log-bytes: once clients use them, the logs of %u encodings may take %" PRIu64
        " MiB each, and the server %" PRIu64
        " MiB in total; the kernel kills it when it exceeds the %" PRIu64
        " MiB that are left of %s. Give --frame-log-bytes %zum,%s or more memory (docs/memory.md)",
        log_count, most / MIB, (log_count * most + rest_bytes) / MIB, room->bytes / MIB,
        room->is_limited ? "this cgroup's memory limit" : "the machine's memory",
        smaller.capacity_bytes / MIB, memory_max);
}

int check_config_memory(const struct options *options, const struct frame_log_options *log,
                        char *error_out, size_t error_bytes)
{
    struct check_config_room room;
    uint64_t most = frame_log_size_most(log);
    uint64_t conns_bytes = options->core_count * core_memory_bytes(options->connections_max);
    assert_always(log->capacity_bytes == options->frame_log_bytes);
    if (options->memory_bytes_max != 0 && options->memory_bytes_max < most) {
        snprintf(error_out, error_bytes,
                 "--memory-max: %" PRIu64 " bytes are too few for the JSON log alone: with "
                 "--frame-log-bytes %" PRIu64 " it may take %" PRIu64 " bytes (%" PRIu64
                 " MiB); give as much, or a smaller --frame-log-bytes",
                 options->memory_bytes_max, options->frame_log_bytes, most, most / MIB + 1);
        return -EINVAL;
    }
    uint32_t log_count =
        encodings_fit(log, options->memory_bytes_max, encoders_count(options->compression != 0));
    check_config_look(&room);
    uint64_t at_once = frame_log_size_at_once(log) + conns_bytes;
    int error = check_config_at_once(options, &room, at_once, error_out, error_bytes);
    if (error == 0) {
        uint64_t record_bytes = options->record_path == NULL ? 0 : RECORD_MEMORY_BYTES;
        check_config_warn(log, &room, log_count,
                          conns_bytes + record_bytes + CHECK_CONFIG_REST_BYTES);
    }
    return error;
}

/* A host and a port, by the names of their options. */
struct check_config_door {
    const char *host_option;
    const char *port_option;
    const char *purpose;
    struct listener_options listener;
};

/* Whether the host has addresses, and none of the doors before has the port. */
static int check_config_door(const struct check_config_door *doors, uint32_t number,
                             char *error_out, size_t error_bytes)
{
    char words[CHECK_CONFIG_WORDS_BYTES_MAX] = "";
    const struct check_config_door *door = &doors[number];
    int error = listener_check_tcp(&door->listener, words, sizeof words);
    if (error < 0) {
        snprintf(error_out, error_bytes, "--%s: %s", door->host_option, words);
        return error;
    }
    for (uint32_t i = 0; i < number; i++) {
        if (listener_conflicts(&doors[i].listener, &door->listener)) {
            snprintf(error_out, error_bytes,
                     "--%s: %u is also the port %s (--%s); give another one", door->port_option,
                     door->listener.port, doors[i].purpose, doors[i].port_option);
            return -EINVAL;
        }
    }
    return 0;
}

static int check_config_doors(const struct options *options, char *error_out, size_t error_bytes)
{
    struct check_config_door doors[4] = {
        {"host", "port", "for clients", {.host = options->host, .port = (uint16_t)options->port}},
        {"admin-host",
         "admin-port",
         "of the admin server",
         {.host = options->admin_host, .port = (uint16_t)options->admin_port}},
    };
    uint32_t count = 2;
    int error = 0;
    if (options_has_tls(options)) {
        doors[count++] = (struct check_config_door){
            options->tls_host == NULL ? "host" : "tls-host",
            "tls-port",
            "for clients with TLS",
            {.host = options_tls_host(options), .port = (uint16_t)options->tls_port}};
    }
    if (options_has_metrics_port(options)) {
        doors[count++] = (struct check_config_door){
            "metrics-host",
            "metrics-port",
            "for metrics",
            {.host = options->metrics_host, .port = (uint16_t)options->metrics_port}};
    }
    for (uint32_t i = 0; i < count && error == 0; i++) {
        error = check_config_door(doors, i, error_out, error_bytes);
    }
    return error;
}

int check_config_listeners(const struct options *options, char *error_out, size_t error_bytes)
{
    char words[CHECK_CONFIG_WORDS_BYTES_MAX] = "";
    const char *option = "unix";
    int error = check_config_doors(options, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    if (options->unix_path != NULL) {
        error = listener_unix_check(options->unix_path, words, sizeof words);
    }
    if (error == 0 && options->ctl_path != NULL && strcmp(options->ctl_path, "off") != 0) {
        option = "ctl-socket";
        error = listener_unix_check(options->ctl_path, words, sizeof words);
    }
    snprintf(error_out, error_bytes, "--%s: %s", option, words);
    return error;
}
