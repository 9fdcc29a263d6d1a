"""What --record writes is what replay plays back: the same ticks, in the same order, to the byte."""
import json
import os
import pathlib
import re
import resource
import struct
import subprocess
import tempfile
import unittest

from clients import DATA_TYPES, PING, PONG, RawClient, frame
from server import Server, in_full, program, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = [pathlib.Path(folder) for folder in
          (os.environ.get("RINGCAST_SHARED_DATA"), ROOT.parent / "shared" / "data",
           ROOT.parent.parent / "shared" / "data") if folder]
# What the server itself gives a tick: its channel number, its own seq and its times.
OWN = re.compile(rb'"ch":\d+,|"seq":\d+,|"ts_recv":\d+,?|"ts_pub":\d+,?')


def texts(messages):
    """The data frames by channel, without what is the server's own."""
    channels = {}
    for payload in messages:
        parsed = json.loads(payload)
        channels.setdefault((parsed["symbol"], parsed["type"]), []).append(OWN.sub(b"", payload))
    return channels


def ticks_of(files):
    """The ticks of a recording in their order over all channels, without their times of reception."""
    data = subprocess.run(["zstdcat", *files], stdout=subprocess.PIPE, check=True).stdout
    ticks, names, at = [], {}, 0
    while at < len(data):
        length, = struct.unpack_from("<I", data, at)
        message = data[at + 4:at + 4 + length]
        at += 4 + length
        if message[:1] != b"{":
            channel, = struct.unpack_from("<I", message, 40)
            ticks.append((names[channel], message[8:24], message[44:]))
        elif message.startswith(b'{"type":"DEFINITION"'):
            for channel in json.loads(message)["data"]["channels"]:
                names[channel["ch"]] = channel["symbol"], channel["type"]
        elif not message.startswith(b'{"type":"RECORDING"'):
            ticks.append(OWN.sub(b"", message))
    return ticks


class Frames:
    """A client of everything that keeps the bytes of its data frames."""

    def __init__(self, server):
        self.client = RawClient(server.port, timeout=60)
        self.client.subscribe(["*"], DATA_TYPES, delivery={"on_lag": "skip"})
        self.frames = []
        self.gaps = 0

    def read(self, count):
        """Until there are so many, or GAPs in their place."""
        while len(self.frames) + self.gaps < count:
            opcode, payload = self.client.next_frame()
            if opcode == PING:
                self.client.send(frame(PONG, payload))
            elif payload.startswith(b'{"type":"GAP"'):
                self.gaps += 1
            elif json.loads(payload)["type"] in DATA_TYPES:
                self.frames.append(payload)
        return self.frames

    def close(self):
        self.client.close()


class Recordings(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.recording = self.folder / "recording"
        self.recording.mkdir()

    def files(self):
        return sorted(self.recording.glob("ringcast-*.sbe.zst"))

    def recorded(self, server):
        return server.stats()["process"]["record_ticks"]

    def through_pipe(self, command, count, *options):
        """The frames of a server that reads what the command writes; the client is there before."""
        with Server("--feed", "replay:path=-,speed=0", *options, stdin=subprocess.PIPE) as server:
            client = Frames(server)
            subprocess.run(command, stdout=server.process.stdin, check=True, timeout=60)
            server.process.stdin.close()
            server.wait_for_line(f"after pass 1: {count} ticks .* 0 malformed, 0 holes", 60)
            frames = list(client.read(server.stats()["publisher"]["log_head"]))
            self.assertEqual(client.gaps, 0)
            client.close()
            if "--record" in options:
                self.assertTrue(wait_until(lambda: self.recorded(server) == count), server.log())
        return texts(frames)

    def check_capture(self, path, count):
        before = self.through_pipe(["cat", path], count, "--record", self.recording)
        self.assertGreaterEqual(sum(map(len, before.values())), count)
        self.assertEqual(subprocess.run(["zstd", "-tq", *self.files()]).returncode, 0)
        self.assertEqual(self.through_pipe(["cat", *self.files()], count), before)
        self.assertEqual(self.through_pipe(["zstdcat", *self.files()], count), before)
        # From the directory, at full speed: what a second server records of it is the same.
        second = self.folder / "second"
        second.mkdir()
        with Server("--feed", f"replay:path={self.recording},speed=0", "--record",
                    second) as server:
            self.assertTrue(wait_until(lambda: self.recorded(server) == count, 30), server.log())
        self.assertEqual(ticks_of(second.iterdir()), ticks_of(self.files()))

    def test_the_csv_example(self):
        self.check_capture(ROOT / "examples/data/sim.csv", 596)

    def test_the_capture_example(self):
        self.check_capture(ROOT / "examples/data/sim.ws.log", 1193)

    def test_a_recording_is_what_a_producer_sends(self):
        before = self.through_pipe(["cat", ROOT / "examples/data/sim.csv"], 596, "--record",
                                   self.recording)
        with Server("--feed", "ingest:stdin", stdin=subprocess.PIPE) as server:
            client = Frames(server)
            subprocess.run(["zstdcat", *self.files()], stdout=server.process.stdin, check=True)
            self.assertEqual(texts(client.read(596)), before, server.log())
            server.process.stdin.close()
            client.close()

    def check_shared(self, name, count):
        for folder in SHARED:
            if (folder / name).exists():
                return self.check_capture(folder / name, count)
        self.skipTest(f"SKIPPED: no {name}; set RINGCAST_SHARED_DATA")

    @in_full
    def test_captures_of_binance(self):
        self.check_shared("binance_futures.ws.log", 1535)

    def test_a_capture_of_coinbase(self):
        self.check_shared("coinbase.ws.log", 9933)

    def test_the_simulated_market_at_its_pace(self):
        """All four types; the replay has the pace of the recording."""
        with Server("--feed", "sim:symbols=10,rate=2000,types=quote+trade+bar+depth", "--record",
                    self.recording) as server:
            client = Frames(server)
            before = texts(client.read(3000))
            client.close()
        with Server("--feed", f"replay:path={self.recording}") as server:
            client = Frames(server)
            frames = client.read(2000)
            client.close()
        after = texts(frames)
        self.assertEqual({name[1] for name in after}, {"quote", "trade", "bar", "depth"})
        common = 0
        for name, ticks in after.items():
            if ticks[0] in before[name]:
                expected = before[name][before[name].index(ticks[0]):]
            else:
                expected, ticks = before[name], ticks[ticks.index(before[name][0]):]
            count = min(len(expected), len(ticks))
            self.assertEqual(ticks[:count], expected[:count])
            common += count
        self.assertGreater(common, 1000)
        first, last = json.loads(frames[0]), json.loads(frames[-1])
        took, was = (last[key] - first[key] for key in ("ts_recv", "ts_event"))
        self.assertGreater(took, was // 2)  # It may be late on a busy machine, but never early.

    def test_kill_9_costs_a_second_at_most(self):
        with Server("--feed", "sim:rate=2000", "--record", self.recording) as server:
            self.assertTrue(wait_until(lambda: self.recorded(server) > 1000), server.log())
            known = self.recorded(server)
            server.kill()
        size = self.files()[0].stat().st_size
        self.assertNotEqual(subprocess.run(["zstd", "-tq", *self.files()],
                                           stderr=subprocess.DEVNULL).returncode, 0)
        with Server("--feed", f"replay:path={self.recording},speed=0") as server:
            server.wait_for_line("ends in the middle of a block")
            self.assertTrue(wait_until(
                lambda: server.stats()["publisher"]["ticks"] >= known), server.log())
            self.assertEqual(server.stats()["publisher"]["feed_malformed"], 0)
        self.assertGreater(size, 0)
        # The server that starts again records into another file, which does not continue that one.
        with Server("--feed", "sim:rate=2000", "--record", self.recording) as server:
            self.assertTrue(wait_until(lambda: self.recorded(server) > 500), server.log())
        self.assertEqual(len(self.files()), 2)
        with Server("--feed", f"replay:path={self.recording},speed=0") as server:
            server.wait_for_line("is of another run of the server")
            server.wait_for_line("after pass 1")

    def test_a_full_disk_stops_the_recording_and_not_the_server(self):
        """A limit of file sizes is a disk that takes no more bytes; then it takes some again."""
        with Server("--feed", "sim:rate=5000", "--record", self.recording) as server:
            limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (100000, limits[1]))
            server.wait_for_line("recording stops: .*: File too large")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
            self.assertEqual(server.admin("/readyz")[0], 200)
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"], delivery={"on_lag": "skip"})
                client.next_message(("quote",))
            stopped = server.stats()["process"]
            if stopped["record_active"] == 0:
                self.assertIn("ringcast_record_active 0", server.admin("/metrics")[2])
            server.wait_for_line("recording continues with .*; [0-9]+ ticks were not recorded", 20)
            before = self.recorded(server)
            self.assertTrue(wait_until(lambda: self.recorded(server) > before + 100), server.log())
            process = server.stats()["process"]
            self.assertEqual(process["record_active"], 1)
            self.assertGreater(process["record_stopped"] + process["record_cut"], 0)
            metrics = server.admin("/metrics")[2]
            self.assertRegex(metrics, r'ringcast_record_dropped_total\{reason="stopped"\} [1-9]')
            self.assertEqual(len([line for line in server.log_lines()
                                  if "recording stops" in line]), 1)
        with Server("--feed", f"replay:path={self.recording},speed=0") as server:
            server.wait_for_line("after pass 1")
            publisher = server.stats()["publisher"]
            self.assertEqual(publisher["feed_malformed"], 0)
            self.assertGreaterEqual(publisher["feed_holes"], 1)

    def test_files_rotate_by_size(self):
        with Server("--feed", "sim:rate=20000,types=quote+trade", "--record", self.recording,
                    "--record-file-bytes", "64k") as server:
            self.assertTrue(wait_until(lambda: len(self.files()) > 3, 30), server.log())
        files = self.files()
        self.assertEqual(subprocess.run(["zstd", "-tq", *files]).returncode, 0)
        with Server("--feed", f"replay:path={self.recording},speed=0") as server:
            server.wait_for_line("after pass 1: .* 0 malformed, 0 holes")
        files[1].unlink()
        with Server("--feed", f"replay:path={self.recording},speed=0") as server:
            server.wait_for_line("does not continue the file before it")

    def test_starts_that_are_refused(self):
        not_there = self.folder / "nowhere"
        a_file = self.folder / "file"
        a_file.touch()
        for arguments, words in (
                (["--record", not_there], "No such file or directory; create the directory"),
                (["--record", a_file], "Not a directory; give a directory"),
                (["--record", self.recording, "--record-file-bytes", "1k"], "--record-file-bytes"),
                (["--feed", f"replay:path={self.recording}"],
                 "the directory has no recording (ringcast-*.sbe.zst)")):
            result = run([program("ringcast"), "--check-config", *map(str, arguments)])
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(words, result.stderr)
        result = run([program("ringcast"), "--check-config", "--record", str(self.recording)])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(list(self.recording.iterdir()), [])

    def test_two_servers_do_not_share_a_directory(self):
        with Server("--record", self.recording):
            result = run([program("ringcast"), "--port", "0", "--admin-port", "0", "--record",
                          str(self.recording)])
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("another server records there", result.stderr)


if __name__ == "__main__":
    unittest.main()
