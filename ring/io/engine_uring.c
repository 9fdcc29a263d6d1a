#include "ring/io/engine_uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/memory.h"
#include "codec/base/units.h"

static int engine_uring_enter(struct engine *engine, uint64_t timeout_ns)
{
    int result;
    if (timeout_ns == 0) {
        result = io_uring_submit_and_get_events(&engine->ring);
    } else {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec timeout = {
            .tv_sec = (int64_t)(timeout_ns / NS_PER_SECOND),
            .tv_nsec = (long long)(timeout_ns % NS_PER_SECOND),
        };
        result = io_uring_submit_and_wait_timeout(
            &engine->ring, &cqe, 1, timeout_ns == ENGINE_WAIT_FOREVER ? NULL : &timeout, NULL);
    }
    if (result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN ||
        result == -EBUSY) {
        return 0; /* -EAGAIN, -EBUSY: the kernel is short of memory or the CQ is full; the caller
                     reaps and enters again. */
    }
    return result;
}

static int64_t engine_uring_send_file(struct engine *engine, int fd,
                                      const struct engine_stretch *stretch)
{
    off_t offset = (off_t)stretch->offset;
    ssize_t count;
    (void)engine;
    do {
        count = sendfile(fd, stretch->fd, &offset, stretch->bytes);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

static void engine_uring_close(struct engine *engine)
{
    io_uring_queue_exit(&engine->ring);
    memory_unmap(engine->recv_ring, engine->recv_buffer_count * sizeof(struct io_uring_buf));
    memory_unmap(engine->recv_buffers,
                 (size_t)engine->recv_buffer_count * engine->recv_buffer_bytes);
}

void engine_uring_explain(int error, char *text, size_t text_bytes)
{
    const char *words;
    switch (-error) {
    case EPERM:
        words = "io_uring is forbidden here, either by the sysctl kernel.io_uring_disabled (check "
                "`sysctl kernel.io_uring_disabled`: 0 allows all users, 1 root and the group "
                "kernel.io_uring_group), or by a seccomp profile (in containers, use a profile "
                "that allows io_uring_setup, io_uring_enter and io_uring_register)";
        break;
    case ENOSYS:
        words = "this kernel has no io_uring, or a seccomp filter hides it: ringcast needs Linux "
                "6.1 or newer with CONFIG_IO_URING, and in containers a seccomp profile that "
                "allows io_uring_setup, io_uring_enter and io_uring_register";
        break;
    case ENOMEM:
        words = "no memory for the ring: the limit on locked memory is too small (see `ulimit -l`;"
                " raise it with LimitMEMLOCK= in systemd, --ulimit memlock=-1 in containers, or "
                "/etc/security/limits.conf), or memory is short";
        break;
    case EINVAL:
        words = "this kernel refuses every io_uring set-up that ringcast knows: ringcast needs "
                "Linux 6.1 or newer";
        break;
    case EMFILE:
    case ENFILE:
        words = "too many open files: raise `ulimit -n` (LimitNOFILE= in systemd)";
        break;
    default:
        words = "unexpected";
        break;
    }
    snprintf(text, text_bytes, "io_uring: %s: %s", strerror(-error), words);
}

/* Newest first. Kernels from 6.1 take the first; the others are for what is patched or filtered. */
static const uint32_t engine_uring_flags[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
    0,
};

static int engine_uring_setup(struct engine *engine, const struct engine_options *options)
{
    int error = -EINVAL;
    uint32_t sq_entries = options->sq_entries;
    uint32_t cq_entries = options->cq_entries;
    for (size_t rung = 0; rung < sizeof engine_uring_flags / sizeof engine_uring_flags[0];) {
        struct io_uring_params params = {
            .flags = engine_uring_flags[rung] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                     IORING_SETUP_R_DISABLED,
            .cq_entries = cq_entries,
        };
        error = io_uring_queue_init_params(sq_entries, &engine->ring, &params);
        if (error == 0) {
            return 0;
        }
        if (error == -EINVAL) {
            rung++;
        } else if (error == -ENOMEM && cq_entries > 4 * sq_entries) {
            cq_entries /= 2; /* Large rings may fail where memory is fragmented or charged. */
        } else {
            return error;
        }
    }
    return error;
}

static int engine_uring_add_recv_buffers(struct engine *engine,
                                         const struct engine_options *options)
{
    uint32_t count = options->recv_buffer_count;
    assert_always(bytes_is_power_of_two(count));
    assert_always(count <= ENGINE_RECV_BUFFERS_MAX);
    size_t ring_bytes = count * sizeof(struct io_uring_buf);
    size_t buffers_bytes = (size_t)count * options->recv_buffer_bytes;
    struct io_uring_buf_ring *ring = memory_map(ring_bytes, MAP_POPULATE);
    uint8_t *buffers = memory_map(buffers_bytes, MAP_POPULATE);
    int error = -ENOMEM;
    if (ring == NULL || buffers == NULL) {
        goto unmap;
    }
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring,
        .ring_entries = count,
        .bgid = ENGINE_RECV_GROUP,
    };
    error = io_uring_register_buf_ring(&engine->ring, &registration, 0);
    if (error < 0) {
        goto unmap;
    }
    io_uring_buf_ring_init(ring);
    engine->recv_ring = ring;
    engine->recv_buffers = buffers;
    engine->recv_buffer_count = count;
    engine->recv_buffer_bytes = options->recv_buffer_bytes;
    for (uint32_t buffer = 0; buffer < count; buffer++) {
        engine_offer_buffer(engine, buffer);
    }
    return 0;

unmap:
    memory_unmap(buffers, buffers_bytes);
    memory_unmap(ring, ring_bytes);
    return error;
}

static int engine_uring_enable(struct engine *engine)
{
    /* liburing 2.3 declares io_uring_enable_rings() but does not export it. */
    return io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static const struct engine_ops engine_uring_ops = {
    .enable = engine_uring_enable,
    .enter = engine_uring_enter,
    .send_file = engine_uring_send_file,
    .wake = engine_wake_by_message,
    .close = engine_uring_close,
};

bool engine_uring_sends_files_to_unix(void)
{
    struct utsname name;
    unsigned major = 0, minor = 0;
    return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 5));
}

int engine_uring_open(struct engine *engine, const struct engine_options *options,
                      char error_out[ENGINE_ERROR_BYTES_MAX])
{
    assert_always(options->sq_entries > 0);
    assert_always(options->cq_entries >= options->sq_entries);
    *engine = (struct engine){
        .ops = &engine_uring_ops,
        .sends_files_to_unix = engine_uring_sends_files_to_unix(),
    };
    int error = engine_uring_setup(engine, options);
    if (error < 0) {
        engine_uring_explain(error, error_out, ENGINE_ERROR_BYTES_MAX);
        return error;
    }
    io_uring_ring_dontfork(&engine->ring);
    if (options->recv_buffer_count == 0) {
        return 0;
    }
    error = engine_uring_add_recv_buffers(engine, options);
    if (error < 0) {
        engine_uring_explain(error, error_out, ENGINE_ERROR_BYTES_MAX);
        io_uring_queue_exit(&engine->ring);
    }
    return error;
}
