/*
 * publish_access: which producers may publish, and what: their tokens, as feeds ask about them.
 *
 * Owner    main creates it after access, and destroys it after the feeds and before access.
 * Threads  The publisher's, except creation and destruction, publish_access_offer and
 *          publish_access_has_taken. Static tokens count their connections atomically, together
 *          with those of clients.
 * Memory   The digests of jwt_cache.h, and a block for each producer that has a token.
 * Units    now_ns is CLOCK_REALTIME.
 * Errors   Of struct feed_admission.
 * Source   docs/access.md, "Publish".
 *
 * A poll checks one signature of Ed25519 at most (0.1 ms): all producers share it. A poll is known
 * by its time.
 */
#ifndef RINGCAST_SRC_PUBLISH_ACCESS_H
#define RINGCAST_SRC_PUBLISH_ACCESS_H

#include "feeds/feed.h"
#include "src/access/access.h"

struct publish_access;

/* NULL: no memory. */
struct publish_access *publish_access_create(struct access *access);
/* NULL: nothing. */
void publish_access_destroy(struct publish_access *publish);

/* For publisher_options, while publish lives. */
const struct feed_admission *publish_access_admission(const struct publish_access *publish);

/* main: the publisher is to use this policy from its next poll on, in place of the one before,
 * which it uses until it has taken this one. */
void publish_access_offer(struct publish_access *publish, struct access *access);
bool publish_access_has_taken(const struct publish_access *publish, const struct access *access);
/* The publisher, at the top of each poll. context: the publish_access */
void publish_access_poll(void *context);

#endif
