#include "ring/io/send_costs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "ring/io/engine_uring.h"

#define SEND_COSTS_ROUNDS 31
#define SEND_COSTS_WARMUP_ROUNDS 2
#define SEND_COSTS_BUFFER_BYTES (8 * SEND_COSTS_BYTES_MAX) /* of the kernel: none ever waits */
#define SEND_COSTS_WAIT_US 100000 /* for a connection or bytes that the kernel has at once */

struct send_costs_pair {
    int sender;
    int receiver;
    int file; /* of the bytes */
    uint8_t *bytes;
};

uint32_t send_costs_threshold(const struct send_costs *costs)
{
    uint32_t size = SEND_COSTS_SIZES;
    while (size > 0 && 5 * costs->reference_ns[size - 1] < 4 * costs->copy_ns[size - 1]) {
        size--;
    }
    return size == SEND_COSTS_SIZES ? 0 : send_costs_bytes(size);
}

/* ---- Sockets ---- */

/* No wait is longer, even if a filter drops the packets. */
static void send_costs_limit(int fd)
{
    struct timeval wait = {.tv_usec = SEND_COSTS_WAIT_US};
    int buffer_bytes = SEND_COSTS_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
}

static int send_costs_socket_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        send_costs_limit(fd);
    }
    return fd;
}

static int send_costs_connect_tcp(struct send_costs_pair *pair)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    int one = 1;
    int error = 0;
    pair->receiver = send_costs_socket_tcp();
    int listener = pair->receiver < 0 ? -1 : send_costs_socket_tcp();
    if (listener < 0) {
        return -errno;
    }
    if (bind(listener, (const void *)&address, sizeof address) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (void *)&address, &address_bytes) < 0 ||
        connect(pair->receiver, (const void *)&address, address_bytes) < 0 ||
        (pair->sender = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
        error = -errno;
    }
    close(listener);
    setsockopt(pair->sender, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return error;
}

static int send_costs_connect_unix(struct send_costs_pair *pair)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return -errno;
    }
    pair->sender = fds[0];
    pair->receiver = fds[1];
    return 0;
}

/* Bytes as they are in a frame log: in the cache, and in small pages. */
static int send_costs_map(struct send_costs_pair *pair)
{
    pair->file = memfd_create("ringcast-send-costs", MFD_CLOEXEC);
    if (pair->file < 0 || ftruncate(pair->file, SEND_COSTS_BYTES_MAX) < 0) {
        return -errno;
    }
    pair->bytes =
        mmap(NULL, SEND_COSTS_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, pair->file, 0);
    if (pair->bytes == MAP_FAILED) {
        return -errno;
    }
    (void)madvise(pair->bytes, SEND_COSTS_BYTES_MAX, MADV_NOHUGEPAGE);
    memset(pair->bytes, 1, SEND_COSTS_BYTES_MAX);
    return 0;
}

static void send_costs_close(struct send_costs_pair *pair)
{
    const int fds[] = {pair->sender, pair->receiver, pair->file};
    if (pair->bytes != MAP_FAILED) {
        munmap(pair->bytes, SEND_COSTS_BYTES_MAX);
    }
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* ---- Timing ---- */

/* One send, and its bytes taken from the socket again, which is not timed. */
static int send_costs_time(const struct send_costs_pair *pair, uint32_t bytes, bool by_reference,
                           uint64_t *ns_out)
{
    uint8_t taken[SEND_COSTS_BYTES_MAX];
    off_t offset = 0;
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    ssize_t sent = by_reference ? sendfile(pair->sender, pair->file, &offset, bytes)
                                : send(pair->sender, pair->bytes, bytes, MSG_NOSIGNAL);
    *ns_out = clock_ns(CLOCK_MONOTONIC) - start_ns;
    if (sent != (ssize_t)bytes) {
        return sent < 0 ? -errno : -EAGAIN;
    }
    ssize_t got = recv(pair->receiver, taken, bytes, MSG_WAITALL);
    return got == sent ? 0 : got < 0 ? -errno : -EAGAIN;
}

static int send_costs_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static uint64_t send_costs_median(uint64_t samples[SEND_COSTS_ROUNDS])
{
    qsort(samples, SEND_COSTS_ROUNDS, sizeof samples[0], send_costs_compare);
    return samples[SEND_COSTS_ROUNDS / 2];
}

/* Both ways in turns, so that a disturbance affects both. */
static int send_costs_measure_size(struct send_costs *costs, const struct send_costs_pair *pair,
                                   uint32_t size, uint64_t end_ns)
{
    uint64_t samples[2][SEND_COSTS_ROUNDS];
    for (uint32_t i = 0; i < SEND_COSTS_WARMUP_ROUNDS + SEND_COSTS_ROUNDS; i++) {
        for (uint32_t way = 0; way < 2; way++) { /* The first rounds are overwritten. */
            int error = send_costs_time(pair, send_costs_bytes(size), way == 1,
                                        &samples[way][i % SEND_COSTS_ROUNDS]);
            if (error < 0) {
                return error;
            }
        }
        if (clock_ns(CLOCK_MONOTONIC) >= end_ns) {
            return -ETIME;
        }
    }
    costs->copy_ns[size] = send_costs_median(samples[0]);
    costs->reference_ns[size] = send_costs_median(samples[1]);
    return 0;
}

int send_costs_measure(struct send_costs *costs_out, bool is_unix, uint64_t limit_ns)
{
    static_assert(SEND_COSTS_WARMUP_ROUNDS <= SEND_COSTS_ROUNDS, "all of them are overwritten");
    struct send_costs_pair pair = {-1, -1, -1, MAP_FAILED};
    struct send_costs costs = {0};
    uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + limit_ns;
    *costs_out = costs;
    if (is_unix && !engine_uring_sends_files_to_unix()) {
        return -EOPNOTSUPP;
    }
    int error = send_costs_map(&pair);
    if (error == 0) {
        error = is_unix ? send_costs_connect_unix(&pair) : send_costs_connect_tcp(&pair);
    }
    if (error == 0) {
        send_costs_limit(pair.sender);
        send_costs_limit(pair.receiver);
    }
    for (uint32_t size = 0; size < SEND_COSTS_SIZES && error == 0; size++) {
        error = send_costs_measure_size(&costs, &pair, size, end_ns);
    }
    if (error == 0) {
        assert_always(send_costs_bytes(0) > 0);
        *costs_out = costs;
    }
    send_costs_close(&pair);
    return error;
}
