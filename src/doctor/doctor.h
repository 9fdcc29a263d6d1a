/*
 * doctor: `ringcast doctor` looks at what the host and a server's limits do to its latency, and
 * says what to change. It changes nothing.
 *
 * A check reads files below doctor->root, and facts that only calls can give from doctor->host; it
 * adds a finding for what it sees. Tests give it a tree of files and made facts.
 *
 * Owner    doctor_command(). Threads: one; a whole run ends within 2 s.
 * Memory   Findings are in the struct, at most DOCTOR_FINDINGS_MAX.
 * Errors   What cannot be read is no fault: the check adds DOCTOR_UNKNOWN with the reason.
 */
#ifndef RINGCAST_SRC_DOCTOR_H
#define RINGCAST_SRC_DOCTOR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/config/options.h"
#include "src/doctor/doctor_network.h"

struct doctor_window;

#define DOCTOR_FINDINGS_MAX 256
#define DOCTOR_TEXT_BYTES_MAX 400
#define DOCTOR_PATH_BYTES_MAX 512 /* the root included */

enum doctor_level {
    DOCTOR_OK,      /* shown with --verbose */
    DOCTOR_UNKNOWN, /* shown with --verbose; what is missing */
    DOCTOR_INFO,
    DOCTOR_WARN, /* exit status 1 */
    DOCTOR_FAIL, /* exit status 2 */
};

/* Each text is a whole sentence, or a few, with a full stop at the end. They are printed one after
 * the other. */
struct doctor_finding {
    const char *id; /* of the check, as in "cpu.quota" */
    enum doctor_level level;
    char is[DOCTOR_TEXT_BYTES_MAX];     /* what was found, with its figures */
    char why[DOCTOR_TEXT_BYTES_MAX];    /* why it matters; empty for DOCTOR_OK */
    char change[DOCTOR_TEXT_BYTES_MAX]; /* what to change; empty: nothing need be */
};

/* What files do not say: doctor_host.h. */
struct doctor_host {
    char release[65];        /* uname */
    int uring_error;         /* of setting up a ring as the server does: 0 or a negative errno */
    uint32_t uring_rung;     /* of engine_uring's ladder; 0 is the best */
    const char *uring_lacks; /* what a ring cannot do; "": nothing; NULL: it was not tried */
    uint64_t clock_ns;       /* what reading the monotonic clock costs */
    int clock_state;         /* of adjtimex: TIME_OK...; negative: errno */
    uint64_t shm_free_bytes; /* of /dev/shm; 0: read-only, too; UINT64_MAX: not known */
    /* Lets the time between two looks pass, and returns it: doctor_window.h. */
    uint64_t (*pass)(void *context);
    void *pass_context;
    struct doctor_network network;
};

struct doctor {
    const char *root; /* before every path that is read; "" except in tests */
    const struct doctor_host *host;
    const struct options *options;      /* of the server that runs, or is to run */
    const char *options_note;           /* which of them could not be read, and why; NULL: none */
    int pid;                            /* of the running server; 0: none */
    char process[16];                   /* "self", or that process ID: for paths below /proc */
    const struct doctor_window *window; /* NULL: not taken yet; see doctor_window.h */
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    uint32_t count;
};

/* The text of a file below the root, NUL-terminated, cut off after bytes - 1. false: it cannot be
 * read, and the text is empty. The path is a format. */
bool doctor_read(const struct doctor *doctor, char *out, size_t bytes, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

/* The number at the start of such a file. */
bool doctor_read_number(const struct doctor *doctor, int64_t *out, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* What follows "KEY" in the first line of such a file that begins with it, without blanks, tabs and
 * a colon between them; false: there is none, and the text is empty. */
bool doctor_read_field(const struct doctor *doctor, char *out, size_t bytes, const char *key,
                       const char *path, ...) __attribute__((format(printf, 5, 6)));

/* Where a link points to; false: it cannot be read. */
bool doctor_read_link(const struct doctor *doctor, char *out, size_t bytes, const char *path, ...)
    __attribute__((format(printf, 4, 5)));

/* A directory, which the caller closes; NULL: it cannot be read. */
DIR *doctor_open_directory(const struct doctor *doctor, const char *path, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a finding whose texts the caller writes with doctor_text(). The id is in the table of
 * doctor_checks.c. */
struct doctor_finding *doctor_add(struct doctor *doctor, const char *id, enum doctor_level level);

/* Bytes that are not printable ASCII become '?'. */
void doctor_text(char out[DOCTOR_TEXT_BYTES_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
