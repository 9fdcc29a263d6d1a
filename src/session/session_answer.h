/*
 * session_answer: the words of an answer: entries, verdicts, ERROR.
 *
 * Verdicts go into two lists, ok in sessions->reply and failed in sessions->failed; the end appends
 * the second and sends the answer.
 */
#ifndef RINGCAST_SRC_SESSION_ANSWER_H
#define RINGCAST_SRC_SESSION_ANSWER_H

#include "src/session/session_call.h"

/* Warns of keys that are not used, within data of what is written to sessions->reply. request:
 * NULL: it is no answer. */
void session_answer_warn(struct sessions *sessions, struct core *core,
                         const struct request *request);
/* Sends what was written; a client that there was no memory to write for is closed with 4108. */
void session_answer_text(struct core *core, uint32_t conn, const struct reply *reply);
/* request: NULL: it is of none, or of one that was not read. */
void session_answer_error(struct sessions *sessions, struct core *core, uint32_t conn,
                          const struct request *request, const struct request_error *error);
void session_answer_no_memory(struct session_call *call);
/* Ends what was written to sessions->reply and sends it, whoever it is for. */
void session_answer_put(struct sessions *sessions, struct core *core, uint32_t conn);
/* Sends the answer that was written to sessions->reply, and gives back unusual memory. false: it
 * found no memory or no room, and an ERROR went out in its place. */
bool session_answer_send(struct session_call *call);

/* An entry of a list, without its closing brace. */
void session_answer_entry(struct reply *reply, const struct session_name *name);
/* The same, of a channel that there is. */
void session_answer_channel(struct reply *reply, const struct session_name *name, uint32_t channel);
/* An entry of what a smaller scope has ended, in sessions->failed. */
void session_answer_dropped(struct session_call *call, const struct session_name *name);
void session_answer_refuse(struct session_call *call, const struct session_name *name,
                           enum protocol_code code, const char *message);

void session_answer_begin(struct session_call *call, const char *type);
bool session_answer_end(struct session_call *call);
/* The same, with a third list in between. */
void session_answer_end_with_gaps(struct session_call *call);

#endif
