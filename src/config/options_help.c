#include "src/config/options_help.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "feeds/feed.h"
#include "src/config/options_variables.h"

#define HELP_NAME_COLUMNS 26 /* of an option and its value, in the list of --help */
#define HELP_TEXT_BYTES_MAX 512

static const struct options_help_topic {
    const char *name;
    const char *about;
    const char *text; /* before the options; NULL: none */
} options_help_topics[] = {
    [OPTION_GROUP_SERVING] = {"serving", "addresses, compression, heartbeats, shutdown", NULL},
    [OPTION_GROUP_FEEDS] = {"feeds", "where ticks come from, and the keys of each feed", NULL},
    [OPTION_GROUP_ACCESS] = {"access", "tokens, JWTs, origins of web pages, addresses, proxies",
                             "Without these options, every client may connect and subscribe to "
                             "everything.\nThe limits of each client are in `ringcast help "
                             "limits`. See docs/access.md.\n"},
    [OPTION_GROUP_TLS] =
        {"tls", "wss: certificates of the server and of clients",
         "Without --tls-port, the server speaks no TLS. The files are read again by "
         "a\nreload, and when one of them changes. See docs/tls.md.\n"},
    [OPTION_GROUP_LIMITS] = {"limits", "how many clients, subscriptions and messages", NULL},
    [OPTION_GROUP_MEMORY] = {"memory", "frame logs, send buffers, watermarks",
                             "docs/memory.md explains how to size a machine or a container.\n"},
    [OPTION_GROUP_PERFORMANCE] = {"performance", "threads, CPUs, busy polling, zero copy", NULL},
    [OPTION_GROUP_ADMIN] = {"admin", "the HTTP server for statistics, metrics and control; alerts",
                            "docs/admin.md lists its paths, and who may use them.\n"},
    [OPTION_GROUP_LOGGING] = {"logging", "the log, the access log and the audit log", NULL},
    [OPTION_GROUP_CONFIG] =
        {"config", "the configuration file, variables, profiles, version",
         "The server takes each value from the first of these places that has it:\n"
         "  1. the option on the command line\n"
         "  2. the option's environment variable\n"
         "  3. the file that --config names\n"
         "  4. for a file of secrets: $CREDENTIALS_DIRECTORY, which systemd sets\n"
         "  5. the profile that ENVIRONMENT names: development, test or production\n"
         "  6. the default\n\n"
         "The variable of an option is RINGCAST_ and the name in capitals, with _ for -:\n"
         "RINGCAST_LOG_LEVEL=DEBUG, RINGCAST_ENABLE_AUTH=yes. RINGCAST_FEED and\n"
         "RINGCAST_TLS_CERTIFICATE may have several values, separated by semicolons.\n\n"
         "The file is YAML. docs/ringcast.yaml has every key with its default:\n\n"
         "  websocket:\n"
         "    port: 9000\n"
         "  feeds:\n"
         "    - sim:symbols=500,rate=20000\n\n"
         "To try a change: ringcast --config FILE --check-config\n"
         "To see what counts, and why: ringcast --config FILE --print-config\n"},
    {"values", "how sizes, durations and lists are written",
     "Write --name value or --name=value. If an option is repeated, the last value\n"
     "counts; each --feed adds a feed, and each --tls-certificate a certificate.\n\n"
     "  flags      --busy-poll turns a flag on, --busy-poll=no turns it off\n"
     "  sizes      bytes, or a number with k, m or g (powers of 1024): 64m\n"
     "  durations  seconds, with decimals: 0.5 (--max-lag-ms: milliseconds)\n"
     "  lists      items separated by commas: 10.0.0.0/8,192.0.2.7\n"
     "  cores      2 is a number of threads; 0,3 and 2-5 and 3-3 are lists of CPUs\n"},
    {"signals", "what each signal does",
     "  SIGINT, SIGTERM   end the server: clients are notified, and closed over the\n"
     "                    time of --drain-timeout; a second signal ends it at once\n"
     "  SIGHUP            reads the configuration again: docs/reload.md\n"
     "  SIGUSR1           reopens the files of the logs, as after a rotation\n"
     "  SIGUSR2           writes a directory that describes the process: --dump-dir\n"},
    {"exit-codes", "what each exit code means",
     "  0  The server ended after SIGINT or SIGTERM, or the help, the version or\n"
     "     --check-config was successful.\n"
     "  1  The server could not start, or a thread failed, or the shutdown was\n"
     "     forced by a second signal, or the threads did not end in time.\n"
     "  2  An option, a variable, the file, or something that they name (a feed, a\n"
     "     token file, a key, a host, a path) is not valid.\n"},
};
#define HELP_TOPIC_COUNT (sizeof options_help_topics / sizeof options_help_topics[0])
static_assert(HELP_TOPIC_COUNT == OPTION_GROUP_CONFIG + 4, "each group has a topic, and 3 texts");

/* Prints words up to the last column. at: the column of the next character, from 0; new lines begin
 * at indent. */
static void options_help_wrap(FILE *out, const char *text, size_t indent, size_t at)
{
    assert_always(indent < OPTIONS_HELP_COLUMNS);
    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");
        if (at > indent && at + 1 + bytes > OPTIONS_HELP_COLUMNS) {
            fputc('\n', out);
            at = 0;
        }
        if (at <= indent) {
            at += (size_t)fprintf(out, "%*s", (int)(indent - at), "");
        } else {
            at += (size_t)fprintf(out, " ");
        }
        at += (size_t)fprintf(out, "%.*s", (int)bytes, text);
        text += bytes + strspn(text + bytes, " ");
    }
    fputc('\n', out);
}

static void options_help_add(char text[HELP_TEXT_BYTES_MAX], const char *before, const char *what,
                             const char *after)
{
    size_t used = strlen(text);
    assert_debug(used + strlen(before) + strlen(what) + strlen(after) < HELP_TEXT_BYTES_MAX);
    snprintf(text + used, HELP_TEXT_BYTES_MAX - used, "%s%s%s", before, what, after);
}

/* What the option does, and its choices. */
static void options_help_meaning(const struct option_spec *spec, char text[HELP_TEXT_BYTES_MAX])
{
    snprintf(text, HELP_TEXT_BYTES_MAX, "%s", spec->help);
    for (int i = 0; spec->choices != NULL && spec->choices[1] != NULL && spec->choices[i] != NULL;
         i++) {
        options_help_add(text, i == 0 ? " One of: " : ", ", spec->choices[i],
                         spec->choices[i + 1] == NULL ? "." : "");
    }
}

static size_t options_help_print_name(FILE *out, const struct option_spec *spec)
{
    return (size_t)fprintf(out, "  --%s%s%s", spec->name, spec->value_name == NULL ? "" : " ",
                           spec->value_name == NULL ? "" : spec->value_name);
}

static void options_help_print_short(FILE *out, const struct option_spec *spec)
{
    char text[HELP_TEXT_BYTES_MAX];
    options_help_meaning(spec, text);
    if (spec->default_text != NULL) {
        options_help_add(text, " Default: ", spec->default_text, ".");
    }
    size_t at = options_help_print_name(out, spec);
    assert_always(at < HELP_NAME_COLUMNS);
    options_help_wrap(out, text, HELP_NAME_COLUMNS, at);
}

/* With the places that its value may come from. */
static void options_help_print_full(FILE *out, const struct option_spec *spec)
{
    char text[HELP_TEXT_BYTES_MAX];
    char variable[OPTIONS_VARIABLES_NAME_BYTES_MAX];
    options_help_print_name(out, spec);
    fputc('\n', out);
    options_help_meaning(spec, text);
    options_help_wrap(out, text, 6, 0);
    text[0] = '\0';
    if (spec->default_text != NULL) {
        options_help_add(text, "Default: ", spec->default_text, ". ");
    }
    if (spec->key != NULL) {
        options_help_add(text, "Key: ", spec->key, ". ");
    }
    options_variables_name(spec, variable);
    if (variable[0] != '\0') {
        options_help_add(text, "Variable: ", variable, spec->variable == NULL ? "." : "");
    }
    if (spec->variable != NULL) {
        options_help_add(text, " or ", spec->variable, ".");
    }
    if (text[0] != '\0') {
        options_help_wrap(out, text, 6, 0);
    }
}

/* A feed's keys, indented. */
static void options_help_print_feed(FILE *out, const struct feed_ops *feed)
{
    fprintf(out, "\n  %s\n", feed->name);
    for (const char *line = feed->help; *line != '\0';) {
        size_t bytes = strcspn(line, "\n");
        fprintf(out, "      %.*s\n", (int)bytes, line);
        line += bytes + (line[bytes] == '\n');
    }
}

static void options_help_print_group(FILE *out, size_t group)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    const struct options_help_topic *topic = &options_help_topics[group];
    assert_always(group < HELP_TOPIC_COUNT);
    fprintf(out, "%s: %s\n\n", topic->name, topic->about);
    if (topic->text != NULL) {
        fprintf(out, "%s%s", topic->text, group < OPTION_GROUP_NONE ? "\n" : "");
    }
    for (size_t i = 0; i < count && group < OPTION_GROUP_NONE; i++) {
        if ((table[i].group & ~OPTION_COMMON) == group) {
            options_help_print_full(out, &table[i]);
        }
    }
    if (group == OPTION_GROUP_FEEDS) {
        fprintf(out, "\nKeys of each feed, with their defaults "
                     "(--feed NAME:key=value,key=value):\n");
        for (size_t i = 0; feed_at(i) != NULL; i++) {
            options_help_print_feed(out, feed_at(i));
        }
    }
}

void options_help_print(FILE *out)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    fprintf(out, "Common options:\n");
    for (size_t i = 0; i < count; i++) {
        if ((table[i].group & OPTION_COMMON) != 0) {
            options_help_print_short(out, &table[i]);
        }
    }
    fprintf(out, "\nTopics of `ringcast help TOPIC`:\n");
    for (size_t i = 0; i < HELP_TOPIC_COUNT; i++) {
        fprintf(out, "  %-12s %s\n", options_help_topics[i].name, options_help_topics[i].about);
    }
    fprintf(out, "  %-12s %s\n", "all", "all of these");
}

/* The topics, then the options. */
static int options_help_refuse(const char *topic, char *error_out)
{
    const char *names[HELP_TOPIC_COUNT + 1 + OPTIONS_TABLE_MAX] = {"all"};
    char topics[HELP_TEXT_BYTES_MAX] = "";
    size_t name_count = 1;
    size_t count;
    const struct option_spec *table = options_table(&count);
    assert_always(count <= OPTIONS_TABLE_MAX);
    for (size_t i = 0; i < HELP_TOPIC_COUNT; i++) {
        names[name_count++] = options_help_topics[i].name;
        options_help_add(topics, "", options_help_topics[i].name, ", ");
    }
    for (size_t i = 0; i < count; i++) {
        if (table[i].name != NULL) {
            names[name_count++] = table[i].name;
        }
    }
    const char *nearest = nearest_name(topic, names, name_count);
    snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
             "unknown help topic \"%.100s\"%s%s%s Give an option or one of: %sall", topic,
             nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
             nearest == NULL ? "." : "?", topics);
    return -EINVAL;
}

int options_help_print_topic(FILE *out, const char *topic, char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    bool is_all = strcmp(topic, "all") == 0;
    bool is_found = false;
    for (size_t i = 0; i < HELP_TOPIC_COUNT; i++) {
        if (is_all || strcmp(topic, options_help_topics[i].name) == 0) {
            fputs(is_found ? "\n" : "", out);
            options_help_print_group(out, i);
            is_found = true;
        }
    }
    if (is_found) {
        return 0;
    }
    const char *name = topic + strspn(topic, "-");
    const struct option_spec *spec = options_find(name, strlen(name));
    if (spec == NULL) {
        return options_help_refuse(name, error_out);
    }
    options_help_print_full(out, spec);
    return 0;
}
