"""Who may come in, as whom, how often and what for; and those who try otherwise."""
import asyncio
import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import signal
import socket
import struct
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import websockets

from clients import ALL_TYPES, HealthyClient, RawClient, frame, request, subscribe_message, TEXT
from server import Server, program, run, wait_until

DESK = "desk-token-0123456789abcdef"
FULL = "full-token-0123456789abcdef"
ONCE = "once-token-0123456789abcdef"
SECRET = "jwt-secret-0123456789abcdef01234567"
FEED = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")
TRUST = ("--trusted-proxies", "127.0.0.1")


def encode(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims, header=None, secret=SECRET):
    signed = f"{encode(header or {'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    return f"{signed}.{encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def lasting(seconds, scope=None, **claims):
    return jwt({"sub": "desk", "exp": int(time.time()) + seconds, "ringcast": scope or {}, **claims})


def bearer(token):
    return f"Authorization: Bearer {token}\r\n"


def forwarded(address):
    return f"X-Forwarded-For: {address}\r\n"


def proxy_v2(source, target="10.0.0.1", command=0x21):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = "::1" if ":" in source else target
    body = (socket.inet_pton(family, source) + socket.inet_pton(family, target) +
            struct.pack(">HH", 40000, 8765) + b"\x04\x00\x01x")
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x21 if ":" in source else 0x11]) +
            struct.pack(">H", len(body)) + body)


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])


class AccessCase(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        path = pathlib.Path(cls.directory.name)
        (path / "tokens.json").write_text(json.dumps({"tokens": [
            {"name": "desk-1", "token": DESK, "symbols": ["*.SZ", "AAPL.US"],
             "types": ["quote", "trade"], "max_subscriptions": 3},
            {"name": "full", "sha256": hashlib.sha256(FULL.encode()).hexdigest()},
            {"name": "once", "token": ONCE, "max_connections": 1}]}))
        (path / "jwt.key").write_text(SECRET + "\n")
        (path / "admin.token").write_text("admin-token-0123456789\n")
        options = [str(path / word[1:]) if str(word).startswith("@") else word
                   for word in cls.options]
        cls.server = Server(*FEED, *options).start()
        cls.addClassCleanup(cls.stop_server)

    @classmethod
    def stop_server(cls):
        try:
            log = cls.server.log()
            for secret in (DESK, FULL, ONCE, SECRET, "eyJhbGciOi", "wrong-token"):
                assert secret not in log, f"{secret} is in the log:\n{log}"
            cls.server.stop()
        finally:
            cls.server.kill()

    def refused(self, extra="", path="/", status=None, line=None):
        """The body of a refusal; checks its status, and a line of the log that came with it."""
        after = len(self.server.lines)
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(request(path, extra=extra))
        self.assertEqual(client.read_head(), status, client.head)
        self.last = client
        if line is not None:
            self.assertIsNotNone(self.server.wait_for_line(line, after=after),
                                 f"no line {line!r} in:\n{self.server.log()}")
        return client.read_body()

    def client(self, extra="", path="/"):
        client = RawClient(self.server.port, path=path, extra=extra)
        self.addCleanup(client.close)
        return client

    def count(self, key):
        return self.server.core_sum(key)


class Tokens(AccessCase):
    options = ("--enable-auth", "--tokens-file", "@tokens.json", "--jwt-secret-file", "@jwt.key",
               *TRUST, "--messages-per-second", "1000", "--handshakes-per-second", "1000",
               "--max-connections-per-ip", "1000")

    def test_a_right_token_opens_what_its_scope_says(self):
        client = self.client(bearer(DESK))
        self.assertEqual(client.next_message(("WELCOME",))["data"]["limits"]["max_subscriptions"], 3)
        data = client.subscribe(["000001.SZ", "600000.SH", "*.SZ", "*", "0*"],
                                ["quote", "depth"])["data"]
        ok = {(item["symbol"], item["type"]) for item in data["ok"]}
        self.assertEqual(ok, {("000001.SZ", "quote"), ("*.SZ", "quote")})
        self.assertEqual({item["code"] for item in data["failed"]}, {103})
        self.assertEqual({(i["symbol"], i["type"]) for i in data["failed"]},
                         {(s, t) for s in ("000001.SZ", "600000.SH", "*.SZ", "*", "0*")
                          for t in ("quote", "depth")} - ok)
        self.assertIsNotNone(self.server.wait_for_line(r"audit: DENIED .*: 8 subscriptions outside "
                                                       r"the scope of desk-1"))
        for _ in range(50):
            message = client.next_message(ALL_TYPES)
            self.assertTrue(message["symbol"].endswith(".SZ") and message["type"] == "quote")
        self.assertEqual(len(client.subscribe(["AAPL.US"], ["quote", "trade"])["data"]["ok"]), 1)
        self.assertEqual(client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["limit"], 3)

    def test_a_wrong_token_is_401_and_told_in_the_log_without_it(self):
        refused = self.count("refused_token")
        cases = ["wrong-token-0123456789", DESK[:-1], DESK + "x", DESK.upper(), "", "x" * 5000,
                 hashlib.sha256(FULL.encode()).hexdigest()]
        for token in cases:
            with self.subTest(token=token):
                body = self.refused(bearer(token), status=401,
                                    line=r"audit: FAILED .*authentication failed: .*\(HTTP 401\)")
                self.assertNotIn(DESK[:8], body)
                self.assertIn("Bearer", self.last.header("WWW-Authenticate"))
        for value in ("Bearer", FULL, ""):
            self.refused(f"Authorization: {value}\r\n", status=401)
        self.refused(bearer(FULL) + bearer("wrong-token-0123456789"), status=401)
        self.refused("Authorization: Basic YTpi\r\n" + bearer(FULL), status=401)
        self.assertEqual(self.count("refused_token"), refused + len(cases) + 5)

    def test_blanks_may_stand_around_a_token_and_the_scheme_is_of_any_case(self):
        for value in (f"Bearer  {FULL}", f"bearer \t {FULL} \t", f" \tBEARER\t{FULL}"):
            client = self.client(f"Authorization:{value}\r\n")
            self.assertNotIn("auth_required", client.next_message(("WELCOME",))["data"])

    def test_another_scheme_is_no_token_and_leaves_auth_possible(self):
        for value in ("Basic YTpi", f"Bearerx {FULL}", "Digest username=\"a\""):
            client = self.client(f"Authorization: {value}\r\n")
            self.assertTrue(client.next_message(("WELCOME",))["data"]["auth_required"])
            client.ask({"type": "AUTH", "data": {"token": FULL}}, ("AUTHENTICATED",))

    def test_a_token_in_the_query_is_not_looked_at_unless_allowed(self):
        client = self.client(path=f"/?token={FULL}")
        self.assertTrue(client.next_message(("WELCOME",))["data"]["auth_required"])
        self.assertEqual(client.ask({"type": "LIST", "id": 1}, ("ERROR",))["data"]["code"], 101)

    def test_jwts_open_by_their_claim(self):
        client = self.client(bearer(lasting(600, {"symbols": ["AAPL.US"]})))
        data = client.subscribe(["AAPL.US", "*"], ["quote"])["data"]
        self.assertEqual([item["symbol"] for item in data["ok"]], ["AAPL.US"])
        self.assertEqual(data["failed"][0]["code"], 103)
        now = int(time.time())
        none = f"{encode({'alg': 'none'})}.{encode({'exp': now + 600, 'ringcast': {}})}."
        for token, status, words in (
                (lasting(-60), 401, "token expired"),
                (lasting(600, nbf=now + 60), 401, "not valid yet"),
                (jwt({"exp": now + 600, "ringcast": {}}, secret="x" * 32), 401, "wrong signature"),
                (none, 401, "algorithm not accepted"),
                (jwt({"exp": now + 600}, {"alg": "HS512"}), 401, "algorithm not accepted"),
                (lasting(600) + "=", 401, "authentication failed"),
                (jwt({"exp": now + 600}), 403, 'no claim "ringcast"'),
                (jwt({"ringcast": {}}), 403, "no exp"),
                (lasting(600, aud="others"), 403, "another issuer or audience"),
                (lasting(600, {"symbol": ["A"]}), 403, "is not a scope")):
            with self.subTest(words=words):
                self.refused(bearer(token), status=status, line=words)

    def test_auth_in_a_message_within_five_seconds(self):
        client = self.client()
        self.assertTrue(client.next_message(("WELCOME",))["data"]["auth_required"])
        # All at once: the five seconds are the server's, and not for stops of ours.
        client.send(b"".join(frame(TEXT, text) for text in (
            '{"type":"LIST","id":1}', '{"type":"UNSUBSCRIBE","id":1}',
            subscribe_message(["AAPL.US"], ["quote"], id=1), '{"type":"PING"}',
            json.dumps({"type": "AUTH", "id": 9, "data": {"token": DESK}}))))
        for _ in range(3):
            error = client.next_message(("ERROR", "AUTHENTICATED"))
            self.assertEqual((error["data"]["code"], error["id"]), (101, 1))
        client.next_message(("PONG",))
        answer = client.next_message(("AUTHENTICATED",))
        self.assertEqual((answer["id"], answer["data"]),
                         (9, {"name": "desk-1", "max_subscriptions": 3}))
        self.assertEqual(len(client.subscribe(["AAPL.US"], ["quote"])["data"]["ok"]), 1)

        wrong = self.client()
        wrong.send_text(json.dumps({"type": "AUTH", "data": {"token": "wrong-token-0123456789"}}))
        self.assertEqual(wrong.next_message(("ERROR",))["data"]["code"], 101)
        self.assertEqual(wrong.wait_for_close(), (4001, "auth;cause=token"))
        expired = self.client()
        expired.send_text(json.dumps({"type": "AUTH", "data": {"token": lasting(-60)}}))
        self.assertEqual(expired.next_message(("ERROR",))["data"]["code"], 109)
        self.assertEqual(expired.wait_for_close(), (4101, "auth;cause=expired"))
        foreign = self.client()
        foreign.send_text(json.dumps({"type": "AUTH", "data": {"token": lasting(9, aud="x")}}))
        self.assertEqual(foreign.next_message(("ERROR",))["data"]["code"], 103)
        self.assertEqual(foreign.wait_for_close(), (4003, "auth;cause=scope"))

    def test_who_sends_no_token_is_closed(self):
        began = time.monotonic()
        client = self.client()
        self.assertEqual(client.wait_for_close(15), (4001, "auth;cause=token"))
        # A core that was stopped in the midst of a turn counts from its clock of before.
        self.assertGreater(time.monotonic() - began, 4)
        self.assertIsNotNone(self.server.wait_for_line("authentication failed: no token within 5 s"))

    def test_a_live_token_ends_with_a_warning_and_4101(self):
        client = self.client(bearer(lasting(1)))
        client.send_text(subscribe_message(["AAPL.US"], ["quote"]))
        said = [client.next_message(("NOTICE", "SUBSCRIBED")) for _ in range(2)]  # in any order
        notice, = [message for message in said if message["type"] == "NOTICE"]
        self.assertEqual(notice["data"]["event"], "TOKEN_EXPIRING")
        self.assertEqual(client.wait_for_close(15), (4101, "auth;cause=expired"))

    def test_a_token_is_renewed_in_place(self):
        token = lasting(3)
        client, other = self.client(bearer(token)), self.client(bearer(token))
        client.next_message(("NOTICE",), timeout=10)
        answer = client.ask({"type": "AUTH", "data": {"token": lasting(600)}}, ("AUTHENTICATED",))
        self.assertGreater(answer["data"]["expires"], time.time_ns())
        self.assertEqual(other.wait_for_close(20), (4101, "auth;cause=expired"))
        client.ask({"type": "PING"}, ("PONG",))

    def test_a_smaller_scope_drops_what_it_does_not_cover(self):
        client = self.client(bearer(FULL))
        client.subscribe(["AAPL.US", "MSFT.US", "*.SZ", "*", "6*"], ["quote"])
        client.ask({"type": "AUTH", "data": {"token": DESK}}, ("AUTHENTICATED",))
        notice = client.next_message(("NOTICE",))["data"]
        self.assertEqual(notice["event"], "SUBSCRIPTIONS_DROPPED")
        self.assertEqual({item["symbol"] for item in notice["dropped"]}, {"MSFT.US", "*", "6*"})
        kept = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["subscriptions"]
        self.assertEqual({item["symbol"] for item in kept}, {"AAPL.US", "*.SZ"})
        for _ in range(200):
            symbol = client.next_message(("quote",))["symbol"]
            self.assertTrue(symbol.endswith(".SZ") or symbol == "AAPL.US", symbol)

    def test_a_wrong_token_takes_none_away_but_guessing_ends(self):
        client = self.client(bearer(FULL))
        wrong = {"type": "AUTH", "data": {"token": "wrong-token-0123456789"}}
        self.assertEqual(client.ask(wrong, ("ERROR",))["data"]["code"], 101)
        self.assertEqual(len(client.subscribe(["AAPL.US"], ["quote"])["data"]["ok"]), 1)
        client.send(frame(TEXT, json.dumps(wrong)) * 6)
        self.assertEqual(client.wait_for_close(), (4111, "rate;limit=tokens"))

    def test_a_token_has_no_more_connections_than_it_may(self):
        first = self.client(bearer(ONCE))
        first.ask({"type": "AUTH", "data": {"token": ONCE}}, ("AUTHENTICATED",))
        self.refused(bearer(ONCE), status=429, line="BLOCKED .*too many connections with this token")
        self.assertIsNotNone(self.last.header("Retry-After"))
        second = self.client()
        second.send_text(json.dumps({"type": "AUTH", "data": {"token": ONCE}}))
        self.assertEqual(second.wait_for_close(), (4113, "auth;cause=connections"))
        first.close()

        def again():
            client = RawClient(self.server.port, upgrade=False)
            client.send(request(extra=bearer(ONCE)))
            status = client.read_head()
            client.close()
            return status == 101
        self.assertTrue(wait_until(again), "the place was not given back")

    def test_python_websockets_with_a_header(self):
        async def follow():
            async with websockets.connect(self.server.url(), extra_headers={
                    "Authorization": f"Bearer {FULL}"}) as client:
                await client.send(subscribe_message(["*"], ["quote"]))
                while json.loads(await client.recv())["type"] != "quote":
                    pass
            with self.assertRaises(websockets.InvalidStatusCode) as refused:
                await websockets.connect(self.server.url(), extra_headers={
                    "Authorization": "Bearer wrong-token-0123456789"})
            self.assertEqual(refused.exception.status_code, 401)
        asyncio.run(asyncio.wait_for(follow(), 20))

    def test_no_statistics_show_a_secret(self):
        self.client(bearer(FULL))
        for path in ("/stats", "/metrics", "/health"):
            body = self.server.admin(path)[2]
            for secret in (DESK, FULL, ONCE, SECRET):
                self.assertNotIn(secret, body)


class StandingStill(AccessCase):
    """More clients than the server has buffers to read from at once, and 5 s for each."""
    options = ("--enable-auth", "--auth-token", FULL)

    def connect(self):
        """(clients that owe an AUTH, clients whose request is not complete), new enough to be in time."""
        for _ in range(10):
            began = time.monotonic()
            clients = [self.client() for _ in range(300)]
            openings = [RawClient(self.server.port, upgrade=False) for _ in range(100)]
            for client in openings:
                client.send(request()[:40])
            self.server.signal(signal.SIGSTOP)
            if time.monotonic() < began + 4:
                return clients, openings
            self.server.signal(signal.SIGCONT)
            for client in (*clients, *openings):
                client.close()
        self.fail("400 clients never connected within 4 s")

    def test_what_came_while_the_server_stood_still_is_in_time(self):
        try:
            clients, openings = self.connect()
            stopped = time.monotonic()
            for client in openings:
                self.addCleanup(client.close)
                client.send(request()[40:])
            for client in clients:
                client.send_text(json.dumps({"type": "AUTH", "data": {"token": FULL}}))
            time.sleep(max(0.0, stopped + 6 - time.monotonic()))
        finally:
            self.server.signal(signal.SIGCONT)
        for client in openings:
            self.assertEqual(client.read_head(), 101)
        for client in clients:
            client.next_message(("AUTHENTICATED",))


class Query(AccessCase):
    options = ("--enable-auth", "--auth-token", "a+b/c=0123456789&x", "--allow-query-token")

    def test_a_token_in_the_query_where_it_is_allowed(self):
        client = self.client(path="/ws?x=1&token=a%2Bb%2fc%3D0123456789%26x&y=2")
        self.assertEqual(len(client.subscribe(["AAPL.US"], ["quote"])["data"]["ok"]), 1)
        client = self.client(path="ws://h/ws?token=a%2Bb%2fc%3D0123456789%26x",
                             extra="Authorization: Basic YTpi\r\n")
        self.assertEqual(len(client.subscribe(["AAPL.US"], ["quote"])["data"]["ok"]), 1)
        for path in ("/?token=a%2Bb", "/?token=a%2Bb%2fc%3D0123456789%26x%00", "/?token=%"):
            self.refused(path=path, status=401)
        # Without a whole "token=" there is none.
        client = self.client(path="/?tokens=a%2Bb%2fc%3D0123456789%26x")
        self.assertTrue(client.next_message(("WELCOME",))["data"]["auth_required"])


class Doors(AccessCase):
    options = ("--allowed-origins", "https://example.com,http://localhost:3000", *TRUST,
               "--ip-deny", "203.0.113.0/24,2001:db8:bad::/48",
               "--ip-allow", "127.0.0.0/8,198.51.100.0/24,203.0.113.0/24,2001:db8::/32")

    def test_origins_are_compared_as_a_whole(self):
        for origin in ("https://example.com", "http://localhost:3000"):
            self.client(f"Origin: {origin}\r\n")
        self.client()
        denied = self.count("refused_forbidden")
        origins = ("null", "https://example.com:443", "https://EXAMPLE.com", "http://example.com",
                   "https://sub.example.com", "https://example.com.evil.net", "https://example.co",
                   "https://evilexample.com", "https://example.com/", "", "*", "https://example.com "
                   "https://evil.net", "http://localhost:30000", "file://")
        for origin in origins:
            with self.subTest(origin=origin):
                self.refused(f"Origin: {origin}\r\n", status=403,
                             line=r"audit: DENIED .*this origin is not allowed \(HTTP 403\), origin")
        self.refused("Origin: https://example.com\r\nOrigin: https://evil.net\r\n", status=403)
        self.assertEqual(self.count("refused_forbidden"), denied + len(origins) + 1)

    def test_addresses_outside_and_inside_the_lists(self):
        for address in ("198.51.100.7", "2001:db8::7", "::ffff:198.51.100.9", "[2001:db8::7]:80",
                        "198.51.100.7:5000"):
            with self.subTest(address=address):
                self.client(forwarded(address))
        for address in ("192.0.2.1", "203.0.113.7", "2001:db8:bad::1", "2001:db9::1",
                        "::ffff:203.0.113.7"):
            with self.subTest(address=address):
                self.refused(forwarded(address), status=403,
                             line=r"audit: DENIED .* through 127.0.0.1:\d+: this address is not")

    def test_what_a_client_writes_itself_is_not_believed(self):
        # The proxy appends what it saw: only the right end counts.
        self.refused(forwarded("198.51.100.7, 203.0.113.7"), status=403)
        self.refused(forwarded("198.51.100.7") + forwarded("203.0.113.7"), status=403)
        self.refused(forwarded("127.0.0.1, 203.0.113.7, 127.0.0.1"), status=403)
        self.client(forwarded("203.0.113.7, 198.51.100.7"))
        self.client(forwarded("nonsense, 198.51.100.7"))
        self.refused("X-Real-IP: 203.0.113.7\r\n", status=403)
        self.client("X-Real-IP: 203.0.113.7\r\n" + forwarded("198.51.100.7"))
        # 127.0.0.2 is no trusted proxy: it is believed nothing.
        for extra in (forwarded("203.0.113.7"), "X-Real-IP: 203.0.113.7\r\n"):
            with socket.create_connection(("127.0.0.1", self.server.port),
                                          source_address=("127.0.0.2", 0)) as sock:
                sock.sendall(request(extra=extra))
                self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 101 "))

    def test_a_proxy_header_is_not_expected_here(self):
        client = RawClient(self.server.port, upgrade=False)
        client.send(proxy_v2("198.51.100.7") + request())
        self.assertEqual(client.read_head(), 400)

    def test_auth_is_not_offered_without_tokens(self):
        error = self.client().ask({"type": "AUTH", "data": {"token": FULL}}, ("ERROR",))
        self.assertEqual(error["data"]["code"], 108)


class Proxies(AccessCase):
    options = (*TRUST, "--proxy-protocol", "--ip-deny", "203.0.113.0/24,2001:db8:bad::/48")

    def ask(self, data, pieces=1, source="127.0.0.1"):
        with socket.create_connection(("127.0.0.1", self.server.port),
                                      source_address=(source, 0), timeout=10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            step = max(1, len(data) // pieces)
            for at in range(0, len(data), step):
                sock.sendall(data[at:at + step])
                if pieces > 1:
                    time.sleep(0.002)
            return int(sock.recv(4096).split()[1])

    def test_a_trusted_proxy_says_who_comes(self):
        self.assertEqual(self.ask(proxy_v2("198.51.100.7") + request()), 101)
        self.assertIsNotNone(self.server.wait_for_line("connected from 198.51.100.7 through 127"))
        self.assertEqual(self.ask(proxy_v2("203.0.113.7") + request()), 403)
        self.assertEqual(self.ask(proxy_v2("2001:db8:bad::1") + request()), 403)
        self.assertEqual(self.ask(proxy_v2("2001:db8::1") + request()), 101)
        v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 8765\r\n"
        self.assertEqual(self.ask(v1 + request()), 403)
        self.assertEqual(self.ask(v1.replace(b"203.0.113.9", b"198.51.100.9") + request()), 101)
        # Its own health check, and one that it knows nothing of.
        self.assertEqual(self.ask(proxy_v2("203.0.113.7", command=0x20) + request()), 101)
        self.assertEqual(self.ask(b"PROXY UNKNOWN\r\n" + request()), 101)

    def test_in_pieces_too(self):
        for pieces in (2, 7, 60):
            self.assertEqual(self.ask(proxy_v2("198.51.100.7") + request(), pieces), 101)
            self.assertEqual(self.ask(proxy_v2("203.0.113.7") + request(), pieces), 403)

    def test_what_follows_at_once_is_the_first_frame(self):
        client = RawClient(self.server.port, upgrade=False)
        client.send(proxy_v2("198.51.100.7") + request() + frame(TEXT, '{"type":"PING","id":3}'))
        self.assertEqual(client.read_head(), 101)
        self.assertEqual(client.next_message(("PONG",))["id"], 3)

    def test_a_trusted_proxy_must_say_it_and_say_it_right(self):
        self.assertEqual(self.ask(request()), 400)
        self.assertEqual(self.ask(proxy_v2("198.51.100.7")[:-1] + b"y" + request()), 101)
        self.assertEqual(self.ask(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + request()), 400)
        self.assertEqual(self.ask(b"PROXY TCP4 elsewhere 10.0.0.1 1 2\r\n" + request()), 400)
        self.assertEqual(self.ask(b"PROXY " + b"x" * 200), 400)

    def test_nobody_else_is_believed(self):
        self.assertEqual(self.ask(proxy_v2("198.51.100.7") + request(), source="127.0.0.2"), 400)
        self.assertEqual(self.ask(b"PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n" + request(),
                                  source="127.0.0.2"), 400)
        self.assertEqual(self.ask(request(extra=forwarded("203.0.113.7")), source="127.0.0.2"), 101)
        # Whom the proxy names is no proxy.
        self.assertEqual(self.ask(proxy_v2("198.51.100.7") +
                                  request(extra=forwarded("203.0.113.7"))), 101)


class Limits(AccessCase):
    """The limits as they are when nothing is given: nobody of this host is limited."""
    options = TRUST

    def test_this_host_is_spared(self):
        refused = self.count("messages_refused")
        clients = [self.client() for _ in range(60)]
        for _ in range(40):
            clients[0].send_text('{"type":"PING"}')
        for _ in range(40):
            clients[0].next_message(("PONG",))
        self.assertEqual(self.count("messages_refused"), refused)

    def test_one_address_has_twenty_connections(self):
        held = []
        while True:
            client = RawClient(self.server.port, upgrade=False)
            self.addCleanup(client.close)
            client.send(request(extra=forwarded("198.51.100.1")))
            status = client.read_head()
            if status == 101:
                held.append(client)
                time.sleep(0.11)  # within the rate
                continue
            self.assertEqual(status, 429)
            break
        self.assertEqual(len(held), 20)
        self.assertEqual(client.header("Retry-After"), "5")
        self.assertIsNotNone(self.server.wait_for_line(
            r"audit: BLOCKED 198.51.100.1 .*too many connections from this address \(HTTP 429\)"))
        self.client(forwarded("198.51.100.2"))
        held[0].close()
        self.assertTrue(wait_until(lambda: self.status_of("198.51.100.1") == 101, step=0.3))

    def status_of(self, address):
        client = RawClient(self.server.port, upgrade=False)
        client.send(request(extra=forwarded(address)))
        try:
            return client.read_head()
        finally:
            client.close()

    def check_handshakes(self, address_of):
        """One after the other until one is refused: a slow machine needs more of them for that."""
        began, passed, status = time.monotonic(), 0, 101
        while status == 101 and time.monotonic() < began + 60:
            status = self.status_of(address_of(passed))
            passed += status == 101
            self.assertLessEqual(passed, 20 + 10 * (time.monotonic() - began) + 1)
        self.assertEqual(status, 429)
        self.assertGreaterEqual(passed, 20)

    def test_one_address_has_ten_handshakes_a_second(self):
        self.check_handshakes(lambda i: "198.51.100.3")
        self.assertEqual(self.status_of("198.51.100.4"), 101)

    def test_a_64_of_ipv6_is_one_address(self):
        self.check_handshakes(lambda i: f"2001:db8:0:1::{i:x}")
        self.assertEqual(self.status_of("2001:db8:0:2::1"), 101)

    def test_messages_have_a_rate(self):
        client = self.client(forwarded("198.51.100.5"))
        client.send(b"".join(frame(TEXT, f'{{"type":"PING","id":{i}}}') for i in range(14)))
        kinds = [client.next_message(("PONG", "ERROR")) for _ in range(14)]
        refused = [kind["data"] for kind in kinds if kind["type"] == "ERROR"]
        self.assertTrue(3 <= len(refused) <= 4, kinds)
        self.assertEqual((refused[0]["code"], refused[0]["retry"]), (111, True))

        def is_answered():
            return client.ask({"type": "PING"}, ("PONG", "ERROR"))["type"] == "PONG"
        self.assertTrue(wait_until(is_answered, step=0.3))
        # One message with many symbols counts once.
        self.assertTrue(wait_until(lambda: client.subscribe(
            ["AAPL.US"] * 1000, ["quote"])["type"] == "SUBSCRIBED", step=0.3))

    def test_who_does_not_stop_is_closed(self):
        client = self.client(forwarded("198.51.100.6"))
        client.send(frame(TEXT, '{"type":"PING"}') * 100)
        self.assertEqual(client.wait_for_close(), (4111, "rate;limit=messages"))
        self.assertIsNotNone(self.server.wait_for_line("audit: BLOCKED 198.51.100.6 .*4111"))


class GivenLimits(AccessCase):
    """A limit that is given holds for this host, too, and at the very accept."""
    options = ("--max-connections-per-ip", "5", "--handshakes-per-second", "50")

    def test_idle_sockets_are_counted_before_they_say_anything(self):
        held = []
        for _ in range(5):
            held.append(socket.create_connection(("127.0.0.1", self.server.port),
                                                 source_address=("127.0.0.9", 0)))
        self.assertTrue(wait_until(lambda: self.count("conns_open") >= 5))
        with socket.create_connection(("127.0.0.1", self.server.port),
                                      source_address=("127.0.0.9", 0), timeout=10) as more:
            self.assertTrue(more.recv(4096).startswith(b"HTTP/1.1 429 "))
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as other:
            other.sendall(request())
            self.assertTrue(other.recv(4096).startswith(b"HTTP/1.1 101 "))
        for sock in held:
            sock.close()

    def test_after_the_deadline_of_the_handshake_there_is_room_again(self):
        held = [socket.create_connection(("127.0.0.1", self.server.port),
                                         source_address=("127.0.0.8", 0)) for _ in range(5)]
        for sock in held:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        self.assertTrue(wait_until(lambda: self.count("conns_open") >= 5))

        def status():
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=10,
                                          source_address=("127.0.0.8", 0)) as sock:
                try:
                    sock.sendall(request())
                    return sock.recv(4096)[9:12]
                except ConnectionError:
                    return b""
        self.assertIn(status(), (b"429", b""))
        self.assertTrue(wait_until(lambda: status() == b"101", 15, 0.5))
        for sock in held:
            sock.close()


class Floods(AccessCase):
    """All at once, with tokens: nobody else notices, and nothing grows."""
    options = ("--enable-auth", "--tokens-file", "@tokens.json", "--jwt-secret-file", "@jwt.key", *TRUST)

    def follow(self, stop, frames, faults):
        client = RawClient(self.server.port, extra=bearer(FULL))
        client.subscribe(["*"], ["trade"])
        due = {}
        while not stop.is_set():
            message = client.next_message()
            if message["type"] == "GAP":
                faults.append(message)
            if message["type"] == "trade":
                if message["seq"] != due.setdefault(message["ch"], message["seq"]):
                    faults.append(message)
                due[message["ch"]] += 1
                frames.append(time.time_ns() - message["ts_pub"])
        client.close()

    def attack(self, number):
        """One refusal of some kind; its status."""
        extras = (bearer(f"wrong-token-{number:012}"), bearer(lasting(-60)),
                  bearer(jwt({"exp": 1}, {"alg": "none"})), "Origin: null\r\n" + bearer("x" * 4000))
        client = RawClient(self.server.port, upgrade=False)
        try:
            client.send(request(extra=extras[number % 4] +
                                forwarded(f"198.51.{number % 200}.{number % 250}")))
            return client.read_head()
        except ConnectionError:
            return 0
        finally:
            client.close()

    def test_floods_of_guesses_leave_others_and_memory_alone(self):
        stop, frames, faults = threading.Event(), [], []
        healthy = threading.Thread(target=self.follow, args=(stop, frames, faults))
        healthy.start()
        self.addCleanup(healthy.join, 10)
        self.addCleanup(stop.set)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(self.attack, range(1000)))  # What is touched once is touched.
            before = resident_kib(self.server.pid)
            statuses = list(pool.map(self.attack, range(1000, 5000)))
        after = resident_kib(self.server.pid)
        self.assertLessEqual(set(statuses), {401, 429, 0})
        self.assertGreater(statuses.count(401), 1000)
        sanitized = b"__asan_init" in pathlib.Path(program("ringcast")).read_bytes()
        if not sanitized:  # That keeps what was freed for a while.
            self.assertLess(after - before, 1024, f"{before} KiB became {after} KiB")
        count = len(frames)
        self.assertTrue(wait_until(lambda: len(frames) > count + 20))
        stop.set()
        healthy.join(10)
        self.assertEqual(faults, [])
        self.assertTrue(wait_until(lambda: self.server.core_sum("conns_pulling") == 0))
        audit = [line for line in self.server.log_lines() if "audit: FAILED" in line]
        self.assertLess(len(audit), 2000, "the audit log is not limited")
        self.assertTrue(any("lines before this one were left out" in line for line in audit))


class Admin(AccessCase):
    options = ("--admin-host", "0.0.0.0", "--admin-token-file", "@admin.token")

    def other_address(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect(("192.0.2.1", 9))
                return sock.getsockname()[0]
            except OSError:
                return "127.0.0.1"

    def status(self, host, path, token=None):
        ask = urllib.request.Request(f"http://{host}:{self.server.admin_port}{path}")
        if token:
            ask.add_header("Authorization", f"Bearer {token}")
        try:
            return urllib.request.urlopen(ask, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code

    def test_admin_pages_ask_other_hosts_for_the_token(self):
        self.assertEqual(self.status("127.0.0.1", "/admin/none"), 404)
        host = self.other_address()
        if host.startswith("127."):
            self.skipTest("SKIPPED: no address but loopback")
        self.assertEqual(self.status(host, "/health"), 200)
        self.assertEqual(self.status(host, "/admin/none"), 401)
        self.assertEqual(self.status(host, "/admin/none", "wrong-token-0123456789"), 401)
        self.assertEqual(self.status(host, "/admin/none", "admin-token-0123456789"), 404)
        self.assertEqual(self.status(host, "/admin/none", " \tadmin-token-0123456789"), 404)
        with socket.create_connection((host, self.server.admin_port), timeout=10) as client:
            client.sendall(b"GET http://localhost/admin/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 401 "))
        self.assertIsNotNone(self.server.wait_for_line("audit: FAILED .*: admin request .*authentication failed"))


class Options(unittest.TestCase):
    def refuse(self, *options, words):
        done = run([program("ringcast"), "--port", "0", "--admin-port", "0", *options])
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertNotIn("SECRET", done.stderr + done.stdout)

    def test_what_cannot_be_meant_is_refused_without_a_secret(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "file"
            for content, option, words in (
                    ("SECRET", "--auth-token-file", f"--auth-token-file: {path}: a token must have 16 to"),
                    ('{"tokens":[{"name":"a","token":"SECRET"}]}', "--tokens-file", "tokens[0]: a"),
                    ('{"tokens":[SECRET', "--tokens-file", "not JSON at line 1"),
                    ("SECRET", "--jwt-key-file", "it contains no key"),
                    ("SECRET", "--jwt-secret-file", "a secret for HS256 must have 32"),
                    ("SECRET", "--admin-token-file", f"--admin-token-file: {path}: a token must have")):
                path.write_text(content)
                on = () if "admin" in option else ("--enable-auth",)
                self.refuse(*on, option, str(path), words=words)
        self.refuse("--enable-auth", words="add --auth-token-file")
        self.refuse("--auth-token", "SECRETSECRETSECRET", words="add --enable-auth")
        self.refuse("--enable-auth", "--auth-token", "SECRET", words="this one has 6")
        self.refuse("--enable-auth", "--auth-token", "SECRET" * 1000, words="this one has 6000")
        self.refuse("--enable-auth", "--jwt-key-file", "/nowhere", words="No such file")
        self.refuse("--proxy-protocol", words="add --trusted-proxies")
        self.refuse("--trusted-proxies", "10.0.0.1/8", words="beyond its prefix")
        self.refuse("--allowed-origins", "https://Example.com", words="in lower case")
        self.refuse("--allowed-origins", "https://example.com/", words="without a path")


if __name__ == "__main__":
    unittest.main()
