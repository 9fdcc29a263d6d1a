"""A service of systemd: its units, notices in order, the watchdog, and sockets that are passed."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import tls_files
from clients import RawClient
from ptrace import StoppedThread
from server import CHECKOUT, Server, in_full, program, reap, run, spawn, wait_until
from systemd import NoticeSocket, passing

FEED = ("--feed", "sim:symbols=5,rate=200")
UNITS = CHECKOUT / "packaging/systemd"
UNIT = UNITS / "ringcast.service"
EXPOSURE_MAX = 2.0
LIMIT = 4  # seconds, of --watchdog-seconds


def listener(host="127.0.0.1", **options):
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, **options)


def accepts(address, seconds=0.2):
    """Whether a connection is answered, rather than waiting in the queue."""
    with socket.create_connection(address, 10) as connection:
        connection.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(seconds)
        try:
            return bool(connection.recv(1))
        except TimeoutError:
            return False


class Units(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.text = UNIT.read_text(encoding="utf8")

    def values(self, key):
        return re.findall(rf"(?m)^{key}=(.*)$", self.text)

    def test_its_command_and_variables_are_good(self):
        """S75: what the unit starts, checked with a file in place of that in /etc."""
        (command,), (reload,) = self.values("ExecStart"), self.values("ExecReload")
        words = shlex.split(command)
        self.assertEqual(pathlib.Path(words[0]).name, "ringcast")
        words[0], words[words.index("/etc/ringcast/ringcast.yaml")] = program("ringcast"), str(CHECKOUT / "docs/ringcast.yaml")
        variables = dict(value.split("=", 1) for value in self.values("Environment"))
        variables["RINGCAST_DUMP_DIR"] = str(self.folder)
        done = run([*words, "--check-config"], env={**os.environ, **variables}, cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (0, "configuration is good\n"), done.stderr)
        with Server(*FEED) as server:
            done = run([program("ringcast"), *shlex.split(reload.replace("$MAINPID", str(server.pid)))[1:]])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIsNotNone(server.wait_for_line("reloaded in"))

    @unittest.skipUnless(shutil.which("systemctl"), "SKIPPED: systemd is not installed")
    def test_systemctl_knows_it_by_both_names(self):
        """S75: systemctl status websocket-server"""
        units = self.folder / "etc/systemd/system"
        shutil.copytree(UNITS, units)
        done = run(["systemctl", f"--root={self.folder}", "enable", "ringcast.service"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(os.readlink(units / "websocket-server.service")).name, "ringcast.service")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "SKIPPED: systemd is not installed")
    def test_systemd_finds_no_fault_in_them(self):
        """S75, S130: systemd-analyze verify and security; the drop-in is part of the unit."""
        (self.folder / "ringcast.service.d").mkdir()
        shutil.copy(UNITS / "latency.conf", self.folder / "ringcast.service.d")
        unit, listening = self.folder / UNIT.name, self.folder / "ringcast.socket"
        unit.write_text(self.text.replace("/usr/local/bin/ringcast", program("ringcast")))
        shutil.copy(UNITS / listening.name, listening)
        done = run(["systemd-analyze", "verify", "--man=no", str(unit), str(listening)])
        self.assertEqual([line for line in done.stderr.splitlines() if "ringcast" in line], [], done.stderr)
        done = run(["systemd-analyze", "security", "--no-pager", "--offline=true",
                    f"--threshold={int(EXPOSURE_MAX * 10)}", str(unit)])
        level = float(re.search(r"Overall exposure level for ringcast.service: ([\d.]+)", done.stdout)[1])
        self.assertLessEqual(level, EXPOSURE_MAX, done.stdout)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = (CHECKOUT / "docs/systemd.md").read_text(encoding="utf8")
        self.assertIn(f"The exposure level is {level} of 10", page)

    def test_it_is_watched_as_the_page_says(self):
        """S141"""
        (seconds,) = self.values("WatchdogSec")
        self.assertIn(f"With `WatchdogSec={seconds}`", (CHECKOUT / "docs/systemd.md").read_text(encoding="utf8"))


class Notices(unittest.TestCase):
    """S75, S130: what `systemctl status` shows, and when units that wait for the server go on."""

    def test_a_start_a_reload_and_an_end_in_order(self):
        for is_abstract in (False, True):
            with self.subTest(is_abstract=is_abstract), NoticeSocket(is_abstract) as notices, \
                    tempfile.TemporaryDirectory() as folder:
                config = pathlib.Path(folder) / "ringcast.yaml"
                config.write_text("websocket:\n  max_connections: 10\nfeeds: [sim]\n")
                server = Server("--config", config, "--drain-timeout", "3", env=notices.env()).start()
                try:
                    self.assertIn("STATUS", notices.wait_for("READY"))
                    self.assertEqual(len(notices.messages), 1)  # It is ready before anything else is said.
                    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                    server.signal(signal.SIGHUP)
                    begun = notices.wait_for("RELOADING")
                    self.assertGreaterEqual(int(begun["MONOTONIC_USEC"]), before)
                    self.assertRegex(notices.wait_for("READY")["STATUS"], r"^0 clients, \d+ ticks published; reloaded$")
                    config.write_text("websocket:\n  max_connection: 10\n")
                    server.signal(signal.SIGHUP)
                    self.assertIsNotNone(notices.wait_for("RELOADING"))
                    self.assertIn("the last reload was refused", notices.wait_for("READY")["STATUS"])
                    server.stop()
                    ended = notices.wait_for("STOPPING")
                    self.assertGreaterEqual(int(ended["EXTEND_TIMEOUT_USEC"]), 3_000_000 + 2_000_000)
                    kinds = [name for message in notices.drain() for name in message
                             if name in ("READY", "RELOADING", "STOPPING")]
                    self.assertEqual(kinds, ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"])
                finally:
                    server.kill()

    def test_a_drain_by_an_operator_is_an_end_too(self):
        with NoticeSocket() as notices, Server(*FEED, env=notices.env()) as server:
            self.assertIsNotNone(notices.wait_for("READY"))
            self.assertEqual(server.admin("/admin/drain", method="POST", data=b"{}")[0], 200)
            self.assertIsNotNone(notices.wait_for("STOPPING"))
            self.assertEqual(server.wait(), 0)

    def test_a_reload_while_it_stops_is_no_return(self):
        with NoticeSocket() as notices, Server(*FEED, "--drain-timeout", "60", env=notices.env()) as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                server.signal(signal.SIGTERM)
                self.assertIsNotNone(notices.wait_for("STOPPING"))
                server.signal(signal.SIGHUP)
                self.assertIsNotNone(server.wait_for_line("reloaded in"))
            self.assertEqual(server.wait(), 0)
            kinds = [name for message in notices.drain() for name in message if name in ("READY", "RELOADING")]
            self.assertEqual(kinds, ["READY"])

    def test_a_start_that_fails_is_never_ready(self):
        with NoticeSocket() as notices, listener() as taken:
            server = Server("--port", taken.getsockname()[1], env=notices.env()).start(wait=False)
            self.assertEqual(server.wait(), 1)
            server.kill()
            self.assertEqual([m for m in notices.drain() if "READY" in m], [])

    def test_a_manager_that_is_not_there_is_a_warning(self):
        with Server(*FEED, env={"NOTIFY_SOCKET": "/nonexistent/notify"}) as server:
            self.assertIsNotNone(server.wait_for_line("WARNING.*the service manager cannot be notified: No such file"))

    def test_without_a_manager_nothing_is_said(self):
        with Server(*FEED) as server:
            self.assertIsNotNone(server.wait_for_line("engine io_uring"))
            self.assertNotIn("service manager", server.log())


class Watchdog(unittest.TestCase):
    """S141: fault detection and automatic recovery. systemd restarts a service without signs of life."""

    @in_full
    def test_signs_of_life_end_while_a_core_stands_still(self):
        with NoticeSocket() as notices, \
                Server(*FEED, "--cores", "2", "--watchdog-seconds", LIMIT,
                       env=notices.env(WATCHDOG_USEC="200000")) as server:
            for _ in range(3):
                self.assertIsNotNone(notices.wait_for("WATCHDOG"))
            with StoppedThread(server.pid, "core-1") as thread:
                thread.stop()
                self.assertIsNotNone(server.wait_for_line("core-1 has made no progress", 60))
                notices.drain()
                seen = len(notices.messages)
                self.assertIsNone(notices.wait_for("WATCHDOG", 1), notices.messages[seen:])
            self.assertIsNotNone(notices.wait_for("WATCHDOG"))

    def test_signs_of_life_are_for_the_process_that_is_asked(self):
        with NoticeSocket() as notices, \
                Server(*FEED, env=notices.env(WATCHDOG_USEC="200000", WATCHDOG_PID="1")) as server:
            self.assertIsNotNone(notices.wait_for("READY"))
            server.wait_for_ticks(200)
            self.assertEqual([m for m in notices.drain() if "WATCHDOG" in m], [])


class Activation(unittest.TestCase):
    """S130: systemd listens, and passes the sockets."""

    def test_sockets_of_each_purpose_are_used_and_outlive_the_server(self):
        with tempfile.TemporaryDirectory() as folder, listener() as clients, listener() as secured, \
                listener() as admin, listener() as metrics, socket.socket(socket.AF_UNIX) as local:
            path = f"{folder}/socket"
            local.bind(path)
            local.listen()
            clients.setblocking(False)
            for _ in range(2):  # The second server gets the sockets as the first one has left them.
                server = Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option,
                                "--metrics-port", "0", "--cores", "2", ports=False,
                                **passing([("ringcast", clients), ("ringcast-tls.socket", secured),
                                           ("ringcast-admin", admin), ("ringcast-metrics", metrics),
                                           ("ringcast.socket", local)]))
                with server:
                    self.assertEqual((server.port, server.admin_port, server.tls_port, server.metrics_port),
                                     tuple(one.getsockname()[1] for one in (clients, admin, secured, metrics)))
                    RawClient(server.port).close()
                    RawClient(path).close()
                    RawClient(server.tls_port, tls=tls_files.client_context()).close()
                    self.assertEqual(server.admin("/readyz", port=server.metrics_port)[0], 200)
                self.assertTrue(pathlib.Path(path).exists())

    def test_several_sockets_of_one_address_are_shared_out(self):
        with listener(reuse_port=True) as first, socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            second.bind(first.getsockname())
            second.listen()
            with Server(*FEED, "--cores", "2", "--admin-port", "0", ports=False,
                        **passing([("ringcast", first), ("ringcast", second)])) as server:
                held = []
                def both_serve():
                    held.append(RawClient(server.port))
                    return all(core["accepted"] > 0 for core in server.stats()["cores"]) or len(held) > 100
                self.assertTrue(wait_until(both_serve))
                self.assertLess(len(held), 100, server.stats()["cores"])
                for client in held:
                    client.close()

    @in_full
    def test_clients_of_a_drain_wait_for_the_next_server(self):
        """S75: a restart refuses nobody: who connects meanwhile is served by the server after it."""
        with listener() as clients:
            options = (*FEED, "--admin-port", "0", "--drain-timeout", "60")
            first = Server(*options, ports=False, **passing({"ringcast": clients})).start()
            try:
                with RawClient(first.port) as old:
                    first.signal(signal.SIGTERM)
                    self.assertIsNotNone(first.wait_for_line("draining: 1 client"))
                    self.assertTrue(wait_until(lambda: not accepts(clients.getsockname())))
                    with socket.create_connection(clients.getsockname(), 60) as early:
                        early.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
                        old.close()
                        self.assertEqual(first.wait(), 0)
                        with Server(*options, ports=False, **passing({"ringcast": clients})):
                            self.assertTrue(early.recv(100).startswith(b"HTTP/1.1 404"))
            finally:
                first.kill()

    def check_refused(self, words, sockets, *options, code=1):
        server = Server(*FEED, "--admin-port", "0", *options, ports=False, **passing(sockets)).start(wait=False)
        try:
            self.assertEqual(server.wait(), code, server.log())
            self.assertIn(words, server.log())
        finally:
            server.kill()

    @in_full
    def test_what_contradicts_the_configuration_is_refused(self):
        secured = ("--tls-port", "0", "--tls-certificate", tls_files.server().option)
        with listener() as one, listener() as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            for words, sockets, options, code in (
                    ("--port: 1 is not the port of the socket that the service manager passes, 127.0.0.1:"
                     f"{port}; give the same port in both places, or leave --port out", {"ringcast": one},
                     ("--port", "1"), 1),
                    ("is not an address of '127.0.0.2', which the configuration gives", {"ringcast": one},
                     ("--host", "127.0.0.2"), 1),
                    ("have different ports", {"ringcast": one, "ringcast.socket": other}, (), 1),
                    ("no port speaks TLS; give --tls-port", {"ringcast": one, "ringcast-tls": other}, (), 1),
                    ("no port is for metrics; give --metrics-port", {"ringcast": one, "ringcast-metrics": other}, (), 1),
                    ("there are more than 1 for one address", [("ringcast", one), ("ringcast", one)], (), 1),
                    ("its name is none of ringcast", {"web": one}, (), 2),
                    ("it is not a stream socket", {"ringcast": datagrams}, (), 2)):
                self.check_refused(words, sockets, *options, code=code)
            for options in (("--port", port, "--host", "127.0.0.1"), ("--port", "0", "--host", "localhost")):
                with Server(*FEED, "--admin-port", "0", *options, *secured, ports=False,
                            **passing({"ringcast": one})) as server:
                    self.assertEqual(server.port, port)

    def test_variables_for_another_process_are_ignored(self):
        with Server(*FEED, env={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}) as server:
            self.assertNotEqual(server.port, 0)

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "SKIPPED: systemd is not installed")
    def test_the_tool_of_systemd_starts_it_with_the_first_client(self):
        with listener() as free:
            port = free.getsockname()[1]
        tool = spawn(["systemd-socket-activate", "--listen", f"127.0.0.1:{port}", "--fdname", "ringcast",
                      program("ringcast"), *FEED, "--admin-port", "0"],
                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            self.assertTrue(wait_until(lambda: "Listening on" in tool.stderr.readline(), 20))
            RawClient(port, timeout=60).close()
            said = []
            while not said or " engine io_uring" not in said[-1]:
                said.append(tool.stderr.readline())
                self.assertNotEqual(said[-1], "", said)  # It has ended.
            self.assertRegex("".join(said), rf"listening on 127\.0\.0\.1:{port}, admin on")
            tool.send_signal(signal.SIGTERM)
            self.assertEqual(tool.wait(20), 0)
        finally:
            reap(tool)
