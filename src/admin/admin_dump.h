/*
 * admin_dump: POST /admin/dump.
 *
 * Threads, memory, errors: as of handlers (admin_route.h).
 */
#ifndef RINGCAST_SRC_ADMIN_DUMP_H
#define RINGCAST_SRC_ADMIN_DUMP_H

#include "src/admin/admin_route.h"

void admin_page_dump(struct admin_page *page);

#endif
