/* Whether reading the clock is cheap, and what it says is true. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"

#define DOCTOR_CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0"
#define DOCTOR_CLOCK_NS_MAX 100
#define DOCTOR_CLOCK_WORD_BYTES_MAX 128

/* ---- clock.source ---- */

/* Sources that a process cannot read by itself: each reading is a system call, and slow. */
static bool doctor_clock_is_slow(const char *source)
{
    static const char *const slow[] = {"hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies"};
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        if (strcmp(source, slow[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void doctor_clock_source(struct doctor *doctor)
{
    char source[DOCTOR_CLOCK_WORD_BYTES_MAX], available[DOCTOR_CLOCK_WORD_BYTES_MAX] = "";
    if (!doctor_read(doctor, source, sizeof source, DOCTOR_CLOCKSOURCE "/current_clocksource")) {
        doctor_text(doctor_add(doctor, "clock.source", DOCTOR_UNKNOWN)->is,
                    DOCTOR_CLOCKSOURCE "/current_clocksource cannot be read.");
        return;
    }
    source[strcspn(source, " \n")] = '\0';
    bool is_slow = doctor_clock_is_slow(source);
    struct doctor_finding *finding =
        doctor_add(doctor, "clock.source", is_slow ? DOCTOR_WARN : DOCTOR_OK);
    doctor_text(finding->is, "The clock source is %s.", source);
    if (!is_slow) {
        return;
    }
    (void)doctor_read(doctor, available, sizeof available,
                      DOCTOR_CLOCKSOURCE "/available_clocksource");
    bool has_tsc = strstr(available, "tsc") != NULL;
    doctor_text(finding->why, "Each reading of the clock is a system call of a microsecond or "
                              "more, and a core reads it several times for each tick.");
    doctor_text(finding->change, "%s",
                has_tsc ? "Run echo tsc > " DOCTOR_CLOCKSOURCE "/current_clocksource, and "
                          "add clocksource=tsc to the kernel's command line."
                        : "The kernel does not offer tsc; journalctl -k -g clocksource says why. "
                          "In a virtual machine the hypervisor must offer a stable tsc, "
                          "or kvm-clock.");
}

/* ---- clock.cost ---- */

static void doctor_clock_cost(struct doctor *doctor)
{
    uint64_t cost_ns = doctor->host->clock_ns;
    bool is_dear = cost_ns > DOCTOR_CLOCK_NS_MAX;
    struct doctor_finding *finding =
        doctor_add(doctor, "clock.cost", is_dear ? DOCTOR_WARN : DOCTOR_OK);
    doctor_text(finding->is, "Reading the clock takes %" PRIu64 " ns.", cost_ns);
    if (is_dear) {
        doctor_text(finding->why,
                    "A core reads it several times for each tick; over %d ns it is "
                    "a system call, or the hypervisor takes part.",
                    DOCTOR_CLOCK_NS_MAX);
        doctor_text(
            finding->change,
            "Use the clock source tsc, or kvm-clock in a virtual machine: see " DOCTOR_CLOCKSOURCE
            ".");
    }
}

/* ---- clock.sync ---- */

/* The first program that runs here and can set the clock by others; NULL: none is seen. */
static const char *doctor_clock_program(const struct doctor *doctor)
{
    static const char *const programs[] = {"chronyd", "phc2sys",         "ptp4l",
                                           "ntpd",    "systemd-timesyn", "openntpd"};
    const size_t count = sizeof programs / sizeof programs[0];
    char name[32];
    size_t found = count;
    static_assert(sizeof name > 16, "a name has 15 bytes, and a line's end");
    DIR *processes = doctor_open_directory(doctor, "/proc");
    if (processes == NULL) {
        return NULL;
    }
    for (struct dirent *process; (process = readdir(processes)) != NULL;) {
        if (!isdigit((unsigned char)process->d_name[0]) ||
            !doctor_read(doctor, name, sizeof name, "/proc/%s/comm", process->d_name)) {
            continue;
        }
        name[strcspn(name, "\n")] = '\0';
        for (size_t i = 0; i < found; i++) {
            if (strcmp(name, programs[i]) == 0) {
                found = i;
            }
        }
    }
    closedir(processes);
    return found == count ? NULL : programs[found];
}

static void doctor_clock_unsynchronised(struct doctor *doctor)
{
    assert_always(doctor->host->clock_state == TIME_ERROR);
    const char *program = doctor_clock_program(doctor);
    /* Without rtcsync chronyd keeps the clock right and does not report it to the kernel. */
    bool may_be_right = program != NULL && strcmp(program, "chronyd") == 0;
    struct doctor_finding *finding =
        doctor_add(doctor, "clock.sync", may_be_right ? DOCTOR_INFO : DOCTOR_WARN);
    doctor_text(finding->is, "The kernel does not know this host's clock to be right; %s%s.",
                program == NULL ? "no program that sets it is seen" : program,
                program == NULL ? "" : " runs");
    doctor_text(finding->why,
                "The ts_pub of a tick is this host's time alone: to compare it with ts_event or "
                "with a client's clock gives latencies that are not true.");
    if (may_be_right) {
        doctor_text(finding->change, "Run chronyc tracking to see; the line rtcsync in "
                                     "/etc/chrony/chrony.conf reports it to the kernel.");
    } else if (program != NULL) {
        doctor_text(finding->change,
                    "%s has not set the clock yet: see its log (journalctl), and "
                    "timedatectl.",
                    program);
    } else {
        doctor_text(finding->change,
                    "Run apt-get install chrony (it is running then), or ptp4l and "
                    "phc2sys for microseconds; in a container: on its host.");
    }
}

static void doctor_clock_sync(struct doctor *doctor)
{
    int state = doctor->host->clock_state;
    if (state == TIME_ERROR) {
        doctor_clock_unsynchronised(doctor);
    } else if (state < 0) {
        doctor_text(doctor_add(doctor, "clock.sync", DOCTOR_UNKNOWN)->is,
                    "The state of the clock cannot be read (adjtimex): %s.", strerror(-state));
    } else if (state != TIME_OK) {
        struct doctor_finding *finding = doctor_add(doctor, "clock.sync", DOCTOR_INFO);
        doctor_text(finding->is, "A leap second is announced, or is now.");
        doctor_text(finding->why, "The ts_pub of ticks steps by a second when it comes.");
        doctor_text(finding->change, "Let the time service spread it: leapsecmode slew of chrony.");
    } else {
        doctor_text(doctor_add(doctor, "clock.sync", DOCTOR_OK)->is, "The clock is synchronised.");
    }
}

void doctor_check_clock(struct doctor *doctor)
{
    doctor_clock_source(doctor);
    doctor_clock_cost(doctor);
    doctor_clock_sync(doctor);
}
