#include "ring/link/out_pool.h"

#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/memory.h"

int out_pool_init(struct out_pool *pool, size_t bytes)
{
    assert_always(bytes >= OUT_POOL_BYTES_TOUCHED);
    void *blocks = memory_map(bytes, MAP_NORESERVE);
    if (blocks == NULL) {
        return -ENOMEM;
    }
    memset(blocks, 0, OUT_POOL_BYTES_TOUCHED);
    *pool = (struct out_pool){
        .blocks = blocks,
        .block_count = (uint32_t)(bytes / OUT_BLOCK_BYTES),
        .free_first = OUT_NONE,
        .free_count = (uint32_t)(bytes / OUT_BLOCK_BYTES),
    };
    return 0;
}

void out_pool_deinit(struct out_pool *pool)
{
    munmap(pool->blocks, (size_t)pool->block_count * OUT_BLOCK_BYTES);
}

bool out_pool_trim(struct out_pool *pool)
{
    const uint32_t first = OUT_POOL_BYTES_TOUCHED / OUT_BLOCK_BYTES; /* These stay. */
    const uint32_t step_max = OUT_POOL_TRIM_BYTES / OUT_BLOCK_BYTES;
    const uint32_t blocks_of_page = 4096 / OUT_BLOCK_BYTES;
    pool->kept = pool->fresh > pool->kept ? pool->fresh : pool->kept;
    if (pool->free_count == pool->block_count) {
        pool->free_first = OUT_NONE;
        pool->fresh = 0;
    }
    uint32_t from = pool->fresh > first ? pool->fresh : first;
    from = (from + blocks_of_page - 1) / blocks_of_page * blocks_of_page;
    uint32_t to = (pool->kept + blocks_of_page - 1) / blocks_of_page * blocks_of_page;
    assert_always(to <= pool->block_count);
    if (to <= from) {
        return false;
    }
    from = to - from > step_max ? to - step_max : from;
    (void)madvise(&pool->blocks[from], (size_t)(to - from) * OUT_BLOCK_BYTES, MADV_DONTNEED);
    pool->kept = from;
    return pool->kept > first && pool->kept > pool->fresh;
}

static uint32_t out_pool_take(struct out_pool *pool)
{
    assert_always(pool->free_count > 0);
    pool->free_count--;
    uint32_t index = pool->free_first;
    if (index != OUT_NONE) {
        pool->free_first = pool->blocks[index].next;
    } else {
        index = pool->fresh++;
    }
    pool->blocks[index].sent_bytes = 0;
    pool->blocks[index].used_bytes = 0;
    return index;
}

static void out_pool_give(struct out_pool *pool, uint32_t index)
{
    pool->blocks[index].next = pool->free_first;
    pool->free_first = index;
    pool->free_count++;
}

void out_chain_init(struct out_chain *chain)
{
    *chain = (struct out_chain){.last = OUT_NONE};
}

static void out_chain_add_block(struct out_pool *pool, struct out_chain *chain)
{
    uint32_t index = out_pool_take(pool);
    uint32_t first = index;
    if (chain->last != OUT_NONE) {
        first = pool->blocks[chain->last].next;
        pool->blocks[chain->last].next = index;
    }
    pool->blocks[index].next = first;
    chain->last = index;
}

int out_chain_append(struct out_pool *pool, struct out_chain *chain, const void *bytes,
                     size_t count)
{
    const uint8_t *from = bytes;
    size_t room =
        chain->last == OUT_NONE ? 0 : OUT_BLOCK_PAYLOAD - pool->blocks[chain->last].used_bytes;
    size_t blocks_needed =
        count > room ? (count - room + OUT_BLOCK_PAYLOAD - 1) / OUT_BLOCK_PAYLOAD : 0;
    if (blocks_needed > pool->free_count) {
        return -ENOBUFS;
    }
    chain->bytes += (uint32_t)count;
    while (count > 0) {
        if (room == 0) {
            out_chain_add_block(pool, chain);
            room = OUT_BLOCK_PAYLOAD;
        }
        struct out_block *block = &pool->blocks[chain->last];
        size_t piece = count < room ? count : room;
        memcpy(block->bytes + block->used_bytes, from, piece);
        block->used_bytes = (uint16_t)(block->used_bytes + piece);
        from += piece;
        count -= piece;
        room -= piece;
    }
    return 0;
}

void out_chain_consume(struct out_pool *pool, struct out_chain *chain, size_t count)
{
    assert_always(count <= chain->bytes);
    chain->bytes -= (uint32_t)count;
    while (chain->last != OUT_NONE) {
        uint32_t first = pool->blocks[chain->last].next;
        struct out_block *block = &pool->blocks[first];
        size_t left = block->used_bytes - block->sent_bytes;
        if (count < left) {
            block->sent_bytes = (uint16_t)(block->sent_bytes + count);
            return;
        }
        count -= left;
        if (first == chain->last) {
            chain->last = OUT_NONE;
        } else {
            pool->blocks[chain->last].next = block->next;
        }
        out_pool_give(pool, first);
    }
}

/* The block behind another, OUT_NONE: that is the first one. */
static uint32_t out_chain_next(const struct out_pool *pool, const struct out_chain *chain,
                               uint32_t index)
{
    if (index == chain->last) {
        return OUT_NONE;
    }
    return pool->blocks[index == OUT_NONE ? chain->last : index].next;
}

size_t out_chain_copy(const struct out_pool *pool, const struct out_chain *chain, uint8_t *out,
                      size_t bytes_max)
{
    size_t bytes = 0;
    for (uint32_t index = out_chain_next(pool, chain, OUT_NONE);
         index != OUT_NONE && bytes < bytes_max; index = out_chain_next(pool, chain, index)) {
        const struct out_block *block = &pool->blocks[index];
        size_t piece = block->used_bytes - block->sent_bytes;
        piece = piece < bytes_max - bytes ? piece : bytes_max - bytes;
        memcpy(out + bytes, block->bytes + block->sent_bytes, piece);
        bytes += piece;
    }
    return bytes;
}

uint32_t out_chain_gather(const struct out_pool *pool, const struct out_chain *chain,
                          struct iovec *iov, uint32_t iov_max, size_t *bytes_out)
{
    uint32_t iov_count = 0;
    size_t bytes = 0;
    for (uint32_t index = out_chain_next(pool, chain, OUT_NONE);
         index != OUT_NONE && iov_count < iov_max; index = out_chain_next(pool, chain, index)) {
        struct out_block *block = &pool->blocks[index];
        iov[iov_count++] = (struct iovec){
            .iov_base = block->bytes + block->sent_bytes,
            .iov_len = (size_t)(block->used_bytes - block->sent_bytes),
        };
        bytes += iov[iov_count - 1].iov_len;
    }
    *bytes_out = bytes;
    return iov_count;
}
