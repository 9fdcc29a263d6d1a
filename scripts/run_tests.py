#!/usr/bin/env python3
"""run_tests: runs test programs, two at a time, a line each, and keeps the counts.

  run_tests.py LABEL DIRECTORY [NAME...]   unit, tsan, asan: every program in DIRECTORY;
                                           integration: tests/integration with DIRECTORY's programs
                                           server: those of them that exercise its threads
  run_tests.py total                       adds up what the labels left in zig-out/test-results

NAME: only what has it in its name. Exit code 1 when a test failed, or none ran.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "zig-out/test-results"
SECONDS_MAX = 300  # for one program


def counts_of(output, status):
    """(passed, failed, skipped) of a cmocka program, a simulation, a unittest run or a bench."""
    plain = re.search(r"^(\d+) passed, (\d+) failed", output, re.M)
    if plain:
        return int(plain[1]), int(plain[2]), 0
    ran = re.search(r"^Ran (\d+) tests? in", output, re.M)
    if ran:
        def of(word):
            found = re.search(rf"{word}=(\d+)", output)
            return int(found[1]) if found else 0
        bad = of("failures") + of("errors")
        return int(ran[1]) - bad - of("skipped"), bad, of("skipped")
    if "[==========]" in output:
        ok = len(re.findall(r"^\[       OK \]", output, re.M))
        bad = len(set(re.findall(r"^\[  FAILED  \] (\w+)", output, re.M)))
        skipped = len(set(re.findall(r"^\[  SKIPPED \] (\w+)", output, re.M)))
        if status != 0 and bad == 0:
            bad = 1  # It crashed on the way.
        return ok, bad, skipped
    return (1, 0, 0) if status == 0 else (0, 1, 0)


def run_one(name, command, environment):
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, timeout=SECONDS_MAX, text=True,
                              errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace") + "\nno end within the limit"
        status = -1
    passed, failed, skipped = counts_of(output, status)
    if status != 0 and failed == 0:
        failed = 1
    took = time.monotonic() - began
    report = [f"  {'ok' if failed == 0 else 'FAILED':6} {name:28} {passed:4} passed"
              f"{f', {failed} failed' if failed else ''}{f', {skipped} skipped' if skipped else ''}"
              f"  ({took:.1f} s)"]
    lines = output.splitlines()
    if failed:
        begin = next((i for i, line in enumerate(lines) if line.startswith("=====")), -150)
        report += ["    | " + line for line in lines[begin:][:150]]
    else:
        report += [f"    {line.strip()}" for line in lines if "SKIPPED:" in line]
    print("\n".join(report), flush=True)
    return passed, failed, skipped


# What needs both cores, or none beside it that uses them: these run one at a time.
ALONE = ("test_bench", "test_hot_path", "test_lag", "test_lifecycle.WaysToRun",
         "test_lifecycle.Signals", "test_lag.Chaos")
THREADED = ("test_lifecycle.WaysToRun", "test_lifecycle.Signals", "test_lag.Chaos")


def commands(label, directory, names):
    if label == "server":
        for name in THREADED:
            yield name, ["/usr/bin/python3", "-B", "-m", "unittest", "-v", name]
        return
    if label == "integration":
        for script in sorted((ROOT / "tests/integration").glob("test_*.py")):
            yield script.stem, ["/usr/bin/python3", "-B", "-m", "unittest", "-v",
                                script.stem]
        return
    for program in sorted(pathlib.Path(directory).iterdir()):
        if os.access(program, os.X_OK) and program.is_file():
            yield program.name, [str(program)]


def run_label(label, directory, names):
    print(f"{label}:", flush=True)
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="stdout", RINGCAST_BIN_DIR=directory,
                       PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(ROOT / "tests/integration"),
                       TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0", UBSAN_OPTIONS="print_stacktrace=1")
    if label == "server":
        environment["RINGCAST_SANITIZED"] = "1"
    environment.setdefault("RINGCAST_SHARED_DATA", str(ROOT.parent / "shared/data"))
    chosen = [(name, command) for name, command in commands(label, directory, names)
              if not names or any(wanted in name for wanted in names)]
    counts = []
    for workers, are_alone in ((2, False), (1, True)):
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            counts += pool.map(lambda it: run_one(*it, environment),
                               [it for it in chosen if (it[0] in ALONE) == are_alone])
    total = [sum(column) for column in zip(*counts)] or [0, 0, 0]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{label}.json").write_text(json.dumps(total))
    if sum(total[:2]) == 0:
        print(f"{label}: no test ran", flush=True)
    return 0 if total[1] == 0 and sum(total) > 0 else 1


def print_total():
    total = [0, 0, 0]
    for file in sorted(RESULTS.glob("*.json")) if RESULTS.exists() else []:
        total = [a + b for a, b in zip(total, json.loads(file.read_text()))]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["total"]:
        sys.exit(print_total())
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(run_label(sys.argv[1], sys.argv[2], sys.argv[3:]))
