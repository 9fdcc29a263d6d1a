#!/usr/bin/env python3
"""Clients with a token and 100 subscriptions, on a closed market: reloader.py PORT COUNT TOKEN

They wait as those of idler.py do, and print the same for each line on standard input.
"""
import json
import sys

import idler
import leaver

SUBSCRIBE = json.dumps({"type": "SUBSCRIBE", "data": {
    "symbols": [f"S{symbol:04}" for symbol in range(100)], "data_types": ["quote"]}}).encode()

if __name__ == "__main__":
    token = sys.argv.pop()
    leaver.HELLO = leaver.HELLO.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    idler.SUBSCRIBE = SUBSCRIBE
    idler.main()
