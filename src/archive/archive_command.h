/*
 * archive_command: `ringcast archive` puts the configuration and all files that it names into one
 * archive; `ringcast restore` puts them back, all of them or none.
 *
 * Owner    main. Threads: one; blocks.
 * Memory   ARCHIVE_FILES_MAX files of ARCHIVE_FILE_BYTES_MAX at most, TAR_BYTES_MAX in all.
 * Errors   1: a file cannot be read or written, or the configuration is not good; 2: wrong usage.
 *          Reasons are on standard error.
 */
#ifndef RINGCAST_SRC_ARCHIVE_COMMAND_H
#define RINGCAST_SRC_ARCHIVE_COMMAND_H

#define ARCHIVE_FILES_MAX 128
#define ARCHIVE_FILE_BYTES_MAX (16u * 1024 * 1024)
/* The entry with the working directory and the options of `archive`, a line each. */
#define ARCHIVE_ARGUMENTS "ringcast.arguments"
#define ARCHIVE_ARGUMENTS_MAX 256

/* argv[0] is the word. */
int archive_command(int argc, char **argv);
int restore_command(int argc, char **argv);

#endif
