#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/units.h"
#include "codec/tls/tls_record.h"
#include "codec/tls/tls_secret.h"

static struct tls_ciphers *test_ciphers;

/* Returns how many bytes the digits are; spaces do not count. */
static size_t test_hex(uint8_t *out, const char *text)
{
    size_t count = 0;
    unsigned byte;
    int read;
    while (sscanf(text, " %2x%n", &byte, &read) == 1) {
        out[count++] = (uint8_t)byte;
        text += read;
    }
    return count;
}

/* RFC 8448 section 3: the secrets of the application's traffic, and all records under them. */
static const struct test_traffic {
    const char *secret;
    const char *key;
    const char *iv;
    struct {
        enum tls_type type;
        const char *plain; /* NULL: the bytes 0 to 49 */
        const char *record;
    } records[3];
} test_traffic_of[] = {
    {.secret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
     .key = "17422dda596ed5d9acd890e3c63f5051",
     .iv = "5b78923dee08579033e523d9",
     .records = {{TLS_APPLICATION_DATA, NULL,
                  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b39"
                  "5bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"},
                 {TLS_ALERT, "0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"}}},
    {.secret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
     .key = "9f02283b6c9c07efc26bb9f2ac92e356",
     .iv = "cf782b88dd83549aadf1e984",
     .records = {{TLS_HANDSHAKE,
                  "040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d"
                  "2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a1"
                  "43efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafc"
                  "d0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea61764"
                  "6fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d3570008002a00"
                  "0400000400",
                  "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3"
                  "d11d63c758db289a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9d"
                  "a773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce13064615"
                  "139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c8651"
                  "9d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746"
                  "d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f"},
                 {TLS_APPLICATION_DATA, NULL,
                  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6df"
                  "fc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"},
                 {TLS_ALERT, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"}}},
};

static struct tls_keys test_keys_of(const struct test_traffic *traffic)
{
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    struct tls_keys keys;
    size_t secret_bytes = test_hex(secret, traffic->secret);
    assert_true(tls_secret_keys(&keys, TLS_AES_128_GCM, secret, secret_bytes));
    return keys;
}

static void secrets_of_rfc_8448_become_its_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t key[TLS_KEY_BYTES_MAX] = {0};
        uint8_t iv[TLS_IV_BYTES];
        struct tls_keys keys = test_keys_of(&test_traffic_of[i]);
        assert_int_equal(test_hex(key, test_traffic_of[i].key), 16);
        assert_int_equal(test_hex(iv, test_traffic_of[i].iv), TLS_IV_BYTES);
        assert_memory_equal(keys.key, key, sizeof key);
        assert_memory_equal(keys.iv, iv, sizeof iv);
        assert_int_equal(keys.seq, 0);
        assert_int_equal(keys.version, TLS_1_3);
    }
}

static void records_of_rfc_8448_are_sealed_and_opened(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct test_traffic *traffic = &test_traffic_of[i];
        struct tls_keys tx = test_keys_of(traffic);
        struct tls_keys rx = tx;
        for (size_t number = 0; number < 3 && traffic->records[number].record != NULL; number++) {
            uint8_t plain[256];
            uint8_t record[256];
            uint8_t sealed[256];
            size_t plain_bytes = 50;
            for (size_t at = 0; at < plain_bytes; at++) {
                plain[at] = (uint8_t)at;
            }
            if (traffic->records[number].plain != NULL) {
                plain_bytes = test_hex(plain, traffic->records[number].plain);
            }
            size_t record_bytes = test_hex(record, traffic->records[number].record);
            memcpy(sealed + tls_record_front(&tx), plain, plain_bytes);
            assert_int_equal(tls_record_seal(test_ciphers, &tx, traffic->records[number].type,
                                             sealed, plain_bytes),
                             record_bytes);
            assert_memory_equal(sealed, record, record_bytes);

            struct tls_plain opened;
            assert_int_equal(tls_record_open(test_ciphers, &rx, record, record_bytes, &opened),
                             TLS_OK);
            assert_int_equal(opened.type, traffic->records[number].type);
            assert_int_equal(opened.count, plain_bytes);
            assert_memory_equal(opened.bytes, plain, plain_bytes);
            assert_int_equal(rx.seq, number + 1);
        }
    }
}

static int test_open(void **state)
{
    (void)state;
    return tls_ciphers_open(&test_ciphers);
}

static int test_close(void **state)
{
    (void)state;
    tls_ciphers_close(test_ciphers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_rfc_8448_become_its_keys),
        cmocka_unit_test(records_of_rfc_8448_are_sealed_and_opened),
    };
    return cmocka_run_group_tests(tests, test_open, test_close);
}
