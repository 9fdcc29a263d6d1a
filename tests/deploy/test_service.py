"""The units of packaging/systemd, run by systemd as process 1 of a container."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import debian

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests/integration"))
from server import program, wait_until  # noqa: E402

ARCHIVE = pathlib.Path("/var/tmp/ringcast-debian-systemd.tar")
PACKAGES = ("systemd", "systemd-sysv", "python3-minimal", "liburing2", "libjansson4", "libmicrohttpd12", "libyaml-0-2",
            "libzstd1", "zlib1g", "libssl3", "libjemalloc2")
CONFIGURATION = "feeds: [sim]\nwebsocket: {max_connections: 10}\n"
FAST = "[Service]\nWatchdogSec=2\nRestartSec=100ms\n"
# Connects, asks, and prints the first line of the answer.
ASK = """import socket
client = socket.create_connection(("127.0.0.1", 8765), 60)
client.sendall(b"GET /none HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
client.settimeout(60)
print(client.recv(100).decode().split("\\r")[0])
"""


def unpack(folder):
    """Debian with systemd and what ringcast is linked with; made once a day."""
    with debian.locked(f"{ARCHIVE}.lock"):
        if not ARCHIVE.exists() or time.time() - ARCHIVE.stat().st_mtime > debian.ARCHIVE_SECONDS_MAX:
            root = pathlib.Path(folder, "new")
            debian.unpack(root)
            debian.command("chroot", str(root), "sh", "-ec",
                           "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -y -q "
                           f"--no-install-recommends {' '.join(PACKAGES)}; apt-get clean; : > /etc/machine-id")
            made = ARCHIVE.with_suffix(".new")
            debian.command("tar", "-C", str(root), "-cf", str(made), ".")
            made.rename(ARCHIVE)
            shutil.rmtree(root)
    root = pathlib.Path(folder, "root")
    root.mkdir()
    debian.command("tar", "-C", str(root), "-xf", str(ARCHIVE))
    return root


@unittest.skipUnless(shutil.which("podman"), "SKIPPED: podman is not installed")
class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-service-", dir="/var/tmp")
        cls.addClassCleanup(folder.cleanup)
        root = unpack(folder.name)
        cls.name = pathlib.Path(folder.name).name
        shutil.copy(program("ringcast"), root / "usr/local/bin")
        for unit in (CHECKOUT / "packaging/systemd").glob("ringcast.*"):
            shutil.copy(unit, root / "etc/systemd/system")
        (root / "etc/systemd/system/ringcast.service.d").mkdir()
        (root / "etc/systemd/system/ringcast.service.d/fast.conf").write_text(FAST)
        (root / "etc/ringcast").mkdir()
        cls.configuration = root / "etc/ringcast/ringcast.yaml"
        debian.command("podman", "--runtime", "runc", "run", "--detach", "--name", cls.name, "--systemd=always",
                       "--privileged", "--network", "none", "--ulimit", "nofile=20000:20000", "--ulimit",
                       "nproc=1000:1000", "--rootfs", str(root), "/lib/systemd/systemd")
        cls.addClassCleanup(debian.command, "podman", "--runtime", "runc", "rm", "--force", "--time", "0", cls.name)
        if not wait_until(lambda: cls.inside("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60):
            raise AssertionError(debian.command("podman", "logs", cls.name))

    @classmethod
    def inside(cls, *arguments):
        return subprocess.run(["podman", "--runtime", "runc", "exec", cls.name, *arguments], capture_output=True,
                              text=True, check=False, timeout=120)

    def must(self, *arguments):
        done = self.inside(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.journal())
        return done.stdout

    def journal(self):
        return self.inside("journalctl", "--no-pager", "-o", "cat", "-u", "ringcast").stdout

    def shown(self, key):
        return self.must("systemctl", "show", "-P", key, "ringcast").strip()

    def setUp(self):
        self.configuration.write_text(CONFIGURATION)
        self.addCleanup(self.inside, "systemctl", "reset-failed", "ringcast")
        self.addCleanup(self.inside, "systemctl", "stop", "ringcast.socket", "ringcast")

    def test_start_reload_and_stop(self):
        """S75, S130: the hardened unit runs; systemctl reports the result of a start and of a reload."""
        self.must("systemctl", "start", "ringcast")
        self.assertIn("200", self.must("python3", "-c", ASK.replace("/none", "/schema/md.xml")))
        self.assertRegex(self.shown("StatusText"), r"^\d+ clients, ")
        self.assertIn("ready", self.must("ringcast", "ctl", "stats"))
        status = self.must("cat", f"/proc/{self.shown('MainPID')}/status")
        for words in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            self.assertIn(words, status)
        self.assertNotRegex(status, r"(?m)^Uid:\t0")
        self.configuration.write_text(CONFIGURATION.replace("10", "9"))
        self.must("systemctl", "reload", "ringcast")
        self.assertIn("1 applied (websocket.max_connections)", self.journal())
        self.configuration.write_text("websocket: {max_connection: 10}\n")
        self.assertEqual(self.inside("systemctl", "reload", "ringcast").returncode, 1)
        self.assertIn("refused", self.shown("StatusText"))
        self.must("systemctl", "stop", "ringcast")
        self.assertEqual((self.shown("ActiveState"), self.shown("Result")), ("inactive", "success"))

    def test_a_configuration_that_is_not_valid_is_not_tried_again(self):
        self.configuration.write_text("websocket: {max_connection: 10}\n")
        self.assertNotEqual(self.inside("systemctl", "start", "ringcast").returncode, 0)
        self.assertEqual((self.shown("ActiveState"), self.shown("NRestarts")), ("failed", "0"))

    def test_a_server_that_hangs_is_restarted(self):
        """S141: the watchdog ends a process that stands still, and systemd starts it again."""
        self.must("systemctl", "start", "ringcast")
        before = self.shown("MainPID")
        self.must("systemctl", "kill", "--signal=STOP", "ringcast")
        self.assertTrue(wait_until(lambda: self.shown("MainPID") not in ("0", before) and
                                   self.shown("SubState") == "running", 60, 0.2), self.journal())
        self.assertEqual(self.shown("NRestarts"), "1")
        self.assertRegex(self.must("python3", "-c", ASK), r"^HTTP/1\.1 404")

    def test_the_socket_starts_the_service_and_survives_it(self):
        """S130: socket activation; the first client starts it, and a restart refuses nobody."""
        self.must("systemctl", "start", "ringcast.socket")
        self.assertEqual(self.shown("ActiveState"), "inactive")
        for _ in range(2):
            self.assertRegex(self.must("python3", "-c", ASK), r"^HTTP/1\.1 404")
            self.assertEqual(self.shown("ActiveState"), "active")
            self.must("systemctl", "stop", "ringcast")
        self.assertIsNone(re.search("Connection refused", self.journal()))


if __name__ == "__main__":
    unittest.main()
