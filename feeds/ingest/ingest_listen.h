/*
 * ingest_listen: the sockets at which producers connect.
 *
 * Owner    feed_ingest opens and closes it. Threads: one at a time.
 * Memory   Plain values.
 * Errors   open: 0 or a negative errno, with a message that says what to do.
 */
#ifndef RINGCAST_FEEDS_INGEST_LISTEN_H
#define RINGCAST_FEEDS_INGEST_LISTEN_H

#include "feeds/feed.h"
#include "ring/io/listener.h"
#include "ring/io/listener_unix.h"

#define INGEST_LISTEN_SOCKETS_MAX (LISTENER_ADDRESSES_MAX + 1)

struct ingest_listen {
    bool is_exposed; /* Other machines can connect. */
    uint32_t socket_count;
    struct ingest_listen_socket {
        int fd;
        bool is_tcp;
        bool is_paused; /* not watched until a descriptor is free */
    } sockets[INGEST_LISTEN_SOCKETS_MAX];
    struct listener_unix unix_listener; /* path NULL: none */
    struct listener_tcp tcp_listener;   /* address_count 0: none */
};

struct ingest_listen_options {
    const char *unix_path; /* empty: none; it outlives the listener */
    const char *tcp;       /* "HOST:PORT"; empty: none */
    bool may_be_open;      /* Other machines may connect. */
    bool reuse_port;       /* Another server of this user may listen there as well. */
};

int ingest_listen_open(struct ingest_listen *listen_out,
                       const struct ingest_listen_options *options,
                       char error_out[FEED_ERROR_BYTES_MAX]);
void ingest_listen_close(struct ingest_listen *listen);

/* The descriptor of the next producer; -EAGAIN: none waits; -EMFILE and others of accept4(2). */
int ingest_listen_accept(const struct ingest_listen_socket *listener);

#endif
