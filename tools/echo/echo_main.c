/*
 * ringcast-echo: sends back what it receives, for conformance suites. See docs/echo.md.
 *
 * It is a core of the broadcaster (ring/core/core.h) that has nothing to broadcast. Requests,
 * framing, control frames, closes and the pause for clients that do not read are ringcast's own
 * code, which the suite is to judge. Three things differ, and each is an option of a core or an op:
 * longer messages and more time for them, the deadlines of idle clients, and a compression context
 * for each connection, since the echo agrees to every window and context that a client may ask for.
 *
 * Memory   Bounded for each connection: one incoming message, and the answers to the messages
 *          before reading paused. Bounded for all connections by ECHO_OUT_BYTES (then 4108). The
 *          memory is mapped at the start, and taken from the system when it is first used.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/command_line.h"
#include "codec/base/standard_fds.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "ring/core/core.h"
#include "ring/io/listener.h"
#include "src/tls/tls_threads.h"

#define ECHO_MESSAGE_BYTES_MAX (16 * MIB)
#define ECHO_CONNS_MAX 64
#define ECHO_OUT_BYTES (1024 * MIB)
#define ECHO_PATIENCE_NS (3600 * NS_PER_SECOND) /* with idle clients, and between pings */
#define ECHO_HALF_MESSAGE_NS (120 * NS_PER_SECOND)
#define ECHO_SEND_BUFFER_BYTES (1 * MIB)
#define ECHO_USER_TIMEOUT_MS 30000
#define ECHO_ERROR_BYTES_MAX 512

enum exit_code {
    EXIT_WELL = 0,
    EXIT_NOT_STARTED = 1,
    EXIT_USAGE = 2,
};

/* A client's compression; without, both are NULL. */
struct echo_conn {
    struct ws_deflate *deflate;
    struct ws_inflate *inflate;
};

struct echo {
    struct core *core;
    struct tls_threads *tls;       /* NULL: no TLS */
    struct core_encoding encoding; /* its log stays empty */
    struct core_counters counters;
    _Atomic uint32_t conn_count;
    _Atomic uint32_t place_count;
    struct echo_conn conns[ECHO_CONNS_MAX + CORE_SPARE_CONNS];
    uint8_t deflated[WS_DEFLATE_BYTES_MAX(ECHO_MESSAGE_BYTES_MAX)];
};

static struct echo echo;

static const char help[] =
    "Usage: ringcast-echo [options]\n"
    "\n"
    "A WebSocket server for conformance suites. It sends back every text and binary message,\n"
    "of up to 16 MiB, with the code that serves ringcast's clients. It accepts\n"
    "permessage-deflate as the client offers it.\n"
    "\n"
    "  -p, --port PORT   Listen on this port; 0 takes a free one and prints it. Default: 9001.\n"
    "      --host HOST   Listen on this address. Default: 127.0.0.1.\n"
    "      --tls-certificate CHAIN[,KEY]\n"
    "                    Speak TLS, with this certificate and its key (PEM).\n"
    "  -v, --version     Print the version.\n"
    "  -h, --help        Print this text.\n"
    "\n"
    "SIGINT and SIGTERM end it. Exit codes: 0 ended by a signal, 1 could not start, 2 usage.\n";

static const struct option long_options[] = {
    {"port", required_argument, NULL, 'p'},
    {"host", required_argument, NULL, 'H'},
    {"tls-certificate", required_argument, NULL, 't'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* ---- Calls of the core ---- */

static void echo_forget(uint32_t conn)
{
    ws_deflate_destroy(echo.conns[conn].deflate);
    ws_inflate_destroy(echo.conns[conn].inflate);
    echo.conns[conn] = (struct echo_conn){.deflate = NULL};
}

static struct ws_deflate_terms echo_on_offers(void *context, struct core *core, uint32_t conn,
                                              const struct ws_deflate_offers *offers)
{
    static const struct ws_deflate_policy policy = {
        .server_window_bits_min = WS_DEFLATE_WINDOW_BITS_MIN,
    };
    struct ws_deflate_terms terms = ws_extensions_negotiate(offers, &policy);
    (void)context, (void)core;
    echo_forget(conn); /* Of a client that left before it was open. */
    if (!terms.is_on) {
        return terms;
    }
    struct ws_deflate_options options = {
        .level = WS_DEFLATE_LEVEL,
        .window_bits =
            terms.server_window_bits != 0 ? terms.server_window_bits : WS_DEFLATE_WINDOW_BITS_MAX,
        .keeps_context = !terms.server_no_takeover,
    };
    if (ws_deflate_create(&echo.conns[conn].deflate, &options) < 0 ||
        ws_inflate_create(&echo.conns[conn].inflate, !terms.client_no_takeover) < 0) {
        echo_forget(conn);
        terms.is_on = false;
    }
    return terms;
}

static struct ws_inflate *echo_inflate_of(void *context, struct core *core, uint32_t conn)
{
    (void)context, (void)core;
    return echo.conns[conn].inflate;
}

static void echo_on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static void echo_on_message(void *context, struct core *core, uint32_t conn, enum ws_opcode opcode,
                            uint8_t *payload, size_t payload_bytes, uint64_t now_ns)
{
    struct ws_deflate *deflate = echo.conns[conn].deflate;
    uint8_t header[WS_HEADER_BYTES_MAX];
    (void)context, (void)now_ns;
    if (deflate != NULL) {
        payload_bytes = ws_deflate_message(deflate, echo.deflated, sizeof echo.deflated, payload,
                                           payload_bytes);
        assert_always(payload_bytes > 0);
        payload = echo.deflated;
    }
    size_t header_bytes = ws_frame_header(header, opcode, payload_bytes);
    header[0] |= deflate != NULL ? WS_COMPRESSED_BIT : 0;
    core_send_raw(core, conn, header, header_bytes);
    core_send_raw(core, conn, payload, payload_bytes);
}

static void echo_on_close(void *context, struct core *core, uint32_t conn,
                          const struct core_conn_end *end)
{
    (void)context, (void)core, (void)end;
    echo_forget(conn);
}

static void echo_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static uint32_t echo_channel_count(void *context)
{
    (void)context;
    return 0;
}

static void echo_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core;
    if (level >= 1) {
        fprintf(stderr, "ringcast-echo: %s\n", text);
    }
}

static const struct core_ops echo_ops = {
    .on_offers = echo_on_offers,
    .inflate_of = echo_inflate_of,
    .on_open = echo_on_open,
    .on_message = echo_on_message,
    .on_close = echo_on_close,
    .on_quiet = echo_on_quiet,
    .channel_count = echo_channel_count,
    .log = echo_log,
};

/* ---- Set-up ---- */

static void echo_on_signal(int number)
{
    (void)number;
    core_stop(echo.core);
}

static bool echo_open_log(void)
{
    struct frame_log_options options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4 * KIB,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    atomic_store(&echo.encoding.run, 1); /* Written, if never to. */
    return frame_log_create(&echo.encoding.log, &options) == 0;
}

static int echo_create_core(const struct listener_tcp *listener, char *error_out,
                            size_t error_bytes)
{
    struct core_options options = {
        .cpu = -1,
        .conn_count_max = ECHO_CONNS_MAX,
        .conn_count = &echo.conn_count,
        .place_count = &echo.place_count,
        .heartbeat_interval_ns = ECHO_PATIENCE_NS,
        .idle_timeout_ns = ECHO_PATIENCE_NS,
        .message_bytes_max = ECHO_MESSAGE_BYTES_MAX,
        .half_message_ns = ECHO_HALF_MESSAGE_NS,
        .out_pool_bytes = ECHO_OUT_BYTES,
        .encodings = &echo.encoding,
        .encoding_count = 1,
        .counters = &echo.counters,
        .ops = &echo_ops,
        .tls = echo.tls == NULL ? NULL : tls_threads_service(echo.tls),
    };
    for (uint32_t i = 0; i < listener->address_count; i++) {
        options.listeners[options.listener_count++] = (struct core_listener){
            .fd = listener->fds[i][0],
            .is_tls = echo.tls != NULL,
        };
    }
    return core_create(&echo.core, &options, error_out, error_bytes);
}

/* files: "CHAIN" or "CHAIN,KEY", which is cut. */
static int echo_open_tls(char *files, char *error_out, size_t error_bytes)
{
    struct tls_options options = {.certificate_count = 1};
    struct tls_context *context;
    options.certificates[0].chain = strsep(&files, ",");
    options.certificates[0].key = files;
    assert_always(error_bytes >= TLS_CONTEXT_ERROR_BYTES_MAX);
    int error = tls_context_load(&context, &options, NULL, error_out);
    if (error < 0) {
        return error;
    }
    error = tls_threads_open(&echo.tls, context, 1, &echo.core, 1, error_out, error_bytes);
    tls_context_release(context);
    return error;
}

/* Serves until a signal. */
static int echo_serve(const struct listener_options *where, char *tls_files)
{
    char error[ECHO_ERROR_BYTES_MAX] = "not enough memory";
    struct listener_tcp listener;
    if (tls_files != NULL && echo_open_tls(tls_files, error, sizeof error) < 0) {
        fprintf(stderr, "ringcast-echo: --tls-certificate: %s\n", error);
        return EXIT_NOT_STARTED;
    }
    if (!echo_open_log() || listener_open_tcp(&listener, where, 1, error, sizeof error) < 0) {
        fprintf(stderr, "ringcast-echo: %s\n", error);
        return EXIT_NOT_STARTED;
    }
    if (echo_create_core(&listener, error, sizeof error) < 0) {
        fprintf(stderr, "ringcast-echo: %s\n", error);
        return EXIT_NOT_STARTED;
    }
    struct sigaction action = {.sa_handler = echo_on_signal}; /* It ends a write to stderr too. */
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (listener.skipped[0] != '\0') {
        fprintf(stderr, "ringcast-echo: --host %s: this machine lacks some of its addresses: %s\n",
                where->host, listener.skipped);
    }
    for (uint32_t i = 0; i < listener.address_count; i++) {
        fprintf(stderr, "ringcast-echo: listening on %s://%s/\n", echo.tls == NULL ? "ws" : "wss",
                listener.names[i]);
    }
    int status = core_run(echo.core) < 0 ? EXIT_NOT_STARTED : EXIT_WELL;
    core_destroy(echo.core);
    if (echo.tls != NULL) {
        tls_threads_close(echo.tls);
    }
    for (uint32_t conn = 0; conn < ECHO_CONNS_MAX + CORE_SPARE_CONNS; conn++) {
        echo_forget(conn);
    }
    frame_log_destroy(echo.encoding.log);
    listener_close_tcp(&listener);
    return status;
}

static bool echo_parse_port(const char *text, uint16_t *port_out)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    *port_out = (uint16_t)port;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port <= UINT16_MAX;
}

int main(int argc, char **argv)
{
    struct listener_options where = {
        .host = "127.0.0.1",
        .port = 9001,
        .send_buffer_bytes = ECHO_SEND_BUFFER_BYTES,
        .user_timeout_ms = ECHO_USER_TIMEOUT_MS,
    };
    char *tls_files = NULL;
    int option;
    standard_fds_open("ringcast-echo");
    command_line_name(argc, argv, "ringcast-echo");
    while ((option = getopt_long(argc, argv, "p:vh", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return standard_fds_flush("ringcast-echo") ? EXIT_WELL : EXIT_NOT_STARTED;
        }
        if (option == 'v') {
            printf("ringcast-echo %s\n", RINGCAST_VERSION);
            return standard_fds_flush("ringcast-echo") ? EXIT_WELL : EXIT_NOT_STARTED;
        }
        if (option == 'H') {
            where.host = optarg;
        } else if (option == 't') {
            tls_files = optarg;
        } else if (option != 'p') {
            fprintf(stderr, "Try ringcast-echo --help\n");
            return EXIT_USAGE;
        } else if (!echo_parse_port(optarg, &where.port)) {
            fprintf(stderr, "ringcast-echo: --port: \"%.100s\" is not valid; give 0 to 65535\n",
                    optarg);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "ringcast-echo: \"%.100s\" is not an option. Try ringcast-echo --help\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return echo_serve(&where, tls_files);
}
