"""The client protocol, as real clients see it: Python websockets, raw sockets, a thousand at once."""
import asyncio
import hashlib
import json
import os
import pathlib
import re
import resource
import tempfile
import time
import unittest

import websockets

from clients import (ALL_TYPES, DATA_TYPES, CollectingClient, HealthyClient, RawClient, Tracker,
                     subscribe_message)
from server import Server, ServerTestCase, in_full, wait_until

SHORT_FORM = '{"type":"SUBSCRIBE","data":{"symbols":["000001.SZ"],"data_types":["quote"]}}'
KNOWN = ["000001.SZ", "600519.SH", "300750.SZ", "AAPL.US", "MSFT.US", "NVDA.US"]


class ProtocolTestCase(ServerTestCase):
    def client(self, **options):
        client = RawClient(self.server.port, **options)
        self.addCleanup(client.close)
        return client

    def assert_error(self, client, message, code, field=None):
        answer = client.ask(message, ("ERROR",))
        self.assertEqual(answer["data"]["code"], code, answer)
        self.assertTrue(answer["data"]["message"])
        self.assertIn("retry", answer["data"])
        if field is not None:
            self.assertEqual(answer["data"].get("field"), field)
        return answer


class RealClients(ProtocolTestCase):
    options = ("--feed", "sim:symbols=20,rate=1000,types=quote+trade+bar+depth")

    def test_the_short_form_works_byte_for_byte_with_python_websockets(self):
        async def follow(path):
            async with websockets.connect(self.server.url(path)) as client:
                await client.send(SHORT_FORM)
                quotes = []
                async for text in client:
                    message = json.loads(text)
                    self.assertNotIn("id", message)
                    if message["type"] == "SUBSCRIBED":
                        self.assertEqual(message["data"]["ok"][0]["symbol"], "000001.SZ")
                        self.assertEqual(message["data"]["failed"], [])
                    elif message["type"] == "quote":
                        quotes.append(message)
                        if len(quotes) == 5:
                            return quotes
        for path in ("/", "/ws", "/v1", "/ws?x=1"):
            with self.subTest(path):
                quotes = asyncio.run(asyncio.wait_for(follow(path), 30))
                self.assertEqual({quote["symbol"] for quote in quotes}, {"000001.SZ"})
                self.assertEqual([quote["seq"] for quote in quotes],
                                 list(range(quotes[0]["seq"], quotes[0]["seq"] + 5)))

    def test_the_subprotocol_is_chosen_when_it_is_offered(self):
        async def subprotocol(*offered):
            async with websockets.connect(self.server.url(),
                                          subprotocols=offered or None) as client:
                return client.subprotocol
        self.assertEqual(asyncio.run(subprotocol("md.json.v1")), "md.json.v1")
        self.assertEqual(asyncio.run(subprotocol("other", "md.json.v1")), "md.json.v1")
        self.assertIsNone(asyncio.run(subprotocol()))

    def test_the_client_library_measures_the_round_trip_and_closes_cleanly(self):
        async def follow():
            client = await websockets.connect(self.server.url())
            await client.send(subscribe_message(["*"], ["quote"]))
            reader = asyncio.ensure_future(self.drain(client))
            await asyncio.wait_for(await client.ping(), 10)
            await client.close(1000, "bye")
            await reader
            return client.close_code
        self.assertEqual(asyncio.run(follow()), 1000)

    @staticmethod
    async def drain(client):
        async for _ in client:
            pass

    def test_data_frames_have_the_agreed_shape(self):
        client = self.client()
        client.subscribe(["*"], ALL_TYPES)
        seen = {}
        while len(seen) < 4:
            before = time.time_ns()
            message = client.next_message(DATA_TYPES)
            kind = message["type"]
            if kind not in seen:
                seen[kind] = message
                self.assertEqual(list(message)[:4], ["type", "symbol", "ch", "seq"])
                self.assertGreaterEqual(message["seq"], 1)
                self.assertLessEqual(message["ts_event"], message["ts_pub"])
                self.assertLessEqual(message["ts_recv"], message["ts_pub"])
                self.assertLess(abs(before - message["ts_pub"]), 30 * 10**9)
        self.assertIn("last", seen["quote"]["data"])
        self.assertTrue({"price", "size"} <= seen["trade"]["data"].keys())
        self.assertTrue({"interval", "open", "high", "low", "close", "closed"}
                        <= seen["bar"]["data"].keys())
        self.assertIn(seen["depth"]["data"]["action"], ("snapshot", "delta"))
        self.assertTrue({"bids", "asks"} <= seen["depth"]["data"].keys())

    def test_many_clients_with_different_wishes_each_get_theirs(self):
        wishes = [(["*"], ["trade"]), (["*.SZ"], ["quote", "trade"]), (["AAPL.US"], ["bar"]),
                  (["*.US", "000001.SZ"], ["depth", "quote"]), (["6*.SH", "3*"], ["quote"])]
        clients = [(self.client(), wish, Tracker()) for wish in wishes * 4]
        for client, (symbols, types), _ in clients:
            client.send_text(subscribe_message(symbols, types))
        for client, (symbols, types), tracker in clients:
            while tracker.frames < 30:
                message = client.next_message(DATA_TYPES, tracker=tracker)
                self.assertIn(message["type"], types)
                patterns = [pattern.split("*", 1) for pattern in symbols if "*" in pattern]
                self.assertTrue(message["symbol"] in symbols or any(
                    message["symbol"].startswith(head) and message["symbol"].endswith(tail)
                    for head, tail in patterns), message["symbol"])
            self.assertEqual(tracker.faults + tracker.gaps, [])


class Requests(ProtocolTestCase):
    def test_the_welcome_comes_first_and_tells_the_limits(self):
        client = self.client()
        opcode, payload = client.next_frame()
        welcome = json.loads(payload)
        self.assertEqual(welcome["type"], "WELCOME")
        data = welcome["data"]
        self.assertLess(abs(welcome["ts"] - time.time_ns()), 30 * 10**9)
        self.assertTrue(data["session"])
        self.assertEqual(data["epoch"], self.server.stats()["epoch"])
        self.assertIn("md.json.v1", data["encodings"])
        self.assertEqual(data["limits"]["max_message_bytes"], 16384)
        self.assertEqual(data["limits"]["max_subscriptions"], 100)
        self.assertEqual(data["limits"]["max_symbols_per_message"], 1000)
        self.assertEqual(data["heartbeat_interval_ms"], 30000)
        other = self.client()
        self.assertNotEqual(other.next_message(("WELCOME",))["data"]["session"], data["session"])

    def test_ids_are_echoed_whatever_they_are(self):
        client = self.client()
        for given in (0, 7, -1, 2**53, 2**64 - 1, 1.5, "", "a b", 'quote " and \\', "€", "x" * 64):
            for kind, answer in (("PING", "PONG"), ("LIST", "SUBSCRIPTIONS"),
                                 ("NONSENSE", "ERROR")):
                got = client.ask({"type": kind, "id": given}, (answer,))
                self.assertEqual(got["id"], given)
        for given in ([], {}, True, "x" * 65):
            self.assert_error(client, {"type": "PING", "id": given}, 107, "id")
        self.assertNotIn("id", client.ask({"type": "PING"}, ("PONG",)))
        self.assertNotIn("id", client.ask({"type": "PING", "id": None}, ("PONG",)))

    def test_an_id_and_t0_come_back_character_by_character(self):
        client = self.client()
        client.next_message(("WELCOME",))
        for text in ("0.1", "1E5", "1.50", "-0", "1e400", "-1e-400", "18446744073709551615",
                     '"\\u0041\\/"'):
            client.send_text('{"type":"PING","id":%s,"data":{"t0":%s}}' % (text, text))
            pong = client.next_frame()[1].decode()
            self.assertRegex(pong, r'"id":%s,' % re.escape(text))
            self.assertRegex(pong, r'"t0":%s,' % re.escape(text))
            # With a number that nobody uses, another that is used, a fault behind the id.
            for message, code, field in (
                    ('{"id":%s,"x":[1e999,-99999999999999999999],"type":"NO"}', 104, "type"),
                    ('{"id":%s,"type":"SUBSCRIBE","data":{"symbols":1e999}}', 107, "data.symbols"),
                    ('{"id":%s,"type":"LIST","type":"LIST"}', 107, None),
                    ('{"id":%s,"type":"LIST",', 107, None)):
                client.send_text(message % text)
                error = client.next_frame()[1].decode()
                self.assertRegex(error, r'^{"type":"ERROR","id":%s,' % re.escape(text))
                data = json.loads(error)["data"]
                self.assertEqual((data["code"], data.get("field")), (code, field))

    def test_types_in_any_case_and_unknown_keys_are_understood(self):
        client = self.client()
        client.ask('{"type":"ping","extra":{"deep":[1,2]}}', ("PONG",))
        answer = client.ask('{"type":"Subscribe","data":{"symbols":["AAPL.US"],'
                            '"data_types":["Quote","TRADE"],"colour":"blue"}}', ("SUBSCRIBED",))
        self.assertEqual([item["type"] for item in answer["data"]["ok"]], ["quote", "trade"])

    def test_every_answer_warns_of_keys_that_the_message_does_not_use(self):
        client = self.client()
        names = {"symbols": ["AAPL.US"], "data_types": ["quote"]}
        for kind, answer, data in (
                ("SUBSCRIBE", "SUBSCRIBED", names), ("MODIFY", "MODIFIED", {
                    **names, "delivery": {"max_lag_ms": 1}}),
                ("LIST", "SUBSCRIPTIONS", {}), ("SNAPSHOT", "SNAPSHOT", names),
                ("SNAPSHOT", "SNAPSHOT", {**names, "data_types": ["depth"]}),
                ("RESUME", "RESUMED", {"epoch": "e", "cursors": {"60000": 1}}),
                ("REPLAY", "REPLAYING", {**names, "symbols": "XXXX", "from": 1}),
                ("UNSUBSCRIBE", "UNSUBSCRIBED", names), ("PING", "PONG", {"t0": 1}),
                ("STATUS", "STATUS", {}), ("HEARTBEAT", "HEARTBEAT", {}),
                ("AUTH", "ERROR", {"token": "x"}), ("SUBSCRIBE", "ERROR", {}),
                ("NONSENSE", "ERROR", None)):
            with self.subTest(kind):
                message = {"type": kind, "data": {**data, "x x": 1} if data is not None else None,
                           "typ": 1}
                who = kind if kind != "NONSENSE" else "the server"
                warnings = client.ask(message, (answer,))["data"]["warnings"]
                self.assertEqual(warnings, [
                    {"field": "typ", "message": f"{who} does not use it; did you mean type?"},
                    {"field": "data.x x", "message": f"{who} does not use it"}][:1 + (data is not None)])
                again = client.ask({"type": kind, "data": data}, (answer,))
                self.assertNotIn("warnings", again["data"])
        self.assertNotIn("warnings", client.subscribe(["MSFT.US"], ["quote"])["data"])

    def test_ping_echoes_t0_and_tells_when_it_came_and_left(self):
        client = self.client()
        for t0 in (1, 1732078800123456789, "mine", 1.5):
            before = time.time_ns()
            data = client.ask({"type": "PING", "data": {"t0": t0}}, ("PONG",))["data"]
            self.assertEqual(data["t0"], t0)
            self.assertLessEqual(data["t1"], data["t2"])
            self.assertLess(abs(data["t1"] - before), 30 * 10**9)
        self.assertNotIn("t0", client.ask({"type": "PING"}, ("PONG",))["data"])

    def test_each_symbol_and_type_has_a_verdict(self):
        client = self.client()
        answer = client.subscribe(["AAPL.US", "XXXX", "MSFT.US"], ["quote", "trade", "status"], id=3)
        self.assertEqual(answer["id"], 3)
        data = answer["data"]
        self.assertEqual(data["epoch"], self.server.stats()["epoch"])
        self.assertEqual({(item["symbol"], item["type"]) for item in data["ok"]},
                         {(symbol, kind) for symbol in ("AAPL.US", "MSFT.US")
                          for kind in ("quote", "trade")})
        self.assertEqual(len({item["ch"] for item in data["ok"]}), 4)
        for item in data["ok"]:
            self.assertGreaterEqual(item["next_seq"], 1)
        self.assertEqual({item["symbol"] for item in data["failed"]},
                         {"XXXX", "AAPL.US", "MSFT.US"})
        for item in data["failed"]:
            self.assertEqual((item["code"], item["retry"]), (120, True))
            self.assertEqual(item["message"], "unknown symbol" if item["symbol"] == "XXXX" else
                             "this symbol has no status so far; it has: quote, trade, bar, depth")

    def test_next_seq_is_the_very_next_frame_after_the_newest_one(self):
        client = self.client()
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] > 200))
        for kind, snapshot in (("quote", True), ("trade", True), ("quote", False)):
            symbol = "NVDA.US" if snapshot else "MSFT.US"
            verdict = client.subscribe([symbol], [kind], snapshot=snapshot,
                                       delivery={"on_lag": "skip"})["data"]["ok"][0]
            first = client.next_message((kind,))
            while first["ch"] != verdict["ch"]:
                first = client.next_message((kind,))
            due = verdict["next_seq"] - (kind == "quote" and snapshot)
            self.assertEqual(first["seq"], due, (kind, snapshot))
            client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))

    def test_unsubscribe_stops_exactly_what_it_names(self):
        client = self.client()
        client.subscribe(["AAPL.US", "MSFT.US"], ["quote", "trade"])
        answer = client.ask({"type": "UNSUBSCRIBE", "id": "u", "data": {
            "symbols": ["AAPL.US", "XXXX"], "data_types": ["quote"]}}, ("UNSUBSCRIBED",))
        self.assertEqual(answer["id"], "u")
        self.assertEqual([(item["symbol"], item["type"]) for item in answer["data"]["ok"]],
                         [("AAPL.US", "quote")])
        self.assertEqual([item["symbol"] for item in answer["data"]["failed"]], ["XXXX"])
        for _ in range(24):
            message = client.next_message(DATA_TYPES)
            self.assertNotEqual((message["symbol"], message["type"]), ("AAPL.US", "quote"))
        answer = client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))
        self.assertEqual(len(answer["data"]["ok"]), 3)
        self.assertEqual(client.next_message(timeout=20)["type"], "HEARTBEAT")
        answer = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))
        self.assertEqual((answer["data"]["subscriptions"], answer["data"]["count"]), ([], 0))

    def test_subscribing_again_after_unsubscribing_goes_on(self):
        client = self.client()
        last = 0
        for _ in range(20):
            channel = client.subscribe(["AAPL.US"], ["trade"])["data"]["ok"][0]["ch"]
            message = client.next_message(("trade",))
            self.assertEqual(message["ch"], channel)
            self.assertGreater(message["seq"], last)
            last = message["seq"]
            client.ask({"type": "UNSUBSCRIBE", "data": {
                "symbols": ["AAPL.US"], "data_types": ["trade"]}}, ("UNSUBSCRIBED",))

    def test_list_tells_what_is_subscribed(self):
        client = self.client()
        client.subscribe(["AAPL.US", "*.SZ"], ["quote"])
        client.subscribe(["*"], ["trade"], delivery={"on_lag": "disconnect"})
        answer = client.ask({"type": "LIST", "id": 1}, ("SUBSCRIPTIONS",))
        data = answer["data"]
        self.assertEqual({(item["symbol"], item["type"], item["on_lag"])
                          for item in data["subscriptions"]},
                         {("AAPL.US", "quote", "conflate"), ("*.SZ", "quote", "conflate"),
                          ("*", "trade", "disconnect")})
        self.assertEqual((data["count"], data["limit"]), (3, 100))

    def test_patterns_cover_each_matching_channel_once(self):
        client = self.client()
        tracker = Tracker()
        answer = client.subscribe(["*.SZ", "6*.SH", "*", "000001.SZ", "*0*1*S*"], ["quote"])
        self.assertEqual(answer["data"]["failed"], [])
        counts = {item["symbol"]: item.get("channels") for item in answer["data"]["ok"]}
        self.assertEqual(counts, {"*.SZ": 2, "6*.SH": 1, "*": 20, "000001.SZ": None,
                                  "*0*1*S*": counts["*0*1*S*"]})
        self.assertGreaterEqual(counts["*0*1*S*"], 1)
        while tracker.frames < 100:
            client.next_message(("quote",), tracker=tracker)
        self.assertEqual(tracker.faults, [])
        self.assertEqual(len(tracker.names), 20)
        # Each is removed by its own text; what another still covers goes on without a hole.
        for symbol in ("*", "000001.SZ", "*0*1*S*"):
            client.send_text(json.dumps({"type": "UNSUBSCRIBE", "data": {
                "symbols": [symbol], "data_types": ["quote"]}}))
            client.next_message(("UNSUBSCRIBED",), tracker=tracker)
        for _ in range(20):
            message = client.next_message(("quote",), tracker=tracker)
            self.assertRegex(message["symbol"], r"\.SZ$|^6.*\.SH$")
        self.assertEqual(tracker.faults, [])

    def test_a_pattern_counts_as_one_subscription(self):
        client = self.client()
        symbols = [f"*{i}*" for i in range(99)]
        answer = client.subscribe(symbols + ["*"], ["quote"])
        self.assertEqual(len(answer["data"]["ok"]), 100)
        answer = client.subscribe(["AAPL.US", "*9"], ["trade"])
        self.assertEqual([item["code"] for item in answer["data"]["failed"]], [122, 122])

    def test_over_the_limit_of_subscriptions_each_one_more_is_122_and_the_rest_stays(self):
        client = self.client()
        symbols = KNOWN + [f"SIM{i:05}.SIM" for i in range(6, 20)]
        client.subscribe(symbols, ALL_TYPES)  # 80
        answer = client.subscribe(["*", "*.SZ", "*.SH", "*.US", "*.SIM", "A*"], ALL_TYPES)
        self.assertEqual(len(answer["data"]["ok"]), 20)
        self.assertEqual({item["code"] for item in answer["data"]["failed"]}, {122})
        self.assertEqual(len(answer["data"]["failed"]), 4)
        again = client.subscribe(symbols, ALL_TYPES)
        self.assertEqual(len(again["data"]["ok"]), 80, "what it has is still no error")
        client.ask({"type": "UNSUBSCRIBE", "data": {"symbols": ["A*"], "data_types": ["quote"]}},
                   ("UNSUBSCRIBED",))
        client.ask({"type": "UNSUBSCRIBE", "data": {"symbols": ["*"], "data_types": ["quote"]}},
                   ("UNSUBSCRIBED",))
        answer = client.subscribe(["AA*"], ["quote"])
        self.assertEqual(len(answer["data"]["ok"]), 1, "a place that was given back")

    def test_on_lag_conflate_is_refused_for_trades_and_books(self):
        client = self.client()
        answer = client.subscribe(["AAPL.US"], ALL_TYPES, delivery={"on_lag": "conflate"})["data"]
        self.assertEqual({item["type"] for item in answer["ok"]}, {"quote", "bar"})
        self.assertEqual({(item["type"], item["code"]) for item in answer["failed"]},
                         {("trade", 123), ("depth", 123)})
        answer = client.subscribe(["*"], ALL_TYPES, delivery={"on_lag": "skip"})["data"]
        self.assertEqual(len(answer["ok"]), 4)
        answer = client.subscribe(["AAPL.US"], ["trade"], delivery={"on_lag": "disconnect"})
        self.assertEqual(len(answer["data"]["ok"]), 1)

    def test_errors_name_the_field_and_what_is_valid(self):
        client = self.client()

        def subscribe(**data):
            return {"type": "SUBSCRIBE", "data": data}
        names = {"symbols": ["AAPL.US"], "data_types": ["quote"]}
        for message, code, field in (
                ({"type": "FLY"}, 104, "type"), ({"data": {}}, 107, "type"),
                (subscribe(data_types=["quote"]), 107, "data.symbols"),
                (subscribe(symbols=["AAPL.US"]), 107, "data.data_types"),
                (subscribe(symbols=["AAPL.US", 7], data_types=["quote"]), 107, "data.symbols[1]"),
                (subscribe(symbols=[], data_types=["quote"]), 107, "data.symbols"),
                (subscribe(symbols=["AAPL.US"], data_types=["quote", "tick"]), 121,
                 "data.data_types[1]"),
                (subscribe(**names, snapshot="yes"), 107, "data.snapshot"),
                (subscribe(**names, delivery={"on_lag": "panic"}), 107, "data.delivery.on_lag"),
                (subscribe(**names, delivery=7), 107, "data.delivery"),
                (subscribe(**names, depth=5), 107, "data.depth"),
                (subscribe(**names, bar="1m"), 107, "data.bar"),
                (subscribe(**names, since={"epoch": "x"}), 107, "data.since.seq"),
                (subscribe(**names, since=1), 107, "data.since"),
                ({"type": "REPLAY"}, 107, "data"), ({"type": "RESUME"}, 107, "data.cursors")):
            with self.subTest(message=message):
                self.assert_error(client, {**message, "id": 4}, code, field)
        client.ask({"type": "PING"}, ("PONG",))

    def test_bad_symbols_are_refused_one_by_one(self):
        client = self.client()
        symbols = ["", "x" * 33, "*" * 5, "x" * 40 + "*", "AAPL.US", "€" * 10]
        data = client.subscribe(symbols, ["quote"])["data"]
        self.assertEqual([item["symbol"] for item in data["ok"]], ["AAPL.US"])
        self.assertEqual([(item["symbol"], item["code"]) for item in data["failed"]],
                         [("", 107), ("x" * 33, 107), ("*" * 5, 107), ("x" * 40 + "*", 107),
                          ("€" * 10, 120)])


class Quiet(ProtocolTestCase):
    """A slow feed: nearly all the time nothing comes."""
    options = ("--feed", "sim:symbols=2,rate=1,types=quote")

    def test_a_quiet_client_gets_a_heartbeat_each_second_or_so(self):
        begin = time.monotonic()
        client = self.client(timeout=20)
        client.next_message(("WELCOME",))
        for _ in range(3):
            beat = client.next_message(("HEARTBEAT",))
            self.assertEqual(beat["data"]["next_seq"], {})
            self.assertEqual((beat["data"]["sent"], beat["data"]["lost"]), (0, 0))
        self.assertGreater(time.monotonic() - begin, 2)
        self.assertLess(time.monotonic() - begin, 30)

    def test_a_heartbeat_tells_the_next_seq_of_silent_channels(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "ticks.csv")
            path.write_text("symbol,ts_ns,price,size\n" + "".join(
                f"A.B,{10**18 + i},1.5,2\n" for i in range(7)))
            with Server("--feed", f"replay:path={path}") as server:
                self.assertIsNotNone(server.wait_for_line("after pass 1"))
                with RawClient(server.port) as client:
                    channel = client.subscribe(["A.B"], ["trade"])["data"]["ok"][0]
                    self.assertEqual(channel["next_seq"], 8)
                    beat = client.next_message(("HEARTBEAT",))
                    self.assertEqual(beat["data"]["next_seq"], {str(channel["ch"]): 8})

    def test_the_newest_quote_comes_at_once_for_a_new_subscriber(self):
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] >= 4, 20))
        old = 0
        for symbols in (["000001.SZ"], ["*"], ["*.SZ"]):
            client = self.client()
            answer = client.subscribe(symbols, ["quote"])
            first = client.next_message(("quote",))
            self.assertGreaterEqual(first["seq"], 1)
            old += first["ts_pub"] < answer["ts"]
            due = {first["ch"]: first["seq"] + 1}
            while len(due) < (2 if symbols == ["*"] else 1):
                message = client.next_message(("quote",))
                due[message["ch"]] = message["seq"] + 1
            following = client.next_message(("quote",))
            self.assertEqual(following["seq"], due[following["ch"]])
        # All three are from before, unless a newer one came in just that moment.
        self.assertGreaterEqual(old, 1)

    def test_without_snapshot_only_new_frames_come(self):
        client = self.client()
        answer = client.subscribe(["*"], ["quote"], snapshot=False)
        first = client.next_message(("quote",))
        self.assertGreaterEqual(first["ts_pub"], answer["ts"])


class NewestFrames(unittest.TestCase):
    def test_newest_bars_and_quotes_come_even_when_the_log_has_long_passed_them(self):
        """One quote and one bar at the beginning, then many times the log of other frames."""
        lines = ["wss://stream.binance.com:9443/stream <-> 1.0\n"]

        def add(second, stream, data):
            lines.append(f"{second}: {json.dumps({'stream': stream, 'data': data})}\n")
        add(1.0, "old@bookTicker", {"u": 1, "s": "OLD", "b": "1.10", "B": "2.20", "a": "1.20",
                                    "A": "3.30"})
        add(1.0, "old@kline_1m", {"e": "kline", "E": 1633998512068, "s": "OLD", "k": {
            "t": 1633998480000, "i": "1m", "o": "1.0", "h": "2.0", "l": "0.5", "c": "1.5",
            "v": "10", "q": "15", "n": 3, "x": True}})
        for i in range(30000):
            add(1.1, "new@aggTrade", {"e": "aggTrade", "E": 1633998512068, "s": "NEW", "a": i,
                                      "p": "1.5", "q": "1", "T": 1633998512068, "m": False})
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "binance.ws.log")
            path.write_text("".join(lines))
            with Server("--frame-log-bytes", "1m", "--feed",
                        f"replay:path={path},speed=0") as server:
                self.assertIsNotNone(server.wait_for_line("after pass 1", 30))
                for symbols in (["OLD.BINANCE"], ["*"], ["OLD*"]):
                    with RawClient(server.port) as client:
                        client.subscribe(symbols, ["quote", "bar"])
                        seen = {}
                        while len(seen) < 2:
                            message = client.next_message(("quote", "bar"))
                            seen[message["type"]] = message
                        self.assertEqual(seen["quote"]["data"]["bids"], [[1.1, 2.2]])
                        self.assertEqual(seen["bar"]["data"]["close"], 1.5)
                        self.assertIs(seen["bar"]["data"]["closed"], True)
                with RawClient(server.port) as client:
                    verdict = client.subscribe(["NEW.BINANCE"], ["trade"])["data"]["ok"][0]
                    self.assertEqual(verdict["next_seq"], 30001)


class LateChannels(unittest.TestCase):
    def test_patterns_cover_channels_that_appear_later_from_their_first_frame_on(self):
        def rounds(begin, end):
            for step in range(begin, end):
                for symbol in range(step // 10 + 1):  # a new symbol every ten steps
                    yield (f'{100 + step / 10:.1f}: {{"type":"match","trade_id":{step},"side":'
                           f'"buy","size":"1","price":"2","product_id":"S{symbol}-X","time":'
                           f'"2021-04-17T16:43:37.0Z"}}\n')
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "coinbase.ws.log")
            os.mkfifo(path)
            feed = open(os.open(path, os.O_RDWR), "w", encoding="ascii")
            with feed, Server("--feed", f"replay:path={path}") as server:
                print("wss://ws-feed.pro.coinbase.com <-> 1.0", file=feed)
                feed.writelines(rounds(0, 30))
                feed.flush()
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == 60, 20))
                clients = {}
                for text in ("*", "*.COINBASE", "S*"):
                    client = clients[text] = RawClient(server.port)
                    data = client.subscribe([text], ["trade"])["data"]
                    self.assertEqual(data["ok"][0]["channels"], 3)
                exact = RawClient(server.port)
                data = exact.subscribe(["S5-X.COINBASE"], ["trade"])["data"]
                self.assertEqual([(item["code"], item["retry"]) for item in data["failed"]],
                                 [(120, True)])
                feed.writelines(rounds(30, 60))
                feed.flush()
                for text, client in clients.items():
                    tracker = Tracker()
                    while tracker.next_seq.get(0, 0) < 61 or len(tracker.next_seq) < 6:
                        client.next_message(tracker=tracker)
                    self.assertEqual(tracker.faults + tracker.gaps, [], text)
                    first = {tracker.names[channel][0]: seq
                             for channel, seq in tracker.first_seq.items()}
                    self.assertEqual([first[f"S{i}-X.COINBASE"] for i in range(3, 6)], [1, 1, 1])
                    client.close()
                data = exact.subscribe(["S5-X.COINBASE"], ["trade"])["data"]
                self.assertEqual(len(data["ok"]), 1, "now it is known")
                exact.close()


class AThousandClients(unittest.TestCase):
    COUNT = 1000

    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3 * cls.COUNT:
            raise unittest.SkipTest(f"SKIPPED: the limit of open files is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def follow(self, *options):
        with Server("--max-connections", "1100", "--feed", "sim:symbols=10,rate=5,types=quote+trade",
                    *options) as server:
            clients = asyncio.run(self.follow_all(server))
            stats = server.stats()
            self.assertEqual(stats["message_queue"]["frames_lost"], 0)
            self.assertGreaterEqual(stats["connections"]["accepted"], self.COUNT)
        # The frames between what the last one got first and the first one got last.
        keys = {}
        sequences = []
        for client in clients:
            mine = {}
            for payload in client.frames:
                key = keys.get(payload)
                if key is None:
                    message = json.loads(payload)
                    key = keys[payload] = ((message["ch"], message["seq"])
                                           if message["type"] in DATA_TYPES else ())
                if key:
                    self.assertNotIn(key, mine)
                    mine[key] = payload
            sequences.append(mine)
        common = set.intersection(*(set(mine) for mine in sequences))
        self.assertGreater(len(common), 15)
        for channel in {channel for channel, _ in common}:
            seqs = sorted(seq for number, seq in common if number == channel)
            self.assertEqual(seqs, list(range(seqs[0], seqs[-1] + 1)))
        digests = {hashlib.sha256(b"".join(mine[key] for key in sorted(common))).hexdigest()
                   for mine in sequences}
        self.assertEqual(len(digests), 1)

    async def follow_all(self, server):
        subscription = subscribe_message(["*"], ["quote", "trade"])
        clients = []
        for _ in range(self.COUNT // 50):
            clients += await asyncio.gather(*(
                CollectingClient.connect(server.port, subscription) for _ in range(50)))
        deadline = time.monotonic() + 60
        while not all(client.frames for client in clients) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        self.assertTrue(all(client.upgraded for client in clients))
        active = await asyncio.get_running_loop().run_in_executor(None, server.stats)
        self.assertEqual(active["connections"]["active_connections"], self.COUNT)
        goal = 20 + max(len(client.frames) for client in clients)
        while min(len(client.frames) for client in clients) < goal:
            await asyncio.sleep(0.1)
            self.assertLess(time.monotonic(), deadline + 60)
        self.assertFalse(any(client.closed for client in clients))
        for client in clients:
            client.transport.abort()
        return clients

    @in_full
    def test_a_thousand_clients_at_once_all_get_the_same_bytes(self):
        self.follow()

    def test_a_thousand_clients_on_two_cores_all_get_the_same_bytes(self):
        self.follow("--cores", "2")


if __name__ == "__main__":
    unittest.main()
