#include "src/config/options_credentials.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/config/option_value.h"
#include "src/config/options_variables.h"

#define OPTIONS_CREDENTIALS_NAME_BYTES_MAX 64

static const char *const options_credentials_names[] = {
    "auth-token", "tokens", "jwt-key", "jwt-secret", "admin-token", "admin-read-token",
};

static bool options_credentials_is_set(const struct options *options,
                                       const struct option_spec *spec)
{
    return spec != NULL && options->layers[options_row(spec)] > OPTIONS_LAYER_CREDENTIAL;
}

static int options_credentials_take_one(struct options *options, const char *directory,
                                        const char *name, char *error_out)
{
    char option[OPTIONS_CREDENTIALS_NAME_BYTES_MAX];
    char source[OPTIONS_CREDENTIALS_NAME_BYTES_MAX];
    char path[OPTIONS_CREDENTIALS_NAME_BYTES_MAX];
    snprintf(option, sizeof option, "%s-file", name);
    snprintf(path, sizeof path, "/%s", name);
    snprintf(source, sizeof source, "$CREDENTIALS_DIRECTORY%s", path);
    const struct option_spec *spec = options_find(option, strlen(option));
    if (spec == NULL || options_credentials_is_set(options, spec) ||
        options_credentials_is_set(options, options_find(name, strlen(name)))) {
        return 0;
    }
    struct option_value value = {.spec = spec,
                                 .layer = OPTIONS_LAYER_CREDENTIAL,
                                 .source = option_value_keep(options, source, strlen(source)),
                                 .text = option_value_join(options, directory, path),
                                 .error_out = error_out};
    if (value.source == NULL || value.text == NULL) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%s: no memory", source);
        return -ENOMEM;
    }
    /* One that cannot be reached is no reason to run without the secret. */
    bool is_absent = access(value.text, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
    return is_absent ? 0 : option_value_take(&value, options);
}

int options_credentials_take(struct options *options, char *const *environment,
                             char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    size_t count = sizeof options_credentials_names / sizeof options_credentials_names[0];
    const char *directory = options_variables_value(environment, "CREDENTIALS_DIRECTORY");
    int error = 0;
    for (size_t i = 0; directory != NULL && error == 0 && i < count; i++) {
        error = options_credentials_take_one(options, directory, options_credentials_names[i],
                                             error_out);
    }
    assert_debug(error <= 0);
    return error;
}
