/*
 * admin_kick: POST /admin/kick: closes clients, by session, name or address.
 *
 * Threads  The admin server's.
 * Source   docs/admin.md.
 */
#ifndef RINGCAST_SRC_ADMIN_KICK_H
#define RINGCAST_SRC_ADMIN_KICK_H

struct admin_page;

void admin_kick(struct admin_page *page);

#endif
