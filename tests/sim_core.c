/*
 * sim_core: a whole core on a simulated kernel, with clients that check every byte.
 *
 * Run  sim_core [SEED [COUNT]]     (without: 40 seeds from 1)
 *
 * Each seed is one history of clients that connect, subscribe, stall, leave and are cut off, while
 * frames are published in bursts that lap the slow ones. Each client knows what it may be sent:
 * frames exactly as they were published, each channel in order, nothing twice, every loss told by a
 * GAP before the next frame or allowed by conflation. Who comes back goes on with the cursors that
 * it had: each frame that it missed comes once, or is within a GAP, whatever the policy. Every
 * third history has two lives: the world is made anew in between, and seqs begin again. After the
 * noise all of them must be up to date, and the core must hold nothing any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "ring/core_state.h"
#include "ring/history.h"
#include "tests/sim_peer.h"

#define CHANNELS 80 /* More than the first table of a conn that pulls groups has. */
#define CHANNELS_AT_FIRST 12
#define GROUPS 3 /* channel % 3; 0 and 2 are full images */
#define CLIENTS 24
#define ENCODINGS 2 /* The second begins and ends as clients come and go. */
#define SOCKETS 64  /* A client may be back before its old one is closed. */
#define FRAME_BYTES_MAX 4096
#define NOISE_NS NS_PER_SECOND
#define CALM_NS (6 * NS_PER_SECOND)
#define DRAIN_NS (NS_PER_SECOND / 4)
#define SEEDS_DEFAULT 40
#define NOT_EXPECTED 0
#define RESUMED_MAX 20 /* cursors in a message */
#define MESSAGE_MAX (64 + 32 * RESUMED_MAX)

enum client_state {
    CLIENT_AWAY,
    CLIENT_SHAKING,
    CLIENT_READY,
};

struct expected {
    uint64_t next; /* NOT_EXPECTED: not subscribed */
    /* Conflated at some time since its last frame: what was passed over then is told by no GAP. */
    bool conflated;
    bool snapshot; /* the newest frame, next - 1, may come first */
    /* Frames up to it are of before the client resumed: none is conflated. */
    uint64_t past_seq;
    bool restart_due; /* The next GAP says that the epoch is another. */
};

struct client {
    enum client_state state;
    uint32_t conn; /* told by WELCOME */
    uint32_t encoding;
    struct sim_peer peer;
    uint64_t stalled_until_ns;
    size_t read_max;
    struct expected channels[CHANNELS];
    uint8_t group_mask;
    bool group_conflates[GROUPS];
    bool exact[CHANNELS];
    bool exact_conflates[CHANNELS];
    uint32_t asked;        /* requests that are under way */
    bool has_limit;        /* Asked for a max_lag_ms once. */
    uint32_t once_channel; /* A snapshot is to come next, ... */
    uint64_t once_seq;     /* ... of this frame; 0: none. */
    bool closed_by_server;
    bool may_be_cut;      /* Asked for LAG_DISCONNECT once. */
    bool asked_for_close; /* by 4000 */
    bool was_told_of_drain;
    bool left_conflated; /* What was passed over when it unsubscribed, it cannot count. */
    uint64_t received, lost, conflated;
    /* Kept when it connects again. */
    uint64_t cursors[CHANNELS]; /* 1 + the last seq it got; 0: none */
    uint32_t epoch;
};

/* What a client had got when it read a Close frame. */
struct told {
    bool is_known;
    uint16_t code;
    uint64_t received, lost;
};

static struct {
    struct core *core;
    struct core_encoding encodings[ENCODINGS];
    struct core_counters counters;
    struct client clients[CLIENTS];
    uint64_t published[CHANNELS];
    uint32_t channel_count; /* Others come as time goes by. */
    uint64_t began_ns;
    char fault[256];             /* empty: none */
    const struct client *client; /* whose bytes are looked at */
    struct told told[CLIENTS + 8 + CORE_SPARE_CONNS];
    bool has_limit;           /* --max-lag-ms */
    bool publishes_elsewhere; /* while the core is inside enter() */
    bool is_scarce;           /* The core's pools are so small that clients are cut off. */
    uint32_t out_block_count;
    uint64_t seqs_bytes;
    uint64_t next_publish_ns;
    uint64_t gaps, frames, closes, ends, runs, lags;
    uint64_t resumed, resumed_in_part, past_frames, snapshots;
    uint32_t epoch;
    bool never_encodes; /* Who wants the second encoding waits in vain. */
    bool drains;        /* It is drained before it is stopped. */
    uint64_t drains_at_ns;
    uint64_t replaced_bytes;
} world;

static void fail(const char *what)
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

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail(#condition);                                                                      \
        }                                                                                          \
    } while (0)

static bool is_full_image(uint32_t channel)
{
    return channel % GROUPS != 1;
}

/* ---- What is published ---- */

static size_t frame_payload(char *out, uint32_t encoding, uint32_t channel, uint64_t seq)
{
    int head = sprintf(out, "%c %u %llu ", "DE"[encoding], channel, (unsigned long long)seq);
    size_t filler = (channel * 7919 + seq * 104729) % (FRAME_BYTES_MAX - 200);
    filler = filler % 5 == 0 ? filler : filler % 200; /* Mostly short. */
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

/* For a pin of the core. Nobody would take that back: there is one thread only. */
static bool writer_would_wait(void)
{
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        const struct frame_log *log = world.encodings[i].log;
        if (is_pinned(log) &&
            (log->write_position + log->frame_bytes_max > log->reserved_position ||
             log->write_index >= log->reserved_index)) {
            return true;
        }
    }
    return false;
}

/* With the newest images, as src/encodings.c does. */
static void begin_encoding(struct core_encoding *encoding)
{
    for (uint32_t channel = 0; channel < world.channel_count; channel++) {
        bool has_image = is_full_image(channel) && world.published[channel] > 0;
        frame_log_set_hash(encoding->log, channel, hash_of(1, channel, world.published[channel]));
        frame_log_set_next_seq(encoding->log, channel, (uint8_t)(channel % GROUPS),
                               world.published[channel] + !has_image);
        if (has_image) {
            write_frame(1, channel);
        }
    }
    frame_log_publish(encoding->log);
    atomic_fetch_add(&encoding->run, 1);
    world.runs++;
}

static void begin_or_end_encoding(void)
{
    struct core_encoding *encoding = &world.encodings[1];
    bool is_wanted = atomic_load(&encoding->conn_count) > 0 && !world.never_encodes;
    if (is_wanted && !is_written(1) && sim_random(3) == 0) {
        begin_encoding(encoding);
    } else if (!is_wanted && is_written(1) && !is_pinned(encoding->log) && sim_random(5) == 0) {
        atomic_fetch_add(&encoding->run, 1);
        frame_log_clear(encoding->log);
    }
}

static uint64_t on_publish(void *context, uint64_t now_ns)
{
    (void)context;
    if (now_ns > world.began_ns + NOISE_NS + CALM_NS + (world.drains ? DRAIN_NS : 0)) {
        core_stop(world.core);
        return UINT64_MAX;
    }
    if (world.drains && now_ns > world.began_ns + NOISE_NS + CALM_NS) {
        world.drains_at_ns = world.drains_at_ns == 0 ? now_ns : world.drains_at_ns;
        core_drain(world.core, world.drains_at_ns + DRAIN_NS);
    }
    if (now_ns > world.began_ns + NOISE_NS) {
        sim.calm = true;
        return now_ns + 10 * NS_PER_MS;
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
    return now_ns + sim_random(4 * NS_PER_MS);
}

/* ---- The server's side of the little protocol ---- */

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    char text[64];
    (void)context, (void)now_ns;
    core_send_text(core, conn, text, (size_t)sprintf(text, "W %u", conn));
}

static void reply(struct core *core, uint32_t conn, const char *command)
{
    char text[MESSAGE_MAX + CHANNELS * 24];
    int length = sprintf(text, "R %s", command);
    struct core_conn_stats stats;
    core_conn_stats(core, conn, &stats);
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        EXPECT(core_hash(core, conn, channel) ==
               hash_of(stats.encoding, channel, core_next_seq(core, conn, channel) - 1));
        length +=
            sprintf(text + length, " %llu", (unsigned long long)core_next_seq(core, conn, channel));
    }
    core_send_text(core, conn, text, (size_t)length);
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

/* "S ch policy snapshot", "P ch policy limit", "U ch", "G group policy snapshot", "V group",
 * "L group limit", "K", and the two above. */
static void on_message(void *context, struct core *core, uint32_t conn, enum ws_opcode opcode,
                       uint8_t *payload, size_t payload_bytes, uint64_t now_ns)
{
    char text[MESSAGE_MAX] = "";
    unsigned what, policy, snapshot, limit;
    int result = 0;
    (void)context, (void)opcode, (void)now_ns;
    assert_always(payload_bytes < sizeof text);
    memcpy(text, payload, payload_bytes);
    if (sscanf(text, "S %u %u %u", &what, &policy, &snapshot) == 3) {
        result = core_subscribe(core, conn, what, what % GROUPS, policy, snapshot, 1);
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
        fail("a message arrived that nobody sent");
    }
    EXPECT(result == 0 || world.is_scarce);
    reply(core, conn, text);
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    struct told *told = &world.told[conn];
    (void)context, (void)core;
    world.ends++;
    EXPECT(!told->is_known || end->close_code == told->code);
    EXPECT(!told->is_known || end->frames_sent == told->received);
    EXPECT(!told->is_known || end->frames_lost == told->lost);
    told->is_known = false;
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

static struct core_ops ops = {
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .on_quiet = on_quiet,
    .on_lag = on_lag,
    .on_drain = on_drain,
    .on_channel = on_channel,
    .write_gap = write_gap,
    .publish = on_publish,
    .channel_count = channel_count,
    .log = on_log,
};

/* ---- Clients ---- */

/* Its cursors are those of one epoch. */
static void client_remember(struct client *client)
{
    if (client->epoch != world.epoch) {
        memset(client->cursors, 0, sizeof client->cursors);
        client->epoch = world.epoch;
    }
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (client->channels[channel].next != NOT_EXPECTED) {
            client->cursors[channel] = client->channels[channel].next;
        }
    }
}

static void client_leave(struct client *client, bool with_reset)
{
    if (client->state == CLIENT_READY) {
        client_remember(client);
    }
    sim_client_close(client->peer.socket, with_reset);
    client->state = CLIENT_AWAY;
}

static void client_connect(struct client *client)
{
    memset(client, 0, offsetof(struct client, cursors));
    if (!sim_peer_connect(&client->peer, 2000 + sim_random(60000))) {
        return;
    }
    client->encoding = sim_random(4) == 0;
    sim_peer_request(&client->peer, client->encoding == 1 ? "md.sbe.v1" : NULL, SIZE_MAX);
    client->read_max = 200 + sim_random(60000);
    client->state = CLIENT_SHAKING;
}

static bool client_is_covered(const struct client *client, uint32_t channel)
{
    return client->exact[channel] || (client->group_mask & 1u << channel % GROUPS) != 0;
}

static void client_say(struct client *client, const char *text)
{
    client->asked++;
    sim_peer_send(&client->peer, WS_TEXT, text, strlen(text), SIZE_MAX);
}

/* To go on where it was: all of it, most of the time, in messages one after the other. Now and then
 * with a cursor that nobody can have. */
static void client_resume(struct client *client)
{
    char text[MESSAGE_MAX];
    unsigned policy = (unsigned)sim_random(2);
    uint64_t leave_out = sim_random(3) == 0 ? 3 : UINT64_MAX;
    int length = 0;
    uint32_t count = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (client->cursors[channel] == 0 || sim_random(leave_out) == 0) {
            continue;
        }
        uint64_t seq = client->cursors[channel] - 1;
        seq += sim_random(200) == 0 ? sim_random(3) : 0;
        seq -= sim_random(50) == 0 ? sim_random(seq + 1) : 0;
        if (count == 0) {
            length = sprintf(text, "Q %u %u", client->epoch, policy);
        }
        length += sprintf(text + length, " %u %llu", channel, (unsigned long long)seq);
        if (++count == RESUMED_MAX) {
            client_say(client, text);
            count = 0;
        }
    }
    if (count > 0) {
        client_say(client, text);
    }
}

/* Something random that makes sense. */
static void client_ask(struct client *client)
{
    char text[64];
    uint32_t channel = (uint32_t)sim_random(world.channel_count);
    uint32_t group = (uint32_t)sim_random(GROUPS);
    unsigned policy = (unsigned)sim_random(sim_random(10) == 0 ? 3 : 2);
    unsigned snapshot = (unsigned)sim_random(2);
    unsigned limit = sim_random(3) == 0 ? (unsigned)(1 + sim_random(300)) : 0;
    if (sim_random(20) == 0) { /* Also of what it subscribes to already. */
        client_remember(client);
        client_resume(client);
        return;
    }
    client->may_be_cut |= policy == LAG_DISCONNECT;
    if (sim_random(100) == 0) {
        sprintf(text, "K");
        client->asked_for_close = true;
    } else if (sim_random(10) == 0) {
        sprintf(text, "N %u", channel);
    } else if (client->exact[channel] && sim_random(2) == 0) {
        sprintf(text, "P %u %u %u", channel, policy, limit);
        client->has_limit |= limit > 0;
    } else if (sim_random(4) > 0) {
        client->exact[channel] ? sprintf(text, "U %u", channel)
                               : sprintf(text, "S %u %u %u", channel, policy, snapshot);
    } else if ((client->group_mask & 1u << group) == 0) {
        sprintf(text, "G %u %u %u", group, policy, snapshot);
    } else if (sim_random(2) == 0) {
        sprintf(text, "L %u %u", group, limit);
        client->has_limit |= limit > 0;
    } else {
        sprintf(text, "V %u", group);
    }
    client_say(client, text);
}

static void client_begin(struct client *client, uint32_t channel, uint64_t next, unsigned snapshot)
{
    struct expected *expected = &client->channels[channel];
    if (expected->next == NOT_EXPECTED) {
        *expected = (struct expected){
            .next = next,
            .snapshot = snapshot && next > 1 && is_full_image(channel),
        };
    }
}

/* What comes next may have others before it that are passed over. */
static bool client_conflates(const struct client *client, uint32_t channel)
{
    const struct expected *expected = &client->channels[channel];
    bool conflates = client->exact[channel] ? client->exact_conflates[channel]
                                            : client->group_conflates[channel % GROUPS];
    return conflates && is_full_image(channel) && expected->next > expected->past_seq;
}

/* What it resumes may come twice, if it had it already; or it may pass something over. */
static void client_on_resumed(struct client *client, const char *text)
{
    unsigned policy, channel;
    unsigned long long seq, newest;
    int result, used;
    client->asked--;
    EXPECT(sscanf(text, "Q %u%n", &policy, &used) == 1);
    for (text += used;
         sscanf(text, "%u %llu %d %llu%n", &channel, &seq, &result, &newest, &used) == 4;
         text += used) {
        EXPECT(result <= 0 || newest > seq || client->epoch != world.epoch);
        if (result < 0) {
            continue;
        }
        bool is_same_epoch = client->epoch == world.epoch;
        struct expected *expected = &client->channels[channel];
        client->left_conflated |= expected->conflated;
        *expected = (struct expected){
            .next = is_same_epoch ? seq + 1 : 1,
            .past_seq = newest,
            .restart_due = !is_same_epoch && result == 1,
        };
        client->exact[channel] = true;
        client->exact_conflates[channel] = policy == LAG_CONFLATE;
        expected->conflated = client_conflates(client, channel);
        world.resumed += result == 0;
        world.resumed_in_part += result == 1;
    }
}

static void client_on_snapshot(struct client *client, const char *text)
{
    unsigned channel;
    unsigned long long as_of;
    int error;
    client->asked--;
    EXPECT(sscanf(text, "N %u %llu %d", &channel, &as_of, &error) == 3);
    if (error != 0) {
        return;
    }
    world.snapshots++;
    const struct expected *expected = &client->channels[channel];
    /* What is still to come of a channel follows on it. */
    EXPECT(expected->next == NOT_EXPECTED || as_of + 1 == expected->next ||
           (as_of + 1 > expected->next && expected->conflated));
    client->once_channel = channel;
    client->once_seq = as_of;
}

static void client_on_reply(struct client *client, const char *text)
{
    unsigned what, policy = 0, snapshot = 0;
    uint64_t next[CHANNELS];
    char command = text[2];
    client->asked--;
    int fields = sscanf(text + 3, "%u", &what);
    const char *at = strchr(text + 4, ' ');
    if (command == 'S' || command == 'G') {
        fields += sscanf(at, "%u %u", &policy, &snapshot);
        at = strchr(strchr(at + 1, ' ') + 1, ' ');
    }
    if (command == 'P' || command == 'L') {
        fields += sscanf(at, "%u", &policy);
        at = strchr(at + 1, ' ');
        at = command == 'P' ? strchr(at + 1, ' ') : at;
    }
    EXPECT(fields == (command == 'S' || command == 'G'   ? 3
                      : command == 'P' || command == 'L' ? 2
                                                         : 1));
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        char *end;
        next[channel] = strtoull(at, &end, 10);
        at = end;
    }
    if (command == 'S') {
        client_begin(client, what, next[what], snapshot);
        client->exact[what] = true;
        client->exact_conflates[what] = policy == LAG_CONFLATE;
    } else if (command == 'P') {
        client->exact_conflates[what] = policy == LAG_CONFLATE;
    } else if (command == 'U') {
        client->exact[what] = false;
    }
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (command == 'G' && channel % GROUPS == what && !client->exact[channel]) {
            client_begin(client, channel, next[channel], snapshot);
        }
    }
    if (command == 'G') {
        client->group_mask |= (uint8_t)(1u << what);
        client->group_conflates[what] = policy == LAG_CONFLATE;
    } else if (command == 'V') {
        client->group_mask &= (uint8_t) ~(1u << what);
    }
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (!client_is_covered(client, channel)) {
            client->left_conflated |= client->channels[channel].conflated;
            client->channels[channel].next = NOT_EXPECTED;
        }
        client->channels[channel].conflated |= client_conflates(client, channel);
    }
}

static void client_on_frame(struct client *client, const char *text, size_t count)
{
    static char published[FRAME_BYTES_MAX];
    unsigned channel;
    unsigned long long seq;
    world.frames++;
    if (sscanf(text + 1, " %u %llu", &channel, &seq) != 2 || channel >= CHANNELS) {
        fail("a data frame that was never published");
        return;
    }
    struct expected *expected = &client->channels[channel];
    EXPECT(seq <= world.published[channel]);
    EXPECT(frame_payload(published, client->encoding, channel, seq) == count);
    EXPECT(memcmp(published, text, count) == 0);
    EXPECT(expected->next != NOT_EXPECTED || client->once_seq != 0);
    client->received++;
    if (client->once_seq != 0) {
        EXPECT(channel == client->once_channel && seq == client->once_seq);
        client->once_seq = 0;
        return;
    }
    EXPECT(!expected->restart_due || (seq == 1 && expected->next == 1));
    expected->restart_due = false;
    world.past_frames += seq <= expected->past_seq;
    if (expected->snapshot && seq + 1 == expected->next) {
        expected->snapshot = false;
        return;
    }
    expected->snapshot = false;
    EXPECT(seq >= expected->next);
    EXPECT(seq == expected->next || expected->conflated);
    client->conflated += seq - expected->next;
    expected->next = seq + 1;
    expected->conflated = client_conflates(client, channel);
}

static void client_on_gap(struct client *client, const char *text)
{
    unsigned channel;
    unsigned long long from, to;
    char reason[16];
    world.gaps++;
    EXPECT(sscanf(text, "X %u %llu %llu %15s", &channel, &from, &to, reason) == 4);
    struct expected *expected = &client->channels[channel % CHANNELS];
    EXPECT(expected->restart_due == (strcmp(reason, "restart") == 0));
    EXPECT(!expected->restart_due || from == 1);
    EXPECT(strcmp(reason, "lag") != 0 || client->has_limit || world.has_limit);
    expected->restart_due = false;
    EXPECT(from == expected->next || (from > expected->next && expected->conflated));
    client->conflated += from - expected->next;
    EXPECT(to >= from && to <= world.published[channel % CHANNELS]);
    expected->next = to + 1;
    expected->conflated |= client_conflates(client, channel);
    expected->snapshot = false;
    client->lost += to - from + 1;
}

static bool core_is_stopping(void)
{
    return sim.now_ns > world.began_ns + NOISE_NS + CALM_NS;
}

static void client_on_close(struct client *client, const struct ws_message *message)
{
    uint16_t code = message->payload_bytes >= 2 ? bytes_load_be16(message->payload) : 0;
    EXPECT((code == 4000 && client->asked_for_close) || (code == 4108 && client->may_be_cut) ||
           (code == 1001 && core_is_stopping() && !world.drains) ||
           (code == 4201 && client->was_told_of_drain));
    client->closed_by_server = true;
    world.closes++;
    world.told[client->conn] = (struct told){
        .is_known = true,
        .code = code,
        .received = client->received,
        .lost = client->lost,
    };
}

static void client_on_message(void *context, const struct ws_message *message)
{
    struct client *client = context;
    static char text[SIM_PEER_MESSAGE_BYTES_MAX + 1];
    memcpy(text, message->payload, message->payload_bytes);
    text[message->payload_bytes] = '\0';
    EXPECT(!client->closed_by_server);
    if (message->opcode == WS_PING) {
        sim_peer_send(&client->peer, WS_PONG, text, message->payload_bytes, SIZE_MAX);
    } else if (message->opcode == WS_CLOSE) {
        client_on_close(client, message);
    } else if (text[0] == 'W') {
        client->conn = (uint32_t)strtoul(text + 2, NULL, 10);
    } else if (text[0] == 'R') {
        client_on_reply(client, text);
    } else if (text[0] == 'Q') {
        client_on_resumed(client, text);
    } else if (text[0] == 'N') {
        client_on_snapshot(client, text);
    } else if (text[0] == 'X') {
        client_on_gap(client, text);
    } else if (text[0] == 'D' || text[0] == 'E') {
        client_on_frame(client, text, message->payload_bytes);
    } else {
        client->was_told_of_drain |= text[0] == 'O';
        EXPECT(text[0] == 'H' || text[0] == 'L' || text[0] == 'O');
    }
}

static void client_read(struct client *client)
{
    size_t max = sim.calm ? SIZE_MAX : client->read_max;
    const char *fault = sim_peer_read(&client->peer, max, client_on_message, client);
    if (fault != NULL) {
        fail(fault);
    }
    if (client->peer.is_open && client->state == CLIENT_SHAKING) {
        client->state = CLIENT_READY;
        if (sim_random(4) > 0) {
            client_resume(client);
        }
    }
}

static void client_step(struct client *client)
{
    if (client->state == CLIENT_AWAY) {
        if (!sim.calm && sim_random(300) == 0) {
            client_connect(client);
        }
        return;
    }
    const struct sim_socket *socket = client->peer.socket;
    if (client->closed_by_server || (socket->server_closed && socket->to_client_bytes == 0)) {
        EXPECT(client->closed_by_server || client->state == CLIENT_SHAKING || world.is_scarce ||
               core_is_stopping());
        client_leave(client, false);
        return;
    }
    if (!sim.calm && sim_random(4000) == 0) {
        client_leave(client, sim_random(2) == 0);
        return;
    }
    if (!sim.calm && sim_random(1500) == 0) {
        client->stalled_until_ns = sim.now_ns + sim_random(900 * NS_PER_MS);
    }
    if (sim.now_ns >= client->stalled_until_ns || sim.calm) {
        client_read(client);
    }
    if (client->state == CLIENT_READY && client->asked == 0 && !sim.calm && sim_random(60) == 0) {
        client_ask(client);
    }
}

static void world_step(void *context)
{
    (void)context;
    if (world.publishes_elsewhere && sim.now_ns >= world.next_publish_ns) {
        world.next_publish_ns = on_publish(NULL, sim.now_ns);
    }
    for (uint32_t i = 0; i < CLIENTS && world.fault[0] == '\0'; i++) {
        world.client = &world.clients[i];
        client_step(&world.clients[i]);
    }
    if (world.fault[0] != '\0') {
        core_stop(world.core);
    }
    /* What every client must have reached, shortly before the end. */
    if (sim.now_ns > world.began_ns + NOISE_NS + CALM_NS - NS_PER_SECOND / 2) {
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
            EXPECT(client->left_conflated || stats.frames_conflated == client->conflated);
            for (uint32_t channel = 0; channel < CHANNELS; channel++) {
                const struct expected *expected = &client->channels[channel];
                EXPECT(expected->next == NOT_EXPECTED ||
                       expected->next == world.published[channel] + 1);
                EXPECT(expected->next == NOT_EXPECTED || !expected->snapshot);
                EXPECT(!expected->restart_due);
            }
        }
    }
}

static void check_core_is_empty(void)
{
    EXPECT(counter_get(&world.counters.conns_open) == 0);
    EXPECT(counter_get(&world.counters.conns_streaming) == 0);
    EXPECT(counter_get(&world.counters.conns_blocked) == 0);
    EXPECT(counter_get(&world.counters.subscriptions) == 0);
    EXPECT(world.core->out_pool.free_count == world.out_block_count);
    EXPECT(world.core->free_input_count == world.core->input_count);
    EXPECT(world.core->group_seqs_bytes == world.seqs_bytes);
    uint32_t hold_count = 0;
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        const struct core_stream *stream = &world.core->streams[i];
        for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
            EXPECT(stream->groups[group].count == 0);
        }
        EXPECT(stream->subs.count == 0);
        EXPECT(!is_pinned(stream->log));
        EXPECT(atomic_load(&stream->encoding->conn_count) == 0);
        hold_count += atomic_load(&stream->log->holds[0].count);
    }
    EXPECT(hold_count == sim_loans_open());
    for (uint32_t i = 0; i < SOCKETS; i++) {
        EXPECT(!sim.sockets[i].accepted || sim.sockets[i].server_closed);
    }
}

/* As if others had all but the last of what the core's pools hold. */
static void make_scarce(struct core *core)
{
    world.is_scarce = true;
    core->out_pool.free_count = (uint32_t)(20 + sim_random(200));
    core->group_seqs_bytes = PULLER_SEQS_BYTES_MAX - 1024 * (1 + sim_random(8));
}

/* From one start of the server to its end. */
static void run_life(uint64_t seed, uint32_t life)
{
    char error[512];
    static _Atomic uint32_t conn_count;
    atomic_store(&conn_count, 0);
    world.epoch = life + 1;
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
    sim_open(seed + life * UINT64_C(1000000007), SOCKETS, world_step, NULL);
    world.began_ns = sim.now_ns;
    world.channel_count = CHANNELS_AT_FIRST;
    world.publishes_elsewhere = seed % 2 == 0;
    world.drains = seed % 7 < 3;
    world.drains_at_ns = 0;
    world.never_encodes = seed % 11 == 0;
    ops.publish = world.publishes_elsewhere ? NULL : on_publish;
    struct core_options options = {
        .cpu = -1,
        .conn_count_max = CLIENTS + 8,
        .conn_count = &conn_count,
        .heartbeat_interval_ns = NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .max_lag_ns = world.has_limit ? 200 * NS_PER_MS : 0,
        .zero_copy_bytes = seed % 4 == 3 ? 0 : 1000,
        .listeners = {{.fd = 3}},
        .listener_count = 1,
        .encodings = world.encodings,
        .encoding_count = ENCODINGS,
        .counters = &world.counters,
        .ops = &ops,
        .open_engine = sim_engine_open,
        .clock = sim_clock,
    };
    assert_always(core_create(&world.core, &options, error, sizeof error) == 0);
    if (seed % 5 == 0) {
        make_scarce(world.core);
    }
    world.out_block_count = world.core->out_pool.free_count;
    world.seqs_bytes = world.core->group_seqs_bytes;
    EXPECT(core_run(world.core) == 0);
    if (world.fault[0] == '\0') {
        check_core_is_empty();
    }
    world.replaced_bytes += world.encodings[0].log->replaced_bytes;
    core_destroy(world.core);
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
    memset(&world.counters, 0, sizeof world.counters);
    memset(world.published, 0, sizeof world.published);
    memset(world.told, 0, sizeof world.told);
    world.is_scarce = false;
    world.next_publish_ns = 0;
}

static bool run_seed(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.has_limit = seed % 3 == 0;
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

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : SEEDS_DEFAULT;
    uint64_t passed = 0;
    uint64_t frames = 0, gaps = 0, laps = 0, closes = 0, cuts = 0, full = 0;
    uint64_t loans = 0, replaced_bytes = 0, runs = 0, lags = 0, drained = 0;
    uint64_t resumed = 0, in_part = 0, past_frames = 0, snapshots = 0;
    printf("seeds %llu to %llu\n", (unsigned long long)seed,
           (unsigned long long)(seed + count - 1));
    for (uint64_t i = 0; i < count; i++) {
        passed += run_seed(seed + i);
        frames += world.frames;
        gaps += world.gaps;
        laps += counter_get(&world.counters.laps);
        closes += world.closes;
        cuts += sim.cut_count;
        full += sim.full_count;
        loans += sim.loan_count;
        runs += world.runs;
        lags += world.lags;
        drained += counter_get(&world.counters.closed_drain);
        replaced_bytes += world.replaced_bytes;
        resumed += world.resumed;
        in_part += world.resumed_in_part;
        past_frames += world.past_frames;
        snapshots += world.snapshots;
    }
    printf("%llu frames received, %llu GAPs, %llu laps, %llu Closes, %llu sends cut, %llu full\n",
           (unsigned long long)frames, (unsigned long long)gaps, (unsigned long long)laps,
           (unsigned long long)closes, (unsigned long long)cuts, (unsigned long long)full);
    printf("%llu LAGs, %llu closed by a drain\n", (unsigned long long)lags,
           (unsigned long long)drained);
    printf("%llu loans, %llu bytes replaced under them; the second encoding began %llu times\n",
           (unsigned long long)loans, (unsigned long long)replaced_bytes, (unsigned long long)runs);
    printf(
        "%llu channels resumed whole, %llu with a GAP, %llu frames of the past, %llu snapshots\n",
        (unsigned long long)resumed, (unsigned long long)in_part, (unsigned long long)past_frames,
        (unsigned long long)snapshots);
    printf("%llu passed, %llu failed\n", (unsigned long long)passed,
           (unsigned long long)(count - passed));
    return passed == count ? 0 : 1;
}
