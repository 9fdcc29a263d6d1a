"""ringcast-tap: what it subscribes to, how it connects, what it prints and how it ends."""
import json
import pathlib
import re
import signal
import socket
import tempfile
import unittest
import zlib
from decimal import Decimal

from server import CHECKOUT, Server, ServerTestCase, program, reap, run, spawn, spawn_until
from test_tools_output import EvilServer, close_frame, server_frame

TOKEN = "desk-token-0123456789abcdef"
FEED = ("--feed", "sim:symbols=5,rate=1000,types=quote+trade+bar+depth")
TYPES = "quote,trade,bar,depth"
SUBSCRIBED = server_frame(1, b'{"type":"SUBSCRIBED","id":1,"data":{"ok":[{"symbol":"A","type":"quote","ch":1,'
                             b'"next_seq":1}],"failed":[]}}')
SBE_HEAD = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: md.sbe.v1\r\n\r\n")

DEFLATE_HEAD = SBE_HEAD.replace(b"md.sbe.v1", b"md.json.v1\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                b"server_no_context_takeover; client_no_context_takeover")


def tap(*arguments, seconds=30):
    return run([program("ringcast-tap"), *arguments], seconds=seconds)


def exact(text):
    """JSON with numbers as they were sent."""
    return json.loads(text, parse_float=Decimal)


def quote(seq, symbol="A", channel=1):
    return server_frame(1, json.dumps({"type": "quote", "symbol": symbol, "ch": channel, "seq": seq, "ts_pub": 1,
                                       "data": {"last": 1}}, separators=(",", ":")).encode())


def trade_in_sbe(seq, channel=1):
    block = (seq.to_bytes(8, "little") + b"\xff" * 16 + (1).to_bytes(8, "little") + channel.to_bytes(4, "little") +
             bytes([0, 0, 1, 0]) + (5).to_bytes(8, "little") + (6).to_bytes(8, "little") + b"\xff" * 8)
    header = b"".join(number.to_bytes(2, "little") for number in (64, 2, 901, 0))
    return server_frame(2, header + block)


def definition(symbol="A", type="trade", channel=1):
    return server_frame(1, json.dumps({"type": "DEFINITION", "data": {"channels": [
        {"symbol": symbol, "type": type, "ch": channel}]}}).encode())


class Login(unittest.TestCase):
    """users.md F3."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FEED, "--enable-auth", "--auth-token", TOKEN)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)

    def test_each_way_to_give_a_token_logs_in(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "token")
            for text in (TOKEN, TOKEN + "\n", TOKEN + "\r\n"):
                path.write_text(text)
                result = tap("--token-file", str(path), "-n", "1", self.server.url())
                self.assertEqual(result.returncode, 0, result.stderr)
            for options in (("--token", TOKEN), ("-H", f"Authorization: Bearer {TOKEN}"),
                            ("--header", f"authorization:Bearer {TOKEN}", "-H", "X-Desk: 1"),
                            ("--token", TOKEN, "--encoding", "sbe"), ("--token", TOKEN, "--list"),
                            ("--token", TOKEN, "--verify", "-c", "3")):
                with self.subTest(options):
                    result = tap(*options, *(() if "--list" in options else ("-n", "5")), self.server.url())
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertNotIn(TOKEN, result.stdout + result.stderr)

    def test_a_wrong_or_no_token_ends_it(self):
        for options, words in ((("--token", "wrong-token-0123456789"), "401"), ((), "(101)")):
            result = tap(*options, "-n", "1", self.server.url())
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(words, result.stderr)
            self.assertNotIn("wrong-token", result.stdout + result.stderr)

    def test_errors_do_not_repeat_secrets_of_the_url(self):
        for url in (f"http://localhost/?token={TOKEN}", f"wss://localhost:0/?token={TOKEN}",
                    f"ws://localhost:99999/?token={TOKEN}", f"ws://user:{TOKEN}@localhost/"):
            with self.subTest(url):
                result = tap(url)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertNotIn(TOKEN, result.stdout + result.stderr)

    def test_a_bad_header_or_token_is_a_usage_error(self):
        for options in (("-H", "no colon"), ("-H", "A: b\r\nC: d"), ("-H", "Host: x"), ("--token", ""),
                        ("--token", f"{TOKEN} x"), ("--token", TOKEN, "-H", f"Authorization: Bearer {TOKEN}"),
                        ("--token-file", "/nonexistent/file"), ("--token-file", "/dev/null")):
            with self.subTest(options):
                result = tap(*options, self.server.url())
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertRegex(result.stderr, r"^ringcast-tap: --(header|token|token-file): ")
                self.assertNotIn(TOKEN, result.stderr)


class Encodings(ServerTestCase):
    options = FEED

    def replay(self, encoding, type, count=100):
        result = tap("--json", "--encoding", encoding, "--replay-from", "1", "-s", "000001.SZ", "-y", type,
                     "-n", str(count), self.server.url())
        self.assertEqual(result.returncode, 0, result.stderr)
        ticks = [exact(line) for line in result.stdout.splitlines()]
        self.assertEqual([tick["seq"] for tick in ticks], list(range(1, count + 1)))
        return ticks

    def test_each_encoding_shows_the_same_values(self):
        for type in TYPES.split(","):
            expected = self.replay("json", type)
            self.assertEqual({(tick["symbol"], tick["type"]) for tick in expected}, {("000001.SZ", type)})
            for encoding in ("sbe", "deflate"):
                with self.subTest((type, encoding)):
                    self.assertEqual(self.replay(encoding, type), expected)

    def test_lines_are_the_same_but_for_zeros_at_the_end(self):
        texts = []
        for encoding in ("json", "sbe"):
            result = tap("--encoding", encoding, "--replay-from", "1", "-s", "000001.SZ", "-y", "depth", "-n", "50",
                         self.server.url())
            ticks = [line for line in result.stdout.splitlines() if not line.startswith("--")]
            self.assertEqual(len(ticks), 50)
            texts.append([re.sub(r"(\.\d*?)0+\b", r"\1", line) for line in ticks])
        self.assertEqual(*texts)

    def test_each_encoding_is_verified(self):
        for encoding in ("json", "sbe", "deflate"):
            with self.subTest(encoding):
                result = tap("--verify", "-c", "3", "--encoding", encoding, "-y", TYPES, "-n", "1500",
                             self.server.url())
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                self.assertIn("COMPLETE: 3 connections, 20 channels, one digest, proven", result.stdout)

    def test_compressed_frames_are_inflated(self):
        with Server("--feed", "sim:symbols=1,rate=200", "--compression-threshold", "64") as server:
            result = tap("--encoding", "deflate", "--verify", "-c", "2", "-n", "50", server.url())
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertIn("one digest, proven", result.stdout)
        text = b'{"type":"quote","symbol":"A","ch":1,"seq":7,"ts_pub":1,"data":{"last":1.50}}'
        packed = zlib.compressobj(wbits=-15)
        payload = (packed.compress(text) + packed.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for frame, code, out in ((payload, 0, text.decode() + "\n"), (b"\xff" * 20, 2, "")):
            with EvilServer(DEFLATE_HEAD, SUBSCRIBED, bytes([0xc1, len(frame)]) + frame) as port:
                result = tap("--json", "--encoding", "deflate", "-n", "1", f"ws://127.0.0.1:{port}")
            self.assertEqual((result.returncode, result.stdout), (code, out), result.stderr)

    def test_a_server_without_compression_is_refused(self):
        with Server("--feed", "sim:symbols=1,rate=200", "--compression", "off") as server:
            result = tap("--encoding", "deflate", "-n", "1", server.url())
            self.assertEqual(result.returncode, 2)
            self.assertIn("its extensions", result.stderr)


class BadSbe(unittest.TestCase):
    """What --verify finds in SBE."""

    def faults(self, *frames):
        with EvilServer(SBE_HEAD, SUBSCRIBED, *frames) as port:
            result = tap("--encoding", "sbe", "--verify", "--json", "-n", "2", "-d", "20",
                         f"ws://127.0.0.1:{port}")
        self.assertEqual(result.returncode, 3, result.stdout + result.stderr)
        certificate = json.loads(result.stdout)
        return [fault["what"] for fault in certificate["fault_list"]]

    def test_a_frame_needs_its_definition(self):
        self.assertIn("a frame of SBE whose channel has no DEFINITION",
                      self.faults(trade_in_sbe(1), definition(), trade_in_sbe(1), trade_in_sbe(2)))

    def test_a_frame_has_the_type_of_its_definition(self):
        self.assertIn("a frame of SBE has another type than its DEFINITION",
                      self.faults(definition(type="quote"), trade_in_sbe(1), definition(channel=2),
                                  trade_in_sbe(1, 2), trade_in_sbe(2, 2)))

    def test_a_definition_does_not_change(self):
        self.assertIn("a DEFINITION gives a channel another meaning",
                      self.faults(definition(), trade_in_sbe(1), definition("B"), trade_in_sbe(2)))

    def test_bytes_that_are_no_message_are_a_fault(self):
        self.assertIn("a binary frame is no message of md.sbe.v1",
                      self.faults(definition(), server_frame(2, b"x" * 72), trade_in_sbe(1), trade_in_sbe(2)))

    def test_a_hole_is_missing(self):
        with EvilServer(SBE_HEAD, SUBSCRIBED, definition(), trade_in_sbe(1), trade_in_sbe(4)) as port:
            result = tap("--encoding", "sbe", "--verify", "-n", "2", f"ws://127.0.0.1:{port}")
        self.assertEqual(result.returncode, 3, result.stdout + result.stderr)
        self.assertIn("2 in 1 NOT REPORTED", result.stdout)


class Subscriptions(ServerTestCase):
    options = FEED

    def ticks(self, *options):
        result = tap("--json", *options, self.server.url())
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return [exact(line) for line in result.stdout.splitlines()]

    def test_depth_cuts_books(self):
        ticks = self.ticks("--depth", "5", "-s", "AAPL.US", "-n", "5")
        self.assertEqual({tick["type"] for tick in ticks}, {"depth"})
        book = next(tick["data"] for tick in ticks if tick["data"]["action"] == "snapshot")
        self.assertEqual((len(book["bids"]), len(book["asks"])), (5, 5))

    def test_bar_has_its_interval(self):
        ticks = self.ticks("--bar", "5m", "-s", "AAPL.US", "-n", "3")
        self.assertEqual({(tick["type"], tick["data"]["interval"]) for tick in ticks}, {("bar", "5m")})

    def test_interval_conflates(self):
        ticks = self.ticks("--interval-ms", "500", "-s", "AAPL.US", "-n", "3")
        self.assertEqual({tick["type"] for tick in ticks}, {"quote"})
        self.assertGreater(ticks[2]["ts_pub"] - ticks[1]["ts_pub"], 250_000_000)

    def test_replay_begins_where_it_is_told(self):
        server_has = self.ticks("-s", "AAPL.US", "-n", "30")[-1]
        for start in (str(server_has["seq"]), str(server_has["ts_pub"])):
            first = self.ticks("-s", "AAPL.US", "--replay-from", start, "-n", "100")[0]
            self.assertEqual(first, server_has)
        first = self.ticks("-s", "AAPL.US", "--replay-from", "1s", "-n", "1")[0]
        self.assertLess(first["seq"], self.ticks("-s", "AAPL.US", "-n", "1")[0]["seq"])

    def test_replay_from_a_date(self):
        first = self.ticks("-s", "AAPL.US", "--replay-from", "2020-01-31T09:30:00.5Z", "-n", "1")[0]
        self.assertEqual(first["seq"], 1)

    def test_a_seq_that_does_not_exist_is_refused(self):
        result = tap("-s", "AAPL.US", "--replay-from", "1000000000", self.server.url())
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("ringcast-tap: refused: ", result.stderr)

    def test_the_server_gets_the_policy(self):
        result = tap("-s", "AAPL.US", "-y", "trade", "--on-lag", "conflate", self.server.url())
        self.assertEqual(result.returncode, 2)
        self.assertIn("(123)", result.stderr)
        self.ticks("-s", "AAPL.US", "-y", "trade", "--on-lag", "disconnect", "-n", "1")

    def test_what_cannot_be_is_refused_before_connecting(self):
        for options, words in (
                (("--depth", "5"), "need --symbols with names"),
                (("--replay-from", "1", "-s", "*.SZ"), "need --symbols with names"),
                (("--bar", "2m"), "'2m' is not one of 1s, 1m, 5m"),
                (("--on-lag", "wait"), "'wait' is not one of skip, conflate, disconnect"),
                (("--snapshot", "perhaps"), "'perhaps' is not one of no, yes"),
                (("--encoding", "xml"), "'xml' is not one of json, sbe, deflate"),
                (("--replay-from", "yesterday"), "'yesterday' is neither a seq nor a time such as 2026-01-31T09:30:00Z or 5m (ago)"),
                (("--replay-from", "0"), "'0' is neither a seq nor a time"),
                (("--verify", "--on-lag", "conflate"), "reports no loss"),
                (("-c", "2"), "--connections needs --verify"),
                (("--channels",), "--channels needs --verify"),
                (("--print", "--quiet"), "contradict"),
                (("--list", "--verify"), "--list takes one pattern"),
                (("--list", "-s", "A,B"), "--list takes one pattern"),
                *((("--list", *more), "--list takes one pattern") for more in (
                    ("-n", "1"), ("-d", "1"), ("-y", "trade"), ("--print",), ("-q",), ("--on-lag", "skip"),
                    ("--snapshot", "no"), ("--stats",), ("--depth", "5"))),
                (("--replay-from", "1", "-s", "A", "--snapshot", "no"), "--snapshot does not go with"),
                (("--replay-from", "2026-02-30T00:00:00Z", "-s", "A"), "is neither a seq nor a time"),
                (("--verify", "-c", "2", "--stats"), "need one connection"),
                (("--verify", "-c", "2", "--record", "x"), "need one connection"),
                (("--stats", "--json"), "--stats prints no ticks, and no JSON"),
                (("--record", "-"), "--record needs the name of a file, not '-'"),
                (("--resume", ""), "--resume needs the name of a file, not ''"),
                (("--record", "x", "--resume", "x"), "need two files")):
            with self.subTest(options):
                result = tap(*options, "ws://127.0.0.1:1/")
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertIn(words, result.stderr)


class Listing(unittest.TestCase):
    def test_a_table_of_all_pages(self):
        with Server("--feed", "sim:symbols=2500,rate=5000,types=quote+trade") as server:
            server.wait_for_ticks(10000)
            result = tap("--list", server.url())
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            head, *rows = result.stdout.splitlines()
            self.assertRegex(head, r"^SYMBOL +TYPE +CHANNEL +LAST TICK \(UTC\) +TICKS/S +SETTINGS$")
            self.assertEqual(len(rows), 3 * 2500)
            for row in rows:
                if row.split()[1] == "bar":  # of its trades; it has no channel before it is subscribed
                    self.assertRegex(row, r"^\S+ +bar +- +- +-  bar$")
                    continue
                self.assertRegex(row, r"^\S+ +(quote|trade) +\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} +(-|[\d.]+)"
                                      r"(  [a-z_,]+)?$")
            names = [row.split()[0] for row in rows]
            self.assertEqual(names, sorted(names))
            result = tap("--list", "--json", "-s", "*.SZ", server.url())
            symbols = [json.loads(line)["symbol"] for line in result.stdout.splitlines()]
            self.assertEqual(symbols, sorted({name for name in names if name.endswith(".SZ")}))

    def test_a_pattern_without_a_symbol_is_reported(self):
        with Server(*FEED) as server:
            result = tap("--list", "-s", "ZZZ*", server.url())
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (6, "", "ringcast-tap: no symbol matches ZZZ*\n"))

    def test_a_server_that_limits_messages_is_asked_again(self):
        busy = server_frame(1, b'{"type":"ERROR","data":{"code":111,"message":"too many requests","retry":true}}')
        page = server_frame(1, b'{"type":"SYMBOLS","id":1,"data":{"symbols":[{"symbol":"A","types":'
                               b'[{"type":"bar","variants":["bar"]}]}]}}')
        with EvilServer(None, busy, page) as port:
            result = tap("--list", f"ws://127.0.0.1:{port}")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\nA +bar +- +- +-  bar\n$")


class Output(ServerTestCase):
    options = FEED

    def test_json_is_ticks_only(self):
        result = tap("--json", "-n", "20", "-y", TYPES, self.server.url())
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(result.stdout.splitlines()), 20)
        self.assertLessEqual({json.loads(line)["type"] for line in result.stdout.splitlines()}, set(TYPES.split(",")))

    def test_json_reports_losses_beside_the_ticks(self):
        gap = server_frame(1, b'{"type":"GAP","data":{"ch":1,"from":2,"to":3,"reason":"lag"}}')
        beat = server_frame(1, b'{"type":"HEARTBEAT","data":{"next_seq":{"1":4}}}')
        for options, out, err in ((("--json",), 2, "-- GAP ch=1 from=2 to=3 reason=lag\n"), ((), 4, "")):
            with EvilServer(None, SUBSCRIBED, quote(1), gap, beat, quote(4)) as port:
                result = tap(*options, "-n", "2", f"ws://127.0.0.1:{port}")
            self.assertEqual((result.returncode, result.stderr), (0, err))
            self.assertEqual(len(result.stdout.splitlines()), out, result.stdout)
            self.assertNotIn("HEARTBEAT", result.stdout)

    def test_json_of_verify_is_alone_on_standard_output(self):
        result = tap("--verify", "--json", "--stats", "-n", "50", self.server.url())
        self.assertEqual(json.loads(result.stdout)["type"], "CERTIFICATE")
        self.assertIn("50 ticks, ", result.stderr)

    def test_verify_prints_the_verdict_first_and_no_ticks(self):
        result = tap("--verify", "-n", "50", self.server.url())
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "CERTIFICATE")
        self.assertRegex(lines[1], r"^  verdict +COMPLETE: 1 connection, 5 channels, ")
        self.assertLess(len(lines), 10)
        result = tap("--verify", "--channels", "-n", "50", self.server.url())
        self.assertEqual(result.stdout.count("\n  channel "), 5)
        result = tap("--verify", "--print", "-n", "50", self.server.url())
        self.assertEqual(result.stdout.count(" quote #"), 50)
        self.assertIn("CERTIFICATE", result.stdout)

    def test_ticks_and_statistics_are_apart(self):
        result = tap("--stats", "--print", "--json", "-n", "50", self.server.url())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([json.loads(line)["type"] for line in result.stdout.splitlines()], ["quote"] * 50)
        self.assertIn("50 ticks, ", result.stderr)

    def test_version(self):
        result = tap("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^ringcast-tap \d+\.\d+\.\d+\n$")

    def test_numbers_have_units(self):
        for value in ("0.2", "200ms", "0.2s", "0.003m"):
            self.assertEqual(tap("-d", value, self.server.url()).returncode, 0, value)
        self.assertEqual(tap("-q", "-n", "0.01k", self.server.url()).returncode, 0)

    def test_errors_of_the_upgrade_name_the_server(self):
        with EvilServer(b"HTTP/1.1 503 Busy\r\n\r\n") as port:
            result = tap(f"ws://127.0.0.1:{port}")
        self.assertEqual((result.returncode, result.stderr),
                         (2, f"ringcast-tap: 127.0.0.1:{port}: the upgrade was refused: HTTP/1.1 503 Busy\n"))
        result = tap("--verify", "-c", "3", "ws://127.0.0.1:1")
        self.assertEqual(result.stderr, "ringcast-tap: cannot connect to 127.0.0.1:1: Connection refused\n")


class ExitCodes(ServerTestCase):
    """Each means one thing. users.md F5: a refusal ends it."""
    options = ("--feed", "sim:symbols=5,rate=500")

    def ends(self, code, *arguments):
        result = tap(*arguments)
        self.assertEqual(result.returncode, code, result.stdout[-500:] + result.stderr)

    def test_0_done(self):
        self.ends(0, "-n", "3", self.server.url())
        self.ends(0, "-d", "1", self.server.url())
        self.ends(0, "--verify", "-n", "30", self.server.url())
        process, came = spawn_until(lambda process: b"#" in process.stdout.readline(),
                                    [program("ringcast-tap"), self.server.url()], stdout=-1)
        try:
            self.assertTrue(came)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            self.assertEqual(process.returncode, 0)
        finally:
            reap(process)

    def test_0_when_the_server_ends_it_after_the_last_tick_that_is_wanted(self):
        error = server_frame(1, b'{"type":"ERROR","data":{"code":109,"message":"token expired"}}')
        for options in ((), ("--json",), ("--verify",), ("--stats",)):
            for after in (close_frame(1001, b"bye"), error, b""):
                with self.subTest(options, after=after), EvilServer(None, SUBSCRIBED, quote(1), quote(2), after) as port:
                    self.ends(0, *options, "-n", "2", f"ws://127.0.0.1:{port}")

    def test_1_usage(self):
        self.ends(1)
        self.ends(1, "--bogus", self.server.url())
        self.ends(1, "http://localhost")
        self.ends(1, "-n", "x", self.server.url())

    def test_2_refused_or_closed(self):
        self.ends(2, "-y", "qoute", self.server.url())
        self.ends(2, "-s", "BTC-USD", self.server.url())
        self.ends(2, "--verify", "-s", "BTC-USD", self.server.url())
        with EvilServer(None, SUBSCRIBED, quote(1), close_frame(4108, b"slow")) as port:
            self.ends(2, f"ws://127.0.0.1:{port}")
        with EvilServer(b"HTTP/1.1 401 Unauthorized\r\n\r\n") as port:
            self.ends(2, f"ws://127.0.0.1:{port}")

    def test_3_incomplete(self):
        with EvilServer(None, SUBSCRIBED, quote(1), quote(3)) as port:
            self.ends(3, "--verify", "-n", "2", f"ws://127.0.0.1:{port}")

    def test_4_no_connection(self):
        self.ends(4, "ws://127.0.0.1:1/")
        self.ends(4, "ws://nobody.invalid/")
        self.ends(4, "unix:///nonexistent/socket")

    def test_4_a_signal_before_it_is_connected(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(30)
            process = spawn([program("ringcast-tap"), f"ws://127.0.0.1:{listener.getsockname()[1]}"], stderr=-1)
            try:
                with listener.accept()[0] as client:
                    self.assertTrue(client.recv(10))
                    process.send_signal(signal.SIGTERM)
                    _, error = process.communicate(timeout=30)
                self.assertEqual((process.returncode, error),
                                 (4, b"ringcast-tap: ended by a signal before it was connected\n"))
            finally:
                reap(process)

    def test_5_output(self):
        with open("/dev/full", "wb") as full:
            process = spawn([program("ringcast-tap"), "-n", "3", self.server.url()], stdout=full, stderr=-1)
            try:
                _, error = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 5, error)
            finally:
                reap(process)
        self.ends(5, "--record", "/nonexistent/file", "-n", "3", self.server.url())

    def test_6_too_few_ticks(self):
        self.ends(6, "-s", "ZZZ*", "-d", "0.2", self.server.url())
        self.ends(6, "-n", "1000000", "-d", "0.2", self.server.url())

    def test_help_manual_and_page_have_the_same_table(self):
        helped = re.findall(r"^  (\d)  (.+)$", tap("--help").stdout, re.M)
        self.assertEqual([code for code, _ in helped], list("0123456"))
        manual = (CHECKOUT / "docs/ringcast-tap.1").read_text().partition(".Sh EXIT STATUS")[2]
        self.assertEqual(re.findall(r"^\.It (\d)\n(.+)$", manual, re.M), helped)
        page = (CHECKOUT / "docs/tap.md").read_text()
        self.assertEqual(re.findall(r"^\| (\d) \| ([^|]+?) \|", page, re.M), helped)

    def test_the_page_names_every_option(self):
        page = (CHECKOUT / "docs/tap.md").read_text()
        for option in re.findall(r"^  .*?--([a-z-]+)", tap("--help").stdout, re.M):
            self.assertIn(f"--{option}", page)


if __name__ == "__main__":
    unittest.main()
