/*
 * follow_log: what a second process reads of a log, for integration/test_board.py.
 *
 * Run  follow_log FILE [all]     (/proc/PID/fd/NUMBER of a server)
 *
 * all: from the first frame that there ever was; first and started are left out.
 *
 * It writes a line for each thing that it finds, until its standard input ends and all was read:
 *
 *   first CHANNEL SEQ           of the newest frame before the start, if there is one
 *   started
 *   frame CHANNEL SEQ PAYLOAD   in hex
 *   gap CHANNEL FROM TO
 *   old CHANNEL SEQ             a frame that a gap had told
 *   lapped | torn | fault
 *   last CHANNEL SEQ            at the end, as first
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/log_follower.h"

static void print_first(const struct log_follower *follower)
{
    for (uint32_t channel = 0; channel < follower->header->record_count; channel++) {
        if (follower->next_seq[channel] > 1) {
            printf("first %u %" PRIu64 "\n", channel, follower->next_seq[channel] - 1);
        }
    }
    puts("started");
}

/* A log of which nothing is lost yet is read from its beginning. */
static void start_at_the_beginning(struct log_follower *follower)
{
    for (uint32_t channel = 0; channel < follower->header->record_count; channel++) {
        follower->next_seq[channel] = 1;
    }
}

static void print_last(const struct log_follower *follower)
{
    for (uint32_t channel = 0; channel < follower->header->record_count; channel++) {
        uint64_t seq;
        if (log_follower_newest_seq(follower, channel, &seq) && seq > 0) {
            printf("last %u %" PRIu64 "\n", channel, seq);
        }
    }
}

static void print_frame(struct log_follower *follower, const struct log_follower_event *event)
{
    static const char digits[] = "0123456789abcdef";
    static char hex[2 * 65536 + 1];
    uint32_t payload_bytes = event->frame_bytes - event->header_bytes;
    const uint8_t *payload = event->frame + event->header_bytes;
    size_t at = 0;
    for (uint32_t i = 0; i < payload_bytes && at < sizeof hex - 1; i++) {
        hex[at++] = digits[payload[i] >> 4];
        hex[at++] = digits[payload[i] & 15];
    }
    hex[at] = '\0';
    if (log_follower_done(follower)) {
        printf("frame %u %" PRIu64 " %s\n", event->channel, event->seq, hex);
    } else {
        puts("torn");
    }
}

static void print_event(struct log_follower *follower, const struct log_follower_event *event)
{
    switch (event->kind) {
    case LOG_FOLLOWER_NOTHING:
        break;
    case LOG_FOLLOWER_FRAME:
        print_frame(follower, event);
        break;
    case LOG_FOLLOWER_GAP:
        printf("gap %u %" PRIu64 " %" PRIu64 "\n", event->channel, event->seq, event->last_seq);
        break;
    case LOG_FOLLOWER_OLD:
        printf("old %u %" PRIu64 "\n", event->channel, event->seq);
        break;
    case LOG_FOLLOWER_LAPPED:
        puts("lapped");
        break;
    case LOG_FOLLOWER_FAULT:
        puts("fault");
        break;
    }
}

int main(int argc, char **argv)
{
    struct log_follower follower;
    struct log_follower_event event;
    struct log_follower_options options = {.fd = argc >= 2 ? open(argv[1], O_RDONLY) : -1};
    int error = options.fd < 0 ? -errno : log_follower_open(&follower, &options);
    if (error < 0) {
        fprintf(stderr, "follow_log: %s\n", strerror(-error));
        return 2;
    }
    if (argc == 3 && strcmp(argv[2], "all") == 0) {
        start_at_the_beginning(&follower);
    } else {
        log_follower_start(&follower);
        print_first(&follower);
        fflush(stdout);
    }

    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    bool is_over;
    do {
        is_over = poll(&input, 1, 0) > 0;
        do {
            log_follower_next(&follower, &event);
            print_event(&follower, &event);
        } while (event.kind != LOG_FOLLOWER_NOTHING);
        fflush(stdout);
        poll(&input, 1, 1);
    } while (!is_over);
    print_last(&follower);
    log_follower_close(&follower);
    return ferror(stdout) ? 2 : 0;
}
