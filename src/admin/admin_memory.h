/*
 * admin_memory: what the memory of the process is used for, and giving back what it does not need:
 * /admin/gc and /admin/gc-stats.
 *
 * Threads  The admin server's.
 * Memory   A body is the page's (admin_route.h).
 * Errors   Answers with a status and {"error":"..."}.
 */
#ifndef RINGCAST_SRC_ADMIN_MEMORY_H
#define RINGCAST_SRC_ADMIN_MEMORY_H

#include "src/admin/admin_route.h"

void admin_memory_purge(struct admin_page *page);
void admin_memory_show(struct admin_page *page);

#endif
