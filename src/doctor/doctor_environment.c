#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"

#define DOCTOR_ENVIRONMENT_BYTES_MAX 4096
#define DOCTOR_ENVIRONMENT_NAME_BYTES_MAX 64

/* The value of "container=" in the environment of process 1; false: it has none, or is another
 * user's. */
static bool doctor_environment_of_init(const struct doctor *doctor, char *out, size_t bytes)
{
    static const char name[] = "container=";
    assert_always(bytes > 0);
    char text[DOCTOR_ENVIRONMENT_BYTES_MAX] = {0};
    if (!doctor_read(doctor, text, sizeof text, "/proc/1/environ")) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at += strlen(at) + 1) {
        if (strncmp(at, name, sizeof name - 1) == 0) {
            snprintf(out, bytes, "%s", at + sizeof name - 1);
            return true;
        }
    }
    return false;
}

/* By what a container's engine leaves in it. false: nothing is there. */
static bool doctor_environment_engine(const struct doctor *doctor, char *out, size_t bytes)
{
    static const char *const folders[] = {"kubepods", "docker", "libpod", "containerd", "lxc"};
    char text[DOCTOR_ENVIRONMENT_BYTES_MAX];
    if (doctor_read(doctor, text, sizeof text, "/run/.containerenv")) {
        snprintf(out, bytes, "podman");
        return true;
    }
    if (doctor_read(doctor, text, sizeof text, "/.dockerenv")) {
        snprintf(out, bytes, "docker");
        return true;
    }
    if (doctor_environment_of_init(doctor, out, bytes)) {
        return true;
    }
    bool is_read = doctor_read(doctor, text, sizeof text, "/proc/self/cgroup");
    for (size_t i = 0; is_read && i < sizeof folders / sizeof folders[0]; i++) {
        if (strstr(text, folders[i]) != NULL) {
            snprintf(out, bytes, "%s", folders[i]);
            return true;
        }
    }
    return false;
}

static void doctor_environment_container(struct doctor *doctor)
{
    char text[DOCTOR_ENVIRONMENT_BYTES_MAX];
    char engine[DOCTOR_ENVIRONMENT_NAME_BYTES_MAX];
    struct doctor_finding *finding;
    if (doctor_read(doctor, text, sizeof text, "/proc/version") && strstr(text, "gVisor") != NULL) {
        finding = doctor_add(doctor, "env.container", DOCTOR_FAIL);
        doctor_text(finding->is, "The kernel is gVisor's.");
        doctor_text(finding->why, "It has no io_uring that a server could use.");
        doctor_text(finding->change, "Run the container by runc or crun (docker --runtime runc).");
    } else if (doctor_environment_engine(doctor, engine, sizeof engine)) {
        finding = doctor_add(doctor, "env.container", DOCTOR_INFO);
        doctor_text(finding->is, "This is a container (%s).", engine);
        doctor_text(finding->why, "CPUs, interrupts and network cards are the host's, and not all "
                                  "that they do can be seen in a container.");
        doctor_text(finding->change, "Run ringcast doctor on the host as well.");
    } else {
        doctor_text(doctor_add(doctor, "env.container", DOCTOR_OK)->is, "This is no container.");
    }
}

static void doctor_environment_namespaces(struct doctor *doctor)
{
    char own[DOCTOR_ENVIRONMENT_NAME_BYTES_MAX];
    char servers[DOCTOR_ENVIRONMENT_NAME_BYTES_MAX];
    if (!doctor_read_link(doctor, own, sizeof own, "/proc/self/ns/net") ||
        !doctor_read_link(doctor, servers, sizeof servers, "/proc/%s/ns/net", doctor->process)) {
        doctor_text(doctor_add(doctor, "env.namespaces", DOCTOR_UNKNOWN)->is,
                    "The namespaces of process %s cannot be read.", doctor->process);
    } else if (strcmp(own, servers) == 0) {
        doctor_text(doctor_add(doctor, "env.namespaces", DOCTOR_OK)->is,
                    "The server's network is the one that is looked at.");
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "env.namespaces", DOCTOR_INFO);
        doctor_text(finding->is, "Process %s is in another network namespace.", doctor->process);
        doctor_text(finding->why, "The checks net.* and nic.* cannot look at its network.");
        doctor_text(finding->change,
                    "Run ringcast doctor in the server's container, or as root: nsenter -t %s -n "
                    "ringcast doctor --pid %s",
                    doctor->process, doctor->process);
    }
}

static void doctor_environment_vm(struct doctor *doctor)
{
    char text[DOCTOR_ENVIRONMENT_BYTES_MAX];
    char product[DOCTOR_ENVIRONMENT_NAME_BYTES_MAX] = "";
    struct doctor_finding *finding;
    if (doctor_read(doctor, text, sizeof text, "/proc/version") &&
        strcasestr(text, "microsoft") != NULL) {
        finding = doctor_add(doctor, "env.vm", DOCTOR_WARN);
        doctor_text(finding->is, "This is the Windows Subsystem for Linux.");
        doctor_text(finding->why, "Its clock and its network are emulated, and add milliseconds.");
        doctor_text(finding->change, "Serve from a machine with Linux; this one is for trying.");
        return;
    }
    bool is_virtual = (doctor_read_field(doctor, text, sizeof text, "flags", "/proc/cpuinfo") &&
                       strstr(text, " hypervisor") != NULL) ||
                      doctor_read(doctor, text, sizeof text, "/sys/hypervisor/type");
    if (!is_virtual) {
        doctor_text(doctor_add(doctor, "env.vm", DOCTOR_OK)->is,
                    "The processor shows no hypervisor.");
        return;
    }
    (void)doctor_read_field(doctor, product, sizeof product, "", "/sys/class/dmi/id/product_name");
    finding = doctor_add(doctor, "env.vm", DOCTOR_INFO);
    doctor_text(finding->is, "This is a virtual machine%s%s.", product[0] == '\0' ? "" : ": ",
                product);
    doctor_text(finding->why, "Its host may take the CPU away (steal), and interrupts cost more.");
    doctor_text(finding->change, "For the lowest latency, give it CPUs of its own at the host.");
}

static void doctor_environment_options(struct doctor *doctor)
{
    if (doctor->options_note == NULL) {
        doctor_text(doctor_add(doctor, "env.options", DOCTOR_OK)->is,
                    "The options of the server are known.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "env.options", DOCTOR_INFO);
    assert_debug(doctor->options_note[0] != '\0');
    doctor_text(finding->is, "%s", doctor->options_note);
    doctor_text(finding->why, "Checks take the default of each option that they do not know.");
    doctor_text(finding->change, "Run ringcast doctor as root or as the server's user, in its "
                                 "container; or give it the server's options, without --pid.");
}

void doctor_check_environment(struct doctor *doctor)
{
    doctor_environment_container(doctor);
    doctor_environment_namespaces(doctor);
    doctor_environment_vm(doctor);
    doctor_environment_options(doctor);
}
