/*
 * ctl_target: the server that a command is for, and one request to it.
 *
 * Owner    The caller. Threads: one; blocks.
 * Memory   ctl_target_ask allocates the reply's body; the caller frees it (http_reply_deinit).
 * Errors   An exit code; the reason is on standard error.
 */
#ifndef RINGCAST_TOOLS_CTL_TARGET_H
#define RINGCAST_TOOLS_CTL_TARGET_H

#include "tools/common/ws_headers.h"
#include "tools/ctl/ctl_options.h"
#include "tools/ctl/http_call.h"

#define CTL_TIMEOUT_SECONDS_MAX 3600.0

enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1, /* The server refused or failed, or the output cannot be written. */
    CTL_USAGE_ERROR = 2,
    CTL_NO_SERVER = 3, /* None was reached. */
};

struct ctl_target {
    struct ws_client_url url;
    struct ws_headers headers; /* the token */
    int timeout_ms;
};

/* What the options say; otherwise the only server of this user that runs. */
enum ctl_exit ctl_target_find(struct ctl_target *target_out, const struct ctl_options *options,
                              const struct ctl_usage *usage, double timeout_seconds);

/* fd_out: NULL, or receives a pidfd of the server that answers, which has to be on this host. */
enum ctl_exit ctl_target_ask(const struct ctl_target *target, const struct ctl_usage *usage,
                             const char *method, const char *path, const char *body,
                             int *pid_fd_out, struct http_reply *reply_out);

#endif
