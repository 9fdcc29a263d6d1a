#include "tests/doctor_tree.h"

#define SYS "/proc/sys/net/"
#define NIC "/sys/class/net/eth0/"

static struct doctor_nic *put_nic(struct doctor_tree *tree)
{
    struct doctor_nic *nic = &tree->host.network.nics[0];
    tree->host.network.nic_count = 1;
    *nic = (struct doctor_nic){.name = "eth0", .index = 2, .queues = 1, .queues_max = 1};
    doctor_tree_write(tree, NIC "ifindex", "2\n");
    doctor_tree_link(tree, NIC "device", "../../../0000:00:03.0");
    return nic;
}

/* Two cores, pinned to CPUs 2 and 3. */
static void pin_two_cores(struct doctor_tree *tree)
{
    tree->options.core_count = 2;
    tree->options.cpus[0] = 2;
    tree->options.cpus[1] = 3;
}

static void run_as(struct doctor_tree *tree, int pid)
{
    tree->doctor.pid = pid;
    snprintf(tree->doctor.process, sizeof tree->doctor.process, "%d", pid);
}

/* ---- net.* ---- */

static void short_queues_of_new_connections_are_reported(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.backlog", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SYS "core/somaxconn", "65535\n");
    doctor_tree_finds(tree, "net.backlog", DOCTOR_OK);
    doctor_tree_write(tree, SYS "core/netdev_max_backlog", "1000\n");
    doctor_tree_write(tree, SYS "core/somaxconn", "4096\n");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "net.backlog", DOCTOR_INFO);
    doctor_tree_says(finding, "net.core.somaxconn is 4096");
    doctor_tree_says(finding, "net.core.netdev_max_backlog is 1000");
    doctor_tree_says(finding, "sysctl --system");
    tree->options.connections_max = 10000;
    doctor_tree_finds(tree, "net.backlog", DOCTOR_WARN);
    tree->options.connections_max = 1000000; /* The longest queue is shorter. */
    doctor_tree_write(tree, SYS "core/somaxconn", "65535\n");
    doctor_tree_finds(tree, "net.backlog", DOCTOR_INFO);
}

static void queues_that_were_full_are_reported(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, SYS "core/somaxconn", "65535\n");
    doctor_tree_write(tree, "/proc/net/netstat",
                      "TcpExt: ListenOverflows TCPDeferAcceptDrop\nTcpExt: 0 50\n");
    doctor_tree_finds(tree, "net.backlog", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/net/netstat",
                      "TcpExt: ListenOverflows TCPDeferAcceptDrop\nTcpExt: 7 50\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.backlog", DOCTOR_INFO), "7 new connections");
    doctor_tree_write(tree, SYS "core/somaxconn", "4096\n");
    tree->options.connections_max = 10000;
    doctor_tree_says(doctor_tree_finds(tree, "net.backlog", DOCTOR_WARN), "7 new connections");
}

static void a_buffer_that_the_kernel_cuts_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.buffers", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SYS "core/wmem_max", "212992\n");
    doctor_tree_finds(tree, "net.buffers", DOCTOR_OK);
    tree->options.send_buffer_bytes = 1 * MIB;
    doctor_tree_says(doctor_tree_finds(tree, "net.buffers", DOCTOR_WARN),
                     "sysctl -w net.core.wmem_max=1048576");
}

static void memory_of_tcp_is_compared_with_what_clients_may_fill(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, SYS "core/wmem_max", "4194304\n");
    doctor_tree_write(tree, SYS "ipv4/tcp_mem", "20000\t100000\t200000\n");
    doctor_tree_write(
        tree, "/proc/net/sockstat",
        "sockets: used 9\nTCP: inuse 5 orphan 0 tw 3 alloc 7 mem 90000\nUDP: mem 1\n");
    doctor_tree_finds(tree, "net.buffers", DOCTOR_OK);
    tree->options.connections_max = 10000;
    doctor_tree_finds(tree, "net.buffers", DOCTOR_INFO);
    doctor_tree_write(tree, "/proc/net/sockstat", "TCP: inuse 5 mem 100001\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.buffers", DOCTOR_WARN), "tcp_mem");
}

static void a_full_table_of_connections_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.conntrack", DOCTOR_OK); /* Nothing is tracked. */
    doctor_tree_write(tree, SYS "netfilter/nf_conntrack_max", "1000\n");
    doctor_tree_write(tree, SYS "netfilter/nf_conntrack_count", "800\n");
    doctor_tree_finds(tree, "net.conntrack", DOCTOR_OK);
    doctor_tree_write(tree, SYS "netfilter/nf_conntrack_count", "801\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.conntrack", DOCTOR_WARN),
                     "sysctl -w net.netfilter.nf_conntrack_max=2000");
    doctor_tree_write(tree, SYS "netfilter/nf_conntrack_count", "5\n");
    tree->options.connections_max = 1001;
    doctor_tree_finds(tree, "net.conntrack", DOCTOR_WARN);
}

static void a_window_that_shrinks_in_a_pause_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.idle_cwnd", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SYS "ipv4/tcp_slow_start_after_idle", "1\n");
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "cubic\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.idle_cwnd", DOCTOR_WARN),
                     "sysctl -w net.ipv4.tcp_slow_start_after_idle=0");
    tree->host.network.is_local = true;
    doctor_tree_finds(tree, "net.idle_cwnd", DOCTOR_OK);
    tree->host.network.is_local = false;
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "bbr\n");
    doctor_tree_finds(tree, "net.idle_cwnd", DOCTOR_OK);
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "cubic\n");
    doctor_tree_write(tree, SYS "ipv4/tcp_slow_start_after_idle", "0\n");
    doctor_tree_finds(tree, "net.idle_cwnd", DOCTOR_OK);
}

static void corking_that_has_held_packets_back_is_told(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.corking", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SYS "ipv4/tcp_autocorking", "1\n");
    doctor_tree_finds(tree, "net.corking", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/net/netstat",
                      "TcpExt: ListenOverflows TCPAutoCorking TCPSynRetrans\nTcpExt: 5 12 9\n"
                      "IpExt: InOctets\nIpExt: 4\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.corking", DOCTOR_INFO), "back 12 times");
    doctor_tree_write(tree, SYS "ipv4/tcp_autocorking", "0\n");
    doctor_tree_finds(tree, "net.corking", DOCTOR_OK);
}

static void congestion_control_is_told(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "net.cc", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "cubic\n");
    doctor_tree_write(tree, SYS "core/default_qdisc", "fq_codel\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.cc", DOCTOR_OK), "cubic");
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "bbr\n");
    doctor_tree_says(doctor_tree_finds(tree, "net.cc", DOCTOR_INFO), "fq_codel");
}

static void a_server_in_another_namespace_is_not_judged_by_ours(void **state)
{
    struct doctor_tree *tree = *state;
    run_as(tree, 42);
    doctor_tree_write(tree, SYS "ipv4/tcp_congestion_control", "bbr\n");
    doctor_tree_link(tree, "/proc/self/ns/net", "net:[4026531840]");
    doctor_tree_link(tree, "/proc/42/ns/net", "net:[4026532222]");
    doctor_tree_says(doctor_tree_finds(tree, "net.cc", DOCTOR_UNKNOWN), "nsenter -t 42 -n");
    doctor_tree_finds(tree, "nic.offload", DOCTOR_UNKNOWN);
}

/* ---- nic.* ---- */

static void a_host_without_cards_is_well(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_run(tree, "nic");
    assert_int_equal(tree->doctor.count, 5);
    for (uint32_t i = 0; i < tree->doctor.count; i++) {
        assert_int_equal(tree->doctor.findings[i].level, DOCTOR_OK);
    }
}

static void offloads_that_are_off_are_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    struct doctor_nic *nic = put_nic(tree);
    doctor_tree_finds(tree, "nic.offload", DOCTOR_OK);
    nic->offloads_off = 1u << DOCTOR_OFFLOAD_TSO | 1u << DOCTOR_OFFLOAD_GSO;
    doctor_tree_says(doctor_tree_finds(tree, "nic.offload", DOCTOR_WARN),
                     "ethtool -K eth0 tso on gso on");
}

static void interrupts_that_are_held_back_are_told(void **state)
{
    struct doctor_tree *tree = *state;
    struct doctor_nic *nic = put_nic(tree);
    nic->rx_usecs = 50;
    doctor_tree_finds(tree, "nic.coalesce", DOCTOR_OK);
    nic->rx_usecs = 51;
    doctor_tree_says(doctor_tree_finds(tree, "nic.coalesce", DOCTOR_INFO), "ethtool -C eth0");
}

static void queues_that_could_be_switched_on_are_told(void **state)
{
    struct doctor_tree *tree = *state;
    struct doctor_nic *nic = put_nic(tree);
    pin_two_cores(tree);
    doctor_tree_finds(tree, "nic.queues", DOCTOR_OK); /* It has one only. */
    nic->queues_max = 8;
    doctor_tree_says(doctor_tree_finds(tree, "nic.queues", DOCTOR_INFO),
                     "ethtool -L eth0 combined 2");
    nic->queues = 2;
    doctor_tree_finds(tree, "nic.queues", DOCTOR_OK);
}

static void one_queue_without_rps_is_told_of_several_cores(void **state)
{
    struct doctor_tree *tree = *state;
    put_nic(tree);
    doctor_tree_write(tree, NIC "queues/rx-0/rps_cpus", "00000000,00000000\n");
    doctor_tree_finds(tree, "nic.steering", DOCTOR_OK);
    pin_two_cores(tree);
    doctor_tree_says(doctor_tree_finds(tree, "nic.steering", DOCTOR_INFO), "rx-0/rps_cpus");
    doctor_tree_write(tree, NIC "queues/rx-0/rps_cpus", "00000003,00000000\n");
    doctor_tree_finds(tree, "nic.steering", DOCTOR_OK);
    doctor_tree_write(tree, NIC "queues/rx-0/rps_cpus", "0\n");
    doctor_tree_write(tree, NIC "queues/rx-1/rps_cpus", "0\n"); /* The card steers. */
    doctor_tree_finds(tree, "nic.steering", DOCTOR_OK);
}

static void a_core_without_a_send_queue_is_told(void **state)
{
    struct doctor_tree *tree = *state;
    put_nic(tree);
    pin_two_cores(tree);
    doctor_tree_write(tree, NIC "queues/tx-0/xps_cpus", "0\n");
    doctor_tree_write(tree, NIC "queues/tx-1/xps_cpus", "0\n");
    doctor_tree_finds(tree, "nic.steering", DOCTOR_OK); /* There is no XPS. */
    doctor_tree_write(tree, NIC "queues/tx-1/xps_cpus", "5\n");
    doctor_tree_says(doctor_tree_finds(tree, "nic.steering", DOCTOR_INFO), "CPU 3 of core 1");
    doctor_tree_write(tree, NIC "queues/tx-0/xps_cpus", "a\n");
    doctor_tree_finds(tree, "nic.steering", DOCTOR_OK);
}

static void a_core_at_another_node_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    put_nic(tree);
    char path[DOCTOR_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s" NIC "device", tree->root);
    assert_int_equal(remove(path), 0); /* of the link */
    doctor_tree_write(tree, NIC "device/numa_node", "1\n");
    doctor_tree_write(tree, "/sys/devices/system/node/node1/cpulist", "0,2-3\n");
    doctor_tree_finds(tree, "nic.numa", DOCTOR_OK); /* No core is pinned. */
    pin_two_cores(tree);
    doctor_tree_finds(tree, "nic.numa", DOCTOR_OK);
    doctor_tree_write(tree, "/sys/devices/system/node/node1/cpulist", "0-2,8\n");
    doctor_tree_says(doctor_tree_finds(tree, "nic.numa", DOCTOR_WARN), "0-2,8");
    doctor_tree_write(tree, NIC "ifindex", "7\n"); /* /sys is of another namespace. */
    doctor_tree_finds(tree, "nic.numa", DOCTOR_OK);
    doctor_tree_write(tree, NIC "ifindex", "2\n");
    doctor_tree_write(tree, NIC "device/numa_node", "-1\n");
    doctor_tree_finds(tree, "nic.numa", DOCTOR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(short_queues_of_new_connections_are_reported),
        doctor_tree_test(queues_that_were_full_are_reported),
        doctor_tree_test(a_buffer_that_the_kernel_cuts_is_warned_of),
        doctor_tree_test(memory_of_tcp_is_compared_with_what_clients_may_fill),
        doctor_tree_test(a_full_table_of_connections_is_warned_of),
        doctor_tree_test(a_window_that_shrinks_in_a_pause_is_warned_of),
        doctor_tree_test(corking_that_has_held_packets_back_is_told),
        doctor_tree_test(congestion_control_is_told),
        doctor_tree_test(a_server_in_another_namespace_is_not_judged_by_ours),
        doctor_tree_test(a_host_without_cards_is_well),
        doctor_tree_test(offloads_that_are_off_are_warned_of),
        doctor_tree_test(interrupts_that_are_held_back_are_told),
        doctor_tree_test(queues_that_could_be_switched_on_are_told),
        doctor_tree_test(one_queue_without_rps_is_told_of_several_cores),
        doctor_tree_test(a_core_without_a_send_queue_is_told),
        doctor_tree_test(a_core_at_another_node_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
