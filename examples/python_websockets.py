#!/usr/bin/env python3
"""Follows symbols of a ringcast over disconnects and restarts, with the package websockets.

    python_websockets.py [URL [SYMBOLS [TYPES]]]
    python_websockets.py ws://localhost:8765/ 000001.SZ,AAPL.US quote

Needs Python 3.11 and websockets 10 or newer (Debian: python3-websockets).
"""
import asyncio
import json
import random
import sys
import time
from decimal import Decimal

import websockets

SILENCE_SECONDS = 5  # More than the interval of WELCOME, within which HEARTBEAT comes: it is dead.
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 30
CURSORS_PER_MESSAGE = 500  # A client's message has at most 16 KiB.


class Position:
    """How far each channel has come: what another connection can go on from."""

    def __init__(self):
        self.epoch = None
        self.last = {}  # ch: the last seq that came, or that a GAP declared lost
        self.names = {}  # ch: "000001.SZ quote"

    def enter(self, epoch):
        """ch and seq mean nothing in another epoch."""
        if epoch != self.epoch:
            self.__init__()
            self.epoch = epoch

    def expect(self, ch, seq):
        """seq comes next. Returns how many before it neither came nor were declared lost."""
        last = self.last.get(ch, seq - 1)
        self.last[ch] = max(last, seq - 1)
        return max(0, seq - 1 - last)


def requests(position, symbols, types):
    """What to ask of a new connection.

    RESUME brings what was missed. SUBSCRIBE follows it always: it changes nothing for a channel
    that was resumed, and gets the rest: patterns, new symbols, all of it if RESUME is refused.
    """
    cursors = list(position.last.items())
    for i in range(0, len(cursors), CURSORS_PER_MESSAGE):
        yield {"type": "RESUME", "id": "resume", "data": {
            "epoch": position.epoch, "cursors": dict(cursors[i:i + CURSORS_PER_MESSAGE])}}
    yield {"type": "SUBSCRIBE", "data": {"symbols": symbols, "data_types": types}}


def on_message(position, message):
    kind, data = message["type"], message.get("data", {})
    for warning in data.get("warnings", ()):  # A key that the server does not use: misspelt?
        print(f"-- {kind} warns: {warning.get('field', '')} {warning['message']}")
    if "seq" in message:
        on_tick(position, message)
    elif kind in ("SUBSCRIBED", "RESUMED"):
        for entry in data["ok"]:
            if "ch" in entry:  # A pattern has none: its channels show with their first frames.
                position.names[entry["ch"]] = f"{entry['symbol']} {entry['type']}"
                position.last.setdefault(entry["ch"], entry["next_seq"] - 1)
        for entry in data["failed"]:
            name = f"{entry['symbol']} {entry['type']}" if "symbol" in entry else entry["ch"]
            print(f"-- {kind} not {name}: {entry['message']} ({entry['code']})")
        print(f"-- {kind} {len(data['ok'])} in epoch {data['epoch']}")
    elif kind == "GAP":
        name = position.names.get(data["ch"], data["ch"])
        position.last[data["ch"]] = data["to"]
        print(f"-- GAP {name} #{data['from']}..#{data['to']} are lost ({data['reason']})")
    elif kind == "HEARTBEAT":  # All is quiet. Were last frames lost?
        for ch, seq in data["next_seq"].items():
            tell_missing(position, int(ch), seq)
    elif kind == "LAG":  # Read faster, or on_lag decides what becomes of the rest.
        print(f"-- LAG {data['ms']} ms behind ({data['cause']})")
    elif kind == "NOTICE":  # Of a drain: a close with 4201 follows.
        print(f"-- NOTICE {data['event']}")
    elif kind == "ERROR" and message.get("id") == "resume":
        print(f"-- ERROR {data['code']} {data['message']}: subscribed anew")
    elif kind == "ERROR":
        print(f"-- ERROR {data['code']} {data['message']} {data.get('field', '')}")


def tell_missing(position, ch, seq):
    """Frames are missing without a GAP if newer ones replaced them, or after a disconnect."""
    missing = position.expect(ch, seq)
    if missing:
        print(f"-- {position.names.get(ch, ch)}: {missing} not received before #{seq}")


def on_tick(position, tick):
    ch, seq = tick["ch"], tick["seq"]
    position.names[ch] = f"{tick['symbol']} {tick['type']}"
    tell_missing(position, ch, seq)
    position.last[ch] = max(position.last[ch], seq)
    seconds, ns = divmod(tick.get("ts_event", tick["ts_pub"]), 10**9)
    clock = time.strftime("%H:%M:%S", time.gmtime(seconds))
    print(f"{clock}.{ns // 1000:06} {position.names[ch]} #{seq} {describe(tick)}")


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


async def read(socket, position, symbols, types):
    """Reads one connection to its end. Returns its close code and reason."""
    loop = asyncio.get_running_loop()
    silence = SILENCE_SECONDS
    async with asyncio.timeout(silence) as patience:
        try:
            async for text in socket:
                # Binary floats cannot hold most prices; Decimal holds every one, to the digit.
                message = json.loads(text, parse_float=Decimal)
                if message["type"] == "WELCOME":
                    silence += message["data"]["heartbeat_interval_ms"] / 1000
                    position.enter(message["data"]["epoch"])
                    for request in requests(position, symbols, types):
                        await socket.send(json.dumps(request))
                else:
                    on_message(position, message)
                patience.reschedule(loop.time() + silence)
        except websockets.ConnectionClosedError:
            pass
    return socket.close_code, socket.close_reason


def is_final(code):
    """4000 to 4099, and what RFC 6455 calls our fault: another try would end the same way."""
    return code in (1000, 1002, 1003, 1007, 1008, 1009, 1010) or 4000 <= code <= 4099


async def follow(url, symbols, types):
    position = Position()
    failures = 0
    while True:
        began = time.monotonic()
        code, reason, wait = 1006, "", None
        try:
            async with websockets.connect(url, close_timeout=1) as socket:
                print(f"-- connected to {url}")
                code, reason = await read(socket, position, symbols, types)
        except websockets.InvalidHandshake as error:
            answer = getattr(error, "response", error)  # Where it is, depends on the version.
            status = getattr(answer, "status_code", 0)  # 0: the server ended before it answered.
            if 400 <= status < 500 and status not in (408, 429):
                sys.exit(f"-- refused with HTTP {status}: not tried again")
            reason = f"HTTP {status}" if status else str(error)
            if status:
                wait = answer.headers.get("Retry-After")
        except TimeoutError:
            reason = "silence"
        except OSError as error:
            reason = str(error)
        if is_final(code):
            sys.exit(f"-- closed {code} {reason}: not tried again")
        failures = 0 if time.monotonic() - began > BACKOFF_SECONDS_MAX else failures + 1
        pause = 0
        if not 4200 <= code <= 4299:  # Those ask to be tried at once.
            pause = min(BACKOFF_SECONDS_MIN * 2**failures, BACKOFF_SECONDS_MAX)
            # Jitter: a thousand clients that were disconnected together must not come back together.
            pause = float(wait or 0) + pause * random.random()
        print(f"-- closed {code} {reason}: again in {pause:.2f} s")
        await asyncio.sleep(pause)


if __name__ == "__main__":
    url, symbols, types = [*sys.argv[1:], *["ws://localhost:8765/", "000001.SZ", "quote"]
                           [len(sys.argv) - 1:]]
    try:
        asyncio.run(follow(url, symbols.split(","), types.split(",")))
    except KeyboardInterrupt:
        pass
