/*
 * reload: the configuration is read again while the server runs: all of it is valid and taken over,
 * or nothing changes.
 *
 * A reload is a command (src/command): it parses the same command line and environment, and the
 * files anew, builds a policy, and hands it to every core by mail and to the publisher. When all
 * have taken it, the policy before is freed, and the answer is made.
 *
 * Owner    main makes it before the admin server, and destroys it after sessions and publisher.
 * Threads  reload_run: any but main. The others: main.
 * Memory   Two policies and two sets of options while a reload is in progress, then one of each.
 * Errors   As said of each; a reload that is refused has one line in the log.
 * Source   docs/reload.md; docs/decisions/0071.
 */
#ifndef RINGCAST_SRC_RELOAD_H
#define RINGCAST_SRC_RELOAD_H

#include <jansson.h>

#include "src/server.h"

struct reload;

server_step reload_create; /* After the commands and the cores. */
/* NULL: nothing. */
void reload_destroy(struct reload *reload);

/* SIGHUP has come. One that comes while a reload is in progress is another one after it. */
void reload_on_signal(struct server *server);
/* Each time main has looked for commands. */
void reload_go_on(struct server *server);

/* Reloads, and waits for it. 0: done. -EINVAL: refused, and nothing is changed. Both have an
 * answer, NULL when there was no memory for it. Other errors are those of commands_call.
 * context: the server */
int reload_run(void *context, json_t **answer_out);

#endif
