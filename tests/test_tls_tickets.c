#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "src/tls/tls_tickets.h"

#define THREADS 3
#define ROUNDS 300

static struct tls_tickets *tickets;
static SSL_CTX *context;
static _Atomic uint32_t running;

struct ticket {
    uint8_t name[TLS_TICKETS_NAME_BYTES], iv[EVP_MAX_IV_LENGTH];
    uint8_t sealed[64], mac[32];
    int sealed_bytes;
};

/* On any thread, as libssl does with what the callback has set up. Returns what it has said. */
static int seal_or_open(SSL *ssl, struct ticket *ticket, bool is_sealing, const uint8_t *in,
                        int in_bytes, uint8_t *out, int *out_bytes, uint8_t mac_out[32])
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    int said =
        tls_tickets_on_ticket(tickets, ssl, ticket->name, ticket->iv, cipher, mac, is_sealing);
    if (said > 0) {
        int last_bytes = 0;
        size_t mac_bytes;
        assert_always(EVP_CipherUpdate(cipher, out, out_bytes, in, in_bytes) == 1);
        assert_always(EVP_CipherFinal_ex(cipher, out + *out_bytes, &last_bytes) == 1);
        *out_bytes += last_bytes;
        const uint8_t *sealed = is_sealing ? out : in;
        assert_always(EVP_MAC_init(mac, NULL, 0, NULL) == 1);
        EVP_MAC_update(mac, sealed, (size_t)(is_sealing ? *out_bytes : in_bytes));
        assert_always(EVP_MAC_final(mac, mac_out, &mac_bytes, 32) == 1);
    }
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    EVP_CIPHER_CTX_free(cipher);
    return said;
}

/* Returns whether the ticket still opens. */
static bool comes_back(SSL *ssl)
{
    static const uint8_t secret[32] = "what a session is resumed with";
    struct ticket ticket = {{0}, {0}, {0}, {0}, 0};
    uint8_t opened[96];
    uint8_t mac[32];
    int opened_bytes;
    assert_always(seal_or_open(ssl, &ticket, true, secret, sizeof secret, ticket.sealed,
                               &ticket.sealed_bytes, ticket.mac) == 1);
    int said = seal_or_open(ssl, &ticket, false, ticket.sealed, ticket.sealed_bytes, opened,
                            &opened_bytes, mac);
    if (said <= 0) {
        assert_always(said == 0);
        return false;
    }
    assert_always(memcmp(mac, ticket.mac, sizeof mac) == 0);
    assert_always(opened_bytes == (int)sizeof secret);
    assert_always(memcmp(opened, secret, sizeof secret) == 0);
    return true;
}

static void *handshakes(void *count_out)
{
    SSL *ssl = SSL_new(context);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        *(uint32_t *)count_out += comes_back(ssl) ? 1 : 0;
    }
    SSL_free(ssl);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void tickets_are_sealed_and_opened_while_keys_are_renewed(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint32_t counts[THREADS] = {0};
    struct tls_ticket_key key;
    memset(&key, 1, sizeof key);
    assert_int_equal(tls_tickets_open(&tickets), 0);
    context = SSL_CTX_new(TLS_server_method());
    atomic_store(&running, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, handshakes, &counts[i]), 0);
    }
    for (uint32_t i = 0; atomic_load(&running) > 0; i++) {
        memset(key.name, (int)i, sizeof key.name);
        assert_int_equal(tls_tickets_use(tickets, i % 2 == 0 ? &key : NULL), 0);
        struct timespec pause = {.tv_nsec = 100000};
        nanosleep(&pause, NULL);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_in_range(counts[i], 1, ROUNDS);
    }
    SSL *ssl = SSL_new(context);
    assert_true(comes_back(ssl));
    SSL_free(ssl);
    SSL_CTX_free(context);
    tls_tickets_close(tickets);
}

static void a_ticket_of_an_unknown_key_costs_a_full_handshake(void **state)
{
    (void)state;
    assert_int_equal(tls_tickets_open(&tickets), 0);
    context = SSL_CTX_new(TLS_server_method());
    SSL *ssl = SSL_new(context);
    struct ticket ticket = {{0}, {0}, {0}, {0}, 0};
    uint8_t opened[96];
    uint8_t mac[32];
    int bytes;
    assert_int_equal(seal_or_open(ssl, &ticket, false, ticket.sealed, 48, opened, &bytes, mac), 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    tls_tickets_close(tickets);
    tls_tickets_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_are_sealed_and_opened_while_keys_are_renewed),
        cmocka_unit_test(a_ticket_of_an_unknown_key_costs_a_full_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
