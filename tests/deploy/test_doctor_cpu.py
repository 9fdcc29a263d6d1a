"""`ringcast doctor` sees what keeps the cores of a real server from their CPUs: a quota, CPUs that were taken away,
another program, a terminal's session, interrupts. Root provokes each."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from server import Server, program, reap, run, spawn, wait_until  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
CGROUPS = pathlib.Path("/sys/fs/cgroup/cpu")  # of version 1
SECONDS = 60
# Runs a command in the session of a terminal that is its own.
IN_A_TERMINAL = (sys.executable, "-c", """
import fcntl, os, sys, termios
terminal, end = os.openpty()
fcntl.ioctl(end, termios.TIOCSCTTY, 0)
os.set_inheritable(terminal, True)
os.execvp(sys.argv[1], sys.argv[1:])""")


def doctor(check, *arguments):
    """The only finding of a check, and the exit status."""
    done = run([program("ringcast"), "doctor", "--json", "--only", check, *map(str, arguments)])
    if done.stderr:
        raise AssertionError(done.stderr)
    finding, = json.loads(done.stdout)["findings"]
    return finding, done.returncode


def thread(server, name):
    """The thread ID."""
    return next(int(task.name) for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir()
                if (task / "comm").read_text().strip() == name)


class Doctor(unittest.TestCase):
    def wait_until_found(self, server, check, level):
        """Until the doctor finds it; the finding."""
        def found():
            self.seen = doctor(check, "--pid", server.pid)
            return self.seen[0]["level"] == level
        self.assertTrue(wait_until(found, SECONDS), self.seen)
        finding, status = self.seen
        self.assertEqual(status, {"OK": 0, "INFO": 0, "WARN": 1, "FAIL": 2}[level])
        if level in ("WARN", "FAIL"):
            self.assertTrue(finding["why"] and finding["change"], finding)
        return finding["is"]


@unittest.skipUnless((CGROUPS / "cpu.cfs_quota_us").exists(), "SKIPPED: cgroups of version 1 do not limit CPU time here")
class Quota(Doctor):
    @contextlib.contextmanager
    def server_in_cgroups(self, quota_us):
        """A server that polls, in a cgroup without a limit within one that has the limit once it runs."""
        outer = CGROUPS / f"ringcast-test-{uuid.uuid4().hex[:12]}"
        inner = outer / "inner"
        try:
            inner.mkdir(parents=True)
        except OSError as error:
            self.skipTest(f"SKIPPED: no cgroup may be made here: {error}")
        self.addCleanup(outer.rmdir)
        self.addCleanup(inner.rmdir)
        join = ("sh", "-c", f'echo $$ > {inner}/cgroup.procs && exec "$@"', "sh")
        with Server("--cores", "1", "--busy-poll", prefix=join) as server:
            (outer / "cpu.cfs_quota_us").write_text(str(quota_us))
            yield server, outer
            (outer / "cpu.cfs_quota_us").write_text("-1")
        self.assertTrue(wait_until(lambda: not (inner / "cgroup.procs").read_text(), SECONDS))

    def test_a_throttled_server_is_found(self):
        # So small that the server uses it up even where others leave it little.
        with self.server_in_cgroups(2000) as (server, outer):
            throttled = re.compile(r"^nr_throttled [1-9]", re.M)
            self.assertTrue(wait_until(lambda: throttled.search((outer / "cpu.stat").read_text()), SECONDS))
            found = self.wait_until_found(server, "cpu.quota", "FAIL")
            self.assertRegex(found, fr"0\.02 CPUs for 1 core \({outer}/cpu\.cfs_quota_us\)")
            self.assertRegex(found, "throttled in [1-9][0-9]* of [1-9]")
            # The quota is enough for the core now; what it cost until now is not forgotten.
            (outer / "cpu.cfs_quota_us").write_text("200000")
            self.assertIn("2.00 CPUs", self.wait_until_found(server, "cpu.quota", "WARN"))

    def test_a_quota_that_is_enough_is_good(self):
        with self.server_in_cgroups(800000) as (server, outer):
            self.assertIn("8.00 CPUs", self.wait_until_found(server, "cpu.quota", "OK"))
            (outer / "cpu.cfs_quota_us").write_text("-1")
            self.assertEqual(self.wait_until_found(server, "cpu.quota", "OK"), "No cgroup limits CPU time.")


class Cpus(Doctor):
    @unittest.skipIf(len(CPUS) < 2, "SKIPPED: two cores need two CPUs")
    def test_cores_whose_cpus_were_taken_are_found(self):
        with Server("--cores", "2") as server:
            self.wait_until_found(server, "cpu.set", "OK")
            os.sched_setaffinity(thread(server, "core-1"), [CPUS[0]])
            self.assertEqual(self.wait_until_found(server, "cpu.set", "FAIL"), f"2 cores may use CPU {CPUS[0]}.")

    def test_a_hog_beside_a_pinned_core_is_found(self):
        cpu = CPUS[-1]
        with Server("--cores", f"{cpu}-{cpu}", "--busy-poll") as server:
            hog = spawn(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"])
            self.addCleanup(reap, hog)
            found = self.wait_until_found(server, "cpu.shared", "WARN")
            self.assertRegex(found, r"core-0 .* had no CPU for [0-9.]+ % of the time just now")

    def test_a_core_that_others_cannot_stop_is_not_reported(self):
        """However busy this machine is: the scheduler lets the server run first."""
        first = ("chrt", "--fifo", "1")
        if subprocess.run([*first, "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("SKIPPED: the kernel refuses SCHED_FIFO here")
        cpu = CPUS[-1]
        with Server("--cores", f"{cpu}-{cpu}", prefix=first) as server:
            hog = spawn(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"])
            self.addCleanup(reap, hog)
            server.wait_for_ticks(1)

            def found():
                return doctor("cpu.shared", "--pid", server.pid)[0]["is"]
            # The hypervisor may stop them all, once.
            self.assertTrue(wait_until(lambda: "had no CPU" not in found(), SECONDS), found())

    def test_a_server_in_a_terminal_is_found(self):
        enabled = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")
        groups = pathlib.Path("/proc/self/cgroup").read_text()
        if not enabled.exists() or enabled.read_text() != "1\n" or not re.search(r":(\w+,)*cpu(,\w+)*:/$", groups, re.M):
            self.skipTest("SKIPPED: the kernel does not divide CPU time by sessions here")
        with Server(prefix=IN_A_TERMINAL) as server:
            self.wait_until_found(server, "cpu.autogroup", "WARN")
        with Server() as server:
            self.wait_until_found(server, "cpu.autogroup", "OK")


class Interrupts(Doctor):
    @contextlib.contextmanager
    def disk_load(self):
        """Reads from a disk, past the cache, so that it interrupts a CPU: always the same, as the reader stays on one."""
        with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            ended = threading.Event()
            reader = threading.Thread(target=self.read_until, args=(ended, file.name))
            reader.start()
            try:
                yield
            finally:
                ended.set()
                reader.join()

    @staticmethod
    def read_until(ended, path):
        while not ended.is_set():
            subprocess.run(["taskset", "-c", str(CPUS[0]), "dd", f"if={path}", "of=/dev/null", "bs=4k", "iflag=direct"],
                           check=False, stderr=subprocess.DEVNULL)

    @staticmethod
    def counts():
        """By (interrupt, CPU)."""
        heading, *lines = pathlib.Path("/proc/interrupts").read_text().splitlines()
        cpus = [int(name[3:]) for name in heading.split()]
        rows = [line.split() for line in lines]
        return {(row[0][:-1], cpu): int(row[1 + i])
                for row in rows if row[0][:-1].isdigit() for i, cpu in enumerate(cpus)}

    @unittest.skipIf(len(CPUS) < 2, "SKIPPED: an interrupt needs a CPU without a core to go to")
    def test_a_device_that_interrupts_a_core_is_found(self):
        with self.disk_load():
            before = self.counts()

            def busiest():
                grown = {at: count - before.get(at, 0) for at, count in self.counts().items() if at[1] in CPUS}
                at = max(grown, key=grown.get)
                return at if grown[at] > 1000 else None
            at = wait_until(busiest, 10)
            if not at:
                self.skipTest("SKIPPED: no device interrupts a CPU when a disk is read")
            irq, cpu = at
            with Server("--cores", f"{cpu}-{cpu}") as server:
                found = self.wait_until_found(server, "irq.on_core", "WARN")
                self.assertRegex(found, fr"interrupts CPU {cpu}, where cores run, [0-9]+ times a second")
                change = self.seen[0]["change"]
                self.assertRegex(change, fr"for i in ([0-9]+ )*{irq}[ ;]")
                self.assertIn("smp_affinity_list", change)


if __name__ == "__main__":
    unittest.main()
