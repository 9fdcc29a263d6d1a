#include "src/tls/tls_context.h"

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "codec/base/check.h"

struct tls_context {
    _Atomic uint32_t holders;
    SSL_CTX *ssl;
};

struct tls_context *tls_context_hold(struct tls_context *context)
{
    uint32_t holders = atomic_fetch_add_explicit(&context->holders, 1, memory_order_relaxed);
    assert_always(holders > 0);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    uint32_t holders = atomic_fetch_sub_explicit(&context->holders, 1, memory_order_acq_rel);
    assert_always(holders > 0);
    if (holders == 1) {
        SSL_CTX_free(context->ssl);
        free(context);
    }
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
    return context->ssl;
}
