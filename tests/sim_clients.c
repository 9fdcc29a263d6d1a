/* sim_clients: who know what they may be sent, and check every byte of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "tests/sim_world.h"

/* Its cursors are those of one epoch. */
void client_remember(struct client *client)
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
    if (client->peer.tls != NULL && !with_reset && sim_random(2) == 0) {
        sim_tls_notify(client->peer.tls);
    }
    sim_client_close(client->peer.socket, with_reset);
    client->state = CLIENT_AWAY;
}

static void client_connect(struct client *client)
{
    memset(client, 0, offsetof(struct client, cursors));
    bool is_tls = world.has_tls && sim_random(2) == 0;
    if (!sim_peer_connect(&client->peer, is_tls ? WORLD_TLS_LISTENER_FD : WORLD_LISTENER_FD,
                          2000 + sim_random(60000), is_tls ? &client->tls : NULL)) {
        return;
    }
    client->encoding = sim_random(world.second_is_rare ? 8 : 4) == 0;
    struct handshake_wish wish = {
        .protocol = client->encoding == 1 ? SIM_PEER_SECOND : NULL,
    };
    sim_peer_request(&client->peer, wish, SIZE_MAX);
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

/* Where it never was, and its encoding mostly neither. */
static uint64_t client_far_back(uint32_t channel)
{
    uint64_t published = world.published[channel];
    return published - sim_random(published < 200 ? published + 1 : 200);
}

/* To go on where it was: all of it, most of the time, in messages one after the other. Now and then
 * with a cursor that nobody can have. Who has the second encoding also wants what was before it. */
static void client_resume(struct client *client)
{
    char text[MESSAGE_MAX];
    unsigned policy = (unsigned)sim_random(2);
    uint64_t leave_out = sim_random(3) == 0 ? 3 : UINT64_MAX;
    int length = 0;
    uint32_t count = 0;
    client->epoch = client->epoch == 0 ? world.epoch : client->epoch;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        bool goes_far = client->encoding == 1 && client->epoch == world.epoch &&
                        world.published[channel] > 0 && sim_random(2) == 0;
        if (!goes_far && (client->cursors[channel] == 0 || sim_random(leave_out) == 0)) {
            continue;
        }
        uint64_t seq = goes_far ? client_far_back(channel) : client->cursors[channel] - 1;
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

/* Of channels that it does not subscribe to: one from a seq on, or some from a time on. */
static bool client_replay(struct client *client)
{
    char text[MESSAGE_MAX];
    uint64_t now_ns = sim.now_ns + UINT64_C(1700000000000000000);
    uint32_t first = (uint32_t)sim_random(world.channel_count);
    bool by_seq = sim_random(2) == 0;
    uint64_t from = by_seq ? world.published[first] + 1 - sim_random(world.published[first] + 1)
                           : now_ns - sim_random(NOISE_NS / 3);
    uint64_t to = sim_random(2) == 0 ? 0 : from + sim_random(by_seq ? 300 : NOISE_NS / 6);
    uint32_t max = by_seq ? 1 : 1 + (uint32_t)sim_random(REPLAYED_MAX);
    unsigned policy = (unsigned)sim_random(2);
    uint32_t count = 0;
    int length = sprintf(text, "Z %u %llu %llu %u %u", by_seq, (unsigned long long)from,
                         (unsigned long long)to, (unsigned)sim_random(3), policy);
    for (uint32_t channel = first; channel < world.channel_count && count < max; channel++) {
        if (!client_is_covered(client, channel)) {
            length += sprintf(text + length, " %u", channel);
            count++;
        } else if (by_seq) {
            return false;
        }
    }
    if (count == 0) {
        return false;
    }
    client->has_replay_end = to != 0;
    client->replay_conflates = policy == LAG_CONFLATE;
    client_say(client, text);
    return true;
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
    if (sim_random(15) == 0 && client_replay(client)) {
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

static void client_on_replay(struct client *client, const char *text)
{
    unsigned channel;
    unsigned long long first, last;
    int result, used;
    EXPECT(sscanf(text, "Z %d%n", &result, &used) == 1);
    if (result < 0) {
        client->asked--;
        return;
    }
    world.replays++;
    for (text += used; sscanf(text, "%u %llu %llu%n", &channel, &first, &last, &used) == 3;
         text += used) {
        client->channels[channel] = (struct expected){.next = first, .past_seq = UINT64_MAX};
        client->replay_last[channel] = last;
    }
}

static void client_on_replay_end(struct client *client, const char *text)
{
    unsigned channel;
    unsigned long long last, newest;
    int is_whole, result, used;
    client->asked--;
    EXPECT(sscanf(text, "Y %d%n", &is_whole, &used) == 1);
    world.whole_replays += (uint64_t)is_whole;
    for (text += used;
         sscanf(text, "%u %llu %d %llu%n", &channel, &last, &result, &newest, &used) == 4;
         text += used) {
        struct expected *expected = &client->channels[channel];
        EXPECT(!is_whole || expected->next == client->replay_last[channel] + 1);
        EXPECT(!is_whole || last == client->replay_last[channel] ||
               (client->has_replay_end && last == 0));
        EXPECT(result >= 0 || world.is_scarce);
        bool goes_on = !client->has_replay_end && result >= 0;
        *expected =
            (struct expected){.next = goes_on ? last + 1 : NOT_EXPECTED, .past_seq = newest};
        client->exact[channel] = goes_on;
        client->exact_conflates[channel] = client->replay_conflates;
        expected->conflated = goes_on && client_conflates(client, channel);
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
        world_fail("a data frame that was never published");
        return;
    }
    struct expected *expected = &client->channels[channel];
    EXPECT(seq <= world.published[channel]);
    uint32_t encoding = text[0] == 'D' ? 0 : 1;
    bool is_as_json = encoding != client->encoding;
    /* Only the past, from before its encoding began. */
    EXPECT(!is_as_json || (world.encodings[1].takes_json && client->encoding == 1 &&
                           seq <= expected->past_seq && client->once_seq == 0));
    world.as_json += is_as_json;
    EXPECT(frame_payload(published, encoding, channel, seq) == count);
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
    EXPECT(strcmp(reason, "lag") != 0 || from > expected->past_seq);
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
    } else if (text[0] == 'Z') {
        client_on_replay(client, text);
    } else if (text[0] == 'Y') {
        client_on_replay_end(client, text);
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
        world_fail(fault);
    }
    if (client->peer.is_open && client->state == CLIENT_SHAKING) {
        client->state = CLIENT_READY;
        if (sim_random(4) > 0) {
            client_resume(client);
        } else if (client->encoding == 1) {
            (void)client_replay(client);
        }
    }
}

/* It leaves in the middle of its handshake, changes keys, or sends what is no record. */
static void client_step_tls(struct client *client)
{
    bool is_early = client->tls.state != SIM_TLS_KEYED;
    if (is_early && sim_random(6000) == 0) {
        client_leave(client, sim_random(2) == 0);
    } else if (sim_random(300) == 0) {
        sim_tls_update(&client->tls);
    } else if (sim_random(4000) == 0) {
        sim_tls_spoil(&client->tls);
    }
}

/* Whether nothing more will come. */
static bool client_has_ended(const struct client *client)
{
    const struct sim_socket *socket = client->peer.socket;
    bool is_over = socket->server_closed && socket->to_client_bytes == 0;
    if (client->peer.tls == NULL || !client->closed_by_server || is_over) {
        return client->closed_by_server || is_over;
    }
    /* The server's close_notify follows its Close, and then the end. */
    bool is_shut = socket->server_shut && socket->to_client_bytes == 0;
    EXPECT(!is_shut || client->tls.is_notified);
    return is_shut;
}

void client_step(struct client *client)
{
    if (client->state == CLIENT_AWAY) {
        if (!sim.calm && sim_random(300) == 0) {
            client_connect(client);
        }
        return;
    }
    if (client_has_ended(client)) {
        EXPECT(client->closed_by_server || client->state == CLIENT_SHAKING || world.is_scarce ||
               core_is_stopping() || client->tls.is_spoilt);
        client_leave(client, false);
        return;
    }
    if (client->peer.tls != NULL && !sim.calm) {
        client_step_tls(client);
        if (client->state == CLIENT_AWAY) {
            return;
        }
    }
    bool stays = client->encoding == 0 || !world.second_is_rare;
    if (!sim.calm && sim_random(stays ? 4000 : 400) == 0) {
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
