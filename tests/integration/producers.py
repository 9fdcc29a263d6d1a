"""Producers for the tests of the ingest: one that obeys, and raw ones that may send anything.

Written from docs/feeds/ingest.md and docs/sbe.md. Nothing here uses ringcast's own code.
"""
import json
import socket
import struct
import threading
import time

SCHEMA, QUOTE, TRADE, BAR, STATUS = 901, 1, 2, 3, 5
BUY, NO_SIDE = 1, 255
NONE_I64, NONE_U64 = -(1 << 63), (1 << 64) - 1


def trade(symbol, q=None, price="10.25", size="1", ts_event="1700000000000000000", **more):
    """The text of a trade; numbers are given as their text, and a value that is None is left out."""
    fields = {"type": '"trade"', "symbol": json.dumps(symbol), "ts_event": ts_event, "q": q,
              **more, "data": f'{{"price":{price},"size":{size}}}'}
    return "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()
                          if value is not None) + "}"


def control(kind, **data):
    return json.dumps({"type": kind, "data": data})


def definition(*channels):
    """channels: (ch, symbol) or (ch, symbol, type)"""
    return control("DEFINITION", channels=[
        {"ch": ch, "symbol": symbol, "type": kind[0] if kind else "trade"}
        for ch, symbol, *kind in channels])


def sbe_trade(ch, q, mantissa=1025, exponent=-2, size=1, size_exponent=0, ts_event=1700000000 * 10**9,
              id=NONE_U64, side=NO_SIDE, block=64, template=TRADE, schema=SCHEMA, version=0):
    head = struct.pack("<HHHH", block, template, schema, version)
    return head + struct.pack("<QQQQIbbBxqqQ", q, ts_event, 0, 0, ch, exponent, size_exponent, side,
                              mantissa, size, id)


def sbe_text(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(text)) + text


def sbe_status(ch, state, reason="", ts_event=1):
    return (struct.pack("<HHHH", 36, STATUS, SCHEMA, 0) + struct.pack("<QQQQI", 0, ts_event, 0, 0, ch) +
            sbe_text(state) + sbe_text(reason))


def sbe_quote(ch, last=1, status="", ts_event=1):
    none = NONE_I64
    return (struct.pack("<HHHH", 96, QUOTE, SCHEMA, 0) +
            struct.pack("<QQQQIbbbxqqqqqqq", 0, ts_event, 0, 0, ch, 0, 0, 0, last, none, none, none, none,
                        none, none) + struct.pack("<HHHH", 16, 0, 16, 0) + sbe_text(status))


def sbe_bar(ch, interval=b"1m", start=1, open=1, high=1, low=1, close=1, closed=1):
    return (struct.pack("<HHHH", 112, BAR, SCHEMA, 0) +
            struct.pack("<QQQQIbbbB8sQqqqqqqQ", 0, 1, 0, 0, ch, 0, 0, 0, closed, interval, start, open, high,
                        low, close, NONE_I64, NONE_I64, NONE_U64))


def message(payload):
    """A message of the binary form."""
    payload = payload.encode() if isinstance(payload, str) else payload
    return struct.pack("<I", len(payload)) + payload


def line(text):
    return (text.encode() if isinstance(text, str) else text) + b"\n"


class Producer:
    """A connection to an ingest. address: a port, or the path of a Unix socket. What the server
    sends is read by a thread, unless reads is False: then start_reading() begins it."""

    def __init__(self, address, binary=False, name=None, reads=True, timeout=20, **hello):
        is_tcp = isinstance(address, int)
        self.socket = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", address) if is_tcp else str(address))
        self.timeout = timeout
        self.pack = message if binary else line
        self.binary = binary
        self.messages = []
        self.taken = 0  # messages that next() has passed
        self.ended = False
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.start_reading()
        if name is not None:
            self.send(control("HELLO", name=name, **hello))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start_reading(self):
        self.reader.start()

    def close(self):
        """As a program that ends; with unread data the other side gets a reset."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.reader.ident is not None:
            self.reader.join(10)
        self.socket.close()

    def reset(self):
        """Closes with RST."""
        if self.reader.ident is not None:  # It would keep the socket open.
            self.socket.shutdown(socket.SHUT_RD)
            self.reader.join(10)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, *messages):
        self.send_raw(b"".join(map(self.pack, messages)))

    def send_raw(self, data):
        self.socket.sendall(data)

    def _split(self, buffer):
        """The whole messages of the buffer, and the rest."""
        if not self.binary:
            *whole, rest = buffer.split(b"\n")
            return whole, rest
        whole, at = [], 0
        while len(buffer) - at >= 4:
            end = at + 4 + struct.unpack_from("<I", buffer, at)[0]
            if end > len(buffer):
                break
            whole.append(buffer[at + 4:end])
            at = end
        return whole, buffer[at:]

    def _read(self):
        buffer, data = b"", True
        while data:
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            whole, buffer = self._split(buffer + data)
            with self.changed:
                self.messages += map(json.loads, whole)
                self.ended = not data
                self.changed.notify_all()

    def next(self, *types, seconds=None):
        """The next message of these types; None at the end of the connection."""
        deadline = time.monotonic() + (seconds or self.timeout)
        with self.changed:
            while True:
                while self.taken < len(self.messages):
                    self.taken += 1
                    if self.messages[self.taken - 1]["type"] in types:
                        return self.messages[self.taken - 1]
                if self.ended:
                    return None
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no {types} in time; {len(self.messages)} messages: "
                                       f"{self.messages[-3:]}")
                self.changed.wait(left)

    def of_type(self, kind):
        with self.changed:
            return [message for message in self.messages if message["type"] == kind]

    def refusals(self):
        """[(q, reason)]"""
        return [(refused["data"]["q"], refused["data"]["reason"]) for refused in self.of_type("REFUSED")]

    def wait_for_ack(self, q, seconds=None):
        """Until everything up to q has been handled."""
        deadline = time.monotonic() + (seconds or self.timeout)
        while True:
            ack = self.next("ACK", seconds=max(0.001, deadline - time.monotonic()))
            if ack is None:
                raise ConnectionError(f"the server ended the connection: {self.messages[-3:]}")
            if ack["data"]["q"] >= q:
                return ack["data"]["q"]

    def wait_for_error(self, seconds=None):
        """(code, retry) of the ERROR after which the server ends the connection."""
        error = self.next("ERROR", seconds=seconds)
        if error is not None:
            assert error["data"]["message"], error
            self.wait_for_end(seconds)
        return error and (error["data"]["code"], error["data"]["retry"])

    def wait_for_end(self, seconds=None):
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended, seconds or self.timeout):
                raise TimeoutError(f"the server does not end the connection: {self.messages[-3:]}")


class HealthyProducer(threading.Thread):
    """Publishes trades all the time, beside each producer that misbehaves, and must not notice."""
    SECONDS = 0.005

    def __init__(self, address, symbol="OK.A", name="healthy", **hello):
        super().__init__(daemon=True)
        self.producer = Producer(address, name=name, epoch=1, **hello)
        self.symbol = symbol
        self.sent = 0
        self.stopping = threading.Event()
        self.fault = None

    def run(self):
        try:
            while not self.stopping.wait(self.SECONDS):
                self.sent += 1
                self.producer.send(trade(self.symbol, self.sent))
        except OSError as error:
            self.fault = repr(error)

    def __enter__(self):
        assert self.producer.next("WELCOME", "ERROR")["type"] == "WELCOME", self.producer.messages
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(20)
        self.producer.close()

    def check(self, case, seconds=30):
        """It goes on, all its ticks are handled, and none was refused."""
        producer = self.producer
        goal = self.sent + 5
        deadline = time.monotonic() + seconds
        acked = 0
        with producer.changed:
            while acked < goal and not producer.ended and time.monotonic() < deadline:
                producer.changed.wait(0.5)
                acks = [got for got in producer.messages[-50:] if got["type"] == "ACK"]
                acked = acks[-1]["data"]["q"] if acks else 0
        case.assertIsNone(self.fault, "the healthy producer was disturbed")
        others = {got["type"] for got in producer.messages} - {"WELCOME", "ACK", "HEARTBEAT"}
        case.assertFalse(others, [got for got in producer.messages if got["type"] in others][:3])
        case.assertFalse(producer.ended, "the healthy producer was disconnected")
        case.assertGreaterEqual(acked, goal, "the healthy producer's ticks were not handled")
