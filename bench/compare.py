#!/usr/bin/env python3
"""compare: is commit B worse than commit A? Builds both, and measures them in turn.

  bench/compare.py HEAD~5 HEAD                     fanout, 10 rounds of 5 s
  bench/compare.py main WORKTREE --scenario burst  this checkout as it is, changes included

Only the servers are built from the commits; the load generator is ringcast-bench of this checkout.
The ratio B/A within each round is compared. Exit code 0: B is not worse; 1: B's CPU per frame or
p99.9 is worse by more than --max-worse, or B loses frames; 2: it could not be measured.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import harness
import run

WORKTREE = "WORKTREE"
ROUNDS_MIN = 6  # With fewer, all ratios lie on one side of 1 by chance too often.
RESAMPLES = 10_000
CONFIDENCE = 0.95
NO_DIFFERENCE = "no visible difference"
FIGURES = {  # name: where it is in a report of ringcast-bench; less is better
    "core ns/frame": ("server", "core_ns_per_frame"),
    "p50 ns": ("latency_ns", "p50"),
    "p99 ns": ("latency_ns", "p99"),
    "p99.9 ns": ("latency_ns", "p99.9"),
    "RSS bytes": ("server", "rss_bytes_end"),
}
JUDGED = ("core ns/frame", "p99.9 ns")


@dataclass(frozen=True)
class Scenario:
    about: str
    connections: int
    feed: dict
    server: tuple = ()
    unix: bool = False
    stalled: int = 0  # more clients, which do not read


SCENARIOS = {
    "fanout": Scenario("1 000 x 256 B x 100/s", 1000, {"rate": 100}),
    "many": Scenario("10 000 x 256 B x 10/s", 10_000, {"rate": 10}),
    "unix": Scenario("1 000 x 256 B x 100/s, Unix-domain", 1000, {"rate": 100}, unix=True),
    "burst": Scenario("1 000 x 32 frames at one instant x 50/s", 1000,
                      {"symbols": 32, "rate": 1600, "burst": 32}),
    # The stalled are blocked before the window: the kernel holds little for them.
    "stalled": Scenario("1 000 x 256 B x 100/s, beside 100 that do not read", 1000, {"rate": 100},
                        ("--send-buffer-bytes", "16384"), stalled=100),
    # A small log, so that its pages do not hide what the connections need.
    "memory": Scenario("10 000 connections, almost idle", 10_000, {"rate": 1},
                       ("--frame-log-bytes", "1048576")),
}


class CannotMeasure(Exception):
    pass


# ---- Statistics ----

def ratios_of(reports_a, reports_b, keys):
    """B/A within each round in which both runs were valid and the figure is there."""
    ratios = []
    for pair in zip(reports_a, reports_b):
        if not all(report["valid"] for report in pair):
            continue
        a, b = (report[keys[0]].get(keys[1]) or 0 for report in pair)
        if a > 0 and b > 0:
            ratios.append(b / a)
    return ratios


def bootstrap_interval(ratios, seed=1):
    """The interval in which the median of the ratios lies, by resampling them."""
    chance = random.Random(seed)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios)))
                     for _ in range(RESAMPLES))
    tail = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return medians[tail], medians[-1 - tail]


def verdict(ratios, interval):
    low, high = interval
    if len(ratios) < ROUNDS_MIN or low <= 1 <= high:
        return NO_DIFFERENCE
    return "worse" if low > 1 else "better"


def is_too_bad(ratios, interval, percent_max):
    return (verdict(ratios, interval) == "worse"
            and statistics.median(ratios) > 1 + percent_max / 100)


# ---- Building ----

def git(*arguments):
    done = subprocess.run(["git", "-C", harness.ROOT, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def zig_path():
    with open(os.path.join(harness.ROOT, "scripts", "setup.sh"), encoding="utf8") as setup:
        version = re.search(r"^zig_version=(\S+)", setup.read(), re.M)[1]
    path = os.path.join(harness.ROOT, ".toolchain", f"zig-{version}", "zig")
    if not os.access(path, os.X_OK):
        raise CannotMeasure(f"no compiler {path}: run scripts/setup.sh run first")
    return path


def run_to_end(command, directory):
    """The exit code. When interrupted, it kills the command, which would otherwise go on writing into
    folders that are then removed."""
    process = subprocess.Popen(command, cwd=directory, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


class Builds:
    """Releases of commits in a temporary directory; a context manager that removes it."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="ringcast-compare-")
        self.worktrees = []
        self.bin_dirs = {}
        return self

    def __exit__(self, *_):
        with harness.uninterrupted():
            for worktree in self.worktrees:
                with contextlib.suppress(CannotMeasure):
                    git("worktree", "remove", "--force", worktree)
            shutil.rmtree(self.directory, ignore_errors=True)

    def resolve(self, name):
        if name == WORKTREE:
            return name
        return git("rev-parse", "--verify", "--end-of-options", name + "^{commit}")

    def build(self, name):
        """The folder with the programs of a commit, or of this checkout for WORKTREE."""
        revision = self.resolve(name)
        if revision not in self.bin_dirs:
            print(f"building {name} ({revision[:12]})", flush=True)
            prefix = os.path.join(self.directory, f"built-{len(self.bin_dirs)}")
            self._zig_build(self._sources(revision), prefix, name)
            self.bin_dirs[revision] = os.path.join(prefix, "bin")
        return self.bin_dirs[revision]

    def _sources(self, revision):
        if revision == WORKTREE:
            return harness.ROOT
        path = os.path.join(self.directory, f"source-{len(self.worktrees)}")
        self.worktrees.append(path)
        git("worktree", "add", "--detach", path, revision)
        return path

    def _zig_build(self, sources, prefix, name):
        command = [zig_path(), "build", "--cache-dir", os.path.join(self.directory, "cache"),
                   "--prefix", prefix]
        if run_to_end(command, sources) != 0:
            raise CannotMeasure(f"{name} does not build: see the compiler's messages above")


# ---- Measuring ----

class Setup(harness.Setup):
    """The server is that of the measured commit; everything else is that of this checkout."""
    server_bin_dir = None

    def program(self, name):
        if name == "ringcast":
            return os.path.join(self.server_bin_dir, name)
        return super().program(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def measure(setup, scenario, bin_dirs):
    """{"A": [report of each round], "B": [...]}"""
    stalled = scenario.stalled // (10 if setup.small else 1)
    connections = scenario.connections // (10 if setup.small else 1) + stalled
    arguments = [*run.room(connections), *scenario.server]
    load = ["--stalled", stalled] if stalled else []

    def once(variant):
        setup.server_bin_dir = bin_dirs[variant]
        with harness.Server(setup, "ringcast", arguments, unix=scenario.unix,
                    spec=run.spec(**scenario.feed)) as server:
            return server.load("-c", connections, *load, *harness.INTENDED)

    return harness.interleave(setup, list(bin_dirs), once)


# ---- Printing ----

def print_rounds(reports):
    print("B/A within each round:")
    for number, (a, b) in enumerate(zip(reports["A"], reports["B"]), 1):
        cells = []
        for name, keys in FIGURES.items():
            ratios = ratios_of([a], [b], keys)
            cells.append(f"{name} {ratios[0]:.3f}" if ratios else f"{name} -")
        print(f"  round {number:2}  " + "  ".join(cells))


def print_figures(reports, percent_max):
    """Prints the table; returns the names of the figures that are too bad."""
    too_bad = []
    print(f"\n{'':14}{'A':>15}{'B':>15}{'B/A':>8}   95 % interval   verdict")
    for name, keys in FIGURES.items():
        ratios = ratios_of(reports["A"], reports["B"], keys)
        if not ratios:
            raise CannotMeasure(f"{name}: in no round were both runs valid")
        interval = bootstrap_interval(ratios)
        middle = [harness.median([r for r in reports[side] if r["valid"]], *keys)
                  for side in "AB"]
        print(f"{name:14}{middle[0]:15,.0f}{middle[1]:15,.0f}{statistics.median(ratios):8.3f}   "
              f"{interval[0]:.3f} .. {interval[1]:.3f}  {verdict(ratios, interval)}")
        if name in JUDGED and is_too_bad(ratios, interval, percent_max):
            too_bad.append(name)
    return too_bad


def judge(reports, percent_max):
    """Prints what was found; the exit code."""
    print_rounds(reports)
    lossy = {side: sum(not report["valid"] for report in reports[side]) for side in "AB"}
    if any(lossy.values()):
        print(f"invalid runs are left out: {lossy['A']} of A, {lossy['B']} of B")
    if lossy["B"] and not lossy["A"]:
        print("WORSE: only B loses frames")
        return 1
    too_bad = print_figures(reports, percent_max)
    if len(ratios_of(reports["A"], reports["B"], FIGURES[JUDGED[0]])) < ROUNDS_MIN:
        print(f"fewer than {ROUNDS_MIN} valid rounds, too few to show a difference: use --rounds")
    if too_bad:
        print(f"WORSE by more than {percent_max:g} %: {', '.join(too_bad)}")
        return 1
    print(f"not worse by more than {percent_max:g} %: {', '.join(JUDGED)}")
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit_a", metavar="COMMIT_A", help="a commit, or WORKTREE")
    parser.add_argument("commit_b", metavar="COMMIT_B", help="a commit, or WORKTREE: this checkout as it is")
    parser.add_argument("--scenario", choices=SCENARIOS, default="fanout",
                        help="; ".join(f"{name}: {s.about}" for name, s in SCENARIOS.items()))
    parser.add_argument("--rounds", type=int, default=10,
                        help=f"{ROUNDS_MIN} or more (default: 10); with an even number, the "
                             "interval is closest to 95 %%")
    parser.add_argument("--seconds", type=float, default=5, help="seconds of each measurement (default: 5)")
    parser.add_argument("--warmup", type=float, default=1,
                        help="seconds before it that are not measured (default: 1)")
    parser.add_argument("--max-worse", type=float, default=5, metavar="PERCENT",
                        help="how much worse B may be (default: 5)")
    parser.add_argument("--server-cpu", type=int, default=0, help="CPU of the server (default: 0)")
    parser.add_argument("--load-cpu", type=int, default=1,
                        help="CPU of the load generator (default: 1)")
    parser.add_argument("--seed", type=int, help="seed of the random order within the rounds")
    parser.add_argument("--small", action="store_true",
                        help="a tenth of the connections, one round: shows that all parts work")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds must be at least 1, and --seconds more than 0")
    if options.small:
        options.rounds, options.seconds = 1, min(options.seconds, 2)
    return options


def compare(options):
    scenario = SCENARIOS[options.scenario]
    with Builds() as builds:
        bin_dirs = {"A": builds.build(options.commit_a), "B": builds.build(options.commit_b)}
        options.bin = builds.build(WORKTREE)
        options.connections, options.before, options.peers = scenario.connections, None, ()
        with Setup(options) as setup:
            print(f"A {options.commit_a}, B {options.commit_b}, {options.scenario}: "
                  f"{scenario.about}, {setup.rounds} rounds of {setup.seconds} s", flush=True)
            reports = measure(setup, scenario, bin_dirs)
    return judge(reports, options.max_worse)


def main():
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, harness.interrupt)
    try:
        return compare(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except (CannotMeasure, SystemExit) as error:  # SystemExit: harness, a server does not start.
        print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
