/* Whether interrupts and packets disturb the cores. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_cpus.h"
#include "src/doctor/doctor_window.h"

#define DOCTOR_IRQ_PER_SECOND_MAX 100
#define DOCTOR_IRQ_NAME_BYTES_MAX 32
#define DOCTOR_IRQ_NUMBERS_BYTES_MAX 96

/* ---- /proc/interrupts ---- */

struct doctor_irq_line {
    unsigned long irq;
    uint64_t count; /* on the cores' CPUs */
    char name[DOCTOR_IRQ_NAME_BYTES_MAX];
};

/* The heading: which columns are of the cores' CPUs. Returns how many there are. */
static int doctor_irq_read_heading(const char *text, const cpu_set_t *cpus, cpu_set_t *columns_out)
{
    const char *end = text + strcspn(text, "\n");
    int count = 0;
    CPU_ZERO(columns_out);
    for (const char *at = text; (at = strstr(at, "CPU")) != NULL && at < end; count++) {
        unsigned long cpu = strtoul(at + 3, NULL, 10);
        if (cpu < CPU_SETSIZE && count < CPU_SETSIZE && CPU_ISSET(cpu, cpus)) {
            CPU_SET(count, columns_out);
        }
        at += 3;
    }
    return count;
}

/* A device's line, "41:  32507  0  PCI-MSIX-0000:00:04.0  1-edge  virtio3-rx"; false: it is of the
 * CPUs themselves, such as "LOC:", or cut off. */
static bool doctor_irq_read_line(const char *line, int column_count, const cpu_set_t *columns,
                                 struct doctor_irq_line *line_out)
{
    char *at;
    line_out->irq = strtoul(line, &at, 10);
    if (at == line || *at != ':' || strchr(at, '\n') == NULL) {
        return false;
    }
    at++;
    line_out->count = 0;
    for (int column = 0; column < column_count; column++) {
        uint64_t count = strtoull(at, &at, 10);
        if (column < CPU_SETSIZE && CPU_ISSET(column, columns)) {
            line_out->count += count;
        }
    }
    /* The last word names the device. */
    const char *end = at + strcspn(at, "\n");
    const char *word = end;
    while (word > at && word[-1] != ' ') {
        word--;
    }
    snprintf(line_out->name, sizeof line_out->name, "%.*s", (int)(end - word), word);
    return true;
}

/* The line of an interrupt in another text; its count is 0 if there is none. */
static uint64_t doctor_irq_count(const char *text, unsigned long irq, int column_count,
                                 const cpu_set_t *columns)
{
    struct doctor_irq_line line;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL && at[1] != '\0';) {
        at++;
        if (strtoul(at, NULL, 10) == irq &&
            doctor_irq_read_line(at, column_count, columns, &line)) {
            return line.count;
        }
    }
    return 0;
}

/* ---- irq.on_core ---- */

struct doctor_irq_load {
    uint32_t count; /* interrupts that come too often */
    double worst_per_second;
    char worst_name[DOCTOR_IRQ_NAME_BYTES_MAX];
    char numbers[DOCTOR_IRQ_NUMBERS_BYTES_MAX]; /* with a blank between them, as far as they fit */
};

static void doctor_irq_add(struct doctor_irq_load *load, const struct doctor_irq_line *line,
                           double per_second)
{
    size_t used = strlen(load->numbers);
    assert_always(used < sizeof load->numbers);
    assert_debug(per_second > DOCTOR_IRQ_PER_SECOND_MAX);
    load->count++;
    if (used + 12 < sizeof load->numbers) {
        snprintf(load->numbers + used, sizeof load->numbers - used, "%s%lu", used == 0 ? "" : " ",
                 line->irq);
    }
    if (per_second > load->worst_per_second) {
        load->worst_per_second = per_second;
        memcpy(load->worst_name, line->name, sizeof load->worst_name);
    }
}

static void doctor_irq_measure(const struct doctor_window *window, const cpu_set_t *cpus,
                               struct doctor_irq_load *load_out)
{
    cpu_set_t columns;
    struct doctor_irq_line line;
    const char *from = window->from.interrupts;
    int column_count = doctor_irq_read_heading(window->to.interrupts, cpus, &columns);
    *load_out = (struct doctor_irq_load){0};
    for (const char *at = window->to.interrupts; (at = strchr(at, '\n')) != NULL;) {
        at++;
        if (!doctor_irq_read_line(at, column_count, &columns, &line) || line.count == 0) {
            continue;
        }
        uint64_t count = doctor_irq_count(from, line.irq, column_count, &columns);
        double per_second =
            (double)doctor_growth(count, line.count) * (double)NS_PER_SECOND / (double)window->ns;
        if (per_second > DOCTOR_IRQ_PER_SECOND_MAX) {
            doctor_irq_add(load_out, &line, per_second);
        }
    }
}

static void doctor_irq_on_core(struct doctor *doctor)
{
    char text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t pinned, others;
    struct doctor_irq_load load;
    if (!doctor_cpus_pinned(doctor, &pinned)) {
        doctor_text(doctor_add(doctor, "irq.on_core", DOCTOR_OK)->is,
                    "The core is not pinned, so that no CPU is its own.");
        return;
    }
    const struct doctor_window *window = doctor_window(doctor);
    if (window->from.interrupts[0] == '\0') {
        doctor_text(doctor_add(doctor, "irq.on_core", DOCTOR_UNKNOWN)->is,
                    "/proc/interrupts cannot be read.");
        return;
    }
    doctor_irq_measure(window, &pinned, &load);
    if (load.count == 0) {
        doctor_text(doctor_add(doctor, "irq.on_core", DOCTOR_OK)->is,
                    "No device interrupts CPU %s more than %d times a second.",
                    doctor_cpus_text(&pinned, text), DOCTOR_IRQ_PER_SECOND_MAX);
        return;
    }
    doctor_cpus_read(doctor, &others, "/sys/devices/system/cpu/online");
    assert_debug(load.worst_name[0] != '\0');
    CPU_AND(&pinned, &pinned, &others);
    CPU_XOR(&others, &others, &pinned);
    bool has_others = CPU_COUNT(&others) > 0;
    struct doctor_finding *finding =
        doctor_add(doctor, "irq.on_core", has_others ? DOCTOR_WARN : DOCTOR_INFO);
    doctor_text(finding->is, "%s interrupts CPU %s, where cores run, %.0f times a second%s%s.",
                load.worst_name, doctor_cpus_text(&pinned, text), load.worst_per_second,
                load.count > 1 ? "; it is the worst of interrupts " : "",
                load.count > 1 ? load.numbers : "");
    doctor_text(finding->why, "Each interrupt, and the packets it brings, take the CPU from a core "
                              "for 5 to 100 us.");
    if (has_others) {
        doctor_text(finding->change,
                    "Run for i in %s; do echo %s > /proc/irq/$i/smp_affinity_list; done, and stop "
                    "irqbalance; if the kernel refuses, use --cores on other CPUs.",
                    load.numbers, doctor_cpus_text(&others, text));
    } else {
        doctor_text(finding->change, "Leave a CPU without a core for them: fewer --cores.");
    }
}

/* ---- irq.softirq ---- */

struct doctor_softnet {
    uint64_t packets, dropped, squeezed;
};

/* A line for each CPU, of numbers in hexadecimal. */
static struct doctor_softnet doctor_irq_softnet(const char *text)
{
    struct doctor_softnet sum = {0};
    for (const char *line = text; line != NULL && *line != '\0';) {
        char *at;
        sum.packets += strtoull(line, &at, 16);
        sum.dropped += strtoull(at, &at, 16);
        sum.squeezed += strtoull(at, &at, 16);
        line = strchr(at, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return sum;
}

static void doctor_irq_softirq(struct doctor *doctor)
{
    const struct doctor_window *window = doctor_window(doctor);
    struct doctor_softnet from = doctor_irq_softnet(window->from.softnet);
    struct doctor_softnet to = doctor_irq_softnet(window->to.softnet);
    if (window->from.softnet[0] == '\0') {
        doctor_text(doctor_add(doctor, "irq.softirq", DOCTOR_UNKNOWN)->is,
                    "/proc/net/softnet_stat cannot be read.");
        return;
    }
    uint64_t dropped_now = doctor_growth(from.dropped, to.dropped);
    struct doctor_finding *finding = doctor_add(doctor, "irq.softirq",
                                                dropped_now > 0  ? DOCTOR_WARN
                                                : to.dropped > 0 ? DOCTOR_INFO
                                                                 : DOCTOR_OK);
    doctor_text(finding->is,
                "The kernel dropped %" PRIu64 " of %" PRIu64 " received packets since its start, "
                "%" PRIu64 " of them just now: a CPU's queue was full.",
                to.dropped, to.packets, dropped_now);
    if (to.dropped > 0) {
        doctor_text(finding->why, "What was dropped is sent again after 200 ms or more; ticks of "
                                  "feeds and of clients come that much later.");
        doctor_text(
            finding->change,
            "Run sysctl -w net.core.netdev_max_backlog=10000, and spread the packets over CPUs "
            "that have no core: /sys/class/net/*/queues/rx-*/rps_cpus.");
    }
}

void doctor_check_irq(struct doctor *doctor)
{
    doctor_irq_on_core(doctor);
    doctor_irq_softirq(doctor);
}
