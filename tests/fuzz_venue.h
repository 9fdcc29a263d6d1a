/* No message may make a venue's decoder read or write out of bounds, and each is a tick, skipped or
 * malformed. */
#ifndef RINGCAST_TESTS_FUZZ_VENUE_H
#define RINGCAST_TESTS_FUZZ_VENUE_H

#include <stdint.h>

#include "codec/base/check.h"
#include "feeds/venue/venue.h"
#include "tests/feed_recorder.h"

static inline int fuzz_venue(const struct venue_ops *ops, const uint8_t *data, size_t size)
{
    static struct recorder *recorder;
    static struct venue *venue;
    static struct feed_counters counters;
    if (venue == NULL) {
        recorder = recorder_create();
        recorder->channels_max = 64;
        assert_always(venue_create(&venue, ops, NULL, &recorder->sink, &counters) == 0);
    }
    recorder->tick_count = 0;
    enum venue_status status = venue_decode(venue, (const char *)data, size, 1);
    assert_always(recorder->tick_count == (status == VENUE_TICK));
    assert_always((status == VENUE_MALFORMED) == (venue->fault != NULL));
    return 0;
}

#endif
