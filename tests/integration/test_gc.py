"""Memory that is given back, and what it is used for: /admin/gc and /admin/gc-stats."""
import json
import unittest

from clients import HealthyClient, RawClient
from ptrace import StoppedThread
from server import Server, ServerTestCase, run, wait_until

JEMALLOC_KEYS = {"name", "allocated_bytes", "active_bytes", "metadata_bytes", "resident_bytes",
                 "mapped_bytes", "retained_bytes"}
DIRTY_BYTES_MAX = 1 << 20  # after a purge: what the answer itself has used since


class GarbageCollection(ServerTestCase):
    def json_of(self, path, method="GET", status=200):
        got, headers, body = self.server.admin(path, method)
        self.assertEqual((got, headers["Content-Type"]), (status, "application/json"), body)
        return json.loads(body)

    def dirty_bytes(self):
        return sum(arena["dirty_bytes"] for arena in self.json_of("/admin/gc-stats")["arenas"])

    def test_gc_stats_shows_arenas_slabs_log_segments_and_resident_memory(self):
        """S61: GET :8080/admin/gc-stats."""
        stats = self.json_of("/admin/gc-stats")
        self.assertEqual(set(stats), {"allocator", "arenas", "slabs", "frame_logs", "resident_bytes"})
        self.assertEqual(set(stats["allocator"]), JEMALLOC_KEYS)
        self.assertEqual(stats["allocator"]["name"], "jemalloc")
        self.assertGreaterEqual(len(stats["arenas"]), 2)
        for arena in stats["arenas"]:
            self.assertEqual(set(arena), {"arena", "threads", "allocated_bytes", "active_bytes",
                                          "dirty_bytes", "resident_bytes", "cached_bytes"})
            self.assertLessEqual(arena["allocated_bytes"], arena["active_bytes"])
        self.assertGreater(sum(arena["threads"] for arena in stats["arenas"]), 1)
        self.assertGreater(stats["slabs"]["count"], 0)
        self.assertLess(0, stats["slabs"]["used_bytes"])
        self.assertLessEqual(stats["slabs"]["used_bytes"], stats["slabs"]["bytes"])
        logs = {log["encoding"]: log for log in stats["frame_logs"]}
        self.assertGreaterEqual(logs["json"]["now_bytes"], logs["json"]["capacity_bytes"])
        self.assertLessEqual(logs["json"]["frames"], logs["json"]["frames_published"])
        self.assertGreater(stats["resident_bytes"], logs["json"]["capacity_bytes"])

    def test_the_lines_of_the_requirements_run_as_written(self):
        """S61: curl localhost:8080/admin/gc-stats | jq. S62: curl -X POST localhost:8080/admin/gc."""
        port = self.server.admin_port
        for line in ("curl localhost:8080/admin/gc-stats | jq .resident_bytes",
                     "curl -X POST localhost:8080/admin/gc | jq .resident_after_bytes"):
            result = run(["bash", "-o", "pipefail", "-c", line.replace(":8080", f":{port}")])
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertGreater(int(result.stdout), 1 << 20)

    def test_gc_gives_back_what_the_allocator_keeps_and_says_how_much(self):
        """S62: POST :8080/admin/gc replies the bytes returned."""
        for _ in range(20):
            with RawClient(self.server.port) as client:
                client.subscribe(["*"], ["quote", "trade", "bar", "depth"])
            self.server.stats()
        answer = self.json_of("/admin/gc", "POST")
        self.assertEqual(set(answer), {"freed_bytes", "resident_before_bytes", "resident_after_bytes"})
        fell = answer["resident_before_bytes"] - answer["resident_after_bytes"]
        self.assertEqual(answer["freed_bytes"], max(0, fell))
        self.assertLess(self.dirty_bytes(), DIRTY_BYTES_MAX)

    def test_clients_notice_nothing_of_it(self):
        with HealthyClient(self.server.url()) as client:
            for _ in range(20):
                self.json_of("/admin/gc", "POST")
            client.check(self)

    def test_only_post_collects(self):
        status, headers, _ = self.server.admin("/admin/gc")
        self.assertEqual(status, 405)
        self.assertIn("POST", headers["Allow"])


class Cores(unittest.TestCase):
    def caches(self, server):
        """Of the threads that have one."""
        arenas = json.loads(server.admin("/admin/gc-stats")[2])["arenas"]
        return [arena["cached_bytes"] for arena in arenas if arena["threads"] > 0]

    def test_every_core_hands_back_its_cache(self):
        with Server("--cores", "2") as server:
            clients = [RawClient(server.port) for _ in range(20)]
            for client in clients:
                client.subscribe(["*"], ["quote", "trade", "bar", "depth"])
            before = self.caches(server)
            self.assertGreaterEqual(sum(cached > 4096 for cached in before), 4, before)
            self.assertEqual(server.admin("/admin/gc", "POST")[0], 200)
            after = self.caches(server)
            self.assertGreaterEqual(sum(cached < 4096 for cached in after), 2, (before, after))
            for client in clients:
                client.close()

    def test_a_server_that_ends_refuses_or_answers(self):
        """It ends in time although somebody asks it to collect all the while."""
        with Server("--cores", "2", "--drain-timeout", "1") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                server.signal(15)
                server.wait_for_line("SIGTERM received")
                answers = []

                def asks():
                    try:
                        answers.append(server.admin("/admin/gc", "POST")[0])
                    except OSError:
                        return True
                    return False
                self.assertTrue(wait_until(asks))
                self.assertTrue(set(answers) <= {200, 503}, answers)
            self.assertEqual(server.wait(), 0)

    def test_a_core_that_stands_still_keeps_no_probe_waiting(self):
        """S54, S100: what needs the cores is given up, and is done when the core goes on."""
        with Server("--watchdog-seconds", "1") as server:
            with StoppedThread(server.pid, "core-0") as core:
                core.stop()
                status, _, body = server.admin("/admin/gc", "POST")
                self.assertEqual((status, json.loads(body)["error"]),
                                 (503, "the server is busy; try again in a moment"))
                self.assertEqual(json.loads(server.admin("/health")[2])["status"], "stalled")
                core.go_on()
                self.assertTrue(wait_until(lambda: server.admin("/admin/gc", "POST")[0] == 200))
            server.signal(15)
            self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main()
