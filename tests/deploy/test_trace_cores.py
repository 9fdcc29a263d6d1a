"""The scripts of tools/trace about ticks and cores, at a server under load: what they print is what the server, the
kernel and the test have counted."""
import os
import pathlib
import re
import tempfile
import unittest

import tracing
from clients import RawClient, subscribe_message
from producers import Producer, line, trade
from ptrace import StoppedThread
from server import Server, wait_until

CLIENTS = 50
CPU = min(os.sched_getaffinity(0))
LOAD = ("--cores", f"{CPU}-{CPU}", "--feed", "sim:symbols=10,rate=500")
SENDFILE, GETSOCKOPT = {"x86_64": ("40", "55"), "aarch64": ("71", "209")}[os.uname().machine]


def rows(text):
    """The words of each whole line that begins with a time of its own."""
    return [words.split() for words in re.findall(r"^\d\d:\d\d:\d\d .*(?=\n)", text, re.M)]


def column(text, number):
    return sum(int(row[number]) for row in rows(text))


def histogram(text, name):
    """{the lowest value of a line: its count}"""
    lines = re.search(rf"^@{re.escape(name)}: *\n((?:[\[(].*\n)+)", text, re.M)[1]
    return {int(number) * {"": 1, "K": 1 << 10, "M": 1 << 20}[unit]: int(count) for number, unit, count in
            re.findall(r"^[\[(](\d+)([KM]?)[^\])]*[\])] +(\d+) ", lines, re.M)}


def count_of(text, name):
    return sum(histogram(text, name).values())


def core_task(server):
    """The folder of the core's thread."""
    return next(task for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir()
                if (task / "comm").read_text() == "core-0\n")


def schedule_of(server):
    """Seconds that the core has run, and that it was ready to run, and had no CPU: the kernel's own count."""
    ran, waited, _ = (core_task(server) / "schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def waited_seconds(server):
    return schedule_of(server)[1]


class Traced(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tracing.require()

    def ticks(self):
        return self.server.stats()["publisher"]["ticks"]

    def core(self, key):
        return self.server.stats()["cores"][0][key]

    def counted(self, count, name, *arguments, while_=200):
        """The output of a script while so many ticks pass. Then how much count() grew meanwhile, and how much from
        before it began until after it ended: what it has seen is between the two."""
        outside = count()
        with tracing.Script(self.server, name, *arguments) as script:
            inside = count()
            self.server.wait_for_ticks(while_)
            inside = count() - inside
            self.server.wait_for_ticks(50)  # At Ctrl-C the newest lines may not be printed any more.
            text = script.stop()
        return text, inside, count() - outside

    def between(self, least, value, most):
        self.assertGreaterEqual(value, least)
        self.assertLessEqual(value, most)


class Load(Traced):
    """A server with one core on a CPU of its own choice, and 50 clients that get all ticks."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(Server(*LOAD))
        cls.enterClassContext(tracing.readers(cls.server, CLIENTS))

    def test_stages_counts_each_tick_and_each_turn(self):
        """S137: where the time of ticks goes."""
        before = self.server.stats()
        text, inside, outside = self.counted(self.ticks, "stages")
        after = self.server.stats()
        self.between(inside, count_of(text, "feed_us"), outside)
        for stage in ("publish", "wait", "note", "scatter"):
            self.between(inside // 20, count_of(text, f"{stage}_us"), outside)  # Ticks that are late leave together.
        for stage, figures_of in (("feed", lambda stats: stats["publisher"]), ("wait", lambda stats: stats["cores"][0]),
                                  ("scatter", lambda stats: stats["cores"][0])):
            least_us = sum(lowest * count for lowest, count in histogram(text, f"{stage}_us").items())
            seconds = [figures_of(stats)[stage]["sum_seconds"] for stats in (before, after)]
            self.between(0, least_us, 2e6 * (seconds[1] - seconds[0]))

    def test_tick_follows_a_tick_that_the_clients_get(self):
        with RawClient(self.server.port, "/?symbols=*&types=quote") as client:
            quote = client.next_message(("quote",))
        with RawClient(self.server.port, f"/?symbols={quote['symbol']}&types=quote") as client:
            with tracing.Script(self.server, "tick", quote["ch"]) as script:
                script.wait_for(r"(?s)turn_end.*turn_end.*\n\n")
                text = script.stop()
            # While bpftrace attached to one probe after the other, it may have seen a part of the first one.
            seq, size, steps = re.findall(r"^\S+  seq (\d+), index \d+, (\d+) bytes, \d+ us after.*\n"
                                          r"((?: +\d+\..*\n)+)", text, re.M)[1]
            at = 0
            while at < int(seq):
                _, payload = client.next_frame()
                found = re.search(rf'"ch":{quote["ch"]},"seq":(\d+),'.encode(), payload)
                at = int(found[1]) if found else at
            self.assertEqual(at, int(seq))
        self.between(len(payload), int(size), len(payload) + 10)  # with the frame's head
        steps = re.findall(r"^ +(\d+\.\d+)  (\w+) +(.*)", steps, re.M)
        self.assertEqual([name for _, name, _ in steps], ["show", "turn_begin", "turn", "batch", "turn_end"])
        self.assertEqual(sorted(float(time) for time, _, _ in steps), [float(time) for time, _, _ in steps])
        self.assertEqual(steps[2][2], f"core 0, due to {CLIENTS + 1} connections")
        self.assertRegex(steps[4][2], rf"core 0, after \d+ batches, {CLIENTS + 1} sends")

    def test_batches_counts_sends_and_their_bytes(self):
        text, _, outside = self.counted(lambda: self.core("sends"), "batches", while_=1500)
        self.between(1, column(text, 3), outside)
        for row in rows(text):
            self.assertEqual(int(row[4]), 0, row)
            self.assertAlmostEqual(float(row[5]), int(row[3]) / int(row[2]), delta=0.1)
            self.between(200, int(row[6]), 2000 * 10)  # A frame has 400 bytes; several may leave together.
            self.between(1, int(row[3]) * float(row[7]), 1e7)  # A row is for a second or, if the core stood still, more.
        # Each turn has a batch of 16, and one of the other 34.
        sizes = histogram(text, "sends_of_batch[0]")
        self.assertAlmostEqual(sizes[16], sizes[32], delta=3 + sizes[32] // 10)

    def test_turns_prints_each_turn_or_the_long_ones(self):
        text, inside, outside = self.counted(self.ticks, "turns", 0)
        self.between(inside, column(text, 3), outside)
        self.assertEqual({row[4] for row in rows(text)}, {str(CLIENTS)})
        self.between(len(rows(text)), count_of(text, "turn_us[0]"), len(rows(text)) + 50)
        text, *_ = self.counted(self.ticks, "turns", 1_000_000)
        self.assertEqual(rows(text), [])
        self.assertGreater(count_of(text, "turn_us[0]"), 10)

    def test_duty_agrees_with_the_kernel(self):
        """On how long a core runs, and waits for a CPU. Its columns are all of the time."""
        before = schedule_of(self.server)
        with tracing.Script(self.server, "duty") as script, tracing.hog(CPU):
            script.wait_until(rows)
            first = schedule_of(self.server)
            script.wait_until(lambda text: len(rows(text)) >= 3)
            last = schedule_of(self.server)
            script.wait_until(lambda text, seen=len(rows(script.text)): len(rows(text)) > seen)
            text = script.stop()
            after = schedule_of(self.server)
        for row in rows(text):
            self.assertEqual(row[1], "core-0")
            self.assertAlmostEqual(sum(map(float, row[2:])), 100, delta=0.6)
        own, softirq, waited = (sum(float(row[at]) / 100 for row in rows(text) for at in columns)
                                for columns in ((2, 3), (4,), (6,)))
        self.assertGreater(last[1] - first[1], 0.01, "the hog took nothing")
        # A row is for a second or, if the core stood still, for more. Some kernels do not count interrupts.
        self.assertGreater(own + softirq, (last[0] - first[0]) * 0.5)
        self.assertLess(own, (after[0] - before[0]) * 1.2)
        self.between((last[1] - first[1]) * 0.5, waited, (after[1] - before[1]) * 1.2)

    def test_duty_tells_sleep_from_waiting(self):
        """A core that goes before all others sleeps, and does not wait."""
        core = int(core_task(self.server).name)
        try:
            os.sched_setscheduler(core, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            self.skipTest("SKIPPED: this cgroup permits no real-time thread")
        try:
            text = tracing.traced(self.server, "duty", lambda text: len(rows(text)) >= 2)
        finally:
            os.sched_setscheduler(core, os.SCHED_OTHER, os.sched_param(0))
        for row in rows(text):
            self.assertGreater(float(row[5]), 30, row)
            self.assertLess(float(row[6]), 10, row)

    def test_offcpu_names_the_hog(self):
        before = waited_seconds(self.server)
        with tracing.Script(self.server, "offcpu") as script, tracing.hog(CPU) as hog_seconds:
            first, hog_first = waited_seconds(self.server), hog_seconds()
            self.assertTrue(wait_until(lambda: waited_seconds(self.server) - first > 0.3 and
                                       hog_seconds() - hog_first > 0.3, tracing.SECONDS))
            last = waited_seconds(self.server)
            text = script.stop()
            after = waited_seconds(self.server)
        ran = {name: int(us) / 1e6 for name, us in re.findall(r"^@ran_us\[core-0, (.*)\]: (\d+)$", text, re.M)}
        self.between((last - first) * 0.1, ran["hog"], (after - before) * 1.1)
        self.between((last - first) * 0.7, sum(ran.values()), (after - before) * 1.1)
        self.assertGreater(count_of(text, "wait_us[core-0]"), 0)

    def test_syscalls_shows_that_a_core_calls_io_uring_enter_only(self):
        """And getsockopt, for the sample of each connection's quality, every 20 seconds."""
        before = self.core("enters")
        with tracing.Script(self.server, "syscalls") as script:
            script.wait_until(lambda text: len(rows(text)) >= 2)
            text = script.stop()
        self.between(2, column(text, 2), self.core("enters") - before)
        self.assertLessEqual(set(re.findall(r"^@other_calls\[core-0, (\d+),", text, re.M)), {GETSOCKOPT})

    def test_feeds_counts_ticks(self):
        text, _, outside = self.counted(self.ticks, "feeds", while_=1500)
        self.between(400, column(text, 3), outside)
        self.assertEqual({(row[1], row[4]) for row in rows(text)}, {("0", "0")})  # It reads nothing.
        for row in rows(text):
            self.assertLessEqual(int(row[6]), int(row[7]), row)
            self.assertLessEqual(int(row[8]), int(row[9]), row)


class Others(Traced):
    def test_wakes_shows_how_long_a_core_was_held(self):
        with Server("--publisher", "thread", "--feed", "sim:symbols=1,rate=500") as self.server, \
                tracing.readers(self.server, 1), StoppedThread(self.server.pid, "core-0") as core:
            before = self.server.stats()["publisher"]["wakes"]
            with tracing.Script(self.server, "wakes") as script:
                for _ in range(50):
                    core.stop()
                    self.server.wait_for_ticks(100)  # 200 ms. Mostly the core slept when the first of them came.
                    core.go_on()
                    self.server.wait_for_ticks(50)
                    if re.search(r" 0 +(?:1[5-9]|[2-9]\d)\d\.\d+  a wake-up\n", script.text):
                        break
                else:
                    self.fail(script.text)
                text = script.stop()
            after = self.server.stats()["publisher"]["wakes"]
        self.between(1, count_of(text, "after_wake_us[0]"), after - before)

    def test_syscalls_shows_sends_by_reference(self):
        with Server("--frame-log-bytes", "1m", "--zero-copy-bytes", "16k", "--publisher", "thread",
                    "--feed", "sim:symbols=1,rate=1280,burst=128,pad=256") as server, tracing.readers(server, 20):
            text = tracing.traced(server, "syscalls", lambda text: any(row[3] != "0" for row in rows(text)))
        self.assertIn(SENDFILE, re.findall(r"^@other_calls\[core-0, (\d+),", text, re.M))

    def test_feeds_counts_the_bytes_of_a_producer(self):
        messages = [trade("A.X", price=str(number)) for number in range(1000)]
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/ingest"
            with Server("--feed", f"ingest:unix={path},open=yes") as server, Producer(path, name="x") as producer, \
                    RawClient(server.port) as client, tracing.Script(server, "feeds") as script:
                client.send_text(subscribe_message(["*"], ["trade"]))
                producer.send(*messages)

                def has_all(text):
                    producer.send(messages[0])  # Rows are printed by polls.
                    return column(text, 3) > len(messages)
                script.wait_until(has_all)
                text = script.stop()
        ticks, size = column(text, 3), column(text, 4)
        self.between(sum(map(len, map(line, messages))), size, len(line(messages[-1])) * (ticks + 1))


if __name__ == "__main__":
    unittest.main()
