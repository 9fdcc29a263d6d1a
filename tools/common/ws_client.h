/*
 * ws_client: the client side of the protocol for all our programs: addresses, the upgrade request,
 * masked frames, the SUBSCRIBE message.
 *
 * Owner    The caller owns all memory.
 * Threads  No state of its own; ws_client_resolve and ws_client_open may block.
 * Memory   ws_client_subscribe_text allocates; everything else writes to the caller's memory.
 * Units    Timeouts in milliseconds, as poll(2) takes them.
 * Errors   0 or a negative errno; functions with error_out write the reason there.
 */
#ifndef RINGCAST_TOOLS_WS_CLIENT_H
#define RINGCAST_TOOLS_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "codec/handshake_client.h"
#include "codec/ws_frame.h"
#include "tools/common/tls_client.h"

#define WS_CLIENT_JSON "md.json.v1" /* the subprotocols of a ringcast */
#define WS_CLIENT_SBE "md.sbe.v1"
#define WS_CLIENT_KEY_BYTES 24
#define WS_CLIENT_ERROR_BYTES_MAX 1024
#define WS_CLIENT_ADDRESSES_MAX 32                      /* of a name; further ones are not tried */
#define WS_CLIENT_PATH_BYTES_MAX 1024                   /* with its end */
#define WS_CLIENT_REQUEST_BYTES_MAX HANDSHAKE_BYTES_MAX /* the limit of a server */
#define WS_CLIENT_MESSAGE_BYTES_MAX 16384 /* docs/protocol.md: the longest client message */
#define WS_CLIENT_FRAME_BYTES_MAX (WS_CLIENT_MESSAGE_BYTES_MAX + WS_HEADER_BYTES_MAX)

struct ws_client_url {
    bool is_unix;
    bool is_tls;                          /* wss:// */
    char host[254];                       /* Without brackets; "localhost" for a Unix socket. */
    char port[6];                         /* "8765" when the URL names none; of wss:// "443". */
    char path[WS_CLIENT_PATH_BYTES_MAX];  /* The request's target, with its query. */
    char socket_path[108];                /* Unix only. */
    const struct tls_client_context *tls; /* wss:// only; NULL until ws_client_secure_url. */
};

struct ws_client_address {
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/* In the order in which they are tried. */
struct ws_client_addresses {
    struct ws_client_address list[WS_CLIENT_ADDRESSES_MAX];
    uint32_t count;
};

struct ws_client_subscription {
    const char *symbols;  /* "A,B" or patterns such as "*" */
    const char *types;    /* "quote,trade" */
    uint32_t depth;       /* Books reduced to this many levels a side; 0: the feed's own. */
    const char *bar;      /* The interval of bars; NULL: the feed's own. */
    uint32_t interval_ms; /* The newest image at most once in this time; 0: every frame. */
    const char *on_lag;   /* NULL: the server's default. With "skip" GAP reports every loss. */
    bool snapshot;        /* Ask for the newest frame first. */
    uint64_t replay_from; /* Not 0: REPLAY from this seq or time, in place of SUBSCRIBE. */
};

/* ws://host[:port][/path], the same with wss://, [v6] in brackets, or unix:///path. -EINVAL. */
int ws_client_parse_url(struct ws_client_url *url_out, const char *text,
                        char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

/* Makes the context of a wss:// URL, which lives as long as the process. -EINVAL: a file of the
 * options cannot be used, or the URL is another one and has no use for them. */
int ws_client_secure_url(struct ws_client_url *url, const struct tls_client_options *options,
                         char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

/* All addresses of the host, IPv6 and IPv4; -EHOSTUNREACH when it has none. */
int ws_client_resolve(const struct ws_client_url *url, struct ws_client_addresses *addresses_out,
                      char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

/* A key of the handshake from 16 random bytes; terminated. */
void ws_client_key(char key_out[WS_CLIENT_KEY_BYTES + 1], const uint8_t random[16]);

/* The upgrade request; returns its length, 0: it is too long. */
size_t ws_client_request(const struct ws_client_url *url, const char *key,
                         const struct handshake_wish *wish, char out[WS_CLIENT_REQUEST_BYTES_MAX]);

/* Writes a masked, unfragmented frame; out has payload_bytes + WS_HEADER_BYTES_MAX. Returns its
 * length. */
size_t ws_client_frame(uint8_t *out, enum ws_opcode opcode, const void *payload,
                       size_t payload_bytes, const uint8_t mask[4]);

/* The SUBSCRIBE or REPLAY message with id 1, to be freed; NULL: out of memory, or no symbol or
 * type, or a name that is not UTF-8. */
char *ws_client_subscribe_text(const struct ws_client_subscription *subscription);

/* The result of ws_client_open. */
struct ws_client_opened {
    int fd;                 /* non-blocking */
    struct tls_client *tls; /* of wss://, the caller's; otherwise NULL */
    size_t rest_bytes;      /* the bytes after the answer's head (WELCOME) */
    uint8_t rest[HANDSHAKE_BYTES_MAX];
    char error[WS_CLIENT_ERROR_BYTES_MAX]; /* the reason, on failure only */
};

/* Connects (ws_connect.h), secures the stream of wss://, upgrades and waits for the answer, at most
 * timeout_ms each. -EPROTO: the server answers, but refuses the upgrade; -EAGAIN: it refuses at
 * present (429, 5xx). */
int ws_client_open(struct ws_client_opened *opened_out, const struct ws_client_url *url,
                   struct ws_client_addresses *addresses, const struct handshake_wish *wish,
                   int timeout_ms);

#endif
