/*
 * peer_publish: brings the ticks of a spec to a broker that does not make any itself.
 *
 *   peer_publish --target nats  --port N --spec SPEC    NATS core protocol; subjects md.AAPL_US
 *   peer_publish --target nchan --port N --spec SPEC    pipelined POST /pub/AAPL.US
 *   peer_publish --target mqtt  --port N --spec SPEC    MQTT 3.1.1 with QoS 0; topics md/AAPL.US
 *
 * All ticks of an instant leave in one write, over one connection, so that their order is kept.
 * It waits up to 10 s for the broker, and ends at SIGTERM, or with exit code 1 when the broker
 * refuses anything.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/peers/peer_ticks.h"
#include "codec/base/units.h"

#define IN_BYTES_MAX 65536
#define HEAD_BYTES_MAX 128 /* Of what a protocol puts around a tick. */
#define CONNECT_ATTEMPTS_MAX 100
#define CONNECT_PAUSE_NS (100 * NS_PER_MS)

static volatile sig_atomic_t interrupted;

struct publish {
    const struct publish_target *target;
    struct peer_ticks ticks;
    int fd;
    char *out;
    size_t out_bytes;
    char in[IN_BYTES_MAX + 1];
    size_t in_bytes;
    bool is_ready; /* the answer to the hello has come */
};

struct publish_target {
    const char *name;
    const char *hello; /* sent first; the ticks follow when it is answered */
    size_t hello_bytes;
    /* What stands before a tick; returns its bytes. */
    int (*head)(char *out, const char *symbol, uint32_t tick_bytes);
    const char *tail;
    /* Consumes one answer; returns its bytes, 0: not whole yet, or a negative errno. */
    ssize_t (*answer)(struct publish *publish, const char *text, size_t bytes);
};

static void publish_on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static int publish_nats_head(char *out, const char *symbol, uint32_t tick_bytes)
{
    char subject[PEER_NAME_BYTES_MAX];
    snprintf(subject, sizeof subject, "%s", symbol);
    for (char *at = subject; *at != '\0'; at++) {
        *at = *at == '.' ? '_' : *at;
    }
    return snprintf(out, HEAD_BYTES_MAX, "PUB md.%s %u\r\n", subject, tick_bytes);
}

static void publish_queue(struct publish *publish, const char *text, size_t bytes)
{
    memcpy(publish->out + publish->out_bytes, text, bytes);
    publish->out_bytes += bytes;
}

static ssize_t publish_nats_answer(struct publish *publish, const char *text, size_t bytes)
{
    const char *end = memchr(text, '\n', bytes);
    if (end == NULL) {
        return 0;
    }
    if (strncmp(text, "-ERR", 4) == 0) {
        fprintf(stderr, "peer_publish: %.*s\n", (int)(end - text), text);
        return -EPROTO;
    }
    if (strncmp(text, "PING", 4) == 0) {
        publish_queue(publish, "PONG\r\n", 6);
    }
    publish->is_ready |= strncmp(text, "PONG", 4) == 0;
    return end + 1 - text;
}

static int publish_nchan_head(char *out, const char *symbol, uint32_t tick_bytes)
{
    return snprintf(out, HEAD_BYTES_MAX,
                    "POST /pub/%s HTTP/1.1\r\nHost: peer\r\nContent-Length: %u\r\n\r\n", symbol,
                    tick_bytes);
}

/* 201: there were subscribers; 202: there was none. */
static ssize_t publish_nchan_answer(struct publish *publish, const char *text, size_t bytes)
{
    (void)publish;
    const char *body = memmem(text, bytes, "\r\n\r\n", 4);
    if (body == NULL) {
        return 0;
    }
    const char *length = memmem(text, (size_t)(body - text), "\r\nContent-Length: ", 18);
    if (length == NULL ||
        (strncmp(text, "HTTP/1.1 201", 12) != 0 && strncmp(text, "HTTP/1.1 202", 12) != 0)) {
        fprintf(stderr, "peer_publish: %.*s\n", (int)(body - text), text);
        return -EPROTO;
    }
    size_t answer_bytes = (size_t)(body + 4 - text) + strtoul(length + 18, NULL, 10);
    return answer_bytes <= bytes ? (ssize_t)answer_bytes : 0;
}

/* PUBLISH: the length of the rest has 7 bits a byte, the lowest first. */
static int publish_mqtt_head(char *out, const char *symbol, uint32_t tick_bytes)
{
    int bytes = 0;
    uint32_t topic_bytes = 3 + (uint32_t)strlen(symbol);
    uint32_t rest = 2 + topic_bytes + tick_bytes;
    out[bytes++] = 0x30;
    for (; rest > 0x7f; rest >>= 7) {
        out[bytes++] = (char)(rest | 0x80);
    }
    out[bytes++] = (char)rest;
    out[bytes++] = 0;
    out[bytes++] = (char)topic_bytes;
    return bytes + snprintf(out + bytes, (size_t)(HEAD_BYTES_MAX - bytes), "md/%s", symbol);
}

/* CONNACK only: QoS 0 is not acknowledged. */
static ssize_t publish_mqtt_answer(struct publish *publish, const char *text, size_t bytes)
{
    if (bytes < 4) {
        return 0;
    }
    if (memcmp(text, "\x20\x02\0\0", 4) != 0) {
        fprintf(stderr, "peer_publish: the broker refuses, code %d\n", text[3]);
        return -EPROTO;
    }
    publish->is_ready = true;
    return 4;
}

#define HELLO(text) .hello = (text), .hello_bytes = sizeof(text) - 1

static const struct publish_target publish_targets[] = {
    {.name = "nats",
     HELLO("CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"peer_publish\"}\r\nPING\r\n"),
     .head = publish_nats_head,
     .tail = "\r\n",
     .answer = publish_nats_answer},
    {.name = "nchan",
     HELLO(""),
     .head = publish_nchan_head,
     .tail = "",
     .answer = publish_nchan_answer},
    /* CONNECT: a clean session, no keep-alive of note, the client peer_publish */
    {.name = "mqtt",
     HELLO("\x10\x18\0\4MQTT\4\2\xff\xff\0\14peer_publish"),
     .head = publish_mqtt_head,
     .tail = "",
     .answer = publish_mqtt_answer},
};

static int publish_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (int attempt = 0; attempt < CONNECT_ATTEMPTS_MAX && !interrupted; attempt++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
            fcntl(fd, F_SETFL, O_NONBLOCK);
            return fd;
        }
        close(fd);
        nanosleep(&(struct timespec){.tv_nsec = CONNECT_PAUSE_NS}, NULL);
    }
    return -ECONNREFUSED;
}

static int publish_read(struct publish *publish)
{
    ssize_t got =
        read(publish->fd, publish->in + publish->in_bytes, IN_BYTES_MAX - publish->in_bytes);
    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ECONNRESET;
    }
    publish->in_bytes += (size_t)got;
    publish->in[publish->in_bytes] = '\0';
    size_t used = 0;
    ssize_t bytes;
    do {
        bytes = publish->target->answer(publish, publish->in + used, publish->in_bytes - used);
        used += bytes > 0 ? (size_t)bytes : 0;
    } while (bytes > 0 && used < publish->in_bytes);
    publish->in_bytes -= used;
    memmove(publish->in, publish->in + used, publish->in_bytes);
    if (publish->in_bytes == IN_BYTES_MAX) {
        return -EPROTO;
    }
    return bytes < 0 ? (int)bytes : 0;
}

/* Reads answers, and writes what is queued, until timeout_ns is over or there is nothing to do. */
static int publish_poll(struct publish *publish, uint64_t timeout_ns)
{
    struct pollfd entry = {.fd = publish->fd,
                           .events = (short)(POLLIN | (publish->out_bytes > 0 ? POLLOUT : 0))};
    struct timespec timeout = {(time_t)(timeout_ns / NS_PER_SECOND),
                               (long)(timeout_ns % NS_PER_SECOND)};
    if (ppoll(&entry, 1, &timeout, NULL) <= 0) {
        return 0;
    }
    if (entry.revents & POLLOUT) {
        ssize_t sent = send(publish->fd, publish->out, publish->out_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return -errno;
        }
        publish->out_bytes -= sent > 0 ? (size_t)sent : 0;
        memmove(publish->out, publish->out + (sent > 0 ? sent : 0), publish->out_bytes);
    }
    return entry.revents & ~POLLOUT ? publish_read(publish) : 0;
}

static int publish_flush(struct publish *publish)
{
    int error = 0;
    while (error == 0 && publish->out_bytes > 0 && !interrupted) {
        error = publish_poll(publish, NS_PER_SECOND);
    }
    return error;
}

static void publish_queue_instant(struct publish *publish)
{
    struct peer_ticks *ticks = &publish->ticks;
    for (uint32_t i = 0; i < ticks->spec.burst; i++) {
        char name[PEER_NAME_BYTES_MAX];
        peer_symbol_name((uint32_t)(ticks->made % ticks->spec.symbols), name);
        char *at = publish->out + publish->out_bytes;
        int head_bytes = publish->target->head(at, name, ticks->spec.pad);
        peer_ticks_make(ticks, at + head_bytes);
        publish->out_bytes += (size_t)head_bytes + ticks->spec.pad;
        publish_queue(publish, publish->target->tail, strlen(publish->target->tail));
    }
}

static int publish_run(struct publish *publish)
{
    publish_queue(publish, publish->target->hello, publish->target->hello_bytes);
    bool needs_answer = publish->out_bytes > 0;
    int error = publish_flush(publish);
    while (error == 0 && needs_answer && !publish->is_ready && !interrupted) {
        error = publish_poll(publish, NS_PER_SECOND);
    }
    peer_ticks_start(&publish->ticks);
    while (error == 0 && !interrupted) {
        uint64_t due_ns = peer_ticks_due_ns(&publish->ticks);
        uint64_t now_ns = peer_now_ns(CLOCK_MONOTONIC);
        if (now_ns < due_ns) {
            error = publish_poll(publish, due_ns - now_ns);
        } else {
            publish_queue_instant(publish);
            error = publish_flush(publish);
        }
    }
    return error;
}

static int publish_open(struct publish *publish, const char *target, const char *port,
                        const char *spec_text)
{
    for (size_t i = 0; i < sizeof publish_targets / sizeof *publish_targets; i++) {
        if (strcmp(target, publish_targets[i].name) == 0) {
            publish->target = &publish_targets[i];
        }
    }
    struct peer_spec spec;
    if (publish->target == NULL || peer_spec_parse(&spec, spec_text) != 0) {
        return -EINVAL;
    }
    /* Twice, for a PONG or two beside an instant. */
    publish->out = malloc(2 * (size_t)(spec.burst + 1) * (spec.pad + HEAD_BYTES_MAX));
    if (publish->out == NULL || peer_ticks_init(&publish->ticks, &spec) != 0) {
        return -ENOMEM;
    }
    publish->fd = publish_connect((uint16_t)strtoul(port, NULL, 10));
    return publish->fd < 0 ? publish->fd : 0;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"target", required_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},
        {"spec", required_argument, NULL, 's'},
        {0},
    };
    static struct publish publish;
    const char *target = "", *port = "", *spec = "";
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        const char **texts[] = {['p'] = &port, ['s'] = &spec, ['t'] = &target};
        if (option == '?') {
            return 1;
        }
        *texts[option] = optarg;
    }
    struct sigaction action = {.sa_handler = publish_on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int error = publish_open(&publish, target, port, spec);
    if (error == 0) {
        error = publish_run(&publish);
    }
    if (error != 0 && !interrupted) {
        fprintf(stderr, "peer_publish: %s\n", strerror(-error));
    }
    peer_ticks_deinit(&publish.ticks);
    free(publish.out);
    return error != 0 && !interrupted;
}
