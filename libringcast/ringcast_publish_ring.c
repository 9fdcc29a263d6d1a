#include "libringcast/ringcast_publish_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/sbe_tick.h"

/* Maps the file twice within one reservation. */
static int ringcast_publish_ring_map(struct ringcast_publish_ring *ring, int fd)
{
    size_t capacity = ring->capacity;
    uint8_t *both =
        mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (both == MAP_FAILED) {
        return -errno;
    }
    int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
    for (unsigned i = 0; i < 2; i++) {
        if (mmap(both + i * capacity, capacity, PROT_READ | PROT_WRITE, flags, fd, 0) ==
            MAP_FAILED) {
            int error = -errno;
            munmap(both, 2 * capacity);
            return error;
        }
    }
    ring->bytes = both;
    return 0;
}

int ringcast_publish_ring_create(struct ringcast_publish_ring *ring, size_t bytes)
{
    *ring = (struct ringcast_publish_ring){.capacity = (size_t)sysconf(_SC_PAGESIZE)};
    if (bytes > SIZE_MAX / 8) {
        return -ENOMEM;
    }
    while (ring->capacity < bytes) {
        ring->capacity *= 2;
    }
    int fd = memfd_create("ringcast_publish", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = ftruncate(fd, (off_t)ring->capacity) < 0 ? -errno : 0;
    if (error == 0) {
        error = ringcast_publish_ring_map(ring, fd);
    }
    close(fd);
    return error;
}

void ringcast_publish_ring_destroy(struct ringcast_publish_ring *ring)
{
    if (ring->bytes != NULL) {
        munmap(ring->bytes, 2 * ring->capacity);
        ring->bytes = NULL;
    }
}

static size_t ringcast_publish_ring_bytes_at(const struct ringcast_publish_ring *ring,
                                             uint64_t position)
{
    uint32_t bytes;
    memcpy(&bytes, ringcast_publish_ring_at(ring, position), sizeof bytes);
    return RINGCAST_PUBLISH_LENGTH_BYTES + (size_t)bytes;
}

static bool ringcast_publish_ring_is_json_at(const struct ringcast_publish_ring *ring,
                                             uint64_t position)
{
    return ringcast_publish_ring_at(ring, position)[RINGCAST_PUBLISH_LENGTH_BYTES] == '{';
}

void ringcast_publish_ring_append(struct ringcast_publish_ring *ring, size_t message_bytes)
{
    assert_always(message_bytes > 0);
    assert_always(message_bytes + RINGCAST_PUBLISH_LENGTH_BYTES <=
                  ringcast_publish_ring_room(ring));

    uint32_t length = (uint32_t)message_bytes;
    memcpy(ringcast_publish_ring_at(ring, ring->end), &length, sizeof length);
    ring->tick_count += !ringcast_publish_ring_is_json_at(ring, ring->end);
    ring->end += RINGCAST_PUBLISH_LENGTH_BYTES + message_bytes;
}

void ringcast_publish_ring_on_sent(struct ringcast_publish_ring *ring, size_t bytes)
{
    assert_always(bytes <= ring->end - ring->sent);

    ring->sent += bytes;
    if (ring->sent == ring->end) {
        ring->boundary = ring->end;
    }
}

size_t ringcast_publish_ring_rest(struct ringcast_publish_ring *ring)
{
    uint64_t at = ring->boundary;
    while (at < ring->sent) {
        ring->boundary = at;
        at += ringcast_publish_ring_bytes_at(ring, at);
    }
    if (at == ring->sent) {
        ring->boundary = at;
    }
    assert_always(at <= ring->end);
    return (size_t)(at - ring->sent);
}

void ringcast_publish_ring_release(struct ringcast_publish_ring *ring, uint64_t q, bool of_all)
{
    uint64_t limit = of_all ? ring->end : ring->sent;
    uint64_t at = ring->tail;
    while (at < limit) {
        uint64_t next = at + ringcast_publish_ring_bytes_at(ring, at);
        /* What is not a tick has no number: it goes with the tick behind it. */
        if (!ringcast_publish_ring_is_json_at(ring, at)) {
            const uint8_t *message =
                ringcast_publish_ring_at(ring, at) + RINGCAST_PUBLISH_LENGTH_BYTES;
            if (next > limit || bytes_load_le64(message + SBE_TICK_SEQ_AT) > q) {
                break;
            }
            assert_always(ring->tick_count > 0);
            ring->tick_count--;
            ring->tail = next;
        }
        at = next;
    }
    if (ring->boundary < ring->tail) {
        ring->boundary = ring->tail;
    }
    if (ring->sent < ring->tail) {
        ring->sent = ring->tail;
    }
    assert_always(ring->tail <= ring->sent && ring->sent <= ring->end);
}

bool ringcast_publish_ring_has_room(struct ringcast_publish_ring *ring, size_t bytes)
{
    if (bytes > ringcast_publish_ring_room(ring) && ring->tick_count == 0) {
        (void)ringcast_publish_ring_rest(ring); /* It moves the boundary. */
        ring->tail = ring->boundary;
        assert_always(ring->tail <= ring->sent);
    }
    return bytes <= ringcast_publish_ring_room(ring);
}

void ringcast_publish_ring_rewind(struct ringcast_publish_ring *ring)
{
    ring->sent = ring->tail;
    ring->boundary = ring->tail;
}
