#include "tools/bench/bench_publish.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/ws_decoder.h"
#include "tools/common/terminal_text.h"
#include "tools/common/ws_connect.h"
#include "tools/load/bench_broker.h"
#include "tools/load/bench_mqtt.h"
#include "tools/load/bench_nats.h"

#define IN_BYTES 65536
#define OUT_BYTES 65536 /* A batch of ticks, or what is around one that is longer. */
#define HEAD_BYTES_MAX (WS_CLIENT_PATH_BYTES_MAX + 512)
#define TICK_ROOM (WS_CLIENT_FRAME_BYTES_MAX + HEAD_BYTES_MAX)
#define NAP_NS (10 * NS_PER_MS) /* How long stop and answers may go unnoticed. */
#define CONNECT_TIMEOUT_MS 10000

enum bench_publish_form {
    FORM_TEXT, /* a text message for each tick */
    FORM_HTTP, /* a POST */
    FORM_NATS,
    FORM_MQTT,
};

struct bench_publish {
    const struct bench_options *options;
    const struct bench_control *control;
    enum bench_publish_form form;
    struct ws_client_url url;
    int fd;
    struct tls_client *tls; /* of wss:// */
    pthread_t pthread;
    bool has_failed;
    _Atomic bool stop;

    uint64_t start_ns;
    uint64_t next;    /* tick */
    uint64_t late_ns; /* the latest one of the window */
    uint32_t symbol_count;
    uint64_t *counts; /* of the window, by symbol */

    size_t in_bytes;
    uint8_t in[IN_BYTES];
    struct ws_decoder decoder;
    uint8_t message[IN_BYTES]; /* the decoder's */
    size_t out_bytes, out_sent;
    uint8_t out[OUT_BYTES + TICK_ROOM];
};

static int bench_publish_fail(struct bench_publish *publish, const char *what, const void *text,
                              size_t bytes)
{
    fprintf(stderr, "ringcast-bench: --publish-to %s: %s", publish->options->publish_to, what);
    terminal_text_print(stderr, text, bytes);
    fputc('\n', stderr);
    return -EPROTO;
}

/* ---- What comes ---- */

static void bench_publish_queue_frame(struct bench_publish *publish, enum ws_opcode opcode,
                                      const void *payload, size_t bytes)
{
    uint8_t mask[4] = {0x5a, 0xc3, 0x17, 0x8e};
    assert_always(publish->out_bytes <= OUT_BYTES);
    publish->out_bytes +=
        ws_client_frame(publish->out + publish->out_bytes, opcode, payload, bytes, mask);
}

static int bench_publish_on_message(struct bench_publish *publish, const struct ws_message *message)
{
    const uint8_t *payload = message->payload;
    size_t bytes = message->payload_bytes;
    bool is_data = message->opcode == WS_TEXT || message->opcode == WS_BINARY;
    if (message->opcode == WS_PING) {
        bench_publish_queue_frame(publish, WS_PONG, payload, bytes);
    } else if (message->opcode == WS_CLOSE) {
        return bench_publish_fail(publish, "the server closes the connection", "", 0);
    } else if (publish->form == FORM_NATS && is_data) {
        if (bytes > 4 && memcmp(payload, "-ERR", 4) == 0) {
            return bench_publish_fail(publish, "the server reports ", payload, bytes);
        }
        /* It may have asked. */
        bench_publish_queue_frame(publish, WS_BINARY, BENCH_NATS_PONG, strlen(BENCH_NATS_PONG));
    } else if (publish->form == FORM_MQTT && is_data && bytes >= 4 && payload[0] == 0x20 &&
               payload[3] != 0) {
        return bench_publish_fail(publish, "the broker refuses the connection", "", 0);
    }
    return 0;
}

/* The bytes that were read, at most one message; 0: there are none, or a negative errno. */
static ssize_t bench_publish_read_message(struct bench_publish *publish)
{
    size_t consumed;
    struct ws_message message;
    enum ws_status status =
        ws_decode(&publish->decoder, publish->in, publish->in_bytes, &consumed, &message);
    if (status != WS_OK && status != WS_NEED_MORE) {
        const char *fault = ws_status_text(status);
        return bench_publish_fail(publish, "the server breaks WebSocket: ", fault, strlen(fault));
    }
    int error = status == WS_OK ? bench_publish_on_message(publish, &message) : 0;
    return error != 0 ? error : (ssize_t)consumed;
}

/* The bytes of a whole answer to a POST, likewise. */
static ssize_t bench_publish_read_answer(struct bench_publish *publish)
{
    const char *text = (const char *)publish->in;
    const char *end = memmem(text, publish->in_bytes, "\r\n\r\n", 4);
    if (end == NULL) {
        return publish->in_bytes < IN_BYTES ? 0 : -EPROTO;
    }
    char head[1024] = "";
    memcpy(head, text, (size_t)(end - text) < sizeof head ? (size_t)(end - text) : sizeof head - 1);
    const char *line_end = strchr(head, '\r');
    if (strncmp(head, "HTTP/1.1 2", 10) != 0) {
        return bench_publish_fail(publish, "the server answers ", head,
                                  line_end != NULL ? (size_t)(line_end - head) : strlen(head));
    }
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (strcasestr(head, "\r\ntransfer-encoding:") != NULL) {
        return bench_publish_fail(publish, "the server's answers have no Content-Length", "", 0);
    }
    size_t bytes = (size_t)(end - text) + 4 + (length == NULL ? 0 : strtoul(length + 17, NULL, 10));
    if (bytes > IN_BYTES) {
        return bench_publish_fail(publish, "the server's answers are too long", "", 0);
    }
    return bytes <= publish->in_bytes ? (ssize_t)bytes : 0;
}

static int bench_publish_consume(struct bench_publish *publish)
{
    ssize_t bytes = 1;
    while (bytes > 0 && publish->out_bytes <= OUT_BYTES) {
        bytes = publish->form == FORM_HTTP ? bench_publish_read_answer(publish)
                                           : bench_publish_read_message(publish);
        if (bytes > 0) {
            publish->in_bytes -= (size_t)bytes;
            memmove(publish->in, publish->in + bytes, publish->in_bytes);
        }
    }
    return bytes < 0 ? (int)bytes : 0;
}

static int bench_publish_receive(struct bench_publish *publish)
{
    if (publish->in_bytes == IN_BYTES) { /* What it asks has to wait for room in what is sent. */
        return bench_publish_consume(publish);
    }
    ssize_t got = tls_client_recv(publish->tls, publish->fd, publish->in + publish->in_bytes,
                                  IN_BYTES - publish->in_bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (got <= 0) {
        return bench_publish_fail(publish, "the server ended the connection", "", 0);
    }
    publish->in_bytes += (size_t)got;
    return bench_publish_consume(publish);
}

static int bench_publish_flush(struct bench_publish *publish)
{
    if (publish->out_bytes == 0) {
        return 0;
    }
    ssize_t sent = tls_client_send(publish->tls, publish->fd, publish->out + publish->out_sent,
                                   publish->out_bytes - publish->out_sent);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        return bench_publish_fail(publish, strerror(errno), "", 0);
    }
    publish->out_sent += sent > 0 ? (size_t)sent : 0;
    if (publish->out_sent == publish->out_bytes) {
        publish->out_bytes = 0;
        publish->out_sent = 0;
    }
    return 0;
}

/* ---- Ticks ---- */

static const char *bench_publish_symbol(const struct bench_publish *publish, uint32_t symbol)
{
    const char *name = bench_load_symbol(publish->control->load, symbol);
    return strpbrk(name, "*+#") == NULL ? name : "BENCH";
}

/* The time in the unit that --time-unit says. */
static void bench_publish_time(char text[32], uint64_t time_ns, uint64_t unit_ns)
{
    if (unit_ns == NS_PER_SECOND) {
        snprintf(text, 32, "%" PRIu64 ".%09" PRIu64, time_ns / unit_ns, time_ns % unit_ns);
    } else {
        snprintf(text, 32, "%" PRIu64, time_ns / unit_ns);
    }
}

/* The template with its places filled; returns its bytes, at most WS_CLIENT_MESSAGE_BYTES_MAX. */
static size_t bench_publish_fill(const struct bench_publish *publish, uint64_t tick,
                                 uint64_t due_ns, size_t pad_bytes, char *out)
{
    const struct bench_options *options = publish->options;
    uint32_t symbol = (uint32_t)(tick % publish->symbol_count);
    char time[32], seq[24], channel[16];
    bench_publish_time(time, due_ns, options->time_unit_ns);
    snprintf(seq, sizeof seq, "%" PRIu64, tick / publish->symbol_count + 1);
    snprintf(channel, sizeof channel, "%u", symbol);
    const struct {
        const char *place;
        const char *text;
    } places[] = {
        {"{symbol}", bench_publish_symbol(publish, symbol)},
        {"{seq}", seq},
        {"{channel}", channel},
        {"{time}", time},
    };
    size_t used = 0;
    for (const char *at = options->publish_template;
         *at != 0 && used < WS_CLIENT_MESSAGE_BYTES_MAX;) {
        size_t i = 0;
        while (i < 4 && strncmp(at, places[i].place, strlen(places[i].place)) != 0) {
            i++;
        }
        if (i < 4) {
            used += (size_t)sprintf(out + used, "%.64s", places[i].text);
            at += strlen(places[i].place);
        } else if (strncmp(at, "{pad}", 5) == 0) {
            memset(out + used, 'x', pad_bytes);
            used += pad_bytes;
            pad_bytes = 0; /* The first place has all of it. */
            at += 5;
        } else {
            out[used++] = *at++;
        }
    }
    return used;
}

static size_t bench_publish_head(const struct bench_publish *publish, const char *symbol,
                                 size_t bytes, char *out)
{
    char topic[BENCH_BROKER_TOPIC_BYTES_MAX + 1] = "";
    if (publish->form == FORM_HTTP) {
        const char *path = publish->url.path;
        const char *place = strstr(path, "{symbol}");
        int before = place != NULL ? (int)(place - path) : (int)strlen(path);
        return (size_t)snprintf(out, HEAD_BYTES_MAX,
                                "POST %.*s%s%s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: "
                                "application/json\r\nContent-Length: %zu\r\n\r\n",
                                before, path, place != NULL ? symbol : "",
                                place != NULL ? place + 8 : "", publish->url.host,
                                publish->url.port, bytes);
    }
    if (publish->form == FORM_NATS) {
        bench_nats_topic(topic, publish->options->topic, symbol, strlen(symbol));
        return (size_t)snprintf(out, HEAD_BYTES_MAX, "PUB %s %zu\r\n", topic, bytes);
    }
    size_t topic_bytes = bench_broker_topic(topic, publish->options->topic, symbol, strlen(symbol));
    return bench_mqtt_publish_head((uint8_t *)out, topic, topic_bytes, bytes);
}

static void bench_publish_queue(struct bench_publish *publish, uint64_t due_ns)
{
    static _Thread_local char message[TICK_ROOM];
    static _Thread_local char text[WS_CLIENT_MESSAGE_BYTES_MAX + 128];
    uint64_t tick = publish->next;
    const char *symbol = bench_publish_symbol(publish, (uint32_t)(tick % publish->symbol_count));
    size_t bytes = bench_publish_fill(publish, tick, due_ns, 0, text);
    if (bytes < publish->options->payload_bytes) {
        bytes = bench_publish_fill(publish, tick, due_ns, publish->options->payload_bytes - bytes,
                                   text);
    }
    if (publish->form == FORM_TEXT) {
        bench_publish_queue_frame(publish, WS_TEXT, text, bytes);
        return;
    }
    size_t head = bench_publish_head(publish, symbol, bytes, message);
    memcpy(message + head, text, bytes);
    bytes += head;
    if (publish->form == FORM_HTTP) {
        memcpy(publish->out + publish->out_bytes, message, bytes);
        publish->out_bytes += bytes;
        return;
    }
    if (publish->form == FORM_NATS) {
        memcpy(message + bytes, "\r\n", 2);
        bytes += 2;
    }
    bench_publish_queue_frame(publish, WS_BINARY, message, bytes);
}

static uint64_t bench_publish_due_ns(const struct bench_publish *publish, uint64_t tick)
{
    return publish->start_ns +
           (uint64_t)((double)tick * (double)NS_PER_SECOND / publish->options->publish_rate);
}

/* Queues what is due, if what was before has left. */
static void bench_publish_act(struct bench_publish *publish, uint64_t now_ns)
{
    uint64_t window_ns = atomic_load(&publish->control->window_ns);
    uint64_t begin_ns = atomic_load(&publish->control->window_start_ns);
    if (publish->start_ns == 0) {
        publish->start_ns = window_ns == 0 ? 0 : now_ns;
    }
    if (publish->start_ns == 0 || publish->out_sent > 0) {
        return;
    }
    uint64_t due_ns = bench_publish_due_ns(publish, publish->next);
    while (due_ns <= now_ns && publish->out_bytes <= OUT_BYTES - TICK_ROOM) {
        bench_publish_queue(publish, due_ns);
        if (due_ns - begin_ns < window_ns) {
            publish->counts[publish->next % publish->symbol_count]++;
            publish->late_ns =
                now_ns - due_ns > publish->late_ns ? now_ns - due_ns : publish->late_ns;
        }
        publish->next++;
        due_ns = bench_publish_due_ns(publish, publish->next);
    }
}

static void bench_publish_sleep(const struct bench_publish *publish)
{
    struct pollfd poll_fd = {publish->fd, POLLIN, 0};
    uint64_t nap_ns = publish->start_ns == 0 ? NS_PER_MS : NAP_NS;
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    uint64_t due_ns =
        publish->start_ns == 0 ? UINT64_MAX : bench_publish_due_ns(publish, publish->next);
    if (publish->out_bytes > 0) {
        poll_fd.events |= POLLOUT;
    } else if (due_ns < now_ns + nap_ns) {
        nap_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    }
    struct timespec nap = {.tv_nsec = (long)nap_ns};
    (void)ppoll(&poll_fd, 1, &nap, NULL);
}

static void *bench_publish_run(void *argument)
{
    struct bench_publish *publish = argument;
    int error = 0;
    while (error == 0 && !atomic_load_explicit(&publish->stop, memory_order_relaxed)) {
        bench_publish_sleep(publish);
        error = bench_publish_receive(publish);
        bench_publish_act(publish, clock_ns(CLOCK_REALTIME));
        if (error == 0) {
            error = bench_publish_flush(publish);
        }
    }
    publish->has_failed = error != 0;
    return NULL;
}

/* ---- Its life ---- */

static int bench_publish_connect(struct bench_publish *publish)
{
    static struct ws_client_opened opened;
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    struct ws_client_addresses addresses;
    struct handshake_wish wish = {.protocol =
                                      publish->form == FORM_MQTT ? BENCH_MQTT_SUBPROTOCOL : NULL};
    int result = ws_client_resolve(&publish->url, &addresses, error);
    if (result != 0) {
        return bench_publish_fail(publish, error, "", 0);
    }
    if (publish->form == FORM_HTTP) {
        publish->fd = ws_connect(&publish->url, &addresses, CONNECT_TIMEOUT_MS, error);
        return publish->fd >= 0 ? 0 : bench_publish_fail(publish, error, "", 0);
    }
    result = ws_client_open(&opened, &publish->url, &addresses, &wish, CONNECT_TIMEOUT_MS);
    if (result != 0) {
        return bench_publish_fail(publish, opened.error, "", 0);
    }
    publish->fd = opened.fd;
    publish->tls = opened.tls;
    memcpy(publish->in, opened.rest, opened.rest_bytes);
    publish->in_bytes = opened.rest_bytes;
    if (publish->form == FORM_NATS) {
        static const char hello[] = BENCH_NATS_CONNECT "PING\r\n";
        bench_publish_queue_frame(publish, WS_BINARY, hello, sizeof hello - 1);
    } else if (publish->form == FORM_MQTT) {
        uint8_t hello[BENCH_MQTT_CONNECT_BYTES];
        bench_mqtt_connect(hello, 0);
        bench_publish_queue_frame(publish, WS_BINARY, hello, sizeof hello);
    }
    return bench_publish_consume(publish);
}

int bench_publish_create(struct bench_publish **publish_out, const struct bench_options *options,
                         const struct bench_control *control)
{
    struct bench_publish *publish = calloc(1, sizeof *publish);
    if (publish == NULL) {
        return -ENOMEM;
    }
    *publish_out = publish;
    publish->options = options;
    publish->control = control;
    publish->fd = -1;
    ws_decoder_init(&publish->decoder, IN_BYTES, false, publish->message);
    publish->url = options->publish_url;
    publish->form = options->publish_by_http          ? FORM_HTTP
                    : options->protocol == BENCH_NATS ? FORM_NATS
                    : options->protocol == BENCH_MQTT ? FORM_MQTT
                                                      : FORM_TEXT;
    publish->symbol_count = bench_load_symbol_count(control->load);
    publish->counts = calloc(publish->symbol_count, sizeof *publish->counts);
    return publish->counts == NULL ? -ENOMEM : bench_publish_connect(publish);
}

int bench_publish_start(struct bench_publish *publish)
{
    return -pthread_create(&publish->pthread, NULL, bench_publish_run, publish);
}

void bench_publish_stop(struct bench_publish *publish)
{
    atomic_store(&publish->stop, true);
    pthread_join(publish->pthread, NULL);
}

void bench_publish_destroy(struct bench_publish *publish)
{
    if (publish == NULL) {
        return;
    }
    tls_client_destroy(publish->tls);
    if (publish->fd >= 0) {
        close(publish->fd);
    }
    free(publish->counts);
    free(publish);
}

uint64_t bench_publish_count(const struct bench_publish *publish, uint32_t symbol)
{
    assert_always(symbol < publish->symbol_count);
    return publish->counts[symbol];
}

uint64_t bench_publish_late_ns(const struct bench_publish *publish)
{
    return publish->late_ns;
}

bool bench_publish_has_failed(const struct bench_publish *publish)
{
    return publish->has_failed;
}
