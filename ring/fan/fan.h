/*
 * fan: decides which connection gets which frames of the logs. It has all that a core knows of
 * channels, subscribers and subscriptions, without a socket, a clock or a WebSocket. What is to be
 * sent leaves as plans and notices, and the results come back as outcomes (ring/plan.h).
 *
 * Owner    A core, one each. Threads: its own.
 * Memory   Sized at fan_open; subscriptions and tables of seqs come from bounded pools that are
 *          touched when first used.
 * Errors   0 or a negative errno. A subscriber for which there is no room is put on fan->failed,
 *          and gets nothing more.
 */
#ifndef RINGCAST_RING_FAN_H
#define RINGCAST_RING_FAN_H

#include "codec/base/check.h"
#include "ring/board/counters.h"
#include "ring/board/frame_log.h"
#include "ring/conn_queue.h"
#include "ring/fan/subs.h"
#include "ring/fan/subscriber.h"
#include "ring/plan.h"

#define FAN_ENCODINGS_MAX 4
#define FAN_JSON 0         /* The first encoding: all that is in reach of the past is in its log. */
#define FAN_REPLAYS_MAX 64 /* at a time; one for a subscriber */
#define FAN_GROUP_LISTS (1u << SUBSCRIBER_GROUPS_MAX)
static_assert(FAN_GROUP_LISTS <= 64, "a bit of group_lists_used each");
#define FAN_PIECES_MAX 256 /* noted at once, number 0 included */
#define FAN_PIECE_WORDS (FAN_PIECES_MAX / 64)
#define FAN_DUE_SPARE 16 /* room of fan->due beyond its last */

/* A stretch of the JSON log that is sent again, and the channels of it: see replayer.h. */
struct replay {
    uint32_t conn; /* SUBSCRIBER_NONE: the record is free */
    uint32_t channel_count;
    struct core_replayed *channels; /* by number */
    struct core_replay wanted;
    uint64_t cursor;   /* index of the next frame to read; with seek_at, not known yet, */
    uint64_t end;      /* and after the last: both in the JSON log */
    uint64_t seek_at;  /* of one from a seq on, until it is found: as in struct subscriber_past */
    uint64_t base_ns;  /* ts_pub of the first frame, */
    uint64_t began_ns; /* which was due then, by fan->now_ns; 0: none yet */
};

/* New frames that lie side by side in the log and go to the same subscribers. */
struct fan_piece {
    uint64_t first; /* index of its first frame */
    uint64_t start; /* position in the log */
    uint32_t bytes;
    uint32_t frames;
};

/* What goes to the subscribers of one list: a bit for each piece, as in fan->due_pieces. */
struct fan_note {
    const struct sub_list *list;
    uint64_t pieces[FAN_PIECE_WORDS];
};

/* The new frames of a stream, from its batch_first to its position. */
struct fan_noted {
    uint32_t piece_count; /* including number 0, the frames that go to no subscriber */
    uint32_t note_count;
    uint64_t reached[FAN_PIECE_WORDS]; /* due to a subscriber that keeps up, as far as is known */
    struct fan_piece pieces[FAN_PIECES_MAX];
    struct fan_note notes[FAN_PIECES_MAX + FAN_GROUP_LISTS];
};

/* What the core knows of a channel at stream->position. */
struct fan_channel {
    uint64_t last_seq;          /* 0: none yet */
    uint64_t last_index_plus_1; /* 0: none yet */
    uint64_t hash;              /* running, of its frames up to last_seq */
    uint8_t group;              /* once there was a frame */
    uint16_t note;              /* Where fan->noted may have its subscribers. */
};

/* One encoding: its log, how far the core has come in it, and its subscriptions. A subscriber
 * has exactly one, for life. */
struct fan_stream {
    struct frame_log *log;
    uint64_t first;       /* Its frames from first on are, one for one, those of the JSON log */
    uint64_t json_first;  /* from json_first on. */
    bool takes_json;      /* Its subscribers may be sent frames of the JSON log, too. */
    uint64_t position;    /* index of the next frame to fan out */
    uint64_t batch_first; /* where the frames begin that are due */
    struct fan_channel *channels;
    struct subs subs;
    /* A subscriber of whole groups is in one list: that of its group_mask. */
    struct sub_list group_lists[FAN_GROUP_LISTS];
    uint16_t group_notes[FAN_GROUP_LISTS]; /* as fan_channel.note */
    uint64_t group_lists_used;             /* a bit each: those that are not empty */
};

#define FAN_DUE_BYTES (sizeof(uint64_t) + sizeof(uint32_t)) /* of fan->due_pieces[0], fan->due */

struct fan {
    uint32_t reader; /* in the logs: the core's number */
    uint32_t subscriber_count;
    struct subscriber *subscribers;
    struct subscriber_past *pasts; /* by subscriber */
    struct fan_stream streams[FAN_ENCODINGS_MAX];
    uint32_t encoding_count;
    uint32_t channel_count;
    uint64_t max_lag_ns; /* 0: only a lap triggers the policy */
    uint64_t now_ns;     /* CLOCK_MONOTONIC, and CLOCK_REALTIME: of the turn */
    uint64_t wall_ns;
    struct core_counters *counters;

    /* By subscriber: the pieces that were noted for it. Bit 0: any. Only its first array is touched
     * before there are more than 63 pieces. */
    uint64_t *due_pieces[FAN_PIECE_WORDS];
    uint32_t *due; /* subscribers with pieces, once each */
    uint32_t due_count;
    uint32_t due_next; /* the subscriber that is planned next; after the last, the first */
    uint32_t due_left; /* to be planned */
    struct fan_noted *noted;
    struct conn_queue pulls;  /* to pull */
    struct conn_queue failed; /* There is no room for them. */
    uint64_t pull_steps;      /* of the subscribers that pull, in this turn */
    uint64_t linked_frames;   /* found for them by links, ever (narrow.h); */
    uint64_t linked_cuts;     /* likewise, of those that were not sent */
    uint64_t group_seqs_bytes;

    struct replay *replays; /* FAN_REPLAYS_MAX */
    uint32_t replay_count;
    uint32_t replay_next;   /* the replay that is served first */
    uint64_t replay_due_ns; /* when one has something to send; UINT64_MAX: none has */

    struct plan_batch *batch;
};

struct fan_options {
    uint32_t reader;
    uint32_t subscriber_count;
    uint32_t encoding_count;
    uint64_t max_lag_ns;
    struct keyed_hash key; /* of what clients choose */
    struct core_counters *counters;
    struct frame_log *logs[FAN_ENCODINGS_MAX];
    bool takes_json[FAN_ENCODINGS_MAX];
};

static inline uint32_t fan_index(const struct fan *fan, const struct subscriber *subscriber)
{
    return (uint32_t)(subscriber - fan->subscribers);
}

static inline struct subscriber *fan_subscriber(struct fan *fan, uint32_t index)
{
    return &fan->subscribers[index];
}

static inline struct subscriber_past *fan_past(const struct fan *fan,
                                               const struct subscriber *subscriber)
{
    return &fan->pasts[subscriber - fan->subscribers];
}

static inline struct fan_stream *fan_stream(struct fan *fan, const struct subscriber *subscriber)
{
    return &fan->streams[subscriber->encoding];
}

static inline struct fan_stream *fan_json(struct fan *fan)
{
    return &fan->streams[FAN_JSON];
}

/* What subscriber->cursor is an index in. */
static inline struct fan_stream *fan_source(struct fan *fan, const struct subscriber *subscriber)
{
    return subscriber->reads_json ? fan_json(fan) : fan_stream(fan, subscriber);
}

/* Where the JSON log has the tick of a frame, from stream->first on. */
static inline uint64_t fan_json_index(const struct fan_stream *stream, uint64_t index)
{
    return index - stream->first + stream->json_first;
}

/* And back, from stream->json_first on. */
static inline uint64_t fan_own_index(const struct fan_stream *stream, uint64_t json_index)
{
    return json_index - stream->json_first + stream->first;
}

/* Of group_lists_used: those whose subscribers have the group. */
static inline uint64_t fan_lists_of_group(uint32_t group)
{
    static const uint64_t lists[SUBSCRIBER_GROUPS_MAX] = {
        UINT64_C(0xaaaaaaaaaaaaaaaa), UINT64_C(0xcccccccccccccccc), UINT64_C(0xf0f0f0f0f0f0f0f0),
        UINT64_C(0xff00ff00ff00ff00), UINT64_C(0xffff0000ffff0000), UINT64_C(0xffffffff00000000),
    };
    return lists[group];
}

/* Where its lost and conflated frames are counted. */
static inline struct subscriber_past *fan_losses(const struct fan *fan,
                                                 struct subscriber *subscriber)
{
    struct subscriber_past *past = fan_past(fan, subscriber);
    if (!subscriber->has_losses) {
        subscriber->has_losses = true;
        past->frames_lost = 0;
        past->frames_conflated = 0;
    }
    return past;
}

static inline uint64_t fan_frames_lost(const struct fan *fan, const struct subscriber *subscriber)
{
    return subscriber->has_losses ? fan_past(fan, subscriber)->frames_lost : 0;
}

static inline uint64_t fan_frames_conflated(const struct fan *fan,
                                            const struct subscriber *subscriber)
{
    return subscriber->has_losses ? fan_past(fan, subscriber)->frames_conflated : 0;
}

static inline uint16_t fan_group_max_lag(const struct fan *fan, const struct subscriber *subscriber,
                                         uint32_t group)
{
    bool has_limit = (subscriber->group_lag_mask & (1u << group)) != 0;
    return has_limit ? fan_past(fan, subscriber)->group_max_lag_ms[group] : 0;
}

static inline bool fan_has_room(const struct plan_batch *batch)
{
    return batch->plan_count < PLAN_BATCH_MAX &&
           batch->iov_count + PLAN_ROOM_IOVS_MAX <= PLAN_IOVS_MAX &&
           batch->notice_count + PLAN_ROOM_NOTICES_MAX <= PLAN_NOTICES_MAX;
}

/* Whether frames were noted for it that are not sent yet. */
static inline bool fan_is_due(const struct fan *fan, const struct subscriber *subscriber)
{
    return fan->due_pieces[0][subscriber - fan->subscribers] != 0;
}

/* The arrays of fan->due_pieces in use. */
static inline uint32_t fan_piece_words(const struct fan *fan)
{
    return (fan->noted->piece_count + 63) / 64;
}

/* Of what was noted for one that keeps up nothing is due any more: it pulls. */
void fan_forget_due(struct fan *fan, const struct subscriber *subscriber);

/* Whether it was sent all that was published so far. */
static inline bool fan_is_current(const struct fan *fan, const struct subscriber *subscriber)
{
    return subscriber->mode == SUBSCRIBER_PUSHED && !fan_is_due(fan, subscriber);
}

int fan_open(struct fan *fan, const struct fan_options *options);
void fan_close(struct fan *fan);

/* Pins of the logs that a step of planning has left. */
void fan_unpin(struct fan *fan);
bool fan_is_pinned(const struct fan *fan);
/* There is no room for what it needs to go on. */
void fan_fail(struct fan *fan, struct subscriber *subscriber);
struct notice *fan_add_notice(struct fan *fan, const struct subscriber *subscriber,
                              enum notice_kind kind);

#endif
