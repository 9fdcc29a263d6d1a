/* Any bytes are read as a message of SBE or refused, within the payload and the room. What is read
 * can be written, and is then read as the same. Input: a payload. */
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/sbe_tick_read.h"

#define LEVELS 64
#define OUT_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct md_level levels[2][LEVELS];
    static char texts[2][256];
    static uint8_t out[OUT_BYTES];
    static uint8_t again[OUT_BYTES];
    struct sbe_tick ticks[2];
    const struct sbe_tick_room rooms[2] = {{levels[0], LEVELS, texts[0], sizeof texts[0]},
                                           {levels[1], LEVELS, texts[1], sizeof texts[1]}};
    uint8_t *payload = malloc(bytes + (bytes == 0)); /* Its end is watched by the sanitizer. */
    assert_always(payload != NULL);
    memcpy(payload, data, bytes);
    if (sbe_tick_read(&ticks[0], &rooms[0], payload, bytes)) {
        size_t written = sbe_tick_encode(out, sizeof out, ticks[0].update.channel, &ticks[0].update,
                                         ticks[0].seq, ticks[0].ts_pub_ns);
        assert_always(written > 0);
        assert_always(sbe_tick_read(&ticks[1], &rooms[1], out, written));
        assert_always(sbe_tick_encode(again, sizeof again, ticks[1].update.channel,
                                      &ticks[1].update, ticks[1].seq,
                                      ticks[1].ts_pub_ns) == written);
        assert_always(memcmp(out, again, written) == 0);
    }
    free(payload);
    return 0;
}
