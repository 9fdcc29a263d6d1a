/*
 * feed_udp: trades from UDP datagrams on loopback. A datagram is one line of text:
 *
 *     SYMBOL PRICE SIZE
 *
 * docs/feeds/write-your-own.md explains it step by step.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/list.h"
#include "codec/base/units.h"
#include "codec/decimal.h"
#include "feeds/feed.h"

#define FEED_UDP_DATAGRAM_BYTES_MAX 512
#define FEED_UDP_FAULTS_SHOWN_MAX 10

struct feed_udp {
    struct feed feed; /* first */
    uint64_t port;
    int fd;
};

/* ---- Open and close ---- */

static int feed_udp_bind(struct feed_udp *udp, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)udp->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    udp->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp->fd >= 0 && bind(udp->fd, (struct sockaddr *)&address, sizeof address) == 0) {
        return 0;
    }
    int error = -errno;
    if (udp->fd >= 0) {
        close(udp->fd);
    }
    return feed_fail(error_out, error, "udp: port %llu: %s: choose another one with port=",
                     (unsigned long long)udp->port, strerror(-error));
}

static int feed_udp_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                         uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    (void)now_ns;
    struct feed_udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL) {
        return feed_fail(error_out, -ENOMEM, "udp: no memory");
    }
    udp->feed.sink = sink;
    udp->port = 9200;
    const struct feed_key keys[] = {{"port", FEED_KEY_U64, &udp->port, 1, 65535}};
    int error = feed_parse_keys("udp", spec, keys, sizeof keys / sizeof keys[0], error_out);
    if (error == 0) {
        error = feed_udp_bind(udp, error_out);
    }
    if (error < 0) {
        free(udp);
        return error;
    }
    sink->watch(sink->context, udp->fd);
    *feed_out = &udp->feed;
    return 0;
}

static void feed_udp_close(struct feed *feed)
{
    struct feed_udp *udp = container_of(feed, struct feed_udp, feed);
    close(udp->fd);
    free(udp);
}

/* ---- Poll ---- */

static void feed_udp_malformed(struct feed_udp *udp, const char *why)
{
    if (udp->feed.counters.malformed++ < FEED_UDP_FAULTS_SHOWN_MAX) {
        feed_log(&udp->feed, FEED_WARNING, "udp: a datagram was ignored: %s", why);
    }
}

static void feed_udp_line(struct feed_udp *udp, char *line, uint64_t now_ns)
{
    const struct feed_sink *sink = udp->feed.sink;
    char *rest;
    const char *symbol = strtok_r(line, " \r\n", &rest);
    const char *price = strtok_r(NULL, " \r\n", &rest);
    const char *size = strtok_r(NULL, " \r\n", &rest);
    struct md_update update = {.type = MD_TRADE, .ts_recv_ns = now_ns};

    if (size == NULL || !decimal_parse(price, strlen(price), &update.trade.price) ||
        !decimal_parse(size, strlen(size), &update.trade.size) || update.trade.size.mantissa < 0) {
        feed_udp_malformed(udp, "it is not SYMBOL PRICE SIZE");
        return;
    }
    update.channel = sink->open_channel(sink->context, symbol, strlen(symbol), MD_TRADE);
    if (update.channel == UINT32_MAX) {
        feed_udp_malformed(udp, "the symbol is not valid, or there are too many channels");
        return;
    }
    sink->publish(sink->context, &update);
    udp->feed.counters.ticks++;
}

static uint64_t feed_udp_poll(struct feed *feed, uint64_t now_ns)
{
    struct feed_udp *udp = container_of(feed, struct feed_udp, feed);
    char line[FEED_UDP_DATAGRAM_BYTES_MAX + 1];
    uint32_t room = 0;

    for (; feed_has_room(feed, &room); room--) {
        ssize_t bytes = recv(udp->fd, line, FEED_UDP_DATAGRAM_BYTES_MAX, 0);
        if (bytes < 0) {
            return now_ns + NS_PER_SECOND; /* Nothing is left; the watched socket ends the wait. */
        }
        line[bytes] = '\0';
        if (feed->state != FEED_LIVE) {
            feed_set_state(feed, FEED_LIVE, now_ns, "%s", "");
        }
        feed_udp_line(udp, line, now_ns);
    }
    return now_ns; /* There may be more: poll again at once. */
}

const struct feed_ops feed_udp = {
    .name = "udp",
    .help = "port=9200    UDP port on loopback; a datagram is a line SYMBOL PRICE SIZE\n",
    .open = feed_udp_open,
    .poll = feed_udp_poll,
    .close = feed_udp_close,
};
