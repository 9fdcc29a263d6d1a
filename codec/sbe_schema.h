/*
 * sbe_schema: codec/md.xml, as it was when this was compiled.
 *
 * Memory   Constant. Threads: any.
 */
#ifndef RINGCAST_CODEC_SBE_SCHEMA_H
#define RINGCAST_CODEC_SBE_SCHEMA_H

#include <stddef.h>

#define SBE_SCHEMA_PATH "/schema/md.xml"
#define SBE_SCHEMA_CONTENT_TYPE "application/xml"

/* Not terminated. */
const char *sbe_schema_text(size_t *bytes_out);

#endif
