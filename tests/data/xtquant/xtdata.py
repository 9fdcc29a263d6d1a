"""A stand-in for xtquant.xtdata, as far as examples/qmt_bridge.py uses it and as its documentation describes it.

The terminal is a test that listens on 127.0.0.1, port XTQUANT_PORT. It receives a line of JSON for each
call, and sends lines {"period": ..., "data": ...}, which a thread of this module hands to the callbacks.
With XTQUANT_ARRAYS the lists and numbers are objects with tolist(), as numpy's are.
"""
import json
import os
import queue
import socket
import threading
import time


class _Array:
    def __init__(self, value):
        self._value = value

    def tolist(self):
        return self._value


class _Link:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", int(os.environ["XTQUANT_PORT"])), 10)
        self.socket.settimeout(None)
        self.is_connected = True
        self.subscriptions = []  # period, code or None, callback
        self.full_ticks = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def tell(self, **call):
        self.socket.sendall(json.dumps(call).encode() + b"\n")

    def _read(self):
        try:
            with self.socket.makefile() as lines:
                for line in lines:
                    message = json.loads(line)
                    if "full_tick" in message:
                        self.full_ticks.put(message["full_tick"])
                        continue
                    for period, code, callback in list(self.subscriptions):
                        records = {symbol: _as_arrays(record) for symbol, record in message["data"].items()
                                   if code in (None, symbol)}
                        if period == message["period"] and records:
                            callback(records)
        except OSError:
            pass
        self.is_connected = False


def _as_arrays(found):
    if "XTQUANT_ARRAYS" not in os.environ:
        return found
    if isinstance(found, list):
        return [_as_arrays(record) for record in found]
    return {key: _Array(value) for key, value in found.items()}


_links = []


def _link():
    if not _links or not _links[-1].is_connected:
        _links.append(_Link())
    return _links[-1]


def _subscribe(period, code, callback):
    link = _link()
    link.subscriptions.append((period, code, callback))
    link.tell(period=period, code=code)
    return len(link.subscriptions)


def subscribe_quote(stock_code, period="1d", start_time="", end_time="", count=0, callback=None):
    return _subscribe(period, stock_code, callback)


def subscribe_whole_quote(code_list, callback=None):
    return _subscribe("whole", None, callback)


def get_full_tick(code_list):
    link = _link()
    link.tell(full_tick=code_list)
    return link.full_ticks.get(timeout=10)


def run():
    link = _link()
    while link.is_connected:
        time.sleep(0.01)
    raise Exception("the link to the terminal broke")
