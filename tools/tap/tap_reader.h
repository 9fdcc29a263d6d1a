/*
 * tap_reader: one subscribed connection of ringcast-tap, and what becomes of its frames.
 *
 * Owner    main. Threads: one.
 * Memory   The decoder, and a message buffer from the first frame that is split between two
 *          receives (1 MiB of address space, touched as far as frames are long).
 * Errors   A reader that ends says why by its status.
 */
#ifndef RINGCAST_TOOLS_TAP_READER_H
#define RINGCAST_TOOLS_TAP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/ws_decoder.h"
#include "tools/tap/tap_verify.h"

#define TAP_MESSAGE_BYTES_MAX (1u << 20)

/* What all readers share. */
struct tap_sink {
    struct tap_verify *verify; /* NULL: not wanted */
    uint32_t reader_count;
    bool print_ticks; /* of reader 0 */
    bool json;
    uint64_t frames;           /* data frames of reader 0 */
    uint64_t frames_max;       /* 0: no limit */
    uint32_t subscribed_count; /* readers, perhaps to a part of what was asked for */
    uint32_t refused_count;    /* readers that get nothing */
    uint32_t error_count;      /* ERRORs to subscribed readers */
};

struct tap_reader {
    struct tap_sink *sink;
    uint32_t index;
    int fd; /* -1: ended */
    bool is_subscribed;
    uint16_t close_code; /* From the server's Close frame; 0: none came. */
    struct ws_decoder decoder;
    uint8_t *buffer;
};

/* "reader 3: ", or nothing when there is one alone. Valid until the next call. */
const char *tap_reader_prefix(const struct tap_sink *sink, uint32_t index);

/* fd: upgraded and non-blocking; the reader's from now on. */
void tap_reader_init(struct tap_reader *reader, struct tap_sink *sink, uint32_t index, int fd);

/* Sends SUBSCRIBE. 0 or a negative errno. */
int tap_reader_subscribe(struct tap_reader *reader, const char *text);

/* Has the server tell its running hashes. 0 or a negative errno. */
int tap_reader_ask_hashes(struct tap_reader *reader);

/* Bytes that came with the upgrade's answer. They are changed. */
void tap_reader_on_bytes(struct tap_reader *reader, uint8_t *bytes, size_t bytes_count);

/* The socket is readable: reads until it is empty, or the sink has enough. */
void tap_reader_on_readable(struct tap_reader *reader, uint8_t *scratch, size_t scratch_bytes);

/* Says goodbye (1000) if still open, and frees. */
void tap_reader_deinit(struct tap_reader *reader);

static inline bool tap_sink_is_full(const struct tap_sink *sink)
{
    return sink->frames_max != 0 && sink->frames >= sink->frames_max;
}

#endif
