#include "src/session/session_status.h"

#include <inttypes.h>
#include <string.h>

#include "src/market/encoders.h"
#include "src/market/feed_table.h"
#include "src/session/session_answer.h"
#include "src/session/session_heartbeat.h"
#include "src/session/session_limits.h"
#include "src/session/session_stale.h"

#define SESSION_NOTICE_CURSORS_MAX 100

void session_status_pong(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    uint64_t wall_ns = session_wall_ns();
    reply_begin(reply, "PONG", call->request->id, wall_ns);
    reply_put(reply, "{", 1);
    if (call->request->t0[0] != '\0') {
        reply_print(reply, "\"t0\":%s,", call->request->t0);
    }
    reply_print(reply, "\"t1\":%" PRIu64 ",\"t2\":%" PRIu64, call->received_ns, wall_ns);
    session_answer_warn(call->sessions, call->core, call->request);
    reply_text(reply, "}");
    reply_end(reply);
    session_answer_send(call);
}

/* ---- LAG and STATUS ---- */

static void session_status_put_lag(struct reply *reply, const struct core_lag *lag)
{
    reply_print(reply, "{\"bytes\":%" PRIu64 ",\"ms\":%" PRIu64 ",\"cause\":", lag->bytes, lag->ms);
    reply_print(reply, lag->is_behind ? "\"%s\"}" : "null}", lag_cause_text(lag->cause));
}

void session_status_lag(struct sessions *sessions, struct core *core, uint32_t conn,
                        const struct core_lag *lag)
{
    reply_begin(&sessions->reply, "LAG", "", session_wall_ns());
    session_status_put_lag(&sessions->reply, lag);
    session_answer_put(sessions, core, conn);
}

static void session_status_put_time(struct reply *reply, const char *key, uint64_t time_ns)
{
    reply_text(reply, key);
    if (time_ns == 0) {
        reply_text(reply, "null");
    } else {
        reply_u64(reply, time_ns);
    }
}

static void session_status_put_feed(struct reply *reply, const struct feed_table_view *feed)
{
    reply_text(reply, "{\"feed\":");
    reply_string(reply, feed->name, strlen(feed->name));
    reply_text(reply, ",\"state\":");
    reply_string(reply, feed->state, strlen(feed->state));
    session_status_put_time(reply, ",\"since\":", feed->since_ns);
    reply_text(reply, ",\"cause\":");
    if (feed->cause[0] == '\0') {
        reply_text(reply, "null");
    } else {
        reply_string(reply, feed->cause, strlen(feed->cause));
    }
    session_status_put_time(reply, ",\"last_tick\":", feed->tick_ns);
    for (size_t i = 0; i < FEED_TABLE_COLUMNS; i++) {
        reply_text(reply, ",\"");
        reply_text(reply, feed_table_columns[i].name);
        reply_text(reply, "\":");
        reply_u64(reply, feed->counts[i]);
    }
    reply_text(reply, "}");
}

static void session_status_put_feeds(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    const struct feed_table *feeds = call->sessions->options.feeds;
    uint32_t count = feed_table_count(feeds);
    reply_text(reply, ",\"feeds\":[");
    for (uint32_t i = 0; i < count; i++) {
        struct feed_table_view feed;
        feed_table_read(feeds, i, &feed);
        reply_text(reply, i == 0 ? "" : ",");
        session_status_put_feed(reply, &feed);
    }
    reply_text(reply, "]");
    session_call_spend(call, count * SESSION_FEED_UNITS);
}

bool session_status(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    struct reply *reply = &sessions->reply;
    struct core_conn_stats stats;
    struct core_lag lag;
    if (!session_stale_find(call)) {
        return false;
    }
    core_conn_stats(call->core, call->conn, &stats);
    core_conn_lag(call->core, call->conn, &lag);
    assert_always(stats.encoding < CORE_ENCODINGS_MAX);
    assert_always(encoders_rows[stats.encoding].subprotocol != NULL);
    uint32_t round_trip_us = stats.round_trip_us != 0 ? stats.round_trip_us : lag.round_trip_us;
    reply_begin(reply, "STATUS", call->request->id, session_wall_ns());
    reply_print(reply, "{\"session\":\"%" PRIu32 "-%" PRIu64 "\",\"encoding\":\"%s\",",
                core_index(call->core), call->session->number,
                encoders_rows[stats.encoding].subprotocol);
    session_heartbeat_put_counts(reply, &stats);
    reply_text(reply, ",\"lag\":");
    session_status_put_lag(reply, &lag);
    reply_text(reply, ",\"round_trip_us\":");
    reply_print(reply, round_trip_us != 0 ? "%" PRIu32 : "null", round_trip_us);
    reply_print(reply, ",\"subscriptions\":%" PRIu32, session_limits_subscribed(call->session));
    session_status_put_feeds(call);
    session_stale_put(call);
    session_answer_warn(sessions, call->core, call->request);
    reply_text(reply, "}");
    session_answer_put(sessions, call->core, call->conn);
    return true;
}

/* ---- The NOTICE of a drain ---- */

/* How to go on elsewhere, or here when the server is back. */
static void session_status_put_resume(struct sessions *sessions, struct core *core, uint32_t conn)
{
    struct reply *reply = &sessions->reply;
    uint32_t channels[SESSION_NOTICE_CURSORS_MAX + 1];
    uint32_t turn = 0;
    uint32_t count =
        core_conn_channels(core, conn, &turn, channels, SESSION_NOTICE_CURSORS_MAX + 1);
    assert_always(count <= SESSION_NOTICE_CURSORS_MAX + 1);
    reply_text(reply, ",\"resume\":{\"epoch\":\"");
    reply_text(reply, sessions->options.epoch);
    reply_text(reply, "\",\"cursors\":");
    if (count > SESSION_NOTICE_CURSORS_MAX || !core_conn_is_current(core, conn)) {
        reply_text(reply, "null");
    } else {
        reply_text(reply, "{");
        for (uint32_t i = 0; i < count; i++) {
            session_heartbeat_put_channel(reply, i, channels[i]);
            reply_u64(reply, core_next_seq(core, conn, channels[i]) - 1);
        }
        reply_text(reply, "}");
    }
    reply_text(reply, ",\"rule\":\"the seq of the last frame received of each channel\"}");
}

void session_status_drain(struct sessions *sessions, struct core *core, uint32_t conn,
                          uint64_t close_ns, uint64_t end_ns)
{
    struct reply *reply = &sessions->reply;
    reply_begin(reply, "NOTICE", "", session_wall_ns());
    reply_print(reply,
                "{\"event\":\"DRAIN\",\"deadline_ms\":%" PRIu64 ",\"retry_after_ms\":%" PRIu64,
                end_ns / NS_PER_MS, close_ns / NS_PER_MS);
    session_status_put_resume(sessions, core, conn);
    reply_text(reply, "}");
    session_answer_put(sessions, core, conn);
}
