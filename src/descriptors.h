/*
 * descriptors: how many clients there may be at a time, where the limit of open files is too low
 * for all of them.
 *
 * Threads  main, before the others.
 * Errors   -EMFILE: none is left for clients. The log has the reason.
 */
#ifndef RINGCAST_SRC_DESCRIPTORS_H
#define RINGCAST_SRC_DESCRIPTORS_H

#include <stdint.h>

/* Raises the limit as far as it may be. Returns it where it is less than may be needed, otherwise
 * 0. */
uint64_t descriptors_raise(uint64_t needed);

#define DESCRIPTORS_SPARE_MAX 64 /* that only answer 503 */

struct descriptors_share {
    uint32_t admin_count;
    uint32_t client_count; /* open at a time; 0: as many as are configured */
    uint32_t place_count; /* of these, served; the others are answered 503 and closed. 0 likewise */
};

/* Sets aside the server's own: its rings, the admin server's, those of producers, and those of
 * short use. Clients share the others. limit: of descriptors_raise(). own_count: what is still to
 * be opened. */
int descriptors_share(uint64_t limit, uint64_t own_count, uint32_t connections_max,
                      struct descriptors_share *share_out);

#endif
