"""ringcast-bench --echo against ringcast-echo, Python's websockets, and servers that are no good echo."""
import contextlib
import re
import subprocess
import time
import unittest

import websockets

from server import in_full, program, reap, spawn
from test_bench import NOT_DELIVERED, VALID, BenchTestCase, PythonServer, bench

SHORT = ("--echo", "-c", 4, "-d", "600ms", "-w", "500ms", "-R", 400)


class EchoServer(PythonServer):
    """answer(number, message) gives the texts that the message numbered so, of its connection, is answered with."""

    def __init__(self, answer=lambda _number, message: [message], greeting=None):
        self.answer, self.greeting = answer, greeting
        self.stall_seconds = 0

    async def on_client(self, client):
        number = 0
        with contextlib.suppress(websockets.ConnectionClosed):
            if self.greeting:
                await client.send(self.greeting)
            async for message in client:
                number += 1
                if number == 80 and self.stall_seconds:
                    time.sleep(self.stall_seconds)  # nobody is served meanwhile
                    self.stall_seconds = 0
                for text in self.answer(number, message):
                    await client.send(text)


@in_full
class Echo(BenchTestCase):
    def test_ringcast_echo_returns_all(self):
        echo = spawn([program("ringcast-echo"), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     text=True)
        try:
            port = re.search(r":(\d+)", echo.stdout.readline())[1]
            for size in (16, 64, 16384):
                report = self.report(*SHORT, "-t", 2, "--payload-bytes", size, f"ws://127.0.0.1:{port}/")
                self.assertEqual((report["received"], report["due"]), (240, 240))
                self.assertEqual(report["latency_ns"]["count"], 240)
                self.assertEqual(report["send_late_ns"]["count"], 240)
                self.assertEqual((report["echo_rate"], report["payload_bytes"]), (400, size))
                self.assertEqual((report["each_min"], report["each_max"]), (60, 60))
                self.assertLess(report["send_late_ns"]["p50"], report["latency_ns"]["p50"])
                self.assertEqual(report["bytes_per_frame"], size + (2 if size < 126 else 4))
        finally:
            echo.stdout.close()
            reap(echo)

    def test_the_report_shows_round_trips(self):
        with EchoServer(greeting="welcome") as server:
            result = bench(*SHORT, server.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        for line in (r"round_trip( +[\d.]+[num]?s){8}", r"send_late( +[\d.]+[num]?s){8}",
                     r"delivered   240 of 240 \(100\.0000 %\)", "skipped     4 messages before the first tick .*"):
            self.assertRegex(result.stdout, rf"\n  {line}\n")
        self.assertNotIn("\n  latency ", result.stdout)

    def bad(self, answer, **options):
        with EchoServer(answer, **options) as server:
            return self.report(*SHORT, server.url(), code=NOT_DELIVERED)

    def test_a_message_that_is_lost_is_missing(self):
        report = self.bad(lambda number, message: [] if number == 80 else [message])
        self.assertEqual((report["received"], report["due"], report["readers"]["holes"]), (236, 240, 4))

    def test_a_message_that_comes_twice_is_a_duplicate(self):
        report = self.bad(lambda number, message: [message] * (2 if number == 80 else 1))
        self.assertEqual((report["received"], report["readers"]["duplicates"]), (240, 4))

    def test_other_bytes_are_malformed(self):
        report = self.bad(lambda number, message: [message[:-1] + "!" if number == 80 else message])
        self.assertEqual((report["malformed"], report["received"]), (4, 236))

    def test_a_server_that_does_not_echo_is_named(self):
        with EchoServer(lambda _number, _message: ["what?"]) as server:
            result = bench(*SHORT, "--duration", "300ms", server.url())
        self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
        self.assertIn("\n  no tick     what?\n  expected    a message that the same connection had sent; is it an "
                      "echo server?\n", result.stdout)

    def test_a_stall_shows_in_all_that_were_due_meanwhile(self):
        with EchoServer() as server:
            server.stall_seconds = 0.3
            report = self.report(*SHORT, server.url())
        # Of 600 ms 300 are stalled: a fourth of all messages waits for 150 ms and more.
        self.assertEqual(report["received"], report["due"])
        self.assertGreater(report["latency_ns"]["p90"], 150e6)
        self.assertGreater(report["latency_ns"]["max"], 290e6)

    def test_what_does_not_go_together_is_refused(self):
        for words, said in ((("--rate", 5), "--rate and --payload-bytes need --echo"),
                            (("--payload-bytes", 64), "--rate and --payload-bytes need --echo"),
                            (("--echo", "--send", "x"), "--echo has messages of its own"),
                            (("--echo", "--protocol", "nats"), "--echo has messages of its own"),
                            (("--echo", "-c", 10, "--stalled", 1), "--echo has messages of its own"),
                            (("--echo", "--seq-pattern", "x"), "--echo has messages of its own"),
                            (("--echo", "-c", 100, "-R", 10, "-d", "1s"), "--rate must have a message for each"),
                            (("--echo", "--payload-bytes", 15), "'15' is not a number from 16 to 16384"),
                            (("--echo", "-y", "quote"), "--types need --protocol ringcast")):
            result = bench(*words, "ws://127.0.0.1:9/")
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(said, result.stderr)


if __name__ == "__main__":
    unittest.main()
