/*
 * feed_ingest: ticks of other programs, which connect to publish them.
 *
 * All descriptors are in one epoll descriptor, which the publisher watches. A poll sends what was
 * queued in the one before, asks epoll once, and takes messages of the producers in turns, as long
 * as there is room. What is left keeps its place in the row for the next poll.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "feeds/ingest/ingest_greeting.h"
#include "feeds/ingest/ingest_producer.h"
#include "feeds/ingest/ingest_reply.h"
#include "feeds/standard_input.h"

#define FEED_INGEST_EVENTS_MAX 64
#define FEED_INGEST_ACCEPTS_MAX 16     /* of a listener in a poll */
#define FEED_INGEST_TURN_MESSAGES 32   /* of a producer, before the next one has its turn */
#define FEED_INGEST_POLL_TURNS_MAX 256 /* messages that are no ticks use up no room */
#define FEED_INGEST_SWEEP_NS NS_PER_SECOND
#define FEED_INGEST_STEP_NS_MAX (2 * NS_PER_SECOND) /* It is polled once a second. */
#define FEED_INGEST_ADMISSION_NS NS_PER_MS
#define FEED_INGEST_LOG_LINES_MAX 10     /* a second */
#define FEED_INGEST_LISTENER 0x80000000u /* in an event: the index of a listener follows */

struct feed_ingest_keys {
    char unix_path[FEED_TEXT_BYTES_MAX];
    char tcp[FEED_TEXT_BYTES_MAX];
    bool is_open;
    bool has_input;
};

extern const struct feed_ops feed_ingest;

struct feed_ingest {
    struct ingest ingest;
    struct feed_ingest_keys keys;
};

void ingest_log(struct ingest *ingest, enum feed_level level, const char *format, ...)
{
    char text[FEED_ERROR_BYTES_MAX];
    va_list arguments;
    if (ingest->steady_ns - ingest->log_ns >= NS_PER_SECOND) {
        ingest->log_ns = ingest->steady_ns;
        ingest->log_count = 0;
        if (ingest->unlogged_count > 0) {
            feed_log(&ingest->feed, FEED_WARNING,
                     "ingest: %" PRIu64 " further lines were not logged", ingest->unlogged_count);
            ingest->unlogged_count = 0;
        }
    }
    if (ingest->log_count == FEED_INGEST_LOG_LINES_MAX) {
        ingest->unlogged_count++;
        return;
    }
    ingest->log_count++;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    feed_log(&ingest->feed, level, "%s", text);
}

/* ---- Producers ---- */

static uint32_t feed_ingest_count(const struct ingest *ingest)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        count += ingest->producers[i] != NULL && ingest->producers[i]->stage < INGEST_CLOSING;
    }
    return count;
}

/* place_count: there is none. */
static uint32_t feed_ingest_free_place(const struct ingest *ingest)
{
    uint32_t index = 0;
    while (index < ingest->place_count && ingest->producers[index] != NULL) {
        index++;
    }
    return index;
}

static uint32_t feed_ingest_place_count(void)
{
    struct rlimit limit;
    uint64_t descriptor_count = getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_max;
    uint32_t count = feed_connections_max(feed_ingest.name, descriptor_count);
    return count > 0 ? count : 1;
}

/* -ENOMEM: the descriptor is still the caller's. */
static int feed_ingest_add(struct ingest *ingest, int fd, enum ingest_kind kind)
{
    uint32_t index = feed_ingest_free_place(ingest);
    assert_always(index < ingest->place_count);
    struct ingest_producer *producer = ingest_producer_create(ingest, index, fd, kind);
    if (producer == NULL) {
        return -ENOMEM;
    }
    ingest->producers[index] = producer;
    if (kind == INGEST_STANDARD_INPUT) {
        ingest->standard_input = producer;
    }
    ingest->feed.counters.producers = feed_ingest_count(ingest);
    if (ingest->feed.counters.producers > ingest->place_count - ingest->place_count / 17) {
        ingest_reply_error(producer, INGEST_TOO_MANY_PRODUCERS, NULL);
    }
    return 0;
}

static void feed_ingest_watch_listener(struct ingest *ingest, uint32_t index, bool is_watched)
{
    struct ingest_listen_socket *listener = &ingest->listen.sockets[index];
    struct epoll_event event = {
        .events = is_watched ? EPOLLIN : 0,
        .data.u32 = FEED_INGEST_LISTENER | index,
    };
    listener->is_paused = !is_watched;
    epoll_ctl(ingest->epoll_fd, EPOLL_CTL_MOD, listener->fd, &event);
}

static void feed_ingest_accept(struct ingest *ingest, uint32_t index)
{
    struct ingest_listen_socket *listener = &ingest->listen.sockets[index];
    for (uint32_t i = 0; i < FEED_INGEST_ACCEPTS_MAX; i++) {
        if (feed_ingest_free_place(ingest) == ingest->place_count) {
            feed_ingest_watch_listener(ingest, index, false); /* until the next sweep */
            return;
        }
        int fd = ingest_listen_accept(listener);
        if (fd >= 0 &&
            feed_ingest_add(ingest, fd, listener->is_tcp ? INGEST_TCP : INGEST_UNIX) < 0) {
            close(fd);
            ingest_log(ingest, FEED_WARNING, "ingest: no memory for another producer");
        } else if (fd < 0) {
            if (fd != -EAGAIN) { /* It would be reported again at once; the sweep tries again. */
                feed_ingest_watch_listener(ingest, index, false);
                ingest_log(ingest, FEED_WARNING, "ingest: a producer cannot be accepted: %s%s",
                           strerror(-fd),
                           fd == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
            }
            return;
        }
    }
}

/* Removes the producers that have ended. */
static void feed_ingest_bury(struct ingest *ingest)
{
    ingest->has_ended = false;
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        struct ingest_producer *producer = ingest->producers[i];
        if (producer != NULL && producer->stage == INGEST_ENDED) {
            ingest->producers[i] = NULL;
            ingest->standard_input =
                ingest->standard_input == producer ? NULL : ingest->standard_input;
            ingest_producer_destroy(producer);
        }
    }
    ingest->feed.counters.producers = feed_ingest_count(ingest);
}

/* ---- A poll ---- */

static void feed_ingest_begin(struct ingest *ingest, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns > ingest->now_ns ? now_ns - ingest->now_ns : 0;
    ingest->steady_ns += passed_ns < FEED_INGEST_STEP_NS_MAX ? passed_ns : FEED_INGEST_STEP_NS_MAX;
    ingest->now_ns = now_ns;
}

/* Only what was queued in earlier polls. */
static void feed_ingest_flush(struct ingest *ingest)
{
    while (!list_empty(&ingest->flushes)) {
        ingest_producer_flush(
            container_of(ingest->flushes.next, struct ingest_producer, flush_link));
    }
}

static void feed_ingest_take_events(struct ingest *ingest)
{
    struct epoll_event events[FEED_INGEST_EVENTS_MAX];
    struct ingest_producer *input = ingest->standard_input;
    int count = epoll_wait(ingest->epoll_fd, events, FEED_INGEST_EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        uint32_t index = events[i].data.u32;
        if ((index & FEED_INGEST_LISTENER) != 0) {
            feed_ingest_accept(ingest, index & ~FEED_INGEST_LISTENER);
        } else {
            assert_always(index < INGEST_PLACES_MAX);
            assert_always(ingest->producers[index] != NULL);
            ingest_producer_on_events(ingest->producers[index], events[i].events);
        }
    }
    if (input != NULL && !input->is_watched) {
        ingest_producer_on_events(input, EPOLLIN);
    }
}

/* In turns, until the room or the work is used up. */
static void feed_ingest_serve(struct ingest *ingest)
{
    const struct feed_sink *sink = ingest->feed.sink;
    for (uint32_t turn = 0; turn < FEED_INGEST_POLL_TURNS_MAX; turn++) {
        uint32_t room = sink->room(sink->context);
        if (room == 0 || list_empty(&ingest->ready)) {
            return;
        }
        struct ingest_producer *producer =
            container_of(ingest->ready.next, struct ingest_producer, ready_link);
        list_remove(&producer->ready_link);
        uint32_t count = room < FEED_INGEST_TURN_MESSAGES ? room : FEED_INGEST_TURN_MESSAGES;
        if (ingest_producer_serve(producer, count) && list_empty(&producer->ready_link)) {
            list_append(&ingest->ready, &producer->ready_link);
        }
    }
}

static void feed_ingest_admit(struct ingest *ingest)
{
    struct list_link *next;
    for (struct list_link *at = ingest->admissions.next; at != &ingest->admissions; at = next) {
        next = at->next;
        ingest_greeting_go_on(container_of(at, struct ingest_producer, admission_link));
    }
}

static void feed_ingest_ack(struct ingest *ingest)
{
    while (!list_empty(&ingest->acks)) {
        struct ingest_producer *producer =
            container_of(ingest->acks.next, struct ingest_producer, ack_link);
        if (producer->ack_ns > ingest->steady_ns) {
            return; /* The others were queued later. */
        }
        ingest_reply_ack(producer);
    }
}

static void feed_ingest_judge(struct ingest *ingest)
{
    uint32_t count = 0;
    uint32_t silent_count = 0;
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        const struct ingest_producer *producer = ingest->producers[i];
        if (producer != NULL && producer->stage < INGEST_CLOSING) {
            count++;
            silent_count += producer->is_silent;
        }
    }
    if (count == 0) {
        feed_set_state(&ingest->feed, FEED_CONNECTING, ingest->now_ns, "no producer is connected");
    } else if (silent_count == count) {
        feed_set_state(&ingest->feed, FEED_STALE, ingest->now_ns, "all producers are silent");
    } else {
        feed_set_state(&ingest->feed, FEED_LIVE, ingest->now_ns, "%s", "");
    }
}

/* Once a second. */
static void feed_ingest_sweep(struct ingest *ingest)
{
    ingest->sweep_ns = ingest->steady_ns + FEED_INGEST_SWEEP_NS;
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        if (ingest->producers[i] != NULL) {
            ingest_producer_sweep(ingest->producers[i]);
        }
    }
    for (uint32_t i = 0; i < ingest->listen.socket_count; i++) {
        if (ingest->listen.sockets[i].is_paused) {
            feed_ingest_watch_listener(ingest, i, true);
        }
    }
    feed_ingest_judge(ingest);
}

/* The steady time of the next poll; now: at once. */
static uint64_t feed_ingest_due(const struct ingest *ingest)
{
    uint64_t due_ns = ingest->sweep_ns;
    if (!list_empty(&ingest->ready) || !list_empty(&ingest->flushes) ||
        (ingest->standard_input != NULL && !ingest->standard_input->is_watched)) {
        return ingest->steady_ns;
    }
    if (!list_empty(&ingest->acks)) {
        uint64_t ack_ns = container_of(ingest->acks.next, struct ingest_producer, ack_link)->ack_ns;
        due_ns = ack_ns < due_ns ? ack_ns : due_ns;
    }
    if (!list_empty(&ingest->admissions)) {
        due_ns = ingest->steady_ns + FEED_INGEST_ADMISSION_NS;
    }
    return due_ns;
}

/* Whether producers need a token. Other machines do even after the server has stopped to ask for
 * tokens: at the start such a port is refused (ingest_listen.c). */
static bool feed_ingest_needs_token(const struct feed_ingest *feed)
{
    const struct feed_admission *admission = feed->ingest.feed.sink->admission;
    return !feed->keys.is_open && admission != NULL &&
           (admission->needs_token || feed->ingest.listen.is_exposed);
}

/* Other tokens are valid, or permit something else. */
static void feed_ingest_judge_tokens(struct feed_ingest *feed)
{
    struct ingest *ingest = &feed->ingest;
    ingest->revision = ingest->feed.sink->admission->revision;
    ingest->needs_token = feed_ingest_needs_token(feed);
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        if (ingest->producers[i] != NULL) {
            ingest_greeting_judge(ingest->producers[i]);
        }
    }
}

static uint64_t feed_ingest_poll(struct feed *feed, uint64_t now_ns)
{
    struct ingest *ingest = container_of(feed, struct ingest, feed);
    const struct feed_admission *admission = feed->sink->admission;
    feed_ingest_begin(ingest, now_ns);
    feed_ingest_flush(ingest);
    if (admission != NULL && admission->revision != ingest->revision) {
        feed_ingest_judge_tokens(container_of(ingest, struct feed_ingest, ingest));
    }
    feed_ingest_take_events(ingest);
    feed_ingest_admit(ingest);
    feed_ingest_serve(ingest);
    feed_ingest_ack(ingest);
    if (ingest->steady_ns >= ingest->sweep_ns) {
        feed_ingest_sweep(ingest);
    } else if (feed->state != FEED_LIVE && feed->counters.producers > 0) {
        feed_ingest_judge(ingest);
    }
    if (ingest->has_ended) {
        feed_ingest_bury(ingest);
    }
    if (ingest->listen.socket_count == 0 && ingest->standard_input == NULL) {
        feed->sink->watch(feed->sink->context, -1);
        feed_set_state(feed, FEED_DOWN, now_ns, "standard input has ended");
        return FEED_NEVER;
    }
    uint64_t due_ns = feed_ingest_due(ingest);
    return due_ns > ingest->steady_ns ? now_ns + (due_ns - ingest->steady_ns) : now_ns;
}

/* ---- Opening and closing ---- */

static int feed_ingest_parse(struct feed_ingest_keys *keys, const char *spec,
                             char error_out[FEED_ERROR_BYTES_MAX])
{
    const struct feed_key rows[] = {
        {"unix", FEED_KEY_TEXT, keys->unix_path, 0, 0},
        {"tcp", FEED_KEY_TEXT, keys->tcp, 0, 0},
        {"stdin", FEED_KEY_BOOL, &keys->has_input, 0, 0},
        {"open", FEED_KEY_BOOL, &keys->is_open, 0, 0},
    };
    int error = feed_parse_keys("ingest", spec, rows, sizeof rows / sizeof rows[0], error_out);
    if (error == 0 && keys->unix_path[0] == '\0' && keys->tcp[0] == '\0' && !keys->has_input) {
        error = feed_fail(error_out, -EINVAL,
                          "ingest: where do producers connect? Give unix=PATH, tcp=HOST:PORT or "
                          "stdin");
    }
    return error;
}

static int feed_ingest_open_input(struct ingest *ingest, char error_out[FEED_ERROR_BYTES_MAX])
{
    int fd = standard_input_open();
    if (fd < 0) {
        return feed_fail(error_out, fd, "ingest: cannot read standard input: %s",
                         fd == -EBUSY ? "another feed reads it already" : strerror(-fd));
    }
    int error = feed_ingest_add(ingest, fd, INGEST_STANDARD_INPUT);
    if (error < 0) {
        standard_input_close(fd);
        return feed_fail(error_out, error, "ingest: cannot read standard input: %s",
                         strerror(-error));
    }
    return 0;
}

/* Port 0 is any free one, and a name may have several addresses. */
static void feed_ingest_log_listeners(const struct feed_ingest *feed)
{
    char text[FEED_ERROR_BYTES_MAX];
    const struct listener_tcp *tcp = &feed->ingest.listen.tcp_listener;
    int bytes = snprintf(text, sizeof text, "%.300s", feed->keys.unix_path);
    for (uint32_t i = 0; i < tcp->address_count && (size_t)bytes < sizeof text; i++) {
        bytes += snprintf(text + bytes, sizeof text - (size_t)bytes, "%s%s", bytes == 0 ? "" : ", ",
                          tcp->names[i]);
    }
    feed_log(&feed->ingest.feed, FEED_INFO, "ingest: producers connect to %s", text);
}

static int feed_ingest_open_listeners(struct feed_ingest *feed,
                                      char error_out[FEED_ERROR_BYTES_MAX])
{
    struct ingest *ingest = &feed->ingest;
    const struct ingest_listen_options options = {
        .unix_path = feed->keys.unix_path,
        .tcp = feed->keys.tcp,
        .may_be_open = feed->keys.is_open || ingest->needs_token,
        .reuse_port = ingest->feed.sink->reuse_port,
    };
    int error = ingest_listen_open(&ingest->listen, &options, error_out);
    for (uint32_t i = 0; error == 0 && i < ingest->listen.socket_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = FEED_INGEST_LISTENER | i};
        if (epoll_ctl(ingest->epoll_fd, EPOLL_CTL_ADD, ingest->listen.sockets[i].fd, &event) < 0) {
            error = feed_fail(error_out, -errno, "ingest: epoll: %s", strerror(errno));
        }
    }
    if (error == 0 && ingest->listen.socket_count > 0) {
        feed_ingest_log_listeners(feed);
    }
    return error;
}

static int feed_ingest_prepare(struct feed_ingest *feed, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct ingest *ingest = &feed->ingest;
    ingest->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int error = ingest->epoll_fd < 0 ? -errno : frame_ticks_create(&ingest->frames);
    error = error < 0 ? error : stream_ticks_create(&ingest->stream);
    error = error < 0 ? error : ingest_names_create(&ingest->names);
    if (error < 0) {
        return feed_fail(error_out, error, "ingest: %s", strerror(-error));
    }
    error = feed_ingest_open_listeners(feed, error_out);
    return error == 0 && feed->keys.has_input ? feed_ingest_open_input(ingest, error_out) : error;
}

/* Sends what there is to say once; nobody waits for a producer. */
static void feed_ingest_stop(struct ingest_producer *producer)
{
    char rest[4096];
    ingest_reply_error(producer, INGEST_STOPPING, NULL);
    ingest_producer_flush(producer);
    /* Bytes that are left unread would make the kernel reset the connection, and the producer
     * might not read the ERROR. */
    for (int i = 0; producer->stage == INGEST_CLOSING && i < 256; i++) {
        if (recv(producer->input.fd, rest, sizeof rest, MSG_DONTWAIT) <= 0) {
            break;
        }
    }
}

static void feed_ingest_close(struct feed *feed)
{
    struct ingest *ingest = container_of(feed, struct ingest, feed);
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        if (ingest->producers[i] != NULL) {
            feed_ingest_stop(ingest->producers[i]);
            ingest_producer_destroy(ingest->producers[i]);
        }
    }
    ingest_listen_close(&ingest->listen);
    if (ingest->epoll_fd >= 0) {
        close(ingest->epoll_fd);
    }
    frame_ticks_destroy(ingest->frames);
    stream_ticks_destroy(ingest->stream);
    ingest_names_destroy(ingest->names);
    ingest_channels_deinit(&ingest->channels);
    free(container_of(ingest, struct feed_ingest, ingest));
}

static int feed_ingest_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                            uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct feed_ingest *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        return feed_fail(error_out, -ENOMEM, "ingest: no memory");
    }
    struct ingest *ingest = &feed->ingest;
    ingest->feed.sink = sink;
    ingest->feed.elastic = true;
    ingest->feed.ops = &feed_ingest;
    ingest->epoll_fd = -1;
    ingest->channels.sink = sink;
    ingest->place_count = feed_ingest_place_count();
    list_init(&ingest->ready);
    list_init(&ingest->flushes);
    list_init(&ingest->acks);
    list_init(&ingest->admissions);
    ingest->now_ns = now_ns;
    int error = feed_ingest_parse(&feed->keys, spec, error_out);
    ingest->needs_token = feed_ingest_needs_token(feed); /* Nothing is exposed yet. */
    ingest->revision = sink->admission == NULL ? 0 : sink->admission->revision;
    error = error < 0 ? error : feed_ingest_prepare(feed, error_out);
    if (error < 0) {
        feed_ingest_close(&ingest->feed);
        return error;
    }
    sink->watch(sink->context, ingest->epoll_fd);
    *feed_out = &ingest->feed;
    return 0;
}

const struct feed_ops feed_ingest = {
    .name = "ingest",
    .connections_max = INGEST_PLACES_MAX,
    .help = "unix=PATH      producers connect to this Unix socket\n"
            "tcp=HOST:PORT  producers connect to this TCP port; with unix= to either\n"
            "stdin          one producer: standard input\n"
            "open=no        yes lets producers publish without a token\n",
    .open = feed_ingest_open,
    .poll = feed_ingest_poll,
    .close = feed_ingest_close,
};
