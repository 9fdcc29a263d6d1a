"""The metrics port: metrics and health for the network, and nothing else; and how many metrics there are."""
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from server import CHECKOUT, Server, ServerTestCase, program, run, wait_until

PATHS = ["/metrics", "/livez", "/readyz", "/health"]
ALIASES = ("cpu_usage_percent", "memory_usage_mb", "active_connections", "error_rate")
FAMILIES_MAX = 125
NEEDS_PROMTOOL = unittest.skipIf(shutil.which("promtool") is None,
                                 "SKIPPED: promtool (package prometheus) is not installed")


def families(text):
    return re.findall(r"^# TYPE (\S+) ", text, re.M)


def run_promtool(*arguments, page=None):
    return subprocess.run(["promtool", *arguments], input=page, capture_output=True, text=True, timeout=30,
                          check=False)


def labels(text):
    """The values of each label."""
    found = {}
    for name, value in re.findall(r'([a-z_]+)="([^"]*)"', text):
        found.setdefault(name, set()).add(value)
    return found


class MetricsPort(ServerTestCase):
    options = (*ServerTestCase.options, "--metrics-host", "127.0.0.1", "--metrics-port", "0")

    def metrics(self, path, **options):
        return self.server.admin(path, port=self.server.metrics_port, **options)

    def test_it_serves_four_paths_and_nothing_else(self):
        """S63, S116: GET :9090/metrics; the paths of the admin port are not there."""
        self.assertTrue(wait_until(lambda: self.metrics("/readyz")[0] == 200))
        for path in PATHS:
            self.assertEqual(self.metrics(path)[0], 200, path)
            self.assertEqual(self.metrics(path, method="HEAD")[0], 200, path)
        lists = (self.server.admin("/")[2] + self.server.admin("/admin")[2]).splitlines()
        others = {line.split()[0] for line in lists} - set(PATHS)
        self.assertIn("/admin/stats", others)
        for path in (*others, "/admin/none", "/none"):
            status, _, body = self.metrics(path)
            self.assertEqual((path, status, json.loads(body)["paths"]), (path, 404, PATHS))
            self.assertEqual(self.metrics(path, method="POST")[0], 404, path)

    def test_a_path_changes_nothing(self):
        for path in PATHS:
            status, headers, _ = self.metrics(path, method="POST")
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_the_names_of_older_alert_rules_are_here_only(self):
        """S79: cpu_usage_percent, memory_usage_mb, active_connections, error_rate."""
        text = self.metrics("/metrics")[2]
        for name in ALIASES:
            self.assertRegex(text, rf"(?m)^{name} \d")
            self.assertNotIn(name, families(self.server.admin("/metrics")[2]))
            self.assertNotIn(name, families(self.server.admin("/metrics?aliases=yes")[2]))
            self.assertNotIn(name, families(self.metrics("/metrics?aliases=no")[2]))
        self.assertEqual(set(families(text)) - set(ALIASES), set(families(self.server.admin("/metrics")[2])))

    @NEEDS_PROMTOOL
    def test_promtool_finds_nothing_wrong(self):
        for text in (self.server.admin("/metrics")[2], self.metrics("/metrics?aliases=no")[2]):
            done = run_promtool("check", "metrics", page=text)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_many_idle_clients_keep_nobody_out_of_the_admin_port(self):
        """S117: its connections are counted apart."""
        silent = [socket.create_connection(("127.0.0.1", self.server.metrics_port)) for _ in range(40)]
        try:
            for _ in range(5):
                self.assertEqual(self.server.admin("/health")[0], 200)
                self.assertEqual(self.metrics("/health")[0], 200)
        finally:
            for client in silent:
                client.close()


class Families(unittest.TestCase):
    def test_there_are_few_and_no_label_grows_with_clients_or_symbols(self):
        """S63: at most 125 families, whatever feeds there are."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            shutil.copy(CHECKOUT / "tests/data/ticks_small.csv", f"{folder}/ticks.csv")
            feeds = ("sim:symbols=2,types=quote+trade+bar+depth", f"replay:path={folder}/ticks.csv,loop=yes",
                     f"ingest:unix={folder}/ingest.sock")
            texts = []
            for symbols, more in ((2, ()), (500, feeds)):
                with Server("--feed", f"sim:symbols={symbols},rate=1000,types=quote+trade", "--metrics-port", "0",
                            "--metrics-host", "127.0.0.1",
                            *(word for feed in more for word in ("--feed", feed))) as server:
                    server.wait_for_ticks(100)
                    texts.append(server.admin("/metrics", port=server.metrics_port)[2])
        few, many = texts
        self.assertLessEqual(len(families(many)), FAMILIES_MAX)
        self.assertEqual(len(families(many)), len(set(families(many))))
        grown = {name for name, values in labels(many).items() if len(values) > len(labels(few).get(name, ()))}
        self.assertLessEqual(grown, {"feed"})  # of 16 at most


class Options(unittest.TestCase):
    def test_monitoring_keys_say_what_is_served(self):
        """S50: monitoring.metrics_port opens the port; enabled and prometheus_enabled close what they name."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "ringcast.yaml")
            text = "feeds: sim\nmonitoring:\n  metrics_host: 127.0.0.1\n  metrics_port: 0\n"
            for keys, has_port, has_metrics in (("", True, True), ("  enabled: true\n", True, True),
                                                ("  enabled: no\n", False, True),
                                                ("  prometheus_enabled: false\n", True, False)):
                with self.subTest(keys):
                    path.write_text(text + keys)
                    with Server("--config", path) as server:
                        self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 200))
                        self.assertIsNotNone(server.wait_for_line("engine io_uring"))
                        said = any("metrics on 127.0.0.1:" in line for line in server.log_lines())
                        self.assertEqual(said, has_port)
                        pages = [server.admin("/metrics")]
                        if has_port:
                            pages.append(server.admin("/metrics", port=server.metrics_port))
                        for status, _, body in pages:
                            self.assertEqual(status, 200 if has_metrics else 404)
                            if not has_metrics:
                                self.assertIn("monitoring.prometheus_enabled", json.loads(body)["error"])
                        self.assertFalse([line for line in server.log_lines() if "WARNING" in line])

    def refused(self, *options):
        done = run([program("ringcast"), "--check-config", "--host", "127.0.0.1", *options])
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr

    def test_a_port_that_is_another_one_is_refused(self):
        self.assertIn("--metrics-port: 8765 is also the port for clients (--port)",
                      self.refused("--metrics-port", "8765"))
        self.assertIn("--metrics-port: 8080 is also the port of the admin server (--admin-port)",
                      self.refused("--metrics-port", "8080"))
        self.assertIn("--metrics-host: ", self.refused("--metrics-port", "9090", "--metrics-host", "192.0.2.300"))

    def test_a_port_that_is_taken_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run([program("ringcast"), "--port", "0", "--admin-port", "0", "--feed", "sim",
                        "--metrics-host", "127.0.0.1", "--metrics-port", str(port)])
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"--metrics-port: cannot listen on 127.0.0.1 port {port}: Address already in use", done.stderr)


if __name__ == "__main__":
    unittest.main()
