"""Clients on a market that is closed, or opens: HEARTBEAT at doubling distances, who is not idle, and
thousands of channels that appear at once."""
import json
import os
import struct
import tempfile
import threading
import time
import unittest

from clients import PING, PONG, TEXT, RawClient, frame
from server import Server

HEADER = "ts_ns,symbol,type,price,size,side,bid,bid_size,ask,ask_size\n"
BINARY = 2
SBE = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"
START = 1_700_000_000_000_000_000
NEW_CHANNELS = 5000
SLICE_UNITS, STEP_UNITS = 4000, 600  # of a client's work at once, and what is not cut


def quote(symbol, ns=0):
    return f"{START + ns},{symbol},Q,,,,10.31,500,10.32,300\n"


def trade(symbol, ns=0):
    return f"{START + ns},{symbol},T,10.32,300,B,,,,\n"


class MarketTestCase(unittest.TestCase):
    def file(self, text):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "ticks.csv")
        with open(path, "w") as file:
            file.write(HEADER + text)
        return path

    def serve(self, path, *options):
        server = Server("--feed", f"replay:path={path}", *options).start()
        self.addCleanup(server.kill)
        return server

    def open(self, server, **settings):
        client = RawClient(server.port, timeout=30, **settings)
        self.addCleanup(client.close)
        return client


class Heartbeats(MarketTestCase):
    def test_a_silent_client_gets_heartbeats_at_doubling_distances_up_to_the_interval(self):
        server = self.serve(self.file(quote("A") + trade("A")), "--heartbeat-interval", "3")
        client = self.open(server)
        client.subscribe(["*"], ["quote", "trade"])
        beats = [client.next_message(("HEARTBEAT",)) for _ in range(4)]
        for beat in beats:
            self.assertEqual(beat["data"]["next_seq"], {"0": 2, "1": 2})
            self.assertEqual(set(beat["data"]["hash"]), {"0", "1"})
        distances = [(after["ts"] - before["ts"]) / 1e9 for before, after in zip(beats, beats[1:])]
        for distance, least in zip(distances, (2, 3, 3)):
            self.assertGreater(distance, least - 0.2, distances)


class Idle(MarketTestCase):
    def test_who_waits_by_a_pattern_or_plays_a_replay_is_not_idle(self):
        server = self.serve(self.file("".join(trade("A", i * 50_000_000) for i in range(20))),
                            "--idle-timeout", "4")
        self.assertIsNotNone(server.wait_for_line("after pass 1", 20))
        waiting = self.open(server)
        waiting.subscribe(["NONE*"], ["quote"])
        playing = self.open(server)
        playing.ask({"type": "REPLAY", "data": {"symbols": ["A"], "data_types": ["trade"], "from": 1,
                                                "to": 20, "speed": 0.01}}, ("REPLAYING",))
        self.assertEqual(self.open(server).wait_for_close()[0], 4114)
        for client in (waiting, playing):
            client.ask('{"type":"PING"}', ("PONG",))


class Opening(MarketTestCase):
    """All symbols of a market appear in one poll of its feed."""

    def read_sbe(self, client):
        """Every frame comes after the DEFINITION of its channel, and every channel is defined."""
        defined, seen = set(), set()
        while len(seen) < NEW_CHANNELS:
            opcode, payload = client.next_frame()
            if opcode == TEXT:
                message = json.loads(payload)
                self.assertIn(message["type"], ("DEFINITION", "HEARTBEAT"))
                defined |= {each["ch"] for each in message["data"].get("channels", ())}
            elif opcode == PING:
                client.send(frame(PONG, payload))
            elif opcode == BINARY:
                channel = struct.unpack_from("<I", payload, 8 + 32)[0]
                self.assertIn(channel, defined)
                self.assertEqual(struct.unpack_from("<Q", payload, 8)[0], 1)
                seen.add(channel)
            else:
                self.fail(f"{opcode}: {payload!r}, {len(defined)} defined, {len(seen)} seen")

    def read_covered(self, client):
        seen = set()
        while len(seen) < NEW_CHANNELS:
            message = client.next_message(("quote", "GAP", "ERROR"))
            self.assertEqual((message["type"], message["seq"]), ("quote", 1))
            seen.add(message["symbol"])

    def test_each_client_learns_of_each_channel_before_its_frames_and_nobody_is_held_up(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "feed")
        os.mkfifo(path)
        descriptor = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        server = self.serve(path)
        os.write(descriptor, (HEADER + quote("FIRST")).encode())
        ready = self.open(server)
        while not ready.subscribe(["FIRST"], ["quote"])["data"]["ok"]:
            time.sleep(0.05)
        readers = []
        for number in range(24):
            is_sbe = number % 4 < 3
            client = self.open(server, extra=SBE if is_sbe else "")
            client.subscribe(["*"] if number % 4 < 2 else ["N*"], ["quote"], snapshot=False)
            readers.append((client, self.read_sbe if is_sbe else self.read_covered))
        faults = []

        def run(client, read):
            try:
                read(client)
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=run, args=reader) for reader in readers]
        for thread in threads:
            thread.start()
        text = "".join(quote(f"N{i:04}") for i in range(NEW_CHANNELS)).encode()
        while text:
            text = text[os.write(descriptor, text):]
        for thread in threads:
            thread.join(120)
        self.assertEqual(faults, [])
        stats = server.stats()
        self.assertEqual(stats["connections"]["dropped"]["slow"], 0)
        for core in stats["cores"]:
            self.assertLessEqual(core["slice_units_max"], SLICE_UNITS + STEP_UNITS)


if __name__ == "__main__":
    unittest.main()
