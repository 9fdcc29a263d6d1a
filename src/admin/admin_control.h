/*
 * admin_control: what an operator changes in the running server: /admin/drain, /admin/loglevel.
 *
 * Threads  The admin server's.
 * Memory   A body is the page's (admin_route.h).
 * Errors   Answers with a status and {"error":"..."}.
 */
#ifndef RINGCAST_SRC_ADMIN_CONTROL_H
#define RINGCAST_SRC_ADMIN_CONTROL_H

#include "src/admin/admin_route.h"

void admin_control_drain(struct admin_page *page);
void admin_control_show_level(struct admin_page *page);
void admin_control_set_level(struct admin_page *page);

#endif
