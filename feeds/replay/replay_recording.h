/*
 * replay_recording: a recording of ringcast --record as timed items: a file, a stream, or all files
 * of a directory, one after the other. The time of an item is when its tick was received.
 *
 * Ticks that are missing are counted as a hole and logged. Between two files that do not continue
 * each other, every channel may have lost some: each one gets a GAP. Within a file the recorder has
 * written the GAPs itself.
 *
 * Owner    replay_file. Threads: one at a time.
 * Memory   Of replay_messages, stream_ticks and frame_ticks, and a bit for each channel.
 * Errors   A status; fault, or error for the operator.
 * Source   docs/recordings.md, "The format".
 */
#ifndef RINGCAST_FEEDS_REPLAY_RECORDING_H
#define RINGCAST_FEEDS_REPLAY_RECORDING_H

#include "feeds/feed.h"
#include "feeds/kind_counts.h"
#include "feeds/replay/line_reader.h"
#include "feeds/replay/replay_directory.h"

enum replay_recording_status {
    REPLAY_RECORDING_READY,
    REPLAY_RECORDING_NOTHING, /* A message that is no tick. */
    REPLAY_RECORDING_WAIT,
    REPLAY_RECORDING_MALFORMED, /* See replay_recording_fault. */
    REPLAY_RECORDING_END,
    REPLAY_RECORDING_FAILED, /* See error_out. */
};

struct replay_recording_options {
    struct line_reader *reader; /* at the beginning; opened anew for each file of the directory */
    const struct replay_directory *directory; /* count 0: the reader's file or stream is all */
    const char *name;                         /* of that, for messages */
    const char *suffix;
    const struct feed_sink *sink;
    struct feed_counters *counters;
};

struct replay_recording;

/* The options' pointers are borrowed. -ENOMEM. */
int replay_recording_create(struct replay_recording **recording_out,
                            const struct replay_recording_options *options);
void replay_recording_destroy(struct replay_recording *recording);

/* After READY: *ts_ns_out is the item's time; 0: that of the one before. */
enum replay_recording_status replay_recording_next(struct replay_recording *recording,
                                                   uint64_t *ts_ns_out,
                                                   char error_out[FEED_ERROR_BYTES_MAX]);
/* Publishes the item: NOTHING: it was a GAP. */
enum replay_recording_status replay_recording_deliver(struct replay_recording *recording,
                                                      uint64_t ts_recv_ns);
/* Back to the first file, whose books do not continue those of the last one. */
int replay_recording_rewind(struct replay_recording *recording);

const char *replay_recording_fault(const struct replay_recording *recording);
uint64_t replay_recording_number(const struct replay_recording *recording); /* of the message */
size_t replay_recording_message_bytes(const struct replay_recording *recording);
const struct kind_counts *replay_recording_ticks(const struct replay_recording *recording);
const struct kind_counts *replay_recording_skipped(const struct replay_recording *recording);

#endif
