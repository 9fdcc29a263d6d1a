/*
 * sim_subscriber: a client that speaks the client protocol, and what it knows it may be sent.
 *
 * Owner    sim_subscriber.c (what comes) and sim_requests.c (what is asked and answered).
 */
#ifndef RINGCAST_TESTS_SIM_SUBSCRIBER_H
#define RINGCAST_TESTS_SIM_SUBSCRIBER_H

#include "codec/ws_deflate.h"
#include "tests/sim_system.h"

#define SUBSCRIBER_PATTERNS_MAX 8
#define SUBSCRIBER_SNAPSHOTS_MAX 16
#define SUBSCRIBER_BOOKS_MAX 16

enum subscriber_state {
    SUBSCRIBER_AWAY,
    SUBSCRIBER_SHAKING,
    SUBSCRIBER_READY,
};

enum ask_kind {
    ASK_NO,
    ASK_AUTH,
    ASK_SUBSCRIBE,
    ASK_UNSUBSCRIBE,
    ASK_MODIFY,
    ASK_LIST,
    ASK_SNAPSHOT,
    ASK_REPLAY,
    ASK_RESUME,
    ASK_HEARTBEAT,
    ASK_PING,
    ASK_STATUS,
    ASK_SYMBOLS,
    ASK_BAD,
};

/* What is expected of a channel next. */
struct expected {
    bool is_due;   /* covered by an entry, or replayed */
    uint64_t next; /* 0: only that it is at most high */
    uint64_t high;
    /* Conflated at some time since its last frame: what was passed over then is told by no GAP. */
    bool conflated;
    bool snapshot;     /* The newest frame, next - 1, may come first. */
    bool restart_due;  /* The next GAP says that the epoch is another, */
    bool overrun_due;  /* or that not all is there. */
    uint64_t past_seq; /* Frames up to it are of before a RESUME or replay: none is conflated. */
    bool is_replayed;
    bool jumped; /* in a replay */
};

struct entry {
    bool is_there;
    enum lag_policy policy;
    uint32_t max_lag_ms;
};

/* A channel as this client knows it: numbers of derived channels may have other names later. */
struct channel_name {
    const char *symbol; /* one of the world's; NULL: not known */
    enum md_type type;
    struct variant variant;
};

struct pattern_entry {
    char text[16]; /* empty: free */
    enum md_type type;
    uint64_t place; /* in the order in which they were subscribed */
    struct entry entry;
};

struct asked {
    enum ask_kind kind;
    uint64_t id;
    uint32_t unused_count; /* keys that no message has */
    struct entry entry;    /* of what is subscribed */
    bool policy_is_given, max_lag_is_given;
    bool snapshot;
    bool is_of_all;        /* UNSUBSCRIBE of everything */
    bool replay_ends;      /* It has a "to". */
    uint64_t replay_from;  /* 0: a time */
    uint32_t verdicts_due; /* of SNAPSHOT */
    const char *token;
};

struct book_parts {
    uint32_t channel;
    uint64_t as_of;
    uint32_t next, parts; /* 0 parts: free */
};

struct subscriber {
    enum subscriber_state state;
    struct sim_peer peer;
    struct ws_inflate *inflate;
    uint32_t encoding; /* enum core_encoding_number */
    uint64_t stalled_until_ns;
    size_t read_max;
    struct asked asked;
    struct asked url;  /* by the URL of its request; ASK_NO: nothing, or it is answered */
    const char *token; /* that it may go by; NULL: none */
    bool may_be_cut;   /* Asked for "disconnect" once. */
    bool has_lag_limit;
    bool is_closed; /* by the server */
    bool was_told_of_drain;
    bool left_conflated; /* What was passed over and never told, it cannot count. */
    bool has_replay, replay_ends;
    struct asked replay_asked;
    bool is_welcome, wants_to_leave, resumes_next;
    uint64_t received, lost, conflated;
    uint64_t entry_count;
    struct expected expected[WORLD_CHANNELS_MAX];
    struct entry exact[WORLD_CHANNELS_MAX];
    struct channel_name names[WORLD_CHANNELS_MAX]; /* as answers have told */
    struct pattern_entry patterns[SUBSCRIBER_PATTERNS_MAX];
    struct {
        uint32_t channel;
        uint64_t seq;
    } snapshots[SUBSCRIBER_SNAPSHOTS_MAX]; /* that come next, */
    uint32_t snapshot_count;               /* so many */
    struct book_parts books[SUBSCRIBER_BOOKS_MAX];
    bool is_defined[WORLD_CHANNELS_MAX]; /* by a DEFINITION */
    /* Kept when it connects again. */
    uint64_t cursors[WORLD_CHANNELS_MAX]; /* 1 + the last seq it got; 0: none */
    char epoch[17];                       /* of the cursors; empty: none */
};

/* Whether a token opens a symbol or pattern. */
bool token_opens(const char *token, const char *text, enum md_type type);

struct channel_name subscriber_name(const struct subscriber *subscriber, uint32_t channel);
bool subscriber_is_covered(const struct subscriber *subscriber, uint32_t channel);
/* What comes next may have others before it that are passed over. */
bool subscriber_conflates(const struct subscriber *subscriber, uint32_t channel);
/* After entries came or went. */
void subscriber_settle(struct subscriber *subscriber);
void subscriber_remember(struct subscriber *subscriber);

/* With SIM_CLIENT=NUMBER in the environment: what that client says and hears. */
void subscriber_trace(const struct subscriber *subscriber, const char *arrow, const char *text);

void subscriber_ask(struct subscriber *subscriber);
void subscriber_ask_token(struct subscriber *subscriber, const char *token);
void subscriber_ask_resume(struct subscriber *subscriber);
/* What a request subscribes by its URL; valid until something else is asked. */
const char *subscriber_ask_by_url(struct subscriber *subscriber);
/* A control message that answers something. false: it is none. */
bool subscriber_on_answer(struct subscriber *subscriber, const char *type, const char *answer,
                          size_t answer_bytes, json_t *message, json_t *data);

#endif
