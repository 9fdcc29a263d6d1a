#!/usr/bin/env python3
"""Publishes what QMT or miniQMT (xtquant) receives to ringcast. It runs beside the terminal, on Windows.

    python qmt_bridge.py 127.0.0.1:9100 --quotes SH,SZ
    python qmt_bridge.py 127.0.0.1:9100 --symbols 600000.SH,000001.SZ --bars 1m --level2 quote,trade,book

It needs Python 3.8 or newer, the package xtquant, and producer.py in the same folder. docs/feeds/qmt.md
of ringcast describes it: every field, every option, every limit. It was tested with callbacks in the
documented shape, and never beside a real terminal.
"""
import argparse
import calendar
import fnmatch
import itertools
import math
import os
import ssl
import sys
import threading
import time
import traceback

try:
    from producer import Producer, Refused
except ImportError:
    sys.exit("producer.py is missing: copy it from ringcast's folder examples, beside qmt_bridge.py")

MS = 1_000_000  # nanoseconds
SECOND = 1_000_000_000
DAY = 86400 * SECOND
SHANGHAI = 8 * 3600 * SECOND  # ahead of UTC, all year
BOOK_BY = (9 * 3600 + 14 * 60) * SECOND  # after midnight in Shanghai; the first auction begins at 09:15
AFTER_HOURS = (15 * 3600 + 5 * 60) * SECOND
STOCK_MARKETS = ("SH", "SZ", "BJ")
BAR_SECONDS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "1d": 0}
QUEUE_MAX = 200_000  # records between the callbacks and the thread that converts them
PAUSE_MIN, PAUSE_MAX = 0.5, 30  # seconds between two attempts to reach the terminal
PENDING_NS = 10 * SECOND  # how long a trade may wait for its order
FAULTS_LOGGED = 10

# The trading status of a stock, and what it becomes: a state, and a reason where the state needs one.
STATES = {
    11: ("pre-open", None), 12: ("auction", "call auction"), 13: ("trading", None), 14: ("break", None),
    15: ("closed", None), 16: ("halted", "volatility interruption"), 17: ("halted", None),
    18: ("auction", "closing auction"), 19: ("auction", "intraday auction"),
    20: ("closed", "suspended until the close"), 22: ("post-close", "fixed-price trading"),
    23: ("post-close", "fixed-price trading has ended"),
}


def log(text):
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)


# ---- Values ----

def plain(value):
    """Numbers and lists of numpy as those of Python."""
    return value.tolist() if hasattr(value, "tolist") else value


def number(value):
    """A price or amount as a number whose text is the exact decimal. None: it is not given.

    QMT has doubles such as 10.450000000000001. Rounded to 4 decimals, the shortest text of a double is
    the decimal itself, and json writes exactly this text.
    """
    value = plain(value)
    if value is None or not math.isfinite(value):
        return None
    value = round(float(value), 4)
    return int(value) if value == int(value) else value


def price(value):
    """As number(); 0 means that there is no such price."""
    value = number(value)
    return value if value is not None and value > 0 else None


def integer(value):
    value = number(value)
    return None if value is None else int(value)


def given(**fields):
    """Without the fields that are not given."""
    return {key: value for key, value in fields.items() if value is not None}


def list_of(value):
    value = plain(value)
    return [] if value is None else list(value)


def time_ns(record):
    """When it happened: `time` is in milliseconds since 1970. Only records of get_full_tick may have
    nothing but `timetag`, which is the wall clock of Shanghai. None: not given."""
    milliseconds = integer(record.get("time"))
    if milliseconds:
        return milliseconds * MS
    tag = record.get("timetag")
    if not tag:
        return None
    seconds = calendar.timegm(time.strptime(str(tag)[:17], "%Y%m%d %H:%M:%S"))
    return seconds * SECOND - SHANGHAI


def market_of(symbol):
    return symbol.rpartition(".")[2]


def side_of(prices, sizes, lot):
    """[price, size] of each level that is there. An empty level has the price 0."""
    return [[at, size * lot] for at, size in zip(map(price, list_of(prices)), map(integer, list_of(sizes)))
            if at is not None and size is not None]


def quote_of(symbol, record, lot):
    """The data of a quote, and the trading status or None."""
    volume, shares = integer(record.get("volume")), integer(record.get("pvolume"))
    state = STATES.get(integer(record.get("openInt"))) if market_of(symbol) in STOCK_MARKETS else None
    return given(
        last=price(record.get("lastPrice")), open=price(record.get("open")), high=price(record.get("high")),
        low=price(record.get("low")), prev_close=price(record.get("lastClose")),
        volume=shares or (None if volume is None else volume * lot), turnover=number(record.get("amount")),
        bids=side_of(record.get("bidPrice"), record.get("bidVol"), lot),
        asks=side_of(record.get("askPrice"), record.get("askVol"), lot),
        status=state[0] if state else None), state


# ---- The order book of one symbol, from its orders and trades ----

class Book:
    """Adds up orders. Orders and trades come through two callbacks, so a trade may come before its order.
    What it takes away then waits for the order."""

    def __init__(self):
        self.orders = {}  # by number: [side, price or None, size left, rests at the price of its trade]
        self.pending = {}  # by number: [size, price of the first trade, time]; the oldest is the first
        self.levels = ({}, {})  # bids, asks: the size by price
        self.changed = ({}, {})  # the size that was published, of each price that has changed since

    def _change(self, side, at, size):
        before = self.levels[side].get(at, 0)
        self.changed[side].setdefault(at, before)
        if before + size > 0:
            self.levels[side][at] = before + size
        else:
            self.levels[side].pop(at, None)

    def add(self, order, side, at, size, rests_at_trade=False):
        """side: 0 buys, 1 sells. at: None where the order has no price of its own."""
        taken, trade_price, _ = self.pending.pop(order, (0, None, 0))
        if rests_at_trade:
            at = trade_price
        if size > taken:
            self.orders[order] = [side, at, size - taken, rests_at_trade]
            if at is not None:
                self._change(side, at, size - taken)

    def take(self, order, size, trade_price, now):
        """A trade (or, without trade_price, a cancel) takes size from an order."""
        found = self.orders.get(order)
        if found is None:
            waiting = self.pending.setdefault(order, [0, None, now])
            waiting[0] += size
            waiting[1] = waiting[1] or trade_price
            return
        side, at, left, rests_at_trade = found
        size = min(size, left)
        found[2] = left - size
        if at is not None:
            self._change(side, at, -size)
        elif rests_at_trade and trade_price is not None:
            found[1] = trade_price
            self._change(side, trade_price, left - size)
        if found[2] == 0:
            del self.orders[order]

    def waits_since(self):
        """Since when a trade waits for its order; None: no trade does."""
        return next(iter(self.pending.values()))[2] if self.pending else None

    @staticmethod
    def _sorted(bids, asks):
        return {"bids": sorted(map(list, bids), reverse=True), "asks": sorted(map(list, asks))}

    def snapshot(self):
        self.delta()
        return {"action": "snapshot", **self._sorted(*(levels.items() for levels in self.levels))}

    def delta(self):
        """What has changed since the last call; None: nothing."""
        changes = [[(at, levels.get(at, 0)) for at, published in changed.items() if levels.get(at, 0) != published]
                   for levels, changed in zip(self.levels, self.changed)]
        for changed in self.changed:
            changed.clear()
        return {"action": "delta", **self._sorted(*changes)} if any(changes) else None


class ShanghaiRules:
    """Shanghai: an order that meets others at once is in the stream with what is left of it, after its
    trades. So a trade takes from the order that rests: the one with the smaller number. In an auction
    (tradeFlag 0) both orders rest. A cancel is an order."""

    @staticmethod
    def order(book, record, size, now):
        direction, at = integer(record.get("entrustDirection")), price(record.get("price"))
        if direction in (3, 4):
            book.take(integer(record["entrustNo"]), size, None, now)
        elif direction in (1, 2) and at is not None:
            book.add(integer(record["entrustNo"]), direction - 1, at, size)

    @staticmethod
    def transaction(book, record, size, now):
        numbers = [integer(record["buyNo"]), integer(record["sellNo"])]
        for order in numbers if integer(record.get("tradeFlag")) == 0 else [min(numbers)]:
            book.take(order, size, price(record.get("price")), now)


class ShenzhenRules:
    """Shenzhen: every order is in the stream with its whole size, so a trade takes from both. A cancel is
    a transaction with tradeFlag 3. An order of another type than a limit has no usable price; one at the
    best price of a side (6, 7) rests at the price of its first trade, and others never rest."""
    REST_AT_TRADE = (6, 7)
    WITHOUT_PRICE = (2, 4, 5, *REST_AT_TRADE)

    @classmethod
    def order(cls, book, record, size, now):
        direction, kind = integer(record.get("entrustDirection")), integer(record.get("entrustType"))
        if direction in (1, 2):
            at = None if kind in cls.WITHOUT_PRICE else price(record.get("price"))
            book.add(integer(record["entrustNo"]), direction - 1, at, size, kind in cls.REST_AT_TRADE)

    @staticmethod
    def transaction(book, record, size, now):
        is_cancel = integer(record.get("tradeFlag")) == 3
        for key in ("buyNo", "sellNo"):
            order = integer(record.get(key))
            if order:
                book.take(order, size, None if is_cancel else price(record.get("price")), now)


RULES = {"SH": ShanghaiRules, "SZ": ShenzhenRules}


class SymbolBook:
    """The book of a symbol over the days: published only on a day that was seen from its beginning."""

    def __init__(self, symbol, publisher):
        self.symbol, self.publisher = symbol, publisher
        self.rules = RULES[market_of(symbol)]
        self.since = None  # when its subscriptions began
        self.day = 0
        self.book = None  # None: not published
        self.needs_snapshot = False
        self.now = 0  # of the last event

    def event(self, kind, record, size):
        now = time_ns(record)
        day, after_midnight = divmod(now + SHANGHAI, DAY)
        if day < self.day or after_midnight >= AFTER_HOURS:
            return  # Trading at the closing price has no book.
        if day > self.day:
            self._begin(day)
        if self.book is None:
            return
        self.now = max(self.now, now)
        (self.rules.order if kind == "l2order" else self.rules.transaction)(self.book, record, size, now)

    def _begin(self, day):
        self.day = day
        if self.since + SHANGHAI < day * DAY + BOOK_BY:
            self.book, self.needs_snapshot = Book(), True
        else:
            self.book = None
            log(f"{self.symbol}: no order book today: the bridge has not been subscribed since 09:14")

    def void(self, why):
        """Orders may be missing from now on: subscribers receive a GAP, and no book for the rest of the day."""
        self.since = time.time_ns()
        if self.book is not None:
            self.book = None
            self.publisher.gap("depth", self.symbol)
            log(f"{self.symbol}: no order book for the rest of the day: {why}")

    def flush(self):
        if self.book is None:
            return
        waits_since = self.book.waits_since()
        if waits_since is not None and self.now - waits_since > PENDING_NS:
            self.void("a trade names an order that never came")
            return
        data = self.book.snapshot() if self.needs_snapshot else self.book.delta()
        if data is not None:
            is_taken = self.publisher.tick("depth", self.symbol, self.now, data)
            self.needs_snapshot = not is_taken  # No delta continues what was lost.


# ---- From callbacks to ticks ----

class Inbox:
    """Records on their way from the callbacks, which must never wait, to the thread that converts them.
    Where it is full, it notes what was lost. Nothing comes in after a loss until all of it is taken, so
    that the loss has its place."""

    def __init__(self, limit):
        self.limit = limit
        self.dropped = 0
        self._records, self._lost = [], {}
        self._changed = threading.Condition()

    def put(self, kind, symbol, record):
        with self._changed:
            if len(self._records) < self.limit:
                self._records.append((kind, symbol, record))
            else:
                self._lost[kind, symbol] = None
                self.dropped += 1
            self._changed.notify()

    def note(self, kind, symbol=None, value=None):
        """Something for the converter that is never lost; there is little of it."""
        with self._changed:
            self._records.append((kind, symbol, value))
            self._changed.notify()

    def take(self, seconds):
        """Waits for a time; returns all records, and what was lost after them."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._lost, seconds)
            records, lost = self._records, list(self._lost)
            self._records, self._lost = [], {}
        return records, lost


class Converter:
    """Turns records into ticks. One thread calls it. publisher has tick(), which returns whether it took
    the tick, and gap()."""

    def __init__(self, publisher, level2=(), lot_sizes=(), l2_unit="shares", bar_time="end"):
        self.publisher = publisher
        self.level2 = level2
        self.lot_sizes = lot_sizes
        self.l2_unit = l2_unit
        self.bar_time = bar_time
        self.lots = {}  # by symbol
        self.level2_symbols = set()
        self.quotes, self.states = {}, {}  # by symbol: the last
        self.bars = {}  # by symbol and period: the open one
        self.books = {}  # by symbol
        self.touched = {}  # books with events since the last flush
        self.faults = 0
        self.wrong_unit = set()  # symbols of which a transaction has another unit than l2_unit
        self.handlers = {"tick": self.on_tick, "l2quote": self.on_l2quote, "l2transaction": self.on_transaction,
                         "l2order": self.on_order, "subscribed": self.on_subscribed, "lost": self.on_lost,
                         "refresh": self.on_refresh}

    def lot_of(self, symbol):
        lot = self.lots.get(symbol)
        if lot is None:
            default = 100 if market_of(symbol) in STOCK_MARKETS else 1
            lot = next((size for pattern, size in self.lot_sizes if fnmatch.fnmatchcase(symbol, pattern)), default)
            self.lots[symbol] = lot
        return lot

    # ---- One record each ----

    def convert(self, kind, symbol, record):
        try:
            handler = self.handlers.get(kind)
            if handler is not None:
                handler(symbol, record)
            else:
                self.on_bar(kind, symbol, record)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as fault:
            self.faults += 1
            if self.faults <= FAULTS_LOGGED:
                log(f"{symbol}: a record of {kind} cannot be read: {fault!r} in {record}")
            self.lose(kind, symbol, "a record could not be read")

    def lose(self, kind, symbol, why):
        """Something of this kind was lost: subscribers of what would have become of it receive a GAP."""
        for data_type in self.types_of(kind, symbol):
            self.publisher.gap(data_type, symbol)
        if kind in ("l2order", "l2transaction") and symbol in self.books:
            self.books[symbol].void(why)

    def types_of(self, kind, symbol):
        if kind == "tick":
            return () if self._has_level2_quote(symbol) else ("quote",)
        if kind == "l2quote":
            return tuple(name for name in ("quote", "depth") if name in self.level2)
        if kind == "l2transaction":
            return ("trade",) if "trade" in self.level2 else ()
        return () if kind == "l2order" else ("bar",)

    def _has_level2_quote(self, symbol):
        return "quote" in self.level2 and symbol in self.level2_symbols

    def on_tick(self, symbol, record):
        if not self._has_level2_quote(symbol):
            self._quote(symbol, record)

    def on_l2quote(self, symbol, record):
        if "quote" in self.level2:
            self._quote(symbol, record)
        if "depth" in self.level2:
            data, _ = quote_of(symbol, record, self.lot_of(symbol))
            self.publisher.tick("depth", symbol, time_ns(record),
                                {"action": "snapshot", "bids": data["bids"], "asks": data["asks"]})

    def _quote(self, symbol, record):
        data, state = quote_of(symbol, record, self.lot_of(symbol))
        self.quotes[symbol] = time_ns(record), data
        self.publisher.tick("quote", symbol, *self.quotes[symbol])
        if state is not None and self.states.get(symbol) != state:
            self.states[symbol] = state
            self._status(symbol)

    def _status(self, symbol):
        state, reason = self.states[symbol]
        self.publisher.tick("status", symbol, self.quotes[symbol][0], given(state=state, reason=reason))

    def on_bar(self, period, symbol, record):
        lot, volume = self.lot_of(symbol), integer(record.get("volume"))
        stamp = integer(record["time"]) * MS
        data = given(
            interval=period, start=stamp - (BAR_SECONDS[period] * SECOND if self.bar_time == "end" else 0),
            open=price(record.get("open")), high=price(record.get("high")), low=price(record.get("low")),
            close=price(record.get("close")), volume=None if volume is None else volume * lot,
            turnover=number(record.get("amount")), closed=False)
        if not all(name in data for name in ("open", "high", "low", "close")):
            return  # There is no trade in it.
        last = self.bars.get((symbol, period))
        if last is not None and data["start"] < last["start"]:
            return
        if last is not None and data["start"] > last["start"]:
            self.publisher.tick("bar", symbol, None, dict(last, closed=True))
        self.bars[symbol, period] = data
        self.publisher.tick("bar", symbol, None, data)

    def on_order(self, symbol, record):
        size = integer(record["volume"]) * (1 if self.l2_unit == "shares" else self.lot_of(symbol))
        self._book_event("l2order", symbol, record, size)

    def on_transaction(self, symbol, record):
        size = self._size_of_transaction(symbol, record)
        flag = integer(record.get("tradeFlag"))
        if "trade" in self.level2 and flag != 3:
            at = price(record.get("price"))
            if at is None:
                raise ValueError("a trade without a price")
            self.publisher.tick("trade", symbol, time_ns(record), given(
                price=at, size=size, side={1: "buy", 2: "sell"}.get(flag), id=integer(record.get("tradeIndex"))))
        self._book_event("l2transaction", symbol, record, size)

    def _size_of_transaction(self, symbol, record):
        """In shares. Where a transaction has its amount, this says whether its volume is in lots."""
        volume, lot = integer(record["volume"]), self.lot_of(symbol)
        at, amount = price(record.get("price")), number(record.get("amount"))
        size = volume if self.l2_unit == "shares" else volume * lot
        if lot == 1 or not (at and amount and volume):
            return size
        other = volume * lot if self.l2_unit == "shares" else volume
        if abs(amount - at * size) <= abs(amount - at * other):
            return size
        if symbol not in self.wrong_unit:
            self.wrong_unit.add(symbol)
            unit = "lots" if self.l2_unit == "shares" else "shares"
            log(f"{symbol}: the amounts of its transactions say that Level 2 volumes are in {unit}: "
                f"start the bridge with --l2-unit {unit}")
        if symbol in self.books:
            self.books[symbol].void("its sizes have another unit than --l2-unit")
        return other

    def on_subscribed(self, symbol, since):
        """The Level 2 subscriptions of the symbol begin now. What an earlier run of the bridge published
        has a hole here."""
        is_first = symbol not in self.level2_symbols
        self.level2_symbols.add(symbol)
        if "trade" in self.level2 and is_first:
            self.publisher.gap("trade", symbol)
        if "book" in self.level2 and market_of(symbol) in RULES:
            if is_first:
                self.books[symbol] = SymbolBook(symbol, self.publisher)
                self.publisher.gap("depth", symbol)
            self.books[symbol].since = since

    def on_lost(self, symbol, kind):
        """The terminal was away: there were trades and orders that nobody received."""
        self.lose(kind, symbol, "the terminal was away")

    def on_refresh(self, *_):
        """The server is new and has nothing: publish the last quotes, states and bars, and whole books."""
        for symbol in self.quotes:
            self.publisher.tick("quote", symbol, *self.quotes[symbol])
        for symbol in self.states:
            self._status(symbol)
        for (symbol, _), data in self.bars.items():
            self.publisher.tick("bar", symbol, None, data)
        for symbol, book in self.books.items():
            book.needs_snapshot = True
            self.touched[symbol] = book

    def _book_event(self, kind, symbol, record, size):
        if symbol in self.books:
            self.touched[symbol] = self.books[symbol]
            self.books[symbol].event(kind, record, size)

    # ---- After a batch of records ----

    def flush(self):
        for book in self.touched.values():
            book.flush()
        self.touched.clear()


# ---- The bridge ----

class Bridge:
    def __init__(self, options, producer):
        self.options, self.producer = options, producer
        self.server_epoch = None  # of the server that has all that was published so far
        self.is_live = None
        self.inbox = Inbox(QUEUE_MAX)
        self.converter = Converter(self, options.level2, options.lot_size, options.l2_unit, options.bar_time)
        self.level2_periods = sorted({period for name in options.level2 for period in LEVEL2_PERIODS[name]})
        self.generation = 0  # of the subscriptions; callbacks of older ones are ignored
        self.is_subscribed = False

    # The converter's publisher.

    def tick(self, data_type, symbol, ts_event, data):
        """False: the producer's queue is full, because the server is away. The producer reports a GAP."""
        return self.producer.publish(symbol, data_type, data, ts_event) is not None

    def gap(self, data_type, symbol):
        self.producer.gap(symbol, data_type)

    # Threads: xtquant's calls the callbacks, the bridge's own converts.

    def callback(self, kind):
        generation = self.generation

        def receive(records):
            if generation != self.generation:
                return
            for symbol, found in records.items():
                for record in found if isinstance(found, list) else [found]:
                    self.inbox.put(kind, symbol, record)
        return receive

    def convert_batch(self):
        records, lost = self.inbox.take(1)
        for record in records:
            self.converter.convert(*record)
        for kind, symbol in lost:
            self.converter.lose(kind, symbol, "the bridge is too slow")
        self.converter.flush()
        if lost:
            log(f"the bridge is too slow: {self.inbox.dropped} records were dropped so far; subscribers have a GAP")

    def check_server(self):
        producer = self.producer
        if producer.failed:
            raise producer.failed
        if producer.is_live != self.is_live and (producer.is_live or producer.error):
            self.is_live = producer.is_live
            log("connected to ringcast" if self.is_live else f"not connected to ringcast: {producer.error}")
        if producer.server_epoch != self.server_epoch:
            if self.server_epoch is not None:
                self.inbox.note("refresh")
            self.server_epoch = producer.server_epoch

    def convert(self):
        try:
            while True:
                self.convert_batch()
                self.check_server()
        except Refused as fault:
            log(f"ringcast refuses this bridge: {fault}")
        except Exception:
            traceback.print_exc()
        os._exit(1)  # The other threads wait for the terminal.

    # The terminal.

    def subscribe(self, xtdata):
        self.generation += 1
        if self.options.quotes:
            self.receive_full_ticks(xtdata)
            self._check(xtdata.subscribe_whole_quote(self.options.quotes, callback=self.callback("tick")),
                        "subscribe_whole_quote")
        for symbol in self.options.symbols:
            self.inbox.note("subscribed", symbol, time.time_ns())
            for period in (*self.options.bars, *self.level2_periods):
                self._check(xtdata.subscribe_quote(symbol, period=period, callback=self.callback(period)),
                            f"subscribe_quote of {symbol}, {period}")

    def receive_full_ticks(self, xtdata):
        """The last full ticks, which are there even while no market is open."""
        try:
            self.callback("tick")(xtdata.get_full_tick(self.options.quotes) or {})
        except Exception as fault:  # The subscription does not need it.
            log(f"get_full_tick failed: {fault}")

    def _check(self, number, name):
        if number is None or number < 0:
            raise RuntimeError(f"{name} failed: is the terminal logged in, and has the account this right?")
        self.is_subscribed = True

    def terminal_lost(self):
        self.generation += 1
        if not self.is_subscribed:
            return  # Nothing has come since the last loss.
        self.is_subscribed = False
        for symbol in self.options.symbols:
            for kind in self.level2_periods:
                if kind != "l2quote":
                    self.inbox.note("lost", symbol, kind)

    def run(self, xtdata):
        """Never returns. The terminal logs out every night, and comes back."""
        threading.Thread(target=self.convert, daemon=True).start()
        pause = PAUSE_MIN
        while True:
            began = time.monotonic()
            try:
                self.subscribe(xtdata)
                log("subscribed at the terminal")
                xtdata.run()
                raise ConnectionError("xtdata.run() has returned")
            except Exception as fault:  # xtquant documents none.
                log(f"no terminal: {fault}; again in {pause:g} s")
            self.terminal_lost()
            if time.monotonic() - began > PAUSE_MAX:
                pause = PAUSE_MIN
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX)


LEVEL2_PERIODS = {"quote": ("l2quote",), "depth": ("l2quote",), "trade": ("l2transaction",),
                  "book": ("l2order", "l2transaction")}


def lot_size(text):
    pattern, _, size = text.rpartition("=")
    if not size.isdigit() or int(size) == 0:
        raise argparse.ArgumentTypeError(f"{text} is neither a number of shares nor PATTERN=NUMBER")
    return pattern or "*", int(size)


def listed(valid=None):
    def read(text):
        names = [name.strip() for name in text.split(",") if name.strip()]
        wrong = [name for name in names if valid and name not in valid]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]} is none of {', '.join(valid)}")
        return names
    return read


def read_options():
    parser = argparse.ArgumentParser(description="Publishes what QMT or miniQMT receives to ringcast.")
    parser.add_argument("server", metavar="HOST:PORT", help="where ringcast --feed ingest:tcp=... listens")
    parser.add_argument("--quotes", type=listed(), default=[], metavar="LIST",
                        help="markets (SH,SZ,BJ,...) or symbols whose full ticks become quotes")
    parser.add_argument("--symbols", type=listed(), default=[], metavar="LIST", help="symbols for --bars and --level2")
    parser.add_argument("--bars", type=listed(BAR_SECONDS), default=[], metavar="LIST",
                        help="intervals of bars: " + ", ".join(BAR_SECONDS))
    parser.add_argument("--level2", type=listed(LEVEL2_PERIODS), default=[], metavar="LIST",
                        help="quote (ten levels), depth (whole books of ten levels), trade, book (of all orders)")
    parser.add_argument("--lot-size", type=lot_size, action="append", default=[], metavar="[PATTERN=]N",
                        help="shares of a lot; may be repeated: the first pattern that fits applies "
                             "(default: 100 for .SH, .SZ and .BJ, 1 elsewhere)")
    parser.add_argument("--l2-unit", choices=("shares", "lots"), default="shares",
                        help="unit of the volumes of l2order and l2transaction (default: shares)")
    parser.add_argument("--bar-time", choices=("end", "start"), default="end",
                        help="whether QMT gives the end or the start of a bar (default: end)")
    parser.add_argument("--name", default="qmt", help="name of this producer (default: qmt)")
    parser.add_argument("--token-file", metavar="FILE", help="file whose first line is the token; or set RINGCAST_TOKEN")
    parser.add_argument("--tls", action="store_true", help="connect by TLS")
    parser.add_argument("--ca-file", metavar="FILE", help="PEM certificates that TLS trusts (default: the system's)")
    options = parser.parse_args()
    host, _, port = options.server.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"{options.server} is not HOST:PORT, such as 192.168.1.20:9100")
    if not options.quotes and not (options.symbols and (options.bars or options.level2)):
        parser.error("nothing to publish: give --quotes, or --symbols with --bars or --level2")
    if {"depth", "book"} <= set(options.level2):
        parser.error("--level2 has depth and book: both would be the depth of a symbol; choose one")
    return options


def read_token(path):
    """Never from the command line, where others can see it. None: the server needs none."""
    if path is None:
        return os.environ.get("RINGCAST_TOKEN")
    with open(path, encoding="utf8") as file:
        return file.readline().strip()


refusals = itertools.count(1)


def on_refused(number, reason):
    if next(refusals) <= FAULTS_LOGGED:
        log(f"ringcast refused tick {number}: {reason}")


def main():
    options = read_options()
    try:
        from xtquant import xtdata
    except ImportError as fault:
        sys.exit(f"the package xtquant cannot be imported ({fault}): it comes with QMT, for some versions of Python")
    try:
        token = read_token(options.token_file)
        tls = ssl.create_default_context(cafile=options.ca_file) if options.tls else None
    except OSError as fault:
        sys.exit(f"--token-file or --ca-file: {fault}")
    try:
        producer = Producer(f"tcp:{options.server}", options.name, token, on_refused=on_refused, tls=tls)
    except ValueError as fault:
        sys.exit(str(fault))
    try:
        Bridge(options, producer).run(xtdata)
    except KeyboardInterrupt:
        producer.close()


if __name__ == "__main__":
    main()
