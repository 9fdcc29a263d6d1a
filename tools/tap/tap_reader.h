/*
 * tap_reader: one subscribed connection of ringcast-tap, and the handling of its frames.
 *
 * Owner    main. Threads: one.
 * Memory   The decoder, and a message buffer from the first frame that is split between two
 *          receives (1 MiB of address space, touched as far as frames are long).
 * Errors   The status of a reader that has ended is the reason.
 */
#ifndef RINGCAST_TOOLS_TAP_READER_H
#define RINGCAST_TOOLS_TAP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/ws_decoder.h"
#include "tools/common/tls_client.h"
#include "tools/tap/tap_events.h"

struct tap_reader {
    struct tap_sink *sink;
    uint32_t index;
    int fd;                 /* -1: ended */
    struct tls_client *tls; /* of wss:// */
    bool is_subscribed;
    uint16_t close_code; /* From the server's Close frame; 0: none came. */
    struct ws_decoder decoder;
    uint8_t *buffer;
};

/* opened: its descriptor and TLS are the reader's from now on. The reader: zeroed, or ended before.
 */
void tap_reader_init(struct tap_reader *reader, struct tap_sink *sink, uint32_t index,
                     const struct ws_client_opened *opened);

/* Sends a message. 0 or a negative errno. */
int tap_reader_send_text(struct tap_reader *reader, const char *text);

/* Asks the server for its running hashes. 0 or a negative errno. */
int tap_reader_ask_hashes(struct tap_reader *reader);

/* Bytes that came with the upgrade's answer. They are changed. */
void tap_reader_on_bytes(struct tap_reader *reader, uint8_t *bytes, size_t bytes_count);

/* The socket is readable. */
void tap_reader_on_readable(struct tap_reader *reader, uint8_t *scratch, size_t scratch_bytes);

/* Ends an open connection with a Close frame (1000). */
void tap_reader_leave(struct tap_reader *reader);

/* Sends a Close frame (1000) if it is still open, and frees. */
void tap_reader_deinit(struct tap_reader *reader);

#endif
