#!/usr/bin/env python3
"""Ticks of a ringcast as an async generator, for programs that are built on aiohttp.

    python_aiohttp.py [URL [SYMBOLS [TYPES]]]
    python_aiohttp.py ws://localhost:8765/ 000001.SZ,AAPL.US quote

Copy Stream, and read it as main() does: it goes on over disconnects and restarts, and ends with Refused.
Needs Python 3.11 and aiohttp 3.8 or newer (Debian: python3-aiohttp).
"""
import asyncio
import json
import random
import sys
import time
from decimal import Decimal

import aiohttp

SILENCE_SECONDS = 5  # More than the interval of WELCOME, within which HEARTBEAT comes: it is dead.
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 30
CURSORS_PER_MESSAGE = 500  # A client's message has at most 16 KiB.
CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED,
          aiohttp.WSMsgType.ERROR)


class Refused(Exception):
    """The server said that another try would end the same way."""


class Stream:
    """notify(text) is called for everything except ticks: losses, errors, disconnects."""

    def __init__(self, url, symbols, types, notify):
        self.url, self.notify = url, notify
        self.subscribe = {"type": "SUBSCRIBE", "data": {"symbols": symbols, "data_types": types}}
        self.epoch = None
        self.last = {}  # ch: the last seq that came, or that a GAP declared lost
        self.names = {}  # ch: "000001.SZ quote"

    async def ticks(self, session):
        """Every tick, for ever. Numbers in it are int and Decimal."""
        failures = 0
        while True:
            began = time.monotonic()
            code, reason, wait = 1006, "", 0
            try:
                async with session.ws_connect(self.url, max_msg_size=0) as socket:
                    self.notify(f"connected to {self.url}")
                    silence = SILENCE_SECONDS
                    while True:
                        message = await socket.receive(timeout=silence)
                        if message.type in CLOSED:
                            code, reason = socket.close_code or 1006, message.extra or ""
                            break
                        # Binary floats cannot hold most prices; Decimal holds every one exactly.
                        message = json.loads(message.data, parse_float=Decimal)
                        if message["type"] == "WELCOME":
                            silence += message["data"]["heartbeat_interval_ms"] / 1000
                            await self.greet(socket, message["data"]["epoch"])
                        elif "seq" in message:
                            self.on_tick(message)
                            yield message
                        else:
                            self.on_control(message)
            except aiohttp.WSServerHandshakeError as error:
                if 400 <= error.status < 500 and error.status not in (408, 429):
                    raise Refused(f"HTTP {error.status}") from error
                reason, wait = f"HTTP {error.status}", float(error.headers.get("Retry-After", 0))
            except asyncio.TimeoutError:
                reason = "silence"
            except (aiohttp.ClientError, OSError) as error:
                reason = str(error)
            # 4000 to 4099, and what RFC 6455 calls our fault.
            if code in (1000, 1002, 1003, 1007, 1008, 1009, 1010) or 4000 <= code <= 4099:
                raise Refused(f"{code} {reason}")
            failures = 0 if time.monotonic() - began > BACKOFF_SECONDS_MAX else failures + 1
            pause = 0
            if not 4200 <= code <= 4299:  # Those ask to be tried at once.
                pause = min(BACKOFF_SECONDS_MIN * 2**failures, BACKOFF_SECONDS_MAX)
                # Jitter: a thousand clients that were disconnected together must not come back together.
                pause = wait + pause * random.random()
            self.notify(f"closed {code} {reason}: again in {pause:.2f} s")
            await asyncio.sleep(pause)

    async def greet(self, socket, epoch):
        """RESUME brings what was missed. SUBSCRIBE follows it always: it changes nothing for a
        channel that was resumed, and gets the rest: patterns, new symbols, all if RESUME is refused.
        """
        if epoch != self.epoch:  # ch and seq mean nothing in another one.
            self.epoch, self.last, self.names = epoch, {}, {}
        cursors = list(self.last.items())
        for i in range(0, len(cursors), CURSORS_PER_MESSAGE):
            await socket.send_json({"type": "RESUME", "id": "resume", "data": {
                "epoch": epoch, "cursors": dict(cursors[i:i + CURSORS_PER_MESSAGE])}})
        await socket.send_json(self.subscribe)

    def on_control(self, message):
        kind, data = message["type"], message.get("data", {})
        for warning in data.get("warnings", ()):  # A key that the server does not use: misspelt?
            self.notify(f"{kind} warns: {warning.get('field', '')} {warning['message']}")
        if kind in ("SUBSCRIBED", "RESUMED"):
            for entry in data["ok"]:
                if "ch" in entry:  # A pattern has none: its channels show with their first frames.
                    self.names[entry["ch"]] = f"{entry['symbol']} {entry['type']}"
                    self.last.setdefault(entry["ch"], entry["next_seq"] - 1)
            for entry in data["failed"]:
                name = f"{entry['symbol']} {entry['type']}" if "symbol" in entry else entry["ch"]
                self.notify(f"{kind} not {name}: {entry['message']} ({entry['code']})")
            self.notify(f"{kind} {len(data['ok'])} in epoch {data['epoch']}")
        elif kind == "GAP":
            name = self.names.get(data["ch"], data["ch"])
            self.last[data["ch"]] = data["to"]
            self.notify(f"GAP {name} #{data['from']}..#{data['to']} are lost ({data['reason']})")
        elif kind == "HEARTBEAT":  # All is quiet. Were last frames lost?
            for ch, seq in data["next_seq"].items():
                self.expect(int(ch), seq)
        elif kind == "LAG":  # Read faster, or on_lag decides what becomes of the rest.
            self.notify(f"LAG {data['ms']} ms behind ({data['cause']})")
        elif kind == "NOTICE":  # Of a drain: a close with 4201 follows.
            self.notify(f"NOTICE {data['event']}")
        elif kind == "ERROR" and message.get("id") == "resume":
            self.notify(f"ERROR {data['code']} {data['message']}: subscribed anew")
        elif kind == "ERROR":
            self.notify(f"ERROR {data['code']} {data['message']} {data.get('field', '')}")

    def on_tick(self, tick):
        ch, seq = tick["ch"], tick["seq"]
        self.names[ch] = f"{tick['symbol']} {tick['type']}"
        self.expect(ch, seq)
        self.last[ch] = max(self.last[ch], seq)

    def expect(self, ch, seq):
        """Frames are missing without a GAP if newer ones replaced them, or after a disconnect."""
        last = self.last.get(ch, seq - 1)
        self.last[ch] = max(last, seq - 1)
        if last < seq - 1:
            self.notify(f"{self.names.get(ch, ch)}: {seq - 1 - last} not received before #{seq}")


def describe(tick):
    data = tick["data"]

    def number(value):
        return "-" if value is None else f"{Decimal(value):f}"

    def best(side):
        return " x ".join(map(number, data[side][0])) if data.get(side) else "-"

    match tick["type"]:
        case "quote":
            return f"last {number(data.get('last'))} bid {best('bids')} ask {best('asks')}"
        case "trade":
            return f"{data.get('side', '-')} {number(data['price'])} x {number(data.get('size'))}"
        case "bar":
            prices = " ".join(number(data.get(key)) for key in ("open", "high", "low", "close"))
            return f"{data['interval']} {prices} volume {number(data.get('volume'))}"
        case "depth":
            return f"{data['action']} bid {best('bids')} ask {best('asks')}"
        case "status":
            return f"{data['state']} {data.get('reason', '')}".rstrip()
        case other:
            return other


async def main(url, symbols, types):
    stream = Stream(url, symbols.split(","), types.split(","), lambda text: print("--", text))
    async with aiohttp.ClientSession() as session:
        try:
            async for tick in stream.ticks(session):
                seconds, ns = divmod(tick.get("ts_event", tick["ts_pub"]), 10**9)
                clock = time.strftime("%H:%M:%S", time.gmtime(seconds))
                print(f"{clock}.{ns // 1000:06} {tick['symbol']} {tick['type']} #{tick['seq']} "
                      f"{describe(tick)}")
        except Refused as reason:
            sys.exit(f"-- closed {reason}: not tried again")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:], *["ws://localhost:8765/", "000001.SZ", "quote"]
                         [len(sys.argv) - 1:]))
    except KeyboardInterrupt:
        pass
