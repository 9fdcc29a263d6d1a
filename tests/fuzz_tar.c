/* No archive is read out of bounds, and what is read of one is written and read again as the same.
 * Input: an archive. */
#include <string.h>

#include "codec/base/check.h"
#include "src/archive/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes what one entry says, and reads it again. */
static void fuzz_tar_again(const struct tar_entry *entry)
{
    struct tar tar = {0};
    struct tar_entry again;
    const char *fault;
    size_t at = 0;
    if (tar_add(&tar, entry) == 0) {
        assert_always(tar_next(tar.bytes, tar.size, &at, &again, &fault) == 1);
        assert_always(strcmp(again.name, entry->name) == 0);
        assert_always(again.mode == entry->mode && again.size == entry->size);
        assert_always(memcmp(again.bytes, entry->bytes, entry->size) == 0);
        assert_always(at == tar.size);
    }
    tar_deinit(&tar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tar_entry entry;
    const char *fault;
    size_t at = 0;
    int status;
    while ((status = tar_next(data, size, &at, &entry, &fault)) == 1) {
        assert_always(at <= size);
        assert_always(entry.bytes >= data && entry.bytes + entry.size <= data + size);
        assert_always(entry.name[0] != '/');
        fuzz_tar_again(&entry);
    }
    assert_always(status == 0 || fault[0] != '\0');
    return 0;
}
