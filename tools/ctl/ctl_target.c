#include "tools/ctl/ctl_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/insight/insight_files.h"

#define CTL_SOCKET_SUFFIX ".ctl" /* after the name of the counters file */

/* ---- Which server ---- */

/* Ours, and alive; root may ask all. */
static bool ctl_target_is_candidate(const struct insight_file *file)
{
    return file->error == 0 && file->is_live && (geteuid() == 0 || file->uid == geteuid());
}

static enum ctl_exit ctl_target_say_several(const struct ctl_usage *usage,
                                            const struct insight_file *files, size_t count)
{
    fprintf(stderr, "%s: several servers run; choose one with --pid\n", usage->program);
    for (size_t i = 0; i < count; i++) {
        if (ctl_target_is_candidate(&files[i])) {
            fprintf(stderr, "  --pid %s\n", files[i].id);
        }
    }
    return CTL_USAGE_ERROR;
}

/* id: NULL: any. path_out: of its socket. */
static enum ctl_exit ctl_target_search(const struct ctl_usage *usage, const char *id,
                                       char *path_out, size_t path_bytes)
{
    struct insight_file *files;
    size_t count;
    size_t candidate_count = 0;
    enum ctl_exit result = CTL_NO_SERVER;
    if (insight_files_find(COUNTERS_FILE_DIRECTORY, id, &files, &count) < 0) {
        fprintf(stderr, "%s: out of memory\n", usage->program);
        return CTL_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        if (ctl_target_is_candidate(&files[i])) {
            candidate_count++;
            snprintf(path_out, path_bytes, "%s" CTL_SOCKET_SUFFIX, files[i].path);
            result = CTL_DONE;
        }
    }
    if (candidate_count > 1) {
        result = ctl_target_say_several(usage, files, count);
    } else if (count == 0) {
        insight_files_say_none(usage->program, COUNTERS_FILE_DIRECTORY, id);
    } else if (candidate_count == 0) {
        fprintf(stderr, "%s: %s has ended, or belongs to another user\n", usage->program,
                count == 1 ? "the server" : "each server");
    }
    free(files);
    return result;
}

static enum ctl_exit ctl_target_choose(struct ctl_target *target, const struct ctl_options *options,
                                       const struct ctl_usage *usage)
{
    char error[HTTP_CALL_ERROR_BYTES_MAX] = "";
    char path[sizeof((struct insight_file *)0)->path + sizeof CTL_SOCKET_SUFFIX];
    const char *socket_path = options->values[CTL_SOCKET];
    const char *token_file = options->values[CTL_TOKEN_FILE];
    int failed = 0;
    if (options->values[CTL_URL] != NULL) {
        failed = http_call_parse_url(&target->url, options->values[CTL_URL], error);
        if (failed == 0 && token_file != NULL) {
            failed = ws_headers_add_token_file(&target->headers, token_file, error);
        }
    } else if (socket_path != NULL) {
        failed = http_call_set_path(&target->url, socket_path, error);
    } else {
        enum ctl_exit result =
            ctl_target_search(usage, options->values[CTL_PID], path, sizeof path);
        if (result != CTL_DONE) {
            return result;
        }
        failed = http_call_set_path(&target->url, path, error);
    }
    if (failed < 0) {
        ctl_options_refuse(usage, "%s", error);
        return CTL_USAGE_ERROR;
    }
    return CTL_DONE;
}

enum ctl_exit ctl_target_find(struct ctl_target *target_out, const struct ctl_options *options,
                              const struct ctl_usage *usage, double timeout_seconds)
{
    double seconds;
    const char *pid = options->values[CTL_PID];
    *target_out = (struct ctl_target){0};
    if (!ctl_options_number(options, usage, CTL_TIMEOUT, 0.001, CTL_TIMEOUT_SECONDS_MAX,
                            timeout_seconds, &seconds)) {
        return CTL_USAGE_ERROR;
    }
    if (pid != NULL && !insight_files_is_id(pid)) {
        ctl_options_refuse(usage, "--pid '%s' is not a process ID", pid);
        return CTL_USAGE_ERROR;
    }
    target_out->timeout_ms = (int)(seconds * 1000);
    return ctl_target_choose(target_out, options, usage);
}

/* ---- One request ---- */

/* The process at the other end of a Unix socket. */
static int ctl_target_open_process(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) {
        return -errno;
    }
    int pid_fd = peer.pid > 0 ? pidfd_open(peer.pid, 0) : (errno = ESRCH, -1);
    return pid_fd < 0 ? -errno : pid_fd;
}

enum ctl_exit ctl_target_ask(const struct ctl_target *target, const struct ctl_usage *usage,
                             const char *method, const char *path, const char *body,
                             int *pid_fd_out, struct http_reply *reply_out)
{
    char error[HTTP_CALL_ERROR_BYTES_MAX] = "";
    struct http_call call = {.method = method,
                             .target = path,
                             .body = body,
                             .headers = target->headers.text,
                             .timeout_ms = target->timeout_ms};
    http_reply_init(reply_out);
    int fd = http_call_connect(&target->url, target->timeout_ms, error);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", usage->program, error);
        return CTL_NO_SERVER;
    }
    if (pid_fd_out != NULL) {
        *pid_fd_out = ctl_target_open_process(fd);
        if (*pid_fd_out < 0) {
            fprintf(stderr, "%s: --wait: the server's process cannot be watched: %s\n",
                    usage->program, strerror(-*pid_fd_out));
            close(fd);
            return CTL_FAILED;
        }
    }
    int failed = http_call_exchange(fd, &target->url, &call, reply_out, error);
    close(fd);
    if (failed < 0) {
        fprintf(stderr, "%s: %s\n", usage->program, error);
    }
    return failed < 0 ? CTL_FAILED : CTL_DONE;
}
