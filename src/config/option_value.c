#include "src/config/option_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/base/yes_no.h"

int option_value_refuse(const struct option_value *value, const char *valid)
{
    if ((value->spec->kind & OPTION_SECRET) != 0) {
        snprintf(value->error_out, OPTIONS_ERROR_BYTES_MAX,
                 "%s: the value (secret, not shown) is not valid; give %s", value->source, valid);
    } else {
        snprintf(value->error_out, OPTIONS_ERROR_BYTES_MAX, "%s: \"%.100s\" is not valid; give %s",
                 value->source, value->text, valid);
    }
    return -EINVAL;
}

/* Digits only, and at least one. Returns where they end, NULL: none, or more than 64 bits. */
static const char *option_value_digits(const char *text, uint64_t *number_out)
{
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    char *end;
    errno = 0;
    *number_out = strtoull(text, &end, 10);
    return errno == 0 ? end : NULL;
}

static int option_value_number(const struct option_value *value, uint32_t *number_out)
{
    const struct option_spec *spec = value->spec;
    uint64_t number;
    const char *end = option_value_digits(value->text, &number);
    if (end == NULL || *end != '\0' || number < spec->min || number > spec->max) {
        char valid[96];
        snprintf(valid, sizeof valid, "a whole number from %llu to %llu",
                 (unsigned long long)spec->min, (unsigned long long)spec->max);
        return option_value_refuse(value, valid);
    }
    assert_always(number <= UINT32_MAX); /* max is that of the row. */
    *number_out = (uint32_t)number;
    return 0;
}

/* Plain decimals only: neither signs, exponents, "inf" nor hexadecimal. */
static int option_value_seconds(const struct option_value *value, uint64_t *ns_out)
{
    const struct option_spec *spec = value->spec;
    const char *text = value->text;
    bool plain = text[0] >= '0' && text[0] <= '9' && text[strspn(text, "0123456789.")] == '\0';
    char *end = NULL;
    double seconds = plain ? strtod(text, &end) : -1;
    double min = (double)spec->min / 1000;
    double max = (double)spec->max / 1000;
    if (!plain || *end != '\0' || seconds < min || seconds > max) {
        char valid[96];
        snprintf(valid, sizeof valid, "seconds from %g to %.0f, decimals allowed", min, max);
        return option_value_refuse(value, valid);
    }
    *ns_out = (uint64_t)(seconds * (double)NS_PER_SECOND + 0.5);
    return 0;
}

/* The power of 1024 that "", "k", "KB", "MiB", "g" and such stand for; -1: not a unit. */
static int option_value_unit_power(const char *unit)
{
    static const char letters[] = "kmg";
    if (*unit == '\0' || strcasecmp(unit, "b") == 0) {
        return 0;
    }
    const char *letter = strchr(letters, *unit | 0x20);
    bool known =
        letter != NULL && *letter != '\0' &&
        (unit[1] == '\0' || strcasecmp(unit + 1, "b") == 0 || strcasecmp(unit + 1, "ib") == 0);
    return known ? 1 + (int)(letter - letters) : -1;
}

/* target: a uint64_t, or a uint32_t where that holds the most. */
static int option_value_bytes(const struct option_value *value, void *target)
{
    const struct option_spec *spec = value->spec;
    bool power_of_two = option_kind(spec) == OPTION_LOG_BYTES;
    uint64_t number = 0;
    const char *end = option_value_digits(value->text, &number);
    int power = end == NULL ? -1 : option_value_unit_power(end);
    bool fits = power >= 0 && number <= spec->max >> (10 * power);
    uint64_t bytes = fits ? number << (10 * power) : 0;
    if (!fits || bytes < spec->min || (power_of_two && !bytes_is_power_of_two(bytes))) {
        char valid[160];
        snprintf(valid, sizeof valid, "%s from %llu to %llu, or with k, m or g (64m)",
                 power_of_two ? "a power of two" : "bytes", (unsigned long long)spec->min,
                 (unsigned long long)spec->max);
        return option_value_refuse(value, valid);
    }
    assert_always(bytes <= spec->max);
    if (spec->max > UINT32_MAX) {
        *(uint64_t *)target = bytes;
    } else {
        *(uint32_t *)target = (uint32_t)bytes;
    }
    return 0;
}

static int option_value_choice(const struct option_value *value, int *choice_out)
{
    char valid[160] = "";
    bool is_on;
    if (option_is_switch(value->spec) && yes_no_parse(value->text, &is_on)) {
        *choice_out = is_on;
        return 0;
    }
    for (int i = 0; value->spec->choices[i] != NULL; i++) {
        if (strcasecmp(value->text, value->spec->choices[i]) == 0) {
            *choice_out = i;
            return 0;
        }
        size_t used = strlen(valid);
        snprintf(valid + used, sizeof valid - used, "%s%s", i == 0 ? "" : ", ",
                 value->spec->choices[i]);
    }
    char one_of[192];
    snprintf(one_of, sizeof one_of, "%s%s",
             value->spec->choices[1] == NULL ? "" : "one of: ", valid);
    return option_value_refuse(value, one_of);
}

static int option_value_text(const struct option_value *value, const char **text_out)
{
    size_t bytes = strlen(value->text);
    if (bytes < value->spec->min || bytes > value->spec->max) {
        char valid[96];
        snprintf(valid, sizeof valid, "%llu to %llu bytes", (unsigned long long)value->spec->min,
                 (unsigned long long)value->spec->max);
        return option_value_refuse(value, valid);
    }
    *text_out = value->text;
    return 0;
}

/* The affinity mask as "0-3,6", for errors. */
static void option_value_describe_cpus(const cpu_set_t *cpus, char *out, size_t out_bytes)
{
    out[0] = '\0';
    for (int first = 0; first < CPU_SETSIZE; first++) {
        if (!CPU_ISSET(first, cpus)) {
            continue;
        }
        int last = first;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus)) {
            last++;
        }
        size_t used = strlen(out);
        snprintf(out + used, out_bytes - used, first == last ? "%s%d" : "%s%d-%d",
                 used == 0 ? "" : ",", first, last);
        first = last;
    }
}

static int option_value_refuse_cores(const struct option_value *value)
{
    char cpus[200];
    char valid[400];
    int count = CPU_COUNT(value->cpus);
    int count_max = count < OPTIONS_CORES_MAX ? count : OPTIONS_CORES_MAX;
    option_value_describe_cpus(value->cpus, cpus, sizeof cpus);
    snprintf(valid, sizeof valid,
             "a number of threads (1 to %d), or a list of CPUs without repetition, such as 0,3 or "
             "2-5 (this process may use %s)",
             count_max, cpus);
    return option_value_refuse(value, valid);
}

/* A count: one core is left to the scheduler, more are pinned to the mask's first CPUs. */
static int option_value_take_core_count(const struct option_value *value, uint64_t count,
                                        struct options *options)
{
    if (count == 0 || count > (uint64_t)CPU_COUNT(value->cpus) || count > OPTIONS_CORES_MAX) {
        return option_value_refuse_cores(value);
    }
    options->core_count = 0;
    assert_always(count <= OPTIONS_CORES_MAX);
    for (int cpu = 0; options->core_count < count; cpu++) {
        if (CPU_ISSET(cpu, value->cpus)) {
            options->cpus[options->core_count++] = count == 1 ? -1 : cpu;
        }
    }
    return 0;
}

static int option_value_cores(const struct option_value *value, struct options *options)
{
    uint64_t first;
    const char *at = option_value_digits(value->text, &first);
    if (at != NULL && *at == '\0') {
        return option_value_take_core_count(value, first, options);
    }
    cpu_set_t taken;
    CPU_ZERO(&taken);
    options->core_count = 0;
    for (at = value->text;; at++) {
        uint64_t last;
        at = option_value_digits(at, &first);
        last = first;
        if (at != NULL && *at == '-') {
            at = option_value_digits(at + 1, &last);
        }
        if (at == NULL || first > last || last >= CPU_SETSIZE) {
            return option_value_refuse_cores(value);
        }
        for (int cpu = (int)first; cpu <= (int)last; cpu++) {
            if (!CPU_ISSET(cpu, value->cpus) || CPU_ISSET(cpu, &taken) ||
                options->core_count == OPTIONS_CORES_MAX) {
                return option_value_refuse_cores(value);
            }
            assert_always(options->core_count < OPTIONS_CORES_MAX);
            CPU_SET(cpu, &taken);
            options->cpus[options->core_count++] = cpu;
        }
        if (*at != ',') {
            return *at == '\0' ? 0 : option_value_refuse_cores(value);
        }
    }
}

static int option_value_flag(const struct option_value *value, bool *flag_out)
{
    if (value->text == NULL) {
        *flag_out = true;
        return 0;
    }
    return yes_no_parse(value->text, flag_out) ? 0 : option_value_refuse(value, "yes or no");
}

/* NULL: the option, or its default. */
static const char *option_value_origin(const struct option_value *value)
{
    bool is_kept = value->layer != OPTIONS_LAYER_DEFAULT && value->layer != OPTIONS_LAYER_ARGUMENT;
    return is_kept ? value->source : NULL;
}

static int option_value_add(const struct option_value *value, struct options_list *list)
{
    if (list->layer != value->layer) {
        list->layer = value->layer;
        list->count = 0;
    }
    if (*value->text == '\0' || list->count == value->spec->max) {
        char valid[96];
        snprintf(valid, sizeof valid, "at most %llu of them, none empty",
                 (unsigned long long)value->spec->max);
        return option_value_refuse(value, valid);
    }
    assert_always(list->count < OPTIONS_LIST_MAX);
    list->sources[list->count] = option_value_origin(value);
    list->texts[list->count++] = value->text;
    return 0;
}

static const char *option_value_copy(struct options *options, const char *text, size_t text_bytes,
                                     const char *more)
{
    size_t more_bytes = strlen(more) + 1; /* with its end */
    struct options_text *kept = malloc(sizeof *kept + text_bytes + more_bytes);
    if (kept == NULL) {
        return NULL;
    }
    memcpy(kept->text, text, text_bytes);
    memcpy(kept->text + text_bytes, more, more_bytes);
    kept->next = options->kept;
    options->kept = kept;
    return kept->text;
}

const char *option_value_keep(struct options *options, const char *text, size_t text_bytes)
{
    return option_value_copy(options, text, text_bytes, "");
}

const char *option_value_join(struct options *options, const char *text, const char *more)
{
    return option_value_copy(options, text, strlen(text), more);
}

void option_value_warn(struct options *options, const char *format, ...)
{
    char text[OPTIONS_ERROR_BYTES_MAX] = "there are more such warnings";
    if (options->warning_count == OPTIONS_WARNINGS_MAX) {
        return;
    }
    if (options->warning_count < OPTIONS_WARNINGS_MAX - 1) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
    }
    const char *kept = option_value_keep(options, text, strlen(text));
    if (kept != NULL) {
        options->warnings[options->warning_count++] = kept;
    }
}

static int option_value_ignore(const struct option_value *value, struct options *options)
{
    option_value_warn(options, "%s is ignored: %s", value->source, value->spec->help);
    return 0;
}

static int option_value_store(const struct option_value *value, struct options *options)
{
    void *target = (char *)options + value->spec->offset;
    assert_always(value->spec->offset < sizeof *options);
    switch (option_kind(value->spec)) {
    case OPTION_FLAG:
        return option_value_flag(value, target);
    case OPTION_ACTION: /* options_find_action() has seen it. */
        return 0;
    case OPTION_TEXT:
        return option_value_text(value, target);
    case OPTION_NUMBER:
        return option_value_number(value, target);
    case OPTION_SECONDS:
        return option_value_seconds(value, target);
    case OPTION_BYTES:
    case OPTION_LOG_BYTES:
        return option_value_bytes(value, target);
    case OPTION_CHOICE:
        return option_value_choice(value, target);
    case OPTION_CORES:
        return option_value_cores(value, options);
    case OPTION_LIST:
        return option_value_add(value, target);
    case OPTION_IGNORED:
        return option_value_ignore(value, options);
    }
    return 0;
}

int option_value_take(const struct option_value *value, struct options *options)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    assert_always(count <= OPTIONS_TABLE_MAX);
    if (value->spec < table || value->spec >= table + count) { /* a row of a test's own */
        return option_value_store(value, options);
    }
    size_t row = options_row(value->spec);
    if (value->layer < options->layers[row]) {
        return 0;
    }
    int error = option_value_store(value, options);
    options->layers[row] = (uint8_t)value->layer;
    options->sources[row] = option_value_origin(value);
    return error;
}
