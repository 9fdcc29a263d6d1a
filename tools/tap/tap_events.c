#include "tools/tap/tap_events.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/clock.h"
#include "tools/tap/tap_print.h"

/* Nothing after an output that failed: each write might wait. */
static bool tap_events_print(const struct tap_sink *sink)
{
    return sink->options->prints_ticks && !sink->is_settling && !ferror(stdout);
}

int tap_events_open(struct tap_sink *sink)
{
    const struct tap_options *options = sink->options;
    int exit_code = TAP_EXIT_DONE;
    if (options->stats) {
        sink->stats = tap_stats_create(options->prints_ticks || options->json ? stderr : stdout,
                                       clock_ns(CLOCK_MONOTONIC));
        if (sink->stats == NULL) {
            fprintf(stderr, "ringcast-tap: no memory for --stats\n");
            return TAP_EXIT_UNREACHABLE;
        }
    }
    if (options->resume_path != NULL) {
        exit_code = tap_cursor_open(&sink->cursor, options->resume_path, &options->subscription);
    }
    if (options->record_path != NULL && exit_code == TAP_EXIT_DONE) {
        exit_code = tap_record_open(&sink->record, options->record_path);
    }
    return exit_code;
}

bool tap_events_close(struct tap_sink *sink)
{
    bool is_whole = !sink->has_failed;
    if (sink->record != NULL) {
        is_whole = tap_record_close(sink->record) && is_whole;
    }
    if (sink->cursor != NULL) {
        tap_cursor_close(sink->cursor);
    }
    if (sink->stats != NULL) {
        tap_stats_destroy(sink->stats);
    }
    return is_whole;
}

void tap_events_on_open(struct tap_sink *sink)
{
    if (sink->record != NULL) {
        tap_record_connection(sink->record, &sink->options->url);
    }
    if (sink->cursor != NULL) { /* Refusals on an earlier connection do not count. */
        tap_cursor_on_open(sink->cursor);
        sink->refused_count = 0;
        sink->error_count = 0;
    }
}

void tap_events_on_tick(struct tap_sink *sink, const struct tap_tick *tick)
{
    if (tap_events_have_enough(sink) ||
        (sink->cursor != NULL && !tap_cursor_on_tick(sink->cursor, tick))) {
        return;
    }
    sink->ticks++;
    if (sink->stats != NULL) {
        tap_stats_on_tick(sink->stats, tick, clock_ns(CLOCK_REALTIME));
    }
    if (sink->record != NULL) {
        tap_record_message(sink->record, tick->json, tick->json_bytes);
    }
    if (!tap_events_print(sink)) {
        return;
    }
    if (sink->options->json) {
        fwrite(tick->json, 1, tick->json_bytes, stdout);
        fputc('\n', stdout);
    } else {
        tap_print_tick(stdout, tick);
    }
}

/* Files: first what was received, then how far that is. */
static void tap_events_save(struct tap_sink *sink, uint64_t now_ns, bool is_last)
{
    bool is_written = sink->record == NULL || tap_record_flush(sink->record);
    if (is_written && sink->cursor != NULL && !ferror(stdout)) {
        is_written = tap_cursor_save(sink->cursor, now_ns, is_last);
    }
    sink->has_failed = sink->has_failed || !is_written;
}

/* A message about a loss, or about one to come. */
static bool tap_events_is_warning(const struct control_reply *reply)
{
    return reply->type == CONTROL_GAP || strcmp(reply->name, "LAG") == 0 ||
           strcmp(reply->name, "NOTICE") == 0 ||
           json_array_size(json_object_get(reply->data, "gaps")) > 0;
}

/* HEARTBEATs are left out: they would fill the screen while nothing else arrives. With --json only
 * ticks go to standard output. */
void tap_events_on_control(struct tap_sink *sink, const struct control_reply *reply,
                           const uint8_t *payload, size_t payload_bytes)
{
    bool is_counted = !tap_events_have_enough(sink);
    bool had_position = sink->cursor == NULL || tap_cursor_has_position(sink->cursor);
    if (is_counted && sink->cursor != NULL && !tap_cursor_on_control(sink->cursor, reply)) {
        sink->wants_new_connection = true;
    }
    if (!had_position && tap_cursor_has_position(sink->cursor)) {
        tap_events_save(sink, clock_ns(CLOCK_MONOTONIC),
                        true); /* before the first tick is printed */
    }
    if (is_counted && sink->stats != NULL) {
        tap_stats_on_control(sink->stats, reply);
    }
    if (is_counted && sink->record != NULL) {
        tap_record_message(sink->record, payload, payload_bytes);
    }
    if (!tap_events_print(sink) || reply->type == CONTROL_HEARTBEAT) {
        return;
    }
    if (!sink->options->json) {
        tap_print_control(stdout, payload, payload_bytes);
    } else if (tap_events_is_warning(reply)) {
        tap_print_control(stderr, payload, payload_bytes);
    }
}

void tap_events_on_pass(struct tap_sink *sink, uint64_t now_ns)
{
    if (tap_events_print(sink)) {
        fflush(stdout);
    }
    if (sink->stats != NULL && !sink->is_settling) {
        tap_stats_on_pass(sink->stats, now_ns);
    }
    tap_events_save(sink, now_ns, false);
}

void tap_events_on_end(struct tap_sink *sink)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    fflush(stdout);
    tap_events_save(sink, now_ns, true);
    if (sink->stats != NULL) {
        tap_stats_on_end(sink->stats, now_ns);
    }
}
