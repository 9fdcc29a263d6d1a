#include "src/base/log_crowd.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

static _Atomic enum log_crowd_when log_crowd_when;

void log_crowd_set_when(enum log_crowd_when when)
{
    assert_always(when <= LOG_CROWD_SAMPLED);
    atomic_store_explicit(&log_crowd_when, when, memory_order_relaxed);
}

static enum log_crowd_when log_crowd_get_when(void)
{
    return atomic_load_explicit(&log_crowd_when, memory_order_relaxed);
}

enum log_level log_crowd_level(void)
{
    return log_crowd_get_when() == LOG_CROWD_DEBUG ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

bool log_crowd_has_line(struct log_crowd *crowd, enum log_crowd_event event)
{
    assert_always(event < LOG_CROWD_EVENT_COUNT);
    assert_debug(crowd->line_count <= LOG_CROWD_LINES);
    if (!log_wants(log_crowd_level())) {
        return false;
    }
    bool is_chosen =
        log_crowd_get_when() != LOG_CROWD_SAMPLED || crowd->event_count++ % LOG_CROWD_SAMPLE == 0;
    bool has_line = is_chosen && crowd->line_count < LOG_CROWD_LINES;
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
        log_post(producer, log_crowd_level(), line);
    }
    *crowd = (struct log_crowd){.began_ns = crowd->began_ns, .event_count = crowd->event_count};
}

void log_crowd_on_turn(struct log_crowd *crowd, uint32_t producer, uint64_t now_ns)
{
    if (now_ns - crowd->began_ns >= NS_PER_SECOND) {
        log_crowd_sum_up(crowd, producer);
        crowd->began_ns = now_ns;
    }
}
