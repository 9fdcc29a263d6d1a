/*
 * session_url: what the URL of a connection's request subscribes, kept as text until the connection
 * may subscribe: until it is open, and has shown its token where one is needed.
 *
 * Memory   A pointer for each connection, and the text (HANDSHAKE_TARGET_BYTES_MAX at most).
 */
#ifndef RINGCAST_SRC_SESSION_URL_H
#define RINGCAST_SRC_SESSION_URL_H

#include "src/request/request.h"
#include "src/session/session_state.h"

/* rest: of the request's target. false: no memory. */
bool session_url_keep(struct sessions *sessions, uint32_t conn, struct handshake_slice rest);
void session_url_drop(struct sessions *sessions, uint32_t conn);
/* Whether there is one, and the connection may subscribe. */
bool session_url_is_due(const struct sessions *sessions, uint32_t conn);
/* Reads it as request_url_parse does, and forgets it. Returns its length. */
size_t session_url_take(struct sessions *sessions, uint32_t conn, struct request *request,
                        struct request_error *error_out);

#endif
