#include "ring/board/frame_log_size.h"

#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define FRAME_LOG_SIZE_BLOCK_BYTES 512 /* what st_blocks counts */

uint64_t frame_log_size_at_once(const struct frame_log_options *options)
{
    uint64_t descs = options->capacity_bytes / FRAME_LOG_BYTES_PER_DESC * sizeof(struct frame_desc);
    return options->capacity_bytes + bytes_round_up(descs, LAYOUT_AREA_BYTES);
}

uint64_t frame_log_size_most(const struct frame_log_options *options)
{
    uint64_t at_once = frame_log_size_at_once(options);
    uint64_t channels =
        options->channel_count_max * (sizeof(struct frame_record) + FRAME_LOG_CHANNEL_BYTES);
    uint64_t images = options->capacity_bytes;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE); /* the header takes one; of the bytes */
    uint64_t lent = options->capacity_bytes / page_bytes / 8 + page_bytes; /* each has a bit */
    assert_always(at_once > options->capacity_bytes);                      /* No sum has wrapped. */
    assert_always(at_once + channels + images + lent + page_bytes > at_once);
    return at_once + channels + images + lent + page_bytes;
}

uint64_t frame_log_size_now(const struct frame_log *log)
{
    struct stat status;
    if (fstat(log->memory.fd, &status) < 0) {
        return 0;
    }
    return (uint64_t)status.st_blocks * FRAME_LOG_SIZE_BLOCK_BYTES;
}
