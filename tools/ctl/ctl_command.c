#include "tools/ctl/ctl_command.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/standard_fds.h"
#include "codec/nearest.h"
#include "tools/common/terminal_text.h"
#include "tools/ctl/ctl_options.h"
#include "tools/ctl/ctl_show.h"
#include "tools/ctl/ctl_table.h"
#include "tools/ctl/ctl_target.h"

#define PROGRAM "ringcast ctl"
#define CTL_TIMEOUT_SECONDS 30.0
#define CTL_PATH_BYTES_MAX 4096
#define CTL_DRAIN_SECONDS_MAX 3600.0
#define CTL_CLIENT_OPTIONS                                                                         \
    (CTL_BIT(CTL_SORT) | CTL_BIT(CTL_ORDER) | CTL_BIT(CTL_LIMIT) | CTL_BIT(CTL_OFFSET) |           \
     CTL_BIT(CTL_SESSION) | CTL_BIT(CTL_NAME) | CTL_BIT(CTL_ADDRESS) | CTL_BIT(CTL_ENCODING))

/* ---- Bodies of requests ---- */

/* false: the command line is not valid, and the reason is printed. */
typedef bool ctl_fill(const struct ctl_usage *usage, const struct ctl_options *options,
                      json_t *body);

static bool ctl_fill_kick(const struct ctl_usage *usage, const struct ctl_options *options,
                          json_t *body)
{
    const char *session =
        options->argument == NULL ? options->values[CTL_SESSION] : options->argument;
    const char *texts[] = {session, options->values[CTL_NAME], options->values[CTL_ADDRESS]};
    static const char *const keys[] = {"session", "name", "address"};
    double code;
    for (size_t i = 0; i < 3; i++) {
        if (texts[i] != NULL) {
            json_object_set_new(body, keys[i], json_string(texts[i]));
        }
    }
    if (json_object_size(body) != 1) {
        return ctl_options_refuse(usage, "give a session, --name or --address");
    }
    if (!ctl_options_number(options, usage, CTL_CODE, 4100, 4299, 0, &code)) {
        return false;
    }
    if (options->values[CTL_CODE] != NULL) {
        json_object_set_new(body, "code", json_integer((json_int_t)code));
    }
    return true;
}

static bool ctl_fill_drain(const struct ctl_usage *usage, const struct ctl_options *options,
                           json_t *body)
{
    double seconds;
    if (!ctl_options_number(options, usage, CTL_SECONDS, 0, CTL_DRAIN_SECONDS_MAX, 0, &seconds)) {
        return false;
    }
    if (options->values[CTL_WAIT] != NULL && options->values[CTL_URL] != NULL) {
        return ctl_options_refuse(usage, "--wait watches a process of this host; leave out --url");
    }
    if (options->values[CTL_SECONDS] != NULL) {
        json_object_set_new(body, "seconds", json_real(seconds));
    }
    return true;
}

static bool ctl_fill_loglevel(const struct ctl_usage *usage, const struct ctl_options *options,
                              json_t *body)
{
    (void)usage;
    if (options->argument != NULL) {
        json_object_set_new(body, "level", json_string(options->argument));
    }
    return true;
}

/* ---- The commands ---- */

struct ctl_row {
    const char *word;
    const char *summary;
    const char *path;
    bool is_post;   /* "GET" otherwise, with options as arguments of the path */
    ctl_fill *fill; /* NULL: the request has no body */
    ctl_show *show;
    struct ctl_usage usage;
};

#define OPTIONS (CTL_SERVER_OPTIONS | CTL_BIT(CTL_JSON))
static const struct ctl_row ctl_rows[] = {
    {"stats",
     "what the server does, in a few lines",
     "/stats",
     false,
     NULL,
     ctl_show_stats,
     {PROGRAM " stats", NULL,
      "Shows the state of the server, its clients, ticks, memory, and a line for each\n"
      "core. ringcast stat shows the same figures once a second.\n",
      OPTIONS}},
    {"clients",
     "who is connected, and how well each client keeps up",
     "/admin/clients",
     false,
     NULL,
     ctl_show_clients,
     {PROGRAM " clients", NULL,
      "Lists the clients. \"lag ms\" is how far a client is behind, \"lost\" the frames\n"
      "that it did not receive, \"quality\" a score from 0 to 100, and \"cause\" who is to\n"
      "blame when it is behind: the client, the network or the server.\n",
      OPTIONS | CTL_CLIENT_OPTIONS}},
    {"topk",
     "the busiest symbols, and the clients that lag most",
     "/admin/topk",
     false,
     NULL,
     ctl_show_topk,
     {PROGRAM " topk", NULL, "Lists the symbols with the most ticks, and the clients that lag.\n",
      OPTIONS | CTL_BIT(CTL_TOP)}},
    {"kick",
     "disconnect clients",
     "/admin/kick",
     true,
     ctl_fill_kick,
     ctl_show_kick,
     {PROGRAM " kick", "SESSION",
      "Disconnects one session, or all clients of a name, address or network. A client\n"
      "may connect again: to keep it out, change the tokens or --ip-deny, and reload.\n",
      OPTIONS | CTL_BIT(CTL_SESSION) | CTL_BIT(CTL_NAME) | CTL_BIT(CTL_ADDRESS) |
          CTL_BIT(CTL_CODE)}},
    {"drain",
     "close the clients one by one, and end",
     "/admin/drain",
     true,
     ctl_fill_drain,
     ctl_show_drain,
     {PROGRAM " drain", NULL,
      "Does what SIGTERM does: notifies the clients, closes them one by one over the\n"
      "given time, and ends the server.\n",
      OPTIONS | CTL_BIT(CTL_SECONDS) | CTL_BIT(CTL_WAIT)}},
    {"reload",
     "read the configuration again",
     "/admin/reload-config",
     true,
     NULL,
     ctl_show_reload,
     {PROGRAM " reload", NULL,
      "Does what SIGHUP does: reads the file, tokens and keys again, and applies all of\n"
      "it or nothing. Lists what was changed, and what needs a restart.\n",
      OPTIONS}},
    {"dump",
     "write the server's state into a directory",
     "/admin/dump",
     true,
     NULL,
     ctl_show_dump,
     {PROGRAM " dump", NULL,
      "Does what SIGUSR2 does: writes files for a report of a fault into one directory,\n"
      "on the server's host, and prints its path.\n",
      OPTIONS}},
    {"gc",
     "give memory that is not needed back to the kernel",
     "/admin/gc",
     true,
     NULL,
     ctl_show_gc,
     {PROGRAM " gc", NULL,
      "Gives back what the allocator keeps of memory that was freed, and prints by how\n"
      "much the resident memory has fallen.\n",
      OPTIONS}},
    {"feeds",
     "where the ticks come from",
     "/admin/feeds",
     false,
     NULL,
     ctl_show_feeds,
     {PROGRAM " feeds", NULL, "Lists the feeds, their states, and since when they have them.\n",
      OPTIONS}},
    {"loglevel",
     "show or change the lowest level that is logged",
     "/admin/loglevel",
     false,
     ctl_fill_loglevel,
     ctl_show_loglevel,
     {PROGRAM " loglevel", "LEVEL",
      "Without LEVEL, shows the lowest level that is logged. With DEBUG, INFO, WARNING,\n"
      "ERROR or CRITICAL, changes it until the next restart.\n",
      OPTIONS}},
    {"alerts",
     "what is wrong now, and what was",
     "/admin/alerts",
     false,
     NULL,
     ctl_show_alerts,
     {PROGRAM " alerts", NULL, "Lists the alerts that are active, and the history of alerts.\n",
      OPTIONS}},
    {"config",
     "the values in force, and where each is from",
     "/admin/config",
     false,
     NULL,
     ctl_show_config,
     {PROGRAM " config", NULL, "Lists the configuration. Secrets are shown as ***.\n", OPTIONS}},
};
#undef OPTIONS
#define CTL_ROW_COUNT (sizeof ctl_rows / sizeof ctl_rows[0])

/* ---- Requests ---- */

/* Options of GET become arguments of the path. false: they are too long. */
static bool ctl_write_path(const struct ctl_row *row, const struct ctl_options *options,
                           char out[CTL_PATH_BYTES_MAX])
{
    size_t used = (size_t)snprintf(out, CTL_PATH_BYTES_MAX, "%s", row->path);
    char before = '?';
    for (size_t i = 0; i < CTL_OPTION_COUNT; i++) {
        bool is_argument = (CTL_CLIENT_OPTIONS & CTL_BIT(i)) != 0 || i == CTL_TOP;
        if (row->is_post || !is_argument || options->values[i] == NULL) {
            continue;
        }
        const char *name = i == CTL_TOP ? "k" : ctl_options_name((enum ctl_option)i);
        used += (size_t)snprintf(out + used, CTL_PATH_BYTES_MAX - used, "%c%s=", before, name);
        before = '&';
        for (const char *at = options->values[i]; *at != '\0'; at++) {
            if (used + 4 >= CTL_PATH_BYTES_MAX - 64) { /* Another name has room. */
                return ctl_options_refuse(&row->usage, "--%s is too long",
                                          ctl_options_name((enum ctl_option)i));
            }
            bool is_plain = isalnum((unsigned char)*at) != 0 || strchr("-._~", *at) != NULL;
            used += (size_t)snprintf(out + used, CTL_PATH_BYTES_MAX - used,
                                     is_plain ? "%c" : "%%%02X", (unsigned char)*at);
        }
    }
    return true;
}

/* What the server says is wrong. */
static void ctl_say_error(const struct ctl_usage *usage, const struct http_reply *reply,
                          const json_t *answer)
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    fprintf(stderr, "%s: ", usage->program);
    if (error != NULL) {
        terminal_text_print(stderr, error, strlen(error));
    } else {
        fprintf(stderr, "the server answered with status %u", reply->status);
    }
    if (reply->status == 404) {
        fprintf(stderr, "; is it an older version, without this command?");
    }
    fputc('\n', stderr);
}

static enum ctl_exit ctl_print_reply(const struct ctl_row *row, const struct ctl_options *options,
                                     const struct http_reply *reply)
{
    json_t *answer = reply->body == NULL
                         ? NULL
                         : json_loadb(reply->body, reply->body_bytes, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = reply->status >= 200 && reply->status < 300;
    if (is_good && answer == NULL) {
        fprintf(stderr, "%s: the answer is not JSON; does ringcast listen there?\n",
                row->usage.program);
        return CTL_FAILED;
    }
    if (options->values[CTL_JSON] != NULL && answer != NULL) {
        json_dumpf(answer, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        fputc('\n', stdout);
    } else if (is_good) {
        row->show(stdout, ctl_table_width(), answer);
    }
    if (!is_good) {
        ctl_say_error(&row->usage, reply, answer);
    }
    json_decref(answer);
    return is_good ? CTL_DONE : CTL_FAILED;
}

/* --wait: until the server's process has ended. */
static void ctl_await_end(int pid_fd)
{
    struct pollfd ended = {.fd = pid_fd, .events = POLLIN};
    assert_always(pid_fd >= 0);
    fflush(stdout);
    while (poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
}

static enum ctl_exit ctl_run(const struct ctl_row *row, const struct ctl_options *options,
                             const char *body)
{
    struct ctl_target target;
    struct http_reply reply;
    char path[CTL_PATH_BYTES_MAX];
    int pid_fd = -1;
    bool waits = options->values[CTL_WAIT] != NULL;
    if (!ctl_write_path(row, options, path)) {
        return CTL_USAGE_ERROR;
    }
    enum ctl_exit result = ctl_target_find(&target, options, &row->usage, CTL_TIMEOUT_SECONDS);
    if (result != CTL_DONE) {
        return result;
    }
    bool is_post = row->is_post || body != NULL;
    result = ctl_target_ask(&target, &row->usage, is_post ? "POST" : "GET", path, body,
                            waits ? &pid_fd : NULL, &reply);
    if (result == CTL_DONE) {
        result = ctl_print_reply(row, options, &reply);
    }
    if (result == CTL_DONE && waits) {
        ctl_await_end(pid_fd);
    }
    if (pid_fd >= 0) {
        close(pid_fd);
    }
    http_reply_deinit(&reply);
    return result;
}

static enum ctl_exit ctl_run_row(const struct ctl_row *row, int argc, char **argv)
{
    struct ctl_options options;
    enum ctl_exit result = CTL_USAGE_ERROR;
    if (!ctl_options_parse(&options, &row->usage, argc, argv)) {
        return CTL_USAGE_ERROR;
    }
    if (options.values[CTL_HELP] != NULL) {
        ctl_options_print_help(stdout, &row->usage);
        return CTL_DONE;
    }
    json_t *body = json_object();
    if (row->fill == NULL || row->fill(&row->usage, &options, body)) {
        char *text = json_object_size(body) == 0 ? NULL : json_dumps(body, JSON_COMPACT);
        result = ctl_run(row, &options, text);
        free(text);
    }
    json_decref(body);
    return result;
}

/* ---- The command line ---- */

static void ctl_print_help(FILE *out)
{
    fprintf(out, "Usage: ringcast ctl COMMAND [options]\n\n"
                 "Controls a running server of this user.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < CTL_ROW_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", ctl_rows[i].word, ctl_rows[i].summary);
    }
    fprintf(out,
            "\nringcast ctl COMMAND --help lists the options of a command. Those of all are\n"
            "--pid, --socket, --url, --token-file, --timeout and --json.\n\n"
            "Exit codes: 0 done; 1 the server refused or failed; 2 wrong usage, or several\n"
            "servers run; 3 no server was reached. Reference: docs/ctl.md, ringcast-ctl(1).\n");
}

static const struct ctl_row *ctl_find(const char *word)
{
    const char *words[CTL_ROW_COUNT];
    for (size_t i = 0; i < CTL_ROW_COUNT; i++) {
        words[i] = ctl_rows[i].word;
        if (strcmp(word, words[i]) == 0) {
            return &ctl_rows[i];
        }
    }
    const char *nearest = nearest_name(word, words, CTL_ROW_COUNT);
    fprintf(stderr, PROGRAM ": unknown command '%.100s'%s%s%s\nTry " PROGRAM " --help\n", word,
            nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
            nearest == NULL ? "" : "?");
    return NULL;
}

int ctl_command(int argc, char **argv)
{
    enum ctl_exit result = CTL_USAGE_ERROR;
    signal(SIGPIPE, SIG_IGN);
    assert_always(argc >= 1);
    if (argc == 1) {
        ctl_print_help(stderr);
        return CTL_USAGE_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        ctl_print_help(stdout);
        result = CTL_DONE;
    } else {
        const struct ctl_row *row = ctl_find(argv[1]);
        result = row == NULL ? CTL_USAGE_ERROR : ctl_run_row(row, argc - 1, argv + 1);
    }
    return standard_fds_flush(PROGRAM) ? (int)result : CTL_FAILED;
}
