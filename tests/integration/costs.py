"""Clients that send the dearest messages the limits allow, one process for each kind.

    costs.py PORT KIND COUNT     so many connections, until it is killed; "all": of all kinds

Each kind is a list of texts that its connections send in turn, as fast as the server reads. What
comes back is read, or left.
"""
import json
import os
import random
import select
import socket
import string
import sys
import zlib

from clients import TEXT, frame, request

TYPES = ["quote", "trade", "bar", "depth", "status"]
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
SBE = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"


def message(kind, symbols=None, types=TYPES, **data):
    if symbols is not None:
        data["symbols"] = symbols
        data["data_types"] = types
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))


def patterns(count, seed=1):
    """Patterns that all symbols of the simulated feed match, each in its own way."""
    made = ["S*", "*M*", "SI*", "SIM*", "S*I*", "S*M*", "SIM*0*", "*I*", "*0*", "*S*"]
    digits = [f"S*{a}*{b}*" for a in string.digits for b in string.digits]
    random.Random(seed).shuffle(digits)
    return (made + digits)[:count]


def symbols(count, first=0):
    return [f"SIM{i:04}" for i in range(first, first + count)]


def bomb(text):
    """One compressed frame of a text that is padded to the longest message."""
    padded = text[:-1] + " " * (16384 - len(text)) + text[-1]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(padded.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, packed[:-4], reserved=4)


def cursors(count, seq):
    return {str(i): seq for i in range(count)}


# kind: texts, further lines of the handshake, whether it reads
KINDS = {
    "repeated stars": ([message("SUBSCRIBE", ["*"] * 1000)], "", True),
    "patterns": ([message("SUBSCRIBE", patterns(100), ["quote"]),
                  message("UNSUBSCRIBE", patterns(100), ["quote"])], "", True),
    "modify": ([message("SUBSCRIBE", patterns(100), ["trade"])]
               + [message("MODIFY", patterns(100), ["trade"], delivery={"max_lag_ms": lag})
                  for lag in range(1, 20)], "", True),
    "list": ([message("SUBSCRIBE", patterns(100), ["quote"])] + [message("LIST")] * 200, "", True),
    "unknown symbols": ([message("SUBSCRIBE", [f"X{i}" for i in range(1000)])], "", True),
    "snapshots": ([message("SNAPSHOT", symbols(1000), ["quote"])], "", True),
    "resume": ([message("RESUME", epoch="0" * 16, cursors=cursors(900, 1))], "", True),
    "replay": ([message("REPLAY", symbols(1000), ["quote"], **{"from": 10**15})] * 3
               + [message("UNSUBSCRIBE")], "", True),
    "definitions": ([message("SUBSCRIBE", patterns(20), ["quote"]),
                     message("UNSUBSCRIBE")], SBE, True),
    "bombs": ([message("SUBSCRIBE", [f"X{i}" for i in range(1000)])], DEFLATE, True),
    "pings": ([message("PING", t0=1)] * 100, "", True),
    "status": ([message("STATUS")] * 50 + [message("HEARTBEAT")] * 50, "", True),
    "silent replies": ([message("SUBSCRIBE", symbols(1000))], "", False),
    "silent bombs": ([message("SUBSCRIBE", [f"X{i}" for i in range(1000)])], DEFLATE, False),
}


class Attacker:
    def __init__(self, port, kind):
        texts, extra, self.reads = KINDS[kind]
        self.frames = [bomb(text) if extra == DEFLATE else frame(TEXT, text) for text in texts]
        self.turn = 0
        self.left = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(request(extra=extra))
        self.socket.recv(65536)
        self.socket.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        if not self.socket.recv(1 << 20):
            raise ConnectionError

    def write(self):
        """As much as goes, but not for ever."""
        for _ in range(100):
            if not self.left:
                self.left = self.frames[self.turn % len(self.frames)]
                self.turn += 1
            self.left = self.left[self.socket.send(self.left):]


def attempt(attackers, number, action):
    """Whom the server has ended is replaced."""
    try:
        action()
    except BlockingIOError:
        pass
    except OSError:
        if attackers[number] is not None:
            attackers[number].socket.close()
        attackers[number] = None


def newcomer(port, kind):
    """None: the server has ended it before it had an answer. It is tried again."""
    try:
        return Attacker(port, kind)
    except ConnectionError:
        return None


def attack(port, kinds, count):
    attackers = [None] * count
    while True:
        for number, attacker in enumerate(attackers):
            if attacker is None:
                attackers[number] = newcomer(port, kinds[number % len(kinds)])
        here = [one for one in attackers if one is not None]
        readable, writable, _ = select.select([one for one in here if one.reads], here, [], 1)
        for one in readable:
            attempt(attackers, attackers.index(one), one.read)
        for one in writable:
            if one in attackers:
                attempt(attackers, attackers.index(one), one.write)


if __name__ == "__main__":
    os.nice(10)
    attack(int(sys.argv[1]), list(KINDS) if sys.argv[2] == "all" else [sys.argv[2]],
           int(sys.argv[3]))
