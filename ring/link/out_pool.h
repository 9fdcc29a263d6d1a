/*
 * out_pool: bytes that wait for one conn, in chains of small blocks from one bounded pool.
 *
 * They are control frames, and the rest of a frame that was partly sent; they always leave
 * before anything from the frame log, so that a stream is never torn. Messages that a conn has sent
 * and that wait for their turn are kept in chains, too.
 *
 * One conn's share is an eighth of what is free of three quarters of the pool, and a little of the
 * last quarter: conns that do not read leave the others room for their small frames. The pool knows
 * no conns: its users ask for the share before they append.
 *
 * Owner    A core. Threads: its own.
 * Memory   One mapping, blocks of 256 bytes; the first OUT_POOL_BYTES_TOUCHED are touched at
 *          creation, the rest when first used, and again after out_pool_trim.
 * Errors   -ENOBUFS: the pool is empty; the chain is as it was.
 */
#ifndef RINGCAST_RING_OUT_POOL_H
#define RINGCAST_RING_OUT_POOL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OUT_BLOCK_BYTES 256
#define OUT_BLOCK_PAYLOAD (OUT_BLOCK_BYTES - 8)
#define OUT_POOL_BYTES_TOUCHED (1u << 20)
#define OUT_POOL_TRIM_BYTES (1u << 20) /* about 0.1 ms */
#define OUT_POOL_SHARE 8               /* One conn may have an eighth of what is free */
#define OUT_POOL_RESERVE 4             /* above the last quarter, */
#define OUT_POOL_SHARE_BYTES_MIN 4096
#define OUT_NONE UINT32_MAX

struct out_block {
    uint32_t next; /* of a chain's last block: its first; of a free one, OUT_NONE: none */
    uint16_t sent_bytes;
    uint16_t used_bytes;
    uint8_t bytes[OUT_BLOCK_PAYLOAD];
};

struct out_pool {
    struct out_block *blocks;
    uint32_t block_count;
    uint32_t free_first; /* blocks that were used and came back */
    uint32_t fresh;      /* blocks from here on were never used, or not since all were free */
    uint32_t kept;       /* blocks from here on have no memory, unless they are below fresh */
    uint32_t free_count;
};

/* Inside each conn. The blocks are a ring, so that the last one is enough to find the first. */
struct out_chain {
    uint32_t last; /* OUT_NONE: it is empty */
    uint32_t bytes;
};
static_assert(sizeof(struct out_chain) == 8, "counted per connection");

/* How many bytes may wait for one conn. */
static inline size_t out_pool_share(const struct out_pool *pool)
{
    uint32_t reserve = pool->block_count / OUT_POOL_RESERVE;
    uint32_t free_count = pool->free_count > reserve ? pool->free_count - reserve : 0;
    size_t share = (size_t)free_count * OUT_BLOCK_BYTES / OUT_POOL_SHARE;
    return share > OUT_POOL_SHARE_BYTES_MIN ? share : OUT_POOL_SHARE_BYTES_MIN;
}

int out_pool_init(struct out_pool *pool, size_t bytes);
void out_pool_deinit(struct out_pool *pool);

/* Once all blocks are free at the same time, gives their memory back to the kernel, at most
 * OUT_POOL_TRIM_BYTES a call; blocks that are used meanwhile keep theirs. Returns whether there is
 * more to give. */
bool out_pool_trim(struct out_pool *pool);

void out_chain_init(struct out_chain *chain);
int out_chain_append(struct out_pool *pool, struct out_chain *chain, const void *bytes,
                     size_t count);
/* Forgets what was sent, in whole blocks or parts of one. */
void out_chain_consume(struct out_pool *pool, struct out_chain *chain, size_t count);
/* The first bytes, at most bytes_max of them; returns how many. They stay in the chain. */
size_t out_chain_copy(const struct out_pool *pool, const struct out_chain *chain, uint8_t *out,
                      size_t bytes_max);
/* Fills at most iov_max entries; returns how many. *bytes_out: what they cover. */
uint32_t out_chain_gather(const struct out_pool *pool, const struct out_chain *chain,
                          struct iovec *iov, uint32_t iov_max, size_t *bytes_out);

static inline void out_chain_clear(struct out_pool *pool, struct out_chain *chain)
{
    out_chain_consume(pool, chain, chain->bytes);
}

#endif
