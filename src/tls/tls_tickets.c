#include "src/tls/tls_tickets.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "codec/base/check.h"
#include "src/tls/tls_files.h"

static_assert(sizeof(struct tls_ticket_key) == 80, "the form of the key file");

struct tls_tickets {
    EVP_CIPHER *aes;
    pthread_mutex_t lock;
    /* Under the lock: */
    bool is_shared;   /* keys[0] is that of a file */
    uint64_t made_ns; /* keys[0], of the monotonic clock */
    uint32_t key_count;
    struct tls_ticket_key keys[TLS_TICKETS_KEYS]; /* the newest first */
};

static uint64_t tls_tickets_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Under the lock. The oldest one goes. */
static void tls_tickets_push(struct tls_tickets *tickets, const struct tls_ticket_key *key,
                             uint64_t now_ns)
{
    memmove(&tickets->keys[1], &tickets->keys[0], sizeof tickets->keys - sizeof tickets->keys[0]);
    tickets->keys[0] = *key;
    tickets->made_ns = now_ns;
    tickets->key_count += tickets->key_count < TLS_TICKETS_KEYS ? 1 : 0;
    assert_always(tickets->key_count <= TLS_TICKETS_KEYS);
}

/* Under the lock. */
static int tls_tickets_draw(struct tls_tickets *tickets, uint64_t now_ns)
{
    struct tls_ticket_key key;
    if (RAND_priv_bytes((uint8_t *)&key, sizeof key) != 1) {
        return -EIO;
    }
    tls_tickets_push(tickets, &key, now_ns);
    OPENSSL_cleanse(&key, sizeof key);
    return 0;
}

int tls_tickets_open(struct tls_tickets **tickets_out)
{
    struct tls_tickets *tickets =
        mmap(NULL, sizeof *tickets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (tickets == MAP_FAILED) {
        return -errno;
    }
    madvise(tickets, sizeof *tickets, MADV_DONTDUMP);
    pthread_mutex_init(&tickets->lock, NULL);
    tickets->aes = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    int error = tickets->aes == NULL ? -ENOTSUP : tls_tickets_draw(tickets, tls_tickets_now_ns());
    if (error < 0) {
        tls_tickets_close(tickets);
        return error;
    }
    assert_always(tickets->key_count == 1);
    *tickets_out = tickets;
    return 0;
}

void tls_tickets_close(struct tls_tickets *tickets)
{
    if (tickets == NULL) {
        return;
    }
    EVP_CIPHER_free(tickets->aes);
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(tickets, sizeof *tickets);
    munmap(tickets, sizeof *tickets);
}

int tls_tickets_read_file(struct tls_ticket_key *key_out, bool *is_open_to_others_out,
                          const char *path, char error_out[TLS_ERROR_BYTES_MAX])
{
    struct tls_file file = {0};
    int error = tls_files_read(&file, "tls-ticket-key-file", path, error_out);
    if (error < 0) {
        return error;
    }
    if (file.bytes == sizeof *key_out) {
        memcpy(key_out, file.text, sizeof *key_out);
        *is_open_to_others_out = file.is_open_to_others;
    } else {
        error = tls_error_write(error_out, -EINVAL, "tls-ticket-key-file", path,
                                "it has %zu bytes, and must have 80; make it with "
                                "`openssl rand 80 > FILE`",
                                file.bytes);
    }
    tls_files_free(&file);
    return error;
}

int tls_tickets_use(struct tls_tickets *tickets, const struct tls_ticket_key *key)
{
    int error = 0;
    pthread_mutex_lock(&tickets->lock);
    bool is_new =
        key == NULL ? tickets->is_shared : CRYPTO_memcmp(key, &tickets->keys[0], sizeof *key) != 0;
    if (is_new && key != NULL) {
        tls_tickets_push(tickets, key, tls_tickets_now_ns());
    } else if (is_new) {
        error = tls_tickets_draw(tickets, tls_tickets_now_ns());
    }
    if (error == 0) {
        tickets->is_shared = key != NULL;
    }
    pthread_mutex_unlock(&tickets->lock);
    return error;
}

int tls_tickets_renew(struct tls_tickets *tickets, uint64_t now_ns)
{
    int error = 0;
    pthread_mutex_lock(&tickets->lock);
    if (!tickets->is_shared && now_ns >= tickets->made_ns + TLS_TICKETS_RENEWED_NS) {
        error = tls_tickets_draw(tickets, now_ns);
    }
    pthread_mutex_unlock(&tickets->lock);
    return error;
}

/* name: NULL: the newest one. Returns its age in keys, -1: there is none of this name. */
static int tls_tickets_find(struct tls_tickets *tickets, const uint8_t *name,
                            struct tls_ticket_key *key_out)
{
    int age = -1;
    pthread_mutex_lock(&tickets->lock);
    assert_always(tickets->key_count > 0);
    for (uint32_t i = 0; age < 0 && i < tickets->key_count; i++) {
        if (name == NULL || memcmp(name, tickets->keys[i].name, TLS_TICKETS_NAME_BYTES) == 0) {
            *key_out = tickets->keys[i];
            age = (int)i;
        }
    }
    pthread_mutex_unlock(&tickets->lock);
    return age;
}

static bool tls_tickets_arm(struct tls_tickets *tickets, struct tls_ticket_key *key, uint8_t *iv,
                            EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_sealing)
{
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, tickets->aes, NULL, key->cipher, iv, is_sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int tls_tickets_on_ticket(struct tls_tickets *tickets, SSL *ssl, uint8_t *name, uint8_t *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_sealing)
{
    struct tls_ticket_key key;
    if (is_sealing && (tls_tickets_renew(tickets, tls_tickets_now_ns()) < 0 ||
                       RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->aes)) != 1)) {
        return -1;
    }
    int age = tls_tickets_find(tickets, is_sealing ? NULL : name, &key);
    if (age < 0) {
        return 0; /* A full handshake. */
    }
    assert_always(!is_sealing || age == 0); /* Only the newest key seals. */
    if (is_sealing) {
        memcpy(name, key.name, sizeof key.name);
    }
    bool is_good = tls_tickets_arm(tickets, &key, iv, cipher, mac, is_sealing);
    OPENSSL_cleanse(&key, sizeof key);
    if (!is_good) {
        return -1;
    }
    /* 2: the client gets a new ticket. In TLS 1.3 it would get none with 1, and browsers use each
     * ticket once. */
    return !is_sealing && (age > 0 || SSL_version(ssl) == TLS1_3_VERSION) ? 2 : 1;
}
