#include "feeds/feed.h"

#include "codec/base/check.h"

const char *feed_state_name(enum feed_state state)
{
    static const char *const names[] = {
        [FEED_CONNECTING] = "connecting",
        [FEED_LIVE] = "live",
        [FEED_STALE] = "stale",
        [FEED_DOWN] = "down",
    };
    assert_always(state <= FEED_DOWN);
    return names[state];
}
