/*
 * doctor_host: the facts of a host that only calls can give.
 *
 * Threads  One; blocks for 1.2 s at most. Memory: none is kept.
 * Errors   What cannot be found out has the value that struct doctor_host names for it.
 */
#ifndef RINGCAST_SRC_DOCTOR_HOST_H
#define RINGCAST_SRC_DOCTOR_HOST_H

#include "src/doctor/doctor.h"

void doctor_host_read(struct doctor_host *host_out);

/* The part of it that is about io_uring. */
void doctor_host_try_uring(struct doctor_host *host);

#endif
