#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_namespace.h"

#define DOCTOR_NET_TEXT_BYTES_MAX (16 * 1024)
#define DOCTOR_NET_WORD_BYTES_MAX 64
#define DOCTOR_NET_PAGE_BYTES 4096
#define DOCTOR_NET_CONNTRACK_PERCENT_MAX 80
#define DOCTOR_NET_SEND_BUFFERS 2 /* the kernel doubles SO_SNDBUF for its own data */

/* packaging/60-ringcast.conf sets them to these values. */
static const struct {
    const char *path;
    const char *name;
    int64_t least;
} doctor_net_backlogs[] = {
    {"/proc/sys/net/core/somaxconn", "net.core.somaxconn", 65535},
    {"/proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog", 65535},
    {"/proc/sys/net/core/netdev_max_backlog", "net.core.netdev_max_backlog", 5000},
};
#define DOCTOR_NET_BACKLOG_COUNT (sizeof doctor_net_backlogs / sizeof doctor_net_backlogs[0])

static void doctor_net_say_unread(struct doctor *doctor, const char *id, const char *path)
{
    doctor_text(doctor_add(doctor, id, DOCTOR_UNKNOWN)->is, "%s cannot be read.", path);
}

/* The number of a name in /proc/net/netstat: a line of names, then a line of numbers. */
static bool doctor_net_count(const struct doctor *doctor, const char *name, uint64_t *out)
{
    char text[DOCTOR_NET_TEXT_BYTES_MAX];
    char *names_rest, *values_rest;
    if (!doctor_read(doctor, text, sizeof text, "/proc/net/netstat")) {
        return false;
    }
    char *values = strstr(text, "\nTcpExt: ");
    if (values == NULL || strncmp(text, "TcpExt: ", strlen("TcpExt: ")) != 0) {
        return false;
    }
    assert_debug(values > text);
    *values++ = '\0';
    values[strcspn(values, "\n")] = '\0';
    const char *word = strtok_r(text, " ", &names_rest);
    const char *value = strtok_r(values, " ", &values_rest);
    while (word != NULL && value != NULL) {
        if (strcmp(word, name) == 0) {
            *out = strtoull(value, NULL, 10);
            return true;
        }
        word = strtok_r(NULL, " ", &names_rest);
        value = strtok_r(NULL, " ", &values_rest);
    }
    return false;
}

/* ---- Connections that wait to be accepted ---- */

/* "net.core.somaxconn is 4096 (60-ringcast.conf: 65535), ..." of those that are below the values.
 * false: none is. */
static bool doctor_net_low_backlogs(const struct doctor *doctor, char *out, size_t out_bytes)
{
    size_t bytes = 0;
    out[0] = '\0';
    for (size_t i = 0; i < DOCTOR_NET_BACKLOG_COUNT; i++) {
        int64_t value;
        if (doctor_read_number(doctor, &value, "%s", doctor_net_backlogs[i].path) &&
            value < doctor_net_backlogs[i].least) {
            bytes += (size_t)snprintf(out + bytes, out_bytes - bytes,
                                      "%s%s is %" PRId64 " (60-ringcast.conf: %" PRId64 ")",
                                      bytes == 0 ? "" : ", ", doctor_net_backlogs[i].name, value,
                                      doctor_net_backlogs[i].least);
            assert_always(bytes < out_bytes);
        }
    }
    return bytes > 0;
}

/* A socket's own count of drops (sock_diag) says nothing: with TCP_DEFER_ACCEPT it counts each
 * client that connects. */
static void doctor_net_backlog(struct doctor *doctor)
{
    char low[DOCTOR_TEXT_BYTES_MAX - 100];
    int64_t somaxconn = INT64_MAX;
    uint64_t overflows = 0;
    uint32_t clients = doctor->options->connections_max;
    bool is_low = doctor_net_low_backlogs(doctor, low, sizeof low);
    if (!doctor_read_number(doctor, &somaxconn, "%s", doctor_net_backlogs[0].path)) {
        doctor_net_say_unread(doctor, "net.backlog", doctor_net_backlogs[0].path);
        return;
    }
    bool has_overflowed = doctor_net_count(doctor, "ListenOverflows", &overflows) && overflows > 0;
    if (!is_low && !has_overflowed) {
        doctor_text(doctor_add(doctor, "net.backlog", DOCTOR_OK)->is,
                    "The queues of new connections are long enough, and none was full.");
        return;
    }
    bool is_short = somaxconn < doctor_net_backlogs[0].least && somaxconn < clients;
    struct doctor_finding *finding =
        doctor_add(doctor, "net.backlog", is_short ? DOCTOR_WARN : DOCTOR_INFO);
    if (has_overflowed) {
        doctor_text(finding->is,
                    "%" PRIu64 " new connections found a queue of this network's servers full, "
                    "since its start%s%s.",
                    overflows, is_low ? "; " : "", low);
    } else {
        doctor_text(finding->is, "%s; --max-connections is %u.", low, clients);
    }
    doctor_text(finding->why,
                "When all clients connect at once, as after a restart, those that find the queue "
                "full try again after 1 s, 2 s, 4 s.");
    doctor_text(
        finding->change,
        "Install packaging/60-ringcast.conf as /etc/sysctl.d/60-ringcast.conf (a package has it "
        "in /usr/lib/sysctl.d), then: sysctl --system. Restart the server, whose sockets keep the "
        "old length.");
}

/* ---- Buffers ---- */

/* The number after a word, as in "TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 2". */
static bool doctor_net_after(const char *line, const char *word, uint64_t *out)
{
    const char *at = line == NULL ? NULL : strstr(line, word);
    assert_debug(word[0] == ' ');
    if (at == NULL) {
        return false;
    }
    *out = strtoull(at + strlen(word), NULL, 10);
    return true;
}

/* All memory of TCP, in pages: how much there is now, and its limits. */
static void doctor_net_tcp_memory(struct doctor *doctor)
{
    char text[1024];
    uint64_t low, pressure, high, used = 0;
    if (!doctor_read(doctor, text, sizeof text, "/proc/sys/net/ipv4/tcp_mem") ||
        sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &low, &pressure, &high) != 3) {
        return; /* A container does not see it. */
    }
    uint64_t clients = doctor->options->connections_max;
    uint64_t needed = clients * doctor->options->send_buffer_bytes * DOCTOR_NET_SEND_BUFFERS;
    bool is_used = doctor_read(doctor, text, sizeof text, "/proc/net/sockstat") &&
                   doctor_net_after(strstr(text, "TCP: "), " mem ", &used);
    if (is_used && used > pressure) {
        struct doctor_finding *finding = doctor_add(doctor, "net.buffers", DOCTOR_WARN);
        doctor_text(finding->is,
                    "TCP uses %" PRIu64 " MiB, over the %" PRIu64 " MiB of net.ipv4.tcp_mem from "
                    "which the kernel saves memory.",
                    used * DOCTOR_NET_PAGE_BYTES / MIB, pressure * DOCTOR_NET_PAGE_BYTES / MIB);
        doctor_text(finding->why,
                    "It shrinks the buffers of all sockets: more clients fall behind.");
        doctor_text(finding->change, "Give a smaller --send-buffer-bytes, or raise the second and "
                                     "third number of net.ipv4.tcp_mem (in pages).");
    } else if (needed > high * DOCTOR_NET_PAGE_BYTES) {
        struct doctor_finding *finding = doctor_add(doctor, "net.buffers", DOCTOR_INFO);
        doctor_text(finding->is,
                    "%" PRIu64 " clients that do not read may fill %" PRIu64 " MiB; "
                    "net.ipv4.tcp_mem permits %" PRIu64 " MiB to all of TCP.",
                    clients, needed / MIB, high * DOCTOR_NET_PAGE_BYTES / MIB);
        doctor_text(finding->why, "Once so many fall behind, the kernel shrinks all buffers.");
        doctor_text(finding->change, "If that may happen, give a smaller --send-buffer-bytes, or "
                                     "raise net.ipv4.tcp_mem (in pages).");
    }
}

static void doctor_net_buffers(struct doctor *doctor)
{
    int64_t most;
    uint32_t before = doctor->count;
    uint32_t wanted = doctor->options->send_buffer_bytes;
    if (!doctor_read_number(doctor, &most, "/proc/sys/net/core/wmem_max")) {
        doctor_net_say_unread(doctor, "net.buffers", "/proc/sys/net/core/wmem_max");
        return;
    }
    if (most < wanted) {
        struct doctor_finding *finding = doctor_add(doctor, "net.buffers", DOCTOR_WARN);
        doctor_text(finding->is,
                    "net.core.wmem_max is %" PRId64 ", less than --send-buffer-bytes %u.", most,
                    wanted);
        doctor_text(finding->why, "Each client has the smaller buffer, so it fills sooner, and "
                                  "the client falls behind after a shorter pause.");
        doctor_text(finding->change,
                    "sysctl -w net.core.wmem_max=%u, and the same line in /etc/sysctl.d; then "
                    "restart the server. Or give --send-buffer-bytes %" PRId64 ".",
                    wanted, most);
    }
    doctor_net_tcp_memory(doctor);
    if (doctor->count == before) {
        doctor_text(doctor_add(doctor, "net.buffers", DOCTOR_OK)->is,
                    "net.core.wmem_max (%" PRId64 ") and net.ipv4.tcp_mem have room for "
                    "--send-buffer-bytes %u.",
                    most, wanted);
    }
}

static void doctor_net_conntrack(struct doctor *doctor)
{
    int64_t count, most;
    if (!doctor_read_number(doctor, &count, "/proc/sys/net/netfilter/nf_conntrack_count") ||
        !doctor_read_number(doctor, &most, "/proc/sys/net/netfilter/nf_conntrack_max")) {
        doctor_text(doctor_add(doctor, "net.conntrack", DOCTOR_OK)->is,
                    "No connection tracking is to be seen here.");
        return;
    }
    int64_t clients = doctor->options->connections_max;
    bool is_full = count * 100 > most * DOCTOR_NET_CONNTRACK_PERCENT_MAX;
    if (!is_full && clients <= most) {
        doctor_text(doctor_add(doctor, "net.conntrack", DOCTOR_OK)->is,
                    "%" PRId64 " of %" PRId64 " connections are tracked.", count, most);
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "net.conntrack", DOCTOR_WARN);
    doctor_text(finding->is,
                "%" PRId64 " of %" PRId64 " connections are tracked; --max-connections is %" PRId64
                ".",
                count, most, clients);
    doctor_text(finding->why, "When the table is full, the kernel drops the packets of new "
                              "connections: clients cannot connect.");
    doctor_text(finding->change,
                "sysctl -w net.netfilter.nf_conntrack_max=%" PRId64
                ", and the same line in /etc/sysctl.d. Or do not track the server's port: nft rule "
                "\"tcp dport %u notrack\" in a chain of hook prerouting, priority raw.",
                2 * (clients > most ? clients : most), doctor->options->port);
}

/* ---- How TCP sends ---- */

/* The word of a file of one word. */
static bool doctor_net_word(const struct doctor *doctor, char out[DOCTOR_NET_WORD_BYTES_MAX],
                            const char *path)
{
    bool is_read = doctor_read(doctor, out, DOCTOR_NET_WORD_BYTES_MAX, "%s", path);
    assert_debug(strlen(out) < DOCTOR_NET_WORD_BYTES_MAX);
    out[strcspn(out, "\n")] = '\0';
    return is_read && out[0] != '\0';
}

static void doctor_net_idle_cwnd(struct doctor *doctor)
{
    int64_t restarts;
    char control[DOCTOR_NET_WORD_BYTES_MAX];
    const char *path = "/proc/sys/net/ipv4/tcp_slow_start_after_idle";
    if (!doctor_read_number(doctor, &restarts, "%s", path)) {
        doctor_net_say_unread(doctor, "net.idle_cwnd", path);
        return;
    }
    /* BBR has a rule of its own for the time after a pause. */
    if (restarts == 0 || doctor->host->network.is_local ||
        (doctor_net_word(doctor, control, "/proc/sys/net/ipv4/tcp_congestion_control") &&
         strncmp(control, "bbr", 3) == 0)) {
        doctor_text(doctor_add(doctor, "net.idle_cwnd", DOCTOR_OK)->is,
                    "The window of a connection does not shrink in a pause, or need not be large.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "net.idle_cwnd", DOCTOR_WARN);
    doctor_text(finding->is, "net.ipv4.tcp_slow_start_after_idle is 1.");
    doctor_text(finding->why,
                "A connection that was quiet for longer than its retransmission timeout (0.2 s and "
                "more) begins again with 10 packets, 14 KB: the rest of a burst waits for the "
                "client's answer, a round trip or more.");
    doctor_text(finding->change, "sysctl -w net.ipv4.tcp_slow_start_after_idle=0, and the same "
                                 "line in /etc/sysctl.d/61-ringcast.conf. It holds at once, for "
                                 "open connections too.");
}

static void doctor_net_corking(struct doctor *doctor)
{
    int64_t corks;
    uint64_t times = 0;
    const char *path = "/proc/sys/net/ipv4/tcp_autocorking";
    if (!doctor_read_number(doctor, &corks, "%s", path)) {
        doctor_net_say_unread(doctor, "net.corking", path);
        return;
    }
    (void)doctor_net_count(doctor, "TCPAutoCorking", &times);
    if (corks == 0 || times == 0) {
        doctor_text(doctor_add(doctor, "net.corking", DOCTOR_OK)->is,
                    "No packet was held back to join another one.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "net.corking", DOCTOR_INFO);
    doctor_text(finding->is,
                "net.ipv4.tcp_autocorking is 1, and held small packets back %" PRIu64
                " times so far.",
                times);
    doctor_text(finding->why, "A small frame waits until the one before it has left the network "
                              "card: microseconds later, but in fewer packets.");
    doctor_text(finding->change, "Where microseconds count: sysctl -w net.ipv4.tcp_autocorking=0");
}

static void doctor_net_cc(struct doctor *doctor)
{
    char control[DOCTOR_NET_WORD_BYTES_MAX], queue[DOCTOR_NET_WORD_BYTES_MAX];
    const char *path = "/proc/sys/net/ipv4/tcp_congestion_control";
    if (!doctor_net_word(doctor, control, path)) {
        doctor_net_say_unread(doctor, "net.cc", path);
        return;
    }
    if (!doctor_net_word(doctor, queue, "/proc/sys/net/core/default_qdisc")) {
        strcpy(queue, "unknown"); /* A container does not see it. */
    }
    if (strncmp(control, "bbr", 3) != 0) {
        doctor_text(doctor_add(doctor, "net.cc", DOCTOR_OK)->is,
                    "The congestion control is %s, the default queue discipline %s.", control,
                    queue);
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "net.cc", DOCTOR_INFO);
    doctor_text(finding->is, "The congestion control is %s, the default queue discipline %s.",
                control, queue);
    doctor_text(finding->why, "BBR spaces the packets of a burst in time: its last frames leave "
                              "later than with cubic. On links that lose packets it is better.");
    doctor_text(finding->change, "In a network without losses: sysctl -w "
                                 "net.ipv4.tcp_congestion_control=cubic, for new connections.");
}

static const struct {
    const char *id;
    void (*look)(struct doctor *doctor);
} doctor_net_checks[] = {
    {"net.backlog", doctor_net_backlog},     {"net.buffers", doctor_net_buffers},
    {"net.conntrack", doctor_net_conntrack}, {"net.idle_cwnd", doctor_net_idle_cwnd},
    {"net.corking", doctor_net_corking},     {"net.cc", doctor_net_cc},
};

void doctor_check_net(struct doctor *doctor)
{
    bool is_ours = doctor_namespace_is_ours(doctor);
    for (size_t i = 0; i < sizeof doctor_net_checks / sizeof doctor_net_checks[0]; i++) {
        uint32_t before = doctor->count;
        if (is_ours) {
            doctor_net_checks[i].look(doctor);
        } else {
            doctor_namespace_say_elsewhere(doctor, doctor_net_checks[i].id);
        }
        assert_always(doctor->count > before); /* Each check says something. */
    }
}
