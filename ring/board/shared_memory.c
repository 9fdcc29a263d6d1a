#include "ring/board/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "ring/board/layout.h"

/* What the oldest C library does not name yet. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

static int shared_memory_make_fd(const char *name)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, flags);
    }
    return fd < 0 ? -errno : fd;
}

/* Whole pages, which may be of 64 KiB: on others munmap() fails. */
static uint64_t shared_memory_view_bytes(const struct shared_memory *memory)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    assert_always(LAYOUT_AREA_BYTES % page_bytes == 0);
    return bytes_round_up(memory->bytes + (memory->bytes - memory->twice_at), page_bytes);
}

/* Reserves all of it first, so that the views are sure to lie side by side. */
static int shared_memory_map(struct shared_memory *memory, int protection)
{
    uint64_t view_bytes = shared_memory_view_bytes(memory);
    assert_always(memory->twice_at <= memory->bytes);
    uint8_t *reserved = mmap(NULL, view_bytes + LAYOUT_AREA_BYTES, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return -errno;
    }
    size_t before = -(uintptr_t)reserved % LAYOUT_AREA_BYTES;
    uint8_t *view = reserved + before;
    if (before > 0) {
        munmap(reserved, before);
    }
    munmap(view + view_bytes, LAYOUT_AREA_BYTES - before);
    if (mmap(view, memory->bytes, protection, MAP_SHARED | MAP_FIXED, memory->fd, 0) ==
            MAP_FAILED ||
        (memory->twice_at < memory->bytes &&
         mmap(view + memory->bytes, memory->bytes - memory->twice_at, protection,
              MAP_SHARED | MAP_FIXED, memory->fd, (off_t)memory->twice_at) == MAP_FAILED)) {
        int error = -errno;
        munmap(view, view_bytes);
        return error;
    }
    memory->view = view;
    return 0;
}

int shared_memory_create(struct shared_memory *memory_out, const char *name, uint64_t bytes,
                         uint64_t twice_at)
{
    struct shared_memory memory = {.bytes = bytes, .twice_at = twice_at};
    memory.fd = shared_memory_make_fd(name);
    if (memory.fd < 0) {
        return memory.fd;
    }
    int error = fchmod(memory.fd, 0600) < 0 || ftruncate(memory.fd, (off_t)bytes) < 0 ? -errno : 0;
    if (error == 0) {
        error = shared_memory_map(&memory, PROT_READ | PROT_WRITE);
    }
    if (error < 0) {
        close(memory.fd);
        return error;
    }
    *memory_out = memory;
    return 0;
}

int shared_memory_open(struct shared_memory *memory_out, int fd, uint64_t bytes, uint64_t twice_at)
{
    struct shared_memory memory = {.fd = fd, .bytes = bytes, .twice_at = twice_at};
    int error = shared_memory_map(&memory, PROT_READ);
    if (error == 0) {
        *memory_out = memory;
    }
    return error;
}

void shared_memory_close(struct shared_memory *memory)
{
    munmap(memory->view, shared_memory_view_bytes(memory));
    close(memory->fd);
}

static int shared_memory_advise(struct shared_memory *memory, uint64_t at, uint64_t bytes,
                                int advice)
{
    assert_always(at + bytes <= shared_memory_view_bytes(memory));
    return madvise(memory->view + at, bytes, advice) < 0 ? -errno : 0;
}

int shared_memory_touch(struct shared_memory *memory, uint64_t at, uint64_t bytes)
{
    return shared_memory_advise(memory, at, bytes, MADV_POPULATE_WRITE);
}

int shared_memory_collapse(struct shared_memory *memory, uint64_t at, uint64_t bytes)
{
    assert_always(at % LAYOUT_AREA_BYTES == 0);
    /* The kernel makes none of what has no page at all. */
    for (uint64_t area = 0; area < bytes; area += LAYOUT_AREA_BYTES) {
        int error = shared_memory_touch(memory, at + area, 1);
        if (error < 0) {
            return error;
        }
    }
    return shared_memory_advise(memory, at, bytes, MADV_COLLAPSE);
}

int shared_memory_punch(struct shared_memory *memory, uint64_t at, uint64_t bytes)
{
    int result;
    assert_always(at + bytes <= memory->bytes);
    do {
        result = madvise(memory->view + at, bytes, MADV_REMOVE);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int shared_memory_seal(struct shared_memory *memory)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    return fcntl(memory->fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int shared_memory_read_only_fd(const struct shared_memory *memory)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
