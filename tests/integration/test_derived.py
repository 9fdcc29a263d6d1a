"""Depths, bars and conflation with real sockets: books, bars and newest images are computed again here."""
import collections
import decimal
import json
import statistics
import time
import unittest

import captures
from clients import PING, PONG, TEXT, RawClient, Tracker, frame as client_frame
from server import Server, ServerTestCase, wait_until
from test_feeds import capture

DECIMALS = decimal.Context(prec=60)


def exact(payload):
    """JSON whose numbers are as exact as their text."""
    return json.loads(payload, parse_float=decimal.Decimal)


def crc32c(data):
    rest = 0xffffffff
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82f63b78 if rest & 1 else 0)
    return rest ^ 0xffffffff


def plain(number):
    """Decimal notation without zeros at the end."""
    text = format(decimal.Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class ReferenceBook:
    """An order book as the manual says a client keeps it."""

    def __init__(self):
        self.sides = None  # price -> size, once there was a snapshot

    def apply(self, data):
        if data["action"] == "snapshot":
            self.sides = {side: {} for side in ("bids", "asks")}
        if self.sides is None:
            return False
        for side, levels in self.sides.items():
            for price, size in data[side]:
                if size == 0:
                    levels.pop(price, None)
                else:
                    levels[price] = size
        return True

    def top(self, count):
        return {"bids": sorted(self.sides["bids"].items(), reverse=True)[:count],
                "asks": sorted(self.sides["asks"].items())[:count]}

    def checksum(self):
        top = self.top(10)
        text = "|".join("".join(f"{plain(price)}:{plain(size)}," for price, size in top[side])
                        for side in ("bids", "asks"))
        return crc32c(text.encode())


class Follower:
    """Keeps every data frame of a client by channel, with Decimals, and checks each seq.

    "at" in a frame is its place among all that came: the order of the log.
    """

    def __init__(self, client):
        self.client = client
        self.tracker = Tracker()
        self.frames = collections.defaultdict(list)
        self.count = 0

    def subscribe(self, symbols, types, **data):
        answer = self.ask(symbols, types, **data)
        assert answer["failed"] == [], answer
        return [entry.get("ch") for entry in answer["ok"]]  # of a pattern: None

    def ask(self, symbols, types, **data):
        message = {"type": "SUBSCRIBE", "data": {"symbols": symbols, "data_types": types, **data}}
        self.client.send_text(json.dumps(message))
        while True:
            message = self.step()
            if message["type"] in ("SUBSCRIBED", "ERROR"):
                return message["data"]

    def step(self):
        opcode, payload = self.client.next_frame()
        if opcode == PING:
            self.client.send(client_frame(PONG, payload))
        if opcode != TEXT:
            return {"type": "other"}
        self.tracker.on_text(payload)
        message = exact(payload)
        if "ch" in message and "seq" in message:
            self.count += 1
            message["at"] = self.count
            self.frames[message["ch"]].append(message)
        return message

    def catch_up(self):
        """Reads what has come, and answers pings, of which two may not stay unanswered."""
        self.client.send_text('{"type":"PING"}')
        while self.step()["type"] != "PONG":
            pass

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, {ch: len(f) for ch, f in self.frames.items()}
            self.step()


def conflated(interval_ms, **more):
    """Frames wait for a client that stands still: none is passed over."""
    return {"delivery": {"mode": "conflated", "interval_ms": interval_ms, "on_lag": "skip"}, **more}


class DerivedTestCase(ServerTestCase):
    def follower(self):
        client = RawClient(self.server.port)
        self.addCleanup(client.close)
        return Follower(client)

    def check_book(self, follower, source, channel, depth):
        """What the cut channel says is the top of what the feed's own says, at the same ts_event, and
        all its checksums are right. Returns how many there were."""
        full, tops = ReferenceBook(), collections.defaultdict(list)
        for frame in follower.frames[source]:
            if full.apply(frame["data"]):
                tops[frame.get("ts_event"), frame["ts_recv"]].append(full.top(depth))
        book, checksums, compared = ReferenceBook(), 0, 0
        for frame in follower.frames[channel]:
            if not book.apply(frame["data"]):
                continue
            for levels in book.sides.values():
                self.assertLessEqual(len(levels), depth)
            same = tops.get((frame.get("ts_event"), frame["ts_recv"]))
            if same:  # Several ticks may have the same times.
                self.assertIn(book.top(depth), same, frame)
                compared += 1
            if "checksum" in frame["data"]:
                self.assertEqual(frame["data"]["checksum"], book.checksum(), frame)
                checksums += 1
        self.assertGreater(compared, 10)
        return checksums


class Books(DerivedTestCase):
    options = ("--feed", "sim:symbols=3,rate=3000,types=depth+trade")

    def test_the_cut_books_are_the_top_of_the_feeds_own(self):
        follower = self.follower()
        source, = follower.subscribe(["000001.SZ"], ["depth"])
        channels = {depth: follower.subscribe(["000001.SZ"], ["depth"], depth=depth)[0]
                    for depth in (5, 10, 20, 50)}
        # The feed's own book has a snapshot every 1000 ticks: two seconds here.
        follower.until(lambda: len(follower.frames[source]) > 2500)
        for depth, channel in channels.items():
            first = follower.frames[channel][0]["data"]
            self.assertEqual(first["action"], "snapshot")
            self.assertGreater(self.check_book(follower, source, channel, depth), 20)
        self.assertEqual(follower.tracker.faults, [])
        self.assertLess(len(follower.frames[channels[5]]), len(follower.frames[source]))

    def test_who_comes_later_gets_a_snapshot_and_the_same_bytes(self):
        first, second = self.follower(), self.follower()
        channel, = first.subscribe(["600519.SH"], ["depth"], depth=5)
        first.until(lambda: len(first.frames[channel]) > 50)
        self.assertEqual(second.subscribe(["600519.SH"], ["depth"], depth=5), [channel])
        second.until(lambda: any(frame["data"]["action"] == "snapshot"
                                 for frame in second.frames[channel]))
        second.until(lambda: len(second.frames[channel]) > 100)
        last = second.frames[channel][-1]["seq"]
        first.until(lambda: first.frames[channel][-1]["seq"] >= last)
        data = {frame["seq"]: frame["data"] for frame in first.frames[channel]}
        for frame in second.frames[channel]:
            self.assertEqual(frame["data"], data[frame["seq"]])
        self.assertEqual(first.tracker.faults + second.tracker.faults, [])

    def test_a_conflated_book_is_whole_each_time(self):
        follower = self.follower()
        channel, = follower.subscribe(["000001.SZ"], ["depth"], **conflated(100, depth=5))
        follower.until(lambda: len(follower.frames[channel]) > 20)
        for frame in follower.frames[channel]:
            book = ReferenceBook()
            book.apply(frame["data"])
            self.assertEqual(frame["data"]["action"], "snapshot")
            self.assertEqual(frame["data"]["checksum"], book.checksum())
            self.assertEqual([len(frame["data"]["bids"]), len(frame["data"]["asks"])], [5, 5])


class Bars(DerivedTestCase):
    options = ("--feed", "sim:symbols=3,rate=900,types=quote+trade")

    def test_bars_add_up_the_trades(self):
        follower = self.follower()
        trades, = follower.subscribe(["000001.SZ"], ["trade"])
        bars, = follower.subscribe(["000001.SZ"], ["bar"], bar="1s")
        minutes, = follower.subscribe(["000001.SZ"], ["bar"], bar="1m")

        def closed():
            return [frame for frame in follower.frames[bars] if frame["data"]["closed"]]
        follower.until(lambda: len(closed()) >= 5)
        by_second = collections.defaultdict(list)
        for frame in follower.frames[trades]:
            by_second[frame["ts_event"] // 10**9 * 10**9].append(frame)
        starts = [frame["data"]["start"] for frame in closed()]
        self.assertEqual(starts, sorted(set(starts)), "each is closed once")
        for closing in closed()[1:]:
            bar = closing["data"]
            ticks = [(frame["data"]["price"], frame["data"]["size"])
                     for frame in by_second[bar["start"]] if frame["at"] < closing["at"]]
            for late in by_second[bar["start"]][len(ticks):]:
                self.assertGreaterEqual(late["ts_recv"], bar["start"] + 1200 * 10**6)
            prices = [price for price, _ in ticks]
            self.assertEqual(bar, {
                "interval": "1s", "start": bar["start"], "open": prices[0], "high": max(prices),
                "low": min(prices), "close": prices[-1],
                "volume": sum(size for _, size in ticks),
                "turnover": sum(DECIMALS.multiply(price, size) for price, size in ticks),
                "count": len(ticks), "closed": True})
        opens = [frame["at"] for frame in follower.frames[bars] if not frame["data"]["closed"]]
        self.assertLess(len(opens), 7 * 6, "an open bar is told four times a second")
        self.assertTrue(follower.frames[minutes])
        self.assertEqual(follower.tracker.faults, [])

    def test_a_bar_asked_for_late_has_the_trades_since_its_interval_began(self):
        # Not over the end of an interval.
        self.assertTrue(wait_until(lambda: time.time() % 300 < 270, 60))
        follower = self.follower()
        trades, = follower.subscribe(["600519.SH"], ["trade"])
        began = follower.frames
        follower.until(lambda: len(began[trades]) > 300)
        bars, = follower.subscribe(["600519.SH"], ["bar"], bar="5m")
        follower.until(lambda: len(follower.frames[bars]) > 2)
        bar = follower.frames[bars][-1]
        before = [frame for frame in began[trades] if frame["ts_event"] <= bar["ts_event"]
                  and frame["ts_event"] >= bar["data"]["start"]]
        self.assertGreaterEqual(bar["data"]["count"], len(before))
        self.assertGreater(len(before), 200)


class Rotation(DerivedTestCase):
    """More depths and intervals than the server has at a time, each for a moment."""
    options = ("--feed", "sim:symbols=1100,rate=2000,types=quote+depth", "--rate-limit-enabled", "no",
               "--max-subscriptions", "1000")
    symbols = [f"SIM{number:05}.SIM" for number in range(50, 1050)]
    client_max = 256

    def settings(self):
        for interval in (100, 200, 250, 500, 1000, 2000, 5000):
            yield "quote", conflated(interval)
        for depth in (5, 10, 20, 50):
            yield "depth", {"depth": depth}

    def test_who_wants_many_in_turns_keeps_nobody_from_theirs(self):
        keeper = self.follower()
        kept, = keeper.subscribe(["SIM01060.SIM"], ["quote"], **conflated(100))
        numbers = collections.Counter()
        with RawClient(self.server.port) as client:
            for kind, setting in self.settings():
                for first in range(0, len(self.symbols), 250):
                    symbols = self.symbols[first:first + 250]
                    wanted = set(symbols)

                    def all_are_had():
                        answer = client.subscribe(sorted(wanted), [kind], **setting)["data"]
                        numbers.update(entry["ch"] for entry in answer["ok"])
                        wanted.difference_update(entry["symbol"] for entry in answer["ok"])
                        self.assertEqual({entry["code"] for entry in answer["failed"]} - {106}, set())
                        return not wanted
                    self.assertTrue(wait_until(all_are_had, 30))
                    keeper.catch_up()
                    answer = client.ask({"type": "UNSUBSCRIBE", "data": {
                        "symbols": symbols, "data_types": [kind], **setting}}, ("UNSUBSCRIBED",))
                    self.assertEqual(len(answer["data"]["ok"]), 250)
        self.assertEqual(sum(numbers.values()), 11000)
        self.assertLess(len(numbers), 8192)
        self.assertEqual(numbers[kept], 0)
        count = len(keeper.frames[kept])
        keeper.until(lambda: len(keeper.frames[kept]) > count)
        self.assertEqual({frame["symbol"] for frame in keeper.frames[kept]}, {"SIM01060.SIM"})
        self.assertEqual(keeper.tracker.faults, [])

    def test_one_client_has_so_many_at_a_time(self):
        with RawClient(self.server.port) as client:
            welcome = client.next_message(("WELCOME",))["data"]
            self.assertEqual(welcome["limits"]["max_derived"], self.client_max)
            answer = client.subscribe(self.symbols[:self.client_max + 10], ["quote"],
                                      **conflated(100))["data"]
            self.assertEqual(len(answer["ok"]), self.client_max)
            self.assertEqual([entry["code"] for entry in answer["failed"]], [122] * 10)
            last = answer["failed"][-1]["symbol"]
            client.ask({"type": "UNSUBSCRIBE", "data": {
                "symbols": self.symbols[:1], "data_types": ["quote"], **conflated(100)}},
                ("UNSUBSCRIBED",))
            self.assertEqual(len(client.subscribe([last], ["quote"], **conflated(100))["data"]["ok"]), 1)


class Conflation(DerivedTestCase):
    options = ("--feed", "sim:symbols=3,rate=3000,types=quote+trade", "--max-connections", "2000")

    def test_the_newest_quote_at_most_once_an_interval(self):
        follower = self.follower()
        source, = follower.subscribe(["000001.SZ"], ["quote"], delivery={"on_lag": "skip"})
        channel, = follower.subscribe(["000001.SZ"], ["quote"], **conflated(200))
        follower.until(lambda: len(follower.frames[channel]) >= 15)
        published = [frame["ts_pub"] for frame in follower.frames[channel]]
        steps = [after - before for before, after in zip(published, published[1:])]
        for before, step in zip([10**9, *steps], steps):
            # A server that was stopped as it published one is not late with the next one.
            self.assertTrue(step > 190 * 10**6 or before + step > 390 * 10**6, steps)
        self.assertGreater(statistics.median(steps), 190 * 10**6)
        self.assertLess(statistics.median(steps), 260 * 10**6)
        for frame in follower.frames[channel][1:]:
            newest = max((quote for quote in follower.frames[source] if quote["at"] < frame["at"]),
                         key=lambda quote: quote["at"])
            self.assertEqual((frame["data"], frame["ts_event"]),
                             (newest["data"], newest["ts_event"]), "it is the newest")
        self.assertEqual(follower.tracker.faults, [])

    def test_a_thousand_conflated_clients_cost_one_encode_an_interval(self):
        clients = []
        for _ in range(1000):
            client = RawClient(self.server.port)
            self.addCleanup(client.close)
            clients.append(client)
        channels = {client.subscribe(["600519.SH"], ["quote"], **conflated(500))["data"]["ok"][0]["ch"]
                    for client in clients}
        self.assertEqual(len(channels), 1)
        frames = []
        for client in clients:
            frames.append([client.next_message(("quote",)) for _ in range(4)])
        first = max(sequence[0]["seq"] for sequence in frames)
        shared = {json.dumps(frame) for sequence in frames for frame in sequence
                  if frame["seq"] == first + 1}
        self.assertEqual(len(shared), 1, "the same bytes for all")
        numbers = {frame["seq"]: frame["ts_pub"] for sequence in frames for frame in sequence}
        span = (max(numbers.values()) - min(numbers.values())) / 1e9
        # The first may be published a second late.
        self.assertLessEqual(max(numbers) - min(numbers), span / 0.5 + 2)

    def test_variants_are_listed_and_end(self):
        follower = self.follower()
        channel, = follower.subscribe(["300750.SZ"], ["quote"], **conflated(100))
        listed = follower.client.ask('{"type":"LIST"}', ("SUBSCRIPTIONS",))["data"]["subscriptions"]
        self.assertEqual([(entry["ch"], entry["interval_ms"]) for entry in listed], [(channel, 100)])
        answer = follower.client.ask(json.dumps(
            {"type": "UNSUBSCRIBE", "data": {"symbols": ["300750.SZ"], "data_types": ["quote"],
                                             **conflated(100)}}), ("UNSUBSCRIBED",))
        self.assertEqual(answer["data"]["ok"], [{"symbol": "300750.SZ", "type": "quote",
                                                 "interval_ms": 100}])

    def test_what_is_not_offered_is_refused(self):
        follower = self.follower()
        for types, data, code in ((["trade"], conflated(100), 123), (["quote"], conflated(99), 123),
                                  (["depth"], {"depth": 7}, 123), (["bar"], {"bar": "2m"}, 123)):
            answer = follower.ask(["000001.SZ"], types, **data)
            self.assertEqual(answer.get("code") or answer["failed"][0]["code"], code, answer)
        answer = follower.ask(["*"], ["quote"], **conflated(100))
        self.assertEqual(answer["failed"][0]["code"], 123)
        self.assertEqual(follower.ask(["A"], ["quote"], **conflated(100))["failed"][0]["code"], 120)


class TwoCores(Books):
    options = (*Books.options, "--cores", "2", "--publisher", "thread")


class Captures(DerivedTestCase):
    def start(self, name, speed):
        self.server = Server("--feed", f"replay:path={capture(name)},speed={speed},loop=yes").start()
        self.addCleanup(self.server.kill)

    def setUp(self):
        pass

    @classmethod
    def setUpClass(cls):
        pass

    def test_coinbase_books_that_are_asked_for_later_stay_right(self):
        ticks = captures.read(capture("coinbase.ws.log"), captures.coinbase)
        # Not the busiest: this program reads them with Decimals.
        symbols = sorted((symbol for symbol, kind in ticks
                          if kind == "depth" and len(ticks[symbol, kind]) > 300),
                         key=lambda symbol: len(ticks[symbol, "depth"]))[:3]
        self.assertEqual(len(symbols), 3)
        self.start("coinbase.ws.log", 10)
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["feed_passes"] > 0, 60))
        follower = self.follower()
        follower.subscribe(symbols, ["depth"])
        follower.until(lambda: sum(map(len, follower.frames.values())) > 1000, 60)
        channels = follower.subscribe(symbols, ["depth"], depth=10)
        follower.until(lambda: all(len(follower.frames[channel]) > 100 for channel in channels), 120)
        own = {frames[0]["symbol"]: channel for channel, frames in follower.frames.items()
               if channel not in channels}
        follower.until(lambda: all(
            any(frame["data"]["action"] == "snapshot" for frame in follower.frames[own[symbol]][:-200])
            for symbol in symbols), 120)
        self.assertEqual(follower.tracker.faults + follower.tracker.gaps, [])
        for symbol, channel in zip(symbols, channels):
            self.assertEqual(follower.frames[channel][0]["data"]["action"], "snapshot")
            self.assertGreater(self.check_book(follower, own[symbol], channel, 10), 3)
        self.assertEqual(follower.tracker.faults, [])

    def test_binances_own_minutes_go_on_unchanged(self):
        ticks = captures.read(capture("binance.ws.log"), captures.binance)
        self.assertTrue(any(kind == "bar" for _, kind in ticks))
        self.start("binance.ws.log", 20)
        follower = self.follower()
        follower.subscribe(["*"], ["bar"])
        follower.until(lambda: follower.frames, 60)
        own, = follower.frames
        symbol = follower.frames[own][0]["symbol"]
        channel, = follower.subscribe([symbol], ["bar"], bar="1m")
        follower.until(lambda: len(follower.frames[channel]) >= 2, 60)
        own_bars = [frame["data"] for frame in follower.frames[own]]
        for frame in follower.frames[channel]:
            self.assertIn(frame["data"], own_bars)


if __name__ == "__main__":
    unittest.main()
