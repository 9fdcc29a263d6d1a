/*
 * certificate_name: the names in client certificates, as entries of the tokens file have them:
 * "uri:spiffe://example/desk-1", "dns:desk-1.example.com", "email:desk-1@example.com", "cn:Desk 1",
 * "spki-sha256:64 hex digits".
 *
 * Threads  Any.
 * Memory   The caller's.
 * Errors   -EINVAL, and error_out says what is wrong with the name.
 * Source   RFC 5280 section 4.2.1.6; domains are compared without regard to case, all else exactly.
 */
#ifndef RINGCAST_SRC_CERTIFICATE_NAME_H
#define RINGCAST_SRC_CERTIFICATE_NAME_H

#include <stddef.h>

#define CERTIFICATE_NAME_BYTES_MAX 2048 /* its kind included; longer ones match nothing */

/* A name in the form in which equal ones have equal bytes. Returns its length, 0: it is too long.
 */
size_t certificate_name_fold(char out[CERTIFICATE_NAME_BYTES_MAX + 1], const char *name,
                             size_t name_bytes);

/* A name that an operator wrote: the same, and it must be well-formed and whole. */
int certificate_name_read(char out[CERTIFICATE_NAME_BYTES_MAX + 1], const char *name,
                          size_t name_bytes, char *error_out, size_t error_bytes);

/* As much of a name as out has room for, in whole characters. */
void certificate_name_cut(char *out, size_t out_bytes, const char *name);

#endif
