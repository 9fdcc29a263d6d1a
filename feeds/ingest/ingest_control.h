/*
 * ingest_control: the control messages between a producer and the server, in JSON.
 *
 * Threads  Pure functions; reading allocates.
 * Memory   What is written goes to the caller's buffer of INGEST_OUTPUT_MESSAGE_BYTES_MAX.
 * Source   docs/feeds/ingest.md.
 */
#ifndef RINGCAST_FEEDS_INGEST_CONTROL_H
#define RINGCAST_FEEDS_INGEST_CONTROL_H

#include "feeds/ingest/ingest_names.h"

#define INGEST_CONTROL_BYTES_MAX 20480 /* of HELLO, GAP, DEFINITION: no tick waits for long */
#define INGEST_CONTROL_TOKEN_BYTES_MAX 8192

/* What WELCOME promises and asks for. */
#define INGEST_ACK_MS 100
#define INGEST_HEARTBEAT_S 5 /* in both directions */
#define INGEST_SILENT_S 15   /* Then the symbols of a producer are stale. */

enum ingest_code {
    INGEST_BAD_TOKEN,
    INGEST_TOKEN_EXPIRED,
    INGEST_FORBIDDEN,
    INGEST_HELLO_FIRST,
    INGEST_TOO_MANY_PRODUCERS,
    INGEST_REPLACED,
    INGEST_OLD_EPOCH,
    INGEST_TOO_LONG,
    INGEST_MALFORMED,
    INGEST_SILENT,
    INGEST_NOT_READING,
    INGEST_STOPPING,
    INGEST_CODE_COUNT,
};

struct ingest_hello {
    bool is_hello; /* false: it is another message */
    char name[INGEST_NAME_BYTES_MAX + 1];
    uint64_t epoch; /* 0: not given */
    char *token;    /* NULL: not given; for ingest_hello_drop_token */
    size_t token_bytes;
};

/* Each returns NULL, or a constant sentence: what is wrong. */
const char *ingest_control_check_length(size_t text_bytes);
const char *ingest_control_read_hello(struct ingest_hello *hello_out, const char *text,
                                      size_t text_bytes);
void ingest_hello_drop_token(struct ingest_hello *hello);

/* What a GAP names: a symbol and type, or the producer's own ch. */
struct ingest_gap {
    bool has_ch;
    uint64_t ch;
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
    enum md_type type;
};

const char *ingest_control_read_gap(struct ingest_gap *gap_out, const char *text,
                                    size_t text_bytes);

/* Each returns the length of the text. */
size_t ingest_control_welcome(char *out, uint64_t server_epoch, const struct ingest_place *place);
size_t ingest_control_ack(char *out, uint64_t q);
size_t ingest_control_refused(char *out, uint64_t q, const char *reason); /* q 0: null */
size_t ingest_control_heartbeat(char *out);
/* detail: a constant sentence before the one of the code; NULL: none */
size_t ingest_control_error(char *out, enum ingest_code code, const char *detail);

const char *ingest_control_code_name(enum ingest_code code); /* "bad_token" */

#endif
