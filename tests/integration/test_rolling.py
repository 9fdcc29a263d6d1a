"""Rolling restarts: a new server with --reuse-port beside the old one, which drains. Every client goes
on with an exact GAP, and no connection is refused or reset."""
import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import tempfile
import threading
import time
import unittest

import tls_files
from clients import (CLOSE, PING, PONG, TEXT, FrameParser, RawClient, Tracker, close_of, frame, request,
                     subscribe_message)
from server import Server, as_ordinary_user, in_full, not_by_wss, program, reap, spawn, wait_until

SYMBOLS = 5
FEED = ("--feed", f"sim:symbols={SYMBOLS},rate=100,types=quote")
SLOW_FEED = ("--feed", f"sim:symbols={SYMBOLS},rate=10,types=quote")  # for a thousand readers
LEAVE_SECONDS = 1.5  # in which a server that leaves accepts what comes; --drain-timeout follows
MISSED = 4  # ticks of each symbol, so that every channel has a GAP
LEFT = "another server listens at the same ports: it receives new clients"


class Follower(asyncio.Protocol):
    """Follows every channel. When a server lets it go, it connects again at once and resumes."""

    def __init__(self, port, tls=False):
        self.port, self.tls = port, tls
        self.connections = []  # a Tracker for each
        self.closes, self.faults, self.ends = [], [], 0
        self.position = None

    async def connect(self):
        context = tls_files.client_context() if self.tls else None
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port,
                                                               ssl=context)
        except OSError as error:
            self.faults.append(f"connect: {error!r}")

    def connection_made(self, transport):
        self.transport = transport
        self.head, self.parser = bytearray(), FrameParser()
        self.connections.append(Tracker())
        message = subscribe_message(["*"], ["quote"])
        if self.position is not None:
            message = json.dumps({"type": "RESUME", "data": self.position}).encode()
        transport.write(request() + frame(TEXT, message))

    def data_received(self, data):
        if not self.head.endswith(b"\r\n\r\n"):
            self.head += data
            end = self.head.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            data = bytes(self.head[end:])
            del self.head[end:]
            if not self.head.startswith(b"HTTP/1.1 101 "):
                self.faults.append(f"handshake: {bytes(self.head)!r}")
        for opcode, payload in self.parser.feed(data):
            if opcode == PING:
                self.transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self.on_close(payload)
            else:
                self.connections[-1].on_text(payload)

    def on_close(self, payload):
        tracker = self.connections[-1]
        self.closes.append(close_of(payload))
        self.position = {"epoch": self.epoch(tracker),
                         "cursors": {str(channel): seq - 1 for channel, seq in tracker.next_seq.items()}}
        self.transport.write(frame(CLOSE, payload[:2]))
        self.transport.close()
        asyncio.get_running_loop().create_task(self.connect())

    def connection_lost(self, error):
        """Of TLS, perhaps after the next connection has been made."""
        self.ends += 1
        if error is not None or len(self.closes) < self.ends:
            self.faults.append(f"lost: {error!r}")

    @staticmethod
    def epoch(tracker):
        (epoch,) = tracker.epochs
        return epoch

    def goes_on(self, count):
        """Its count'th connection has received frames of each channel."""
        return len(self.connections) == count and \
            len(self.connections[-1].counts) == SYMBOLS and \
            min(self.connections[-1].counts.values()) >= 3


class Newcomers(threading.Thread):
    """Connects all the time, one after the other, and notes what is not answered with 101. A server that drains may
    reset a handshake that takes longer than `patience` seconds, as a busy machine's may."""

    def __init__(self, port, patience):
        super().__init__(daemon=True)
        self.port, self.patience, self.count, self.faults, self.slowest = port, patience, 0, [], 0.0
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.wait(0.002):
            begin = time.monotonic()
            try:
                RawClient(self.port, timeout=60).close()
            except (OSError, ConnectionError) as error:
                if time.monotonic() - begin < self.patience:
                    self.faults.append(f"{error!r} after {time.monotonic() - begin:.2f} s")
            self.count += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)


@not_by_wss
class Rolling(unittest.TestCase):
    """S133: rolling upgrades."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)
        self.options = [*FEED, "--drain-timeout", "0.3"]

    def start(self, *options):
        return self.stack.enter_context(Server(*self.options, *options))

    def start_beside(self, server, *options):
        return self.stack.enter_context(
            Server(*self.options, "--host", "127.0.0.1", "--port", server.port, "--admin-port",
                   server.admin_port, "--reuse-port", *options, ports=False))

    async def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end)
            await asyncio.sleep(0.02)

    async def follow(self, port, count, tls=False):
        followers = [Follower(port, tls) for _ in range(count)]
        for at in range(0, count, 50):
            await asyncio.gather(*(follower.connect() for follower in followers[at:at + 50]))
        await self.until(lambda: all(follower.goes_on(1) or follower.faults for follower in followers))
        return followers

    async def replace(self, leaving, followers, generation):
        """Ends a server beside another one: all followers go on there."""
        await asyncio.to_thread(leaving.stop)
        self.assertIsNotNone(leaving.wait_for_line(LEFT))
        await self.until(lambda: all(follower.goes_on(generation) or follower.faults
                                     for follower in followers))

    def check(self, followers, generations):
        for follower in followers:
            self.assertEqual(follower.faults, [])
            self.assertEqual(len(follower.connections), generations)
            self.assertEqual(set(follower.closes), {(4201, "drain")})
            epochs = [follower.epoch(tracker) for tracker in follower.connections]
            self.assertEqual(len(set(epochs)), generations, "each server has an epoch of its own")
            self.assertEqual(follower.connections[0].gaps, [])
            for tracker in follower.connections:
                self.assertEqual(tracker.faults, [])  # Each range ends before the frame that follows.
            for tracker in follower.connections[1:]:
                self.check_gaps(tracker)
            follower.transport.abort()

    def check_gaps(self, tracker):
        (resumed,) = tracker.of_type("RESUMED")
        self.assertEqual((resumed["data"]["ok"], resumed["data"]["failed"]), ([], []))
        heads = {entry["ch"]: entry["next_seq"] for entry in resumed["data"]["gaps"]}
        self.assertEqual({entry["gap"] for entry in resumed["data"]["gaps"]}, {"restart"})
        self.assertEqual(len(heads), SYMBOLS)
        self.assertEqual(sorted(gap["ch"] for gap in tracker.gaps), sorted(heads), "one for each")
        for gap in tracker.gaps:
            self.assertEqual((gap["from"], gap["reason"]), (1, "restart"))
            # To the newest frame, which comes next, or to the last one.
            self.assertIn(heads[gap["ch"]] - gap["to"], (1, 2))

    @contextlib.contextmanager
    def newcomers(self, port):
        newcomers = Newcomers(port, LEAVE_SECONDS + float(self.options[self.options.index("--drain-timeout") + 1]))
        newcomers.start()
        try:
            yield newcomers
        finally:
            newcomers.is_over.set()
            newcomers.join(60)
        self.assertEqual(newcomers.faults, [])

    def test_clients_go_on_at_the_new_server_and_none_is_refused(self):
        asyncio.run(self.roll(20, generations=2))

    @in_full
    def test_a_thousand_clients_go_on_from_server_to_server(self):
        """S133: with the exact GAP of each, twice."""
        self.options = [*SLOW_FEED, "--drain-timeout", "3", "--max-connections", "1200"]
        asyncio.run(self.roll(1000, generations=3))

    async def roll(self, count, generations):
        pid_file = self.folder / "ringcast.pid"
        path = self.folder / "ringcast.sock"
        common = ("--pid-file", pid_file, "--unix", path)
        server = await asyncio.to_thread(self.start, *common)
        followers = await self.follow(server.port, count)
        with self.newcomers(server.port) as newcomers:
            for generation in range(2, generations + 1):
                successor = await asyncio.to_thread(self.start_beside, server, *common)
                await asyncio.to_thread(successor.wait_for_ticks, MISSED * SYMBOLS)
                self.assertEqual(pid_file.read_text(), f"{successor.pid}\n")
                await self.replace(server, followers, generation)
                server = successor
                await self.until(lambda count=newcomers.count: newcomers.count > count + 5)
                self.assertEqual(pid_file.read_text(), f"{server.pid}\n", "it belongs to the new one")
                with RawClient(str(path)) as local:
                    self.assertEqual(local.next_message()["type"], "WELCOME")
                self.assertEqual((await asyncio.to_thread(server.admin, "/readyz"))[0], 200)
        self.check(followers, generations)

    @in_full
    def test_a_new_server_can_be_taken_back(self):
        """S133: undo. The new one drains, and the old one goes on."""
        asyncio.run(self.undo())

    async def undo(self):
        old = await asyncio.to_thread(self.start, "--cores", "2")
        new = await asyncio.to_thread(self.start_beside, old, "--cores", "1")
        followers = await self.follow(old.port, 40)
        before = [follower.epoch(follower.connections[0]) for follower in followers]
        self.assertEqual(len(set(before)), 2, "both have clients")
        with self.newcomers(old.port) as newcomers:
            await asyncio.to_thread(new.stop)
            self.assertIsNotNone(new.wait_for_line(LEFT))
            self.assertGreater(newcomers.count, 0)
            await self.until(lambda: all(follower.connections[-1].epochs and
                                         follower.epoch(follower.connections[-1]) == self.epoch_of(old)
                                         for follower in followers))
        for follower in followers:
            self.assertEqual(follower.faults, [])
            follower.transport.abort()

    @staticmethod
    def epoch_of(server):
        return server.stats()["epoch"]

    @in_full
    def test_tls_clients_go_on_as_well(self):
        asyncio.run(self.roll_tls())

    async def roll_tls(self):
        certificate = ("--tls-certificate", tls_files.server().option)
        old = await asyncio.to_thread(self.start, "--tls-port", "0", *certificate)
        port = old.tls_port
        followers = await self.follow(port, 40, tls=True)
        new = await asyncio.to_thread(self.start_beside, old, "--tls-port", port, *certificate)
        await asyncio.to_thread(new.wait_for_ticks, MISSED * SYMBOLS)
        await self.replace(old, followers, 2)
        self.check(followers, 2)

    @in_full
    def test_servers_with_one_passed_socket_take_turns(self):
        """The same by socket activation: what comes in the drain waits for the new server."""
        asyncio.run(self.take_turns())

    async def take_turns(self):
        with socket.create_server(("127.0.0.1", 0), backlog=1000) as passed:
            def start():
                shell = f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=ringcast exec "$@"'
                return self.stack.enter_context(Server(
                    *self.options, "--admin-port", "0", ports=False, pass_fds=(passed.fileno(),),
                    prefix=("bash", "-c", shell, "bash")))
            old = await asyncio.to_thread(start)
            followers = await self.follow(old.port, 40)
            with self.newcomers(old.port) as newcomers:
                new = await asyncio.to_thread(start)
                await asyncio.to_thread(new.wait_for_ticks, MISSED * SYMBOLS)
                await asyncio.to_thread(old.stop)
                await self.until(lambda: all(follower.goes_on(2) or follower.faults for follower in followers))
                await self.until(lambda count=newcomers.count: newcomers.count > count + 5)
            self.check(followers, 2)

    @in_full
    def test_the_tap_goes_on_by_its_position(self):
        """One process prints the ticks of both servers, and reports the GAP between them."""
        old = self.start()
        out, err = self.folder / "ticks.json", self.folder / "notes"
        with open(out, "wb") as output, open(err, "wb") as notes:
            tap = spawn([program("ringcast-tap"), "--json", "--resume", self.folder / "position",
                         "--symbols", "*", f"ws://127.0.0.1:{old.port}"], stdout=output, stderr=notes)
        self.addCleanup(reap, tap)
        self.assertTrue(wait_until(out.read_bytes, 30))
        self.start_beside(old)
        old.stop()
        self.assertTrue(wait_until(lambda: b"GAP reason=restart" in err.read_bytes(), 30), err.read_text())
        size = out.stat().st_size
        self.assertTrue(wait_until(lambda: out.stat().st_size > size, 30))
        self.assertNotIn("refused", err.read_text())
        self.assertIsNone(tap.poll())

    @in_full
    def test_who_has_connected_and_said_nothing_is_served(self):
        """Its handshake had begun: the old server takes it, and lets it go with the others."""
        old = self.start()
        late = [socket.create_connection(("127.0.0.1", old.port)) for _ in range(20)]
        self.start_beside(old)
        old.signal(signal.SIGTERM)
        self.assertIsNotNone(old.wait_for_line(LEFT))
        for sock in late:
            with sock:
                sock.sendall(request())
                self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 101 "))
        self.assertEqual(old.wait(), 0)

    @in_full
    def test_the_sockets_of_producers_are_shared_too(self):
        path = self.folder / "producers.sock"
        self.options = ["--feed", f"ingest:unix={path}"]
        old = self.start()
        new = self.start_beside(old)
        old.stop()
        with socket.socket(socket.AF_UNIX) as producer:
            producer.connect(str(path))
            feed = new.stats()["publisher"]["feeds"][0]
            self.assertTrue(wait_until(
                lambda: new.stats()["publisher"]["feeds"][0]["producers"] == 1), feed)


class Refused(unittest.TestCase):
    """A second server without --reuse-port, or of another user."""

    def second(self, first, *options, prefix=()):
        second = Server(*FEED, "--host", "127.0.0.1", "--port", first.port, "--admin-port", "0", *options,
                        ports=False, prefix=prefix)
        second.start(wait=False)
        self.addCleanup(second.kill)
        self.assertIn(second.wait(), (1, 2), second.log())
        return second.log()

    def test_without_the_option_the_error_names_it(self):
        with Server(*FEED) as first:
            self.assertIn("--reuse-port to replace the first one", self.second(first))

    @unittest.skipUnless(os.geteuid() == 0, "root can be another user")
    def test_another_user_does_not_get_the_port(self):
        with Server(*FEED) as first:
            log = self.second(first, "--reuse-port", prefix=as_ordinary_user())
            self.assertIn("Address already in use", log)
            self.assertIn("--reuse-port shares ports with a ringcast of the same user only", log)

    def test_a_file_that_is_no_socket_is_not_taken_over(self):
        with tempfile.TemporaryDirectory() as folder, Server(*FEED) as first:
            path = pathlib.Path(folder, "file")
            path.write_text("mine")
            log = self.second(first, "--reuse-port", "--unix", path)
            self.assertIn("not a socket that ringcast may", log)
            self.assertEqual(path.read_text(), "mine")

    def test_a_server_alone_drains_as_ever(self):
        """503 tells balancers and clients to go elsewhere; nobody is there to leave them to."""
        with Server(*FEED, "--reuse-port") as server:
            with RawClient(server.port) as client:
                client.subscribe(["*"], ["quote"])
                server.signal(signal.SIGTERM)
                self.assertEqual(client.wait_for_close()[:2], (4201, "drain"))
            self.assertEqual(server.wait(), 0)
            self.assertNotIn("receives new clients", server.log())


if __name__ == "__main__":
    unittest.main()
