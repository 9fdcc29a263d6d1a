#include "tools/tap/tap_events.h"

#include <stdio.h>
#include <string.h>

#include "tools/tap/tap_print.h"

/* Nothing after an output that failed: each write might wait. */
static bool tap_events_print(const struct tap_sink *sink)
{
    return sink->options->prints_ticks && !sink->is_settling && !ferror(stdout);
}

void tap_events_on_open(struct tap_sink *sink)
{
    (void)sink;
}

void tap_events_on_tick(struct tap_sink *sink, const struct tap_tick *tick)
{
    if (tap_events_have_enough(sink)) {
        return;
    }
    sink->ticks++;
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

/* What is a loss, or will be one. */
static bool tap_events_is_warning(const struct control_reply *reply)
{
    return reply->type == CONTROL_GAP || strcmp(reply->name, "LAG") == 0 ||
           strcmp(reply->name, "NOTICE") == 0 ||
           json_array_size(json_object_get(reply->data, "gaps")) > 0;
}

/* HEARTBEATs are left out: while nothing else comes they would fill the screen. With --json only
 * ticks go to standard output. */
void tap_events_on_control(struct tap_sink *sink, const struct control_reply *reply,
                           const uint8_t *payload, size_t payload_bytes)
{
    if (!tap_events_print(sink) || reply->type == CONTROL_HEARTBEAT) {
        return;
    }
    if (!sink->options->json) {
        tap_print_control(stdout, payload, payload_bytes);
    } else if (tap_events_is_warning(reply)) {
        tap_print_control(stderr, payload, payload_bytes);
    }
}

void tap_events_on_close(struct tap_sink *sink, uint16_t close_code)
{
    (void)sink;
    (void)close_code;
}

void tap_events_on_pass(struct tap_sink *sink, uint64_t now_ns)
{
    (void)now_ns;
    if (tap_events_print(sink)) {
        fflush(stdout);
    }
}

void tap_events_on_end(struct tap_sink *sink)
{
    (void)sink;
}
