"""kill -9 of a producer and of the server in turn, under load: what was acknowledged is in the log once.

The producers number their ticks: the tick n has the q and the id n. They note each acknowledgement
with the epoch of the server in a file, which survives them. The log of each server is read when it
has been killed: it is a file of shared memory that we keep open.
"""
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

from server import BIN_DIR, Server, reap, run, spawn, wait_until
from test_board import FOLLOW_LOG, JSON, logs

QUICK_ROUNDS, FULL_ROUNDS = 6, 100
SECONDS = 60
ACKED_MAX = 2000     # A kill comes after up to as many acknowledgements more,
KILL_SECONDS = 0.12  # and up to as much later: not always at the same place between two of them.
LOG_BYTES = 64 << 20


def spans(logged):
    """For messages: the first and the last tick of each log."""
    return {epoch: (ids[0], ids[-1]) for epoch, ids in logged.items() if ids}


class Producing:
    """A producer that is started again after it was killed, with the file of what was acknowledged."""

    def __init__(self, case, symbol, command, directory):
        self.case, self.symbol, self.command = case, symbol, command
        self.path = pathlib.Path(directory) / symbol
        self.path.touch()
        self.process = None
        self.last = 0

    def start(self):
        self.process = spawn([*self.command, str(self.path), str(self.last)],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def kill(self):
        reap(self.process)
        self.process.stderr.close()

    def acked(self):
        """(epoch, from, to) for each acknowledgement. The last line may still be in the making."""
        lines = self.path.read_text().split("\n")[:-1]
        return [(epoch, int(first), int(last)) for epoch, first, last in map(str.split, lines)]

    def acked_last(self):
        acked = self.acked()
        return acked[-1][2] if acked else 0

    def wait_for_acked(self, count):
        goal = self.acked_last() + count
        reached = wait_until(lambda: self.acked_last() >= goal or self.process.poll() is not None,
                             SECONDS)
        self.case.assertTrue(reached, f"{self.symbol}: no {goal} acknowledgements: {self.acked()[-3:]}")
        self.case.assertIsNone(self.process.poll(), f"{self.symbol} ended")

    def finish(self):
        """A last run, which ends with the acknowledgement of its last tick."""
        self.kill()
        self.last = self.acked_last() + 100
        self.start()
        _, errors = self.process.communicate(timeout=SECONDS)
        self.case.assertEqual((self.process.returncode, errors), (0, ""))


class Kills(unittest.TestCase):
    def setUp(self):
        for path in (FOLLOW_LOG, BIN_DIR.parent / "tests" / "publish_numbers"):
            if not path.exists():
                self.skipTest(f"SKIPPED: {path} does not exist: run `zig build` first")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.address = f"unix:{self.directory}/socket"
        self.files = {}  # epoch: a descriptor of its log

    def start_server(self):
        """The server of a new epoch, whose log we keep."""
        server = Server("--feed", f"ingest:unix={self.directory}/socket", "--frame-log-bytes",
                        LOG_BYTES).start()
        path, epoch = logs(server.pid)[JSON]
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.files[f"{epoch:016x}"] = fd
        return server

    def ids(self, fd):
        """{symbol: the ids of its ticks in the order of the log}"""
        lines = run([str(FOLLOW_LOG), f"/proc/self/fd/{fd}", "all"], SECONDS, pass_fds=[fd]).stdout
        found, seqs = collections.defaultdict(list), collections.Counter()
        symbols = {}
        for line in lines.splitlines():
            word, channel, *rest = line.split(" ")
            if word == "last":
                self.assertEqual(seqs[channel], int(rest[0]))
                continue
            self.assertEqual(word, "frame", line)
            seqs[channel] += 1
            self.assertEqual(seqs[channel], int(rest[0]))
            tick = json.loads(bytes.fromhex(rest[1]))
            self.assertEqual(symbols.setdefault(channel, tick["symbol"]), tick["symbol"])
            self.assertEqual(tick["ts_event"], tick["data"]["id"])
            found[tick["symbol"]].append(tick["data"]["id"])
        return found

    def check(self, producing, logged):
        """logged: {epoch: the ids of this symbol}, in the order of the epochs."""
        acked = producing.acked()
        expected = 1
        for epoch, first, last in acked:
            self.assertEqual(first, expected)
            self.assertIn(epoch, logged)
            expected = last + 1
        everywhere = set().union(*logged.values())
        self.assertLessEqual(set(range(1, expected)), everywhere)
        acked_before = 0
        for epoch, ids in logged.items():
            self.assertEqual(len(set(ids)), len(ids), f"{epoch}: a tick is there twice")
            self.assertEqual(ids, sorted(ids), f"{epoch}: ticks are out of order")
            present = set(ids)
            for _, first, last in (row for row in acked if row[0] == epoch):
                missing = set(range(first, last + 1)) - present
                self.assertFalse(missing, f"{epoch}: acknowledged and not there; "
                                 f"acknowledged: {acked[-5:]}; there: {spans(logged)}")
            # Only what the servers before have not acknowledged may be in their logs, too.
            self.assertFalse([number for number in ids if number <= acked_before],
                             f"{epoch}: has ticks that were acknowledged by a server before")
            acked_before = max([acked_before, *(row[2] for row in acked if row[0] == epoch)])

    def test_what_was_acknowledged_is_in_the_log_once_and_nothing_is_twice(self):
        is_full = os.environ.get("RINGCAST_TEST_SIZE") == "full"
        seed = int(os.environ.get("RINGCAST_TEST_SEED", time.time_ns() % 1_000_000_007))
        chance = random.Random(seed)
        commands = {"C": [str(BIN_DIR.parent / "tests" / "publish_numbers"), self.address, "C", "20"],
                    "PYTHON": [sys.executable, "-B", str(pathlib.Path(__file__).with_name(
                        "publish_numbers.py")), self.address, "PYTHON", "5"]}
        producers = [Producing(self, symbol, command, self.directory)
                     for symbol, command in commands.items()]
        server = self.start_server()
        with self.subTest(seed=seed):
            try:
                for producing in producers:
                    producing.start()
                for number in range(FULL_ROUNDS if is_full else QUICK_ROUNDS):
                    victim = producers[number // 2 % 2]
                    for producing in producers:
                        producing.wait_for_acked(chance.randint(1, ACKED_MAX))
                    time.sleep(chance.uniform(0, KILL_SECONDS))
                    if number % 2 == 0:
                        victim.kill()
                        victim.start()
                    else:
                        server.kill()
                        server = self.start_server()
                for producing in producers:
                    producing.finish()
                server.kill()
                logged = {epoch: self.ids(fd) for epoch, fd in self.files.items()}
                for producing in producers:
                    self.check(producing,
                               {epoch: ids[producing.symbol] for epoch, ids in logged.items()})
            finally:
                server.kill()
                for producing in producers:
                    producing.kill()


if __name__ == "__main__":
    unittest.main()
