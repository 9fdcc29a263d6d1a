#include "src/tls/tls_error.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "codec/base/check.h"

#define TLS_ERROR_PATH_SHOWN_MAX 200

int tls_error_write(char error_out[TLS_ERROR_BYTES_MAX], int error, const char *option,
                    const char *path, const char *format, ...)
{
    assert_always(error < 0);
    int used =
        snprintf(error_out, TLS_ERROR_BYTES_MAX, "--%s: %.*s%s", option, TLS_ERROR_PATH_SHOWN_MAX,
                 path == NULL ? "" : path, path == NULL ? "" : ": ");
    assert_always(used > 0 && used < TLS_ERROR_BYTES_MAX);

    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_out + used, TLS_ERROR_BYTES_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    return error;
}

const char *tls_error_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason == NULL ? "no reason given" : reason;
}
