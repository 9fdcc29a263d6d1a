"""Feeds from end to end: captures replayed to the digit, files that are not what they should be,
ringcast-tap's certificate and ringcast-bench's report."""
import asyncio
import json
import os
import pathlib
import tempfile
import threading
import unittest

import websockets

import captures
from clients import ALL_TYPES, DATA_TYPES, TEXT, RawClient, subscribe_message
from server import SHARED_DATA, Server, in_full, program, run, wait_until
from test_bench import BY_DUE_TIME
from test_lifecycle import PORTS, refuse


def capture(name):
    path = SHARED_DATA / name
    if not path.exists():
        raise unittest.SkipTest(f"SKIPPED: {path} is missing; set RINGCAST_SHARED_DATA")
    return path


def counted(server, **expected):
    """Waits until the publisher, which counts once a turn, tells these figures; what it tells."""
    def told():
        publisher = server.stats()["publisher"]
        return {key: publisher[key] for key in expected}
    wait_until(lambda: told() == expected)
    return told()


class Collector:
    """A Python websockets client that keeps each channel's frames until a whole pass is there.

    Quotes that it reads too slowly are not conflated.
    """

    def __init__(self, url, types, expected):
        self.url, self.types = url, types
        self.wanted = {key: len(ticks) for key, ticks in expected.items() if key[1] in types}
        self.frames = {}  # (symbol, type) -> {seq: payload}
        self.first = {}
        self.gaps = []

    def has_a_pass(self, key):
        length = self.wanted[key]
        frames = self.frames.get(key)
        if not frames:
            return False
        begin = (self.first[key] - 1 + length - 1) // length * length + 1
        return begin + length - 1 in frames

    async def run(self, seconds):
        missing = set(self.wanted)
        async with websockets.connect(self.url, max_queue=None, max_size=None, compression=None,
                                      open_timeout=20, ping_interval=None) as client:
            await client.send(subscribe_message(["*"], self.types, delivery={"on_lag": "skip"}))
            while missing:
                payload = await asyncio.wait_for(client.recv(), seconds)
                message = json.loads(payload)
                if message["type"] == "GAP":
                    self.gaps.append(message)
                if message["type"] not in DATA_TYPES:
                    continue
                key = message["symbol"], message["type"]
                frames = self.frames.setdefault(key, {})
                self.first.setdefault(key, message["seq"])
                frames[message["seq"]] = payload
                if key in missing and self.has_a_pass(key):
                    missing.discard(key)


class Replays(unittest.TestCase):
    maxDiff = 2000

    def compare(self, collector, expected):
        """One whole pass of every channel, frame by frame."""
        self.assertEqual(collector.gaps, [])
        for key, length in collector.wanted.items():
            symbol, kind = key
            frames = collector.frames[key]
            self.assertEqual(sorted(frames), list(range(min(frames), max(frames) + 1)), key)
            begin = (collector.first[key] - 1 + length - 1) // length * length + 1
            for index, (event, data) in enumerate(expected[key]):
                frame = captures.numbers_as_text(frames[begin + index])
                where = f"{symbol} {kind} {index}: {frames[begin + index][:300]}"
                self.assertEqual(frame["data"], data, where)
                self.assertEqual(frame.get("ts_event"), event, where)
                self.assertEqual(frame["seq"], str(begin + index), where)
                self.assertLessEqual(int(frame["ts_recv"]), int(frame["ts_pub"]), where)
        self.assertEqual(set(collector.frames), set(collector.wanted), "channels")

    def replay(self, name, decode, speed, counts):
        path = capture(name)
        expected = captures.read(path, decode)
        totals = {}
        for (_, kind), ticks in expected.items():
            totals[kind] = totals.get(kind, 0) + len(ticks)
        self.assertEqual(totals, counts, "the file is the one that is described")
        with Server("--feed", f"replay:path={path},speed={speed},loop=yes") as server:
            collectors = [Collector(server.url(), types, expected)
                          for types in (ALL_TYPES, ("quote", "trade"), ("depth", "bar"))]
            errors = []

            def follow(collector):
                try:
                    asyncio.run(collector.run(60))
                except Exception as error:
                    errors.append(repr(error))
            threads = [threading.Thread(target=follow, args=(each,)) for each in collectors]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            self.assertEqual(errors, [], server.log())
            for collector in collectors:
                self.compare(collector, expected)
            # The same bytes for all three.
            first = collectors[0].frames
            for other in collectors[1:]:
                for key, frames in other.frames.items():
                    for seq in frames.keys() & first[key].keys():
                        self.assertEqual(frames[seq], first[key][seq])
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["feed_passes"] > 0))
            publisher = server.stats()["publisher"]
            self.assertEqual(publisher["feed_malformed"], 0)
            self.assertEqual(publisher["ticks_refused"], 0)

    def test_coinbase_is_delivered_to_the_digit(self):
        self.replay("coinbase.ws.log", captures.coinbase, 10,
                    {"depth": 9719 + 10, "quote": 107, "trade": 97})

    def test_binance_is_delivered_to_the_digit(self):
        self.replay("binance.ws.log", captures.binance, 20,
                    {"depth": 177, "quote": 84, "trade": 2, "bar": 2})

    def test_two_feeds_run_side_by_side(self):
        with Server("--feed", f"replay:path={capture('binance.ws.log')},speed=20,loop=yes",
                    "--feed", "sim:symbols=3,rate=100") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                seen = set()
                while not {"SZ", "BINANCE"} <= seen:
                    seen.add(client.next_message(("quote",))["symbol"].rpartition(".")[2])

    def test_as_fast_as_it_can_be_read_loses_nothing_for_a_client_that_reads(self):
        path = capture("binance.ws.log")
        with Server("--feed", f"replay:path={path},speed=0,venue=DEMO") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"))
            self.assertEqual(counted(server, ticks=265), {"ticks": 265})
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote", "bar"])
                quote = client.next_message(("quote", "bar"))
                self.assertTrue(quote["symbol"].endswith(".DEMO"), quote)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, text, name="capture.ws.log"):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    HEAD = "wss://ws-feed.pro.coinbase.com <-> 1618677816.0\n"

    @staticmethod
    def match(second, trade_id):
        return (f'{second}.5: {{"type":"match","trade_id":{trade_id},"side":"buy","size":"0.10",'
                f'"price":"101.50","product_id":"A-B","time":"2021-04-17T16:43:37.{second:06}Z"}}\n')

    def test_a_missing_file_is_told(self):
        code, text = refuse(self, *PORTS, "--feed", f"replay:path={self.folder}/nothing")
        self.assertIn(f"{self.folder}/nothing", text)
        self.assertIn("No such file", text)

    def test_no_path_a_folder_and_an_empty_file_are_told(self):
        empty = self.write("", "empty")
        for spec, word in (("replay", "path"), (f"replay:path={self.folder}", str(self.folder)),
                           (f"replay:path={empty}", "empty"),
                           ("replay:path=/dev/null", "/dev/null")):
            with self.subTest(spec):
                _, text = refuse(self, *PORTS, "--feed", spec)
                self.assertIn(word, text)

    def test_a_file_of_an_unknown_format_is_told_with_what_is_valid(self):
        path = self.write("once upon a time\nthere was a tick\n")
        _, text = refuse(self, *PORTS, "--feed", f"replay:path={path}")
        self.assertIn("coinbase", text)
        self.assertIn("csv", text)

    def test_garbage_lines_are_counted_skipped_and_reported_with_their_numbers(self):
        garbage = ["garbage\n", "5.0: {\"type\":\"match\"\n", "5.0: [1,2\n", "6.0: 17\n", "\x00\x01\n",
                   "7.0: {\"type\":\"match\",\"product_id\":\"A-B\"}\n", "x" * 3000 + "\n"]
        text = self.HEAD + self.match(1, 1) + garbage[0] + self.match(2, 2)
        for line in garbage[1:]:
            text += line
        path = self.write(text + "\n" + self.match(3, 3))
        with Server("--feed", f"replay:path={path},speed=1000") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"), server.log())
            figures = {"ticks": 3, "feed_malformed": len(garbage)}
            self.assertEqual(counted(server, **figures), figures)
            self.assertIsNotNone(server.wait_for_line(r"capture\.ws\.log:3: malformed"))
            self.assertIsNotNone(server.wait_for_line(r"capture\.ws\.log:5: malformed"))
            metrics = server.admin("/metrics")[2]
            self.assertIn(f'ringcast_feed_malformed_total{{feed="replay"}} {len(garbage)}\n', metrics)

    def test_the_state_of_each_feed_is_told_everywhere(self):
        folder = pathlib.Path(self.write(self.HEAD + self.match(1, 1))).parent
        fifo = folder / "s3cr3t.fifo"
        os.mkfifo(fifo)
        with Server("--feed", "sim:symbols=3", "--feed", "sim:symbols=4,types=trade",
                    "--feed", f"replay:path={fifo}", "--feed", f"replay:path={folder / 'capture.ws.log'},speed=0") as server:
            expected = {"sim": "live", "sim#2": "live", "replay": "connecting", "replay#2": "down"}

            def states():
                return {feed["feed"]: feed["state"] for feed in server.stats()["publisher"]["feeds"]}
            self.assertTrue(wait_until(lambda: states() == expected), server.stats()["publisher"]["feeds"])
            with RawClient(server.port) as client:
                client.send_text('{"type":"STATUS"}')
                text = json.dumps(client.next_message(("STATUS",)))
            status = {feed["feed"]: feed for feed in json.loads(text)["data"]["feeds"]}
            self.assertEqual({name: feed["state"] for name, feed in status.items()}, expected)
            self.assertEqual(status["replay#2"]["cause"], "the recording has ended")
            self.assertEqual(status["replay#2"]["ticks"], 1)
            self.assertIsNone(status["replay"]["last_tick"])
            self.assertGreaterEqual(status["replay#2"]["last_tick"], status["sim"]["since"] - 10**9)
            self.assertNotIn(str(folder), text)
            metrics = server.admin("/metrics")[2]
            for name, state in expected.items():
                for other in ("connecting", "live", "stale", "down"):
                    self.assertIn(f'ringcast_feed_state{{feed="{name}",state="{other}"}} {int(state == other)}\n', metrics)
            down = "feed replay#2 is down: the recording has ended"
            self.assertIsNotNone(server.wait_for_line(down), server.log())
            fifo.write_text(self.HEAD + self.match(1, 1))
            self.assertTrue(wait_until(lambda: states()["replay"] == "live"), server.log())
            self.assertIsNotNone(server.wait_for_line("feed replay is live"), server.log())
            self.assertEqual(sum(down in line for line in server.log_lines()), 1, server.log())

    def test_no_feed_keeps_another_waiting(self):
        """A replay at full speed has more to hand over than a poll takes: sim gets its turns all the same."""
        lines = "".join(self.match(i, i) for i in range(1, 2000))
        path = self.write(self.HEAD + lines)
        with Server("--cores", 1, "--publisher", "thread", "--feed", f"replay:path={path},speed=0,loop=yes",
                    "--feed", "sim:symbols=1,rate=1000") as server, RawClient(server.port) as client:
            client.subscribe(["000001.SZ"], ["quote"], delivery={"on_lag": "skip"})

            def feeds():
                publisher = server.stats()["publisher"]
                return publisher["turns"], {feed["feed"]: feed["ticks"] for feed in publisher["feeds"]}
            turns, before = feeds()
            self.assertTrue(wait_until(lambda: feeds()[1]["sim"] >= before["sim"] + 500))
            turns_after, after = feeds()
            # In each pass the flood got what a poll may take at most, and mostly far less: the rest is sim's.
            flood = (after["replay"] - before["replay"]) / (turns_after - turns)
            self.assertLessEqual(flood, 512)
            self.assertGreater(after["replay"], before["replay"])
            self.assertEqual(client.next_message(("quote",))["symbol"], "000001.SZ")

    def test_many_garbage_lines_do_not_flood_the_log(self):
        lines = "".join(self.match(i, i) + "garbage\n" for i in range(1, 1000))
        path = self.write(self.HEAD + lines)
        with Server("--feed", f"replay:path={path},speed=0") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"), server.log())
            self.assertEqual(counted(server, feed_malformed=999), {"feed_malformed": 999})
            said = [line for line in server.log_lines() if "malformed" in line]
            self.assertLess(len(said), 20)

    def test_a_truncated_file_gives_what_is_whole(self):
        whole = self.match(2, 2)
        path = self.write(self.HEAD + self.match(1, 1) + whole + self.match(3, 3)[:60])
        with Server("--feed", f"replay:path={path},speed=1000") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"), server.log())
            figures = {"ticks": 2, "feed_malformed": 1}
            self.assertEqual(counted(server, **figures), figures)
            self.assertIsNotNone(server.wait_for_line(r":4: malformed"))

    def test_windows_line_ends_and_a_missing_last_one_are_no_fault(self):
        text = (self.HEAD + self.match(1, 1) + self.match(2, 2)).replace("\n", "\r\n")
        path = self.write(text.rstrip("\r\n"))
        with Server("--feed", f"replay:path={path},speed=1000") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"), server.log())
            figures = {"ticks": 2, "feed_malformed": 0}
            self.assertEqual(counted(server, **figures), figures)

    def test_numbers_that_no_float_holds_pass_unchanged(self):
        exact = ["0.10", "123456789.123456789", "0.000000000000000001", "100", "0.00",
                 "9007199254740993.0", "9223372036854775807"]
        inexact = ["9223372036854775808", "0.0000000000000000001", "NaN"]
        text = self.HEAD
        for index, size in enumerate(exact + inexact):
            text += self.match(index + 1, index + 1).replace('"0.10"', f'"{size}"')
        path = self.write(text)
        with Server("--feed", f"replay:path={path},speed=10,loop=yes") as server:
            with RawClient(server.port) as client:
                client.subscribe(["A-B.*"], ["trade"])
                seen = {}
                while len(seen) < len(exact) or server.stats()["publisher"]["feed_passes"] < 2:
                    opcode, payload = client.next_frame()
                    frame = captures.numbers_as_text(payload) if opcode == TEXT else {"type": None}
                    if frame["type"] == "trade":
                        seen[frame["data"]["id"]] = frame["data"]["size"]
        self.assertEqual(seen, {str(i + 1): size for i, size in enumerate(exact)})

    def test_a_csv_of_ticks_is_replayed_to_the_digit(self):
        path = self.write("symbol,timestamp,type,price,size,side,id,bid,bid_size,ask,ask_size\n"
                          "000001.SZ,2024-11-20T07:00:00Z,Q,12.340,,,,12.33,500,12.34,300\n"
                          "000001.SZ,2024-11-20T07:00:00.5Z,T,12.350,0.1600,B,77,,,,\n"
                          "000001.SZ,2024-11-20T07:00:01Z,T,nonsense,1,B,78,,,,\n"
                          "000001.SZ,2024-11-20T07:00:01Z,Q,12.350,,,,,,,\n", "ticks.csv")
        with Server("--feed", f"replay:path={path},speed=2,loop=yes") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote", "trade"])
                seen = {}
                while len(seen) < 3:
                    opcode, payload = client.next_frame()
                    frame = captures.numbers_as_text(payload)
                    if frame["type"] in DATA_TYPES:
                        seen[frame["type"], frame["ts_event"]] = frame["data"]
            start = 1732086000 * 10**9
            self.assertEqual(seen, {
                ("quote", str(start)): {"last": "12.340", "bids": [["12.33", "500"]],
                                        "asks": [["12.34", "300"]]},
                ("trade", str(start + 500000000)): {"price": "12.350", "size": "0.1600",
                                                    "side": "buy", "id": "77"},
                ("quote", str(start + 10**9)): {"last": "12.350"}})
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["feed_malformed"] > 0))

    def trades(self, path, count, more=""):
        """The data of the first trades by id, as the text says it."""
        with Server("--feed", f"replay:path={path},loop=yes{more}") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["trade"])
                seen = {}
                while len(seen) < count:
                    opcode, payload = client.next_frame()
                    frame = captures.numbers_as_text(payload) if opcode == TEXT else {"type": None}
                    if frame["type"] == "trade":
                        seen[frame["data"]["id"]] = (
                            frame.get("ts_event"), frame["data"]["price"], frame["data"].get("size"))
            self.assertEqual(server.stats()["publisher"]["feed_malformed"], 0)
        return seen

    def test_numbers_and_times_of_exporters_are_exact(self):
        path = self.write("timestamp,symbol,price,size,id\n"
                          "1.7e9,PEPE.X,1.234e-05,1e+06,1\n"
                          "1.7000000001e+18,PEPE.X,0.00012,NaN,18446744073709551615\n"
                          "2023-11-14 22:13:20.2+00:00,PEPE.X,1E-18,,3.0\n"
                          ",PEPE.X,5,0,4\n", "pandas.csv")
        start = 1700000000 * 10**9
        self.assertEqual(self.trades(path, 4), {
            "1": (str(start), "0.00001234", "1000000"),
            "18446744073709551615": (str(start + 10**8), "0.00012", None),
            "3": (str(start + 2 * 10**8), "0.000000000000000001", None),
            "4": (None, "5", "0")})

    def test_numbers_and_times_of_venues_are_exact(self):
        trade = ('170000000{}.0: {{"stream":"abcusdt@aggTrade","data":{{"e":"aggTrade",'
                 '"s":"ABCUSDT","p":{},"f":18446744073709551615,"a":{},"T":{}}}}}\n')
        path = self.write("wss://stream.binance.com:9443/stream?streams=x <-> 1700000000.0\n" +
                          trade.format(1, '"1e-7"', 1, 1700000001000100) +
                          trade.format(1, 1.234e-05, 18446744073709551615, 1700000001000) +
                          trade.format(1, "9007199254740993", '"3"', '""'))
        second = 1700000001 * 10**9
        self.assertEqual(self.trades(path, 3), {
            "1": (str(second + 100000), "0.0000001", None),
            "18446744073709551615": (str(second), "0.00001234", None),
            "3": (None, "9007199254740993", None)})

    def test_a_first_stamp_of_0_is_none_and_a_gap_of_years_is_told(self):
        path = self.write("ts_ns,symbol,price\n0,A.X,1\n1700000000000000000,A.X,2\n"
                          "100000000000000000,A.X,3\n", "gap.csv")
        with Server("--feed", f"replay:path={path}") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1: 3 ticks"), server.log())
            self.assertIsNotNone(server.wait_for_line(
                ":4: its time is 1600000000 s before the previous one"), server.log())

    def test_a_capture_of_which_nothing_is_used_says_so(self):
        path = self.write("wss://stream.binance.com/stream?streams=a <-> 1.0\n"
                          '1.0: {"stream":"a@miniTicker","data":{"e":"24hrMiniTicker"}}\n'
                          '100.0: {"stream":"a@miniTicker","data":{"e":"24hrMiniTicker"}}\n')
        with Server("--feed", f"replay:path={path}") as server:
            self.assertIsNotNone(server.wait_for_line(
                "after its first seconds: 0 ticks, 1 skipped .1 24hrMiniTicker"), server.log())

    def test_a_feed_that_ends_is_told_and_its_last_quotes_are_still_served(self):
        ticker = ('{}.5: {{"type":"ticker","product_id":"A-B","price":"1{}.50","open_24h":"1",'
                  '"volume_24h":"2","low_24h":"1","high_24h":"3","best_bid":"1","best_ask":"2"}}\n')
        path = self.write(self.HEAD + "".join(ticker.format(i, i) for i in range(1, 4)))
        with Server("--feed", f"replay:path={path},speed=1000") as server:
            self.assertIsNotNone(server.wait_for_line("after pass 1"), server.log())
            with RawClient(server.port) as client:
                client.subscribe(["A-B.COINBASE"], ["quote"])
                quote = client.next_message(("quote",))
                self.assertEqual((quote["seq"], quote["data"]["last"]), (3, 13.5))


@in_full
class Certificates(unittest.TestCase):
    def certify(self, server, *arguments, seconds=4, readers=3):
        result = run([program("ringcast-tap"), "--verify", "--json", "--connections", str(readers),
                      "--duration", str(seconds), *arguments, server.url()], seconds=60)
        self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr)
        certificate = json.loads(result.stdout.splitlines()[-1])
        self.assertTrue(certificate["complete"], certificate)
        self.assertTrue(certificate["one_digest"], certificate)
        self.assertEqual(certificate["unreported_frames"], 0)
        self.assertEqual(certificate["faults"], 0)
        self.assertGreater(certificate["frames"], 0)
        return certificate

    def test_the_tap_certifies_sim(self):
        with Server("--feed", "sim:symbols=50,rate=5000,types=quote+trade+bar+depth") as server:
            certificate = self.certify(server, "--types", "quote,trade,bar,depth")
            self.assertEqual(len(certificate["channels"]), 200)

    def test_the_tap_certifies_a_replay(self):
        path = capture("coinbase.ws.log")
        with Server("--feed", f"replay:path={path},speed=10,loop=yes") as server:
            self.certify(server, "--types", "quote,trade,depth", seconds=5)

    def test_the_tap_prints_ticks(self):
        with Server("--feed", "sim:symbols=5,rate=100") as server:
            result = run([program("ringcast-tap"), "--symbols", "000001.SZ", "--types", "quote",
                          "--count", "3", server.url()])
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertGreaterEqual(result.stdout.count("000001.SZ"), 3)

    def test_the_tap_says_when_there_is_nobody(self):
        result = run([program("ringcast-tap"), "ws://127.0.0.1:1/"])
        self.assertEqual(result.returncode, 4)
        self.assertIn("cannot connect", result.stderr)

    def test_the_bench_finds_a_light_load_valid(self):
        with Server("--feed", "sim:symbols=20,rate=500,types=quote+trade") as server:
            result = run([program("ringcast-bench"), "--json", "--connections", "20", "--duration",
                          "3", "--types", "quote,trade", *BY_DUE_TIME, "--pid", str(server.pid),
                          server.url()])
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            report = json.loads(result.stdout)
            self.assertTrue(report["valid"], report)
            self.assertEqual(report["received"], report["due"])
            self.assertEqual(report["readers"]["holes"], 0)
            self.assertGreater(report["latency_ns"]["count"], 0)

    def test_the_bench_tells_stalled_readers_from_healthy_ones(self):
        # The log holds more than 2 s, in which a healthy reader that was stopped goes on; and the
        # stalled ones miss as much.
        with Server("--feed", "sim:symbols=20,rate=2000,types=trade", "--send-buffer-bytes", "64k",
                    "--frame-log-bytes", "1m") as server:
            result = run([program("ringcast-bench"), "--json", "--connections", "10", "--stalled",
                          "3", "--stalled-resume", "5", "--duration", "10", "--types", "trade",
                          "--allow-gaps", server.url()])
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            report = json.loads(result.stdout)
            self.assertEqual(report["readers"]["gap_frames"], 0)
            self.assertEqual(report["readers"]["hole_frames"], 0)
            self.assertGreater(report["stalled"]["gap_frames"], 0)
            self.assertEqual(report["stalled"]["hole_frames"], 0)
            self.assertEqual(report["stalled"]["gaps_wrong"], 0)


if __name__ == "__main__":
    unittest.main()
