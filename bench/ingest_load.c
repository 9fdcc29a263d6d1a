/*
 * ingest_load: one producer as fast as it can, or one tick at a time until a subscriber has it.
 *
 * Run  ingest_load ADDRESS binary|ndjson SECONDS            ticks/s that the server acknowledges
 *      ingest_load ADDRESS latency SECONDS URL [RATE]       from the publish call to the subscriber
 *
 * ADDRESS is unix:PATH or tcp:HOST:PORT of the feed ingest, URL that of the server (unix:///PATH).
 *
 * binary publishes with libringcast_publish, BATCH ticks a flush. ndjson sends one block of
 * prepared lines over and over, so that the making of the text is not measured. In latency the
 * subscriber is in this process and spins; RATE ticks a second (1 000) are published, each when the
 * one before has arrived. It prints one line of JSON; it ends with 1 if a tick was refused or not
 * acknowledged.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench_samples.h"
#include "codec/base/cpu.h"
#include "libringcast/ringcast_publish.h"
#include "libringcast/ringcast_publish_address.h"
#include "tools/common/ws_client.h"

#define CHANNELS 100
#define BATCH 32
#define BLOCK_LINES 8192
#define LINE_BYTES_MAX 256
#define TIMEOUT_MS 10000
#define RATE 1000

_Noreturn static void fail(const char *what, const char *why)
{
    fprintf(stderr, "ingest_load: %s: %s\n", what, why);
    exit(2);
}

static uint64_t refused; /* ticks */

static void on_refused(void *context, uint64_t q, const char *reason)
{
    (void)context;
    if (refused++ == 0) {
        fprintf(stderr, "ingest_load: tick %llu refused: %s\n", (unsigned long long)q, reason);
    }
}

static struct ringcast_trade trade_of(uint64_t number)
{
    return (struct ringcast_trade){
        .ts_event_ns = clock_ns(CLOCK_REALTIME),
        .price = {1000 + (int64_t)(number & 1023), -2},
        .size = {100, 0},
        .side = number & 1 ? RINGCAST_SIDE_BUY : RINGCAST_SIDE_SELL,
        .has_id = true,
        .id = number,
    };
}

static struct ringcast_publish *open_publish(const char *address, int *channels)
{
    char error[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    char symbol[16];
    struct ringcast_publish *publish;
    struct ringcast_publish_info info;
    struct ringcast_publish_options options = {
        .address = address, .name = "ingest_load", .on_refused = on_refused};
    if (ringcast_publish_open(&publish, &options, error) < 0) {
        fail(address, error);
    }
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(symbol, sizeof symbol, "LOAD%03d", i);
        channels[i] = ringcast_publish_channel(publish, symbol, RINGCAST_TRADE);
    }
    do {
        if (ringcast_publish_poll(publish, TIMEOUT_MS) < 0) {
            break;
        }
        ringcast_publish_get_info(publish, &info);
    } while (info.state == RINGCAST_PUBLISH_CONNECTING || info.state == RINGCAST_PUBLISH_GREETING);
    ringcast_publish_get_info(publish, &info);
    if (info.state != RINGCAST_PUBLISH_LIVE) {
        fail(address, info.error);
    }
    return publish;
}

static int report(const char *form, uint64_t ticks, uint64_t unacked, uint64_t full, double seconds)
{
    printf("{\"form\": \"%s\", \"ticks\": %llu, \"seconds\": %.3f, \"ticks_per_s\": %.0f, "
           "\"refused\": %llu, \"unacked\": %llu, \"full\": %llu}\n",
           form, (unsigned long long)ticks, seconds, (double)ticks / seconds,
           (unsigned long long)refused, (unsigned long long)unacked, (unsigned long long)full);
    return refused > 0 || unacked > 0;
}

/* ---- The binary form ---- */

static int load_binary(const char *address, double seconds)
{
    int channels[CHANNELS];
    struct ringcast_publish_info info;
    struct ringcast_publish *publish = open_publish(address, channels);
    uint64_t number = 0;
    uint64_t start_ns = bench_now_ns();
    uint64_t end_ns = start_ns + (uint64_t)(seconds * NS_PER_SECOND);
    while (bench_now_ns() < end_ns) {
        int error = 0;
        for (int i = 0; i < BATCH && error == 0; i++) {
            struct ringcast_trade trade = trade_of(number);
            error = ringcast_publish_trade(publish, channels[number % CHANNELS], &trade);
            number += error == 0;
        }
        /* When the kernel or the buffer is full, it waits for the server. */
        if (error == -EAGAIN || ringcast_publish_flush(publish) < 0) {
            error = ringcast_publish_poll(publish, 100);
        }
        if (error == -ECONNABORTED) {
            break;
        }
    }
    do {
        ringcast_publish_poll(publish, 100);
        ringcast_publish_get_info(publish, &info);
    } while (info.unacked > 0 && bench_now_ns() < end_ns + TIMEOUT_MS * NS_PER_MS);
    double took = (double)(bench_now_ns() - start_ns) / NS_PER_SECOND;
    int result = report("binary", info.published - info.unacked, info.unacked, info.full, took);
    ringcast_publish_close(publish, 0);
    return result;
}

/* ---- Lines ---- */

static int connect_to(const char *text)
{
    char error[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    struct ringcast_publish_addresses found;
    if (ringcast_publish_address_find(&found, text, error, sizeof error) < 0) {
        fail(text, error);
    }
    int fd = socket(found.each[0].any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &found.each[0].any, found.each[0].bytes) < 0) {
        fail(text, strerror(errno));
    }
    return fd;
}

/* Ticks without q: the server counts them. */
static char *make_lines(size_t *bytes_out)
{
    char *lines = malloc((size_t)BLOCK_LINES * LINE_BYTES_MAX);
    size_t at = 0;
    assert_always(lines != NULL);
    for (int i = 0; i < BLOCK_LINES; i++) {
        at += (size_t)snprintf(lines + at, LINE_BYTES_MAX,
                               "{\"type\":\"trade\",\"symbol\":\"LOAD%03d\",\"ts_event\":%llu,"
                               "\"data\":{\"price\":%d.%02d,\"size\":100,\"side\":\"buy\","
                               "\"id\":%d}}\n",
                               i % CHANNELS, (unsigned long long)clock_ns(CLOCK_REALTIME),
                               10 + i % 10, i % 100, i);
    }
    *bytes_out = at;
    return lines;
}

/* Reads what the server sent: the last q that it acknowledged, and how many lines were REFUSED. */
static void read_answers(int fd, int flags, uint64_t *acked)
{
    static char text[1 << 16];
    static size_t kept;
    ssize_t got = recv(fd, text + kept, sizeof text - kept - 1, flags);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        fail("server", got == 0 ? "it closed the connection" : strerror(errno));
    }
    kept += got > 0 ? (size_t)got : 0;
    text[kept] = '\0';
    char *line = text;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        static const char ack[] = "{\"type\":\"ACK\",\"data\":{\"q\":";
        *end = '\0';
        if (strncmp(line, ack, sizeof ack - 1) == 0) {
            *acked = strtoull(line + sizeof ack - 1, NULL, 10);
        } else if (strstr(line, "\"REFUSED\"") != NULL) {
            on_refused(NULL, 0, line);
        } else if (strstr(line, "\"ERROR\"") != NULL) {
            fail("server", line);
        }
    }
    kept = strlen(line);
    memmove(text, line, kept);
}

static int load_lines(const char *address, double seconds)
{
    char hello[128];
    size_t block_bytes, at = 0;
    uint64_t blocks = 0, acked = 0;
    char *lines = make_lines(&block_bytes);
    int fd = connect_to(address);
    snprintf(hello, sizeof hello,
             "{\"type\":\"HELLO\",\"data\":{\"name\":\"ingest_load\",\"epoch\":%llu}}\n",
             (unsigned long long)(clock_ns(CLOCK_REALTIME) / NS_PER_US));
    if (send(fd, hello, strlen(hello), MSG_NOSIGNAL) < 0) {
        fail(address, strerror(errno));
    }
    read_answers(fd, 0, &acked);
    uint64_t start_ns = bench_now_ns();
    uint64_t end_ns = start_ns + (uint64_t)(seconds * NS_PER_SECOND);
    while (at > 0 || bench_now_ns() < end_ns) { /* A block is sent to its end. */
        ssize_t sent = send(fd, lines + at, block_bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            fail("server", strerror(errno));
        }
        at += sent > 0 ? (size_t)sent : 0;
        if (at == block_bytes) {
            at = 0;
            blocks++;
        }
        if (sent < 0) {
            struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
            poll(&ready, 1, TIMEOUT_MS);
        }
        read_answers(fd, MSG_DONTWAIT, &acked);
    }
    while (acked < blocks * BLOCK_LINES && bench_now_ns() < end_ns + TIMEOUT_MS * NS_PER_MS) {
        read_answers(fd, MSG_DONTWAIT, &acked);
    }
    double took = (double)(bench_now_ns() - start_ns) / NS_PER_SECOND;
    free(lines);
    close(fd);
    return report("ndjson", acked, blocks * BLOCK_LINES - acked, 0, took);
}

/* ---- Latency ---- */

static int subscribe(const char *text)
{
    static struct ws_client_opened opened;
    struct ws_client_url url;
    struct ws_client_addresses addresses;
    struct ws_client_subscription wanted = {.symbols = "*", .types = "trade", .on_lag = "skip"};
    struct handshake_wish wish = {.protocol = WS_CLIENT_JSON};
    if (ws_client_parse_url(&url, text, opened.error) < 0 ||
        ws_client_resolve(&url, &addresses, opened.error) < 0 ||
        ws_client_open(&opened, &url, &addresses, &wish, TIMEOUT_MS) < 0) {
        fail(text, opened.error);
    }
    char *message = ws_client_subscribe_text(&wanted);
    static uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    uint8_t mask[4];
    assert_always(message != NULL && getrandom(mask, sizeof mask, 0) == sizeof mask);
    size_t bytes = ws_client_frame(frame, WS_TEXT, message, strlen(message), mask);
    free(message);
    if (send(opened.fd, frame, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        fail(text, strerror(errno));
    }
    return opened.fd;
}

/* Spins until the tick of that id has arrived. */
static void await_tick(int fd, uint64_t number)
{
    static char text[1 << 16];
    char wanted[32];
    size_t kept = 0;
    size_t wanted_bytes =
        (size_t)snprintf(wanted, sizeof wanted, "\"id\":%llu}", (unsigned long long)number);
    uint64_t end_ns = bench_now_ns() + TIMEOUT_MS * NS_PER_MS;
    while (memmem(text, kept, wanted, wanted_bytes) == NULL) {
        ssize_t got = recv(fd, text + kept, sizeof text - kept, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN) || bench_now_ns() > end_ns) {
            fail("subscriber", "the tick did not arrive");
        }
        kept += got > 0 ? (size_t)got : 0;
        if (kept == sizeof text) {
            kept = 0;
        }
    }
}

static int load_one_by_one(const char *address, double seconds, const char *url, double rate)
{
    int channels[CHANNELS];
    struct ringcast_publish_info info;
    struct bench_samples samples;
    int fd = subscribe(url);
    struct ringcast_publish *publish = open_publish(address, channels);
    uint64_t count = (uint64_t)(seconds * rate);
    uint64_t gap_ns = (uint64_t)(NS_PER_SECOND / rate);
    bench_samples_init(&samples, count + 1);
    uint64_t due_ns = bench_now_ns();
    /* The first tick of each channel opens it, and is not counted. */
    for (uint64_t number = 1; number <= CHANNELS + count; number++) {
        for (due_ns += gap_ns; bench_now_ns() < due_ns;) {
            cpu_relax();
        }
        struct ringcast_trade trade = trade_of(number);
        uint64_t start_ns = bench_now_ns();
        if (ringcast_publish_trade(publish, channels[number % CHANNELS], &trade) < 0 ||
            ringcast_publish_flush(publish) < 0) {
            fail(address, "the tick cannot be sent");
        }
        await_tick(fd, number);
        if (number > CHANNELS) {
            bench_samples_add(&samples, (double)(bench_now_ns() - start_ns));
        }
        ringcast_publish_poll(publish, 0);
    }
    bench_samples_print(&samples, "publish to subscriber");
    bench_samples_deinit(&samples);
    ringcast_publish_get_info(publish, &info);
    close(fd);
    return ringcast_publish_close(publish, TIMEOUT_MS) > 0 || info.refused > 0;
}

int main(int argc, char **argv)
{
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
    if (seconds > 0 && argc == 4 && strcmp(argv[2], "binary") == 0) {
        return load_binary(argv[1], seconds);
    }
    if (seconds > 0 && argc == 4 && strcmp(argv[2], "ndjson") == 0) {
        return load_lines(argv[1], seconds);
    }
    double rate = argc > 5 ? strtod(argv[5], NULL) : RATE;
    if (seconds > 0 && rate > 0 && argc >= 5 && strcmp(argv[2], "latency") == 0) {
        return load_one_by_one(argv[1], seconds, argv[4], rate);
    }
    fail("arguments", "ADDRESS binary|ndjson SECONDS, or ADDRESS latency SECONDS URL [RATE]");
}
