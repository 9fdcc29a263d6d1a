#include "tools/common/ws_connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"

#define WS_CONNECT_TOLD_MAX 8 /* of the addresses that failed */

struct ws_connect_race {
    const struct ws_client_addresses *addresses;
    struct pollfd attempts[WS_CLIENT_ADDRESSES_MAX]; /* -1: not begun, or failed */
    int errors[WS_CLIENT_ADDRESSES_MAX];             /* why each failed; -ETIMEDOUT until then */
    uint32_t begun_count;
    uint32_t pending_count;
    uint64_t next_ns; /* when the next one is begun */
    int poll_error;   /* -EINTR: a signal ended it */
};

static void ws_connect_race_begin(struct ws_connect_race *race, uint64_t now_ns)
{
    uint32_t index = race->begun_count++;
    const struct ws_client_address *address = &race->addresses->list[index];
    assert_always(index < race->addresses->count);
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (connect(fd, (const struct sockaddr *)&address->address, address->address_bytes) == 0 ||
         errno == EINPROGRESS)) {
        race->attempts[index] = (struct pollfd){.fd = fd, .events = POLLOUT};
        race->pending_count++;
        race->next_ns = now_ns + WS_CONNECT_NEXT_MS * NS_PER_MS;
        return;
    }
    race->errors[index] = -errno;
    race->next_ns = now_ns;
    if (fd >= 0) {
        close(fd);
    }
}

/* Takes what poll(2) has found. Returns the index of the address that answered, or UINT32_MAX. */
static uint32_t ws_connect_race_look(struct ws_connect_race *race, uint64_t now_ns)
{
    for (uint32_t i = 0; i < race->begun_count; i++) {
        int error = 0;
        socklen_t error_bytes = sizeof error;
        if (race->attempts[i].fd < 0 || race->attempts[i].revents == 0) {
            continue;
        }
        if (getsockopt(race->attempts[i].fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) == 0 &&
            error == 0) {
            return i;
        }
        race->errors[i] = error == 0 ? -errno : -error;
        close(race->attempts[i].fd);
        race->attempts[i].fd = -1;
        race->pending_count--;
        race->next_ns = now_ns;
    }
    return UINT32_MAX;
}

/* Returns the index of the address that answered, or UINT32_MAX. Closes all others. */
static uint32_t ws_connect_race_run(struct ws_connect_race *race, int timeout_ms)
{
    uint32_t winner = UINT32_MAX;
    uint32_t count = race->addresses->count;
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t end_ns = now_ns + (uint64_t)timeout_ms * NS_PER_MS;
    race->next_ns = now_ns;
    while (winner == UINT32_MAX && now_ns < end_ns &&
           (race->pending_count > 0 || race->begun_count < count)) {
        if (race->begun_count < count && (race->pending_count == 0 || now_ns >= race->next_ns)) {
            ws_connect_race_begin(race, now_ns);
            continue;
        }
        bool is_last = race->begun_count == count;
        uint64_t until_ns = is_last || end_ns < race->next_ns ? end_ns : race->next_ns;
        int wait_ms = (int)((until_ns - now_ns) / NS_PER_MS) + 1;
        if (poll(race->attempts, race->begun_count, wait_ms) < 0) {
            race->poll_error = -errno;
            break;
        }
        now_ns = clock_ns(CLOCK_MONOTONIC);
        winner = ws_connect_race_look(race, now_ns);
    }
    for (uint32_t i = 0; i < race->begun_count; i++) {
        if (i != winner && race->attempts[i].fd >= 0) {
            close(race->attempts[i].fd);
        }
    }
    return winner;
}

/* "[::1]" or "127.0.0.1" */
static void ws_connect_text(const struct ws_client_address *address, char *out, size_t out_bytes)
{
    char host[NI_MAXHOST] = "?";
    (void)getnameinfo((const struct sockaddr *)&address->address, address->address_bytes, host,
                      sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(out, out_bytes, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
}

static void ws_connect_name(const struct ws_client_url *url, char *error_out)
{
    if (url->is_unix) {
        snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, "cannot connect to unix://%s",
                 url->socket_path);
    } else {
        const char *form = strchr(url->host, ':') != NULL ? "cannot connect to [%s]:%s"
                                                          : "cannot connect to %s:%s";
        snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, form, url->host, url->port);
    }
}

/* "cannot connect to localhost:8765 ([::1]: Connection refused; 127.0.0.1: ...)". One error alone
 * where there is one address, and the URL has it already; or when no address is to blame. */
static int ws_connect_race_explain(const struct ws_connect_race *race,
                                   const struct ws_client_url *url, char *error_out)
{
    char text[NI_MAXHOST + 2];
    uint32_t count = race->addresses->count;
    int error = race->poll_error != 0 ? race->poll_error : race->errors[0];
    ws_connect_name(url, error_out);
    size_t used = strlen(error_out);
    ws_connect_text(&race->addresses->list[0], text, sizeof text);
    if (url->is_unix || race->poll_error != 0 || (count == 1 && strstr(error_out, text) != NULL)) {
        snprintf(error_out + used, WS_CLIENT_ERROR_BYTES_MAX - used, ": %s", strerror(-error));
        return error;
    }
    for (uint32_t i = 0; i < count && i < WS_CONNECT_TOLD_MAX; i++) {
        ws_connect_text(&race->addresses->list[i], text, sizeof text);
        snprintf(error_out + used, WS_CLIENT_ERROR_BYTES_MAX - used, "%s%s: %s",
                 i == 0 ? " (" : "; ", text, strerror(-race->errors[i]));
        used = strlen(error_out);
    }
    if (count > WS_CONNECT_TOLD_MAX) {
        snprintf(error_out + used, WS_CLIENT_ERROR_BYTES_MAX - used, "; and %u more",
                 count - WS_CONNECT_TOLD_MAX);
        used = strlen(error_out);
    }
    snprintf(error_out + used, WS_CLIENT_ERROR_BYTES_MAX - used, ")");
    return error;
}

int ws_connect(const struct ws_client_url *url, struct ws_client_addresses *addresses,
               int timeout_ms, char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    int one = 1;
    struct ws_connect_race race = {.addresses = addresses};
    assert_always(addresses->count > 0);
    assert_always(addresses->count <= WS_CLIENT_ADDRESSES_MAX);
    for (uint32_t i = 0; i < addresses->count; i++) {
        race.attempts[i].fd = -1;
        race.errors[i] = -ETIMEDOUT;
    }
    uint32_t winner = ws_connect_race_run(&race, timeout_ms);
    if (winner == UINT32_MAX) {
        return ws_connect_race_explain(&race, url, error_out);
    }
    struct ws_client_address first = addresses->list[winner];
    memmove(&addresses->list[1], &addresses->list[0], winner * sizeof first);
    addresses->list[0] = first;
    int fd = race.attempts[winner].fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
