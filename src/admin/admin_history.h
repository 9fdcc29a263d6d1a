/*
 * admin_history: the paths /stats/history and /stats/summary.
 *
 * Threads  The admin server's.
 * Source   docs/admin.md
 */
#ifndef RINGCAST_SRC_ADMIN_HISTORY_H
#define RINGCAST_SRC_ADMIN_HISTORY_H

#include "src/admin/admin_route.h"

void admin_history_page(struct admin_page *page);
void admin_history_page_summary(struct admin_page *page);

#endif
