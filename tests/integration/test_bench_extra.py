"""ringcast-bench: the slowest ticks by name, and the latencies for HdrHistogram's plotter."""
import re
import time
import unittest

from server import ServerTestCase
from test_bench import BY_DUE_TIME, PLAIN, VALID, BenchTestCase, PlainServer, bench


class SlowTicks(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")
    short = ("-c", 6, "-t", 2, "-d", "800ms", "-w", "200ms", *BY_DUE_TIME)

    def test_the_slowest_ticks_have_names(self):
        report = self.report(*self.short, "--slow-ticks", 7, self.server.url())
        slow = report["slow_ticks"]
        self.assertEqual(len(slow), 7)
        latencies = [tick["latency_ns"] for tick in slow]
        self.assertEqual(latencies, sorted(latencies, reverse=True))
        self.assertEqual(latencies[0], report["latency_ns"]["max"])
        self.assertEqual(len({(tick["ch"], tick["seq"]) for tick in slow}), 7)
        for tick in slow:
            self.assertRegex(tick["symbol"], r"^\S+\.\w+$")
            self.assertIn(tick["connection"], range(6))
            self.assertGreater(tick["port"], 1023)
            self.assertLess(abs(time.time() - tick["time_ns"] / 1e9), 100)
        self.assertNotIn("slow_ticks", self.report(*self.short, self.server.url()))

    def test_a_table_shows_them(self):
        result = bench(*self.short, "--slow-ticks", 3, self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        head = "  slow ticks   latency  channel           seq  symbol                connection   port  time\n"
        rows = re.search(re.escape(head) + r"((?: {10}.*\n)+)", result.stdout)
        self.assertIsNotNone(rows, result.stdout)
        self.assertEqual(len(rows[1].splitlines()), 3)
        for row in rows[1].splitlines():
            self.assertRegex(row, r"^ +[\d.]+[num]?s +\d+ +\d+  \S+\.\w+ +[0-5] +\d{4,5}  \d\d:\d\d:\d\d\.\d{9}$")

    def test_sbe_has_the_symbols_of_the_list(self):
        report = self.report(*self.short, "--slow-ticks", 2, "--encoding", "sbe", "-s", "AAPL.US,600519.SH",
                             self.server.url())
        self.assertLessEqual({tick["symbol"] for tick in report["slow_ticks"]}, {"AAPL.US", "600519.SH"})

    def test_what_is_not_known_is_null(self):
        with PlainServer() as server:
            report = self.report("-c", 3, "-d", "500ms", "-w", "100ms", *PLAIN, "--seq-pattern", "",
                                 "--slow-ticks", 2, server.url())
        for tick in report["slow_ticks"]:
            self.assertEqual((tick["seq"], tick["symbol"]), (None, None))

    def test_it_goes_with_one_run_that_has_times(self):
        for arguments, said in ((("--until", "p99=5ms"), "--slow-ticks do not go with --until"),
                                (("--protocol", "plain", "--time-pattern", ""), "--slow-ticks needs the times"),
                                (("--slow-ticks", "101"), "'101' is not a number from 0 to 100")):
            result = bench("--slow-ticks", "5", *arguments, "ws://127.0.0.1:9/")
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr)


class Percentiles(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=5,rate=500")

    def test_the_percentiles_are_those_of_the_report(self):
        path = self.folder() / "latency.hgrm"
        report = self.report("-c", 6, "-t", 2, "-d", "800ms", "-w", "200ms", "--hgrm", path, *BY_DUE_TIME,
                             self.server.url())
        lines = path.read_text(encoding="ascii").splitlines()
        self.assertEqual(lines[:2], ["       Value   Percentile   TotalCount 1/(1-Percentile)", ""])
        rows = [list(map(float, line.split())) for line in lines[2:-3]]
        self.assertEqual(rows, sorted(rows))
        latency = report["latency_ns"]
        self.assertEqual([rows[-1][0], rows[-1][1], rows[-1][2]], [latency["max"] / 1e6, 1.0, latency["count"]])
        by_percentile = {row[1]: row[0] for row in rows}
        self.assertEqual(by_percentile[0.5], latency["p50"] / 1e6)
        self.assertRegex(lines[-3], r"^#\[Mean    = +[\d.]+, StdDeviation   = +[\d.]+\]$")
        self.assertEqual(int(re.search(r"Total count    = +(\d+)\]$", lines[-2])[1]), latency["count"])
        self.assertEqual(lines[-1], "#[Buckets =           33, SubBuckets     =          256]")


if __name__ == "__main__":
    unittest.main()
