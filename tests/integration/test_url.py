"""Subscribing by URL: names in the path and the query, without a message of the client."""
import asyncio
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.parse

import websockets

from clients import BINARY, TEXT, HealthyClient, RawClient, frame, request, subscribe_message
from server import Server, ServerTestCase
from test_access import TRUST, proxy_v2
from test_jwt_keys import PEM, sign, token
from test_signatures import bearer, wrong_token

FEED = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")


class UrlTestCase(ServerTestCase):
    def client(self, path, extra="", address=None):
        client = RawClient(address or self.server.port, path=path, extra=extra)
        self.addCleanup(client.close)
        return client

    def opened(self, path, **options):
        """The second message; the first is WELCOME."""
        client = self.client(path, **options)
        self.assertEqual(client.next_message()["type"], "WELCOME")
        return client, client.next_message()

    def subscribed(self, path, **options):
        client, answer = self.opened(path, **options)
        self.assertEqual(answer["type"], "SUBSCRIBED", answer)
        self.assertNotIn("id", answer)
        return client, answer["data"]

    def names(self, entries):
        return [tuple(entry[key] for key in ("symbol", "type", "depth", "bar", "interval_ms") if key in entry)
                for entry in entries]


class Urls(UrlTestCase):
    options = FEED

    def test_frames_come_without_a_message_to_python_websockets(self):
        async def follow():
            async with websockets.connect(self.server.url("/ws/000001.SZ@quote/AAPL.US@trade")) as client:
                self.assertEqual(json.loads(await client.recv())["type"], "WELCOME")
                answer = json.loads(await client.recv())
                self.assertEqual(answer["type"], "SUBSCRIBED")
                ok = {entry["ch"]: entry for entry in answer["data"]["ok"]}
                self.assertEqual(self.names(ok.values()), [("000001.SZ", "quote"), ("AAPL.US", "trade")])
                seqs = {ch: [] for ch in ok}
                while min(map(len, seqs.values())) < 3:
                    tick = json.loads(await client.recv())
                    if "seq" in tick:
                        seqs[tick["ch"]].append(tick["seq"])
                for ch, entry in ok.items():
                    begin = seqs[ch][0]
                    self.assertIn(entry["next_seq"] - begin, (0, 1))  # A quote of before comes first.
                    self.assertEqual(seqs[ch], list(range(begin, begin + len(seqs[ch]))))
        asyncio.run(asyncio.wait_for(follow(), 30))

    def test_curl_prints_what_it_subscribes(self):
        curl = shutil.which("curl")
        if curl is None:
            self.skipTest("no curl")
        url = self.server.http("/ws/000001.SZ@quote")
        done = subprocess.Popen([curl, "--silent", "--no-buffer", "--http1.1", "--max-time", "20", "-H",
                                 "Connection: Upgrade", "-H", "Upgrade: websocket", "-H",
                                 "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                 url], stdout=subprocess.PIPE)
        self.addCleanup(done.wait)
        self.addCleanup(done.kill)
        said = b""
        while b'"type":"quote"' not in said:
            piece = done.stdout.read1(65536)
            self.assertTrue(piece, said)
            said += piece
        done.stdout.close()
        self.assertLess(said.index(b"WELCOME"), said.index(b"SUBSCRIBED"))

    def test_each_form_is_what_the_message_of_the_same_names_is(self):
        cases = {
            "/ws/000001.SZ@quote/AAPL.US@trade/": [("000001.SZ", "quote"), ("AAPL.US", "trade")],
            "/v1/000001.SZ%40QUOTE": [("000001.SZ", "quote")],
            "ws://other:1/ws/000001.SZ@quote": [("000001.SZ", "quote")],
            "/?symbols=000001.SZ,AAPL.US&types=quote": [("000001.SZ", "quote"), ("AAPL.US", "quote")],
            "/ws?types=quote%2Ctrade&symbols=000001.SZ": [("000001.SZ", "quote"), ("000001.SZ", "trade")],
            "/ws/000001.SZ@depth5/AAPL.US@depth20/AAPL.US@bar1m/AAPL.US@quote@500ms":
                [("000001.SZ", "depth", 5), ("AAPL.US", "depth", 20), ("AAPL.US", "bar", "1m"),
                 ("AAPL.US", "quote", 500)],
            "/ws/000001.SZ@depth?depth=5&symbols=AAPL.US&types=quote": [("000001.SZ", "depth", 5), ("AAPL.US", "quote")],
            "/ws/*@quote/6*.SH@trade": [("*", "quote"), ("6*.SH", "trade")],
        }
        for path, names in cases.items():
            with self.subTest(path):
                _, data = self.subscribed(path)
                self.assertEqual((self.names(data["ok"]), data["failed"]), (names, []))
                self.assertNotIn("warnings", data)

    def test_one_bad_name_never_fails_the_rest(self):
        client, data = self.subscribed("/ws/000001.SZ@quote/A%2FB@quote/%E8%B4%B5%20%25@trade/@quote/" + "x" * 33 +
                                       "@quote/*@depth5/000001.SZ@trade@500ms/000001.SZ@status")
        self.assertEqual(self.names(data["ok"]), [("000001.SZ", "quote")])
        self.assertEqual([(entry["symbol"], entry["code"]) for entry in data["failed"]],
                         [("A/B", 120), ("贵 %", 120), ("", 107), ("x" * 33, 107), ("*", 123), ("000001.SZ", 123),
                          ("000001.SZ", 120)])
        client.next_message(("quote",))

    def test_settings_of_the_query_hold(self):
        client, data = self.subscribed("/ws?symbols=AAPL.US&types=quote&on_lag=disconnect&max_lag_ms=250&snapshot=false")
        first = client.next_message(("quote",))
        self.assertEqual(first["seq"], data["ok"][0]["next_seq"])
        entry = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["subscriptions"][0]
        self.assertEqual((entry["on_lag"], entry["max_lag_ms"]), ("disconnect", 250))

    def test_a_bad_url_is_an_error_and_the_client_stays(self):
        cases = {
            "/ws/AAPL.US": (107, "path[0]"), "/ws/AAPL.US@quote//": (107, "path[1]"),
            "/ws/AAPL.US@quote/AAPL.US@qoute": (121, "path[1]"), "/ws/AAPL.US@depth7": (123, "path[0]"),
            "/ws/%FF@quote": (107, "path[0]"), "/ws/%@quote": (107, "path[0]"), "/ws/%00@quote": (107, "path[0]"),
            "/?symbols=AAPL.US": (107, "types"), "/?types=quote": (107, "symbols"), "/?depth=5": (107, "symbols"),
            "/?symbols=AAPL.US&types=depth&depth=7": (123, "depth"), "/?symbols=A&types=bar&bar=1h": (123, "bar"),
            "/?symbols=AAPL.US&types=quote&interval_ms=1": (123, "interval_ms"),
            "/?symbols=AAPL.US&types=quote&on_lag=x": (107, "on_lag"),
            "/?symbols=" + ",".join("A" * 1001) + "&types=bar": (106, "symbols"),
        }
        for path, (code, field) in cases.items():
            with self.subTest(path):
                client, answer = self.opened(path)
                self.assertEqual(answer["type"], "ERROR")
                self.assertEqual((answer["data"]["code"], answer["data"]["field"]), (code, field))
                self.assertTrue(client.subscribe(["AAPL.US"], ["quote"])["data"]["ok"])

    def test_keys_that_are_not_used_are_warned_of_where_there_is_an_answer(self):
        _, data = self.subscribed("/ws/AAPL.US@depth?dept=5")
        self.assertEqual(data["warnings"], [{"field": "dept", "message": "the URL does not use it; did you mean depth?"}])
        _, answer = self.opened("/?symbol=AAPL.US&type=quote")
        self.assertEqual([warning["field"] for warning in answer["data"]["warnings"]], ["symbol", "type"])
        for path in ("/ws?x=1", "/ws/", "/ws/?ts=1795239613", "/?token=secret"):
            client = self.client(path)
            self.assertEqual(client.next_message()["type"], "WELCOME")
            self.assertEqual(client.ask({"type": "PING", "id": 7}, None)["type"], "PONG")

    def test_what_is_no_path_or_too_long_is_refused_by_http(self):
        for path, status in (("/x@quote", 404), ("/v10/x@quote", 404), ("/ws/" + "x" * 2040 + "@quote", 414)):
            client = RawClient(self.server.port, upgrade=False)
            self.addCleanup(client.close)
            client.send(request(path))
            self.assertEqual(client.read_head(), status)
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(request("/ws/AAPL.US@quote", method="HEAD"))
        self.assertEqual(client.read_head(), 400)

    def test_messages_behind_the_request_are_answered_after_it(self):
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(request("/ws/*@trade?snapshot=false") + frame(TEXT, '{"type":"LIST"}') +
                    frame(TEXT, subscribe_message(["AAPL.US"], ["quote"], id=2)))
        self.assertEqual(client.read_head(), 101)
        self.assertEqual([client.next_message(("WELCOME", "SUBSCRIBED", "SUBSCRIPTIONS"))["type"] for _ in range(4)],
                         ["WELCOME", "SUBSCRIBED", "SUBSCRIPTIONS", "SUBSCRIBED"])

    def test_bytes_that_come_one_by_one_subscribe_too(self):
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        for byte in request("/ws/AAPL.US@quote?on_lag=skip"):
            client.send(bytes([byte]))
        self.assertEqual(client.read_head(), 101)
        client.next_message(("SUBSCRIBED",))
        client.next_message(("quote",))

    def test_a_thousand_names_in_a_url_disturb_nobody(self):
        symbols = ",".join(f"{i:x}" for i in range(500))
        with HealthyClient(self.server.url()) as healthy:
            for _ in range(20):
                _, data = self.subscribed(f"/?types=quote,trade&symbols={symbols}")
                self.assertEqual((data["ok"], len(data["failed"])), ([], 1000))
            healthy.check(self)

    def test_sbe_and_compression_take_the_same_urls(self):
        path = "/ws/AAPL.US@quote/AAPL.US@trade/000001.SZ@depth5"
        client, definition = self.opened(path, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n")
        self.assertEqual(definition["type"], "DEFINITION")
        data = client.next_message()["data"]
        self.assertEqual({channel["ch"] for channel in definition["data"]["channels"]},
                         {entry["ch"] for entry in data["ok"]})
        while client.next_frame()[0] != BINARY:
            pass
        client, data = self.subscribed(path, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        self.assertEqual(len(data["ok"]), 3)
        client.next_frame()


class Places(unittest.TestCase):
    def test_a_unix_socket_serves_the_same_urls(self):
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder, "socket"))
            with Server(*FEED, "--unix", path), RawClient(path, path="/ws/AAPL.US@quote") as client:
                self.assertEqual(client.next_message(("SUBSCRIBED",))["data"]["failed"], [])
                client.next_message(("quote",))

    def test_a_proxy_header_comes_before_a_url(self):
        with Server(*FEED, *TRUST, "--proxy-protocol") as server, \
                RawClient(server.port, upgrade=False, first=proxy_v2("198.51.100.7")) as client:
            client.send(request("/ws/AAPL.US@quote"))
            self.assertEqual(client.read_head(), 101)
            self.assertEqual(client.next_message(("SUBSCRIBED",))["data"]["failed"], [])


class Tokens(UrlTestCase):
    TOKEN = "desk-token-0123456789"

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        tokens = pathlib.Path(folder.name, "tokens.json")
        tokens.write_text(json.dumps({"tokens": [{"name": "desk", "token": cls.TOKEN, "symbols": ["AAPL.US"]}]}))
        key = pathlib.Path(folder.name, "key.pem")
        key.write_text(PEM)
        cls.options = (*FEED, "--enable-auth", "--tokens-file", str(tokens), "--jwt-key-file", str(key),
                       "--allow-query-token", "--rate-limit-enabled", "no")
        super().setUpClass()

    def check(self, data):
        self.assertEqual(self.names(data["ok"]), [("AAPL.US", "quote")])
        self.assertEqual([(entry["symbol"], entry["code"]) for entry in data["failed"]], [("MSFT.US", 103)])

    def test_a_token_of_the_handshake_opens_what_it_opens(self):
        self.check(self.subscribed("/ws/AAPL.US@quote/MSFT.US@quote", extra=bearer(self.TOKEN))[1])
        query = urllib.parse.urlencode({"token": self.TOKEN, "symbols": "AAPL.US,MSFT.US", "types": "quote"})
        self.check(self.subscribed(f"/ws?{query}")[1])
        self.assertNotIn(self.TOKEN, self.server.log())

    def test_a_client_without_a_token_is_subscribed_after_auth(self):
        client = self.client("/ws/AAPL.US@quote/MSFT.US@quote")
        self.assertTrue(client.next_message()["data"]["auth_required"])
        self.assertEqual(client.ask({"type": "LIST"}, None)["data"]["code"], 101)
        client.send_text(json.dumps({"type": "AUTH", "id": 1, "data": {"token": self.TOKEN}}))
        self.assertEqual(client.next_message()["type"], "AUTHENTICATED")
        self.check(client.next_message(("SUBSCRIBED",))["data"])
        client.next_message(("quote",))

    def test_a_bad_url_is_told_after_auth_too(self):
        client = self.client("/ws/AAPL.US@qoute")
        client.ask({"type": "AUTH", "data": {"token": self.TOKEN}}, ("AUTHENTICATED",))
        self.assertEqual(client.next_message()["data"]["code"], 121)

    def test_a_wrong_token_subscribes_nothing(self):
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(request("/ws/AAPL.US@quote", extra=bearer("wrong-token-0123456789")))
        self.assertEqual(client.read_head(), 401)
        client = self.client("/ws/AAPL.US@quote")
        client.ask({"type": "AUTH", "data": {"token": "wrong-token-0123456789"}}, ("ERROR",))
        self.assertEqual(client.wait_for_close()[0], 4001)

    def test_a_signature_that_waits_for_its_turn_keeps_the_url(self):
        """All at once: one signature of a handshake is checked in a turn."""
        waiting = []
        tokens = [wrong_token() if i % 2 else token(sign, alg="EdDSA", typ=str(i)) for i in range(40)]
        for text in tokens:
            client = RawClient(self.server.port, upgrade=False)
            self.addCleanup(client.close)
            client.send(request("/ws/AAPL.US@quote", extra=bearer(text)))
            waiting.append(client)
        for i, client in enumerate(waiting):
            self.assertEqual(client.read_head(), 401 if i % 2 else 101)
            if i % 2 == 0:
                self.assertEqual(client.next_message()["type"], "WELCOME")
                self.assertEqual(client.next_message()["type"], "SUBSCRIBED")

    def test_auths_that_wait_for_their_turn_keep_the_url(self):
        tokens = [token(sign, alg="EdDSA", typ=str(1000 + i)) for i in range(20)]
        clients = [self.client("/ws/AAPL.US@quote") for _ in tokens]
        for good, client in zip(tokens, clients):
            client.send_text(json.dumps({"type": "AUTH", "data": {"token": good}}))
        for client in clients:
            client.next_message(("AUTHENTICATED",))
            self.assertEqual(client.next_message()["type"], "SUBSCRIBED")


if __name__ == "__main__":
    unittest.main()
