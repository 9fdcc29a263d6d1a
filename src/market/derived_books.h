/*
 * derived_books: feeds' books, kept whole, and those that are cut from them to N levels.
 *
 * Owner    derived.c. Threads: the publisher's.
 */
#ifndef RINGCAST_SRC_DERIVED_BOOKS_H
#define RINGCAST_SRC_DERIVED_BOOKS_H

#include "src/market/derived_core.h"

/* Applies a tick to the feed's book, with or without subscribers. */
void derived_books_keep(struct derived_core *core, const struct md_update *update);

/* Publishes what has changed in the cut, or a snapshot that is due. */
void derived_books_tell(struct derived_core *core, struct derived_variant *variant);

#endif
