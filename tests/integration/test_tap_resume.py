"""ringcast-tap --resume: kill -9, a cut, a new server; nothing is missing that no GAP reports."""
import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from server import Server, program, reap, run, spawn, wait_until
from test_examples import Relay, Script, quote, verdicts


class Tap:
    """ringcast-tap --resume --json, whose output goes on in one file over all its runs."""

    def __init__(self, folder, url, *options):
        self.cursor, self.out = pathlib.Path(folder, "cursor.json"), pathlib.Path(folder, "out.jsonl")
        self.err = pathlib.Path(folder, "err.txt")
        self.arguments = [program("ringcast-tap"), "--json", "--resume", str(self.cursor), *options, url]
        self.process = None
        self.out.touch()
        self.err.touch()

    def start(self):
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = spawn(self.arguments, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        reap(self.process)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        reap(self.process)
        return code

    def line_count(self):
        return self.out.read_bytes().count(b"\n")

    def errors(self):
        return self.err.read_text(errors="replace")

    def wait_for_more(self, count):
        goal = self.line_count() + count
        if not wait_until(lambda: self.line_count() >= goal, 30):
            raise AssertionError(f"no {count} more ticks:\n{self.errors()}")

    def wait_for_cursor(self):
        """Until the cursor knows something that it did not when this was called."""
        before = self.cursor.read_bytes() if self.cursor.exists() else b""
        if not wait_until(lambda: self.cursor.exists() and self.cursor.read_bytes() != before, 30):
            raise AssertionError(f"no cursor:\n{self.errors()}")

    def ticks(self):
        """[(ch, seq), ...]. A line that a kill cut through is followed by its tick once more."""
        found = []
        for line in self.out.read_bytes().split(b"\n"):
            for part in line.split(b'{"type":')[1:]:
                try:
                    message = json.loads(b'{"type":' + part)
                except ValueError:
                    continue
                found.append((message["ch"], message["seq"]))
        return found

    def holes(self):
        """{ch: [seq, ...]} that are missing between the first and the last one of a channel."""
        seqs = collections.defaultdict(set)
        for channel, seq in self.ticks():
            seqs[channel].add(seq)
        return {channel: missing for channel, got in seqs.items()
                if (missing := sorted(set(range(min(got), max(got) + 1)) - got))}


class Resume(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def tap(self, url, *options):
        tap = Tap(self.folder, url, *options)
        self.addCleanup(lambda: tap.process is not None and reap(tap.process))
        return tap

    def check_kills(self, count, *options):
        with Server("--feed", "sim:symbols=6,rate=2000,types=quote+trade+depth") as server:
            tap = self.tap(server.url(), "--on-lag", "skip", *options)
            for _ in range(3):
                tap.start().wait_for_more(count)
                tap.wait_for_cursor()
                tap.kill()
                server.wait_for_ticks(500)
            tap.start().wait_for_more(count)
            self.assertEqual(tap.stop(), 0, tap.errors())
            before = tap.ticks()
            server.wait_for_ticks(100)
            tap.start().wait_for_more(count)
            self.assertEqual(tap.stop(), 0, tap.errors())
        after = tap.ticks()[len(before):]
        self.assertEqual(set(before) & set(after), set(), "after an orderly end nothing is repeated")
        self.assertEqual(tap.holes(), {}, tap.errors())
        self.assertNotIn("GAP", tap.errors())
        return tap

    def test_nothing_is_missing_after_kill_9(self):
        tap = self.check_kills(500, "--types", "quote,trade,depth")
        self.assertEqual(len({channel for channel, _ in tap.ticks()}), 18)

    def test_nothing_is_missing_with_computed_channels(self):
        tap = self.check_kills(50, "--types", "depth", "--symbols", "000001.SZ,600519.SH", "--depth", "5")
        self.assertEqual(len({channel for channel, _ in tap.ticks()}), 2)

    def test_a_kill_in_the_first_second_leaves_no_hole(self):
        for options in (("--symbols", "000001.SZ", "--depth", "5", "--types", "depth"), ("--types", "depth,trade")):
            with (self.subTest(options), tempfile.TemporaryDirectory() as self.folder,
                  Server("--feed", "sim:symbols=6,rate=2000,types=trade+depth") as server):
                tap = self.tap(server.url(), "--on-lag", "skip", *options)
                for _ in range(4):
                    tap.start().wait_for_more(5)
                    tap.kill()
                    server.wait_for_ticks(200)
                tap.start().wait_for_more(5)
                self.assertEqual((tap.stop(), tap.holes()), (0, {}), tap.errors())

    def test_it_resumes_at_the_pace_that_the_server_allows(self):
        """With computed channels it sends a message for each: more than a burst of the server."""
        names = ",".join(f"SIM{number:05}.SIM" for number in range(6, 26))
        with Server("--feed", "sim:symbols=30,rate=1000,types=depth", "--messages-per-second", "5") as server:
            tap = self.tap(server.url(), "--types", "depth", "--symbols", names, "--depth", "5", "--on-lag", "skip")
            for _ in range(2):
                tap.start()
                self.assertTrue(wait_until(
                    lambda: tap.cursor.exists() and tap.cursor.read_text().count('"SIM') > 20, 30), tap.errors())
                tap.wait_for_more(20)
                self.assertEqual((tap.stop(), tap.errors()), (0, ""))
            before = len(set(tap.ticks()))
            tap.start()
            self.assertTrue(wait_until(
                lambda: len({channel for channel, _ in tap.ticks()[before:]}) == 20, 30), tap.errors())
            self.assertEqual((tap.stop(), tap.errors(), tap.holes()), (0, "", {}))

    def test_nothing_is_missing_over_cuts(self):
        with Server("--feed", "sim:symbols=6,rate=2000,types=quote+trade") as server:
            relay = Relay(server.port)
            self.addCleanup(relay.cut)
            tap = self.tap(f"ws://127.0.0.1:{relay.port}/", "--types", "quote,trade", "--on-lag", "skip").start()
            for _ in range(3):
                tap.wait_for_more(300)
                relay.cut()
                server.wait_for_ticks(200)
                relay.mend()
            tap.wait_for_more(300)
            self.assertEqual(tap.stop(), 0, tap.errors())
        self.assertEqual(tap.holes(), {})
        self.assertEqual(len(tap.ticks()), len(set(tap.ticks())), "a cut repeats nothing")

    def test_a_channel_that_is_new_begins_with_its_first_tick(self):
        fifo = pathlib.Path(self.folder, "feed")
        os.mkfifo(fifo)
        with Server("--feed", f"replay:path={fifo},speed=0") as server, open(fifo, "w", buffering=1) as feed:
            published = 0

            def publish(*symbols):
                nonlocal published
                feed.write("".join(f"1,{symbol},1\n" for symbol in symbols))
                published += len(symbols)
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["ticks"] == published), server.log())

            feed.write("ts_ns,symbol,price\n")
            publish("OLD", "OLD", "QUIET", "QUIET")
            tap = self.tap(server.url(), "--types", "trade", "--snapshot", "no").start()
            tap.wait_for_cursor()
            publish("OLD")
            self.assertTrue(wait_until(lambda: '"OLD"' in tap.cursor.read_text()), tap.errors())
            tap.kill()
            publish("OLD", "NEW", "NEW", "QUIET")
            tap.start()
            self.assertTrue(wait_until(lambda: len(tap.ticks()) >= 5), (tap.ticks(), tap.errors()))
            publish("NEW", "QUIET", "OLD")
            self.assertTrue(wait_until(lambda: len(tap.ticks()) >= 8), (tap.ticks(), tap.errors()))
            self.assertEqual(tap.stop(), 0, tap.errors())
        # OLD has channel 0, QUIET 1, NEW 2. What was published before the first start is not fetched.
        self.assertEqual(sorted(tap.ticks()), [(0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)])

    def test_another_epoch_is_a_loss_that_is_reported(self):
        with Server("--feed", "sim:symbols=3,rate=500") as server:
            tap = self.tap(server.url()).start()
            tap.wait_for_more(50)
            tap.wait_for_cursor()
            tap.kill()
        before = len(tap.ticks())
        with Server("--feed", "sim:symbols=3,rate=500") as server:
            server.wait_for_ticks(100)
            tap.arguments[-1] = server.url()
            tap.start().wait_for_more(100)
            self.assertEqual(tap.stop(), 0, tap.errors())
        self.assertIn("GAP reason=restart", tap.errors())
        after = tap.ticks()[before:]
        for channel in range(3):
            seqs = [seq for each, seq in after if each == channel]
            self.assertGreater(len(seqs), 1)
            self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))))


    def test_more_channels_than_the_server_allows_go_on_with_a_gap(self):
        with Server("--feed", "sim:symbols=8,rate=500", "--max-subscriptions", "5") as server:
            tap = self.tap(server.url()).start()
            tap.wait_for_more(50)
            tap.wait_for_cursor()
            tap.kill()
            before = len(tap.ticks())
            tap.start().wait_for_more(100)
            self.assertEqual(tap.stop(), 0, tap.errors())
        self.assertEqual({channel for channel, _ in tap.ticks()[before:]}, set(range(8)), tap.errors())
        lost = len([line for line in tap.errors().splitlines() if "it cannot be resumed after seq" in line])
        self.assertLessEqual(len(tap.holes()), lost, tap.errors())
        self.assertEqual(lost, 4, "the pattern takes one of the five")


class CursorFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--feed", "sim:symbols=3,rate=500").start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "cursor.json")

    def tap(self, *options):
        return run([program("ringcast-tap"), "--quiet", "--count", "20", "--resume", str(self.path), *options,
                    self.server.url()])

    def test_a_damaged_file_is_refused_and_kept(self):
        self.assertEqual(self.tap().returncode, 0)
        good = json.loads(self.path.read_text())
        texts = ["{", "[]", "{}", json.dumps(good)[:-9], json.dumps({**good, "ringcast_cursor": 2}),
                 json.dumps({**good, "epoch": 'a","x":"'}), json.dumps({**good, "since": -1}),
                 json.dumps({**good, "channels": [{"ch": 1, "seq": -1}]}),
                 json.dumps({**good, "channels": [{"ch": 1 << 40, "seq": 1, "symbol": "A", "type": "quote"}]})]
        for text in texts:
            with self.subTest(text[-80:]):
                self.path.write_text(text)
                done = self.tap()
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(f"{self.path} is no cursor file, or is damaged", done.stderr)
                self.assertIn("remove it", done.stderr)
                self.assertEqual(self.path.read_text(), text)

    def test_another_subscription_is_refused(self):
        self.assertEqual(self.tap("--symbols", "000001.SZ").returncode, 0)
        for options in (("--symbols", "*"), (), ("--symbols", "000001.SZ", "--types", "trade"),
                        ("--symbols", "000001.SZ", "--interval-ms", "100")):
            with self.subTest(options):
                done = self.tap(*options)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("belongs to another subscription (--symbols 000001.SZ --types quote)", done.stderr)
        self.assertEqual(self.tap("--symbols", "000001.SZ").returncode, 0)

    def test_a_position_that_nobody_can_have_is_reported_and_the_rest_goes_on(self):
        self.assertEqual(self.tap().returncode, 0)
        cursor = json.loads(self.path.read_text())
        self.assertEqual([each["ch"] for each in cursor["channels"]], [0, 1, 2])
        cursor["channels"][0]["seq"] += 10**9
        cursor["channels"].append({"ch": 60000, "seq": 7, "symbol": "GONE", "type": "quote"})
        self.path.write_text(json.dumps(cursor))
        done = self.tap()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"GAP \S+ quote: it cannot be resumed after seq 1\d{9}: ")
        self.assertIn("GAP GONE quote: it cannot be resumed after seq 7: ", done.stderr)
        left = json.loads(self.path.read_text())["channels"]
        self.assertEqual([each["ch"] for each in left], [0, 1, 2])
        self.assertLess(left[0]["seq"], 10**9)

    def test_an_empty_file_is_a_new_cursor(self):
        self.path.touch()
        self.assertEqual(self.tap().returncode, 0)
        self.assertEqual(json.loads(self.path.read_text())["ringcast_cursor"], 1)

    def test_one_ringcast_tap_at_a_time_uses_a_file(self):
        tap = Tap(self.path.parent, self.server.url())
        self.addCleanup(lambda: reap(tap.process))
        tap.start().wait_for_more(1)
        for _ in range(2):
            done = self.tap()
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(f"another ringcast-tap uses {self.path}", done.stderr)
            tap.wait_for_cursor()  # Each new file is locked, too.
        self.assertEqual(tap.stop(), 0, tap.errors())
        self.assertEqual(self.tap().returncode, 0)

    def test_the_target_of_a_symbolic_link_is_the_file(self):
        target = self.path.with_name("target")
        for _ in range(2):
            self.path.unlink(missing_ok=True)
            self.path.symlink_to("target")
            self.assertEqual(self.tap().returncode, 0)
            self.assertTrue(self.path.is_symlink())
            self.assertEqual(json.loads(target.read_text())["ringcast_cursor"], 1)
        self.assertEqual(sorted(path.name for path in target.parent.iterdir()), ["cursor.json", "target"])

    def test_a_file_that_cannot_be_written_ends_it_with_5(self):
        self.path = self.path / "none" / "cursor.json"
        done = self.tap()
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(f"cannot write {self.path}: No such file or directory", done.stderr)


class Closes(unittest.TestCase):
    """What a close of the server is answered with."""

    def against(self, *codes):
        """One connection for each code, which closes it once it is subscribed, then one with a tick."""
        subscribed = verdicts(("A.X", "quote", 7, 1))
        script = Script(*(([subscribed], code) for code in codes), ([subscribed, quote(1)], None))
        self.addCleanup(script.close)
        with tempfile.TemporaryDirectory() as folder:
            done = run([program("ringcast-tap"), "--count", "1", "--resume", f"{folder}/cursor.json", script.url()],
                       seconds=60)
        return done, script.taken

    def test_it_connects_again_where_that_may_help(self):
        for codes in ((4201,), (1001, 1001), (4108, 4109), (4111,)):
            with self.subTest(codes):
                done, taken = self.against(*codes)
                self.assertEqual((done.returncode, taken), (0, len(codes) + 1), done.stderr)
                self.assertIn("#1 last=1.5", done.stdout)

    def test_it_tries_again_while_a_server_has_no_room_and_ends_when_it_is_refused(self):
        statuses = ["503 Service Unavailable", "429 Too Many Requests", "502 Bad Gateway", "401 Unauthorized"]
        answered = []

        def answer(listener):
            for status in statuses:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    answered.append(status)
                    client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        with (Server("--feed", "sim:symbols=2,rate=100") as server, tempfile.TemporaryDirectory() as folder,
              socket.create_server(("127.0.0.1", 0)) as listener):
            command = [program("ringcast-tap"), "--count", "3", "--resume", f"{folder}/cursor.json"]
            self.assertEqual(run([*command, server.url()]).returncode, 0)
            threading.Thread(target=answer, args=(listener,), daemon=True).start()
            done = run([*command, f"ws://127.0.0.1:{listener.getsockname()[1]}/"])
            self.assertEqual((done.returncode, answered), (2, statuses), done.stderr)

    def test_it_waits_for_a_server_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server("--feed", "sim:symbols=2,rate=100") as server:
                tap = Tap(folder, server.url())
                self.addCleanup(lambda: reap(tap.process))
                tap.start().wait_for_more(10)
                self.assertEqual(tap.stop(), 0, tap.errors())
                relay = Relay(server.port)
                self.addCleanup(relay.cut)
                relay.cut()
                tap.arguments[-1] = f"ws://127.0.0.1:{relay.port}/"
                tap.start()
                self.assertTrue(wait_until(lambda: "connecting again" in tap.errors()), tap.errors())
                relay.mend()
                tap.wait_for_more(10)
                self.assertEqual((tap.stop(), tap.holes()), (0, {}), tap.errors())

    def test_it_ends_where_the_same_would_happen_again(self):
        for code in (1002, 1007, 1009, 4001, 4003, 4005):
            with self.subTest(code):
                done, taken = self.against(code)
                self.assertEqual((done.returncode, taken), (2, 1), done.stderr)
                self.assertIn(f"closed by the server: {code} script;code={code}", done.stderr)


if __name__ == "__main__":
    unittest.main()
