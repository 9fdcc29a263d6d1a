#include "tools/load/bench_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/ws_connect.h"

#define CONNECT_TIMEOUT_MS 10000 /* to find the address that answers */

static bool bench_address_sources(struct bench_options *options)
{
    const char *at = options->source_list;
    while (at != NULL && *at != 0) {
        char text[INET6_ADDRSTRLEN];
        size_t bytes = strcspn(at, ",");
        struct sockaddr_in *in = NULL;
        struct sockaddr_in6 *in6 = NULL;
        if (options->source_count == BENCH_SOURCES_MAX || bytes >= sizeof text) {
            bench_options_fail("--source: an address is too long, or there are over 256: %s", at);
            return false;
        }
        memcpy(text, at, bytes);
        text[bytes] = 0;
        struct ws_client_address *source = &options->sources[options->source_count];
        in = (struct sockaddr_in *)&source->address;
        in6 = (struct sockaddr_in6 *)&source->address;
        if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
            in->sin_family = AF_INET;
            source->address_bytes = sizeof *in;
        } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
            in6->sin6_family = AF_INET6;
            source->address_bytes = sizeof *in6;
        } else {
            bench_options_fail("--source: '%s' is not an IPv4 or IPv6 address", text);
            return false;
        }
        options->source_count++;
        at += bytes + (at[bytes] == ',');
    }
    return true;
}

/* --publish-to has the same certificates as the URL, if it is one of wss:// too. */
static bool bench_address_secure(struct bench_options *options)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    bool publishes = options->publish_to != NULL && options->publish_url.is_tls;
    int result = publishes ? ws_client_secure_url(&options->publish_url, &options->tls, error) : 0;
    if (result == 0 && (options->url.is_tls || !publishes)) {
        result = ws_client_secure_url(&options->url, &options->tls, error);
    }
    return result == 0 || bench_options_fail("%s", error) == 0;
}

/* All connections go to one address: of several, the first that answers. */
static int bench_address_resolve(struct bench_options *options)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    struct ws_client_addresses addresses;
    if (ws_client_resolve(&options->url, &addresses, error) != 0) {
        return bench_options_fail("%s", error);
    }
    if (addresses.count > 1) {
        int fd = ws_connect(&options->url, &addresses, CONNECT_TIMEOUT_MS, error);
        if (fd < 0) {
            fprintf(stderr, "ringcast-bench: %s\n", error);
            return 2;
        }
        close(fd);
    }
    options->address = addresses.list[0];
    return -1;
}

int bench_address_finish(struct bench_options *options)
{
    if (!bench_address_sources(options) || !bench_address_secure(options)) {
        return 1;
    }
    return bench_address_resolve(options);
}
