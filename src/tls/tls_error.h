/*
 * tls_error: the one line that says what is wrong with a file of TLS, and what to do.
 *
 * Owner    The caller. Threads: any.
 * Memory   TLS_ERROR_BYTES_MAX bytes of the caller's.
 */
#ifndef RINGCAST_SRC_TLS_ERROR_H
#define RINGCAST_SRC_TLS_ERROR_H

#define TLS_ERROR_BYTES_MAX 512

/* "--OPTION: PATH: WORDS"; path: NULL: it is about no file. Returns error. */
__attribute__((format(printf, 5, 6))) int tls_error_write(char error_out[TLS_ERROR_BYTES_MAX],
                                                          int error, const char *option,
                                                          const char *path, const char *format,
                                                          ...);

/* Why libcrypto's or libssl's last call on this thread failed; its queue is empty then. */
const char *tls_error_reason(void);

#endif
