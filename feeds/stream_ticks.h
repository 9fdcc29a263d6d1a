/*
 * stream_ticks: the binary form of a producer's stream and of a recording: each message is a u32
 * length, little endian, and that many bytes. A message that begins with `{` is JSON; any other is
 * one SBE message of codec/md.xml, whose `ch` is the producer's own number of a channel, and whose
 * `seq` is the producer's own number of the tick.
 *
 * A DEFINITION, in JSON, binds each `ch` to a symbol and type before its first SBE tick.
 *
 * Owner    The caller creates and destroys the reader and the tables. Threads: one at a time.
 * Memory   One reader serves any number of streams: it has only the place for levels and texts of
 *          the last tick, which borrows from it until the next call. A table is of one stream; it
 *          grows with the highest `ch` that is bound. Nothing is allocated for a tick.
 * Errors   A message that is not as documented is a status, with a constant sentence.
 * Source   docs/sbe.md; codec/md.xml.
 */
#ifndef RINGCAST_FEEDS_STREAM_TICKS_H
#define RINGCAST_FEEDS_STREAM_TICKS_H

#include "codec/md.h"

#define STREAM_TICKS_LENGTH_BYTES 4
#define STREAM_TICKS_MESSAGE_BYTES_MAX 4194304 /* without its length */
#define STREAM_TICKS_CHANNELS_MAX 65536        /* of a table: ch is 0 to 65535 */

enum stream_ticks_status {
    STREAM_TICKS_TICK,
    STREAM_TICKS_JSON, /* The message is JSON, for frame_ticks. */
    STREAM_TICKS_MALFORMED,
};

/* What a ch stands for. */
struct stream_ticks_channel {
    uint32_t value; /* the caller's own, which the caller may change */
    enum md_type type;
    uint8_t symbol_bytes; /* 0: not bound */
    char symbol[MD_SYMBOL_BYTES_MAX];
};

/* All 0 to begin with. */
struct stream_ticks_table {
    struct stream_ticks_channel *channels; /* by ch */
    uint32_t channel_count;                /* of which there is memory */
};

struct stream_tick {
    struct md_update update; /* channel: the producer's ch; ts_recv_ns as in the message */
    const struct stream_ticks_channel *channel;
    uint64_t q;        /* the producer's own number, up to INT64_MAX; 0: none. Also if malformed. */
    const char *fault; /* after STREAM_TICKS_MALFORMED */
};

/* ---- Reading ---- */

struct stream_ticks;

/* -ENOMEM. */
int stream_ticks_create(struct stream_ticks **reader_out);
void stream_ticks_destroy(struct stream_ticks *reader);

void stream_ticks_table_deinit(struct stream_ticks_table *table);

/* message: without its length. */
enum stream_ticks_status stream_ticks_parse(struct stream_ticks *reader,
                                            const struct stream_ticks_table *table,
                                            const uint8_t *message, size_t message_bytes,
                                            struct stream_tick *tick_out);

/* NULL: not bound. */
struct stream_ticks_channel *stream_ticks_find(const struct stream_ticks_table *table, uint64_t ch);

/* Binds ch, also again with the same meaning, which leaves its value as it is. NULL, or a constant
 * sentence: what is wrong. */
const char *stream_ticks_bind(struct stream_ticks_table *table, uint64_t ch, const char *symbol,
                              size_t symbol_bytes, enum md_type type, uint32_t value);

/* Binds what a DEFINITION (the whole JSON message) defines. value_of is called once for each ch
 * that is new. NULL, or a constant sentence; channels before the fault are bound. */
const char *stream_ticks_define(struct stream_ticks_table *table, const char *text,
                                size_t text_bytes,
                                uint32_t (*value_of)(void *context, const char *symbol,
                                                     size_t symbol_bytes, enum md_type type),
                                void *context);

/* ---- Writing ---- */

/* Each writes the length and the message, and returns how many bytes they are. 0: they do not fit
 * in out_bytes or in a message, or SBE cannot hold the tick (codec/sbe_tick.h); out is undefined.
 * ts_pub is written as 0. */
size_t stream_ticks_put(uint8_t *out, size_t out_bytes, uint32_t ch, const struct md_update *update,
                        uint64_t q);
size_t stream_ticks_put_json(uint8_t *out, size_t out_bytes, const char *text, size_t text_bytes);

#endif
