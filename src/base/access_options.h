/*
 * access_options: which clients may connect, as configured: config reads it, access obeys it.
 *
 * Owner    The caller. Texts are borrowed as long as what is made of the options lives.
 * Threads  Constant once read.
 * Source   docs/access.md.
 */
#ifndef RINGCAST_SRC_ACCESS_OPTIONS_H
#define RINGCAST_SRC_ACCESS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct access_options {
    bool enable_auth;
    const char *auth_token; /* NULL: none, as in all that follow */
    const char *auth_token_file;
    const char *tokens_file;
    const char *jwt_key_file;
    const char *jwt_secret_file;
    const char *jwt_issuer;
    const char *jwt_audience;
    bool allow_query_token;
    const char *allowed_origins;
    bool asks_certificates; /* Clients with TLS are asked for one: --tls-client-auth. */
    const char *ip_allow;
    const char *ip_deny;
    const char *trusted_proxies;
    bool proxy_protocol;
    bool rate_limit_enabled;
    uint32_t ip_connections_max;  /* 0: the default, which spares loopback and Unix sockets; */
    uint32_t ip_handshakes_per_s; /* a number that is given holds for all */
    uint32_t messages_per_s;
};

/* Writes "--OPTION: TEXT" and returns error. */
static inline int access_options_refuse(char *error_out, size_t error_bytes, int error,
                                        const char *option, const char *text)
{
    snprintf(error_out, error_bytes, "--%s: %s", option, text);
    return error;
}

#endif
