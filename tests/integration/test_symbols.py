"""SYMBOLS and GET /symbols: what there is to subscribe to, page by page."""
import json
import tempfile
import unittest
import urllib.parse

from clients import RawClient
from server import Server, ServerTestCase, wait_until

FEED = ("--feed", "sim:symbols=50,rate=2000,types=quote+trade+depth")
TOKEN = "desk-token-0123456789abcdef"


def ask(client, **data):
    return client.ask({"type": "SYMBOLS", "data": data}, ("SYMBOLS",))["data"]


def pages_of(read, **query):
    """All pages, by their next."""
    after = None
    while True:
        page = read(**query, **({} if after is None else {"after": after}))
        yield page
        after = page.get("next")
        if after is None:
            return


def subscribe_of(symbol, entry, variants):
    """The SUBSCRIBE that an entry of types says, with all of its settings."""
    data = {"symbols": [symbol], "data_types": [entry["type"]], "snapshot": False}
    for setting in entry["variants"]:
        value = variants[setting][0]
        if setting == "interval_ms":
            data["delivery"] = {"mode": "conflated", "interval_ms": value}
        else:
            data[setting] = value
    return {"type": "SUBSCRIBE", "data": data}


class Symbols(ServerTestCase):
    options = FEED

    def setUp(self):
        super().setUp()
        self.server.wait_for_ticks(300)  # Each channel has had a frame.
        self.client = RawClient(self.server.port)
        self.addCleanup(self.client.close)
        self.client.next_message(("WELCOME",))

    def admin(self, **query):
        status, headers, body = self.server.admin("/symbols?" + urllib.parse.urlencode(query))
        self.assertEqual(status, 200, body)
        self.assertIn("application/json", headers["Content-Type"])
        return json.loads(body)

    def test_pages_have_every_symbol_once_in_byte_order(self):
        for read in (lambda **data: ask(self.client, **data), self.admin):
            pages = list(pages_of(read, limit=7))
            symbols = [entry["symbol"] for page in pages for entry in page["symbols"]]
            self.assertEqual(len(symbols), 50)
            self.assertEqual(symbols, sorted(set(symbols), key=str.encode))
            self.assertEqual([len(page["symbols"]) for page in pages], [7] * 7 + [1])
            wanted = [symbol for symbol in symbols if symbol.endswith(".SZ")]
            found = [entry["symbol"] for page in pages_of(read, pattern="*.SZ", limit=1)
                     for entry in page["symbols"]]
            self.assertEqual(found, wanted)

    def test_an_entry_is_what_subscribe_takes_and_returns(self):
        page = ask(self.client, limit=2)
        for listed in page["symbols"]:
            self.assertEqual([entry["type"] for entry in listed["types"]],
                             ["quote", "trade", "bar", "depth"])
            for entry in listed["types"]:
                if "ch" in entry:
                    answer = self.client.ask(subscribe_of(listed["symbol"], {**entry, "variants": []}, {}),
                                             ("SUBSCRIBED",))["data"]
                    self.assertEqual([ok["ch"] for ok in answer["ok"]], [entry["ch"]])
                    self.assertGreaterEqual(answer["ok"][0]["next_seq"], entry["seq"] + 1)
                if entry["variants"]:
                    answer = self.client.ask(subscribe_of(listed["symbol"], entry, page["variants"]),
                                             ("SUBSCRIBED",))["data"]
                    self.assertEqual(answer["failed"], [])
                    self.assertNotEqual(answer["ok"][0]["ch"], entry.get("ch"))

    def test_seq_time_and_rate_are_those_of_the_frames(self):
        subscribed = self.client.subscribe(["AAPL.US"], ["quote"], on_lag="skip")
        channel = subscribed["data"]["ok"][0]["ch"]

        def rate():
            entry = ask(self.client, pattern="AAPL.US")["symbols"][0]["types"][0]
            self.assertEqual((entry["type"], entry["ch"]), ("quote", channel))
            return entry["rate"]
        # 2000 a second are spread over 150 channels.
        self.assertTrue(wait_until(lambda: (rate() or 0) > 0))
        entry, frames = None, {}
        while entry is None or entry["seq"] not in frames:
            if entry is None or max(frames, default=0) > entry["seq"]:  # It came before this loop.
                self.client.send_text(json.dumps({"type": "SYMBOLS", "data": {"pattern": "AAPL.US"}}))
                entry = {"seq": float("inf")}
            message = self.client.next_message(("quote", "SYMBOLS"))
            if message["type"] == "SYMBOLS":
                entry = message["data"]["symbols"][0]["types"][0]
            else:
                frames[message["seq"]] = message["ts_pub"]
        self.assertEqual(frames[entry["seq"]], entry["ts"])

    def test_the_admin_port_answers_the_same(self):
        ours, theirs = ask(self.client, pattern="6*", limit=3), self.admin(pattern="6*", limit=3)
        for page in (ours, theirs):
            for entry in page["symbols"]:
                for kind in entry["types"]:
                    for key in ("seq", "ts", "rate"):
                        kind.pop(key, None)
        self.assertEqual(ours, theirs)

    def test_wrong_parameters_are_400_with_a_reason(self):
        for query, word in (("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"),
                            ("limit=", "limit"), ("limit=1.5", "limit"), ("limit=99999999999999999999", "limit"),
                            ("pattern=", "pattern"), ("pattern=*****", "pattern"), ("pattern=a%00b", "pattern"),
                            ("pattern=" + "x" * 33, "pattern"), ("after=" + "x" * 33, "after"),
                            ("patern=x", "nothing else"), ("limit=1&limit=2", "limit")):
            status, _, body = self.server.admin("/symbols?" + query)
            self.assertEqual(status, 400, (query, body))
            self.assertIn(word, json.loads(body)["error"])


class Scopes(unittest.TestCase):
    def test_a_token_sees_what_it_opens(self):
        with tempfile.NamedTemporaryFile("w", prefix="ringcast-") as tokens:
            json.dump({"tokens": [{"name": "desk", "token": TOKEN, "symbols": ["A*", "*.SH"],
                                   "types": ["trade", "bar"]}]}, tokens)
            tokens.flush()
            with Server(*FEED, "--enable-auth", "--tokens-file", tokens.name) as server, \
                    RawClient(server.port) as client:
                client.next_message(("WELCOME",))
                client.send_text('{"type":"SYMBOLS"}')
                self.assertEqual(client.next_message(("ERROR",))["data"]["code"], 101)
                client.ask({"type": "AUTH", "data": {"token": TOKEN}}, ("AUTHENTICATED",))
                entries = [entry for page in pages_of(lambda **data: ask(client, **data), limit=1)
                           for entry in page["symbols"]]
                self.assertEqual([entry["symbol"] for entry in entries], ["600519.SH", "AAPL.US"])
                for entry in entries:
                    self.assertEqual([kind["type"] for kind in entry["types"]], ["trade", "bar"])


if __name__ == "__main__":
    unittest.main()
