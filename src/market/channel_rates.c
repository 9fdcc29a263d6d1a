#include "src/market/channel_rates.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/base/memory.h"
#include "codec/base/units.h"
#include "ring/board/frame_log_glance.h"
#include "src/market/channels.h"

#define CHANNEL_RATES_SAMPLES (CHANNEL_RATES_SECONDS + 1)

/* One channel. */
struct channel_rate {
    _Atomic uint64_t newest_ns;
    uint32_t seqs[CHANNEL_RATES_SAMPLES]; /* main's own: low digits, by sample */
    _Atomic float rate;
};

struct channel_rates {
    struct channel_rate *table;                 /* CHANNELS_MAX */
    uint64_t sampled_ns[CHANNEL_RATES_SAMPLES]; /* main's own, like: */
    uint64_t count;                             /* samples taken */
    _Atomic bool has_rates;
};

int channel_rates_create(struct channel_rates **rates_out)
{
    struct channel_rates *rates = calloc(1, sizeof *rates);
    if (rates == NULL) {
        return -ENOMEM;
    }
    rates->table = memory_map(CHANNELS_MAX * sizeof *rates->table, MAP_NORESERVE);
    if (rates->table == NULL) {
        free(rates);
        return -ENOMEM;
    }
    *rates_out = rates;
    return 0;
}

void channel_rates_destroy(struct channel_rates *rates)
{
    memory_unmap(rates->table, CHANNELS_MAX * sizeof *rates->table);
    free(rates);
}

void channel_rates_sample(struct channel_rates *rates, const struct channels *channels,
                          const struct frame_log *log, uint64_t now_ns, uint64_t wall_ns)
{
    uint64_t age = rates->count < CHANNEL_RATES_SECONDS ? rates->count : CHANNEL_RATES_SECONDS;
    uint32_t newest = (uint32_t)(rates->count % CHANNEL_RATES_SAMPLES);
    uint32_t oldest = (uint32_t)((rates->count - age) % CHANNEL_RATES_SAMPLES);
    uint32_t before = (uint32_t)((rates->count + CHANNEL_RATES_SECONDS) % CHANNEL_RATES_SAMPLES);
    rates->sampled_ns[newest] = now_ns;
    assert_always(rates->sampled_ns[oldest] <= now_ns);
    double seconds = (double)(now_ns - rates->sampled_ns[oldest]) / (double)NS_PER_SECOND;
    uint32_t channel_count = channels_count(channels);
    for (uint32_t i = 0; i < channel_count; i++) {
        struct channel_rate *rate = &rates->table[i];
        struct frame_log_glance glance = frame_log_glance(log, i);
        uint32_t frames = (uint32_t)glance.seq - rate->seqs[oldest];
        if (glance.ts_pub_ns == 0 && (uint32_t)glance.seq != rate->seqs[before]) {
            glance.ts_pub_ns = wall_ns;
        }
        rate->seqs[newest] = (uint32_t)glance.seq;
        if (glance.ts_pub_ns != 0) {
            atomic_store_explicit(&rate->newest_ns, glance.ts_pub_ns, memory_order_relaxed);
        }
        float value = seconds > 0 ? (float)(frames / seconds) : 0;
        atomic_store_explicit(&rate->rate, value, memory_order_relaxed);
    }
    rates->count++;
    atomic_store_explicit(&rates->has_rates, rates->count > 1, memory_order_release);
}

bool channel_rates_get(const struct channel_rates *rates, uint32_t channel, float *rate_out)
{
    assert_always(channel < CHANNELS_MAX);
    *rate_out = atomic_load_explicit(&rates->table[channel].rate, memory_order_relaxed);
    return atomic_load_explicit(&rates->has_rates, memory_order_acquire);
}

uint64_t channel_rates_newest_ns(const struct channel_rates *rates, uint32_t channel)
{
    assert_always(channel < CHANNELS_MAX);
    return atomic_load_explicit(&rates->table[channel].newest_ns, memory_order_relaxed);
}
