#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_cpus.h"
#include "src/doctor/doctor_namespace.h"

#define DOCTOR_NIC_RX_USECS_MAX 50
#define DOCTOR_NIC_QUEUES_MAX 256 /* further ones are not looked at */
#define DOCTOR_NIC_TEXT_BYTES_MAX 4096

/* What ethtool -K calls them. */
static const char *const doctor_nic_offloads[DOCTOR_OFFLOADS] = {
    [DOCTOR_OFFLOAD_SG] = "sg",
    [DOCTOR_OFFLOAD_TSO] = "tso",
    [DOCTOR_OFFLOAD_GSO] = "gso",
};

/* Whether a mask such as "00000000,0000000f" has the CPU, and whether it has any (cpu -1). */
static bool doctor_nic_masks(const char *mask, int cpu)
{
    int digits = 0;
    size_t bytes = strcspn(mask, "\n");
    assert_debug(cpu >= -1);
    for (size_t i = bytes; i > 0; i--) {
        char digit[2] = {mask[i - 1], '\0'};
        if (digit[0] == ',') {
            continue;
        }
        long value = strtol(digit, NULL, 16);
        if (cpu < 0 ? value != 0 : digits == cpu / 4 && (value >> cpu % 4 & 1) != 0) {
            return true;
        }
        digits++;
    }
    return false;
}

/* Whether /sys shows this interface, and not one of another network namespace. */
static bool doctor_nic_is_shown(const struct doctor *doctor, const struct doctor_nic *nic)
{
    int64_t index;
    return doctor_read_number(doctor, &index, "/sys/class/net/%s/ifindex", nic->name) &&
           index == nic->index;
}

/* Whether it is a device, as a card is: a bridge or a tunnel is none. */
static bool doctor_nic_is_device(const struct doctor *doctor, const struct doctor_nic *nic)
{
    char device[DOCTOR_PATH_BYTES_MAX];
    return doctor_nic_is_shown(doctor, nic) &&
           doctor_read_link(doctor, device, sizeof device, "/sys/class/net/%s/device", nic->name);
}

static bool doctor_nic_offload(struct doctor *doctor, const struct doctor_nic *nic)
{
    char names[32] = "", command[48] = "";
    assert_always(nic->offloads_off < 1u << DOCTOR_OFFLOADS);
    if (nic->offloads_off == 0) {
        return false;
    }
    for (uint32_t i = 0; i < DOCTOR_OFFLOADS; i++) {
        if ((nic->offloads_off & 1u << i) != 0) {
            strcat(strcat(names, names[0] == '\0' ? "" : ", "), doctor_nic_offloads[i]);
            strcat(strcat(strcat(command, " "), doctor_nic_offloads[i]), " on");
        }
    }
    assert_always(strlen(command) < sizeof command);
    struct doctor_finding *finding = doctor_add(doctor, "nic.offload", DOCTOR_WARN);
    doctor_text(finding->is, "%s: switched off: %s.", nic->name, names);
    doctor_text(finding->why, "The kernel cuts each send into packets one by one, on the core's "
                              "CPU: a scatter takes longer.");
    doctor_text(finding->change, "ethtool -K %s%s", nic->name, command);
    return true;
}

static bool doctor_nic_coalesce(struct doctor *doctor, const struct doctor_nic *nic)
{
    if (nic->rx_usecs <= DOCTOR_NIC_RX_USECS_MAX) {
        return false;
    }
    struct doctor_finding *finding = doctor_add(doctor, "nic.coalesce", DOCTOR_INFO);
    doctor_text(finding->is, "%s holds interrupts back for up to %u us (rx-usecs).", nic->name,
                nic->rx_usecs);
    doctor_text(finding->why, "What clients send, acknowledgements too, is seen that much later.");
    doctor_text(finding->change,
                "ethtool -C %s adaptive-rx off rx-usecs %d, at the price of more "
                "interrupts.",
                nic->name, DOCTOR_NIC_RX_USECS_MAX / 5);
    return true;
}

static bool doctor_nic_queues(struct doctor *doctor, const struct doctor_nic *nic)
{
    uint32_t cores = doctor->options->core_count;
    uint32_t wanted = cores < nic->queues_max ? cores : nic->queues_max;
    assert_debug(cores > 0);
    if (nic->queues == 0 || nic->queues >= wanted) {
        return false;
    }
    struct doctor_finding *finding = doctor_add(doctor, "nic.queues", DOCTOR_INFO);
    doctor_text(finding->is, "%s has %u of %u queues switched on, for %u cores.", nic->name,
                nic->queues, nic->queues_max, cores);
    doctor_text(finding->why, "The packets of all clients go through few CPUs, which may be too "
                              "busy when all cores send.");
    doctor_text(finding->change, "ethtool -L %s combined %u (or rx and tx, as ethtool -l shows).",
                nic->name, wanted);
    return true;
}

/* ---- Steering ---- */

/* How many of the queues there are, up to the limit. */
static uint32_t doctor_nic_count(const struct doctor *doctor, const struct doctor_nic *nic,
                                 const char *kind, const char *file)
{
    char mask[DOCTOR_NIC_TEXT_BYTES_MAX];
    uint32_t count = 0;
    while (count < DOCTOR_NIC_QUEUES_MAX &&
           doctor_read(doctor, mask, sizeof mask, "/sys/class/net/%s/queues/%s-%u/%s", nic->name,
                       kind, count, file)) {
        count++;
    }
    return count;
}

/* Whether the mask of any of the queues has the CPU; -1: any CPU. */
static bool doctor_nic_steers(const struct doctor *doctor, const struct doctor_nic *nic,
                              const char *kind, const char *file, int cpu)
{
    char mask[DOCTOR_NIC_TEXT_BYTES_MAX];
    for (uint32_t i = 0; i < DOCTOR_NIC_QUEUES_MAX; i++) {
        if (!doctor_read(doctor, mask, sizeof mask, "/sys/class/net/%s/queues/%s-%u/%s", nic->name,
                         kind, i, file)) {
            return false;
        }
        if (doctor_nic_masks(mask, cpu)) {
            return true;
        }
    }
    return false;
}

/* RPS: one queue, whose packets can be given to other CPUs. */
static bool doctor_nic_receive(struct doctor *doctor, const struct doctor_nic *nic)
{
    uint32_t cores = doctor->options->core_count;
    assert_debug(nic->index != 0);
    if (cores == 1 || doctor_nic_count(doctor, nic, "rx", "rps_cpus") != 1 ||
        doctor_nic_steers(doctor, nic, "rx", "rps_cpus", -1)) {
        return false;
    }
    struct doctor_finding *finding = doctor_add(doctor, "nic.steering", DOCTOR_INFO);
    doctor_text(finding->is, "%s has one receive queue and no RPS, for %u cores.", nic->name,
                cores);
    doctor_text(finding->why, "One CPU handles the acknowledgements of all clients.");
    doctor_text(finding->change,
                "Give them to CPUs that serve no core: echo MASK > "
                "/sys/class/net/%s/queues/rx-0/rps_cpus; the mask of CPUs 0 and 1 is 3.",
                nic->name);
    return true;
}

/* XPS: queues to send by, of which each CPU should have one. */
static bool doctor_nic_transmit(struct doctor *doctor, const struct doctor_nic *nic)
{
    if (doctor_nic_count(doctor, nic, "tx", "xps_cpus") < 2 ||
        !doctor_nic_steers(doctor, nic, "tx", "xps_cpus", -1)) {
        return false; /* The kernel spreads connections over all queues. */
    }
    for (uint32_t i = 0; i < doctor->options->core_count; i++) {
        int cpu = doctor->options->cpus[i];
        if (cpu < 0 || doctor_nic_steers(doctor, nic, "tx", "xps_cpus", cpu)) {
            continue;
        }
        struct doctor_finding *finding = doctor_add(doctor, "nic.steering", DOCTOR_INFO);
        doctor_text(finding->is, "%s has no send queue for CPU %d of core %u (xps_cpus).",
                    nic->name, cpu, i);
        doctor_text(finding->why, "The core waits for the locks of queues that other CPUs use.");
        doctor_text(finding->change,
                    "Add the CPU to the mask of a queue: /sys/class/net/%s/queues/tx-N/xps_cpus.",
                    nic->name);
        return true;
    }
    return false;
}

static bool doctor_nic_steering(struct doctor *doctor, const struct doctor_nic *nic)
{
    bool receives = doctor_nic_is_device(doctor, nic) && doctor_nic_receive(doctor, nic);
    bool transmits = doctor_nic_is_device(doctor, nic) && doctor_nic_transmit(doctor, nic);
    return receives || transmits;
}

/* ---- NUMA ---- */

static bool doctor_nic_numa(struct doctor *doctor, const struct doctor_nic *nic)
{
    int64_t node;
    cpu_set_t cpus;
    char path[64], text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    if (!doctor_nic_is_shown(doctor, nic) ||
        !doctor_read_number(doctor, &node, "/sys/class/net/%s/device/numa_node", nic->name) ||
        node < 0) {
        return false;
    }
    snprintf(path, sizeof path, "/sys/devices/system/node/node%" PRId64 "/cpulist", node);
    doctor_cpus_read(doctor, &cpus, path);
    for (uint32_t i = 0; CPU_COUNT(&cpus) > 0 && i < doctor->options->core_count; i++) {
        int cpu = doctor->options->cpus[i];
        if (cpu < 0 || CPU_ISSET(cpu, &cpus)) {
            continue;
        }
        struct doctor_finding *finding = doctor_add(doctor, "nic.numa", DOCTOR_WARN);
        doctor_text(finding->is, "%s is at NUMA node %" PRId64 ", CPU %d of core %u is not.",
                    nic->name, node, cpu, i);
        doctor_text(finding->why, "Each packet crosses to the other node, which costs the core "
                                  "time with every send.");
        doctor_text(finding->change, "Choose --cores of that node: %s.",
                    doctor_cpus_text(&cpus, text));
        return true;
    }
    return false;
}

/* ---- All of them ---- */

static const struct {
    const char *id;
    bool (*look)(struct doctor *doctor, const struct doctor_nic *nic); /* true: a finding */
    const char *is_well;
} doctor_nic_checks[] = {
    {"nic.offload", doctor_nic_offload, "The network cards cut segments (SG, TSO, GSO)."},
    {"nic.coalesce", doctor_nic_coalesce, "No network card holds interrupts back for long."},
    {"nic.queues", doctor_nic_queues, "The network cards have queues for all cores."},
    {"nic.steering", doctor_nic_steering, "Packets are not steered to the wrong CPUs."},
    {"nic.numa", doctor_nic_numa, "No core is at another NUMA node than a network card."},
};

void doctor_check_nic(struct doctor *doctor)
{
    const struct doctor_network *network = &doctor->host->network;
    bool is_ours = doctor_namespace_is_ours(doctor);
    for (size_t i = 0; i < sizeof doctor_nic_checks / sizeof doctor_nic_checks[0]; i++) {
        const char *id = doctor_nic_checks[i].id;
        bool is_found = false;
        if (!is_ours) {
            doctor_namespace_say_elsewhere(doctor, id);
            continue;
        }
        assert_always(network->nic_count <= DOCTOR_NICS_MAX);
        for (uint32_t nic = 0; nic < network->nic_count; nic++) {
            is_found |= doctor_nic_checks[i].look(doctor, &network->nics[nic]);
        }
        assert_debug(!is_found || network->nic_count > 0);
        if (!is_found) {
            doctor_text(doctor_add(doctor, id, DOCTOR_OK)->is, "%s",
                        network->nic_count == 0 ? "Clients come by no network card."
                                                : doctor_nic_checks[i].is_well);
        }
    }
}
