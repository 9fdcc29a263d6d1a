/*
 * roll_command: a round through the clients of all cores, as a command of main's.
 *
 * Owner    server_roll.c. Memory: the caller's; about 100 bytes for each core.
 * Threads  main and the cores, as of struct command and struct core_mail.
 */
#ifndef RINGCAST_SRC_ROLL_COMMAND_H
#define RINGCAST_SRC_ROLL_COMMAND_H

#include "ring/board/counters.h"
#include "src/command/command.h"
#include "src/roll/roll_part.h"

struct roll_command {
    struct command command;
    struct core_mail mails[COUNTERS_CORES_MAX];
    struct roll_part parts[COUNTERS_CORES_MAX];
};

/* The samples of all connections' quality, which main has taken every QUALITY_INTERVAL_NS. */
struct roll_sampler {
    struct roll samples;
    struct roll_command round;
    bool has_sampled; /* Then round.command shows whether the last one is done. */
    uint64_t sampled_ns;
};

#endif
