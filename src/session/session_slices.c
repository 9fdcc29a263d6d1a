/* Requests that cost much: answered in slices, and charged. */
#include <stdlib.h>

#include "src/session/session_state.h"

/* A request that goes on, and the answer as far as it is written. While it does, sessions->reply
 * and the others are these; in between they are kept here. */
struct session_job {
    struct session_call call;
    struct request request; /* call.request */
    struct reply reply, failed, definitions, gaps;
    bool is_started;
    bool is_dropped; /* while it runs */
};

void session_spend(struct session_call *call, uint32_t units)
{
    call->units += units;
    core_spend(call->core, units);
}

bool session_must_wait(const struct session_call *call)
{
    return !call->is_whole && core_slice_is_over(call->core);
}

/* ---- Walks ---- */

bool session_for_each_name(struct session_call *call,
                           bool (*visit)(struct session_call *call,
                                         const struct session_name *name))
{
    struct session_place *at = &call->at;
    while (at->name < call->request->symbol_count && call->session->number != 0) {
        bool is_wanted = (call->request->types & (1u << at->type)) != 0;
        if (is_wanted && session_must_wait(call)) {
            return false;
        }
        if (is_wanted) {
            struct session_name name = {.type = (enum md_type)at->type};
            name.text = request_symbol(call->request, at->name, &name.bytes);
            name.variant = session_variant(call, name.type);
            name.is_repeated = request_is_repeated(call->request, at->name);
            if (!visit(call, &name)) {
                return false;
            }
            session_spend(call, SESSION_NAME_UNITS); /* Afterwards: each slice comes further. */
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

bool session_for_each_channel(struct session_call *call,
                              bool (*visit)(struct session_call *call, uint32_t i,
                                            const struct channel *channel))
{
    const struct channels *channels = call->sessions->options.channels;
    struct session_place *at = &call->at;
    bool goes_on = true;
    while (goes_on && at->channel < channels_count(channels) && call->session->number != 0) {
        if (session_must_wait(call)) {
            return false;
        }
        uint32_t end = channels_count(channels);
        end = end - at->channel > SESSION_SCAN_CHANNELS ? at->channel + SESSION_SCAN_CHANNELS : end;
        session_spend(call, SESSION_SCAN_UNITS);
        uint64_t units_max = call->units + SESSION_SCAN_UNITS;
        while (goes_on && at->channel < end && call->units < units_max &&
               call->session->number != 0) {
            goes_on = visit(call, at->channel, channels_get(channels, at->channel));
            at->channel++;
        }
    }
    at->seen = at->channel;
    at->channel = 0;
    return true;
}

bool session_for_each_cursor(struct session_call *call,
                             void (*visit)(struct session_call *call, struct request_cursor cursor))
{
    struct session_place *at = &call->at;
    while (at->name < call->request->cursor_count && call->session->number != 0) {
        if (session_must_wait(call)) {
            return false;
        }
        session_spend(call, SESSION_NAME_UNITS);
        visit(call, request_cursor(call->request, at->name++));
    }
    at->name = 0;
    return true;
}

/* ---- Jobs ---- */

static bool session_answer_on(struct session_call *call)
{
    switch (call->request->type) {
    case REQUEST_SUBSCRIBE:
        return session_subscribe(call);
    case REQUEST_UNSUBSCRIBE:
        return session_unsubscribe(call);
    case REQUEST_LIST:
        return session_list(call);
    case REQUEST_MODIFY:
        return session_modify(call);
    case REQUEST_SNAPSHOT:
        return session_snapshot(call);
    case REQUEST_RESUME:
        return session_resume(call);
    case REQUEST_REPLAY:
        return session_replay(call);
    case REQUEST_PING:
        session_pong(call);
        return true;
    case REQUEST_STATUS:
        session_status(call);
        return true;
    case REQUEST_HEARTBEAT:
        session_spend(call, SESSION_HEARTBEAT_UNITS);
        session_heartbeat(call->sessions, call->core, call->conn, call->request->id);
        return true;
    case REQUEST_AUTH:
        return session_authenticate(call);
    case REQUEST_NONE:
        return true;
    }
    return true;
}

static bool session_is_short(enum request_type type)
{
    return type == REQUEST_PING || type == REQUEST_STATUS || type == REQUEST_HEARTBEAT ||
           type == REQUEST_AUTH;
}

static void session_end_call(struct session_call *call)
{
    session_charge(call);
    free(call->snapshots);
    free(call->replay);
}

static void session_swap(struct reply *left, struct reply *right)
{
    struct reply kept = *left;
    *left = *right;
    *right = kept;
}

static void session_swap_replies(struct sessions *sessions, struct session_job *job)
{
    session_swap(&sessions->reply, &job->reply);
    session_swap(&sessions->failed, &job->failed);
    session_swap(&sessions->definitions, &job->definitions);
    session_swap(&sessions->gaps, &job->gaps);
}

static void session_forget_replies(struct sessions *sessions)
{
    reply_trim(&sessions->reply);
    reply_trim(&sessions->failed);
    reply_trim(&sessions->definitions);
    reply_trim(&sessions->gaps);
}

/* The message goes on in a later slice. request: is taken over. */
static void session_begin_job(struct session_call *call, struct request *request, bool is_started)
{
    static const struct request_error error = {
        .code = PROTOCOL_INTERNAL,
        .message = "no memory for the rest of it; LIST tells what is subscribed",
    };
    struct sessions *sessions = call->sessions;
    struct session_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        session_send_error(sessions, call->core, call->conn, request->id, &error);
        session_forget_replies(sessions);
        session_end_call(call);
        return;
    }
    job->call = *call; /* snapshots and replay are the job's now. */
    job->request = *request;
    job->call.request = &job->request;
    job->is_started = is_started;
    *request = (struct request){.type = REQUEST_NONE};
    sessions->started_count += is_started;
    if (is_started) {
        session_swap_replies(sessions, job);
    }
    sessions->jobs[call->conn] = job;
    core_hold(call->core, call->conn);
}

void session_drop_job(struct sessions *sessions, uint32_t conn)
{
    struct session_job *job = sessions->jobs[conn];
    if (job == NULL) {
        return;
    }
    if (job == sessions->running) {
        job->is_dropped = true; /* at the end of its slice */
        return;
    }
    sessions->jobs[conn] = NULL;
    sessions->started_count -= job->is_started;
    session_end_call(&job->call);
    reply_deinit(&job->reply);
    reply_deinit(&job->failed);
    reply_deinit(&job->definitions);
    reply_deinit(&job->gaps);
    request_deinit(&job->request);
    free(job);
}

void session_answer(struct session_call *call, struct request *request)
{
    bool is_short = session_is_short(request->type);
    if (!is_short && call->sessions->started_count >= SESSION_ANSWERS_STARTED_MAX) {
        session_begin_job(call, request, false);
    } else if (session_answer_on(call)) {
        session_end_call(call);
    } else if (call->session->number == 0) {
        session_forget_replies(call->sessions);
        session_end_call(call);
    } else {
        session_begin_job(call, request, true);
    }
}

bool session_on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    struct session_job *job = sessions->jobs[conn];
    assert_always(job != NULL);
    if (!job->is_started && sessions->started_count >= SESSION_ANSWERS_STARTED_MAX) {
        core_spend(core, 1);
        return false;
    }
    sessions->started_count += !job->is_started;
    job->is_started = true;
    job->call.now_ns = now_ns;
    sessions->running = job;
    session_swap_replies(sessions, job);
    bool is_done = session_answer_on(&job->call) || job->is_dropped;
    session_swap_replies(sessions, job);
    sessions->running = NULL;
    if (is_done) {
        session_drop_job(sessions, conn);
    }
    return is_done;
}

/* At once: one whose client does not even read its Close would keep others waiting. */
void session_on_drop(void *context, struct core *core, uint32_t conn)
{
    (void)core;
    session_drop_job(context, conn);
}
