/*
 * admin_topk: GET /admin/topk: the symbols with the most frames a second, and the worst clients.
 *
 * Threads  The admin server's.
 * Source   docs/admin.md.
 */
#ifndef RINGCAST_SRC_ADMIN_TOPK_H
#define RINGCAST_SRC_ADMIN_TOPK_H

struct admin_page;

void admin_topk(struct admin_page *page);

#endif
