/*
 * encodings: the frame log of each encoding (encoders.h), and when it is written.
 *
 * JSON is always written: its log is the history of all (docs/decisions/0017). Another encoding
 * begins with its first conn, with the newest frame of each channel (read back from the JSON log),
 * and ends ENCODINGS_LINGER_NS after its last. One for which memory_bytes_max leaves no room does
 * not begin (core_claims.h); the client may come again, and one that is idle ends sooner then.
 * Ticks have the same seq and ts_pub in all. A tick that an encoding cannot represent goes out in
 * its log as the JSON frame, so that its log never has a hole.
 *
 * Owner    main creates it before the publisher and destroys it after the cores.
 * Threads  The publisher's only, except for what struct core_encoding says.
 * Memory   A log each, touched as it is written and given back when its encoding ends.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_SRC_ENCODINGS_H
#define RINGCAST_SRC_ENCODINGS_H

#include "codec/base/units.h"
#include "ring/core/core.h"
#include "src/market/encoders.h"

#define ENCODINGS_LINGER_NS (600 * NS_PER_SECOND)
#define ENCODINGS_SHORT_LINGER_NS NS_PER_SECOND  /* when others were refused meanwhile */
#define ENCODINGS_REPORT_NS (60 * NS_PER_SECOND) /* between two lines about too little memory */
#define ENCODINGS_SEEDS_PER_POLL 256 /* channels whose newest frame is carried over at a time */

struct encodings;

/* The subprotocols by which clients ask for them; the first is that of a client that names none. */
#define ENCODINGS_PROTOCOL_COUNT 2
extern const struct handshake_protocol encodings_protocols[ENCODINGS_PROTOCOL_COUNT];

struct encodings_options {
    struct channels *channels;
    struct frame_log_options log;  /* of each */
    bool compresses;               /* JSON may be had with permessage-deflate, */
    uint32_t compressed_bytes_min; /* payloads of at least this length */
    uint64_t memory_bytes_max;     /* of all logs together, no less than one needs; 0: no limit */
};

/* How many of this many encodings may be written at a time, if logs like this one share the memory
 * (0: no limit). */
uint32_t encodings_fit(const struct frame_log_options *log, uint64_t memory_bytes_max,
                       uint32_t wanted_count);

int encodings_create(struct encodings **encodings_out, const struct encodings_options *options);
void encodings_destroy(struct encodings *encodings);

/* For the cores; as many as *count_out says, JSON's first. */
struct core_encoding *encodings_table(struct encodings *encodings, uint32_t *count_out);
struct core_claims *encodings_claims(struct encodings *encodings);

struct frame_log *encodings_json_log(const struct encodings *encodings);

/* Writes a tick that the sequencer has stamped into the log of every encoding that is written.
 * Returns the length of its JSON frame; 0: it fits none, and nothing is written. */
uint32_t encodings_write(struct encodings *encodings, const struct tick *tick);

/* The longest payload of a frame in any encoding. */
size_t encodings_payload_bytes_max(const struct encodings *encodings);

/* The channel's number is to have another name. */
void encodings_forget_channel(struct encodings *encodings, uint32_t channel);

/* How many an encoding has had so far. */
struct encodings_count {
    uint64_t frames;
    uint64_t bytes;
};
struct encodings_count encodings_count(const struct encodings *encodings, uint32_t encoding);

/* Of all logs: bytes of pages that were replaced because they were lent. */
uint64_t encodings_replaced_bytes(const struct encodings *encodings);

/* Shows what was written to the cores, the JSON log last. */
void encodings_publish(struct encodings *encodings);

enum encodings_news {
    ENCODINGS_AT_REST,
    ENCODINGS_BUSY,  /* There is more to do: poll again at once. */
    ENCODINGS_BEGUN, /* The same, and cores may wait for what has begun: wake them. */
};

/* Begins what is asked for and ends what is not any more. */
enum encodings_news encodings_poll(struct encodings *encodings, uint64_t now_ns);

#endif
