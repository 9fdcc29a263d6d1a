/*
 * session_jobs: which verb answers a message, and answers that take more than one slice.
 *
 * Memory   A job for each message that goes on: at most one a connection, of about the message's
 *          size. SESSION_ANSWERS_STARTED_MAX of them have a part of their answer.
 */
#ifndef RINGCAST_SRC_SESSION_JOBS_H
#define RINGCAST_SRC_SESSION_JOBS_H

#include "src/session/session_call.h"

#define SESSION_ANSWERS_STARTED_MAX 16 /* at a time; the others wait */

/* request: is taken over. */
void session_jobs_answer(struct session_call *call, struct request *request);
/* What the URL of its request subscribes, once it is due; otherwise nothing. */
void session_jobs_answer_url(struct sessions *sessions, struct core *core, uint32_t conn,
                             uint64_t now_ns);
/* The job of a connection that ends. */
void session_jobs_drop(struct sessions *sessions, uint32_t conn);

/* The policy has changed: what is being answered was checked in part by the one before. */
void session_jobs_judge(struct sessions *sessions, uint32_t conn);
/* The client has another scope: ends what that does not cover, once no message of its is being
 * answered. Until then it is sent no frame. */
void session_jobs_shrink(struct sessions *sessions, struct core *core, uint32_t conn,
                         uint64_t now_ns);

bool session_jobs_on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
void session_jobs_on_drop(void *context, struct core *core, uint32_t conn);

#endif
