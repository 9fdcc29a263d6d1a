/*
 * tls_memory: what OpenSSL frees is overwritten first. OpenSSL 3.0 does that for most of its keys,
 * but SSL_free() leaves the secrets of TLS 1.3 in the memory of the SSL object.
 *
 * Threads  tls_memory_wipe: main, before anything else uses libcrypto.
 * Source   CRYPTO_set_mem_functions(3).
 */
#ifndef RINGCAST_SRC_TLS_MEMORY_H
#define RINGCAST_SRC_TLS_MEMORY_H

/* From now on, and for the whole process. */
void tls_memory_wipe(void);

#endif
