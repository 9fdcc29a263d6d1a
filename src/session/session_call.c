#include "src/session/session_call.h"

void session_call_spend(struct session_call *call, uint32_t units)
{
    call->units += units;
    core_spend(call->core, units);
}

bool session_call_must_wait(const struct session_call *call)
{
    return !call->is_whole && core_slice_is_over(call->core);
}

/* ---- Walks ---- */

bool session_call_each_name(struct session_call *call,
                            bool (*visit)(struct session_call *call,
                                          const struct session_name *name))
{
    struct session_place *at = &call->at;
    while (at->name < call->request->symbol_count) {
        assert_debug(at->type < MD_TYPE_COUNT);
        uint32_t types = request_types_of(call->request, at->name);
        bool is_wanted = (types & (1u << at->type)) != 0;
        if (is_wanted && session_call_must_wait(call)) {
            return false;
        }
        if (is_wanted) {
            struct session_name name = {.type = (enum md_type)at->type};
            name.text = request_symbol(call->request, at->name, &name.bytes);
            name.variant = request_variant_of(call->request, at->name, name.type);
            name.is_repeated = request_is_repeated(call->request, at->name);
            if (!visit(call, &name)) {
                return false;
            }
            session_call_spend(call,
                               SESSION_NAME_UNITS); /* Afterwards: each slice comes further. */
        }
        if (++at->type == MD_TYPE_COUNT) {
            at->type = 0;
            at->name++;
        }
    }
    at->name = 0;
    at->type = 0;
    return true;
}

bool session_call_each_channel(struct session_call *call,
                               bool (*visit)(struct session_call *call, uint32_t i,
                                             const struct channel *channel))
{
    const struct channels *channels = call->sessions->options.channels;
    struct session_place *at = &call->at;
    bool goes_on = true;
    while (goes_on && at->channel < channels_count(channels)) {
        if (session_call_must_wait(call)) {
            return false;
        }
        uint32_t end = channels_count(channels);
        end = end - at->channel > SESSION_SCAN_CHANNELS ? at->channel + SESSION_SCAN_CHANNELS : end;
        session_call_spend(call, SESSION_SCAN_UNITS);
        uint64_t units_max = call->units + SESSION_SCAN_UNITS;
        while (goes_on && at->channel < end && call->units < units_max) {
            goes_on = visit(call, at->channel, channels_get(channels, at->channel));
            at->channel++;
        }
    }
    assert_debug(at->channel <= channels_count(channels));
    at->seen = at->channel;
    at->channel = 0;
    return true;
}

bool session_call_each_cursor(struct session_call *call,
                              void (*visit)(struct session_call *call,
                                            struct request_cursor cursor))
{
    struct session_place *at = &call->at;
    while (at->name < call->request->cursor_count) {
        if (session_call_must_wait(call)) {
            return false;
        }
        session_call_spend(call, SESSION_NAME_UNITS);
        visit(call, request_cursor(call->request, at->name++));
    }
    at->name = 0;
    return true;
}
