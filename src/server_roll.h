/*
 * server_roll: carries out rounds through the clients of all cores (src/base/roll.h), and samples
 * their quality every QUALITY_INTERVAL_NS.
 *
 * Owner    main.
 * Threads  server_roll_run: any but main. server_roll_tick: main.
 * Memory   The mails of the samples, and those of a round while it goes on.
 * Errors   As of struct roll_desk.
 */
#ifndef RINGCAST_SRC_SERVER_ROLL_H
#define RINGCAST_SRC_SERVER_ROLL_H

#include <stdint.h>

struct roll;
struct server;

/* For struct roll_desk; context: struct server. */
int server_roll_run(void *context, struct roll *roll);
/* About once a second, while the server runs. */
void server_roll_tick(struct server *server, uint64_t now_ns);

#endif
