/*
 * account: the results of a batch of sends: cursors move, and a subscriber whose send fell short
 * continues where it was.
 *
 * Owner    A core. Threads: its own.
 */
#ifndef RINGCAST_RING_ACCOUNT_H
#define RINGCAST_RING_ACCOUNT_H

#include "ring/fan/fan.h"

/* Plans of fan->batch with an outcome were not sent as a whole. The rest of a frame that was cut
 * off leaves as a notice. */
void account_batch(struct fan *fan);

#endif
