#include "codec/proxy_header.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/crc32c.h"

#define PROXY_V1_BYTES_MAX 107
#define PROXY_V2_FIXED_BYTES 16
#define PROXY_V2_INET_BYTES 12
#define PROXY_V2_INET6_BYTES 36
#define PROXY_V2_UNIX_BYTES 216
#define PROXY_TLV_HEAD_BYTES 3
#define PROXY_TLV_CRC32C 0x03

static const char proxy_v1_signature[] = "PROXY ";
static const char proxy_v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* How the bytes compare with a signature: PROXY_OK when it is there. */
static enum proxy_status proxy_match(const uint8_t *bytes, size_t bytes_count,
                                     const char *signature, size_t signature_bytes)
{
    size_t count = bytes_count < signature_bytes ? bytes_count : signature_bytes;
    if (memcmp(bytes, signature, count) != 0) {
        return PROXY_ABSENT;
    }
    return count == signature_bytes ? PROXY_OK : PROXY_NEED_MORE;
}

/* ---- Version 1 ---- */

struct proxy_words {
    const char *at;
    const char *end;
};

/* The next word; one blank stands between two. false: there is none. */
static bool proxy_next_word(struct proxy_words *words, const char **word_out, size_t *bytes_out)
{
    const char *blank = memchr(words->at, ' ', (size_t)(words->end - words->at));
    const char *word_end = blank != NULL ? blank : words->end;
    *word_out = words->at;
    *bytes_out = (size_t)(word_end - words->at);
    words->at = blank != NULL ? blank + 1 : words->end;
    return *bytes_out > 0;
}

/* 0 to 65535 in 1 to 5 digits, without a leading 0. */
static bool proxy_read_port(const char *text, size_t text_bytes, uint16_t *port_out)
{
    uint32_t port = 0;
    if (text_bytes == 0 || text_bytes > 5 || (text[0] == '0' && text_bytes > 1)) {
        return false;
    }
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *port_out = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool proxy_read_address(const char *text, size_t text_bytes, bool is_v6,
                               struct ip_address *address_out)
{
    bool has_colon = memchr(text, ':', text_bytes) != NULL;
    return has_colon == is_v6 && ip_address_parse(address_out, text, text_bytes);
}

/* What stands between "PROXY " and the line's end. */
static bool proxy_read_v1_words(struct proxy_words words, struct proxy_header *header)
{
    const char *word[5];
    size_t bytes[5];
    struct ip_address target;
    uint16_t target_port;
    if (!proxy_next_word(&words, &word[0], &bytes[0])) {
        return false;
    }
    if (bytes[0] == 7 && memcmp(word[0], "UNKNOWN", 7) == 0) {
        return true;
    }
    bool is_v6 = bytes[0] == 4 && memcmp(word[0], "TCP6", 4) == 0;
    if (!is_v6 && (bytes[0] != 4 || memcmp(word[0], "TCP4", 4) != 0)) {
        return false;
    }
    for (int i = 1; i < 5; i++) {
        if (!proxy_next_word(&words, &word[i], &bytes[i])) {
            return false;
        }
    }
    assert_debug(words.at <= words.end);
    header->has_source = true;
    return words.at == words.end && word[4] + bytes[4] == words.end &&
           proxy_read_address(word[1], bytes[1], is_v6, &header->source) &&
           proxy_read_address(word[2], bytes[2], is_v6, &target) &&
           proxy_read_port(word[3], bytes[3], &header->source_port) &&
           proxy_read_port(word[4], bytes[4], &target_port);
}

static enum proxy_status proxy_parse_v1(const uint8_t *bytes, size_t bytes_count,
                                        struct proxy_header *header)
{
    size_t count = bytes_count < PROXY_V1_BYTES_MAX ? bytes_count : PROXY_V1_BYTES_MAX;
    const uint8_t *line_end = memchr(bytes, '\n', count);
    if (line_end == NULL) {
        return count == PROXY_V1_BYTES_MAX ? PROXY_BAD : PROXY_NEED_MORE;
    }
    struct proxy_words words = {
        .at = (const char *)bytes + sizeof proxy_v1_signature - 1,
        .end = (const char *)line_end - 1,
    };
    if (words.end < words.at || *words.end != '\r' || !proxy_read_v1_words(words, header)) {
        return PROXY_BAD;
    }
    header->header_bytes = (size_t)(line_end + 1 - bytes);
    assert_debug(header->header_bytes <= PROXY_V1_BYTES_MAX);
    return PROXY_OK;
}

/* ---- Version 2 ---- */

/* The checksum is that of the whole header with zeros in its own place. */
static bool proxy_crc_is_right(const uint8_t *bytes, size_t header_bytes, size_t crc_at)
{
    static const uint8_t zeros[4];
    assert_always(crc_at + 4 <= header_bytes);
    uint32_t crc = crc32c(bytes, crc_at);
    crc = crc32c_add(crc, zeros, sizeof zeros);
    crc = crc32c_add(crc, bytes + crc_at + 4, header_bytes - crc_at - 4);
    return crc == bytes_load_be32(bytes + crc_at);
}

static bool proxy_tlvs_are_good(const uint8_t *bytes, size_t at, size_t header_bytes)
{
    while (at < header_bytes) {
        if (header_bytes - at < PROXY_TLV_HEAD_BYTES) {
            return false;
        }
        uint8_t type = bytes[at];
        size_t value_bytes = bytes_load_be16(bytes + at + 1);
        at += PROXY_TLV_HEAD_BYTES;
        if (value_bytes > header_bytes - at) {
            return false;
        }
        if (type == PROXY_TLV_CRC32C &&
            (value_bytes != 4 || !proxy_crc_is_right(bytes, header_bytes, at))) {
            return false;
        }
        at += value_bytes;
    }
    return true;
}

/* Returns how many bytes the addresses of this family take, or SIZE_MAX: they must not be there. */
static size_t proxy_v2_address_bytes(uint8_t family)
{
    switch (family) {
    case 0x11: /* TCP over IPv4 */
        return PROXY_V2_INET_BYTES;
    case 0x21: /* TCP over IPv6 */
        return PROXY_V2_INET6_BYTES;
    case 0x31: /* a Unix stream */
        return PROXY_V2_UNIX_BYTES;
    default: /* Datagrams do not arrive on a stream. */
        return SIZE_MAX;
    }
}

static void proxy_read_v2_source(const uint8_t *addresses, uint8_t family,
                                 struct proxy_header *header)
{
    if (family == 0x11) {
        header->source = ip_address_from_v4(addresses);
        header->source_port = bytes_load_be16(addresses + 8);
        header->has_source = true;
    } else if (family == 0x21) {
        memcpy(header->source.bytes, addresses, IP_ADDRESS_BYTES);
        header->source_port = bytes_load_be16(addresses + 32);
        header->has_source = true;
    }
}

static enum proxy_status proxy_parse_v2(const uint8_t *bytes, size_t bytes_count,
                                        struct proxy_header *header)
{
    if (bytes_count < PROXY_V2_FIXED_BYTES) {
        return PROXY_NEED_MORE;
    }
    uint8_t command = bytes[12];
    uint8_t family = bytes[13];
    size_t header_bytes = PROXY_V2_FIXED_BYTES + (size_t)bytes_load_be16(bytes + 14);
    if ((command != 0x20 && command != 0x21) || header_bytes > PROXY_HEADER_BYTES_MAX) {
        return PROXY_BAD;
    }
    if (bytes_count < header_bytes) {
        return PROXY_NEED_MORE;
    }
    header->header_bytes = header_bytes;
    /* LOCAL: the proxy's own connection, whatever follows. AF_UNSPEC: it does not know. */
    if (command == 0x20 || family == 0x00) {
        return PROXY_OK;
    }
    size_t address_bytes = proxy_v2_address_bytes(family);
    if (address_bytes > header_bytes - PROXY_V2_FIXED_BYTES ||
        !proxy_tlvs_are_good(bytes, PROXY_V2_FIXED_BYTES + address_bytes, header_bytes)) {
        return PROXY_BAD;
    }
    proxy_read_v2_source(bytes + PROXY_V2_FIXED_BYTES, family, header);
    return PROXY_OK;
}

enum proxy_status proxy_header_parse(const uint8_t *bytes, size_t bytes_count,
                                     struct proxy_header *header_out)
{
    struct proxy_header header = {0};
    if (bytes_count == 0) {
        return PROXY_NEED_MORE;
    }
    enum proxy_status status =
        proxy_match(bytes, bytes_count, proxy_v2_signature, sizeof proxy_v2_signature - 1);
    if (status == PROXY_OK) {
        status = proxy_parse_v2(bytes, bytes_count, &header);
    } else if (status == PROXY_ABSENT) {
        status = proxy_match(bytes, bytes_count, proxy_v1_signature, sizeof proxy_v1_signature - 1);
        status = status == PROXY_OK ? proxy_parse_v1(bytes, bytes_count, &header) : status;
    }
    if (status == PROXY_OK) {
        assert_always(header.header_bytes > 0 && header.header_bytes <= bytes_count);
        *header_out = header;
    }
    return status;
}
