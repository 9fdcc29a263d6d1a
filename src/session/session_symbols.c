#include "src/session/session_symbols.h"

#include "src/session/session_answer.h"
#include "src/session/session_client.h"

static bool session_symbols_may_see(void *context, const char *symbol, size_t symbol_bytes,
                                    unsigned type)
{
    struct session_name name = {.text = symbol, .bytes = symbol_bytes, .type = (enum md_type)type};
    return session_client_may_see(context, &name);
}

bool session_symbols(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    struct symbols_place *place = &call->at.listing;
    const struct symbols_viewer viewer = {session_symbols_may_see, call};
    place->now_ns = call->now_ns;
    if (!place->has_begun) {
        reply_begin(reply, "SYMBOLS", call->request->id, session_wall_ns());
    }
    while (!place->is_done) {
        if (session_call_must_wait(call)) {
            return false;
        }
        session_call_spend(call, symbols_step(call->sessions->options.symbols,
                                              &call->request->listing, &viewer, place, reply));
    }
    session_answer_warn(call->sessions, call->core, call->request);
    reply_text(reply, "}");
    reply_end(reply);
    session_answer_send(call);
    return true;
}
