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

#include "ring/board/counters.h"
#include "src/command/command.h"
#include "src/session/session_roll.h"

struct server;

/* A round as a command of main's. */
struct server_round {
    struct command command;
    struct core_mail mails[COUNTERS_CORES_MAX];
    struct session_roll parts[COUNTERS_CORES_MAX];
};

struct server_roll {
    struct roll samples;
    struct server_round round; /* of the samples */
    bool has_sampled;          /* Then round.command shows whether the last one is done. */
    uint64_t sampled_ns;
};

/* For struct roll_desk; context: struct server. */
int server_roll_run(void *context, struct roll *roll);
/* About once a second, while the server runs. */
void server_roll_tick(struct server *server, uint64_t now_ns);

#endif
