/*
 * ctl_command: `ringcast ctl`, which asks a running server for something, or to do something.
 *
 * It speaks HTTP to the server's Unix socket, or to its admin port (docs/ctl.md).
 *
 * Owner    main. Threads: one.
 * Errors   Exit codes as docs/ctl.md has them; the reasons are on standard error.
 */
#ifndef RINGCAST_TOOLS_CTL_COMMAND_H
#define RINGCAST_TOOLS_CTL_COMMAND_H

/* argv[0] is "ctl". */
int ctl_command(int argc, char **argv);

#endif
