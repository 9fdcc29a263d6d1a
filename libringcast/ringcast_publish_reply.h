/*
 * ringcast_publish_reply: a message of the server, read.
 *
 * Threads  Pure functions. Memory: the caller's. Source: docs/feeds/ingest.md.
 */
#ifndef RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_REPLY_H
#define RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RINGCAST_PUBLISH_REPLY_TEXT_BYTES_MAX 400
#define RINGCAST_PUBLISH_EPOCH_BYTES_MAX 32

#pragma GCC visibility push(hidden)

enum ringcast_publish_reply_kind {
    RINGCAST_PUBLISH_OTHER, /* HEARTBEAT and what later versions may send */
    RINGCAST_PUBLISH_WELCOME,
    RINGCAST_PUBLISH_ACK,
    RINGCAST_PUBLISH_REFUSED,
    RINGCAST_PUBLISH_ERROR,
};

struct ringcast_publish_reply {
    enum ringcast_publish_reply_kind kind;
    uint64_t q;                     /* 0: null or not there */
    bool retry;                     /* of ERROR; true where it is not there */
    uint64_t heartbeat_s, silent_s; /* of WELCOME; 0: not there */
    char epoch[RINGCAST_PUBLISH_EPOCH_BYTES_MAX + 1];
    char code[RINGCAST_PUBLISH_EPOCH_BYTES_MAX + 1];
    char text[RINGCAST_PUBLISH_REPLY_TEXT_BYTES_MAX + 1]; /* reason, message; cut to fit */
};

/* false: it is not a message of the protocol. */
bool ringcast_publish_reply_read(struct ringcast_publish_reply *reply_out, const char *text,
                                 size_t text_bytes);

#pragma GCC visibility pop

#endif
