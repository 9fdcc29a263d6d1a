/*
 * admin_routes: the paths of the admin server, and those of the metrics port, a row each.
 *
 * Threads  Any: constants.
 * Source   docs/admin.md describes every path.
 */
#ifndef RINGCAST_SRC_ADMIN_ROUTES_H
#define RINGCAST_SRC_ADMIN_ROUTES_H

#include "src/admin/admin_route.h"

struct admin_site admin_routes(void);
struct admin_site admin_routes_metrics(void);

/* The paths of a site in the order of its rows, without those below /admin; or, with is_admin,
 * these alone. */
json_t *admin_routes_paths(const struct admin_site *site, bool is_admin);

#endif
