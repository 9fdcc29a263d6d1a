#include "src/server_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/base/access_log.h"
#include "src/base/log.h"
#include "src/base/log_crowd.h"
#include "src/base/log_file.h"

#define SERVER_LOG_ERROR_BYTES_MAX 4600 /* a path may have 4095 */

static int server_open_log(struct server *server, enum log_sink sink, const char *option,
                           const char *path)
{
    char text[SERVER_LOG_ERROR_BYTES_MAX];
    if (path == NULL) {
        return 0;
    }
    assert_always(sink < LOG_SINK_COUNT);
    int error = server->options.check_config ? log_file_check(path) : log_open_file(sink, path);
    if (error == 0) {
        return 0;
    }
    snprintf(text, sizeof text, "%s: cannot append to %s: %s; %s", option, path, strerror(-error),
             error == -ENOENT ? "create its directory" : "choose another path");
    return server_refuse(server, error, text);
}

int server_open_logs(struct server *server)
{
    char text[SERVER_LOG_ERROR_BYTES_MAX];
    const struct options *options = &server->options;
    log_crowd_set_when((enum log_crowd_when)options->log_connections);
    int error = access_log_choose(options->access_log_format, text, sizeof text);
    if (error < 0) {
        return server_refuse(server, error, text);
    }
    error = server_open_log(server, LOG_SINK_LOG, "--log-file", options->log_file);
    if (error == 0) {
        error = server_open_log(server, LOG_SINK_ACCESS, "--access-log", options->access_log);
    }
    if (error == 0) {
        error = server_open_log(server, LOG_SINK_AUDIT, "--audit-log", options->audit_log);
    }
    return error;
}
