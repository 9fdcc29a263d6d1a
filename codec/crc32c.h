/*
 * crc32c: the Castagnoli CRC of 32 bits (RFC 3720, appendix B.4).
 *
 * Threads  A pure function.
 */
#ifndef RINGCAST_CODEC_CRC32C_H
#define RINGCAST_CODEC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t bytes_count);

/* The CRC of bytes that follow others, whose CRC is given. */
uint32_t crc32c_add(uint32_t crc, const void *bytes, size_t bytes_count);

#endif
