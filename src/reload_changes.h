/*
 * reload_changes: what two readings of the configuration differ in, row by row of the table of
 * options, and what of it a running server takes over.
 *
 * Owner    The caller: reload_changes_report or reload_changes_drop follows reload_changes_find.
 * Threads  main.
 * Memory   Two lists, JSON.
 * Errors   -ENOMEM.
 */
#ifndef RINGCAST_SRC_RELOAD_CHANGES_H
#define RINGCAST_SRC_RELOAD_CHANGES_H

#include <jansson.h>

#include "src/access/secrets.h"
#include "src/config/options.h"
#include "src/tls/tls_server.h"

struct reload_changes {
    json_t *applied;
    json_t *needs_restart;
    uint32_t unchanged_count;
};

struct reload_compared {
    const struct options *running;
    const struct options *fresh;
    struct options *merged;    /* a copy of running, which gets what is live of fresh */
    uint32_t connections_most; /* More need a restart. */
    const struct secrets_digest *running_files; /* SECRETS_FILES of each */
    const struct secrets_digest *fresh_files;
    const struct tls_digest *running_tls; /* TLS_SERVER_FILES of each; NULL: no TLS */
    const struct tls_digest *fresh_tls;
};

/* TLS is switched on or off by a restart, and its other options with it. */
bool reload_changes_switch_tls(const struct options *running, const struct options *fresh);

/* On failure changes is empty. */
int reload_changes_find(struct reload_changes *changes_out, const struct reload_compared *compared);
/* Only the live values are written: other threads read the rest, cpus for example. */
void reload_changes_apply(struct options *running, const struct options *merged);
/* One line of the log, and the answer, which takes over the lists; NULL: no memory. */
json_t *reload_changes_report(struct reload_changes *changes, double seconds);
void reload_changes_drop(struct reload_changes *changes);

#endif
