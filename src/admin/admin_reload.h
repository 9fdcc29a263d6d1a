/*
 * admin_reload: POST /admin/reload-config: the configuration is read again, all of it or nothing.
 *
 * Threads  The admin server's, which waits for main.
 * Source   docs/reload.md.
 */
#ifndef RINGCAST_SRC_ADMIN_RELOAD_H
#define RINGCAST_SRC_ADMIN_RELOAD_H

#include "src/admin/admin_route.h"

/* 200, or 422 when it is refused: which options were applied, and which need a restart. */
void admin_reload_answer(struct admin_page *page);

#endif
