"""The files of the logs: where lines go, rotation, a full disk, fields, levels, the journal (S65, S69 to S73, S120,
S134, S135)."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from clients import CLOSE, TEXT, RawClient, Tracker, frame, request
from server import (CHECKOUT, READY_LINE, Server, clean_environment, program, reap, run, spawn,
                    wait_until)

FEED = ("--feed", "sim:symbols=2,rate=10")
TOKEN = "a-token-of-some-length-0123456789"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


class FileServer(Server):
    """A server whose log is FOLDER/logs/websocket-server.log."""

    def __init__(self, folder, *options, **others):
        self.path = pathlib.Path(folder, "logs", "websocket-server.log")
        super().__init__("--log-file", self.path, *options, **others)

    def file_lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def log_lines(self):
        return super().log_lines() + self.file_lines()

    def wait_for_line(self, pattern, seconds=10, after=0):
        def found():
            return next((line for line in self.log_lines()[after:] if re.search(pattern, line)), None)
        wait_until(lambda: found() or self.process.poll() is not None, seconds)
        return found()


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_all_lines_are_in_the_file(self):
        """S69: logs/websocket-server.log; its directory is made."""
        with FileServer(self.folder, *FEED) as server:
            server.stop()
            self.assertEqual(Server.log_lines(server), [], "standard error has lines")
            self.assertTrue(any(READY_LINE.search(line) for line in server.file_lines()))
            self.assertIn("stopped", server.file_lines()[-1])
            self.assertEqual(server.path.stat().st_mode & 0o007, 0)
            self.assertEqual(server.path.parent.stat().st_mode & 0o777, 0o755)

    def test_key_and_variable_name_it_too(self):
        """S69: the key logging.file and its variable."""
        config = pathlib.Path(self.folder, "ringcast.yaml")
        config.write_text(f"logging:\n  file: {self.folder}/by-key.log\nfeeds: [\"sim:symbols=2\"]\n")
        server = Server("--config", config).start(wait=False)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(lambda: os.path.exists(f"{self.folder}/by-key.log"), 20))
        server = Server(*FEED, env={"RINGCAST_LOG_FILE": f"{self.folder}/by-variable.log"}).start(wait=False)
        self.addCleanup(server.kill)
        self.assertTrue(wait_until(lambda: os.path.exists(f"{self.folder}/by-variable.log"), 20))

    def test_an_error_that_ends_the_start_is_on_standard_error_too(self):
        """S69"""
        log = pathlib.Path(self.folder, "log")
        done = run([program("ringcast"), "--log-file", log, "--host", "203.0.113.7", "--port", "0",
                    "--admin-port", "0", *FEED])
        self.assertEqual(done.returncode, 1)
        self.assertIn("203.0.113.7", done.stderr)
        self.assertIn(done.stderr.splitlines()[-1], log.read_text())

    def test_a_path_that_cannot_be_written_is_one_error(self):
        """S69: the start and --check-config say the same, and make nothing."""
        for option in ("--log-file", "--access-log", "--audit-log"):
            for path, reason in ((f"{self.folder}/a/b/log", "No such file or directory; create its directory"),
                                 (self.folder, "Is a directory; choose another path")):
                with self.subTest(option=option, path=path):
                    said = []
                    for more in ((), ("--check-config",)):
                        done = run([program("ringcast"), option, path, *FEED, *more])
                        self.assertEqual(done.returncode, 2, done.stderr)
                        said.append(done.stderr.split("ringcast: ", 1)[1].strip())
                    self.assertEqual(said, [f"{option}: cannot append to {path}: {reason}"] * 2)
        done = run([program("ringcast"), "--check-config", "--log-file", f"{self.folder}/new/log", *FEED])
        self.assertEqual((done.returncode, os.listdir(self.folder)), (0, []), done.stderr)

    def rotate(self, server, paths, number):
        seen = len(server.log_lines())
        for path in paths:
            os.rename(path, f"{path}.{number}")
        server.signal(signal.SIGUSR1)
        self.assertTrue(wait_until(lambda: all(map(os.path.exists, paths))), server.log())
        self.assertTrue(wait_until(lambda: any("3 log files were reopened" in line
                                               for line in server.file_lines())), (seen, server.log()))

    def test_sigusr1_reopens_all_files_and_no_line_is_lost(self):
        """S65, S134: as logrotate's postrotate does."""
        audit, access = f"{self.folder}/audit.log", f"{self.folder}/access.log"
        with FileServer(self.folder, *FEED, "--audit-log", audit, "--access-log", access, "--enable-auth",
                        "--auth-token", TOKEN, "--log-connections", "debug", "--log-level", "DEBUG") as server:
            paths = (str(server.path), audit, access)
            for number in range(3):
                for _ in range(10):
                    RawClient(server.port, extra=BEARER).close()
                self.rotate(server, paths, number)
            server.stop()
            whole = {path: "".join(pathlib.Path(f"{path}{end}").read_text()
                                   for end in (".0", ".1", ".2", "")) for path in paths}
        names = re.findall(r"Client (0-\d+) \(auth-token\) connected", whole[paths[0]])
        self.assertEqual(names, [f"0-{number}" for number in range(1, 31)])
        self.assertEqual(whole[audit].count("audit: GRANTED"), 30)
        self.assertEqual(whole[access].count(" 101 "), 30)
        self.assertTrue(all(text.endswith("\n") for text in whole.values()))

    def test_the_configuration_of_logrotate(self):
        """S134: daily, 30 files, compressed; with the real program where it is installed."""
        shipped = pathlib.Path(CHECKOUT, "packaging", "ringcast.logrotate").read_text()
        for word in ("daily", "rotate 30", "compress", "delaycompress"):
            self.assertRegex(shipped, rf"(?m)^ *{word}$")
        signalled = re.search(r"(?s)postrotate\n *(if systemctl .*--signal=(\w+) .*fi)\n *endscript", shipped)
        self.assertEqual(signalled[2], "USR1")
        logrotate = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
        if logrotate is None:
            self.skipTest("logrotate is not installed")
        with FileServer(self.folder, *FEED) as server:
            config = pathlib.Path(self.folder, "logrotate.conf")
            config.write_text(shipped.replace("/var/log/ringcast/", f"{server.path.parent}/")
                              .replace(signalled[1], f"kill -USR1 {server.pid}"))
            done = run([logrotate, "-f", "-s", f"{self.folder}/state", config])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIsNotNone(server.wait_for_line("1 log files were reopened"))
            self.assertIn("listening on", pathlib.Path(f"{server.path}.1").read_text())

    def test_a_file_that_cannot_be_reopened_stays_in_use(self):
        """S65"""
        with FileServer(self.folder, *FEED) as server:
            moved = pathlib.Path(self.folder, "moved")
            server.path.parent.rename(moved)
            server.path.parent.write_text("a file where the directory was")
            server.signal(signal.SIGUSR1)
            log = moved / server.path.name
            self.assertTrue(wait_until(lambda: "cannot reopen the log" in log.read_text()), log.read_text())
            server.signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(10), 0)
            self.assertIn("SIGTERM received", log.read_text())

    def test_sigusr1_without_a_file_does_no_harm(self):
        """S65"""
        with Server(*FEED) as server:
            server.signal(signal.SIGUSR1)
            self.assertIsNotNone(server.wait_for_line("INFO ringcast: 0 log files were reopened"))

    def test_a_full_disk_loses_lines_that_are_counted_and_nothing_else(self):
        """The server goes on, and so does the log when there is room."""
        with FileServer(self.folder, *FEED, "--log-level", "DEBUG") as server:
            before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (server.path.stat().st_size + 30, before[1]))
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                self.assertTrue(wait_until(self.lost(server)))
                tracker = Tracker()
                while tracker.frames < 3:
                    client.next_message(tracker=tracker)
                resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
            server.stop()
            log = "\n".join(server.file_lines())
            self.assertRegex(log, "log lines were lost since the start: .*File too large")
            self.assertRegex(log, "INFO ringcast: stopped")

    def lost(self, server):
        def count():
            metrics = server.admin("/metrics")[2]
            return int(float(re.search(r"^ringcast_log_lines_lost_total (\S+)", metrics, re.M)[1]))
        return count


class Lines(unittest.TestCase):
    def test_names_of_levels(self):
        """S71: DEBUG, INFO, WARNING, ERROR, CRITICAL, and a level leaves out those below."""
        for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            done = run([program("ringcast"), "--log-level", level, "--host", "203.0.113.7", "--port", "0",
                        "--admin-port", "0", *FEED])
            self.assertEqual(done.returncode, 1)
            words = {line.split(" ", 2)[1] for line in done.stderr.splitlines()}
            order = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
            self.assertLessEqual(words, set(order[order.index(level):]), done.stderr)
            self.assertTrue(level == "CRITICAL" or words & {"ERROR", "CRITICAL"}, done.stderr)

    def test_phrases_of_clients(self):
        """S70: Client.*connected, Client.*disconnected."""
        with Server(*FEED) as server:
            RawClient(server.port).close()
            self.assertIsNotNone(server.wait_for_line(r"Client.* connected"))  # no line of disconnects
            self.assertIsNotNone(server.wait_for_line(r"Client.*disconnected"))

    def test_json_has_members_for_filebeat(self):
        """S135: client, name and code beside message."""
        with Server(*FEED, "--log-format", "json", "--enable-auth", "--auth-token", TOKEN) as server:
            with RawClient(server.port, extra=BEARER) as client:
                client.next_message(("WELCOME",))
                client.send(frame(CLOSE, b"\x03\xe8"))
                client.wait_for_end()
            line = json.loads(server.wait_for_line("disconnected"))
            self.assertEqual({key: line[key] for key in ("level", "client", "name", "code")},
                             {"level": "INFO", "client": "0-1", "name": "auth-token", "code": 1000})
            self.assertIn("Client 0-1 (auth-token) disconnected", line["message"])
            granted = json.loads(server.wait_for_line("audit: GRANTED"))
            self.assertEqual(granted["name"], "auth-token")
            self.assertNotIn("code", granted)

    def test_connections_are_lines_of_debug_or_sampled(self):
        for when, level, lines in (("debug", "INFO", 0), ("debug", "DEBUG", 30), ("sampled", "INFO", 1)):
            with self.subTest(when=when, level=level), \
                    Server(*FEED, "--log-connections", when, "--log-level", level) as server:
                for _ in range(30):
                    RawClient(server.port).close()
                server.stop()
                log = server.log()
                self.assertEqual(len(re.findall(r"Client \S+ (?:dis)?connected", log)),
                                 2 * lines if when == "debug" else 1, log)
                if when == "sampled":
                    sums = re.findall(r"In a second, (\d+) more clients connected and (\d+) more", log)
                    self.assertEqual(sum(int(one) + int(other) for one, other in sums), 59)

    def test_words_of_the_audit_log(self):
        """S73, S120: FAILED, DENIED, BLOCKED, authentication failed, GRANTED, in a file of their own."""
        with tempfile.TemporaryDirectory() as folder:
            audit = pathlib.Path(folder, "audit.log")
            with Server(*FEED, "--audit-log", audit, "--enable-auth", "--auth-token", TOKEN,
                        "--allowed-origins", "https://a.example", "--trusted-proxies", "127.0.0.1",
                        "--messages-per-second", "5") as server:
                self.connect(server, "Authorization: Bearer wrong-wrong-wrong-wrong\r\n", 401)
                self.connect(server, BEARER + "Origin: https://b.example\r\n", 403)
                with RawClient(server.port, extra=BEARER + "X-Forwarded-For: 198.51.100.6\r\n") as client:
                    client.send(frame(TEXT, '{"type":"PING"}') * 100)
                    self.assertEqual(client.wait_for_close()[0], 4111)
                self.assertTrue(wait_until(lambda: "BLOCKED" in audit.read_text()), audit.read_text())
                text = audit.read_text()
                self.assertRegex(text, r"WARNING ringcast: audit: FAILED 127\.0\.0\.1\S*: authentication failed")
                self.assertRegex(text, r"WARNING ringcast: audit: DENIED ")
                self.assertRegex(text, r"INFO ringcast: audit: GRANTED .* as auth-token")
                self.assertNotIn(TOKEN, text)
                self.assertNotIn("wrong-wrong", text)
                self.assertNotIn("audit: ", server.log())

    def connect(self, server, extra, status):
        with RawClient(server.port, upgrade=False) as client:
            client.send(request(extra=extra))
            self.assertEqual(client.read_head(), status)

    def test_the_journal_gets_priorities(self):
        """S71: standard error is the socket that JOURNAL_STREAM names."""
        mine, theirs = socket.socketpair()
        self.addCleanup(mine.close)
        found = os.fstat(theirs.fileno())
        process = spawn([program("ringcast"), "--host", "203.0.113.7", "--port", "0", "--admin-port", "0", *FEED],
                        stderr=theirs, stdin=subprocess.DEVNULL,
                        env=clean_environment({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}))
        self.addCleanup(reap, process)
        theirs.close()
        self.assertEqual(process.wait(20), 1)
        lines = mine.recv(65536).decode().splitlines()
        self.assertTrue(lines)
        self.assertRegex(lines[-1], r"^<[23]>(ERROR|CRITICAL) ringcast: ")


if __name__ == "__main__":
    unittest.main()
