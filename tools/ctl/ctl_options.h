/*
 * ctl_options: the command lines of ringcast ctl and ringcast health, and their help.
 *
 * Owner    The caller. Threads: one.
 * Memory   Values are those of argv.
 * Errors   false, and the reason is on standard error.
 */
#ifndef RINGCAST_TOOLS_CTL_OPTIONS_H
#define RINGCAST_TOOLS_CTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_option {
    CTL_PID,
    CTL_SOCKET,
    CTL_URL,
    CTL_TOKEN_FILE,
    CTL_TIMEOUT,
    CTL_JSON,
    CTL_READY,
    CTL_SORT,
    CTL_ORDER,
    CTL_LIMIT,
    CTL_OFFSET,
    CTL_SESSION,
    CTL_NAME,
    CTL_ADDRESS,
    CTL_ENCODING,
    CTL_CODE,
    CTL_TOP,
    CTL_SECONDS,
    CTL_WAIT,
    CTL_HELP,
    CTL_OPTION_COUNT,
};
#define CTL_BIT(option) (1u << (option))
/* Of all commands. */
#define CTL_SERVER_OPTIONS                                                                         \
    (CTL_BIT(CTL_PID) | CTL_BIT(CTL_SOCKET) | CTL_BIT(CTL_URL) | CTL_BIT(CTL_TOKEN_FILE) |         \
     CTL_BIT(CTL_TIMEOUT) | CTL_BIT(CTL_HELP))

/* What a command understands. */
struct ctl_usage {
    const char *program;  /* "ringcast ctl clients" */
    const char *argument; /* "LEVEL", the name of what may stand without an option; NULL: none */
    const char *about;    /* sentences for the help, in lines */
    uint32_t options;     /* CTL_BITs */
};

struct ctl_options {
    const char *values[CTL_OPTION_COUNT]; /* NULL: not given; "": a switch */
    const char *argument;                 /* NULL: not given */
};

/* With --help the rest is not checked. argv[0] is the command's word. */
bool ctl_options_parse(struct ctl_options *options_out, const struct ctl_usage *usage, int argc,
                       char **argv);
void ctl_options_print_help(FILE *out, const struct ctl_usage *usage);

/* The name of an option without its dashes: "sort". */
const char *ctl_options_name(enum ctl_option option);

/* Prints what is wrong, and that --help tells more. Always false. */
bool ctl_options_refuse(const struct ctl_usage *usage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The value of an option as a number from min to max, or fallback when it is not given. */
bool ctl_options_number(const struct ctl_options *options, const struct ctl_usage *usage,
                        enum ctl_option option, double min, double max, double fallback,
                        double *value_out);

#endif
