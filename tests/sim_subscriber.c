/* sim_subscriber: what comes to a client, checked against what it may be sent. */
#include "tests/sim_subscriber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/running_hash.h"
#include "src/base/json_load.h"
#include "src/base/pattern.h"

#define SUBSCRIBER_STALL_NS_MAX (900 * NS_PER_MS)

static struct subscriber subscribers[WORLD_SUBSCRIBERS];

struct subscriber *subscriber_at(uint32_t number)
{
    return &subscribers[number];
}

void subscribers_forget(void)
{
    for (uint32_t i = 0; i < WORLD_SUBSCRIBERS; i++) {
        ws_inflate_destroy(subscribers[i].inflate);
        memset(&subscribers[i], 0, sizeof subscribers[i]);
        assert_always(ws_inflate_create(&subscribers[i].inflate, false) == 0);
    }
}

/* ---- What it subscribes to ---- */

bool token_opens(const char *token, const char *text, enum md_type type)
{
    if (token == NULL || strcmp(token, TOKEN_ALL) == 0) {
        return true;
    }
    bool has_type = type == MD_QUOTE ||
                    (strcmp(token, TOKEN_SOME) == 0 && (type == MD_TRADE || type == MD_DEPTH));
    return has_type && text[0] == 'A';
}

static bool pattern_covers(const struct pattern_entry *pattern, const struct channel *channel)
{
    return pattern->text[0] != '\0' && pattern->type == channel->type &&
           channel->group == channel->type &&
           pattern_matches(pattern->text, strlen(pattern->text), channel->symbol,
                           channel->symbol_bytes);
}

/* The first that was subscribed; "*" is the last. */
static const struct pattern_entry *subscriber_pattern(const struct subscriber *subscriber,
                                                      uint32_t number)
{
    const struct channel *channel = channels_get(world.channels, number);
    const struct pattern_entry *first = NULL;
    for (uint32_t i = 0; i < SUBSCRIBER_PATTERNS_MAX; i++) {
        const struct pattern_entry *pattern = &subscriber->patterns[i];
        if (pattern_covers(pattern, channel) && (first == NULL || pattern->place < first->place)) {
            first = pattern;
        }
    }
    return first;
}

bool subscriber_is_covered(const struct subscriber *subscriber, uint32_t channel)
{
    return subscriber->exact[channel].is_there || subscriber_pattern(subscriber, channel) != NULL;
}

struct channel_name subscriber_name(const struct subscriber *subscriber, uint32_t number)
{
    const struct channel *channel = channels_get(world.channels, number);
    if (subscriber->names[number].symbol != NULL) {
        return subscriber->names[number];
    }
    return (struct channel_name){channel->symbol, (enum md_type)channel->type, channel->variant};
}

bool subscriber_conflates(const struct subscriber *subscriber, uint32_t number)
{
    const struct channel_name name = subscriber_name(subscriber, number);
    const struct expected *expected = &subscriber->expected[number];
    const struct pattern_entry *pattern = subscriber_pattern(subscriber, number);
    const struct entry *entry = subscriber->exact[number].is_there ? &subscriber->exact[number]
                                : pattern == NULL                  ? NULL
                                                                   : &pattern->entry;
    bool is_image = name.type == MD_QUOTE || name.type == MD_BAR || name.variant.interval_ms != 0;
    return entry != NULL && entry->policy == LAG_CONFLATE && is_image &&
           (expected->next == 0 || expected->next > expected->past_seq);
}

void subscriber_settle(struct subscriber *subscriber)
{
    uint32_t count = channels_count(world.channels);
    for (uint32_t channel = 0; channel < count; channel++) {
        struct expected *expected = &subscriber->expected[channel];
        if (expected->is_replayed) {
            continue;
        }
        if (!subscriber_is_covered(subscriber, channel)) {
            subscriber->left_conflated |= expected->conflated;
            *expected = (struct expected){0};
            continue;
        }
        expected->next =
            expected->is_due ? expected->next : 1; /* The channel has appeared since. */
        expected->is_due = true;
        expected->conflated |= subscriber_conflates(subscriber, channel);
    }
}

void subscriber_remember(struct subscriber *subscriber)
{
    if (strcmp(subscriber->epoch, world.epoch) != 0) {
        memset(subscriber->cursors, 0, sizeof subscriber->cursors);
        memcpy(subscriber->epoch, world.epoch, sizeof subscriber->epoch);
    }
    for (uint32_t channel = 0; channel < channels_count(world.channels); channel++) {
        const struct expected *expected = &subscriber->expected[channel];
        if (expected->is_due && expected->next != 0 && !expected->restart_due) {
            subscriber->cursors[channel] = expected->next;
        }
    }
}

/* ---- Coming and going ---- */

static void subscriber_connect(struct subscriber *subscriber)
{
    struct ws_inflate *inflate = subscriber->inflate;
    memset(subscriber, 0, offsetof(struct subscriber, cursors));
    subscriber->inflate = inflate;
    int listener = WORLD_LISTENER_FD + (int)sim_random(world.core_count);
    if (!sim_peer_connect(&subscriber->peer, listener, 2000 + sim_random(60000), NULL)) {
        return;
    }
    uint64_t draw = sim_random(4);
    subscriber->encoding = draw == 0   ? CORE_ENCODING_SBE
                           : draw == 1 ? CORE_ENCODING_JSON_DEFLATE
                                       : CORE_ENCODING_JSON;
    struct handshake_wish wish = {
        .protocol = draw == 0 ? "md.sbe.v1" : NULL,
        .deflate = draw == 1,
    };
    subscriber->peer.path = sim_random(4) == 0 ? subscriber_ask_by_url(subscriber) : "/";
    sim_peer_request(&subscriber->peer, wish, SIZE_MAX);
    subscriber->peer.takes_plain = world.log_count_max > 0;
    subscriber->read_max = 200 + sim_random(60000);
    subscriber->state = SUBSCRIBER_SHAKING;
}

void subscriber_leave(struct subscriber *subscriber, bool with_reset)
{
    if (subscriber->state == SUBSCRIBER_READY) {
        subscriber_remember(subscriber);
    }
    if (subscriber->state != SUBSCRIBER_AWAY) {
        sim_client_close(subscriber->peer.socket, with_reset);
    }
    subscriber->state = SUBSCRIBER_AWAY;
}

/* ---- Data frames ---- */

static uint64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    EXPECT(at != NULL);
    return strtoull(at + strlen(key), NULL, 10);
}

static void subscriber_on_book_part(struct subscriber *subscriber, const char *text,
                                    uint32_t channel)
{
    uint64_t as_of = number_after(text, "\"as_of\":");
    uint64_t part = number_after(text, "\"part\":");
    world.marks.book_parts++;
    for (uint32_t i = 0; i < SUBSCRIBER_BOOKS_MAX; i++) {
        struct book_parts *book = &subscriber->books[i];
        if (book->parts > 0 && book->channel == channel && book->as_of == as_of) {
            EXPECT(part == book->next);
            book->next++;
            if (part == book->parts) {
                book->parts = 0;
            }
            return;
        }
    }
    EXPECT(!"a part of a book that was not announced");
}

/* false: the frame is none of the subscription's. */
static bool subscriber_takes_snapshot(struct subscriber *subscriber, uint32_t channel, uint64_t seq)
{
    if (subscriber->snapshot_count == 0) {
        return false;
    }
    EXPECT(subscriber->snapshots[0].channel == channel && subscriber->snapshots[0].seq == seq);
    subscriber->snapshot_count--;
    memmove(subscriber->snapshots, subscriber->snapshots + 1,
            subscriber->snapshot_count * sizeof subscriber->snapshots[0]);
    return true;
}

static void subscriber_check_first(struct subscriber *subscriber, struct expected *expected,
                                   uint64_t seq)
{
    EXPECT(seq <= expected->high || expected->conflated);
    subscriber->left_conflated |= expected->conflated;
    expected->next = seq;
}

static struct expected *subscriber_expected(struct subscriber *subscriber, uint32_t channel)
{
    struct expected *expected = &subscriber->expected[channel];
    if (!expected->is_due && subscriber_pattern(subscriber, channel) != NULL) {
        /* The channel has appeared since. */
        *expected = (struct expected){
            .is_due = true,
            .next = 1,
            .conflated = subscriber_conflates(subscriber, channel),
        };
    }
    EXPECT(expected->is_due);
    return expected;
}

static void subscriber_take_frame(struct subscriber *subscriber, uint32_t channel, uint64_t seq)
{
    struct expected *expected = subscriber_expected(subscriber, channel);
    if (expected->next == 0) {
        subscriber_check_first(subscriber, expected, seq);
    }
    EXPECT(!expected->restart_due || (seq == 1 && expected->next == 1));
    expected->restart_due = false;
    bool is_image = expected->snapshot && seq + 1 == expected->next;
    expected->snapshot = false;
    if (is_image) {
        return;
    }
    EXPECT(seq >= expected->next);
    EXPECT(seq == expected->next || expected->conflated || expected->is_replayed);
    expected->jumped |= seq != expected->next && expected->is_replayed;
    if (!expected->is_replayed) {
        subscriber->conflated += seq - expected->next;
        world.marks.conflated += seq - expected->next;
    }
    expected->next = seq + 1;
    expected->conflated = subscriber_conflates(subscriber, channel);
}

static void subscriber_on_frame(struct subscriber *subscriber, uint32_t channel, uint64_t seq,
                                uint64_t hash, bool is_sbe)
{
    EXPECT(channel < channels_count(world.channels));
    const struct published_frame *frame = ticks_frame(channel, seq);
    world.channel = channel;
    world.seq = seq;
    const struct channel *known = channels_get(world.channels, channel);
    EXPECT(is_sbe || hash == frame->json_hash);
    EXPECT(!is_sbe || frame->sbe_hash == 0 || hash == frame->sbe_hash);
    const struct channel_name name = subscriber_name(subscriber, channel);
    EXPECT(token_opens(subscriber->token, name.symbol, name.type));
    subscriber->received++;
    world.marks.frames++;
    world.marks.sbe_frames += is_sbe;
    world.marks.derived_frames += known->group == CHANNELS_VARIANTS_GROUP;
    if (!subscriber_takes_snapshot(subscriber, channel, seq)) {
        subscriber_take_frame(subscriber, channel, seq);
    }
}

static uint64_t load(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    memcpy(&value, bytes, count);
    return value;
}

static void subscriber_on_sbe(struct subscriber *subscriber, const uint8_t *payload, size_t bytes)
{
    EXPECT(subscriber->encoding == CORE_ENCODING_SBE && bytes >= 8 + 36);
    EXPECT(load(payload + 4, 2) == 901);
    uint32_t channel = (uint32_t)load(payload + 8 + 32, 4);
    EXPECT(channel < WORLD_CHANNELS_MAX && subscriber->is_defined[channel]);
    subscriber_on_frame(subscriber, channel, load(payload + 8, 8),
                        running_hash_payload(payload, bytes), true);
}

/* ---- Control messages ---- */

static void subscriber_on_gap(struct subscriber *subscriber, json_t *data, const char *text,
                              size_t bytes)
{
    uint32_t channel = (uint32_t)json_integer_value(json_object_get(data, "ch"));
    uint64_t from = (uint64_t)json_integer_value(json_object_get(data, "from"));
    uint64_t to = (uint64_t)json_integer_value(json_object_get(data, "to"));
    const char *reason = json_string_value(json_object_get(data, "reason"));
    EXPECT(reason != NULL && channel < channels_count(world.channels));
    world.channel = channel;
    world.seq = from;
    if (strcmp(reason, "source") == 0) { /* a frame of the channel like others */
        EXPECT(from == to);
        world.marks.gaps_source++;
        subscriber_on_frame(subscriber, channel, from, running_hash_payload(text, bytes), false);
        return;
    }
    struct expected *expected = subscriber_expected(subscriber, channel);
    bool is_restart = strcmp(reason, "restart") == 0;
    EXPECT(!expected->is_replayed);
    EXPECT(expected->restart_due == is_restart);
    EXPECT(!expected->restart_due || from == 1);
    EXPECT(is_restart || strcmp(reason, "overrun") == 0 || strcmp(reason, "lag") == 0);
    EXPECT(strcmp(reason, "lag") != 0 || subscriber->has_lag_limit || world.has_lag_limit);
    EXPECT(to >= from && to <= world.published[channel].count);
    if (expected->next == 0) {
        subscriber_check_first(subscriber, expected, from);
    }
    EXPECT(from == expected->next || (from > expected->next && expected->conflated));
    subscriber->conflated += from - expected->next;
    subscriber->lost += to - from + 1;
    expected->next = to + 1;
    expected->restart_due = expected->overrun_due = expected->snapshot = false;
    expected->conflated |= subscriber_conflates(subscriber, channel);
    world.marks.gaps_restart += is_restart;
    world.marks.gaps_lag += strcmp(reason, "lag") == 0;
    world.marks.gaps_overrun += strcmp(reason, "overrun") == 0;
}

static bool is_same_hash(json_t *told, uint32_t encoding, uint32_t channel, uint64_t next_seq)
{
    const char *text = json_string_value(told);
    char expected[17];
    if (text == NULL || next_seq <= 1) {
        return text != NULL;
    }
    const struct published_frame *frame = ticks_frame(channel, next_seq - 1);
    if ((frame->hash_mask & 1u << encoding) == 0) {
        return true;
    }
    snprintf(expected, sizeof expected, "%016llx", (unsigned long long)frame->hash[encoding]);
    return strcmp(text, expected) == 0;
}

static void subscriber_on_heartbeat(struct subscriber *subscriber, json_t *data)
{
    const char *key;
    json_t *value;
    world.marks.heartbeats++;
    json_t *channels = json_object_get(data, "next_seq");
    json_t *hashes = json_object_get(data, "hash");
    EXPECT(json_is_object(channels) && json_is_object(hashes));
    json_object_foreach(channels, key, value)
    {
        uint32_t channel = (uint32_t)strtoul(key, NULL, 10);
        uint64_t next_seq = (uint64_t)json_integer_value(value);
        EXPECT(channel < channels_count(world.channels));
        struct expected *expected = subscriber_expected(subscriber, channel);
        if (expected->next == 0) {
            subscriber_check_first(subscriber, expected, next_seq);
        }
        EXPECT(next_seq == expected->next);
        EXPECT(is_same_hash(json_object_get(hashes, key), subscriber->encoding, channel, next_seq));
    }
    if (json_object_size(channels) == 0) {
        return; /* It may be behind: frames are under way. */
    }
    EXPECT((uint64_t)json_integer_value(json_object_get(data, "sent")) == subscriber->received);
    EXPECT((uint64_t)json_integer_value(json_object_get(data, "lost")) == subscriber->lost);
    EXPECT(subscriber->left_conflated || (uint64_t)json_integer_value(json_object_get(
                                             data, "conflated")) == subscriber->conflated);
}

static void subscriber_on_dropped(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "dropped"), i, entry)
    {
        const char *symbol = json_string_value(json_object_get(entry, "symbol"));
        const char *type = json_string_value(json_object_get(entry, "type"));
        EXPECT(symbol != NULL && type != NULL);
        EXPECT(!token_opens(subscriber->token, symbol, md_type_by_name(type, strlen(type))));
        world.marks.scope_drops++;
    }
}

static void subscriber_on_notice(struct subscriber *subscriber, json_t *data)
{
    const char *event = json_string_value(json_object_get(data, "event"));
    EXPECT(event != NULL);
    if (strcmp(event, "DRAIN") == 0) {
        EXPECT(world.drains && world.is_ending);
        subscriber->was_told_of_drain = true;
    } else {
        EXPECT(strcmp(event, "SUBSCRIPTIONS_DROPPED") == 0);
        subscriber_on_dropped(subscriber, data);
    }
}

static void subscriber_on_definition(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    EXPECT(subscriber->encoding == CORE_ENCODING_SBE);
    json_array_foreach(json_object_get(data, "channels"), i, entry)
    {
        uint32_t channel = (uint32_t)json_integer_value(json_object_get(entry, "ch"));
        EXPECT(channel < channels_count(world.channels));
        subscriber->is_defined[channel] = true;
    }
}

static void subscriber_on_control(struct subscriber *subscriber, const char *text, size_t bytes)
{
    json_error_t error;
    json_t *message = json_load(text, bytes, &error); /* Ids are of any size. */
    EXPECT(message != NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    json_t *data = json_object_get(message, "data");
    EXPECT(type != NULL && json_is_object(data));
    if (strcmp(type, "GAP") == 0) {
        subscriber_on_gap(subscriber, data, text, bytes);
    } else if (strcmp(type, "WELCOME") == 0) {
        EXPECT(strcmp(json_string_value(json_object_get(data, "epoch")), world.epoch) == 0);
        subscriber->is_welcome = true;
        if (world.needs_auth) {
            subscriber_ask_token(subscriber, sim_random(3) == 0 ? TOKEN_SOME : TOKEN_ALL);
        } else if (subscriber->url.kind == ASK_NO && sim_random(4) > 0) {
            subscriber_ask_resume(subscriber);
        }
    } else if (strcmp(type, "HEARTBEAT") == 0 && json_object_get(message, "id") == NULL) {
        subscriber_on_heartbeat(subscriber, data);
    } else if (strcmp(type, "LAG") == 0) {
        world.marks.lags++;
    } else if (strcmp(type, "NOTICE") == 0) {
        subscriber_on_notice(subscriber, data);
    } else if (strcmp(type, "DEFINITION") == 0) {
        subscriber_on_definition(subscriber, data);
    } else {
        if (strcmp(type, "HEARTBEAT") == 0) {
            subscriber_on_heartbeat(subscriber, data);
        }
        EXPECT(subscriber_on_answer(subscriber, type, text, bytes, message, data));
    }
    json_decref(message);
}

static void subscriber_on_close(struct subscriber *subscriber, const struct ws_message *message)
{
    uint16_t code = message->payload_bytes >= 2 ? bytes_load_be16(message->payload) : 0;
    bool may_be_slow = subscriber->may_be_cut || world.is_scarce || world.leaps;
    EXPECT((code == 1001 && world.is_ending && !world.drains) ||
           (code == 4201 && world.is_ending && world.drains) || (code == 4108 && may_be_slow) ||
           (world.leaps && (code == 4005 || code == 4109 || code == 4114 || code == 4001)) ||
           (code == 4001 && world.needs_auth));
    subscriber->is_closed = true;
    world.marks.closes++;
    world.marks.slow_closes += code == 4108;
    world.marks.drained += code == 4201;
}

void subscriber_trace(const struct subscriber *subscriber, const char *arrow, const char *text)
{
    const char *wanted = getenv("SIM_CLIENT");
    if (wanted != NULL && subscriber == &subscribers[strtoul(wanted, NULL, 10)]) {
        printf("%llu us %s %.600s\n", (unsigned long long)(sim.now_ns - world.began_ns) / 1000,
               arrow, text);
    }
}

static bool is_data(const char *text)
{
    return strncmp(text, "{\"type\":\"", 9) == 0 && text[9] >= 'a' && text[9] <= 'z';
}

static void subscriber_on_text(struct subscriber *subscriber, const char *text, size_t bytes)
{
    subscriber_trace(subscriber, "<-", text);
    if (!is_data(text)) {
        subscriber_on_control(subscriber, text, bytes);
        return;
    }
    uint32_t channel = (uint32_t)number_after(text, "\"ch\":");
    if (strncmp(strstr(text, "\"ch\":") + 5 + strspn(strstr(text, "\"ch\":") + 5, "0123456789"),
                ",\"as_of\"", 8) == 0) {
        subscriber_on_book_part(subscriber, text, channel);
        return;
    }
    subscriber_on_frame(subscriber, channel, number_after(text, "\"seq\":"),
                        running_hash_payload(text, bytes), false);
}

static void subscriber_on_message(void *context, const struct ws_message *given)
{
    static uint8_t text[SIM_PEER_MESSAGE_BYTES_MAX + 1];
    struct subscriber *subscriber = context;
    struct ws_message message = *given;
    EXPECT(!subscriber->is_closed);
    if (subscriber->wants_to_leave) {
        return;
    }
    if (message.is_compressed) {
        EXPECT(subscriber->encoding == CORE_ENCODING_JSON_DEFLATE);
        EXPECT(ws_inflate_message(subscriber->inflate, &message, text,
                                  SIM_PEER_MESSAGE_BYTES_MAX) == WS_OK);
        world.marks.deflated_frames++;
    } else {
        memcpy(text, message.payload, message.payload_bytes);
    }
    text[message.payload_bytes] = '\0';
    if (message.opcode == WS_PING) {
        sim_peer_send(&subscriber->peer, WS_PONG, text, message.payload_bytes, SIZE_MAX);
    } else if (message.opcode == WS_CLOSE) {
        subscriber_on_close(subscriber, &message);
    } else if (message.opcode == WS_BINARY) {
        subscriber_on_sbe(subscriber, text, message.payload_bytes);
    } else if (message.opcode == WS_TEXT) {
        subscriber_on_text(subscriber, (const char *)text, message.payload_bytes);
    }
}

/* ---- Its life ---- */

/* There is no memory for the frames that it wants, or for its URL. */
static bool subscriber_is_refused(const struct subscriber *subscriber)
{
    static const char answer[] = "HTTP/1.1 5"; /* of 503: it is refused at the first byte */
    const struct sim_peer *peer = &subscriber->peer;
    bool may_be = (world.log_count_max > 0 && subscriber->encoding == CORE_ENCODING_SBE) ||
                  (world.is_scarce && subscriber->url.kind != ASK_NO);
    return may_be && !peer->is_open && peer->head_bytes >= sizeof answer - 1 &&
           memcmp(peer->head, answer, sizeof answer - 1) == 0;
}

static void subscriber_read(struct subscriber *subscriber)
{
    size_t max = world.is_calm ? SIZE_MAX : subscriber->read_max;
    const char *fault = sim_peer_read(&subscriber->peer, max, subscriber_on_message, subscriber);
    if (fault != NULL && subscriber_is_refused(subscriber)) {
        world.marks.encodings_refused++;
        subscriber->wants_to_leave = true;
    } else if (fault != NULL) {
        world_fail(fault, __FILE__, __LINE__);
    }
    if (subscriber->peer.is_open && subscriber->state == SUBSCRIBER_SHAKING) {
        subscriber->state = SUBSCRIBER_READY;
        bool is_plain = !subscriber->peer.wish.deflate;
        if (subscriber->encoding == CORE_ENCODING_JSON_DEFLATE && is_plain) {
            subscriber->encoding = CORE_ENCODING_JSON;
            world.marks.left_plain++;
        }
    }
}

/* The server may close without a word only for these reasons. */
static bool subscriber_may_be_dropped(const struct subscriber *subscriber)
{
    return subscriber->is_closed || subscriber->state == SUBSCRIBER_SHAKING || world.is_scarce ||
           world.is_ending || world.leaps || subscriber->may_be_cut;
}

void subscriber_step(struct subscriber *subscriber)
{
    world.subscriber = subscriber;
    if (subscriber->state == SUBSCRIBER_AWAY) {
        if (!world.is_calm && sim_random(120) == 0) {
            subscriber_connect(subscriber);
        }
        return;
    }
    const struct sim_socket *socket = subscriber->peer.socket;
    if (subscriber->is_closed || (socket->server_closed && socket->to_client_bytes == 0)) {
        EXPECT(subscriber_may_be_dropped(subscriber));
        subscriber_leave(subscriber, false);
        return;
    }
    if (subscriber->wants_to_leave) {
        subscriber_leave(subscriber, false);
        return;
    }
    if (!world.is_calm && sim_random(1500) == 0) {
        bool with_reset = sim_random(2) == 0;
        world.marks.resets += with_reset && socket->to_client_bytes > 0;
        subscriber_leave(subscriber, with_reset);
        return;
    }
    if (!world.is_calm && sim_random(600) == 0) {
        subscriber->stalled_until_ns = sim.now_ns + sim_random(SUBSCRIBER_STALL_NS_MAX);
    }
    if (sim.now_ns >= subscriber->stalled_until_ns || world.is_calm) {
        subscriber_read(subscriber);
    }
    if (subscriber->is_welcome && subscriber->asked.kind == ASK_NO && !subscriber->is_closed &&
        !world.is_calm && sim_random(25) == 0) {
        subscriber_ask(subscriber);
    }
}

void subscriber_check(const struct subscriber *subscriber)
{
    world.subscriber = subscriber;
    if (subscriber->state != SUBSCRIBER_READY || subscriber->is_closed) {
        return;
    }
    EXPECT(subscriber->asked.kind == ASK_NO);
    EXPECT(subscriber->url.kind == ASK_NO);
    EXPECT(subscriber->snapshot_count == 0);
    for (uint32_t channel = 0; channel < channels_count(world.channels); channel++) {
        const struct expected *expected = &subscriber->expected[channel];
        uint64_t count = world.published[channel].count;
        if (!subscriber_is_covered(subscriber, channel) || count == 0) {
            continue;
        }
        EXPECT(expected->is_due && !expected->restart_due);
        EXPECT(expected->next == count + 1 || (expected->next == 0 && expected->high >= count));
    }
}
