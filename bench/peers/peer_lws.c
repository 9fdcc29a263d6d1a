/*
 * peer_lws: a broadcaster on libwebsockets, as a fast competitor would write it.
 *
 *   peer_lws --port N --spec symbols=200,rate=5000,burst=50,pad=256
 *
 * One service loop. A tick is encoded once, as a whole WebSocket frame, into a ring of equal slots.
 * A client has a position in the ring; in its writeable callback all frames that are due to it
 * leave in one lws_write: straight from the ring when it has all symbols, gathered otherwise. A
 * client that the ring has lapped is closed.
 *
 * A timerfd wakes the loop: the library's own timers are of poll's milliseconds.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>

#include "bench/peers/peer_ticks.h"
#include "codec/base/units.h"

#define RING_BYTES_MIN (16 * MIB)
#define WRITE_BYTES_MAX (256 * KIB)
#define REQUEST_BYTES_MAX (64 * KIB)
#define ANSWER_BYTES_MAX 128
#define FRAME_HEADER_BYTES 4 /* 192 to 65535 bytes of text, not masked */
#define INSTANTS_MAX 16      /* Made up at once, so that clients get a turn. */

static_assert(PEER_PAD_MIN > 125 && PEER_PAD_MAX < 65536, "frames have four bytes of header");

struct lws_peer;

/* The library's memory per session, zeroed. */
struct lws_client {
    struct lws_client *next;
    struct lws *wsi;
    uint64_t position; /* The next tick to look at. */
    uint8_t *wanted;   /* A byte per symbol; NULL: not subscribed. */
    uint32_t wanted_count;
    char *request; /* While it is not whole. */
    size_t request_bytes;
    uint8_t answer[LWS_PRE + ANSWER_BYTES_MAX];
    size_t answer_bytes; /* 0: none is to be sent. */
};

static struct lws_peer {
    struct lws_context *context;
    struct lws_client *clients;
    struct peer_ticks ticks; /* ticks.made is where the ring ends. */
    uint8_t *ring;
    uint64_t slot_mask;
    size_t slot_bytes;
    uint8_t *gathered;
    int timer_fd;
    volatile sig_atomic_t interrupted;
} peer;

static uint8_t *lws_peer_slot(uint64_t tick)
{
    return peer.ring + (tick & peer.slot_mask) * peer.slot_bytes;
}

static uint32_t lws_peer_symbol(uint64_t tick)
{
    return (uint32_t)(tick % peer.ticks.spec.symbols);
}

static void lws_peer_make_instant(void)
{
    for (uint32_t i = 0; i < peer.ticks.spec.burst; i++) {
        /* Headers were written at the start: every frame is as long as every other. */
        uint8_t *slot = lws_peer_slot(peer.ticks.made);
        peer_ticks_make(&peer.ticks, (char *)slot + FRAME_HEADER_BYTES);
    }
}

static void lws_peer_arm(uint64_t due_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ns / NS_PER_SECOND),
                                           .tv_nsec = (long)(due_ns % NS_PER_SECOND)}};
    timerfd_settime(peer.timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static bool lws_client_has_all(const struct lws_client *client)
{
    return client->wanted_count == peer.ticks.spec.symbols;
}

/* Moves on to the first tick that is due to it; false: there is none. */
static bool lws_client_skip(struct lws_client *client)
{
    if (client->wanted == NULL) {
        return false;
    }
    if (!lws_client_has_all(client)) {
        uint32_t symbol = lws_peer_symbol(client->position);
        while (client->position < peer.ticks.made && !client->wanted[symbol]) {
            client->position++;
            symbol = symbol + 1 == peer.ticks.spec.symbols ? 0 : symbol + 1;
        }
    }
    return client->position < peer.ticks.made;
}

static void lws_peer_on_timer(void)
{
    uint64_t now_ns = peer_now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < INSTANTS_MAX && peer_ticks_due_ns(&peer.ticks) <= now_ns; i++) {
        lws_peer_make_instant();
    }
    lws_peer_arm(peer_ticks_due_ns(&peer.ticks));
    for (struct lws_client *client = peer.clients; client != NULL; client = client->next) {
        if (lws_client_skip(client)) {
            lws_callback_on_writable(client->wsi);
        }
    }
}

/* Frames that lie together in the ring. */
static int lws_client_write_ring(struct lws_client *client)
{
    uint64_t slots_max = WRITE_BYTES_MAX / peer.slot_bytes;
    uint64_t slots = peer.ticks.made - client->position;
    uint64_t to_end = peer.slot_mask + 1 - (client->position & peer.slot_mask);
    slots = slots < to_end ? slots : to_end;
    slots = slots < slots_max ? slots : slots_max;
    uint8_t *from = lws_peer_slot(client->position);
    client->position += slots;
    return lws_write(client->wsi, from, slots * peer.slot_bytes, LWS_WRITE_RAW);
}

static int lws_client_write_gathered(struct lws_client *client)
{
    size_t bytes = 0;
    while (bytes + peer.slot_bytes <= WRITE_BYTES_MAX && lws_client_skip(client)) {
        memcpy(peer.gathered + bytes, lws_peer_slot(client->position), peer.slot_bytes);
        bytes += peer.slot_bytes;
        client->position++;
    }
    return lws_write(client->wsi, peer.gathered, bytes, LWS_WRITE_RAW);
}

/* Returns -1 to close. */
static int lws_client_on_writeable(struct lws_client *client)
{
    if (client->answer_bytes > 0) {
        size_t bytes = client->answer_bytes;
        client->answer_bytes = 0;
        lws_callback_on_writable(client->wsi);
        return lws_write(client->wsi, client->answer + LWS_PRE, bytes, LWS_WRITE_TEXT) < 0 ? -1 : 0;
    }
    if (!lws_client_skip(client)) {
        return 0;
    }
    if (peer.ticks.made - client->position > peer.slot_mask) {
        return -1;
    }
    int written = lws_client_has_all(client) ? lws_client_write_ring(client)
                                             : lws_client_write_gathered(client);
    if (lws_client_skip(client)) {
        lws_callback_on_writable(client->wsi);
    }
    return written < 0 ? -1 : 0;
}

static void lws_client_want(struct lws_client *client, uint32_t symbol)
{
    client->wanted_count += client->wanted[symbol] == 0;
    client->wanted[symbol] = 1;
}

/* Names by linear search: once per client, before anything is measured. */
static void lws_client_want_name(struct lws_client *client, const char *wanted)
{
    for (uint32_t symbol = 0; symbol < peer.ticks.spec.symbols; symbol++) {
        char name[PEER_NAME_BYTES_MAX];
        peer_symbol_name(symbol, name);
        if (strcmp(wanted, "*") == 0 || strcmp(wanted, name) == 0) {
            lws_client_want(client, symbol);
        }
    }
}

static int lws_client_subscribe(struct lws_client *client)
{
    json_int_t id = 0;
    json_t *symbols = NULL;
    json_t *message = json_loadb(client->request, client->request_bytes, 0, NULL);
    if (json_unpack(message, "{s?I, s:{s:o}}", "id", &id, "data", "symbols", &symbols) == 0) {
        if (client->wanted == NULL) {
            client->wanted = calloc(peer.ticks.spec.symbols, 1);
            client->position = peer.ticks.made;
        }
        size_t i;
        json_t *symbol;
        json_array_foreach(symbols, i, symbol)
        {
            lws_client_want_name(client, json_is_string(symbol) ? json_string_value(symbol) : "");
        }
    }
    json_decref(message);
    int bytes = snprintf((char *)client->answer + LWS_PRE, ANSWER_BYTES_MAX,
                         "{\"type\":\"SUBSCRIBED\",\"id\":%lld,\"data\":{\"ok\":[],\"failed\":[]}}",
                         (long long)id);
    client->answer_bytes = (size_t)bytes;
    lws_callback_on_writable(client->wsi);
    return symbols == NULL ? -1 : 0;
}

static int lws_client_on_receive(struct lws_client *client, const char *in, size_t bytes)
{
    char *request = realloc(client->request, client->request_bytes + bytes);
    if (request == NULL || client->request_bytes + bytes > REQUEST_BYTES_MAX) {
        return -1;
    }
    memcpy(request + client->request_bytes, in, bytes);
    client->request = request;
    client->request_bytes += bytes;
    if (!lws_is_final_fragment(client->wsi) || lws_remaining_packet_payload(client->wsi) > 0) {
        return 0;
    }
    int result = lws_client_subscribe(client);
    free(client->request);
    client->request = NULL;
    client->request_bytes = 0;
    return result;
}

static void lws_client_on_closed(struct lws_client *client)
{
    struct lws_client **link = &peer.clients;
    while (*link != NULL && *link != client) {
        link = &(*link)->next;
    }
    if (*link == client) {
        *link = client->next;
    }
    free(client->wanted);
    free(client->request);
}

static int lws_peer_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *session,
                             void *in, size_t bytes)
{
    struct lws_client *client = session;
    uint64_t expirations;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        client->wsi = wsi;
        client->next = peer.clients;
        peer.clients = client;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return lws_client_on_receive(client, in, bytes);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return lws_client_on_writeable(client);
    case LWS_CALLBACK_CLOSED:
        lws_client_on_closed(client);
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE:
        if (read(peer.timer_fd, &expirations, sizeof expirations) > 0) {
            lws_peer_on_timer();
        }
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, session, in, bytes);
    }
}

/* The library refuses clients that offer a subprotocol it does not know: ringcast's name. */
#define SUBPROTOCOL "md.json.v1"

static const struct lws_protocols lws_peer_protocols[] = {
    {.name = SUBPROTOCOL,
     .callback = lws_peer_on_event,
     .per_session_data_size = sizeof(struct lws_client),
     .rx_buffer_size = 4096,
     .tx_packet_size = WRITE_BYTES_MAX},
    {0},
};

static int lws_peer_init_ring(const struct peer_spec *spec)
{
    peer.slot_bytes = FRAME_HEADER_BYTES + spec->pad;
    uint64_t slots = 4 * INSTANTS_MAX;
    while (slots * peer.slot_bytes < RING_BYTES_MIN ||
           slots < 4 * INSTANTS_MAX * (uint64_t)spec->burst) {
        slots *= 2;
    }
    peer.slot_mask = slots - 1;
    peer.ring = malloc(slots * peer.slot_bytes);
    peer.gathered = malloc(WRITE_BYTES_MAX);
    if (peer.ring == NULL || peer.gathered == NULL) {
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < slots; i++) {
        const uint8_t header[] = {0x81, 126, (uint8_t)(spec->pad >> 8), (uint8_t)spec->pad};
        memcpy(lws_peer_slot(i), header, sizeof header);
    }
    return 0;
}

static int lws_peer_init(int port, const char *spec_text)
{
    struct peer_spec spec;
    if (peer_spec_parse(&spec, spec_text) != 0) {
        return -EINVAL;
    }
    int error = lws_peer_init_ring(&spec);
    if (error != 0 || peer_ticks_init(&peer.ticks, &spec) != 0) {
        return -ENOMEM;
    }
    lws_set_log_level(LLL_ERR | LLL_WARN, NULL);
    const struct lws_context_creation_info info = {
        .port = port,
        .iface = "127.0.0.1",
        .protocols = lws_peer_protocols,
        .gid = -1,
        .uid = -1,
        .vhost_name = "peer",
        .options = LWS_SERVER_OPTION_DISABLE_IPV6,
    };
    peer.context = lws_create_context(&info);
    peer.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    lws_sock_file_fd_type timer = {.filefd = peer.timer_fd};
    if (peer.context == NULL ||
        lws_adopt_descriptor_vhost(lws_get_vhost_by_name(peer.context, "peer"),
                                   LWS_ADOPT_RAW_FILE_DESC, timer, SUBPROTOCOL, NULL) == NULL) {
        return -EIO;
    }
    peer_ticks_start(&peer.ticks);
    lws_peer_arm(peer_ticks_due_ns(&peer.ticks));
    return 0;
}

static void lws_peer_on_signal(int number)
{
    (void)number;
    peer.interrupted = 1;
    lws_cancel_service(peer.context);
}

static void lws_peer_raise_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"port", required_argument, NULL, 'p'},
        {"spec", required_argument, NULL, 's'},
        {0},
    };
    int port = 9100;
    const char *spec = "symbols=1";
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'p') {
            port = atoi(optarg);
        } else if (option == 's') {
            spec = optarg;
        } else {
            return 1;
        }
    }
    lws_peer_raise_limit();
    int error = lws_peer_init(port, spec);
    if (error != 0) {
        fprintf(stderr, "peer_lws: %s\n", strerror(-error));
        return 1;
    }
    signal(SIGTERM, lws_peer_on_signal);
    signal(SIGINT, lws_peer_on_signal);
    while (!peer.interrupted && lws_service(peer.context, 0) >= 0) {
    }
    lws_context_destroy(peer.context);
    peer_ticks_deinit(&peer.ticks);
    free(peer.ring);
    free(peer.gathered);
    return 0;
}
