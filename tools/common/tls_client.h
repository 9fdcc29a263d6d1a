/*
 * tls_client: the client side of TLS for all our programs, on OpenSSL with memory BIOs: the caller
 * moves the sealed bytes, or has them moved on a socket.
 *
 * Owner    The caller. A context outlives the connections that were made with it.
 * Threads  A context: any, after its creation. A connection: one at a time.
 * Memory   OpenSSL's: about 20 KiB for each connection, and 50 KiB more during its handshake.
 * Units    Sealed bytes: what the socket carries.
 * Errors   0 or a negative errno; tls_client_error then has the reason, and what to do.
 * Source   RFC 8446, RFC 5246; RFC 6066 section 3 (SNI); RFC 6125 (names).
 */
#ifndef RINGCAST_TOOLS_TLS_CLIENT_H
#define RINGCAST_TOOLS_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_CLIENT_ERROR_BYTES_MAX 512

struct tls_client_context;
struct tls_client;

/* Options of our programs, named as those of curl are. */
struct tls_client_options {
    const char *cacert; /* PEM; NULL: the system's CAs */
    const char *cert;   /* CHAIN[,KEY], PEM; without KEY the chain's file has it. NULL: none. */
    bool insecure;      /* Any certificate of the server is accepted. */
};

/* -EINVAL: a file cannot be used; error_out then has the reason. */
int tls_client_context_create(struct tls_client_context **context_out,
                              const struct tls_client_options *options,
                              char error_out[TLS_CLIENT_ERROR_BYTES_MAX]);
void tls_client_context_destroy(struct tls_client_context *context);

/* host: the name or address that the server's certificate must be for. NULL: out of memory. */
struct tls_client *tls_client_create(const struct tls_client_context *context, const char *host);
/* NULL is allowed. */
void tls_client_destroy(struct tls_client *client);

/* Why it failed; "": it has not. */
const char *tls_client_error(const struct tls_client *client);

/* Goes on with the handshake as far as the given bytes reach, and sends on fd what it says. 0: it
 * is finished. -EAGAIN: more is needed. Another error: it failed. */
int tls_client_handshake(struct tls_client *client, int fd);

/* Takes sealed bytes that were received; returns how many, at least one. Read them before the next
 * call, so that little is kept. */
size_t tls_client_give(struct tls_client *client, const uint8_t *sealed, size_t sealed_bytes);

/* The plaintext of what was given, as long as out has room. 0: more must be given. -ECONNRESET: the
 * server has closed the stream. Another error: it is broken. Answers to the server leave on fd. */
ssize_t tls_client_read(struct tls_client *client, int fd, void *out, size_t out_bytes);

/* As send(2) and recv(2) on a socket, without waiting. client NULL: in the clear. What a full
 * socket does not take leaves with the next send. */
ssize_t tls_client_send(struct tls_client *client, int fd, const void *bytes, size_t bytes_count);
ssize_t tls_client_recv(struct tls_client *client, int fd, void *out, size_t out_bytes);

/* Tells the server that the stream ends. NULL is allowed. */
void tls_client_shut(struct tls_client *client, int fd);

#endif
