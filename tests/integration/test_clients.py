"""/admin/clients, /admin/topk and /admin/kick: who is connected, who is behind and why, and who has to go."""
import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from clients import HealthyClient, RawClient, subscribe_message
from server import Server, not_by_wss, program, reap, spawn, wait_until

IS_FULL = os.environ.get("RINGCAST_TEST_SIZE", "quick") != "quick"
FEED = ("--feed", "sim:symbols=20,rate=2000,types=quote+trade+bar+depth")
SBE = "Sec-WebSocket-Protocol: md.sbe.v1\r\n"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MANY = 2000
AUDIT_LINES = 20  # of a kick
KEYS = {"session", "name", "address", "core", "encoding", "subscriptions", "lag_frames", "lag_ms", "frames_sent",
        "frames_lost", "frames_conflated", "bytes_sent", "round_trip_us", "connected_seconds", "state", "cause",
        "quality", "tls"}


def get(server, path, **query):
    """The JSON of an answer with 200."""
    status, _, body = server.admin(f"{path}?{urllib.parse.urlencode(query)}", seconds=60)
    assert status == 200, body
    return json.loads(body)


def clients(server, **query):
    return get(server, "/admin/clients", **query)["clients"]


def sessions(server, **query):
    return [client["session"] for client in clients(server, **query)]


def kick(server, **body):
    """(status, answer)."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.admin_port}/admin/kick", method="POST",
                                     data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)


def open_client(case, server, address=None, **settings):
    """A client and its session."""
    client = RawClient(server.port if address is None else address, **settings)
    case.addCleanup(client.close)
    return client, client.next_message(("WELCOME",))["data"]["session"]


class FewClients(unittest.TestCase):
    """One of each kind, on a server with tokens for two of them."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        cls.socket = pathlib.Path(folder.name) / "clients.sock"
        tokens = pathlib.Path(folder.name) / "tokens.json"
        tokens.write_text(json.dumps({"tokens": [{"name": name, "token": f"{name}-0123456789abcdef"}
                                                 for name in ("desk-1", "desk-2", "local")]}))
        cls.server = Server(*FEED, "--cores", "2", "--enable-auth", "--tokens-file", str(tokens), "--unix", str(cls.socket))
        cls.server.start()
        cls.addClassCleanup(cls.server.kill)
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.assertTrue(wait_until(lambda: not clients(self.server)))

    def open(self, name, address=None, extra="", **settings):
        bearer = f"Authorization: Bearer {name}-0123456789abcdef\r\n"
        return open_client(self, self.server, address, extra=bearer + extra, **settings)

    def open_each(self):
        """The sessions of a client with JSON, one with SBE, one with compression, and one of a Unix socket."""
        json_client, first = self.open("desk-1")
        json_client.subscribe(["*"], ["quote", "trade"])
        sbe, second = self.open("desk-2", extra=SBE)
        sbe.send_text(subscribe_message(["000001.SZ"], ["quote"]))
        deflated = RawClient(self.server.port, extra="Authorization: Bearer desk-2-0123456789abcdef\r\n" + DEFLATE)
        self.addCleanup(deflated.close)
        local, fourth = self.open("local", address=self.socket)
        local.subscribe(["000001.SZ", "600519.SH"], ["quote", "trade"])
        self.assertTrue(wait_until(lambda: sum(client["subscriptions"] for client in clients(self.server)) == 7))
        third, = set(sessions(self.server)) - {first, second, fourth}
        return first, second, third, fourth

    def test_each_client_is_listed_with_what_it_has(self):
        """S18, S78: subscriptions, frames sent and lost, and time of each client."""
        first, second, third, fourth = self.open_each()
        answer = get(self.server, "/admin/clients")
        self.assertEqual((answer["total"], answer["matched"]), (4, 4))
        rows = {client["session"]: client for client in answer["clients"]}
        self.assertEqual({key: client["encoding"] for key, client in rows.items()},
                         {first: "json", second: "sbe", third: "json+deflate", fourth: "json"})
        self.assertEqual([rows[key]["name"] for key in (first, second, third, fourth)],
                         ["desk-1", "desk-2", "desk-2", "local"])
        self.assertEqual([rows[key]["subscriptions"] for key in (first, second, third, fourth)], [2, 1, 0, 4])
        for key, client in rows.items():
            self.assertEqual(set(client), KEYS)
            self.assertEqual(key.split("-")[0], str(client["core"]))
            self.assertGreaterEqual(client["connected_seconds"], 0)
            self.assertIn(client["quality"], (None, 100))
        self.assertRegex(rows[first]["address"], r"^127\.0\.0\.1:\d+$")
        self.assertGreater(rows[first]["bytes_sent"], 100)
        self.assertEqual((rows[fourth]["address"], rows[fourth]["bytes_sent"]), ("unix", None))
        self.assertTrue(wait_until(lambda: clients(self.server, session=first)[0]["frames_sent"] > 10))

    def test_filters_choose_among_clients(self):
        first, second, third, fourth = self.open_each()
        for query, wanted in (({"name": "desk-2"}, {second, third}), ({"name": "nobody"}, set()),
                              ({"encoding": "json"}, {first, fourth}), ({"encoding": "sbe"}, {second}),
                              ({"encoding": "json+deflate"}, {third}), ({"session": second}, {second}),
                              ({"session": "0-99999"}, set()), ({"address": "127.0.0.1"}, {first, second, third}),
                              ({"address": "127.0.0.0/8"}, {first, second, third}), ({"address": "10.0.0.0/8"}, set()),
                              ({"address": "unix"}, {fourth}), ({"address": "127.0.0.1", "encoding": "sbe"}, {second})):
            with self.subTest(query):
                answer = get(self.server, "/admin/clients", **query)
                self.assertEqual({client["session"] for client in answer["clients"]}, wanted)
                self.assertEqual((answer["matched"], answer["total"]), (len(wanted), 4))

    def test_sorting_and_pages_show_each_client_once(self):
        keys = {"lag": "lag_ms", "lost": "frames_lost", "connected": "connected_seconds", "bytes": "bytes_sent",
                "quality": "quality", "subscriptions": "subscriptions"}
        everybody = set(self.open_each())
        for sort, key in keys.items():
            for order in ("asc", "desc"):
                with self.subTest(sort=sort, order=order):
                    values = [client[key] or 0 for client in clients(self.server, sort=sort, order=order)]
                    values = [100] * 4 if sort == "quality" else values  # null: not sampled yet
                    self.assertEqual(values, sorted(values, reverse=order == "desc"))
                    # They do not change their order by this key while it is paged.
                    if sort in ("connected", "subscriptions"):
                        pages = [sessions(self.server, sort=sort, order=order, limit=1, offset=i) for i in range(5)]
                        self.assertEqual([len(page) for page in pages], [1, 1, 1, 1, 0])
                        self.assertEqual(set(sum(pages, [])), everybody)

    def test_what_is_not_valid_is_answered_with_what_is(self):
        for query, words in (("sort=size", "lag, lost, bytes, connected, quality or subscriptions"),
                             ("order=up", "asc or desc"), ("limit=0", "from 1 to 1000"), ("limit=1001", "1000"),
                             ("offset=-1", "whole number"), ("encoding=xml", "json, sbe or"),
                             ("address=desk", "10.0.0.0/8"), ("session=12", "0-12"), ("who=me", "sort, order, limit"),
                             ("sort=lag&sort=lost", "each once"), ("sort", "with a value")):
            with self.subTest(query):
                status, _, body = self.server.admin(f"/admin/clients?{query}")
                self.assertEqual(status, 400)
                self.assertIn(words, json.loads(body)["error"])
        for query in ("k=0", "k=101", "k=x", "limit=1"):
            self.assertEqual(self.server.admin(f"/admin/topk?{query}")[0], 400)
        for body in ({}, {"name": ""}, {"name": "a", "session": "0-1"}, {"session": 5}, {"session": "5"},
                     {"address": "10.0.0.0/99"}, {"name": "a", "code": 4099}, {"name": "a", "code": 4300},
                     {"name": "a", "code": "4115"}, {"name": "a", "why": "x"}):
            with self.subTest(body):
                status, answer = kick(self.server, **body)
                self.assertEqual(status, 400)
                self.assertIn("give", answer["error"])

    def test_a_kick_closes_those_that_it_names_and_nobody_else(self):
        witness, spared = self.open("local", address=self.socket)
        witness.subscribe(["*"], ["quote"])
        for who, code in (({"name": "desk-1"}, 4115), ({"address": "127.0.0.1"}, 4200),
                          ({"address": "127.0.0.0/8"}, 4100), ({"session": None}, 4115)):
            with self.subTest(who):
                client, session = self.open("desk-1")
                other, _ = self.open("desk-1")
                who = {"session": session} if "session" in who else who
                before = self.kicked()
                body = who if code == 4115 else {**who, "code": code}
                count = 1 if "session" in who else 2
                self.assertEqual(kick(self.server, **body), (200, {"kicked": count}))
                self.assertEqual(client.wait_for_close(), (code, "kicked"))
                self.assertEqual(self.kicked() - before, count)
                self.assertIsNotNone(self.server.wait_for_line(
                    rf"audit: KICKED 127\.0\.0\.1:\d+: client {session} as desk-1, code {code}"))
                if count == 2:
                    self.assertEqual(other.wait_for_close(), (code, "kicked"))
                # Sessions are never used again.
                self.assertEqual(kick(self.server, session=session), (200, {"kicked": 0}))
                other.close()
                client.close()
        self.assertEqual(sessions(self.server, name="local"), [spared])
        witness.next_message(("quote",))

    def kicked(self):
        text = self.server.admin("/metrics")[2]
        return sum(int(line.split()[1]) for line in text.splitlines()
                   if line.startswith("ringcast_connections_kicked_total"))

    def test_hot_symbols_are_those_with_the_most_frames(self):
        """S84: the symbols with the most frames a second, and how many clients get them."""
        self.open_each()

        def symbols():
            return get(self.server, "/admin/topk", k=100)["symbols"]
        self.assertTrue(wait_until(lambda: len(symbols()) > 20, 20))
        rates = [symbol["frames_per_second"] for symbol in symbols()]
        self.assertEqual(rates, sorted(rates, reverse=True))
        self.assertEqual(len(get(self.server, "/admin/topk", k=3)["symbols"]), 3)
        counts = {(symbol["symbol"], symbol["type"]): symbol["subscribers"] for symbol in symbols()}
        for pair, count in {("000001.SZ", "quote"): 3, ("000001.SZ", "trade"): 2,
                            ("300750.SZ", "quote"): 1, ("000001.SZ", "depth"): 0}.items():
            self.assertEqual(counts.get(pair, count), count, pair)


class Laggards(unittest.TestCase):
    def test_a_client_that_does_not_read_is_the_first_of_the_laggards(self):
        """S84, S94: lag, losses and their cause; a blocked client has a low quality."""
        small = ("--send-buffer-bytes", "65536", "--frame-log-bytes", "1048576", "--heartbeat-interval", "300")
        with Server(*FEED, *small) as server:
            tap = spawn([program("ringcast-tap"), "--verify", "--types", "quote", server.url()],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(reap, tap)
            stalled, session = open_client(self, server, receive_buffer=4096)
            stalled.send_text(subscribe_message(["*"], ["quote", "trade", "bar", "depth"]))
            server.wait_until_blocked()

            def worst():
                return (get(server, "/admin/topk")["laggards"] or [{"lag_ms": 0}])[0]
            self.assertTrue(wait_until(lambda: worst()["lag_ms"] > 100, 20))
            client = worst()
            self.assertEqual((client["session"], client["state"], client["cause"]), (session, "blocked", "client"))
            self.assertGreater(client["lag_frames"], 0)
            self.assertEqual(sessions(server)[0], session)
            if not IS_FULL:
                return
            self.assertTrue(wait_until(lambda: (worst()["quality"] or 100) <= 60, 60), worst())
            self.assertEqual(sessions(server, sort="quality", order="asc")[0], session)
            good = 'ringcast_connections_by_quality{core="0",band="good"} 1'
            self.assertTrue(wait_until(lambda: good in server.admin("/metrics")[2], 60), "the other has no quality")


@not_by_wss
class ManyClients(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.socket = pathlib.Path(folder.name) / "clients.sock"
        self.server = Server("--feed", "sim:symbols=20,rate=100", "--cores", "2", "--unix", str(self.socket),
                             "--max-connections", str(MANY + 100), "--drain-timeout", "0").start()
        self.addCleanup(self.server.kill)
        self.addCleanup(self.server.stop)

    def test_two_thousand_clients_are_paged_and_kicked_while_another_gets_every_frame(self):
        load = spawn([program("ringcast-bench"), "-c", str(MANY), "-d", "300", "-w", "0", self.server.url()],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(reap, load)
        with HealthyClient(self.server.url(), types=("quote",), unix=str(self.socket)) as witness:
            self.assertTrue(wait_until(lambda: get(self.server, "/admin/clients", limit=1)["total"] == MANY + 1, 60))
            pages = [sessions(self.server, limit=1000, offset=offset, sort="connected") for offset in (0, 1000, 2000)]
            self.assertEqual([len(page) for page in pages], [1000, 1000, 1])
            self.assertEqual(len(set(sum(pages, []))), MANY + 1)
            self.assertEqual(kick(self.server, address="127.0.0.0/8", code=4201), (200, {"kicked": MANY}))
            self.assertIsNotNone(self.server.wait_for_line(
                rf"audit: KICKED {MANY - AUDIT_LINES} more clients, code 4201"))
            witness.check(self)

    def test_a_list_shows_no_client_twice_while_clients_come_and_go(self):
        """And a session that is shown was a client's: chaos."""
        stop = threading.Event()
        errors = []

        def come_and_go(seed):
            draw = random.Random(seed)
            kept = []
            try:
                while not stop.is_set():
                    kept.append(RawClient(self.server.port))
                    while len(kept) > draw.randrange(20):
                        client = kept.pop(draw.randrange(len(kept)))
                        draw.choice((client.close, client.reset))()
            except OSError as error:
                errors.append(error)
            for client in kept:
                client.close()
        stable = [open_client(self, self.server)[1] for _ in range(20)]
        threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + 2
            kicked = 0
            while time.monotonic() < end:
                rows = clients(self.server, limit=1000, address="127.0.0.1")
                names = [row["session"] for row in rows]
                self.assertEqual(len(names), len(set(names)))
                self.assertLessEqual(set(stable), set(names))
                gone = [name for name in names if name not in stable][:1]
                kicked += kick(self.server, session=gone[0])[1]["kicked"] if gone else 0
                get(self.server, "/admin/topk")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(errors, [])
        self.assertEqual(set(sessions(self.server, limit=1000)) & set(stable), set(stable))


if __name__ == "__main__":
    unittest.main()
