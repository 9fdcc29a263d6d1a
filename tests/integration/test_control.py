"""The control file, as a second process reads it: heartbeat, state, and the directory of channels."""
import mmap
import os
import pathlib
import signal
import struct
import unittest

from clients import RawClient
from server import Server, wait_until

FEED = ("--feed", "sim:symbols=5,rate=200,types=quote+trade+depth")
STARTS, RUNS, ENDS, ENDED = range(4)
CHANNELS_MAX = 65536
TYPES = ("quote", "trade", "bar", "depth")
ENTRY = struct.Struct("<32s5BxHIxxxxQ")  # from symbol to first_seq


class Control:
    """A view of a server's control file that outlives the server."""

    def __init__(self, server):
        for fd in pathlib.Path(f"/proc/{server.pid}/fd").iterdir():
            try:
                if not os.readlink(fd).startswith("/memfd:ringcast-control"):
                    continue
                with open(fd, "rb") as file:
                    self.view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
                return
            except FileNotFoundError:
                continue  # closed meanwhile
            except PermissionError as error:
                raise unittest.SkipTest(f"SKIPPED: no look into another process: {error}") from None
        raise AssertionError("the server has no control file")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.view.close()

    def number(self, form, at):
        return struct.unpack_from("<" + form, self.view, at)[0]

    @property
    def heartbeat(self):
        return self.number("Q", 64)

    @property
    def state(self):
        return self.number("I", 72)

    @property
    def channel_count(self):
        return self.number("I", 128)

    def channel(self, number):
        """(symbol, type, depth, bar, interval_ms, version of its name)."""
        at = self.number("Q", 48) + number * self.number("I", 56)
        symbol, length, kind, _, depth, bar, interval, version, _ = ENTRY.unpack_from(self.view, at)
        return symbol[:length].decode(), TYPES[kind], depth, bar, interval, version


class ControlFile(unittest.TestCase):
    def test_the_header_says_whose_it_is(self):
        with Server(*FEED) as server, Control(server) as control:
            self.assertEqual(control.view[:8], b"ringtap1")
            self.assertEqual(struct.unpack_from("<HHIQ", control.view, 8),
                             (1, 0, 256, len(control.view)))
            epoch = control.number("Q", 24)
            self.assertEqual(f"{epoch:016x}", server.stats()["epoch"])
            self.assertEqual(control.number("Q", 40), server.pid)
            self.assertEqual(control.number("I", 60), CHANNELS_MAX)

    def test_each_channel_is_in_the_directory(self):
        """What SUBSCRIBED says of a channel, the directory says of its number."""
        with Server(*FEED) as server, Control(server) as control:
            conflated = {"mode": "conflated", "interval_ms": 250, "on_lag": "skip"}
            with RawClient(server.port) as client:
                told = [client.subscribe(["000001.SZ"], [kind], **variant)["data"]["ok"][0]
                        for kind, variant in (("quote", {}), ("trade", {}), ("depth", {}),
                                              ("depth", {"depth": 5}), ("bar", {"bar": "5m"}),
                                              ("quote", {"delivery": conflated}))]
            seen = [control.channel(channel["ch"]) for channel in told]
            names = [(channel["symbol"], channel["type"]) for channel in told]
            self.assertEqual([channel[:2] for channel in seen], names)
            # depth, bar, interval_ms, version: 0 of a feed's channel
            self.assertEqual([channel[2:] for channel in seen],
                             [(0, 0, 0, 0)] * 3 + [(5, 0, 0, 2), (0, 3, 0, 2), (0, 0, 250, 2)])
            self.assertEqual(control.channel_count, server.stats()["publisher"]["channels"])

    def test_a_full_directory_has_all_names(self):
        feed = ("--feed", "sim:symbols=16384,rate=1000,types=quote+trade+bar+depth")
        with Server(*feed) as server, Control(server) as control:
            self.assertEqual(control.channel_count, CHANNELS_MAX)
            names = {control.channel(number)[:2] for number in range(CHANNELS_MAX)}
            self.assertEqual(len(names), CHANNELS_MAX)

    def check_heartbeat(self, *options):
        with Server(*FEED, *options) as server, Control(server) as control:
            goal = control.heartbeat + 5
            self.assertTrue(wait_until(lambda: control.heartbeat >= goal, 60))
            server.signal(signal.SIGSTOP)
            stat = pathlib.Path(f"/proc/{server.pid}/stat")
            self.assertTrue(wait_until(lambda: stat.read_text().rsplit(")")[1].split()[0] == "T"))
            stopped = control.heartbeat
            self.assertFalse(wait_until(lambda: control.heartbeat != stopped, 1))
            self.assertEqual(control.state, RUNS)
            server.signal(signal.SIGCONT)
            self.assertTrue(wait_until(lambda: control.heartbeat > stopped, 60))

    def test_the_heart_of_a_publisher_with_a_thread_beats_while_it_can_run(self):
        self.check_heartbeat("--publisher", "thread")

    def test_the_heart_of_an_inline_publisher_beats_while_it_can_run(self):
        self.check_heartbeat("--publisher", "inline")

    def test_a_heart_beats_without_ticks(self):
        with Server("--feed", "sim:symbols=1,rate=1") as server, Control(server) as control:
            goal = control.heartbeat + 20
            self.assertTrue(wait_until(lambda: control.heartbeat >= goal, 60))

    def test_the_states_of_an_end(self):
        """2 while a client is being told, 3 when nothing is written any more."""
        with Server(*FEED, "--drain-timeout", 3) as server, Control(server) as control:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                self.assertEqual(control.state, RUNS)
                server.signal(signal.SIGTERM)
                client.next_message(types=["NOTICE"], timeout=60)
                self.assertEqual(control.state, ENDS)
                self.assertTrue(wait_until(lambda: control.state == ENDED, 60))
            self.assertEqual(server.wait(), 0)
            self.assertEqual(control.state, ENDED)
            self.assertGreater(control.channel_count, 0)

    def test_a_killed_server_leaves_its_state(self):
        with Server(*FEED) as server, Control(server) as control:
            server.kill()
            heartbeat = control.heartbeat
            self.assertEqual(control.state, RUNS)
            self.assertEqual(control.heartbeat, heartbeat)


if __name__ == "__main__":
    unittest.main()
