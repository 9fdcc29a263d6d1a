"""docs/runbook.md: its commands show a fault of each tree that is planted (S138). test_docs runs them without a fault."""
import json
import os
import re
import subprocess
import unittest

from clients import RawClient, subscribe_message
from server import BIN_DIR, CHECKOUT, Server, reap, run, spawn, wait_until

PAGE = (CHECKOUT / "docs/runbook.md").read_text(encoding="utf8")
BUSY = ("python3", "-c", "while True: pass")


class Trees(unittest.TestCase):
    def ask(self, server, tree, words):
        """What the one command of this tree with these words prints, for this server."""
        section = PAGE[PAGE.index(f"\n## {tree}\n"):].split("\n## ", 2)[1]
        (command,) = [line for line in re.findall(r"^    ((?:curl|ringcast) .*)$", section, re.M) if words in line]
        command = re.sub(r"localhost:(?:8080|9090)", f"localhost:{server.admin_port}", command)
        command = re.sub(r"^ringcast ctl (\w+)", rf"ringcast ctl \1 --pid {server.pid}", command)
        done = run(["bash", "-c", command], env={**os.environ, "PATH": f"{BIN_DIR.resolve()}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_connections_fail(self):
        """The reasons of refusals are counted apart."""
        with Server("--max-connections", "1", "--allowed-origins", "https://a.example") as server:
            with self.assertRaisesRegex(ConnectionError, "403"):
                RawClient(server.port, extra="Origin: https://b.example\r\n")
            with RawClient(server.port):
                with self.assertRaisesRegex(ConnectionError, "503"):
                    RawClient(server.port)
                refused = self.ask(server, "Connections fail", "connections_refused_total")
                self.assertEqual(self.ask(server, "Connections fail", ".process.open_fds")[:4], "[1,1")
        counts = dict(re.findall(r'reason="(\w+)"} (\d+)', refused))
        self.assertEqual({name for name, count in counts.items() if count != "0"}, {"forbidden", "busy"})

    def test_memory_grows(self):
        """Who does not read is the first of the list, with its cause."""
        with Server("--frame-log-bytes", "1m", "--send-buffer-bytes", "64k",
                    "--feed", "sim:symbols=20,rate=20000,types=quote+depth") as server, \
                RawClient(server.port, receive_buffer=4096) as client:
            client.send_text(subscribe_message(["*"], ["quote", "depth"]))
            server.wait_until_blocked()
            first = self.ask(server, "Memory grows", "ctl clients").splitlines()[1]
            self.assertRegex(first, r" blocked +client")
            blocked = json.loads(self.ask(server, "Memory grows", "{blocked, catching_up}"))
            self.assertEqual(blocked["blocked"], 1)

    def test_latency_is_high(self):
        """A core that shares its CPU with another program waits for it."""
        cpu = str(min(os.sched_getaffinity(0)))
        with Server("--feed", "sim:symbols=20,rate=5000", prefix=("taskset", "-c", cpu)) as server:
            busy = spawn(["taskset", "-c", cpu, *BUSY], stdout=subprocess.DEVNULL)
            self.addCleanup(reap, busy)

            def waited():
                lines = map(json.loads, self.ask(server, "Latency is high", ".run_delay_seconds").splitlines())
                return sum(line[2] for line in lines if line[0].startswith("core"))
            before = waited()
            self.assertTrue(wait_until(lambda: waited() > before + 0.05, 60))

    def test_clients_disconnect(self):
        """The reasons of closes are counted apart."""
        with Server("--idle-timeout", "1") as server:
            RawClient(server.port).reset()
            with RawClient(server.port) as idle:
                self.assertEqual(idle.wait_for_close(20)[0], 4114)
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["closed"] == 2))
            dropped = json.loads(self.ask(server, "Clients disconnect", "{closed, dropped}"))["dropped"]
            self.assertEqual({name for name, count in dropped.items() if count}, {"reset", "idle"})


if __name__ == "__main__":
    unittest.main()
