/*
 * session_symbols: SYMBOLS.
 */
#ifndef RINGCAST_SRC_SESSION_SYMBOLS_H
#define RINGCAST_SRC_SESSION_SYMBOLS_H

#include "src/session/session_call.h"

bool session_symbols(struct session_call *call);

#endif
