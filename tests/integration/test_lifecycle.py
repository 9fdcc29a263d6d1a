"""Start and stop: options, variables, taken ports, limits of the host, signals, ways to run."""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from clients import HealthyClient, RawClient, request, subscribe_message
from server import (SANITIZER_WORDS, Server, ServerTestCase, as_ordinary_user, clean_environment,
                    left_behind, program, reap, run, spawn, wait_until, within)

FEED = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")
PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0")


def refuse(case, *arguments, env=None, prefix=(), seconds=20):
    """Runs a ringcast that is to refuse its arguments; returns what it said, in one string."""
    result = run([*prefix, program("ringcast"), *map(str, arguments)], seconds=seconds,
                 env=clean_environment(env))
    case.assertNotEqual(result.returncode, 0, result.stderr)
    case.assertGreater(result.returncode, 0, f"ended by a signal:\n{result.stderr}")
    for word in SANITIZER_WORDS:
        case.assertNotIn(word, result.stderr)
    return result.returncode, result.stderr


class Options(unittest.TestCase):
    def test_an_unknown_option_names_the_nearest_one(self):
        code, text = refuse(self, "--frame-log-byte", "1m")
        self.assertIn("--frame-log-bytes", text)
        self.assertIn("unknown option", text)
        self.assertEqual(code, 2)

    def test_an_unknown_feed_key_names_the_nearest_one(self):
        _, text = refuse(self, *PORTS, "--feed", "sim:symbls=3")
        self.assertIn("symbls", text)
        self.assertIn("symbols", text)

    def test_an_unknown_feed_names_the_nearest_one(self):
        _, text = refuse(self, *PORTS, "--feed", "replai:path=/dev/null")
        self.assertIn("replai", text)
        self.assertIn("replay", text.replace("replai", ""))

    def test_a_bad_value_says_what_is_valid(self):
        for arguments, words in (
                (("--port", "70000"), ("--port", "70000", "65535")),
                (("--port", "-1"), ("--port", "65535")),
                (("--max-connections", "0"), ("--max-connections", "1 to")),
                (("--log-level", "LOUD"), ("--log-level", "INFO")),
                (("--frame-log-bytes", "1000000"), ("--frame-log-bytes", "power of two")),
                (("--heartbeat-interval", "nan"), ("--heartbeat-interval", "seconds")),
                (("--feed", "sim:rate=fast"), ("rate", "fast")),
                (("--feed", "sim:types=quote+tick"), ("tick", "quote, trade, bar or depth")),
                (("--port",), ("--port", "missing"))):
            with self.subTest(arguments):
                _, text = refuse(self, *arguments)
                for word in words:
                    self.assertIn(word, text)

    def test_more_cores_than_there_are_is_an_error(self):
        _, text = refuse(self, "--cores", "99")
        self.assertIn("--cores", text)
        self.assertIn("99", text)

    def test_a_host_that_is_none_of_ours_is_an_error(self):
        code, text = refuse(self, "--host", "203.0.113.7", "--port", "0", "--admin-port", "0")
        self.assertIn("203.0.113.7", text)
        self.assertIn("not an address of this machine", text)
        self.assertEqual(code, 1)

    def test_help_and_version_need_nothing_else(self):
        text = run([program("ringcast"), "--help"]).stdout
        for word in ("--port", "--feed", "--cores", "stat", "access", "exit-codes"):
            self.assertIn(word, text)
        result = run([program("ringcast"), "--version"])
        self.assertRegex(result.stdout, r"^ringcast \d+\.\d+\.\d+")
        self.assertEqual(result.returncode, 0)

    def test_variables_set_what_options_do_not(self):
        variables = {"WEBSOCKET_HOST": "127.0.0.1", "WEBSOCKET_PORT": "0", "MAX_CONNECTIONS": "7",
                     "MAX_SUBSCRIPTIONS_PER_CLIENT": "3", "LOG_LEVEL": "debug",
                     "REDIS_HOST": "redis", "CONSUL_HOST": "consul"}
        with Server("--admin-port", "0", *FEED, env=variables, ports=False) as server:
            self.assertEqual(server.stats()["connections"]["max_connections"], 7)
            self.assertIsNotNone(server.wait_for_line("REDIS_HOST.*ignored"))
            self.assertIsNotNone(server.wait_for_line("CONSUL_HOST.*ignored"))
            with RawClient(server.port) as client:
                symbols = ["000001.SZ", "600519.SH", "300750.SZ", "AAPL.US"]
                verdicts = client.subscribe(symbols, ["quote"])["data"]
                self.assertEqual(len(verdicts["ok"]), 3)
                self.assertEqual([item["code"] for item in verdicts["failed"]], [122])

    def test_options_come_before_variables(self):
        with Server("--max-connections", "9", *FEED, env={"MAX_CONNECTIONS": "7"}) as server:
            self.assertEqual(server.stats()["connections"]["max_connections"], 9)

    def test_a_bad_variable_is_named(self):
        _, text = refuse(self, env={"WEBSOCKET_PORT": "http"})
        self.assertIn("WEBSOCKET_PORT", text)

    def test_port_0_is_told_in_the_log(self):
        with Server(*FEED) as server:
            self.assertGreater(server.port, 0)
            self.assertGreater(server.admin_port, 0)
            with RawClient(server.port) as client:
                client.next_message(("WELCOME",))


class TakenPorts(unittest.TestCase):
    def test_a_taken_port_is_refused_with_what_to_do(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            code, text = refuse(self, "--host", "127.0.0.1", "--port", port, "--admin-port", 0)
        self.assertEqual(code, 1)
        self.assertIn(str(port), text)
        self.assertIn("choose another port", text)
        self.assertIn("a second ringcast needs its own --port and --admin-port", text)

    def test_the_port_of_another_ringcast_is_refused_although_its_cores_share_it(self):
        for cores in (1, min(2, os.cpu_count())):
            with self.subTest(cores=cores), Server(*FEED, "--cores", cores) as server:
                code, text = refuse(self, "--host", "127.0.0.1", "--port", server.port,
                                    "--admin-port", 0, "--cores", cores)
                self.assertEqual(code, 1)
                self.assertIn(str(server.port), text)
                self.assertIn("another ringcast", text)
                with RawClient(server.port) as client:
                    client.next_message(("WELCOME",))

    def test_a_taken_admin_port_is_refused_with_what_to_do(self):
        with Server(*FEED) as server:
            code, text = refuse(self, "--host", "127.0.0.1", "--port", 0, "--admin-port",
                                server.admin_port)
        self.assertEqual(code, 1)
        self.assertIn(str(server.admin_port), text)
        self.assertIn("--admin-port", text)


SECCOMP_RUNNER = r"""
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number, code = int(sys.argv[1]), int(sys.argv[2])
def instruction(op, jt, jf, k):
    return struct.pack("HBBI", op, jt, jf, k)
program = (instruction(0x20, 0, 0, 0)                     # A = the system call's number
           + instruction(0x15, 0, 1, number)              # is it this one?
           + instruction(0x06, 0, 0, 0x00050000 | code)   # then fail with the code
           + instruction(0x06, 0, 0, 0x7fff0000))         # else allow
buffer = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
filter = Program(len(program) // 8, ctypes.addressof(buffer))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[3], sys.argv[3:])
"""
IO_URING_SETUP = 425
MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}


def forbidden(call, code):
    return ("/usr/bin/python3", "-c", SECCOMP_RUNNER, str(call), str(code))


class HostLimits(unittest.TestCase):
    def test_io_uring_forbidden_by_seccomp_is_told_with_what_to_do(self):
        for number, name in ((1, "EPERM"), (38, "ENOSYS")):
            with self.subTest(name):
                code, text = refuse(self, *PORTS, *FEED, prefix=forbidden(IO_URING_SETUP, number))
                self.assertEqual(code, 1, text)
                self.assertIn("io_uring", text)
                self.assertIn("seccomp", text)
                if name == "EPERM":
                    self.assertIn("kernel.io_uring_disabled", text)

    def test_shared_memory_forbidden_by_seccomp_is_told_with_what_to_do(self):
        for number, name in ((1, "EPERM"), (38, "ENOSYS"), (13, "EACCES")):
            with self.subTest(name):
                code, text = refuse(self, *PORTS, *FEED,
                                    prefix=forbidden(MEMFD_CREATE[os.uname().machine], number))
                self.assertEqual(code, 1, text)
                self.assertIn("memfd_create", text)
                self.assertIn("seccomp", text)

    def test_little_lockable_memory_as_an_ordinary_user_works_or_says_what_to_do(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            os.chmod(folder, 0o755)
            binary = shutil.copy(program("ringcast"), folder)
            os.chmod(binary, 0o755)
            server = Server(*FEED, binary=binary, prefix=(
                "prlimit", "--memlock=65536:65536", *as_ordinary_user()))
            server.start(wait=False)
            try:
                self.assertTrue(wait_until(lambda: server.process.poll() is not None
                                           or "listening" in server.log(), 20), server.log())
                if server.process.poll() is None:
                    port = int(server.wait_for_line("listening on").split(", admin")[0]
                               .rpartition(":")[2])
                    with RawClient(port) as client:
                        client.next_message(("WELCOME",))
                    server.stop()
                else:
                    self.assertEqual(server.wait(), 1)
                    self.assertIn("memlock", server.log().lower().replace("ulimit -l", "memlock"))
            finally:
                server.kill()

    def test_the_load_generator_works_or_says_what_to_do_too(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder, Server(*FEED) as server:
            os.chmod(folder, 0o755)
            binary = shutil.copy(program("ringcast-bench"), folder)
            os.chmod(binary, 0o755)
            for threads in (1, 4):
                done = run(["prlimit", "--memlock=524288:524288", *as_ordinary_user(), binary,
                            "-c", "8", "-t", str(threads), "-d", "0.5", server.url()])
                # 3: it ran, and one of the two stood still for that half second.
                if done.returncode not in (0, 3):
                    self.assertIn("memlock", done.stderr.lower().replace("ulimit -l", "memlock"))

    def test_too_little_memory_for_the_frame_log_is_told_with_what_to_do(self):
        code, text = refuse(self, *PORTS, *FEED, "--frame-log-bytes", "64g")
        self.assertEqual(code, 1)
        self.assertIn("--frame-log-bytes", text)


class Signals(unittest.TestCase):
    def end_with(self, number):
        with Server(*FEED) as server:
            clients = [RawClient(server.port) for _ in range(3)]
            for client in clients[1:]:
                client.subscribe(["*"], ["quote", "trade"])
            idle = socket.create_connection(("127.0.0.1", server.port))  # never sends its request
            self.assertTrue(wait_until(lambda: server.core_sum("conns_open") == 4))
            begin = time.monotonic()
            server.signal(number)
            for client in clients:
                code, _ = client.wait_for_close()
                self.assertEqual(code, 4201)
                client.close()
            code = server.wait()
            seconds = time.monotonic() - begin
            self.assertEqual(code, 0, server.log())
            self.assertEqual(left_behind(server.process.pid), [])
            server.check_sanitizers()
            idle.close()
        return seconds

    def test_sigterm_ends_within_two_seconds_and_clients_are_told_4201(self):
        within(2, lambda: self.end_with(signal.SIGTERM))

    def test_sigint_ends_within_two_seconds_and_clients_are_told_4201(self):
        within(2, lambda: self.end_with(signal.SIGINT))

    def test_it_ends_within_two_seconds_although_a_client_does_not_read(self):
        within(2, self.end_beside_a_client_that_does_not_read)

    def end_beside_a_client_that_does_not_read(self):
        with Server("--feed", "sim:symbols=20,rate=20000", "--send-buffer-bytes", "16k") as server:
            client = RawClient(server.port, receive_buffer=4096)
            client.send_text(subscribe_message(["*"], ["quote"]))
            server.wait_until_blocked()
            begin = time.monotonic()
            server.signal(signal.SIGTERM)
            code = server.wait()
            seconds = time.monotonic() - begin
            self.assertEqual(code, 0, server.log())
            client.close()
        return seconds

    def test_a_machine_that_stands_still_while_it_ends_is_not_the_threads_fault(self):
        with Server(*FEED, "--drain-timeout", "0") as server:
            client = RawClient(server.port)  # holds the end up: it never answers the Close
            server.signal(signal.SIGTERM)
            self.assertIsNotNone(server.wait_for_line("stopping: closing the remaining clients"))
            server.signal(signal.SIGSTOP)
            time.sleep(2.5)
            server.signal(signal.SIGCONT)
            self.assertEqual(server.wait(), 0, server.log())
            client.close()

    def test_a_second_signal_ends_at_once(self):
        # The server may be done before the second signal: then it is tried again.
        for _ in range(6):
            with Server("--feed", "sim:symbols=20,rate=20000", "--send-buffer-bytes",
                        "16k") as server:
                client = RawClient(server.port, receive_buffer=4096)  # holds the end up: it never
                client.send_text(subscribe_message(["*"], ["quote"]))  # answers the Close
                server.wait_until_blocked()
                server.signal(signal.SIGTERM)
                server.wait_for_line("SIGTERM received")
                time.sleep(0.22)
                begin = time.monotonic()
                server.signal(signal.SIGTERM)
                server.wait()
                seconds = time.monotonic() - begin
                client.close()
                self.assertEqual(left_behind(server.process.pid), [])
                if "second signal" in server.log() and seconds < 1.5:
                    return
        self.fail(f"no second signal was ever seen:\n{server.log()}")

    def test_a_killed_server_restarts_on_the_same_port_at_once(self):
        with Server(*FEED) as server:
            port = server.port
            clients = [RawClient(port) for _ in range(5)]
            server.process.kill()
            server.process.wait()
        left_behind = server.counters_path()
        with Server(*FEED, port=port) as again:
            self.assertEqual(again.port, port)
            with RawClient(port) as client:
                client.subscribe(["*"], ["quote"])
            self.assertFalse(left_behind.exists(), "a start removes what a dead one left")
        for client in clients:
            client.close()

    def test_a_server_that_closed_its_clients_first_restarts_on_the_same_port_at_once(self):
        with Server(*FEED) as server:
            port = server.port
            clients = [RawClient(port) for _ in range(5)]
            server.signal(signal.SIGTERM)
            for client in clients:
                client.wait_for_close()
            self.assertEqual(server.wait(), 0)
        with Server(*FEED, port=port) as again:
            with RawClient(again.port) as client:
                client.next_message(("WELCOME",))
        for client in clients:
            client.close()


CLIENTS_TO_KILL = r"""
import sys, time
sys.path.insert(0, sys.argv[1])
from clients import RawClient, subscribe_message
clients = [RawClient(int(sys.argv[2])) for _ in range(20)]
for client in clients:
    client.send_text(subscribe_message(["*"], ["quote", "trade"]))
print("ready", flush=True)
time.sleep(60)
"""


class KilledClients(ServerTestCase):
    def test_clients_that_are_killed_are_forgotten_and_disturb_nobody(self):
        with HealthyClient(self.server.url()) as healthy:
            child = spawn([sys.executable, "-c", CLIENTS_TO_KILL,
                           str(pathlib.Path(__file__).parent), str(self.server.port)],
                          stdout=subprocess.PIPE)
            try:
                self.assertEqual(child.stdout.readline(), b"ready\n")
                self.assertEqual(self.server.stats()["connections"]["active_connections"], 21)
                healthy.check(self)
                child.kill()
                child.wait()
                self.assertTrue(wait_until(
                    lambda: self.server.stats()["connections"]["open"] == 1), self.server.stats())
                healthy.check(self)
            finally:
                child.stdout.close()
                reap(child)


class WaysToRun(unittest.TestCase):
    def serve_all(self, *options, clients=3):
        with Server(*FEED, *options) as server:
            healthy = [HealthyClient(server.url()) for _ in range(clients)]
            for client in healthy:
                client.start()
            for client in healthy:
                self.assertTrue(client.ready.wait(20))
            for client in healthy:
                client.check(self, frames=200)
            stats = server.stats()
            self.assertEqual(stats["connections"]["active_connections"], clients)
            for client in healthy:
                client.stopping = True
            for client in healthy:
                client.join(10)
                self.assertEqual(len(client.tracker.names), 80)
        return stats

    def test_one_core_with_its_publisher_inline_serves_all(self):
        stats = self.serve_all()
        self.assertEqual(stats["publisher"]["mode"], "inline")
        self.assertEqual(len(stats["cores"]), 1)

    def test_a_publisher_on_a_thread_of_its_own_serves_all(self):
        stats = self.serve_all("--publisher", "thread")
        self.assertEqual(stats["publisher"]["mode"], "thread")

    def test_two_cores_serve_all(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("SKIPPED: this machine has one CPU")
        stats = self.serve_all("--cores", "2", clients=8)
        self.assertEqual(len(stats["cores"]), 2)

    def test_busy_poll_serves_all(self):
        self.serve_all("--busy-poll")

    def test_max_connections_holds_for_all_cores_together(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("SKIPPED: this machine has one CPU")
        with Server(*FEED, "--cores", "2", "--max-connections", "4") as server:
            guests = [RawClient(server.port) for _ in range(4)]
            for _ in range(6):
                with self.assertRaisesRegex(ConnectionError, "503"):
                    RawClient(server.port)
            for guest in guests:
                guest.close()
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0))
            for guest in [RawClient(server.port) for _ in range(4)]:
                guest.close()

    def test_ipv6_is_served(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("SKIPPED: this machine has no IPv6")
        with Server(*FEED, host="::1") as server:
            with HealthyClient(f"ws://[::1]:{server.port}/") as healthy:
                healthy.check(self, frames=50)

    def test_a_feed_without_end_at_full_speed_keeps_nobody_from_being_heard(self):
        for options in (("--feed", "sim:symbols=1000,rate=100000000"),
                        ("--feed", "sim:symbols=1000,rate=100000000", "--publisher", "thread")):
            with self.subTest(options), Server(*options) as server:
                with RawClient(server.port) as client:
                    client.send_text(subscribe_message(["*"], ["quote"]))
                    client.next_message(("quote",))
                    with RawClient(server.port) as other:
                        other.ask({"type": "PING"}, ("PONG",))
                    self.assertEqual(server.admin("/health")[0], 200)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, "its threads end, within 2 s")

    @unittest.skipIf(os.environ.get("RINGCAST_SANITIZED"), "the sanitizer's own memory grows")
    def test_two_thousand_connections_one_after_the_other_leave_no_memory_behind(self):
        def resident():
            return server.stats()["memory"]["resident_bytes"]

        def come_and_go(count):
            for _ in range(count):
                with RawClient(server.port) as client:
                    client.send_text(subscribe_message(["*", "*.SZ", "AAPL.US"], ["quote", "trade"]))
                    client.next_message(("SUBSCRIBED",))
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0))
        with Server(*FEED, "--frame-log-bytes", "1m") as server:
            come_and_go(300)
            before = resident()
            come_and_go(2000)
            self.assertLess(resident() - before, 2 << 20)

    def test_a_unix_socket_has_the_same_frames_as_tcp(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = f"{folder}/feed.sock"
            with Server(*FEED, "--unix", path) as server:
                self.assertIsNotNone(server.wait_for_line(f"unix:{path}"))
                frames = {}
                with RawClient(path) as near, RawClient(server.port) as far, \
                        HealthyClient("ws://localhost/", unix=path) as healthy:
                    for client in (near, far):
                        client.subscribe(["*"], ["quote", "trade", "bar", "depth"], snapshot=False,
                                         delivery={"on_lag": "skip"})
                    healthy.check(self, frames=200)
                    # The near one was subscribed first: it has all that the far one has.
                    for client in (far, near):
                        seen = frames[client] = {}
                        while len(seen) < 200 or frames[far].keys() - seen.keys():
                            opcode, payload = client.next_frame()
                            if payload.startswith(b'{"type":"') and b'"seq":' in payload[:120]:
                                end = payload.index(b',"ts_')
                                seen[payload[:end]] = payload
                    for key in frames[far]:
                        self.assertEqual(frames[near][key], frames[far][key])
            self.assertFalse(os.path.exists(path), "the socket is removed at the end")

    def test_a_unix_socket_that_a_dead_server_left_is_taken_over(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = f"{folder}/feed.sock"
            with Server(*FEED, "--unix", path) as server:
                server.process.kill()
                server.process.wait()
            self.assertTrue(os.path.exists(path))
            with Server(*FEED, "--unix", path):
                with RawClient(path) as client:
                    client.next_message(("WELCOME",))

    def test_a_unix_socket_that_another_ringcast_serves_is_refused(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = f"{folder}/feed.sock"
            with Server(*FEED, "--unix", path):
                code, text = refuse(self, *PORTS, "--unix", path)
                self.assertEqual(code, 1)
                self.assertIn(path, text)
                with RawClient(path) as client:
                    client.next_message(("WELCOME",))

    def test_log_lines_can_be_json(self):
        import json
        with Server(*FEED, "--log-format", "json") as server:
            with RawClient(server.port) as client:
                client.next_message(("WELCOME",))
            server.wait_for_line("Client.*disconnected")
            for line in server.log_lines():
                self.assertIn("level", json.loads(line))

    def test_the_log_tells_who_connects_and_leaves(self):
        with Server(*FEED) as server:
            with RawClient(server.port) as client:
                client.next_message(("WELCOME",))
                self.assertIsNotNone(server.wait_for_line("Client.*connected"))
            self.assertIsNotNone(server.wait_for_line("Client.*disconnected"))


if __name__ == "__main__":
    unittest.main()
