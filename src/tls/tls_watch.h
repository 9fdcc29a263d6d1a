/*
 * tls_watch: decides when the files of TLS have changed so that they are to be loaded again.
 *
 * A certificate and its key are replaced one by one, so files that do not load have some time
 * before that is an error.
 *
 * Owner    The caller, zeroed at first. Threads: the caller's; blocks while it reads files.
 * Memory   struct tls_watch.
 * Source   docs/reload.md; docs/decisions/0082.
 */
#ifndef RINGCAST_SRC_TLS_WATCH_H
#define RINGCAST_SRC_TLS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/tls_options.h"

#define TLS_WATCH_LOOK_NS (5 * NS_PER_SECOND)
#define TLS_WATCH_PATIENCE_NS (30 * NS_PER_SECOND)
#define TLS_WATCH_AGAIN_NS (600 * NS_PER_SECOND) /* after a reload that was refused */

struct tls_watch {
    uint64_t looked_ns;
    uint64_t failing_ns;  /* since when the files do not load; 0: they do */
    uint64_t asked_ns;    /* when it last asked for a reload, */
    uint64_t asked_stamp; /* and of which files */
};

/* Whether a reload is to be asked for now. It looks at the files when it is time to. loaded_stamp:
 * of those in use (tls_files.h). */
bool tls_watch_look(struct tls_watch *watch, const struct tls_options *options,
                    uint64_t loaded_stamp, uint64_t now_ns);

#endif
