/*
 * channels: symbol x type to channel number and back; append-only.
 *
 * Owner    src creates it first and destroys it last.
 * Threads  channels_open: the publisher only. All others: any thread, without a lock.
 * Memory   Sized at creation for CHANNELS_MAX; touched as channels appear.
 */
#ifndef RINGCAST_SRC_CHANNELS_H
#define RINGCAST_SRC_CHANNELS_H

#include "codec/json_tick.h"
#include "codec/md.h"

#define CHANNELS_MAX 65536
#define CHANNEL_NONE UINT32_MAX

struct channel {
    char symbol[MD_SYMBOL_BYTES_MAX + 1]; /* terminated */
    uint8_t symbol_bytes;
    uint8_t type; /* enum md_type */
    struct json_tick_head json_head;
};

struct channels;

int channels_create(struct channels **channels_out);
void channels_destroy(struct channels *channels);

/* The number of the pair, made when new. CHANNEL_NONE: the table is full, or the symbol is not 1
 * to 32 bytes of UTF-8 without control characters, '*' or '"'. */
uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);

/* CHANNEL_NONE: no feed knows it (yet). */
uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);

/* How many there are (acquire): those below it are complete and never change. */
uint32_t channels_count(const struct channels *channels);

const struct channel *channels_get(const struct channels *channels, uint32_t channel);

/* pattern: '*' stands for any run of bytes, at most 4 of them. */
bool channels_pattern_matches(const char *pattern, size_t pattern_bytes, const char *symbol,
                              size_t symbol_bytes);

#endif
