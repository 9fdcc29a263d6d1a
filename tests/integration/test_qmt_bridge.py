"""examples/qmt_bridge.py: callbacks of xtquant, as it documents them, become exact ticks."""
import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest

from clients import TEXT, RawClient
from qmt_exchange import AUCTION, MIDNIGHT, Exchange
from server import CHECKOUT, Server, run, wait_until
from test_examples import Relay, Running

sys.path.insert(0, str(CHECKOUT / "examples"))
import qmt_bridge  # noqa: E402

qmt_bridge.log = lambda text: None

SECONDS = 30
SECOND = 1_000_000_000
DAY = 86400 * SECOND
EARLY = (MIDNIGHT + 9 * 3600_000) * 1_000_000  # 09:00 in Shanghai
TICK = {"time": 1700014380000, "lastPrice": 10.450000000000001, "open": 10.41, "high": 10.45, "low": 10.3,
        "lastClose": 10.4, "amount": 675432100.0, "volume": 654321, "pvolume": 65432101, "stockStatus": 0,
        "openInt": 13, "transactionNum": 0.0, "lastSettlementPrice": 0.0, "settlementPrice": 0.0,
        "askPrice": [10.46, 10.469999999999999, 10.48, 0.0, 0.0], "askVol": [300, 800, 90, 0, 0],
        "bidPrice": [10.450000000000001, 10.44, 10.43, 10.42, 10.41], "bidVol": [5, 1500, 2500, 7, 65536]}
QUOTE = ('{"last":10.45,"open":10.41,"high":10.45,"low":10.3,"prev_close":10.4,"volume":65432101,'
         '"turnover":675432100,"bids":[[10.45,500],[10.44,150000],[10.43,250000],[10.42,700],[10.41,6553600]],'
         '"asks":[[10.46,30000],[10.47,80000],[10.48,9000]],"status":"trading"}')
BAR = {"time": 1700014500000, "open": 10.41, "high": 10.450000000000001, "low": 10.3, "close": 10.44,
       "volume": 1234, "amount": 1283360.0, "settelementPrice": 0.0, "openInterest": 13, "preClose": 10.4,
       "suspendFlag": 0}
TRADE = {"time": 1700014381230, "price": 10.450000000000001, "volume": 300, "amount": 3135.0, "tradeIndex": 4711,
         "buyNo": 20, "sellNo": 10, "tradeType": 0, "tradeFlag": 1}


def options(**given):
    """Those of the command line."""
    return argparse.Namespace(**dict({"quotes": [], "symbols": [], "bars": [], "level2": [], "lot_size": [],
                                      "l2_unit": "shares", "bar_time": "end"}, **given))


class Array:
    """What numpy's arrays and scalars have: no list, no int, but tolist()."""

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


def with_arrays(record):
    return {key: Array(value) for key, value in record.items()}


class Publisher:
    """What a converter published."""
    is_full = False

    def __init__(self):
        self.frames = []

    def tick(self, data_type, symbol, ts_event, data):
        if not self.is_full:
            self.frames.append((data_type, symbol, ts_event, json.dumps(data, separators=(",", ":"))))
        return not self.is_full

    def gap(self, data_type, symbol):
        self.frames.append(("GAP", data_type, symbol))


class Producer(Publisher):
    def publish(self, symbol, data_type, data, ts_event):
        return 1 if self.tick(data_type, symbol, ts_event, data) else None

    def gap(self, symbol, data_type):
        super().gap(data_type, symbol)


def follow(book, frames):
    """The book of a client that applies these frames; None: it has none, or a GAP has voided it."""
    for frame in frames:
        if frame[:2] == ("GAP", "depth"):
            book = None
        elif frame[0] == "depth":
            data = json.loads(frame[3])
            if data["action"] == "snapshot":
                book = ({}, {})
            for side, name in enumerate(("bids", "asks")):
                for at, size in data[name]:
                    assert 9 < at < 11, data  # No price of an order that has none.
                    if size:
                        book[side][at] = size
                    else:
                        del book[side][at]  # Nothing is removed that was never published.
    return book


class Conversion(unittest.TestCase):
    def convert(self, kind, symbol, *records, **options):
        publisher = Publisher()
        converter = qmt_bridge.Converter(publisher, **options)
        if options.get("level2"):
            converter.convert("subscribed", symbol, EARLY)
            publisher.frames.clear()
        for record in records:
            converter.convert(kind, symbol, record)
        converter.flush()
        return publisher.frames

    def test_a_full_tick_is_a_quote_and_its_first_state_a_status(self):
        expected = [("quote", "600000.SH", 1700014380 * SECOND, QUOTE),
                    ("status", "600000.SH", 1700014380 * SECOND, '{"state":"trading"}')]
        self.assertEqual(self.convert("tick", "600000.SH", TICK), expected)
        self.assertEqual(self.convert("tick", "600000.SH", with_arrays(TICK)), expected)

    def test_numpy_itself(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("SKIPPED: numpy is not installed")
        record = {key: numpy.array(value) if isinstance(value, list) else numpy.float64(value)
                  if isinstance(value, float) else numpy.int64(value) for key, value in TICK.items()}
        self.assertEqual(self.convert("tick", "600000.SH", record)[0][3], QUOTE)

    def test_keys_come_and_go(self):
        self.assertEqual(self.convert("tick", "600000.SH", {"lastPrice": 7.0}),
                         [("quote", "600000.SH", None, '{"last":7,"bids":[],"asks":[]}')])
        for key in TICK:
            rest = {name: value for name, value in TICK.items() if name != key}
            self.assertEqual(self.convert("tick", "600000.SH", rest)[0][0], "quote", key)
            self.assertEqual(self.convert("tick", "600000.SH", dict(TICK, **{key: None}))[0][0], "quote", key)

    def test_what_cannot_be_read_is_a_gap(self):
        self.assertEqual(self.convert("tick", "600000.SH", dict(TICK, lastPrice="10.4x")),
                         [("GAP", "quote", "600000.SH")])
        self.assertEqual(self.convert("l2transaction", "600000.SH", {"time": 1}, level2=("trade",)),
                         [("GAP", "trade", "600000.SH")])

    def test_numbers_are_the_decimals_that_were_meant(self):
        for value, text in ((10.450000000000001, "10.45"), (0.1 + 0.2, "0.3"), (3.0, "3"), (1234567.8901, "1234567.8901"),
                            (0.0001, "0.0001"), (0.00004, "0"), (1e17, "100000000000000000"), (-0.00001, "0"),
                            (99999999999.9999, "99999999999.9999")):
            self.assertEqual(json.dumps(qmt_bridge.number(value)), text)
        for value in (None, float("nan"), float("inf")):
            self.assertIsNone(qmt_bridge.number(value))
        chosen = random.Random(1)
        for _ in range(2000):
            ticks = chosen.randrange(1, 10 ** 12)
            text = f"{ticks // 10000}.{ticks % 10000:04}".rstrip("0").rstrip(".")
            noisy = ticks / 10000 * (1 + chosen.choice((0, 1e-16, -1e-16)))
            self.assertEqual(json.dumps(qmt_bridge.number(noisy)), text)

    def test_shares_are_preferred_and_lots_are_multiplied(self):
        def volume(symbol, record, **options):
            data = json.loads(self.convert("tick", symbol, record, **options)[0][3])
            return data.get("volume"), data["asks"][0][1]
        lots = {key: value for key, value in TICK.items() if key != "pvolume"}
        self.assertEqual(volume("600000.SH", TICK), (65432101, 30000))
        self.assertEqual(volume("600000.SH", lots), (65432100, 30000))
        self.assertEqual(volume("600000.SH", dict(TICK, pvolume=0)), (65432100, 30000))
        self.assertEqual(volume("113001.SH", lots, lot_sizes=[("11*.SH", 10)]), (6543210, 3000))
        self.assertEqual(volume("IF2401.IF", lots), (654321, 300))

    def test_times_are_utc_and_a_timetag_is_of_shanghai(self):
        tag = dict(TICK, timetag="20231115 10:13:00")
        del tag["time"]
        self.assertEqual(self.convert("tick", "600000.SH", tag)[0][2], 1700014380 * SECOND)
        self.assertEqual(self.convert("tick", "600000.SH", dict(tag, time=1700014380123))[0][2],
                         1700014380123 * 1_000_000)

    def test_states_of_stocks_and_the_open_interest_of_futures(self):
        ticks = [dict(TICK, openInt=code) for code in (11, 11, 12, 0, 12, 16, 20, 23, 21, 10, 99)]
        states = [json.loads(frame[3]) for frame in self.convert("tick", "1.SZ", *ticks) if frame[0] == "status"]
        self.assertEqual(states, [
            {"state": "pre-open"}, {"state": "auction", "reason": "call auction"},
            {"state": "halted", "reason": "volatility interruption"},
            {"state": "closed", "reason": "suspended until the close"},
            {"state": "post-close", "reason": "fixed-price trading has ended"}])
        frames = self.convert("tick", "IF2401.IF", TICK)
        self.assertEqual(len(frames), 1)
        self.assertNotIn("status", frames[0][3])

    def test_an_empty_side_and_an_empty_day(self):
        record = dict(TICK, bidPrice=[0.0] * 5, bidVol=[0] * 5, open=0.0, lastPrice=0.0)
        data = json.loads(self.convert("tick", "600000.SH", record)[0][3])
        self.assertEqual((data["bids"], "open" in data, "last" in data), ([], False, False))

    def test_a_bar_is_closed_when_the_next_begins(self):
        later = dict(BAR, time=BAR["time"] + 60_000, volume=1)
        def bar(start, volume, closed):
            return ("bar", "600000.SH", None,
                    f'{{"interval":"1m","start":{start},"open":10.41,"high":10.45,"low":10.3,"close":10.44,'
                    f'"volume":{volume},"turnover":1283360,"closed":{closed}}}')
        first = 1700014500 * SECOND
        records = [BAR, dict(BAR, volume=1300), later, BAR]
        for bar_time, shift in (("end", 60 * SECOND), ("start", 0)):
            self.assertEqual(self.convert("1m", "600000.SH", *records, bar_time=bar_time), [
                bar(first - shift, 123400, "false"), bar(first - shift, 130000, "false"),
                bar(first - shift, 130000, "true"), bar(first + 60 * SECOND - shift, 100, "false")])
        self.assertEqual(json.loads(self.convert("1d", "600000.SH", BAR)[0][3])["start"], first)
        self.assertEqual(self.convert("1m", "600000.SH", dict(BAR, open=0.0)), [])

    def test_trades_have_the_side_of_the_aggressor_and_cancels_are_none(self):
        records = [TRADE, dict(TRADE, tradeFlag=2), dict(TRADE, tradeFlag=0), dict(TRADE, tradeFlag=3, price=0.0)]
        text = '{{"price":10.45,"size":300{},"id":4711}}'
        self.assertEqual([frame[3] for frame in self.convert("l2transaction", "1.SZ", *records, level2=("trade",))],
                         [text.format(',"side":"buy"'), text.format(',"side":"sell"'), text.format("")])

    def test_the_amount_of_a_trade_tells_its_unit(self):
        def size(unit, **fields):
            frame = self.convert("l2transaction", "1.SZ", dict(TRADE, **fields), level2=("trade",), l2_unit=unit)[0]
            return json.loads(frame[3])["size"]
        self.assertEqual(size("shares", amount=0.0), 300)
        self.assertEqual(size("lots", amount=0.0), 30000)
        self.assertEqual(size("lots"), 300)
        self.assertEqual(size("shares", amount=313500.0), 30000)

    def test_l2quote_is_a_quote_or_a_whole_book_of_ten_levels(self):
        record = dict(TICK, askPrice=[10.46 + i / 100 for i in range(10)], askVol=list(range(1, 11)), pe=5.0)
        frames = self.convert("l2quote", "1.SZ", record, level2=("quote", "depth"))
        self.assertEqual([frame[0] for frame in frames], ["quote", "status", "depth"])
        self.assertEqual(len(json.loads(frames[0][3])["asks"]), 10)
        self.assertEqual(json.loads(frames[2][3])["asks"][9], [10.55, 1000])
        # Two sources of one channel would take turns with 5 and 10 levels.
        self.assertEqual(self.convert("tick", "1.SZ", TICK, level2=("quote",)), [])

    def test_the_server_that_knows_nothing_gets_everything_again(self):
        publisher = Publisher()
        converter = qmt_bridge.Converter(publisher, level2=("book",))
        converter.convert("subscribed", "1.SZ", EARLY)
        publisher.frames.clear()
        converter.convert("tick", "600000.SH", TICK)
        for order in (1, 2):
            converter.convert("l2order", "1.SZ", {"time": MIDNIGHT + 9 * 3600_000 + 900_000, "price": 10.0,
                                                  "volume": 100, "entrustNo": order, "entrustType": 1,
                                                  "entrustDirection": 1})
        converter.flush()
        first = list(publisher.frames)
        publisher.frames.clear()
        converter.convert("refresh", None, None)
        converter.flush()
        self.assertEqual(publisher.frames, first)


class Books(unittest.TestCase):
    def play(self, market, seed, delays, count=800):
        """Compares the client's book with the exchange's whenever nothing is under way."""
        symbol = f"600000.{market}"
        exchange, chosen = Exchange(market, seed), random.Random(seed)
        publisher = Publisher()
        converter = qmt_bridge.Converter(publisher, level2=("book",))
        converter.convert("subscribed", symbol, EARLY)
        streams = {"l2order": [], "l2transaction": []}
        taken = compared = 0
        book = None
        for _ in exchange.morning(count):
            for period, record in exchange.events[taken:]:
                streams[period].append(record)
            taken = len(exchange.events)
            is_drained = chosen.random() >= delays
            for period in chosen.sample(sorted(streams), 2):
                stream = streams[period]
                ready = len(stream) if is_drained else chosen.randrange(len(stream) + 1)
                for record in stream[:ready]:
                    converter.convert(period, symbol, record)
                del stream[:ready]
            converter.flush()
            book = follow(book, publisher.frames)
            publisher.frames.clear()
            if is_drained:
                compared += 1
                levels = [sorted(map(list, side.items()), reverse=i == 0) for i, side in enumerate(book or ({}, {}))]
                self.assertEqual(levels, exchange.book(), (market, seed, compared))
        self.assertGreater(exchange.trades, count // 4)
        self.assertGreater(compared, count // 4)
        self.assertEqual(converter.faults, 0)

    def test_shanghai(self):
        for seed in range(3):
            self.play("SH", seed, 0)
            self.play("SH", seed, 0.6)

    def test_shenzhen(self):
        for seed in range(3):
            self.play("SZ", seed, 0)
            self.play("SZ", seed, 0.6)

    def converter(self, since, symbol="600000.SH"):
        publisher = Publisher()
        converter = qmt_bridge.Converter(publisher, level2=("book", "trade"))
        converter.convert("subscribed", symbol, since)
        publisher.frames.clear()
        return publisher, converter

    @staticmethod
    def order(number, milliseconds, **fields):
        return dict({"time": milliseconds, "price": 10.0, "volume": 100, "entrustNo": number, "entrustType": 1,
                     "entrustDirection": 1}, **fields)

    def test_a_day_that_was_not_seen_from_its_beginning_has_no_book(self):
        day = 86_400_000
        publisher, converter = self.converter(EARLY + 14 * 60 * SECOND)  # 09:14
        converter.convert("l2order", "600000.SH", self.order(1, AUCTION))
        converter.flush()
        self.assertEqual(publisher.frames, [])
        converter.convert("l2order", "600000.SH", self.order(1, AUCTION + day))
        converter.flush()
        self.assertEqual(publisher.frames, [("depth", "600000.SH", (AUCTION + day) * 1_000_000,
                                             '{"action":"snapshot","bids":[[10,100]],"asks":[]}')])
        # The next day begins with an empty book, and an order of the evening has none.
        publisher.frames.clear()
        converter.convert("l2order", "600000.SH", self.order(2, AUCTION + day + 6 * 3600_000))
        converter.flush()
        converter.convert("l2order", "600000.SH", self.order(1, AUCTION + 2 * day, price=11.0))
        converter.flush()
        self.assertEqual([frame[3] for frame in publisher.frames],
                         ['{"action":"snapshot","bids":[[11,100]],"asks":[]}'])

    def test_a_book_ends_where_an_order_may_be_missing(self):
        trade = dict(TRADE, time=AUCTION + 1000, buyNo=7, sellNo=9)
        endings = (
            ("the terminal was away", [("lost", "600000.SH", "l2order")], 1),
            ("an order never came", [("l2transaction", "600000.SH", trade),
                                     ("l2order", "600000.SH", self.order(8, AUCTION + 12_000))], 1),
            ("a record cannot be read", [("l2order", "600000.SH", {"time": AUCTION, "volume": None})], 1),
            ("another unit", [("l2transaction", "600000.SH", dict(trade, amount=313500.0, buyNo=1))], 1))
        for why, events, gaps in endings:
            publisher, converter = self.converter(EARLY)
            converter.convert("l2order", "600000.SH", self.order(1, AUCTION))
            converter.flush()
            for event in events:
                converter.convert(*event)
            converter.flush()
            self.assertEqual(publisher.frames.count(("GAP", "depth", "600000.SH")), gaps, why)
            del publisher.frames[:]
            converter.convert("l2order", "600000.SH", self.order(20, AUCTION + 20_000))
            converter.flush()
            self.assertEqual(publisher.frames, [], why)
            converter.convert("subscribed", "600000.SH", EARLY + 3600 * SECOND)
            converter.convert("l2order", "600000.SH", self.order(1, AUCTION + 86_400_000))
            converter.flush()
            self.assertEqual(len(publisher.frames), 1, why)

    def test_what_is_lost_before_the_first_order_is_missing_too(self):
        publisher, converter = self.converter(EARLY)
        converter.lose("l2order", "600000.SH", "the bridge is too slow")
        converter.convert("l2order", "600000.SH", self.order(1, AUCTION))
        converter.flush()
        self.assertEqual(publisher.frames, [])

    def test_a_book_goes_on_with_a_snapshot_where_the_producer_has_no_room(self):
        publisher, converter = self.converter(EARLY)
        for number in range(1, 4):
            publisher.is_full = number == 2
            converter.convert("l2order", "600000.SH", self.order(number, AUCTION))
            converter.flush()
        self.assertEqual([frame[3] for frame in publisher.frames],
                         ['{"action":"snapshot","bids":[[10,100]],"asks":[]}',
                          '{"action":"snapshot","bids":[[10,300]],"asks":[]}'])

    def test_what_a_bridge_before_this_one_published_does_not_go_on(self):
        publisher = Publisher()
        converter = qmt_bridge.Converter(publisher, level2=("book", "trade"))
        for _ in range(2):  # The terminal comes back: what is lost then is reported at the time of the loss.
            converter.convert("subscribed", "600000.SH", EARLY)
            self.assertEqual(publisher.frames, [("GAP", "trade", "600000.SH"), ("GAP", "depth", "600000.SH")])

    def test_an_exchange_without_rules_has_no_book(self):
        publisher, converter = self.converter(EARLY, "430047.BJ")
        converter.convert("l2order", "430047.BJ", self.order(1, AUCTION))
        converter.convert("lost", "430047.BJ", "l2order")
        converter.flush()
        self.assertEqual(publisher.frames, [])


class Inboxes(unittest.TestCase):
    def test_a_full_inbox_drops_and_knows_what(self):
        inbox = qmt_bridge.Inbox(3)
        for number in range(3):
            inbox.put("tick", "1.SZ", number)
        inbox.put("tick", "2.SZ", 3)
        inbox.put("1m", "1.SZ", 4)
        inbox.put("tick", "2.SZ", 5)
        inbox.note("refresh")
        records, lost = inbox.take(0)
        self.assertEqual([record[2] for record in records], [0, 1, 2, None])
        self.assertEqual(lost, [("tick", "2.SZ"), ("1m", "1.SZ")])
        self.assertEqual(inbox.dropped, 3)
        inbox.put("tick", "1.SZ", 6)
        self.assertEqual(inbox.take(0), ([("tick", "1.SZ", 6)], []))

    def test_a_callback_never_waits_and_what_it_drops_is_a_gap(self):
        producer = Producer()
        bridge = qmt_bridge.Bridge(options(quotes=["SH"]), producer)
        bridge.inbox.limit = 1
        receive = bridge.callback("tick")
        receive({"600000.SH": TICK, "600001.SH": TICK})
        bridge.convert_batch()
        self.assertEqual([frame[:2] for frame in producer.frames],
                         [("quote", "600000.SH"), ("status", "600000.SH"), ("GAP", "quote")])
        bridge.terminal_lost()
        receive({"600000.SH": TICK})  # of a subscription that has ended
        self.assertEqual(bridge.inbox._records, [])


class Terminal:
    """What tests/data/xtquant connects to, in the place of QMT."""

    def __init__(self):
        self.port, self.full_ticks = 0, {}
        self.start()

    def start(self):
        self.calls, self.links = [], []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                link = listener.accept()[0]
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link):
        with contextlib.suppress(OSError), link.makefile() as lines:
            for line in lines:
                call = json.loads(line)
                if "full_tick" in call:
                    self._send(link, full_tick=self.full_ticks)
                self.calls.append(call)

    @staticmethod
    def _send(link, **message):
        link.sendall(json.dumps(message).encode() + b"\n")

    def subscribed(self, count):
        """Waits for this many subscriptions."""
        if not wait_until(lambda: sum("period" in call for call in self.calls) == count, SECONDS):
            raise AssertionError(f"{count} subscriptions are not {self.calls}")

    def send(self, period, **data):
        """data: records by symbol, written as 600000_SH."""
        self._send(self.links[-1], period=period, data={name.lstrip("s").replace("_", "."): found
                                                         for name, found in data.items()})

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()


class TlsProxy:
    """Ends TLS in front of a server."""

    def __init__(self, target, certificate, key):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        self.target, self.loop, self.port = target, asyncio.new_event_loop(), None
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(SECONDS)

    def _run(self, ready):
        self.loop.set_exception_handler(lambda *_: None)  # Strangers break off the handshake.
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    @staticmethod
    async def _copy(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)


class Live(unittest.TestCase):
    """The bridge as a program, between the stand-in for xtquant and a real server."""

    def setUp(self):
        self.terminal = Terminal()
        self.addCleanup(lambda: self.terminal.stop())
        with socket.create_server(("127.0.0.1", 0)) as any_socket:
            self.port = any_socket.getsockname()[1]

    def server(self, *more):
        server = Server("--feed", f"ingest:tcp=127.0.0.1:{self.port}", *more).start()
        self.addCleanup(server.kill)
        return server

    def bridge(self, *arguments, port=None, **variables):
        paths = os.pathsep.join((str(CHECKOUT / "tests/data"), str(CHECKOUT / "tests/integration")))
        environment = dict(variables, PYTHONPATH=paths, XTQUANT_PORT=self.terminal.port)
        bridge = Running(["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-B",
                          str(CHECKOUT / "examples/qmt_bridge.py"), f"127.0.0.1:{port or self.port}", *arguments])
        self.addCleanup(bridge.close)
        return bridge

    def client(self, server):
        client = RawClient(server.port)
        self.addCleanup(client.close)
        client.subscribe(["*"], ["quote", "trade", "bar", "depth", "status"])
        return client

    def frames(self, client, count, has_gaps=False):
        """The next frames, as Publisher has them; with GAPs or without those."""
        found = []
        while len(found) < count:
            opcode, payload = client.next_frame(SECONDS)
            if opcode != TEXT:
                continue
            text = payload.decode()
            message = json.loads(text)
            if message["type"] == "GAP" and has_gaps:
                found.append(("GAP", message["data"]["reason"]))
            elif "seq" in message:
                found.append((message["type"], message["symbol"], message.get("ts_event"),
                              re.search(r'"data":(.*)}$', text)[1]))
        return found

    def test_every_kind_of_record_arrives_exactly(self):
        # Orders of a day that has not begun yet: the bridge will have seen all of it.
        tomorrow = (time.time_ns() // DAY + 1) * 86_400_000 + 75 * 60_000  # 09:15 in Shanghai
        order = {"time": tomorrow, "price": 10.450000000000001, "volume": 500, "entrustNo": 20, "entrustType": 1,
                 "entrustDirection": 1}
        self.terminal.full_ticks = {"600001.SH": {"timetag": "20231115 10:13:00", "lastPrice": 5.0}}
        for arrays in ({}, {"XTQUANT_ARRAYS": "1"}):
            server = self.server()
            client = self.client(server)
            self.terminal.calls.clear()
            bridge = self.bridge("--quotes", "SH,SZ", "--symbols", "000001.SZ", "--bars", "1m",
                                 "--level2", "trade,book", **arrays)
            self.assertEqual(self.frames(client, 1), [("quote", "600001.SH", 1700014380 * SECOND, '{"last":5}')])
            self.terminal.subscribed(4)
            self.terminal.send("whole", s600000_SH=TICK)
            self.assertEqual(self.frames(client, 2), [
                ("quote", "600000.SH", 1700014380 * SECOND, QUOTE),
                ("status", "600000.SH", 1700014380 * SECOND, '{"state":"trading"}')])
            self.terminal.send("1m", s000001_SZ=[BAR])
            self.assertEqual(self.frames(client, 1)[0][3], (
                f'{{"interval":"1m","start":{1700014440 * SECOND},"open":10.41,"high":10.45,"low":10.3,'
                '"close":10.44,"volume":123400,"turnover":1283360,"closed":false}'))
            self.terminal.send("l2order", s000001_SZ=[order, dict(order, entrustNo=10, entrustDirection=2)])
            self.assertEqual(self.frames(client, 1), [
                ("depth", "000001.SZ", tomorrow * 1_000_000,
                 '{"action":"snapshot","bids":[[10.45,500]],"asks":[[10.45,500]]}')])
            self.terminal.send("l2transaction", s000001_SZ=[dict(TRADE, time=tomorrow + 1)])
            self.assertEqual([frame[3] for frame in self.frames(client, 2)], [
                '{"price":10.45,"size":300,"side":"buy","id":4711}',
                '{"action":"delta","bids":[[10.45,200]],"asks":[[10.45,200]]}'])
            bridge.close()
            server.stop()

    def test_a_server_that_restarts_has_everything_again(self):
        first = self.server()
        client = self.client(first)
        self.bridge("--quotes", "SH")
        self.terminal.subscribed(1)
        self.terminal.send("whole", s600000_SH=TICK)
        before = self.frames(client, 2)
        first.kill()
        # What was not acknowledged comes twice.
        client, found = self.client(self.server()), []
        while not all(frame in found for frame in before):
            found += self.frames(client, 1)
            self.assertIn(found[-1], before)

    def test_a_terminal_that_restarts_is_a_gap_of_trades_and_books(self):
        client = self.client(self.server())
        bridge = self.bridge("--symbols", "000001.SZ", "--level2", "trade")
        self.terminal.subscribed(1)
        self.terminal.send("l2transaction", s000001_SZ=[TRADE])
        self.assertEqual([frame[0] for frame in self.frames(client, 2, has_gaps=True)], ["GAP", "trade"])
        self.terminal.stop()
        bridge.wait_for("no terminal: the link to the terminal broke; again in 0.5 s")
        bridge.wait_for("no terminal: .*; again in 1 s")
        self.assertEqual(self.frames(client, 1, has_gaps=True), [("GAP", "source")])
        self.terminal.start()
        self.terminal.subscribed(1)
        self.terminal.send("l2transaction", s000001_SZ=[dict(TRADE, tradeIndex=4712)])
        # No attempt that failed was a GAP.
        self.assertIn('"id":4712', self.frames(client, 1, has_gaps=True)[0][-1])

    def test_a_broken_network_loses_nothing(self):
        server = self.server()
        relay = Relay(self.port)
        self.addCleanup(relay.cut)
        client = self.client(server)
        bridge = self.bridge("--symbols", "000001.SZ", "--level2", "trade", port=relay.port)
        self.terminal.subscribed(1)
        for part in range(3):
            self.terminal.send("l2transaction", s000001_SZ=[
                dict(TRADE, tradeIndex=part * 200 + number) for number in range(200)])
            if part < 2:
                relay.cut()
                relay.mend()
        self.assertEqual([json.loads(frame[3])["id"] for frame in self.frames(client, 600)], list(range(600)))
        self.assertIsNone(bridge.process.poll())

    def test_the_token_is_read_from_a_file_or_a_variable(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            tokens, good = pathlib.Path(folder, "tokens.json"), pathlib.Path(folder, "good")
            good.write_text("2f6a0c9d41e8b75308d2\n")
            tokens.write_text(json.dumps({"tokens": [
                {"name": "qmt", "token": "2f6a0c9d41e8b75308d2", "symbols": ["*"], "publish": {"symbols": ["*.SH"]}}]}))
            server = self.server("--enable-auth", "--tokens-file", str(tokens))
            wrong = self.bridge("--quotes", "SH", RINGCAST_TOKEN="7b1d93e05ac24f68d0e9")
            self.assertEqual(wrong.process.wait(SECONDS), 1)
            wrong.wait_for("bad_token")
            self.terminal.calls.clear()
            client = RawClient(server.port, extra="Authorization: Bearer 2f6a0c9d41e8b75308d2\r\n")
            self.addCleanup(client.close)
            client.subscribe(["*"], ["quote", "status"])
            self.bridge("--quotes", "SH,SZ", "--token-file", str(good))
            self.terminal.subscribed(1)
            self.terminal.send("whole", s000001_SZ=TICK, s600000_SH=TICK)
            self.assertEqual([frame[1] for frame in self.frames(client, 2)], ["600000.SH"] * 2)

    def test_by_tls(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            certificate, key = (str(pathlib.Path(folder, name)) for name in ("cert.pem", "key.pem"))
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                 "-keyout", key, "-out", certificate])
            client = self.client(self.server())
            proxy = TlsProxy(self.port, certificate, key)
            self.addCleanup(proxy.close)
            stranger = self.bridge("--quotes", "SH", "--tls", port=proxy.port)
            stranger.wait_for("not connected to ringcast: .*CERTIFICATE_VERIFY_FAILED")
            stranger.close()
            self.terminal.calls.clear()
            self.bridge("--symbols", "000001.SZ", "--level2", "trade", "--tls", "--ca-file", certificate,
                        port=proxy.port)
            self.terminal.subscribed(1)
            self.terminal.send("l2transaction", s000001_SZ=[dict(TRADE, tradeIndex=i) for i in range(2000)])
            self.assertEqual([json.loads(frame[3])["id"] for frame in self.frames(client, 2000)], list(range(2000)))

    def test_what_cannot_be_published_is_refused_at_the_start(self):
        for arguments, text in (
                ([], "nothing to publish"),
                (["--symbols", "600000.SH"], "nothing to publish"),
                (["--symbols", "600000.SH", "--level2", "depth,book"], "both would be the depth of a symbol"),
                (["--symbols", "600000.SH", "--bars", "2m"], "2m is none of 1m, 5m"),
                (["--quotes", "SH", "--lot-size", "x"], "neither a number of shares nor PATTERN=NUMBER")):
            bridge = self.bridge(*arguments)
            self.assertEqual(bridge.process.wait(SECONDS), 2)
            bridge.wait_for(text)
        for arguments, text in ((["--token-file", "/nowhere"], "--token-file or --ca-file: .*/nowhere"),
                                (["--tls", "--ca-file", "/nowhere"], "--token-file or --ca-file: ")):
            bridge = self.bridge("--quotes", "SH", *arguments)
            self.assertEqual(bridge.process.wait(SECONDS), 1)
            bridge.wait_for(text)
        bridge = self.bridge("--quotes", "SH", port="x")
        self.assertEqual(bridge.process.wait(SECONDS), 2)
        bridge.wait_for("127.0.0.1:x is not HOST:PORT")

    def test_without_xtquant_it_ends_with_what_to_do(self):
        bridge = Running([sys.executable, "-B", str(CHECKOUT / "examples/qmt_bridge.py"), "127.0.0.1:1", "--quotes", "SH"])
        self.addCleanup(bridge.close)
        self.assertEqual(bridge.process.wait(SECONDS), 1)
        bridge.wait_for("the package xtquant cannot be imported .*: it comes with QMT")

    def test_without_producer_py_it_ends_with_what_to_do(self):
        with tempfile.TemporaryDirectory() as directory:
            alone = pathlib.Path(directory, "qmt_bridge.py")
            alone.write_text((CHECKOUT / "examples/qmt_bridge.py").read_text())
            done = run([sys.executable, "-B", str(alone), "127.0.0.1:1", "--quotes", "SH"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("producer.py is missing: copy it", done.stderr)


if __name__ == "__main__":
    unittest.main()
