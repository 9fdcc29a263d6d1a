#!/usr/bin/env python3
"""coverage: which lines of the product do the tests run?

  scripts/coverage.py                    the unit tests and the simulation
  scripts/coverage.py test_lag test_tls  and these integration tests
  scripts/coverage.py all                and those of INTEGRATION, which run what unit tests do not; ./test long

Builds the unit tests and the programs with gcc --coverage into zig-out/coverage, runs them, and prints the share of the
lines of each room that ran, then that of codec, ring, feeds, libringcast and src together. A process that is killed by
SIGKILL leaves no counts. Exit code 1: a unit test failed, or, with "all", fewer than PERCENT_MIN of the lines ran.
Integration tests are judged by ./test: a program that counts its lines is slower than some of them allow.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "zig-out" / "coverage"
FLAGS = "-w --coverage -fprofile-update=atomic"
LIBRARIES = ("-luring -ljansson -lmicrohttpd -lssl -lcrypto -lyaml -lz -lzstd -ljemalloc -lpthread -lm").split()
PROGRAMS = {"ringcast": "src/main.c", "ringcast-tap": "tools/tap/tap_main.c", "ringcast-bench": "tools/bench/bench_main.c",
            "ringcast-echo": "tools/echo/echo_main.c"}
PRODUCT = ("codec", "ring", "feeds", "libringcast", "src")
INTEGRATION = ("test_protocol", "test_admin", "test_ctl", "test_reload", "test_access", "test_config", "test_check_config",
               "test_record.", "test_lifecycle", "test_tls_config", "test_signals", "test_metrics_port", "test_dump",
               "test_gc", "test_protection", "test_http", "test_ui", "test_counters", "test_log_files", "test_pid_file",
               "test_watchdog", "test_history_stats", "test_openapi", "test_stat.")
PERCENT_MIN = 93


def build():
    subprocess.run(["scripts/asan.sh", OUT], cwd=ROOT, check=True, env={**os.environ, "GCC_FLAGS": FLAGS})
    (OUT / "bin").mkdir(exist_ok=True)
    archives = [OUT / "others.a", OUT / "ring.a", OUT / "others.a"]
    for name, source in PROGRAMS.items():
        target = OUT / "objects" / (source.replace("/", "_") + ".o")
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-I.", *FLAGS.split(), "-c", source, "-o", target],
                       cwd=ROOT, check=True)
        subprocess.run(["gcc", "--coverage", target, *archives, *LIBRARIES, "-o", OUT / "bin" / name], cwd=ROOT, check=True)
    for path in OUT.rglob("*.gcda"):
        path.unlink()


def run(label, *arguments):
    return subprocess.run([sys.executable, "scripts/run_tests.py", label, *map(str, arguments)], cwd=ROOT,
                          env={**os.environ, "RINGCAST_TEST_SIZE": "quick"}).returncode == 0


def lines_that_ran():
    """{source: {line: whether it ran in any program}}"""
    found = collections.defaultdict(lambda: collections.defaultdict(bool))
    notes = sorted(map(str, (OUT / "objects").glob("*.gcno")))
    text = subprocess.run(["gcov", "--json-format", "--stdout", *notes], cwd=ROOT, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    for report in text.splitlines():
        for file in json.loads(report)["files"]:
            for line in file["lines"]:
                found[file["file"]][line["line_number"]] |= line["count"] > 0
    return found


def percent(ran, count):
    return 100 * ran / count if count else 100.0


def report(found):
    """Prints a line for each room; returns the share of the product's lines, in percent."""
    rooms, files = collections.defaultdict(lambda: [0, 0]), []
    for name, lines in found.items():
        if name.startswith(PRODUCT):
            ran = sum(lines.values())
            files.append((percent(ran, len(lines)), name, len(lines) - ran))
            for room in (str(pathlib.PurePath(name).parent), "all"):
                rooms[room][0] += ran
                rooms[room][1] += len(lines)
    print("the files with the most lines that did not run:")
    for share, name, missing in sorted(files, key=lambda file: -file[2])[:10]:
        print(f"  {share:5.1f} %  {missing:4}  {name}")
    for room, (ran, count) in sorted(rooms.items(), key=lambda item: (item[0] == "all", item[0])):
        print(f"{room:16} {percent(ran, count):5.1f} % of {count} lines")
    return percent(*rooms["all"])


def main():
    names = sys.argv[1:]
    build()
    passed = run("asan", OUT)
    if names:
        run("integration", OUT / "bin", *(INTEGRATION if names == ["all"] else names))
    share = report(lines_that_ran())
    is_enough = share >= PERCENT_MIN or names != ["all"]
    if not is_enough:
        print(f"coverage: {share:.1f} % is below {PERCENT_MIN} %")
    return 0 if passed and is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
