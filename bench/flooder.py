#!/usr/bin/env python3
"""A producer that sends as fast as it can: flooder.py PATH

Connects to the Unix socket of an ingest and sends trades of 100 symbols as NDJSON until it ends.
"""
import json
import socket
import sys

TICKS = 10_000  # are sent again and again


def main():
    lines = "".join(json.dumps({"type": "trade", "symbol": f"FLOOD{number % 100:02}", "ts_event": 10**18 + number,
                                "data": {"price": 10.25, "size": 100, "side": "buy"}}) + "\n"
                    for number in range(TICKS)).encode()
    with socket.socket(socket.AF_UNIX) as producer:
        producer.connect(sys.argv[1])
        while True:
            producer.sendall(lines)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        pass
