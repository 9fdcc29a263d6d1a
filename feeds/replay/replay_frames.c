#include "feeds/replay/replay_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "feeds/replay/replay_symbol.h"

int replay_frames_create(struct replay_frames **frames_out, const char *suffix,
                         const struct feed_sink *sink, struct feed_counters *counters)
{
    struct replay_frames *frames = calloc(1, sizeof *frames);
    if (frames == NULL) {
        return -ENOMEM;
    }
    frames->sink = sink;
    frames->counters = counters;
    frames->suffix = suffix;
    frames->stream = 1;
    int error = frame_ticks_create(&frames->reader);
    if (error < 0) {
        free(frames);
        return error;
    }
    *frames_out = frames;
    return 0;
}

void replay_frames_destroy(struct replay_frames *frames)
{
    if (frames == NULL) {
        return;
    }
    frame_ticks_destroy(frames->reader);
    free(frames->places);
    free(frames);
}

void replay_frames_restart(struct replay_frames *frames)
{
    frames->stream++;
}

/* NULL: no memory. */
static struct replay_frames_place *replay_frames_place_of(struct replay_frames *frames,
                                                          uint32_t channel)
{
    assert_always(channel != UINT32_MAX);
    if (channel >= frames->place_count) {
        uint32_t count = 2 * channel + 16;
        struct replay_frames_place *places = realloc(frames->places, count * sizeof *places);
        if (places == NULL) {
            return NULL;
        }
        memset(places + frames->place_count, 0, (count - frames->place_count) * sizeof *places);
        frames->places = places;
        frames->place_count = count;
    }
    return &frames->places[channel];
}

/* Whether each tick of its channel matters, so that a missing one is a loss. */
static bool replay_frames_is_step(const struct md_update *update)
{
    return update->type == MD_TRADE || update->type == MD_STATUS ||
           (update->type == MD_DEPTH && update->depth.action == MD_DELTA);
}

/* Reports what is missing before the tick, and remembers where its channel is. */
static void replay_frames_follow(struct replay_frames *frames, struct replay_frames_place *place,
                                 const struct frame_tick *tick)
{
    const struct md_update *update = &tick->update;
    bool is_first = place->seq == 0;
    bool is_restart = !is_first && place->stream != frames->stream;
    bool is_next = is_first || is_restart || tick->seq == place->seq + 1;
    bool is_hole = !is_next && !tick->is_book_part && replay_frames_is_step(update);
    /* After a restart a delta belongs to another book than the present one. */
    bool is_void = is_restart && update->type == MD_DEPTH && update->depth.action == MD_DELTA;
    if (tick->seq == 0) {
        return;
    }
    frames->counters->holes += is_hole;
    if (is_hole || is_void) {
        frames->sink->lost(frames->sink->context, update->channel);
    }
    *place = (struct replay_frames_place){.seq = tick->seq, .stream = frames->stream};
}

static enum frame_ticks_status replay_frames_malformed(struct replay_frames *frames,
                                                       const char *fault)
{
    frames->fault = fault;
    frames->counters->malformed++;
    return FRAME_TICKS_MALFORMED;
}

enum frame_ticks_status replay_frames_decode(struct replay_frames *frames, const char *text,
                                             size_t text_bytes, uint64_t ts_recv_ns)
{
    struct frame_tick tick;
    char symbol[MD_SYMBOL_BYTES_MAX];
    enum frame_ticks_status status = frame_ticks_parse(frames->reader, text, text_bytes, &tick);
    frames->fault = NULL;
    if (status == FRAME_TICKS_MALFORMED) {
        return replay_frames_malformed(frames, tick.fault);
    }
    if (status == FRAME_TICKS_OTHER) {
        frames->counters->skipped++;
        kind_counts_add(&frames->skipped, tick.kind, strlen(tick.kind));
        return status;
    }
    size_t symbol_bytes =
        replay_symbol_rename(symbol, tick.symbol, tick.symbol_bytes, frames->suffix);
    struct md_update *update = &tick.update;
    update->ts_recv_ns = ts_recv_ns;
    update->channel = symbol_bytes == 0 ? UINT32_MAX
                                        : frames->sink->open_channel(frames->sink->context, symbol,
                                                                     symbol_bytes, update->type);
    if (update->channel == UINT32_MAX) {
        return replay_frames_malformed(frames, REPLAY_SYMBOL_FAULT);
    }
    struct replay_frames_place *place = replay_frames_place_of(frames, update->channel);
    if (place == NULL) {
        return replay_frames_malformed(frames, "no memory for its channel");
    }
    replay_frames_follow(frames, place, &tick);
    frames->sink->publish(frames->sink->context, update);
    frames->counters->ticks++;
    kind_counts_add(&frames->ticks, tick.kind, strlen(tick.kind));
    return FRAME_TICKS_TICK;
}
