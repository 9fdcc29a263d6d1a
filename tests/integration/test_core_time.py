"""What the server counts of its time, and of the time of ticks, in its file of counters."""
import os
import pathlib
import re
import struct
import tempfile
import time
import unittest

from clients import BINARY, RawClient, subscribe_message
from server import Server, wait_until

SBE = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
SYMBOL = "S-X.COINBASE"
STAGES = ("flush", "wait", "scatter", "flush_newest")
CORE = 2  # the scope


class Counters:
    """What the file says just now, read as by any tool: by its header and its entries."""

    def __init__(self, file):
        self.data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        (scopes_at, scope_bytes, scope_count, entries_at, entry_bytes,
         entry_count) = struct.unpack_from("<6I", self.data, 40)
        self.scopes = [struct.unpack_from("<I", self.data, scopes_at + number * scope_bytes + 16)[0]
                       for number in range(scope_count)]
        self.entries = {}
        for number in range(entry_count):
            at = entries_at + number * entry_bytes
            name = self.data[at:at + 32].rstrip(b"\0").decode()
            offset, scope = struct.unpack_from("<IB", self.data, at + 224)
            buckets, = struct.unpack_from("<H", self.data, at + 232)
            self.entries[scope, name] = offset, buckets

    def _place(self, scope, name):
        offset, buckets = self.entries[scope, name]
        return self.scopes[scope] + offset, buckets

    def value(self, name, scope=CORE):
        """Of core 0."""
        return struct.unpack_from("<Q", self.data, self._place(scope, name)[0])[0]

    def histogram(self, name, scope=CORE):
        """(how many, the sum of their times in ns)"""
        at, buckets = self._place(scope, name)
        total, *counts = struct.unpack_from(f"<{1 + buckets}Q", self.data, at)
        return sum(counts), total


class Ticks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name, "coinbase.ws.log")
        os.mkfifo(path)
        self.feed = open(os.open(path, os.O_RDWR), "w", encoding="ascii")
        self.addCleanup(self.feed.close)
        self.began_ns = time.monotonic_ns()
        self.server = Server("--feed", f"replay:path={path},speed=0", "--cores", "1",
                             "--compression-threshold", "50").start()
        self.addCleanup(self.server.kill)
        self.file = self.server.counters_path().open("rb")
        self.addCleanup(self.file.close)
        self.published = 0
        print("wss://ws-feed.pro.coinbase.com <-> 1.0", file=self.feed)

    def publish(self, count):
        for _ in range(count):
            self.published += 1
            print(f'{self.published}.0: {{"type":"match","trade_id":{self.published},"side":"buy",'
                  f'"size":"1","price":"2","product_id":"S-X","time":'
                  f'"2021-04-17T16:43:37.0Z"}}', file=self.feed)
        self.feed.flush()

    def count(self, name="flush"):
        return Counters(self.file).histogram(name)[0]

    def settle(self):
        """Until what was sent is counted, too: that is done before the turn ends."""
        turns = Counters(self.file).value("turns")
        self.assertTrue(wait_until(lambda: Counters(self.file).value("turns") > turns + 1, 60))

    def encoded(self, encoding):
        text = self.server.admin("/metrics")[2]
        name = rf'ringcast_encoded_frames_total{{encoding="{re.escape(encoding)}"}}'
        return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))

    def come_and_go(self, header):
        """A client that leaves once it has got something, and its encoding is written from now on."""
        with RawClient(self.server.port, extra=header) as client:
            client.send_text(subscribe_message([SYMBOL], ["trade"]))
            self.assertTrue(client.socket.recv(1))
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 0))

    def subscribe(self, header="", is_message=lambda client: client.next_message(("trade",))):
        """A client that keeps up, from a tick on that was counted as sent to it."""
        client = RawClient(self.server.port, extra=header)
        self.addCleanup(client.close)
        data = client.subscribe([SYMBOL], ["trade"], delivery={"on_lag": "skip", "snapshot": False})
        self.assertEqual(len(data["data"]["ok"]), 1)
        before = self.count()
        while self.count() == before:
            self.publish(1)
            is_message(client)
            self.settle()
        return client

    def test_each_tick_that_is_sent_counts_once_whoever_came_and_went(self):
        self.publish(10)  # for nobody
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] == 10))
        self.come_and_go(SBE)
        self.come_and_go(DEFLATE)
        client = self.subscribe()
        self.assertLessEqual(self.count(), self.published - 10)
        begin = {name: self.count(name) for name in STAGES}
        encoded = {name: self.encoded(name) for name in ("sbe", "json+deflate")}
        for _ in range(20):
            self.publish(20)
            for _ in range(20):
                client.next_message(("trade",))
        self.settle()
        for name in STAGES:
            self.assertEqual(self.count(name), begin[name] + 400, name)
        for name, before in encoded.items():  # They were written, and are for nobody.
            self.assertTrue(wait_until(lambda: self.encoded(name) == before + 400), name)
        counters = Counters(self.file)
        self.assertEqual(counters.histogram("flush")[1],
                         counters.histogram("wait")[1] + counters.histogram("scatter")[1])

    def test_a_tick_that_is_sent_in_two_encodings_counts_once_in_each(self):
        def next_binary(client):
            while client.next_frame()[0] != BINARY:
                pass
        self.publish(1)
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] == 1))
        sbe = self.subscribe(SBE, next_binary)
        before = self.published
        client = self.subscribe()
        for _ in range(self.published - before):
            next_binary(sbe)
        self.settle()
        begin = self.count()
        for _ in range(20):
            self.publish(5)
            for _ in range(5):
                client.next_message(("trade",))
                next_binary(sbe)
        self.settle()
        self.assertEqual(self.count(), begin + 200)

    def test_the_publisher_counts_every_tick(self):
        self.publish(50)
        self.assertTrue(wait_until(
            lambda: Counters(self.file).histogram("publish", 1)[0] == 50))
        counters = Counters(self.file)
        self.assertEqual(counters.value("ticks", 1), 50)
        self.assertTrue(wait_until(lambda: Counters(self.file).value("log_head", 1) == 50))

    def test_a_core_is_busy_or_asleep(self):
        def life_ns():
            counters = Counters(self.file)
            return counters.value("busy_ns") + counters.value("asleep_ns")
        self.assertTrue(wait_until(lambda: life_ns() > 2 * 10 ** 9, 60))
        self.assertLess(life_ns(), time.monotonic_ns() - self.began_ns)
        self.assertGreater(Counters(self.file).value("asleep_ns"), 0)
        self.assertGreater(Counters(self.file).value("busy_ns"), 0)


if __name__ == "__main__":
    unittest.main()
