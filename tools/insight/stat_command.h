/*
 * stat_command: `ringcast stat`, which shows the counters of a running server. See docs/stat.md.
 *
 * Threads  One: it is the program.
 */
#ifndef RINGCAST_TOOLS_STAT_COMMAND_H
#define RINGCAST_TOOLS_STAT_COMMAND_H

/* argv[0] is "stat". Returns the exit code. */
int stat_command(int argc, char **argv);

/* The same, of servers whose files are in another directory. */
int stat_command_in(const char *directory, int argc, char **argv);

#endif
