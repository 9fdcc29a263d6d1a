/*
 * tick_writer: the way of a tick from the sequencer through the encoders into the logs, and to the
 * cores, which are woken.
 *
 * Owner    The publisher embeds one. Threads: the publisher's.
 * Memory   None of its own.
 */
#ifndef RINGCAST_SRC_TICK_WRITER_H
#define RINGCAST_SRC_TICK_WRITER_H

#include "ring/board/counters.h"
#include "ring/trace.h"
#include "src/market/encodings.h"
#include "src/market/publisher_wait.h"
#include "src/market/sequencer.h"

#define TICK_WRITER_SHOW_TICKS 64 /* at most this many wait for the head to be published */

struct tick_writer {
    /* Set before the first poll, then constant. */
    const struct channels *channels;
    struct encodings *encodings;
    struct frame_log *log; /* JSON's */
    struct publisher_counters *counters;
    struct publisher_wait *wait;
    size_t payload_bytes_max;

    uint32_t room;         /* ticks that the feed being polled may still pass on */
    uint32_t hidden_count; /* ticks behind the published head */
    uint32_t newest_bytes; /* length of the newest frame */
    uint64_t refused_channels[CHANNELS_MAX / 64]; /* a bit each: its first refusal was logged */
};

static inline bool tick_writer_has_channel(const struct tick_writer *writer, uint32_t number)
{
    return number < channels_count(writer->channels);
}

/* since_ns: when the tick was received, or due; 0: nobody knows. */
static inline uint64_t tick_writer_late_ns(uint64_t ts_pub_ns, uint64_t since_ns)
{
    return since_ns != 0 && ts_pub_ns > since_ns ? ts_pub_ns - since_ns : 0;
}

/* update: NULL: a GAP. since_ns: as above. Returns its ts_pub; 0: it fits no frame, and takes no
 * seq. */
static inline __attribute__((always_inline)) uint64_t
tick_writer_write(struct tick_writer *writer, uint32_t number, uint8_t flags,
                  const struct md_update *update, uint64_t since_ns)
{
    struct tick tick = {
        .update = update,
        .channel = number,
        .group = channels_get(writer->channels, number)->group,
        .flags = flags,
    };
    sequencer_stamp(&tick, writer->log);
    writer->room -= writer->room > 0;
    uint32_t frame_bytes = encodings_write(writer->encodings, &tick);
    if (frame_bytes == 0) {
        return 0;
    }
    writer->newest_bytes = frame_bytes;
    writer->hidden_count++;
    trace_publish(number, tick.seq, frame_log_end(writer->log) - 1, frame_bytes, tick.ts_pub_ns,
                  tick_writer_late_ns(tick.ts_pub_ns, since_ns));
    return tick.ts_pub_ns;
}

/* A tick that fits no frame: 0. It is then to go out in parts. */
static inline __attribute__((always_inline)) uint64_t
tick_writer_write_tick(struct tick_writer *writer, uint32_t number, uint8_t flags,
                       const struct md_update *update, uint64_t since_ns)
{
    uint64_t ts_pub_ns = tick_writer_write(writer, number, flags, update, since_ns);
    if (ts_pub_ns != 0) {
        counter_add(&writer->counters->ticks, 1);
    }
    return ts_pub_ns;
}

/* What fits no frame: a book's tick goes out in parts, anything else is refused and counted; a GAP
 * takes its place. Returns the last part's ts_pub; 0: refused. */
uint64_t tick_writer_write_parts(struct tick_writer *writer, uint32_t number, uint8_t flags,
                                 const struct md_update *update, uint64_t since_ns);

/* A GAP takes the place of a tick that is lost: the same for all, with the tick's seq. */
void tick_writer_write_gap(struct tick_writer *writer, uint32_t number);

/* A tick of no channel. */
void tick_writer_refuse(struct tick_writer *writer, uint32_t number);

/* Shows what was written to the cores, and wakes them: at once, or if much waits. */
void tick_writer_show(struct tick_writer *writer);
static inline void tick_writer_show_many(struct tick_writer *writer)
{
    if (__builtin_expect(writer->hidden_count >= TICK_WRITER_SHOW_TICKS, 0)) {
        tick_writer_show(writer);
    }
}
void tick_writer_wake_cores(struct tick_writer *writer);

/* Cores that keep the logs waiting are logged and counted. */
void tick_writer_watch_logs(struct tick_writer *writer);

#endif
