/*
 * proxy_header: the header by which a proxy names its client, before the client's own bytes: PROXY
 * protocol, versions 1 (text) and 2 (binary).
 *
 * Threads  Pure functions.
 * Memory   None.
 * Errors   enum proxy_status. A header is only a claim: parse those of trusted peers alone.
 * Source   HAProxy's "The PROXY protocol", sections 2.1 and 2.2.
 */
#ifndef RINGCAST_CODEC_PROXY_HEADER_H
#define RINGCAST_CODEC_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ip_address.h"

#define PROXY_HEADER_BYTES_MAX 4096 /* with all TLVs; of version 1 107 */

enum proxy_status {
    PROXY_OK,
    PROXY_NEED_MORE, /* Not a fault: it is not complete yet. */
    PROXY_ABSENT,    /* The bytes are something else. */
    PROXY_BAD,       /* It begins as a header and goes on wrong, or is too long. */
    PROXY_STATUS_COUNT,
};

struct proxy_header {
    size_t header_bytes; /* What follows is the client's. */
    bool has_source;     /* false: LOCAL, UNKNOWN, a Unix socket: the proxy speaks for itself */
    struct ip_address source;
    uint16_t source_port;
};

/* bytes: all that has come so far. Reads nothing beyond bytes_count. TLVs are skipped, except
 * CRC32C, which is checked where it is present. */
enum proxy_status proxy_header_parse(const uint8_t *bytes, size_t bytes_count,
                                     struct proxy_header *header_out);

#endif
