"""The server of docker-compose.websocket.yml in a container, as the file sets it up; podman stands in for Docker."""
import json
import re
import tempfile
import unittest

import debian
import images
import test_monitoring
from server import wait_until
from test_monitoring import COMPOSE, read_yaml, with_defaults

SERVICE = read_yaml(COMPOSE)["services"]["websocket-server-1"]


def options_of(service, volume):
    """The service as options of podman run. Its ulimits may be above those of this machine."""
    options = ["--cpus", str(service["cpus"]), "--memory", service["mem_limit"], "--memory-reservation",
               service["mem_reservation"], "--read-only", "--volume", f"{volume}:/app/logs"]
    for name, value in service["environment"].items():
        options += ["--env", f"{name}={with_defaults(value)}"]
    for word in service["cap_drop"]:
        options += ["--cap-drop", word]
    for word in service["security_opt"]:
        options += ["--security-opt", word.replace("no-new-privileges:true", "no-new-privileges").replace(
            "seccomp=", f"seccomp={images.CHECKOUT}/")]
    for word in service["volumes"]:
        if word.startswith("./"):
            options += ["--volume", f"{images.CHECKOUT}/{word}"]
    return options


class Service(unittest.TestCase):
    def setUp(self):
        volume = images.unique_name()
        debian.command(*images.PODMAN, "volume", "create", volume)
        self.addCleanup(debian.command, *images.PODMAN, "volume", "rm", volume)
        self.server = images.Container(options=options_of(SERVICE, volume), hardened=(), ports=(8765, 8080, 9090))
        self.server.__enter__()
        self.addCleanup(self.server.remove)
        self.server.wait_until_ready()

    def test_it_serves_logs_and_stops_as_the_file_says(self):
        """S125, S126: health check, JSON for docker logs, dumps in the volume, and an end within the grace period."""
        word, *check = SERVICE["healthcheck"]["test"]
        self.assertEqual(word, "CMD")
        self.assertIn("ready", self.server.podman("exec", *check))
        for line in self.server.log().splitlines():
            self.assertIn("message", json.loads(line))
        self.assertIn("/app/logs/", self.server.podman("exec", "ringcast", "ctl", "dump"))
        grace = re.fullmatch(r"(\d+)s", SERVICE["stop_grace_period"])[1]
        debian.command(*images.PODMAN, "stop", "--time", grace, self.server.name)
        self.assertEqual(self.server.inspect(".State.ExitCode"), "0")

    def test_prometheus_sees_it_and_the_limit_of_its_memory(self):
        """S63, S80, S81: the alert about memory is one about the container's limit."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder, \
                test_monitoring.Prometheus(folder, self.server.port(9090)) as prometheus:
            self.assertTrue(wait_until(lambda: prometheus.has_numbers('up{job="websocket-server"} == 1'), 40, 0.2))
            self.assertTrue(prometheus.has_numbers(f"ringcast_memory_limit_bytes == {4 << 30}"))
            self.assertTrue(prometheus.has_numbers("ringcast_memory_used_bytes < 1e9 and ringcast_memory_used_bytes > 5e6"))
            self.assertTrue(prometheus.has_numbers("ringcast_connections_max == 2000"))
            self.assertTrue(wait_until(lambda: "ServerDown" not in prometheus.alerts(), 40, 0.2))


if __name__ == "__main__":
    unittest.main()
