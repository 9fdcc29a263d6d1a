"""A connection whose token changes sees nothing outside the new scope, whatever it has under way."""
import collections
import fnmatch
import json
import os
import pathlib
import random
import tempfile
import time
import unittest
import zlib

from clients import ALL_TYPES, CLOSE, DATA_TYPES, PING, PONG, TEXT, FrameParser, RawClient, close_of, frame
from server import Server
from test_big_books import capture, coinbase_pass, update
from test_sbe import SCHEMA

BIG = "BIG-USD.COINBASE"
SYMBOLS = ("000001.SZ", "300750.SZ", "600519.SH", "AAPL.US", "MSFT.US", "SIM00006.SIM", BIG)
PATTERNS = ("*", "*.SZ", "6*", "*.US", "A*", "S*6*", "B*")
FEED = ("--feed", "sim:symbols=8,rate=1500,types=quote+trade+bar+depth")
HEADERS = ("", "Sec-WebSocket-Protocol: md.sbe.v1\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
ROUNDS = 25
ROUNDS_MAX = 100  # until each of these has happened:
WORDS = ("checked", "AUTHENTICATED", "dropped", "REPLAYING", "END_OF_REPLAY", "RESUMED", "SNAPSHOT", "SUBSCRIBED",
         "MODIFIED", "HEARTBEAT", "binary", "parts", "forbidden cursors")
STEPS = 30


class Scope:
    def __init__(self, name, symbols=("*",), types=DATA_TYPES):
        self.token = f"{name}-token-0123456789abcdef"
        self.entry = {"name": name, "token": self.token, "symbols": list(symbols), "types": list(types)}
        self.symbols, self.types = symbols, types

    def covers(self, symbol, kind):
        return kind in self.types and any(fnmatch.fnmatchcase(symbol, p) for p in self.symbols)


SCOPES = (Scope("all"), Scope("china", ("*.SZ", "*.SH")), Scope("one", ("000001.SZ",)),
          Scope("trades", types=("trade",)), Scope("books", ("B*",)), Scope("states", ("*.US",), ("quote", "depth")),
          Scope("nothing", ("ZZZ",)))


class InflatingParser(FrameParser):
    """Takes compressed frames, each of which stands for itself."""

    def feed(self, data):
        self.buffer += data
        frames = []
        while (size := self.size()) is not None and len(self.buffer) >= size:
            piece = bytearray(self.buffer[:size])
            del self.buffer[:size]
            is_compressed = piece[0] & 0x40
            piece[0] &= ~0x40
            opcode, payload = FrameParser().feed(piece)[0]
            if is_compressed:
                payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
            frames.append((opcode, payload))
        return frames

    def size(self):
        """Of the first frame; None: its head is not there yet."""
        if len(self.buffer) < 2:
            return None
        length = self.buffer[1] & 127
        more = {126: 2, 127: 8}.get(length, 0)
        if len(self.buffer) < 2 + more:
            return None
        return 2 + more + (int.from_bytes(self.buffer[2:2 + more], "big") if more else length)


class Viewer:
    """Says random things, and holds every message that comes against the scope it has then."""

    def __init__(self, server, seed, counts):
        self.random = random.Random(seed)
        self.counts = counts
        self.scope = SCOPES[0]
        self.asked = collections.deque()
        self.names = {}
        self.newest = {}
        self.epoch = None
        extra = f"Authorization: Bearer {self.scope.token}\r\n{self.random.choice(HEADERS)}"
        self.client = RawClient(server.port, extra=extra, timeout=30,
                                receive_buffer=self.random.choice((None, 4096)))
        parser = InflatingParser()
        parser.buffer, self.client.parser = self.client.parser.buffer, parser
        self.read_until("WELCOME")

    def say(self, kind, **data):
        self.client.send_text(json.dumps({"type": kind, "data": data}))

    def check(self, symbol, kind, message):
        self.counts["checked"] += 1
        if not self.scope.covers(symbol, kind):
            raise AssertionError(f"with the scope {self.scope.entry} came {json.dumps(message)[:300]}")

    def next_message(self, timeout=None):
        """Of a binary one the type, the channel, and what the client knows of that."""
        while True:
            got = self.client.next_frame(timeout)
            assert got is not None and got[0] != CLOSE, got and close_of(got[1])
            opcode, payload = got
            if opcode == PING:
                self.client.send(frame(PONG, payload))
            elif opcode == TEXT:
                return json.loads(payload)
            else:
                name, values, _ = SCHEMA.decode(payload)
                if name in DATA_TYPES:
                    self.counts["binary"] += 1
                    return {"type": name, "symbol": self.names[values["ch"]][0], "ch": values["ch"],
                            "seq": values["seq"]}

    def on_message(self, message):
        kind, data = message["type"], message.get("data", {})
        self.epoch = data.get("epoch", self.epoch)
        if kind in DATA_TYPES and "part" in message:
            self.counts["parts"] += 1
            self.check(message["symbol"], kind, message)
        elif kind in DATA_TYPES:
            self.names[message["ch"]] = (message["symbol"], kind)
            self.newest[message["ch"]] = message["seq"]
            self.check(message["symbol"], kind, message)
        elif kind == "AUTHENTICATED":
            self.scope = self.asked.popleft()
            assert data["name"] == self.scope.entry["name"], (data, self.scope.entry)
        elif kind == "GAP" and data["ch"] in self.names:
            self.check(*self.names[data["ch"]], message)
        elif kind == "HEARTBEAT":
            for channel in map(int, data["next_seq"]):
                if channel in self.names:
                    self.check(*self.names[channel], message)
        elif kind in ("SUBSCRIBED", "RESUMED", "MODIFIED", "SNAPSHOT", "REPLAYING", "END_OF_REPLAY"):
            if kind == "RESUMED":
                self.counts["forbidden cursors"] += [entry["code"] for entry in data["failed"]].count(103)
                assert not any("symbol" in entry for entry in data["failed"] if entry["code"] == 103), message
            for entry in data.get("ok", []) + data.get("gaps", []):
                if "ch" in entry:
                    self.names[entry["ch"]] = (entry["symbol"], entry["type"])
                    self.check(entry["symbol"], entry["type"], message)
        elif kind == "DEFINITION":
            for entry in data["channels"]:
                self.names[entry["ch"]] = (entry["symbol"], entry["type"])
                self.check(entry["symbol"], entry["type"], message)
        elif kind == "NOTICE" and data["event"] == "SUBSCRIPTIONS_DROPPED":
            self.counts["dropped"] += 1
        self.counts[kind] += 1
        return kind

    def read_until(self, *kinds):
        while self.on_message(self.next_message()) not in kinds:
            pass

    def read_some(self):
        """What is there within a moment, so that a token changes at any point of what is under way."""
        end = time.monotonic() + self.random.choice((0, 0.005, 0.02, 0.1))
        while time.monotonic() < end:
            try:
                self.on_message(self.next_message(max(0.001, end - time.monotonic())))
            except TimeoutError:
                return

    def names_of(self, choices):
        return {"symbols": self.random.sample(choices, self.random.randint(1, 3)),
                "data_types": self.random.sample(ALL_TYPES, self.random.randint(1, 3))}

    def variant(self):
        return self.random.choice(({}, {}, {"depth": 5}, {"bar": "1s"},
                                   {"delivery": {"mode": "conflated", "interval_ms": 100}}))

    def cursors(self):
        known = self.random.sample(sorted(self.newest), min(4, len(self.newest)))
        return {str(ch): max(0, self.newest[ch] - self.random.choice((0, 3, 200, 10000)))
                for ch in known}

    def step(self):
        verb = self.random.choice(("subscribe", "subscribe", "pattern", "since", "replay", "replay",
                                   "resume", "snapshot", "book", "modify", "unsubscribe", "drop", "heartbeat",
                                   "auth", "auth", "auth", "read", "read"))
        self.counts["said " + verb] += 1
        if verb == "subscribe":
            self.say("SUBSCRIBE", **self.names_of(SYMBOLS), **self.variant())
        elif verb == "pattern":
            self.say("SUBSCRIBE", **self.names_of(PATTERNS))
        elif verb == "since" and self.epoch:
            self.say("SUBSCRIBE", **self.names_of(SYMBOLS), since={"epoch": self.epoch, "seq": 1})
        elif verb == "replay":
            past = time.time_ns() - self.random.choice((10, 200, 2000)) * 10**6
            data = {**self.names_of(SYMBOLS), "from": past,
                    "speed": self.random.choice((0, 0.5, 1))}
            if self.random.random() < 0.3:
                data["to"] = past + 10**9
            self.say("REPLAY", **data)
        elif verb == "resume" and self.epoch and self.newest:
            self.say("RESUME", epoch=self.epoch, cursors=self.cursors())
        elif verb == "snapshot":
            self.say("SNAPSHOT", **self.names_of(SYMBOLS))
        elif verb == "book":
            for _ in range(self.random.randint(1, 3)):
                self.say("SNAPSHOT", symbols=[BIG, *self.random.sample(SYMBOLS, 1)], data_types=["depth"])
        elif verb == "modify":
            self.say("MODIFY", **self.names_of(SYMBOLS + PATTERNS), delivery={"on_lag": "skip"})
        elif verb == "unsubscribe":
            self.say("UNSUBSCRIBE", **self.names_of(SYMBOLS + PATTERNS))
        elif verb == "drop":
            self.say("UNSUBSCRIBE")
        elif verb == "heartbeat":
            self.say("HEARTBEAT")
        elif verb == "auth":
            scope = self.random.choice(SCOPES)
            self.asked.append(scope)
            self.say("AUTH", token=scope.token)
        elif verb == "read":
            self.read_some()

    def run(self):
        for _ in range(STEPS):
            self.step()
        self.asked.append(SCOPES[2])
        self.say("AUTH", token=SCOPES[2].token)
        while self.asked:
            self.read_until("AUTHENTICATED")
        self.say("REPLAY", symbols=["000001.SZ"], data_types=["quote"], **{"from": 10**15})
        self.say("PING")
        self.read_until("PONG")
        self.client.close()


class ScopeCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.tokens = pathlib.Path(directory.name) / "tokens.json"
        cls.tokens.write_text(json.dumps({"tokens": [scope.entry for scope in SCOPES]}))

    def server(self, *options):
        return Server("--enable-auth", "--tokens-file", self.tokens, *FEED, *options)


class Changes(ScopeCase):
    def run_viewers(self, *options):
        first = int(os.environ.get("RINGCAST_SEED", random.SystemRandom().randrange(1 << 32)))
        counts = collections.Counter()
        book = capture([*coinbase_pass(6000)[0], *[update(("buy", "1.00", str(i + 1))) for i in range(20)]], 0.02)
        self.addCleanup(book.close)
        options += ("--feed", f"replay:path={book.name},format=coinbase,loop=yes", "--compression-threshold", "100")
        with self.server(*options) as server:
            for seed in range(first, first + ROUNDS_MAX):
                if seed >= first + ROUNDS and all(counts[word] > 0 for word in WORDS):
                    break
                with self.subTest(RINGCAST_SEED=seed):
                    Viewer(server, seed, counts).run()
        for word in WORDS:
            self.assertGreater(counts[word], 0, f"{word} never happened: {counts}")

    def test_nothing_outside_the_scope_follows_a_change_of_it(self):
        self.run_viewers()

    def test_nor_when_the_log_is_short_and_two_cores_serve_it(self):
        self.run_viewers("--frame-log-bytes", "1m", "--cores", "2")


class Replays(ScopeCase):
    def replaying(self, server, symbols, types, **data):
        """A client with a replay under way that takes longer than the test needs."""
        client = RawClient(server.port, extra=f"Authorization: Bearer {SCOPES[0].token}\r\n")
        client.subscribe(["600519.SH"], ["quote"])
        for _ in range(20):
            client.next_message(("quote",))
        client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))
        began = client.ask({"type": "REPLAY", "data": {
            "symbols": symbols, "data_types": types, "from": time.time_ns() - 10**9,
            "speed": 0.001, **data}}, ("REPLAYING", "ERROR"))
        self.assertEqual(began["type"], "REPLAYING", began)
        self.assertEqual(len(began["data"]["ok"]), len(symbols) * len(types), began)
        return client

    def narrow(self, client, scope):
        client.ask({"type": "AUTH", "data": {"token": scope.token}}, ("AUTHENTICATED",))
        return client.next_message(("NOTICE",))["data"]["dropped"]

    def test_a_replay_outside_the_new_scope_ends(self):
        with self.server() as server, \
                self.replaying(server, ["600519.SH", "AAPL.US"], ["quote"]) as client:
            dropped = self.narrow(client, SCOPES[2])
            self.assertEqual({(entry["symbol"], entry["type"]) for entry in dropped},
                             {("600519.SH", "quote"), ("AAPL.US", "quote")})
            end = client.next_message()
            self.assertEqual(end["type"], "END_OF_REPLAY")
            self.assertEqual((end["data"]["ok"], end["data"]["gaps"]), ([], []))
            left = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS", *DATA_TYPES))
            self.assertEqual((left["type"], left["data"]["count"]), ("SUBSCRIPTIONS", 0))

    def test_of_a_replay_partly_outside_the_rest_goes_on(self):
        with self.server() as server, \
                self.replaying(server, ["600519.SH", "000001.SZ"], ["quote"],
                               speed=0.1) as client:
            dropped = self.narrow(client, SCOPES[2])
            self.assertEqual([entry["symbol"] for entry in dropped], ["600519.SH"])
            left = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))
            self.assertEqual(left["data"]["count"], 1)
            for _ in range(3):
                self.assertEqual(client.next_message(DATA_TYPES)["symbol"], "000001.SZ")


class Books(ScopeCase):
    """SNAPSHOT of a feed's book, which is answered later, and sent in parts."""
    def setUp(self):
        self.file = capture(coinbase_pass(20000)[0], 0.01)
        self.addCleanup(self.file.close)

    def server(self):
        return super().server("--feed", f"replay:path={self.file.name},format=coinbase,speed=0")

    def client(self, server):
        self.assertTrue(server.wait_for_line("after pass 1", 60))
        return RawClient(server.port, extra=f"Authorization: Bearer {SCOPES[0].token}\r\n", receive_buffer=4096,
                         timeout=30)

    def ask(self, client, id):
        client.send_text(json.dumps({"type": "SNAPSHOT", "id": id, "data": {
            "symbols": [BIG], "data_types": ["depth"]}}))

    def test_a_book_outside_the_new_scope_is_refused(self):
        with self.server() as server, self.client(server) as client:
            for i in range(10):  # The last ones cannot be made yet when the scope changes.
                self.ask(client, i)
            client.send_text(json.dumps({"type": "AUTH", "data": {"token": SCOPES[2].token}}))
            client.next_message(("AUTHENTICATED",))
            answer = client.next_message(("SNAPSHOT", "depth"))
            while answer.get("id") != 9:
                self.assertNotEqual(answer["type"], "depth")
                answer = client.next_message(("SNAPSHOT", "depth"))
            self.assertEqual((answer["data"]["ok"], [entry["code"] for entry in answer["data"]["failed"]]), ([], [103]))

    def test_of_a_book_whose_parts_end_the_client_learns(self):
        with self.server() as server, self.client(server) as client:
            self.ask(client, 1)
            answer, = client.next_message(("SNAPSHOT",))["data"]["ok"]
            client.send_text(json.dumps({"type": "AUTH", "data": {"token": SCOPES[2].token}}))
            parts = 0
            while (message := client.next_message())["type"] != "AUTHENTICATED":
                parts += message["type"] == "depth"
            self.assertLess(parts, answer["parts"])
            self.assertEqual(client.next_message(("NOTICE", "depth"))["data"]["dropped"],
                             [{"symbol": BIG, "type": "depth"}])
            client.send_text(json.dumps({"type": "AUTH", "data": {"token": SCOPES[0].token}}))
            client.send_text('{"type":"PING"}')
            self.assertEqual(client.next_message(("PONG", "depth"))["type"], "PONG")


if __name__ == "__main__":
    unittest.main()
