/*
 * peers: the other ends of connections: the clients behind proxies, which addresses may connect,
 * how many connections an address may have, and how often it may connect.
 *
 * Owner    access: deinit after init, also after an init that failed.
 * Threads  Any core, without a lock: everything is constant once made, except the table of
 *          addresses, which is atomic.
 * Memory   The lists as configured; 1.5 MiB for addresses when there are limits.
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 * Errors   A negative errno with error_out, which begins with the option ("--ip-deny: ...").
 * Source   docs/access.md.
 */
#ifndef RINGCAST_SRC_PEERS_H
#define RINGCAST_SRC_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ip_address.h"
#include "src/access/cidr.h"
#include "src/access/rate_limit.h"
#include "src/base/access_options.h"

#define PEERS_CONNECTIONS_DEFAULT 20 /* of an address */
#define PEERS_HANDSHAKES_DEFAULT 10  /* of an address, a second; twice as many at once */
#define PEERS_MESSAGES_DEFAULT 5     /* of a client, a second; twice as many at once */
#define PEERS_HOPS_MAX 32            /* of X-Forwarded-For that are read */

/* The origin of a connection. */
struct peer {
    bool is_unix; /* Then there is no address. */
    struct ip_address address;
};

struct peers {
    struct cidr_list allow, deny, trusted;
    struct rate_table *table; /* NULL: there were no limits yet */
    bool has_limits;          /* Without them the table only keeps what was counted before. */

    /* 0: the default, which clients of this host are exempt from. Other numbers hold for all. */
    uint32_t connections_max;
    uint32_t handshakes_per_s;
    uint32_t messages_per_s;
};

/* before: what these replace, whose table they share; NULL: nothing. */
int peers_init(struct peers *peers, const struct access_options *options,
               const struct keyed_hash *hash, const struct peers *before, char *error_out,
               size_t error_bytes);
void peers_deinit(struct peers *peers);

/* Whether it is a trusted proxy. */
bool peers_trust(const struct peers *peers, const struct peer *peer);

/* Whether its address may connect. */
bool peers_allow(const struct peers *peers, const struct peer *peer);

/* The client of a request: the peer itself or, if that is a trusted proxy, the address that the
 * request names. */
struct peer peers_client(const struct peers *peers, const struct peer *peer, const uint8_t *head,
                         size_t head_bytes);

/* Counts a connection. *entry_out: for peers_release; *wait_ns_out: when RATE_TOO_FAST. */
enum rate_verdict peers_take(struct peers *peers, const struct peer *peer, uint64_t now_ns,
                             uint32_t *entry_out, uint64_t *wait_ns_out);
void peers_release(struct peers *peers, uint32_t entry);
/* Counts a connection that was not counted when it came, where it would be now. Returns what to
 * release; RATE_NONE: it is not counted. */
uint32_t peers_hold(struct peers *peers, const struct peer *peer, uint64_t now_ns);
/* Counts handshakes more than were made. */
void peers_charge(struct peers *peers, const struct peer *peer, uint32_t entry, uint32_t count,
                  uint64_t now_ns);

/* The limit of messages that holds for a client. */
struct rate peers_message_rate(const struct peers *peers, const struct peer *client);

#endif
