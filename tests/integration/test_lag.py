"""Clients that do not read, or read too slowly: what they lose is exact, and only theirs."""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from chaos import ChaosClient
from clients import (ALL_TYPES, CLOSE, PING, PONG, TEXT, HealthyClient, RawClient, Tracker,
                     close_of, frame, subscribe_message)
from server import Server, in_full, program, reap, spawn, wait_until

SMALL = ("--send-buffer-bytes", "65536", "--frame-log-bytes", "1048576")
INTERVAL = 2  # of the pings: nobody here is to miss two because the machine stands still


def stalled_client(server, types, symbols=("*",), **data):
    """Has subscribed, and will not read before it is told to."""
    client = RawClient(server.port, receive_buffer=4096, timeout=30)
    client.send_text(subscribe_message(symbols, types, **data))
    return client


def read_on(client, tracker, done, seconds=30):
    """Reads until done(tracker) holds; a torn stream raises in the parser."""
    deadline = time.monotonic() + seconds
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    while not done(tracker):
        if time.monotonic() > deadline:
            return False
        client.next_message(tracker=tracker, timeout=seconds)
    return True


@contextlib.contextmanager
def verified(case, server, types):
    """Healthy clients beside it, in a process of their own: Python threads starve each other."""
    tap = spawn([program("ringcast-tap"), "--verify", "--connections", "2", "--types", types,
                 server.url()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        case.assertTrue(wait_until(
            lambda: server.stats()["connections"]["subscriptions"] > 1, 30))
        yield
        tap.send_signal(signal.SIGINT)
        certificate = tap.communicate(timeout=30)[0]
    finally:
        reap(tap)
    case.assertEqual(tap.returncode, 0, certificate)


@in_full
class Bursts(unittest.TestCase):
    """A capture that is quiet for 2.5 s, then brings 24 000 frames (more than the log), then ends: so it is
    known exactly what every channel's last frame is, and how many there were. The log holds what comes while
    the healthy client, which is to lose nothing, stands still for 3 s."""
    OPTIONS = ("--send-buffer-bytes", "65536", "--frame-log-bytes", "4m")
    SYMBOLS = 20
    ROUNDS = 600

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name, "burst.ws.log")
        with open(cls.path, "w", encoding="ascii") as out:
            out.write("wss://ws-feed.pro.coinbase.com <-> 1618677816.0\n")
            for i in range(cls.SYMBOLS):
                out.write(cls.ticker(10, i, 0) + cls.match(10, i, 0))
            for turn in range(1, cls.ROUNDS):
                for i in range(cls.SYMBOLS):
                    second = 12.5 + 6 * turn / cls.ROUNDS
                    out.write(cls.ticker(second, i, turn) + cls.match(second, i, turn))

    @staticmethod
    def ticker(second, i, turn):
        return (f'{second:.6f}: {{"type":"ticker","product_id":"S{i}-X","price":"{turn + 1}.{i:02}",'
                f'"open_24h":"1","volume_24h":"2","low_24h":"1","high_24h":"3","best_bid":"1",'
                f'"best_ask":"2"}}\n')

    @staticmethod
    def match(second, i, turn):
        return (f'{second:.6f}: {{"type":"match","trade_id":{turn},"side":"buy","size":"1",'
                f'"price":"{turn + 1}","product_id":"S{i}-X","time":"2021-04-17T16:43:37.0Z"}}\n')

    def run_burst(self, clients_of):
        """Starts, lets clients subscribe, waits for the end of the burst; then they read."""
        with Server(*self.OPTIONS, "--feed", f"replay:path={self.path}") as server:
            self.assertTrue(wait_until(
                lambda: server.stats()["publisher"]["channels"] == 2 * self.SYMBOLS))
            clients = clients_of(server)
            healthy = RawClient(server.port, timeout=30)
            healthy.send_text(subscribe_message(["*"], ALL_TYPES, delivery={"on_lag": "skip"}))
            pieces = []
            keeper = threading.Thread(target=self.keep, args=(healthy.socket, pieces), daemon=True)
            keeper.start()
            self.assertTrue(wait_until(
                lambda: server.core_sum("messages_in") == len(clients) + 1), server.stats())
            self.assertIsNotNone(server.wait_for_line("after pass 1", 30), server.log())
            total = 2 * self.SYMBOLS * self.ROUNDS
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == total))
            yield server, clients
            # A HEARTBEAT that names the last seqs comes after all of them.
            self.assertTrue(wait_until(lambda: re.search(
                rb'"HEARTBEAT".*":%d' % (self.ROUNDS + 1), b"".join(pieces[-3:])), 60))
            healthy.socket.shutdown(socket.SHUT_WR)
            keeper.join(20)
            self.check_healthy(healthy, pieces)
            healthy.close()

    @staticmethod
    def keep(reader, pieces):
        """A healthy client: it only takes in. A Python that also parses may be too slow for it."""
        while data := reader.recv(1 << 18):
            pieces.append(data)

    def check_healthy(self, healthy, pieces):
        tracker = Tracker()
        for piece in pieces:
            healthy.frames.extend(healthy.parser.feed(piece))
        for opcode, payload in healthy.frames:
            if opcode == TEXT:
                tracker.on_text(payload)
        self.assertEqual(tracker.faults + tracker.gaps, [])
        self.assertEqual(set(tracker.next_seq.values()), {self.ROUNDS + 1})

    def test_trades_are_skipped_with_exact_gaps_and_quotes_conflated_to_the_newest(self):
        def subscribe(server):
            return {"trade": stalled_client(server, ["trade"]),
                    "quote": stalled_client(server, ["quote"]),
                    "exact": stalled_client(server, ["trade"],
                                            [f"S{i}-X.COINBASE" for i in range(self.SYMBOLS)]),
                    "skipped quotes": stalled_client(server, ["quote"],
                                                     delivery={"on_lag": "skip"}),
                    "both": stalled_client(server, ["quote", "trade"]),
                    "pattern": stalled_client(server, ["quote", "trade"], ["S*.COINBASE"])}
        channels = {"both": 2 * self.SYMBOLS, "pattern": 2 * self.SYMBOLS}
        for server, clients in self.run_burst(subscribe):
            for name, client in clients.items():
                with self.subTest(name):
                    conflated = () if name == "skipped quotes" else ("quote",)
                    tracker = Tracker(conflated_types=conflated)
                    count = channels.get(name, self.SYMBOLS)
                    read_on(client, tracker, lambda it: len(it.next_seq) == count and all(
                        seq == self.ROUNDS + 1 for seq in it.next_seq.values()))
                    self.assertEqual(tracker.faults, [])
                    self.assertEqual(set(tracker.next_seq.values()), {self.ROUNDS + 1})
                    for channel, seq in tracker.next_seq.items():
                        # published = sent + lost + conflated
                        self.assertEqual(
                            seq - tracker.first_seq[channel],
                            tracker.counts[channel] + tracker.lost[channel]
                            + tracker.passed_over[channel], tracker.names.get(channel))
                    lost, passed = sum(tracker.lost.values()), sum(tracker.passed_over.values())
                    if name in ("trade", "exact", "skipped quotes"):
                        self.assertGreater(lost, 1000)
                        self.assertEqual(passed, 0)
                        self.assertEqual({gap["reason"] for gap in tracker.gaps}, {"overrun"})
                    elif name == "quote":
                        self.assertEqual(lost, 0)
                        self.assertGreater(passed, 1000)
                    # HEARTBEAT then says the same.
                    beat = client.next_message(("HEARTBEAT",), tracker=tracker)["data"]
                    self.assertEqual(beat["lost"], lost)
                    self.assertEqual(set(beat["next_seq"].values()), {self.ROUNDS + 1})
                    self.assertEqual(beat["sent"], tracker.frames)
                    self.assertEqual(beat["conflated"], passed)
                    client.close()
            stats = server.stats()["message_queue"]
            self.assertGreaterEqual(stats["connection_laps"], 6)
            self.assertEqual(stats["core_laps"], 0)

    @in_full
    def test_a_newest_quote_is_the_very_last_one(self):
        for _, clients in self.run_burst(lambda it: [stalled_client(it, ["quote"])]):
            clients[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
            last = {}
            tracker = Tracker(conflated_types=("quote",))
            while len(last) < self.SYMBOLS or min(tracker.next_seq.values()) <= self.ROUNDS:
                message = clients[0].next_message(("quote",), tracker=tracker)
                last[message["symbol"]] = message["data"]["last"]
            self.assertEqual(last, {f"S{i}-X.COINBASE": float(f"{self.ROUNDS}.{i:02}")
                                    for i in range(self.SYMBOLS)})
            clients[0].close()

    def test_on_lag_disconnect_closes_with_4108(self):
        for _, clients in self.run_burst(lambda server: [
                stalled_client(server, ["trade"], delivery={"on_lag": "disconnect"})]):
            clients[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
            tracker = Tracker()
            while True:
                got = clients[0].next_frame()
                self.assertIsNotNone(got, "a Close frame says why")
                if got[0] == CLOSE:
                    break
                tracker.on_text(got[1])
            code, reason = close_of(got[1])
            self.assertEqual(code, 4108)
            self.assertIn("slow", reason)
            self.assertEqual(tracker.faults + tracker.gaps, [])
            clients[0].close()


class FastSim(unittest.TestCase):
    def test_a_client_that_reads_again_is_whole_again(self):
        with Server(*SMALL, "--feed", "sim:symbols=4,rate=10000,types=trade+depth") as server, \
                verified(self, server, "trade,depth"):
            client = stalled_client(server, ["trade", "depth"])
            tracker = Tracker()
            for _ in range(3):
                laps = server.stats()["message_queue"]["connection_laps"]
                Chaos.log_was_used_up(server)
                gaps = len(tracker.gaps)
                self.assertTrue(read_on(client, tracker, lambda it: len(it.gaps) >= gaps + 8))
                live = time.time_ns()
                # It catches up: frames published after now arrive.
                self.assertTrue(read_on(
                    client, tracker,
                    lambda it: it.latencies and time.time_ns() - it.latencies[-1] > live))
                self.assertEqual(tracker.faults, [])
                self.assertGreater(server.stats()["message_queue"]["connection_laps"], laps)
            client.close()

    def test_a_subscription_made_while_behind_begins_at_the_next_seq_of_its_verdict(self):
        with Server("--send-buffer-bytes", "16k",
                    "--feed", "sim:symbols=30,rate=6000,types=quote+trade") as server:
            names = [f"SIM{i:05}.SIM" for i in range(6, 30)]
            for kind in ("trade", "quote"):
                client = stalled_client(server, [kind], names[:12], delivery={"on_lag": "skip"})
                server.wait_until_blocked()
                messages = server.core_sum("messages_in")
                client.send_text(subscribe_message(names[12:], [kind], id=2, snapshot=False,
                                                   delivery={"on_lag": "skip"}))
                self.assertTrue(wait_until(lambda: server.core_sum("messages_in") > messages))
                due = None
                late = {}
                while due is None or len(late) < 12:
                    message = client.next_message()  # with its small window: sends are often cut
                    if message.get("id") == 2:
                        due = {item["ch"]: item["next_seq"] for item in message["data"]["ok"]}
                    elif message["type"] == kind and message["symbol"] in names[12:]:
                        late.setdefault(message["ch"], message["seq"])
                self.assertEqual(late, due, kind)
                client.close()
                self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0))

    def test_max_lag_skips_before_the_log_is_used_up_and_says_lag(self):
        with Server("--max-lag-ms", "300", "--send-buffer-bytes", "64k",
                    "--feed", "sim:symbols=4,rate=4000,types=trade") as server:
            client = stalled_client(server, ["trade"])
            tracker = Tracker()
            server.wait_until_blocked()
            server.wait_until_behind(1)
            self.assertTrue(read_on(client, tracker, lambda it: len(it.gaps) >= 4))
            self.assertEqual(tracker.faults, [])
            self.assertEqual({gap["reason"] for gap in tracker.gaps}, {"lag"})
            client.close()

    def test_a_slow_reader_that_keeps_up_within_the_log_loses_nothing(self):
        with Server("--send-buffer-bytes", "16k",
                    "--feed", "sim:symbols=4,rate=3000,types=trade") as server:
            client = stalled_client(server, ["trade"])
            tracker = Tracker()
            for _ in range(4):
                server.wait_for_ticks(1200)
                frames = tracker.frames
                self.assertTrue(read_on(client, tracker, lambda it: it.frames > frames + 800))
            self.assertEqual(tracker.faults + tracker.gaps, [])
            client.close()


class Chaos(unittest.TestCase):
    SYMBOLS = ["000001.SZ", "600519.SH", "300750.SZ", "AAPL.US", "MSFT.US", "NVDA.US"] + \
        [f"SIM{i:05}.SIM" for i in range(6, 30)]

    @staticmethod
    def log_was_used_up(server):
        def published():
            return server.stats()["publisher"]["tick_bytes"]
        enough = published() + 3 * int(SMALL[3])
        assert wait_until(lambda: published() > enough, 60), server.stats()["publisher"]

    @classmethod
    def is_lapped(cls, server):
        server.wait_until_blocked()
        cls.log_was_used_up(server)

    def run_chaos(self, *options, seconds=5, seed=None):
        seed = seed or int(os.environ.get("RINGCAST_CHAOS_SEED", time.time()))
        # A client with a small window that was overrun once is sent a segment of 1 KiB at each
        # persist timer ever after: 5 KB/s. What its socket holds must come within its patience.
        with Server(*SMALL, "--send-buffer-bytes", "16k", "--feed",
                    "sim:symbols=30,rate=5000,types=quote+trade", *options) as server:
            self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] > 60))
            clients = [ChaosClient(server.port, self.SYMBOLS, seed + i) for i in range(4)]
            clients.append(ChaosClient(server.port, self.SYMBOLS, seed + 4,
                                       until_lapped=lambda: self.is_lapped(server)))
            threads = [threading.Thread(target=client.run, args=(seconds,)) for client in clients]
            with verified(self, server, "quote,trade"):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(90)
            for i, client in enumerate(clients):
                self.assertEqual(client.faults, [], f"RINGCAST_CHAOS_SEED={seed}, client {i}")
                self.assertIsNone(client.closed, f"RINGCAST_CHAOS_SEED={seed}\n{server.log()}")
            self.assertGreater(sum(client.gaps for client in clients), 0, "nobody was ever lapped")
            self.assertTrue(wait_until(
                lambda: server.stats()["connections"]["subscriptions"] == 0), server.stats())

    def test_whatever_a_client_subscribes_and_leaves_while_lagging_its_stream_is_right(self):
        self.run_chaos()

    @in_full
    def test_on_two_cores_its_stream_is_right_too(self):
        self.run_chaos("--cores", "2", "--zero-copy-bytes", "200")


class Silence(unittest.TestCase):
    """All clients are silent at the same time; each test waits for its own."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*SMALL, "--heartbeat-interval", str(INTERVAL), "--idle-timeout",
                            str(3 * INTERVAL), "--feed", "sim:symbols=4,rate=1000,types=trade").start()
        cls.addClassCleanup(cls.server.kill)
        cls.pool = concurrent.futures.ThreadPoolExecutor(8)
        cls.addClassCleanup(cls.pool.shutdown)
        cls.results = {name: cls.pool.submit(getattr(cls, name))
                       for name in dir(cls) if name.startswith("run_")}

    def result(self, name):
        return self.results["run_" + name].result(150)

    @classmethod
    def run_never_reads(cls):
        client = stalled_client(cls.server, ["trade"])
        line = cls.server.wait_for_line(
            rf" connected from 127.0.0.1:{client.socket.getsockname()[1]}$", 20)
        name = re.search(r"Client \S+", line)[0]
        line = cls.server.wait_for_line(
            rf"{name} disconnected: no pong, code 4109, sent \d+, lost", 40)
        client.close()
        return line

    def test_a_client_that_never_reads_and_stays_silent_is_closed_with_4109(self):
        self.assertIsNotNone(self.result("never_reads"), self.server.log())
        self.result("never_answers")
        self.assertTrue(wait_until(
            lambda: self.server.stats()["connections"]["dropped"]["silent"] == 2))

    @classmethod
    def run_never_answers(cls):
        begin = time.monotonic()
        client = RawClient(cls.server.port, timeout=20)
        client.subscribe(["*"], ["trade"])
        closed = client.wait_for_close(40)
        client.close()
        return closed, time.monotonic() - begin

    def test_a_client_that_reads_but_never_answers_a_ping_sees_4109(self):
        closed, seconds = self.result("never_answers")
        self.assertEqual(closed, (4109, "no pong"))
        self.assertGreater(seconds, 3 * INTERVAL - 0.1, "two answers may be missed")

    @classmethod
    def run_answers(cls):
        with RawClient(cls.server.port, timeout=20) as client:
            client.subscribe(["*"], ["trade"])
            pings = 0
            deadline = time.monotonic() + 60
            while pings < 5 and time.monotonic() < deadline:
                opcode, payload = client.next_frame()
                if opcode == CLOSE:
                    return pings, close_of(payload)
                if opcode == PING:
                    pings += 1
                    client.send(frame(PONG, payload))
            return pings, None

    def test_a_client_that_answers_pings_stays(self):
        self.assertEqual(self.result("answers"), (5, None))

    @classmethod
    def run_speaks(cls):
        """The seconds between two WebSocket pings, to neither of which it answers. It begins anew
        when no answer has come for a while: it or the server stood still, and it was not heard."""
        with RawClient(cls.server.port, timeout=20) as client:
            heard, pinged, deadline = time.monotonic(), None, time.monotonic() + 120
            while (now := time.monotonic()) < deadline:
                client.send_text('{"type":"PING"}')
                while (left := now + 0.25 - time.monotonic()) > 0:
                    try:
                        opcode, payload = client.next_frame(left)
                    except TimeoutError:
                        break
                    if opcode == CLOSE:
                        raise AssertionError(f"closed: {close_of(payload)}")
                    if time.monotonic() - heard > 0.6 * INTERVAL:
                        pinged = None
                    if opcode == PING and pinged is not None:
                        return time.monotonic() - pinged
                    if opcode == PING:
                        pinged = time.monotonic()
                    elif b'"PONG"' in payload[:20]:
                        heard = time.monotonic()
            return None

    @in_full
    def test_who_speaks_is_alive_and_is_pinged_in_every_fourth_interval(self):
        seconds = self.result("speaks")
        self.assertIsNotNone(seconds, "two pings and no pause between them")
        self.assertGreater(seconds, 2.5 * INTERVAL)

    @classmethod
    def run_idle(cls):
        begin = time.monotonic()
        with RawClient(cls.server.port, timeout=20) as client:
            while True:
                opcode, payload = client.next_frame()
                if opcode == PING:
                    client.send(frame(PONG, payload))
                elif opcode == CLOSE:
                    return close_of(payload)[0], time.monotonic() - begin

    def test_a_client_without_subscription_and_message_is_closed_with_4114(self):
        code, seconds = self.result("idle")
        self.assertEqual(code, 4114)
        self.assertGreater(seconds, 3 * INTERVAL - 0.1)

    @classmethod
    def run_healthy(cls):
        with HealthyClient(cls.server.url(), types=("trade",)) as healthy:
            def ended():
                dropped = cls.server.stats()["connections"]["dropped"]
                return dropped["silent"] == 2 and dropped["idle"] == 1
            assert wait_until(ended, 90), cls.server.stats()
            return healthy.ended, healthy.tracker.faults + healthy.tracker.gaps

    def test_a_healthy_client_notices_none_of_them(self):
        self.assertEqual(self.result("healthy"), (None, []))


if __name__ == "__main__":
    unittest.main()
