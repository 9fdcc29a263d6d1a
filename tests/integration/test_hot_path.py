"""Between a tick and its send: no system call but the ring's, and no allocation."""
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import test_bench
from server import Server, program, reap, run, spawn

SUBSCRIBERS = 200
TRACED_TICKS = 100


def thread_named(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name} in {pid}")


class HotPath(unittest.TestCase):
    @unittest.skipUnless(shutil.which("strace"), "SKIPPED: strace is not installed")
    def test_a_core_enters_the_kernel_through_its_ring_only_and_not_per_subscriber(self):
        with Server("--feed", "sim:symbols=1,rate=50") as server:
            clients = test_bench.started("-c", SUBSCRIBERS, "-d", 600, server.url(), is_there=lambda:
                                         server.stats()["connections"]["subscriptions"] == SUBSCRIBERS)
            with tempfile.NamedTemporaryFile("r") as report:
                tracer = spawn(["strace", "-c", "-U", "calls,name", "-o", report.name, "-p",
                                str(thread_named(server.process.pid, "core-0"))],
                               stderr=subprocess.PIPE, text=True)
                said = tracer.stderr.readline()
                ticks = server.stats()["publisher"]["ticks"]
                server.wait_for_ticks(TRACED_TICKS)
                ticks = server.stats()["publisher"]["ticks"] - ticks
                tracer.send_signal(signal.SIGINT)
                said += tracer.communicate(timeout=40)[1]
                reap(tracer)
                if "Operation not permitted" in said:
                    self.skipTest("SKIPPED: strace may not attach here")
                table = report.read()
            reap(clients)
            clients.communicate()
            calls = {name: int(count) for count, name in
                     re.findall(r"^\s*(\d+) ([a-z_0-9]+)$", table, re.M) if name != "total"}
            self.assertEqual(set(calls), {"io_uring_enter"}, table)
            # 100 ticks to 200 subscribers are 20 000 sends, in batches of 64 (the first of 16); what
            # is allowed beside them are sleeps, heartbeats and their timers. Ticks that are late
            # on a busy machine leave together.
            self.assertLess(calls["io_uring_enter"], ticks * 20, table)
            self.assertGreater(calls["io_uring_enter"], 10, table)

    def requests_of_allocator(self, rate):
        server = Server("--feed", f"sim:symbols=10,rate={rate}",
                        env={"MALLOC_CONF": "stats_print:true"})
        with server:
            run([program("ringcast-bench"), "-c", "50", "-d", "3", "-s", "*", server.url()],
                seconds=60)
        text = "\n".join(server.log_lines())
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
