#include "tools/tap/tap_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "tools/common/control_reply.h"
#include "tools/common/terminal_text.h"
#include "tools/common/ws_client.h"

#define TAP_SUBSCRIBE_ID 1   /* in ws_client_subscribe_text */
#define RECEIVES_PER_TURN 16 /* Then the other readers get theirs. */
#define TOO_MANY_REQUESTS 111
#define PAGE_WAIT_US 250000 /* 5 messages a second are usual. */

void tap_reader_init(struct tap_reader *reader, struct tap_sink *sink, uint32_t index,
                     const struct ws_client_opened *opened)
{
    free(reader->buffer);
    *reader =
        (struct tap_reader){.sink = sink, .index = index, .fd = opened->fd, .tls = opened->tls};
    ws_decoder_init(&reader->decoder, TAP_MESSAGE_BYTES_MAX, false, NULL);
    reader->decoder.inflates = sink->options->encoding == TAP_DEFLATE;
    tap_decode_forget(sink->decode, index);
    if (index == 0) {
        tap_events_on_open(sink);
    }
}

/* "connection 3: ", or nothing when there is one alone. Valid until the next call. */
static const char *tap_reader_prefix(const struct tap_reader *reader)
{
    static char text[32];
    uint32_t count = reader->sink->options->connections;
    assert_always(reader->index < count);
    snprintf(text, sizeof text, "connection %u: ", reader->index + 1);
    return count == 1 ? "" : text;
}

static void tap_reader_end(struct tap_reader *reader)
{
    if (reader->fd >= 0) {
        tls_client_shut(reader->tls, reader->fd);
        tls_client_destroy(reader->tls);
        reader->tls = NULL;
        close(reader->fd);
        reader->fd = -1;
    }
}

static int tap_reader_send(struct tap_reader *reader, enum ws_opcode opcode, const void *payload,
                           size_t payload_bytes)
{
    uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    uint8_t mask[4];
    if (payload_bytes > WS_CLIENT_MESSAGE_BYTES_MAX) {
        return -EMSGSIZE;
    }
    if (getrandom(mask, sizeof mask, 0) != sizeof mask) {
        return -EIO;
    }
    size_t frame_bytes = ws_client_frame(frame, opcode, payload, payload_bytes, mask);
    ssize_t sent = tls_client_send(reader->tls, reader->fd, frame, frame_bytes);
    return sent == (ssize_t)frame_bytes ? 0 : sent < 0 ? -errno : -EPIPE;
}

int tap_reader_send_text(struct tap_reader *reader, const char *text)
{
    return tap_reader_send(reader, WS_TEXT, text, strlen(text));
}

int tap_reader_ask_hashes(struct tap_reader *reader)
{
    return tap_reader_send_text(reader, "{\"type\":\"HEARTBEAT\"}");
}

void tap_reader_leave(struct tap_reader *reader)
{
    uint8_t payload[2];
    bytes_store_be16(payload, 1000);
    (void)tap_reader_send(reader, WS_CLOSE, payload, sizeof payload);
    tap_reader_end(reader);
}

/* text is the server's. */
static void tap_reader_print(const char *what, const void *text, size_t text_bytes)
{
    fprintf(stderr, "ringcast-tap: %s", what);
    terminal_text_print(stderr, text, text_bytes);
    fputc('\n', stderr);
}

static void tap_reader_fault(struct tap_reader *reader, const char *what)
{
    if (reader->sink->verify != NULL) {
        tap_verify_on_fault(reader->sink->verify, reader->index, what);
    } else {
        fprintf(stderr, "ringcast-tap: %s\n", what);
    }
}

/* json: of the first connection. */
static void tap_reader_show_tick(struct tap_reader *reader, const uint8_t *json, size_t json_bytes,
                                 size_t wire_bytes)
{
    struct tap_tick tick;
    if (reader->index == 0) {
        tap_tick_read(&tick, json, json_bytes);
        tick.wire_bytes = wire_bytes;
        tap_events_on_tick(reader->sink, &tick);
    }
}

static void tap_reader_on_json(struct tap_reader *reader, const struct ws_message *message,
                               size_t wire_bytes)
{
    tap_reader_show_tick(reader, message->payload, message->payload_bytes, wire_bytes);
    if (reader->sink->verify != NULL) {
        tap_verify_on_frame(reader->sink->verify, reader->index, message->payload,
                            message->payload_bytes);
    }
}

static void tap_reader_on_sbe(struct tap_reader *reader, const struct ws_message *message)
{
    struct tap_sink *sink = reader->sink;
    const uint8_t *json;
    size_t json_bytes;
    const char *fault = tap_decode_sbe(sink->decode, reader->index, message->payload,
                                       message->payload_bytes, &json, &json_bytes);
    if (fault != NULL) {
        tap_reader_fault(reader, fault);
    }
    if (json == NULL) {
        return;
    }
    tap_reader_show_tick(reader, json, json_bytes, message->payload_bytes);
    if (sink->verify != NULL) {
        tap_verify_on_sbe(sink->verify, reader->index, message->payload, message->payload_bytes,
                          json, json_bytes);
    }
}

/* "refused: BTC-USD quote: unknown symbol (120)"; as JSON what has another shape. */
static void tap_reader_print_refusal(const json_t *refusal)
{
    const char *symbol = json_string_value(json_object_get(refusal, "symbol"));
    const char *type = json_string_value(json_object_get(refusal, "type"));
    const char *message = json_string_value(json_object_get(refusal, "message"));
    const json_t *code = json_object_get(refusal, "code");
    char *text = NULL;
    if (message == NULL || !json_is_integer(code)) {
        text = json_dumps(refusal, JSON_COMPACT | JSON_ENCODE_ANY);
    } else if (asprintf(&text, "%s%s%s%s%s (%lld)", symbol == NULL ? "" : symbol,
                        symbol == NULL || type == NULL ? "" : " ",
                        symbol == NULL || type == NULL ? "" : type, symbol == NULL ? "" : ": ",
                        message, (long long)json_integer_value(code)) < 0) {
        text = NULL;
    }
    tap_reader_print("refused: ", text, text == NULL ? 0 : strlen(text));
    free(text);
}

/* A warning about a key that the server does not use: it has another version. */
static void tap_reader_print_warning(const json_t *warning)
{
    char *text = json_dumps(warning, JSON_COMPACT | JSON_ENCODE_ANY);
    tap_reader_print("warning: ", text, text == NULL ? 0 : strlen(text));
    free(text);
}

/* Whether its refusal is printed: all readers ask for the same, and the first answer stands for
 * all. */
static bool tap_reader_speaks(const struct tap_reader *reader)
{
    return reader->index == 0 || reader->sink->refused_count == 0;
}

/* Nothing will ever come. */
static void tap_reader_on_refused(struct tap_reader *reader)
{
    reader->sink->refused_count++;
    tap_reader_leave(reader);
}

/* A pattern that matches nothing yet may be mistyped. */
static void tap_reader_print_empty(const json_t *entry)
{
    const char *symbol = json_string_value(json_object_get(entry, "symbol"));
    const char *type = json_string_value(json_object_get(entry, "type"));
    const json_t *count = json_object_get(entry, "channels");
    char text[160];
    if (symbol != NULL && type != NULL && json_is_integer(count) &&
        json_integer_value(count) == 0) {
        snprintf(text, sizeof text, "%s %s", symbol, type);
        tap_reader_print("no channel yet matches ", text, strlen(text));
    }
}

/* To what the user asks for; the messages of the cursor have other numbers. */
static bool tap_reader_is_answer(const struct control_reply *reply)
{
    const json_t *id = json_object_get(reply->root, "id");
    return !json_is_integer(id) || json_integer_value(id) == TAP_SUBSCRIBE_ID;
}

/* The answer to SUBSCRIBE or REPLAY. */
static void tap_reader_on_subscribed(struct tap_reader *reader, const struct control_reply *reply)
{
    struct tap_verify *verify = reader->sink->verify;
    size_t index;
    json_t *item;
    const json_t *ok = json_object_get(reply->data, "ok");
    const json_t *failed = json_object_get(reply->data, "failed");
    bool is_refused =
        json_array_size(failed) > 0 && json_array_size(ok) == 0 && tap_reader_is_answer(reply);
    json_array_foreach(failed, index, item)
    {
        if (reader->index == 0 || (is_refused && tap_reader_speaks(reader))) {
            tap_reader_print_refusal(item);
        }
    }
    json_array_foreach(json_object_get(reply->data, "warnings"), index, item)
    {
        if (reader->index == 0) {
            tap_reader_print_warning(item);
        }
    }
    if (is_refused) {
        tap_reader_on_refused(reader);
        return;
    }
    reader->sink->subscribed_count += !reader->is_subscribed;
    reader->is_subscribed = true;
    json_array_foreach(ok, index, item)
    {
        uint64_t channel, next_seq;
        if (reader->index == 0) {
            tap_reader_print_empty(item);
        }
        if (verify != NULL && control_reply_u64(item, "ch", &channel) &&
            control_reply_u64(item, "next_seq", &next_seq)) {
            tap_verify_on_next_seq(verify, reader->index, channel, next_seq);
            const char *hash = json_string_value(json_object_get(item, "hash"));
            if (hash != NULL) {
                tap_verify_on_hash(verify, reader->index, channel, next_seq, hash);
            }
        }
    }
    if (verify != NULL) {
        (void)tap_reader_ask_hashes(reader); /* A pattern's answer has none. */
    }
}

/* HEARTBEAT's next_seq: an object of channel numbers and their next seqs; hash has the same. */
static void tap_reader_on_heartbeat(struct tap_reader *reader, const struct control_reply *reply)
{
    const char *key;
    json_t *value;
    const json_t *hashes = json_object_get(reply->data, "hash");
    json_object_foreach(json_object_get(reply->data, "next_seq"), key, value)
    {
        const char *hash = json_string_value(json_object_get(hashes, key));
        char *end;
        uint64_t channel = strtoull(key, &end, 10);
        if (end != key && *end == 0 && json_is_integer(value)) {
            tap_verify_on_next_seq(reader->sink->verify, reader->index, channel,
                                   (uint64_t)json_integer_value(value));
            if (hash != NULL) {
                tap_verify_on_hash(reader->sink->verify, reader->index, channel,
                                   (uint64_t)json_integer_value(value), hash);
            }
        }
    }
}

static void tap_reader_verify_reply(struct tap_reader *reader, const struct control_reply *reply)
{
    struct tap_verify *verify = reader->sink->verify;
    const char *epoch = json_string_value(json_object_get(reply->data, "epoch"));
    if (epoch != NULL) {
        tap_verify_on_epoch(verify, reader->index, epoch);
    }
    if (reply->type == CONTROL_GAP) {
        tap_verify_on_gap(verify, reader->index, reply->channel, reply->from, reply->to);
    } else if (reply->type == CONTROL_HEARTBEAT) {
        tap_reader_on_heartbeat(reader, reply);
    }
}

static void tap_reader_on_error(struct tap_reader *reader, const struct control_reply *reply)
{
    if (reader->is_subscribed || !tap_reader_is_answer(reply)) {
        char *text = json_dumps(reply->root, JSON_COMPACT);
        tap_reader_print(tap_reader_prefix(reader), text, text == NULL ? 0 : strlen(text));
        free(text);
        reader->sink->error_count++;
        return;
    }
    if (tap_reader_speaks(reader)) {
        tap_reader_print_refusal(reply->data == NULL ? reply->root : reply->data);
    }
    tap_reader_on_refused(reader);
}

/* Asks for the next page of --list. */
static void tap_reader_ask_page(struct tap_reader *reader)
{
    const struct tap_sink *sink = reader->sink;
    char *text = tap_list_request(&sink->list, sink->options->subscription.symbols);
    if (text == NULL || tap_reader_send_text(reader, text) != 0) {
        tap_reader_end(reader);
    }
    free(text);
}

static void tap_reader_on_page(struct tap_reader *reader, const struct control_reply *reply)
{
    struct tap_sink *sink = reader->sink;
    reader->is_subscribed = true;
    tap_list_on_page(&sink->list, reply->data, sink->options->json);
    if (!sink->list.is_done) {
        tap_reader_ask_page(reader);
    }
}

/* The server takes so many messages a second. Whether the refused one is sent again. */
static bool tap_reader_waits(struct tap_reader *reader, const struct control_reply *reply)
{
    uint64_t code;
    const struct tap_sink *sink = reader->sink;
    if (!control_reply_u64(reply->data, "code", &code) || code != TOO_MANY_REQUESTS) {
        return false;
    }
    if (sink->options->list) {
        usleep(PAGE_WAIT_US);
        tap_reader_ask_page(reader);
    }
    return sink->options->list || sink->cursor != NULL; /* The cursor repeats its own. */
}

static void tap_reader_on_control(struct tap_reader *reader, const struct ws_message *message)
{
    struct control_reply reply;
    if (control_reply_parse(&reply, message->payload, message->payload_bytes) != 0) {
        tap_reader_fault(reader, "a control message is not JSON of the documented shape");
        return;
    }
    if (reader->index == 0) {
        tap_events_on_control(reader->sink, &reply, message->payload, message->payload_bytes);
    }
    if (reader->sink->verify != NULL) {
        tap_reader_verify_reply(reader, &reply);
    }
    if (strcmp(reply.name, "DEFINITION") == 0) {
        const char *fault = tap_decode_define(reader->sink->decode, reader->index, reply.data);
        if (fault != NULL) {
            tap_reader_fault(reader, fault);
        }
    }
    if (reply.type == CONTROL_SUBSCRIBED || strcmp(reply.name, "REPLAYING") == 0) {
        tap_reader_on_subscribed(reader, &reply);
    } else if (strcmp(reply.name, "RESUMED") == 0) { /* The cursor reads it. */
        reader->sink->subscribed_count += !reader->is_subscribed;
        reader->is_subscribed = true;
    } else if (strcmp(reply.name, "SYMBOLS") == 0) {
        tap_reader_on_page(reader, &reply);
    } else if (reply.type == CONTROL_ERROR && !tap_reader_waits(reader, &reply)) {
        tap_reader_on_error(reader, &reply);
    }
    control_reply_free(&reply);
}

static void tap_reader_on_close(struct tap_reader *reader, const struct ws_message *message)
{
    size_t bytes = message->payload_bytes;
    reader->close_code = bytes >= 2 ? bytes_load_be16(message->payload) : 1005;
    char what[64];
    snprintf(what, sizeof what, "%sclosed by the server: %u%s", tap_reader_prefix(reader),
             reader->close_code, bytes > 2 ? " " : "");
    tap_reader_print(what, message->payload + (bytes > 2 ? 2 : 0), bytes > 2 ? bytes - 2 : 0);
    (void)tap_reader_send(reader, WS_CLOSE, message->payload, bytes >= 2 ? 2 : 0);
    tap_reader_end(reader);
}

static void tap_reader_on_message(struct tap_reader *reader, struct ws_message *message)
{
    size_t wire_bytes = message->payload_bytes;
    enum ws_status status =
        message->is_compressed ? tap_decode_inflate(reader->sink->decode, message) : WS_OK;
    if (status != WS_OK) {
        tap_reader_fault(reader, ws_status_text(status));
        tap_reader_end(reader);
        return;
    }
    switch (message->opcode) {
    case WS_TEXT:
        if (tick_scan_is_data(message->payload, message->payload_bytes)) {
            tap_reader_on_json(reader, message, wire_bytes);
        } else {
            tap_reader_on_control(reader, message);
        }
        break;
    case WS_PING:
        (void)tap_reader_send(reader, WS_PONG, message->payload, message->payload_bytes);
        break;
    case WS_CLOSE:
        tap_reader_on_close(reader, message);
        break;
    case WS_PONG:
        break;
    default:
        tap_reader_on_sbe(reader, message);
    }
}

/* What comes after the last tick that is wanted is not read, unless --verify proves with it. */
static bool tap_reader_is_done(const struct tap_reader *reader)
{
    return reader->sink->verify == NULL && tap_events_have_enough(reader->sink);
}

void tap_reader_on_bytes(struct tap_reader *reader, uint8_t *bytes, size_t bytes_count)
{
    while (bytes_count > 0 && reader->fd >= 0 && !tap_reader_is_done(reader)) {
        size_t consumed = 0;
        struct ws_message message;
        enum ws_status status =
            ws_decode(&reader->decoder, bytes, bytes_count, &consumed, &message);
        bytes += consumed;
        bytes_count -= consumed;
        if (status == WS_OK) {
            tap_reader_on_message(reader, &message);
        } else if (status == WS_NEED_BUFFER) {
            assert_always(reader->buffer == NULL);
            reader->buffer = malloc(TAP_MESSAGE_BYTES_MAX);
            assert_always(reader->buffer != NULL);
            reader->decoder.buffer = reader->buffer;
        } else if (status != WS_NEED_MORE) {
            tap_reader_fault(reader, ws_status_text(status));
            tap_reader_end(reader);
        }
    }
}

/* The stream has ended without a Close frame. */
static void tap_reader_print_end(const struct tap_reader *reader, int error)
{
    const char *why = reader->tls == NULL ? "" : tls_client_error(reader->tls);
    why = why[0] == 0 && error != 0 ? strerror(error) : why;
    fprintf(stderr, "ringcast-tap: %sthe server ended the connection%s%s\n",
            tap_reader_prefix(reader), why[0] == 0 ? "" : ": ", why);
}

void tap_reader_on_readable(struct tap_reader *reader, uint8_t *scratch, size_t scratch_bytes)
{
    for (uint32_t i = 0; i < RECEIVES_PER_TURN && reader->fd >= 0 && !tap_reader_is_done(reader);
         i++) {
        ssize_t got = tls_client_recv(reader->tls, reader->fd, scratch, scratch_bytes);
        if (got > 0) {
            tap_reader_on_bytes(reader, scratch, (size_t)got);
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        tap_reader_print_end(reader, got < 0 ? errno : 0);
        tap_reader_end(reader);
    }
}

void tap_reader_deinit(struct tap_reader *reader)
{
    if (reader->fd >= 0) {
        tap_reader_leave(reader);
    }
    free(reader->buffer);
}
