#include "tools/ctl/health_command.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "codec/base/standard_fds.h"
#include "tools/ctl/ctl_options.h"
#include "tools/ctl/ctl_table.h"
#include "tools/ctl/ctl_target.h"

#define PROGRAM "ringcast health"
#define HEALTH_TIMEOUT_SECONDS 2.0

static const struct ctl_usage health_usage = {
    .program = PROGRAM,
    .about = "Asks a running server whether it is well, for the probes of Docker, Kubernetes\n"
             "and others. Prints one line. Exit codes: 0 it is well; 1 it is not, or it did\n"
             "not answer within the timeout (default: 2 s); 2 wrong usage.\n",
    .options = CTL_SERVER_OPTIONS | CTL_BIT(CTL_READY),
};

/* "core-1, publisher" */
static void health_print_stalled(const json_t *stalled)
{
    size_t index;
    json_t *thread;
    json_array_foreach(stalled, index, thread)
    {
        char name[CTL_TABLE_CELL_BYTES_MAX];
        ctl_table_cell(json_object_get(thread, "thread"), name);
        printf("%s%s", index == 0 ? ": " : ", ", name);
    }
}

static int health_print(const struct http_reply *reply, bool is_ready)
{
    char status[CTL_TABLE_CELL_BYTES_MAX];
    json_t *answer = reply->body == NULL
                         ? NULL
                         : json_loadb(reply->body, reply->body_bytes, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = reply->status == 200 && json_object_get(answer, "status") != NULL;
    const char *what = is_ready ? "ready" : "healthy";
    ctl_table_cell(json_object_get(answer, "status"), status);
    printf("%s%s: %s", is_good ? "" : "not ", what, status);
    health_print_stalled(json_object_get(answer, "stalled"));
    if (answer == NULL) {
        printf(" (status %u, without JSON)", reply->status);
    }
    putchar('\n');
    json_decref(answer);
    return is_good ? CTL_DONE : CTL_FAILED;
}

int health_command(int argc, char **argv)
{
    struct ctl_options options;
    struct ctl_target target;
    struct http_reply reply;
    signal(SIGPIPE, SIG_IGN);
    if (!ctl_options_parse(&options, &health_usage, argc, argv)) {
        return CTL_USAGE_ERROR;
    }
    if (options.values[CTL_HELP] != NULL) {
        ctl_options_print_help(stdout, &health_usage);
        return standard_fds_flush(PROGRAM) ? CTL_DONE : CTL_FAILED;
    }
    bool is_ready = options.values[CTL_READY] != NULL;
    int result = ctl_target_find(&target, &options, &health_usage, HEALTH_TIMEOUT_SECONDS);
    if (result == CTL_DONE) {
        result = ctl_target_ask(&target, &health_usage, "GET", is_ready ? "/readyz" : "/livez",
                                NULL, NULL, &reply);
        result = result == CTL_DONE ? health_print(&reply, is_ready) : CTL_FAILED;
        http_reply_deinit(&reply);
    }
    result = result == CTL_NO_SERVER ? CTL_FAILED : result;
    return standard_fds_flush(PROGRAM) ? result : CTL_FAILED;
}
