#include "src/access/cidr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static_assert(sizeof(struct cidr) == 17, "as cidr.h says");

static bool cidr_covers(const struct cidr *cidr, const struct ip_address *address)
{
    assert_always(cidr->prefix_bits <= 8 * IP_ADDRESS_BYTES);
    uint32_t whole = cidr->prefix_bits / 8;
    uint32_t rest = cidr->prefix_bits % 8;
    if (memcmp(cidr->network.bytes, address->bytes, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((cidr->network.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

/* Bits beyond the prefix: a network that is not what its writer meant. */
static bool cidr_has_host_bits(const struct cidr *cidr)
{
    for (uint32_t bit = cidr->prefix_bits; bit < 8 * IP_ADDRESS_BYTES; bit++) {
        if ((cidr->network.bytes[bit / 8] & (0x80 >> bit % 8)) != 0) {
            return true;
        }
    }
    return false;
}

/* One to three digits, at most bits_max; -1: not so. */
static int cidr_read_prefix(const char *text, size_t text_bytes, int bits_max)
{
    int bits = 0;
    if (text_bytes == 0 || text_bytes > 3) {
        return -1;
    }
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        bits = bits * 10 + (text[i] - '0');
    }
    return bits <= bits_max ? bits : -1;
}

/* NULL, or what is wrong with it. */
static const char *cidr_parse(struct cidr *cidr, const char *text, size_t text_bytes)
{
    const char *slash = memchr(text, '/', text_bytes);
    size_t address_bytes = slash != NULL ? (size_t)(slash - text) : text_bytes;
    if (!ip_address_parse(&cidr->network, text, address_bytes)) {
        return "is not a network; give addresses or networks such as 10.0.0.0/8, 2001:db8::/32";
    }
    /* The prefix counts in the form it is written in. */
    bool is_dotted = memchr(text, ':', address_bytes) == NULL;
    int bits_max = is_dotted ? 32 : 128;
    int bits = bits_max;
    if (slash != NULL) {
        bits = cidr_read_prefix(slash + 1, text_bytes - address_bytes - 1, bits_max);
    }
    if (bits < 0) {
        return "has a bad prefix length; give 0 to 32 for IPv4, 0 to 128 for IPv6";
    }
    assert_always(bits <= bits_max);
    cidr->prefix_bits = (uint8_t)(bits + 128 - bits_max);
    return cidr_has_host_bits(cidr) ? "has address bits beyond its prefix; set them to 0" : NULL;
}

static size_t cidr_count_entries(const char *text)
{
    size_t count = 1;
    for (; *text != '\0'; text++) {
        count += *text == ',';
    }
    return count;
}

int cidr_list_init(struct cidr_list *list, const char *text, char *error_out, size_t error_bytes)
{
    *list = (struct cidr_list){0};
    if (text == NULL || *text == '\0') {
        return 0;
    }
    size_t count = cidr_count_entries(text);
    if (count > CIDR_LIST_MAX) {
        snprintf(error_out, error_bytes, "%zu networks are too many; the maximum is %d", count,
                 CIDR_LIST_MAX);
        return -EINVAL;
    }
    list->entries = calloc(count, sizeof *list->entries);
    if (list->entries == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        return -ENOMEM;
    }
    for (;;) {
        text += strspn(text, " ");
        size_t item_bytes = strcspn(text, ",");
        size_t text_bytes = item_bytes;
        while (text_bytes > 0 && text[text_bytes - 1] == ' ') {
            text_bytes--;
        }
        assert_always(list->count < count);
        const char *fault = cidr_parse(&list->entries[list->count], text, text_bytes);
        if (fault != NULL) {
            snprintf(error_out, error_bytes, "\"%.*s\" %s",
                     (int)(text_bytes < 64 ? text_bytes : 64), text, fault);
            cidr_list_deinit(list);
            return -EINVAL;
        }
        list->count++;
        text += item_bytes;
        if (*text == '\0') {
            return 0;
        }
        text++;
    }
}

void cidr_list_deinit(struct cidr_list *list)
{
    free(list->entries);
    *list = (struct cidr_list){0};
}

bool cidr_list_has(const struct cidr_list *list, const struct ip_address *address)
{
    assert_debug((list->count == 0) == (list->entries == NULL));
    for (uint32_t i = 0; i < list->count; i++) {
        if (cidr_covers(&list->entries[i], address)) {
            return true;
        }
    }
    return false;
}
