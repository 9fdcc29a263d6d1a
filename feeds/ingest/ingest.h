/*
 * ingest: what the parts of the feed share, and a producer that is connected to it.
 *
 * Owner    feed_ingest. Threads: the publisher's.
 * Memory   Producers are allocated when they connect; their number has a limit.
 * Units    Names with _ns are steady times, except now_ns. The steady time passes while the feed is
 *          polled: neither a clock that was set nor a publisher that stood still moves it.
 */
#ifndef RINGCAST_FEEDS_INGEST_H
#define RINGCAST_FEEDS_INGEST_H

#include "codec/base/list.h"
#include "codec/base/units.h"
#include "feeds/feed.h"
#include "feeds/frame_ticks.h"
#include "feeds/ingest/ingest_channels.h"
#include "feeds/ingest/ingest_control.h"
#include "feeds/ingest/ingest_input.h"
#include "feeds/ingest/ingest_listen.h"
#include "feeds/ingest/ingest_names.h"
#include "feeds/ingest/ingest_output.h"
#include "feeds/stream_ticks.h"

#define INGEST_PRODUCERS_MAX 256
/* A connection beyond them is refused by an ERROR, and has a place until that was sent. */
#define INGEST_PLACES_MAX (INGEST_PRODUCERS_MAX + INGEST_PRODUCERS_MAX / 16)

#define INGEST_HELLO_S 5        /* for HELLO, where a token is needed */
#define INGEST_GONE_S 60        /* Then a silent producer is disconnected. */
#define INGEST_NOT_READING_S 30 /* for a producer that does not read */
#define INGEST_CLOSING_S 1      /* for an ERROR to arrive before the connection is closed */
#define INGEST_LABEL_BYTES_MAX 160

enum ingest_stage {
    INGEST_GREETING,  /* A token is needed: HELLO is awaited. */
    INGEST_ADMITTING, /* The token of HELLO is being checked; nothing is read meanwhile. */
    INGEST_OPEN,      /* Ticks are taken. */
    INGEST_CLOSING,   /* The last answers are sent, and what still arrives is discarded. */
    INGEST_ENDED,     /* The connection is closed at the end of the poll. */
};

struct ingest_producer {
    struct ingest *ingest;
    uint32_t index; /* in ingest->producers */
    enum ingest_stage stage;
    bool is_standard_input;
    bool is_watched;  /* by the epoll descriptor; a regular file cannot be */
    bool is_readable; /* and was not read in this poll */
    bool is_blocked;  /* The socket takes nothing of the output. */
    bool is_full;     /* The output has no room, and the producer is not read. */
    bool has_message; /* The first message has come. */
    bool is_named;    /* HELLO was accepted. */
    bool has_grant;
    bool is_silent; /* Its channels have been reported. */
    uint32_t epoll_events;
    struct ingest_input input;
    struct ingest_output output;

    struct list_link ready_link;     /* in ingest->ready while messages may wait */
    struct list_link flush_link;     /* in ingest->flushes while output waits for the next poll */
    struct list_link ack_link;       /* in ingest->acks while handled ticks have no ACK */
    struct list_link admission_link; /* in ingest->admissions while INGEST_ADMITTING */

    struct ingest_hello hello;
    struct feed_grant grant;
    struct ingest_place *place; /* own_place, or that of its name */
    struct ingest_place own_place;
    struct stream_ticks_table table;    /* of the binary form */
    struct ingest_channel_set channels; /* which it has named, and may publish */

    uint64_t connected_ns;
    uint64_t received_ns; /* The last bytes came. */
    uint64_t sent_ns;     /* The last message was queued. */
    uint64_t ack_ns;      /* The ACK is due. */
    uint64_t full_ns;     /* since when is_full */
    uint64_t closing_ns;  /* since when INGEST_CLOSING */
    uint64_t hole_ns;     /* A hole was logged. */

    char label[INGEST_LABEL_BYTES_MAX]; /* for the log */
    const char *end_cause;              /* for the log */
    uint64_t tick_count, refused_count, duplicate_count, malformed_count, hole_count;
};

struct ingest {
    struct feed feed;
    struct ingest_listen listen;
    bool needs_token;  /* of producers that connect; standard input needs none */
    uint32_t revision; /* of the admission, by which they were judged */
    bool has_ended;    /* A producer has come to INGEST_CLOSING or INGEST_ENDED in this poll. */
    int epoll_fd;
    uint32_t place_count; /* INGEST_PLACES_MAX, or fewer where descriptors are short */

    uint64_t now_ns; /* of the poll, CLOCK_REALTIME */
    uint64_t steady_ns;
    uint64_t sweep_ns; /* when all producers are looked through next */

    struct frame_ticks *frames;
    struct stream_ticks *stream;
    struct ingest_channels channels;
    struct ingest_names *names;

    struct ingest_producer *producers[INGEST_PLACES_MAX]; /* NULL: a free place */
    struct ingest_producer *standard_input;               /* NULL: not read, or ended */
    struct list_link ready, flushes, acks, admissions;

    uint64_t log_ns; /* the second in which log_count lines were logged began */
    uint32_t log_count;
    uint64_t unlogged_count; /* since the last line */
    uint32_t faults_logged;
};

/* A line for the operator, unless there were many in this second. */
void ingest_log(struct ingest *ingest, enum feed_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
