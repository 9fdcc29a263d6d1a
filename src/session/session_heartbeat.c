#include "src/session/session_heartbeat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "src/session/session_answer.h"

#define SESSION_HEARTBEAT_LISTS_MAX 16
#define SESSION_HEARTBEAT_DISTANCE_MAX 10000 /* seconds, so that two of them can be counted */

static_assert(3 * SESSION_HEARTBEAT_DISTANCE_MAX < UINT16_MAX, "quiet_seconds counts them");
static_assert(CHANNELS_MAX / SESSION_HEARTBEAT_CHANNELS_MAX < UINT8_MAX, "heartbeat_page");

/* next_seq and hash of a page of channels, as each client with these types is sent it. */
struct session_heartbeat_list {
    uint64_t position; /* of the log, see core_position() */
    uint8_t encoding;
    uint8_t types; /* bit mask; 0: there is no list */
    uint8_t page;
    uint8_t next_page;
    struct reply text;
};

struct session_heartbeats {
    struct session_heartbeat_list lists[SESSION_HEARTBEAT_LISTS_MAX];
};

int session_heartbeat_create(struct sessions *sessions)
{
    sessions->heartbeats = calloc(1, sizeof *sessions->heartbeats);
    return sessions->heartbeats == NULL ? -ENOMEM : 0;
}

void session_heartbeat_destroy(struct sessions *sessions)
{
    for (uint32_t i = 0; sessions->heartbeats != NULL && i < SESSION_HEARTBEAT_LISTS_MAX; i++) {
        reply_deinit(&sessions->heartbeats->lists[i].text);
    }
    free(sessions->heartbeats);
}

/* ---- What it says ---- */

void session_heartbeat_put_channel(struct reply *reply, uint32_t i, uint32_t channel)
{
    reply_text(reply, i == 0 ? "\"" : ",\"");
    reply_u64(reply, channel);
    reply_text(reply, "\":");
}

void session_heartbeat_put_counts(struct reply *reply, const struct core_conn_stats *stats)
{
    reply_print(reply, "\"sent\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"conflated\":%" PRIu64,
                stats->frames_sent, stats->frames_lost, stats->frames_conflated);
}

/* Returns the page that follows. */
static uint8_t session_heartbeat_write(struct core *core, uint32_t conn, uint8_t page,
                                       struct reply *reply)
{
    uint32_t channels[SESSION_HEARTBEAT_CHANNELS_MAX];
    uint32_t first = page * (uint32_t)SESSION_HEARTBEAT_CHANNELS_MAX;
    uint32_t count =
        core_conn_channels(core, conn, &first, channels, SESSION_HEARTBEAT_CHANNELS_MAX);
    if (count == 0 && page > 0) { /* The last page was full, or channels have gone since. */
        first = 0;
        count = core_conn_channels(core, conn, &first, channels, SESSION_HEARTBEAT_CHANNELS_MAX);
    }
    assert_always(count <= SESSION_HEARTBEAT_CHANNELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        session_heartbeat_put_channel(reply, i, channels[i]);
        reply_u64(reply, core_next_seq(core, conn, channels[i]));
    }
    reply_text(reply, "},\"hash\":{");
    for (uint32_t i = 0; i < count; i++) {
        session_heartbeat_put_channel(reply, i, channels[i]);
        reply_hash(reply, core_hash(core, conn, channels[i]));
    }
    assert_debug(first % SESSION_HEARTBEAT_CHANNELS_MAX == 0);
    return (uint8_t)(first / SESSION_HEARTBEAT_CHANNELS_MAX);
}

/* The same for a client that has nothing but whole types; what is still right is used again. */
static uint8_t session_heartbeat_copy(struct sessions *sessions, struct core *core, uint32_t conn,
                                      uint8_t page, struct reply *reply)
{
    uint8_t types = session_of(sessions, conn)->star_types;
    uint8_t encoding = (uint8_t)core_conn_encoding(core, conn);
    uint64_t position = core_position(core, conn);
    struct session_heartbeat_list *list =
        &sessions->heartbeats
             ->lists[(page + types + CORE_ENCODINGS_MAX * encoding) % SESSION_HEARTBEAT_LISTS_MAX];
    assert_debug(types != 0);
    if (list->position != position || list->types != types || list->encoding != encoding ||
        list->page != page || list->text.failed) {
        reply_trim(&list->text);
        list->next_page = session_heartbeat_write(core, conn, page, &list->text);
        list->position = position;
        list->types = types;
        list->encoding = encoding;
        list->page = page;
    }
    reply_put(reply, list->text.text, list->text.bytes);
    reply->failed |= list->text.failed;
    return list->next_page;
}

void session_heartbeat(struct sessions *sessions, struct core *core, uint32_t conn,
                       const struct request *request)
{
    struct session *session = session_of(sessions, conn);
    struct reply *reply = &sessions->reply;
    struct core_conn_stats stats;
    core_conn_stats(core, conn, &stats);
    bool has_types_only =
        session->star_types != 0 &&
        stats.subscription_count == (uint32_t)__builtin_popcount(session->star_types);
    reply_begin(reply, "HEARTBEAT", request == NULL ? "" : request->id, session_wall_ns());
    reply_text(reply, "{\"next_seq\":{");
    /* What a client that is behind has yet to get must not be promised as sent. */
    if (!core_conn_is_current(core, conn)) {
        reply_text(reply, "},\"hash\":{");
    } else if (has_types_only) {
        session->heartbeat_page =
            session_heartbeat_copy(sessions, core, conn, session->heartbeat_page, reply);
    } else {
        session->heartbeat_page =
            session_heartbeat_write(core, conn, session->heartbeat_page, reply);
    }
    reply_text(reply, "},");
    session_heartbeat_put_counts(reply, &stats);
    session_answer_warn(sessions, core, request);
    reply_text(reply, "}");
    session_answer_put(sessions, core, conn);
}

/* ---- When ---- */

static uint32_t session_heartbeat_distance_max(const struct sessions *sessions)
{
    uint64_t seconds = sessions->options.heartbeat_interval_ns / NS_PER_SECOND;
    return seconds == 0                               ? 1
           : seconds > SESSION_HEARTBEAT_DISTANCE_MAX ? SESSION_HEARTBEAT_DISTANCE_MAX
                                                      : (uint32_t)seconds;
}

/* After 1, 3, 7, 15, ... seconds; *distance_out: to the one before. */
static bool session_heartbeat_is_due(uint32_t quiet_seconds, uint32_t distance_max,
                                     uint32_t *distance_out)
{
    uint32_t distance = 1;
    uint32_t due = 1;
    while (due < quiet_seconds) {
        distance = 2 * distance < distance_max ? 2 * distance : distance_max;
        due += distance;
    }
    *distance_out = distance;
    return due == quiet_seconds;
}

void session_heartbeat_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    struct session *session = session_of(sessions, conn);
    uint32_t distance_max = session_heartbeat_distance_max(sessions);
    struct core_conn_stats stats;
    uint32_t distance;
    (void)now_ns;
    core_conn_stats(core, conn, &stats);
    bool has_had_frames = (uint16_t)stats.frames_sent != session->quiet_frames;
    session->quiet_frames = (uint16_t)stats.frames_sent;
    session->quiet_seconds = has_had_frames ? 1 : (uint16_t)(session->quiet_seconds + 1);
    if (!session_heartbeat_is_due(session->quiet_seconds, distance_max, &distance)) {
        return;
    }
    if (distance == distance_max && session->quiet_seconds > 2 * distance_max) {
        session->quiet_seconds = (uint16_t)(session->quiet_seconds - distance_max);
    }
    session_heartbeat(sessions, core, conn, NULL);
}
