/*
 * admin_access: who sends a request to the admin server, and what that permits.
 *
 * A token permits what its role does. Without one, this host's programs may do everything. What a
 * browser sends for a web page of another site does not count as this host's, and neither does what
 * came through a proxy. The Unix socket is for this server's user and root only, by the word of the
 * kernel.
 *
 * Owner    admin. Threads: its, one request at a time.
 * Memory   What the members point to is main's, and lives longer.
 * Source   docs/admin.md, decision 0072.
 */
#ifndef RINGCAST_SRC_ADMIN_ACCESS_H
#define RINGCAST_SRC_ADMIN_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/access/token.h"
#include "src/admin/admin_route.h"

struct admin_access {
    const struct token_table *tokens;      /* of the role admin: one, or none */
    const struct token_table *read_tokens; /* of the role read: one, or none */
    const char *host;                      /* --admin-host */
    uint64_t audit_full_ns;                /* see rate_take() */
    uint32_t audit_skipped;                /* lines, since the last one that was written */
};

/* Fills in who asks (page->client, page->user). false: the request is refused, and the page says
 * why; a line of the audit log says it, too. route: its row, or one of the path's; NULL: none. */
bool admin_access_permits(struct admin_access *access, enum admin_role role,
                          const struct admin_route *route, struct admin_page *page);

/* A line of the audit log for a request that changes something, before it does. */
void admin_access_log_change(const struct admin_route *route, const struct admin_page *page);

#endif
