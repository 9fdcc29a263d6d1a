/*
 * listener_group: the listeners of several servers at one port, and how one of them leaves.
 *
 * Linux calls the sockets that listen at the same address with SO_REUSEPORT a group, and spreads
 * new connections over it. A socket that is closed resets those that wait at it, so a server first
 * leaves the group: a filter gives all new connections to the others, while handshakes that have
 * begun end where they began.
 *
 * Owner    Values of the caller. Threads: main's.
 * Memory   None is kept.
 * Source   Linux: net/core/sock_reuseport.c (the order of a group is that of listen(2), and the
 * last socket fills the place of one that is closed), socket(7) SO_ATTACH_REUSEPORT_CBPF.
 */
#ifndef RINGCAST_RING_LISTENER_GROUP_H
#define RINGCAST_RING_LISTENER_GROUP_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ring/io/listener.h"

/* The inode of a socket of this user that listens at the address already; 0: there is none. */
ino_t listener_group_elder(const struct sockaddr_storage *address);

/* Gives new connections to the other servers that listen at its addresses. Returns whether there is
 * one at each of them. The filter stays in the group, and no longer chooses among those who stay.
 */
bool listener_group_leave(const struct listener_tcp *listener);

/* Before the sockets are closed, one after the other: what still comes to one of them is dropped,
 * and not reset. Its client tries again after 1 s, and reaches another server. Nothing happens if
 * there is none, or if the kernel permits it to CAP_NET_ADMIN only (measured with Linux 6.18). */
void listener_group_silence(const struct listener_tcp *listener);

/* The kernel spreads new connections over all servers: removes the filter of one that has left. */
void listener_group_spread(const struct listener_tcp *listener);

#endif
