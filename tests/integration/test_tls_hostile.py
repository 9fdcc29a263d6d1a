"""What a TLS port does with bad input, floods and silence, and where the keys of a connection are found. A healthy
client of each port must not notice."""
import concurrent.futures
import os
import pathlib
import random
import re
import resource
import socket
import ssl
import struct
import tempfile
import time
import unittest

import tls_files
from clients import PING, PONG, TEXT, HealthyClient, RawClient, frame, request
from server import IS_FULL, Server, in_full, not_by_wss, program, wait_until
from tls_records import (ALERT, BAD_RECORD_MAC, CHANGE_CIPHER_SPEC, CLOSE_NOTIFY, DATA, HANDSHAKE, HEARTBEAT, KEY_UPDATE,
                         KEY_UPDATE_THAT_ASKS, NO_RENEGOTIATION, RECORD_OVERFLOW, UNEXPECTED_MESSAGE, RecordClient)

FEED = ("--feed", "sim:symbols=20,rate=200,types=quote+trade")
TYPES = ("quote", "trade")
SUBSCRIBED_REQUEST = request("/?symbols=*&types=quote")
EMPTY_MAX, UPDATES_MAX = 32, 32
SEALED_ALERT_BYTES = 5 + 2 + 1 + 16
SPEAKS_TLS, SPEAKS_PLAIN = b"this port speaks TLS: use wss://", b"this port speaks ws://"


def client_hello(context=None):
    """The bytes of a ClientHello of Python's ssl."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = (context or tls_files.client_context()).wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def read_to_end(connection):
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def skip_with_asan(case):
    """It keeps what is freed."""
    if b"__asan_init" in pathlib.Path(program("ringcast")).read_bytes():
        case.skipTest("SKIPPED: AddressSanitizer keeps what is freed")


def is_alert(answer):
    """One in the clear, with nothing behind it, or none at all."""
    return answer == b"" or (len(answer) == 7 and answer[0] == ALERT)


@not_by_wss
class Hostile(unittest.TestCase):
    """One server, and beside all tests two clients that must lose nothing."""
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option, *cls.options).start()
        cls.addClassCleanup(cls.server.kill)
        cls.tls_port = cls.server.tls_port
        cls.plain = HealthyClient(cls.server.url(), types=TYPES).__enter__()
        cls.addClassCleanup(cls.plain.__exit__)
        cls.secured = HealthyClient(f"wss://127.0.0.1:{cls.tls_port}/", types=TYPES,
                                    tls=tls_files.client_context()).__enter__()
        cls.addClassCleanup(cls.secured.__exit__)

    def tearDown(self):
        self.plain.check(self, frames=5)
        self.secured.check(self, frames=5)
        self.server.check_sanitizers()

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.tls_port), 30)
        self.addCleanup(connection.close)
        return connection

    def ask(self, data):
        """All that is answered to the bytes."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_to_end(connection)

    def client(self, version="1.3", ciphers=None, **more):
        client = RecordClient(self.tls_port, version, ciphers, **more)
        self.addCleanup(client.socket.close)
        return client

    def metric(self, name, labels=""):
        """The sum over all cores."""
        found = re.findall(rf"^ringcast_{name}{{?[^}}\n]*{re.escape(labels)}[^}}\n]*}}? (\S+)$",
                           self.server.admin("/metrics")[2], re.M)
        self.assertTrue(found, name)
        return sum(map(float, found))

    def refused(self, reason):
        return self.metric("tls_records_refused_total", f'reason="{reason}"')

    def failures(self, reason):
        return self.metric("tls_handshake_failures_total", f'reason="{reason}"')

    def wait_for_failures(self, reason, goal):
        self.assertTrue(wait_until(lambda: self.failures(reason) >= goal, 30), (reason, goal, self.failures(reason)))

    def wait_until_alone(self):
        """Until the two that are healthy are all there is."""
        def is_alone():
            stats = self.server.stats()
            return stats["connections"]["open"] == 2 and self.metric("tls_handshakes_running") == 0
        self.assertTrue(wait_until(is_alone, 60), self.server.stats()["connections"])


class Records(Hostile):
    """S118: what follows the handshake. Each bad record ends its connection with the right alert."""

    def refuse(self, client, *records, alert, reason):
        before = self.refused(reason)
        client.send(*records)
        self.assertEqual(client.next_alert(), alert)
        self.assertIsNone(client.next_record())
        self.assertEqual(self.refused(reason), before + 1)

    def streaming(self, version, ciphers=None):
        client = self.client(version, ciphers)
        client.send_data(SUBSCRIBED_REQUEST)
        client.read_until(b"SUBSCRIBED")
        return client

    def test_one_bit_is_enough(self):
        """Of the ciphertext, the tag, the explicit nonce, and of the header as far as it is authenticated only."""
        random_bits = random.Random(17)
        for version, ciphers in (("1.3", None), ("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")):
            client = self.client(version, ciphers)
            whole = client.seal(DATA, frame(TEXT, "x" * 40))
            for at in (5, 12, 13, len(whole) - 16, len(whole) - 1, random_bits.randrange(5, len(whole))):
                with self.subTest(version, ciphers=ciphers, at=at):
                    client = self.client(version, ciphers)
                    record = bytearray(client.seal(DATA, request()))
                    record[at] ^= 1 << random_bits.randrange(8)
                    self.refuse(client, bytes(record), alert=BAD_RECORD_MAC, reason="mac")

    def test_a_record_opens_once_and_in_its_turn(self):
        """Replayed, left out, exchanged, of another connection, of another type, sealed with other keys."""
        for version in ("1.3", "1.2"):
            for what in ("replayed", "left out", "exchanged", "another's", "its direction", "its type"):
                with self.subTest(version, what=what):
                    client = self.streaming(version)
                    first, second = (client.seal(DATA, frame(PING, text)) for text in (b"1", b"2"))
                    records = {"replayed": (first, first), "left out": (second,), "exchanged": (second, first)}.get(what)
                    if what == "another's":
                        other = self.streaming(version)
                        records = (other.seal(DATA, frame(PING, b"1")),)
                    elif what == "its direction":
                        client.rx.sequence, sequence = client.tx.sequence - 2, client.rx.sequence
                        records = (client.rx.seal(DATA, frame(PING, b"1")),)
                        client.rx.sequence = sequence
                    elif what == "its type":
                        records = (bytes([ALERT]) + first[1:],)
                        if version == "1.3":  # In the clear there are none.
                            self.refuse(client, *records, alert=UNEXPECTED_MESSAGE, reason="unexpected")
                            continue
                    self.refuse(client, *records, alert=BAD_RECORD_MAC, reason="mac")

    def test_lengths_and_versions_that_no_record_has(self):
        for version, most in (("1.3", 16384 + 256), ("1.2", 16384 + 2048)):
            for name, head in (("longest and one", struct.pack(">BHH", DATA, 0x303, most + 1)),
                               ("longest of all", struct.pack(">BHH", DATA, 0x303, 65535)),
                               ("nothing", struct.pack(">BHH", DATA, 0x303, 0)),
                               ("a tag that is cut", struct.pack(">BHH", DATA, 0x303, 15)),
                               ("another version", struct.pack(">BHH", DATA, 0x403, 100)),
                               ("a request in the clear", b"GET / HTTP/1.1\r\n\r\n")):
                with self.subTest(version, name=name):
                    self.refuse(self.client(version), head, alert=RECORD_OVERFLOW, reason="length")

    def test_a_plaintext_has_16_kib_at_most(self):
        for version in ("1.3", "1.2"):
            with self.subTest(version):
                client = self.client(version)
                client.send_data(b"GET /none HTTP/1.1\r\nHost: x\r\nX: ".ljust(8000, b"x") + b"\r\n\r\n")
                self.assertIsNotNone(client.next_of(DATA))
                client = self.streaming(version)
                client.send_data(frame(PING, b"1") * (16384 // 7))
                client.read_until(b"\x8a\x011")
                client.send(client.seal(DATA, frame(PONG) * (16385 // 6) + b"\0" * (16385 % 6)))
                self.assertEqual(client.next_alert(), RECORD_OVERFLOW)

    def test_what_means_nothing_there_ends_it(self):
        """Handshakes, ChangeCipherSpec, heartbeats and unknown types; a 1.3 record without a type."""
        cases = [("a KeyUpdate that is cut", HANDSHAKE, KEY_UPDATE[:-1]), ("two in a record", HANDSHAKE, KEY_UPDATE * 2),
                 ("a request that none has", HANDSHAKE, b"\x18\0\0\x01\x02"), ("a ClientHello", HANDSHAKE, client_hello()[5:]),
                 ("a ticket", HANDSHAKE, b"\x04\0\0\x0d" + bytes(13)), ("an empty handshake", HANDSHAKE, b""),
                 ("ChangeCipherSpec", CHANGE_CIPHER_SPEC, b"\1"), ("a heartbeat", HEARTBEAT, b"\x01\x40\0"),
                 ("half an alert", ALERT, b"\x01"), ("another type", 99, b"x")]
        for name, kind, plain in cases:
            with self.subTest(name):
                client = self.streaming("1.3")
                self.refuse(client, client.seal(kind, plain), alert=UNEXPECTED_MESSAGE, reason="unexpected")
        for name, kind, plain in cases[6:]:
            with self.subTest(name, version="1.2"):
                client = self.streaming("1.2")
                self.refuse(client, client.seal(kind, plain), alert=UNEXPECTED_MESSAGE, reason="unexpected")
        client = self.streaming("1.3")
        self.refuse(client, client.seal(0, b"", padding=30), alert=UNEXPECTED_MESSAGE, reason="unexpected")
        for record in (b"\x14\x03\x03\0\x01\x01", b"\x15\x03\x03\0\x02\x02\x28", b"\x16\x03\x03" + b"\0\x05" + KEY_UPDATE):
            with self.subTest(record, how="in the clear"):
                self.refuse(self.streaming("1.3"), record, alert=UNEXPECTED_MESSAGE, reason="unexpected")

    def test_no_renegotiation(self):
        """S114: a warning, and at the third the end."""
        client = self.streaming("1.2")
        before = self.refused("flood")
        hello = client_hello()[5:]
        for _ in range(2):
            client.send(client.seal(HANDSHAKE, hello))
            self.assertEqual(client.next_of(ALERT), bytes([1, NO_RENEGOTIATION]))
        client.send_data(frame(PING, b"still there"))
        client.read_until(b"still there")
        client.send(client.seal(HANDSHAKE, hello))
        self.assertEqual(client.next_of(ALERT), bytes([2, UNEXPECTED_MESSAGE]))
        self.assertEqual(self.refused("flood"), before + 1)

    def test_alerts_of_the_peer(self):
        """close_notify is answered by ours; an error ends it; a warning of 1.2 is skipped, five are not."""
        for version in ("1.3", "1.2"):
            with self.subTest(version):
                client = self.streaming(version)
                client.send(client.seal(ALERT, bytes([1, CLOSE_NOTIFY])))
                self.assertEqual(client.next_of(ALERT), bytes([1, CLOSE_NOTIFY]))
                self.assertIsNone(client.next_record())
                client = self.streaming(version)
                client.send(client.seal(ALERT, bytes([2, 80])))
                self.assertIsNone(client.next_of(ALERT))
        client = self.streaming("1.3")
        client.send(client.seal(ALERT, bytes([1, 90])), client.seal(DATA, frame(PING, b"still there")))
        client.read_until(b"still there")
        client = self.streaming("1.2")
        client.send(*(client.seal(ALERT, bytes([1, 90])) for _ in range(4)), client.seal(DATA, frame(PING, b"still there")))
        client.read_until(b"still there")
        self.refuse(client, client.seal(ALERT, bytes([1, 90])), alert=UNEXPECTED_MESSAGE, reason="flood")

    def test_however_the_bytes_come(self):
        """Byte by byte, 2 000 records at once, empty and padded ones between them, cut at every place."""
        for version in ("1.3", "1.2"):
            with self.subTest(version):
                client = self.client(version)
                for byte in client.seal(DATA, request("/none")):
                    client.send(bytes([byte]))
                client.read_until(b"404")
                client = self.client(version)
                client.send(*(client.seal(DATA, bytes([byte])) for byte in request("/?symbols=*&types=quote")))
                client.read_until(b"SUBSCRIBED")
                for at in range(1, 30):
                    record = client.seal(DATA, frame(PING, b"%04d" % at))
                    client.send(record[:at])
                    client.send(record[at:])
                    client.read_until(b"%04d" % at)
                padding = {"padding": 100} if version == "1.3" else {}
                empty = [client.seal(DATA, b"") for _ in range(EMPTY_MAX)]
                client.send(*empty, client.seal(DATA, frame(PING, b"padded"), **padding))
                client.read_until(b"padded")
                client.send(*(client.seal(DATA, frame(PONG, b"x")) for _ in range(1999)), client.seal(DATA, frame(PING, b"last")))
                client.read_until(b"last")

    def test_a_record_that_is_cut_is_no_error(self):
        """The end in its middle is "closed by the peer", as of a plain connection."""
        before = self.refused("mac") + self.refused("length")
        for version in ("1.3", "1.2"):
            for cut in (1, 4, 5, 20):
                client = self.streaming(version)
                client.send(client.seal(DATA, frame(PING, b"1"))[:cut])
                client.socket.shutdown(socket.SHUT_WR)
                self.assertIsNone(client.next_of(ALERT))
        self.wait_until_alone()
        self.assertEqual(self.refused("mac") + self.refused("length"), before)
        self.assertIsNotNone(self.server.wait_for_line("disconnected: closed by the peer"))

    def test_floods_of_records_without_data(self):
        """S118: 32 in a row are harmless, one more is not."""
        for version in ("1.3", "1.2"):
            with self.subTest(version):
                client = self.streaming(version)
                client.send(*(client.seal(DATA, b"") for _ in range(EMPTY_MAX)), client.seal(DATA, frame(PING, b"fine")))
                client.read_until(b"fine")
                self.refuse(client, *(client.seal(DATA, b"") for _ in range(EMPTY_MAX + 1)), alert=UNEXPECTED_MESSAGE,
                            reason="flood")

    def test_floods_of_key_updates(self):
        """S118: 32 in a minute are answered; with one more it ends."""
        client = self.streaming("1.3")
        by_client, by_server = (self.metric("tls_key_updates_total", f'by="{side}"') for side in ("client", "server"))
        for number in range(UPDATES_MAX):
            client.send(client.seal(HANDSHAKE, (KEY_UPDATE, KEY_UPDATE_THAT_ASKS)[number % 2]))
            client.tx = client.tx.updated()
            client.send_data(frame(PING, b"%04d" % number))
            client.read_until(b"%04d" % number)
        self.assertEqual(self.metric("tls_key_updates_total", 'by="client"'), by_client + UPDATES_MAX)
        self.assertEqual(self.metric("tls_key_updates_total", 'by="server"'), by_server + UPDATES_MAX // 2)
        self.refuse(client, client.seal(HANDSHAKE, KEY_UPDATE_THAT_ASKS), alert=UNEXPECTED_MESSAGE, reason="flood")

    def test_key_updates_in_one_write_are_answered_each_or_once(self):
        """RFC 8446, 4.6.3. The stream goes on under the keys that follow."""
        client = self.streaming("1.3")
        records = []
        for _ in range(UPDATES_MAX - 1):
            records.append(client.seal(HANDSHAKE, KEY_UPDATE_THAT_ASKS))
            client.tx = client.tx.updated()
        client.send(*records, client.seal(DATA, frame(PING, b"after them")))
        client.read_until(b"after them")

    def test_the_keys_before_an_update_open_nothing_after_it(self):
        client = self.streaming("1.3")
        client.send(client.seal(HANDSHAKE, KEY_UPDATE))
        self.refuse(client, client.seal(DATA, frame(PING, b"1")), alert=BAD_RECORD_MAC, reason="mac")


class Handshakes(Hostile):
    """S118: what comes instead of one."""

    def test_a_client_without_tls_is_told_so_and_one_with_tls_on_the_plain_port(self):
        before = self.failures("not_tls")
        for text in (request(), b"GET / HTTP/1.1\r\n\r\n", b"\0", b"PROXY TCP4 1.2.3.4 10.0.0.1 1 2\r\n", b"\xff\x80\x2e"):
            answer = self.ask(text)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer)
            self.assertIn(SPEAKS_TLS, answer)
        self.assertEqual(self.failures("not_tls"), before + 5)
        with socket.create_connection(("127.0.0.1", self.server.port), 30) as connection:
            connection.sendall(client_hello())
            answer = read_to_end(connection)
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer)
        self.assertIn(SPEAKS_PLAIN, answer)

    def test_random_bytes_in_a_client_hello(self):
        """Each gets an alert, a ServerHello, or waits for more; never anything else."""
        chance = random.Random(1118)
        hello = client_hello()
        for number in range(200):
            bad = bytearray(hello)
            for _ in range(1 + number % 3):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            with self.subTest(bytes(bad)), self.connect() as connection:
                connection.sendall(bad)
                connection.shutdown(socket.SHUT_WR)
                answer = read_to_end(connection)
                if bad[0] != HANDSHAKE:
                    self.assertIn(SPEAKS_TLS, answer)
                elif answer and answer[0] != HANDSHAKE:
                    self.assertTrue(is_alert(answer), answer)
        self.wait_until_alone()

    def test_garbage_in_records_of_a_handshake(self):
        chance = random.Random(2118)
        for number in range(60):
            size = chance.choice((1, 4, 5, 100, 3000, 16384))
            with self.subTest(number):
                answer = self.ask(struct.pack(">BHH", HANDSHAKE, chance.choice((0x300, 0x301, 0x303, 0x304)), size) +
                                  chance.randbytes(size) + client_hello() * 2)
                self.assertTrue(is_alert(answer), answer)
        self.wait_until_alone()

    def test_records_that_are_too_long_or_of_another_type(self):
        protocol = self.failures("protocol")
        for data, alerts in ((b"\x16\x03\x01\xff\xff" + bytes(70000), (22, 50)), (b"\x16\x09\x01\0\x10" + bytes(16), (70, 50)),
                             (b"\x16\x03\x01\0\x04\x02\0\0\0", (10,)), (b"\x16\x03\x01\0\x04\x01\xff\xff\xff", (47, 50, 22))):
            answer = self.ask(data)
            self.assertTrue(is_alert(answer), answer)
            if answer:
                self.assertIn(answer[6], alerts)
        self.assertEqual(self.failures("protocol"), protocol + 4)

    def test_a_client_hello_byte_by_byte_and_in_tiny_records(self):
        hello = client_hello()
        with self.connect() as connection:
            for byte in hello:
                connection.sendall(bytes([byte]))
            self.assertEqual(connection.recv(1), bytes([HANDSHAKE]))
        tiny = b"".join(b"\x16\x03\x01\0\x01" + bytes([byte]) for byte in hello[5:])
        with self.connect() as connection:
            connection.sendall(tiny)
            self.assertEqual(connection.recv(1), bytes([HANDSHAKE]))

    def test_one_that_never_ends_stops_at_64_kib(self):
        """S118: a ClientHello of 128 KiB, which OpenSSL would read."""
        before = self.failures("protocol")
        begin = b"\x16\x03\x01\x40\0"
        with self.connect() as connection:
            try:
                connection.sendall(begin + b"\x01\x01\xff\xff" + bytes(16380) + (begin + bytes(16384)) * 7)
            except ConnectionError:
                pass
            self.assertTrue(is_alert(read_to_end(connection)))
        self.wait_until_alone()
        self.assertEqual(self.failures("protocol"), before + 1)

    def test_the_client_s_flight_is_mangled(self):
        """A bit of each part of what follows the ServerHello: an alert, and nobody is served."""
        protocol = self.failures("protocol")
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for at in (0, 3, 6, 11, 20, 40, -1):
                context = tls_files.client_context()
                context.minimum_version = context.maximum_version = version
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
                with self.subTest(version=version, at=at), self.connect() as connection:
                    flights = 0
                    while True:
                        try:
                            tls.do_handshake()
                            done = True
                        except ssl.SSLWantReadError:
                            done = False
                        flight = bytearray(outgoing.read())
                        flights += 1
                        if flights == 2:
                            if at < len(flight):
                                flight[at] ^= 0x10
                            connection.sendall(flight)
                            break
                        self.assertFalse(done)
                        connection.sendall(flight)
                        incoming.write(connection.recv(65536))
                    connection.shutdown(socket.SHUT_WR)
                    answer = read_to_end(connection)
                    self.assertTrue(is_alert(answer) or len(answer) == SEALED_ALERT_BYTES, answer)
        self.wait_until_alone()
        self.assertGreater(self.failures("protocol"), protocol)

    def test_one_that_leaves_in_the_middle(self):
        left = self.failures("left")
        for reset in (False, True):
            with self.connect() as connection:
                connection.sendall(client_hello())
                self.assertEqual(connection.recv(1), bytes([HANDSHAKE]))
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wait_for_failures("left", left + 2)

    def test_a_client_that_does_not_trust_says_so(self):
        before = self.failures("alert")
        context = ssl.create_default_context(cafile=tls_files.authority("stranger").certificate)
        with self.connect() as connection, self.assertRaises(ssl.SSLCertVerificationError):
            context.wrap_socket(connection, server_hostname="localhost")
        self.wait_for_failures("alert", before + 1)


class Floods(Hostile):
    """S117, S118: many at once. Nobody else notices, and the memory is flat."""
    options = ("--max-connections", "2000")
    COUNT = 1000 if IS_FULL else 300

    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3000:
            raise unittest.SkipTest(f"SKIPPED: only {hard} descriptors are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUpClass()

    def check_a_new_client(self):
        with RawClient(self.tls_port, tls=tls_files.client_context(), timeout=60) as client:
            self.assertEqual(client.subscribe(["*"], ["quote"])["type"], "SUBSCRIBED")

    def use(self):
        """(KiB of anonymous memory, descriptors) when all are gone, and what is free has been given back."""
        self.wait_until_alone()
        self.assertEqual(self.server.admin("/admin/gc", "POST")[0], 200)
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]), len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def assert_flat(self, flood, rounds=3, room_kib=4096):
        """The first flood touches what all later ones use again. 100 SSL objects would be 5 MiB."""
        flood()
        memory, descriptors = self.use()
        for _ in range(rounds):
            flood()
        skip_with_asan(self)
        self.assertLessEqual(self.use()[0], memory + room_kib)
        self.assertTrue(wait_until(lambda: self.use()[1] <= descriptors, 30), (self.use(), descriptors))

    def test_connections_that_stop_in_mid_handshake(self):
        """In each third: nothing is sent, half of a ClientHello, all but the Finished. More than there are places for."""
        hello = client_hello()

        def flood():
            stopped = [self.connect() for _ in range(self.COUNT)]
            for number, connection in enumerate(stopped):
                connection.sendall((b"", hello[:100], hello)[number % 3])
            self.check_a_new_client()
            self.plain.check(self, frames=5)
            self.secured.check(self, frames=5)
            for connection in stopped:
                connection.close()
        self.assert_flat(flood, rounds=2 if IS_FULL else 1)

    def test_handshakes_whose_clients_leave(self):
        """One after the other, in both versions, after each step and after none."""
        hello = client_hello()

        def flood():
            for number in range(self.COUNT // 4):
                with self.connect() as connection:
                    connection.sendall(hello)
                with self.connect() as connection:
                    connection.sendall(hello[:-1])
                if number % 4 == 0:
                    RecordClient(self.tls_port, ("1.2", "1.3")[number // 4 % 2]).socket.close()
        self.assert_flat(flood)
        self.check_a_new_client()

    def test_records(self):
        """Empty ones, KeyUpdates, halves of records that wait: each flood ends its connection only."""
        def flood():
            halves = []
            for number in range(self.COUNT // 10):
                client = RecordClient(self.tls_port)
                if number % 3 == 0:
                    client.send(*(client.seal(DATA, b"") for _ in range(EMPTY_MAX + 1)))
                elif number % 3 == 1:
                    for _ in range(UPDATES_MAX + 1):
                        client.send(client.seal(HANDSHAKE, KEY_UPDATE_THAT_ASKS))
                        client.tx = client.tx.updated()
                else:
                    client.send(client.seal(DATA, bytes(16000))[:8000])
                    halves.append(client)
                    continue
                self.assertEqual(client.next_alert(), UNEXPECTED_MESSAGE)
                client.socket.close()
            for client in halves:
                client.socket.close()
        self.assert_flat(flood, rounds=2)

    @in_full
    def test_who_is_slow_or_silent_is_closed_in_time(self):
        """S117: 10 s for the handshake from accept on, then 5 s for the request; a byte now and then gains nothing."""
        hello = client_hello()
        late = self.failures("timeout")
        began = time.monotonic()
        silent, half, slow, finished = self.connect(), self.connect(), self.connect(), RecordClient(self.tls_port)
        half.sendall(hello[:100])
        self.addCleanup(finished.socket.close)
        ends = {}

        def watch(name, connection):
            read_to_end(connection)
            ends[name] = time.monotonic() - began

        def dribble():
            for byte in hello[:-1]:
                try:
                    slow.sendall(bytes([byte]))
                except ConnectionError:
                    break
                if "slow" in ends:
                    break
                time.sleep(0.2)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            jobs = [pool.submit(watch, *what) for what in (("silent", silent), ("half", half), ("slow", slow),
                                                           ("finished", finished.socket))] + [pool.submit(dribble)]
            for job in jobs:
                job.result(120)
        for name in ("silent", "half", "slow"):
            self.assertGreaterEqual(ends[name], 9.9, ends)
        self.assertGreaterEqual(ends["finished"], 4.9, ends)
        self.assertLess(ends["finished"], ends["half"], ends)
        self.wait_for_failures("timeout", late + 3)


@not_by_wss
class Proxied(unittest.TestCase):
    """S115: a PROXY header comes before TLS, in the clear."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option, "--trusted-proxies",
                            "127.0.0.1", "--proxy-protocol", "--ip-deny", "203.0.113.0/24").start()
        cls.addClassCleanup(cls.server.kill)
        cls.tls_port = cls.server.tls_port

    def ask(self, data):
        with socket.create_connection(("127.0.0.1", self.tls_port), 30) as connection:
            connection.sendall(data)
            return read_to_end(connection)

    def header(self, source, version=1):
        if version == 1:
            return b"PROXY TCP4 %s 10.0.0.1 40000 8765\r\n" % source.encode()
        return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(source) + b"\x0a\0\0\1" + struct.pack(">HH", 40000, 8765)

    def test_it_says_who_comes(self):
        for version in (1, 2):
            header = self.header(f"198.51.100.{version}", version)
            with RecordClient(self.tls_port, first=header) as client:
                client.send_data(SUBSCRIBED_REQUEST)
                client.read_until(b"SUBSCRIBED")
                self.assertIsNotNone(self.server.wait_for_line(f"connected from 198.51.100.{version} through 127"))
            for pieces in (False, True):
                with socket.create_connection(("127.0.0.1", self.tls_port), 30) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    data = header + client_hello()
                    for piece in [bytes([byte]) for byte in data] if pieces else [data]:
                        connection.sendall(piece)
                    self.assertEqual(connection.recv(1), bytes([HANDSHAKE]))

    def test_a_denied_address_gets_403_by_tls(self):
        with RecordClient(self.tls_port, first=self.header("203.0.113.9")) as client:
            client.send_data(request())
            self.assertTrue(client.next_of(DATA).startswith(b"HTTP/1.1 403 "))

    def test_without_it_or_with_a_bad_one_nothing_is_begun(self):
        access_denied = b"\x15\x03\x03\0\x02\x02\x31"
        self.assertEqual(self.ask(client_hello()), access_denied)
        for bad in (request(), b"PROXY TCP4 elsewhere 10.0.0.1 1 2\r\n" + client_hello(), b"PROXY " + b"x" * 200):
            self.assertTrue(self.ask(bad).startswith(b"HTTP/1.1 400 "), bad)
        answer = self.ask(self.header("198.51.100.7") + request())
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertIn(SPEAKS_TLS, answer)
        answer = self.ask(self.header("198.51.100.7") * 2 + client_hello())
        self.assertIn(SPEAKS_TLS, answer)


def memory_of(pid):
    """(address, bytes) of all that is in a process's memory. Pages that were never touched are passed over."""
    try:
        with open(f"/proc/{pid}/mem", "rb", 0) as memory, open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, rights = line.split()[:2]
                begin, end = (int(address, 16) for address in span.split("-"))
                if "r" not in rights or "[v" in line:
                    continue
                yield from pages_of(memory, pagemap, begin, end)
    except PermissionError as error:
        raise unittest.SkipTest(f"SKIPPED: the memory of another process may not be read: {error}") from None


def pages_of(memory, pagemap, begin, end):
    page, most = resource.getpagesize(), 1 << 14
    for start in range(begin // page, end // page, most):
        count = min(most, end // page - start)
        pagemap.seek(start * 8)
        tops = pagemap.read(count * 8)[7::8]
        for run in re.finditer(b"[^\0-\x3f]+", tops):  # Bit 63: present, 62: swapped.
            address = (start + run.start()) * page
            memory.seek(address)
            yield address, memory.read((run.end() - run.start()) * page)


@not_by_wss
class Secrets(unittest.TestCase):
    """S118, S119: where the keys of a connection are, and that nothing is left of them."""

    def setUp(self):
        skip_with_asan(self)
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def server(self):
        server = Server(*FEED, "--log-level", "debug", "--dump-dir", self.folder, "--access-log", self.folder / "access.log",
                        "--frame-log-bytes", "4m", "--tls-port", "0", "--tls-certificate", tls_files.server().option).start()
        self.addCleanup(server.kill)
        return server

    def secrets(self, client):
        """{name: bytes}: what its client knows, and what is derived from that."""
        found = dict(client.secrets)
        for name, keys in (("client", client.tx), ("server", client.rx)):
            found[f"{name} key"] = keys.key
            if len(keys.iv) == 12:
                found[f"{name} iv"] = keys.iv
        return found

    def found_in(self, server, secrets):
        """Names of those that are in the server's memory, as bytes or in hexadecimal."""
        found = set()
        for _, data in memory_of(server.pid):
            for name, secret in secrets.items():
                if secret in data or secret.hex().encode() in data or secret.hex().upper().encode() in data:
                    found.add(name)
        return found

    def test_they_are_there_while_it_is_open_and_gone_when_it_has_closed(self):
        """S118: in each version, however it ends: a Close, an alert, FIN, a reset, a bad record, a handshake only, new keys."""
        server = self.server()
        open_keys = {"client key", "server key", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
        gone = {}
        for version, ciphers in (("1.3", None), ("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
                                 ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")):
            for way in ("close", "alert", "FIN", "reset", "a bad record", "no request", "new keys"):
                if way == "new keys" and version == "1.2":
                    continue
                client = RecordClient(server.tls_port, version, ciphers)
                self.addCleanup(client.socket.close)
                name = f"{client.cipher} {way}"
                secrets = self.secrets(client)
                if way != "no request":
                    client.send_data(SUBSCRIBED_REQUEST)
                    client.read_until(b"SUBSCRIBED")
                    if way in ("close", "new keys"):
                        there = self.found_in(server, secrets)
                        self.assertEqual(there & open_keys, open_keys & set(secrets), name)
                if way == "new keys":
                    client.send(client.seal(HANDSHAKE, KEY_UPDATE_THAT_ASKS))
                    client.tx = client.tx.updated()
                    client.send_data(frame(PING, b"after it"))
                    client.read_until(b"after it")
                    self.assertEqual(self.found_in(server, secrets) & open_keys, set(), "the old ones")
                    secrets.update({f"new {key}": secret for key, secret in self.secrets(client).items()})
                self.end(client, way)
                gone.update({f"{name}: {key}": secret for key, secret in secrets.items()})
        self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0, 30))
        self.assertEqual(self.found_in(server, gone), set())

    def end(self, client, way):
        if way in ("close", "new keys"):
            client.send_data(frame(8, struct.pack(">H", 1000)))
        elif way == "alert":
            client.send(client.seal(ALERT, bytes([1, CLOSE_NOTIFY])))
        elif way == "FIN":
            client.socket.shutdown(socket.SHUT_WR)
        elif way == "a bad record":
            client.send(bytes([DATA, 3, 3, 0, 32]) + bytes(32))
        elif way == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if way in ("reset", "no request"):
            client.socket.close()
        else:
            while client.next_record() is not None:
                pass

    def test_a_core_dump_of_a_server_with_clients_leaves_secrets_out(self):
        """S119: the secrets of an open connection are only where the kernel is told not to dump."""
        server = self.server()
        client = RecordClient(server.tls_port)
        self.addCleanup(client.socket.close)
        client.send_data(SUBSCRIBED_REQUEST)
        client.read_until(b"SUBSCRIBED")
        places = [address + at for address, data in memory_of(server.pid) for name in ("CLIENT", "SERVER")
                  if (at := data.find(client.secrets[f"{name}_TRAFFIC_SECRET_0"])) >= 0]
        self.assertGreaterEqual(len(places), 2)
        spans = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*?^VmFlags: ([a-z ]+)$",
                           pathlib.Path(f"/proc/{server.pid}/smaps").read_text(), re.M | re.S)
        for place in places:
            flags, = [flags for begin, end, flags in spans if int(begin, 16) <= place < int(end, 16)]
            self.assertIn("dd", flags.split())

    def test_they_are_in_no_log_and_no_dump(self):
        """S119: with the log at its fullest; nor are those of the certificate and the tickets."""
        server = self.server()
        secrets = {}
        for version in ("1.3", "1.2"):
            client = RecordClient(server.tls_port, version)
            self.addCleanup(client.socket.close)
            client.send_data(SUBSCRIBED_REQUEST)
            client.read_until(b"SUBSCRIBED")
            secrets.update({f"{version} {name}": secret for name, secret in self.secrets(client).items()})
        status, _, body = server.admin("/admin/dump", method="POST")
        self.assertEqual(status, 200, body)
        written = server.log().encode()
        written += b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())
        written += "".join(server.admin(path)[2] for path in ("/stats", "/metrics", "/admin/clients", "/config")).encode()
        self.assertGreater(len(written), 10000)
        for name, secret in secrets.items():
            self.assertNotIn(secret, written, name)
            self.assertNotIn(secret.hex(), written.decode("latin-1").lower(), name)
        self.assertNotIn(b"PRIVATE KEY", written)


if __name__ == "__main__":
    unittest.main()
