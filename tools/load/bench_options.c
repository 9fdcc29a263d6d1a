#include "tools/load/bench_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "codec/sbe_tick.h"
#include "tools/common/quantity.h"
#include "tools/load/bench_mqtt.h"
#include "tools/load/bench_nats.h"
#include "tools/load/bench_template.h"

#define ECHO_RATE 1000
#define PUBLISH_RATE 100
#define PUBLISH_TEMPLATE                                                                           \
    "{\"type\":\"quote\",\"symbol\":\"{symbol}\",\"ch\":{channel},\"seq\":{seq},"                  \
    "\"ts_pub\":{time},\"pad\":\"{pad}\"}"
#define ECHO_PAYLOAD_BYTES 64
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *const bench_role_names[BENCH_ROLES] = {
    "readers", "stalled", "light_readers",     "slow",          "half_open",
    "churn",   "storm",   "malformed_clients", "resubscribers",
};

const struct bench_time_unit bench_time_units[BENCH_TIME_UNITS] = {
    {"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_SECOND}};

int bench_options_fail(const char *format, const char *text)
{
    fprintf(stderr, "ringcast-bench: ");
    fprintf(stderr, format, text);
    fputc('\n', stderr);
    return 1;
}

void bench_options_defaults(struct bench_options *options)
{
    *options = (struct bench_options){
        .origin = "the command line",
        .symbols = "*",
        .seed = 1,
        .protocol_name = "ringcast",
        .encoding_name = "json",
        .time_pattern = "\"ts_pub\":",
        .time_unit = "ns",
        .symbol_pattern = "\"symbol\":\"",
        .connection_count = 10,
        .thread_count = 1,
        .in_flight_max = 256,
        .stalled_buffer_bytes = 4096,
        .slow_bytes_per_second = 4096,
        .churn_life_ns = NS_PER_SECOND,
        .storm_every_ns = 3 * NS_PER_SECOND,
        .patience_ns = 15 * NS_PER_SECOND,
        .duration_ns = 10 * NS_PER_SECOND,
        .warmup_ns = NS_PER_SECOND,
        .timeout_ns = 30 * NS_PER_SECOND,
        .until_max = BENCH_CONNECTIONS_MAX,
        .cpu = -1,
    };
}

void bench_options_deinit(struct bench_options *options)
{
    for (uint32_t i = 0; i < options->kept_text_count; i++) {
        free(options->kept_texts[i]);
    }
    options->kept_text_count = 0;
}

static bool bench_options_until(struct bench_options *options)
{
    const char *text = options->until_text;
    if (text == NULL) {
        return true;
    }
    char *end = NULL;
    if (strncmp(text, "max=", 4) == 0) {
        options->until_percent = 100.0;
        end = (char *)text + 3;
    } else if (text[0] == 'p') {
        options->until_percent = strtod(text + 1, &end);
    }
    if (end == NULL || *end != '=' || !(options->until_percent > 0.0) ||
        options->until_percent > 100.0 || !quantity_time(end + 1, 0, &options->until_ns) ||
        options->until_ns == 0) {
        bench_options_fail("--until: '%s' is not like p99=5ms or max=20ms", text);
        return false;
    }
    if (options->csv_path != NULL || options->hdr_path != NULL || options->plot_path != NULL ||
        options->hgrm_path != NULL || options->report_dir != NULL || options->slow_tick_count > 0) {
        bench_options_fail("--csv, --hdr-log, --hgrm, --plot, --report and --slow-ticks do not go "
                           "with --until, which makes several runs%s",
                           "");
        return false;
    }
    return true;
}

static bool bench_options_patterns(struct bench_options *options)
{
    bool is_iso = strcmp(options->time_unit, "iso") == 0;
    for (size_t i = 0; i < BENCH_TIME_UNITS; i++) {
        if (strcmp(options->time_unit, bench_time_units[i].name) == 0) {
            options->time_unit_ns = bench_time_units[i].ns;
        }
    }
    if (options->time_unit_ns == 0 && !is_iso) {
        bench_options_fail("--time-unit: '%s' is not ns, us, ms, s or iso", options->time_unit);
        return false;
    }
    /* Without times, messages are only counted, and have no numbers either. */
    bool counts = options->time_pattern[0] == 0;
    if (options->seq_pattern == NULL) {
        options->seq_pattern = counts ? "" : "\"seq\":";
    }
    if (options->channel_pattern == NULL) {
        options->channel_pattern = counts ? "" : "\"ch\":";
    }
    options->channel_is_symbol = strcmp(options->channel_pattern, "symbol") == 0;
    if (options->channel_is_symbol) {
        options->channel_pattern = "";
        if (strchr(options->symbols, '*') != NULL) {
            bench_options_fail("--channel-pattern symbol needs the names of the symbols: -s %s has "
                               "patterns",
                               options->symbols);
            return false;
        }
    }
    struct pattern_scan scan;
    if (!pattern_scan_set(&scan, PATTERN_TIME, options->time_pattern) ||
        !pattern_scan_set(&scan, PATTERN_SEQ, options->seq_pattern) ||
        !pattern_scan_set(&scan, PATTERN_CHANNEL, options->channel_pattern)) {
        bench_options_fail("--time-pattern, --seq-pattern and --channel-pattern have at most 32 "
                           "bytes%s",
                           "");
        return false;
    }
    return true;
}

/* --echo: every message is one that the load generator sent. */
static bool bench_options_echo(struct bench_options *options)
{
    if (!options->echo) {
        bool is_alone =
            options->echo_rate > 0 || (options->payload_bytes > 0 && options->publish_to == NULL);
        return !is_alone || bench_options_fail("--rate and --payload-bytes need --echo%s", "") == 0;
    }
    options->echo_rate = options->echo_rate == 0 ? ECHO_RATE : options->echo_rate;
    options->payload_bytes =
        options->payload_bytes == 0 ? ECHO_PAYLOAD_BYTES : options->payload_bytes;
    bool is_other =
        strcmp(options->protocol_name, "nats") == 0 || strcmp(options->protocol_name, "mqtt") == 0;
    bool has_others = false;
    for (uint32_t role = BENCH_STALLED; role < BENCH_ROLES; role++) {
        has_others |= options->role_counts[role] > 0;
    }
    if (is_other || has_others || options->send_text != NULL || options->publish != NULL ||
        options->seq_pattern != NULL || options->channel_pattern != NULL ||
        options->time_pattern[0] == 0 || options->subscription_count > 0 ||
        strcmp(options->encoding_name, "json") != 0) {
        bench_options_fail("--echo has messages of its own, and no subscriptions: no --protocol, "
                           "--send, --publish, --encoding, patterns or special connections%s",
                           "");
        return false;
    }
    if ((double)options->echo_rate * (double)options->duration_ns / (double)NS_PER_SECOND <
        (double)options->connection_count) {
        bench_options_fail("--echo: --rate must have a message for each connection in --duration%s",
                           "");
        return false;
    }
    options->protocol_name = "plain";
    options->seq_pattern = "";
    options->channel_pattern = "";
    return true;
}

static bool bench_options_protocol(struct bench_options *options)
{
    static const char *const names[] = {"ringcast", "plain", "nats", "mqtt"};
    size_t i = 0;
    while (i < COUNT(names) && strcmp(options->protocol_name, names[i]) != 0) {
        i++;
    }
    if (i == COUNT(names)) {
        bench_options_fail("--protocol: '%s' is not ringcast, plain, nats or mqtt",
                           options->protocol_name);
        return false;
    }
    options->protocol = (enum bench_protocol)i;
    if (!bench_options_patterns(options)) {
        return false;
    }
    if (options->time_pattern[0] == 0 && options->protocol == BENCH_RINGCAST) {
        bench_options_fail(
            "--time-pattern '' needs another --protocol: ringcast's ticks have times%s", "");
        return false;
    }
    return true;
}

/* Frames of SBE have their fields where they have them. */
static bool bench_options_sbe(struct bench_options *options)
{
    static const struct {
        const char *pattern;
        uint32_t at;
    } times[] = {
        {"\"ts_pub\":", SBE_TICK_TS_PUB_AT},
        {"\"ts_recv\":", SBE_TICK_TS_RECV_AT},
        {"\"ts_event\":", SBE_TICK_TS_EVENT_AT},
    };
    if (options->protocol != BENCH_RINGCAST) {
        bench_options_fail("--encoding sbe needs --protocol ringcast%s", "");
        return false;
    }
    for (size_t i = 0; i < COUNT(times); i++) {
        if (strcmp(options->time_pattern, times[i].pattern) == 0) {
            options->sbe_time_at = times[i].at;
        }
    }
    if (options->sbe_time_at == 0 || strcmp(options->time_unit, "ns") != 0 ||
        strcmp(options->seq_pattern, "\"seq\":") != 0 ||
        strcmp(options->channel_pattern, "\"ch\":") != 0) {
        bench_options_fail("--encoding sbe has its fields at fixed places: of the patterns only "
                           "--time-pattern may be given, as \"ts_pub\":, \"ts_recv\": or "
                           "\"ts_event\":%s",
                           "");
        return false;
    }
    return true;
}

static bool bench_options_encoding(struct bench_options *options)
{
    static const char *const names[] = {"json", "sbe", "deflate"};
    size_t i = 0;
    while (i < COUNT(names) && strcmp(options->encoding_name, names[i]) != 0) {
        i++;
    }
    if (i == COUNT(names)) {
        bench_options_fail("--encoding: '%s' is not json, sbe or deflate", options->encoding_name);
        return false;
    }
    options->encoding = (enum bench_encoding)i;
    return options->encoding != BENCH_SBE || bench_options_sbe(options);
}

/* Without times there are no latencies. */
static bool bench_options_times(struct bench_options *options)
{
    const char *wanting = options->until_text != NULL    ? "--until"
                          : options->latency             ? "--latency"
                          : options->hdr_path != NULL    ? "--hdr-log"
                          : options->plot_path != NULL   ? "--plot"
                          : options->hgrm_path != NULL   ? "--hgrm"
                          : options->slow_tick_count > 0 ? "--slow-ticks"
                                                         : NULL;
    if (options->time_pattern[0] == 0 && wanting != NULL) {
        bench_options_fail("%s needs the times in the messages, and --time-pattern is empty",
                           wanting);
        return false;
    }
    return true;
}

/* Options that another protocol would silently ignore. */
static bool bench_options_fit_protocol(struct bench_options *options)
{
    enum bench_protocol protocol = options->protocol;
    bool has_place =
        strstr(options->url.path, BENCH_TEMPLATE_PLACE) != NULL ||
        (options->send_text != NULL && strstr(options->send_text, BENCH_TEMPLATE_PLACE) != NULL);
    if (protocol != BENCH_RINGCAST &&
        (options->role_counts[BENCH_RESUBSCRIBER] > 0 || options->snapshot || options->depth > 0 ||
         options->types != NULL)) {
        bench_options_fail("--resubscribers, --snapshot, --depth and --types need --protocol "
                           "ringcast%s",
                           "");
        return false;
    }
    if (protocol == BENCH_PLAIN && options->at_once) {
        bench_options_fail("--at-once needs a protocol with a subscription: ringcast, nats or "
                           "mqtt%s",
                           "");
        return false;
    }
    if (protocol == BENCH_RINGCAST && options->ignored.count > 0) {
        bench_options_fail("--ignore needs another --protocol: ringcast's messages are known%s",
                           "");
        return false;
    }
    if (protocol != BENCH_PLAIN && options->subprotocol != NULL) {
        bench_options_fail("--subprotocol needs --protocol plain; the others have their own%s", "");
        return false;
    }
    if (options->subprotocol != NULL &&
        !ws_headers_is_token(options->subprotocol, strlen(options->subprotocol))) {
        bench_options_fail("--subprotocol: '%s' is not the name of a subprotocol",
                           options->subprotocol);
        return false;
    }
    if (protocol != BENCH_PLAIN && options->send_text != NULL) {
        bench_options_fail("--send needs --protocol plain; the others have a subscription%s", "");
        return false;
    }
    if (protocol == BENCH_PLAIN && options->subscription_count > 0 && !has_place) {
        bench_options_fail("--subscriptions with --protocol plain needs {symbols} in the URL or in "
                           "--send: nothing else tells the server what was drawn%s",
                           "");
        return false;
    }
    if (options->send_text != NULL && strlen(options->send_text) > WS_CLIENT_MESSAGE_BYTES_MAX) {
        bench_options_fail("--send: over 16384 bytes%s", "");
        return false;
    }
    options->types = options->types == NULL ? "quote" : options->types;
    return true;
}

/* The subjects of NATS and the topics of MQTT. */
static bool bench_options_topic(struct bench_options *options)
{
    bool is_mqtt = options->protocol == BENCH_MQTT;
    if (!is_mqtt && options->protocol != BENCH_NATS) {
        return options->topic == NULL ||
               bench_options_fail("--topic needs --protocol nats or mqtt%s", "") == 0;
    }
    options->topic = options->topic != NULL ? options->topic
                     : is_mqtt              ? BENCH_MQTT_TOPIC
                                            : BENCH_NATS_TOPIC;
    if (strstr(options->topic, "{symbol}") == NULL ||
        strlen(options->topic) > BENCH_BROKER_TEMPLATE_BYTES_MAX) {
        bench_options_fail("--topic: '%s' has no {symbol}, or over 128 bytes", options->topic);
        return false;
    }
    for (const char *at = options->symbols; is_mqtt && *at != 0;) {
        size_t bytes = strcspn(at, ",");
        if (bytes > 1 && memchr(at, '*', bytes) != NULL) {
            bench_options_fail("--symbols: '%s': MQTT has no such pattern. + is any one level of "
                               "a topic, # is all further levels, * alone is +",
                               at);
            return false;
        }
        at += bytes + (at[bytes] == ',');
    }
    return true;
}

/* The subscription in the URL of each connection, as in docs/protocol.md, unless the URL has its
 * own place for the symbols. */
static bool bench_options_by_url(struct bench_options *options)
{
    char *path = options->url.path;
    size_t bytes = strlen(path);
    if (!options->by_url) {
        return true;
    }
    if (options->protocol != BENCH_RINGCAST || options->at_once) {
        bench_options_fail("--by-url needs --protocol ringcast, and does not go with --at-once%s",
                           "");
        return false;
    }
    for (const char *at = options->symbols; *at != 0; at++) {
        if (strchr("%&+# ", *at) != NULL || *at < ' ' || *at > '~') {
            bench_options_fail("--by-url: --symbols %s: a symbol may not need percent-encoding",
                               options->symbols);
            return false;
        }
    }
    if (strstr(path, "{symbols}") != NULL) {
        return true;
    }
    int more = snprintf(path + bytes, sizeof options->url.path - bytes,
                        "%ctypes=%s&on_lag=skip&snapshot=%s&symbols={symbols}",
                        strchr(path, '?') == NULL ? '?' : '&', options->types,
                        options->snapshot ? "true" : "false");
    if (options->depth > 0 && bytes + (size_t)more < sizeof options->url.path) {
        bytes += (size_t)more;
        more =
            snprintf(path + bytes, sizeof options->url.path - bytes, "&depth=%u", options->depth);
    }
    if (bytes + (size_t)more >= sizeof options->url.path) {
        bench_options_fail("--by-url: the URL is too long%s", "");
        return false;
    }
    return true;
}

/* "rate=100" in what the publisher is asked for. */
static double bench_options_published(const struct bench_options *options, const char *name)
{
    const char *found = options->publish == NULL ? NULL : strstr(options->publish, name);
    return found == NULL ? 0.0 : strtod(found + strlen(name), NULL);
}

static bool bench_options_publish(struct bench_options *options)
{
    double burst = bench_options_published(options, "burst=");
    options->publish_rate = bench_options_published(options, "rate=");
    options->publish_burst = burst > 1.0 ? burst : 1.0;
    if (options->publish != NULL && options->seq_pattern[0] == 0) {
        bench_options_fail("--publish needs --seq-pattern: ticks without numbers cannot be "
                           "counted%s",
                           "");
        return false;
    }
    return true;
}

/* --publish-to: the publisher's URL. That of HTTP is read as that of a WebSocket. */
static bool bench_options_publish_url(struct bench_options *options)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    char text[WS_CLIENT_PATH_BYTES_MAX + 300];
    const char *given = options->publish_to;
    options->publish_by_http = strncmp(given, "http://", 7) == 0;
    snprintf(text, sizeof text, "%s%s", options->publish_by_http ? "ws" : "",
             given + (options->publish_by_http ? 4 : 0));
    if (ws_client_parse_url(&options->publish_url, text, error) != 0) {
        bench_options_fail("--publish-to: '%s' is not like ws://host:port/path or "
                           "http://host:port/path",
                           given);
        return false;
    }
    const char *host_end = strchr(given + 7, '/');
    if (options->publish_by_http &&
        memchr(given + 7, ':',
               host_end == NULL ? strlen(given + 7) : (size_t)(host_end - given - 7)) == NULL) {
        strcpy(options->publish_url.port, "80");
    }
    return true;
}

static bool bench_options_publish_to(struct bench_options *options)
{
    if (options->publish_to == NULL) {
        bool is_alone = options->publish_to_rate > 0 || options->publish_template != NULL;
        return !is_alone ||
               bench_options_fail("--publish-rate and --publish-template need --publish-to%s",
                                  "") == 0;
    }
    if (options->protocol == BENCH_RINGCAST || options->echo || options->publish != NULL) {
        bench_options_fail("--publish-to needs --protocol plain, nats or mqtt (a ringcast has its "
                           "own ticks), and does not go with --echo and --publish%s",
                           "");
        return false;
    }
    if (options->time_unit_ns == 0) {
        bench_options_fail("--publish-to: {time} is a number: --time-unit ns, us, ms or s%s", "");
        return false;
    }
    if (options->publish_by_http && options->protocol != BENCH_PLAIN) {
        bench_options_fail("--publish-to http://.. needs --protocol plain%s", "");
        return false;
    }
    options->publish_template =
        options->publish_template == NULL ? PUBLISH_TEMPLATE : options->publish_template;
    if (strlen(options->publish_template) > WS_CLIENT_MESSAGE_BYTES_MAX / 2) {
        bench_options_fail("--publish-template: over 8192 bytes%s", "");
        return false;
    }
    options->publish_rate = options->publish_to_rate == 0 ? PUBLISH_RATE : options->publish_to_rate;
    return true;
}

static bool bench_options_crowds(struct bench_options *options)
{
    uint64_t others = 0;
    for (uint32_t role = BENCH_STALLED; role < BENCH_ROLES; role++) {
        others += options->role_counts[role];
    }
    if (others > options->connection_count ||
        options->silent_count > options->role_counts[BENCH_STALLED]) {
        bench_options_fail(
            "light, stalled, slow and all other special connections are a part of -c, and the "
            "silent ones of --stalled%s",
            "");
        return false;
    }
    if (options->until_percent > 0.0 && others > 0) {
        bench_options_fail("--until goes with readers only%s", "");
        return false;
    }
    if (options->request_count > 0 && (options->protocol != BENCH_RINGCAST || options->echo ||
                                       options->until_percent > 0.0 || others > 0)) {
        bench_options_fail("--requests are those of ringcast's readers: no other --protocol, no "
                           "--echo, --until or special connections%s",
                           "");
        return false;
    }
    options->role_counts[BENCH_READER] = options->connection_count - (uint32_t)others;
    return true;
}

/* The further header lines of each upgrade request. */
static bool bench_options_headers(struct bench_options *options)
{
    char error[WS_HEADERS_ERROR_BYTES_MAX];
    int result = 0;
    for (uint32_t i = 0; i < options->header_lines.count && result == 0; i++) {
        result = ws_headers_add(&options->headers, options->header_lines.list[i], error);
    }
    if (result == 0 && options->token != NULL) {
        result = ws_headers_add_token(&options->headers, options->token, error);
    }
    if (result == 0 && options->token_file != NULL) {
        result = ws_headers_add_token_file(&options->headers, options->token_file, error);
    }
    if (result != 0) {
        bench_options_fail("%s", error);
    }
    return result == 0;
}

int bench_options_finish(struct bench_options *options)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    if (ws_client_parse_url(&options->url, options->url_text, error) != 0) {
        return bench_options_fail("%s", error);
    }
    if (options->publish_to != NULL && !bench_options_publish_url(options)) {
        return 1;
    }
    if (!bench_options_echo(options) || !bench_options_until(options) ||
        !bench_options_protocol(options) || !bench_options_encoding(options) ||
        !bench_options_fit_protocol(options) || !bench_options_times(options) ||
        !bench_options_topic(options) || !bench_options_by_url(options) ||
        !bench_options_publish(options) || !bench_options_publish_to(options) ||
        !bench_options_headers(options) || !bench_options_crowds(options)) {
        return 1;
    }
    if (options->duration_ns == 0) {
        return bench_options_fail("--duration must be greater than 0%s", "");
    }
    if (options->thread_count > options->connection_count && options->until_percent == 0.0) {
        fprintf(stderr,
                "ringcast-bench: only %u of the %u threads are used, one for each connection\n",
                options->connection_count, options->thread_count);
        options->thread_count = options->connection_count;
    }
    return -1;
}
