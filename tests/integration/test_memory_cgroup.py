"""A server in a cgroup with a memory limit: version 1 or 2, whichever this machine lets us make."""
import pathlib
import unittest
import uuid

from server import Server, wait_until

MIB = 1024 * 1024
FEED = ("--feed", "sim:symbols=5,rate=100")
SECONDS = 60


def memory_group():
    """(folder of this process's memory cgroup, name of the file with its limit), or None."""
    groups = [line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text()
              .splitlines()]
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        is_v1 = kind == "cgroup" and "memory" in options.split(",")
        for _, controllers, path in groups:
            if kind == "cgroup2" and controllers == "":
                limit = "memory.max"
            elif is_v1 and "memory" in controllers.split(","):
                limit = "memory.limit_in_bytes"
            else:
                continue
            inner = path[len(root):] if root != "/" and path.startswith(root) else path
            folder = pathlib.Path(point + (inner if inner != "/" else ""))
            controlled = folder / "cgroup.subtree_control"
            if kind == "cgroup2" and not (controlled.exists() and
                                          "memory" in controlled.read_text().split()):
                continue
            if folder.exists():
                return folder, limit
    return None


class MemoryCgroup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        found = memory_group()
        if found is None:
            raise unittest.SkipTest("SKIPPED: no memory cgroup is in use here")
        parent, cls.limit = found
        cls.outer = parent / f"ringcast-test-{uuid.uuid4().hex[:12]}"
        try:
            cls.outer.mkdir()
        except OSError as error:
            raise unittest.SkipTest(f"SKIPPED: no cgroup may be made here: {error}") from None
        cls.addClassCleanup(cls.outer.rmdir)
        # The limit is the parent's; the server's own cgroup has none.
        if cls.limit == "memory.max":
            try:
                (cls.outer / "cgroup.subtree_control").write_text("+memory")
            except OSError as error:
                raise unittest.SkipTest(f"SKIPPED: {error}") from None
        cls.group = cls.outer / "inner"
        cls.group.mkdir()
        cls.addClassCleanup(lambda: wait_until(cls._remove_group, SECONDS))

    @classmethod
    def _remove_group(cls):
        try:
            cls.group.rmdir()
        except OSError:
            return False
        return True

    def server(self, limit_bytes, *options):
        (self.outer / self.limit).write_text(str(limit_bytes))
        return Server(*FEED, *options,
                      prefix=("sh", "-c", f'echo $$ > "{self.group}/cgroup.procs" && exec "$@"',
                              "sh"))

    def test_a_frame_log_over_the_limit_is_refused_with_the_limit(self):
        server = self.server(300 * MIB, "--frame-log-bytes", "1g").start(wait=False)
        self.assertEqual(server.wait(SECONDS), 1)
        line = server.log_lines()[-1]
        self.assertRegex(line, "memory limit, 300 MiB")
        self.assertIn(str(self.outer / self.limit), line)
        self.assertIn("--frame-log-bytes", line)

    def test_connections_over_the_limit_are_refused_too(self):
        server = self.server(300 * MIB, "--max-connections", "1000000").start(wait=False)
        self.assertEqual(server.wait(SECONDS), 1)
        self.assertRegex(server.log(), "1000000 connections .*--max-connections")

    def test_logs_that_fit_one_by_one_only_are_warned_of(self):
        with self.server(300 * MIB, "--frame-log-bytes", "128m") as server:
            self.assertIsNotNone(server.wait_for_line("WARNING .*clients of all encodings"))
        with self.server(300 * MIB, "--frame-log-bytes", "16m") as server:
            self.assertNotIn("clients of all", server.log())

    def test_statistics_are_of_the_limit_and_its_warning_comes(self):
        with self.server(300 * MIB, "--frame-log-bytes", "64m") as server:
            system = server.stats()["system"]
            self.assertAlmostEqual(system["memory_used_mb"] + system["memory_available_mb"], 300,
                                   delta=1)
            self.assertGreater(system["memory_percent"], 100 * 64 / 300)
            self.assertIsNone(server.wait_for_line("memory: .* in use", 0))
            # Twelve in thirteen parts of the limit.
            used = int(system["memory_used_mb"])
            (self.outer / self.limit).write_text(str((used + used // 12) * MIB))
            self.assertIsNotNone(server.wait_for_line(
                r"WARNING .*memory: 9\d % of this cgroup's limit is in use", SECONDS),
                server.log())


if __name__ == "__main__":
    unittest.main()
