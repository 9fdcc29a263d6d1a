/*
 * request: a client's message, checked.
 *
 * Owner    The caller: request_deinit after every request_parse, also after a fault.
 * Threads  The caller's. Pure, except for allocation (jansson's).
 * Memory   Until request_deinit: symbols and cursors, in one block each of about the message's
 *          size, and what is left of the parsed JSON without them. A request may be moved.
 * Errors   A protocol code with the path of the field and a message that says what is valid.
 * Source   docs/protocol.md.
 */
#ifndef RINGCAST_SRC_REQUEST_H
#define RINGCAST_SRC_REQUEST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/md.h"
#include "src/market/variant.h"
#include "src/request/request_symbols.h"

#define REQUEST_ECHO_BYTES_MAX 64 /* of what is repeated; with escapes 6 times as long */
#define REQUEST_ECHO_TEXT_BYTES_MAX (6 * REQUEST_ECHO_BYTES_MAX + 3)
#define REQUEST_SYMBOLS_MAX 1000
#define REQUEST_CURSORS_MAX 1000
#define REQUEST_MAX_LAG_MS_MAX 60000
#define REQUEST_SEQ_MAX INT64_C(1000000000000000) /* as from and to of REPLAY; above: a time */
#define REQUEST_SPEED_MAX 1000
#define REQUEST_DEPTH_MAX 16 /* brackets within brackets */
#define REQUEST_UNITS 20     /* for reading a message, and one more for each */
#define REQUEST_UNIT_BYTES 4

static_assert(REQUEST_MAX_LAG_MS_MAX <= UINT16_MAX, "max_lag_ms holds it");
static_assert(MD_TYPE_COUNT <= 32, "types is a bit mask");

enum protocol_code {
    PROTOCOL_OK = 0,
    PROTOCOL_INTERNAL = 100,
    PROTOCOL_UNAUTHORIZED = 101,
    PROTOCOL_FORBIDDEN = 103,
    PROTOCOL_UNKNOWN_TYPE = 104,
    PROTOCOL_LIMIT_EXCEEDED = 106,
    PROTOCOL_BAD_REQUEST = 107,
    PROTOCOL_NOT_AVAILABLE = 108,
    PROTOCOL_TOKEN_EXPIRED = 109,
    PROTOCOL_TOO_MANY_REQUESTS = 111,
    PROTOCOL_UNRECOVERABLE = 112,
    PROTOCOL_UNKNOWN_SYMBOL = 120,
    PROTOCOL_UNKNOWN_DATA_TYPE = 121,
    PROTOCOL_SUBSCRIPTION_LIMIT = 122,
    PROTOCOL_NOT_OFFERED = 123,
    PROTOCOL_RANGE_GONE = 124,
};

enum request_type {
    REQUEST_NONE, /* There was a fault before it was known. */
    REQUEST_SUBSCRIBE,
    REQUEST_UNSUBSCRIBE,
    REQUEST_LIST,
    REQUEST_PING,
    REQUEST_MODIFY,
    REQUEST_SNAPSHOT,
    REQUEST_RESUME,
    REQUEST_REPLAY,
    REQUEST_STATUS,
    REQUEST_HEARTBEAT,
    REQUEST_AUTH,
    REQUEST_SYMBOLS,
    REQUEST_TYPE_COUNT,
};

enum request_on_lag {
    REQUEST_SKIP,
    REQUEST_CONFLATE,
    REQUEST_DISCONNECT,
};

struct request_range {
    bool is_by_seq;
    uint64_t from; /* a seq, or nanoseconds */
    uint64_t to;   /* of the same kind, inclusive; 0: up to now, then on with live frames */
    double speed;  /* 0: as fast as it is read; 1: as it was published; 2: twice as fast */
};

struct request_error {
    enum protocol_code code;
    char field[48];    /* "data.symbols[3]"; "" when it is about the whole message */
    char message[160]; /* UTF-8 */
    bool retry;        /* The same may work later. */
};

struct request {
    enum request_type type;
    bool is_url;                          /* see request_url.h */
    char id[REQUEST_ECHO_TEXT_BYTES_MAX]; /* JSON text as it came; "": none. Also at a fault. */
    char t0[REQUEST_ECHO_TEXT_BYTES_MAX]; /* PING: the same */
    uint32_t types;                       /* bit mask of enum md_type; 0: not given */
    uint32_t symbol_count;                /* 0: not given */
    uint32_t cursor_count;
    struct variant variant; /* all that the message asks for, of whatever type */
    bool has_on_lag;
    enum request_on_lag on_lag; /* when has_on_lag */
    bool has_max_lag;
    uint16_t max_lag_ms; /* when has_max_lag; 0: none */
    bool snapshot;
    const char *epoch;  /* of RESUME, or of since; NULL: there is none */
    uint64_t since_seq; /* when it is since */

    const char *token; /* AUTH: borrowed until request_deinit; goes to no log and no answer */
    size_t token_bytes;
    struct request_range range;     /* REPLAY */
    struct request_symbols listing; /* SYMBOLS: borrowed likewise */

    void *root; /* The parsed JSON. */
    struct request_symbol *symbols;
    struct request_cursor *cursors;
};

struct request_symbol {
    const char *text; /* terminated */
    uint32_t bytes : 24;
    uint32_t types : 7;     /* of a URL: bit mask; 0: those of the request */
    bool is_repeated : 1;   /* It was named before in this message. */
    struct variant variant; /* of a URL: what it says itself, before the request's */
};

struct request_cursor {
    uint32_t channel;
    uint64_t seq;
};

/* true, or false and the fault in *error_out. */
bool request_parse(struct request *request, const uint8_t *payload, size_t payload_bytes,
                   struct request_error *error_out);
void request_deinit(struct request *request);

/* The symbol or pattern at index; valid until request_deinit. */
const char *request_symbol(const struct request *request, uint32_t index, size_t *bytes_out);

bool request_is_repeated(const struct request *request, uint32_t index);
/* What it is wanted of: a bit mask of types, and the variant of one of them. */
uint32_t request_types_of(const struct request *request, uint32_t index);
struct variant request_variant_of(const struct request *request, uint32_t index, enum md_type type);

/* A cursor of RESUME. */
struct request_cursor request_cursor(const struct request *request, uint32_t index);

/* What it cost to read, see core_spend(). */
uint32_t request_units(size_t payload_bytes);

/* "SUBSCRIBE", ...; of REQUEST_NONE "the server". */
const char *request_type_name(enum request_type type);

/* "skip", "conflate" or "disconnect". */
const char *request_on_lag_name(enum request_on_lag on_lag);

#endif
