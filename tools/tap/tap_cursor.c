#include "tools/tap/tap_cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/common/terminal_text.h"
#include "tools/tap/tap_cursor_file.h"
#include "tools/tap/tap_options.h"

#define RESUME_ENTRIES_MAX 1000 /* of a message (docs/protocol.md) */
#define RESUME_ENTRY_BYTES_MAX 48
#define SAVE_INTERVAL_NS NS_PER_SECOND
#define RETRY_FIRST_NS (100 * NS_PER_MS)
#define RETRY_DOUBLINGS_MAX 6          /* 6.4 s */
#define RETRY_SLOWLY 3                 /* doublings to begin with, after close 4111 */
#define STABLE_NS (10 * NS_PER_SECOND) /* After such a connection the waits are short again. */
#define CLOSE_RATE 4111
#define ERROR_RATE 111
#define RATE_WAIT_NS (NS_PER_SECOND / 2) /* Then a message that was too much is sent again. */
#define CODE_UNKNOWN 120                 /* of a refusal */
#define LOSSES_SHOWN_MAX 10              /* of one answer, each with its reason */
#define FIRST_ID 100                     /* of the cursor's messages; SUBSCRIBE has 1 */

enum tap_cursor_stage {
    TAP_CURSOR_CONNECTING, /* WELCOME has not come yet. */
    TAP_CURSOR_OPEN,       /* The user's SUBSCRIBE is to be sent; before it the derived channels. */
    TAP_CURSOR_SUBSCRIBED, /* It has been sent; the positions of the feed's channels follow. */
    TAP_CURSOR_LIVE,       /* All positions have been sent. */
};

struct tap_cursor {
    /* Set by open, then constant. */
    const struct ws_client_subscription *subscription;
    bool is_derived; /* Its channels are those of --depth, --bar or --interval-ms. */

    struct tap_cursor_state state;
    enum tap_cursor_stage stage;
    bool is_resumed;       /* This connection continues at a position. */
    bool is_waiting;       /* for the answer to a RESUME */
    bool wants_heartbeat;  /* HEARTBEAT shows where channels are that publish nothing now. */
    bool is_subscribed;    /* The user's SUBSCRIBE has been answered. */
    bool is_final;         /* The server will refuse the same again. */
    uint64_t next_channel; /* the first channel that has not been sent yet */
    uint64_t asked_count;  /* channels that are to be resumed from their beginning */
    uint64_t message_count;
    char *last_text;    /* what was sent last, in case the server takes no more messages now */
    uint64_t repeat_ns; /* when to send it again, monotonic; 0: it need not be */
    uint32_t doublings; /* of the wait before the next connection */
    uint64_t opened_ns; /* when the connection began, monotonic; 0: there is none */
    bool is_dirty;      /* The file is older than the state. */
    uint64_t saved_ns;
};

int tap_cursor_open(struct tap_cursor **cursor_out, const char *path,
                    const struct ws_client_subscription *subscription)
{
    struct tap_cursor *cursor = calloc(1, sizeof *cursor);
    if (cursor == NULL) {
        fprintf(stderr, "ringcast-tap: no memory for --resume\n");
        return TAP_EXIT_OUTPUT;
    }
    cursor->subscription = subscription;
    cursor->is_derived =
        subscription->depth != 0 || subscription->bar != NULL || subscription->interval_ms != 0;
    int exit_code = tap_cursor_file_load(&cursor->state, path, subscription);
    if (exit_code != TAP_EXIT_DONE) {
        tap_cursor_close(cursor);
        return exit_code;
    }
    *cursor_out = cursor;
    return TAP_EXIT_DONE;
}

void tap_cursor_close(struct tap_cursor *cursor)
{
    tap_cursor_state_clear(&cursor->state);
    free(cursor->last_text);
    free(cursor);
}

bool tap_cursor_has_position(const struct tap_cursor *cursor)
{
    return cursor->state.since_ns != 0;
}

void tap_cursor_on_open(struct tap_cursor *cursor)
{
    cursor->stage = TAP_CURSOR_CONNECTING;
    cursor->opened_ns = clock_ns(CLOCK_MONOTONIC);
    cursor->is_waiting = false;
    cursor->wants_heartbeat = false;
    cursor->is_final = false;
    cursor->is_subscribed = false;
    cursor->next_channel = 0;
    cursor->asked_count = 0;
    cursor->repeat_ns = 0;
    for (uint32_t i = 0; i < cursor->state.place_count; i++) {
        cursor->state.places[i].is_asked = false;
        cursor->state.places[i].is_sent = false;
        cursor->state.places[i].is_awaited = false;
    }
}

static void tap_cursor_on_welcome(struct tap_cursor *cursor, const struct control_reply *reply)
{
    struct tap_cursor_state *state = &cursor->state;
    const char *epoch = json_string_value(json_object_get(reply->data, "epoch"));
    if (!tap_cursor_file_is_epoch(epoch) || cursor->stage != TAP_CURSOR_CONNECTING) {
        return;
    }
    cursor->is_resumed = tap_cursor_has_position(cursor);
    if (cursor->is_resumed && strcmp(state->epoch, epoch) != 0) {
        fprintf(stderr, "ringcast-tap: GAP reason=restart: the server has another epoch; what it "
                        "published between the last tick and its restart is lost\n");
        tap_cursor_state_forget(state);
    }
    strcpy(state->epoch, epoch);
    cursor->stage = TAP_CURSOR_OPEN;
    for (uint32_t i = 0; i < state->place_count; i++) {
        state->places[i].is_awaited = !cursor->is_derived && state->places[i].is_known;
    }
}

/* refusal: an entry of failed. */
static void tap_cursor_print_loss(const struct tap_cursor_place *place, const json_t *refusal)
{
    const char *message = json_string_value(json_object_get(refusal, "message"));
    fputs("ringcast-tap: GAP ", stderr);
    terminal_text_print(stderr, place->symbol, strlen(place->symbol));
    fputc(' ', stderr);
    terminal_text_print(stderr, place->type, strlen(place->type));
    fprintf(stderr, ": it cannot be resumed after seq %" PRIu64 ": ", place->seq);
    terminal_text_print(stderr, message, message == NULL ? 0 : strlen(message));
    fputc('\n', stderr);
}

/* An entry of an answer: its channel has been resumed. */
static void tap_cursor_on_entry(struct tap_cursor *cursor, const json_t *entry)
{
    uint64_t channel;
    const char *gap = json_string_value(json_object_get(entry, "gap"));
    if (!control_reply_u64(entry, "ch", &channel)) {
        return;
    }
    struct tap_cursor_place *place = tap_cursor_state_find(&cursor->state, channel);
    if (place == NULL) {
        return;
    }
    place->is_sent = false;
    place->is_awaited = false;
    (void)control_reply_u64(entry, "next_seq", &place->live_seq);
    if (gap != NULL && strcmp(gap, "restart") == 0) {
        place->seq = 0; /* It starts counting again. */
    }
}

/* The entry of failed that is about the place: by its channel, or by its symbol and type; NULL:
 * none. */
static const json_t *tap_cursor_refusal(const json_t *failed, const struct tap_cursor_place *place,
                                        uint64_t own_channel)
{
    size_t index;
    uint64_t channel;
    const json_t *entry;
    json_array_foreach(failed, index, entry)
    {
        const char *symbol = json_string_value(json_object_get(entry, "symbol"));
        const char *type = json_string_value(json_object_get(entry, "type"));
        bool is_named = symbol != NULL && type != NULL && strcmp(symbol, place->symbol) == 0 &&
                        strcmp(type, place->type) == 0;
        if (is_named || (control_reply_u64(entry, "ch", &channel) && channel == own_channel)) {
            return entry;
        }
    }
    return NULL;
}

/* A channel that cannot be resumed: it goes on with its next tick, unless the server has none of
 * that number. */
static void tap_cursor_lose(struct tap_cursor *cursor, struct tap_cursor_place *place,
                            const json_t *refusal, bool is_shown)
{
    if (is_shown) {
        tap_cursor_print_loss(place, refusal);
    }
    if (json_integer_value(json_object_get(refusal, "code")) == CODE_UNKNOWN) {
        tap_cursor_place_forget(place);
    }
    place->seq = 0;
    place->is_sent = false;
    place->is_awaited = false;
    cursor->is_dirty = true;
}

static void tap_cursor_on_resumed(struct tap_cursor *cursor, const struct control_reply *reply)
{
    size_t index;
    const json_t *entry;
    const json_t *failed = json_object_get(reply->data, "failed");
    json_array_foreach(json_object_get(reply->data, "ok"), index, entry)
    {
        tap_cursor_on_entry(cursor, entry);
    }
    json_array_foreach(json_object_get(reply->data, "gaps"), index, entry)
    {
        tap_cursor_on_entry(cursor, entry);
    }
    uint32_t loss_count = 0;
    for (uint32_t i = 0; i < cursor->state.place_count; i++) {
        struct tap_cursor_place *place = &cursor->state.places[i];
        if (place->is_sent) {
            tap_cursor_lose(cursor, place, tap_cursor_refusal(failed, place, i),
                            loss_count++ < LOSSES_SHOWN_MAX);
        }
    }
    if (loss_count > LOSSES_SHOWN_MAX) {
        fprintf(stderr, "ringcast-tap: GAP of %u more channels\n", loss_count - LOSSES_SHOWN_MAX);
    }
    cursor->is_waiting = false;
}

/* The answer to SUBSCRIBE with `since` of the channel before next_channel. */
static void tap_cursor_on_since(struct tap_cursor *cursor, const struct control_reply *reply)
{
    uint64_t channel;
    struct tap_cursor_place *place =
        tap_cursor_state_find(&cursor->state, cursor->next_channel - 1);
    const json_t *entry = json_array_get(json_object_get(reply->data, "ok"), 0);
    bool is_same = control_reply_u64(entry, "ch", &channel) && channel == cursor->next_channel - 1;
    cursor->is_waiting = false;
    if (place == NULL) {
        return;
    }
    if (entry == NULL) {
        tap_cursor_print_loss(place, json_array_get(json_object_get(reply->data, "failed"), 0));
    }
    if (!is_same) { /* The channel has ended. It may have another number now. */
        tap_cursor_place_forget(place);
        return;
    }
    tap_cursor_on_entry(cursor, entry);
}

/* A derived channel has a position before its first tick: a later start cannot ask for it from its
 * beginning. */
static void tap_cursor_on_derived(struct tap_cursor *cursor, const json_t *entry)
{
    uint64_t channel;
    if (!cursor->is_derived || !control_reply_u64(entry, "ch", &channel)) {
        return;
    }
    struct tap_cursor_place *place = tap_cursor_state_open(&cursor->state, channel);
    if (place != NULL && !place->is_known && tap_cursor_place_name_as(place, entry)) {
        (void)control_reply_u64(entry, "next_seq", &place->live_seq);
    }
}

/* The answer to the user's SUBSCRIBE, or to one of the cursor's with `since`. */
static void tap_cursor_on_subscribed(struct tap_cursor *cursor, const struct control_reply *reply)
{
    size_t index;
    const json_t *entry;
    if (cursor->stage == TAP_CURSOR_OPEN) {
        tap_cursor_on_since(cursor, reply);
        return;
    }
    cursor->is_subscribed = true;
    cursor->wants_heartbeat = !cursor->is_derived;
    cursor->is_final = json_array_size(json_object_get(reply->data, "ok")) == 0;
    json_array_foreach(json_object_get(reply->data, "failed"), index, entry)
    {
        cursor->is_final = cursor->is_final && !json_is_true(json_object_get(entry, "retry"));
    }
    json_array_foreach(json_object_get(reply->data, "ok"), index, entry)
    {
        tap_cursor_on_derived(cursor, entry);
    }
    if (cursor->state.since_ns == 0) {
        (void)control_reply_u64(reply->root, "ts", &cursor->state.since_ns);
    }
    cursor->is_dirty = true;
}

/* Has a channel resumed from its beginning that has appeared since the last connection: seq is not
 * its first one. */
static void tap_cursor_ask(struct tap_cursor *cursor, struct tap_cursor_place *place, uint64_t seq)
{
    if (cursor->is_resumed && !cursor->is_derived && !place->is_known && seq > 1) {
        place->is_known = true;
        place->is_from_beginning = true;
        place->is_asked = true;
        place->is_awaited = true;
        cursor->asked_count++;
    }
}

/* Channels of which no tick has come: what they have published before is not wanted, or still to
 * come if this connection continues an earlier one. */
static void tap_cursor_on_heartbeat(struct tap_cursor *cursor, const struct control_reply *reply)
{
    const char *key;
    const json_t *value;
    json_object_foreach(json_object_get(reply->data, "next_seq"), key, value)
    {
        char *end;
        uint64_t channel = strtoull(key, &end, 10);
        if (cursor->is_derived || end == key || *end != '\0' || json_integer_value(value) < 1) {
            continue;
        }
        uint64_t next_seq = (uint64_t)json_integer_value(value);
        struct tap_cursor_place *place = tap_cursor_state_open(&cursor->state, channel);
        if (place == NULL || place->is_known) {
            continue;
        }
        tap_cursor_ask(cursor, place, next_seq);
        if (!place->is_known) {
            place->is_known = true;
            place->seq = next_seq - 1;
            cursor->is_dirty = true;
        }
    }
}

/* Whether this connection goes on. */
static bool tap_cursor_on_error(struct tap_cursor *cursor, const json_t *error)
{
    uint64_t code;
    if (control_reply_u64(error, "code", &code) && code == ERROR_RATE) {
        cursor->repeat_ns = clock_ns(CLOCK_MONOTONIC) + RATE_WAIT_NS;
        return true;
    }
    cursor->is_final = (cursor->is_waiting || !cursor->is_subscribed) &&
                       !json_is_true(json_object_get(error, "retry"));
    return !cursor->is_waiting;
}

bool tap_cursor_on_control(struct tap_cursor *cursor, const struct control_reply *reply)
{
    struct tap_cursor_place *place;
    switch (reply->type) {
    case CONTROL_WELCOME:
        tap_cursor_on_welcome(cursor, reply);
        return true;
    case CONTROL_SUBSCRIBED:
        tap_cursor_on_subscribed(cursor, reply);
        return true;
    case CONTROL_GAP:
        place = tap_cursor_state_find(&cursor->state, reply->channel);
        if (place != NULL && !place->is_awaited && reply->to > place->seq) {
            place->seq = reply->to;
            cursor->is_dirty = true;
        }
        return true;
    case CONTROL_ERROR:
        return tap_cursor_on_error(cursor, reply->data);
    case CONTROL_HEARTBEAT:
        tap_cursor_on_heartbeat(cursor, reply);
        return true;
    case CONTROL_OTHER:
        if (strcmp(reply->name, "RESUMED") == 0) {
            tap_cursor_on_resumed(cursor, reply);
        }
        return true;
    }
    return true;
}

bool tap_cursor_on_tick(struct tap_cursor *cursor, const struct tap_tick *tick)
{
    struct tap_cursor_place *place = tap_cursor_state_open(&cursor->state, tick->channel);
    if (place == NULL) {
        return true;
    }
    tap_cursor_place_name(place, tick);
    tap_cursor_ask(cursor, place, tick->seq);
    if (place->is_awaited) {
        return false;
    }
    if (place->is_known && tick->seq <= place->seq) {
        return false;
    }
    place->is_known = true;
    place->seq = tick->seq;
    cursor->is_dirty = true;
    bool is_older = tick->seq < place->live_seq && tick->ts_pub_ns < cursor->state.since_ns;
    return !place->is_from_beginning || !is_older;
}

/* ---- Messages ---- */

/* RESUME of the channels from next_channel on that are known, or asked for; NULL: there are none.
 */
static char *tap_cursor_resume_text(struct tap_cursor *cursor, bool is_asked)
{
    size_t size = WS_CLIENT_MESSAGE_BYTES_MAX;
    char *text = malloc(size);
    uint32_t count = 0;
    if (text == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(
        text, size, "{\"type\":\"RESUME\",\"id\":%" PRIu64 ",\"data\":{\"epoch\":\"%s\"",
        FIRST_ID + cursor->message_count, cursor->state.epoch);
    if (cursor->subscription->on_lag != NULL) {
        used += (size_t)snprintf(text + used, size - used, ",\"delivery\":{\"on_lag\":\"%s\"}",
                                 cursor->subscription->on_lag);
    }
    used += (size_t)snprintf(text + used, size - used, ",\"cursors\":{");
    for (; cursor->next_channel < cursor->state.place_count && count < RESUME_ENTRIES_MAX &&
           size - used > RESUME_ENTRY_BYTES_MAX;
         cursor->next_channel++) {
        struct tap_cursor_place *place = &cursor->state.places[cursor->next_channel];
        if (is_asked ? !place->is_asked : !place->is_known) {
            continue;
        }
        place->is_asked = false;
        place->is_sent = true;
        used += (size_t)snprintf(text + used, size - used, "%s\"%" PRIu64 "\":%" PRIu64,
                                 count == 0 ? "" : ",", cursor->next_channel, place->seq);
        count++;
    }
    assert_always(size - used > sizeof "}}}");
    strcpy(text + used, "}}}");
    if (count == 0) {
        free(text);
        return NULL;
    }
    cursor->message_count++;
    return text;
}

/* The user's settings for one symbol and one type: the server refuses those of other types. */
static json_t *tap_cursor_subscription(const struct tap_cursor *cursor,
                                       const struct tap_cursor_place *place)
{
    char symbol[TAP_CURSOR_SYMBOL_BYTES_MAX + 2];
    struct ws_client_subscription one = *cursor->subscription;
    one.types = place->type;
    one.depth = strcmp(place->type, "depth") == 0 ? one.depth : 0;
    one.bar = strcmp(place->type, "bar") == 0 ? one.bar : NULL;
    char *text = ws_client_subscribe_text(&one);
    json_t *message = text == NULL ? NULL : json_loads(text, 0, NULL);
    free(text);
    snprintf(symbol, sizeof symbol, "\"%s\"", place->symbol);
    json_object_set_new(json_object_get(message, "data"), "symbols",
                        json_pack("[o]", json_loads(symbol, JSON_DECODE_ANY, NULL)));
    return message;
}

/* SUBSCRIBE with `since` of the next channel that is known; NULL: there are none. */
static char *tap_cursor_since_text(struct tap_cursor *cursor)
{
    struct tap_cursor_place *place = NULL;
    while (cursor->next_channel < cursor->state.place_count && place == NULL) {
        place = &cursor->state.places[cursor->next_channel++];
        if (!place->is_known && place->live_seq > 0) { /* No tick has come since SUBSCRIBED. */
            place->is_known = true;
            place->seq = place->live_seq - 1;
        }
        place = place->is_known ? place : NULL;
    }
    if (place == NULL) {
        return NULL;
    }
    json_t *message = tap_cursor_subscription(cursor, place);
    json_object_set_new(message, "id",
                        json_integer((json_int_t)(FIRST_ID + cursor->message_count)));
    json_object_set_new(
        json_object_get(message, "data"), "since",
        json_pack("{s:s,s:I}", "epoch", cursor->state.epoch, "seq", (json_int_t)place->seq));
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    json_decref(message);
    cursor->message_count++;
    return text;
}

static char *tap_cursor_new_message(struct tap_cursor *cursor)
{
    char *text = NULL;
    if (cursor->stage == TAP_CURSOR_CONNECTING || cursor->is_waiting ||
        (cursor->stage == TAP_CURSOR_SUBSCRIBED && !cursor->is_subscribed)) {
        return NULL; /* One message after the other, so that the one that is refused is known. */
    }
    if (cursor->stage == TAP_CURSOR_OPEN) {
        text = cursor->is_resumed && cursor->is_derived ? tap_cursor_since_text(cursor) : NULL;
        cursor->is_waiting = text != NULL;
        if (text == NULL) {
            struct ws_client_subscription all = *cursor->subscription;
            all.snapshot = all.snapshot && (cursor->is_derived || !cursor->is_resumed);
            cursor->stage = TAP_CURSOR_SUBSCRIBED;
            text = ws_client_subscribe_text(&all);
        }
        return text;
    }
    if (cursor->stage == TAP_CURSOR_SUBSCRIBED) {
        bool has_positions = cursor->is_resumed && !cursor->is_derived;
        text = has_positions ? tap_cursor_resume_text(cursor, false) : NULL;
        cursor->stage = text == NULL ? TAP_CURSOR_LIVE : TAP_CURSOR_SUBSCRIBED;
        cursor->is_waiting = text != NULL;
    }
    if (text != NULL) {
        return text;
    }
    if (cursor->wants_heartbeat) {
        cursor->wants_heartbeat = false;
        text = strdup("{\"type\":\"HEARTBEAT\"}");
    } else if (cursor->asked_count > 0) {
        cursor->next_channel = 0;
        cursor->asked_count = 0;
        text = tap_cursor_resume_text(cursor, true);
        for (uint64_t i = cursor->next_channel; i < cursor->state.place_count; i++) {
            cursor->asked_count += cursor->state.places[i].is_asked;
        }
        cursor->is_waiting = text != NULL;
    }
    return text;
}

const char *tap_cursor_next_message(struct tap_cursor *cursor)
{
    if (cursor->repeat_ns != 0) {
        bool is_due = clock_ns(CLOCK_MONOTONIC) >= cursor->repeat_ns;
        cursor->repeat_ns = is_due ? 0 : cursor->repeat_ns;
        return is_due ? cursor->last_text : NULL;
    }
    char *text = tap_cursor_new_message(cursor);
    if (text != NULL) {
        free(cursor->last_text);
        cursor->last_text = text;
    }
    return text;
}

uint64_t tap_cursor_retry_ns(struct tap_cursor *cursor, uint16_t close_code)
{
    uint16_t random;
    bool is_fault = close_code == 1002 || close_code == 1007 || close_code == 1009;
    if (cursor->is_final || is_fault || (close_code >= 4000 && close_code < 4100)) {
        return UINT64_MAX;
    }
    if (cursor->opened_ns != 0 && clock_ns(CLOCK_MONOTONIC) - cursor->opened_ns >= STABLE_NS) {
        cursor->doublings = 0;
    }
    cursor->opened_ns = 0;
    if (close_code == CLOSE_RATE && cursor->doublings < RETRY_SLOWLY) {
        cursor->doublings = RETRY_SLOWLY;
    }
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        random = 0;
    }
    uint64_t most_ns = RETRY_FIRST_NS << cursor->doublings;
    cursor->doublings += cursor->doublings < RETRY_DOUBLINGS_MAX;
    return most_ns / 2 + most_ns / 2 * random / UINT16_MAX;
}

bool tap_cursor_save(struct tap_cursor *cursor, uint64_t monotonic_ns, bool is_last)
{
    bool is_due = is_last || monotonic_ns - cursor->saved_ns >= SAVE_INTERVAL_NS;
    if (!cursor->is_dirty || !is_due || cursor->state.since_ns == 0) {
        return true;
    }
    cursor->saved_ns = monotonic_ns;
    cursor->is_dirty = false;
    return tap_cursor_file_save(&cursor->state, cursor->subscription);
}
