#!/usr/bin/env python3
"""Clients that all leave at once: leaver.py PORT COUNT

Connects COUNT clients, each subscribed to trades, of which the server publishes none, and prints
"ready". When it reads a line from standard input, all clients send a Close frame. Then it prints how
many received a Close in return. It runs in the CPU time that the load generator leaves (SCHED_IDLE).
"""
import json
import os
import resource
import socket
import sys

ANSWER_SECONDS = 10
AT_ONCE = 250  # handshakes under way
HELLO = (b"GET / HTTP/1.1\r\nHost: leaver\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
SUBSCRIBE = json.dumps({"type": "SUBSCRIBE",
                        "data": {"symbols": ["*"], "data_types": ["trade"]}}).encode()
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # 1000; masked with zeros


def text_frame(payload):
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


def read_until(client, mark):
    data = b""
    while mark not in data:
        piece = client.recv(65536)
        if not piece:
            raise SystemExit(f"the server closed a connection: {data!r}")
        data += piece


def connect(port, count):
    clients = []
    for first in range(0, count, AT_ONCE):
        some = []
        for _ in range(min(AT_ONCE, count - first)):
            some.append(socket.create_connection(("127.0.0.1", port)))
            some[-1].sendall(HELLO + text_frame(SUBSCRIBE))
        for client in some:
            read_until(client, b"SUBSCRIBED")
        clients += some
    return clients


def leave(clients):
    for client in clients:
        client.sendall(CLOSE)
    answered = 0
    for client in clients:
        data, piece = b"", b"begin"
        client.settimeout(ANSWER_SECONDS)
        try:
            while piece:
                piece = client.recv(65536)
                data = (data + piece)[-4:]
        except TimeoutError:
            continue
        answered += data == b"\x88\x02\x03\xe8"
    return answered


def main():
    port, count = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = connect(port, count)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print("ready", flush=True)
    if sys.stdin.readline():
        print(leave(clients), flush=True)


if __name__ == "__main__":
    main()
