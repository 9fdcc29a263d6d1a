/*
 * session_state: the inside of sessions, shared by session.c, session_slices.c,
 * session_subscribe.c, session_unsubscribe.c, session_define.c, session_history.c,
 * session_books.c, session_status.c and session_access.c, and by nobody else.
 *
 * Threads  The core's that the table belongs to.
 */
#ifndef RINGCAST_SRC_SESSION_STATE_H
#define RINGCAST_SRC_SESSION_STATE_H

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/pattern.h"
#include "src/session/reply.h"
#include "src/session/request.h"
#include "src/session/session.h"
#include "src/session/session_slices.h"

#define SESSION_PATTERNS_MAX 100 /* per client; told in WELCOME */

static_assert(CHANNELS_VARIANTS_GROUP < CORE_GROUPS_MAX, "types, and the variants of all of them");

/* The tag of a subscription in the core: who asked for it, and with what policy. */
enum session_tag {
    SESSION_BY_PATTERN = 0,
    SESSION_EXACT = 1,
    SESSION_POLICY_SHIFT = 1,
};

/* Any pattern but "*", which is a subscription of a whole group in the core. */
struct session_pattern {
    uint8_t type;   /* enum md_type */
    uint8_t policy; /* enum lag_policy */
    uint8_t bytes;
    uint16_t max_lag_ms; /* 0: none */
    char text[PATTERN_BYTES_MAX];
    uint32_t covered;    /* so many channels, of those that were counted */
    uint32_t counted_to; /* channels are never taken back, so that none is counted twice */
};

/* The first that covers a channel gives it its policy. */
struct session_patterns {
    uint32_t place; /* in sessions->pattern_conns */
    uint32_t count;
    struct session_pattern entries[]; /* in the order they came */
};

/* Exact subscriptions are kept by the core alone. */
struct session {
    uint64_t number;                   /* from 1; 0: not open */
    struct session_patterns *patterns; /* NULL: none */
    uint32_t exact_count : 20;
    uint32_t derived_count : 12; /* of the exact ones: those of variants */
    uint32_t heartbeat_turn;
    uint8_t star_types; /* bit mask of the types subscribed by "*" */
    uint8_t star_policies[MD_TYPE_COUNT];
    uint16_t replayed_count; /* channels that will be exact ones when their replay has ended */
};
static_assert(sizeof(struct session) == 32, "counted per client");

/* What access control knows of a conn. Zeroes, never written: nothing is asked of it. */
struct session_access {
    struct core_source client; /* when has_client */
    bool has_client;
    bool awaits_token;
    bool was_warned;           /* of the token's end */
    uint16_t refused_count;    /* messages over the rate, more than were answered */
    uint32_t entry_plus_1;     /* in the table of addresses; 0: none */
    uint64_t messages_full_ns; /* see rate_take() */
    uint64_t ends_ns;          /* when the token ends, or must have come; 0: never */
    struct access_grant grant;
};
static_assert(sizeof(struct session_access) <= 184, "counted per client that is not spared");

/* A book that is asked for, until all of it was sent. */
struct session_book {
    uint32_t conn;
    uint32_t slot; /* of book_images; BOOK_IMAGES_NONE: another of this client goes first */
    uint32_t channel;
    uint32_t sent; /* parts */
    uint64_t session_number;
    uint64_t taken_ns;                    /* when the client last took something of a book */
    uint64_t begun_ns;                    /* when it was answered */
    bool is_due, is_answered, is_dropped; /* no other goes first; dropped by a smaller scope */
    char id[REQUEST_ID_TEXT_BYTES_MAX];
};

#define SESSION_WELCOME_BYTES_MAX 512

struct sessions {
    struct session_options options;
    struct session *slab; /* by conn */
    uint32_t slab_count;
    struct session_access *access_slab; /* by conn; NULL without access control */
    uint64_t audit_full_ns;             /* see rate_take() */
    uint32_t audit_skipped;
    uint64_t newest_number;
    uint32_t *pattern_conns; /* conns that have patterns, in no order */
    uint32_t pattern_conn_count;
    struct ws_inflate *inflate; /* NULL: no compression */
    struct recoder *recoder;
    struct reply reply;
    struct reply failed; /* The second list of a reply, until it is appended. */
    struct reply definitions;
    struct reply gaps;         /* The third one of RESUMED. */
    struct session_job **jobs; /* by conn; NULL: none */
    struct session_job *running;
    uint32_t started_count;                 /* jobs that have begun their answer */
    uint32_t group_counts[CORE_GROUPS_MAX]; /* channels, of those before the next */
    uint32_t groups_counted_to;
    uint32_t book_count;
    struct session_book books[BOOK_IMAGES_MAX]; /* in the order they were asked for */
    char welcome_rest[SESSION_WELCOME_BYTES_MAX];
};

/* How far the answer to a message has come: all that a next slice goes on from. */
struct session_place {
    uint8_t step;      /* of the request */
    uint8_t name_step; /* of one name */
    uint8_t type;
    bool is_changed; /* the settings of the pattern */
    bool is_defining;
    uint32_t name; /* symbol, cursor or pattern */
    uint32_t channel;
    uint32_t seen;   /* how many channels the last walk through them saw */
    int64_t covered; /* or a negative errno */
    struct session_pattern pattern;
};

/* A client's message while it is being answered. The core may close the conn within any call, so
 * that session->patterns may be gone afterwards. */
struct session_call {
    struct sessions *sessions;
    struct session *session;
    struct core *core;
    uint32_t conn;
    const struct request *request;
    uint64_t now_ns;
    uint64_t received_ns;     /* wall clock */
    uint64_t units;           /* that it has cost so far */
    bool is_whole;            /* It cannot wait for another slice. */
    uint32_t forbidden_count; /* entries refused with 103 */
    uint32_t book_count;      /* books that SNAPSHOT asked for */
    struct session_place at;
    struct session_snapshots *snapshots; /* of SNAPSHOT, owned; see session_history.c */
    struct session_replay *replay;       /* of REPLAY, owned */
};

/* A symbol or pattern, a type and a variant of it. */
struct session_name {
    const char *text;
    size_t bytes;
    enum md_type type;
    struct variant variant;
    bool is_repeated; /* in its message */
};

static inline struct session *session_of(struct sessions *sessions, uint32_t conn)
{
    assert_always(conn < sessions->slab_count);
    return &sessions->slab[conn];
}

static inline uint32_t session_pattern_count(const struct session *session)
{
    return session->patterns == NULL ? 0 : session->patterns->count;
}

/* Entries, as the limit counts them. */
static inline uint32_t session_subscription_count(const struct session *session)
{
    return session->exact_count + session->replayed_count + session_pattern_count(session) +
           (uint32_t)__builtin_popcount(session->star_types);
}

/* session.c */
uint64_t session_wall_ns(void);
/* Sends what was written to sessions->reply, and gives back unusual memory. */
void session_send_reply(struct session_call *call);
void session_send_error(struct sessions *sessions, struct core *core, uint32_t conn, const char *id,
                        const struct request_error *error);
/* An entry of a list, without its closing brace. */
void session_begin_entry(struct reply *reply, const struct session_name *name);
/* The same, of a channel that there is. */
void session_begin_channel(struct reply *reply, const struct session_name *name, uint32_t channel);
/* Verdicts go into two lists, ok in sessions->reply and failed in sessions->failed; the end
 * appends the second and sends the answer. */
void session_begin_verdicts(struct session_call *call, const char *type);
void session_end_verdicts(struct session_call *call);

void session_pong(struct session_call *call);

/* How many subscriptions a client may have. */
uint32_t session_limit(const struct sessions *sessions, uint32_t conn);

/* session_access.c: the ops that access control is about, and what they leave to be asked. */
enum core_admission session_on_accept(void *context, struct core *core, uint32_t conn,
                                      uint64_t now_ns, struct core_refusal *refusal_out);
bool session_on_request(void *context, struct core *core, uint32_t conn, uint64_t now_ns,
                        const struct core_request *request, struct core_refusal *refusal_out);
void session_on_leave(void *context, struct core *core, uint32_t conn);
void session_on_tick(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
/* Whether a message is within the rate; otherwise it is answered. */
bool session_may_speak(struct sessions *sessions, struct core *core, uint32_t conn,
                       uint64_t now_ns);
/* Whether a request may be answered before there is a token; otherwise it is refused. */
bool session_may_ask(struct session_call *call);
/* Takes from the rate of messages what an expensive one costs more than others. */
void session_charge(struct session_call *call);
/* What the client may see. */
const struct scope *session_scope(const struct sessions *sessions, uint32_t conn);
bool session_authenticate(struct session_call *call);
/* Asked for outside the scope, count times in one request. */
void session_audit_scope(struct session_call *call, uint32_t count);
/* "203.0.113.9:5123", and who says so where it is another. */
void session_write_client(const struct sessions *sessions, struct core *core, uint32_t conn,
                          char *out, size_t out_bytes);

/* session_define.c: DEFINITION, without which a conn that gets SBE does not know what a frame is
 * of. Frames leave after the request has been answered, so that it comes first. */
bool session_has_definitions(const struct session_call *call);
void session_begin_definitions(struct sessions *sessions);
void session_define(struct sessions *sessions, uint32_t i);
/* For the names of the request, if its conn needs them. */
bool session_define_names(struct session_call *call);
void session_send_definitions(struct sessions *sessions, struct core *core, uint32_t conn);
void session_define_one(struct sessions *sessions, struct core *core, uint32_t conn, uint32_t i);
/* For who subscribes to the whole type. */
void session_define_new_channel(struct sessions *sessions, struct core *core, uint32_t i);

/* session_subscribe.c */
struct session_name session_channel_name(const struct channel *channel);
struct session_name session_pattern_name(const struct session_pattern *pattern);
struct session_name session_star_name(enum md_type type);
void session_refuse(struct session_call *call, const struct session_name *name,
                    enum protocol_code code, const char *message);
bool session_is_star(const struct session_name *name);
bool session_is_pattern(const struct session_name *name);
/* Its place in the list, or the count: there is none. */
uint32_t session_find_pattern(const struct session *session, const struct session_name *name);
/* Out of the list, and into call->at.pattern; then what it covered is left to others, or ended. */
void session_take_pattern(struct session_call *call, uint32_t place);
bool session_release_pattern(struct session_call *call);
/* A channel that lost one of its entries stays with the first pattern that covers it. */
void session_release_channel(struct session_call *call, uint32_t i);
/* A pattern without settings; name: a good one. */
void session_set_pattern(struct session_pattern *pattern, const struct session_name *name);
/* Whether the client subscribes to it, or to the whole type. */
bool session_has_pattern(const struct session *session, const struct session_name *name);
/* A variant's group is no type: no pattern covers it. */
bool session_covers(const struct session_pattern *pattern, const struct channel *channel);
/* The policy that the request asks for, or its type's own. */
enum lag_policy session_policy(const struct session_call *call, const struct session_name *name);
/* Whether that cannot be; the entry is refused then. */
bool session_refuses_policy(struct session_call *call, const struct session_name *name);
bool session_may_see(struct session_call *call, const struct session_name *name);
/* Refuses the entry when the client's token does not open it. */
bool session_is_forbidden(struct session_call *call, const struct session_name *name);
/* Refuses the entry when there are as many subscriptions as there may be. */
bool session_is_full(struct session_call *call, const struct session_name *name);
void session_count_exact(struct session_call *call, uint32_t channel, int change);
uint8_t session_exact_tag(enum lag_policy policy);
/* What the message asks for of this type. */
struct variant session_variant(const struct session_call *call, enum md_type type);
/* Ends what the client's scope does not cover, and lists it in sessions->failed. */
bool session_shrink(struct session_call *call);
void session_tell_dropped(struct session_call *call, const struct session_name *name);
bool session_subscribe(struct session_call *call);
bool session_unsubscribe(struct session_call *call);
bool session_modify(struct session_call *call);
bool session_list(struct session_call *call);
void session_cover_channel(struct sessions *sessions, struct core *core, uint32_t channel);
void session_free_patterns(struct sessions *sessions, struct session *session);

/* session_history.c */
bool session_resume(struct session_call *call);
void session_subscribe_since(struct session_call *call, const struct session_name *name,
                             uint32_t channel);
bool session_snapshot(struct session_call *call);
bool session_replay(struct session_call *call);
const uint8_t *session_recode(void *context, uint32_t encoding, const struct frame_desc *desc,
                              const uint8_t *frame, uint32_t *bytes_out);
void session_on_replay_end(void *context, struct core *core, uint32_t conn,
                           const struct core_replayed *channels, uint32_t count, bool is_whole);

/* session_books.c */
void session_ask_book(struct session_call *call, const struct session_name *name, uint32_t channel);
/* As session_shrink, by the scope that holds now: books of which parts have been sent. */
void session_shrink_books(struct session_call *call);
void session_on_turn(void *context, struct core *core, uint64_t now_ns);

/* session_status.c */
void session_heartbeat(struct sessions *sessions, struct core *core, uint32_t conn, const char *id);
void session_status(struct session_call *call);
void session_lag(struct sessions *sessions, struct core *core, uint32_t conn,
                 const struct core_lag *lag);
void session_drain(struct sessions *sessions, struct core *core, uint32_t conn, uint64_t close_ns,
                   uint64_t end_ns);

#endif
