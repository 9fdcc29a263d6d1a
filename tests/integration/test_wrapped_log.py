"""A log that wraps several times a second, under clients that ask for what pins it for a moment."""
import itertools
import json
import re
import subprocess
import threading
import time
import unittest

from clients import RawClient, Tracker, subscribe_message
from ptrace import StoppedThread
from server import ServerTestCase, in_full, program, reap, spawn_until, wait_until

SYMBOLS = ("000001.SZ", "600519.SH", "AAPL.US")
DEPTHS = (5, 10, 20, 50)
LOG_BYTES = 1 << 20
LAPS = 30
CLIENTS = 400


class Member(threading.Thread):
    """Comes, resumes, asks for one book after the other, a snapshot, its state and the past, and
    leaves; until it is to stay. A request that is not answered in time is its fault."""

    patience = 20

    def __init__(self, port, number):
        super().__init__(daemon=True)
        self.port, self.number = port, number
        self.tracker = Tracker()
        self.books = itertools.cycle(itertools.islice(
            itertools.cycle(itertools.product(SYMBOLS, DEPTHS)), number, number + 12))
        self.is_to_stay = threading.Event()
        self.is_to_leave = threading.Event()
        self.newest_ns = 0
        self.fault = None

    def run(self):
        try:
            while not self.is_to_stay.is_set():
                with RawClient(self.port, timeout=self.patience) as client:
                    self.visit(client)
            with RawClient(self.port, timeout=self.patience) as client:
                self.resume(client)
                while not self.is_to_leave.is_set():
                    self.read(client)
        except (OSError, AssertionError) as fault:
            self.fault = f"client {self.number}: {fault!r}"

    def read(self, client, types=None):
        while True:
            message = client.next_message()
            if message["type"] == "depth":
                self.tracker.on_data(message)
                self.newest_ns = max(self.newest_ns, message["ts_pub"])
            else:
                self.tracker.on_control(message)
            if types is None or message["type"] in types:
                return message

    def ask(self, client, answer, request, **data):
        client.send_text(request if isinstance(request, str)
                         else json.dumps({"type": request["type"], "data": data}))
        message = self.read(client, (answer, "ERROR"))
        assert message["type"] == answer, message
        return message["data"]

    def resume(self, client):
        welcome = self.read(client, ("WELCOME",))
        cursors = {str(channel): seq - 1 for channel, seq in self.tracker.next_seq.items()}
        if cursors:
            self.ask(client, "RESUMED", {"type": "RESUME"}, epoch=welcome["data"]["epoch"],
                     cursors=cursors)

    def visit(self, client):
        self.resume(client)
        symbol, depth = next(self.books)
        answer = self.ask(client, "SUBSCRIBED",
                          subscribe_message([symbol], ["depth"], depth=depth))
        assert answer["failed"] == [], answer
        self.ask(client, "SNAPSHOT", {"type": "SNAPSHOT"}, symbols=list(SYMBOLS),
                 data_types=["quote"])
        self.ask(client, "STATUS", {"type": "STATUS"})
        now_ns = time.time_ns()
        client.send_text(json.dumps({"type": "REPLAY", "data": {
            "symbols": [symbol], "data_types": ["trade"], "from": now_ns - 20_000_000, "to": now_ns}}))
        for _ in range(20):
            self.read(client)


class WrappedLog(ServerTestCase):
    options = ("--feed", "sim:symbols=20,rate=12000,burst=100,types=quote+trade+depth",
               "--frame-log-bytes", str(LOG_BYTES))

    def published_bytes(self):
        return self.server.stats()["publisher"]["tick_bytes"]


class OneCore(WrappedLog):
    """The publisher runs on the thread of the only core."""

    @in_full
    def test_clients_of_cut_books_keep_getting_frames(self):
        wait_until(lambda: self.published_bytes() > 2 * LOG_BYTES)  # It knows all channels.
        members = [Member(self.server.port, number) for number in range(20)]
        for member in members:
            member.start()
        try:
            begin = self.published_bytes()
            self.assertTrue(wait_until(
                lambda: self.published_bytes() > begin + LAPS * LOG_BYTES or
                any(member.fault for member in members), 60), "the log does not wrap any more")
            self.assertEqual([member.fault for member in members if member.fault], [])
            for member in members:
                member.is_to_stay.set()
            # What is newest then was published after the log had wrapped for all of them.
            wrapped_ns = time.time_ns()
            wait_until(lambda: all(member.newest_ns > wrapped_ns or member.fault
                                   for member in members), 30)
            self.assertEqual([member.number for member in members
                              if member.newest_ns <= wrapped_ns], [])
        finally:
            for member in members:
                member.is_to_stay.set()
                member.is_to_leave.set()
        for member in members:
            member.join(30)
        self.assertEqual([member.fault for member in members if member.fault], [])
        self.assertEqual([fault for member in members for fault in member.tracker.faults], [])


class TwoCores(OneCore):
    """The publisher has a thread of its own, which waits for the pins of both cores."""

    options = (*OneCore.options, "--cores", "2", "--publisher", "thread")


class Reader(Member):
    """Gets every book of the feed's; nothing while the core is stopped."""
    patience = 150

    def __init__(self, port):
        super().__init__(port, 0)
        self.is_to_stay.set()

    def resume(self, client):
        self.read(client, ("WELCOME",))
        self.ask(client, "SUBSCRIBED", subscribe_message(["*"], ["depth"]))


class StoppedCore(WrappedLog):
    options = TwoCores.options

    def waited_seconds(self):
        _, _, body = self.server.admin("/metrics")
        line, = [line for line in body.splitlines()
                 if line.startswith("ringcast_log_wait_seconds_total ")]
        return float(line.split()[1])

    def core_0_is_reported(self, after):
        lines = self.server.log_lines()[after:]
        return any(re.search(r"no tick has been published for .* s: core 0 ", line) for line in lines)

    def is_writer_stopped(self):
        """Once the writer has reported core 0, or the log has wrapped; the other core may be slow, too."""
        published, after = self.published_bytes(), len(self.server.log_lines())
        wait_until(lambda: self.core_0_is_reported(after) or
                   self.published_bytes() > published + LOG_BYTES, 60)
        return self.core_0_is_reported(after)

    def frames_out(self):
        return self.server.stats()["cores"][0]["frames_out"]

    def stop_while_it_sends(self, core):
        """What it submits may be new clients or GAPs, which pin nothing: the writer then laps it.
        A core that was lapped sends GAPs first, so it goes on until frames leave again."""
        deadline = time.monotonic() + 120
        core.stop_in_submit(8)
        while not self.is_writer_stopped():
            self.assertLess(time.monotonic(), deadline, "it was never stopped while it sent")
            sent = self.frames_out()
            core.go_on()
            wait_until(lambda: self.frames_out() > sent + 20 * CLIENTS, 30)
            core.stop_in_submit(8)

    def test_a_core_that_is_stopped_while_it_sends_is_reported_until_it_goes_on(self):
        readers = [Reader(self.server.port) for _ in range(4)]
        for reader in readers:
            reader.start()
        load, is_there = spawn_until(
            lambda _: self.server.core_sum("subscriptions") >= CLIENTS // 2,
            [program("ringcast-bench"), "-c", str(CLIENTS), "-d", "120", self.server.url()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(reap, load)
        self.assertTrue(is_there)
        with StoppedThread(self.server.pid, "core-0") as core:
            self.stop_while_it_sends(core)
            self.assertGreater(self.waited_seconds(), 1)
            # The core is named first: it is the one that the publisher waits for.
            for thread in ("core-0", "publisher"):
                line = self.server.wait_for_line(f"{thread} has made no progress", 60)
                self.assertIsNotNone(line, self.server.log())
            named = [re.search(r"(\S+) has made no progress", line)[1]
                     for line in self.server.log_lines() if "has made no progress" in line]
            self.assertIn("core-0", named[:named.index("publisher")])
            self.assertEqual(self.server.admin("/livez")[0], 503)
            core.go_on()
            line = self.server.wait_for_line(r"core 0 no longer stops publication", 20)
            self.assertIsNotNone(line, self.server.log())
            went_on_ns = time.time_ns()
            wait_until(lambda: all(it.newest_ns > went_on_ns or it.fault for it in readers), 30)
        for reader in readers:
            self.assertGreater(reader.newest_ns, went_on_ns, reader.fault)
            reader.is_to_leave.set()
        for reader in readers:
            reader.join(30)
            self.assertIsNone(reader.fault)
            self.assertEqual(reader.tracker.faults, [])
