"""scripts/health-check.sh and diagnose.sh beside a server; deploy-websocket.sh with recorders in place of
docker, compose and kubectl. tests/deploy/test_deploy_script.py runs it with Podman."""
import fcntl
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

import clients
from server import BIN_DIR, CHECKOUT, Server, clean_environment, in_full, run, wait_until

sys.path.insert(0, str(CHECKOUT / "scripts"))
import doc_commands  # noqa: E402

SCRIPTS = CHECKOUT / "scripts"
MANIFEST = CHECKOUT / "k8s/websocket-deployment.yaml"
SECRET = "secret-0123456789abcdef"
# Writes its name, arguments and standard input down, and does as FAILS, a regular expression, says.
RECORDER = """#!/bin/bash
line="$(basename "$0") $*"
echo "$line" >>"$RECORD"
case $line in
*"-f -"*) cat >"$RECORD.input" ;;
*"image inspect"*) grep -q " build " "$RECORD" && echo sha256:after || echo sha256:before ;;
esac
[[ ! $line =~ $FAILS ]]
"""
NOTHING = "^$"
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
NO_CLUSTER = """{apiVersion: v1, kind: Config, clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}],
contexts: [{name: none, context: {cluster: none}}], current-context: none}"""


def script(name, *arguments, env=None):
    return run([str(SCRIPTS / name), *map(str, arguments)], env=env)


class HealthCheck(unittest.TestCase):
    def check(self, url, *arguments):
        return script("health-check.sh", "--url", url, *arguments)

    def test_it_fails_when_there_are_too_many_connections(self):
        """S136, S60"""
        with Server() as server:
            url = f"http://127.0.0.1:{server.admin_port}"
            with clients.RawClient(server.port), clients.RawClient(server.port):
                done = self.check(url)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, r"\Ahealthy: 2 connections, \d+ frames in the queue, \d+ MiB\n\Z")
                done = self.check(url, "--connections", 1)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stdout, r"\Anot healthy: 2 connections, .*: more than 1 connections\n\Z")

    def test_1800_connections_are_allowed_and_1801_are_not(self):
        """S136: asked of statistics that say so."""
        for connections, status in ((1800, 0), (1801, 1)):
            stats = {"connections": {"active_connections": connections}, "message_queue": {"depth": 0},
                     "memory": {"resident_mb": 100.4}}
            with answering({"/health": (200, "{}"), "/stats": (200, json.dumps(stats))}) as url:
                self.assertEqual(self.check(url).returncode, status)

    def test_it_fails_when_the_server_is_stalled_or_is_none(self):
        """S136"""
        for answers, said in (({"/health": (503, "{}")}, "/health answers 503"),
                              ({"/health": (200, "{}")}, "/stats does not answer"),
                              ({"/health": (200, "{}"), "/stats": (200, "{}")}, "is not what ringcast answers")):
            with answering(answers) as url:
                done = self.check(url)
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stdout)
        done = self.check(url)  # which has ended
        self.assertEqual((done.returncode, done.stdout), (1, f"not healthy: {url} does not answer\n"))


class answering:
    """A server with these answers, {path: (status, body)}, as a context with its URL."""

    def __init__(self, answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = answers.get(self.path, (404, ""))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Diagnose(unittest.TestCase):
    PARTS = ["machine", "kernel", "program", "health", "statistics", "doctor", "process", "cgroup", "ports", "log"]

    def diagnose(self, *arguments, path=f"{BIN_DIR.resolve()}:{os.environ['PATH']}"):
        # Podman of an ordinary user would leave a process and folders behind.
        return script("diagnose.sh", *arguments, env=clean_environment({"PATH": path, "CONTAINER_ENGINE": "false"}))

    def parts(self, done):
        return [it.split()[0].rstrip(":") for it in re.findall(r"^== (.*)", done.stdout, re.M)]

    def test_it_prints_every_part_and_no_secret(self):
        """S137, S119"""
        env = {"RINGCAST_AUTH_TOKEN": f"{SECRET},{SECRET}}}{SECRET}"}
        with Server("--enable-auth", "--admin-token", f"{SECRET}&{SECRET}=2", "--allow-query-token", env=env) as server:
            run(["curl", "-s", f"{server.http()}?token={SECRET}3"])
            done = self.diagnose("--pid", server.pid)
            port = server.port
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.parts(done), self.PARTS)
        for expected in ("healthy: ok", "ready: ready", "clients    0 of 1000", "io_uring_disabled", "Max open files",
                         f"ringcast doctor: the server of process {server.pid}\n",
                         "security.enable_auth", "RINGCAST_AUTH_TOKEN=***", "--admin-token ***", f":{port} ",
                         *(["/sys/fs/cgroup/"] if os.listdir("/sys/fs/cgroup") else [])):  # A chroot may have none.
            self.assertIn(expected, done.stdout)
        self.assertNotIn(SECRET, done.stdout + done.stderr)

    def test_the_end_of_the_log_is_in_it_without_tokens(self):
        """S137, S119: a line that something else has written."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            log = pathlib.Path(folder, "server.log")
            server = Server("--log-file", log)
            server.start(wait=False)
            self.addCleanup(server.kill)
            self.assertTrue(wait_until(lambda: log.exists() and "listening on" in log.read_text(), 40))
            with open(log, "a", encoding="utf8") as file:
                file.write(f'GET /?token={SECRET}&x=1 "password": "{SECRET}" Authorization: Bearer {SECRET}\n'
                           f'nats://desk:{SECRET}@{SECRET}@host\n')
            done = self.diagnose("--pid", server.pid, "--log-lines", 20)
        self.assertIn('GET /?token=***&x=1 "password": "***" Authorization: ***', done.stdout)
        self.assertNotIn(SECRET, done.stdout)

    @unittest.skipIf(shutil.which("ringcast", path=SYSTEM_PATH), "SKIPPED: ringcast is installed on this machine")
    def test_a_program_in_no_folder_of_the_path_is_found(self):
        """S137"""
        with Server() as server:
            done = self.diagnose("--pid", server.pid, path=SYSTEM_PATH)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"$ /proc/{server.pid}/exe health", done.stdout)

    def test_it_goes_on_without_a_server(self):
        """S137"""
        done = self.diagnose("--pid", 1 << 22)
        self.assertEqual(done.returncode, 1)
        for expected in ("== machine", "no server has process ID", "(it has ended)", "== log"):
            self.assertIn(expected, done.stdout)

    def test_it_reaches_a_program_by_a_command(self):
        """S137: such as `kubectl exec`"""
        with Server() as server:
            done = self.diagnose("--exec", "nice -n 1")
        self.assertEqual(self.parts(done), ["machine", "kernel", "program", "health", "statistics", "doctor", "log"])
        self.assertIn("$ nice -n 1 ringcast ctl stats", done.stdout)
        self.assertIn("ask where the server runs", done.stdout)
        done = self.diagnose("--exec", "/no/such/program")
        self.assertEqual((done.returncode, done.stderr), (1, ""))

    def test_wrong_arguments_are_named(self):
        for arguments in (["--pid"], ["--pid", "x"], ["--log-lines", "x"], ["x"], ["--container", "no-such-container"]):
            done = self.diagnose(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertRegex(done.stderr, r"\Adiagnose: .*; see scripts/diagnose.sh --help\n\Z")


class Deploy(unittest.TestCase):
    """S129: the commands that it runs, and what it does when one of them fails."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("docker", "podman", "docker-compose", "kubectl"):
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(RECORDER)
            path.chmod(0o755)
        self.record = self.folder / "record"

    def deploy(self, *arguments, fails=NOTHING):
        """What it did, and the commands that changed something."""
        self.record.write_text("")
        done = script("deploy-websocket.sh", *arguments, env=clean_environment({
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "RECORD": str(self.record), "FAILS": fails,
            "COMPOSE": "docker-compose"}))
        lines = self.record.read_text().splitlines()
        return done, [line for line in lines if not re.search(
            r" (info|version|inspect|get --raw|get secret|--dry-run=client|logs)\b", line)]

    def test_wrong_arguments_are_named(self):
        for arguments, said in (
                ([], "-t is missing"), (["-t", "swarm", "deploy"], "-t swarm is not"), (["-t", "docker"], "what to do"),
                (["-t", "docker", "deploy"], "-e is missing"), (["-t", "compose", "rollback"], "-e is missing"),
                (["-t", "docker", "-e", "prod", "deploy"], "-e prod is not"),
                (["-t"], "-t needs a value"), (["deploy", "health"], "two commands"), (["-x"], "unknown argument"),
                (["-c", "/no/such", "deploy"], "/no/such does not exist"),
                (["-t", "docker", "--timeout", "x", "health"], "--timeout is not a number"),
                (["-t", "compose", "-e", "test", "-i", "ringcast:1.2.0", "deploy"], "the compose file names the image"),
                (["-t", "kubernetes", "-e", "test", "deploy"], "give a tag")):
            done, commands = self.deploy(*arguments)
            self.assertEqual((done.returncode, commands), (2, []), arguments)
            self.assertIn(said, done.stderr)

    def test_what_is_missing_is_named(self):
        for target, fails, said in (("docker", " info", "no container engine answers"),
                                    ("compose", "compose .*version", "no compose answers"),
                                    ("kubernetes", "kubectl get --raw", "reaches no cluster")):
            done, commands = self.deploy("-t", target, "health", fails=fails)
            self.assertEqual((done.returncode, commands), (2, []), target)
            self.assertIn(said, done.stderr)

    def test_podman_is_used_where_docker_has_no_daemon(self):
        done, commands = self.deploy("-t", "docker", "health", fails="^docker ")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(commands, ["podman exec websocket-server ringcast health --ready"])

    def test_a_dry_run_changes_nothing(self):
        for target in (("docker",), ("compose",), ("kubernetes", "-i", "ringcast:1.2.0")):
            for command in ("deploy", "rollback", "cleanup"):
                done, commands = self.deploy("-t", *target, "-e", "test", "--dry-run", command)
                self.assertEqual((done.returncode, commands), (0, []), done.stderr)
                self.assertRegex(done.stderr, r"(?m)^\+ ")

    COMPOSE = "docker-compose -f docker-compose.websocket.yml "

    def test_compose_builds_checks_starts_and_verifies(self):
        done, commands = self.deploy("-t", "compose", "-e", "production", "deploy")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(commands, [
            self.COMPOSE + "config --quiet",
            "docker build -t websocket-server:latest .",
            "docker tag sha256:before websocket-server:previous",
            self.COMPOSE + "up --detach --no-build --remove-orphans",
            self.COMPOSE + "exec -T websocket-server-1 ringcast health --ready",
            self.COMPOSE + "exec -T websocket-server-1 ringcast ctl stats"])

    def test_compose_returns_to_the_image_before(self):
        done, commands = self.deploy("-t", "compose", "-e", "production", "deploy", fails=" up .*orphans")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the image before runs again", done.stderr)
        self.assertEqual(commands[-6:], [
            "docker tag websocket-server:latest websocket-server:rollback",
            "docker tag websocket-server:previous websocket-server:latest",
            "docker tag websocket-server:rollback websocket-server:previous",
            "docker rmi websocket-server:rollback",
            self.COMPOSE + "up --detach --no-build",
            self.COMPOSE + "exec -T websocket-server-1 ringcast health --ready"])

    def test_compose_keeps_the_image_before_when_the_image_is_the_same(self):
        """S129: a second deployment of an image does not make it the one before itself."""
        done, commands = self.deploy("-t", "compose", "-e", "production", "deploy", "--no-build", fails=" up ")
        self.assertEqual(done.returncode, 1)
        self.assertFalse([line for line in commands if " tag " in line])

    def test_one_change_at_a_time(self):
        """S129: a second deployment ends; a check of the health does not wait."""
        folder = os.open(CHECKOUT, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        for command in ("deploy", "rollback", "cleanup"):
            done, commands = self.deploy("-t", "compose", "-e", "test", command)
            self.assertEqual((done.returncode, commands), (1, []), done.stderr)
            self.assertIn("another deploy, rollback or cleanup runs", done.stderr)
        self.assertEqual(self.deploy("-t", "compose", "health")[0].returncode, 0)

    def test_a_bad_compose_file_changes_nothing(self):
        done, commands = self.deploy("-t", "compose", "-e", "production", "deploy", fails="config --quiet")
        self.assertEqual((done.returncode, commands), (1, [self.COMPOSE + "config --quiet"]))

    IN_NAMESPACE = "kubectl -n websocket-system "

    def kubernetes(self, *arguments, fails=NOTHING):
        return self.deploy("-t", "kubernetes", "-e", "test", "-i", "registry.example.com/ringcast:1.2.0", *arguments,
                           fails=fails)

    def test_kubernetes_builds_checks_applies_and_verifies(self):
        done, commands = self.kubernetes("--push", "deploy")
        self.assertEqual(done.returncode, 0, done.stderr)
        check = commands.pop(2)
        self.assertRegex(check, r"\Adocker run --rm --network none .* registry.example.com/ringcast:1.2.0 --check-config\Z")
        self.assertEqual(commands, [
            "docker build -t registry.example.com/ringcast:1.2.0 .",
            "docker push registry.example.com/ringcast:1.2.0",
            "kubectl apply -l ringcast/keep!=yes -f -",
            self.IN_NAMESPACE + "rollout status deployment/websocket-server --timeout=120s",
            self.IN_NAMESPACE + "get deployment,pods,service,hpa",
            self.IN_NAMESPACE + "exec deployment/websocket-server -- ringcast ctl stats"])

    def test_only_image_and_profile_of_the_manifest_change(self):
        """S129: and the tokens are applied where there are none yet."""
        done, commands = self.kubernetes("--no-build", "deploy", fails="get secret")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(commands[0], "kubectl apply -f -")
        applied = pathlib.Path(f"{self.record}.input").read_text().splitlines()
        lines = MANIFEST.read_text().splitlines()
        self.assertEqual(len(applied), len(lines))
        self.assertEqual([line.strip() for line, before in zip(applied, lines) if line != before],
                         ["image: registry.example.com/ringcast:1.2.0", "value: test"])

    def test_kubernetes_returns_to_the_pods_before(self):
        """S133"""
        done, commands = self.kubernetes("--no-build", "deploy", fails="rollout status")
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.IN_NAMESPACE + "rollout undo deployment/websocket-server", commands)
        self.assertNotIn(self.IN_NAMESPACE + "exec deployment/websocket-server -- ringcast ctl stats", commands)

    def test_a_configuration_that_is_not_good_is_not_applied(self):
        done, commands = self.kubernetes("deploy", fails="check-config")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was changed", done.stderr)
        self.assertFalse([line for line in commands if "apply" in line])

    def of_script(self):
        for command in ("deploy", "health", "rollback", "cleanup"):
            self.kubernetes("--no-build", command)
            yield from (line.split() for line in self.record.read_text().splitlines() if line.startswith("kubectl "))

    def of_page(self):
        page = (CHECKOUT / "docs/kubernetes.md").read_text(encoding="utf8")
        for block in doc_commands.blocks_of("docs/kubernetes.md", page):
            for command in block.commands_and_output()[0]:
                for part in command.replace("\\\n", " ").split(" | "):
                    if part.strip().startswith("kubectl "):
                        yield shlex.split(part)

    @unittest.skipUnless(shutil.which("kubectl"), "SKIPPED: kubectl is not installed")
    @in_full
    def test_kubectl_knows_each_argument(self):
        """Of the script and of the page: a kubectl that reaches no cluster complains of that, and of nothing else."""
        commands = {tuple(words) for words in (*self.of_script(), *self.of_page())}
        self.assertGreater(len(commands), 20)
        (self.folder / "config").write_text(NO_CLUSTER)
        for name in ("k8s", "container"):
            (self.folder / name).symlink_to(CHECKOUT / name)
        (self.folder / "tokens.json").write_text("{}")
        shutil.copy(MANIFEST, self.folder / "seccomp-daemonset.yaml")
        for words in sorted(commands):
            done = subprocess.run([shutil.which("kubectl"), *words[1:]], input=MANIFEST.read_bytes(), check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, cwd=self.folder,
                                  env={**os.environ, "KUBECONFIG": "config"})
            self.assertTrue(done.returncode == 0 or b"127.0.0.1:9" in done.stdout, (words, done.stdout))
            self.assertNotRegex(done.stdout, rb"unknown|unable to parse", words)


class Style(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "SKIPPED: shellcheck is not installed")
    def test_shellcheck_finds_no_fault(self):
        scripts = [str(SCRIPTS / name) for name in ("deploy-websocket.sh", "diagnose.sh", "health-check.sh")]
        done = run(["shellcheck", *scripts])
        self.assertEqual(done.stdout, "")

    def test_each_help_is_complete(self):
        for name in ("deploy-websocket.sh", "diagnose.sh", "health-check.sh"):
            done = script(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(f"scripts/{name}", done.stdout)
            source = (SCRIPTS / name).read_text()
            labels = re.findall(r"^ +(-[-a-z| ]+)\) ", source, re.M)
            options = {option for label in labels for option in label.split(" | ")}
            self.assertGreaterEqual(len(options), 4)
            self.assertEqual([it for it in sorted(options) if not re.search(rf"(?m)^ .*{it}[ ,]", done.stdout)], [], name)


if __name__ == "__main__":
    unittest.main()
