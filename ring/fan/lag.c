#include "ring/fan/lag.h"

#include <linux/tcp.h>

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

/* Bytes of the log from a frame that is pinned up to where the core is. */
static uint64_t lag_bytes(const struct fan_stream *stream, uint64_t index)
{
    assert_always(index < stream->position);
    const struct frame_desc *last = frame_log_desc(stream->log, stream->position - 1);
    return last->position + last->frame_bytes - frame_log_desc(stream->log, index)->position;
}

static uint64_t lag_behind_ns(const struct fan *fan, uint64_t ts_pub_ns)
{
    return fan->wall_ns > ts_pub_ns ? fan->wall_ns - ts_pub_ns : 0;
}

void lag_measure(struct fan *fan, const struct subscriber *subscriber, struct core_lag *lag_out)
{
    const struct fan_stream *stream = fan_source(fan, subscriber);
    *lag_out = (struct core_lag){0};
    if (subscriber->mode == SUBSCRIBER_PUSHED || subscriber->mode == SUBSCRIBER_OFF) {
        return;
    }
    uint64_t pinned = frame_log_pinned(stream->log, fan->reader);
    uint64_t index = subscriber->cursor;
    if (!frame_log_pin(stream->log, fan->reader, index)) {
        index =
            frame_log_pin_oldest(stream->log, fan->reader); /* It is further behind than that. */
    }
    if (index < stream->position) {
        lag_out->is_behind = true;
        lag_out->bytes = lag_bytes(stream, index);
        lag_out->frames = stream->position - index;
        lag_out->ms = lag_behind_ns(fan, frame_log_desc(stream->log, index)->ts_pub_ns) / NS_PER_MS;
    }
    frame_log_pin_again(stream->log, fan->reader, pinned);
}

static bool lag_is_half(const struct fan *fan, const struct fan_stream *stream, uint64_t index,
                        uint64_t behind_ns)
{
    const struct frame_log *log = stream->log;
    uint64_t max_ns = fan->max_lag_ns;
    return (max_ns != 0 && behind_ns >= max_ns / 2) ||
           lag_bytes(stream, index) >= log->capacity_bytes / 2 ||
           stream->position - index >= frame_log_frames_max(log) / 2;
}

void lag_check(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
               uint64_t behind_ns)
{
    if (!subscriber->lag_is_reported &&
        lag_is_half(fan, fan_stream(fan, subscriber), subscriber->cursor, behind_ns)) {
        subscriber->lag_is_reported = true;
        counter_add(&fan->counters->lags_told, 1);
        (void)fan_add_notice(fan, subscriber, NOTICE_LAG);
        /* It leaves with a plan: without one the cursor would move before the lag is measured. */
        view->waiting_bytes += PLAN_NOTICE_BYTES_MIN;
    }
}
