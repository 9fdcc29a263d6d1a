"""The admin server: health, readiness, statistics, metrics, and a real Prometheus that reads them."""
import base64
import hashlib
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

from clients import HealthyClient, RawClient
from server import ServerTestCase, reap, run, spawn, wait_until


class Admin(ServerTestCase):
    options = (*ServerTestCase.options, "--metrics-host", "127.0.0.1", "--metrics-port", "0")

    def json_of(self, path, status=200):
        got, headers, body = self.server.admin(path)
        self.assertEqual(got, status, body)
        self.assertIn("application/json", headers["Content-Type"])
        return json.loads(body)

    def test_health_and_livez_answer_ok(self):
        for path in ("/health", "/livez"):
            self.assertEqual(self.json_of(path)["status"], "ok")

    def test_ready_and_readyz_answer_yes(self):
        for path in ("/ready", "/readyz"):
            self.assertTrue(wait_until(lambda: self.server.admin(path)[0] == 200))
            self.assertIs(self.json_of(path)["ready"], True)

    def test_curl_gets_health_and_stats(self):
        for path in ("/health", "/stats"):
            result = run(["curl", "-sS", "-f", f"http://127.0.0.1:{self.server.admin_port}{path}"])
            self.assertEqual(result.returncode, 0, result.stderr)
            json.loads(result.stdout)

    def test_stats_has_the_keys_that_scripts_use(self):
        with RawClient(self.server.port) as one, RawClient(self.server.port):
            one.subscribe(["*"], ["quote", "trade"])
            self.assertTrue(wait_until(lambda: self.clients_counted() == (2, 2)), self.clients_counted())
            self.server.wait_for_ticks(1)
            stats = self.json_of("/stats")
            for key in ("connections", "message_queue", "memory"):
                self.assertIsInstance(stats[key], dict)
            self.assertGreater(stats["message_queue"]["frames_published"], 0)
            self.assertGreater(stats["memory"]["resident_bytes"], 0)
            for key in ("timestamp", "cpu_percent", "memory_percent", "memory_used_mb",
                        "memory_available_mb", "disk_usage_percent", "disk_free_gb",
                        "network_bytes_sent", "network_bytes_recv", "active_connections",
                        "load_average"):
                self.assertIn(key, stats["system"])
            for key in ("active_users", "total_messages", "messages_per_minute",
                        "response_time_avg", "error_rate"):
                self.assertIn(key, stats["application"])
        self.assertTrue(wait_until(lambda: self.clients_counted() == (0, 0)), self.clients_counted())

    def clients_counted(self):
        """(clients, subscriptions), which the core tells once a turn."""
        connections = self.json_of("/stats")["connections"]
        return connections["active_connections"], connections["subscriptions"]

    def test_stats_add_up(self):
        def sums():
            stats = self.json_of("/stats")
            connections = stats["connections"]
            return connections["accepted"], connections["closed"], stats["cores"][0]["frames_out"]
        # The client of the test before may still be there.
        self.assertTrue(wait_until(lambda: self.clients_counted() == (0, 0)), self.clients_counted())
        accepted, closed, frames = sums()
        with HealthyClient(self.server.url()) as healthy:
            healthy.check(self, frames=100)
        self.assertTrue(wait_until(lambda: sums()[1] == closed + 1))
        after = sums()
        self.assertEqual(after[0], accepted + 1)
        self.assertGreaterEqual(after[2] - frames, healthy.tracker.frames)
        self.assertEqual(self.json_of("/stats")["message_queue"]["frames_lost"], 0)

    def test_the_root_lists_the_paths_and_each_of_them_answers(self):
        status, headers, text = self.server.admin("/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
        paths = [line.split()[0] for line in text.splitlines()]
        self.assertTrue(wait_until(lambda: self.server.admin("/ready")[0] == 200))
        self.assertEqual([self.server.admin(path)[0] for path in paths], [200] * len(paths))
        self.assertEqual(self.json_of("/nothing", 404)["paths"], paths)
        status, headers, page = self.server.admin("/", headers={"Accept": "text/html,*/*;q=0.8"})
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(re.findall(r'<a href="([^"]*)">', page), paths)

    def test_a_page_loads_nothing_and_runs_only_what_is_in_it(self):
        for path, connects_to in (("/", None), ("/play", "'self' ws: wss:"), ("/admin/ui", "'self'")):
            with self.subTest(path):
                _, headers, page = self.server.admin(path, headers={"Accept": "text/html"})
                self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
                policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
                self.assertEqual(policy["default-src"], "'none'")
                self.assertEqual(policy.get("connect-src"), connects_to)
                for element in ("style", "script"):
                    texts = re.findall(rf"<{element}[^>]*>(.*?)</{element}>", page, re.DOTALL)
                    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                              for text in texts]
                    self.assertEqual(policy.get(f"{element}-src", "").split(),
                                     [f"'sha256-{text}'" for text in hashes])
                self.assertNotRegex(page, r"""\s(src|style|on\w+)=""")
                self.assertNotRegex(page, r"https?://|innerHTML")

    def test_an_unknown_path_is_404_and_another_method_405(self):
        self.assertEqual(self.server.admin("/nothing")[0], 404)
        status, headers, _ = self.server.admin("/health", method="POST")
        self.assertEqual(status, 405)
        self.assertIn("GET", headers["Allow"])

    def test_a_browser_that_goes_to_the_wrong_port_is_told_so(self):
        result = run(["curl", "-s", f"http://127.0.0.1:{self.server.port}/"])
        self.assertIn("WebSocket", result.stdout)

    def test_promtool_finds_nothing_wrong_with_metrics(self):
        if shutil.which("promtool") is None:
            self.skipTest("SKIPPED: promtool (package prometheus) is not installed")
        status, headers, body = self.server.admin("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("text/plain", headers["Content-Type"])
        result = subprocess.run(["promtool", "check", "metrics"], input=body, text=True,
                                capture_output=True, timeout=30)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_a_client_of_the_admin_port_that_sends_nothing_blocks_nobody(self):
        silent = [socket.create_connection(("127.0.0.1", self.server.admin_port))
                  for _ in range(5)]
        try:
            for _ in range(5):
                self.assertEqual(self.server.admin("/health", seconds=5)[0], 200)
        finally:
            for client in silent:
                client.close()

    def test_two_hundred_half_requests_keep_no_scrape_out(self):
        """They say another byte again and again, so that none of them is ever idle for long."""
        halves = [self.half_request() for _ in range(200)]
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.2):
                for place, half in enumerate(halves):
                    try:
                        half.send(b"x")
                    except OSError:  # The server has ended it.
                        half.close()
                        halves[place] = self.half_request()

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            for _ in range(10):
                self.assertEqual(self.server.admin("/metrics", seconds=60)[0], 200)
        finally:
            stop.set()
            thread.join()
            for half in halves:
                half.close()

    def half_request(self):
        half = socket.create_connection(("127.0.0.1", self.server.admin_port), timeout=60)
        half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: ")
        return half

    def test_who_asks_again_stays_while_others_come_and_say_nothing(self):
        with socket.create_connection(("127.0.0.1", self.server.admin_port), timeout=60) as keeper:
            silent = []
            for _ in range(4):
                silent += [socket.create_connection(("127.0.0.1", self.server.admin_port), timeout=60)
                           for _ in range(30)]
                keeper.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    piece = keeper.recv(65536)
                    self.assertTrue(piece, "it was ended")
                    answer += piece
            for one in silent:
                one.close()

    def test_prometheus_scrapes_it_and_answers_queries(self):
        """S63, S81: the job websocket-server, at /metrics of the metrics port."""
        prometheus = shutil.which("prometheus")
        if prometheus is None:
            self.skipTest("SKIPPED: prometheus is not installed")
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder, \
                HealthyClient(self.server.url()) as healthy:
            config = pathlib.Path(folder, "prometheus.yml")
            config.write_text(
                "global: {scrape_interval: 1s}\n"
                "scrape_configs:\n"
                "  - job_name: websocket-server\n"
                "    metrics_path: /metrics\n"
                "    static_configs:\n"
                f"      - targets: ['127.0.0.1:{self.server.metrics_port}']\n")
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            process = spawn([prometheus, f"--config.file={config}",
                             f"--storage.tsdb.path={folder}/data",
                             f"--web.listen-address=127.0.0.1:{port}"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def query(expression):
                    try:
                        with urllib.request.urlopen(
                                f"http://127.0.0.1:{port}/api/v1/query?" +
                                urllib.parse.urlencode({"query": expression}), timeout=5) as answer:
                            result = json.load(answer)["data"]["result"]
                    except OSError:
                        return None
                    return float(result[0]["value"][1]) if result else None
                # A scrape of a server that is stopped fails, and what it told is gone until the next.
                def told(expression):
                    return query(expression) or 0
                self.assertTrue(wait_until(lambda: told("active_connections") == 1, 40, 0.2))
                self.assertTrue(wait_until(lambda: told('up{job="websocket-server"}') == 1, 40, 0.2))
                first = wait_until(lambda: told("sum(ringcast_frames_sent_total)"), 40, 0.2)
                self.assertGreater(first, 0)
                self.assertTrue(wait_until(
                    lambda: told("sum(ringcast_frames_sent_total)") > first, 40, 0.2))
                # One name has the stages of the publisher and of the cores.
                stages = "count(sum by (stage) (rate(ringcast_stage_seconds_count[1m])) > 0)"
                self.assertTrue(wait_until(lambda: told(stages) == 5, 40, 0.2), told(stages))
                healthy.check(self)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    pass
                reap(process)

    def test_metrics_are_cheap_enough_to_ask_often(self):
        begin = time.monotonic()
        for _ in range(20):
            self.server.admin("/metrics")
            self.server.admin("/stats")
        self.assertLess(time.monotonic() - begin, 20)


if __name__ == "__main__":
    unittest.main()
