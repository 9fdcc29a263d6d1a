/*
 * notify: tells a service manager how the service is: systemd's sd_notify protocol, and its
 * watchdog.
 *
 * A message is lines of NAME=value in one datagram to the Unix socket that NOTIFY_SOCKET names.
 * That is all, so ringcast needs no libsystemd.
 *
 * Owner    main.
 * Threads  main's. notify_open: before there are others, because it changes the environment.
 * Memory   The caller's.
 * Units    In the names. now_ns is CLOCK_MONOTONIC, which systemd reads as well.
 * Errors   0 or a negative errno. Without a service manager every call does nothing and returns 0.
 * Source   sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef RINGCAST_SRC_NOTIFY_H
#define RINGCAST_SRC_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_MESSAGE_BYTES_MAX 512

struct notify {
    int fd;                        /* -1: there is no service manager */
    uint64_t watchdog_interval_ns; /* between two signs of life; 0: the manager wants none */
    uint64_t watchdog_sent_ns;     /* the last one; 0: none yet */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them. After an error there is no
 * service manager. */
int notify_open(struct notify *notify_out);
void notify_close(struct notify *notify);

/* Sends lines without the last newline. A manager that does not read is waited for 1 s if the
 * message is the only one of its kind (waits), and otherwise not at all: -EAGAIN. */
int notify_send(const struct notify *notify, const char *lines, bool waits);

/* Whether a sign of life is due: at least two in the time that the manager waits for one. */
bool notify_is_due(const struct notify *notify, uint64_t now_ns);
int notify_sign_of_life(struct notify *notify, uint64_t now_ns);

#endif
