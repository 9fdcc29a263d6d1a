/*
 * ringcast_publish_link: the connection of a publisher: what to send, what was received, when to
 * connect again.
 *
 * Owner    ringcast_publish.c. Threads: that of the publisher.
 * Memory   The struct holds everything except the buffer and the table of channels.
 * Units    Times are CLOCK_MONOTONIC in nanoseconds.
 * Errors   0 or a negative errno. What ends a connection is in error; the publisher goes on.
 */
#ifndef RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_LINK_H
#define RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_LINK_H

#include "libringcast/ringcast_publish.h"
#include "libringcast/ringcast_publish_address.h"
#include "libringcast/ringcast_publish_control.h"
#include "libringcast/ringcast_publish_reply.h"
#include "libringcast/ringcast_publish_ring.h"

#define RINGCAST_PUBLISH_INPUT_BYTES 16384 /* A message of the server is shorter. */

#pragma GCC visibility push(hidden)

struct ringcast_publish {
    /* Set at open. */
    struct ringcast_publish_addresses addresses;
    uint8_t *hello;
    size_t hello_bytes;
    void (*on_refused)(void *context, uint64_t q, const char *reason);
    void *context;
    int epoll_fd; /* has the two others */
    int timer_fd; /* of deadline_ns */

    /* By the publish functions. */
    struct ringcast_publish_ring ring;
    struct ringcast_publish_channel *channels;
    uint32_t channel_count;
    uint32_t channel_capacity;
    uint64_t next_q;
    uint64_t published;
    uint64_t full;

    /* The connection. */
    enum ringcast_publish_state state;
    int socket_fd; /* -1: none */
    bool waits_to_send;
    uint32_t address_index;
    uint32_t failures;      /* since the state was last LIVE, of all addresses */
    uint32_t defined_count; /* channels, on this connection */
    uint64_t deadline_ns;
    uint64_t sent_ns;
    uint64_t received_ns;
    uint64_t heartbeat_ns;
    uint64_t silent_ns;
    uint64_t random;
    size_t control_at; /* sent already */
    size_t control_bytes;
    size_t input_bytes;

    uint64_t acked_q;
    uint64_t refused;
    uint64_t connects;
    char error[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    char server_epoch[RINGCAST_PUBLISH_EPOCH_BYTES_MAX + 1];

    uint8_t control[RINGCAST_PUBLISH_CONTROL_BYTES_MAX]; /* goes out before the ticks */
    uint8_t input[RINGCAST_PUBLISH_INPUT_BYTES];
};

/* Begins with the first attempt. epoll_fd and timer_fd are open. */
void ringcast_publish_link_open(struct ringcast_publish *publish);
void ringcast_publish_link_close(struct ringcast_publish *publish);

/* 0: all is sent. -EAGAIN: not all; -ECONNABORTED: FAILED. */
int ringcast_publish_link_send(struct ringcast_publish *publish);

void ringcast_publish_link_poll(struct ringcast_publish *publish, int timeout_ms);

/* The wait before the attempt after this many failed ones: 0.5 s, doubling up to 30 s, of which
 * random takes off up to a half. */
uint64_t ringcast_publish_link_backoff_ns(uint32_t failures, uint64_t random);

#pragma GCC visibility pop

#endif
