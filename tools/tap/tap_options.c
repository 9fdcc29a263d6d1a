#include "tools/tap/tap_options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "tools/common/quantity.h"

#define CONNECTIONS_MAX 100000
#define COUNT_MAX 1000000000000000
#define INTERVAL_MS_MAX 60000
#define DEPTH_MAX 1000
#define DIGITS_MAX 19 /* of a number of 64 bits */

/* Options without a letter. */
enum tap_option {
    OPTION_SNAPSHOT = 256,
    OPTION_UNIX,
    OPTION_DEPTH,
    OPTION_BAR,
    OPTION_INTERVAL,
    OPTION_ON_LAG,
    OPTION_REPLAY,
    OPTION_LIST,
    OPTION_PRINT,
    OPTION_STATS,
    OPTION_RECORD,
    OPTION_RESUME,
    OPTION_CHANNELS,
    OPTION_ENCODING,
    OPTION_TOKEN,
    OPTION_TOKEN_FILE,
    OPTION_CACERT,
    OPTION_CERT,
    OPTION_INSECURE,
    OPTION_VERSION,
};

static const char help[] =
    "Usage: ringcast-tap [options] URL\n"
    "\n"
    "Subscribes to a ringcast server and prints each tick as a line.\n"
    "URL is ws://host[:port][/path], wss://host[:port][/path] or unix:///path.\n"
    "\n"
    "What to subscribe to:\n"
    "  -s, --symbols A,B|*         symbols or patterns (*); if repeated, the lists add up\n"
    "  -y, --types quote,trade     data types (quote); if repeated, the lists add up\n"
    "      --depth N               order books with N levels a side: 5, 10, 20 or 50\n"
    "      --bar 1s|1m|5m          bars of this interval\n"
    "      --interval-ms N         only the newest image, at most once in N milliseconds\n"
    "      --on-lag POLICY         if this client is too slow: skip, conflate, disconnect\n"
    "      --snapshot yes|no       begin with the newest tick of each channel (yes)\n"
    "      --replay-from SEQ|TIME  begin with past ticks: from this seq, from a time such\n"
    "                              as 2026-01-31T09:30:00Z, or from 30s or 5m ago\n"
    "      --list                  list the symbols that match --symbols, and end\n"
    "\n"
    "When to end (Ctrl-C ends it, too):\n"
    "  -n, --count N               after N ticks (of the first connection)\n"
    "  -d, --duration TIME         after 10, 500ms, 10s, 5m or 1h; without unit: seconds\n"
    "\n"
    "What to print and keep:\n"
    "  -j, --json                  ticks only, each as its JSON text on one line\n"
    "  -q, --quiet                 no ticks (implied by --verify and --stats)\n"
    "      --print                 ticks, also with --verify or --stats\n"
    "      --stats                 rates and latencies, a line a second\n"
    "      --record FILE           write what is received to a capture for --feed replay:\n"
    "      --resume FILE           keep the position in FILE; reconnect and continue there\n"
    "\n"
    "To check that everything arrives:\n"
    "  -V, --verify                check every frame; end with a certificate\n"
    "  -c, --connections N         compare the frames of N connections, with --verify (1)\n"
    "      --channels              list each channel in the certificate\n"
    "\n"
    "How to connect:\n"
    "      --encoding NAME         json, sbe or deflate (json)\n"
    "      --token TOKEN           log in; other users of this host can see TOKEN in ps\n"
    "      --token-file FILE       log in with the token that FILE contains\n"
    "  -H, --header 'Name: value'  send this header, too; may be repeated\n"
    "      --unix PATH             the same as the URL unix://PATH\n"
    "      --cacert FILE           wss: accept certificates of the CAs in FILE only\n"
    "      --cert CHAIN[,KEY]      wss: this client certificate, and its key\n"
    "      --insecure              wss: accept any certificate of the server\n"
    "\n"
    "  -h, --help\n"
    "      --version\n"
    "\n"
    "Exit codes:\n"
    "  0  done: all went well; with --verify the certificate is COMPLETE\n"
    "  1  an option or the URL is not valid\n"
    "  2  the server refused the connection or the subscription, or closed the connection\n"
    "  3  --verify: the certificate is INCOMPLETE\n"
    "  4  no connection to the server\n"
    "  5  standard output or a file cannot be written\n"
    "  6  no tick arrived, or fewer than --count\n";

static const struct option long_options[] = {
    {"symbols", required_argument, NULL, 's'},
    {"types", required_argument, NULL, 'y'},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"bar", required_argument, NULL, OPTION_BAR},
    {"interval-ms", required_argument, NULL, OPTION_INTERVAL},
    {"on-lag", required_argument, NULL, OPTION_ON_LAG},
    {"snapshot", required_argument, NULL, OPTION_SNAPSHOT},
    {"replay-from", required_argument, NULL, OPTION_REPLAY},
    {"list", no_argument, NULL, OPTION_LIST},
    {"count", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"print", no_argument, NULL, OPTION_PRINT},
    {"stats", no_argument, NULL, OPTION_STATS},
    {"record", required_argument, NULL, OPTION_RECORD},
    {"resume", required_argument, NULL, OPTION_RESUME},
    {"verify", no_argument, NULL, 'V'},
    {"connections", required_argument, NULL, 'c'},
    {"channels", no_argument, NULL, OPTION_CHANNELS},
    {"encoding", required_argument, NULL, OPTION_ENCODING},
    {"token", required_argument, NULL, OPTION_TOKEN},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"header", required_argument, NULL, 'H'},
    {"unix", required_argument, NULL, OPTION_UNIX},
    {"cacert", required_argument, NULL, OPTION_CACERT},
    {"cert", required_argument, NULL, OPTION_CERT},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

/* Intermediate values on the way to struct tap_options. */
struct tap_given {
    const char *unix_path;
    bool quiet, print, snapshot;
};

/* ---- Values ---- */

static bool tap_options_whole(const char *name, const char *text, uint64_t max,
                              uint64_t *number_out)
{
    if (!quantity_count(text, max, number_out) || *number_out == 0) {
        fprintf(stderr, "ringcast-tap: %s: '%s' is not a whole number from 1 to %" PRIu64 "\n",
                name, text, max);
        return false;
    }
    return true;
}

static bool tap_options_whole32(const char *name, const char *text, uint32_t max,
                                uint32_t *number_out)
{
    uint64_t number;
    if (!tap_options_whole(name, text, max, &number)) {
        return false;
    }
    *number_out = (uint32_t)number;
    return true;
}

static bool tap_options_duration(const char *text, uint64_t *ns_out)
{
    if (!quantity_time(text, NS_PER_SECOND, ns_out) || *ns_out == 0) {
        fprintf(stderr,
                "ringcast-tap: --duration: '%s' is not a time above 0 and up to %d seconds, such "
                "as 10, 500ms, 10s, 5m or 1h\n",
                text, QUANTITY_SECONDS_MAX);
        return false;
    }
    return true;
}

/* 2026-01-31T09:30:00Z, perhaps with a fraction of the second. */
static bool tap_options_date(const char *text, uint64_t *ns_out)
{
    struct tm utc = {0};
    uint64_t ns = 0;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (at == NULL) {
        return false;
    }
    if (*at == '.') {
        at++;
        for (uint64_t unit = NS_PER_SECOND / 10; *at >= '0' && *at <= '9'; unit /= 10) {
            ns += (uint64_t)(*at++ - '0') * unit;
        }
    }
    int day = utc.tm_mday;
    time_t seconds = timegm(&utc);
    *ns_out = (uint64_t)seconds * NS_PER_SECOND + ns;
    return seconds > 0 && utc.tm_mday == day && strcmp(at, "Z") == 0; /* no February 30 */
}

/* A seq, nanoseconds since the Unix epoch, a date, or how long ago. */
static bool tap_options_replay(const char *text, uint64_t *from_out)
{
    uint64_t ago_ns;
    size_t digits = strspn(text, "0123456789");
    if (text[digits] == 0 && digits > 0 && digits <= DIGITS_MAX) {
        *from_out = strtoull(text, NULL, 10);
        return *from_out > 0;
    }
    if (quantity_time(text, 0, &ago_ns)) {
        uint64_t now_ns = clock_ns(CLOCK_REALTIME);
        *from_out = now_ns - (ago_ns < now_ns ? ago_ns : now_ns - 1);
        return true;
    }
    return tap_options_date(text, from_out);
}

/* Adds to what was given before. Returns the whole, or NULL: it is too long. */
static const char *tap_options_add(char list[WS_CLIENT_MESSAGE_BYTES_MAX], const char *value)
{
    size_t used = strlen(list);
    size_t room = WS_CLIENT_MESSAGE_BYTES_MAX - used;
    int bytes = snprintf(list + used, room, "%s%s", used == 0 ? "" : ",", value);
    if (bytes < 0 || (size_t)bytes >= room) {
        fprintf(stderr, "ringcast-tap: too many symbols or types for one message\n");
        return NULL;
    }
    return list;
}

/* The place of value in names; -1, and it is reported: it is none of them. */
static int tap_options_choose(const char *option, const char *value, const char *const *names,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, names[i]) == 0) {
            return (int)i;
        }
    }
    fprintf(stderr, "ringcast-tap: %s: '%s' is not one of", option, value);
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", names[i]);
    }
    fputc('\n', stderr);
    return -1;
}

/* "-" is not the standard output, since that has the ticks. */
static bool tap_options_file(const char *option, const char *path)
{
    if (path[0] == 0 || strcmp(path, "-") == 0) {
        fprintf(stderr, "ringcast-tap: %s needs the name of a file, not '%s'\n", option, path);
        return false;
    }
    return true;
}

/* ---- Options ---- */

static bool tap_options_take_subscription(struct tap_options *options, struct tap_given *given,
                                          int option, const char *value)
{
    static const char *const bars[] = {"1s", "1m", "5m"};
    static const char *const policies[] = {"skip", "conflate", "disconnect"};
    static const char *const answers[] = {"no", "yes"};
    struct ws_client_subscription *subscription = &options->subscription;
    int choice;
    switch (option) {
    case 's':
        subscription->symbols = tap_options_add(options->symbols, value);
        return subscription->symbols != NULL;
    case 'y':
        subscription->types = tap_options_add(options->types, value);
        return subscription->types != NULL;
    case OPTION_DEPTH:
        return tap_options_whole32("--depth", value, DEPTH_MAX, &subscription->depth);
    case OPTION_BAR:
        subscription->bar = value;
        return tap_options_choose("--bar", value, bars, 3) >= 0;
    case OPTION_INTERVAL:
        return tap_options_whole32("--interval-ms", value, INTERVAL_MS_MAX,
                                   &subscription->interval_ms);
    case OPTION_ON_LAG:
        subscription->on_lag = value;
        return tap_options_choose("--on-lag", value, policies, 3) >= 0;
    case OPTION_SNAPSHOT:
        choice = tap_options_choose("--snapshot", value, answers, 2);
        subscription->snapshot = choice == 1;
        given->snapshot = true;
        return choice >= 0;
    default:
        if (!tap_options_replay(value, &subscription->replay_from)) {
            fprintf(stderr,
                    "ringcast-tap: --replay-from: '%s' is neither a seq nor a time such as "
                    "2026-01-31T09:30:00Z or 5m (ago)\n",
                    value);
            return false;
        }
        return true;
    }
}

static bool tap_options_take_header(struct tap_options *options, int option, const char *value)
{
    char error[WS_HEADERS_ERROR_BYTES_MAX];
    int status;
    const char *name;
    if (option == OPTION_TOKEN) {
        name = "--token";
        status = ws_headers_add_token(&options->headers, value, error);
    } else if (option == OPTION_TOKEN_FILE) {
        name = "--token-file";
        status = ws_headers_add_token_file(&options->headers, value, error);
    } else {
        name = "--header";
        status = ws_headers_add(&options->headers, value, error);
    }
    if (status != 0) {
        fprintf(stderr, "ringcast-tap: %s: %s\n", name, error);
    }
    return status == 0;
}

static bool tap_options_take_encoding(struct tap_options *options, const char *value)
{
    static const char *const names[] = {
        [TAP_JSON] = "json", [TAP_SBE] = "sbe", [TAP_DEFLATE] = "deflate"};
    int choice = tap_options_choose("--encoding", value, names, 3);
    options->encoding = choice < 0 ? TAP_JSON : (enum tap_encoding)choice;
    return choice >= 0;
}

static void tap_options_take_tls(struct tls_client_options *tls, int option, const char *value)
{
    if (option == OPTION_CACERT) {
        tls->cacert = value;
    } else if (option == OPTION_CERT) {
        tls->cert = value;
    } else {
        tls->insecure = true;
    }
}

static bool tap_options_take(struct tap_options *options, struct tap_given *given, int option,
                             const char *value)
{
    switch (option) {
    case 'n':
        return tap_options_whole("--count", value, COUNT_MAX, &options->count);
    case 'd':
        return tap_options_duration(value, &options->duration_ns);
    case 'c':
        return tap_options_whole32("--connections", value, CONNECTIONS_MAX, &options->connections);
    case 'j':
        options->json = true;
        return true;
    case 'V':
        options->verify = true;
        return true;
    case 'q':
        given->quiet = true;
        return true;
    case OPTION_LIST:
        options->list = true;
        return true;
    case OPTION_PRINT:
        given->print = true;
        return true;
    case OPTION_STATS:
        options->stats = true;
        return true;
    case OPTION_RECORD:
        options->record_path = value;
        return tap_options_file("--record", value);
    case OPTION_RESUME:
        options->resume_path = value;
        return tap_options_file("--resume", value);
    case OPTION_CHANNELS:
        options->channels = true;
        return true;
    case OPTION_UNIX:
        given->unix_path = value;
        return true;
    case OPTION_ENCODING:
        return tap_options_take_encoding(options, value);
    case OPTION_CACERT:
    case OPTION_CERT:
    case OPTION_INSECURE:
        tap_options_take_tls(&options->tls, option, value);
        return true;
    case 'H':
    case OPTION_TOKEN:
    case OPTION_TOKEN_FILE:
        return tap_options_take_header(options, option, value);
    case '?':
        return false; /* getopt_long has printed the reason. */
    default:
        return tap_options_take_subscription(options, given, option, value);
    }
}

/* ---- What does not go together ---- */

/* Whether --list has beside it what would have no effect. */
static bool tap_options_list_has_more(const struct tap_options *options,
                                      const struct tap_given *given)
{
    const struct ws_client_subscription *subscription = &options->subscription;
    return strchr(options->symbols, ',') != NULL || options->types[0] != 0 ||
           subscription->depth != 0 || subscription->bar != NULL ||
           subscription->interval_ms != 0 || subscription->on_lag != NULL ||
           subscription->replay_from != 0 || given->snapshot || options->count != 0 ||
           options->duration_ns != 0 || given->quiet || given->print || options->verify ||
           options->stats || options->record_path != NULL || options->resume_path != NULL;
}

/* NULL: all is well. */
static const char *tap_options_conflict_of_output(const struct tap_options *options,
                                                  const struct tap_given *given)
{
    if (options->channels && !options->verify) {
        return "--channels needs --verify";
    }
    if (given->print && given->quiet) {
        return "--print and --quiet contradict each other";
    }
    if (options->connections > 1 &&
        (given->print || options->stats || options->record_path != NULL)) {
        return "--print, --stats and --record need one connection";
    }
    if (options->stats && options->json && !given->print && !options->verify) {
        return "--stats prints no ticks, and no JSON; add --print for ticks as JSON";
    }
    if (options->record_path != NULL && options->resume_path != NULL &&
        strcmp(options->record_path, options->resume_path) == 0) {
        return "--record and --resume need two files";
    }
    return NULL;
}

/* NULL: all is well. */
static const char *tap_options_conflict(const struct tap_options *options,
                                        const struct tap_given *given)
{
    const struct ws_client_subscription *subscription = &options->subscription;
    bool needs_names = subscription->depth != 0 || subscription->bar != NULL ||
                       subscription->interval_ms != 0 || subscription->replay_from != 0;
    if (options->list && tap_options_list_has_more(options, given)) {
        return "--list takes one pattern of --symbols, --json, and the options of How to connect";
    }
    if (needs_names && (options->symbols[0] == 0 || strchr(options->symbols, '*') != NULL)) {
        return "--depth, --bar, --interval-ms and --replay-from need --symbols with names, not "
               "patterns";
    }
    if (options->connections > 1 && !options->verify) {
        return "--connections needs --verify";
    }
    if (options->verify && subscription->on_lag != NULL &&
        strcmp(subscription->on_lag, "conflate") == 0) {
        return "--verify does not go with --on-lag conflate, which reports no loss";
    }
    if (given->snapshot && subscription->replay_from != 0) {
        return "--snapshot does not go with --replay-from, which begins with past ticks";
    }
    if (options->resume_path != NULL && (options->verify || subscription->replay_from != 0)) {
        return "--resume does not go with --verify or --replay-from";
    }
    return tap_options_conflict_of_output(options, given);
}

static void tap_options_set_defaults(struct tap_options *options, const struct tap_given *given)
{
    struct ws_client_subscription *subscription = &options->subscription;
    if (subscription->symbols == NULL) {
        subscription->symbols = "*";
    }
    if (subscription->types == NULL) {
        bool bar_and_depth = subscription->depth != 0 && subscription->bar != NULL;
        subscription->types = bar_and_depth               ? "depth,bar"
                              : subscription->depth != 0  ? "depth"
                              : subscription->bar != NULL ? "bar"
                                                          : "quote";
    }
    if (options->verify && subscription->on_lag == NULL) {
        subscription->on_lag = "skip"; /* Every loss is reported by GAP. */
    }
    options->prints_ticks =
        given->print || (!given->quiet && !options->verify && !options->stats && !options->list);
}

int tap_options_parse(struct tap_options *options_out, int argc, char **argv)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    char unix_url[128];
    struct tap_given given = {0};
    int option;
    *options_out = (struct tap_options){.connections = 1, .subscription.snapshot = true};
    while ((option = getopt_long(argc, argv, "s:y:n:d:jqVc:H:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return TAP_EXIT_DONE;
        }
        if (option == OPTION_VERSION) {
            puts("ringcast-tap " RINGCAST_VERSION);
            return TAP_EXIT_DONE;
        }
        if (!tap_options_take(options_out, &given, option, optarg)) {
            fprintf(stderr, "Try ringcast-tap --help\n");
            return TAP_EXIT_USAGE;
        }
    }
    const char *url = argv[optind];
    if (given.unix_path != NULL) {
        snprintf(unix_url, sizeof unix_url, "unix://%s", given.unix_path);
        url = unix_url;
    }
    if (optind + (given.unix_path == NULL) != argc) {
        fprintf(
            stderr,
            "ringcast-tap: give one URL, such as ws://localhost:8765. Try ringcast-tap --help\n");
        return TAP_EXIT_USAGE;
    }
    const char *conflict = tap_options_conflict(options_out, &given);
    if (conflict == NULL &&
        (ws_client_parse_url(&options_out->url, url, error) != 0 ||
         ws_client_secure_url(&options_out->url, &options_out->tls, error) != 0)) {
        conflict = error;
    }
    if (conflict != NULL) {
        fprintf(stderr, "ringcast-tap: %s\n", conflict);
        return TAP_EXIT_USAGE;
    }
    tap_options_set_defaults(options_out, &given);
    return -1;
}
