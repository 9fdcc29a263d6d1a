"""A reload of the configuration: what is live changes without a restart, the rest is reported, and what is
wrong changes nothing."""
import base64
import collections
import hashlib
import hmac
import json
import os
import pathlib
import random
import signal
import tempfile
import threading
import time
import unittest
import unittest.mock

from clients import HealthyClient, PING, RawClient
from producers import Producer, trade
from server import Server, wait_until
from test_scopes import SCOPES, Viewer

SECRETS = ("a" * 40, "b" * 40)
SYMBOLS = ("000001.SZ", "300750.SZ", "600519.SH", "AAPL.US", "MSFT.US", "SIM00006.SIM")


def token_of(name):
    return f"{name}-token-0123456789abcdef"


def bearer(name):
    return f"Authorization: Bearer {token_of(name)}\r\n"


def entry(name, **scope):
    return {"name": name, "token": token_of(name), **scope}


def encode(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(secret, seconds=600, **claims):
    claims = {"sub": "quant", "exp": int(time.time()) + seconds, "ringcast": {}, **claims}
    signed = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    return f"{signed}.{encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def lines_of(value, indent=""):
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield f"{indent}{key}:"
            yield from lines_of(inner, indent + "  ")
        elif isinstance(inner, list):
            yield f"{indent}{key}:"
            yield from (f"{indent}  - {json.dumps(item)}" for item in inner)
        else:
            yield f"{indent}{key}: {inner if isinstance(inner, (int, float)) else json.dumps(str(inner))}"


class ReloadCase(unittest.TestCase):
    feeds = ["sim:symbols=8,rate=500,types=quote+trade"]

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = pathlib.Path(directory.name)
        self.config = self.folder / "ringcast.yaml"
        self.tokens = self.folder / "tokens.json"

    def replace(self, path, text):
        """As an editor and Kubernetes do: never half of it."""
        fresh = self.folder / "fresh"
        fresh.write_text(text)
        fresh.rename(path)

    def configure(self, feeds=None, **sections):
        self.replace(self.config, "\n".join(lines_of({"feeds": feeds or self.feeds, **sections})) + "\n")

    def write_tokens(self, *entries):
        self.replace(self.tokens, json.dumps({"tokens": list(entries)}))

    def secure(self, **more):
        self.configure(security={"enable_auth": "yes", "tokens_file": self.tokens, **more})

    def server(self, *options, **more):
        return Server("--config", self.config, *options, **more)

    def reload(self, server, status=200):
        got, _, body = server.admin("/admin/reload-config", method="POST")
        self.assertEqual(got, status, body)
        answer = json.loads(body)
        self.assertEqual(answer["ok"], status == 200)
        return answer

    def applied(self, server):
        return {change["key"]: (change["from"], change["to"]) for change in self.reload(server)["applied"]}

    def refused(self, server, headers=""):
        """The status of a handshake; 101: it is let in."""
        client = RawClient(server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n").encode())
        return client.read_head()

    def connect(self, server, name=None, extra="", **more):
        client = RawClient(server.port, extra=(bearer(name) if name else "") + extra, **more)
        self.addCleanup(client.close)
        return client

    def until_pong(self, client):
        """All messages up to the answer to a PING that is sent now."""
        messages = [client.ask({"type": "PING", "id": "barrier"}, None)]
        while messages[-1]["type"] != "PONG":
            messages.append(client.next_message())
        return messages


class Answers(ReloadCase):
    def test_the_answer_lists_each_key(self):
        """S46, S58: applied, unchanged, needs a restart."""
        self.configure(websocket={"max_connections": 1000})
        with self.server() as server:
            same = self.reload(server)
            self.assertEqual((same["applied"], same["needs_restart"]), ([], []))
            self.configure(websocket={"max_connections": 10, "compression": "off"})
            answer = self.reload(server)
            self.assertEqual(answer["applied"], [{"key": "websocket.max_connections", "from": 1000, "to": 10}])
            self.assertEqual([change["key"] for change in answer["needs_restart"]], ["websocket.compression"])
            self.assertEqual(answer["unchanged"], same["unchanged"] - 2)
            self.assertLess(answer["seconds"], 5)
            again = self.reload(server)  # What needs a restart does so still.
            self.assertEqual((again["applied"], again["needs_restart"]), ([], answer["needs_restart"]))

    def test_sighup_reloads_and_several_become_one(self):
        """S46, S66: SIGHUP."""
        self.configure()
        with self.server() as server:
            self.configure(websocket={"max_connections": 7})
            server.signal(signal.SIGHUP)
            self.assertIsNotNone(server.wait_for_line(r"reloaded in .* 1 applied \(websocket.max_connections\)"))
            for _ in range(20):
                server.signal(signal.SIGHUP)
            self.configure(websocket={"max_connections": 8})
            server.signal(signal.SIGHUP)
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["max_connections"] == 8))

            def applied_count():
                return sum("1 applied" in line for line in server.log_lines() if "reloaded in" in line)
            self.assertTrue(wait_until(lambda: applied_count() == 2), server.log())

    def test_every_other_key_needs_a_restart(self):
        """S46, S52: the running value stays."""
        values = {
            "websocket": {"host": "127.0.0.2", "port": 1, "unix": "/tmp/other", "compression": "off",
                          "compression_threshold": 7},
            "admin": {"host": "127.0.0.2", "port": 1, "token": token_of("new"), "token_file": self.folder / "x"},
            "record": {"directory": self.folder}, "logging": {"format": "json"},
            "cores": "0-0", "publisher": "thread", "busy_poll": "yes", "frame_log_bytes": "8m", "memory_max": "512m",
            "send_buffer_bytes": "64k", "zero_copy_bytes": 77, "market_hours": self.folder / "hours",
        }
        names = {f"{section}.{key}" if isinstance(inner, dict) else section
                 for section, inner in values.items() for key in (inner if isinstance(inner, dict) else ("",))}
        self.configure(websocket={"host": "127.0.0.1", "port": 0}, admin={"port": 0})
        with self.server(ports=False) as server:
            self.configure(feeds=["sim:symbols=1"], **values)
            answer = self.reload(server)
            self.assertEqual({change["key"] for change in answer["needs_restart"]}, names | {"feeds"})
            self.assertEqual(answer["applied"], [])
            self.assertNotIn(token_of("new"), json.dumps(answer) + server.log())
            self.connect(server).subscribe(SYMBOLS[:2], ["quote"])
            self.configure(websocket={"host": "127.0.0.1", "port": 0, "max_connections": 100000}, admin={"port": 0})
            answer = self.reload(server)
            self.assertEqual([change["key"] for change in answer["needs_restart"]], ["websocket.max_connections"])
            self.assertEqual(server.stats()["connections"]["max_connections"], 1000)

    def test_a_bad_file_changes_nothing(self):
        """S46: all or nothing, in the words of the start."""
        good = {"websocket": {"max_connections": 500}, "security": {"ip_deny": "10.9.9.9"}}
        bad = [
            ("unknown key", lambda: self.configure(websocket={"max_conections": 5})),
            ("max_connections", lambda: self.configure(websocket={"max_connections": "many"})),
            ("ip_allow", lambda: self.configure(security={"ip_allow": "10.0.0.300"})),
            ("tokens_file", lambda: self.configure(security={"enable_auth": "yes", "tokens_file": "/nowhere"})),
            ("enable_auth: no token can be valid", lambda: self.configure(security={"enable_auth": "yes"})),
            ("JSON", lambda: (self.tokens.write_text("{"), self.secure())),
            ("security.jwt_secret_file", lambda: (self.tokens.write_text("short"), self.configure(
                security={"enable_auth": "yes", "jwt_secret_file": self.tokens}))),
            ("ringcast.yaml", lambda: self.replace(self.config, "websocket: [")),
            ("does not exist", lambda: None),
            ("regular file", lambda: os.mkfifo(self.config)),
        ]
        self.configure(**good)
        with self.server() as server, HealthyClient(server.url()) as healthy:
            for word, spoil in bad:
                with self.subTest(word):
                    if self.config.exists():
                        self.config.unlink()
                    spoil()
                    answer = self.reload(server, 422)
                    self.assertIn(word, answer["error"])
                    self.assertEqual((answer["applied"], answer["needs_restart"]), ([], []))
                    self.assertIsNotNone(server.wait_for_line(f"reload refused, nothing is changed: .*{word}"))
                    self.assertEqual(server.stats()["connections"]["max_connections"], 500)
            self.config.unlink()
            self.configure(**good)
            self.assertEqual(self.reload(server)["applied"], [])
            healthy.check(self)

    def test_an_error_names_its_line(self):
        """S46: FILE:LINE."""
        self.configure()
        with self.server() as server:
            self.replace(self.config, "websocket:\n  max_connections: 5\nsecurity:\n  ip_deny: nonsense\n")
            self.assertIn(f"{self.config}:4: security.ip_deny", self.reload(server, 422)["error"])

    def test_a_pipe_cannot_be_read_again(self):
        """S46: a file that was a pipe refuses the reload, and the server goes on."""
        self.configure()
        read, write = os.pipe()
        os.write(write, (token_of("pipe") + "\n").encode())
        os.close(write)
        with self.server("--enable-auth", "--auth-token-file", f"/dev/fd/{read}", pass_fds=(read,)) as server:
            self.assertIn("not a regular file", self.reload(server, 422)["error"])
            self.connect(server, "pipe").subscribe(SYMBOLS[:1], ["quote"])
        os.close(read)


class Limits(ReloadCase):
    """S46, S52: a row each, on one server."""

    def setUp(self):
        super().setUp()
        self.configure()
        self.running = self.enterContext(self.server()) if hasattr(self, "enterContext") else self.server().start()
        self.addCleanup(lambda: self.running.process.poll() is None and self.running.stop())

    def test_connections(self):
        """S46: websocket.max_connections"""
        with self.connect(self.running):
            self.configure(websocket={"max_connections": 1})
            self.assertEqual(self.applied(self.running), {"websocket.max_connections": (1000, 1)})
            self.assertEqual(self.refused(self.running), 503)
            self.configure(websocket={"max_connections": 2})
            self.reload(self.running)
            self.assertEqual(self.refused(self.running), 101)

    def test_subscriptions(self):
        """S46: websocket.max_subscriptions_per_client"""
        client = self.connect(self.running)
        client.subscribe(SYMBOLS[:3], ["quote"])
        self.configure(websocket={"max_subscriptions_per_client": 4})
        self.reload(self.running)
        answer = client.subscribe(SYMBOLS[3:], ["quote"])
        self.assertEqual((len(answer["data"]["ok"]), len(answer["data"]["failed"])), (1, 2))
        welcome = self.connect(self.running).next_message(("WELCOME",))
        self.assertEqual(welcome["data"]["limits"]["max_subscriptions"], 4)

    def test_rates(self):
        """S46: security.messages_per_second, handshakes_per_second, max_connections_per_ip, rate_limit_enabled"""
        client = self.connect(self.running)
        self.configure(security={"messages_per_second": 1})
        self.reload(self.running)
        for _ in range(5):
            client.send_text('{"type":"PING"}')
        self.assertEqual(client.next_message(("ERROR",))["data"]["code"], 111)
        self.configure(security={"max_connections_per_ip": 2})
        self.reload(self.running)  # The client that was there before counts.
        self.assertEqual([self.refused(self.running) for _ in range(2)], [101, 429])
        self.configure(security={"handshakes_per_second": 1})
        self.reload(self.running)
        self.assertIn(429, [self.refused(self.running) for _ in range(5)])
        self.configure(security={"handshakes_per_second": 1, "max_connections_per_ip": 1, "rate_limit_enabled": "no"})
        self.reload(self.running)
        self.assertEqual({self.refused(self.running) for _ in range(5)}, {101})
        self.configure(security={"max_connections_per_ip": 3})
        self.reload(self.running)  # Those that came while nothing was counted count, too.
        self.assertEqual(self.refused(self.running), 429)

    def test_intervals(self):
        """S46: websocket.heartbeat_interval, idle_timeout, drain_timeout"""
        client = self.connect(self.running)
        idle = self.connect(self.running)
        client.subscribe(SYMBOLS[:1], ["quote"])
        self.configure(websocket={"heartbeat_interval": 0.2, "drain_timeout": 0.3, "idle_timeout": 0.5})
        self.reload(self.running)
        while client.next_frame()[0] != PING:
            pass
        self.assertEqual(idle.wait_for_close(), (4114, "idle"))
        welcome = self.connect(self.running).next_message(("WELCOME",))["data"]
        self.assertEqual((welcome["heartbeat_interval_ms"], welcome["idle_timeout_ms"]), (200, 500))
        self.running.signal(signal.SIGTERM)
        self.assertIsNotNone(self.running.wait_for_line("closed within 0.3 s"))
        self.running.wait()

    def test_log_level(self):
        """S46, S52: logging.level"""
        self.configure(logging={"level": "DEBUG"})
        self.reload(self.running)
        self.refused(self.running, "Sec-WebSocket-Version: 7\r\n")
        self.assertIsNotNone(self.running.wait_for_line("DEBUG ringcast: handshake refused"))
        self.configure(logging={"level": "ERROR"})
        self.reload(self.running)
        before = len(self.running.log_lines())
        self.configure(logging={"level": "INFO"})
        self.reload(self.running)
        self.assertIsNotNone(self.running.wait_for_line("reloaded", after=before))

    def test_origins_and_query_tokens(self):
        """S46: security.allowed_origins, allow_query_token"""
        self.configure(security={"allowed_origins": "https://a.example"})
        self.reload(self.running)
        self.assertEqual(self.refused(self.running, "Origin: https://b.example\r\n"), 403)
        self.write_tokens(entry("desk"))
        self.secure(allow_query_token="yes")
        self.reload(self.running)
        self.connect(self.running, path=f"/?token={token_of('desk')}").subscribe(SYMBOLS[:1], ["quote"])

    def test_lag(self):
        """S46: websocket.max_lag_ms"""
        client = RawClient(self.running.port, receive_buffer=4096, timeout=30)
        self.addCleanup(client.close)
        client.subscribe(SYMBOLS, ["quote", "trade"], delivery={"on_lag": "disconnect"})
        self.configure(websocket={"max_lag_ms": 50})
        self.reload(self.running)
        self.running.wait_until_blocked()
        self.running.wait_until_behind(0.2)
        self.assertEqual(client.wait_for_close()[0], 4108)


class Stale(ReloadCase):
    def test_stale_symbols(self):
        """S46: stale_after, ready_stale_percent, watchdog_seconds"""
        path = self.folder / "ingest"
        self.configure(feeds=[f"ingest:unix={path}"])
        with self.server() as server:
            with Producer(str(path)) as producer:
                producer.send(trade("A.B"))
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == 1))
                self.assertEqual(server.admin("/readyz")[0], 200)
                self.configure(feeds=[f"ingest:unix={path}"], stale_after=0.1, ready_stale_percent=1,
                               watchdog_seconds=9)
                self.assertEqual(set(self.applied(server)), {"stale_after", "ready_stale_percent", "watchdog_seconds"})
                self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 503))

    def test_files_of_a_recording(self):
        """S46: record.file_bytes, record.file_seconds"""
        folder = self.folder / "record"
        folder.mkdir()
        self.configure(record={"directory": folder, "file_bytes": "1g"})
        with self.server() as server:
            server.wait_for_ticks(1)
            self.configure(record={"directory": folder, "file_bytes": "64k", "file_seconds": 1})
            self.assertEqual(set(self.applied(server)), {"record.file_bytes", "record.file_seconds"})
            self.assertTrue(wait_until(lambda: len(list(folder.iterdir())) >= 3, 20))


class Tokens(ReloadCase):
    def test_a_token_that_is_gone_closes_its_clients(self):
        """S46: live connections are judged again: 4001 auth;cause=revoked"""
        self.write_tokens(entry("desk"), entry("other"))
        self.secure()
        with self.server("--cores", "2") as server:
            desks = [self.connect(server, "desk") for _ in range(6)]
            other = self.connect(server, "other")
            for client in (*desks, other):
                client.subscribe(SYMBOLS, ["quote"])
            self.write_tokens(entry("other"))
            changed, = self.reload(server)["applied"]
            self.assertEqual((changed["key"], changed["content"]), ("security.tokens_file", "changed"))
            for client in desks:
                self.assertEqual(client.wait_for_close(1), (4001, "auth;cause=revoked"))
            self.assertEqual(self.refused(server, bearer("desk")), 401)
            other.next_message(("quote",))
            self.assertIsNotNone(server.wait_for_line("audit: FAILED .*the token of desk was revoked"))
            self.assertIsNotNone(server.wait_for_line(r"Client \S+ \(desk\) disconnected: .*code 4001"))
            self.assertNotIn(token_of("desk"), server.log())

    def test_a_smaller_scope_ends_what_it_does_not_cover(self):
        """S46: exact subscriptions, patterns, "*" and replays outside the new scope end with a NOTICE"""
        self.write_tokens(entry("desk"))
        self.secure()
        with self.server() as server:
            client = self.connect(server, "desk")
            client.subscribe(SYMBOLS, ["quote"])
            client.subscribe(["*"], ["trade"])
            client.subscribe(["6*"], ["quote"])
            client.next_message(("trade",))
            self.write_tokens(entry("desk", symbols=["000001.SZ", "A*"], types=["quote"], max_subscriptions=3))
            self.reload(server)
            after = self.until_pong(client)
            dropped = [(name["symbol"], name["type"]) for message in after if message["type"] == "NOTICE"
                       for name in message["data"]["dropped"]]
            self.assertEqual(set(dropped), {(symbol, "quote") for symbol in SYMBOLS[1:3] + SYMBOLS[4:]} |
                             {("*", "trade"), ("6*", "quote")})
            self.assertEqual(client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["count"], 2)
            for _ in range(20):
                self.assertIn(client.next_message(("quote", "trade"))["symbol"], ("000001.SZ", "AAPL.US"))
            self.assertEqual(client.subscribe(["A*"], ["quote"])["data"]["failed"], [])
            self.assertEqual(len(client.subscribe(["AB*"], ["quote"])["data"]["failed"]), 1)  # max_subscriptions
            self.write_tokens(entry("desk"))
            self.reload(server)
            self.assertEqual(client.subscribe(["*"], ["trade"])["data"]["failed"], [])

    def test_connections_of_a_token_stay_counted(self):
        """S46: max_connections of a token, before and after"""
        self.write_tokens(entry("desk", max_connections=2))
        self.secure()
        with self.server() as server:
            clients = [self.connect(server, "desk") for _ in range(2)]
            for limit in (2, 3):
                self.write_tokens(entry("desk", max_connections=limit), entry("new" + str(limit)))
                self.reload(server)
                self.assertEqual(self.refused(server, bearer("desk")), 429 if limit == 2 else 101)
            clients.pop().close()
            self.assertTrue(wait_until(lambda: self.refused(server, bearer("desk")) == 101))

    def test_tokens_that_are_needed_from_now_on(self):
        """S46: security.enable_auth on and off"""
        self.configure()
        with self.server() as server:
            client, silent = self.connect(server), self.connect(server)
            for each in (client, silent):
                each.subscribe(SYMBOLS, ["quote"])
                each.next_message(("quote",))
            self.write_tokens(entry("desk"))
            self.secure()
            self.reload(server)
            after = self.until_pong(client)
            events = [message["data"]["event"] for message in after if message["type"] == "NOTICE"]
            self.assertEqual(events, ["TOKEN_EXPIRING", "SUBSCRIPTIONS_DROPPED"])
            self.assertEqual(client.subscribe(SYMBOLS, ["quote"])["data"]["code"], 101)
            client.ask({"type": "AUTH", "data": {"token": token_of("desk")}}, ("AUTHENTICATED",))
            self.assertEqual(client.subscribe(SYMBOLS, ["quote"])["data"]["failed"], [])
            self.assertEqual(silent.wait_for_close(8), (4001, "auth;cause=token"))
            waiting = self.connect(server)
            self.configure()
            self.reload(server)
            self.assertEqual(waiting.subscribe(SYMBOLS, ["quote"])["data"]["failed"], [])
            client.next_message(("quote",))

    def test_keys_of_jwts_rotate(self):
        """S46: security.jwt_secret_file, jwt_issuer, jwt_audience; no cache remembers a signature"""
        secret = self.folder / "secret"
        keys = {"enable_auth": "yes", "jwt_secret_file": secret}
        secret.write_text(SECRETS[0])
        self.configure(security=keys)
        with self.server() as server:
            old = f"Authorization: Bearer {jwt(SECRETS[0])}\r\n"
            client = self.connect(server, extra=old)
            client.subscribe(SYMBOLS, ["quote"])
            self.assertEqual(self.reload(server)["applied"], [])
            self.until_pong(client)
            secret.write_text(SECRETS[1])
            self.assertEqual([change["content"] for change in self.reload(server)["applied"]], ["changed"])
            self.assertEqual(client.wait_for_close(1), (4001, "auth;cause=revoked"))
            self.assertEqual(self.refused(server, old), 401)
            new = jwt(SECRETS[1], aud="desk")
            self.assertEqual(self.refused(server, f"Authorization: Bearer {new}\r\n"), 403)
            self.configure(security={**keys, "jwt_audience": "desk"})
            self.reload(server)
            client = self.connect(server, extra=f"Authorization: Bearer {new}\r\n")
            self.configure(security={**keys, "jwt_audience": "desk", "jwt_issuer": "https://issuer.example"})
            self.reload(server)
            self.assertEqual(client.wait_for_close(1), (4001, "auth;cause=revoked"))

    def test_no_answer_shows_a_secret(self):
        """S46: secrets are "***" """
        self.configure(security={"enable_auth": "yes", "auth_token": token_of("old")})
        with self.server() as server:
            self.configure(security={"enable_auth": "yes", "auth_token": token_of("new")})
            changed, = self.reload(server)["applied"]
            self.assertEqual(changed, {"key": "security.auth_token", "from": "***", "to": "***"})
            self.assertNotIn("-token-0123", server.log())


class Addresses(ReloadCase):
    def test_an_address_that_is_denied_is_closed(self):
        """S46: security.ip_deny, ip_allow: 4003 policy;cause=address"""
        self.configure()
        with self.server() as server:
            client = self.connect(server)
            client.subscribe(SYMBOLS, ["quote"])
            self.configure(security={"ip_deny": "127.0.0.0/8"})
            self.reload(server)
            self.assertEqual(client.wait_for_close(1), (4003, "policy;cause=address"))
            self.assertEqual(self.refused(server), 403)
            self.configure(security={"ip_allow": "127.0.0.1"})
            self.reload(server)
            client = self.connect(server)
            self.configure(security={"ip_allow": "10.0.0.1"})
            self.reload(server)
            self.assertEqual(client.wait_for_close(1)[0], 4003)

    def test_clients_behind_a_proxy_go_by_their_own_address(self):
        """S46: security.trusted_proxies, proxy_protocol"""
        self.configure(security={"trusted_proxies": "127.0.0.1"})
        with self.server() as server:
            clients = [self.connect(server, extra=f"X-Forwarded-For: 203.0.113.{i}\r\n") for i in range(4)]
            self.configure(security={"trusted_proxies": "127.0.0.1", "ip_deny": "203.0.113.2/31"})
            self.reload(server)
            for client in clients[2:]:
                self.assertEqual(client.wait_for_close(1)[0], 4003)
            for client in clients[:2]:
                self.until_pong(client)
            self.configure(security={"ip_deny": "203.0.113.0/24"})  # The proxy is not trusted any more.
            self.reload(server)
            self.assertEqual(self.refused(server, "X-Forwarded-For: 203.0.113.9\r\n"), 101)
            self.configure(security={"trusted_proxies": "127.0.0.1", "proxy_protocol": "yes"})
            self.reload(server)
            self.assertEqual(self.refused(server), 400)


class Producers(ReloadCase):
    def test_producers_are_judged_again(self):
        """S46: tokens and scopes of the ingest"""
        path = self.folder / "ingest"
        feeds = [f"ingest:unix={path}", *self.feeds]
        security = {"enable_auth": "yes", "tokens_file": self.tokens}
        self.write_tokens(entry("one", publish={}), entry("two", publish={}), entry("desk"))
        self.configure(feeds=feeds, security=security)
        with self.server("--cores", "2") as server:
            client = self.connect(server, "desk")
            with Producer(str(path), name="one", token=token_of("one")) as one, \
                    Producer(str(path), name="two", token=token_of("two"), binary=True) as two:
                one.next("WELCOME"), two.next("WELCOME")
                one.send(trade("A.B", q=1), trade("C.D", q=2))
                self.assertTrue(wait_until(lambda: "C.D" in server.admin("/symbols")[2]))
                self.assertEqual(client.subscribe(["A.B", "C.D"], ["trade"])["data"]["failed"], [])
                self.write_tokens(entry("one", publish={"symbols": ["A*"]}), entry("desk"))
                self.reload(server)
                one.send(trade("C.D", q=3), trade("A.B", q=4))
                self.assertEqual(client.next_message(("trade",))["symbol"], "A.B")
                self.assertIn("does not permit", json.dumps(one.next("REFUSED")))
                self.assertIn("not valid any more", json.dumps(two.next("ERROR")))
                self.configure(feeds=feeds)
                self.reload(server)
                one.send(trade("C.D", q=5))
                self.assertEqual(client.next_message(("trade",))["symbol"], "C.D")
                self.configure(feeds=feeds, security=security)
                self.reload(server)
                self.assertEqual(one.next("ERROR")["type"], "ERROR")


class Either:
    """What one of several scopes covers."""

    def __init__(self, scopes):
        self.scopes = scopes
        self.entry = [scope.entry for scope in scopes]

    def covers(self, symbol, kind):
        return any(scope.covers(symbol, kind) for scope in self.scopes)


class Reloaded(Viewer):
    """A viewer whose token permits something else after each of its reloads.

    Once a reload has been answered, the viewer sends a PING. What comes behind its PONG was sent after the
    reload, and must be within the scope of then. What comes before may be of any scope since the last PONG.
    """

    def __init__(self, case, server, seed, counts):
        self.case, self.server, self.name = case, server, f"viewer-{seed}"
        self.pending = collections.deque([(0, SCOPES[0])])
        self.number = 0
        self.is_gone = False
        case.publish(server, self.name, SCOPES[0])
        with unittest.mock.patch.object(SCOPES[0], "token", token_of(self.name)):
            super().__init__(server, seed, counts)

    def step(self):
        if self.random.random() < 0.25:
            self.reload()
        super().step()

    def say(self, kind, **data):
        if kind != "AUTH":
            super().say(kind, **data)

    def reload(self):
        scope = self.random.choice(SCOPES)
        self.number += 1
        self.case.publish(self.server, self.name, scope)
        self.counts["reloads"] += 1
        self.pending.append((self.number, scope))
        self.scope = Either([scope for _, scope in self.pending])
        self.client.send_text(json.dumps({"type": "PING", "id": self.number}))

    def on_message(self, message):
        kind = super().on_message(message)
        if kind == "PONG" and "id" in message:
            while self.pending[0][0] != message["id"]:
                self.pending.popleft()
            self.scope = Either([scope for _, scope in self.pending])
        return kind

    def run(self):
        for _ in range(30):
            self.step()
        self.reload()
        while len(self.pending) > 1:
            self.read_until("PONG")
        self.say("UNSUBSCRIBE")  # A full socket may take a Close frame only after the server's patience.
        self.read_until("UNSUBSCRIBED")
        self.case.publish(self.server, self.name, None)
        self.case.assertEqual(self.client.wait_for_close(), (4001, "auth;cause=revoked"))
        self.client.close()


class AtRandom(ReloadCase):
    feeds = ["sim:symbols=8,rate=1500,types=quote+trade+bar+depth"]
    VIEWERS = 4

    def publish(self, server, name, scope):
        """The token of one viewer, those of the others as they were."""
        with self.lock:
            self.entries.pop(name, None)
            if scope is not None:
                self.entries[name] = {**scope.entry, "name": name, "token": token_of(name)}
            self.write_tokens(entry("nobody"), *self.entries.values())
            self.reload(server)

    def view(self, server, first, count):
        try:
            seed = first
            while self.counts["reloads"] < count and not self.faults:
                Reloaded(self, server, seed, self.counts).run()
                seed += self.VIEWERS
        except Exception as fault:  # The test reports it.
            self.faults.append((f"RINGCAST_SEED={seed}", repr(fault)))

    def run_viewers(self, server, first, count):
        """Until there were so many reloads; what the server uses then."""
        self.counts = collections.Counter()
        threads = [threading.Thread(target=self.view, args=(server, first + i, count)) for i in range(self.VIEWERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.faults, [])
        self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0))
        stats = server.stats()
        allocator = stats["memory"]["allocator"]  # Without jemalloc, as with a sanitizer, it has no figures.
        return allocator.get("allocated_bytes", 0), stats["process"]["open_fds"]

    def test_nothing_outside_a_scope_follows_a_reload(self):
        """S46: scopes that change at random, on two cores; nothing leaks"""
        self.lock, self.entries, self.faults = threading.Lock(), {}, []
        count = 1000 if os.environ.get("RINGCAST_TEST_SIZE") == "full" else 60
        seed = int(os.environ.get("RINGCAST_SEED", random.SystemRandom().randrange(1 << 32)))
        self.write_tokens(entry("nobody"))
        self.secure()
        with self.server("--cores", "2", "--frame-log-bytes", "1m", "--compression-threshold", "100") as server:
            before = self.run_viewers(server, seed, max(60, count // 5))
            after = self.run_viewers(server, seed + 1000, count)
            self.assertLess(after[0] - before[0], 1 << 20, "bytes allocated")
            self.assertEqual(after[1], before[1], "descriptors")
            for word in ("checked", "dropped", "REPLAYING", "SNAPSHOT", "SUBSCRIBED"):
                self.assertGreater(self.counts[word], 0, self.counts)
            self.assertEqual(sum("refused" in line for line in server.log_lines()), 0)


if __name__ == "__main__":
    unittest.main()
