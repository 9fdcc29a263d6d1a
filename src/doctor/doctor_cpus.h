/*
 * doctor_cpus: lists of CPUs, and which ones the server's cores use.
 *
 * Threads  Any. Memory: the caller's. Lists are the kernel's: "0-3,8".
 */
#ifndef RINGCAST_SRC_DOCTOR_CPUS_H
#define RINGCAST_SRC_DOCTOR_CPUS_H

#include "src/doctor/doctor.h"

#define DOCTOR_CPUS_TEXT_BYTES_MAX 80

/* Nothing that is no list is in the set. */
void doctor_cpus_parse(const char *list, cpu_set_t *cpus_out);

/* A list that is too long ends with "...". */
const char *doctor_cpus_text(const cpu_set_t *cpus, char out[DOCTOR_CPUS_TEXT_BYTES_MAX]);

/* The set of a file that has a list; empty: it cannot be read. */
void doctor_cpus_read(const struct doctor *doctor, cpu_set_t *cpus_out, const char *path);

/* Those that a process or thread may use, by its status file; empty: it cannot be read. */
void doctor_cpus_allowed(const struct doctor *doctor, cpu_set_t *cpus_out, const char *status_path);

/* Those that the server's main thread, and so a core that is not pinned, may use. */
void doctor_cpus_of_process(const struct doctor *doctor, cpu_set_t *cpus_out);

/* Those that cores are pinned to; false: none is. */
bool doctor_cpus_pinned(const struct doctor *doctor, cpu_set_t *cpus_out);

/* Those that cores are pinned to, or else may use. */
void doctor_cpus_of_cores(const struct doctor *doctor, cpu_set_t *cpus_out);

#endif
