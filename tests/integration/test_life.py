"""What a client is told of itself, and how a server ends: running hashes, STATUS, LAG, drain."""
import asyncio
import ctypes
import json
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import websockets

try:
    import xxhash
except ImportError:
    xxhash = None

from clients import (PONG, PING, TEXT, BINARY, CLOSE, CollectingClient, RawClient, Tracker, close_of,
                     frame, request, subscribe_message)
from server import Server, ServerTestCase, program, run, wait_until, within

FEED = ("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth")


class Chains:
    """The running hashes of a client's channels, as docs/protocol.md says."""

    def __init__(self):
        self.hash = {}      # channel: after the last frame that counted
        self.seq = {}       # channel: its seq
        self.checked = 0
        self.proven = 0
        self.since = {}     # channel: seq up to which it was proven or told
        self.wrong = []

    def on_frame(self, channel, seq, payload):
        if channel in self.seq and seq == self.seq[channel] + 1:
            both = struct.pack("<QQ", self.hash[channel], xxhash.xxh3_64_intdigest(payload))
            self.hash[channel] = xxhash.xxh3_64_intdigest(both)
            self.seq[channel] = seq
        elif channel in self.seq and seq > self.seq[channel]:
            del self.seq[channel]  # lost, or conflated

    def on_told(self, channel, next_seq, text):
        assert re.fullmatch("[0-9a-f]{16}", text), text
        if self.seq.get(channel) == next_seq - 1:
            self.checked += 1
            self.proven += next_seq - 1 - self.since[channel]
            if self.hash[channel] != int(text, 16):
                self.wrong.append((channel, next_seq, text))
        elif self.seq.get(channel, -1) > next_seq - 1:
            return
        self.seq[channel] = self.since[channel] = next_seq - 1
        self.hash[channel] = int(text, 16)

    def on_message(self, payload):
        message = json.loads(payload)
        data = message.get("data", {})
        if message["type"].islower():
            self.on_frame(message["ch"], message["seq"], payload)
        elif message["type"] == "SUBSCRIBED":
            for entry in data["ok"]:
                if "hash" in entry:
                    self.on_told(entry["ch"], entry["next_seq"], entry["hash"])
        elif message["type"] == "HEARTBEAT":
            assert data["hash"].keys() == data["next_seq"].keys()
            for channel, text in data["hash"].items():
                self.on_told(int(channel), data["next_seq"][channel], text)
        return message


@unittest.skipIf(xxhash is None, "SKIPPED: python3-xxhash is not installed")
class RunningHash(ServerTestCase):
    options = ("--feed", "sim:symbols=20,rate=2000,types=quote+trade+bar+depth")

    def follow(self, client, chains, until, seconds=20):
        """Reads frames, and asks for a HEARTBEAT now and then."""
        deadline = time.monotonic() + seconds
        asked = 0
        while not until(chains):
            self.assertLess(time.monotonic(), deadline, vars(chains))
            if time.monotonic() > asked + 0.2:
                asked = time.monotonic()
                client.send_text('{"type":"HEARTBEAT"}')
            opcode, payload = client.next_frame()
            if opcode == PING:
                client.send(frame(PONG, payload))
            elif opcode == TEXT:
                chains.on_message(payload)

    def test_every_channels_hash_is_what_another_implementation_computes(self):
        with RawClient(self.server.port) as client:
            chains = Chains()
            client.send_text(subscribe_message(["*"], ["quote", "trade", "bar", "depth"]))
            self.follow(client, chains, lambda c: c.proven > 3000)
            self.assertEqual(chains.wrong, [])
            self.assertGreater(chains.checked, 60)

    def test_the_hash_of_subscribed_is_before_its_next_seq(self):
        """What is told there is what the channel's frames from next_seq on are added to."""
        with RawClient(self.server.port) as client:
            chains = Chains()
            symbols = ["000001.SZ", "600519.SH"]
            client.send_text(subscribe_message(symbols, ["quote", "trade"]))
            while True:
                opcode, payload = client.next_frame()
                if opcode == TEXT and chains.on_message(payload)["type"] == "SUBSCRIBED":
                    break
            self.assertEqual(len(chains.seq), 4)
            self.follow(client, chains, lambda c: c.checked >= 8 and c.proven > 50)
            self.assertEqual(chains.wrong, [])

    def test_a_frame_that_is_altered_left_out_or_moved_is_found(self):
        """The check can fail: the same stream with one fault."""
        def fault_none(frames):
            return frames

        def fault_altered(frames):
            channel, seq, payload = frames[3]
            return [*frames[:3], (channel, seq, payload.replace(b"1", b"2", 1)), *frames[4:]]

        def fault_renumbered(frames):
            return frames[:3] + [(c, s - 1, p) for c, s, p in frames[4:]]

        with RawClient(self.server.port) as client:
            first = client.subscribe(["000001.SZ"], ["trade"])["data"]["ok"][0]
            frames = []
            client.send_text('{"type":"HEARTBEAT"}')
            while len(frames) < 8:
                opcode, payload = client.next_frame()
                if opcode == TEXT and json.loads(payload)["type"] == "trade":
                    frames.append((first["ch"], json.loads(payload)["seq"], payload))
            client.send_text('{"type":"HEARTBEAT"}')
            told = None
            while told is None:
                opcode, payload = client.next_frame()
                message = json.loads(payload)
                if message["type"] == "trade":
                    frames.append((first["ch"], message["seq"], payload))
                elif message["type"] == "HEARTBEAT":
                    told = message["data"]
        next_seq, text = told["next_seq"][str(first["ch"])], told["hash"][str(first["ch"])]
        for fault, wrong in ((fault_none, 0), (fault_altered, 1)):
            chains = Chains()
            chains.on_told(first["ch"], first["next_seq"], first["hash"])
            for channel, seq, payload in fault(frames):
                chains.on_frame(channel, seq, payload)
            chains.on_told(first["ch"], next_seq, text)
            self.assertEqual(len(chains.wrong), wrong, fault.__name__)
        chains = Chains()
        chains.on_told(first["ch"], first["next_seq"], first["hash"])
        for channel, seq, payload in fault_renumbered(frames):
            chains.on_frame(channel, seq, payload)
        chains.on_told(first["ch"], next_seq - 1, text)
        self.assertEqual(len(chains.wrong), 1)

    def test_the_chain_of_sbe_frames_is_over_their_own_payloads(self):
        with RawClient(self.server.port, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n") as client:
            chains = Chains()
            client.send_text(subscribe_message(["000001.SZ"], ["trade"]))
            deadline = time.monotonic() + 20
            frames = 0
            asked = 0
            channel = None
            next_seq = None
            while chains.proven < 20:
                self.assertLess(time.monotonic(), deadline, vars(chains))
                if time.monotonic() > asked + 0.2:
                    asked = time.monotonic()
                    client.send_text('{"type":"HEARTBEAT"}')
                opcode, payload = client.next_frame()
                if opcode == TEXT:
                    message = chains.on_message(payload)
                    if message["type"] == "SUBSCRIBED":
                        channel = message["data"]["ok"][0]["ch"]
                        next_seq = message["data"]["ok"][0]["next_seq"]
                    frames += message["type"] == "trade"  # where SBE cannot bear a tick
                elif opcode == BINARY and channel is not None:
                    chains.on_frame(channel, next_seq, payload)  # trades have no snapshot
                    next_seq += 1
                    frames += 1
            self.assertEqual(chains.wrong, [])
            self.assertGreaterEqual(frames, 20)

    def test_a_compressed_message_is_hashed_as_it_was(self):
        async def follow(server):
            chains = Chains()
            async with websockets.connect(server.url(), compression="deflate",
                                          ping_interval=None) as client:
                self.assertEqual([e.name for e in client.extensions], ["permessage-deflate"])
                await client.send(subscribe_message(["*"], ["quote"]))
                asked = 0
                while chains.proven < 500:
                    if time.monotonic() > asked + 0.2:
                        asked = time.monotonic()
                        await client.send('{"type":"HEARTBEAT"}')
                    chains.on_message((await asyncio.wait_for(client.recv(), 20)).encode())
            return chains
        with Server(*self.options, "--compression-threshold", "200") as server:
            self.assertEqual(asyncio.run(follow(server)).wrong, [])

    def test_a_silent_channels_hash_comes_with_the_heartbeats(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = f"{folder}/ticks.csv"
            with open(path, "w") as file:
                file.write("symbol,ts_ns,price,size\n")
                file.writelines(f"A.B,{10**18 + i},1.5,2\n" for i in range(7))
            with Server("--feed", f"replay:path={path}") as server:
                self.assertIsNotNone(server.wait_for_line("after pass 1"))
                with RawClient(server.port) as client:
                    entry = client.subscribe(["A.B"], ["trade"])["data"]["ok"][0]
                    beat = client.next_message(("HEARTBEAT",))["data"]
                    self.assertEqual(beat["hash"], {str(entry["ch"]): entry["hash"]})
                    again = client.subscribe(["A.B"], ["trade"])["data"]["ok"][0]
                    self.assertEqual(again["hash"], entry["hash"])

    def test_the_tap_proves_its_frames_by_hash(self):
        result = run([program("ringcast-tap"), "--verify", "--quiet", "--count", "4000", "--json",
                      "--types", "quote,trade,depth", self.server.url()])
        self.assertEqual(result.returncode, 0, result.stderr)
        certificate = json.loads(result.stdout.splitlines()[-1])
        self.assertTrue(certificate["complete"])
        self.assertTrue(certificate["proven"], certificate)
        self.assertGreaterEqual(certificate["hash_checks"], 60)
        snapshots = len(certificate["channels"])
        # Those before the first answer are not proven, and it may be late.
        self.assertGreater(certificate["proven_frames"],
                           0.3 * (certificate["frames"] - snapshots))
        self.assertLessEqual(certificate["proven_frames"], certificate["frames"])

    def test_many_readers_prove_theirs(self):
        result = run([program("ringcast-tap"), "--verify", "--connections", "30", "--count", "600",
                      "--types", "quote", self.server.url()])
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"proven +\d+ frames? by running hash, in \d+ checks?")
        self.assertIn("one digest, proven", result.stdout)


class Told(ServerTestCase):
    options = FEED

    def test_status_tells_what_the_server_knows(self):
        with RawClient(self.server.port) as client:
            client.subscribe(["*", "000001.SZ"], ["quote"])
            received = 0
            client.send_text('{"type":"STATUS","id":"s"}')
            while True:
                message = client.next_message()
                if message["type"] == "STATUS":
                    break
                received += message["type"].islower()
            data = message["data"]
            self.assertEqual(message["id"], "s")
            self.assertEqual(data["encoding"], "md.json.v1")
            self.assertEqual(data["sent"], received)
            self.assertEqual((data["lost"], data["conflated"]), (0, 0))
            self.assertEqual(data["lag"], {"bytes": 0, "ms": 0, "cause": None})
            self.assertEqual(data["subscriptions"], 2)
            self.assertGreater(data["round_trip_us"], 0)
            self.assertIsNotNone(
                self.server.wait_for_line(f"Client {data['session']} connected"))

    def test_a_heartbeat_is_answered_at_once_although_frames_come(self):
        with RawClient(self.server.port) as client:
            client.subscribe(["*"], ["trade"])
            begin = time.monotonic()
            for i in range(20):
                beat = client.ask({"type": "HEARTBEAT", "id": i}, ("HEARTBEAT",))
                while "id" not in beat:  # the server's own, when no frame came for a second
                    beat = client.next_message(("HEARTBEAT",))
                self.assertEqual(beat["id"], i)
            self.assertLess(time.monotonic() - begin, 15)
            self.assertEqual(beat["data"]["hash"].keys(), beat["data"]["next_seq"].keys())
            self.assertGreater(len(beat["data"]["hash"]), 0)


def stalled(server, types, **data):
    """A client that has subscribed to everything and then read nothing until it is blocked."""
    client = RawClient(server.port, receive_buffer=4096, timeout=30)
    client.send_text(subscribe_message(["*"], types, **data))
    assert wait_until(lambda: server.stats()["connections"]["blocked"] > 0, 20), server.stats()
    return client


def attach_filter(sock, program):
    """An ordinary user is refused with EPERM now and then, by the limit on compiled filters."""
    memory = ctypes.create_string_buffer(program, len(program))
    try:
        sock.setsockopt(socket.SOL_SOCKET, 26,  # SO_ATTACH_FILTER
                        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(memory)))
    except PermissionError:
        return False
    return True


class Lag(unittest.TestCase):
    BUSY = ("--feed", "sim:symbols=20,rate=20000,types=trade", "--send-buffer-bytes", "16k")

    def read_until(self, client, kind, tracker):
        """The first message of that kind; everything is checked on the way."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            message = client.next_message(tracker=tracker, timeout=30)
            if message["type"] == kind:
                return message
        self.fail(f"no {kind}")

    def test_half_of_max_lag_is_told_once_with_its_cause_and_then_the_gap(self):
        with Server(*self.BUSY, "--max-lag-ms", "6000") as server:
            tracker = Tracker()
            client = stalled(server, ["trade"])
            server.wait_until_behind(3.1)
            lag = self.read_until(client, "LAG", tracker)["data"]
            self.assertGreaterEqual(lag["ms"], 3000)
            self.assertLess(lag["ms"], 6000)
            self.assertGreater(lag["bytes"], 100_000)
            self.assertEqual(lag["cause"], "client")
            server.wait_until_behind(4)  # beside the 3 s that it was behind already
            self.read_until(client, "GAP", tracker)
            self.assertEqual(tracker.faults, [])
            self.assertTrue(all(gap["reason"] == "lag" for gap in tracker.gaps))
            self.assertEqual(len(tracker.of_type("LAG")), 1)
            client.close()

    def test_without_max_lag_half_of_the_log_is_told(self):
        half = 8 << 20
        with Server(*self.BUSY, "--frame-log-bytes", str(2 * half)) as server:
            client = stalled(server, ["trade"])
            begin = server.stats()["publisher"]["tick_bytes"]
            self.assertTrue(wait_until(
                lambda: server.stats()["publisher"]["tick_bytes"] > begin + half, 60))
            lag = self.read_until(client, "LAG", Tracker())["data"]
            self.assertGreater(lag["ms"], 0)
            self.assertEqual(lag["cause"], "client")
            client.close()

    def test_a_client_that_is_behind_learns_it_from_status(self):
        with Server(*self.BUSY) as server:
            client = stalled(server, ["trade"])
            server.wait_until_behind(0.5, ticks=1000)
            messages = server.core_sum("messages_in")
            client.send_text('{"type":"STATUS"}')
            client.send_text('{"type":"HEARTBEAT"}')
            self.assertTrue(wait_until(lambda: server.core_sum("messages_in") == messages + 2))
            tracker = Tracker()
            status = self.read_until(client, "STATUS", tracker)["data"]
            self.assertGreater(status["lag"]["ms"], 300)
            self.assertGreater(status["lag"]["bytes"], 10_000)
            self.assertEqual(status["lag"]["cause"], "client")
            beat = self.read_until(client, "HEARTBEAT", tracker)["data"]
            self.assertEqual((beat["next_seq"], beat["hash"]), ({}, {}))
            self.assertEqual(tracker.faults, [])
            client.close()

    def test_lost_packets_are_the_networks_fault(self):
        """The client's own socket filter drops all data that comes in, as a bad line would."""
        detach = 27  # SO_DETACH_FILTER
        drop = b"".join(struct.pack("HBBI", *instruction) for instruction in (
            (0x80, 0, 0, 0),  # load the length, TCP header included
            (0x25, 0, 1, 60),  # more than any header has?
            (0x06, 0, 0, 0),  # drop
            (0x06, 0, 0, 0xffffffff)))  # an acknowledgement: keep it
        with Server(*self.BUSY) as server, RawClient(server.port, timeout=30) as client:
            # First, since it may take a while: frames that nobody reads would fill the client's buffer.
            if not wait_until(lambda: attach_filter(client.socket, drop)):
                self.skipTest("SKIPPED: the kernel has no room for an ordinary user's filter")
            client.send_text(subscribe_message(["*"], ["trade"]))
            server.wait_until_blocked()
            server.wait_until_behind(1)
            messages = server.core_sum("messages_in")
            client.send_text('{"type":"STATUS"}')
            self.assertTrue(wait_until(lambda: server.core_sum("messages_in") > messages))
            client.socket.setsockopt(socket.SOL_SOCKET, detach, 0)
            status = self.read_until(client, "STATUS", Tracker())["data"]
            self.assertEqual(status["lag"]["cause"], "network")
            self.assertGreater(status["lag"]["ms"], 900)

    def test_a_client_that_is_closed_for_lagging_is_told_why_in_figures(self):
        for unix in (False, True):
            with self.subTest(unix=unix), tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/socket"
                with Server(*self.BUSY, "--max-lag-ms", "600", "--unix", path) as server:
                    begin = time.monotonic()
                    client = RawClient(path if unix else server.port, receive_buffer=4096,
                                       timeout=30)
                    client.send_text(subscribe_message(
                        ["*"], ["trade"], delivery={"on_lag": "disconnect"}))
                    server.wait_until_blocked()
                    server.wait_until_behind(1)
                    code, reason = client.wait_for_close()
                    seconds = time.monotonic() - begin
                    self.assertEqual(code, 4108)
                    match = re.fullmatch(r"slow;cause=client;lag_ms=(\d+)", reason)
                    self.assertIsNotNone(match, reason)
                    self.assertGreater(int(match[1]), 600)
                    self.assertLessEqual(int(match[1]), 1000 * seconds)
                    client.close()

    def test_published_is_sent_and_lost_and_conflated(self):
        with Server("--feed", "sim:symbols=20,rate=20000,types=quote+trade", "--send-buffer-bytes",
                    "16k", "--frame-log-bytes", "2m") as server:
            client = stalled(server, ["quote", "trade"], snapshot=False)
            server.wait_for_ticks(30000)
            tracker = Tracker(conflated_types=("quote",))
            self.read_until(client, "SUBSCRIBED", tracker)
            deadline = time.monotonic() + 30
            beat = None
            while beat is None or not beat["next_seq"]:
                self.assertLess(time.monotonic(), deadline)
                client.send_text('{"type":"HEARTBEAT"}')
                beat = self.read_until(client, "HEARTBEAT", tracker)["data"]
            self.assertEqual(tracker.faults, [])
            self.assertEqual(beat["sent"], tracker.frames)
            self.assertEqual(beat["lost"], sum(tracker.lost.values()))
            self.assertGreater(beat["lost"] + beat["conflated"], 0)
            client.close()


class Drain(unittest.TestCase):
    """S67: SIGTERM and SIGINT drain, and a second signal ends the server at once."""

    def test_each_of_a_thousand_clients_is_told_its_time_and_let_go_then(self):
        asyncio.run(self.drain_a_thousand())

    async def drain_a_thousand(self):
        count, window = 1000, 8.0
        with Server("--feed", "sim:symbols=5,rate=4,types=quote", "--max-connections", "1100",
                    "--drain-timeout", str(window)) as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["channels"] == 5, 60))
            clients = []
            while len(clients) < count:
                batch = await asyncio.gather(*(
                    DrainedClient.connect(server.port, subscribe_message(["*"], ["quote"]))
                    for _ in range(min(100, count - len(clients)))))
                while not all(client.upgraded or client.closed for client in batch):
                    await asyncio.sleep(0.01)
                # Without those whose handshake took over 5 s, since this program stood still.
                clients += [client for client in batch if client.upgraded]
            begin = time.monotonic()
            while not all(len(client.tracker.next_seq) == 5 for client in clients):
                await asyncio.sleep(0.05)
                behind = [len(client.tracker.next_seq) for client in clients
                          if len(client.tracker.next_seq) != 5]
                self.assertLess(time.monotonic() - begin, 90, (len(behind), behind[:5]))
            begin, signalled = time.monotonic(), time.time()
            server.signal(signal.SIGTERM)
            while not any(client.notice for client in clients):
                await asyncio.sleep(0.01)
                self.assertLess(time.monotonic() - begin, window)
            # S55: balancers and new clients go elsewhere.
            self.assertEqual((await asyncio.to_thread(server.admin, "/readyz"))[0], 503)
            self.assertEqual((await asyncio.to_thread(server.admin, "/ready"))[0], 503)
            status, retry_after = await asyncio.to_thread(self.try_to_connect, server.port)
            self.assertEqual((status, retry_after), (503, "5"))
            while not all(client.closed for client in clients):
                await asyncio.sleep(0.05)
                self.assertLess(time.monotonic() - begin, window + 20)
            code = await asyncio.to_thread(server.wait)
            seconds = time.monotonic() - begin
            self.assertEqual(code, 0, server.log())
            self.assertGreater(seconds, 0.9 * window)
            self.assertLess(seconds, window + 20)
            self.check_slots(clients, window, signalled)

    @staticmethod
    def try_to_connect(port):
        with RawClient(port, upgrade=False) as late:
            late.send(request())
            status = late.read_head()
            return status, late.header("Retry-After")

    def check_slots(self, clients, window, signalled):
        slots = []
        for client in clients:
            self.assertEqual(client.tracker.faults, [])
            self.assertEqual(client.tracker.gaps, [])
            self.assertEqual(client.closed, (4201, "drain"))
            self.assertEqual(client.notice["event"], "DRAIN")
            self.assertLessEqual(client.notice["deadline_ms"], 1000 * window)
            self.assertEqual(client.notice["resume"]["epoch"], client.epoch)
            self.assertEqual(client.cursors_when_told, client.notice["resume"]["cursors"])
            self.assertGreater(client.frames_after, 0 if client.slot > 4 else -1)
            slots.append(client.slot)
        # This program may be late to see it of some; and the server counts from where a turn of
        # its begins, which may be long before what it tells some of them.
        late = sorted(client.waited - client.slot for client in clients)
        self.assertGreater(late[len(late) // 2], -0.03, "closed before their time")
        self.assertLess(late[len(late) // 2], 1.0, "closed long after their time")
        # Exactly: the window begins with the signal or later, and ends its length after it.
        ends = sorted(client.told + client.waited - signalled for client in clients)
        for place, end in enumerate(ends):
            self.assertGreater(end, window * (place + 0.5) / len(ends) - 0.01, "closed too early")
        slots.sort()
        gaps = [after - before for before, after in zip(slots, slots[1:])]
        self.assertLess(max(gaps), 5 * window / len(slots), "the slots are spread evenly")
        self.assertGreater(max(client.told + client.slot for client in clients) - signalled,
                           0.9 * window)

    def end(self, *options, signals=(signal.SIGTERM,), stalled_client=False):
        """(exit code, seconds, close of a client, log)"""
        # One that reads must have room for its Close, also when it is late.
        feed = (("--feed", "sim:symbols=20,rate=20000", "--send-buffer-bytes", "16k")
                if stalled_client else FEED)
        with Server(*feed, *options) as server:
            client = RawClient(server.port, receive_buffer=4096 if stalled_client else None)
            client.send_text(subscribe_message(["*"], ["quote"]))
            if stalled_client:
                server.wait_until_blocked()
            else:
                client.next_message(("SUBSCRIBED",))
            begin = time.monotonic()
            for number in signals:
                server.signal(number)
                if len(signals) > 1:
                    server.wait_for_line("SIG(TERM|INT) received")
                    time.sleep(0.3)  # What comes within a fifth of a second is the same signal.
            closed = (None, "") if stalled_client else client.wait_for_close()
            if not stalled_client:
                client.close()
            code = server.wait()
            client.close()
            return code, time.monotonic() - begin, closed, server.log()

    def test_a_second_signal_ends_a_drain_at_once(self):
        code, seconds, _, log = self.end("--drain-timeout", "30",
                                         signals=(signal.SIGTERM, signal.SIGTERM),
                                         stalled_client=True)
        self.assertLess(seconds, 15, log)
        self.assertIn("second signal", log)
        self.assertEqual(code, 1)

    def test_without_a_window_all_are_closed_at_once_with_1001(self):
        def attempt():
            code, seconds, closed, log = self.end("--drain-timeout", "0")
            self.assertEqual((code, closed[0]), (0, 1001), log)
            return seconds
        within(1.5, attempt)

    def test_a_client_that_does_not_read_does_not_hold_the_end_up(self):
        def attempt():
            code, seconds, _, log = self.end("--drain-timeout", "1", stalled_client=True)
            self.assertEqual(code, 0, log)
            return seconds
        within(3, attempt)

    def test_nobody_to_be_told_ends_at_once(self):
        with Server(*FEED, "--drain-timeout", "30") as server:
            begin = time.monotonic()
            server.stop()
            self.assertLess(time.monotonic() - begin, 15)

    def test_when_all_have_left_the_rest_of_the_window_is_not_waited_for(self):
        with Server(*FEED, "--drain-timeout", "30") as server:
            clients = [RawClient(server.port) for _ in range(5)]
            server.signal(signal.SIGINT)
            begin = time.monotonic()
            for client in clients:
                client.next_message(("NOTICE",))
                client.close()
            self.assertEqual(server.wait(), 0, server.log())
            self.assertLess(time.monotonic() - begin, 15)

    def test_a_half_sent_request_is_refused_when_its_rest_comes(self):
        with Server(*FEED, "--drain-timeout", "30") as server:
            half = RawClient(server.port, upgrade=False)
            half.send(request()[:40])
            client = RawClient(server.port)
            server.signal(signal.SIGTERM)
            client.next_message(("NOTICE",))
            half.send(request()[40:])
            self.assertEqual(half.read_head(), 503)
            self.assertIn("shutting down", half.read_body())
            half.close()
            client.close()
            self.assertEqual(server.wait(), 0, server.log())

    def test_two_cores_drain_at_the_same_time(self):
        with Server(*FEED, "--cores", "2", "--drain-timeout", "4") as server:
            clients = [RawClient(server.port) for _ in range(40)]
            for client in clients:
                client.subscribe(["*"], ["quote"])
            server.signal(signal.SIGTERM)
            slots = sorted(client.next_message(("NOTICE",))["data"]["retry_after_ms"]
                           for client in clients)
            for client in clients:
                self.assertEqual(client.wait_for_close()[0], 4201)
                client.close()
            self.assertEqual(server.wait(), 0, server.log())
            self.assertLess(slots[0], 1000)
            self.assertGreater(slots[-1], 1500)


class Deadlines(ServerTestCase):
    """What test_faults and test_lag have not: half-sent things, silence and idleness are theirs."""
    options = FEED

    def let_go(self, client):
        """The server ends the connection by itself, although the client does not; after how long."""
        begin = time.monotonic()
        self.assertTrue(wait_until(
            lambda: self.server.stats()["connections"]["open"] == 0, 20), "still open")
        client.close()
        return time.monotonic() - begin

    def test_a_refused_client_that_does_not_hang_up_is_let_go_after_2_seconds(self):
        def attempt():
            client = RawClient(self.server.port, upgrade=False)
            client.send(request("/nowhere"))
            self.assertEqual(client.read_head(), 404)
            return self.let_go(client)
        within(4, attempt)

    def test_a_client_that_does_not_answer_the_close_it_was_sent_is_let_go_after_2_seconds(self):
        def attempt():
            client = RawClient(self.server.port)
            client.send(frame(TEXT, b"x", reserved=1))
            self.assertEqual(client.wait_for_close()[0], 1002)
            return self.let_go(client)
        within(4, attempt)

    def test_a_client_that_closes_and_stays_is_let_go_at_once(self):
        def attempt():
            client = RawClient(self.server.port)
            client.send(frame(CLOSE, struct.pack(">H", 1000)))
            self.assertEqual(client.wait_for_close()[0], 1000)
            return self.let_go(client)
        within(1.5, attempt)

    def test_a_blocked_client_that_is_refused_more_is_let_go_although_its_socket_is_full(self):
        with Server(*Lag.BUSY) as server:
            client = stalled(server, ["trade"])
            client.send(frame(TEXT, b"x", reserved=1))
            self.assertTrue(wait_until(
                lambda: server.stats()["connections"]["open"] == 0, 20), "still open")
            client.close()


class DrainedClient(CollectingClient):
    """Checks every frame, and notes when it was told of the end and when it came."""

    def __init__(self, subscription):
        super().__init__(subscription)
        self.tracker = Tracker(conflated_types=())
        self.notice = self.epoch = self.told = self.cursors_when_told = None
        self.slot = self.waited = 0.0
        self.frames_after = 0
        self.frames = self

    def append(self, payload):
        """A message has come."""
        if self.tracker is None or not payload.startswith(b"{"):
            return
        message = self.tracker.on_text(payload)
        data = message.get("data", {})
        if message["type"] == "SUBSCRIBED":
            self.epoch = data["epoch"]
        elif message["type"] == "NOTICE":
            self.notice, self.told = data, message["ts"] / 1e9  # the server's clock is ours
            self.slot = data["retry_after_ms"] / 1000
            self.cursors_when_told = {str(channel): seq - 1
                                      for channel, seq in self.tracker.next_seq.items()}
        elif self.notice is not None and message["type"].islower():
            self.frames_after += 1

    def data_received(self, data):
        super().data_received(data)
        if self.closed and self.told is not None and self.waited == 0.0:
            self.waited = time.time() - self.told
            self.transport.write(frame(CLOSE, struct.pack(">H", self.closed[0])))


if __name__ == "__main__":
    unittest.main()
