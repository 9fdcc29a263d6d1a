#include "src/archive/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define TAR_BLOCK_BYTES 512u
#define TAR_END_BLOCKS 2
#define TAR_PERMISSIONS 07777u
#define TAR_BINARY 0x80u

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char modified[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char device_major[8];
    char device_minor[8];
    char prefix[155];
    char unused[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is a block");

/* The sum of the header's bytes, with blanks in place of the sum. */
static uint32_t tar_checksum(const struct tar_header *header)
{
    uint32_t sum = 0;
    const uint8_t *bytes = (const uint8_t *)header;
    size_t first = offsetof(struct tar_header, checksum);
    for (size_t i = 0; i < sizeof *header; i++) {
        sum += i >= first && i < first + sizeof header->checksum ? ' ' : bytes[i];
    }
    return sum;
}

static size_t tar_padded(size_t size)
{
    return (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
}

/* Room for more bytes, which are 0. */
static int tar_grow(struct tar *tar, size_t more)
{
    if (more > TAR_BYTES_MAX || tar->size + more > TAR_BYTES_MAX) {
        return -EFBIG;
    }
    uint8_t *bytes = realloc(tar->bytes, tar->size + more);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    memset(bytes + tar->size, 0, more);
    tar->bytes = bytes;
    tar->size += more;
    return 0;
}

/* A terminal may obey the others. */
static bool tar_is_printable(const char *name)
{
    while ((uint8_t)*name >= ' ' && *name != 0x7f) {
        name++;
    }
    return *name == '\0';
}

/* A long name is cut at a slash, which neither part has. */
static bool tar_put_name(struct tar_header *header, const char *name)
{
    size_t bytes = strlen(name);
    const char *rest = name;
    assert_always(bytes < TAR_NAME_BYTES_MAX);
    while (rest != NULL && bytes - (size_t)(rest - name) > sizeof header->name) {
        rest = strchr(rest, '/');
        rest = rest == NULL ? NULL : rest + 1;
    }
    size_t prefix_bytes = rest == NULL || rest == name ? 0 : (size_t)(rest - name) - 1;
    if (rest == NULL || *rest == '\0' || prefix_bytes > sizeof header->prefix) {
        return false;
    }
    memcpy(header->prefix, name, prefix_bytes);
    memcpy(header->name, rest, strlen(rest));
    return true;
}

/* In octal digits, of which the last byte stays 0. What has too many of them, such as an owner
 * above 2097151, is binary after a first byte of 0x80, as GNU's and the BSDs' tar write and read
 * it. */
static void tar_put_number(char *field, size_t field_bytes, uint64_t value)
{
    if (value >> (3 * (field_bytes - 1)) != 0) {
        for (size_t i = field_bytes - 1; i > 0; i--) {
            field[i] = (char)(value & UINT8_MAX);
            value >>= 8;
        }
        field[0] = (char)TAR_BINARY;
        return;
    }
    for (size_t i = field_bytes - 1; i > 0; i--) {
        field[i - 1] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

int tar_add(struct tar *tar, const struct tar_entry *entry)
{
    struct tar_header header = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    size_t at = tar->size;
    assert_always(entry->name[0] != '\0');
    assert_always(entry->name[0] != '/');
    if (!tar_is_printable(entry->name)) {
        return -EINVAL;
    }
    if (!tar_put_name(&header, entry->name)) {
        return -ENAMETOOLONG;
    }
    int error = tar_grow(tar, sizeof header + tar_padded(entry->size));
    if (error < 0) {
        return error;
    }
    tar_put_number(header.mode, sizeof header.mode, entry->mode & TAR_PERMISSIONS);
    tar_put_number(header.uid, sizeof header.uid, entry->uid);
    tar_put_number(header.gid, sizeof header.gid, entry->gid);
    tar_put_number(header.size, sizeof header.size, entry->size);
    tar_put_number(header.modified, sizeof header.modified,
                   entry->modified_s > 0 ? (uint64_t)entry->modified_s : 0);
    tar_put_number(header.checksum, sizeof header.checksum - 1, tar_checksum(&header));
    header.checksum[7] = ' ';
    memcpy(tar->bytes + at, &header, sizeof header);
    if (entry->size > 0) {
        memcpy(tar->bytes + at + sizeof header, entry->bytes, entry->size);
    }
    return 0;
}

int tar_end(struct tar *tar)
{
    return tar_grow(tar, TAR_END_BLOCKS * (size_t)TAR_BLOCK_BYTES);
}

void tar_deinit(struct tar *tar)
{
    free(tar->bytes);
    *tar = (struct tar){0};
}

/* After the first byte. false: it is too large. */
static bool tar_get_binary(const char *field, size_t field_bytes, uint64_t *value_out)
{
    uint64_t value = 0;
    bool fits = true;
    for (size_t i = 1; i < field_bytes; i++) {
        fits &= value >> 56 == 0;
        value = value << 8 | (uint8_t)field[i];
    }
    *value_out = value;
    return fits;
}

/* Octal digits, blanks around them, or binary. false: it is none. */
static bool tar_get_number(const char *field, size_t field_bytes, uint64_t *value_out)
{
    size_t at = 0;
    uint64_t value = 0;
    assert_always(field_bytes <= 12);
    if ((uint8_t)field[0] == TAR_BINARY) {
        return tar_get_binary(field, field_bytes, value_out);
    }
    while (at < field_bytes && field[at] == ' ') {
        at++;
    }
    size_t first = at;
    for (; at < field_bytes && field[at] >= '0' && field[at] <= '7'; at++) {
        value = value << 3 | (uint64_t)(field[at] - '0');
    }
    *value_out = value;
    return at > first && (at == field_bytes || field[at] == ' ' || field[at] == '\0');
}

/* Whether it stays below its folder: no slash in front, no part that is empty, "." or "..". */
static bool tar_is_below(const char *name)
{
    for (;;) {
        size_t bytes = strcspn(name, "/");
        if (bytes == 0 || (bytes == 1 && name[0] == '.') ||
            (bytes == 2 && name[0] == '.' && name[1] == '.')) {
            return false;
        }
        if (name[bytes] == '\0') {
            return true;
        }
        name += bytes + 1;
    }
}

static const char *tar_read_header(const struct tar_header *header, struct tar_entry *entry)
{
    uint64_t checksum;
    uint64_t mode;
    uint64_t uid;
    uint64_t gid;
    uint64_t size;
    uint64_t modified_s;
    if (memcmp(header->magic, "ustar", 5) != 0 ||
        !tar_get_number(header->checksum, sizeof header->checksum, &checksum) ||
        checksum != tar_checksum(header)) {
        return "it is not an archive, or it is damaged";
    }
    if (header->type != '0' && header->type != '\0') {
        return "it has something other than a regular file";
    }
    if (!tar_get_number(header->mode, sizeof header->mode, &mode) ||
        !tar_get_number(header->uid, sizeof header->uid, &uid) ||
        !tar_get_number(header->gid, sizeof header->gid, &gid) ||
        !tar_get_number(header->size, sizeof header->size, &size) ||
        !tar_get_number(header->modified, sizeof header->modified, &modified_s)) {
        return "a number in it is none";
    }
    snprintf(entry->name, sizeof entry->name, "%.155s%s%.100s", header->prefix,
             header->prefix[0] == '\0' ? "" : "/", header->name);
    entry->mode = (mode_t)(mode & TAR_PERMISSIONS);
    entry->uid = (uid_t)uid;
    entry->gid = (gid_t)gid;
    entry->modified_s = (int64_t)modified_s;
    entry->size = size;
    return !tar_is_printable(entry->name) ? "a name in it has a control character"
           : !tar_is_below(entry->name)   ? "a name in it leaves its folder"
                                          : NULL;
}

int tar_next(const uint8_t *bytes, size_t size, size_t *at, struct tar_entry *entry_out,
             const char **fault_out)
{
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    struct tar_header header;
    assert_always(*at <= size);
    *fault_out = "its end is missing";
    if (size - *at < sizeof header) {
        return -EINVAL;
    }
    memcpy(&header, bytes + *at, sizeof header);
    if (memcmp(&header, zeros, sizeof header) == 0) {
        return 0;
    }
    *entry_out = (struct tar_entry){0};
    const char *fault = tar_read_header(&header, entry_out);
    if (fault != NULL) {
        *fault_out = fault;
        return -EINVAL;
    }
    size_t left = size - *at - sizeof header;
    if (entry_out->size > left || tar_padded(entry_out->size) > left) {
        return -EINVAL;
    }
    entry_out->bytes = bytes + *at + sizeof header;
    *at += sizeof header + tar_padded(entry_out->size);
    return 1;
}
