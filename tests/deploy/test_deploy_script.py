"""scripts/deploy-websocket.sh -t docker, and diagnose.sh --container, with Podman.

Podman has a storage of its own for them, so that the names of the script are free. The image is made of the
program and its libraries as they are here; the Dockerfile is stood in for, so that a build takes seconds.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import unittest

import debian
from server import BIN_DIR, CHECKOUT, run

BASE = """FROM scratch
COPY root /
COPY --chown=1000:1000 app /app
USER 1000:1000
WORKDIR /app
ENTRYPOINT ["ringcast"]
"""
DOCKERFILE = """FROM localhost/base
LABEL version={version}
ENV PATH=/usr/bin {variables}
"""


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return str(any_socket.getsockname()[1])


class Podman(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("podman"):
            raise unittest.SkipTest("SKIPPED: podman is not installed")
        folder = tempfile.TemporaryDirectory(prefix="ringcast-deploy-", dir="/var/tmp")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.podman = ["podman", "--runtime", "runc", "--log-level", "fatal", "--root", f"{folder.name}/storage",
                      "--runroot", f"{folder.name}/run", "--storage-driver", "vfs"]
        cls.checkout = cls.folder / "checkout"
        for name in ("scripts", "container"):
            shutil.copytree(CHECKOUT / name, cls.checkout / name)
        root = cls.checkout / "root"
        for path in (root / "usr/bin", cls.checkout / "app/logs", cls.checkout / "app/config"):
            path.mkdir(parents=True)
        shutil.copy(BIN_DIR / "ringcast", root / "usr/bin")
        libraries = re.findall(r"/\S+", debian.command("ldd", str(BIN_DIR / "ringcast")))
        debian.command("cp", "-L", "--parents", *libraries, str(root))
        cls.env = {**os.environ, "CONTAINER_ENGINE": " ".join(cls.podman), "WEBSOCKET_PORT": free_port(),
                   "ADMIN_PORT": free_port(), "RUN_OPTIONS": "--ulimit nproc=1000:1000", "BUILDAH_LAYERS": "false"}
        (cls.checkout / "Dockerfile.base").write_text(BASE)
        debian.command(*cls.podman, "build", "--layers=false", "-t", "base", "-f", "Dockerfile.base", str(cls.checkout))
        cls.addClassCleanup(cls.remove_containers)

    @classmethod
    def remove_containers(cls):
        debian.command(*cls.podman, "rm", "--force", "--all", "--volumes", "--time", "0")

    def setUp(self):
        self.addCleanup(self.remove_containers)

    def write_version(self, version, variables=""):
        (self.checkout / "Dockerfile").write_text(DOCKERFILE.format(version=version, variables=variables))

    def script(self, *arguments):
        return run([str(self.checkout / "scripts/deploy-websocket.sh"), "-t", "docker", *arguments], seconds=300,
                   env=self.env)

    def deploy(self, version, *arguments, variables=""):
        self.write_version(version, variables)
        return self.script("-e", "production", *arguments, "deploy")

    def inspect(self, template, name="websocket-server"):
        return debian.command(*self.podman, "container", "inspect", "--format", template, name).strip()

    def version(self):
        self.assertEqual(self.inspect("{{.State.Running}}"), "true")
        return self.inspect("{{.Config.Labels.version}}")

    def containers(self):
        return debian.command(*self.podman, "ps", "--all", "--quiet").split()

    def test_a_server_is_deployed_replaced_rolled_back_and_removed(self):
        """S129, S123"""
        done = self.deploy(1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("server     process 1,", done.stdout)
        self.assertEqual(self.version(), "1")
        stats = json.loads(run(["curl", "-s", f"http://127.0.0.1:{self.env['ADMIN_PORT']}/stats"]).stdout)
        self.assertEqual(stats["connections"]["max_connections"], 10000)  # of the profile production
        done = run([str(self.checkout / "scripts/health-check.sh"), "--url",
                    f"http://127.0.0.1:{self.env['ADMIN_PORT']}"])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.check_diagnosis()

        done = self.deploy(2)
        self.assertEqual((done.returncode, self.version()), (0, "2"), done.stderr)
        done = self.script("health")
        self.assertEqual((done.returncode, done.stdout), (0, "ready: ready\n"), done.stderr)
        done = self.script("rollback")
        self.assertEqual((done.returncode, self.version()), (0, "1"), done.stderr)

        done = self.script("cleanup")
        self.assertEqual((done.returncode, self.containers()), (0, []), done.stderr)
        self.assertEqual(self.script("health").returncode, 1)
        self.assertIn("websocket-server-logs", debian.command(*self.podman, "volume", "ls", "--quiet"))

    def check_diagnosis(self):
        """S137: of a container without a shell."""
        done = run([str(self.checkout / "scripts/diagnose.sh"), "--container", "websocket-server"], env=self.env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for expected in ("healthy: ok", "ready: ready", "RINGCAST_DUMP_DIR=/app/logs", "Seccomp:\t2", "NoNewPrivs:\t1",
                         "CapEff:\t0000000000000000", ":8765 ", "listening on"):
            self.assertIn(expected, done.stdout)
        self.assertRegex(done.stdout, r"memory\.(limit_in_bytes|max): 4294967296")

    def test_what_does_not_start_is_undone(self):
        """S129: the server before runs again. What does not build or has a bad configuration does not even stop it."""
        self.assertEqual(self.deploy(1).returncode, 0)
        # An address of no interface: only the start finds out.
        done = self.deploy(2, "--timeout", "3", variables="RINGCAST_HOST=203.0.113.7")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("the one before runs again", done.stderr)
        self.assertIn("203.0.113.7", done.stdout + done.stderr)  # the end of its log
        self.assertEqual((self.version(), len(self.containers())), ("1", 1))

        before = self.inspect("{{.State.Pid}}")
        (self.checkout / "Dockerfile").write_text("FROM scratch\nCOPY no-such-file /\n")
        done = self.script("-e", "production", "deploy")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the image was not built: nothing was changed", done.stderr)
        config = self.folder / "config"
        config.mkdir()
        (config / "ringcast.yaml").write_text("websocket:\n  prot: 1\n")
        done = self.deploy(3, "--config", str(config))
        self.assertEqual(done.returncode, 1)
        self.assertIn("ringcast.yaml:2: websocket.prot: unknown key", done.stderr)
        self.assertIn("nothing was changed", done.stderr)
        self.assertEqual((self.version(), self.inspect("{{.State.Pid}}")), ("1", before))

        (config / "ringcast.yaml").write_text("websocket:\n  max_connections: 77\n")
        done = self.deploy(3, "--config", str(config))
        self.assertEqual((done.returncode, self.version()), (0, "3"), done.stderr)
        self.assertIn("of 77;", done.stdout)


if __name__ == "__main__":
    unittest.main()
