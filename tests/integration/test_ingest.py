"""The ingest from end to end: producers in both forms, what subscribers see of them, and how it stops."""
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import unittest

from clients import RawClient
from producers import Producer, definition, sbe_trade, trade
from server import Server, program, reap, spawn, wait_until
from test_ingest_hostile import free_port
from test_lifecycle import PORTS, refuse
from test_streams import INLINE, THREAD, publisher, settle

TICKS = 200


class Ingest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "producers"

    def producer(self, address, **options):
        producer = Producer(address, **options)
        self.addCleanup(producer.close)
        return producer

    def publish(self, producer, symbol, count):
        """Trades whose price shows their number, with an ACK of the last one."""
        if producer.binary:
            producer.send(definition((7, symbol)))
        for number in range(1, count + 1):
            producer.send(sbe_trade(7, number, mantissa=number) if producer.binary
                          else trade(symbol, number, price=f"{number / 100:.2f}"))
        self.assertEqual(producer.wait_for_ack(count), count)

    def tap(self, server, encoding, count):
        """A ringcast-tap that has subscribed to all trades, of which there are none yet."""
        tap = spawn([program("ringcast-tap"), server.url(), "--symbols", "*", "--types", "trade", "--json",
                     "--encoding", encoding, "--count", str(count)],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("no channel yet matches", tap.stderr.readline())
        return tap

    def test_several_producers_at_once_reach_subscribers_in_every_encoding(self):
        port = free_port()
        with Server("--feed", f"ingest:unix={self.path},tcp=127.0.0.1:{port}") as server:
            producers = {f"P{number}": self.producer(address, binary=binary, name=f"P{number}", epoch=1)
                         for number, (address, binary) in enumerate(
                             ((self.path, False), (self.path, True), (port, False), (port, True)))}
            taps = [self.tap(server, encoding, TICKS * len(producers)) for encoding in ("json", "sbe")]
            threads = [threading.Thread(target=self.publish, args=(producer, symbol, TICKS))
                       for symbol, producer in producers.items()]
            for thread in threads:
                thread.start()
            for tap in taps:
                text, _ = tap.communicate(timeout=60)
                reap(tap)
                for symbol in producers:
                    ticks = [tick for tick in map(json.loads, text.splitlines()) if tick["symbol"] == symbol]
                    self.assertEqual([tick["seq"] for tick in ticks], list(range(1, TICKS + 1)))
                    self.assertEqual([round(tick["data"]["price"] * 100) for tick in ticks],
                                     list(range(1, TICKS + 1)))
                    for tick in ticks:
                        self.assertLessEqual(tick["ts_recv"], tick["ts_pub"])
            for thread in threads:
                thread.join(60)
            self.assertEqual(publisher(server)["feed_malformed"], 0)

    def test_producers_leave_descriptors_for_clients(self):
        with Server("--feed", f"ingest:unix={self.path}", "--cores", "1",
                    prefix=("prlimit", "--nofile=100:100")) as server:
            self.assertIsNotNone(server.wait_for_line("limit of open files is 100"))
            producers = [self.producer(self.path, name=f"P{number}", epoch=1) for number in range(33)]
            *taken, refused = [producer.next("WELCOME", "ERROR") for producer in producers] # a third of 100
            self.assertEqual({answer["type"] for answer in taken}, {"WELCOME"})
            self.assertEqual(refused["data"]["code"], "too_many_producers")
            with RawClient(server.port) as client:
                producers[0].send(trade("P0", 1))
                self.assertEqual(producers[0].wait_for_ack(1), 1)
                client.subscribe(["P0"], ["trade"], snapshot=1)
            self.assertEqual(server.admin("/health")[0], 200)
            producers[1].close()
            self.assertTrue(wait_until(lambda: publisher(server)["feeds"][0]["producers"] < len(taken), 30))
            self.assertIsNotNone(self.producer(self.path, name="P33", epoch=1).next("WELCOME"))

    def test_a_tick_wakes_a_server_that_sleeps_and_nothing_polls_meanwhile(self):
        for options in (INLINE, THREAD):
            with self.subTest(options), Server(*options, "--feed", f"ingest:unix={self.path}") as server, \
                    RawClient(server.port) as client:
                producer = self.producer(self.path)
                client.subscribe(["*"], ["trade"])
                before = publisher(server)
                for number in range(1, TICKS + 1):
                    producer.send(trade("A", price=str(number)))
                    self.assertEqual(client.next_message(("trade",))["data"]["price"], number)
                after = publisher(server)
                self.assertGreater(after["feed_wakes"] - before["feed_wakes"], TICKS * 3 // 4)
                settle(server)
                wakes = publisher(server)["feed_wakes"]
                settle(server)
                self.assertEqual(publisher(server)["feed_wakes"], wakes)

    def test_a_server_publishes_what_another_one_sends(self):
        with Server("--feed", "sim:symbols=5,rate=2000,types=quote+trade+bar+depth") as first:
            tap = spawn([program("ringcast-tap"), first.url(), "--symbols", "*", "--types", "trade,quote",
                         "--json", "--count", "2000"], stdout=subprocess.PIPE)
            with Server("--feed", "ingest:stdin", stdin=tap.stdout) as second:
                tap.stdout.close()
                self.assertIsNotNone(second.wait_for_line("feed ingest is down: standard input has ended", 60),
                                     second.log())
                counts = publisher(second)
                self.assertEqual((counts["ticks"], counts["feed_malformed"]), (2000, 0))
            reap(tap)

    def test_a_half_line_at_the_end_of_standard_input_is_taken_if_it_is_whole(self):
        theirs, ours = os.pipe()
        with Server("--feed", "ingest:stdin", stdin=theirs) as server:
            os.close(theirs)
            os.write(ours, f"{trade('A')}\n{trade('A')}".encode())
            os.close(ours)
            self.assertIsNotNone(server.wait_for_line("standard input has ended"), server.log())
            self.assertEqual(publisher(server)["ticks"], 2)

    def test_a_writer_of_standard_input_does_not_wait_for_a_feed_that_has_ended(self):
        theirs, ours = os.pipe()
        self.addCleanup(os.close, ours)
        os.set_blocking(ours, False)

        def has_ended():
            try:
                os.write(ours, b"x" * 65536)  # a line that has no end
            except BlockingIOError:
                return False
            except BrokenPipeError:
                return True
            return False

        with Server("--feed", "ingest:stdin", stdin=theirs) as server:
            os.close(theirs)
            self.assertTrue(wait_until(has_ended, 30), server.log())
            self.assertEqual(server.admin("/health")[0], 200)

    def test_a_stop_is_reported_and_leaves_no_file(self):
        with Server("--feed", f"ingest:unix={self.path}") as server:
            producer = self.producer(self.path, name="desk", epoch=1)
            producer.send(trade("A", 1))
            producer.wait_for_ack(1)
            server.stop()
            self.assertEqual(producer.wait_for_error(), ("stopping", True))
            self.assertFalse(self.path.exists())

    def test_a_socket_of_a_killed_server_is_replaced(self):
        with Server("--feed", f"ingest:unix={self.path}") as server:
            server.kill()
        self.assertTrue(self.path.exists())
        with Server("--feed", f"ingest:unix={self.path}"):
            self.producer(self.path, name="desk", epoch=1).next("WELCOME")

    def test_a_start_that_cannot_be_names_what_to_do(self):
        with Server("--feed", f"ingest:unix={self.path}"):
            self.path.with_name("file").touch()
            for spec, words in ((f"unix={self.path}", "another program listens there"),
                                (f"unix={self.path}.d/x", "its directory must exist"),
                                (f"unix={self.path.with_name('file')}", "is not a socket"),
                                (f"unix=/tmp/{'x' * 200}", "is too long"),
                                ("tcp=0.0.0.0:0", "set up tokens, or add open=yes"),
                                ("tcp=9000", "is not HOST:PORT"),
                                ("open=yes", "Give unix=PATH, tcp=HOST:PORT or stdin")):
                code, text = refuse(self, *PORTS, "--feed", f"ingest:{spec}")
                self.assertIn(words, text)
            code, text = refuse(self, *PORTS, "--feed", "ingest:stdin", "--feed", "replay:path=-")
            self.assertIn("another feed reads it already", text)


if __name__ == "__main__":
    unittest.main()
