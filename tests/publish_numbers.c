/*
 * publish_numbers: a producer whose ticks are numbers, for integration/test_ingest_kill.py.
 *
 * Run  publish_numbers ADDRESS SYMBOL BURST FILE LAST
 *
 * Tick n is a trade of SYMBOL with the id n and the q n. It publishes BURST ticks each millisecond,
 * without end, or up to LAST. For each acknowledgement it appends a line to FILE:
 *
 *   EPOCH FROM TO      the server of that epoch has acknowledged the ticks FROM to TO
 *
 * A new run goes on where the server knows it to be, or else behind what FILE has as acknowledged.
 * It ends with 0 when LAST is acknowledged, and with 1 when the server refuses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libringcast/ringcast_publish.h"

static uint64_t acked;

/* What FILE has as acknowledged. */
static uint64_t read_acked(const char *path)
{
    uint64_t last = 0;
    char epoch[64];
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        uint64_t from, to;
        while (fscanf(file, "%63s %" SCNu64 " %" SCNu64, epoch, &from, &to) == 3) {
            last = to;
        }
        fclose(file);
    }
    return last;
}

static void note_acked(int fd, const struct ringcast_publish_info *info)
{
    if (info->acked_q > acked) {
        dprintf(fd, "%s %" PRIu64 " %" PRIu64 "\n", info->server_epoch, acked + 1, info->acked_q);
        acked = info->acked_q;
    }
}

static int poll_and_note(struct ringcast_publish *publish, int fd, int timeout_ms,
                         struct ringcast_publish_info *info)
{
    int error = ringcast_publish_poll(publish, timeout_ms);
    ringcast_publish_get_info(publish, info);
    note_acked(fd, info);
    return error;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "publish_numbers: %s: %s\n", what, why);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fail("arguments", "ADDRESS SYMBOL BURST FILE LAST");
    }
    struct ringcast_publish *publish = NULL;
    struct ringcast_publish_info info;
    char words[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    struct ringcast_publish_options options = {.address = argv[1], .name = argv[2], .epoch = 1};
    uint64_t burst = strtoull(argv[3], NULL, 10);
    uint64_t last = strtoull(argv[5], NULL, 10);
    acked = read_acked(argv[4]);
    int fd = open(argv[4], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ringcast_publish_open(&publish, &options, words) < 0) {
        fail(argv[4], fd < 0 ? strerror(errno) : words);
    }
    int channel = ringcast_publish_channel(publish, argv[2], RINGCAST_TRADE);
    do {
        if (poll_and_note(publish, fd, 100, &info) < 0) {
            fail("server", info.error);
        }
    } while (info.state != RINGCAST_PUBLISH_LIVE);
    if (info.next_q <= acked) {
        ringcast_publish_set_q(publish, acked + 1); /* The server knows nothing of us. */
        ringcast_publish_get_info(publish, &info);
    }
    while (info.acked_q < last || last == 0) {
        for (uint64_t i = 0; i < burst && (info.next_q <= last || last == 0); i++, info.next_q++) {
            struct ringcast_trade trade = {.ts_event_ns = info.next_q,
                                           .price = {1032, -2},
                                           .size = {1, 0},
                                           .has_id = true,
                                           .id = info.next_q};
            if (ringcast_publish_trade(publish, channel, &trade) < 0) {
                break; /* full */
            }
        }
        if (poll_and_note(publish, fd, 1, &info) < 0) {
            fail("server", info.error);
        }
    }
    ringcast_publish_close(publish, 0);
    return 0;
}
