#include "src/doctor/doctor_command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/standard_fds.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_host.h"
#include "src/doctor/doctor_print.h"
#include "src/doctor/doctor_target.h"

#define PROGRAM "ringcast doctor"
#define DOCTOR_COMMAND_ARGUMENTS_MAX 256

enum exit_code { EXIT_DONE = 0, EXIT_WARN = 1, EXIT_FAIL = 2, EXIT_USAGE = 3 };

static const char doctor_command_help[] =
    "Usage: ringcast doctor [--pid PID] [--json] [--only ID,...] [--verbose]\n"
    "       ringcast doctor [--config FILE | options of the server]...\n"
    "\n"
    "Looks at what this host does to the latency of a server, and says what to change.\n"
    "It changes nothing. Without --pid and options of the server, it looks at the only\n"
    "running server; if there is none, at one with the default options.\n"
    "\n"
    "      --pid PID      look at this running server, with its options\n"
    "      --only ID,...  run only these checks: cpu.quota, or cpu for all of its kind\n"
    "      --json         print a JSON object with all findings\n"
    "      --verbose      print also what is good, and what cannot be looked at\n"
    "  -h, --help         print this help\n"
    "\n"
    "Each finding is explained in docs/doctor.md.\n"
    "\n"
    "Exit codes: 0 nothing to change; 1 a WARN; 2 a FAIL; 3 wrong usage, the server\n"
    "ended meanwhile, or the output cannot be written.\n";

struct doctor_command {
    const char *only; /* NULL: all */
    int pid;          /* 0: not given */
    bool json, verbose, help;
    int argc; /* of the server's options */
    char *argv[DOCTOR_COMMAND_ARGUMENTS_MAX + 1];
};

/* ---- Command line ---- */

static bool doctor_command_refuse(const char *what, const char *text, const char *wanted)
{
    fprintf(stderr, PROGRAM ": %s '%s' is not %s\nTry " PROGRAM " --help\n", what, text, wanted);
    return false;
}

static bool doctor_command_take_pid(struct doctor_command *command, const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || pid > INT_MAX) {
        return doctor_command_refuse("--pid", text, "a process ID");
    }
    command->pid = (int)pid;
    return true;
}

static bool doctor_command_take_only(struct doctor_command *command, const char *text)
{
    for (const char *id = text;; id++) {
        size_t bytes = strcspn(id, ",");
        if (!doctor_checks_know(id, bytes)) {
            return doctor_command_refuse("--only", text,
                                         "a list of ids as docs/doctor.md has them");
        }
        id += bytes;
        if (*id == '\0') {
            command->only = text;
            return true;
        }
    }
}

/* The value of the option at argv[*index], which is after "=" or in the next argument; NULL: it is
 * another option, or has no value. */
static const char *doctor_command_value(int argc, char **argv, int *index, const char *option)
{
    size_t bytes = strlen(option);
    if (strncmp(argv[*index], option, bytes) != 0) {
        return NULL;
    }
    if (argv[*index][bytes] == '=') {
        return argv[*index] + bytes + 1;
    }
    return argv[*index][bytes] == '\0' && *index + 1 < argc ? argv[++*index] : NULL;
}

static bool doctor_command_take(struct doctor_command *command, int argc, char **argv, int *index)
{
    char *argument = argv[*index];
    const char *value;
    if ((value = doctor_command_value(argc, argv, index, "--pid")) != NULL) {
        return doctor_command_take_pid(command, value);
    }
    if ((value = doctor_command_value(argc, argv, index, "--only")) != NULL) {
        return doctor_command_take_only(command, value);
    }
    if (strcmp(argument, "--pid") == 0 || strcmp(argument, "--only") == 0) {
        return doctor_command_refuse("the value of", argument, "given");
    }
    if (strcmp(argument, "--json") == 0) {
        command->json = true;
    } else if (strcmp(argument, "--verbose") == 0) {
        command->verbose = true;
    } else if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        command->help = true;
    } else if (command->argc == DOCTOR_COMMAND_ARGUMENTS_MAX) {
        return doctor_command_refuse("argument", argument, "taken: there are too many");
    } else {
        command->argv[command->argc++] = argument;
    }
    return true;
}

static bool doctor_command_parse(struct doctor_command *command, int argc, char **argv)
{
    *command = (struct doctor_command){.argc = 1, .argv = {(char *)(uintptr_t) "ringcast"}};
    for (int i = 1; i < argc && !command->help; i++) {
        if (!doctor_command_take(command, argc, argv, &i)) {
            return false;
        }
    }
    if (command->pid > 0 && command->argc > 1) {
        return doctor_command_refuse("beside --pid, the argument", command->argv[1],
                                     "possible: the options are those of the running server");
    }
    return true;
}

/* ---- Running ---- */

static int doctor_command_open(const struct doctor_command *command, struct doctor_target *target)
{
    char text[OPTIONS_ERROR_BYTES_MAX];
    int pid = command->pid;
    if (pid == 0 && command->argc == 1) {
        pid = doctor_target_find_server(text);
    }
    int error = pid < 0   ? pid
                : pid > 0 ? doctor_target_open_server(target, pid, text)
                          : doctor_target_open_options(target, command->argc, command->argv, text);
    if (error < 0) {
        fprintf(stderr, PROGRAM ": %s\n", text);
    }
    return error;
}

static int doctor_command_status(const struct doctor *doctor)
{
    enum doctor_level worst = doctor->count > 0 ? doctor->findings[0].level : DOCTOR_OK;
    assert_debug(worst <= DOCTOR_FAIL);
    return worst == DOCTOR_FAIL ? EXIT_FAIL : worst == DOCTOR_WARN ? EXIT_WARN : EXIT_DONE;
}

static int doctor_command_look(const struct doctor_command *command,
                               const struct doctor_target *target)
{
    static struct doctor doctor;
    struct doctor_host host;
    doctor_host_read(&host);
    doctor_network_read(&host.network, &target->options);
    doctor = (struct doctor){
        .root = "",
        .host = &host,
        .options = &target->options,
        .options_note = target->note[0] == '\0' ? NULL : target->note,
        .pid = target->pid,
        .process = "self",
    };
    if (target->pid > 0) {
        snprintf(doctor.process, sizeof doctor.process, "%d", target->pid);
    }
    doctor_checks_run(&doctor, command->only);
    if (target->pid > 0 && doctor_target_has_ended(target->pid)) {
        fprintf(stderr, PROGRAM ": %s ended meanwhile\n", target->subject);
        return EXIT_USAGE;
    }
    if (!command->json) {
        doctor_print(stdout, &doctor, target->subject, command->verbose);
    } else if (doctor_print_json(stdout, &doctor, target->subject) < 0) {
        fprintf(stderr, PROGRAM ": out of memory\n");
        return EXIT_USAGE;
    }
    return doctor_command_status(&doctor);
}

int doctor_command(int argc, char **argv)
{
    struct doctor_command command;
    struct doctor_target target;
    int status = EXIT_USAGE;
    if (!doctor_command_parse(&command, argc, argv)) {
        return EXIT_USAGE;
    }
    if (command.help) {
        fputs(doctor_command_help, stdout);
        status = EXIT_DONE;
    } else if (doctor_command_open(&command, &target) == 0) {
        status = doctor_command_look(&command, &target);
        doctor_target_close(&target);
    }
    return standard_fds_flush(PROGRAM) ? status : EXIT_USAGE;
}
