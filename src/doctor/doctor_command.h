/*
 * doctor_command: `ringcast doctor`: the command line, and the exit status. See docs/doctor.md.
 *
 * Threads  One: it is the program.
 * Errors   Reasons are on standard error.
 */
#ifndef RINGCAST_SRC_DOCTOR_COMMAND_H
#define RINGCAST_SRC_DOCTOR_COMMAND_H

/* argv[0] is "doctor". Returns the exit status. */
int doctor_command(int argc, char **argv);

#endif
