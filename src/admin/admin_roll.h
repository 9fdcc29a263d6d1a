/*
 * admin_roll: the clients as /admin/clients, /admin/topk and /admin/kick choose, sort and show
 * them.
 *
 * Threads  The admin server's. A round (src/base/roll.h) waits for main and the cores.
 * Memory   A list is the caller's: admin_roll_end frees it, after a failure too.
 * Errors   A round that fails leaves an answer in the page.
 */
#ifndef RINGCAST_SRC_ADMIN_ROLL_H
#define RINGCAST_SRC_ADMIN_ROLL_H

#include "src/access/cidr.h"
#include "src/admin/admin_route.h"

#define ADMIN_ROLL_ERROR_BYTES_MAX 200

/* Which clients; what is NULL, or not set, all have. */
struct admin_roll_filter {
    const char *name;
    const char *address; /* an address, a network or "unix" */
    const char *session; /* "0-12" */
    int encoding;        /* enum core_encoding_number; -1: any */

    /* Read from them by admin_roll_filter_init: */
    struct cidr_list networks;
    bool is_unix;
    uint64_t core, number;
};

enum admin_roll_key {
    ADMIN_ROLL_LAG, /* then lost, then quality */
    ADMIN_ROLL_LOST,
    ADMIN_ROLL_BYTES,
    ADMIN_ROLL_CONNECTED,
    ADMIN_ROLL_QUALITY,
    ADMIN_ROLL_SUBSCRIPTIONS,
    ADMIN_ROLL_KEY_COUNT,
};
extern const char *const admin_roll_keys[ADMIN_ROLL_KEY_COUNT];

/* -EINVAL: error_out says which value is wrong and what is valid. */
int admin_roll_filter_init(struct admin_roll_filter *filter,
                           char error_out[ADMIN_ROLL_ERROR_BYTES_MAX]);
void admin_roll_filter_deinit(struct admin_roll_filter *filter);
bool admin_roll_matches(const struct admin_roll_filter *filter, const struct roll_row *row);

/* A number of enum core_encoding_number by its name; -1: there is none. */
int admin_roll_encoding(const char *name);

/* is_descending: the largest come first, and of those that are equal the lowest session. */
void admin_roll_sort(struct roll_row **rows, uint32_t count, enum admin_roll_key key,
                     bool is_descending);

/* Lists all clients, and picks those that match. false: the page has the answer. */
bool admin_roll_list(struct admin_page *page, struct roll *roll,
                     const struct admin_roll_filter *filter);
/* Carries out a round. false: the page has the answer. */
bool admin_roll_run(struct admin_page *page, struct roll *roll);
void admin_roll_end(struct roll *roll);

/* The picked ones from first on, at most count, as a JSON array: with their details, which the
 * cores are asked for. NULL: the page has the answer. */
json_t *admin_roll_show(struct admin_page *page, struct roll *roll, uint32_t first, uint32_t count);

#define ADMIN_ROLL_SESSION_BYTES_MAX 32
void admin_roll_session(const struct roll_row *row, char out[ADMIN_ROLL_SESSION_BYTES_MAX]);
#define ADMIN_ROLL_ADDRESS_BYTES_MAX (IP_ADDRESS_TEXT_BYTES_MAX + 9)
void admin_roll_address(const struct roll_row *row, char out[ADMIN_ROLL_ADDRESS_BYTES_MAX]);

/* Whether the request has no other query parameters than these, each once, with a value. names end
 * with NULL. false: the page has the answer. */
bool admin_roll_takes(struct admin_page *page, const char *const *names);

#endif
