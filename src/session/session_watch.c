#include "src/session/session_watch.h"

#include "src/session/session_answer.h"
#include "src/session/session_cover.h"
#include "src/session/session_define.h"

/* Of a whole type. */
int64_t session_watch_group_count(struct sessions *sessions, enum md_type type)
{
    const struct channels *channels = sessions->options.channels;
    while (sessions->groups_counted_to < channels_count(channels)) {
        sessions->group_counts[channels_get(channels, sessions->groups_counted_to++)->group]++;
    }
    return sessions->group_counts[type];
}

void session_watch_channel(struct sessions *sessions, struct core *core, uint32_t i)
{
    const struct channel *channel = channels_get(sessions->options.channels, i);
    (void)session_watch_group_count(sessions, MD_QUOTE); /* Not from a request's time. */
    if (channel->group == CHANNELS_VARIANTS_GROUP) {
        return; /* No pattern covers it, nor "*". */
    }
    session_define_new_channel(sessions, core, i);
    /* Downwards: a conn that ends on the way is replaced by one that was seen to. */
    for (uint32_t place = sessions->pattern_conn_count; place-- > 0;) {
        if (place >= sessions->pattern_conn_count) {
            continue;
        }
        uint32_t conn = sessions->pattern_conns[place];
        const struct session_pattern *cover =
            session_patterns_find_cover(session_of(sessions, conn), channel);
        if (cover == NULL) {
            continue;
        }
        struct session_pattern pattern = *cover; /* The conn may end on the way. */
        if (core_conn_encoding(core, conn) == CORE_ENCODING_SBE) {
            session_define_one(sessions, core, conn, i);
        }
        if (session_cover_subscribe(core, conn, i, &pattern, false) >= 0) {
            continue;
        }
        static const struct request_error error = {
            .code = PROTOCOL_LIMIT_EXCEEDED,
            .message = "the server has no room for a new channel of your patterns",
        };
        session_answer_error(sessions, core, conn, "", &error);
    }
}
