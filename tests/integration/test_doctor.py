"""`ringcast doctor`: what it looks at, what it prints, and that its page has all of it."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from server import CHECKOUT, Server, as_ordinary_user, clean_environment, program, run

LEVELS = ["FAIL", "WARN", "INFO", "UNKNOWN", "OK"]  # the worst first
WAIT_SECONDS_MAX = 1.0  # of a whole run: half of the two seconds that its page promises
CPU_SECONDS_MAX = 0.5


def ids_of_table():
    source = (CHECKOUT / "src/doctor/doctor_checks.c").read_text(encoding="utf8")
    rows = re.findall(r"\{doctor_check_\w+,\s*((?:\"[^\"]*\"\s*)+)\}", source)
    return " ".join("".join(re.findall(r'"([^"]*)"', row)) for row in rows).split()


class DoctorTestCase(unittest.TestCase):
    """Options of the server are always given: other servers may run at this host."""

    def doctor(self, *arguments, prefix=(), binary=None, status=None, **options):
        done = run([*prefix, binary or program("ringcast"), "doctor", *map(str, arguments)],
                   env=options.pop("env", None) or clean_environment(), **options)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def findings(self, *arguments, **options):
        done = self.doctor("--json", *arguments, **options)
        self.assertEqual(done.stderr, "")
        return {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}

    def copy_for_others(self, mode=0o755):
        """A copy of the program that any user may reach."""
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        path = pathlib.Path(folder.name, "ringcast")
        shutil.copy(program("ringcast"), path)
        path.chmod(mode)
        return str(path)


class Output(DoctorTestCase):
    def check_findings(self, done):
        said = json.loads(done.stdout)
        self.assertEqual(list(said), ["subject", "pid", "findings"])
        levels = [LEVELS.index(finding["level"]) for finding in said["findings"]]
        self.assertEqual(levels, sorted(levels))
        worst = LEVELS[levels[0]]
        self.assertEqual(done.returncode, {"FAIL": 2, "WARN": 1}.get(worst, 0))
        for finding in said["findings"]:
            self.assertEqual(list(finding), ["id", "level", "is", "why", "change"])
            self.assertTrue(finding["is"].endswith("."), finding)
            self.assertEqual(finding["level"] in ("WARN", "FAIL") and not (finding["why"] and finding["change"]), False,
                             finding)
        self.assertEqual({finding["id"] for finding in said["findings"]} - set(ids_of_table()), set())
        return said

    def test_json_has_all_findings_in_one_form(self):
        """S96: here, and as another user without rights."""
        said = self.check_findings(self.doctor("--json", "--port", 8765))
        self.assertIsNone(said["pid"])
        self.assertGreater(len(said["findings"]), 12)
        if os.geteuid() == 0:
            self.check_findings(self.doctor("--json", "--port", 8765, prefix=as_ordinary_user(),
                                            binary=self.copy_for_others()))

    def test_text_shows_what_is_good_only_when_asked(self):
        short, long = (self.doctor("--port", 8765, *more).stdout for more in ((), ("--verbose",)))
        self.assertRegex(long, r"(?m)^OK +kernel\.version ")
        self.assertNotRegex(short, r"(?m)^(OK|UNKNOWN) ")
        for line in (short + long).splitlines():  # A path may be longer; it has a line of its own then.
            self.assertTrue(len(line) <= 80 or " " not in line[23:], line)

    def test_the_page_has_each_id_of_the_table_and_no_other(self):
        """S137"""
        page = (CHECKOUT / "docs/doctor.md").read_text(encoding="utf8")
        rows = re.findall(r"(?m)^\| `([a-z]+\.[a-z_]+)` \| (.*) \|$", page.split("## Findings")[1])
        self.assertEqual(sorted(name for name, _ in rows), sorted(ids_of_table()))
        self.assertEqual(len(set(ids_of_table())), len(ids_of_table()))
        for name, cells in rows:
            self.assertEqual(len([cell for cell in cells.split(" | ") if cell.strip()]), 3, name)

    def test_only_chooses_checks_and_their_kinds(self):
        found = self.findings("--only", "uring.mode,limit", "--port", 8765)
        self.assertEqual(set(found), {"uring.mode", "limit.nofile", "limit.memlock", "limit.nproc"})

    def test_exit_status_is_that_of_the_worst_finding(self):
        """S106: 0, 1 and 2 by limits that are too small."""
        user, binary = as_ordinary_user(), self.copy_for_others()
        self.doctor("--only", "kernel", "--port", 8765, status=0)
        done = self.doctor("--only", "limit.nofile,kernel", "--max-connections", 1000, status=2,
                           prefix=("prlimit", "--nofile=200:200"))
        self.assertIn("FAIL    limit.nofile   200 files may be open", done.stdout)
        done = self.doctor("--only", "limit.memlock", "--port", 8765, binary=binary,
                           prefix=("prlimit", "--memlock=4194304:4194304", *user))
        # All processes of the user share it: the ring may be refused.
        self.assertEqual(done.returncode, {"WARN": 1, "FAIL": 2}[done.stdout.splitlines()[2].split()[0]])
        self.assertIn(" limit.memlock  4096 KiB of memory may be locked", done.stdout)

    def test_settings_of_the_kernel_are_compared_with_those_of_the_package(self):
        """S106: with the values of the file of sysctl."""
        package = (CHECKOUT / "packaging/60-ringcast.conf").read_text(encoding="utf8")
        settings = re.findall(r"(?m)^(net\S+) = (\d+)$", package)
        source = (CHECKOUT / "src/doctor/doctor_net.c").read_text(encoding="utf8")
        self.assertEqual(len(settings), 3)
        self.assertEqual(re.findall(r'"(net\.[a-z0-9_.]+)", (\d+)\}', source), settings)
        found = self.findings("--only", "net.backlog", "--port", 8765)["net.backlog"]
        for name, least in settings:
            path = pathlib.Path("/proc/sys", name.replace(".", "/"))
            if path.exists() and int(path.read_text(encoding="ascii")) < int(least):  # A container may have none.
                self.assertIn(name, found["is"])

    def test_wrong_usage_is_refused_with_the_reason(self):
        for arguments, why in ((["--only", "cpus"], "'cpus' is not a list of ids"),
                               (["--only", "kernel,"], "is not a list of ids"), (["--only"], "is not given"),
                               (["--pid", "x"], "'x' is not a process ID"), (["--pid"], "is not given"),
                               (["--pid", "1", "--port", "1"], "'--port' is not possible"),
                               (["--pid", str(1 << 22)], "no process 4194304 runs"),
                               (["--pid", str(os.getpid())], "is not a server of ringcast"),
                               (["--prot", "1"], "did you mean --port?"), (["--port", "x"], "--port"),
                               (["--version"], "with --version no server starts"),
                               (["--config", "/no/such/file"], "/no/such/file")):
            done = self.doctor(*arguments, status=3)
            self.assertEqual(done.stdout, "")
            self.assertTrue(done.stderr.startswith("ringcast doctor: "), done.stderr)
            self.assertIn(why, done.stderr)

    def test_output_that_cannot_be_written_is_an_error(self):
        for form in ([], ["--json"]):
            with open("/dev/full", "w", encoding="utf8") as full:
                done = subprocess.run([program("ringcast"), "doctor", "--port", "8765", *form], stdout=full,
                                      stderr=subprocess.PIPE, text=True, env=clean_environment(), check=False)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertRegex(done.stderr, r"\Aringcast doctor: standard output cannot be written .*\n\Z")


class Waits(DoctorTestCase):
    """It ends within two seconds: not by the clock, which a busy machine makes wrong, but by what it waits for."""

    @unittest.skipUnless(shutil.which("strace"), "SKIPPED: strace is not installed")
    def test_a_whole_run_sleeps_less_than_a_second(self):
        with tempfile.NamedTemporaryFile("r", prefix="ringcast-") as report:
            done = run(["strace", "-f", "-o", report.name, "-e", "trace=clock_nanosleep,nanosleep,poll,ppoll,select,"
                        "pselect6,epoll_wait,epoll_pwait,wait4,futex", program("ringcast"), "doctor", "--port", "8765"],
                       env=clean_environment())
            if "ptrace" in done.stderr or "strace:" in done.stderr:
                self.skipTest(f"SKIPPED: strace may not trace here: {done.stderr}")
            lines = [line for line in report.read().splitlines() if re.search(r"\d+ \w+\(", line)]
        slept = 0.0
        for line in lines:
            call = re.search(r"(clock_nanosleep|nanosleep)\(.*?tv_sec=(\d+), tv_nsec=(\d+)", line)
            self.assertTrue(call or "futex(" in line and "FUTEX_WAKE" in line, f"it waits for something: {line}")
            slept += int(call[2]) + int(call[3]) / 1e9 if call else 0
        self.assertLess(slept, WAIT_SECONDS_MAX, lines)

    def test_a_whole_run_uses_little_of_a_cpu(self):
        before = os.times()
        subprocess.run([program("ringcast"), "doctor", "--port", "8765", "--json"], stdout=subprocess.DEVNULL,
                       env=clean_environment(), check=False)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        self.assertLess(used, CPU_SECONDS_MAX)


class Servers(DoctorTestCase):
    """S137: against a running server, with its options."""

    def test_options_are_those_of_the_server(self):
        """Of its file, which is named from its working directory; of its environment; of its command line."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            pathlib.Path(folder, "mine.yaml").write_text("websocket:\n  max_connections: 1234\n", encoding="utf8")
            with Server("--config", "mine.yaml", prefix=("env", "-C", folder)) as server:
                found = self.findings("--pid", server.pid)
            self.assertIn("1234 clients", found["limit.nofile"]["is"])
            self.assertEqual(found["env.options"]["level"], "OK")
            with Server("--config", "mine.yaml", prefix=("env", "-C", folder),
                        env={"RINGCAST_MAX_CONNECTIONS": "1235"}) as server:
                self.assertIn("1235 clients", self.findings("--pid", server.pid)["limit.nofile"]["is"])
            with Server("--max-connections", 1236, env={"RINGCAST_MAX_CONNECTIONS": "1235"}) as server:
                done = self.doctor("--pid", server.pid, "--json", env={"RINGCAST_MAX_CONNECTIONS": "7"})
                said = json.loads(done.stdout)
            self.assertEqual((said["subject"], said["pid"]), (f"the server of process {server.pid}", server.pid))
            self.assertIn(" 1236 clients", done.stdout)

    def test_what_the_kernel_does_not_show_is_said(self):
        """As an ordinary user, beside a server whose environment only root may read, as nobody may read its program."""
        with Server("--max-connections", 1237, binary=self.copy_for_others(mode=0o111)) as server:
            options = {} if os.geteuid() else {"prefix": as_ordinary_user(), "binary": self.copy_for_others()}
            found = self.findings("--pid", server.pid, **options)
        self.assertEqual(found["env.options"]["level"], "INFO")
        self.assertIn(f"The environment of process {server.pid} cannot be read: Permission denied.", found["env.options"]["is"])
        self.assertIn("1237 clients", found["limit.nofile"]["is"])

    @unittest.skipIf(os.geteuid(), "SKIPPED: only root can be another user")
    def test_a_file_of_the_same_name_is_not_taken_for_the_servers(self):
        """In the folder of an ordinary user, who may not enter the server's."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as mine, tempfile.TemporaryDirectory(prefix="ringcast-") as other:
            for folder, number in ((mine, 1234), (other, 777)):
                pathlib.Path(folder, "mine.yaml").write_text(f"websocket:\n  max_connections: {number}\n", encoding="utf8")
            os.chmod(other, 0o755)
            pathlib.Path(other, "mine.yaml").chmod(0o644)
            with Server("--config", "mine.yaml", prefix=("env", "-C", mine)) as server:
                found = self.findings("--pid", server.pid, prefix=("env", "-C", other, *as_ordinary_user()),
                                      binary=self.copy_for_others())
        self.assertIn("mine.yaml is in a folder that cannot be entered", found["env.options"]["is"])
        self.assertIn("1000 clients", found["limit.nofile"]["is"])

    def test_a_configuration_that_was_a_stream_is_not_waited_for(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            pipe = pathlib.Path(folder, "pipe")
            os.mkfifo(pipe)
            writer = subprocess.Popen(["sh", "-c", f"echo 'websocket: {{max_connections: 1234}}' > {pipe}"])
            with Server("--config", pipe) as server:
                writer.wait()
                found = self.findings("--pid", server.pid)
        self.assertIn(f"{pipe} can be read only once", found["env.options"]["is"])

    @unittest.skipIf(os.geteuid(), "SKIPPED: only root can mount a file")
    def test_a_file_is_read_only_if_the_server_has_it_at_its_path(self):
        """A unit of systemd, too, has a mount namespace of its own, in which most files are those of the host."""
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            ours, theirs = (pathlib.Path(folder, name) for name in ("ours.yaml", "theirs.yaml"))
            ours.write_text("websocket:\n  max_connections: 1234\n", encoding="utf8")
            theirs.write_text("websocket:\n  max_connections: 777\n", encoding="utf8")
            apart = ("unshare", "--mount", "sh", "-ec", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh", theirs, ours)
            if run([*map(str, apart), "true"]).returncode != 0:
                self.skipTest("SKIPPED: nothing can be mounted here")
            with Server("--config", ours, prefix=apart) as server:
                other = self.findings("--pid", server.pid)
            with Server("--config", theirs, prefix=apart) as server:
                same = self.findings("--pid", server.pid)
        self.assertIn("ours.yaml is gone, or another file for the server", other["env.options"]["is"])
        self.assertEqual(same["env.options"]["level"], "OK")
        self.assertIn(" 777 clients", same["limit.nofile"]["is"])

    def test_commands_of_the_program_are_no_servers(self):
        with Server() as server:
            stat = subprocess.Popen([program("ringcast"), "stat", "--pid", str(server.pid)], stdout=subprocess.PIPE)
            self.addCleanup(stat.stdout.close)
            self.addCleanup(stat.wait)
            self.addCleanup(stat.kill)
            stat.stdout.readline()
            self.assertIn("is not a server", self.doctor("--pid", stat.pid, status=3).stderr)


if __name__ == "__main__":
    unittest.main()
