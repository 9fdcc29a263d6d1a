"""scripts/deploy-websocket.sh -t docker, and diagnose.sh --container, with Podman.

Podman has a storage of its own for them, so that the names of the script are free. The image is the last stage of
the Dockerfile, with the program that is built already, so that a build takes seconds.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import yaml

import debian
from server import CHECKOUT, START_SECONDS, run, wait_until

DOCKERFILE = """FROM localhost/base
LABEL version={version}
ENV VERSION={version} {variables}
"""
LIMITS = "--ulimit nproc=1000:1000 --ulimit nofile=20000:20000"


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
        cls.env = {**os.environ, "CONTAINER_ENGINE": " ".join(cls.podman), "WEBSOCKET_PORT": free_port(),
                   "ADMIN_PORT": free_port(), "RUN_OPTIONS": LIMITS, "BUILDAH_LAYERS": "false"}
        cls.build_base()
        cls.addClassCleanup(cls.remove_containers)

    @classmethod
    def build_base(cls):
        """The last stage of the Dockerfile."""
        stage = (CHECKOUT / "Dockerfile").read_text(encoding="utf8").partition("FROM scratch\n")[2]
        copied = "COPY --from=build /root/image/ /\n"
        if copied not in stage:
            raise AssertionError(f"the Dockerfile has no line {copied}")
        debian.command("container/make_root.sh", f"{cls.checkout}/root", cwd=CHECKOUT)
        (cls.checkout / "Dockerfile.base").write_text("FROM scratch\n" + stage.replace(
            copied, "COPY root /\nCOPY --chown=1000:1000 root/app /app\n"))
        debian.command(*cls.podman, "build", "--format", "docker", "--layers=false", "-t", "base", "-f",
                       f"{cls.checkout}/Dockerfile.base", str(cls.checkout))

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

    def deploy(self, version, *arguments, variables="", environment="production"):
        self.write_version(version, variables)
        return self.script("-e", environment, *arguments, "deploy")

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
        self.assertEqual(debian.command(*self.podman, "images", "--noheading", "--format", "{{.Repository}}").split(),
                         ["localhost/base"])
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
        self.assertIn("the server before runs again", done.stderr)
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

    def test_what_is_interrupted_is_undone(self):
        """S129: by Ctrl-C, or by SIGKILL and the next deployment. A rollback is then still possible."""
        for version in (1, 2):
            self.assertEqual(self.deploy(version, environment="test").returncode, 0)
        self.write_version(3, "RINGCAST_HOST=203.0.113.7")
        for number in (signal.SIGINT, signal.SIGKILL):
            with subprocess.Popen([self.checkout / "scripts/deploy-websocket.sh", "-t", "docker", "-e", "test", "deploy"],
                                  env=self.env, stderr=subprocess.PIPE, start_new_session=True, text=True) as script:
                for line in script.stderr:
                    if "exec websocket-server ringcast health" in line:
                        os.killpg(script.pid, number)
                        break
                script.wait(300)  # A program of Podman that goes on has the pipe.
        self.assertNotEqual(self.inspect("{{.Config.Labels.version}}"), "2")  # after SIGKILL
        done = self.script("rollback")
        self.assertEqual((done.returncode, self.version()), (0, "1"), done.stderr)
        self.assertEqual((self.script("rollback").returncode, self.version()), (0, "2"))
        self.assertEqual(len(self.containers()), 2)

    def test_the_image_of_the_container_before_can_be_deployed(self):
        """S129: it is not removed with that container."""
        for version in (1, 2):
            self.assertEqual(self.deploy(version, "-i", f"server:{version}", environment="test").returncode, 0)
        done = self.script("-e", "test", "-i", "server:1", "--no-build", "deploy")
        self.assertEqual((done.returncode, self.version()), (0, "1"), done.stderr)

    def test_a_container_like_the_pod_of_kubernetes_is_ready(self):
        """S127: its files, user, limits and confinement. Podman stands in for a cluster."""
        things = {it["kind"]: it for it in yaml.safe_load_all((CHECKOUT / "k8s/websocket-deployment.yaml").read_text())}
        pod = things["Deployment"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        files = {"config": things["ConfigMap"]["data"], "tokens": things["Secret"]["stringData"], "tmp": {}}
        options = [word for it in container["env"] for word in ("--env", f"{it['name']}={it['value']}")]
        for mount in container["volumeMounts"]:
            folder = self.folder / "volumes" / mount["name"]
            folder.mkdir(parents=True)
            for name, text in files[mount["name"]].items():
                (folder / name).write_text(text)
            options += ["--volume", f"{folder}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
        limits, user = container["resources"]["limits"], pod["securityContext"]
        debian.command(*self.podman, "run", "--detach", "--name", "pod", "--read-only", "--read-only-tmpfs=false",
                       "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt",
                       f"seccomp={self.checkout}/container/seccomp.json", "--ulimit", "nofile=20000:20000",
                       "--ulimit", "nproc=1000:1000", "--user", f"{user['runAsUser']}:{user['runAsGroup']}",
                       "--memory", limits["memory"].removesuffix("i"), "--cpus", limits["cpu"], *options, "base")
        health = [*self.podman, "exec", "pod", "ringcast", "health", "--ready"]
        self.assertTrue(wait_until(lambda: run(health, env=self.env).returncode == 0, START_SECONDS),
                        debian.command(*self.podman, "logs", "pod"))
        first = debian.command(*self.podman, "logs", "pod").splitlines()[0]
        self.assertEqual(json.loads(first)["level"], "INFO")
        self.assertIn("at most 2000 clients", debian.command(*self.podman, "logs", "pod"))


if __name__ == "__main__":
    unittest.main()
