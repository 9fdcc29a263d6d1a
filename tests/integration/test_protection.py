"""What protects the server: each rule is provoked on a running server, and clients that are inside do
not notice it."""
import json
import os
import re
import select
import shutil
import socket
import unittest

from clients import HealthyClient, RawClient, request
from ptrace import StoppedThread
from server import CHECKOUT, Server, wait_until

MIB = 1024 * 1024
SECONDS = 60
RULES = ("memory_soft", "memory_hard", "descriptors", "lag", "connections")
FEED = ("--feed", "sim:symbols=50,rate=20000,types=quote")
QUIET_FEED = ("--feed", "sim:symbols=5,rate=100,types=quote")
SBE = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"


def protection(server, rule):
    """Its entry in /admin/alerts."""
    status, _, body = server.admin("/admin/alerts")
    assert status == 200, body
    found, = [entry for entry in json.loads(body)["protection"] if entry["rule"] == rule]
    return found


def metric(server, name, rule):
    page = server.admin("/metrics")[2]
    return float(re.search(rf'^{name}{{rule="{rule}"}} (\S+)$', page, re.M)[1])


def answer(server, timeout=10):
    """(status, Retry-After, body) of a handshake. The client leaves."""
    with RawClient(server.port, upgrade=False, timeout=timeout) as client:
        client.send(request())
        status = client.read_head()
        return status, client.header("Retry-After"), status != 101 and client.read_body().strip()


class ProtectionTestCase(unittest.TestCase):
    def wait_active(self, server, rule):
        self.assertTrue(wait_until(lambda: protection(server, rule)["active"], SECONDS),
                        server.admin("/admin/alerts")[2] + server.log())
        self.assertEqual(metric(server, "ringcast_protection_active", rule), 1)
        self.assertGreaterEqual(metric(server, "ringcast_protection_actions_total", rule), 1)
        self.assertIsNotNone(server.wait_for_line(f"protection {rule} begins: "), server.log())
        begins = [line for line in server.log_lines() if f"protection {rule} begins: " in line]
        self.assertEqual(len(begins), 1, server.log())
        self.assertRegex(begins[0], "WARNING .*(performance|latency|memory): protection ")

    def wait_over(self, server, rule):
        self.assertTrue(wait_until(lambda: not protection(server, rule)["active"], SECONDS),
                        server.admin("/admin/alerts")[2] + server.log())
        self.assertEqual(metric(server, "ringcast_protection_active", rule), 0)
        self.assertIsNotNone(server.wait_for_line(f"INFO .*: protection {rule} ends: "))

    def check_refused(self, server, words):
        """New connections are refused with the reason, and balancers go elsewhere."""
        status, retry_after, body = answer(server)
        self.assertEqual((status, int(retry_after)), (503, 5))
        self.assertIn(words, body)
        status, _, body = server.admin("/readyz")
        self.assertEqual((status, json.loads(body)["status"]), (503, "refusing"))
        self.assertIn(words, json.loads(body)["refusal"])
        self.assertIn("\nringcast_ready 0\n", server.admin("/metrics")[2])
        self.assertEqual(server.admin("/livez")[0], 200)

    def check_admitted(self, server):
        self.assertEqual(answer(server)[0], 101)
        self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 200, SECONDS))


class Rules(ProtectionTestCase):
    def test_nothing_is_active_by_default(self):
        """S90, S91: a healthy server is not protected from anything, and each rule has its metrics."""
        with Server(*QUIET_FEED) as server:
            for rule in RULES:
                self.assertFalse(protection(server, rule)["active"])
                self.assertEqual(metric(server, "ringcast_protection_active", rule), 0)
                self.assertEqual(metric(server, "ringcast_protection_actions_total", rule), 0)
            self.check_admitted(server)
            self.assertNotIn("protection", server.log())

    def test_the_soft_watermark_gives_memory_back_once_an_interval(self):
        """S41, S100: gc_threshold and gc_interval: a purge, and again after its cool-down."""
        with Server(*QUIET_FEED, "--memory-soft", "1m", "--gc-interval", "1") as server:
            self.wait_active(server, "memory_soft")
            self.assertTrue(wait_until(
                lambda: protection(server, "memory_soft")["actions"] >= 3, SECONDS))
            self.check_admitted(server)
        with Server(*QUIET_FEED, "--memory-soft", "1m") as server:
            self.wait_active(server, "memory_soft")
            self.assertEqual(protection(server, "memory_soft")["actions"], 1)

    def test_above_the_hard_watermark_new_connections_are_refused(self):
        """S41, S90: the memory grows by a second frame log while the server runs."""
        options = (*FEED, "--frame-log-bytes", "16m", "--max-connections", "20")
        client = {"types": ("quote",), "symbols": ("000001.SZ",)}
        with Server(*options) as server, HealthyClient(server.url(), **client) as healthy:
            healthy.check(self, frames=200)
            before = json.loads(server.admin("/stats")[2])["uptime_seconds"]
            self.assertTrue(wait_until(lambda: json.loads(server.admin("/stats")[2])["uptime_seconds"] > before + 2))
            own = protection(server, "memory_soft")["value"]  # at most a second old
        with Server(*options, "--memory-hard", f"{int(own) + 12}m") as server:
            with HealthyClient(server.url(), **client) as healthy:
                healthy.check(self)
                self.check_admitted(server)
                with RawClient(server.port, extra=SBE):
                    self.wait_active(server, "memory_hard")
                    self.check_refused(server, "short of memory")
                    healthy.check(self, frames=200)

    def test_without_descriptors_new_connections_are_refused_and_none_hangs(self):
        """S90, S91: admission control by descriptors."""
        if shutil.which("prlimit") is None:
            self.skipTest("SKIPPED: prlimit is not installed")
        with Server(*QUIET_FEED, prefix=("prlimit", "--nofile=80:80")) as server:
            line = server.wait_for_line(r"limit of open files is 80: the server serves \d+ clients")
            places = int(re.search(r"serves (\d+) clients", line)[1])
            with HealthyClient(server.url(), types=("quote",)) as healthy:
                healthy.check(self)
                inside = [RawClient(server.port) for _ in range(places - 1)]
                for client in inside:
                    client.next_message(("WELCOME",))
                for _ in range(3 * places):
                    self.assertEqual(answer(server)[0], 503)
                self.wait_active(server, "descriptors")
                self.check_refused(server, "no file descriptors left")
                healthy.check(self)
                for client in inside:
                    client.close()
                self.wait_over(server, "descriptors")
                self.check_admitted(server)
                healthy.check(self)

    def test_a_core_that_is_far_behind_stops_admission(self):
        """S90, S91: admission control by lag. The other core goes on."""
        with Server(*FEED, "--cores", "2", "--frame-log-bytes", "1m",
                    "--watchdog-seconds", "0") as server:
            healthy = wait_until(lambda: self.client_of_core_0(server), SECONDS)
            healthy.subscribe(["000001.SZ"], ["quote"])
            with StoppedThread(server.pid, "core-1") as thread:
                thread.stop()
                self.wait_active(server, "lag")
                self.assertTrue(wait_until(lambda: self.is_refused_by_core_0(server), SECONDS))
                status, _, body = server.admin("/readyz")
                self.assertEqual((status, json.loads(body)["status"]), (503, "refusing"))
                for _ in range(100):
                    healthy.next_message(("quote",))
            self.wait_over(server, "lag")
            self.check_admitted(server)
            # S72: what was lost meanwhile.
            self.assertIsNotNone(server.wait_for_line(
                "WARNING .*performance: .* a core fell a whole frame log behind", SECONDS))
            healthy.close()

    def client_of_core_0(self, server):
        client = RawClient(server.port)
        client.next_message(("WELCOME",))
        cores = server.stats()["cores"]
        if cores[0]["conns_streaming"] == 1:
            return client
        client.close()
        wait_until(lambda: server.stats()["connections"]["open"] == 0, SECONDS)
        return None

    def is_refused_by_core_0(self, server):
        """A connection that the stopped core is to accept gets no answer."""
        try:
            status, _, body = answer(server, timeout=0.5)
        except (TimeoutError, socket.timeout):
            return False
        self.assertEqual(status, 503)
        self.assertIn("behind with its clients", body)
        return True

    def test_near_the_limit_of_connections_idle_clients_leave_sooner(self):
        """S90, S91, S41 (cleanup_interval): clients without a subscription give way to others."""
        with Server(*QUIET_FEED, "--max-connections", "10", "--cleanup-interval", "1") as server:
            with HealthyClient(server.url(), types=("quote",)) as healthy:
                healthy.check(self)
                idle = [RawClient(server.port, timeout=SECONDS) for _ in range(6)]
                self.assertFalse(protection(server, "connections")["active"])
                idle += [RawClient(server.port, timeout=SECONDS) for _ in range(2)]
                for client in idle:
                    client.next_message(("WELCOME",))
                self.assertIsNotNone(server.wait_for_line("protection connections begins"))
                self.wait_over(server, "connections")
                left = select.select([client.socket for client in idle], [], [], 0)[0]
                self.assertTrue(left, "it ended without that anyone left")
                for client in idle:
                    if client.socket in left:
                        self.assertEqual(client.wait_for_close()[0], 4114)
                    client.close()
                self.assertGreaterEqual(
                    metric(server, "ringcast_protection_actions_total", "connections"), 1)
                healthy.check(self)
                # As long as they are few, they may be idle for --idle-timeout.
                with RawClient(server.port) as guest:
                    guest.next_message(("WELCOME",))
                    healthy.check(self, frames=200)
                    guest.ask('{"type":"PING"}', ("PONG",))


class Documents(unittest.TestCase):
    def test_the_page_names_each_rule_and_only_metrics_that_exist(self):
        """S90, S93, S97 to S104: docs/protection.md answers each; Alertmanager notifies people."""
        page = (CHECKOUT / "docs" / "protection.md").read_text()
        for word in (*RULES, "Alertmanager", "/admin/alerts", "slab", "thread per core"):
            self.assertIn(word, page)
        with Server(*QUIET_FEED) as server:
            metrics = server.admin("/metrics")[2]
            for name in set(re.findall(r"ringcast_[a-z_]+", page)):
                self.assertIn(f"# TYPE {name} ", metrics)

    def test_each_core_shows_how_many_connections_it_has(self):
        """S102: the balance of the cores."""
        with Server(*QUIET_FEED, "--cores", "2") as server:
            clients = [RawClient(server.port) for _ in range(10)]
            for client in clients:
                client.next_message(("WELCOME",))
            page = server.admin("/metrics")[2]
            counts = [int(count) for count in re.findall(
                r'^ringcast_connections_active{core="\d"} (\d+)$', page, re.M)]
            self.assertEqual((len(counts), sum(counts)), (2, 10), page)
            for client in clients:
                client.close()


if __name__ == "__main__":
    unittest.main()
