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

/* ---- Clients that need to know of new channels ---- */

static void session_patterns_swap(struct sessions *sessions, uint32_t place, uint32_t other)
{
    uint32_t *watchers = sessions->watchers;
    assert_always(place < sessions->watcher_count);
    assert_always(other < sessions->watcher_count);
    uint32_t kept = watchers[place];
    watchers[place] = watchers[other];
    watchers[other] = kept;
    session_of(sessions, watchers[place])->patterns->place = place;
    session_of(sessions, watchers[other])->patterns->place = other;
}

bool session_patterns_are_behind(const struct sessions *sessions, const struct session *session)
{
    return session->patterns != NULL && session->patterns->place >= sessions->current_count;
}

void session_patterns_fall_behind(struct sessions *sessions, struct session *session)
{
    assert_always(!session_patterns_are_behind(sessions, session));
    session_patterns_swap(sessions, session->patterns->place, --sessions->current_count);
    assert_debug(session_patterns_are_behind(sessions, session));
}

void session_patterns_catch_up(struct sessions *sessions, struct session *session)
{
    assert_always(session_patterns_are_behind(sessions, session));
    session_patterns_swap(sessions, session->patterns->place, sessions->current_count++);
    assert_debug(!session_patterns_are_behind(sessions, session));
}

int session_patterns_watch(struct sessions *sessions, uint32_t conn)
{
    struct session *session = session_of(sessions, conn);
    if (session->patterns != NULL) {
        return 0;
    }
    session->patterns = calloc(1, sizeof *session->patterns);
    if (session->patterns == NULL) {
        return -ENOMEM;
    }
    assert_always(sessions->watcher_count < sessions->slab_count);
    session->patterns->seen_count = channels_count(sessions->options.channels);
    session->patterns->place = sessions->watcher_count;
    sessions->watchers[sessions->watcher_count++] = conn;
    session_patterns_catch_up(sessions, session);
    return 0;
}

void session_patterns_free(struct sessions *sessions, struct session *session)
{
    if (session->patterns == NULL) {
        return;
    }
    if (!session_patterns_are_behind(sessions, session)) {
        session_patterns_fall_behind(sessions, session);
    }
    session_patterns_swap(sessions, session->patterns->place, sessions->watcher_count - 1);
    sessions->watcher_count--;
    free(session->patterns);
    session->patterns = NULL;
}

/* ---- The list ---- */

int session_patterns_add(struct sessions *sessions, uint32_t conn, const struct session_name *name,
                         enum lag_policy policy)
{
    struct session *session = session_of(sessions, conn);
    if (session_patterns_watch(sessions, conn) < 0) {
        return -ENOMEM;
    }
    uint32_t count = session->patterns->count;
    struct session_patterns *grown =
        realloc(session->patterns, sizeof *grown + (count + 1) * sizeof grown->entries[0]);
    if (grown == NULL) {
        session_patterns_trim(sessions, session);
        return -ENOMEM;
    }
    assert_always(count < SESSION_PATTERNS_MAX);
    session->patterns = grown;
    grown->count = count + 1;
    session_patterns_set(&grown->entries[count], name);
    grown->entries[count].policy = (uint8_t)policy;
    return 0;
}

void session_patterns_remove(struct session *session, uint32_t place)
{
    struct session_patterns *patterns = session->patterns;
    assert_always(place < session_patterns_count(session));
    patterns->count--;
    memmove(&patterns->entries[place], &patterns->entries[place + 1],
            (patterns->count - place) * sizeof patterns->entries[0]);
}

void session_patterns_trim(struct sessions *sessions, struct session *session)
{
    if (session_patterns_count(session) == 0 && session->star_types == 0) {
        session_patterns_free(sessions, session);
    }
}
