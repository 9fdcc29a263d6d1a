/*
 * session_welcome: what WELCOME says to every client of a core.
 */
#ifndef RINGCAST_SRC_SESSION_WELCOME_H
#define RINGCAST_SRC_SESSION_WELCOME_H

#include "src/session/session_state.h"

/* Writes it anew, after sessions->options have changed. */
void session_welcome_prepare(struct sessions *sessions);

#endif
