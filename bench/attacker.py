#!/usr/bin/env python3
"""attacker: clients that attack a server in eight ways at once, as often as one process can.

  bench/attacker.py PORT SECONDS SCOPED_TOKEN

  guess      wrong tokens in the handshake        scope      subscribes beyond its token, 100 at once
  auth       wrong tokens in AUTH                 proxy      a PROXY header, but it is no proxy
  flood      handshakes from one address          slow       sends a byte of a request per 0.5 s
  bomb       8 MiB in 8 KB of permessage-deflate  malformed  frames that break the protocol

Each kind except flood has addresses of its own, 127.66.x.y. They are so many that the limits per
address do not stop the attack before the server has to answer it. Prints one JSON object: for each
kind the server's answers and their numbers. An answer is an HTTP status, the code of an ERROR or of a
verdict, "close" and its code, "cut" (disconnected without a Close), or "silent".
"""

import asyncio
import collections
import json
import os
import random
import struct
import sys
import time
import zlib

ANSWER_SECONDS = 15
COUNTS = {"guess": 4, "auth": 4, "scope": 2, "proxy": 4, "flood": 4, "slow": 100, "bomb": 2,
          "malformed": 4}  # at one time
BAD_FRAMES = (b"\x81\x05hello", b"\xa1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0",
              b"\x09\x80\0\0\0\0", b"\x81\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0",
              b"\x81\x82\0\0\0\0\xc0\xaf", b"\x88\x81\0\0\0\0\x03")


def request(token=None, extra=""):
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return (f"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"{bearer}{extra}\r\n").encode()


def frame(payload, first=0x81):
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else \
        b"\xfe" + struct.pack(">H", len(payload))
    return bytes([first]) + length + b"\0\0\0\0" + payload


def message(kind, data):
    return frame(json.dumps({"type": kind, "data": data}).encode())


def bomb():
    compress = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = compress.compress(bytes(8 << 20)) + compress.flush(zlib.Z_SYNC_FLUSH)
    return frame(payload[:-4], 0xc1)


def guess():
    return "%064x" % random.getrandbits(256)


def deeds(scoped):
    """kind: () -> (bytes to send at once, bytes to send after the upgrade)."""
    beyond = message("SUBSCRIBE", {"symbols": ["*"], "data_types": ["quote"]}) * 100
    offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    blast = bomb()
    return {
        "guess": lambda: (request(guess()), b""),
        "auth": lambda: (request(), message("AUTH", {"token": guess()})),
        "scope": lambda: (request(scoped), beyond),
        "proxy": lambda: (b"PROXY TCP4 10.1.2.3 10.0.0.1 40000 8765\r\n" + request(scoped), b""),
        "flood": lambda: (request(guess()), b""),
        "slow": lambda: (request(), b""),
        "bomb": lambda: (request(scoped, offer), blast),
        "malformed": lambda: (request(scoped), random.choice(BAD_FRAMES)),
    }


def codes(payload):
    """The codes in an ERROR, or in the verdicts of an answer."""
    text = json.loads(payload)
    data = text.get("data", {})
    if text["type"] == "ERROR":
        return [str(data.get("code"))]
    return [str(entry.get("code")) for entry in data.get("failed", [])] + \
        ["subscribed" for _ in data.get("ok", []) if text["type"] == "SUBSCRIBED"]


def answers(bytes_):
    """The server's answer, from the status line to the end."""
    head, _, rest = bytes_.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return ["cut"]
    if head[9:12] != b"101":
        return [head[9:12].decode()]
    said, closed = [], "cut"
    while len(rest) >= 2:
        length, start = rest[1], 2
        if length >= 126:
            length, start = int.from_bytes(rest[2:4], "big"), 4
        payload, first = rest[start:start + length], rest[0]
        rest = rest[start + length:]
        if first == 0x88 and len(payload) >= 2:
            closed = "close " + str(int.from_bytes(payload[:2], "big"))
        elif first == 0x81 and len(payload) == length:
            said += codes(payload)
    return said + [closed]


async def attack(kind, deed, port, source):
    first, then = deed()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    got = b""
    try:
        for piece in [first[i:i + 1] for i in range(60)] if kind == "slow" else [first]:
            writer.write(piece)
            await writer.drain()
            if kind == "slow":
                await asyncio.sleep(0.5)
                if reader.at_eof():
                    break
        async with asyncio.timeout(ANSWER_SECONDS):
            if then:
                got = await reader.readuntil(b"\r\n\r\n")
                writer.write(then)
            while piece := await reader.read(65536):
                got += piece
        return answers(got)
    except asyncio.IncompleteReadError as error:
        return answers(error.partial)
    except TimeoutError:
        return ["silent"]
    except OSError:
        return answers(got) if got else ["cut"]
    finally:
        writer.transport.abort()


async def keep_on(kind, deed, port, until, tally, turns):
    place = list(COUNTS).index(kind)
    while time.monotonic() < until:
        host = 1 if kind == "flood" else 1 + next(turns) % 250
        try:
            said = await attack(kind, deed, port, f"127.66.{place}.{host}")
        except OSError:
            said = ["cut"]
            await asyncio.sleep(0.01)
        tally[kind].update(said)


async def main(port, seconds, scoped):
    until = time.monotonic() + seconds
    tally = {kind: collections.Counter() for kind in COUNTS}
    crowd = []
    for kind, deed in deeds(scoped).items():
        turns = iter(range(1 << 60))
        crowd += [keep_on(kind, deed, port, until, tally, turns) for _ in range(COUNTS[kind])]
    await asyncio.gather(*crowd)
    print(json.dumps(tally), flush=True)


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # what the load generator leaves
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
