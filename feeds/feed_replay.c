#include <errno.h>

#include "feeds/feed.h"

/* Follows in a later commit. */
static int feed_replay_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                            uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    (void)feed_out;
    (void)spec;
    (void)sink;
    (void)now_ns;
    return feed_fail(error_out, -ENOSYS, "replay: not built yet");
}

const struct feed_ops feed_replay = {.name = "replay", .help = "", .open = feed_replay_open};
