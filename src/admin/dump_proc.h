/*
 * dump_proc: what the kernel shows of this process, written to a file of a dump.
 *
 * Threads  Any that may block.
 * Memory   A few KiB on the stack.
 * Errors   0, or the negative errno of writing. What cannot be read is named in the file.
 */
#ifndef RINGCAST_SRC_DUMP_PROC_H
#define RINGCAST_SRC_DUMP_PROC_H

int dump_proc_copy(const char *path, int fd);
/* Each thread: its number, its name, where it waits, its stat and its schedstat. */
int dump_proc_threads(int fd);
/* Each descriptor: its number and what it is. */
int dump_proc_fds(int fd);

#endif
