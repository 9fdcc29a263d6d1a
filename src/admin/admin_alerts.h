/*
 * admin_alerts: the path /admin/alerts, and the protection rules in /metrics.
 *
 * Threads  The admin server's.
 * Source   docs/protection.md
 */
#ifndef RINGCAST_SRC_ADMIN_ALERTS_H
#define RINGCAST_SRC_ADMIN_ALERTS_H

#include <stdio.h>

#include "src/admin/admin_route.h"
#include "src/guard/guard.h"

void admin_alerts_page(struct admin_page *page);

void admin_alerts_write_prometheus(struct guard *guard, FILE *out);

#endif
