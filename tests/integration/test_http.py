"""Requests as HTTP allows them and few clients write them, on both ports, and odd answers to tools."""
import socket
import unittest

from clients import RawClient, request
from server import ServerTestCase, not_by_wss, program, run, wait_until
from test_tools_output import EvilServer, server_frame

SCHEMA = "/schema/md.xml"
TEXT = 1


class HttpCase(ServerTestCase):
    options = ("--feed", "sim:symbols=2,rate=10")

    def ask(self, text, port=None):
        """(status, header lines, body); of an upgrade without what follows its head."""
        client = RawClient(port or self.server.port, upgrade=False)
        self.addCleanup(client.close)
        client.send(text if isinstance(text, bytes) else text.encode())
        status = client.read_head()
        return status, client.head.split("\r\n")[1:], client.read_body() if status != 101 else ""

    def plain(self, target, method="GET", version="1.1", host="Host: a\r\n", port=None):
        return self.ask(f"{method} {target} HTTP/{version}\r\n{host}Connection: close\r\n\r\n", port)


class TheClientPort(HttpCase):
    def test_targets_of_absolute_form_are_understood(self):
        for target in ("ws://host/ws", "http://host/", "WS://Host", "wss://[::1]:8765/v1?x=/y",
                       "https://a.example:?x"):
            with self.subTest(target):
                self.assertEqual(self.ask(request(target))[0], 101)
                self.assertEqual(self.ask(request(target, host="another"))[0], 101)
        for target in ("ws://host/other", "ftp://host/ws", "*", "host:8765"):
            self.assertEqual(self.ask(request(target))[0], 404, target)
        for target in ("ws://me@host/ws", "ws:///ws", "ws://host:x/ws", "ws://[::1/ws"):
            self.assertEqual(self.ask(request(target))[0], 400, target)
        status, _, body = self.plain("http://host" + SCHEMA)
        self.assertEqual((status, body), self.plain(SCHEMA)[::2])
        self.assertEqual(status, 200)

    def test_head_is_answered_as_get_is_without_a_body(self):
        for target in ("/", "/other", SCHEMA, "http://host" + SCHEMA, "*"):
            with self.subTest(target):
                status, lines, body = self.plain(target)
                self.assertTrue(body)
                self.assertEqual(self.plain(target, "HEAD"), (status, lines, ""))
        status, lines, body = self.ask(request(method="HEAD"))
        self.assertEqual((status, body), (400, ""))
        status, lines, body = self.ask(request(method="POST"))
        self.assertEqual(status, 405)
        self.assertIn("Allow: GET, HEAD", lines)

    def test_empty_lines_may_come_first(self):
        self.assertEqual(self.ask(b"\r\n" + request())[0], 101)
        self.assertEqual(self.ask(b"\r\n\r\n" + request("/%77s"))[0], 101)
        self.assertEqual(self.ask(b"\r\n" * 5 + request())[0], 400)

    def test_a_load_balancer_may_ask_for_the_document_in_http_1_0(self):
        self.assertEqual(self.plain(SCHEMA, "HEAD", "1.0", "")[0], 200)
        self.assertEqual(self.plain(SCHEMA, "GET", "1.0", "")[0], 200)
        self.assertEqual(self.plain("/", "GET", "1.0", "")[0], 400)
        self.assertEqual(self.plain("/", "OPTIONS", "1.0", "")[0], 405)

    @not_by_wss
    def test_a_client_that_shuts_its_half_gets_its_answer(self):
        for _ in range(100):
            for target, status in ((SCHEMA, b"200"), ("/", b"400"), ("/other", b"404")):
                with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as client:
                    client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                    client.shutdown(socket.SHUT_WR)
                    answer = b""
                    while piece := client.recv(65536):
                        answer += piece
                head, _, body = answer.partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"HTTP/1.1 " + status), head)
                self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head)

    def test_a_request_may_come_byte_by_byte(self):
        client = RawClient(self.server.port, upgrade=False)
        self.addCleanup(client.close)
        filler = "".join(f"X-{i}: {'x' * 40}\r\n" for i in range(50))
        for byte in request("ws://host/ws", extra=filler):
            client.send(bytes([byte]))
        self.assertEqual(client.read_head(), 101)
        self.assertEqual(client.next_message()["type"], "WELCOME")


class TheAdminPort(HttpCase):
    def test_targets_of_absolute_form_are_understood(self):
        port = self.server.admin_port
        for target in ("http://host/health", "HTTP://[::1]:80/health?x", "https://host/%68ealth"):
            status, lines, body = self.plain(target, port=port)
            self.assertEqual((status, '"ok"' in body), (200, True), target)
            self.assertEqual(self.plain(target, "HEAD", port=port)[::2], (200, ""))
        self.assertEqual(self.plain("http://host/metrics?aliases=no", port=port)[0], 200)
        self.assertEqual(self.plain("http://host", port=port)[0], 200)  # the index
        self.assertEqual(self.plain("http://host/other", port=port)[0], 404)
        self.assertEqual(self.plain("http://host/health", "POST", port=port)[0], 405)
        for target in ("http://me@host/health", "http:///health", "http://host:x/health"):
            self.assertEqual(self.plain(target, port=port)[0], 400, target)

    def test_a_load_balancer_may_ask_in_http_1_0(self):
        self.assertEqual(self.plain("/readyz", "GET", "1.0", "", self.server.admin_port)[0], 200)


@not_by_wss
class Denied(HttpCase):
    options = ("--feed", "sim:symbols=2,rate=10", "--ip-deny", "127.0.0.9")

    def test_an_address_that_is_denied_is_not_taken_for_that_of_the_next_client(self):
        address = ("127.0.0.1", self.server.port)
        with socket.create_connection(address, 10, source_address=("127.0.0.9", 0)) as denied:
            denied.sendall(request())
            self.assertTrue(denied.recv(4096).startswith(b"HTTP/1.1 403 "))
        self.assertEqual(self.plain(SCHEMA)[0], 200)


@not_by_wss
class Ends(HttpCase):
    """Each socket that was accepted is open, or ended in one of the ways that are counted."""
    options = ("--feed", "sim:symbols=2,rate=10", "--ip-deny", "127.0.0.9", "--auth-token",
               "right-token-0123456789", "--enable-auth", "--max-connections", "2")
    WAYS = ("closed", "refused_busy", "refused_handshake", "refused_token", "refused_forbidden",
            "refused_rate", "refused_late", "opening_left", "documents")

    def counters(self):
        counters = {key: 0 for key in (*self.WAYS, "accepted", "conns_open")}
        for core in self.server.stats()["cores"]:
            for key in counters:
                counters[key] += core[key]
        return counters

    def begin(self, text=b"", source="127.0.0.1"):
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=10,
                                          source_address=(source, 0))
        self.addCleanup(client.close)
        client.sendall(text)
        return client

    def test_what_was_accepted_is_open_or_ended_in_a_way_that_is_counted(self):
        before = self.counters()
        late = self.begin(b"GET / HTTP/1.1\r\n"), self.begin()
        for text in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            self.begin(text).close()
        clients = [RawClient(self.server.port) for _ in range(2)]
        self.assertEqual(self.ask(request())[0], 503)
        clients[0].close()
        clients[1].reset()
        self.assertTrue(wait_until(lambda: self.counters()["closed"] == before["closed"] + 2))
        self.assertEqual(self.plain("/")[0], 400)
        self.assertEqual(self.plain(SCHEMA)[0], 200)
        self.assertEqual(self.plain(SCHEMA, "HEAD")[0], 200)
        self.assertEqual(self.ask(request(extra="Authorization: Bearer wrong-token\r\n"))[0], 401)
        denied = self.begin(request(), "127.0.0.9")
        self.assertTrue(denied.recv(4096).startswith(b"HTTP/1.1 403 "))
        for client in late:
            self.assertEqual(client.recv(1), b"")
        self.assertTrue(wait_until(lambda: self.counters()["conns_open"] == 0), self.counters())
        counters = self.counters()
        grown = {key: counters[key] - before[key] for key in counters}
        self.assertEqual(grown, {
            "accepted": 12, "conns_open": 0, "closed": 2, "refused_busy": 1, "refused_handshake": 1,
            "refused_token": 1, "refused_forbidden": 1, "refused_rate": 0, "refused_late": 2,
            "opening_left": 2, "documents": 2})
        self.assertEqual(grown["accepted"], sum(grown[key] for key in self.WAYS))
        metrics = self.server.admin("/metrics")[2]
        for line in ('connections_refused_total{core="0",reason="timeout"} 2',
                     'connections_unfinished_total{core="0"} 2', 'documents_served_total{core="0"} 2'):
            self.assertIn(f"ringcast_{line}\n", metrics)


UPGRADE = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: md.json.v1\r\n")
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
FRAMES = (server_frame(TEXT, b'{"type":"WELCOME","data":{"epoch":"a"}}'),
          server_frame(TEXT, b'{"type":"SUBSCRIBED","id":1,"data":{"ok":[{"ch":1,"next_seq":1}],'
                       b'"failed":[]}}'),
          server_frame(TEXT, b'{"type":"quote","ch":1,"symbol":"A","seq":1,"ts_pub":1,"data":{}}'))


class Tools(unittest.TestCase):
    def against(self, head, name, *options, frames=(), scheme="ws"):
        with EvilServer(head, *frames) as port:
            return run([program(name), *options, f"{scheme}://127.0.0.1:{port}/"])

    def test_the_scheme_of_an_address_is_the_same_in_any_case(self):
        for scheme in ("WS", "Ws", "wS"):
            done = self.against(UPGRADE + b"\r\n", "ringcast-tap", "-n", "1", frames=FRAMES,
                                scheme=scheme)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("A quote #1", done.stdout)
        self.assertIn("not a ws://, wss:// or unix:// URL",
                      run([program("ringcast-tap"), "HTTP://localhost/"]).stderr)

    def test_interim_answers_come_before_the_one_that_counts(self):
        done = self.against(INTERIM * 4 + UPGRADE + b"\r\n", "ringcast-tap", "-n", "1", frames=FRAMES)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.against(INTERIM + b"HTTP/1.1 404 Not Found\r\n\r\n", "ringcast-tap")
        self.assertIn("the upgrade was refused: HTTP/1.1 404 Not Found\n", done.stderr)
        done = self.against(INTERIM * 5, "ringcast-tap")
        self.assertIn("its head is too long", done.stderr)
        done = self.against(INTERIM + b"HTTP/1.1 404 Not Found\r\n\r\n", "ringcast-bench", "-c", "1", "-d", "1")
        self.assertIn("1 closed 404", done.stdout)

    def test_what_was_not_asked_for_is_not_accepted(self):
        for extra, words in ((DEFLATE + b"\r\n", "its extensions"),
                             (b"Sec-WebSocket-Extensions: x\r\n", "its extensions"),
                             (b"Sec-WebSocket-Protocol: md.json.v1\r\n", "its subprotocol"),
                             (b"Sec-WebSocket-Accept: x\r\n", "the right Sec-WebSocket-Accept")):
            done = self.against(UPGRADE + extra + b"\r\n", "ringcast-tap", frames=FRAMES)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("the upgrade was refused: HTTP/1.1 101 Switching Protocols: ", done.stderr)
            self.assertIn(words, done.stderr)
        bench = ("ringcast-bench", "-c", "1", "-d", "1", "--encoding", "deflate")
        for extra in (b"", DEFLATE + b"; client_max_window_bits=15\r\n",
                      DEFLATE + b"; server_no_context_takeover\r\n", DEFLATE + b"; x\r\n",
                      DEFLATE + b", x\r\n", DEFLATE + b"\r\n" + DEFLATE + b"\r\n"):
            done = self.against(UPGRADE + extra + b"\r\n", *bench, frames=FRAMES)
            self.assertIn("the first: the server does not speak this --encoding: its extensions",
                          done.stdout, extra)


if __name__ == "__main__":
    unittest.main()
