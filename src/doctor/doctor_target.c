#include "src/doctor/doctor_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/board/counters_file.h"
#include "src/base/file.h"
#include "tools/insight/insight_files.h"

#define DOCTOR_TARGET_PATH_BYTES_MAX 64

/* The texts of a file in /proc that has them one after the other, each with a zero at its end.
 * *texts_out ends with NULL. Returns how many, or a negative errno. */
static int doctor_target_read_texts(int pid, const char *name, char **bytes_out, char ***texts_out)
{
    char path[DOCTOR_TARGET_PATH_BYTES_MAX];
    size_t bytes;
    assert_always(pid > 0);
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = file_read(fd, DOCTOR_TARGET_BYTES_MAX, bytes_out, &bytes);
    close(fd);
    if (error < 0) {
        return error;
    }
    int count = 0;
    for (size_t at = 0; at < bytes; at += strlen(*bytes_out + at) + 1) {
        count++;
    }
    char **texts = calloc((size_t)count + 1, sizeof *texts);
    if (texts == NULL) {
        free(*bytes_out);
        *bytes_out = NULL;
        return -ENOMEM;
    }
    char *text = *bytes_out;
    for (int i = 0; i < count; i++) {
        texts[i] = text;
        text += strlen(text) + 1;
    }
    *texts_out = texts;
    return count;
}

/* Whether it is the program, by a name that it has in packages and images, and runs as a server,
 * not as a command such as `ringcast stat`. */
static bool doctor_target_is_server(int pid, int argument_count, char *const *arguments)
{
    static const char *const names[] = {"ringcast\n", "websocket-serve\n"}; /* cut off */
    char path[DOCTOR_TARGET_PATH_BYTES_MAX];
    char name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        size_t got = fread(name, 1, sizeof name - 1, file);
        name[got] = '\0';
        fclose(file);
    }
    bool is_ours = strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0;
    return is_ours && argument_count > 0 && (argument_count == 1 || arguments[1][0] == '-');
}

static bool doctor_target_is_running(int pid)
{
    char *bytes = NULL;
    char **texts = NULL;
    int count = pid > 0 ? doctor_target_read_texts(pid, "cmdline", &bytes, &texts) : 0;
    bool is_running = count > 0 && doctor_target_is_server(pid, count, texts);
    free(bytes);
    free(texts);
    return is_running;
}

bool doctor_target_has_ended(int pid)
{
    char *bytes = NULL;
    char **texts = NULL;
    int count = doctor_target_read_texts(pid, "cmdline", &bytes, &texts);
    free(bytes);
    free(texts);
    return count == 0 || count == -ENOENT || count == -ESRCH; /* 0: nobody waited for it yet */
}

int doctor_target_find_server(char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct insight_file *files;
    size_t file_count;
    int pid = 0;
    uint32_t found = 0;
    size_t used = (size_t)snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
                                   "several servers run; choose one with --pid:");
    if (insight_files_find(COUNTERS_FILE_DIRECTORY, NULL, &files, &file_count) < 0) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "out of memory");
        return -EINVAL;
    }
    for (size_t i = 0; i < file_count; i++) {
        bool is_number = files[i].id[strspn(files[i].id, "0123456789")] == '\0';
        int id = is_number ? atoi(files[i].id) : 0;
        if (doctor_target_is_running(id)) {
            pid = id;
            found++;
            used +=
                used < OPTIONS_ERROR_BYTES_MAX
                    ? (size_t)snprintf(error_out + used, OPTIONS_ERROR_BYTES_MAX - used, " %d", id)
                    : 0;
        }
    }
    free(files);
    return found <= 1 ? pid : -EINVAL;
}

/* false: for the server, the path names another file, as in a container. */
static bool doctor_target_shares_file(const char *path, int pid)
{
    char root[DOCTOR_TARGET_PATH_BYTES_MAX];
    struct stat ours, servers;
    snprintf(root, sizeof root, "/proc/%d/root", pid);
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || path[0] != '/') {
        return true; /* We are in its folder; or cannot know. */
    }
    bool is_there = fstatat(fd, path + strspn(path, "/"), &servers, 0) == 0;
    close(fd);
    return is_there && stat(path, &ours) == 0 && ours.st_dev == servers.st_dev &&
           ours.st_ino == servers.st_ino;
}

/* Whether the file that the server read can be read again, by its name. */
static int doctor_target_check_file(const char *path, bool is_inside, int pid,
                                    char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct stat file;
    bool is_stream = strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 ||
                     (stat(path, &file) == 0 && S_ISFIFO(file.st_mode));
    const char *why = is_stream                      ? "can be read only once"
                      : path[0] != '/' && !is_inside ? "is in a folder that cannot be entered"
                      : !doctor_target_shares_file(path, pid)
                          ? "is gone, or another file for the server than here"
                          : NULL;
    if (why != NULL) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%.*s %s", OPTIONS_ERROR_BYTES_MAX / 2, path,
                 why);
    }
    return why == NULL ? 0 : -EINVAL;
}

static int doctor_target_take(struct doctor_target *target, const struct options_input *input,
                              char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    int error = options_parse(&target->options, input, error_out);
    if (error == 0 && target->options.action != OPTIONS_ACTION_RUN) { /* Nothing was parsed. */
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "with --version no server starts");
        error = -EINVAL;
    }
    return error;
}

/* Parses as the server did, in its working directory. */
static int doctor_target_parse(struct doctor_target *target, int argument_count,
                               char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    static char *nothing[] = {NULL};
    char path[DOCTOR_TARGET_PATH_BYTES_MAX];
    const char *config_path;
    cpu_set_t cpus;
    struct options_input input = options_input_here(argument_count, target->arguments, &cpus);
    input.environment = target->variables == NULL ? nothing : target->variables;
    sched_getaffinity(target->pid, sizeof cpus, &cpus);
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/cwd", target->pid);
    bool is_inside = here >= 0 && chdir(path) == 0;
    if (!is_inside && target->note[0] == '\0') {
        doctor_text(target->note, "The working directory of process %d cannot be entered: %s.",
                    target->pid, strerror(errno));
    }
    int error = options_parse_config_path(&input, &config_path, error_out);
    if (error == 0 && config_path != NULL) {
        error = doctor_target_check_file(config_path, is_inside, target->pid, error_out);
    }
    if (error == 0) {
        error = doctor_target_take(target, &input, error_out);
    }
    if (here >= 0) {
        (void)!fchdir(here);
        close(here);
    }
    return error;
}

static int doctor_target_take_defaults(struct doctor_target *target, const char *why,
                                       char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    static char *nothing[] = {NULL};
    char *arguments[] = {(char *)(uintptr_t) "ringcast", NULL};
    cpu_set_t cpus;
    struct options_input input = options_input_here(1, arguments, &cpus);
    input.environment = nothing;
    doctor_text(target->note, "The options of process %d are not known: %.250s.", target->pid, why);
    return options_parse(&target->options, &input, error_out);
}

int doctor_target_open_server(struct doctor_target *target_out, int pid,
                              char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct doctor_target *target = target_out;
    assert_always(pid > 0);
    *target = (struct doctor_target){.pid = pid};
    snprintf(target->subject, sizeof target->subject, "the server of process %d", pid);
    int count = doctor_target_read_texts(pid, "cmdline", &target->command_line, &target->arguments);
    if (count == -ENOENT || count == -ESRCH) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "no process %d runs that this user may see",
                 pid);
        return -EINVAL;
    }
    if (count < 0) {
        return doctor_target_take_defaults(target, strerror(-count), error_out);
    }
    if (!doctor_target_is_server(pid, count, target->arguments)) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
                 "process %d is not a server of ringcast; `ringcast stat --list` lists them", pid);
        doctor_target_close(target);
        return -EINVAL;
    }
    int error = doctor_target_read_texts(pid, "environ", &target->environment, &target->variables);
    if (error < 0) {
        doctor_text(target->note, "The environment of process %d cannot be read: %s.", pid,
                    strerror(-error));
    }
    if (doctor_target_parse(target, count, error_out) < 0) {
        return doctor_target_take_defaults(target, error_out, error_out);
    }
    return 0;
}

int doctor_target_open_options(struct doctor_target *target_out, int argc, char *const *argv,
                               char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    cpu_set_t cpus;
    struct options_input input = options_input_here(argc, argv, &cpus);
    *target_out = (struct doctor_target){0};
    snprintf(target_out->subject, sizeof target_out->subject, "%s",
             argc > 1 ? "a server with these options"
                      : "a server with the default options; none runs here");
    return doctor_target_take(target_out, &input, error_out);
}

void doctor_target_close(struct doctor_target *target)
{
    options_deinit(&target->options);
    free(target->arguments);
    free(target->variables);
    free(target->command_line);
    free(target->environment);
}
