#!/usr/bin/env python3
"""Clients that wait on a closed market: idler.py PORT COUNT [SYMBOLS EACH]

Connects COUNT clients, each subscribed to all quotes and trades, or to the quotes of EACH of the symbols
S0000 and so on, of which there are SYMBOLS. It prints "ready". The clients read everything and answer
pings. For each line on standard input it prints as JSON how many are connected,
and how many HEARTBEATs and bytes they have received.
"""
import json
import os
import resource
import selectors
import socket
import sys

import leaver

PONG = b"\x8a\x88\0\0\0\0"  # 8 bytes follow, masked with zeros


class Idler:
    """One client. It reads the head of each frame when that is complete, and skips the payload."""

    def __init__(self, connection):
        self.socket = connection
        self.head = b""
        self.left = 0  # of a payload that is passed over
        self.heartbeats = self.bytes = 0
        connection.setblocking(False)

    def read(self):
        """False: the server has closed the connection."""
        try:
            data = self.socket.recv(262144)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.bytes += len(data)
        skipped = min(self.left, len(data))
        self.left -= skipped
        rest = data[skipped:] if self.left == 0 else b""
        self.head += rest
        while len(self.head) >= 32 or (self.head[:1] == b"\x89" and len(self.head) >= 10):
            self.take_frame()
        return bool(data)

    def take_frame(self):
        head = self.head
        size, begin = head[1] & 127, 2
        if size == 126:
            size, begin = int.from_bytes(head[2:4], "big"), 4
        elif size == 127:
            size, begin = int.from_bytes(head[2:10], "big"), 10
        if head[0] == 0x89:
            self.socket.send(PONG + head[begin:begin + size])
        self.heartbeats += head[begin:].startswith(b'{"type":"HEARTBEAT"')
        self.left = max(0, begin + size - len(head))
        self.head = head[begin + size:]


def subscribe(symbols, data_types):
    return json.dumps({"type": "SUBSCRIBE", "data": {"symbols": symbols, "data_types": data_types,
                                                     "snapshot": False}}).encode()


def requests(count, symbols=0, each=0):
    """The request of each client: the first has the first symbols, the second the next, around and around."""
    if symbols == 0:
        return [subscribe(["*"], ["quote", "trade"])] * count
    return [subscribe([f"S{(client * each + i) % symbols:04}" for i in range(each)], ["quote"])
            for client in range(count)]


def main():
    port, count, *symbols = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = requests(count, *symbols)
    waits = selectors.DefaultSelector()
    idlers, gone = [], 0
    while len(idlers) < count:
        for connection in leaver.connect(port, wanted[len(idlers):][:leaver.AT_ONCE]):
            idlers.append(Idler(connection))
            waits.register(connection, selectors.EVENT_READ, idlers[-1])
        for key, _ in waits.select(0):
            gone += not key.data.read()
    waits.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in waits.select():
            if key.data is None:
                if not sys.stdin.readline():
                    return
                print(json.dumps({"connected": count - gone,
                                  "heartbeats": sum(idler.heartbeats for idler in idlers),
                                  "bytes": sum(idler.bytes for idler in idlers)}), flush=True)
            elif not key.data.read():
                waits.unregister(key.fileobj)
                gone += 1


if __name__ == "__main__":
    main()
