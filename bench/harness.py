"""harness: servers pinned to one core, the load to another, and what they measured.

Used by run.py. Every measurement starts its server anew, runs ringcast-bench against it and stops
it again, so that nothing of one is left for the next.
"""

import json
import os
import platform
import random
import resource
import socket
import statistics
import subprocess
import tempfile
import time

BENCH_DIR = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH_DIR)
START_SECONDS_MAX = 10


class Setup:
    """Where the programs are and which cores they get; from run.py's command line."""

    def __init__(self, options):
        self.bin_dir = options.bin or os.path.join(ROOT, "zig-out", "bin")
        self.connections = options.connections
        self.server_cpu = options.server_cpu
        self.load_cpu = options.load_cpu
        self.rounds = options.rounds
        self.seconds = options.seconds
        self.warmup = options.warmup
        self.small = options.small
        self.random = random.Random(options.seed)
        self.socket_path = os.path.join(tempfile.mkdtemp(prefix="ringcast-bench-"), "socket")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def program(self, name):
        path = os.path.join(self.bin_dir, name)
        if not os.access(path, os.X_OK):
            raise SystemExit(f"{path} is not there: build first, or name its folder by --bin")
        return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; a context manager. kind: ringcast, send or uring."""

    def __init__(self, setup, kind, arguments, unix=False):
        self.setup = setup
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/"
        if kind == "ringcast":
            command = [setup.program("ringcast"), "--host", "127.0.0.1", "--port", str(self.port),
                       "--admin-port", "0", "--log-level", "ERROR", *arguments]
        else:
            command = [setup.program("raw_send"), "--port", str(self.port), *arguments]
            command += ["--uring", "64"] if kind == "uring" else []
        if unix:
            command += ["--unix", setup.socket_path]
            self.url = "unix://" + setup.socket_path
        self.command = ["taskset", "-c", str(setup.server_cpu), *command]
        self.is_unix = unix

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"{' '.join(self.command)}:\n{self.process.communicate()[1]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def _answers(self):
        family = socket.AF_UNIX if self.is_unix else socket.AF_INET
        address = self.setup.socket_path if self.is_unix else ("127.0.0.1", self.port)
        with socket.socket(family) as probe:
            return probe.connect_ex(address) == 0

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def load(self, *arguments, seconds=None):
        """One run of ringcast-bench; its report."""
        command = ["taskset", "-c", str(self.setup.load_cpu), self.setup.program("ringcast-bench"),
                   "--json", "-d", str(seconds or self.setup.seconds), "-w",
                   str(self.setup.warmup), "-p", str(self.process.pid), "--cpu",
                   str(self.setup.server_cpu), *map(str, arguments), self.url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if not done.stdout:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
        return json.loads(done.stdout)


def interleave(setup, variants, measure):
    """Measures every variant once a round, in random order; {variant: [report, ...]}."""
    reports = {variant: [] for variant in variants}
    for round_index in range(setup.rounds):
        order = list(variants)
        setup.random.shuffle(order)
        for variant in order:
            report = measure(variant)
            reports[variant].append(report)
            print(f"  round {round_index + 1} {variant:16} {describe(report)}", flush=True)
    return reports


def describe(report):
    latency = report["latency_ns"]
    return (f"{report['frames_per_second']:12,.0f} frames/s  "
            f"{report['server']['core_ns_per_frame']:9.1f} core ns/frame  "
            f"p50 {latency['p50'] / 1e3:9.1f}  p99 {latency['p99'] / 1e3:9.1f} us  "
            f"{'valid' if report['valid'] else 'INVALID ' + str(report['exit_code'])}")


def median(reports, *keys):
    def pick(report):
        for key in keys:
            report = report[key]
        return report
    return statistics.median(pick(report) for report in reports)


def summary(reports):
    """What is kept of the runs of one variant."""
    return {
        "rounds": len(reports),
        "valid": all(report["valid"] for report in reports),
        "core_ns_per_frame": median(reports, "server", "core_ns_per_frame"),
        "core_ns_per_frame_all": [r["server"]["core_ns_per_frame"] for r in reports],
        "frames_per_second": median(reports, "frames_per_second"),
        "latency_ns": {name: median(reports, "latency_ns", name)
                       for name in ("p50", "p90", "p99", "p99.9", "max")},
        "rss_bytes": median(reports, "server", "rss_bytes_end"),
    }


def cost_ratio(reports, variant, base):
    """Median over rounds of the ratio within a round: drift of the machine cancels out."""
    pairs = zip(reports[variant], reports[base])
    return statistics.median(a["server"]["core_ns_per_frame"] / b["server"]["core_ns_per_frame"]
                             for a, b in pairs)


def machine():
    def line_of(path, start):
        with open(path) as text:
            return next((line.split(":", 1)[1].strip() for line in text if line.startswith(start)),
                        "")
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"commit": commit, "kernel": platform.release(), "cpu": line_of("/proc/cpuinfo",
            "model name"), "cpus": os.cpu_count(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def record(scenario, setup, figures):
    """Appends one line to bench/results/<scenario>.json (JSON lines)."""
    if setup.small:
        return
    directory = os.path.join(BENCH_DIR, "results")
    os.makedirs(directory, exist_ok=True)
    line = {"scenario": scenario, **machine(), "seconds": setup.seconds, "rounds": setup.rounds,
            **figures}
    with open(os.path.join(directory, scenario + ".json"), "a") as results:
        results.write(json.dumps(line) + "\n")
