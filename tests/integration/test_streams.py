"""Ticks that come through a FIFO or standard input: no waiting for a poll, and no polling while none come."""
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

from clients import RawClient
from server import Server, in_full, wait_until
from test_lifecycle import PORTS, refuse

HEAD = b"symbol,timestamp,price,size,side\n"
INLINE = ("--cores", 1)
THREAD = ("--cores", 1, "--publisher", "thread")
TICKS = 100
TURNS_A_SECOND = 10  # of whoever sleeps: a tenth of a second at most
QUIET_SECONDS = 3


def row(number):
    return f"A.B,2024-11-20T07:00:00.{number:06}Z,{number + 1},1,B\n".encode()


def publisher(server):
    return server.stats()["publisher"]


def settle(server):
    """Two turns from now what was under way has ended, and is counted."""
    turns = publisher(server)["turns"]
    assert wait_until(lambda: publisher(server)["turns"] >= turns + 2), server.stats()


class Streams(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "ticks"

    def fifo(self):
        os.mkfifo(self.path)
        return self.path

    def write_to(self, path):
        writer = os.open(path, os.O_WRONLY)  # waits for a reader: the server
        self.addCleanup(os.close, writer)
        return writer

    def ticks_come_one_by_one(self, server, writer):
        """Each is written when the one before it has come, so that each finds everybody asleep."""
        with RawClient(server.port) as client:
            client.subscribe(["*"], ["trade"])
            before = publisher(server)
            for number in range(TICKS):
                os.write(writer, row(number))
                tick = client.next_message(("trade",))
                self.assertEqual((tick["seq"], tick["data"]["price"]), (number + 1, number + 1))
            after = publisher(server)
        # The poll that handed a tick over was one that the descriptor had called for. All ticks came in
        # such polls; one of the polls made each second may have been in time for a few.
        self.assertGreater(after["feed_wakes"] - before["feed_wakes"], TICKS * 3 // 4)

    def nobody_polls(self, server):
        """Turns that are counted while nothing comes are those of who looks up ten times a second."""
        settle(server)
        began, before = time.monotonic(), publisher(server)
        self.assertTrue(wait_until(lambda: time.monotonic() - began > QUIET_SECONDS, 60))
        after, ended = publisher(server), time.monotonic()
        turns = after["turns"] - before["turns"]
        self.assertLess(turns, 3 * TURNS_A_SECOND * (ended - began))
        self.assertEqual(after["feed_wakes"], before["feed_wakes"])

    def stream_through_fifo(self, *options):
        with Server(*options, "--feed", f"replay:path={self.fifo()},speed=0") as server:
            self.nobody_polls(server)
            writer = self.write_to(self.path)
            os.write(writer, HEAD)
            self.ticks_come_one_by_one(server, writer)
            self.nobody_polls(server)

    @in_full
    def test_through_a_fifo_to_an_inline_publisher(self):
        self.stream_through_fifo(*INLINE)

    def test_through_a_fifo_to_a_publisher_with_a_thread(self):
        self.stream_through_fifo(*THREAD)

    @in_full
    def test_beside_a_feed_that_is_never_idle(self):
        """A busy publisher does not sleep; it hears of the descriptor all the same."""
        for options in (INLINE, THREAD):
            with self.subTest(options), \
                    Server(*options, "--feed", f"replay:path={self.fifo()},speed=0",
                           "--feed", "sim:symbols=1,rate=50000,types=quote") as server:
                writer = self.write_to(self.path)
                os.write(writer, HEAD)
                self.ticks_come_one_by_one(server, writer)
            self.path.unlink()

    def test_a_fifo_goes_on_with_its_next_writer(self):
        with Server("--feed", f"replay:path={self.fifo()},speed=0") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["trade"])
                for number in range(3):
                    self.path.write_bytes((HEAD if number == 0 else b"") + row(number))
                    self.assertEqual(client.next_message(("trade",))["seq"], number + 1)
            self.nobody_polls(server)

    def test_a_line_in_pieces_is_one_line(self):
        with Server("--feed", f"replay:path={self.fifo()},speed=0") as server:
            writer = self.write_to(self.path)
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["trade"])
                for byte in HEAD + row(7):
                    os.write(writer, bytes([byte]))
                self.assertEqual(client.next_message(("trade",))["data"]["price"], 8)
            self.assertEqual(publisher(server)["feed_malformed"], 0)

    def test_the_recorded_pace_counts_from_the_first_item(self):
        with Server("--feed", f"replay:path={self.fifo()},speed=1") as server:
            writer = self.write_to(self.path)
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["trade"])
                written_ns = time.time_ns()  # A publisher that stands still stamps the first tick late.
                os.write(writer, HEAD + b"A.B,2024-11-20T07:00:00Z,1,1,B\n"
                         b"A.B,2024-11-20T07:00:01Z,2,1,B\n" + b"A.B,2024-11-20T07:00:02Z,3,1,B\n")
                ticks = [client.next_message(("trade",)) for _ in range(3)]
            self.assertGreater(ticks[2]["ts_pub"] - written_ns, 1_900_000_000)
            # What waits for its time is not polled for, though the FIFO could be read on.
            settle(server)
            wakes = publisher(server)["feed_wakes"]
            os.write(writer, b"A.B,2024-11-20T08:00:02Z,4,1,B\n" * 2)
            self.assertTrue(wait_until(lambda: publisher(server)["feed_wakes"] > wakes))
            self.nobody_polls(server)

    def standard_input(self, ours, theirs):
        with Server("--feed", "replay:path=-,speed=0", stdin=theirs) as server:
            os.write(ours, HEAD)
            self.ticks_come_one_by_one(server, ours)
            os.write(ours, row(TICKS)[:-1])  # the last line needs no line feed
            os.close(ours)
            os.close(theirs)
            self.assertIsNotNone(server.wait_for_line("standard input: after pass 1"), server.log())
            self.assertEqual(publisher(server)["ticks"], TICKS + 1)
            self.nobody_polls(server)

    def test_standard_input_is_a_pipe(self):
        theirs, ours = os.pipe()
        self.standard_input(ours, theirs)

    @in_full
    def test_standard_input_is_a_socket(self):
        ours, theirs = socket.socketpair()
        self.standard_input(ours.detach(), theirs.detach())

    def test_standard_input_is_a_file(self):
        self.path.write_bytes(HEAD + row(0))
        with open(self.path, "rb") as file, \
                Server("--feed", "replay:path=-,speed=1000,loop=yes", stdin=file) as server:
            self.assertTrue(wait_until(lambda: publisher(server)["feed_passes"] > 1))

    def test_a_stream_of_no_known_format_ends_and_is_reported(self):
        with Server("--feed", f"replay:path={self.fifo()}") as server:
            os.write(self.write_to(self.path), b"once upon a time\n")
            line = server.wait_for_line("ended: .*cannot detect the format")
            self.assertIsNotNone(line, server.log())
            self.nobody_polls(server)

    def test_what_cannot_be_read_twice_does_not_loop(self):
        code, text = refuse(self, *PORTS, "--feed", f"replay:path={self.fifo()},loop=yes")
        self.assertIn("loop=yes needs a regular file", text)

    def test_standard_input_that_is_a_device_is_refused(self):
        code, text = refuse(self, *PORTS, "--feed", "replay:path=-")
        self.assertIn("standard input: it is neither a regular file nor a FIFO or pipe", text)


if __name__ == "__main__":
    unittest.main()
