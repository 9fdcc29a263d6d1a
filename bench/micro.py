#!/usr/bin/env python3
"""micro: runs the micro benchmarks (bench/bench_*.c) one after the other; prints a table of figures.

  zig build bench -- no-run && bench/micro.py       full size; one line of JSON is appended to
                                                    bench/results/micro.json
  bench/micro.py --small                            shows that all of them work; records nothing
  bench/micro.py fanout wake                        only those with one of these words in their name

Exit code 1 if one failed, is not built, or printed no figures.
"""

import argparse
import json
import os
import subprocess
import sys

import harness

PREFIX = "bench_"
SECONDS_MAX = 300  # for one program
COLUMNS = ("p50_ns", "p99_ns", "p999_ns", "max_ns")


def benchmarks(words):
    """Names of the benchmarks that have a source and one of the words."""
    names = sorted(name[len(PREFIX):-2] for name in os.listdir(harness.BENCH_DIR)
                   if name.startswith(PREFIX) and name.endswith(".c"))
    return [name for name in names if not words or any(word in name for word in words)]


def run(bin_dir, name, small):
    """(figures, None), or ([], what went wrong)."""
    path = os.path.join(bin_dir, PREFIX + name)
    if not os.access(path, os.X_OK):
        return [], f"{path} is not there: build first, or name its folder by --bin"
    command = [path] if small else [path, "full"]
    try:
        done = subprocess.run(command, env={**os.environ, "RINGCAST_BENCH_JSON": "1"}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return [], f"no end within {SECONDS_MAX} s"
    if done.returncode != 0:
        return [], f"exit code {done.returncode}: {done.stderr.strip()}"
    try:
        figures = [json.loads(line) for line in done.stdout.splitlines()]
    except json.JSONDecodeError as error:
        return [], f"not JSON: {error.doc!r}"
    for line in done.stderr.splitlines():
        if line.startswith("SKIPPED:"):
            print(f"{name}: {line}")
    return figures, None if figures else "no figures"


def print_table(figures):
    heads = "".join(f"{column[:-3]:>12}" for column in COLUMNS)
    print(f"{'bench':12} {'case':48}{heads}  ns")
    for figure in figures:
        values = "".join(f"{figure[column]:12,.1f}" for column in COLUMNS)
        print(f"{figure['bench']:12} {figure['case']:48}{values}", flush=True)


def record(figures):
    """Appends one line to bench/results/micro.json (JSON lines)."""
    directory = os.path.join(harness.BENCH_DIR, "results")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "micro.json"), "a") as results:
        results.write(json.dumps({"scenario": "micro", **harness.machine(),
                                  "figures": figures}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="NAME")
    parser.add_argument("--bin", default=os.path.join(harness.ROOT, "zig-out", "bench"),
                        help="folder of the programs (default: zig-out/bench)")
    parser.add_argument("--small", action="store_true", help="a run of seconds; nothing is recorded")
    options = parser.parse_args()
    names = benchmarks(options.words)
    figures, faults = [], []
    for name in names:
        found, fault = run(options.bin, name, options.small)
        figures += [figure for figure in found if "skipped" not in figure]
        faults += [f"{name}: {fault}"] if fault else []
    print_table(figures)
    for fault in faults or ([] if names else ["no benchmark has one of these words in its name"]):
        print(f"FAILED {fault}")
    if figures and not faults and not options.small:
        record(figures)
    return 1 if faults or not names else 0


if __name__ == "__main__":
    sys.exit(main())
