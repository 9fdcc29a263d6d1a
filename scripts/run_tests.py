#!/usr/bin/env python3
"""run_tests: runs test programs side by side, prints a line for each, and records the counts.

  run_tests.py quick|full|long             the stages of ./test, one after the other, and the total
  run_tests.py LABEL DIRECTORY [NAME...]   one stage, as build.zig calls it:
      test, asan    the programs in DIRECTORY/tests; each corpus once through DIRECTORY/fuzz;
                    test: simulations with fresh seeds, too, for RINGCAST_TEST_SIZE (quick)
      aarch64       the same, and --help and --version of DIRECTORY/bin, all by qemu-aarch64
      tsan          the programs in DIRECTORY/tests; the classes with threads, on DIRECTORY/bin
      integration   the classes of tests/integration, on the programs in DIRECTORY
      fuzz          all targets in DIRECTORY/fuzz at once; a NAME that is a number is the time in
                    seconds (default: 60)
      soak          simulation and fuzz targets with fresh seeds, for RINGCAST_SOAK_SECONDS (7200)
      wss           classes of tests/integration about the protocol, whose clients speak TLS
      deploy        the classes of tests/deploy: containers, packages, services; needs root
      autobahn, autobahn_tls, qemu   DIRECTORY/autobahn.sh and qemu.sh, with the arguments NAME

NAME selects the tests with this text in their name. Exit code 1 when a test failed, or none ran.
"""

import concurrent.futures
import json
import os
import pathlib
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "zig-out/test-results"
CORES = os.cpu_count() or 2
LOCKED_BYTES = 4 * 1024 * 1024 // 3  # of RLIMIT_MEMLOCK: the rings of one class of integration tests
SECONDS_MAX = {"autobahn": 7200, "autobahn_tls": 7200, "qemu": 3600, "aarch64": 3600}
SECONDS_MAX_OF_OTHERS = 1200  # for one program or class; a busy machine is slow
SECONDS_TO_TIDY_UP = 20
# The number of fresh seeds of each simulation, beside the fixed ones that each run has.
FRESH_LIVES = {
    "quick": {"sim_core": 4, "sim_system": 8},
    "full": {"sim_core": 8, "sim_system": 32},
}
FRESH_LIVES["long"] = FRESH_LIVES["full"]
FUZZ_SECONDS = 60
FUZZ_SECONDS_MORE = 150  # to end, as a target does by itself
FUZZ_TELL_SECONDS = 10
ZIG = ".toolchain/zig-0.16.0/zig"
SCRIPT = "scripts/run_tests.py"
# Without sections 9, 12 and 13, which move gigabytes.
AUTOBAHN_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
QUICK = ("check", "tidy", "test", "integration")
SIZES = {
    "quick": QUICK,
    "full": (*QUICK, "wss", "deploy", "tsan", "asan", "fuzz", "autobahn", "autobahn_tls"),
    "long": (*QUICK, "wss", "deploy", "aarch64", "tsan", "asan", "autobahn", "autobahn_tls", "qemu", "coverage",
             "soak"),
}
DEPLOY_TOOLS = ("podman", "runc", "debootstrap")
EMULATOR = "qemu-aarch64"
AARCH64 = ROOT / ".toolchain/aarch64"  # its libraries
IS_AARCH64 = platform.machine() == "aarch64"
EMULATED_PROGRAMS = ("ringcast --version", "ringcast --help", "ringcast stat --help",
                     "ringcast --config docs/ringcast.yaml --check-config", "ringcast-tap --help",
                     "ringcast-bench --help", "ringcast-echo --help")
# The protocol, whose tests run once more by wss.
PROTOCOL = ("test_protocol", "test_faults", "test_url", "test_http", "test_encodings", "test_sbe",
            "test_compression", "test_streams", "test_history", "test_symbols", "test_big_books",
            "test_clients", "test_life", "test_lag", "test_quiet", "test_scopes")
THREADED = ("test_lifecycle.WaysToRun", "test_lifecycle.Signals", "test_lag.Chaos",
            "test_big_books.Snapshots")
# A module that cannot be loaded is listed by its name: running it prints the reason.
LIST_CLASSES = """
import json, sys, unittest
def tests_of(suite):
    for it in suite:
        yield from tests_of(it) if isinstance(it, unittest.TestSuite) else [it]
found = {}
for test in tests_of(unittest.defaultTestLoader.discover(sys.argv[1])):
    kind = type(test)
    is_loaded = kind.__module__ != "unittest.loader"
    name = f"{kind.__module__}.{kind.__qualname__}" if is_loaded else test._testMethodName
    found[name] = bool(getattr(kind, "runs_alone", ""))
print(json.dumps(found))
"""


def counts_of(output, status):
    """(passed, failed, skipped), for any kind of program."""
    plain = re.search(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", output, re.M)
    if plain:
        return int(plain[1]), int(plain[2]), int(plain[3] or 0)
    cases = re.search(r"^(\d+) cases, (\d+) failed", output, re.M)
    if cases:
        return int(cases[1]) - int(cases[2]), int(cases[2]), 0
    ran = re.search(r"^Ran (\d+) tests? in", output, re.M)
    if ran:
        def of(word):
            found = re.search(rf"\b{word}=(\d+)", output[ran.start():])
            return int(found[1]) if found else 0
        bad = of("failures") + of("errors") + of("unexpected successes")
        return max(int(ran[1]) - bad - of("skipped"), 0), bad, of("skipped")
    if "[==========]" in output:
        ok = len(re.findall(r"^\[       OK \]", output, re.M))
        bad = len(set(re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M)))
        skipped = len(set(re.findall(r"^\[  SKIPPED \] (\w+)$", output, re.M)))
        return ok, bad, skipped
    return (1, 0, 0) if status == 0 else (0, 1, 0)


def run_with_limit(command, environment, seconds):
    """(output, status). After the limit it is interrupted first, so that it can stop its children."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        late = b""
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            late, status = f"\nno end within {seconds} s\n".encode(), -1
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECONDS_TO_TIDY_UP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        output.seek(0)
        return (output.read() + late).decode(errors="replace"), status


def run_one(name, command, environment, seconds):
    began = time.monotonic()
    output, status = run_with_limit(command, environment, seconds)
    passed, failed, skipped = counts_of(output, status)
    if status != 0 and failed == 0:
        failed = 1  # It crashed, or did not end.
    took = time.monotonic() - began
    report = [f"  {'ok' if failed == 0 else 'FAILED':6} {name:44} {passed:4} passed"
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


def programs_in(directory):
    """The simulation first: it takes longest."""
    programs = sorted(directory.glob("*"), key=lambda it: (not it.name.startswith("sim"), it.name))
    return [program for program in programs if program.is_file() and os.access(program, os.X_OK)]


def fuzz_command(program, seconds, seed):
    return [str(program), "tests/corpus/" + program.name.removeprefix("fuzz_"), str(seconds),
            str(seed)]


def unittest_command(name):
    return ["/usr/bin/python3", "-B", "-m", "unittest", "-v", name]


def classes_of(folder, environment):
    """{name: whether it runs alone}"""
    listing = subprocess.run(["/usr/bin/python3", "-B", "-c", LIST_CLASSES, folder], cwd=ROOT, check=True,
                             text=True, env=environment, stdout=subprocess.PIPE)
    return json.loads(listing.stdout.splitlines()[-1])


def fresh_simulations(directory):
    """Each simulation with fresh seeds. A failure prints the seed with which it can be repeated."""
    seed = time.time_ns() // 10**9
    lives = FRESH_LIVES.get(os.environ.get("RINGCAST_TEST_SIZE"), FRESH_LIVES["quick"])
    for name, count in lives.items():
        if (directory / name).exists():
            yield f"{name} {seed} {count}", [f"{directory}/{name}", str(seed), str(count)]


def soak(directory):
    """Until the time is over. Each name contains the seed with which it can be repeated."""
    chance = random.SystemRandom()
    end = time.monotonic() + int(os.environ.get("RINGCAST_SOAK_SECONDS", "7200"))
    while True:
        for program in programs_in(directory / "fuzz"):
            for name, count in (("sim_core", 24), ("sim_system", 100)):
                seed = chance.randrange(1 << 32)
                yield f"{name} {seed} {count}", [f"{directory}/tests/{name}", str(seed), str(count)]
            seed = chance.randrange(1 << 32)
            yield f"{program.name} seed {seed}", fuzz_command(program, 60, seed)
            if time.monotonic() > end:
                return


def what_is_missing(label):
    """The reason why a label cannot run, or None."""
    if label in ("autobahn", "autobahn_tls") and not (ROOT / ".toolchain/autobahn/complete").exists():
        return "the Autobahn suite is not installed; scripts/autobahn.sh --set-up installs it"
    if label in ("check", "aarch64") and not AARCH64.exists():
        return "the packages for aarch64 are not there; scripts/setup.sh test fetches them"
    if label == "aarch64" and not IS_AARCH64 and not shutil.which(EMULATOR):
        return f"there is no {EMULATOR}; scripts/setup.sh long installs it"
    if label == "deploy" and os.geteuid() != 0:
        return "containers and packages need root: sudo python3 scripts/run_tests.py deploy zig-out/bin"
    if label == "deploy" and (tools := [tool for tool in DEPLOY_TOOLS if not shutil.which(tool)]):
        return f"there is no {' and no '.join(tools)}; scripts/setup.sh full installs them"
    return None


def emulated(label, command):
    """The command for a label: programs for another processor are run by an emulator."""
    if label != "aarch64" or IS_AARCH64:
        return command
    return [EMULATOR, "-L", str(AARCH64), *command]


def commands(label, directory, names, environment):
    """(name, command, whether it runs alone) of all that is to run."""
    directory = pathlib.Path(directory)
    if missing := what_is_missing(label):
        yield label, ["printf", f"SKIPPED: {missing}\\n0 passed, 0 failed, 1 skipped\\n"], True
        return
    if label in ("autobahn", "autobahn_tls", "qemu"):
        program, _, tls = label.partition("_")
        yield label, [f"{directory}/{program}.sh", *(["--tls"] if tls else []), *names], True
        return
    if label == "soak":
        for name, command in soak(directory):
            yield name, command, False
        return

    def is_wanted(name):
        return not names or any(wanted in name for wanted in names)

    if label in ("integration", "wss", "deploy"):
        folder = "tests/deploy" if label == "deploy" else "tests/integration"
        for name, runs_alone in classes_of(folder, environment).items():
            is_chosen = label != "wss" or name.partition(".")[0] in PROTOCOL
            if is_chosen and is_wanted(name):
                yield name, unittest_command(name), runs_alone
        return
    found = []
    if label in ("test", "aarch64"):
        found += fresh_simulations(directory / "tests")
    found += [(program.name, [str(program)]) for program in programs_in(directory / "tests")]
    found += [(program.name, fuzz_command(program, 0, 1))
              for program in programs_in(directory / "fuzz")]
    if label == "aarch64":
        found += [(line, f"{directory}/bin/{line}".split()) for line in EMULATED_PROGRAMS]
    for name, command in found:
        if is_wanted(name):
            yield name, emulated(label, command), False
    for name in THREADED if label == "tsan" else ():
        if is_wanted(name):
            yield name, unittest_command(name), True


def environment_of(label, directory):
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="stdout", PYTHONDONTWRITEBYTECODE="1",
                       PYTHONPATH=str(ROOT / "tests/integration"), RINGCAST_BIN_DIR=directory,
                       TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0",
                       UBSAN_OPTIONS="print_stacktrace=1")
    if label == "aarch64" and not IS_AARCH64:
        environment["RINGCAST_EMULATOR"] = EMULATOR
    if label == "wss":
        environment["RINGCAST_TEST_WSS"] = "1"
    if label == "deploy":
        environment["PYTHONPATH"] += f":{ROOT / 'tests/deploy'}"
    if label == "tsan":
        environment["RINGCAST_BIN_DIR"] += "/bin"
        environment["RINGCAST_SANITIZED"] = "1"
    environment.setdefault("RINGCAST_SHARED_DATA", str(ROOT.parent / "shared/data"))
    return environment


def workers_of(label):
    """Integration tests mostly wait. Their rings are locked memory, which an ordinary user has little of."""
    if label not in ("integration", "wss"):
        return CORES
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    is_limited = os.geteuid() != 0 and locked != resource.RLIM_INFINITY
    most = min(4 * CORES, 12) if label == "integration" else 2 * CORES  # TLS costs the clients time.
    return max(1, min(most, locked // LOCKED_BYTES)) if is_limited else most


def run_label(label, directory, names):
    print(f"{label}:", flush=True)
    environment = environment_of(label, directory)
    seconds = SECONDS_MAX.get(label, SECONDS_MAX_OF_OTHERS)
    all_of_it = commands(label, directory, names, environment)
    alone, counts, lock = [], [], threading.Lock()

    def work():
        while True:
            with lock:
                it = next(all_of_it, None)
                if it is not None and it[2]:
                    alone.append(it)
                    continue
            if it is None:
                return
            counts.append(run_one(it[0], it[1], environment, seconds))

    workers = workers_of(label)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    for name, command, _ in alone:
        counts.append(run_one(name, command, environment, seconds))
    total = [sum(column) for column in zip(*counts)] or [0, 0, 0]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{label}.json").write_text(json.dumps(total))
    if sum(total) == 0:
        wanted = f": no name in this stage contains {' or '.join(names)}" if names else ""
        print(f"{label}: no test ran{wanted}", flush=True)
    return 0 if total[1] == 0 and sum(total) > 0 else 1


class FuzzTarget:
    """A running target."""

    def __init__(self, program, seconds, seed, environment):
        self.program, self.output = program, tempfile.TemporaryFile()
        self.crash = program.with_name(program.name + ".crash")
        self.crash.unlink(missing_ok=True)
        self.process = subprocess.Popen(fuzz_command(program, seconds, seed), cwd=ROOT,
                                        env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)

    def text(self):
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    def inputs(self):
        told = re.findall(r"^(\d+) inputs", self.text(), re.M)
        return int(told[-1]) if told else 0

    def failed(self):
        return self.process.poll() not in (None, 0)

    def report(self):
        word = "FAILED" if self.failed() else "ok"
        print(f"  {word:6} {self.program.name:30} {self.inputs():12,} inputs")
        if self.failed():
            print("\n".join(f"    | {line}" for line in self.text().splitlines()[-40:]))
            print(f"    | to repeat: {self.program.relative_to(ROOT)} {self.crash.relative_to(ROOT)}")


def run_fuzz(directory, names):
    numbers = [int(name) for name in names if name.isdigit()]
    wanted = [name for name in names if not name.isdigit()]
    seconds, seed = numbers[0] if numbers else FUZZ_SECONDS, random.SystemRandom().randrange(1 << 32)
    programs = [program for program in programs_in(pathlib.Path(directory) / "fuzz")
                if not wanted or any(name in program.name for name in wanted)]
    environment = environment_of("fuzz", directory)
    print(f"fuzz: {len(programs)} targets for {seconds} s, seed {seed}", flush=True)
    targets = [FuzzTarget(program, seconds, seed, environment) for program in programs]
    began, told = time.monotonic(), 0
    while any(target.process.poll() is None for target in targets):
        time.sleep(0.2)
        now = time.monotonic() - began
        if now - told >= FUZZ_TELL_SECONDS:
            told = now
            failed = sum(target.failed() for target in targets)
            print(f"  {now:.0f} s: {sum(target.inputs() for target in targets):,} inputs, "
                  f"{failed} targets failed", flush=True)
        if now > seconds + FUZZ_SECONDS_MORE:
            for target in targets:
                target.process.kill()
    for target in targets:
        target.report()
    failed = [target.program.name for target in targets if target.failed()]
    print(f"fuzz: {sum(target.inputs() for target in targets):,} inputs, "
          f"{'faults in ' + ', '.join(failed) if failed else 'no fault'}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "fuzz.json").write_text(json.dumps([len(targets) - len(failed), len(failed), 0]))
    return 0 if targets and not failed else 1


def command_of(stage, size):
    if stage in ("autobahn", "autobahn_tls"):
        return [SCRIPT, stage, "scripts", *(AUTOBAHN_CASES if size == "full" else ())]
    if stage == "qemu":
        return [SCRIPT, stage, "scripts"]
    if stage in ("wss", "deploy"):
        return [SCRIPT, stage, str(ROOT / "zig-out/bin")]
    if stage == "coverage":
        return ["scripts/coverage.py", "all"]
    if stage == "soak":
        return [SCRIPT, stage, "zig-out/debug"]
    return [ZIG, "build", stage, "--summary", "none"]


def run_stage(stage, size):
    """The counts that the stage leaves in RESULTS, or one test if it leaves none."""
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = dict(os.environ, RINGCAST_TEST_SIZE=size)
    status = subprocess.run(command_of(stage, size), cwd=ROOT, env=environment,
                            check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        total = json.loads((RESULTS / f"{stage}.json").read_text())
    except FileNotFoundError:
        total = [0, 1, 0] if status != 0 else [0, 0, 1] if what_is_missing(stage) else [1, 0, 0]
    if status != 0 and total[1] == 0:
        total[1] = 1
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    line = (f"{stage:12} {total[0]:5} passed, {total[1]} failed, {total[2]} skipped"
            f"  ({time.monotonic() - began:.0f} s, {cpu:.0f} s of CPU time)")
    print(line, flush=True)
    return total, line


def run_stages(size):
    shutil.rmtree(RESULTS, ignore_errors=True)
    totals, lines = zip(*(run_stage(stage, size) for stage in SIZES[size]))
    passed, failed, skipped = (sum(column) for column in zip(*totals))
    print("\n" + "\n".join(lines))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] in SIZES:
        sys.exit(run_stages(sys.argv[1]))
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if sys.argv[1] == "fuzz":
        sys.exit(run_fuzz(sys.argv[2], sys.argv[3:]))
    sys.exit(run_label(sys.argv[1], sys.argv[2], sys.argv[3:]))
