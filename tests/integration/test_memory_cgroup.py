"""A server in a cgroup with a memory limit: version 1 or 2, whichever this machine lets us make."""
import pathlib
import re
import resource
import unittest
import uuid

from clients import RawClient, request, subscribe_message
from server import Server, in_full, wait_until

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

CONNECTIONS = 1_000_000


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

    def server(self, limit_bytes, *options, feed=FEED):
        (self.outer / self.limit).write_text(str(limit_bytes))
        return Server(*feed, *options,
                      prefix=("sh", "-c", f'echo $$ > "{self.group}/cgroup.procs" && exec "$@"',
                              "sh"))

    def test_a_frame_log_over_the_limit_is_refused_with_the_limit(self):
        server = self.server(300 * MIB, "--frame-log-bytes", "1g").start(wait=False)
        self.assertEqual(server.wait(SECONDS), 1)
        line = server.log_lines()[-1]
        self.assertRegex(line, "memory limit, 300 MiB")
        self.assertIn(str(self.outer / self.limit), line)
        self.assertIn("--frame-log-bytes", line)

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS,
                     f"SKIPPED: fewer than {CONNECTIONS} open files are allowed here (ulimit -Hn)")
    def test_connections_over_the_limit_are_refused_too(self):
        server = self.server(300 * MIB, "--max-connections", str(CONNECTIONS)).start(wait=False)
        self.assertEqual(server.wait(SECONDS), 1)
        self.assertRegex(server.log(), f"{CONNECTIONS} connections .*--max-connections")

    def test_logs_that_may_not_fit_together_start_with_a_warning_whose_advice_is_good(self):
        """256 MiB, and the defaults."""
        warning = r"WARNING .*--frame-log-bytes: .* logs of 3 encodings may take .* of this cgroup's memory limit"
        with self.server(256 * MIB) as server:
            line = server.wait_for_line(warning)
            self.assertIsNotNone(line, server.log())
        advice = re.search(r"Give --frame-log-bytes (\d+m), or --memory-max (\d+m),", line)
        for option, value in (("--frame-log-bytes", advice[1]), ("--memory-max", advice[2])):
            with self.server(256 * MIB, option, value) as server:
                self.assertNotIn("WARNING", server.log())

    def test_no_advice_is_given_that_does_not_help(self):
        with self.server(140 * MIB) as server:
            line = server.wait_for_line("WARNING .*Give --frame-log-bytes")
            self.assertNotIn("--memory-max", line)

    def test_statistics_are_of_the_limit_and_its_warning_comes(self):
        """S72: a warning that begins with memory."""
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

    def test_near_the_limit_new_connections_are_refused_until_there_is_room_again(self):
        """S41, S90: max_memory_percent: of the cgroup, which the kernel ends when it is full."""
        with self.server(300 * MIB, "--frame-log-bytes", "16m", "--alert-memory", "0") as server:
            with RawClient(server.port) as inside:
                inside.subscribe(["*"], ["quote"])
                used = int(server.stats()["system"]["memory_used_mb"])
                (self.outer / self.limit).write_text(str((used + used // 14) * MIB))
                self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 503, SECONDS))
                self.assertIsNotNone(server.wait_for_line("protection memory_hard begins"))
                with RawClient(server.port, upgrade=False) as other:
                    other.send(request())
                    self.assertEqual(other.read_head(), 503)
                    self.assertIn("short of memory", other.read_body())
                inside.next_message(("quote",))
                (self.outer / self.limit).write_text(str(300 * MIB))
                self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 200, SECONDS))
                self.assertIsNotNone(server.wait_for_line("protection memory_hard ends"))
                RawClient(server.port).close()

    def used_bytes(self):
        name = "memory.current" if self.limit == "memory.max" else "memory.usage_in_bytes"
        return int((self.outer / name).read_text())

    @in_full
    def test_clients_that_read_nothing_hold_what_their_sockets_take_and_give_it_back(self):
        """The pages that they refer to are in no other figure once the log has been lapped."""
        log_bytes, send_buffer = MIB, 65536
        # The kernel doubles the buffer, and a stretch goes in whole when it is not full yet; version 2
        # counts twice what TCP refers to. Then there is the connection itself.
        most = (2 if self.limit == "memory.max" else 1) * (2 * send_buffer + 65536) + 8192
        with self.server(600 * MIB, "--frame-log-bytes", log_bytes, "--zero-copy-bytes", 4096,
                         "--send-buffer-bytes", send_buffer,
                         feed=("--feed", "sim:symbols=1,rate=5120,burst=128,types=trade")) as server:
            lap = 2 * log_bytes // 128  # ticks that overwrite all of the log
            server.wait_for_ticks(lap)
            clients, before = [], self.used_bytes()
            for count in range(1, 41):  # Each is given pages of its own, since they come one by one.
                clients.append(self.stalled(server))
                server.wait_until_blocked(count)
            server.wait_for_ticks(lap)
            held = self.used_bytes() - before
            self.assertGreater(server.core_sum("lent_bytes"), len(clients) * send_buffer)
            self.assertGreater(held, len(clients) * send_buffer // 2)
            self.assertLess(held, len(clients) * most)
            clients += [self.stalled(server) for _ in range(300)]
            server.wait_until_blocked(len(clients))
            server.wait_for_ticks(lap)
            self.assertLess(self.used_bytes() - before, len(clients) * most)
            for client in clients:
                client.close()
            self.assertTrue(wait_until(lambda: self.used_bytes() - before < held // 2, SECONDS),
                            (before, held, self.used_bytes()))

    @staticmethod
    def stalled(server):
        client = RawClient(server.port, receive_buffer=4096)
        client.send_text(subscribe_message(["*"], ["trade"], delivery={"on_lag": "skip"}))
        return client


if __name__ == "__main__":
    unittest.main()
