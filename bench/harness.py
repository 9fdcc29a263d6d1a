"""harness: starts servers on one core and the load generator on another, and collects the figures.

Used by run.py. Every measurement starts a new server, runs ringcast-bench against it and stops it,
so that no state is left for the next one.
"""

import contextlib
import json
import math
import os
import platform
import random
import resource
import signal
import socket
import statistics
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

BENCH_DIR = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH_DIR)
sys.path.insert(0, os.path.join(BENCH_DIR, "peers"))
import peers
import ticks

START_SECONDS_MAX = 10
INTENDED = ["--time-pattern", '"ts_event":']  # latencies from when a tick was due
QUIET_BUSY_MAX = 0.03  # of the server's core, by others, before a measurement
QUIET_SECONDS_MAX = 60
TLS_KINDS = ("wss", "ssl", "nginx")
NGINX = """\
{user}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
worker_rlimit_nofile {files_max};
events {{
  worker_connections {files_max};
}}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  access_log off;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; # as ringcast chooses
    location / {{
      proxy_pass http://127.0.0.1:{target};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""
RPS_PATH = "/sys/class/net/lo/queues/rx-0/rps_cpus"


class Setup:
    """Where the programs are and which cores they get; from run.py's command line."""

    def __init__(self, options):
        self.bin_dir = options.bin or os.path.join(ROOT, "zig-out", "bin")
        self.before_dir = options.before  # programs of the commit before; None: not measured
        self.peers = options.peers
        self.connections = options.connections
        self.server_cpu = options.server_cpu
        self.load_cpu = options.load_cpu
        self.rounds = options.rounds
        self.seconds = options.seconds
        self.warmup = options.warmup
        self.small = options.small
        self.random = random.Random(options.seed)
        self.work_dir = tempfile.mkdtemp(prefix="ringcast-bench-")
        self.socket_path = os.path.join(self.work_dir, "socket")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def close(self):
        shutil.rmtree(self.work_dir, ignore_errors=True)

    def certificate(self):
        """The files of a certificate for 127.0.0.1 and of its key."""
        files = [os.path.join(self.work_dir, name) for name in ("certificate.pem", "key.pem")]
        if not os.path.exists(files[0]):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-days", "30", "-keyout", files[1], "-out", files[0]],
                           check=True, stderr=subprocess.DEVNULL)
        return files

    def program(self, name):
        path = os.path.join(self.bin_dir, name)
        if not os.path.exists(path):
            path = os.path.join(self.bin_dir, os.pardir, "bench", name)
        if not os.access(path, os.X_OK):
            raise SystemExit(f"no program {path}: run zig build, or name its folder with --bin")
        return path


@contextlib.contextmanager
def uninterrupted():
    """Another Ctrl-C does not interrupt the clean-up."""
    before = {number: signal.signal(number, signal.SIG_IGN)
              for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(*_):
    raise KeyboardInterrupt


def nginx():
    """Its path, or None."""
    return shutil.which("nginx", path=peers.SBIN)


def steering_fault():
    """The reason why receive packet steering cannot be set here, or None."""
    if not os.path.exists(RPS_PATH):
        return f"this kernel has no {RPS_PATH}"
    return None if os.access(RPS_PATH, os.W_OK) else f"only root may write {RPS_PATH}: run it with sudo"


@contextlib.contextmanager
def steered(cpu):
    """Meanwhile, packets that arrive over loopback are handled on this core, not on the sender's."""
    with open(RPS_PATH) as file:
        before = file.read().strip()
    print(f"{RPS_PATH} is set to {1 << cpu:x} during the run, and back to {before} at its end",
          flush=True)
    try:
        with open(RPS_PATH, "w") as file:
            file.write(f"{1 << cpu:x}")
        yield
    finally:
        with uninterrupted(), open(RPS_PATH, "w") as file:
            file.write(before)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; a context manager.

    kind: ringcast, before (ringcast of the commit before), send, uring, or a peer's name (spec is
    then what it broadcasts). With TLS: wss (ringcast), ssl (SSL_write in a loop), nginx (in front
    of ringcast).
    """

    def __init__(self, setup, kind, arguments=(), unix=False, spec=None, cpus=None):
        self.setup = setup
        self.port = free_port()
        self.answering = [self.port]  # by then it has started
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.is_unix = unix
        self.spec = spec
        self.work_dir = None
        self.load_options = []
        self.cpus = str(setup.server_cpu) if cpus is None else cpus
        if kind in peers.PEERS:
            self.work_dir = tempfile.mkdtemp(prefix="ringcast-peer-")
            self.commands = self._peer_commands(kind)
        else:
            self.commands = [self._own_command(kind, list(arguments))]
        if kind in TLS_KINDS:
            self.load_options = ["--cacert", setup.certificate()[0]]
        if kind == "nginx":
            self.commands.insert(0, self._nginx_command())  # the process that is measured

    def _secure(self):
        """The port on which it has TLS."""
        port = free_port()
        self.answering.append(port)
        self.url = f"wss://127.0.0.1:{port}/"
        return str(port)

    def _nginx_command(self):
        self.work_dir = tempfile.mkdtemp(prefix="ringcast-nginx-")
        certificate, key = self.setup.certificate()
        path = os.path.join(self.work_dir, "nginx.conf")
        with open(path, "w") as file:
            file.write(NGINX.format(port=self._secure(), target=self.port, certificate=certificate, key=key,
                                    folder=self.work_dir, user="user root;" if os.geteuid() == 0 else "",
                                    files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return self.cpus, [nginx(), "-p", self.work_dir, "-c", path, "-e", "stderr"], None

    def _own_command(self, kind, arguments):
        setup = self.setup
        if kind == "wss":
            arguments += ["--tls-port", self._secure(), "--tls-certificate", ",".join(setup.certificate())]
        if kind in ("ringcast", "before", "wss", "nginx"):
            self.admin_port = free_port()
            program = os.path.join(setup.before_dir, "ringcast") if kind == "before" else \
                setup.program("ringcast")
            command = [program, "--host", "127.0.0.1", "--port", str(self.port),
                       "--admin-port", str(self.admin_port), "--log-level", "ERROR", *arguments]
            if self.spec:
                command += ["--feed", "sim:" + ticks.text(self.spec)]
        else:
            command = [setup.program("raw_send"), "--port", str(self.port), *arguments]
            command += ["--uring", "64"] if kind == "uring" else []
            if kind == "ssl":
                self.url = f"wss://127.0.0.1:{self.port}/"
                command += ["--tls", ",".join(setup.certificate())]
        if self.is_unix:
            command += ["--unix", setup.socket_path]
            self.url = "unix://" + setup.socket_path
        return self.cpus, command, None

    def _peer_commands(self, kind):
        peer = peers.PEERS[kind](ROOT, self.port, self.spec, self.work_dir)
        self.url = peer.url(["{symbols}"]) if kind == "nchan" else peer.url(["*"])
        self.load_options = peer.load_options()
        return [(self.cpus if role == "server" else str(self.setup.load_cpu), command, environment)
                for role, command, environment in peer.commands()]

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.processes = [subprocess.Popen(["taskset", "-c", cpus, *command], env=environment,
                                           stdout=self.log, stderr=self.log)
                          for cpus, command, environment in self.commands]
        self.process = self.processes[0]
        deadline = time.monotonic() + START_SECONDS_MAX
        try:
            while not self._answers():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.log.seek(0)
                    raise SystemExit(f"the server did not start: {' '.join(self.commands[0][1])}\n"
                                     f"{self.log.read()}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
        if self.work_dir:
            shutil.rmtree(self.work_dir, ignore_errors=True)

    def _answers(self):
        family = socket.AF_UNIX if self.is_unix else socket.AF_INET
        addresses = [self.setup.socket_path] if self.is_unix else \
            [("127.0.0.1", port) for port in self.answering]

        def answers(address):
            with socket.socket(family) as probe:
                return probe.connect_ex(address) == 0
        return all(map(answers, addresses))

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def threads_cpu_ns(self, name):
        """CPU time of its threads whose name begins like this."""
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            folder = f"/proc/{self.process.pid}/task/{thread}"
            with open(f"{folder}/comm") as comm, open(f"{folder}/schedstat") as schedstat:
                total += int(schedstat.read().split()[0]) if comm.read().startswith(name) else 0
        return total

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def get(self, path):
        """What an admin path answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}") as answer:
            return json.load(answer)

    def stats(self):
        return self.get("/stats")

    def post(self, path):
        """The same of a POST."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", data=b"") as answer:
            return json.load(answer)

    def metric(self, name):
        """The sum over cores of a metric of ringcast."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines
                   if line.startswith((name + "{", name + " ")))

    def watch(self, name):
        """Samples a metric until the server stops; the highest is in self.highest."""
        self.highest = 0

        def sample():
            while self.process.poll() is None:
                try:
                    self.highest = max(self.highest, self.metric(name))
                except OSError:
                    return
                time.sleep(0.5)
        threading.Thread(target=sample, daemon=True).start()

    def load(self, *arguments, seconds=None, warmup=None, cpus=None, url=None, load_options=None):
        """One run of ringcast-bench; its report. url, load_options: in place of the server's own."""
        noise = await_quiet(self.setup.server_cpu, 0 if self.setup.small else QUIET_SECONDS_MAX)
        command = ["taskset", "-c", cpus or str(self.setup.load_cpu),
                   self.setup.program("ringcast-bench"),
                   "--json", "-d", str(seconds or self.setup.seconds), "-w",
                   str(warmup or self.setup.warmup), "-p", str(self.process.pid), "--cpu",
                   str(self.setup.server_cpu),
                   *(self.load_options if load_options is None else load_options), *map(str, arguments)]
        command += ["--publish", ticks.text(self.spec)] if self.spec else []
        command.append(url or self.url)
        idle = softirq_ns()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if not done.stdout:
            raise SystemExit(f"ringcast-bench failed with exit code {done.returncode}: "
                             f"{' '.join(command)}")
        report = {**figures_of(done.stdout), "core_busy_before": noise,
                  "ksoftirqd_ns": softirq_ns() - idle}
        if report["behind"]:
            report["valid"], report["exit_code"] = False, "too slow"
        return report


def figures_of(text):
    """The report of ringcast-bench. A figure that it could not measure (null) becomes NaN, so that
    comparisons with it are false."""
    def with_nan(pairs):
        return {name: math.nan if value is None else value for name, value in pairs}
    return json.loads(text, object_pairs_hook=with_nan)


def softirq_ns():
    """CPU time of all ksoftirqd since the start."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                line = stat.read()
        except OSError:
            continue
        if line.partition("(")[2].startswith("ksoftirqd/"):
            fields = line.rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) * 10_000_000
    return total


def core_times(cpu):
    """Busy and total time of a core since the start, in clock ticks."""
    with open("/proc/stat") as stat:
        fields = next(line.split() for line in stat if line.startswith(f"cpu{cpu} "))
    ticks = [int(field) for field in fields[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def await_quiet(cpu, seconds_max):
    """Waits until no other process uses the core; returns the share that was busy at the end."""
    deadline = time.monotonic() + seconds_max
    while True:
        busy, whole = core_times(cpu)
        time.sleep(0.5)
        busy_now, whole_now = core_times(cpu)
        share = (busy_now - busy) / max(1, whole_now - whole)
        if share <= QUIET_BUSY_MAX or time.monotonic() > deadline:
            return share


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
    verdict = "valid" if report["valid"] else f"INVALID {report['exit_code']}"
    if report["core_busy_before"] > QUIET_BUSY_MAX:
        verdict += f", core {report['core_busy_before']:.0%} busy before"
    if report.get("starved"):
        verdict += f", load generator waited {report['load_waited']:.1%} of the time for a core"
    return (f"{report['frames_per_second']:12,.0f} frames/s  "
            f"{report['server']['core_ns_per_frame']:9.1f} core ns/frame  "
            f"p50 {latency['p50'] / 1e3:9.1f}  p99 {latency['p99'] / 1e3:9.1f} us  {verdict}")


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
        "p999_ns_all": [r["latency_ns"]["p99.9"] for r in reports],
        "latency_ns": {name: median(reports, "latency_ns", name)
                       for name in ("p50", "p90", "p99", "p99.9", "p99.99", "max")},
        "load_busy": median(reports, "load_busy"),
        "core_busy_before_max": max(r["core_busy_before"] for r in reports),
        "rss_bytes": median(reports, "server", "rss_bytes_end"),
    }


def process_ns_per_frame(setup, report):
    """CPU time of the server's process. ksoftirqd, which does a part of what io_uring sends, is counted from the
    first connect to the end; the share of the window is its."""
    used_ns = report["server"]["user_ns"] + report["server"]["system_ns"]
    share = report["seconds"] / (report["seconds"] + report["connect_seconds"] + setup.warmup)
    frames = report["frames_per_second"] * report["seconds"]
    return (used_ns + report["ksoftirqd_ns"] * share) / frames


def ratio(reports, variant, base, *keys):
    """Median over rounds of the ratio within a round: drift of the machine cancels out."""
    def pick(report):
        for key in keys:
            report = report[key]
        return report
    return statistics.median(pick(a) / max(pick(b), 1e-9)
                             for a, b in zip(reports[variant], reports[base]))


def cost_ratio(reports, variant, base):
    return ratio(reports, variant, base, "server", "core_ns_per_frame")


def available_peers(names):
    """Those of the peers that are set up; prints which are not."""
    found = []
    for name in names:
        peer = peers.PEERS[name](ROOT, 1, dict(ticks.DEFAULTS), "")
        is_available, reason = peer.available()
        found += [name] if is_available else []
        if not is_available:
            print(f"  peer {name} is left out: {reason}")
    return found


def machine():
    def line_of(path, start):
        with open(path) as text:
            return next((line.split(":", 1)[1].strip() for line in text if line.startswith(start)),
                        "")

    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], stdout=subprocess.PIPE,
                              text=True).stdout.strip()
    commit = git("describe", "--always")
    if git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/bench/results"):
        commit += "-dirty"  # The figures of this run change no program.
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
    try:
        text = json.dumps(line, allow_nan=False)
    except ValueError:
        print(f"{scenario}: not recorded, because a run did not measure all of its figures")
        return
    with open(os.path.join(directory, scenario + ".json"), "a") as results:
        results.write(text + "\n")
