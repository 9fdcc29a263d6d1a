#include "codec/crc32c.h"

/* Four bits at a time: short texts now and then are not worth a kilobyte of table. */
static const uint32_t crc32c_nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_add(uint32_t crc, const void *bytes, size_t bytes_count)
{
    const uint8_t *at = bytes;
    uint32_t rest = ~crc;
    for (size_t i = 0; i < bytes_count; i++) {
        rest ^= at[i];
        rest = crc32c_nibbles[rest & 15] ^ rest >> 4;
        rest = crc32c_nibbles[rest & 15] ^ rest >> 4;
    }
    return ~rest;
}

uint32_t crc32c(const void *bytes, size_t bytes_count)
{
    return crc32c_add(0, bytes, bytes_count);
}
