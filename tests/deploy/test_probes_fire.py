"""Each probe of ringcast, on a live server: it fires where its boundary is passed, and what it says is true."""
import collections
import errno
import functools
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time
import unittest

import tracing
from clients import CLOSE, TEXT, RawClient, Tracker, frame, request, subscribe_message
from ptrace import StoppedThread
from server import CHECKOUT, Server, wait_until
from test_limits import shut_listener

SECONDS = 60
# What each says, in order. A name that begins with "text" is an address of characters.
ARGUMENTS = {
    "feed_poll_begin": "feed late_ns",
    "feed_read": "fd bytes ts_recv",
    "feed_poll": "feed ticks",
    "derive": "source ch seq",
    "encode": "stream ch seq index bytes",
    "publish": "ch seq index bytes ts_pub late_ns",
    "show": "index frames oldest_ns",
    "wake": "core",
    "encoding": "stream run json_index own_index",
    "log_tail": "stream old new saved replaced",
    "log_wait": "core ns",
    "admin_begin": "text",
    "admin": "text status bytes",
    "awake": "core asleep_ns asked_ns how",
    "turn_begin": "core stream index head",
    "turn": "core frames conns stream index",
    "turn_end": "core stream index frames conns ns",
    "batch_begin": "core sends",
    "batch_submitted": "core sends short bytes kind",
    "core_lap": "core stream old new",
    "slow": "core ns",
    "accept_pause": "core conns",
    "conn_open": "core conn gen fd listener",
    "conn_state": "conn old new core gen",
    "conn_upgrade": "core conn gen fd port stream",
    "conn_refuse": "core conn status ns",
    "conn_close": "core conn code text sent lost",
    "message_begin": "core conn type",
    "message": "core conn type done",
    "control_out": "core conn opcode bytes",
    "pong": "core conn ns",
    "send_short": "core conn fd bytes wanted",
    "send_blocked": "core conn fd waiting",
    "send_unblocked": "core conn fd ns",
    "send_failed": "core conn fd error",
    "lend": "core conn bytes result",
    "pull": "core conn cursor moved frames conflated",
    "caught_up": "core conn index",
    "lag": "core conn ms cause",
    "jump": "core conn old new verdict",
    "gap": "core conn ch seq count reason",
    "subscribe": "core conn ch policy on index",
    "snapshot": "core conn ch seq",
    "resume": "core conn ch seq result",
    "replay": "core conn channels index on",
}
NOT_HERE = {
    "send_stuck": "the kernel would have to lack memory for sockets",
    "refuse": "a feed would have to break its promise of how long a tick is",
}
SUBSCRIBE, PING, SNAPSHOT, RESUME, REPLAY = 1, 4, 6, 7, 8  # types of message and message_begin
MESSAGE, TIMER = 1, 2  # how of awake
NAME = "600519.SH"  # a symbol of the simulated market
QUIET = ("--feed", "sim:symbols=2,rate=20,types=quote")
LOG_BYTES = 1 << 20
# Their probes fire in one order: bpftrace prints what one CPU has seen, then what another has.
OnOneCpu = functools.partial(Server, prefix=("taskset", "-c", str(min(os.sched_getaffinity(0)))))
SMALL = ("--frame-log-bytes", LOG_BYTES, "--send-buffer-bytes", 65536)


def setUpModule():
    tracing.require()


class Hits(tracing.Script):
    """Probes of a server, and each time that one of them fired, from the beginning on."""

    def __init__(self, server, *names):
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        path = pathlib.Path(self.folder.name, "hits")
        path.with_suffix(".bt").write_text('BEGIN { printf("attached\\n"); }\n' + "".join(map(self.action, names)))
        self.types = {name: collections.namedtuple(name, ARGUMENTS[name]) for name in names}
        self.hits = {name: [] for name in names}
        self.read_count = 0
        super().__init__(server, path)

    @staticmethod
    def action(name):
        is_text = [it.startswith("text") for it in ARGUMENTS[name].split()]
        shapes = "".join(" %s" if it else " %lu" for it in is_text)
        values = "".join(f", str(arg{i})" if it else f", arg{i}" for i, it in enumerate(is_text))
        return f'usdt:*:ringcast:{name} {{ printf("{name}{shapes}\\n"{values}); }}\n'

    def __exit__(self, *kind):
        super().__exit__(*kind)
        self.folder.cleanup()

    def all(self, name, **values):
        """Those with these values."""
        while self.read_count < len(self.lines):
            line = self.lines[self.read_count]
            self.read_count += 1
            probe = line.split(" ", 1)[0]
            if probe in self.hits:
                self.hits[probe].append(self.parse(probe, line))
        return [hit for hit in self.hits[name] if all(getattr(hit, key) == value for key, value in values.items())]

    def parse(self, probe, line):
        kind = self.types[probe]
        shape = "".join(rf" (?P<{it}>.*)" if it.startswith("text") else rf" (?P<{it}>\d+)" for it in kind._fields)
        values = re.fullmatch(probe + shape, line.rstrip("\n")).groupdict()
        return kind(**{key: value if key.startswith("text") else int(value) for key, value in values.items()})

    def wait(self, name, **values):
        """The first of those."""
        self.wait_until(lambda _: self.all(name, **values))
        return self.all(name, **values)[0]


def port_of(client):
    return client.socket.getsockname()[1]


def published_bytes(server):
    return server.stats()["publisher"]["tick_bytes"]


class Page(unittest.TestCase):
    def test_each_probe_of_the_page_is_here(self):
        page = (CHECKOUT / "docs/probes.md").read_text(encoding="utf8")
        self.assertEqual(set(re.findall(r"^\| `(\w+)` \| .* \| ", page, re.M)), {*ARGUMENTS, *NOT_HERE})


class Life(unittest.TestCase):
    def test_from_accept_to_close(self):
        """A client's place is used again, but not with the same generation."""
        with OnOneCpu(*QUIET) as server, Hits(server, "conn_open", "conn_state", "conn_upgrade", "conn_close",
                                              "subscribe") as hits:
            (core, conn, gen), *others = [self.live(server, hits) for _ in range(2)]
        self.assertEqual(others, [(core, conn, gen + 1)])

    def live(self, server, hits):
        with RawClient(server.port, timeout=SECONDS) as client:
            upgrade = hits.wait("conn_upgrade", port=port_of(client))
            place = core, conn, gen = upgrade[:3]
            opened, = [hit for hit in hits.all("conn_open") if hit[:3] == place]
            self.assertEqual((opened.fd, opened.listener, upgrade.stream), (upgrade.fd, 0, 0))
            self.assertIn("socket:", str(pathlib.Path(f"/proc/{server.pid}/fd/{opened.fd}").readlink()))
            ok, = client.subscribe([NAME], ["quote"], snapshot=False)["data"]["ok"]
            began = hits.wait("subscribe", conn=conn, ch=ok["ch"], on=1)
            self.assertEqual(client.next_message(("quote",))["seq"], ok["next_seq"])
            client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))
            self.assertGreater(hits.wait("subscribe", conn=conn, ch=ok["ch"], on=0).index, began.index)
            client.send(frame(CLOSE, struct.pack("!H", 1000)))
            client.wait_for_close()
        closed = self.closed(hits, conn, gen)
        self.assertEqual((closed.core, closed.code, closed.text, closed.lost), (core, 1000, "closed by the client", 0))
        self.assertGreaterEqual(closed.sent, 1)
        steps = [(hit.old, hit.new) for hit in hits.all("conn_state", conn=conn, core=core) if hit.gen == gen]
        self.assertEqual(steps, [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 0)])
        return place

    @staticmethod
    def closed(hits, conn, gen):
        """The last one of the place, when it is free again."""
        hits.wait("conn_state", conn=conn, gen=gen, new=0)
        return hits.all("conn_close", conn=conn)[-1]

    def test_a_refusal(self):
        with OnOneCpu(*QUIET) as server, Hits(server, "conn_open", "conn_refuse", "conn_close") as hits:
            with RawClient(server.port, upgrade=False, timeout=SECONDS) as client:
                client.send(request("/nothing"))
                self.assertEqual(client.read_head(), 404)
            opened = hits.wait("conn_open")
            hits.wait("conn_refuse", conn=opened.conn, status=404)
            closed = hits.wait("conn_close", conn=opened.conn)
            self.assertEqual((closed.code, closed.sent, closed.lost), (0, 0, 0))

    def test_a_listener_that_only_fails(self):
        with OnOneCpu(*QUIET) as server, RawClient(server.port), Hits(server, "accept_pause") as hits:
            shut_listener(server)
            self.assertEqual(hits.wait("accept_pause", core=0).conns, 1)


class Messages(unittest.TestCase):
    def test_requests_and_what_they_are_answered(self):
        with OnOneCpu(*QUIET, "--heartbeat-interval", 1) as server, Hits(
                server, "message_begin", "message", "control_out", "snapshot", "resume", "replay", "pong") as hits, \
                RawClient(server.port, timeout=SECONDS) as client:
            ok, = client.subscribe([NAME], ["quote"])["data"]["ok"]
            tick = client.next_message(("quote",))
            self.assertEqual(hits.wait("snapshot", ch=ok["ch"]).seq, tick["seq"])
            self.answer(client, hits, SUBSCRIBE)
            client.send_text('{"type":"PING"}')
            frames = [client.next_frame()]
            tracing.act_until(lambda: b'"type":"PONG"' in frames[-1][1], lambda: frames.append(client.next_frame()))
            opcode, payload = frames[-1]
            hits.wait("control_out", opcode=opcode, bytes=len(payload))
            self.answer(client, hits, PING)
            names = {"symbols": [NAME], "data_types": ["quote"]}
            self.check_snapshot(client, hits, ok["ch"], names)
            self.check_resume(client, hits, ok["ch"])
            client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))
            client.ask({"type": "REPLAY", "data": {**names, "from": 1, "to": 2}}, ("END_OF_REPLAY",))
            began, ended = hits.wait("replay", on=1), hits.wait("replay", on=0)
            self.assertEqual((began.channels, ended.channels), (1, 1))
            self.assertGreater(ended.index, began.index)
            self.answer(client, hits, REPLAY)
            tracing.act_until(lambda: hits.all("pong"), client.next_message)

    def check_snapshot(self, client, hits, channel, names):
        before = len(hits.all("snapshot"))
        client.ask({"type": "SNAPSHOT", "data": names}, ("SNAPSHOT",))
        hits.wait_until(lambda _: len(hits.all("snapshot")) > before)
        sent = hits.all("snapshot")[before]
        self.assertEqual(sent.ch, channel)
        self.answer(client, hits, SNAPSHOT)

    def check_resume(self, client, hits, channel):
        epoch = client.ask({"type": "UNSUBSCRIBE"}, ("UNSUBSCRIBED",))["data"]["epoch"]
        client.ask({"type": "RESUME", "data": {"epoch": epoch, "cursors": {channel: 1}}}, ("RESUMED",))
        resumed = hits.wait("resume", ch=channel)
        self.assertEqual((resumed.seq, resumed.result), (1, 0))
        self.answer(client, hits, RESUME)

    def answer(self, client, hits, kind):
        """Its message was answered at once: a slice each."""
        hits.wait("message", type=kind, done=1)
        self.assertEqual(len(hits.all("message_begin", type=kind)), len(hits.all("message", type=kind)))


class Turns(unittest.TestCase):
    NAMES = ("turn_begin", "turn", "turn_end", "batch_begin", "batch_submitted", "awake")

    def test_a_turn_follows_the_other_without_a_hole(self):
        with OnOneCpu(*QUIET, "--publisher", "thread") as server, Hits(server, "wake", *self.NAMES) as hits, \
                RawClient(server.port, timeout=SECONDS) as client:
            client.subscribe(["*"], ["quote"])
            hits.wait_until(lambda _: len(hits.all("turn_end", conns=1)) > 20)
            hits.wait("awake", how=MESSAGE)
            # While bpftrace attached to one probe after the other, it has seen a part of some.
            began, noted, ended = ({hit.index: hit for hit in hits.all(name, stream=0)} for name in self.NAMES[:3])
            whole = [(began[at], noted[at], ended[at]) for at in sorted({*began} & {*noted} & {*ended})]
            self.assertGreaterEqual(len(whole), 20)
            for (_, _, before), (begin, _, _) in zip(whole, whole[1:]):
                self.assertEqual(begin.index, before.index + before.frames)
            for begin, note, end in whole:
                self.assertEqual((begin.index, note.frames, note.conns), (note.index, end.frames, end.conns))
                self.assertLessEqual(end.index + end.frames, begin.head)
                self.assertEqual(end.ns > 0, end.conns > 0)
            frames = [hit for hit in hits.all("batch_submitted", kind=0) if hit.sends > 0]
            self.assertEqual({(hit.sends, hit.short, hit.bytes > 100) for hit in frames}, {(1, 0, True)})
            first, last = (hits.lines.index("turn_begin {} {} {} {}\n".format(*whole[at][0])) for at in (0, -1))
            batches = [line.split()[0] for line in hits.lines[first:last] if line.startswith("batch_")]
            self.assertEqual(batches, len(batches) // 2 * ["batch_begin", "batch_submitted"])
            self.assertTrue(hits.all("wake", core=0))
            self.assertTrue(all(hit.asked_ns > 0 for hit in hits.all("awake")))

    def test_a_core_that_polls_is_never_awake(self):
        with OnOneCpu(*QUIET, "--busy-poll") as server, Hits(server, *self.NAMES) as hits:
            hits.wait_until(lambda _: len(hits.all("turn")) > 20)
            self.assertEqual(hits.all("awake"), [])


class Behind(unittest.TestCase):
    """Quotes come when the test writes them."""
    LINE = b'{"type":"quote","symbol":"MINE","data":{"last":1.5,"bids":[[1.4,500]],"asks":[[1.6,300]]}}\n'

    @classmethod
    def setUpClass(cls):
        cls.server = OnOneCpu(*SMALL, "--feed", "ingest:stdin", stdin=subprocess.PIPE).start()
        cls.addClassCleanup(cls.server.kill)
        cls.addClassCleanup(cls.server.process.stdin.close)
        cls.publish(1)

    @classmethod
    def publish(cls, bytes_):
        """So much, in the log."""
        goal = published_bytes(cls.server) + bytes_
        while published_bytes(cls.server) < goal:
            ticks = cls.server.stats()["publisher"]["ticks"]
            cls.server.process.stdin.write(cls.LINE * 50)
            cls.server.process.stdin.flush()
            if not wait_until(lambda before=ticks: cls.server.stats()["publisher"]["ticks"] >= before + 50, SECONDS):
                raise AssertionError(f"it did not publish 50 ticks: {cls.server.stats()}")

    def block(self, hits, **delivery):
        """A client whose socket is full, and when that was known."""
        client = RawClient(self.server.port, receive_buffer=4096, timeout=SECONDS)
        self.addCleanup(client.close)
        client.send_text(subscribe_message(["MINE"], ["quote"], delivery=delivery))
        conn = hits.wait("conn_upgrade", port=port_of(client)).conn
        tracing.act_until(lambda: hits.all("send_blocked", conn=conn), lambda: self.publish(1 << 14))
        return client, conn, time.monotonic()

    def test_a_client_that_stops_and_reads_again(self):
        names = ("send_short", "send_blocked", "send_unblocked", "pull", "caught_up", "lag", "conn_upgrade")
        with Hits(self.server, *names) as hits:
            client, conn, since = self.block(hits)
            self.publish(LOG_BYTES * 6 // 10)
            held_ns = (time.monotonic() - since) * 1e9
            tracker = Tracker(conflated_types=("quote",))
            lag = client.next_message(("LAG",), tracker=tracker)["data"]
            told = hits.wait("lag", conn=conn)
            self.assertEqual((told.ms, ("client", "network", "server")[told.cause]), (lag["ms"], lag["cause"]))
            self.assertGreaterEqual(hits.wait("send_unblocked", conn=conn).ns, held_ns)
            newest = self.server.stats()["publisher"]["ticks"]
            while tracker.next_seq.get(0, 0) <= newest:
                client.next_message(tracker=tracker)
            index = hits.wait("caught_up", conn=conn, index=newest).index
            pulls = hits.all("pull", conn=conn)
            self.assertEqual(max(hit.cursor + hit.moved for hit in pulls), index)
            conflated = sum(hit.conflated for hit in pulls)
            self.assertGreaterEqual(conflated, sum(tracker.passed_over.values()))
            self.assertGreater(conflated, 0)
            cut = hits.wait("send_short", conn=conn)
            self.assertLess(cut.bytes, cut.wanted)
            self.assertEqual(tracker.faults + tracker.gaps, [])

    def test_a_client_that_the_log_passes(self):
        with Hits(self.server, "send_blocked", "conn_upgrade", "jump", "gap", "pull") as hits:
            client, conn, _ = self.block(hits, on_lag="skip")
            self.publish(2 * LOG_BYTES)
            lost = client.next_message(("GAP",))["data"]
            jump = hits.wait("jump", conn=conn)
            self.assertEqual((jump.verdict, jump.new), (0, self.server.stats()["publisher"]["ticks"]))
            gap = hits.wait("gap", conn=conn)
            self.assertEqual((gap.ch, gap.seq, gap.seq + gap.count - 1, gap.reason),
                             (lost["ch"], lost["from"], lost["to"], 0))

    def test_a_client_that_is_closed_for_it(self):
        with Hits(self.server, "send_blocked", "conn_upgrade", "jump", "conn_close") as hits:
            client, conn, _ = self.block(hits, on_lag="disconnect")
            self.publish(2 * LOG_BYTES)
            self.assertEqual(client.wait_for_close()[0], 4108)
            self.assertEqual(hits.wait("jump", conn=conn).verdict, 2)
            self.assertEqual(hits.wait("conn_close", conn=conn).code, 4108)


class Stopped(unittest.TestCase):
    def test_a_send_to_a_client_that_has_left(self):
        """It leaves while the core is about to enter the kernel with a send for it."""
        with OnOneCpu(*QUIET) as server, Hits(server, "conn_upgrade", "send_failed", "conn_close") as hits, \
                RawClient(server.port, timeout=SECONDS) as stays, RawClient(server.port, timeout=SECONDS) as leaves:
            conn = hits.wait("conn_upgrade", port=port_of(leaves)).conn
            for client in (stays, leaves):
                client.subscribe(["*"], ["quote"], snapshot=False)
            with StoppedThread(server.pid, "core-0") as core:
                core.stop_in_submit(2)
                leaves.reset()
                core.go_on()
                failed = hits.wait("send_failed", conn=conn)
            self.assertIn(failed.error, (errno.EPIPE, errno.ECONNRESET))
            self.assertEqual(hits.wait("conn_close", conn=conn).code, 1006)

    def test_the_writer_passes_a_core_that_sleeps_and_waits_for_one_that_sends(self):
        with OnOneCpu(*SMALL, "--publisher", "thread",
                      "--feed", "sim:symbols=20,rate=12000,burst=100,types=trade") as server, \
                tracing.readers(server, 20, "--types", "trade"), \
                Hits(server, "core_lap", "log_wait", "log_tail", "slow") as hits, \
                StoppedThread(server.pid, "core-0") as core:
            deadline = time.monotonic() + SECONDS
            while not self.hold(server, core, core.stop):
                self.assertLess(time.monotonic(), deadline)
            passed = hits.wait("core_lap", core=0, stream=0)
            self.assertGreater(passed.new, passed.old)
            self.assertTrue(any(hit.new > hit.old for hit in hits.all("log_tail", stream=0)))
            began = time.monotonic()
            self.assertFalse(self.hold(server, core, lambda: core.stop_in_submit(8)))
            held_ns = (time.monotonic() - began) * 1e9
            hits.wait_until(lambda _: any(hit.ns > held_ns / 2 for hit in hits.all("log_wait", core=0)))
            hits.wait_until(lambda _: any(hit.ns > held_ns / 2 for hit in hits.all("slow", core=0)))

    @staticmethod
    def hold(server, core, stop):
        """true: the writer went on."""
        stop()
        before = published_bytes(server)
        goes_on = wait_until(lambda: published_bytes(server) > before + 2 * LOG_BYTES, 2)
        core.go_on()
        return goes_on


class Lends(unittest.TestCase):
    def test_a_long_stretch_leaves_by_reference(self):
        with OnOneCpu(*SMALL, "--zero-copy-bytes", 4096,
                      "--feed", "sim:symbols=1,rate=1280,burst=128,types=trade") as server, \
                tracing.readers(server, 8, "--types", "trade"), Hits(server, "lend") as hits:
            lent = hits.wait("lend")
            self.assertGreaterEqual(lent.bytes, 4096)
            self.assertTrue(any(hit.result == hit.bytes for hit in hits.all("lend")))


class Publisher(unittest.TestCase):
    def test_from_the_feed_to_the_log(self):
        line = b'{"type":"trade","symbol":"MINE","data":{"price":1.5,"size":100}}\n'
        names = ("feed_poll_begin", "feed_read", "feed_poll", "encode", "publish", "show", "encoding", "admin_begin",
                 "admin")
        with OnOneCpu("--feed", "ingest:stdin", stdin=subprocess.PIPE) as server, Hits(server, *names) as hits:
            server.process.stdin.write(line)
            server.process.stdin.flush()
            first = hits.wait("publish", seq=1)
            with RawClient(server.port, timeout=SECONDS) as client, \
                    RawClient(server.port, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n", timeout=SECONDS):
                client.subscribe(["MINE"], ["trade"])
                self.assertEqual(hits.wait("encoding", stream=1).run % 2, 1)
                server.process.stdin.write(line)
                server.process.stdin.flush()
                tick = client.next_message(("trade",))
                while tick["seq"] < 2:
                    tick = client.next_message(("trade",))
                written = hits.wait("publish", ch=tick["ch"], seq=2)
                self.assertEqual((written.ts_pub, written.index > first.index), (tick["ts_pub"], True))
                hits.wait("encode", stream=1, ch=tick["ch"], seq=2)
            read = hits.wait("feed_read", bytes=len(line))
            links = pathlib.Path(f"/proc/{server.pid}/fd")
            self.assertEqual((links / str(read.fd)).readlink(), (links / "0").readlink())
            hits.wait("feed_poll", feed=0, ticks=1)
            hits.wait("feed_poll_begin", feed=0)
            self.assertTrue(any(hit.index <= written.index < hit.index + hit.frames for hit in hits.all("show")))
            status, _, body = server.admin("/stats")
            hits.wait("admin_begin", text="/stats")
            hits.wait("admin", text="/stats", status=status, bytes=len(body))
            server.process.stdin.close()

    def test_a_tick_that_is_computed(self):
        with OnOneCpu(*QUIET) as server, Hits(server, "derive") as hits, \
                RawClient(server.port, timeout=SECONDS) as client:
            source, = client.subscribe([NAME], ["quote"])["data"]["ok"]
            own, = client.subscribe([NAME], ["quote"], delivery={"mode": "conflated", "interval_ms": 100})["data"]["ok"]
            derived = hits.wait("derive", source=source["ch"])
            self.assertEqual(derived.ch, own["ch"])
            ticks = [client.next_message(("quote",))]
            tracing.act_until(lambda: ticks[-1]["ch"] == own["ch"],
                              lambda: ticks.append(client.next_message(("quote",))))
            hits.wait("derive", ch=own["ch"], seq=ticks[-1]["seq"])


if __name__ == "__main__":
    unittest.main()
