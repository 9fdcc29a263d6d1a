/*
 * health_command: `ringcast health`, for probes: one line, and an exit code.
 *
 * Owner    main. Threads: one.
 * Errors   1: not healthy, or not reached; 2: wrong usage. Reasons are on standard error.
 */
#ifndef RINGCAST_TOOLS_HEALTH_COMMAND_H
#define RINGCAST_TOOLS_HEALTH_COMMAND_H

/* argv[0] is "health". */
int health_command(int argc, char **argv);

#endif
