#include "tools/tap/tap_loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/standard_fds.h"

#define SCRATCH_BYTES (256 * KIB)
#define EVENTS_MAX 256
#define PASS_MS 50
#define CONNECT_TIMEOUT_MS 10000
#define SETTLE_NS (5 * NS_PER_SECOND) /* For readers to reach what the foremost has. */
#define ASK_NS (NS_PER_SECOND / 2)    /* Between requests for running hashes. */

static volatile sig_atomic_t interrupted;

/* The first signal may come just before a write that waits for ever. */
static void tap_loop_on_signal(int number)
{
    (void)number;
    interrupted = 1;
    alarm(1);
}

/* Without SA_RESTART: a write to a pipe that nobody reads ends too. */
static void tap_loop_catch_signals(void)
{
    struct sigaction action = {.sa_handler = tap_loop_on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int tap_loop_init(struct tap_loop *loop, const struct tap_options *options, struct tap_sink *sink)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    struct rlimit limit;
    *loop = (struct tap_loop){.options = options, .sink = sink};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->readers = calloc(options->connections, sizeof *loop->readers);
    loop->subscribe_text = options->list
                               ? tap_list_request(&sink->list, options->subscription.symbols)
                               : ws_client_subscribe_text(&options->subscription);
    if (loop->readers == NULL || loop->epoll_fd < 0) {
        fprintf(stderr, "ringcast-tap: no memory or descriptors for %u connections\n",
                options->connections);
        return TAP_EXIT_UNREACHABLE;
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        loop->readers[i].fd = -1;
    }
    if (loop->subscribe_text == NULL ||
        strlen(loop->subscribe_text) > WS_CLIENT_MESSAGE_BYTES_MAX) {
        fprintf(stderr, "ringcast-tap: no symbols or types, too many for one message, or not "
                        "UTF-8\n");
        return TAP_EXIT_USAGE;
    }
    if (ws_client_resolve(&options->url, &loop->addresses, error) != 0) {
        fprintf(stderr, "ringcast-tap: %s\n", error);
        return TAP_EXIT_UNREACHABLE;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    tap_loop_catch_signals();
    return TAP_EXIT_DONE;
}

void tap_loop_deinit(struct tap_loop *loop)
{
    for (uint32_t i = 0; loop->readers != NULL && i < loop->options->connections; i++) {
        tap_reader_deinit(&loop->readers[i]);
    }
    free(loop->readers);
    free(loop->subscribe_text);
    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
}

int tap_loop_connect(struct tap_loop *loop, uint32_t index, const char *message)
{
    static struct ws_client_opened opened;
    enum tap_encoding encoding = loop->options->encoding;
    struct handshake_wish wish = {
        .protocol = encoding == TAP_SBE ? WS_CLIENT_SBE : WS_CLIENT_JSON,
        .is_implied = encoding != TAP_SBE,
        .deflate = encoding == TAP_DEFLATE,
        .headers = loop->options->headers.text,
    };
    struct tap_reader *reader = &loop->readers[index];
    assert_always(index < loop->options->connections);
    assert_always(reader->fd < 0);
    int error =
        ws_client_open(&opened, &loop->options->url, &loop->addresses, &wish, CONNECT_TIMEOUT_MS);
    if (error != 0) {
        fprintf(stderr, "ringcast-tap: %s\n",
                interrupted ? "ended by a signal before it was connected" : opened.error);
        loop->is_refused = error == -EPROTO;
        return error == -EPROTO || error == -EAGAIN ? TAP_EXIT_REFUSED : TAP_EXIT_UNREACHABLE;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    tap_reader_init(reader, loop->sink, index, &opened);
    tap_reader_on_bytes(reader, opened.rest, opened.rest_bytes);
    if (reader->fd < 0) {
        return TAP_EXIT_DONE; /* The reason has been printed. */
    }
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, opened.fd, &event) != 0) {
        fprintf(stderr, "ringcast-tap: no memory for the connection\n");
        return TAP_EXIT_UNREACHABLE;
    }
    if (message != NULL && tap_reader_send_text(reader, message) != 0) {
        fprintf(stderr, "ringcast-tap: the server closed the connection before SUBSCRIBE\n");
        return TAP_EXIT_REFUSED;
    }
    return TAP_EXIT_DONE;
}

int tap_loop_connect_all(struct tap_loop *loop)
{
    const struct tap_cursor *cursor = loop->sink->cursor;
    for (uint32_t i = 0; i < loop->options->connections; i++) {
        int exit_code = tap_loop_connect(loop, i, cursor == NULL ? loop->subscribe_text : NULL);
        if (exit_code != TAP_EXIT_DONE && !loop->is_refused && cursor != NULL &&
            tap_cursor_has_position(cursor)) {
            return TAP_EXIT_DONE; /* The server may come back. */
        }
        if (exit_code != TAP_EXIT_DONE) {
            return exit_code;
        }
    }
    return TAP_EXIT_DONE;
}

static bool tap_loop_has_open(const struct tap_loop *loop)
{
    for (uint32_t i = 0; i < loop->options->connections; i++) {
        if (loop->readers[i].fd >= 0) {
            return true;
        }
    }
    return false;
}

/* --resume: sends the messages of the cursor. */
static void tap_loop_send_cursor(struct tap_loop *loop)
{
    const char *text;
    struct tap_sink *sink = loop->sink;
    struct tap_reader *reader = &loop->readers[0];
    while (reader->fd >= 0 && !sink->wants_new_connection &&
           (text = tap_cursor_next_message(sink->cursor)) != NULL) {
        sink->wants_new_connection = tap_reader_send_text(reader, text) != 0;
    }
    if (sink->wants_new_connection) {
        sink->wants_new_connection = false;
        tap_reader_leave(reader);
    }
}

/* The server may have another address by now. If none is found, the old ones are tried. */
static void tap_loop_resolve(struct tap_loop *loop)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    struct ws_client_addresses addresses;
    if (ws_client_resolve(&loop->options->url, &addresses, error) == 0) {
        loop->addresses = addresses;
    }
}

/* --resume: connects again, when it is time. false: that would not help. */
static bool tap_loop_reconnect(struct tap_loop *loop, uint64_t now_ns)
{
    const struct tap_reader *reader = &loop->readers[0];
    if (loop->retry_ns == 0 || now_ns >= loop->retry_ns) {
        if (loop->retry_ns != 0) {
            tap_loop_resolve(loop);
        }
        if (loop->retry_ns != 0 && tap_loop_connect(loop, 0, NULL) != TAP_EXIT_DONE &&
            loop->is_refused) {
            return false;
        }
        if (reader->fd >= 0) {
            loop->retry_ns = 0;
            return true;
        }
        uint64_t wait_ns = tap_cursor_retry_ns(loop->sink->cursor, reader->close_code);
        if (wait_ns == UINT64_MAX) {
            return false;
        }
        fprintf(stderr, "ringcast-tap: connecting again in %.1f s\n",
                (double)wait_ns / (double)NS_PER_SECOND);
        loop->retry_ns = now_ns + wait_ns;
    }
    return true;
}

/* Whether there is a connection, or will be one again. */
static bool tap_loop_goes_on(struct tap_loop *loop, uint64_t now_ns)
{
    if (loop->sink->cursor != NULL) {
        tap_loop_send_cursor(loop);
        return tap_loop_has_open(loop) || tap_loop_reconnect(loop, now_ns);
    }
    return tap_loop_has_open(loop);
}

/* Readers that cannot prove everything they received ask for running hashes; *asked_ns: when. */
static void tap_loop_ask_hashes(struct tap_loop *loop, uint64_t now_ns, uint64_t *asked_ns)
{
    struct tap_verify *verify = loop->sink->verify;
    if (verify == NULL || now_ns - *asked_ns < ASK_NS) {
        return;
    }
    *asked_ns = now_ns;
    for (uint32_t i = 0; i < loop->options->connections; i++) {
        if (loop->readers[i].fd >= 0 && tap_verify_wants_hash(verify, i)) {
            (void)tap_reader_ask_hashes(&loop->readers[i]);
        }
    }
}

/* Waits for bytes, at most PASS_MS, and has them read. */
static void tap_loop_pass(struct tap_loop *loop)
{
    static uint8_t scratch[SCRATCH_BYTES];
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, PASS_MS);
    for (int i = 0; i < count; i++) {
        tap_reader_on_readable(&loop->readers[events[i].data.u32], scratch, SCRATCH_BYTES);
    }
    tap_events_on_pass(loop->sink, clock_ns(CLOCK_MONOTONIC));
}

static bool tap_loop_is_time_over(const struct tap_loop *loop, uint64_t start_ns, uint64_t now_ns)
{
    return loop->options->duration_ns != 0 && now_ns - start_ns >= loop->options->duration_ns;
}

static void tap_loop_settle(struct tap_loop *loop)
{
    struct tap_verify *verify = loop->sink->verify;
    uint64_t asked_ns = 0;
    loop->sink->is_settling = true;
    signal(SIGALRM, SIG_IGN); /* The last output may take its time. */
    tap_verify_set_goal(verify);
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t now_ns = start_ns;
    while (tap_loop_has_open(loop) && !tap_verify_is_at_goal(verify) &&
           now_ns - start_ns < SETTLE_NS) {
        tap_loop_ask_hashes(loop, now_ns, &asked_ns);
        tap_loop_pass(loop);
        now_ns = clock_ns(CLOCK_MONOTONIC);
    }
}

int tap_loop_run(struct tap_loop *loop)
{
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t now_ns = start_ns;
    uint64_t asked_ns = start_ns;
    while (!interrupted && !tap_events_have_enough(loop->sink) &&
           !tap_loop_is_time_over(loop, start_ns, now_ns) && tap_loop_goes_on(loop, now_ns)) {
        tap_loop_pass(loop);
        now_ns = clock_ns(CLOCK_MONOTONIC);
        tap_loop_ask_hashes(loop, now_ns, &asked_ns);
        if (ferror(stdout) || standard_fds_output_is_gone() || loop->sink->has_failed) {
            return TAP_EXIT_OUTPUT;
        }
    }
    if (loop->sink->verify != NULL) {
        tap_loop_settle(loop);
    }
    return TAP_EXIT_DONE;
}
