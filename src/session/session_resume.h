/*
 * session_resume: RESUME, and SUBSCRIBE with since.
 */
#ifndef RINGCAST_SRC_SESSION_RESUME_H
#define RINGCAST_SRC_SESSION_RESUME_H

#include "src/session/session_call.h"

bool session_resume(struct session_call *call);
void session_resume_since(struct session_call *call, const struct session_name *name,
                          uint32_t channel);

/* A frame of the JSON log for a client of another encoding: core_ops.recode. */
const uint8_t *session_resume_recode(void *context, uint32_t encoding,
                                     const struct frame_desc *desc, const uint8_t *frame,
                                     uint32_t *bytes_out);

/* What a slice has found, a later one may find to have ended: the number of a variant that nobody
 * holds may get another name. Holds it (channels_hold); false: the entry is refused. */
bool session_resume_hold(struct session_call *call, uint32_t channel, uint64_t first_seq);

#endif
