/*
 * session_name: a symbol or pattern, a type and a variant of it, as messages name them.
 *
 * Memory   Borrowed: from the request, the table of channels or a pattern.
 */
#ifndef RINGCAST_SRC_SESSION_NAME_H
#define RINGCAST_SRC_SESSION_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/md.h"
#include "src/base/pattern.h"
#include "src/market/channels.h"

struct session_name {
    const char *text;
    size_t bytes;
    enum md_type type;
    struct variant variant;
    bool is_repeated; /* in its message */
};

static inline struct session_name session_name_of_channel(const struct channel *channel)
{
    return (struct session_name){.text = channel->symbol,
                                 .bytes = channel->symbol_bytes,
                                 .type = (enum md_type)channel->type,
                                 .variant = channel->variant};
}

/* "*" of a type. */
static inline struct session_name session_name_of_star(enum md_type type)
{
    return (struct session_name){.text = "*", .bytes = 1, .type = type};
}

static inline bool session_name_is_star(const struct session_name *name)
{
    return name->bytes == 1 && name->text[0] == '*';
}

static inline bool session_name_is_pattern(const struct session_name *name)
{
    return pattern_is(name->text, name->bytes);
}

#endif
