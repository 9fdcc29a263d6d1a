"""The history of a server's numbers, their summary, and the alerts about them."""
import json
import os
import unittest

from clients import RawClient
from server import Server, ServerTestCase, wait_until

SECONDS = 60
FEED = ("--feed", "sim:symbols=5,rate=200,types=quote")
SYSTEM = {"timestamp", "cpu_percent", "memory_percent", "memory_used_mb", "memory_available_mb",
          "disk_usage_percent", "disk_free_gb", "network_bytes_sent", "network_bytes_recv",
          "active_connections", "load_average"}
APPLICATION = {"active_users", "total_messages", "messages_per_minute", "response_time_avg",
               "error_rate", "push_success_rate", "log_lines_lost"}
SUMMED = (SYSTEM | APPLICATION | {"load_average_1m", "load_average_5m", "load_average_15m"}) - {
    "timestamp", "load_average"}
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def read(server, path):
    status, _, body = server.admin(path)
    return status, json.loads(body)


class History(ServerTestCase):
    options = FEED

    def history(self, query=""):
        """With the sample that is taken when the server is ready."""
        found = wait_until(lambda: read(self.server, f"/stats/history{query}")[1]["samples"], SECONDS)
        self.assertTrue(found)
        return read(self.server, f"/stats/history{query}")

    def test_the_first_sample_is_there_from_the_start(self):
        """S84, S87: one sample a minute, with the time at which it was taken."""
        status, history = self.history()
        self.assertEqual((status, history["interval_seconds"]), (200, 60))
        self.assertRegex(history["samples"][0]["timestamp"], f"^{TIMESTAMP}$")

    def test_a_sample_has_the_numbers_of_the_statistics(self):
        """S85, S86: SystemMetrics and ApplicationMetrics."""
        for sample in self.history("?minutes=1440")[1]["samples"]:
            self.assertEqual(set(sample["system"]), SYSTEM)
            self.assertEqual(set(sample["application"]), APPLICATION)
            self.assertEqual(len(sample["system"]["load_average"]), 3)
        stats = self.server.stats()
        self.assertEqual(set(stats["system"]), SYSTEM)
        self.assertEqual(set(stats["application"]), APPLICATION)

    def test_a_summary_has_average_extremes_current_and_trend(self):
        """S84, S88: GET /stats/summary?hours=1."""
        self.history()
        status, summary = read(self.server, "/stats/summary?hours=1")
        self.assertEqual((status, summary["hours"]), (200, 1))
        self.assertGreaterEqual(summary["samples"], 1)
        self.assertEqual(set(summary["metrics"]), SUMMED)
        for name, numbers in summary["metrics"].items():
            self.assertEqual(set(numbers), {"avg", "max", "min", "current", "trend_per_hour"}, name)
            rounded = 1e-6 + 1e-14 * numbers["max"]  # Bytes of a host's network are a large number.
            self.assertLessEqual(numbers["min"], numbers["avg"] + rounded, name)
            self.assertLessEqual(numbers["avg"], numbers["max"] + rounded, name)
        self.assertTrue(wait_until(
            lambda: read(self.server, "/stats/summary")[1]["metrics"]["active_connections"]["current"]
            == self.server.stats()["connections"]["active_connections"], SECONDS))

    def test_a_wrong_number_is_refused_with_what_is_allowed(self):
        for path in ("/stats/history?minutes=0", "/stats/history?minutes=1441",
                     "/stats/history?minutes=x", "/stats/summary?hours=0", "/stats/summary?hours=25"):
            with self.subTest(path=path):
                status, answer = read(self.server, path)
                self.assertEqual(status, 400)
                self.assertRegex(answer["error"], r"whole number from 1 to \d+")


class Alerts(unittest.TestCase):
    def active(self, server, rule):
        status, alerts = read(server, "/admin/alerts")
        self.assertEqual(status, 200)
        return next((alert for alert in alerts["active"] if alert["rule"] == rule), None)

    def test_a_server_without_faults_has_none(self):
        """S92: GET /admin/alerts."""
        with Server(*FEED, "--alert-cpu", "0", "--alert-memory", "0", "--alert-disk", "0") as server:
            server.wait_for_ticks(100)
            alerts = read(server, "/admin/alerts")[1]
            self.assertEqual((alerts["active"], alerts["history"]), ([], []))

    def test_an_alert_is_raised_and_cleared_with_one_line_each(self):
        """S89, S92: connections over their limit, which is configured."""
        with Server(*FEED, "--alert-connections", "1") as server:
            clients = [RawClient(server.port) for _ in range(2)]
            alert = wait_until(lambda: self.active(server, "connections"), SECONDS)
            self.assertEqual({key: alert[key] for key in ("rule", "level", "value", "limit")},
                             {"rule": "connections", "level": "warning", "value": 2, "limit": 1})
            self.assertRegex(alert["since"], f"^{TIMESTAMP}$")
            for client in clients:
                client.close()
            self.assertTrue(wait_until(lambda: not self.active(server, "connections"), SECONDS))
            history = [entry for entry in read(server, "/admin/alerts")[1]["history"]
                       if entry["rule"] == "connections"]
            self.assertEqual([entry["state"] for entry in history], ["raised", "cleared"])
            for entry in history:
                self.assertEqual(set(entry), {"rule", "level", "state", "value", "limit", "at"})

            def about():
                return [line for line in server.log_lines() if "clients are connected" in line]
            self.assertTrue(wait_until(lambda: len(about()) >= 2, SECONDS), server.log())
            lines = about()
            self.assertEqual(len(lines), 2, server.log())
            self.assertRegex(lines[0], "WARNING .*performance: 2 clients are connected")
            self.assertRegex(lines[1], "INFO .*alert connections has ended: 0 clients")

    def test_each_number_that_is_measured_raises_its_alert(self):
        """S72, S89, S92: CPU, memory and disk over their limits, as lines of the log."""
        words = {"cpu": r"performance: \d+ % of the CPU time", "memory": r"memory: \d+ % of this",
                 "disk": r"disk: \d+ % of the file system"}
        # Many ticks on one CPU: some of its time is used however fast the machine is.
        with Server("--feed", "sim:symbols=500,rate=200000,types=quote", "--alert-cpu", "1",
                    "--alert-memory", "1", "--alert-disk", "1",
                    prefix=("taskset", "-c", str(min(os.sched_getaffinity(0))))) as server:
            for rule, line in words.items():
                self.assertIsNotNone(server.wait_for_line(f"(WARNING|CRITICAL) .*{line}", SECONDS),
                                     server.log())
                alert = self.active(server, rule)
                self.assertIn(alert["level"], ("warning", "critical"))
                self.assertGreater(alert["value"], 0)


if __name__ == "__main__":
    unittest.main()
