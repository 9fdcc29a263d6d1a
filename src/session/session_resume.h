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

#endif
