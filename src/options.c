#include "src/options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "codec/base/bytes.h"
#include "codec/base/units.h"
#include "ring/frame_log.h"

#define OPTIONS_TABLE_MAX 80
#define OPTIONS_SOURCE_BYTES_MAX 64

static const char *const options_publishers[] = {"auto", "inline", "thread", NULL};
static const char *const options_engines[] = {"uring", NULL};
static const char *const options_no_yes[] = {"no", "yes", NULL};
static const char *const options_log_formats[] = {"text", "json", NULL};
static const char *const options_log_levels[] = {"DEBUG", "INFO",     "WARNING",
                                                 "ERROR", "CRITICAL", NULL};

#define AT(member) ((uint32_t)offsetof(struct options, member))
#define LIST_BYTES_MAX 65535
/* Of a secret: no value that is refused here is printed. access.c judges its length. */
#define SECRET_BYTES_MAX UINT32_MAX
#define UNIX_PATH_BYTES_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* name, value, default, variable, kind, where, min, max, choices, help */
static const struct option_spec options_specs[] = {
    {"host", "HOST", "0.0.0.0", "WEBSOCKET_HOST", OPTION_TEXT, AT(host), 1, 255, NULL,
     "Address or name to serve clients on; :: for IPv6."},
    {"port", "PORT", "8765", "WEBSOCKET_PORT", OPTION_NUMBER, AT(port), 0, 65535, NULL,
     "Port to serve clients on; 0: any free one, told in the log."},
    {"unix", "PATH", NULL, NULL, OPTION_TEXT, AT(unix_path), 1, UNIX_PATH_BYTES_MAX, NULL,
     "Also serve clients of this host on a Unix-domain socket."},
    {"admin-host", "HOST", "127.0.0.1", NULL, OPTION_TEXT, AT(admin_host), 1, 255, NULL,
     "Address or name of the admin HTTP server (health, stats, metrics)."},
    {"admin-port", "PORT", "8080", NULL, OPTION_NUMBER, AT(admin_port), 0, 65535, NULL,
     "Port of the admin HTTP server; 0: any free one, told in the log."},
    {"feed", "SPEC", "sim", NULL, OPTION_FEED, 0, 0, 0, NULL,
     "Source of ticks, NAME or NAME:key=value,...; may be given up to 16 times."},
    {"cores", "CORES", "1", NULL, OPTION_CORES, 0, 0, 0, NULL,
     "Threads that serve clients: how many, or the CPUs to pin them to (0,3 or 2-5)."},
    {"publisher", "WHERE", "auto", NULL, OPTION_CHOICE, AT(publisher), 0, 0, options_publishers,
     "Where ticks are encoded: in core 0 or on a thread of its own; auto: inline with one core."},
    {"busy-poll", NULL, NULL, NULL, OPTION_FLAG, AT(busy_poll), 0, 0, NULL,
     "Cores spin instead of sleeping: lower latency for a whole CPU each."},
    {"engine", "ENGINE", "uring", NULL, OPTION_CHOICE, AT(engine), 0, 0, options_engines,
     "How the kernel is entered; io_uring is the only one so far."},
    {"max-connections", "N", "1000", "MAX_CONNECTIONS", OPTION_NUMBER, AT(connections_max), 1,
     OPTIONS_CONNECTIONS_MAX, NULL,
     "Clients at one time, all cores together; one more is answered with 503."},
    {"max-subscriptions", "N", "100", "MAX_SUBSCRIPTIONS_PER_CLIENT", OPTION_NUMBER,
     AT(subscriptions_max), 1, CHANNELS_MAX, NULL, "Subscriptions of one client."},
    {"frame-log-bytes", "BYTES", "67108864", NULL, OPTION_LOG_BYTES, AT(frame_log_bytes),
     FRAME_LOG_BYTES_MIN, 64 * 1024 * MIB, NULL,
     "Size of the frame log, from which slow clients catch up; a power of two."},
    {"send-buffer-bytes", "BYTES", "131072", NULL, OPTION_BYTES, AT(send_buffer_bytes), 4 * KIB,
     64 * MIB, NULL, "What the kernel holds for one client that reads slowly."},
    {"zero-copy-bytes", "BYTES", "16384", NULL, OPTION_BYTES, AT(zero_copy_bytes), 0, 64 * MIB,
     NULL,
     "Stretches of the log so long and longer are sent without a copy, to whom the kernel need not "
     "copy; 0: never."},
    {"heartbeat-interval", "SECONDS", "30", NULL, OPTION_SECONDS, AT(heartbeat_interval_ns), 100,
     86400 * 1000, NULL, "Time between WebSocket pings; two missed answers close with 4109."},
    {"idle-timeout", "SECONDS", "300", NULL, OPTION_SECONDS, AT(idle_timeout_ns), 100,
     UINT64_C(30) * 86400 * 1000, NULL,
     "A client without subscription and message for so long is closed with 4114."},
    {"max-lag-ms", "MS", "0", NULL, OPTION_NUMBER, AT(lag_ms_max), 0, 3600 * 1000, NULL,
     "A client further behind gets its lag policy; 0: only when the log has passed it."},
    {"enable-auth", NULL, NULL, NULL, OPTION_FLAG, AT(access.enable_auth), 0, 0, NULL,
     "Clients need a token: in the handshake, or in an AUTH message within 5 s."},
    {"auth-token", "TOKEN", NULL, NULL, OPTION_TEXT, AT(access.auth_token), 0, SECRET_BYTES_MAX,
     NULL, "A token that opens everything; others on this host can read it: better give a file."},
    {"auth-token-file", "PATH", NULL, NULL, OPTION_TEXT, AT(access.auth_token_file), 1, 4095, NULL,
     "The same, in a file."},
    {"tokens-file", "PATH", NULL, NULL, OPTION_TEXT, AT(access.tokens_file), 1, 4095, NULL,
     "Tokens with their scopes, as JSON: see docs/access.md."},
    {"jwt-key-file", "PATH", NULL, NULL, OPTION_TEXT, AT(access.jwt_key_file), 1, 4095, NULL,
     "What JWTs are verified by: a secret (HS256), a PEM public key (EdDSA) or a JWK set."},
    {"jwt-issuer", "TEXT", NULL, NULL, OPTION_TEXT, AT(access.jwt_issuer), 1, 255, NULL,
     "What a JWT must have as iss."},
    {"jwt-audience", "TEXT", "ringcast", NULL, OPTION_TEXT, AT(access.jwt_audience), 1, 255, NULL,
     "What a JWT that has aud must have in it."},
    {"allow-query-token", NULL, NULL, NULL, OPTION_FLAG, AT(access.allow_query_token), 0, 0, NULL,
     "Take ?token= too; it shows in the logs of proxies and browsers."},
    {"admin-token", "TOKEN", NULL, NULL, OPTION_TEXT, AT(admin_token), 0, SECRET_BYTES_MAX, NULL,
     "What /admin/* of the admin server asks of other hosts; better give a file."},
    {"admin-token-file", "PATH", NULL, NULL, OPTION_TEXT, AT(admin_token_file), 1, 4095, NULL,
     "The same, in a file."},
    {"allowed-origins", "LIST", NULL, NULL, OPTION_TEXT, AT(access.allowed_origins), 0,
     LIST_BYTES_MAX, NULL,
     "Origins of browsers' pages that may connect, exactly as they are sent; * or none: all."},
    {"ip-allow", "LIST", NULL, NULL, OPTION_TEXT, AT(access.ip_allow), 0, LIST_BYTES_MAX, NULL,
     "Addresses and networks (CIDR) that may connect; none: all."},
    {"ip-deny", "LIST", NULL, NULL, OPTION_TEXT, AT(access.ip_deny), 0, LIST_BYTES_MAX, NULL,
     "Addresses and networks (CIDR) that may not."},
    {"trusted-proxies", "LIST", NULL, NULL, OPTION_TEXT, AT(access.trusted_proxies), 0,
     LIST_BYTES_MAX, NULL, "Proxies (CIDR) whose X-Forwarded-For or X-Real-IP is believed."},
    {"proxy-protocol", NULL, NULL, NULL, OPTION_FLAG, AT(access.proxy_protocol), 0, 0, NULL,
     "Connections from trusted proxies begin with a PROXY header, version 1 or 2."},
    {"rate-limit-enabled", "YES", "yes", NULL, OPTION_CHOICE, AT(rate_limit_enabled), 0, 0,
     options_no_yes, "Whether the three limits below hold."},
    {"max-connections-per-ip", "N", NULL, NULL, OPTION_NUMBER, AT(access.ip_connections_max), 1,
     OPTIONS_CONNECTIONS_MAX, NULL,
     "Clients of one address or IPv6 /64; when not given, 20 and none for this host."},
    {"handshakes-per-second", "N", NULL, NULL, OPTION_NUMBER, AT(access.ip_handshakes_per_s), 1,
     1000000, NULL,
     "Of one address, twice as many at once; when not given, 10 and none for this host."},
    {"messages-per-second", "N", NULL, NULL, OPTION_NUMBER, AT(access.messages_per_s), 1, 1000000,
     NULL, "Of one client, twice as many at once; when not given, 5 and none for this host."},
    {"log-level", "LEVEL", "INFO", "LOG_LEVEL", OPTION_CHOICE, AT(log_level), 0, 0,
     options_log_levels, "Lines below this level are left out."},
    {"log-format", "FORMAT", "text", NULL, OPTION_CHOICE, AT(log_format), 0, 0, options_log_formats,
     "How lines are written to standard error."},
    {"version", NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_VERSION, 0, NULL,
     "Print the version and how it was compiled."},
    {"help", NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_HELP, 0, NULL, "Print this."},
    {NULL, NULL, NULL, "REDIS_HOST", OPTION_IGNORED, 0, 0, 0, NULL,
     "Accepted for compatibility; it has no use yet, which is said once in the log."},
    {NULL, NULL, NULL, "CONSUL_HOST", OPTION_IGNORED, 0, 0, 0, NULL,
     "Accepted for compatibility; it has no use yet, which is said once in the log."},
};
#define OPTIONS_SPEC_COUNT (sizeof options_specs / sizeof options_specs[0])
static_assert(OPTIONS_SPEC_COUNT <= OPTIONS_TABLE_MAX, "options_unknown() lists all names");

static const struct feed_ops *const options_feeds[] = {&feed_sim, &feed_replay};

const struct option_spec *options_table(size_t *count_out)
{
    *count_out = OPTIONS_SPEC_COUNT;
    return options_specs;
}

/* One value on its way into struct options. */
struct options_value {
    const struct option_spec *spec;
    const char *source; /* "--port", "WEBSOCKET_PORT": for errors */
    const char *text;
    const cpu_set_t *cpus;
    char *error_out;
};

static int options_refuse(const struct options_value *value, const char *valid)
{
    snprintf(value->error_out, OPTIONS_ERROR_BYTES_MAX, "%s: \"%.100s\" is not valid; give %s",
             value->source, value->text, valid);
    return -EINVAL;
}

/* Digits only, and at least one. Returns where they end, NULL: none, or more than 64 bits. */
static const char *options_digits(const char *text, uint64_t *number_out)
{
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    char *end;
    errno = 0;
    *number_out = strtoull(text, &end, 10);
    return errno == 0 ? end : NULL;
}

static int options_parse_number(const struct options_value *value, uint32_t *number_out)
{
    const struct option_spec *spec = value->spec;
    uint64_t number;
    const char *end = options_digits(value->text, &number);
    if (end == NULL || *end != '\0' || number < spec->min || number > spec->max) {
        char valid[96];
        snprintf(valid, sizeof valid, "a whole number from %llu to %llu",
                 (unsigned long long)spec->min, (unsigned long long)spec->max);
        return options_refuse(value, valid);
    }
    *number_out = (uint32_t)number;
    return 0;
}

/* Plain decimals only: neither signs, exponents, "inf" nor hexadecimal. */
static int options_parse_seconds(const struct options_value *value, uint64_t *ns_out)
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
        return options_refuse(value, valid);
    }
    *ns_out = (uint64_t)(seconds * (double)NS_PER_SECOND + 0.5);
    return 0;
}

/* The power of 1024 that "", "k", "KB", "MiB", "g" and such stand for; -1: not a unit. */
static int options_unit_power(const char *unit)
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

static int options_parse_bytes(const struct options_value *value, uint64_t *bytes_out)
{
    const struct option_spec *spec = value->spec;
    bool power_of_two = spec->kind == OPTION_LOG_BYTES;
    uint64_t number = 0;
    const char *end = options_digits(value->text, &number);
    int power = end == NULL ? -1 : options_unit_power(end);
    bool fits = power >= 0 && number <= spec->max >> (10 * power);
    uint64_t bytes = fits ? number << (10 * power) : 0;
    if (!fits || bytes < spec->min || (power_of_two && !bytes_is_power_of_two(bytes))) {
        char valid[160];
        snprintf(valid, sizeof valid, "%s from %llu to %llu, or with k, m or g (64m)",
                 power_of_two ? "a power of two" : "bytes", (unsigned long long)spec->min,
                 (unsigned long long)spec->max);
        return options_refuse(value, valid);
    }
    *bytes_out = bytes;
    return 0;
}

static int options_parse_choice(const struct options_value *value, int *choice_out)
{
    char valid[160] = "";
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
    return options_refuse(value, one_of);
}

static int options_parse_text(const struct options_value *value, const char **text_out)
{
    size_t bytes = strlen(value->text);
    if (bytes < value->spec->min || bytes > value->spec->max) {
        char valid[96];
        snprintf(valid, sizeof valid, "%llu to %llu bytes", (unsigned long long)value->spec->min,
                 (unsigned long long)value->spec->max);
        return options_refuse(value, valid);
    }
    *text_out = value->text;
    return 0;
}

/* The affinity mask as "0-3,6", for errors. */
static void options_describe_cpus(const cpu_set_t *cpus, char *out, size_t out_bytes)
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

static int options_refuse_cores(const struct options_value *value)
{
    char cpus[200];
    char valid[400];
    int count = CPU_COUNT(value->cpus);
    int count_max = count < COUNTERS_CORES_MAX ? count : COUNTERS_CORES_MAX;
    options_describe_cpus(value->cpus, cpus, sizeof cpus);
    snprintf(valid, sizeof valid,
             "how many (1 to %d), or a list without repetition of CPUs this process may use (%s), "
             "as in 0,3 or 2-5",
             count_max, cpus);
    return options_refuse(value, valid);
}

/* A count: one core is left to the scheduler, more are pinned to the mask's first CPUs. */
static int options_take_core_count(const struct options_value *value, uint64_t count,
                                   struct options *options)
{
    if (count == 0 || count > (uint64_t)CPU_COUNT(value->cpus) || count > COUNTERS_CORES_MAX) {
        return options_refuse_cores(value);
    }
    options->core_count = 0;
    for (int cpu = 0; options->core_count < count; cpu++) {
        if (CPU_ISSET(cpu, value->cpus)) {
            options->cpus[options->core_count++] = count == 1 ? -1 : cpu;
        }
    }
    return 0;
}

static int options_parse_cores(const struct options_value *value, struct options *options)
{
    uint64_t first;
    const char *at = options_digits(value->text, &first);
    if (at != NULL && *at == '\0') {
        return options_take_core_count(value, first, options);
    }
    cpu_set_t taken;
    CPU_ZERO(&taken);
    options->core_count = 0;
    for (at = value->text;; at++) {
        uint64_t last;
        at = options_digits(at, &first);
        last = first;
        if (at != NULL && *at == '-') {
            at = options_digits(at + 1, &last);
        }
        if (at == NULL || first > last || last >= CPU_SETSIZE) {
            return options_refuse_cores(value);
        }
        for (int cpu = (int)first; cpu <= (int)last; cpu++) {
            if (!CPU_ISSET(cpu, value->cpus) || CPU_ISSET(cpu, &taken) ||
                options->core_count == COUNTERS_CORES_MAX) {
                return options_refuse_cores(value);
            }
            CPU_SET(cpu, &taken);
            options->cpus[options->core_count++] = cpu;
        }
        if (*at != ',') {
            return *at == '\0' ? 0 : options_refuse_cores(value);
        }
    }
}

static int options_add_feed(const struct options_value *value, struct options *options)
{
    if (value->text[0] == '\0') {
        return options_refuse(value, "NAME or NAME:key=value,... (--help lists them)");
    }
    if (options->feed_count == PUBLISHER_FEEDS_MAX) {
        return options_refuse(value, "at most 16 feeds");
    }
    options->feed_specs[options->feed_count++] = value->text;
    return 0;
}

static int options_take(const struct options_value *value, struct options *options)
{
    void *target = (char *)options + value->spec->offset;
    uint64_t bytes;
    int error = 0;
    switch (value->spec->kind) {
    case OPTION_FLAG:
        *(bool *)target = true;
        return 0;
    case OPTION_ACTION: /* options_find_action() has seen it. */
        return 0;
    case OPTION_TEXT:
        return options_parse_text(value, target);
    case OPTION_NUMBER:
        return options_parse_number(value, target);
    case OPTION_SECONDS:
        return options_parse_seconds(value, target);
    case OPTION_BYTES:
        error = options_parse_bytes(value, &bytes);
        if (error == 0) {
            *(uint32_t *)target = (uint32_t)bytes;
        }
        return error;
    case OPTION_LOG_BYTES:
        return options_parse_bytes(value, target);
    case OPTION_CHOICE:
        return options_parse_choice(value, target);
    case OPTION_CORES:
        return options_parse_cores(value, options);
    case OPTION_FEED:
        return options_add_feed(value, options);
    case OPTION_IGNORED:
        options->ignored_variables[options->ignored_count++] = value->spec->variable;
        return 0;
    }
    return 0;
}

static int options_take_defaults(struct options *options, const struct options_input *input,
                                 char *error_out)
{
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        const struct option_spec *spec = &options_specs[i];
        if (spec->default_text == NULL || spec->kind == OPTION_FEED) {
            continue;
        }
        char source[OPTIONS_SOURCE_BYTES_MAX];
        snprintf(source, sizeof source, "the default of --%s", spec->name);
        struct options_value value = {.spec = spec,
                                      .source = source,
                                      .text = spec->default_text,
                                      .cpus = input->cpus,
                                      .error_out = error_out};
        int error = options_take(&value, options);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

/* A variable that is set to nothing counts as not set. */
static int options_take_variables(struct options *options, const struct options_input *input,
                                  char *error_out)
{
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        const struct option_spec *spec = &options_specs[i];
        const char *text = spec->variable == NULL ? NULL : input->variable(spec->variable);
        if (text == NULL || *text == '\0') {
            continue;
        }
        struct options_value value = {.spec = spec,
                                      .source = spec->variable,
                                      .text = text,
                                      .cpus = input->cpus,
                                      .error_out = error_out};
        int error = options_take(&value, options);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

static const struct option_spec *options_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        const char *candidate = options_specs[i].name;
        if (candidate != NULL && strlen(candidate) == name_bytes &&
            memcmp(candidate, name, name_bytes) == 0) {
            return &options_specs[i];
        }
    }
    return NULL;
}

static int options_unknown(const char *argument, size_t name_bytes, char *error_out)
{
    const char *names[OPTIONS_TABLE_MAX];
    size_t count = 0;
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        if (options_specs[i].name != NULL) {
            names[count++] = options_specs[i].name;
        }
    }
    char name[OPTIONS_SOURCE_BYTES_MAX];
    snprintf(name, sizeof name, "%.*s", (int)name_bytes, argument + 2);
    const char *nearest = feed_nearest(name, names, count);
    snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "unknown option --%s; %s%s%s", name,
             nearest == NULL ? "" : "did you mean --", nearest == NULL ? "" : nearest,
             nearest == NULL ? "--help lists all" : "?");
    return -EINVAL;
}

/* Takes the option at argv[*index], and its value after it; moves *index to the last one used. */
static int options_take_argument(struct options *options, const struct options_input *input,
                                 int *index, char *error_out)
{
    const char *argument = input->argv[*index];
    if (strcmp(argument, "-h") == 0) {
        argument = "--help";
    }
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
                 "\"%.100s\" is not an option; options begin with --, and --help lists them",
                 argument);
        return -EINVAL;
    }
    size_t name_bytes = strcspn(argument + 2, "=");
    const struct option_spec *spec = options_find(argument + 2, name_bytes);
    if (spec == NULL) {
        return options_unknown(argument, name_bytes, error_out);
    }
    char source[OPTIONS_SOURCE_BYTES_MAX];
    snprintf(source, sizeof source, "--%s", spec->name);
    const char *equals = argument[2 + name_bytes] == '=' ? argument + 3 + name_bytes : NULL;
    struct options_value value = {.spec = spec,
                                  .source = source,
                                  .text = equals,
                                  .cpus = input->cpus,
                                  .error_out = error_out};
    if (spec->value_name == NULL) {
        return equals == NULL ? options_take(&value, options)
                              : options_refuse(&value, "it without a value");
    }
    if (equals == NULL) {
        if (*index + 1 >= input->argc) {
            snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%s: its value is missing: %s %s", source,
                     source, spec->value_name);
            return -EINVAL;
        }
        value.text = input->argv[++*index];
    }
    return options_take(&value, options);
}

/* --help and --version need nothing else to be right. */
static enum options_action options_find_action(const struct options_input *input)
{
    for (int i = 1; i < input->argc; i++) {
        const char *argument = strcmp(input->argv[i], "-h") == 0 ? "--help" : input->argv[i];
        if (strncmp(argument, "--", 2) != 0) {
            continue;
        }
        const struct option_spec *spec = options_find(argument + 2, strlen(argument + 2));
        if (spec != NULL && spec->kind == OPTION_ACTION) {
            return (enum options_action)spec->min;
        }
    }
    return OPTIONS_ACTION_RUN;
}

int options_parse(struct options *options_out, const struct options_input *input,
                  char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct options options = {.action = options_find_action(input)};
    if (options.action != OPTIONS_ACTION_RUN) {
        *options_out = options;
        return 0;
    }
    int error = options_take_defaults(&options, input, error_out);
    if (error == 0) {
        error = options_take_variables(&options, input, error_out);
    }
    for (int i = 1; i < input->argc && error == 0; i++) {
        error = options_take_argument(&options, input, &i, error_out);
    }
    if (error < 0) {
        return error;
    }
    if (options.feed_count == 0) {
        options.feed_specs[options.feed_count++] = "sim";
    }
    if (options.publisher == OPTIONS_PUBLISHER_AUTO) {
        options.publisher =
            options.core_count == 1 ? OPTIONS_PUBLISHER_INLINE : OPTIONS_PUBLISHER_THREAD;
    }
    options.access.rate_limit_enabled = options.rate_limit_enabled != 0;
    *options_out = options;
    return 0;
}

static void options_print_choices(FILE *out, const struct option_spec *spec)
{
    fprintf(out, "\n      One of:");
    for (int i = 0; spec->choices[i] != NULL; i++) {
        fprintf(out, "%s %s", i == 0 ? "" : ",", spec->choices[i]);
    }
    fputc('.', out);
}

/* A feed's help, indented. */
static void options_print_feed(FILE *out, const struct feed_ops *feed)
{
    fprintf(out, "\n  %s\n", feed->name);
    for (const char *line = feed->help; *line != '\0';) {
        size_t bytes = strcspn(line, "\n");
        fprintf(out, "      %.*s\n", (int)bytes, line);
        line += bytes + (line[bytes] == '\n');
    }
}

void options_print_help(FILE *out)
{
    fprintf(out, "ringcast: broadcasts market data over WebSockets\n\n"
                 "Usage: ringcast [--OPTION VALUE]...\n\nOptions:\n");
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        const struct option_spec *spec = &options_specs[i];
        if (spec->name == NULL) {
            continue;
        }
        fprintf(out, "  --%s%s%s\n      %s", spec->name, spec->value_name == NULL ? "" : " ",
                spec->value_name == NULL ? "" : spec->value_name, spec->help);
        if (spec->choices != NULL) {
            options_print_choices(out, spec);
        }
        if (spec->default_text != NULL) {
            fprintf(out, "\n      Default %s%s%s.", spec->default_text,
                    spec->variable == NULL ? "" : ", or the variable ",
                    spec->variable == NULL ? "" : spec->variable);
        }
        fputc('\n', out);
    }
    fprintf(out, "\nFeeds (--feed NAME or --feed NAME:key=value,key=value):\n");
    for (size_t i = 0; i < sizeof options_feeds / sizeof options_feeds[0]; i++) {
        options_print_feed(out, options_feeds[i]);
    }
    fprintf(out, "\nSignals: INT and TERM end gracefully, a second one at once.\n"
                 "Reference: docs/options.md, ringcast(1).\n");
}

void options_print_version(FILE *out)
{
#ifdef NDEBUG
    const char *assertions = "without debug assertions";
#else
    const char *assertions = "with debug assertions";
#endif
#ifdef __clang__
    const char *compiler = __VERSION__; /* begins with its name */
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    fprintf(out, "ringcast %s\ncompiled by %s, %s\n", RINGCAST_VERSION, compiler, assertions);
}
