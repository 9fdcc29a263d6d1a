/*
 * sockets: all that the server listens on: for clients, and for the admin server with its metrics
 * port and its Unix socket.
 *
 * Owner    server.
 * Threads  main's. Each core accepts from its share until it has ended.
 * Errors   A negative errno; the log says what is wrong and what to do.
 */
#ifndef RINGCAST_SRC_SOCKETS_H
#define RINGCAST_SRC_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/core/core.h"
#include "ring/io/listener.h"
#include "ring/io/listener_unix.h"
#include "src/config/options.h"
#include "src/systemd/activation.h"

#define SOCKETS_CTL_PATH_BYTES_MAX 160
#define SOCKETS_CTL_SUFFIX ".ctl"

struct sockets {
    struct listener_tcp clients;        /* a share for each core; like: */
    struct listener_tcp tls;            /* the same, for wss; or none */
    struct listener_unix unix_listener; /* shared by all cores; or none */
    struct listener_tcp admin;
    struct listener_tcp metrics; /* or none */
    bool admin_is_given;         /* The admin server closes the fds of these two. */
    struct listener_unix ctl;    /* of the admin server; or none */
    char ctl_path[SOCKETS_CTL_PATH_BYTES_MAX];
    char unix_name[LISTENER_UNIX_NAME_BYTES_MAX]; /* of unix_listener, when it was passed */
};

/* None is open. */
void sockets_init(struct sockets *sockets);

/* What the options name, or was passed in its place; on failure, what is open already is left for
 * sockets_close. counters_path: of the counters file, beside which the default socket for ctl is;
 * "": none. */
int sockets_open(struct sockets *sockets, const struct options *options,
                 const struct activation *activation, const char *counters_path);
void sockets_close(struct sockets *sockets);

/* Gives new connections to another server of this user that listens at the same ports. Returns
 * whether there is one at each address for clients. */
bool sockets_leave(const struct sockets *sockets);
/* Before any socket is closed: none that is on its way to the others is reset here. */
void sockets_silence(const struct sockets *sockets);

/* Removes the files of the Unix sockets. Also for signal handlers. */
void sockets_unlink(const struct sockets *sockets);

/* Those that a core accepts from; returns how many. */
uint32_t sockets_share(const struct sockets *sockets, uint32_t core,
                       struct core_listener listeners_out[CORE_LISTENERS_MAX]);

/* Logs each address with its port. */
void sockets_announce(const struct sockets *sockets);

/* Its address for clients on this host: "127.0.0.1:8765". */
void sockets_reach(const struct listener_tcp *listener, char out[LISTENER_NAME_BYTES_MAX]);

/* How many sockets the admin server listens on. */
uint32_t sockets_admin_count(const struct sockets *sockets);

#endif
