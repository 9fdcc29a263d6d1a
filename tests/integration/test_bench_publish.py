"""ringcast-bench --publish-to: ticks of its own, by a WebSocket, by POST, and to the real brokers."""
import http.server
import json
import threading
import unittest

import websockets

from test_bench import NOT_DELIVERED, VALID, BenchTestCase, PythonServer, bench
from test_presets import PresetTestCase

SHORT = ("-c", 5, "-t", 2, "-d", "600ms", "-w", "300ms", "--publish-rate", 200)
PLAIN = ("--protocol", "plain")


class Relay(PythonServer):
    """Sends what one client sends to all others, and what is posted to it over HTTP to all."""

    options = {"compression": None, "ping_interval": 0.2}

    def __init__(self, change=lambda text: [text], status=201):
        self.change, self.status = change, status
        self.open, self.texts, self.paths = set(), [], []

    def __enter__(self):
        super().__enter__()
        relay = self

        class Post(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                relay.paths.append(self.path)
                relay.loop.call_soon_threadsafe(relay.broadcast, text, None)
                self.send_response(relay.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass
        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # The publisher may leave before it has read every answer.
        self.http = Server(("127.0.0.1", 0), Post)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        super().__exit__()

    async def on_client(self, client):
        self.open.add(client)
        try:
            async for text in client:
                self.broadcast(text, client)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.open.discard(client)

    def broadcast(self, text, sender):
        self.texts.append(text)
        for its_text in self.change(text):
            websockets.broadcast(self.open - {sender}, its_text)

    def post_url(self, path):
        return f"http://127.0.0.1:{self.http.server_port}{path}"


class Published(BenchTestCase):
    def published(self, relay, *arguments, code=VALID):
        return self.report(*SHORT, *PLAIN, *arguments, relay.url(), code=code, least=300)

    def test_what_is_published_is_what_is_due(self):
        with Relay() as relay:
            report = self.published(relay, "--publish-to", relay.url(), "-s", "A,B,C", "--payload-bytes", 300)
        self.assertEqual((report["published"], report["due"], report["received"]), (120, 600, 600))
        self.assertEqual((report["channels"], report["behind"], report["publish_rate"]), (3, False, 200))
        first = json.loads(relay.texts[0])
        self.assertEqual((first["symbol"], first["ch"], first["seq"]), ("A", 0, 1))
        self.assertEqual({len(text) for text in relay.texts}, {300})
        times = [json.loads(text)["ts_pub"] for text in relay.texts]
        self.assertLessEqual({after - before for before, after in zip(times, times[1:])}, {5000000})  # as due

    def test_a_tick_that_nobody_receives_is_missing(self):
        with Relay(change=lambda text: [] if '"seq":100,' in text else [text]) as relay:
            report = self.published(relay, "--publish-to", relay.url(), code=NOT_DELIVERED)
            self.assertEqual(report["due"] - report["received"], 5)
            self.assertEqual(report["published"], 120)

    def test_a_tick_by_post(self):
        with Relay() as relay:
            report = self.published(relay, "--publish-to", relay.post_url("/pub/{symbol}"), "-s", "A,B")
        self.assertEqual((report["due"], report["received"]), (600, 600))
        self.assertEqual(set(relay.paths), {"/pub/A", "/pub/B"})

    def test_a_template_of_ones_own(self):
        template = '{"s": "{symbol}", "n": {seq}, "t": {time}}'
        with Relay() as relay:
            report = self.published(relay, "--publish-to", relay.url(), "--publish-template", template, "--seq-pattern",
                                    '"n":', "--channel-pattern", "", "--time-pattern", '"t":', "--time-unit", "s")
        self.assertEqual(report["due"], report["received"])
        self.assertRegex(relay.texts[7], r'^\{"s": "BENCH", "n": 8, "t": \d+\.\d{9}\}$')

    def test_the_report_shows_the_publisher(self):
        with Relay() as relay:
            result = bench(*SHORT, *PLAIN, "--publish-to", relay.url(), relay.url())
        self.assertEqual(result.returncode, VALID, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"\n  publisher   200 of 200 ticks/s published, the latest [\d.]+[num]?s late\n")

    def test_a_publisher_that_fails_is_named(self):
        with Relay(status=404) as relay:
            result = bench(*SHORT, *PLAIN, "--publish-to", relay.post_url("/"), relay.url())
            self.assertEqual(result.returncode, NOT_DELIVERED, result.stdout)
            self.assertIn("the server answers HTTP/1.1 404 Not Found\n", result.stderr)
            self.assertIn("\n  INVALID: the publisher failed\n", result.stdout)
            result = bench(*SHORT, *PLAIN, "--publish-to", "ws://127.0.0.1:1/", relay.url())
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn("ringcast-bench: --publish-to ws://127.0.0.1:1/: ", result.stderr)

    def test_what_does_not_go_together_is_refused(self):
        to = ("--publish-to", "ws://127.0.0.1:9/")
        for words, said in ((to, "--publish-to needs --protocol plain, nats or mqtt"),
                            ((*PLAIN, *to, "--publish", "rate=5"), "does not go with --echo and --publish"),
                            ((*to, "--echo"), "does not go with --echo and --publish"),
                            (("--publish-rate", 5), "--publish-rate and --publish-template need --publish-to"),
                            ((*PLAIN, *to, "--time-unit", "iso"), "--time-unit ns, us, ms or s"),
                            ((*PLAIN, "--publish-to", "tcp://h/"), "is not like ws://host:port/path or http://"),
                            (("--preset", "nats", "--publish-to", "http://127.0.0.1:9/"), "needs --protocol plain")):
            result = bench(*words, "ws://127.0.0.1:9/")
            self.assertEqual((result.returncode, result.stdout), (1, ""), words)
            self.assertIn(said, result.stderr)


class Brokers(PresetTestCase):
    """Presets of servers that make no ticks need no other program."""

    def by_itself(self, name, preset, path="/", publish_url=None, symbols="*"):
        with self.running(name, roles=("server",)) as peer:
            url = f"ws://127.0.0.1:{peer.port}"
            report = self.report(*SHORT, "--preset", preset, "-s", symbols, "--publish-to",
                                 (publish_url or "{url}/").format(url=url, port=getattr(peer, "publish_port", 0), symbol="{symbol}"),
                                 f"{url}{path}", least=300)
            self.assertEqual((report["published"], report["due"], report["received"]), (120, 600, 600))

    def test_mosquitto(self):
        self.by_itself("mosquitto", "mqtt", symbols="AAPL.US,MSFT.US")

    def test_mosquitto_with_one_symbol(self):
        self.by_itself("mosquitto", "mqtt")

    def test_nats(self):
        self.by_itself("nats", "nats", symbols="AAPL.US,MSFT.US")

    def test_nchan(self):
        self.by_itself("nchan", "nchan", "/sub/{symbols}", "http://127.0.0.1:{port}/pub/{symbol}", "AAPL.US,MSFT.US")


if __name__ == "__main__":
    unittest.main()
