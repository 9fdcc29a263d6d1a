"""ringcast-bench where it waits, or is waited for: most of the time nothing happens."""
import contextlib
import csv
import pathlib
import re
import signal
import time
import unittest

import test_bench
from server import Server, in_full


@in_full
class EndOfTheWindow(test_bench.BenchTestCase):
    @contextlib.contextmanager
    def clients(self, server, *arguments):
        with self.running("-c", 4, *arguments, server.url(), is_there=lambda: server.stats()["connections"][
                "active_connections"] == 4) as process:
            yield process

    def stopped(self, wait):
        """The report of a run whose server stands still from before the window's end until wait(bench) is over."""
        with Server("--feed", "sim:symbols=1,rate=1000") as server, self.clients(
                server, "-d", 60, "-w", 0.2, *test_bench.BY_DUE_TIME, "--publish", "rate=1000") as process:
            server.wait_for_ticks(1000)
            server.signal(signal.SIGSTOP)
            time.sleep(0.4)
            process.send_signal(signal.SIGINT)  # The window ends.
            wait(process)
            server.signal(signal.SIGCONT)
        return process.report

    def test_what_a_stopped_server_sends_afterwards_is_due(self):
        report = self.with_due(lambda: self.stopped(lambda bench: time.sleep(1.1)))
        self.assertTrue(report["valid"], report)
        seconds = report["published"] / report["ticks_per_second"]
        self.assertLessEqual(abs(report["published"] - 1000 * seconds), 1, report)
        self.assertFalse(report["behind"])
        self.assertGreater(report["latency_ns"]["max"], 0.9e9)

    def test_a_server_that_stays_silent_makes_the_run_invalid(self):
        report = self.with_due(lambda: self.stopped(lambda bench: bench.wait(40)))
        self.assertEqual((report["valid"], report["exit_code"], report["unfinished"]),
                         (False, test_bench.NOT_DELIVERED, 4))
        self.assertTrue(report["behind"])

    def test_a_heartbeat_ends_the_wait_when_there_is_nothing_to_send(self):
        path = self.folder() / "ticks.csv"
        path.write_text("symbol,timestamp,type,price,size,side,id\n" + "".join(
            f"A.SZ,2024-11-20T07:00:0{i // 10}.{i % 10}Z,T,12.340,1,B,{i}\n" for i in range(35)))
        report = self.with_due(lambda: self.after_the_last_tick(f"replay:path={path},speed=1"))
        self.assertTrue(report["valid"], report)
        self.assertEqual(report["unfinished"], 0)

    def after_the_last_tick(self, feed):
        """The report of a run whose window ends when the feed has ended."""
        with Server("--feed", feed) as server, self.clients(
                server, "-d", 60, "-w", 0.1, "-y", "trade") as process:
            self.assertIsNotNone(server.wait_for_line("after pass 1", 60))
            process.send_signal(signal.SIGINT)
        return process.report

    def test_an_interrupt_comes_to_the_thread_that_waits_for_the_window(self):
        with Server("--feed", "sim:symbols=1,rate=1000") as server, self.clients(
                server, "-d", 600, "-t", 2, *test_bench.BY_DUE_TIME) as process:
            process.send_signal(signal.SIGSTOP)
            for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
                blocked = re.search(r"^SigBlk:\s*(\w+)$", (task / "status").read_text(), re.M)[1]
                for number in (signal.SIGINT, signal.SIGTERM):
                    if task.name != str(process.pid):
                        self.assertTrue(int(blocked, 16) >> (number - 1) & 1, (task, blocked))
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGCONT)
        self.assertTrue(process.report["interrupted"])

    def test_a_load_that_is_stopped_all_through_the_window_samples_each_second(self):
        path = self.folder() / "seconds.csv"
        with Server("--feed", "sim:symbols=1,rate=1000") as server, self.clients(
                server, "-d", 1.5, "-w", 0.5, *test_bench.BY_DUE_TIME, "--pid", server.pid, "--csv",
                path) as process:
            process.send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            process.send_signal(signal.SIGCONT)
        self.assertTrue(process.report["valid"], process.report)
        with open(path, newline="", encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2)
        for row in rows:
            self.assertGreater(int(row["frames"]), 1000)
            self.assertGreater(int(row["server_rss_bytes"]), 1 << 20)


class HalfOpen(test_bench.BenchTestCase):
    @in_full
    def test_half_open_connections_are_closed_by_the_server(self):
        # Half a request has 5 s, half a message 10 s; both are looked at once a second.
        with Server("--feed", "sim:symbols=5,rate=100") as server:
            def both_kinds_are_back():
                now = server.stats()["connections"]
                return (now["accepted"] >= 2 + 6 + 6 and now["dropped"]["protocol"] >= 2 and
                        now["open"] == 2 + 6)
            with self.running("-c", 8, "--half-open", 6, "-d", 60, "-w", 0.1, "--patience", 20, server.url(),
                              is_there=both_kinds_are_back) as process:
                process.send_signal(signal.SIGINT)
        self.assertTrue(process.report["valid"], process.report)
        half_open = process.report["half_open"]
        self.assertEqual(half_open["ignored"], 0)
        self.assertGreaterEqual(half_open["sessions"], 6 + 6)
        self.assertGreaterEqual(half_open["closes"]["0"], 4)
        self.assertGreaterEqual(half_open["closes"]["4005"], 2)
        self.assertGreaterEqual(sum(half_open["closes"].values()), half_open["sessions"] - 6)

    def test_who_is_not_closed_loses_patience(self):
        with test_bench.PlainServer() as server:
            report = self.report(*test_bench.PLAIN, "-c", 8, "--half-open", 6, "-d", 3, "-w", 0.1, "--patience", 0.5,
                                 server.url())
        self.assertGreaterEqual(report["half_open"]["ignored"], 6)
        self.assertEqual(report["half_open"]["closes"], {})


if __name__ == "__main__":
    unittest.main()
