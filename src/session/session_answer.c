#include "src/session/session_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/request/request_keys.h"
#include "src/session/session_client.h"

void session_answer_text(struct core *core, uint32_t conn, const struct reply *reply)
{
    if (reply->failed) { /* Without this message the client would wait, or misread others. */
        core_close(core, conn, 4108, "no memory for a message");
    } else {
        core_send_text(core, conn, reply->text, reply->bytes);
    }
}

void session_answer_warn(struct sessions *sessions, struct core *core,
                         const struct request *request)
{
    if (request != NULL) {
        core_spend(core, SESSION_WARNING_UNITS * request_keys_warn(request, &sessions->reply));
    }
}

void session_answer_error(struct sessions *sessions, struct core *core, uint32_t conn,
                          const struct request *request, const struct request_error *error)
{
    struct reply *reply = &sessions->reply;
    bool retry = error->retry || error->code == PROTOCOL_INTERNAL ||
                 error->code == PROTOCOL_TOO_MANY_REQUESTS;
    reply_begin(reply, "ERROR", request == NULL ? "" : request->id, session_wall_ns());
    reply_print(reply, "{\"code\":%d,\"message\":", (int)error->code);
    reply_string(reply, error->message, strlen(error->message));
    if (error->field[0] != '\0') {
        reply_print(reply, ",\"field\":");
        reply_string(reply, error->field, strlen(error->field));
    }
    reply_print(reply, ",\"retry\":%s", retry ? "true" : "false");
    session_answer_warn(sessions, core, request);
    reply_text(reply, "}");
    reply_end(reply);
    session_answer_text(core, conn, reply);
}

void session_answer_no_memory(struct session_call *call)
{
    static const struct request_error error = {.code = PROTOCOL_INTERNAL,
                                               .message = "no memory for it"};
    session_answer_error(call->sessions, call->core, call->conn, call->request, &error);
}

void session_answer_put(struct sessions *sessions, struct core *core, uint32_t conn)
{
    struct reply *reply = &sessions->reply;
    reply_end(reply);
    session_answer_text(core, conn, reply);
    reply_trim(reply);
}

/* An answer that the client does not get. */
static void session_answer_lost(struct session_call *call, struct request_error error)
{
    enum request_type type = call->request->type;
    size_t used = strlen(error.message);
    bool only_asks = type == REQUEST_LIST || type == REQUEST_STATUS || type == REQUEST_SYMBOLS;
    snprintf(error.message + used, sizeof error.message - used, "%s",
             only_asks ? "; ask again" : "; send LIST to see what is subscribed");
    session_answer_error(call->sessions, call->core, call->conn, call->request, &error);
}

bool session_answer_send(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    bool is_written = !reply->failed && !call->sessions->failed.failed;
    bool goes_out = is_written && core_has_room(call->core, call->conn, reply->bytes);
    if (goes_out) {
        core_send_text(call->core, call->conn, reply->text, reply->bytes);
    } else if (is_written) {
        session_answer_lost(call, (struct request_error){
                                      .code = PROTOCOL_LIMIT_EXCEEDED,
                                      .retry = true,
                                      .message = "too much data is waiting to be sent to this "
                                                 "client: read it first",
                                  });
    } else {
        session_answer_lost(call, (struct request_error){
                                      .code = PROTOCOL_INTERNAL,
                                      .message = "no memory for the answer",
                                  });
    }
    reply_trim(reply);
    reply_trim(&call->sessions->failed);
    return goes_out;
}

/* ---- Entries ---- */

void session_answer_entry(struct reply *reply, const struct session_name *name)
{
    assert_debug((unsigned)name->type < MD_TYPE_COUNT);
    assert_debug(name->text != NULL);
    if (reply->bytes > 0 && reply->text[reply->bytes - 1] != '[') {
        reply_put(reply, ",", 1);
    }
    reply_text(reply, "{\"symbol\":");
    reply_string(reply, name->text, name->bytes);
    reply_text(reply, ",\"type\":\"");
    reply_text(reply, md_type_name(name->type));
    reply_text(reply, "\"");
    if (name->variant.depth != 0) {
        reply_print(reply, ",\"depth\":%u", name->variant.depth);
    }
    if (name->variant.bar != 0) {
        reply_print(reply, ",\"bar\":\"%s\"", variant_bar_name(name->variant.bar));
    }
    if (name->variant.interval_ms != 0) {
        reply_print(reply, ",\"interval_ms\":%u", name->variant.interval_ms);
    }
}

void session_answer_channel(struct reply *reply, const struct session_name *name, uint32_t channel)
{
    session_answer_entry(reply, name);
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, channel);
}

void session_answer_dropped(struct session_call *call, const struct session_name *name)
{
    session_answer_entry(&call->sessions->failed, name);
    reply_put(&call->sessions->failed, "}", 1);
}

void session_answer_refuse(struct session_call *call, const struct session_name *name,
                           enum protocol_code code, const char *message)
{
    struct reply *failed = &call->sessions->failed;
    call->forbidden_count += code == PROTOCOL_FORBIDDEN;
    assert_debug(code != PROTOCOL_OK);
    bool retry = code == PROTOCOL_UNKNOWN_SYMBOL || code == PROTOCOL_LIMIT_EXCEEDED ||
                 code == PROTOCOL_NOT_AVAILABLE;
    session_call_spend(call, SESSION_ENTRY_UNITS);
    session_answer_entry(failed, name);
    reply_print(failed, ",\"code\":%d,\"message\":\"%s\",\"retry\":%s}", (int)code, message,
                retry ? "true" : "false");
}

/* ---- Verdicts ---- */

void session_answer_begin(struct session_call *call, const char *type)
{
    struct reply *reply = &call->sessions->reply;
    reply_begin(reply, type, call->request->id, session_wall_ns());
    reply_text(reply, "{\"epoch\":\"");
    reply_text(reply, call->sessions->options.epoch);
    reply_text(reply, "\",\"ok\":[");
    reply_put(&call->sessions->failed, "[", 1);
}

bool session_answer_end(struct session_call *call)
{
    session_client_audit_scope(call, call->forbidden_count);
    struct reply *reply = &call->sessions->reply;
    const struct reply *failed = &call->sessions->failed;
    assert_debug(failed->failed || (failed->bytes > 0 && failed->text[0] == '['));
    reply_text(reply, "],\"failed\":");
    reply_put(reply, failed->text, failed->bytes);
    reply_text(reply, "]");
    session_answer_warn(call->sessions, call->core, call->request);
    reply_text(reply, "}");
    reply_end(reply);
    return session_answer_send(call);
}

/* As session_answer_end, with the third list in between. */
void session_answer_end_with_gaps(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    reply_text(&sessions->reply, "],\"gaps\":");
    reply_put(&sessions->reply, sessions->gaps.text, sessions->gaps.bytes);
    sessions->reply.failed |= sessions->gaps.failed;
    session_answer_end(call);
    reply_trim(&sessions->gaps);
}
