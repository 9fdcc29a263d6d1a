#include "src/guard/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "src/base/memory_purge.h"

struct guard {
    struct pressure pressure;

    pthread_mutex_t lock; /* for all that follows */
    struct protection protection;
    struct alerts alerts;
    struct sample_history history;
    struct sample newest;
    bool has_newest;
};

int guard_create(struct guard **guard_out)
{
    struct guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&guard->lock, NULL);
    *guard_out = guard;
    return 0;
}

void guard_destroy(struct guard *guard)
{
    if (guard != NULL) {
        pthread_mutex_destroy(&guard->lock);
        free(guard);
    }
}

struct pressure *guard_pressure(struct guard *guard)
{
    return &guard->pressure;
}

void guard_tick(struct guard *guard, const struct guard_readings *readings)
{
    const struct sample *sample = &readings->sample;
    pthread_mutex_lock(&guard->lock);
    assert_always(!guard->has_newest || sample->taken_ns >= guard->newest.taken_ns);
    guard->newest = *sample;
    guard->has_newest = true;
    (void)sample_history_offer(&guard->history, sample);
    alerts_tick(&guard->alerts, readings->alerts, sample->wall_s);
    struct protection_orders orders = protection_tick(&guard->protection, readings->protections,
                                                      readings->gc_interval_ns, sample->taken_ns);
    atomic_store_explicit(&guard->pressure.refusal, orders.refusal, memory_order_release);
    atomic_store_explicit(&guard->pressure.idle_ns,
                          orders.reaps ? readings->cleanup_interval_ns : 0, memory_order_relaxed);
    pthread_mutex_unlock(&guard->lock);

    if (orders.purges) {
        (void)memory_purge();
    }
}

const char *guard_refusal(const struct guard *guard)
{
    return atomic_load_explicit(&guard->pressure.refusal, memory_order_acquire);
}

void guard_read_protection(struct guard *guard, struct protection *protection_out)
{
    pthread_mutex_lock(&guard->lock);
    *protection_out = guard->protection;
    pthread_mutex_unlock(&guard->lock);
}

void guard_read_alerts(struct guard *guard, struct alerts *alerts_out)
{
    pthread_mutex_lock(&guard->lock);
    *alerts_out = guard->alerts;
    pthread_mutex_unlock(&guard->lock);
}

bool guard_read_newest(struct guard *guard, struct sample *sample_out)
{
    pthread_mutex_lock(&guard->lock);
    bool has_newest = guard->has_newest;
    *sample_out = guard->newest;
    pthread_mutex_unlock(&guard->lock);
    return has_newest;
}

uint32_t guard_read_history(struct guard *guard, uint64_t age_ns, struct sample *samples_out)
{
    pthread_mutex_lock(&guard->lock);
    uint64_t now_ns = guard->newest.taken_ns;
    uint32_t count = sample_history_copy(&guard->history, now_ns > age_ns ? now_ns - age_ns + 1 : 0,
                                         samples_out);
    pthread_mutex_unlock(&guard->lock);
    return count;
}
