/*
 * turn_away: the last word to a socket that does not become a connection.
 *
 * Owner    Who has accepted the socket; it is closed here. Threads: the core's own.
 * Memory   None. Errors: none are returned; a word that cannot be sent at once is not sent.
 */
#ifndef RINGCAST_RING_TURN_AWAY_H
#define RINGCAST_RING_TURN_AWAY_H

#include <stddef.h>
#include <stdint.h>

#include "codec/tls/tls_record.h"

#define TURN_AWAY_ALERT_BYTES (TLS_HEADER_BYTES + 2)

void turn_away_with(int fd, const void *answer, size_t answer_bytes);
/* A client that is about to begin a TLS handshake. */
void turn_away_by_alert(int fd, enum tls_alert alert);
/* A fatal alert in the clear. */
void turn_away_write_alert(uint8_t out[TURN_AWAY_ALERT_BYTES], enum tls_alert alert);

#endif
