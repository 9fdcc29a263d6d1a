/* No recording may make the replay read or write out of bounds, or go on for ever. Input: a file of
 * --record, compressed or not. */
#include <stdio.h>
#include <sys/mman.h>

#include "codec/base/check.h"
#include "tests/feed_recorder.h"

#define FUZZ_NOW_NS UINT64_C(1732078800000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct recorder *recorder;
    static int fd;
    static char spec[64];
    struct feed *feed;
    if (recorder == NULL) {
        recorder = recorder_create();
        fd = memfd_create("fuzz", 0);
        assert_always(fd >= 0);
        snprintf(spec, sizeof spec, "replay:path=/proc/self/fd/%d,speed=0,format=recording", fd);
    }
    recorder->tick_count = recorder->log_count = recorder->channel_count = 0;
    recorder->channels_max = 64;
    assert_always(ftruncate(fd, 0) == 0);
    assert_always(pwrite(fd, data, size, 0) == (ssize_t)size);
    recorder->error[0] = '\0';
    if (feed_open(&feed, spec, &recorder->sink, FUZZ_NOW_NS, recorder->error) < 0) {
        assert_always(recorder->error[0] != '\0');
        return 0;
    }
    uint64_t wake_ns = 0;
    for (uint32_t polls = 0; wake_ns != FEED_NEVER; polls++) {
        assert_always(polls < 100000);
        wake_ns = feed->ops->poll(feed, FUZZ_NOW_NS);
    }
    assert_always(feed->counters.ticks == recorder->tick_count);
    assert_always(feed->counters.passes == 1 || recorder->log_count > 0);
    feed->ops->close(feed);
    return 0;
}
