/*
 * admin_routes: the paths of the admin server, a row each.
 *
 * Threads  Any: constants.
 * Source   docs/admin.md describes every path.
 */
#ifndef RINGCAST_SRC_ADMIN_ROUTES_H
#define RINGCAST_SRC_ADMIN_ROUTES_H

#include "src/admin/admin_route.h"

/* The rows; those of one path follow one another. */
const struct admin_route *admin_routes(size_t *count_out);

#endif
