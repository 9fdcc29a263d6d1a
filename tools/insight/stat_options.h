/*
 * stat_options: the command line of `ringcast stat`.
 *
 * Threads  One.
 * Memory   Nothing is allocated; texts stay in argv.
 */
#ifndef RINGCAST_TOOLS_STAT_OPTIONS_H
#define RINGCAST_TOOLS_STAT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define STAT_EVERY_CORE (UINT32_MAX - 1)

struct stat_options {
    uint64_t interval_ns;
    uint64_t count; /* of intervals; 0: until a signal comes or the server ends */
    const char *id; /* of the server's file, see insight_files.h; NULL: of the only one */
    uint32_t core;  /* COUNTERS_READ_ALL: only the sum; STAT_EVERY_CORE: each core, too */
    bool total, list, json, watch, help;
};

/* argv[0] is "stat". false: an error has been printed. */
bool stat_options_parse(struct stat_options *options_out, int argc, char **argv);
void stat_options_print_help(void);

#endif
