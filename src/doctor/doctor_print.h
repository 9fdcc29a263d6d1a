/*
 * doctor_print: findings as text for people, and as JSON for programs.
 *
 * Threads  One. Memory: the caller's.
 */
#ifndef RINGCAST_SRC_DOCTOR_PRINT_H
#define RINGCAST_SRC_DOCTOR_PRINT_H

#include <stdio.h>

#include "src/doctor/doctor.h"

/* is_verbose: those of the levels OK and UNKNOWN, too. subject: what was looked at. */
void doctor_print(FILE *out, const struct doctor *doctor, const char *subject, bool is_verbose);

/* All findings, as an object on a line. 0 or -ENOMEM; ferror(out) says whether it is written. */
int doctor_print_json(FILE *out, const struct doctor *doctor, const char *subject);

#endif
