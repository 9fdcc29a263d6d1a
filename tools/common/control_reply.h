/*
 * control_reply: a server's control frame, parsed.
 *
 * Owner    The caller; control_reply_free after each successful parse.
 * Threads  No state. Memory: jansson allocates; control frames are rare.
 * Errors   -EPROTO: not a JSON object with a "type", or a field of its type is missing.
 * Source   docs/protocol.md.
 */
#ifndef RINGCAST_TOOLS_CONTROL_REPLY_H
#define RINGCAST_TOOLS_CONTROL_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum control_type {
    CONTROL_WELCOME,
    CONTROL_SUBSCRIBED,
    CONTROL_GAP,
    CONTROL_HEARTBEAT,
    CONTROL_ERROR,
    CONTROL_OTHER, /* Any other type: to be shown only. */
};

struct control_reply {
    enum control_type type;
    const char *name; /* The type as sent; within root. */
    json_t *root;
    json_t *data;      /* Within root; NULL: none. */
    uint64_t channel;  /* GAP */
    uint64_t from, to; /* GAP: both ends inclusive. */
    json_t *ok;        /* SUBSCRIBED: arrays, maybe NULL. */
    json_t *failed;
};

int control_reply_parse(struct control_reply *reply_out, const uint8_t *payload,
                        size_t payload_bytes);
void control_reply_free(struct control_reply *reply);

/* Parses a server's message. NULL: it is not JSON, or has a key twice. Numbers may be of any size:
 * see codec/json_numbers.h. */
json_t *control_reply_load(const uint8_t *payload, size_t payload_bytes);

/* A whole number, 0 or more, under key of an object. */
bool control_reply_u64(const json_t *object, const char *key, uint64_t *value_out);

#endif
