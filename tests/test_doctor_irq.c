#include "tests/doctor_tree.h"

#include "src/doctor/doctor_cpus.h"

#define INTERRUPTS "/proc/interrupts"
#define SOFTNET "/proc/net/softnet_stat"
#define HEADING "            CPU0       CPU2       CPU3 \n" /* CPU 1 is offline. */
#define LOCAL "LOC:    9000000    9000000    9000000   Local timer interrupts\n"

static void options_are(struct doctor_tree *tree, const char *line)
{
    options_deinit(&tree->options);
    tree->options = options_fixture_parsed(line, NULL);
}

static void interrupt_cpu_3(struct doctor_tree *tree)
{
    doctor_tree_write(tree, INTERRUPTS,
                      HEADING " 40:         10       9000       7101  PCI-MSI 5-edge  nvme0q1\n"
                              " 41:         10          0       8500  PCI-MSI 6-edge  eth0-rx-0\n"
                              " 42:         10          0         90  PCI-MSI 7-edge  eth0-tx-0\n"
                              "LOC:   19000000   19000000   19000000  Local timer interrupts\n");
}

static void device_that_interrupts_a_core_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 3-3");
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, "/sys/devices/system/cpu/online", "0,2-3\n");
    doctor_tree_write(tree, INTERRUPTS,
                      HEADING
                      " 40:         10       9000       7000  PCI-MSI 5-edge  nvme0q1\n"
                      " 41:         10          0          0  PCI-MSI 6-edge  eth0-rx-0\n"
                      " 42:         10          0          0  PCI-MSI 7-edge  eth0-tx-0\n" LOCAL);
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_OK);
    tree->later = interrupt_cpu_3;
    const struct doctor_finding *finding = doctor_tree_finds(tree, "irq.on_core", DOCTOR_WARN);
    doctor_tree_says(finding, "eth0-rx-0 interrupts CPU 3, where cores run, 8500 times a second");
    doctor_tree_says(finding, "for i in 40 41; do echo 0,2 > /proc/irq/$i/smp_affinity_list; done");
}

static void interrupts_elsewhere_are_good(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-2");
    doctor_tree_write(tree, INTERRUPTS,
                      HEADING
                      " 40:         10       9000       7000  PCI-MSI 5-edge  nvme0q1\n" LOCAL);
    tree->later = interrupt_cpu_3;
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_OK);
    doctor_tree_write(tree, INTERRUPTS,
                      HEADING
                      " 40:         10       9500       7000  PCI-MSI 5-edge  other\n" LOCAL);
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_OK); /* counts from 0 again */
    options_are(tree, "--cores 1");                    /* not pinned */
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_OK);
}

static void interrupt_cpu_2_in_a_line_that_is_cut_off(struct doctor_tree *tree)
{
    doctor_tree_write(tree, INTERRUPTS, HEADING " 40:         10       9999");
}

static void line_that_is_cut_off_does_not_count(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-2");
    doctor_tree_write(tree, INTERRUPTS, HEADING " 40:         10       9");
    tree->later = interrupt_cpu_2_in_a_line_that_is_cut_off;
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_OK);
}

/* Where else should they go? */
static void interrupts_are_mentioned_where_cores_use_all_cpus(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 0,2,3");
    doctor_tree_write(tree, "/sys/devices/system/cpu/online", "0,2-3\n");
    doctor_tree_write(tree, INTERRUPTS, HEADING LOCAL);
    tree->later = interrupt_cpu_3;
    doctor_tree_finds(tree, "irq.on_core", DOCTOR_INFO);
}

static void drop_packets(struct doctor_tree *tree)
{
    doctor_tree_write(tree, SOFTNET,
                      "00001100 00000000 00000003 00000000\n00002000 0000000b 00000000\n");
}

static void dropped_packets_are_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "irq.softirq", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SOFTNET,
                      "00001000 00000000 00000003 00000000\n00002000 00000000 00000000\n");
    doctor_tree_finds(tree, "irq.softirq", DOCTOR_OK);
    tree->later = drop_packets;
    doctor_tree_says(doctor_tree_finds(tree, "irq.softirq", DOCTOR_WARN),
                     "dropped 11 of 12544 received packets since its start, 11 of them just now");
    doctor_tree_finds(tree, "irq.softirq", DOCTOR_INFO); /* They are of the past now. */
}

static void lists_of_cpus_are_read_and_printed(void **state)
{
    (void)state;
    static const char *const lists[] = {"", "0", "0-3", "0,2-3,1023", "5,7,9"};
    char text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t cpus;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        doctor_cpus_parse(lists[i], &cpus);
        assert_string_equal(doctor_cpus_text(&cpus, text), lists[i]);
    }
    doctor_cpus_parse("\n", &cpus);
    assert_int_equal(CPU_COUNT(&cpus), 0);
    doctor_cpus_parse("0-99999999", &cpus);
    assert_int_equal(CPU_COUNT(&cpus), CPU_SETSIZE);
    doctor_cpus_parse("0-1023", &cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu += 2) {
        CPU_CLR(cpu, &cpus);
    }
    assert_non_null(strstr(doctor_cpus_text(&cpus, text), ",..."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(device_that_interrupts_a_core_is_warned_of),
        doctor_tree_test(interrupts_elsewhere_are_good),
        doctor_tree_test(line_that_is_cut_off_does_not_count),
        doctor_tree_test(interrupts_are_mentioned_where_cores_use_all_cpus),
        doctor_tree_test(dropped_packets_are_warned_of),
        cmocka_unit_test(lists_of_cpus_are_read_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
