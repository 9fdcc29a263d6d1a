#include "src/check_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/board/frame_log.h"
#include "ring/core/core.h"
#include "ring/io/listener.h"
#include "src/admin/host.h"
#include "src/base/log.h"
#include "src/base/memory_limit.h"

#define CHECK_CONFIG_WORDS_BYTES_MAX 480

/* The frame log and the connections are touched at once: what does not fit would wake the kernel's
 * OOM killer. The logs of other encodings are touched when clients ask for them. */
int check_config_memory(const struct options *options, char *error_out, size_t error_bytes)
{
    struct host_system system;
    struct memory_limit limit;
    uint64_t log_bytes = options->frame_log_bytes + options->frame_log_bytes /
                                                        FRAME_LOG_BYTES_PER_DESC *
                                                        sizeof(struct frame_desc);
    uint64_t bytes = log_bytes + options->core_count * core_memory_bytes(options->connections_max);
    uint64_t all_bytes = bytes + log_bytes * (options->compression != 0 ? 2 : 1);
    assert_always(bytes > log_bytes); /* No sum has wrapped. */
    assert_always(log_bytes > options->frame_log_bytes);
    host_read_system(&system);
    memory_limit_read(&limit, "");
    /* No numbers that change: --check-config says the same. */
    if (bytes >= limit.available_bytes) {
        snprintf(error_out, error_bytes,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into what is left of this cgroup's memory limit, %" PRIu64
                 " MiB; give a smaller --frame-log-bytes or --max-connections, or raise the limit "
                 "(docker --memory, Kubernetes resources.limits.memory, systemd MemoryMax=): %s",
                 options->frame_log_bytes, options->connections_max, bytes / MIB,
                 limit.limit_bytes / MIB, limit.path);
        return -ENOMEM;
    }
    if (system.memory_available_bytes != 0 && bytes >= system.memory_available_bytes) {
        snprintf(error_out, error_bytes,
                 "--frame-log-bytes: %" PRIu64 " bytes, with its index and %u connections %" PRIu64
                 " MiB, do not fit into the memory that is available; free some, or give a smaller "
                 "--frame-log-bytes or --max-connections",
                 options->frame_log_bytes, options->connections_max, bytes / MIB);
        return -ENOMEM;
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

int check_config_listeners(const struct options *options, char *error_out, size_t error_bytes)
{
    char words[CHECK_CONFIG_WORDS_BYTES_MAX] = "";
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
    snprintf(error_out, error_bytes, "--%s: %s", option, words);
    return error;
}
