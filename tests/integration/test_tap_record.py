"""ringcast-tap --record: a capture that another server plays to the digit."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest

import captures
from clients import ALL_TYPES, DATA_TYPES, RawClient
from server import CHECKOUT, Server, program, run, wait_until

FIRST_LINE = re.compile(r"(ws://\S+/|unix://\S+) <-> \d+\.\d{6} md\.json\.v1\n")
LINE = re.compile(r"(\d+\.\d{6}): (\{.*\})\n")


def record(path, server, *options, count=2000, types=ALL_TYPES):
    return run([program("ringcast-tap"), "--symbols", "*", "--types", ",".join(types), "--on-lag", "skip",
                "--quiet", "--count", str(count), "--record", str(path), *options, server.url()])


def fields(payload):
    """All of a data frame that its tick has: without what each server sets itself."""
    frame = captures.numbers_as_text(payload)
    return {key: frame.get(key) for key in ("ts_event", "data")}


def recorded(path):
    """The first line and {(symbol, type): [fields, ...]} of a capture."""
    channels = {}
    with open(path, encoding="utf8") as lines:
        first = next(lines)
        latest = 0.0
        for line in lines:
            stamp, payload = LINE.fullmatch(line).groups()
            assert float(stamp) >= latest, line
            latest = float(stamp)
            message = json.loads(payload)
            if message["type"] in DATA_TYPES:
                channels.setdefault((message["symbol"], message["type"]), []).append(fields(payload))
    return first, channels


def played(server, channel_count, tick_count):
    """{(symbol, type): [fields, ...]} of all that a server has published: it is resumed from its beginning."""
    channels = {}
    with RawClient(server.port, timeout=30) as client:
        epoch = client.next_message(("WELCOME",))["data"]["epoch"]
        client.send_text(json.dumps({"type": "RESUME", "data": {
            "epoch": epoch, "cursors": {str(channel): 0 for channel in range(channel_count)}}}))
        while sum(map(len, channels.values())) < tick_count:
            opcode, payload = client.next_frame()
            message = json.loads(payload) if opcode == 1 else {"type": None}
            assert message["type"] not in ("GAP", "ERROR"), message
            if message["type"] in DATA_TYPES:
                channels.setdefault((message["symbol"], message["type"]), []).append(fields(payload))
    return channels


class Captures(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "sim.ws.log"

    def check_played(self, path, *more):
        """A server that plays the capture publishes the same ticks."""
        _, expected = recorded(path)
        count = sum(map(len, expected.values()))
        with Server("--feed", f"replay:path={path},speed=0", *more) as server:
            publisher = wait_until(lambda: server.stats()["publisher"]["ticks"] == count and
                                   server.stats()["publisher"])
            self.assertTrue(publisher, server.log())
            self.assertEqual((publisher["feed_malformed"], publisher["feed_holes"], publisher["ticks_refused"]),
                             (0, 0, 0), server.log())
            found = played(server, len(expected), count)
        self.assertEqual(found.keys(), expected.keys())
        for channel, ticks in expected.items():
            self.assertEqual(found[channel], ticks, channel)

    def test_all_types_of_a_simulation_are_played_to_the_digit(self):
        types = "+".join(ALL_TYPES)
        with Server("--feed", f"sim:symbols=4,rate=2000,types={types}") as server:
            done = record(self.path, server)
            self.assertEqual(done.returncode, 0, done.stderr)
        first, channels = recorded(self.path)
        self.assertRegex(first, FIRST_LINE)
        self.assertEqual(first.split()[0], server.url())
        self.assertEqual(sum(map(len, channels.values())), 2000)
        self.assertEqual(len(channels), 4 * len(ALL_TYPES))
        self.check_played(self.path)

    def test_status_and_exact_numbers_are_played_to_the_digit(self):
        ticks = self.folder / "ticks.csv"
        ticks.write_text("ts_ns,symbol,type,price,size,side,id,bid,bid_size,ask,ask_size,status,reason\n"
                         "1,A.B,T,10.30,300,buy,18446744073709551615,,,,,,\n"
                         "2,A.B,Q,,,,,0.000000000000000001,9223372036854775807,10.32,,,\n"
                         ',\u00e9\\.B,S,,,,,,,,,halted,"a ""word"" \\ \u00e9"\n', encoding="utf8")
        with Server("--feed", f"replay:path={ticks},loop=yes") as server:
            done = record(self.path, server, count=30, types=("trade", "quote", "status"))
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({kind for _, kind in recorded(self.path)[1]}, {"trade", "quote", "status"})
        self.check_played(self.path)

    def test_the_example_data_is_played_to_the_digit(self):
        self.check_played(CHECKOUT / "examples/data/sim.ws.log")
        books = [ticks[0]["data"]["action"] for (_, kind), ticks in
                 recorded(CHECKOUT / "examples/data/sim.ws.log")[1].items() if kind == "depth"]
        self.assertEqual(books, ["snapshot"] * 4)

    def test_the_example_csv_is_made_of_the_capture(self):
        folder = CHECKOUT / "examples/data"
        with open(folder / "sim.ws.log", encoding="utf8") as capture:
            made = subprocess.run([sys.executable, str(folder / "capture_to_csv.py")], stdin=capture,
                                  capture_output=True, check=True, text=True)
        self.assertEqual(made.stdout, (folder / "sim.csv").read_text(encoding="utf8"))
        _, channels = recorded(folder / "sim.ws.log")
        expected = {key: [each["data"] for each in ticks] for key, ticks in channels.items() if key[1] == "trade"}
        with Server("--feed", f"replay:path={folder / 'sim.csv'},speed=0") as server:
            count = made.stdout.count("\n") - 1
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == count), server.log())
            found = played(server, 8, count)
        for key, ticks in expected.items():
            self.assertEqual([each["data"] for each in found[key]], ticks, key)

    def test_other_encodings_make_the_same_capture(self):
        with Server("--feed", "sim:symbols=4,rate=2000,types=quote+trade+bar+depth") as server:
            for encoding in ("sbe", "deflate"):
                with self.subTest(encoding):
                    path = self.folder / f"{encoding}.ws.log"
                    done = record(path, server, "--encoding", encoding, count=500)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertRegex(recorded(path)[0], FIRST_LINE)
                    self.check_played(path)

    def test_one_server_plays_what_another_publishes(self):
        os.mkfifo(self.path)
        with (Server("--feed", "sim:symbols=4,rate=500,types=quote+trade") as source,
              Server("--feed", f"replay:path={self.path},speed=0") as relay):
            results = []
            thread = threading.Thread(target=lambda: results.append(
                record(self.path, source, count=200, types=("quote", "trade"))))
            thread.start()
            played_all = wait_until(lambda: relay.stats()["publisher"]["ticks"] == 200, 30)
            thread.join(60)
            self.assertEqual([done.returncode for done in results], [0], [done.stderr for done in results])
            self.assertTrue(played_all, relay.log())


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--feed", "sim:symbols=5,rate=500").start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "a.ws.log")

    def record(self, path, *options):
        return record(path, self.server, *options, count=5, types=("quote",))

    def test_a_capture_is_never_overwritten(self):
        self.path.write_text("kept")
        accepted = self.server.stats()["connections"]["accepted"]
        done = self.record(self.path)
        self.assertEqual(done.returncode, 5)
        self.assertIn(f"{self.path} is not empty; remove it, or name another file", done.stderr)
        self.assertEqual(self.path.read_text(), "kept")
        self.assertEqual(self.server.stats()["connections"]["accepted"], accepted, "it costs no connection")

    def test_an_empty_file_is_used(self):
        self.path.touch()
        self.assertEqual(self.record(self.path).returncode, 0)
        self.assertRegex(self.path.read_text(), FIRST_LINE)

    def test_a_file_that_cannot_be_written_ends_it_with_5(self):
        for path, reason in (("/dev/full", "cannot write /dev/full: No space left on device"),
                             (self.path / "x", f"cannot open {self.path}/x: No such file or directory")):
            with self.subTest(path):
                done = record(path, self.server, count=1000000, types=("quote",))
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn(reason, done.stderr)

    def test_the_first_line_has_no_token(self):
        done = run([program("ringcast-tap"), "--quiet", "--count", "3", "--record", str(self.path),
                    self.server.url("/ws?token=secret")])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("secret", self.path.read_text())


if __name__ == "__main__":
    unittest.main()
