/* No payload makes the reader of our own frames read out of bounds or exceed its room; what it
 * takes is a tick that is written and read again as the same bytes. Input: a payload of symbol A.
 */
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_tick_read.h"

#define FUZZ_LEVELS_MAX 64
#define FUZZ_OUT_BYTES_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_tick {
    struct md_level bids[FUZZ_LEVELS_MAX], asks[FUZZ_LEVELS_MAX];
    struct json_tick_room room;
    struct md_update update;
};

static bool fuzz_read(struct fuzz_tick *tick, enum md_type type, const struct json_tick_head *head,
                      const uint8_t *payload, size_t payload_bytes)
{
    memset(&tick->update, 0, sizeof tick->update);
    tick->room = (struct json_tick_room){
        .bids = tick->bids, .asks = tick->asks, .level_count_max = FUZZ_LEVELS_MAX};
    return json_tick_read(&tick->update, &tick->room, type, head, payload, payload_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_tick first, second;
    static uint8_t out[FUZZ_OUT_BYTES_MAX], again[FUZZ_OUT_BYTES_MAX];
    for (enum md_type type = 0; type < MD_TYPE_COUNT; type++) {
        struct json_tick_head head;
        json_tick_head_init(&head, type, "A", 1, 7);
        if (!fuzz_read(&first, type, &head, data, size)) {
            continue;
        }
        size_t bytes = json_tick_encode(out, sizeof out, &head, &first.update, 1, 1);
        if (bytes > 0) {
            assert_always(fuzz_read(&second, type, &head, out, bytes));
            size_t again_bytes = json_tick_encode(again, sizeof again, &head, &second.update, 1, 1);
            assert_always(again_bytes == bytes && memcmp(again, out, bytes) == 0);
        }
    }
    return 0;
}
