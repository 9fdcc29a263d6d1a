"""--pid-file: written once the server listens, locked while it lives, replaced when it is stale."""
import os
import pathlib
import re
import signal
import tempfile
import unittest

from clients import RawClient
from server import Server, left_behind, program, run, wait_until

REFUSED = 2


class PidFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "ringcast.pid")

    def server(self, *options, path=None):
        return Server("--pid-file", path or self.path, *options)

    def refused(self, pattern, path=None):
        server = self.server(path=path)
        server.start(wait=False)
        self.addCleanup(server.kill)
        self.assertEqual(server.wait(), REFUSED, server.log())
        self.assertRegex(server.log(), pattern)
        self.assertEqual(left_behind(server.process.pid), [])

    def test_it_has_the_process_id_while_the_server_runs(self):
        """S74: a pid file."""
        with self.server() as server:
            self.assertTrue(wait_until(self.path.exists))
            self.assertEqual(self.path.read_text(), f"{server.pid}\n")
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o644 & ~os.umask(os.umask(0)))
            self.assertEqual(list(self.path.parent.iterdir()), [self.path])
        self.assertEqual(list(self.path.parent.iterdir()), [])

    def test_kill_finds_the_server_by_it(self):
        """S74: kill -HUP $(cat FILE)."""
        with self.server() as server:
            self.assertTrue(wait_until(self.path.exists))
            result = run(["bash", "-c", f"kill -HUP $(cat {self.path})"])
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIsNotNone(server.wait_for_line("SIGHUP|reload"))

    def test_pgrep_finds_the_server_by_its_whole_command_line(self):
        """S74: pgrep compares the first 15 characters of a name; with -f it finds "websocket-server"."""
        name = self.path.with_name("websocket-server")
        name.symlink_to(program("ringcast"))
        with Server("--pid-file", self.path, binary=str(name)) as server:
            found = run(["pgrep", "-f", f"{name} .*--pid-file"]).stdout.split()
            self.assertEqual(found, [str(server.pid)])

    def test_a_second_server_is_refused_with_the_process_that_has_it(self):
        with self.server() as server:
            self.assertTrue(wait_until(self.path.exists))
            self.refused(rf"--pid-file: .* belongs to process {server.pid}, which runs")
            self.assertEqual(self.path.read_text(), f"{server.pid}\n")

    def test_of_many_that_start_at_once_one_runs(self):
        servers = [self.server().start(wait=False) for _ in range(6)]
        for server in servers:
            self.addCleanup(server.kill)
        self.assertTrue(wait_until(lambda: sum(s.process.poll() is not None for s in servers) == 5, 60))
        (runs,) = [server for server in servers if server.process.poll() is None]
        self.assertTrue(wait_until(self.path.exists))
        self.assertEqual(self.path.read_text(), f"{runs.pid}\n")
        for server in servers:
            if server is not runs:
                self.assertEqual(server.wait(), REFUSED, server.log())
                self.assertRegex(server.log(), "belongs to process|other servers replace it")
        self.assertIsNotNone(runs.wait_for_line("engine io_uring"))
        runs.stop()
        self.assertEqual(list(self.path.parent.iterdir()), [])

    def test_the_file_of_a_server_that_was_killed_is_replaced(self):
        with self.server() as dead:
            self.assertTrue(wait_until(self.path.exists))
            dead.signal(signal.SIGKILL)
            dead.wait()
        self.assertEqual(self.path.read_text(), f"{dead.process.pid}\n")
        with self.server() as server:
            self.assertTrue(wait_until(lambda: self.path.read_text() == f"{server.pid}\n"))

    def test_an_empty_file_is_replaced(self):
        self.path.touch()
        with self.server() as server:
            self.assertTrue(wait_until(lambda: self.path.read_text() == f"{server.pid}\n"))

    def test_a_file_of_another_kind_is_refused_and_kept(self):
        for text in ("port: 8765\n", "12 monkeys\n", "-1\n", "0\n", "1\0\n", "9" * 40):
            self.path.write_text(text)
            self.refused("has something other than a process ID")
            self.assertEqual(self.path.read_text(), text)

    def test_paths_that_cannot_be_written_are_refused(self):
        self.refused("is not a regular file", path=self.path.parent)
        self.refused("cannot be written: No such file", path=self.path.parent / "none" / "file")
        self.path.symlink_to("/etc/passwd")
        self.refused("cannot be opened")

    def test_a_file_that_somebody_else_has_put_there_stays(self):
        with self.server() as server:
            self.assertTrue(wait_until(self.path.exists))
            self.path.unlink()
            self.path.write_text("1\n")
            server.stop()
        self.assertEqual(self.path.read_text(), "1\n")

    def test_no_file_is_left_by_a_start_that_fails_or_a_second_signal(self):
        with Server() as other:
            failing = Server("--pid-file", self.path, "--port", other.port, ports=False)
            failing.arguments += ["--admin-port", "0"]
            failing.start(wait=False)
            self.addCleanup(failing.kill)
            self.assertNotEqual(failing.wait(), 0)
        self.assertFalse(self.path.exists())
        with self.server("--drain-timeout", "30") as server, RawClient(server.port) as client:
            client.subscribe(["*"], ["quote"])
            self.assertTrue(wait_until(self.path.exists))
            server.signal(signal.SIGTERM)
            self.assertIsNotNone(server.wait_for_line("draining: 1 clients"))

            def ends():
                if server.process.poll() is None:
                    server.signal(signal.SIGTERM)
                return server.process.poll() is not None
            self.assertTrue(wait_until(ends))
            self.assertEqual(server.wait(), 1)
        self.assertFalse(self.path.exists())

    def test_the_key_of_the_file_is_pid_file(self):
        config = self.path.with_name("ringcast.yaml")
        config.write_text(f"pid_file: {self.path}\n")
        with Server("--config", config) as server:
            self.assertTrue(wait_until(self.path.exists))
            self.assertEqual(re.findall(r"\d+", self.path.read_text()), [str(server.pid)])


if __name__ == "__main__":
    unittest.main()
