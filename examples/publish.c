/*
 * publish: publishes invented trades to a ringcast (--feed ingest) with the library in C.
 *
 *     cc examples/publish.c -Izig-out/include -Lzig-out/lib -lringcast_publish -o publish
 *     ./publish unix:/run/ringcast.sock 1000
 */
#include <errno.h>
#include <ringcast_publish.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void on_refused(void *context, uint64_t q, const char *reason)
{
    (void)context;
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
    struct ringcast_publish_options options = {
        .address = argc > 1 ? argv[1] : NULL, .name = "publish.c", .on_refused = on_refused};
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
        while (ringcast_publish_trade(publish, mine, &trade) == -EAGAIN) {
            ringcast_publish_poll(publish, 100); /* Full: waits for acknowledgements. */
        }
        ringcast_publish_flush(publish);
        ringcast_publish_poll(publish, 10); /* In a program of yours: whenever there is time. */
    }
    ringcast_publish_get_info(publish, &info);
    snprintf(error, sizeof error, "%s", info.error);
    uint64_t unacked = ringcast_publish_close(publish, 10000);
    printf("%d ticks, %llu not acknowledged, %llu refused %s\n", count, (unsigned long long)unacked,
           (unsigned long long)info.refused, error);
    return unacked > 0 || info.refused > 0;
}
