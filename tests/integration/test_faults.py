"""Clients that misbehave, next to a healthy one that must not notice.

The slow faults (deadlines of 5 and 10 s) run at the same time, in one test class.
"""
import base64
import concurrent.futures
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import unittest

from clients import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, HealthyClient, RawClient,
                     frame, request, subscribe_message)
from server import Server, ServerTestCase, in_full, not_by_wss, reap, run, spawn, wait_until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
LATE_SECONDS = 7  # after a deadline of the server, on a machine that stands still now and then


class FaultTestCase(ServerTestCase):
    """One server, one healthy client. After every test the healthy one is asked how it was."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.healthy = HealthyClient(cls.server.url())
        cls.healthy.__enter__()
        cls.addClassCleanup(cls.healthy.__exit__)

    def tearDown(self):
        self.healthy.check(self)

    def client(self, **options):
        client = RawClient(self.server.port, **options)
        self.addCleanup(client.close)
        return client


class BadHandshakes(FaultTestCase):
    def answer_to(self, data):
        """(client, status, body) of what the server says to these bytes."""
        client = self.client(upgrade=False)
        try:
            client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It had heard enough.
        status = client.read_head()
        body = client.read_body()
        self.assertNotEqual(status, 101)
        self.assertEqual(client.header("Connection"), "close")
        self.assertGreater(len(body.strip()), 5, "one line says why")
        self.assertEqual(body.count("\n"), 1)
        return client, status, body

    def test_a_request_line_of_1_mb_is_414(self):
        self.assertEqual(self.answer_to(request("/" + "a" * (1 << 20)))[1], 414)

    def test_a_flood_of_headers_is_431(self):
        flood = "".join(f"X-Header-{i}: {i}\r\n" for i in range(200))
        self.assertEqual(self.answer_to(request(extra=flood))[1], 431)

    def test_a_header_of_1_mb_is_431(self):
        self.assertEqual(self.answer_to(request(extra=f"X: {'x' * (1 << 20)}\r\n"))[1], 431)

    def test_a_missing_key_is_400_and_says_what_to_send(self):
        _, status, body = self.answer_to(request(key=None))
        self.assertEqual(status, 400)
        self.assertIn("Sec-WebSocket-Key", body)

    def test_a_key_that_is_not_16_bytes_of_base64_is_400(self):
        for key in ("test", "", KEY[:-1], KEY + "=", "dGhlIHNhbXBsZSBub25jZR==", "a" * 24):
            with self.subTest(key):
                _, status, body = self.answer_to(request(key=key))
                self.assertEqual(status, 400)
                self.assertIn("Sec-WebSocket-Key", body)

    def test_another_version_is_426_and_names_the_right_one(self):
        for version in ("8", "0", "14", "013", None):
            with self.subTest(version):
                client, status, _ = self.answer_to(request(version=version))
                self.assertEqual(status, 426)
                self.assertEqual(client.header("Sec-WebSocket-Version"), "13")

    def test_another_method_is_405_and_names_get(self):
        for method in ("POST", "PUT", "OPTIONS", "get"):
            with self.subTest(method):
                client, status, _ = self.answer_to(request(method=method))
                self.assertEqual(status, 405)
                self.assertEqual(client.header("Allow"), "GET, HEAD")

    def test_another_path_is_404(self):
        for path in ("/nothing", "/x@quote", "//", "/v10", "/v10/x@quote", "/ws%2Fx@quote"):
            with self.subTest(path):
                self.assertEqual(self.answer_to(request(path))[1], 404)

    def test_a_request_without_upgrade_is_400(self):
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     request().replace(b"Host: localhost\r\n", b""),
                     request().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
                     request().replace(b"HTTP/1.1", b"HTTP/1.0")):
            with self.subTest(data[:40]):
                self.assertEqual(self.answer_to(data)[1], 400)

    def test_what_is_not_http_is_400(self):
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # TLS
                     b"hello\r\n\r\n", b"\0" * 100, b"GET /\r\n\r\n"):
            with self.subTest(data[:10]):
                self.assertEqual(self.answer_to(data)[1], 400)

    def test_a_refused_client_that_goes_on_sending_still_reads_the_reason(self):
        client = self.client(upgrade=False)
        client.send(request("/nothing"))
        try:
            for _ in range(20):
                client.send(b"x" * 1000)
                time.sleep(0.005)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(client.read_head(), 404)

    def test_curl_gets_101_and_the_welcome(self):
        said = b""
        with spawn(["curl", "-i", "-N", "-sS", "--max-time", "30", "-H", "Connection: Upgrade",
                    "-H", "Upgrade: websocket", "-H", f"Sec-WebSocket-Key: {KEY}", "-H",
                    "Sec-WebSocket-Version: 13", "-o", "-", "--http1.1",
                    self.server.http()], stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE) as curl:
            while b'"WELCOME"' not in said and (piece := os.read(curl.stdout.fileno(), 65536)):
                said += piece
            reap(curl)
            errors = curl.stderr.read()
        self.assertTrue(said.startswith(b"HTTP/1.1 101 "), said + errors)
        self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", said)
        self.assertIn(b'"WELCOME"', said)

    def test_curl_with_the_key_test_is_told_400_and_why(self):
        result = run(["curl", "-i", "-N", "-sS", "--max-time", "10", "-H", "Connection: Upgrade",
                      "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Key: test", "-H",
                      "Sec-WebSocket-Version: 13", self.server.http()])
        self.assertTrue(result.stdout.startswith("HTTP/1.1 400 "), result.stdout + result.stderr)
        self.assertIn("Sec-WebSocket-Key", result.stdout)

    def test_three_hundred_refusals_leave_nothing_open(self):
        for _ in range(300):
            client = RawClient(self.server.port, upgrade=False)
            client.send(request("/nothing"))
            client.read_head()
            client.close()
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 1),
                        self.server.stats()["connections"])


def fragment(opcode, payload=b"", **options):
    return frame(opcode, payload, fin=False, **options)


class BadFrames(FaultTestCase):
    def assert_closed_with(self, code, data):
        client = self.client()
        client.next_message(("WELCOME",))
        client.subscribe(["*"], ["quote"])
        client.send(data)
        got, reason = client.wait_for_close()
        self.assertEqual(got, code, reason)
        self.assertTrue(reason, "a reason goes with the code")
        try:
            client.send(frame(CLOSE, struct.pack(">H", code)))
        except (BrokenPipeError, ConnectionResetError):
            pass  # It waits no longer than 2 s for that.
        client.wait_for_end()

    def assert_all_closed_with(self, code, cases):
        for name, data in cases.items():
            with self.subTest(name):
                self.assert_closed_with(code, data)

    def test_an_unmasked_frame_is_1002(self):
        self.assert_all_closed_with(1002, {
            "text": frame(TEXT, '{"type":"LIST"}', mask=None), "ping": frame(PING, b"x", mask=None),
            "empty": frame(TEXT, b"", mask=None)})

    def test_a_reserved_bit_is_1002(self):
        self.assert_all_closed_with(1002, {
            f"rsv {bits:03b}": frame(TEXT, "{}", reserved=bits) for bits in (1, 2, 4, 7)})

    def test_a_reserved_opcode_is_1002(self):
        self.assert_all_closed_with(1002, {
            f"opcode {opcode:#x}": frame(opcode, b"x") for opcode in (3, 7, 0xb, 0xf)})

    def test_a_bad_control_frame_is_1002(self):
        self.assert_all_closed_with(1002, {
            "long ping": frame(PING, b"x" * 126), "fragmented ping": fragment(PING, b"x"),
            "fragmented close": fragment(CLOSE, b"\x03\xe8"),
            "long close": frame(CLOSE, b"\x03\xe8" + b"x" * 124)})

    def test_a_bad_close_payload_is_1002_or_1007(self):
        self.assert_all_closed_with(1002, {
            "one byte": frame(CLOSE, b"\x03"), "code 1005": frame(CLOSE, struct.pack(">H", 1005)),
            "code 999": frame(CLOSE, struct.pack(">H", 999)),
            "code 1006": frame(CLOSE, struct.pack(">H", 1006))})
        self.assert_closed_with(1007, frame(CLOSE, b"\x03\xe8\xff"))

    def test_fragments_out_of_order_are_1002(self):
        self.assert_all_closed_with(1002, {
            "continuation of nothing": frame(CONTINUATION, b"x"),
            "text within text": fragment(TEXT, b"{") + frame(TEXT, b"}")})

    def test_a_length_that_is_not_minimal_is_1002(self):
        self.assert_all_closed_with(1002, {
            "16 bits for 5": b"\x81\xfe\x00\x05\0\0\0\0hello",
            "64 bits for 5": b"\x81\xff" + struct.pack(">Q", 5) + b"\0\0\0\0hello",
            "sign bit": b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"\0\0\0\0"})

    def test_a_message_over_16_kib_is_1009(self):
        self.assert_all_closed_with(1009, {
            "one frame": frame(TEXT, b"x" * 16385),
            "header alone": frame(TEXT, b"", length=16385),
            "2^62 bytes": frame(BINARY, b"", length=1 << 62),
            "in fragments": fragment(TEXT, b"x" * 16000) + frame(CONTINUATION, b"x" * 400)})

    def test_a_message_of_exactly_16_kib_is_understood(self):
        client = self.client()
        text = '{"type":"PING","pad":"'
        text += "x" * (16384 - len(text) - 2) + '"}'
        client.send_text(text)
        client.next_message(("PONG",))

    def test_bad_utf_8_is_1007(self):
        self.assert_all_closed_with(1007, {
            "a stray byte": frame(TEXT, b'{"type":"\xff"}'),
            "too long a form": frame(TEXT, b"\xc0\xaf"),
            "a surrogate": frame(TEXT, b"\xed\xa0\x80"), "cut off": frame(TEXT, b"\xe2\x82"),
            "in fragments": fragment(TEXT, b"\xe2\x82") + frame(CONTINUATION, b"\x28")})

    def test_a_character_split_between_fragments_is_understood(self):
        client = self.client()
        text = '{"type":"PING","data":{"t0":"€"}}'.encode()
        cut = text.index("€".encode()) + 1
        client.send(fragment(TEXT, text[:cut]) + frame(PING, b"between") +
                    frame(CONTINUATION, text[cut:]))
        self.assertEqual(client.next_message(("PONG",))["data"]["t0"], "€")

    def test_pings_are_answered_with_their_payload(self):
        client = self.client()
        for payload in (b"", b"x", b"y" * 125):
            client.send(frame(PING, payload))
            while True:
                opcode, got = client.next_frame()
                if opcode == PONG:
                    self.assertEqual(got, payload)
                    break

    def test_a_close_is_answered_with_a_close_and_the_end(self):
        for payload, code in ((struct.pack(">H", 1000), 1000), (b"", None),
                              (struct.pack(">H", 4321) + b"bye", 4321)):
            with self.subTest(payload):
                client = self.client()
                client.send(frame(CLOSE, payload))
                got, _ = client.wait_for_close()
                self.assertIn(got, (code,) if code else (1000, 1005))
                self.assertIsNone(client.next_frame())

    def test_a_frame_in_the_same_packet_as_the_request_is_answered(self):
        client = self.client(upgrade=False)
        client.send(request(key=KEY) + frame(TEXT, '{"type":"PING","id":5}'))
        self.assertEqual(client.read_head(), 101)
        self.assertEqual(client.next_message(("PONG",))["id"], 5)

    def test_a_request_that_comes_byte_by_byte_is_answered(self):
        client = self.client(upgrade=False)
        for byte in request(key=KEY) + frame(TEXT, '{"type":"PING","id":6}'):
            client.send(bytes([byte]))
        self.assertEqual(client.read_head(), 101)
        self.assertEqual(client.next_message(("PONG",))["id"], 6)


def seconds_until_the_end(client, began):
    """(seconds, the code of the Close frame). began: read before what the server's deadline counts from."""
    code = None
    while True:
        got = client.next_frame() if client.head else client.socket.recv(4096)
        if not got:
            return time.monotonic() - began, code
        if client.head and got[0] == CLOSE:
            code = struct.unpack(">H", got[1][:2])[0]


class SlowFaults(FaultTestCase):
    """All scenarios start together; each test waits for its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pool = concurrent.futures.ThreadPoolExecutor(20)
        cls.addClassCleanup(cls.pool.shutdown)
        names = [name for name in dir(cls) if name.startswith("run_")]
        cls.results = {name: cls.pool.submit(getattr(cls, name)) for name in names}

    def result(self, name):
        return self.results["run_" + name].result(60)

    @classmethod
    def run_half_a_request(cls):
        began = time.monotonic()
        with RawClient(cls.server.port, upgrade=False, timeout=30) as client:
            client.send(request()[:50])
            return seconds_until_the_end(client, began)

    def test_half_a_request_is_closed_after_5_seconds(self):
        seconds, _ = self.result("half_a_request")
        self.assertGreater(seconds, 4)
        self.assertLess(seconds, LATE_SECONDS + 5)

    @classmethod
    def run_no_request(cls):
        began = time.monotonic()
        with RawClient(cls.server.port, upgrade=False, timeout=30) as client:
            return seconds_until_the_end(client, began)

    def test_no_request_at_all_is_closed_after_5_seconds(self):
        seconds, _ = self.result("no_request")
        self.assertGreater(seconds, 4)
        self.assertLess(seconds, LATE_SECONDS + 5)

    @classmethod
    def run_trickle(cls):
        begin = time.monotonic()
        with RawClient(cls.server.port, upgrade=False, timeout=0.3) as client:
            for byte in request(extra="X-Slow: " + "s" * 1000 + "\r\n"):
                try:
                    client.send(bytes([byte]))
                    if client.socket.recv(100) == b"":
                        break
                except TimeoutError:
                    pass
                except OSError:
                    break
                if time.monotonic() - begin > 30:
                    break
        return time.monotonic() - begin

    def test_a_request_that_trickles_is_closed_after_5_seconds(self):
        self.assertLess(self.result("trickle"), LATE_SECONDS + 5)

    @classmethod
    def run_half_a_frame(cls):
        with RawClient(cls.server.port, timeout=30) as client:
            client.subscribe(["*"], ["quote"])
            began = time.monotonic()
            client.send(frame(TEXT, b"x" * 100)[:50])
            return seconds_until_the_end(client, began)

    def test_half_a_frame_is_closed_after_10_seconds_and_told_why(self):
        seconds, code = self.result("half_a_frame")
        self.assertGreater(seconds, 9)
        self.assertLess(seconds, LATE_SECONDS + 11)
        self.assertEqual(code, 4005)

    @classmethod
    def run_half_a_message(cls):
        with RawClient(cls.server.port, timeout=30) as client:
            began = time.monotonic()
            client.send(fragment(TEXT, b'{"type":'))
            return seconds_until_the_end(client, began)

    def test_half_a_fragmented_message_is_closed_after_10_seconds(self):
        seconds, code = self.result("half_a_message")
        self.assertGreater(seconds, 9)
        self.assertLess(seconds, LATE_SECONDS + 11)
        self.assertEqual(code, 4005)

    @classmethod
    def run_always_split(cls):
        """Whole messages, one after the other, but every packet ends in the middle of one."""
        answers = 0
        data = frame(TEXT, '{"type":"PING","id":1}')
        half = len(data) // 2
        deadline = time.monotonic() + 13
        with RawClient(cls.server.port, timeout=30) as client:
            client.send(data[:half])
            try:
                while time.monotonic() < deadline:
                    time.sleep(0.2)
                    client.send(data[half:] + data[:half])
                    client.next_message(("PONG",))
                    answers += 1
            except (ConnectionError, OSError) as error:
                return answers, str(error)
        return answers, None

    @in_full
    def test_a_client_whose_packets_end_in_the_middle_of_messages_stays(self):
        answers, error = self.result("always_split")
        self.assertIsNone(error, f"after {answers} complete messages, none of them late")

    @classmethod
    def run_never_answers_a_close(cls):
        with RawClient(cls.server.port, timeout=30) as client:
            began = time.monotonic()
            client.send(frame(TEXT, b"x", reserved=1))
            return seconds_until_the_end(client, began)

    def test_a_client_that_does_not_answer_a_close_is_cut_off(self):
        seconds, code = self.result("never_answers_a_close")
        self.assertEqual(code, 1002)
        self.assertLess(seconds, LATE_SECONDS + 2)


class RudeClients(FaultTestCase):
    options = ("--feed", "sim:symbols=20,rate=2000,types=quote+trade+bar+depth",
               "--send-buffer-bytes", "64k")

    def test_a_client_that_never_reads_is_alone_with_it(self):
        client = self.client(receive_buffer=4096)
        client.send_text(subscribe_message(["*"], ["quote", "trade", "bar", "depth"]))
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["blocked"] == 1))
        self.healthy.check(self, frames=1000, seconds=20)
        client.close()

    def test_clients_that_reset_in_the_middle_are_forgotten(self):
        for i in range(50):
            client = RawClient(self.server.port, receive_buffer=4096)
            client.send_text(subscribe_message(["*"], ["quote", "trade"]))
            if i % 2:
                client.next_frame()
            client.reset()
        for _ in range(20):  # in the middle of the handshake, and of a frame
            client = RawClient(self.server.port, upgrade=False)
            client.send(request()[:40])
            client.reset()
            client = RawClient(self.server.port)
            client.send(frame(TEXT, b"x" * 1000)[:500])
            client.reset()
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 1),
                        self.server.stats()["connections"])

    def test_three_hundred_half_frames_do_not_keep_others_from_being_heard(self):
        # More than the 256 blocks that a core has for half messages: the oldest make room.
        clients = [self.client() for _ in range(300)]
        for client in clients:
            client.send(frame(TEXT, b"x" * 100)[:50])
        other = self.client()
        other.send(fragment(TEXT, b'{"type":"PI'))  # needs a block itself
        time.sleep(0.05)
        other.send(frame(CONTINUATION, b'NG","id":9}'))
        self.assertEqual(other.next_message(("PONG",))["id"], 9)

    @not_by_wss
    def test_a_client_that_shuts_its_sending_side_is_let_go(self):
        client = self.client()
        client.subscribe(["*"], ["quote"])
        client.socket.shutdown(socket.SHUT_WR)
        client.wait_for_end()

    def test_a_flood_of_messages_is_answered_or_slowed_down_but_not_lost(self):
        client = self.client(timeout=30)
        client.next_message(("WELCOME",))
        sender = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(sender.shutdown)
        data = b"".join(frame(TEXT, f'{{"type":"PING","id":{i}}}') for i in range(20000))
        future = sender.submit(client.socket.sendall, data)
        time.sleep(0.5)
        for i in range(20000):
            self.assertEqual(client.next_message(("PONG",))["id"], i)
        future.result(10)

    def test_a_flood_of_messages_whose_answers_nobody_reads_is_stopped(self):
        client = self.client(receive_buffer=4096)
        data = b"".join(frame(TEXT, '{"type":"LIST"}') for _ in range(10000))
        client.subscribe(["*"], ["quote"])
        client.socket.settimeout(1)
        try:
            for _ in range(200):
                client.send(data)
            self.fail("34 MB were taken although nothing was read")
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        self.healthy.check(self, frames=200)

    def test_a_flood_of_pings_whose_pongs_nobody_reads_is_stopped(self):
        client = self.client(receive_buffer=4096)
        data = frame(PING, b"p" * 125) * 10000
        client.socket.settimeout(1)
        try:
            for _ in range(200):
                client.send(data)
            self.fail("260 MB were taken although nothing was read")
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        self.healthy.check(self, frames=200)

    def test_garbage_is_answered_with_an_error_and_the_connection_stays(self):
        client = self.client()
        client.next_message(("WELCOME",))
        for text in ("", "x", "{", "[]", "1", "null", '"SUBSCRIBE"', "[" * 10000, "{}" * 5000,
                     '{"type":1}', '{"type":"SUBSCRIBE"}', '{"type":"SUBSCRIBE","data":[]}',
                     '{"a":1,"a":2}', '{"type":"\\u0000"}', "\u20ac" * 5000):
            answer = client.ask(text, ("ERROR",))
            self.assertIn(answer["data"]["code"], (104, 107), text[:50])
            self.assertFalse(answer["data"]["retry"])
        client.send(frame(BINARY, b"\x00\x01"))
        self.assertEqual(client.next_message(("ERROR",))["data"]["code"], 107)
        client.ask({"type": "PING"}, ("PONG",))


class ManySubscriptions(FaultTestCase):
    options = ("--feed", "sim:symbols=10000,rate=2000", "--max-subscriptions", "20000")
    SYMBOLS = ["000001.SZ", "600519.SH", "300750.SZ", "AAPL.US", "MSFT.US", "NVDA.US"] + \
        [f"SIM{i:05}.SIM" for i in range(6, 10000)]

    @classmethod
    def setUpClass(cls):
        ServerTestCase.setUpClass.__func__(cls)
        cls.healthy = HealthyClient(cls.server.url(), types=("quote",))
        cls.healthy.__enter__()
        cls.addClassCleanup(cls.healthy.__exit__)

    @staticmethod
    def compact(symbols, **data):
        return json.dumps({"type": "SUBSCRIBE", "data": {
            "symbols": symbols, "data_types": ["quote"], **data}}, separators=(",", ":"))

    def test_a_client_that_subscribes_to_10_000_symbols_gets_them_all(self):
        client = self.client(timeout=60)
        channels = set()
        for at in range(0, 10000, 1000):
            message = self.compact(self.SYMBOLS[at:at + 1000])
            self.assertLessEqual(len(message), 16384)
            answer = client.ask(message, ("SUBSCRIBED",))["data"]
            self.assertEqual(answer["failed"], [])
            channels.update(item["ch"] for item in answer["ok"])
        self.assertEqual(len(channels), 10000)
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 10000 and time.monotonic() < deadline:
            seen.add(client.next_message(("quote",))["ch"])
        self.assertEqual(len(seen), 10000)

    def test_subscribing_twice_is_no_error_and_frames_come_once(self):
        client = self.client()
        first = client.subscribe(self.SYMBOLS[:50], ["quote"])["data"]
        again = client.subscribe(self.SYMBOLS[:50] + self.SYMBOLS[:50], ["quote"])["data"]
        self.assertEqual([item["ch"] for item in again["ok"]],
                         [item["ch"] for item in first["ok"]] * 2)
        self.assertEqual(again["failed"], [])
        self.assertEqual(client.ask({"type": "LIST"}, ("SUBSCRIPTIONS",))["data"]["count"], 50)
        due = {}
        for _ in range(25):
            message = client.next_message(("quote",))
            if message["ch"] in due:
                self.assertEqual(message["seq"], due[message["ch"]])
            due[message["ch"]] = message["seq"] + 1

    def test_1001_symbols_in_a_message_are_refused_as_a_whole(self):
        client = self.client()
        short = [f"X{i}" for i in range(1001)]
        answer = client.ask(self.compact(short), ("ERROR",))["data"]
        self.assertEqual(answer["code"], 106)
        self.assertEqual(answer["field"], "data.symbols")
        answer = client.ask(self.compact(short[:1000]), ("SUBSCRIBED",))["data"]
        self.assertEqual((len(answer["ok"]), len(answer["failed"])), (0, 1000))

    def test_subscribing_and_leaving_for_a_while_leaves_nothing_behind(self):
        def only_the_healthy_client_is_there():
            connections = self.server.stats()["connections"]
            return (connections["open"], connections["subscriptions"]) == (1, 1)

        for _ in range(20):
            with RawClient(self.server.port) as client:
                client.ask(self.compact(self.SYMBOLS[:1000]), ("SUBSCRIBED",))
        self.assertTrue(wait_until(only_the_healthy_client_is_there),
                        self.server.stats()["connections"])


class FullServers(unittest.TestCase):
    def test_over_max_connections_one_is_told_503_and_when_to_come_again(self):
        with Server("--max-connections", "3", "--feed", "sim:types=quote+trade+bar+depth") as server:
            with HealthyClient(server.url()) as healthy:
                guests = [RawClient(server.port) for _ in range(2)]
                refused = RawClient(server.port, upgrade=False)
                refused.send(request())
                self.assertEqual(refused.read_head(), 503)
                self.assertGreater(int(refused.header("Retry-After")), 0)
                self.assertIn("too many connections", refused.read_body())
                refused.close()
                healthy.check(self)
                guests.pop().close()
                self.assertTrue(wait_until(
                    lambda: server.stats()["connections"]["open"] == 2))
                guests.append(RawClient(server.port))
                self.assertEqual(server.stats()["connections"]["refused_busy"], 1)
                healthy.check(self)
                for guest in guests:
                    guest.close()

    def test_far_over_max_connections_the_clients_inside_are_served_and_later_others_get_in(self):
        with Server("--max-connections", "3", "--feed", "sim:types=quote+trade+bar+depth") as server:
            with HealthyClient(server.url()) as healthy:
                silent = [RawClient(server.port, upgrade=False) for _ in range(40)]
                # Who says nothing holds no place.
                guest = RawClient(server.port)
                guest.next_message(("WELCOME",))
                guest.close()
                silent += [RawClient(server.port, upgrade=False) for _ in range(40)]
                healthy.check(self)
                for client in silent:
                    client.close()
                self.assertTrue(wait_until(
                    lambda: server.stats()["connections"]["open"] == 1), server.stats())

                def enter():
                    try:
                        return RawClient(server.port, timeout=20)
                    except ConnectionError:  # The silent ones count until their end is noticed.
                        return None

                late = wait_until(enter)
                late.next_message(("WELCOME",))
                healthy.check(self)
                late.close()

    @not_by_wss
    def test_out_of_descriptors_clients_are_refused_at_once_and_get_in_when_others_leave(self):
        """S91: none of them waits unaccepted, whether it asks or not."""
        if shutil.which("prlimit") is None:
            self.skipTest("SKIPPED: prlimit is not installed")
        with Server("--feed", "sim:types=quote+trade+bar+depth",
                    prefix=("prlimit", "--nofile=72:72")) as server:
            self.assertIsNotNone(server.wait_for_line("limit of open files is 72"))
            with HealthyClient(server.url()) as healthy:
                clients = [RawClient(server.port, upgrade=False, timeout=20) for _ in range(90)]
                statuses = []
                for client in clients:
                    try:
                        client.send(request())
                        statuses.append(client.read_head())
                    except ConnectionError:  # It was answered before it asked.
                        statuses.append(503)
                inside = [client for client, status in zip(clients, statuses) if status == 101]
                self.assertEqual(set(statuses), {101, 503})
                self.assertGreater(len(inside), 10)
                self.assertIsNotNone(server.wait_for_line("protection descriptors begins", 20))
                healthy.check(self, frames=500)
                for client in clients:
                    client.close()

                def enter():
                    try:
                        return RawClient(server.port, timeout=20)
                    except ConnectionError:
                        return None
                wait_until(enter, 20).close()
                healthy.check(self)
                self.assertTrue(wait_until(lambda: server.admin("/readyz")[0] == 200, 20))
                self.assertNotIn("cannot accept", server.log())


if __name__ == "__main__":
    unittest.main()
