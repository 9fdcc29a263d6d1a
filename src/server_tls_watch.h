/*
 * server_tls_watch: certificates in the log and in the metrics, and a look at their files every few
 * seconds: when they have changed, it asks for a reload as SIGHUP does.
 *
 * Owner    main. Threads: main's.
 * Errors   A file that is wrong is a line of the reload. A key and a certificate that do not belong
 *          together, or are missing, have SERVER_TLS_PATIENCE_NS: they are replaced one by one.
 * Source   docs/tls.md; docs/decisions/0082.
 */
#ifndef RINGCAST_SRC_SERVER_TLS_WATCH_H
#define RINGCAST_SRC_SERVER_TLS_WATCH_H

#include "src/server_tls.h"

#define SERVER_TLS_LOOK_NS (5 * NS_PER_SECOND)
#define SERVER_TLS_PATIENCE_NS (30 * NS_PER_SECOND)
#define SERVER_TLS_AGAIN_NS (600 * NS_PER_SECOND) /* after a reload that was refused */
#define SERVER_TLS_WARN_NS (86400 * NS_PER_SECOND)

/* About once a second. */
void server_tls_tick(struct server *server, uint64_t now_ns);

/* A line of INFO for each certificate. */
void server_tls_announce(const struct server *server);
/* What an operator should know of certificates and keys; again each SERVER_TLS_WARN_NS. */
void server_tls_warn(struct server *server);
/* Gives the certificates to the metrics, which exist by then. */
void server_tls_publish(const struct server *server);

#endif
