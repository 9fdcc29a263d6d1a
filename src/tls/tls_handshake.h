/*
 * tls_handshake: a server's TLS handshake by OpenSSL, in steps: bytes in, bytes out, and at its end
 * keys.
 *
 * Owner    Whoever does a job's steps. Threads: one for a handshake, from its first step to its
 *          last.
 * Memory   An SSL object (about 53 KiB) from the first step until it has finished, failed or been
 *          given up. Its secrets are wiped then; the keys in the job are its core's to wipe.
 * Errors   job->outcome, failure and text.
 */
#ifndef RINGCAST_SRC_TLS_HANDSHAKE_H
#define RINGCAST_SRC_TLS_HANDSHAKE_H

#include <openssl/types.h>

#include "codec/tls/tls_record.h"
#include "ring/tls_service.h"

/* A job that is not over: does what can be done with job->in, and sets the result. context: of a
 * handshake that begins (job->handshake is NULL); its key log is tls_extract_keylog. ciphers: the
 * thread's; no key stays in them. */
void tls_handshake_step(struct tls_job *job, SSL_CTX *context, struct tls_ciphers *ciphers);
/* Gives up a handshake, if one has begun. */
void tls_handshake_end(struct tls_job *job);

#endif
