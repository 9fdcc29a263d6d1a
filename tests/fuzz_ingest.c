/* A producer's stream has the same effect and the same answers wherever the reads cut it: through a
 * whole feed, with a socket. Input: a byte that chooses the cuts and whether a token is needed, and
 * the stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "feeds/feed.h"

#define STREAM_BYTES_MAX 60000 /* A socket takes it at once. */
#define CHANNELS_MAX 8         /* so that the table is full at times */
#define POLLS_MAX 1000000
#define NOW_NS UINT64_C(1732078800000000000)
#define WAIT_NS 1000000 /* for the verdict on a token */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a stream has caused. */
struct effect {
    uint64_t ticks;   /* a hash of them */
    uint64_t answers; /* of the bytes that were sent */
    uint64_t tick_count, lost_count;
    struct feed_counters counters;
};

struct fuzz_sink {
    struct effect effect;
    uint32_t channel_count;
    uint32_t grant_count;
    uint32_t admit_count;
    struct {
        char symbol[MD_SYMBOL_BYTES_MAX];
        size_t symbol_bytes;
        enum md_type type;
    } channels[CHANNELS_MAX];
};

static void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * 0x100000001b3;
}

/* ---- The sink ---- */

static uint32_t sink_open_channel(void *context, const char *symbol, size_t symbol_bytes,
                                  enum md_type type)
{
    struct fuzz_sink *sink = context;
    assert_always(symbol_bytes > 0 && symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    assert_always(utf8_is_valid((const uint8_t *)symbol, symbol_bytes));
    for (uint32_t i = 0; i < sink->channel_count; i++) {
        if (sink->channels[i].type == type && sink->channels[i].symbol_bytes == symbol_bytes &&
            memcmp(sink->channels[i].symbol, symbol, symbol_bytes) == 0) {
            return i;
        }
    }
    if (sink->channel_count == CHANNELS_MAX) {
        return UINT32_MAX;
    }
    memcpy(sink->channels[sink->channel_count].symbol, symbol, symbol_bytes);
    sink->channels[sink->channel_count].symbol_bytes = symbol_bytes;
    sink->channels[sink->channel_count].type = type;
    return sink->channel_count++;
}

static void sink_publish(void *context, const struct md_update *update)
{
    struct fuzz_sink *sink = context;
    assert_always(update->channel < sink->channel_count);
    assert_always(update->type == sink->channels[update->channel].type);
    assert_always(update->source_seq <= INT64_MAX);
    assert_always(update->ts_event_ns <= INT64_MAX);
    sink->effect.tick_count++;
    mix(&sink->effect.ticks, update->channel);
    mix(&sink->effect.ticks, update->source_seq);
    mix(&sink->effect.ticks, update->ts_event_ns);
}

static void sink_lost(void *context, uint32_t channel)
{
    struct fuzz_sink *sink = context;
    assert_always(channel < sink->channel_count);
    sink->effect.lost_count++;
}

static void sink_silent(void *context, uint32_t channel)
{
    const struct fuzz_sink *sink = context;
    assert_always(channel < sink->channel_count);
}

static uint32_t sink_room(void *context)
{
    (void)context;
    return 8;
}

static void sink_watch(void *context, int fd)
{
    (void)context;
    (void)fd;
}

static void sink_log(void *context, enum feed_level level, const char *text)
{
    (void)context;
    (void)level;
    for (; *text != '\0'; text++) {
        assert_always(*text >= ' ' && *text <= '~');
    }
}

/* ---- Tokens ---- */

static int gate_admit(void *context, const char *token, size_t token_bytes, uint64_t now_ns,
                      struct feed_grant *grant, const char **fault_out)
{
    struct fuzz_sink *sink = context;
    (void)now_ns;
    *fault_out = "it is no good";
    if (sink->admit_count++ < 2) {
        return -EAGAIN;
    }
    if (token_bytes == 0 || token[0] != 't') {
        return -EACCES;
    }
    sink->grant_count++;
    strcpy(grant->name, "token");
    grant->expires_ns = UINT64_MAX;
    return 0;
}

static bool gate_may_publish(void *context, const struct feed_grant *grant, const char *symbol,
                             size_t symbol_bytes, enum md_type type)
{
    (void)context;
    (void)grant;
    return type != MD_STATUS && (symbol_bytes == 0 || symbol[0] != 'X');
}

static void gate_drop_grant(void *context, struct feed_grant *grant)
{
    struct fuzz_sink *sink = context;
    (void)grant;
    assert_always(sink->grant_count > 0);
    sink->grant_count--;
}

/* ---- The stream ---- */

static const char *socket_path(void)
{
    static char path[64];
    if (path[0] == '\0') {
        snprintf(path, sizeof path, "/tmp/ringcast-fuzz-%d", (int)getpid());
    }
    return path;
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, socket_path());
    assert_always(fd >= 0);
    assert_always(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* false: the server has closed the connection. */
static bool hear(struct effect *effect, int fd)
{
    uint8_t bytes[4096];
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++) {
            mix(&effect->answers, bytes[i]);
        }
        if (got <= 0) {
            return got < 0 && errno == EAGAIN;
        }
    }
}

/* Until there is nothing to do at this time. false: the connection has ended. */
static bool settle(struct feed *feed, struct effect *effect, int fd, uint64_t *now_ns)
{
    for (uint32_t i = 0; i < POLLS_MAX; i++) {
        uint64_t ticks = feed->counters.ticks;
        uint64_t due_ns = feed->ops->poll(feed, *now_ns);
        if (!hear(effect, fd)) {
            return false;
        }
        if (due_ns > *now_ns + WAIT_NS && feed->counters.ticks == ticks) {
            return true;
        }
        *now_ns = due_ns <= *now_ns + WAIT_NS && due_ns > *now_ns ? due_ns : *now_ns;
    }
    assert_always(!"it asks to be polled again and again");
    return false;
}

static struct effect publish(const uint8_t *stream, size_t bytes, size_t piece_bytes_max,
                             bool needs_token)
{
    static struct fuzz_sink sink;
    char error[FEED_ERROR_BYTES_MAX];
    char spec[96];
    uint64_t now_ns = NOW_NS;
    sink = (struct fuzz_sink){.channel_count = 0};
    const struct feed_admission admission = {.context = &sink,
                                             .needs_token = needs_token,
                                             .admit = gate_admit,
                                             .may_publish = gate_may_publish,
                                             .drop_grant = gate_drop_grant};
    const struct feed_sink calls = {
        .context = &sink,
        .name = "ingest",
        .epoch = 1,
        .admission = &admission,
        .open_channel = sink_open_channel,
        .publish = sink_publish,
        .lost = sink_lost,
        .silent = sink_silent,
        .room = sink_room,
        .watch = sink_watch,
        .log = sink_log,
    };
    struct feed *feed;
    snprintf(spec, sizeof spec, "ingest:unix=%s", socket_path());
    assert_always(feed_open(&feed, spec, &calls, now_ns, error) == 0);
    int fd = dial();
    bool is_connected = settle(feed, &sink.effect, fd, &now_ns);
    for (size_t at = 0; is_connected && at < bytes;) {
        size_t piece = 1 + at * 7 % piece_bytes_max;
        piece = piece < bytes - at ? piece : bytes - at;
        ssize_t sent = send(fd, stream + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : 0;
        is_connected = (sent > 0 || errno == EAGAIN) && settle(feed, &sink.effect, fd, &now_ns);
    }
    shutdown(fd, SHUT_WR);
    while (is_connected) {
        is_connected = settle(feed, &sink.effect, fd, &now_ns);
    }
    assert_always(feed->counters.ticks == sink.effect.tick_count);
    sink.effect.counters = feed->counters;
    feed->ops->close(feed);
    assert_always(sink.grant_count == 0);
    close(fd);
    return sink.effect;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > STREAM_BYTES_MAX) {
        return 0;
    }
    bool needs_token = (data[0] & 0x80) != 0;
    struct effect pieces = publish(data + 1, size - 1, 1 + data[0] % 64, needs_token);
    struct effect whole = publish(data + 1, size - 1, STREAM_BYTES_MAX, needs_token);
    assert_always(memcmp(&pieces, &whole, sizeof whole) == 0);
    return 0;
}
