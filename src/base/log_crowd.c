#include "src/base/log_crowd.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/log.h"

bool log_crowd_has_line(struct log_crowd *crowd, enum log_crowd_event event)
{
    assert_always(event < LOG_CROWD_EVENT_COUNT);
    assert_debug(crowd->line_count <= LOG_CROWD_LINES);
    if (!log_wants(LOG_LEVEL_INFO)) {
        return false;
    }
    bool has_line = crowd->line_count < LOG_CROWD_LINES;
    crowd->line_count += has_line;
    crowd->more[event] += !has_line;
    return has_line;
}

void log_crowd_sum_up(struct log_crowd *crowd, uint32_t producer)
{
    char line[128];
    if (crowd->more[LOG_CROWD_CONNECTED] + crowd->more[LOG_CROWD_DISCONNECTED] > 0) {
        snprintf(line, sizeof line,
                 "In a second, %" PRIu32 " more clients connected and %" PRIu32
                 " more disconnected",
                 crowd->more[LOG_CROWD_CONNECTED], crowd->more[LOG_CROWD_DISCONNECTED]);
        log_post(producer, LOG_LEVEL_INFO, line);
    }
    *crowd = (struct log_crowd){.began_ns = crowd->began_ns};
}

void log_crowd_on_turn(struct log_crowd *crowd, uint32_t producer, uint64_t now_ns)
{
    if (now_ns - crowd->began_ns >= NS_PER_SECOND) {
        log_crowd_sum_up(crowd, producer);
        crowd->began_ns = now_ns;
    }
}
