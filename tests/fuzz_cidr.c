/* No list of networks and no address is read out of bounds; an address is written and read again as
 * the same one. Input: the text of a list. */
#include <string.h>

#include "codec/base/check.h"
#include "src/access/cidr.h"

#define FUZZ_TEXT_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_cidr_address(const struct ip_address *address)
{
    char text[IP_ADDRESS_TEXT_BYTES_MAX];
    struct ip_address again;
    ip_address_format(address, text);
    assert_always(ip_address_parse(&again, text, strlen(text)));
    assert_always(ip_address_equal(address, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[FUZZ_TEXT_BYTES_MAX];
    char error[256] = "";
    struct ip_address address;
    struct cidr_list list;
    if (ip_address_parse(&address, (const char *)data, size)) {
        fuzz_cidr_address(&address);
    }
    if (size >= sizeof text) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int status = cidr_list_init(&list, text, error, sizeof error);
    assert_always((status == 0) == (error[0] == '\0'));
    assert_always(list.count <= CIDR_LIST_MAX && (status == 0 || list.count == 0));
    for (uint32_t i = 0; i < list.count; i++) {
        assert_always(list.entries[i].prefix_bits <= 128);
        assert_always(cidr_list_has(&list, &list.entries[i].network));
        fuzz_cidr_address(&list.entries[i].network);
    }
    cidr_list_deinit(&list);
    return 0;
}
