#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_counters.h"

/* A counter of the running server that is 0 in a healthy one. */
struct doctor_run_counter {
    const char *id;
    enum counters_scope scope;
    const char *name;
    enum doctor_level level;
    const char *is; /* after the number */
    const char *why;
    const char *change;
};

static const struct doctor_run_counter doctor_run_counters[] = {
    {"run.laps", COUNTERS_CORE, "core_laps", DOCTOR_WARN,
     "times the log overwrote frames that a core had not sent yet",
     "All clients of that core lost the frames, and received GAPs.",
     "See why the core was late (cpu.* and irq.* here, or ringcast stat: wait), give more --cores, "
     "or a larger --frame-log-bytes."},
    {"run.overflow", COUNTERS_CORE, "cq_overflow", DOCTOR_FAIL,
     "times the completion queue of a core was full",
     "The kernel keeps what does not fit in a list of its own, with a memory allocation for each: "
     "the core is slower just when it is busiest.",
     "Give more --cores, so that each serves fewer clients."},
    {"run.recv", COUNTERS_CORE, "recv_no_buffer", DOCTOR_WARN,
     "times no buffer was free for what a client sent",
     "Messages of clients waited in their sockets, and were answered late.",
     "Give more --cores, or limit clients that send much: --messages-per-second."},
    {"run.malformed", COUNTERS_PUBLISHER, "feed_malformed", DOCTOR_WARN,
     "inputs of feeds did not parse", "These ticks did not reach any client.",
     "See which feed it is: ringcast ctl feeds. The log has the first ones with the reason."},
    {"run.malformed", COUNTERS_PUBLISHER, "ticks_refused", DOCTOR_WARN, "ticks were refused",
     "They were too long, or no channel was free, and did not reach any client.",
     "See the reason in the log. docs/limits.md has the limits of a tick and of channels."},
    {"run.log", COUNTERS_PROCESS, "log_lost", DOCTOR_WARN, "lines of the logs were lost",
     "What the server reported at that time, errors too, is in no log.",
     "Give the log a file on a disk that keeps up (--log-file), or fewer lines: --log-connections "
     "sampled, --log-level WARNING."},
    {"run.log", COUNTERS_PUBLISHER, "log_waits", DOCTOR_WARN,
     "times the publisher waited to overwrite frames that the kernel was sending",
     "The ticks behind them were late for all clients.",
     "Give a larger --frame-log-bytes, and see why a core was late (cpu.* here)."},
};
#define DOCTOR_RUN_COUNT (sizeof doctor_run_counters / sizeof doctor_run_counters[0])

static const char *const doctor_run_ids[] = {"run.laps", "run.overflow", "run.recv",
                                             "run.malformed", "run.log"};
#define DOCTOR_RUN_ID_COUNT (sizeof doctor_run_ids / sizeof doctor_run_ids[0])

static void doctor_run_say_unknown(struct doctor *doctor, int error)
{
    for (size_t i = 0; i < DOCTOR_RUN_ID_COUNT; i++) {
        char *is = doctor_add(doctor, doctor_run_ids[i], DOCTOR_UNKNOWN)->is;
        if (error == -ESRCH) {
            doctor_text(is, "No running server was looked at. Give --pid PID.");
        } else {
            doctor_text(is, "The counters of server %d, in its /dev/shm, cannot be read: %s.",
                        doctor->pid, strerror(-error));
        }
    }
}

/* Adds a finding if the counter is not 0; false: it is, or this server's version has none. */
static bool doctor_run_look(struct doctor *doctor, const struct counters_read *read,
                            const struct doctor_run_counter *counter)
{
    struct counters_entry entry;
    assert_debug(counter->level >= DOCTOR_WARN);
    assert_debug(counter->scope < COUNTERS_SCOPES);
    if (!counters_read_find(read, counter->scope, counter->name, &entry)) {
        return false;
    }
    uint64_t value = counters_read_value(read, &entry, COUNTERS_READ_ALL);
    if (value == 0) {
        return false;
    }
    struct doctor_finding *finding = doctor_add(doctor, counter->id, counter->level);
    doctor_text(finding->is, "Since the server began, %" PRIu64 " %s (%s of ringcast stat).", value,
                counter->is, counter->name);
    doctor_text(finding->why, "%s", counter->why);
    doctor_text(finding->change, "%s", counter->change);
    return true;
}

void doctor_check_run(struct doctor *doctor)
{
    struct counters_read read;
    int error = doctor_counters_open(doctor, &read);
    if (error < 0) {
        doctor_run_say_unknown(doctor, error);
        return;
    }
    for (size_t i = 0; i < DOCTOR_RUN_ID_COUNT; i++) {
        bool is_found = false;
        for (size_t k = 0; k < DOCTOR_RUN_COUNT; k++) {
            if (strcmp(doctor_run_counters[k].id, doctor_run_ids[i]) == 0) {
                is_found |= doctor_run_look(doctor, &read, &doctor_run_counters[k]);
            }
        }
        if (!is_found) {
            doctor_text(doctor_add(doctor, doctor_run_ids[i], DOCTOR_OK)->is,
                        "Nothing since the server began.");
        }
    }
    counters_read_close(&read);
}
