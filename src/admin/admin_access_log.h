/*
 * admin_access_log: the line of the access log for a request to the admin server.
 *
 * Threads  The admin server's.
 * Memory   None of its own.
 */
#ifndef RINGCAST_SRC_ADMIN_ACCESS_LOG_H
#define RINGCAST_SRC_ADMIN_ACCESS_LOG_H

#include "src/admin/admin_route.h"

/* Of a page that is about to be sent. Nothing, where there is no access log. */
void admin_access_log(const struct admin_page *page, const char *method, const char *target);

#endif
