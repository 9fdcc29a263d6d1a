#!/usr/bin/env python3
"""Publishes ticks of a Python program to a ringcast (--feed ingest). Needs Python 3.8, nothing else.

    producer.py ADDRESS [--symbols N] [--rate TICKS_PER_SECOND] [--count N] [--name NAME] [--token TOKEN]
    producer.py unix:/run/ringcast.sock
    producer.py tcp:127.0.0.1:9100 --rate 100 --count 1000

Copy the class Producer, or import it:

    with Producer("unix:/run/ringcast.sock", name="desk-1") as producer:
        producer.publish("MINE", "trade", {"price": Decimal("10.32"), "size": 300, "side": "buy"})

A thread sends. It connects again after a disconnect, and sends again what the server has not yet
acknowledged. docs/feeds/publish.md has the guarantee.
"""
import argparse
import collections
import contextlib
import json
import random
import select
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


class Refused(Exception):
    """The server refuses this producer for good; the text explains why."""


class Disconnected(Exception):
    """The connection ended; another one may do better."""


def to_json(value):
    """JSON in which a Decimal has exactly its own digits."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{to_json(it)}" for key, it in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, allow_nan=False)


def connect(address, tls=None):
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(rest)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = rest.rpartition(":")
    if kind != "tcp" or not host or not port.isdigit():
        raise ValueError(f"address {address!r}: give unix:PATH or tcp:HOST:PORT")
    connection = socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection, server_hostname=host.strip("[]")) if tls else connection


def receive(connection):
    """All that has come, which TLS may have read ahead: None for nothing, b"" at the end."""
    got = []
    try:
        while not got or got[-1]:
            got.append(connection.recv(READ_BYTES))
    except OSError as error:
        if not got and not isinstance(error, (BlockingIOError, ssl.SSLWantReadError)):
            raise
        return b"".join(got) or None
    return b"".join(got)


class Producer:
    """Publishes ticks. Any thread may call its methods.

    name: the same after a restart. epoch: grows when the producer numbers its ticks anew; None: the
    time, in microseconds. queue_max: how many ticks may wait for their acknowledgement. tls: an
    ssl.SSLContext, to connect by TLS to a proxy in front of the server.
    on_refused(q, reason) is called for each tick that the server does not take.
    """

    def __init__(self, address, name, token=None, epoch=None, queue_max=100_000, on_refused=None,
                 tls=None):
        self.address, self.queue_max, self.on_refused = address, queue_max, on_refused
        self.tls = tls
        hello = {"name": name, "epoch": time.time_ns() // 1000 if epoch is None else epoch}
        if token is not None:
            hello["token"] = token
        self._hello = {"type": "HELLO", "data": hello}
        self._changed = threading.Condition()
        self._waiting = collections.deque()  # (q, line, is_tick), not sent on this connection
        self._sent = collections.deque()     # sent on it, not acknowledged
        self.unacked = 0                     # ticks in both
        self._next_q = 1
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
        self.failed = None        # Refused: the producer has stopped for good
        self._thread = threading.Thread(target=self._run, name=f"producer {name}", daemon=True)
        self._thread.start()

    # ---- For the program ----

    def publish(self, symbol, type, data, ts_event=None, q=None):
        """Queues a tick and returns its number, or None: the queue is full, and the tick is dropped.

        type: "trade", "quote", "bar", "depth" or "status". data: as docs/protocol.md has it for a
        frame of that type. ts_event: nanoseconds since 1970. q: the producer's own number, above
        the last; None: the next one.
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
                raise ValueError(f"q {q}: the next number is {self._next_q} or above")
            tick["q"] = q
            self._next_q = q + 1
            self.unacked += 1
            self._append(q, json.dumps(tick)[:-1] + f',"data":{data}}}\n', True)
        return q

    def gap(self, symbol, type):
        """Reports that the producer lost ticks of this channel: its subscribers get a GAP."""
        with self._changed:
            self._lost[symbol, type] = True
            self._report_losses()

    def wait_for_welcome(self, timeout=None):
        """Waits until the server has answered. Returns the last q that it knows of this name and
        epoch, or None: it knows none. For a producer that goes on after a restart."""
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
                connection = connect(self.address, self.tls)
                with connection:
                    self._follow(connection)
            except Refused as error:
                self.failed = error
            except (OSError, ValueError, KeyError, Disconnected) as error:
                self.error = str(error) or repr(error)
            failures = 1 if self.connects > connects else failures + 1
            with self._changed:
                self.is_live = False
                self._sent.extend(self._waiting)  # all of it again, in order
                self._waiting, self._sent = self._sent, collections.deque()
                self._changed.notify_all()
                if not self.failed:
                    seconds = min(BACKOFF_SECONDS_MIN * 2 ** min(failures - 1, 6), BACKOFF_SECONDS_MAX)
                    self._changed.wait_for(lambda: self._closing, seconds * random.uniform(0.5, 1))

    def _follow(self, connection):
        """One connection, from HELLO to its end."""
        connection.sendall(json.dumps(self._hello).encode() + b"\n")
        connection.setblocking(False)
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
            due = min(received + silent, sent + (heartbeat if self.is_live else silent))
            readable, writable, _ = select.select([connection, self._wake_reader],
                                                  [connection] if output else [], [],
                                                  max(0, due - now))
            if self._wake_reader in readable:
                self._wake_reader.recv(4096)
            if connection in readable:
                received = time.monotonic()
                rest, welcome = self._read(connection, rest)
                if welcome is not None:
                    heartbeat = welcome.get("heartbeat_s", HEARTBEAT_SECONDS)
                    silent = welcome.get("silent_s", SILENT_SECONDS)
            if connection in writable:
                sent = time.monotonic()
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    output = output[connection.send(output):]

    def _read(self, connection, rest):
        """Handles the whole lines of what there is; returns the rest, and the WELCOME, if it came."""
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
    parser = argparse.ArgumentParser(description="publishes invented trades to a ringcast")
    parser.add_argument("address", help="unix:PATH or tcp:HOST:PORT of --feed ingest")
    parser.add_argument("--name", default="producer.py", help="of this producer (%(default)s)")
    parser.add_argument("--token", help="if the server needs one")
    parser.add_argument("--symbols", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--rate", type=float, default=10, help="ticks a second (%(default)s)")
    parser.add_argument("--count", type=int, help="how many ticks (no end)")
    arguments = parser.parse_args()

    prices = {f"MINE{i}": Decimal(1000 + i) / 100 for i in range(arguments.symbols)}
    producer = Producer(arguments.address, arguments.name, arguments.token,
                        on_refused=lambda q, reason: print(f"tick {q} refused: {reason}"))
    start, count, unacked = time.monotonic(), 0, 0
    try:
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
