"""What the recorded captures are to become on the wire, read again without any of ringcast's code.

Source: facts/feeds/captures.md. A tick is (type, symbol, ts_event or None, data), where data is the
frame's JSON with every number as the text it must be written as.
"""
import calendar
import collections
import json
import re
import time


def numbers_as_text(payload):
    """JSON with each number as its text: equal means equal to the digit."""
    return json.loads(payload, parse_float=str, parse_int=str)


def nanoseconds(iso):
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", iso)
    seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    return str(seconds * 10**9 + int((match[2] or "").ljust(9, "0")))


def milliseconds(value):
    return str(int(value) * 10**6)


def coinbase(message):
    kind = message["type"]
    symbol = message.get("product_id", "") + ".COINBASE"
    if kind == "snapshot":
        return "depth", symbol, None, {"action": "snapshot", "bids": message["bids"],
                                       "asks": message["asks"]}
    event = nanoseconds(message["time"]) if "time" in message else None
    if kind == "l2update":
        sides = {"buy": [], "sell": []}
        for side, price, size in message["changes"]:
            sides[side].append([price, size])
        return "depth", symbol, event, {"action": "delta", "bids": sides["buy"],
                                        "asks": sides["sell"]}
    if kind == "ticker":
        return "quote", symbol, event, {
            "last": message["price"], "open": message["open_24h"], "high": message["high_24h"],
            "low": message["low_24h"], "volume": message["volume_24h"],
            "bids": [[message["best_bid"], None]], "asks": [[message["best_ask"], None]]}
    if kind == "match":
        return "trade", symbol, event, {
            "price": message["price"], "size": message["size"],
            "side": {"buy": "sell", "sell": "buy"}[message["side"]], "id": message["trade_id"]}
    return None


def binance(message):
    data = message["data"]
    kind = message["stream"].split("@")[1]
    symbol = data["s"] + ".BINANCE"
    if kind.startswith("depth"):
        return "depth", symbol, milliseconds(data["E"]), {"action": "delta", "bids": data["b"],
                                                          "asks": data["a"]}
    if kind == "bookTicker":
        event = milliseconds(data["E"]) if "E" in data else None
        return "quote", symbol, event, {"bids": [[data["b"], data["B"]]],
                                        "asks": [[data["a"], data["A"]]]}
    if kind == "aggTrade":
        return "trade", symbol, milliseconds(data["T"]), {
            "price": data["p"], "size": data["q"], "side": "sell" if data["m"] else "buy",
            "id": data["a"]}
    if kind.startswith("kline"):
        bar = data["k"]
        return "bar", symbol, milliseconds(data["E"]), {
            "interval": bar["i"], "start": milliseconds(bar["t"]), "open": bar["o"],
            "high": bar["h"], "low": bar["l"], "close": bar["c"], "volume": bar["v"],
            "turnover": bar["q"], "count": bar["n"], "closed": bar["x"]}
    return None


def read(path, decode):
    """{(symbol, type): [(ts_event, data), ...]} of one pass, in order."""
    channels = collections.defaultdict(list)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            stamp, colon, payload = line.partition(": ")
            if not colon or not re.fullmatch(r"\d+(\.\d+)?", stamp):
                continue
            tick = decode(numbers_as_text(payload))
            if tick is not None:
                kind, symbol, event, data = tick
                channels[symbol, kind].append((event, data))
    return dict(channels)
