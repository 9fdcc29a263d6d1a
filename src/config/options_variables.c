#include "src/config/options_variables.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "src/config/option_value.h"

#define PREFIX "RINGCAST_"
#define PREFIX_BYTES (sizeof PREFIX - 1)

void options_variables_name(const struct option_spec *spec,
                            char name_out[OPTIONS_VARIABLES_NAME_BYTES_MAX])
{
    name_out[0] = '\0';
    if (spec->name == NULL || option_kind(spec) == OPTION_ACTION) {
        return;
    }
    size_t bytes = strlen(spec->name);
    assert_always(PREFIX_BYTES + bytes < OPTIONS_VARIABLES_NAME_BYTES_MAX);
    memcpy(name_out, PREFIX, PREFIX_BYTES);
    for (size_t i = 0; i <= bytes; i++) { /* with its end */
        char letter = spec->name[i];
        name_out[PREFIX_BYTES + i] = letter == '-' ? '_' : (char)toupper((unsigned char)letter);
    }
}

const char *options_variables_value(char *const *environment, const char *name)
{
    size_t bytes = strlen(name);
    for (size_t i = 0; bytes > 0 && environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, bytes) == 0 && environment[i][bytes] == '=') {
            return environment[i][bytes + 1] == '\0' ? NULL : environment[i] + bytes + 1;
        }
    }
    return NULL;
}

const char *options_variables_find(char *const *environment, const struct option_spec *spec)
{
    char name[OPTIONS_VARIABLES_NAME_BYTES_MAX];
    options_variables_name(spec, name);
    return options_variables_value(environment, name);
}

static bool options_variables_ends_with(const char *name, size_t name_bytes, const char *end)
{
    size_t bytes = strlen(end);
    return name_bytes >= bytes && memcmp(name + name_bytes - bytes, end, bytes) == 0;
}

/* NAME_PORT=tcp://10.96.12.34:8765 */
static bool options_variables_is_service_port(const char *name, size_t name_bytes,
                                              const char *value)
{
    return options_variables_ends_with(name, name_bytes, "_PORT") &&
           (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
            strncmp(value, "sctp://", 7) == 0);
}

static int options_variables_no_memory(const char *name, char *error_out)
{
    snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%s: no memory", name);
    return -ENOMEM;
}

/* The texts in one variable, ';' between them, are one option each. */
static int options_variables_take_list(struct options *options, struct option_value *value)
{
    int error = 0;
    for (const char *at = value->text; error == 0;) {
        size_t bytes = strcspn(at, ";");
        value->text = option_value_keep(options, at, bytes);
        error = value->text == NULL ? options_variables_no_memory(value->source, value->error_out)
                                    : option_value_take(value, options);
        if (at[bytes] == '\0') {
            break;
        }
        at += bytes + 1;
    }
    return error;
}

/* spec: the row that has the variable. text: NULL: it is not set. */
static int options_variables_take_one(struct options *options, const struct option_spec *spec,
                                      const char *name, const char *text, const cpu_set_t *cpus,
                                      char *error_out)
{
    if (text == NULL) {
        return 0;
    }
    if (options_variables_is_service_port(name, strlen(name), text)) {
        option_value_warn(options,
                          "%s=%.100s is ignored: Kubernetes sets it for a Service of that name; "
                          "give --%s, or set \"enableServiceLinks: false\" in the pod",
                          name, text, spec->name);
        return 0;
    }
    struct option_value value = {.spec = spec,
                                 .layer = OPTIONS_LAYER_VARIABLE,
                                 .source = option_value_keep(options, name, strlen(name)),
                                 .text = text,
                                 .cpus = cpus,
                                 .error_out = error_out};
    if (value.source == NULL) {
        return options_variables_no_memory(name, error_out);
    }
    return option_kind(spec) == OPTION_LIST ? options_variables_take_list(options, &value)
                                            : option_value_take(&value, options);
}

/* What Kubernetes sets for a Service whose name begins with "ringcast", and no option has. */
static bool options_variables_is_of_service(const char *name, size_t name_bytes, const char *value)
{
    char text[128]; /* Longer names are cut: they are warned of. */
    snprintf(text, sizeof text, "%.*s", (int)name_bytes, name);
    const char *port = strstr(text, "_PORT_");
    return options_variables_is_service_port(name, name_bytes, value) ||
           options_variables_ends_with(name, name_bytes, "_SERVICE_HOST") ||
           strstr(text, "_SERVICE_PORT") != NULL ||
           (port != NULL && isdigit((unsigned char)port[sizeof "_PORT_" - 1]));
}

/* Of a variable that looks like an option's: it may be misspelt. */
static void options_variables_judge(struct options *options, const char *variable)
{
    char names[OPTIONS_TABLE_MAX][OPTIONS_VARIABLES_NAME_BYTES_MAX];
    const char *candidates[OPTIONS_TABLE_MAX];
    size_t candidate_count = 0;
    size_t spec_count;
    const struct option_spec *specs = options_table(&spec_count);
    size_t name_bytes = strcspn(variable, "=");
    assert_always(spec_count <= OPTIONS_TABLE_MAX);
    for (size_t i = 0; i < spec_count; i++) {
        options_variables_name(&specs[i], names[i]);
        if (strlen(names[i]) == name_bytes && memcmp(names[i], variable, name_bytes) == 0) {
            return;
        }
        if (names[i][0] != '\0') {
            candidates[candidate_count++] = names[i];
        }
    }
    if (variable[name_bytes] == '\0' ||
        options_variables_is_of_service(variable, name_bytes, variable + name_bytes + 1)) {
        return;
    }
    char name[OPTIONS_VARIABLES_NAME_BYTES_MAX];
    snprintf(name, sizeof name, "%.*s", (int)name_bytes, variable);
    const char *nearest = nearest_name(name, candidates, candidate_count);
    option_value_warn(options, "%s is ignored: no option has this variable%s%s%s", name,
                      nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
                      nearest == NULL ? "" : "?");
}

int options_variables_take(struct options *options, char *const *environment, const cpu_set_t *cpus,
                           char *error_out)
{
    size_t spec_count;
    const struct option_spec *specs = options_table(&spec_count);
    int error = 0;
    for (size_t i = 0; i < spec_count && error == 0; i++) {
        const char *older = specs[i].variable;
        char name[OPTIONS_VARIABLES_NAME_BYTES_MAX];
        options_variables_name(&specs[i], name);
        if (older != NULL) {
            error = options_variables_take_one(options, &specs[i], older,
                                               options_variables_value(environment, older), cpus,
                                               error_out);
        }
        if (error == 0) {
            error = options_variables_take_one(options, &specs[i], name,
                                               options_variables_value(environment, name), cpus,
                                               error_out);
        }
    }
    for (size_t i = 0; error == 0 && environment[i] != NULL; i++) {
        if (strncmp(environment[i], PREFIX, PREFIX_BYTES) == 0) {
            options_variables_judge(options, environment[i]);
        }
    }
    return error;
}
