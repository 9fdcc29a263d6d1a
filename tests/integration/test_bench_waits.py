"""ringcast-bench where it waits, or is waited for: most of the time nothing happens."""
import signal
import time
import unittest

import test_bench
from server import Server, wait_until


class EndOfTheWindow(test_bench.BenchTestCase):
    def stopped(self, seconds):
        """The report of a run whose server stands still, from 0.4 s before the window's end."""
        with Server("--feed", "sim:symbols=1,rate=1000") as server:
            with self.running("-c", 4, "-d", 2, "-w", 0.2, "--time-pattern", '"ts_event":', "--publish",
                              "rate=1000", server.url()) as process:
                self.assertTrue(wait_until(lambda: server.stats()["connections"]["active_connections"] == 4))
                time.sleep(1.6)
                server.signal(signal.SIGSTOP)
                time.sleep(seconds)
                server.signal(signal.SIGCONT)
        return process

    def test_what_a_stopped_server_sends_afterwards_is_due(self):
        process = self.stopped(1.5)
        report = process.report
        self.assertTrue(report["valid"], report)
        self.assertLessEqual(abs(report["published"] - 2000), 1, report)
        self.assertFalse(report["behind"])
        self.assertGreater(report["latency_ns"]["max"], 0.9e9)

    def test_a_server_that_stays_silent_makes_the_run_invalid(self):
        process = self.stopped(14)
        report = process.report
        self.assertEqual((report["valid"], report["exit_code"], report["unfinished"]),
                         (False, test_bench.NOT_DELIVERED, 4))
        self.assertTrue(report["behind"])

    def test_a_heartbeat_ends_the_wait_when_there_is_nothing_to_send(self):
        path = self.folder() / "ticks.csv"
        path.write_text("symbol,timestamp,type,price,size,side,id\n" + "".join(
            f"A.SZ,2024-11-20T07:00:0{i // 10}.{i % 10}Z,T,12.340,1,B,{i}\n" for i in range(35)))
        with Server("--feed", f"replay:path={path},speed=1") as server:
            with self.running("-c", 4, "-d", 4.5, "-w", 0.1, "-y", "trade", server.url()) as process:
                pass
        self.assertTrue(process.report["valid"], process.report)
        self.assertEqual(process.report["unfinished"], 0)
        self.assertLess(process.took, 4.6 + 6)


class HalfOpen(test_bench.BenchTestCase):
    def test_half_open_connections_are_closed_by_the_server(self):
        # Half a request has 5 s, half a message 10 s; both are looked at once a second.
        with Server("--feed", "sim:symbols=5,rate=100") as server:
            report = self.report("-c", 8, "--half-open", 6, "-d", 13.5, "-w", 0.1, "--patience", 13, server.url())
        half_open = report["half_open"]
        self.assertEqual(half_open["ignored"], 0)
        self.assertGreaterEqual(half_open["sessions"], 6 + 6)
        self.assertGreaterEqual(half_open["closes"]["0"], 4)
        self.assertGreaterEqual(half_open["closes"]["4005"], 2)
        self.assertGreaterEqual(sum(half_open["closes"].values()), half_open["sessions"] - 6)

    def test_who_is_not_closed_loses_patience(self):
        with test_bench.PlainServer() as server:
            report = self.report(*test_bench.PLAIN, "-c", 8, "--half-open", 6, "-d", 2, "-w", 0.1, "--patience", 0.5,
                                 server.url())
        self.assertGreaterEqual(report["half_open"]["ignored"], 6)
        self.assertEqual(report["half_open"]["closes"], {})


if __name__ == "__main__":
    unittest.main()
