#include "codec/sbe_schema.h"

#ifdef __clang__

#pragma clang diagnostic ignored "-Wc23-extensions"

/* clang-format off */
static const char sbe_schema[] = {
#embed "md.xml"
};
/* clang-format on */

const char *sbe_schema_text(size_t *bytes_out)
{
    *bytes_out = sizeof sbe_schema;
    return sbe_schema;
}

#else /* gcc before 15 has no #embed. It is run in the folder above this one. */

__asm__(".section .rodata\n"
        "sbe_schema: .incbin \"codec/md.xml\"\n"
        "sbe_schema_end: .byte 0\n"
        ".previous\n");
extern const char sbe_schema[];
extern const char sbe_schema_end[];

const char *sbe_schema_text(size_t *bytes_out)
{
    *bytes_out = (size_t)(sbe_schema_end - sbe_schema);
    return sbe_schema;
}

#endif
