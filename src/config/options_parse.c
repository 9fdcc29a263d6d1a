#include "src/config/options_parse.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "src/config/option_value.h"
#include "src/config/options_credentials.h"
#include "src/config/options_file.h"
#include "src/config/options_profile.h"
#include "src/config/options_tls.h"
#include "src/config/options_variables.h"

#define OPTIONS_PARSE_SOURCE_BYTES_MAX 64

static int options_parse_defaults(struct options *options, const struct options_input *input,
                                  char *error_out)
{
    size_t spec_count;
    const struct option_spec *specs = options_table(&spec_count);
    for (size_t i = 0; i < spec_count; i++) {
        const struct option_spec *spec = &specs[i];
        if (spec->default_text == NULL) {
            continue;
        }
        char source[OPTIONS_PARSE_SOURCE_BYTES_MAX];
        snprintf(source, sizeof source, "the default of --%s", spec->name);
        struct option_value value = {.spec = spec,
                                     .source = source,
                                     .text = spec->default_text,
                                     .cpus = input->cpus,
                                     .error_out = error_out};
        int error = option_value_take(&value, options);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

static int options_parse_unknown(const char *argument, size_t name_bytes, char *error_out)
{
    const char *names[OPTIONS_TABLE_MAX];
    size_t count = 0;
    size_t spec_count;
    const struct option_spec *specs = options_table(&spec_count);
    for (size_t i = 0; i < spec_count; i++) {
        if (specs[i].name != NULL) {
            assert_always(count < OPTIONS_TABLE_MAX);
            names[count++] = specs[i].name;
        }
    }
    char name[OPTIONS_PARSE_SOURCE_BYTES_MAX];
    snprintf(name, sizeof name, "%.*s", (int)name_bytes, argument + 2);
    const char *nearest = nearest_name(name, names, count);
    snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "unknown option --%s; %s%s%s", name,
             nearest == NULL ? "" : "did you mean --", nearest == NULL ? "" : nearest,
             nearest == NULL ? "`ringcast help all` lists all" : "?");
    return -EINVAL;
}

/* Takes the option at argv[*index], and its value after it; moves *index to the last one used. */
static int options_parse_argument(struct options *options, const struct options_input *input,
                                  int *index, char *error_out)
{
    const char *argument = input->argv[*index];
    if (strcmp(argument, "-h") == 0) {
        argument = "--help";
    }
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
                 "\"%.100s\" is not an option; options begin with --, and `ringcast help all` "
                 "lists them",
                 argument);
        return -EINVAL;
    }
    size_t name_bytes = strcspn(argument + 2, "=");
    const struct option_spec *spec = options_find(argument + 2, name_bytes);
    if (spec == NULL) {
        return options_parse_unknown(argument, name_bytes, error_out);
    }
    char source[OPTIONS_PARSE_SOURCE_BYTES_MAX];
    snprintf(source, sizeof source, "--%s", spec->name);
    const char *equals = argument[2 + name_bytes] == '=' ? argument + 3 + name_bytes : NULL;
    struct option_value value = {.spec = spec,
                                 .layer = OPTIONS_LAYER_ARGUMENT,
                                 .source = source,
                                 .text = equals,
                                 .cpus = input->cpus,
                                 .error_out = error_out};
    if (spec->value_name == NULL) {
        return equals == NULL || option_kind(spec) == OPTION_FLAG
                   ? option_value_take(&value, options)
                   : option_value_refuse(&value, "it without a value");
    }
    if (equals == NULL) {
        if (*index + 1 >= input->argc) {
            snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%s: the value is missing; give %s %s",
                     source, source, spec->value_name);
            return -EINVAL;
        }
        value.text = input->argv[++*index];
    }
    return option_value_take(&value, options);
}

static int options_parse_arguments(struct options *options, const struct options_input *input,
                                   char *error_out)
{
    int error = 0;
    for (int i = 1; i < input->argc && error == 0; i++) {
        error = options_parse_argument(options, input, &i, error_out);
    }
    return error;
}

/* --help and --version need nothing else to be right. */
static enum options_action options_parse_find_action(const struct options_input *input)
{
    for (int i = 1; i < input->argc; i++) {
        const char *argument = strcmp(input->argv[i], "-h") == 0 ? "--help" : input->argv[i];
        if (strncmp(argument, "--", 2) != 0) {
            continue;
        }
        const struct option_spec *spec = options_find(argument + 2, strlen(argument + 2));
        if (spec != NULL && option_kind(spec) == OPTION_ACTION) {
            return (enum options_action)spec->min;
        }
    }
    return OPTIONS_ACTION_RUN;
}

int options_parse_config_path(const struct options_input *input, const char **path_out,
                              char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct options arguments = {0};
    int error = options_parse_arguments(&arguments, input, error_out);
    *path_out = arguments.config_path;
    options_deinit(&arguments);
    if (error == 0 && *path_out == NULL) {
        *path_out =
            options_variables_find(input->environment, options_find("config", sizeof "config" - 1));
    }
    return error;
}

/* The profile is known, and what else gives a secret, once the others have been taken. */
static int options_parse_layers(struct options *options, const struct options_input *input,
                                char *error_out)
{
    const char *config_path;
    int error = options_parse_config_path(input, &config_path, error_out);
    if (error == 0) {
        error = options_parse_defaults(options, input, error_out);
    }
    if (error == 0 && config_path != NULL) {
        error = options_file_take(options, config_path, input->cpus, error_out);
    }
    if (error == 0) {
        error = options_variables_take(options, input->environment, input->cpus, error_out);
    }
    if (error == 0) {
        error = options_parse_arguments(options, input, error_out);
    }
    if (error == 0) {
        error = options_profile_take(options, input->cpus, error_out);
    }
    if (error == 0) {
        error = options_credentials_take(options, input->environment, error_out);
    }
    return error == 0 ? options_tls_take(options, error_out) : error;
}

struct options_input options_input_here(int argc, char *const *argv, cpu_set_t *cpus)
{
    assert_always(argc > 0);
    if (sched_getaffinity(0, sizeof *cpus, cpus) < 0) {
        CPU_ZERO(cpus);
        CPU_SET(0, cpus);
    }
    return (struct options_input){.argc = argc, .argv = argv, .environment = environ, .cpus = cpus};
}

int options_parse(struct options *options_out, const struct options_input *input,
                  char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct options options = {.action = options_parse_find_action(input),
                              .metrics_port = OPTIONS_METRICS_PORT_OFF,
                              .tls_port = OPTIONS_TLS_PORT_OFF,
                              .zero_copy_bytes = OPTIONS_ZERO_COPY_MEASURED};
    if (options.action != OPTIONS_ACTION_RUN) {
        *options_out = options;
        return 0;
    }
    int error = options_parse_layers(&options, input, error_out);
    if (error < 0) {
        options_deinit(&options);
        return error;
    }
    if (options.publisher == OPTIONS_PUBLISHER_AUTO) {
        options.publisher =
            options.core_count == 1 ? OPTIONS_PUBLISHER_INLINE : OPTIONS_PUBLISHER_THREAD;
    }
    assert_always(options.core_count >= 1);
    assert_always(options.core_count <= OPTIONS_CORES_MAX);
    assert_always(options.feeds.count <= OPTIONS_LIST_MAX);
    options.access.rate_limit_enabled = options.rate_limit_enabled != 0;
    *options_out = options;
    return 0;
}
