/*
 * session_patterns: the patterns that a client subscribes to, and which clients need to know of new
 * channels: those that have patterns, and those that get SBE and subscribe to a whole type.
 *
 * "*" is not a pattern here, but a subscription of a whole group in the core.
 *
 * Memory   One block for each such client. Whatever adds or removes a pattern may move it.
 */
#ifndef RINGCAST_SRC_SESSION_PATTERNS_H
#define RINGCAST_SRC_SESSION_PATTERNS_H

#include "src/session/session_name.h"
#include "src/session/session_state.h"

struct session_pattern {
    uint8_t type;   /* enum md_type */
    uint8_t policy; /* enum lag_policy */
    uint8_t bytes;
    uint16_t max_lag_ms; /* 0: none */
    char text[PATTERN_BYTES_MAX];
    uint32_t covered;    /* channels, of those that were counted */
    uint32_t counted_to; /* channels are never taken back, so that none is counted twice */
};

/* The first that covers a channel gives it its policy. */
struct session_patterns {
    uint32_t place;      /* in sessions->watchers */
    uint32_t seen_count; /* channels below it are defined, and subscribed where a pattern covers */
    uint32_t count;
    struct session_pattern entries[]; /* in the order they came */
};

static inline uint32_t session_patterns_count(const struct session *session)
{
    return session->patterns == NULL ? 0 : session->patterns->count;
}

static inline struct session_name session_patterns_name(const struct session_pattern *pattern)
{
    return (struct session_name){
        .text = pattern->text, .bytes = pattern->bytes, .type = (enum md_type)pattern->type};
}

/* A pattern without settings; name: a good one. */
void session_patterns_set(struct session_pattern *pattern, const struct session_name *name);
bool session_patterns_are_same(const struct session_pattern *left,
                               const struct session_pattern *right);
/* A variant's group is no type: no pattern covers it. */
bool session_patterns_cover(const struct session_pattern *pattern, const struct channel *channel);

/* Its place in the list, or the count: there is none. */
uint32_t session_patterns_find(const struct session *session, const struct session_name *name);
/* Whether the client subscribes to it, or to the whole type. */
bool session_patterns_have(const struct session *session, const struct session_name *name);
/* The pattern that a channel has its policy from, or NULL. */
const struct session_pattern *session_patterns_find_cover(const struct session *session,
                                                          const struct channel *channel);

int session_patterns_add(struct sessions *sessions, uint32_t conn, const struct session_name *name,
                         enum lag_policy policy);
void session_patterns_remove(struct session *session, uint32_t place);

/* The client needs to know of channels from now on. 0, or -ENOMEM. */
int session_patterns_watch(struct sessions *sessions, uint32_t conn);
/* When it has neither patterns nor a whole type, it does not any more. */
void session_patterns_trim(struct sessions *sessions, struct session *session);
void session_patterns_free(struct sessions *sessions, struct session *session);

/* Whether there are channels that the client does not know yet. */
bool session_patterns_are_behind(const struct sessions *sessions, const struct session *session);
void session_patterns_fall_behind(struct sessions *sessions, struct session *session);
void session_patterns_catch_up(struct sessions *sessions, struct session *session);

#endif
