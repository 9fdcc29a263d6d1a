#include "src/config/options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "codec/base/check.h"
#include "codec/base/version.h"
#include "feeds/feed.h"
#include "src/base/log.h"

static const char *const options_publishers[] = {[OPTIONS_PUBLISHER_AUTO] = "auto",
                                                 [OPTIONS_PUBLISHER_INLINE] = "inline",
                                                 [OPTIONS_PUBLISHER_THREAD] = "thread",
                                                 NULL};
static const char *const options_engines[] = {"uring", NULL};
static const char *const options_off_on[] = {"off", "on", NULL};
static const char *const options_no_yes[] = {"no", "yes", NULL};
static const char *const options_log_formats[] = {"text", "json", NULL};
static const char *const options_log_levels[] = {
    [LOG_LEVEL_DEBUG] = "DEBUG", [LOG_LEVEL_INFO] = "INFO",         [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_ERROR] = "ERROR", [LOG_LEVEL_CRITICAL] = "CRITICAL", NULL};

#define AT(member) ((uint32_t)offsetof(struct options, member))
#define LIST_BYTES_MAX 65535
/* Of a secret: no value that is refused here is printed. access.c judges its length. */
#define SECRET_BYTES_MAX UINT32_MAX
#define UNIX_PATH_BYTES_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* A variable, a key, or both. */
#define OPTIONS_IGNORED(variable, key)                                                             \
    {                                                                                              \
        NULL, NULL, NULL, variable, key, OPTION_IGNORED, 0, 0, 0, NULL,                            \
            "Accepted for compatibility; it has no use yet, which is said once in the log."        \
    }

/* name, value, default, variable, key, kind, where, min, max, choices, help */
static const struct option_spec options_specs[] = {
    {"host", "HOST", "0.0.0.0", "WEBSOCKET_HOST", "websocket.host", OPTION_TEXT, AT(host), 1, 255,
     NULL, "Address or name to serve clients on; :: for all of IPv6 and IPv4."},
    {"port", "PORT", "8765", "WEBSOCKET_PORT", "websocket.port", OPTION_NUMBER, AT(port), 0, 65535,
     NULL, "Port to serve clients on; 0: any free one, told in the log."},
    {"unix", "PATH", NULL, NULL, "websocket.unix", OPTION_TEXT, AT(unix_path), 1,
     UNIX_PATH_BYTES_MAX, NULL, "Also serve clients of this host on a Unix-domain socket."},
    {"admin-host", "HOST", "127.0.0.1", NULL, "admin.host", OPTION_TEXT, AT(admin_host), 1, 255,
     NULL, "Address or name of the admin HTTP server (health, stats, metrics)."},
    {"admin-port", "PORT", "8080", NULL, "admin.port", OPTION_NUMBER, AT(admin_port), 0, 65535,
     NULL, "Port of the admin HTTP server; 0: any free one, told in the log."},
    {"feed", "SPEC", "sim", NULL, "feeds", OPTION_FEEDS, AT(feeds), 0, OPTIONS_FEEDS_MAX, NULL,
     "Source of ticks, NAME or NAME:key=value,...; may be given up to 16 times."},
    {"cores", "CORES", "1", NULL, "cores", OPTION_CORES, 0, 0, 0, NULL,
     "Threads that serve clients: how many, or the CPUs to pin them to (0,3 or 2-5)."},
    {"publisher", "WHERE", "auto", NULL, "publisher", OPTION_CHOICE, AT(publisher), 0, 0,
     options_publishers,
     "Where ticks are encoded: in core 0 or on a thread of its own; auto: inline with one core."},
    {"busy-poll", NULL, NULL, NULL, "busy_poll", OPTION_FLAG, AT(busy_poll), 0, 0, NULL,
     "Cores spin instead of sleeping: lower latency for a whole CPU each."},
    {"engine", "ENGINE", "uring", NULL, "engine", OPTION_CHOICE, AT(engine), 0, 0, options_engines,
     "How the kernel is entered; io_uring is the only one so far."},
    {"max-connections", "N", "1000", "MAX_CONNECTIONS", "websocket.max_connections", OPTION_NUMBER,
     AT(connections_max), 1, OPTIONS_CONNECTIONS_MAX, NULL,
     "Clients at one time, all cores together; one more is answered with 503."},
    {"max-subscriptions", "N", "100", "MAX_SUBSCRIPTIONS_PER_CLIENT",
     "websocket.max_subscriptions_per_client", OPTION_NUMBER, AT(subscriptions_max), 1,
     OPTIONS_SUBSCRIPTIONS_MAX, NULL, "Subscriptions of one client."},
    {"frame-log-bytes", "BYTES", "67108864", NULL, "frame_log_bytes", OPTION_LOG_BYTES,
     AT(frame_log_bytes), OPTIONS_FRAME_LOG_BYTES_MIN, 64 * 1024 * MIB, NULL,
     "Size of the frame log of each encoding, from which slow clients catch up; a power of two."},
    {"memory-max", "BYTES", NULL, NULL, "memory_max", OPTION_BYTES, AT(memory_bytes_max),
     OPTIONS_FRAME_LOG_BYTES_MIN, 1024 * 1024 * MIB, NULL,
     "What the frame logs of all encodings may take together; when not given, as much as they "
     "need: see docs/memory.md."},
    {"send-buffer-bytes", "BYTES", "131072", NULL, "send_buffer_bytes", OPTION_BYTES,
     AT(send_buffer_bytes), 4 * KIB, 64 * MIB, NULL,
     "What the kernel holds for one client that reads slowly."},
    {"zero-copy-bytes", "BYTES", NULL, NULL, "zero_copy_bytes", OPTION_BYTES, AT(zero_copy_bytes),
     0, 64 * MIB, NULL,
     "Stretches of the log so long and longer are sent by reference, without a copy; 0: never; "
     "when "
     "not given, the start measures from which size on that costs less."},
    {"heartbeat-interval", "SECONDS", "30", NULL, "websocket.heartbeat_interval", OPTION_SECONDS,
     AT(heartbeat_interval_ns), 100, 86400 * 1000, NULL,
     "Time between WebSocket pings; two missed answers close with 4109."},
    {"idle-timeout", "SECONDS", "300", NULL, "websocket.idle_timeout", OPTION_SECONDS,
     AT(idle_timeout_ns), 100, UINT64_C(30) * 86400 * 1000, NULL,
     "A client without subscription and message for so long is closed with 4114."},
    {"drain-timeout", "SECONDS", "0.5", NULL, "websocket.drain_timeout", OPTION_SECONDS,
     AT(drain_timeout_ns), 0, 3600 * 1000, NULL,
     "At the end clients are told, and let go one after the other within so long; 0: all at once."},
    {"max-lag-ms", "MS", "0", NULL, "websocket.max_lag_ms", OPTION_NUMBER, AT(lag_ms_max), 0,
     3600 * 1000, NULL,
     "A client further behind gets its lag policy; 0: only when the log has passed it."},
    {"compression", "WHETHER", "on", NULL, "websocket.compression", OPTION_CHOICE, AT(compression),
     0, 0, options_off_on, "Agree to permessage-deflate with clients that offer it."},
    {"compression-threshold", "BYTES", "1024", NULL, "websocket.compression_threshold",
     OPTION_BYTES, AT(compression_threshold_bytes), 0, 64 * KIB, NULL,
     "Shorter messages are sent uncompressed."},
    {"enable-auth", NULL, NULL, NULL, "security.enable_auth", OPTION_FLAG, AT(access.enable_auth),
     0, 0, NULL, "Clients need a token: in the handshake, or in an AUTH message within 5 s."},
    {"auth-token", "TOKEN", NULL, NULL, "security.auth_token", OPTION_TEXT | OPTION_SECRET,
     AT(access.auth_token), 0, SECRET_BYTES_MAX, NULL,
     "A token that opens everything; others on this host can read it: better give a file."},
    {"auth-token-file", "PATH", NULL, NULL, "security.auth_token_file", OPTION_TEXT,
     AT(access.auth_token_file), 1, 4095, NULL, "The same, in a file."},
    {"tokens-file", "PATH", NULL, NULL, "security.tokens_file", OPTION_TEXT, AT(access.tokens_file),
     1, 4095, NULL, "Tokens with their scopes, as JSON: see docs/access.md."},
    {"jwt-key-file", "PATH", NULL, NULL, "security.jwt_key_file", OPTION_TEXT,
     AT(access.jwt_key_file), 1, 4095, NULL,
     "What JWTs are verified by: PEM public keys (Ed25519, EdDSA) or a JWK set."},
    {"jwt-secret-file", "PATH", NULL, NULL, "security.jwt_secret_file", OPTION_TEXT,
     AT(access.jwt_secret_file), 1, 4095, NULL,
     "A secret of 32 to 1024 bytes that JWTs are verified by (HS256)."},
    {"jwt-issuer", "TEXT", NULL, NULL, "security.jwt_issuer", OPTION_TEXT, AT(access.jwt_issuer), 1,
     255, NULL, "What a JWT must have as iss."},
    {"jwt-audience", "TEXT", "ringcast", NULL, "security.jwt_audience", OPTION_TEXT,
     AT(access.jwt_audience), 1, 255, NULL, "What a JWT that has aud must have in it."},
    {"allow-query-token", NULL, NULL, NULL, "security.allow_query_token", OPTION_FLAG,
     AT(access.allow_query_token), 0, 0, NULL,
     "Take ?token= too; it shows in the logs of proxies and browsers."},
    {"admin-token", "TOKEN", NULL, NULL, "admin.token", OPTION_TEXT | OPTION_SECRET,
     AT(admin_token), 0, SECRET_BYTES_MAX, NULL,
     "What /admin/* of the admin server asks of other hosts; better give a file."},
    {"admin-token-file", "PATH", NULL, NULL, "admin.token_file", OPTION_TEXT, AT(admin_token_file),
     1, 4095, NULL, "The same, in a file."},
    {"allowed-origins", "LIST", NULL, NULL, "security.allowed_origins", OPTION_TEXT,
     AT(access.allowed_origins), 0, LIST_BYTES_MAX, NULL,
     "Origins of browsers' pages that may connect, exactly as they are sent; * or none: all."},
    {"ip-allow", "LIST", NULL, NULL, "security.ip_allow", OPTION_TEXT, AT(access.ip_allow), 0,
     LIST_BYTES_MAX, NULL, "Addresses and networks (CIDR) that may connect; none: all."},
    {"ip-deny", "LIST", NULL, NULL, "security.ip_deny", OPTION_TEXT, AT(access.ip_deny), 0,
     LIST_BYTES_MAX, NULL, "Addresses and networks (CIDR) that may not."},
    {"trusted-proxies", "LIST", NULL, NULL, "security.trusted_proxies", OPTION_TEXT,
     AT(access.trusted_proxies), 0, LIST_BYTES_MAX, NULL,
     "Proxies (CIDR) whose X-Forwarded-For or X-Real-IP is believed."},
    {"proxy-protocol", NULL, NULL, NULL, "security.proxy_protocol", OPTION_FLAG,
     AT(access.proxy_protocol), 0, 0, NULL,
     "Connections from trusted proxies begin with a PROXY header, version 1 or 2."},
    {"rate-limit-enabled", "YES", "yes", NULL, "security.rate_limit_enabled", OPTION_CHOICE,
     AT(rate_limit_enabled), 0, 0, options_no_yes, "Whether the three limits below hold."},
    {"max-connections-per-ip", "N", NULL, NULL, "security.max_connections_per_ip", OPTION_NUMBER,
     AT(access.ip_connections_max), 1, OPTIONS_CONNECTIONS_MAX, NULL,
     "Clients of one address or IPv6 /64; when not given, 20 and none for this host."},
    {"handshakes-per-second", "N", NULL, NULL, "security.handshakes_per_second", OPTION_NUMBER,
     AT(access.ip_handshakes_per_s), 1, 1000000, NULL,
     "Of one address, twice as many at once; when not given, 10 and none for this host."},
    {"messages-per-second", "N", NULL, NULL, "security.messages_per_second", OPTION_NUMBER,
     AT(access.messages_per_s), 1, 1000000, NULL,
     "Of one client, twice as many at once; when not given, 5 and none for this host."},
    {"watchdog-seconds", "N", "5", NULL, "watchdog_seconds", OPTION_NUMBER, AT(watchdog_seconds), 0,
     3600, NULL,
     "A core or publisher without progress for so long makes /livez and /readyz answer 503; 0: "
     "never."},
    {"log-level", "LEVEL", "INFO", "LOG_LEVEL", "logging.level", OPTION_CHOICE, AT(log_level), 0, 0,
     options_log_levels, "Lines below this level are left out."},
    {"log-format", "FORMAT", "text", NULL, "logging.format", OPTION_CHOICE, AT(log_format), 0, 0,
     options_log_formats, "How lines are written to standard error."},
    {"config", "FILE", NULL, NULL, NULL, OPTION_TEXT, AT(config_path), 1, 4096, NULL,
     "Read the keys of this YAML file; variables and options win over them."},
    {"check-config", NULL, NULL, NULL, NULL, OPTION_FLAG, AT(check_config), 0, 0, NULL,
     "Do what the start does up to its sockets, say what is wrong, and end."},
    {"version", NULL, NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_VERSION, 0, NULL,
     "Print the version and how it was compiled."},
    {"help", NULL, NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_HELP, 0, NULL, "Print this."},
    OPTIONS_IGNORED("REDIS_HOST", NULL),
    OPTIONS_IGNORED("ENVIRONMENT", "environment"),
    OPTIONS_IGNORED("CONSUL_HOST", "service_discovery.consul_host"),
    OPTIONS_IGNORED(NULL, "service_discovery.backend"),
    OPTIONS_IGNORED(NULL, "service_discovery.consul_port"),
    OPTIONS_IGNORED(NULL, "scaling.min_instances"),
    OPTIONS_IGNORED(NULL, "scaling.max_instances"),
    OPTIONS_IGNORED(NULL, "scaling.target_cpu_utilization"),
    OPTIONS_IGNORED(NULL, "scaling.target_memory_utilization"),
    OPTIONS_IGNORED(NULL, "monitoring.enabled"),
    OPTIONS_IGNORED(NULL, "monitoring.metrics_port"),
    OPTIONS_IGNORED(NULL, "monitoring.prometheus_enabled"),
};
#define OPTIONS_SPEC_COUNT (sizeof options_specs / sizeof options_specs[0])
static_assert(OPTIONS_SPEC_COUNT <= OPTIONS_TABLE_MAX, "whoever lists them has room");
static_assert(sizeof options_log_levels / sizeof options_log_levels[0] == LOG_LEVEL_CRITICAL + 2,
              "each level has a name, and NULL ends them");

const struct option_spec *options_table(size_t *count_out)
{
    *count_out = OPTIONS_SPEC_COUNT;
    return options_specs;
}

const struct option_spec *options_find(const char *name, size_t name_bytes)
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

void options_deinit(struct options *options)
{
    while (options->kept != NULL) {
        struct options_text *next = options->kept->next;
        free(options->kept);
        options->kept = next;
    }
}

void options_locate(const struct options *options, const char *text, char *out, size_t out_bytes)
{
    size_t name_bytes = strncmp(text, "--", 2) == 0 ? strcspn(text + 2, ": ") : 0;
    const struct option_spec *spec = name_bytes == 0 ? NULL : options_find(text + 2, name_bytes);
    assert_always(spec == NULL || (size_t)(spec - options_specs) < OPTIONS_SPEC_COUNT);
    const char *source = spec == NULL ? NULL : options->sources[spec - options_specs];
    snprintf(out, out_bytes, "%s%s", source == NULL ? "" : source,
             source == NULL ? text : text + 2 + name_bytes);
}

static void options_print_choices(FILE *out, const struct option_spec *spec)
{
    fprintf(out, "\n      One of:");
    for (int i = 0; spec->choices[i] != NULL; i++) {
        fprintf(out, "%s %s", i == 0 ? "" : ",", spec->choices[i]);
    }
    fputc('.', out);
}

/* Where else a value comes from. */
static void options_print_sources(FILE *out, const struct option_spec *spec)
{
    static const char *const words[] = {"Default", "key", "variable"};
    const char *const sources[] = {spec->default_text, spec->key, spec->variable};
    const char *separator = "\n      ";
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (sources[i] != NULL) {
            fprintf(out, "%s%s %s", separator, words[i], sources[i]);
            separator = ", ";
        }
    }
    fputs(separator[0] == ',' ? "." : "", out);
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
                 "Usage: ringcast [--OPTION VALUE]...\n\n"
                 "Each option can also be set by an environment variable: --log-level by\n"
                 "RINGCAST_LOG_LEVEL, --enable-auth by RINGCAST_ENABLE_AUTH=yes.\n\nOptions:\n");
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
        options_print_sources(out, spec);
        fputc('\n', out);
    }
    fprintf(out, "\nFeeds (--feed NAME or --feed NAME:key=value,key=value):\n");
    for (size_t i = 0; feed_at(i) != NULL; i++) {
        options_print_feed(out, feed_at(i));
    }
    fprintf(
        out,
        "\nSignals: INT and TERM end gracefully, a second one at once; HUP and USR2 are ignored.\n"
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
