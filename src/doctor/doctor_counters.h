/*
 * doctor_counters: the counters of the running server that the doctor looks at.
 *
 * Threads  One. Memory: a read-only mapping, which the caller closes by counters_read_close().
 * Source   ring/board/counters_file.h
 */
#ifndef RINGCAST_SRC_DOCTOR_COUNTERS_H
#define RINGCAST_SRC_DOCTOR_COUNTERS_H

#include "ring/board/counters_read.h"
#include "src/doctor/doctor.h"

/* Opens the file in the server's own /dev/shm, which may be a container's. -ESRCH: there is no
 * running server. -ENOENT: it has no file. Else an error of counters_read_open(). */
int doctor_counters_open(const struct doctor *doctor, struct counters_read *read_out);

#endif
