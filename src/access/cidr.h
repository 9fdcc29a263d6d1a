/*
 * cidr: a list of networks ("10.0.0.0/8,2001:db8::/32,192.0.2.1").
 *
 * Owner    The caller: deinit after init. Threads: any may look when none changes it.
 * Memory   One block of CIDR_LIST_MAX entries at most, 17 bytes each.
 * Errors   A negative errno with error_out saying which entry is wrong and what is valid.
 *
 * IPv4 and IPv4-mapped IPv6 are the same addresses; 0.0.0.0/0 is all of IPv4, ::/0 everything.
 */
#ifndef RINGCAST_SRC_CIDR_H
#define RINGCAST_SRC_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ip_address.h"

#define CIDR_LIST_MAX 1024

struct cidr {
    struct ip_address network;
    uint8_t prefix_bits; /* of 128 */
};

struct cidr_list {
    struct cidr *entries;
    uint32_t count;
};

/* text: separated by commas; NULL or empty: no entry. -EINVAL, -ENOMEM: the list is empty. */
int cidr_list_init(struct cidr_list *list, const char *text, char *error_out, size_t error_bytes);
void cidr_list_deinit(struct cidr_list *list);

bool cidr_list_has(const struct cidr_list *list, const struct ip_address *address);

#endif
