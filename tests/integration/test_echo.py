"""ringcast-echo by sections of the Autobahn suite: what its cases send, and what must come back.

scripts/autobahn.sh runs the suite itself. Framing is clients.py's, compression is Python's zlib.
"""
import itertools
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import unittest
import zlib

from clients import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, close_of, frame,
                     request)
from server import program, reap, run, spawn

MESSAGE_BYTES_MAX = 16 << 20
SEED = 20260101
RSV1 = 4  # as frame()'s reserved
TAIL = b"\x00\x00\xff\xff"


def fragment(opcode, payload=b"", **options):
    return frame(opcode, payload, fin=False, **options)


def pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)] or [b""]


def fragmented(opcode, payload, size, reserved=0):
    """The frames of a message in fragments of a size."""
    parts = pieces(payload, size)
    return b"".join(frame(opcode if i == 0 else CONTINUATION, part, fin=i == len(parts) - 1,
                          reserved=reserved if i == 0 else 0, mask=b"\x11\x22\x33\x44")
                    for i, part in enumerate(parts))


class ServerFrames:
    """Whole frames of a server as (first byte, payload); only what RFC 6455 allows it."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        frames = []
        while len(self.buffer) >= 2:
            length, head = self.buffer[1], 2
            assert length < 128, "a masked frame"
            if length == 126 and len(self.buffer) >= 4:
                length, head = struct.unpack_from(">H", self.buffer, 2)[0], 4
                assert length > 125, "a length that is not minimal"
            elif length == 127 and len(self.buffer) >= 10:
                length, head = struct.unpack_from(">Q", self.buffer, 2)[0], 10
                assert length > 65535, "a length that is not minimal"
            elif length > 125:
                break
            if len(self.buffer) < head + length:
                break
            frames.append((self.buffer[0], bytes(self.buffer[head:head + length])))
            del self.buffer[:head + length]
        return frames


class EchoTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = spawn([program("ringcast-echo"), "--port", "0"], stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
        cls.addClassCleanup(cls.stop)
        line = cls.process.stderr.readline().decode()
        cls.port = int(re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", line)[1])

    @classmethod
    def stop(cls):
        try:
            assert cls.process.poll() is None, f"it ended by itself: {cls.process.returncode}"
            cls.process.send_signal(signal.SIGTERM)
            assert cls.process.wait(10) == 0
            assert cls.process.stderr.read() == b""
        finally:
            reap(cls.process)
            cls.process.stderr.close()

    def client(self, extra="", **options):
        client = RawClient(self.port, extra=extra, **options)
        client.parser = ServerFrames()
        client.frames.clear()  # Nothing comes unasked.
        self.addCleanup(client.close)
        return client

    def exchange(self, client, data, *expected):
        """Sends these bytes while reading; the frames that come are the expected ones."""
        sender = None
        if len(data) > 65536:
            sender = threading.Thread(target=client.send, args=(data,), daemon=True)
            sender.start()
        else:
            client.send(data)
        for opcode, payload in expected:
            got = client.next_frame()
            self.assertIsNotNone(got, "the server hung up")
            self.assertEqual(got[0], 0x80 | opcode)
            self.assertTrue(got[1] == payload, f"{len(got[1])} bytes, not {len(payload)}")
        if sender is not None:
            sender.join(10)

    def echo(self, *expected, data=b"", client=None):
        self.exchange(client or self.client(), data, *expected)

    def assert_fails(self, code, data, *before):
        """What may come before the fault comes, then Close with the code, then the end."""
        client = self.client()
        self.exchange(client, data, *before)
        first, payload = client.next_frame()
        self.assertEqual((first, close_of(payload)[0]), (0x80 | CLOSE, code))
        client.send(frame(CLOSE, struct.pack(">H", code)))
        self.assertIsNone(client.next_frame())

    def assert_all_fail(self, code, cases):
        for data in cases:
            with self.subTest(data[:40]):
                self.assert_fails(code, data)


class Framing(EchoTestCase):
    """Sections 1 to 7 and 10."""

    def test_1_messages_of_every_length_form(self):
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
            for opcode in (TEXT, BINARY):
                payload = b"*" * size if opcode == TEXT else os.urandom(size)
                data = frame(opcode, payload)
                self.echo((opcode, payload), data=data)
                if size in (127, 65536):  # in chops, too
                    client = self.client()
                    for part in pieces(data, 997 if size > 1000 else 1):
                        client.send(part)
                    self.exchange(client, b"", (opcode, payload))

    def test_2_pings_are_answered_and_pongs_are_not(self):
        for payload in (b"", b"Hello, world!", b"\0\xff\xfe\xfd\xfc\xfb\0\xff", b"\xfe" * 125):
            self.echo((PONG, payload), data=frame(PING, payload))
        self.assert_fails(1002, frame(PING, b"\xfe" * 126))
        self.echo((PONG, b"p"), data=frame(PONG, b"unsolicited") + frame(PING, b"p"))
        ten = [b"ping-%d" % i for i in range(10)]
        self.echo(*((PONG, ping) for ping in ten), data=b"".join(frame(PING, p) for p in ten))
        client = self.client()
        for byte in frame(PING, b"\xfe" * 125):
            client.send(bytes([byte]))
        self.exchange(client, b"", (PONG, b"\xfe" * 125))

    def test_3_reserved_bits_fail_the_connection(self):
        hello = (TEXT, b"Hello")
        for bits in range(1, 8):
            for opcode in (TEXT, BINARY, PING, CLOSE):
                self.assert_fails(1002, frame(*hello) + frame(opcode, b"x", reserved=bits), hello)

    def test_4_reserved_opcodes_fail_the_connection(self):
        hello = (TEXT, b"Hello")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assert_fails(1002, frame(opcode, b"") + frame(PING))
            self.assert_fails(1002, frame(*hello) + frame(opcode, b"reserved") + frame(PING), hello)

    def test_5_fragments(self):
        whole = (TEXT, b"fragment1fragment2")
        first, last = fragment(TEXT, b"fragment1"), frame(CONTINUATION, b"fragment2")
        self.assert_all_fail(1002, [fragment(PING, b"a") + frame(CONTINUATION, b"b"),
                                    fragment(PONG, b"a") + frame(CONTINUATION, b"b"),
                                    frame(CONTINUATION, b"x") + frame(TEXT, b"Hello"),
                                    fragment(CONTINUATION, b"x") + frame(TEXT, b"Hello"),
                                    first + frame(TEXT, b"fragment2")])
        self.echo(whole, data=first + last)
        self.echo((PONG, b"ping"), whole, data=first + frame(PING, b"ping") + last)
        self.echo((PONG, b"1"), (PONG, b"2"), (TEXT, b"12345"), data=b"".join([
            fragment(TEXT, b"1"), fragment(CONTINUATION, b"2"), frame(PING, b"1"),
            fragment(CONTINUATION, b"3"), fragment(CONTINUATION, b"4"), frame(PING, b"2"),
            frame(CONTINUATION, b"5")]))
        self.assert_fails(1002, first + last + frame(CONTINUATION, b"x"), whole)
        client = self.client()
        for byte in first + frame(PING, b"ping") + last:
            client.send(bytes([byte]))
        self.exchange(client, b"", (PONG, b"ping"), whole)

    def test_6_text_is_utf_8(self):
        good = ["", "κόσμε", "\0", "\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff",
                "Hello-µ@ßöäüàá-UTF-8!!", "\ud7ff\ue000\ufffd", "\U0001fffe\U0001ffff", "平安银行"]
        for text in good:
            payload = text.encode()
            self.echo((TEXT, payload), data=frame(TEXT, payload))
            self.echo((TEXT, payload), data=fragmented(TEXT, payload, 1))
        self.echo((TEXT, b""), data=fragment(TEXT) + fragment(CONTINUATION) + frame(CONTINUATION))
        bad = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xce", b"\xbf",
               b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff", b"\xc0\xaf",
               b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xed\xa0\x80\xed\xb0\x80",
               b"\xed\xbf\xbf", b"\x80\xbf" * 32, b"\xf7\xbf\xbf\xbf", b"\xc0 \xc1 "]
        self.assert_all_fail(1007, [frame(TEXT, payload) for payload in bad])
        self.assert_all_fail(1007, [fragmented(TEXT, payload, 1) for payload in bad])
        # At once, and not when the message is complete.
        self.assert_fails(1007, fragment(TEXT, b"\xce\xba\xf4\x90"))
        self.assert_fails(1007, frame(TEXT, b"\xce\xba\xf4\x90" + b"x" * 20)[:-20])

    def test_7_closes(self):
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
            self.assert_fails(code, frame(CLOSE, struct.pack(">H", code)))
            self.assert_fails(code, frame(CLOSE, struct.pack(">H", code) + b"*" * 123))
        self.assert_all_fail(1002, [frame(CLOSE, struct.pack(">H", code)) for code in
                                    (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                                     65535)])
        self.assert_all_fail(1002, [frame(CLOSE, b"x"),
                                    frame(CLOSE, struct.pack(">H", 1000) + b"*" * 124)])
        self.assert_fails(1007, frame(CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80"))
        hello, close = frame(TEXT, b"Hello"), frame(CLOSE, b"\x03\xe8")
        # Nothing counts after Close.
        self.assert_fails(1000, hello + close + hello + frame(PING) + close, (TEXT, b"Hello"))
        self.assert_fails(1000, fragment(TEXT, b"frag") + close + frame(CONTINUATION, b"ment"))
        client = self.client()
        client.send(frame(CLOSE))
        self.assertIn(close_of(client.next_frame()[1])[0], (1000, 1005))
        self.assertIsNone(client.next_frame())

    def test_10_a_message_in_fragments_that_straddle(self):
        payload = b"*" * 65536
        self.echo((TEXT, payload), data=fragmented(TEXT, payload, 1300))

    def test_masks_and_lengths_are_checked(self):
        self.assert_all_fail(1002, [frame(TEXT, b"Hello", mask=None),
                                    b"\x81\xfe\x00\x05\0\0\0\0hello",
                                    b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"\0\0\0\0"])


class Limits(EchoTestCase):
    """Section 9, and what is bounded."""

    def test_9_sizes_of_up_to_16_mib(self):
        client = self.client(timeout=30)
        for size in (64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20):
            payload = os.urandom(1 << 16) * (size >> 16)
            self.exchange(client, frame(BINARY, payload), (BINARY, payload))
        text = "平".encode() * (MESSAGE_BYTES_MAX // 3)
        self.exchange(client, frame(TEXT, text), (TEXT, text))

    def test_9_fragments_of_every_size(self):
        client = self.client(timeout=30)
        payload = os.urandom(1 << 20)
        for size in (64, 256, 1024, 4096, 65536, 1 << 20):
            part = payload[:1 << 18] if size < 1024 else payload
            self.exchange(client, fragmented(BINARY, part, size), (BINARY, part))

    def test_9_chops_of_every_size(self):
        payload = b"*" * 65536
        client = self.client(timeout=30)
        for size in (64, 128, 256, 512, 1024, 2048):
            for part in pieces(frame(TEXT, payload), size):
                client.send(part)
            self.exchange(client, b"", (TEXT, payload))

    def test_9_many_messages_go_and_come(self):
        client = self.client(timeout=30)
        for size in (0, 16, 64, 1024, 16384):
            count = 1000 if size < 16384 else 200
            payload = b"x" * size
            self.exchange(client, frame(TEXT, payload) * count, *[(TEXT, payload)] * count)

    def test_a_message_over_16_mib_is_1009(self):
        self.assert_fails(1009, frame(BINARY, length=MESSAGE_BYTES_MAX + 1))
        self.assert_fails(1009, fragment(BINARY, bytes(1 << 20)) +
                          frame(CONTINUATION, length=(15 << 20) + 1))

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_a_client_that_sends_and_does_not_read_is_not_read_from(self):
        client = self.client()
        client.socket.settimeout(1)
        before = self.resident_bytes()
        data = frame(BINARY, bytes(1 << 20))
        sent = 0
        try:
            for _ in range(256):
                sent += client.socket.send(data)
        except TimeoutError:
            pass
        self.assertLess(sent, 64 << 20)
        self.assertLess(self.resident_bytes() - before, 64 << 20)
        self.echo((TEXT, b"another"), data=frame(TEXT, b"another"))

    def test_its_answers_come_when_it_reads(self):
        client = self.client(timeout=30)
        payloads = [os.urandom(300000) for _ in range(40)]
        self.exchange(client, b"".join(frame(BINARY, payload) for payload in payloads),
                      *[(BINARY, payload) for payload in payloads])


class Deflate:
    """The client's half of permessage-deflate, by Python's zlib."""

    def __init__(self, answer):
        assert answer is not None and answer.startswith("permessage-deflate")
        self.parameters = {}
        for parameter in answer.split(";")[1:]:
            name, _, value = parameter.strip().partition("=")
            self.parameters[name] = int(value) if value else None
        client_bits = self.parameters.get("client_max_window_bits") or 15
        self.server_bits = self.parameters.get("server_max_window_bits") or 15
        # Python's zlib compresses with 9 bits at least, which every server must read.
        self.client_bits = max(client_bits, 9)
        self.renew_deflate()
        self.renew_inflate()

    def renew_deflate(self, level=6):
        self.deflater = zlib.compressobj(level, zlib.DEFLATED, -self.client_bits)

    def renew_inflate(self):
        self.inflater = zlib.decompressobj(-self.server_bits)

    def deflate(self, payload):
        if "client_no_context_takeover" in self.parameters:
            self.renew_deflate()
        data = self.deflater.compress(payload) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4]

    def inflate(self, data):
        if "server_no_context_takeover" in self.parameters:
            self.renew_inflate()
        return self.inflater.decompress(data + TAIL)


def payloads_of(seed):
    """Text like ticks, noise, runs and what repeats at a distance."""
    rng = random.Random(seed)
    text = "".join(f'{{"seq":{rng.randrange(10**6)},"price":{rng.random():.2f}}}'
                   for _ in range(3000)).encode()
    yield from (b"", b"a", b"", b"Hello", text[:60], text[:1000], text[:1000], text)
    for distance in (255, 257, 511, 1023, 4096, 32700):
        block = rng.randbytes(distance)
        yield (block * 3)[:70000]
    yield from (bytes(100000), rng.randbytes(20000), b"", text[:200])


class Compression(EchoTestCase):
    """Sections 12 and 13."""

    def deflating(self, offer, **options):
        client = self.client(extra=f"Sec-WebSocket-Extensions: {offer}\r\n", **options)
        client.deflate = Deflate(client.header("Sec-WebSocket-Extensions"))
        return client

    def send_deflated(self, client, payload, size=None):
        data = client.deflate.deflate(payload)
        client.send(fragmented(BINARY, data, size or max(len(data), 1), RSV1))

    def check_deflated(self, client, payload):
        first, data = client.next_frame()
        self.assertEqual(first, 0x80 | RSV1 << 4 | BINARY)
        self.assertTrue(client.deflate.inflate(data) == payload, f"{len(payload)} bytes")

    def test_13_every_window_with_and_without_context(self):
        names = ("server_no_context_takeover", "client_no_context_takeover")
        takeovers = [names[:0], names[:1], names[1:], names]
        for bits, flags in itertools.product(range(8, 16), takeovers):
            offer = "; ".join(["permessage-deflate", f"server_max_window_bits={bits}",
                               f"client_max_window_bits={23 - bits}", *flags])
            with self.subTest(offer):
                client = self.deflating(offer)
                self.assertEqual(client.deflate.parameters,
                                 {"server_max_window_bits": bits,
                                  "client_max_window_bits": 23 - bits, **dict.fromkeys(flags)})
                for payload in payloads_of(bits):
                    self.send_deflated(client, payload)
                    self.check_deflated(client, payload)

    def test_13_windows_that_are_not_named_are_the_largest(self):
        for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits"):
            client = self.deflating(offer)
            self.assertEqual(client.deflate.parameters, {})
            for payload in payloads_of(SEED):
                self.send_deflated(client, payload)
                self.check_deflated(client, payload)

    def test_13_the_first_offer_that_can_be_met_is_answered(self):
        for offer, answer in {
                "permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=9":
                    "permessage-deflate; server_max_window_bits=9",
                "x-webkit-deflate-frame, permessage-deflate": "permessage-deflate",
                "permessage-deflate; server_max_window_bits=16": None,
                "permessage-deflate; client_no_context_takeover=1": None,
                "permessage-bzip2": None}.items():
            client = self.client(extra=f"Sec-WebSocket-Extensions: {offer}\r\n")
            self.assertEqual(client.header("Sec-WebSocket-Extensions"), answer)
        for offer in ("permessage-deflate;", "; permessage-deflate", 'permessage-deflate; a="'):
            client = RawClient(self.port, upgrade=False)
            self.addCleanup(client.close)
            client.send(request(extra=f"Sec-WebSocket-Extensions: {offer}\r\n"))
            self.assertEqual(client.read_head(), 400)

    def test_12_messages_of_every_size_and_number(self):
        rng = random.Random(SEED)
        text = "".join(f"{rng.random()} " for _ in range(8000)).encode()
        client = self.deflating("permessage-deflate", timeout=30)
        for size, count in ((16, 500), (256, 300), (1024, 200), (8192, 60), (131072, 10)):
            payloads = [text[i:i + size] for i in range(count)]
            data = b"".join(frame(BINARY, client.deflate.deflate(payload), reserved=RSV1)
                            for payload in payloads)
            sender = threading.Thread(target=client.send, args=(data,), daemon=True)
            sender.start()
            for payload in payloads:
                self.check_deflated(client, payload)
            sender.join(10)

    def test_12_fragments_with_pings_between(self):
        client = self.deflating("permessage-deflate")
        payload = b"".join(b"%d " % i for i in range(20000))
        for size in (1, 7, 300, 4096):
            part = payload[:2000] if size < 300 else payload
            self.send_deflated(client, part, size)
            self.check_deflated(client, part)
        data = client.deflate.deflate(payload)
        client.send(fragment(BINARY, data[:100], reserved=RSV1))
        self.exchange(client, frame(PING, b"p"), (PONG, b"p"))
        client.send(frame(CONTINUATION, data[100:]))
        self.check_deflated(client, payload)

    def test_plain_and_compressed_messages_alternate(self):
        client = self.deflating("permessage-deflate")
        for _ in range(3):
            client.send(frame(BINARY, b"plain"))
            self.check_deflated(client, b"plain")
            self.send_deflated(client, b"compressed" * 10)
            self.check_deflated(client, b"compressed" * 10)

    def test_12_text_is_utf_8_when_it_is_inflated(self):
        client = self.deflating("permessage-deflate")
        client.send(frame(TEXT, client.deflate.deflate("平安银行".encode()), reserved=RSV1))
        first, data = client.next_frame()
        self.assertEqual(first, 0x80 | RSV1 << 4 | TEXT)
        self.assertEqual(client.deflate.inflate(data).decode(), "平安银行")
        client.send(frame(TEXT, client.deflate.deflate(b"\xce\xba\xed\xa0\x80"), reserved=RSV1))
        self.assert_closes(client, 1007)

    def assert_closes(self, client, code):
        first, payload = client.next_frame()
        self.assertEqual((first, close_of(payload)[0]), (0x80 | CLOSE, code))

    def test_a_bomb_is_1009_and_costs_no_more_than_a_message(self):
        client = self.deflating("permessage-deflate")
        self.send_deflated(client, bytes(MESSAGE_BYTES_MAX))
        self.check_deflated(client, bytes(MESSAGE_BYTES_MAX))
        bomb = client.deflate.deflate(bytes(256 << 20))
        self.assertLess(len(bomb), 1 << 20)
        client.send(frame(BINARY, bomb, reserved=RSV1))
        self.assert_closes(client, 1009)

    def test_what_cannot_be_inflated_is_1007(self):
        for data in (b"\xff", b"\x07", os.urandom(3) + b"\xff" * 20):
            client = self.deflating("permessage-deflate")
            client.send(frame(BINARY, data, reserved=RSV1))
            self.assert_closes(client, 1007)
        client = self.deflating("permessage-deflate")
        client.send(frame(BINARY, client.deflate.deflate(b"cut off" * 100)[:-1], reserved=RSV1))
        self.assert_closes(client, 1007)

    def test_reserved_bits_that_mean_nothing_are_1002(self):
        for data in (frame(PING, b"x", reserved=RSV1), frame(CLOSE, b"\x03\xe8", reserved=RSV1),
                     fragment(BINARY, b"a") + frame(CONTINUATION, b"b", reserved=RSV1),
                     frame(BINARY, b"x", reserved=2), frame(BINARY, b"x", reserved=RSV1 | 1)):
            client = self.deflating("permessage-deflate")
            client.send(data)
            self.assert_closes(client, 1002)


class Usage(unittest.TestCase):
    def echo(self, *arguments):
        return run([program("ringcast-echo"), *arguments])

    def test_help_and_version(self):
        self.assertIn("--port", self.echo("--help").stdout)
        self.assertRegex(self.echo("--version").stdout, r"^ringcast-echo \d+\.\d+\.\d+\n$")

    def test_what_is_wrong_is_said(self):
        for arguments, word in ((["--port", "65536"], "0 to 65535"), (["--port", "x"], "0 to 65535"),
                                (["--nonsense"], "--help"), (["here"], "here")):
            done = self.echo(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(word, done.stderr)

    def test_a_taken_port_is_said(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = self.echo("--port", str(taken.getsockname()[1]))
            self.assertEqual(done.returncode, 1)
            self.assertIn("another program", done.stderr)


if __name__ == "__main__":
    unittest.main()
