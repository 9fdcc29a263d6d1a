"""The command line of ringcast-bench, and what it shows before its report."""
import os
import pty
import re
import socket
import subprocess
import termios
import unittest

from clients import accept_of
from server import ServerTestCase, in_full, program, reap, spawn
from test_bench import CONNECTIONS_FAILED, VALID, BenchTestCase, PlainServer, bench

REWRITTEN = "\r\x1b[K"


class Words(unittest.TestCase):
    def test_called_bare_it_prints_its_usage(self):
        result = bench()
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertTrue(result.stderr.startswith("Usage: ringcast-bench [options] URL\n"), result.stderr)
        self.assertLess(len(result.stderr.splitlines()), 15)

    def test_it_has_a_version(self):
        for option in ("--version", "-v"):
            result = bench(option)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r"^ringcast-bench \d+\.\d+\.\d+\n$")

    def test_what_is_not_understood_names_what_is(self):
        for arguments, said in (
                (("--conections", 5, "ws://h/"), "unknown option --conections; did you mean --connections?"),
                (("-d", "5 s", "ws://h/"), "--duration: '5 s' is not a time such as 10s, 500ms, 2m or 1h"),
                (("-c", "1kk", "ws://h/"), "--connections: '1kk' is not a number from 1 to 1000000, such as 500 or 2k"),
                (("-d", "2000000", "ws://h/"), "--duration: '2000000' is not a time such as 10s, 500ms, 2m or 1h"),
                (("-c", 5), "the URL is missing: ws://host[:port][/path], wss://.. or unix:///path"),
                (("ws://a/", "ws://b/"), "one URL at a time; 'ws://b/' is a second one")):
            result = bench(*arguments)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertEqual(result.stderr, f"ringcast-bench: {said}\n")


@in_full
class Shown(ServerTestCase, BenchTestCase):
    options = ("--feed", "sim:symbols=2,rate=200")

    def test_what_wrk_users_type(self):
        result = bench("-t2", "-c20", "-d1s", "--latency", "--timeout", "20s", self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        self.assertEqual(result.stderr, f"Running 1 s test @ {self.server.url()}, 20 connections, 2 threads\n")
        self.assertTrue(result.stdout.startswith(f"Benchmark of {self.server.url()}: 20 connections, 2 threads, 1."),
                        result.stdout)
        table = re.search(r"\n  percentile    latency    ticks above\n((?: +[\d.]+ +[\d.]+[num]?s +[\d ]+\n)+)",
                          result.stdout)
        self.assertIsNotNone(table, result.stdout)
        rows = [line.split() for line in table[1].splitlines()]
        self.assertEqual((rows[0][0], rows[-1][0], rows[-1][-1]), ("0", "100", "0"))
        self.assertRegex(result.stdout, r"\n  latency( +[\d.]+[num]?s){8}\n")

    def test_one_of_a_kind_is_no_plural(self):
        result = bench("-c", 1, "-d", "300ms", "-w", 0, "-s", "000001.SZ", self.server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        self.assertEqual(result.stderr, f"Running 0.3 s test @ {self.server.url()}, 1 connection, 1 thread\n")
        self.assertIn(": 1 connection, 1 thread, 0.", result.stdout)
        self.assertRegex(result.stdout, r"\n  published   \d+ ticks on 1 channel, \d+/s\n")

    def test_quiet_is_quiet(self):
        for option in ("-q", "--quiet"):
            result = bench(option, "-j", "-c", 2, "-d", "300ms", "-w", 0, self.server.url())
            self.assertEqual((result.returncode, result.stderr), (VALID, ""))

    def on_a_terminal(self, *arguments, columns=80):
        """What is written to standard error, which is a terminal."""
        ours, theirs = pty.openpty()
        try:
            termios.tcsetwinsize(theirs, (25, columns))
            process = spawn([program("ringcast-bench"), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs)
            try:
                os.close(theirs)
                written = b""
                try:
                    while piece := os.read(ours, 4096):
                        written += piece
                except OSError:
                    pass  # the other side is closed
                self.assertEqual(process.wait(40), VALID)
            finally:
                reap(process)
        finally:
            os.close(ours)
        return written.decode().replace("\r\n", "\n")

    def test_a_terminal_shows_how_far_it_is(self):
        written = self.on_a_terminal("-j", "-c", 5, "-d", "3s", "-w", 0, self.server.url())
        lines = written.split(REWRITTEN)
        self.assertTrue(lines[0].startswith("Running 3 s test @ "), written)
        self.assertEqual(lines[-1], "")  # nothing of it remains
        self.assertTrue(any(re.fullmatch(r"\d of 3 s: 5 connected, [\d ]+/s, p99 [\d.]+[num]?s", line)
                            for line in lines), written)
        narrow = self.on_a_terminal("-j", "-c", 5, "-d", "2500ms", "-w", 0, self.server.url(), columns=20)
        lines = narrow.split(REWRITTEN)[1:]
        self.assertTrue(any(len(line) == 19 for line in lines), narrow)
        self.assertFalse(any(len(line) > 19 for line in lines), narrow)  # Two rows would not be erased.
        self.assertEqual(self.on_a_terminal("-q", "-j", "-c", 5, "-d", "1200ms", "-w", 0, self.server.url()), "")


class Silent(BenchTestCase):
    def test_a_server_that_was_not_asked_is_not_suspected(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            process = spawn([program("ringcast-bench"), "-c", "2", "--at-once", "--timeout", "2500ms",
                             f"ws://127.0.0.1:{listener.getsockname()[1]}"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                first, second = listener.accept()[0], listener.accept()[0]  # The second has no answer.
                with first, second:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += first.recv(4096)
                    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1].decode()
                    first.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  b"Sec-WebSocket-Accept: " + accept_of(key).encode() + b"\r\n\r\n")
                    errors = process.communicate(timeout=40)[1]
            finally:
                reap(process)
        self.assertEqual(process.returncode, CONNECTIONS_FAILED, errors)
        self.assertIn("0 of 2 connections subscribed, 0 failed", errors)
        self.assertNotIn("is it a ringcast", errors)

    def test_a_server_that_does_not_answer_the_subscription_is_suspected(self):
        with PlainServer() as server:
            server.is_mute = True
            result = bench("-c", 2, "--timeout", "2500ms", server.url())
        self.assertEqual(result.returncode, CONNECTIONS_FAILED, result.stdout)
        self.assertIn("ringcast-bench: connected, but no SUBSCRIBED: is it a ringcast? try --protocol plain\n"
                      "ringcast-bench: 0 of 2 connections subscribed, 0 failed; the others took longer than --timeout\n",
                      result.stderr)


if __name__ == "__main__":
    unittest.main()
