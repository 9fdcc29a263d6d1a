/*
 * publish: publishes invented trades to a server with --feed ingest, by the library in C.
 *
 *     cc examples/publish.c -Izig-out/include -Lzig-out/lib -lringcast_publish -o publish
 *     ./publish unix:/run/ringcast.sock 1000
 */
#include <errno.h>
#include <ringcast_publish.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void on_refused(void *context, uint64_t q, const char *reason)
{
    ++*(int *)context;
    fprintf(stderr, "publish: tick %llu refused: %s\n", (unsigned long long)q, reason);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: publish ADDRESS [TICKS], such as unix:/run/ringcast.sock 1000\n");
        return 2;
    }
    int refused = 0;
    struct ringcast_publish_options options = {
        .address = argv[1], .name = "publish.c", .on_refused = on_refused, .context = &refused};
    struct ringcast_publish *publish;
    struct ringcast_publish_info info;
    char error[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    if (ringcast_publish_open(&publish, &options, error) < 0) {
        fprintf(stderr, "publish: %s\n", error);
        return 1;
    }
    int mine = ringcast_publish_channel(publish, "MINE", RINGCAST_TRADE);
    int count = argc > 2 ? atoi(argv[2]) : 100;
    struct ringcast_decimal price = {1032, -2}; /* 10.32 */
    for (int i = 1; i <= count; i++) {
        price.mantissa += rand() % 3 - 1;
        struct ringcast_trade trade = {.ts_event_ns = now_ns(),
                                       .price = price,
                                       .size = {100 * (1 + rand() % 9), 0},
                                       .side = rand() % 2 ? RINGCAST_SIDE_BUY : RINGCAST_SIDE_SELL,
                                       .has_id = true,
                                       .id = (uint64_t)i};
        int failed;
        while ((failed = ringcast_publish_trade(publish, mine, &trade)) == -EAGAIN) {
            ringcast_publish_poll(publish, 100); /* The buffer is full: wait for acknowledgements. */
        }
        if (failed < 0) {
            fprintf(stderr, "publish: tick %d: %s\n", i, strerror(-failed));
            break;
        }
        ringcast_publish_flush(publish);
        ringcast_publish_poll(publish, 10); /* In your own program: whenever there is time. */
    }
    ringcast_publish_get_info(publish, &info);
    if (info.state != RINGCAST_PUBLISH_LIVE) {
        fprintf(stderr, "publish: not connected: %s\n", info.error);
    }
    unsigned long long unacked = ringcast_publish_close(publish, 10000);
    printf("%d ticks, %llu not acknowledged, %d refused\n", count, unacked, refused);
    return unacked > 0 || refused > 0;
}
