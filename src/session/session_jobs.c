#include "src/session/session_jobs.h"

#include <stdlib.h>

#include "codec/base/check.h"
#include "ring/trace.h"
#include "src/session/session_access.h"
#include "src/session/session_answer.h"
#include "src/session/session_client.h"
#include "src/session/session_heartbeat.h"
#include "src/session/session_limits.h"
#include "src/session/session_list.h"
#include "src/session/session_replay.h"
#include "src/session/session_resume.h"
#include "src/session/session_snapshot.h"
#include "src/session/session_status.h"
#include "src/session/session_subscribe.h"
#include "src/session/session_symbols.h"
#include "src/session/session_unsubscribe.h"
#include "src/session/session_url.h"
#include "src/session/session_watch.h"

/* A request that goes on, and the answer as far as it is written. While it does, sessions->reply
 * and the others are these; in between they are kept here. */
struct session_job {
    struct session_call call;
    struct request request; /* call.request */
    struct reply reply, failed, definitions, gaps;
    bool is_started;
};

static bool session_jobs_run_type(struct session_call *call)
{
    switch (call->request->type) {
    case REQUEST_SUBSCRIBE:
        return session_subscribe(call);
    case REQUEST_UNSUBSCRIBE:
        return session_unsubscribe(call);
    case REQUEST_LIST:
        return session_list(call);
    case REQUEST_MODIFY:
        return session_subscribe_modify(call);
    case REQUEST_SNAPSHOT:
        return session_snapshot(call);
    case REQUEST_RESUME:
        return session_resume(call);
    case REQUEST_REPLAY:
        return session_replay(call);
    case REQUEST_PING:
        session_status_pong(call);
        return true;
    case REQUEST_STATUS:
        return session_status(call);
    case REQUEST_HEARTBEAT:
        session_call_spend(call, SESSION_HEARTBEAT_UNITS);
        session_heartbeat(call->sessions, call->core, call->conn, call->request);
        return true;
    case REQUEST_AUTH:
        return session_access_authenticate(call);
    case REQUEST_SYMBOLS:
        return session_symbols(call);
    case REQUEST_NONE:
        return !call->only_shrinks || session_access_shrink(call);
    case REQUEST_TYPE_COUNT:
        return true;
    }
    return true;
}

/* A slice of it. true: it is answered. */
static bool session_jobs_run(struct session_call *call)
{
    enum request_type type = call->request->type;
    trace_message_begin(core_index(call->core), call->conn, type);
    bool is_done = session_jobs_run_type(call);
    trace_message(core_index(call->core), call->conn, type, is_done);
    return is_done;
}

static bool session_jobs_is_short(enum request_type type)
{
    return type == REQUEST_PING || type == REQUEST_HEARTBEAT || type == REQUEST_AUTH;
}

static void session_jobs_end_call(struct session_call *call)
{
    if (!call->only_shrinks) {
        session_limits_charge(call);
    }
    free(call->snapshots);
    free(call->replay);
    free(call->stale);
}

static void session_jobs_swap(struct reply *left, struct reply *right)
{
    struct reply kept = *left;
    *left = *right;
    *right = kept;
}

static void session_jobs_swap_replies(struct sessions *sessions, struct session_job *job)
{
    session_jobs_swap(&sessions->reply, &job->reply);
    session_jobs_swap(&sessions->failed, &job->failed);
    session_jobs_swap(&sessions->definitions, &job->definitions);
    session_jobs_swap(&sessions->gaps, &job->gaps);
}

static void session_jobs_forget_replies(struct sessions *sessions)
{
    reply_trim(&sessions->reply);
    reply_trim(&sessions->failed);
    reply_trim(&sessions->definitions);
    reply_trim(&sessions->gaps);
}

/* The message goes on in a later slice. request: is taken over. */
static void session_jobs_begin(struct session_call *call, struct request *request, bool is_started)
{
    struct sessions *sessions = call->sessions;
    struct session_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        if (is_started) { /* Half of it is done, and may have been answered. */
            core_close(call->core, call->conn, 4108, "no memory for a message");
        } else {
            session_answer_no_memory(call);
        }
        session_jobs_forget_replies(sessions);
        session_jobs_end_call(call);
        return;
    }
    job->call = *call; /* snapshots and replay are the job's now. */
    job->request = *request;
    job->call.request = &job->request;
    job->is_started = is_started;
    *request = (struct request){.type = REQUEST_NONE};
    sessions->started_count += is_started;
    if (is_started) {
        session_jobs_swap_replies(sessions, job);
    }
    assert_always(sessions->jobs[call->conn] == NULL);
    sessions->jobs[call->conn] = job;
    if (!core_is_held(call->core, call->conn)) {
        core_hold(call->core, call->conn);
    }
}

void session_jobs_drop(struct sessions *sessions, uint32_t conn)
{
    struct session_job *job = sessions->jobs[conn];
    if (job == NULL) {
        return;
    }
    assert_always(job->call.conn == conn);
    assert_always(sessions->started_count >= job->is_started);
    sessions->jobs[conn] = NULL;
    sessions->started_count -= job->is_started;
    session_jobs_end_call(&job->call);
    reply_deinit(&job->reply);
    reply_deinit(&job->failed);
    reply_deinit(&job->definitions);
    reply_deinit(&job->gaps);
    request_deinit(&job->request);
    free(job);
}

void session_jobs_answer(struct session_call *call, struct request *request)
{
    bool is_short = session_jobs_is_short(request->type);
    if (!is_short && call->sessions->started_count >= SESSION_ANSWERS_STARTED_MAX) {
        session_jobs_begin(call, request, false);
    } else if (session_jobs_run(call)) {
        session_jobs_end_call(call);
        if (request->type == REQUEST_AUTH) {
            session_jobs_answer_url(call->sessions, call->core, call->conn, call->now_ns);
        }
    } else {
        session_jobs_begin(call, request, !session_access_is_unchecked(call));
    }
}

static struct session_call session_jobs_call(struct sessions *sessions, struct core *core,
                                             uint32_t conn, const struct request *request,
                                             uint64_t now_ns)
{
    return (struct session_call){
        .sessions = sessions,
        .session = session_of(sessions, conn),
        .core = core,
        .conn = conn,
        .request = request,
        .now_ns = now_ns,
    };
}

void session_jobs_answer_url(struct sessions *sessions, struct core *core, uint32_t conn,
                             uint64_t now_ns)
{
    struct request request;
    struct request_error error;
    if (!session_url_is_due(sessions, conn)) {
        return;
    }
    uint32_t units = request_units(session_url_take(sessions, conn, &request, &error));
    struct session_call call = session_jobs_call(sessions, core, conn, &request, now_ns);
    call.units = units;
    core_spend(core, units);
    if (error.code == PROTOCOL_OK) {
        session_jobs_answer(&call, &request);
    } else {
        session_answer_error(sessions, core, conn, &request, &error);
    }
    request_deinit(&request);
}

void session_jobs_judge(struct sessions *sessions, uint32_t conn)
{
    struct session_job *job = sessions->jobs[conn];
    if (job == NULL) {
        return;
    }
    job->call.is_judged = true;
    if (session_access_is_unchecked(&job->call)) {
        job->call.at.name = 0; /* Other keys are tried: from the first one on. */
    } else if (job->request.type == REQUEST_SYMBOLS) {
        job->call.at.listing = (struct symbols_place){.has_begun = false};
    }
}

static void session_jobs_end_uncovered(struct sessions *sessions, struct core *core, uint32_t conn,
                                       uint64_t now_ns)
{
    struct request request = {.type = REQUEST_NONE};
    struct session_call call = session_jobs_call(sessions, core, conn, &request, now_ns);
    call.only_shrinks = true;
    sessions->clients[conn].must_shrink = false;
    session_jobs_answer(&call, &request);
}

void session_jobs_shrink(struct sessions *sessions, struct core *core, uint32_t conn,
                         uint64_t now_ns)
{
    struct request request = {.type = REQUEST_NONE};
    struct session_call call = session_jobs_call(sessions, core, conn, &request, now_ns);
    assert_always(sessions->clients != NULL);
    if (!core_is_held(core, conn)) {
        assert_always(sessions->jobs[conn] == NULL);
        session_jobs_end_uncovered(sessions, core, conn, now_ns);
        return;
    }
    sessions->clients[conn].must_shrink = true;
    session_access_shrink_replay(&call); /* It goes on while a message is answered. */
}

/* true: nothing of the client's is left to be done. */
static bool session_jobs_go_on(struct sessions *sessions, struct core *core, uint32_t conn,
                               uint64_t now_ns)
{
    if (session_patterns_are_behind(sessions, session_of(sessions, conn)) &&
        !session_watch_go_on(sessions, core, conn)) {
        return false;
    }
    struct session_job *job = sessions->jobs[conn];
    if (job == NULL) {
        session_jobs_answer_url(sessions, core, conn, now_ns);
        return sessions->jobs[conn] == NULL;
    }
    if (!job->is_started && !session_access_is_unchecked(&job->call) &&
        sessions->started_count >= SESSION_ANSWERS_STARTED_MAX) {
        core_spend(core, 1);
        return false;
    }
    job->call.now_ns = now_ns;
    session_jobs_swap_replies(sessions, job);
    bool is_done = session_jobs_run(&job->call);
    session_jobs_swap_replies(sessions, job);
    if (is_done) {
        session_jobs_drop(sessions, conn);
    } else if (!job->is_started && !session_access_is_unchecked(&job->call)) {
        assert_always(sessions->started_count < sessions->slab_count);
        sessions->started_count++;
        job->is_started = true;
    }
    return is_done && !session_url_is_due(sessions, conn);
}

bool session_jobs_on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    bool is_done = session_jobs_go_on(sessions, core, conn, now_ns);
    if (!is_done || sessions->clients == NULL || !sessions->clients[conn].must_shrink) {
        return is_done;
    }
    session_jobs_end_uncovered(sessions, core, conn, now_ns);
    return sessions->jobs[conn] == NULL;
}

void session_jobs_on_drop(void *context, struct core *core, uint32_t conn)
{
    (void)core;
    session_jobs_drop(context, conn);
}
