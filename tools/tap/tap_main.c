/*
 * ringcast-tap: shows what a ringcast sends, and proves that it is all. See docs/tap.md.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/command_line.h"
#include "codec/base/standard_fds.h"
#include "codec/base/units.h"
#include "tools/common/ws_client.h"
#include "tools/tap/tap_print.h"
#include "tools/tap/tap_reader.h"

#define SCRATCH_BYTES (256 * KIB)
#define EVENTS_MAX 256
#define TURN_MS 50
#define CONNECT_TIMEOUT_MS 10000
#define SETTLE_NS (5 * NS_PER_SECOND) /* For readers to reach what the foremost has. */
#define ASK_NS (NS_PER_SECOND / 2)    /* Between requests for running hashes. */
#define CONNECTIONS_MAX 100000
#define COUNT_MAX 1000000000000000
#define SECONDS_MAX 1e8

enum exit_code {
    EXIT_COMPLETE = 0,
    EXIT_USAGE = 1,      /* Or standard output cannot be written. */
    EXIT_CONNECTION = 2, /* Could not connect, was refused, or was closed by the server. */
    EXIT_INCOMPLETE = 3, /* --verify: see the certificate. */
};

static const char help[] =
    "Usage: ringcast-tap [options] URL\n"
    "\n"
    "Subscribes and prints every tick as a line. URL is ws://host[:port][/path] or\n"
    "unix:///path.\n"
    "\n"
    "  -s, --symbols A,B|*        what to subscribe to (*); given again, it adds to it\n"
    "  -y, --types quote,trade    data types (quote); given again, it adds to it\n"
    "  -n, --count N              end after N ticks (of the first reader)\n"
    "  -d, --duration SECONDS     end after this time\n"
    "  -j, --json                 the frames' payloads as they are, one a line\n"
    "  -V, --verify               check everything; end with a certificate\n"
    "  -c, --connections N        N readers whose frames must be the same; with --verify\n"
    "  -q, --quiet                print no ticks (set by --connections)\n"
    "      --snapshot yes|no      begin with the newest frame of each channel (yes)\n"
    "      --unix PATH            the same as the URL unix://PATH\n"
    "  -h, --help\n"
    "\n"
    "Exit code: 0 all well; 1 usage, or the output cannot be written; 2 no connection,\n"
    "all refused, or closed by the server; 3 with --verify: something is missing that no\n"
    "GAP told, differs or is malformed.\n";

static const struct option long_options[] = {
    {"symbols", required_argument, NULL, 's'},
    {"types", required_argument, NULL, 'y'},
    {"count", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"json", no_argument, NULL, 'j'},
    {"verify", no_argument, NULL, 'V'},
    {"connections", required_argument, NULL, 'c'},
    {"quiet", no_argument, NULL, 'q'},
    {"snapshot", required_argument, NULL, 'S'},
    {"unix", required_argument, NULL, 'u'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

struct tap_options {
    struct ws_client_url url;
    struct ws_client_addresses addresses;
    struct ws_client_subscription subscription;
    char symbols[WS_CLIENT_MESSAGE_BYTES_MAX]; /* as given, perhaps in parts */
    char types[WS_CLIENT_MESSAGE_BYTES_MAX];
    uint64_t count;
    uint64_t duration_ns;
    uint32_t connections;
    bool json, verify, quiet;
};

static volatile sig_atomic_t interrupted;

/* The first signal may come just before a write that waits for ever. */
static void tap_main_on_signal(int number)
{
    (void)number;
    interrupted = 1;
    alarm(1);
}

/* Without SA_RESTART: a write to a pipe that nobody reads ends too. */
static void tap_main_catch_signals(void)
{
    struct sigaction action = {.sa_handler = tap_main_on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* What is to be written now is worth waiting for. */
static void tap_main_interrupt_no_write(void)
{
    signal(SIGALRM, SIG_IGN);
}

static uint64_t tap_main_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static bool tap_main_seconds(const char *text, uint64_t *ns_out)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 1e-9) || seconds > SECONDS_MAX) {
        fprintf(stderr, "ringcast-tap: '%s' is not a number above 0 and up to %.0f\n", text,
                SECONDS_MAX);
        return false;
    }
    *ns_out = (uint64_t)(seconds * (double)NS_PER_SECOND);
    return true;
}

static bool tap_main_whole(const char *text, uint64_t max, uint64_t *number_out)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != 0 || !(number >= 1) || number > (double)max ||
        number != (double)(uint64_t)number) {
        fprintf(stderr, "ringcast-tap: '%s' is not a whole number from 1 to %" PRIu64 "\n", text,
                max);
        return false;
    }
    *number_out = (uint64_t)number;
    return true;
}

/* Adds to what was given before. Returns the whole, or NULL: it is too long. */
static const char *tap_main_add(char list[WS_CLIENT_MESSAGE_BYTES_MAX], const char *value)
{
    size_t used = strlen(list);
    size_t room = WS_CLIENT_MESSAGE_BYTES_MAX - used;
    int bytes = snprintf(list + used, room, "%s%s", used == 0 ? "" : ",", value);
    if (bytes < 0 || (size_t)bytes >= room) {
        fprintf(stderr, "ringcast-tap: too many symbols or types for one message\n");
        return NULL;
    }
    return list;
}

static bool tap_main_snapshot(struct ws_client_subscription *subscription, const char *value)
{
    subscription->snapshot = strcmp(value, "no") != 0;
    if (subscription->snapshot && strcmp(value, "yes") != 0) {
        fprintf(stderr, "ringcast-tap: --snapshot: '%s' is neither yes nor no\n", value);
        return false;
    }
    return true;
}

static bool tap_main_take(struct tap_options *options, int option, const char *value)
{
    uint64_t number;
    switch (option) {
    case 's':
        options->subscription.symbols = tap_main_add(options->symbols, value);
        return options->subscription.symbols != NULL;
    case 'y':
        options->subscription.types = tap_main_add(options->types, value);
        return options->subscription.types != NULL;
    case 'n':
        return tap_main_whole(value, COUNT_MAX, &options->count);
    case 'd':
        return tap_main_seconds(value, &options->duration_ns);
    case 'c':
        if (!tap_main_whole(value, CONNECTIONS_MAX, &number)) {
            return false;
        }
        options->connections = (uint32_t)number;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'V':
        options->verify = true;
        return true;
    case 'q':
        options->quiet = true;
        return true;
    case 'S':
        return tap_main_snapshot(&options->subscription, value);
    default:
        return false;
    }
}

/* -1: go on; else the exit code. */
static int tap_main_options(struct tap_options *options, int argc, char **argv)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    char unix_url[128] = "";
    int option;
    while ((option = getopt_long(argc, argv, "s:y:n:d:jVc:qh", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return EXIT_COMPLETE;
        }
        if (option == 'u') {
            snprintf(unix_url, sizeof unix_url, "unix://%s", optarg);
        } else if (!tap_main_take(options, option, optarg)) {
            fprintf(stderr, "Try ringcast-tap --help\n");
            return EXIT_USAGE;
        }
    }
    if (optind + (unix_url[0] == 0) != argc) {
        fprintf(stderr, "ringcast-tap: exactly one URL, please. Try ringcast-tap --help\n");
        return EXIT_USAGE;
    }
    const char *url = unix_url[0] == 0 ? argv[optind] : unix_url;
    if (ws_client_parse_url(&options->url, url, error) != 0) {
        fprintf(stderr, "ringcast-tap: %s\n", error);
        return EXIT_USAGE;
    }
    if (options->connections > 1 && !options->verify) {
        fprintf(stderr, "ringcast-tap: --connections makes sense with --verify\n");
        return EXIT_USAGE;
    }
    options->subscription.tell_losses = options->verify;
    if (ws_client_resolve(&options->url, &options->addresses, error) != 0) {
        fprintf(stderr, "ringcast-tap: %s\n", error);
        return EXIT_CONNECTION;
    }
    return -1;
}

/* Connects one reader after the other; what came with the answer is handled at once. */
static int tap_main_connect(struct tap_options *options, struct tap_sink *sink,
                            struct tap_reader *readers, int epoll_fd)
{
    static const struct handshake_wish wish = {.protocol = WS_CLIENT_JSON, .is_implied = true};
    static struct ws_client_opened opened;
    char *subscribe = ws_client_subscribe_text(&options->subscription);
    if (subscribe == NULL || strlen(subscribe) > WS_CLIENT_MESSAGE_BYTES_MAX) {
        fprintf(stderr, "ringcast-tap: no symbols or types, too many for one message, or not "
                        "UTF-8\n");
        free(subscribe);
        return EXIT_USAGE;
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        int error =
            ws_client_open(&opened, &options->url, &options->addresses, &wish, CONNECT_TIMEOUT_MS);
        if (error != 0) {
            fprintf(stderr, "ringcast-tap: %s%s\n", tap_reader_prefix(sink, i), opened.error);
            free(subscribe);
            return EXIT_CONNECTION;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        tap_reader_init(&readers[i], sink, i, opened.fd);
        tap_reader_on_bytes(&readers[i], opened.rest, opened.rest_bytes);
        if (readers[i].fd < 0) {
            continue; /* It has said why. */
        }
        error = tap_reader_subscribe(&readers[i], subscribe);
        if (error != 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, opened.fd, &event) != 0) {
            fprintf(stderr, "ringcast-tap: %scannot subscribe\n", tap_reader_prefix(sink, i));
            free(subscribe);
            return EXIT_CONNECTION;
        }
    }
    free(subscribe);
    return EXIT_COMPLETE;
}

static uint32_t tap_main_open_count(const struct tap_reader *readers, uint32_t count)
{
    uint32_t open_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        open_count += readers[i].fd >= 0;
    }
    return open_count;
}

static void tap_main_turn(struct tap_reader *readers, int epoll_fd, uint8_t *scratch)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll_fd, events, EVENTS_MAX, TURN_MS);
    for (int i = 0; i < count; i++) {
        tap_reader_on_readable(&readers[events[i].data.u32], scratch, SCRATCH_BYTES);
    }
}

/* Has those that cannot prove all they got ask for running hashes; *asked_ns: when it was done. */
static void tap_main_ask_hashes(const struct tap_sink *sink, struct tap_reader *readers,
                                uint32_t count, uint64_t *asked_ns)
{
    uint64_t now_ns = tap_main_now_ns();
    if (sink->verify == NULL || now_ns - *asked_ns < ASK_NS) {
        return;
    }
    *asked_ns = now_ns;
    for (uint32_t i = 0; i < count; i++) {
        if (readers[i].fd >= 0 && tap_verify_wants_hash(sink->verify, i)) {
            (void)tap_reader_ask_hashes(&readers[i]);
        }
    }
}

/* Whether what is printed still arrives somewhere. */
static bool tap_main_can_print(const struct tap_sink *sink)
{
    if (sink->print_ticks && !ferror(stdout)) {
        fflush(stdout);
    }
    return !ferror(stdout) && !standard_fds_output_is_gone();
}

/* Reads until it is enough, then until all readers have what the foremost has. false: nobody would
 * see the rest. */
static bool tap_main_read(const struct tap_options *options, struct tap_sink *sink,
                          struct tap_reader *readers, int epoll_fd)
{
    static uint8_t scratch[SCRATCH_BYTES];
    uint64_t start_ns = tap_main_now_ns();
    uint64_t asked_ns = start_ns;
    uint32_t open_count = options->connections;
    while (!interrupted && !tap_sink_is_full(sink) && open_count > 0 &&
           (options->duration_ns == 0 || tap_main_now_ns() - start_ns < options->duration_ns)) {
        tap_main_turn(readers, epoll_fd, scratch);
        tap_main_ask_hashes(sink, readers, options->connections, &asked_ns);
        open_count = tap_main_open_count(readers, options->connections);
        if (!tap_main_can_print(sink)) {
            return false;
        }
    }
    if (sink->verify == NULL) {
        return true;
    }
    sink->print_ticks = false;
    tap_main_interrupt_no_write();
    tap_verify_set_goal(sink->verify);
    start_ns = tap_main_now_ns();
    asked_ns = 0;
    while (open_count > 0 && !tap_verify_is_at_goal(sink->verify) &&
           tap_main_now_ns() - start_ns < SETTLE_NS) {
        tap_main_ask_hashes(sink, readers, options->connections, &asked_ns);
        tap_main_turn(readers, epoll_fd, scratch);
        open_count = tap_main_open_count(readers, options->connections);
    }
    return true;
}

/* Whether all is well; if not, says of each reader what became of it, unless it has been said. */
static bool tap_main_count(const struct tap_options *options, const struct tap_sink *sink,
                           const struct tap_reader *readers)
{
    uint32_t served = 0;
    uint32_t unanswered = 0;
    for (uint32_t i = 0; i < options->connections; i++) {
        served += readers[i].fd >= 0 && readers[i].is_subscribed;
        unanswered += readers[i].fd >= 0 && !readers[i].is_subscribed;
    }
    uint32_t closed = options->connections - served - unanswered - sink->refused_count;
    if (served == options->connections && sink->error_count == 0) {
        return true;
    }
    if (options->connections > 1) {
        fprintf(stderr,
                "ringcast-tap: of %u readers %u served, %u refused, %u closed by the server, %u "
                "without an answer; %u error%s\n",
                options->connections, served, sink->refused_count, closed, unanswered,
                sink->error_count, sink->error_count == 1 ? "" : "s");
    } else if (unanswered > 0) {
        fprintf(stderr, "ringcast-tap: the server did not answer SUBSCRIBE\n");
    }
    return false;
}

static int tap_main_conclude(const struct tap_options *options, const struct tap_sink *sink,
                             const struct tap_reader *readers)
{
    bool is_complete = true;
    if (sink->verify != NULL && sink->subscribed_count > 0) {
        json_t *certificate = tap_verify_certificate(sink->verify, &is_complete);
        if (options->json) {
            json_dumpf(certificate, stdout, JSON_COMPACT);
            printf("\n");
        } else {
            tap_print_certificate(stdout, certificate);
        }
        json_decref(certificate);
    }
    bool all_well = tap_main_count(options, sink, readers);
    if (!is_complete) {
        return EXIT_INCOMPLETE;
    }
    return all_well ? EXIT_COMPLETE : EXIT_CONNECTION;
}

int main(int argc, char **argv)
{
    static struct tap_options options = {
        .subscription = {.symbols = "*", .types = "quote", .snapshot = true},
        .connections = 1,
    };
    struct tap_sink sink = {0};
    struct rlimit limit;
    standard_fds_open("ringcast-tap");
    command_line_name(argc, argv, "ringcast-tap");
    int exit_code = tap_main_options(&options, argc, argv);
    if (exit_code >= 0) {
        return standard_fds_flush("ringcast-tap") ? exit_code : EXIT_USAGE;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    tap_main_catch_signals();
    struct tap_reader *readers = calloc(options.connections, sizeof *readers);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    sink.reader_count = options.connections;
    sink.json = options.json;
    sink.print_ticks = options.connections == 1 && !options.quiet;
    sink.frames_max = options.count;
    sink.verify = options.verify ? tap_verify_create(options.connections) : NULL;
    if (readers == NULL || epoll_fd < 0 || (options.verify && sink.verify == NULL)) {
        fprintf(stderr, "ringcast-tap: out of memory or descriptors\n");
        return EXIT_USAGE;
    }
    for (uint32_t i = 0; i < options.connections; i++) {
        readers[i].fd = -1;
    }
    exit_code = tap_main_connect(&options, &sink, readers, epoll_fd);
    if (exit_code == EXIT_COMPLETE) {
        exit_code = tap_main_read(&options, &sink, readers, epoll_fd)
                        ? tap_main_conclude(&options, &sink, readers)
                        : EXIT_USAGE;
    }
    exit_code = standard_fds_flush("ringcast-tap") ? exit_code : EXIT_USAGE;
    for (uint32_t i = 0; i < options.connections; i++) {
        tap_reader_deinit(&readers[i]);
    }
    if (sink.verify != NULL) {
        tap_verify_destroy(sink.verify);
    }
    free(readers);
    return exit_code;
}
