"""History is the same in every encoding, for its first client as for any: REPLAY, RESUME, SNAPSHOT."""
import asyncio
import decimal
import json
import re
import shutil
import time
import unittest

import websockets

from server import Server, in_full, run, wait_until
from test_sbe import BLOCKS, SCHEMA, of_json, of_sbe

SECONDS = 30
PLAIN, DEFLATE, SBE = "plain", "deflate", "sbe"
LATE = (DEFLATE, SBE)  # what no server writes before somebody asks for it
TYPES = ["quote", "trade", "bar", "depth"]
FEED = "sim:symbols=3,rate=300,types=quote+trade+bar+depth"
SYMBOL = "000001.SZ"


class Client:
    """What comes of each channel, in order, as (type, values) whatever it came as."""

    def __init__(self, server, encoding):
        self.loop = asyncio.new_event_loop()
        self.socket = self.run(self.connect(server.url(), encoding))
        assert (len(self.socket.extensions) > 0) == (encoding == DEFLATE)
        self.frames = {}  # (ch, seq): (type, values), in the order they came
        self.binary_count = self.text_count = 0
        self.controls = []
        self.last = None  # (ch, seq) of the last data frame
        self.faults = []
        self.epoch = self.next_of("WELCOME")["epoch"]

    async def connect(self, url, encoding):
        return await websockets.connect(
            url, compression="deflate" if encoding == DEFLATE else None, max_queue=None,
            subprotocols=["md.sbe.v1" if encoding == SBE else "md.json.v1"], ping_interval=None)

    def run(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, SECONDS))

    def close(self):
        if not self.loop.is_closed():
            self.run(self.socket.close())
            self.loop.close()

    def read(self):
        payload = self.run(self.socket.recv())
        if isinstance(payload, bytes):
            self.binary_count += 1
            name, values, _ = SCHEMA.decode(payload)
            self.note(values["ch"], values["seq"], name, of_sbe(name, values))
            return None
        message = json.loads(payload, parse_float=decimal.Decimal)
        if message["type"] in BLOCKS:
            self.text_count += 1
            values = {key: value for key, value in of_json(message).items() if value is not None}
            self.note(message["ch"], message["seq"], message["type"], values)
            return None
        self.controls.append(message)
        return message

    def note(self, channel, seq, name, values):
        if (channel, seq) in self.frames:
            self.faults.append(f"{name} {channel} {seq} came twice")
        self.frames[channel, seq] = (name, values)
        self.last = channel, seq

    def next_of(self, *kinds):
        while True:
            message = self.read()
            if message is not None and message["type"] in kinds:
                return message["data"]

    def ask(self, kind, answers, **data):
        self.run(self.socket.send(json.dumps({"type": kind, "data": data})))
        return self.next_of(*answers, "ERROR")

    def replay(self, types=TYPES, symbols=(SYMBOL,), **data):
        """The answer, and the end, which is None when there is none."""
        answer = self.ask("REPLAY", ["REPLAYING"], symbols=list(symbols), data_types=list(types),
                          **data)
        return answer, self.next_of("END_OF_REPLAY") if answer.get("ok") else None

    def seqs(self, channel):
        return [seq for ch, seq in self.frames if ch == channel]

    def read_until_live(self, next_seqs):
        """Until of each channel a live frame came."""
        while any((channel, seq) not in self.frames for channel, seq in next_seqs.items()):
            self.read()

    def gaps(self):
        return [control["data"] for control in self.controls if control["type"] == "GAP"]


def channels_of(server):
    return server.stats()["publisher"]["channels"]


class HistoryTestCase(unittest.TestCase):
    def serve(self, *options, ticks=1500, feed=FEED):
        server = Server("--feed", feed, "--compression-threshold", 100, *options).start()
        self.addCleanup(server.stop)
        self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] >= ticks, 60))
        return server

    def connect(self, server, encoding):
        client = Client(server, encoding)
        self.addCleanup(client.close)
        return client

    def assert_same(self, client, other):
        """Where both have a frame of a channel, they have the same ones, and in the same order."""
        self.assertEqual(client.faults + other.faults, [])
        self.assertGreater(len(client.frames), 20)
        common = [key for key in client.frames if key in other.frames]
        self.assertEqual(common, [key for key in other.frames if key in client.frames])
        for key in common:
            self.assertEqual(client.frames[key], other.frames[key], key)

    def assert_whole(self, client, channel, first, last):
        seqs = [seq for seq in client.seqs(channel) if seq <= last]
        self.assertEqual(seqs, list(range(first, last + 1)))


@in_full
class FirstClient(HistoryTestCase):
    def test_a_replay_from_the_first_seq_goes_on_with_live_frames(self):
        for encoding in LATE:
            server = self.serve()
            for kind in TYPES:
                with self.subTest(encoding=encoding, type=kind):
                    # The late one first: only its own connection begins the encoding.
                    client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
                    ends = []
                    for one in (client, plain):
                        answer, end = one.replay([kind], **{"from": 1})
                        self.assertIn("ok", answer, answer)
                        self.assertEqual(end["gaps"] + end["failed"], [])
                        ends.append(end["ok"][0])
                    channel = ends[0]["ch"]
                    self.assertEqual(channel, ends[1]["ch"])
                    last = max(end["last"] for end in ends)
                    for one in (client, plain):
                        one.read_until_live({channel: last + 1})
                        self.assert_whole(one, channel, 1, last + 1)
                        self.assertEqual(one.gaps(), [])
                    self.assert_same(client, plain)
                    client.close()
                    plain.close()

    @in_full
    def test_a_replay_of_a_time_has_the_ticks_of_all_channels_in_their_order(self):
        for encoding in LATE:
            server = self.serve()
            reference = self.connect(server, PLAIN)
            reference.replay(["trade"], **{"from": 1, "to": 40})
            times = [values["ts_pub"] for _, values in reference.frames.values()]
            span = {"from": times[9], "to": times[35]}
            symbols = [SYMBOL, "600519.SH", "MSFT.US"]
            client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
            for speed in (0, 2):
                with self.subTest(encoding=encoding, speed=speed):
                    for one in (client, plain):
                        one.frames.clear()
                        began = time.monotonic()
                        answer, end = one.replay(symbols=symbols, speed=speed, **span)
                        took = time.monotonic() - began
                        self.assertIn("ok", answer, answer)
                        self.assertEqual(end["gaps"] + end["failed"], [])
                        if speed > 0:
                            self.assertGreater(took, 0.8 * (span["to"] - span["from"]) / speed / 1e9)
                    self.assert_same(client, plain)
                    self.assertEqual(list(client.frames), list(plain.frames))
            self.assertEqual((client.binary_count > 0, client.text_count > 0),
                             (encoding == SBE, encoding == DEFLATE))

    @in_full
    def test_it_resumes_from_the_oldest_cursor_without_a_gap(self):
        for encoding in LATE:
            with self.subTest(encoding=encoding):
                server = self.serve()
                client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
                cursors = {str(channel): channel % 3 for channel in range(channels_of(server))}
                for one in (client, plain):
                    answer = one.ask("RESUME", ["RESUMED"], epoch=one.epoch, cursors=cursors,
                                     delivery={"on_lag": "skip"})
                    self.assertEqual(answer["gaps"] + answer["failed"], [])
                    one.live = {entry["ch"]: entry["next_seq"] for entry in answer["ok"]}
                live = {channel: max(seq, plain.live[channel])
                        for channel, seq in client.live.items()}
                for one in (client, plain):
                    one.read_until_live(live)
                    for channel, seq in live.items():
                        self.assert_whole(one, channel, cursors[str(channel)] + 1, seq)
                    self.assertEqual(one.gaps(), [])
                self.assert_same(client, plain)

    @in_full
    def test_it_subscribes_since_an_old_seq_beside_other_live_frames(self):
        for encoding in LATE:
            with self.subTest(encoding=encoding):
                server = self.serve()
                client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
                for one in (client, plain):
                    one.ask("SUBSCRIBE", ["SUBSCRIBED"], symbols=["*"], data_types=["quote"],
                            delivery={"on_lag": "skip"}, snapshot=False)
                    answer = one.ask("SUBSCRIBE", ["SUBSCRIBED"], symbols=[SYMBOL],
                                     data_types=["trade"], since={"epoch": one.epoch, "seq": 3},
                                     delivery={"on_lag": "skip"})
                    entry, = answer["ok"]
                    self.assertEqual(entry["from"], 4)
                    one.read_until_live({entry["ch"]: entry["next_seq"] + 20})
                    self.assert_whole(one, entry["ch"], 4, entry["next_seq"] + 20)
                    self.assertEqual(one.gaps(), [])
                    for channel in {ch for ch, _ in one.frames}:
                        seqs = one.seqs(channel)
                        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))))
                self.assert_same(client, plain)

    def test_a_snapshot_of_what_came_before_it_is_sent(self):
        """Also of a trade, which is no image of its own."""
        for encoding in LATE:
            with self.subTest(encoding=encoding):
                server = self.serve(ticks=8, feed="sim:symbols=4,rate=4,types=trade")
                client = self.connect(server, encoding)
                answer = client.ask("SNAPSHOT", ["SNAPSHOT"], symbols=[SYMBOL],
                                    data_types=["trade"])
                entry, = answer["ok"]
                client.read_until_live({entry["ch"]: entry["as_of"]})


class Lapped(HistoryTestCase):
    """The JSON log has passed it: then all encodings are told the same."""

    FEED = "sim:symbols=20,rate=20000,types=quote+trade"

    def test_what_is_gone_is_told_as_to_a_plain_client(self):
        for encoding in LATE:
            with self.subTest(encoding=encoding):
                server = self.serve("--frame-log-bytes", 1 << 20, ticks=20000, feed=self.FEED)
                client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
                begins = []
                for one in (plain, client, plain):
                    error, _ = one.replay(["trade"], **{"from": 1})
                    self.assertEqual((error["code"], error["field"]), (124, "data.from"))
                    begins.append(int(re.search(r"begins at (\d+)", error["message"])[1]))
                self.assertEqual(begins, sorted(begins))
                for one in (client, plain):
                    answer = one.ask("RESUME", ["RESUMED"], epoch=one.epoch, cursors={"0": 1, "1": 1},
                                     delivery={"on_lag": "skip"})
                    self.assertEqual(answer["ok"] + answer["failed"], [])
                    self.assertEqual({entry["gap"] for entry in answer["gaps"]}, {"overrun"})
                    self.read_behind_gaps(one)

    def read_behind_gaps(self, client):
        """The first ones begin at 2. A client that is slow gets others."""
        due, counts = {0: 2, 1: 2}, {0: 0, 1: 0}
        while min(counts.values()) < 5:
            message = client.read()
            if message is None:
                channel, seq = client.last
                self.assertEqual(seq, due[channel])
                due[channel] += 1
                counts[channel] += 1
            elif message["type"] == "GAP":
                gap = message["data"]
                self.assertEqual((gap["from"], gap["reason"]), (due[gap["ch"]], "overrun"))
                due[gap["ch"]] = gap["to"] + 1
        self.assertEqual(client.faults, [])
        self.assertEqual({gap["ch"] for gap in client.gaps()}, {0, 1})


class TwoLives(HistoryTestCase):
    @in_full
    def test_clients_of_an_encoding_that_is_written_already_reach_back_before_it(self):
        for encoding in LATE:
            with self.subTest(encoding=encoding):
                server = self.serve()
                first = self.connect(server, encoding)
                ticks = server.stats()["publisher"]["ticks"]
                self.assertTrue(
                    wait_until(lambda: server.stats()["publisher"]["ticks"] > ticks + 500))
                client, plain = self.connect(server, encoding), self.connect(server, PLAIN)
                for one in (client, plain):
                    answer = one.ask("RESUME", ["RESUMED"], epoch=one.epoch,
                                     cursors={str(ch): 0 for ch in range(channels_of(server))},
                                     delivery={"on_lag": "skip"})
                    self.assertEqual(answer["gaps"] + answer["failed"], [])
                    live = {entry["ch"]: entry["next_seq"] for entry in answer["ok"]}
                    one.read_until_live(live)
                    for channel, seq in live.items():
                        self.assert_whole(one, channel, 1, seq)
                self.assert_same(client, plain)
                first.close()


NODE = """
const socket = new (require("ws"))(process.argv[1]);
let seqs = [];
socket.on("open", () => socket.send(JSON.stringify({type: "REPLAY",
    data: {symbols: ["000001.SZ"], data_types: ["trade"], from: 1, to: 40}})));
socket.on("message", data => {
    const message = JSON.parse(data);
    if (message.type === "trade") seqs.push(message.seq);
    if (message.type === "ERROR" || message.type === "END_OF_REPLAY") {
        console.log(JSON.stringify({type: message.type, seqs, extensions: socket.extensions}));
        socket.close();
    }
});
"""


class Node(HistoryTestCase):
    def test_its_default_is_compression_and_its_replay_is_whole(self):
        if shutil.which("node") is None:
            self.skipTest("SKIPPED: nodejs is not installed")
        server = self.serve()
        result = run(["env", "NODE_PATH=/usr/share/nodejs", "node", "-e", NODE, server.url()])
        if "Cannot find module" in result.stderr:
            self.skipTest("SKIPPED: node-ws is not installed")
        told = json.loads(result.stdout)
        self.assertIn("permessage-deflate", told["extensions"])
        self.assertEqual((told["type"], told["seqs"]), ("END_OF_REPLAY", list(range(1, 41))))


if __name__ == "__main__":
    unittest.main()
