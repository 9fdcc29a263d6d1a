/*
 * recoder: a frame of the JSON log in another encoding, long after it was published.
 *
 * Owner    Whoever creates it: each table of sessions, and the encodings. Threads: its owner's.
 * Memory   Room for the longest frame, touched as it is used.
 * Errors   0 or -ENOMEM.
 */
#ifndef RINGCAST_SRC_RECODER_H
#define RINGCAST_SRC_RECODER_H

#include "codec/md.h"
#include "ring/board/frame_log.h"
#include "src/market/channels.h"

struct recoder;

int recoder_create(struct recoder **recoder_out, const struct channels *channels);
void recoder_destroy(struct recoder *recoder); /* NULL does nothing. */

/* The tick of a channel's JSON frame; NULL: it cannot be read back (a text with an escape). Valid
 * until the next call. */
const struct md_update *recoder_read(struct recoder *recoder, uint32_t channel,
                                     const uint8_t *frame, size_t frame_bytes);

/* Its SBE frame, or the JSON frame itself if it cannot be read or SBE cannot represent it. Valid
 * until the next call. */
const uint8_t *recoder_to_sbe(struct recoder *recoder, const struct frame_desc *desc,
                              const uint8_t *frame, uint32_t *bytes_out);

#endif
