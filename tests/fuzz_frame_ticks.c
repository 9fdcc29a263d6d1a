/* No text may make the reader of data frames read or write out of bounds, and a tick that it reads
 * can be encoded again. */
#include "codec/base/check.h"
#include "codec/json_tick.h"
#include "feeds/frame_ticks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame_ticks *frames;
    static uint8_t payload[1 << 20];
    struct frame_tick tick;
    struct json_tick_head head;
    if (frames == NULL) {
        assert_always(frame_ticks_create(&frames) == 0);
    }
    enum frame_ticks_status status = frame_ticks_parse(frames, (const char *)data, size, &tick);
    assert_always((status == FRAME_TICKS_MALFORMED) == (tick.fault != NULL));
    if (status == FRAME_TICKS_TICK) {
        json_tick_head_init(&head, tick.update.type, tick.symbol, tick.symbol_bytes, 1);
        (void)json_tick_encode(payload, sizeof payload, &head, &tick.update, tick.seq, 1);
    }
    return 0;
}
