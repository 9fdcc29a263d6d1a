#include "tools/tap/tap_tick.h"

#include <stdlib.h>
#include <string.h>

static const char *tap_tick_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == ',' || *at == ':' || *at == '\n')) {
        at++;
    }
    return at;
}

/* The end of the JSON value at at: by its brackets and quotes, not by its validity. */
static const char *tap_tick_value_end(const char *at, const char *end)
{
    int depth = 0;
    bool in_string = false;
    for (; at < end; at++) {
        if (in_string && *at == '\\') {
            at += at + 1 < end; /* An escaped quote is not the end. */
        } else if (in_string) {
            in_string = *at != '"';
        } else if (*at == '"') {
            in_string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) {
                return at;
            }
            depth--;
        } else if (depth == 0 && (*at == ',' || *at == ':')) {
            return at;
        }
    }
    return end;
}

bool tap_tick_next(const char **at, const char *end, struct tap_slice *key_out,
                   struct tap_slice *value_out)
{
    const char *key_at = tap_tick_skip_blanks(*at, end);
    if (key_at >= end || *key_at != '"') {
        return false;
    }
    const char *key_end = tap_tick_value_end(key_at, end);
    const char *value_at = tap_tick_skip_blanks(key_end, end);
    *at = tap_tick_value_end(value_at, end);
    if (key_end - key_at < 2) {
        return false;
    }
    *key_out = (struct tap_slice){key_at + 1, (size_t)(key_end - key_at) - 2};
    *value_out = (struct tap_slice){value_at, (size_t)(*at - value_at)};
    return true;
}

bool tap_tick_is(struct tap_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && memcmp(slice.text, text, slice.bytes) == 0;
}

struct tap_slice tap_tick_inside(struct tap_slice value)
{
    if (value.bytes >= 2 && value.text[0] == '"') {
        return (struct tap_slice){value.text + 1, value.bytes - 2};
    }
    return value;
}

/* 0: no number. */
static uint64_t tap_tick_number(struct tap_slice value)
{
    char digits[24] = {0};
    memcpy(digits, value.text, value.bytes < sizeof digits ? value.bytes : 0);
    return digits[0] == '-' ? 0 : strtoull(digits, NULL, 10);
}

void tap_tick_read(struct tap_tick *tick_out, const uint8_t *json, size_t json_bytes)
{
    static const struct tap_slice nothing = {"", 0};
    struct tap_tick tick = {.json = json, .json_bytes = json_bytes, .symbol = nothing};
    const char *at = (const char *)json + (json_bytes > 0);
    const char *end = (const char *)json + json_bytes;
    struct tap_slice key, value;
    tick.type = tick.data = nothing;
    while (tap_tick_next(&at, end, &key, &value)) {
        if (tap_tick_is(key, "type")) {
            tick.type = tap_tick_inside(value);
        } else if (tap_tick_is(key, "symbol")) {
            tick.symbol = tap_tick_inside(value);
        } else if (tap_tick_is(key, "ch")) {
            tick.channel = tap_tick_number(value);
        } else if (tap_tick_is(key, "seq")) {
            tick.seq = tap_tick_number(value);
        } else if (tap_tick_is(key, "ts_event")) {
            tick.ts_event_ns = tap_tick_number(value);
        } else if (tap_tick_is(key, "ts_recv")) {
            tick.ts_recv_ns = tap_tick_number(value);
        } else if (tap_tick_is(key, "ts_pub")) {
            tick.ts_pub_ns = tap_tick_number(value);
        } else if (tap_tick_is(key, "data")) {
            tick.data = value;
        }
    }
    *tick_out = tick;
}
