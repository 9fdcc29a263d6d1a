"""Between a tick and its send: no system call but the ring's, and no allocation."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from server import Server, program, reap, spawn, wait_until

SUBSCRIBERS = 200
TRACED_TICKS = 100


def thread_named(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name} in {pid}")


def load(server, seconds):
    return spawn([program("ringcast-bench"), "-c", str(SUBSCRIBERS), "-d", str(seconds), "-s", "*",
                  server.url()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class HotPath(unittest.TestCase):
    @unittest.skipUnless(shutil.which("strace"), "SKIPPED: strace is not installed")
    def test_a_core_enters_the_kernel_through_its_ring_only_and_not_per_subscriber(self):
        with Server("--feed", "sim:symbols=1,rate=50") as server:
            clients = load(server, 120)
            self.assertTrue(wait_until(
                lambda: server.stats()["connections"]["subscriptions"] == SUBSCRIBERS, 30))
            with tempfile.NamedTemporaryFile("r") as report:
                tracer = spawn(["strace", "-c", "-U", "calls,name", "-o", report.name, "-p",
                                str(thread_named(server.process.pid, "core-0"))],
                               stderr=subprocess.PIPE, text=True)
                said = tracer.stderr.readline()
                ticks = server.stats()["publisher"]["ticks"]
                server.wait_for_ticks(TRACED_TICKS)
                ticks = server.stats()["publisher"]["ticks"] - ticks
                tracer.send_signal(signal.SIGINT)
                said += tracer.communicate(timeout=10)[1]
                reap(tracer)
                if "Operation not permitted" in said:
                    self.skipTest("SKIPPED: strace may not attach here")
                table = report.read()
            reap(clients)
            clients.stdout.close()
            calls = {name: int(count) for count, name in
                     re.findall(r"^\s*(\d+) ([a-z_0-9]+)$", table, re.M) if name != "total"}
            self.assertEqual(set(calls), {"io_uring_enter"}, table)
            # 100 ticks to 200 subscribers are 20 000 sends, in batches of 64 (the first of 16); what
            # is allowed beside them are sleeps, heartbeats and their timers. Ticks that are late
            # on a busy machine leave together.
            self.assertLess(calls["io_uring_enter"], ticks * 20, table)
            self.assertGreater(calls["io_uring_enter"], 10, table)

    def requests_of_allocator(self, rate):
        with tempfile.NamedTemporaryFile("r") as statistics:
            environment = dict(os.environ, MALLOC_CONF="stats_print:true")
            with open(statistics.name, "w", encoding="utf8") as errors:
                server = spawn([program("ringcast"), "--port", "0", "--admin-port", "0",
                                "--feed", f"sim:symbols=10,rate={rate}"],
                               stderr=errors, env=environment)
            try:
                deadline = time.monotonic() + 20
                listening = None
                while listening is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    text = pathlib.Path(statistics.name).read_text(encoding="utf8")
                    listening = re.search(r"listening on \S+:(\d+)", text)
                self.assertIsNotNone(listening, text)
                url = f"ws://127.0.0.1:{listening[1]}"
                bench = spawn([program("ringcast-bench"), "-c", "50", "-d", "3", "-s", "*", url],
                              stdout=subprocess.PIPE, text=True)
                bench.communicate(timeout=30)
                reap(bench)
                server.send_signal(signal.SIGTERM)
                server.wait(timeout=10)
            finally:
                reap(server)
            text = pathlib.Path(statistics.name).read_text(encoding="utf8", errors="replace")
        total = re.search(r"^total:\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+(\d+)", text, re.M)
        if total is None:
            self.skipTest("SKIPPED: this build is not linked with jemalloc")
        return int(total[1])

    def test_ticks_do_not_allocate(self):
        slow, fast = self.requests_of_allocator(10), self.requests_of_allocator(20_000)
        # Some 60 000 ticks to 50 subscribers more; start, clients and end are the same, but for what
        # a client costs that cannot follow on a busy machine.
        self.assertLess(abs(fast - slow), 8000, (slow, fast))


if __name__ == "__main__":
    unittest.main()
