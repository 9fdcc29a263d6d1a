"""The dump: SIGUSR2 and POST /admin/dump write one directory (S64)."""
import json
import os
import pathlib
import resource
import signal
import stat
import tempfile
import unittest

from clients import RawClient
from server import Server, wait_until

FEED = ("--feed", "sim:symbols=2,rate=10")
TOKEN = "a-token-of-some-length-0123456789"
FILES = ["stats.json", "metrics.txt", "config.yaml", "log.txt", "threads.txt", "fds.txt", "allocator.txt", "counters",
         "status", "limits", "maps", "smaps_rollup"]


class Dump(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check(self, directory, server):
        self.assertRegex(directory.name, rf"^ringcast-dump-{server.pid}-20\d{{6}}T\d{{6}}Z$")
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        names = set(os.listdir(directory))
        self.assertLessEqual(set(FILES), names)
        for name in names:
            self.assertGreater((directory / name).stat().st_size, 0, name)
            self.assertNotIn(TOKEN.encode(), (directory / name).read_bytes(), name)
        self.assertEqual(json.loads((directory / "stats.json").read_text())["connections"]["active_connections"], 1)
        self.assertIn("ringcast_", (directory / "metrics.txt").read_text())
        self.assertRegex((directory / "threads.txt").read_text(), r"(?m)^\d+ comm=core-0 wchan=\S* stat=\d+ ")
        self.assertIn("listening on", (directory / "log.txt").read_text())
        self.assertRegex((directory / "config.yaml").read_text(), r"(?m)^  port: 0 # --port$")
        self.assertIn("VmRSS:", (directory / "status").read_text())
        self.assertRegex((directory / "fds.txt").read_text(), r"(?m)^\d+ socket:")

    def test_sigusr2_writes_one(self):
        """S64: beside SIGUSR1, which reopens logs (S65)."""
        with Server(*FEED, "--dump-dir", self.folder, "--enable-auth", "--auth-token", TOKEN) as server, \
                RawClient(server.port, extra=f"Authorization: Bearer {TOKEN}\r\n") as client:
            client.next_message(("WELCOME",))
            server.signal(signal.SIGUSR2)
            line = server.wait_for_line("dump: .* files were written to ")
            self.assertIsNotNone(line, server.log())
            self.check(pathlib.Path(line.rsplit(" ", 1)[1]), server)
            self.assertIsNotNone(server.wait_for_line("audit: GRANTED dump by SIGUSR2"))
            server.signal(signal.SIGUSR2)
            self.assertIsNotNone(server.wait_for_line("no dump: the last dump began less than 10 s ago"))
            self.assertEqual(len(os.listdir(self.folder)), 1)

    def test_post_admin_dump_writes_one(self):
        """S64"""
        with Server(*FEED, env={"RINGCAST_DUMP_DIR": self.folder}) as server, \
                RawClient(server.port) as client:
            client.next_message(("WELCOME",))
            status, _, body = server.admin("/admin/dump", method="POST")
            answer = json.loads(body)
            self.assertEqual(status, 200, body)
            self.assertEqual(sorted(answer["files"]), sorted(os.listdir(answer["directory"])))
            self.check(pathlib.Path(answer["directory"]), server)
            status, _, body = server.admin("/admin/dump", method="POST")
            self.assertEqual((status, json.loads(body)["error"]),
                             (429, "no dump: the last dump began less than 10 s ago"))
            self.assertEqual(server.admin("/admin/dump")[0], 405)

            def granted():
                return [line for line in server.log_lines() if "audit: GRANTED" in line]
            self.assertTrue(wait_until(lambda: len(granted()) >= 2), server.log())
            self.assertEqual(len(granted()), 2)
            self.assertRegex(granted()[0], r"audit: GRANTED 127\.0\.0\.1:\d+: admin request /admin/dump: as local$")

    def test_a_directory_that_is_not_there_is_an_error(self):
        with Server(*FEED, "--dump-dir", f"{self.folder}/none") as server:
            status, _, body = server.admin("/admin/dump", method="POST")
            self.assertEqual(status, 507, body)
            self.assertRegex(json.loads(body)["error"], f"cannot write {self.folder}/none/.*: No such file")
            self.assertIsNotNone(server.wait_for_line(r"ERROR.*dump: cannot write .*: No such file"))

    def test_nothing_is_left_of_one_that_fails(self):
        """A full disk, as the limit of file sizes shows it."""
        with Server(*FEED, "--dump-dir", self.folder) as server:
            before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (2000, before[1]))
            server.signal(signal.SIGUSR2)
            self.assertIsNotNone(server.wait_for_line(r"ERROR.*dump: cannot write .*: File too large"), server.log())
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
            self.assertEqual(os.listdir(self.folder), [])
            self.assertEqual(server.admin("/health")[0], 200)


if __name__ == "__main__":
    unittest.main()
