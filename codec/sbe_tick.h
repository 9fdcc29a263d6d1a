/* sbe_tick: stands in until the encoder of md.sbe.v1 is merged: no tick fits. */
#ifndef RINGCAST_CODEC_SBE_TICK_H
#define RINGCAST_CODEC_SBE_TICK_H

#include "codec/md.h"

static inline size_t sbe_tick_encode(uint8_t *out, size_t out_bytes, const struct md_update *update,
                                     uint64_t seq, uint64_t ts_pub_ns)
{
    (void)out, (void)out_bytes, (void)update, (void)seq, (void)ts_pub_ns;
    return 0;
}

#endif
