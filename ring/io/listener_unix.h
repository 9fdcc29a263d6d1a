/*
 * listener_unix: a listening Unix-domain socket, made on the main thread before the cores start.
 *
 * Owner    The caller closes what it has opened.
 * Errors   A negative errno with error_out saying what is wrong and what to do.
 */
#ifndef RINGCAST_RING_LISTENER_UNIX_H
#define RINGCAST_RING_LISTENER_UNIX_H

#include <stddef.h>
#include <sys/types.h>

/* Checks what opening would refuse at any time: the path's directory, and a file at the path that
 * is not a socket. */
int listener_unix_check(const char *path, char *error_out, size_t error_bytes);

/* One socket that all cores accept from, and the file that it has made. */
struct listener_unix {
    int fd; /* -1: none */
    const char *path;
    dev_t device;
    ino_t inode; /* 0: the file is not ours */
};

/* A path that is left from a dead process is replaced; one that answers is -EADDRINUSE. The path
 * outlives the listener. */
int listener_unix_open(struct listener_unix *listener_out, const char *path, char *error_out,
                       size_t error_bytes);

/* The same beside a server that listens there: its clients stay, and new ones come here. */
int listener_unix_take_over(struct listener_unix *listener_out, const char *path, char *error_out,
                            size_t error_bytes);

#define LISTENER_UNIX_NAME_BYTES_MAX 112

/* Takes a socket that listens already. Whoever made it removes its file. name_out: its path, or "@"
 * and its abstract name; it outlives the listener. */
int listener_unix_take(struct listener_unix *listener_out, int fd,
                       char name_out[LISTENER_UNIX_NAME_BYTES_MAX]);

/* Removes this user's sockets of dead processes, whose names begin and end so. */
void listener_unix_remove_dead(const char *directory, const char *prefix, const char *suffix);

/* Removes the file, unless another one has the path by now. Also for signal handlers. */
void listener_unix_unlink(const struct listener_unix *listener);
void listener_unix_close(struct listener_unix *listener);

#endif
