#!/usr/bin/env python3
"""As tests/publish_numbers.c, with the Producer of examples/producer.py.

    publish_numbers.py ADDRESS SYMBOL BURST FILE LAST
"""
import os
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))
from producer import Producer  # noqa: E402


def read_acked(path):
    lines = pathlib.Path(path).read_text().splitlines() if os.path.exists(path) else ()
    return int(lines[-1].split()[2]) if lines else 0


def main(address, symbol, burst, path, last):
    burst, last, acked = int(burst), int(last), read_acked(path)
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note():
        nonlocal acked
        epoch, q = producer.position()
        if q is not None and q > acked:
            os.write(notes, f"{epoch} {acked + 1} {q}\n".encode())
            acked = q

    producer = Producer(address, symbol, epoch=1)
    known = producer.wait_for_welcome(60)
    number = max(known or 0, acked) + 1
    while last == 0 or acked < last:
        for _ in range(burst):
            if last and number > last:
                break
            if producer.publish(symbol, "trade", {"price": 10.32, "size": 1, "id": number},
                                ts_event=number, q=number) is None:
                break
            number += 1
        note()
        time.sleep(0.001)
    producer.close(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
