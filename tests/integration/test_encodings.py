"""The same ticks in every encoding: plain JSON, and JSON with permessage-deflate."""
import asyncio
import json
import pathlib
import re
import tempfile
import unittest

import websockets

from clients import subscribe_message
from server import Server, wait_until

SECONDS = 30


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, SECONDS))


def metric(server, name, encoding):
    text = server.admin("/metrics")[2]
    text = text if isinstance(text, str) else text.decode()
    found = re.search(rf'^ringcast_{name}{{encoding="{re.escape(encoding)}"}} (\S+)$', text, re.M)
    return float(found.group(1))


class Reader:
    """A Python client, with or without compression."""

    def __init__(self, server, compression, symbols=("*",), types=("quote", "trade", "bar", "depth"),
                 **data):
        self.url, self.compression = server.url(), compression
        self.subscribe = subscribe_message(symbols, types, **data)
        self.frames = {}  # (ch, seq): text
        self.subscribed = asyncio.Event()

    async def read(self, until):
        async with websockets.connect(self.url, compression=self.compression, max_queue=None,
                                      ping_interval=None) as client:
            assert len(client.extensions) == (self.compression is not None)
            await client.send(self.subscribe)
            while not until(self):
                text = await client.recv()
                message = json.loads(text)
                if "seq" in message:
                    key = message["ch"], message["seq"]
                    assert self.frames.setdefault(key, text) == text, key
                elif message["type"] == "SUBSCRIBED":
                    self.subscribed.set()


class Deflated(unittest.TestCase):
    def both(self, server, count):
        plain = Reader(server, None, delivery={"on_lag": "skip"}, types=("quote", "trade"))
        small = Reader(server, "deflate", delivery={"on_lag": "skip"}, types=("quote", "trade"))

        def have_enough(_):
            """One may have begun much later than the other."""
            return (min(len(plain.frames), len(small.frames)) >= count and
                    len(plain.frames.keys() & small.frames.keys()) > 100)

        async def both_read():
            await asyncio.gather(plain.read(have_enough), small.read(have_enough))
        run(both_read())
        return plain.frames, small.frames

    def assert_same(self, one, two):
        common = one.keys() & two.keys()
        self.assertGreater(len(common), 100)
        for key in common:
            self.assertEqual(one[key], two[key])
        for frames in (one, two):
            for ch in {ch for ch, _ in frames}:
                seqs = sorted(seq for number, seq in frames if number == ch)
                self.assertEqual(seqs, list(range(seqs[0], seqs[-1] + 1)))

    def encoded(self, server):
        """(ticks, how many of them are compressed), of the same moment but for a few ticks."""
        def read():
            before = server.stats()["publisher"]["ticks"]
            count = metric(server, "encoded_frames_total", "json+deflate")
            # It went on between the two, and not by much.
            ticks = server.stats()["publisher"]["ticks"]
            return (ticks, count) if before < ticks < before + 25 else None
        found = wait_until(read, SECONDS)
        self.assertTrue(found)
        return found

    def test_it_costs_nothing_until_a_client_asks_for_it_and_is_shared_then(self):
        with Server("--feed", "sim:symbols=10,rate=500,types=quote+trade",
                    "--compression-threshold", "200") as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] > 100))
            self.assertEqual(metric(server, "encoded_frames_total", "json+deflate"), 0)
            plain, small = self.both(server, 500)
            self.assert_same(plain, small)
            ticks, count = self.encoded(server)
            self.assertGreater(count, 400)
            self.assert_same(*self.both(server, 500))
            # However many clients there are, each tick is compressed once.
            later_ticks, later_count = self.encoded(server)
            self.assertLess(later_count - count, 1.05 * (later_ticks - ticks) + 50)

    def test_the_newest_image_comes_first_also_when_nothing_is_published_any_more(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "ticks.csv"
            rows = [f"{1700000000000000000 + i},S{i % 300:03},Q,{i}.50" for i in range(1000)]
            path.write_text("ts_ns,symbol,type,bid\n" + "\n".join(rows) + "\n")
            with Server("--feed", f"replay:path={path},speed=0", "--compression-threshold",
                        "50") as server:
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == 1000))
                wanted = {f"S{i % 300:03}": f"{i}.50" for i in range(1000)}
                for compression in (None, "deflate", "deflate"):
                    reader = Reader(server, compression, types=("quote",))
                    run(reader.read(lambda it: len(it.frames) >= 300))
                    self.assertEqual(len(reader.frames), 300)
                    for text in reader.frames.values():
                        message = json.loads(text)
                        self.assertIn(f'"bids":[[{wanted[message["symbol"]]},null]]', text)

    def test_cores_and_a_publisher_of_their_own_serve_it_too(self):
        with Server("--feed", "sim:symbols=10,rate=500,types=quote+trade", "--cores", "2",
                    "--compression-threshold", "200") as server:
            for _ in range(3):
                self.assert_same(*self.both(server, 300))


if __name__ == "__main__":
    unittest.main()
