/* How far a conn is behind, and what holds it up. */
#include "ring/fan/lag.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ring/core/core_state.h"

enum lag_cause lag_cause_of(const struct tcp_info *info, uint64_t behind_ms)
{
    bool is_waiting = info->tcpi_unacked > 0 || info->tcpi_notsent_bytes > 0;
    if (is_waiting && (info->tcpi_probes > 0 || info->tcpi_snd_wnd < info->tcpi_snd_mss)) {
        return LAG_BY_CLIENT; /* Its window is shut. */
    }
    if (info->tcpi_retransmits > 0 || info->tcpi_lost > 0 || info->tcpi_retrans > 0) {
        return LAG_BY_NETWORK;
    }
    /* Nothing is wrong just now: it may read again. What has held it up so far? */
    if (info->tcpi_busy_time < behind_ms * 1000 / 2) {
        return LAG_BY_SERVER; /* The kernel had nothing to send. */
    }
    if (info->tcpi_rwnd_limited >= info->tcpi_busy_time / 2) {
        return LAG_BY_CLIENT;
    }
    return info->tcpi_sndbuf_limited >= info->tcpi_busy_time / 2 ? LAG_BY_SERVER : LAG_BY_NETWORK;
}

static void lag_ask_kernel(const struct conn *conn, struct core_lag *lag)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;
    lag->cause = LAG_BY_CLIENT;
    if (conn->is_unix || getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0) {
        return;
    }
    lag->cause = lag_cause_of(&info, lag->ms);
    lag->round_trip_us = info.tcpi_rtt;
}

/* Bytes of the log from a frame that is pinned up to where the core is. */
static uint64_t lag_bytes(const struct core_stream *stream, uint64_t index)
{
    const struct frame_desc *last = frame_log_desc(stream->log, stream->position - 1);
    return last->position + last->frame_bytes - frame_log_desc(stream->log, index)->position;
}

static uint64_t lag_behind_ns(const struct core *core, uint64_t ts_pub_ns)
{
    return core->time.wall_ns > ts_pub_ns ? core->time.wall_ns - ts_pub_ns : 0;
}

void lag_measure(struct core *core, struct conn *conn, struct core_lag *lag_out)
{
    const struct core_stream *stream = core_source(core, conn);
    uint32_t reader = core->options.index;
    *lag_out = (struct core_lag){0};
    if (conn->mode == CONN_PUSHED) {
        lag_ask_kernel(conn, lag_out);
        return;
    }
    uint64_t pinned = frame_log_pinned(stream->log, reader);
    uint64_t index = conn->cursor;
    if (!frame_log_pin(stream->log, reader, index)) {
        index = frame_log_pin_oldest(stream->log, reader); /* It is further behind than that. */
    }
    if (index < stream->position) {
        lag_out->is_behind = true;
        lag_out->bytes = lag_bytes(stream, index);
        lag_out->ms =
            lag_behind_ns(core, frame_log_desc(stream->log, index)->ts_pub_ns) / NS_PER_MS;
    }
    frame_log_pin_again(stream->log, reader, pinned);
    lag_ask_kernel(conn, lag_out);
}

static bool lag_is_half(const struct core *core, const struct core_stream *stream, uint64_t index,
                        uint64_t behind_ns)
{
    const struct frame_log *log = stream->log;
    uint64_t max_ns = core->options.max_lag_ns;
    return (max_ns != 0 && behind_ns >= max_ns / 2) ||
           lag_bytes(stream, index) >= log->capacity_bytes / 2 ||
           stream->position - index >= frame_log_frames_max(log) / 2;
}

void lag_check(struct core *core, struct conn *conn, uint64_t behind_ns)
{
    struct core_lag lag;
    if (conn->lag_told || !lag_is_half(core, core_stream(core, conn), conn->cursor, behind_ns)) {
        return;
    }
    conn->lag_told = true;
    lag_measure(core, conn, &lag);
    counter_add(&core->counters->lags_told, 1);
    core->options.ops->on_lag(core->options.context, core, conn_index(core, conn), &lag);
}
