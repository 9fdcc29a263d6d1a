/*
 * pid_file: a file with the process ID of this server, for scripts: kill -HUP $(cat FILE).
 *
 * The server holds a lock (flock) on it until it ends, however it ends. So a file without a lock is
 * left from a server that was killed, and is replaced; one with a lock belongs to a server that
 * runs. The file appears with its content, by a rename.
 *
 * Owner    main. Threads: main's.
 * Memory   The path is the caller's.
 * Errors   0 or a negative errno; error_out has the reason, and begins with --pid-file. -EBUSY:
 *          another server has it. -EEXIST: it is something else, and is left as it is.
 */
#ifndef RINGCAST_SRC_PID_FILE_H
#define RINGCAST_SRC_PID_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct pid_file {
    int fd; /* -1: none */
    const char *path;
};

/* take_over: the file of a server that runs is replaced, too. */
int pid_file_open(struct pid_file *file_out, const char *path, bool take_over, char *error_out,
                  size_t error_bytes);

/* Removes the name, unless another file has it by now. */
void pid_file_remove(const struct pid_file *file);
void pid_file_close(struct pid_file *file);

#endif
