/*
 * encoders: the encodings of a tick, a row each.
 *
 * Owner    The encodings. Threads: the publisher's, except for what only reads the rows.
 * Memory   What JSON says in every frame of a channel, 314 bytes each, touched at its first tick.
 * Errors   0 or a negative errno.
 * Source   docs/protocol.md, "Data frames" and "Compression"; docs/sbe.md.
 */
#ifndef RINGCAST_SRC_ENCODERS_H
#define RINGCAST_SRC_ENCODERS_H

#include "codec/ws_frame.h"
#include "ring/core/core.h"
#include "src/market/channels.h"
#include "src/market/sequencer.h"

/* Subprotocols. */
#define ENCODERS_JSON "md.json.v1"
#define ENCODERS_SBE "md.sbe.v1"

struct encoders;

/* A tick's frame in the JSON log. */
struct encoders_json {
    const uint8_t *frame;
    uint32_t frame_bytes;
};

/* By enum core_encoding_number. */
struct encoders_row {
    const char *name;
    const char *subprotocol;
    enum ws_opcode opcode;
    bool is_compressed; /* permessage-deflate; clients see the JSON frame that it was */
    bool is_lazy;       /* It is written only while there are clients for it. */
    /* Writes the payload at frame + WS_FRAME_FINISH_GAP (when compressed: the whole frame) and
     * returns its length, or 0: the tick does not fit or the encoding cannot represent it. json:
     * NULL for JSON itself, which comes first. */
    size_t (*encode)(struct encoders *encoders, uint8_t *frame, const struct tick *tick,
                     const struct encoders_json *json);
};
extern const struct encoders_row encoders_rows[CORE_ENCODINGS_MAX];

struct encoders_options {
    const struct channels *channels;
    uint32_t frame_bytes_max;
    bool compresses;
    uint32_t compressed_bytes_min; /* Shorter payloads are not compressed. */
};

int encoders_create(struct encoders **encoders_out, const struct encoders_options *options);
void encoders_destroy(struct encoders *encoders); /* NULL does nothing. */

/* How many of the rows are in use. */
uint32_t encoders_count(bool compresses);

/* The longest payload of a frame in any encoding. */
size_t encoders_payload_bytes_max(const struct encoders *encoders);

/* The channel's number is to have another name: what is kept for it is forgotten. */
void encoders_forget_channel(struct encoders *encoders, uint32_t channel);

#endif
