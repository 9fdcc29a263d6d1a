#include "src/access/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/access/key_text.h"
#include "src/base/file.h"

#define SECRETS_WORDS_BYTES_MAX 512
#define SECRETS_PATH_SHOWN_MAX 200

/* A whole file or pipe, terminated; *text_out is the caller's. */
static int secrets_read_file(const char *path, char **text_out, size_t *bytes_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = file_read(fd, SECRETS_FILE_BYTES_MAX, text_out, bytes_out);
    close(fd);
    return error;
}

const char *const secrets_files[SECRETS_FILES] = {
    "auth-token-file",
    "tokens-file",
    "jwt-key-file",
    "jwt-secret-file",
};

/* What a file of secrets says, through load(). option: for errors. digest_out: NULL: not wanted. */
static int secrets_load_file(void *target, const char *option, const char *path,
                             struct secrets_digest *digest_out,
                             int (*load)(void *target, const char *option, const char *text,
                                         size_t bytes, char *error_out, size_t error_bytes),
                             char *error_out, size_t error_bytes)
{
    char words[SECRETS_WORDS_BYTES_MAX] = "";
    char *text = NULL;
    size_t bytes = 0;
    int error = secrets_read_file(path, &text, &bytes);
    if (error < 0) {
        snprintf(words, sizeof words, "%s",
                 error == -EFBIG ? "the file must have at most 4 MiB" : strerror(-error));
        error = error == -ENOMEM ? error : -EINVAL;
    } else {
        error = load(target, option, text, bytes, words, sizeof words);
        if (digest_out != NULL) {
            token_digest(digest_out->bytes, text, bytes);
        }
        OPENSSL_cleanse(text, bytes);
        free(text);
    }
    assert_always(error <= 0);
    if (error < 0) {
        assert_debug(words[0] != '\0');
        snprintf(error_out, error_bytes, "--%s: %.*s: %s", option, SECRETS_PATH_SHOWN_MAX, path,
                 words);
    }
    return error;
}

/* Blanks and newlines at the end are not part of it. A JWT may serve as a static token, too. */
static int secrets_take_token(void *tokens, const char *option, const char *text, size_t bytes,
                              char *error_out, size_t error_bytes)
{
    char name[TOKEN_NAME_BYTES_MAX + 1];
    const char *word = strstr(option, "-token");
    assert_always(word != NULL);
    snprintf(name, sizeof name, "%.*s", (int)(word + strlen("-token") - option), option);
    while (bytes > 0 && memchr(" \t\r\n", text[bytes - 1], 4) != NULL) {
        bytes--;
    }
    char words[SECRETS_WORDS_BYTES_MAX];
    if (key_text_recognise((struct key_text){text, bytes}, false, words, sizeof words) &&
        strcmp(words, "it is a token") != 0) {
        snprintf(error_out, error_bytes,
                 "%s, not a secret token; make one with `openssl rand -hex 32`", words);
        return -EINVAL;
    }
    return token_table_add(tokens, name, text, bytes, error_out, error_bytes);
}

static int secrets_take_tokens(void *tokens, const char *option, const char *text, size_t bytes,
                               char *error_out, size_t error_bytes)
{
    (void)option;
    return token_table_load(tokens, text, bytes, error_out, error_bytes);
}

static int secrets_take_keys(void *keys, const char *option, const char *text, size_t bytes,
                             char *error_out, size_t error_bytes)
{
    return strcmp(option, "jwt-secret-file") == 0
               ? jwt_keys_load_secret(keys, text, bytes, error_out, error_bytes)
               : jwt_keys_load(keys, text, bytes, error_out, error_bytes);
}

static int secrets_load_tokens_of(struct token_table *tokens, const char *option, const char *text,
                                  const char *path, struct secrets_digest *digest_out,
                                  char *error_out, size_t error_bytes)
{
    char words[SECRETS_WORDS_BYTES_MAX] = "";
    char file_option[64];
    int error =
        text == NULL ? 0 : token_table_add(tokens, option, text, strlen(text), words, sizeof words);
    if (error < 0) {
        return access_options_refuse(error_out, error_bytes, error, option, words);
    }
    snprintf(file_option, sizeof file_option, "%s-file", option);
    return path == NULL ? 0
                        : secrets_load_file(tokens, file_option, path, digest_out,
                                            secrets_take_token, error_out, error_bytes);
}

int secrets_load_token(struct token_table *tokens, const char *option, const char *text,
                       const char *path, char *error_out, size_t error_bytes)
{
    return secrets_load_tokens_of(tokens, option, text, path, NULL, error_out, error_bytes);
}

/* Tokens and keys come together with --enable-auth, or neither does; and certificates with a port
 * that asks for them. */
static int secrets_match(const struct access_options *options, const struct token_table *tokens,
                         bool has_any, char *error_out, size_t error_bytes)
{
    const char *const given[][2] = {{"auth-token", options->auth_token},
                                    {"auth-token-file", options->auth_token_file},
                                    {"tokens-file", options->tokens_file},
                                    {"jwt-key-file", options->jwt_key_file},
                                    {"jwt-secret-file", options->jwt_secret_file}};
    if (tokens->certificate_count > 0 && !options->asks_certificates) {
        return access_options_refuse(error_out, error_bytes, -EINVAL, "tokens-file",
                                     "an entry has a certificate, and no client is asked for one; "
                                     "add --tls-client-auth and --tls-client-ca");
    }
    if (options->enable_auth) {
        return has_any
                   ? 0
                   : access_options_refuse(error_out, error_bytes, -EINVAL, "enable-auth",
                                           "no token can be valid; add --auth-token-file, "
                                           "--tokens-file, --jwt-key-file or --jwt-secret-file");
    }
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (given[i][1] != NULL) {
            return access_options_refuse(
                error_out, error_bytes, -EINVAL, given[i][0],
                "clients need no tokens without --enable-auth; add --enable-auth");
        }
    }
    return 0;
}

/* libcrypto 3 crashes where it is used after its own set-up found no memory. */
static int secrets_load_crypto(const struct access_options *options, char *error_out,
                               size_t error_bytes)
{
    const char *option = options->jwt_key_file != NULL ? "jwt-key-file" : "jwt-secret-file";
    bool has_keys = options->jwt_key_file != NULL || options->jwt_secret_file != NULL;
    return !has_keys || OSSL_LIB_CTX_get0_global_default() != NULL
               ? 0
               : access_options_refuse(error_out, error_bytes, -ENOMEM, option,
                                       "no memory for libcrypto");
}

int secrets_load(struct token_table *tokens, struct jwt_keys *keys,
                 const struct access_options *options,
                 struct secrets_digest digests_out[SECRETS_FILES], char *error_out,
                 size_t error_bytes)
{
    const char *const paths[SECRETS_FILES] = {options->auth_token_file, options->tokens_file,
                                              options->jwt_key_file, options->jwt_secret_file};
    int error = secrets_load_crypto(options, error_out, error_bytes);
    if (error == 0) {
        error = secrets_load_tokens_of(tokens, "auth-token", options->auth_token, paths[0],
                                       &digests_out[0], error_out, error_bytes);
    }
    for (uint32_t i = 1; error == 0 && i < SECRETS_FILES; i++) {
        if (paths[i] != NULL) {
            bool has_tokens = i == 1;
            error = secrets_load_file(has_tokens ? (void *)tokens : (void *)keys, secrets_files[i],
                                      paths[i], &digests_out[i],
                                      has_tokens ? secrets_take_tokens : secrets_take_keys,
                                      error_out, error_bytes);
        }
    }
    bool has_any = tokens->count > 0 || keys->count > 0;
    return error == 0 ? secrets_match(options, tokens, has_any, error_out, error_bytes) : error;
}
