"""Standard error that does not take the log: a full pipe, a FIFO, a socket, a stopped terminal, a full disk."""
import fcntl
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import unittest

from clients import RawClient, Tracker, request
from server import (Server, clean_environment, left_behind, program, reap, spawn, spawn_until,
                    wait_until, within)
from test_standard_descriptors import listening_ports, speaks_websocket, websocket_port

# At DEBUG each refused handshake is a line.
SERVER = (program("ringcast"), "--host", "127.0.0.1", "--port", "0", "--admin-port", "0",
          "--log-level", "DEBUG", "--feed", "sim:symbols=5,rate=500")


def fill(fd):
    """Writes until nothing more fits, and leaves the flags as they were."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(fd, b"x" * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


class Reader(threading.Thread):
    """Reads a descriptor to its end."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.data = b""
        self.start()

    def run(self):
        try:
            while piece := os.read(self.fd, 65536):
                self.data += piece
        except OSError:  # a terminal whose other end is closed
            pass


class Unread(unittest.TestCase):
    """Each test hands over a standard error of another kind, full before the server starts."""

    def start(self, stderr, **options):
        process, ports = spawn_until(
            lambda it: len(found := listening_ports(it.pid)) == 2 and found, SERVER,
            env=clean_environment(), stdin=subprocess.DEVNULL, stderr=stderr,
            stdout=options.pop("stdout", subprocess.DEVNULL), **options)
        self.addCleanup(reap, process)
        self.assertTrue(ports, "it does not listen")
        self.port = wait_until(lambda: next(filter(speaks_websocket, ports), None))
        self.server = Server()
        self.server.admin_port = next(port for port in ports if port != self.port)
        return process

    def lost(self):
        return self.server.stats()["application"]["log_lines_lost"]

    def ask_wrongly(self):
        """Each refused handshake is a line of DEBUG; those of connects are limited to 100 a second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            client.recv(1)

    def serve(self):
        """Clients come until lines are lost; those who stay notice nothing."""
        tracker = Tracker()
        with RawClient(self.port) as client:
            client.subscribe(["*"], ["quote"])
            deadline = time.monotonic() + 60
            while self.lost() == 0 and time.monotonic() < deadline:
                for _ in range(200):
                    self.ask_wrongly()
            self.assertGreater(self.lost(), 0)
            while tracker.frames < 200:
                client.next_message(tracker=tracker)
        self.assertEqual(tracker.faults, [])

    def end(self, process, number=signal.SIGTERM):
        """After how long."""
        begin = time.monotonic()
        process.send_signal(number)
        self.assertEqual(process.wait(20), 0)
        self.assertEqual(left_behind(process.pid), [])
        return time.monotonic() - begin

    def test_a_full_pipe_loses_lines_and_nothing_else(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        fill(write_end)
        flags = fcntl.fcntl(write_end, fcntl.F_GETFL)
        process = self.start(write_end)
        self.assertEqual(fcntl.fcntl(write_end, fcntl.F_GETFL), flags)
        self.serve()
        self.end(process)
        within(2, lambda: self.end(self.start(write_end)))

    def test_sigint_too_ends_it(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        fill(write_end)
        self.end(self.start(write_end), signal.SIGINT)

    def test_what_was_lost_is_reported_when_it_is_read_again(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        fill(write_end)
        process = self.start(write_end)
        os.close(write_end)
        self.serve()
        lost = self.lost()
        reader = Reader(read_end)
        self.assertTrue(wait_until(lambda: b" log lines were lost since the start: " in reader.data))
        self.end(process)
        reader.join(10)
        log = reader.data.lstrip(b"x").decode()
        self.assertIn("listening on", log)
        self.assertIn("stopped", log)
        for line in log.splitlines():
            self.assertRegex(line, r"^20\d\d-.* (DEBUG|INFO|WARNING) ringcast: ")
        self.assertGreater(lost, 0)

    def test_a_fifo_and_a_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(f"{folder}/fifo")
            fifo = os.open(f"{folder}/fifo", os.O_RDWR)
        mine, theirs = socket.socketpair()
        self.addCleanup(os.close, fifo)
        self.addCleanup(mine.close)
        self.addCleanup(theirs.close)
        for stderr in (fifo, theirs.fileno()):
            fill(stderr)
            process = self.start(stderr)
            self.serve()
            self.end(process)

    def test_a_terminal_that_is_stopped(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        termios.tcflow(slave, termios.TCOOFF)  # as ^S does
        process = self.start(slave, stdout=slave)
        self.end(process)
        process = self.start(slave, stdout=slave)
        reader = Reader(master)
        termios.tcflow(slave, termios.TCOON)
        self.assertTrue(wait_until(lambda: b"Ctrl-C" in reader.data), reader.data)
        self.assertTrue(wait_until(lambda: b"listening on" in reader.data), reader.data)
        self.end(process)

    def test_a_reader_that_has_gone(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        os.close(read_end)
        process = self.start(write_end)
        self.serve()
        self.end(process)

    def test_a_full_disk(self):
        with tempfile.TemporaryFile() as log:
            process = self.start(log)
            limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
            self.serve()
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
            self.end(process)
            log.seek(4096)
            text = log.read().decode()
        self.assertRegex(text, r"log lines were lost since the start: standard error: File too large")
        self.assertIn("stopped", text)

    def test_a_start_that_fails_ends_all_the_same(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        fill(write_end)
        for arguments, code in ((("--prot", "1"), 2), (("--host", "203.0.113.7"), 1),
                                (("--check-config", "--feed", "replay:path=/none"), 2)):
            with self.subTest(arguments):
                process = spawn([program("ringcast"), *arguments], env=clean_environment(),
                                stderr=write_end)
                self.addCleanup(reap, process)
                self.assertEqual(process.wait(20), code)

    def test_the_newcomers_lines_hold_nothing_up(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        fill(write_end)
        process, port = spawn_until(
            lambda it: websocket_port(it.pid), SERVER, stdout=write_end, stderr=subprocess.DEVNULL,
            env=clean_environment({"NEWCOMER_TO_RINGCAST": "1"}))
        self.addCleanup(reap, process)
        self.assertTrue(port)
        self.end(process)


class Foreign(unittest.TestCase):
    def test_what_clients_send_steers_no_terminal(self):
        evil = "\x1b[2J\x07\u009b31m\u202e"
        for options in ((), ("--log-format", "json")):
            with self.subTest(options), Server("--log-level", "DEBUG", "--feed", "sim:symbols=2,rate=10",
                                               "--enable-auth", "--auth-token", "a-token-of-some-length",
                                               *options) as server:
                for path in ("/", f"/?{evil}"):
                    for extra in (f"User-Agent: {evil}\r\n", f"Origin: {evil}\r\n",
                                  f"X-Forwarded-For: {evil}\r\n", f"Authorization: Bearer {evil}\r\n",
                                  f"Authorization: Bearer a-token-of-some-length\r\nUser-Agent: {evil}\r\n"):
                        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
                            client.sendall(request(path, extra=extra))
                            client.recv(4096)
                with RawClient(server.port,
                               extra="Authorization: Bearer a-token-of-some-length\r\n") as client:
                    client.subscribe([evil, "*"], ["quote"])
                    client.send_text(json.dumps({"type": evil, "id": 1, "data": {evil: evil}}))
                    client.next_message(("ERROR",))
                server.stop()
                for line in server.log_lines():
                    self.assertRegex(line, r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$")


if __name__ == "__main__":
    unittest.main()
