/*
 * insight_files: the servers of this host, by the files they leave in /dev/shm.
 *
 * Threads  One.
 * Memory   insight_files_find() allocates; the caller frees.
 * Errors   Errors that an operator can correct are printed to standard error, after the name
 *          of the program.
 */
#ifndef RINGCAST_TOOLS_INSIGHT_FILES_H
#define RINGCAST_TOOLS_INSIGHT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/board/counters_file.h"
#include "ring/board/counters_read.h"

struct insight_file {
    char path[128];
    char id[16];  /* the end of its name: the process ID, or "1.2" for the second that has it */
    uint32_t uid; /* whose it is */
    int error;    /* of counters_read_open() */
    bool is_live;
    struct counters_header header; /* without an error; else the first members, or zeros */
};

/* Whether a file's name can end in this way. */
bool insight_files_is_id(const char *text);

/* The file with this id, at most one; NULL: all files, in the order of their ids. 0 or -ENOMEM.
 * Files that are removed meanwhile are left out. */
int insight_files_find(const char *directory, const char *id, struct insight_file **files_out,
                       size_t *count_out);

/* Prints why it cannot be read, and what to do. */
void insight_files_explain(const struct insight_file *file, char *out, size_t out_bytes);

/* Prints that there is no file, or none with this id. */
void insight_files_say_none(const char *program, const char *directory, const char *id);

/* The file with this id; NULL: that of the only living server that can be read, otherwise the only
 * one of a dead server. false: there is none, and an error has been printed. */
bool insight_files_open(const char *program, const char *directory, const char *id,
                        struct insight_file *file_out, struct counters_read *read_out);

#endif
