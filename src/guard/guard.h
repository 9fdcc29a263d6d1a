/*
 * guard: once a second it judges what main has measured: it protects the server (protection.h),
 * alerts the operator (alerts.h) and keeps the history (sample_history.h).
 *
 * Owner    main creates it before the cores, and destroys it after the cores and the admin server.
 * Threads  guard_tick: main. All others: any thread that may block (they take a lock that no core
 *          takes). guard_pressure's target is read by the cores.
 * Memory   About 250 KiB, all at creation.
 */
#ifndef RINGCAST_SRC_GUARD_H
#define RINGCAST_SRC_GUARD_H

#include "ring/pressure.h"
#include "src/guard/alerts.h"
#include "src/guard/protection.h"
#include "src/guard/sample_history.h"

struct guard;

/* What main has measured. */
struct guard_readings {
    struct sample sample;
    struct protection_reading protections[PROTECTION_RULES];
    struct alert_reading alerts[ALERT_RULES];
    uint64_t gc_interval_ns;      /* at least, between two purges */
    uint64_t cleanup_interval_ns; /* the idle time-out while there are many clients */
};

/* 0 or -ENOMEM. */
int guard_create(struct guard **guard_out);
void guard_destroy(struct guard *guard); /* NULL: nothing */

/* For the cores' options. */
struct pressure *guard_pressure(struct guard *guard);

/* May take 0.2 s for each GiB that the allocator gives back. */
void guard_tick(struct guard *guard, const struct guard_readings *readings);

/* Why new connections are refused; NULL: they are not. It takes no lock. */
const char *guard_refusal(const struct guard *guard);

/* Copies. */
void guard_read_protection(struct guard *guard, struct protection *protection_out);
void guard_read_alerts(struct guard *guard, struct alerts *alerts_out);
/* The sample of the last tick. false: there was none yet. */
bool guard_read_newest(struct guard *guard, struct sample *sample_out);
/* As sample_history_copy(), of the last age_ns. */
uint32_t guard_read_history(struct guard *guard, uint64_t age_ns, struct sample *samples_out);

#endif
