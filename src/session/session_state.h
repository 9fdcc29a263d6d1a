/*
 * session_state: what a core's sessions keep, as plain data.
 *
 * Owner    session.c makes and frees it; each part is written by the module that its comment names.
 * Threads  The core's that the table belongs to.
 */
#ifndef RINGCAST_SRC_SESSION_STATE_H
#define RINGCAST_SRC_SESSION_STATE_H

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/md.h"
#include "ring/core/core.h"
#include "src/base/log_crowd.h"
#include "src/base/quality.h"
#include "src/request/reply.h"
#include "src/session/session_options.h"
#include "src/session/session_use.h"

#define SESSION_WELCOME_BYTES_MAX 512

static_assert(CHANNELS_VARIANTS_GROUP < CORE_GROUPS_MAX, "types, and the variants of all of them");

struct recoder;
struct session_books;
struct session_heartbeats;
struct session_client;
struct session_job;
struct session_patterns;
struct session_url;
struct session_visit;

/* The tag of a subscription in the core: its origin and its policy. */
enum session_tag {
    SESSION_BY_PATTERN = 0,
    SESSION_EXACT = 1,
    SESSION_POLICY_SHIFT = 1,
};

/* One client. Exact subscriptions are kept by the core alone. */
struct session {
    uint64_t number;                   /* from 1; 0: not open */
    struct session_patterns *patterns; /* NULL: it needs to know of no new channel */
    struct session_use use;
    uint16_t star_policies; /* 2 bits for each type of star_types: see session_star_policy() */
    uint8_t star_types;     /* bit mask of the types subscribed by "*" */
    uint8_t heartbeat_page; /* session_heartbeat: which of its channels the next one names */
    uint16_t quiet_seconds; /* session_heartbeat: without a frame, as far as it has to count */
    uint16_t quiet_frames;  /* session_heartbeat: the last digits of how many were sent by then */
};
static_assert(sizeof(struct session) == 32, "counted per client");

struct sessions {
    struct session_options options;
    uint32_t slab_count;
    struct session *slab;           /* by connection */
    struct session_client *clients; /* by connection; NULL: no policy */
    struct quality *qualities;      /* roll_part, by connection */
    struct session_visit *visits;   /* session_visit, by connection; NULL: no access log */
    uint64_t audit_full_ns;         /* session_client: see rate_take() */
    uint32_t audit_skipped;
    struct access_desk desk; /* when there is access control */
    bool has_other_policy;   /* session_policy: than the one of the start */
    struct log_crowd crowd;
    uint32_t log_producer;
    uint64_t newest_number;
    /* session_patterns: connections that need to know of new channels. The first current_count of
     * them know of all. */
    uint32_t *watchers;
    uint32_t watcher_count;
    uint32_t current_count;
    struct ws_inflate *inflate; /* NULL: no compression */
    struct recoder *recoder;
    struct session_books *books;
    struct session_heartbeats *heartbeats;
    struct reply reply;
    struct reply failed; /* The second list of a reply, until it is appended. */
    struct reply definitions;
    struct reply gaps;                      /* The third one of RESUMED. */
    struct session_job **jobs;              /* session_jobs, by connection; NULL: none */
    struct session_url **urls;              /* session_url, likewise */
    uint32_t started_count;                 /* jobs that have begun their answer */
    uint32_t group_counts[CORE_GROUPS_MAX]; /* session_watch: channels, of those before the next */
    uint32_t groups_counted_to;
    char welcome_rest[SESSION_WELCOME_BYTES_MAX];
};

static inline struct session *session_of(struct sessions *sessions, uint32_t conn)
{
    assert_always(conn < sessions->slab_count);
    return &sessions->slab[conn];
}

#define SESSION_STAR_POLICY_BITS 2

static_assert(LAG_DISCONNECT < 1 << SESSION_STAR_POLICY_BITS, "a policy fits");

static inline enum lag_policy session_star_policy(const struct session *session, enum md_type type)
{
    unsigned shift = SESSION_STAR_POLICY_BITS * (unsigned)type;
    return (enum lag_policy)(session->star_policies >> shift & 3u);
}

static inline void session_set_star_policy(struct session *session, enum md_type type,
                                           enum lag_policy policy)
{
    unsigned shift = SESSION_STAR_POLICY_BITS * (unsigned)type;
    assert_debug((unsigned)type < MD_TYPE_COUNT);
    session->star_policies =
        (uint16_t)((session->star_policies & ~(3u << shift)) | (unsigned)policy << shift);
}

static inline uint64_t session_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

#endif
