#include "src/config/options_profile.h"

#include <strings.h>

#include "codec/base/check.h"
#include "src/config/option_value.h"
#include "src/config/options_file.h"

/* ---- The files ---- */

#ifdef __clang__

#pragma clang diagnostic ignored "-Wc23-extensions"

/* clang-format off */
static const char options_profile_development[] = {
#embed "../../config/deployment-development.yaml"
};
static const char options_profile_test[] = {
#embed "../../config/deployment-test.yaml"
};
static const char options_profile_production[] = {
#embed "../../config/deployment-production.yaml"
};
/* clang-format on */

#define OPTIONS_PROFILE_BYTES(name) sizeof name

#else /* gcc before 15 has no #embed. It is run in the folder of the project. */

__asm__(".section .rodata\n"
        "options_profile_development: .incbin \"config/deployment-development.yaml\"\n"
        "options_profile_development_end: .byte 0\n"
        "options_profile_test: .incbin \"config/deployment-test.yaml\"\n"
        "options_profile_test_end: .byte 0\n"
        "options_profile_production: .incbin \"config/deployment-production.yaml\"\n"
        "options_profile_production_end: .byte 0\n"
        ".previous\n");
extern const char options_profile_development[];
extern const char options_profile_development_end[];
extern const char options_profile_test[];
extern const char options_profile_test_end[];
extern const char options_profile_production[];
extern const char options_profile_production_end[];

#define OPTIONS_PROFILE_BYTES(name) (size_t)(name##_end - name)

#endif

enum options_profile {
    OPTIONS_PROFILE_DEVELOPMENT,
    OPTIONS_PROFILE_TEST,
    OPTIONS_PROFILE_PRODUCTION,
    OPTIONS_PROFILE_COUNT,
};

static const struct {
    const char *name;
    const char *short_name; /* NULL: none */
    const char *source;     /* of its values, for errors */
} options_profiles[OPTIONS_PROFILE_COUNT] = {
    [OPTIONS_PROFILE_DEVELOPMENT] = {"development", "dev", "profile development"},
    [OPTIONS_PROFILE_TEST] = {"test", NULL, "profile test"},
    [OPTIONS_PROFILE_PRODUCTION] = {"production", "prod", "profile production"},
};

static struct options_file_text options_profile_text(enum options_profile profile)
{
    struct options_file_text text = {.name = options_profiles[profile].source,
                                     .layer = OPTIONS_LAYER_PROFILE};
    switch (profile) {
    case OPTIONS_PROFILE_DEVELOPMENT:
        text.text = options_profile_development;
        text.bytes = OPTIONS_PROFILE_BYTES(options_profile_development);
        break;
    case OPTIONS_PROFILE_TEST:
        text.text = options_profile_test;
        text.bytes = OPTIONS_PROFILE_BYTES(options_profile_test);
        break;
    case OPTIONS_PROFILE_PRODUCTION:
        text.text = options_profile_production;
        text.bytes = OPTIONS_PROFILE_BYTES(options_profile_production);
        break;
    case OPTIONS_PROFILE_COUNT:
        break;
    }
    assert_always(text.text != NULL);
    return text;
}

/* ---- Which ---- */

/* OPTIONS_PROFILE_COUNT: none. */
static enum options_profile options_profile_find(const char *environment)
{
    enum options_profile profile = OPTIONS_PROFILE_DEVELOPMENT;
    while (environment != NULL && profile < OPTIONS_PROFILE_COUNT) {
        const char *short_name = options_profiles[profile].short_name;
        if (strcasecmp(environment, options_profiles[profile].name) == 0 ||
            (short_name != NULL && strcasecmp(environment, short_name) == 0)) {
            return profile;
        }
        profile++;
    }
    return OPTIONS_PROFILE_COUNT;
}

const char *options_profile_name(const struct options *options)
{
    enum options_profile profile = options_profile_find(options->environment);
    return profile == OPTIONS_PROFILE_COUNT ? NULL : options_profiles[profile].name;
}

int options_profile_take(struct options *options, const cpu_set_t *cpus,
                         char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    enum options_profile profile = options_profile_find(options->environment);
    if (options->environment == NULL) {
        return 0;
    }
    if (profile == OPTIONS_PROFILE_COUNT) {
        const struct option_spec *spec = options_find("environment", sizeof "environment" - 1);
        const char *source = options->sources[options_row(spec)];
        option_value_warn(options,
                          "%s: no profile has the name \"%.64s\", and none is used; the profiles "
                          "are development (dev), test and production (prod)",
                          source == NULL ? "--environment" : source, options->environment);
        return 0;
    }
    struct options_file_text text = options_profile_text(profile);
    return options_file_take_text(options, &text, cpus, error_out);
}
