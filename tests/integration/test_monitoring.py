"""Prometheus, its alert rules and the other files of container/, each by its real program."""
import contextlib
import functools
import http.server
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

import yaml

import tls_files
from clients import RawClient
from server import CHECKOUT, Server, clean_environment, in_full, program, reap, run, spawn, wait_until

COMPOSE = CHECKOUT / "docker-compose.websocket.yml"
PROMETHEUS = CHECKOUT / "container/prometheus"
DASHBOARD = CHECKOUT / "container/grafana/dashboards/ringcast.json"
PAGE = (CHECKOUT / "docs/monitoring.md").read_text(encoding="utf8")
UNITS = {"bytes", "Bps", "ops", "percent", "percentunit", "s", "short"}
# What a server without faults, and without a limit that is near, has no data for.
RIGHTLY_EMPTY = {"State: {{instance}} {{rule}}", "State: {{instance}} {{feed}} {{state}}",
                 "State: {{alertname}} {{instance}}"}
NEEDS_PROMTOOL = unittest.skipIf(shutil.which("promtool") is None,
                                 "SKIPPED: promtool (package prometheus) is not installed")


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf8"))


@functools.cache
def alert_rules():
    groups = read_yaml(PROMETHEUS / "alert_rules.yml")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


class Alerts(unittest.TestCase):
    @NEEDS_PROMTOOL
    def test_prometheus_accepts_its_files(self):
        """S81: prometheus.yml with the job websocket-server, which names alert_rules.yml."""
        done = promtool("check", "config", PROMETHEUS / "prometheus.yml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        config = read_yaml(PROMETHEUS / "prometheus.yml")
        job, = config["scrape_configs"]
        self.assertEqual((job["job_name"], job["scrape_interval"], job["metrics_path"]),
                         ("websocket-server", "10s", "/metrics"))
        self.assertEqual(config["rule_files"], ["alert_rules.yml"])

    def test_the_thresholds_that_were_asked_for(self):
        """S80: CPU, memory, connections and error rate; memory of the container's limit."""
        asked = {"HighCpu": ("cpu_usage_percent > 80", "5m", "warning"),
                 "HighMemory": ("ringcast_memory_used_bytes / ringcast_memory_limit_bytes > 0.8", "5m", "warning"),
                 "ManyConnections": ("active_connections > 1800 or active_connections > 0.9 * ringcast_connections_max", "2m",
                                    "critical"),
                 "HighErrorRate": ("error_rate > 0.05", "3m", "critical")}
        for name, expected in asked.items():
            rule = alert_rules()[name]
            self.assertEqual((rule["expr"], rule["for"], rule["labels"]["severity"]), expected)

    @NEEDS_PROMTOOL
    @in_full
    def test_each_alert_fires_and_clears(self):
        """S80, S83, S95: thresholds and trends, by promtool test rules."""
        done = promtool("test", "rules", PROMETHEUS / "alert_rules_test.yml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        fires, clears = set(), set()
        for test in read_yaml(PROMETHEUS / "alert_rules_test.yml")["tests"]:
            for one in test["alert_rule_test"]:
                (fires if one["exp_alerts"] else clears).add(one["alertname"])
        self.assertEqual((fires, clears), (set(alert_rules()), set(alert_rules())))

    def test_each_alert_tells_what_to_do_and_is_in_the_docs(self):
        for name, rule in alert_rules().items():
            self.assertEqual(sorted(rule["annotations"]), ["description", "runbook", "summary"], name)
            self.assertEqual(rule["annotations"]["runbook"], f"docs/runbook.md#{name.lower()}")
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
            self.assertIn(f"### {name}\n", (CHECKOUT / "docs/runbook.md").read_text(encoding="utf8"))
        self.assertEqual(dict(re.findall(r"^\| `(\w+)` \| (warning|critical) \|", PAGE, re.M)),
                         {name: rule["labels"]["severity"] for name, rule in alert_rules().items()})



def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def command_of(service, paths):
    """The command line of a service of the compose file, with paths of this machine."""
    words = read_yaml(COMPOSE)["services"][service]["command"]
    for old, new in paths.items():
        assert any(f"={old}" in word for word in words), (old, words)
        words = [word.replace(f"={old}", f"={new}") for word in words]
    return words


def get_json(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class Prometheus:
    """A real one with our files, as the compose file starts it; it scrapes one server each second."""

    def __init__(self, folder, metrics_port, alertmanager_port=9, alerts_after=None):
        self.folder = pathlib.Path(folder, "prometheus")
        shutil.copytree(PROMETHEUS, self.folder)
        self.edit("prometheus.yml", {
            "scrape_configs:": "global: {evaluation_interval: 1s}\nscrape_configs:",
            "scrape_interval: 10s": "scrape_interval: 1s", "websocket-server-1:9090": f"127.0.0.1:{metrics_port}",
            "alertmanager:9093": f"127.0.0.1:{alertmanager_port}"})
        if alerts_after is not None:
            path = self.folder / "alert_rules.yml"
            path.write_text(re.sub(r"for: \w+", f"for: {alerts_after}", path.read_text()))
        self.port = free_port()

    def edit(self, name, replaced):
        path = self.folder / name
        text = path.read_text()
        for old, new in replaced.items():
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)

    def __enter__(self):
        words = command_of("prometheus", {"/etc/prometheus": self.folder, "/prometheus": self.folder / "data"})
        self.process = spawn(["prometheus", *words, f"--web.listen-address=127.0.0.1:{self.port}"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        reap(self.process)

    def query(self, expression):
        """The samples; None while it starts."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            return get_json(f"http://127.0.0.1:{self.port}/api/v1/query?{query}")["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        except OSError:
            return None

    def has_numbers(self, expression):
        return any(sample["value"][1] != "NaN" for sample in self.query(expression) or ())

    def alerts(self):
        """The names of those that fire."""
        try:
            alerts = get_json(f"http://127.0.0.1:{self.port}/api/v1/alerts")["data"]["alerts"]
        except OSError:
            return set()
        return {it["labels"]["alertname"] for it in alerts if it["state"] == "firing"}


def panels():
    return [it for it in json.loads(DASHBOARD.read_text(encoding="utf8"))["panels"] if it["type"] != "row"]


def queries():
    """Of the dashboard: (panel: legend, query), as Grafana sends them for all servers."""
    for panel in panels():
        for target in panel["targets"]:
            yield (f"{panel['title']}: {target['legendFormat']}",
                   target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s"))


class Dashboard(unittest.TestCase):
    def test_grafana_can_load_it(self):
        """S82: five rows: system, connections, messages, errors, performance."""
        board = json.loads(DASHBOARD.read_text(encoding="utf8"))
        self.assertEqual([it["title"] for it in board["panels"] if it["type"] == "row"],
                         ["System", "Connections", "Messages", "Errors", "Performance"])
        variables = {it["name"]: it for it in board["templating"]["list"]}
        self.assertEqual({name: it["type"] for name, it in variables.items()},
                         {"datasource": "datasource", "instance": "query"})
        source = {"type": "prometheus", "uid": "${datasource}"}
        ids, places = set(), set()
        for panel in board["panels"]:
            ids.add(panel["id"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            places |= {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        self.assertEqual(len(ids), len(board["panels"]))
        self.assertEqual(len(places), sum(it["gridPos"]["w"] * it["gridPos"]["h"] for it in board["panels"]))
        for panel in panels():
            self.assertEqual((panel["type"], panel["datasource"]), ("timeseries", source), panel["title"])
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], UNITS, panel["title"])
            self.assertTrue(panel["description"], panel["title"])
            letters = [target["refId"] for target in panel["targets"]]
            self.assertEqual(len(letters), len(set(letters)), panel["title"])
            for target in panel["targets"]:
                self.assertEqual(target["datasource"], source)
                self.assertIn("{{", target["legendFormat"], panel["title"])

    def test_it_is_where_the_compose_file_says(self):
        grafana = read_yaml(COMPOSE)["services"]["grafana"]
        mounts = dict(it.split(":")[:2] for it in grafana["volumes"])
        folders = {inside: CHECKOUT / outside for outside, inside in mounts.items() if outside.startswith(".")}
        provisioning = folders["/etc/grafana/provisioning"]
        provider, = read_yaml(provisioning / "dashboards/ringcast.yml")["providers"]
        self.assertEqual(folders[provider["options"]["path"]], DASHBOARD.parent)
        self.assertEqual(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"],
                         f"{provider['options']['path']}/{DASHBOARD.name}")
        source, = read_yaml(provisioning / "datasources/prometheus.yml")["datasources"]
        self.assertEqual((source["type"], source["url"]), ("prometheus", "http://prometheus:9090"))
        self.assertIn("prometheus", read_yaml(COMPOSE)["services"])

    def test_every_metric_that_it_and_the_alerts_name_exists(self):
        """S76, S77, S78: what a server says of itself."""
        texts = [query for _, query in queries()] + [rule["expr"] for rule in alert_rules().values()]
        named = set(re.findall(r"\b(?:ringcast|process)_\w+", " ".join(texts)))
        self.assertGreater(len(named), 40)
        with Server("--metrics-port", "0", "--metrics-host", "127.0.0.1", "--tls-port", "0",
                    "--tls-certificate", tls_files.server().option) as server:
            page = server.admin("/metrics", port=server.metrics_port)[2]
        known = set(re.findall(r"^(\w+)", page, re.M))
        self.assertEqual(named - known, set())

    def test_the_time_of_writes_to_the_logs_is_measured(self):
        """S76: the latency of log writes."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder, \
                Server("--access-log", f"{folder}/access.log") as server:
            def times():
                return {(name, log): float(value) for name, log, value in re.findall(
                    r'^ringcast_log_write_seconds_(sum|count){log="(\w+)"} (\S+)$', server.admin("/metrics")[2], re.M)}
            # Each request is a line of the access log.
            self.assertTrue(wait_until(lambda: times()["count", "access"] >= 3))
            final = times()
            lines = len(pathlib.Path(folder, "access.log").read_text().splitlines())
            self.assertLessEqual(final["count", "access"], lines)
            self.assertGreater(final["sum", "access"], 0)
            self.assertGreater(final["count", "log"], 0)
            self.assertEqual((final["count", "audit"], final["sum", "audit"]), (0, 0))

    @in_full
    def test_each_query_has_data_of_a_server_under_load(self):
        """S82, S83, S96: on a real Prometheus; the queries for trends and anomalies of the docs, too."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ringcast-"))
            server = stack.enter_context(Server(
                "--feed", "sim:symbols=20,rate=2000,types=quote+trade", "--metrics-host", "127.0.0.1",
                "--metrics-port", "0", "--record", folder))
            prometheus = stack.enter_context(Prometheus(folder, server.metrics_port))
            tap = spawn([program("ringcast-tap"), server.url(), "--symbols", "*", "--types", "quote", "--verify",
                         "--connections", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(reap, tap)

            def missing():
                client = RawClient(server.port)  # It comes and goes.
                client.subscribe(["000001.SZ"], ["quote"])
                client.close()
                return {name for name, query in queries() if not prometheus.has_numbers(query)}
            self.assertTrue(wait_until(lambda: missing() == RIGHTLY_EMPTY, 60, 0.5), missing() ^ RIGHTLY_EMPTY)
            section = PAGE[PAGE.index("## Trends and anomalies"):].split("\n## ")[0]
            blocks = re.findall(r"^```promql\n(.*?)^```$", section, re.M | re.S)
            self.assertGreaterEqual(len(blocks), 3)
            for block in blocks:
                self.assertIsNotNone(prometheus.query(block))


class Webhook(http.server.BaseHTTPRequestHandler):
    """Notes what Alertmanager sends."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.notices += [(it["labels"]["alertname"], it["labels"].get("instance"), it["status"])
                                for it in body["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Notices(unittest.TestCase):
    @unittest.skipIf(shutil.which("amtool") is None, "SKIPPED: amtool (package prometheus-alertmanager) is not installed")
    def test_alertmanager_accepts_its_file_and_each_receiver_of_the_docs(self):
        """S93: e-mail, Slack, webhook."""
        base = read_yaml(PROMETHEUS / "alertmanager.yml")
        block, = re.findall(r"^```yaml\n(receivers:\n.*?)^```$", PAGE, re.M | re.S)
        receivers = yaml.safe_load(block)["receivers"]
        self.assertEqual([name for it in receivers for name in it if name != "name"],
                         ["email_configs", "slack_configs", "webhook_configs"])
        with tempfile.NamedTemporaryFile("w", prefix="ringcast-", suffix=".yml") as file:
            for receiver in (base["receivers"][0], *receivers):
                route = {**base["route"], "receiver": receiver["name"]}
                file.seek(0)
                file.truncate()
                yaml.safe_dump({**base, "route": route, "receivers": [receiver]}, file)
                file.flush()
                done = run(["amtool", "check-config", file.name])
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @in_full
    def test_a_server_that_stops_is_reported_and_so_is_its_return(self):
        """S80, S93, S95: an alert fires and clears, from the server to a webhook."""
        manager = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
        if manager is None:
            self.skipTest("SKIPPED: prometheus-alertmanager is not installed")
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ringcast-"))
            hook = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook))
            hook.notices = []
            threading.Thread(target=hook.serve_forever, daemon=True).start()
            stack.callback(hook.shutdown)
            config = read_yaml(PROMETHEUS / "alertmanager.yml")
            config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
            url = f"http://127.0.0.1:{hook.server_port}/"
            config["receivers"][0]["webhook_configs"] = [{"url": url}]
            path = pathlib.Path(folder, "alertmanager.yml")
            path.write_text(yaml.safe_dump(config))
            port = free_port()
            words = command_of("alertmanager", {"/etc/alertmanager": folder, "/alertmanager": f"{folder}/data"})
            process = spawn([manager, *words, f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(reap, process)
            server = stack.enter_context(Server("--metrics-host", "127.0.0.1", "--metrics-port", "0"))
            prometheus = stack.enter_context(Prometheus(folder, server.metrics_port, port, alerts_after="1s"))
            # Before the first scrape there is no server at all.
            self.assertTrue(wait_until(lambda: prometheus.has_numbers('up{job="websocket-server"} == 1'), 40, 0.2))
            self.assertTrue(wait_until(lambda: "ServerDown" not in prometheus.alerts(), 40, 0.2))
            where = f"127.0.0.1:{server.metrics_port}"
            server.signal(signal.SIGSTOP)
            stack.callback(server.signal, signal.SIGCONT)
            self.assertTrue(wait_until(lambda: ("ServerDown", where, "firing") in hook.notices, 60, 0.2), hook.notices)
            server.signal(signal.SIGCONT)
            self.assertTrue(wait_until(lambda: ("ServerDown", where, "resolved") in hook.notices, 60, 0.2), hook.notices)
            self.assertTrue(wait_until(lambda: "ServerDown" not in prometheus.alerts(), 40, 0.2))


def with_defaults(text):
    """${NAME:-default} as compose reads it when NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


class Compose(unittest.TestCase):
    @unittest.skipIf(shutil.which("docker-compose") is None, "SKIPPED: docker-compose is not installed")
    @in_full
    def test_docker_compose_accepts_it(self):
        """S125, S126: websocket-server-1, Prometheus, Grafana, nginx."""
        done = run(["docker-compose", "-f", COMPOSE, "config"], cwd=CHECKOUT)
        self.assertEqual(done.returncode, 0, done.stderr)
        services = yaml.safe_load(done.stdout)["services"]
        self.assertEqual(set(services), {"websocket-server-1", "nginx", "prometheus", "alertmanager", "grafana"})

    def test_each_service_restarts_is_watched_and_has_few_rights(self):
        """S126, S108: restart, health check, networks; S116: the network reaches TLS only."""
        file = read_yaml(COMPOSE)
        for name, service in file["services"].items():
            self.assertEqual((service["restart"], service["cap_drop"]), ("unless-stopped", ["ALL"]), name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            self.assertLessEqual(set(service["networks"]), set(file["networks"]), name)
            self.assertTrue(service["healthcheck"]["test"], name)
            for port in service["ports"]:
                self.assertTrue(port.startswith("127.0.0.1:") or port == "443:8443", (name, port))
            for volume in service["volumes"]:
                outside = volume.split(":")[0]
                if outside.startswith("./"):
                    self.assertTrue((CHECKOUT / outside).exists(), volume)
                else:
                    self.assertIn(outside, file["volumes"])
        server = file["services"]["websocket-server-1"]
        self.assertEqual((server["cpus"], server["mem_limit"], server["mem_reservation"]), (2, "4g", "2g"))
        self.assertIn("127.0.0.1:9090:9090", file["services"]["prometheus"]["ports"])
        profile, = [it.split("=")[1] for it in server["security_opt"] if it.startswith("seccomp=")]
        self.assertTrue((CHECKOUT / profile).exists(), profile)
        nginx = file["services"]["nginx"]["networks"]["clients"]["ipv4_address"]
        self.assertEqual(server["environment"]["RINGCAST_TRUSTED_PROXIES"], nginx)

    def test_the_server_accepts_its_variables_with_any_file(self):
        """S123, S149: and listens where the other services and the ports expect it."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            environment = {name: with_defaults(value) for name, value in
                           read_yaml(COMPOSE)["services"]["websocket-server-1"]["environment"].items()}
            environment["RINGCAST_DUMP_DIR"] = folder
            image = environment["RINGCAST_CONFIG"]
            self.assertEqual(image, "/etc/ringcast/ringcast.yaml")
            for path in (CHECKOUT / "container/ringcast.yaml", *sorted((CHECKOUT / "config").glob("*.yaml"))):
                with self.subTest(path.name):
                    everything = clean_environment({**environment, "RINGCAST_CONFIG": str(path)})
                    done = run([program("ringcast"), "--check-config"], env=everything)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    done = run([program("ringcast"), "--print-config"], env=everything)
                    config = yaml.safe_load(done.stdout)
                    self.assertEqual((config["websocket"]["host"], config["websocket"]["port"]), ("0.0.0.0", 8765))
                    self.assertEqual((config["admin"]["host"], config["admin"]["port"]), ("0.0.0.0", 8080))
                    self.assertEqual(config["monitoring"]["metrics_port"], 9090)
                    self.assertEqual(config["logging"]["format"], "json")


if __name__ == "__main__":
    unittest.main()
