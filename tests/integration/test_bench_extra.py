"""ringcast-bench: the slowest ticks by name, and the latencies for HdrHistogram's plotter."""
import json
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


class Compared(ServerTestCase, BenchTestCase):
    """Files of --json, made from one real run whose figures are changed."""
    options = ("--feed", "sim:symbols=5,rate=500")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        result = bench("-j", "-c", 4, "-d", "500ms", "-w", "100ms", "--pid", cls.server.pid, "--publish", "rate=500",
                       cls.server.url())
        assert result.returncode == VALID, result.stdout + result.stderr
        cls.run_text = result.stdout

    def setUp(self):
        self.paths = self.folder()

    def written(self, name, *p99s_us, **changes):
        """A file with a run for each p99."""
        path = self.paths / name
        with open(path, "w", encoding="utf8") as file:
            for p99_us in p99s_us:
                report = json.loads(self.run_text)
                report["latency_ns"]["p99"] = round(p99_us * 1000)
                report["frames_per_second"] = 2000
                report.update(changes)
                file.write(json.dumps(report) + "\n")
        return path

    def compared(self, a, b, *options, code=0):
        result = bench("--compare", a, b, *options)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout if code in (0, 3) else result.stderr

    def row(self, out, name):
        return re.split(" {2,}", re.search(rf"^  {re.escape(name)} .*$", out, re.M)[0].strip())

    def test_a_difference_that_is_larger_than_noise_is_named(self):
        a, b = self.written("a.json", 100, 110, 120, 130, 140), self.written("b.json", 200, 220, 240, 260, 280)
        out = self.compared(a, b)
        self.assertEqual(self.row(out, "latency p99"),
                         ["latency p99", "120us", "240us", "2.000", "1.571 to 2.545", "higher in B: worse"])
        self.assertEqual(self.row(self.compared(b, a), "latency p99")[3:],
                         ["0.500", "0.393 to 0.636", "lower in B: better"])
        self.assertEqual(self.row(out, "frames/s"),
                         ["frames/s", "2 000", "2 000", "1.000", "1.000 to 1.000", "no difference beyond noise"])
        self.assertIn(f"A: {a}, 5 valid runs\nB: {b}, 5 valid runs\n", out)
        self.assertIn("\n  1 figure differs beyond noise; each interval has the true ratio with 96.8 % confidence.\n", out)

    def test_what_overlaps_is_noise(self):
        out = self.compared(self.written("a.json", 100, 200, 300, 400), self.written("b.json", 150, 250, 350, 450))
        self.assertEqual(self.row(out, "latency p99")[-1], "no difference beyond noise")
        self.assertIn("\n  0 figures differ beyond noise; each ", out)

    def test_three_runs_have_90_percent(self):
        out = self.compared(self.written("a.json", 100, 101, 102), self.written("b.json", 110, 111, 112))
        self.assertIn(" with 90.0 % confidence.\n", out)

    def test_one_run_each_has_no_interval(self):
        out = self.compared(self.written("a.json", 100), self.written("b.json", 150))
        self.assertEqual(self.row(out, "latency p99"), ["latency p99", "100us", "150us", "1.500", "-", "-"])
        self.assertIn("\n  With so few runs no difference can be distinguished from noise: repeat each at least 3 times.\n", out)

    def test_runs_of_another_setup_are_refused(self):
        a = self.written("a.json", 100, 101, 102)
        for key, value, said in (("connections", 5, "connections of the runs differ: 4 in "),
                                 ("encoding", "sbe", "encoding of the runs differ: json in "),
                                 ("publish", "rate=600", "publish of the runs differ: rate=500 in "),
                                 ("ticks_per_second", 600, "ticks_per_second of the runs differ: 500 in ")):
            b = self.written("b.json", 100, 101, 102, **{key: value})
            if key == "ticks_per_second":
                a = self.written("a.json", 100, 101, 102, ticks_per_second=500)
            self.assertIn(said, self.compared(a, b, code=2))
            self.assertIn("latency p99", self.compared(a, b, "--compare-any"))
        near = self.written("b.json", 100, 101, 102, ticks_per_second=510)
        self.assertIn("latency p99", self.compared(a, near))

    def test_invalid_runs_are_named_and_left_out(self):
        a = self.written("a.json", 100, 101, 102)
        bad = self.written("bad.json", 999, valid=False, verdict="INVALID: 3 frames are missing")
        a.write_text(bad.read_text() + a.read_text(), encoding="utf8")
        out = self.compared(a, self.written("b.json", 100, 101, 102))
        self.assertIn(f"A: {a}, 3 valid runs\n  run 1 is left out: INVALID: 3 frames are missing\n", out)
        self.assertEqual(self.row(out, "latency p99")[1], "101us")
        self.assertIn("run 1 is left out", self.compared(bad, a, code=3))

    def test_what_is_no_report_is_refused(self):
        a, b = self.written("a.json", 100), self.paths / "b.json"
        for text, said in (("", "it has no runs"), ("{}", "object 1 is no report of ringcast-bench --json"),
                           (a.read_text() + "{\"connections\": 5", "object 2: "), ("no JSON", "object 1: ")):
            b.write_text(text, encoding="utf8")
            self.assertIn(f"ringcast-bench: {b}: {said}", self.compared(a, b, code=1))
        self.assertIn("No such file or directory", self.compared(a, self.paths / "none", code=1))
        for words in (("--compare", a), ("--compare", a, a, a), ("--compare-any", a)):
            self.assertIn("two files are compared: --compare A.json B.json", bench(*words).stderr)
        self.assertIn("--compare makes no run: it goes with --compare-any only", self.compared(a, a, "-c", 5, code=1))


if __name__ == "__main__":
    unittest.main()
