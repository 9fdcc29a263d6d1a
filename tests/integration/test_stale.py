"""Stale symbols: in /metrics, /stats, /symbols, /readyz, STATUS and the log; market hours."""
import json
import os
import pathlib
import re
import tempfile
import unittest

from clients import RawClient
from producers import Producer, trade
from server import Server, clean_environment, program, run, wait_until

HEAD = b"symbol,timestamp,price,size,side\n"
STALE_AFTER = ("--stale-after", 1)


def row(symbol):
    return f"{symbol},2024-11-20T07:00:00Z,1,1,B\n".encode()


def gauge(server, name):
    """Of /metrics; a metric with labels is summed up."""
    text = server.admin("/metrics")[2]
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def listed(server, query):
    status, _, body = server.admin(f"/symbols?{query}")
    assert status == 200, body
    return [entry["symbol"] for entry in json.loads(body)["symbols"]]


def status_of(client):
    return client.ask({"type": "STATUS"}, ("STATUS",))["data"]["stale"]


class Stale(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def serve(self, *options):
        """A server with a feed of our own, which has no ticks but those that we write."""
        path = self.folder / "ticks"
        os.mkfifo(path)
        self.feed = open(os.open(path, os.O_RDWR), "wb", buffering=0)
        self.addCleanup(self.feed.close)
        self.feed.write(HEAD)
        return Server("--feed", f"replay:path={path},speed=0", *options)

    def tick(self, *symbols):
        self.feed.write(b"".join(map(row, symbols)))

    def until_stale(self, server, count):
        self.assertTrue(wait_until(lambda: gauge(server, "ringcast_stale_symbols") == count, 30),
                        server.admin("/stats")[2])

    def until_fresh(self, condition, *symbols):
        """Ticks go on meanwhile: on a busy machine a second may be over before it is looked at."""
        def attempt():
            self.tick(*symbols)
            return condition()
        self.assertTrue(wait_until(attempt, 30))

    def test_a_symbol_without_ticks_is_stale_wherever_it_is_shown_until_its_next_tick(self):
        with self.serve(*STALE_AFTER) as server, RawClient(server.port) as all_of_them, \
                RawClient(server.port) as only_one, RawClient(server.port) as derived:
            self.tick("A", "B", "C")
            self.assertTrue(wait_until(lambda: len(listed(server, "limit=10")) == 3))
            all_of_them.subscribe(["*"], ["trade"])
            only_one.subscribe(["B", "unknown", "B*"], ["trade"])
            derived.subscribe(["C"], ["bar"], bar="1m")
            self.until_stale(server, 3)
            self.assertEqual(gauge(server, "ringcast_symbols"), 3)
            self.assertEqual(gauge(server, "ringcast_open_symbols"), 3)
            self.assertEqual(server.stats()["staleness"],
                             {"symbols": 3, "open": 3, "stale": 3, "names": ["A", "B", "C"]})
            self.assertEqual(gauge(server, "ringcast_feed_stale_symbols"), 3)
            self.assertEqual(listed(server, "stale=yes"), ["A", "B", "C"])
            self.assertEqual(listed(server, "stale=yes&pattern=B*"), ["B"])
            self.assertEqual(listed(server, "stale=no"), ["A", "B", "C"])
            self.assertEqual(status_of(all_of_them), {"count": 3, "symbols": ["A", "B", "C"]})
            self.assertEqual(status_of(only_one), {"count": 1, "symbols": ["B"]})
            self.assertEqual(status_of(derived), {"count": 1, "symbols": ["C"]})
            page = all_of_them.ask({"type": "SYMBOLS", "data": {"pattern": "A"}}, ("SYMBOLS",))
            self.assertIs(page["data"]["symbols"][0]["stale"], True)
            line = server.wait_for_line("WARNING.*stale: ")
            self.assertRegex(line, r"stale: [1-3] of 3 symbols \(no tick for 1 s, or the source is "
                                   r"gone\): [A-C]")
            self.until_fresh(lambda: gauge(server, "ringcast_stale_symbols") == 0, "A", "B", "C")
            self.until_fresh(lambda: listed(server, "stale=yes") == [], "A", "B", "C")
            self.until_fresh(lambda: status_of(all_of_them) == {"count": 0, "symbols": []},
                             "A", "B", "C")
            self.until_fresh(lambda: listed(server, "stale=yes") == ["B"], "A", "C")
            # It was ready all the time, as nobody asked for more.
            self.assertEqual(server.admin("/readyz")[0], 200)

    def test_readyz_is_503_while_too_many_symbols_are_stale(self):
        with self.serve(*STALE_AFTER, "--ready-stale-percent", 60) as server:
            def answer():
                status, _, body = server.admin("/readyz")
                return status, json.loads(body)
            self.assertEqual(answer()[0], 200, "there is no symbol yet")
            self.tick("A", "B")
            self.until_stale(server, 2)
            status, body = answer()
            self.assertEqual(status, 503)
            self.assertEqual(body, {"ready": False, "status": "stale", "staleness": {
                "symbols": 2, "open": 2, "stale": 2, "names": ["A", "B"]}})
            self.assertEqual(gauge(server, "ringcast_ready"), 0)
            self.assertEqual(server.admin("/livez")[0], 200)
            self.until_fresh(lambda: answer()[0] == 200, "A")  # Half of them are stale.
            self.until_stale(server, 2)
            self.assertEqual(answer()[0], 503)

    def test_a_symbol_of_a_closed_market_is_not_stale(self):
        hours = self.folder / "hours.txt"
        hours.write_text("*.SH,*.SZ UTC Mon-Sun closed\n*.US UTC Mon-Sun 00:00-24:00\n")
        with self.serve(*STALE_AFTER, "--market-hours", hours) as server:
            self.tick("1.SH", "1.SZ")
            self.tick("1.US", "1.BINANCE")
            self.until_stale(server, 2)
            self.assertEqual(listed(server, "stale=yes"), ["1.BINANCE", "1.US"])
            self.assertEqual(gauge(server, "ringcast_symbols"), 4)
            self.assertEqual(gauge(server, "ringcast_open_symbols"), 2)

    def test_many_stale_symbols_are_counted_and_a_hundred_are_named(self):
        count = 20000
        with self.serve(*STALE_AFTER, "--max-connections", 10) as server, \
                RawClient(server.port) as client:
            for first in range(0, count, 1000):
                self.tick(*(f"S{number:05}" for number in range(first, first + 1000)))
            self.until_stale(server, count)
            client.subscribe(["*", "S1*"], ["trade"], snapshot=False)
            stale = status_of(client)
            self.assertEqual(stale["count"], count)
            self.assertEqual(stale["symbols"], [f"S{number:05}" for number in range(100)])
            with RawClient(server.port) as other:
                other.subscribe(["S1*", "S00001"], ["trade"], snapshot=False)
                self.assertEqual(status_of(other)["count"], count // 2 + 1)

    def test_symbols_of_a_producer_that_has_left_are_stale_at_once(self):
        """Without --stale-after; another producer's are not, and a tick of any ends it."""
        path = self.folder / "producers"
        with Server("--feed", f"ingest:unix={path}") as server:
            leaves, stays = (Producer(path, name=name, epoch=1) for name in ("leaves", "stays"))
            self.addCleanup(leaves.close)
            self.addCleanup(stays.close)
            for producer, symbols in (leaves, ("A", "B")), (stays, ("C",)):
                for q, symbol in enumerate(symbols, 1):
                    producer.send(trade(symbol, q))
                self.assertEqual(producer.wait_for_ack(len(symbols)), len(symbols))
            self.assertEqual(gauge(server, "ringcast_symbols"), 3)
            self.assertEqual(gauge(server, "ringcast_stale_symbols"), 0)
            leaves.close()
            self.until_stale(server, 2)
            self.assertEqual(listed(server, "stale=yes"), ["A", "B"])
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["trade"])
                self.assertEqual(status_of(client), {"count": 2, "symbols": ["A", "B"]})
            self.assertIsNotNone(
                server.wait_for_line(r"stale: [12] of 3 symbols \(the source is gone\): [AB]"))
            stays.send(trade("A", 2))
            self.assertEqual(stays.wait_for_ack(2), 2)
            self.assertEqual(listed(server, "stale=yes"), ["B"])

    def test_a_wrong_file_is_refused_with_its_line_by_start_and_check(self):
        hours = self.folder / "hours.txt"
        hours.write_text("# China\n*.SH Asia/Shangai Mon-Fri 09:30-15:00\n")
        config = self.folder / "ringcast.yaml"
        config.write_text(f"market_hours: {hours}\n")
        given = [(("--market-hours", str(hours)), {}, "--market-hours: "),
                 ((), {"RINGCAST_MARKET_HOURS": str(hours)}, "RINGCAST_MARKET_HOURS: "),
                 (("--config", str(config)), {}, f"{config}:1: market_hours: ")]
        for arguments, environment, source in given:
            for check in ((), ("--check-config",)):
                done = run([program("ringcast"), "--port", "0", "--admin-port", "0", *arguments,
                            *check], env=clean_environment(environment))
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(f"{source}{hours}:2: time zone \"Asia/Shangai\": there ", done.stderr)


if __name__ == "__main__":
    unittest.main()
