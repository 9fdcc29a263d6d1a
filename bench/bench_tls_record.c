/*
 * Question  What does it cost to seal a frame for one client, to open one of its records, and to
 *           change its keys?
 * Method    Copy a plaintext to where it is sealed, as the sender does, and seal it with the keys
 *           of a random one of CONN_COUNT connections; BATCH_OPS times a sample. Open records of
 *           one connection; update the keys of one after the other. Sort the means; report p50,
 *           p99, p99.9, max.
 * Run       zig build bench -- tls_record       (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/tls/tls_record.h"
#include "codec/tls/tls_secret.h"

#define BATCH_OPS 64
#define CONN_COUNT 10000

static const struct bench_size {
    const char *name;
    size_t batch_count;
} sizes[] = {
    {.name = "small", .batch_count = 5},
    {.name = "full", .batch_count = 5000},
};

static const struct bench_suite {
    const char *name;
    enum tls_version version;
    enum tls_suite suite;
} bench_suites[] = {
    {"TLS 1.3 AES-128-GCM", TLS_1_3, TLS_AES_128_GCM},
    {"TLS 1.3 AES-256-GCM", TLS_1_3, TLS_AES_256_GCM},
    {"TLS 1.3 ChaCha20-Poly1305", TLS_1_3, TLS_CHACHA20_POLY1305},
    {"TLS 1.2 AES-128-GCM", TLS_1_2, TLS_AES_128_GCM},
};

static const size_t bench_bytes[] = {64, 256, 4096, 16384};

/* As a link has them, so that a seal touches as many cache lines. */
static struct bench_conn {
    _Alignas(CACHE_LINE_BYTES) struct tls_keys tx;
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    uint8_t others[144];
} bench_conns[CONN_COUNT];
static_assert(sizeof(struct bench_conn) == 256, "as struct link_tls");

static struct tls_ciphers *bench_ciphers;
static uint8_t bench_plain[TLS_PLAIN_BYTES_MAX];
static uint8_t bench_records[BATCH_OPS][TLS_RECORD_BYTES_MAX];
static uint64_t bench_random = 1;
static uint64_t bench_sum;

static void bench_make_keys(const struct bench_suite *suite)
{
    for (uint32_t i = 0; i < CONN_COUNT; i++) {
        struct bench_conn *conn = &bench_conns[i];
        memset(conn->secret, (int)i, sizeof conn->secret);
        memcpy(conn->secret, &i, sizeof i);
        bool is_done =
            tls_secret_keys(&conn->tx, suite->suite, conn->secret, tls_secret_bytes(suite->suite));
        assert_always(is_done);
        conn->tx.version = suite->version;
    }
}

static struct bench_conn *bench_next_conn(void)
{
    bench_random = bench_random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return &bench_conns[(bench_random >> 33) % CONN_COUNT];
}

static size_t bench_seal(struct tls_keys *keys, size_t number, size_t count)
{
    uint8_t *record = bench_records[number];
    memcpy(record + tls_record_front(keys), bench_plain, count);
    size_t bytes = tls_record_seal(bench_ciphers, keys, TLS_APPLICATION_DATA, record, count);
    assert_always(bytes > 0);
    bench_sum += record[bytes - 1];
    return bytes;
}

static void bench_report(struct bench_samples *samples, const struct bench_suite *suite,
                         const char *what, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%s, %s %zu bytes", suite->name, what, count);
    bench_samples_print(samples, name);
}

static void bench_seals(struct bench_samples *samples, const struct bench_suite *suite,
                        size_t count)
{
    for (size_t batch = 0; batch < samples->capacity; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (size_t op = 0; op < BATCH_OPS; op++) {
            (void)bench_seal(&bench_next_conn()->tx, op, count);
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    bench_report(samples, suite, "seal", count);
}

static void bench_opens(struct bench_samples *samples, const struct bench_suite *suite,
                        size_t count)
{
    struct tls_keys tx = bench_conns[0].tx;
    struct tls_keys rx = tx;
    for (size_t batch = 0; batch < samples->capacity; batch++) {
        size_t bytes = 0;
        for (size_t op = 0; op < BATCH_OPS; op++) {
            bytes = bench_seal(&tx, op, count);
        }
        uint64_t start_ns = bench_now_ns();
        for (size_t op = 0; op < BATCH_OPS; op++) {
            struct tls_plain plain;
            enum tls_status status =
                tls_record_open(bench_ciphers, &rx, bench_records[op], bytes, &plain);
            assert_always(status == TLS_OK);
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    bench_report(samples, suite, "open", count);
}

static void bench_updates(struct bench_samples *samples)
{
    for (size_t batch = 0; batch < samples->capacity; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (size_t op = 0; op < BATCH_OPS; op++) {
            struct bench_conn *conn = bench_next_conn();
            bool is_done = tls_secret_update(&conn->tx, conn->secret);
            assert_always(is_done);
            bench_sum += conn->tx.key[0];
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    bench_samples_print(samples, "TLS 1.3 AES-128-GCM, new keys");
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples samples;
    assert_always(tls_ciphers_open(&bench_ciphers) == 0);
    for (size_t i = 0; i < sizeof bench_suites / sizeof bench_suites[0]; i++) {
        bench_make_keys(&bench_suites[i]);
        for (size_t j = 0; j < sizeof bench_bytes / sizeof bench_bytes[0]; j++) {
            bench_samples_init(&samples, size->batch_count);
            bench_seals(&samples, &bench_suites[i], bench_bytes[j]);
            bench_opens(&samples, &bench_suites[i], bench_bytes[j]);
            bench_samples_deinit(&samples);
        }
    }
    bench_make_keys(&bench_suites[0]);
    bench_samples_init(&samples, size->batch_count);
    bench_updates(&samples);
    bench_samples_deinit(&samples);
    tls_ciphers_close(bench_ciphers);
    bench_print_checksum(bench_sum);
    return 0;
}
