"""Long stretches of the log leave by reference: the kernel reads the log's own pages for as long as a client leaves
bytes unread. Whatever becomes of the log and of the client meanwhile, no byte of them changes."""
import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

import test_lag
from clients import BINARY, COMPRESSED, PING, PONG, TEXT, RawClient, frame, subscribe_message
from server import Server, in_full, program, reap, spawn_until, wait_until
from test_lifecycle import forbidden
from test_sbe import SCHEMA

SECONDS = 90
LOG_BYTES = 1 << 20
SOCKET_BYTES = 65536
# Each burst is due to a client as one stretch: 9 KiB as SBE, more as JSON.
FEED = ("--feed", "sim:symbols=1,rate=5120,burst=128,types=trade")
OPTIONS = ("--frame-log-bytes", LOG_BYTES, "--send-buffer-bytes", SOCKET_BYTES, "--zero-copy-bytes", 4096,
           "--compression-threshold", 100, *FEED)
PLAIN, DEFLATE, SBE = "plain", "deflate", "sbe"
OFFERS = {PLAIN: "", DEFLATE: "Sec-WebSocket-Extensions: permessage-deflate\r\n",
          SBE: "Sec-WebSocket-Protocol: md.sbe.v1\r\n"}
SENDFILE = {"x86_64": 40, "aarch64": 71}


def message_of(opcode, payload):
    """What a frame says: {"type":, "seq":} of data, all of the others."""
    if opcode == BINARY:
        name, values, _ = SCHEMA.decode(payload)
        return {"type": name, "seq": values["seq"]}
    if opcode == TEXT | COMPRESSED:
        payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
    return json.loads(payload)


def connect(address, encoding, **options):
    """A client that is due to all trades from now on, and nothing else."""
    client = RawClient(address, extra=OFFERS[encoding], timeout=SECONDS, **options)
    assert (client.parser.reserved != 0) == (encoding == DEFLATE), client.head
    client.send_text(subscribe_message(["*"], ["trade"], snapshot=False, delivery={"on_lag": "skip"}))
    return client


class Keeper(threading.Thread):
    """A healthy client: keeps all frames, and looks into none."""

    def __init__(self, address, encoding):
        super().__init__(daemon=True)
        self.client = connect(address, encoding, receive_buffer=1 << 20)
        self.frames = list(self.client.frames)
        self.bytes = 0
        self.known = {}  # {seq: payload}
        self.looked = 0  # at so many frames
        self.start()

    def run(self):
        while data := self.client.socket.recv(1 << 18):
            self.bytes += len(data)
            for opcode, payload in self.client.parser.feed(data):
                if opcode == PING:
                    self.client.send(frame(PONG, payload))
                else:
                    self.frames.append((opcode, payload))

    def frame_of(self, seq):
        """Its payload; None if this client, too, was told of a GAP there: this program stood still."""
        assert wait_until(lambda: self.knows(seq), SECONDS), f"the healthy client was never sent {seq}"
        return self.known[seq]

    def knows(self, seq):
        while seq not in self.known and self.looked < len(self.frames):
            opcode, payload = self.frames[self.looked]
            self.looked += 1
            message = message_of(opcode, payload)
            if message["type"] == "trade":
                self.known[message["seq"]] = payload
            elif message["type"] == "GAP":
                gap = range(message["data"]["from"], message["data"]["to"] + 1)
                self.known.update(dict.fromkeys(gap))
        return seq in self.known

    def close(self):
        self.client.socket.shutdown(socket.SHUT_RDWR)
        self.join(SECONDS)
        self.client.close()


class Slow:
    """A client that leaves what it is sent unread, but for some bytes now and then."""

    def __init__(self, address, encoding, sip=0, **options):
        self.client = connect(address, encoding, **options)
        self.sip = sip
        self.early = bytearray()

    def take_a_sip(self):
        if self.sip > 0:
            self.early += self.client.socket.recv(self.sip)

    def read_on(self, case, keeper, frames_after_gap=200):
        """Reads all that it was sent, and goes on after the GAP. Returns how many frames came before it, each of them
        equal to what the healthy client received."""
        due, before, after = None, 0, None
        self.client.frames.extend(self.client.parser.feed(bytes(self.early)))
        while after is None or after < frames_after_gap:
            opcode, payload = self.client.next_frame()
            if opcode == PING:
                self.client.send(frame(PONG, payload))
                continue
            message = message_of(opcode, payload)
            if message["type"] == "GAP":
                case.assertEqual(message["data"]["from"], due)
                due = message["data"]["to"] + 1
                after = 0
            elif message["type"] == "trade":
                case.assertEqual(message["seq"], due or message["seq"])
                due = message["seq"] + 1
                case.assertIn(keeper.frame_of(message["seq"]), (payload, None))
                before, after = (before + 1, None) if after is None else (before, after + 1)
        return before


@in_full
class Unread(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "socket")

    def check(self, encodings, *options, prefix=(), is_lent=True):
        with Server(*OPTIONS, "--unix", self.path, *options, prefix=prefix) as server:
            keepers = {encoding: Keeper(server.port, encoding) for encoding in encodings}
            slow = {(kind, encoding, sip): Slow(address, encoding, sip)
                    for kind, address in (("TCP", server.port), ("Unix", self.path))
                    for encoding in encodings for sip in (0, 5000)}
            server.wait_until_blocked(len(slow) // 2)
            self.lap(keepers, slow)
            lent = server.core_sum("lent_sends")
            replaced = server.stats()["publisher"]["log_replaced_bytes"]
            for name, one in slow.items():
                with self.subTest(name):
                    before = one.read_on(self, keepers[name[1]])
                    self.assertGreater(before, 256)  # two bursts
                    one.client.close()
            for keeper in keepers.values():
                keeper.close()
            self.assertEqual(server.stats()["message_queue"]["core_laps"], 0)
            if is_lent:
                self.assertGreater(lent, 100)
                self.assertGreater(replaced, LOG_BYTES)
            else:
                self.assertEqual(lent, 0)

    def lap(self, keepers, slow):
        """The logs are written anew twice and more, and meanwhile who sips, sips."""
        goals = {keeper: keeper.bytes + 5 * LOG_BYTES // 2 for keeper in keepers.values()}
        deadline = time.monotonic() + SECONDS
        while any(keeper.bytes < goal for keeper, goal in goals.items()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
            for one in slow.values():
                one.take_a_sip()

    def test_what_was_unread_while_the_log_was_lapped_is_what_others_received(self):
        self.check((PLAIN, DEFLATE, SBE))

    def test_so_it_is_on_one_processor(self):
        processor = str(min(os.sched_getaffinity(0)))
        self.check((SBE,), prefix=("taskset", "-c", processor))

    def test_so_it_is_whatever_is_long_enough(self):
        for count in (0, 1):  # none, and all
            with self.subTest(bytes=count):
                self.check((PLAIN,), "--zero-copy-bytes", count, is_lent=count == 1)

    def test_where_a_filter_forbids_it_all_is_copied_and_nobody_is_dropped(self):
        for code in (errno.EPERM, errno.ENOSYS):
            with self.subTest(errno.errorcode[code]):
                self.check((PLAIN,), prefix=forbidden(SENDFILE[os.uname().machine], code), is_lent=False)


class Start(unittest.TestCase):
    """Whether a reference costs less than a copy is measured once, and the log says what came of it."""

    def line(self, *options, prefix=()):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder, \
                Server(*options, "--unix", f"{folder}/socket", prefix=prefix) as server:
            lines = [line for line in server.log_lines() if "zero copy: " in line]
        self.assertLessEqual(len(lines), 1)
        return lines[0] if lines else None

    def test_one_line_says_from_which_sizes_on(self):
        kind = r"(from (4|8|16|32) KiB|never) over (TCP|Unix-domain sockets)( \(its cost cannot be measured: [^,]*\))?"
        self.assertRegex(self.line(), rf"INFO .*(zero copy: {kind}(, {kind})?$|"
                                      r"zero copy: not used, because copies are cheaper on this machine$)")

    def test_a_size_that_is_given_is_not_measured(self):
        for count in (0, 4096):
            with self.subTest(bytes=count):
                self.assertIsNone(self.line("--zero-copy-bytes", count))

    def test_what_a_filter_forbids_is_never_done(self):
        line = self.line(prefix=forbidden(SENDFILE[os.uname().machine], errno.EPERM))
        self.assertIn("never over TCP (its cost cannot be measured: Operation not permitted)", line)
        self.assertIn("never over Unix-domain sockets (its cost cannot be measured: ", line)


class Ends(unittest.TestCase):
    """Clients that go with much unread."""
    CLIENTS = 20

    def test_resets_and_kills_disturb_nobody_and_leave_nothing(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "socket")
            with Server(*OPTIONS, "--unix", path) as server, test_lag.verified(self, server, "trade"):
                before = server.stats()["connections"]["open"]
                for turn in range(6):
                    self.go_by_themselves(server, path, turn)
                    self.all_gone(server, before)  # They would count as the tap's.
                    self.killed(server)
                    self.all_gone(server, before)
                self.assertGreater(server.core_sum("lent_sends"), 6 * self.CLIENTS)

    def all_gone(self, server, before):
        self.assertTrue(wait_until(
            lambda: server.stats()["connections"]["open"] == before, SECONDS), server.stats())

    def go_by_themselves(self, server, path, turn):
        clients = [connect(path if i % 2 else server.port, PLAIN) for i in range(self.CLIENTS)]
        if turn % 2:
            server.wait_until_blocked(self.CLIENTS)
        for i, client in enumerate(clients):
            if i % 4 < 2:
                client.socket.recv(1 << 14)  # What is sent at once is cut by what follows.
            client.reset()

    def killed(self, server):
        tap, there = spawn_until(
            lambda _: server.stats()["connections"]["subscriptions"] > self.CLIENTS,
            [program("ringcast-tap"), "--verify", "--connections", str(self.CLIENTS), "--types", "trade", server.url()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(there, server.stats())
            tap.send_signal(signal.SIGSTOP)
            server.wait_until_blocked(self.CLIENTS)
        finally:
            reap(tap)  # kill -9


class Writer(unittest.TestCase):
    def test_it_keeps_its_schedule_beside_hundreds_that_read_nothing(self):
        with Server(*OPTIONS) as server:
            clients = [connect(server.port, PLAIN, receive_buffer=4096) for _ in range(300)]
            server.wait_until_blocked(len(clients))
            began, first = time.monotonic(), server.stats()["publisher"]
            keeper = Keeper(server.port, PLAIN)

            def is_on_time():
                """It makes up for what is late because the machine stood still."""
                due = 5120 * (time.monotonic() - began) - 128
                now = server.stats()["publisher"]
                return (now["log_replaced_bytes"] - first["log_replaced_bytes"] > LOG_BYTES and
                        now["ticks"] - first["ticks"] >= due)

            self.assertTrue(wait_until(is_on_time, SECONDS), server.stats())
            for client in [keeper, *clients]:
                client.close()


if __name__ == "__main__":
    unittest.main()
