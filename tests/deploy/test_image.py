"""The image: what it is made of, what it promises to those who run it, and the seccomp profile that it needs."""
import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import unittest

import debian
import images
from clients import RawClient, subscribe_message
from images import CHECKOUT, HARDENED, PODMAN, SECCOMP, Container
from server import wait_until

IMAGE_BYTES_MAX = 30_000_000
IO_URING = ["io_uring_enter", "io_uring_register", "io_uring_setup"]
MIB = 1024 * 1024
SECONDS = 60
COMPRESSED = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
BINARY = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"
HOURS = "*.SH Asia/Shanghai Mon-Fri 09:30-11:30,13:00-15:00\n*.US America/New_York Mon-Fri 09:30-16:00\n"


def inspected(image):
    return json.loads(debian.command(*PODMAN, "image", "inspect", image))[0]


def files_of(image, folder):
    """The files of an image, in a folder."""
    name = images.unique_name()
    debian.command(*PODMAN, "create", "--name", name, image)
    try:
        debian.command(*PODMAN, "export", "--output", f"{folder}.tar", name)
    finally:
        debian.command(*PODMAN, "rm", "--volumes", name)
    folder.mkdir()
    debian.command("tar", "-C", str(folder), "-xpf", f"{folder}.tar")


def remove_labelled(label):
    """Without the images that they are made from, which another build may be using."""
    found = debian.command(*PODMAN, "images", "--all", "--quiet", "--filter", f"label={label}").split()
    if found:
        debian.command(*PODMAN, "rmi", "--no-prune", *dict.fromkeys(found))


def another_context(folder, label):
    """What the image is built from, as another checkout has it: with other times, and a file more. Both stages
    have a label more, so that podman makes their layers again."""
    unused = shutil.ignore_patterns(*re.findall(r"(?m)^[^#/*]+$", (CHECKOUT / ".dockerignore").read_text("utf8")))
    shutil.copytree(CHECKOUT, folder, copy_function=shutil.copy, symlinks=True, ignore=unused, dirs_exist_ok=True)
    pathlib.Path(folder, "config/more.yaml").write_text("# not used\n", encoding="utf8")
    recipe = (CHECKOUT / "Dockerfile").read_text("utf8")
    for line in ("COPY . .\n", "COPY --from=build"):
        recipe = recipe.replace(line, f"LABEL {label}\n{line}")
    pathlib.Path(folder, "Dockerfile").write_text(recipe, "utf8")


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = images.ringcast()
        cls.folder = tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = pathlib.Path(cls.folder.name, "root")
        files_of(cls.image, cls.root)

    def test_its_settings_are_those_that_were_promised(self):
        """S123, S124: user 1000, ports, health check, volumes, working directory; any command line follows."""
        image = inspected(self.image)
        config = image["Config"]
        self.assertEqual(config["User"], "1000:1000")
        self.assertEqual(set(config["ExposedPorts"]), {"8765/tcp", "8080/tcp", "9090/tcp"})
        second = 1_000_000_000
        self.assertEqual(image["Healthcheck"], {"Test": ["CMD", "ringcast", "health"], "Interval": 30 * second,
                                                "Timeout": 10 * second, "StartPeriod": 5 * second, "Retries": 3})
        self.assertEqual(set(config["Volumes"]), {"/app/logs", "/app/config"})
        self.assertEqual(config["WorkingDir"], "/app")
        self.assertEqual(config["Entrypoint"], ["ringcast"])
        self.assertIsNone(config.get("Cmd"))
        version = re.search(r'RINGCAST_VERSION "(.+)"', (CHECKOUT / "codec/base/version.h").read_text("utf8"))[1]
        self.assertEqual(config["Labels"]["org.opencontainers.image.version"], version)

    def test_it_has_at_most_30_mb(self):
        self.assertLessEqual(inspected(self.image)["Size"], IMAGE_BYTES_MAX)

    def test_it_has_one_program_no_shell_and_no_file_with_more_rights(self):
        programs = [str(path.relative_to(self.root)) for path in self.root.rglob("*")
                    if path.is_file() and os.access(path, os.X_OK) and ".so" not in path.name]
        self.assertEqual(sorted(programs), ["usr/bin/ringcast", "usr/bin/websocket-server"])
        self.assertEqual((self.root / "usr/bin/websocket-server").resolve(), self.root / "usr/bin/ringcast")
        special = [path for path in self.root.rglob("*") if path.lstat().st_mode & 0o6000]
        self.assertEqual(special, [])
        foreign = [path for path in self.root.rglob("*") if path.lstat().st_uid != 0]
        self.assertEqual({str(path.relative_to(self.root)) for path in foreign}, {"app", "app/logs", "app/config"})

    def test_its_packages_are_described_for_scanners_and_have_their_licences(self):
        described = {path.name for path in (self.root / "var/lib/dpkg/status.d").iterdir()}
        self.assertLessEqual({"libc6", "libssl3", "liburing2", "libjemalloc2", "tzdata"}, described)
        for package in described:
            with self.subTest(package=package):
                self.assertTrue((self.root / "usr/share/doc" / package / "copyright").stat().st_size)
                self.assertRegex((self.root / "var/lib/dpkg/status.d" / package).read_text("utf8"), r"(?m)^Version: \d")

    def test_two_builds_have_the_same_layers(self):
        again = images.unique_name()
        self.addCleanup(remove_labelled, f"{again}=yes")
        with tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp") as folder:
            another_context(folder, f"{again}=yes")
            images.build(again, folder)
        self.addCleanup(debian.command, *PODMAN, "image", "untag", again)
        self.assertEqual(inspected(again)["RootFS"]["Layers"], inspected(self.image)["RootFS"]["Layers"])

    def test_containerfile_and_dockerfile_are_one(self):
        self.assertTrue((CHECKOUT / "container/Containerfile").samefile(CHECKOUT / "Dockerfile"))


class Profile(unittest.TestCase):
    def rules(self, *options):
        """The filter that podman gives the runtime for a container without capabilities."""
        with Container("--version", hardened=("--cap-drop", "ALL", *options), ports=()) as container:
            container.podman("wait")  # podman cannot remove a container that ends meanwhile.
            path = container.inspect(".OCIConfigPath")
            return json.loads(pathlib.Path(path).read_text("utf8"))["linux"]["seccomp"]

    def test_it_adds_exactly_the_calls_of_io_uring_to_the_default(self):
        default, ours = self.rules(), self.rules("--security-opt", f"seccomp={SECCOMP}")
        self.assertEqual(ours["syscalls"][0], {"names": IO_URING, "action": "SCMP_ACT_ALLOW"})
        # What podman has twice in its own file is the same rule.
        rules = {json.dumps(rule, sort_keys=True) for rule in default["syscalls"]}
        self.assertEqual({json.dumps(rule, sort_keys=True) for rule in ours["syscalls"][1:]}, rules)
        self.assertEqual([ours[key] for key in ("defaultAction", "defaultErrnoRet")],
                         [default[key] for key in ("defaultAction", "defaultErrnoRet")])
        self.assertLessEqual(set(default["architectures"]), set(ours["architectures"]))

    def refused(self, *options):
        status, said = Container(hardened=("--cap-drop", "ALL", *options), ports=()).run()
        self.assertEqual(status, 1, said)
        self.assertNotIn("listening on", said)
        error = [line for line in said.splitlines() if " ERROR " in line]
        self.assertEqual(len(error), 1, said)
        return error[0]

    def test_under_the_default_of_podman_the_server_ends_with_the_reason_and_the_remedy(self):
        self.assertRegex(self.refused(), r"Function not implemented.* seccomp .*io_uring_setup, io_uring_enter and io_uring_register")

    def test_under_the_rule_of_docker_25_it_does_so_too(self):
        """Docker and containerd answer EPERM."""
        profile = json.loads(SECCOMP.read_text("utf8"))
        profile["syscalls"][0].update(action="SCMP_ACT_ERRNO", errnoRet=1)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(profile, file)
            file.flush()
            said = self.refused("--security-opt", f"seccomp={file.name}")
        self.assertRegex(said, r"Operation not permitted.* seccomp .*io_uring_setup, io_uring_enter and io_uring_register")


class Running(unittest.TestCase):
    """One hardened container: read-only, without capabilities, under our profile."""
    @classmethod
    def setUpClass(cls):
        # Nothing of the server is large in /dev/shm: the frame logs are files in memory of its own.
        cls.container = Container(ports=(8765, 8080, 9090), options=("--shm-size", "64k"))
        cls.container.__enter__()
        cls.addClassCleanup(cls.container.remove)
        cls.container.wait_until_ready()

    def test_it_is_confined(self):
        """S124: user 1000 without capabilities, who can gain none, under a filter, on a read-only root."""
        status = pathlib.Path(f"/proc/{self.container.pid()}/status").read_text("ascii")
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.assertEqual(values["Uid"].split(), ["1000"] * 4)
        for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
            self.assertEqual(int(values[f"Cap{kind}"], 16), 0, kind)
        self.assertEqual((values["NoNewPrivs"], values["Seccomp"]), ("1", "2"))
        mounts = pathlib.Path(f"/proc/{self.container.pid()}/mountinfo").read_text("ascii")
        self.assertRegex(mounts, r"(?m)^\S+ \S+ \S+ / / ro,")

    def test_clients_receive_ticks_and_the_numbers_are_open(self):
        """S63, S123: ports 8765, 8080 and 9090."""
        with RawClient(self.container.port(8765)) as client:
            client.subscribe(["*"], ["quote"])
            self.assertEqual(client.next_message(("quote",))["type"], "quote")
        for port in (8080, 9090):
            status, text = self.container.get("/metrics", port)
            self.assertEqual(status, 200)
            self.assertIn("\nringcast_ready 1\n", text)

    def test_other_hosts_reach_the_open_paths_only(self):
        """No token is configured, and the port is published."""
        self.assertEqual(self.container.get("/stats")[0], 200)
        for path in ("/config", "/admin/stats"):
            self.assertEqual(self.container.get(path)[0], 401, path)
        self.assertEqual(self.container.get("/stats", 9090)[0], 404)

    def test_the_health_check_follows_the_server(self):
        """S124: healthy, and not healthy while it is stopped."""
        check = (*PODMAN, "healthcheck", "run", self.container.name)
        debian.command(*check)
        os.kill(self.container.pid(), signal.SIGSTOP)
        try:
            with self.assertRaisesRegex(AssertionError, "unhealthy"):
                debian.command(*check)
        finally:
            os.kill(self.container.pid(), signal.SIGCONT)
        self.assertTrue(wait_until(lambda: self.container.podman("exec", "ringcast", "health"), SECONDS))

    def test_operators_control_it_by_exec_under_either_name(self):
        self.assertIn("process 1, ", self.container.podman("exec", "ringcast", "ctl", "stats"))
        self.assertIn("ringcast ", self.container.podman("exec", "websocket-server", "--version"))
        self.container.podman("exec", "ringcast", "ctl", "loglevel", "DEBUG")
        self.container.podman("exec", "ringcast", "ctl", "reload")
        self.container.podman("exec", "ringcast", "ctl", "dump")

    def test_process_1_has_no_children_to_wait_for(self):
        self.container.podman("exec", "ringcast", "health")
        children = pathlib.Path(f"/proc/{self.container.pid()}/task").glob("*/children")
        self.assertEqual("".join(path.read_text("ascii") for path in children), "")


class Starting(unittest.TestCase):
    def test_the_command_with_variables_and_volumes_serves(self):
        """S123, S35, S36: the command that users have, with the folder config of this checkout."""
        with tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp") as logs:
            os.chown(logs, 1000, 1000)
            options = ("-e", "ENVIRONMENT=production", "-e", "MAX_CONNECTIONS=2000", "-e", "LOG_LEVEL=DEBUG",
                       "-e", "WEBSOCKET_HOST=0.0.0.0", "-e", "WEBSOCKET_PORT=8765",
                       "-e", "MAX_SUBSCRIPTIONS_PER_CLIENT=50",
                       "-v", f"{logs}:/app/logs", "-v", f"{CHECKOUT / 'config'}:/app/config")
            with Container(options=options, hardened=images.UNDER_OUR_PROFILE) as container:
                container.wait_until_ready()
                config = json.loads(container.podman("exec", "ringcast", "ctl", "config", "--json"))
                self.assertEqual((config["websocket"]["max_connections"], config["logging"]["level"]), (2000, "DEBUG"))
                self.assertEqual(config["websocket"]["drain_timeout"], 5)  # of the profile
                self.assertEqual(container.log(), "")
            self.assertIn("listening on", pathlib.Path(logs, "websocket-server.log").read_text("utf8"))

    def test_every_profile_is_reachable(self):
        """S36: development listens on loopback alone elsewhere."""
        for profile in ("development", "test"):
            with Container(options=("-e", f"ENVIRONMENT={profile}")) as container:
                container.wait_until_ready()
                with RawClient(container.port(8765)) as client:
                    client.next_message(("WELCOME",))

    def test_a_file_of_ones_own_takes_the_place_of_the_images(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp") as folder:
            os.chmod(folder, 0o755)
            pathlib.Path(folder, "admin-token").write_text("admin-token-0123456789\n", "utf8")
            os.chown(pathlib.Path(folder, "admin-token"), 1000, 1000)
            pathlib.Path(folder, "server.yaml").write_text(
                "admin:\n  host: 0.0.0.0\n  token_file: config/admin-token\n", "utf8")
            volume = ("-v", f"{folder}:/app/config:ro")
            with Container("--config", "config/server.yaml", options=volume) as container:
                container.wait_until_ready()
                self.assertEqual(container.get("/admin/stats")[0], 401)
                bearer = {"Authorization": "Bearer admin-token-0123456789"}
                self.assertEqual(container.get("/admin/stats", headers=bearer)[0], 200)
                self.assertNotIn("metrics on", container.log())

    def test_time_zones_and_names_are_known(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp") as folder:
            os.chmod(folder, 0o755)
            pathlib.Path(folder, "hours.txt").write_text(HOURS, "utf8")
            checked = Container("--host", "localhost", "--market-hours", "config/hours.txt", "--check-config", ports=(),
                                options=("-v", f"{folder}:/app/config:ro"))
            self.assertEqual(checked.run(), (0, "configuration is good\n"))


class Ending(unittest.TestCase):
    def test_podman_stop_drains_the_clients(self):
        """S148: process 1 obeys SIGTERM; the clients receive a close, not a reset."""
        with Container() as container:
            container.wait_until_ready()
            with RawClient(container.port(8765)) as client:
                client.subscribe(["*"], ["quote"])
                stopping = threading.Thread(target=container.podman, args=("stop",))
                stopping.start()
                self.assertEqual(client.wait_for_close(SECONDS), (4201, "drain"))
            stopping.join()
            self.assertEqual(container.inspect(".State.ExitCode"), "0")
            self.assertIn("SIGTERM received", container.log())
            self.assertIn("stopped", container.log())


class Limits(unittest.TestCase):
    def test_the_server_reads_the_limits_of_its_container(self):
        """S108: 2 CPUs and 4 GiB."""
        with Container(options=("--memory", "4g", "--cpus", "2")) as container:
            container.wait_until_ready()
            system = json.loads(container.get("/stats")[1])["system"]
            self.assertAlmostEqual(system["memory_used_mb"] + system["memory_available_mb"], 4096, delta=1)

    @staticmethod
    def used_mib(container):
        """What the container is charged for, by version 1 or 2 of cgroups."""
        for line in pathlib.Path(f"/proc/{container.pid()}/cgroup").read_text("ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            for mount, file in ((f"/sys/fs/cgroup/{controllers}", "memory.usage_in_bytes"),
                                ("/sys/fs/cgroup", "memory.current")):
                usage = pathlib.Path(f"{mount}{path}", file)
                if "memory" in controllers + file and usage.exists():
                    return int(usage.read_text("ascii")) / MIB
        raise AssertionError("the container has no memory cgroup")

    def test_it_takes_the_memory_that_the_docs_say(self):
        """Within 10 % of the table of docs/memory.md, with 200 clients more, which it counts with 2 KiB each."""
        page = (CHECKOUT / "docs/memory.md").read_text("utf8")
        rows = re.search(r"^\| \*\*`--frame-log-bytes 16m`\*\*: at the start \| ([\d.]+) .*\n.*\n"
                         r"\| all three filled once \| \*\*([\d.]+)\*\*", page, re.M)
        at_start, filled = float(rows[1]), float(rows[2])
        arguments = ("--frame-log-bytes", "16m", "--max-connections-per-ip", "1000", "--handshakes-per-second", "10000",
                     "--feed", "sim:symbols=1000,rate=60000,types=quote+trade+bar+depth")
        with Container(*arguments, options=("--memory", "256m")) as container:
            container.wait_until_ready()
            self.assertAlmostEqual(self.used_mib(container), at_start, delta=at_start / 10)
            port = container.port(8765)
            readers = [RawClient(port, extra=COMPRESSED), RawClient(port, extra=BINARY)]
            clients = [RawClient(port) for _ in range(200)]
            for reader in readers:
                self.addCleanup(reader.close)
                reader.send_text(subscribe_message(["*"], ["quote", "trade", "bar", "depth"]))
                threading.Thread(target=reader.wait_for_end, daemon=True, args=(10 * SECONDS,)).start()

            def are_filled():
                logs = json.loads(container.get("/stats")[1])["memory"]["frame_logs"]
                return len(logs) == 3 and min(logs.values()) >= 24 * MIB
            self.assertTrue(wait_until(are_filled, 10 * SECONDS), container.log())
            used, expected = self.used_mib(container), filled + 200 * 2 / 1024
            for client in clients:
                client.close()
        self.assertAlmostEqual(used, expected, delta=expected / 10)


if __name__ == "__main__":
    unittest.main()
