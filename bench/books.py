"""books: invented captures of order books in the form of real venues, for the feed replay.

binance   depthUpdate, as for NKNUSDT: prices have 4 significant digits after the point and sizes
          none, but both are written with 8; one level in twelve is removed. 33 levels a side: 2 KiB
          of JSON. Compression leaves 0.29 of it, as it does of recorded updates of that symbol.
coinbase  snapshot, as for BTC-USD: prices have 2 digits after the point, sizes 8, none of them always
          zero. 42 levels a side: 2 KiB of JSON. Compression leaves 0.33 to 0.47 of recorded ones; of
          these, whose sizes are never round, it leaves as much as of the worst of them.
"""

import json
import os
import random

LEVELS = {"binance": 33, "coinbase": 42}
HEAD = {"binance": "wss://stream.binance.com:9443/stream?streams=nknusdt@depth@100ms",
        "coinbase": "wss://ws-feed.pro.coinbase.com"}
START = 1_600_000_000  # seconds


def side(rng, best, step, levels, spread, text):
    """[price, size] of the levels from the best on; some prices are passed over."""
    found = []
    for _ in range(levels):
        found.append(text(rng, best))
        best += step * (1 + int(rng.expovariate(spread)))
    return found


def binance_level(rng, price):
    size = 0 if rng.random() < 1 / 12 else int(rng.lognormvariate(8, 1)) + 1
    return [f"{price / 10_000:.4f}0000", f"{size}.00000000"]


def coinbase_level(rng, price):
    return [f"{price / 100:.2f}", f"{rng.lognormvariate(-2, 2):.8f}"]


def binance(rng, mid, number, levels):
    mid //= 1000  # 0.43
    return {"stream": "nknusdt@depth@100ms", "data": {
        "e": "depthUpdate", "E": START * 1000 + number, "s": "NKNUSDT", "U": 10 * number,
        "u": 10 * number + 9, "b": side(rng, mid, -1, levels, 1, binance_level),
        "a": side(rng, mid + 1, 1, levels, 1, binance_level)}}


def coinbase(rng, mid, _, levels):
    return {"type": "snapshot", "product_id": "BTC-USD",
            "asks": side(rng, mid + 1, 1, levels, 0.02, coinbase_level),
            "bids": side(rng, mid, -1, levels, 0.02, coinbase_level)}


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
