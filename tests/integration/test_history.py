"""Clients that come back: what they missed comes once, or a GAP tells it; newest frames on demand."""
import json
import re
import selectors
import socket
import statistics
import time
import unittest

from clients import (DATA_TYPES, TEXT, FrameParser, RawClient, Tracker, frame, request,
                     subscribe_message)
from server import Server, ServerTestCase, not_by_wss, wait_until

FEED = "sim:symbols=20,rate=60,types=quote+trade"
SEQ = re.compile(rb'"ch":(\d+),"seq":(\d+),')
ALL = ["quote", "trade"]


def resume_message(epoch, cursors, id=None, **data):
    message = {"type": "RESUME", "data": {"epoch": epoch, "cursors": cursors, **data}}
    if id is not None:
        message["id"] = id
    return json.dumps(message)


def cursors_of(tracker):
    return {str(channel): seq - 1 for channel, seq in tracker.next_seq.items()}


def read_for(client, tracker, seconds):
    """For what must not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            client.next_message(tracker=tracker, timeout=0.2)
        except TimeoutError:
            pass


def read_more(client, tracker, frames):
    """So many frames more."""
    goal = tracker.frames + frames
    read_until(client, tracker, lambda: tracker.frames >= goal)


def read_until(client, tracker, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        client.next_message(tracker=tracker, timeout=max(0.0, deadline - time.monotonic()))


def resume(client, tracker, epoch=None, **data):
    """Asks to go on where the tracker is; returns the answer, which comes before any frame."""
    client.next_message(("WELCOME",))
    client.send_text(resume_message(epoch or next(iter(tracker.epochs)), cursors_of(tracker), **data))
    return client.next_message(tracker=tracker)


class Member:
    """One of very many clients: notes the seqs it gets, and every text that is no data frame."""

    def __init__(self):
        self.seqs = {}
        self.controls = []
        self.socket = None

    def connect(self, port, text):
        self.parser = FrameParser()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(request() + frame(TEXT, text))
        self.head = b""
        self.socket.setblocking(False)

    def read(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server hung up")
        if self.head is not None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self.head.startswith(b"HTTP/1.1 101"), self.head
            data, self.head = self.head[end + 4:], None
        for opcode, payload in self.parser.feed(data):
            if opcode != TEXT:
                continue
            match = SEQ.search(payload, 0, 200)
            if match and not payload.startswith(b'{"type":"S'):
                self.seqs.setdefault(int(match[1]), []).append(int(match[2]))
            else:
                self.controls.append(json.loads(payload))

    def has_resumed(self):
        answers = self.of_type("RESUMED")
        return bool(answers) and all(self.seqs[entry["ch"]][-1] >= entry["next_seq"] - 1
                                     for entry in answers[0]["data"]["ok"])

    def of_type(self, kind):
        return [control for control in self.controls if control["type"] == kind]


def read_all(members, seconds, done=lambda: False):
    with selectors.DefaultSelector() as selector:
        for member in members:
            selector.register(member.socket, selectors.EVENT_READ, member)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            for key, _ in selector.select(0.1):
                key.data.read()


def close_all(members):
    for member in members:
        if member.socket is not None:
            member.socket.close()


@not_by_wss
class ManyResume(unittest.TestCase):
    runs_alone = "a thousand clients are lent what all processes of an ordinary user may have locked"
    COUNT = 1000

    def test_a_thousand_clients_get_every_frame_that_they_missed_once(self):
        with Server("--feed", FEED, "--max-connections", "1100") as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["channels"] == 40, 60))
            members = [Member() for _ in range(self.COUNT)]
            self.addCleanup(close_all, members)
            for member in members:
                member.connect(server.port, subscribe_message(
                    ["*"], ALL, delivery={"on_lag": "skip"}, snapshot=False))
            read_all(members, 60, lambda: all(len(member.seqs) > 30 for member in members))
            close_all(members)
            self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0, 60))
            epoch = members[0].of_type("WELCOME")[0]["data"]["epoch"]
            server.wait_for_ticks(120)
            for member in members:
                self.assertGreater(len(member.seqs), 30)
                member.controls.clear()
                cursors = {str(channel): seqs[-1] for channel, seqs in member.seqs.items()}
                member.connect(server.port, resume_message(epoch, cursors))
            read_all(members, 120, lambda: all(it.has_resumed() for it in members))
            missed = 0
            for member in members:
                answer, = member.of_type("RESUMED")
                self.assertEqual(answer["data"]["gaps"] + answer["data"]["failed"], [])
                self.assertEqual(len(answer["data"]["ok"]), len(member.seqs))
                self.assertEqual(member.of_type("GAP"), [])
                for entry in answer["data"]["ok"]:
                    seqs = member.seqs[entry["ch"]]
                    # Up to where the log ended when it asked; then quotes may be conflated.
                    count = entry["next_seq"] - seqs[0]
                    self.assertEqual(seqs[:count], list(range(seqs[0], entry["next_seq"])))
                    self.assertEqual(sorted(set(seqs)), seqs)
                    missed += entry["next_seq"] - entry["from"]
            self.assertGreater(missed, self.COUNT * 60)
            self.assertEqual(server.core_sum("frames_lost"), 0)


class Resume(ServerTestCase):
    options = ("--feed", "sim:symbols=30,rate=3000,types=quote+trade")

    def begin(self, symbols=("*",), types=ALL, channels=60):
        tracker = Tracker()
        with RawClient(self.server.port) as client:
            client.send_text(subscribe_message(symbols, types, delivery={"on_lag": "skip"}))
            read_until(client, tracker, lambda: len(tracker.next_seq) == channels
                       and tracker.frames > 2 * channels)
        self.assertEqual(tracker.faults + tracker.gaps, [])
        return tracker

    def test_order_holds_from_the_past_to_live_frames(self):
        tracker = self.begin()
        self.assertEqual(len(tracker.next_seq), 60)
        self.server.wait_for_ticks(3000)
        with RawClient(self.server.port) as client:
            answer = resume(client, tracker, delivery={"on_lag": "skip"})
            self.assertEqual(answer["type"], "RESUMED")
            self.assertEqual(len(answer["data"]["ok"]), 60)
            for entry in answer["data"]["ok"]:
                self.assertEqual(entry["from"], tracker.next_seq[entry["ch"]])
                self.assertEqual((entry["symbol"], entry["type"]), tracker.names[entry["ch"]])
            before = tracker.frames
            read_until(client, tracker, lambda: tracker.frames - before > 4000)
        self.assertEqual(tracker.faults + tracker.gaps, [])

    def test_what_was_missed_is_not_conflated(self):
        tracker = self.begin()
        tracker.conflated_types = ("quote",)
        self.server.wait_for_ticks(3000)
        with RawClient(self.server.port, receive_buffer=4096) as client:
            answer = resume(client, tracker, delivery={})
            due = {entry["ch"]: entry["next_seq"] - entry["from"] for entry in answer["data"]["ok"]}
            seen = dict(tracker.counts)
            passed = {}

            def has_all():
                for channel, count in due.items():
                    if tracker.counts[channel] - seen[channel] <= count:
                        passed[channel] = tracker.passed_over[channel]
                return all(tracker.counts[channel] - seen[channel] > count
                           for channel, count in due.items())
            read_until(client, tracker, has_all)
        self.assertEqual(set(passed.values()), {0})
        self.assertEqual(tracker.faults + tracker.gaps, [])

    def test_cursors_may_come_in_several_messages(self):
        tracker = self.begin()
        cursors = list(cursors_of(tracker).items())
        epoch = next(iter(tracker.epochs))
        self.server.wait_for_ticks(1000)
        with RawClient(self.server.port) as client:
            client.next_message(("WELCOME",))
            for at in range(0, len(cursors), 7):
                client.send_text(resume_message(epoch, dict(cursors[at:at + 7]), id=at,
                                                delivery={"on_lag": "skip"}))
            ids = list(range(0, len(cursors), 7))
            read_until(client, tracker, lambda: len(tracker.of_type("RESUMED")) == len(ids))
            read_more(client, tracker, 4000)
        answers = tracker.of_type("RESUMED")
        self.assertEqual([answer["id"] for answer in answers], ids)
        self.assertEqual(sum(len(answer["data"]["ok"]) for answer in answers), len(cursors))
        self.assertEqual(tracker.faults + tracker.gaps, [])

    def test_since_goes_on_with_one_channel_beside_others(self):
        tracker = self.begin(["000001.SZ"], ["trade"], channels=1)
        channel, = tracker.next_seq
        self.server.wait_for_ticks(1000)
        with RawClient(self.server.port) as client:
            client.send_text(subscribe_message(["*"], ["quote"], delivery={"on_lag": "skip"}))
            client.next_message(("SUBSCRIBED",))
            client.send_text(subscribe_message(
                ["000001.SZ"], ["trade"], delivery={"on_lag": "skip"},
                since={"epoch": next(iter(tracker.epochs)), "seq": tracker.next_seq[channel] - 1}))
            read_until(client, tracker, lambda: tracker.of_type("SUBSCRIBED"))
            read_more(client, tracker, 1500)
        entry, = tracker.of_type("SUBSCRIBED")[-1]["data"]["ok"]
        self.assertEqual(entry["ch"], channel)
        self.assertEqual(len(tracker.next_seq), 31)
        self.assertEqual(tracker.faults + tracker.gaps, [])

    def test_what_cannot_be_resumed_is_told_and_not_subscribed(self):
        tracker = self.begin()
        with RawClient(self.server.port) as client:
            client.next_message(("WELCOME",))
            client.send_text(resume_message(next(iter(tracker.epochs)), {"0": 1 << 40, "60000": 1}))
            answer = client.next_message(("RESUMED",))["data"]
            self.assertEqual({entry["ch"]: entry["code"] for entry in answer["failed"] if "ch" in entry},
                             {60000: 120})
            self.assertEqual(sorted(entry["code"] for entry in answer["failed"]), [112, 120])
            self.assertEqual(answer["ok"] + answer["gaps"], [])
            self.assertEqual(client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["count"], 0)
            for data, field in (({"cursors": {"0": 1}}, "data.epoch"),
                                ({"epoch": "x", "cursors": {"zero": 1}}, "data.cursors")):
                error = client.ask({"type": "RESUME", "data": data}, ("ERROR",))["data"]
                self.assertEqual((error["code"], error["field"]), (107, field))


class Holes(unittest.TestCase):
    def test_another_epoch_is_a_gap_from_the_first_frame_on(self):
        trackers = []
        for _ in range(2):
            with Server("--feed", "sim:symbols=10,rate=1000,types=quote+trade") as server:
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] > 300, 60))
                tracker = Tracker()
                with RawClient(server.port) as client:
                    if not trackers:
                        client.send_text(subscribe_message(["*"], ALL))
                        read_until(client, tracker, lambda: len(tracker.next_seq) == 20)
                        trackers.append(tracker)
                        continue
                    epoch, = trackers[0].epochs
                    answer = resume(client, trackers[0], delivery={"on_lag": "skip"})["data"]
                    self.assertNotEqual(answer["epoch"], epoch)
                    self.assertEqual(answer["ok"] + answer["failed"], [])
                    self.assertEqual({entry["gap"] for entry in answer["gaps"]}, {"restart"})
                    self.assertEqual(len(answer["gaps"]), len(trackers[0].next_seq))
                    read_until(client, tracker, lambda: len(tracker.gaps) >= len(answer["gaps"]))
                    read_more(client, tracker, 500)
                self.assertEqual({gap["reason"] for gap in tracker.gaps}, {"restart"})
                self.assertEqual({gap["from"] for gap in tracker.gaps}, {1})
                self.assertEqual(len(tracker.gaps), len(answer["gaps"]))
                self.assertEqual(tracker.faults, [])
                self.assertEqual(set(tracker.first_seq.values()), {1})

    def test_what_the_log_has_passed_is_an_exact_gap(self):
        with Server("--feed", "sim:symbols=20,rate=20000,types=quote+trade",
                    "--frame-log-bytes", "1048576") as server:
            tracker = Tracker()
            with RawClient(server.port) as client:
                client.send_text(subscribe_message(["*"], ALL, delivery={"on_lag": "skip"}))
                read_until(client, tracker, lambda: len(tracker.next_seq) == 40)
            server.wait_for_ticks(20000)
            first = dict(tracker.next_seq)
            tracker.gaps.clear()
            with RawClient(server.port) as client:
                answer = resume(client, tracker, delivery={"on_lag": "skip"})["data"]
                self.assertEqual(answer["ok"] + answer["failed"], [])
                self.assertEqual({entry["gap"] for entry in answer["gaps"]}, {"overrun"})
                read_until(client, tracker, lambda: {gap["ch"] for gap in tracker.gaps} == set(first))
                read_more(client, tracker, 10000)
            begun = {gap["ch"]: gap["from"] for gap in reversed(tracker.gaps)}
            self.assertEqual(begun, first)
            self.assertEqual({gap["reason"] for gap in tracker.gaps}, {"overrun"})
            self.assertEqual(tracker.faults, [])


class Replay(ServerTestCase):
    options = ("--feed", "sim:symbols=30,rate=3000,types=quote+trade")
    SYMBOLS = ["000001.SZ", "600519.SH", "AAPL.US"]

    def setUp(self):
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] > 6000, 60))

    def begin(self, client, **data):
        client.next_message(("WELCOME",))
        client.send_text(json.dumps({"type": "REPLAY", "data": data}))
        return client.next_message(("REPLAYING", "ERROR"))

    def read_to_end(self, client, tracker):
        end = None
        while end is None:
            message = client.next_message(tracker=tracker, timeout=20)
            end = message["data"] if message["type"] == "END_OF_REPLAY" else None
        return end

    def test_live_frames_follow_on_the_last_one_without_a_hole(self):
        tracker = Tracker()
        since = time.time_ns()
        self.server.wait_for_ticks(4500)
        with RawClient(self.server.port) as client:
            answer = self.begin(client, symbols=self.SYMBOLS, data_types=ALL, delivery={"on_lag": "skip"},
                                **{"from": since})
            self.assertEqual(len(answer["data"]["ok"]), 6, answer)
            end = self.read_to_end(client, tracker)
            self.assertEqual(end["gaps"] + end["failed"], [])
            for entry in end["ok"]:
                self.assertEqual(entry["last"], tracker.next_seq[entry["ch"]] - 1)
            self.assertGreater(tracker.frames, 200)
            read_more(client, tracker, 200)
            listed = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]
            self.assertEqual(listed["count"], 6)
        self.assertEqual(tracker.faults + tracker.gaps, [])
        self.assertEqual(len(tracker.next_seq), 6)

    def test_a_range_of_seqs_is_sent_and_nothing_else(self):
        tracker = Tracker()
        with RawClient(self.server.port) as client:
            answer = self.begin(client, symbols=["000001.SZ"], data_types=["trade"],
                                **{"from": 7, "to": 41})
            channel = answer["data"]["ok"][0]["ch"]
            end = self.read_to_end(client, tracker)
            self.assertEqual([(entry["ch"], entry["last"]) for entry in end["ok"]], [(channel, 41)])
            read_for(client, tracker, 0.5)
        self.assertEqual((tracker.first_seq, tracker.next_seq), ({channel: 7}, {channel: 42}))
        self.assertEqual((tracker.faults, tracker.frames), ([], 35))

    def test_at_speed_1_it_takes_as_long_as_it_took(self):
        def is_in_time():
            """It may be stopped, and the ticks may come late: not every time."""
            took, times = self.replay_at_speed_1()
            self.assertGreater(took, (times[-1] - times[0]) / 1e9 - 0.01)
            return len(times) > 100 and took < 2
        self.assertTrue(wait_until(is_in_time, 60))

    def replay_at_speed_1(self):
        """The seconds it took, and when each frame of the 0.8 s was published."""
        tracker, times, end = Tracker(), [], None
        since = time.time_ns() - 1_000_000_000
        with RawClient(self.server.port) as client:
            began = time.monotonic()
            self.begin(client, symbols=self.SYMBOLS, data_types=ALL, speed=1,
                       **{"from": since, "to": since + 800_000_000})
            while end is None:
                message = client.next_message(tracker=tracker, timeout=20)
                times += [message["ts_pub"]] if message["type"] in ALL else []
                end = message if message["type"] == "END_OF_REPLAY" else None
            took = time.monotonic() - began
        self.assertEqual(tracker.faults, [])
        return took, times or [0]

    def test_other_live_frames_are_not_delayed_and_a_second_replay_is_refused(self):
        tracker = Tracker()
        with RawClient(self.server.port) as client:
            client.subscribe(["MSFT.US"], ["trade"])
            since = time.time_ns() - 1_500_000_000
            # The first is so slow that it goes on when the others come, whoever is stopped meanwhile.
            client.send(b"".join(frame(TEXT, json.dumps({"type": "REPLAY", **message})) for message in (
                {"data": {"symbols": self.SYMBOLS, "data_types": ["quote"], "from": since, "speed": 0.25}},
                {"id": 2, "data": {"symbols": self.SYMBOLS, "data_types": ["trade"], "from": since}},
                {"id": 3, "data": {"symbols": ["MSFT.US"], "data_types": ["trade"], "from": since}})))
            ages = []
            # A second of them may be late because somebody was stopped, but not all seconds.
            while len(ages) < 50 or statistics.median(ages[-50:]) >= 200_000_000:
                message = client.next_message(tracker=tracker)
                self.assertNotEqual(message["type"], "END_OF_REPLAY", "it delayed all live frames")
                if message["type"] == "trade":
                    ages.append(time.time_ns() - message["ts_pub"])
            self.assertIn("quote", {kind for _, kind in tracker.names.values()})
            error, = tracker.of_type("ERROR")
            self.assertEqual((error["id"], error["data"]["code"]), (2, 106))
            covered = tracker.of_type("REPLAYING")[-1]
            self.assertEqual((covered["id"], covered["data"]["failed"][0]["code"]), (3, 107))
        self.assertEqual(tracker.faults, [])

    def test_what_is_gone_or_not_yet_there_is_told(self):
        with Server("--feed", "sim:symbols=20,rate=20000,types=quote+trade",
                    "--frame-log-bytes", "1048576") as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] > 20000, 60))
            with RawClient(server.port) as client:
                error = self.begin(client, symbols=["000001.SZ"], data_types=["trade"],
                                   **{"from": 1})["data"]
                self.assertEqual((error["code"], error["field"]), (124, "data.from"))
                for start, code in ((time.time_ns() - 60 * 10 ** 9, 124), (1 << 40, 107)):
                    client.send_text(json.dumps({"type": "REPLAY", "data": {
                        "symbols": ["000001.SZ"], "data_types": ["trade"], "from": start}}))
                    error = client.next_message(("ERROR",))["data"]
                    self.assertEqual((error["code"], error["field"]), (code, "data.from"))
                self.assertEqual(client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["count"], 0)


class Snapshots(ServerTestCase):
    options = ("--feed", "sim:symbols=50,rate=500,types=quote+trade", "--max-connections", "600")

    def test_the_frames_follow_the_answer_and_are_of_the_seqs_it_tells(self):
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] > 2000, 60))
        with RawClient(self.server.port) as client:
            client.next_message(("WELCOME",))
            client.send_text(json.dumps({"type": "SNAPSHOT", "id": 3, "data": {
                "symbols": ["000001.SZ", "600519.SH", "XXXX"], "data_types": ALL}}))
            # A HEARTBEAT may come before: nothing is subscribed.
            answer = client.next_message((*DATA_TYPES, "SNAPSHOT"))
            self.assertEqual((answer["type"], answer["id"]), ("SNAPSHOT", 3))
            self.assertEqual({entry["code"] for entry in answer["data"]["failed"]}, {120})
            self.assertGreaterEqual(len(answer["data"]["ok"]), 2)
            for entry in answer["data"]["ok"]:
                got = client.next_message(DATA_TYPES)
                self.assertEqual((got["symbol"], got["type"], got["ch"], got["seq"]),
                                 (entry["symbol"], entry["type"], entry["ch"], entry["as_of"]))
            with self.assertRaises(TimeoutError):
                client.next_message(DATA_TYPES, timeout=0.5)

    @not_by_wss
    def test_a_storm_of_them_is_answered_and_costs_no_encoding(self):
        self.assertTrue(wait_until(lambda: self.server.stats()["publisher"]["ticks"] > 2000, 60))
        symbols = ["000001.SZ"] + [f"SIM{i:05}.SIM" for i in range(20, 40)]
        ask = json.dumps({"type": "SNAPSHOT", "data": {"symbols": symbols, "data_types": ["quote"]}})
        members = [Member() for _ in range(500)]
        self.addCleanup(close_all, members)
        for member in members:
            member.connect(self.server.port, ask)
        for _ in range(4):
            for member in members:
                member.socket.setblocking(True)
                member.socket.sendall(frame(TEXT, ask))
                member.socket.setblocking(False)
        read_all(members, 60, lambda: all(sum(map(len, it.seqs.values())) >= 5 * len(symbols)
                                          for it in members))
        read_all(members, 0.3)  # Nothing more comes.
        for member in members:
            wanted = {}
            for answer in member.of_type("SNAPSHOT"):
                self.assertEqual(len(answer["data"]["ok"]), len(symbols))
                for entry in answer["data"]["ok"]:
                    wanted.setdefault(entry["ch"], []).append(entry["as_of"])
            self.assertEqual(member.seqs, wanted)

    def test_a_subscriber_goes_on_after_as_of(self):
        tracker = Tracker()
        ask = json.dumps({"type": "SNAPSHOT",
                          "data": {"symbols": ["000001.SZ"], "data_types": ["quote"]}})
        with RawClient(self.server.port) as client:
            client.send_text(subscribe_message(["000001.SZ"], ["quote"],
                                               delivery={"on_lag": "skip"}))
            answered = 0
            while answered < 30:
                message = client.next_message(tracker=tracker)
                if message["type"] == "quote" and tracker.next_seq[message["ch"]] > 1:
                    client.send_text(ask)
                if message["type"] != "SNAPSHOT" or not message["data"]["ok"]:
                    continue
                entry, = message["data"]["ok"]
                answered += 1
                self.assertEqual(entry["as_of"], tracker.next_seq[entry["ch"]] - 1)
                again = client.next_message(("quote",))
                self.assertEqual(again["seq"], entry["as_of"])
        self.assertEqual(tracker.faults + tracker.gaps, [])


class Modify(unittest.TestCase):
    def test_a_limit_of_lag_is_kept_by_the_subscription_that_has_it(self):
        with Server("--feed", "sim:symbols=20,rate=10000,types=quote+trade",
                    "--send-buffer-bytes", "65536") as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["channels"] == 40, 60))
            with RawClient(server.port, receive_buffer=4096, timeout=30) as client:
                client.subscribe(["000001.SZ", "600519.SH", "SIM*"], ["trade"])
                answer = client.ask({"type": "MODIFY", "data": {
                    "symbols": ["000001.SZ", "SIM*", "XXXX"], "data_types": ["trade"],
                    "delivery": {"max_lag_ms": 300}}}, ("MODIFIED",))["data"]
                self.assertEqual([(entry["symbol"], entry["on_lag"], entry["max_lag_ms"])
                                  for entry in answer["ok"]],
                                 [("000001.SZ", "skip", 300), ("SIM*", "skip", 300)])
                self.assertEqual([entry["code"] for entry in answer["failed"]], [107])
                listed = client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["subscriptions"]
                self.assertEqual({entry["symbol"]: entry.get("max_lag_ms") for entry in listed},
                                 {"000001.SZ": 300, "600519.SH": None, "SIM*": 300})
                server.wait_for_ticks(30000)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
                tracker, names = Tracker(), set()
                newest, began = 0, time.time_ns()
                deadline = time.monotonic() + 60
                while newest < began or len(names) < 6 or "000001.SZ" not in names:
                    self.assertLess(time.monotonic(), deadline, names)
                    message = client.next_message(tracker=tracker)
                    if message["type"] == "trade" and message["symbol"] == "600519.SH":
                        newest = message["ts_pub"]
                    names = {tracker.names[gap["ch"]][0] for gap in tracker.gaps
                             if gap["ch"] in tracker.names}
            self.assertEqual(tracker.faults, [])
            self.assertNotIn("600519.SH", names)
            self.assertEqual({gap["reason"] for gap in tracker.gaps}, {"lag"})


if __name__ == "__main__":
    unittest.main()
