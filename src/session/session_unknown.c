#include "src/session/session_unknown.h"

#include <stdio.h>

#include "src/session/session_answer.h"
#include "src/session/session_client.h"

#define SESSION_UNKNOWN_BYTES_MAX 200
#define SESSION_UNKNOWN_UNITS (2 * MD_TYPE_COUNT) /* to look up each type */

static bool session_unknown_has(const struct session_call *call, const struct session_name *name,
                                enum md_type type)
{
    return channels_find(call->sessions->options.channels, name->text, name->bytes, type) !=
           CHANNEL_NONE;
}

bool session_unknown_has_source(const struct session_call *call, const struct session_name *name)
{
    return session_unknown_has(call, name, name->type) ||
           (name->variant.bar != 0 && session_unknown_has(call, name, MD_TRADE));
}

/* A bit mask of what the symbol has, as far as the client may see it. */
static uint32_t session_unknown_types(struct session_call *call, const struct session_name *name)
{
    uint32_t types = 0;
    session_call_spend(call, SESSION_UNKNOWN_UNITS);
    for (unsigned i = 0; i < MD_TYPE_COUNT; i++) {
        struct session_name other = {
            .text = name->text, .bytes = name->bytes, .type = (enum md_type)i};
        if (session_unknown_has(call, name, other.type) && session_client_may_see(call, &other)) {
            types |= 1u << i;
        }
    }
    return types;
}

/* The symbol has others; this is not shown to a client that may see none of them. */
static void session_unknown_write(const struct session_name *name, uint32_t types,
                                  char out[SESSION_UNKNOWN_BYTES_MAX])
{
    bool is_bar = name->type == MD_BAR;
    const char *separator = "";
    int bytes =
        snprintf(out, SESSION_UNKNOWN_BYTES_MAX, "this symbol has no %s so far; it has: ",
                 is_bar && name->variant.bar != 0 ? "bar and no trade" : md_type_name(name->type));
    for (unsigned i = 0; i < MD_TYPE_COUNT; i++) {
        if ((types & (1u << i)) != 0) {
            bytes += snprintf(out + bytes, SESSION_UNKNOWN_BYTES_MAX - (size_t)bytes, "%s%s",
                              separator, md_type_name((enum md_type)i));
            separator = ", ";
            assert_always(bytes < SESSION_UNKNOWN_BYTES_MAX);
        }
    }
    if (is_bar && name->variant.bar == 0 && (types & (1u << MD_TRADE)) != 0) {
        snprintf(out + bytes, SESSION_UNKNOWN_BYTES_MAX - (size_t)bytes,
                 "; with bar (" VARIANT_BARS_TEXT ") it has bars built from trades");
    }
}

void session_unknown_refuse(struct session_call *call, const struct session_name *name)
{
    char message[SESSION_UNKNOWN_BYTES_MAX] = "unknown symbol";
    uint32_t types = session_unknown_types(call, name);
    assert_debug(types < 1u << MD_TYPE_COUNT);
    if (!variant_is_none(name->variant) && session_unknown_has_source(call, name)) {
        snprintf(message, sizeof message,
                 "it is computed only while a client subscribes to it, and no client does");
    } else if (types != 0) {
        session_unknown_write(name, types, message);
    }
    session_answer_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, message);
}
