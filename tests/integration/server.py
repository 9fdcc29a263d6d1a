"""Starts and stops a ringcast for a test, reads its log, and sees to it that nothing is left behind.

Programs come from RINGCAST_BIN_DIR, or zig-out/bin of this checkout. Every server listens on ports
the kernel chose, on loopback, and is a process group of its own that dies with the tests.
"""
import atexit
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

import tls_files

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("RINGCAST_BIN_DIR", CHECKOUT / "zig-out" / "bin"))
SHARED_DATA = pathlib.Path(
    os.environ.get("RINGCAST_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))

IS_FULL = os.environ.get("RINGCAST_TEST_SIZE", "quick") != "quick"
in_full = unittest.skipUnless(IS_FULL, "./test full has the time")
# The stage wss: the same tests, and clients of a server's port speak TLS.
IS_WSS = bool(os.environ.get("RINGCAST_TEST_WSS"))
not_by_wss = unittest.skipIf(IS_WSS, "it is about plain connections")
tls_ports = set()  # of servers that listen for TLS in this stage
if IS_WSS:  # What clients of other makes trust.
    for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        os.environ[variable] = str(tls_files.authority().certificate)

START_SECONDS = 40
NO_ROOM = "no memory for the ring"
STOP_SECONDS = 10
READY_LINE = re.compile(r"listening on (\S+):(\d+), admin on (\S+):(\d+)")
SANITIZER_WORDS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "MemorySanitizer",
                   "UndefinedBehaviorSanitizer", "runtime error:", "assertion")

# Where it is ignored, as in a shell's background, our children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_processes = set()


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


@atexit.register
def _kill_all():
    for process in list(_processes):
        _kill_group(process)


def program(name):
    path = BIN_DIR / name
    if not path.exists():
        raise unittest.SkipTest(f"{path} does not exist: build first, or set RINGCAST_BIN_DIR")
    return str(path)


def spawn(arguments, **options):
    """A Popen in a process group of its own that does not outlive the tests. A server gets none of the
    variables that it would read, unless env has them."""
    if pathlib.Path(str(arguments[0])).name == "ringcast":
        options["env"] = options.get("env") or clean_environment()
    process = subprocess.Popen(arguments, start_new_session=True, **options)
    _processes.add(process)
    return process


def spawn_until(condition, arguments, seconds=START_SECONDS, **options):
    """A process and what condition(process) returned at last. Of a server that ends with 1 another is
    started: its ring may have found no room, see until_room()."""
    deadline = time.monotonic() + seconds
    while True:
        process = spawn(arguments, **options)
        value = wait_until(lambda: condition(process) or process.poll() is not None,
                           deadline - time.monotonic())
        if process.poll() != 1 or time.monotonic() > deadline:
            return process, value if process.poll() is None else None
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        reap(process)
        time.sleep(0.2)


def reap(process):
    _kill_group(process)
    process.wait()
    _processes.discard(process)


def until_room(attempt, seconds=START_SECONDS):
    """attempt() returns a result and what a program said. It is repeated while a ring found no room:
    all processes of an ordinary user share what may be locked."""
    deadline = time.monotonic() + seconds
    while True:
        result, said = attempt()
        if NO_ROOM not in said or time.monotonic() > deadline:
            return result
        time.sleep(0.2)


def run(arguments, seconds=30, **options):
    """Like subprocess.run with captured text output, but kills the whole group at a time-out.

    A ringcast-bench whose ring finds no room waits, as Server.start does.
    """
    def attempt():
        done = _run_once(arguments, seconds, **options)
        is_bench = pathlib.Path(str(arguments[0])).name == "ringcast-bench"
        return done, done.stderr if is_bench else ""
    return until_room(attempt)


def _run_once(arguments, seconds, **options):
    process = spawn(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    stdin=subprocess.DEVNULL, text=True, **options)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        out, err = process.communicate()
        raise AssertionError(f"{arguments} did not end within {seconds} s\n{out}\n{err}") from None
    finally:
        reap(process)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def clean_environment(extra=None):
    """Ours, without the variables that ringcast reads."""
    names = ("WEBSOCKET_HOST", "WEBSOCKET_PORT", "MAX_CONNECTIONS", "MAX_SUBSCRIPTIONS_PER_CLIENT",
             "LOG_LEVEL", "REDIS_HOST", "CONSUL_HOST", "ENVIRONMENT", "CREDENTIALS_DIRECTORY")
    environment = {key: value for key, value in os.environ.items()
                   if key not in names and not key.startswith("RINGCAST_")}
    environment.update(extra or {})
    return environment


def as_ordinary_user():
    """A prefix that gives up what root has, and nothing when the tests are not root's."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")


def wait_until(condition, seconds=10, step=0.02):
    """Polls; returns the first true value, or the last false one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(step)


def within(seconds, attempt, tries=5):
    """attempt() returns how long it took. A machine that stands still makes one of them slow; a
    server that is slow is slow in all."""
    took = []
    while len(took) < tries:
        took.append(attempt())
        if took[-1] < seconds:
            return
    raise AssertionError(f"never within {seconds} s: {took}")


def left_behind(pid):
    """The files of a server that has ended. A killed server of another user may have had the same
    process ID: an ordinary user's server leaves its file. Root starts servers as any user."""
    paths = [pathlib.Path(f"/dev/shm/ringcast-{pid}{suffix}") for suffix in ("", ".ctl")]
    return [path for path in paths if path.exists() and os.geteuid() in (0, path.stat().st_uid)]


class Server:
    """One running ringcast.

    options: further command line arguments. prefix: what to run it under (prlimit, setpriv, ...).
    """

    def __init__(self, *options, prefix=(), env=None, ports=True, host="127.0.0.1", port=0,
                 binary=None, pass_fds=(), stdin=subprocess.DEVNULL, has_default_feed=False):
        arguments = [*prefix, binary or program("ringcast")]
        if ports:
            arguments += ["--host", host, "--port", str(port), "--admin-port", "0"]
        self.speaks_tls = IS_WSS and ports
        if self.speaks_tls:
            arguments += ["--tls-port", "0", "--tls-certificate", tls_files.server().option]
        self.arguments = [*arguments, *map(str, options)]
        # The default feed has four types; most tests count frames of quotes.
        if not has_default_feed and \
                not any(str(option).startswith(("--feed", "--config")) for option in options) and \
                not any(name.endswith(("FEED", "CONFIG")) for name in env or {}):
            self.arguments += ["--feed", "sim"]
        self.env = clean_environment(env)
        self.pass_fds = pass_fds
        self.stdin = stdin
        self.lines = []
        self.changed = threading.Condition()
        self.process = None
        self.port = self.admin_port = None

    # ---- Start and stop ----

    def start(self, wait=True):
        if not wait:
            self._spawn()
            return self
        line = until_room(self._start_once)
        if line is None:
            raise AssertionError(f"no ready line from {self.arguments}:\n{self.log()}")
        match = READY_LINE.search(line)
        self.port, self.admin_port = int(match[2]), int(match[4])
        if self.speaks_tls:
            self.port = self.tls_port
            tls_ports.add(self.port)
        return self

    def _spawn(self):
        self.lines = []
        self.process = spawn(self.arguments, env=self.env, stdin=self.stdin,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             pass_fds=self.pass_fds)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()

    def _start_once(self):
        """Its ready line, or None and all of its log."""
        self._spawn()
        line = self.wait_for_line(READY_LINE, START_SECONDS)
        if line is not None:
            return line, ""
        self.kill()
        return None, self.log()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.stop() if kind is None else self.kill()
        self.kill()

    def _read_log(self):
        for raw in self.process.stderr:
            with self.changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        self.process.stderr.close()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds=STOP_SECONDS):
        """Returns the exit code; every line of the log is read then."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            log = self.log()
            self.kill()
            raise AssertionError(f"ringcast did not end within {seconds} s:\n{log}") from None
        self.reader.join(5)
        return code

    def stop(self):
        """Ends it with SIGTERM, and checks that it ended well and left nothing behind."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        self.check_sanitizers()
        if code != 0:
            raise AssertionError(f"exit code {code} after SIGTERM:\n{self.log()}")
        left = left_behind(self.process.pid)
        if left:
            raise AssertionError(f"{left} was left behind")

    def kill(self):
        reap(self.process)
        self.reader.join(5)

    def check_sanitizers(self):
        for line in self.log_lines():
            if any(word in line for word in SANITIZER_WORDS):
                raise AssertionError(f"sanitizer or assertion output:\n{self.log()}")

    @property
    def pid(self):
        """Of ringcast itself: a prefix that does not exec is its parent."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            comm = pathlib.Path(f"/proc/{self.process.pid}/comm").read_text().strip()
            if comm != "ringcast" and children.read_text().split():
                return int(children.read_text().split()[0])
        except OSError:
            pass
        return self.process.pid

    def counters_path(self):
        return pathlib.Path(f"/dev/shm/ringcast-{self.process.pid}")

    def ctl_path(self):
        return pathlib.Path(f"{self.counters_path()}.ctl")

    @property
    def tls_port(self):
        """Of a server with --tls-port."""
        return int(self.wait_for_line(r"listening on wss://\S+:\d+$").rpartition(":")[2])

    @property
    def metrics_port(self):
        """Of a server with --metrics-port."""
        return int(self.wait_for_line(r"metrics on \S+:\d+$").rpartition(":")[2])

    # ---- The log ----

    def log_lines(self):
        with self.changed:
            return [line for line in self.lines if line is not None]

    def log(self):
        lines = self.log_lines()
        skipped = [f"... {len(lines) - 200} lines ..."] if len(lines) > 200 else []
        return "\n".join(skipped + lines[-200:])

    def wait_for_line(self, pattern, seconds=10, after=0):
        """The first line from number `after` on that matches, or None."""
        pattern = re.compile(pattern)
        deadline = time.monotonic() + seconds
        index = after
        with self.changed:
            while True:
                for line in self.lines[index:]:
                    index += 1
                    if line is None:
                        return None
                    if pattern.search(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)

    # ---- The admin server ----

    def admin(self, path, method="GET", seconds=10, headers={}, data=None, port=None):
        """(status, headers, body). port: the admin port, or another one."""
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.admin_port}{path}",
                                         method=method, headers=headers, data=data)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read().decode()

    def stats(self):
        status, _, body = self.admin("/stats")
        assert status == 200, (status, body)
        return json.loads(body)

    def wait_for_ticks(self, count, seconds=60):
        """Until it has published so many more: time as the server feels it on a busy machine."""
        def ticks():
            return self.stats()["publisher"]["ticks"]
        goal = ticks() + count
        if not wait_until(lambda: ticks() >= goal, seconds):
            raise AssertionError(f"no {count} ticks in {seconds} s: {self.stats()}")

    def wait_until_behind(self, seconds, ticks=1):
        """Until a client that is blocked is behind by so much. Ticks alone are no measure of time:
        a server that stood still makes up for them all at once."""
        self.wait_for_ticks(1)
        end = time.monotonic() + seconds
        self.wait_for_ticks(ticks)
        time.sleep(max(0.0, end - time.monotonic()))

    def wait_until_blocked(self, count=1):
        """Until that many clients have stopped reading for long enough to fill their sockets."""
        if not wait_until(lambda: self.stats()["connections"]["blocked"] >= count, 20):
            raise AssertionError(f"not blocked: {self.stats()}")

    def core_sum(self, key):
        return sum(core[key] for core in self.stats()["cores"])

    def http(self, path="/"):
        """Its port for clients, for curl."""
        return f"{'https' if self.speaks_tls else 'http'}://127.0.0.1:{self.port}{path}"

    def url(self, path="/"):
        return f"{'wss' if self.speaks_tls else 'ws'}://127.0.0.1:{self.port}{path}"


class ServerTestCase(unittest.TestCase):
    """A test class with one server for all of its tests."""
    options = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")
    server_settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.options, **cls.server_settings).start()
        cls.addClassCleanup(cls._stop_server)

    @classmethod
    def _stop_server(cls):
        try:
            if cls.server.process.poll() is not None:
                raise AssertionError(f"the server ended by itself, exit code "
                                     f"{cls.server.wait()}:\n{cls.server.log()}")
            cls.server.stop()
        finally:
            cls.server.kill()
