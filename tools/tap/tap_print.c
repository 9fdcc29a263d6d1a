#include "tools/tap/tap_print.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/units.h"
#include "tools/common/terminal_text.h"

#define LISTED_MAX 20 /* Ranges and faults shown; the JSON certificate has more. */

/* A piece of JSON text, as it was sent. */
struct tap_slice {
    const char *text;
    size_t bytes;
};

static const char *tap_print_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == ',' || *at == ':' || *at == '\n')) {
        at++;
    }
    return at;
}

/* The end of the JSON value at at: by its brackets and quotes, not by its validity. */
static const char *tap_print_value_end(const char *at, const char *end)
{
    int depth = 0;
    bool in_string = false;
    for (; at < end; at++) {
        if (in_string) {
            at += *at == '\\';
            in_string = at < end && *at != '"';
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

/* The next key and value of an object whose inside begins at *at. */
static bool tap_print_next(const char **at, const char *end, struct tap_slice *key,
                           struct tap_slice *value)
{
    const char *key_at = tap_print_skip_blanks(*at, end);
    if (key_at >= end || *key_at != '"') {
        return false;
    }
    const char *key_end = tap_print_value_end(key_at, end);
    const char *value_at = tap_print_skip_blanks(key_end, end);
    *at = tap_print_value_end(value_at, end);
    if (key_end - key_at < 2) {
        return false;
    }
    *key = (struct tap_slice){key_at + 1, (size_t)(key_end - key_at) - 2};
    *value = (struct tap_slice){value_at, (size_t)(*at - value_at)};
    return true;
}

static bool tap_print_is(struct tap_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && memcmp(slice.text, text, slice.bytes) == 0;
}

static void tap_print_slice(FILE *out, const char *before, struct tap_slice slice)
{
    fputs(before, out);
    terminal_text_print(out, slice.text, slice.bytes);
}

/* key=value key=value ..., without the quotes of plain strings. */
static void tap_print_fields(FILE *out, struct tap_slice object)
{
    const char *at = object.text + 1;
    const char *end = object.text + object.bytes;
    struct tap_slice key, value;
    if (object.bytes < 2 || object.text[0] != '{') {
        return;
    }
    while (tap_print_next(&at, end, &key, &value)) {
        if (value.bytes >= 2 && value.text[0] == '"') {
            value.text++;
            value.bytes -= 2;
        }
        tap_print_slice(out, " ", key);
        tap_print_slice(out, "=", value);
    }
}

static void tap_print_time(FILE *out, struct tap_slice ns_text)
{
    char digits[24] = {0};
    char text[16];
    struct tm utc;
    memcpy(digits, ns_text.text, ns_text.bytes < sizeof digits ? ns_text.bytes : 0);
    uint64_t ns = strtoull(digits, NULL, 10);
    time_t seconds = (time_t)(ns / NS_PER_SECOND);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%H:%M:%S", &utc);
    fprintf(out, "%s.%06llu", text, (unsigned long long)(ns % NS_PER_SECOND / NS_PER_US));
}

static struct tap_slice tap_print_inside(struct tap_slice string)
{
    if (string.bytes >= 2 && string.text[0] == '"') {
        return (struct tap_slice){string.text + 1, string.bytes - 2};
    }
    return string;
}

void tap_print_tick(FILE *out, const uint8_t *payload, size_t payload_bytes)
{
    const char *at = (const char *)payload + 1;
    const char *end = (const char *)payload + payload_bytes;
    struct tap_slice key, value;
    struct tap_slice type = {"", 0}, symbol = {"", 0}, seq = {"", 0}, data = {"", 0};
    struct tap_slice event = {"", 0}, pub = {"", 0};
    while (tap_print_next(&at, end, &key, &value)) {
        if (tap_print_is(key, "type")) {
            type = tap_print_inside(value);
        } else if (tap_print_is(key, "symbol")) {
            symbol = tap_print_inside(value);
        } else if (tap_print_is(key, "seq")) {
            seq = value;
        } else if (tap_print_is(key, "ts_event")) {
            event = value;
        } else if (tap_print_is(key, "ts_pub")) {
            pub = value;
        } else if (tap_print_is(key, "data")) {
            data = value;
        }
    }
    tap_print_time(out, event.bytes > 0 ? event : pub);
    tap_print_slice(out, " ", symbol);
    tap_print_slice(out, " ", type);
    tap_print_slice(out, " #", seq);
    tap_print_fields(out, data);
    fputc('\n', out);
}

void tap_print_control(FILE *out, const uint8_t *payload, size_t payload_bytes)
{
    const char *at = (const char *)payload + 1;
    const char *end = (const char *)payload + payload_bytes;
    struct tap_slice key, value;
    fputs("--", out);
    while (payload_bytes > 2 && tap_print_next(&at, end, &key, &value)) {
        if (tap_print_is(key, "type")) {
            value = tap_print_inside(value);
            tap_print_slice(out, " ", value);
        } else if (tap_print_is(key, "data")) {
            tap_print_fields(out, value);
        }
    }
    fputc('\n', out);
}

static long long tap_print_integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *tap_print_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* Of the server's text. */
static void tap_print_foreign(FILE *out, const json_t *object, const char *key)
{
    const char *text = tap_print_string(object, key);
    terminal_text_print(out, text, strlen(text));
}

/* "1 frame", "2 frames" */
static const char *tap_print_s(long long count)
{
    return count == 1 ? "" : "s";
}

/* "reader 3 ", or nothing when there is one alone. */
static void tap_print_reader(FILE *out, const json_t *certificate, const json_t *item)
{
    if (tap_print_integer(certificate, "readers") != 1) {
        fprintf(out, "reader %lld ", tap_print_integer(item, "reader"));
    }
}

static void tap_print_losses(FILE *out, const json_t *certificate)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(certificate, "missing"), index, item)
    {
        if (index < LISTED_MAX) {
            fputs("             ", out);
            tap_print_reader(out, certificate, item);
            fprintf(out, "ch %lld: %lld..%lld %s\n", tap_print_integer(item, "ch"),
                    tap_print_integer(item, "from"), tap_print_integer(item, "to"),
                    json_is_true(json_object_get(item, "told")) ? "told by GAP" : "NOT TOLD");
        }
    }
    json_array_foreach(json_object_get(certificate, "fault_list"), index, item)
    {
        if (index < LISTED_MAX) {
            fputs("  fault      ", out);
            tap_print_reader(out, certificate, item);
            fprintf(out, "%s\n", tap_print_string(item, "what"));
        }
    }
}

static void tap_print_channel(FILE *out, const json_t *channel)
{
    long long frames = tap_print_integer(channel, "frames");
    long long bytes = tap_print_integer(channel, "bytes");
    fprintf(out, "  channel    %lld ", tap_print_integer(channel, "ch"));
    tap_print_foreign(out, channel, "name");
    fprintf(out, ": %lld..%lld, %lld frame%s, %lld byte%s, sha256 %.16s%s\n",
            tap_print_integer(channel, "first"), tap_print_integer(channel, "last"), frames,
            tap_print_s(frames), bytes, tap_print_s(bytes), tap_print_string(channel, "sha256"),
            json_is_true(json_object_get(channel, "whole")) ? "" : ", NOT ALL COMPARED");
}

static void tap_print_checks(FILE *out, const json_t *certificate)
{
    long long duplicates = tap_print_integer(certificate, "duplicates");
    long long differing = tap_print_integer(certificate, "differing");
    long long proven = tap_print_integer(certificate, "proven_frames");
    long long checks = tap_print_integer(certificate, "hash_checks");
    fprintf(out, "  faults     %lld (%lld frame%s came twice, %lld differ%s)\n",
            tap_print_integer(certificate, "faults"), duplicates, tap_print_s(duplicates),
            differing, differing == 1 ? "s" : "");
    fprintf(out, "  proven     %lld frame%s by running hash, in %lld check%s\n", proven,
            tap_print_s(proven), checks, tap_print_s(checks));
}

void tap_print_certificate(FILE *out, const json_t *certificate)
{
    size_t index;
    json_t *channel;
    json_t *channels = json_object_get(certificate, "channels");
    long long frames = tap_print_integer(certificate, "frames");
    long long bytes = tap_print_integer(certificate, "bytes");
    long long told = tap_print_integer(certificate, "told_frames");
    long long untold = tap_print_integer(certificate, "untold_frames");
    long long ranges = tap_print_integer(certificate, "told_ranges");
    long long readers = tap_print_integer(certificate, "readers");
    fputs("CERTIFICATE\n  epoch      ", out);
    tap_print_foreign(out, certificate, "epoch");
    fputc('\n', out);
    fprintf(out, "  received   %lld frame%s, %lld byte%s\n", frames, tap_print_s(frames), bytes,
            tap_print_s(bytes));
    json_array_foreach(channels, index, channel)
    {
        tap_print_channel(out, channel);
    }
    if (told + untold == 0) {
        fprintf(out, "  missing    none\n");
    } else {
        fprintf(out,
                "  missing    %lld frame%s in %lld range%s told by GAP, %lld in %lld NOT TOLD\n",
                told, tap_print_s(told), ranges, tap_print_s(ranges), untold,
                tap_print_integer(certificate, "untold_ranges"));
    }
    tap_print_losses(out, certificate);
    tap_print_checks(out, certificate);
    bool is_one = json_is_true(json_object_get(certificate, "one_digest"));
    bool is_proven = json_is_true(json_object_get(certificate, "proven"));
    long long count = (long long)json_array_size(channels);
    fprintf(out, "  digest     sha256 %s\n", tap_print_string(certificate, "sha256"));
    fprintf(out, "  verdict    %s: %lld reader%s of %lld channel%s, %s, %s\n",
            json_is_true(json_object_get(certificate, "complete")) ? "COMPLETE" : "INCOMPLETE",
            readers, tap_print_s(readers), count, tap_print_s(count),
            is_one ? "one digest" : "NOT one digest", is_proven ? "proven" : "NOT proven");
}
