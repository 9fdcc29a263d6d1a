/*
 * Question  From how many bytes on does sendfile(2) from a memfd cost the sender less than send(2)
 *           of the same bytes, on TCP loopback and on Unix-domain sockets?
 * Method    A reader on another CPU empties all sockets. A pass sends one message to each of them,
 *           when the reader has taken those of the pass before; passes by send and by sendfile take
 *           turns. What counts is the sending thread's CPU time: on loopback the kernel brings a
 *           segment to the receiver's socket within the call. Sort the means of the passes; report
 *           p50, p99, p99.9, max.
 * Run       zig build bench -- sendfile         (full)
 *           zig build test                      (small: proves it still works)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench_cpus.h"
#include "bench/bench_samples.h"

#define FILE_BYTES ((size_t)4 << 20)
#define MESSAGE_BYTES_MAX 65536
#define SOCKETS_MAX 200
#define SEND_BUFFER_BYTES 262144
#define WARMUP_PASSES 2
#define WAIT_MS_MAX 30000 /* A reader that takes longer is broken. */

static const struct bench_size {
    const char *name;
    size_t socket_count;
    size_t pass_count;
} sizes[] = {
    {.name = "small", .socket_count = 8, .pass_count = 3},
    {.name = "full", .socket_count = SOCKETS_MAX, .pass_count = 200},
};

static const size_t message_sizes[] = {256, 1024, 4096, 8192, 16384, 32768, MESSAGE_BYTES_MAX};

struct bench_link {
    size_t socket_count;
    int senders[SOCKETS_MAX];
    int receivers[SOCKETS_MAX];
    int epoll_fd;
    int cpu;                      /* the reader's */
    _Atomic uint64_t taken_bytes; /* by the reader */
    uint64_t sent_bytes;
    uint64_t checksum; /* the reader's, until it is joined */
};

struct bench_source {
    int fd;
    uint8_t *bytes; /* FILE_BYTES, the same */
    size_t offset;  /* of the next message */
};

/* ---- Sockets ---- */

static void bench_pair_tcp(int *sender_out, int *receiver_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_always(bind(listener, (const void *)&address, sizeof address) == 0);
    assert_always(listen(listener, 1) == 0);
    assert_always(getsockname(listener, (void *)&address, &address_bytes) == 0);
    *receiver_out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_always(connect(*receiver_out, (const void *)&address, address_bytes) == 0);
    *sender_out = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_always(*sender_out >= 0);
    setsockopt(*sender_out, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

static void bench_pair_unix(int *sender_out, int *receiver_out)
{
    int pair[2];
    assert_always(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    *sender_out = pair[0];
    *receiver_out = pair[1];
}

static void bench_link_open(struct bench_link *link, void (*open_pair)(int *, int *))
{
    int buffer_bytes = SEND_BUFFER_BYTES;
    link->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert_always(link->epoll_fd >= 0);
    for (size_t i = 0; i < link->socket_count; i++) {
        open_pair(&link->senders[i], &link->receivers[i]);
        setsockopt(link->senders[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = link->receivers[i]};
        assert_always(epoll_ctl(link->epoll_fd, EPOLL_CTL_ADD, link->receivers[i], &event) == 0);
    }
}

static void bench_link_close(struct bench_link *link)
{
    for (size_t i = 0; i < link->socket_count; i++) {
        close(link->receivers[i]);
    }
    close(link->epoll_fd);
}

/* ---- The reader ---- */

/* Until all senders are closed. */
static void *bench_read_all(void *argument)
{
    static uint8_t buffer[4 * MESSAGE_BYTES_MAX];
    struct bench_link *link = argument;
    struct epoll_event events[64];
    size_t open_count = link->socket_count;
    bench_cpus_pin(link->cpu);
    while (open_count > 0) {
        int count = epoll_wait(link->epoll_fd, events, 64, WAIT_MS_MAX);
        assert_always(count > 0);
        for (int i = 0; i < count; i++) {
            ssize_t got = recv(events[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
            assert_always(got >= 0);
            if (got == 0) {
                epoll_ctl(link->epoll_fd, EPOLL_CTL_DEL, events[i].data.fd, NULL);
                open_count--;
                continue;
            }
            link->checksum += buffer[0];
            atomic_fetch_add(&link->taken_bytes, (uint64_t)got);
        }
    }
    return NULL;
}

static void bench_await_reader(const struct bench_link *link)
{
    uint64_t deadline_ns = bench_now_ns() + WAIT_MS_MAX * NS_PER_MS;
    while (atomic_load(&link->taken_bytes) != link->sent_bytes) {
        assert_always(bench_now_ns() < deadline_ns);
        sched_yield();
    }
}

/* ---- The sender ---- */

static ssize_t bench_send_once(const struct bench_source *source, int fd, bool by_reference,
                               size_t done, size_t bytes)
{
    off_t offset = (off_t)(source->offset + done);
    return by_reference ? sendfile(fd, source->fd, &offset, bytes - done)
                        : send(fd, source->bytes + offset, bytes - done, MSG_NOSIGNAL);
}

/* What the socket has no room for is sent when it has. */
static void bench_send(const struct bench_source *source, int fd, bool by_reference, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t sent = bench_send_once(source, fd, by_reference, done, bytes);
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        assert_always(sent > 0 || errno == EAGAIN);
        done += sent > 0 ? (size_t)sent : 0;
        if (done < bytes) {
            assert_always(poll(&room, 1, WAIT_MS_MAX) == 1);
        }
    }
}

/* Returns the CPU time of a message. */
static double bench_pass(struct bench_link *link, struct bench_source *source, bool by_reference,
                         size_t bytes)
{
    uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < link->socket_count; i++) {
        bench_send(source, link->senders[i], by_reference, bytes);
    }
    uint64_t used_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;
    source->offset = (source->offset + bytes) % (FILE_BYTES - MESSAGE_BYTES_MAX);
    link->sent_bytes += link->socket_count * bytes;
    bench_await_reader(link);
    return (double)used_ns / (double)link->socket_count;
}

static void bench_both_ways(struct bench_link *link, struct bench_source *source,
                            const char *socket_kind, size_t bytes, size_t pass_count)
{
    struct bench_samples samples[2];
    char name[64];
    for (int way = 0; way < 2; way++) {
        bench_samples_init(&samples[way], pass_count);
    }
    for (size_t pass = 0; pass < WARMUP_PASSES + pass_count; pass++) {
        for (int way = 0; way < 2; way++) {
            double used_ns = bench_pass(link, source, way == 1, bytes);
            if (pass >= WARMUP_PASSES) {
                bench_samples_add(&samples[way], used_ns);
            }
        }
    }
    for (int way = 0; way < 2; way++) {
        snprintf(name, sizeof name, "%s %zu bytes: %s", socket_kind, bytes,
                 way == 0 ? "send" : "sendfile");
        bench_samples_print(&samples[way], name);
        bench_samples_deinit(&samples[way]);
    }
}

/* Returns a checksum. */
static uint64_t bench_sockets(struct bench_source *source, const char *socket_kind,
                              void (*open_pair)(int *, int *), int reader_cpu,
                              const struct bench_size *size)
{
    struct bench_link link = {.socket_count = size->socket_count, .cpu = reader_cpu};
    pthread_t reader;
    bench_link_open(&link, open_pair);
    assert_always(pthread_create(&reader, NULL, bench_read_all, &link) == 0);
    for (size_t i = 0; i < sizeof message_sizes / sizeof message_sizes[0]; i++) {
        bench_both_ways(&link, source, socket_kind, message_sizes[i], size->pass_count);
    }
    for (size_t i = 0; i < link.socket_count; i++) {
        close(link.senders[i]);
    }
    pthread_join(reader, NULL);
    assert_always(atomic_load(&link.taken_bytes) == link.sent_bytes);
    bench_link_close(&link);
    return link.checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_source source = {.fd = memfd_create("bench_sendfile", MFD_CLOEXEC)};
    int cpus[2];
    if (!bench_cpus_pick(cpus)) {
        bench_print_skipped("a reader on another CPU needs two of them");
        return 0;
    }
    bench_cpus_pin(cpus[0]);
    assert_always(source.fd >= 0 && ftruncate(source.fd, FILE_BYTES) == 0);
    source.bytes = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, source.fd, 0);
    assert_always(source.bytes != MAP_FAILED);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        source.bytes[i] = (uint8_t)(i * 37);
    }
    uint64_t checksum = bench_sockets(&source, "TCP", bench_pair_tcp, cpus[1], size);
    checksum += bench_sockets(&source, "Unix-domain", bench_pair_unix, cpus[1], size);
    bench_print_checksum(checksum);
    munmap(source.bytes, FILE_BYTES);
    close(source.fd);
    return 0;
}
