#include "src/doctor/doctor_counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "ring/board/counters_file.h"

#define DOCTOR_COUNTERS_STATUS_BYTES_MAX 4096

/* The server's process ID in its own namespace, after which its file is named: the last of the line
 * "NSpid: 812 7". */
static long doctor_counters_pid(const struct doctor *doctor)
{
    char status[DOCTOR_COUNTERS_STATUS_BYTES_MAX];
    const char *line;
    long pid = doctor->pid;
    assert_always(pid > 0);
    if (!doctor_read(doctor, status, sizeof status, "/proc/%s/status", doctor->process) ||
        (line = strstr(status, "\nNSpid:")) == NULL) {
        return pid;
    }
    const char *at = line + strlen("\nNSpid:");
    const char *end = at + strcspn(at, "\n");
    for (char *next; at < end; at = next) {
        long number = strtol(at, &next, 10);
        if (next == at || next > end) {
            break;
        }
        pid = number;
    }
    return pid;
}

int doctor_counters_open(const struct doctor *doctor, struct counters_read *read_out)
{
    char path[DOCTOR_PATH_BYTES_MAX];
    if (doctor->pid == 0) {
        return -ESRCH;
    }
    int bytes = snprintf(path, sizeof path,
                         "%s/proc/%s/root" COUNTERS_FILE_DIRECTORY "/" COUNTERS_FILE_PREFIX "%ld",
                         doctor->root, doctor->process, doctor_counters_pid(doctor));
    assert_always(bytes < (int)sizeof path);
    int error = counters_read_open(read_out, path);
    if (error == -EACCES) { /* of the link: the server is another user's, but may share ours */
        snprintf(path, sizeof path, "%s" COUNTERS_FILE_DIRECTORY "/" COUNTERS_FILE_PREFIX "%d",
                 doctor->root, doctor->pid);
        error = counters_read_open(read_out, path);
        error = error == -ENOENT ? -EACCES : error;
    }
    return error;
}
