#include "src/market/tick_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/base/clock.h"
#include "src/base/log.h"
#include "src/market/book_split.h"

void tick_writer_wake_cores(struct tick_writer *writer)
{
    uint32_t woken = publisher_wait_wake_cores(writer->wait);
    if (woken > 0) {
        counter_add(&writer->counters->wakes, woken);
    }
}

/* A clock is read once for all that is shown; each counts as long as the oldest. */
static void tick_writer_count_shown(const struct tick_writer *writer)
{
    uint64_t oldest = frame_log_end(writer->log) - writer->hidden_count;
    uint64_t ts_pub_ns = frame_log_desc(writer->log, oldest)->ts_pub_ns;
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    counter_set(&writer->counters->tick_bytes, writer->log->write_position);
    uint64_t oldest_ns = now_ns > ts_pub_ns ? now_ns - ts_pub_ns : 0;
    counters_histogram_add(&writer->counters->publish, oldest_ns, writer->hidden_count);
    trace_show(oldest, writer->hidden_count, oldest_ns);
}

void tick_writer_show(struct tick_writer *writer)
{
    if (writer->hidden_count == 0) {
        return;
    }
    encodings_publish(writer->encodings);
    tick_writer_count_shown(writer);
    writer->hidden_count = 0;
    tick_writer_wake_cores(writer);
}

/* ---- What fits no frame ---- */

void tick_writer_refuse(struct tick_writer *writer, uint32_t channel)
{
    char text[LOG_LINE_BYTES_MAX];
    bool has_channel = tick_writer_has_channel(writer, channel);
    trace_refuse(channel, has_channel);
    counter_add(&writer->counters->ticks_refused, 1);
    if (!has_channel) {
        return; /* Told when the channel was refused. */
    }
    uint64_t *word = &writer->refused_channels[channel / 64];
    uint64_t bit = UINT64_C(1) << (channel % 64);
    if ((*word & bit) != 0) {
        return;
    }
    *word |= bit;
    const struct channel *known = channels_get(writer->channels, channel);
    snprintf(text, sizeof text,
             "a %s of %s does not fit into a frame of %u bytes; ringcast discards and counts such "
             "ticks of this channel, and subscribers receive a GAP",
             md_type_name((enum md_type)known->type), known->symbol, writer->log->frame_bytes_max);
    log_post(0, LOG_LEVEL_WARNING, text);
}

void tick_writer_write_gap(struct tick_writer *writer, uint32_t number)
{
    uint64_t ts_pub_ns = tick_writer_write(writer, number, 0, NULL, 0);
    assert_always(ts_pub_ns != 0);
    tick_writer_show_many(writer);
}

uint64_t tick_writer_write_parts(struct tick_writer *writer, uint32_t number, uint8_t flags,
                                 const struct md_update *update, uint64_t since_ns)
{
    struct md_update part = *update;
    struct md_depth whole = update->depth;
    struct md_level *ordered = NULL;
    uint64_t ts_pub_ns = 0;
    bool has_failed = update->type != MD_DEPTH;
    if (!has_failed && whole.action == MD_DELTA) {
        book_split_order(&whole, &ordered);
    }
    struct book_split split = book_split_begin(&whole, writer->payload_bytes_max);
    while (!has_failed && book_split_next(&split, &part.depth, &has_failed)) {
        ts_pub_ns = tick_writer_write_tick(writer, number, flags, &part, since_ns);
        has_failed = ts_pub_ns == 0;
        flags = 0;
        tick_writer_show_many(writer);
    }
    free(ordered);
    if (has_failed) {
        tick_writer_refuse(writer, number);
        tick_writer_write_gap(writer, number);
        return 0;
    }
    return ts_pub_ns;
}

/* ---- Waiting for a core ---- */

/* The log that waits is of any encoding: they have the readers in common. */
static void tick_writer_on_stuck(void *context, uint32_t reader, uint64_t waited_ns, bool is_over)
{
    char text[LOG_LINE_BYTES_MAX];
    (void)context;
    double seconds = (double)waited_ns / NS_PER_SECOND;
    if (is_over) {
        snprintf(text, sizeof text, "core %u no longer stops publication, after %.1f s", reader,
                 seconds);
    } else {
        snprintf(text, sizeof text,
                 "no tick has been published for %.1f s: core %u is in the middle of sending, and "
                 "its thread makes no progress (is it stopped by a debugger or a signal, or short "
                 "of CPU time?)",
                 seconds, reader);
    }
    log_post(0, is_over ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, text);
}

void tick_writer_watch_logs(struct tick_writer *writer)
{
    uint32_t count;
    const struct core_encoding *table = encodings_table(writer->encodings, &count);
    for (uint32_t i = 0; i < count; i++) {
        table[i].log->watch = (struct frame_log_watch){
            .waited_ns = &writer->counters->log_wait_ns,
            .on_stuck = tick_writer_on_stuck,
        };
    }
}
