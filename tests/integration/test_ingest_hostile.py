"""Producers that send anything: truncated, malformed, oversize, duplicated and endless input, wrong
tokens and other protocols. A producer and a subscriber beside them must not notice.
"""
import base64
import decimal
import hashlib
import hmac
import json
import os
import pathlib
import socket
import struct
import tempfile
import time
import unittest

from clients import RawClient, HealthyClient, request
from producers import (BUY, NONE_I64, NONE_U64, HealthyProducer, Producer, control, definition, line,
                       message, sbe_bar, sbe_quote, sbe_status, sbe_trade, trade)
from server import IS_FULL, Server, in_full, wait_until

FLOOD_SECONDS = 20 if IS_FULL else 0.5
MESSAGE_BYTES_MAX = 4 << 20
PRODUCERS_MAX = 256
NAMES_MAX = 4096
CHANNELS_MAX = 65536
INT_MAX = (1 << 63) - 1
READER, DESK, WRITER, SHORT = (f"{name}-0123456789abcdef" for name in ("reader", "desk", "writer", "short"))
SECRET = "jwt-secret-0123456789abcdef01234567"


def jwt(expires_s, sub, publish):
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    claims = {"exp": expires_s, "sub": sub, "ringcast": {"symbols": [], "publish": publish}}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Ingest(unittest.TestCase):
    """A server with an ingest, a producer and a subscriber that are well, for all tests of a class."""
    hello = {}
    url_path = "/"

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="ringcast-")))
        cls.folder, cls.path, cls.port = folder, folder / "ingest", free_port()
        cls.server = cls.enterClassContext(Server(
            "--feed", f"ingest:unix={cls.path},tcp=127.0.0.1:{cls.port}", *cls.options_in(folder)))
        cls.producer = cls.enterClassContext(HealthyProducer(cls.path, **cls.hello))
        cls.client = cls.enterClassContext(HealthyClient(
            cls.server.url(cls.url_path), types=("trade",), symbols=("OK.*",)))

    @classmethod
    def options_in(cls, folder):
        return ()

    def tearDown(self):
        self.producer.check(self)
        self.client.check(self)
        self.assertIsNone(self.server.process.poll(), self.server.log())

    def connect(self, address=None, **options):
        producer = Producer(address or self.path, **options)
        self.addCleanup(producer.close)
        return producer

    def subscribe(self, *symbols, types=("trade",), **data):
        client = RawClient(self.server.port)
        self.addCleanup(client.close)
        answer = client.subscribe(symbols, types, **data)
        self.assertEqual(answer["type"], "SUBSCRIBED", answer)
        return client

    def named(self, name, **options):
        """A producer with its WELCOME."""
        producer = self.connect(name=name, **options)
        welcome = producer.next("WELCOME", "ERROR")
        self.assertEqual(welcome["type"], "WELCOME", welcome)
        return producer, welcome["data"]

    def frames_until(self, client, symbol):
        """{symbol: text of its newest frame} of what comes before the first frame of a symbol."""
        frames = {}
        while True:
            got = client.next_frame()
            self.assertIsNotNone(got, "the server ended the connection of a client")
            frame = json.loads(got[1], parse_float=str, parse_int=str)
            if frame["type"] == "trade":
                if frame["symbol"] == symbol:
                    return frames
                frames[frame["symbol"]] = frame

    def expect_refusals(self, producer, count):
        self.assertTrue(wait_until(lambda: len(producer.refusals()) >= count), producer.refusals())
        self.assertEqual(len(producer.refusals()), count)

    def refused_with(self, name, code, retry, **hello):
        producer = self.connect(name=name, **hello)
        self.assertEqual(producer.wait_for_error(), (code, retry))


MALFORMED_LINES = {
    "words": b"garbage",
    "half an object": b'{"type":"trade","symbol":"A","data":{"pri',
    "an array": b"[]",
    "a string": b'"trade"',
    "a number": b"1e5",
    "null": b"null",
    "an empty object": b"{}",
    "two objects": trade("BAD.A").encode() * 2,
    "a comma at the end": b'{"type":"trade","symbol":"BAD.A","data":{"price":1},}',
    "single quotes": b"{'type':'trade','symbol':'BAD.A','data':{'price':1}}",
    "no symbol": b'{"type":"trade","data":{"price":1}}',
    "a symbol that is a number": b'{"type":"trade","symbol":5,"data":{"price":1}}',
    "a symbol that is null": b'{"type":"trade","symbol":null,"data":{"price":1}}',
    "no data": b'{"type":"trade","symbol":"BAD.A"}',
    "data that is an array": b'{"type":"trade","symbol":"BAD.A","data":[1]}',
    "no price": b'{"type":"trade","symbol":"BAD.A","data":{"size":1}}',
    "a type that is a number": b'{"type":7,"symbol":"BAD.A","data":{"price":1}}',
    "a side of a triangle": b'{"type":"trade","symbol":"BAD.A","data":{"price":1,"side":"left"}}',
    "a level that is a number": b'{"type":"quote","symbol":"BAD.A","data":{"bids":[1]}}',
    "a book without an action": b'{"type":"depth","symbol":"BAD.A","data":{"bids":[]}}',
    "a bar without an interval": b'{"type":"bar","symbol":"BAD.A","data":{"open":1}}',
    "NUL in the middle": b'{"type":"trade",\0"symbol":"BAD.A","data":{"price":1}}',
    "NUL in a string": b'{"type":"trade","symbol":"BAD\0A","data":{"price":1}}',
    "invalid UTF-8": b'{"type":"trade","symbol":"BAD.\xff","data":{"price":1}}',
    "an overlong NUL": b'{"type":"trade","symbol":"BAD.\xc0\x80","data":{"price":1}}',
    "a surrogate in UTF-8": b'{"type":"trade","symbol":"BAD.\xed\xa0\x80","data":{"price":1}}',
    "half a surrogate pair": b'{"type":"trade","symbol":"BAD.\\ud800","data":{"price":1}}',
    "deep arrays": b'{"type":"trade","symbol":"BAD.A","data":' + b"[" * 1000000,
    "deep objects": b'{"type":"trade","symbol":"BAD.A","data":' + b'{"a":' * 200000 + b"1" + b"}" * 200001,
    "deep and whole": b'{"type":"trade","symbol":"BAD.A","x":' + b"[" * 500000 + b"]" * 500000 + b"}",
    "a key of a megabyte": b'{"' + b"k" * 1000000 + b'":1}',
    "a number of a megabyte": trade("BAD.A", price="9" * 1000000).encode(),
    "an exponent of a megabyte": trade("BAD.A", price="1e" + "9" * 1000000).encode(),
}
MALFORMED_SBE = {
    "a byte": b"\1",
    "half a header": struct.pack("<HH", 64, 2),
    "a header alone": struct.pack("<HHHH", 64, 2, 901, 0),
    "half a block": sbe_trade(1, 0)[:40],
    "a byte too few": sbe_trade(1, 0)[:-1],
    "another schema": sbe_trade(1, 0, schema=900),
    "an unknown template": sbe_trade(1, 0, template=77),
    "a short block": sbe_trade(1, 0, block=8),
    "a block that is longer than the message": sbe_trade(1, 0, block=65535),
    "an unknown ch": sbe_trade(7, 0),
    "a ch of 4 billion": sbe_trade(0xffffffff, 0),
    "an exponent of -128": sbe_trade(1, 0, exponent=-128),
    "an exponent of 127": sbe_trade(1, 0, exponent=127),
    "no price": sbe_trade(1, 0, mantissa=NONE_I64),
    "a status without a state": sbe_status(3, ""),
    "a state that is not UTF-8": sbe_status(3, b"op\xffen"),
    "a reason with half a character": sbe_status(3, "open", b"\xe6\xa0"),
    "a state with NUL": sbe_status(3, b"a\0b"),
    "a quote whose status is not UTF-8": sbe_quote(5, status=b"\xc0\x80"),
    "a bar without an interval": sbe_bar(6, b""),
    "an interval that is not UTF-8": sbe_bar(6, b"1\xffm"),
    "an interval without an end": sbe_bar(6, b"12345678"),
    "a bar without a start": sbe_bar(6, start=0),
    "a bar without prices": sbe_bar(6, open=NONE_I64, high=NONE_I64, low=NONE_I64, close=NONE_I64),
    "a quote on the ch of trades": struct.pack("<HHHH", 96, 1, 901, 0) +
        struct.pack("<QQQQI", 0, 1, 0, 0, 1) + bytes(60 + 4 + 4 + 2),
    "more levels than bytes": struct.pack("<HHHH", 44, 4, 901, 0) +
        struct.pack("<QQQQIbbBxI", 0, 1, 0, 0, 2, 0, 0, 0, 0) + struct.pack("<HH", 16, 65000) + bytes(16),
    "levels of no size": struct.pack("<HHHH", 44, 4, 901, 0) +
        struct.pack("<QQQQIbbBxI", 0, 1, 0, 0, 2, 0, 0, 0, 0) + struct.pack("<HH", 0, 65000),
    "a text longer than the message": struct.pack("<HHHH", 36, 5, 901, 0) +
        struct.pack("<QQQQI", 0, 1, 0, 0, 3) + struct.pack("<H", 60000) + b"open",
    "half of JSON": b'{"type":"tr',
    "JSON with NUL": b'{"type":"trade"\0}',
}
# text of a price: what it is taken as; None: it is refused
PRICES = {
    "10": "10", "12.30": "12.30", "0": "0", "0.00": "0.00", "-5.25": "-5.25", "1e2": "100",
    "1.5e-3": "0.0015", "1E+2": "100", "1.50e1": "15.0", '"12.30"': "12.30",
    "9223372036854775807": "9223372036854775807", "-9223372036854775807": "-9223372036854775807",
    "1234567890.123456789": "1234567890.123456789", "1e18": "1000000000000000000",
    "0.000000000000000001": "0.000000000000000001", "1e-18": "0.000000000000000001",
    "9223372036854775808": None, "-9223372036854775808": None, "9999999999999999999": None,
    "99999999999999999999999999": None, "0.1234567890123456789": None, "1e19": None, "1e-19": None,
    "1e999999999": None, "-1e999999999": None, "NaN": None, "Infinity": None, "-Infinity": None,
    "05": None, "+5": None, "5.": None, "0x10": None, "1_000": None, "1,5": None, '"NaN"': None,
    '"1 "': None, '""': None, "true": None, "null": None, "[]": None, "{}": None, "": None,
}
SYMBOLS = {
    "A" * 32: True, "A" * 33: False, "": False, "株式.東京": True, "🚀": True, "\U0010ffff": True,
    "株" * 10: True, "株" * 11: False, "ÄÖ": True, "A" * 100000: False,
}
# text of ts_event: what it is taken as; None: it is refused
TIMES = {
    "0": "0", "1": "1", "1700000000000000000": "1700000000000000000", "9223372036854775807":
    "9223372036854775807", "-1": None, "-9223372036854775808": None, "1e30": None, "1.5": None,
    "18446744073709551616": None, "99999999999999999999999999": None, "true": None, "[]": None,
    '"soon"': None,
}


class Malformed(Ingest):
    def test_a_malformed_line_is_refused_and_the_connection_goes_on(self):
        client = self.subscribe("GOOD.*", "BAD*")
        producer = self.named("bad")[0]
        for name, text in MALFORMED_LINES.items():
            with self.subTest(name):
                producer.send(text)
                refused = producer.next("REFUSED")
                self.assertIsNotNone(refused, producer.messages[-3:])
                self.assertTrue(refused["data"]["reason"])
                self.assertLess(len(json.dumps(refused)), 400)
        producer.send(trade("GOOD.A"), trade("GOOD.B"))
        self.assertEqual(set(self.frames_until(client, "GOOD.B")), {"GOOD.A"})
        self.expect_refusals(producer, len(MALFORMED_LINES))
        self.assertLess(len([text for text in self.server.log_lines() if "malformed" in text.lower()]), 40)

    def test_a_malformed_message_is_refused_and_the_connection_goes_on(self):
        client = self.subscribe("GOOD.*", types=("trade", "depth", "status", "quote", "bar"))
        producer = self.named("bad", binary=True)[0]
        producer.send(definition((1, "GOOD.S"), (2, "GOOD.S", "depth"), (3, "GOOD.S", "status"), (4, "GOOD.T"),
                                 (5, "GOOD.S", "quote"), (6, "GOOD.S", "bar")))
        for name, payload in MALFORMED_SBE.items():
            with self.subTest(name):
                producer.send(payload)
                refused = producer.next("REFUSED")
                self.assertIsNotNone(refused, producer.messages[-3:])
                self.assertTrue(refused["data"]["reason"])
        producer.send(b"")  # of no length: refused, or nothing
        for odd in ('"', "\\", "\n", "\x01", "\u2028"):  # taken, or refused: clients parse what comes
            producer.send(sbe_bar(6, odd.encode()), sbe_status(3, odd, odd), sbe_quote(5, status=odd))
        producer.send(sbe_trade(1, 0, side=BUY), sbe_trade(4, 0))
        frames = self.frames_until(client, "GOOD.T")
        self.assertEqual(frames["GOOD.S"]["data"], {"price": "10.25", "size": "1", "side": "buy"})
        self.assertEqual(len(frames), 1)

    def test_a_message_of_4_mib_is_taken_and_one_byte_more_ends_the_connection(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                client = self.subscribe("BIG.*")
                producer = self.named("big", binary=binary)[0]
                text = trade("BIG.A")
                producer.send(text + " " * (MESSAGE_BYTES_MAX - len(text)), trade("BIG.B"))
                self.assertEqual(set(self.frames_until(client, "BIG.B")), {"BIG.A"})
                try:
                    producer.send(text + " " * (MESSAGE_BYTES_MAX + 1 - len(text)), trade("BIG.C"))
                except OSError:
                    pass  # It is closed while we send.
                self.assertEqual(producer.wait_for_error(), ("too_long", False))
                client.send_text('{"type":"PING"}')
                self.assertEqual(client.next_message(("PONG", "trade"))["type"], "PONG")

    def test_a_length_of_4_billion_ends_the_connection(self):
        producer = self.named("bad", binary=True)[0]
        producer.send(control("HEARTBEAT"))
        producer.send_raw(b"\xff\xff\xff\xff" + bytes(100))
        self.assertEqual(producer.wait_for_error()[0], "too_long")

    def test_prices_are_taken_exactly_or_refused(self):
        client = self.subscribe("PRICE.*")
        producer = self.named("bad")[0]
        for number, price in enumerate(PRICES):
            producer.send(trade(f"PRICE.{number}", price=price))
        producer.send(trade("PRICE.END"))
        frames = self.frames_until(client, "PRICE.END")
        for number, (price, taken) in enumerate(PRICES.items()):
            with self.subTest(price):
                frame = frames.get(f"PRICE.{number}")
                self.assertEqual(frame and frame["data"]["price"], taken)
        self.expect_refusals(producer, list(PRICES.values()).count(None))

    def test_binary_prices_are_taken_exactly_or_refused(self):
        cases = {(INT_MAX, 0): INT_MAX, (-INT_MAX, 0): -INT_MAX, (1, -18): decimal.Decimal("1e-18"),
                 (0, 0): 0, (-1, -2): decimal.Decimal("-0.01"), (NONE_I64, 0): None, (1, 19): None,
                 (1, -19): None, (INT_MAX, 1): None, (5, 127): None}
        client = self.subscribe("PRICE.*")
        producer = self.named("bad", binary=True)[0]
        producer.send(definition(*((ch, f"PRICE.B{ch}") for ch in range(len(cases) + 1))))
        for ch, (mantissa, exponent) in enumerate(cases):
            producer.send(sbe_trade(ch, 0, mantissa, exponent))
        producer.send(sbe_trade(len(cases), 0))
        frames = self.frames_until(client, f"PRICE.B{len(cases)}")
        for ch, (key, taken) in enumerate(cases.items()):
            with self.subTest(key):
                frame = frames.get(f"PRICE.B{ch}")
                self.assertEqual(frame and decimal.Decimal(frame["data"]["price"]), taken)
        self.expect_refusals(producer, list(cases.values()).count(None))

    def test_symbols_have_1_to_32_bytes_of_utf_8(self):
        client = self.subscribe("*")
        producer = self.named("bad")[0]
        for symbol in SYMBOLS:
            producer.send(trade(symbol))
        producer.send(trade("SYMBOL.END"))
        frames = self.frames_until(client, "SYMBOL.END")
        for symbol, is_good in SYMBOLS.items():
            self.assertEqual(symbol in frames, is_good, symbol[:50])
        self.expect_refusals(producer, list(SYMBOLS.values()).count(False))

    def test_symbols_with_odd_characters_stay_as_they_are_or_are_refused(self):
        client = self.subscribe("*")
        producer = self.named("bad")[0]
        odd = ["*", "A*B", " ", "\t", "a\nb", "\0", "A\0B", "\x7f", '"', "\\", "\u202e", "\ufeff", "/@,;"]
        for symbol in odd:
            producer.send(trade(symbol))
        producer.send(trade("ODD.END"))
        frames = self.frames_until(client, "ODD.END")
        taken = [symbol for symbol in odd if symbol in frames]
        self.expect_refusals(producer, len(odd) - len(taken))
        self.assertNotIn("A", frames)

    def test_absurd_times_are_taken_exactly_or_refused(self):
        client = self.subscribe("TIME.*")
        producer = self.named("bad")[0]
        for number, ts_event in enumerate(TIMES):
            producer.send(trade(f"TIME.{number}", ts_event=ts_event))
        producer.send(trade("TIME.END", ts_event=None))
        frames = self.frames_until(client, "TIME.END")
        for number, (ts_event, taken) in enumerate(TIMES.items()):
            with self.subTest(ts_event):
                frame = frames.get(f"TIME.{number}")
                self.assertEqual(frame and frame.get("ts_event", "0"), taken)  # 0: not given
        self.expect_refusals(producer, list(TIMES.values()).count(None))

    def test_bars_of_absurd_times_cost_nothing(self):
        trades = self.subscribe("CLOCK.*")
        producer = self.named("bad", binary=True)[0]
        producer.send(definition((0, "CLOCK.A"), (1, "CLOCK.END")), sbe_trade(0, 0))
        trades.next_message(("trade",))
        bars = self.subscribe("CLOCK.A", types=("bar",), bar="1s")
        for ts_event in (0, INT_MAX, 1, 1 << 63, NONE_U64, NONE_U64 - 1, 0, 1700000000 * 10**9):
            producer.send(sbe_trade(0, 0, ts_event=ts_event))
        producer.send(sbe_trade(1, 0))
        self.frames_until(trades, "CLOCK.END")
        bars.next_message(("bar",))

    def test_numbers_of_ticks_at_their_end(self):
        for q in ("0", "-1", "1.5", '"x"', str(INT_MAX + 1), "1e30", "[]"):
            producer = self.named("bad")[0]
            producer.send(trade("Q.A", q))
            self.assertIsNotNone(producer.next("REFUSED"), q)
        producer, _ = self.named("last-q", epoch=1)
        producer.send(trade("Q.A", INT_MAX - 1), trade("Q.A", INT_MAX))
        producer.wait_for_ack(INT_MAX)
        producer.send(trade("Q.A"), trade("Q.A", INT_MAX), trade("Q.A", 1), trade("Q.A", '"x"'))
        self.assertIsNotNone(producer.next("REFUSED"))
        binary, _ = self.named("last-binary-q", epoch=1, binary=True)
        binary.send(definition((0, "Q.B")), sbe_trade(0, NONE_U64), sbe_trade(0, 1 << 63), sbe_trade(0, 7))
        self.assertIsNotNone(binary.next("REFUSED"))
        self.assertEqual(binary.wait_for_ack(7), 7)


class Life(Ingest):
    def test_half_a_message_disturbs_nobody(self):
        kept = []
        for half in (trade("HALF.A").encode()[:30], b"{", message(sbe_trade(0, 1))[:20], b"\5\0\0", b"\xff",
                     message(control("HELLO", name="half"))[:10], line(trade("HALF.A", 1))[:-1]):
            producer = self.connect()
            producer.send_raw(half)
            kept.append(producer)
            self.connect().send_raw(half)
        for producer in kept[::2]:
            producer.close()

    def test_messages_may_come_in_any_pieces(self):
        client = self.subscribe("PIECE.*")
        for binary in (False, True):
            producer = self.connect(self.port, binary=binary)
            producer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            last = f"PIECE.{binary}"
            stream = b"".join(map(producer.pack, (
                control("HELLO", name=f"pieces-{binary}", epoch=1),
                *((definition((0, "PIECE.A")), sbe_trade(0, 1)) if binary else ()), trade(last, 3))))
            for at in range(len(stream)):
                producer.send_raw(stream[at:at + 1])
            producer.wait_for_ack(3)
            self.frames_until(client, last)
            self.assertEqual(producer.refusals(), [])

    def test_duplicated_reordered_and_replayed_ticks_are_published_once(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                symbol, name = f"AGAIN.{binary}", f"again-{binary}"
                client = self.subscribe(symbol + "*")

                def send(producer, *numbers):
                    if binary:
                        producer.send(definition((9, symbol)), *(sbe_trade(9, q, q, 0) for q in numbers))
                    else:
                        producer.send(*(trade(symbol, q, price=q) for q in numbers))
                    producer.wait_for_ack(max(numbers))

                def expect(*numbers):
                    for q in numbers:
                        self.assertEqual(client.next_message(("trade",))["data"]["price"], q)

                producer, welcome = self.named(name, epoch=5, binary=binary)
                self.assertIsNone(welcome["q"])
                send(producer, 1, 2, 3, 2, 3, 3, 5, 4, 1, 5)
                expect(1, 2, 3, 5)
                producer.reset()
                again, welcome = self.named(name, epoch=5, binary=binary)
                self.assertEqual(welcome["q"], 5)
                send(again, 1, 2, 3, 4, 5, 6)
                expect(6)
                self.assertEqual(again.refusals(), [])
                old = self.connect(name=name, epoch=4, binary=binary)
                self.assertEqual(old.wait_for_error()[0], "old_epoch")
                new, welcome = self.named(name, epoch=6, binary=binary)
                self.assertIsNone(welcome["q"])
                send(new, 1)
                expect(1)

    def test_the_second_producer_of_a_name_replaces_the_first(self):
        for options in ({}, {"epoch": 1}, {"epoch": 1, "binary": True}):
            with self.subTest(options):
                first, _ = self.named("twin", **options)
                second, _ = self.named("twin", **options)
                self.assertEqual(first.wait_for_error(), ("replaced", False))
                second.send(trade("TWIN.A", 1000 + len(options)))
                second.wait_for_ack(1000 + len(options))
        twins = [self.connect(name="many", epoch=1) for _ in range(50)]
        self.assertTrue(wait_until(lambda: sum(producer.ended for producer in twins) >= 49))
        last = next(producer for producer in twins if not producer.ended)
        for producer in twins:
            if producer is not last:
                self.assertEqual(producer.wait_for_error(), ("replaced", False))
        last.send(trade("TWIN.B", 1))
        last.wait_for_ack(1)

    def test_a_hello_that_is_wrong_ends_the_connection(self):
        wrong = [control("HELLO", name=name) for name in ("", "n" * 65, "a\nb", "é", "a\0b", 5, None, [])]
        wrong += [control("HELLO", name="x", epoch=epoch) for epoch in (-1, 1.5, "x", [], 1 << 70)]
        wrong += ['{"type":"HELLO"}', '{"type":"HELLO","data":[]}', '{"type":"HELLO","data":{"epoch":1}}',
                  '{"type":"HELLO","data":{"name":"x","token":5}}']
        for text in wrong:
            with self.subTest(text[:60]):
                producer = self.connect()
                producer.send(text)
                self.assertIn(producer.wait_for_error()[0], ("malformed", "forbidden", "bad_token", "hello_first"))
        deep = self.connect()
        deep.send('{"type":"HELLO","data":' + "[" * 100000, control("HELLO", name="deep"))
        self.assertEqual(deep.wait_for_error()[0], "hello_first")
        producer, _ = self.named("once")
        producer.send(control("HELLO", name="twice"))
        self.assertIsNotNone(producer.next("ERROR", "REFUSED"))
        late = self.connect()
        late.send(trade("HELLO.A"), control("HELLO", name="late"))
        self.assertEqual(late.wait_for_error()[0], "hello_first")

    def test_definitions_and_gaps_are_not_abused(self):
        client = self.subscribe("DEFINED.*")
        producer, _ = self.named("defines", binary=True)
        for first in range(0, CHANNELS_MAX, 256):
            producer.send(definition(*((ch, "DEFINED.A") for ch in range(first, first + 256))))
        producer.send(sbe_trade(0, 1), sbe_trade(CHANNELS_MAX - 1, 2))
        for _ in range(2):
            self.assertEqual(client.next_message(("trade",))["symbol"], "DEFINED.A")
        for ch in (CHANNELS_MAX, 4_000_000_000, 1 << 32, -1, 1.5, "1", None, [], 1e30):
            with self.subTest(ch=ch):
                producer.send(definition((ch, "DEFINED.B")))
                self.assertIsNotNone(producer.next("REFUSED"), producer.messages[-2:])
        for other in ((5, "DEFINED.B"), (5, "DEFINED.A", "quote"), (6, ""), (6, "D" * 33), (6, 7),
                      (6, "DEFINED.B", "tick"), (6, "DEFINED.B", 1)):
            with self.subTest(other=other):
                producer.send(definition(other))
                self.assertIsNotNone(producer.next("REFUSED"), producer.messages[-2:])
        producer.send('{"type":"DEFINITION"}')
        self.assertIsNotNone(producer.next("REFUSED"))
        producer.send(definition((5, "DEFINED.A")), sbe_trade(5, 3), sbe_trade(6, 4))
        for _ in range(2):
            self.assertEqual(client.next_message(("trade",))["symbol"], "DEFINED.A")
        gaps = ['{"type":"GAP"}', control("GAP"), control("GAP", symbol=5), control("GAP", symbol="DEFINED.A"),
                control("GAP", symbol="DEFINED.A", type="tick"), control("GAP", symbol="", type="trade"),
                control("GAP", ch=1 << 40), control("GAP", ch=-1)]
        producer.send(*gaps)
        for gap in gaps:
            self.assertIsNotNone(producer.next("REFUSED"), gap)
        producer.send(*[control("GAP", symbol="DEFINED.A", type="trade")] * 10000, sbe_trade(5, 5))
        while client.next_message(("trade", "GAP"))["type"] != "trade":
            pass

    def test_connections_that_are_reset_leave_nothing_behind(self):
        for number in range(50):
            producer = Producer(self.port, reads=False)
            producer.send_raw(line(trade("RESET.A", 1)) + line(trade("RESET.A", 2))[:number % 40])
            producer.reset()
        for number in range(20):
            producer = Producer(self.path, name=f"reset-{number}", reads=False)
            producer.send("x" * 100, trade("RESET.A", 1))
            producer.close()

    def test_other_protocols_are_refused(self):
        client_hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(190)
        tls_13 = bytes.fromhex("160301020001 0001fc0303") + os.urandom(505)
        for name, data in {"HTTP": b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
                           "WebSocket": request(), "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
                           "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "TLS": client_hello,
                           "TLS 1.3": tls_13, "Redis": b"*1\r\n$4\r\nPING\r\n"}.items():
            with self.subTest(name):
                producer = self.connect(self.port)
                producer.send_raw(data)
                producer.close()
                self.assertEqual(producer.messages, [])

    def test_300_connections(self):
        kept = [self.connect() for _ in range(300)]
        refused = len(kept) + 1 - PRODUCERS_MAX  # beside the healthy one
        self.assertTrue(wait_until(lambda: sum(producer.ended for producer in kept) >= refused, 20))
        for producer in kept:
            if producer.ended:
                self.assertEqual(producer.wait_for_error(), ("too_many_producers", True))
        for producer in kept:
            producer.close()

        def is_welcome():
            with Producer(self.path, name="after") as producer:
                return producer.next("WELCOME", "ERROR")["type"] == "WELCOME"
        self.assertTrue(wait_until(is_welcome))

    def test_more_names_than_are_remembered(self):
        for number in range(NAMES_MAX + 100 if IS_FULL else 300):
            with Producer(self.path, name=f"name-{number}", epoch=1) as producer:
                self.assertEqual(producer.next("WELCOME", "ERROR")["type"], "WELCOME")


class Floods(Ingest):
    def flood(self, producer, data):
        """Sends the same again and again."""
        end = time.monotonic() + FLOOD_SECONDS
        while time.monotonic() < end:
            producer.send_raw(data)

    def test_valid_ticks_as_fast_as_the_machine_can_send(self):
        producer, _ = self.named("flood")
        self.flood(producer, line(trade("FLOOD.A")) * 500)
        self.producer.check(self)
        self.assertEqual(producer.refusals(), [])
        binary, _ = self.named("flood", binary=True)
        binary.send(definition((0, "FLOOD.B")))
        self.flood(binary, message(sbe_trade(0, 0)) * 500)
        self.assertEqual(binary.refusals(), [])

    def test_garbage_as_fast_as_the_machine_can_send(self):
        before = len(self.server.log_lines())
        for binary in (False, True):
            producer, _ = self.named("garbage", binary=binary)
            garbage = os.urandom(65536)
            try:
                if binary:
                    self.flood(producer, message(os.urandom(60)) * 500)
                else:
                    self.flood(producer, garbage)
            except OSError:
                self.assertTrue(wait_until(lambda: producer.ended))
        self.assertLess(len(self.server.log_lines()) - before, 60 + 5 * FLOOD_SECONDS)

    def test_a_producer_that_reads_nothing_is_read_no_further(self):
        producer = self.connect(name="deaf", reads=False)
        bad = line(b"garbage") * 100
        sent, stood_still = 0, 0
        producer.socket.settimeout(1)
        rest = b""
        while stood_still < 2 and sent < 2_000_000:
            rest = rest or bad
            try:
                rest = rest[producer.socket.send(rest):]
                sent += 0 if rest else 100
            except TimeoutError:
                stood_still += 1
        self.assertEqual(stood_still, 2, "the server reads without an end")
        self.producer.check(self)
        producer.socket.settimeout(20)
        producer.start_reading()
        producer.send_raw(rest)
        sent += 100 if rest else 0
        self.expect_refusals(producer, sent)

    def test_20_producers_flood_with_4_mib_that_do_not_end(self):
        producers = [self.connect() for _ in range(20)]
        for producer in producers:
            producer.send_raw(b'{"type":"trade","symbol":"' + b"A" * (3 << 20))
        self.producer.check(self)
        for producer in producers:
            producer.close()

    @in_full
    def test_a_producer_that_reads_nothing_is_disconnected(self):
        producer = self.connect(name="deaf", reads=False)
        producer.socket.settimeout(1)
        deadline = time.monotonic() + 60
        try:
            while time.monotonic() < deadline:
                try:
                    producer.socket.send(line(b"garbage") * 100)
                except TimeoutError:
                    pass
        except OSError:
            return
        self.fail("it is still connected")


class ManyChannels(Ingest):
    def test_60_000_symbols_and_then_more_than_there_are_channels(self):
        producer, _ = self.named("many-symbols", epoch=1)
        count = 60_000
        producer.send(*(trade(f"S{number}", number + 1) for number in range(count)))
        producer.wait_for_ack(count, 60)
        self.assertEqual(producer.refusals(), [])
        more = CHANNELS_MAX + 500
        producer.send(*(trade(f"S{number}", number + 1) for number in range(count, more)))
        producer.wait_for_ack(more, 60)
        refused = [q for q, _ in producer.refusals()]
        self.assertEqual(refused, list(range(more - len(refused) + 1, more + 1)))
        self.assertGreaterEqual(len(refused), 500)
        producer.send(trade("S1", more + 1), trade("NEW", more + 2))  # A known one is taken.
        producer.wait_for_ack(more + 2)
        self.assertEqual([q for q, _ in producer.refusals()][len(refused):], [more + 2])
        binary, _ = self.named("late", binary=True)
        binary.send(definition(*((ch, f"T{ch}") for ch in range(1000)), (1000, "S2")), sbe_trade(1000, 1),
                    sbe_trade(5, 2))
        self.assertIsNotNone(binary.next("REFUSED"))


class Tokens(Ingest):
    hello = {"token": WRITER}
    url_path = f"/?token={READER}"

    @classmethod
    def options_in(cls, folder):
        (folder / "tokens.json").write_text(json.dumps({"tokens": [
            {"name": "reader", "token": READER},
            {"name": "desk", "token": DESK, "symbols": [], "publish": {"symbols": ["MINE.*"], "types": ["trade"]}},
            {"name": "writer", "token": WRITER, "publish": {}},
            {"name": "short", "token": SHORT, "max_connections": 1, "publish": {}}]}))
        (folder / "secret").write_text(SECRET)
        return ("--enable-auth", "--tokens-file", folder / "tokens.json", "--jwt-secret-file", folder / "secret",
                "--allow-query-token")

    def test_wrong_tokens_end_the_connection(self):
        for name, (token, code) in {
                "unknown": ("unknown-0123456789abcdef", "bad_token"), "empty": ("", "malformed"),
                "reader": (READER, "forbidden"), "half": (DESK[:-1], "bad_token"),
                "NUL": (DESK + "\0", "malformed"), "huge": ("a" * 5000, "bad_token"),
                "forged": (jwt(time.time() + 60, "x", {})[:-3] + "AAA", "bad_token"),
                "expired": (jwt(time.time() - 60, "x", {}), "token_expired"),
                "misspelt": (jwt(time.time() + 60, "x", {"symbol": ["A"]}), "forbidden")}.items():
            with self.subTest(name):
                self.refused_with("wrong", code, False, token=token)
        for text in (trade("MINE.A", 1), control("HELLO", name="x"), '{"type":"HEARTBEAT"}', "garbage"):
            with self.subTest(text[:40]):
                producer = self.connect()
                producer.send(text, trade("OK.A", 1))
                self.assertIn(producer.wait_for_error()[0], ("hello_first", "bad_token"))

    def test_a_token_publishes_its_own_symbols_and_types(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                producer, _ = self.named(f"desk-{binary}", token=DESK, binary=binary, epoch=1)
                producer.send(trade("MINE.A", 1), trade("OK.A", 2), trade("MINE", 3),
                              trade("MINE.A", 4).replace('"trade"', '"status"').replace('"price":10.25', '"state":"x"'))
                producer.wait_for_ack(4)
                self.assertEqual([q for q, _ in producer.refusals()], [2, 3, 4])
                self.assertNotIn("OK.A", str(producer.refusals()))
                producer.send(control("GAP", symbol="OK.A", type="trade"))
                producer.send(definition((0, "MINE.B"), (1, "OK.A")))
                producer.send(*((sbe_trade(0, 5), sbe_trade(1, 6)) if binary else ()))
                if binary:
                    producer.wait_for_ack(6)
                    self.assertIn(6, [q for q, _ in producer.refusals()])
                    producer.send(control("GAP", ch=1))
                producer.send(trade("MINE.A", 7))
                producer.wait_for_ack(7)

    def test_names_of_different_tokens_are_different(self):
        one, _ = self.named("same", token=DESK, epoch=9)
        other, welcome = self.named("same", token=WRITER, epoch=3)
        self.assertIsNone(welcome["q"])
        one.send(trade("MINE.A", 1))
        one.wait_for_ack(1)
        other.send(trade("MINE.A", 1))
        other.wait_for_ack(1)

    def test_connections_of_a_token_are_limited(self):
        first, _ = self.named("first", token=SHORT)
        self.refused_with("second", "too_many_producers", True, token=SHORT)
        first.close()

        def is_welcome():
            with Producer(self.path, name="third", token=SHORT) as producer:
                return producer.next("WELCOME", "ERROR")["type"] == "WELCOME"
        self.assertTrue(wait_until(is_welcome))

    def test_deadlines(self):
        """Side by side, because each takes about 5 s."""
        begin = time.monotonic()
        silent = self.connect()
        slow = self.connect(self.port)
        ending, _ = self.named("ending", token=jwt(int(time.time()) - 2, "ending", {}), epoch=1)
        ending.send(trade("MINE.A", 1))
        ending.wait_for_ack(1)
        hello = line(control("HELLO", name="slow", token=WRITER, padding="x" * 10000))
        try:
            for at in range(len(hello)):
                slow.send_raw(hello[at:at + 1])
                time.sleep(0.02)
                if slow.ended or time.monotonic() - begin > 30:
                    break
        except OSError:
            pass
        self.assertEqual(slow.wait_for_error()[0], "hello_first")
        self.assertEqual(silent.wait_for_error()[0], "hello_first")
        self.assertEqual(ending.wait_for_error()[0], "token_expired")
        self.assertLess(time.monotonic() - begin, 30)
        again = self.connect(name="ending", token=jwt(int(time.time()) + 60, "ending", {}), epoch=1)
        self.assertEqual(again.next("WELCOME", "ERROR")["data"]["q"], 1)


if __name__ == "__main__":
    unittest.main()
