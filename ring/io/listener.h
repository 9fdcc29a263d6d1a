/*
 * listener: listening sockets, made on the main thread before the cores start.
 *
 * Owner    The caller closes the descriptors.
 * Errors   A negative errno with error_out saying what is wrong and what to do.
 */
#ifndef RINGCAST_RING_LISTENER_H
#define RINGCAST_RING_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct listener_options {
    const char *host; /* "0.0.0.0", "::", a name or an address */
    uint16_t port;    /* 0: any free one */
    uint32_t send_buffer_bytes;
    uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT */
};

/* fds_out: count sockets on the same port by SO_REUSEPORT, after an exclusive bind has shown
 * that the port is free; *port_out is the port. -EADDRINUSE, also when another ringcast has it. */
int listener_open_tcp(const struct listener_options *options, int *fds_out, uint32_t count,
                      uint16_t *port_out, char *error_out, size_t error_bytes);

/* What opening would refuse whatever the moment, without a socket: a host that has no address. */
int listener_check_tcp(const struct listener_options *options, char *error_out, size_t error_bytes);

/* Whether both would have one port of one address, of which the second would be refused. */
bool listener_conflicts(const struct listener_options *options,
                        const struct listener_options *others);

/* The same for a path: its directory, and what is there that is no socket. */
int listener_check_unix(const char *path, char *error_out, size_t error_bytes);

/* One socket that all cores accept from, and the file that it has made. */
struct listener_unix {
    int fd; /* -1: none */
    const char *path;
    dev_t device;
    ino_t inode;
};

/* A path that is left from a dead process is replaced; one that answers is -EADDRINUSE. The path
 * outlives the listener. */
int listener_open_unix(struct listener_unix *listener_out, const char *path, char *error_out,
                       size_t error_bytes);

/* Removes the file, unless another one has the path by now. Also for signal handlers. */
void listener_unlink_unix(const struct listener_unix *listener);
void listener_close_unix(struct listener_unix *listener);

#endif
