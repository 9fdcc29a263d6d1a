#include "src/market/recoder.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/json_tick_read.h"
#include "codec/sbe_tick.h"
#include "codec/ws_frame.h"

#define RECODER_LEVEL_BYTES_MIN 6                                                /* "[1,1]," */
#define RECODER_LEVELS_MAX (WS_FRAME_FINISH_BYTES_MAX / RECODER_LEVEL_BYTES_MIN) /* of one side */

struct recoder {
    const struct channels *channels;
    struct md_update update;
    struct json_tick_room room;
    struct md_level levels[2][RECODER_LEVELS_MAX];
    uint8_t frame[WS_FRAME_FINISH_GAP + WS_FRAME_FINISH_BYTES_MAX];
};

int recoder_create(struct recoder **recoder_out, const struct channels *channels)
{
    struct recoder *recoder = calloc(1, sizeof *recoder);
    if (recoder == NULL) {
        return -ENOMEM;
    }
    recoder->channels = channels;
    recoder->room.bids = recoder->levels[0];
    recoder->room.asks = recoder->levels[1];
    recoder->room.level_count_max = RECODER_LEVELS_MAX;
    *recoder_out = recoder;
    return 0;
}

void recoder_destroy(struct recoder *recoder)
{
    free(recoder);
}

const struct md_update *recoder_read(struct recoder *recoder, uint32_t channel,
                                     const uint8_t *frame, size_t frame_bytes)
{
    const struct channel *known = channels_get(recoder->channels, channel);
    size_t header_bytes = ws_frame_finished_header_bytes(frame);
    assert_always(header_bytes <= frame_bytes);
    struct json_tick_head head;
    json_tick_head_init(&head, (enum md_type)known->type, known->symbol, known->symbol_bytes,
                        channel);
    if (!json_tick_read(&recoder->update, &recoder->room, (enum md_type)known->type, &head,
                        frame + header_bytes, frame_bytes - header_bytes)) {
        return NULL;
    }
    recoder->update.channel = channel;
    return &recoder->update;
}

const uint8_t *recoder_to_sbe(struct recoder *recoder, const struct frame_desc *desc,
                              const uint8_t *frame, uint32_t *bytes_out)
{
    const struct md_update *update = recoder_read(recoder, desc->channel, frame, desc->frame_bytes);
    size_t bytes = 0;
    if (update != NULL) {
        bytes = sbe_tick_encode(recoder->frame + WS_FRAME_FINISH_GAP, WS_FRAME_FINISH_BYTES_MAX,
                                desc->channel, update, desc->seq, desc->ts_pub_ns);
    }
    if (bytes == 0) {
        *bytes_out = desc->frame_bytes;
        return frame;
    }
    *bytes_out = (uint32_t)ws_frame_finish(recoder->frame, WS_BINARY, bytes);
    return recoder->frame;
}
