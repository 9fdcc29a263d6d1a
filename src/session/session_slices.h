/*
 * session_slices: requests that cost much, answered in slices and charged.
 *
 * A function that returns false is to be called again with the same call, in a later slice: all
 * that it goes on from is in call->at.
 *
 * Threads  The core's that the sessions belong to.
 * Memory   A request that goes on has a job of its own: as many as conns, of about the message's
 *          size each; SESSION_ANSWERS_STARTED_MAX of them have a part of their answer.
 */
#ifndef RINGCAST_SRC_SESSION_SLICES_H
#define RINGCAST_SRC_SESSION_SLICES_H

#include "src/market/channels.h"
#include "src/session/request.h"

struct session_call;
struct session_job; /* The answer to a message that takes more than one slice. */
struct session_name;
struct sessions;

/* What a request costs, see core_spend(). */
#define SESSION_NAME_UNITS 4  /* a symbol and type, to look it up */
#define SESSION_ENTRY_UNITS 8 /* its entry in an answer */
#define SESSION_COVER_UNITS 6 /* a channel that is subscribed or left with others */
#define SESSION_HEARTBEAT_UNITS 2000
#define SESSION_PATTERNS_PER_UNIT 3 /* matched against a symbol */
#define SESSION_SCAN_CHANNELS 64
#define SESSION_SCAN_UNITS 32          /* for so many channels that are looked at */
#define SESSION_MESSAGE_UNITS 20000    /* what costs more counts as several messages */
#define SESSION_ANSWERS_STARTED_MAX 16 /* at a time; the others wait */

/* Of the name of a pattern, whose channels are walked through. */
enum session_name_step {
    SESSION_NAME_BEGINS,
    SESSION_NAME_COVERS,   /* subscribes them */
    SESSION_NAME_COUNTS,   /* only those that have come since */
    SESSION_NAME_RELEASES, /* leaves them to others, or ends them */
};

void session_answer(struct session_call *call, struct request *request);
bool session_on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
void session_on_drop(void *context, struct core *core, uint32_t conn);
void session_drop_job(struct sessions *sessions, uint32_t conn);
void session_spend(struct session_call *call, uint32_t units);
bool session_must_wait(const struct session_call *call);
/* For each symbol and data type of the request, until the conn ends. */
bool session_for_each_name(struct session_call *call,
                           bool (*visit)(struct session_call *call,
                                         const struct session_name *name));
/* For each channel from call->at.channel on, until the conn ends or visit returns false. */
bool session_for_each_channel(struct session_call *call,
                              bool (*visit)(struct session_call *call, uint32_t i,
                                            const struct channel *channel));
/* For each cursor. */
bool session_for_each_cursor(struct session_call *call,
                             void (*visit)(struct session_call *call,
                                           struct request_cursor cursor));

#endif
