/*
 * out_pool: bytes that wait for one conn, in chains of small blocks from one bounded pool.
 *
 * They are control frames, and the rest of a frame that was partly sent; they always leave
 * before anything from the frame log, so that a stream is never torn.
 *
 * Owner    A core. Threads: its own.
 * Memory   One mapping, blocks of 256 bytes; the first OUT_POOL_BYTES_TOUCHED are touched at
 *          creation, the rest when first used.
 * Errors   -ENOBUFS: the pool is empty; the chain is as it was.
 */
#ifndef RINGCAST_RING_OUT_POOL_H
#define RINGCAST_RING_OUT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OUT_BLOCK_BYTES 256
#define OUT_BLOCK_PAYLOAD (OUT_BLOCK_BYTES - 8)
#define OUT_POOL_BYTES_TOUCHED (1u << 20)
#define OUT_NONE UINT32_MAX

struct out_block {
    uint32_t next; /* OUT_NONE: last */
    uint32_t used_bytes;
    uint8_t bytes[OUT_BLOCK_PAYLOAD];
};

struct out_pool {
    struct out_block *blocks;
    uint32_t block_count;
    uint32_t free_first; /* blocks that were used and came back */
    uint32_t fresh;      /* blocks from here on were never used */
    uint32_t free_count;
};

/* Inside each conn. */
struct out_chain {
    uint32_t first;
    uint32_t last;
    uint32_t bytes;
    uint32_t sent_bytes; /* of the first block */
};

static inline bool out_pool_is_half_free(const struct out_pool *pool)
{
    return pool->free_count >= pool->block_count / 2;
}

int out_pool_init(struct out_pool *pool, size_t bytes);
void out_pool_deinit(struct out_pool *pool);

void out_chain_init(struct out_chain *chain);
int out_chain_append(struct out_pool *pool, struct out_chain *chain, const void *bytes,
                     size_t count);
/* Forgets what was sent, in whole blocks or parts of one. */
void out_chain_consume(struct out_pool *pool, struct out_chain *chain, size_t count);
/* Fills at most iov_max entries; returns how many. *bytes_out: what they cover. */
uint32_t out_chain_gather(const struct out_pool *pool, const struct out_chain *chain,
                          struct iovec *iov, uint32_t iov_max, size_t *bytes_out);

static inline void out_chain_clear(struct out_pool *pool, struct out_chain *chain)
{
    out_chain_consume(pool, chain, chain->bytes);
}

#endif
