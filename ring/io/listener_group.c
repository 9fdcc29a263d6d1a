#include "ring/io/listener_group.h"

#include <inttypes.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"

#define GROUP_STATE_LISTEN 0x0a    /* TCP_LISTEN, as /proc/net/tcp has it */
#define GROUP_ADDRESS_BYTES_MAX 40 /* "00000000000000000000000000000000:0000" */

/* Who listens at an address. */
struct listener_group {
    uint32_t count; /* of this user's sockets */
    ino_t inode;    /* of one of them; 0: there is none */
    bool has_elder;
};

/* An address as /proc/net/tcp and tcp6 write it: words of memory in hexadecimal, and the port. */
static void listener_group_print(const struct sockaddr_storage *address,
                                 char out[GROUP_ADDRESS_BYTES_MAX])
{
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET) {
        snprintf(out, GROUP_ADDRESS_BYTES_MAX, "%08" PRIX32 ":%04X", ipv4->sin_addr.s_addr,
                 ntohs(ipv4->sin_port));
    } else {
        const uint32_t *words = ipv6->sin6_addr.s6_addr32;
        snprintf(out, GROUP_ADDRESS_BYTES_MAX,
                 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 ":%04X", words[0], words[1],
                 words[2], words[3], ntohs(ipv6->sin6_port));
    }
}

/* The file lists all listeners first. */
static struct listener_group listener_group_find(const struct sockaddr_storage *address,
                                                 ino_t elder)
{
    struct listener_group group = {0};
    char wanted[GROUP_ADDRESS_BYTES_MAX];
    char line[256];
    unsigned int state = GROUP_STATE_LISTEN;
    listener_group_print(address, wanted);
    FILE *file = fopen(address->ss_family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", "re");
    bool has_line = file != NULL && fgets(line, sizeof line, file) != NULL; /* the heading */
    while (has_line && state == GROUP_STATE_LISTEN && fgets(line, sizeof line, file) != NULL) {
        char local[GROUP_ADDRESS_BYTES_MAX];
        uintmax_t uid;
        uintmax_t inode;
        has_line = sscanf(line, " %*u: %39s %*s %x %*s %*s %*s %ju %*s %ju", local, &state, &uid,
                          &inode) == 4;
        if (has_line && state == GROUP_STATE_LISTEN && uid == geteuid() &&
            strcmp(local, wanted) == 0) {
            group.count++;
            group.inode = (ino_t)inode;
            group.has_elder |= elder != 0 && (ino_t)inode == elder;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return group;
}

ino_t listener_group_elder(const struct sockaddr_storage *address)
{
    return listener_group_find(address, 0).inode;
}

/* Of the index'th address. Returns how many sockets the others have. first_out: the place in the
 * group of the first of them. */
static uint32_t listener_group_others(const struct listener_tcp *listener, uint32_t index,
                                      uint32_t *first_out)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    assert_always(index < listener->address_count);
    if (listener->is_passed ||
        getsockname(listener->fds[index][0], (struct sockaddr *)&address, &bytes) < 0) {
        return 0;
    }
    struct listener_group group = listener_group_find(&address, listener->elders[index]);
    *first_out = group.has_elder ? 0 : listener->share_count;
    return group.count > listener->share_count ? group.count - listener->share_count : 0;
}

/* Of others that come behind the listener's own sockets, those whose places nobody has once these
 * are closed: Linux then ignores what the filter chooses. */
static void listener_group_narrow(uint32_t shares, uint32_t *first, uint32_t *count)
{
    uint32_t others = *count;
    assert_always(*first == shares);
    *first = others > shares ? others : shares;
    *count = others < shares ? others : shares;
}

bool listener_group_leave(const struct listener_tcp *listener)
{
    bool has_left = true;
    for (uint32_t i = 0; i < listener->address_count; i++) {
        uint32_t first;
        uint32_t count = listener_group_others(listener, i, &first);
        if (count == 0) {
            has_left = false;
            continue;
        }
        if (first > 0) {
            listener_group_narrow(listener->share_count, &first, &count);
        }
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_RANDOM),
            BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
            BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, first),
            BPF_STMT(BPF_RET | BPF_A, 0),
        };
        struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
        has_left &= setsockopt(listener->fds[i][0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                               sizeof program) == 0;
    }
    return has_left;
}

void listener_group_silence(const struct listener_tcp *listener)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    for (uint32_t i = 0; i < listener->address_count; i++) {
        uint32_t first;
        if (listener_group_others(listener, i, &first) == 0) {
            continue;
        }
        for (uint32_t j = 0; j < listener->share_count; j++) {
            (void)setsockopt(listener->fds[i][j], SOL_SOCKET, SO_ATTACH_FILTER, &program,
                             sizeof program);
        }
    }
}

void listener_group_spread(const struct listener_tcp *listener)
{
    int none = 0;
    for (uint32_t i = 0; i < listener->address_count; i++) {
        (void)setsockopt(listener->fds[i][0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none,
                         sizeof none);
    }
}
