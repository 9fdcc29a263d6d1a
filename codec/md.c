#include "codec/md.h"

#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

static const char *const md_type_names[MD_TYPE_COUNT] = {
    [MD_QUOTE] = "quote", [MD_TRADE] = "trade",   [MD_BAR] = "bar",
    [MD_DEPTH] = "depth", [MD_STATUS] = "status",
};

const char *md_type_name(enum md_type type)
{
    assert_always((unsigned)type < MD_TYPE_COUNT);

    return md_type_names[type];
}

enum md_type md_type_by_name(const char *name, size_t name_bytes)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if (strlen(md_type_names[type]) == name_bytes &&
            strncasecmp(md_type_names[type], name, name_bytes) == 0) {
            return (enum md_type)type;
        }
    }
    return MD_TYPE_COUNT;
}
