#include "ring/link/deadlines.h"

#include "codec/base/check.h"
#include "ring/link/opening.h"

/* Who has said something in the last interval is alive without being asked; that he is asked all
 * the same, now and then, is for his round trip. */
static bool deadlines_is_heard(const struct links *links, const struct link *link)
{
    uint64_t interval_ns = links->options.heartbeat_interval_ns;
    uint64_t asked_ns = link->ping_sent_ns > 0 ? link->ping_sent_ns : link->opened_ns;
    return links->now_ns < link->last_message_ns + interval_ns &&
           links->now_ns < asked_ns + LINK_PING_INTERVALS_MAX * interval_ns;
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
    link->ping_ns = links->now_ns + deadlines_ping_interval_ns(links, link);
    if (deadlines_is_heard(links, link)) {
        return;
    }
    if (link->missed_pongs >= LINK_MISSED_PONGS_MAX) {
        counter_add(&links->counters->closed_silent, 1);
        link_close(links, link, 4109, "no pong", "no pong");
        return;
    }
    link->missed_pongs++;
    link->ping_sent_ns = links->now_ns;
    link_queue_frame(links, link, WS_PING, &link->ping_sent_ns, sizeof link->ping_sent_ns);
}

static bool deadlines_is_idle(struct links *links, const struct link *link)
{
    uint32_t index = links_index(links, link);
    const struct core_ops *ops = links->options.ops;
    return !link->is_held && links->options.asks->is_idle(links->options.core, index) &&
           (ops->is_wanted == NULL ||
            !ops->is_wanted(links->options.context, links->options.core, index));
}

static void deadlines_check(struct links *links, struct link *link)
{
    uint64_t now_ns = links->now_ns;
    uint32_t index = links_index(links, link);
    bool is_quiet = links->options.asks->is_quiet(links->options.core, index);
    if (link->input != LINK_NONE &&
        now_ns >= links_input(links, link->input)->since_ns + links->options.half_message_ns) {
        counter_add(&links->counters->closed_protocol, 1);
        link_close(links, link, 4005, "half a message for too long", "half a message for too long");
    } else if (deadlines_is_idle(links, link) &&
               now_ns >= link->last_message_ns + links->options.idle_timeout_ns) {
        counter_add(&links->counters->closed_idle, 1);
        link_close(links, link, 4114, "idle", "idle");
    } else {
        if (now_ns >= link->ping_ns && link->drain_ns == 0) {
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
    link->tick_ns = links->now_ns + LINK_TICK_NS;
    if (links->options.ops->on_tick != NULL) {
        links->options.ops->on_tick(links->options.context, links->options.core,
                                    links_index(links, link), links->now_ns);
    }
    if (link->stage == LINK_STREAMING) {
        deadlines_check(links, link);
    }
}

/* At its tick, or when a drain closes it. */
static uint64_t deadlines_next_ns(const struct link *link)
{
    return link->drain_ns != 0 && link->drain_ns < link->tick_ns ? link->drain_ns : link->tick_ns;
}

void deadlines_set_drain(struct links *links, struct link *link, uint64_t drain_ns)
{
    assert_always(link->stage == LINK_STREAMING);
    assert_always(drain_ns != 0);
    link->drain_ns = drain_ns;
    if (link->flow != LINK_STUCK) { /* Else its timer comes soon anyway. */
        timer_arm(&links->wheel, &link->timer, deadlines_next_ns(link));
    }
}

static void deadlines_on_stream_timer(struct links *links, struct link *link)
{
    if (links->now_ns >= link->tick_ns) {
        deadlines_tick(links, link);
    }
    if (link->stage == LINK_STREAMING && link->drain_ns != 0 && links->now_ns >= link->drain_ns) {
        links->options.asks->on_drain(links->options.core, links_index(links, link));
    }
    if (link->stage == LINK_STREAMING) {
        timer_arm(&links->wheel, &link->timer, deadlines_next_ns(link));
    }
}

void deadlines_on_timer(struct links *links, struct timer *timer)
{
    struct link *link = container_of(timer, struct link, timer);
    assert_always(link->stage != LINK_FREE && link->stage != LINK_DRAINING);
    if (link->flow == LINK_STUCK) {
        link_clear(links, link);
    }
    if (link->stage == LINK_HANDSHAKING) {
        opening_on_timer(links, link);
    } else if (link->stage == LINK_STREAMING) {
        deadlines_on_stream_timer(links, link);
    } else if (link->stage == LINK_CLOSING && links->now_ns >= link->close_ns) {
        link_doom(links, link, 0, link->close_text);
    } else if (link->stage == LINK_CLOSING) {
        timer_arm(&links->wheel, &link->timer, link->close_ns);
    }
}
