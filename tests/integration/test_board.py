"""A second process reads the logs of a running server: what WebSocket clients receive is there."""
import collections
import json
import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import threading
import unittest

from clients import BINARY, CLOSE, PING, PONG, TEXT, RawClient, frame, subscribe_message
from server import BIN_DIR, Server, reap, spawn, wait_until
from test_control import Control
from test_sbe import SCHEMA

FOLLOW_LOG = BIN_DIR.parent / "tests" / "follow_log"
JSON, SBE, JSON_DEFLATE = range(3)
DESCS = (1 << 20) // 128  # frames in a log of 1 MiB at most
LINE_BYTES_MIN = 100
SECONDS = 60
TYPES = ("quote", "trade", "bar", "depth")
ENVELOPE = {field.name: field.offset for block in SCHEMA.messages.values() for field in block.fields
            if field.name in ("ch", "seq")}


def board_files(pid):
    """(path, first bytes) of the server's files of shared memory."""
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if not os.readlink(path).startswith("/memfd:"):
                continue
            with open(path, "rb") as file:
                yield path, file.read(256)
        except FileNotFoundError:
            continue  # closed meanwhile
        except PermissionError as error:
            raise unittest.SkipTest(f"SKIPPED: the server's descriptors are not ours: {error}")


def logs(pid):
    """{encoding: (path, epoch)}"""
    found = [(struct.unpack_from("<I", header, 32)[0], (path, struct.unpack_from("<Q", header, 24)[0]))
             for path, header in board_files(pid) if header.startswith(b"ringlog1")]
    assert len(found) == len(dict(found)), found
    return dict(found)


class Client(threading.Thread):
    """A WebSocket client that keeps each payload as it came, by channel and seq."""

    def __init__(self, server, encoding):
        super().__init__(daemon=True)
        protocol = {JSON: "md.json.v1", SBE: "md.sbe.v1"}[encoding]
        self.client = RawClient(server.port, extra=f"Sec-WebSocket-Protocol: {protocol}\r\n",
                                timeout=SECONDS)
        self.client.send_text(subscribe_message(["*"], TYPES, delivery={"on_lag": "skip"}))
        self.payloads = {}
        self.start()

    def run(self):
        """Until the server ends."""
        while (got := self.client.next_frame()) is not None:
            opcode, payload = got
            if opcode == PING:
                self.client.send(frame(PONG, payload))
            elif opcode == CLOSE:
                break
            elif opcode == BINARY:
                key = (struct.unpack_from("<I", payload, 8 + ENVELOPE["ch"])[0],
                       struct.unpack_from("<Q", payload, 8 + ENVELOPE["seq"])[0])
                self.payloads[key] = payload
            elif opcode == TEXT:
                message = json.loads(payload)
                if message["type"] in TYPES:
                    self.payloads[message["ch"], message["seq"]] = payload
        self.client.close()


class Follower:
    """follow_log on one of a server's logs; its lines go into a file, which keeps no one waiting."""

    def __init__(self, case, path):
        directory = tempfile.TemporaryDirectory()
        case.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / "lines"
        with open(self.path, "wb") as lines:
            self.process = spawn([str(FOLLOW_LOG), str(path)], stdin=subprocess.PIPE, stdout=lines)
        case.addCleanup(self.process.stdin.close)
        case.addCleanup(reap, self.process)
        case.assertTrue(wait_until(lambda: b"started\n" in self.path.read_bytes(), SECONDS))

    def end(self, case):
        """What it found."""
        self.process.stdin.close()
        case.assertEqual(self.process.wait(SECONDS), 0)
        self.first, self.last = collections.Counter(), collections.Counter()
        self.payloads, self.gaps, self.words = {}, [], collections.Counter()
        for line in self.path.read_text().splitlines():
            word, *values = line.split(" ")
            self.words[word] += 1
            if word == "frame":
                key = int(values[0]), int(values[1])
                case.assertNotIn(key, self.payloads)
                self.payloads[key] = bytes.fromhex(values[2])
            elif word == "gap":
                self.gaps.append(tuple(map(int, values)))
            elif word in ("first", "last"):
                getattr(self, word)[int(values[0])] = int(values[1])

    def check_sums(self, case):
        told = collections.Counter(self.first)
        told.update(channel for channel, _ in self.payloads)
        for channel, start, end in self.gaps:
            case.assertLessEqual(start, end)
            told[channel] += end - start + 1
        case.assertEqual(told, self.last)

    def check_against(self, case, received):
        """Each frame that a client received after our start was read here as well, or told as lost."""
        lost = {(channel, seq) for channel, start, end in self.gaps
                for seq in range(start, end + 1)}
        for (channel, seq), payload in received.items():
            case.assertLessEqual(seq, self.last[channel])
            if (channel, seq) in self.payloads:
                case.assertEqual(self.payloads[channel, seq], payload)
            elif seq > self.first[channel]:
                case.assertIn((channel, seq), lost)


class SecondProcess(unittest.TestCase):
    FRAMES = 20000

    def follow(self, encoding):
        """What a second process read of the log, what a client received, and the names of all channels."""
        if not FOLLOW_LOG.exists():
            self.skipTest(f"SKIPPED: {FOLLOW_LOG} does not exist: run `zig build` first")
        with Server("--feed", f"sim:symbols=20,rate=20000,types={'+'.join(TYPES)}",
                    "--frame-log-bytes", 1 << 20) as server, Control(server) as control:
            follower = Follower(self, logs(server.pid)[encoding][0])
            client = Client(server, encoding)
            self.wait_for_frames(client, follower)
            follower.process.send_signal(signal.SIGSTOP)
            server.wait_for_ticks(2 * DESCS, SECONDS)
            follower.process.send_signal(signal.SIGCONT)
            self.wait_for_frames(client, follower)
            server.stop()
            client.join(SECONDS)
            follower.end(self)
            names = [control.channel(number)[:2] for number in range(control.channel_count)]
        return follower, client.payloads, names

    def wait_for_frames(self, client, follower):
        """Until both have so many more."""
        received, lines_bytes = len(client.payloads), follower.path.stat().st_size
        self.assertTrue(
            wait_until(lambda: len(client.payloads) >= received + self.FRAMES and
                       follower.path.stat().st_size > lines_bytes + self.FRAMES * LINE_BYTES_MIN,
                       SECONDS),
            f"{len(client.payloads) - received} frames")

    def check(self, follower, received):
        follower.check_sums(self)
        follower.check_against(self, received)
        self.assertGreater(len(follower.payloads.keys() & received.keys()), 0)
        self.assertGreater(follower.words["lapped"], 0)
        self.assertEqual(follower.words["fault"], 0)

    def test_each_log_says_its_encoding_and_of_which_run_it_is(self):
        with Server("--feed", "sim:symbols=1,rate=1") as server:
            found = logs(server.pid)
            self.assertEqual(set(found), {JSON, SBE, JSON_DEFLATE})
            self.assertEqual({f"{epoch:016x}" for _, epoch in found.values()},
                             {server.stats()["epoch"]})

    def test_the_json_log_has_what_json_clients_receive(self):
        follower, received, names = self.follow(JSON)
        self.check(follower, received)
        for (channel, _), payload in follower.payloads.items():
            message = json.loads(payload)
            self.assertEqual((message["symbol"], message["type"]), names[channel])

    def test_the_sbe_log_has_what_sbe_clients_receive_from_when_the_first_one_comes(self):
        follower, received, _ = self.follow(SBE)
        self.check(follower, received)


if __name__ == "__main__":
    unittest.main()
