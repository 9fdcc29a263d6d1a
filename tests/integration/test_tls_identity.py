"""What a client's certificate opens (S22), and where operators see it."""
import json
import pathlib
import tempfile
import unittest

import tls_files
from clients import RawClient, frame, CLOSE
from server import Server, in_full, not_by_wss, program, run, wait_until

FULL = "full-token-0123456789abcdef"
BEARER = f"Authorization: Bearer {FULL}\r\n"
DESK = "uri:spiffe://example/desk-1"
DESK_NAMES = "URI:spiffe://example/desk-1,DNS:DESK-1.example.com"
ACCESS = "remote_addr user status close_code tls cipher server_name certificate"
SECOND = 1 / 86400  # of a day


@not_by_wss
class Identity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.desk = tls_files.client("somebody", DESK_NAMES)
        cls.pinned = tls_files.client("pinned")
        cls.entries = [
            {"name": "desk-1", "certificate": DESK, "symbols": ["000001.SZ"]},
            {"name": "host-1", "certificate": "dns:desk-1.EXAMPLE.com"},
            {"name": "named", "certificate": "cn:Desk 7"},
            {"name": "pinned", "certificate": cls.pinned.pin},
            {"name": "full", "token": FULL}]
        cls.write(cls.entries)
        cls.server = Server("--feed", "sim:symbols=2,rate=10", "--tls-port", "0", "--tls-certificate",
                            tls_files.server().option, "--tls-client-auth", "request", "--tls-client-ca",
                            tls_files.authority("clients").certificate, "--enable-auth", "--tokens-file",
                            cls.folder / "tokens.json", "--access-log", cls.folder / "access.log",
                            "--access-log-format", ACCESS)
        cls.addClassCleanup(cls.server.kill)
        cls.server.start()

    @classmethod
    def write(cls, entries):
        (cls.folder / "tokens.json").write_text(json.dumps({"tokens": entries}))

    def reload(self, entries):
        self.write(entries)
        status, _, body = self.server.admin("/admin/reload-config", "POST")
        self.assertEqual(status, 200, body)

    def connect(self, certificate, **options):
        """Its WELCOME has come."""
        client = RawClient(self.server.tls_port, tls=tls_files.client_context(certificate), **options)
        self.addCleanup(client.close)
        client.welcome = client.next_message("WELCOME")
        client.id = client.welcome["data"]["session"]
        return client

    def row(self, client):
        rows = json.loads(self.server.admin(f"/admin/clients?session={client.id}")[2])["clients"]
        self.assertEqual(len(rows), 1)
        return rows[0]

    def opens_all(self, client):
        """Whether it may subscribe to more than the one symbol of desk-1."""
        self.assertEqual(client.subscribe(["000001.SZ"], ["quote"])["data"]["failed"], [])
        failed = client.subscribe("*", ["quote"])["data"]["failed"]
        self.assertEqual([entry["code"] for entry in failed], [103] if failed else [])
        return not failed

    def test_its_entry_opens_a_scope_and_operators_see_it(self):
        """S22: of two entries that match, the first in the file counts."""
        client = self.connect(self.desk)
        self.assertNotIn("auth_required", client.welcome["data"])
        self.assertFalse(self.opens_all(client))
        row = self.row(client)
        self.assertEqual(row["name"], "desk-1")
        self.assertEqual(row["tls"]["version"], "1.3")
        self.assertEqual(row["tls"]["certificate"], DESK)
        self.assertIn(row["tls"]["cipher"], ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"))
        self.assertTrue(self.server.wait_for_line(r"audit: GRANTED .*: as desk-1, by a certificate$"))
        client.send(frame(CLOSE, b"\x03\xe8"))
        client.wait_for_end()
        log = self.folder / "access.log"
        line = f"127.0.0.1 desk-1 101 1000 1.3 {row['tls']['cipher']} localhost {DESK}\n"
        self.assertTrue(wait_until(lambda: line in log.read_text()), log.read_text())

    def test_each_kind_of_name_is_compared(self):
        """S22: a DNS name in any case, the common name, the public key."""
        cases = [(tls_files.client("x", "DNS:Desk-1.example.com"), "host-1"),
                 (tls_files.client("Desk 7"), "named"), (self.pinned, "pinned")]
        for certificate, name in cases:
            with self.subTest(name):
                client = self.connect(certificate)
                self.assertEqual(self.row(client)["name"], name)
                self.assertTrue(self.opens_all(client))

    def test_without_an_entry_it_is_as_without_a_token(self):
        """S22: neither a wildcard nor another kind of the same name matches; AUTH is open to them."""
        for certificate in (None, tls_files.client("desk-1.example.com", "DNS:*.example.com")):
            client = self.connect(certificate)
            self.assertTrue(client.welcome["data"]["auth_required"])
            self.assertIsNone(self.row(client)["tls"]["certificate"])
            answer = client.ask({"type": "AUTH", "data": {"token": FULL}}, ("AUTHENTICATED", "ERROR"))
            self.assertEqual(answer["data"].get("name"), "full", answer)

    def test_a_token_counts_instead_even_a_wrong_one(self):
        """S22"""
        client = self.connect(self.desk, extra=BEARER)
        self.assertEqual(self.row(client)["name"], "full")
        self.assertIsNone(self.row(client)["tls"]["certificate"])
        with self.assertRaisesRegex(ConnectionError, "401"):
            self.connect(self.desk, extra=BEARER.replace("full", "wrong"))
        other = self.connect(self.desk)
        other.ask({"type": "AUTH", "data": {"token": FULL}}, "AUTHENTICATED")
        self.assertEqual(self.row(other)["name"], "full")

    def test_a_client_without_tls_has_none(self):
        with RawClient(self.server.port, extra=BEARER) as client:
            client.id = client.next_message("WELCOME")["data"]["session"]
            self.assertIsNone(self.row(client)["tls"])

    def test_a_resumed_session_keeps_its_certificate(self):
        context = tls_files.client_context(self.desk)
        first = RawClient(self.server.tls_port, tls=context)
        self.addCleanup(first.close)
        first.next_message("WELCOME")  # The ticket came before it.
        again = RawClient(self.server.tls_port, tls=context, session=first.socket.session)
        self.addCleanup(again.close)
        self.assertTrue(again.socket.session_reused)
        again.id = again.next_message("WELCOME")["data"]["session"]
        self.assertEqual(self.row(again)["name"], "desk-1")
        self.assertGreaterEqual(self.server.stats()["tls"]["handshakes_resumed"], 1)

    def test_a_reload_without_the_entry_closes_its_clients(self):
        """S22: with 4001, as a token that is gone; others stay."""
        self.addCleanup(self.reload, self.entries)
        client, other = self.connect(self.desk), self.connect(self.pinned)
        self.reload(self.entries[1:])
        self.assertEqual(client.wait_for_close(), (4001, "auth;cause=revoked"))
        self.assertEqual(self.row(other)["name"], "pinned")
        again = self.connect(self.desk)
        self.assertEqual(self.row(again)["name"], "host-1")

    def test_the_end_of_a_certificate_is_announced(self):
        """S22: as the end of a token, a minute before."""
        ending = tls_files.authority("clients").issue("x", DESK_NAMES, client=True, ends=50 * SECOND)
        client = self.connect(ending)
        notice = client.next_message("NOTICE")["data"]
        self.assertEqual(notice["event"], "TOKEN_EXPIRING")
        self.assertLessEqual(notice["in_ms"], 55000)

    @in_full
    def test_the_end_of_a_certificate_ends_the_connection(self):
        """S22: with 4101; and a resumed session is no way around it."""
        context = tls_files.client_context(
            tls_files.authority("clients").issue("x", DESK_NAMES, client=True, ends=3 * SECOND))
        client = RawClient(self.server.tls_port, tls=context)
        self.addCleanup(client.close)
        client.next_message("WELCOME")
        session = client.socket.session
        self.assertEqual(client.wait_for_close(20), (4101, "auth;cause=expired"))
        with self.assertRaisesRegex(ConnectionError, "401"):
            RawClient(self.server.tls_port, tls=context, session=session)

    def test_a_hundred_names_are_compared(self):
        names = ",".join(f"DNS:n{i}.example.com" for i in range(99))
        client = self.connect(tls_files.client("many", f"{names},URI:spiffe://example/desk-1"))
        self.assertEqual(self.row(client)["name"], "desk-1")

    def test_numbers_of_tls_are_in_stats_and_in_ringcast_stat(self):
        client = self.connect(self.desk)
        tls = self.server.stats()["tls"]
        self.assertGreaterEqual(tls["connections_1_3"], 1)
        self.assertGreaterEqual(tls["handshakes_full"], 1)
        printed = run([program("ringcast"), "stat", "--pid", str(self.server.pid), "0.1", "1"])
        self.assertRegex(printed.stdout, r"\n         tls: clients [1-9]\d*, handshakes/s ")
        client.close()


class Faults(unittest.TestCase):
    """What --check-config says of a tokens file with certificates."""

    def check(self, entry, *options):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"tokens": [{"name": "good", "token": FULL}, {"name": "a", **entry}]}, file)
            file.flush()
            checked = run([program("ringcast"), "--check-config", "--enable-auth", "--tokens-file", file.name, *options])
        self.assertNotEqual(checked.returncode, 0)
        return checked.stderr

    def test_a_malformed_name_is_an_error_that_names_its_entry(self):
        """S22"""
        self.assertIn('tokens[1]: certificate "dns:...": a name with * matches no certificate',
                      self.check({"certificate": "dns:*.example.com"}))
        self.assertIn('tokens[1]: certificate "...": it must begin with uri:, dns:, email:, cn: or spki-sha256:',
                      self.check({"certificate": "spiffe://example/desk-1"}))
        self.assertIn("tokens[1]: publish needs a token", self.check({"certificate": "cn:a", "publish": {}}))

    def test_a_certificate_needs_a_port_that_asks_for_one(self):
        self.assertIn("an entry has a certificate, and no client is asked for one; add --tls-client-auth",
                      self.check({"certificate": "cn:a"}))


if __name__ == "__main__":
    unittest.main()
