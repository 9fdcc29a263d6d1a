"""Programs that start with some of the descriptors 0 to 2 closed: nothing of theirs gets such a number."""
import itertools
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import unittest

from clients import RawClient, Tracker, request
from server import Server, clean_environment, in_full, program, reap, spawn, spawn_until, wait_until

CLOSED = [fds for count in range(4) for fds in itertools.combinations(range(3), count)]
LAUNCHER = "import os, sys\n" \
           "for fd in sys.argv[1]: os.close(int(fd))\n" \
           "os.execv(sys.argv[2], sys.argv[2:])\n"
SERVER = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--log-level", "DEBUG",
          "--feed", "sim:symbols=5,rate=500,types=quote+trade")


def launcher(closed, *arguments):
    return [sys.executable, "-c", LAUNCHER, "".join(map(str, closed)), *arguments]


def launch(closed, *arguments, **options):
    return spawn(launcher(closed, *arguments), env=clean_environment(), **options)


def websocket_port(pid):
    return next((port for port in listening_ports(pid) if speaks_websocket(port)), None)


def unread_bytes(port):
    """What clients of that port on this host have received and not taken yet."""
    total = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].partition(":")[2], 16) == port:
            total += int(fields[4].partition(":")[2], 16)
    return total


def descriptor(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def listening_ports(pid):
    """The TCP ports a process listens on, by the kernel's own tables."""
    folder = pathlib.Path(f"/proc/{pid}/fd")
    try:
        sockets = {match[1] for fd in os.listdir(folder)
                   if (match := re.match(r"socket:\[(\d+)\]", descriptor(pid, fd)))}
    except OSError:
        return []
    ports = []
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in sockets:
            ports.append(int(fields[1].partition(":")[2], 16))
    return ports


def speaks_websocket(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(request())
            return client.recv(4096).startswith(b"HTTP/1.1 101")
    except OSError:  # It ends already.
        return False


class Closed(unittest.TestCase):
    def check_descriptors(self, pid, closed):
        for fd in range(3):
            where = descriptor(pid, fd)
            if fd in closed:
                self.assertEqual(where, "/dev/null", f"descriptor {fd}")
            else:
                self.assertRegex(where, r"^(pipe:\[\d+\]|/dev/null)$", f"descriptor {fd}")

    def pipes(self):
        return {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    def end(self, process, code=0):
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, code, (out, err))
        return out.decode(), err.decode()

    def serve(self, closed, *arguments):
        """A server, and its port."""
        process, port = spawn_until(lambda it: websocket_port(it.pid), launcher(closed, *arguments),
                                    env=clean_environment(), **self.pipes())
        self.addCleanup(reap, process)
        self.assertTrue(port, "it does not listen")
        return process, port

    @in_full
    def test_a_servers_log_and_frames_stay_apart(self):
        for closed in CLOSED:
            with self.subTest(closed=closed):
                process, port = self.serve(closed, program("ringcast"), *SERVER)
                self.check_descriptors(process.pid, closed)
                tracker = Tracker()
                with RawClient(port) as client, RawClient(
                        port, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n"):
                    client.subscribe(["*"], ["quote", "trade"], delivery={"on_lag": "skip"})
                    while tracker.frames < 300:
                        client.next_message(tracker=tracker)
                        if tracker.frames % 100 == 0:  # lines for the log, among the frames
                            RawClient(port).close()
                self.assertEqual(tracker.faults, [])
                self.check_descriptors(process.pid, closed)
                out, err = self.end(process)
                self.assertEqual(out, "")
                if 2 not in closed:
                    self.assertIn("stopped", err)

    def test_tap_prints_nothing_into_its_socket(self):
        # Slow: nobody reads what it prints before the end, and the pipe must hold it.
        with Server("--feed", "sim:symbols=5,rate=20") as server:
            for closed in CLOSED:
                with self.subTest(closed=closed):
                    sent = server.core_sum("frames_out")
                    process = launch(closed, program("ringcast-tap"), server.url(), **self.pipes())
                    self.addCleanup(reap, process)
                    self.assertTrue(wait_until(
                        lambda: server.core_sum("frames_out") > sent, 30), server.stats())
                    # It has taken a frame, which comes after the answer to its subscription.
                    self.assertTrue(wait_until(lambda: unread_bytes(server.port) == 0, 30))
                    self.check_descriptors(process.pid, closed)
                    out, err = self.end(process)
                    self.assertEqual(err, "")
                    self.assertTrue(wait_until(
                        lambda: server.stats()["connections"]["active_connections"] == 0), server.stats())
            self.assertEqual(server.stats()["connections"]["dropped"]["protocol"], 0)

    @in_full
    def test_bench_prints_nothing_into_its_sockets(self):
        with Server("--feed", "sim:symbols=5,rate=500") as server:
            for closed in CLOSED:
                with self.subTest(closed=closed):
                    process = launch(closed, program("ringcast-bench"), "-c", "3", "-d", "60",
                                     "--warmup", "0", server.url(), **self.pipes())
                    self.addCleanup(reap, process)
                    self.assertTrue(wait_until(lambda: process.poll() is not None or server.stats()[
                        "connections"]["active_connections"] == 3, 30), server.stats())
                    self.assertIsNone(process.poll())
                    self.check_descriptors(process.pid, closed)
                    server.wait_for_ticks(50)
                    process.send_signal(signal.SIGTERM)
                    out, err = process.communicate(timeout=20)
                    self.assertIn(process.returncode, (0, 2, 3), (out, err))  # however far it has come
                    if process.returncode == 0:  # It was measuring.
                        self.assertEqual(b"(interrupted)" in out, 1 not in closed)
                    self.assertTrue(wait_until(
                        lambda: server.stats()["connections"]["active_connections"] == 0), server.stats())
            self.assertEqual(server.stats()["connections"]["dropped"]["protocol"], 0)

    @in_full
    def test_echo_sends_what_it_is_sent_and_nothing_else(self):
        for closed in CLOSED:
            with self.subTest(closed=closed):
                process, port = self.serve(closed, program("ringcast-echo"), "--port", "0")
                with RawClient(port) as client:
                    client.send_text("hello")
                    self.assertEqual(client.next_frame(), (1, b"hello"))
                    self.check_descriptors(process.pid, closed)
                    _, err = self.end(process)
                self.assertEqual("listening" in err, 2 not in closed)


if __name__ == "__main__":
    unittest.main()
