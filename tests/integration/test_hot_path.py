"""Between a tick and its send: no system call but the ring's and sends by reference, and no allocation."""
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import test_bench
from server import Server, in_full, program, reap, run, spawn

SUBSCRIBERS = 200
TRACED_TICKS = 100
SAMPLE_SECONDS = 20  # of the quality of connections: one call for each


def thread_named(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name} in {pid}")


@contextlib.contextmanager
def subscribed(server, count):
    clients = test_bench.started("-c", count, "-d", 600, server.url(), is_there=lambda:
                                 server.stats()["connections"]["subscriptions"] == count)
    yield
    reap(clients)
    clients.communicate()


class HotPath(unittest.TestCase):
    def calls(self, server, thread, ticks):
        """{system call: how often} of a thread while so many ticks and more are published, and how many they were.

        But for those of the samples of quality, which are as many as there are connections."""
        if not shutil.which("strace"):
            self.skipTest("SKIPPED: strace is not installed")
        with tempfile.NamedTemporaryFile("r") as report:
            tracer = spawn(["strace", "-c", "-U", "calls,name", "-o", report.name, "-p",
                            str(thread_named(server.process.pid, thread))],
                           stderr=subprocess.PIPE, text=True)
            said = tracer.stderr.readline()
            began, before = time.monotonic(), server.stats()["publisher"]["ticks"]
            server.wait_for_ticks(ticks)
            count = server.stats()["publisher"]["ticks"] - before
            tracer.send_signal(signal.SIGINT)
            said += tracer.communicate(timeout=40)[1]
            reap(tracer)
            if "Operation not permitted" in said:
                self.skipTest("SKIPPED: strace may not attach here")
            calls = {name: int(calls) for calls, name in
                     re.findall(r"^\s*(\d+) ([a-z_0-9]+)$", report.read(), re.M) if name != "total"}
            samples = 1 + (time.monotonic() - began) // SAMPLE_SECONDS
            self.assertLessEqual(calls.pop("getsockopt", 0),
                                 samples * server.stats()["connections"]["active_connections"])
            # A turn with mail, as that of the samples, reads the thread's CPU clock twice.
            self.assertLessEqual(calls.pop("clock_gettime", 0), 8 * samples)
            return calls, count

    def test_a_core_enters_the_kernel_through_its_ring_only_and_not_per_subscriber(self):
        """S98, S101, S104: one batch for all that is ready, and no hand-off between threads."""
        with Server("--feed", "sim:symbols=1,rate=50") as server, subscribed(server, SUBSCRIBERS):
            calls, ticks = self.calls(server, "core-0", TRACED_TICKS)
            self.assertEqual(set(calls), {"io_uring_enter"}, calls)
            # 100 ticks to 200 subscribers are 20 000 sends, in batches of 64 (the first of 16); what
            # is allowed beside them are sleeps, heartbeats and their timers. Ticks that are late
            # on a busy machine leave together.
            self.assertLess(calls["io_uring_enter"], ticks * 20, calls)
            self.assertGreater(calls["io_uring_enter"], 10, calls)

    def long_stretches(self, publisher, thread, expected):
        """Each burst is one stretch of 30 KiB and more, and the log is lapped by thirty of them."""
        with Server("--publisher", publisher, "--frame-log-bytes", "1m", "--zero-copy-bytes", "16k",
                    "--feed", "sim:symbols=1,rate=1280,burst=128,pad=256") as server, subscribed(server, 20):
            calls, ticks = self.calls(server, thread, 100 * 128)
            self.assertEqual(set(calls), expected, calls)
            return calls, ticks / 128

    def test_what_a_core_sends_by_reference_is_one_call_for_a_long_stretch(self):
        calls, bursts = self.long_stretches("thread", "core-0", {"io_uring_enter", "sendfile"})
        # One for each of 20 subscribers, two where it does not fit into a pipe of 64 KiB; frames are 128 times as many.
        self.assertLess(calls["sendfile"], 4 * 20 * bursts, calls)
        self.assertGreater(calls["sendfile"], 10 * 20, calls)

    def test_the_writer_gives_lent_pages_away_and_calls_nothing_else(self):
        calls, bursts = self.long_stretches("thread", "publisher", {"io_uring_enter", "madvise"})
        # The tail moves in steps of 1/128 of the log.
        self.assertLess(calls["madvise"], 10 * bursts, calls)

    @in_full
    def test_a_core_that_is_the_writer_does_both(self):
        self.long_stretches("inline", "core-0", {"io_uring_enter", "sendfile", "madvise"})

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
