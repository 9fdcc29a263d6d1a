#!/usr/bin/env python3
"""Publishes ticks to a ringcast server with --feed ingest. Needs Python 3.8 or newer, nothing else.

    producer.py ADDRESS [--symbols N] [--rate TICKS_PER_SECOND] [--count N] [--name NAME] [--token TOKEN]
    producer.py unix:/run/ringcast.sock
    producer.py tcp:127.0.0.1:9100 --rate 100 --count 1000

Copy the class Producer, or import it:

    with Producer("unix:/run/ringcast.sock", name="desk-1") as producer:
        producer.publish("MINE", "trade", {"price": Decimal("10.32"), "size": 300, "side": "buy"})

A thread sends. After a disconnect it connects again, and repeats what the server has not yet
acknowledged. docs/feeds/publish.md describes what is guaranteed.
"""
import argparse
import collections
import contextlib
import json
import os
import random
import selectors
import socket
import ssl
import sys
import threading
import time
from decimal import Decimal

BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 30
ANSWER_SECONDS = 10  # to connect, and until the WELCOME
HEARTBEAT_SECONDS, SILENT_SECONDS = 5, 15  # unless the WELCOME has others
SEND_BYTES = 1 << 18
READ_BYTES = 1 << 16
READ_OR_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)  # of a socket: try later


class Refused(Exception):
    """The server refuses this producer for good; the text explains why."""


class Disconnected(Exception):
    """The connection ended; the next one may work."""


def to_json(value):
    """JSON in which a Decimal has exactly its own digits."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not a number")
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{to_json(it)}" for key, it in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, allow_nan=False)


def parse_address(address):
    """A path, or (host, port)."""
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest:
        if not hasattr(socket, "AF_UNIX"):
            raise ValueError("this Python has no Unix sockets: give tcp:HOST:PORT")
        return rest
    host, _, port = rest.rpartition(":")
    if kind != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"address {address!r}: give unix:PATH or tcp:HOST:PORT")
    return host.strip("[]"), int(port)


def connect(target, tls=None):
    if isinstance(target, str):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(target)
        except OSError:
            connection.close()
            raise
        return connection
    connection = socket.create_connection(target, ANSWER_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection, server_hostname=target[0]) if tls else connection


def receive(connection):
    """Everything that has arrived. TLS may have read ahead, so it reads until nothing is left.
    None: nothing; b"": the server has closed."""
    got = []
    try:
        while not got or got[-1]:
            got.append(connection.recv(READ_BYTES))
    except OSError as error:
        if not got and not isinstance(error, NOT_NOW):
            raise
        return b"".join(got) or None
    return b"".join(got)


class Producer:
    """Publishes ticks. Any thread may call its methods.

    name: the same after a restart. epoch: grows when the producer numbers its ticks anew; None: the
    time, in microseconds. queue_max: how many ticks may wait for their acknowledgement. tls: an
    ssl.SSLContext, to connect by TLS to a proxy in front of the server.
    on_refused(q, reason) is called, by the thread that sends, for each tick that the server does
    not take.
    """

    def __init__(self, address, name, token=None, epoch=None, queue_max=100_000, on_refused=None,
                 tls=None):
        self._target = parse_address(address)
        self.queue_max, self.on_refused, self.tls = queue_max, on_refused, tls
        hello = {"name": name, "epoch": time.time_ns() // 1000 if epoch is None else epoch}
        if token is not None:
            hello["token"] = token
        self._hello = {"type": "HELLO", "data": hello}
        self._changed = threading.Condition()
        self._waiting = collections.deque()  # (q, line, is_tick), not sent on this connection
        self._sent = collections.deque()     # sent on it, not acknowledged
        self.unacked = 0                     # ticks in both
        self._next_q = 1
        self._welcome_q = None
        self._lost = {}                      # (symbol, type) of dropped ticks: a GAP is due
        self._closing = False
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._is_asleep = False

        self.server_epoch = None  # of the last WELCOME
        self.acked_q = None       # All up to here are handled: published or refused.
        self.is_live = False
        self.dropped = 0          # ticks that found the queue full
        self.refused = 0
        self.connects = 0
        self.error = None         # why the last connection ended, or the last attempt failed
        self.failed = None        # the exception that stopped the producer for good: Refused
        self._thread = threading.Thread(target=self._run, name=f"producer {name}", daemon=True)
        self._thread.start()

    # ---- For the program ----

    def publish(self, symbol, type, data, ts_event=None, q=None):
        """Queues a tick and returns its number, or None: the queue is full, and the tick is dropped.

        type: "trade", "quote", "bar", "depth" or "status". data: the fields of this type in
        docs/protocol.md. ts_event: nanoseconds since 1970. q: the producer's own number, greater
        than the last; None: the next one.
        """
        tick = {"type": type, "symbol": symbol}
        if ts_event is not None:
            tick["ts_event"] = ts_event
        data = to_json(data)
        with self._changed:
            if self.failed:
                raise self.failed
            if self.unacked >= self.queue_max:
                self.dropped += 1
                self._lost[symbol, type] = True
                return None
            self._report_losses()
            q = self._next_q if q is None else q
            if q < self._next_q:
                raise ValueError(f"q {q}: the next number is at least {self._next_q}")
            tick["q"] = q
            self._next_q = q + 1
            self.unacked += 1
            self._append(q, json.dumps(tick)[:-1] + f',"data":{data}}}\n', True)
        return q

    def gap(self, symbol, type):
        """Reports that the producer lost ticks of this channel: its subscribers get a GAP."""
        with self._changed:
            self._lost[symbol, type] = True
            if self.unacked < self.queue_max:  # otherwise with the next tick that has room
                self._report_losses()

    def wait_for_welcome(self, timeout=None):
        """Waits until the server has answered. Returns the last q that it knows of this name and
        epoch, or None: it knows none. For a producer that continues after a restart."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.is_live or self.failed, timeout):
                raise TimeoutError(self.error or "no connection yet")
            if self.failed:
                raise self.failed
            return self._welcome_q

    def position(self):
        """(server_epoch, acked_q) of one moment."""
        with self._changed:
            return self.server_epoch, self.acked_q

    def drain(self, timeout=None):
        """Waits until all ticks are acknowledged. Returns how many are not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self.unacked or self.failed,
                                   timeout)
            return self.unacked

    def close(self, timeout=10):
        """Waits for the acknowledgements, and disconnects. Returns how many ticks have none."""
        unacked = self.drain(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._thread.is_alive():
                self._is_asleep = True  # or about to be
                self._wake()
        self._thread.join()
        self._wake_reader.close()
        self._wake_writer.close()
        return unacked

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close(10 if kind is None else 0)

    # ---- With the lock ----

    def _append(self, q, line, is_tick):
        self._waiting.append((q, line.encode(), is_tick))
        self._wake()

    def _report_losses(self):
        """A GAP has no number of its own: it is kept until the tick behind it is acknowledged."""
        for symbol, type in self._lost:
            gap = {"type": "GAP", "data": {"symbol": symbol, "type": type}}
            self._append(self._next_q, json.dumps(gap) + "\n", False)
        self._lost.clear()

    def _wake(self):
        if self._is_asleep:
            self._is_asleep = False
            self._wake_writer.send(b"w")

    def _release(self, q):
        for queue in (self._sent, self._waiting):
            while queue and queue[0][0] <= q:
                self.unacked -= queue.popleft()[2]
        self.acked_q = q
        self._changed.notify_all()

    def _take(self):
        """What to send next, as bytes; the ticks move to _sent."""
        lines, size = [], 0
        with self._changed:
            while self._waiting and size < SEND_BYTES:
                self._sent.append(self._waiting.popleft())
                lines.append(self._sent[-1][1])
                size += len(lines[-1])
            self._is_asleep = not lines
        return b"".join(lines)

    # ---- The thread ----

    def _run(self):
        failures = 0
        while not self._closing and not self.failed:
            connects = self.connects
            try:
                with connect(self._target, self.tls) as connection, selectors.DefaultSelector() as selector:
                    self._follow(connection, selector)
            except Refused as error:
                self.failed = error
            except (OSError, ValueError, KeyError, Disconnected) as error:
                self.error = str(error) or repr(error)
            except Exception as error:  # of on_refused: publish() raises it
                self.failed = error
            failures = 1 if self.connects > connects else failures + 1
            with self._changed:
                self.is_live = False
                self._sent.extend(self._waiting)  # all of it again, in order
                self._waiting, self._sent = self._sent, collections.deque()
                self._changed.notify_all()
                if not self.failed:
                    seconds = min(BACKOFF_SECONDS_MIN * 2 ** min(failures - 1, 6), BACKOFF_SECONDS_MAX)
                    self._changed.wait_for(lambda: self._closing, seconds * random.uniform(0.5, 1))

    def _follow(self, connection, selector):
        """One connection, from HELLO to its end."""
        connection.sendall(json.dumps(self._hello).encode() + b"\n")
        connection.setblocking(False)
        selector.register(self._wake_reader, selectors.EVENT_READ)
        selector.register(connection, selectors.EVENT_READ)
        heartbeat, silent = HEARTBEAT_SECONDS, ANSWER_SECONDS
        received = sent = time.monotonic()
        rest, output = b"", b""
        while not self._closing:
            now = time.monotonic()
            if now - received >= silent:
                raise Disconnected(f"the server was silent for {silent} s")
            if self.is_live and not output:
                output = self._take()
                if not output and now - sent >= heartbeat:
                    output = b'{"type":"HEARTBEAT"}\n'
            due = received + silent
            if self.is_live and not output:
                due = min(due, sent + heartbeat)
            selector.modify(connection, READ_OR_WRITE if output else selectors.EVENT_READ)
            ready = {key.fileobj: events for key, events in selector.select(max(0, due - now))}
            if self._wake_reader in ready:
                self._wake_reader.recv(4096)
            if ready.get(connection, 0) & selectors.EVENT_READ:
                received = time.monotonic()
                rest, welcome = self._read(connection, rest)
                if welcome is not None:
                    heartbeat = welcome.get("heartbeat_s", HEARTBEAT_SECONDS)
                    silent = welcome.get("silent_s", SILENT_SECONDS)
            if ready.get(connection, 0) & selectors.EVENT_WRITE:
                sent = time.monotonic()
                with contextlib.suppress(*NOT_NOW):
                    output = output[connection.send(output):]

    def _read(self, connection, rest):
        """Reads, and handles each whole line. Returns the rest, and the data of a WELCOME or None."""
        got = receive(connection)
        if got == b"":
            raise Disconnected("the server closed")
        *lines, rest = (rest + (got or b"")).split(b"\n")
        welcome = None
        for line in lines:
            message = json.loads(line)
            data = message.get("data", {})
            if message["type"] == "ACK":
                with self._changed:
                    self._release(data["q"])
            elif message["type"] == "REFUSED":
                self.refused += 1
                if self.on_refused is not None:
                    self.on_refused(data["q"], data["reason"])
            elif message["type"] == "ERROR":
                kind = Disconnected if data.get("retry", True) else Refused
                raise kind(f"{data['code']}: {data['message']}")
            elif message["type"] == "WELCOME":
                welcome = data
                self._on_welcome(data)
        return rest, welcome

    def _on_welcome(self, data):
        with self._changed:
            self._welcome_q = data["q"]
            self.server_epoch = data["epoch"]
            if data["q"] is not None:
                self._release(data["q"])
                self._next_q = max(self._next_q, data["q"] + 1)
            self.connects += 1
            self.is_live = True
            self.error = None
            self._changed.notify_all()


# ---- Ticks to try it with ----

def main():
    parser = argparse.ArgumentParser(description="Publishes invented trades of MINE0, MINE1, ... to a "
                                                 "server with --feed ingest.")
    parser.add_argument("address", help="unix:PATH or tcp:HOST:PORT, as given to --feed ingest")
    parser.add_argument("--name", default="producer.py", help="name of this producer (default: %(default)s)")
    parser.add_argument("--token", default=os.environ.get("RINGCAST_TOKEN"),
                        help="token, if the server needs one; better set the variable RINGCAST_TOKEN, "
                             "which other users of the machine cannot see")
    parser.add_argument("--symbols", type=int, default=3, help="number of symbols (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10, help="ticks per second (default: %(default)s)")
    parser.add_argument("--count", type=int, help="number of ticks (default: until Ctrl-C)")
    arguments = parser.parse_args()
    if arguments.symbols < 1 or arguments.rate <= 0:
        parser.error("--symbols and --rate must be greater than 0")

    prices = {f"MINE{i}": Decimal(1000 + i) / 100 for i in range(arguments.symbols)}
    try:
        producer = Producer(arguments.address, arguments.name, arguments.token,
                            on_refused=lambda q, reason: print(f"tick {q} refused: {reason}"))
    except ValueError as error:
        parser.error(str(error))
    start, count, unacked = time.monotonic(), 0, 0
    try:
        try:
            producer.wait_for_welcome(2)
        except TimeoutError as error:
            print(f"producer.py: not connected yet, still trying: {error}", file=sys.stderr)
        while arguments.count is None or count < arguments.count:
            symbol = random.choice(list(prices))
            prices[symbol] += random.choice((-1, 0, 1)) * Decimal("0.01")
            producer.publish(symbol, "trade", {
                "price": prices[symbol], "size": random.randint(1, 9) * 100,
                "side": random.choice(("buy", "sell")), "id": count + 1}, ts_event=time.time_ns())
            count += 1
            time.sleep(max(0, start + count / arguments.rate - time.monotonic()))
    except KeyboardInterrupt:
        pass
    except Refused as error:
        sys.exit(f"producer.py: {error}")
    finally:
        unacked = producer.close()
    print(f"{count} ticks, {unacked} not acknowledged, {producer.refused} refused, "
          f"{producer.dropped} dropped")
    if producer.failed or unacked:
        sys.exit(f"producer.py: {producer.failed or producer.error}")


if __name__ == "__main__":
    main()
