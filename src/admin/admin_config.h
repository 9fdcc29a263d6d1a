/*
 * admin_config: the page /config: the effective configuration, as JSON. See
 * src/config/options_json.h.
 *
 * Threads  The admin server's; the options are read on main, which replaces them.
 * Errors   503 while main carries out no commands.
 */
#ifndef RINGCAST_SRC_ADMIN_CONFIG_H
#define RINGCAST_SRC_ADMIN_CONFIG_H

#include "src/admin/admin_route.h"

void admin_config_answer(struct admin_page *page);

#endif
