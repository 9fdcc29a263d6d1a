"""Signals: while the start waits for something, and those that do not end the server."""
import base64
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from clients import RawClient
from server import (READY_LINE, Server, clean_environment, left_behind, program, reap, spawn,
                    spawn_until, until_room, wait_until)

PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0")
FEED = ("--feed", "sim:symbols=2,rate=10")
KEY = base64.b64encode(os.urandom(48)).decode()


def is_waiting(pid):
    """Whether the process sleeps."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    except OSError:
        return False


def waits_for_writer(pid):
    """Whether it sleeps in open(2) of a FIFO. Some kernels do not tell where it sleeps."""
    try:
        where = pathlib.Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False
    return is_waiting(pid) and ("partner" in where or where == "0")


def write_fifo(path, text):
    """Fails, rather than waiting for ever, when nobody reads."""
    def try_to_open():
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
    fd = wait_until(try_to_open, 20)
    if fd is None:
        raise AssertionError(f"nobody reads {path}")
    os.write(fd, text.encode())
    os.close(fd)


class Start(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def fifo(self):
        path = self.folder / "fifo"
        if not path.exists():
            os.mkfifo(path)
        return path

    def waits_and_ends(self, *arguments, prefix=(), until=None):
        """Starts a server that waits for ever, and ends it by either signal."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(arguments, number=number.name):
                process = spawn([*prefix, program("ringcast"), *map(str, arguments)],
                                env=clean_environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
                self.addCleanup(reap, process)
                self.assertTrue(wait_until(lambda: (until or is_waiting)(process.pid), 20))
                self.assertIsNone(process.poll())
                process.send_signal(number)
                text, _ = process.communicate(timeout=10)
                self.assertEqual(process.returncode, -number, text)
                self.assertNotIn(b"listening on", text)
                self.assertEqual(left_behind(process.pid), [])

    def test_a_parent_that_has_blocked_the_signals(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        self.waits_and_ends("--jwt-key-file", self.fifo(), "--enable-auth")

    def test_a_fifo_that_nobody_writes(self):
        fifo = self.fifo()
        for arguments in (("--auth-token-file", fifo, "--enable-auth"),
                          ("--jwt-key-file", fifo, "--enable-auth"),
                          ("--tokens-file", fifo, "--enable-auth"),
                          ("--admin-token-file", fifo),
                          ("--config", fifo)):
            self.waits_and_ends(*PORTS, *FEED, *arguments, until=waits_for_writer)

    def end_at(self, number, condition, *options):
        """Starts a server and signals it as soon as condition(pid) holds: during the start or just
        after it. Another one is started if its ring finds no room."""
        def attempt():
            process = spawn([program("ringcast"), *PORTS, *FEED, *options],
                            env=clean_environment(), stderr=subprocess.PIPE)
            self.addCleanup(reap, process)
            self.assertTrue(wait_until(
                lambda: condition(process.pid) or process.poll() is not None, 20, step=0.0001))
            process.send_signal(number)
            _, text = process.communicate(timeout=20)
            self.assertEqual(left_behind(process.pid), [])
            return (process.returncode, text), text.decode(errors="replace")
        code, text = until_room(attempt)
        self.assertIn(code, (-number, 0), text)

    def test_nothing_is_left_of_a_unix_socket_either(self):
        path = self.folder / "socket"
        for number in (signal.SIGINT, signal.SIGTERM):
            self.end_at(number, lambda _: path.exists(), "--unix", str(path))
            self.assertFalse(path.exists())

    def test_a_fifo_that_is_written_is_read(self):
        fifo = self.fifo()
        writer = threading.Thread(target=write_fifo, args=(fifo, KEY + "\n"))
        writer.start()
        with Server(*FEED, "--enable-auth", "--auth-token-file", fifo) as server:
            writer.join(10)
            with RawClient(server.port,
                           extra=f"Authorization: Bearer {KEY}\r\n") as client:
                client.next_message(("WELCOME",))

    def test_a_pipe_of_a_shell_is_read(self):
        process, is_ready = spawn_until(
            lambda it: b"listening on" in it.stderr.readline(),
            ["bash", "-c", f"exec {program('ringcast')} {' '.join(PORTS)} --enable-auth"
             f" --auth-token-file <(echo {KEY}) --feed sim:symbols=2,rate=10"],
            env=clean_environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(reap, process)
        self.assertTrue(is_ready)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)

    def test_what_cannot_be_a_secret_file_is_refused(self):
        for path, words in ((self.folder, "Is a directory"), ("/dev/zero", "at most 4 MiB"),
                            ("/dev/null", "")):
            with self.subTest(path):
                result = subprocess.run([program("ringcast"), *PORTS, *FEED, "--enable-auth",
                                         "--auth-token-file", path], timeout=20, text=True,
                                        env=clean_environment(), capture_output=True)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(words, result.stderr)

    def test_a_fifo_as_a_replay_is_not_waited_for(self):
        with Server("--feed", f"replay:path={self.fifo()}") as server:
            self.assertEqual(server.stats()["publisher"]["ticks"], 0)

    def test_a_hung_owner_of_the_unix_socket_is_an_error_at_once(self):
        path = self.folder / "hung"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(path))
        listener.listen(0)
        waiting = []
        for _ in range(3):  # its queue is full then
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            self.addCleanup(client.close)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
            waiting.append(client)
        else:
            self.fail("the queue does not fill")
        result = subprocess.run([program("ringcast"), *PORTS, *FEED, "--unix", path], timeout=20,
                                text=True, env=clean_environment(), capture_output=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("another program listens there", result.stderr)
        self.assertTrue(path.exists())

    def test_a_name_that_no_server_resolves(self):
        """A name server that does not answer: the port is bound, and nobody reads."""
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: only root can give a process a resolv.conf of its own")
        mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(mute.close)
        try:
            mute.bind(("127.0.0.53", 53))
        except OSError as error:
            self.skipTest(f"SKIPPED: port 53 on loopback: {error}")
        resolv = self.folder / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.53\noptions timeout:30\n")
        nsswitch = self.folder / "nsswitch.conf"
        nsswitch.write_text("hosts: dns\n")
        prefix = ("unshare", "--mount", "sh", "-c",
                  f"mount --bind {resolv} /etc/resolv.conf && mount --bind {nsswitch} "
                  "/etc/nsswitch.conf && exec \"$@\"", "sh")
        if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
            self.skipTest("SKIPPED: no mount namespace can be made here")

        def asks(pid):
            name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            try:
                return name == "ringcast" and any(
                    os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
                    for fd in os.listdir(f"/proc/{pid}/fd")) and is_waiting(pid)
            except FileNotFoundError:  # It has just closed one of them.
                return False

        for arguments in (("--host", "a.name.invalid", "--port", "0", "--admin-port", "0"),
                          (*PORTS, "--admin-host", "a.name.invalid")):
            self.waits_and_ends(*arguments, *FEED, prefix=prefix, until=asks)

    def test_a_large_log_that_is_being_touched(self):
        """As large as is safe here; the signal comes while its pages are made."""
        available = next(int(line.split()[1]) << 10
                         for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                         if line.startswith("MemAvailable"))
        size = 1 << (min(available // 4, 1 << 28).bit_length() - 1)
        def has_begun(pid):
            return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) > 4096
        for number in (signal.SIGINT, signal.SIGTERM):
            self.end_at(number, has_begun, "--frame-log-bytes", str(size))

    def test_process_1_of_a_container_ends_too(self):
        prefix = ("unshare", "--pid", "--fork", "--mount-proc")
        if os.geteuid() != 0 or subprocess.run([*prefix, "true"],
                                               capture_output=True).returncode != 0:
            self.skipTest("SKIPPED: no process namespace can be made here")
        for arguments in (("--config", self.fifo()), ("--admin-token-file", self.fifo())):
            with self.subTest(arguments):
                process = spawn([*prefix, program("ringcast"), *PORTS, *map(str, arguments)],
                                env=clean_environment(), stderr=subprocess.DEVNULL)
                self.addCleanup(reap, process)
                children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
                pid = wait_until(lambda: (found := children.read_text().split())
                                 and waits_for_writer(int(found[0])) and int(found[0]), 20)
                self.assertTrue(pid)
                os.kill(pid, signal.SIGTERM)
                self.assertEqual(process.wait(10), 128 + signal.SIGTERM)
                self.assertFalse(os.path.exists("/dev/shm/ringcast-1"))


class Running(unittest.TestCase):
    def test_they_do_not_count_as_a_second_signal_while_it_ends(self):
        with Server(*FEED, "--drain-timeout", "20") as server:
            with RawClient(server.port) as client:
                server.signal(signal.SIGTERM)
                client.next_message(("NOTICE",))
                server.signal(signal.SIGHUP)
                server.signal(signal.SIGUSR1)
                self.assertIsNotNone(server.wait_for_line("log files were reopened"))
                self.assertIsNone(server.process.poll())
            self.assertEqual(server.wait(20), 0, server.log())

    def test_a_sighup_during_the_start_reloads_after_it(self):
        with tempfile.TemporaryDirectory() as folder:
            fifo = f"{folder}/fifo"
            os.mkfifo(fifo)
            server = Server(*FEED, "--admin-token-file", fifo).start(wait=False)
            self.addCleanup(server.kill)
            self.assertTrue(wait_until(lambda: server.counters_path().exists(), 20))
            server.signal(signal.SIGHUP)
            write_fifo(fifo, KEY)
            self.assertIsNotNone(server.wait_for_line(READY_LINE, 20), server.log())
            self.assertIsNotNone(server.wait_for_line("SIGHUP received: the configuration is read again", 20))
            server.stop()


if __name__ == "__main__":
    unittest.main()
