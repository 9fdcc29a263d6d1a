"""Findings of `ringcast doctor` about memory, the network, tracing and a running server, each provoked for real.

Where a finding says what to run, the test runs it, and the finding is gone.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import unittest
import uuid

import debian
from server import Server, program, reap, run, spawn, wait_until
from test_memory_cgroup import memory_group
from tracing import Side, must

PORT = 8765  # of servers in namespaces of their own
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"  # incomplete: the server says nothing


def doctor(check, *options, prefix=()):
    """(level, finding) of one check, by the worst of its findings. Other servers may run at this host."""
    options = options or ("--port", PORT)
    done = run([*prefix, program("ringcast"), "doctor", "--only", check, "--json", *map(str, options)])
    if done.returncode not in (0, 1, 2):
        raise AssertionError(f"doctor ended with {done.returncode}: {done.stderr}")
    finding = json.loads(done.stdout)["findings"][0]
    status = {"FAIL": 2, "WARN": 1}.get(finding["level"], 0)
    if done.returncode != status:
        raise AssertionError(f"status {done.returncode} with {finding}")
    return finding["level"], finding


def command_of(finding, begin):
    """The command that begins so, in what to change."""
    text = finding["change"]
    return re.split(r", (?:or|and|for) |\.(?: |$)", text[text.index(begin):])[0].split()


class Mounts:
    """A mount namespace whose /dev/shm has this size. It lives as long as the process that holds it."""

    def __init__(self, size):
        self.holder = spawn(["unshare", "--mount", "sh", "-c",
                             f"mount -t tmpfs -o size={size} tmpfs /dev/shm && echo && exec cat"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.is_made = self.holder.stdout.readline() == b"\n"
        self.prefix = ("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt")

    def __enter__(self):
        if not self.is_made:
            self.__exit__()
            raise unittest.SkipTest("SKIPPED: no mount namespace may be made here")
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.stdout.close()
        reap(self.holder)


@contextlib.contextmanager
def network():
    side = Side()
    try:
        yield side
    finally:
        side.close()


class Memory(unittest.TestCase):
    def test_a_cgroup_that_is_too_small_for_the_log_fails(self):
        found = memory_group()
        if found is None:
            raise unittest.SkipTest("SKIPPED: no memory cgroup is in use here")
        folder, limit = found
        group = folder / f"ringcast-doctor-{uuid.uuid4().hex[:12]}"
        try:
            group.mkdir()
        except OSError as error:
            self.skipTest(f"SKIPPED: no cgroup may be made here: {error}")
        self.addCleanup(group.rmdir)
        inside = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "-")
        (group / limit).write_text("64M")
        level, finding = doctor("mem.cgroup", prefix=inside)
        self.assertEqual(level, "FAIL", finding)
        self.assertIn(f"{group}/{limit}"[:90], finding["is"])
        (group / limit).write_text("4G")
        self.assertEqual(doctor("mem.cgroup", prefix=inside)[0], "OK")

    def test_a_log_larger_than_the_machine_fails(self):
        self.assertEqual(doctor("mem.room", "--frame-log-bytes", "64g")[0],
                         "FAIL" if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") < 64 << 30 else "OK")
        self.assertEqual(doctor("mem.room", "--frame-log-bytes", "1m", "--max-connections", "10")[0], "OK")

    def test_a_small_shm_is_warned_of_until_it_is_larger(self):
        with Mounts("16k") as mounts:
            level, finding = doctor("shm.room", prefix=mounts.prefix)
            self.assertEqual(level, "WARN", finding)
            debian.command(*mounts.prefix, *command_of(finding, "mount -o"))
            self.assertEqual(doctor("shm.room", prefix=mounts.prefix)[0], "OK")

    def test_a_server_that_found_no_room_in_shm_is_warned_of(self):
        with Mounts("16k") as mounts, Server(prefix=mounts.prefix) as server:
            level, finding = doctor("shm.room", "--pid", server.pid)
            self.assertEqual(level, "WARN", finding)
            self.assertIn("has no counters file", finding["is"])
            self.assertEqual(doctor("run.laps", "--pid", server.pid)[0], "UNKNOWN")

    def test_the_file_of_a_killed_server_is_named_until_it_is_removed(self):
        with Mounts("1m") as mounts:
            server = Server(prefix=mounts.prefix).start()
            self.assertEqual(doctor("shm.stale", prefix=mounts.prefix)[0], "OK")
            server.kill()
            level, finding = doctor("shm.stale", prefix=mounts.prefix)
            self.assertEqual(level, "INFO", finding)
            self.assertIn(f"rm /dev/shm/ringcast-{server.process.pid}", finding["change"])
            debian.command(*mounts.prefix, *command_of(finding, "rm "))
            self.assertEqual(doctor("shm.stale", prefix=mounts.prefix)[0], "OK")


class Network(unittest.TestCase):
    def setUp(self):
        must("ip", "ethtool", "nsenter", "sysctl")

    def test_slow_start_after_idle_is_warned_of_until_it_is_off(self):
        with network() as side:
            side.run("sysctl", "-w", "net.ipv4.tcp_congestion_control=reno")
            side.run("sysctl", "-w", "net.ipv4.tcp_slow_start_after_idle=1")
            level, finding = doctor("net.idle_cwnd", prefix=side.prefix)
            self.assertEqual(level, "WARN", finding)
            self.assertEqual(doctor("net.idle_cwnd", "--host", "127.0.0.1", prefix=side.prefix)[0], "OK")
            side.run(*command_of(finding, "sysctl -w"))
            self.assertEqual(doctor("net.idle_cwnd", prefix=side.prefix)[0], "OK")

    def test_offloads_that_are_off_are_warned_of_until_they_are_on(self):
        with network() as side:
            side.run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
            side.run("ip", "address", "add", "10.97.1.1/24", "dev", "here")
            self.assertEqual(doctor("nic.offload", prefix=side.prefix)[0], "OK")
            for name in ("here", "there"):
                side.run("ip", "link", "set", name, "up")
            self.assertEqual(doctor("nic.offload", prefix=side.prefix)[0], "OK")
            side.run("ethtool", "-K", "here", "tso", "off", "gso", "off", "sg", "off")
            level, finding = doctor("nic.offload", prefix=side.prefix)
            self.assertEqual((level, finding["is"]), ("WARN", "here: switched off: sg, tso, gso."))
            self.assertEqual(doctor("nic.offload", "--host", "10.97.1.1", prefix=side.prefix)[0], "WARN")
            self.assertEqual(doctor("nic.offload", "--host", "127.0.0.1", prefix=side.prefix)[0], "OK")
            side.run(*command_of(finding, "ethtool -K"))
            self.assertEqual(doctor("nic.offload", prefix=side.prefix)[0], "OK")

    def test_a_send_buffer_that_the_kernel_cuts_is_warned_of(self):
        most = int(pathlib.Path("/proc/sys/net/core/wmem_max").read_text())
        if most >= 64 << 20:
            raise unittest.SkipTest("SKIPPED: net.core.wmem_max permits every --send-buffer-bytes")
        level, finding = doctor("net.buffers", "--send-buffer-bytes", most + 1)
        self.assertEqual(level, "WARN")
        self.assertIn(f"sysctl -w net.core.wmem_max={most + 1}", finding["change"])
        self.assertNotEqual(doctor("net.buffers", "--send-buffer-bytes", most)[0], "WARN")

    def test_connections_that_found_a_queue_full_are_counted_and_no_others(self):
        with network() as side, contextlib.ExitStack() as clients:
            side.run("sysctl", "-w", "net.core.somaxconn=1")
            server = clients.enter_context(Server(prefix=side.prefix, port=PORT))
            look = ("--pid", server.pid)
            level, before = doctor("net.backlog", *look, prefix=side.prefix)
            self.assertEqual(level, "WARN", before)  # 1000 clients may come at once.
            self.assertIn("net.core.somaxconn is 1", before["is"])
            with side.inside():
                client = clients.enter_context(socket.create_connection(("127.0.0.1", PORT)))
            client.sendall(REQUEST + b"\r\n")
            client.recv(100)  # It was accepted. TCP_DEFER_ACCEPT made it a drop of the listening socket before.
            self.assertEqual(doctor("net.backlog", *look, prefix=side.prefix)[1]["is"], before["is"])
            server.signal(signal.SIGSTOP)
            try:
                with side.inside():
                    for _ in range(8):
                        client = clients.enter_context(socket.socket())
                        client.setblocking(False)
                        client.connect_ex(("127.0.0.1", PORT))
                        with contextlib.suppress(OSError):
                            client.send(REQUEST)  # Only then does the kernel queue it.
                finding = wait_until(lambda: next((it for _, it in [doctor("net.backlog", *look, prefix=side.prefix)]
                                                   if "found a queue" in it["is"]), None), 30)
            finally:
                server.signal(signal.SIGCONT)
            self.assertTrue(finding, "no connection was dropped")

    def test_a_server_in_another_namespace_is_not_judged_by_our_network(self):
        with network() as side, Server(prefix=side.prefix) as server:
            for check in ("net.backlog", "nic.offload"):
                level, finding = doctor(check, "--pid", server.pid)
                self.assertEqual(level, "UNKNOWN", finding)
                self.assertIn(f"nsenter -t {server.pid} -n", finding["change"])
                self.assertNotEqual(doctor(check, "--pid", server.pid, prefix=side.prefix)[0], "UNKNOWN")


class Running(unittest.TestCase):
    def test_a_server_in_order_has_no_finding(self):
        with Server() as server:
            server.wait_for_ticks(10)
            for check in ("run.laps", "run.overflow", "run.recv", "run.malformed", "run.log"):
                self.assertEqual(doctor(check, "--pid", server.pid)[0], "OK")

    def test_a_server_that_is_not_looked_at_is_unknown(self):
        self.assertEqual(doctor("run.laps", "--port", PORT)[0], "UNKNOWN")

    def test_input_that_does_not_parse_is_warned_of(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "ticks.csv")
            path.write_text("ts_ns,symbol,type,price,size\n1000000000,A,T,1.5,100\n1000000001,A,T,none,100\n")
            with Server("--feed", f"replay:path={path}", "--feed", "sim") as server:
                level, finding = wait_until(lambda: (doctor("run.malformed", "--pid", server.pid)[0] == "WARN" and
                                                     doctor("run.malformed", "--pid", server.pid)), 30) or (None, None)
                self.assertEqual(level, "WARN", server.log())
                self.assertIn("1 inputs", finding["is"])

    def test_a_server_with_its_own_shm_is_read_in_its_mount_namespace(self):
        with Mounts("1m") as mounts, Server(prefix=mounts.prefix) as server:
            self.assertFalse(server.counters_path().exists())
            self.assertEqual(doctor("run.laps", "--pid", server.pid)[0], "OK")


class Tracing(unittest.TestCase):
    def test_tracefs_that_is_not_mounted_is_told_until_it_is(self):
        with Mounts("1m") as mounts:
            subprocess.run([*mounts.prefix, "umount", "/sys/kernel/tracing"], check=False, capture_output=True)
            level, finding = doctor("trace.tracefs", prefix=mounts.prefix)
            self.assertEqual(level, "INFO", finding)
            mounted = subprocess.run([*mounts.prefix, *command_of(finding, "mount -t")], check=False,
                                     capture_output=True, text=True)
            if mounted.returncode != 0:
                raise unittest.SkipTest(f"SKIPPED: tracefs cannot be mounted here: {mounted.stderr}")
            self.assertEqual(doctor("trace.tracefs", prefix=mounts.prefix)[0], "OK")

    def test_an_ordinary_user_is_told_that_only_root_may_trace(self):
        if not pathlib.Path("/sys/kernel/tracing/events").exists():
            raise unittest.SkipTest("SKIPPED: tracefs is not mounted")
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        level, finding = doctor("trace.tracefs", prefix=user)
        self.assertEqual(level, "INFO")
        self.assertIn("Only root", finding["is"])
