/*
 * options_credentials: files of secrets that a service manager lends: systemd's LoadCredential=.
 *
 * A file of $CREDENTIALS_DIRECTORY whose name is that of an option for a file of secrets, without
 * "-file", is the value of that option when nothing else gives the secret: auth-token, tokens,
 * jwt-key, jwt-secret, admin-token, admin-read-token. Also when it cannot be reached: only a file
 * that is not there is none.
 *
 * Owner    options_parse.
 * Threads  main, before any other.
 * Memory   Texts are kept by the options.
 * Errors   -EINVAL: the path is too long; -ENOMEM.
 * Source   systemd.exec(5), "Credentials".
 */
#ifndef RINGCAST_SRC_OPTIONS_CREDENTIALS_H
#define RINGCAST_SRC_OPTIONS_CREDENTIALS_H

#include "src/config/options.h"

/* After all other layers. environment: NAME=VALUE texts, NULL at the end. */
int options_credentials_take(struct options *options, char *const *environment,
                             char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
