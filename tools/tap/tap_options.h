/*
 * tap_options: the command line of ringcast-tap, its help and its exit codes.
 *
 * Owner    main.
 * Threads  One. Memory: strings that are not in the struct are those of argv.
 * Errors   tap_options_parse prints the error and returns an exit code.
 */
#ifndef RINGCAST_TOOLS_TAP_OPTIONS_H
#define RINGCAST_TOOLS_TAP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/common/ws_client.h"
#include "tools/common/ws_headers.h"

enum tap_exit {
    TAP_EXIT_DONE = 0,
    TAP_EXIT_USAGE = 1,
    TAP_EXIT_REFUSED = 2,     /* The server refused, or closed the connection. */
    TAP_EXIT_INCOMPLETE = 3,  /* --verify: see the certificate. */
    TAP_EXIT_UNREACHABLE = 4, /* No connection, or no memory or descriptor for one. */
    TAP_EXIT_OUTPUT = 5,      /* Standard output or a file cannot be written. */
    TAP_EXIT_NO_TICKS = 6,    /* Fewer than --count, or none at all. */
};

enum tap_encoding {
    TAP_JSON,
    TAP_SBE,
    TAP_DEFLATE,
};

struct tap_options {
    struct ws_client_url url;
    struct tls_client_options tls;
    struct ws_client_subscription subscription;
    struct ws_headers headers;
    enum tap_encoding encoding;
    uint64_t count;       /* 0: no limit */
    uint64_t duration_ns; /* 0: no limit */
    uint32_t connections;
    bool list; /* the symbols, in place of ticks */
    bool json;
    bool verify;
    bool stats;
    bool channels;                             /* in the certificate */
    bool prints_ticks;                         /* of the first reader */
    const char *record_path;                   /* NULL: not wanted */
    const char *resume_path;                   /* NULL: not wanted */
    char symbols[WS_CLIENT_MESSAGE_BYTES_MAX]; /* as given, perhaps in parts */
    char types[WS_CLIENT_MESSAGE_BYTES_MAX];
};

/* -1: go on with *options_out; otherwise the exit code. */
int tap_options_parse(struct tap_options *options_out, int argc, char **argv);

#endif
