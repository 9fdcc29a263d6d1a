/*
 * doctor_network: what only system calls say of network cards, by ethtool's ioctls.
 *
 * Threads  One. Memory: the caller's.
 * Errors   What cannot be asked has the value that says so.
 * Source   Linux: include/uapi/linux/ethtool.h
 */
#ifndef RINGCAST_SRC_DOCTOR_NETWORK_H
#define RINGCAST_SRC_DOCTOR_NETWORK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/config/options.h"

#define DOCTOR_NICS_MAX 16 /* further ones are not looked at */

enum doctor_offload {
    DOCTOR_OFFLOAD_SG,
    DOCTOR_OFFLOAD_TSO,
    DOCTOR_OFFLOAD_GSO,
    DOCTOR_OFFLOADS,
};

/* A network interface that clients may come by: it is up, and has an address on which the server
 * listens. */
struct doctor_nic {
    char name[IF_NAMESIZE];
    uint32_t index;
    uint32_t offloads_off; /* a bit for each enum doctor_offload that is off and could be on */
    uint32_t rx_usecs;     /* how long an interrupt may be held back; 0 also: not known */
    uint32_t queues;       /* that receive; 0: not known */
    uint32_t queues_max;
};

struct doctor_network {
    struct doctor_nic nics[DOCTOR_NICS_MAX];
    uint32_t nic_count;
    bool is_local; /* The server listens on a loopback address only. */
};

void doctor_network_read(struct doctor_network *network_out, const struct options *options);

#endif
