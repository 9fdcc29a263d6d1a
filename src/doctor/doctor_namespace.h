/*
 * doctor_namespace: whether the doctor sees the network that the server's clients come by.
 *
 * Threads  One. Memory: none.
 */
#ifndef RINGCAST_SRC_DOCTOR_NAMESPACE_H
#define RINGCAST_SRC_DOCTOR_NAMESPACE_H

#include "src/doctor/doctor.h"

/* false: the running server is in another network namespace, as in a container. */
bool doctor_namespace_is_ours(const struct doctor *doctor);

/* Adds that finding: DOCTOR_UNKNOWN, with how to look there. */
void doctor_namespace_say_elsewhere(struct doctor *doctor, const char *id);

#endif
