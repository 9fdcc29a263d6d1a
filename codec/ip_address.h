/*
 * ip_address: an IPv4 or IPv6 address, to and from text.
 *
 * Threads  Pure functions.
 * Memory   The caller's. An IPv4 address is kept as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so
 *          that a client is the same however its socket names it.
 * Errors   false: it is not an address.
 */
#ifndef RINGCAST_CODEC_IP_ADDRESS_H
#define RINGCAST_CODEC_IP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define IP_ADDRESS_BYTES 16
#define IP_ADDRESS_TEXT_BYTES_MAX 46 /* with its terminator */

struct ip_address {
    uint8_t bytes[IP_ADDRESS_BYTES]; /* network order */
};

/* Of an IPv4 address's 4 bytes, in network order. */
struct ip_address ip_address_from_v4(const void *bytes);

/* Of the address of a socket. false: it has none, as that of a Unix socket; nothing is written. */
bool ip_address_from_socket(struct ip_address *address_out, uint16_t *port_out,
                            const struct sockaddr *socket);

/* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"; no zone, port or blanks. text need not be
 * terminated. */
bool ip_address_parse(struct ip_address *address_out, const char *text, size_t text_bytes);

/* The shortest form; an IPv4 address in dotted form. */
void ip_address_format(const struct ip_address *address, char text_out[IP_ADDRESS_TEXT_BYTES_MAX]);

bool ip_address_is_v4(const struct ip_address *address);
/* 127.0.0.0/8 and ::1. */
bool ip_address_is_loopback(const struct ip_address *address);
bool ip_address_equal(const struct ip_address *left, const struct ip_address *right);

#endif
