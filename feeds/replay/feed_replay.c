/*
 * feed_replay: a recorded file as a feed.
 *
 * Pace: an item of time ts is due at start + (ts - first) / speed, where first is the time of the
 * first item and start is when the pass began. A time before the latest one counts as the latest
 * one. Gaps are kept as recorded, with a line in the log for a gap of over a minute. A wait of over
 * a week is skipped: the item is due at once. So is an item that is over a week before the latest
 * one; the pace continues from its time. An item without a time (or with a time of 0) is due with
 * the one before it. speed=0 hands over as many items as there is room for. The pass of a stream
 * begins when its first item arrives.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/list.h"
#include "codec/base/units.h"
#include "feeds/feed.h"
#include "feeds/feed_clock.h"
#include "feeds/replay/replay_file.h"
#include "feeds/venue/venue.h"

#define FEED_REPLAY_FAULTS_SHOWN_MAX 10
#define FEED_REPLAY_SUMMARY_INTERVAL_NS (60 * NS_PER_SECOND)
/* A poll reads at most so much and one line: lines that are no ticks use up no room. */
#define FEED_REPLAY_POLL_BYTES_MAX (256 * KIB)
#define FEED_REPLAY_LINE_COST_BYTES 64 /* what an empty line counts for */
/* A looping file whose items all have one time shall not be poured out without end. */
#define FEED_REPLAY_PASS_NS_MIN NS_PER_MS
#define FEED_REPLAY_STREAM_NS NS_PER_SECOND /* for a stream, which wakes it earlier */
#define FEED_REPLAY_DISK_NS NS_PER_MS
#define FEED_REPLAY_OFFSET_NS_MAX 4e18 /* 126 years: still fits when added to the wall clock. */
/* A longer wait is logged, and a wait of over a week is skipped. */
#define FEED_REPLAY_TOLD_NS (60 * NS_PER_SECOND)
#define FEED_REPLAY_JUMP_NS (7 * 24 * 3600 * NS_PER_SECOND)
#define FEED_REPLAY_JUMPS_TOLD_MAX 10
#define FEED_REPLAY_FIRST_REPORT_NS (5 * NS_PER_SECOND) /* after the first item */

enum feed_replay_state {
    FEED_REPLAY_READING, /* The next line is to be read. */
    FEED_REPLAY_READY,   /* An item waits for its time. */
    FEED_REPLAY_ENDED,   /* Nothing more will come. */
};

struct feed_replay {
    struct feed feed;

    /* Set by open, then constant. */
    double speed;
    bool is_loop;
    const char *name; /* of the file, for log lines */
    char path[FEED_TEXT_BYTES_MAX];
    char venue[FEED_TEXT_BYTES_MAX];

    struct replay_file *file;
    enum feed_replay_state state;
    bool is_waiting; /* for a stream to be readable, or for the disk */
    bool has_failed; /* It ended before its end. */

    /* Pace. */
    struct feed_clock clock;
    bool is_started;       /* The first poll has set start_ns. */
    bool has_first;        /* first_ts_ns is that of this pass. */
    uint64_t start_ns;     /* wall time of the first item of this pass */
    uint64_t first_ts_ns;  /* recorded time of that item, moved by what was jumped over */
    uint64_t latest_ts_ns; /* The greatest recorded time so far. */
    uint64_t due_ns;       /* of the item that is ready, or was last */

    /* Reports. */
    uint32_t faults_shown;
    uint32_t jumps_shown;
    bool has_reported;          /* what the first seconds brought, or the first pass */
    uint64_t begin_ns;          /* when the first item came; 0: none yet */
    uint64_t pass_ticks_before; /* counters.ticks when this pass began */
    uint64_t summary_ns;        /* when the last summary was given; 0: never */
};

/* Upper case, so that venue=demo and venue=DEMO are one. */
static bool feed_replay_clean_suffix(char *suffix)
{
    size_t bytes = strlen(suffix);
    for (size_t i = 0; i < bytes; i++) {
        char c = suffix[i];
        suffix[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        c = suffix[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') {
            return false;
        }
    }
    return bytes <= VENUE_SUFFIX_BYTES_MAX;
}

static int feed_replay_parse(struct feed_replay *replay, const char *spec,
                             char format[FEED_TEXT_BYTES_MAX], char error_out[FEED_ERROR_BYTES_MAX])
{
    const struct feed_key keys[] = {
        {"path", FEED_KEY_TEXT, replay->path, 0, 0},
        {"speed", FEED_KEY_DECIMAL, &replay->speed, 0, 0},
        {"loop", FEED_KEY_BOOL, &replay->is_loop, 0, 0},
        {"format", FEED_KEY_TEXT, format, 0, 0},
        {"venue", FEED_KEY_TEXT, replay->venue, 0, 0},
    };
    replay->speed = 1;
    strcpy(format, "auto");
    int error = feed_parse_keys("replay", spec, keys, sizeof keys / sizeof keys[0], error_out);
    if (error < 0) {
        return error;
    }
    if (replay->path[0] == '\0') {
        return feed_fail(error_out, -EINVAL, "replay: path=FILE is missing");
    }
    if (!feed_replay_clean_suffix(replay->venue)) {
        return feed_fail(error_out, -EINVAL,
                         "replay: venue=%.64s is not 1 to %d letters, digits, _ or -",
                         replay->venue, VENUE_SUFFIX_BYTES_MAX);
    }
    const char *slash = strrchr(replay->path, '/');
    replay->name = slash == NULL ? replay->path : slash + 1;
    if (strcmp(replay->path, "-") == 0) {
        replay->name = "standard input";
    }
    return 0;
}

static void feed_replay_close(struct feed *feed)
{
    struct feed_replay *replay = container_of(feed, struct feed_replay, feed);
    replay_file_close(replay->file);
    free(replay);
}

/* Opens the file of replay->path. */
static int feed_replay_open_file(struct feed_replay *replay, const char *format,
                                 char error_out[FEED_ERROR_BYTES_MAX])
{
    struct replay_file_options options = {
        .path = replay->path,
        .name = strcmp(replay->path, "-") == 0 ? replay->name : replay->path,
        .format = format,
        .suffix = replay->venue[0] == '\0' ? NULL : replay->venue,
        .sink = replay->feed.sink,
        .counters = &replay->feed.counters,
    };
    int error = replay_file_open(&replay->file, &options, error_out);
    if (error == 0 && replay->is_loop && replay_file_stream(replay->file) >= 0) {
        replay_file_close(replay->file);
        error = feed_fail(error_out, -EINVAL,
                          "replay: loop=yes needs a regular file: %.300s cannot be read twice",
                          options.name);
    }
    return error;
}

static int feed_replay_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                            uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    char format[FEED_TEXT_BYTES_MAX];
    struct feed_replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        return feed_fail(error_out, -ENOMEM, "replay: no memory");
    }
    replay->feed.sink = sink;
    int error = feed_replay_parse(replay, spec, format, error_out);
    if (error == 0) {
        error = feed_replay_open_file(replay, format, error_out);
    }
    if (error < 0) {
        free(replay);
        return error;
    }
    replay->feed.elastic = replay->speed == 0;
    feed_clock_init(&replay->clock, now_ns);
    *feed_out = &replay->feed;
    return 0;
}

static void feed_replay_report_fault(struct feed_replay *replay)
{
    if (replay->faults_shown == FEED_REPLAY_FAULTS_SHOWN_MAX) {
        return; /* The summary has their number. */
    }
    replay->faults_shown++;
    feed_log(&replay->feed, FEED_WARNING, "replay: %.200s:%" PRIu64 ": malformed: %s%s",
             replay->name, replay_file_line_number(replay->file), replay_file_fault(replay->file),
             replay->faults_shown == FEED_REPLAY_FAULTS_SHOWN_MAX
                 ? " (further ones are only counted)"
                 : "");
}

static void feed_replay_end(struct feed_replay *replay, enum feed_level level, const char *reason)
{
    replay->state = FEED_REPLAY_ENDED;
    replay->has_failed = true;
    feed_log(&replay->feed, level, "replay: %.200s: ended: %s", replay->name, reason);
}

static void feed_replay_report_pass(struct feed_replay *replay, uint64_t now_ns)
{
    char summary[FEED_ERROR_BYTES_MAX];
    bool is_due =
        replay->summary_ns == 0 || now_ns >= replay->summary_ns + FEED_REPLAY_SUMMARY_INTERVAL_NS;
    if (replay->is_loop && !is_due) {
        return;
    }
    replay->summary_ns = now_ns;
    replay->has_reported = true;
    replay_file_summary(replay->file, summary, sizeof summary);
    feed_log(&replay->feed, FEED_INFO, "replay: %.64s: after pass %" PRIu64 ": %s", replay->name,
             replay->feed.counters.passes, summary);
}

/* Reports, before the end of the recording, that it is not used, or not all of it. */
static void feed_replay_report_begin(struct feed_replay *replay, uint64_t now_ns)
{
    const struct feed_counters *counters = &replay->feed.counters;
    char summary[FEED_ERROR_BYTES_MAX];
    if (replay->has_reported || replay->begin_ns == 0 ||
        now_ns < replay->begin_ns + FEED_REPLAY_FIRST_REPORT_NS ||
        counters->ticks + counters->skipped + counters->malformed == 0) {
        return;
    }
    replay->has_reported = true;
    if (counters->ticks == 0 || counters->skipped > 0) {
        replay_file_summary(replay->file, summary, sizeof summary);
        feed_log(&replay->feed, counters->ticks == 0 ? FEED_WARNING : FEED_INFO,
                 "replay: %.64s: after its first seconds: %s", replay->name, summary);
    }
}

/* The last line of the file has been read. */
static void feed_replay_end_pass(struct feed_replay *replay, uint64_t now_ns)
{
    struct feed_counters *counters = &replay->feed.counters;
    counters->passes++;
    feed_replay_report_pass(replay, now_ns);
    if (!replay->is_loop) {
        replay->state = FEED_REPLAY_ENDED;
        return;
    }
    if (counters->ticks == replay->pass_ticks_before) {
        feed_replay_end(replay, FEED_ERROR, "a whole pass produced no tick");
        return;
    }
    int error = replay_file_rewind(replay->file);
    if (error < 0) {
        feed_replay_end(replay, FEED_ERROR, strerror(-error));
        return;
    }
    uint64_t earliest_ns = replay->start_ns + FEED_REPLAY_PASS_NS_MIN;
    replay->start_ns = replay->due_ns > earliest_ns ? replay->due_ns : earliest_ns;
    replay->has_first = false;
    replay->pass_ticks_before = counters->ticks;
}

static uint64_t feed_replay_offset(const struct feed_replay *replay)
{
    double offset_ns = (double)(replay->latest_ts_ns - replay->first_ts_ns) / replay->speed;
    return (uint64_t)(offset_ns < FEED_REPLAY_OFFSET_NS_MAX ? offset_ns
                                                            : FEED_REPLAY_OFFSET_NS_MAX);
}

/* The pace goes on from ts_ns as if it were the latest time. */
static void feed_replay_jump(struct feed_replay *replay, uint64_t ts_ns)
{
    int64_t jump_ns = (int64_t)(ts_ns - replay->latest_ts_ns);
    replay->first_ts_ns += (uint64_t)jump_ns; /* It may pass 0: only differences count. */
    replay->latest_ts_ns = ts_ns;
    if (replay->jumps_shown == FEED_REPLAY_JUMPS_TOLD_MAX) {
        return;
    }
    replay->jumps_shown++;
    feed_log(&replay->feed, FEED_WARNING,
             "replay: %.200s:%" PRIu64 ": its time is %" PRId64
             " s %s the previous one; the replay continues there without waiting%s",
             replay->name, replay_file_line_number(replay->file),
             (jump_ns < 0 ? -jump_ns : jump_ns) / (int64_t)NS_PER_SECOND,
             jump_ns < 0 ? "before" : "after",
             replay->jumps_shown == FEED_REPLAY_JUMPS_TOLD_MAX ? " (further ones are not logged)"
                                                               : "");
}

/* An item of recorded time ts_ns, with has_first set. */
static void feed_replay_follow(struct feed_replay *replay, uint64_t ts_ns, uint64_t now_ns)
{
    uint64_t before_ns = replay->latest_ts_ns;
    uint64_t due_before_ns = replay->start_ns + feed_replay_offset(replay);
    replay->latest_ts_ns = ts_ns > before_ns ? ts_ns : before_ns;
    replay->due_ns = replay->start_ns + feed_replay_offset(replay);
    if (replay->due_ns - due_before_ns > FEED_REPLAY_JUMP_NS ||
        (ts_ns < before_ns && before_ns - ts_ns > FEED_REPLAY_JUMP_NS)) {
        replay->latest_ts_ns = before_ns;
        feed_replay_jump(replay, ts_ns);
        replay->due_ns = due_before_ns;
    } else if (replay->due_ns > now_ns && replay->due_ns - now_ns > FEED_REPLAY_TOLD_NS) {
        feed_log(&replay->feed, FEED_INFO,
                 "replay: %.200s:%" PRIu64 ": it is due in %" PRIu64
                 " s, according to its recorded time",
                 replay->name, replay_file_line_number(replay->file),
                 (replay->due_ns - now_ns) / NS_PER_SECOND);
    }
}

/* An item waits: when is it due? ts_ns: its recorded time; 0: it has none. */
static void feed_replay_set_due(struct feed_replay *replay, uint64_t ts_ns, uint64_t now_ns)
{
    replay->state = FEED_REPLAY_READY;
    replay->begin_ns = replay->begin_ns == 0 ? now_ns : replay->begin_ns;
    if (ts_ns == 0) {
        replay->due_ns = replay->due_ns > replay->start_ns ? replay->due_ns : replay->start_ns;
        return;
    }
    if (!replay->has_first && replay_file_stream(replay->file) >= 0) {
        replay->start_ns = now_ns; /* when its first item came */
    }
    if (!replay->has_first) {
        replay->has_first = true;
        replay->first_ts_ns = ts_ns;
        replay->latest_ts_ns = ts_ns;
    }
    if (!replay->feed.elastic) {
        feed_replay_follow(replay, ts_ns, now_ns);
    }
}

static enum replay_file_status feed_replay_read(struct feed_replay *replay, uint64_t now_ns)
{
    uint64_t ts_ns;
    enum replay_file_status status = replay_file_next(replay->file, &ts_ns);
    switch (status) {
    case REPLAY_FILE_READY:
        feed_replay_set_due(replay, ts_ns, now_ns);
        break;
    case REPLAY_FILE_MALFORMED:
        feed_replay_report_fault(replay);
        break;
    case REPLAY_FILE_END:
        feed_replay_end_pass(replay, now_ns);
        break;
    case REPLAY_FILE_FAILED:
        feed_replay_end(replay, FEED_ERROR, replay_file_error(replay->file));
        break;
    case REPLAY_FILE_TICK:
    case REPLAY_FILE_NOTHING:
    case REPLAY_FILE_AGAIN:
    case REPLAY_FILE_WAIT:
        break;
    }
    return status;
}

/* Moves the schedule with a clock that was set, and starts it at the first poll. */
static void feed_replay_follow_clock(struct feed_replay *replay, uint64_t now_ns)
{
    int64_t step_ns = feed_clock_step(&replay->clock, now_ns);
    if (!replay->is_started) {
        replay->is_started = true;
        replay->start_ns = now_ns;
        replay->due_ns = now_ns;
        return;
    }
    replay->begin_ns += replay->begin_ns == 0 ? 0 : (uint64_t)step_ns;
    if (step_ns == 0 || replay->feed.elastic) {
        return;
    }
    replay->start_ns += (uint64_t)step_ns;
    replay->due_ns += (uint64_t)step_ns;
    feed_log(&replay->feed, FEED_WARNING,
             "replay: %.200s: the clock jumped between two polls, by %+" PRId64
             " s; the schedule continues from there",
             replay->name, step_ns / (int64_t)NS_PER_SECOND);
}

/* Hands over what is due, and returns when to go on. */
static uint64_t feed_replay_advance(struct feed_replay *replay, uint64_t now_ns)
{
    const struct feed *feed = &replay->feed;
    uint32_t room = 0;
    size_t bytes_left = FEED_REPLAY_POLL_BYTES_MAX;

    while (replay->state != FEED_REPLAY_ENDED && feed_has_room(feed, &room)) {
        if (replay->state == FEED_REPLAY_READING) {
            enum replay_file_status status = feed_replay_read(replay, now_ns);
            if (status == REPLAY_FILE_WAIT) {
                replay->is_waiting = true;
                return now_ns + (replay_file_stream(replay->file) >= 0 ? FEED_REPLAY_STREAM_NS
                                                                       : FEED_REPLAY_DISK_NS);
            }
            size_t cost = FEED_REPLAY_LINE_COST_BYTES + replay_file_line_bytes(replay->file);
            if (status == REPLAY_FILE_AGAIN || cost >= bytes_left) {
                break;
            }
            bytes_left -= cost;
            continue;
        }
        if (!feed->elastic && replay->due_ns > now_ns) {
            return replay->due_ns;
        }
        enum replay_file_status status = replay_file_deliver(replay->file, now_ns);
        replay->state = FEED_REPLAY_READING;
        room -= status == REPLAY_FILE_TICK;
        if (status == REPLAY_FILE_MALFORMED) {
            feed_replay_report_fault(replay);
        }
    }
    return replay->state == FEED_REPLAY_ENDED ? FEED_NEVER : now_ns;
}

/* Clients see the cause: what the log says of a fault has the path. */
static void feed_replay_show_state(struct feed_replay *replay, uint64_t now_ns)
{
    struct feed *feed = &replay->feed;
    bool has_begun = replay->begin_ns != 0 || replay_file_stream(replay->file) < 0;
    if (replay->state == FEED_REPLAY_ENDED) {
        feed_set_state(feed, FEED_DOWN, now_ns,
                       replay->has_failed ? "the recording cannot be used; see the log"
                                          : "the recording has ended");
    } else if (has_begun && feed->state != FEED_LIVE) {
        feed_set_state(feed, FEED_LIVE, now_ns, "%s", "");
    }
}

static uint64_t feed_replay_poll(struct feed *feed, uint64_t now_ns)
{
    struct feed_replay *replay = container_of(feed, struct feed_replay, feed);
    feed_replay_follow_clock(replay, now_ns);
    replay->is_waiting = false;
    uint64_t wake_ns = feed_replay_advance(replay, now_ns);
    feed_replay_report_begin(replay, now_ns);
    feed_replay_show_state(replay, now_ns);
    int stream = replay_file_stream(replay->file);
    if (stream >= 0) {
        feed->sink->watch(feed->sink->context, replay->is_waiting ? stream : -1);
    }
    return feed_clock_sleep(&replay->clock, wake_ns);
}

const struct feed_ops feed_replay = {
    .name = "replay",
    .help = "path=FILE    capture (*.ws.log), CSV file or recording; the directory of\n"
            "             --record; a FIFO, which never ends; or - for standard input\n"
            "speed=1      2 is twice the recorded speed, 0 is as fast as possible\n"
            "loop=no      yes starts again at the end of a regular file or a directory\n"
            "format=auto  recording, ringcast, coinbase, binance or csv; auto\n"
            "             detects it from the first bytes\n"
            "venue=NAME   replace the venue in every symbol by this one\n",
    .open = feed_replay_open,
    .poll = feed_replay_poll,
    .close = feed_replay_close,
};
