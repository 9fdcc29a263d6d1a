/* A member is found exactly where a parser finds one, with a value that the parser reads as the
 * same. Input: JSON, or what is none. */
#include <jansson.h>
#include <stdint.h>

#include "codec/base/check.h"
#include "codec/json_member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct json_member value;
    bool is_there = json_member_find(text, size, "id", &value);
    if (is_there) {
        assert_always(value.bytes > 0);
        assert_always(value.text > text && value.text + value.bytes <= text + size);
    }
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (root != NULL) {
        json_t *parsed = json_object_get(root, "id");
        assert_always(is_there == (parsed != NULL));
        json_t *found =
            is_there ? json_loadb(value.text, value.bytes, JSON_DECODE_ANY, NULL) : NULL;
        assert_always(!is_there || json_equal(found, parsed));
        json_decref(found);
    }
    json_decref(root);
    return 0;
}
