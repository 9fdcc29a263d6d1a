#include "libringcast/ringcast_publish_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"

#define RINGCAST_PUBLISH_ANSWER_NS (10 * NS_PER_SECOND) /* to connect, and to the WELCOME */
#define RINGCAST_PUBLISH_HEARTBEAT_S 5                  /* unless the WELCOME has others */
#define RINGCAST_PUBLISH_SILENT_S 15
#define RINGCAST_PUBLISH_SECONDS_MAX 3600
#define RINGCAST_PUBLISH_BACKOFF_NS (NS_PER_SECOND / 2)
#define RINGCAST_PUBLISH_BACKOFF_NS_MAX (30 * NS_PER_SECOND)
#define RINGCAST_PUBLISH_READS_MAX 64 /* a poll */

enum ringcast_publish_event {
    RINGCAST_PUBLISH_ON_SOCKET,
    RINGCAST_PUBLISH_ON_TIMER,
    RINGCAST_PUBLISH_EVENT_COUNT,
};

/* ---- State ---- */

#define TO(state) (1u << RINGCAST_PUBLISH_##state)
static const uint8_t ringcast_publish_next_states[] = {
    [RINGCAST_PUBLISH_WAITING] = TO(CONNECTING),
    [RINGCAST_PUBLISH_CONNECTING] = TO(GREETING) | TO(WAITING),
    [RINGCAST_PUBLISH_GREETING] = TO(LIVE) | TO(WAITING) | TO(FAILED),
    [RINGCAST_PUBLISH_LIVE] = TO(WAITING) | TO(FAILED),
    [RINGCAST_PUBLISH_FAILED] = 0,
};

/* deadline_ns: when the timer is due; 0: never. */
static void ringcast_publish_link_set_timer(struct ringcast_publish *publish, uint64_t deadline_ns)
{
    struct itimerspec due = {.it_value = {.tv_sec = (time_t)(deadline_ns / NS_PER_SECOND),
                                          .tv_nsec = (long)(deadline_ns % NS_PER_SECOND)}};
    publish->deadline_ns = deadline_ns;
    int error = timerfd_settime(publish->timer_fd, TFD_TIMER_ABSTIME, &due, NULL);
    assert_always(error == 0);
}

static void ringcast_publish_link_enter(struct ringcast_publish *publish,
                                        enum ringcast_publish_state next, uint64_t deadline_ns)
{
    assert_always(ringcast_publish_next_states[publish->state] & (1u << next));

    publish->state = next;
    ringcast_publish_link_set_timer(publish, deadline_ns);
}

uint64_t ringcast_publish_link_backoff_ns(uint32_t failures, uint64_t random)
{
    uint64_t wait_ns = RINGCAST_PUBLISH_BACKOFF_NS;
    for (uint32_t i = 1; i < failures && wait_ns < RINGCAST_PUBLISH_BACKOFF_NS_MAX; i++) {
        wait_ns *= 2;
    }
    if (wait_ns > RINGCAST_PUBLISH_BACKOFF_NS_MAX) {
        wait_ns = RINGCAST_PUBLISH_BACKOFF_NS_MAX;
    }
    return wait_ns - random % (wait_ns / 2);
}

static uint64_t ringcast_publish_link_random(struct ringcast_publish *publish)
{
    publish->random ^= publish->random << 13;
    publish->random ^= publish->random >> 7;
    publish->random ^= publish->random << 17;
    return publish->random;
}

/* Drops the connection, whose unacknowledged ticks are to be sent again. is_final: for good. */
__attribute__((format(printf, 3, 4))) static void
ringcast_publish_link_drop(struct ringcast_publish *publish, bool is_final, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(publish->error, sizeof publish->error, format, arguments);
    va_end(arguments);
    if (publish->socket_fd >= 0) {
        close(publish->socket_fd); /* epoll forgets it */
        publish->socket_fd = -1;
    }
    publish->waits_to_send = false;
    publish->control_at = 0;
    publish->control_bytes = 0;
    publish->input_bytes = 0;
    ringcast_publish_ring_rewind(&publish->ring);
    if (is_final) {
        ringcast_publish_link_enter(publish, RINGCAST_PUBLISH_FAILED, 0);
        return;
    }
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    uint32_t round = publish->addresses.count;
    publish->address_index = (publish->address_index + 1) % round;
    publish->failures++;
    /* All addresses are tried before the wait. */
    bool is_round = publish->failures % round == 0;
    uint64_t wait_ns = is_round
                           ? ringcast_publish_link_backoff_ns(publish->failures / round,
                                                              ringcast_publish_link_random(publish))
                           : 0;
    ringcast_publish_link_enter(publish, RINGCAST_PUBLISH_WAITING, now_ns + wait_ns);
}

/* ---- Connecting ---- */

static void ringcast_publish_link_watch(struct ringcast_publish *publish, int operation)
{
    struct epoll_event event = {
        .events = EPOLLIN | (publish->waits_to_send ? EPOLLOUT : 0),
        .data.u32 = RINGCAST_PUBLISH_ON_SOCKET,
    };
    int error = epoll_ctl(publish->epoll_fd, operation, publish->socket_fd, &event);
    assert_always(error == 0);
}

static void ringcast_publish_link_wait_to_send(struct ringcast_publish *publish, bool waits)
{
    if (publish->waits_to_send != waits) {
        publish->waits_to_send = waits;
        ringcast_publish_link_watch(publish, EPOLL_CTL_MOD);
    }
}

static void ringcast_publish_link_on_connected(struct ringcast_publish *publish)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    ringcast_publish_link_enter(publish, RINGCAST_PUBLISH_GREETING,
                                now_ns + RINGCAST_PUBLISH_ANSWER_NS);
    memcpy(publish->control, publish->hello, publish->hello_bytes);
    publish->control_bytes = publish->hello_bytes;
    publish->defined_count = 0;
    publish->sent_ns = now_ns;
    publish->received_ns = now_ns;
}

static void ringcast_publish_link_connect(struct ringcast_publish *publish)
{
    const struct ringcast_publish_address *address =
        &publish->addresses.each[publish->address_index];
    ringcast_publish_link_enter(publish, RINGCAST_PUBLISH_CONNECTING,
                                clock_ns(CLOCK_MONOTONIC) + RINGCAST_PUBLISH_ANSWER_NS);
    publish->socket_fd =
        socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (publish->socket_fd < 0) {
        ringcast_publish_link_drop(publish, false, "socket: %s", strerror(errno));
        return;
    }
    if (address->any.sa_family != AF_UNIX) {
        int yes = 1;
        (void)setsockopt(publish->socket_fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    int error = connect(publish->socket_fd, &address->any, address->bytes) < 0 ? errno : 0;
    if (error != 0 && error != EINPROGRESS) {
        ringcast_publish_link_drop(publish, false, "connect: %s", strerror(error));
        return;
    }
    publish->waits_to_send = error != 0;
    ringcast_publish_link_watch(publish, EPOLL_CTL_ADD);
    if (error == 0) {
        ringcast_publish_link_on_connected(publish);
    }
}

static void ringcast_publish_link_on_connect_result(struct ringcast_publish *publish)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    getsockopt(publish->socket_fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    if (error != 0) {
        ringcast_publish_link_drop(publish, false, "connect: %s", strerror(error));
        return;
    }
    ringcast_publish_link_wait_to_send(publish, false);
    ringcast_publish_link_on_connected(publish);
}

/* ---- Receiving ---- */

static uint64_t ringcast_publish_link_seconds(uint64_t seconds, uint64_t otherwise)
{
    bool is_sane = seconds > 0 && seconds <= RINGCAST_PUBLISH_SECONDS_MAX;
    return (is_sane ? seconds : otherwise) * NS_PER_SECOND;
}

static uint64_t ringcast_publish_link_next_duty(const struct ringcast_publish *publish)
{
    uint64_t heartbeat_ns = publish->sent_ns + publish->heartbeat_ns;
    uint64_t silent_ns = publish->received_ns + publish->silent_ns;
    return heartbeat_ns < silent_ns ? heartbeat_ns : silent_ns;
}

static void ringcast_publish_link_on_welcome(struct ringcast_publish *publish,
                                             const struct ringcast_publish_reply *reply)
{
    memcpy(publish->server_epoch, reply->epoch, sizeof reply->epoch);
    publish->heartbeat_ns =
        ringcast_publish_link_seconds(reply->heartbeat_s, RINGCAST_PUBLISH_HEARTBEAT_S);
    publish->silent_ns = ringcast_publish_link_seconds(reply->silent_s, RINGCAST_PUBLISH_SILENT_S);
    if (reply->q > 0) {
        ringcast_publish_ring_release(&publish->ring, reply->q, true);
        publish->acked_q = reply->q;
        publish->next_q = publish->next_q > reply->q ? publish->next_q : reply->q + 1;
    }
    publish->failures = 0;
    publish->connects++;
    publish->error[0] = '\0';
    ringcast_publish_link_enter(publish, RINGCAST_PUBLISH_LIVE,
                                ringcast_publish_link_next_duty(publish));
}

static void ringcast_publish_link_on_reply(struct ringcast_publish *publish,
                                           const struct ringcast_publish_reply *reply)
{
    switch (reply->kind) {
    case RINGCAST_PUBLISH_WELCOME:
        if (publish->state == RINGCAST_PUBLISH_GREETING) {
            ringcast_publish_link_on_welcome(publish, reply);
        }
        return;
    case RINGCAST_PUBLISH_ACK:
        if (publish->state == RINGCAST_PUBLISH_LIVE && reply->q > publish->acked_q) {
            ringcast_publish_ring_release(&publish->ring, reply->q, false);
            publish->acked_q = reply->q;
        }
        return;
    case RINGCAST_PUBLISH_REFUSED:
        publish->refused++;
        if (publish->on_refused != NULL) {
            publish->on_refused(publish->context, reply->q, reply->text);
        }
        return;
    case RINGCAST_PUBLISH_ERROR:
        ringcast_publish_link_drop(publish, !reply->retry, "%s: %s", reply->code, reply->text);
        return;
    case RINGCAST_PUBLISH_OTHER:
        return;
    }
}

/* Reads the whole messages of the input. */
static void ringcast_publish_link_on_input(struct ringcast_publish *publish)
{
    size_t at = 0;
    while (publish->socket_fd >= 0 && publish->input_bytes - at >= RINGCAST_PUBLISH_LENGTH_BYTES) {
        uint32_t bytes;
        memcpy(&bytes, publish->input + at, sizeof bytes);
        if (bytes > RINGCAST_PUBLISH_INPUT_BYTES - RINGCAST_PUBLISH_LENGTH_BYTES) {
            ringcast_publish_link_drop(
                publish, false, "what is at the address does not speak the protocol of an ingest");
            return;
        }
        if (publish->input_bytes - at - RINGCAST_PUBLISH_LENGTH_BYTES < bytes) {
            break;
        }
        struct ringcast_publish_reply reply;
        const char *text = (char *)publish->input + at + RINGCAST_PUBLISH_LENGTH_BYTES;
        if (!ringcast_publish_reply_read(&reply, text, bytes)) {
            ringcast_publish_link_drop(publish, false, "the server sent what is not a message");
            return;
        }
        at += RINGCAST_PUBLISH_LENGTH_BYTES + bytes;
        ringcast_publish_link_on_reply(publish, &reply);
    }
    if (publish->socket_fd >= 0) {
        publish->input_bytes -= at;
        memmove(publish->input, publish->input + at, publish->input_bytes);
    }
}

static void ringcast_publish_link_receive(struct ringcast_publish *publish)
{
    for (unsigned i = 0; i < RINGCAST_PUBLISH_READS_MAX && publish->socket_fd >= 0; i++) {
        size_t room = sizeof publish->input - publish->input_bytes;
        assert_always(room > 0);
        ssize_t bytes =
            recv(publish->socket_fd, publish->input + publish->input_bytes, room, MSG_DONTWAIT);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0 && errno == EAGAIN) {
            return;
        }
        if (bytes <= 0) {
            ringcast_publish_link_drop(publish, false, "disconnected: %s",
                                       bytes == 0 ? "the server closed" : strerror(errno));
            return;
        }
        publish->received_ns = clock_ns(CLOCK_MONOTONIC);
        publish->input_bytes += (size_t)bytes;
        ringcast_publish_link_on_input(publish);
        if ((size_t)bytes < room) {
            return;
        }
    }
}

/* ---- Sending ---- */

/* How much the kernel took, or a negative errno. */
static ssize_t ringcast_publish_link_put(struct ringcast_publish *publish, const uint8_t *bytes,
                                         size_t byte_count)
{
    ssize_t taken;
    do {
        taken = send(publish->socket_fd, bytes, byte_count, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (taken < 0 && errno == EINTR);
    if (taken < 0) {
        return -errno;
    }
    publish->sent_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    return taken;
}

/* Control messages stand between messages of the ring, and before those that are not sent. */
static void ringcast_publish_link_fill_control(struct ringcast_publish *publish)
{
    if (publish->control_at < publish->control_bytes) {
        return;
    }
    publish->control_at = 0;
    publish->control_bytes = 0;
    if (publish->state == RINGCAST_PUBLISH_LIVE &&
        publish->defined_count < publish->channel_count) {
        publish->control_bytes = ringcast_publish_control_definition(
            publish->control, publish->channels, &publish->defined_count, publish->channel_count);
    }
}

/* One piece: 0: there is nothing; above 0: taken; or a negative errno. */
static ssize_t ringcast_publish_link_send_piece(struct ringcast_publish *publish)
{
    struct ringcast_publish_ring *ring = &publish->ring;
    ringcast_publish_link_fill_control(publish);
    size_t control = publish->control_bytes - publish->control_at;
    size_t bytes = (size_t)(ring->end - ring->sent);
    if (control > 0) {
        bytes = publish->control_at > 0 ? 0 : ringcast_publish_ring_rest(ring);
    } else if (publish->state != RINGCAST_PUBLISH_LIVE) {
        return 0;
    }
    if (bytes > 0) {
        ssize_t taken =
            ringcast_publish_link_put(publish, ringcast_publish_ring_at(ring, ring->sent), bytes);
        ringcast_publish_ring_on_sent(ring, taken > 0 ? (size_t)taken : 0);
        return taken;
    }
    if (control == 0) {
        return 0;
    }
    ssize_t taken =
        ringcast_publish_link_put(publish, publish->control + publish->control_at, control);
    publish->control_at += taken > 0 ? (size_t)taken : 0;
    return taken;
}

int ringcast_publish_link_send(struct ringcast_publish *publish)
{
    if (publish->state == RINGCAST_PUBLISH_FAILED) {
        return -ECONNABORTED;
    }
    if (publish->state != RINGCAST_PUBLISH_GREETING && publish->state != RINGCAST_PUBLISH_LIVE) {
        return -EAGAIN;
    }
    ssize_t taken;
    do {
        taken = ringcast_publish_link_send_piece(publish);
    } while (taken > 0);
    if (taken == 0 || taken == -EAGAIN) {
        ringcast_publish_link_wait_to_send(publish, taken != 0);
        bool is_all = taken == 0 && publish->state == RINGCAST_PUBLISH_LIVE;
        return is_all ? 0 : -EAGAIN;
    }
    /* The reason may be among what the server sent before it closed. */
    ringcast_publish_link_receive(publish);
    if (publish->socket_fd >= 0) {
        ringcast_publish_link_drop(publish, false, "disconnected: %s", strerror((int)-taken));
    }
    return publish->state == RINGCAST_PUBLISH_FAILED ? -ECONNABORTED : -EAGAIN;
}

/* ---- Time ---- */

static void ringcast_publish_link_on_duty(struct ringcast_publish *publish, uint64_t now_ns)
{
    assert_always(publish->state == RINGCAST_PUBLISH_LIVE);

    if (now_ns >= publish->received_ns + publish->silent_ns) {
        ringcast_publish_link_drop(publish, false, "disconnected: the server was silent for %u s",
                                   (unsigned)(publish->silent_ns / NS_PER_SECOND));
        return;
    }
    bool is_idle = publish->control_at == publish->control_bytes;
    if (is_idle && now_ns >= publish->sent_ns + publish->heartbeat_ns) {
        publish->control_at = 0;
        publish->control_bytes = ringcast_publish_control_heartbeat(publish->control);
        publish->sent_ns = now_ns;
    }
    uint64_t due_ns = ringcast_publish_link_next_duty(publish);
    ringcast_publish_link_set_timer(publish, due_ns > now_ns ? due_ns : now_ns + NS_PER_SECOND);
}

static void ringcast_publish_link_on_time(struct ringcast_publish *publish)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (publish->deadline_ns == 0 || now_ns < publish->deadline_ns) {
        return;
    }
    switch (publish->state) {
    case RINGCAST_PUBLISH_WAITING:
        ringcast_publish_link_connect(publish);
        return;
    case RINGCAST_PUBLISH_CONNECTING:
    case RINGCAST_PUBLISH_GREETING:
        ringcast_publish_link_drop(publish, false, "the server did not answer within %u s",
                                   (unsigned)(RINGCAST_PUBLISH_ANSWER_NS / NS_PER_SECOND));
        return;
    case RINGCAST_PUBLISH_LIVE:
        ringcast_publish_link_on_duty(publish, now_ns);
        return;
    case RINGCAST_PUBLISH_FAILED:
        return;
    }
}

/* ---- The publisher's calls ---- */

void ringcast_publish_link_open(struct ringcast_publish *publish)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = RINGCAST_PUBLISH_ON_TIMER};
    int error = epoll_ctl(publish->epoll_fd, EPOLL_CTL_ADD, publish->timer_fd, &event);
    assert_always(error == 0);
    publish->socket_fd = -1;
    publish->state = RINGCAST_PUBLISH_WAITING;
    publish->random = clock_ns(CLOCK_REALTIME) ^ (uint64_t)getpid() << 40;
    ringcast_publish_link_connect(publish);
}

void ringcast_publish_link_close(struct ringcast_publish *publish)
{
    if (publish->socket_fd >= 0) {
        close(publish->socket_fd);
    }
}

void ringcast_publish_link_poll(struct ringcast_publish *publish, int timeout_ms)
{
    struct epoll_event events[RINGCAST_PUBLISH_EVENT_COUNT];
    int count = epoll_wait(publish->epoll_fd, events, RINGCAST_PUBLISH_EVENT_COUNT, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == RINGCAST_PUBLISH_ON_TIMER) {
            uint64_t expirations;
            (void)!read(publish->timer_fd, &expirations, sizeof expirations);
        } else if (publish->state == RINGCAST_PUBLISH_CONNECTING) {
            ringcast_publish_link_on_connect_result(publish);
        } else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            ringcast_publish_link_receive(publish);
        }
    }
    ringcast_publish_link_on_time(publish);
}
