#include "src/doctor/doctor_cpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define DOCTOR_CPUS_LIST_BYTES_MAX 4096
#define DOCTOR_CPUS_STATUS_BYTES_MAX 16384

void doctor_cpus_parse(const char *list, cpu_set_t *cpus_out)
{
    CPU_ZERO(cpus_out);
    for (const char *at = list; *at >= '0' && *at <= '9';) {
        char *end;
        unsigned long first = strtoul(at, &end, 10);
        unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++) {
            CPU_SET(cpu, cpus_out);
        }
        at = end + (*end == ',');
    }
}

const char *doctor_cpus_text(const cpu_set_t *cpus, char out[DOCTOR_CPUS_TEXT_BYTES_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, cpus)) {
            continue;
        }
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus)) {
            last++;
        }
        if (used + 16 > DOCTOR_CPUS_TEXT_BYTES_MAX) {
            strcpy(out + used, ",...");
            break;
        }
        const char *comma = used == 0 ? "" : ",";
        used += (size_t)(last == cpu ? sprintf(out + used, "%s%d", comma, cpu)
                                     : sprintf(out + used, "%s%d-%d", comma, cpu, last));
        cpu = last;
    }
    assert_always(used < DOCTOR_CPUS_TEXT_BYTES_MAX);
    return out;
}

void doctor_cpus_read(const struct doctor *doctor, cpu_set_t *cpus_out, const char *path)
{
    char list[DOCTOR_CPUS_LIST_BYTES_MAX];
    bool is_read = doctor_read(doctor, list, sizeof list, "%s", path);
    doctor_cpus_parse(is_read ? list : "", cpus_out);
}

void doctor_cpus_allowed(const struct doctor *doctor, cpu_set_t *cpus_out, const char *status_path)
{
    static const char key[] = "\nCpus_allowed_list:\t";
    char status[DOCTOR_CPUS_STATUS_BYTES_MAX];
    bool is_read = doctor_read(doctor, status, sizeof status, "%s", status_path);
    const char *list = is_read ? strstr(status, key) : NULL;
    doctor_cpus_parse(list == NULL ? "" : list + sizeof key - 1, cpus_out);
}

void doctor_cpus_of_process(const struct doctor *doctor, cpu_set_t *cpus_out)
{
    char path[32];
    assert_always(doctor->process[0] != '\0');
    snprintf(path, sizeof path, "/proc/%s/status", doctor->process);
    doctor_cpus_allowed(doctor, cpus_out, path);
}

bool doctor_cpus_pinned(const struct doctor *doctor, cpu_set_t *cpus_out)
{
    assert_always(doctor->options->core_count >= 1);
    assert_always(doctor->options->core_count <= OPTIONS_CORES_MAX);
    CPU_ZERO(cpus_out);
    for (uint32_t i = 0; i < doctor->options->core_count; i++) {
        int cpu = doctor->options->cpus[i];
        if (cpu >= 0) {
            assert_always(cpu < CPU_SETSIZE);
            CPU_SET(cpu, cpus_out);
        }
    }
    return CPU_COUNT(cpus_out) > 0;
}

void doctor_cpus_of_cores(const struct doctor *doctor, cpu_set_t *cpus_out)
{
    if (!doctor_cpus_pinned(doctor, cpus_out)) {
        doctor_cpus_of_process(doctor, cpus_out);
    }
}
