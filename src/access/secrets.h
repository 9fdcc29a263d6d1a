/*
 * secrets: tokens and keys, from options and from the files that options name.
 *
 * Owner    The caller, whose tables are filled.
 * Threads  main, before the cores start.
 * Memory   A file of SECRETS_FILE_BYTES_MAX at most, which is overwritten before it is freed.
 * Errors   A negative errno with error_out, which begins with the option ("--tokens-file: ..."),
 *          names its file, and never has a secret in it.
 */
#ifndef RINGCAST_SRC_SECRETS_H
#define RINGCAST_SRC_SECRETS_H

#include <stddef.h>

#include "src/access/jwt_keys.h"
#include "src/access/token.h"
#include "src/base/access_options.h"

#define SECRETS_FILE_BYTES_MAX (4 * 1024 * 1024)

/* Of a file's content, by which a reload sees that it has changed. */
struct secrets_digest {
    uint8_t bytes[TOKEN_DIGEST_BYTES];
};

/* In the order of secrets_files. */
#define SECRETS_FILES 4

/* Names of the options, without their dashes. */
extern const char *const secrets_files[SECRETS_FILES];

/* All tokens and keys that clients may come with. Whether there are any must agree with
 * enable_auth. digests_out: of the files; zeroes of one that is not given. */
int secrets_load(struct token_table *tokens, struct jwt_keys *keys,
                 const struct access_options *options,
                 struct secrets_digest digests_out[SECRETS_FILES], char *error_out,
                 size_t error_bytes);

/* Into a table: a token and one from a file, each if it is not NULL. option: "auth-token". */
int secrets_load_token(struct token_table *tokens, const char *option, const char *text,
                       const char *path, char *error_out, size_t error_bytes);

#endif
