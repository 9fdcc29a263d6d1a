"""A client that subscribes, unsubscribes and stalls at random, and knows what it may be sent.

It holds the server to three sentences. A frame comes only for what is subscribed at that place of the
stream. A channel's seqs grow by one, but for what a GAP (trades) or conflation (quotes) explains, for
as long as it is subscribed without a break. An exact subscription begins at the next_seq of its
verdict (a quote one earlier: the newest).
"""
import fnmatch
import json
import random
import select
import socket
import time

from clients import CLOSE, DATA_TYPES, PING, PONG, RawClient, close_of, frame, subscribe_message

PATTERNS = ("*", "*.SZ", "S*", "*.US", "SIM*1*")


class ChaosClient:
    def __init__(self, address, symbols, seed, until_lapped=None):
        """until_lapped: if given, a call that returns once a client that does not read is lapped;
        this one begins by subscribing to all trades and not reading for so long."""
        self.random = random.Random(seed)
        self.until_lapped = until_lapped
        receive_buffer = 4096 if until_lapped else self.random.choice((4096, 65536, 1 << 20))
        self.client = RawClient(address, receive_buffer=receive_buffer, timeout=30)
        self.symbols = symbols
        self.entries = set()  # (text, type) as the server has confirmed them
        self.due = {}         # (symbol, type) -> the next seq, or None: not known yet
        self.seen = set()     # had a frame since it was subscribed
        self.names = {}
        self.pending = []
        self.faults = []
        self.frames = self.gaps = self.newest_id = 0
        self.closed = None

    def covers(self, symbol, kind):
        return any(kind == covered and fnmatch.fnmatchcase(symbol, text)
                   for text, covered in self.entries)

    def fault(self, text):
        if len(self.faults) < 10:
            self.faults.append(text)

    # ---- What it does ----

    def stall(self):
        self.newest_id += 1
        self.pending.append(self.newest_id)
        self.client.send_text(subscribe_message(["*"], ["trade"], id=self.newest_id,
                                                snapshot=False))
        self.until_lapped()

    def act(self):
        self.newest_id += 1
        choice = self.random.random()
        texts = self.random.sample(self.symbols, self.random.randint(1, 4))
        if self.random.random() < 0.5:
            texts.append(self.random.choice(PATTERNS))
        types = self.random.sample(("quote", "trade"), self.random.randint(1, 2))
        if choice < 0.5:
            message = subscribe_message(texts, types, id=self.newest_id,
                                        snapshot=self.random.random() < 0.7)
        elif choice < 0.95:
            message = json.dumps({"type": "UNSUBSCRIBE", "id": self.newest_id,
                                  "data": {"symbols": texts, "data_types": types}})
        else:
            message = json.dumps({"type": "UNSUBSCRIBE", "id": self.newest_id})
        self.pending.append(self.newest_id)
        self.client.send_text(message)

    # ---- What it is sent ----

    def on_subscribed(self, data):
        for entry in data["ok"]:
            text, kind = entry["symbol"], entry["type"]
            if "ch" in entry:
                self.names[entry["ch"]] = text, kind
                if not self.covers(text, kind):
                    self.due[text, kind] = entry["next_seq"]
            else:
                for symbol in self.symbols:
                    if fnmatch.fnmatchcase(symbol, text) and not self.covers(symbol, kind):
                        self.due[symbol, kind] = None
            self.entries.add((text, kind))

    def on_unsubscribed(self, data):
        for entry in data["ok"]:
            if (entry["symbol"], entry["type"]) not in self.entries:
                self.fault(f"removed what it did not have: {entry}")
            self.entries.discard((entry["symbol"], entry["type"]))
        for key in list(self.due):
            if not self.covers(*key):
                del self.due[key]

    def on_frame(self, message):
        key = message["symbol"], message["type"]
        seq = message["seq"]
        self.frames += 1
        self.names[message["ch"]] = key
        if key not in self.due:
            self.fault(f"{key} seq {seq} came although it is not subscribed")
            return
        due = self.due[key]
        if due is not None and seq != due:
            is_newest = message["type"] == "quote" and seq == due - 1 and key not in self.seen
            is_conflated = message["type"] == "quote" and seq > due
            if not is_newest and not is_conflated:
                self.fault(f"{key} seq {seq} came, {due} was due")
        self.due[key] = seq + 1
        self.seen.add(key)

    def on_gap(self, gap):
        key = self.names.get(gap["ch"])
        self.gaps += 1
        if key is None:
            return  # a channel of a pattern that has not had a frame yet
        if key not in self.due:
            self.fault(f"GAP {gap} for {key}, which is not subscribed")
        elif key[1] == "quote":
            self.fault(f"GAP {gap} for {key}, which is conflated")
        elif self.due[key] not in (None, gap["from"]):
            self.fault(f"GAP {gap} for {key}, {self.due[key]} was due")
        else:
            self.due[key] = gap["to"] + 1

    def on_message(self, message):
        kind = message["type"]
        if kind in DATA_TYPES:
            self.on_frame(message)
        elif kind == "SUBSCRIBED":
            before = set(self.due)
            self.on_subscribed(message["data"])
            self.seen -= set(self.due) - before
        elif kind == "UNSUBSCRIBED":
            self.on_unsubscribed(message["data"])
        elif kind == "GAP":
            self.on_gap(message["data"])
        elif kind == "ERROR":
            self.fault(f"{message}")
        if "id" in message:
            if not self.pending or self.pending[0] != message["id"]:
                self.fault(f"answer {message['id']} came, {self.pending[:1]} was due")
            else:
                self.pending.pop(0)

    def read(self, seconds):
        """What comes within that time."""
        deadline = time.monotonic() + seconds
        while self.closed is None:
            while self.client.frames:
                opcode, payload = self.client.frames.popleft()
                if opcode == PING:
                    self.client.send(frame(PONG, payload))
                elif opcode == CLOSE:
                    self.closed = close_of(payload)
                else:
                    self.on_message(json.loads(payload))
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.client.socket], [], [], left)[0]:
                return
            data = self.client.socket.recv(1 << 18)
            if not data:
                self.closed = "end"
                return
            self.client.frames.extend(self.client.parser.feed(data))

    def run(self, seconds):
        if self.until_lapped:
            self.stall()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.closed is None:
            for _ in range(self.random.randint(1, 4)):
                self.act()
            choice = self.random.random()
            if choice < 0.3:
                time.sleep(self.random.random() * 1.0)  # stalls
            self.read(self.random.random() * (0.5 if choice < 0.9 else 1.5))
        # All answers come, and then nothing but what is subscribed.
        self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.client.send_text('{"type":"UNSUBSCRIBE","id":"last"}')
        self.pending.append("last")
        deadline = time.monotonic() + 30
        while self.pending and self.closed is None and time.monotonic() < deadline:
            self.read(0.1)
        frames = self.frames
        self.read(0.3)
        if self.frames != frames:
            self.fault("frames came after all was unsubscribed")
        if self.pending:
            self.fault(f"no answer to {self.pending}")
        self.client.close()
