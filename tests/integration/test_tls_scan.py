"""What a scanner looks for in a TLS port: by ClientHellos of our own, which offer everything there is, and by testssl.sh."""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

import tls_files
from server import Server, in_full, not_by_wss, run
from tls_records import ALERT, HANDSHAKE, HANDSHAKE_FAILURE

SUITES_13 = (0x1301, 0x1302, 0x1303)
# ECDHE with ECDSA, and with RSA: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
SUITES_12 = (0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8)
X25519, P_256, FFDHE_8192 = 0x1d, 0x17, 0x104
SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = range(0x300, 0x305)
RENEGOTIATION_SCSV, FALLBACK_SCSV = 0xff, 0x5600
PROTOCOL_VERSION, INAPPROPRIATE_FALLBACK, NO_APPLICATION_PROTOCOL = 70, 86, 120
SERVER_HELLO = 2
SIGNATURES = (0x0403, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
# Numbers of extensions.
SERVER_NAME, GROUPS, FORMATS, SIGNATURE_ALGORITHMS, HEARTBEAT, ALPN = 0, 10, 11, 13, 15, 16
EXTENDED_MASTER_SECRET, TICKET, EARLY_DATA, SUPPORTED_VERSIONS, KEY_SHARE, RENEGOTIATION_INFO = 23, 35, 42, 43, 51, 0xff01
# The random of a ServerHello that is a HelloRetryRequest (RFC 8446, 4.1.3).
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
DOWNGRADE_12 = b"DOWNGRD\x01"
HELLOS = 50
# Findings of testssl.sh that are not of the server's TLS: of a private CA, of pages, and of itself.
OF_OTHERS = ("cert_chain_of_trust", "cert_trust", "cert_crlDistributionPoints", "cert_ocspURL", "cert_revocation",
             "DNS_CAArecord", "HSTS", "security_headers", "engine_problem")
# It runs s_client with an empty input, which mostly ends before a ticket of TLS 1.3 comes. test_tls resumes with one.
NO_TICKET = ("sessionresumption_ticket", "check failed because of connect problem")


def shorts(numbers):
    return struct.pack(f">{len(numbers)}H", *numbers)


def with_length(data, form=">H"):
    return struct.pack(form, len(data)) + data


def client_hello(version=TLS_1_2, suites=SUITES_12, groups=(X25519, P_256), versions=None, compressions=b"\0", more=(),
                 session=b""):
    """Its records. versions: the supported ones of TLS 1.3, without a key share: what follows is a HelloRetryRequest."""
    extensions = {GROUPS: with_length(shorts(groups)), SIGNATURE_ALGORITHMS: with_length(shorts(SIGNATURES)),
                  FORMATS: b"\x01\0", SERVER_NAME: with_length(b"\0" + with_length(b"localhost"))}
    if versions is not None:
        extensions |= {SUPPORTED_VERSIONS: with_length(shorts(versions), ">B"), KEY_SHARE: with_length(b"")}
    extensions |= dict(more)
    if version == SSL_3:
        extensions = {}
    body = struct.pack(">H", version) + os.urandom(32) + with_length(session, ">B") + with_length(shorts(suites))
    body += with_length(compressions, ">B")
    if extensions:
        body += with_length(b"".join(struct.pack(">H", kind) + with_length(data) for kind, data in extensions.items()))
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"".join(b"\x16" + struct.pack(">H", min(version, TLS_1_0)) + with_length(message[at:at + 16384])
                    for at in range(0, len(message), 16384))


class ServerHello:
    def __init__(self, body):
        self.version, = struct.unpack_from(">H", body)
        self.random = body[2:34]
        at = 35 + body[34]
        self.session = body[35:at]
        self.suite, self.compression = struct.unpack_from(">HB", body, at)
        self.extensions = {}
        at += 5
        while at < len(body):
            kind, length = struct.unpack_from(">HH", body, at)
            self.extensions[kind] = body[at + 4:at + 4 + length]
            at += 4 + length
        if SUPPORTED_VERSIONS in self.extensions:
            self.version, = struct.unpack(">H", self.extensions[SUPPORTED_VERSIONS])


class ScanCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        pairs = [tls_files.authority().issue("localhost", tls_files.LOCAL, key, ends=200).option for key in ("ec", "rsa")]
        cls.server = Server("--feed", "sim:symbols=1,rate=1", "--tls-port", "0", "--tls-certificate", pairs[0],
                            "--tls-certificate", pairs[1]).start()
        cls.addClassCleanup(cls.server.kill)
        cls.port = cls.server.tls_port


@not_by_wss
class Scan(ScanCase):
    """S114: what is offered is what docs/tls.md lists, of all numbers that there are."""

    def exchange(self, hello):
        """A ServerHello, or the number of the alert."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(hello)
            stream = connection.makefile("rb")
            head = stream.read(5)
            self.assertEqual(len(head), 5, "it ended without an alert")
            body = stream.read(struct.unpack(">H", head[3:])[0])
            if head[0] == ALERT:
                self.assertEqual(stream.read(), b"")
                return body[1]
            self.assertEqual((head[0], body[0]), (HANDSHAKE, SERVER_HELLO))
            return ServerHello(body[4:4 + int.from_bytes(body[1:4], "big")])

    def chosen(self, offer, pick, refused, at_once):
        """What the server picks of range(65536), in its own order, until it refuses the rest. offer(numbers) is a hello."""
        order = []
        for first in range(0, 65536, at_once):
            numbers = list(range(first, min(first + at_once, 65536)))
            while True:
                answer = self.exchange(offer(numbers))
                if isinstance(answer, int):
                    self.assertIn(answer, refused)
                    break
                picked = pick(answer)
                self.assertIn(picked, numbers)
                numbers.remove(picked)
                order.append(picked)
        return order

    def test_versions(self):
        """SSL 3, TLS 1.0 and 1.1 are refused by the alert that says why; of 1.2 and 1.3 the newer is taken."""
        for version in (SSL_3, TLS_1_0, TLS_1_1):
            suites = (*range(0x01, 0x100), *range(0xc001, 0xc100))
            # SSL 3 has no alert for it.
            refusal = HANDSHAKE_FAILURE if version == SSL_3 else PROTOCOL_VERSION
            self.assertEqual(self.exchange(client_hello(version, suites)), refusal, hex(version))
            self.assertEqual(self.exchange(client_hello(suites=suites + SUITES_13, versions=[version])), PROTOCOL_VERSION)
        self.assertEqual(self.exchange(client_hello(suites=SUITES_12)).version, TLS_1_2)
        hello = self.exchange(client_hello(suites=SUITES_12 + SUITES_13, versions=[TLS_1_2, TLS_1_3, TLS_1_1]))
        self.assertEqual(hello.version, TLS_1_3)
        self.assertEqual(self.exchange(client_hello(0x3ff, SUITES_12)).version, TLS_1_2)  # From the future.
        self.assertEqual(self.exchange(client_hello(suites=SUITES_12 + SUITES_13, versions=[0x7f1c, TLS_1_2])).version, TLS_1_2)

    def test_ssl_2(self):
        """Its ClientHello is no TLS: plain words."""
        hello = b"\x01\0\x02" + struct.pack(">HHH", 21, 0, 16) + bytes(21) + os.urandom(16)
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(struct.pack(">H", 0x8000 | len(hello)) + hello)
            self.assertTrue(connection.recv(4096).startswith(b"HTTP/1.1 400 "))

    def test_suites_of_tls_1_2_are_six(self):
        """No RSA key exchange, DHE, CBC, 3DES, RC4, NULL, export, anonymous, PSK or CCM; ECDSA first."""
        order = self.chosen(lambda suites: client_hello(suites=suites), lambda hello: hello.suite,
                            (HANDSHAKE_FAILURE, INAPPROPRIATE_FALLBACK), 0x2000)
        self.assertEqual(set(order), set(SUITES_12))
        self.assertEqual(self.chosen_of(SUITES_12, None), list(SUITES_12))
        self.assertEqual(self.chosen_of(SUITES_12[::-1], None)[0], 0xcca9)

    def test_suites_of_tls_1_3_are_three(self):
        order = self.chosen(lambda suites: client_hello(suites=suites, versions=[TLS_1_3]), lambda hello: hello.suite,
                            (HANDSHAKE_FAILURE, INAPPROPRIATE_FALLBACK), 0x2000)
        self.assertEqual(order, list(SUITES_13))
        self.assertEqual(self.chosen_of(SUITES_13[::-1], [TLS_1_3]), [0x1303, 0x1301, 0x1302])  # ChaCha20 put first.

    def chosen_of(self, suites, versions):
        """Its order of preference."""
        left, order = list(suites), []
        while left:
            order.append(self.exchange(client_hello(suites=left, versions=versions)).suite)
            left.remove(order[-1])
        return order

    def test_groups_are_two(self):
        """In both versions: by what a HelloRetryRequest asks for, and with nothing but the others."""
        order = self.chosen(lambda groups: client_hello(suites=SUITES_13, groups=groups, versions=[TLS_1_3]),
                            lambda hello: struct.unpack(">H", hello.extensions[KEY_SHARE])[0], (HANDSHAKE_FAILURE,), 0x4000)
        self.assertEqual(sorted(order), [P_256, X25519])
        others = [group for group in range(0x2000) if group not in (X25519, P_256)]
        self.assertEqual(self.exchange(client_hello(groups=others)), HANDSHAKE_FAILURE)
        for group in (X25519, P_256):
            self.assertIsInstance(self.exchange(client_hello(groups=[group])), ServerHello)

    def busy_ns(self):
        """Time on a processor of all threads."""
        tasks = pathlib.Path(f"/proc/{self.server.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def test_a_group_that_is_expensive_is_refused_cheaply(self):
        """With OpenSSL's own groups a ClientHello with ffdhe8192 would cost 150 ms."""
        for versions, suites in ((None, (0x9e, 0x9f, *SUITES_12)), ([TLS_1_3], SUITES_13)):
            begin = self.busy_ns()
            for _ in range(HELLOS):
                hello = client_hello(suites=suites, groups=[FFDHE_8192], versions=versions)
                self.assertEqual(self.exchange(hello), HANDSHAKE_FAILURE)
            self.assertLess((self.busy_ns() - begin) / HELLOS, 20e6)

    def test_no_compression(self):
        """CRIME. A hello without "no compression" is malformed."""
        self.assertEqual(self.exchange(client_hello(compressions=b"\x01\x40\0")).compression, 0)
        self.assertIsInstance(self.exchange(client_hello(compressions=b"\x01")), int)

    def test_no_downgrade(self):
        """The signal of RFC 7507 is refused, and 1.2 instead of 1.3 can be seen in the random (RFC 8446, 4.1.3)."""
        self.assertEqual(self.exchange(client_hello(suites=(*SUITES_12, FALLBACK_SCSV))), INAPPROPRIATE_FALLBACK)
        self.assertEqual(self.exchange(client_hello()).random[-8:], DOWNGRADE_12)

    def test_extensions(self):
        """Secure renegotiation (RFC 5746) and the extended master secret are there; heartbeat and early data are not."""
        hello = self.exchange(client_hello(suites=(*SUITES_12, RENEGOTIATION_SCSV),
                                           more={EXTENDED_MASTER_SECRET: b"", HEARTBEAT: b"\x01", TICKET: b""}))
        self.assertEqual(set(hello.extensions) & {EXTENDED_MASTER_SECRET, HEARTBEAT, TICKET, RENEGOTIATION_INFO},
                         {EXTENDED_MASTER_SECRET, TICKET, RENEGOTIATION_INFO})
        self.assertEqual(hello.extensions[RENEGOTIATION_INFO], b"\0")
        hello = self.exchange(client_hello(suites=SUITES_13, versions=[TLS_1_3]))
        self.assertEqual(hello.random, RETRY)
        self.assertNotIn(EARLY_DATA, hello.extensions)

    def test_a_short_session_id_beside_a_ticket_is_not_filled_up(self):
        """Ticketbleed: what is echoed is as long as what came."""
        for session in (b"\x01", b"12345", b"x" * 32):
            hello = self.exchange(client_hello(session=session, more={TICKET: os.urandom(160)}))
            self.assertIn(hello.session, (b"", session))

    def test_protocols(self):
        """ALPN: http/1.1 if it is offered; an offer without it is refused."""
        def offer(*names):
            return {ALPN: with_length(b"".join(with_length(name, ">B") for name in names))}
        hello = self.exchange(client_hello(more=offer(b"h2", b"http/1.1")))
        self.assertEqual(hello.extensions[ALPN], with_length(with_length(b"http/1.1", ">B")))
        self.assertEqual(self.exchange(client_hello(more=offer(b"h2"))), NO_APPLICATION_PROTOCOL)
        self.assertNotIn(ALPN, self.exchange(client_hello()).extensions)

    def test_no_early_data(self):
        """A ticket of TLS 1.3 allows none."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_3", "-servername", "localhost",
                               "-ign_eof"], input=b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                              capture_output=True, check=False)
        self.assertIn(b"Max Early Data: 0", done.stdout)
        self.assertNotRegex(done.stdout, rb"Max Early Data: [1-9]")


@not_by_wss
@in_full
class Testssl(ScanCase):
    """S114, S118"""
    maxDiff = None

    def test_it_finds_nothing(self):
        if shutil.which("testssl") is None:
            self.skipTest("SKIPPED: testssl.sh is not installed")
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            report = pathlib.Path(folder) / "report.json"
            done = run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none",
                        "--openssl-timeout", "30", "--jsonfile", report, f"localhost:{self.port}"], seconds=900)
            findings = json.loads(report.read_text())
        self.assertGreater(len(findings), 80, done)
        bad = [finding for finding in findings if finding["severity"] not in ("OK", "INFO", "DEBUG") and
               not finding["id"].startswith(OF_OTHERS) and (finding["id"], finding["finding"]) != NO_TICKET]
        self.assertEqual(bad, [])


if __name__ == "__main__":
    unittest.main()
