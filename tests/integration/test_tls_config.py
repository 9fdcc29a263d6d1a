"""TLS is configured, checked, reloaded and watched: which certificate new connections get, and what a file that is
wrong changes (nothing)."""
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import tempfile
import threading
import unittest

import tls_files
from clients import HealthyClient
from server import Server, as_ordinary_user, clean_environment, in_full, program, run, wait_until

PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--tls-port", "0")
WATCHED = "files of TLS have changed"


def ask(*arguments, prefix=(), env=None):
    """(exit code, standard error) of --check-config."""
    done = run([*prefix, program("ringcast"), "--check-config", "--frame-log-bytes", "1m", *map(str, arguments)],
               env=clean_environment(env))
    return done.returncode, done.stderr


class TlsCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)
        self.chain, self.key = self.folder / "chain.pem", self.folder / "key.pem"
        self.install(tls_files.server())

    def put(self, source, path):
        """As certbot and Kubernetes do: never half of a file."""
        fresh = self.folder / "fresh"
        shutil.copy(source, fresh)
        fresh.rename(path)

    def install(self, files):
        self.put(files.key, self.key)
        self.put(files.chain, self.chain)

    def server(self, *options, **more):
        return Server("--tls-port", "0", "--tls-certificate", f"{self.chain},{self.key}", *options, **more)

    def reload(self, server, status=200):
        got, _, body = server.admin("/admin/reload-config", method="POST")
        self.assertEqual(got, status, body)
        return json.loads(body)

    def shown(self, server, name="127.0.0.1"):
        """The serial number of the certificate that a new connection gets."""
        with socket.create_connection(("127.0.0.1", server.tls_port), 10) as connection, \
                tls_files.client_context().wrap_socket(connection, server_hostname=name) as secured:
            return secured.getpeercert()["serialNumber"]

    def not_after(self, server):
        """By the metrics: {(file, name): seconds}."""
        text = server.admin("/metrics")[2]
        found = {}
        for line in text.splitlines():
            if line.startswith("ringcast_tls_certificate_not_after_seconds{"):
                labels, _, value = line.partition("{")[2].rpartition("} ")
                found[labels] = int(value)
        return found


class Options(TlsCase):
    def test_an_option_without_the_other_says_what_to_do(self):
        pair = f"{self.chain},{self.key}"
        good = ("--tls-port", 0, "--tls-certificate", pair)
        for options, words in (
                (("--tls-port", 0), "--tls-port: TLS needs a certificate; give --tls-certificate"),
                (("--tls-certificate", pair), "--tls-certificate: no port speaks TLS; give --tls-port"),
                (("--tls-client-auth", "require", "--tls-client-ca", self.chain), "--tls-client-auth: no port speaks TLS"),
                (("--tls-ticket-key-file", self.key), "--tls-ticket-key-file: no port speaks TLS"),
                ((*good, "--tls-client-auth", "require"), "give --tls-client-ca FILE"),
                ((*good, "--tls-client-ca", self.chain), "--tls-client-ca: no client is asked"),
                ((*good, "--tls-client-crl", self.chain), "--tls-client-crl: no client is asked"),
                (("--tls-port", 0, "--tls-certificate", f"{pair},"), "one to three files"),
                (("--tls-port", 0, "--tls-certificate", f"{pair},a,b"), "one to three files"),
                ((*good, *("--tls-certificate", pair) * 16), "at most 16 of them"),
                ((*good, "--tls-threads", 0), "1 to 16"),
                ((*good, "--tls-min-version", "1.1"), "one of: 1.2, 1.3"),
                (("--tls-port", 8080, *good[2:]), "--tls-port: 8080 is also the port of the admin server (--admin-port)"),
                (("--tls-port", 8765, *good[2:]), "--tls-port: 8765 is also the port for clients (--port)")):
            with self.subTest(words):
                code, text = ask(*options)
                self.assertEqual(code, 2, text)
                self.assertIn(words, text)
                self.assertEqual(len(text.splitlines()), 1, text)

    def test_an_error_names_the_line_of_the_file_or_the_variable(self):
        config = self.folder / "ringcast.yaml"
        config.write_text(f"tls:\n  port: 0\n  certificates:\n    - {self.chain}\n    - a,,b\n")
        self.assertIn(f"{config}:5: tls.certificates: \"a,,b\" is not valid", ask("--config", config)[1])
        config.write_text("tls:\n  port: 0\n")
        self.assertIn(f"{config}:2: tls.port: TLS needs a certificate", ask("--config", config)[1])
        self.assertIn("RINGCAST_TLS_CERTIFICATE: no port speaks TLS", ask(env={"RINGCAST_TLS_CERTIFICATE": "a;b"})[1])

    def test_the_check_loads_every_file(self):
        """S47: what the start would refuse, and the words say which file and what to do."""
        other = tls_files.server("rsa")
        clients = ("--tls-client-auth", "require", "--tls-client-ca")
        text, empty = self.folder / "text", self.folder / "empty"
        text.write_text("# ringcast\n")
        empty.touch()
        locked = self.folder / "locked.pem"
        tls_files.openssl("pkey", "-in", self.key, "-aes256", "-passout", "pass:x", "-out", locked)
        os.mkfifo(self.folder / "pipe")
        stranger = tls_files.authority().issue("other.test", "DNS:other.test")
        response = tls_files.authority().response(stranger)
        for options, file, words in (
                ((f"{self.folder}/none,{self.key}",), "none", "No such file"),
                ((f"{self.chain},{other.key}",), other.key.name, "does not belong"),
                ((f"{self.chain}",), "chain.pem", "give the file of the key"),
                ((f"{text},{self.key}",), "text", "no certificate in PEM"),
                ((f"{empty},{self.key}",), "empty", "no certificate in PEM"),
                ((f"{self.folder},{self.key}",), self.folder.name, "directory"),
                ((f"{self.folder}/pipe,{self.key}",), "pipe", "regular file"),
                ((f"{self.chain},{locked}",), "locked.pem", "encrypted"),
                ((f"{self.chain},{self.key},{response}",), response.name, "another certificate"),
                ((f"{self.chain},{self.key}", *clients, text), "text", "no certificate in PEM"),
                ((f"{self.chain},{self.key}", *clients, tls_files.authority().certificate, "--tls-client-crl", text), "text", "no CRL in PEM"),
                ((f"{self.chain},{self.key}", "--tls-ticket-key-file", empty), "empty", "must have 80")):
            with self.subTest(options):
                code, said = ask("--tls-port", 0, "--tls-certificate", *options)
                self.assertEqual(code, 2, said)
                self.assertRegex(said, r"CRITICAL ringcast: --tls-[a-z-]+: ")
                self.assertIn(str(file), said)
                self.assertIn(words, said)
                self.assertEqual(len(said.splitlines()), 1, said)

    @unittest.skipIf(os.geteuid() != 0, "only root may give up its rights")
    def test_a_key_that_the_server_may_not_read_is_named(self):
        self.key.chmod(0o600)
        code, said = ask("--tls-port", 0, "--tls-certificate", f"{self.chain},{self.key}", prefix=as_ordinary_user())
        self.assertEqual(code, 2, said)
        self.assertIn(f"{self.key}: Permission denied", said)

    def test_what_needs_attention_is_a_warning(self):
        authority = tls_files.authority()
        self.key.chmod(0o644)
        for starts, ends, words in ((-10, -1, "ended on"), (2, 30, "begins on"), (-10, 10, "ends on"),
                                    (-1, 30, None)):
            files = authority.issue("dates.test", "DNS:dates.test", starts=starts, ends=ends)
            code, said = ask("--tls-port", 0, "--tls-certificate", files.option)
            self.assertEqual(code, 0, said)
            self.assertEqual(said.count("WARNING"), words is not None, said)
            self.assertIn(words or "", said)
        code, said = ask("--tls-port", 0, "--tls-certificate", f"{self.chain},{self.key}")
        self.assertEqual((code, said.count("WARNING")), (0, 1), said)
        self.assertIn(str(self.key), said)

    def test_a_ready_server_says_where_and_with_what(self):
        """S114: --tls-port 0, and the addresses of the plain port."""
        second = tls_files.authority().issue("desk.test", "DNS:desk.test", ends=20)
        with self.server("--tls-certificate", second.option, host="localhost") as server:
            self.assertIsNotNone(server.wait_for_line("engine io_uring"))  # which follows all of these
            plain = {line.rpartition(" ")[2].rpartition(":")[0] for line in server.log_lines()
                     if " listening on " in line and "wss" not in line and "admin" not in line}
            secured = {line.rpartition("wss://")[2].rpartition(":")[0] for line in server.log_lines()
                       if "listening on wss://" in line}
            first = server.wait_for_line("listening on [^w]").split("listening on ")[1].split(",")[0].rpartition(":")[0]
            self.assertEqual(secured, plain | {first})
            self.assertNotIn(server.tls_port, (0, server.port, server.admin_port))
            line = server.wait_for_line("TLS certificate of desk.test")
            self.assertIn(f"{datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=20):%Y-%m-%d}", line)
            ends = self.not_after(server)
            self.assertEqual(list(ends), [f'file="{self.chain}",name="localhost"', f'file="{second.chain}",name="desk.test"'])
            config = json.loads(server.admin("/config")[2])
            self.assertEqual(config["tls"]["certificates"], [f"{self.chain},{self.key}", second.option])
            self.assertEqual((config["tls"]["threads"], config["tls"]["client_ca"]), (1, None))
            self.assertNotIn("PRIVATE KEY", server.log() + json.dumps(config))

    def test_tls_has_a_host_of_its_own(self):
        """S114: --tls-host; the plain port is for programs of this host alone."""
        with self.server("--tls-host", "127.0.0.2") as server:
            self.assertIsNotNone(server.wait_for_line(r"listening on wss://127\.0\.0\.2:\d+$"))
            for address, port, is_open in (("127.0.0.2", server.tls_port, True), ("127.0.0.1", server.port, True),
                                           ("127.0.0.1", server.tls_port, False), ("127.0.0.2", server.port, False)):
                with socket.socket() as connection:
                    self.assertEqual(connection.connect_ex((address, port)) == 0, is_open, (address, port))
            self.assertEqual(json.loads(server.admin("/config")[2])["tls"]["host"], "127.0.0.2")

    def test_a_host_of_its_own_may_have_the_port_of_the_plain_one(self):
        good = ("--tls-port", 8765, "--tls-certificate", f"{self.chain},{self.key}", "--host", "127.0.0.1")
        code, said = ask(*good, "--tls-host", "127.0.0.2")
        self.assertEqual(code, 0, said)
        code, said = ask(*good, "--tls-host", "0.0.0.0")
        self.assertEqual(code, 2, said)
        self.assertIn("--tls-port: 8765 is also the port for clients (--port)", said)
        code, said = ask(*good, "--tls-host", "224.0.0.1")
        self.assertEqual(code, 2, said)
        self.assertIn("--tls-host: cannot listen on host '224.0.0.1'", said)

    def test_a_taken_port_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            done = run([program("ringcast"), *PORTS[:-1], str(other.getsockname()[1]),
                        "--tls-certificate", f"{self.chain},{self.key}"])
            self.assertEqual(done.returncode, 1)
            self.assertIn("--tls-port: cannot listen on", done.stderr)


class Reload(TlsCase):
    """S118: certificates are replaced in a server that runs."""

    def test_new_connections_get_the_new_certificate(self):
        with self.server() as server, HealthyClient(server.url()) as healthy:
            first = self.shown(server)
            with socket.create_connection(("127.0.0.1", server.tls_port), 10) as connection, \
                    tls_files.client_context().wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                renewed = tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60)
                self.install(renewed)
                answer = self.reload(server)
                self.assertEqual([(change["key"], change["content"]) for change in answer["applied"]],
                                 [("tls.certificates", "changed")])
                self.assertIsNotNone(server.wait_for_line(r"reloaded in .* 1 applied \(tls.certificates\)"))
                self.assertEqual(sum("TLS certificate of" in line for line in server.log_lines()), 2)
                self.assertEqual(self.shown(server), renewed.serial)
                self.assertNotEqual(first, renewed.serial)
                secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                self.assertTrue(secured.recv(100).startswith(b"HTTP/1.1 101"))
            self.install(renewed)  # Other files with the same content.
            self.assertEqual(self.reload(server)["applied"], [])
            healthy.check(self)

    def test_a_handshake_that_has_begun_goes_on(self):
        """S118: with the certificate that it began with."""
        with self.server() as server:
            first, renewed = self.shown(server), tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = tls_files.client_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with socket.create_connection(("127.0.0.1", server.tls_port), 10) as connection:
                while True:
                    try:
                        client.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        connection.sendall(outgoing.read())
                        incoming.write(connection.recv(65536))
                self.install(renewed)  # Our Finished is still to be sent.
                self.reload(server)
                self.assertEqual(client.getpeercert()["serialNumber"], first)
                client.write(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.sendall(outgoing.read())
                answer = None
                while answer is None:
                    incoming.write(connection.recv(65536))
                    try:
                        answer = client.read(100)
                    except ssl.SSLWantReadError:
                        pass
                self.assertTrue(answer.startswith(b"HTTP/1.1 404"), answer)
            self.assertEqual(self.shown(server), renewed.serial)

    def test_no_handshake_fails_while_certificates_are_swapped(self):
        """S118: under load."""
        files = [tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60 + i) for i in range(2)]
        self.install(files[0])
        with self.server() as server:
            seen, faults, is_over = set(), [], threading.Event()

            def connect():
                while not is_over.is_set():
                    try:
                        seen.add(self.shown(server))
                    except OSError as fault:
                        faults.append(fault)

            threads = [threading.Thread(target=connect) for _ in range(2)]
            for thread in threads:
                thread.start()
            for i in range(1, 13):
                self.install(files[i % 2])
                self.assertEqual(len(self.reload(server)["applied"]), 1)
            self.assertTrue(wait_until(lambda: len(seen) == 2))
            is_over.set()
            for thread in threads:
                thread.join()
            self.assertEqual((faults, seen), ([], {one.serial for one in files}))

    def test_what_is_wrong_changes_nothing(self):
        """S46, S118: all or nothing; the words are those of the start."""
        with self.server() as server:
            first, ends = self.shown(server), self.not_after(server)
            good = tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60)
            other = tls_files.server("rsa")

            def half():
                self.chain.write_text(good.chain.read_text()[:300])

            for name, spoil, words in (
                    ("half-replaced", lambda: self.put(good.chain, self.chain), "does not belong"),
                    ("mismatched", lambda: self.put(other.key, self.key), "does not belong"),
                    ("half-written", half, "chain.pem"),
                    ("emptied", lambda: self.key.write_text(""), "key.pem"),
                    ("deleted", self.key.unlink, "No such file"),
                    ("a directory", lambda: (self.chain.unlink(), self.chain.mkdir()), "chain.pem"),
                    ("a pipe", lambda: (self.chain.unlink(), os.mkfifo(self.chain)), "regular file")):
                with self.subTest(name):
                    if self.chain.is_dir():
                        self.chain.rmdir()
                    self.install(tls_files.server())
                    spoil()
                    answer = self.reload(server, 422)
                    self.assertIn("--tls-certificate: ", answer["error"])
                    self.assertIn(words, answer["error"])
                    self.assertIsNotNone(server.wait_for_line(f"reload refused, nothing is changed: .*{words}"))
                    self.assertEqual((self.shown(server), self.not_after(server)), (first, ends))
            self.chain.unlink()
            self.install(good)
            self.reload(server)
            self.assertEqual(self.shown(server), good.serial)

    def test_one_bad_certificate_of_two_keeps_both(self):
        authority = tls_files.authority()
        desk = authority.issue("desk.test", "DNS:desk.test")
        second = self.folder / "second.pem"
        self.put(desk.chain, second)
        with self.server("--tls-certificate", f"{second},{desk.key}") as server:
            first = self.shown(server)
            self.assertEqual(self.shown(server, "desk.test"), desk.serial)
            self.install(authority.issue("localhost", tls_files.LOCAL))
            second.write_text("")
            self.assertIn("second.pem", self.reload(server, 422)["error"])
            self.assertEqual((self.shown(server), self.shown(server, "desk.test")), (first, desk.serial))

    def test_a_link_is_followed(self):
        """As certbot's live/ and the ..data of Kubernetes are."""
        for name in ("archive1", "archive2"):
            (self.folder / name).mkdir()
        renewed = tls_files.authority().issue("localhost", tls_files.LOCAL)
        for folder, files in (("archive1", tls_files.server()), ("archive2", renewed)):
            shutil.copy(files.chain, self.folder / folder / "tls.crt")
            shutil.copy(files.key, self.folder / folder / "tls.key")
        data = self.folder / "data"
        data.symlink_to("archive1")
        with Server("--tls-port", "0", "--tls-certificate", f"{data}/tls.crt,{data}/tls.key") as server:
            self.assertEqual(self.shown(server), tls_files.server().serial)
            (self.folder / "next").symlink_to("archive2")
            (self.folder / "next").rename(data)
            server.signal(signal.SIGHUP)
            self.assertIsNotNone(server.wait_for_line(r"1 applied \(tls.certificates\)"))
            self.assertEqual(self.shown(server), renewed.serial)

    def write(self, **tls):
        lines = [f"  {key}: {value}" for key, value in tls.items()]
        fresh = self.folder / "fresh.yaml"
        fresh.write_text("\n".join(["feeds: [sim]", *(["tls:"] if tls else []), *lines]) + "\n")
        fresh.rename(self.folder / "ringcast.yaml")

    def test_which_options_are_live(self):
        """S46: certificates, versions and client certificates are; ports, threads and TLS itself are not."""
        pair = f"[\"{self.chain},{self.key}\"]"
        desk = tls_files.authority().issue("desk.test", "DNS:desk.test")
        self.write(port=0, certificates=pair)
        with Server("--config", self.folder / "ringcast.yaml") as server:
            self.write(port=0, certificates=f"[\"{desk.option}\"]", min_version="1.3", client_auth="require",
                       client_ca=tls_files.authority("clients").certificate, threads=2,
                       client_crl=tls_files.authority("clients").revocations(), ticket_key_file=tls_files.ticket_key())
            answer = self.reload(server)
            self.assertEqual({change["key"] for change in answer["applied"]},
                             {"tls.certificates", "tls.min_version", "tls.client_auth", "tls.client_ca", "tls.client_crl",
                              "tls.ticket_key_file"})
            self.assertEqual([change["key"] for change in answer["needs_restart"]], ["tls.threads"])
            config = json.loads(server.admin("/config")[2])["tls"]
            self.assertEqual((config["client_auth"], config["threads"]), ("require", 1))
            for _ in range(2):  # Nothing borrows from what is gone.
                self.write()
                answer = self.reload(server)
                self.assertEqual(answer["applied"], [])
                self.assertEqual({change["key"] for change in answer["needs_restart"]},
                                 {"tls.port", "tls.certificates", "tls.min_version", "tls.client_auth", "tls.client_ca",
                                  "tls.client_crl", "tls.ticket_key_file"})
            config = json.loads(server.admin("/config")[2])["tls"]
            self.assertEqual((config["certificates"], config["client_auth"]), ([desk.option], "require"))
            self.write(port=0, certificates=pair)
            self.reload(server)
            self.assertEqual(self.shown(server), tls_files.server().serial)

    def test_tls_stays_while_entries_of_tokens_need_it(self):
        """The words are those of the start, and name the line."""
        config, tokens = self.folder / "ringcast.yaml", self.folder / "tokens.json"
        tokens.write_text(json.dumps({"tokens": [{"name": "desk", "certificate": "cn:desk"}]}))
        tokens.chmod(0o600)
        security = f"security:\n  enable_auth: yes\n  tokens_file: {tokens}\n"
        config.write_text(f"{security}tls:\n  port: 0\n  certificates:\n    - {self.chain},{self.key}\n"
                          f"  client_auth: request\n  client_ca: {tls_files.authority('clients').certificate}\n")
        with Server("--config", config) as server:
            config.write_text(security)
            self.assertIn(f"{config}:3: security.tokens_file: an entry has a certificate, and no client is asked for one",
                          self.reload(server, 422)["error"])
            self.assertTrue(self.shown(server))

    def test_tls_is_switched_on_by_a_restart(self):
        self.write()
        with Server("--config", self.folder / "ringcast.yaml") as server:
            self.write(port=0, certificates=f"[\"{self.chain},{self.key}\"]")
            answer = self.reload(server)
            self.assertEqual((answer["applied"], [change["key"] for change in answer["needs_restart"]]),
                             ([], ["tls.port", "tls.certificates"]))
            self.assertEqual(self.not_after(server), {})

    def test_clients_are_asked_for_certificates_after_a_reload(self):
        """S22: and by the authorities that the file has by then."""
        authority = self.folder / "clients.pem"
        shutil.copy(tls_files.authority().certificate, authority)
        desk = tls_files.client("desk-1", "URI:spiffe://example/desk-1")

        def is_let_in(server, certificate):
            try:
                with socket.create_connection(("127.0.0.1", server.tls_port), 10) as connection, \
                        tls_files.client_context(certificate).wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                    secured.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
                    return secured.recv(100).startswith(b"HTTP/1.1 404")
            except (ssl.SSLError, ConnectionError):
                return False

        with self.server("--tls-client-auth", "require", "--tls-client-ca", authority) as server:
            self.assertEqual((is_let_in(server, None), is_let_in(server, desk)), (False, False))
            self.put(tls_files.authority("clients").certificate, authority)
            answer = self.reload(server)
            self.assertEqual([change["key"] for change in answer["applied"]], ["tls.client_ca"])
            self.assertEqual((is_let_in(server, None), is_let_in(server, desk)), (False, True))


@in_full
class Watch(TlsCase):
    """S118: without a signal, within seconds."""

    def test_new_files_are_noticed_and_a_key_that_is_gone_is_an_error(self):
        with self.server() as server, HealthyClient(server.url()) as healthy:
            renewed = tls_files.authority().issue("localhost", tls_files.LOCAL, ends=60)
            self.install(renewed)
            self.assertIsNotNone(server.wait_for_line(WATCHED, 60))
            self.assertIsNotNone(server.wait_for_line(r"1 applied \(tls.certificates\)"))
            self.assertEqual(self.shown(server), renewed.serial)
            self.assertFalse([line for line in server.log_lines() if "ERROR" in line])
            before = len(server.log_lines())
            self.key.unlink()
            self.assertIsNotNone(server.wait_for_line("reload refused, nothing is changed: .*key.pem", 120, before))
            self.assertEqual(self.shown(server), renewed.serial)
            before = len(server.log_lines())
            self.put(renewed.key, self.key)
            self.assertIsNotNone(server.wait_for_line("reloaded in", 60, before))
            healthy.check(self)


if __name__ == "__main__":
    unittest.main()
