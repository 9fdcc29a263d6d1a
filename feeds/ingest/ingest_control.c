#include "feeds/ingest/ingest_control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_escape.h"
#include "feeds/ingest/ingest_input.h"
#include "feeds/ingest/ingest_output.h"
#include "feeds/json_field.h"

#define INGEST_CONTROL_SENTENCE_BYTES_MAX 160 /* of a reason or a detail; more is cut */

static const struct ingest_control_code {
    const char *name;
    const char *advice;
    bool may_retry; /* Connecting again may help. */
} ingest_control_codes[INGEST_CODE_COUNT] = {
    [INGEST_BAD_TOKEN] = {"bad_token", "send a valid token in HELLO", false},
    [INGEST_TOKEN_EXPIRED] = {"token_expired", "get a new token, and connect again", false},
    [INGEST_FORBIDDEN] = {"forbidden", "use a token that may publish", false},
    [INGEST_HELLO_FIRST] = {"hello_first",
                            "send HELLO as the first message, with a token where one is needed",
                            false},
    [INGEST_TOO_MANY_PRODUCERS] = {"too_many_producers",
                                   "the server has no place for another producer; try again later",
                                   true},
    [INGEST_REPLACED] = {"replaced",
                         "another connection has the same name; give each producer its own", false},
    [INGEST_OLD_EPOCH] = {"old_epoch",
                          "a newer epoch of this name is known; send a greater one in HELLO",
                          false},
    [INGEST_TOO_LONG] = {"too_long", "a message is too long; send smaller ones", false},
    [INGEST_MALFORMED] = {"malformed", "send HELLO as docs/feeds/ingest.md describes it", false},
    [INGEST_SILENT] = {"silent", "nothing was received for 60 s; send HEARTBEAT every 5 s", true},
    [INGEST_NOT_READING] = {"not_reading", "read what the server sends", true},
    [INGEST_STOPPING] = {"stopping", "the server stops; connect again later", true},
};

/* ---- Reading ---- */

const char *ingest_control_check_length(size_t text_bytes)
{
    return text_bytes > INGEST_CONTROL_BYTES_MAX ? "a control message has more than 20480 bytes"
                                                 : NULL;
}

static json_t *ingest_control_load(const char *text, size_t text_bytes)
{
    return json_loadb(text, text_bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
}

static const char *ingest_control_take_name(struct ingest_hello *hello, const json_t *value)
{
    const char *name = json_field_text(value);
    size_t bytes = name == NULL ? 0 : strlen(name);
    if (bytes == 0 || bytes > INGEST_NAME_BYTES_MAX) {
        return "HELLO: name is not a string of 1 to 64 characters";
    }
    for (size_t i = 0; i < bytes; i++) {
        if (name[i] < ' ' || name[i] > '~') {
            return "HELLO: name has other characters than printable ASCII";
        }
    }
    memcpy(hello->name, name, bytes + 1);
    return NULL;
}

static const char *ingest_control_take_token(struct ingest_hello *hello, const json_t *value)
{
    if (value == NULL || json_is_null(value)) {
        return NULL;
    }
    const char *token = json_field_text(value);
    size_t bytes = token == NULL ? 0 : strlen(token);
    if (bytes == 0 || bytes > INGEST_CONTROL_TOKEN_BYTES_MAX) {
        return "HELLO: token is not a string of 1 to 8192 bytes";
    }
    hello->token = malloc(bytes);
    if (hello->token == NULL) {
        return "HELLO: the server has no memory for the token";
    }
    hello->token_bytes = bytes;
    memcpy(hello->token, token, bytes);
    return NULL;
}

static const char *ingest_control_take_hello(struct ingest_hello *hello, const json_t *data)
{
    const json_t *epoch = json_object_get(data, "epoch");
    if (!json_is_object(data)) {
        return "HELLO: data is not an object";
    }
    if (epoch != NULL && !json_is_null(epoch) &&
        (!json_is_integer(epoch) || json_integer_value(epoch) < 0)) {
        return "HELLO: epoch is not an integer from 0 to 9223372036854775807";
    }
    hello->epoch = (uint64_t)json_integer_value(epoch);
    const char *fault = ingest_control_take_name(hello, json_object_get(data, "name"));
    return fault != NULL ? fault : ingest_control_take_token(hello, json_object_get(data, "token"));
}

const char *ingest_control_read_hello(struct ingest_hello *hello_out, const char *text,
                                      size_t text_bytes)
{
    json_t *message = ingest_control_load(text, text_bytes);
    const char *type = json_field_text(json_object_get(message, "type"));
    *hello_out = (struct ingest_hello){.is_hello = type != NULL && strcmp(type, "HELLO") == 0};
    const char *fault =
        !hello_out->is_hello
            ? "the first message is not HELLO, or is not valid JSON"
            : ingest_control_take_hello(hello_out, json_object_get(message, "data"));
    json_decref(message);
    return fault;
}

void ingest_hello_drop_token(struct ingest_hello *hello)
{
    free(hello->token);
    hello->token = NULL;
}

static const char *ingest_control_take_gap(struct ingest_gap *gap, const json_t *data)
{
    const json_t *ch = json_object_get(data, "ch");
    const char *symbol = json_field_text(json_object_get(data, "symbol"));
    const char *type = json_field_text(json_object_get(data, "type"));
    size_t symbol_bytes = symbol == NULL ? 0 : strlen(symbol);
    gap->has_ch = symbol == NULL && json_is_integer(ch) && json_integer_value(ch) >= 0;
    if (gap->has_ch) {
        gap->ch = (uint64_t)json_integer_value(ch);
        return NULL;
    }
    if (symbol_bytes == 0 || symbol_bytes > sizeof gap->symbol) {
        return "GAP: symbol is not a string of 1 to 32 bytes";
    }
    gap->symbol_bytes = (uint8_t)symbol_bytes;
    memcpy(gap->symbol, symbol, symbol_bytes);
    gap->type = type == NULL ? MD_TYPE_COUNT : md_type_by_name(type, strlen(type));
    return gap->type == MD_TYPE_COUNT ? "GAP: type is not a data type" : NULL;
}

const char *ingest_control_read_gap(struct ingest_gap *gap_out, const char *text, size_t text_bytes)
{
    json_t *message = ingest_control_load(text, text_bytes);
    *gap_out = (struct ingest_gap){.has_ch = false};
    const char *fault = message == NULL
                            ? "GAP: it is not JSON, or has a key twice"
                            : ingest_control_take_gap(gap_out, json_object_get(message, "data"));
    json_decref(message);
    return fault;
}

/* ---- Writing ---- */

static size_t ingest_control_check(int bytes)
{
    assert_always(bytes > 0);
    assert_always(bytes < INGEST_OUTPUT_MESSAGE_BYTES_MAX);
    return (size_t)bytes;
}

static void ingest_control_number(char out[24], uint64_t number, bool is_given)
{
    snprintf(out, 24, "%" PRIu64, number);
    if (!is_given) {
        strcpy(out, "null");
    }
}

size_t ingest_control_welcome(char *out, uint64_t server_epoch, const struct ingest_place *place)
{
    char q[24];
    ingest_control_number(q, place->q, place->has_q);
    return ingest_control_check(snprintf(
        out, INGEST_OUTPUT_MESSAGE_BYTES_MAX,
        "{\"type\":\"WELCOME\",\"data\":{\"epoch\":\"%016" PRIx64 "\",\"q\":%s,\"ack_ms\":%d,"
        "\"heartbeat_s\":%d,\"silent_s\":%d,\"message_bytes_max\":%" PRIu64 "}}",
        server_epoch, q, INGEST_ACK_MS, INGEST_HEARTBEAT_S, INGEST_SILENT_S,
        INGEST_INPUT_MESSAGE_BYTES_MAX));
}

size_t ingest_control_ack(char *out, uint64_t q)
{
    return ingest_control_check(snprintf(out, INGEST_OUTPUT_MESSAGE_BYTES_MAX,
                                         "{\"type\":\"ACK\",\"data\":{\"q\":%" PRIu64 "}}", q));
}

/* A sentence as the text of a JSON string. */
static const char *
ingest_control_escape(char out[INGEST_CONTROL_SENTENCE_BYTES_MAX * JSON_ESCAPE_BYTES_MAX + 1],
                      const char *sentence)
{
    *json_escape(out, sentence, strnlen(sentence, INGEST_CONTROL_SENTENCE_BYTES_MAX)) = '\0';
    return out;
}

size_t ingest_control_refused(char *out, uint64_t q, const char *reason)
{
    char number[24];
    char text[INGEST_CONTROL_SENTENCE_BYTES_MAX * JSON_ESCAPE_BYTES_MAX + 1];
    ingest_control_number(number, q, q != 0);
    return ingest_control_check(
        snprintf(out, INGEST_OUTPUT_MESSAGE_BYTES_MAX,
                 "{\"type\":\"REFUSED\",\"data\":{\"q\":%s,\"reason\":\"%.300s\"}}", number,
                 ingest_control_escape(text, reason)));
}

size_t ingest_control_heartbeat(char *out)
{
    return ingest_control_check(
        snprintf(out, INGEST_OUTPUT_MESSAGE_BYTES_MAX, "{\"type\":\"HEARTBEAT\"}"));
}

size_t ingest_control_error(char *out, enum ingest_code code, const char *detail)
{
    char text[INGEST_CONTROL_SENTENCE_BYTES_MAX * JSON_ESCAPE_BYTES_MAX + 1];
    assert_always(code < INGEST_CODE_COUNT);
    const struct ingest_control_code *row = &ingest_control_codes[code];
    return ingest_control_check(snprintf(
        out, INGEST_OUTPUT_MESSAGE_BYTES_MAX,
        "{\"type\":\"ERROR\",\"data\":{\"code\":\"%s\",\"message\":\"%.250s%s%s\",\"retry\":%s}}",
        row->name, detail == NULL ? "" : ingest_control_escape(text, detail),
        detail == NULL ? "" : "; ", row->advice, row->may_retry ? "true" : "false"));
}

const char *ingest_control_code_name(enum ingest_code code)
{
    assert_always(code < INGEST_CODE_COUNT);
    return ingest_control_codes[code].name;
}
