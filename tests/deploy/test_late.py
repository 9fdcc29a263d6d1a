"""docs/late-ticks.md: each cause is provoked at a server; the figures that the page names show it, and so does the
output of the script in the table of the page."""
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import tempfile
import threading
import time
import unittest
import uuid

import tracing
from clients import RawClient, subscribe_message
from producers import Producer, trade
from ptrace import StoppedThread
from server import CHECKOUT, Server, wait_until

PAGE = (CHECKOUT / "docs/late-ticks.md").read_text(encoding="utf8")
SCRIPTS = dict(re.findall(r"^\| \[([\w ]+)\]\(#.* \| \[`(\w+)`\]\(tracing\.md#\w+\) \|$", PAGE, re.M))
MS = 1_000_000


def group_with_quota(percent):
    """The folder of a cgroup whose processes may run for so many percent of one CPU, by version 1 or 2."""
    for parent, quota in (("/sys/fs/cgroup", "cpu.max"), ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us")):
        group = pathlib.Path(parent, f"ringcast-test-{uuid.uuid4().hex[:12]}")
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / quota).exists():
                (group / quota).write_text(f"{percent}000" + (" 100000" if quota == "cpu.max" else ""))
                return group
            group.rmdir()
    raise unittest.SkipTest("SKIPPED: no cgroup with a limit of CPU time can be made here")


def share_from(us, text, name):
    """The share of a histogram below its name that is at least so long; us is a power of two."""
    histogram = re.search(rf"^{name}\n(?:@\w+: *\n)?((?:[\[(].*\n)+)", text, re.M)[1]
    counts = {int(number) * {"": 1, "K": 1024, "M": 1024 ** 2}[unit]: int(count) for number, unit, count in
              re.findall(r"^[\[(](\d+)([KM]?)[^\])]*[\])] +(\d+) ", histogram, re.M)}
    return sum(count for lowest, count in counts.items() if lowest >= us) / sum(counts.values())


class Late(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tracing.require()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)

    @staticmethod
    def script_of(cause, server, *arguments):
        """The script that the page names for this cause."""
        return tracing.Script(server, SCRIPTS[cause], *arguments)

    def grows(self, server, figure, least):
        """Waits until figure(stats) has grown by so much."""
        first = figure(server.stats())
        self.assertTrue(wait_until(lambda: figure(server.stats()) >= first + least, tracing.SECONDS),
                        server.stats())

    def test_each_cause_of_the_page_is_provoked(self):
        named = {f"test_{cause.replace(' ', '_')}" for cause in SCRIPTS}
        self.assertEqual(named, {name for name in dir(self) if name.startswith("test_the_")})

    def test_the_source(self):
        """A producer that hands its ticks over every 300 ms: they are old when they arrive."""
        path = f"{self.folder.name}/ingest"
        with Server("--feed", f"ingest:unix={path},open=yes") as server, \
                Producer(path, name="slow") as producer, RawClient(server.port) as client, \
                self.script_of("the source", server) as script:
            client.subscribe(["*"], ["trade"])
            is_over = threading.Event()

            def produce():
                while not is_over.is_set():
                    began = time.time_ns()
                    is_over.wait(0.3)
                    producer.send(*(trade("A.X", ts_event=str(began + at * 10 * MS)) for at in range(30)))
            thread = threading.Thread(target=produce)
            thread.start()
            try:
                ticks = [client.next_message(("trade",)) for _ in range(100)]
                script.wait_for(r"^\S+ +0 +\d+ +\d+ +\d+ +(?:2[5-9]\d|[3-9]\d\d|\d{4,}) +\d+ ")
            finally:
                is_over.set()
                thread.join()
        self.assertTrue(any(tick["ts_recv"] - tick["ts_event"] > 250 * MS > tick["ts_pub"] - tick["ts_recv"]
                            for tick in ticks), ticks)

    def test_the_publisher(self):
        """40 000 ticks at the same instant: the last ones wait until the others are encoded."""
        with Server("--feed", "sim:symbols=20,rate=40000,burst=40000") as server, \
                RawClient(server.port, "/?symbols=*&types=quote"), \
                self.script_of("the publisher", server) as script:
            self.grows(server, lambda stats: stats["publisher"]["ticks"], 80_000)
            self.assertGreater(server.stats()["publisher"]["feed"]["max_seconds"], 0.004)
            said = script.stop()
            late = {stage: share_from(4096, said, stage) for stage in ("feed", "wait")}
            self.assertGreater(late["feed"], 0.5)
            self.assertLess(late["wait"], 0.5)

    def test_the_core_sleeps(self):
        """The whole server stands still for 200 ms, as in a virtual machine that the host does not run."""
        with Server("--feed", "sim:symbols=20,rate=20") as server, \
                RawClient(server.port, "/?symbols=*&types=quote") as client, \
                self.script_of("the core sleeps", server) as script:
            for _ in range(3):
                server.signal(signal.SIGSTOP)
                time.sleep(0.2)
                server.signal(signal.SIGCONT)
                server.wait_for_ticks(2)
            self.assertGreater(server.core_sum("overslept_seconds"), 0.2)
            ticks = (client.next_message(("quote",)) for _ in range(100))
            self.assertTrue(any(tick["ts_recv"] - tick["ts_event"] > 100 * MS for tick in ticks))
            script.wait_for(r"^\S+ +0 +[1-9]\d\d+\.\d+  a timer$")

    def test_the_core_is_preempted(self):
        """A CPU hog beside a pinned core."""
        cpu = min(os.sched_getaffinity(0))
        with Server("--cores", f"{cpu}-{cpu}", "--feed", "sim:symbols=20,rate=2000") as server, \
                tracing.readers(server, 20), self.script_of("the core is preempted", server) as script, \
                tracing.hog(cpu) as hog_seconds:
            self.grows(server, lambda stats: stats["cores"][0]["run_delay_seconds"], 0.3)
            self.grows(server, lambda _: hog_seconds(), 0.3)
            self.assertRegex(script.stop(), r"(?m)^@ran_us\[core-0, hog\]: \d{5,}$")

    def test_the_CPU_quota(self):
        """A cgroup that permits a tenth of a CPU."""
        group = group_with_quota(10)
        self.addCleanup(group.rmdir)
        join = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
        with Server("--feed", "sim:symbols=20,rate=2000", prefix=join) as server, tracing.readers(server, 100), \
                self.script_of("the CPU quota", server) as script:
            self.grows(server, lambda _: int(re.search(r"nr_throttled (\d+)", (group / "cpu.stat").read_text())[1]), 5)
            self.grows(server, lambda stats: stats["cores"][0]["run_delay_seconds"], 0.1)
            waits = re.compile(r"^\S+ core-0 +(?:[3-9]\d|1\d\d)\.\d+ ", re.M)
            script.wait_until(lambda text: len(waits.findall(text)) >= 3)

    def test_the_scatter(self):
        """10 000 clients of one core: the last one of a tick waits for all others."""
        count = 10_000
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
            self.skipTest(f"SKIPPED: {count} clients need more descriptors than a process may have here")
        path = f"{self.folder.name}/scatter"
        with Server("--max-connections", count + 100, "--unix", path, "--feed", "sim:symbols=1,rate=5") as server, \
                tracing.readers(server, count, "--light-readers", str(count), url=f"unix://{path}"), \
                self.script_of("the scatter", server, 5) as script:
            self.grows(server, lambda stats: stats["cores"][0]["scatter"]["count"], 5)
            self.assertGreater(server.stats()["cores"][0]["scatter"]["p50_seconds"], 0.005)
            script.wait_for(rf"^\S+ +0 +0 +\d+ +{count} +\d+\.\d+ ")

    def test_the_client(self):
        """A client that stops reading, and reads again."""
        with Server("--feed", "sim:symbols=20,rate=5000,types=quote+depth", "--send-buffer-bytes", "64k") as server, \
                RawClient(server.port, receive_buffer=4096) as client, \
                self.script_of("the client", server) as script:
            client.send_text(subscribe_message(["*"], ["quote", "depth"]))
            server.wait_until_blocked()
            self.grows(server, lambda stats: stats["cores"][0]["blocked_seconds"], 0.3)
            clients = json.loads(server.admin("/admin/clients")[2])["clients"]
            self.assertEqual([(row["state"], row["cause"]) for row in clients], [("blocked", "client")])
            server.wait_for_ticks(100)
            for _ in range(2000):
                client.next_message()
            script.wait_for(r"^\S+ +0 +\d+ +\d+ +\d+ +(?:[3-9]\d\d|\d{4,})$")

    def test_the_network(self):
        """3 % of the packets between two namespaces are lost."""
        with tracing.Link() as link, Server("--feed", "sim:symbols=20,rate=2000", host=link.SERVER,
                                            prefix=link.server.prefix) as server, link.server.inside(), \
                tracing.readers(server, 4, url=f"ws://{link.SERVER}:{server.port}/", prefix=link.client.prefix), \
                self.script_of("the network", server, server.port) as script:
            link.lose(3)

            def sent_again():
                said = link.server.run("nstat", "-asz", "TcpRetransSegs")
                return int(re.search(r"TcpRetransSegs +(\d+)", said)[1])
            self.assertTrue(wait_until(lambda: sent_again() > 20, tracing.SECONDS))
            script.wait_for(r"^@\w+\[10\.77\.0\.2, \d+\]: \d+$")

    def test_the_log(self):
        """A log of 1 MiB: it passes a client that stops, and then a core that stands still."""
        with Server("--frame-log-bytes", "1m", "--publisher", "thread",
                    "--feed", "sim:symbols=20,rate=20000,types=quote+depth") as server, \
                RawClient(server.port, receive_buffer=4096) as client, \
                self.script_of("the log", server) as script:
            client.send_text(subscribe_message(["*"], ["quote", "depth"]))
            server.wait_until_blocked()
            server.wait_for_ticks(20_000)
            gap = client.next_message(("GAP",))
            self.assertEqual(gap["data"]["reason"], "overrun")
            with StoppedThread(server.pid, "core-0") as core:
                tracing.act_until(lambda: server.stats()["message_queue"]["core_laps"] > 0,
                                  lambda: self.hold(server, core))
            script.wait_for(r"core 0 lost \d+ frames of encoding 0")
            script.wait_for(r"^@jumps\[the log passed it\]: [1-9]")

    @staticmethod
    def hold(server, core):
        """Until the log has passed it. If it stopped while the kernel sends frames for it, the publisher waits for it."""
        goal = server.stats()["publisher"]["ticks"] + 20_000
        core.stop()
        wait_until(lambda: server.stats()["publisher"]["ticks"] >= goal, 5)
        core.go_on()


if __name__ == "__main__":
    unittest.main()
