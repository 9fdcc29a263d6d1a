"""Runs the scripts of tools/trace at a server, gives it readers, and puts it behind a network that loses packets.

A test of a script first calls require(), as bpftrace needs root and a kernel that permits it.
"""
import contextlib
import ctypes
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import debian
from server import CHECKOUT, program, reap, run, spawn, wait_until

SCRIPTS = CHECKOUT / "tools/trace"
TRACEFS = pathlib.Path("/sys/kernel/tracing")
SECONDS = 60  # A busy machine is slow to attach, and to print.
CLONE_NEWNET = 0x40000000


# ---- Whether bpftrace works here ----

def must(*tools):
    """Skips a test, with a message, where a tool is missing."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise unittest.SkipTest(f"SKIPPED: there is no {' and no '.join(missing)}; scripts/setup.sh full installs them")


@functools.cache
def _why_not():
    if not (TRACEFS / "events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(TRACEFS)], check=False, stderr=subprocess.DEVNULL)
    # Not a probe of ours: a test must fail where there is none.
    attach = f"tracepoint:sched:sched_switch {{ }} uprobe:{program('ringcast')}:main {{ }} BEGIN {{ exit(); }}"
    done = run(["bpftrace", "-e", attach], SECONDS)
    return done.stderr.strip() if done.returncode != 0 else None


def require():
    """Skips a test, with a message, where bpftrace cannot trace."""
    must("bpftrace")
    if reason := _why_not():
        raise unittest.SkipTest(f"SKIPPED: bpftrace does not work here: {reason}")


# A server as in a container: another process ID inside, and a program that only it can see.
CONTAINED = ("unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-ec",
             'mount -t tmpfs programs /mnt; cp "$0" /mnt; exec /mnt/ringcast "$@"')


# ---- Scripts ----

class Script:
    """A script of tools/trace at a server, from when its probes are attached: what BEGIN prints comes then.

    arguments: what follows the server's process ID.
    """

    def __init__(self, server, name, *arguments):
        pid = str(server.pid)
        script = SCRIPTS / f"{name}.bt"
        program = ["-p", pid] if "usdt:" in script.read_text() else []
        self.command = ["bpftrace", "-B", "line", *program, str(script), pid, *map(str, arguments)]
        self.lines = []

    def __enter__(self):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = spawn(self.command, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL,
                             text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.wait_until(lambda text: text)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        reap(self.process)
        self.reader.join()
        self.process.stdout.close()
        self.errors.close()

    def _read(self):
        for line in self.process.stdout:
            if not re.fullmatch(r"Attach\w+ \d+ probes?\.*\n", line):
                self.lines.append(line)

    @property
    def text(self):
        """What it has printed, without bpftrace's own lines."""
        return "".join(self.lines)

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read()

    def wait_until(self, condition, seconds=SECONDS):
        """The first true value of condition(text)."""
        def value():
            return condition(self.text) or (self.process.poll() is not None and "ended")
        got = wait_until(value, seconds)
        if not got or got == "ended":
            raise AssertionError(f"{' '.join(self.command)}: {'it ended' if got else 'not within the time'}:\n"
                                 f"{self.text}\n{self.error_text()}")
        return got

    def wait_for(self, pattern, seconds=SECONDS):
        """The first match in its output, of lines of which the last one is whole."""
        pattern = re.compile(pattern, re.M)
        return self.wait_until(pattern.search, seconds)

    def stop(self):
        """All of its output, after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        if code != 0:
            raise AssertionError(f"{' '.join(self.command)} ended with {code}:\n{self.text}\n{self.error_text()}")
        return self.text


def traced(server, name, condition, *arguments):
    """The output of a script that was stopped when condition(output) held."""
    with Script(server, name, *arguments) as script:
        script.wait_until(condition)
        return script.stop()


# ---- Load ----

def act_until(condition, act, seconds=SECONDS):
    """Acts, such as by reading a message, until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s")
        act()


@contextlib.contextmanager
def readers(server, count, *options, url=None, prefix=()):
    """ringcast-bench as that many clients, from when all are subscribed to the end."""
    def connected():
        return server.stats()["connections"]["active_connections"]

    goal = connected() + count
    bench = spawn([*prefix, program("ringcast-bench"), "--connections", str(count), "--duration", "1h", "--quiet",
                   "--by-url", *options, url or server.url()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                  stdin=subprocess.DEVNULL)
    try:
        if not wait_until(lambda: connected() >= goal, SECONDS):
            raise AssertionError(f"not {goal} clients: {server.stats()['connections']}")
        yield bench
    finally:
        reap(bench)


@contextlib.contextmanager
def hog(cpu):
    """A program of this name that takes most of a CPU: a script is attached before, as there may be no other CPU. Yields
    how to ask for how many seconds it has run."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "hog")
        path.symlink_to("/bin/sh")
        # A session has a niceness, too, where the kernel shares the CPU by session.
        script = "test -e /proc/$$/autogroup && echo -10 >/proc/$$/autogroup; while :; do :; done"
        process = spawn(["nice", "-n", "-10", "taskset", "-c", str(cpu), path, "-c", script])
        try:
            yield lambda: int(pathlib.Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
        finally:
            reap(process)


# ---- A network that loses packets ----

class Side:
    """A network namespace without a name: it lives as long as the process that holds it, at most as long as the
    tests."""

    def __init__(self):
        self.holder = spawn(["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b"\n":
            self.close()
            raise unittest.SkipTest("SKIPPED: no network namespace may be made here")
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.prefix = ("nsenter", f"--net={self.path}")  # of commands that run in it
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command, **options):
        return debian.command(*self.prefix, *command, **options)

    @contextlib.contextmanager
    def inside(self):
        """The sockets that this thread makes are in it; they stay there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            enter(there)
            yield
        finally:
            enter(before)
            os.close(there)
            os.close(before)

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        reap(self.holder)


def enter(descriptor):
    """setns(2), which Python has from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Link:
    """Two network namespaces and a cable: a server is in one, its clients in the other.

    Server(*options, host=Link.SERVER, prefix=link.server.prefix)
    with link.client.inside(): RawClient((Link.SERVER, server.port))
    with link.server.inside(): server.stats()
    """
    SERVER, CLIENT = "10.77.0.1", "10.77.0.2"

    def __init__(self):
        must("nft", "ip", "nsenter")
        self.server, self.client = Side(), Side()
        self.server.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
                        str(self.client.holder.pid))
        for side, address in ((self.server, self.SERVER), (self.client, self.CLIENT)):
            side.run("ip", "address", "add", f"{address}/24", "dev", "cable")
            side.run("ip", "link", "set", "cable", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.client.close()
        self.server.close()

    def lose(self, percent, match=""):
        """Of the packets in both directions that match, from now on. match: words of nftables such as `tcp dport 80`."""
        rules = f"""
            table inet loss {{ }}
            delete table inet loss
            table inet loss {{
                chain arrivals {{
                    type filter hook input priority 0
                    iifname cable {match} numgen random mod 100 < {percent} counter drop
                }}
            }}"""
        for side in (self.server, self.client):
            side.run("nft", rules)

    def lost(self):
        """The packets that were dropped on the way to the client."""
        return int(re.search(r"counter packets (\d+)", self.client.run("nft", "list", "table", "inet", "loss"))[1])
