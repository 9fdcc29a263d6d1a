/*
 * command_line: what the programs that read their options with getopt_long(3) have in common.
 *
 * Owner    main.
 * Threads  One: before the first getopt_long.
 */
#ifndef RINGCAST_CODEC_BASE_COMMAND_LINE_H
#define RINGCAST_CODEC_BASE_COMMAND_LINE_H

/* Errors of getopt_long begin with argv[0], which may be any path: with program's name instead. */
static inline void command_line_name(int argc, char **argv, char *program)
{
    if (argc > 0) { /* execve(2) of an old kernel lets a parent give none. */
        argv[0] = program;
    }
}

#endif
