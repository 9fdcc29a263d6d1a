/*
 * account: what became of a batch of sends: cursors move, and who was cut goes on where it was.
 *
 * Owner    A core. Threads: its own.
 */
#ifndef RINGCAST_RING_ACCOUNT_H
#define RINGCAST_RING_ACCOUNT_H

#include "ring/fan/fan.h"

/* Of the plans of fan->batch those with an outcome did not go out as a whole. The rest of a frame
 * that was cut leaves as a notice. */
void account_batch(struct fan *fan);

#endif
