/*
 * Question  What does the kernel alone cost for sending the same bytes over the same sockets?
 * Method    The least server that ringcast-bench can talk to: it upgrades, answers any SUBSCRIBE
 *           with SUBSCRIBED, then sends --burst frames of --payload bytes --rate times a second
 *           to every subscriber: by send(2) in a loop, by a bare io_uring (--uring BATCH), or by
 *           SSL_write to each socket (--tls CHAIN,KEY).
 *           Measured from outside, by ringcast-bench --cpu, as ringcast itself is.
 * Run       bench/run.py fanout   (pins both servers and the load generator, interleaves, compares)
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bench/raw_sender.h"
#include "bench/raw_server.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/json_tick.h"
#include "codec/ws_frame.h"

#define FRAME_BYTES_MAX (WS_FRAME_FINISH_BYTES_MAX + WS_HEADER_BYTES_MAX)

static volatile sig_atomic_t interrupted;

static void raw_send_on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

struct raw_send_options {
    struct raw_server_options server;
    uint32_t uring_batch; /* 0: send(2) */
    uint32_t rate;        /* 0: flat out */
    uint32_t burst;
    uint32_t payload_bytes;
    bool per_frame; /* One send per frame, not one per burst. */
};

static const char help[] =
    "Usage: raw_send [options]\n"
    "  --port N               TCP port on 127.0.0.1 (9100)\n"
    "  --unix PATH            a Unix-domain socket instead\n"
    "  --rate N               ticks a second; 0: flat out (100)\n"
    "  --burst N              frames a tick, each of a channel of its own (1)\n"
    "  --per-frame            one send per frame instead of one per burst\n"
    "  --payload BYTES        of each frame (256)\n"
    "  --send-buffer-bytes N  SO_SNDBUF (131072)\n"
    "  --uring BATCH          io_uring, BATCH sends a submit\n"
    "  --tls CHAIN,KEY        TLS with this certificate: SSL_write in place of send(2)\n";

static int raw_send_parse(struct raw_send_options *options, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"port", required_argument, NULL, 'p'},
        {"unix", required_argument, NULL, 'u'},
        {"rate", required_argument, NULL, 'r'},
        {"burst", required_argument, NULL, 'b'},
        {"payload", required_argument, NULL, 's'},
        {"send-buffer-bytes", required_argument, NULL, 'S'},
        {"uring", required_argument, NULL, 'U'},
        {"per-frame", no_argument, NULL, 'f'},
        {"tls", required_argument, NULL, 't'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        uint32_t number = optarg == NULL ? 0 : (uint32_t)strtoul(optarg, NULL, 10);
        switch (option) {
        case 'p':
            options->server.port = (uint16_t)number;
            break;
        case 'u':
            options->server.unix_path = optarg;
            break;
        case 'r':
            options->rate = number;
            break;
        case 'b':
            options->burst = number;
            break;
        case 's':
            options->payload_bytes = number;
            break;
        case 'S':
            options->server.send_buffer_bytes = number;
            break;
        case 'U':
            options->uring_batch = number;
            break;
        case 'f':
            options->per_frame = true;
            break;
        case 't':
            options->server.certificate = optarg;
            break;
        default:
            fputs(help, stderr);
            return -EINVAL;
        }
    }
    bool is_valid = options->burst >= 1 && options->burst <= 4096 &&
                    options->payload_bytes >= 160 && options->payload_bytes <= 60000;
    is_valid &= options->uring_batch == 0 || options->server.certificate == NULL;
    return is_valid && optind == argc ? 0 : -EINVAL;
}

/* One burst, back to back; returns its bytes. Each frame has its channel's next seq, and the time
 * late_ns ago, when it was due, as its event's. */
static size_t raw_send_encode(const struct raw_send_options *options,
                              const struct json_tick_head *heads, uint64_t seq, uint64_t late_ns,
                              uint8_t *out)
{
    size_t used = 0;
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    struct md_update update = {
        .type = MD_QUOTE,
        .ts_event_ns = now_ns - late_ns,
        .ts_recv_ns = now_ns,
        .pad_bytes = options->payload_bytes,
        .quote = md_quote_none,
    };
    update.quote.last = (struct md_decimal){1234, -2};
    for (uint32_t i = 0; i < options->burst; i++) {
        size_t payload_bytes = json_tick_encode(out + used + WS_FRAME_FINISH_GAP, FRAME_BYTES_MAX,
                                                &heads[i], &update, seq, now_ns);
        if (payload_bytes == 0) {
            return 0;
        }
        used += ws_frame_finish(out + used, WS_TEXT, payload_bytes);
    }
    return used;
}

static struct json_tick_head *raw_send_heads(uint32_t count)
{
    struct json_tick_head *heads = calloc(count, sizeof *heads);
    for (uint32_t i = 0; heads != NULL && i < count; i++) {
        char symbol[16];
        int bytes = snprintf(symbol, sizeof symbol, "S%05u", i);
        json_tick_head_init(&heads[i], MD_QUOTE, symbol, (size_t)bytes, i);
    }
    return heads;
}

static int raw_send_run(const struct raw_send_options *options, struct raw_server *server,
                        struct raw_sender *sender, const struct json_tick_head *heads,
                        uint8_t *frames)
{
    uint64_t interval_ns = options->rate == 0 ? 0 : NS_PER_SECOND / options->rate;
    uint64_t due_ns = clock_ns(CLOCK_MONOTONIC);
    for (uint64_t seq = 1; !interrupted; seq++) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        do {
            raw_server_poll(server, due_ns > now_ns ? due_ns - now_ns : 0);
            now_ns = clock_ns(CLOCK_MONOTONIC);
        } while (now_ns < due_ns && !interrupted);
        size_t bytes = raw_send_encode(options, heads, seq, now_ns - due_ns, frames);
        due_ns = options->rate == 0 ? now_ns : due_ns + interval_ns;
        if (bytes == 0) {
            fprintf(stderr, "raw_send: the payload is too short for a tick\n");
            return 1;
        }
        /* Frames of a burst are equally long: that is what pad_bytes is for. */
        size_t step = options->per_frame ? bytes / options->burst : bytes;
        for (size_t sent = 0; sent < bytes; sent += step) {
            raw_sender_send(sender, server, frames + sent, step);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct raw_send_options options = {
        .server = {.port = 9100, .send_buffer_bytes = 131072},
        .rate = 100,
        .burst = 1,
        .payload_bytes = 256,
    };
    struct raw_server *server;
    struct raw_sender sender = {0};
    if (raw_send_parse(&options, argc, argv) != 0) {
        fputs(help, stderr);
        return 1;
    }
    signal(SIGTERM, raw_send_on_signal);
    signal(SIGINT, raw_send_on_signal);
    signal(SIGPIPE, SIG_IGN); /* SSL_write has no MSG_NOSIGNAL. */
    struct json_tick_head *heads = raw_send_heads(options.burst);
    uint8_t *frames =
        malloc((size_t)options.burst * (options.payload_bytes + 16) + FRAME_BYTES_MAX);
    int error = raw_server_create(&server, &options.server);
    if (error == 0) {
        error = raw_sender_init(&sender, options.uring_batch);
    }
    if (error != 0 || heads == NULL || frames == NULL) {
        fprintf(stderr, "raw_send: %s\n", strerror(-error));
        return 1;
    }
    int exit_code = raw_send_run(&options, server, &sender, heads, frames);
    fprintf(stderr, "raw_send: %llu sends, %llu waited for a full socket, %llu bytes\n",
            (unsigned long long)sender.sends, (unsigned long long)sender.waits,
            (unsigned long long)sender.bytes);
    raw_sender_deinit(&sender);
    raw_server_destroy(server);
    free(frames);
    free(heads);
    return exit_code;
}
