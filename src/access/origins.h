/*
 * origins: the web sites whose pages may connect (RFC 6454).
 *
 * Owner    The caller: deinit after init.
 * Threads  Any: constant once made.
 * Memory   One block, as long as the text of the option.
 * Errors   -EINVAL or -ENOMEM with error_out saying what is valid.
 */
#ifndef RINGCAST_SRC_ORIGINS_H
#define RINGCAST_SRC_ORIGINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORIGINS_MAX 256

struct origins {
    char *texts; /* each with its terminator, after one another */
    uint32_t count;
    bool allows_any;
};

/* list: separated by commas; NULL, empty or with a "*" in it: all may. */
int origins_init(struct origins *origins, const char *list, char *error_out, size_t error_bytes);
void origins_deinit(struct origins *origins);

/* Whether the page that a request's head names may. A request without Origin comes from no
 * browser's page, and could say what it likes: it may. */
bool origins_allow(const struct origins *origins, const uint8_t *head, size_t head_bytes);

#endif
