#include "src/session/session_patterns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool session_patterns_cover(const struct session_pattern *pattern, const struct channel *channel)
{
    return pattern->type == channel->group &&
           pattern_matches(pattern->text, pattern->bytes, channel->symbol, channel->symbol_bytes);
}

/* The pattern that a channel has its policy from, or NULL. */
const struct session_pattern *session_patterns_find_cover(const struct session *session,
                                                          const struct channel *channel)
{
    for (uint32_t i = 0; i < session_patterns_count(session); i++) {
        if (session_patterns_cover(&session->patterns->entries[i], channel)) {
            return &session->patterns->entries[i];
        }
    }
    return NULL;
}

bool session_patterns_are_same(const struct session_pattern *left,
                               const struct session_pattern *right)
{
    return left->type == right->type && left->bytes == right->bytes &&
           memcmp(left->text, right->text, left->bytes) == 0;
}

uint32_t session_patterns_find(const struct session *session, const struct session_name *name)
{
    uint32_t i = 0;
    while (i < session_patterns_count(session) &&
           (session->patterns->entries[i].type != name->type ||
            session->patterns->entries[i].bytes != name->bytes ||
            memcmp(session->patterns->entries[i].text, name->text, name->bytes) != 0)) {
        i++;
    }
    return i; /* The count: there is none. */
}

void session_patterns_set(struct session_pattern *pattern, const struct session_name *name)
{
    *pattern = (struct session_pattern){
        .type = (uint8_t)name->type,
        .bytes = (uint8_t)name->bytes,
    };
    memcpy(pattern->text, name->text, name->bytes);
}

bool session_patterns_have(const struct session *session, const struct session_name *name)
{
    return session_name_is_star(name)
               ? (session->star_types & (1u << name->type)) != 0
               : session_patterns_find(session, name) < session_patterns_count(session);
}

int session_patterns_add(struct sessions *sessions, uint32_t conn, const struct session_name *name,
                         enum lag_policy policy)
{
    struct session *session = session_of(sessions, conn);
    uint32_t count = session_patterns_count(session);
    struct session_patterns *grown =
        realloc(session->patterns,
                sizeof *session->patterns + (count + 1) * sizeof(struct session_pattern));
    if (grown == NULL) {
        return -ENOMEM;
    }
    if (session->patterns == NULL) {
        grown->place = sessions->pattern_conn_count;
        sessions->pattern_conns[sessions->pattern_conn_count++] = conn;
    }
    session->patterns = grown;
    grown->count = count + 1;
    session_patterns_set(&grown->entries[count], name);
    grown->entries[count].policy = (uint8_t)policy;
    return 0;
}

void session_patterns_free(struct sessions *sessions, struct session *session)
{
    if (session->patterns == NULL) {
        return;
    }
    uint32_t moved = sessions->pattern_conns[--sessions->pattern_conn_count];
    sessions->pattern_conns[session->patterns->place] = moved;
    session_of(sessions, moved)->patterns->place = session->patterns->place;
    free(session->patterns);
    session->patterns = NULL;
}
