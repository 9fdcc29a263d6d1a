#include "src/request/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/json_escape.h"

#define REPLY_FIRST_BYTES 4096

void reply_deinit(struct reply *reply)
{
    free(reply->text);
    *reply = (struct reply){0};
}

void reply_trim(struct reply *reply)
{
    reply->bytes = 0;
    reply->failed = false;
    if (reply->capacity > REPLY_KEPT_BYTES) {
        reply_deinit(reply);
    }
}

__attribute__((noinline)) static bool reply_grow(struct reply *reply, size_t bytes_count)
{
    size_t capacity = reply->capacity == 0 ? REPLY_FIRST_BYTES : 2 * reply->capacity;
    while (capacity - reply->bytes < bytes_count) {
        capacity *= 2;
    }
    char *grown = realloc(reply->text, capacity);
    if (grown == NULL) {
        reply->failed = true;
        return false;
    }
    reply->text = grown;
    reply->capacity = capacity;
    return true;
}

/* Where bytes_count more may be written, or NULL. */
static inline char *reply_room(struct reply *reply, size_t bytes_count)
{
    if (reply->failed ||
        (reply->capacity - reply->bytes < bytes_count && !reply_grow(reply, bytes_count))) {
        return NULL;
    }
    assert_always(reply->bytes <= reply->capacity);
    assert_always(bytes_count <= reply->capacity - reply->bytes);
    return reply->text + reply->bytes;
}

void reply_put(struct reply *reply, const char *bytes, size_t bytes_count)
{
    char *at = reply_room(reply, bytes_count);
    if (at != NULL && bytes_count > 0) { /* Nothing may be a null pointer. */
        memcpy(at, bytes, bytes_count);
        reply->bytes += bytes_count;
    }
}

void reply_text(struct reply *reply, const char *text)
{
    reply_put(reply, text, strlen(text));
}

void reply_u64(struct reply *reply, uint64_t value)
{
    char text[DECIMAL_U64_BYTES_MAX];
    reply_put(reply, text, decimal_format_u64(text, value));
}

void reply_hash(struct reply *reply, uint64_t hash)
{
    char text[18] = {'"', [17] = '"'};
    for (size_t i = 16; i > 0; i--, hash >>= 4) {
        text[i] = "0123456789abcdef"[hash & 15];
    }
    reply_put(reply, text, sizeof text);
}

void reply_print(struct reply *reply, const char *format, ...)
{
    char text[512]; /* Numbers and fixed words; what others chose goes through reply_string. */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) {
        reply->failed = true;
        return;
    }
    reply_put(reply, text, (size_t)length);
}

size_t reply_escape(char *out, const char *text, size_t text_bytes)
{
    out[0] = '"';
    char *end = json_escape(out + 1, text, text_bytes);
    *end = '"';
    return (size_t)(end + 1 - out);
}

void reply_string(struct reply *reply, const char *text, size_t text_bytes)
{
    char *at = reply_room(reply, JSON_ESCAPE_BYTES_MAX * text_bytes + 2);
    if (at != NULL) {
        reply->bytes += reply_escape(at, text, text_bytes);
    }
}

void reply_begin(struct reply *reply, const char *type, const char *id, uint64_t wall_ns)
{
    reply->bytes = 0;
    reply->failed = false;
    reply_text(reply, "{\"type\":\"");
    reply_text(reply, type);
    reply_text(reply, "\"");
    if (id[0] != '\0') {
        reply_text(reply, ",\"id\":");
        reply_text(reply, id);
    }
    reply_text(reply, ",\"ts\":");
    reply_u64(reply, wall_ns);
    reply_text(reply, ",\"data\":");
}

void reply_end(struct reply *reply)
{
    assert_debug(reply->failed || reply->bytes > 0);
    reply_put(reply, "}", 1);
}
