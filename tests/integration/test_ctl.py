"""`ringcast ctl` and `ringcast health`: against a running server, and against one that answers what the test says."""
import json
import pathlib
import re
import signal
import socket
import tempfile
import threading
import time
import unittest

from clients import RawClient
from server import Server, ServerTestCase, program, reap, run, spawn, wait_until

DONE, FAILED, USAGE, NO_SERVER = range(4)
COMMANDS = ("stats", "clients", "topk", "kick", "drain", "reload", "dump", "gc", "feeds", "loglevel", "alerts",
            "config")
CLIENT = {"session": "0-12", "name": "desk-1", "address": "10.0.0.7:5123", "core": 0, "encoding": "json",
          "subscriptions": 20, "lag_frames": 3, "lag_ms": 7, "frames_sent": 100, "frames_lost": 5,
          "frames_conflated": 0, "bytes_sent": None, "round_trip_us": None, "connected_seconds": 12.5,
          "state": "blocked", "cause": "client", "quality": 55}


def ctl(*words, seconds=30, **options):
    return run([program("ringcast"), "ctl", *map(str, words)], seconds=seconds, **options)


def health(*words, seconds=30):
    return run([program("ringcast"), "health", *map(str, words)], seconds=seconds)


def answer_of(status, body):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text


class Double:
    """Answers each request on a Unix socket with the same bytes, and keeps the requests. None: no answer."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/ctl"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection:
                data = b""
                while not (match := re.search(rb"\r\n\r\n", data)):
                    data += connection.recv(65536)
                length = re.search(rb"Content-Length: (\d+)", data)
                while length and len(data) < match.end() + int(length[1]):
                    data += connection.recv(65536)
                self.requests.append(data.decode())
                if self.answer is None:
                    connection.recv(1)  # until the client gives up
                else:
                    connection.sendall(self.answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.folder.cleanup()

    def first_line(self):
        return self.requests[-1].split("\r\n")[0]

    def body(self):
        return json.loads(self.requests[-1].split("\r\n\r\n")[1])


class Answers(unittest.TestCase):
    """What it asks for, and how it shows the answer."""

    def ask(self, answer, *words, status=200):
        with Double(answer_of(status, answer)) as double:
            result = ctl(*words, "--socket", double.path)
            self.double = double
        return result

    def shown(self, answer, *words):
        result = self.ask(answer, *words)
        self.assertEqual((result.returncode, result.stderr), (DONE, ""))
        for line in result.stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)
            self.assertEqual(line.rstrip(), line)
            self.assertNotIn("\x1b", line)
        return result.stdout

    def test_clients_are_a_table_of_80_columns(self):
        text = self.shown({"total": 3, "matched": 2, "clients": [
            CLIENT, {**CLIENT, "session": "1-7", "name": "a name that is much longer than its column \x1b[31m" * 3,
                     "cause": None}]}, "clients")
        header, first, second = text.splitlines()
        self.assertEqual(header.split(), "session name address subs lag ms lost quality state cause".split())
        self.assertEqual(first.split(), "0-12 desk-1 10.0.0.7:5123 20 7 5 55 blocked client".split())
        self.assertRegex(second, "^1-7     a name[^~]*~ 10")
        self.assertEqual(second[-1], "-")

    def test_a_page_of_clients_says_how_many_there_are(self):
        text = self.shown({"total": 30, "matched": 20, "clients": [CLIENT]}, "clients")
        self.assertIn("1 of 20 clients", text)
        self.assertEqual(self.shown({"total": 0, "matched": 0, "clients": []}, "clients"), "no client\n")

    def test_options_of_clients_become_arguments_of_the_path(self):
        self.ask({"clients": []}, "clients", "--sort", "lag", "--order=asc", "--limit", "5", "--name", "a&b c/ü",
                 "--address", "10.0.0.0/8")
        self.assertEqual(self.double.first_line(), "GET /admin/clients?sort=lag&order=asc&limit=5&name=a%26b%20c%2F"
                         "%C3%BC&address=10.0.0.0%2F8 HTTP/1.1")
        self.ask({}, "topk", "--top", "3")
        self.assertEqual(self.double.first_line(), "GET /admin/topk?k=3 HTTP/1.1")

    def test_topk_has_two_tables(self):
        text = self.shown({"symbols": [{"symbol": "600000.SH", "type": "quote", "frames_per_second": 12.5,
                                        "subscribers": 4}], "laggards": [CLIENT]}, "topk")
        self.assertRegex(text, r"(?m)^600000\.SH quote +12\.5 +4$")
        self.assertIn("desk-1", text)

    def test_kick_names_a_session_a_name_or_an_address(self):
        for words, body in ((("0-12",), {"session": "0-12"}), (("--session", "0-12"), {"session": "0-12"}),
                            (("--name", "desk-1", "--code", "4200"), {"name": "desk-1", "code": 4200}),
                            (("--address", "10.0.0.0/8"), {"address": "10.0.0.0/8"})):
            self.assertEqual(self.shown({"kicked": 1}, "kick", *words), "kicked 1 client\n")
            self.assertEqual(self.double.first_line(), "POST /admin/kick HTTP/1.1")
            self.assertEqual(self.double.body(), body)
        for words in ((), ("0-12", "--name", "x"), ("--name", "x", "--code", "4000"), ("--name", "x", "--code", "4115x")):
            self.assertEqual(ctl("kick", *words, "--socket", "/none").returncode, USAGE, words)

    def test_drain_says_what_begins(self):
        text = self.shown({"draining": True, "connections": 12, "seconds": 2.5}, "drain", "--seconds", "2.5")
        self.assertEqual(text, "draining 12 clients within 2.5 s; then the server ends\n")
        self.assertEqual((self.double.first_line(), self.double.body()),
                         ("POST /admin/drain HTTP/1.1", {"seconds": 2.5}))
        self.ask({}, "drain")
        self.assertTrue(self.double.requests[0].endswith("Content-Length: 0\r\n\r\n"))
        self.assertEqual(ctl("drain", "--seconds", "-1", "--socket", "/none").returncode, USAGE)
        self.assertEqual(ctl("drain", "--wait", "--url", "http://127.0.0.1:1").returncode, USAGE)

    def test_reload_lists_what_was_applied_and_what_needs_a_restart(self):
        text = self.shown({"ok": True, "applied": [{"key": "websocket.max_connections", "from": 1000, "to": 2000},
                                                    {"key": "f", "from": "a", "to": "a", "content": "changed"}],
                           "unchanged": 57, "needs_restart": [{"key": "websocket.port", "from": 8765, "to": 9000}],
                           "seconds": 0.012}, "reload")
        self.assertEqual(self.double.first_line(), "POST /admin/reload-config HTTP/1.1")
        self.assertRegex(text, r"(?m)^applied within 0\.012 s; 57 keys are unchanged$")
        self.assertRegex(text, r"(?m)^websocket\.max_connections 1000 2000 -$")
        self.assertRegex(text, r"(?m)^f +a +a +changed$")
        self.assertRegex(text, r"(?m)^these need a restart:\n.*\nwebsocket\.port 8765 9000$")

    def test_a_reload_that_is_refused_fails_with_the_reason(self):
        result = self.ask({"ok": False, "error": "ringcast.yaml:3: no such key", "applied": []}, "reload", status=422)
        self.assertEqual((result.returncode, result.stdout), (FAILED, ""))
        self.assertEqual(result.stderr, "ringcast ctl reload: ringcast.yaml:3: no such key\n")

    def test_a_dump_prints_its_directory_first(self):
        text = self.shown({"directory": "/tmp/ringcast-dump-1-2", "files": ["stats.json", "config.json"]}, "dump")
        self.assertEqual(text, "/tmp/ringcast-dump-1-2\n  stats.json\n  config.json\n")
        self.assertEqual(self.double.first_line(), "POST /admin/dump HTTP/1.1")

    def test_gc_says_how_much_was_given_back(self):
        """S100: the same purge, by hand."""
        text = self.shown({"freed_bytes": 3 << 20, "resident_before_bytes": 10 << 20, "resident_after_bytes": 7 << 20},
                          "gc")
        self.assertEqual(text, "gave back 3.0 MiB: 10.0 MiB were resident, 7.0 MiB are\n")

    def test_feeds_are_a_table(self):
        text = self.shown({"feeds": [{"feed": "sim", "spec": "sim", "state": "live", "since_seconds": time.time() - 5000,
                                      "cause": None, "last_tick_seconds": None, "ticks": 99, "lost": 0}]}, "feeds")
        self.assertRegex(text, r"(?m)^sim +live +50\d\d +99 +- +0 -$")

    def test_loglevel_shows_or_changes(self):
        self.assertEqual(self.shown({"level": "INFO"}, "loglevel"), "INFO\n")
        self.assertEqual(self.double.first_line(), "GET /admin/loglevel HTTP/1.1")
        self.shown({"level": "DEBUG"}, "loglevel", "DEBUG")
        self.assertEqual((self.double.first_line(), self.double.body()),
                         ("POST /admin/loglevel HTTP/1.1", {"level": "DEBUG"}))

    def test_alerts_are_those_that_are_active_and_the_history(self):
        alert = {"rule": "cpu", "level": "warning", "value": 91.5, "limit": 80}
        text = self.shown({"active": [{**alert, "since": "2026-11-30T12:00:00Z"}],
                           "history": [{**alert, "state": "raised", "at": "2026-11-30T12:00:00Z"}]}, "alerts")
        self.assertRegex(text, r"(?m)^cpu +warning +91\.5 +80 2026-11-30T12:00:00Z$")
        self.assertRegex(text, r"(?m)^2026-11-30T12:00:00Z cpu +warning raised +91\.5 +80$")
        self.assertEqual(self.shown({"active": [], "history": []}, "alerts"), "no alert is active\n")

    def test_the_configuration_is_a_line_for_each_key_with_its_origin(self):
        text = self.shown({"heartbeat": 30.0, "websocket": {"port": 8765, "unix": None},
                           "admin": {"token": "***"}, "origins": {"websocket.port": "RINGCAST_PORT"}}, "config")
        self.assertRegex(text, r"(?m)^websocket\.port +8765 +RINGCAST_PORT$")
        self.assertRegex(text, r"(?m)^admin\.token +\*\*\* +-$")
        self.assertRegex(text, r"(?m)^heartbeat +30 +-$")
        self.assertNotIn("origins", text)

    def test_json_prints_the_answer_as_it_is(self):
        answers = {"clients": [CLIENT], "deep": {"a": [1, 2.5, None, "ü"]}}
        for command in COMMANDS:
            words = ("--name", "x") if command == "kick" else ()
            result = self.ask(answers, command, "--json", *words)
            self.assertEqual((result.returncode, json.loads(result.stdout)), (DONE, answers), command)

    def test_an_answer_of_another_version_breaks_nothing(self):
        for command in COMMANDS:
            words = ("--name", "x") if command == "kick" else ()
            for answer in ({}, [], [1], {"clients": 5, "feeds": {"a": 1}, "active": "x", "cores": [1, "a"],
                                         "symbols": [None], "files": [{}], "connections": []}):
                result = self.ask(answer, command, *words)
                self.assertEqual((result.returncode, result.stderr), (DONE, ""), (command, answer))


class Faults(unittest.TestCase):
    def check(self, answer, code, pattern, *words):
        with Double(answer) as double:
            result = ctl(*(words or ("gc",)), "--socket", double.path)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertRegex(result.stderr, pattern)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_what_a_server_refuses_fails_with_its_text(self):
        self.check(answer_of(503, {"error": "the server is busy"}), FAILED, "^ringcast ctl gc: the server is busy$")
        self.check(answer_of(401, {"error": "a\x1b[2Jb"}), FAILED, r"a\\x1b\[2Jb$")
        self.check(answer_of(500, b"oops"), FAILED, "answered with status 500$")
        self.check(answer_of(404, {"error": "no such path"}), FAILED, "no such path; is it an older version")

    def test_what_is_not_an_answer_fails(self):
        self.check(b"", FAILED, "closed without an answer")
        self.check(b"SSH-2.0-x\r\n", FAILED, "not HTTP")
        self.check(answer_of(200, {})[:-1], FAILED, "cut off")
        self.check(answer_of(200, b"<html>"), FAILED, "not JSON; does ringcast listen there")
        self.check(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 9000, FAILED, "header that is too long")

    def test_a_server_that_does_not_answer_is_left_in_time(self):
        started = time.monotonic()
        self.check(None, FAILED, r"did not answer within 0\.3 s", "gc", "--timeout", "0.3")
        self.assertLess(time.monotonic() - started, 20)

    def test_a_server_that_is_not_there_is_another_exit_code(self):
        for words, pattern in ((("--socket", "/none/ctl"), "cannot connect to unix:///none/ctl: No such file"),
                               (("--url", "http://127.0.0.1:1"), r"cannot connect to 127\.0\.0\.1:1: Connection refused"),
                               (("--pid", "4194304"), "no server has process ID 4194304")):
            result = ctl("stats", *words)
            self.assertEqual((result.returncode, result.stdout), (NO_SERVER, ""))
            self.assertRegex(result.stderr, pattern)

    def test_lost_output_is_an_error(self):
        with Double(answer_of(200, {"level": "INFO"})) as double, open("/dev/full", "w") as full:
            process = spawn([program("ringcast"), "ctl", "loglevel", "--socket", double.path], stdout=full)
            self.addCleanup(reap, process)
            self.assertEqual(process.wait(30), FAILED)


class CommandLine(unittest.TestCase):
    def test_each_command_has_its_help_in_80_columns(self):
        texts = [ctl("--help").stdout, health("--help").stdout]
        for command in COMMANDS:
            self.assertRegex(texts[0], rf"(?m)^  {command} +\w+")
            texts.append(ctl(command, "--help").stdout)
            self.assertIn(f"Usage: ringcast ctl {command} [options]", texts[-1])
            self.assertEqual(ctl(command, "--nonsense", "-h").returncode, USAGE)
        for line in "\n".join(texts).splitlines():
            self.assertLessEqual(len(line), 80, line)
        self.assertEqual(run([program("ringcast"), "help", "ctl"]).stdout, texts[0])
        self.assertEqual(run([program("ringcast"), "help", "health"]).stdout, texts[1])

    def test_a_wrong_command_line_is_refused_with_what_was_meant(self):
        for words, pattern in ((("statz",), "did you mean stats?"), (("qqqqqqqq",), "unknown command 'qqqqqqqq'\n"),
                               (("clients", "--srot", "lag"), "did you mean --sort?"),
                               (("gc", "--sort", "lag"), "unknown option '--sort'"),
                               (("clients", "--sort"), "--sort needs a value: KEY"),
                               (("stats", "--json=yes"), "--json takes no value"),
                               (("stats", "more"), "'more' is one argument too many"),
                               (("loglevel", "INFO", "DEBUG"), "one argument too many"),
                               (("stats", "-x"), "unknown option '-x'"),
                               (("stats", "--pid", "x"), "--pid 'x' is not a process ID"),
                               (("stats", "--pid", "1", "--socket", "/x"), "give one of --pid, --socket and --url"),
                               (("stats", "--url", "https://x"), "a URL has the form http://HOST:PORT"),
                               (("stats", "--url", "http://x/path"), "a URL has the form"),
                               (("stats", "--socket", "/" + "x" * 200), "up to 107 bytes"),
                               (("stats", "--token-file", "/x"), "--token-file goes with --url only"),
                               (("stats", "--timeout", "0"), "--timeout '0' is not a number from"),
                               (("clients", "--name", "x" * 5000), "--name is too long")):
            result = ctl(*words)
            self.assertEqual((result.returncode, result.stdout), (USAGE, ""), words)
            self.assertIn(pattern, result.stderr)
        self.assertEqual(ctl().returncode, USAGE)
        self.assertEqual(health("more").returncode, USAGE)


class OverTcp(ServerTestCase):
    """Another host's server, by its admin port."""

    def ctl(self, *words):
        return ctl(*words, "--url", f"http://127.0.0.1:{self.server.admin_port}")

    def test_stats_are_a_few_lines(self):
        result = self.ctl("stats")
        self.assertEqual((result.returncode, result.stderr), (DONE, ""))
        self.assertRegex(result.stdout, rf"^server     process {self.server.pid}, version \S+, ready, up \d\d:")
        self.assertRegex(result.stdout, r"(?m)^clients    0 of 1000; 0 blocked, ")
        self.assertRegex(result.stdout, r"(?m)^ *0 +0 +0 +0 +0 +\d+ +0$")
        stats = json.loads(self.ctl("stats", "--json").stdout)
        self.assertEqual(stats["process"]["pid"], self.server.pid)

    def test_gc_and_the_log_level(self):
        """S62, and the log level while the server runs."""
        self.assertRegex(self.ctl("gc").stdout, r"^gave back \d+\.\d MiB: \d+\.\d MiB were resident, ")
        self.assertEqual(self.ctl("loglevel").stdout, "INFO\n")
        self.assertEqual(self.ctl("loglevel", "debug").stdout, "DEBUG\n")
        self.assertIsNotNone(self.server.wait_for_line("INFO ringcast: the log level changes from INFO to DEBUG"))
        self.assertEqual(self.ctl("loglevel", "INFO").stdout, "INFO\n")
        result = self.ctl("loglevel", "LOUD")
        self.assertEqual((result.returncode, result.stdout), (FAILED, ""))
        self.assertIn("give DEBUG, INFO, WARNING, ERROR or CRITICAL", result.stderr)

    def test_health_and_readiness_are_a_line(self):
        url = ("--url", f"http://127.0.0.1:{self.server.admin_port}")
        self.assertEqual((health(*url).returncode, health(*url).stdout), (DONE, "healthy: ok\n"))
        self.assertEqual((health("--ready", *url).returncode, health("--ready", *url).stdout), (DONE, "ready: ready\n"))
        self.assertEqual(health("--url", "http://127.0.0.1:1").returncode, FAILED)

    def test_other_hosts_send_a_token(self):
        with tempfile.NamedTemporaryFile("w") as file, Double(answer_of(200, {"level": "INFO"})) as double:
            file.write("secret-of-the-operator\n")
            file.flush()
            forward = socket.socket()
            forward.bind(("127.0.0.1", 0))
            forward.listen()
            double.listener.close()
            double.listener = forward
            other = threading.Thread(target=double.serve, daemon=True)
            other.start()
            result = ctl("loglevel", "--token-file", file.name, "--url",
                         f"http://127.0.0.1:{forward.getsockname()[1]}")
            self.assertEqual((result.returncode, result.stdout), (DONE, "INFO\n"))
            self.assertIn("\r\nAuthorization: Bearer secret-of-the-operator\r\n", double.requests[0])


class Drain(unittest.TestCase):
    """S67: what SIGTERM does, over HTTP."""

    def drain(self, server, body=""):
        return json.loads(run(["curl", "-sS", "-X", "POST", "-d", body,
                               f"http://127.0.0.1:{server.admin_port}/admin/drain"]).stdout)

    def test_clients_are_closed_within_the_time_and_the_server_ends(self):
        with Server("--drain-timeout", "60") as server, RawClient(server.port) as client:
            client.subscribe(["*"], ["quote"])
            self.assertEqual(self.drain(server, '{"seconds":0.5}'),
                             {"draining": True, "connections": 1, "seconds": 0.5})
            self.assertEqual(client.wait_for_close()[0], 4201)
            self.assertEqual(server.wait(), 0)
            self.assertIn("an operator asked the server to drain", server.log())

    def test_without_a_body_it_takes_the_drain_timeout(self):
        with Server("--drain-timeout", "0.25") as server:
            self.assertEqual(self.drain(server), {"draining": True, "connections": 0, "seconds": 0.25})
            self.assertEqual(server.wait(), 0)

    def test_a_body_that_is_not_valid_drains_nothing(self):
        with Server() as server:
            for body in ('{"seconds":-1}', '{"seconds":3601}', '{"seconds":"1"}', '{"second":1}', "[1]"):
                self.assertIn("error", self.drain(server, body), body)
            self.assertEqual(server.stats()["status"], "ready")

    def test_the_first_sigterm_after_it_changes_nothing_and_the_second_ends_at_once(self):
        """A preStop hook drains, then Kubernetes sends SIGTERM."""
        with Server() as server, RawClient(server.port) as client:
            client.subscribe(["*"], ["quote"])
            self.assertEqual(self.drain(server, '{"seconds":60}')["connections"], 1)
            self.assertIn("drains already", self.drain(server)["error"])
            server.signal(signal.SIGTERM)
            self.assertIsNotNone(server.wait_for_line("SIGTERM received"))
            time.sleep(0.3)  # Sooner it would be the same wish.
            self.assertIsNone(server.process.poll())
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 1)
            self.assertIn("second signal received", server.log())


class OverTheSocket(ServerTestCase):
    """The server's own socket, which is found by its process ID."""

    def ctl(self, *words):
        return ctl(*words, "--pid", self.server.pid)

    def shown(self, *words):
        result = self.ctl(*words)
        self.assertEqual((result.returncode, result.stderr), (DONE, ""), words)
        return result.stdout

    def test_every_command_that_only_looks_works(self):
        for command in ("stats", "clients", "topk", "feeds", "loglevel", "alerts", "config"):
            self.assertNotEqual(self.shown(command), "", command)
            json.loads(self.shown(command, "--json"))

    def test_a_client_is_listed_and_kicked(self):
        with RawClient(self.server.port) as client:
            client.subscribe(["*"], ["quote"])
            clients = json.loads(self.shown("clients", "--json", "--sort", "connected"))["clients"]
            self.assertEqual(len(clients), 1)
            self.assertIn(clients[0]["session"], self.shown("clients"))
            self.assertEqual(self.shown("kick", clients[0]["session"]), "kicked 1 client\n")
            self.assertEqual(client.wait_for_close(), (4115, "kicked"))

    def test_a_kick_of_a_name_that_is_not_there_kicks_nobody(self):
        self.assertEqual(self.shown("kick", "--name", "nobody"), "kicked 0 clients\n")

    def test_reload_and_dump_say_what_they_did(self):
        self.assertRegex(self.shown("reload"), r"(?m)^applied within ")
        directory = pathlib.Path(self.shown("dump").splitlines()[0])
        self.addCleanup(run, ["rm", "-rf", str(directory)])
        self.assertTrue(list(directory.iterdir()))

    def test_health_finds_the_server_by_its_process(self):
        result = health("--pid", self.server.pid)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (DONE, "healthy: ok\n", ""))

    def test_the_socket_can_be_named(self):
        path = f"/dev/shm/ringcast-{self.server.pid}.ctl"
        self.assertEqual(ctl("loglevel", "--socket", path).stdout, "INFO\n")

    def test_with_several_servers_it_lists_them(self):
        with Server() as other:
            result = ctl("stats")
            self.assertEqual((result.returncode, result.stdout), (USAGE, ""))
            for pid in (self.server.pid, other.pid):
                self.assertIn(f"\n  --pid {pid}\n", result.stderr)


class WaitsAndStops(unittest.TestCase):
    def test_drain_waits_until_the_process_has_ended(self):
        """S67: ringcast ctl drain --wait, as a preStop hook."""
        with Server() as server, RawClient(server.port) as client:
            client.subscribe(["*"], ["quote"])
            result = ctl("drain", "--seconds", "0.5", "--wait", "--pid", server.pid)
            self.assertEqual((result.returncode, result.stderr), (DONE, ""))
            self.assertFalse(pathlib.Path(f"/proc/{server.pid}/exe").exists())  # A zombie has none.
            self.assertEqual(server.wait(), 0)

    def test_a_stopped_server_is_not_healthy(self):
        with Server() as server:
            server.signal(signal.SIGSTOP)
            tasks = pathlib.Path(f"/proc/{server.pid}/task")
            try:
                self.assertTrue(wait_until(lambda: all(") T " in (task / "stat").read_text()
                                                       for task in tasks.iterdir())))
                result = health("--timeout", "0.3", "--pid", server.pid)
            finally:
                server.signal(signal.SIGCONT)
            self.assertEqual((result.returncode, result.stdout), (FAILED, ""))
            self.assertIn("did not answer within 0.3 s", result.stderr)

    def test_a_killed_server_is_not_reached(self):
        server = Server().start()
        self.addCleanup(server.kill)
        server.signal(signal.SIGKILL)
        server.wait()
        self.addCleanup(server.counters_path().unlink, missing_ok=True)
        result = ctl("stats", "--pid", server.process.pid)
        self.assertEqual(result.returncode, NO_SERVER)
        # Another server that starts meanwhile removes the counters file.
        self.assertRegex(result.stderr, "has ended|no server has process ID")


if __name__ == "__main__":
    unittest.main()
