"""Prints the trades and quotes of a capture, or of ringcast-tap --json, as CSV that ringcast plays.

    python3 capture_to_csv.py < sim.ws.log > sim.csv

Numbers keep their digits. Of a quote the CSV has the last price and the best bid and ask.
"""
import csv
import json
import sys

COLUMNS = ("ts_ns", "symbol", "type", "price", "size", "side", "id", "bid", "bid_size", "ask", "ask_size")
LETTERS = {"trade": "T", "quote": "Q"}


def rows(lines):
    for line in lines:
        _, brace, text = line.partition("{")
        frame = json.loads(brace + text, parse_float=str, parse_int=str) if brace else {}
        if frame.get("type") not in LETTERS:
            continue
        data = frame["data"]
        row = {"ts_ns": frame.get("ts_event"), "symbol": frame["symbol"], "type": LETTERS[frame["type"]],
               "price": data.get("price", data.get("last")), "size": data.get("size"), "side": data.get("side"),
               "id": data.get("id")}
        for side, levels in (("bid", data.get("bids")), ("ask", data.get("asks"))):
            if levels:
                row[side], row[f"{side}_size"] = levels[0]
        yield row


if __name__ == "__main__":
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(sys.stdin))
