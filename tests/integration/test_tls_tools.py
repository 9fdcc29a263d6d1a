"""ringcast-tap and ringcast-bench over wss://, against a relay that ends TLS in front of a plain ringcast."""
import json
import socket
import ssl
import tempfile
import threading
import unittest

import tls_files
from server import Server, program, run

FEED = ("--feed", "sim:symbols=5,rate=1000,types=quote+trade")


class Relay:
    """Listens with TLS on 127.0.0.1 and passes what is inside to a port and back. `seen` has the server name and
    whether the session was resumed, of each connection."""

    def __init__(self, port, files=None, clients=None, piece=1 << 16, newest=None):
        files = files or tls_files.server()
        self.target, self.piece, self.seen, self._name = port, piece, [], threading.local()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(files.chain, files.key)
        self.context.sni_callback = lambda _, name, __: setattr(self._name, "value", name)
        if newest is not None:
            self.context.maximum_version = newest
        if clients is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(clients.certificate)

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def url(self, host="localhost"):
        return f"wss://{host}:{self.port}/"

    def _accept(self):
        try:
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()
        except OSError:
            pass  # It is closed.

    def _serve(self, raw):
        self._name.value = None
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            inside = self.context.wrap_socket(raw, server_side=True)
            self.seen.append((self._name.value, inside.session_reused))
            outside = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            raw.close()
            return
        inward = threading.Thread(target=self._pump, args=(inside, outside, 1 << 16), daemon=True)
        inward.start()
        self._pump(outside, inside, self.piece)
        inward.join()
        inside.close()
        outside.close()

    @staticmethod
    def _pump(source, target, piece):
        try:
            while data := source.recv(piece):
                target.sendall(data)
        except OSError:
            pass  # One side has left, and so does the other.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def trusted():
    return ("--cacert", str(tls_files.authority().certificate))


def tap(*arguments):
    return run([program("ringcast-tap"), *arguments])


def bench(*arguments):
    return run([program("ringcast-bench"), "-q", *arguments])


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FEED)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)

    def relay(self, *arguments, **options):
        relay = Relay(self.server.port, *arguments, **options)
        self.addCleanup(relay.__exit__)
        return relay.__enter__()

    def test_tap_receives_everything_in_each_version_and_encoding(self):
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            relay = self.relay(newest=newest)
            for encoding in ("json", "sbe", "deflate"):
                with self.subTest(newest=newest, encoding=encoding):
                    done = tap(*trusted(), "--encoding", encoding, "--json", "--verify", "-c", "3", "-d", "500ms", relay.url())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertTrue(json.loads(done.stdout)["complete"])

    def test_records_are_put_together_wherever_they_are_cut(self):
        relay = self.relay(piece=3)  # A record has 3 bytes of the stream, and a receive has many.
        done = tap(*trusted(), "--json", "-n", "50", relay.url())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 50)

    def test_a_name_is_sent_and_an_address_is_not_and_nothing_is_resumed(self):
        relay = self.relay()
        for host in ("localhost", "localhost", "127.0.0.1"):
            self.assertEqual(tap(*trusted(), "-n", "1", relay.url(host)).returncode, 0)
        self.assertEqual(relay.seen, [("localhost", False), ("localhost", False), (None, False)])

    def test_a_certificate_that_is_not_accepted_is_an_error_that_says_what_to_do(self):
        authority = tls_files.authority()
        other = authority.issue("other.test", "DNS:other.test")
        old = authority.issue("localhost", tls_files.LOCAL, starts=-3, ends=-1)
        early = authority.issue("localhost", tls_files.LOCAL, starts=1, ends=3)
        for files, options, words in (
                (None, (), "; name its CA with --cacert FILE, or accept any with --insecure"),
                (other, trusted(), "it is for another name; use a name of the certificate in the URL"),
                (old, trusted(), "certificate has expired; renew it, or set the clock"),
                (early, trusted(), "certificate is not yet valid; renew it, or set the clock")):
            with self.subTest(words):
                relay = self.relay(files)
                done = tap(*options, "-n", "1", relay.url())
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertRegex(done.stderr, r"^ringcast-tap: localhost:\d+: the server's certificate is not accepted: ")
                self.assertIn(words, done.stderr)
                done = bench(*options, "-c", "2", "-d", "1", relay.url())
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("refused     2, the first: the server's certificate is not accepted: ", done.stdout)
                self.assertIn(words, done.stdout)
                self.assertEqual(tap("--insecure", "-n", "1", relay.url()).returncode, 0)

    def test_a_port_without_tls_is_named_as_such(self):
        url = f"wss://127.0.0.1:{self.server.port}/"
        words = "the server does not speak TLS at this port: use ws://, or another port"
        done = tap("--insecure", "-n", "1", url)
        self.assertEqual((done.returncode, done.stderr), (4, f"ringcast-tap: 127.0.0.1:{self.server.port}: {words}\n"))
        self.assertIn(words, bench("--insecure", "-c", "1", "-d", "1", url).stdout)

    def test_a_plain_client_of_a_port_with_tls_sees_what_the_server_says(self):
        with Server("--tls-port", "0", "--tls-certificate", tls_files.server().option) as server:
            url = f"ws://127.0.0.1:{server.tls_port}"
            done = tap(url)
        self.assertEqual((done.returncode, done.stderr.splitlines()[-1]),
                         (2, f"ringcast-tap: {url[5:]}: the upgrade was refused: HTTP/1.1 400 Bad Request: "
                             "this port speaks TLS: use wss://"))

    def test_a_client_certificate_is_sent_and_a_missing_or_foreign_one_is_named(self):
        mine = tls_files.client("desk")
        foreign = tls_files.authority().issue("desk", client=True)
        both = tls_files.folder() / "both.pem"
        both.write_text(mine.chain.read_text() + mine.key.read_text())
        for newest, missing in ((ssl.TLSVersion.TLSv1_3, "the server needs a client certificate: give one with --cert CHAIN,KEY"),
                                (ssl.TLSVersion.TLSv1_2, "if the server needs a client certificate: --cert CHAIN,KEY")):
            relay = self.relay(clients=tls_files.authority("clients"), newest=newest)
            for certificate in (mine.option, str(both)):
                done = tap(*trusted(), "--cert", certificate, "-n", "1", relay.url())
                self.assertEqual(done.returncode, 0, done.stderr)
            for options, words in (((), missing),
                                   (("--cert", foreign.option), "the server does not accept the certificate of --cert: ")):
                with self.subTest(words):
                    done = tap(*trusted(), *options, "-n", "1", relay.url())
                    self.assertEqual(done.returncode, 4, done.stderr)
                    self.assertIn(words, done.stderr)
                    done = bench(*trusted(), *options, "-c", "2", "-d", "1", relay.url())
                    self.assertIn(words, done.stdout)

    def test_files_that_cannot_be_used_are_named_with_the_reason(self):
        mine, other = tls_files.client("desk"), tls_files.server()
        locked = tls_files.folder() / "locked.key"
        tls_files.openssl("pkey", "-in", mine.key, "-aes256", "-passout", "pass:secret", "-out", locked)
        empty = tempfile.NamedTemporaryFile()
        self.addCleanup(empty.close)
        for options, words in (
                (("--cacert", "/nonexistent"), "--cacert /nonexistent: No such file or directory"),
                (("--cacert", empty.name), f"--cacert {empty.name}: it has no certificate in PEM"),
                (("--cert", "/nonexistent"), "--cert /nonexistent: No such file or directory"),
                (("--cert", f"{mine.chain},/nonexistent"), "--cert /nonexistent: No such file or directory"),
                (("--cert", str(mine.chain)), f"--cert {mine.chain}: it has no key in PEM; where it is in another file: "
                                              "--cert CHAIN,KEY"),
                (("--cert", f"{mine.chain},{other.key}"), f"--cert {other.key}: the key is not that of the certificate"),
                (("--cert", f"{mine.chain},{locked}"), f"--cert {locked}: the key has a password: write one without, by "
                                                       "openssl pkey -in FILE -out NEW")):
            for name in ("ringcast-tap", "ringcast-bench"):
                with self.subTest(name=name, options=options):
                    done = run([program(name), *options, "wss://localhost:1/"])
                    self.assertEqual((done.returncode, done.stdout), (1, ""))
                    self.assertEqual(done.stderr, f"{name}: {words}\n")

    def test_without_wss_the_options_are_refused(self):
        for options in (("--cacert", "x"), ("--cert", "x"), ("--insecure",)):
            for name in ("ringcast-tap", "ringcast-bench"):
                done = run([program(name), *options, self.server.url()])
                self.assertEqual((done.returncode, done.stderr),
                                 (1, f"{name}: --cacert, --cert and --insecure need a wss:// URL\n"))

    def test_bench_measures_over_wss(self):
        relay = self.relay()
        done = bench("-j", *trusted(), "-c", "20", "-t", "2", "-d", "1s", "--allow-gaps", relay.url())
        report = json.loads(done.stdout)
        self.assertEqual((report["subscribed"], report["refusals"]), (20, 0), done.stderr)
        self.assertEqual(report["phases_ns"]["tls"]["count"], 20)
        self.assertGreater(report["received"], 0)
        self.assertEqual((report["malformed"], report["differing"]), (0, 0))

    def test_clients_that_leave_break_the_protocol_or_stall_do_so_over_wss(self):
        relay = self.relay()
        done = bench("-j", *trusted(), "-c", "8", "--churn", "2", "--churn-life", "50ms", "--malformed-clients", "2",
                     "--stalled", "2", "--patience", "1s", "-d", "1500ms", "-w", "0", "--allow-gaps", relay.url())
        report = json.loads(done.stdout)
        self.assertGreater(report["churn"]["sessions"], 4, done.stderr)
        self.assertGreater(report["malformed_clients"]["sessions"], 4)
        self.assertEqual(report["malformed"], 0)
        self.assertGreater(report["readers"]["frames"], 0)

    def test_a_capture_names_the_url(self):
        relay = self.relay()
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            done = tap(*trusted(), "-q", "-n", "3", "--record", f"{folder}/ticks", relay.url())
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{folder}/ticks") as file:
                self.assertTrue(file.readline().startswith(f"wss://localhost:{relay.port}/ <-> "))


if __name__ == "__main__":
    unittest.main()
