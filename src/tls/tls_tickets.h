/*
 * tls_tickets: the keys of session tickets, with which a client that comes back saves most of a
 * handshake. They outlive a reload, or every client would need a full handshake after it.
 *
 * Owner    server: opened before the first context is loaded, closed after all handshakes.
 * Threads  Any: a lock is held while 80 bytes are copied. Cores never come here.
 * Memory   A mapping of its own, which no core dump has, and which is wiped.
 * Errors   0 or a negative errno.
 * Source   RFC 5077 section 4 (the form of a ticket); RFC 8446 section 4.6.1.
 */
#ifndef RINGCAST_SRC_TLS_TICKETS_H
#define RINGCAST_SRC_TLS_TICKETS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"
#include "src/tls/tls_error.h"

#define TLS_TICKETS_KEYS 3 /* the newest seals; the others still open */
#define TLS_TICKETS_RENEWED_NS (12 * 3600 * NS_PER_SECOND)
#define TLS_TICKETS_NAME_BYTES 16

/* As --tls-ticket-key-file has it: 80 bytes, in the order of nginx. */
struct tls_ticket_key {
    uint8_t name[TLS_TICKETS_NAME_BYTES];
    uint8_t mac[32];    /* HMAC-SHA256 */
    uint8_t cipher[32]; /* AES-256-CBC */
};

struct tls_tickets;

int tls_tickets_open(struct tls_tickets **tickets_out);
void tls_tickets_close(struct tls_tickets *tickets); /* NULL: nothing */

/* A key that servers share. The file has exactly these 80 bytes. */
int tls_tickets_read_file(struct tls_ticket_key *key_out, bool *is_open_to_others_out,
                          const char *path, char error_out[TLS_ERROR_BYTES_MAX]);
/* From here on this key seals. NULL: random ones, which are renewed. Those before still open. */
int tls_tickets_use(struct tls_tickets *tickets, const struct tls_ticket_key *key);
/* Renews a random key that is 12 h old. Handshakes do so by themselves, before they seal. */
int tls_tickets_renew(struct tls_tickets *tickets, uint64_t now_ns);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(). */
int tls_tickets_on_ticket(struct tls_tickets *tickets, SSL *ssl, uint8_t *name, uint8_t *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_sealing);

#endif
