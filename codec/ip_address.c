#include "codec/ip_address.h"

#include <arpa/inet.h>
#include <string.h>

#include "codec/base/check.h"

static_assert(IP_ADDRESS_TEXT_BYTES_MAX >= INET6_ADDRSTRLEN, "the longest form");
static_assert(sizeof(struct ip_address) == sizeof(struct in6_addr), "as the kernel has it");

static const uint8_t ip_address_v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct ip_address ip_address_from_v4(const void *bytes)
{
    struct ip_address address;
    memcpy(address.bytes, ip_address_v4_prefix, sizeof ip_address_v4_prefix);
    memcpy(address.bytes + sizeof ip_address_v4_prefix, bytes, 4);
    return address;
}

bool ip_address_from_socket(struct ip_address *address_out, uint16_t *port_out,
                            const struct sockaddr *socket)
{
    if (socket->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)socket;
        *address_out = ip_address_from_v4(&v4->sin_addr);
        *port_out = ntohs(v4->sin_port);
        return true;
    }
    if (socket->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)socket;
        memcpy(address_out->bytes, &v6->sin6_addr, sizeof address_out->bytes);
        *port_out = ntohs(v6->sin6_port);
        return true;
    }
    return false;
}

bool ip_address_parse(struct ip_address *address_out, const char *text, size_t text_bytes)
{
    char copy[IP_ADDRESS_TEXT_BYTES_MAX];
    uint8_t v4[4];
    if (text_bytes == 0 || text_bytes >= sizeof copy || memchr(text, '\0', text_bytes) != NULL) {
        return false;
    }
    memcpy(copy, text, text_bytes);
    copy[text_bytes] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        *address_out = ip_address_from_v4(v4);
        return true;
    }
    struct ip_address v6;
    if (inet_pton(AF_INET6, copy, v6.bytes) != 1) {
        return false;
    }
    *address_out = v6;
    return true;
}

bool ip_address_is_v4(const struct ip_address *address)
{
    return memcmp(address->bytes, ip_address_v4_prefix, sizeof ip_address_v4_prefix) == 0;
}

void ip_address_format(const struct ip_address *address, char text_out[IP_ADDRESS_TEXT_BYTES_MAX])
{
    bool is_v4 = ip_address_is_v4(address);
    const uint8_t *bytes = address->bytes + (is_v4 ? sizeof ip_address_v4_prefix : 0);
    const char *text =
        inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes, text_out, IP_ADDRESS_TEXT_BYTES_MAX);
    assert_always(text != NULL);
}

bool ip_address_is_loopback(const struct ip_address *address)
{
    static const uint8_t v6[IP_ADDRESS_BYTES] = {[15] = 1};
    return ip_address_is_v4(address) ? address->bytes[12] == 127
                                     : memcmp(address->bytes, v6, sizeof v6) == 0;
}

bool ip_address_equal(const struct ip_address *left, const struct ip_address *right)
{
    return memcmp(left->bytes, right->bytes, IP_ADDRESS_BYTES) == 0;
}
