/*
 * No bytes make the record layer touch what is not its own, and what it has sealed opens as what
 * it was. Input: a byte that chooses suite and version, a byte of type, then bytes, which are
 * received as records, and sealed as a plaintext.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/tls/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_ciphers *fuzz_ciphers;

/* Each record is an allocation of its own, so that a sanitizer sees its ends. */
static void fuzz_tls_record_receive(struct tls_keys keys, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t count = 0;
        enum tls_status status = tls_record_length(&keys, data + at, size - at, &count);
        assert_always((status == TLS_NEED_MORE) == (size - at < TLS_HEADER_BYTES));
        if (status != TLS_OK || count > size - at) {
            return;
        }
        assert_always(count >= tls_record_bytes(&keys, 0) && count <= TLS_RECORD_BYTES_MAX);
        uint8_t *record = malloc(count);
        assert_always(record != NULL);
        memcpy(record, data + at, count);
        struct tls_plain plain;
        assert_always(tls_record_open(fuzz_ciphers, &keys, record, count, &plain) == TLS_BAD_MAC);
        assert_always(keys.seq == 0);
        free(record);
        at += count;
    }
}

static bool fuzz_is_type(int type)
{
    return type >= TLS_CHANGE_CIPHER_SPEC && type <= TLS_APPLICATION_DATA;
}

/* What is read of a plaintext: of TLS 1.3 its type is its last byte that is not zero. */
static enum tls_status fuzz_tls_record_expect(const struct tls_keys *keys, struct tls_plain *plain)
{
    if (keys->version == TLS_1_3) {
        while (plain->type == 0 && plain->count > 0) {
            plain->type = plain->bytes[--plain->count];
        }
    }
    return fuzz_is_type(plain->type) ? TLS_OK : TLS_UNEXPECTED;
}

static void fuzz_tls_record_round(struct tls_keys tx, int type, const uint8_t *data, size_t size)
{
    struct tls_keys rx = tx;
    uint8_t *bytes = malloc(size + 1);
    uint8_t *record = malloc(tls_record_bytes(&tx, size));
    assert_always(bytes != NULL && record != NULL);
    memcpy(bytes, data, size);
    memcpy(record + tls_record_front(&tx), data, size);
    size_t count = tls_record_seal(fuzz_ciphers, &tx, type, record, size);
    assert_always(count == tls_record_bytes(&tx, size) && tx.seq == 1);
    struct tls_plain expected = {.type = type, .bytes = bytes, .count = size};
    enum tls_status verdict = fuzz_tls_record_expect(&rx, &expected);
    struct tls_plain plain;
    assert_always(tls_record_open(fuzz_ciphers, &rx, record, count, &plain) == verdict);
    assert_always(rx.seq == (verdict == TLS_OK));
    if (verdict == TLS_OK) {
        assert_always(plain.type == expected.type && plain.count == expected.count);
        assert_always(memcmp(plain.bytes, bytes, expected.count) == 0);
    }
    free(record);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    if (fuzz_ciphers == NULL) {
        assert_always(tls_ciphers_open(&fuzz_ciphers) == 0);
    }
    struct tls_keys keys = {
        .suite = data[0] % TLS_SUITE_COUNT,
        .version = data[0] & 0x80 ? TLS_1_2 : TLS_1_3,
        .record_max = TLS_PLAIN_BYTES_MAX,
        .iv = {1, 2, 3},
        .key = {4, 5, 6},
    };
    size_t most = size - 2 < TLS_PLAIN_BYTES_MAX ? size - 2 : TLS_PLAIN_BYTES_MAX;
    fuzz_tls_record_receive(keys, data + 2, size - 2);
    fuzz_tls_record_round(keys, data[1], data + 2, most);
    return 0;
}
