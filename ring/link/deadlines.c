#include "ring/link/deadlines.h"

#include "codec/base/check.h"
#include "ring/link/opening.h"
#include "ring/link/securing.h"
#include "ring/link/tls_in.h"

/* A client that has sent something in the last interval is alive without a ping. It is still pinged
 * now and then, to measure the round trip. */
static bool deadlines_is_heard(const struct links *links, const struct link *link)
{
    uint64_t interval_ns = links->options.heartbeat_interval_ns;
    return stamp_age_ns(link->heard, links->now_ns) < interval_ns &&
           stamp_age_ns(link->asked, links->now_ns) < LINK_PING_INTERVALS_MAX * interval_ns;
}

/* Longer for those whose answers take long, so that these are not taken for missed. */
static uint64_t deadlines_ping_interval_ns(const struct links *links, const struct link *link)
{
    uint64_t least_ns = links->options.heartbeat_interval_ns;
    uint64_t wanted_ns = link->round_trip_us * NS_PER_US * LINK_PING_INTERVALS_MAX;
    uint64_t most_ns = LINK_PING_INTERVALS_MAX * least_ns;
    return wanted_ns < least_ns ? least_ns : wanted_ns > most_ns ? most_ns : wanted_ns;
}

static void deadlines_send_ping(struct links *links, struct link *link)
{
    link->ping = stamp_in(links->now_ns, deadlines_ping_interval_ns(links, link));
    if (deadlines_is_heard(links, link)) {
        return;
    }
    if (link->missed_pongs >= LINK_MISSED_PONGS_MAX) {
        counter_add(&links->counters->closed_silent, 1);
        link_close(links, link, 4109, "no pong", "no pong");
        return;
    }
    link->missed_pongs++;
    link->was_pinged = true;
    link->asked = (uint32_t)stamp_of(links->now_ns);
    link_queue_frame(links, link, WS_PING, &links->now_ns, sizeof links->now_ns);
}

static uint64_t deadlines_idle_ns(const struct links *links)
{
    const struct pressure *pressure = links->options.pressure;
    uint64_t usual_ns = links->options.idle_timeout_ns;
    uint64_t short_ns =
        pressure == NULL ? 0 : atomic_load_explicit(&pressure->idle_ns, memory_order_relaxed);
    return short_ns != 0 && short_ns < usual_ns ? short_ns : usual_ns;
}

void deadlines_hasten_ping(struct links *links, struct link *link)
{
    uint32_t latest = stamp_in(links->now_ns, deadlines_ping_interval_ns(links, link));
    assert_always(link->stage == LINK_STREAMING);
    if (stamp_deadline_ns(link->ping, links->now_ns) > stamp_deadline_ns(latest, links->now_ns)) {
        link->ping = latest;
    }
}

static bool deadlines_is_idle(struct links *links, const struct link *link)
{
    uint32_t index = links_index(links, link);
    const struct core_ops *ops = links->options.ops;
    return !link->is_held && links->options.asks->is_idle(links->options.core, index) &&
           (ops->is_wanted == NULL ||
            !ops->is_wanted(links->options.context, links->options.core, index));
}

/* Of a message that has begun, or a record of it, the rest does not come. */
static bool deadlines_is_half(struct links *links, const struct link *link)
{
    return (link->input != LINK_NO_INPUT &&
            links->now_ns >=
                links_input(links, link->input)->since_ns + links->options.half_message_ns) ||
           tls_in_is_late(links, link);
}

static void deadlines_check(struct links *links, struct link *link)
{
    uint64_t now_ns = links->now_ns;
    uint32_t index = links_index(links, link);
    bool is_quiet = links->options.asks->is_quiet(links->options.core, index);
    if (deadlines_is_half(links, link)) {
        counter_add(&links->counters->closed_protocol, 1);
        link_close(links, link, 4005, "incomplete message for too long",
                   "incomplete message for too long");
    } else if (deadlines_is_idle(links, link) &&
               stamp_age_ns(link->heard, now_ns) >= deadlines_idle_ns(links)) {
        counter_add(&links->counters->closed_idle, 1);
        link_close(links, link, 4114, "idle", "idle");
    } else {
        if (!link->is_draining && stamp_is_due(link->ping, now_ns)) {
            deadlines_send_ping(links, link);
        }
        if (is_quiet && link->stage == LINK_STREAMING) {
            links->options.ops->on_quiet(links->options.context, links->options.core, index,
                                         now_ns);
        }
    }
}

/* Once a second, even for a link that is tried again every few milliseconds. */
static void deadlines_tick(struct links *links, struct link *link)
{
    link->tick = stamp_in(links->now_ns, LINK_TICK_NS);
    link->asked = stamp_keep(link->asked, links->now_ns);
    link->heard = stamp_keep(link->heard, links->now_ns);
    if (links->options.ops->on_tick != NULL) {
        links->options.ops->on_tick(links->options.context, links->options.core,
                                    links_index(links, link), links->now_ns);
    }
    if (link->stage == LINK_STREAMING) {
        deadlines_check(links, link);
    }
}

/* At its tick, or when a drain closes it. */
static void deadlines_arm_next(struct links *links, const struct link *link)
{
    uint64_t next_ns = stamp_deadline_ns(link->tick, links->now_ns);
    if (link->is_draining) {
        uint64_t drain_ns = stamp_deadline_ns(link->drain, links->now_ns);
        next_ns = drain_ns < next_ns ? drain_ns : next_ns;
    }
    timer_arm(&links->wheel, links_index(links, link), next_ns);
}

void deadlines_set_drain(struct links *links, struct link *link, uint64_t drain_ns)
{
    assert_always(link->stage == LINK_STREAMING);
    link->is_draining = true;
    link->drain = stamp_in(links->now_ns, drain_ns > links->now_ns ? drain_ns - links->now_ns : 0);
    if (link->flow != LINK_STUCK) { /* Else its timer comes soon anyway. */
        deadlines_arm_next(links, link);
    }
}

static void deadlines_on_stream_timer(struct links *links, struct link *link)
{
    if (stamp_is_due(link->tick, links->now_ns)) {
        deadlines_tick(links, link);
    }
    if (link->stage == LINK_STREAMING && link->is_draining &&
        stamp_is_due(link->drain, links->now_ns)) {
        links->options.asks->on_drain(links->options.core, links_index(links, link));
    }
    if (link->stage == LINK_STREAMING) {
        deadlines_arm_next(links, link);
    }
}

void deadlines_on_timer(void *context, uint32_t number)
{
    struct links *links = context;
    struct link *link = links_at(links, number);
    assert_always(link->stage != LINK_FREE && link->stage != LINK_DRAINING);
    if (link->flow == LINK_STUCK) {
        link_clear(links, link);
    }
    if (link->stage == LINK_SECURING) {
        securing_on_timer(links, link);
    } else if (link->stage == LINK_HANDSHAKING) {
        opening_on_timer(links, link);
    } else if (link->stage == LINK_STREAMING) {
        deadlines_on_stream_timer(links, link);
    } else if (link->stage == LINK_CLOSING && stamp_is_due(link->close, links->now_ns)) {
        link_doom(links, link, 0, NULL);
    } else if (link->stage == LINK_CLOSING) {
        timer_arm(&links->wheel, number, stamp_deadline_ns(link->close, links->now_ns));
    }
}
