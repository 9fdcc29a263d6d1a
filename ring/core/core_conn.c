/* One connection: its words, its work, its numbers. */
#include "ring/core/core_conn.h"

#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "ring/core/core_limits.h"
#include "ring/core/core_state.h"
#include "ring/fan/lag.h"
#include "ring/fan/roster.h"
#include "ring/link/deadlines.h"
#include "ring/link/input.h"
#include "ring/trace.h"

/* ---- Words ---- */

void core_send_text(struct core *core, uint32_t index, const char *payload, size_t payload_bytes)
{
    if (core_is_streaming(core, index)) {
        link_queue_frame(&core->links, core_link(core, index), WS_TEXT, payload, payload_bytes);
    }
}

void core_send_raw(struct core *core, uint32_t index, const void *bytes, size_t bytes_count)
{
    if (core_is_streaming(core, index)) {
        link_queue(&core->links, core_link(core, index), bytes, bytes_count);
    }
}

bool core_has_drained(struct core *core, uint32_t index)
{
    return links_waiting_bytes(&core->links, core_link(core, index)) == 0;
}

bool core_await_drain(struct core *core, uint32_t index)
{
    struct link *link = core_link(core, index);
    assert_always(link->is_held);
    link->awaits_drain = !core_has_drained(core, index);
    return !link->awaits_drain;
}

bool core_has_room(struct core *core, uint32_t index, size_t bytes)
{
    return links_waiting_bytes(&core->links, core_link(core, index)) + bytes <=
           out_pool_share(&core->links.out_pool);
}

void core_close(struct core *core, uint32_t index, uint16_t code, const char *reason)
{
    link_close(&core->links, core_link(core, index), code, reason, "closed by the server");
}

bool core_is_open(struct core *core, uint32_t index)
{
    return core_is_streaming(core, index);
}

/* ---- Limits ---- */

void core_set_limits(struct core *core, const struct core_limits *limits)
{
    assert_always(limits->conn_count_max + CORE_SPARE_CONNS <= core->slab_count);
    assert_always(limits->heartbeat_interval_ns > 0);
    /* Never above what the descriptors suffice for, or the slab. */
    uint32_t places = core->options.place_count_max;
    core->links.options.place_count_max =
        limits->conn_count_max < places ? limits->conn_count_max : places;
    core->links.options.heartbeat_interval_ns = limits->heartbeat_interval_ns;
    core->links.options.idle_timeout_ns = limits->idle_timeout_ns;
    core->fan.max_lag_ns = limits->max_lag_ns;
}

void core_hasten_ping(struct core *core, uint32_t index)
{
    if (core_is_streaming(core, index)) {
        deadlines_hasten_ping(&core->links, core_link(core, index));
    }
}

/* ---- Work ---- */

void core_spend(struct core *core, uint32_t units)
{
    input_spend(&core->links, units);
}

bool core_slice_is_over(const struct core *core)
{
    return input_slice_is_over(&core->links);
}

void core_hold(struct core *core, uint32_t index)
{
    struct link *link = core_link(core, index);
    assert_always(!link->is_held);
    link->is_held = true;
    counter_add(&core->counters->messages_held, 1);
    if (link->stage != LINK_STREAMING) {
        link_list_ending(&core->links, link); /* The message is dropped. */
        return;
    }
    roster_hold(&core->fan, core_subscriber(core, index));
    link_pause_recv(&core->links, link);
    link_wait(&core->links, link);
}

bool core_is_held(struct core *core, uint32_t index)
{
    return core_link(core, index)->is_held;
}

/* ---- Where it comes from ---- */

static void core_ask_source(const struct link *link, struct core_source *source_out)
{
    struct sockaddr_storage address = {0};
    socklen_t address_bytes = sizeof address;
    *source_out = (struct core_source){.is_unix = link->is_unix};
    if (link->is_unix || getpeername(link->fd, (struct sockaddr *)&address, &address_bytes) < 0) {
        return;
    }
    (void)ip_address_from_socket(&source_out->address, &source_out->port,
                                 (const struct sockaddr *)&address);
}

static bool core_knows_source(const struct core_known_source *known, uint32_t index,
                              const struct link *link)
{
    return known->conn_plus_1 == index + 1 && known->generation == link->generation;
}

/* Asked for at the accept and at the request, which come one behind the other. */
void core_conn_source(struct core *core, uint32_t index, struct core_source *source_out)
{
    const struct link *link = core_link(core, index);
    struct core_known_source *known = &core->sources[index % CORE_SOURCES];
    if (!core_knows_source(known, index, link)) {
        core_ask_source(link, &known->source);
        known->conn_plus_1 = index + 1;
        known->generation = link->generation;
    }
    *source_out = known->source;
}

/* A port that is not known is not asked for. */
void core_conn_trace_upgrade(const struct core *core, uint32_t index)
{
    const struct link *link = &core->links.links[index];
    const struct core_known_source *known = &core->sources[index % CORE_SOURCES];
    trace_conn_upgrade(core->options.index, index, link->generation, link->fd,
                       core_knows_source(known, index, link) ? known->source.port : 0,
                       core->fan.subscribers[index].encoding);
}

void core_conn_peer(struct core *core, uint32_t index, char text[CORE_PEER_TEXT_BYTES_MAX])
{
    struct core_source source;
    char host[IP_ADDRESS_TEXT_BYTES_MAX];
    core_conn_source(core, index, &source);
    if (source.is_unix) {
        snprintf(text, CORE_PEER_TEXT_BYTES_MAX, "unix");
        return;
    }
    ip_address_format(&source.address, host);
    snprintf(text, CORE_PEER_TEXT_BYTES_MAX,
             ip_address_is_v4(&source.address) ? "%s:%u" : "[%s]:%u", host, source.port);
}

/* ---- Numbers ---- */

uint32_t core_conn_encoding(struct core *core, uint32_t index)
{
    return core_subscriber(core, index)->encoding;
}

uint32_t core_conn_channels(struct core *core, uint32_t index, uint32_t *place,
                            uint32_t *channels_out, uint32_t max)
{
    const struct subscriber *subscriber = core_subscriber(core, index);
    const struct fan_stream *stream = core_stream(core, index);
    uint32_t seen = 0;
    uint32_t count = 0;
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE && count < max;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        if ((subscriber->group_mask & (1u << record->group)) == 0 && seen++ >= *place) {
            channels_out[count++] = record->channel;
        }
    }
    for (uint32_t channel = 0;
         subscriber->group_mask != 0 && channel < core->fan.channel_count && count < max;
         channel++) {
        const struct fan_channel *known = &stream->channels[channel];
        if (known->last_seq > 0 && (subscriber->group_mask & (1u << known->group)) != 0 &&
            seen++ >= *place) {
            channels_out[count++] = channel;
        }
    }
    *place = count == max ? *place + count : 0;
    return count;
}

static enum core_conn_state core_conn_state(const struct link *link,
                                            const struct subscriber *subscriber)
{
    if (link->stage != LINK_STREAMING) {
        return CORE_CONN_ENDING;
    }
    if (link->flow != LINK_CLEAR) {
        return CORE_CONN_BLOCKED;
    }
    return subscriber->mode == SUBSCRIBER_PUSHED ? CORE_CONN_STREAMING : CORE_CONN_CATCHING_UP;
}

static uint32_t core_missed_pongs(const struct core *core, const struct link *link)
{
    bool is_due = stamp_age_ns(link->asked, core->time.now_ns) >= CORE_PONG_NS;
    return link->missed_pongs - (link->missed_pongs > 0 && !is_due ? 1 : 0);
}

void core_conn_stats(struct core *core, uint32_t index, struct core_conn_stats *stats_out)
{
    const struct subscriber *subscriber = core_subscriber(core, index);
    const struct link *link = core_link(core, index);
    *stats_out = (struct core_conn_stats){
        .frames_sent = subscriber->frames_sent,
        .frames_lost = fan_frames_lost(&core->fan, subscriber),
        .frames_conflated = fan_frames_conflated(&core->fan, subscriber),
        .subscription_count =
            subscriber->sub_count + (uint32_t)__builtin_popcount(subscriber->group_mask),
        .round_trip_us = link->round_trip_us,
        .encoding = subscriber->encoding,
        .missed_pongs = core_missed_pongs(core, link),
        .state = core_conn_state(link, subscriber),
        .open_ns = core->time.now_ns - (link->opened << STAMP_SHIFT),
        .blocked_ns = link_blocked_ns(&core->links, link),
    };
}

bool core_conn_sent(struct core *core, uint32_t index, struct core_sent *sent_out)
{
    struct tcp_info info;
    *sent_out = (struct core_sent){0};
    if (!link_ask_kernel(core_link(core, index), &info)) {
        return false;
    }
    *sent_out = (struct core_sent){
        .bytes = info.tcpi_bytes_sent - info.tcpi_bytes_retrans,
        .segments = info.tcpi_data_segs_out,
        .segments_again = info.tcpi_total_retrans,
    };
    return true;
}

bool core_conn_tls(struct core *core, uint32_t index, struct core_conn_tls *tls_out)
{
    static const char *const ciphers[TLS_SUITE_COUNT] = {
        [TLS_AES_128_GCM] = "AES-128-GCM",
        [TLS_AES_256_GCM] = "AES-256-GCM",
        [TLS_CHACHA20_POLY1305] = "CHACHA20-POLY1305",
    };
    if (!core_link(core, index)->is_tls || !core->links.tls[index].is_keyed) {
        return false;
    }
    const struct link_tls *tls = &core->links.tls[index];
    assert_always(tls->tx.suite < TLS_SUITE_COUNT);
    *tls_out = (struct core_conn_tls){
        .version = tls->tx.version == TLS_1_3 ? "1.3" : "1.2",
        .cipher = ciphers[tls->tx.suite],
        .peer = tls->peer,
    };
    return true;
}

uint32_t core_channel_subscribers(const struct core *core, uint32_t channel)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->fan.encoding_count; i++) {
        const struct fan_stream *stream = &core->fan.streams[i];
        const struct fan_channel *known = &stream->channels[channel];
        uint64_t lists = known->last_seq == 0 ? 0 : stream->group_lists_used;
        count += stream->subs.channels[channel].count;
        for (lists &= fan_lists_of_group(known->group); lists != 0; lists &= lists - 1) {
            count += stream->group_lists[__builtin_ctzll(lists)].count;
        }
    }
    return count;
}

bool core_conn_is_current(struct core *core, uint32_t index)
{
    return fan_is_current(&core->fan, core_subscriber(core, index));
}

void core_conn_lag(struct core *core, uint32_t index, struct core_lag *lag_out)
{
    struct tcp_info info;
    lag_measure(&core->fan, core_subscriber(core, index), lag_out);
    lag_out->cause = LAG_BY_CLIENT; /* Also if the kernel does not say. */
    if (link_ask_kernel(core_link(core, index), &info)) {
        lag_out->cause = lag_cause_of(&info, lag_out->ms);
        lag_out->round_trip_us = info.tcpi_rtt;
    }
}

uint64_t core_next_seq(struct core *core, uint32_t index, uint32_t channel)
{
    return core_stream(core, index)->channels[channel].last_seq + 1;
}

uint64_t core_position(struct core *core, uint32_t index)
{
    return core_stream(core, index)->position;
}

uint64_t core_hash(struct core *core, uint32_t index, uint32_t channel)
{
    return core_stream(core, index)->channels[channel].hash;
}
