"""Prometheus, its alert rules and the other files of container/, each by its real program."""
import functools
import re
import shutil
import subprocess
import unittest

import yaml

from server import CHECKOUT

PROMETHEUS = CHECKOUT / "container/prometheus"
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
                 "ManyConnections": ("active_connections > 1800", "2m", "critical"),
                 "HighErrorRate": ("error_rate > 0.05", "3m", "critical")}
        for name, expected in asked.items():
            rule = alert_rules()[name]
            self.assertEqual((rule["expr"], rule["for"], rule["labels"]["severity"]), expected)

    @NEEDS_PROMTOOL
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
        page = (CHECKOUT / "docs/monitoring.md").read_text(encoding="utf8")
        self.assertEqual(dict(re.findall(r"^\| `(\w+)` \| (warning|critical) \|", page, re.M)),
                         {name: rule["labels"]["severity"] for name, rule in alert_rules().items()})


if __name__ == "__main__":
    unittest.main()
