"""A thread that hangs: the server says so, names it, and says when it goes on.

A thread is stopped as a debugger does it (ptrace), which needs no help of the thread itself.
"""
import json
import os
import pathlib
import re
import signal
import struct
import time
import unittest

from ptrace import StoppedThread
from server import Server, in_full, reap, spawn, wait_until

LIMIT = 4  # seconds; a busy machine may keep a thread waiting for three
FEED = ("--feed", "sim:symbols=5,rate=200")


class Stopped(StoppedThread):
    """It stands still within the `with`."""

    def __enter__(self):
        super().__enter__()
        self.stop()
        return self


class Watchdog(unittest.TestCase):
    def server(self, *options):
        return Server(*FEED, "--watchdog-seconds", LIMIT, *options)

    def statuses(self, server):
        return [server.admin(path)[0] for path in ("/livez", "/health", "/readyz", "/ready")]

    def metric(self, server, name):
        line = re.search(rf"^{re.escape(name)} (\S+)$", server.admin("/metrics")[2], re.M)
        return float(line[1])

    def check_stop(self, thread, others, *options):
        """S54: stops one thread; /health answers 503 and names it, not others; it is over when it goes on."""
        with self.server(*options) as server:
            series = f'ringcast_thread_stalled_seconds{{thread="{thread}"}}'
            self.assertTrue(wait_until(lambda: self.statuses(server) == [200] * 4))
            self.assertEqual(self.metric(server, series), 0)
            with Stopped(server.pid, thread):
                line = server.wait_for_line(rf"CRITICAL .* {thread} has made no progress for", 60)
                self.assertIsNotNone(line, server.log())
                self.assertGreaterEqual(float(re.search(r"for ([\d.]+) s:", line)[1]), LIMIT)
                self.assertEqual(self.statuses(server), [503] * 4)
                live = json.loads(server.admin("/livez")[2])
                ready = json.loads(server.admin("/readyz")[2])
                self.assertEqual((live["status"], ready["status"]), ("stalled", "stalled"))
                self.assertFalse(ready["ready"])
                named = {entry["thread"]: entry["seconds"] for entry in live["stalled"]}
                self.assertGreaterEqual(named[thread], LIMIT)
                for other in others:
                    self.assertNotIn(other, named)
                self.assertGreaterEqual(self.metric(server, series), LIMIT)
                self.assertEqual(self.metric(server, "ringcast_ready"), 0)
            self.assertIsNotNone(server.wait_for_line(rf"{thread} continues after [\d.]+ s", 60))
            self.assertTrue(wait_until(lambda: self.statuses(server) == [200] * 4))
            self.assertGreaterEqual(self.metric(server, "ringcast_thread_stalls_total"), 1)
            stalls = [line for line in server.log_lines() if f" {thread} has made no" in line]
            self.assertEqual(len(stalls), 1, stalls)

    def test_a_stopped_core_is_named(self):
        self.check_stop("core-1", ("core-0", "main"), "--cores", 2)

    def test_a_stopped_core_that_publishes_is_named(self):
        self.check_stop("core-0", ("main",), "--cores", 1)

    def test_a_stopped_publisher_is_named(self):
        self.check_stop("publisher", ("core-0", "core-1", "main"), "--cores", 2)

    def test_main_is_watched_by_the_admin_server(self):
        with self.server() as server:
            with Stopped(server.pid, "main"):
                self.assertTrue(wait_until(lambda: self.statuses(server) == [503] * 4, 60))
                live = json.loads(server.admin("/livez")[2])
                self.assertEqual([entry["thread"] for entry in live["stalled"]], ["main"])
            self.assertTrue(wait_until(lambda: self.statuses(server) == [200] * 4))

    def test_a_core_with_nothing_to_do_is_alive(self):
        """Neither ticks nor clients: each turn is one that a timer brought about."""
        with Server("--feed", "sim:symbols=1,rate=1", "--watchdog-seconds", LIMIT,
                    "--cores", 2) as server:
            turns = [core["turns"] for core in server.stats()["cores"]]
            wanted = [count + 10 * 2 * LIMIT for count in turns]
            self.assertTrue(wait_until(
                lambda: all(core["turns"] >= want for core, want in
                            zip(server.stats()["cores"], wanted)), 60))
            self.assertEqual(self.metric(server, "ringcast_thread_stalls_total"), 0)

    @in_full
    def test_a_stop_of_the_whole_process_is_no_stall(self):
        with self.server("--cores", 2) as server:
            server.signal(signal.SIGSTOP)
            time.sleep(2 * LIMIT)
            server.signal(signal.SIGCONT)
            self.assertTrue(wait_until(lambda: self.statuses(server) == [200] * 4))
            after = [core["turns"] for core in server.stats()["cores"]]
            self.assertTrue(wait_until(
                lambda: all(core["turns"] > count + 10 for core, count in
                            zip(server.stats()["cores"], after))))
            self.assertEqual(self.metric(server, "ringcast_thread_stalls_total"), 0)

    def threads(self, server):
        """{name: (tid, progress, flags)}, as the counters' file has them."""
        file = server.counters_path().read_bytes()
        at, step, count = struct.unpack_from("<3I", file, 64)
        records = [struct.unpack_from("<16s3I", file, at + i * step) for i in range(count)]
        return {name.rstrip(b"\0").decode(): (tid, *struct.unpack_from("<Q", file, word), flags)
                for name, tid, word, flags in records}

    def test_each_thread_shows_its_name_and_progress(self):
        rests = {"main": 0, "log": 1, "admin": 1, "core-0": 0, "core-1": 0, "publisher": 0}
        with self.server("--cores", 2) as server:
            self.assertEqual(server.admin("/livez")[0], 200)  # The admin thread has answered.
            before = self.threads(server)
            self.assertEqual({name: flags for name, (_, _, flags) in before.items()}, rests)
            for name, (tid, _, _) in before.items():
                comm = pathlib.Path(f"/proc/{server.pid}/task/{tid}/comm").read_text().strip()
                self.assertEqual(comm, "ringcast" if name == "main" else name)
            self.assertTrue(wait_until(lambda: all(
                self.threads(server)[name][1] >= before[name][1] + 10
                for name in rests if not rests[name])))
            server.signal(signal.SIGHUP)  # The log gets a line.
            self.assertTrue(wait_until(lambda: self.threads(server)["log"][1] > before["log"][1]))
            server.admin("/livez")
            self.assertGreater(self.threads(server)["admin"][1], before["admin"][1])

    def test_a_core_that_waits_for_a_cpu_is_seen_to_wait(self):
        if not pathlib.Path("/proc/self/schedstat").exists():
            self.skipTest("SKIPPED: this kernel counts no run delay")
        cpu = min(os.sched_getaffinity(0))
        waited = 'ringcast_core_seconds_total{core="0",state="runnable"}'
        with self.server("--cores", 1) as server:
            busy = spawn(["sh", "-c", "while :; do :; done"])
            self.addCleanup(reap, busy)
            for task in (busy.pid, self.threads(server)["core-0"][0]):
                os.sched_setaffinity(task, {cpu})
            before = self.metric(server, waited)
            self.assertTrue(wait_until(lambda: self.metric(server, waited) > before, 60))

    def test_it_can_be_turned_off(self):
        with Server(*FEED, "--watchdog-seconds", 0, "--cores", 2) as server:
            with Stopped(server.pid, "core-1"):
                # The same time suffices where it is on.
                with self.server("--cores", 2) as other:
                    with Stopped(other.pid, "core-1"):
                        self.assertIsNotNone(other.wait_for_line("has made no progress", 60))
                self.assertEqual(self.statuses(server), [200] * 4)

    def test_clients_of_other_cores_notice_nothing(self):
        """Of a stopped core that holds nothing; what it may hold up is bounded elsewhere."""
        with self.server("--cores", 2) as server, Stopped(server.pid, "core-1"):
            before = server.stats()["cores"][0]["turns"]
            self.assertIsNotNone(server.wait_for_line("core-1 has made no progress", 60))
            self.assertTrue(wait_until(
                lambda: server.stats()["cores"][0]["turns"] > before + 20))
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] > 0))


if __name__ == "__main__":
    unittest.main()
