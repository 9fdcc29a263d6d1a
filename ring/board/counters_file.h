/*
 * counters_file: the name of a counters file, and the lock that shows that its server is alive.
 *
 * A server holds an OFD write lock on its file from before the file has a name until the process
 * ends, however it ends. So a file without a lock belongs to a dead server. Its numbers can be read
 * until the next server starts and removes it. To remove a name, a process must hold the lock of
 * that file. Process IDs do not decide, because two PID namespaces may share one directory.
 *
 * Owner    src opens it first and closes it last.
 * Threads  main; counters_file_remove also in a signal handler.
 * Memory   The file is full of zeros when it is opened, and all of it is reserved.
 * Errors   0 or a negative errno. No function logs.
 */
#ifndef RINGCAST_RING_COUNTERS_FILE_H
#define RINGCAST_RING_COUNTERS_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define COUNTERS_FILE_DIRECTORY "/dev/shm"
#define COUNTERS_FILE_PREFIX "ringcast-" /* then the process ID, and ".2" if that is taken */

struct counters_file {
    int fd;         /* -1: none */
    char path[128]; /* "": it has no name */
};

/* Makes a locked file of this size without a name (mode 0600). *file_out is untouched on failure.
 */
int counters_file_open(struct counters_file *file_out, const char *directory, size_t bytes);

/* Gives it a name in the same directory, once it is complete. -EEXIST: living servers have all
 * names of this process ID. */
int counters_file_publish(struct counters_file *file, const char *directory);

/* Removes the name, unless another file has it by now. */
void counters_file_remove(const struct counters_file *file);
void counters_file_close(struct counters_file *file);

/* Removes the files of our own dead servers. */
void counters_file_remove_dead(const char *directory);

/* Whether the server of this file lives. It is asked without taking the lock; read access suffices.
 */
bool counters_file_is_live(int fd);

#endif
