/*
 * sim_core: a whole core on a simulated kernel, with clients that check every byte.
 *
 * Run  sim_core [SEED [COUNT]]     (without: 24 seeds from 1)
 *
 * Each seed is one history of clients that connect, subscribe, stall, leave and are cut off, while
 * frames are published in bursts that lap the slow ones. Each client knows what it may be sent:
 * frames exactly as they were published, each channel in order, nothing twice, every loss told by a
 * GAP before the next frame or allowed by conflation. Who comes back goes on with the cursors that
 * it had: each frame that it missed comes once, or is within a GAP, whatever the policy. Every
 * third history has two lives: the world is made anew in between, and seqs begin again. In three of
 * four half of the clients speak TLS; in some of these 300 others come at once. After the noise all
 * of them must be up to date, and the core must hold nothing any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "ring/core/core_conn.h"
#include "ring/core/core_state.h"
#include "ring/fan/puller.h"
#include "tests/sim_world.h"

#define SEEDS_DEFAULT 24

/* The engine takes less than it asks for where memory is short, and completions can always be more
 * than there is room for. */
static const unsigned cq_sizes[] = {16384, 256, 64, 16};

struct sim_world world;

void world_fail(const char *what)
{
    if (world.fault[0] == '\0') {
        snprintf(world.fault, sizeof world.fault, "%s (client %d, %llu us)", what,
                 world.client == NULL ? -1 : (int)(world.client - world.clients),
                 (unsigned long long)(sim.now_ns - world.began_ns) / 1000);
        if (getenv("SIM_TRACE") != NULL) {
            abort();
        }
    }
}

/* ---- What is published ---- */

size_t frame_payload(char *out, uint32_t encoding, uint32_t channel, uint64_t seq)
{
    int head = sprintf(out, "%c %u %llu ", "DE"[encoding], channel, (unsigned long long)seq);
    size_t filler = (channel * 7919 + seq * 104729) % (FRAME_BYTES_MAX - 200);
    filler = filler % 5 == 0 ? filler : filler % 200; /* Mostly short. */
    filler = encoding == 1 && world.second_is_small ? filler / 8 : filler;
    memset(out + head, 'a' + (int)((channel + seq + world.epoch) % 26), filler);
    return (size_t)head + filler;
}

/* Stands for a running hash. */
static uint64_t hash_of(uint32_t encoding, uint32_t channel, uint64_t seq)
{
    return seq == 0 ? 0 : (uint64_t)(encoding + 1) << 60 | (uint64_t)channel << 40 | seq;
}

static bool is_written(uint32_t encoding)
{
    return core_encoding_is_written(atomic_load(&world.encodings[encoding].run));
}

static void write_frame(uint32_t encoding, uint32_t channel)
{
    struct frame_log *log = world.encodings[encoding].log;
    uint8_t *frame = frame_log_reserve(log);
    uint64_t seq = frame_log_next_seq(log, channel);
    size_t bytes = frame_payload((char *)frame + WS_FRAME_FINISH_GAP, encoding, channel, seq);
    bytes = ws_frame_finish(frame, WS_TEXT, bytes);
    frame_log_set_hash(log, channel, hash_of(encoding, channel, seq));
    frame_log_commit(log, channel, (uint8_t)(channel % GROUPS),
                     is_full_image(channel) ? FRAME_FULL_IMAGE : 0, (uint32_t)bytes,
                     sim.now_ns + UINT64_C(1700000000000000000));
}

static void publish_one(uint32_t channel)
{
    world.published[channel] = frame_log_next_seq(world.encodings[0].log, channel);
    write_frame(0, channel);
    if (is_written(1)) {
        write_frame(1, channel);
    }
}

static bool is_pinned(const struct frame_log *log)
{
    return atomic_load(&log->pins[0].index) != FRAME_LOG_NOT_PINNED;
}

/* Never from inside the core's turn: an inline publisher would wait for itself. */
static bool is_any_pinned(void)
{
    return is_pinned(world.encodings[0].log) || is_pinned(world.encodings[1].log);
}

/* A writer on another thread would wait for a pin of the core, which is inside enter(). */
static bool writer_would_wait(void)
{
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        const struct frame_log *log = world.encodings[i].log;
        if (world.publishes_elsewhere && is_pinned(log) &&
            (log->write_position + log->frame_bytes_max > log->reserved_position ||
             log->write_index >= log->reserved_index)) {
            return true;
        }
    }
    return false;
}

/* With the newest frames, as src/market/encodings.c does. */
static void begin_encoding(struct core_encoding *encoding)
{
    for (uint32_t channel = 0; channel < world.channel_count; channel++) {
        struct frame_log_image image;
        bool has_frame = frame_log_newest(world.encodings[0].log, channel, &image);
        frame_log_set_hash(encoding->log, channel, hash_of(1, channel, world.published[channel]));
        frame_log_set_next_seq(encoding->log, channel, (uint8_t)(channel % GROUPS),
                               world.published[channel] + !has_frame);
        if (has_frame) {
            write_frame(1, channel);
        }
    }
    frame_log_publish(encoding->log);
    atomic_store(&encoding->first, encoding->log->write_index);
    atomic_store(&encoding->json_first, world.encodings[0].log->write_index);
    atomic_fetch_add(&encoding->run, 1);
    world.runs++;
}

static void begin_or_end_encoding(void)
{
    struct core_encoding *encoding = &world.encodings[1];
    bool is_wanted = core_claims_count(&world.claims, 1) > 0 && !world.never_encodes;
    if (is_wanted && !is_written(1) && sim_random(20) == 0) {
        begin_encoding(encoding);
    } else if (!is_wanted && is_written(1) && !is_pinned(encoding->log)) {
        atomic_fetch_add(&encoding->run, 1);
        frame_log_clear(encoding->log);
    }
}

/* ---- What the core counts of it ---- */

/* An inline publisher knows which frames the turn that it is in will send to somebody, of the first
 * encoding: nothing comes between. */
static struct {
    bool is_known;
    bool is_due[CHANNELS];
    uint64_t position; /* where that turn begins */
    uint64_t count;    /* of frames that the core has counted before it, */
    uint64_t laps;     /* and of its laps */
} flush_model;

static uint64_t counted(const struct counters_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < COUNTERS_HISTOGRAM_BUCKETS; i++) {
        count += counter_get(&histogram->buckets[i]);
    }
    return count;
}

static bool is_due_to_anybody(uint32_t channel)
{
    for (uint32_t conn = 0; conn < world.core->slab_count; conn++) {
        const struct subscriber *subscriber = core_subscriber(world.core, conn);
        if (subscriber->mode == SUBSCRIBER_PUSHED && subscriber->encoding == 0 &&
            ((subscriber->group_mask & 1u << channel % GROUPS) != 0 ||
             core_subscription_tag(world.core, conn, channel) >= 0)) {
            return true;
        }
    }
    return false;
}

static void expect_flush(void)
{
    const struct fan_stream *second = &world.core->fan.streams[1];
    flush_model.is_known = second->position == frame_log_head(second->log);
    flush_model.position = world.core->fan.streams[0].position;
    flush_model.count = counted(&world.counters.flush);
    flush_model.laps = counter_get(&world.counters.core_laps);
    for (uint32_t channel = 0; channel < world.channel_count; channel++) {
        flush_model.is_due[channel] = is_due_to_anybody(channel);
    }
}

static void check_flush(void)
{
    const struct fan_stream *stream = &world.core->fan.streams[0];
    const struct core_counters *counters = &world.counters;
    uint64_t count = counted(&counters->flush);
    EXPECT(counted(&counters->wait) == count);
    EXPECT(counted(&counters->scatter) == count);
    EXPECT(counted(&counters->flush_newest) == count);
    EXPECT(counter_get(&counters->flush.sum_ns) ==
           counter_get(&counters->wait.sum_ns) + counter_get(&counters->scatter.sum_ns));
    if (!flush_model.is_known || counter_get(&counters->core_laps) != flush_model.laps) {
        return;
    }
    flush_model.is_known = false;
    for (uint64_t i = flush_model.position; i < stream->position; i++) {
        flush_model.count += flush_model.is_due[frame_log_desc(stream->log, i)->channel];
        world.flushed++;
    }
    EXPECT(count == flush_model.count);
}

/* After the core has pushed what there is. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    static uint64_t blocked_ns;
    uint64_t life_ns = core->counted_ns - world.began_ns;
    (void)context;
    EXPECT(now_ns <= sim.now_ns && core->counted_ns <= now_ns);
    EXPECT(counter_get(&world.counters.busy_ns) + counter_get(&world.counters.asleep_ns) ==
           life_ns);
    EXPECT(counter_get(&world.counters.overslept_ns) <= counter_get(&world.counters.asleep_ns));
    blocked_ns = life_ns == 0 ? 0 : blocked_ns;
    EXPECT(counter_get(&world.counters.blocked_ns) >= blocked_ns);
    blocked_ns = counter_get(&world.counters.blocked_ns);
    EXPECT(blocked_ns <= life_ns * sim.socket_count);
    check_flush();
}

/* ---- Publishing ---- */

static uint64_t on_publish(void *context, uint64_t now_ns)
{
    (void)context;
    if (now_ns > world.began_ns + NOISE_NS + CALM_NS + (world.drains ? DRAIN_NS : 0)) {
        core_stop(world.core);
        return UINT64_MAX;
    }
    if (world.drains && now_ns > world.began_ns + NOISE_NS + CALM_NS) {
        world.drains_at_ns = world.drains_at_ns == 0 ? now_ns : world.drains_at_ns;
        core_drain(world.core, world.drains_at_ns + DRAIN_NS, world.refuses);
    }
    if (now_ns > world.began_ns + NOISE_NS) {
        sim.calm = true;
        return now_ns + 10 * NS_PER_MS;
    }
    EXPECT(world.publishes_elsewhere || !is_any_pinned());
    if (world.fault[0] != '\0') {
        return now_ns;
    }
    begin_or_end_encoding();
    world.channel_count += world.channel_count < CHANNELS && sim_random(20) == 0;
    uint64_t burst = sim_random(200) == 0 ? 8000 : sim_random(50);
    for (uint64_t i = 0; i < burst && !writer_would_wait(); i++) {
        /* Low channels often, high ones rarely: their last frames are lapped. */
        uint64_t channel = sim_random(world.channel_count);
        channel = sim_random(channel + 1);
        if (channel < CHANNELS_AT_FIRST - 1 || sim_random(20) == 0) {
            publish_one((uint32_t)channel);
        }
    }
    for (uint32_t i = ENCODINGS; i-- > 0;) {
        frame_log_publish(world.encodings[i].log);
    }
    if (!world.publishes_elsewhere) {
        expect_flush();
    }
    return now_ns + sim_random(4 * NS_PER_MS);
}

/* ---- The server's side of the little protocol ---- */

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    char text[64];
    (void)context;
    world.ticked_ns[conn] = now_ns;
    core_send_text(core, conn, text, (size_t)sprintf(text, "W %u", conn));
}

static void reply(struct core *core, uint32_t conn, const char *command)
{
    char text[MESSAGE_MAX + CHANNELS * 24];
    int length = sprintf(text, "R %s", command);
    struct core_conn_stats stats;
    struct core_lag lag;
    core_conn_stats(core, conn, &stats);
    core_conn_lag(core, conn, &lag);
    EXPECT(core_log_begins_ns(core) <= sim.now_ns + UINT64_C(1700000000000000000));
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        EXPECT(core_hash(core, conn, channel) ==
               hash_of(stats.encoding, channel, core_next_seq(core, conn, channel) - 1));
        length +=
            sprintf(text + length, " %llu", (unsigned long long)core_next_seq(core, conn, channel));
    }
    core_send_text(core, conn, text, (size_t)length);
}

/* The oldest seq of a channel that a log still has; the next one, if it has none. */
static uint64_t oldest_seq(const struct frame_log *log, uint32_t channel)
{
    for (uint64_t i = frame_log_tail(log); i < log->write_index; i++) {
        if (frame_log_desc(log, i)->channel == channel) {
            return frame_log_desc(log, i)->seq;
        }
    }
    return frame_log_next_seq(log, channel);
}

/* "Q epoch policy ch seq ch seq ...", answered by "Q policy ch seq result newest ..." */
static void on_resume(struct core *core, uint32_t conn, const char *text)
{
    static char out[2 * MESSAGE_MAX + RESUMED_MAX * 32];
    unsigned epoch, policy, channel;
    unsigned long long seq;
    int used, length;
    EXPECT(sscanf(text, "Q %u %u%n", &epoch, &policy, &used) == 2);
    length = sprintf(out, "Q %u", policy);
    for (text += used; sscanf(text, "%u %llu%n", &channel, &seq, &used) == 2; text += used) {
        struct core_resume resume = {
            .channel = channel,
            .group = channel % GROUPS,
            .policy = policy,
            .tag = 1,
            .is_same_epoch = epoch == world.epoch,
            .seq = seq,
        };
        int result = core_resume(core, conn, &resume);
        EXPECT(result == 0 || result == 1 || result == -ERANGE || world.is_scarce);
        uint64_t oldest = oldest_seq(world.encodings[0].log, channel);
        /* What is still to come is in the conn's own log. */
        bool is_void = core_link(core, conn)->stage != LINK_STREAMING;
        bool is_to_come = seq >= core_stream(core, conn)->channels[channel].last_seq;
        EXPECT(result != 0 || epoch != world.epoch || oldest <= seq + 1 || is_to_come || is_void);
        EXPECT(result != 1 || epoch != world.epoch || oldest > seq + 1);
        EXPECT((result == -ERANGE) == (epoch == world.epoch && seq > world.published[channel]));
        length += sprintf(out + length, " %u %llu %d %llu", channel, seq, result,
                          (unsigned long long)world.published[channel]);
    }
    core_send_text(core, conn, out, (size_t)length);
}

/* "N ch", answered by "N ch as_of error", then the frame. */
static void on_snapshot(struct core *core, uint32_t conn, uint32_t channel)
{
    char out[64];
    struct core_snapshot snapshot = {.channel = channel, .group = channel % GROUPS};
    uint64_t pinned = core_find_snapshots(core, conn, &snapshot, 1);
    int length =
        sprintf(out, "N %u %llu %d", channel, (unsigned long long)snapshot.as_of, snapshot.error);
    core_send_text(core, conn, out, (size_t)length);
    core_send_snapshots(core, conn, &snapshot, 1, pinned);
}

/* "Z by_seq from to speed policy ch ch ...", answered by "Z result ch first last ...": the seqs
 * that are to come. Then come these frames, and "Y is_whole to ch last result newest ..." */
static void on_replay(struct core *core, uint32_t conn, const char *text)
{
    char out[MESSAGE_MAX * 2];
    struct core_replay wanted = {0};
    struct core_replayed channels[REPLAYED_MAX] = {{0}};
    unsigned by_seq, policy, channel;
    unsigned long long from, to;
    uint32_t count = 0;
    int used;
    EXPECT(sscanf(text, "Z %u %llu %llu %lf %u%n", &by_seq, &from, &to, &wanted.speed, &policy,
                  &used) == 5);
    wanted.is_by_seq = by_seq;
    wanted.from = from;
    wanted.to = to;
    for (text += used; sscanf(text, "%u%n", &channel, &used) == 1; text += used) {
        channels[count++] = (struct core_replayed){
            .channel = channel,
            .group = channel % GROUPS,
            .policy = policy,
            .tag = 1,
        };
    }
    int result = core_replay(core, conn, &wanted, channels, count);
    EXPECT(result == 0 || result == -ERANGE || result == -EINVAL);
    const struct fan_stream *stream = core_stream(core, conn);
    const struct fan_stream *json = &core->fan.streams[0];
    uint64_t end = fan_json_index(stream, stream->position);
    end = end > json->position ? end : json->position;
    int length = sprintf(out, "Z %d", result);
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        uint64_t first = stream->channels[channels[i].channel].last_seq + 1;
        uint64_t json_first = json->channels[channels[i].channel].last_seq + 1;
        first = first > json_first ? first : json_first;
        uint64_t last = first - 1;
        for (uint64_t at = end; at-- > frame_log_tail(json->log);) {
            const struct frame_desc *desc = frame_log_desc(json->log, at);
            uint64_t value = by_seq ? desc->seq : desc->ts_pub_ns;
            if (desc->channel == channels[i].channel && value >= from) {
                first = desc->seq;
                last = to != 0 && value > to ? desc->seq - 1 : last;
            }
        }
        length += sprintf(out + length, " %u %llu %llu", channels[i].channel,
                          (unsigned long long)first, (unsigned long long)last);
    }
    core_send_text(core, conn, out, (size_t)length);
}

static const uint8_t *recode(void *context, uint32_t encoding, const struct frame_desc *desc,
                             const uint8_t *frame, uint32_t *bytes_out)
{
    static uint8_t out[FRAME_BYTES_MAX + WS_FRAME_FINISH_GAP];
    (void)context, (void)frame;
    size_t bytes =
        frame_payload((char *)out + WS_FRAME_FINISH_GAP, encoding, desc->channel, desc->seq);
    *bytes_out = (uint32_t)ws_frame_finish(out, WS_TEXT, bytes);
    world.recoded++;
    return out;
}

static void on_replay_end(void *context, struct core *core, uint32_t conn,
                          const struct core_replayed *channels, uint32_t count, bool is_whole)
{
    char out[MESSAGE_MAX * 2];
    (void)context;
    int length = sprintf(out, "Y %d", is_whole);
    for (uint32_t i = 0; i < count; i++) {
        length += sprintf(out + length, " %u %llu %d %llu", channels[i].channel,
                          (unsigned long long)channels[i].last_seq, channels[i].result,
                          (unsigned long long)world.published[channels[i].channel]);
    }
    core_send_text(core, conn, out, (size_t)length);
}

/* "S ch policy snapshot", "P ch policy limit", "U ch", "G group policy snapshot", "V group",
 * "L group limit", "K", and the two above. */
static void answer(struct core *core, uint32_t conn, const char *text)
{
    unsigned what, policy, snapshot, limit;
    int result = 0;
    if (sscanf(text, "S %u %u %u", &what, &policy, &snapshot) == 3) {
        struct core_subscription wanted = {.channel = what,
                                           .group = what % GROUPS,
                                           .policy = policy,
                                           .tag = 1,
                                           .snapshot = snapshot,
                                           .asks_image = snapshot};
        result = core_subscribe(core, conn, &wanted);
        world.images += wanted.has_image;
    } else if (sscanf(text, "G %u %u %u", &what, &policy, &snapshot) == 3) {
        result = core_subscribe_group(core, conn, what, policy, snapshot);
    } else if (sscanf(text, "P %u %u %u", &what, &policy, &limit) == 3) {
        core_set_subscription(core, conn, what, policy, 1);
        core_set_max_lag(core, conn, what, (uint16_t)limit);
    } else if (sscanf(text, "L %u %u", &what, &limit) == 2) {
        core_set_group_max_lag(core, conn, what, (uint16_t)limit);
    } else if (text[0] == 'Q') {
        on_resume(core, conn, text);
        return;
    } else if (text[0] == 'Z') {
        on_replay(core, conn, text);
        return;
    } else if (sscanf(text, "N %u", &what) == 1) {
        on_snapshot(core, conn, what);
        return;
    } else if (text[0] == 'K') {
        core_close(core, conn, 4000, "asked for");
    } else if (sscanf(text, "U %u", &what) == 1) {
        result = core_unsubscribe(core, conn, what);
    } else if (sscanf(text, "V %u", &what) == 1) {
        result = core_unsubscribe_group(core, conn, what);
    } else {
        world_fail("a message arrived that nobody sent");
    }
    EXPECT(result == 0 || world.is_scarce);
    reply(core, conn, text);
}

/* Some are answered in a later slice, and some are all that a slice has room for. */
static void on_message(void *context, struct core *core, uint32_t conn, enum ws_opcode opcode,
                       uint8_t *payload, size_t payload_bytes, uint64_t now_ns)
{
    char *text = world.asked[conn];
    (void)context, (void)opcode, (void)now_ns;
    assert_always(payload_bytes < sizeof world.asked[conn]);
    memcpy(text, payload, payload_bytes);
    text[payload_bytes] = '\0';
    if (sim_random(8) == 0) {
        core_spend(core, CORE_SLICE_UNITS);
    }
    if (sim_random(8) == 0) {
        world.holds++;
        core_hold(core, conn);
    } else {
        world.is_asked = true;
        answer(core, conn, text);
        world.is_asked = false;
    }
}

static bool on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    if (sim_random(2) == 0) {
        return false;
    }
    world.is_asked = true;
    answer(core, conn, world.asked[conn]);
    world.is_asked = false;
    return true;
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    struct told *told = &world.told[conn];
    (void)context, (void)core;
    world.ends++;
    EXPECT(!world.is_asked); /* No call of the core's ends a conn on the spot. */
    EXPECT(!told->is_known || end->close_code == told->code);
    EXPECT(!told->is_known || end->frames_sent == told->received);
    EXPECT(!told->is_known || end->frames_lost == told->lost);
    told->is_known = false;
}

/* Once a second, even for a conn that is tried again every few milliseconds. */
static void on_tick(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core;
    EXPECT(now_ns >= world.ticked_ns[conn] + NS_PER_SECOND);
    world.ticked_ns[conn] = now_ns;
}

static void on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    core_send_text(core, conn, "H", 1);
}

static void on_lag(void *context, struct core *core, uint32_t conn, const struct core_lag *lag)
{
    (void)context;
    EXPECT(lag->is_behind && lag->bytes > 0);
    world.lags++;
    core_send_text(core, conn, "L", 1);
}

static void on_drain(void *context, struct core *core, uint32_t conn, uint64_t close_ns,
                     uint64_t end_ns)
{
    (void)context;
    EXPECT(close_ns <= end_ns && end_ns <= DRAIN_NS);
    core_send_text(core, conn, "O", 1);
}

static void on_channel(void *context, struct core *core, uint32_t channel)
{
    (void)context, (void)core, (void)channel;
}

static size_t write_gap(void *context, char *out, uint32_t channel, uint64_t from_seq,
                        uint64_t to_seq, const char *reason)
{
    (void)context;
    return (size_t)sprintf(out, "X %u %llu %llu %s", channel, (unsigned long long)from_seq,
                           (unsigned long long)to_seq, reason);
}

static uint32_t channel_count(void *context)
{
    (void)context;
    return world.channel_count;
}

static void on_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core, (void)level, (void)text;
}

/* Some requests are decided in a later turn. */
static enum core_grant on_request(void *context, struct core *core, uint32_t conn, uint64_t now_ns,
                                  const struct core_request *request,
                                  struct core_refusal *refusal_out)
{
    (void)context, (void)core, (void)conn, (void)now_ns, (void)request, (void)refusal_out;
    bool is_later = sim_random(3) == 0;
    world.later += is_later;
    return is_later ? CORE_LATER : CORE_GRANTED;
}

static struct core_ops ops = {
    .on_request = on_request,
    .on_open = on_open,
    .on_message = on_message,
    .on_continue = on_continue,
    .on_close = on_close,
    .on_tick = on_tick,
    .on_quiet = on_quiet,
    .on_lag = on_lag,
    .on_drain = on_drain,
    .on_channel = on_channel,
    .recode = recode,
    .on_replay_end = on_replay_end,
    .on_turn = on_turn,
    .write_gap = write_gap,
    .channel_count = channel_count,
    .log = on_log,
};

static void world_step(void *context, struct engine *engine, uint64_t timeout_ns)
{
    (void)context, (void)engine;
    sim_pass_time(timeout_ns);
    EXPECT(timeout_ns == 0 || !is_any_pinned());
    if (world.publishes_elsewhere && sim.now_ns >= world.next_publish_ns) {
        world.next_publish_ns = on_publish(NULL, sim.now_ns);
    }
    for (uint32_t i = 0; i < CLIENTS && world.fault[0] == '\0'; i++) {
        world.client = &world.clients[i];
        client_step(&world.clients[i]);
    }
    if (world.floods && world.fault[0] == '\0') {
        flood_step();
    }
    if (world.fault[0] != '\0') {
        core_stop(world.core);
    }
    /* What every client must have reached, shortly before the end. */
    if (sim.now_ns > world.began_ns + NOISE_NS + CALM_NS - NS_PER_SECOND / 2) {
        flood_check();
        for (uint32_t i = 0; i < CLIENTS; i++) {
            const struct client *client = &world.clients[i];
            EXPECT(client->state != CLIENT_SHAKING || !world.never_encodes); /* 5 s are over. */
            if (client->state != CLIENT_READY || client->asked > 0) {
                continue;
            }
            struct core_conn_stats stats;
            core_conn_stats(world.core, client->conn, &stats);
            EXPECT(stats.frames_lost == client->lost);
            EXPECT(stats.frames_sent == client->received);
            EXPECT(client->peer.tls == NULL || !client->tls.owes_update);
            EXPECT(client->left_conflated || stats.frames_conflated == client->conflated);
            for (uint32_t channel = 0; channel < CHANNELS; channel++) {
                const struct expected *expected = &client->channels[channel];
                EXPECT(expected->next == NOT_EXPECTED ||
                       expected->next == world.published[channel] + 1);
                EXPECT(expected->next == NOT_EXPECTED || !expected->snapshot);
                EXPECT(expected->next == NOT_EXPECTED || !expected->restart_due);
            }
        }
    }
}

static void check_core_is_empty(void)
{
    EXPECT(counter_get(&world.counters.conns_open) == 0);
    EXPECT(counter_get(&world.counters.accepted) == sim_peer_ended(&world.counters));
    EXPECT(counter_get(&world.counters.conns_streaming) == 0);
    EXPECT(counter_get(&world.counters.conns_blocked) == 0);
    EXPECT(counter_get(&world.counters.subscriptions) == 0);
    EXPECT(world.core->links.out_pool.free_count == world.out_block_count);
    EXPECT(world.core->fan.replay_count == 0);
    EXPECT(world.core->links.free_input_count == world.core->links.input_count);
    EXPECT(world.core->fan.group_seqs_bytes == world.seqs_bytes);
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        const struct fan_stream *stream = &world.core->fan.streams[i];
        EXPECT(stream->group_lists_used == 0);
        EXPECT(stream->subs.count == 0);
        EXPECT(!is_pinned(stream->log));
    }
    EXPECT(core_claims_count(&world.claims, 1) == 0);
    EXPECT(atomic_load(world.core->options.conn_count) == 0);
    EXPECT(atomic_load(world.core->options.place_count) == 0);
    for (uint32_t i = 0; i < sim.socket_count; i++) {
        EXPECT(!sim.sockets[i].accepted || sim.sockets[i].server_closed);
    }
}

/* As if others had all but the last of what the core's pools hold. */
static void make_scarce(struct core *core)
{
    world.is_scarce = true;
    core->links.out_pool.free_count = (uint32_t)(20 + sim_random(200));
    core->fan.group_seqs_bytes = PROGRESS_SEQS_BYTES_MAX - 1024 * (1 + sim_random(8));
}

static void create_logs(uint64_t seed)
{
    struct frame_log_options log_options = {
        .capacity_bytes = 1 * MIB,
        .frame_bytes_max = FRAME_BYTES_MAX,
        .channel_count_max = CHANNELS,
        .reader_count = 1,
    };
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        log_options.is_lazy = i > 0;
        assert_always(frame_log_create(&world.encodings[i].log, &log_options) == 0);
    }
    atomic_store(&world.encodings[0].run, 1);
    world.encodings[1].takes_json = seed % 3 == 0;
}

/* From one start of the server to its end. */
static void run_life(uint64_t seed, uint32_t life)
{
    char error[512];
    static _Atomic uint32_t conn_count;
    static _Atomic uint32_t place_count;
    atomic_store(&conn_count, 0);
    atomic_store(&place_count, 0);
    world.epoch = life + 1;
    create_logs(seed);
    sim_open(seed + life * UINT64_C(1000000007), SOCKETS + (world.floods ? FLOOD_CLIENTS : 0),
             world_step, NULL);
    flood_begin();
    sim.cq_entries = cq_sizes[seed % (sizeof cq_sizes / sizeof cq_sizes[0])];
    sim.delivers_first = seed % 10 < 5;
    world.began_ns = sim.now_ns;
    world.channel_count = CHANNELS_AT_FIRST;
    world.publishes_elsewhere = seed % 2 == 0;
    world.drains = seed % 7 < 3;
    world.refuses = seed / 7 % 2 == 0;
    world.drains_at_ns = 0;
    world.never_encodes = seed % 11 == 0;
    world.second_is_rare = seed % 5 > 1;
    world.second_is_small = seed / 2 % 2 == 0;
    static const struct handshake_protocol protocols[] = {{"first", 0, 0}, {SIM_PEER_SECOND, 1, 1}};
    struct core_options options = {
        .site = {.protocols = protocols, .protocol_count = 2},
        .cpu = -1,
        .conn_count_max = CLIENTS + 8 + (world.floods ? FLOOD_CLIENTS : 0),
        .conn_count = &conn_count,
        .place_count = &place_count,
        .heartbeat_interval_ns = NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .max_lag_ns = world.has_limit ? 200 * NS_PER_MS : 0,
        .zero_copy = {.tcp_bytes = seed % 4 == 3 ? 0 : 1000},
        .listeners = {{.fd = WORLD_LISTENER_FD}, {.fd = WORLD_TLS_LISTENER_FD, .is_tls = true}},
        .listener_count = world.has_tls ? 2 : 1,
        .tls = world.has_tls ? sim_tls_open() : NULL,
        .encodings = world.encodings,
        .encoding_count = ENCODINGS,
        .claims = &world.claims,
        .counters = &world.counters,
        .ops = &ops,
        .publish = world.publishes_elsewhere ? NULL : on_publish,
        .open_engine = sim_engine_open,
        .clock = sim_clock,
    };
    assert_always(core_create(&world.core, &options, error, sizeof error) == 0);
    if (seed % 5 == 0) {
        make_scarce(world.core);
    }
    world.out_block_count = world.core->links.out_pool.free_count;
    world.seqs_bytes = world.core->fan.group_seqs_bytes;
    EXPECT(core_run(world.core) == 0);
    if (world.fault[0] == '\0') {
        check_core_is_empty();
    }
    world.late_count += sim.late_count;
    world.linked_frames += world.core->fan.linked_frames;
    world.linked_cuts += world.core->fan.linked_cuts;
    world.replaced_bytes += world.encodings[0].log->replaced_bytes;
    core_destroy(world.core);
    if (world.has_tls) {
        EXPECT(sim_tls_left() == 0 || world.fault[0] != '\0');
        sim_tls_close();
    }
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        frame_log_destroy(world.encodings[i].log);
    }
    sim_close();
}

/* What clients remember, and what is counted, stays. */
static void begin_anew(void)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world.clients[i];
        if (client->state == CLIENT_READY) {
            client_remember(client);
        }
        client->state = CLIENT_AWAY;
    }
    memset(world.encodings, 0, sizeof world.encodings);
    world.claims = (struct core_claims){.open_max = ENCODINGS - 1};
    memset(&world.counters, 0, sizeof world.counters);
    memset(world.ticked_ns, 0, sizeof world.ticked_ns);
    memset(world.published, 0, sizeof world.published);
    memset(world.told, 0, sizeof world.told);
    world.is_scarce = false;
    world.next_publish_ns = 0;
}

static bool run_seed(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.has_limit = seed % 3 == 0;
    world.has_tls = seed % 4 != 0;
    world.floods = seed % 12 == 1;
    memset(&sim_tls_marks, 0, sizeof sim_tls_marks);
    uint32_t lives = seed % 3 == 1 ? 2 : 1;
    for (uint32_t life = 0; life < lives && world.fault[0] == '\0'; life++) {
        begin_anew();
        run_life(seed, life);
    }
    if (world.fault[0] != '\0') {
        printf("seed %llu: %s; again with: sim_core %llu 1\n", (unsigned long long)seed,
               world.fault, (unsigned long long)seed);
    }
    return world.fault[0] == '\0';
}

/* How often something happened in a history. */
#define MARKS(MARK)                                                                                \
    MARK(world.frames, "frames received")                                                          \
    MARK(world.gaps, "GAPs")                                                                       \
    MARK(counter_get(&world.counters.laps), "laps")                                                \
    MARK(world.closes, "Closes")                                                                   \
    MARK(sim.cut_count, "sends cut")                                                               \
    MARK(sim.full_count, "sends into a full socket")                                               \
    MARK(world.lags, "LAGs")                                                                       \
    MARK(counter_get(&world.counters.closed_drain), "closed by a drain")                           \
    MARK(sim.lent_count, "sends by reference")                                                     \
    MARK(world.replaced_bytes, "bytes of lent pages given away")                                   \
    MARK(world.later, "requests decided later")                                                    \
    MARK(world.runs, "begins of the second encoding")                                              \
    MARK(world.resumed, "channels resumed whole")                                                  \
    MARK(world.resumed_in_part, "channels resumed with a GAP")                                     \
    MARK(world.past_frames, "frames of the past")                                                  \
    MARK(world.snapshots, "snapshots")                                                             \
    MARK(world.images, "images asked for")                                                         \
    MARK(world.late_count, "late completions")                                                     \
    MARK(world.linked_frames, "frames found by their channel's links")                             \
    MARK(world.linked_cuts, "frames taken back by them after a cut")                               \
    MARK(world.replays, "replays")                                                                 \
    MARK(world.whole_replays, "whole replays")                                                     \
    MARK(world.holds, "messages answered in slices")                                               \
    MARK(world.recoded, "frames of the past put into the second encoding")                         \
    MARK(world.as_json, "frames of the past sent as they were")                                    \
    MARK(sim_tls_marks.finished, "TLS handshakes finished")                                        \
    MARK(sim_tls_marks.refused, "TLS handshakes refused")                                          \
    MARK(sim_tls_marks.given_up, "TLS handshakes given up")                                        \
    MARK(sim_tls_marks.records, "TLS records opened")                                              \
    MARK(sim_tls_marks.tickets, "TLS tickets")                                                     \
    MARK(sim_tls_marks.updates, "TLS keys changed by the server")                                  \
    MARK(sim_tls_marks.notified, "close_notifys")                                                  \
    MARK(sim_tls_marks.spoilt, "TLS records spoilt")                                               \
    MARK(sim_tls_marks.alerts, "fatal TLS alerts")                                                 \
    MARK(world.flooded, "clients of a flood served")                                               \
    MARK(world.waiting_max, "clients that waited for a TLS handshake")                             \
    MARK(world.flushed, "frames whose flush was counted as foreseen")                              \
    MARK(counter_get(&world.counters.blocked_ns), "nanoseconds that sockets were full")            \
    MARK(counter_get(&world.counters.overslept_ns), "nanoseconds overslept")

static const char *const mark_names[] = {
#define MARK(value, name) name,
    MARKS(MARK)
#undef MARK
};

#define MARK_COUNT (sizeof mark_names / sizeof mark_names[0])

static void add_marks(uint64_t sums[MARK_COUNT])
{
#define MARK(value, name) *sums++ += (value);
    MARKS(MARK)
#undef MARK
}

/* What never happens in the usual number of seeds is not tested: returns how many such marks. */
static uint64_t print_marks(const uint64_t sums[MARK_COUNT], bool must_happen)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < MARK_COUNT; i++) {
        bool is_missing = must_happen && sums[i] == 0;
        printf("%llu %s%s\n", (unsigned long long)sums[i], mark_names[i],
               is_missing ? ": the simulation no longer exercises this" : "");
        missing += is_missing;
    }
    return missing;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : SEEDS_DEFAULT;
    uint64_t passed = 0;
    uint64_t sums[MARK_COUNT] = {0};
    printf("seeds %llu to %llu\n", (unsigned long long)seed,
           (unsigned long long)(seed + count - 1));
    for (uint64_t i = 0; i < count; i++) {
        passed += run_seed(seed + i);
        add_marks(sums);
    }
    uint64_t failed = count - passed + print_marks(sums, argc == 1);
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
