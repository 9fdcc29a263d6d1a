/*
 * access_log: a line for each connection at its end, each handshake that is refused, and each
 * request to the admin server; with the fields that the operator has chosen.
 *
 * Owner    main chooses the fields before other threads start.
 * Threads  access_log_post: cores. access_log_write: main, admin. The others: any.
 * Memory   The caller's.
 * Errors   -EINVAL, and error_out says what to do.
 *
 * Nothing of what a peer sent can begin a new line or end a field: bytes that are not printable
 * ASCII become \xNN, or \u00NN in JSON. The value of a query parameter whose name contains "token"
 * becomes ***.
 */
#ifndef RINGCAST_SRC_ACCESS_LOG_H
#define RINGCAST_SRC_ACCESS_LOG_H

#include <stddef.h>
#include <stdint.h>

#define ACCESS_LOG_REQUEST_BYTES_MAX 256 /* what is kept of a request line, with a zero */
#define ACCESS_LOG_NAME_BYTES_MAX 81     /* of a server name or certificate, with a zero */
#define ACCESS_LOG_UNKNOWN (-1)

struct access_log_entry {
    /* NULL or "": unknown. */
    const char *remote_addr;
    const char *user;    /* the name of its token or certificate */
    const char *request; /* as access_log_keep_request made it */
    const char *session; /* "0-12" */
    const char *encoding;
    const char *tls;    /* "1.3" */
    const char *cipher; /* "AES-128-GCM" */
    const char *server_name;
    const char *certificate; /* the name of it that has an entry */
    int status;
    int close_code;   /* 0: none */
    int64_t bytes;    /* sent; ACCESS_LOG_UNKNOWN */
    int64_t open_ns;  /* how long it was open; ACCESS_LOG_UNKNOWN */
    uint64_t wall_ns; /* now */
};

/* Names of fields with spaces between them. error_out begins with "--access-log-format". */
int access_log_choose(const char *names, char *error_out, size_t error_bytes);

/* The first line of a request's head, without secrets. */
void access_log_keep_request(char out[ACCESS_LOG_REQUEST_BYTES_MAX], const void *head,
                             size_t head_bytes);

/* Only while log_has_access(). */
void access_log_write(const struct access_log_entry *entry);
void access_log_post(uint32_t producer, const struct access_log_entry *entry);

#endif
