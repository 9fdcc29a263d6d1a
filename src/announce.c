#include "src/announce.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/server.h"
#include "src/server_tls.h"

void announce_ready(const struct server *server)
{
    const struct options *options = &server->options;
    char feeds[LOG_LINE_BYTES_MAX / 2] = "";
    for (uint32_t i = 0; i < options->feeds.count; i++) {
        size_t used = strlen(feeds);
        snprintf(feeds + used, sizeof feeds - used, "%s%s", i == 0 ? "" : " ",
                 options->feeds.texts[i]);
    }
    sockets_announce(&server->sockets);
    server_tls_announce(server);
    log_write(LOG_LEVEL_INFO,
              "engine io_uring, %u core(s), publisher %s, frame log %" PRIu64
              " MiB, at most %u clients, epoch %s, feeds: %s",
              server->core_count,
              options->publisher == OPTIONS_PUBLISHER_INLINE ? "inline" : "thread",
              options->frame_log_bytes / MIB, options->connections_max, server->epoch, feeds);
}

void announce_greet(const struct server *server)
{
    const char *newcomer = getenv("NEWCOMER_TO_RINGCAST");
    if (!isatty(STDOUT_FILENO) && (newcomer == NULL || strcmp(newcomer, "1") != 0)) {
        return;
    }
    char watch[LISTENER_NAME_BYTES_MAX];
    char look[LISTENER_NAME_BYTES_MAX];
    sockets_reach(&server->sockets.clients, watch);
    sockets_reach(&server->sockets.admin, look);
    log_say(STDOUT_FILENO,
            "Watch ticks:  zig-out/bin/ringcast-tap ws://%s --symbols 000001.SZ --types quote\n"
            "In a browser: http://%s/play (ticks), http://%s/admin/ui (the server)\n"
            "Look inside:  curl http://%s/ (lists /health, /stats, /metrics and others)\n"
            "See options:  zig-out/bin/ringcast --help\n"
            "Stop:         Ctrl-C\n",
            watch, look, look, look);
}
