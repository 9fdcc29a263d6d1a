/*
 * handshake_head: the head of an HTTP request or answer, read from left to right (RFC 9112).
 *
 * For handshake and handshake_client; others include those. The first fault counts, so that a
 * verdict on a part of the head stays the verdict on all of it.
 *
 * Threads  Pure functions.
 * Memory   The caller's; slices point into the given bytes.
 * Errors   enum handshake_status.
 */
#ifndef RINGCAST_CODEC_HANDSHAKE_HEAD_H
#define RINGCAST_CODEC_HANDSHAKE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ws_extensions.h"

#define HANDSHAKE_BYTES_MAX 8192        /* first line and headers together; more is 431 */
#define HANDSHAKE_TARGET_BYTES_MAX 2048 /* more is 414 */
#define HANDSHAKE_HEADERS_MAX 100       /* more is 431 */
#define HANDSHAKE_EMPTY_LINES_MAX 4     /* before a request; more is not HTTP */

enum handshake_status {
    HANDSHAKE_OK,
    HANDSHAKE_NEED_MORE,      /* Not a fault: the head is not complete yet. */
    HANDSHAKE_NOT_HTTP,       /* 400 */
    HANDSHAKE_BAD_REQUEST,    /* 400: syntax, missing Host, Upgrade or Connection */
    HANDSHAKE_BAD_KEY,        /* 400: missing, or not 16 bytes of base64 */
    HANDSHAKE_NOT_FOUND,      /* 404: a GET of a path that is not the site's (a query is ignored) */
    HANDSHAKE_BAD_METHOD,     /* 405 */
    HANDSHAKE_BAD_VERSION,    /* 426 with Sec-WebSocket-Version: 13 */
    HANDSHAKE_BAD_PROTOCOL,   /* 400: subprotocols were offered, none of them the site's */
    HANDSHAKE_BAD_EXTENSIONS, /* 400: Sec-WebSocket-Extensions is not well-formed */
    HANDSHAKE_URI_TOO_LONG,   /* 414 */
    HANDSHAKE_TOO_LONG,       /* 431 */
    HANDSHAKE_BUSY,           /* 503 with Retry-After: of the server's, never of a parser's */
    HANDSHAKE_STOPPING,       /* likewise */
    HANDSHAKE_NO_ROOM,        /* likewise: for what the offered subprotocols need */
    HANDSHAKE_STATUS_COUNT,
};

/* A subprotocol by its name, and the caller's numbers for it. */
struct handshake_protocol {
    const char *name;
    uint32_t number;          /* without compression */
    uint32_t deflated_number; /* with permessage-deflate */
};

struct handshake_slice {
    const char *text;
    size_t bytes;
};

/* Of a head that comes in pieces, each line is read when its end has come, when twice as much of it
 * is there as at the last try, or when the head has no room for more. So each byte is read a few
 * times, however small the pieces are. */
struct handshake_reader {
    const char *at; /* The lines before it are read. */
    const char *end;
    size_t searched;      /* bytes from here on without the line's end, */
    size_t tried;         /* of which this many were read in vain */
    bool is_full;         /* All that may belong to the head has come. */
    unsigned field_count; /* header fields before it */
};

struct handshake_field {
    struct handshake_slice name;
    struct handshake_slice value; /* without the blanks around it */
};

struct handshake_line {
    struct handshake_slice method, target, version;
};

/* What the header fields of a request or an answer say. */
struct handshake_seen {
    /* Set by the caller: the subprotocols that are looked for. */
    const struct handshake_protocol *known_protocols;
    uint32_t known_protocol_count;

    unsigned host_count, key_count, version_count, accept_count, protocol_count;
    bool has_upgrade;    /* "websocket" in Upgrade */
    bool has_connection; /* "Upgrade" in Connection */
    bool has_body;
    bool extensions_are_bad;                   /* not well-formed */
    const struct handshake_protocol *protocol; /* the first known one that is named; NULL: none */
    uint32_t protocol_mask;                    /* bit i: known_protocols[i] is named */
    struct ws_deflate_offers offers;
    struct handshake_slice host, key, version, accept;
};

/* The part of the bytes that may belong to the head. */
struct handshake_reader handshake_head_begin(const uint8_t *bytes, size_t bytes_count);
/* The same bytes, and more behind them. */
void handshake_head_extend(struct handshake_reader *reader, const uint8_t *bytes,
                           size_t bytes_count);

/* "GET /path HTTP/1.1" with its line end. Empty lines may come before it (RFC 9112 section 2.2). */
enum handshake_status handshake_head_read_request(struct handshake_reader *reader,
                                                  struct handshake_line *line);

/* "HTTP/1.1 101 Switching Protocols" with its line end; the phrase may be missing. */
enum handshake_status handshake_head_read_answer(struct handshake_reader *reader,
                                                 struct handshake_slice *version_out,
                                                 unsigned *code_out);

/* One "name: value" line. */
enum handshake_status handshake_head_read_field(struct handshake_reader *reader,
                                                struct handshake_field *field);

/* All header lines and the empty line behind them; goes on where it needed more. */
enum handshake_status handshake_head_read_fields(struct handshake_reader *reader,
                                                 struct handshake_seen *seen);

/* A head that is not complete within the limit never will be. */
enum handshake_status handshake_head_unless_too_long(enum handshake_status status,
                                                     size_t bytes_count);

/* The path of a request target without its query, and whether an authority stands before it (RFC
 * 9112 section 3.2.2: of http, https, ws and wss). false: that is not well-formed. A target of
 * another form is its own path. */
bool handshake_head_path(struct handshake_slice target, struct handshake_slice *path_out,
                         bool *has_authority_out);

/* host, host:port, [v6] or [v6]:port. */
bool handshake_head_is_authority(struct handshake_slice text);

/* Whether a path is this one. Its letters, digits and -._~ may be percent-encoded (RFC 3986 section
 * 6.2.2.2). */
bool handshake_head_path_is(struct handshake_slice path, const char *text);
/* Whether it begins so; then the rest is what follows, as it came. */
bool handshake_head_path_begins(struct handshake_slice path, const char *text,
                                struct handshake_slice *rest_out);

/* Takes the next part off a list: what is before the next separator. false: the list is empty. */
bool handshake_head_next_part(struct handshake_slice *list, char separator,
                              struct handshake_slice *part_out);

/* Undoes percent-encoding; out holds as many bytes as text. plus_is_blank: as forms write a query.
 * false: a '%' without two hexadecimal digits, a zero byte, or no UTF-8. */
bool handshake_head_decode(struct handshake_slice text, bool plus_is_blank, char *out,
                           size_t *bytes_out);

bool handshake_head_equal(struct handshake_slice slice, const char *text);
bool handshake_head_equal_any_case(struct handshake_slice slice, const char *text);

#endif
