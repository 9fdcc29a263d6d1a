#include "feeds/ingest/ingest_producer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "feeds/ingest/ingest_greeting.h"
#include "feeds/ingest/ingest_reply.h"
#include "feeds/ingest/ingest_ticks.h"
#include "feeds/standard_input.h"

/* ---- Creation ---- */

static void ingest_producer_init(struct ingest_producer *producer, struct ingest *ingest,
                                 uint32_t index, enum ingest_kind kind)
{
    static const char *const labels[] = {
        [INGEST_UNIX] = "a producer at the Unix socket",
        [INGEST_TCP] = "a producer at the TCP port",
        [INGEST_STANDARD_INPUT] = "standard input",
    };
    producer->ingest = ingest;
    producer->index = index;
    producer->is_standard_input = kind == INGEST_STANDARD_INPUT;
    producer->stage =
        ingest->needs_token && !producer->is_standard_input ? INGEST_GREETING : INGEST_OPEN;
    producer->place = &producer->own_place;
    producer->connected_ns = ingest->steady_ns;
    producer->received_ns = ingest->steady_ns;
    producer->sent_ns = ingest->steady_ns;
    list_init(&producer->ready_link);
    list_init(&producer->flush_link);
    list_init(&producer->ack_link);
    list_init(&producer->admission_link);
    snprintf(producer->label, sizeof producer->label, "%s", labels[kind]);
}

/* A regular file is not watched: it is always readable. */
static int ingest_producer_watch(struct ingest_producer *producer)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = producer->index};
    if (epoll_ctl(producer->ingest->epoll_fd, EPOLL_CTL_ADD, producer->input.fd, &event) == 0) {
        producer->is_watched = true;
        producer->epoll_events = EPOLLIN;
        return 0;
    }
    return producer->is_standard_input && errno == EPERM ? 0 : -errno;
}

struct ingest_producer *ingest_producer_create(struct ingest *ingest, uint32_t index, int fd,
                                               enum ingest_kind kind)
{
    struct ingest_producer *producer = calloc(1, sizeof *producer);
    if (producer == NULL) {
        return NULL;
    }
    ingest_producer_init(producer, ingest, index, kind);
    if (ingest_input_init(&producer->input, fd, kind == INGEST_TCP) < 0 ||
        ingest_output_init(&producer->output, producer->is_standard_input ? -1 : fd) < 0 ||
        ingest_producer_watch(producer) < 0) {
        ingest_input_deinit(&producer->input);
        ingest_output_deinit(&producer->output);
        free(producer);
        return NULL;
    }
    if (producer->stage == INGEST_GREETING) {
        producer->input.message_bytes_max = INGEST_CONTROL_BYTES_MAX;
    }
    return producer;
}

static void ingest_producer_log_end(struct ingest_producer *producer)
{
    ingest_log(producer->ingest, FEED_INFO,
               "ingest: %s is disconnected: %s; %" PRIu64 " ticks, %" PRIu64 " refused, %" PRIu64
               " malformed, %" PRIu64 " duplicates, %" PRIu64 " holes",
               producer->label, producer->end_cause == NULL ? "" : producer->end_cause,
               producer->tick_count, producer->refused_count, producer->malformed_count,
               producer->duplicate_count, producer->hole_count);
}

void ingest_producer_destroy(struct ingest_producer *producer)
{
    ingest_producer_log_end(producer);
    list_remove(&producer->ready_link);
    list_remove(&producer->flush_link);
    list_remove(&producer->ack_link);
    list_remove(&producer->admission_link);
    ingest_greeting_drop(producer);
    if (producer->is_watched) { /* A copy of standard input may stay open elsewhere. */
        epoll_ctl(producer->ingest->epoll_fd, EPOLL_CTL_DEL, producer->input.fd, NULL);
    }
    if (producer->is_standard_input) {
        standard_input_close(producer->input.fd);
    } else {
        close(producer->input.fd);
    }
    stream_ticks_table_deinit(&producer->table);
    ingest_channel_set_deinit(&producer->channels);
    ingest_input_deinit(&producer->input);
    ingest_output_deinit(&producer->output);
    free(producer);
}

/* ---- Events ---- */

static bool ingest_producer_is_read(const struct ingest_producer *producer)
{
    return !producer->is_full && producer->stage != INGEST_ADMITTING &&
           producer->stage != INGEST_ENDED;
}

static void ingest_producer_be_ready(struct ingest_producer *producer)
{
    if (list_empty(&producer->ready_link)) {
        list_append(&producer->ingest->ready, &producer->ready_link);
    }
}

/* What is to be reported from here on. */
static void ingest_producer_set_events(struct ingest_producer *producer)
{
    uint32_t wanted =
        (ingest_producer_is_read(producer) ? EPOLLIN : 0) | (producer->is_blocked ? EPOLLOUT : 0);
    if (!producer->is_watched || wanted == producer->epoll_events) {
        return;
    }
    struct epoll_event event = {.events = wanted, .data.u32 = producer->index};
    epoll_ctl(producer->ingest->epoll_fd, EPOLL_CTL_MOD, producer->input.fd, &event);
    producer->epoll_events = wanted;
}

void ingest_producer_on_events(struct ingest_producer *producer, uint32_t events)
{
    if (producer->is_blocked && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        ingest_producer_flush(producer);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        producer->is_readable = true;
        producer->received_ns = producer->ingest->steady_ns;
        if (ingest_producer_is_read(producer)) {
            ingest_producer_be_ready(producer);
        }
    }
}

/* ---- Output ---- */

void ingest_producer_flush(struct ingest_producer *producer)
{
    struct ingest_output *output = &producer->output;
    int error = ingest_output_flush(output);
    list_remove(&producer->flush_link);
    producer->is_blocked = error == -EAGAIN;
    if (error < 0 && error != -EAGAIN) {
        output->fd = -1; /* What the producer has sent before is read to its end. */
        output->begin = output->end;
    }
    if (producer->stage == INGEST_CLOSING && !producer->is_blocked) {
        shutdown(producer->input.fd, SHUT_WR);
    }
    if (producer->is_full && ingest_output_has_room(output)) {
        producer->is_full = false;
        producer->received_ns = producer->ingest->steady_ns; /* It was not silent, but not read. */
        ingest_producer_be_ready(producer);
    }
    ingest_producer_set_events(producer);
}

/* ---- Input ---- */

static void ingest_producer_take(struct ingest_producer *producer)
{
    bool must_greet = producer->stage == INGEST_GREETING;
    if (must_greet || !ingest_ticks_take(producer)) {
        ingest_greeting_take(producer);
    }
    producer->has_message = true;
}

static void ingest_producer_read(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    bool is_closing = producer->stage == INGEST_CLOSING;
    int error =
        is_closing ? ingest_input_discard(&producer->input) : ingest_input_read(&producer->input);
    producer->is_readable = false;
    if (error == 0) {
        producer->received_ns = ingest->steady_ns;
        producer->is_silent = is_closing ? producer->is_silent : false;
    } else if (error != -EAGAIN) {
        ingest_reply_end(producer, error == -ENOMEM      ? "no memory for its message"
                                   : error == -ETIMEDOUT ? "its machine does not answer any more"
                                   : producer->input.begin == producer->input.end
                                       ? "it has closed the connection, and left answers unread"
                                       : "the connection is broken within a message");
    }
    if (is_closing && producer->input.is_at_end) {
        ingest_reply_end(producer, NULL);
    }
}

/* The output has no room for what another message may cause. */
static void ingest_producer_stop_reading(struct ingest_producer *producer)
{
    producer->is_full = true;
    producer->full_ns = producer->ingest->steady_ns;
    ingest_producer_set_events(producer);
}

/* One step. false: nothing more can be done in this poll. */
static bool ingest_producer_step(struct ingest_producer *producer, uint32_t *message_count)
{
    if (producer->stage == INGEST_CLOSING || producer->stage == INGEST_ENDED) {
        bool is_readable = producer->is_readable && producer->stage == INGEST_CLOSING;
        if (is_readable) {
            ingest_producer_read(producer);
        }
        return false;
    }
    if (!ingest_output_has_room(&producer->output)) {
        ingest_producer_stop_reading(producer);
        return false;
    }
    switch (ingest_input_next(&producer->input)) {
    case INGEST_INPUT_MESSAGE:
        (*message_count)--;
        ingest_producer_take(producer);
        return producer->stage != INGEST_ADMITTING;
    case INGEST_INPUT_WAIT:
        if (producer->is_readable) {
            ingest_producer_read(producer);
            return true;
        }
        return false;
    case INGEST_INPUT_END:
        ingest_reply_finish(producer, producer->input.begin == producer->input.end
                                          ? "it has closed the connection"
                                          : "the connection is closed within a message");
        return false;
    case INGEST_INPUT_TOO_LONG:
        ingest_reply_error(producer, INGEST_TOO_LONG, NULL);
        return true;
    }
    return false;
}

bool ingest_producer_serve(struct ingest_producer *producer, uint32_t message_count)
{
    while (message_count > 0) {
        if (!ingest_producer_step(producer, &message_count)) {
            ingest_producer_set_events(producer);
            return false;
        }
    }
    return true;
}

/* ---- Deadlines ---- */

static bool ingest_producer_is_over(const struct ingest_producer *producer, uint64_t since_ns,
                                    uint64_t seconds)
{
    return producer->ingest->steady_ns >= since_ns + seconds * NS_PER_SECOND;
}

static void ingest_producer_judge_silence(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    if (ingest_producer_is_over(producer, producer->received_ns, INGEST_GONE_S)) {
        ingest_reply_error(producer, INGEST_SILENT, NULL);
    } else if (!producer->is_silent &&
               ingest_producer_is_over(producer, producer->received_ns, INGEST_SILENT_S)) {
        ingest_ticks_silence(producer);
        ingest_log(ingest, FEED_WARNING, "ingest: %s is silent; its symbols are stale",
                   producer->label);
    }
}

void ingest_producer_sweep(struct ingest_producer *producer)
{
    if (producer->stage == INGEST_CLOSING) {
        if (ingest_producer_is_over(producer, producer->closing_ns, INGEST_CLOSING_S)) {
            ingest_reply_end(producer, NULL);
        }
        return;
    }
    if (producer->stage <= INGEST_ADMITTING &&
        ingest_producer_is_over(producer, producer->connected_ns, INGEST_HELLO_S)) {
        ingest_reply_error(producer, INGEST_HELLO_FIRST, "HELLO did not come within 5 s");
    } else if (producer->has_grant && producer->ingest->now_ns >= producer->grant.expires_ns) {
        ingest_reply_error(producer, INGEST_TOKEN_EXPIRED, NULL);
    } else if (producer->is_full &&
               ingest_producer_is_over(producer, producer->full_ns, INGEST_NOT_READING_S)) {
        ingest_reply_error(producer, INGEST_NOT_READING, NULL);
    } else if (producer->is_named && !producer->is_standard_input && !producer->is_full) {
        ingest_producer_judge_silence(producer);
        if (ingest_producer_is_over(producer, producer->sent_ns, INGEST_HEARTBEAT_S)) {
            ingest_reply_heartbeat(producer);
        }
    }
}
