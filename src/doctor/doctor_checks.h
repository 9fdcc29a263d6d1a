/*
 * doctor_checks: the table of all checks.
 *
 * A row is a function, which is in the file of its name, and the ids of what it may find. The
 * functions are declared here and nowhere else; docs/doctor.md explains each id.
 *
 * Threads  One. Memory: the doctor's.
 */
#ifndef RINGCAST_SRC_DOCTOR_CHECKS_H
#define RINGCAST_SRC_DOCTOR_CHECKS_H

#include "src/doctor/doctor.h"

#define DOCTOR_ID_BYTES_MAX 32

void doctor_check_kernel(struct doctor *doctor);
void doctor_check_uring(struct doctor *doctor);
void doctor_check_security(struct doctor *doctor);
void doctor_check_environment(struct doctor *doctor);
void doctor_check_limits(struct doctor *doctor);
void doctor_check_cpu(struct doctor *doctor);
void doctor_check_cores(struct doctor *doctor);
void doctor_check_irq(struct doctor *doctor);
void doctor_check_clock(struct doctor *doctor);
void doctor_check_memory(struct doctor *doctor);
void doctor_check_shm(struct doctor *doctor);
void doctor_check_net(struct doctor *doctor);
void doctor_check_nic(struct doctor *doctor);
void doctor_check_trace(struct doctor *doctor);
void doctor_check_run(struct doctor *doctor);

/* Whether it is an id, or the part of ids before their dot. */
bool doctor_checks_know(const char *id, size_t id_bytes);

/* Runs the checks of the ids in only, which are separated by commas ("cpu.quota,net"), and keeps
 * their findings only; NULL: all. The findings are ordered by level, the worst first. */
void doctor_checks_run(struct doctor *doctor, const char *only);

/* The ids, in their order; NULL after the last one. */
const char *doctor_checks_id(size_t index, char out[DOCTOR_ID_BYTES_MAX]);

#endif
