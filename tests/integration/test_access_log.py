"""The access log (S53): a line for each connection at its end, each refused handshake, each admin request."""
import json
import pathlib
import re
import socket
import tempfile
import unittest

from clients import RawClient, frame, request, CLOSE
from server import Server, program, run, wait_until

FEED = ("--feed", "sim:symbols=2,rate=10")
TOKEN = "a-token-of-some-length-0123456789"
ALL = "remote_addr user timestamp request status bytes duration session close_code encoding"
TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class AccessLog(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "access.log")

    def start(self, *options):
        server = Server(*FEED, "--access-log", self.path, *options)
        self.addCleanup(server.kill)
        return server.start()

    def lines(self, count):
        """As soon as there are so many."""
        wait_until(lambda: len(self.path.read_text().splitlines()) >= count)
        lines = self.path.read_text().splitlines()
        self.assertEqual(len(lines), count, "\n".join(lines))
        return lines

    def ask(self, server, head, port=None):
        """All bytes of the answer to a request that is refused."""
        with socket.create_connection(("127.0.0.1", port or server.port), timeout=10) as client:
            client.sendall(head)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
            return answer

    def test_a_connection_has_a_line_at_its_end(self):
        """S53: remote_addr user timestamp request status bytes, as they are by default."""
        server = self.start("--enable-auth", "--auth-token", TOKEN)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(request("/ws?symbols=000001.SZ&types=quote",
                                   extra=f"Authorization: Bearer {TOKEN}\r\n"))
            got = client.recv(65536)
            while b"SUBSCRIBED" not in got:
                got += client.recv(65536)
            self.assertEqual(self.path.read_text(), "")
            client.sendall(frame(CLOSE, b"\x03\xe8"))
            while piece := client.recv(65536):
                got += piece
        line = self.lines(1)[0]
        match = re.fullmatch(rf'127\.0\.0\.1 auth-token {TIME} '
                             r'"GET /ws\?symbols=000001\.SZ&types=quote HTTP/1\.1" 101 (\d+)', line)
        self.assertTrue(match, line)
        self.assertEqual(int(match[1]), len(got))

    def test_a_refused_handshake_has_a_line(self):
        """S53, S119: also one that is not well-formed; its token and its control bytes are not there."""
        server = self.start("--enable-auth", "--auth-token", TOKEN, "--allow-query-token")
        asked = (("/?token=wrong-token-0123456789", 401), ("/none?a=1&token=secret-secret", 404),
                 ("/\x01\x1b[2J\"", 400))
        sizes = [len(self.ask(server, request(path))) for path, _ in asked]
        answer = self.ask(server, b"GET /?token=secret-secret HTTP/1.1\r\nHost: a\r\n\r\n")
        lines = self.lines(4)
        for (_, status), size, line in zip(asked, sizes, lines):
            self.assertRegex(line, rf'^127\.0\.0\.1 - {TIME} ".*" {status} {size}$')
        self.assertRegex(lines[3], rf" {answer[9:12].decode()} {len(answer)}$")
        text = "\n".join(lines)
        self.assertNotIn("secret", text)
        self.assertNotIn("wrong-token", text)
        self.assertIn('"GET /none?a=1&token=*** HTTP/1.1"', text)
        self.assertIn(r"\x01\x1b[2J\"", text)

    def test_requests_to_the_admin_server_have_a_line(self):
        """S53, S119"""
        server = self.start()
        size = len(server.admin("/symbols?limit=1")[2])
        server.admin("/none?token=secret-secret")
        server.admin("/stats", method="HEAD")
        lines = self.lines(3)
        self.assertRegex(lines[0], rf'^127\.0\.0\.1 - {TIME} "GET /symbols\?limit=1" 200 {size}$')
        self.assertRegex(lines[1], r'"GET /none\?token=\*\*\*" 404 \d+$')
        self.assertRegex(lines[2], r'"HEAD /stats" 200 0$')

    def test_the_format_is_a_list_of_fields(self):
        """S53: access_log_format."""
        server = self.start("--access-log-format", "session status close_code encoding duration")
        RawClient(server.port, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n").close()
        self.assertRegex(self.lines(1)[0], r"^0-1 101 1006 md\.sbe\.v1 \d+\.\d{3}$")

    def test_an_unknown_field_is_an_error_with_the_list(self):
        """S53"""
        for more in ((), ("--check-config",)):
            done = run([program("ringcast"), *FEED, "--access-log-format", "status referer", *more])
            self.assertEqual(done.returncode, 2)
            self.assertIn('--access-log-format: there is no field "referer"; the fields are: ' + ALL, done.stderr)

    def test_json(self):
        """S53, S135: an object with these fields."""
        server = self.start("--log-format", "json", "--access-log-format", ALL)
        RawClient(server.port).close()
        self.ask(server, request("/none"))
        ended, refused = sorted(map(json.loads, self.lines(2)), key=lambda line: line["status"])
        self.assertEqual(list(ended), ALL.split())
        self.assertEqual((ended["session"], ended["status"], ended["user"]), ("0-1", 101, None))
        self.assertGreater(ended["bytes"], 100)
        self.assertEqual((refused["status"], refused["duration"], refused["session"]), (404, None, None))


if __name__ == "__main__":
    unittest.main()
