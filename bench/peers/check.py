#!/usr/bin/env python3
"""check: runs every peer for a few seconds with a real client, and checks what it sends.

  bench/peers/check.py [NAME ...]

Needs bench/peers/setup.sh first, and runs with its Python, which has websockets. Exit code 1: a peer
FAILED. A peer that is not installed is skipped.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time

PEERS_DIR = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(PEERS_DIR))
VENV_PYTHON = os.path.join(ROOT, ".toolchain", "peers", "venv", "bin", "python3")
sys.path.insert(0, PEERS_DIR)
import peers
import ticks

try:
    import websockets
except ImportError:
    if sys.executable == VENV_PYTHON or not os.path.exists(VENV_PYTHON):
        raise SystemExit("Python's websockets is not installed: run bench/peers/setup.sh")
    os.execv(VENV_PYTHON, [VENV_PYTHON, *sys.argv])

WARMUP_SECONDS = 0.5
CASES = [("symbols=200,rate=5000,burst=50,pad=256", 20), ("symbols=1,rate=100,burst=1,pad=256", 0)]
RATE_TOLERANCE = 0.1
STAND_INS = ("binance", "coinbase")  # Their ticks have another form: test_presets.py.


class PlainClient:
    """A SUBSCRIBE of ringcast's, or none when the URL says it all; every message is a tick."""

    def __init__(self, socket, symbols, has_dialect):
        self.socket = socket
        self.symbols = symbols
        self.has_dialect = has_dialect

    async def subscribe(self):
        if self.has_dialect:
            await self.socket.send(json.dumps(
                {"type": "SUBSCRIBE", "id": 1,
                 "data": {"symbols": self.symbols, "data_types": ["quote"]}}))
            answer = json.loads(await self.socket.recv())
            assert answer["type"] == "SUBSCRIBED" and answer["id"] == 1, answer

    async def receive(self):
        message = await self.socket.recv()
        assert isinstance(message, str), "a tick is not a text message"
        return [message.encode()]


class NatsClient:
    """The NATS protocol inside binary messages, which begin and end anywhere in it."""

    def __init__(self, socket, symbols, _):
        self.socket = socket
        self.subjects = ["md." + symbol.replace(".", "_") for symbol in symbols]
        self.bytes = b""

    async def subscribe(self):
        text = 'CONNECT {"verbose":false,"pedantic":false}\r\n'
        text += "".join(f"SUB {subject} {i + 1}\r\n" for i, subject in enumerate(self.subjects))
        await self.socket.send((text + "PING\r\n").encode())
        while b"PONG\r\n" not in self.bytes:
            self.bytes += await self.socket.recv()
        self.bytes = self.bytes.partition(b"PONG\r\n")[2]

    async def receive(self):
        found = []
        while not found:
            self.bytes += await self.socket.recv()
            while (message := self._message()) is not None:
                found.append(message)
        return found

    def _message(self):
        line, newline, rest = self.bytes.partition(b"\r\n")
        if not newline:
            return None
        if not line.startswith(b"MSG "):
            assert line in (b"PING", b"PONG"), line
            self.bytes = rest
            return None
        size = int(line.split()[-1])
        if len(rest) < size + 2:
            return None
        self.bytes = rest[size + 2:]
        return rest[:size]


class MqttClient:
    """Packets of MQTT 3.1.1 inside binary messages, which begin and end anywhere in them."""

    def __init__(self, socket, symbols, _):
        self.socket = socket
        self.topics = ["md/" + ("+" if symbol == "*" else symbol) for symbol in symbols]
        self.bytes = b""

    async def subscribe(self):
        filters = b"".join(len(topic).to_bytes(2, "big") + topic.encode() + b"\0"
                           for topic in self.topics)
        length = 2 + len(filters)
        await self.socket.send(b"\x10\x0c\0\4MQTT\4\2\0\x1e\0\0")
        await self.socket.send(b"\x82" + bytes([length & 127 | 128, length >> 7]) + b"\0\1" + filters)
        while (packet := self._packet()) is None or packet[0] != 0x90:
            self.bytes += b"" if packet else await self.socket.recv()

    async def receive(self):
        found = []
        while not found:
            self.bytes += await self.socket.recv()
            while (packet := self._packet()) is not None:
                kind, body = packet
                assert kind == 0x30, packet
                found.append(body[2 + int.from_bytes(body[:2], "big"):])
        return found

    def _packet(self):
        """(first byte, what follows the length) or None: none is whole."""
        length = at = 0
        for at, byte in enumerate(self.bytes[1:5]):
            length |= (byte & 127) << 7 * at
            if byte < 128:
                break
        else:
            return None
        head = at + 2
        if len(self.bytes) < head + length:
            return None
        kind, body = self.bytes[0], self.bytes[head:head + length]
        self.bytes = self.bytes[head + length:]
        return kind, body


class Ledger:
    """What came: every tick must be whole, in order, of a symbol that was asked for."""

    def __init__(self, spec, symbols, is_ordered):
        self.spec = spec
        self.is_ordered = is_ordered  # across symbols, too
        self.wanted = set(range(spec["symbols"])) if symbols == ["*"] else {
            i for i in range(spec["symbols"]) if ticks.symbol_name(i) in symbols}
        self.seqs = {}
        self.times = []
        self.late_ns = []

    def add(self, message):
        tick = json.loads(message)
        keys = ["type", "symbol", "ch", "seq", "ts_event", "ts_pub", "filler"]
        assert list(tick) == keys, list(tick)
        assert len(message) == self.spec["pad"], f"{len(message)} bytes"
        assert b'"ch":%d,"seq":%d,' % (tick["ch"], tick["seq"]) in message, message
        channel = tick["ch"]
        assert channel in self.wanted, f"channel {channel} was not asked for"
        assert tick["symbol"] == ticks.symbol_name(channel), tick
        before = self.seqs.get(channel, tick["seq"] - 1)
        assert tick["seq"] == before + 1, f"channel {channel}: seq {tick['seq']} after {before}"
        self.seqs[channel] = tick["seq"]
        assert tick["ts_event"] <= tick["ts_pub"] + 2_000_000, "made before it was due"
        self.times.append(tick["ts_event"])
        self.late_ns.append(time.time_ns() - tick["ts_pub"])

    def verdict(self):
        assert set(self.seqs) == self.wanted, f"{len(self.seqs)} of {len(self.wanted)} channels"
        in_order = sorted(self.times)
        assert not self.is_ordered or self.times == in_order, "instants are out of order"
        due = self.spec["rate"] * len(self.wanted) / self.spec["symbols"]
        span_seconds = (in_order[-1] - in_order[0]) / 1e9
        interval = self.spec["burst"] / self.spec["rate"]
        rate = len(self.times) / (span_seconds + interval)
        assert abs(rate / due - 1) < RATE_TOLERANCE, f"{rate:.0f} ticks/s, not {due:.0f}"
        late = sorted(self.late_ns)
        assert late[0] > -1_000_000, "came before it was made"
        return (f"{len(self.times)} ticks of {len(self.wanted)} symbols, {rate:.0f}/s, "
                f"median {late[len(late) // 2] / 1e6:.2f} ms after ts_pub")


async def follow(peer, symbols, ledger, seconds):
    options = peer.load_options()
    kind = NatsClient if "nats" in options else MqttClient if "mqtt" in options else PlainClient
    async with websockets.connect(peer.url(symbols), compression=None, max_queue=1024,
                                  subprotocols=["mqtt"] if "mqtt" in options else None) as socket:
        client = kind(socket, symbols, options == [])
        await client.subscribe()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in await asyncio.wait_for(client.receive(), timeout=3):
                ledger.add(message)


def check(name, spec_text, subscribed_count, seconds):
    """One peer on one spec; returns what to print. Raises when anything is wrong."""
    spec = ticks.parse(spec_text)
    step = spec["symbols"] // subscribed_count if subscribed_count else 0
    symbols = [ticks.symbol_name(i * step) for i in range(subscribed_count)] or ["*"]
    with tempfile.TemporaryDirectory(prefix="ringcast-peer-") as work_dir:
        peer = peers.PEERS[name](ROOT, peers.free_port(), spec, work_dir)
        is_available, reason = peer.available()
        if not is_available:
            return f"skipped: {reason}"
        # nchan begins with what it has kept of each channel, one channel after the other.
        ledger = Ledger(spec, symbols, is_ordered=name != "nchan")
        with peers.Running(peer) as running:
            time.sleep(WARMUP_SECONDS)
            asyncio.run(follow(peer, symbols, ledger, seconds))
            assert not running.ended(), "a process ended"
        return "ok: " + ledger.verdict()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(peers.PEERS))
    parser.add_argument("--seconds", type=float, default=2, help="seconds for each spec")
    options = parser.parse_args()
    failed = False
    for name in options.names or (it for it in peers.PEERS if it not in STAND_INS):
        for spec_text, subscribed_count in CASES:
            try:
                verdict = check(name, spec_text, subscribed_count, options.seconds)
            except Exception as error:
                verdict, failed = f"FAILED: {type(error).__name__}: {error}", True
            print(f"{name:18} {spec_text.rpartition(',')[0]:30} {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
