"""Real clients of a TLS port: each version and cipher suite, key updates, tickets, certificates, and how a connection ends."""
import asyncio
import base64
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import tls_files
from browser import PAGE_SECONDS, Browser
from clients import CLOSE, TEXT, HealthyClient, RawClient, Tracker, close_of, frame, request, subscribe_message
from server import Server, in_full, not_by_wss, reap, run, spawn, wait_until
from tls_records import ALERT, CLOSE_NOTIFY, DATA, VERSIONS, RecordClient

FEED = ("--feed", "sim:symbols=20,rate=200,types=quote+trade")
SUITES = {"-tls1_3": ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
          "-tls1_2": tuple(f"ECDHE-{key}-{rest}" for key in ("ECDSA", "RSA")
                           for rest in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"))}
STREAM = request("/?symbols=*&types=quote").decode()
MISSING = "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n"


def context_of(version, **more):
    context = tls_files.client_context(**more)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


class TlsServer(unittest.TestCase):
    """One server with an ECDSA and an RSA certificate for the same names."""
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option, "--tls-certificate",
                            tls_files.server("rsa").option, *cls.options).start()
        cls.addClassCleanup(cls.server.kill)
        cls.port = cls.server.tls_port
        cls.url = f"wss://localhost:{cls.port}/"
        cls.https = f"https://localhost:{cls.port}"
        cls.ca = str(tls_files.authority().certificate)


class Console:
    """A client program whose standard input stays open, with all that it has written."""

    def __init__(self, case, *arguments):
        self.process = spawn(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        case.addCleanup(self.close)
        self.case, self.text = case, b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while piece := self.process.stdout.read1():
            self.text += piece

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, text, count=1):
        self.case.assertTrue(wait_until(lambda: self.text.count(text) >= count or not self.reader.is_alive(), 60) and
                             self.text.count(text) >= count, (text, count, self.text[-2000:]))

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        reap(self.process)
        self.reader.join(10)
        self.process.stdout.close()


@not_by_wss
class Clients(TlsServer):
    """S114"""

    def s_client(self, *options):
        return Console(self, "openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "localhost", "-CAfile",
                       self.ca, "-verify_return_error", *options)

    def test_openssl_by_each_version_and_suite(self):
        consoles = {}
        for version, suites in SUITES.items():
            for suite in suites:
                choice = "-ciphersuites" if version == "-tls1_3" else "-cipher"
                consoles[suite] = self.s_client(version, choice, suite)
        for suite, console in consoles.items():
            with self.subTest(suite):
                console.wait_for(b"Verify return code: 0 (ok)")
                self.assertIn(f"Cipher is {suite}\n".encode(), console.text)
                console.say(STREAM)
                console.wait_for(b'"type":"SUBSCRIBED"')
                console.wait_for(b'"type":"quote"', 3)

    def test_openssl_changes_keys(self):
        """K asks for ours, k does not. The stream goes on under each."""
        console = self.s_client("-tls1_3")
        console.wait_for(b"Verify return code: 0 (ok)")
        console.say(STREAM)
        console.wait_for(b'"type":"SUBSCRIBED"')

        def updates(side):
            return int(re.search(rf'ringcast_tls_key_updates_total{{[^}}]*by="{side}"[^}}]*}} (\d+)',
                                 self.server.admin("/metrics")[2])[1])
        before = updates("client"), updates("server")
        for number, letter in enumerate("KkKKk", 1):
            console.say(f"{letter}\n")
            console.wait_for(b"KEYUPDATE", number)
            self.assertTrue(wait_until(lambda: updates("client") == before[0] + number, 30))
            console.wait_for(b'"type":"quote"', console.text.count(b'"type":"quote"') + 2)
        self.assertEqual(updates("server"), before[1] + 3)

    def test_openssl_renegotiates_in_vain(self):
        """R: no_renegotiation, upon which it ends by itself."""
        console = self.s_client("-tls1_2")
        console.wait_for(b"Verify return code: 0 (ok)")
        console.say(STREAM)
        console.wait_for(b'"type":"quote"')
        console.say("R\n")
        console.wait_for(b"no renegotiation")

    def test_openssl_asks_for_short_records(self):
        """max_fragment_length: no record of ours is longer, and the stream is whole."""
        for version in ("-tls1_2", "-tls1_3"):
            for most in (512, 1024):
                console = self.s_client(version, "-maxfraglen", str(most), "-msg")
                console.wait_for(b"Verify return code: 0 (ok)")
                before = len(console.text)
                console.say("GET /schema/md.xml HTTP/1.1\r\nHost: localhost\r\n\r\n")
                console.wait_for(b"</sbe:messageSchema>")
                lengths = [int(high + low, 16) for high, low in re.findall(
                    r"<<< [^\n]*RecordHeader [^\n]*\n +17 03 03 ([0-9a-f]{2}) ([0-9a-f]{2})", console.text[before:].decode())]
                self.assertGreater(len(lengths), 5)
                self.assertLessEqual(max(lengths), most + 8 + 1 + 16)

    def test_curl(self):
        """https of the schema by both versions, and an upgrade."""
        for version in ("--tlsv1.3", "--tls-max=1.2"):
            curl = ("curl", "--silent", "--show-error", "--fail", "--cacert", self.ca, *version.split("="))
            done = run([*curl, "--write-out", "%{http_code} %{ssl_verify_result} %{http_version}", "--output", "/dev/null",
                        f"{self.https}/schema/md.xml"])
            self.assertEqual((done.stdout, done.stderr), ("200 0 1.1", ""))
            schema = run([*curl, f"{self.https}/schema/md.xml"]).stdout
            self.assertEqual(schema, run(["curl", "--silent", self.server.http("/schema/md.xml")]).stdout)
        upgrade = [word for line in STREAM.splitlines()[2:-1] for word in ("--header", line)]
        console = Console(self, "curl", "--silent", "--cacert", self.ca, "--include", "--no-buffer", *upgrade,
                          f"{self.https}/?symbols=*&types=quote")
        console.wait_for(b'"type":"quote"', 3)
        self.assertTrue(console.text.startswith(b"HTTP/1.1 101 "), console.text[:100])
        done = run(["curl", "--silent", "--show-error", f"{self.https}/schema/md.xml"])
        self.assertEqual(done.returncode, 60, done)  # It does not know the CA.

    def test_python(self):
        """websockets by each version: every seq."""
        for version in VERSIONS:
            with HealthyClient(self.url, types=("quote", "trade"), tls=context_of(version)) as client:
                client.check(self)

    def test_node(self):
        script = """
const socket = new (require('ws'))(process.argv[1]);
let count = 0;
socket.on('message', (text) => {
  if (JSON.parse(text).type === 'quote' && ++count === 20) { socket.close(1000); }
});
socket.on('close', (code) => { console.log(`${count} quotes, ${code}`); process.exit(); });
socket.on('error', (error) => { console.log(error.message); process.exit(1); });
"""
        environment = dict(os.environ, NODE_PATH="/usr/share/nodejs", NODE_EXTRA_CA_CERTS=self.ca)
        done = run(["node", "-e", script, f"{self.url}?symbols=*&types=quote"], env=environment)
        self.assertRegex(done.stdout, r"^2\d quotes, 1000$", done)

    def gnutls(self, *options):
        if shutil.which("gnutls-cli") is None:
            self.skipTest("SKIPPED: gnutls-cli is not installed")
        return Console(self, "gnutls-cli", "--x509cafile", self.ca, "--port", str(self.port), "localhost", *options)

    def test_gnutls(self):
        """Each version and cipher, and both certificates."""
        consoles = {}
        for version in ("1.2", "1.3"):
            for cipher in ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"):
                options = f"NORMAL:-VERS-ALL:+VERS-TLS{version}:-CIPHER-ALL:+{cipher}"
                consoles[version, cipher] = self.gnutls("--priority", options)
        consoles["RSA"] = self.gnutls("--priority", "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256")
        for what, console in consoles.items():
            with self.subTest(what):
                console.wait_for(b"Handshake was completed")
                console.wait_for(b"Status: The certificate is trusted.")
                if what != "RSA":
                    self.assertRegex(console.text.decode(), rf"Description: \(TLS{what[0]}.*{what[1]}")
                console.say(STREAM)
                console.wait_for(b'"type":"quote"', 3)

    def test_gnutls_resumes_with_its_ticket(self):
        """Its second connection is made when the first has ended."""
        for version in ("1.2", "1.3"):
            with self.subTest(version):
                resumed = self.server.stats()["tls"]["handshakes_resumed"]
                console = self.gnutls("--resume", "--waitresumption", "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}")
                console.wait_for(b"This is a resumed session")
                self.assertTrue(wait_until(lambda: self.server.stats()["tls"]["handshakes_resumed"] == resumed + 1, 30))

    @in_full
    def test_chromium(self):
        """A page of another origin, with a certificate that its user lets pass."""
        pins = [base64.b64encode(bytes.fromhex(files.pin.partition(":")[2])).decode()
                for files in (tls_files.server(), tls_files.server("rsa"))]
        browser = Browser(f"--ignore-certificate-errors-spki-list={','.join(pins)}")
        self.addCleanup(browser.close)
        with tempfile.NamedTemporaryFile("w", suffix=".html") as page:
            page.write("<title>page</title>")
            page.flush()
            browser.call("Page.enable")
            browser.open(f"file://{page.name}")
            self.assertTrue(wait_until(lambda: browser.evaluate("document.title") == "page", PAGE_SECONDS))
            browser.evaluate(f"""
                window.count = 0;
                window.socket = new WebSocket('{self.url}?symbols=*&types=quote');
                socket.onmessage = (event) => {{ if (JSON.parse(event.data).type === 'quote') count++; }};
                socket.onclose = (event) => {{ window.code = event.code; }};
                0""")
            self.assertTrue(wait_until(lambda: browser.evaluate("count") >= 20, PAGE_SECONDS, step=0.1),
                            browser.evaluate("`${count} ${socket.readyState} ${window.code}`"))
            browser.evaluate("socket.close(1000)")
            self.assertTrue(wait_until(lambda: browser.evaluate("window.code") == 1000, PAGE_SECONDS, step=0.1))


@not_by_wss
class Stapling(unittest.TestCase):
    def test_who_asks_gets_the_response(self):
        """S114: OCSP, in both versions; who does not ask gets none."""
        response = tls_files.authority().response(tls_files.server())
        with Server(*FEED, "--tls-port", "0", "--tls-certificate", f"{tls_files.server().option},{response}") as server:
            client = ("openssl", "s_client", "-connect", f"127.0.0.1:{server.tls_port}", "-CAfile",
                      str(tls_files.authority().certificate))
            for version in ("-tls1_2", "-tls1_3"):
                said = run([*client, version, "-status"]).stdout
                self.assertIn("OCSP Response Status: successful", said)
                self.assertIn("Cert Status: good", said)
                self.assertNotIn("OCSP Response Data", run([*client, version]).stdout)


@not_by_wss
class Ends(TlsServer):
    """Who ends it, and how. S118: what is lost at an end is not taken for the end."""

    def streaming(self, version):
        client = RecordClient(self.port, version)
        self.addCleanup(client.socket.close)
        client.send_data(request("/?symbols=*&types=quote"))
        client.read_until(b"SUBSCRIBED")
        return client

    def test_a_close_of_the_client_ends_with_close_notify_and_fin(self):
        for version in VERSIONS:
            client = self.streaming(version)
            client.send_data(frame(CLOSE, b"\x03\xe8"))
            self.assertIn(b"\x88\x02\x03\xe8", client.read_until(b"\x88\x02\x03\xe8"))
            self.assertEqual(client.next_record(), (ALERT, bytes([1, CLOSE_NOTIFY])))
            self.assertIsNone(client.next_record())

    def test_fin_without_close_notify_is_a_leave_too(self):
        for version in VERSIONS:
            client = self.streaming(version)
            name = f"127.0.0.1:{client.socket.getsockname()[1]}"
            line = self.server.wait_for_line(f"connected from {re.escape(name)}")
            session = re.search(r"Client (\S+) connected", line)[1]
            client.socket.shutdown(socket.SHUT_WR)
            while client.next_record() is not None:
                pass
            line = self.server.wait_for_line(f"Client {session} disconnected")
            self.assertIn("closed by the peer", line)

    def test_the_end_of_an_answer_is_marked(self):
        """A client can tell it from one that somebody cut: close_notify comes behind the last byte."""
        for version in VERSIONS:
            client = RecordClient(self.port, version)
            client.send_data(b"GET /schema/md.xml HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while (record := client.next_record()) is not None and record[0] != ALERT:
                data += record[1] if record[0] == DATA else b""  # or a ticket
            self.assertEqual(record, (ALERT, bytes([1, CLOSE_NOTIFY])))
            head, _, body = data.partition(b"\r\n\r\n")
            self.assertEqual(int(re.search(rb"Content-Length: (\d+)", head)[1]), len(body))
            self.assertIsNone(client.next_record())
            client.socket.close()

    def test_a_drain_ends_with_4201_and_close_notify(self):
        with Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option) as server:
            clients = []
            for version in VERSIONS:
                client = RecordClient(server.tls_port, version)
                self.addCleanup(client.socket.close)
                client.send_data(request("/?symbols=*&types=quote"))
                client.read_until(b"SUBSCRIBED")
                clients.append(client)
            server.signal(signal.SIGTERM)
            for client in clients:
                client.read_until(b"\x88\x07\x10\x69drain")  # 4201
                self.assertEqual(client.next_of(ALERT), bytes([1, CLOSE_NOTIFY]))
                self.assertIsNone(client.next_record())
            self.assertEqual(server.wait(), 0)


@not_by_wss
class Slow(unittest.TestCase):
    """A reader that the log laps: no record is torn, whatever was cut."""
    SMALL = ("--frame-log-bytes", "1m", "--send-buffer-bytes", "16k", "--feed", "sim:symbols=4,rate=10000,types=trade+depth")

    def lap(self, server, version, on_lag):
        client = RawClient(server.tls_port, receive_buffer=4096, tls=context_of(version), timeout=60)
        self.addCleanup(client.close)
        client.send_text(subscribe_message(["*"], ["trade", "depth"], delivery={"on_lag": on_lag}))
        client.next_message(("SUBSCRIBED",))
        server.wait_until_blocked()
        laps = server.stats()["message_queue"]["connection_laps"]
        return client, laps

    def test_skipping_it_gets_gaps_and_is_whole_again(self):
        with Server(*self.SMALL, "--tls-port", "0", "--tls-certificate", tls_files.server().option) as server:
            for version in VERSIONS:
                client, laps = self.lap(server, version, "skip")
                tracker = Tracker()
                server.wait_for_ticks(10000)
                while len(tracker.gaps) < 8:
                    client.next_message(tracker=tracker)
                live = time.time_ns()
                while not tracker.latencies or time.time_ns() - tracker.latencies[-1] <= live:
                    client.next_message(tracker=tracker)
                self.assertEqual(tracker.faults, [])
                self.assertGreater(server.stats()["message_queue"]["connection_laps"], laps)
                client.close()
                self.assertTrue(wait_until(lambda: server.stats()["connections"]["open"] == 0, 30))

    def test_on_lag_disconnect_it_gets_4108(self):
        with Server(*self.SMALL, "--tls-port", "0", "--tls-certificate", tls_files.server().option) as server:
            for version in VERSIONS:
                client, _ = self.lap(server, version, "disconnect")
                server.wait_for_ticks(10000)
                tracker = Tracker()
                while True:
                    got = client.next_frame()
                    self.assertIsNotNone(got, "a Close frame says why")
                    if got[0] == CLOSE:
                        break
                    if got[0] == TEXT:
                        tracker.on_text(got[1])
                self.assertEqual(close_of(got[1])[0], 4108)
                self.assertEqual(tracker.faults + tracker.gaps, [])
                client.close()


def connect(port, context, session=None, name="localhost"):
    """(whether it was resumed, the session for the next time, the serial number of the certificate)."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection, \
            context.wrap_socket(connection, server_hostname=name, session=session) as secured:
        secured.sendall(MISSING.encode())
        data = b""
        while b"404" not in data:  # The ticket of 1.3 came before it.
            piece = secured.recv(4096)
            if not piece:
                raise ConnectionError(f"it ended after {data!r}")
            data += piece
        return secured.session_reused, secured.session, (secured.getpeercert() or {}).get("serialNumber")


@not_by_wss
class Tickets(unittest.TestCase):
    """S114: resumption without memory of the server."""

    def server(self, *options):
        server = Server(*FEED, "--tls-port", "0", "--tls-certificate", tls_files.server().option, *options).start()
        self.addCleanup(server.kill)
        return server, server.tls_port

    def test_openssl_resumes_in_both_versions(self):
        _, port = self.server()
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            for version in ("-tls1_2", "-tls1_3"):
                kept = pathlib.Path(folder) / f"session{version}"
                for option, word in (("-sess_out", "New"), ("-sess_in", "Reused")):
                    console = Console(self, "openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-CAfile",
                                      str(tls_files.authority().certificate), option, str(kept))
                    console.wait_for(b"Verify return code: 0 (ok)")
                    self.assertIn(f"{word}, TLSv1.{version[-1]}".encode(), console.text)
                    console.say(MISSING)
                    console.wait_for(b"404 Not Found")
                    if option == "-sess_out":
                        self.assertTrue(wait_until(lambda: kept.exists() and kept.stat().st_size > 0))

    def test_across_reloads_and_each_ticket_brings_the_next(self):
        server, port = self.server()
        for version in VERSIONS:
            context = context_of(version)
            _, session, _ = connect(port, context)
            for number in range(4):
                self.assertEqual(server.admin("/admin/reload-config", method="POST")[0], 200)
                reused, session, _ = connect(port, context, session)
                self.assertTrue(reused, (version, number))

    def test_across_reloads_of_another_certificate(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            chain, key = (pathlib.Path(folder) / name for name in ("chain.pem", "key.pem"))

            def install(files):
                shutil.copy(files.chain, chain)
                shutil.copy(files.key, key)
            install(tls_files.server())
            with Server(*FEED, "--tls-port", "0", "--tls-certificate", f"{chain},{key}") as server:
                sessions = {version: context_of(version) for version in VERSIONS}
                sessions = {version: (context, connect(server.tls_port, context)[1]) for version, context in sessions.items()}
                renewed = tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60)
                install(renewed)
                self.assertEqual(server.admin("/admin/reload-config", method="POST")[0], 200)
                for version, (context, session) in sessions.items():
                    self.assertTrue(connect(server.tls_port, context, session)[0], version)
                self.assertEqual(connect(server.tls_port, tls_files.client_context())[2], renewed.serial)

    def test_servers_that_share_a_key_file_open_each_other_s(self):
        shared = ("--tls-ticket-key-file", tls_files.ticket_key())
        _, first = self.server(*shared)
        _, second = self.server(*shared)
        _, stranger = self.server()
        for version in VERSIONS:
            context = context_of(version)
            _, session, _ = connect(first, context)
            reused, session, _ = connect(second, context, session)
            self.assertTrue(reused, version)
            self.assertTrue(connect(first, context, session)[0], version)
            self.assertFalse(connect(stranger, context, connect(first, context)[1])[0], version)

    def test_the_two_keys_before_still_open_tickets(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            key = pathlib.Path(folder) / "ticket.key"

            def put(number):
                fresh = key.with_suffix(".new")
                shutil.copy(tls_files.ticket_key(number), fresh)
                fresh.rename(key)
            put(10)
            server, port = self.server("--tls-ticket-key-file", key)
            kept = {version: (context, connect(port, context)[1])
                    for version, context in ((version, context_of(version)) for version in VERSIONS)}
            for number, opens in ((11, True), (12, True), (13, False)):
                put(number)
                self.assertEqual(server.admin("/admin/reload-config", method="POST")[0], 200)
                for version, (context, session) in kept.items():
                    self.assertEqual(connect(port, context, session)[0], opens, (version, number))

    def test_a_ticket_that_is_damaged_or_foreign_is_a_full_handshake(self):
        """Of no ticket a bit may change; none is an error."""
        _, port = self.server()
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            kept = pathlib.Path(folder) / "session"
            client = ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-CAfile",
                      str(tls_files.authority().certificate))
            run([*client, "-sess_out", kept])
            text = tls_files.openssl("sess_id", "-in", kept, "-noout", "-text")
            lines = re.findall(r"^ +[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -]){15}[0-9a-f]{2})", text, re.M)
            ticket = bytes.fromhex("".join(lines).replace("-", "").replace(" ", ""))
            der = subprocess.run(["openssl", "sess_id", "-in", kept, "-outform", "DER"], capture_output=True, check=True).stdout
            at = der.index(ticket)
            for offset in (0, 16, 40, len(ticket) - 1):
                bad = bytearray(der)
                bad[at + offset] ^= 1
                pem = "\n".join(["-----BEGIN SSL SESSION PARAMETERS-----", base64.encodebytes(bad).decode().strip(),
                                 "-----END SSL SESSION PARAMETERS-----", ""])
                kept.write_text(pem)
                done = run([*client, "-sess_in", kept])
                self.assertIn("New, TLSv1.2", done.stdout, offset)


@not_by_wss
class Swap(unittest.TestCase):
    """S118: certificates are swapped under load: who is connected loses nothing, no new handshake fails."""
    COUNT, RATE, SWAPS = 1000, 200, 10

    @in_full
    def test_200_handshakes_a_second_while_it_is_swapped(self):
        files = [tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60 + number) for number in range(2)]
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            chain, key = (pathlib.Path(folder) / name for name in ("chain.pem", "key.pem"))

            def install(pair):
                shutil.copy(pair.key, key)
                shutil.copy(pair.chain, chain)
            install(files[0])
            with Server(*FEED, "--tls-port", "0", "--tls-certificate", f"{chain},{key}") as server:
                url = f"wss://localhost:{server.tls_port}/"
                with HealthyClient(server.url(), types=("quote",)) as plain, \
                        HealthyClient(url, types=("quote",), tls=tls_files.client_context()) as secured:
                    seen = self.storm(server, lambda number: install(files[number % 2]))
                    plain.check(self)
                    secured.check(self)
                self.assertEqual(seen, {pair.serial for pair in files})
                self.assertEqual(connect(server.tls_port, tls_files.client_context())[2], files[self.SWAPS % 2].serial)

    def storm(self, server, install):
        """The serial numbers that were seen."""
        port, context, seen, swapped = server.tls_port, tls_files.client_context(), set(), 0

        async def shake():
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            seen.add(writer.get_extra_info("peercert")["serialNumber"])
            writer.write(MISSING.encode())
            self.assertIn(b" 404 ", await reader.readline())
            writer.close()

        async def all_of_them():
            nonlocal swapped
            tasks, began = [], time.monotonic()
            for number in range(self.COUNT):
                await asyncio.sleep(max(0.0, began + number / self.RATE - time.monotonic()))
                tasks.append(asyncio.create_task(shake()))
                if number % (self.COUNT // self.SWAPS) == self.COUNT // self.SWAPS // 2:
                    swapped += 1
                    install(swapped)
                    status, _, body = await asyncio.to_thread(server.admin, "/admin/reload-config", "POST")
                    self.assertEqual(status, 200, body)
            await asyncio.gather(*tasks)
        asyncio.run(all_of_them())
        self.assertEqual(swapped, self.SWAPS)
        return seen


if __name__ == "__main__":
    unittest.main()
