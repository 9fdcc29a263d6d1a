/*
 * derived_past: what a derived channel needs from before it was asked for, read back from the JSON
 * log, some frames a poll.
 *
 * Owner    derived.c. Threads: the publisher's, which alone writes the log: no frame needs a pin.
 */
#ifndef RINGCAST_SRC_DERIVED_PAST_H
#define RINGCAST_SRC_DERIVED_PAST_H

#include "src/market/derived_core.h"

/* The source waits until it is read back. */
void derived_past_wait(struct derived_core *core, struct derived_source *source);

/* Goes on with the first source that waits. Returns it when all is read, and it is live; else
 * NULL. */
struct derived_source *derived_past_go_on(struct derived_core *core);

/* Whether the feed gives bars of that interval: one is among its newest. */
bool derived_past_has_bars(struct derived_core *core, uint32_t channel, uint8_t bar);

#endif
