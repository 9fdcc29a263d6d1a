#include "tools/tap/tap_print.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "codec/base/units.h"
#include "tools/common/terminal_text.h"

#define LISTED_MAX 20 /* Ranges and faults shown; the JSON certificate has more. */

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
    while (tap_tick_next(&at, end, &key, &value)) {
        if (value.bytes >= 2 && value.text[0] == '"') {
            value.text++;
            value.bytes -= 2;
        }
        tap_print_slice(out, " ", key);
        tap_print_slice(out, "=", value);
    }
}

static void tap_print_time(FILE *out, uint64_t ns)
{
    char text[16];
    struct tm utc;
    time_t seconds = (time_t)(ns / NS_PER_SECOND);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%H:%M:%S", &utc);
    fprintf(out, "%s.%06llu", text, (unsigned long long)(ns % NS_PER_SECOND / NS_PER_US));
}

void tap_print_tick(FILE *out, const struct tap_tick *tick)
{
    tap_print_time(out, tick->ts_event_ns != 0 ? tick->ts_event_ns : tick->ts_pub_ns);
    tap_print_slice(out, " ", tick->symbol);
    tap_print_slice(out, " ", tick->type);
    fprintf(out, " #%llu", (unsigned long long)tick->seq);
    tap_print_fields(out, tick->data);
    fputc('\n', out);
}

void tap_print_control(FILE *out, const uint8_t *payload, size_t payload_bytes)
{
    const char *at = (const char *)payload + 1;
    const char *end = (const char *)payload + payload_bytes;
    struct tap_slice key, value;
    fputs("--", out);
    while (payload_bytes > 2 && tap_tick_next(&at, end, &key, &value)) {
        if (tap_tick_is(key, "type")) {
            value = tap_tick_inside(value);
            tap_print_slice(out, " ", value);
        } else if (tap_tick_is(key, "data")) {
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

/* "connection 3 ", or nothing when there is one alone. */
static void tap_print_reader(FILE *out, const json_t *certificate, const json_t *item)
{
    if (tap_print_integer(certificate, "connections") != 1) {
        fprintf(out, "connection %lld ", tap_print_integer(item, "connection"));
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
                    json_is_true(json_object_get(item, "reported")) ? "reported by GAP"
                                                                    : "NOT REPORTED");
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

static void tap_print_verdict(FILE *out, const json_t *certificate)
{
    bool is_one = json_is_true(json_object_get(certificate, "one_digest"));
    bool is_proven = json_is_true(json_object_get(certificate, "proven"));
    long long connections = tap_print_integer(certificate, "connections");
    long long channels = (long long)json_array_size(json_object_get(certificate, "channels"));
    fprintf(out, "CERTIFICATE\n  verdict    %s: %lld connection%s, %lld channel%s, %s, %s\n",
            json_is_true(json_object_get(certificate, "complete")) ? "COMPLETE" : "INCOMPLETE",
            connections, tap_print_s(connections), channels, tap_print_s(channels),
            is_one ? "one digest" : "NOT one digest", is_proven ? "proven" : "NOT proven");
}

static void tap_print_missing(FILE *out, const json_t *certificate)
{
    long long reported = tap_print_integer(certificate, "reported_frames");
    long long unreported = tap_print_integer(certificate, "unreported_frames");
    long long ranges = tap_print_integer(certificate, "reported_ranges");
    if (reported + unreported == 0) {
        fprintf(out, "  missing    none\n");
        return;
    }
    fprintf(out,
            "  missing    %lld frame%s in %lld range%s reported by GAP, %lld in %lld NOT "
            "REPORTED\n",
            reported, tap_print_s(reported), ranges, tap_print_s(ranges), unreported,
            tap_print_integer(certificate, "unreported_ranges"));
}

void tap_print_certificate(FILE *out, const json_t *certificate, bool with_channels)
{
    size_t index;
    json_t *channel;
    long long frames = tap_print_integer(certificate, "frames");
    long long bytes = tap_print_integer(certificate, "bytes");
    tap_print_verdict(out, certificate);
    fputs("  epoch      ", out);
    tap_print_foreign(out, certificate, "epoch");
    fprintf(out, "\n  received   %lld frame%s, %lld byte%s\n", frames, tap_print_s(frames), bytes,
            tap_print_s(bytes));
    tap_print_missing(out, certificate);
    tap_print_losses(out, certificate);
    tap_print_checks(out, certificate);
    fprintf(out, "  digest     sha256 %s\n", tap_print_string(certificate, "sha256"));
    json_array_foreach(json_object_get(certificate, "channels"), index, channel)
    {
        if (with_channels) {
            tap_print_channel(out, channel);
        }
    }
}
