/*
 * admin_clients: GET /admin/clients: the clients with their figures, filtered, sorted and paged.
 *
 * Threads  The admin server's.
 * Source   docs/admin.md.
 */
#ifndef RINGCAST_SRC_ADMIN_CLIENTS_H
#define RINGCAST_SRC_ADMIN_CLIENTS_H

struct admin_page;

void admin_clients(struct admin_page *page);

#endif
