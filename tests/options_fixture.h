/*
 * options_fixture: options parsed for a test, on a machine whose process may use CPUs 0 to 3.
 *
 * Owner    The test deinits what was parsed.
 */
#ifndef RINGCAST_TESTS_OPTIONS_FIXTURE_H
#define RINGCAST_TESTS_OPTIONS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "src/config/options_parse.h"

#define OPTIONS_FIXTURE_LINES 4 /* Words of so many are kept: options borrow from them. */

static inline cpu_set_t options_fixture_cpus(void)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (int cpu = 0; cpu < 4; cpu++) {
        CPU_SET(cpu, &cpus);
    }
    return cpus;
}

/* line: words with a blank between them; environment: NULL: none. */
static inline int options_fixture_parse(struct options *options_out, const char *line,
                                        const char *const *environment,
                                        char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    static char lines[OPTIONS_FIXTURE_LINES][1024];
    static const char *const nothing[] = {NULL};
    static size_t turn;
    char *argv[32] = {(char *)(uintptr_t) "ringcast"};
    int argc = 1;
    char *words = lines[turn++ % OPTIONS_FIXTURE_LINES];
    cpu_set_t cpus = options_fixture_cpus();
    snprintf(words, sizeof lines[0], "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    const char *const *variables = environment == NULL ? nothing : environment;
    struct options_input input = {.argc = argc,
                                  .argv = argv,
                                  .environment = (char *const *)(uintptr_t)variables,
                                  .cpus = &cpus};
    error_out[0] = '\0';
    return options_parse(options_out, &input, error_out);
}

static inline struct options options_fixture_parsed(const char *line,
                                                    const char *const *environment)
{
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {0};
    if (options_fixture_parse(&options, line, environment, error) < 0) {
        fail_msg("%s: %s", line, error);
    }
    return options;
}

static inline const struct option_spec *options_fixture_row(const char *name)
{
    const struct option_spec *spec = options_find(name, strlen(name));
    assert_non_null(spec);
    return spec;
}

#endif
