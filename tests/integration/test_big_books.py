"""Books of any size from generated captures: whoever applies the frames has the generator's book, in every encoding,
and what cannot be had is told by a GAP."""
import asyncio
import decimal
import json
import sys
import tempfile
import time
import unittest

import websockets

from clients import RawClient
from server import CHECKOUT, Server, in_full, program, run

sys.path.insert(0, str(CHECKOUT / "examples"))
import python_sbe  # noqa: E402

SCHEMA = python_sbe.Schema((CHECKOUT / "codec" / "md.xml").read_bytes())
BLOCKS = {block.name: block for block in SCHEMA.messages.values()}
DECIMAL = decimal.Decimal
MARKER = "0.01"  # the price of the level that ends a pass
SECONDS = 100
TRANSPORTS = {
    "json": {"compression": None},
    "deflate": {"compression": "deflate"},
    "sbe": {"compression": None, "subprotocols": ["md.sbe.v1"]},
}


# ---- The generator ----

def price(cents):
    return f"{cents // 100}.{cents % 100:02}"


def levels(count, bids, asks, seed=1):
    """count levels a side below and above a price, best first, with sizes of many lengths."""
    def size(i):
        return f"{i * seed % 97}.{(i * 7919 + seed) % 10**8 + 1:08}"
    return ([[price(bids - i), size(i)] for i in range(count)],
            [[price(asks + i), size(i + 1)] for i in range(count)])


def snapshot(bids, asks, symbol="BIG-USD"):
    return {"type": "snapshot", "product_id": symbol, "bids": bids, "asks": asks}


def update(*changes, symbol="BIG-USD"):
    return {"type": "l2update", "product_id": symbol, "changes": [list(change) for change in changes],
            "time": "2021-04-17T16:43:37.075687Z"}


class Book:
    """A book as a client keeps it."""

    def __init__(self, sides=None):
        self.sides = sides

    def apply(self, data):
        if data["action"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        if self.sides is None:
            return False
        for side, prices in self.sides.items():
            for at, size in data[side]:
                if DECIMAL(size) == 0:
                    prices.pop(DECIMAL(at), None)
                else:
                    prices[DECIMAL(at)] = DECIMAL(size)
        return True

    def top(self, count):
        return {"bids": sorted(self.sides["bids"].items(), reverse=True)[:count],
                "asks": sorted(self.sides["asks"].items())[:count]}


def coinbase_pass(count):
    """A small book, deltas, a big one, deltas (case 11): the messages, and the book after them."""
    bids, asks = levels(count, 5000000, 5000001)
    small_bids, small_asks = levels(10, 4000000, 4000001, seed=3)
    worst = bids[-1][0]
    messages = [
        snapshot(small_bids, small_asks),
        update(("buy", "40000.00", "5.5"), ("sell", "40000.01", "0")),
        update(("buy", "123.45", "1")),
        snapshot(bids, asks),
        update(("buy", worst, "0"), ("sell", asks[0][0], "9.25")),
        update(("buy", MARKER, "7")),
    ]
    book = Book()
    for message in messages:
        if message["type"] == "snapshot":
            book.apply({"action": "snapshot", "bids": message["bids"], "asks": message["asks"]})
        else:
            sides = {"buy": [], "sell": []}
            for side, at, size in message["changes"]:
                sides[side].append([at, size])
            book.apply({"action": "delta", "bids": sides["buy"], "asks": sides["sell"]})
    return messages, book


def binance_pass(count):
    """Updates with count levels a side and more; the book is what they leave."""
    bids, asks = levels(count, 5000000, 5000001)
    updates = [(bids, asks), ([[bids[3][0], "0.00000000"]], [[asks[1][0], "77.5"]]), ([[MARKER, "7"]], [])]
    messages, book = [], Book({"bids": {}, "asks": {}})
    for i, (b, a) in enumerate(updates):
        messages.append({"stream": "big@depth", "data": {"e": "depthUpdate", "E": 1600000000000 + i, "s": "BIGUSDT",
                                                         "U": 2 * i + 1, "u": 2 * i + 2, "b": b, "a": a}})
        book.apply({"action": "delta", "bids": b, "asks": a})
    return messages, book


def capture(messages, step):
    """A temporary file of the messages, step seconds apart. A str is a line as it is."""
    file = tempfile.NamedTemporaryFile("w", suffix=".ws.log")
    for i, message in enumerate(messages):
        text = message if isinstance(message, str) else json.dumps(message)
        file.write(f"{1600000000 + i * step:.3f}: {text}\n")
    file.flush()
    return file


# ---- The client ----

class Client:
    """One connection in one of the encodings; data frames come as {"ch", "seq", "data"}."""

    def __init__(self, server, transport):
        self.connect = websockets.connect(server.url(), max_queue=None, max_size=None, ping_interval=None,
                                          open_timeout=20, **TRANSPORTS[transport])
        self.binary = 0
        self.gaps = []
        self.next_seq = {}

    async def __aenter__(self):
        self.socket = await self.connect
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def next(self):
        payload = await self.socket.recv()
        if isinstance(payload, bytes):
            self.binary += 1
            name, values, _ = SCHEMA.decode(payload)
            values = python_sbe.decimals(BLOCKS[name], values)
            message = {"type": name, "ch": values["ch"], "seq": values["seq"], "part": values.get("part"),
                       "parts": values.get("parts"),
                       "data": {"action": values["action"], "bids": [list(level.values()) for level in values["bids"]],
                                "asks": [list(level.values()) for level in values["asks"]]}}
        else:
            message = json.loads(payload, parse_float=DECIMAL)
        self.note(message)
        return message

    def note(self, message):
        """seq has no hole but what a GAP tells."""
        if message["type"] == "GAP":
            gap = message["data"]
            self.gaps.append(gap)
            assert self.next_seq.get(gap["ch"], gap["from"]) == gap["from"], gap
            self.next_seq[gap["ch"]] = gap["to"] + 1
        elif "seq" in message and message.get("parts") is None:
            due = self.next_seq.get(message["ch"], message["seq"])
            assert due == message["seq"], (due, message["seq"])
            self.next_seq[message["ch"]] = message["seq"] + 1

    async def ask(self, kind, symbols, types=("depth",), **data):
        await self.socket.send(json.dumps({"type": kind, "id": 1,
                                           "data": {"symbols": symbols, "data_types": types, **data}}))
        while True:
            message = await self.next()
            if message.get("id") == 1:
                assert message["type"] != "ERROR", message
                return message["data"]

    async def subscribe(self, symbol, **data):
        answer = await self.ask("SUBSCRIBE", [symbol], **data)
        assert answer["failed"] == [], answer
        return answer["ok"][0]["ch"]


def ends_pass(message):
    return [DECIMAL(MARKER), 7] in [[DECIMAL(level[0]), level[1]] for level in message["data"]["bids"]]


def read_a_little(client):
    client.socket.setblocking(False)
    try:
        client.socket.recv(8192)
    except (BlockingIOError, ConnectionResetError):
        pass  # It has nothing, or read too little for 10 s.


def finish(coroutine):
    async def within():
        return await asyncio.wait_for(coroutine, SECONDS)
    return asyncio.run(within())


class BooksTestCase(unittest.TestCase):
    def serve(self, messages, *options, feed="loop=yes", kind="coinbase", step=0.01):
        file = capture(messages, step)
        self.addCleanup(file.close)
        server = Server("--feed", f"replay:path={file.name},format={kind},{feed}", *options).start()
        self.addCleanup(server.kill)
        return server


@in_full
class Sizes(BooksTestCase):
    async def follow(self, server, transport, symbol, book, action):
        """The feed's own book, from a pass's first frame to its last; returns its frames."""
        async with Client(server, transport) as client:
            channel = await client.subscribe(symbol)
            frames = None
            mine = Book()
            while True:
                message = await client.next()
                if message.get("ch") != channel:
                    continue
                if frames is not None:
                    frames.append(message)
                    mine.apply(message["data"])
                    if mine.sides and mine.sides["bids"] and mine.sides["asks"] and action == "snapshot":
                        best = mine.top(1)
                        self.assertLess(best["bids"][0][0], best["asks"][0][0])
                if ends_pass(message):
                    if frames is not None:
                        break
                    frames = []
                    mine = Book({"bids": {}, "asks": {}} if action == "delta" else None)
            self.assertEqual(mine.sides, book.sides)
            self.assertEqual(client.gaps, [])
            if transport == "sbe":
                self.assertGreaterEqual(client.binary, len(frames))
            return frames

    def check(self, make, kind, symbol, action):
        for count in (1300, 2000, 6000, 20000):
            messages, book = make(count)
            # Slow enough for a reader in Python.
            server = self.serve(messages, kind=kind, step=count / 50000)
            for transport in TRANSPORTS:
                with self.subTest(levels=count, transport=transport):
                    frames = finish(self.follow(server, transport, symbol, book, action))
                    self.assertGreaterEqual(len(frames), len(messages))
            self.assertEqual(server.stats()["publisher"]["ticks_refused"], 0)
            server.stop()

    def test_coinbase_snapshots_of_any_size(self):
        self.check(coinbase_pass, "coinbase", "BIG-USD.COINBASE", "snapshot")

    @in_full
    def test_binance_updates_of_any_size(self):
        self.check(binance_pass, "binance", "BIGUSDT.BINANCE", "delta")

    def test_tap_verifies_big_books_and_told_losses(self):
        messages, _ = coinbase_pass(3000)
        server = self.serve([*messages, '{"type":"l2upda', messages[-1]], step=0.05)
        result = run([program("ringcast-tap"), "--verify", "--types", "depth", "--connections", "2", "--count", "200",
                      server.url()], seconds=SECONDS)
        self.assertEqual(result.returncode, 0, result.stdout[-2000:] + result.stderr[-2000:])
        self.assertRegex(result.stdout, r"missing +[1-9]\d* frames? in [1-9]\d* ranges? reported by GAP, 0 in 0 NOT REPORTED")

class Cuts(BooksTestCase):
    async def cut(self, server, transport, book, depth, **more):
        async with Client(server, transport) as client:
            channel = await client.subscribe("BIG-USD.COINBASE", depth=depth, **more)
            mine = Book()
            while mine.sides is None or mine.top(depth) != book.top(depth):
                message = await client.next()
                if message.get("ch") == channel:
                    mine.apply(message["data"])
            self.assertEqual(mine.top(depth + 1), book.top(depth))

    def test_a_cut_book_that_is_subscribed_later(self):
        """Also when nothing comes any more, and when all of it has been lapped (the small log)."""
        for count, options in ((20000, ()), (6000, ("--frame-log-bytes", "1m"))):
            messages, book = coinbase_pass(count)
            noise = [update(("buy", "1.00", f"{i % 7 + 1}"), symbol="NOISE-USD") for i in range(9000)] if options else []
            server = self.serve([snapshot([], [], "NOISE-USD"), *messages, *noise], *options, feed="speed=0")
            self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
            for transport in TRANSPORTS:
                for depth in (5, 50):
                    with self.subTest(levels=count, transport=transport, depth=depth):
                        finish(self.cut(server, transport, book, depth))
                finish(self.cut(server, transport, book, 10,
                                     delivery={"mode": "conflated", "interval_ms": 100}))
            server.stop()

    def test_a_line_of_16_mebibytes(self):
        messages, book = coinbase_pass(20000)
        text = json.dumps(messages[3])
        messages[3] = text[:-1] + " " * (2**24 - len(text) - len("1600000000.030: ")) + "}"
        server = self.serve(messages, feed="speed=0")
        self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
        finish(self.cut(server, "json", book, 50))
        self.assertEqual(server.stats()["publisher"]["feed_malformed"], 0)


class Snapshots(BooksTestCase):
    async def snapshot(self, client, symbol, before=None):
        """The answer and the parts, checked; live frames of the channel go to before."""
        await client.socket.send(json.dumps({"type": "SNAPSHOT", "id": 9, "data": {
            "symbols": [symbol], "data_types": ["depth"]}}))
        answer, parts = None, []
        while answer is None or len(parts) < answer["parts"]:
            message = await client.next()
            if message.get("id") == 9:
                self.assertEqual((answer, message["data"]["failed"]), (None, []))
                answer, = message["data"]["ok"]
            elif message.get("parts") is not None:
                parts.append(message)
            elif before is not None and "seq" in message:
                before.append(message)
        self.assertEqual([part["part"] for part in parts], list(range(1, answer["parts"] + 1)))
        for part in parts:
            self.assertEqual((part["type"], part["symbol"], part["parts"]), ("depth", symbol, answer["parts"]))
            self.assertEqual([part["ch"], part["seq"], part["as_of"]], [answer["ch"], *[answer["as_of"]] * 2])
        self.assertEqual([part["data"]["action"] for part in parts], ["snapshot"] + ["delta"] * (len(parts) - 1))
        return answer, parts

    async def whole(self, server, transport, book):
        async with Client(server, transport) as client:
            answer, parts = await self.snapshot(client, "BIG-USD.COINBASE")
            mine = Book()
            for part in parts:
                mine.apply(part["data"])
            self.assertEqual(mine.sides, book.sides)
            return answer

    def test_snapshot_is_the_whole_book(self):
        """Long after its frames have left the log, too."""
        for count, options in ((10, ()), (20000, ("--publisher", "thread", "--cores", "2")), (6000, ("--frame-log-bytes", "1m"))):
            messages, book = coinbase_pass(count)
            noise = [update(("buy", "1.00", f"{i % 7 + 1}"), symbol="NOISE-USD") for i in range(9000)] if options else []
            server = self.serve([snapshot([], [], "NOISE-USD"), *messages, *noise], *options, feed="speed=0")
            self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
            for transport in TRANSPORTS:
                with self.subTest(levels=count, transport=transport):
                    answer = finish(self.whole(server, transport, book))
                    self.assertEqual(answer["parts"] > 1, count > 10)
            server.stop()

    async def join(self, server, book):
        """Subscribes in the middle of a pass, and has the whole book at its end."""
        async with Client(server, "json") as client:
            live, mine = [], Book()
            await client.subscribe("BIG-USD.COINBASE")
            answer, parts = await self.snapshot(client, "BIG-USD.COINBASE", live)
            for part in parts:
                mine.apply(part["data"])
            while not (live and live[-1]["seq"] > answer["as_of"] and ends_pass(live[-1])):
                message = await client.next()
                if "seq" in message:
                    live.append(message)
            for message in live:
                if message["seq"] > answer["as_of"]:
                    mine.apply(message["data"])
            self.assertEqual(mine.sides, book.sides)

    def test_who_joins_in_the_middle_begins_with_a_snapshot(self):
        messages, _ = coinbase_pass(3000)
        # One snapshot only, at the beginning; passes go on without it.
        changes = [update(("buy", f"{49000 + i}.00", str(i + 1)), ("sell", f"{51000 + i}.00", str(i))) for i in range(200)]
        book = Book({"bids": {}, "asks": {}})
        snap = messages[3]
        book.apply({"action": "snapshot", "bids": snap["bids"], "asks": snap["asks"]})
        for change in (*changes, messages[-1]):
            sides = {"buy": [], "sell": []}
            for side, at, size in change["changes"]:
                sides[side].append([at, size])
            book.apply({"action": "delta", "bids": sides["buy"], "asks": sides["sell"]})
        server = self.serve([snap, *changes, messages[-1]], step=0.005)
        for _ in range(5):
            finish(self.join(server, book))

    def test_a_snapshot_that_cannot_be_had(self):
        small = snapshot(*levels(10, 4000000, 4000001))
        server = self.serve([small, snapshot(*levels(3, 4000000, 4000001), symbol="GOOD-USD"),
                             {**small, "bids": [["x", "1"]]}], feed="speed=0")
        self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
        with RawClient(server.port) as client:
            def ask(symbols, **data):
                message = {"type": "SNAPSHOT", "data": {"symbols": symbols, "data_types": ["depth"], **data}}
                return client.ask(message, ("SNAPSHOT",), SECONDS)["data"]
            self.assertEqual(ask(["BIG-USD.COINBASE"])["failed"][0]["code"], 108)
            self.assertEqual(ask(["NONE.COINBASE"])["failed"][0]["code"], 120)
            self.assertEqual(ask(["GOOD-USD.COINBASE"], depth=5)["failed"][0]["code"], 123)
            both = ask(["NONE.COINBASE", "GOOD-USD.COINBASE"])
            self.assertEqual((both["ok"], both["failed"][0]["code"]), ([], 120))
            self.assertEqual(client.next_message(("SNAPSHOT",), SECONDS)["data"]["ok"][0]["parts"], 1)
            self.assertEqual(len(client.next_message(("depth",), SECONDS)["data"]["bids"]), 3)
            # More at once than there may be; what is left out says so, and comes when it is asked for again.
            for _ in range(20):
                client.send_text(json.dumps({"type": "SNAPSHOT", "data": {"symbols": ["GOOD-USD.COINBASE"],
                                                                          "data_types": ["depth"]}}))
            answers = [client.next_message(("SNAPSHOT",), SECONDS)["data"] for _ in range(20)]
            self.assertGreaterEqual(len([answer for answer in answers if answer["ok"]]), 16)
            for answer in answers:
                for failed in answer["failed"]:
                    self.assertEqual((failed["code"], failed["retry"]), (106, True))
        # Those who leave in between leave nothing behind.
        for _ in range(300):
            client = RawClient(server.port)
            client.send_text(json.dumps({"type": "SNAPSHOT", "data": {"symbols": ["GOOD-USD.COINBASE"],
                                                                      "data_types": ["depth"]}}))
            client.reset()
        with RawClient(server.port) as client:
            self.assertEqual(ask(["GOOD-USD.COINBASE"])["failed"], [])

    @in_full
    def test_clients_that_read_books_slowly_cost_nobody_a_book(self):
        """They ask for as many as they may, which together have no room, and read a little again and again."""
        messages, _ = coinbase_pass(20000)
        server = self.serve(messages, feed="speed=0")
        self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
        ask = json.dumps({"type": "SNAPSHOT", "data": {"symbols": ["BIG-USD.COINBASE"], "data_types": ["depth"]}})
        slow = [RawClient(server.port, receive_buffer=4096) for _ in range(8)]
        for client in slow:
            self.addCleanup(client.close)
            for _ in range(16):
                client.send_text(ask)
        with RawClient(server.port) as client:
            for _ in range(3):
                client.send_text(ask)
                parts, count = None, 0
                deadline = time.monotonic() + 30
                while parts != count:
                    try:
                        message = client.next_message(("SNAPSHOT", "depth"), 0.5)
                        parts = parts or message["data"]["ok"][0]["parts"]
                        count += message["type"] == "depth"
                    except TimeoutError:
                        self.assertLess(time.monotonic(), deadline, "no book while others read theirs")
                        for other in slow:
                            read_a_little(other)

    @in_full
    def test_who_does_not_read_a_book_is_closed(self):
        messages, book = coinbase_pass(60000)
        server = self.serve(messages, feed="speed=0")
        self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
        with RawClient(server.port, receive_buffer=4096) as idle:
            for _ in range(16):
                idle.send_text(json.dumps({"type": "SNAPSHOT", "data": {"symbols": ["BIG-USD.COINBASE"],
                                                                        "data_types": ["depth"]}}))
            finish(self.whole(server, "json", book))
            self.assertTrue(server.wait_for_line("closed by the server, code 4108", SECONDS), server.log())


class Losses(BooksTestCase):
    async def lost(self, server, **settings):
        """The reason of a GAP, and the action of the first frame after it."""
        async with Client(server, "json") as client:
            channel = await client.subscribe("BIG-USD.COINBASE", **settings)
            while not client.gaps:
                await client.next()
            self.assertEqual(client.gaps[0]["ch"], channel)
            self.assertEqual(client.gaps[0]["from"], client.gaps[0]["to"])
            while (message := await client.next()).get("ch") != channel:
                pass
            return client.gaps[0]["reason"], message["data"]["action"]

    def test_what_cannot_be_read_is_a_gap(self):
        small = snapshot(*levels(10, 4000000, 4000001))
        big = json.dumps(small)
        cases = {
            "a line over the limit": big[:-1] + " " * 2**24 + "}",
            "no JSON": big[:-5],
            "no levels": {**small, "bids": [["x", "1"]]},
            "a bad delta": {**update(("buy", "1.00", "2")), "changes": [["buy", "1.00"]]},
        }
        for name, bad in cases.items():
            with self.subTest(name):
                server = self.serve([small, bad, update(("buy", "40000.00", "3"))])
                self.assertEqual(finish(self.lost(server)), ("source", "delta"))
                # No delta of a book that is void: the next thing is its next snapshot.
                self.assertEqual(finish(self.lost(server, depth=5)), ("source", "snapshot"))
                server.stop()

    async def replay(self, server, transport):
        """The book that all frames of the log make, and the GAPs among them."""
        async with Client(server, transport) as client:
            mine = Book()
            await client.ask("REPLAY", ["BIG-USD.COINBASE"], **{"from": 1})
            while (message := await client.next())["type"] != "END_OF_REPLAY":
                if message["type"] == "depth":
                    mine.apply(message["data"])
            self.assertEqual(message["data"]["gaps"], [])
            return mine, client.gaps

    def test_history_has_the_parts_and_the_gaps(self):
        messages, book = coinbase_pass(6000)
        bad = {**update(("buy", "1.00", "2")), "changes": [["buy", "1.00"]]}
        server = self.serve([*messages, bad], feed="speed=0")
        self.assertTrue(server.wait_for_line("after pass 1", SECONDS))
        for transport in TRANSPORTS:
            with self.subTest(transport=transport):
                mine, gaps = finish(self.replay(server, transport))
                self.assertEqual(mine.sides, book.sides)
                self.assertEqual([gap["reason"] for gap in gaps], ["source"])

    def test_a_hole_of_the_venue_is_a_gap(self):
        messages, _ = binance_pass(5)
        messages[1]["data"]["U"] += 100
        messages[1]["data"]["u"] += 100
        messages[2]["data"]["U"] += 100
        messages[2]["data"]["u"] += 100
        server = self.serve(messages, kind="binance")
        with RawClient(server.port) as client:
            client.subscribe(["BIGUSDT.BINANCE"], ["depth"])
            gap = client.next_message(("GAP",), SECONDS)["data"]
            after = client.next_message(("depth",), SECONDS)
            self.assertEqual((gap["from"], gap["to"], gap["reason"]), (after["seq"] - 1, after["seq"] - 1, "source"))
            self.assertEqual(after["data"]["asks"][0][1], 77.5)


if __name__ == "__main__":
    unittest.main()
