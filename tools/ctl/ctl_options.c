#include "tools/ctl/ctl_options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/nearest.h"

static const struct {
    const char *name;
    const char *value; /* NULL: a switch */
    const char *help;
} ctl_rows[CTL_OPTION_COUNT] = {
    [CTL_PID] = {"pid", "PID", "the server with this process ID; needed if several run"},
    [CTL_SOCKET] = {"socket", "PATH", "the server that listens on this Unix socket"},
    [CTL_URL] = {"url", "URL", "the server at http://HOST:PORT, its admin port"},
    [CTL_TOKEN_FILE] = {"token-file", "PATH", "file with the token that --url needs"},
    [CTL_TIMEOUT] = {"timeout", "SECONDS", "wait this long for an answer"},
    [CTL_JSON] = {"json", NULL, "print the server's answer, which is JSON"},
    [CTL_READY] = {"ready", NULL, "ask whether it accepts clients (/readyz)"},
    [CTL_SORT] = {"sort", "KEY", "lag, lost, bytes, connected, quality, subscriptions"},
    [CTL_ORDER] = {"order", "ORDER", "asc or desc"},
    [CTL_LIMIT] = {"limit", "N", "show at most N (default: 100)"},
    [CTL_OFFSET] = {"offset", "N", "leave out the first N"},
    [CTL_SESSION] = {"session", "ID", "only the client with this session"},
    [CTL_NAME] = {"name", "NAME", "only clients of this name"},
    [CTL_ADDRESS] = {"address", "ADDRESS", "only clients of this address or network (CIDR)"},
    [CTL_ENCODING] = {"encoding", "NAME", "only clients of this encoding"},
    [CTL_CODE] = {"code", "CODE", "close code from 4100 to 4299 (default: 4115)"},
    [CTL_TOP] = {"top", "N", "show so many symbols and clients (default: 10)"},
    [CTL_SECONDS] = {"seconds", "S", "time for all clients (default: --drain-timeout)"},
    [CTL_WAIT] = {"wait", NULL, "return when the process has ended"},
    [CTL_HELP] = {"help", NULL, "print this help"},
};

const char *ctl_options_name(enum ctl_option option)
{
    assert_always(option < CTL_OPTION_COUNT);
    return ctl_rows[option].name;
}

bool ctl_options_refuse(const struct ctl_usage *usage, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", usage->program);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry %s --help\n", usage->program);
    return false;
}

static bool ctl_options_unknown(const struct ctl_usage *usage, const char *text, size_t bytes)
{
    const char *names[CTL_OPTION_COUNT];
    char name[NEAREST_NAME_BYTES_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < CTL_OPTION_COUNT; i++) {
        if ((usage->options & CTL_BIT(i)) != 0) {
            names[count++] = ctl_rows[i].name;
        }
    }
    snprintf(name, sizeof name, "%.*s", (int)(bytes < sizeof name ? bytes : sizeof name - 1), text);
    const char *nearest = nearest_name(name, names, count);
    return ctl_options_refuse(usage, "unknown option '--%s'%s%s%s", name,
                              nearest == NULL ? "" : "; did you mean --",
                              nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
}

/* "--name", "--name value", "--name=value". *next: the place of a value. */
static bool ctl_options_take(struct ctl_options *options, const struct ctl_usage *usage,
                             const char *text, const char *next, bool *takes_next_out)
{
    size_t bytes = strcspn(text, "=");
    const char *value = text[bytes] == '=' ? text + bytes + 1 : NULL;
    size_t i = 0;
    *takes_next_out = false;
    while (i < CTL_OPTION_COUNT &&
           ((usage->options & CTL_BIT(i)) == 0 || strlen(ctl_rows[i].name) != bytes ||
            memcmp(ctl_rows[i].name, text, bytes) != 0)) {
        i++;
    }
    if (i == CTL_OPTION_COUNT) {
        return ctl_options_unknown(usage, text, bytes);
    }
    if (ctl_rows[i].value == NULL) {
        options->values[i] = "";
        return value == NULL || ctl_options_refuse(usage, "--%s takes no value", ctl_rows[i].name);
    }
    *takes_next_out = value == NULL;
    options->values[i] = value == NULL ? next : value;
    return (options->values[i] != NULL && options->values[i][0] != '\0') ||
           ctl_options_refuse(usage, "--%s needs a value: %s", ctl_rows[i].name, ctl_rows[i].value);
}

/* Which server. */
static bool ctl_options_check(const struct ctl_options *options, const struct ctl_usage *usage)
{
    int count = (options->values[CTL_PID] != NULL) + (options->values[CTL_SOCKET] != NULL) +
                (options->values[CTL_URL] != NULL);
    if (count > 1) {
        return ctl_options_refuse(usage, "give one of --pid, --socket and --url");
    }
    if (options->values[CTL_TOKEN_FILE] != NULL && options->values[CTL_URL] == NULL) {
        return ctl_options_refuse(usage, "--token-file goes with --url only");
    }
    return true;
}

bool ctl_options_parse(struct ctl_options *options_out, const struct ctl_usage *usage, int argc,
                       char **argv)
{
    struct ctl_options options = {0};
    bool are_over = false;
    assert_always(argc >= 1);
    for (int i = 1; i < argc; i++) {
        bool takes_next = false;
        const char *text = argv[i];
        if (!are_over && strcmp(text, "--") == 0) {
            are_over = true;
        } else if (!are_over && strcmp(text, "-h") == 0) {
            options.values[CTL_HELP] = "";
        } else if (!are_over && strncmp(text, "--", 2) == 0) {
            if (!ctl_options_take(&options, usage, text + 2, argv[i + 1], &takes_next)) {
                return false;
            }
        } else if (!are_over && text[0] == '-' && text[1] != '\0') {
            return ctl_options_refuse(usage, "unknown option '%s'", text);
        } else if (usage->argument == NULL || options.argument != NULL) {
            return ctl_options_refuse(usage, "'%s' is one argument too many", text);
        } else {
            options.argument = text;
        }
        i += takes_next;
        if (options.values[CTL_HELP] != NULL) {
            break;
        }
    }
    *options_out = options;
    return options.values[CTL_HELP] != NULL || ctl_options_check(&options, usage);
}

void ctl_options_print_help(FILE *out, const struct ctl_usage *usage)
{
    fprintf(out, "Usage: %s [options]", usage->program);
    if (usage->argument != NULL) {
        fprintf(out, " [%s]", usage->argument);
    }
    fprintf(out, "\n\n%s\n", usage->about);
    for (size_t i = 0; i < CTL_OPTION_COUNT; i++) {
        if ((usage->options & CTL_BIT(i)) != 0) {
            char form[32];
            const char *value = ctl_rows[i].value;
            snprintf(form, sizeof form, "--%s%s%s", ctl_rows[i].name, value == NULL ? "" : " ",
                     value == NULL ? "" : value);
            fprintf(out, "  %-4s%-19s %s\n", i == CTL_HELP ? "-h," : "", form, ctl_rows[i].help);
        }
    }
}

bool ctl_options_number(const struct ctl_options *options, const struct ctl_usage *usage,
                        enum ctl_option option, double min, double max, double fallback,
                        double *value_out)
{
    const char *text = options->values[option];
    char *end = NULL;
    assert_always(option < CTL_OPTION_COUNT);
    *value_out = text == NULL ? fallback : strtod(text, &end);
    if (text != NULL &&
        (end == text || *end != '\0' || !(*value_out >= min && *value_out <= max))) {
        return ctl_options_refuse(usage, "--%s '%s' is not a number from %g to %g",
                                  ctl_rows[option].name, text, min, max);
    }
    return true;
}
