"""books: captures of order books that never were, in the form of real venues, for feed replay.

binance   depthUpdate, as for BTCUSDT: prices with 2 digits that count and sizes with 5, both written
          with 8; one level in twelve is removed. 33 levels a side: 2 KiB of JSON.
coinbase  snapshot: prices with 2 digits after the point, sizes with 8, none of them always zero. 42
          levels a side: 2 KiB of JSON, of which the digits alone make up more than a third.
"""

import json
import os
import random

LEVELS = {"binance": 33, "coinbase": 42}
HEAD = {"binance": "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms",
        "coinbase": "wss://ws-feed.pro.coinbase.com"}
START = 1_600_000_000  # seconds


def side(rng, best, step, levels, digits):
    """[price, size] of the levels from the best on, as text; some prices are passed over."""
    found, price = [], best
    for _ in range(levels):
        size = 0.0 if digits == 5 and rng.random() < 1 / 12 else rng.lognormvariate(-2, 2)
        price_text = f"{price / 100:.2f}"
        size_text = f"{size:.{digits}f}"
        if digits == 5:
            price_text, size_text = price_text + "000000", size_text + "000"
        found.append([price_text, size_text])
        price += step * (1 + int(rng.expovariate(0.02)))
    return found


def binance(rng, mid, number, levels):
    return {"stream": "btcusdt@depth@100ms", "data": {
        "e": "depthUpdate", "E": START * 1000 + number, "s": "BTCUSDT", "U": 10 * number,
        "u": 10 * number + 9, "b": side(rng, mid, -1, levels, 5),
        "a": side(rng, mid + 1, 1, levels, 5)}}


def coinbase(rng, mid, _, levels):
    return {"type": "snapshot", "product_id": "BTC-USD", "asks": side(rng, mid + 1, 1, levels, 8),
            "bids": side(rng, mid, -1, levels, 8)}


def write(directory, form, rate, count):
    """A capture of count books, rate a second; its path."""
    rng = random.Random(1)
    path = os.path.join(directory, f"{form}-{count}.ws.log")
    mid = 4_312_345  # cents
    make = {"binance": binance, "coinbase": coinbase}[form]
    with open(path, "w") as capture:
        capture.write(f"{HEAD[form]} <-> {START}.0\n")
        for number in range(count):
            mid += rng.randint(-300, 300)
            text = json.dumps(make(rng, mid, number, LEVELS[form]), separators=(",", ":"))
            capture.write(f"{START + number / rate:.6f}: {text}\n")
    return path
