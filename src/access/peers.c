#include "src/access/peers.h"

#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake.h"

static int peers_load_lists(struct peers *peers, const struct access_options *options,
                            char *error_out, size_t error_bytes)
{
    const struct {
        const char *option;
        const char *text;
        struct cidr_list *list;
    } lists[] = {{"ip-allow", options->ip_allow, &peers->allow},
                 {"ip-deny", options->ip_deny, &peers->deny},
                 {"trusted-proxies", options->trusted_proxies, &peers->trusted}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char words[256];
        int error = cidr_list_init(lists[i].list, lists[i].text, words, sizeof words);
        if (error < 0) {
            return access_options_refuse(error_out, error_bytes, error, lists[i].option, words);
        }
    }
    if (options->proxy_protocol && peers->trusted.count == 0) {
        return access_options_refuse(error_out, error_bytes, -EINVAL, "proxy-protocol",
                                     "no proxy is trusted; add --trusted-proxies");
    }
    return 0;
}

int peers_init(struct peers *peers, const struct access_options *options,
               const struct keyed_hash *hash, const struct peers *before, char *error_out,
               size_t error_bytes)
{
    *peers = (struct peers){
        .has_limits = options->rate_limit_enabled,
        .table = before == NULL ? NULL : rate_table_share(before->table),
        .connections_max = options->ip_connections_max,
        .handshakes_per_s = options->ip_handshakes_per_s,
        .messages_per_s = options->messages_per_s,
    };
    int error = peers_load_lists(peers, options, error_out, error_bytes);
    if (error == 0 && peers->has_limits && peers->table == NULL &&
        rate_table_create(&peers->table, hash) < 0) {
        error = access_options_refuse(error_out, error_bytes, -ENOMEM, "rate-limit-enabled",
                                      "no memory");
    }
    return error;
}

void peers_deinit(struct peers *peers)
{
    cidr_list_deinit(&peers->allow);
    cidr_list_deinit(&peers->deny);
    cidr_list_deinit(&peers->trusted);
    rate_table_destroy(peers->table);
    *peers = (struct peers){0};
}

/* ---- The clients behind proxies ---- */

bool peers_trust(const struct peers *peers, const struct peer *peer)
{
    return !peer->is_unix && cidr_list_has(&peers->trusted, &peer->address);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool peers_parse_hop(struct ip_address *address_out, const char *text, size_t bytes)
{
    if (bytes > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', bytes);
        return end != NULL && ip_address_parse(address_out, text + 1, (size_t)(end - text - 1));
    }
    const char *colon = memchr(text, ':', bytes);
    if (colon != NULL && memchr(colon + 1, ':', (size_t)(text + bytes - colon - 1)) == NULL) {
        bytes = (size_t)(colon - text);
    }
    return ip_address_parse(address_out, text, bytes);
}

/* The last element of a list, which is made shorter by it. */
static bool peers_last_element(const char *list, size_t *list_bytes, const char **text_out,
                               size_t *bytes_out)
{
    if (*list_bytes == 0) {
        return false;
    }
    size_t at = *list_bytes;
    while (at > 0 && list[at - 1] != ',') {
        at--;
    }
    const char *text = list + at;
    size_t bytes = *list_bytes - at;
    while (bytes > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        bytes--;
    }
    while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) {
        bytes--;
    }
    *list_bytes = at > 0 ? at - 1 : 0;
    *text_out = text;
    *bytes_out = bytes;
    return true;
}

/* Each hop names the one before it: followed from the last one on, while the hop is believed. What
 * a client wrote itself stands further left and is not reached. */
static void peers_follow_hops(const struct peers *peers, const struct handshake_slice *lists,
                              uint32_t list_count, struct peer *client)
{
    uint32_t hops = 0;
    assert_always(list_count <= HANDSHAKE_HEADERS_MAX);
    while (list_count > 0) {
        struct handshake_slice list = lists[--list_count];
        const char *text;
        size_t text_bytes;
        while (peers_last_element(list.text, &list.bytes, &text, &text_bytes)) {
            struct ip_address hop;
            if (!peers_trust(peers, client) || hops++ == PEERS_HOPS_MAX ||
                !peers_parse_hop(&hop, text, text_bytes)) {
                return;
            }
            *client = (struct peer){.address = hop};
        }
    }
}

struct peer peers_client(const struct peers *peers, const struct peer *peer, const uint8_t *head,
                         size_t head_bytes)
{
    struct handshake_slice values[HANDSHAKE_HEADERS_MAX];
    struct peer client = *peer;
    struct ip_address real;
    if (!peers_trust(peers, &client)) {
        return client;
    }
    uint32_t count =
        handshake_values(head, head_bytes, "X-Forwarded-For", values, HANDSHAKE_HEADERS_MAX);
    if (count > 0) {
        peers_follow_hops(peers, values, count, &client);
    } else if (handshake_values(head, head_bytes, "X-Real-IP", values, 1) > 0 &&
               peers_parse_hop(&real, values[0].text, values[0].bytes)) {
        client = (struct peer){.address = real};
    }
    return client;
}

/* ---- Which addresses, how many, how often ---- */

bool peers_allow(const struct peers *peers, const struct peer *peer)
{
    if (peer->is_unix) {
        return true;
    }
    return !cidr_list_has(&peers->deny, &peer->address) &&
           (peers->allow.count == 0 || cidr_list_has(&peers->allow, &peer->address));
}

/* A configured limit holds for all clients, the default only for those of other hosts. 0: none. */
static uint32_t peers_limit(uint32_t given, uint32_t otherwise, const struct peer *peer)
{
    bool is_local = peer->is_unix || ip_address_is_loopback(&peer->address);
    assert_debug(otherwise != 0);
    return given != 0 ? given : is_local ? 0 : otherwise;
}

/* Whether connections of the peer are counted; the limits that hold for it. */
static bool peers_are_counted(const struct peers *peers, const struct peer *peer,
                              struct rate_limits *limits_out)
{
    if (!peers->has_limits || peer->is_unix) {
        return false;
    }
    assert_always(peers->table != NULL);
    uint32_t held_max = peers_limit(peers->connections_max, PEERS_CONNECTIONS_DEFAULT, peer);
    uint32_t per_s = peers_limit(peers->handshakes_per_s, PEERS_HANDSHAKES_DEFAULT, peer);
    *limits_out = (struct rate_limits){.held_max = held_max == 0 ? UINT32_MAX : held_max};
    if (per_s != 0) {
        limits_out->rate = rate_per_second(per_s);
    }
    return held_max != 0 || per_s != 0;
}

enum rate_verdict peers_take(struct peers *peers, const struct peer *peer, uint64_t now_ns,
                             uint32_t *entry_out, uint64_t *wait_ns_out)
{
    struct rate_limits limits;
    *entry_out = RATE_NONE;
    if (!peers_are_counted(peers, peer, &limits)) {
        return RATE_OK;
    }
    enum rate_verdict verdict =
        rate_table_take(peers->table, &peer->address, &limits, now_ns, entry_out, wait_ns_out);
    /* Only what was counted is given back. */
    assert_always((verdict == RATE_OK) == (*entry_out != RATE_NONE));
    return verdict;
}

void peers_release(struct peers *peers, uint32_t entry)
{
    if (peers->table != NULL) {
        rate_table_release(peers->table, entry);
    }
}

uint32_t peers_hold(struct peers *peers, const struct peer *peer, uint64_t now_ns)
{
    struct rate_limits limits;
    return peers_are_counted(peers, peer, &limits)
               ? rate_table_hold(peers->table, &peer->address, now_ns)
               : RATE_NONE;
}

void peers_charge(struct peers *peers, const struct peer *peer, uint32_t entry, uint32_t count,
                  uint64_t now_ns)
{
    uint32_t per_s = peers_limit(peers->handshakes_per_s, PEERS_HANDSHAKES_DEFAULT, peer);
    if (peers->has_limits && entry != RATE_NONE && per_s != 0) {
        struct rate rate = rate_per_second(per_s);
        rate_table_charge(peers->table, entry, &rate, count, now_ns);
    }
}

struct rate peers_message_rate(const struct peers *peers, const struct peer *client)
{
    uint32_t per_s = peers_limit(peers->messages_per_s, PEERS_MESSAGES_DEFAULT, client);
    return peers->has_limits && per_s != 0 ? rate_per_second(per_s) : (struct rate){0};
}
