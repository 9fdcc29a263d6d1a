"""bench/report.py on a made-up history, and the statistics of bench/compare.py. No load is run."""
import contextlib
import io
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock
import xml.etree.ElementTree

BENCH_DIR = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH_DIR))
import compare  # noqa: E402
import gates  # noqa: E402
import harness  # noqa: E402
import report  # noqa: E402

GNUPLOT = shutil.which("gnuplot")
NO_GNUPLOT = "SKIPPED: gnuplot is not installed (Debian: gnuplot-nox)"


def variant(*core_ns):
    return {"rounds": len(core_ns), "valid": True, "core_ns_per_frame": sorted(core_ns)[1],
            "core_ns_per_frame_all": list(core_ns), "p999_ns_all": [12e6] * len(core_ns),
            "frames_per_second": 100_000.5,
            "latency_ns": {"p50": 3e6, "p90": 6e6, "p99": 9e6, "p99.9": 12e6, "max": 20e6},
            "core_busy_before_max": 0.02, "rss_bytes": 176 << 20}


def line(scenario, commit, minute, **figures):
    return {"scenario": scenario, "commit": commit, "kernel": "6.1.0", "cpu": "A|B `id` CPU",
            "cpus": 2, "time": f"2026-01-01T00:{minute:02}:00Z", "seconds": 10, "rounds": 3,
            **figures}


def fanout(commit, minute, ratio):
    return line("fanout", commit, minute, ratio_to_send=ratio,
                variants={"ringcast": variant(6000, 6600, 7200), "send": variant(6000, 6000, 6000)})


def three_workloads(commit, minute, *ratios):
    """As fanout, with a ratio of CPU and of p99.9 for each workload."""
    send = variant(1000, 1000, 1000)
    figures = {f"{i} x 10/s": {"ratio_to_send": ratio, "p999_ratio_to_send": 2 * ratio, "variants": {
                   "ringcast": variant(*(1000 * ratio + i for i in (0, 1, 2))), "send": send}}
               for i, ratio in enumerate(ratios)}
    return {**fanout(commit, minute, ratios[0]), "workloads": figures}


def saturation():
    latency = variant(1, 2, 3)["latency_ns"]
    runs = [{"offered": millions * 1_000_000, "valid": True, "frames_per_second": millions * 1e6,
             "core_busy_ns": 9e9, "latency_ns": latency} for millions in (8, 9)]
    return line("saturation", "c3", 5, frames_per_second=9e6, runs=runs)


DAMAGED = {  # the line, and what is said of it
    '{"scenario": "fanout", "commit": "cut': "damaged",
    '[1, 2]': "not an object",
    json.dumps({"scenario": "../up", "commit": "x", "time": "2026-01-01T00:00:00Z"}):
        "no scenario of a known form",
    json.dumps(line("fanout", "c9", 9)): "no ratio_to_send",
    json.dumps(fanout("c9", 9, 1.0)).replace("6000", "NaN"): "damaged",
    json.dumps(line("fanout", "c9", 9, ratio_to_send=1, variants={"ringcast": {"rounds": 1}})):
        "variant ringcast has no core_ns_per_frame",
}


def write_history(directory):
    """Newest first, so that the order of time has to be made."""
    good = [fanout("b2-dirty", 2, 0.92), fanout("a1", 1, 1.05)]
    texts = [json.dumps(good[0]), *DAMAGED, json.dumps(good[1])]
    (directory / "fanout.json").write_text("\n".join(texts) + "\n", encoding="utf8")
    (directory / "memory.json").write_text(
        json.dumps(line("memory", "c3", 3, bytes_per_connection=300)) + "\n", encoding="utf8")
    (directory / "saturation.json").write_text(json.dumps(saturation()), encoding="utf8")
    (directory / "fresh.json").write_text(
        json.dumps(line("fresh", 'q"`id`$x', 4, wonders=7, cheap=True)) + "\n", encoding="utf8")
    (directory / "README.md").write_text("not a result\n", encoding="utf8")


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-test-report-")
        self.addCleanup(folder.cleanup)
        self.results = pathlib.Path(folder.name) / "results"
        self.out = pathlib.Path(folder.name) / "out"
        self.results.mkdir()

    def run_report(self, *options, **environment):
        return subprocess.run(
            [sys.executable, "-B", str(BENCH_DIR / "report.py"), "--results", str(self.results),
             "--out", str(self.out), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False, env={**os.environ, **environment})


class Reading(Folders):
    def test_damaged_lines_are_named_and_the_others_are_read_in_order_of_time(self):
        write_history(self.results)
        history, skipped = report.read_results(self.results)
        self.assertEqual([run["commit"] for run in history["fanout"]], ["a1", "b2-dirty"])
        self.assertEqual(set(history), {"fanout", "memory", "saturation", "fresh"})
        self.assertEqual(len(skipped), len(DAMAGED))
        for number, (said, expected) in enumerate(zip(skipped, DAMAGED.values()), 2):
            self.assertTrue(said.startswith(f"fanout.json:{number}: {expected}"), said)

    def test_the_recorded_history_has_no_damaged_line(self):
        history, skipped = report.read_results(BENCH_DIR / "results")
        self.assertEqual(skipped, [])
        self.assertIn("fanout", history)

    def test_a_run_that_did_not_measure_all_figures_is_not_recorded(self):
        setup = types.SimpleNamespace(small=False, seconds=1, rounds=1)
        with unittest.mock.patch.object(harness, "BENCH_DIR", str(self.results.parent)), \
                contextlib.redirect_stdout(io.StringIO()) as said:
            harness.record("memory", setup, harness.figures_of('{"bytes_per_connection": null}'))
            harness.record("memory", setup, harness.figures_of('{"bytes_per_connection": 300}'))
        self.assertIn("memory: not recorded", said.getvalue())
        history, skipped = report.read_results(self.results)
        self.assertEqual(([run["bytes_per_connection"] for run in history["memory"]], skipped), ([300], []))

    def test_a_ratio_of_rounds_is_within_the_round(self):
        rounds = gates.GATES["fanout"][0].values_of_rounds(fanout("a1", 1, 1.1))
        for value, expected in zip(rounds, (1.0, 1.1, 1.2), strict=True):
            self.assertAlmostEqual(value, expected)

    def test_of_several_workloads_the_median_counts_in_figures_and_in_rounds(self):
        cpu, tail = gates.GATES["fanout"]
        run = three_workloads("a1", 1, 0.7, 1.5, 0.9)
        self.assertEqual((cpu.value(run), tail.value(run)), (0.9, 1.8))
        for value, expected in zip(cpu.values_of_rounds(run), (0.9, 0.901, 0.902), strict=True):
            self.assertAlmostEqual(value, expected)
        self.assertEqual(tail.values_of_rounds(run), [1.0] * 3)
        self.assertIsNone(tail.value(fanout("a1", 1, 1.1)))
        run["workloads"]["0 x 10/s"]["ratio_to_send"] = float("nan")
        self.assertFalse(gates.is_number(cpu.value(run)))

    def test_a_limit_holds_on_the_side_that_is_better(self):
        lower, higher = gates.Gate("a", "a", 1, 0.92), gates.Gate("b", "b", 8e6, 15e6, True)
        self.assertEqual(lower.verdict(0.95), "must <= 1: passed; aim <= 0.92: MISSED")
        self.assertEqual(higher.verdict(7e6),
                         "must >= 8.00 million: MISSED; aim >= 15.00 million: MISSED")
        self.assertIn("MISSED", lower.verdict(float("nan")))

    def test_without_gnuplot_the_package_is_named_and_nothing_is_written(self):
        write_history(self.results)
        done = self.run_report(PATH=str(self.results))
        self.assertEqual(done.returncode, 1)
        self.assertIn("gnuplot-nox", done.stderr)
        self.assertFalse(self.out.exists())


@unittest.skipUnless(GNUPLOT, NO_GNUPLOT)
class Writing(Folders):
    def written(self, *options):
        write_history(self.results)
        done = self.run_report(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done, (self.out / "index.md").read_text(encoding="utf8")

    def test_the_page_shows_every_scenario_and_names_what_was_skipped(self):
        done, page = self.written()
        for scenario in ("fanout", "saturation", "memory", "fresh"):
            self.assertIn(f"\n## {scenario}\n", page)
        self.assertIn("| 0.92 | must <= 0.95: passed; aim <= 0.9: MISSED | b2-dirty |", page)
        self.assertIn("| - | not measured | - |", page)
        self.assertIn("No run has measured p999_ratio_to_send.", page)
        self.assertIn("| ringcast | 3 | yes | 6600 | 6000 .. 7200 |", page)
        self.assertIn("| wonders | 7 | no limit is set |", page)
        self.assertIn("| 9 M/s | 1 | yes |", page)
        self.assertIn("## Lines that were skipped", page)
        for number, expected in enumerate(DAMAGED.values(), 2):
            self.assertIn(f"- fanout.json:{number}: {expected}", page)
            self.assertIn(f"skipped fanout.json:{number}: {expected}", done.stderr)
        self.assertNotIn("`", page)
        self.assertNotIn("A|B", page)

    def test_every_plot_is_well_formed_svg_and_there_is_nothing_else(self):
        _, page = self.written()
        shown = set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page))
        expected = {f"{scenario}-{what}.svg" for scenario in ("fanout", "saturation")
                    for what in ("cpu", "latency")}
        self.assertEqual(shown, expected | {
            "fanout-history-ratio_to_send.svg", "saturation-history-frames_per_second.svg",
            "memory-history-bytes_per_connection.svg", "fresh-history-wonders.svg"})
        self.assertEqual({path.name for path in self.out.iterdir()}, shown | {"index.md"})
        for name in shown:
            root = xml.etree.ElementTree.parse(self.out / name).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg", name)
        text = (self.out / "fanout-history-ratio_to_send.svg").read_text(encoding="utf8")
        for label in ("a1", "b2-dirty", "must 0.95", "aim 0.9", "each round", "median"):
            self.assertIn(f">{label}<", re.sub(r"\s*([<>])\s*", r"\1", text))
        self.assertLess(text.index("a1<"), text.index("b2-dirty<"))

    def test_every_gate_that_was_measured_has_a_history_with_its_must(self):
        self.results.joinpath("fanout.json").write_text(
            "\n".join(json.dumps(three_workloads(f"c{i}", i, 0.7, 1.5 - i / 10, 0.9)) for i in (1, 2)),
            encoding="utf8")
        done = self.run_report()
        self.assertEqual(done.returncode, 0, done.stderr)
        for gate in gates.GATES["fanout"]:
            text = (self.out / f"fanout-history-{gate.key}.svg").read_text(encoding="utf8")
            self.assertIn(f">must {gate.must:g}<", re.sub(r"\s*([<>])\s*", r"\1", text))

    def test_png_is_png(self):
        self.written("--format", "png")
        picture = (self.out / "fanout-history-ratio_to_send.png").read_bytes()
        self.assertEqual(picture[:8], b"\x89PNG\r\n\x1a\n")
        self.assertGreater(struct.unpack(">I", picture[16:20])[0], 600)
        self.assertEqual(list(self.out.glob("*.svg")), [])

    def test_an_empty_history_is_an_error(self):
        done = self.run_report()
        self.assertEqual(done.returncode, 1)
        self.assertIn("no run is recorded", done.stderr)


def measured(core_ns, p999=10e6, valid=True):
    return {"valid": valid, "latency_ns": {"p50": 3e6, "p99": 9e6, "p99.9": p999},
            "server": {"core_ns_per_frame": core_ns, "rss_bytes_end": 1 << 20}}


CORE = ("server", "core_ns_per_frame")


class Statistics(unittest.TestCase):
    def judged(self, a, b, percent_max=5):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = compare.judge({"A": a, "B": b}, percent_max)
        return code, out.getvalue()

    def test_a_drift_of_both_is_not_in_their_ratios(self):
        drift = [1000, 2000, 4000]
        ratios = compare.ratios_of([measured(ns) for ns in drift],
                                   [measured(ns * 1.5) for ns in drift], CORE)
        self.assertEqual(ratios, [1.5, 1.5, 1.5])

    def test_a_round_with_an_invalid_run_or_no_figure_does_not_count(self):
        a = [measured(1000), measured(1000, valid=False), measured(0), measured(1000)]
        b = [measured(1100), measured(9000), measured(1000), measured(None)]
        self.assertEqual(compare.ratios_of(a, b, CORE), [1.1])

    def test_the_interval_holds_the_median_and_is_the_same_each_time(self):
        chance = random.Random(7)
        ratios = [chance.gauss(1.1, 0.05) for _ in range(30)]
        low, high = compare.bootstrap_interval(ratios)
        self.assertLess(low, 1.1)
        self.assertGreater(high, 1.1)
        self.assertLess(high - low, 0.1)
        self.assertGreaterEqual(low, min(ratios))
        self.assertLessEqual(high, max(ratios))
        self.assertEqual((low, high), compare.bootstrap_interval(ratios))

    def test_the_interval_misses_the_truth_in_about_one_of_twenty(self):
        chance = random.Random(11)
        trials, missed = 60, 0
        for _ in range(trials):
            low, high = compare.bootstrap_interval([chance.gauss(1, 0.1) for _ in range(10)])
            missed += not low <= 1 <= high
        self.assertLessEqual(missed, trials * 0.2)

    def test_the_verdict_follows_the_interval(self):
        many = [1.0] * compare.ROUNDS_MIN
        self.assertEqual(compare.verdict(many, (1.01, 1.2)), "worse")
        self.assertEqual(compare.verdict(many, (0.8, 0.99)), "better")
        self.assertEqual(compare.verdict(many, (0.9, 1.1)), compare.NO_DIFFERENCE)
        self.assertEqual(compare.verdict(many[1:], (1.01, 1.2)), compare.NO_DIFFERENCE)

    def test_worse_by_more_than_allowed_is_exit_code_1(self):
        a = [measured(1000 + i) for i in range(8)]
        code, said = self.judged(a, [measured(1100 + i) for i in range(8)])
        self.assertEqual(code, 1, said)
        self.assertIn("WORSE by more than 5 %: core ns/frame", said)
        self.assertEqual(said.count("  round "), 8)
        code, said = self.judged(a, [measured(1100 + i) for i in range(8)], percent_max=20)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"core ns/frame .* worse\n")
        code, said = self.judged(a, [measured(1000 + i, p999=12e6) for i in range(8)])
        self.assertEqual(code, 1, said)
        self.assertIn("WORSE by more than 5 %: p99.9 ns", said)

    def test_noise_and_improvement_are_exit_code_0(self):
        noise = [0.7, 1.4, 0.9, 1.2, 1.1, 0.8, 1.3, 0.95]
        code, said = self.judged([measured(1000)] * 8, [measured(1000 * n) for n in noise])
        self.assertEqual(code, 0, said)
        self.assertRegex(said, rf"core ns/frame .* {compare.NO_DIFFERENCE}\n")
        code, said = self.judged([measured(1000)] * 8, [measured(800)] * 8)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"core ns/frame .* better\n")

    def test_losing_frames_where_a_does_not_is_exit_code_1(self):
        good = [measured(1000)] * 8
        code, said = self.judged(good, [*good[1:], measured(1000, valid=False)])
        self.assertEqual(code, 1)
        self.assertIn("only B loses frames", said)
        with self.assertRaises(compare.CannotMeasure):
            self.judged([measured(1000, valid=False)], [measured(1000, valid=False)])

    def test_a_commit_that_is_not_there_is_exit_code_2(self):
        done = subprocess.run([sys.executable, "-B", str(BENCH_DIR / "compare.py"),
                               "no-such-commit", compare.WORKTREE], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("no-such-commit", done.stdout)


if __name__ == "__main__":
    unittest.main()
