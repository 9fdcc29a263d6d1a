#include "codec/tls/tls_secret.h"

#include "codec/base/check.h"

size_t tls_secret_bytes(enum tls_suite suite)
{
    assert_always(suite < TLS_SUITE_COUNT);
    return suite == TLS_AES_256_GCM ? 48 : 32;
}
