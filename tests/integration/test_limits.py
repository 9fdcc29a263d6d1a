"""Limits of the process (setrlimit): a message at the start, or a service that goes on."""
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from clients import HealthyClient, RawClient, request
from server import (NO_ROOM, READY_LINE, Server, clean_environment, program, reap, spawn, until_room,
                    wait_until)

MIB = 1024 * 1024
FILE_BYTES_MAX = 32 * MIB  # room for the files of the smallest log
SECONDS = 60
FEED = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")
PIDFD_OPEN, PIDFD_GETFD = 434, 438


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(pid, seconds):
    """Of one CPU, from now on. The time of what is counted is within the time it is divided by."""
    began, cpu_began = time.monotonic(), cpu_seconds(pid)
    wait_until(lambda: time.monotonic() > began + seconds, SECONDS)
    return (cpu_seconds(pid) - cpu_began) / (time.monotonic() - began)


def descriptor_of(pid, target):
    """Its descriptor of this inode. Others may be closed meanwhile."""
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(entry) == target:
                return int(entry.name)
        except FileNotFoundError:
            pass
    raise AssertionError(f"no {target} among the descriptors of {pid}")


class Limits(unittest.TestCase):
    def setUp(self):
        if shutil.which("prlimit") is None:
            self.skipTest("SKIPPED: prlimit is not installed")
        folder = tempfile.TemporaryDirectory(prefix="ringcast-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, limit, *options):
        """Runs it under a limit until it serves or ends, and ends it. Returns (code, served, log)."""
        log = self.folder / "log"
        with open(log, "wb") as sink:
            process = spawn(["prlimit", limit, program("ringcast"), *FEED, "--host", "127.0.0.1",
                             "--port", "0", "--admin-port", "0", *options],
                            env=clean_environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=sink)
        try:
            wait_until(lambda: process.poll() is not None or READY_LINE.search(log.read_text()),
                       SECONDS)
            served = READY_LINE.search(log.read_text()) is not None
            if served:
                process.send_signal(signal.SIGTERM)
            return process.wait(SECONDS), served, log.read_text()
        finally:
            reap(process)

    def start_when_there_is_room(self, limit, *options):
        """The same; where other tests left no room for the ring, again."""
        def attempt():
            code, served, log = self.start(limit, *options)
            return (code, served, log), "" if served else log
        return until_room(attempt, SECONDS)

    def check_starts(self, name, values, words, *options):
        """Each start serves, or says in these words what it lacks; both happen, the last one serves."""
        seen = set()
        for value in values:
            with self.subTest(limit=name, value=value):
                is_one_of_words = value != values[-1] and re.search(words, NO_ROOM)
                start = self.start if is_one_of_words else self.start_when_there_is_room
                code, served, log = start(f"--{name}={value}", *options)
                seen.add(served)
                self.assertIn(code, [0] if served else [1, 2], log)
                if not served:
                    self.assertRegex(log.splitlines()[-1], f"(ERROR|CRITICAL) .*({words})")
        self.assertEqual(seen, {True, False}, "the values are to span the limit")

    def test_too_little_address_space_is_a_message(self):
        for options in ((), ("--cores", "2", "--publisher", "thread", "--enable-auth",
                             "--auth-token", "x" * 32)):
            if len(os.sched_getaffinity(0)) < 2 and options:
                continue
            values = [megabytes * MIB for megabytes in [*range(100, 600, 37), 8192]]
            self.check_starts("as", values, "not enough memory|Cannot allocate memory|no memory",
                              "--frame-log-bytes", "16m", *options)

    def test_too_few_descriptors_are_a_message(self):
        self.check_starts("nofile", [*range(8, 48, 3), 128], "ulimit -n|Too many open files")

    def test_too_small_a_file_limit_is_a_message(self):
        self.check_starts("fsize", [4096, 8 * MIB, 64 * MIB, 1024 * MIB], "ulimit -f")

    def test_no_locked_memory_is_no_matter_or_a_message(self):
        code, served, log = self.start("--memlock=0:0")
        self.assertIn(code, [0] if served else [1], log)
        if not served:
            self.assertIn("ulimit -l", log)

    def start_near_the_limit(self, log):
        """A server whose log has 2000 bytes left to its limit."""
        def attempt():
            log.write_bytes(b"x" * (FILE_BYTES_MAX - 2000))
            with open(log, "ab") as sink:
                process = spawn(["prlimit", f"--fsize={FILE_BYTES_MAX}", program("ringcast"), *FEED,
                                 "--host", "127.0.0.1", "--port", "0", "--admin-port", "0",
                                 "--frame-log-bytes", "1m", "--log-level", "DEBUG"],
                                env=clean_environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=sink)
            self.addCleanup(reap, process)

            def said():
                return log.read_bytes()[-4000:].decode()
            self.assertTrue(wait_until(lambda: process.poll() is not None or "admin on" in said(),
                                       SECONDS))
            match = READY_LINE.search(said())
            return (process, match), "" if match is not None else said()
        process, match = until_room(attempt, SECONDS)
        self.assertIsNotNone(match, log.read_bytes()[-4000:])
        return process, int(match[2]), int(match[4])

    def test_a_log_that_has_reached_its_file_limit_stops_nobody(self):
        log = self.folder / "log"
        server = Server()
        process, server.port, server.admin_port = self.start_near_the_limit(log)
        server.process = process
        with HealthyClient(server.url()) as healthy:
            def lost():
                page = server.admin("/metrics")[2]
                return int(re.search(r"^ringcast_log_lines_lost_total (\d+)$", page, re.M)[1])

            def connect_and_count():
                for _ in range(20):
                    client = RawClient(server.port, upgrade=False)
                    client.send(b"nonsense\r\n\r\n")
                    client.close()
                return lost() > 0
            self.assertTrue(wait_until(connect_and_count, SECONDS))
            self.assertLessEqual(log.stat().st_size, FILE_BYTES_MAX)
            healthy.check(self, frames=100)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)


class Descriptors(unittest.TestCase):
    def setUp(self):
        if shutil.which("prlimit") is None:
            self.skipTest("SKIPPED: prlimit is not installed")

    def fill(self, server, limit):
        """Clients take all places, and stay."""
        clients = []
        with self.assertRaises(ConnectionError):
            for _ in range(limit):
                clients.append(RawClient(server.port))
        return clients

    def check(self, limit, *options):
        with Server(*FEED, *options, prefix=("prlimit", f"--nofile={limit}:{limit}")) as server:
            self.assertIsNotNone(server.wait_for_line(f"limit of open files is {limit}"))
            with HealthyClient(server.url()) as healthy:
                clients = self.fill(server, limit)
                # At once, so that all of them are in the backlog when it is looked at.
                clients += [RawClient(server.port, upgrade=False) for _ in range(3 * limit)]
                self.assertIsNotNone(
                    server.wait_for_line("protection descriptors begins", SECONDS))
                for _ in range(30):
                    for path, status in (("/health", 200), ("/readyz", 503), ("/metrics", 200),
                                         ("/stats", 200)):
                        self.assertEqual(server.admin(path)[0], status, path)
                self.assertLess(server.stats()["process"]["open_fds"], limit)
                idle = [socket.create_connection(("127.0.0.1", server.admin_port))
                        for _ in range(2)]
                self.assertEqual(server.admin("/health")[0], 200)
                # Waiting turns no loop: not even a busy machine makes a wait cost CPU time.
                self.assertLess(cpu_share(server.pid, 1), 0.5)
                healthy.check(self, frames=100)
                for client in [*clients, *idle]:
                    client.close()

                def gets_in():
                    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as late:
                        late.sendall(request())
                        return late.recv(12) == b"HTTP/1.1 101"
                self.assertTrue(wait_until(gets_in, SECONDS))
                healthy.check(self)

    def test_the_admin_server_answers_when_clients_have_all_descriptors(self):
        self.check(60)

    def test_it_does_so_with_several_cores(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("SKIPPED: one CPU")
        self.check(80, "--cores", 2)


def shut_listener(server):
    """From now on it answers each accept with EINVAL."""
    libc = ctypes.CDLL(None, use_errno=True)
    port = f":{server.port:04X} "
    inode = [line.split()[9] for line in pathlib.Path("/proc/net/tcp").read_text()
             .splitlines() if port in line and line.split()[3] == "0A"][0]
    number = descriptor_of(server.pid, f"socket:[{inode}]")
    pidfd = libc.syscall(PIDFD_OPEN, server.pid, 0)
    listener_fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    os.close(pidfd)
    if listener_fd < 0:
        raise unittest.SkipTest("SKIPPED: pidfd_getfd is not allowed")
    with socket.socket(fileno=listener_fd) as listener:
        listener.shutdown(socket.SHUT_RD)


class Accept(unittest.TestCase):
    def test_a_listener_that_only_fails_is_asked_ten_times_a_second(self):
        with Server(*FEED) as server:
            with HealthyClient(server.url()) as healthy:
                shut = time.monotonic()
                shut_listener(server)
                line = server.wait_for_line("cannot accept connections: Invalid argument", SECONDS)
                self.assertIsNotNone(line, server.log())
                pauses = server.core_sum("accept_paused")
                began, turns = time.monotonic(), server.core_sum("turns")
                self.assertTrue(wait_until(
                    lambda: server.core_sum("accept_paused") >= pauses + 10, SECONDS))
                # The feed alone makes some 600 turns a second.
                rate = (server.core_sum("turns") - turns) / (time.monotonic() - began)
                self.assertLess(rate, 5000)
                healthy.check(self)
                complaints = [text for text in server.log_lines() if "cannot accept" in text]
                self.assertLessEqual(len(complaints), 1 + (time.monotonic() - shut) / 10)


if __name__ == "__main__":
    unittest.main()
