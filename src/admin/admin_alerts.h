/*
 * admin_alerts: the path /admin/alerts.
 *
 * Threads  The admin server's.
 * Source   docs/protection.md
 */
#ifndef RINGCAST_SRC_ADMIN_ALERTS_H
#define RINGCAST_SRC_ADMIN_ALERTS_H

#include "src/admin/admin_route.h"

void admin_alerts_page(struct admin_page *page);

#endif
