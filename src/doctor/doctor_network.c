#include "src/doctor/doctor_network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"

#define DOCTOR_NETWORK_FEATURES_MAX 256 /* of a network card; Linux 6.18 has 64 */
#define DOCTOR_NETWORK_FEATURE_BLOCKS (DOCTOR_NETWORK_FEATURES_MAX / 32)

static const char *const doctor_network_features[DOCTOR_OFFLOADS] = {
    [DOCTOR_OFFLOAD_SG] = "tx-scatter-gather",
    [DOCTOR_OFFLOAD_TSO] = "tx-tcp-segmentation",
    [DOCTOR_OFFLOAD_GSO] = "tx-generic-segmentation",
};

/* ---- ethtool ---- */

static bool doctor_network_ethtool(int fd, const char *name, void *command)
{
    struct ifreq request = {.ifr_data = command};
    assert_debug(strlen(name) < sizeof request.ifr_name);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    return ioctl(fd, SIOCETHTOOL, &request) == 0;
}

/* The structs of ethtool end with as many elements as the kernel is to write. */
static uint32_t doctor_network_feature_count(int fd, const char *name)
{
    _Alignas(uint64_t) char bytes[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)] = {0};
    struct ethtool_sset_info *sets = (void *)bytes;
    sets->cmd = ETHTOOL_GSSET_INFO;
    sets->sset_mask = 1u << ETH_SS_FEATURES;
    return doctor_network_ethtool(fd, name, sets) && sets->sset_mask != 0 ? sets->data[0] : 0;
}

/* The offload that a feature is; DOCTOR_OFFLOADS: none. */
static uint32_t doctor_network_offload(const uint8_t name[ETH_GSTRING_LEN])
{
    uint32_t offload = 0;
    while (offload < DOCTOR_OFFLOADS &&
           strncmp((const char *)name, doctor_network_features[offload], ETH_GSTRING_LEN) != 0) {
        offload++;
    }
    return offload;
}

/* What is off, and could be switched on. */
static uint32_t doctor_network_offloads_off(int fd, const char *name)
{
    static _Alignas(uint64_t) char strings_bytes[sizeof(struct ethtool_gstrings) +
                                                 DOCTOR_NETWORK_FEATURES_MAX * ETH_GSTRING_LEN];
    _Alignas(uint64_t) char features_bytes[sizeof(struct ethtool_gfeatures) +
                                           DOCTOR_NETWORK_FEATURE_BLOCKS *
                                               sizeof(struct ethtool_get_features_block)] = {0};
    struct ethtool_gstrings *strings = (void *)strings_bytes;
    struct ethtool_gfeatures *features = (void *)features_bytes;
    uint32_t count = doctor_network_feature_count(fd, name);
    uint32_t off = 0;
    *strings = (struct ethtool_gstrings){
        .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = count};
    features->cmd = ETHTOOL_GFEATURES;
    features->size = DOCTOR_NETWORK_FEATURE_BLOCKS;
    if (count == 0 || count > DOCTOR_NETWORK_FEATURES_MAX ||
        !doctor_network_ethtool(fd, name, strings) || !doctor_network_ethtool(fd, name, features)) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct ethtool_get_features_block *block = &features->features[i / 32];
        uint32_t offload = doctor_network_offload(&strings->data[(size_t)i * ETH_GSTRING_LEN]);
        bool could = (block->available & ~block->never_changed & 1u << i % 32) != 0;
        bool is_on = (block->active & 1u << i % 32) != 0;
        if (offload < DOCTOR_OFFLOADS && could && !is_on) {
            off |= 1u << offload;
        }
    }
    return off;
}

static void doctor_network_read_nic(int fd, struct doctor_nic *nic)
{
    struct ethtool_coalesce coalesce = {.cmd = ETHTOOL_GCOALESCE};
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    assert_always(nic->name[0] != '\0');
    nic->index = if_nametoindex(nic->name);
    nic->offloads_off = doctor_network_offloads_off(fd, nic->name);
    if (doctor_network_ethtool(fd, nic->name, &coalesce)) {
        nic->rx_usecs = coalesce.rx_coalesce_usecs;
    }
    if (doctor_network_ethtool(fd, nic->name, &channels)) {
        nic->queues = channels.combined_count + channels.rx_count;
        nic->queues_max =
            channels.max_combined > channels.max_rx ? channels.max_combined : channels.max_rx;
    }
}

/* ---- Which network cards ---- */

/* The address on which the server listens, as numbers. false: all addresses, or those of a name,
 * which is not looked up: that may take long. */
static bool doctor_network_listens_on(const char *host, struct in6_addr *address_out)
{
    struct in_addr four;
    assert_always(host != NULL);
    if (inet_pton(AF_INET, host, &four) == 1) {
        *address_out = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(&address_out->s6_addr[12], &four, sizeof four);
        return four.s_addr != htonl(INADDR_ANY);
    }
    return inet_pton(AF_INET6, host, address_out) == 1 && !IN6_IS_ADDR_UNSPECIFIED(address_out);
}

static bool doctor_network_is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static bool doctor_network_has(const struct ifaddrs *interface, const struct in6_addr *address)
{
    if (interface->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)interface->ifa_addr;
        return IN6_IS_ADDR_V4MAPPED(address) &&
               memcmp(&address->s6_addr[12], &four->sin_addr, sizeof four->sin_addr) == 0;
    }
    const struct sockaddr_in6 *six = (const void *)interface->ifa_addr;
    return memcmp(address, &six->sin6_addr, sizeof *address) == 0;
}

static bool doctor_network_is_ethernet(int fd, const char *name)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    return ioctl(fd, SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

static bool doctor_network_knows(const struct doctor_network *network, const char *name)
{
    for (uint32_t i = 0; i < network->nic_count; i++) {
        if (strcmp(network->nics[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void doctor_network_read_nics(struct doctor_network *network, const char *host)
{
    struct ifaddrs *interfaces = NULL;
    struct in6_addr address;
    bool is_one = doctor_network_listens_on(host, &address);
    network->is_local = is_one && doctor_network_is_loopback(&address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || getifaddrs(&interfaces) < 0) {
        interfaces = NULL;
    }
    for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
        const uint32_t runs = IFF_UP | IFF_RUNNING;
        bool has_address = at->ifa_addr != NULL && (at->ifa_addr->sa_family == AF_INET ||
                                                    at->ifa_addr->sa_family == AF_INET6);
        if (!has_address || (at->ifa_flags & runs) != runs ||
            (is_one && !doctor_network_has(at, &address)) ||
            !doctor_network_is_ethernet(fd, at->ifa_name) ||
            doctor_network_knows(network, at->ifa_name) || network->nic_count == DOCTOR_NICS_MAX) {
            continue;
        }
        assert_always(network->nic_count < DOCTOR_NICS_MAX);
        struct doctor_nic *nic = &network->nics[network->nic_count++];
        strncpy(nic->name, at->ifa_name, sizeof nic->name - 1);
        doctor_network_read_nic(fd, nic);
    }
    freeifaddrs(interfaces);
    if (fd >= 0) {
        close(fd);
    }
}

void doctor_network_read(struct doctor_network *network_out, const struct options *options)
{
    *network_out = (struct doctor_network){0};
    doctor_network_read_nics(network_out, options->host);
}
