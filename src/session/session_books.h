/*
 * session_books: SNAPSHOT of a feed's own books. The publisher makes them, and they go out part by
 * part, each when the client has taken what was sent before.
 *
 * Memory   One table of BOOK_IMAGES_MAX per core.
 */
#ifndef RINGCAST_SRC_SESSION_BOOKS_H
#define RINGCAST_SRC_SESSION_BOOKS_H

#include "src/session/session_call.h"

int session_books_create(struct sessions *sessions);
void session_books_destroy(struct sessions *sessions);

void session_books_ask(struct session_call *call, const struct session_name *name,
                       uint32_t channel);
/* As session_shrink, by the scope that holds now: books of which parts have been sent. */
void session_books_shrink(struct session_call *call);
void session_books_on_turn(void *context, struct core *core, uint64_t now_ns);

#endif
