/*
 * channel_rates: how many frames a second each channel has had of late, and when its newest came.
 *
 * Owner    src creates it after the encodings and destroys it after its users.
 * Threads  sample: main's, once a second. The others: any.
 * Memory   40 bytes for each channel, touched as channels appear.
 * Errors   0 or -ENOMEM.
 */
#ifndef RINGCAST_SRC_CHANNEL_RATES_H
#define RINGCAST_SRC_CHANNEL_RATES_H

#include <stdbool.h>
#include <stdint.h>

struct channels;
struct frame_log;
struct channel_rates;

#define CHANNEL_RATES_SECONDS 5 /* the time that a rate is taken over */

int channel_rates_create(struct channel_rates **rates_out);
void channel_rates_destroy(struct channel_rates *rates);

/* now_ns: CLOCK_MONOTONIC, wall_ns: CLOCK_REALTIME. */
void channel_rates_sample(struct channel_rates *rates, const struct channels *channels,
                          const struct frame_log *log, uint64_t now_ns, uint64_t wall_ns);

/* Over the last CHANNEL_RATES_SECONDS samples, or as many as there are. false: fewer than two. */
bool channel_rates_get(const struct channel_rates *rates, uint32_t channel, float *rate_out);
/* The ts_pub of the newest frame at the last sample; 0: there was none. Where the log lost it
 * within a second, the time of the sample. */
uint64_t channel_rates_newest_ns(const struct channel_rates *rates, uint32_t channel);

#endif
