/*
 * doctor_target: what the doctor looks at: a running server, or the options of one that is to run.
 *
 * A running server's options are read from its command line, environment and working directory in
 * /proc, by the parser that the server itself has. Where the kernel does not permit that, they are
 * the default ones, and `note` says so.
 *
 * Owner    doctor_command() opens and closes it. Threads: one, which may change its working
 *          directory meanwhile.
 * Memory   Copies of the command line and the environment, DOCTOR_TARGET_BYTES_MAX each at most.
 * Errors   -EINVAL, with a line in error_out: wrong usage.
 */
#ifndef RINGCAST_SRC_DOCTOR_TARGET_H
#define RINGCAST_SRC_DOCTOR_TARGET_H

#include "src/config/options_parse.h"
#include "src/doctor/doctor.h"

#define DOCTOR_TARGET_BYTES_MAX ((size_t)2 << 20)

struct doctor_target {
    struct options options;
    int pid;                          /* 0: no running server */
    char subject[64];                 /* "the server of process 1234" */
    char note[DOCTOR_TEXT_BYTES_MAX]; /* empty: all is known */
    char *command_line, *environment; /* the options borrow from them */
    char **arguments, **variables;
};

/* The options of the command line and of this process's environment. */
int doctor_target_open_options(struct doctor_target *target_out, int argc, char *const *argv,
                               char error_out[OPTIONS_ERROR_BYTES_MAX]);

/* The process ID of the only running server; 0: none runs. -EINVAL: several do. */
int doctor_target_find_server(char error_out[OPTIONS_ERROR_BYTES_MAX]);

/* The running server with this process ID. */
int doctor_target_open_server(struct doctor_target *target_out, int pid,
                              char error_out[OPTIONS_ERROR_BYTES_MAX]);

bool doctor_target_has_ended(int pid);

void doctor_target_close(struct doctor_target *target);

#endif
